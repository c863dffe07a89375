/* oom.c: two processes on a machine with room for one and a half.
 *
 * The machine is a memory cgroup (cgroup.c). The first process allocates, fills and frees
 * everything, and stays; then the second does the same. Where the first one's memory has not
 * gone back, the kernel has to kill one of them. This program itself stays outside.
 */
#include "cgroup.h"
#include "json.h"
#include "life_child.h"
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESS_COUNT = 2 };

struct settings {
    struct life_plan plan;
    struct size_list sizes;
    double limit_multiple;
    bool is_json;
};

struct process {
    bool has_reported;          /* it has freed everything and was idle */
    int status;                 /* as of waitpid */
    struct life_report report;
};

struct outcome {
    uint64_t peak_bytes;        /* of one process, measured without a limit */
    uint64_t limit_bytes;
    enum cgroup_swap swap;
    int version;
    char path[256];
    struct process processes[PROCESS_COUNT];
    bool has_oom;
    struct cgroup_oom oom;
};

static const char help[] =
    "Usage: oom [OPTION]...\n"
    "Two processes, one after the other, allocate, fill and free blocks of one size in a memory\n"
    "cgroup with room for one and a half of them; the first stays when it has freed everything.\n"
    "Reports whether the kernel killed one. Put another allocator under it with LD_PRELOAD.\n"
    "\n"
    "  --size=BYTES[,BYTES]...  sizes of the blocks; each is an experiment of its own (100,500)\n"
    "  --total=BYTES            bytes in all blocks of one process; K, M, G may follow (512M)\n"
    "  --limit=MULTIPLE         the cgroup's limit, as a multiple of one process's measured\n"
    "                           peak (1.5)\n"
    "  --wait=SECONDS           idle after the last free (0.5)\n"
    "  --table=WHERE            where the pointers are: mmap or malloc (mmap)\n"
    "  --mallopt=NAME=VALUE     call mallopt first; may be repeated\n"
    "  --json                   report as JSON\n"
    "  --help                   print this\n"
    "\n"
    "Exit status: 0 if the experiment was carried out, whoever was killed; 1 if it could not be;\n"
    "2 for a mistake in the options; 77 without the right to make a memory cgroup.\n";

enum option_id {
    OPTION_SIZE = 256, OPTION_TOTAL, OPTION_LIMIT, OPTION_WAIT, OPTION_TABLE, OPTION_MALLOPT,
    OPTION_JSON, OPTION_HELP
};

static const struct option options[] = {
    { "size", required_argument, NULL, OPTION_SIZE },
    { "total", required_argument, NULL, OPTION_TOTAL },
    { "limit", required_argument, NULL, OPTION_LIMIT },
    { "wait", required_argument, NULL, OPTION_WAIT },
    { "table", required_argument, NULL, OPTION_TABLE },
    { "mallopt", required_argument, NULL, OPTION_MALLOPT },
    { "json", no_argument, NULL, OPTION_JSON },
    { "help", no_argument, NULL, OPTION_HELP },
    { NULL, 0, NULL, 0 }
};

static void apply_option(struct settings *settings, int id, const char *text)
{
    static const char *const tables[] = { "mmap", "malloc", NULL };
    struct life_plan *plan = &settings->plan;

    switch (id) {
    case OPTION_SIZE:
        np_options_sizes("--size", text, &settings->sizes);
        break;
    case OPTION_TOTAL:
        plan->total_bytes = np_options_number("--total", text, 1, UINT64_C(1) << 46);
        break;
    case OPTION_LIMIT:
        settings->limit_multiple = np_options_fraction("--limit", text, 1, 100);
        break;
    case OPTION_WAIT:
        plan->wait_seconds = np_options_fraction("--wait", text, 0, 86400);
        break;
    case OPTION_TABLE:
        plan->table = (enum life_table)np_options_word("--table", text, tables);
        break;
    case OPTION_MALLOPT:
        if (plan->mallopt_count == LIFE_MALLOPT_MAX)
            np_options_fail("--mallopt: more than %d of them", LIFE_MALLOPT_MAX);
        np_options_mallopt("--mallopt", text, &plan->mallopts[plan->mallopt_count++]);
        break;
    case OPTION_JSON:
        settings->is_json = true;
        break;
    case OPTION_HELP:
        np_options_help(help);
    default:
        np_options_unknown();
    }
}

static void parse_options(struct settings *settings, int argc, char **argv)
{
    int id;

    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1)
        apply_option(settings, id, optarg);
    if (optind < argc)
        np_options_fail("'%s' is not an option", argv[optind]);
    for (unsigned i = 0; i < settings->sizes.count; i++) {
        if (settings->plan.total_bytes < settings->sizes.bytes[i])
            np_options_fail("--total: less than one block of %zu bytes",
                            settings->sizes.bytes[i]);
    }
}

static bool complain(const char *what, const char *why)
{
    fprintf(stderr, "oom: %s: %s\n", what, why);
    return false;
}

/* One process alone, with no limit but the machine's. */
static bool measure_peak(const struct life_plan *plan, uint64_t *peak_bytes)
{
    struct life_plan hasty = *plan;
    struct child child;
    struct life_report report;
    struct life_sample *samples;

    hasty.wait_seconds = 0;
    if (!np_life_child_start(&child, &hasty, -1))
        return complain("no process could be started", strerror(errno));
    bool is_good = np_life_child_read(&child, &report, &samples);
    (void)np_child_end(&child);
    free(samples);
    if (!is_good)
        return complain("one process alone", report.error);
    if (report.passes[0].failed_count > 0)
        return complain("one process alone", "a malloc failed; choose a smaller --total");
    *peak_bytes = report.passes[0].peak_rss_bytes;
    return true;
}

static bool run_processes(const struct life_plan *plan, struct outcome *outcome)
{
    struct child children[PROCESS_COUNT];
    unsigned started_count = 0;
    int procs_fd = np_cgroup_open_procs();

    if (procs_fd < 0)
        return complain("cgroup.procs", strerror(errno));
    for (; started_count < PROCESS_COUNT; started_count++) {
        struct process *process = &outcome->processes[started_count];
        struct life_sample *samples;
        if (!np_life_child_start(&children[started_count], plan, procs_fd))
            break;
        /* The others are kept: they sleep with everything freed. */
        process->has_reported = np_life_child_read(&children[started_count],
                                                   &process->report, &samples);
        free(samples);
    }
    for (unsigned i = 0; i < started_count; i++)
        outcome->processes[i].status = np_child_end(&children[i]);
    close(procs_fd);
    if (started_count < PROCESS_COUNT)
        return complain("no process could be started", strerror(errno));
    outcome->has_oom = np_cgroup_read_oom(&outcome->oom);
    return true;
}

static bool is_lost(const struct process *process)
{
    return process->status != 0;
}

/* Returns an exit status. */
static int run_case(const struct settings *settings, struct outcome *outcome)
{
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);

    memset(outcome, 0, sizeof *outcome);
    /* First: whoever may not make a cgroup is told at once. */
    if (!np_cgroup_make()) {
        fprintf(stderr, "oom: %s\n", np_cgroup_reason());
        return STATUS_NO_RIGHT;
    }
    outcome->version = np_cgroup_version();
    snprintf(outcome->path, sizeof outcome->path, "%s", np_cgroup_path());
    if (!measure_peak(&settings->plan, &outcome->peak_bytes))
        return EXIT_FAILURE;
    outcome->limit_bytes = (uint64_t)((double)outcome->peak_bytes * settings->limit_multiple);
    outcome->limit_bytes -= outcome->limit_bytes % page_bytes;
    if (!np_cgroup_limit(outcome->limit_bytes, &outcome->swap)) {
        complain("the cgroup's limit could not be set", strerror(errno));
        return EXIT_FAILURE;
    }
    if (!run_processes(&settings->plan, outcome))
        return EXIT_FAILURE;
    if (!np_cgroup_remove()) {
        complain(outcome->path, "the cgroup could not be removed");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

static void describe_process(const struct process *process, char *text, size_t text_bytes)
{
    const char *when = process->has_reported ? "idle, everything freed" : "at work";

    if (process->status == 0)
        snprintf(text, text_bytes, "lived");
    else if (WIFSIGNALED(process->status))
        snprintf(text, text_bytes, "ended by signal %d (%s) when %s",
                 WTERMSIG(process->status), strsignal(WTERMSIG(process->status)), when);
    else
        snprintf(text, text_bytes, "exited with status %d", WEXITSTATUS(process->status));
}

static const char *swap_text(enum cgroup_swap swap)
{
    switch (swap) {
    case CGROUP_SWAP_LIMITED:
        return "limited to none";
    case CGROUP_SWAP_ABSENT:
        return "none on this machine";
    case CGROUP_SWAP_FREE:
        break;
    }
    return "NOT limited: a lack of memory may go to swap instead";
}

static unsigned count_lost(const struct outcome *outcome)
{
    unsigned lost_count = 0;

    for (unsigned i = 0; i < PROCESS_COUNT; i++)
        lost_count += is_lost(&outcome->processes[i]) ? 1 : 0;
    return lost_count;
}

static void print_text(const struct settings *settings, const struct outcome *outcome)
{
    char ends[PROCESS_COUNT][160];

    for (unsigned i = 0; i < PROCESS_COUNT; i++)
        describe_process(&outcome->processes[i], ends[i], sizeof ends[i]);
    printf("%zu bytes: one process peaks at %.1f MiB; both in %.1f MiB (%g times that)\n",
           settings->plan.block_bytes, (double)outcome->peak_bytes / 1048576,
           (double)outcome->limit_bytes / 1048576, settings->limit_multiple);
    printf("  first process:  %s\n  second process: %s\n", ends[0], ends[1]);
    if (outcome->has_oom)
        printf("  %s %" PRIu64, outcome->oom.source, outcome->oom.kill_count);
    else
        printf("  this kernel does not count kills in a cgroup");
    printf(" (cgroup version %d; swap: %s)\n", outcome->version, swap_text(outcome->swap));
    printf("  lost: %u\n", count_lost(outcome));
    fflush(stdout);
}

static void json_process(struct json *json, const struct process *process)
{
    np_json_open_object(json, NULL);
    np_json_literal(json, "lived", is_lost(process) ? "false" : "true");
    np_json_literal(json, "had_freed_all", process->has_reported ? "true" : "false");
    np_json_signed(json, "exit_status",
                   WIFEXITED(process->status) ? WEXITSTATUS(process->status) : -1);
    np_json_signed(json, "signal", WIFSIGNALED(process->status) ? WTERMSIG(process->status) : 0);
    if (process->has_reported) {
        np_json_unsigned(json, "peak_rss_bytes", process->report.passes[0].peak_rss_bytes);
        np_json_unsigned(json, "freed_rss_bytes", process->report.passes[0].freed_rss_bytes);
        np_json_unsigned(json, "wait_rss_bytes", process->report.wait_rss_bytes);
        np_json_text(json, "allocator", process->report.allocator);
    }
    np_json_close_object(json);
}

static void print_json(struct json *json, const struct settings *settings,
                       const struct outcome *outcome)
{
    char text[256];

    np_json_open_object(json, NULL);
    np_json_unsigned(json, "size_bytes", settings->plan.block_bytes);
    np_json_unsigned(json, "total_bytes", settings->plan.total_bytes);
    np_json_unsigned(json, "peak_rss_bytes", outcome->peak_bytes);
    np_json_fraction(json, "limit_multiple", settings->limit_multiple);
    np_json_unsigned(json, "limit_bytes", outcome->limit_bytes);
    np_json_unsigned(json, "cgroup_version", (uint64_t)outcome->version);
    np_json_text(json, "cgroup", outcome->path);
    np_json_text(json, "swap", swap_text(outcome->swap));
    np_json_open_list(json, "processes");
    for (unsigned i = 0; i < PROCESS_COUNT; i++)
        json_process(json, &outcome->processes[i]);
    np_json_close_list(json);
    np_json_unsigned(json, "lost_count", count_lost(outcome));
    if (outcome->has_oom)
        np_json_unsigned(json, "oom_kill_count", outcome->oom.kill_count);
    else
        np_json_literal(json, "oom_kill_count", "null");
    np_json_open_list(json, "evidence");
    if (outcome->has_oom) {
        snprintf(text, sizeof text, "%s %" PRIu64, outcome->oom.source, outcome->oom.kill_count);
        np_json_text(json, NULL, text);
    }
    for (unsigned i = 0; i < PROCESS_COUNT; i++) {
        char end[160];
        describe_process(&outcome->processes[i], end, sizeof end);
        snprintf(text, sizeof text, "%s process: %s", i == 0 ? "first" : "second", end);
        np_json_text(json, NULL, text);
    }
    np_json_close_list(json);
    np_json_close_object(json);
}

int main(int argc, char **argv)
{
    if (np_child_is_wanted(argc, argv))
        return np_life_child_main();

    struct settings settings = {
        .plan = {
            .total_bytes = 512u << 20, .pass_count = 1, .thread_count = 1, .wait_seconds = 0.5
        },
        .sizes = { .count = 2, .bytes = { 100, 500 } },
        .limit_multiple = 1.5,
    };
    struct json json = { 0 };
    struct outcome outcome;
    int status = EXIT_SUCCESS;

    np_options_name("oom");
    parse_options(&settings, argc, argv);
    for (unsigned i = 0; i < settings.sizes.count && status == EXIT_SUCCESS; i++) {
        settings.plan.block_bytes = settings.sizes.bytes[i];
        status = run_case(&settings, &outcome);
        if (status != EXIT_SUCCESS)
            break;
        if (settings.is_json && i == 0) {
            np_json_open_object(&json, NULL);
            np_json_text(&json, "program", "oom");
            np_json_command(&json, argc, argv);
            np_json_open_list(&json, "cases");
        }
        if (settings.is_json)
            print_json(&json, &settings, &outcome);
        else
            print_text(&settings, &outcome);
    }
    if (json.depth > 0) {
        np_json_close_list(&json);
        np_json_close_object(&json);
    }
    return status;
}

/* retention.c: how much memory an allocator keeps when a program has freed everything.
 *
 * This file owns the command line; life.c is the experiment, life_child.c runs each one in a
 * process of its own, retention_report.c prints. docs/experiments.md tells what comes out, and why.
 */
#include "life_child.h"
#include "options.h"
#include "retention_report.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { FIND_MIN_BYTES = 16, FIND_MAX_BYTES = 16384 };

struct settings {
    struct life_plan plan;
    struct size_list sizes;
    const char *trace_path;
    FILE *trace;
    bool is_json;
    bool is_search;
};

static const char help[] =
    "Usage: retention [OPTION]...\n"
    "Allocates and fills blocks of one size, frees them all, and reports how much memory the\n"
    "process still holds. Each size runs in a process of its own. Put another allocator under it\n"
    "with LD_PRELOAD.\n"
    "\n"
    "  --size=BYTES[,BYTES]...  sizes of the blocks (24,100,120,121,500,1024,10240)\n"
    "  --total=BYTES            bytes in all blocks together; K, M, G may follow (512M; with\n"
    "                           --find-threshold 64M)\n"
    "  --order=ORDER            free forward, reverse or random (forward)\n"
    "  --pin[=BYTES]            take one more block (of 64 bytes) at the peak and hold it\n"
    "  --sparse=N               never free one block in N\n"
    "  --twice                  allocate and free everything twice\n"
    "  --threads=N              share the blocks among N threads; each frees its own and then\n"
    "                           sleeps (1)\n"
    "  --table=WHERE            where the pointers are: mmap, touched before the start, or\n"
    "                           malloc, doubled as std::vector does (mmap)\n"
    "  --wait=SECONDS           idle after the last free (0)\n"
    "  --trim[=PAD]             call malloc_trim(PAD) at the end (the default, PAD 0)\n"
    "  --no-trim                leave that out\n"
    "  --mallopt=NAME=VALUE     call mallopt first; may be repeated\n"
    "  --find-threshold         find by bisection the sizes at which retention changes, from 16\n"
    "                           to 16384 bytes, or between the two sizes of --size\n"
    "  --trace=FILE             write live bytes and resident bytes over time, as TSV\n"
    "  --json                   report as JSON\n"
    "  --help                   print this\n"
    "\n"
    "Exit status: 0 if all was measured, 1 if a malloc or a measurement failed, 2 for a mistake\n"
    "in the options.\n";

enum option_id {
    OPTION_SIZE = 256, OPTION_TOTAL, OPTION_ORDER, OPTION_PIN, OPTION_SPARSE, OPTION_TWICE,
    OPTION_THREADS, OPTION_TABLE, OPTION_WAIT, OPTION_TRIM, OPTION_NO_TRIM, OPTION_MALLOPT,
    OPTION_FIND, OPTION_TRACE, OPTION_JSON, OPTION_HELP
};

static const struct option options[] = {
    { "size", required_argument, NULL, OPTION_SIZE },
    { "total", required_argument, NULL, OPTION_TOTAL },
    { "order", required_argument, NULL, OPTION_ORDER },
    { "pin", optional_argument, NULL, OPTION_PIN },
    { "sparse", required_argument, NULL, OPTION_SPARSE },
    { "twice", no_argument, NULL, OPTION_TWICE },
    { "threads", required_argument, NULL, OPTION_THREADS },
    { "table", required_argument, NULL, OPTION_TABLE },
    { "wait", required_argument, NULL, OPTION_WAIT },
    { "trim", optional_argument, NULL, OPTION_TRIM },
    { "no-trim", no_argument, NULL, OPTION_NO_TRIM },
    { "mallopt", required_argument, NULL, OPTION_MALLOPT },
    { "find-threshold", no_argument, NULL, OPTION_FIND },
    { "trace", required_argument, NULL, OPTION_TRACE },
    { "json", no_argument, NULL, OPTION_JSON },
    { "help", no_argument, NULL, OPTION_HELP },
    { NULL, 0, NULL, 0 }
};

static void add_mallopt(struct life_plan *plan, const char *text)
{
    if (plan->mallopt_count == LIFE_MALLOPT_MAX)
        np_options_fail("--mallopt: more than %d of them", LIFE_MALLOPT_MAX);
    np_options_mallopt("--mallopt", text, &plan->mallopts[plan->mallopt_count++]);
}

static void apply_option(struct settings *settings, int id, const char *text)
{
    struct life_plan *plan = &settings->plan;

    switch (id) {
    case OPTION_SIZE:
        np_options_sizes("--size", text, &settings->sizes);
        break;
    case OPTION_TOTAL:
        plan->total_bytes = np_options_number("--total", text, 1, UINT64_C(1) << 46);
        break;
    case OPTION_ORDER:
        plan->order = (enum life_order)np_options_word("--order", text, np_report_orders);
        break;
    case OPTION_PIN:
        plan->pin_bytes = text == NULL ? 64
                          : (size_t)np_options_number("--pin", text, 1, 1u << 30);
        break;
    case OPTION_SPARSE:
        plan->keep_one_in = (size_t)np_options_number("--sparse", text, 1, 1u << 30);
        break;
    case OPTION_TWICE:
        plan->pass_count = 2;
        break;
    case OPTION_THREADS:
        plan->thread_count = (unsigned)np_options_number("--threads", text, 1, LIFE_THREAD_MAX);
        break;
    case OPTION_TABLE:
        plan->table = (enum life_table)np_options_word("--table", text, np_report_tables);
        break;
    case OPTION_WAIT:
        plan->wait_seconds = np_options_fraction("--wait", text, 0, 86400);
        break;
    case OPTION_TRIM:
        plan->is_trimmed = true;
        plan->trim_pad_bytes = text == NULL ? 0
                               : (size_t)np_options_number("--trim", text, 0, SIZE_MAX / 2);
        break;
    case OPTION_NO_TRIM:
        plan->is_trimmed = false;
        break;
    case OPTION_MALLOPT:
        add_mallopt(plan, text);
        break;
    case OPTION_FIND:
        settings->is_search = true;
        break;
    case OPTION_TRACE:
        settings->trace_path = text;
        plan->is_traced = true;
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

static void check_search(struct settings *settings)
{
    struct size_list *sizes = &settings->sizes;

    if (settings->trace_path != NULL)
        np_options_fail("--find-threshold and --trace do not go together");
    if (sizes->count == 0)
        *sizes = (struct size_list){ .count = 2, .bytes = { FIND_MIN_BYTES, FIND_MAX_BYTES } };
    if (sizes->count != 2 || sizes->bytes[0] >= sizes->bytes[1])
        np_options_fail("--find-threshold: --size takes two sizes, the smaller first");
    if (settings->plan.total_bytes == 0)
        settings->plan.total_bytes = 64u << 20;
}

static void parse_options(struct settings *settings, int argc, char **argv)
{
    static const struct size_list usual_sizes = {
        .count = 7, .bytes = { 24, 100, 120, 121, 500, 1024, 10240 }
    };
    int id;

    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1)
        apply_option(settings, id, optarg);
    if (optind < argc)
        np_options_fail("'%s' is not an option", argv[optind]);
    if (settings->is_search)
        check_search(settings);
    if (settings->sizes.count == 0)
        settings->sizes = usual_sizes;
    if (settings->plan.total_bytes == 0)
        settings->plan.total_bytes = 512u << 20;
    for (unsigned i = 0; i < settings->sizes.count; i++) {
        if (settings->plan.total_bytes / settings->sizes.bytes[i] < settings->plan.thread_count)
            np_options_fail("--total: fewer blocks of %zu bytes than threads",
                            settings->sizes.bytes[i]);
    }
}

static void write_trace(FILE *trace, const struct life_plan *plan,
                        const struct life_report *report, const struct life_sample *samples)
{
    for (unsigned i = 0; i < report->sample_count; i++)
        fprintf(trace, "%zu\t%.6f\t%s\t%llu\t%llu\n", plan->block_bytes, samples[i].seconds,
                np_life_phase_name(samples[i].phase), (unsigned long long)samples[i].live_bytes,
                (unsigned long long)samples[i].rss_bytes);
}

/* One life, from start to end of its process. Says on stderr why, if it fails. */
static bool live(struct settings *settings, struct life_report *report)
{
    struct child child;
    struct life_sample *samples;

    if (!np_life_child_start(&child, &settings->plan, -1)) {
        fprintf(stderr, "retention: no process could be started: %s\n", strerror(errno));
        return false;
    }
    bool is_good = np_life_child_read(&child, report, &samples);
    int status = np_child_end(&child);
    if (!is_good)
        fprintf(stderr, "retention: %zu bytes: %s\n", settings->plan.block_bytes, report->error);
    else if (status != 0)
        fprintf(stderr, "retention: %zu bytes: the process reported, but ended badly\n",
                settings->plan.block_bytes);
    if (is_good && settings->trace != NULL)
        write_trace(settings->trace, &settings->plan, report, samples);
    free(samples);
    return is_good && status == 0;
}

static bool is_any_failed(const struct life_plan *plan, const struct life_report *report)
{
    for (unsigned i = 0; i < plan->pass_count; i++) {
        if (report->passes[i].failed_count > 0)
            return true;
    }
    return false;
}

static bool run_lives(struct settings *settings, struct json *json)
{
    bool is_good = true;

    if (settings->is_json)
        np_json_open_list(json, "lives");
    for (unsigned i = 0; i < settings->sizes.count; i++) {
        struct life_report report;
        settings->plan.block_bytes = settings->sizes.bytes[i];
        if (!live(settings, &report)) {
            is_good = false;
            continue;
        }
        if (settings->is_json) {
            np_report_json_life(json, &settings->plan, &report);
        } else {
            if (i == 0)
                np_report_text_head(&settings->plan, &report);
            np_report_text_row(&settings->plan, &report);
        }
        if (is_any_failed(&settings->plan, &report))
            is_good = false;
    }
    if (settings->is_json)
        np_json_close_list(json);
    return is_good;
}

static bool measure_share(void *context, size_t block_bytes, double *retained_share)
{
    struct settings *settings = context;
    struct life_report report;

    settings->plan.block_bytes = block_bytes;
    if (!live(settings, &report) || is_any_failed(&settings->plan, &report))
        return false;
    *retained_share = np_life_retained_share(&report);
    if (!settings->is_json) {
        struct threshold_probe probe = { block_bytes, *retained_share };
        np_report_text_probe(&probe);
    }
    return true;
}

static bool run_search(struct settings *settings, struct json *json)
{
    struct threshold_search search;
    const size_t *bounds = settings->sizes.bytes;
    bool is_good = np_threshold_find(&search, bounds[0], bounds[1], measure_share, settings);

    if (settings->is_json)
        np_report_json_thresholds(json, &search);
    else if (is_good)
        np_report_text_thresholds(&search);
    return is_good;
}

static void open_trace(struct settings *settings)
{
    settings->trace = fopen(settings->trace_path, "we");
    if (settings->trace == NULL)
        np_options_fail("--trace: %s: %s", settings->trace_path, strerror(errno));
    fputs("size_bytes\tseconds\tphase\tlive_bytes\trss_bytes\n", settings->trace);
}

int main(int argc, char **argv)
{
    if (np_child_is_wanted(argc, argv))
        return np_life_child_main();

    struct settings settings = {
        .plan = { .pass_count = 1, .thread_count = 1, .is_trimmed = true }
    };
    struct json json = { 0 };
    bool is_good;

    np_options_name("retention");
    parse_options(&settings, argc, argv);
    if (settings.trace_path != NULL)
        open_trace(&settings);
    if (settings.is_json) {
        np_json_open_object(&json, NULL);
        np_json_text(&json, "program", "retention");
        np_json_command(&json, argc, argv);
    }
    is_good = settings.is_search ? run_search(&settings, &json) : run_lives(&settings, &json);
    if (settings.is_json)
        np_json_close_object(&json);
    if (settings.trace != NULL && fclose(settings.trace) != 0) {
        fprintf(stderr, "retention: %s: %s\n", settings.trace_path, strerror(errno));
        is_good = false;
    }
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

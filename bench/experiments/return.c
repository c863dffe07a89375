/* return.c: how much memory an allocator gives back, and when, in scenarios of many kinds.
 *
 * This file owns the command line, the processes in which scenarios are played, and the report;
 * scenarios.c has the scenarios. What is a good result is not known here: run.py holds neap to
 * its bounds.
 */
#include "child.h"
#include "instrument.h"
#include "json.h"
#include "options.h"
#include "scenarios.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAMPLE_STEP_MS = 2, IDLE_STEP_MS = 20 };

static const char idle_word = 'i';      /* the child's first, when it begins to idle */

struct settings {
    struct scenario_plan plan;
    const char *names;                  /* the list of --scenario; NULL: all */
    const char *variant;                /* NULL: all */
    const char *trace_path;
    FILE *trace;
    bool is_json;
    bool says_idle;
};

static const char help[] =
    "Usage: return [OPTION]...\n"
    "Plays programs that free nearly all they have, each in a process of its own, and reports how\n"
    "much memory the process holds right after the last free and after some idleness. Put another\n"
    "allocator under it with LD_PRELOAD.\n"
    "\n"
    "  --scenario=NAME[,NAME]...  which (all)\n"
    "  --variant=NAME             which variant of them (all)\n"
    "  --list                     print scenarios and variants\n"
    "  --idle=SECONDS             idle after the last free (10)\n"
    "  --scale=N                  divide the sizes by N (1)\n"
    "  --period=SECONDS           of the saws, for one tooth (0.05 and 5)\n"
    "  --teeth=N                  of the saws (60 and 3)\n"
    "  --page=BYTES               count what live blocks lie on in pages of this size (the\n"
    "                             system's)\n"
    "  --check                    compare each block with what was written, before freeing it\n"
    "  --trace=FILE               write live bytes and resident bytes over time, as TSV\n"
    "  --say-idle                 write the line \"idle\" to stderr when a process begins to\n"
    "                             idle\n"
    "  --json                     report as JSON\n"
    "  --help                     print this\n"
    "\n"
    "Exit status: 0 if all was measured, 1 if a malloc or a measurement failed or a block was\n"
    "damaged, 2 for a mistake in the options.\n";

enum option_id {
    OPTION_SCENARIO = 256, OPTION_VARIANT, OPTION_LIST, OPTION_IDLE, OPTION_SCALE, OPTION_PERIOD,
    OPTION_TEETH, OPTION_PAGE, OPTION_CHECK, OPTION_TRACE, OPTION_SAY_IDLE, OPTION_JSON,
    OPTION_HELP
};

static const struct option options[] = {
    { "scenario", required_argument, NULL, OPTION_SCENARIO },
    { "variant", required_argument, NULL, OPTION_VARIANT },
    { "list", no_argument, NULL, OPTION_LIST },
    { "idle", required_argument, NULL, OPTION_IDLE },
    { "scale", required_argument, NULL, OPTION_SCALE },
    { "period", required_argument, NULL, OPTION_PERIOD },
    { "teeth", required_argument, NULL, OPTION_TEETH },
    { "page", required_argument, NULL, OPTION_PAGE },
    { "check", no_argument, NULL, OPTION_CHECK },
    { "trace", required_argument, NULL, OPTION_TRACE },
    { "say-idle", no_argument, NULL, OPTION_SAY_IDLE },
    { "json", no_argument, NULL, OPTION_JSON },
    { "help", no_argument, NULL, OPTION_HELP },
    { NULL, 0, NULL, 0 }
};

/* The child. */

static void tell_idle(void)
{
    (void)np_child_tell(&idle_word, sizeof idle_word);
}

static int play_as_child(void)
{
    struct scenario_plan plan;
    struct scenario_report report;
    struct stage_mark *marks = NULL;

    memset(&report, 0, sizeof report);
    if (!np_child_take_plan(&plan, sizeof plan))
        return EXIT_FAILURE;
    if (plan.is_traced) {
        marks = np_map_touched(STAGE_MARK_MAX * sizeof *marks);
        if (marks == NULL)
            return EXIT_FAILURE;
    }
    bool is_played = np_scenario_play(&plan, &report, marks, tell_idle);

    if (!is_played)
        tell_idle();
    if (!np_child_tell(&report, sizeof report)
        || !np_child_tell(marks, report.mark_count * sizeof *marks))
        return EXIT_FAILURE;
    np_child_linger();
    return is_played ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The options. */

static void print_list(void)
{
    for (unsigned i = 0; i < np_scenario_count(); i++) {
        struct scenario_name name = np_scenario_name(i);
        printf("%s %s\n", name.scenario, name.variant);
    }
}

static void apply_option(struct settings *settings, int id, const char *text)
{
    struct scenario_plan *plan = &settings->plan;

    switch (id) {
    case OPTION_SCENARIO:
        settings->names = text;
        break;
    case OPTION_VARIANT:
        settings->variant = text;
        break;
    case OPTION_LIST:
        print_list();
        exit(EXIT_SUCCESS);
    case OPTION_IDLE:
        plan->idle_seconds = np_options_fraction("--idle", text, 0, 86400);
        break;
    case OPTION_SCALE:
        plan->scale = (uint32_t)np_options_number("--scale", text, 1, 64);
        break;
    case OPTION_PERIOD:
        plan->period_seconds = np_options_fraction("--period", text, 0.001, 3600);
        break;
    case OPTION_TEETH:
        plan->tooth_count = (unsigned)np_options_number("--teeth", text, 1, 100000);
        break;
    case OPTION_PAGE:
        plan->page_bytes = (size_t)np_options_number("--page", text, 1024, 1u << 30);
        break;
    case OPTION_CHECK:
        plan->is_checked = true;
        break;
    case OPTION_TRACE:
        settings->trace_path = text;
        plan->is_traced = true;
        break;
    case OPTION_SAY_IDLE:
        settings->says_idle = true;
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

/* Whether a list of names with commas has this one; a NULL list has all. */
static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);

    while (list != NULL) {
        if (strncmp(list, name, length) == 0 && (list[length] == ',' || list[length] == '\0'))
            return true;
        list = strchr(list, ',');
        if (list == NULL)
            return false;
        list++;
    }
    return true;
}

static bool is_wanted(const struct settings *settings, struct scenario_name name)
{
    return is_listed(settings->names, name.scenario)
           && (settings->variant == NULL || strcmp(settings->variant, name.variant) == 0);
}

static void check_name(const char *name, size_t length)
{
    for (unsigned i = 0; i < np_scenario_count(); i++) {
        const char *scenario = np_scenario_name(i).scenario;
        if (strlen(scenario) == length && strncmp(scenario, name, length) == 0)
            return;
    }
    np_options_fail("--scenario: '%.*s' is none; see --list", (int)length, name);
}

static void check_names(const struct settings *settings)
{
    const char *name = settings->names;

    while (name != NULL) {
        size_t length = strcspn(name, ",");
        check_name(name, length);
        name = name[length] == ',' ? name + length + 1 : NULL;
    }
    for (unsigned i = 0; i < np_scenario_count(); i++) {
        if (is_wanted(settings, np_scenario_name(i)))
            return;
    }
    np_options_fail("--variant: '%s' is none of these scenarios'; see --list", settings->variant);
}

static void parse_options(struct settings *settings, int argc, char **argv)
{
    int id;

    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1)
        apply_option(settings, id, optarg);
    if (optind < argc)
        np_options_fail("'%s' is not an option", argv[optind]);
    check_names(settings);
    if (settings->trace_path == NULL)
        return;
    settings->trace = fopen(settings->trace_path, "we");
    if (settings->trace == NULL)
        np_options_fail("--trace: %s: %s", settings->trace_path, strerror(errno));
    fputs("scenario\tvariant\tseconds\twhat\tbytes\n", settings->trace);
}

/* The parent. */

static void write_trace(const struct settings *settings, double seconds, const char *what,
                        uint64_t byte_count)
{
    struct scenario_name name = np_scenario_name(settings->plan.index);

    fprintf(settings->trace, "%s\t%s\t%.6f\t%s\t%" PRIu64 "\n", name.scenario, name.variant,
            seconds, what, byte_count);
}

/* Watches the child's memory from outside until it has something to tell. */
static void watch(struct settings *settings, const struct child *child, int step_ms)
{
    struct pollfd telling = { .fd = child->fd, .events = POLLIN };
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/statm", (int)child->pid);
    int statm_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (statm_fd < 0)
        return;
    while (poll(&telling, 1, step_ms) == 0) {
        uint64_t rss_bytes = np_rss_quick_bytes(statm_fd);
        write_trace(settings, np_clock_seconds(CLOCK_MONOTONIC), "rss", rss_bytes);
    }
    close(statm_fd);
}

static bool hear_marks(struct settings *settings, struct child *child, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct stage_mark mark;
        if (!np_child_hear(child, &mark, sizeof mark))
            return false;
        write_trace(settings, mark.seconds, "live", mark.live_bytes);
    }
    return true;
}

/* Everything that a child tells. */
static bool hear(struct settings *settings, struct child *child, struct scenario_report *report)
{
    char word;

    if (settings->trace != NULL)
        watch(settings, child, SAMPLE_STEP_MS);
    if (!np_child_hear(child, &word, sizeof word))
        return false;
    if (settings->says_idle)
        fputs("idle\n", stderr);
    if (settings->trace != NULL)
        watch(settings, child, IDLE_STEP_MS);
    return np_child_hear(child, report, sizeof *report)
           && hear_marks(settings, child, report->mark_count);
}

static void complain(const struct settings *settings, const char *what)
{
    struct scenario_name name = np_scenario_name(settings->plan.index);

    fprintf(stderr, "return: %s %s: %s\n", name.scenario, name.variant, what);
}

/* One scenario, from start to end of its process. Says on stderr why, if it fails. */
static bool play(struct settings *settings, struct scenario_report *report)
{
    struct child child;
    int status;

    memset(report, 0, sizeof *report);
    if (!np_child_start(&child, &settings->plan, sizeof settings->plan, -1)) {
        complain(settings, strerror(errno));
        return false;
    }
    if (!hear(settings, &child, report))
        np_child_describe_end(&child, report->error, sizeof report->error);
    status = np_child_end(&child);
    if (report->error[0] != '\0')
        complain(settings, report->error);
    else if (status != 0)
        complain(settings, "the process reported, but ended badly");
    return report->error[0] == '\0' && status == 0;
}

/* The report. */

static double mib(uint64_t byte_count)
{
    return (double)byte_count / (1024.0 * 1024.0);
}

static double above_start(const struct scenario_report *report, uint64_t rss_bytes)
{
    return mib(rss_bytes) - mib(report->start.rss_bytes);
}

static void print_head(const struct settings *settings, const struct scenario_report *report)
{
    printf("malloc is that of %s\n"
           "Resident MiB above those at the start: at the peak, after the last free, after %g s "
           "of idleness,\nafter malloc_trim; live: the system pages that hold a live byte.\n"
           "%-14s %-15s %7s %7s %7s %7s %7s %7s %7s %7s\n",
           report->allocator, settings->plan.idle_seconds, "scenario", "variant", "start", "peak",
           "freed", "idle", "trim", "live", "s", "cpu s");
}

static void print_row(const struct settings *settings, const struct scenario_report *report)
{
    struct scenario_name name = np_scenario_name(settings->plan.index);

    printf("%-14s %-15s %7.1f %7.1f %7.1f %7.1f %7.1f %7.1f %7.2f %7.2f\n", name.scenario,
           name.variant, mib(report->start.rss_bytes), above_start(report, report->peak_rss_bytes),
           above_start(report, report->freed.rss_bytes),
           above_start(report, report->idle.rss_bytes),
           above_start(report, report->trimmed.rss_bytes), mib(report->kept.page_bytes),
           report->seconds, report->cpu_seconds);
    if (report->failed_count > 0)
        printf("    %" PRIu64 " blocks could not be allocated\n", report->failed_count);
    if (report->damaged_count > 0)
        printf("    %" PRIu64 " blocks did not hold what was written to them\n",
               report->damaged_count);
    fflush(stdout);
}

static void json_reading(struct json *json, const char *key, struct rss_reading reading)
{
    np_json_open_object(json, key);
    np_json_unsigned(json, "rss_bytes", reading.rss_bytes);
    np_json_unsigned(json, "anonymous_bytes", reading.anonymous_bytes);
    np_json_close_object(json);
}

static void json_row(struct json *json, const struct settings *settings,
                     const struct scenario_report *report)
{
    struct scenario_name name = np_scenario_name(settings->plan.index);

    np_json_open_object(json, NULL);
    np_json_text(json, "scenario", name.scenario);
    np_json_text(json, "variant", name.variant);
    np_json_unsigned(json, "scale", settings->plan.scale);
    np_json_unsigned(json, "page_bytes", settings->plan.page_bytes);
    np_json_fraction(json, "idle_seconds", settings->plan.idle_seconds);
    np_json_text(json, "allocator", report->allocator);
    json_reading(json, "start", report->start);
    json_reading(json, "tooth", report->tooth);
    json_reading(json, "freed", report->freed);
    json_reading(json, "idle", report->idle);
    json_reading(json, "trimmed", report->trimmed);
    np_json_unsigned(json, "peak_rss_bytes", report->peak_rss_bytes);
    np_json_signed(json, "trim_answer", report->trim_answer);
    np_json_fraction(json, "seconds", report->seconds);
    np_json_fraction(json, "cpu_seconds", report->cpu_seconds);
    np_json_unsigned(json, "block_count", report->block_count);
    np_json_unsigned(json, "kept_count", report->kept.count);
    np_json_unsigned(json, "kept_bytes", report->kept.bytes);
    np_json_unsigned(json, "kept_page_bytes", report->kept.page_bytes);
    np_json_unsigned(json, "failed_count", report->failed_count);
    np_json_unsigned(json, "damaged_count", report->damaged_count);
    np_json_close_object(json);
}

static bool play_all(struct settings *settings, struct json *json)
{
    bool is_good = true;
    bool is_first = true;

    for (unsigned i = 0; i < np_scenario_count(); i++) {
        struct scenario_report report;
        if (!is_wanted(settings, np_scenario_name(i)))
            continue;
        settings->plan.index = i;
        if (!play(settings, &report)) {
            is_good = false;
            continue;
        }
        if (settings->is_json)
            json_row(json, settings, &report);
        else if (is_first)
            print_head(settings, &report);
        if (!settings->is_json)
            print_row(settings, &report);
        is_first = false;
        if (report.failed_count > 0 || report.damaged_count > 0)
            is_good = false;
    }
    return is_good;
}

int main(int argc, char **argv)
{
    if (np_child_is_wanted(argc, argv))
        return play_as_child();

    struct settings settings = { .plan = { .scale = 1, .idle_seconds = 10,
                                           .page_bytes = (size_t)sysconf(_SC_PAGESIZE) } };
    struct json json = { 0 };
    bool is_good;

    np_options_name("return");
    parse_options(&settings, argc, argv);
    if (settings.is_json) {
        np_json_open_object(&json, NULL);
        np_json_text(&json, "program", "return");
        np_json_command(&json, argc, argv);
        np_json_open_list(&json, "plays");
    }
    is_good = play_all(&settings, &json);
    if (settings.is_json) {
        np_json_close_list(&json);
        np_json_close_object(&json);
    }
    if (settings.trace != NULL && fclose(settings.trace) != 0) {
        fprintf(stderr, "return: %s: %s\n", settings.trace_path, strerror(errno));
        is_good = false;
    }
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

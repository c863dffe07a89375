/* life_child.c: see life_child.h. */
#include "life_child.h"

#include "instrument.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int np_life_child_main(void)
{
    struct life_plan plan;
    struct life_report report;
    struct life_sample *samples = NULL;

    memset(&report, 0, sizeof report);
    if (!np_child_take_plan(&plan, sizeof plan))
        return EXIT_FAILURE;
    if (plan.is_traced) {
        samples = np_map_touched(LIFE_SAMPLE_MAX * sizeof *samples);
        if (samples == NULL)
            return EXIT_FAILURE;
    }
    bool is_lived = np_life_run(&plan, &report, samples);

    if (!np_child_tell(&report, sizeof report)
        || !np_child_tell(samples, report.sample_count * sizeof *samples))
        return EXIT_FAILURE;
    np_child_linger();
    return is_lived ? EXIT_SUCCESS : EXIT_FAILURE;
}

bool np_life_child_start(struct child *child, const struct life_plan *plan, int procs_fd)
{
    return np_child_start(child, plan, sizeof *plan, procs_fd);
}

bool np_life_child_read(struct child *child, struct life_report *report,
                        struct life_sample **samples)
{
    *samples = NULL;
    if (!np_child_hear(child, report, sizeof *report)) {
        memset(report, 0, sizeof *report);
        np_child_describe_end(child, report->error, sizeof report->error);
        return false;
    }
    if (report->sample_count > 0) {
        size_t sample_bytes = report->sample_count * sizeof **samples;
        *samples = malloc(sample_bytes);
        if (*samples == NULL || !np_child_hear(child, *samples, sample_bytes)) {
            snprintf(report->error, sizeof report->error, "the trace could not be read");
            return false;
        }
    }
    return report->error[0] == '\0';
}

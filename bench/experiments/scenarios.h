/* scenarios.h: programs that free nearly all they have, each in a way that some allocator answers
 * by keeping it. docs/experiments.md says what each is for.
 *
 * A process plays one scenario; plans and reports hold no pointers, because they travel between
 * processes (child.h). malloc, realloc, free and malloc_trim are called by their usual names, so
 * that LD_PRELOAD puts any allocator under them.
 */
#ifndef NP_EXPERIMENTS_SCENARIOS_H
#define NP_EXPERIMENTS_SCENARIOS_H

#include "rss.h"
#include "stage.h"

struct scenario_plan {
    unsigned index;             /* of the scenario */
    uint32_t scale;             /* sizes are divided by this */
    double idle_seconds;
    double period_seconds;      /* of the saw; 0: as the scenario has it */
    unsigned tooth_count;       /* the same */
    size_t page_bytes;          /* in which to count what live blocks lie on */
    bool is_checked;
    bool is_traced;
};

struct scenario_report {
    struct rss_reading start;
    struct rss_reading tooth;           /* at the top of the first tooth of a saw; else zeros */
    struct rss_reading freed;           /* right after the last free */
    struct rss_reading idle;            /* after the idle seconds */
    struct rss_reading trimmed;         /* after malloc_trim(0) */
    uint64_t peak_rss_bytes;
    int trim_answer;
    double seconds;                     /* from the first malloc to the last free */
    double cpu_seconds;
    uint64_t block_count;               /* of all tables; a saw counts one tooth */
    uint64_t failed_count;              /* mallocs that returned NULL */
    uint64_t damaged_count;             /* blocks that did not hold what was written to them */
    struct kept_blocks kept;
    unsigned mark_count;
    char error[128];                    /* empty if all went well */
    char allocator[256];                /* the file that malloc came from */
};

struct scenario_name {
    const char *scenario;
    const char *variant;                /* "-" where there is one only */
};

unsigned np_scenario_count(void);
struct scenario_name np_scenario_name(unsigned index);

/* In a process of its own: plays, calls tell_idle when the last free has returned and been
 * measured, idles, trims, reports. marks has room for STAGE_MARK_MAX, or is NULL. False, with
 * report->error set, if it could not be carried out. */
bool np_scenario_play(const struct scenario_plan *plan, struct scenario_report *report,
                      struct stage_mark *marks, void (*tell_idle)(void));

#endif

/* PROGRAM SCENARIO [SECONDS [SEED [MIB]]]
 *
 * Runs one of the adversaries (scenarios.h). SECONDS are for the random ones, MIB for the
 * others. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "audit.h"
#include "heap.h"
#include "scenarios.h"
#include "truth.h"
#include "tune.h"

enum { HANG_SECONDS = 240 };

struct options options = {.seed = 1, .seconds = 2, .total_bytes = (size_t)32 << 20};

static const struct scenario *find(const struct scenario *table, const char *name)
{
    for (; table->name != NULL; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

static void list(const struct scenario *table)
{
    for (; table->name != NULL; table++)
        printf("%s\n", table->name);
}

/* What is needed of libc's malloc is taken at once, so that it does not move the break later, and
 * the break's end stays neap's. The kernel fills no holes, and there is no helper that returns
 * memory while the audit walks. */
static void prepare_process(void)
{
    static char output[4096];

    setvbuf(stdout, output, _IOFBF, sizeof output);
    (void)mallopt(M_TOP_PAD, 1 << 20);
    free(malloc(1));
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    REQUIRE(np_tune_set(NP_KNOB_HELPER, 0));
    truth_begin();
    audit_begin();
}

int main(int argc, char **argv)
{
    const struct scenario *scenario = NULL;

    if (argc > 1 && (scenario = find(one_thread_scenarios, argv[1])) == NULL &&
        (scenario = find(thread_scenarios, argv[1])) == NULL)
        scenario = find(random_scenarios, argv[1]);
    if (scenario == NULL) {
        list(one_thread_scenarios);
        list(thread_scenarios);
        list(random_scenarios);
        return argc > 1 ? 2 : 0;
    }
    options.seconds = argc > 2 ? (unsigned)atoi(argv[2]) : options.seconds;
    options.seed = argc > 3 ? strtoull(argv[3], NULL, 10) : options.seed;
    options.total_bytes = argc > 4 ? (size_t)atol(argv[4]) << 20 : options.total_bytes;
    prepare_process();
    /* What goes for a program whose malloc is neap's. */
    np_heap_may_be_alone = find(one_thread_scenarios, argv[1]) != NULL;
    alarm(options.seconds + HANG_SECONDS);
    printf("%s, %u s, seed %llu\n", scenario->name, options.seconds,
           (unsigned long long)options.seed);
    fflush(stdout);
    scenario->run();
    audit_report();
    _exit(0); /* there may be threads that are blocked for ever */
}

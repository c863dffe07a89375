/* Trap: a program that thrashes and then does nothing keeps its last tooth, unless the helper takes
 * it; and the helper must not take it between two teeth. Started with NEAP_HELPER=1. */
#include <sys/resource.h>

#include "helper.h"

enum { TEETH = 20, PERIOD_MS = 50, SKIPPED = 77 };

/* The longest time for a tooth in which most of it stays: a 32nd of the time may go into refaults,
 * which is a third of a tooth then, at REFAULT_SECONDS a page. */
#define BUSY_SECONDS 0.2
#define REFAULT_SECONDS 1.2e-6

static long faults(void)
{
    struct rusage usage;

    REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_minflt;
}

/* At work all the time, with a tooth every 50 ms; the longest time that one took. */
static double work(void)
{
    double longest = 0;
    double before = seconds();

    for (unsigned i = 0; i < TEETH; i++) {
        double next = seconds() + PERIOD_MS / 1e3;

        grow();
        drop();
        if (longest < seconds() - before)
            longest = seconds() - before;
        before = seconds();
        if (before < next)
            sleep_seconds(next - before);
    }
    return longest;
}

/* Whether it was at work, as far as can be seen: a busy machine may keep it from that. */
static bool thrash_and_work(size_t resident_at_start)
{
    long faults_before;
    size_t resident;
    double longest;
    double first;
    double last;
    bool is_helped;

    thrash();
    REQUIRE(task_count() <= 2);
    grow();
    drop();
    /* Most of a tooth stays by now. */
    faults_before = faults();
    first = seconds();
    longest = work();
    last = seconds();
    resident = resident_bytes();
    is_helped = has_helper();
    if (longest > BUSY_SECONDS || seconds() - last > BUSY_SECONDS)
        return false;
    /* And 10 ms that anybody may spend; half as much again, since it is reckoned in steps. */
    REQUIRE((double)(faults() - faults_before) * REFAULT_SECONDS <
            ((last - first) / 32 + 0.01) * 1.5);
    REQUIRE(resident > resident_at_start + TOOTH_MIB * MIB / 2);
    REQUIRE(is_helped);
    return true;
}

/* Whether it was at work before. */
static bool thrash_and_idle(size_t resident_at_start)
{
    bool has_worked = false;

    for (unsigned attempt = 0; attempt < 10 && !has_worked; attempt++) {
        has_worked = thrash_and_work(resident_at_start);
        REQUIRE(helper_ends_within(LONG_SECONDS));
        REQUIRE(resident_bytes() <= resident_at_start + 4 * MIB);
        REQUIRE(task_count() == 1);
    }
    return has_worked;
}

int main(void)
{
    size_t resident_at_start;

    alarm(240);
    memset(tooth, 1, sizeof tooth);
    free(malloc(100));
    resident_at_start = resident_bytes();
    for (unsigned time = 0; time < 2; time++) /* it comes again */
        if (!thrash_and_idle(resident_at_start)) {
            fprintf(stderr, "skipped: the machine is so busy that a program at work seems idle\n");
            return SKIPPED;
        }
    return 0;
}

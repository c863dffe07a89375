/* Trap: a program that thrashes and then does nothing keeps its last tooth, unless the helper takes
 * it; and the helper must not take it between two teeth. Started with NEAP_HELPER=1. */
#include <sys/resource.h>

#include "helper.h"

enum { TEETH = 20, PERIOD_MS = 50 };

static long faults(void)
{
    struct rusage usage;

    REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_minflt;
}

static void thrash_and_idle(size_t resident_at_start)
{
    long faults_before;

    REQUIRE(thrash());
    REQUIRE(task_count() == 2);
    grow();
    drop();
    /* All of a tooth stays by now. */
    faults_before = faults();
    for (unsigned i = 0; i < TEETH; i++) {
        double next = seconds() + PERIOD_MS / 1e3;

        grow();
        drop();
        if (seconds() < next)
            sleep_seconds(next - seconds());
    }
    REQUIRE(faults() - faults_before < (long)(TEETH * TOOTH_MIB * MIB / 4096 / 8));
    REQUIRE(resident_bytes() > resident_at_start + TOOTH_MIB * MIB / 2);
    REQUIRE(has_helper());
    sleep_seconds(2);
    REQUIRE(resident_bytes() <= resident_at_start + 4 * MIB);
    REQUIRE(task_count() == 1);
}

int main(void)
{
    size_t resident_at_start;

    alarm(80);
    memset(tooth, 1, sizeof tooth);
    free(malloc(100));
    resident_at_start = resident_bytes();
    thrash_and_idle(resident_at_start);
    thrash_and_idle(resident_at_start); /* it comes again */
    return 0;
}

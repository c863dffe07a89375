/* The real kernel behind os.h: what other tests, on the fake one, take for granted. */
#include "../isolated.h"

#include <errno.h>
#include <time.h>

#include "os.h"

#define MS UINT64_C(1000000)

static uint64_t exact_ns(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

/* It lags behind the exact clock by a step at most, which is 10 ms where steps are longest. */
static void coarse_time_passes(void **state)
{
    uint64_t start = np_os_coarse_ns();
    uint64_t before = start;

    (void)state;
    do {
        uint64_t exact = exact_ns();
        uint64_t coarse = np_os_coarse_ns();

        assert_true(coarse >= before);
        assert_true(coarse + 10 * MS > exact);
        assert_true(coarse <= exact_ns());
        before = coarse;
    } while (before < start + 30 * MS);
}

static void coarse_time_leaves_errno(void **state)
{
    (void)state;
    errno = ERANGE;
    (void)np_os_coarse_ns();
    assert_int_equal(errno, ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coarse_time_passes),
        cmocka_unit_test(coarse_time_leaves_errno),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

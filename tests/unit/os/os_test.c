/* The real kernel behind os.h: what other tests, on the fake one, take for granted. */
#include "../isolated.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include "os.h"

#define MS UINT64_C(1000000)

static uint64_t exact_ns(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

/* It lags behind the exact clock by a step, which is 10 ms where steps are longest, and by more
 * while the machine's own processor is taken from it. So not each look is near, but some are: those
 * just behind a step. */
static void coarse_time_passes(void **state)
{
    uint64_t start = np_os_coarse_ns();
    uint64_t before = start;
    uint64_t least_lag_ns = UINT64_MAX;

    (void)state;
    do {
        uint64_t exact = exact_ns();
        uint64_t coarse = np_os_coarse_ns();
        uint64_t lag_ns = coarse < exact ? exact - coarse : 0;

        assert_true(coarse >= before);
        assert_true(coarse <= exact_ns());
        before = coarse;
        if (lag_ns < least_lag_ns)
            least_lag_ns = lag_ns;
    } while (before < start + 30 * MS);
    assert_in_range(least_lag_ns, 0, 10 * MS);
}

static void fine_time_is_the_exact_clock(void **state)
{
    uint64_t before = exact_ns();
    uint64_t fine = np_os_fine_ns();

    (void)state;
    assert_true(before <= fine);
    assert_true(fine <= exact_ns());
}

static int write_to(char *address)
{
    pid_t child = fork();

    if (child == 0) {
        (void)signal(SIGSEGV, SIG_DFL);
        *(volatile char *)address = 1;
        _exit(0);
    }
    return wait_for_child(child);
}

static void expect_guarded(size_t bytes, size_t alignment_bytes)
{
    size_t page = np_os_page_bytes();
    char *memory = np_os_map_guarded(bytes, alignment_bytes);

    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % alignment_bytes, 0);
    assert_int_equal(write_to(memory), 0);
    assert_int_equal(write_to(memory + bytes - 1), 0);
    assert_int_equal(write_to(memory - 1), 128 + SIGSEGV);
    assert_int_equal(write_to(memory - page), 128 + SIGSEGV);
    assert_int_equal(write_to(memory + bytes), 128 + SIGSEGV);
    assert_int_equal(write_to(memory + bytes + page - 1), 128 + SIGSEGV);
    assert_true(np_os_release(memory - page, bytes + 2 * page));
}

static void guards_lie_on_both_sides(void **state)
{
    size_t page = np_os_page_bytes();

    (void)state;
    expect_guarded(page, 1);
    expect_guarded(3 * page, page);
    expect_guarded(5 * page, 64 * page);
    assert_null(np_os_map_guarded((SIZE_MAX - 16 * page) & ~(page - 1), 1));
}

/* More pages than are asked about in one call. */
static void resident_bytes_are_those_touched(void **state)
{
    size_t page = np_os_page_bytes();
    size_t bytes = 700 * page;
    char *memory = np_os_map(bytes, 1);

    (void)state;
    assert_non_null(memory);
    (void)np_os_forbid_huge_pages(memory, bytes); /* one would be resident as a whole */
    assert_int_equal(np_os_resident_bytes(memory, bytes), 0);
    for (size_t index = 0; index < 700; index += 7)
        memory[index * page] = 1;
    assert_int_equal(np_os_resident_bytes(memory, bytes), 100 * page);
    assert_int_equal(np_os_resident_bytes(memory + 7 * page, page), page);
    assert_int_equal(np_os_resident_bytes(memory + page, 6 * page), 0);
    assert_true(np_os_purge(memory, bytes));
    assert_int_equal(np_os_resident_bytes(memory, bytes), 0);
    /* The kernel says nothing of what is not mapped: it might all be there. */
    assert_true(np_os_release(memory, bytes));
    errno = ERANGE;
    assert_int_equal(np_os_resident_bytes(memory, bytes), bytes);
    assert_int_equal(errno, ERANGE);
}

static void the_same_page_by_page(void **state)
{
    size_t page = np_os_page_bytes();
    char *memory = np_os_map(10 * page, 1);
    unsigned char pages[10];

    (void)state;
    assert_non_null(memory);
    memory[0] = memory[4 * page] = memory[10 * page - 1] = 1;
    errno = ERANGE;
    assert_true(np_os_residency(memory, 10 * page, pages));
    for (size_t index = 0; index < 10; index++)
        assert_int_equal(pages[index] & 1, index == 0 || index == 4 || index == 9);
    assert_true(np_os_release(memory, 10 * page));
    assert_false(np_os_residency(memory, 10 * page, pages));
    assert_int_equal(errno, ERANGE);
}

/* Asked for here, so that it makes no difference how the kernel is set. */
static void no_huge_pages_where_they_are_forbidden(void **state)
{
    const size_t huge = (size_t)2 << 20;
    char *memory = np_os_map(2 * huge, huge);

    (void)state;
    assert_non_null(memory);
    if (madvise(memory, 2 * huge, MADV_HUGEPAGE) == 0)
        assert_true(np_os_forbid_huge_pages(memory, 2 * huge));
    memory[0] = memory[huge] = 1;
    assert_int_equal(np_os_resident_bytes(memory, 2 * huge), 2 * np_os_page_bytes());
    assert_true(np_os_release(memory, 2 * huge));
    /* Nothing is mapped there any more; an emulator may not mind. */
    errno = ERANGE;
    if (madvise(memory, 2 * huge, MADV_NOHUGEPAGE) != 0) {
        errno = ERANGE;
        assert_false(np_os_forbid_huge_pages(memory, 2 * huge));
    }
    assert_int_equal(errno, ERANGE);
}

static void coarse_time_leaves_errno(void **state)
{
    (void)state;
    errno = ERANGE;
    (void)np_os_coarse_ns();
    assert_int_equal(errno, ERANGE);
}

static void a_pause_leaves_errno(void **state)
{
    uint64_t start_ns = np_os_fine_ns();

    (void)state;
    errno = ERANGE;
    np_os_pause();
    assert_int_equal(errno, ERANGE);
    assert_true(np_os_fine_ns() - start_ns >= 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coarse_time_passes),
        cmocka_unit_test(coarse_time_leaves_errno),
        cmocka_unit_test(a_pause_leaves_errno),
        cmocka_unit_test(fine_time_is_the_exact_clock),
        cmocka_unit_test(guards_lie_on_both_sides),
        cmocka_unit_test(resident_bytes_are_those_touched),
        cmocka_unit_test(the_same_page_by_page),
        cmocka_unit_test(no_huge_pages_where_they_are_forbidden),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

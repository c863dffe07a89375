/* The fake kernel: what it does on demand, and the breaches of the contract it dies of. So far:
 * purging of ranges, and time. */
#include "isolated.h"

#include <signal.h>
#include <string.h>

#include "os.h"
#include "os_fake.h"

enum { RANGES = 10, STAMP = 0x5A, DIED = 128 + SIGABRT };

static unsigned char *memory;
static struct np_range ranges[RANGES];

/* A range of a page, then a page between, RANGES times. */
static void make_ranges(void)
{
    size_t page = np_os_page_bytes();

    memory = np_os_map(2 * RANGES * page, 1);
    EXPECT(memory != NULL);
    memset(memory, STAMP, 2 * RANGES * page);
    for (size_t i = 0; i < RANGES; i++)
        ranges[i] = (struct np_range){memory + 2 * i * page, page};
}

/* The first `count` ranges have gone, the others have their contents. */
static void expect_gone(size_t count)
{
    size_t page = np_os_page_bytes();

    for (size_t i = 0; i < RANGES; i++) {
        size_t resident_bytes = os_fake_resident_bytes(ranges[i].address, page);

        assert_int_equal(resident_bytes, i < count ? 0 : page);
        if (i >= count)
            assert_int_equal(*(unsigned char *)ranges[i].address, STAMP);
        assert_int_equal(*((unsigned char *)ranges[i].address + page), STAMP);
    }
}

static size_t purge_counting(size_t *calls)
{
    *calls = 0;
    return np_os_purge_ranges(ranges, RANGES, calls);
}

static void ranges_go_in_one_call(void **state)
{
    size_t page = np_os_page_bytes();
    size_t calls;

    (void)state;
    make_ranges();
    assert_int_equal(purge_counting(&calls), RANGES);
    expect_gone(RANGES);
    assert_int_equal(calls, 1);
    assert_int_equal(os_fake_calls(OS_FAKE_PURGE_RANGES), 1);
    assert_int_equal(os_fake_calls(OS_FAKE_PURGE), 0);
    assert_int_equal(os_fake_purged_bytes(), RANGES * page);
    assert_int_equal(os_fake_largest_purge_bytes(), RANGES * page);
}

static void a_locked_range_stops_it(void **state)
{
    size_t page = np_os_page_bytes();
    size_t calls;

    (void)state;
    make_ranges();
    os_fake_lock_memory(ranges[7].address, page);
    assert_int_equal(purge_counting(&calls), 7);
    expect_gone(7);
    assert_int_equal(os_fake_largest_purge_bytes(), 7 * page);
    assert_false(os_fake_has_failed());
}

static void a_refused_call_does_nothing(void **state)
{
    size_t calls;

    (void)state;
    make_ranges();
    os_fake_refuse(OS_FAKE_PURGE_RANGES);
    assert_int_equal(purge_counting(&calls), 0);
    assert_int_equal(calls, 1);
    os_fake_reset();
    os_fake_fail_from(1);
    assert_int_equal(purge_counting(&calls), 0);
    assert_true(os_fake_has_failed());
    expect_gone(0);
}

static void the_nth_call_stops_half_way(void **state)
{
    size_t calls;

    (void)state;
    make_ranges();
    os_fake_fail_call(1);
    assert_int_equal(purge_counting(&calls), RANGES / 2);
    assert_true(os_fake_has_failed());
    expect_gone(RANGES / 2);
    assert_int_equal(purge_counting(&calls), RANGES);
}

enum breach { NONE, NO_RANGES, NO_BYTES, PART_OF_A_PAGE, NOT_COMMITTED, RELEASED };

/* The last range is the one that is wrong. */
static int purge_in_breach(unsigned breach)
{
    size_t page = np_os_page_bytes();
    struct np_range *last = &ranges[RANGES - 1];
    size_t calls;

    make_ranges();
    if (breach == NO_RANGES)
        (void)np_os_purge_ranges(ranges, 0, &calls);
    if (breach == NO_BYTES)
        last->bytes = 0;
    if (breach == PART_OF_A_PAGE)
        last->bytes = page / 2;
    if (breach == NOT_COMMITTED)
        last->address = np_os_reserve(page, page);
    if (breach == RELEASED)
        (void)np_os_release(last->address, page);
    /* Even a call that does nothing is looked at. */
    os_fake_refuse(OS_FAKE_PURGE_RANGES);
    (void)purge_counting(&calls);
    return 0;
}

static void a_breach_in_any_range_is_fatal(void **state)
{
    (void)state;
    assert_int_equal(run_in_child(purge_in_breach, NONE), 0);
    for (unsigned breach = NO_RANGES; breach <= RELEASED; breach++)
        assert_int_equal(run_in_child(purge_in_breach, breach), DIED);
}

/* More often than there is room for ranges, of more pages than can be looked at one by one; but
 * the thread sanitizer leaves a program little more than 1 TiB for mappings. */
static void huge_pages_are_forbidden_until_it_goes_back(void **state)
{
    const size_t bytes = SIZE_MAX > UINT32_MAX ? SIZE_MAX >> 27 : (size_t)1 << 29;
    size_t page = np_os_page_bytes();
    size_t whole = bytes / 3 / page * page;
    char *range;

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        range = np_os_reserve(3 * whole, page);
        assert_non_null(range);
        assert_true(os_fake_may_have_huge_pages(range));
        assert_true(np_os_forbid_huge_pages(range, 2 * whole));
        assert_true(np_os_forbid_huge_pages(range + whole, 2 * whole));
        assert_false(os_fake_may_have_huge_pages(range));
        assert_false(os_fake_may_have_huge_pages(range + 3 * whole - 1));
        assert_true(np_os_commit(range + whole, page));
        assert_true(np_os_release(range + whole, whole));
        assert_true(os_fake_may_have_huge_pages(range + whole));
        assert_true(os_fake_may_have_huge_pages(range + 2 * whole - 1));
        assert_false(os_fake_may_have_huge_pages(range + whole - 1));
        assert_false(os_fake_may_have_huge_pages(range + 2 * whole));
        assert_true(np_os_release(range, whole));
        assert_true(np_os_release(range + 2 * whole, whole));
    }
}

static int forbid_beyond(unsigned breach)
{
    size_t page = np_os_page_bytes();
    char *range = np_os_reserve(3 * page, page);

    if (!np_os_release(range + breach * page, page))
        return 1;
    (void)np_os_forbid_huge_pages(range, 2 * page);
    return 0;
}

static void huge_pages_are_forbidden_of_what_is_ours(void **state)
{
    (void)state;
    assert_int_equal(run_in_child(forbid_beyond, 0), DIED);
    assert_int_equal(run_in_child(forbid_beyond, 1), DIED);
    assert_int_equal(run_in_child(forbid_beyond, 2), 0);
}

static void time_passes_when_told(void **state)
{
    uint64_t start = np_os_coarse_ns();

    (void)state;
    assert_true(start > 0);
    assert_int_equal(np_os_coarse_ns(), start);
    os_fake_advance_coarse_ns(7);
    assert_int_equal(np_os_coarse_ns(), start + 7);
    os_fake_set_coarse_ns(3);
    assert_int_equal(np_os_coarse_ns(), 3);
    os_fake_reset();
    assert_int_equal(np_os_coarse_ns(), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_go_in_one_call),
        cmocka_unit_test(a_locked_range_stops_it),
        cmocka_unit_test(a_refused_call_does_nothing),
        cmocka_unit_test(the_nth_call_stops_half_way),
        cmocka_unit_test(a_breach_in_any_range_is_fatal),
        cmocka_unit_test(huge_pages_are_forbidden_until_it_goes_back),
        cmocka_unit_test(huge_pages_are_forbidden_of_what_is_ours),
        cmocka_unit_test(time_passes_when_told),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* malloc_trim, and M_TRIM_THRESHOLD = -1, which leaves everything to it. */
#include "api_test.h"

enum { MOST_BLOCKS = 700000 };

static char *blocks[MOST_BLOCKS];
static const size_t total_bytes = 48 * MIB;

static int keep_everything(void **state)
{
    (void)state;
    memset(blocks, 0, sizeof(blocks)); /* resident from the start */
    return api_mallopt(M_TRIM_THRESHOLD, -1) == 1 && api_mallopt(M_MMAP_MAX, 0) == 1 ? 0 : -1;
}

static void allocate_and_free(size_t size)
{
    size_t count = total_bytes / size;

    for (size_t i = 0; i < count; i++) {
        blocks[i] = api_malloc(size);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, size);
    }
    for (size_t i = 0; i < count; i++)
        api_free(blocks[i]);
}

static void what_the_threshold_keeps_goes_at_a_trim(void **state)
{
    static const size_t sizes[] = {80, 100, 500, 1024, 5000, 20000, 200000, 1500000};

    (void)state;
    (void)api_malloc_trim(0);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t resident_at_start = resident_bytes();

        allocate_and_free(sizes[i]);
        if (resident_bytes() < resident_at_start + total_bytes / 10 * 9)
            fail_msg("%zu: a threshold of -1 did not keep it all", sizes[i]);
        assert_int_equal(api_malloc_trim(0), 1);
        if (resident_bytes() > resident_at_start + 2 * MIB)
            fail_msg("%zu: %zu bytes stay after the trim", sizes[i],
                     resident_bytes() - resident_at_start);
    }
}

/* glibc says 1 again and again. */
static void it_says_1_only_if_something_went(void **state)
{
    (void)state;
    allocate_and_free(3000);
    assert_int_equal(api_malloc_trim(0), 1);
    if (!API_IS_NEAP)
        return;
    assert_int_equal(api_malloc_trim(0), 0);
    assert_int_equal(api_malloc_trim(0), 0);
    allocate_and_free(100);
    assert_int_equal(api_malloc_trim(0), 1);
    assert_int_equal(api_malloc_trim(0), 0);
}

static void live_blocks_are_not_hurt(void **state)
{
    const size_t size = 700;
    size_t count = total_bytes / size;
    size_t resident_when_full;

    (void)state;
    for (size_t i = 0; i < count; i++) {
        blocks[i] = api_malloc(size);
        assert_non_null(blocks[i]);
        pattern_fill(blocks[i], size, i);
    }
    resident_when_full = resident_bytes();
    /* One in a hundred stays, side by side: a run is what goes back, not a page between live
     * slots. */
    for (size_t i = 0; i < count; i++) {
        if (i % 10000 >= 100)
            api_free(blocks[i]);
    }
    (void)api_malloc_trim(0);
    assert_true(resident_bytes() < resident_when_full - total_bytes / 3 * 2);
    for (size_t i = 0; i < count; i++) {
        if (i % 10000 >= 100)
            continue;
        assert_true(pattern_holds(blocks[i], size, i));
        api_free(blocks[i]);
    }
}

static void the_pad_stays(void **state)
{
    size_t resident_at_start;

    (void)state;
    (void)api_malloc_trim(0);
    resident_at_start = resident_bytes();
    allocate_and_free(20000);
    assert_int_equal(api_malloc_trim(16 * MIB), 1);
    assert_true(resident_bytes() >= resident_at_start + 15 * MIB);
    assert_true(resident_bytes() <= resident_at_start + 18 * MIB);
    assert_int_equal(api_malloc_trim(0), 1);
    assert_true(resident_bytes() <= resident_at_start + 2 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_threshold_keeps_goes_at_a_trim),
        cmocka_unit_test(it_says_1_only_if_something_went),
        cmocka_unit_test(live_blocks_are_not_hurt),
        cmocka_unit_test(the_pad_stays),
    };

    return cmocka_run_group_tests(tests, keep_everything, NULL);
}

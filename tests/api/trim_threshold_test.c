/* M_TRIM_THRESHOLD, set by the program: what is free up to it stays, what is above it goes when it
 * is freed. In the order of the tests: each leaves its setting to the next. */
#include "api_test.h"

enum { MOST_BLOCKS = 2000, BLOCK_BYTES = 50000 };

static char *blocks[MOST_BLOCKS];

/* Resident bytes that are left of so many that were allocated, written and freed. */
static size_t kept_of(size_t total_bytes)
{
    size_t resident_at_start = resident_bytes();
    size_t count = total_bytes / BLOCK_BYTES;
    size_t resident_at_end;

    assert_true(count <= MOST_BLOCKS);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = api_malloc(BLOCK_BYTES);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    for (size_t i = 0; i < count; i++)
        api_free(blocks[i]);
    resident_at_end = resident_bytes();
    return resident_at_end < resident_at_start ? 0 : resident_at_end - resident_at_start;
}

static int warm_up(void **state)
{
    (void)state;
    memset(blocks, 1, sizeof(blocks));
    return api_mallopt(M_TRIM_THRESHOLD, (int)(8 * MIB)) == 1 ? 0 : -1;
}

static void what_is_below_it_stays(void **state)
{
    (void)state;
    assert_true(kept_of(6 * MIB) >= 5 * MIB);
}

static void what_is_above_it_goes(void **state)
{
    (void)state;
    (void)api_malloc_trim(0);
    assert_true(kept_of(64 * MIB) <= 8 * MIB + MIB / 2);
}

static void zero_keeps_nothing(void **state)
{
    (void)state;
    assert_int_equal(api_mallopt(M_TRIM_THRESHOLD, 0), 1);
    (void)api_malloc_trim(0);
    assert_true(kept_of(6 * MIB) <= MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_below_it_stays),
        cmocka_unit_test(what_is_above_it_goes),
        cmocka_unit_test(zero_keeps_nothing),
    };

    return cmocka_run_group_tests(tests, warm_up, NULL);
}

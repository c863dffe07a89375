/* M_TOP_PAD: so much more is asked of sbrk at each growth, and stays when free trims the top. */
#include "api_test.h"

enum { BLOCKS = 400, BLOCK_BYTES = 100000 };

#define PAD_BYTES (8 * MIB)

static char *blocks[BLOCKS];

static uintptr_t break_now(void)
{
    return (uintptr_t)sbrk(0);
}

static int set_pad(void **state)
{
    (void)state;
    return api_mallopt(M_TOP_PAD, (int)PAD_BYTES) == 1 ? 0 : -1;
}

/* Until the break moves; the blocks that it took. */
static size_t allocate_until_growth(void)
{
    uintptr_t start = break_now();
    size_t count = 0;

    while (break_now() == start) {
        assert_true(count < BLOCKS);
        blocks[count] = api_malloc(BLOCK_BYTES);
        assert_non_null(blocks[count++]);
    }
    return count;
}

static void each_growth_asks_for_more(void **state)
{
    uintptr_t start = break_now();
    size_t count = allocate_until_growth();

    (void)state;
    assert_true(break_now() - start >= PAD_BYTES);
    assert_true(break_now() - start <= PAD_BYTES + 2 * MIB);
    /* So the next one is far away. */
    for (size_t i = 0; i < count; i++)
        api_free(blocks[i]);
    start = break_now();
    for (size_t i = 0; i < PAD_BYTES / BLOCK_BYTES - 2; i++) {
        blocks[i] = api_malloc(BLOCK_BYTES);
        assert_non_null(blocks[i]);
    }
    assert_int_equal(break_now(), start);
    for (size_t i = 0; i < PAD_BYTES / BLOCK_BYTES - 2; i++)
        api_free(blocks[i]);
}

/* Of 40 MB at the top as much goes as leaves the pad. From the top down: what neap returns before
 * it is at the top, it returns without its addresses. */
static void a_trim_by_free_leaves_it(void **state)
{
    uintptr_t start;
    uintptr_t full;

    (void)state;
    (void)api_malloc_trim(0);
    start = break_now();
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = api_malloc(BLOCK_BYTES);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    full = break_now();
    for (size_t i = BLOCKS; i > 0; i--)
        api_free(blocks[i - 1]);
    assert_true(break_now() < full - 20 * MIB);
    assert_true(break_now() >= start + PAD_BYTES - MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_growth_asks_for_more),
        cmocka_unit_test(a_trim_by_free_leaves_it),
    };

    return cmocka_run_group_tests(tests, set_pad, NULL);
}

/* malloc_usable_size: enough, stable, and really usable. */
#include "api_test.h"

static void null_has_none(void **state)
{
    (void)state;
    assert_int_equal(api_malloc_usable_size(NULL), 0);
}

static void all_of_it_can_be_written(void **state)
{
    enum { BLOCKS = 64 };
    unsigned char *blocks[BLOCKS];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
        size_t count = border_sizes[i] > 256 * KIB ? 4 : BLOCKS;

        for (size_t k = 0; k < count; k++) {
            blocks[k] = api_malloc(border_sizes[i]);
            assert_non_null(blocks[k]);
            assert_true(api_malloc_usable_size(blocks[k]) >= border_sizes[i]);
            pattern_fill_edges(blocks[k], api_malloc_usable_size(blocks[k]), k);
        }
        for (size_t k = 0; k < count; k++) {
            assert_true(pattern_edges_hold(blocks[k], api_malloc_usable_size(blocks[k]), k));
            api_free(blocks[k]);
        }
    }
}

/* Whatever happens to other blocks, and to the block's own neighbours. */
static void it_does_not_change(void **state)
{
    enum { BLOCKS = 2000 };
    static struct {
        void *block;
        size_t usable;
    } live[BLOCKS];
    uint64_t random = 5;

    (void)state;
    for (size_t i = 0; i < BLOCKS; i++) {
        live[i].block = api_malloc(random_size(&random, 18));
        assert_non_null(live[i].block);
        live[i].usable = api_malloc_usable_size(live[i].block);
    }
    for (size_t i = 0; i < BLOCKS; i += 2)
        api_free(live[i].block);
    for (size_t i = 0; i < BLOCKS; i++)
        api_free(api_malloc(random_size(&random, 16)));
    (void)api_malloc_trim(0);
    for (size_t i = 1; i < BLOCKS; i += 2) {
        assert_int_equal(api_malloc_usable_size(live[i].block), live[i].usable);
        api_free(live[i].block);
    }
}

/* A block grown to its usable size need not move, and has at least that size still. */
static void realloc_to_it_stays_in_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
        char *block = api_malloc(border_sizes[i]);
        uintptr_t address = (uintptr_t)block;
        size_t usable = api_malloc_usable_size(block);

        assert_non_null(block);
        if (usable == 0) { /* realloc to it would free the block */
            api_free(block);
            continue;
        }
        block = api_realloc(block, usable);
        assert_int_equal((uintptr_t)block, address);
        assert_true(api_malloc_usable_size(block) >= usable);
        api_free(block);
    }
}

static void aligned_blocks_have_one_too(void **state)
{
    (void)state;
    for (size_t alignment = 32; alignment <= MIB; alignment *= 8) {
        for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
            void *block = api_memalign(alignment, border_sizes[i]);
            void *after = api_malloc(border_sizes[i]);
            size_t usable = api_malloc_usable_size(block);

            assert_non_null(block);
            assert_non_null(after);
            assert_true(usable >= border_sizes[i]);
            pattern_fill_edges(after, border_sizes[i], 3);
            pattern_fill_edges(block, usable, 4);
            assert_true(pattern_edges_hold(after, border_sizes[i], 3));
            assert_true(pattern_edges_hold(block, usable, 4));
            api_free(after);
            api_free(block);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_has_none),
        cmocka_unit_test(all_of_it_can_be_written),
        cmocka_unit_test(it_does_not_change),
        cmocka_unit_test(realloc_to_it_stays_in_place),
        cmocka_unit_test(aligned_blocks_have_one_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

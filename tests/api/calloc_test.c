/* calloc's memory is zero, above all where it was somebody else's before. */
#include "api_test.h"

enum { MOST_BLOCKS = 512 };

static unsigned char *blocks[MOST_BLOCKS];

/* Some of each size: 8 MiB at most, so that every kind of memory is used again. */
static size_t count_for(size_t size)
{
    size_t count = 8 * MIB / (size + 16);

    return count > MOST_BLOCKS ? MOST_BLOCKS : count + 1;
}

static void allocate_dirty(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        blocks[i] = api_malloc(size);
        assert_non_null(blocks[i]);
        memset(unrelated(blocks[i]), 0xff, api_malloc_usable_size(blocks[i]));
    }
}

static void free_all(size_t count)
{
    for (size_t i = 0; i < count; i++)
        api_free(blocks[i]);
}

static void expect_zeros(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        blocks[i] = i % 2 == 0 ? api_calloc(1, size) : api_calloc(size, 1);
        assert_non_null(blocks[i]);
        if (!bytes_are(blocks[i], size, 0))
            fail_msg("block %zu of %zu bytes is not zero", i, size);
        memset(blocks[i], 0xee, size);
    }
    free_all(count);
}

static void memory_of_the_same_size_is_cleared(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
        size_t count = count_for(border_sizes[i]);

        allocate_dirty(count, border_sizes[i]);
        free_all(count);
        expect_zeros(count, border_sizes[i]);
    }
}

static void memory_of_other_sizes_is_cleared(void **state)
{
    (void)state;
    for (size_t from = 3; from < COUNT_OF(border_sizes); from += 4) {
        for (size_t to = 2; to < COUNT_OF(border_sizes); to += 5) {
            size_t count = count_for(border_sizes[from]);

            allocate_dirty(count, border_sizes[from]);
            free_all(count);
            expect_zeros(count_for(border_sizes[to]) / 2 + 1, border_sizes[to]);
        }
    }
}

static void memory_in_use_and_free_by_turns_is_cleared(void **state)
{
    (void)state;
    for (size_t i = 1; i < COUNT_OF(border_sizes); i++) {
        size_t size = border_sizes[i];
        size_t count = count_for(size);

        allocate_dirty(count, size);
        for (size_t k = 0; k < count; k += 2)
            api_free(blocks[k]);
        for (size_t k = 0; k < count; k += 2) {
            blocks[k] = api_calloc(1, size);
            assert_non_null(blocks[k]);
            assert_true(bytes_are(blocks[k], size, 0));
        }
        free_all(count);
    }
}

static void memory_that_was_trimmed_is_zero(void **state)
{
    (void)state;
    for (size_t i = 1; i < COUNT_OF(border_sizes); i += 3) {
        size_t count = count_for(border_sizes[i]);

        allocate_dirty(count, border_sizes[i]);
        for (size_t k = 0; k + 1 < count; k++)
            api_free(blocks[k]);
        (void)api_malloc_trim(0);
        api_free(blocks[count - 1]);
        expect_zeros(count, border_sizes[i]);
    }
}

/* The tail that a shrink gives up is dirty too, and a block that grew took over dirty memory. */
static void memory_that_realloc_gave_up_is_cleared(void **state)
{
    (void)state;
    for (size_t i = 20; i < COUNT_OF(border_sizes); i++) {
        size_t size = border_sizes[i];
        size_t count = count_for(size) / 4 + 1;

        allocate_dirty(count, size);
        for (size_t k = 0; k < count; k++) {
            blocks[k] = api_realloc(blocks[k], size / 3 + 1);
            assert_non_null(blocks[k]);
        }
        for (size_t k = 0; k < count; k++) {
            unsigned char *zeros = api_calloc(size / 2, 1);

            assert_non_null(zeros);
            assert_true(bytes_are(zeros, size / 2, 0));
            memset(zeros, 0xdd, size / 2);
            api_free(zeros);
        }
        free_all(count);
    }
}

static void random_mixture_is_cleared(void **state)
{
    uint64_t random = 77;

    (void)state;
    memset(blocks, 0, sizeof(blocks));
    for (unsigned step = 0; step < 60000; step++) {
        size_t at = random_below(&random, MOST_BLOCKS);
        size_t size = random_size(&random, step % 50 == 0 ? 20 : 14);

        api_free(blocks[at]);
        if (random_below(&random, 2) == 0) {
            blocks[at] = api_calloc(1, size);
            assert_non_null(blocks[at]);
            if (!bytes_are(blocks[at], size, 0))
                fail_msg("step %u: %zu bytes are not zero", step, size);
        } else {
            blocks[at] = api_malloc(size);
            assert_non_null(blocks[at]);
        }
        memset(unrelated(blocks[at]), 0xcc, api_malloc_usable_size(blocks[at]));
    }
    free_all(MOST_BLOCKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_of_the_same_size_is_cleared),
        cmocka_unit_test(memory_of_other_sizes_is_cleared),
        cmocka_unit_test(memory_in_use_and_free_by_turns_is_cleared),
        cmocka_unit_test(memory_that_was_trimmed_is_zero),
        cmocka_unit_test(memory_that_realloc_gave_up_is_cleared),
        cmocka_unit_test(random_mixture_is_cleared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

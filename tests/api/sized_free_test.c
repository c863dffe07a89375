/* free_sized and free_aligned_sized: C23's ways to free a block whose size the caller knows. */
#include "api_test.h"

static void blocks_of_every_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
        size_t size = border_sizes[i];

        for (unsigned k = 0; k < 20; k++) {
            void *block = api_malloc(size);
            void *zeros = api_calloc(1, size);
            void *grown = api_realloc(api_malloc(1), size + 1);

            assert_non_null(block);
            assert_non_null(zeros);
            assert_non_null(grown);
            memset(block, 1, size < 64 * KIB ? size : 64 * KIB);
            api_free_sized(block, size);
            api_free_sized(zeros, size);
            api_free_sized(grown, size + 1);
        }
    }
}

static void aligned_blocks(void **state)
{
    (void)state;
    for (size_t alignment = 1; alignment <= MIB; alignment *= 2) {
        for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
            void *block = api_aligned_alloc(alignment, border_sizes[i]);

            assert_non_null(block);
            api_free_aligned_sized(block, alignment, border_sizes[i]);
        }
    }
}

static void null_does_nothing(void **state)
{
    (void)state;
    errno = ENOTTY;
    api_free_sized(NULL, 0);
    api_free_sized(NULL, 100);
    api_free_aligned_sized(NULL, 64, 100);
    assert_int_equal(errno, ENOTTY);
}

static void errno_is_preserved(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
        void *block = api_malloc(border_sizes[i]);
        void *aligned = api_aligned_alloc(256, border_sizes[i]);

        errno = ENOTTY;
        api_free_sized(block, border_sizes[i]);
        api_free_aligned_sized(aligned, 256, border_sizes[i]);
        assert_int_equal(errno, ENOTTY);
    }
}

/* It must really free: these blocks together would be 400 MB. */
static void memory_comes_back(void **state)
{
    size_t resident_at_start = resident_bytes();

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        void *block = api_malloc(20000);
        void *aligned = api_aligned_alloc(64, 20000);

        assert_non_null(block);
        assert_non_null(aligned);
        memset(block, 1, 20000);
        memset(aligned, 1, 20000);
        api_free_sized(block, 20000);
        api_free_aligned_sized(aligned, 64, 20000);
    }
    assert_true(resident_is_at_most(resident_at_start + 32 * MIB));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_every_size), cmocka_unit_test(aligned_blocks),
        cmocka_unit_test(null_does_nothing),    cmocka_unit_test(errno_is_preserved),
        cmocka_unit_test(memory_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

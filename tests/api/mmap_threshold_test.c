/* M_MMAP_THRESHOLD and M_MMAP_MAX to the letter: a threshold of 64 maps blocks of 100 bytes, as
 * many as M_MMAP_MAX or the kernel allows, and the rest live in an arena without anything failing.
 * In the order of the tests: each leaves its settings to the next. */
#include "api_test.h"

enum { BLOCKS = 70000, BLOCK_BYTES = 100 };

static char *blocks[BLOCKS];

/* Without stdio, which would allocate: vm.max_map_count, less room for what else is mapped. */
static size_t kernel_allows(void)
{
    char text[32] = "";
    int file = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    size_t count = 65530;

    if (file >= 0) {
        if (read(file, text, sizeof(text) - 1) > 0)
            count = (size_t)strtoul(text, NULL, 10);
        close(file);
    }
    return count;
}

static size_t smaller(size_t one, size_t other)
{
    return one < other ? one : other;
}

static void allocate(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        blocks[i] = api_malloc(BLOCK_BYTES);
        assert_non_null(blocks[i]);
        pattern_fill(blocks[i], BLOCK_BYTES, i);
    }
}

static void free_all(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_true(pattern_holds(blocks[i], BLOCK_BYTES, i));
        api_free(blocks[i]);
    }
}

static void at_64_blocks_of_100_are_mapped(void **state)
{
    size_t before;
    size_t mapped;

    (void)state;
    assert_int_equal(api_mallopt(M_MMAP_THRESHOLD, 64), 1);
    assert_int_equal(api_mallopt(M_TRIM_THRESHOLD, 64), 1);
    before = api_mallinfo2().hblks;
    allocate(BLOCKS);
    mapped = api_mallinfo2().hblks - before;
    /* glibc takes the first few from the free memory it already has; and libc, the loader and the
     * test have some mappings of their own. */
    assert_true(mapped >= smaller(60000, kernel_allows() - 2000));
    assert_true(mapped <= 65536);
    assert_true(api_mallinfo2().hblkhd >= mapped * 4096);
    free_all(BLOCKS);
    assert_int_equal(api_mallinfo2().hblks, before);
}

static void blocks_below_it_are_not(void **state)
{
    size_t before = api_mallinfo2().hblks;
    char *small[100];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(small); i++) {
        small[i] = api_malloc(40);
        assert_non_null(small[i]);
    }
    assert_int_equal(api_mallinfo2().hblks, before);
    for (size_t i = 0; i < COUNT_OF(small); i++)
        api_free(small[i]);
}

static void mmap_max_is_a_cap(void **state)
{
    size_t before = api_mallinfo2().hblks;

    (void)state;
    assert_int_equal(api_mallopt(M_MMAP_MAX, 10), 1);
    /* So many that what is free at first is used up. */
    allocate(BLOCKS);
    assert_int_equal(api_mallinfo2().hblks, 10);
    free_all(BLOCKS);
    assert_int_equal(api_mallinfo2().hblks, before);
}

/* calloc and realloc see the same threshold; contents go along from one kind to the other. */
static void mapped_small_blocks_can_be_resized(void **state)
{
    (void)state;
    assert_int_equal(api_mallopt(M_MMAP_MAX, 65536), 1);
    for (size_t size = 1; size < 20000; size = size * 3 + 1) {
        char *block = api_malloc(size);
        size_t common;

        assert_non_null(block);
        for (size_t next = 1; next < 20000; next = next * 5 + 2) {
            char *zeros = api_calloc(1, next);

            common = size < next ? size : next;
            pattern_fill(block, common, next);
            assert_true(bytes_are(zeros, next, 0));
            block = api_realloc(block, next);
            assert_non_null(block);
            assert_true(pattern_holds(block, common, next));
            pattern_fill(block, next, next);
            block = api_realloc(block, size);
            assert_non_null(block);
            assert_true(pattern_holds(block, common, next));
            api_free(zeros);
        }
        api_free(block);
    }
}

static void aligned_blocks_can_be_mapped(void **state)
{
    (void)state;
    for (size_t alignment = 32; alignment <= 4 * MIB; alignment *= 2) {
        char *block = api_memalign(alignment, 100);
        size_t usable = api_malloc_usable_size(block);

        assert_non_null(block);
        assert_true(is_aligned(block, alignment));
        assert_true(usable >= 100);
        pattern_fill_edges(block, usable, alignment);
        block = api_realloc(block, 50000);
        assert_non_null(block);
        assert_true(pattern_holds(block, 100, alignment));
        api_free(block);
    }
    assert_int_equal(api_mallinfo2().hblks, 0);
}

static void with_none_allowed_none_is_mapped(void **state)
{
    void *large;

    (void)state;
    assert_int_equal(api_mallopt(M_MMAP_MAX, 0), 1);
    allocate(1000);
    large = api_malloc(64 * MIB);
    assert_non_null(large);
    assert_int_equal(api_mallinfo2().hblks, 0);
    assert_int_equal(api_mallinfo2().hblkhd, 0);
    assert_true(api_mallinfo2().uordblks >= 64 * MIB);
    api_free(large);
    free_all(1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_64_blocks_of_100_are_mapped),
        cmocka_unit_test(blocks_below_it_are_not),
        cmocka_unit_test(mmap_max_is_a_cap),
        cmocka_unit_test(mapped_small_blocks_can_be_resized),
        cmocka_unit_test(aligned_blocks_can_be_mapped),
        cmocka_unit_test(with_none_allowed_none_is_mapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

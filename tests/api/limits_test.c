/* The ends of the ranges: requests of nothing, requests of too much, arguments that are wrong, and
 * what errno is afterwards. */
#include <limits.h>

#include "api_test.h"

/* Distinct from every errno that an allocator might set. */
enum { UNTOUCHED = ENOTTY };

/* Of a size: two numbers of so many bits each have a product that just does not fit. */
#define HALF_BITS (CHAR_BIT * sizeof(size_t) / 2)

static size_t too_much(unsigned which)
{
    static const size_t sizes[] = {
        SIZE_MAX / 2 + (sizeof(size_t) < 8), /* just 2 GiB may be there */
        (size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX + 4096,
        SIZE_MAX / 4 * 3, SIZE_MAX - 65536, SIZE_MAX - 4096, SIZE_MAX - 4095,
        SIZE_MAX - 64, SIZE_MAX - 16, SIZE_MAX - 15, SIZE_MAX - 1, SIZE_MAX,
    };

    return which < COUNT_OF(sizes) ? hidden(sizes[which]) : 0;
}

#define assert_fails_with(call, error) \
    do { \
        errno = 0; \
        assert_null(call); \
        assert_int_equal(errno, error); \
    } while (0)

static void nothing_is_a_unique_block(void **state)
{
    enum { EACH = 500, WAYS = 9, ALL = EACH * WAYS };
    static void *blocks[ALL];
    size_t count = 0;

    (void)state;
    for (unsigned i = 0; i < EACH; i++) {
        blocks[count++] = api_malloc(0);
        blocks[count++] = api_calloc(0, 0);
        blocks[count++] = api_calloc(0, 8);
        blocks[count++] = api_calloc(8, 0);
        blocks[count++] = api_realloc(NULL, 0);
        blocks[count++] = api_memalign(64, 0);
        blocks[count++] = api_aligned_alloc(32, 0);
        blocks[count++] = i % 2 == 0 ? api_valloc(0) : api_pvalloc(0);
        assert_int_equal(api_posix_memalign(&blocks[count++], 128, 0), 0);
    }
    for (size_t i = 0; i < ALL; i++) {
        assert_non_null(blocks[i]);
        for (size_t k = 0; k < i; k++) {
            if (blocks[i] == blocks[k])
                fail_msg("blocks %zu and %zu of size 0 are the same", k, i);
        }
    }
    for (size_t i = 0; i < ALL; i++)
        api_free(blocks[i]);
}

static void too_much_is_enomem(void **state)
{
    (void)state;
    for (unsigned i = 0; too_much(i) != 0; i++) {
        size_t size = too_much(i);
        void *kept = (void *)&size;

        assert_fails_with(api_malloc(size), ENOMEM);
        assert_fails_with(api_calloc(1, size), ENOMEM);
        assert_fails_with(api_calloc(size, 1), ENOMEM);
        assert_fails_with(api_realloc(NULL, size), ENOMEM);
        assert_fails_with(api_reallocarray(NULL, 1, size), ENOMEM);
        assert_fails_with(api_valloc(size), ENOMEM);
        assert_fails_with(api_pvalloc(size), ENOMEM);
        for (size_t alignment = 8; alignment <= MIB; alignment *= 4) {
            assert_fails_with(api_memalign(alignment, size), ENOMEM);
            assert_fails_with(api_aligned_alloc(alignment, size), ENOMEM);
            assert_int_equal(api_posix_memalign(&kept, alignment, size), ENOMEM);
            assert_ptr_equal(kept, (void *)&size);
        }
    }
}

static void alignment_and_size_together_are_too_much(void **state)
{
    (void)state;
    assert_fails_with(api_memalign(hidden(SIZE_MAX / 2 + 1), 100), ENOMEM);
    assert_fails_with(api_aligned_alloc(hidden(SIZE_MAX / 2 + 1), 100), ENOMEM);
    assert_fails_with(api_memalign(hidden(SIZE_MAX / 4 + 1), hidden(PTRDIFF_MAX)), ENOMEM);
    assert_fails_with(api_memalign(hidden(MIB), hidden(SIZE_MAX / 2 + (sizeof(size_t) < 8))),
                      ENOMEM);
}

static void products_that_overflow_are_enomem(void **state)
{
    static const struct {
        size_t count;
        size_t size;
    } cases[] = {
        {SIZE_MAX, 2},
        {2, SIZE_MAX},
        {SIZE_MAX, SIZE_MAX},
        {SIZE_MAX / 2 + 1, 2},
        {(size_t)1 << HALF_BITS, (size_t)1 << HALF_BITS},
        {((size_t)1 << HALF_BITS) + 1, (size_t)1 << HALF_BITS},
        {SIZE_MAX / 16 + 1, 16},
        {SIZE_MAX / 24 + 2, 24},
        {SIZE_MAX / 16 + 2, 17},
        {PTRDIFF_MAX, 2},
    };
    char *block = api_malloc(100);

    (void)state;
    assert_non_null(block);
    pattern_fill(block, 100, 1);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t count = hidden(cases[i].count);
        size_t size = hidden(cases[i].size);

        assert_fails_with(api_calloc(count, size), ENOMEM);
        assert_fails_with(api_reallocarray(NULL, count, size), ENOMEM);
        assert_fails_with(api_reallocarray(unrelated(block), count, size), ENOMEM);
        assert_true(pattern_holds(block, 100, 1));
    }
    api_free(block);
}

static void failed_realloc_leaves_the_block(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
        char *block = api_malloc(border_sizes[i]);

        assert_non_null(block);
        pattern_fill(block, border_sizes[i], i);
        for (unsigned k = 0; too_much(k) != 0; k++)
            assert_fails_with(api_realloc(unrelated(block), too_much(k)), ENOMEM);
        assert_true(pattern_holds(block, border_sizes[i], i));
        api_free(block);
    }
}

static void wrong_alignments_are_einval(void **state)
{
    static const size_t wrong[] = {0, 3, 5, 6, 7, 12, 24, 100, 4097, SIZE_MAX / 2 + 2, SIZE_MAX};
    static const size_t not_of_pointers[] = {1, 2, 4};
    int marker;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        void *kept = &marker;

        assert_int_equal(api_posix_memalign(&kept, hidden(wrong[i]), 64), EINVAL);
        assert_ptr_equal(kept, &marker);
        if (API_IS_NEAP) /* glibc 2.36 still takes it for memalign; 2.38 answers as neap does */
            assert_fails_with(api_aligned_alloc(hidden(wrong[i]), 64), EINVAL);
    }
    for (size_t i = 0; i < COUNT_OF(not_of_pointers); i++) {
        void *kept = &marker;
        void *block;

        if (not_of_pointers[i] < sizeof(void *))
            assert_int_equal(api_posix_memalign(&kept, hidden(not_of_pointers[i]), 64), EINVAL);
        assert_ptr_equal(kept, &marker);
        /* A power of two all the same, which is all that C asks for. */
        block = api_aligned_alloc(hidden(not_of_pointers[i]), 64);
        assert_non_null(block);
        api_free(block);
    }
    assert_fails_with(api_memalign(hidden(SIZE_MAX / 2 + 2), 64), EINVAL);
    assert_fails_with(api_memalign(hidden(SIZE_MAX), 64), EINVAL);
}

static void posix_memalign_leaves_errno_alone(void **state)
{
    int marker;
    void *block = &marker;

    (void)state;
    errno = UNTOUCHED;
    assert_int_equal(api_posix_memalign(&block, 24, 64), EINVAL);
    assert_int_equal(errno, UNTOUCHED);
    if (API_IS_NEAP) { /* glibc sets it to ENOMEM, which POSIX allows */
        assert_int_equal(api_posix_memalign(&block, 64, hidden(SIZE_MAX)), ENOMEM);
        assert_int_equal(errno, UNTOUCHED);
    }
    assert_int_equal(api_posix_memalign(&block, 64, 64), 0);
    assert_int_equal(errno, UNTOUCHED);
    api_free(block);
}

static void success_leaves_errno_alone(void **state)
{
    (void)state;
    errno = UNTOUCHED;
    for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
        size_t size = border_sizes[i];
        void *block = api_malloc(size);
        void *zeros = api_calloc(1, size);
        void *aligned = api_memalign(4096, size);

        assert_non_null(block);
        assert_non_null(zeros);
        assert_non_null(aligned);
        assert_int_equal(errno, UNTOUCHED);
        block = api_realloc(block, size * 2 + 1);
        assert_non_null(block);
        block = api_realloc(block, size + 1);
        assert_non_null(block);
        assert_int_equal(errno, UNTOUCHED);
        api_free(block);
        api_free(zeros);
        api_free(aligned);
        api_free(NULL);
        assert_int_equal(errno, UNTOUCHED);
    }
    (void)api_malloc_trim(0);
    (void)api_mallopt(12345, 1);
    assert_int_equal(errno, UNTOUCHED);
}

static void realloc_of_null_allocates(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
        char *block = api_realloc(NULL, border_sizes[i]);
        char *other = api_reallocarray(NULL, 3, border_sizes[i]);

        assert_non_null(block);
        assert_non_null(other);
        assert_true(api_malloc_usable_size(block) >= border_sizes[i]);
        assert_true(api_malloc_usable_size(other) >= 3 * border_sizes[i]);
        api_free(block);
        api_free(other);
    }
}

/* It must really free: all these blocks together would be 400 MB. */
static void realloc_to_nothing_frees(void **state)
{
    const size_t size = 20000;
    size_t resident_at_start = resident_bytes();

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        void *block = api_malloc(size);

        assert_non_null(block);
        memset(block, 1, size);
        errno = UNTOUCHED;
        assert_null(api_realloc(block, 0));
        assert_int_equal(errno, UNTOUCHED);
    }
    assert_true(resident_is_at_most(resident_at_start + 32 * MIB));
    assert_null(api_reallocarray(api_malloc(10), 0, 8));
    assert_null(api_reallocarray(api_malloc(10), 8, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_a_unique_block),
        cmocka_unit_test(too_much_is_enomem),
        cmocka_unit_test(alignment_and_size_together_are_too_much),
        cmocka_unit_test(products_that_overflow_are_enomem),
        cmocka_unit_test(failed_realloc_leaves_the_block),
        cmocka_unit_test(wrong_alignments_are_einval),
        cmocka_unit_test(posix_memalign_leaves_errno_alone),
        cmocka_unit_test(success_leaves_errno_alone),
        cmocka_unit_test(realloc_of_null_allocates),
        cmocka_unit_test(realloc_to_nothing_frees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

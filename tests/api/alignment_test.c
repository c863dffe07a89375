/* Where blocks may begin: 16 bytes for all, and what the aligned functions were asked for. */
#include "api_test.h"

enum { SIDE_BY_SIDE = 9 };

static void small_blocks_are_aligned_to_16(void **state)
{
    void *blocks[SIDE_BY_SIDE];

    (void)state;
    for (size_t size = 0; size <= 4200; size++) {
        for (size_t i = 0; i < SIDE_BY_SIDE; i++) {
            blocks[i] = i % 3 == 0   ? api_malloc(size)
                        : i % 3 == 1 ? api_calloc(1, size)
                                     : api_realloc(NULL, size);
            assert_non_null(blocks[i]);
            assert_true(is_aligned(blocks[i], 16));
        }
        for (size_t i = 0; i < SIDE_BY_SIDE; i++)
            api_free(blocks[i]);
    }
}

static void larger_blocks_are_aligned_to_16(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
        char *block = api_malloc(border_sizes[i]);

        assert_non_null(block);
        assert_true(is_aligned(block, 16));
        block = api_realloc(block, border_sizes[i] + 1);
        assert_non_null(block);
        assert_true(is_aligned(block, 16));
        api_free(block);
    }
}

static void *allocate_aligned(unsigned way, size_t alignment, size_t size)
{
    void *block = NULL;

    switch (way) {
    case 0:
        return api_memalign(alignment, size);
    case 1:
        return api_aligned_alloc(alignment, size);
    default:
        /* The alignment must be a multiple of sizeof(void *) here, and is. */
        assert_int_equal(api_posix_memalign(&block, alignment, size), 0);
        return block;
    }
}

static void powers_of_two_are_met(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        for (size_t alignment = sizeof(void *); alignment <= 4 * MIB; alignment *= 2) {
            for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
                size_t size = border_sizes[i];
                void *one = allocate_aligned(way, alignment, size);
                void *other = allocate_aligned(way, alignment, size);

                assert_non_null(one);
                assert_non_null(other);
                assert_true(is_aligned(one, alignment) && is_aligned(one, 16));
                assert_true(is_aligned(other, alignment) && is_aligned(other, 16));
                assert_ptr_not_equal(one, other);
                pattern_fill_edges(one, size, alignment);
                pattern_fill_edges(other, size, size);
                assert_true(pattern_edges_hold(one, size, alignment));
                api_free(one);
                assert_true(pattern_edges_hold(other, size, size));
                api_free(other);
            }
        }
    }
}

/* Blocks of mixed alignments beside ordinary ones: the padding of one is nobody else's block. */
static void aligned_blocks_live_among_others(void **state)
{
    enum { BLOCKS = 3000 };
    static struct {
        unsigned char *block;
        size_t size;
    } live[BLOCKS];
    uint64_t random = 11;

    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            size_t alignment = (size_t)8 << random_below(&random, 10);

            if (live[i].block != NULL) {
                if (random_below(&random, 2) == 0)
                    continue;
                assert_true(pattern_holds(live[i].block, live[i].size, i));
                api_free(live[i].block);
            }
            live[i].size = random_size(&random, 14);
            live[i].block = i % 2 == 0 ? api_malloc(live[i].size)
                                       : api_memalign(alignment, live[i].size);
            assert_non_null(live[i].block);
            assert_true(i % 2 == 0 || is_aligned(live[i].block, alignment));
            pattern_fill(live[i].block, live[i].size, i);
        }
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        assert_true(pattern_holds(live[i].block, live[i].size, i));
        api_free(live[i].block);
    }
}

static void memalign_rounds_the_alignment_up(void **state)
{
    static const struct {
        size_t asked;
        size_t given;
    } cases[] = {
        {0, 16}, {1, 16}, {3, 16}, {17, 32}, {24, 32}, {48, 64}, {100, 128}, {1000, 1024},
        {4095, 4096}, {4097, 8192}, {5000, 8192}, {100000, 131072}, {MIB + 1, 2 * MIB},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t k = 0; k < 5; k++) {
            void *block = api_memalign(cases[i].asked, 40);

            assert_non_null(block);
            assert_true(is_aligned(block, cases[i].given));
            api_free(block);
        }
    }
}

static void valloc_gives_whole_pages(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t sizes[] = {0, 1, 100, page - 1, page, page + 1, 3 * page, 100 * page + 7};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        void *block = api_valloc(sizes[i]);
        void *whole = api_pvalloc(sizes[i]);

        assert_non_null(block);
        assert_non_null(whole);
        assert_true(is_aligned(block, page));
        assert_true(is_aligned(whole, page));
        assert_true(api_malloc_usable_size(block) >= sizes[i]);
        assert_true(api_malloc_usable_size(whole) >= (sizes[i] + page - 1) / page * page);
        pattern_fill(whole, (sizes[i] + page - 1) / page * page, i);
        api_free(block);
        assert_true(pattern_holds(whole, (sizes[i] + page - 1) / page * page, i));
        api_free(whole);
    }
}

static void realloc_of_an_aligned_block_keeps_contents(void **state)
{
    (void)state;
    for (size_t alignment = 8; alignment <= 256 * KIB; alignment *= 8) {
        for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
            size_t size = border_sizes[i];
            unsigned char *block = api_memalign(alignment, size);
            size_t grown = size + size / 2 + 40;

            assert_non_null(block);
            pattern_fill(block, size, size);
            block = api_realloc(block, grown);
            assert_non_null(block);
            assert_true(pattern_holds(block, size, size));
            pattern_fill(block, grown, grown);
            block = api_realloc(block, size / 3 + 1);
            assert_non_null(block);
            assert_true(pattern_holds(block, size / 3 + 1, grown));
            api_free(block);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_blocks_are_aligned_to_16),
        cmocka_unit_test(larger_blocks_are_aligned_to_16),
        cmocka_unit_test(powers_of_two_are_met),
        cmocka_unit_test(aligned_blocks_live_among_others),
        cmocka_unit_test(memalign_rounds_the_alignment_up),
        cmocka_unit_test(valloc_gives_whole_pages),
        cmocka_unit_test(realloc_of_an_aligned_block_keeps_contents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* M_PERTURB: fresh blocks hold the complement of the byte, freed ones the byte, calloc's zeros.
 *
 * glibc, from which this comes, leaves out the blocks of its thread cache; neap leaves out none. */
#include "api_test.h"

enum { FREED = 0x5a, FRESH = 0xa5, BLOCKS = 50 };

/* Slots, runs and mappings. */
static const size_t sizes[] = {24, 64, 100, 500, 1000, 4096, 10000, 16384, 50000, 300000};

static int set_perturb(void **state)
{
    (void)state;
    return api_mallopt(M_PERTURB, FREED) == 1 ? 0 : -1;
}

static void fresh_blocks_hold_the_complement(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        unsigned char *blocks[BLOCKS];

        for (unsigned round = 0; round < 2; round++) {
            for (size_t k = 0; k < BLOCKS; k++) {
                blocks[k] = api_malloc(sizes[i]);
                assert_non_null(blocks[k]);
                assert_true(bytes_are(blocks[k], sizes[i], FRESH));
            }
            for (size_t k = 0; k < BLOCKS; k++)
                api_free(blocks[k]);
        }
    }
}

static void callocs_blocks_are_zero(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t k = 0; k < BLOCKS; k++) {
            unsigned char *block = api_calloc(1, sizes[i]);

            assert_non_null(block);
            assert_true(bytes_are(block, sizes[i], 0));
            memset(block, 1, sizes[i]);
            api_free(block);
        }
    }
}

/* The first 16 bytes may hold a link; behind them is the byte, or zero if the page has gone. */
static void freed_blocks_hold_the_byte(void **state)
{
    size_t seen = 0;

    (void)state;
    for (size_t i = 2; i < 5; i++) {
        unsigned char *blocks[BLOCKS];
        volatile const unsigned char *freed;

        for (size_t k = 0; k < BLOCKS; k++) {
            blocks[k] = api_malloc(sizes[i]);
            assert_non_null(blocks[k]);
            memset(blocks[k], 0x11, sizes[i]);
        }
        freed = blocks[BLOCKS / 2];
        api_free(blocks[BLOCKS / 2]);
        for (size_t at = 16; at < sizes[i]; at++) {
            assert_int_not_equal(freed[at], 0x11);
            seen += freed[at] == FREED;
        }
        for (size_t k = 0; k < BLOCKS; k++) {
            if (k != BLOCKS / 2)
                api_free(blocks[k]);
        }
    }
    assert_true(seen > 1000);
}

static void realloc_keeps_contents(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t k = 0; k < COUNT_OF(sizes); k++) {
            size_t common = sizes[i] < sizes[k] ? sizes[i] : sizes[k];
            unsigned char *block = api_malloc(sizes[i]);

            assert_non_null(block);
            pattern_fill(block, sizes[i], i);
            block = api_realloc(block, sizes[k]);
            assert_non_null(block);
            assert_true(pattern_holds(block, common, i));
            api_free(block);
        }
    }
}

static void zero_ends_it(void **state)
{
    unsigned char *block;

    (void)state;
    assert_int_equal(api_mallopt(M_PERTURB, 0), 1);
    block = api_malloc(1000);
    assert_non_null(block);
    memset(block, 0x33, 1000);
    api_free(block);
    block = api_malloc(1000);
    assert_non_null(block);
    assert_int_not_equal(block[999], FRESH);
    api_free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_blocks_hold_the_complement),
        cmocka_unit_test(callocs_blocks_are_zero),
        cmocka_unit_test(freed_blocks_hold_the_byte),
        cmocka_unit_test(realloc_keeps_contents),
        cmocka_unit_test(zero_ends_it),
    };

    return cmocka_run_group_tests(tests, set_perturb, NULL);
}

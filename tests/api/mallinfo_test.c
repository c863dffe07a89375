/* mallinfo2 and mallinfo: the figures follow what the program does, and agree with each other. */
#include "api_test.h"
#include "blocks.h"

#include <limits.h>

/* glibc calls mallinfo deprecated since 2.33; programs go on calling it. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#if defined(API_INTERPOSED) || defined(API_GLIBC)
typedef struct mallinfo2 info;
typedef struct mallinfo narrow_info;
#else
typedef struct neap_mallinfo2 info;
typedef struct neap_mallinfo narrow_info;
#endif

enum { BLOCKS = 20000, BLOCK_BYTES = 1000 };

static char *blocks[BLOCKS];

static void expect_consistent(const info *now)
{
    assert_true(now->uordblks + now->fordblks <= now->arena);
    assert_true(now->keepcost <= now->arena);
    assert_true(now->fsmblks <= now->arena);
    assert_int_equal(now->usmblks, API_IS_NEAP ? 0 : now->usmblks);
    assert_true((now->hblks == 0) == (now->hblkhd == 0));
    assert_true((now->smblks == 0) == (now->fsmblks == 0));
}

static void live_bytes_are_counted(void **state)
{
    const size_t asked = (size_t)BLOCKS * BLOCK_BYTES;
    info before = api_mallinfo2();
    info full;
    info after;

    (void)state;
    expect_consistent(&before);
    allocate_blocks(blocks, BLOCKS, BLOCK_BYTES);
    full = api_mallinfo2();
    expect_consistent(&full);
    assert_true(full.uordblks - before.uordblks >= asked);
    assert_true(full.uordblks - before.uordblks <= asked + asked / 7);
    assert_true(full.arena >= before.arena + asked / 2);
    free_blocks(blocks, BLOCKS);
    after = api_mallinfo2();
    expect_consistent(&after);
    assert_true(after.uordblks < before.uordblks + 64 * KIB);
}

static void one_block_more_is_seen(void **state)
{
    static const size_t sizes[] = {24, 100, 1000, 5000, 16000, 40000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        info before = api_mallinfo2();
        void *block = api_malloc(sizes[i]);
        info with = api_mallinfo2();
        size_t usable = api_malloc_usable_size(block);

        assert_non_null(block);
        if (API_IS_NEAP) /* glibc takes the blocks in its thread cache for live ones */
            assert_true(with.uordblks >= before.uordblks + sizes[i]);
        /* A larger block takes whole pages, and may not be written to behind what was asked for. */
        if (usable > 16 * KIB)
            usable = (usable + 4095) & ~(size_t)4095;
        assert_true(with.uordblks <= before.uordblks + usable + 16);
        api_free(block);
    }
}

/* What went back to the system is not free memory of ours any more. */
static void returned_memory_is_not_counted_as_free(void **state)
{
    info after;

    (void)state;
    allocate_blocks(blocks, BLOCKS, BLOCK_BYTES);
    free_blocks(blocks, BLOCKS);
    (void)api_malloc_trim(0);
    after = api_mallinfo2();
    expect_consistent(&after);
    if (API_IS_NEAP)
        assert_true(after.fordblks <= resident_bytes());
}

static void mapped_objects_are_counted_apart(void **state)
{
    enum { LARGE = 8 };
    void *large[LARGE];
    info before = api_mallinfo2();
    info with;
    info after;

    (void)state;
    for (size_t i = 0; i < LARGE; i++) {
        large[i] = api_malloc(3 * MIB);
        assert_non_null(large[i]);
    }
    with = api_mallinfo2();
    expect_consistent(&with);
    assert_int_equal(with.hblks, before.hblks + LARGE);
    assert_true(with.hblkhd >= before.hblkhd + LARGE * 3 * MIB);
    assert_true(with.hblkhd <= before.hblkhd + LARGE * (3 * MIB + 64 * KIB));
    assert_true(with.arena < before.arena + MIB);
    for (size_t i = 0; i < LARGE; i++)
        api_free(large[i]);
    after = api_mallinfo2();
    assert_int_equal(after.hblks, before.hblks);
    assert_int_equal(after.hblkhd, before.hblkhd);
}

static void realloc_of_a_mapped_object_is_followed(void **state)
{
    info before = api_mallinfo2();
    void *block = api_malloc(40 * MIB);
    info with;

    (void)state;
    assert_non_null(block);
    block = api_realloc(block, 90 * MIB);
    assert_non_null(block);
    with = api_mallinfo2();
    assert_int_equal(with.hblks, before.hblks + 1);
    assert_true(with.hblkhd >= before.hblkhd + 90 * MIB);
    block = api_realloc(block, 50 * MIB);
    assert_non_null(block);
    with = api_mallinfo2();
    assert_true(with.hblkhd >= before.hblkhd + 50 * MIB);
    assert_true(with.hblkhd < before.hblkhd + 51 * MIB);
    api_free(block);
    with = api_mallinfo2();
    assert_int_equal(with.hblks, before.hblks);
}

/* So few that none of it goes back. */
static void free_pieces_are_counted(void **state)
{
    enum { PIECES = 200, PIECE_BYTES = 5000 };
    char *pieces[PIECES];
    info full;
    info half;

    (void)state;
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = api_malloc(PIECE_BYTES);
        assert_non_null(pieces[i]);
        memset(pieces[i], 1, PIECE_BYTES);
    }
    full = api_mallinfo2();
    for (size_t i = 0; i < PIECES; i += 2)
        api_free(pieces[i]);
    half = api_mallinfo2();
    expect_consistent(&half);
    assert_true(half.ordblks >= full.ordblks + PIECES / 2 - 10);
    assert_true(half.fordblks >= full.fordblks + (size_t)PIECES / 2 * PIECE_BYTES * 9 / 10);
    assert_true(half.uordblks <= full.uordblks - (size_t)PIECES / 2 * PIECE_BYTES * 9 / 10);
    for (size_t i = 1; i < PIECES; i += 2)
        api_free(pieces[i]);
}

static void trim_the_top(size_t run_bytes, struct figures *figures)
{
    enum { RUNS = 400 };
    static char *runs[RUNS];
    info before;

    COMPLAIN_UNLESS(figures, api_mallopt(M_TRIM_THRESHOLD, -1) == 1);
    for (size_t i = 0; i < RUNS; i++) {
        runs[i] = api_malloc(run_bytes);
        memset(runs[i], 1, run_bytes);
    }
    for (size_t i = 0; i < RUNS; i++)
        api_free(runs[i]);
    before = api_mallinfo2();
    COMPLAIN_UNLESS(figures, before.keepcost >= RUNS * run_bytes * 9 / 10);
    COMPLAIN_UNLESS(figures, api_malloc_trim(0) == 1);
    COMPLAIN_UNLESS(figures, api_mallinfo2().keepcost <= MIB / 2);
}

/* In a process of its own, in which nothing lies at the top as yet. */
static void keepcost_is_what_a_trim_takes(void **state)
{
    (void)state;
    if (API_HAS_BREAK) /* the main arena has a top */
        (void)measured_apart(trim_the_top, 50000);
}

/* With BLOCKS live and nothing else going on, both answers are the same figures. */
static void mallinfo_says_the_same(void **state)
{
    info wide;
    narrow_info narrow;

    (void)state;
    allocate_blocks(blocks, BLOCKS, BLOCK_BYTES);
    wide = api_mallinfo2();
    narrow = api_mallinfo();
    assert_int_equal((size_t)narrow.arena, wide.arena);
    assert_int_equal((size_t)narrow.ordblks, wide.ordblks);
    assert_int_equal((size_t)narrow.smblks, wide.smblks);
    assert_int_equal((size_t)narrow.hblks, wide.hblks);
    assert_int_equal((size_t)narrow.hblkhd, wide.hblkhd);
    assert_int_equal((size_t)narrow.fsmblks, wide.fsmblks);
    assert_int_equal((size_t)narrow.uordblks, wide.uordblks);
    assert_int_equal((size_t)narrow.fordblks, wide.fordblks);
    assert_int_equal((size_t)narrow.keepcost, wide.keepcost);
    free_blocks(blocks, BLOCKS);
}

/* 2.5 GiB in two mappings, untouched: more than an int holds, and room for it in 32 bits. */
static void mallinfo_saturates(void **state)
{
    void *first = api_malloc(1280 * MIB);
    void *second = api_malloc(1280 * MIB);

    (void)state;
    assert_non_null(first);
    assert_non_null(second);
    assert_true(api_mallinfo2().hblkhd >= 2560 * MIB);
    if (API_IS_NEAP)
        assert_int_equal(api_mallinfo().hblkhd, INT_MAX);
    api_free(second);
    api_free(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keepcost_is_what_a_trim_takes),
        cmocka_unit_test(mapped_objects_are_counted_apart), /* before the threshold has risen */
        cmocka_unit_test(live_bytes_are_counted),
        cmocka_unit_test(one_block_more_is_seen),
        cmocka_unit_test(returned_memory_is_not_counted_as_free),
        cmocka_unit_test(realloc_of_a_mapped_object_is_followed),
        cmocka_unit_test(free_pieces_are_counted),
        cmocka_unit_test(mallinfo_says_the_same),
        cmocka_unit_test(mallinfo_saturates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

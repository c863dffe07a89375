/* realloc keeps what the block held, whatever kinds of block it goes from and to. */
#include "api_test.h"

#include <sys/resource.h>

static void between_all_pairs_of_sizes(void **state)
{
    (void)state;
    for (size_t from = 0; from < COUNT_OF(border_sizes); from++) {
        for (size_t to = 1; to < COUNT_OF(border_sizes); to++) {
            size_t old_size = border_sizes[from];
            size_t new_size = border_sizes[to];
            size_t common = old_size < new_size ? old_size : new_size;
            char *before = api_malloc(64);
            char *block = api_malloc(old_size);
            char *after = api_malloc(64);

            assert_non_null(block);
            pattern_fill(before, 64, 1);
            pattern_fill(after, 64, 2);
            pattern_fill_edges(block, common, from);
            block = api_realloc(block, new_size);
            assert_non_null(block);
            assert_true(api_malloc_usable_size(block) >= new_size);
            assert_true(pattern_edges_hold(block, common, from));
            pattern_fill_edges(block, new_size, to);
            assert_true(pattern_holds(before, 64, 1));
            assert_true(pattern_holds(after, 64, 2));
            assert_true(pattern_edges_hold(block, new_size, to));
            api_free(after);
            api_free(block);
            api_free(before);
        }
    }
}

/* One block grown and shrunk through every kind, beside neighbours that hold still or go away. */
static void along_a_random_walk(void **state)
{
    enum { STEPS = 4000, NEIGHBOURS = 200 };
    static struct {
        char *block;
        size_t size;
    } neighbours[NEIGHBOURS];
    uint64_t random = 42;
    size_t size = 10;
    char *block = api_malloc(size);

    (void)state;
    assert_non_null(block);
    pattern_fill_edges(block, size, 0);
    for (size_t step = 1; step <= STEPS; step++) {
        size_t new_size = 1 + random_size(&random, 22);
        size_t at = random_below(&random, NEIGHBOURS);
        size_t common = size < new_size ? size : new_size;

        assert_true(pattern_edges_hold(block, size, step - 1));
        pattern_fill_edges(block, common, step);
        block = api_realloc(block, new_size);
        assert_non_null(block);
        assert_true(pattern_edges_hold(block, common, step));
        size = new_size;
        pattern_fill_edges(block, size, step);

        if (neighbours[at].block != NULL) {
            assert_true(pattern_edges_hold(neighbours[at].block, neighbours[at].size, at));
            api_free(neighbours[at].block);
        }
        neighbours[at].size = random_size(&random, 17);
        neighbours[at].block = api_malloc(neighbours[at].size);
        assert_non_null(neighbours[at].block);
        pattern_fill_edges(neighbours[at].block, neighbours[at].size, at);
    }
    api_free(block);
    for (size_t i = 0; i < NEIGHBOURS; i++)
        api_free(neighbours[i].block);
}

/* The old place is free again: all of these together would be 400 MB. */
static void a_block_that_moves_leaves_its_place(void **state)
{
    size_t resident_at_start = resident_bytes();

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        char *block = api_malloc(20000);
        char *neighbour = api_malloc(20000);

        assert_non_null(block);
        assert_non_null(neighbour);
        memset(block, 1, 20000);
        block = api_realloc(block, 40000);
        assert_non_null(block);
        api_free(neighbour);
        api_free(block);
    }
    assert_true(resident_is_at_most(resident_at_start + 32 * MIB));
}

static void growing_byte_by_byte(void **state)
{
    char *block = NULL;
    char *other = NULL;

    (void)state;
    for (size_t size = 1; size <= 70000; size++) {
        block = api_realloc(block, size);
        assert_non_null(block);
        block[size - 1] = (char)(size % 251);
        if (size % 512 == 0) { /* something in the way */
            api_free(other);
            other = api_malloc(size);
            assert_non_null(other);
            memset(other, -1, size);
        }
    }
    for (size_t size = 70000; size >= 1; size--) {
        assert_int_equal(block[size - 1], (char)(size % 251));
        if (size % 7 == 0) {
            block = api_realloc(block, size);
            assert_non_null(block);
        }
    }
    api_free(other);
    api_free(block);
}

/* A buffer that doubles up to 256 MiB, only its ends touched: no page between may be copied. It
 * comes before the other tests: what they free may make blocks of up to 32 MiB runs, which are
 * copied where there is no room behind them. */
static void a_huge_block_grows_without_copying(void **state)
{
    size_t resident_at_start = resident_bytes();
    char *block = api_malloc(MIB);

    (void)state;
    assert_non_null(block);
    pattern_fill(block, 100, 9);
    for (size_t size = MIB; size < 256 * MIB; size *= 2) {
        pattern_fill(block + size - 100, 100, size);
        block = api_realloc(block, 2 * size);
        assert_non_null(block);
        assert_true(pattern_holds(block, 100, 9));
        assert_true(pattern_holds(block + size - 100, 100, size));
    }
    assert_true(resident_is_at_most(resident_at_start + 8 * MIB));
    block = api_realloc(block, 200);
    assert_non_null(block);
    assert_true(pattern_holds(block, 100, 9));
    api_free(block);
}

/* What a shrink gives up must become available: here far more than the machine would have. */
/* realloc looks at what lies behind the block. A page that it had only read would be faulted in
 * once more when the program writes it, with a word to all processors. */
static void what_realloc_looked_at_is_faulted_in_once(void **state)
{
    enum { COUNT = 64 };
    const size_t size = 40 * MIB + 100; /* a mapping, whatever was freed before */
    struct rusage before;
    struct rusage after;
    long faults = 0;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        char *block = api_malloc(size);

        assert_non_null(block);
        assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
        block = api_realloc(block, size + 200);
        assert_non_null(block);
        block[size + 199] = 1;
        assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
        faults += after.ru_minflt - before.ru_minflt;
        api_free(block);
    }
    assert_in_range(faults, COUNT, COUNT + COUNT / 4);
}

static void a_shrunk_block_gives_the_rest_back(void **state)
{
    enum { BLOCKS = 64 };
    char *blocks[BLOCKS];
    size_t resident_at_start = resident_bytes();

    (void)state;
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = api_malloc(4 * MIB);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, 4 * MIB);
        blocks[i] = api_realloc(blocks[i], 1000);
        assert_non_null(blocks[i]);
        assert_true(bytes_are(blocks[i], 1000, 1));
    }
    assert_true(resident_is_at_most(resident_at_start + 16 * MIB));
    for (size_t i = 0; i < BLOCKS; i++)
        api_free(blocks[i]);
}

static void reallocarray_multiplies(void **state)
{
    char *block = NULL;

    (void)state;
    for (size_t count = 1; count < 500; count += 3) {
        block = api_reallocarray(block, count, 24);
        assert_non_null(block);
        assert_true(api_malloc_usable_size(block) >= count * 24);
        if (count > 1)
            assert_true(pattern_holds(block, (count - 3) * 24, count - 3));
        pattern_fill(block, count * 24, count);
    }
    api_free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_huge_block_grows_without_copying),
        cmocka_unit_test(between_all_pairs_of_sizes),
        cmocka_unit_test(along_a_random_walk),
        cmocka_unit_test(a_block_that_moves_leaves_its_place),
        cmocka_unit_test(growing_byte_by_byte),
        cmocka_unit_test(what_realloc_looked_at_is_faulted_in_once),
        cmocka_unit_test(a_shrunk_block_gives_the_rest_back),
        cmocka_unit_test(reallocarray_multiplies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

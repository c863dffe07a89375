/* Random operations beside a model that knows what must be true: which addresses are taken, and
 * what each block holds. The seeds are fixed, so that a failure comes again. */
#include "api_test.h"

enum { MOST_LIVE = 3000, OPERATIONS = 100000 };

struct block {
    unsigned char *start;
    size_t size;
    uint64_t seed;
};

/* Sorted by address. No two overlap, in their usable bytes. */
static struct block live[MOST_LIVE];
static size_t live_count;

/* How many blocks begin below `start`; where it belongs. */
static size_t rank_of(const unsigned char *start)
{
    size_t low = 0;
    size_t high = live_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if ((uintptr_t)live[middle].start < (uintptr_t)start)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uintptr_t end_of(const struct block *block)
{
    size_t usable = api_malloc_usable_size(block->start);

    return (uintptr_t)block->start + (usable > 0 ? usable : 1);
}

static void enter(unsigned char *start, size_t size, uint64_t seed)
{
    size_t at = rank_of(start);
    struct block entered = {start, size, seed};

    assert_non_null(start);
    assert_true(is_aligned(start, 16));
    assert_true(api_malloc_usable_size(start) >= size);
    if (at > 0)
        assert_true(end_of(&live[at - 1]) <= (uintptr_t)start);
    if (at < live_count)
        assert_true(end_of(&entered) <= (uintptr_t)live[at].start);
    memmove(&live[at + 1], &live[at], (live_count - at) * sizeof(live[0]));
    live[at] = entered;
    live_count++;
    pattern_fill_edges(start, size, seed);
}

static struct block take_out(size_t at)
{
    struct block taken = live[at];

    assert_true(pattern_edges_hold(taken.start, taken.size, taken.seed));
    live_count--;
    memmove(&live[at], &live[at + 1], (live_count - at) * sizeof(live[0]));
    return taken;
}

static void allocate_one(uint64_t *random, unsigned max_shift)
{
    size_t size = random_size(random, max_shift);
    uint64_t seed = random_next(random);
    unsigned char *start;

    switch (random_below(random, 8)) {
    case 0:
        start = api_calloc(1, size);
        assert_non_null(start);
        assert_true(bytes_are(start, size, 0));
        break;
    case 1:
        start = api_memalign((size_t)16 << random_below(random, 9), size);
        break;
    case 2:
        start = api_realloc(NULL, size);
        break;
    default:
        start = api_malloc(size);
        break;
    }
    enter(start, size, seed);
}

static void resize_one(uint64_t *random, unsigned max_shift)
{
    struct block block = take_out(random_below(random, live_count));
    size_t size = 1 + random_size(random, max_shift);
    size_t common = size < block.size ? size : block.size;

    pattern_fill_edges(block.start, common, block.seed);
    block.start = api_realloc(block.start, size);
    assert_non_null(block.start);
    assert_true(pattern_edges_hold(block.start, common, block.seed));
    enter(block.start, size, block.seed);
}

/* The number of live blocks swings between none and all, for growth and shrinkage are not one
 * test. */
static void run(uint64_t seed, unsigned max_shift)
{
    uint64_t random = seed;
    size_t goal = MOST_LIVE;

    for (unsigned i = 0; i < OPERATIONS; i++) {
        bool is_below = live_count < goal;
        size_t die = random_below(&random, 10);

        if (i % 5000 == 0)
            goal = random_below(&random, MOST_LIVE);
        if (live_count > 0 && die == 0)
            resize_one(&random, max_shift);
        else if (live_count < MOST_LIVE && (is_below ? die < 7 : die < 3))
            allocate_one(&random, max_shift);
        else if (live_count > 0)
            api_free(take_out(random_below(&random, live_count)).start);
    }
    while (live_count > 0)
        api_free(take_out(random_below(&random, live_count)).start);
}

static void tiny_blocks(void **state)
{
    (void)state;
    run(1, 6);
}

static void small_blocks(void **state)
{
    (void)state;
    run(2, 11);
}

static void blocks_of_slabs_and_runs(void **state)
{
    (void)state;
    run(3, 16);
}

static void blocks_of_all_kinds(void **state)
{
    (void)state;
    run(4, 20);
}

/* Memory that other sizes left behind. */
static void kinds_by_turns(void **state)
{
    (void)state;
    for (unsigned max_shift = 4; max_shift <= 18; max_shift += 7)
        run(100 + max_shift, max_shift);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_blocks),        cmocka_unit_test(small_blocks),
        cmocka_unit_test(blocks_of_slabs_and_runs), cmocka_unit_test(blocks_of_all_kinds),
        cmocka_unit_test(kinds_by_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

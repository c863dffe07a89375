/* Random operations beside a shadow that knows what must be true. The seeds are fixed, so that a
 * failure comes again. */
#include "api_test.h"
#include "shadow.h"

enum { MOST_LIVE = 3000, OPERATIONS = 60000 };

_Static_assert((int)MOST_LIVE <= (int)SHADOW_MOST_LIVE, "the table has room");

static struct shadow shadow;

static void assert_sound(const char *complaint)
{
    if (complaint != NULL)
        fail_msg("%s", complaint);
}

static void enter(unsigned char *start, size_t size, size_t alignment, uint64_t seed)
{
    struct shadow_block block = {start, size, api_malloc_usable_size(start), alignment, seed};

    assert_sound(shadow_enter(&shadow, &block));
}

/* One of the live blocks, before something ends it. */
static struct shadow_block take_one_out(uint64_t *random)
{
    struct shadow_block block;

    assert_sound(shadow_take_out(&shadow, random_below(random, shadow.live_count), &block));
    assert_int_equal(api_malloc_usable_size(block.start), block.usable_bytes);
    return block;
}

static void allocate_one(uint64_t *random, unsigned max_shift)
{
    size_t size = random_size(random, max_shift);
    uint64_t seed = random_next(random);
    size_t alignment = 0;
    unsigned char *start;

    switch (random_below(random, 8)) {
    case 0:
        start = api_calloc(1, size);
        assert_non_null(start);
        assert_true(bytes_are(start, size, 0));
        break;
    case 1:
        alignment = (size_t)16 << random_below(random, 9);
        start = api_memalign(alignment, size);
        break;
    case 2:
        start = api_realloc(NULL, size);
        break;
    default:
        start = api_malloc(size);
        break;
    }
    enter(start, size, alignment, seed);
}

static void resize_one(uint64_t *random, unsigned max_shift)
{
    struct shadow_block block = take_one_out(random);
    size_t size = 1 + random_size(random, max_shift);
    unsigned char *start;

    shadow_prepare_resize(&block, size);
    start = api_realloc(block.start, size);
    assert_non_null(start);
    assert_sound(shadow_check_resized(&block, start, size));
    enter(start, size, 0, block.seed);
}

/* The number of live blocks swings between none and all, for growth and shrinkage are not one
 * test. */
static void run(uint64_t seed, unsigned max_shift)
{
    uint64_t random = seed;
    size_t goal = MOST_LIVE;

    for (unsigned i = 0; i < OPERATIONS; i++) {
        bool is_below = shadow.live_count < goal;
        size_t die = random_below(&random, 10);

        if (i % 5000 == 0)
            goal = random_below(&random, MOST_LIVE);
        if (shadow.live_count > 0 && die == 0)
            resize_one(&random, max_shift);
        else if (shadow.live_count < MOST_LIVE && (is_below ? die < 7 : die < 3))
            allocate_one(&random, max_shift);
        else if (shadow.live_count > 0)
            api_free(take_one_out(&random).start);
    }
    while (shadow.live_count > 0)
        api_free(take_one_out(&random).start);
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

/* Runs are taken, given, grown and shrunk at random, against the model, for every system page
 * size. */
#include "os.h"
#include "returned.h"
#include "run.h"
#include "run_model.h"
#include "tune.h"
#include "window.h"

enum { STEPS = 1500 };

static size_t some_size(void)
{
    switch (random_below(8)) {
    case 0:
        return NP_UNIT_GRANULES; /* a slab */
    case 1:
        return 1 + random_below(2000);
    case 2:
        return 1 + random_below(200);
    default:
        return 1 + random_below(40);
    }
}

static size_t some_alignment(void)
{
    switch (random_below(6)) {
    case 0:
        return NP_UNIT_BYTES;
    case 1:
        return NP_GRANULE_BYTES << random_below(10);
    default:
        return NP_GRANULE_BYTES;
    }
}

static void take_something(size_t most)
{
    size_t granule_count = some_size();
    size_t touched_count = random_below(2) == 0 ? granule_count : random_below(granule_count + 1);

    if (lent_count < most)
        (void)model_take(granule_count, some_alignment(), touched_count, NP_MAY_GROW);
}

/* Holds more and more, then less and less, three times over. */
static void churn(unsigned steps)
{
    for (unsigned step = 0; step < steps; step++) {
        size_t phase = (size_t)step * 6 / steps;
        size_t action = random_below(10);

        if (lent_count == 0 || action < (phase % 2 == 0 ? 6 : 3))
            take_something(MODEL_MAX);
        else if (action < 9)
            model_give(random_below(lent_count));
        else
            (void)model_resize(random_below(lent_count), some_size());
        expect_all_in_order();
        expect_bounded();
    }
    model_give_all();
    expect_all_in_order();
    expect_bounded();
}

static void random_life_with_4k_pages(void **state)
{
    (void)state;
    churn(STEPS);
}

static void random_life_with_16k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(16384);
    churn(STEPS);
}

static void random_life_with_64k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(65536);
    churn(STEPS);
}

static void random_life_without_a_break(void **state)
{
    (void)state;
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    churn(STEPS);
    assert_true(home != NULL && home->index != 0);
}

static void random_life_with_nothing_retained(void **state)
{
    (void)state;
    retained_max_bytes = 0;
    churn(STEPS);
    assert_int_equal(np_arena_retained_bytes(), 0);
}

static void random_life_with_everything_retained(void **state)
{
    (void)state;
    retained_max_bytes = SIZE_MAX;
    /* No larger top than that, or bookkeeping behind it goes, which would count as ranges below. */
    assert_true(np_tune_set(NP_KNOB_TOP_PAD, 128 << 10));
    churn(STEPS);
    /* What the runs lie on; bookkeeping of ranges that were never touched may go. */
    assert_int_equal(os_fake_calls(OS_FAKE_PURGE_RANGES), 0);
    assert_int_equal(np_returned_totals().ways[NP_RETURN_PURGE].calls, 0);
    assert_int_equal(np_returned_totals().ways[NP_RETURN_BREAK].calls, 0);
}

static void random_life_with_foreign_moves(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        churn(STEPS / 20);
        (void)os_fake_foreign_sbrk((intptr_t)(1 + random_below(300000)));
    }
}

/* ---- filing ---- */

static size_t count_of_free_runs;

static void count_free(const struct np_run *run, void *context)
{
    (void)context;
    count_of_free_runs += atomic_load(&run->state) == NP_RUN_FREE;
}

static size_t free_runs(void)
{
    count_of_free_runs = 0;
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        assert_true(np_arena_walk(arena, count_free, NULL));
    return count_of_free_runs;
}

/* Free runs with a live one between them, of these sizes, in address order; the first live one
 * is lent[0]. */
static void make_holes(const size_t *sizes, uintptr_t *starts, size_t count, bool is_touched)
{
    struct np_run *holes[16];

    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    for (size_t i = 0; i < count; i++) {
        holes[i] = np_run_take(&home, sizes[i], NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
        assert_non_null(holes[i]);
        starts[i] = holes[i]->start;
        (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    }
    for (size_t i = 0; i < count; i++) {
        if (is_touched)
            memset((void *)holes[i]->start, 1, granules_bytes(sizes[i]));
        np_run_give(holes[i], is_touched ? sizes[i] : 0);
    }
    expect_all_in_order();
    assert_int_equal(free_runs(), count + 1); /* and the top */
}

static void the_best_fit_is_taken(void **state)
{
    static const size_t sizes[] = {40, 10, 30, 20, 12};
    uintptr_t starts[COUNT_OF(sizes)];

    (void)state;
    make_holes(sizes, starts, COUNT_OF(sizes), false);
    assert_int_equal(model_take(11, NP_GRANULE_BYTES, 0, NP_MAY_GROW)->start, starts[4]);
    assert_int_equal(model_take(20, NP_GRANULE_BYTES, 0, NP_MAY_GROW)->start, starts[3]);
    assert_int_equal(model_take(21, NP_GRANULE_BYTES, 0, NP_MAY_GROW)->start, starts[2]);
    assert_int_equal(model_take(31, NP_GRANULE_BYTES, 0, NP_MAY_GROW)->start, starts[0]);
    expect_all_in_order();
}

static void among_equals_the_lowest_address_is_taken(void **state)
{
    static const size_t sizes[] = {8, 8, 8, 8, 8, 8};
    uintptr_t starts[COUNT_OF(sizes)];

    (void)state;
    make_holes(sizes, starts, COUNT_OF(sizes), false);
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        assert_int_equal(model_take(8, NP_GRANULE_BYTES, 0, NP_MAY_GROW)->start, starts[i]);
}

static void the_top_is_taken_last(void **state)
{
    static const size_t sizes[] = {5};
    uintptr_t start;

    (void)state;
    make_holes(sizes, &start, 1, false);
    assert_int_equal(model_take(5, NP_GRANULE_BYTES, 0, NP_MAY_GROW)->start, start);
    assert_true(model_take(5, NP_GRANULE_BYTES, 0, NP_MAY_GROW)->start > start);
}

/* Memory that is there is preferred, up to a quarter more than the closest cold fit. */
static void resident_runs_are_preferred_among_near_fits(void **state)
{
    static const size_t sizes[] = {20, 20, 40, 25}; /* cold, cold, far, near */
    struct np_run *holes[COUNT_OF(sizes)];
    uintptr_t starts[COUNT_OF(sizes)];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        holes[i] = np_run_take(&home, sizes[i], NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
        starts[i] = holes[i]->start;
        (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    }
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_sound(np_arena_audit_all()); /* none is kept */
        if (i == 3) /* the far one is more than a quarter larger than the cold one */
            assert_int_equal(model_take(20, NP_GRANULE_BYTES, 0, NP_MAY_GROW)->start, starts[0]);
        if (i >= 2)
            memset((void *)starts[i], 1, granules_bytes(sizes[i]));
        np_run_give(holes[i], i >= 2 ? sizes[i] : 0);
    }
    assert_int_equal(model_take(20, NP_GRANULE_BYTES, 0, NP_MAY_GROW)->start, starts[3]);
    expect_all_in_order();
}

static void neighbours_merge(void **state)
{
    enum { COUNT = 6 };
    uintptr_t start;
    /* Alone, alone, between two, before one, alone, between two. */
    static const size_t order[COUNT] = {1, 3, 2, 0, 5, 4};
    static const size_t expected[COUNT] = {2, 3, 2, 2, 3, 2};
    struct np_run *runs[COUNT];

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        runs[i] = np_run_take(&home, 7, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    start = runs[0]->start;
    (void)model_take(1, NP_GRANULE_BYTES, 0, NP_MAY_GROW); /* keeps them from the top */
    for (size_t i = 0; i < COUNT; i++) {
        /* Some resident, some cold: they merge all the same. */
        np_run_give(runs[order[i]], i % 2 == 0 ? 7 : 0);
        assert_sound(np_arena_audit_all());
        assert_int_equal(free_runs(), expected[i]);
    }
    assert_int_equal(model_take(7 * COUNT, NP_GRANULE_BYTES, 0, NP_MAY_GROW)->start, start);
}

/* The newest stretch may end, with the top, where an older one begins. */
static void stretches_that_touch_are_not_joined(void **state)
{
    uintptr_t base = (uintptr_t)np_os_reserve(2 * NP_WINDOW_BYTES, NP_WINDOW_BYTES);
    uintptr_t border = base + NP_WINDOW_BYTES;
    struct np_stretch older = {.start = border, .end = border, .limit = border + NP_WINDOW_BYTES};
    struct np_stretch newer = {.start = base, .end = base, .limit = border, .next = &older};
    struct np_arena *arena = np_arena_make();
    struct np_run *first;
    struct np_run *rest;

    (void)state;
    assert_true(base != 0 && arena != NULL);
    assert_true(np_window_ensure(base) != NULL && np_window_ensure(border) != NULL);
    assert_true(np_lock_acquire(&arena->lock));
    arena->stretches = &older;
    np_run_append(arena, border, border + NP_WINDOW_BYTES, np_run_record_take(border));
    first = np_run_carve(arena, 16, NP_GRANULE_BYTES, NP_RUN_MEDIUM);
    assert_true(first != NULL && first->start == border);
    rest = arena->top;
    np_run_unfile(arena, rest);
    arena->stretches = &newer;
    (void)np_run_file(arena, rest);
    np_run_append(arena, base, border, np_run_record_take(base));
    assert_true(arena->top != NULL && np_run_end(arena->top) == border);

    np_run_mark_touched(first, 0);
    np_run_count_lent(arena, (size_t)0 - first->granule_count);
    np_run_file_and_release(arena, first);
    assert_true(np_run_end(arena->top) == border);
    assert_null(np_arena_audit(arena));
}

static void alignment_is_found_without_waste_where_luck_has_it(void **state)
{
    struct lent *block;
    struct np_run *hole;
    uintptr_t aligned;

    (void)state;
    (void)model_take(3, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    hole = np_run_take(&home, 16, NP_UNIT_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    aligned = hole->start;
    (void)model_take(1, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    np_run_give(hole, 0);
    block = model_take(16, NP_UNIT_BYTES, 0, NP_EXISTING_ONLY);
    assert_non_null(block);
    assert_int_equal(block->start, aligned);
    expect_all_in_order();
}

/* ---- finding ---- */

static void only_starts_of_lent_runs_are_found(void **state)
{
    const struct lent *block = model_take(10, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    uintptr_t start = block->start;
    struct np_run *run = block->run;

    (void)state;
    assert_ptr_equal(np_run_find(start), run);
    assert_null(np_run_find(start + 1));
    assert_null(np_run_find(start + 16));
    assert_null(np_run_find(start + NP_GRANULE_BYTES));
    /* Its last granule has a map entry too. */
    assert_null(np_run_find(start + 9 * NP_GRANULE_BYTES));
    assert_null(np_run_find(0));
    assert_null(np_run_find(UINTPTR_MAX));
    assert_null(np_run_find(UINTPTR_MAX / 2 + 1));
    assert_ptr_equal(np_run_around(start), run);
    assert_ptr_equal(np_run_around(start + granules_bytes(10) - 1), run);
    assert_ptr_not_equal(np_run_around(start + granules_bytes(10)), run);
    assert_null(np_run_around(4096));
    model_give(0);
    assert_null(np_run_find(start)); /* free now */
}

/* ---- zero memory ---- */

static void fresh_memory_is_not_written_to_be_cleared(void **state)
{
    const struct lent *block = model_take(100, NP_GRANULE_BYTES, 0, NP_MAY_GROW);

    (void)state;
    np_run_clear(block->run, granules_bytes(100));
    assert_int_equal(os_fake_resident_bytes((void *)block->start, granules_bytes(100)), 0);
}

static void only_used_granules_are_cleared(void **state)
{
    struct lent *block = model_take(100, NP_GRANULE_BYTES, 10, NP_MAY_GROW);
    uintptr_t start = block->start;

    (void)state;
    memset((void *)start, 1, granules_bytes(10));
    block->stamp = 1;
    model_give(0);
    block = model_take(100, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    assert_int_equal(block->start, start);
    np_run_clear(block->run, granules_bytes(100));
    assert_int_equal(os_fake_resident_bytes((void *)start, granules_bytes(100)),
                     granules_bytes(10));
    expect_zero((void *)start, granules_bytes(100));
}

static void clearing_stops_at_the_byte(void **state)
{
    struct lent *block = model_take(4, NP_GRANULE_BYTES, 4, NP_MAY_GROW);
    unsigned char *memory = (unsigned char *)block->start;

    (void)state;
    memset(memory, 7, granules_bytes(4));
    block->stamp = 7;
    model_give(0);
    block = model_take(4, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    assert_ptr_equal((unsigned char *)block->start, memory);
    np_run_clear(block->run, 5000);
    expect_zero(memory, 5000);
    assert_int_equal(memory[5000], 7);
}

/* ---- in place ---- */

static void growing_takes_the_free_neighbour(void **state)
{
    (void)state;
    (void)model_take(10, NP_GRANULE_BYTES, 10, NP_MAY_GROW);
    (void)model_take(10, NP_GRANULE_BYTES, 10, NP_MAY_GROW);
    (void)model_take(10, NP_GRANULE_BYTES, 10, NP_MAY_GROW);
    assert_false(model_resize(0, 11)); /* the neighbour is lent */
    model_give(1);                     /* the last one is lent[1] now */
    assert_false(model_resize(0, 21)); /* too far */
    expect_all_in_order();
    assert_true(model_resize(0, 13));
    expect_all_in_order();
    assert_true(model_resize(0, 20)); /* all of it */
    expect_all_in_order();
    assert_true(model_resize(1, 5000)); /* at the top: the arena grows */
    expect_all_in_order();
    assert_true(model_resize(1, 1));
    expect_all_in_order();
    assert_true(model_resize(1, 10000));
    expect_all_in_order();
}

static void shrinking_gives_the_tail_back(void **state)
{
    size_t free_granules;

    (void)state;
    (void)model_take(100, NP_GRANULE_BYTES, 100, NP_MAY_GROW);
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    free_granules = atomic_load(&np_arena_list()->free_granules);
    assert_true(model_resize(0, 60));
    assert_int_equal(atomic_load(&np_arena_list()->free_granules), free_granules + 40);
    expect_all_in_order();
    assert_int_equal(model_take(40, NP_GRANULE_BYTES, 0, NP_EXISTING_ONLY)->start,
                     lent[0].start + granules_bytes(60));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_life_with_4k_pages),
        cmocka_unit_test(random_life_with_16k_pages),
        cmocka_unit_test(random_life_with_64k_pages),
        cmocka_unit_test(random_life_without_a_break),
        cmocka_unit_test(random_life_with_nothing_retained),
        cmocka_unit_test(random_life_with_everything_retained),
        cmocka_unit_test(random_life_with_foreign_moves),
        cmocka_unit_test(the_best_fit_is_taken),
        cmocka_unit_test(among_equals_the_lowest_address_is_taken),
        cmocka_unit_test(the_top_is_taken_last),
        cmocka_unit_test(resident_runs_are_preferred_among_near_fits),
        cmocka_unit_test(neighbours_merge),
        cmocka_unit_test(stretches_that_touch_are_not_joined),
        cmocka_unit_test(alignment_is_found_without_waste_where_luck_has_it),
        cmocka_unit_test(only_starts_of_lent_runs_are_found),
        cmocka_unit_test(fresh_memory_is_not_written_to_be_cleared),
        cmocka_unit_test(only_used_granules_are_cleared),
        cmocka_unit_test(clearing_stops_at_the_byte),
        cmocka_unit_test(growing_takes_the_free_neighbour),
        cmocka_unit_test(shrinking_gives_the_tail_back),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* What goes back to the system, by which way, and what the system then really has. When it goes
 * is decided above (heap/return.h); here the model asks for it. */
#include "run_model.h"

#include "returned.h"
#include "window.h"

#define MIB ((size_t)1 << 20)

/* Takes and fully touches runs that come to this many bytes. */
static void fill(size_t bytes, size_t granule_count)
{
    for (size_t done = 0; done < bytes; done += granules_bytes(granule_count))
        assert_non_null(model_take(granule_count, NP_GRANULE_BYTES, granule_count, NP_MAY_GROW));
}

/* Real memory behind all free runs. */
static size_t really_retained_bytes(void)
{
    struct seen seen = {0};

    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        assert_true(np_arena_walk(arena, look_at, &seen));
    return granules_bytes(seen.resident_granules);
}

/* Gives all back in this order, looking at the bound after every one. */
static void give_all_bounded(bool is_forwards)
{
    while (lent_count > 0) {
        model_give(is_forwards ? 0 : lent_count - 1);
        assert_true(np_arena_retained_bytes() <= retained_max_bytes);
        assert_true(really_retained_bytes() <= retained_max_bytes);
    }
    expect_all_in_order();
}

static void retention_is_bounded_at_every_moment(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        fill(64 * MIB, round % 2 == 0 ? 64 : 33);
        give_all_bounded(round >= 2);
    }
}

static void retention_is_bounded_in_mapped_arenas(void **state)
{
    (void)state;
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    fill(64 * MIB, 64);
    give_all_bounded(true);
}

static void nothing_is_purged_twice_or_for_nothing(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        fill(32 * MIB, 32);
        while (lent_count > 0)
            model_give(random_below(lent_count));
    }
    expect_all_in_order();
    assert_true(os_fake_purged_bytes() > 0);
    assert_int_equal(os_fake_purged_cold_bytes(), 0);
}

/* Nobody waits in free for more than one batch's system call. */
static void purges_come_in_batches(void **state)
{
    (void)state;
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    (void)model_take(64 * MIB / NP_GRANULE_BYTES, NP_GRANULE_BYTES, 64 * MIB / NP_GRANULE_BYTES,
                     NP_MAY_GROW);
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    model_give(1);
    assert_true(os_fake_purged_bytes() >= 63 * MIB);
    assert_true(os_fake_largest_purge_bytes() <= NP_PURGE_BATCH_BYTES);
    assert_true(os_fake_largest_purge_bytes() >= MIB); /* and not page by page */
}

/* At least what is wanted, and not a run more. */
static void what_is_wanted_goes_and_hardly_more(void **state)
{
    size_t gone = 0;

    (void)state;
    retained_max_bytes = SIZE_MAX;
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    fill(16 * MIB, 16);
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    for (size_t i = lent_count - 2; i > 1; i -= 2)
        model_give(i);
    while (np_arena_retained_bytes() > 0) {
        size_t before = np_arena_retained_bytes() >> NP_GRANULE_SHIFT;
        size_t want = np_min(1 + random_below(100), before);
        size_t left = want;

        while (left > 0) {
            gone = 0;
            assert_true(np_arena_return_some(left, 0, &gone));
            assert_in_range(gone, 1, left);
            left -= gone;
        }
        assert_int_equal(before - (np_arena_retained_bytes() >> NP_GRANULE_SHIFT), want);
        expect_all_in_order();
    }
    assert_false(np_arena_return_some(1, 0, &gone));
}

/* The run with the most memory goes first, of whatever arena. */
static void the_largest_goes_first(void **state)
{
    static const size_t sizes[] = {10, 300, 40, 200, 1, 90};
    static const size_t order[] = {1, 3, 5, 2, 0, 4};
    uintptr_t starts[COUNT_OF(sizes)];

    (void)state;
    retained_max_bytes = SIZE_MAX;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        if (i == 3) { /* the others of a mapped arena */
            os_fake_limit_break(0);
            home = NULL;
        }
        (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
        starts[i] = model_take(sizes[i], NP_GRANULE_BYTES, sizes[i], NP_MAY_GROW)->start;
    }
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    for (size_t i = lent_count; i-- > 0;)
        if (i % 2 == 1)
            model_give(i);
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        size_t gone = 0;
        size_t left = sizes[order[i]];

        assert_true(np_arena_return_some(left, 0, &gone));
        assert_int_equal(gone, left);
        assert_int_equal(os_fake_resident_bytes((void *)starts[order[i]], granules_bytes(left)), 0);
    }
    expect_all_in_order();
}

/* What the top may keep stays: the pad. */
static void the_top_keeps_its_pad(void **state)
{
    size_t gone = 0;

    (void)state;
    retained_max_bytes = SIZE_MAX;
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    fill(4 * MIB, 16);
    while (lent_count > 1)
        model_give(lent_count - 1);
    assert_true(np_arena_return_some(SIZE_MAX, MIB, &gone));
    assert_int_equal(np_arena_retained_bytes(), MIB);
    assert_int_equal(gone << NP_GRANULE_SHIFT, 3 * MIB);
    expect_all_in_order();
}

static bool is_all_purged(uintptr_t start, size_t granule_count)
{
    return os_fake_resident_bytes((void *)start, granules_bytes(granule_count)) == 0;
}

/* Ranges of lent runs: those of slabs. A refused one says so, and does not keep the others. */
static void ranges_are_purged_and_refused_ones_marked(void **state)
{
    struct np_range ranges[5];
    uintptr_t start = model_take(100, NP_GRANULE_BYTES, 100, NP_MAY_GROW)->start;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ranges); i++)
        ranges[i] =
            (struct np_range){(void *)(start + granules_bytes(20 * i)), granules_bytes(i + 1)};
    os_fake_lock_memory((void *)(start + granules_bytes(20)), granules_bytes(40));
    assert_int_equal(np_arena_purge_ranges(ranges, COUNT_OF(ranges)), 1 + 4 + 5);
    for (size_t i = 0; i < COUNT_OF(ranges); i++) {
        bool is_locked = i == 1 || i == 2;

        assert_int_equal(ranges[i].bytes, is_locked ? 0 : granules_bytes(i + 1));
        assert_int_equal(is_all_purged(start + granules_bytes(20 * i), i + 1), !is_locked);
        assert_false(is_all_purged(start + granules_bytes(20 * i + i + 1), 1));
    }
    assert_int_equal(np_returned_totals().ways[NP_RETURN_PURGE].bytes, granules_bytes(10));
    assert_int_equal(np_returned_totals().ways[NP_RETURN_PURGE].calls,
                     os_fake_calls(OS_FAKE_PURGE_RANGES));
}

/* Lent runs in which so many granules are touched, and one is not, with one granule between each
 * and the next; the index of the first in lent. */
static size_t take_apart(size_t touched_count, size_t count)
{
    size_t first = lent_count;

    for (size_t i = 0; i < count; i++) {
        (void)model_take(touched_count + 1, NP_GRANULE_BYTES, touched_count, NP_MAY_GROW);
        (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    }
    return first;
}

/* With ranges of slabs go small free runs, in one call, as far as there is more wanted. Large ones
 * stay, and so do refused ones, which are tried once. */
static void small_runs_go_with_ranges(void **state)
{
    struct np_range ranges[1 + NP_RUN_RANGES];
    uintptr_t start = model_take(100, NP_GRANULE_BYTES, 100, NP_MAY_GROW)->start;
    size_t large = take_apart(17, 1);
    size_t small = take_apart(3, 20);

    (void)state;
    retained_max_bytes = SIZE_MAX;
    os_fake_lock_memory((void *)lent[small].start, granules_bytes(3));
    for (size_t i = 19 * 2 + 1; i-- > 0;)
        if (i % 2 == 0)
            model_give(small + i);
    model_give(large);
    for (unsigned round = 0; round < 2; round++) {
        size_t before = np_arena_retained_bytes() >> NP_GRANULE_SHIFT;

        os_fake_reset();
        ranges[0] =
            (struct np_range){(void *)(start + granules_bytes(10 * round)), granules_bytes(5)};
        /* 5 and ten runs, of which the first is refused at first. */
        assert_int_equal(np_arena_purge_with_runs(ranges, 1, 36),
                         round == 0 ? 5 + 9 * 3 : 5 + 10 * 3);
        assert_int_equal(ranges[0].bytes, granules_bytes(5));
        assert_int_equal(before - (np_arena_retained_bytes() >> NP_GRANULE_SHIFT), 10 * 3);
        assert_true(is_all_purged(start + granules_bytes(10 * round), 5));
        if (round == 1)
            assert_int_equal(os_fake_calls(OS_FAKE_PURGE_RANGES), 1);
        assert_sound(np_arena_audit_all());
    }
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(17));
    assert_int_equal(np_arena_purge_with_runs(ranges, 0, 36), 0);
    os_fake_lock_memory(NULL, 0);
}

/* The ranges alone may be all that is wanted. */
static void small_runs_stay_where_enough_goes_without(void **state)
{
    struct np_range ranges[1 + NP_RUN_RANGES];
    uintptr_t start = model_take(100, NP_GRANULE_BYTES, 100, NP_MAY_GROW)->start;
    size_t small = take_apart(3, 2);

    (void)state;
    retained_max_bytes = SIZE_MAX;
    model_give(small);
    ranges[0] = (struct np_range){(void *)start, granules_bytes(5)};
    assert_int_equal(np_arena_purge_with_runs(ranges, 1, 7), 5);
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(3));
    expect_all_in_order();
}

static void trimming_lowers_the_break(void **state)
{
    uintptr_t start = os_fake_break();

    (void)state;
    retained_max_bytes = SIZE_MAX;
    fill(16 * MIB, 16);
    model_give_all();
    assert_true(np_arena_retained_bytes() >= 16 * MIB);
    assert_true(np_arena_trim(0));
    expect_all_in_order();
    assert_int_equal(np_arena_retained_bytes(), 0);
    assert_int_equal(really_retained_bytes(), 0);
    assert_true(os_fake_break() <= start + NP_UNIT_BYTES + NP_GRANULE_BYTES);
    assert_true(atomic_load(&np_arena_list()->system_bytes) <= NP_UNIT_BYTES);
    assert_true(np_returned_totals().ways[NP_RETURN_BREAK].bytes >= 15 * MIB);
    /* The arena is as good as new. */
    fill(MIB, 16);
    expect_all_in_order();
    model_give_all();
}

/* glibc answers 1 for a trim that changes nothing. */
static void trimming_answers_whether_anything_went(void **state)
{
    (void)state;
    assert_false(np_arena_trim(0));
    fill(MIB / 2, 16);
    (void)np_arena_trim(0); /* the untouched pad at the top */
    assert_false(np_arena_trim(0));
    model_give(0);
    assert_true(np_arena_trim(0));
    assert_false(np_arena_trim(0));
    expect_all_in_order();
}

static void trimming_keeps_the_pad(void **state)
{
    (void)state;
    retained_max_bytes = SIZE_MAX;
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    fill(16 * MIB, 16);
    while (lent_count > 1)
        model_give(1);
    assert_true(np_arena_trim(2 * MIB));
    expect_all_in_order();
    assert_int_equal(np_arena_retained_bytes(), 2 * MIB);
    assert_false(np_arena_trim(2 * MIB));
    assert_true(np_arena_trim(MIB));
    assert_int_equal(np_arena_retained_bytes(), MIB);
}

static void trimming_reaches_the_interior_and_every_arena(void **state)
{
    (void)state;
    retained_max_bytes = SIZE_MAX;
    fill(8 * MIB, 8);
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    home = NULL;
    fill(8 * MIB - granules_bytes(8), 8); /* what does not fit any more is mapped */
    assert_true(np_arena_list()->index > 0);
    os_fake_reset();
    for (size_t i = lent_count; i-- > 0;)
        if (i % 2 == 0)
            model_give(i);
    assert_true(np_arena_retained_bytes() >= 6 * MIB);
    assert_true(np_arena_trim(0));
    assert_int_equal(really_retained_bytes(), 0);
    expect_all_in_order();
    for (size_t i = 0; i < lent_count; i++)
        expect_stamps(&lent[i]);
}

static void the_break_is_not_moved_after_a_foreign_move(void **state)
{
    uintptr_t end;

    (void)state;
    fill(4 * MIB, 16);
    (void)os_fake_foreign_sbrk(5000);
    end = os_fake_break();
    fill(4 * MIB, 16);
    assert_int_equal(os_fake_break(), end);
    model_give_all();
    (void)np_arena_trim(0);
    expect_all_in_order();
    assert_int_equal(os_fake_break(), end);
    assert_int_equal(really_retained_bytes(), 0); /* by madvise instead */
}

/* A limit, say: nobody else has moved the break. */
static void a_refused_growth_is_no_foreign_move(void **state)
{
    uintptr_t start = os_fake_break();

    (void)state;
    retained_max_bytes = SIZE_MAX;
    fill(4 * MIB, 16);
    os_fake_limit_break(os_fake_break() - start);
    home = NULL;
    fill(4 * MIB, 16); /* what does not fit any more is mapped */
    assert_true(np_arena_list()->index > 0);
    model_give_all();
    assert_true(np_arena_trim(0));
    expect_all_in_order();
    assert_true(os_fake_break() <= start + NP_UNIT_BYTES + NP_GRANULE_BYTES);
}

/* Other code takes its memory off the top between two of our calls, and even while nobody of us
 * looks. */
static void a_foreign_move_just_before_trimming_is_seen(void **state)
{
    char *foreign;

    (void)state;
    fill(4 * MIB, 16);
    foreign = os_fake_foreign_sbrk(8192);
    memset(foreign, 0x5A, 8192);
    model_give_all();
    (void)np_arena_trim(0);
    expect_all_in_order();
    for (size_t i = 0; i < 8192; i++)
        assert_int_equal(foreign[i], 0x5A);
    assert_int_equal(really_retained_bytes(), 0);
}

/* A refused sbrk(-n): what was cut off has left the arena, and its memory goes all the same. */
static void a_refused_lowering_still_returns_the_memory(void **state)
{
    uintptr_t start;
    uintptr_t end;

    (void)state;
    retained_max_bytes = SIZE_MAX;
    fill(4 * MIB, 16);
    start = lent[0].start;
    end = os_fake_break();
    model_give_all();
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    assert_true(np_arena_trim(0));
    expect_all_in_order();
    assert_int_equal(os_fake_break(), end);
    assert_int_equal(os_fake_resident_bytes((void *)start, end - start), 0);
    os_fake_reset();
    fill(4 * MIB, 16);
    expect_all_in_order();
}

/* mlock: EINVAL from madvise. It stays resident, is known to be used, and does not keep the rest
 * from going. */
static void locked_memory_is_left_alone(void **state)
{
    uintptr_t locked;

    (void)state;
    retained_max_bytes = 0;
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    /* The largest, so it is tried first. */
    (void)model_take(600, NP_GRANULE_BYTES, 600, NP_MAY_GROW);
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    for (unsigned i = 0; i < 10; i++) {
        (void)model_take(20, NP_GRANULE_BYTES, 20, NP_MAY_GROW);
        (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    }
    locked = lent[1].start;
    memset((void *)locked, 0x77, granules_bytes(600));
    lent[1].stamp = 0x77;
    os_fake_lock_memory((void *)locked, granules_bytes(600));
    for (size_t i = lent_count; i-- > 0;)
        if (lent[i].granule_count > 1)
            model_give(i);
    assert_sound(np_arena_audit_all());
    assert_int_equal(really_retained_bytes(), granules_bytes(600));
    assert_int_equal(np_arena_retained_bytes(), 0); /* of what can be returned */
    assert_false(np_arena_trim(0) && np_arena_trim(0));
    /* calloc must not take it for zero. */
    for (size_t i = lent_count; i-- > 0;)
        expect_stamps(&lent[i]);
    {
        struct lent *block = model_take(600, NP_GRANULE_BYTES, 0, NP_EXISTING_ONLY);

        assert_non_null(block);
        assert_int_equal(block->start, locked);
        np_run_clear(block->run, granules_bytes(600));
        expect_zero((void *)locked, granules_bytes(600));
    }
    /* Unlocked, it goes when it is free again. */
    os_fake_lock_memory(NULL, 0);
    lent[lent_count - 1].touched_count = 600;
    stamp_granules(&lent[lent_count - 1], 0, 600);
    model_give(lent_count - 1);
    assert_int_equal(really_retained_bytes(), 0);
    expect_all_in_order();
}

/* One locked page inside a large run costs the batch around it, not the run. */
static void a_locked_page_costs_no_more_than_its_batch(void **state)
{
    size_t granule_count = 32 * MIB / NP_GRANULE_BYTES;
    uintptr_t start;

    (void)state;
    retained_max_bytes = 0;
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    (void)model_take(granule_count, NP_GRANULE_BYTES, granule_count, NP_MAY_GROW);
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    start = lent[1].start;
    os_fake_lock_memory((void *)(start + 10 * MIB), NP_GRANULE_BYTES);
    model_give(1);
    assert_true(os_fake_resident_bytes((void *)start, granules_bytes(granule_count)) <=
                NP_PURGE_BATCH_BYTES);
    assert_sound(np_arena_audit_all());
}

/* Map entries and slab records of what was returned go too. */
static void bookkeeping_goes_with_the_range(void **state)
{
    enum { RUNS = 8192, GRANULES = 4 };
    static struct np_run *runs[RUNS];
    const struct np_window *window;
    size_t before;
    size_t after;

    (void)state;
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    for (size_t i = 0; i < RUNS; i++) {
        runs[i] = np_run_take(&home, GRANULES, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
        memset((void *)runs[i]->start, 1, granules_bytes(GRANULES));
        memset(np_window_record(runs[i]->start), 0, 64); /* as a slab would touch it */
    }
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    window = np_window_find(runs[RUNS / 2]->start);
    before = os_fake_resident_bytes((void *)window->runs, 1 << 17) +
             os_fake_resident_bytes(window->records, 1 << 17);
    for (size_t i = 0; i < RUNS; i++)
        np_run_give(runs[i], GRANULES);
    return_down_to(MIB);
    after = os_fake_resident_bytes((void *)window->runs, 1 << 17) +
            os_fake_resident_bytes(window->records, 1 << 17);
    assert_sound(np_arena_audit_all());
    assert_true(before >= (size_t)128 << 10);
    /* The first and the last page of the range, and what belongs to the 1 MiB that stayed. */
    assert_true(after <= (size_t)32 << 10);
}

static size_t resident_record_bytes(uintptr_t share)
{
    return os_fake_resident_bytes(np_window_record(share), np_window_share_bytes() >> NP_UNIT_SHIFT
                                                               << NP_SLAB_RECORD_SHIFT);
}

/* A run behind the one that was taken last; where that begins. */
static uintptr_t take_behind(size_t granule_count)
{
    const struct lent *before = &lent[lent_count - 1];
    uintptr_t end = before->start + granules_bytes(before->granule_count);
    const struct lent *block =
        model_take(granule_count, NP_GRANULE_BYTES, granule_count, NP_MAY_GROW);

    assert_int_equal(block->start, end);
    return block->start;
}

static void give_at(uintptr_t start)
{
    size_t index = 0;

    while (lent[index].start != start)
        index++;
    model_give(index);
}

/* Two shares that came back alone are edges of their run until a neighbour is joined that touches
 * them and no more. It is kept at first, so that the returning joins it. */
static void bookkeeping_at_an_edge_goes_when_a_neighbour_comes(void **state)
{
    enum { NEIGHBOUR = NP_UNIT_GRANULES };
    size_t share = np_window_share_bytes();
    uintptr_t below;
    uintptr_t start;
    uintptr_t above;

    (void)state;
    retained_max_bytes = 0;
    (void)model_take(NP_UNIT_GRANULES, NP_UNIT_BYTES, 1, NP_MAY_GROW);
    do
        below = take_behind(NEIGHBOUR);
    while ((below + granules_bytes(NEIGHBOUR)) % share != 0);
    start = take_behind(2 * share >> NP_GRANULE_SHIFT);
    above = take_behind(NEIGHBOUR);
    (void)take_behind(1);
    for (uintptr_t at = start; at < above; at += share)
        memset(np_window_record(at), 0, 64); /* as a slab would touch it */

    give_at(start);
    assert_true(resident_record_bytes(start) > 0);
    assert_true(resident_record_bytes(start + share) > 0);
    give_at(above);
    assert_true(resident_record_bytes(start) > 0);
    assert_int_equal(resident_record_bytes(start + share), 0);
    give_at(below);
    assert_int_equal(resident_record_bytes(start), 0);
    expect_all_in_order();
}

static void what_was_returned_is_counted(void **state)
{
    size_t retained_bytes;

    (void)state;
    retained_max_bytes = SIZE_MAX;
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    (void)model_take(500, NP_GRANULE_BYTES, 500, NP_MAY_GROW);
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    model_give(1);
    retained_bytes = np_arena_retained_bytes();
    assert_int_equal(retained_bytes, granules_bytes(500));
    assert_true(np_arena_trim(0));
    assert_int_equal(np_returned_totals().ways[NP_RETURN_PURGE].bytes, retained_bytes);
    assert_int_equal(np_returned_totals().ways[NP_RETURN_PURGE].calls,
                     os_fake_calls(OS_FAKE_PURGE_RANGES));
    assert_int_equal(np_returned_totals().ways[NP_RETURN_PURGE].bytes, os_fake_purged_bytes());
}

/* How many of so many calls that say the same find a look due. */
static unsigned looks_due(size_t retained_bytes, unsigned calls)
{
    unsigned count = 0;

    for (unsigned call = 0; call < calls; call++)
        count += np_arena_is_look_due(retained_bytes);
    return count;
}

/* From here on, with the clock standing still at first. */
static void expect_looks(size_t retained_bytes, size_t step_bytes)
{
    (void)looks_due(retained_bytes, 100);
    assert_int_equal(looks_due(retained_bytes + step_bytes, 100), 0);
    assert_int_equal(looks_due(retained_bytes - step_bytes, 100), 0);
    assert_int_equal(looks_due(retained_bytes + step_bytes + 1, 100), 1);
    assert_int_equal(looks_due(retained_bytes, 100), 1);
    for (unsigned time = 0; time < 8; time++) {
        os_fake_advance_coarse_ns(4000000);
        assert_int_equal(looks_due(retained_bytes, 16), 1);
    }
}

static void a_look_is_due_when_something_is_new(void **state)
{
    (void)state;
    expect_looks(MIB / 2, 64 << 10);
    for (unsigned time = 0; time < 100 && np_arena_allowance_bytes() < 32 * MIB; time++) {
        np_arena_note_unmapped(32 * MIB);
        np_arena_note_taken((32 * MIB) >> NP_GRANULE_SHIFT, 32 * MIB, 0);
    }
    assert_int_equal(np_arena_allowance_bytes(), 32 * MIB);
    expect_looks(20 * MIB, MIB); /* of which a step is a 32nd */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retention_is_bounded_at_every_moment),
        cmocka_unit_test(retention_is_bounded_in_mapped_arenas),
        cmocka_unit_test(nothing_is_purged_twice_or_for_nothing),
        cmocka_unit_test(purges_come_in_batches),
        cmocka_unit_test(what_is_wanted_goes_and_hardly_more),
        cmocka_unit_test(the_largest_goes_first),
        cmocka_unit_test(the_top_keeps_its_pad),
        cmocka_unit_test(ranges_are_purged_and_refused_ones_marked),
        cmocka_unit_test(small_runs_go_with_ranges),
        cmocka_unit_test(small_runs_stay_where_enough_goes_without),
        cmocka_unit_test(trimming_lowers_the_break),
        cmocka_unit_test(trimming_answers_whether_anything_went),
        cmocka_unit_test(trimming_keeps_the_pad),
        cmocka_unit_test(trimming_reaches_the_interior_and_every_arena),
        cmocka_unit_test(the_break_is_not_moved_after_a_foreign_move),
        cmocka_unit_test(a_refused_growth_is_no_foreign_move),
        cmocka_unit_test(a_foreign_move_just_before_trimming_is_seen),
        cmocka_unit_test(a_refused_lowering_still_returns_the_memory),
        cmocka_unit_test(locked_memory_is_left_alone),
        cmocka_unit_test(a_locked_page_costs_no_more_than_its_batch),
        cmocka_unit_test(bookkeeping_goes_with_the_range),
        cmocka_unit_test(bookkeeping_at_an_edge_goes_when_a_neighbour_comes),
        cmocka_unit_test(what_was_returned_is_counted),
        cmocka_unit_test(a_look_is_due_when_something_is_new),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

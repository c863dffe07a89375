/* The return engine: how much may stay, what goes when it is more, in which order and in how many
 * calls, and what is done about memory that the system does not take. */
#include <pthread.h>

#include "heap_model.h"
#include "lock.h"
#include "run.h"

enum { CLASS_64 = 3, CLASS_2048 = 37, CLASS_16K = 61 };

/* ---- slabs that retain something ---- */

enum { SLAB_MAX = 3600, VISITED_AT_ONCE = 120 };

static struct np_slab *sparse[SLAB_MAX];
static void *pins[SLAB_MAX]; /* the live slot of each */
static unsigned sparse_count;

/* Closed slabs with one live slot each, on their first page, and this many free pages behind it
 * that have memory. */
static void make_sparse_slabs(unsigned count, unsigned free_pages)
{
    void *slots[SLOT_MAX];

    for (unsigned i = 0; i < count; i++) {
        struct np_slab *slab = make_with_live(CLASS_2048, slots, 2 * (free_pages + 1));

        for (unsigned slot = 0; slot < 2 * (free_pages + 1); slot++)
            memset(slots[slot], 1, 2048);
        for (unsigned slot = 1; slot < 2 * (free_pages + 1); slot++)
            give(slab, slots[slot]);
        pins[sparse_count] = slots[0];
        sparse[sparse_count++] = slab;
        np_depot_settle(slab);
    }
}

static size_t charged_bytes(void)
{
    return atomic_load(&np_slab_sums.charged_granules) * PAGE;
}

static size_t purge_calls(void)
{
    return os_fake_calls(OS_FAKE_PURGE) + os_fake_calls(OS_FAKE_PURGE_RANGES);
}

static void keep_everything(void)
{
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1));
}

/* Bytes of the slab's pages that have memory. */
static size_t resident_bytes_of(const struct np_slab *slab)
{
    return os_fake_resident_bytes((void *)slab->start, slab->unit_count * NP_UNIT_BYTES);
}

static struct np_run *take_touched_run(size_t granules)
{
    struct np_run *run = np_run_take(&home, granules, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);

    assert_non_null(run);
    memset((void *)run->start, 1, granules * PAGE);
    return run;
}

/* As free does with a run. */
static void give_run(struct np_run *run)
{
    np_run_give(run, run->granule_count);
    np_return_excess();
}

/* ---- how much may stay ---- */

static void the_threshold_is_a_mib_or_a_32nd_of_what_is_live(void **state)
{
    struct np_run *run;

    (void)state;
    assert_int_equal(np_return_threshold_bytes(), MIB);
    run = np_run_take(&home, 128 * MIB / PAGE, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    assert_non_null(run);
    assert_int_equal(np_return_threshold_bytes(), 4 * MIB);
    give_run(run);
    assert_int_equal(np_return_threshold_bytes(), MIB);
}

/* Slots count as live, half of them at least: not the slabs that they are cut from. */
static void holes_are_not_live(void **state)
{
    (void)state;
    keep_everything();
    make_sparse_slabs(2000, 0); /* 125 MiB of slabs, 4 MiB of them live */
    assert_true(np_arena_lent_bytes() >= 125 * MIB);
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 0));
    os_fake_reset();
    np_return_excess();
    assert_int_equal(np_return_threshold_bytes(), 0);
    assert_in_range(atomic_load(&np_slab_sums.settled_bytes), 2000 * 2048, 2000 * 2048);
}

/* What a heap holds open at most does not count as live; nor does what is lent. */
#define OPEN_MOST_BYTES (NP_OPEN_MAX * NP_UNIT_BYTES + MIB)

/* While there is one thread, and slots that are freed are counted one by one: all that is live,
 * but for what is open. */
static void a_lone_thread_counts_what_is_live(void **state)
{
    (void)state;
    init_heaps();
    set_alone(1);
    while (block_count < 40000)
        add_block(&heaps[0], 2048); /* 78 MiB */
    while (block_count > 0) {
        size_t live_bytes;

        remove_block(&heaps[0], random_below(block_count));
        expect_bounded();
        live_bytes = block_count * 2048;
        assert_in_range(np_return_threshold_bytes(),
                        np_max(MIB, (live_bytes - np_min(live_bytes, OPEN_MOST_BYTES)) / 32),
                        np_max(MIB, live_bytes / 32));
        if (block_count % 4096 == 0)
            expect_truth();
    }
    assert_int_equal(atomic_load(&np_slab_sums.settled_bytes), 0);
}

static void full_slabs_are_live(void **state)
{
    (void)state;
    init_heaps();
    while (block_count < 60000)
        add_block(&heaps[0], 2048); /* 117 MiB */
    assert_in_range(np_return_threshold_bytes(), (60000 * 2000 - OPEN_MOST_BYTES) / 64,
                    60000 * 2048 / 32);
    assert_true(np_return_threshold_bytes() > MIB);
    while (block_count > 0) {
        remove_block(&heaps[random_below(2)], random_below(block_count));
        expect_bounded();
        /* Never more than of what is live in truth, though slots are counted now and then only. */
        assert_true(np_return_threshold_bytes() <= np_max(MIB, block_count * 2048 / 32));
    }
    assert_int_equal(np_return_threshold_bytes(), MIB);
    expect_truth();
}

static void the_knob_is_obeyed(void **state)
{
    static const int64_t thresholds[] = {0, 4096, 3 << 20, 100 << 20, -1};

    (void)state;
    init_heaps();
    for (size_t i = 0; i < COUNT_OF(thresholds); i++) {
        assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, thresholds[i]));
        assert_int_equal(np_return_threshold_bytes(),
                         thresholds[i] < 0 ? SIZE_MAX : (size_t)thresholds[i]);
        for (unsigned k = 0; k < 30000; k++)
            add_block(&heaps[0], 500);
        os_fake_reset();
        while (block_count > 0) {
            remove_block(block_count % 2 == 0 ? &heaps[0] : &heaps[1], random_below(block_count));
            expect_bounded();
        }
        if (thresholds[i] < 0) {
            assert_int_equal(purge_calls() + os_fake_calls(OS_FAKE_BREAK_MOVE), 0);
            assert_true(np_return_retained_bytes() >= 12 * MIB); /* what may stay stays */
        }
        expect_truth();
        (void)np_return_all(0);
    }
}

/* With a threshold of 0 not a page stays after a free, but what a heap holds open. */
static void nothing_stays_with_a_threshold_of_0(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 0));
    init_heaps();
    for (unsigned i = 0; i < 20000; i++)
        add_block(&heaps[0], 1000);
    while (block_count > 0) {
        remove_block(NULL, random_below(block_count));
        assert_int_equal(np_return_retained_bytes(), 0);
        if (block_count % 2000 == 0) {
            struct truth truth = look_at_everything();

            assert_int_equal(truth.resident_granules + truth.run_granules, 0);
        }
    }
}

static void what_is_too_much_goes_down_to_seven_eighths(void **state)
{
    (void)state;
    keep_everything();
    make_sparse_slabs(600, 15); /* 9000 pages, 35 MiB */
    assert_int_equal(charged_bytes(), 9000 * PAGE);
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 40 << 20));
    np_return_excess();
    assert_int_equal(charged_bytes(), 9000 * PAGE);
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 32 << 20));
    np_return_excess();
    /* A round takes some more at once. */
    assert_in_range(np_return_retained_bytes(), 28 * MIB - NP_PURGE_BATCH_BYTES, 28 * MIB);
    expect_truth();
    for (unsigned i = 0; i < sparse_count; i++)
        assert_int_equal(*(char *)pins[i], 1);
}

static void of_a_small_threshold_half_goes(void **state)
{
    enum { GRANULES = 5 * 64 };
    struct np_run *run;

    (void)state;
    keep_everything();
    run = np_run_take(&home, GRANULES, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    assert_non_null(run);
    memset((void *)run->start, 1, GRANULES * NP_GRANULE_BYTES);
    np_run_give(run, GRANULES);
    assert_true(np_return_retained_bytes() >= GRANULES * NP_GRANULE_BYTES);
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 1 << 20));
    np_return_excess();
    assert_in_range(np_return_retained_bytes(), MIB / 2 - 4 * PAGE, MIB / 2);
}

/* ---- in which order ---- */

/* Slabs that had more than a page when they were looked at last and have none now. */
static unsigned count_gone(bool *is_gone, unsigned *last)
{
    unsigned count = 0;

    for (unsigned i = 0; i < sparse_count; i++) {
        if (is_gone[i] || resident_bytes_of(sparse[i]) > PAGE)
            continue;
        is_gone[i] = true;
        *last = i;
        count++;
    }
    return count;
}

/* A free page with memory, in a slab that had none. */
static void retain_a_page(struct np_slab *slab)
{
    assert_true(try_open(slab));
    assert_true(np_slab_extend(slab, 1));
    memset((char *)slab->free_slots + 8, 1, 8);
    np_depot_settle(slab);
    assert_int_equal(atomic_load(&slab->charged_count), 1);
    assert_int_equal(resident_bytes_of(slab), 2 * PAGE);
}

/* All slabs that have something come in turn: none is visited again before all others were, and a
 * round begins where the last one ended. */
static void visits_go_round_all_windows(void **state)
{
    static bool is_gone[SLAB_MAX];
    unsigned gone_count = 0;
    unsigned again = 0;

    (void)state;
    keep_everything();
    make_sparse_slabs(SLAB_MAX, 1); /* 225 MiB of addresses: four windows at least */
    assert_non_null(np_window_list()->next->next->next);
    for (unsigned round = 1; gone_count < sparse_count; round++) {
        assert_int_equal(np_return_down_to(0, VISITED_AT_ONCE * PAGE), VISITED_AT_ONCE * PAGE);
        gone_count += count_gone(is_gone, &again);
        assert_int_equal(gone_count, round * VISITED_AT_ONCE);
        if (round == 1)
            retain_a_page(sparse[again]); /* waits for its turn, though it was the last */
    }
    /* The turn of the one that had been visited already. */
    assert_int_equal(charged_bytes(), PAGE);
    assert_int_equal(np_return_down_to(0, SIZE_MAX), PAGE);
    expect_truth();
}

/* Runs and slabs: who retains more comes first. */
static void the_larger_of_runs_and_slabs_comes_first(void **state)
{
    struct np_run *run;

    (void)state;
    keep_everything();
    make_sparse_slabs(100, 10); /* 1000 pages */
    run = take_touched_run(1500);
    (void)take_touched_run(1); /* keeps it from the top */
    give_run(run);
    (void)np_return_down_to(np_return_retained_bytes() - 300 * PAGE, SIZE_MAX);
    assert_int_equal(np_arena_retained_bytes(), 1200 * PAGE);
    assert_int_equal(charged_bytes(), 1000 * PAGE);
    (void)np_return_down_to(np_return_retained_bytes() - 300 * PAGE, SIZE_MAX);
    assert_int_equal(np_arena_retained_bytes(), 900 * PAGE);
    (void)np_return_down_to(np_return_retained_bytes() - 10 * PAGE, SIZE_MAX);
    assert_int_equal(np_arena_retained_bytes(), 900 * PAGE);
    assert_true(charged_bytes() < 1000 * PAGE);
}

/* ---- in how many calls ---- */

/* Scattered pages go hundreds a call. */
static void scattered_pages_share_calls(void **state)
{
    (void)state;
    keep_everything();
    make_sparse_slabs(2000, 1);
    os_fake_reset();
    (void)np_return_down_to(0, SIZE_MAX);
    assert_int_equal(charged_bytes(), 0);
    assert_in_range(purge_calls(), 1, 2000 / 200);
}

/* And with them what slabs have left behind, which is as scattered. */
static void small_runs_go_in_the_same_call(void **state)
{
    struct np_run *runs[2 * 30];

    (void)state;
    keep_everything();
    make_sparse_slabs(100, 2);
    for (unsigned i = 0; i < COUNT_OF(runs); i++) {
        runs[i] = np_run_take(&home, 4, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
        memset((void *)runs[i]->start, 1, 3 * PAGE);
    }
    for (unsigned i = 0; i < COUNT_OF(runs); i += 2)
        np_run_give(runs[i], 3);
    assert_int_equal(np_return_retained_bytes(), (200 + 90) * PAGE);
    os_fake_reset();
    (void)np_return_down_to(np_return_retained_bytes() - 10 * PAGE, SIZE_MAX);
    assert_int_equal(np_return_retained_bytes(), 0);
    assert_int_equal(purge_calls(), 1);
    expect_truth();
}

/* Nobody waits in free for more than one batch. */
static void a_call_takes_a_batch_at_most(void **state)
{
    (void)state;
    keep_everything();
    make_sparse_slabs(700, 15); /* 41 MiB */
    os_fake_reset();
    assert_int_equal(np_return_down_to(0, SIZE_MAX), 700 * 15 * PAGE);
    assert_true(os_fake_largest_purge_bytes() <= NP_PURGE_BATCH_BYTES);
    assert_in_range(purge_calls(), 11, 12);
}

/* Bytes purged are bytes that were there, each once: they and what is left are what there was. */
static void nothing_is_purged_twice_or_for_nothing(void **state)
{
    size_t purged_bytes;
    size_t resident_bytes;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 256 << 10));
    init_heaps();
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 20000; i++)
            add_block(&heaps[random_below(2)], np_classes[12 + random_below(12)].slot_bytes);
        while (block_count > round * 1000)
            remove_block(random_below(2) == 0 ? NULL : &heaps[random_below(HEAPS)],
                         random_below(block_count));
    }
    expect_truth();
    assert_true(os_fake_purged_bytes() > 10 * MIB);
    assert_int_equal(os_fake_purged_cold_bytes(), 0);
    for (size_t i = 0; i < HEAPS; i++)
        np_heap_close_all(&heaps[i]);
    purged_bytes = os_fake_purged_bytes();
    resident_bytes = look_at_everything().resident_granules * PAGE;
    while (np_return_down_to(0, SIZE_MAX) > 0)
        ;
    assert_true(os_fake_purged_bytes() - purged_bytes >= resident_bytes);
    assert_int_equal(os_fake_purged_cold_bytes(), 0);
}

/* ---- as much as wanted ---- */

static void a_budget_is_kept_and_taken_up_again(void **state)
{
    size_t left_bytes = 300 * 15 * PAGE;

    (void)state;
    keep_everything();
    make_sparse_slabs(300, 15);
    while (left_bytes > 0) {
        size_t budget_bytes = (1 + random_below(500)) * PAGE;
        size_t gone_bytes = np_return_down_to(0, budget_bytes);

        /* To the end of the slab that it ends in. */
        assert_in_range(gone_bytes, np_min(budget_bytes, left_bytes), budget_bytes + 14 * PAGE);
        left_bytes -= gone_bytes;
        assert_int_equal(np_return_retained_bytes(), left_bytes);
        expect_truth();
    }
    assert_int_equal(np_return_down_to(0, SIZE_MAX), 0);
}

/* Also where much is to stay. */
static void a_budget_is_kept_above_a_floor(void **state)
{
    size_t gone_bytes;

    (void)state;
    keep_everything();
    make_sparse_slabs(700, 15); /* 41 MiB */
    gone_bytes = np_return_down_to(16 * MIB, 20 * PAGE);
    assert_in_range(gone_bytes, 20 * PAGE, 34 * PAGE);
    /* No further than the floor, but for a round's rest. */
    (void)np_return_down_to(16 * MIB, SIZE_MAX);
    assert_in_range(np_return_retained_bytes(), 16 * MIB - NP_PURGE_BATCH_BYTES, 16 * MIB);
    assert_int_equal(np_return_down_to(16 * MIB, SIZE_MAX), 0);
}

static void trimming_answers_whether_anything_went(void **state)
{
    struct np_run *run;

    (void)state;
    keep_everything();
    (void)np_return_all(0);
    assert_false(np_return_all(0));
    make_sparse_slabs(10, 3);
    run = take_touched_run(50);
    (void)take_touched_run(1);
    (void)np_return_all(0); /* and what growth had put on top */
    assert_int_equal(charged_bytes(), 0);
    make_sparse_slabs(1, 1);
    assert_true(np_return_all(0)); /* a page of a slab */
    give_run(run);
    assert_true(np_return_all(0)); /* a run */
    os_fake_reset();
    assert_false(np_return_all(0));
    assert_int_equal(purge_calls() + os_fake_calls(OS_FAKE_BREAK_MOVE), 0);
    expect_truth();
}

/* ---- what the system does not take ---- */

/* Locked: it is tried once, and not again until a heap has had the slab. */
static void refused_pages_are_tried_once(void **state)
{
    uintptr_t from;

    (void)state;
    keep_everything();
    make_sparse_slabs(20, 4);
    from = sparse[0]->start;
    os_fake_lock_memory((void *)from, 20 * NP_UNIT_BYTES);
    os_fake_reset();
    assert_int_equal(np_return_down_to(0, SIZE_MAX), 0);
    assert_true(purge_calls() > 0);
    assert_int_equal(charged_bytes(), 0); /* it could be returned by nobody */
    for (unsigned i = 0; i < sparse_count; i++)
        assert_int_equal(resident_bytes_of(sparse[i]), 5 * PAGE);
    os_fake_reset();
    assert_int_equal(np_return_down_to(0, SIZE_MAX), 0);
    assert_int_equal(purge_calls(), 0);
    expect_truth();
    /* Nor when somebody has opened it in passing. */
    assert_true(try_open(sparse[3]));
    np_depot_settle(sparse[3]);
    assert_int_equal(np_return_down_to(0, SIZE_MAX), 0);
    assert_int_equal(purge_calls(), 0);
    /* Unlocked, and had by a heap. */
    os_fake_lock_memory(NULL, 0);
    init_heaps();
    assert_ptr_equal(slab_of((add_block(&heaps[0], 2048), 0)), sparse[0]);
    remove_block(&heaps[0], 0);
    np_heap_close_all(&heaps[0]);
    assert_true(np_return_all(0));
    assert_int_equal(resident_bytes_of(sparse[0]), PAGE);
    assert_int_equal(resident_bytes_of(sparse[1]), 5 * PAGE);
    expect_truth();
}

/* However many are refused, those that are not go. */
static void refused_slabs_do_not_keep_the_others(void **state)
{
    (void)state;
    keep_everything();
    make_sparse_slabs(1000, 2);
    os_fake_lock_memory((void *)sparse[0]->start, 600 * NP_UNIT_BYTES);
    assert_true(np_return_all(0));
    for (unsigned i = 0; i < sparse_count; i++)
        assert_int_equal(resident_bytes_of(sparse[i]), i < 600 ? 3 * PAGE : PAGE);
    assert_int_equal(charged_bytes(), 0);
    expect_truth();
}

static void refused_slabs_do_not_break_the_bound(void **state)
{
    (void)state;
    keep_everything();
    make_sparse_slabs(1000, 2); /* 7.8 MiB, of which 3.1 can go */
    os_fake_lock_memory((void *)sparse[0]->start, 600 * NP_UNIT_BYTES);
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 1 << 20));
    np_return_excess();
    expect_bounded();
    expect_truth();
}

/* One range of a call is refused: the others of it go all the same. */
static void a_refused_range_costs_no_other(void **state)
{
    (void)state;
    keep_everything();
    make_sparse_slabs(40, 6);
    os_fake_lock_memory((void *)(sparse[17]->start + 3 * PAGE), PAGE);
    assert_true(np_return_all(0));
    for (unsigned i = 0; i < sparse_count; i++)
        assert_int_equal(resident_bytes_of(sparse[i]), i == 17 ? 7 * PAGE : PAGE);
    expect_truth();
}

/* A round's own record cannot be had: nothing goes then, and nothing breaks. */
static void without_memory_for_a_round_nothing_goes(void **state)
{
    (void)state;
    keep_everything();
    make_sparse_slabs(40, 6);
    os_fake_refuse(OS_FAKE_MAP);
    assert_int_equal(np_return_down_to(0, SIZE_MAX), 0);
    expect_truth();
    os_fake_reset();
    assert_int_equal(np_return_down_to(0, SIZE_MAX), 240 * PAGE);
    expect_truth();
}

/* ---- what is taken back at once ---- */

/* One tooth of a saw: 20 MiB, all of them taken and freed. Returns the bytes purged meanwhile. */
static size_t saw(uint64_t period_ns)
{
    size_t purged_bytes = os_fake_purged_bytes();

    for (unsigned i = 0; i < 20 * KIB; i++)
        add_block(&heaps[0], 1024);
    os_fake_advance_coarse_ns(period_ns / 2);
    while (block_count > 0)
        remove_block(&heaps[0], block_count - 1);
    os_fake_advance_coarse_ns(period_ns / 2);
    expect_bounded();
    return os_fake_purged_bytes() - purged_bytes;
}

static void what_is_taken_back_at_once_is_kept(void **state)
{
    (void)state;
    init_heaps();
    assert_true(saw(50000000) + 2 * MIB >= 20 * MIB); /* the first one goes */
    for (unsigned tooth = 0; tooth < 20; tooth++)
        (void)saw(50000000);
    for (unsigned tooth = 0; tooth < 20; tooth++)
        assert_true(saw(50000000) <= MIB);
    assert_true(np_return_threshold_bytes() >= 15 * MIB);
    /* Never more than a tooth. */
    assert_true(np_return_threshold_bytes() <= 22 * MIB);
    expect_truth();
}

static void what_is_taken_back_later_goes_each_time(void **state)
{
    (void)state;
    init_heaps();
    for (unsigned tooth = 0; tooth < 10; tooth++) {
        (void)saw(5000000000);
        assert_int_equal(np_return_threshold_bytes(), MIB);
        assert_true(np_return_retained_bytes() <= MIB);
    }
    expect_truth();
}

/* ---- what is reserved of the allowance ---- */

enum { USUAL_OPEN = 960 * KIB, USUAL_RESERVE = 768 * KIB + NP_RETURN_SPARE_BYTES };

/* The heap takes 6 MiB and frees all but the first slot of each slab. What it may hold open of
 * that, it does. */
static void hold_much_open(struct np_heap *heap)
{
    for (unsigned i = 0; i < 6 * KIB; i++)
        add_block(heap, 1024);
    for (size_t i = block_count; i-- > 0;)
        if (np_slab_slot_index(slab_of(i), (uintptr_t)blocks[i].memory) != 0)
            remove_block(heap, i);
}

/* What lies in its open slabs beside the pages of the first slots. */
static size_t withheld_bytes(const struct np_heap *heap)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < heap->open_count; i++)
        bytes += resident_bytes_of(heap->open[i]) - PAGE;
    return bytes;
}

static void thrash(void)
{
    for (unsigned tooth = 0; tooth < 20; tooth++)
        (void)saw(50000000);
    assert_true(np_return_threshold_bytes() >= 15 * MIB);
}

/* Little is done, and slowly, by another heap. */
static void let_the_allowance_fall(struct np_heap *heap)
{
    for (unsigned i = 0; i < 1000 && np_return_threshold_bytes() > MIB; i++) {
        os_fake_advance_coarse_ns(200000000);
        for (unsigned block = 0; block < 40; block++)
            add_block(heap, 16384);
        for (unsigned block = 0; block < 40; block++)
            remove_block(heap, block_count - 1);
    }
    assert_int_equal(np_return_threshold_bytes(), MIB);
}

static void drop_all_of(struct np_heap *heap)
{
    while (block_count > 0)
        remove_block(heap, block_count - 1);
    expect_sound();
    expect_truth();
}

static void what_is_taken_back_at_once_may_stay_open(void **state)
{
    (void)state;
    init_heaps();
    hold_much_open(&heaps[0]);
    assert_true(withheld_bytes(&heaps[0]) <= USUAL_OPEN + USUAL_RESERVE);
    drop_all_of(&heaps[0]);
    thrash();
    hold_much_open(&heaps[0]);
    assert_in_range(heaps[0].reserved_bytes, USUAL_RESERVE + MIB / 2, 2 * MIB);
    assert_in_range(withheld_bytes(&heaps[0]), USUAL_OPEN + USUAL_RESERVE + MIB / 2,
                    USUAL_OPEN + 2 * MIB);
    assert_true(heaps[0].open_bytes <= USUAL_OPEN + heaps[0].reserved_bytes);
    drop_all_of(&heaps[0]);
}

static void no_allowance_is_reserved_where_a_threshold_is_set(void **state)
{
    (void)state;
    init_heaps();
    thrash();
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 4 * MIB));
    hold_much_open(&heaps[0]);
    assert_true(heaps[0].reserved_bytes <= USUAL_RESERVE);
    drop_all_of(&heaps[0]);
}

/* Its owner, who need not run any more, goes on with what is left of its slabs. */
static void what_a_sleeper_reserved_goes_when_the_allowance_falls(void **state)
{
    (void)state;
    init_heaps();
    thrash();
    hold_much_open(&heaps[0]);
    assert_true(withheld_bytes(&heaps[0]) > USUAL_OPEN + USUAL_RESERVE);
    let_the_allowance_fall(&heaps[1]);
    assert_true(np_return_is_reserve_too_large());
    assert_true(withheld_bytes(&heaps[0]) <= USUAL_OPEN + USUAL_RESERVE + MIB / 4);
    expect_truth();
    for (unsigned i = 0; i < 1000; i++)
        add_block(&heaps[0], 1024);
    assert_false(np_return_is_reserve_too_large());
    drop_all_of(&heaps[0]);
}

/* Slabs that rest are visited once, all of them: their owner's list goes back, the current slab
 * stays. */
static void what_rests_is_returned_on_request(void **state)
{
    size_t before;

    (void)state;
    init_heaps();
    hold_much_open(&heaps[0]);
    before = withheld_bytes(&heaps[0]);
    assert_true(before > USUAL_OPEN);
    assert_true(np_return_reserved_of_threshold() > 0); /* no more than may be: it stays */
    assert_int_equal(withheld_bytes(&heaps[0]), before);
    assert_in_range(np_return_from_resting(20 * PAGE), 20 * PAGE, 36 * PAGE);
    assert_true(np_return_from_resting(SIZE_MAX) >= before - 36 * PAGE - NP_UNIT_BYTES);
    assert_true(withheld_bytes(&heaps[0]) <= NP_UNIT_BYTES);
    assert_int_equal(np_return_from_resting(SIZE_MAX), 0);
    expect_sound();
    expect_truth();
    for (unsigned i = 0; i < 1000; i++)
        add_block(&heaps[0], 1024);
    drop_all_of(&heaps[0]);
}

/* The threshold is set lower than what is reserved, and a round's record cannot be had. */
static void what_rests_goes_when_there_is_memory_for_a_round(void **state)
{
    size_t before;

    (void)state;
    keep_everything();
    init_heaps();
    hold_much_open(&heaps[0]);
    before = withheld_bytes(&heaps[0]);
    assert_true(before > USUAL_OPEN + MIB / 2);
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 0));
    os_fake_refuse(OS_FAKE_MAP);
    np_return_excess();
    assert_int_equal(withheld_bytes(&heaps[0]), before);
    os_fake_reset();
    np_return_excess();
    assert_true(withheld_bytes(&heaps[0]) <= NP_UNIT_BYTES);
    drop_all_of(&heaps[0]);
}

/* ---- a random life, and the truth after each of its steps ---- */

/* Some way of freeing a block. */
static struct np_heap *some_heap(void)
{
    return random_below(5) == 0 ? NULL : &heaps[random_below(HEAPS)];
}

static void make_one_step(void)
{
    static const size_t sizes[] = {16, 48, 400, 640, 1000, 2304, 5000, 10240, 16384};

    switch (random_below(40)) {
    case 0:
        (void)np_return_down_to(random_below(MIB), random_below(200 * KIB));
        break;
    case 1:
        np_heap_close_free(&heaps[random_below(HEAPS)], NP_CLOSE_SPARSE);
        (void)np_return_all(0);
        assert_int_equal(np_return_retained_bytes(), 0);
        break;
    case 3:
        (void)np_return_from_resting(random_below(200 * KIB));
        expect_bounded();
        break;
    case 2:
        np_heap_close_all(&heaps[random_below(HEAPS)]);
        expect_bounded();
        break;
    default:
        if (block_count == 0 || (block_count < 1500 && random_below(100) < 51)) {
            for (unsigned i = 0; i < 10; i++)
                add_block(&heaps[random_below(HEAPS)], sizes[random_below(COUNT_OF(sizes))]);
        } else {
            for (unsigned i = 0; i < 10 && block_count > 0; i++) {
                remove_block(some_heap(), random_below(block_count));
                expect_bounded();
            }
        }
    }
}

static void live_with_truth(unsigned steps, int64_t threshold_bytes)
{
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, threshold_bytes));
    assert_true(np_tune_set(NP_KNOB_OPEN_BYTES, 128 << 10));
    init_heaps();
    for (unsigned step = 0; step < steps; step++) {
        make_one_step();
        expect_sound();
        expect_truth();
        for (size_t i = 0; i < block_count; i += 1 + random_below(50))
            expect_resident(&blocks[i]);
    }
    while (block_count > 0)
        remove_block(some_heap(), block_count - 1);
    expect_truth();
    expect_nothing_left();
}

static void random_life_with_little_retained(void **state)
{
    (void)state;
    live_with_truth(300, 100 << 10);
}

static void random_life_with_little_retained_and_16k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(16384);
    live_with_truth(200, 200 << 10);
}

static void random_life_with_little_retained_and_64k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(65536);
    live_with_truth(200, 200 << 10);
}

/* ---- while a fork has the locks ---- */

static void *return_everything(void *unused)
{
    (void)unused;
    (void)np_return_down_to(0, SIZE_MAX); /* would hang */
    return NULL;
}

static void a_fork_is_not_waited_for(void **state)
{
    pthread_t other;

    (void)state;
    keep_everything();
    make_sparse_slabs(30, 5);
    give_run(take_touched_run(100));
    np_depot_fork(NP_FORK_PREPARE);
    np_arena_fork(NP_FORK_PREPARE);
    np_return_fork(NP_FORK_PREPARE);
    atomic_store(&np_is_fork_under_way, true);
    pthread_create(&other, NULL, return_everything, NULL);
    pthread_join(other, NULL);
    np_depot_fork(NP_FORK_PARENT);
    np_arena_fork(NP_FORK_PARENT);
    np_return_fork(NP_FORK_PARENT);
    atomic_store(&np_is_fork_under_way, false);
    /* Closed slabs need none of the locks. */
    assert_int_equal(charged_bytes(), 0);
    for (unsigned i = 0; i < sparse_count; i++)
        assert_false(np_slab_is_open(sparse[i]));
    np_depot_settle_aside();
    np_arena_settle_deferred();
    (void)np_return_all(0);
    assert_int_equal(np_return_retained_bytes(), 0);
    expect_truth();
}

static void *give_it(void *run)
{
    np_run_give(run, ((struct np_run *)run)->granule_count);
    return NULL;
}

/* By a thread that finds the arena's lock taken. */
static void post_run(struct np_run *run)
{
    pthread_t other;

    assert_true(np_lock_acquire(&run->arena->lock));
    pthread_create(&other, NULL, give_it, run);
    pthread_join(other, NULL);
    np_lock_release(&run->arena->lock);
    assert_int_equal(atomic_load(&run->state), NP_RUN_BUSY);
}

static void who_asks_files_what_others_could_not(void **state)
{
    struct np_run *runs[2];
    uintptr_t break_end;
    size_t before;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(runs); i++) {
        runs[i] = take_touched_run(200);
        (void)take_touched_run(1);
    }
    post_run(runs[0]);
    np_return_excess(); /* 800 KiB: not too much for sure */
    assert_int_equal(np_return_retained_bytes(), 0);
    post_run(runs[1]);
    np_return_excess();
    assert_in_range(np_return_retained_bytes(), MIB / 2, MIB);
    expect_truth();
    runs[0] = take_touched_run(300); /* more than is free in one piece: at the end of the heap */
    (void)take_touched_run(1);
    runs[1] = take_touched_run(400);
    before = np_return_retained_bytes();
    post_run(runs[0]);
    np_arena_limit_allowance(0); /* as the helper does */
    assert_int_equal(np_return_retained_bytes(), before + 300 * PAGE);
    post_run(runs[1]);
    break_end = os_fake_break();
    assert_true(np_return_all(0));
    assert_in_range(os_fake_break(), PAGE, break_end - 399 * PAGE);
    assert_int_equal(np_return_retained_bytes(), 0);
    expect_truth();
}

/* ---- threads ---- */

enum { THREADS = 4, STEPS = 8000, PLACES = 600 };

static struct np_heap thread_heaps[THREADS];
static _Atomic(unsigned char *) places[PLACES];

static void expect_and_give(struct np_heap *heap, unsigned char *memory)
{
    size_t bytes = memory[0] * (size_t)16;

    for (size_t i = 1; i < bytes; i++)
        if (memory[i] != (unsigned char)bytes)
            fail_msg("byte %zu of %zu was changed", i, bytes);
    give_block(heap, memory);
}

/* Blocks change hands: each is freed by whoever finds it. */
static void *exchange(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;
    uint64_t seed = self + 1;

    for (unsigned step = 0; step < STEPS; step++) {
        unsigned char *memory;
        size_t bytes;

        seed = np_mix(seed + step);
        bytes = 16 * (size_t)(1 + (seed >> 8) % 250);
        memory = take_block(&thread_heaps[self], bytes);
        memset(memory, (unsigned char)bytes, bytes);
        memory[0] = (unsigned char)(bytes / 16);
        memory = atomic_exchange(&places[(seed >> 20) % PLACES], memory);
        if (memory != NULL)
            expect_and_give((seed >> 40) % 4 == 0 ? NULL : &thread_heaps[self], memory);
        if ((seed >> 50) % 4096 == 0)
            (void)np_return_all(0);
    }
    np_heap_close_all(&thread_heaps[self]);
    return NULL;
}

static void exchange_with_threshold(int64_t threshold_bytes)
{
    pthread_t threads[THREADS];

    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, threshold_bytes));
    assert_true(np_tune_set(NP_KNOB_OPEN_BYTES, 128 << 10));
    init_heaps();
    for (size_t i = 0; i < THREADS; i++)
        np_heap_init(&thread_heaps[i]);
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, exchange, (void *)(uintptr_t)i);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect_sound();
    expect_truth();
    for (size_t i = 0; i < PLACES; i++) {
        unsigned char *memory = atomic_load(&places[i]);

        if (memory == NULL)
            continue;
        expect_and_give(NULL, memory);
        expect_bounded();
        if (i % 50 == 0)
            expect_truth();
    }
    expect_nothing_left();
}

static void threads_return_memory_at_once(void **state)
{
    (void)state;
    exchange_with_threshold(0);
    assert_true(os_fake_purged_bytes() > 0);
}

static void threads_return_some_memory(void **state)
{
    (void)state;
    exchange_with_threshold(256 << 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_threshold_is_a_mib_or_a_32nd_of_what_is_live),
        cmocka_unit_test(holes_are_not_live),
        cmocka_unit_test(full_slabs_are_live),
        cmocka_unit_test(a_lone_thread_counts_what_is_live),
        cmocka_unit_test(the_knob_is_obeyed),
        cmocka_unit_test(nothing_stays_with_a_threshold_of_0),
        cmocka_unit_test(what_is_too_much_goes_down_to_seven_eighths),
        cmocka_unit_test(of_a_small_threshold_half_goes),
        cmocka_unit_test(visits_go_round_all_windows),
        cmocka_unit_test(the_larger_of_runs_and_slabs_comes_first),
        cmocka_unit_test(scattered_pages_share_calls),
        cmocka_unit_test(small_runs_go_in_the_same_call),
        cmocka_unit_test(a_call_takes_a_batch_at_most),
        cmocka_unit_test(nothing_is_purged_twice_or_for_nothing),
        cmocka_unit_test(a_budget_is_kept_and_taken_up_again),
        cmocka_unit_test(a_budget_is_kept_above_a_floor),
        cmocka_unit_test(trimming_answers_whether_anything_went),
        cmocka_unit_test(refused_pages_are_tried_once),
        cmocka_unit_test(refused_slabs_do_not_keep_the_others),
        cmocka_unit_test(refused_slabs_do_not_break_the_bound),
        cmocka_unit_test(a_refused_range_costs_no_other),
        cmocka_unit_test(without_memory_for_a_round_nothing_goes),
        cmocka_unit_test(what_is_taken_back_at_once_is_kept),
        cmocka_unit_test(what_is_taken_back_later_goes_each_time),
        cmocka_unit_test(what_is_taken_back_at_once_may_stay_open),
        cmocka_unit_test(no_allowance_is_reserved_where_a_threshold_is_set),
        cmocka_unit_test(what_a_sleeper_reserved_goes_when_the_allowance_falls),
        cmocka_unit_test(what_rests_is_returned_on_request),
        cmocka_unit_test(what_rests_goes_when_there_is_memory_for_a_round),
        cmocka_unit_test(random_life_with_little_retained),
        cmocka_unit_test(random_life_with_little_retained_and_16k_pages),
        cmocka_unit_test(random_life_with_little_retained_and_64k_pages),
        cmocka_unit_test(a_fork_is_not_waited_for),
        cmocka_unit_test(who_asks_files_what_others_could_not),
        cmocka_unit_test(threads_return_memory_at_once),
        cmocka_unit_test(threads_return_some_memory),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* Where arenas get address space: the break, its pad, other users of it, and mappings where
 * there is none. */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "run.h"
#include "run_model.h"
#include "tune.h"

#define MIB ((size_t)1 << 20)

enum { WANTED = 100 };

static size_t system_bytes(void)
{
    size_t bytes = 0;

    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        bytes += atomic_load(&arena->system_bytes);
    return bytes;
}

static void the_first_run_comes_from_the_break(void **state)
{
    uintptr_t start = os_fake_break();
    const struct lent *block = model_take(WANTED, NP_GRANULE_BYTES, WANTED, NP_MAY_GROW);

    (void)state;
    assert_non_null(block);
    assert_true(block->start >= start);
    assert_true(block->start + granules_bytes(WANTED) <= os_fake_break());
    assert_int_equal(home->index, 0);
    assert_int_equal(os_fake_reserved_bytes(), 0);
    expect_all_in_order();
}

static void the_pad_is_asked_for_beyond_the_need(void **state)
{
    uintptr_t end;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_TOP_PAD, (int64_t)(3 * MIB)));
    (void)model_take(WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    assert_in_range(os_fake_break() - lent[0].start, granules_bytes(WANTED) + 3 * MIB,
                    granules_bytes(WANTED) + 3 * MIB + 2 * NP_UNIT_BYTES);
    end = os_fake_break();
    os_fake_reset();
    for (unsigned i = 0; i < 7; i++) /* 2.7 MiB: the pad has it */
        (void)model_take(WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    assert_int_equal(os_fake_calls(OS_FAKE_BREAK_MOVE), 0);
    (void)model_take(2 * WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    assert_true(os_fake_break() >= end + 3 * MIB);
    expect_all_in_order();
}

static void without_a_pad_growth_is_what_is_missing(void **state)
{
    uintptr_t end;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_TOP_PAD, 0));
    (void)model_take(WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    while (np_arena_list()->top != NULL)
        (void)model_take(np_arena_list()->top->granule_count, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    end = os_fake_break();
    (void)model_take(7, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    assert_int_equal(os_fake_break(), end + granules_bytes(7));
    /* A free top counts. */
    model_give(lent_count - 1);
    (void)model_take(10, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    assert_int_equal(os_fake_break(), end + granules_bytes(10));
    expect_all_in_order();
}

static void the_pad_is_done_without_where_there_is_no_room_for_it(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_TOP_PAD, (int64_t)(64 * MIB)));
    os_fake_limit_break(4 * MIB);
    assert_non_null(model_take(WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
    assert_int_equal(home->index, 0);
    expect_all_in_order();
}

/* Takes so much, and says in how many growths it came. */
static unsigned take_in_growths(size_t bytes, size_t most_spare_bytes)
{
    unsigned growths = 0;

    for (size_t left = bytes; left > 0; left -= MIB) {
        size_t before = system_bytes();

        assert_non_null(model_take(MIB / NP_GRANULE_BYTES, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
        growths += system_bytes() != before;
        assert_true(system_bytes() <= before + MIB + most_spare_bytes);
    }
    return growths;
}

/* By what is needed and a 32nd, 1 to 2 MiB, instead of MiB by MiB. */
static void a_large_arena_grows_in_larger_steps(void **state)
{
    (void)state;
    assert_non_null(model_take(32 * MIB / NP_GRANULE_BYTES, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
    assert_in_range(take_in_growths(32 * MIB, 2 * MIB), 12, 17);
    expect_all_in_order();
}

static void steps_end_at_2_mib(void **state)
{
    (void)state;
    assert_non_null(model_take(256 * MIB / NP_GRANULE_BYTES, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
    assert_int_equal(home->index, 0);
    assert_in_range(take_in_growths(60 * MIB, 2 * MIB), 19, 21);
    expect_all_in_order();
}

static void a_pad_that_is_set_is_the_step(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_TOP_PAD, 0));
    assert_non_null(model_take(128 * MIB / NP_GRANULE_BYTES, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
    assert_in_range(take_in_growths(64 * MIB, 0), 63, 64);
    expect_all_in_order();
}

static void a_step_is_done_without_where_there_is_no_room_for_it(void **state)
{
    uintptr_t start = os_fake_break();

    (void)state;
    assert_non_null(model_take(128 * MIB / NP_GRANULE_BYTES, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
    os_fake_limit_break(os_fake_break() - start + 2 * MIB);
    for (unsigned i = 0; i < 2; i++) {
        assert_non_null(model_take(MIB / NP_GRANULE_BYTES, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
        assert_int_equal(home->index, 0);
    }
    expect_all_in_order();
}

/* Nothing of ours may lie in [start, start + bytes). */
static void expect_never_lent(uintptr_t start, size_t bytes)
{
    for (size_t i = 0; i < lent_count; i++)
        assert_true(lent[i].start + granules_bytes(lent[i].granule_count) <= start ||
                    lent[i].start >= start + bytes);
}

/* The first move of another ends it: what is needed then is mapped, by the same arena. */
static void what_others_took_is_never_lent(void **state)
{
    static const intptr_t moves[] = {4096, 1, 70000, 1 << 20, 65536, 12345};
    uintptr_t start = os_fake_break();
    uintptr_t end = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(moves); i++) {
        char *foreign;

        (void)model_take(WANTED, NP_GRANULE_BYTES, WANTED, NP_MAY_GROW);
        foreign = os_fake_foreign_sbrk(moves[i]);
        memset(foreign, 0x33, (size_t)moves[i]);
        for (unsigned run = 0; run < 12; run++)
            assert_non_null(model_take(WANTED, NP_GRANULE_BYTES, WANTED, NP_MAY_GROW));
        expect_never_lent((uintptr_t)foreign, (size_t)moves[i]);
        expect_all_in_order();
        for (size_t byte = 0; byte < (size_t)moves[i]; byte++)
            assert_int_equal(foreign[byte], 0x33);
        assert_int_equal(home->index, 0);
        if (i == 0)
            end = (uintptr_t)foreign;
        assert_int_equal(os_fake_break(), (uintptr_t)foreign + (size_t)moves[i]);
    }
    assert_true(end > start);
    for (size_t i = 0; i < lent_count; i++)
        assert_true(lent[i].start + granules_bytes(lent[i].granule_count) <= end ||
                    lent[i].start >= os_fake_break() || lent[i].start < start);
    model_give_all();
    expect_all_in_order();
    expect_bounded();
}

/* Another malloc was there first. Its break is not even looked at. */
static void the_break_of_others_is_left_to_them(void **state)
{
    size_t lent_bytes = 0;

    (void)state;
    os_fake_use_break();
    for (unsigned i = 0; i < 40; i++) {
        assert_non_null(model_take(WANTED, NP_GRANULE_BYTES, WANTED, NP_MAY_GROW));
        assert_int_equal(home->index, 0);
        lent_bytes += granules_bytes(WANTED);
        assert_in_range(system_bytes(), lent_bytes, lent_bytes + 2 * MIB);
    }
    expect_all_in_order();
    model_give_all();
    (void)np_arena_trim(0);
    assert_int_equal(np_arena_retained_bytes(), 0);
    assert_int_equal(np_arena_list()->index, 0);
    assert_int_equal(os_fake_calls(OS_FAKE_BREAK_MOVE), 0);
    assert_int_equal(os_fake_calls(OS_FAKE_BREAK_END), 0);
    expect_all_in_order();
    expect_bounded();
}

/* Only what was there before our first call says so: sbrk(0) of ours does, too. */
static void our_own_calls_are_not_taken_for_others(void **state)
{
    uintptr_t start = os_fake_break();

    (void)state;
    (void)model_take(WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    os_fake_use_break();
    (void)os_fake_foreign_sbrk(-12345);
    while (os_fake_break() == start || lent_count < 20)
        assert_non_null(model_take(WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
    assert_int_equal(os_fake_reserved_bytes(), 0);
    expect_all_in_order();
}

/* Mapped stretches of the main arena that lie side by side, and where little could be reserved. */
static void beside_others_less_than_a_window_will_do(void **state)
{
    (void)state;
    os_fake_use_break();
    for (unsigned nth = 1; nth < 12; nth++) {
        os_fake_reset();
        os_fake_fail_call(nth);
        (void)model_take(WANTED * nth, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
        expect_all_in_order();
    }
    os_fake_reset();
    for (unsigned i = 0; i < 100; i++)
        assert_non_null(model_take(MIB / NP_GRANULE_BYTES, NP_GRANULE_BYTES, 1, NP_MAY_GROW));
    model_give_all();
    expect_all_in_order();
    expect_bounded();
}

static void a_foreign_move_between_two_calls_is_survived(void **state)
{
    uintptr_t end;

    (void)state;
    (void)model_take(WANTED, NP_GRANULE_BYTES, WANTED, NP_MAY_GROW);
    end = os_fake_break();
    os_fake_foreign_sbrk_before_move(5000);
    while (os_fake_break() == end)
        assert_non_null(model_take(WANTED / 4, NP_GRANULE_BYTES, WANTED / 4, NP_MAY_GROW));
    assert_non_null(home);
    assert_int_equal(home->index, 0);
    expect_all_in_order();
    expect_never_lent(end, os_fake_break() - end);
    end = os_fake_break();
    for (unsigned run = 0; run < 100; run++)
        assert_non_null(model_take(WANTED, NP_GRANULE_BYTES, 1, NP_MAY_GROW));
    assert_int_equal(os_fake_break(), end);
    model_give_all();
    expect_all_in_order();
}

static void a_break_that_starts_inside_a_page_is_survived(void **state)
{
    char *foreign = os_fake_foreign_sbrk(100);

    (void)state;
    memset(foreign, 0x44, 100);
    (void)model_take(WANTED, NP_GRANULE_BYTES, WANTED, NP_MAY_GROW);
    expect_never_lent((uintptr_t)foreign, 100);
    model_give_all();
    (void)np_arena_trim(0);
    expect_all_in_order();
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(foreign[i], 0x44);
}

static void without_a_break_there_are_mappings(void **state)
{
    (void)state;
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    os_fake_refuse(OS_FAKE_BREAK_END);
    assert_true(np_tune_set(NP_KNOB_ARENA_MAX, 1));
    assert_non_null(model_take(WANTED, NP_GRANULE_BYTES, WANTED, NP_MAY_GROW));
    assert_int_equal(home->index, 1);
    expect_all_in_order();
    /* One is enough. */
    for (unsigned i = 0; i < 300; i++)
        assert_non_null(model_take(256, NP_GRANULE_BYTES, 1, NP_MAY_GROW));
    assert_int_equal(np_arena_list()->index, 1);
    expect_all_in_order();
    model_give_all();
    expect_all_in_order();
}

/* Reserved in windows, committed by use. */
static void a_mapped_arena_commits_what_it_uses(void **state)
{
    size_t lent_bytes = 0;

    (void)state;
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    for (unsigned i = 0; i < 40; i++) {
        (void)model_take(WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
        lent_bytes += granules_bytes(WANTED);
        assert_in_range(system_bytes(), lent_bytes, lent_bytes + 2 * MIB);
        assert_in_range(os_fake_reserved_bytes() + system_bytes(), NP_WINDOW_BYTES,
                        NP_WINDOW_BYTES);
    }
    expect_all_in_order();
}

static void a_mapped_arena_has_more_than_one_window(void **state)
{
    (void)state;
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    for (unsigned i = 0; i < 100; i++)
        assert_non_null(model_take(MIB / NP_GRANULE_BYTES, NP_GRANULE_BYTES, 1, NP_MAY_GROW));
    /* And one run larger than a window. */
    assert_non_null(model_take(100 * MIB / NP_GRANULE_BYTES, NP_UNIT_BYTES, 1, NP_MAY_GROW));
    expect_all_in_order();
    assert_int_equal(np_arena_list()->index, 1);
    model_give_all();
    expect_all_in_order();
    expect_bounded();
}

/* A fork took the arena's lock after the grower had looked: what has been committed then is lent
 * after the fork, and not committed again. */
static void what_a_fork_kept_from_the_arena_is_committed_once(void **state)
{
    const size_t step_granules = MIB / NP_GRANULE_BYTES;
    size_t bytes;

    (void)state;
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    assert_non_null(model_take(step_granules, NP_GRANULE_BYTES, 1, NP_MAY_GROW));
    os_fake_reset();
    bytes = atomic_load(&home->system_bytes);
    for (unsigned growth = 0; growth < 2; growth++) {
        np_lock_fork(&home->lock, NP_FORK_PREPARE);
        assert_false(np_arena_grow(home, step_granules, NP_GRANULE_BYTES));
        np_lock_fork(&home->lock, NP_FORK_PARENT);
    }
    assert_int_equal(os_fake_calls(OS_FAKE_COMMIT), 1);
    assert_int_equal(atomic_load(&home->system_bytes), bytes);
    assert_true(np_arena_grow(home, 3 * step_granules, NP_GRANULE_BYTES));
    assert_int_equal(os_fake_calls(OS_FAKE_COMMIT), 2); /* of the rest */
    assert_non_null(model_take(3 * step_granules, NP_GRANULE_BYTES, 3 * step_granules,
                               NP_EXISTING_ONLY));
    expect_all_in_order();
}

static bool may_have_huge_pages(const struct lent *block)
{
    size_t count = 0;

    for (size_t granule = 0; granule < block->granule_count; granule++)
        count += os_fake_may_have_huge_pages((void *)(block->start + granules_bytes(granule)));
    assert_true(count == 0 || count == block->granule_count);
    return count > 0;
}

/* A hole in the middle of what is there; of more than one thing that may be lent next. */
static void make_a_hole(void)
{
    size_t gone = 0;

    model_give(lent_count - 2);
    assert_true(np_arena_return_some(1, 0, &gone));
    assert_true(gone > 0);
}

static void from_the_first_hole_on_there_are_no_huge_pages(void)
{
    for (unsigned i = 0; i < 9; i++)
        (void)model_take(WANTED, NP_GRANULE_BYTES, WANTED, NP_MAY_GROW);
    assert_int_equal(os_fake_calls(OS_FAKE_FORBID_HUGE), 0);
    make_a_hole();
    assert_true(os_fake_calls(OS_FAKE_FORBID_HUGE) > 0);
    for (unsigned i = 0; i < 100; i++)
        (void)model_take(3 * WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    for (size_t i = 0; i < lent_count; i++)
        assert_false(may_have_huge_pages(&lent[i]));
    os_fake_reset();
    make_a_hole();
    assert_int_equal(os_fake_calls(OS_FAKE_FORBID_HUGE), 0); /* once is enough */
    expect_all_in_order();
}

static void no_huge_pages_in_holes_of_the_break(void **state)
{
    (void)state;
    from_the_first_hole_on_there_are_no_huge_pages();
    /* What comes back from the break is new. */
    model_give_all();
    (void)np_arena_trim(0);
    (void)model_take(3 * WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    assert_false(may_have_huge_pages(&lent[0]));
}

static void no_huge_pages_in_holes_of_mapped_arenas(void **state)
{
    (void)state;
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    from_the_first_hole_on_there_are_no_huge_pages();
    /* Two windows, told of once each. */
    assert_true(system_bytes() > NP_WINDOW_BYTES);
}

static void where_huge_pages_cannot_be_forbidden_memory_is_returned_all_the_same(void **state)
{
    (void)state;
    os_fake_refuse(OS_FAKE_FORBID_HUGE);
    for (unsigned i = 0; i < 9; i++)
        (void)model_take(WANTED, NP_GRANULE_BYTES, WANTED, NP_MAY_GROW);
    make_a_hole();
    assert_true(os_fake_has_failed());
    expect_all_in_order();
}

/* RLIMIT_AS: no room for a window; 1 MiB is tried then. */
static void where_a_window_is_refused_less_will_do(void **state)
{
    (void)state;
    os_fake_limit_break(0);
    for (unsigned nth = 1; nth < 12; nth++) {
        os_fake_reset();
        os_fake_fail_call(nth);
        if (model_take(WANTED, NP_GRANULE_BYTES, 1, NP_MAY_GROW) == NULL)
            fail_msg("one refused call, the %uth, was one too many", nth);
        expect_all_in_order();
    }
}

static void existing_only_does_not_grow(void **state)
{
    (void)state;
    assert_null(model_take(1, NP_GRANULE_BYTES, 0, NP_EXISTING_ONLY));
    (void)model_take(WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    os_fake_reset();
    assert_null(model_take(5000, NP_GRANULE_BYTES, 0, NP_EXISTING_ONLY));
    assert_null(model_take(1, 512 * MIB, 0, NP_EXISTING_ONLY));
    assert_int_equal(os_fake_all_calls(), 0);
    model_give(0);
    assert_non_null(model_take(WANTED, NP_GRANULE_BYTES, 0, NP_EXISTING_ONLY));
}

static void impossible_sizes_are_refused(void **state)
{
    const size_t most = NP_REQUEST_MAX_BYTES >> NP_GRANULE_SHIFT; /* core lets no more through */

    (void)state;
    (void)model_take(WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    assert_null(model_take(np_min((size_t)1 << 28, most), NP_GRANULE_BYTES, 0, NP_MAY_GROW));
    assert_null(model_take(most, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
    assert_null(model_take(1, (size_t)np_min64(UINT64_C(1) << 40, SIZE_MAX / 2 + 1), 0,
                           NP_MAY_GROW));
    assert_null(model_take(np_min(((size_t)1 << 28) - 1, most), (size_t)1 << 31, 0,
                           NP_EXISTING_ONLY));
    expect_all_in_order();
}

/* ---- more arenas ---- */

static _Atomic int step;

static void wait_for_step(int wanted)
{
    while (atomic_load(&step) < wanted)
        sched_yield();
}

/* Until the taker has what it wants; one that has to wait for the lock is only given some time. */
static void *hold_main_arena(void *has_to_wait)
{
    struct np_arena *arena = np_arena_list();

    while (arena->index != 0)
        arena = arena->next;
    assert_true(np_lock_acquire(&arena->lock));
    atomic_store(&step, 1);
    if (has_to_wait != NULL)
        usleep(10000);
    else
        wait_for_step(2);
    np_lock_release(&arena->lock);
    return NULL;
}

/* Takes a run while another thread has the main arena's lock; the arena it came from. */
static unsigned take_beside_holder(void *has_to_wait)
{
    pthread_t holder;

    atomic_store(&step, 0);
    pthread_create(&holder, NULL, hold_main_arena, has_to_wait);
    wait_for_step(1);
    home = NULL;
    assert_non_null(model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW));
    atomic_store(&step, 2);
    pthread_join(holder, NULL);
    return home->index;
}

static void a_contended_arena_makes_another(void **state)
{
    (void)state;
    assert_int_equal(take_beside_holder(NULL), 1);
    assert_int_equal(take_beside_holder(NULL), 1); /* which then serves the next one, too */
    assert_int_equal(np_arena_list()->index, 1);
    expect_all_in_order();
}

/* Before the own one takes memory that is not there yet. */
static void memory_of_another_arena_is_taken_first(void **state)
{
    enum { COUNT = 70 };
    struct np_run *run = np_run_take(&home, COUNT, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    uintptr_t start = run->start;

    (void)state;
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    assert_int_equal(take_beside_holder(NULL), 1);
    np_run_give(run, 0); /* has none: so it stays at home */
    run = np_run_take(&home, COUNT, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    assert_ptr_equal(run->arena, home);
    np_run_give(run, COUNT);
    return_down_to(0);
    run = np_run_take(&(struct np_arena *){NULL}, COUNT, NP_GRANULE_BYTES, NP_RUN_MEDIUM,
                      NP_EXISTING_ONLY);
    assert_int_equal(run->start, start);
    memset((void *)start, 1, granules_bytes(COUNT));
    np_run_give(run, COUNT);
    run = np_run_take(&home, COUNT, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    assert_int_equal(run->start, start);
    assert_int_equal(home->index, 1);
    assert_sound(np_arena_audit_all());
}

static void arena_max_is_a_limit(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_ARENA_MAX, 1));
    assert_int_equal(take_beside_holder(&step), 0); /* it waited */
    assert_int_equal(np_arena_list()->index, 0);
}

/* Arenas made when every one that exists is contended, again and again: each word says "held"
 * and is never released until the end, and nobody may wait, since a new arena is allowed. */
static unsigned arenas_up_to_limit(unsigned limit)
{
    for (unsigned count = 1; count < limit; count++) {
        for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
            atomic_store(&arena->lock.word, 1);
        home = NULL;
        assert_non_null(np_run_take(&home, 1, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW));
        assert_int_equal(home->index, count);
    }
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        atomic_store(&arena->lock.word, 0);
    (void)take_beside_holder(&step);
    return np_arena_list()->index + 1;
}

static void without_a_limit_there_are_eight_a_processor(void **state)
{
    (void)state;
    os_fake_set_cpu_count(3);
    os_fake_limit_break(0);
    assert_int_equal(arenas_up_to_limit(24), 24);
}

/* Which is more than eight a processor here, and still not one more than so many. */
static void below_arena_test_the_processors_do_not_count(void **state)
{
    (void)state;
    (void)alarm(60); /* a limit below that would be waited for without end */
    assert_true(np_tune_set(NP_KNOB_ARENA_TEST, 40));
    os_fake_set_cpu_count(3);
    os_fake_limit_break(0);
    assert_int_equal(arenas_up_to_limit(40), 40);
    (void)alarm(0);
}

/* No memory for the bookkeeping of what was got: it goes back, addresses and all. */
static void growth_without_bookkeeping_is_undone(void **state)
{
    size_t committed_bytes;
    size_t reserved_bytes;
    uintptr_t end;

    (void)state;
    (void)model_take(1, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    os_fake_refuse(OS_FAKE_MAP); /* of another window's bookkeeping; the pools have some left */
    assert_null(model_take(20000, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
    committed_bytes = os_fake_committed_bytes();
    reserved_bytes = os_fake_reserved_bytes();
    end = os_fake_break();
    for (unsigned i = 0; i < 5; i++)
        assert_null(model_take(20000, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
    assert_int_equal(os_fake_committed_bytes(), committed_bytes);
    assert_int_equal(os_fake_reserved_bytes(), reserved_bytes);
    assert_int_equal(os_fake_break(), end);
    assert_int_equal(reserved_bytes, 0);
    expect_all_in_order();
    os_fake_reset();
    assert_non_null(model_take(20000, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
    assert_int_equal(home->index, 0);
    expect_all_in_order();
}

/* No memory for a record: what is free is lent all the same, more than was asked for, up to where a
 * record lies in its window or to the end. The break does not creep up. */
static void run_out_of_records(int64_t pad_bytes)
{
    uintptr_t end;
    struct np_run *first;
    struct np_run *run;

    assert_true(np_tune_set(NP_KNOB_TOP_PAD, pad_bytes));
    (void)model_take(1, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    os_fake_limit_break(4 * MIB);
    (void)model_take(WANTED, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    model_give(1); /* a free top, large enough */
    os_fake_refuse(OS_FAKE_MAP);
    while (np_pool_take(&np_run_pool) != NULL)
        ;
    end = os_fake_break();
    first = np_run_take(&home, 2, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    assert_int_equal(first->granule_count, 2); /* one was left when runs were joined */
    home->spare = NULL;
    home->spare_count = 0;
    run = np_run_take(&home, 2, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    assert_non_null(run);
    assert_true(run->granule_count > 2);
    assert_true(np_run_end(run) % NP_UNIT_BYTES == 0 || np_run_end(run) == end);
    assert_int_equal(os_fake_break(), end);
    assert_sound(np_arena_audit_all());
    np_run_give(run, 2);
    np_run_give(first, 2);
    assert_sound(np_arena_audit_all());
    os_fake_reset();
    assert_non_null(model_take(2, NP_GRANULE_BYTES, 0, NP_MAY_GROW));
    expect_all_in_order();
}

/* An arena of some MiB has seen to it that there are records, so what is free in it can be cut up
 * when nothing more is to be had. */
static void there_are_records_when_memory_has_run_out(void **state)
{
    (void)state;
    (void)model_take(5 * MIB / NP_GRANULE_BYTES, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    (void)model_take(2 * MIB / NP_GRANULE_BYTES, NP_GRANULE_BYTES, 0, NP_MAY_GROW);
    model_give(0);
    os_fake_refuse(OS_FAKE_MAP);
    os_fake_refuse(OS_FAKE_RESERVE);
    for (unsigned count = 0; count < 200; count++)
        assert_non_null(model_take(3, NP_GRANULE_BYTES, 0, NP_EXISTING_ONLY));
    expect_all_in_order();
}

static void without_records_more_is_lent_and_nothing_grown(void **state)
{
    (void)state;
    run_out_of_records(0);
}

static void without_records_the_pad_does_not_grow(void **state)
{
    (void)state;
    run_out_of_records(128 << 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_run_comes_from_the_break),
        cmocka_unit_test(the_pad_is_asked_for_beyond_the_need),
        cmocka_unit_test(without_a_pad_growth_is_what_is_missing),
        cmocka_unit_test(the_pad_is_done_without_where_there_is_no_room_for_it),
        cmocka_unit_test(a_large_arena_grows_in_larger_steps),
        cmocka_unit_test(steps_end_at_2_mib),
        cmocka_unit_test(a_pad_that_is_set_is_the_step),
        cmocka_unit_test(a_step_is_done_without_where_there_is_no_room_for_it),
        cmocka_unit_test(what_others_took_is_never_lent),
        cmocka_unit_test(the_break_of_others_is_left_to_them),
        cmocka_unit_test(our_own_calls_are_not_taken_for_others),
        cmocka_unit_test(beside_others_less_than_a_window_will_do),
        cmocka_unit_test(a_foreign_move_between_two_calls_is_survived),
        cmocka_unit_test(a_break_that_starts_inside_a_page_is_survived),
        cmocka_unit_test(without_a_break_there_are_mappings),
        cmocka_unit_test(a_mapped_arena_commits_what_it_uses),
        cmocka_unit_test(a_mapped_arena_has_more_than_one_window),
        cmocka_unit_test(what_a_fork_kept_from_the_arena_is_committed_once),
        cmocka_unit_test(no_huge_pages_in_holes_of_the_break),
        cmocka_unit_test(no_huge_pages_in_holes_of_mapped_arenas),
        cmocka_unit_test(where_huge_pages_cannot_be_forbidden_memory_is_returned_all_the_same),
        cmocka_unit_test(where_a_window_is_refused_less_will_do),
        cmocka_unit_test(existing_only_does_not_grow),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(a_contended_arena_makes_another),
        cmocka_unit_test(memory_of_another_arena_is_taken_first),
        cmocka_unit_test(arena_max_is_a_limit),
        cmocka_unit_test(without_a_limit_there_are_eight_a_processor),
        cmocka_unit_test(below_arena_test_the_processors_do_not_count),
        cmocka_unit_test(growth_without_bookkeeping_is_undone),
        cmocka_unit_test(there_are_records_when_memory_has_run_out),
        cmocka_unit_test(without_records_more_is_lent_and_nothing_grown),
        cmocka_unit_test(without_records_the_pad_does_not_grow),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

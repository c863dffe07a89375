/* Runs that wait for the next taker of their length. The model's own look at everything files them
 * all, so here it looks rarely. */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "kept.h"
#include "os.h"
#include "returned.h"
#include "run.h"
#include "run_model.h"
#include "tune.h"

/* Runs of these lengths with a live one between each two; all written. */
static void make_runs(const size_t *lengths, struct np_run **runs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        runs[i] = np_run_take(&home, lengths[i], NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
        assert_non_null(runs[i]);
        memset((void *)runs[i]->start, 1, granules_bytes(lengths[i]));
        (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    }
}

static void give_all(struct np_run **runs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        np_run_give(runs[i], runs[i]->granule_count);
}

static struct np_run *take(size_t granule_count)
{
    return np_run_take(&home, granule_count, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_EXISTING_ONLY);
}

static void the_last_of_its_length_is_taken_as_it_is(void **state)
{
    static const size_t lengths[] = {7, 7, 8};
    struct np_run *runs[COUNT_OF(lengths)];

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    give_all(runs, COUNT_OF(lengths));
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(7 + 7 + 8));
    assert_ptr_equal(take(7), runs[1]);
    assert_int_equal(runs[1]->resident_count, 7);
    assert_ptr_equal(take(7), runs[0]);
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(8));
    np_run_clear(runs[0], granules_bytes(7));
    expect_zero((void *)runs[0]->start, granules_bytes(7));
}

/* Gives a run back with its first bytes cleared, as core does. */
static void give_cleared(struct np_run *run, size_t byte_count)
{
    memset((void *)run->start, 0, byte_count);
    run->lent.cleared = (uint16_t)(byte_count / NP_RUN_CLEARED_BYTES);
    np_run_give(run, run->granule_count);
}

static void what_was_cleared_is_known_when_it_is_taken_as_it_is(void **state)
{
    static const size_t lengths[] = {7};
    static const size_t cleared[] = {NP_RUN_CLEARED_BYTES, 7 * NP_GRANULE_BYTES};
    struct np_run *run;
    char *bytes;

    (void)state;
    make_runs(lengths, &run, 1);
    bytes = (char *)run->start;
    for (size_t i = 0; i < COUNT_OF(cleared); i++) {
        give_cleared(run, cleared[i]);
        assert_null(np_run_find_overwritten());
        bytes[cleared[i] - 1] = 1;
        assert_ptr_equal(np_run_find_overwritten(), run);
        assert_ptr_equal(take(7), run);
        assert_false(np_run_is_clear(run));
        give_cleared(run, cleared[i]);
        if (i == 0)
            bytes[cleared[i]] = 1;
        assert_ptr_equal(take(7), run);
        assert_true(np_run_is_clear(run));
    }
}

/* How many granules of a run lie before the next unit. That one's record is always the same: here
 * it looks as if its run had been cleared. */
static size_t granules_before_odd_record(const struct np_run *run)
{
    uintptr_t unit = np_align_down(run->start, NP_UNIT_BYTES) + NP_UNIT_BYTES;

    np_run_record_take(unit)->lent.cleared = NP_GRANULE_BYTES / NP_RUN_CLEARED_BYTES;
    return (unit - run->start) >> NP_GRANULE_SHIFT;
}

/* What lies there was not cleared, whatever it was before. */
static void what_was_lent_otherwise_is_not_taken_for_cleared(void **state)
{
    static const size_t lengths[] = {NP_UNIT_GRANULES, 30, 30};
    struct np_run *runs[COUNT_OF(lengths)];
    struct np_run *run;

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    give_cleared(runs[0], granules_bytes(NP_UNIT_GRANULES));
    run = np_run_take(&home, NP_UNIT_GRANULES, NP_GRANULE_BYTES, NP_RUN_SLAB, NP_EXISTING_ONLY);
    assert_ptr_equal(run, runs[0]);
    memset((void *)run->start, 1, granules_bytes(NP_UNIT_GRANULES));
    np_run_give(run, NP_UNIT_GRANULES);
    assert_null(np_run_find_overwritten());
    assert_ptr_equal(take(NP_UNIT_GRANULES), runs[0]);
    /* The rest of one that is cut, and what is cut off. */
    give_cleared(runs[1], NP_RUN_CLEARED_BYTES);
    assert_ptr_equal(take(granules_before_odd_record(runs[1])), runs[1]);
    assert_null(np_run_find_overwritten());
    assert_true(np_run_try_shrink(runs[2], granules_before_odd_record(runs[2])));
    assert_null(np_run_find_overwritten());
}

/* A slab finds its run by its first unit. */
static void a_kept_run_has_to_be_aligned(void **state)
{
    static const size_t lengths[] = {1, NP_UNIT_GRANULES};
    struct np_run *runs[COUNT_OF(lengths)];
    struct np_run *run;

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    assert_int_not_equal(runs[1]->start % NP_UNIT_BYTES, 0);
    np_run_give(runs[1], NP_UNIT_GRANULES);
    run = np_run_take(&home, NP_UNIT_GRANULES, NP_UNIT_BYTES, NP_RUN_SLAB, NP_MAY_GROW);
    assert_int_equal(run->start % NP_UNIT_BYTES, 0);
}

static void what_is_kept_is_joined_where_something_longer_is_wanted(void **state)
{
    struct np_run *first;
    struct np_run *second;

    (void)state;
    first = np_run_take(&home, 20, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    second = np_run_take(&home, 20, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    assert_int_equal(second->start, np_run_end(first));
    np_run_give(first, 20);
    np_run_give(second, 20);
    assert_int_equal(take(40)->start, first->start);
}

/* The others stay as they are. */
static void the_shortest_that_is_longer_is_cut(void **state)
{
    static const size_t lengths[] = {5, 30, 12, 12};
    struct np_run *runs[COUNT_OF(lengths)];
    struct np_arena *arena = np_arena_list();

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    give_all(runs, COUNT_OF(lengths));
    assert_ptr_equal(take(10), runs[3]);
    assert_int_equal(runs[3]->granule_count, 10);
    assert_int_equal(runs[3]->resident_count, 10);
    assert_int_equal(arena->kept_granules, 5 + 30 + 12 + 2); /* what is left is kept, too */
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(5 + 30 + 12 + 2));
    assert_ptr_equal(take(30), runs[1]);
    assert_ptr_equal(take(12), runs[2]);
    assert_sound(np_arena_audit_all());
}

/* R13. A step is 64 KiB in the main arena. */
static void what_is_told_is_at_least_what_is_retained(void **state)
{
    enum { COUNT = 40, LENGTH = 5, STEP = 16 };
    struct np_run *runs[COUNT];
    size_t lengths[COUNT];
    size_t told_bytes = 0;
    unsigned told_count = 0;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++)
        lengths[i] = LENGTH;
    make_runs(lengths, runs, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        np_run_give(runs[i], LENGTH);
        told_count += np_arena_retained_most_bytes() != told_bytes;
        told_bytes = np_arena_retained_most_bytes();
        assert_in_range(told_bytes, np_arena_retained_bytes(),
                        np_arena_retained_bytes() + granules_bytes(2 * STEP));
    }
    assert_in_range(told_count, COUNT * LENGTH / (2 * STEP), COUNT * LENGTH / STEP + 1);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)take(LENGTH);
        assert_in_range(np_arena_retained_most_bytes(), np_arena_retained_bytes(),
                        np_arena_retained_bytes() + granules_bytes(2 * STEP));
    }
    assert_sound(np_arena_audit_all());
}

/* What is left of it lies beside a free run, and is joined to that. */
static void what_is_cut_off_is_joined(void **state)
{
    struct np_run *first;
    struct np_run *second;
    uintptr_t start;

    (void)state;
    first = np_run_take(&home, 40, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    second = np_run_take(&home, 30, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    start = first->start;
    np_run_give(second, 30);
    assert_sound(np_arena_audit_all()); /* which files it */
    np_run_give(first, 40);
    assert_int_equal(np_arena_list()->kept_granules, 40);
    assert_int_equal(take(35)->start, start);
    assert_sound(np_arena_audit_all());
    assert_int_equal(take(35)->start, start + granules_bytes(35));
}

static void none_are_joined_where_a_filed_one_can_be_cut(void **state)
{
    static const size_t lengths[] = {20, 20, 20, 20, 100};
    struct np_run *runs[COUNT_OF(lengths)];
    struct np_arena *arena = np_arena_list();
    uintptr_t start;

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    start = runs[4]->start;
    give_all(runs, COUNT_OF(lengths)); /* the last is too long to be kept */
    assert_int_equal(take(30)->start, start);
    assert_int_equal(arena->kept_granules, 4 * 20);
    assert_sound(np_arena_audit_all());
}

/* Few of them seldom lie side by side. */
static void few_kept_ones_are_left_alone(void **state)
{
    static const size_t lengths[] = {5, 6, 7};
    struct np_run *runs[COUNT_OF(lengths)];
    struct np_arena *arena = np_arena_list();

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    give_all(runs, COUNT_OF(lengths));
    assert_non_null(np_run_take(&home, 10, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW));
    assert_int_equal(arena->kept_granules, 5 + 6 + 7);
}

/* Half of it, on top of the usual. */
static void a_threshold_that_is_set_lets_more_be_kept(void **state)
{
    enum { COUNT = 12 };
    size_t lengths[COUNT];
    struct np_run *runs[COUNT];

    (void)state;
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 1 << 20));
    for (size_t i = 0; i < COUNT; i++)
        lengths[i] = 30;
    make_runs(lengths, runs, COUNT);
    give_all(runs, COUNT);
    assert_int_equal(np_arena_list()->kept_granules, 8 * 30); /* of 512 KiB and half a MiB */
}

static void growing_takes_a_kept_neighbour(void **state)
{
    struct np_run *first;
    struct np_run *second;

    (void)state;
    first = np_run_take(&home, 20, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    second = np_run_take(&home, 20, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    np_run_give(second, 20);
    assert_true(np_run_try_extend(first, 30));
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(10));
    assert_sound(np_arena_audit_all());
}

static void little_is_kept(void **state)
{
    static const size_t lengths[] = {40, 40, 40, 40, 65, 8, 1};
    struct np_run *runs[COUNT_OF(lengths)];
    struct np_arena *arena = np_arena_list();

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    np_run_give(runs[4], 65); /* too long */
    assert_int_equal(arena->kept_granules, 0);
    np_run_give(runs[6], 0); /* never written */
    assert_int_equal(arena->kept_granules, 0);
    for (size_t i = 0; i < 4; i++)
        np_run_give(runs[i], 40);
    assert_int_equal(arena->kept_granules, 3 * 40);
    np_run_give(runs[5], 8);
    assert_int_equal(arena->kept_granules, 128);
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(4 * 40 + 65 + 8));
}

static void what_is_kept_is_returned_as_all_else(void **state)
{
    static const size_t lengths[] = {3, 16, 64};
    struct np_run *runs[COUNT_OF(lengths)];

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    give_all(runs, COUNT_OF(lengths));
    return_down_to(0);
    assert_int_equal(np_arena_retained_bytes(), 0);
    for (size_t i = 0; i < COUNT_OF(lengths); i++)
        assert_int_equal(
            os_fake_resident_bytes((void *)runs[i]->start, granules_bytes(lengths[i])), 0);
    expect_all_in_order();
}

static void so_it_is_in_other_arenas(void **state)
{
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    what_is_kept_is_returned_as_all_else(state);
    assert_int_not_equal(home->index, 0);
}

/* As many granules as there are had memory when it was lent, but others. */
static void what_was_resident_is_counted_anew_after_shrinking(void **state)
{
    struct np_run *cold;
    struct np_run *warm;

    (void)state;
    cold = np_run_take(&home, 5, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    warm = np_run_take(&home, 5, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    np_run_give(warm, 5);
    np_run_give(cold, 0);
    assert_sound(np_arena_audit_all());
    assert_ptr_equal(take(10), cold);
    assert_int_equal(cold->resident_count, 5);
    assert_true(np_run_try_shrink(cold, 5));
    np_run_give(cold, 5);
    expect_all_in_order();
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(10));
}

/* The end of the arena is where the last live run ends, kept ones or not. */
static void trimming_once_is_enough(void **state)
{
    struct np_run *runs[3];
    size_t moves;

    (void)state;
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    for (size_t i = 0; i < COUNT_OF(runs); i++)
        runs[i] = np_run_take(&home, 30, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    give_all(runs, COUNT_OF(runs));
    assert_true(np_arena_trim(0));
    moves = os_fake_calls(OS_FAKE_BREAK_MOVE);
    assert_false(np_arena_trim(0));
    assert_int_equal(os_fake_calls(OS_FAKE_BREAK_MOVE), moves);
    expect_all_in_order();
}

/* What is taken as it was given has never been free, to the account of what goes back. */
static void the_account_has_only_what_is_filed(void **state)
{
    static const size_t lengths[] = {10, 10};
    struct np_run *runs[COUNT_OF(lengths)];

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    for (unsigned turn = 0; turn < 100; turn++) {
        np_run_give(runs[0], 10);
        assert_ptr_equal(take(10), runs[0]);
        assert_false(runs[0]->is_in_flow);
    }
    assert_int_equal(np_returned_totals().joined_bytes, 0);
    give_all(runs, COUNT_OF(lengths));
    assert_non_null(np_run_around(runs[0]->start)); /* looks at all free runs */
    assert_int_equal(np_returned_totals().joined_bytes, granules_bytes(20));
    assert_true(take(10)->is_in_flow);
}

/* But a program that lives on what an allowance lets be kept does not seem to rest. */
static void what_is_kept_beyond_the_usual_is_noted_by_the_mib(void **state)
{
    enum { COUNT = 8, LENGTH = 30, TURNS = 100, TURNS_TO_A_MIB = 9 };
    size_t lengths[COUNT];
    struct np_run *runs[COUNT];
    size_t noted_bytes = TURNS / TURNS_TO_A_MIB * TURNS_TO_A_MIB * granules_bytes(LENGTH);

    (void)state;
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 4 << 20));
    for (size_t i = 0; i < COUNT; i++)
        lengths[i] = LENGTH;
    make_runs(lengths, runs, COUNT);
    give_all(runs, COUNT);
    for (unsigned turn = 0; turn < TURNS; turn++)
        np_run_give(take(LENGTH), LENGTH);
    assert_int_equal(np_returned_totals().joined_bytes, noted_bytes);
    assert_int_equal(np_returned_totals().reused_bytes, noted_bytes);
}

/* ---- runs given back while another thread has the lock ---- */

static struct posting {
    struct np_run *run;
    size_t touched_count;
} posting;

static void *give_posting(void *unused)
{
    (void)unused;
    np_run_give(posting.run, posting.touched_count);
    return NULL;
}

/* By a thread that does not get the lock, and does not wait for it. */
static void post(struct np_run *run, size_t touched_count)
{
    pthread_t other;

    posting = (struct posting){run, touched_count};
    assert_true(np_lock_acquire(&run->arena->lock));
    assert_int_equal(pthread_create(&other, NULL, give_posting, NULL), 0);
    pthread_join(other, NULL);
    np_lock_release(&run->arena->lock);
    assert_int_equal(atomic_load(&run->state), NP_RUN_BUSY);
}

static void a_plain_block_takes_one_of_its_length_or_none(void **state)
{
    static const size_t lengths[] = {7, 8, 7};
    struct np_run *runs[COUNT_OF(lengths)];
    struct np_arena *arena;

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    give_all(runs, 2);
    arena = runs[0]->arena;
    assert_null(np_run_take_kept(NULL, 7)); /* of a thread that has no arena yet */
    assert_null(np_run_take_kept(arena, 6)); /* nobody cuts */
    assert_null(np_run_take_kept(arena, 9));
    assert_null(np_run_take_kept(arena, NP_KEPT_MAX_GRANULES + 1));
    assert_ptr_equal(np_run_take_kept(arena, 7), runs[0]);
    assert_int_equal(atomic_load(&runs[0]->state), NP_RUN_MEDIUM);
    assert_int_equal(runs[0]->resident_count, 7);
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(8));
    assert_null(np_run_take_kept(arena, 7));
    /* What others have put aside comes first. */
    give_all(runs, 1);
    post(runs[2], 7);
    assert_null(np_run_take_kept(arena, 7));
    np_arena_settle_deferred();
    assert_null(np_arena_audit(arena));
}

static size_t retained_most(void)
{
    return np_arena_retained_most_bytes() >> NP_GRANULE_SHIFT;
}

static void a_posted_run_counts_and_is_kept_by_the_next_taker(void **state)
{
    static const size_t lengths[] = {60, 40, 9};
    struct np_run *runs[COUNT_OF(lengths)];
    struct np_arena *arena;
    size_t before;

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    arena = runs[0]->arena;
    before = retained_most();
    post(runs[0], 60);
    assert_int_equal(retained_most(), before + 60); /* as nothing has been told of it otherwise */
    post(runs[1], 40);
    assert_int_equal(retained_most(), before + 100);
    np_run_give(runs[2], 9); /* this one has the lock */
    assert_null(atomic_load(&arena->deferred));
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(60 + 40 + 9));
    assert_int_equal(retained_most(), arena->retained_most);
    assert_int_equal(arena->kept_granules, 60 + 40 + 9);
    post(take(9), 9);
    assert_ptr_equal(take(9), runs[2]); /* a taker finds it, too */
    post(runs[2], 9);
    np_arena_settle_deferred();
    assert_int_equal(atomic_load(&runs[2]->state), NP_RUN_FREE);
    assert_int_equal(np_returned_totals().joined_bytes, granules_bytes(9));
    assert_int_equal(retained_most(), arena->retained_most);
    expect_all_in_order();
}

/* And what is put aside while it lasts is the parent's only. */
static void what_was_posted_before_a_fork_is_the_childs_too(void **state)
{
    static const size_t lengths[] = {5, 6, 7, 8};
    static const enum np_fork_phase phases[] = {NP_FORK_PARENT, NP_FORK_CHILD};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(phases); i++) {
        struct np_run *runs[COUNT_OF(lengths)];
        struct np_arena *arena;
        bool is_child = phases[i] == NP_FORK_CHILD;

        make_runs(lengths, runs, COUNT_OF(lengths));
        arena = runs[0]->arena;
        for (size_t run = 0; run < 3; run++)
            post(runs[run], lengths[run]);
        np_arena_fork(NP_FORK_PREPARE);
        posting = (struct posting){runs[3], 8};
        (void)give_posting(NULL);
        np_arena_fork(phases[i]);
        assert_int_equal(retained_most(), arena->retained_most + 5 + 6 + 7);
        np_arena_settle_deferred();
        assert_int_equal(retained_most(), arena->retained_most);
        for (size_t run = 0; run < 3; run++)
            assert_int_equal(atomic_load(&runs[run]->state), NP_RUN_FREE);
        assert_int_equal(atomic_load(&runs[3]->state), is_child ? NP_RUN_BUSY : NP_RUN_FREE);
    }
}

/* What was not all touched, and slabs, which know it of each page: to file them may give
 * bookkeeping back. */
static void what_comes_cold_waits_for_the_lock(void **state)
{
    static const size_t lengths[] = {20, 16};
    struct np_run *runs[COUNT_OF(lengths)];
    pthread_t other;

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    for (unsigned at = 0; at < 2; at++) {
        posting = (struct posting){runs[at], at == 0 ? 19 : 0};
        assert_true(np_lock_acquire(&runs[at]->arena->lock));
        assert_int_equal(pthread_create(&other, NULL, give_posting, NULL), 0);
        usleep(50000);
        assert_null(atomic_load(&runs[at]->arena->deferred));
        np_lock_release(&runs[at]->arena->lock);
        pthread_join(other, NULL);
        assert_int_not_equal(atomic_load(&runs[at]->state), NP_RUN_BUSY);
    }
}

/* In the child of a fork, where another thread was at work in it: nobody would file it, ever. */
static void nothing_is_posted_to_an_abandoned_arena(void **state)
{
    static const size_t lengths[] = {20};
    struct np_run *runs[COUNT_OF(lengths)];
    size_t before;

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    before = retained_most();
    np_lock_abandon(&runs[0]->arena->lock);
    np_run_give(runs[0], 20);
    assert_int_equal(atomic_load(&runs[0]->state), NP_RUN_BUSY);
    assert_int_equal(retained_most(), before);
}

/* ---- what is being filed ---- */

static struct {
    bool is_armed;
    struct np_arena *arena;
    pthread_t looker;
    size_t seen_bytes;
    _Atomic bool has_looked;
} filing;

static void *look_at_what_is_retained(void *unused)
{
    (void)unused;
    np_arena_settle_deferred();
    filing.seen_bytes = np_arena_retained_bytes();
    atomic_store(&filing.has_looked, true);
    return NULL;
}

void __real_np_filed_insert(struct np_filed *filed, struct np_tree_node *node);
void __wrap_np_filed_insert(struct np_filed *filed, struct np_tree_node *node);

/* The first run that was posted is about to be filed: on no list any more, and counted nowhere. */
void __wrap_np_filed_insert(struct np_filed *filed, struct np_tree_node *node)
{
    if (filing.is_armed) {
        filing.is_armed = false;
        assert_null(atomic_load(&filing.arena->deferred));
        assert_int_equal(
            pthread_create(&filing.looker, NULL, look_at_what_is_retained, NULL), 0);
        /* Until the other thread has looked, or sleeps because of our lock. */
        while (!atomic_load(&filing.has_looked) && atomic_load(&filing.arena->lock.word) != 2)
            sched_yield();
    }
    __real_np_filed_insert(filed, node);
}

/* It may be the one that has posted them: nobody else might look any more. */
static void who_looks_waits_for_what_is_being_filed(void **state)
{
    static const size_t lengths[] = {60, 40};
    struct np_run *runs[COUNT_OF(lengths)];

    (void)state;
    make_runs(lengths, runs, COUNT_OF(lengths));
    post(runs[0], 60);
    post(runs[1], 40);
    filing.arena = runs[0]->arena;
    filing.is_armed = true;
    np_arena_settle_deferred();
    assert_false(filing.is_armed);
    pthread_join(filing.looker, NULL);
    assert_int_equal(filing.seen_bytes, granules_bytes(60 + 40));
}

/* ---- a random life ---- */

enum { STEPS = 6000, STEPS_TO_A_LOOK = 40 };

/* least: of the runs taken, how many must have been kept ones. */
static void live(size_t least)
{
    size_t taken_as_it_was = 0;

    for (unsigned step = 0; step < STEPS; step++) {
        size_t granule_count = 1 + random_below(random_below(4) == 0 ? 100 : 8);
        bool is_unit = random_below(6) == 0;

        if (lent_count < 60 && random_below(2) == 0) {
            const struct lent *block =
                model_take(is_unit ? NP_UNIT_GRANULES : granule_count,
                           is_unit ? NP_UNIT_BYTES : NP_GRANULE_BYTES,
                           is_unit ? NP_UNIT_GRANULES : random_below(granule_count + 1),
                           NP_MAY_GROW);

            taken_as_it_was += block != NULL && !block->run->is_in_flow;
        } else if (lent_count > 0 && random_below(8) != 0) {
            model_give(random_below(lent_count));
        } else if (lent_count > 0) {
            (void)model_resize(random_below(lent_count), granule_count);
        }
        expect_bounded();
        if (step % STEPS_TO_A_LOOK == 0)
            expect_all_in_order();
    }
    assert_true(taken_as_it_was >= least);
    model_give_all();
    expect_all_in_order();
}

static void random_life_with_4k_pages(void **state)
{
    (void)state;
    live(STEPS / 100);
}

static void random_life_with_16k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(16384);
    live(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_of_its_length_is_taken_as_it_is),
        cmocka_unit_test(what_was_cleared_is_known_when_it_is_taken_as_it_is),
        cmocka_unit_test(what_was_lent_otherwise_is_not_taken_for_cleared),
        cmocka_unit_test(a_kept_run_has_to_be_aligned),
        cmocka_unit_test(a_plain_block_takes_one_of_its_length_or_none),
        cmocka_unit_test(what_is_kept_is_joined_where_something_longer_is_wanted),
        cmocka_unit_test(the_shortest_that_is_longer_is_cut),
        cmocka_unit_test(what_is_told_is_at_least_what_is_retained),
        cmocka_unit_test(what_is_cut_off_is_joined),
        cmocka_unit_test(none_are_joined_where_a_filed_one_can_be_cut),
        cmocka_unit_test(few_kept_ones_are_left_alone),
        cmocka_unit_test(a_threshold_that_is_set_lets_more_be_kept),
        cmocka_unit_test(growing_takes_a_kept_neighbour),
        cmocka_unit_test(little_is_kept),
        cmocka_unit_test(what_is_kept_is_returned_as_all_else),
        cmocka_unit_test(so_it_is_in_other_arenas),
        cmocka_unit_test(what_was_resident_is_counted_anew_after_shrinking),
        cmocka_unit_test(trimming_once_is_enough),
        cmocka_unit_test(the_account_has_only_what_is_filed),
        cmocka_unit_test(what_is_kept_beyond_the_usual_is_noted_by_the_mib),
        cmocka_unit_test(a_posted_run_counts_and_is_kept_by_the_next_taker),
        cmocka_unit_test(what_was_posted_before_a_fork_is_the_childs_too),
        cmocka_unit_test(what_comes_cold_waits_for_the_lock),
        cmocka_unit_test(nothing_is_posted_to_an_abandoned_arena),
        cmocka_unit_test(who_looks_waits_for_what_is_being_filed),
        cmocka_unit_test(random_life_with_4k_pages),
        cmocka_unit_test(random_life_with_16k_pages),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

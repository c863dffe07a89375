/* Taking and giving while another thread forks, and what the audit is worth. */
#include <pthread.h>

#include "run.h"
#include "run_model.h"
#include "window.h"

/* Runs `body` in another thread while this one is between prepare and parent. */
static void during_fork(void *(*body)(void *), void *argument)
{
    pthread_t other;

    np_arena_fork(NP_FORK_PREPARE);
    atomic_store(&np_is_fork_under_way, true);
    np_thread_is_forking = true;
    pthread_create(&other, NULL, body, argument);
    pthread_join(other, NULL); /* would hang */
    np_thread_is_forking = false;
    atomic_store(&np_is_fork_under_way, false);
    np_arena_fork(NP_FORK_PARENT);
}

static void *give_one(void *index)
{
    size_t *which = index;

    model_give(*which);
    return NULL;
}

static void a_run_given_during_a_fork_is_free_afterwards(void **state)
{
    size_t which = 1;
    uintptr_t start;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        (void)model_take(50, NP_GRANULE_BYTES, 50, NP_MAY_GROW);
    start = lent[1].start;
    during_fork(give_one, &which);
    expect_all_in_order(); /* counts it as free */
    assert_int_equal(model_take(50, NP_GRANULE_BYTES, 0, NP_EXISTING_ONLY)->start, start);
    np_run_clear(lent[2].run, granules_bytes(50));
    expect_zero((void *)start, granules_bytes(50));
}

static void *take_some(void *unused)
{
    (void)unused;
    home = NULL;
    for (unsigned i = 0; i < 20; i++)
        assert_non_null(model_take(30, NP_GRANULE_BYTES, 30, NP_MAY_GROW));
    assert_int_not_equal(home->index, 0);
    return NULL;
}

static void during_a_fork_there_is_another_arena(void **state)
{
    (void)state;
    (void)model_take(50, NP_GRANULE_BYTES, 50, NP_MAY_GROW);
    during_fork(take_some, NULL);
    expect_all_in_order();
    model_give_all();
    expect_all_in_order();
    expect_bounded();
}

static void *decline(void *unused)
{
    struct np_arena *arena = np_arena_list();

    (void)unused;
    assert_false(np_run_try_extend(lent[0].run, 60));
    assert_false(np_run_try_shrink(lent[0].run, 40));
    assert_false(np_arena_walk(arena, look_at, NULL));
    assert_null(np_arena_audit(arena));
    assert_false(np_arena_trim(0));
    return NULL;
}

static void what_cannot_be_done_during_a_fork_is_declined(void **state)
{
    (void)state;
    (void)model_take(50, NP_GRANULE_BYTES, 50, NP_MAY_GROW);
    during_fork(decline, NULL);
    expect_all_in_order();
    assert_true(model_resize(0, 60));
    assert_true(model_resize(0, 40));
    expect_all_in_order();
}

/* In the child the others are gone, wherever they were; what they had stays lent, what was ours
 * works. */
static void the_child_goes_on(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        (void)model_take(50, NP_GRANULE_BYTES, 50, NP_MAY_GROW);
    np_arena_fork(NP_FORK_PREPARE);
    np_arena_fork(NP_FORK_CHILD);
    model_give(1);
    expect_all_in_order();
    assert_non_null(model_take(500, NP_GRANULE_BYTES, 500, NP_MAY_GROW));
    model_give_all();
    (void)np_arena_trim(0);
    expect_all_in_order();
}

/* ---- the audit sees each invariant broken ---- */

static struct np_run *hole(void)
{
    struct np_run *run;

    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    (void)model_take(9, NP_GRANULE_BYTES, 9, NP_MAY_GROW);
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW);
    run = lent[1].run;
    model_give(1);
    assert_null(np_arena_audit_all());
    return run;
}

static void expect_fault(const char *label)
{
    const char *fault = np_arena_audit_all();

    if (fault == NULL)
        fail_msg("the audit did not see %s broken", label);
    assert_memory_equal(fault, label, 2);
}

static void r1_is_seen(void **state)
{
    static struct np_arena other;

    (void)state;
    hole()->arena = &other;
    expect_fault("R1");
}

static void r2_is_seen(void **state)
{
    (void)state;
    (void)hole();
    lent[0].run->granule_count = 2;
    assert_non_null(np_arena_audit_all());
}

static void r3_is_seen(void **state)
{
    (void)state;
    (void)hole();
    atomic_store(&lent[1].run->state, NP_RUN_FREE);
    expect_fault("R3");
}

static void r4_is_seen(void **state)
{
    struct np_run *run = hole();

    (void)state;
    atomic_store(np_run_map_entry(run->start + 8 * NP_GRANULE_BYTES), NULL);
    expect_fault("R4");
}

static void r5_is_seen(void **state)
{
    struct np_run *run = hole();

    (void)state;
    np_filed_remove(&run->arena->warm, &run->node);
    expect_fault("R5");
}

static void r6_is_seen(void **state)
{
    struct np_run *run = hole();

    (void)state;
    np_run_clear_resident(run, 3, 4);
    expect_fault("R6");
}

static void r7_is_seen(void **state)
{
    (void)state;
    atomic_fetch_add(&hole()->arena->retained_granules, 1);
    expect_fault("R7");
}

static void r8_is_seen(void **state)
{
    (void)state;
    atomic_fetch_add(&hole()->arena->free_granules, 1);
    expect_fault("R8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_given_during_a_fork_is_free_afterwards),
        cmocka_unit_test(during_a_fork_there_is_another_arena),
        cmocka_unit_test(what_cannot_be_done_during_a_fork_is_declined),
        cmocka_unit_test(the_child_goes_on),
        cmocka_unit_test(r1_is_seen),
        cmocka_unit_test(r2_is_seen),
        cmocka_unit_test(r3_is_seen),
        cmocka_unit_test(r4_is_seen),
        cmocka_unit_test(r5_is_seen),
        cmocka_unit_test(r6_is_seen),
        cmocka_unit_test(r7_is_seen),
        cmocka_unit_test(r8_is_seen),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* The lock: exclusion, sleeping and waking, and that nobody waits for a fork. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lock.h"

enum { THREADS = 4, ROUNDS = 20000 };

static struct np_lock lock = NP_LOCK_INIT(NP_RANK_ARENA);
static long counter;
static _Atomic int step; /* how far the two threads of a test have come */

static void wait_for_step(int wanted)
{
    while (atomic_load(&step) < wanted)
        sched_yield();
}

static void *count_up(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        long seen;

        assert_true(np_lock_acquire(&lock));
        seen = counter;
        if (i % 64 == 0)
            sched_yield(); /* so that others come to wait, and sleep */
        counter = seen + 1;
        np_lock_release(&lock);
    }
    return NULL;
}

static void one_thread_at_a_time(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(counter, (long)THREADS * ROUNDS);
    assert_int_equal(atomic_load(&lock.word), 0);
}

/* Holds the lock from step 1 to step 2, then lets go and announces step 3. */
static void *hold_for_a_while(void *unused)
{
    (void)unused;
    assert_true(np_lock_acquire(&lock));
    atomic_store(&step, 1);
    wait_for_step(2);
    np_lock_release(&lock);
    atomic_store(&step, 3);
    return NULL;
}

static void trying_does_not_wait(void **state)
{
    pthread_t holder;

    (void)state;
    atomic_store(&step, 0);
    pthread_create(&holder, NULL, hold_for_a_while, NULL);
    wait_for_step(1);
    assert_false(np_lock_try(&lock));
    atomic_store(&step, 2);
    wait_for_step(3);
    assert_true(np_lock_try(&lock));
    np_lock_release(&lock);
    pthread_join(holder, NULL);
}

static void *release_later(void *unused)
{
    (void)unused;
    assert_true(np_lock_acquire(&lock));
    atomic_store(&step, 1);
    usleep(30000); /* the other one has gone to sleep by now */
    np_lock_release(&lock);
    return NULL;
}

static void a_sleeper_is_woken_and_errno_stays(void **state)
{
    pthread_t holder;

    (void)state;
    atomic_store(&step, 0);
    pthread_create(&holder, NULL, release_later, NULL);
    wait_for_step(1);
    errno = 4711;
    assert_true(np_lock_acquire(&lock));
    np_lock_release(&lock);
    assert_int_equal(errno, 4711);
    pthread_join(holder, NULL);
}

/* What another thread's attempts come to: bit 0 acquire, bit 1 try, bit 2 is_held_for_fork. */
static void *attempt(void *answer)
{
    unsigned *bits = answer;

    *bits = 0;
    if (np_lock_acquire(&lock)) {
        *bits |= 1;
        np_lock_release(&lock);
    }
    if (np_lock_try(&lock)) {
        *bits |= 2;
        np_lock_release(&lock);
    }
    if (np_lock_is_held_for_fork(&lock))
        *bits |= 4;
    return NULL;
}

static unsigned attempts_of_another_thread(void)
{
    pthread_t other;
    unsigned bits;

    pthread_create(&other, NULL, attempt, &bits);
    pthread_join(other, NULL);
    return bits;
}

static void nobody_waits_for_a_fork(void **state)
{
    (void)state;
    for (enum np_fork_phase after = NP_FORK_PARENT; after <= NP_FORK_CHILD; after++) {
        np_lock_fork(&lock, NP_FORK_PREPARE);
        np_thread_is_forking = true;
        assert_int_equal(attempts_of_another_thread(), 4);
        /* The forking thread itself passes, and its critical sections do not end the fork's
         * hold. */
        assert_true(np_lock_acquire(&lock));
        np_lock_release(&lock);
        assert_true(np_lock_try(&lock));
        np_lock_release(&lock);
        assert_false(np_lock_is_held_for_fork(&lock));
        assert_int_equal(attempts_of_another_thread(), 4);
        np_thread_is_forking = false;
        np_lock_fork(&lock, after);
        assert_int_equal(attempts_of_another_thread(), 3);
    }
}

static void a_fork_waits_for_the_holder(void **state)
{
    pthread_t holder;

    (void)state;
    atomic_store(&step, 0);
    pthread_create(&holder, NULL, release_later, NULL);
    wait_for_step(1);
    np_lock_fork(&lock, NP_FORK_PREPARE);
    assert_int_equal(attempts_of_another_thread(), 4);
    np_lock_fork(&lock, NP_FORK_PARENT);
    pthread_join(holder, NULL);
    assert_int_equal(attempts_of_another_thread(), 3);
}

static void *acquire_and_tell(void *answer)
{
    bool *is_acquired = answer;

    atomic_fetch_add(&step, 1);
    *is_acquired = np_lock_acquire(&lock);
    if (*is_acquired)
        np_lock_release(&lock);
    return NULL;
}

/* Threads sleep on a held lock, and a fork takes it next or one of them does; either way all of
 * them end. */
static void sleepers_do_not_sleep_through_a_fork(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        pthread_t sleepers[THREADS];
        bool is_acquired[THREADS];

        atomic_store(&step, 0);
        assert_true(np_lock_acquire(&lock));
        for (unsigned i = 0; i < THREADS; i++)
            pthread_create(&sleepers[i], NULL, acquire_and_tell, &is_acquired[i]);
        wait_for_step(THREADS);
        usleep(2000);
        np_lock_release(&lock);
        np_lock_fork(&lock, NP_FORK_PREPARE);
        for (unsigned i = 0; i < THREADS; i++)
            pthread_join(sleepers[i], NULL); /* would hang */
        np_lock_fork(&lock, NP_FORK_PARENT);
        assert_int_equal(atomic_load(&lock.word), 0);
    }
}

/* A signal handler forks inside a critical section of its own thread. */
static void a_fork_in_a_critical_section_leaves_it_alone(void **state)
{
    (void)state;
    assert_true(np_lock_acquire(&lock));
    np_lock_fork(&lock, NP_FORK_PREPARE);
    np_lock_fork(&lock, NP_FORK_CHILD);
    assert_int_not_equal(atomic_load(&lock.word), 0);
    np_lock_release(&lock);
    assert_int_equal(atomic_load(&lock.word), 0);
    assert_int_equal(attempts_of_another_thread(), 3);
}

/* As in a signal handler that forks: holds the lock, and waits for the fork of another thread. */
static void *fork_inside(void *unused)
{
    (void)unused;
    assert_true(np_lock_acquire(&lock));
    np_lock_begin_fork_inside();
    atomic_store(&step, 1);
    wait_for_step(2);
    np_lock_end_fork_inside();
    np_lock_release(&lock);
    return NULL;
}

static void a_fork_gives_way_to_one_inside(void **state)
{
    static struct np_lock other = NP_LOCK_INIT(NP_RANK_BREAK);
    pthread_t holder;

    (void)state;
    atomic_store(&step, 0);
    pthread_create(&holder, NULL, fork_inside, NULL);
    wait_for_step(1);
    np_lock_fork(&other, NP_FORK_PREPARE); /* nobody has it */
    np_lock_fork(&lock, NP_FORK_PREPARE);  /* would wait for ever */
    assert_true(np_lock_must_give_way());
    np_lock_fork(&lock, NP_FORK_PARENT);
    np_lock_fork(&other, NP_FORK_PARENT);
    assert_int_equal(atomic_load(&other.word), 0);
    assert_int_not_equal(atomic_load(&lock.word), 0);
    atomic_store(&step, 2);
    assert_true(np_lock_has_given_way());
    assert_false(np_lock_has_given_way());
    pthread_join(holder, NULL);
    np_lock_fork(&lock, NP_FORK_PREPARE);
    assert_int_equal(attempts_of_another_thread(), 4);
    np_lock_fork(&lock, NP_FORK_PARENT);
}

/* Its holder may wait for the lock that the handler has interrupted us with. */
static void a_fork_inside_does_without_a_lock_in_the_end(void **state)
{
    static struct np_lock own = NP_LOCK_INIT(NP_RANK_META);
    pthread_t holder;

    (void)state;
    assert_true(np_lock_acquire(&own));
    atomic_store(&step, 0);
    pthread_create(&holder, NULL, hold_for_a_while, NULL);
    wait_for_step(1);
    np_lock_fork(&lock, NP_FORK_PREPARE);
    np_lock_fork(&own, NP_FORK_PREPARE);
    assert_false(np_lock_must_give_way());
    assert_true(np_lock_is_own(&own));
    assert_false(np_lock_is_own(&lock));
    np_lock_fork(&own, NP_FORK_PARENT);
    np_lock_fork(&lock, NP_FORK_PARENT);
    atomic_store(&step, 2);
    pthread_join(holder, NULL);
    np_lock_release(&own);
    assert_false(np_lock_is_any_held());
    assert_int_equal(attempts_of_another_thread(), 3);
}

/* In the child nobody waits for who is not there. */
static void a_lock_that_the_fork_had_to_do_without_is_abandoned(void **state)
{
    static struct np_lock orphan = {1, NP_RANK_DEPOT}; /* held, by another thread */

    (void)state;
    np_lock_fork(&orphan, NP_FORK_CHILD);
    assert_false(np_lock_acquire(&orphan));
    assert_true(np_lock_is_held_for_fork(&orphan));
}

/* The signal that a child dies of which takes one lock of each rank, in this order; 0: none. */
static int signal_of(uint32_t first_rank, uint32_t second_rank)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct np_lock first = NP_LOCK_INIT(first_rank);
        struct np_lock second = NP_LOCK_INIT(second_rank);

        (void)freopen("/dev/null", "w", stderr);
        signal(SIGABRT, SIG_DFL);
        if (np_lock_acquire(&first) && np_lock_acquire(&second))
            _exit(0);
        _exit(1);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* The one of a child that takes a lock, of no rank, once or twice. */
static int signal_of_waiting(unsigned times)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct np_lock own = NP_LOCK_INIT(0);

        (void)freopen("/dev/null", "w", stderr);
        signal(SIGABRT, SIG_DFL);
        alarm(60);
        while (times-- > 0)
            (void)np_lock_acquire(&own);
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* As in a signal handler that has interrupted malloc. */
static void who_waits_for_itself_is_told(void **state)
{
    (void)state;
    assert_int_equal(signal_of_waiting(1), 0);
    assert_int_equal(signal_of_waiting(2), SIGABRT);
}

static void ranks_rise_or_a_debug_build_dies(void **state)
{
    int expected = NP_DEBUG_LEVEL >= 1 ? SIGABRT : 0;

    (void)state;
    assert_int_equal(signal_of(NP_RANK_THREADS, NP_RANK_DEPOT), 0);
    assert_int_equal(signal_of(NP_RANK_BREAK, NP_RANK_ARENA), 0);
    assert_int_equal(signal_of(NP_RANK_ARENA, NP_RANK_META), 0);
    assert_int_equal(signal_of(NP_RANK_ARENA, NP_RANK_BREAK), expected);
    assert_int_equal(signal_of(NP_RANK_ARENA, NP_RANK_ARENA), expected);
    assert_int_equal(signal_of(NP_RANK_META, NP_RANK_THREADS), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_at_a_time),
        cmocka_unit_test(trying_does_not_wait),
        cmocka_unit_test(a_sleeper_is_woken_and_errno_stays),
        cmocka_unit_test(nobody_waits_for_a_fork),
        cmocka_unit_test(a_fork_waits_for_the_holder),
        cmocka_unit_test(sleepers_do_not_sleep_through_a_fork),
        cmocka_unit_test(a_fork_in_a_critical_section_leaves_it_alone),
        cmocka_unit_test(a_fork_gives_way_to_one_inside),
        cmocka_unit_test(a_fork_inside_does_without_a_lock_in_the_end),
        cmocka_unit_test(a_lock_that_the_fork_had_to_do_without_is_abandoned),
        cmocka_unit_test(who_waits_for_itself_is_told),
        cmocka_unit_test(ranks_rise_or_a_debug_build_dies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* When there is a helper, and what it does on which sight: on a clock that the tests move. What it
 * does to real programs is in tests/traps. */
#include "helper.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>

#include "arena.h"
#include "core.h"
#include "fork.h"
#include "isolated.h"
#include "os_fake.h"
#include "return.h"
#include "returned.h"
#include "thread.h"
#include "tune.h"

#define MIB ((size_t)1 << 20)
#define SECOND UINT64_C(1000000000)
#define LOOK (SECOND / 8)

/* ---- creating threads, seen and refused ---- */

static _Atomic unsigned create_count;
static int create_error;             /* what it answers; 0: it does it */
static size_t least_stack_bytes;     /* below that it answers EINVAL */
static sigset_t mask_at_create;
static int detach_state_at_create;
static bool is_create_pretended;

#undef pthread_create /* which isolated.h puts another in the place of, where libc is not glibc */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *next = dlsym(RTLD_NEXT, "pthread_create");
    size_t stack_bytes = SIZE_MAX;

    atomic_fetch_add(&create_count, 1);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask_at_create);
    if (attributes != NULL) {
        (void)pthread_attr_getstacksize(attributes, &stack_bytes);
        (void)pthread_attr_getdetachstate(attributes, &detach_state_at_create);
    }
    if (create_error != 0) {
        errno = ENOSYS; /* which is nobody's business */
        return create_error;
    }
    if (stack_bytes < least_stack_bytes)
        return EINVAL;
    if (is_create_pretended)
        return 0;
    memcpy(&create, &next, sizeof create);
    return create(thread, attributes, start, argument);
}

/* ---- a program that thrashes ---- */

enum { BLOCK_BYTES = 100000, BLOCKS = 400, MOST_BLOCKS = 1400 }; /* a tooth of 39 MiB, in runs */

static void *blocks[MOST_BLOCKS];
static size_t block_count = BLOCKS;

static void grow(void)
{
    for (size_t i = 0; i < block_count; i++) {
        blocks[i] = np_core_take(BLOCK_BYTES);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, BLOCK_BYTES);
    }
}

static void drop(void)
{
    for (size_t i = 0; i < block_count; i++)
        np_core_give(blocks[i]);
}

/* Teeth without any time between them, until the allowance keeps all of one. */
static void thrash(void)
{
    (void)np_tune_set(NP_KNOB_MMAP_MAX, 0);
    np_core_give(np_core_take(100)); /* so that the thread has a heap */
    for (unsigned tooth = 0; tooth < 4; tooth++) {
        grow();
        drop();
    }
    assert_true(np_arena_allowance_bytes() > BLOCKS * (size_t)BLOCK_BYTES / 2);
    assert_true(np_return_retained_bytes() > BLOCKS * (size_t)BLOCK_BYTES / 2);
}

static uint64_t returned_bytes(void)
{
    struct np_returned_totals totals = np_returned_totals();

    return totals.ways[NP_RETURN_BREAK].bytes + totals.ways[NP_RETURN_PURGE].bytes;
}

static void allow_always(void)
{
    assert_true(np_tune_set(NP_KNOB_HELPER, 1));
}

/* ---- what it does ---- */

static void it_waits_for_an_epoch_and_then_returns_all(void **state)
{
    struct np_helper_watch watch = {0};
    uint64_t now = SECOND;
    uint64_t epoch;
    uint64_t before;

    (void)state;
    allow_always();
    thrash();
    epoch = np_arena_epoch_ns();
    before = returned_bytes();
    for (uint64_t end = now + epoch; now < end; now += LOOK) {
        assert_true(np_helper_step(&watch, now));
        assert_int_equal(returned_bytes(), before);
    }
    assert_false(np_helper_step(&watch, now));
    assert_int_equal(np_arena_allowance_bytes(), 0);
    assert_true(np_return_retained_bytes() <= MIB);
    assert_true(returned_bytes() > before + BLOCKS * (size_t)BLOCK_BYTES / 2);
    assert_true(os_fake_largest_purge_bytes() <= 4 * MIB);
    assert_sound(np_core_audit());
}

/* It looks when all is free, each time: only what was freed in between tells it that the program is
 * at work. */
static void it_leaves_a_program_alone_that_goes_on(void **state)
{
    struct np_helper_watch watch = {0};
    uint64_t now = SECOND;
    uint64_t before;
    size_t allowance;

    (void)state;
    allow_always();
    thrash();
    before = returned_bytes();
    allowance = np_arena_allowance_bytes();
    for (unsigned look = 0; look < 40; look++) {
        now += LOOK;
        if (look % 4 == 0) {
            grow();
            drop();
        }
        assert_true(np_helper_step(&watch, now));
    }
    assert_int_equal(returned_bytes(), before);
    assert_int_equal(np_arena_allowance_bytes(), allowance);
    /* And when it stops, within an epoch and a few looks nothing is left. */
    for (unsigned look = 0; look < 12; look++)
        (void)np_helper_step(&watch, now += LOOK);
    assert_int_equal(np_arena_allowance_bytes(), 0);
    assert_true(np_return_retained_bytes() <= MIB);
}

/* It frees little, though all the time: no more than that is kept for it. */
static void it_leaves_what_is_used(void **state)
{
    struct np_helper_watch watch = {0};
    uint64_t now = SECOND;
    size_t granule_count = 100; /* what is smaller may be kept, and taken from there */
    size_t flow = 0;

    (void)state;
    allow_always();
    thrash();
    for (unsigned look = 0; look < 30; look++) {
        np_core_give(np_core_take(granule_count * 4096));
        (void)np_helper_step(&watch, now += LOOK);
    }
    flow = 8 * granule_count * 4096; /* in a second */
    assert_true(np_arena_allowance_bytes() <= flow);
    assert_true(np_arena_allowance_bytes() > flow / 2);
    assert_true(np_return_retained_bytes() <= flow + 2 * MIB);
}

/* Idle with everything in use: there is nothing to return, and no reason to wait for more. */
static void it_ends_where_nothing_is_retained(void **state)
{
    struct np_helper_watch watch = {0};
    uint64_t now = SECOND;
    uint64_t before;

    (void)state;
    allow_always();
    thrash();
    grow();
    before = returned_bytes();
    for (unsigned look = 0; look < 12; look++)
        (void)np_helper_step(&watch, now += LOOK);
    assert_int_equal(np_arena_allowance_bytes(), 0);
    assert_true(returned_bytes() <= before + 2 * MIB);
    drop(); /* which now is held to the threshold by the program's own frees */
    assert_true(np_return_retained_bytes() <= MIB);
}

/* Losing a large allowance costs more, so it waits longer. */
static void a_large_allowance_has_a_long_epoch(void **state)
{
    struct np_helper_watch watch = {0};
    uint64_t now = SECOND;
    uint64_t refault_ns;

    (void)state;
    allow_always();
    thrash();
    assert_true(np_arena_epoch_ns() == SECOND);
    block_count = MOST_BLOCKS;
    thrash();
    refault_ns = np_arena_allowance_bytes() / 4096 * 38400;
    assert_true(refault_ns > SECOND + SECOND / 8);
    assert_true(np_arena_epoch_ns() == refault_ns);
    (void)np_helper_step(&watch, now);
    assert_true(np_helper_step(&watch, now + np_arena_epoch_ns() - 1));
    assert_false(np_helper_step(&watch, now + np_arena_epoch_ns()));
}

static void a_threshold_that_is_set_ends_it(void **state)
{
    struct np_helper_watch watch = {0};

    (void)state;
    allow_always();
    thrash();
    assert_true(np_helper_step(&watch, SECOND));
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1));
    assert_false(np_helper_step(&watch, SECOND + LOOK));
    assert_true(np_return_retained_bytes() > BLOCKS * (size_t)BLOCK_BYTES / 2);
}

/* ---- whether there is one ---- */

/* An address as good as any in a program. */
static const void *program(void)
{
    return (const void *)(uintptr_t)&thrash;
}

static unsigned creations(const void *caller)
{
    unsigned before = atomic_load(&create_count);

    np_helper_look(caller);
    return atomic_load(&create_count) - before;
}

/* Another thread, with a heap. */
struct companion {
    pthread_t thread;
    sem_t has_heap;
    sem_t may_end;
};

static void *accompany(void *argument)
{
    struct companion *companion = argument;

    np_core_give(np_core_take(100));
    sem_post(&companion->has_heap);
    sem_wait(&companion->may_end);
    return NULL;
}

static void begin_thread(struct companion *companion)
{
    sem_init(&companion->may_end, 0, 0);
    sem_init(&companion->has_heap, 0, 0);
    assert_int_equal(pthread_create(&companion->thread, NULL, accompany, companion), 0);
    sem_wait(&companion->has_heap);
}

static void end_thread(struct companion *companion)
{
    sem_post(&companion->may_end);
    pthread_join(companion->thread, NULL);
}

static void by_itself_only_beside_other_threads(void **state)
{
    struct companion other;

    (void)state;
    thrash();
    assert_int_equal(creations(program()), 0);
    begin_thread(&other);
    is_create_pretended = true;
    assert_int_equal(creations(program()), 1);
    assert_true(np_helper_is_running());
    assert_int_equal(creations(program()), 0); /* one is enough */
    end_thread(&other);
}

static void not_when_the_others_have_ended(void **state)
{
    struct np_helper_watch watch = {0};
    struct companion other;

    (void)state;
    thrash();
    begin_thread(&other);
    assert_true(np_helper_step(&watch, SECOND));
    end_thread(&other);
    assert_int_equal(creations(program()), 0);
    /* One that runs ends, and leaves things as if it had not been. */
    assert_false(np_helper_step(&watch, SECOND + LOOK));
    assert_int_equal(np_arena_allowance_bytes(), 0);
    assert_true(np_return_retained_bytes() <= MIB);
}

static void never_if_it_is_forbidden(void **state)
{
    struct companion other;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_HELPER, 0));
    thrash();
    begin_thread(&other);
    assert_int_equal(creations(program()), 0);
    end_thread(&other);
}

static void alone_if_it_is_allowed(void **state)
{
    (void)state;
    allow_always();
    is_create_pretended = true;
    assert_int_equal(creations(program()), 0); /* nothing to do */
    thrash();
    assert_int_equal(creations(program()), 1);
}

static void not_where_the_threshold_is_set(void **state)
{
    (void)state;
    allow_always();
    thrash();
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 1 << 20));
    assert_int_equal(creations(program()), 0);
}

static void not_from_within_the_loader(void **state)
{
    uintptr_t loader = getauxval(AT_BASE);

    (void)state;
    assert_true(loader != 0);
    allow_always();
    thrash();
    is_create_pretended = true;
    assert_int_equal(creations((const void *)(loader + 100)), 0);
    assert_int_equal(creations(dlsym(RTLD_DEFAULT, "_r_debug")), 0);
    assert_int_equal(creations((const void *)(loader - 1)), 1);
}

static void not_in_a_thread_that_forks(void **state)
{
    (void)state;
    allow_always();
    thrash();
    is_create_pretended = true;
    np_fork_prepare();
    assert_int_equal(creations(program()), 0);
    np_fork_parent();
    assert_int_equal(creations(program()), 1);
}

static void a_refusal_is_harmless_and_remembered_for_a_second(void **state)
{
    (void)state;
    allow_always();
    thrash();
    create_error = EAGAIN;
    errno = 77;
    assert_int_equal(creations(program()), 1);
    assert_int_equal(errno, 77);
    assert_false(np_helper_is_running());
    os_fake_advance_coarse_ns(SECOND - 1);
    assert_int_equal(creations(program()), 0);
    os_fake_advance_coarse_ns(1);
    create_error = 0;
    is_create_pretended = true;
    assert_int_equal(creations(program()), 1);
    assert_true(np_helper_is_running());
}

/* libc takes the thread's TLS from its stack. */
static void a_small_stack_may_be_too_small(void **state)
{
    (void)state;
    allow_always();
    thrash();
    is_create_pretended = true;
    least_stack_bytes = MIB;
    assert_int_equal(creations(program()), 2);
    assert_true(np_helper_is_running());
}

static void it_gets_no_signals_and_is_not_joined(void **state)
{
    sigset_t before;
    sigset_t after;

    (void)state;
    allow_always();
    thrash();
    is_create_pretended = true;
    (void)sigemptyset(&before);
    (void)sigaddset(&before, SIGUSR1);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(creations(program()), 1);
    assert_int_equal(detach_state_at_create, PTHREAD_CREATE_DETACHED); /* nobody joins it */
    for (int signal = 1; signal < SIGRTMAX; signal++)
        if (signal != SIGKILL && signal != SIGSTOP && (signal < 32 || signal >= SIGRTMIN))
            assert_int_equal(sigismember(&mask_at_create, signal), 1);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int signal = 1; signal < SIGRTMAX; signal++)
        assert_int_equal(sigismember(&after, signal), signal == SIGUSR1);
}

/* ---- the thread itself, and forks ---- */

/* However late the thread comes to look, it finds that time has passed since it looked before. */
static void wait_until_it_has_ended(void)
{
    for (unsigned wait = 0; np_helper_is_running(); wait++) {
        assert_true(wait < 6000);
        os_fake_advance_coarse_ns(LOOK);
        usleep(10000);
    }
}

static void it_runs_and_ends(void **state)
{
    (void)state;
    allow_always();
    thrash();
    assert_int_equal(creations(program()), 1);
    assert_true(np_helper_is_running());
    os_fake_advance_coarse_ns(1);
    usleep(300000); /* two looks */
    assert_true(np_helper_is_running());
    assert_true(np_return_retained_bytes() > BLOCKS * (size_t)BLOCK_BYTES / 2);
    os_fake_advance_coarse_ns(2 * SECOND);
    wait_until_it_has_ended();
    assert_true(np_return_retained_bytes() <= MIB);
    assert_int_equal(np_arena_allowance_bytes(), 0);
    assert_sound(np_core_audit());
    thrash(); /* and all over again */
    assert_int_equal(creations(program()), 1);
    os_fake_advance_coarse_ns(1);
    usleep(300000);
    os_fake_advance_coarse_ns(2 * SECOND);
    wait_until_it_has_ended();
    assert_true(np_return_retained_bytes() <= MIB);
}

static struct np_helper_watch shared_watch;
static _Atomic bool is_step_done;

static void *step(void *unused)
{
    (void)unused;
    (void)np_helper_step(&shared_watch, 4 * SECOND);
    atomic_store(&is_step_done, true);
    return NULL;
}

/* A child must not lose what the helper has in its hands, so a fork keeps it from working. */
static void it_does_not_work_during_a_fork(void **state)
{
    pthread_t helper;
    uint64_t before;

    (void)state;
    allow_always();
    thrash();
    (void)np_helper_step(&shared_watch, SECOND);
    before = returned_bytes();
    np_fork_prepare();
    assert_int_equal(pthread_create(&helper, NULL, step, NULL), 0);
    usleep(100000);
    assert_false(atomic_load(&is_step_done));
    assert_int_equal(returned_bytes(), before);
    np_fork_parent();
    pthread_join(helper, NULL);
    assert_true(np_return_retained_bytes() <= MIB);
    assert_sound(np_core_audit());
}

/* Here the helper may be waiting for the lock that the interrupted code holds. */
static void a_fork_inside_a_critical_section_does_not_wait_for_it(void **state)
{
    static struct np_lock lock = NP_LOCK_INIT(NP_RANK_META);

    (void)state;
    allow_always();
    thrash();
    assert_false(np_lock_is_any_held());
    assert_true(np_lock_acquire(&lock));
    assert_true(np_lock_is_any_held());
    np_helper_fork(NP_FORK_PREPARE);
    np_lock_release(&lock);
    /* It does not have the mutex, so a step goes through. */
    (void)np_helper_step(&shared_watch, SECOND);
    (void)np_helper_step(&shared_watch, 4 * SECOND);
    assert_true(np_return_retained_bytes() <= MIB);
    np_helper_fork(NP_FORK_PARENT);
    np_helper_fork(NP_FORK_PREPARE);
    np_helper_fork(NP_FORK_PARENT);
}

/* The threads that were there before do not count, and the helper that ran is not there. */
static int live_as_child(struct np_heap *parked)
{
    alarm(120);
    is_create_pretended = true;
    EXPECT(!np_helper_is_running());
    EXPECT(creations(program()) == 0);
    atomic_store(&parked->is_parked, 0); /* as by another thread's first malloc */
    EXPECT(creations(program()) == 1);
    EXPECT(np_helper_is_running());
    return 0;
}

static void a_child_begins_anew(void **state)
{
    struct companion other;
    struct companion ended;
    struct np_heap *parked;
    pid_t child;

    (void)state;
    thrash();
    begin_thread(&other);
    begin_thread(&ended);
    end_thread(&ended);
    assert_int_equal(creations(program()), 1);
    parked = np_thread_heaps();
    assert_int_equal(atomic_load(&parked->is_parked), 1);
    child = fork();
    if (child == 0)
        _exit(live_as_child(parked));
    assert_int_equal(wait_for_child(child), 0);
    assert_true(np_helper_is_running());
    os_fake_advance_coarse_ns(2 * SECOND);
    end_thread(&other);
    wait_until_it_has_ended();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_waits_for_an_epoch_and_then_returns_all),
        cmocka_unit_test(it_leaves_a_program_alone_that_goes_on),
        cmocka_unit_test(it_leaves_what_is_used),
        cmocka_unit_test(it_ends_where_nothing_is_retained),
        cmocka_unit_test(a_large_allowance_has_a_long_epoch),
        cmocka_unit_test(a_threshold_that_is_set_ends_it),
        cmocka_unit_test(by_itself_only_beside_other_threads),
        cmocka_unit_test(not_when_the_others_have_ended),
        cmocka_unit_test(never_if_it_is_forbidden),
        cmocka_unit_test(alone_if_it_is_allowed),
        cmocka_unit_test(not_where_the_threshold_is_set),
        cmocka_unit_test(not_from_within_the_loader),
        cmocka_unit_test(not_in_a_thread_that_forks),
        cmocka_unit_test(a_refusal_is_harmless_and_remembered_for_a_second),
        cmocka_unit_test(a_small_stack_may_be_too_small),
        cmocka_unit_test(it_gets_no_signals_and_is_not_joined),
        cmocka_unit_test(it_runs_and_ends),
        cmocka_unit_test(it_does_not_work_during_a_fork),
        cmocka_unit_test(a_fork_inside_a_critical_section_does_not_wait_for_it),
        cmocka_unit_test(a_child_begins_anew),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

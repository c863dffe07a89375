/* fork: other threads go on while it lasts, the child works whatever they were doing, and
 * nothing is lost. */
#include "fork.h"

#include <pthread.h>
#include <string.h>

#include "alone.h"
#include "arena.h"
#include "core.h"
#include "isolated.h"
#include "large.h"
#include "os_fake.h"
#include "return.h"
#include "run.h"
#include "thread.h"
#include "tune.h"

#define KIB ((size_t)1 << 10)

enum { BLOCKS = 400 };

static unsigned char *blocks[BLOCKS];

static size_t size_of(size_t index)
{
    return index % 5 == 0 ? 20000 + index * 10 : 10 + index * 7;
}

static void fill_blocks(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = np_core_take(size_of(i));
        EXPECT(blocks[i] != NULL);
        memset(blocks[i], (int)(i % 255), size_of(i));
    }
}

static void expect_and_free_blocks(size_t from, size_t step)
{
    for (size_t i = from; i < BLOCKS; i += step) {
        for (size_t byte = 0; byte < size_of(i); byte++)
            EXPECT(blocks[i][byte] == (unsigned char)(i % 255));
        np_core_give(blocks[i]);
    }
}

static void expect_all_free(void)
{
    (void)np_core_trim(0);
    EXPECT_SOUND(np_core_audit());
    EXPECT(np_large_totals().count == 0);
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        EXPECT(atomic_load(&arena->free_granules) << NP_GRANULE_SHIFT ==
               atomic_load(&arena->system_bytes));
}

/* Runs `body` in another thread between prepare and parent: it must end. */
static void during_fork(void *(*body)(void *))
{
    pthread_t other;

    np_fork_prepare();
    pthread_create(&other, NULL, body, NULL);
    pthread_join(other, NULL);
    np_fork_parent();
}

static void *free_half_and_allocate(void *unused)
{
    void *more[60];

    (void)unused;
    expect_and_free_blocks(0, 2);
    for (size_t i = 0; i < COUNT_OF(more); i++) {
        more[i] = np_core_take(i * 900);
        EXPECT(more[i] != NULL);
        memset(more[i], 1, i * 900);
    }
    for (size_t i = 0; i < COUNT_OF(more); i++)
        np_core_give(more[i]);
    EXPECT_SOUND(np_core_audit());
    return NULL;
}

/* A signal handler that forks may have interrupted a plain step of the only thread. */
static void with_one_thread_a_fork_visits_no_slabs(void **state)
{
    size_t retained_bytes;

    (void)state;
    EXPECT(np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1));
    fill_blocks();
    expect_and_free_blocks(0, 2);
    expect_and_free_blocks(1, 2);
    retained_bytes = np_return_retained_bytes();
    EXPECT(retained_bytes > 0);
    EXPECT(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 0));
    np_fork_prepare();
    np_fork_parent();
    /* Where nobody tells whether there is one thread, no step is plain. */
    EXPECT((np_return_retained_bytes() == retained_bytes) == np_is_alone());
    expect_all_free();
}

static void other_threads_go_on(void **state)
{
    (void)state;
    fill_blocks();
    during_fork(free_half_and_allocate);
    EXPECT_SOUND(np_core_audit());
    expect_and_free_blocks(1, 2);
    expect_all_free();
}

/* The forking thread allocates in handlers that run after ours. */
static void the_forking_thread_goes_on(void **state)
{
    (void)state;
    fill_blocks();
    np_fork_prepare();
    expect_and_free_blocks(0, 2);
    np_core_give(np_core_take(50000));
    np_fork_parent();
    EXPECT_SOUND(np_core_audit());
    expect_and_free_blocks(1, 2);
    expect_all_free();
}

static unsigned heap_count(void)
{
    unsigned count = 0;

    for (struct np_heap *heap = np_thread_heaps(); heap != NULL; heap = heap->next)
        count++;
    return count;
}

static void *begin_and_end(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < 30; i++)
        np_core_give(np_core_take(i * 100));
    return NULL;
}

static void *begin_first(void *started)
{
    np_core_give(np_core_take(100));
    pthread_barrier_wait(started); /* now the fork begins */
    pthread_barrier_wait(started); /* and lasts */
    return begin_and_end(NULL);
}

/* Of threads that begin or end during a fork no heap is left over, or each fork would cost one. */
static void forks_leave_no_heaps_behind(void **state)
{
    pthread_barrier_t started;
    pthread_t ending;
    unsigned heaps = 0;

    (void)state;
    assert_int_equal(pthread_barrier_init(&started, NULL, 2), 0);
    np_core_give(np_core_take(100));
    for (unsigned i = 0; i < 20; i++) {
        pthread_create(&ending, NULL, begin_first, &started);
        pthread_barrier_wait(&started);
        np_fork_prepare();
        pthread_barrier_wait(&started);
        pthread_join(ending, NULL);
        np_fork_parent();
        during_fork(begin_and_end);
        if (i == 0)
            heaps = heap_count();
        assert_int_equal(heap_count(), heaps);
    }
    assert_sound(np_core_audit());
    expect_all_free();
}

static int live_as_child(void)
{
    expect_and_free_blocks(0, 2);
    EXPECT_SOUND(np_core_audit());
    fill_blocks();
    expect_and_free_blocks(0, 1);
    EXPECT_SOUND(np_core_audit());
    return 0;
}

static void a_real_child_has_a_working_heap(void **state)
{
    pid_t child;

    (void)state;
    fill_blocks();
    child = fork(); /* through the handlers that were registered */
    if (child == 0)
        _exit(live_as_child());
    assert_int_equal(wait_for_child(child), 0);
    expect_and_free_blocks(0, 1);
    expect_all_free();
}

/* ---- what another thread has posted ---- */

enum { POSTED = 8, POSTED_BYTES = 80000 };

static void *posted[POSTED];

static void *give_posted(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < POSTED; i++)
        np_core_give(posted[i]);
    return NULL;
}

static int retain_nothing_as_child(void)
{
    EXPECT(!np_run_has_deferred(np_arena_list()));
    EXPECT(np_return_retained_bytes() == 0);
    EXPECT_SOUND(np_core_audit());
    return 0;
}

/* A run that is given back while the arena is locked is put aside for whoever has the lock next. */
static void a_child_returns_what_others_have_posted(void **state)
{
    struct np_arena *arena;
    pthread_t other;
    pid_t child;

    (void)state;
    for (size_t i = 0; i < POSTED; i++) {
        posted[i] = np_core_take(POSTED_BYTES);
        EXPECT(posted[i] != NULL);
        memset(posted[i], 1, POSTED_BYTES);
    }
    arena = np_run_find((uintptr_t)posted[0])->arena;
    assert_true(np_lock_acquire(&arena->lock));
    pthread_create(&other, NULL, give_posted, NULL);
    pthread_join(other, NULL);
    np_lock_release(&arena->lock);
    assert_ptr_equal(arena, np_arena_list());
    assert_true(np_run_has_deferred(arena));
    EXPECT(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 0));
    child = fork();
    if (child == 0)
        _exit(retain_nothing_as_child());
    assert_int_equal(wait_for_child(child), 0);
    expect_all_free();
}

/* ---- forks while threads work ---- */

enum { THREADS = 3, FORKS = 60, KEPT = 100 };

static _Atomic bool must_stop;

static void *churn(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    unsigned char *kept[KEPT] = {NULL};

    while (!atomic_load(&must_stop)) {
        size_t index;

        seed = seed * 1103515245 + 12345;
        index = (seed >> 16) % KEPT;
        if (kept[index] != NULL) {
            EXPECT(kept[index][0] == (unsigned char)index);
            np_core_give(kept[index]);
            kept[index] = NULL;
        } else {
            kept[index] = np_core_take(1 + (seed >> 8) % 30000);
            EXPECT(kept[index] != NULL);
            kept[index][0] = (unsigned char)index;
        }
    }
    for (size_t i = 0; i < KEPT; i++)
        if (kept[i] != NULL)
            np_core_give(kept[i]);
    return NULL;
}

/* Only our own locks matter here: the fake os's mutex would be held for ever in a child, so
 * children of a busy process use what needs no system call, and a sleeping lock shows as a
 * time-out. */
static int live_small_as_child(void)
{
    void *small[50];

    alarm(120);
    for (size_t i = 0; i < COUNT_OF(small); i++) {
        small[i] = np_heap_try_take(np_thread_heap(), 40);
        if (small[i] != NULL)
            memset(small[i], 1, 40);
    }
    for (size_t i = 0; i < COUNT_OF(small); i++)
        if (small[i] != NULL)
            np_core_give(small[i]);
    return 0;
}

static void forks_and_threads_get_along(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    (void)np_core_take(40);
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)(i + 1));
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = fork();

        if (child == 0)
            _exit(live_small_as_child());
        assert_int_equal(wait_for_child(child), 0);
        usleep(500);
    }
    atomic_store(&must_stop, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_sound(np_core_audit());
    assert_sound(np_large_audit());
    (void)np_core_trim(0);
    assert_sound(np_core_audit());
    assert_int_equal(np_large_totals().count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_one_thread_a_fork_visits_no_slabs),
        cmocka_unit_test(other_threads_go_on),
        cmocka_unit_test(the_forking_thread_goes_on),
        cmocka_unit_test(forks_leave_no_heaps_behind),
        cmocka_unit_test(a_real_child_has_a_working_heap),
        cmocka_unit_test(a_child_returns_what_others_have_posted),
        cmocka_unit_test(forks_and_threads_get_along),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

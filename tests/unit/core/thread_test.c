/* Threads come and go: heaps are parked and reused, hold little while parked, and a thread that
 * is over still works. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "arena.h"
#include "core.h"
#include "isolated.h"
#include "os_fake.h"
#include "part_classes.h"
#include "return.h"
#include "thread.h"
#include "tune.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static size_t heap_count(void)
{
    size_t count = 0;

    for (const struct np_heap *heap = np_thread_heaps(); heap != NULL; heap = heap->next)
        count++;
    return count;
}

static void run_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, body, argument), 0);
    pthread_join(thread, NULL);
}

static void *own_heap(void *answer)
{
    struct np_heap **heap = answer;

    assert_null(np_thread_heap_if_any());
    assert_ptr_equal(np_heap_fast, &np_empty_heap);
    np_core_give(np_core_take(100));
    *heap = np_thread_heap_if_any();
    assert_non_null(*heap);
    assert_ptr_equal(np_thread_heap(), *heap);
    assert_ptr_equal(np_heap_fast, *heap);
    assert_int_equal(atomic_load(&(*heap)->is_parked), 0);
    return NULL;
}

static void every_thread_has_a_heap_of_its_own(void **state)
{
    struct np_heap *mine;
    struct np_heap *other;

    (void)state;
    (void)own_heap(&mine);
    run_thread(own_heap, &other);
    assert_ptr_not_equal(other, mine);
    assert_int_equal(atomic_load(&other->is_parked), 1);
    assert_int_equal(heap_count(), 2);
    assert_ptr_equal(np_thread_heap(), mine);
}

static void parked_heaps_are_reused(void **state)
{
    struct np_heap *first;

    (void)state;
    run_thread(own_heap, &first);
    for (unsigned i = 0; i < 50; i++) {
        struct np_heap *next;

        run_thread(own_heap, &next);
        assert_ptr_equal(next, first);
    }
    assert_int_equal(heap_count(), 1);
}

/* Current slabs and all: a short-lived thread asks the system for nothing. */
static void a_new_thread_goes_on_where_the_last_one_stopped(void **state)
{
    struct np_heap *heap;

    (void)state;
    run_thread(own_heap, &heap);
    os_fake_reset();
    for (unsigned i = 0; i < 20; i++)
        run_thread(own_heap, &heap);
    assert_int_equal(os_fake_all_calls(), 0);
}

/* ---- many at once ---- */

enum { THREADS = 12 };

static _Atomic unsigned threads_ready;
static _Atomic bool may_end;
static void *kept[THREADS][64];

/* Holds open about 800 KiB in slabs that each have a live block, and waits. */
static void *hold_much(void *argument)
{
    void **mine = argument;

    part_classes(np_thread_heap());
    for (size_t i = 0; i < 40; i++) {
        size_t bytes = 1100 + 300 * (i % 40);
        void *others[3];

        mine[i] = np_core_take(bytes);
        for (unsigned k = 0; k < 3; k++) {
            others[k] = np_core_take(bytes);
            memset(others[k], 1, bytes);
        }
        for (unsigned k = 0; k < 3; k++)
            np_core_give(others[k]);
    }
    assert_true(np_thread_heap()->open_bytes > 256 * KIB);
    atomic_fetch_add(&threads_ready, 1);
    while (!atomic_load(&may_end))
        sched_yield();
    return NULL;
}

/* P1: what parked heaps hold, they hold together. */
static void parked_heaps_hold_512_kib_together(void **state)
{
    pthread_t threads[THREADS];
    size_t parked_bytes = 0;

    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, hold_much, kept[i]);
    while (atomic_load(&threads_ready) < THREADS)
        sched_yield();
    atomic_store(&may_end, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (const struct np_heap *heap = np_thread_heaps(); heap != NULL; heap = heap->next) {
        assert_int_equal(atomic_load(&heap->is_parked), 1);
        assert_sound(np_heap_audit(heap));
        parked_bytes += heap->open_bytes;
    }
    assert_int_equal(heap_count(), THREADS);
    assert_true(parked_bytes <= 512 * KIB);
    assert_sound(np_core_audit());
    /* What they had is freed by somebody else, and all slabs go once a trim has been through. */
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < 40; k++)
            np_core_give(kept[i][k]);
    (void)np_core_trim(0);
    assert_sound(np_core_audit());
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        assert_int_equal(atomic_load(&arena->free_granules) << NP_GRANULE_SHIFT,
                         atomic_load(&arena->system_bytes));
    assert_int_equal(np_arena_retained_bytes(), 0);
}

/* What fits in is parked open, the small slabs first, and is what the next thread gets, though a
 * heap without slabs was parked after it. */
static void the_next_thread_gets_what_is_open(void **state)
{
    struct np_heap *with_slabs = NULL;
    struct np_heap *next;
    unsigned open_count = 0;
    pthread_t threads[2];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(threads); i++)
        pthread_create(&threads[i], NULL, hold_much, kept[i]);
    while (atomic_load(&threads_ready) < COUNT_OF(threads))
        sched_yield();
    atomic_store(&may_end, true);
    for (unsigned i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    for (struct np_heap *heap = np_thread_heaps(); heap != NULL; heap = heap->next) {
        if (heap->open_bytes > 128 * KIB)
            with_slabs = heap;
        open_count += heap->open_count;
        for (unsigned i = 0; i < heap->open_count; i++)
            assert_true(np_slab_resident_bytes(heap->open[i]) <= 64 * KIB);
    }
    assert_int_equal(heap_count(), 2);
    assert_non_null(with_slabs);
    assert_true(open_count >= 8);
    for (unsigned i = 0; i < 3; i++) {
        run_thread(own_heap, &next);
        assert_ptr_equal(next, with_slabs);
    }
}

/* ---- what an exited thread leaves ---- */

enum { LEFT = 20000, LEFT_BYTES = 500 };

static void *left[LEFT];

static void *allocate_and_end(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < LEFT; i++)
        memset(left[i] = np_core_take(LEFT_BYTES), 1, LEFT_BYTES);
    return NULL;
}

static void what_an_exited_thread_left_goes_back_when_freed(void **state)
{
    uintptr_t start = (os_fake_break() + 4095) & ~(uintptr_t)4095;

    (void)state;
    run_thread(allocate_and_end, NULL);
    for (size_t i = 0; i < LEFT; i++)
        np_core_give(left[i]);
    assert_sound(np_core_audit());
    /* The threshold, parked heaps, and what this thread opened. */
    assert_true(os_fake_resident_bytes((void *)start, os_fake_break() - start) <=
                MIB + 512 * KIB + MIB);
}

enum { WORKERS = 24, WORKER_BLOCKS = 700, WORKER_BLOCK_BYTES = 1024 };

static unsigned char *worker_blocks[WORKERS][WORKER_BLOCKS];
static _Atomic unsigned workers_ready;
static _Atomic bool workers_may_end;

static void *allocate_and_wait(void *argument)
{
    unsigned char **mine = argument;

    for (size_t i = 0; i < WORKER_BLOCKS; i++) {
        mine[i] = np_core_take(WORKER_BLOCK_BYTES);
        memset(mine[i], 1, WORKER_BLOCK_BYTES);
    }
    atomic_fetch_add(&workers_ready, 1);
    while (!atomic_load(&workers_may_end))
        sched_yield();
    return NULL;
}

/* Others have freed all that threads hold open; it is the threads' end that makes it free, and that
 * must look whether it is too much. Nobody frees anything afterwards. */
static void what_ending_threads_give_up_goes_back(void **state)
{
    pthread_t workers[WORKERS];

    (void)state;
    for (size_t i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, allocate_and_wait, worker_blocks[i]);
    while (atomic_load(&workers_ready) < WORKERS)
        sched_yield();
    for (size_t i = 0; i < WORKERS; i++)
        for (size_t k = 0; k < WORKER_BLOCKS; k++)
            np_core_give(worker_blocks[i][k]);
    atomic_store(&workers_may_end, true);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    assert_sound(np_core_audit());
    assert_true(np_return_retained_bytes() <= np_return_threshold_bytes());
}

/* ---- after the end ---- */

static pthread_key_t key;
static _Atomic unsigned works_after_end;

/* Runs after the thread's own end was noticed, as libc's last frees do. */
static void use_after_end(void *memory)
{
    void *more[20];

    if (np_thread_heap() != NULL)
        return; /* not over yet: the count shows it */
    np_core_give(memory);
    for (unsigned i = 0; i < 20; i++) {
        more[i] = np_core_take(i * 1000);
        assert_non_null(more[i]);
        memset(more[i], 1, i * 1000);
    }
    for (unsigned i = 0; i < 20; i++)
        np_core_give(more[i]);
    assert_null(np_thread_heap_if_any());
    assert_ptr_equal(np_heap_fast, &np_empty_heap);
    atomic_fetch_add(&works_after_end, 1);
}

static void *set_key(void *unused)
{
    (void)unused;
    pthread_setspecific(key, np_core_take(1234));
    return NULL;
}

static void a_thread_that_is_over_allocates_and_frees(void **state)
{
    (void)state;
    assert_int_equal(pthread_key_create(&key, use_after_end), 0);
    for (unsigned i = 0; i < 5; i++)
        run_thread(set_key, NULL);
    assert_int_equal(atomic_load(&works_after_end), 5);
    assert_int_equal(heap_count(), 1);
    assert_sound(np_core_audit());
}

static void *homeless_blocks[900];

/* Blocks of all sizes, that are kept. */
static void allocate_much_after_end(void *memory)
{
    if (np_thread_heap() != NULL)
        return;
    np_core_give(memory);
    for (size_t i = 0; i < COUNT_OF(homeless_blocks); i++) {
        homeless_blocks[i] = np_core_take(i * 18);
        assert_non_null(homeless_blocks[i]);
        memset(homeless_blocks[i], 1, i * 18);
    }
    atomic_fetch_add(&works_after_end, 1);
}

/* P1's constant for what no living thread answers for: half of it is the heap's for threads that
 * are over. */
static void the_heap_of_ended_threads_holds_little_open(void **state)
{
    const struct np_heap *heap;

    (void)state;
    assert_int_equal(pthread_key_create(&key, allocate_much_after_end), 0);
    run_thread(set_key, NULL);
    assert_int_equal(atomic_load(&works_after_end), 1);
    heap = np_thread_homeless_acquire();
    assert_non_null(heap);
    assert_sound(np_heap_audit(heap));
    assert_true(heap->open_count > 0);
    assert_true(heap->open_bytes <= 256 * KIB);
    np_thread_homeless_release();
    for (size_t i = 0; i < COUNT_OF(homeless_blocks); i++)
        np_core_give(homeless_blocks[i]);
    (void)np_core_trim(0);
    assert_sound(np_core_audit());
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        assert_int_equal(atomic_load(&arena->free_granules) << NP_GRANULE_SHIFT,
                         atomic_load(&arena->system_bytes));
}

/* ---- no memory ---- */

static void *work_without_memory(void *unused)
{
    (void)unused;
    os_fake_fail_from(1);
    assert_null(np_core_take(100));
    assert_null(np_core_take_zeroed(100000));
    os_fake_reset();
    assert_non_null(np_core_take(100));
    return NULL;
}

static void a_thread_that_gets_no_heap_is_served_later(void **state)
{
    (void)state;
    run_thread(work_without_memory, NULL);
    assert_sound(np_core_audit());
}

/* ---- trim ---- */

static void *leave_a_block(void *block)
{
    *(void **)block = np_core_take(300);
    return NULL;
}

static void trimming_reaches_parked_heaps(void **state)
{
    struct np_heap *heap;
    void *block;

    (void)state;
    run_thread(leave_a_block, &block);
    heap = np_thread_heaps();
    assert_true(heap->open_bytes > 0);
    np_thread_trim_parked(); /* what it kept for the next thread */
    assert_true(heap->open_bytes > 0);
    np_thread_trim_parked(); /* in use */
    assert_true(heap->open_bytes > 0);
    np_core_give(block); /* into the parked heap's open slab */
    np_thread_trim_parked();
    assert_int_equal(heap->open_bytes, 0);
    assert_int_equal(atomic_load(&heap->is_parked), 1);
    assert_sound(np_core_audit());
    run_thread(own_heap, &heap); /* and it is there to be reused */
    assert_int_equal(heap_count(), 1);
}

/* ---- the environment ---- */

static void the_environment_is_read_once_it_is_there(void **state)
{
    char setting[] = "NEAP_TRIM_THRESHOLD=12345";
    char *environment[] = {setting, NULL};

    (void)state;
    os_fake_set_environment(environment);
    np_core_give(np_core_take(10));
    assert_int_equal(np_tune_get(NP_KNOB_TRIM_THRESHOLD), 12345);
    setting[sizeof setting - 2] = '6';
    np_thread_read_environment();
    assert_int_equal(np_tune_get(NP_KNOB_TRIM_THRESHOLD), 12345);
}

static void a_secure_process_does_not_read_it(void **state)
{
    char setting[] = "NEAP_TRIM_THRESHOLD=12345";
    char *environment[] = {setting, NULL};

    (void)state;
    os_fake_set_environment(environment);
    os_fake_set_secure(true);
    np_core_give(np_core_take(10));
    assert_false(np_tune_is_set(NP_KNOB_TRIM_THRESHOLD));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_has_a_heap_of_its_own),
        cmocka_unit_test(parked_heaps_are_reused),
        cmocka_unit_test(a_new_thread_goes_on_where_the_last_one_stopped),
        cmocka_unit_test(parked_heaps_hold_512_kib_together),
        cmocka_unit_test(the_next_thread_gets_what_is_open),
        cmocka_unit_test(what_an_exited_thread_left_goes_back_when_freed),
        cmocka_unit_test(what_ending_threads_give_up_goes_back),
        cmocka_unit_test(a_thread_that_is_over_allocates_and_frees),
        cmocka_unit_test(the_heap_of_ended_threads_holds_little_open),
        cmocka_unit_test(a_thread_that_gets_no_heap_is_served_later),
        cmocka_unit_test(trimming_reaches_parked_heaps),
        cmocka_unit_test(the_environment_is_read_once_it_is_there),
        cmocka_unit_test(a_secure_process_does_not_read_it),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

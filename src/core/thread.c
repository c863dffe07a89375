/* Heaps and threads; see thread.h. */
#include "thread.h"

#include "bits.h"
#include "check.h"
#include "meta.h"
#include "os.h"
#include "return.h"
#include "strict.h"
#include "thread_end.h"
#include "tune.h"

/* What parked heaps, which reserve it, and the homeless one may hold open. */
#define PARKED_MAX_BYTES ((size_t)256 << 10)
#define HOMELESS_MAX_BYTES (((size_t)512 << 10) - NP_RETURN_SPARE_BYTES)

enum thread_state { THREAD_NEW, THREAD_ATTACHED, THREAD_OVER };

static _Atomic bool has_first_thread_heap; /* which it keeps: no other thread is the first one */
static NP_THREAD_LOCAL struct np_heap *own_heap;
static NP_THREAD_LOCAL enum thread_state thread_state;

static struct np_lock threads_lock = NP_LOCK_INIT(NP_RANK_THREADS);
/* Those with open slabs, most first, since the next thread had better have those: as each has a page at least, they
 * are few. And those without. */
static struct np_heap *parked_heaps;
static struct np_heap *empty_heaps;
static size_t parked_bytes; /* open in all of them */
/* Those that were to be parked while a fork held the lock. Pushed to, and taken whole. */
static _Atomic(struct np_heap *) heaps_aside;
static NP_SPARSE_ZERO struct np_heap homeless_heap;
static bool is_homeless_ready;

static struct np_pool heap_pool = NP_POOL_INIT(struct np_heap);

struct np_heap *np_thread_heaps(void)
{
    return atomic_load_explicit(&np_heaps, memory_order_acquire);
}

void np_thread_read_environment(void)
{
    static _Atomic bool is_read;
    char **environment;

    if (NP_LIKELY(atomic_load_explicit(&is_read, memory_order_relaxed)))
        return;
    environment = np_os_environment();
    if (environment == NULL)
        return; /* so early that libc has not set it up: the knobs have their defaults until then */
    if (!atomic_exchange(&is_read, true) && !np_os_is_secure())
        np_tune_read_environment(environment);
    np_strict_decide();
}

static struct np_heap *make_heap(void)
{
    struct np_heap *heap = np_pool_take(&heap_pool);
    struct np_heap *newest = np_thread_heaps();

    if (heap == NULL)
        return NULL;
    np_heap_init(heap);
    do
        heap->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&np_heaps, &newest, heap,
                                                  memory_order_release, memory_order_acquire));
    return heap;
}

static void park(struct np_heap *heap)
{
    struct np_heap **place = heap->open_count > 0 ? &parked_heaps : &empty_heaps;

    while (*place != NULL && (*place)->open_bytes > heap->open_bytes)
        place = &(*place)->next_parked;
    heap->next_parked = *place;
    *place = heap;
    parked_bytes += heap->open_bytes;
}

static void put_aside(struct np_heap *heap)
{
    struct np_heap *next = atomic_load_explicit(&heaps_aside, memory_order_relaxed);

    atomic_store_explicit(&heap->is_parked, 1, memory_order_relaxed);
    do
        heap->next_parked = next;
    while (!atomic_compare_exchange_weak_explicit(&heaps_aside, &next, heap, memory_order_release,
                                                  memory_order_relaxed));
}

static void park_those_aside(void)
{
    struct np_heap *heap;
    struct np_heap *next;

    if (NP_LIKELY(atomic_load_explicit(&heaps_aside, memory_order_relaxed) == NULL))
        return;
    heap = atomic_exchange_explicit(&heaps_aside, NULL, memory_order_acquire);
    for (; heap != NULL; heap = next) {
        next = heap->next_parked;
        park(heap);
    }
}

/* *heap: a parked heap, or NULL if there is none. False: a fork has the lock, and nobody knows. */
static bool take_parked(struct np_heap **heap)
{
    struct np_heap **list;

    if (!np_lock_acquire(&threads_lock))
        return false;
    park_those_aside();
    list = parked_heaps != NULL ? &parked_heaps : &empty_heaps;
    *heap = *list;
    if (*heap != NULL) {
        *list = (*heap)->next_parked;
        parked_bytes -= (*heap)->open_bytes;
        np_return_give_reserve_back((*heap)->open_bytes);
        atomic_store_explicit(&(*heap)->is_parked, 0, memory_order_relaxed);
    }
    np_lock_release(&threads_lock);
    return true;
}

/* Parks the heap if what it holds open fits in with what others do; if not, says how much would. */
static bool try_park(struct np_heap *heap, size_t *room_bytes)
{
    bool is_parked = false;

    *room_bytes = 0;
    if (!np_lock_acquire(&threads_lock)) {
        /* A fork: an empty heap can wait for its end without us. */
        if (heap->open_count > 0)
            return false;
        put_aside(heap);
        return true;
    }
    *room_bytes = PARKED_MAX_BYTES - parked_bytes;
    if (heap->open_bytes <= *room_bytes && np_return_reserve_to_park(heap->open_bytes, room_bytes)) {
        atomic_store_explicit(&heap->is_parked, 1, memory_order_relaxed);
        park(heap);
        is_parked = true;
    }
    np_lock_release(&threads_lock);
    return is_parked;
}

static void park_what_fits(struct np_heap *heap)
{
    size_t room_bytes;

    while (!try_park(heap, &room_bytes))
        np_heap_close_down_to(heap, room_bytes);
}

static void detach(struct np_heap *heap)
{
    np_heap_fast = &np_empty_heap;
    own_heap = NULL;
    thread_state = THREAD_NEW;
    np_return_note_threads(-1);
    np_heap_prepare_to_park(heap);
    park_what_fits(heap);
    np_return_excess(); /* what this thread has withheld until now */
}

/* Runs at the thread's end, before or after its other destructors. */
static void end_thread(void)
{
    struct np_heap *heap = own_heap;

    if (heap == NULL)
        return;
    detach(heap);
    thread_state = THREAD_OVER;
}

static void attach(struct np_heap *heap)
{
    own_heap = heap;
    thread_state = THREAD_ATTACHED;
    np_return_note_threads(1);
    np_heap_apply_knobs(heap);
    np_thread_apply_knobs();
}

/* Takes a slot of the size and gives it back: the next request of it is served without new
 * memory. */
static bool has_slot_for_registration(struct np_heap *heap)
{
    void *slot = np_heap_take(heap, NP_THREAD_END_BYTES, NP_MAY_GROW);
    struct np_slab *slab;

    if (slot == NULL)
        return false;
    slab = np_slab_find((uintptr_t)slot);
    if (atomic_load_explicit(&slab->owner, memory_order_relaxed) != heap)
        (void)np_heap_push(heap, slab, slot); /* it was lent */
    else if (np_slab_give(slab, slot))
        np_heap_notice(heap, slab);
    return true;
}

/* Asks the system, until the first thread has its heap. */
static bool is_first_thread(void)
{
    if (NP_LIKELY(atomic_load_explicit(&has_first_thread_heap, memory_order_relaxed)) ||
        !np_os_is_main_thread())
        return false;
    atomic_store_explicit(&has_first_thread_heap, true, memory_order_relaxed);
    return true;
}

struct np_heap *np_thread_heap(void)
{
    struct np_heap *heap;

    if (NP_LIKELY(own_heap != NULL))
        return own_heap;
    if (thread_state == THREAD_OVER)
        return NULL;
    np_thread_read_environment();
    /* During a fork no heap is made: it could get no slab, and parked ones may be waiting. */
    if (!take_parked(&heap))
        return NULL;
    if (heap == NULL)
        heap = make_heap();
    if (heap == NULL)
        return NULL;
    attach(heap);
    /* The first thread's heap lives as long as the process. */
    if (is_first_thread()) {
        np_heap_be_first(heap);
        return heap;
    }
    /* Registering allocates, which finds the heap attached; libc ends the process if that fails,
     * so first it is made sure that it will not. */
    if (!has_slot_for_registration(heap)) {
        detach(heap);
        return NULL;
    }
    /* A thread whose end would go unnoticed is served as one that has ended. */
    if (!np_thread_at_end(end_thread)) {
        detach(heap);
        thread_state = THREAD_OVER;
        return NULL;
    }
    return heap;
}

struct np_heap *np_thread_heap_if_any(void)
{
    return own_heap;
}

struct np_heap *np_thread_homeless_acquire(void)
{
    if (!np_lock_acquire(&threads_lock))
        return NULL;
    if (!is_homeless_ready) {
        np_heap_init(&homeless_heap);
        homeless_heap.open_max_bytes = HOMELESS_MAX_BYTES;
        is_homeless_ready = true;
    }
    return &homeless_heap;
}

void np_thread_homeless_release(void)
{
    np_lock_release(&threads_lock);
    np_return_excess(); /* not while others wait for the lock */
}

void np_thread_apply_knobs(void)
{
    if (own_heap != NULL)
        np_heap_fast = np_tune_get(NP_KNOB_PERTURB) == 0 && !np_strict_is_on() ? own_heap
                                                                               : &np_empty_heap;
}

/* A parked heap is nobody's, so whoever took it off the list may act as its thread, and so may
 * the holder of the lock for the homeless one. */
void np_thread_trim_parked(void)
{
    struct np_heap *taken = NULL;
    struct np_heap *heap;

    while (take_parked(&heap) && heap != NULL) {
        heap->next_parked = taken;
        taken = heap;
    }
    while ((heap = taken) != NULL) {
        taken = heap->next_parked;
        np_heap_close_free(heap, NP_CLOSE_SPARSE);
        park_what_fits(heap);
    }
    heap = np_thread_homeless_acquire();
    if (heap != NULL) {
        np_heap_close_free(heap, NP_CLOSE_SPARSE);
        np_lock_release(&threads_lock); /* who trims returns as much as it may */
    }
}

void np_thread_fork(enum np_fork_phase phase)
{
    /* The child's first thread is the one that forked. */
    if (phase == NP_FORK_CHILD)
        atomic_store_explicit(&has_first_thread_heap, own_heap != NULL, memory_order_relaxed);
    np_lock_fork(&threads_lock, phase);
}

void np_thread_fork_pool(enum np_fork_phase phase)
{
    np_pool_fork(&heap_pool, phase);
}

/* The rest of the malloc family: argument rules of POSIX, C23 and the glibc manual, and errno. */
#include "serve.h"

#include <errno.h>

#include "bits.h"
#include "check.h"
#include "helper.h"
#include "limits.h"
#include "meta.h"
#include "strict.h"
#include "thread.h"
#include "tune.h"

/* Debug builds look at everything every so often. */
static void audit_at_times(void)
{
    static _Atomic unsigned calls;

    if (atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) % 64 == 0)
        NP_ASSERT_SOUND(np_core_audit());
}

/* Here all slow paths come by. Inline, so that the return address is that of who called them; they are tail calls, so
 * that is who called malloc. */
NP_INLINE void *or_enomem(void *memory)
{
    if (NP_UNLIKELY(memory == NULL))
        errno = ENOMEM;
    if (NP_DEBUG_LEVEL >= 1)
        audit_at_times();
    np_helper_look(__builtin_return_address(0));
    return memory;
}

static void *try_take_small(size_t size_bytes)
{
    struct np_heap *heap = np_heap_fast;

    return NP_LIKELY(heap != &np_empty_heap) ? np_core_try_take_small(heap, size_bytes) : NULL;
}

void *np_serve_malloc_slow(size_t size_bytes)
{
    void *memory = try_take_small(size_bytes);

    return or_enomem(NP_LIKELY(memory != NULL) ? memory : np_core_take(size_bytes));
}

void *np_serve_calloc_slow(size_t size_bytes)
{
    void *memory = try_take_small(size_bytes);

    return or_enomem(NP_LIKELY(memory != NULL) ? memset(memory, 0, size_bytes)
                                               : np_core_take_zeroed(size_bytes));
}

/* POSIX.1-2024: free preserves errno. */
void np_serve_free_slow(void *memory)
{
    int saved_errno;

    if (memory == NULL) /* programs do so often */
        return;
    saved_errno = errno;

    np_core_give(memory);
    errno = saved_errno;
}

/* The record of the address is known, and not of a slab that is open here. Mostly it is of another slab; the record of a
 * second unit, or of none, or a thread that the fast path does not serve, are left to the slow path. What a push calls
 * leaves errno as it is (os/). */
void np_serve_free_elsewhere(struct np_slab *record, void *memory)
{
    struct np_heap *heap = np_heap_fast;

    /* A live block's slab was made before the block was handed out: relaxed is enough. */
    if (NP_UNLIKELY(atomic_load_explicit(&record->kind, memory_order_relaxed) != NP_SLAB_FIRST)) {
        np_serve_free_slow(memory);
        return;
    }
    /* A thread that only frees has no heap. */
    if (heap == &np_empty_heap) {
        heap = NULL;
        if (np_thread_heap_if_any() != NULL || np_strict_is_on() || np_tune_get(NP_KNOB_PERTURB) != 0) {
            np_serve_free_slow(memory);
            return;
        }
    }
    if (NP_UNLIKELY(!np_heap_push_fast(heap, record, memory)))
        np_serve_free_slow(memory); /* which says what is wrong */
}

/* Relaxed, as where a block is freed. */
NP_INLINE bool is_first_unit(const struct np_slab *record)
{
    return atomic_load_explicit(&record->kind, memory_order_relaxed) == NP_SLAB_FIRST;
}

/* Blocks that grow by little mostly stay in their slots. Whatever is not plain is left to the slow path. */
NP_INLINE bool stays_in_slot(const void *memory, size_t size_bytes)
{
    const struct np_slab *record = np_window_record_fast((uintptr_t)memory);

    return record != NULL && np_slab_keeps(record, size_bytes) && is_first_unit(record) &&
           !np_strict_is_on() && np_slab_is_live(record, memory);
}

static NP_NOINLINE void *reallocate(void *memory, size_t size_bytes)
{
    if (memory == NULL)
        return np_serve_malloc(size_bytes);
    if (size_bytes == 0) { /* glibc frees and returns NULL */
        np_serve_free(memory);
        return NULL;
    }
    return or_enomem(np_core_resize(memory, size_bytes));
}

void *np_serve_realloc(void *memory, size_t size_bytes)
{
    return NP_LIKELY(stays_in_slot(memory, size_bytes)) ? memory : reallocate(memory, size_bytes);
}

void np_serve_free_sized(void *memory, size_t size_bytes)
{
    np_core_check_sized(memory, size_bytes, NP_ALIGNMENT, NP_SIZED_FREE);
    np_serve_free(memory);
}

void np_serve_free_aligned_sized(void *memory, size_t alignment_bytes, size_t size_bytes)
{
    np_core_check_sized(memory, size_bytes, alignment_bytes, NP_SIZED_FREE);
    np_serve_free(memory);
}

/* The library goes last: libraries and the program that need it have been told to end before. Nothing is torn down. */
__attribute__((destructor)) static void check_at_exit(void)
{
    np_core_check_at_exit();
}

static void *take_aligned(size_t alignment_bytes, size_t size_bytes)
{
    void *memory;

    if (alignment_bytes <= NP_ALIGNMENT)
        return np_serve_malloc(size_bytes);
    memory = np_heap_try_take_aligned(np_heap_fast, size_bytes, alignment_bytes);
    if (NP_LIKELY(memory != NULL))
        return memory;
    return or_enomem(np_core_take_aligned(size_bytes, alignment_bytes));
}

/* glibc's memalign takes any alignment and rounds it up to a power of two. */
void *np_serve_memalign(size_t alignment_bytes, size_t size_bytes)
{
    size_t rounded = NP_ALIGNMENT;

    if (alignment_bytes > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    while (rounded < alignment_bytes)
        rounded *= 2;
    return take_aligned(rounded, size_bytes);
}

void *np_serve_aligned_alloc(size_t alignment_bytes, size_t size_bytes)
{
    if (!np_is_power_of_two(alignment_bytes)) {
        errno = EINVAL;
        return NULL;
    }
    return take_aligned(alignment_bytes, size_bytes);
}

int np_serve_posix_memalign(void **memory, size_t alignment_bytes, size_t size_bytes)
{
    int saved_errno = errno;
    void *taken;

    if (!np_is_power_of_two(alignment_bytes) || alignment_bytes % sizeof(void *) != 0)
        return EINVAL;
    taken = take_aligned(alignment_bytes, size_bytes);
    errno = saved_errno;
    if (taken == NULL)
        return ENOMEM;
    *memory = taken;
    return 0;
}

void *np_serve_valloc(size_t size_bytes)
{
    return take_aligned(np_page_bytes(), size_bytes);
}

void *np_serve_pvalloc(size_t size_bytes)
{
    size_t page_bytes = np_page_bytes();

    if (size_bytes > SIZE_MAX - page_bytes) {
        errno = ENOMEM;
        return NULL;
    }
    return take_aligned(page_bytes, np_align_up(size_bytes, page_bytes));
}

/* Some programs ask at each block, as redis does. */
size_t np_serve_usable_size(const void *memory)
{
    const struct np_slab *record = np_window_record_fast((uintptr_t)memory);

    if (record != NULL && is_first_unit(record) && !np_strict_is_on() &&
        np_heap_sees_live(np_heap_fast, record, memory))
        return record->slot_bytes;
    return memory == NULL ? 0 : np_core_usable_bytes(memory);
}

int np_serve_mallopt(int parameter, int value)
{
    np_thread_read_environment(); /* so that it cannot undo this later */
    if (!np_tune_mallopt(parameter, value))
        return 0;
    np_core_knobs_changed();
    return 1;
}

int np_serve_trim(size_t pad_bytes)
{
    return np_core_trim(pad_bytes) ? 1 : 0;
}

/* At the latest here libc has set up the environment; most processes have allocated, and read it, before. */
__attribute__((constructor)) static void read_environment(void)
{
    np_thread_read_environment();
    np_strict_decide();
    np_core_knobs_changed();
}

/* What operators.cc needs, as functions that C++ can call: serve.h is C's. */
#include "serve_new.h"

#include "serve.h"

/* At the strictest level each block is marked with its form; nothing is served by the fast path then, so that it need not
 * ask. */
static NP_NOINLINE void *take_slowly(size_t size_bytes, size_t alignment_bytes, unsigned form)
{
    void *memory = alignment_bytes <= NP_ALIGNMENT
                       ? np_serve_malloc_slow(size_bytes)
                       : np_serve_memalign(alignment_bytes, size_bytes);

    if (np_strict_is_on() && memory != NULL)
        np_strict_set_form(memory, (enum np_form)form);
    return memory;
}

void *np_serve_new_take(size_t size_bytes, size_t alignment_bytes, unsigned form)
{
    void *memory = NULL;

    if (NP_LIKELY(size_bytes <= NP_DIRECT_MAX_BYTES && alignment_bytes <= NP_ALIGNMENT))
        memory = np_heap_try_take(np_heap_fast, size_bytes);
    return NP_LIKELY(memory != NULL) ? memory : take_slowly(size_bytes, alignment_bytes, form);
}

/* Frees what is not of a slab that is open here. */
static NP_NOINLINE void give_slowly(void *memory, unsigned form)
{
    int saved_errno;

    if (NP_LIKELY(!np_strict_is_on())) {
        np_serve_free(memory);
        return;
    }
    saved_errno = errno;
    np_core_give_as(memory, (enum np_form)form);
    errno = saved_errno;
}

void np_serve_new_give(void *memory, unsigned form)
{
    struct np_heap *heap = np_heap_fast;
    struct np_slab *slab = np_window_record_fast((uintptr_t)memory);

    if (NP_LIKELY(slab != NULL && NP_FAST_GET(struct np_heap *, slab->owner) == heap))
        np_serve_free_here(heap, slab, memory);
    else
        give_slowly(memory, form);
}

/* Compilers name the size with nearly every delete: what is mostly so is found out here. */
NP_INLINE bool is_plainly_right(const struct np_slab *slab, size_t size_bytes, size_t alignment_bytes)
{
    unsigned class_index;

    if (size_bytes > NP_DIRECT_MAX_BYTES || alignment_bytes > NP_ALIGNMENT)
        return false;
    class_index = np_class_by_granule[(size_bytes + NP_ALIGNMENT - 1) / NP_ALIGNMENT];
    return slab->class_index == class_index || slab->class_index == (class_index | 1);
}

static NP_NOINLINE void give_sized_slowly(void *memory, size_t size_bytes, size_t alignment_bytes,
                                          unsigned form)
{
    const struct np_slab *slab = np_window_record_fast((uintptr_t)memory);

    if (slab == NULL || np_strict_is_on() ||
        atomic_load_explicit(&slab->kind, memory_order_relaxed) != NP_SLAB_FIRST ||
        !is_plainly_right(slab, size_bytes, alignment_bytes))
        np_core_check_sized(memory, size_bytes, np_max(alignment_bytes, NP_ALIGNMENT),
                            NP_SIZED_DELETE);
    give_slowly(memory, form);
}

void np_serve_new_give_sized(void *memory, size_t size_bytes, size_t alignment_bytes, unsigned form)
{
    struct np_heap *heap = np_heap_fast;
    struct np_slab *slab = np_window_record_fast((uintptr_t)memory);

    if (NP_LIKELY(slab != NULL && NP_FAST_GET(struct np_heap *, slab->owner) == heap &&
                  is_plainly_right(slab, size_bytes, alignment_bytes)))
        np_serve_free_here(heap, slab, memory);
    else
        give_sized_slowly(memory, size_bytes, alignment_bytes, form);
}

void np_serve_new_give_aligned(void *memory, size_t alignment_bytes, unsigned form)
{
    np_core_check_aligned(memory, alignment_bytes);
    np_serve_new_give(memory, form);
}

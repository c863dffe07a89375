/* What operators.cc needs, as functions that C++ can call: serve.h is C's. */
#include "serve_new.h"

#include "serve.h"

void np_serve_new_match_forms(void)
{
    np_core_are_forms_matched = true;
}

/* Whether the record is of a slab, so that there is a slot at the address; where the table of windows has no place, not. */
static bool is_of_slab(const struct np_slab *record)
{
    return record != NULL && atomic_load_explicit(&record->kind, memory_order_relaxed) != NP_SLAB_NONE;
}

/* Blocks that are no slots are marked with their form, at the strictest level all: nothing is served by the fast path then, so
 * that it need not ask. */
void *np_serve_new_take(size_t size_bytes, size_t alignment_bytes, unsigned form)
{
    void *memory = alignment_bytes <= NP_ALIGNMENT
                       ? np_serve_malloc_slow(size_bytes)
                       : np_serve_memalign(alignment_bytes, size_bytes);

    if (NP_UNLIKELY(np_strict_is_on() || !is_of_slab(np_window_record_fast((uintptr_t)memory))) && memory != NULL)
        np_core_set_form(memory, (enum np_form)form);
    return memory;
}

void *np_serve_new(size_t size_bytes, unsigned form, np_new_slowly *slowly)
{
    void *memory;

    if (NP_UNLIKELY(size_bytes > NP_DIRECT_MAX_BYTES))
        return slowly(size_bytes, form);
    memory = np_heap_try_take(np_heap_fast, size_bytes);
    if (NP_UNLIKELY(memory == NULL))
        return slowly(size_bytes, form);
    return memory;
}

static NP_COLD void give_as(void *memory, unsigned form)
{
    int saved_errno = errno;

    np_core_give_as(memory, (enum np_form)form);
    errno = saved_errno;
}

/* Frees what is not of a slab that is open here. */
static NP_NOINLINE void give_slowly(void *memory, unsigned form)
{
    struct np_slab *record = np_window_record_fast((uintptr_t)memory);

    if (NP_LIKELY(!np_strict_is_on() && is_of_slab(record)))
        np_serve_free_elsewhere(record, memory);
    else
        give_as(memory, form);
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

static NP_NOINLINE void give_sized_slowly(void *memory, size_t size_bytes, unsigned form)
{
    struct np_slab *slab = np_window_record_fast((uintptr_t)memory);

    if (slab == NULL || np_strict_is_on() ||
        atomic_load_explicit(&slab->kind, memory_order_relaxed) != NP_SLAB_FIRST ||
        !np_slab_serves(slab, size_bytes)) {
        np_core_check_sized(memory, size_bytes, NP_ALIGNMENT, NP_SIZED_DELETE);
        give_as(memory, form);
    } else {
        np_serve_free_elsewhere(slab, memory); /* it would have been freed already if it were open here */
    }
}

/* Compilers name the size with nearly every delete: what is mostly so is found out here. */
void np_serve_new_give_sized(void *memory, size_t size_bytes, unsigned form)
{
    struct np_heap *heap = np_heap_fast;
    struct np_slab *slab = np_window_record_fast((uintptr_t)memory);

    if (NP_LIKELY(slab != NULL && NP_FAST_GET(struct np_heap *, slab->owner) == heap &&
                  np_slab_serves(slab, size_bytes)))
        np_serve_free_here(heap, slab, memory);
    else
        give_sized_slowly(memory, size_bytes, form);
}

NP_COLD void np_serve_new_give_aligned_sized(void *memory, size_t size_bytes, size_t alignment_bytes,
                                     unsigned form)
{
    np_core_check_sized(memory, size_bytes, np_max(alignment_bytes, NP_ALIGNMENT), NP_SIZED_DELETE);
    np_serve_new_give(memory, form);
}

NP_COLD void np_serve_new_give_aligned(void *memory, size_t alignment_bytes, unsigned form)
{
    np_core_check_aligned(memory, alignment_bytes);
    np_serve_new_give(memory, form);
}

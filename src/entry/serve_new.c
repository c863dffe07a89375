/* What operators.cc needs, as functions that C++ can call: serve.h is C's. */
#include "serve_new.h"

#include "serve.h"

void *np_serve_new_take(size_t size_bytes, size_t alignment_bytes, unsigned form)
{
    void *memory = alignment_bytes <= NP_ALIGNMENT
                       ? np_serve_malloc(size_bytes)
                       : np_serve_memalign(alignment_bytes, size_bytes);

    if (np_strict_is_on() && memory != NULL)
        np_strict_set_form(memory, (enum np_form)form);
    return memory;
}

void np_serve_new_give(void *memory, unsigned form)
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

/* Compilers name the size with nearly every delete: what is mostly so is found out here. */
static bool is_plainly_right(const void *memory, size_t size_bytes, size_t alignment_bytes)
{
    const struct np_slab *slab = np_window_record_fast((uintptr_t)memory);
    unsigned class_index;

    if (slab == NULL || np_strict_is_on() || size_bytes > NP_DIRECT_MAX_BYTES || alignment_bytes > NP_ALIGNMENT ||
        atomic_load_explicit(&slab->kind, memory_order_relaxed) != NP_SLAB_FIRST)
        return false;
    class_index = np_class_by_granule[(size_bytes + NP_ALIGNMENT - 1) / NP_ALIGNMENT];
    return slab->class_index == class_index || slab->class_index == (class_index | 1);
}

void np_serve_new_give_sized(void *memory, size_t size_bytes, size_t alignment_bytes, unsigned form)
{
    if (NP_UNLIKELY(!is_plainly_right(memory, size_bytes, alignment_bytes)))
        np_core_check_sized(memory, size_bytes, np_max(alignment_bytes, NP_ALIGNMENT),
                            NP_SIZED_DELETE);
    np_serve_new_give(memory, form);
}

void np_serve_new_give_aligned(void *memory, size_t alignment_bytes, unsigned form)
{
    np_core_check_aligned(memory, alignment_bytes);
    np_serve_new_give(memory, form);
}

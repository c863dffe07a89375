/* What operators.cc needs, as functions that C++ can call: serve.h is C's. */
#include "serve_new.h"

#include "serve.h"

void *np_serve_new_take(size_t size_bytes, size_t alignment_bytes)
{
    if (alignment_bytes <= NP_ALIGNMENT)
        return np_serve_malloc(size_bytes);
    return np_serve_memalign(alignment_bytes, size_bytes);
}

void np_serve_new_give(void *memory)
{
    np_serve_free(memory);
}

/* Compilers name the size with nearly every delete: what is mostly so is found out here. */
static bool is_plainly_right(const void *memory, size_t size_bytes, size_t alignment_bytes)
{
    const struct np_slab *slab = np_window_record_fast((uintptr_t)memory);
    unsigned class_index;

    if (slab == NULL || size_bytes > NP_DIRECT_MAX_BYTES || alignment_bytes > NP_ALIGNMENT ||
        atomic_load_explicit(&slab->kind, memory_order_relaxed) != NP_SLAB_FIRST)
        return false;
    class_index = np_class_by_granule[(size_bytes + NP_ALIGNMENT - 1) / NP_ALIGNMENT];
    return slab->class_index == class_index || slab->class_index == (class_index | 1);
}

void np_serve_new_give_sized(void *memory, size_t size_bytes, size_t alignment_bytes)
{
    if (NP_UNLIKELY(!is_plainly_right(memory, size_bytes, alignment_bytes)))
        np_core_check_sized(memory, size_bytes, np_max(alignment_bytes, NP_ALIGNMENT),
                            NP_SIZED_DELETE);
    np_serve_free(memory);
}

void np_serve_new_give_aligned(void *memory, size_t alignment_bytes)
{
    np_core_check_aligned(memory, alignment_bytes);
    np_serve_free(memory);
}

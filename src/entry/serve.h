/* The bodies of malloc and free, for the two files that give them names: neap.c (neap_malloc) and interpose.c
 * (malloc). Inline in both, so that neither name costs a jump.
 *
 * The fast path is all here and in heap/heap.h: no lock, no atomic read-modify-write, no system call. The slow half
 * is a tail call, so that no stack frame is needed. */
#ifndef NP_ENTRY_SERVE_H
#define NP_ENTRY_SERVE_H

#include <errno.h>
#include <string.h>

#include "alone.h"
#include "core.h"
#include "heap.h"

/* The cold ends of the functions below, out of line; they set errno. */
void *np_serve_malloc_slow(size_t size_bytes);
void *np_serve_calloc_slow(size_t size_bytes);
void np_serve_free_slow(void *memory);
void np_serve_free_elsewhere(struct np_slab *record, void *memory);
void np_serve_free_sized(void *memory, size_t size_bytes);
void np_serve_free_aligned_sized(void *memory, size_t alignment_bytes, size_t size_bytes);
void *np_serve_realloc(void *memory, size_t size_bytes);
void *np_serve_memalign(size_t alignment_bytes, size_t size_bytes);
void *np_serve_aligned_alloc(size_t alignment_bytes, size_t size_bytes);
int np_serve_posix_memalign(void **memory, size_t alignment_bytes, size_t size_bytes);
void *np_serve_valloc(size_t size_bytes);
void *np_serve_pvalloc(size_t size_bytes);
size_t np_serve_usable_size(const void *memory);
int np_serve_mallopt(int parameter, int value);
int np_serve_trim(size_t pad_bytes);

NP_INLINE void *np_serve_malloc(size_t size_bytes)
{
    void *memory;

    if (NP_UNLIKELY(size_bytes > NP_DIRECT_MAX_BYTES))
        return np_serve_malloc_slow(size_bytes);
    memory = np_heap_try_take(np_heap_fast, size_bytes);
    if (NP_UNLIKELY(memory == NULL))
        return np_serve_malloc_slow(size_bytes);
    return memory;
}

NP_INLINE void *np_serve_calloc(size_t count, size_t size_bytes)
{
    size_t bytes;
    void *memory;

    if (NP_UNLIKELY(__builtin_mul_overflow(count, size_bytes, &bytes))) {
        errno = ENOMEM;
        return NULL;
    }
    if (NP_UNLIKELY(bytes > NP_DIRECT_MAX_BYTES))
        return np_serve_calloc_slow(bytes);
    /* libc is about to make the first thread. */
    if (NP_UNLIKELY(np_heap_fast->is_alone && !np_is_alone()))
        return np_serve_calloc_slow(bytes);
    memory = np_heap_try_take(np_heap_fast, bytes);
    if (NP_UNLIKELY(memory == NULL))
        return np_serve_calloc_slow(bytes);
    return memset(memory, 0, bytes);
}

/* Frees a block whose slab is open here. */
NP_INLINE void np_serve_free_here(struct np_heap *heap, struct np_slab *slab, void *memory)
{
    /* Inside a block, or free already: the slow path says so, or frees what only looks free. */
    if (NP_UNLIKELY(!np_slab_may_begin_slot(slab, memory))) {
        np_serve_free_slow(memory);
        return;
    }
    if (NP_UNLIKELY(np_slab_looks_free(slab, memory))) {
        np_serve_free_slow(memory);
        return;
    }
    if (NP_UNLIKELY(np_slab_give(slab, memory)))
        np_heap_notice(heap, slab);
}

NP_INLINE void np_serve_free(void *memory)
{
    struct np_heap *heap = np_heap_fast;
    struct np_slab *slab = np_window_record_fast((uintptr_t)memory);

    if (NP_UNLIKELY(slab == NULL)) {
        np_serve_free_slow(memory);
        return;
    }
    if (NP_UNLIKELY(NP_FAST_GET(struct np_heap *, slab->owner) != heap)) {
        np_serve_free_elsewhere(slab, memory);
        return;
    }
    np_serve_free_here(heap, slab, memory);
}

#endif

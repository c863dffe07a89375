/* libc's names, so that programs that know nothing of neap use it; those that only glibc has are in
 * interpose_glibc.c. Left out of sanitizer builds.
 *
 * The set is all that libc's own malloc.o defines and a program can name: were one missing, a
 * static link would pull that object in for it, and a dynamic one would send the call to a heap
 * that nobody uses. */
#include <malloc.h>
#include <stdlib.h>

#include "serve.h"

#define EXPORT __attribute__((visibility("default")))

/* Declared by C23 headers only. */
EXPORT void free_sized(void *block, size_t size_bytes);
EXPORT void free_aligned_sized(void *block, size_t alignment_bytes, size_t size_bytes);

EXPORT void *malloc(size_t size_bytes)
{
    return np_serve_malloc(size_bytes);
}

EXPORT void *calloc(size_t count, size_t size_bytes)
{
    return np_serve_calloc(count, size_bytes);
}

/* Where our calloc is; the name may be somebody else's, where neap was loaded late or after another malloc. By the
 * assembler: C's alias would have to repeat all that libc's header says of calloc. */
extern const char np_calloc_of_ours[] __attribute__((visibility("hidden")));
__asm__(".hidden np_calloc_of_ours\n.globl np_calloc_of_ours\n.set np_calloc_of_ours, calloc");

/* Whether libc asks us for memory before it makes a thread (heap.h). */
__attribute__((constructor)) static void see_who_serves_libc(void)
{
    void *(*volatile served_by)(size_t, size_t) = calloc; /* volatile: as the loader sees it */

    np_heap_may_be_alone = (uintptr_t)served_by == (uintptr_t)np_calloc_of_ours;
}

EXPORT void *realloc(void *block, size_t size_bytes)
{
    return np_serve_realloc(block, size_bytes);
}

EXPORT void free(void *block)
{
    np_serve_free(block);
}

EXPORT void free_sized(void *block, size_t size_bytes)
{
    np_serve_free_sized(block, size_bytes);
}

EXPORT void free_aligned_sized(void *block, size_t alignment_bytes, size_t size_bytes)
{
    np_serve_free_aligned_sized(block, alignment_bytes, size_bytes);
}

EXPORT void *memalign(size_t alignment_bytes, size_t size_bytes)
{
    return np_serve_memalign(alignment_bytes, size_bytes);
}

EXPORT void *aligned_alloc(size_t alignment_bytes, size_t size_bytes)
{
    return np_serve_aligned_alloc(alignment_bytes, size_bytes);
}

EXPORT int posix_memalign(void **block, size_t alignment_bytes, size_t size_bytes)
{
    return np_serve_posix_memalign(block, alignment_bytes, size_bytes);
}

EXPORT void *valloc(size_t size_bytes)
{
    return np_serve_valloc(size_bytes);
}

EXPORT size_t malloc_usable_size(void *block)
{
    return np_serve_usable_size(block);
}

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

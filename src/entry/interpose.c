/* libc's names, so that programs that know nothing of neap use it. Left out of sanitizer builds.
 *
 * The set is all that libc's own malloc.o defines and a program can name: were one missing, a
 * static link would pull that object in for it, and a dynamic one would send the call to a heap
 * that nobody uses. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "info.h"
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

EXPORT void *pvalloc(size_t size_bytes)
{
    return np_serve_pvalloc(size_bytes);
}

EXPORT size_t malloc_usable_size(void *block)
{
    return np_serve_usable_size(block);
}

EXPORT int mallopt(int parameter, int value)
{
    return np_serve_mallopt(parameter, value);
}

EXPORT int malloc_trim(size_t pad_bytes)
{
    return np_serve_trim(pad_bytes);
}

/* neap.h promises glibc's layout. */
#define SAME_LAYOUT(theirs, ours)                                                                  \
    _Static_assert(sizeof(theirs) == sizeof(ours) &&                                               \
                       offsetof(theirs, arena) == offsetof(ours, arena) &&                         \
                       offsetof(theirs, hblks) == offsetof(ours, hblks) &&                         \
                       offsetof(theirs, uordblks) == offsetof(ours, uordblks) &&                   \
                       offsetof(theirs, keepcost) == offsetof(ours, keepcost),                     \
                   "the answers are laid out as glibc's")

EXPORT struct mallinfo2 mallinfo2(void)
{
    struct neap_mallinfo2 info = np_info_mallinfo2();
    struct mallinfo2 answer;

    SAME_LAYOUT(struct mallinfo2, struct neap_mallinfo2);
    memcpy(&answer, &info, sizeof answer);
    return answer;
}

EXPORT struct mallinfo mallinfo(void)
{
    struct neap_mallinfo info = np_info_mallinfo();
    struct mallinfo answer;

    SAME_LAYOUT(struct mallinfo, struct neap_mallinfo);
    memcpy(&answer, &info, sizeof answer);
    return answer;
}

EXPORT void malloc_stats(void)
{
    np_info_write_stats();
}

EXPORT int malloc_info(int options, FILE *stream)
{
    return np_info_write_xml(options, stream);
}

/* libc's second names for some of them, by which programs reach "the real malloc" behind one of their own: those
 * blocks come to our free, and ours to theirs. */
EXPORT void *__libc_malloc(size_t size_bytes);
EXPORT void *__libc_calloc(size_t count, size_t size_bytes);
EXPORT void *__libc_realloc(void *block, size_t size_bytes);
EXPORT void __libc_free(void *block);
EXPORT void *__libc_memalign(size_t alignment_bytes, size_t size_bytes);
EXPORT void *__libc_valloc(size_t size_bytes);
EXPORT void *__libc_pvalloc(size_t size_bytes);

void *__libc_malloc(size_t size_bytes)
{
    return np_serve_malloc(size_bytes);
}

void *__libc_calloc(size_t count, size_t size_bytes)
{
    return np_serve_calloc(count, size_bytes);
}

void *__libc_realloc(void *block, size_t size_bytes)
{
    return np_serve_realloc(block, size_bytes);
}

void __libc_free(void *block)
{
    np_serve_free(block);
}

void *__libc_memalign(size_t alignment_bytes, size_t size_bytes)
{
    return np_serve_memalign(alignment_bytes, size_bytes);
}

void *__libc_valloc(size_t size_bytes)
{
    return np_serve_valloc(size_bytes);
}

void *__libc_pvalloc(size_t size_bytes)
{
    return np_serve_pvalloc(size_bytes);
}

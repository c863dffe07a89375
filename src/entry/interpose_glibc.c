/* The names of libc that only glibc has; the others are in interpose.c. Left out where libc is another
 * one, whose headers declare none of these, and of sanitizer builds. */
#include <malloc.h>
#include <string.h>

#include "info.h"
#include "serve.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT void *pvalloc(size_t size_bytes)
{
    return np_serve_pvalloc(size_bytes);
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

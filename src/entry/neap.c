/* The neap_ names of neap.h. Their libc names are in interpose.c. */
#include "neap/neap.h"

#include <errno.h>

#include "info.h"
#include "serve.h"

int neap_version(void)
{
    return NEAP_VERSION;
}

void *neap_malloc(size_t size_bytes)
{
    return np_serve_malloc(size_bytes);
}

void *neap_calloc(size_t count, size_t size_bytes)
{
    return np_serve_calloc(count, size_bytes);
}

void *neap_realloc(void *block, size_t size_bytes)
{
    return np_serve_realloc(block, size_bytes);
}

void *neap_reallocarray(void *block, size_t count, size_t size_bytes)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size_bytes, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return np_serve_realloc(block, bytes);
}

void *neap_aligned_alloc(size_t alignment_bytes, size_t size_bytes)
{
    return np_serve_aligned_alloc(alignment_bytes, size_bytes);
}

void *neap_memalign(size_t alignment_bytes, size_t size_bytes)
{
    return np_serve_memalign(alignment_bytes, size_bytes);
}

int neap_posix_memalign(void **block, size_t alignment_bytes, size_t size_bytes)
{
    return np_serve_posix_memalign(block, alignment_bytes, size_bytes);
}

void *neap_valloc(size_t size_bytes)
{
    return np_serve_valloc(size_bytes);
}

void *neap_pvalloc(size_t size_bytes)
{
    return np_serve_pvalloc(size_bytes);
}

void neap_free(void *block)
{
    np_serve_free(block);
}

void neap_free_sized(void *block, size_t size_bytes)
{
    np_serve_free_sized(block, size_bytes);
}

void neap_free_aligned_sized(void *block, size_t alignment_bytes, size_t size_bytes)
{
    np_serve_free_aligned_sized(block, alignment_bytes, size_bytes);
}

size_t neap_malloc_usable_size(void *block)
{
    return np_serve_usable_size(block);
}

int neap_mallopt(int parameter, int value)
{
    return np_serve_mallopt(parameter, value);
}

int neap_malloc_trim(size_t pad_bytes)
{
    return np_serve_trim(pad_bytes);
}

size_t neap_trim(size_t most_bytes, unsigned most_us)
{
    return np_core_trim_some(most_bytes, (uint64_t)most_us * 1000);
}

struct neap_mallinfo neap_mallinfo(void)
{
    return np_info_mallinfo();
}

struct neap_mallinfo2 neap_mallinfo2(void)
{
    return np_info_mallinfo2();
}

void neap_malloc_stats(void)
{
    np_info_write_stats();
}

int neap_malloc_info(int options, FILE *stream)
{
    return np_info_write_xml(options, stream);
}

int neap_stats(struct neap_stats *stats, size_t size_bytes)
{
    return np_info_stats(stats, size_bytes);
}

int neap_stats_arena(unsigned index, struct neap_stats *stats, size_t size_bytes)
{
    return np_info_stats_arena(index, stats, size_bytes);
}

void neap_free_table(FILE *stream)
{
    np_info_write_table(stream);
}

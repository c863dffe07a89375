/* The names under test. A test says api_malloc; the build chooses whose malloc that is:
 *
 *   (nothing)          neap_malloc, the library's own name; the only one that sanitizers allow
 *   API_INTERPOSED     malloc, answered by libneap.so because it comes before libc
 *   API_GLIBC          malloc, answered by glibc: this shows that the tests ask for what glibc
 *                      really does. Where neap promises more than glibc does, the test says so with
 *                      API_IS_NEAP. */
#ifndef NEAP_TESTS_API_NAMES_H
#define NEAP_TESTS_API_NAMES_H

#include <malloc.h>
#include <stdlib.h>

/* What other libcs do not have at all is tested by neap's names. */
#if !defined(__GLIBC__)
#include "neap/neap.h"
#define M_MXFAST NEAP_M_MXFAST
#define M_TRIM_THRESHOLD NEAP_M_TRIM_THRESHOLD
#define M_TOP_PAD NEAP_M_TOP_PAD
#define M_MMAP_THRESHOLD NEAP_M_MMAP_THRESHOLD
#define M_MMAP_MAX NEAP_M_MMAP_MAX
#define M_CHECK_ACTION NEAP_M_CHECK_ACTION
#define M_PERTURB NEAP_M_PERTURB
#define M_ARENA_TEST NEAP_M_ARENA_TEST
#define M_ARENA_MAX NEAP_M_ARENA_MAX
#define pvalloc neap_pvalloc
#define mallopt neap_mallopt
#define malloc_trim neap_malloc_trim
#define mallinfo neap_mallinfo
#define mallinfo2 neap_mallinfo2
#define malloc_stats neap_malloc_stats
#define malloc_info neap_malloc_info
#endif

#if defined(API_INTERPOSED) || defined(API_GLIBC)

#define api_malloc malloc
#define api_calloc calloc
#define api_realloc realloc
#define api_reallocarray reallocarray
#define api_aligned_alloc aligned_alloc
#define api_memalign memalign
#define api_posix_memalign posix_memalign
#define api_valloc valloc
#define api_pvalloc pvalloc
#define api_free free
#define api_malloc_usable_size malloc_usable_size
#define api_mallopt mallopt
#define api_malloc_trim malloc_trim
#define api_mallinfo mallinfo
#define api_mallinfo2 mallinfo2
#define api_malloc_stats malloc_stats
#define api_malloc_info malloc_info

/* neap's alone: tests of glibc do not come to it. */
#if defined(API_INTERPOSED)
#include "neap/neap.h"
#define api_trim neap_trim
#else
#define api_trim(most_bytes, most_us) ((size_t)(most_bytes) + (most_us))
#endif

/* C23's, which glibc has had only since 2.43. */
#if defined(API_INTERPOSED)
void free_sized(void *block, size_t size_bytes);
void free_aligned_sized(void *block, size_t alignment_bytes, size_t size_bytes);
#define api_free_sized free_sized
#define api_free_aligned_sized free_aligned_sized
#endif

#else

#include "neap/neap.h"

#define api_malloc neap_malloc
#define api_calloc neap_calloc
#define api_realloc neap_realloc
#define api_reallocarray neap_reallocarray
#define api_aligned_alloc neap_aligned_alloc
#define api_memalign neap_memalign
#define api_posix_memalign neap_posix_memalign
#define api_valloc neap_valloc
#define api_pvalloc neap_pvalloc
#define api_free neap_free
#define api_malloc_usable_size neap_malloc_usable_size
#define api_mallopt neap_mallopt
#define api_malloc_trim neap_malloc_trim
#define api_trim neap_trim
#define api_mallinfo neap_mallinfo
#define api_mallinfo2 neap_mallinfo2
#define api_malloc_stats neap_malloc_stats
#define api_malloc_info neap_malloc_info
#define api_free_sized neap_free_sized
#define api_free_aligned_sized neap_free_aligned_sized

#endif

#if defined(API_GLIBC)
#define API_IS_NEAP 0
#else
#define API_IS_NEAP 1
#endif

#endif

/* What each group of tests of the entry points includes first. */
#ifndef NEAP_TESTS_API_API_TEST_H
#define NEAP_TESTS_API_API_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "names.h"
#include "pattern.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Whether sbrk moves the break: musl's never does. */
#if defined(__GLIBC__)
enum { API_HAS_BREAK = 1 };
#else
enum { API_HAS_BREAK = 0 };
#endif

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* Sizes at and beside every border there is: the 16-byte steps, the classes, the page, the largest
 * slab class, glibc's mmap threshold, its limit. */
static const size_t border_sizes[] = {
    0,         1,         8,         15,         16,          17,          31,          32,
    33,        48,        64,        100,        120,         121,         127,         128,
    129,       255,       256,       257,        384,         500,         512,         1000,
    1023,      1024,      1025,      2048,       3000,        4095,        4096,        4097,
    8191,      8192,      8193,      12288,      16 * KIB - 1, 16 * KIB,   16 * KIB + 1, 20000,
    32 * KIB,  65535,     64 * KIB,  65537,      100000,
    128 * KIB - 1, 128 * KIB, 128 * KIB + 1,
    256 * KIB, 1000000,   MIB,       MIB + 1,    2 * MIB,     4 * MIB - 1, 4 * MIB,     5000000,
};

static inline bool is_aligned(const void *block, size_t alignment_bytes)
{
    return (uintptr_t)block % alignment_bytes == 0;
}

/* What `measure` writes to *figures, from a process of its own. neap leaves some memory to a
 * program that frees all it has and takes it again at once, over and over: each measurement of what
 * goes back begins without such a past. */
struct figures {
    size_t peak_bytes;
    size_t kept_bytes;
    char complaint[200];
};

static inline struct figures measured_apart(void (*measure)(size_t size, struct figures *figures),
                                            size_t size)
{
    struct figures *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct figures figures;
    int status = -1;
    pid_t child;

    assert_true(shared != MAP_FAILED);
    child = fork();
    if (child == 0) {
        measure(size, shared);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    figures = *shared;
    munmap(shared, sizeof(*shared));
    if (status != 0)
        fail_msg("%zu: the measurement ended with status %d", size, status);
    if (figures.complaint[0] != '\0')
        fail_msg("%zu: %s", size, figures.complaint);
    return figures;
}

#define COMPLAIN_UNLESS(figures, condition) \
    do { \
        if (!(condition)) \
            strncpy((figures)->complaint, #condition " does not hold", \
                    sizeof((figures)->complaint) - 1); \
    } while (0)

#endif

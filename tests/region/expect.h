/*
 * expect.h: a test framework that fits a microcontroller, and what a region test knows of geometry.
 */
#ifndef TESTS_REGION_EXPECT_H
#define TESTS_REGION_EXPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Notes and prints that an expectation of the running case is not met. */
void expect_failed(unsigned line);

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            expect_failed(__LINE__);                                                               \
    } while (0)

/* Runs one case and prints its verdict. */
void expect_case(const char *name, void (*run)(void));

/* Prints the count of cases and ends the program (port_end). */
int expect_end(void);

void expect_print_text(const char *text);
void expect_print_number(uint32_t number);

/* The same defaults as in region.c. */
#ifndef NEAP_REGION_ALIGN
#define NEAP_REGION_ALIGN __SIZEOF_POINTER__
#endif
#ifndef NEAP_REGION_MIN_BYTES
#define NEAP_REGION_MIN_BYTES (NEAP_REGION_ALIGN < 4 ? 4 : 8)
#endif
#ifndef NEAP_REGION_OWNERS
#define NEAP_REGION_OWNERS 1
#endif
#ifndef NEAP_REGION_GUARDS
#define NEAP_REGION_GUARDS 0
#endif
#ifndef NEAP_REGION_WIDE
#define NEAP_REGION_WIDE 0
#endif

#define ALIGN           ((size_t)NEAP_REGION_ALIGN)
#define HEAD_BYTES      ((size_t)(NEAP_REGION_WIDE ? 4 : 2))
#define GUARD_BYTES     ((size_t)(NEAP_REGION_GUARDS ? 2 : 0))
#define ROUND_UP(bytes) (((bytes) + ALIGN - 1) / ALIGN * ALIGN)
#define MIN_BLOCK_BYTES ROUND_UP(HEAD_BYTES + NEAP_REGION_MIN_BYTES)

/* What a block of a request takes of the heap. */
static inline size_t block_bytes(size_t request_bytes)
{
    size_t bytes = ROUND_UP(HEAD_BYTES + request_bytes + GUARD_BYTES);

    return bytes < MIN_BLOCK_BYTES ? MIN_BLOCK_BYTES : bytes;
}

/* The largest request that a free block of so many bytes can serve. */
static inline size_t largest_request_bytes(size_t free_bytes)
{
    return free_bytes - HEAD_BYTES - GUARD_BYTES;
}

#endif

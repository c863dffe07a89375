/* Is this program served by neap? Asks neap's own count of live bytes before and after the program
 * allocates under the names of libc and C++. Used by served_c.c and served_cc.cc. */
#ifndef SERVED_H
#define SERVED_H

#include <neap/neap.h>
#include <stdio.h>
#include <stdlib.h>

#define SERVED_BLOCK_BYTES 100000u

/* A block that is stored here cannot be optimised away together with its free. */
static void *volatile served_escape;

/* Bytes that neap counts as live, mapped ones included. */
static inline size_t live_bytes(void)
{
    struct neap_mallinfo2 info = neap_mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* Ends the program with a sentence unless neap's count grew by one block and fell again. */
static inline void require_served(const char *who, size_t before, size_t during, size_t after)
{
    if (during < before + SERVED_BLOCK_BYTES || after >= before + SERVED_BLOCK_BYTES) {
        fprintf(stderr, "%s: not served by neap: live bytes %zu, %zu, %zu\n", who, before, during,
                after);
        exit(1);
    }
}

#endif

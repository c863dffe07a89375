/*
 * avr_libc_heap.c: avr-libc's malloc under the scenarios. What it keeps outside the heap, 10 bytes
 * of variables, is not counted against it.
 */
#include "allocator.h"

#include <stdlib.h>

enum { BUFFER_BYTES = 4096 };

const char bench_heap_name[] = "avr-libc";

static char buffer[BUFFER_BYTES];

/* Variables of avr-libc's malloc.c: the end of what was ever used, and the list of free blocks. */
extern char *__brkval;
extern struct __freelist *__flp;

bool bench_heap_start(size_t bytes)
{
    if (bytes > BUFFER_BYTES)
        return false;
    __malloc_heap_start = buffer;
    __malloc_heap_end = buffer + bytes;
    __brkval = NULL;
    __flp = NULL;
    return true;
}

void *bench_heap_alloc(size_t bytes)
{
    return malloc(bytes);
}

void bench_heap_free(void *block)
{
    free(block);
}

/*
 * newlib_heap.c: newlib's malloc, or newlib-nano's, under the scenarios, on a Cortex-M3.
 *
 * It owns sbrk and the memory above the program's variables. newlib cannot be told to forget its
 * heap, so all variables of the program are put back to what they were at the first start; whoever
 * searches must keep what it knows on the stack. What newlib keeps in those variables (over 1 KB;
 * nano: 8 bytes) is not counted against it.
 */
#include "allocator.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

/* From m3.ld; `end` is the end of all variables. */
extern char m3_data_start[], m3_bss_end[], end[];

/* The same source serves two libraries; the build says which. */
const char bench_heap_name[] = NEWLIB_NAME;

/* newlib rounds the end of its heap up to pages of this size: begin where that wastes nothing. */
enum { PAGE_BYTES = 4096, SNAPSHOT_OFFSET_BYTES = 32 * 1024 };

static size_t heap_bytes;
static size_t used_bytes;
static bool has_snapshot;

static char *heap_start(void)
{
    return (char *)(((uintptr_t)end + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
}

static void copy(char *to, const char *from, size_t bytes)
{
    volatile char *out = to;

    while (bytes-- != 0)
        *out++ = *from++;
}

bool bench_heap_start(size_t bytes)
{
    char *snapshot = heap_start() + SNAPSHOT_OFFSET_BYTES;
    size_t variable_bytes = (size_t)(m3_bss_end - m3_data_start);

    if (has_snapshot) {
        copy(m3_data_start, snapshot, variable_bytes);
    } else {
        has_snapshot = true;
        copy(snapshot, m3_data_start, variable_bytes);
    }
    heap_bytes = bytes;
    used_bytes = 0;
    return bytes <= SNAPSHOT_OFFSET_BYTES;
}

void *_sbrk(ptrdiff_t bytes);

void *_sbrk(ptrdiff_t bytes)
{
    char *break_before = heap_start() + used_bytes;

    if (bytes > (ptrdiff_t)(heap_bytes - used_bytes) || -bytes > (ptrdiff_t)used_bytes) {
        errno = ENOMEM;
        return (void *)-1;
    }
    used_bytes = (size_t)((ptrdiff_t)used_bytes + bytes);
    return break_before;
}

void *bench_heap_alloc(size_t bytes)
{
    return malloc(bytes);
}

void bench_heap_free(void *block)
{
    free(block);
}

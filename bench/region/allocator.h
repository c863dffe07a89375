/*
 * allocator.h: what the scenarios need from an allocator, and one file per allocator that has it:
 * region_heap.c, avr_libc_heap.c, newlib_heap.c.
 */
#ifndef BENCH_REGION_ALLOCATOR_H
#define BENCH_REGION_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>

/* Forgets whatever was allocated and starts again with a heap of `bytes` bytes, all control data
 * included that lies in it. False if the allocator cannot work with so few. */
bool bench_heap_start(size_t bytes);

void *bench_heap_alloc(size_t bytes);
void bench_heap_free(void *block);

/* The name to print, without spaces. */
extern const char bench_heap_name[];

#endif

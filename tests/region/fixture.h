/*
 * fixture.h: the heap that the cases of heap_test.c work on, and a hook that remembers.
 */
#ifndef TESTS_REGION_FIXTURE_H
#define TESTS_REGION_FIXTURE_H

#include "expect.h"
#include "neap/region.h"

enum { FIXTURE_BYTES = 700 };

/* Started anew by fixture_start. */
extern struct neap_region *heap;
extern unsigned char fixture_buffer[];

/* What neap_region_on_fault was last told, and how often it was called since fixture_start. */
extern enum neap_region_fault last_fault;
extern const void *last_address;
extern unsigned fault_count;

void fixture_start(void);

/* The free table of `heap`, by value. */
struct neap_region_stats fixture_stats(void);

/* True if `heap` is sound, has one free block and nothing else. */
bool fixture_is_empty(void);

/* Remembers every byte of the buffer; says whether it is still the same. A sound heap's peak, which
 * calls bring up to date only when they need to, is brought up to date first. */
void fixture_remember_sound(void);
void fixture_remember(void);
bool fixture_is_unchanged(void);

void fill_block(void *block, size_t bytes, unsigned char seed);
bool is_block_filled(const void *block, size_t bytes, unsigned char seed);

#endif

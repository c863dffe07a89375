/*
 * region_heap.c: neap's region heap under the scenarios. The buffer is the whole heap: its own
 * words and all headers are counted.
 */
#include "allocator.h"

#include "neap/region.h"

enum { BUFFER_BYTES = 4096 };

const char bench_heap_name[] = "neap-region";

static _Alignas(16) unsigned char buffer[BUFFER_BYTES];

static struct neap_region *region;

bool bench_heap_start(size_t bytes)
{
    region = bytes <= BUFFER_BYTES ? neap_region_init(buffer, bytes) : NULL;
    return region != NULL;
}

void *bench_heap_alloc(size_t bytes)
{
    return neap_region_alloc(region, bytes);
}

void bench_heap_free(void *block)
{
    neap_region_free(region, block);
}

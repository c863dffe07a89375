/*
 * fixture.c: see fixture.h. Owns the buffer, a copy of it, and the hook.
 */
#include "fixture.h"

#include <string.h>

struct neap_region *heap;
/* As aligned as any request is, so that addresses do not depend on the machine. */
_Alignas(64) unsigned char fixture_buffer[FIXTURE_BYTES];
enum neap_region_fault last_fault;
const void *last_address;
unsigned fault_count;

static unsigned char remembered[FIXTURE_BYTES];

void neap_region_on_fault(struct neap_region *region, enum neap_region_fault fault,
                          const void *address)
{
    (void)region;
    last_fault = fault;
    last_address = address;
    fault_count++;
}

void fixture_start(void)
{
    memset(fixture_buffer, 0xEE, sizeof fixture_buffer);
    heap = neap_region_init(fixture_buffer, sizeof fixture_buffer);
    last_fault = NEAP_REGION_SOUND;
    last_address = NULL;
    fault_count = 0;
}

struct neap_region_stats fixture_stats(void)
{
    struct neap_region_stats stats;

    neap_region_stats(heap, &stats);
    return stats;
}

bool fixture_is_empty(void)
{
    struct neap_region_stats stats = fixture_stats();
    const void *address;

    return neap_region_check(heap, &address) == NEAP_REGION_SOUND && address == NULL &&
           stats.free_bytes == stats.total_bytes && stats.maxfree_bytes == stats.total_bytes &&
           stats.used_bytes == 0 && stats.used_count == 0 && stats.free_count == 1;
}

void fixture_remember_sound(void)
{
    neap_region_alloc(heap, SIZE_MAX);
    fixture_remember();
}

void fixture_remember(void)
{
    memcpy(remembered, fixture_buffer, sizeof remembered);
}

bool fixture_is_unchanged(void)
{
    return memcmp(remembered, fixture_buffer, sizeof remembered) == 0;
}

void fill_block(void *block, size_t bytes, unsigned char seed)
{
    unsigned char *byte = block;
    size_t i;

    for (i = 0; i < bytes; i++)
        byte[i] = (unsigned char)(seed + i * 7);
}

bool is_block_filled(const void *block, size_t bytes, unsigned char seed)
{
    const unsigned char *byte = block;
    size_t i;

    for (i = 0; i < bytes; i++) {
        if (byte[i] != (unsigned char)(seed + i * 7))
            return false;
    }
    return true;
}

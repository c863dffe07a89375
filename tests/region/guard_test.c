/*
 * guard_test.c: what only guards promise: whoever writes past the end of a block is named, at the
 * next check and when the block is freed. To be compiled with NEAP_REGION_GUARDS=1.
 */
#include "fixture.h"

enum { CASE_COUNT = 100, BLOCK_COUNT = 8, REQUEST_MAX_BYTES = 50 };

static unsigned char *blocks[BLOCK_COUNT];
static size_t sizes[BLOCK_COUNT];
static uint32_t random_state;

static unsigned random_below(unsigned limit)
{
    random_state = random_state * 1664525U + 1013904223U;
    return (unsigned)((random_state >> 16) % limit);
}

/* Eight blocks of random sizes; every third is freed and taken again for less, so that some blocks
 * end with a rest that was too little for another. */
static void build_random_heap(uint32_t seed)
{
    unsigned i;

    random_state = seed;
    fixture_start();
    for (i = 0; i < BLOCK_COUNT; i++) {
        sizes[i] = random_below(REQUEST_MAX_BYTES);
        blocks[i] = neap_region_alloc(heap, sizes[i]);
    }
    for (i = 0; i < BLOCK_COUNT; i += 3) {
        EXPECT(neap_region_free(heap, blocks[i]));
        sizes[i] = sizes[i] < ALIGN ? 0 : sizes[i] - random_below((unsigned)ALIGN);
        blocks[i] = neap_region_alloc(heap, sizes[i]);
    }
    for (i = 0; i < BLOCK_COUNT; i++) {
        EXPECT(blocks[i] != NULL);
        fill_block(blocks[i], sizes[i], (unsigned char)random_below(256));
    }
}

static bool is_found_by_check(const void *culprit)
{
    const void *address;

    return neap_region_check(heap, &address) == NEAP_REGION_GUARD && address == culprit;
}

static bool is_found_by_free(void *culprit)
{
    return !neap_region_free(heap, culprit) && last_fault == NEAP_REGION_GUARD &&
           last_address == culprit;
}

/* One byte, right after what was asked for, becomes any other value. */
static void one_byte_is_enough(void)
{
    unsigned found_count = 0;
    uint32_t seed;

    for (seed = 0; seed < CASE_COUNT; seed++) {
        unsigned culprit;
        unsigned char *byte;
        unsigned char before;

        build_random_heap(seed);
        culprit = random_below(BLOCK_COUNT);
        byte = blocks[culprit] + sizes[culprit];
        before = *byte;
        *byte = (unsigned char)(before + 1U + random_below(255));
        if (is_found_by_check(blocks[culprit]) && is_found_by_free(blocks[culprit]))
            found_count++;
        /* Nobody else is blamed, and with the byte as it was nobody is. */
        *byte = before;
        EXPECT(neap_region_free(heap, blocks[culprit]));
    }
    EXPECT(found_count == CASE_COUNT);
    expect_print_text("  culprit named in ");
    expect_print_number(found_count);
    expect_print_text(" of ");
    expect_print_number(CASE_COUNT);
    expect_print_text(" cases\n");
}

/* All 255 other values of every guard byte of a block, whatever its rest. */
static void any_guard_byte_is_enough(void)
{
    size_t request;

    for (request = 0; request < 20; request++) {
        unsigned char *block;
        size_t offset;

        fixture_start();
        block = neap_region_alloc(heap, request);
        fill_block(block, request, 1);
        for (offset = request; offset < request + GUARD_BYTES; offset++) {
            unsigned value;

            for (value = 1; value < 256; value++) {
                block[offset] = (unsigned char)(block[offset] ^ value);
                EXPECT(is_found_by_check(block));
                block[offset] = (unsigned char)(block[offset] ^ value);
            }
        }
        EXPECT(neap_region_free(heap, block) && fixture_is_empty());
    }
}

/* An overflow that destroys the next header too: the check comes to the guard first. */
static void long_overflows_name_the_same(void)
{
    size_t length;

    for (length = 1; length < 40; length++) {
        size_t i;

        build_random_heap((uint32_t)length);
        for (i = 0; i < length; i++)
            blocks[2][sizes[2] + i] = 0xFF;
        EXPECT(is_found_by_check(blocks[2]));
        fixture_remember();
        EXPECT(is_found_by_free(blocks[2]));
        /* Nothing is done on a damaged heap, and each call says who damaged it. */
        EXPECT(neap_region_alloc(heap, 1) == NULL && fault_count == 2);
        EXPECT(!neap_region_free(heap, blocks[0]) && fault_count == 3);
        EXPECT(last_fault == NEAP_REGION_GUARD && last_address == blocks[2]);
        EXPECT(fixture_is_unchanged());
    }
}

static void resizing_moves_the_guard(void)
{
    static const unsigned char requests[] = {30, 31, 29, 90, 5, 0, 50, 51, 120, 17};
    unsigned char *block;
    unsigned i;

    fixture_start();
    neap_region_alloc(heap, 10);
    block = neap_region_aligned_alloc(heap, 32, 10);
    for (i = 0; i < sizeof requests; i++) {
        unsigned char before;

        block = neap_region_realloc(heap, block, requests[i]);
        EXPECT(block != NULL);
        fill_block(block, requests[i], (unsigned char)i);
        EXPECT(!is_found_by_check(block));
        before = block[requests[i]];
        block[requests[i]] = (unsigned char)~before;
        EXPECT(is_found_by_check(block));
        block[requests[i]] = before;
    }
    EXPECT(neap_region_free(heap, block));
}

static void calloc_leaves_the_guard(void)
{
    unsigned char *block;

    fixture_start();
    block = neap_region_calloc(heap, 1, 13);
    EXPECT(block[12] == 0);
    EXPECT(neap_region_free(heap, block) && fixture_is_empty());
}

/* An operating system ends the process that broke its guard, and all goes on. */
static void the_culprit_can_be_ended(void)
{
    unsigned char *culprit;
    void *innocent;

    fixture_start();
    innocent = neap_region_alloc(heap, 20);
    EXPECT(neap_region_set_owner(heap, 7));
    culprit = neap_region_alloc(heap, 20);
    culprit[20] ^= 1;
    EXPECT(neap_region_owner_bytes(heap, 7) == block_bytes(20));
    EXPECT(neap_region_free_owner(heap, 7) == block_bytes(20));
    EXPECT(fixture_stats().maxused_bytes == 2 * block_bytes(20));
    EXPECT(neap_region_free(heap, innocent) && fixture_is_empty());
    EXPECT(fault_count == 0);
}

int main(void)
{
    expect_case("one byte is enough", one_byte_is_enough);
    expect_case("any guard byte is enough", any_guard_byte_is_enough);
    expect_case("long overflows name the same", long_overflows_name_the_same);
    expect_case("resizing moves the guard", resizing_moves_the_guard);
    expect_case("calloc leaves the guard", calloc_leaves_the_guard);
    expect_case("the culprit can be ended", the_culprit_can_be_ended);
    return expect_end();
}

/*
 * random_test.c: a long run of random calls against a shadow model.
 *
 * The model knows every live block: where it is, how much was asked for, what was written into it
 * and whose it is. Each new block must lie in the heap, be aligned and touch no other; each block
 * must still hold what was written when it is resized or freed; the heap must check sound all
 * along. With the same geometry, every machine must print the same digest of all addresses.
 */
#include "fixture.h"

#ifndef OPERATION_COUNT
#define OPERATION_COUNT 1000000
#endif
/* How often the whole model is compared with the whole heap. */
#ifndef AUDIT_PERIOD
#define AUDIT_PERIOD 16
#endif

enum { SLOT_COUNT = 24, REQUEST_MAX_BYTES = 120, OWNER_COUNT = NEAP_REGION_OWNERS ? 16 : 1 };

static struct slot {
    unsigned char *block; /* NULL: nobody's */
    unsigned char bytes;
    unsigned char seed;
    unsigned char owner;
} slots[SLOT_COUNT];

static uint32_t random_state = 2463534242U;
static uint32_t digest = 2166136261U;

static unsigned random_below(unsigned limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return (unsigned)((random_state >> 8) % limit);
}

static void digest_address(const unsigned char *block)
{
    uint32_t offset = block == NULL ? 0 : (uint32_t)(block - (unsigned char *)heap);

    digest = (digest ^ offset) * 16777619U;
}

static bool is_apart(const struct slot *slot)
{
    unsigned i;

    for (i = 0; i < SLOT_COUNT; i++) {
        const struct slot *other = &slots[i];

        if (other != slot && other->block != NULL && slot->block < other->block + other->bytes &&
            other->block < slot->block + slot->bytes)
            return false;
    }
    return true;
}

static bool is_inside(const struct slot *slot)
{
    return slot->block > (unsigned char *)heap &&
           slot->block + slot->bytes <= fixture_buffer + FIXTURE_BYTES;
}

/* Checks a block that was just handed out, and writes into it. */
static void adopt(struct slot *slot, size_t alignment, size_t bytes)
{
    digest_address(slot->block);
    if (slot->block == NULL)
        return;
    slot->bytes = (unsigned char)bytes;
    slot->seed = (unsigned char)random_below(256);
    EXPECT((uintptr_t)slot->block % ALIGN == 0 && (uintptr_t)slot->block % alignment == 0);
    EXPECT(is_inside(slot) && is_apart(slot));
    fill_block(slot->block, bytes, slot->seed);
}

/* Small requests mostly, so that many blocks live at once; zero now and then. */
static size_t random_request(void)
{
    return random_below(4) == 0 ? random_below(REQUEST_MAX_BYTES) : random_below(30);
}

static void allocate(struct slot *slot)
{
    size_t bytes = random_request();
    size_t alignment = random_below(8) == 0 ? (size_t)1 << random_below(7) : 1;
    unsigned owner = random_below(OWNER_COUNT);

    EXPECT(neap_region_set_owner(heap, owner));
    slot->owner = (unsigned char)owner;
    slot->block = alignment == 1 ? neap_region_alloc(heap, bytes)
                                 : neap_region_aligned_alloc(heap, alignment, bytes);
    adopt(slot, alignment, bytes);
}

static void reallocate(struct slot *slot)
{
    size_t bytes = random_request();
    size_t kept_bytes = bytes < slot->bytes ? bytes : slot->bytes;
    unsigned char *block = neap_region_realloc(heap, slot->block, bytes);

    if (block == NULL) {
        digest_address(NULL);
        EXPECT(is_block_filled(slot->block, slot->bytes, slot->seed));
        return;
    }
    EXPECT(is_block_filled(block, kept_bytes, slot->seed));
    slot->block = block;
    adopt(slot, 1, bytes);
}

static void release(struct slot *slot)
{
    EXPECT(is_block_filled(slot->block, slot->bytes, slot->seed));
    EXPECT(neap_region_free(heap, slot->block));
    slot->block = NULL;
}

/* A process dies. */
static void release_owner(unsigned owner)
{
    unsigned i;

    EXPECT(neap_region_free_owner(heap, owner) <= FIXTURE_BYTES);
    for (i = 0; i < SLOT_COUNT; i++) {
        if (slots[i].block != NULL && slots[i].owner == owner) {
            EXPECT(is_block_filled(slots[i].block, slots[i].bytes, slots[i].seed));
            slots[i].block = NULL;
        }
    }
}

static void operate(void)
{
    struct slot *slot = &slots[random_below(SLOT_COUNT)];

    if (slot->block == NULL)
        allocate(slot);
    else if (random_below(3) == 0)
        reallocate(slot);
    else
        release(slot);
    if (random_below(1000) == 0)
        release_owner(random_below(OWNER_COUNT));
}

static void audit(void)
{
    struct neap_region_stats stats = fixture_stats();
    const void *address;
    size_t least_bytes = 0;
    size_t live_count = 0;
    unsigned i;

    for (i = 0; i < SLOT_COUNT; i++) {
        if (slots[i].block != NULL) {
            EXPECT(is_block_filled(slots[i].block, slots[i].bytes, slots[i].seed));
            least_bytes += block_bytes(slots[i].bytes);
            live_count++;
        }
    }
    EXPECT(neap_region_check(heap, &address) == NEAP_REGION_SOUND);
    EXPECT(stats.used_count == live_count);
    /* A block may have a rest that was too little for another. */
    EXPECT(stats.used_bytes >= least_bytes &&
           stats.used_bytes <= least_bytes + live_count * (MIN_BLOCK_BYTES - ALIGN));
    EXPECT(stats.used_bytes + stats.free_bytes == stats.total_bytes);
    EXPECT(stats.used_bytes <= stats.maxused_bytes && stats.maxused_bytes <= stats.total_bytes);
    EXPECT(stats.maxfree_bytes <= stats.free_bytes);
}

static void run(void)
{
    uint32_t i;

    fixture_start();
    for (i = 0; i < OPERATION_COUNT; i++) {
        operate();
        if (i % AUDIT_PERIOD == 0)
            audit();
    }
    for (i = 0; i < SLOT_COUNT; i++) {
        if (slots[i].block != NULL)
            release(&slots[i]);
    }
    EXPECT(fixture_is_empty());
    EXPECT(fault_count == 0);
}

int main(void)
{
    expect_case("random calls against a shadow model", run);
    expect_print_number(OPERATION_COUNT);
    expect_print_text(" calls\n");
#ifdef PRINT_DIGEST
    expect_print_text("digest ");
    expect_print_number(digest);
    expect_print_text("\n");
#endif
    return expect_end();
}

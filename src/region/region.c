/*
 * region.c: a heap in the caller's buffer (include/neap/region.h says how to use it).
 *
 * It owns nothing but the buffer, and nothing guards it: the caller sees to that. It leaves out
 * what a list of free blocks would buy. The blocks tile the buffer, each begins with its size, and
 * every call walks them from the bottom: with some dozens of blocks that is cheap, it costs no byte
 * beyond the header, it leaves no link to break, and it is what lets a wild pointer be told from a
 * block exactly. docs/decisions/region-header.md weighs this. stack_pool.c is the other half of the
 * header.
 *
 * [G1] The blocks tile the heap: each starts where the one below ends, the last ends with the heap.
 * [G2] Two free blocks never touch.
 * [G3] Live blocks never had more than the peak or what they have now, whichever is more.
 *
 * One file, freestanding C11, for AVR, Cortex-M and hosts alike; written to be small with -Os. That
 * is why one walk (struct survey) serves all calls and why alloc, realloc and free are one
 * function.
 */
#include "neap/region.h"

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

#if defined NEAP_REGION_WIDE && NEAP_REGION_WIDE
typedef uint32_t word;
#else
typedef uint16_t word;
#endif

struct block {
    word head;
};

/* Both words are made like a header, of a block that is not free. */
struct neap_region {
    word self; /* size of all blocks together; the owner of blocks to come */
    word peak; /* the most units that live blocks had, as of the last time they may have had less */
};

#define ALIGN       ((size_t)NEAP_REGION_ALIGN)
#define OWNER_BITS  (NEAP_REGION_OWNERS ? 4 : 0)
#define SIZE_BITS   ((int)sizeof(word) * 8 - 1 - OWNER_BITS)
#define OWNER_SHIFT (NEAP_REGION_OWNERS ? SIZE_BITS + 1 : 0)

#define FREE       ((word)((word)1 << SIZE_BITS))
#define SIZE_MASK  ((word)(FREE - 1))
#define OWNER_MASK ((word) ~(word)(FREE | SIZE_MASK))

/* Half of the address space at most, so that no sum of a few sizes overflows. */
#define REACH_BYTES                                                                                \
    ((size_t)SIZE_MASK > SIZE_MAX / 2 / ALIGN ? SIZE_MAX / 2 / ALIGN * ALIGN : SIZE_MASK * ALIGN)

#define ROUND_UP(bytes) (((bytes) + (ALIGN - 1)) / ALIGN * ALIGN)

/* The last byte of a guard says how long it is. An overflow by one that met that byte could forge
 * the length; with a second byte before it, it always meets a plain one. */
#define GUARD_MIN_BYTES ((size_t)2)
#define GUARD_FILL      0xA7

#define OVERHEAD_BYTES  (sizeof(struct block) + (NEAP_REGION_GUARDS ? GUARD_MIN_BYTES : 0))
#define MIN_BLOCK_BYTES ROUND_UP(sizeof(struct block) + NEAP_REGION_MIN_BYTES)

_Static_assert((ALIGN & (ALIGN - 1)) == 0, "an alignment is a power of two");
_Static_assert(ALIGN >= _Alignof(word), "headers lie right before blocks");
_Static_assert(sizeof(word) <= sizeof(size_t), "wide headers need a size_t as wide");

static struct block *first_block(const struct neap_region *region)
{
    return (struct block *)(uintptr_t)(region + 1);
}

static unsigned char *payload_of(const struct block *block)
{
    return (unsigned char *)(uintptr_t)(block + 1);
}

static size_t bytes_of(word head)
{
    return (size_t)(head & SIZE_MASK) * ALIGN;
}

static word units_of(size_t bytes)
{
    return (word)(bytes / ALIGN);
}

static struct block *block_at(const struct block *block, size_t offset_bytes)
{
    return (struct block *)((uintptr_t)block + offset_bytes);
}

static struct block *end_of(const struct neap_region *region)
{
    return block_at(first_block(region), bytes_of(region->self));
}

static bool is_free(const struct block *block)
{
    return (block->head & FREE) != 0;
}

/* volatile keeps a compiler from making a call of memcpy or memset out of the loop. */
static void copy_up(unsigned char *to, const unsigned char *from, size_t bytes)
{
    volatile unsigned char *out = to;

    for (; bytes != 0; bytes--)
        *out++ = *from++;
}

static void fill(unsigned char *to, unsigned char value, size_t bytes)
{
    volatile unsigned char *out = to;

    for (; bytes != 0; bytes--)
        *out++ = value;
}

/* Writes the guard between the `bytes` that were asked for and the block's end. */
static void seal(struct block *block, size_t bytes)
{
    if (NEAP_REGION_GUARDS) {
        size_t guard_bytes = bytes_of(block->head) - sizeof(struct block) - bytes;

        fill(payload_of(block) + bytes, GUARD_FILL, guard_bytes - 1);
        payload_of(block)[bytes + guard_bytes - 1] = (unsigned char)(GUARD_FILL ^ guard_bytes);
    }
}

static bool is_sealed(const struct block *block)
{
    if (NEAP_REGION_GUARDS && !is_free(block)) {
        size_t room_bytes = bytes_of(block->head) - sizeof(struct block);
        const unsigned char *last = payload_of(block) + room_bytes - 1;
        size_t guard_bytes = (size_t)(*last ^ GUARD_FILL);

        if (guard_bytes < GUARD_MIN_BYTES || guard_bytes > room_bytes)
            return false;
        while (--guard_bytes != 0) {
            if (*--last != GUARD_FILL)
                return false;
        }
    }
    return true;
}

__attribute__((weak)) void neap_region_on_fault(struct neap_region *region,
                                                enum neap_region_fault fault, const void *address)
{
    (void)region;
    (void)fault;
    (void)address;
}

/* What one walk over the heap finds out; every call begins with one. */
struct survey {
    size_t need_bytes;  /* asked: the least block that `best` may be */
    uintptr_t address;  /* asked: where `found` is to begin */
    struct block *best; /* the smallest free block of at least `need_bytes`, the lowest of equals */
    struct block *found; /* the last block whose payload is not above `address`, or NULL */
    struct block *below; /* the one below that; never NULL if `found` is not */
    struct block *end;   /* the end of the heap */
    const void *suspect; /* whom a fault is blamed on */
    struct neap_region_stats stats;
};

/* Below the first block the heap's own last word stands in: it reads as a block in use. */
static struct block *below_first(const struct neap_region *region)
{
    return (struct block *)(uintptr_t)&region->peak;
}

static enum neap_region_fault walk(const struct neap_region *region, struct survey *survey)
{
    struct block *block = first_block(region);
    struct block *below = below_first(region);
    struct neap_region_stats *stats = &survey->stats;
    size_t left_bytes = bytes_of(region->self);

    fill((unsigned char *)&survey->best, 0, sizeof *survey - offsetof(struct survey, best));
    stats->total_bytes = left_bytes;
    stats->maxused_bytes = bytes_of(region->peak);
    survey->suspect = region;
    while (left_bytes != 0) {
        size_t bytes = bytes_of(block->head);

        if (bytes < MIN_BLOCK_BYTES || bytes > left_bytes)
            return NEAP_REGION_SIZE;
        left_bytes -= bytes;
        if ((uintptr_t)payload_of(block) <= survey->address) {
            survey->below = below;
            survey->found = block;
        }
        if (is_free(block)) {
            if (is_free(below))
                return NEAP_REGION_NEIGHBOURS;
            stats->free_count++;
            stats->free_bytes += bytes;
            if (bytes > stats->maxfree_bytes)
                stats->maxfree_bytes = bytes;
            if (bytes >= survey->need_bytes &&
                (survey->best == NULL || block->head < survey->best->head))
                survey->best = block;
        } else {
            stats->used_count++;
            stats->used_bytes += bytes;
        }
        survey->suspect = payload_of(block);
        if (!is_sealed(block))
            return NEAP_REGION_GUARD;
        below = block;
        block = block_at(block, bytes);
    }
    survey->end = block;
    survey->suspect = region;
    if (stats->maxused_bytes > stats->total_bytes)
        return NEAP_REGION_PEAK;
    survey->suspect = NULL;
    /* The word is brought up to date here and not by alloc: only frees need it to be. */
    if (stats->used_bytes > stats->maxused_bytes)
        stats->maxused_bytes = stats->used_bytes;
    return NEAP_REGION_SOUND;
}

/* Bytes of a block for a request; for one that no heap can meet, more than any block has. */
static size_t block_bytes_for(size_t bytes)
{
    if (bytes > REACH_BYTES)
        bytes = REACH_BYTES;
    if (bytes < MIN_BLOCK_BYTES - OVERHEAD_BYTES)
        bytes = MIN_BLOCK_BYTES - OVERHEAD_BYTES;
    return ROUND_UP(bytes + OVERHEAD_BYTES);
}

/* Cuts a live block of `bytes` bytes out of a free one, `lead_bytes` above its start. The lead must
 * be of a block's size or 0; a rest that is too little for a block goes with the live one. */
static struct block *cut(struct block *block, size_t lead_bytes, size_t bytes, word owner)
{
    word units = (word)(block->head & SIZE_MASK);
    word rest_units;

    if (lead_bytes != 0) {
        block->head = (word)(FREE | units_of(lead_bytes));
        units = (word)(units - units_of(lead_bytes));
        block = block_at(block, lead_bytes);
    }
    rest_units = (word)(units - units_of(bytes));
    if (rest_units >= units_of(MIN_BLOCK_BYTES)) {
        block_at(block, bytes)->head = (word)(FREE | rest_units);
        units = units_of(bytes);
    }
    block->head = (word)((owner & OWNER_MASK) | units);
    return block;
}

/* How far above the start of the best block to cut: large blocks are cut from its upper end, where
 * small ones that stay do not fence them in. */
static size_t best_lead_bytes(const struct survey *survey)
{
    size_t bytes = survey->need_bytes;
    size_t lead_bytes = bytes_of(survey->best->head) - bytes;

    if (bytes <= survey->stats.total_bytes / 8 || lead_bytes < MIN_BLOCK_BYTES)
        return 0;
    return lead_bytes;
}

/* Begins a call that may change the heap: finds the live block at `address`, if that is not NULL.
 * False, and the hook called, if there is none. Nothing changes a damaged heap. */
static bool find(struct neap_region *region, struct survey *survey, const void *address)
{
    enum neap_region_fault fault;

    survey->address = (uintptr_t)address;
    fault = walk(region, survey);
    if (fault == NEAP_REGION_SOUND) {
        region->peak = units_of(survey->stats.maxused_bytes);
        if (address == NULL)
            return true;
        survey->suspect = address;
        if (survey->found == NULL || (uintptr_t)address >= (uintptr_t)survey->end)
            fault = NEAP_REGION_FOREIGN;
        else if ((uintptr_t)address % ALIGN != 0)
            fault = NEAP_REGION_MISALIGNED;
        else if (is_free(survey->found))
            fault = NEAP_REGION_FREED;
        else if (payload_of(survey->found) != address)
            fault = NEAP_REGION_INTERIOR;
        else
            return true;
    }
    neap_region_on_fault(region, fault, survey->suspect);
    return false;
}

/* Merges a free block with the one above it if that is free. */
static void absorb(const struct survey *survey, struct block *block)
{
    struct block *next = block_at(block, bytes_of(block->head));

    if (next != survey->end && is_free(next))
        block->head = (word)(block->head + (next->head & SIZE_MASK));
}

/* Makes the block that was found free; returns the free block that it is then part of. */
static struct block *release(const struct survey *survey)
{
    struct block *block = survey->found;

    block->head = (word)(FREE | (block->head & SIZE_MASK));
    absorb(survey, block);
    if (!is_free(survey->below))
        return block;
    absorb(survey, survey->below);
    return survey->below;
}

/* Resizes the live block at `address`: from nothing if that is NULL, to nothing if `bytes` is 0.
 * What comes back is NULL if it cannot be done. */
static void *resize(struct neap_region *region, void *address, size_t need_bytes)
{
    struct survey survey;
    struct block *block;
    struct block *room = NULL;
    size_t lead_bytes = 0;
    word old = region->self;

    survey.need_bytes = need_bytes;
    if (!find(region, &survey, address))
        return NULL;
    if (address != NULL) {
        /* Releasing touches headers only, so what the block holds can still be fetched. */
        old = survey.found->head;
        room = release(&survey);
        lead_bytes = (uintptr_t)survey.found - (uintptr_t)room;
        if (need_bytes == 0)
            return address;
    }
    if (room == NULL || bytes_of(room->head) < need_bytes) {
        if (survey.best == NULL) {
            if (room != NULL)
                cut(room, lead_bytes, bytes_of(old), old);
            return NULL;
        }
        room = survey.best;
        lead_bytes = best_lead_bytes(&survey);
    } else if (bytes_of(room->head) - lead_bytes < need_bytes) {
        lead_bytes = 0;
    }
    /* Before the cut, whose rest may begin inside the old block. */
    block = block_at(room, lead_bytes);
    if (address != NULL && block != survey.found)
        copy_up(payload_of(block), address, bytes_of(old) - sizeof(struct block));
    block = cut(room, lead_bytes, need_bytes, old);
    return payload_of(block);
}

void *neap_region_realloc(struct neap_region *region, void *block, size_t bytes)
{
    unsigned char *payload = resize(region, block, block_bytes_for(bytes));

    if (NEAP_REGION_GUARDS && payload != NULL)
        seal((struct block *)payload - 1, bytes);
    return payload;
}

void *neap_region_alloc(struct neap_region *region, size_t bytes)
{
    return neap_region_realloc(region, NULL, bytes);
}

bool neap_region_free(struct neap_region *region, void *address)
{
    return address == NULL || resize(region, address, 0) != NULL;
}

enum neap_region_fault neap_region_check(const struct neap_region *region, const void **address)
{
    struct survey survey;
    enum neap_region_fault fault;

    survey.need_bytes = 0;
    survey.address = 0;
    fault = walk(region, &survey);
    *address = survey.suspect;
    return fault;
}

void neap_region_stats(const struct neap_region *region, struct neap_region_stats *stats)
{
    struct survey survey;

    survey.need_bytes = 0;
    survey.address = 0;
    walk(region, &survey);
    copy_up((unsigned char *)stats, (const unsigned char *)&survey.stats, sizeof *stats);
}

struct neap_region *neap_region_init(void *buffer, size_t bytes)
{
    uintptr_t start = (uintptr_t)buffer;
    /* The heap's words and the first header lie right before the first aligned payload. */
    uintptr_t first = ROUND_UP(start + sizeof(struct neap_region) + sizeof(struct block));
    struct neap_region *region =
        (struct neap_region *)(first - sizeof(struct block) - sizeof(struct neap_region));
    size_t total_bytes;

    if (bytes < NEAP_REGION_BUFFER_MIN_BYTES)
        return NULL;
    total_bytes = (start + bytes - (uintptr_t)first_block(region)) / ALIGN * ALIGN;
    if (total_bytes > REACH_BYTES)
        return NULL;
    region->self = units_of(total_bytes);
    region->peak = 0;
    first_block(region)->head = (word)(FREE | units_of(total_bytes));
    return region;
}

/* count * bytes, or what no heap can meet. (Neither a division nor a wide multiplication, which are
 * library calls on small machines.) */
static size_t product(size_t count, size_t bytes)
{
    size_t sum_bytes = 0;

    for (; count != 0; count >>= 1) {
        if ((count & 1) != 0) {
            if (bytes > REACH_BYTES - sum_bytes)
                return SIZE_MAX;
            sum_bytes += bytes;
        }
        if (bytes <= REACH_BYTES)
            bytes *= 2;
    }
    return sum_bytes;
}

void *neap_region_calloc(struct neap_region *region, size_t count, size_t bytes)
{
    size_t total_bytes = product(count, bytes);
    unsigned char *payload = neap_region_alloc(region, total_bytes);

    if (payload != NULL)
        fill(payload, 0, total_bytes);
    return payload;
}

/* Bytes to leave free at the start of a free block so that the rest is aligned. */
static size_t aligning_lead_bytes(const struct block *block, size_t alignment)
{
    size_t lead_bytes = (0 - (uintptr_t)payload_of(block)) & (alignment - 1);

    while (lead_bytes != 0 && lead_bytes < MIN_BLOCK_BYTES)
        lead_bytes += alignment;
    return lead_bytes;
}

void *neap_region_aligned_alloc(struct neap_region *region, size_t alignment, size_t bytes)
{
    struct survey survey;
    struct block *block = first_block(region);
    struct block *best = NULL;

    survey.need_bytes = block_bytes_for(bytes);
    if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > REACH_BYTES / 2 ||
        !find(region, &survey, NULL))
        return NULL;
    for (; block != survey.end; block = block_at(block, bytes_of(block->head))) {
        if (is_free(block) && (best == NULL || block->head < best->head) &&
            bytes_of(block->head) >= survey.need_bytes + aligning_lead_bytes(block, alignment))
            best = block;
    }
    if (best == NULL)
        return NULL;
    block = cut(best, aligning_lead_bytes(best, alignment), survey.need_bytes, region->self);
    seal(block, bytes);
    return payload_of(block);
}

static bool is_owner(unsigned owner)
{
    return owner < 1U << OWNER_BITS;
}

static void set_owner_in(word *head, unsigned owner)
{
    *head = (word)((*head & (FREE | SIZE_MASK)) | (owner << OWNER_SHIFT));
}

static bool is_owned_by(const struct block *block, unsigned owner)
{
    return !is_free(block) && (block->head & OWNER_MASK) == (word)(owner << OWNER_SHIFT);
}

bool neap_region_set_owner(struct neap_region *region, unsigned owner)
{
    if (!is_owner(owner))
        return false;
    set_owner_in(&region->self, owner);
    return true;
}

bool neap_region_give(struct neap_region *region, void *address, unsigned owner)
{
    struct survey survey;

    survey.need_bytes = 0;
    if (!is_owner(owner) || address == NULL || !find(region, &survey, address))
        return false;
    set_owner_in(&survey.found->head, owner);
    return true;
}

/* The block after this one, or the end of the heap; NULL if this one's size is impossible. For
 * walks that go on past a broken guard. */
static struct block *next_of(const struct neap_region *region, const struct block *block)
{
    size_t bytes = bytes_of(block->head);

    if (bytes < MIN_BLOCK_BYTES || bytes > (uintptr_t)end_of(region) - (uintptr_t)block)
        return NULL;
    return block_at(block, bytes);
}

size_t neap_region_owner_bytes(const struct neap_region *region, unsigned owner)
{
    const struct block *block = first_block(region);
    size_t owned_bytes = 0;

    if (!is_owner(owner))
        return 0;
    while (block != NULL && block != end_of(region)) {
        const struct block *next = next_of(region, block);

        if (next != NULL && is_owned_by(block, owner))
            owned_bytes += bytes_of(block->head);
        block = next;
    }
    return owned_bytes;
}

/* False, and the hook called, if a size is impossible; else the peak is brought up to date. */
static bool examine_sizes(struct neap_region *region)
{
    const struct block *block = first_block(region);
    word used_units = 0;

    while (block != end_of(region)) {
        if (!is_free(block))
            used_units = (word)(used_units + (block->head & SIZE_MASK));
        block = next_of(region, block);
        if (block == NULL) {
            const void *suspect;
            enum neap_region_fault fault = neap_region_check(region, &suspect);

            neap_region_on_fault(region, fault, suspect);
            return false;
        }
    }
    if (used_units > region->peak)
        region->peak = used_units;
    return true;
}

/* A process may well be ended because it broke a guard, so guards do not stop this. */
size_t neap_region_free_owner(struct neap_region *region, unsigned owner)
{
    struct block *block = first_block(region);
    struct block *below = below_first(region);
    size_t freed_bytes = 0;

    if (!is_owner(owner) || !examine_sizes(region))
        return 0;
    while (block != end_of(region)) {
        struct block *next = block_at(block, bytes_of(block->head));

        if (is_owned_by(block, owner)) {
            freed_bytes += bytes_of(block->head);
            block->head = (word)(FREE | (block->head & SIZE_MASK));
        }
        if (is_free(block) && is_free(below))
            below->head = (word)(below->head + (block->head & SIZE_MASK));
        else
            below = block;
        block = next;
    }
    return freed_bytes;
}

struct printer {
    void (*put_char)(char c, void *context);
    void *context;
};

static size_t power_of_ten(unsigned exponent)
{
    size_t power = 1;

    for (; exponent != 0; exponent--)
        power *= 10;
    return power;
}

/* Subtraction stands in for a division, which is a library call on small machines. */
static void print_number(const struct printer *printer, size_t number, unsigned width)
{
    const unsigned max_digits = sizeof(size_t) == 2 ? 5 : sizeof(size_t) == 4 ? 10 : 20;
    unsigned digit_count = 1;

    while (digit_count < max_digits && number >= power_of_ten(digit_count))
        digit_count++;
    for (; width > digit_count; width--)
        printer->put_char(' ', printer->context);
    while (digit_count != 0) {
        size_t power = power_of_ten(--digit_count);
        char digit = '0';

        for (; number >= power; number -= power)
            digit++;
        printer->put_char(digit, printer->context);
    }
}

#define FOUR_LETTERS(a, b, c, d)                                                                   \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

/* Titles are numbers in the code, for a string would be data, which AVR keeps in its RAM. */
static void print_title(const struct printer *printer, uint32_t first, uint32_t last)
{
    unsigned count;

    printer->put_char(' ', printer->context);
    printer->put_char(' ', printer->context);
    for (count = 8; count != 0; count--) {
        printer->put_char((char)(unsigned char)(first >> 24), printer->context);
        first = first << 8 | last >> 24;
        last <<= 8;
    }
}

#define COLUMN_WIDTH 10

void neap_region_print(const struct neap_region *region, void (*put_char)(char c, void *context),
                       void *context)
{
    struct printer printer;
    struct neap_region_stats stats;

    printer.put_char = put_char;
    printer.context = context;
    neap_region_stats(region, &stats);
    print_title(&printer, FOUR_LETTERS(' ', ' ', ' ', 't'), FOUR_LETTERS('o', 't', 'a', 'l'));
    print_title(&printer, FOUR_LETTERS(' ', ' ', ' ', ' '), FOUR_LETTERS('u', 's', 'e', 'd'));
    print_title(&printer, FOUR_LETTERS(' ', ' ', ' ', ' '), FOUR_LETTERS('f', 'r', 'e', 'e'));
    print_title(&printer, FOUR_LETTERS(' ', 'm', 'a', 'x'), FOUR_LETTERS('u', 's', 'e', 'd'));
    print_title(&printer, FOUR_LETTERS(' ', 'm', 'a', 'x'), FOUR_LETTERS('f', 'r', 'e', 'e'));
    print_title(&printer, FOUR_LETTERS(' ', ' ', ' ', 'n'), FOUR_LETTERS('u', 's', 'e', 'd'));
    print_title(&printer, FOUR_LETTERS(' ', ' ', ' ', 'n'), FOUR_LETTERS('f', 'r', 'e', 'e'));
    put_char('\n', context);
    print_number(&printer, stats.total_bytes, COLUMN_WIDTH);
    print_number(&printer, stats.used_bytes, COLUMN_WIDTH);
    print_number(&printer, stats.free_bytes, COLUMN_WIDTH);
    print_number(&printer, stats.maxused_bytes, COLUMN_WIDTH);
    print_number(&printer, stats.maxfree_bytes, COLUMN_WIDTH);
    print_number(&printer, stats.used_count, COLUMN_WIDTH);
    print_number(&printer, stats.free_count, COLUMN_WIDTH);
    put_char('\n', context);
}

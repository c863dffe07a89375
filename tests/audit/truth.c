/* See truth.h. For each granule of addresses that a live block ever lay in there is a count of the
 * live blocks that overlap it, and whether it was resident at the last look; by windows, as neap
 * does it, because addresses are few and far between. */
#include "truth.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"
#include "bits.h"
#include "limits.h"
#include "meta.h"
#include "serve.h"
#include "tune.h"

enum {
    ADDRESS_BITS = 48,
    GUARD_TABLE_COUNT = 1 << (ADDRESS_BITS - NP_WINDOW_SHIFT),
};

struct area {
    _Atomic uint16_t live_counts[NP_WINDOW_GRANULES];
    bool is_resident[NP_WINDOW_GRANULES];
};

static _Atomic(struct area *) *areas;
static _Atomic size_t live_bytes;
static _Atomic uint64_t next_tag;
static int pagemap = -1;

void truth_fail(const char *file, int line, const char *what)
{
    fflush(stdout);
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    _exit(1);
}

void *truth_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    REQUIRE(memory != MAP_FAILED);
    return memory;
}

void truth_begin(void)
{
    if (pagemap >= 0)
        close(pagemap);
    pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    REQUIRE(pagemap >= 0);
    if (areas == NULL)
        areas = truth_map(GUARD_TABLE_COUNT * sizeof areas[0]);
}

static struct area *area_of(uintptr_t address)
{
    return atomic_load(&areas[address >> NP_WINDOW_SHIFT]);
}

static struct area *ensure_area(uintptr_t address)
{
    struct area *area = area_of(address);
    struct area *none = NULL;

    if (area != NULL)
        return area;
    area = truth_map(sizeof *area);
    if (!atomic_compare_exchange_strong(&areas[address >> NP_WINDOW_SHIFT], &none, area)) {
        munmap(area, sizeof *area);
        return none;
    }
    return area;
}

static _Atomic uint16_t *live_count_of(uintptr_t address)
{
    return &ensure_area(address)->live_counts[(address % NP_WINDOW_BYTES) >> NP_GRANULE_SHIFT];
}

static bool is_in_arena(const struct block *block)
{
    return np_window_find((uintptr_t)block->address) != NULL;
}

/* What a block keeps from others: a slot, or whole granules of a run. At level 2 the program may
 * use less of a slot. */
static size_t bytes_taken(const struct block *block)
{
    const struct np_slab *slab = np_slab_find((uintptr_t)block->address);

    return slab != NULL ? slab->slot_bytes : np_align_up(block->bytes, NP_GRANULE_BYTES);
}

/* Counts a block as live, or no longer. Blocks with a mapping of their own go entirely: nothing of
 * them can be retained. */
static void count_live(const struct block *block, int sign)
{
    uintptr_t first = np_align_down((uintptr_t)block->address, NP_GRANULE_BYTES);
    size_t bytes;

    if (!is_in_arena(block))
        return;
    bytes = bytes_taken(block);
    for (uintptr_t at = first; at < (uintptr_t)block->address + bytes; at += NP_GRANULE_BYTES)
        atomic_fetch_add(live_count_of(at), (uint16_t)sign);
    atomic_fetch_add(&live_bytes, sign > 0 ? bytes : -bytes);
}

/* The words that are written: both edges, and the first of each page between. Returns whether they
 * hold what they should; writes them first if asked to. */
enum mark { MARK_WRITE, MARK_CHECK };

static bool mark_word(char *address, uint64_t tag, enum mark mark)
{
    uint64_t word = tag ^ (uint64_t)(uintptr_t)address;
    uint64_t found;

    if (mark == MARK_WRITE)
        memcpy(address, &word, sizeof word);
    memcpy(&found, address, sizeof found);
    return found == word;
}

static bool mark(const struct block *block, size_t bytes, enum mark mark)
{
    uintptr_t end = (uintptr_t)block->address + np_align_down(bytes, sizeof(uint64_t));
    uintptr_t page = np_align_down((uintptr_t)block->address, NP_GRANULE_BYTES) + NP_GRANULE_BYTES;
    bool is_right = mark_word(block->address, block->tag, mark);

    for (; page + sizeof(uint64_t) <= end; page += NP_GRANULE_BYTES)
        is_right &= mark_word((char *)page, block->tag, mark);
    if (bytes == block->bytes)
        is_right &= mark_word((char *)end - sizeof(uint64_t), block->tag, mark);
    return is_right;
}

/* Room for one word that is written. */
static size_t at_least_a_word(size_t size_bytes)
{
    return np_max(size_bytes, sizeof(uint64_t));
}

static void adopt(struct block *block, void *memory)
{
    REQUIRE(memory != NULL);
    block->address = memory;
    block->bytes = np_serve_usable_size(memory);
    REQUIRE(block->bytes >= sizeof(uint64_t));
    block->tag = np_mix(atomic_fetch_add(&next_tag, 1));
    count_live(block, 1);
}

void block_take_untouched(struct block *block, size_t size_bytes)
{
    adopt(block, np_serve_malloc(at_least_a_word(size_bytes)));
    block->tag = 0;
}

void block_take(struct block *block, size_t size_bytes)
{
    adopt(block, np_serve_malloc(at_least_a_word(size_bytes)));
    (void)mark(block, block->bytes, MARK_WRITE);
}

void block_take_zeroed(struct block *block, size_t size_bytes)
{
    void *memory = np_serve_calloc(1, at_least_a_word(size_bytes));

    adopt(block, memory);
    for (size_t at = 0; at < size_bytes; at++)
        REQUIRE(((char *)memory)[at] == 0);
    (void)mark(block, block->bytes, MARK_WRITE);
}

void block_take_aligned(struct block *block, size_t alignment_bytes, size_t size_bytes)
{
    adopt(block, np_serve_memalign(alignment_bytes, at_least_a_word(size_bytes)));
    REQUIRE((uintptr_t)block->address % alignment_bytes == 0);
    (void)mark(block, block->bytes, MARK_WRITE);
}

static void check(const struct block *block)
{
    if (block->tag != 0 && !mark(block, block->bytes, MARK_CHECK))
        truth_fail(__FILE__, __LINE__, "a live block has lost its contents");
}

void block_resize(struct block *block, size_t size_bytes)
{
    struct block before = *block;
    void *memory;

    check(block);
    count_live(block, -1);
    memory = np_serve_realloc(before.address, at_least_a_word(size_bytes));
    adopt(block, memory);
    if (before.tag != 0 && size_bytes >= sizeof(uint64_t))
        REQUIRE(*(uint64_t *)memory == (before.tag ^ (uint64_t)(uintptr_t)before.address));
    (void)mark(block, block->bytes, MARK_WRITE);
}

void block_give(struct block *block)
{
    struct block gone = *block;

    if (gone.address == NULL)
        return;
    check(&gone);
    block->address = NULL;
    count_live(&gone, -1); /* first: afterwards somebody else may have the memory */
    np_serve_free(gone.address);
}

size_t truth_live_bytes(void)
{
    return atomic_load(&live_bytes);
}

/* Bits of an entry of pagemap. */
#define PAGE_PRESENT_BIT (UINT64_C(1) << 63)
#define PAGE_SWAPPED_BIT (UINT64_C(1) << 62)
#define PAGE_EXCLUSIVE_BIT                                                                         \
    (UINT64_C(1) << 56) /* mapped here only: not the kernel's page of zeros */

/* Calls visit for each page of the kernel's in [start, end), which is whole pages of it. */
static void each_page(uintptr_t start, uintptr_t end,
                      void (*visit)(uintptr_t page, uint64_t entry, void *context), void *context)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    static uint64_t entries[4096];

    while (start < end) {
        size_t count = np_min((end - start) / page_bytes, sizeof entries / sizeof entries[0]);
        size_t bytes = count * sizeof entries[0];

        REQUIRE(pread(pagemap, entries, bytes, (off_t)(start / page_bytes * sizeof entries[0])) ==
                (ssize_t)bytes);
        for (size_t at = 0; at < count; at++)
            visit(start + at * page_bytes, entries[at], context);
        start += count * page_bytes;
    }
}

/* At level 2 free slots are read, and where there was no memory is the kernel's page of zeros then.
 * (In the child of a fork what is its parent's, too, does not count then.) */
static bool is_there(uint64_t entry)
{
    if (np_tune_get(NP_KNOB_HARDENING) == 2 && (entry & PAGE_PRESENT_BIT) != 0)
        return (entry & PAGE_EXCLUSIVE_BIT) != 0;
    return (entry & (PAGE_PRESENT_BIT | PAGE_SWAPPED_BIT)) != 0;
}

static void note_page(uintptr_t page, uint64_t entry, void *context)
{
    bool is_resident = is_there(entry);

    (void)context;
    for (uintptr_t at = page; at < page + (size_t)sysconf(_SC_PAGESIZE); at += NP_GRANULE_BYTES)
        ensure_area(at)->is_resident[(at % NP_WINDOW_BYTES) >> NP_GRANULE_SHIFT] = is_resident;
}

void truth_look(void)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        for (struct np_stretch *stretch = arena->stretches; stretch != NULL;
             stretch = stretch->next)
            each_page(np_align_down(stretch->start, page_bytes),
                      np_align_down(np_max(stretch->limit, stretch->end), page_bytes), note_page,
                      NULL);
}

bool truth_is_resident(uintptr_t granule_address)
{
    struct area *area = area_of(granule_address);

    return area != NULL &&
           area->is_resident[(granule_address % NP_WINDOW_BYTES) >> NP_GRANULE_SHIFT];
}

bool truth_is_live(uintptr_t granule_address)
{
    struct area *area = area_of(granule_address);

    return area != NULL &&
           atomic_load(
               &area->live_counts[(granule_address % NP_WINDOW_BYTES) >> NP_GRANULE_SHIFT]) != 0;
}

size_t truth_retained_bytes(uintptr_t start, uintptr_t end)
{
    size_t page_bytes = np_page_bytes();
    size_t bytes = 0;

    for (uintptr_t page = np_align_down(start, page_bytes); page < end; page += page_bytes) {
        size_t resident = 0;
        bool is_live = false;

        for (uintptr_t at = page; at < page + page_bytes; at += NP_GRANULE_BYTES) {
            is_live |= truth_is_live(at);
            if (at >= start && at < end && truth_is_resident(at))
                resident += NP_GRANULE_BYTES;
        }
        bytes += is_live ? 0 : resident;
    }
    return bytes;
}

static void add_page(uintptr_t page, uint64_t entry, void *context)
{
    (void)page;
    *(size_t *)context += (entry & PAGE_EXCLUSIVE_BIT) != 0 ? (size_t)sysconf(_SC_PAGESIZE) : 0;
}

size_t truth_written_bytes(uintptr_t start, uintptr_t end)
{
    size_t bytes = 0;

    each_page(start, end, add_page, &bytes);
    return bytes;
}

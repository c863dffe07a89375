/* Mappings of single objects. See large.h for the table.
 *
 * Why no lock is needed: an entry is claimed by one compare-and-swap of its address from 0 to 1, filled by the
 * claimant alone, and made visible by the release store of the address. Only the program's free of that
 * object clears it, once; a second free of the same address finds nothing (or, at worst, a newer object of the
 * same address, as with any allocator). A look-up of a live object cannot miss it: the entry was written before
 * malloc returned, and stays until free. The mark and the room, in the same word as the address, are changed by plain
 * loads and stores of the thread that has the object in its hands (malloc, free, realloc); whoever looks meanwhile compares
 * the address only, which is the same before and after.
 */
#include "large.h"

#include "arena.h"
#include "bits.h"
#include "check.h"
#include "limits.h"
#include "os.h"
#include "tail.h"
#include "tune.h"
#include "waiting.h"

#define LEVEL_COUNT 20
#define FIRST_LEVEL_SHIFT 8 /* 256 entries fill one 4 KiB page */
#define WINDOW_COUNT 16     /* four cache lines */

/* Of an entry's address: an object begins at a granule, and in the bits below are its mark and, in granules, its room. */
enum { ENTRY_FREE = 0, ENTRY_BEING_FILLED = 1 };
#define MARK_MASK ((uintptr_t)NP_LARGE_MARK_MAX)
#define LOW_MASK ((uintptr_t)NP_GRANULE_BYTES - 1)
#define ROOM_MASK (LOW_MASK & ~MARK_MASK)
#define ROOM_UNIT (NP_GRANULE_BYTES / (MARK_MASK + 1)) /* bytes for each of the value of these bits */

/* In requested_bytes, which is at most PTRDIFF_MAX: the object lies between guard pages. */
#define GUARDED_BIT (~(SIZE_MAX >> 1))
#define GUARDED_FILL 0xD5 /* each byte behind it */

/* A fault so near to an object is taken for one that was meant for it. */
#define NEAR_BYTES ((size_t)4 << 20)

struct entry {
    _Atomic uintptr_t address;
    _Atomic size_t requested_bytes;
};

struct level {
    _Atomic(struct entry *) entries; /* NULL: not made yet */
    _Atomic int64_t live_count;      /* negative while the level's memory is being given back */
};

static struct level levels[LEVEL_COUNT];

static _Atomic size_t object_count;
static _Atomic size_t object_bytes;
static _Atomic size_t object_requested_bytes;
static _Atomic size_t object_count_max;
static _Atomic size_t object_bytes_max;
static _Atomic uint64_t unmapped_bytes;
static _Atomic size_t unmapped_calls;
static _Atomic uint64_t unmapping_ns;

/* Of the mapping for a request of at least a byte, with a tail (tail.h); less than that: there is none so large. */
static size_t mapping_bytes(size_t requested_bytes)
{
    return np_align_up(requested_bytes + NP_TAIL_MAX_BYTES, np_os_page_bytes());
}

static size_t requested_of(const struct entry *entry)
{
    return atomic_load_explicit(&entry->requested_bytes, memory_order_relaxed) & ~GUARDED_BIT;
}

static bool is_guarded(const struct entry *entry)
{
    return (atomic_load_explicit(&entry->requested_bytes, memory_order_relaxed) & GUARDED_BIT) != 0;
}

static size_t entry_bytes(const struct entry *entry)
{
    return mapping_bytes(requested_of(entry));
}

static size_t room_bytes(const struct entry *entry)
{
    return (atomic_load_explicit(&entry->address, memory_order_relaxed) & ROOM_MASK) * ROOM_UNIT;
}

static size_t level_bytes(unsigned level)
{
    return sizeof(struct entry) << (FIRST_LEVEL_SHIFT + level);
}

static struct entry *window_of(struct entry *entries, unsigned level, uintptr_t address)
{
    size_t mask = (((size_t)1 << (FIRST_LEVEL_SHIFT + level)) - 1) & ~(size_t)(WINDOW_COUNT - 1);

    return entries + ((size_t)(np_mix(address) >> 16) & mask);
}

/* Makes the level if need be. */
static struct entry *entries_of(struct level *level, unsigned index)
{
    struct entry *entries = atomic_load_explicit(&level->entries, memory_order_acquire);
    struct entry *fresh;
    size_t bytes = np_align_up(level_bytes(index), np_os_page_bytes());

    if (NP_LIKELY(entries != NULL))
        return entries;
    fresh = np_os_map(bytes, 1);
    if (fresh == NULL)
        return NULL;
    /* release pairs with the acquire above: the memory is there for who sees the pointer. */
    if (atomic_compare_exchange_strong_explicit(&level->entries, &entries, fresh,
                                                memory_order_acq_rel, memory_order_acquire))
        return fresh;
    (void)np_os_release(fresh, bytes);
    return entries;
}

/* address: with the bits below it. */
static struct entry *insert_in(struct level *level, unsigned index, uintptr_t address,
                               size_t requested_bytes)
{
    struct entry *entries = entries_of(level, index);
    struct entry *entry;

    if (entries == NULL)
        return NULL;
    /* Counted before it is claimed, so that a level with a claimed entry is never taken for empty. */
    if (atomic_fetch_add(&level->live_count, 1) >= 0) {
        entry = window_of(entries, index, address & ~LOW_MASK);
        for (unsigned i = 0; i < WINDOW_COUNT; i++, entry++) {
            uintptr_t free_address = ENTRY_FREE;

            if (atomic_load_explicit(&entry->address, memory_order_relaxed) == ENTRY_FREE &&
                atomic_compare_exchange_strong(&entry->address, &free_address,
                                               ENTRY_BEING_FILLED)) {
                atomic_store_explicit(&entry->requested_bytes, requested_bytes,
                                      memory_order_relaxed);
                /* release pairs with the acquire in find(). */
                atomic_store_explicit(&entry->address, address, memory_order_release);
                return entry;
            }
        }
    }
    atomic_fetch_sub(&level->live_count, 1);
    return NULL;
}

static struct entry *insert(uintptr_t address, size_t requested_bytes)
{
    struct entry *entry = NULL;

    for (unsigned index = 0; entry == NULL && index < LEVEL_COUNT; index++) {
        if (entries_of(&levels[index], index) == NULL)
            break; /* find() looks no further than the first level that is not made */
        entry = insert_in(&levels[index], index, address, requested_bytes);
    }
    return entry;
}

/* The entry of a live object, and its level's index; NULL: none. */
static struct entry *find(uintptr_t address, unsigned *level_index)
{
    if (address % NP_GRANULE_BYTES != 0 || address == 0)
        return NULL;
    for (unsigned index = 0; index < LEVEL_COUNT; index++) {
        struct entry *entry = atomic_load_explicit(&levels[index].entries, memory_order_acquire);

        if (entry == NULL)
            return NULL; /* levels are made in order */
        entry = window_of(entry, index, address);
        for (unsigned i = 0; i < WINDOW_COUNT; i++, entry++) {
            if ((atomic_load_explicit(&entry->address, memory_order_acquire) & ~LOW_MASK) == address) {
                *level_index = index;
                return entry;
            }
        }
    }
    return NULL;
}

/* The memory behind an emptied level of more than a page goes back. While it does, live_count is far below zero, and
 * inserters go to the next level. */
static void purge_if_empty(struct level *level, unsigned index)
{
    int64_t none = 0;
    size_t bytes = np_align_up(level_bytes(index), np_os_page_bytes());

    if (bytes <= np_os_page_bytes() ||
        !atomic_compare_exchange_strong(&level->live_count, &none, INT64_MIN / 2))
        return;
    (void)np_os_purge(atomic_load(&level->entries), bytes);
    atomic_fetch_sub(&level->live_count, INT64_MIN / 2);
}

static void remove_entry(struct entry *entry, unsigned index)
{
    struct level *level = &levels[index];

    atomic_store_explicit(&entry->address, ENTRY_FREE, memory_order_release);
    if (atomic_fetch_sub(&level->live_count, 1) == 1)
        purge_if_empty(level, index);
}

static void raise_to(_Atomic size_t *most, size_t value)
{
    size_t known = atomic_load_explicit(most, memory_order_relaxed);

    while (known < value && !atomic_compare_exchange_weak(most, &known, value))
        ;
}

/* An object of `less` requested bytes has become one of `more`; 0: there is none. Room, which has no memory, counts nowhere. */
static void count_bytes(size_t more, size_t less)
{
    size_t now_bytes = more != 0 ? mapping_bytes(more) : 0;
    size_t before_bytes = less != 0 ? mapping_bytes(less) : 0;
    size_t growth = now_bytes - before_bytes;

    (void)atomic_fetch_add(&object_requested_bytes, more - less);
    np_arena_note_mapped(now_bytes, before_bytes);
    raise_to(&object_bytes_max, atomic_fetch_add(&object_bytes, growth) + growth);
}

static void count_unmapping(size_t bytes, uint64_t start_ns)
{
    atomic_fetch_add_explicit(&unmapped_bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&unmapped_calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&unmapping_ns, np_os_fine_ns() - start_ns, memory_order_relaxed);
}

static bool reserve_count(void)
{
    size_t most = (size_t)np_tune_get(NP_KNOB_MMAP_MAX);
    size_t count = atomic_fetch_add(&object_count, 1);

    if (count < most) {
        raise_to(&object_count_max, count + 1);
        return true;
    }
    atomic_fetch_sub(&object_count, 1);
    return false;
}

void *np_large_take(size_t size_bytes, size_t alignment_bytes)
{
    size_t requested_bytes = np_max(size_bytes, 1); /* one of no bytes has a page as well */
    size_t bytes = mapping_bytes(requested_bytes);
    void *memory;

    if (bytes < size_bytes || !reserve_count())
        return NULL;
    memory = np_os_map(bytes, alignment_bytes);
    if (memory != NULL && insert((uintptr_t)memory, requested_bytes) != NULL) {
        count_bytes(requested_bytes, 0);
        return memory;
    }
    if (memory != NULL)
        (void)np_os_release(memory, bytes);
    atomic_fetch_sub(&object_count, 1);
    return NULL;
}

size_t np_large_bytes(const void *memory)
{
    unsigned index;
    struct entry *entry = find((uintptr_t)memory, &index);

    return entry == NULL ? 0 : entry_bytes(entry) + room_bytes(entry);
}

size_t np_large_requested_bytes(const void *memory)
{
    unsigned index;
    struct entry *entry = find((uintptr_t)memory, &index);

    return entry == NULL ? 0 : requested_of(entry);
}

static void fill_behind(char *memory, size_t requested_bytes, int byte)
{
    memset(memory + requested_bytes, byte, mapping_bytes(requested_bytes) - requested_bytes);
}

/* Whether what lies behind the block, as far as its last page goes, is as it was left. */
static bool is_behind_whole(const struct entry *entry, const char *memory)
{
    if (!is_guarded(entry))
        return np_tail_is_whole(memory, requested_of(entry), entry_bytes(entry),
                                NP_TAIL_OF_MAPPING);
    for (size_t at = requested_of(entry); at < entry_bytes(entry); at++)
        if ((unsigned char)memory[at] != GUARDED_FILL)
            return false;
    return true;
}

static void require_whole_behind(const struct entry *entry, const char *memory)
{
    if (np_tune_get(NP_KNOB_HARDENING) >= 1 && NP_UNLIKELY(!is_behind_whole(entry, memory)))
        np_die_of("overflow: a block was written beyond its end", (uintptr_t)memory, "mapping",
                  requested_of(entry));
}

void np_large_check(void)
{
    for (unsigned index = 0; index < LEVEL_COUNT; index++) {
        const struct entry *entry = atomic_load_explicit(&levels[index].entries, memory_order_acquire);

        for (size_t i = 0; entry != NULL && i < (size_t)1 << (FIRST_LEVEL_SHIFT + index); i++) {
            uintptr_t start = atomic_load(&entry[i].address) & ~LOW_MASK;

            if (start != 0)
                require_whole_behind(&entry[i], (const char *)start);
        }
    }
}

void np_large_set_mark(void *memory, unsigned mark)
{
    unsigned index;
    struct entry *entry = find((uintptr_t)memory, &index);

    if (entry != NULL)
        atomic_store_explicit(&entry->address, (atomic_load(&entry->address) & ~MARK_MASK) | mark,
                              memory_order_release);
}

int np_large_mark(const void *memory)
{
    unsigned index;
    struct entry *entry = find((uintptr_t)memory, &index);

    return entry != NULL ? (int)(atomic_load_explicit(&entry->address, memory_order_relaxed) & MARK_MASK)
                         : -1;
}

void *np_large_take_guarded(size_t size_bytes, size_t alignment_bytes)
{
    size_t requested_bytes = np_max(size_bytes, 1);
    size_t bytes = mapping_bytes(requested_bytes);
    char *memory;

    if (size_bytes > SIZE_MAX / 4 || alignment_bytes > SIZE_MAX / 4 || !reserve_count())
        return NULL;
    memory = np_os_map_guarded(bytes, alignment_bytes);
    if (memory != NULL && insert((uintptr_t)memory, requested_bytes | GUARDED_BIT) != NULL) {
        fill_behind(memory, requested_bytes, GUARDED_FILL);
        count_bytes(requested_bytes, 0);
        return memory;
    }
    if (memory != NULL)
        (void)np_os_release(memory - np_os_page_bytes(), bytes + 2 * np_os_page_bytes());
    atomic_fetch_sub(&object_count, 1);
    return NULL;
}

bool np_large_give(void *memory)
{
    unsigned index;
    struct entry *entry = find((uintptr_t)memory, &index);
    size_t requested_bytes;
    size_t bytes;
    size_t room;
    uint64_t start_ns;
    bool is_between_guards;

    if (entry == NULL)
        return false;
    requested_bytes = requested_of(entry);
    bytes = mapping_bytes(requested_bytes);
    room = room_bytes(entry);
    require_whole_behind(entry, memory);
    is_between_guards = is_guarded(entry);
    /* First out of the table, then unmapped: the kernel may give the address to somebody at once. */
    remove_entry(entry, index);
    atomic_fetch_sub(&object_count, 1);
    count_bytes(0, requested_bytes);
    start_ns = np_os_fine_ns();
    if (is_between_guards) {
        np_waiting_put((char *)memory - np_os_page_bytes(), bytes + 2 * np_os_page_bytes());
    } else {
        np_waiting_note(memory, bytes);
        (void)np_os_release(memory, bytes + room);
    }
    count_unmapping(bytes, start_ns);
    /* As ptmalloc: what is larger than the rule's limit says nothing about where blocks come and go. */
    if (bytes <= NP_MMAP_THRESHOLD_DYNAMIC_MAX_BYTES) {
        /* so that the next one of its size is no mapping */
        np_tune_raise_mmap_threshold(
            (int64_t)np_align_up(requested_bytes, np_os_page_bytes()) + 1);
        np_arena_note_unmapped(bytes);
    }
    return true;
}

/* A page that is only read is one for all to the kernel, and when it is written, a moment later, that takes a second fault,
 * and all processors are told. So the last page, which is about to be looked at, is written, as it is. */
static void touch_last(char *memory, size_t requested_bytes)
{
    char *last = memory + mapping_bytes(requested_bytes) - 1;
    char was = __atomic_exchange_n(last, NP_TAIL_OF_MAPPING, __ATOMIC_RELAXED);

    if (NP_UNLIKELY(was != NP_TAIL_OF_MAPPING))
        *last = was;
}

/* A mapping that grows by a small step will grow again, and would cost a call each time: it gets addresses behind it that
 * have no memory until it does. */
static size_t room_for(size_t bytes, size_t old_bytes)
{
    if (bytes <= old_bytes || bytes - old_bytes > old_bytes / NP_SMALL_STEP_SHARE)
        return 0;
    return np_align_down(np_min(bytes / NP_ROOM_SHARE, ROOM_MASK * ROOM_UNIT), np_os_page_bytes());
}

/* Changes the mapping's size where it lies, if it has to: what it has and gets is with room. */
static bool resize_in_place(void *memory, size_t has_bytes, size_t bytes)
{
    return bytes == has_bytes ||
           np_os_remap(memory, has_bytes, bytes, NP_OS_REMAP_IN_PLACE) != NULL;
}

/* The entry goes first: once moved, the old address may be another thread's. Nobody looks this object up meanwhile, the
 * program being inside realloc with it. Its place may be taken when the move fails, so it is inserted anew, which finds a
 * place unless memory for the table is short. NULL: not moved. */
static char *move(char *memory, struct entry **entry, size_t has_bytes, size_t bytes)
{
    size_t requested = atomic_load_explicit(&(*entry)->requested_bytes, memory_order_relaxed);
    uintptr_t low;
    unsigned index;
    char *moved;

    *entry = find((uintptr_t)memory, &index);
    low = atomic_load_explicit(&(*entry)->address, memory_order_relaxed) & LOW_MASK;
    remove_entry(*entry, index);
    moved = np_os_remap(memory, has_bytes, bytes, NP_OS_REMAP_ANYWHERE);
    *entry = insert((uintptr_t)(moved != NULL ? moved : memory) | low, requested);
    if (*entry == NULL)
        np_die("no memory to keep track of a large object in realloc");
    return moved;
}

void *np_large_resize(void *memory, size_t size_bytes)
{
    unsigned index;
    struct entry *entry = find((uintptr_t)memory, &index);
    size_t requested_bytes = np_max(size_bytes, 1);
    size_t bytes = mapping_bytes(requested_bytes);
    size_t old_requested_bytes;
    size_t old_bytes;
    size_t has_bytes;
    size_t room;
    size_t guarded_bit;
    uint64_t start_ns;
    char *now = memory;

    if (entry == NULL || bytes < size_bytes)
        return NULL;
    old_requested_bytes = requested_of(entry);
    old_bytes = mapping_bytes(old_requested_bytes);
    has_bytes = old_bytes + room_bytes(entry);
    guarded_bit = atomic_load_explicit(&entry->requested_bytes, memory_order_relaxed) & GUARDED_BIT;
    if (guarded_bit == 0 && requested_bytes > old_requested_bytes && np_tune_get(NP_KNOB_HARDENING) >= 1)
        touch_last(memory, old_requested_bytes);
    require_whole_behind(entry, memory);
    if (guarded_bit != 0 && bytes != old_bytes)
        return NULL; /* its guard pages lie where they lie */
    room = bytes >= old_bytes && bytes <= has_bytes ? has_bytes - bytes : room_for(bytes, old_bytes);
    start_ns = np_os_fine_ns();
    if (!resize_in_place(memory, has_bytes, bytes + room)) {
        now = move(memory, &entry, has_bytes, bytes + room);
        if (now == NULL && room != 0) { /* perhaps there are not as many addresses */
            room = 0;
            now = move(memory, &entry, has_bytes, bytes);
        }
        if (now == NULL)
            return NULL;
        if (now != memory)
            np_waiting_note(memory, old_bytes);
    }
    if (bytes < old_bytes)
        count_unmapping(old_bytes - bytes, start_ns);
    /* Of what is cut off nothing is left to be read; what is new is zero, and is not touched. */
    if (guarded_bit != 0 || requested_bytes < old_requested_bytes)
        fill_behind(now, requested_bytes, guarded_bit != 0 ? GUARDED_FILL : NP_TAIL_OF_MAPPING);
    atomic_store_explicit(&entry->requested_bytes, requested_bytes | guarded_bit, memory_order_relaxed);
    atomic_store_explicit(
        &entry->address,
        (atomic_load_explicit(&entry->address, memory_order_relaxed) & ~ROOM_MASK) | room / ROOM_UNIT, memory_order_release);
    count_bytes(requested_bytes, old_requested_bytes);
    return now;
}

uintptr_t np_large_around(uintptr_t address)
{
    for (unsigned index = 0; index < LEVEL_COUNT; index++) {
        struct entry *entry = atomic_load_explicit(&levels[index].entries, memory_order_acquire);

        for (size_t i = 0; entry != NULL && i < (size_t)1 << (FIRST_LEVEL_SHIFT + index); i++) {
            uintptr_t start = atomic_load_explicit(&entry[i].address, memory_order_acquire) & ~LOW_MASK;

            if (start != 0 && start <= address &&
                address - start < entry_bytes(&entry[i]))
                return start;
        }
    }
    return 0;
}

enum np_guarded np_large_guarded_around(uintptr_t address, size_t *requested_bytes)
{
    if (np_waiting_holds(address, requested_bytes))
        return NP_GUARDED_FREED;
    for (size_t distance = np_os_page_bytes(); distance <= NEAR_BYTES; distance *= 2) {
        uintptr_t before = np_large_around(address - distance);
        uintptr_t beside = before != 0 ? before : np_large_around(address + distance);

        *requested_bytes = np_large_requested_bytes((void *)beside);
        if (beside != 0)
            return NP_GUARDED_BESIDE;
    }
    return NP_GUARDED_NONE;
}

struct np_large_totals np_large_totals(void)
{
    struct np_large_totals totals = {
        .count = atomic_load(&object_count),
        .bytes = atomic_load(&object_bytes),
        .requested_bytes = atomic_load(&object_requested_bytes),
        .count_max = atomic_load(&object_count_max),
        .bytes_max = atomic_load(&object_bytes_max),
        .unmapped_bytes = atomic_load(&unmapped_bytes),
        .unmapped_calls = atomic_load(&unmapped_calls),
        .unmapping_ns = atomic_load(&unmapping_ns),
    };

    for (unsigned index = 0; index < LEVEL_COUNT; index++)
        if (atomic_load_explicit(&levels[index].entries, memory_order_relaxed) != NULL)
            totals.table_bytes += np_align_up(level_bytes(index), np_os_page_bytes());
    return totals;
}

size_t np_large_table_resident_bytes(void)
{
    size_t bytes = 0;

    for (unsigned index = 0; index < LEVEL_COUNT; index++) {
        const struct entry *entries =
            atomic_load_explicit(&levels[index].entries, memory_order_acquire);

        if (entries != NULL)
            bytes += np_os_resident_bytes(entries,
                                          np_align_up(level_bytes(index), np_os_page_bytes()));
    }
    return bytes;
}

const char *np_large_audit(void)
{
    size_t count = 0;
    size_t bytes = 0;
    size_t requested_bytes = 0;

    for (unsigned index = 0; index < LEVEL_COUNT; index++) {
        struct entry *entry = atomic_load(&levels[index].entries);
        int64_t live_count = 0;

        for (size_t i = 0; entry != NULL && i < (size_t)1 << (FIRST_LEVEL_SHIFT + index); i++) {
            if (atomic_load(&entry[i].address) == ENTRY_FREE)
                continue;
            live_count++;
            bytes += entry_bytes(&entry[i]);
            requested_bytes += requested_of(&entry[i]);
        }
        if (live_count != atomic_load(&levels[index].live_count))
            return "L2: a level's entries are miscounted";
        count += (size_t)live_count;
    }
    if (count != atomic_load(&object_count) || bytes != atomic_load(&object_bytes) ||
        requested_bytes != atomic_load(&object_requested_bytes))
        return "L1: the table does not hold what was counted";
    return NULL;
}

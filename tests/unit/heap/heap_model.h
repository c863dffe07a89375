/* Several heaps, and a shadow of what they have handed out: every block, with a stamp in it. And
 * the truth about slabs and memory, found by walking all records, bits and pages, to be compared
 * with what the layers believe. */
#ifndef NP_TESTS_HEAP_MODEL_H
#define NP_TESTS_HEAP_MODEL_H

#include "alone.h"
#include "depot.h"
#include "heap.h"
#include "mxfast.h"
#include "part_classes.h"
#include "return.h"
#include "slab_model.h"
#include "tune.h"
#include "window.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

enum { HEAPS = 3, BLOCK_MAX = 60000 };

static struct np_heap heaps[HEAPS];

struct block {
    unsigned char *memory;
    size_t bytes;
    unsigned char stamp;
};

static struct block blocks[BLOCK_MAX];
static size_t block_count;

/* They stand for as many threads; libc does not know, so it is told. */
static inline void init_heaps(void)
{
    set_alone(0);
    for (size_t i = 0; i < HEAPS; i++) {
        np_heap_init(&heaps[i]);
        heaps[i].next = i > 0 ? &heaps[i - 1] : NULL;
    }
    atomic_store(&np_heaps, &heaps[HEAPS - 1]);
}

/* ---- as malloc and free do ---- */

/* The fast path, then the slow one. */
static inline void *take_block(struct np_heap *heap, size_t bytes)
{
    void *memory = bytes <= NP_DIRECT_MAX_BYTES ? np_heap_try_take(heap, bytes) : NULL;

    return memory != NULL ? memory : np_heap_take(heap, bytes, NP_MAY_GROW);
}

/* The slab of an address if this heap holds it. */
static inline struct np_slab *open_slab_of(const struct np_heap *heap, const void *memory)
{
    /* Also of a slab's second unit, as on the slow path. */
    struct np_slab *slab = np_slab_find((uintptr_t)memory);

    return slab != NULL && atomic_load(&slab->owner) == heap ? slab : NULL;
}

/* heap NULL: a thread without one. */
static inline void give_block(struct np_heap *heap, void *memory)
{
    struct np_slab *slab = heap != NULL ? open_slab_of(heap, memory) : NULL;

    if (slab == NULL)
        assert_true(np_heap_push(heap, np_slab_find((uintptr_t)memory), memory));
    else if (np_slab_give(slab, memory))
        np_heap_notice(heap, slab);
}

/* ---- the shadow ---- */

/* A block that was taken is one of ours. */
static inline void note_block(unsigned char *memory, size_t bytes)
{
    struct block *block = &blocks[block_count];

    assert_true(block_count < BLOCK_MAX);
    *block = (struct block){memory, bytes, (unsigned char)(1 + block_count % 255)};
    assert_non_null(block->memory);
    assert_int_equal((uintptr_t)block->memory % NP_ALIGNMENT, 0);
    assert_true(np_slab_find((uintptr_t)block->memory)->slot_bytes >= bytes);
    memset(block->memory, block->stamp, bytes);
    block_count++;
}

static inline void add_block(struct np_heap *heap, size_t bytes)
{
    note_block(take_block(heap, bytes), bytes);
}

static inline void remove_block(struct np_heap *heap, size_t index)
{
    struct block block = blocks[index];

    /* All bytes are like the first one. */
    if (block.bytes > 0 && (block.memory[0] != block.stamp ||
                            memcmp(block.memory, block.memory + 1, block.bytes - 1) != 0))
        fail_msg("a block of %zu bytes is not what was written", block.bytes);
    blocks[index] = blocks[--block_count];
    give_block(heap, block.memory);
}

static inline struct np_slab *slab_of(size_t index)
{
    return np_slab_find((uintptr_t)blocks[index].memory);
}

/* Nobody has the slab of this address any more: it was given back, or is listed without live slots
 * until its memory is returned. */
static inline void expect_let_go(uintptr_t address)
{
    const struct np_slab *slab = np_slab_find(address);

    if (slab == NULL)
        return;
    assert_false(np_slab_is_open(slab));
    assert_true(np_slab_is_listed(slab));
    assert_int_equal(word_count(slab), slab->slot_count);
    assert_true(atomic_load(&slab->charged_count) > 0);
}

/* ---- what holds after every step ---- */

static inline size_t open_bytes_max(void)
{
    size_t knob = (size_t)np_tune_get(NP_KNOB_OPEN_BYTES);

    /* The one slab that a heap always may hold, of two units at the most, comes on top of what it
     * had lent; that is no more than a page for each class. */
    return knob < 512 * KIB ? knob + 2 * NP_UNIT_BYTES + 5 * np_page_bytes() : knob;
}

static inline void expect_sound(void)
{
    for (size_t i = 0; i < HEAPS; i++) {
        assert_sound(np_heap_audit(&heaps[i]));
        assert_true(heaps[i].open_bytes <= open_bytes_max() + heaps[i].reserved_bytes);
        assert_true(heaps[i].open_count <= NP_OPEN_MAX);
    }
    for (unsigned class_index = 0; class_index < NP_CLASS_TABLE_COUNT; class_index++)
        assert_sound(np_depot_audit(class_index));
    assert_sound(np_arena_audit_all());
}

static inline size_t lent_bytes(void)
{
    size_t bytes = 0;

    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        bytes += atomic_load(&arena->system_bytes) -
                 (atomic_load(&arena->free_granules) << NP_GRANULE_SHIFT);
    return bytes;
}

/* Once nothing is live and every heap has closed what it held, no more is retained than may be, and
 * what is goes back with the slabs. */
static inline void expect_nothing_left(void)
{
    for (size_t i = 0; i < HEAPS; i++)
        np_heap_close_all(&heaps[i]);
    expect_sound();
    assert_true(np_return_retained_bytes() <= np_return_threshold_bytes());
    (void)np_return_all(0);
    expect_sound();
    assert_int_equal(lent_bytes(), 0);
    assert_int_equal(atomic_load(&np_slab_sums.granules), 0);
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 0);
    assert_int_equal(atomic_load(&np_slab_sums.settled_bytes), 0);
}

/* ---- the truth ---- */

struct truth {
    size_t slab_granules;
    size_t charged_granules;
    size_t settled_bytes;
    size_t closed_live_bytes;
    size_t
        retained_granules; /* in closed slabs: warm, in whole system pages, without a live slot */
    size_t resident_granules; /* the same, and the kernel has memory there */
    size_t run_granules;      /* of free runs, with memory by the kernel, whole system pages */
    unsigned slab_count;
};

static inline bool is_told_to_visitors(const struct np_window *window, unsigned unit)
{
    return (atomic_load(&window->charged[unit / 64]) >> unit % 64 & 1) != 0;
}

/* System pages of the slab of which the kernel has some, as a mask of granules. */
static inline uint32_t really_resident_pages(const struct np_slab *slab)
{
    size_t page_bytes = np_page_bytes();
    uint32_t mask = (uint32_t)((UINT64_C(1) << page_bytes / PAGE) - 1);
    uint32_t pages = 0;

    if (os_fake_resident_bytes((void *)slab->start, slab->unit_count * NP_UNIT_BYTES) == 0)
        return 0;
    for (uintptr_t at = 0; at < slab->unit_count * NP_UNIT_BYTES; at += page_bytes)
        if (os_fake_resident_bytes((void *)(slab->start + at), page_bytes) != 0)
            pages |= mask << at / PAGE;
    return pages;
}

static inline void look_at_slab(const struct np_slab *slab, struct truth *truth)
{
    uint32_t resident_pages = really_resident_pages(slab);
    struct slots_seen seen;
    unsigned live_count;

    truth->slab_count++;
    truth->slab_granules += slab->unit_count * NP_UNIT_GRANULES;
    truth->charged_granules += atomic_load(&slab->charged_count);
    truth->settled_bytes += (size_t)slab->settled_count * slab->slot_bytes;
    /* Nothing is forgotten: what is called cold has no memory. */
    assert_int_equal(resident_pages & slab->cold_pages, 0);
    if (np_slab_is_open(slab))
        return;
    seen = look_at_slots(slab);
    live_count = slab->slot_count - seen.free_count;
    assert_int_equal(seen.free_count, word_count(slab));
    /* One without live slots stays because it is held, or to be used again until its memory
     * is returned. */
    assert_true(live_count > 0 || np_mxfast_is_held(slab->class_index) ||
                (!np_is_alone() && np_slab_is_listed(slab) &&
                 atomic_load(&slab->charged_count) > 0));
    truth->closed_live_bytes += (size_t)live_count * slab->slot_bytes;
    assert_true(slab->settled_count <= (np_is_alone() ? 1U : 2U) * live_count); /* S7 */
    if (np_mxfast_is_held(slab->class_index) || slab->is_refused) {
        assert_true(atomic_load(&slab->charged_count) == 0 || slab->is_refused);
        return;
    }
    assert_true(atomic_load(&slab->charged_count) >= np_bit_count(seen.free_pages)); /* S6 */
    if (np_is_alone() && slab->charged_pages != 0)
        assert_int_equal(slab->charged_pages, seen.free_pages); /* S8 */
    truth->retained_granules += np_bit_count(seen.free_pages);
    truth->resident_granules += np_bit_count(seen.free_pages & resident_pages);
}

static inline void look_at_run(const struct np_run *run, void *context)
{
    struct truth *truth = context;
    uintptr_t end = run->start + ((uintptr_t)run->granule_count << NP_GRANULE_SHIFT);
    uintptr_t first = np_align_up(run->start, np_page_bytes());
    uintptr_t last = np_align_down(end, np_page_bytes());

    if (atomic_load(&run->state) == NP_RUN_FREE && !run->is_refused && first < last)
        truth->run_granules += os_fake_resident_bytes((void *)first, last - first) / PAGE;
}

/* Walks everything. No thread is inside an operation. */
static inline struct truth look_at_everything(void)
{
    struct truth truth = {0};

    for (const struct np_window *window = np_window_list(); window != NULL; window = window->next) {
        for (unsigned unit = 0; unit < NP_WINDOW_UNITS; unit++) {
            const struct np_slab *slab =
                (const struct np_slab *)(const void *)(window->records +
                                                       ((size_t)unit << NP_SLAB_RECORD_SHIFT));

            if (atomic_load(&slab->kind) != NP_SLAB_FIRST)
                continue;
            look_at_slab(slab, &truth);
            if (atomic_load(&slab->charged_count) > 0)
                assert_true(is_told_to_visitors(window, unit));
        }
    }
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        assert_true(np_arena_walk(arena, look_at_run, &truth));
    return truth;
}

/* What is believed covers what is true. */
static inline void expect_truth(void)
{
    struct truth truth = look_at_everything();

    assert_int_equal(truth.slab_granules, atomic_load(&np_slab_sums.granules));
    assert_int_equal(truth.charged_granules, atomic_load(&np_slab_sums.charged_granules));
    assert_int_equal(truth.settled_bytes, atomic_load(&np_slab_sums.settled_bytes));
    assert_true(truth.retained_granules <= truth.charged_granules);
    assert_true((truth.resident_granules + truth.run_granules) * PAGE <=
                np_return_retained_bytes());
    assert_int_equal(np_return_retained_bytes(),
                     np_arena_retained_bytes() + truth.charged_granules * PAGE);
}

/* P1: right after a free. */
static inline void expect_bounded(void)
{
    if (np_return_retained_bytes() > np_return_threshold_bytes())
        fail_msg("%zu bytes are retained, %zu may be", np_return_retained_bytes(),
                 np_return_threshold_bytes());
}

/* A live block's memory is there, all of it: nobody has purged it. */
static inline void expect_resident(const struct block *block)
{
    uintptr_t first = np_align_down((uintptr_t)block->memory, PAGE);
    uintptr_t last = np_align_up((uintptr_t)block->memory + np_max(block->bytes, 1), PAGE);

    if (block->bytes > 0)
        assert_int_equal(os_fake_resident_bytes((void *)first, last - first), last - first);
}

#endif

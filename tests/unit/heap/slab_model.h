/* What tests of slabs share: handing out and taking back slots as a holder does, and the truth
 * about a slab's pages, computed slot by slot, without the bitmaps' arithmetic. */
#ifndef NP_TESTS_SLAB_MODEL_H
#define NP_TESTS_SLAB_MODEL_H

#include <string.h>

#include "bits.h"
#include "isolated.h"
#include "meta.h"
#include "os_fake.h"
#include "slab.h"

enum { SLOT_MAX = 4096, PAGE_MAX = 32, PAGE = 4096 };

static struct np_arena *home;

static inline struct np_slab *make_slab(unsigned class_index)
{
    struct np_slab *slab = np_slab_make(
        &home, class_index, class_index == NP_TWIN_CLASS ? 7 : class_index, NP_MAY_GROW);

    assert_non_null(slab);
    return slab;
}

/* The holder hands out the first slot of the private list. */
static inline void *pop(struct np_slab *slab)
{
    if (np_shelf_is_empty(&slab->shelf))
        assert_true(np_slab_refill(slab));
    return np_shelf_pop(&slab->shelf);
}

/* The same, refilled as needed; NULL: every slot is out. */
static inline void *take(struct np_slab *slab)
{
    if (np_shelf_is_empty(&slab->shelf) && !np_slab_refill(slab) && !np_slab_extend(slab, 1))
        return NULL;
    return pop(slab);
}

/* The holder frees a slot. */
static inline void give(struct np_slab *slab, void *memory)
{
    (void)np_slab_give(slab, memory);
}

/* A held slab of which the first live_count slots are out. */
static inline struct np_slab *make_with_live(unsigned class_index, void **slots,
                                             unsigned live_count)
{
    struct np_slab *slab = make_slab(class_index);

    for (unsigned i = 0; i < live_count; i++)
        slots[i] = take(slab);
    return slab;
}

static inline void shuffle_slots(void **slots, unsigned count)
{
    for (unsigned i = count; i > 1; i--) {
        size_t other = random_below(i);
        void *slot = slots[i - 1];

        slots[i - 1] = slots[other];
        slots[other] = slot;
    }
}

static inline bool try_open(struct np_slab *slab)
{
    uint64_t word;

    return np_slab_try_open(slab, &word);
}

static inline unsigned page_count_of(const struct np_slab *slab)
{
    return slab->unit_count * (unsigned)NP_UNIT_GRANULES;
}

static inline uint32_t warm_pages(const struct np_slab *slab)
{
    return UINT32_MAX >> (32 - page_count_of(slab)) & ~slab->cold_pages;
}

/* The pages that a slot lies on. */
static inline uint32_t pages_of(const struct np_slab *slab, unsigned slot)
{
    uintptr_t first = np_slab_slot_at(slab, slot) - slab->start;
    uint32_t pages = 0;

    for (uintptr_t page = first / PAGE; page * PAGE < first + slab->slot_bytes; page++)
        pages |= UINT32_C(1) << page;
    return pages;
}

/* Of pages, those that make up whole system pages. */
static inline uint32_t whole_system_pages(uint32_t pages)
{
    unsigned granules = (unsigned)(np_page_bytes() / PAGE);
    uint32_t whole = 0;

    for (unsigned first = 0; first < PAGE_MAX; first += granules) {
        bool is_whole = true;

        for (unsigned page = first; page < first + granules; page++)
            is_whole &= (pages >> page & 1) != 0;
        for (unsigned page = first; page < first + granules && is_whole; page++)
            whole |= UINT32_C(1) << page;
    }
    return whole;
}

/* What the bits say, asked slot by slot. */
struct slots_seen {
    unsigned free_count;
    uint32_t free_pages; /* warm, in whole system pages, of which every slot has its bit set */
};

static inline struct slots_seen look_at_slots(const struct np_slab *slab)
{
    struct slots_seen seen = {0, warm_pages(slab)};

    for (unsigned slot = 0; slot < slab->slot_count; slot++) {
        if (np_slab_is_free_bit(slab, np_slab_slot_at(slab, slot)))
            seen.free_count++;
        else
            seen.free_pages &= ~pages_of(slab, slot);
    }
    seen.free_pages = whole_system_pages(seen.free_pages);
    return seen;
}

static inline unsigned bits_set(const struct np_slab *slab)
{
    return look_at_slots(slab).free_count;
}

static inline uint32_t truly_free_pages(const struct np_slab *slab)
{
    return look_at_slots(slab).free_pages;
}

static inline int word_count(const struct np_slab *slab)
{
    return np_slab_word_count(atomic_load(&slab->word));
}

/* As the depot closes a slab, but without a depot: charges it, and leaves it closed. */
static inline void close_slab(struct np_slab *slab, unsigned notice)
{
    uint64_t word;

    do {
        word = np_slab_publish(slab);
        np_slab_charge(slab, np_bit_count(np_slab_free_pages(slab)));
    } while (!np_slab_try_close(slab, word, notice, false));
}

/* As the return engine purges a slab that it holds: all of it, or some of it. */
static inline void purge_pages(struct np_slab *slab, uint32_t pages)
{
    for (unsigned page = 0; page < page_count_of(slab); page++) {
        struct np_range range = {(void *)(slab->start + (uintptr_t)page * PAGE), np_page_bytes()};

        if ((pages >> page & 1) != 0 && page * PAGE % np_page_bytes() == 0)
            (void)np_arena_purge_ranges(&range, 1);
    }
    NP_OWNER_SET(slab->cold_pages, slab->cold_pages | pages);
}

#endif

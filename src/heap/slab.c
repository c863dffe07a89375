/* The slab's word, its bits, and its private side. The argument for each step is in docs/slab_protocol.md; in short,
 * next to the code:
 *
 * A pusher has a live slot in the slab until its compare-and-swap of the word succeeds, so until then the slab cannot be
 * given back and its record is stable: the count is what says that a slab is entirely free, and it rises last. Afterwards
 * the slab may be gone, so nothing is touched, unless that same swap cleared `closed`: then the pusher holds the
 * slab and nobody else can.
 * Bits are set and taken by single atomic steps, each slot's by itself, so there is no list that could be spoilt.
 * Only a holder sets `closed`, by a swap from a word that it has looked at the bits after reading: whoever frees the last
 * slot of a page either counted before that word was read, and the holder saw the page, or counts later and makes
 * the swap fail, or finds the slab closed and charges it.
 */
#include "slab.h"

#include <limits.h>

#include "alone.h"
#include "bits.h"
#include "check.h"
#include "meta.h"
#include "mxfast.h"
#include "returned.h"
#include "tune.h"
#include "window.h"

/* word: bits 48-63 count, 32-47 notice, 6 current, 5 taken, 4 left, 3 visited, 2 resting, 1 listed, 0 closed. The count is
 * signed and on top, so that it can be added to and subtracted from without a carry into the rest. */
#define COUNT_ONE (UINT64_C(1) << 48)
#define NOTICE_SHIFT 32
#define NOTICE_NEVER 0x7FFF
#define NOTICE_MASK (UINT64_C(0xFFFF) << NOTICE_SHIFT)

/* A refill takes at least so many slots if it can: few enough that they are used before they leave the cache, enough
 * that its cost is small. */
#define REFILL_COUNT 32

/* A slab whose slots straddle pages has at most so many, in two words. */
#define LOOSE_WORDS 2

struct np_slab_sums np_slab_sums;

#define FREED_TWICE "double free, or free of a block never handed out"

static int word_notice(uint64_t word)
{
    return (int)(word >> NOTICE_SHIFT & 0xFFFF);
}

static bool is_paged(const struct np_slab *slab)
{
    return slab->slots_per_page != 0;
}

static unsigned page_count(const struct np_slab *slab)
{
    return slab->unit_count * (unsigned)NP_UNIT_GRANULES;
}

static uint32_t all_pages(const struct np_slab *slab)
{
    return UINT32_MAX >> (32 - page_count(slab));
}

/* The slot that holds the byte at this offset from where slots begin, by a multiplication: exact for offsets below 2^17 and
 * slots of at most 2^14 bytes, since the error of the inverse, below 2^-32 * slot_bytes, adds up to less than one. */
static unsigned divide(const struct np_slab *slab, uintptr_t offset)
{
    return (unsigned)((uint64_t)offset * slab->inverse >> 32);
}

/* Where a slot's bit is. Paged: the words of one page are a plane apart; loose: next to each other. */
struct place {
    size_t word_at;
    uint64_t bit;
    unsigned number; /* of the word, among those of its page or of the loose slab */
};

/* The word with this number of those of a page, or of page 0 of a loose slab. */
static size_t word_of_page(const struct np_slab *slab, size_t page, unsigned number)
{
    return page + (size_t)number * slab->plane_words;
}

/* The page of the slot that begins at this address of the slab, and its number there; of a loose slab, page 0 and its number
 * in the slab. False: none does. As with np_slab_may_begin_slot, what is left of the product says whether one does. */
NP_INLINE bool find_slot(const struct np_slab *slab, uintptr_t address, size_t *page, unsigned *index)
{
    uintptr_t offset = address - slab->start;
    uintptr_t within = is_paged(slab) ? offset % NP_GRANULE_BYTES : offset;
    uint64_t product = (uint64_t)within * slab->inverse;

    *page = (offset - within) >> NP_GRANULE_SHIFT;
    *index = (unsigned)(product >> 32);
    return (uint32_t)product < slab->inverse &&
           *index < (is_paged(slab) ? slab->slots_per_page : slab->slot_count);
}

/* False: no slot begins at this address of the slab. */
NP_INLINE bool find_place(const struct np_slab *slab, uintptr_t address, struct place *place)
{
    size_t page;
    unsigned index;
    bool is_slot = find_slot(slab, address, &page, &index);

    place->number = index / 64;
    place->bit = UINT64_C(1) << index % 64;
    place->word_at = word_of_page(slab, page, place->number);
    return is_slot;
}

/* The same for what is known to be a slot. */
static struct place place_of(const struct np_slab *slab, uintptr_t address)
{
    struct place place;

    (void)find_place(slab, address, &place);
    return place;
}

static unsigned words_per_page(const struct np_slab *slab)
{
    return (slab->slots_per_page + 63U) / 64;
}

/* The first word_count * 64 of so many slots: the mask of the word with this number. */
static uint64_t word_mask(unsigned slot_count, unsigned number)
{
    if (slot_count <= number * 64)
        return 0;
    slot_count -= number * 64;
    return slot_count >= 64 ? UINT64_MAX : (UINT64_C(1) << slot_count) - 1;
}

/* Slots first to last of a loose slab, as masks. Mostly there are no more than the first word has. */
static NP_COLD NP_NOINLINE void mask_long_range(unsigned first, unsigned last, uint64_t mask[LOOSE_WORDS])
{
    for (unsigned number = 0; number < LOOSE_WORDS; number++)
        mask[number] = word_mask(last + 1, number) & ~word_mask(first, number);
}

static void mask_range(unsigned first, unsigned last, uint64_t mask[LOOSE_WORDS])
{
    if (NP_UNLIKELY(last >= 64)) {
        mask_long_range(first, last, mask);
        return;
    }
    mask[0] = (UINT64_C(2) << last) - (UINT64_C(1) << first);
    mask[1] = 0;
}

/* The slots of a loose slab that overlap a page; none do at its tail. */
static void mask_page(const struct np_slab *slab, unsigned page, uint64_t mask[LOOSE_WORDS])
{
    unsigned first = divide(slab, (uintptr_t)page << NP_GRANULE_SHIFT);
    unsigned last = divide(slab, ((uintptr_t)page << NP_GRANULE_SHIFT) + NP_GRANULE_BYTES - 1);

    mask[0] = mask[1] = 0;
    if (first < slab->slot_count)
        mask_range(first, (unsigned)np_min(last, slab->slot_count - 1U), mask);
}

static uint64_t load_bits(const struct np_slab *slab, size_t word_at)
{
    return atomic_load_explicit(&slab->bits[word_at], memory_order_seq_cst);
}

/* A word of a loose slab, which may have one. */
static uint64_t load_loose(const struct np_slab *slab, unsigned number)
{
    return number * 64 < slab->slot_count ? load_bits(slab, number) : 0;
}

/* Whether all slots on a page have their bits set. */
static bool is_page_free(const struct np_slab *slab, unsigned page)
{
    uint64_t mask[LOOSE_WORDS];

    if (is_paged(slab)) {
        for (unsigned number = 0; number < words_per_page(slab); number++)
            if (load_bits(slab, word_of_page(slab, page, number)) !=
                word_mask(slab->slots_per_page, number))
                return false;
        return true;
    }
    mask_page(slab, page, mask);
    return (load_bits(slab, 0) & mask[0]) == mask[0] &&
           (mask[1] == 0 || (load_bits(slab, 1) & mask[1]) == mask[1]);
}

/* The granules of a system page, as a mask, if all of them are free. */
static uint32_t free_of_system_page(const struct np_slab *slab, unsigned first, unsigned count)
{
    for (unsigned page = first; page < first + count; page++)
        if (!is_page_free(slab, page))
            return 0;
    return (UINT32_MAX >> (32 - count)) << first;
}

/* Whether a page may be free now, by the word alone that has just changed. */
static bool may_be_free(const struct np_slab *slab, unsigned page, unsigned number, uint64_t now)
{
    uint64_t mask[LOOSE_WORDS];

    if (is_paged(slab))
        return now == word_mask(slab->slots_per_page, number);
    mask_page(slab, page, mask);
    return (now & mask[number]) == mask[number];
}

/* False, mostly, and at once: with this slot alone no page has become free. */
NP_INLINE bool may_free_a_page(const struct np_slab *slab, const struct place *place, uint64_t now)
{
    uint64_t neighbours = place->bit << 1 | place->bit >> 1;

    if (is_paged(slab))
        return now == word_mask(slab->slots_per_page, place->number);
    /* No page lies on one such slot only, but for the last one's; the neighbours may be in the other word. */
    return slab->slot_bytes >= NP_GRANULE_BYTES || (now & neighbours) != 0 ||
           place->bit == 1 || place->bit >> 63 != 0 ||
           place->number * 64 + (unsigned)__builtin_ctzll(place->bit) + 1 == slab->slot_count;
}

/* The granules, as a mask and in whole system pages, that have no live slot any more since this slot's bit was set, in a
 * word that is `now` since; 0 mostly. Where a page has two words, two threads may set the last bits of one each: both
 * have set theirs before either looks at the other's, all in one order (sequential consistency), so at least one sees
 * the page free. */
static NP_NOINLINE uint32_t freed_pages(const struct np_slab *slab, uintptr_t address,
                                        const struct place *place, uint64_t now)
{
    uintptr_t offset = address - slab->start;
    unsigned page = (unsigned)(offset / NP_GRANULE_BYTES);
    unsigned last = (unsigned)((offset + slab->slot_bytes - 1) / NP_GRANULE_BYTES);
    unsigned granules;
    uint32_t pages = 0;

    while (page <= last && !may_be_free(slab, page, place->number, now))
        page++;
    if (NP_LIKELY(page > last))
        return 0;
    /* A system page is one granule, or the slot lies on one, or on some and the others are looked at for nothing. */
    granules = (unsigned)(np_page_bytes() >> NP_GRANULE_SHIFT);
    for (page &= ~(granules - 1); page <= last; page += granules)
        pages |= free_of_system_page(slab, page, granules);
    return pages;
}

/* So many slots, or more, are free where others have freed a page more of a resting slab. */
static unsigned step_slots(const struct np_slab *slab)
{
    return slab->slots_per_page != 0 ? slab->slots_per_page
                                     : (unsigned)np_max(NP_GRANULE_BYTES / slab->slot_bytes, 1);
}

/* The pages that so many may free, as a mask that says how many. */
static uint32_t step_pages(const struct np_slab *slab)
{
    return (2U << ((slab->slot_bytes - 1U) / NP_GRANULE_BYTES)) - 1;
}

/* The word as it was when we became the holder says how many slots are free; none is on the private list. */
static void adopt(struct np_slab *slab, uint64_t word)
{
    int count = np_slab_word_count(word);

    NP_OWNER_SET(slab->shared_count, (int16_t)count);
    NP_OWNER_SET(slab->notice_at, 1);
    NP_OWNER_SET(slab->until_notice, slab->slot_count - count - 1);
    slab->tail_offset = NP_NO_TAIL;
}

/* The length of the run of set bits that the lowest set one begins. */
static unsigned run_of_bits(uint32_t bits)
{
    return (unsigned)__builtin_ctzll(~((uint64_t)bits >> __builtin_ctz(bits)));
}

/* The bit that tells visitors of the slab's charge, and the word it is in. */
static _Atomic uint64_t *charged_word(const struct np_slab *slab, uint64_t *bit)
{
    struct np_window *window = np_window_find(slab->start);
    size_t unit = (slab->start - window->base) >> NP_UNIT_SHIFT;

    *bit = UINT64_C(1) << unit % 64;
    return &window->charged[unit / 64];
}

/* Several threads charge and discharge one slab at once. Whoever raises a charge from 0 sets the bit after that;
 * whoever clears the bit looks at the charge after that. All in one order (sequential consistency), so one of two who do
 * so at the same time sees the other, and no charge is left without its bit. */
static void tell_visitors(struct np_slab *slab)
{
    uint64_t bit;
    _Atomic uint64_t *word = charged_word(slab, &bit);

    (void)np_fetch_or(word, bit);
}

void np_slab_hide_from_visitors(struct np_slab *slab, _Atomic uint64_t *word, uint64_t bit)
{
    (void)np_fetch_and(word, ~bit);
    if (atomic_load(&slab->charged_count) != 0)
        (void)np_fetch_or(word, bit);
}

/* Pages of a closed slab, neighbours, have become free. The sum first: it must not sink below the parts that others
 * take off. */
static NP_NOINLINE void charge_more(struct np_slab *slab, uint32_t pages)
{
    unsigned granule_count = run_of_bits(pages);
    unsigned before;

    if (np_mxfast_is_held(NP_OWNER_GET(slab->class_index)))
        return;
    np_returned_note_freed((size_t)granule_count << NP_GRANULE_SHIFT);
    (void)np_fetch_add_size(&np_slab_sums.charged_granules, granule_count);
    before = atomic_load_explicit(&slab->charged_count, memory_order_relaxed);
    if (np_is_alone()) {
        atomic_store_explicit(&slab->charged_count, (uint16_t)(before + granule_count),
                              memory_order_relaxed);
        /* Of a slab of two units the mask has no place for all. */
        slab->charged_pages = (before == 0 || slab->charged_pages != 0) && pages <= UINT16_MAX
                                  ? (uint16_t)(slab->charged_pages | pages)
                                  : 0;
    } else {
        before = atomic_fetch_add(&slab->charged_count, (uint16_t)granule_count);
    }
    if (before == 0)
        tell_visitors(slab);
}

/* Takes the charge off; returns what it was. */
static NP_NOINLINE unsigned discharge(struct np_slab *slab, _Atomic uint64_t *word, uint64_t bit)
{
    unsigned before = atomic_load_explicit(&slab->charged_count, memory_order_relaxed);

    slab->charged_pages = 0;
    if (np_is_alone())
        atomic_store_explicit(&slab->charged_count, 0, memory_order_relaxed);
    else
        before = atomic_exchange(&slab->charged_count, 0);
    (void)np_fetch_add_size(&np_slab_sums.charged_granules, (size_t)0 - before);
    np_slab_hide_from_visitors(slab, word, bit);
    return before;
}

NP_COLD unsigned np_slab_charge(struct np_slab *slab, unsigned granule_count)
{
    unsigned before = atomic_load_explicit(&slab->charged_count, memory_order_relaxed);
    uint64_t bit;
    _Atomic uint64_t *word;

    if (before == granule_count)
        return before;
    word = charged_word(slab, &bit);
    if (granule_count == 0)
        return discharge(slab, word, bit);
    slab->charged_pages = 0;
    (void)np_fetch_add_size(&np_slab_sums.charged_granules, granule_count);
    before = atomic_exchange(&slab->charged_count, (uint16_t)granule_count);
    (void)np_fetch_add_size(&np_slab_sums.charged_granules, (size_t)0 - before);
    if (before == 0)
        (void)np_fetch_or(word, bit);
    return before;
}

/* A bit that is clear in a closed slab is a live slot's, whatever lies there. */
NP_COLD bool np_slab_is_surely_free(const struct np_slab *slab, const void *memory)
{
    const struct np_slot *next = np_slot_next(slab, memory);

    if (np_slab_is_free_bit(slab, (uintptr_t)memory))
        return true;
    /* In words of 32 bits what a program writes looks so once in a million. */
    return UINTPTR_MAX > UINT32_MAX && np_slab_is_open(slab) &&
           (next == np_slab_end(slab) || np_slab_slot_index(slab, (uintptr_t)next) >= 0);
}

/* A thread that is alone counts each slot that leaves a closed slab, so that S7 is the number of live slots, or less where
 * some were lent. True: the threshold may be lower since. */
NP_INLINE bool settle_one(struct np_slab *slab)
{
    size_t before = atomic_load_explicit(&np_slab_sums.settled_bytes, memory_order_relaxed);
    size_t after = before - slab->slot_bytes;

    if (slab->settled_count == 0)
        return false;
    slab->settled_count--;
    atomic_store_explicit(&np_slab_sums.settled_bytes, after, memory_order_relaxed);
    return (before ^ after) >= NP_SETTLED_STEP_BYTES;
}

/* A push whose bit is set, in a word that is `now` since: charges what has become free, and counts. */
NP_INLINE enum np_push count_push(struct np_slab *slab, uintptr_t address, const struct place *place,
                                  uint64_t now, enum np_push_wish wish, bool is_alone)
{
    enum np_push done = NP_PUSH_DONE;
    uint32_t freed = 0; /* pages, to be charged */
    bool is_charged = false; /* with a step */
    uint64_t word;

    if (NP_UNLIKELY(may_free_a_page(slab, place, now)))
        freed = freed_pages(slab, address, place, now);
    /* Sequentially consistent, as are the swaps that open a slab: either who opens it sees our bit when he counts its free
     * pages, or we see here that it is open, or what it is since he closed it again. */
    word = atomic_load_explicit(&slab->word, memory_order_seq_cst);
    for (;;) {
        uint64_t next_word = word + COUNT_ONE;
        bool is_closed = (word & NP_SLAB_CLOSED_BIT) != 0;
        bool is_exact = (word & NP_SLAB_EXACT_BITS) != 0;
        /* Also while its owner looks at its list, as a visitor would: of those the notice never comes. */
        bool is_step = !is_alone && (word & (NP_SLAB_RESTING_BIT | NP_SLAB_VISITED_BIT)) != 0 &&
                       (word & NP_SLAB_TAKEN_BIT) == 0 &&
                       np_slab_word_count(next_word) >= word_notice(word);
        bool is_claim = is_closed && (wish == NP_PUSH_AND_OPEN ||
                                      np_slab_word_count(next_word) >= word_notice(word));

        /* An open slab's pages are counted when it is closed. If it is closed before our swap, the swap fails, and
         * we see it. If it is opened, the charge is one too high until it is closed again. */
        if (NP_UNLIKELY(freed != 0) && is_exact) {
            charge_more(slab, freed);
            freed = 0;
            done = NP_PUSH_CHARGED;
        }
        if (is_claim)
            next_word &= ~NP_SLAB_CLOSED_BIT;
        if (is_step) {
            next_word += (uint64_t)step_slots(slab) << NOTICE_SHIFT;
            /* Before it counts: afterwards the slab may be gone. If the swap fails, the charge may be too high until the slab
             * is visited or wakes. */
            if (!is_charged)
                charge_more(slab, step_pages(slab));
            is_charged = true;
            done = NP_PUSH_CHARGED;
        }
        /* release: our bit is seen by who reads this count. acquire: a claimant sees what the last holder left in the
         * private line (the release in np_slab_try_close). */
        if (!np_compare_and_swap_if(is_alone, &slab->word, &word, next_word))
            continue;
        if (is_alone && NP_UNLIKELY(settle_one(slab)))
            done = NP_PUSH_CHARGED;
        if (!is_alone && wish == NP_PUSH_AND_OPEN && (word & NP_SLAB_TAKEN_BIT) != 0)
            done = NP_PUSH_CHARGED;
        if (!is_claim)
            return done;
        adopt(slab, next_word);
        return NP_PUSH_CLAIMED;
    }
}

static NP_NOINLINE enum np_push count_rare_push(struct np_slab *slab, uintptr_t address, uint64_t now,
                                                enum np_push_wish wish)
{
    struct place place = place_of(slab, address);

    return count_push(slab, address, &place, now, wish, false);
}

/* The same in the usual case, that there is nothing to do but to count. */
NP_INLINE enum np_push count_shared_push(struct np_slab *slab, uintptr_t address, uint64_t now,
                                         enum np_push_wish wish, bool may_free_a_page_now)
{
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_seq_cst);

    if (may_free_a_page_now ||
        ((word & (NP_SLAB_CLOSED_BIT | NP_SLAB_TAKEN_BIT)) != 0 && wish != NP_PUSH_ONLY) ||
        ((word & (NP_SLAB_CLOSED_BIT | NP_SLAB_RESTING_BIT | NP_SLAB_VISITED_BIT)) != 0 &&
         np_slab_word_count(word) + 1 >= word_notice(word)) ||
        NP_UNLIKELY(!atomic_compare_exchange_strong(&slab->word, &word, word + COUNT_ONE)))
        return count_rare_push(slab, address, now, wish);
    return NP_PUSH_DONE;
}

NP_INLINE enum np_push push(struct np_slab *slab, void *slot, enum np_push_wish wish, bool is_alone)
{
    struct place place;
    struct np_slot *marked = NULL;
    uintptr_t contents = 0;
    uint64_t before;

    if (NP_UNLIKELY(!find_place(slab, (uintptr_t)slot, &place)))
        return NP_PUSH_STRAY;
    if (!is_alone)
        NP_PREFETCH_TO_WRITE(slab->bits[place.word_at]);
    /* Only another heap's own free goes by what lies in the slot; in a closed slab the bit says all, and the slot, which
     * may have left the cache long ago, is not touched. */
    if (np_slab_is_open(slab)) {
        if (NP_UNLIKELY(np_slab_looks_free(slab, slot)) && np_slab_is_surely_free(slab, slot))
            return NP_PUSH_TWICE;
        marked = slot;
        contents = marked->encoded_next;
        marked->encoded_next = (uintptr_t)np_slab_end(slab) ^ slab->key;
    }
    /* release: whatever the program wrote to the slot is before what the next one who has it writes (the acquire in
     * take_bits). Sequentially consistent for freed_pages. */
    before = np_fetch_or_if(is_alone, &slab->bits[place.word_at], place.bit);
    if (NP_UNLIKELY((before & place.bit) != 0)) {
        if (marked != NULL)
            marked->encoded_next = contents; /* it tells whoever reports it what was freed */
        return NP_PUSH_TWICE;
    }
    before |= place.bit;
    return is_alone ? count_push(slab, (uintptr_t)slot, &place, before, wish, true)
                    : count_shared_push(slab, (uintptr_t)slot, before, wish,
                                        may_free_a_page(slab, &place, before));
}

static NP_COLD enum np_push push_alone(struct np_slab *slab, void *slot, enum np_push_wish wish)
{
    return push(slab, slot, wish, true);
}

static NP_NOINLINE enum np_push push_shared(struct np_slab *slab, void *slot, enum np_push_wish wish)
{
    return push(slab, slot, wish, false);
}

/* What follows is push_shared's way where slots do not straddle pages and the push is only to be counted, in half of the
 * instructions. */
enum np_push np_slab_push(struct np_slab *slab, void *slot, enum np_push_wish wish)
{
    struct np_slot *marked = slot;
    uintptr_t offset = (uintptr_t)slot - slab->start;
    uint64_t product = (uint64_t)(offset % NP_GRANULE_BYTES) * slab->inverse;
    unsigned per_page = slab->slots_per_page;
    unsigned index = (unsigned)(product >> 32);
    unsigned behind = per_page - index / 64 * 64; /* of the page's slots, those from this word on */
    _Atomic uint64_t *bits;
    uint64_t bit;
    uint64_t before;

    if (np_is_alone()) {
        uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);

        if (NP_UNLIKELY((uint32_t)product >= slab->inverse || index >= per_page || wish != NP_PUSH_ONLY ||
                        (word & NP_SLAB_CLOSED_BIT) == 0 || np_slab_word_count(word) + 1 >= word_notice(word)))
            return push_alone(slab, slot, wish);
        bits = &slab->bits[word_of_page(slab, offset >> NP_GRANULE_SHIFT, index / 64)];
        bit = UINT64_C(1) << index % 64;
        before = atomic_load_explicit(bits, memory_order_relaxed);
        if (NP_UNLIKELY((before & bit) != 0 || (before | bit) == UINT64_MAX >> (64 - np_min(behind, 64)) % 64))
            return push_alone(slab, slot, wish);
        atomic_store_explicit(bits, before | bit, memory_order_relaxed);
        atomic_store_explicit(&slab->word, word + COUNT_ONE, memory_order_relaxed);
        return NP_UNLIKELY(settle_one(slab)) ? NP_PUSH_CHARGED : NP_PUSH_DONE;
    }
    /* Both lines were written last by another thread, perhaps on another processor: asked for at once, they come together. */
    NP_PREFETCH_TO_WRITE(slab->word);
    if (per_page == 0)
        return push_shared(slab, slot, wish);
    if (NP_UNLIKELY((uint32_t)product >= slab->inverse || index >= per_page))
        return NP_PUSH_STRAY;
    bits = &slab->bits[word_of_page(slab, offset >> NP_GRANULE_SHIFT, index / 64)];
    bit = UINT64_C(1) << index % 64;
    if (np_slab_is_open(slab)) {
        if (NP_UNLIKELY(np_slab_looks_free(slab, slot) ||
                        (atomic_load_explicit(bits, memory_order_relaxed) & bit) != 0))
            return push_shared(slab, slot, wish);
        marked->encoded_next = (uintptr_t)np_slab_end(slab) ^ slab->key;
    }
    before = atomic_fetch_or(bits, bit);
    if (NP_UNLIKELY((before & bit) != 0))
        return NP_PUSH_TWICE;
    return count_shared_push(slab, (uintptr_t)slot, before | bit, wish,
                             (before | bit) == UINT64_MAX >> (64 - np_min(behind, 64)) % 64);
}

bool np_slab_try_open(struct np_slab *slab, uint64_t *opened_word)
{
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);

    while ((word & NP_SLAB_CLOSED_BIT) != 0)
        /* acquire pairs with the release in np_slab_try_close: we see the private line. Sequentially consistent: see
         * np_slab_push. */
        if (np_compare_and_swap(&slab->word, &word, word & ~NP_SLAB_CLOSED_BIT)) {
            adopt(slab, word);
            *opened_word = word & ~NP_SLAB_CLOSED_BIT;
            return true;
        }
    return false;
}

bool np_slab_try_reclose(struct np_slab *slab, uint64_t word)
{
    return np_compare_and_swap(&slab->word, &word, word | NP_SLAB_CLOSED_BIT);
}

bool np_slab_take_listed(struct np_slab *slab)
{
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);

    /* Both marks in one step: cleared apart, a holder could close the slab in between as one that is listed, and
     * nobody would find it again. */
    while (!np_compare_and_swap(&slab->word, &word,
                                word & ~(NP_SLAB_CLOSED_BIT | NP_SLAB_LISTED_BIT)))
        ;
    if ((word & NP_SLAB_CLOSED_BIT) == 0)
        return false;
    adopt(slab, word);
    return true;
}

void np_slab_note_unlisted(struct np_slab *slab)
{
    (void)np_fetch_and(&slab->word, ~NP_SLAB_LISTED_BIT);
}

/* What the holder knows follows a count that it reads, or has just changed by `taken`. */
static void learn(struct np_slab *slab, int count, int taken)
{
    NP_OWNER_ADD(slab->until_notice, -(count + taken - slab->shared_count));
    NP_OWNER_SET(slab->shared_count, (int16_t)count);
}

unsigned np_slab_slack(const struct np_slab *slab)
{
    return step_slots(slab) / 4;
}

static uint64_t with_notice(uint64_t word, unsigned notice)
{
    return (word & ~NOTICE_MASK) | (uint64_t)notice << NOTICE_SHIFT;
}

/* Where there are several threads, mostly: a step of a slab that rests. acquire: who holds the slab then sees what others
 * did to it; release: they see the private line as he leaves it. */
static NP_NOINLINE bool change(struct np_slab *slab, uint64_t *word, uint64_t next_word)
{
    uint64_t seen = *word;
    bool is_changed = atomic_compare_exchange_strong(&slab->word, &seen, next_word);

    *word = seen;
    return is_changed;
}

NP_COLD void np_slab_rest(struct np_slab *slab, bool is_current)
{
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);
    unsigned notice;

    slab->moved_count = 0;
    slab->tail_offset = NP_NO_TAIL;
    do
        notice = (unsigned)(np_slab_word_count(word) > 0 ? np_slab_word_count(word) : 0) + np_slab_slack(slab) + 1;
    /* release: a visitor sees the private line as we leave it. */
    while (!change(slab, &word, with_notice(word, notice) | NP_SLAB_RESTING_BIT |
                                    (is_current ? NP_SLAB_CURRENT_BIT : 0)));
    learn(slab, np_slab_word_count(word), 0);
}

void np_slab_retire(struct np_slab *slab)
{
    /* release: a visitor that finds it so sees the list as malloc left it. */
    (void)atomic_fetch_and(&slab->word, ~NP_SLAB_CURRENT_BIT);
}

void np_slab_look(struct np_slab *slab)
{
    learn(slab, np_slab_word_count(atomic_load_explicit(&slab->word, memory_order_acquire)), 0);
}

static _Noreturn void die_of_link(const struct np_slab *slab, const struct np_slot *of)
{
    if (of != NULL)
        np_die_of("a free block was overwritten", (uintptr_t)of, "slot", slab->slot_bytes);
    np_die_of("a free block was overwritten", slab->start, "somewhere in a slab of slots",
              slab->slot_bytes);
}

/* The slot that a link leads to, or NULL at the list's end. Dies at a link that leads anywhere else, which is that of the
 * slot `of`, or NULL: of one that malloc has handed out since. */
static struct np_slot *checked(const struct np_slab *slab, struct np_slot *slot,
                               const struct np_slot *of)
{
    if (slot == np_slab_end(slab))
        return NULL;
    if (NP_UNLIKELY(np_slab_slot_index(slab, (uintptr_t)slot) < 0))
        die_of_link(slab, of);
    return slot;
}

/* Where visitors have left the list's end: what is behind they have taken off. */
static struct np_slot *tail_of(const struct np_slab *slab)
{
    return slab->tail_offset != NP_NO_TAIL ? (struct np_slot *)(slab->start + slab->tail_offset)
                                           : np_slab_end(slab);
}

/* Nobody visits any more: the list ends as usual again, and what was taken off it counts as free. */
static NP_COLD void collect(struct np_slab *slab)
{
    const struct np_slot *tail = tail_of(slab);
    struct np_slot *last = NULL;
    struct np_slot *slot = np_slab_first(slab);
    uint64_t count = slab->moved_count;
    unsigned left = slab->slot_count; /* a list that was spoilt may go round in a circle */

    while (slot != tail && slot != np_slab_end(slab) && left-- > 0) {
        last = slot;
        if ((slot = np_slot_next(slab, slot)) != tail && checked(slab, slot, last) == NULL)
            break;
    }
    if (last == NULL)
        slab->free_slots = np_slab_end(slab);
    else
        last->encoded_next = (uintptr_t)np_slab_end(slab) ^ slab->key;
    atomic_signal_fence(memory_order_seq_cst); /* for np_slab_check_links in a handler that ends the process */
    slab->tail_offset = NP_NO_TAIL;
    slab->moved_count = 0;
    (void)atomic_fetch_add(&slab->word, count * COUNT_ONE);
    NP_OWNER_SET(slab->shared_count, (int16_t)(slab->shared_count + (int16_t)count));
}

NP_COLD bool np_slab_wake(struct np_slab *slab, struct np_heap *owner)
{
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);

    while ((word & NP_SLAB_RESTING_BIT) != 0)
        /* acquire: we see what visitors did. */
        if (change(slab, &word, word & ~(NP_SLAB_RESTING_BIT | NP_SLAB_TAKEN_BIT | NP_SLAB_CURRENT_BIT))) {
            if ((word & NP_SLAB_TAKEN_BIT) != 0) {
                collect(slab);
                atomic_store_explicit(&slab->owner, owner, memory_order_relaxed);
            }
            np_returned_note_reused((size_t)np_slab_charge(slab, 0) << NP_GRANULE_SHIFT);
            return true;
        }
    return (word & NP_SLAB_VISITED_BIT) == 0;
}

NP_COLD bool np_slab_leave(struct np_slab *slab)
{
    while (!np_slab_wake(slab, NULL)) {
        uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);

        /* release: the visitor sees our counts. */
        while ((word & NP_SLAB_VISITED_BIT) != 0)
            if (change(slab, &word, (word | NP_SLAB_LEFT_BIT) & ~NP_SLAB_CURRENT_BIT))
                return false;
    }
    return true;
}

/* A chain of slots on its way to the private list. */
struct chain {
    struct np_slot head; /* leads to the first */
    struct np_slot *last;
    unsigned count;
    uintptr_t key; /* of the list that they go to */
};

static void begin_chain(struct chain *chain, uintptr_t key)
{
    chain->last = &chain->head;
    chain->count = 0;
    chain->key = key;
}

static struct np_slot *first_of(const struct chain *chain)
{
    return (struct np_slot *)(chain->head.encoded_next ^ chain->key);
}

/* One of the bits that are set, so that nobody can tell which slot malloc hands out next. */
static unsigned random_bit(uint64_t bits)
{
    static _Atomic uint64_t count;
    uint64_t random = np_mix(np_secret() ^ atomic_fetch_add_explicit(&count, 1, memory_order_relaxed));
    unsigned turn = (unsigned)(random >> 32) % 64;
    uint64_t turned = bits >> turn | bits << (64 - turn) % 64;

    return ((unsigned)__builtin_ctzll(turned) + turn) % 64;
}

/* Links the slots of these bits behind `last`, in any order; returns the last of them. */
static NP_COLD struct np_slot *link_at_random(struct np_slot *last, uint64_t bits, uintptr_t base,
                                              uintptr_t slot_bytes, uintptr_t key)
{
    for (unsigned bit; bits != 0; bits &= ~(UINT64_C(1) << bit)) {
        struct np_slot *slot;

        bit = random_bit(bits);
        slot = (struct np_slot *)(base + bit * slot_bytes);
        last->encoded_next = (uintptr_t)slot ^ key;
        last = slot;
    }
    return last;
}

/* Takes these bits of a word, which are set, and links their slots, the first of which begins at `base`. Rising, so that
 * neighbours in time are neighbours in memory. */
static void take_bits(struct np_slab *slab, size_t word_at, uint64_t bits, uintptr_t base,
                      struct chain *chain)
{
    const uintptr_t slot_bytes = slab->slot_bytes;
    const uintptr_t key = chain->key;
    struct np_slot *last = chain->last;

    /* Only the holder clears bits, so all of them are there still. */
    (void)np_fetch_and(&slab->bits[word_at], ~bits);
    chain->count += np_bit_count(bits);
    if (NP_UNLIKELY(np_tune_get(NP_KNOB_HARDENING) == 2)) {
        last = link_at_random(last, bits, base, slot_bytes, key);
        bits = 0;
    }
    for (; bits != 0; bits &= bits - 1) {
        struct np_slot *slot = (struct np_slot *)(base + (unsigned)__builtin_ctzll(bits) * slot_bytes);

        last->encoded_next = (uintptr_t)slot ^ key;
        last = slot;
    }
    chain->last = last;
}

/* The same with those of the wanted bits that are set. Mostly none is, where a slab is looked through. */
NP_INLINE void take_wanted(struct np_slab *slab, size_t word_at, uint64_t wanted, uintptr_t base,
                           struct chain *chain)
{
    uint64_t bits = atomic_load_explicit(&slab->bits[word_at], memory_order_relaxed) & wanted;

    if (bits != 0)
        take_bits(slab, word_at, bits, base, chain);
}

NP_INLINE void take_from_page(struct np_slab *slab, unsigned page, unsigned word_count,
                              struct chain *chain)
{
    uintptr_t start = slab->start + ((uintptr_t)page << NP_GRANULE_SHIFT);

    for (unsigned number = 0; number < word_count; number++)
        take_wanted(slab, word_of_page(slab, page, number), UINT64_MAX,
                    start + (uintptr_t)number * 64 * slab->slot_bytes, chain);
}

/* The slots of a loose slab that lie on a cold page, with others or alone. Cold pages mostly are one run. */
static void mask_cold(const struct np_slab *slab, uint64_t cold[LOOSE_WORDS])
{
    cold[0] = cold[1] = 0;
    for (uint32_t pages = slab->cold_pages; pages != 0;) {
        unsigned page = (unsigned)__builtin_ctz(pages);
        unsigned end = page + run_of_bits(pages);
        unsigned first = divide(slab, (uintptr_t)page << NP_GRANULE_SHIFT);
        unsigned last = divide(slab, ((uintptr_t)end << NP_GRANULE_SHIFT) - 1);
        uint64_t mask[LOOSE_WORDS];

        pages &= ~(uint32_t)((UINT64_C(1) << end) - 1);
        if (first >= slab->slot_count)
            break;
        mask_range(first, (unsigned)np_min(last, slab->slot_count - 1U), mask);
        cold[0] |= mask[0];
        cold[1] |= mask[1];
    }
}

static void take_loose(struct np_slab *slab, const uint64_t wanted[LOOSE_WORDS],
                       struct chain *chain)
{
    for (unsigned number = 0; number < LOOSE_WORDS && number * 64U < slab->slot_count; number++)
        take_wanted(slab, number, wanted[number],
                    slab->start + (uintptr_t)number * 64 * slab->slot_bytes, chain);
}

static void take_warm_loose(struct np_slab *slab, struct chain *chain)
{
    uint64_t cold[LOOSE_WORDS];
    uint64_t warm[LOOSE_WORDS];

    mask_cold(slab, cold);
    warm[0] = ~cold[0];
    warm[1] = ~cold[1];
    take_loose(slab, warm, chain);
}

static bool take_warm(struct np_slab *slab)
{
    struct chain chain;
    uint64_t word;

    begin_chain(&chain, slab->key);
    if (is_paged(slab)) {
        uint32_t warm = all_pages(slab) & ~slab->cold_pages;
        unsigned word_count = words_per_page(slab);

        for (; warm != 0 && chain.count < REFILL_COUNT; warm &= warm - 1)
            take_from_page(slab, (unsigned)__builtin_ctz(warm), word_count, &chain);
    } else {
        take_warm_loose(slab, &chain);
    }
    if (chain.count == 0)
        return false;
    chain.last->encoded_next = (uintptr_t)slab->free_slots ^ slab->key;
    slab->free_slots = first_of(&chain);
    /* A free whose bit we took may not have counted yet: then the count is below the truth for a moment, and
     * the slot counts as live, which it is again or soon will be. */
    word = np_fetch_add(&slab->word, 0 - chain.count * COUNT_ONE) - chain.count * COUNT_ONE;
    learn(slab, np_slab_word_count(word), (int)chain.count);
    return true;
}

/* Whether more slots are free than lie on cold pages; for loose slabs, whether any is. A free that is under way has its
 * bit set and does not count yet, so "no" may be wrong for a moment. */
bool np_slab_may_have_warm_slots(const struct np_slab *slab)
{
    int count = np_slab_word_count(atomic_load_explicit(&slab->word, memory_order_relaxed));

    return count > (int)(np_bit_count(NP_OWNER_GET(slab->cold_pages)) * slab->slots_per_page);
}

bool np_slab_refill(struct np_slab *slab)
{
    if (np_shelf_is_empty(&slab->shelf) && checked(slab, np_slab_first(slab), NULL) != NULL) {
        slab->free_slots = np_slab_first(slab); /* malloc was stopped there */
        return true;
    }
    if (!np_slab_may_have_warm_slots(slab))
        return false;
    if (take_warm(slab))
        return true;
    NP_ASSERT(np_slab_is_extendable(slab)); /* or the count is wrong, and a taker would come by for ever */
    return false;
}

/* Cold granules that slots overlap. */
static uint32_t extendable_pages(const struct np_slab *slab)
{
    size_t bytes;

    if (is_paged(slab))
        return NP_OWNER_GET(slab->cold_pages);
    bytes = (size_t)slab->slot_count * slab->slot_bytes;
    return NP_OWNER_GET(slab->cold_pages) &
           (UINT32_MAX >> (32 - (bytes + NP_GRANULE_BYTES - 1) / NP_GRANULE_BYTES));
}

bool np_slab_is_extendable(const struct np_slab *slab)
{
    return extendable_pages(slab) != 0;
}

/* Makes the system pages warm that the bytes from this offset lie on. */
static void warm_up(struct np_slab *slab, uintptr_t offset, size_t bytes)
{
    size_t page_bytes = np_page_bytes();
    unsigned from = (unsigned)(np_align_down(offset, page_bytes) >> NP_GRANULE_SHIFT);
    unsigned to = (unsigned)np_min(np_align_up(offset + bytes, page_bytes) >> NP_GRANULE_SHIFT,
                                   page_count(slab));

    NP_OWNER_SET(slab->cold_pages,
                 slab->cold_pages & ~(uint32_t)(((UINT64_C(1) << to) - 1) & ~((UINT64_C(1) << from) - 1)));
}

NP_COLD bool np_slab_extend(struct np_slab *slab, unsigned granule_count)
{
    uint32_t pages = extendable_pages(slab);
    unsigned system_page = (unsigned)(np_page_bytes() >> NP_GRANULE_SHIFT);
    unsigned page;
    unsigned more;
    uintptr_t start;
    uintptr_t end;

    if (pages == 0)
        return false;
    page = (unsigned)__builtin_ctz(pages);
    more = (unsigned)np_min((unsigned)__builtin_ctzll(~((uint64_t)pages >> page)), granule_count);
    more = (unsigned)np_align_up(more, system_page);
    if (more > system_page)
        (void)np_run_populate(np_run_find(slab->start), page, more);
    start = (uintptr_t)page << NP_GRANULE_SHIFT;
    end = start + ((uintptr_t)more << NP_GRANULE_SHIFT);
    if (!is_paged(slab)) { /* the whole first slot of those on the page, which are all free */
        start = (uintptr_t)divide(slab, start) * slab->slot_bytes;
        end = np_max(end, start + slab->slot_bytes);
    }
    warm_up(slab, start, end - start);
    return take_warm(slab); /* S1: there are some, whatever the count says just now */
}

static _Noreturn void die_of_two_lists(const struct np_slab *slab, uintptr_t slot)
{
    np_die_of(FREED_TWICE, slot, "slot", slab->slot_bytes);
}

/* Sets bits of one word, which are all clear. */
static void set_bits(struct np_slab *slab, size_t page, unsigned number, uint64_t bits)
{
    uint64_t before = np_fetch_or(&slab->bits[word_of_page(slab, page, number)], bits) & bits;

    if (NP_UNLIKELY(before != 0))
        die_of_two_lists(slab, slab->start + (page << NP_GRANULE_SHIFT) +
                                   (number * 64 + (unsigned)__builtin_ctzll(before)) *
                                       (uintptr_t)slab->slot_bytes);
}

/* Frees the slots of a list by their bits; returns how many. The slab's size bounds the walk. A list is in any order, so the
 * bits of a page are gathered first, and each word is changed once. */
static unsigned publish_list(struct np_slab *slab, struct np_slot *first, const struct np_slot *end,
                             unsigned most)
{
    const uintptr_t bytes = (uintptr_t)slab->unit_count * NP_UNIT_BYTES;
    const struct np_slot *usual_end = np_slab_end(slab);
    /* As find_slot, of which this is the loop. */
    const uintptr_t start = slab->start;
    const uintptr_t key = slab->key;
    const uint32_t inverse = slab->inverse;
    const uintptr_t within = is_paged(slab) ? NP_GRANULE_BYTES - 1 : UINTPTR_MAX;
    const unsigned most_index = is_paged(slab) ? slab->slots_per_page : slab->slot_count;
    uint64_t gathered[NP_SLOT_BITS_PLANES * NP_UNIT_GRANULES]; /* by number, and of those by page */
    const size_t gathered_count = (is_paged(slab) ? words_per_page(slab) : LOOSE_WORDS) * NP_UNIT_GRANULES;
    struct np_slot *slot = first;
    struct np_slot *before = NULL;
    unsigned count = 0;

    memset(gathered, 0, gathered_count * sizeof gathered[0]);
    for (; slot != end && slot != usual_end && count < most; count++) {
        uintptr_t offset = (uintptr_t)slot - start;
        uint64_t product = (uint64_t)(offset & within) * inverse;
        unsigned index = (unsigned)(product >> 32);
        uint64_t *word;
        uint64_t bit;

        if (NP_UNLIKELY(offset >= bytes) || NP_UNLIKELY((uint32_t)product >= inverse) ||
            NP_UNLIKELY(index >= most_index))
            die_of_link(slab, before);
        word = &gathered[index / 64 * NP_UNIT_GRANULES + ((offset & ~within) >> NP_GRANULE_SHIFT)];
        bit = UINT64_C(1) << index % 64;
        before = slot;
        slot = np_slot_unmarked((struct np_slot *)(slot->encoded_next ^ key));
        if (NP_UNLIKELY((*word & bit) != 0))
            die_of_two_lists(slab, (uintptr_t)before);
        *word |= bit;
    }
    if (NP_UNLIKELY(slot != end && slot != usual_end)) /* there are no more than so many */
        die_of_link(slab, before);
    for (size_t at = 0; at < gathered_count; at++)
        if (gathered[at] != 0)
            set_bits(slab, at % NP_UNIT_GRANULES, (unsigned)(at / NP_UNIT_GRANULES), gathered[at]);
    return count;
}

NP_COLD uint64_t np_slab_publish(struct np_slab *slab)
{
    unsigned count = np_slab_private_count(slab);
    uint64_t word;

    if (count == 0) {
        word = atomic_load_explicit(&slab->word, memory_order_acquire);
        learn(slab, np_slab_word_count(word), 0);
        return word;
    }
    if (publish_list(slab, np_slab_first(slab), np_slab_end(slab), count) != count)
        die_of_link(slab, NULL);
    slab->free_slots = np_slab_end(slab);
    word = np_fetch_add(&slab->word, count * COUNT_ONE) + count * COUNT_ONE;
    learn(slab, np_slab_word_count(word), -(int)count);
    return word;
}

/* All slots are free. */
static void set_all_bits(struct np_slab *slab)
{
    if (!is_paged(slab)) {
        for (unsigned number = 0; number < LOOSE_WORDS; number++)
            atomic_store_explicit(&slab->bits[number], word_mask(slab->slot_count, number),
                                  memory_order_relaxed);
        return;
    }
    for (unsigned number = 0; number < words_per_page(slab); number++)
        for (unsigned page = 0; page < page_count(slab); page++)
            atomic_store_explicit(
                &slab->bits[word_of_page(slab, page, number)],
                word_mask(slab->slots_per_page, number), memory_order_relaxed);
}

/* Frees what is from this slot on by its bits, and remembers it as the list's end. */
static void move_from(struct np_slab *slab, struct np_slot *first)
{
    slab->moved_count =
        (uint16_t)(slab->moved_count + publish_list(slab, first, tail_of(slab), slab->slot_count));
    slab->tail_offset = (uint32_t)((uintptr_t)first - slab->start);
}

/* Whether nothing is on the list from here on, marked or not. */
static bool is_at_end(const struct np_slab *slab, const struct np_slot *slot)
{
    return np_slot_unmarked(slot) == tail_of(slab) || slot == np_slab_end(slab);
}

/* Nobody takes slots from the list, and its owner no longer puts any there, but for one that it is about to: that may lead to
 * what is the first now, which is remembered as the list's end. False: there is nothing. */
static bool move_list(struct np_slab *slab)
{
    struct np_slot *first = np_slot_unmarked(__atomic_load_n(&slab->free_slots, __ATOMIC_ACQUIRE));

    if (is_at_end(slab, first))
        return false;
    move_from(slab, first);
    return true;
}

static NP_NOT_SANITIZED struct np_slot *raw_next(const struct np_slab *slab, const struct np_slot *slot)
{
    return (struct np_slot *)(__atomic_load_n(&slot->encoded_next, __ATOMIC_RELAXED) ^ slab->key);
}

static struct np_slot *with_mark(const struct np_slot *slot)
{
    return (struct np_slot *)((uintptr_t)slot | NP_STOP_MARK);
}

static bool begins_slot(const struct np_slab *slab, const struct np_slot *slot)
{
    return np_slab_slot_index(slab, (uintptr_t)slot) >= 0;
}

/* Slots that a visitor leaves to malloc, and one that its owner was about to free when he came. */
#define LEFT_TO_MALLOC 2
#define LEFT_MOST (LEFT_TO_MALLOC + 1)

/* malloc may be taking slots from the list, which takes no atomic step. So it is stopped: the second slot's link is marked,
 * and what is behind is the visitor's.
 *
 * malloc reads the head, then that slot's link, then stores the link as the head. So it reads the second slot's link when it
 * has stored that slot as the head. In every other thread there is a point, before the barrier is over, up to which all its
 * stores can be seen, and from which on it sees ours. If at that point it had read the second slot's link as it was before,
 * that slot was the head, or what is behind it was: so if after the barrier another slot is the head and leads to the second
 * one, and that is marked still, malloc goes no further. The same if the head is the mark, which malloc has read there.
 * Since the owner is NULL already, it puts no slot on the list after that point, but for one at most that it was about to,
 * first.
 * What was taken since we looked holds what the program wrote there, and malloc clears the word first. So a slot that looks
 * like a link to another one is on the list, but for one chance in millions, twice; and the mark is made by a swap, so a slot
 * that is taken meanwhile stays as it is. */
static NP_NOT_SANITIZED void mark(struct np_slab *slab, struct np_stop *stop)
{
    struct np_slot *first = __atomic_load_n(&slab->free_slots, __ATOMIC_ACQUIRE);
    struct np_slot *third;
    uintptr_t link;

    *stop = (struct np_stop){.slab = slab, .is_possible = true};
    if (is_at_end(slab, first))
        return;
    if (np_slot_is_end(first)) { /* it has stopped */
        stop->mark = first;
        return;
    }
    stop->second = np_slot_unmarked(raw_next(slab, first));
    if (is_at_end(slab, stop->second))
        return;
    stop->is_possible = begins_slot(slab, stop->second);
    if (!stop->is_possible)
        return;
    third = raw_next(slab, stop->second);
    link = (uintptr_t)third ^ slab->key;
    if (is_at_end(slab, third))
        return;
    stop->mark = with_mark(third);
    stop->is_possible =
        begins_slot(slab, np_slot_unmarked(third)) &&
        (third == stop->mark ||
         __atomic_compare_exchange_n(&stop->second->encoded_next, &link, (uintptr_t)stop->mark ^ slab->key, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

/* After a barrier: whether malloc stops at the mark, or if there is none has no more than it is left. */
static NP_NOT_SANITIZED bool has_stopped(const struct np_slab *slab, const struct np_stop *stop)
{
    const struct np_slot *at = __atomic_load_n(&slab->free_slots, __ATOMIC_ACQUIRE);

    if (at == stop->second && stop->mark != NULL)
        return false;
    for (unsigned left = 0; stop->mark != NULL ? at != stop->mark : !is_at_end(slab, at); left++) {
        bool is_second = at == stop->second;

        if (left == LEFT_MOST || !begins_slot(slab, at))
            return false;
        at = raw_next(slab, at);
        if (at != stop->mark) { /* an older mark */
            if (is_second && stop->mark != NULL)
                return false;
            at = np_slot_unmarked(at);
        }
    }
    return true;
}

/* The owner could not be stopped, since it is in malloc just now: the slab rests as it did, and is charged with all that it may
 * retain. The owner's heap stays NULL: it may just be leaving the slab. False: it has left it. */
static bool undo_visit(struct np_slab *slab)
{
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);

    charge_more(slab, all_pages(slab));
    while ((word & NP_SLAB_LEFT_BIT) == 0)
        if (change(slab, &word, (word & ~NP_SLAB_VISITED_BIT) | NP_SLAB_RESTING_BIT | NP_SLAB_TAKEN_BIT))
            return true;
    (void)np_slab_charge(slab, 0);
    return false;
}

NP_COLD bool np_slab_try_visit(struct np_slab *slab, struct np_stop *stop, uint32_t *pages)
{
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);

    stop->slab = NULL;
    while ((word & NP_SLAB_RESTING_BIT) != 0)
        if (change(slab, &word,
                                (with_notice(word, NOTICE_NEVER) & ~(NP_SLAB_RESTING_BIT | NP_SLAB_TAKEN_BIT)) |
                                    NP_SLAB_VISITED_BIT)) {
            atomic_store(&slab->owner, NULL);
            (void)np_slab_charge(slab, 0);
            if ((word & NP_SLAB_CURRENT_BIT) != 0) {
                mark(slab, stop);
                return false;
            }
            (void)move_list(slab);
            *pages = np_slab_free_pages(slab);
            return true;
        }
    return false;
}

NP_COLD bool np_slab_finish_stop(const struct np_stop *stop, bool is_barrier_over, uint32_t *pages)
{
    struct np_slab *slab = stop->slab;

    if (is_barrier_over && stop->is_possible && has_stopped(slab, stop)) {
        NP_SEE_FAST(slab->free_slots);
        if (stop->mark != NULL)
            move_from(slab, np_slot_unmarked(stop->mark));
    } else if (undo_visit(slab)) {
        return false;
    } else {
        (void)move_list(slab);
    }
    *pages = np_slab_free_pages(slab);
    return true;
}

NP_COLD bool np_slab_end_visit(struct np_slab *slab)
{
    uint32_t before = np_slab_free_pages(slab);
    uint32_t freed;
    uint64_t word;

    /* Its owner was about to free a slot when we came. What others have charged stays; a page may be charged twice. From what
     * is current malloc may take: it keeps the two slots or three that are left. acquire: if it was retired meanwhile, we see
     * the list as malloc left it. */
    word = atomic_load_explicit(&slab->word, memory_order_acquire);
    if ((word & NP_SLAB_CURRENT_BIT) == 0 && move_list(slab))
        for (freed = np_slab_free_pages(slab) & ~before; freed != 0; freed &= freed + (freed & -freed))
            charge_more(slab, freed);
    word = atomic_load_explicit(&slab->word, memory_order_relaxed);
    for (;;) {
        bool is_left = (word & NP_SLAB_LEFT_BIT) != 0;
        uint64_t next_word = word & ~(NP_SLAB_VISITED_BIT | NP_SLAB_LEFT_BIT);

        if (!is_left)
            next_word |= NP_SLAB_RESTING_BIT | NP_SLAB_TAKEN_BIT;
        if (!change(slab, &word, next_word))
            continue;
        if (is_left)
            collect(slab);
        return !is_left;
    }
}

/* Nobody else has a slot of the slab, and so nobody else changes its bits. */
NP_COLD void np_slab_publish_all(struct np_slab *slab)
{
    unsigned count = np_slab_private_count(slab);
    uint64_t word;

    NP_ASSERT(np_slab_live_count(slab) == 0);
    set_all_bits(slab);
    slab->free_slots = np_slab_end(slab);
    word = np_fetch_add(&slab->word, count * COUNT_ONE) + count * COUNT_ONE;
    learn(slab, np_slab_word_count(word), -(int)count);
}

bool np_slab_try_close(struct np_slab *slab, uint64_t word, unsigned notice, bool is_listed)
{
    uint64_t closed = (word & ~(NOTICE_MASK | NP_SLAB_LISTED_BIT)) |
                      (uint64_t)notice << NOTICE_SHIFT | NP_SLAB_CLOSED_BIT |
                      (is_listed ? NP_SLAB_LISTED_BIT : 0);

    /* release: the next holder sees the private line as we leave it. */
    return np_compare_and_swap(&slab->word, &word, closed);
}

/* Of granules, those that make up whole system pages. */
static uint32_t whole_pages(uint32_t pages)
{
    unsigned granules = (unsigned)(np_page_bytes() >> NP_GRANULE_SHIFT);
    uint32_t whole = 0;

    if (granules == 1)
        return pages;
    for (unsigned from = 0; from < 32; from += granules) {
        uint32_t page = (UINT32_MAX >> (32 - granules)) << from;

        if ((pages & page) == page)
            whole |= page;
    }
    return whole;
}

/* Of the warm granules, those that no live slot overlaps, where pages have one word each. */
static uint32_t free_single(const struct np_slab *slab, uint32_t warm)
{
    uint64_t all = word_mask(slab->slots_per_page, 0);
    uint32_t free_pages = 0;

    for (; warm != 0; warm &= warm - 1) {
        unsigned page = (unsigned)__builtin_ctz(warm);

        if (load_bits(slab, page) == all)
            free_pages |= warm & -warm;
    }
    return free_pages;
}

/* Whether all bits from first to last are set in two words. */
static bool has_all(uint64_t low, uint64_t high, unsigned first, unsigned last)
{
    if (last < 64)
        return (~low & ((UINT64_C(2) << last) - (UINT64_C(1) << first))) == 0;
    if (first < 64)
        return ~low >> first == 0 && (~high & ((UINT64_C(2) << (last - 64)) - 1)) == 0;
    return (~high & ((UINT64_C(2) << (last - 64)) - (UINT64_C(1) << (first - 64)))) == 0;
}

/* Of a loose slab. No slot is live behind the last one. */
static uint32_t free_loose(const struct np_slab *slab, uint32_t warm)
{
    uint64_t low = load_loose(slab, 0) | ~word_mask(slab->slot_count, 0);
    uint64_t high = load_loose(slab, 1) | ~word_mask(slab->slot_count, 1);
    uint32_t free_pages = 0;

    for (; warm != 0; warm &= warm - 1) {
        uintptr_t start = (uintptr_t)__builtin_ctz(warm) << NP_GRANULE_SHIFT;

        if (has_all(low, high, divide(slab, start), divide(slab, start + NP_GRANULE_BYTES - 1)))
            free_pages |= warm & -warm;
    }
    return free_pages;
}

static uint32_t free_several(const struct np_slab *slab, uint32_t warm)
{
    uint32_t free_pages = 0;

    for (; warm != 0; warm &= warm - 1) {
        unsigned page = (unsigned)__builtin_ctz(warm);

        if (is_page_free(slab, page))
            free_pages |= UINT32_C(1) << page;
    }
    return free_pages;
}

bool np_slab_may_have_free_pages(const struct np_slab *slab, unsigned free_count)
{
    return free_count >= slab->slots_per_page; /* of a loose one, pages behind the last slot are free in any case */
}

uint32_t np_slab_free_pages(const struct np_slab *slab)
{
    uint32_t warm = all_pages(slab) & ~NP_OWNER_GET(slab->cold_pages);

    if (!is_paged(slab))
        return whole_pages(free_loose(slab, warm));
    return whole_pages(words_per_page(slab) == 1 ? free_single(slab, warm)
                                                 : free_several(slab, warm));
}

NP_COLD uint32_t np_slab_take_charge(struct np_slab *slab, _Atomic uint64_t *word, uint64_t bit)
{
    uint32_t pages = slab->charged_pages;

    (void)discharge(slab, word, bit);
    return np_is_alone() && pages != 0 ? pages : np_slab_free_pages(slab);
}

void np_slab_count_settled(struct np_slab *slab, unsigned live_count)
{
    size_t delta = (size_t)live_count - slab->settled_count;

    if (delta == 0)
        return;
    slab->settled_count = (uint16_t)live_count;
    (void)np_fetch_add_size(&np_slab_sums.settled_bytes, delta * slab->slot_bytes);
}

uintptr_t np_slab_slot_at(const struct np_slab *slab, unsigned slot_index)
{
    unsigned per_page = slab->slots_per_page;

    if (per_page == 0)
        return slab->start + (uintptr_t)slot_index * slab->slot_bytes;
    return slab->start + (uintptr_t)(slot_index / per_page) * NP_GRANULE_BYTES +
           (uintptr_t)(slot_index % per_page) * slab->slot_bytes;
}

int np_slab_slot_index(const struct np_slab *slab, uintptr_t address)
{
    size_t page;
    unsigned index;

    if (address - slab->start >= (uintptr_t)slab->unit_count * NP_UNIT_BYTES ||
        !find_slot(slab, address, &page, &index))
        return -1;
    return (int)(page * slab->slots_per_page + index);
}

bool np_slab_is_free_bit(const struct np_slab *slab, uintptr_t address)
{
    struct place place = place_of(slab, address);

    return (atomic_load_explicit(&slab->bits[place.word_at], memory_order_relaxed) & place.bit) != 0;
}

bool np_slab_is_live(const struct np_slab *slab, const void *memory)
{
    struct place place;

    return find_place(slab, (uintptr_t)memory, &place) && !np_slab_looks_free(slab, memory) &&
           (atomic_load_explicit(&slab->bits[place.word_at], memory_order_relaxed) & place.bit) == 0;
}

size_t np_slab_resident_bytes(const struct np_slab *slab)
{
    uint32_t cold_pages = NP_OWNER_GET(slab->cold_pages);

    return (size_t)(page_count(slab) - (cold_pages == 0 ? 0 : np_bit_count(cold_pages)))
           << NP_GRANULE_SHIFT;
}

struct np_slab *np_slab_find(uintptr_t address)
{
    struct np_slab *slab = np_window_record(address);
    uint8_t kind;

    if (slab == NULL)
        return NULL;
    /* acquire pairs with the release in np_slab_make. */
    kind = atomic_load_explicit(&slab->kind, memory_order_acquire);
    if (kind == NP_SLAB_CONTINUED)
        return np_window_record(address - NP_UNIT_BYTES);
    return kind == NP_SLAB_FIRST ? slab : NULL;
}

/* Marks the second unit of a slab that has one. Its record may be in another window's bookkeeping. */
static void mark_second_unit(const struct np_slab *slab, enum np_slab_kind kind)
{
    struct np_slab *second;

    if (slab->unit_count == 1)
        return;
    second = np_window_record(slab->start + NP_UNIT_BYTES);
    atomic_store_explicit(&second->owner, NULL, memory_order_relaxed);
    atomic_store_explicit(&second->kind, kind, memory_order_release);
}

static void set_shape(struct np_slab *slab, unsigned class_index, unsigned slot_class)
{
    const struct np_class *shape = &np_classes[slot_class];

    slab->class_index = (uint8_t)class_index;
    slab->slot_bytes = shape->slot_bytes;
    slab->slot_count = shape->slot_count;
    slab->unit_count = (uint8_t)shape->unit_count;
    slab->inverse = UINT32_MAX / shape->slot_bytes + 1;
    slab->spare_bytes = class_index == slot_class ? np_class_spare_bytes(class_index) : 0;
    /* Slots that fill pages to the byte do not straddle them either. */
    slab->slots_per_page = shape->slots_per_page;
    if (NP_GRANULE_BYTES % shape->slot_bytes == 0)
        slab->slots_per_page = (uint16_t)(NP_GRANULE_BYTES / shape->slot_bytes);
    slab->offset_mask = (uint16_t)(is_paged(slab) ? NP_GRANULE_BYTES - 1 : NP_UNIT_BYTES - 1);
}

NP_COLD struct np_slab *np_slab_make(struct np_arena **home, unsigned class_index, unsigned slot_class,
                             enum np_growth growth)
{
    unsigned unit_count = np_classes[slot_class].unit_count;
    struct np_run *run = np_run_take(home, unit_count * NP_UNIT_GRANULES, NP_UNIT_BYTES,
                                     NP_RUN_SLAB, growth);
    struct np_slab *slab;

    if (run == NULL)
        return NULL;
    slab = np_window_record(run->start);
    slab->used_when_passed = 0; /* written before it is read: where the record's page is new that is one fault, not two */
    atomic_signal_fence(memory_order_seq_cst);
    /* Another one each time: links that slabs before it have left in its slots are no links here. A program may copy them
     * without having read them, and they must not look as if the block were free. */
    slab->key = (uintptr_t)np_mix(slab->key ^ run->start ^ np_secret());
    slab->free_half = (np_half_word)((slab->key ^ run->start) >> NP_HALF_WORD_BITS);
    NP_OWNER_SET(slab->is_refused, false);
    slab->start = run->start;
    if (np_tune_get(NP_KNOB_HARDENING) == 2) /* links of what was here before would look like writes after free */
        np_run_clear(run, (size_t)run->granule_count << NP_GRANULE_SHIFT);
    slab->free_slots = np_slab_end(slab);
    set_shape(slab, class_index, slot_class);
    slab->bits = np_window_slot_bits(run->start, words_per_page(slab), &slab->plane_words);
    if (!is_paged(slab))
        slab->plane_words = 1; /* its words are next to each other */
    NP_OWNER_SET(slab->cold_pages, all_pages(slab) & ~np_run_resident_mask(run));
    np_returned_note_reused((size_t)run->resident_count << NP_GRANULE_SHIFT);
    set_all_bits(slab);
    adopt(slab, slab->slot_count * COUNT_ONE);
    atomic_store_explicit(&slab->charged_count, 0, memory_order_relaxed);
    slab->charged_pages = 0;
    slab->settled_count = 0;
    slab->side = 0;
    atomic_fetch_add_explicit(&np_slab_sums.granules, run->granule_count, memory_order_relaxed);
    atomic_store_explicit(&slab->owner, NULL, memory_order_relaxed);
    atomic_store_explicit(&slab->word, slab->slot_count * COUNT_ONE, memory_order_relaxed);
    mark_second_unit(slab, NP_SLAB_CONTINUED);
    /* release pairs with the acquire in np_slab_find, for those that ask about an address of their own
     * finding; the program's own blocks reach other threads by its own synchronisation. */
    atomic_store_explicit(&slab->kind, NP_SLAB_FIRST, memory_order_release);
    return slab;
}

NP_COLD void np_slab_destroy(struct np_slab *slab)
{
    struct np_run *run = np_run_find(slab->start);
    uint32_t warm_pages = all_pages(slab) & ~slab->cold_pages;
    unsigned charged;

    NP_ASSERT(!np_slab_is_listed(slab) && np_slab_is_open(slab));
    charged = np_slab_charge(slab, 0);
    np_returned_note_freed((np_bit_count(warm_pages) - np_min(charged, np_bit_count(warm_pages)))
                           << NP_GRANULE_SHIFT);
    np_slab_count_settled(slab, 0);
    atomic_fetch_sub_explicit(&np_slab_sums.granules, run->granule_count, memory_order_relaxed);
    atomic_store_explicit(&slab->owner, NULL, memory_order_relaxed);
    mark_second_unit(slab, NP_SLAB_NONE);
    atomic_store_explicit(&slab->kind, NP_SLAB_NONE, memory_order_relaxed);
    np_run_give_masked(run, warm_pages);
}

NP_COLD void np_slab_view(const struct np_slab *slab, struct np_slab_view *view)
{
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_acquire);
    int live = slab->slot_count - np_slab_word_count(word);

    view->is_open = (word & NP_SLAB_CLOSED_BIT) == 0;
    if (view->is_open)
        live = np_slab_live_count(slab) - (np_slab_word_count(word) - NP_OWNER_GET(slab->shared_count));
    if (live < 0)
        live = 0;
    view->slot_count = slab->slot_count;
    view->live_count = (unsigned)np_min((size_t)live, slab->slot_count);
    view->free_count = view->slot_count - view->live_count;
    view->slot_bytes = slab->slot_bytes;
    view->resident_bytes = np_slab_resident_bytes(slab);
    view->retained_bytes =
        view->is_open ? 0 : (size_t)np_bit_count(np_slab_free_pages(slab)) << NP_GRANULE_SHIFT;
}

/* S1, and that bits are only where slots are. */
static const char *audit_bits(const struct np_slab *slab)
{
    for (unsigned page = 0; page < page_count(slab); page++)
        if ((slab->cold_pages >> page & 1) != 0 && !is_page_free(slab, page))
            return "S1: a slot on a cold page is not free";
    if (!is_paged(slab) && (load_bits(slab, 1) & ~word_mask(slab->slot_count, 1)) != 0)
        return "S2: a bit without a slot is set";
    return NULL;
}

/* Keeps visitors away from a slab that rests, to look at its list; false: one is there. */
static NP_COLD bool try_hold(const struct np_slab *looked_at, uint64_t *word)
{
    struct np_slab *slab = (struct np_slab *)looked_at; /* its word changes, and changes back */

    *word = atomic_load_explicit(&slab->word, memory_order_relaxed);
    while ((*word & NP_SLAB_RESTING_BIT) != 0)
        if (change(slab, word, *word ^ (NP_SLAB_RESTING_BIT | NP_SLAB_VISITED_BIT)))
            return true;
    return (*word & NP_SLAB_VISITED_BIT) == 0;
}

/* word: as try_hold has found it. */
static NP_COLD void end_hold(const struct np_slab *looked_at, uint64_t word)
{
    struct np_slab *slab = (struct np_slab *)looked_at;

    if ((word & NP_SLAB_RESTING_BIT) != 0)
        (void)atomic_fetch_xor(&slab->word, NP_SLAB_RESTING_BIT | NP_SLAB_VISITED_BIT);
}

/* Follows the list up to a slot, or to its end, which is this one or the usual one; dies at a damaged link. Whether the slot is
 * there. */
static NP_COLD bool follow_list(const struct np_slab *slab, const struct np_slot *end, const void *wanted)
{
    struct np_slot *slot = checked(slab, np_slab_first(slab), NULL);
    unsigned count = 0;

    for (; slot != NULL && slot != end && count < slab->slot_count; count++) {
        if (slot == wanted)
            return true;
        slot = checked(slab, np_slot_next(slab, slot), slot);
    }
    if (NP_UNLIKELY(slot != NULL && slot != end)) /* it goes round in a circle */
        np_die_of(FREED_TWICE, (uintptr_t)slot, "slot", slab->slot_bytes);
    return false;
}

NP_COLD bool np_slab_is_free(const struct np_slab *slab, const void *memory)
{
    uint64_t word;
    bool is_free;

    if (!try_hold(slab, &word))
        return np_slab_is_surely_free(slab, memory);
    is_free = np_slab_is_free_bit(slab, (uintptr_t)memory) ||
              follow_list(slab, tail_of(slab), memory);
    end_hold(slab, word);
    return is_free;
}

NP_COLD void np_slab_check_links(const struct np_slab *slab)
{
    uint64_t word;

    if (!try_hold(slab, &word))
        return;
    (void)follow_list(slab, tail_of(slab), NULL);
    end_hold(slab, word);
}

/* Of a list whose links are sound. */
static void check_bits(const struct np_slab *slab, const struct np_slot *slot)
{
    for (; slot != np_slab_end(slab); slot = np_slot_next(slab, slot))
        if (NP_UNLIKELY(np_slab_is_free_bit(slab, (uintptr_t)slot)))
            np_die_of(FREED_TWICE, (uintptr_t)slot, "slot", slab->slot_bytes);
}

void np_slab_check(const struct np_slab *slab)
{
    np_slab_check_links(slab);
    check_bits(slab, np_slab_first(slab));
}

/* Counts the slots of a list; returns what is wrong with it, or NULL. */
static const char *audit_list(const struct np_slab *slab, const struct np_slot *slot,
                              unsigned *count)
{
    for (; slot != np_slab_end(slab) && *count <= slab->slot_count; ++*count) {
        if (np_slab_slot_index(slab, (uintptr_t)slot) < 0)
            return "S2: a free list leaves its slab";
        if (np_slab_is_free_bit(slab, (uintptr_t)slot))
            return "S2: a slot is on the private list and free by its bit";
        slot = np_slot_next(slab, slot);
    }
    return NULL;
}

static const char *audit_held(const struct np_slab *slab)
{
    unsigned count = 0;
    const char *fault = audit_list(slab, np_slab_first(slab), &count);

    if (fault != NULL)
        return fault;
    if (count != np_slab_private_count(slab))
        return "S2: the private list's length and the counts differ";
    return audit_bits(slab);
}

const char *np_slab_audit(const struct np_slab *slab)
{
    uint64_t word;
    const char *fault;

    if (!try_hold(slab, &word))
        return NULL;
    fault = (word & NP_SLAB_TAKEN_BIT) != 0 ? audit_bits(slab) : audit_held(slab);
    end_hold(slab, word);
    return fault;
}

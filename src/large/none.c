/* Blocks of no bytes. See none.h. */
#include "none.h"

#include "bits.h"
#include "limits.h"
#include "os.h"

#define NONE_BYTES ((size_t)16)
#define NONE_COUNT ((size_t)16384)
#define WORD_COUNT (NONE_COUNT / 64)

static NP_SPARSE_ZERO _Atomic uint64_t lent[WORD_COUNT];
static _Atomic size_t next_word; /* where the search begins */
static _Atomic uintptr_t start;  /* 0: not reserved yet */

static uintptr_t reservation(void)
{
    uintptr_t known = atomic_load_explicit(&start, memory_order_acquire);
    void *fresh;

    if (NP_LIKELY(known != 0))
        return known;
    fresh = np_os_reserve(NONE_COUNT * NONE_BYTES, NP_UNIT_BYTES);
    if (fresh == NULL)
        return 0;
    if (atomic_compare_exchange_strong(&start, &known, (uintptr_t)fresh))
        return (uintptr_t)fresh;
    (void)np_os_release(fresh, NONE_COUNT * NONE_BYTES);
    return known;
}

/* Claims one of some bits of the word that is clear; 64: there is none. */
static unsigned claim(_Atomic uint64_t *word, uint64_t wanted)
{
    uint64_t bits = atomic_load_explicit(word, memory_order_relaxed);

    while ((~bits & wanted) != 0) {
        unsigned bit = (unsigned)__builtin_ctzll(~bits & wanted);

        if (atomic_compare_exchange_weak_explicit(word, &bits, bits | UINT64_C(1) << bit,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return bit;
    }
    return 64;
}

/* The bits of a word, of blocks that have an alignment. */
static uint64_t aligned_bits(size_t word, size_t alignment_bytes)
{
    size_t step = np_max(alignment_bytes / NONE_BYTES, 1);
    uint64_t bits = 0;

    if (step >= 64)
        return word % (step / 64) == 0;
    for (unsigned bit = 0; bit < 64; bit += (unsigned)step)
        bits |= UINT64_C(1) << bit;
    return bits;
}

void *np_none_take(size_t alignment_bytes)
{
    uintptr_t base = alignment_bytes <= NP_UNIT_BYTES ? reservation() : 0;
    size_t first = atomic_fetch_add_explicit(&next_word, 1, memory_order_relaxed);

    for (size_t i = 0; base != 0 && i < WORD_COUNT; i++) {
        size_t at = (first + i) % WORD_COUNT;
        unsigned bit = claim(&lent[at], aligned_bits(at, alignment_bytes));

        if (bit < 64)
            return (void *)(base + (at * 64 + bit) * NONE_BYTES);
    }
    return NULL;
}

bool np_none_holds(uintptr_t address)
{
    uintptr_t base = atomic_load_explicit(&start, memory_order_acquire);

    return base != 0 && address - base < NONE_COUNT * NONE_BYTES;
}

/* The word and the bit of a block; false: none begins there. */
static bool find(uintptr_t address, _Atomic uint64_t **word, uint64_t *bit)
{
    size_t offset = address - atomic_load_explicit(&start, memory_order_acquire);

    if (!np_none_holds(address) || offset % NONE_BYTES != 0)
        return false;
    *word = &lent[offset / NONE_BYTES / 64];
    *bit = UINT64_C(1) << offset / NONE_BYTES % 64;
    return true;
}

bool np_none_is_lent(uintptr_t address)
{
    _Atomic uint64_t *word;
    uint64_t bit;

    return find(address, &word, &bit) &&
           (atomic_load_explicit(word, memory_order_acquire) & bit) != 0;
}

bool np_none_give(void *memory)
{
    _Atomic uint64_t *word;
    uint64_t bit;

    return find((uintptr_t)memory, &word, &bit) &&
           (atomic_fetch_and_explicit(word, ~bit, memory_order_acq_rel) & bit) != 0;
}

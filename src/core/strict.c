/* The strictest level: see strict.h. */
#include "strict.h"

#include <string.h>

#include "bits.h"
#include "check.h"
#include "meta.h"
#include "tune.h"

#define REQUESTED_BITS 14 /* of requests that slots serve, less the trailer */
#define FORM_BITS 3
#define CONTENT_MASK ((UINT64_C(1) << (REQUESTED_BITS + FORM_BITS)) - 1)
_Static_assert(NP_SMALL_MAX_BYTES - NP_STRICT_TRAILER_BYTES < (size_t)1 << REQUESTED_BITS,
               "a trailer holds any request");

#define SMALL_BYTES 1024
#define SMALL_COUNT 1024
#define LARGE_COUNT 64

static const char freed_already[] = "double free, or free of a block never handed out";
static const char overflowed[] = "overflow: a block was written beyond its end";
static const char written_beside[] = "overflow or underflow: the memory beside a block was written to";
const char np_written_when_free[] = "a free block was overwritten";
const char np_other_form[] = "free in another way than the block was asked for";

_Atomic uint8_t np_strict_state;

static NP_SPARSE_ZERO _Atomic(void *) small_ring[SMALL_COUNT];
static NP_SPARSE_ZERO _Atomic(void *) large_ring[LARGE_COUNT];
static _Atomic unsigned small_next;
static _Atomic unsigned large_next;

void np_strict_decide(void)
{
    uint8_t undecided = NP_STRICT_UNDECIDED;
    uint8_t state = np_tune_get(NP_KNOB_HARDENING) == 2 ? NP_STRICT_ON : NP_STRICT_OFF;

    (void)atomic_compare_exchange_strong(&np_strict_state, &undecided, state);
}

static _Noreturn void die_in(const struct np_slab *slab, const char *crime, uintptr_t slot)
{
    np_die_of(crime, slot, "slot", slab->slot_bytes);
}

static _Atomic uint64_t *trailer_at(const struct np_slab *slab, uintptr_t slot)
{
    return (_Atomic uint64_t *)(slot + slab->slot_bytes - NP_STRICT_TRAILER_BYTES);
}

/* Never zero, which stands for a free slot. */
static uint64_t trailer_of(uintptr_t slot, uint64_t content)
{
    uint64_t sum = np_mix(np_mix(slot ^ np_secret()) ^ content);

    return (sum & ~CONTENT_MASK) | content | UINT64_C(1) << 63;
}

static uint64_t content_of(size_t requested_bytes, enum np_form form)
{
    return requested_bytes | (uint64_t)form << REQUESTED_BITS;
}

static bool is_sound(uintptr_t slot, uint64_t trailer)
{
    return trailer == trailer_of(slot, trailer & CONTENT_MASK);
}

static size_t requested_in(uint64_t trailer)
{
    return trailer & ((UINT64_C(1) << REQUESTED_BITS) - 1);
}

static enum np_form form_in(uint64_t trailer)
{
    return (enum np_form)((trailer & CONTENT_MASK) >> REQUESTED_BITS);
}

/* Of a slot; the same wherever it lies behind the block. One of 63 values that neither text nor zeros nor all ones are
 * made of: those are what is written a byte too far. */
static unsigned char canary_of(uint64_t trailer)
{
    unsigned char byte = (unsigned char)(0x81 | (trailer >> 40 & 0x7E));

    return byte == 0xFF ? 0xA5 : byte;
}

static bool is_filled_with(const char *from, const char *to, unsigned char byte)
{
    /* Each byte is as the one before it: memcmp looks at many at a time. */
    return from >= to || (*(const unsigned char *)from == byte &&
                          memcmp(from, from + 1, (size_t)(to - from) - 1) == 0);
}

/* Whether a slot is zero behind its first word. */
static bool is_clear(const struct np_slab *slab, uintptr_t slot)
{
    return is_filled_with((const char *)slot + sizeof(struct np_slot),
                          (const char *)slot + slab->slot_bytes, 0);
}

/* The canary, and then the trailer, of a block whose trailer says until then that it is on its
 * way. */
static void finish(const struct np_slab *slab, void *memory, uint64_t trailer)
{
    memset((char *)memory + requested_in(trailer), canary_of(trailer),
           slab->slot_bytes - NP_STRICT_TRAILER_BYTES - requested_in(trailer));
    /* release pairs with the acquire in is_block_whole: who sees it sees the canary. */
    atomic_store_explicit(trailer_at(slab, (uintptr_t)memory), trailer, memory_order_release);
}

void np_strict_dress(void *memory, size_t requested_bytes)
{
    const struct np_slab *slab = np_slab_find((uintptr_t)memory);
    uintptr_t slot = (uintptr_t)memory;
    uint64_t trailer = trailer_of(slot, content_of(requested_bytes, NP_FORM_MALLOC));
    uint64_t coming = trailer_of(slot, content_of(requested_bytes, NP_FORM_ANY));

    if (atomic_load_explicit(&np_strict_state, memory_order_relaxed) == NP_STRICT_ON &&
        NP_UNLIKELY(!is_clear(slab, slot)))
        die_in(slab, np_written_when_free, slot);
    /* First, so that a neighbour who sees anything else of the block sees that it is not free. */
    atomic_store_explicit(trailer_at(slab, slot), coming, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    finish(slab, memory, trailer);
}

void np_strict_set_form(void *memory, enum np_form form)
{
    const struct np_slab *slab = np_slab_find((uintptr_t)memory);
    uintptr_t slot = (uintptr_t)memory;
    size_t requested_bytes =
        requested_in(atomic_load_explicit(trailer_at(slab, slot), memory_order_relaxed));

    atomic_store_explicit(trailer_at(slab, slot),
                          trailer_of(slot, content_of(requested_bytes, NP_FORM_ANY)),
                          memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    finish(slab, memory, trailer_of(slot, content_of(requested_bytes, form)));
}

/* Just being taken, or freed. */
static bool is_on_its_way(uintptr_t slot, uint64_t trailer)
{
    return is_sound(slot, trailer) && form_in(trailer) == NP_FORM_ANY;
}

static bool is_canary_whole(const struct np_slab *slab, uintptr_t slot, uint64_t trailer)
{
    return is_sound(slot, trailer) &&
           is_filled_with((const char *)slot + requested_in(trailer),
                          (const char *)slot + slab->slot_bytes - NP_STRICT_TRAILER_BYTES,
                          canary_of(trailer));
}

/* The trailer of a block that should be live. Dies if it is not, or was written beyond, or taken by another form. */
static uint64_t checked_trailer(const struct np_slab *slab, uintptr_t slot, enum np_form form,
                                const char *crime)
{
    uint64_t trailer = atomic_load_explicit(trailer_at(slab, slot), memory_order_acquire);

    if (NP_UNLIKELY(trailer == 0 || is_on_its_way(slot, trailer)))
        die_in(slab, crime, slot);
    if (NP_UNLIKELY(!is_canary_whole(slab, slot, trailer)))
        die_in(slab, overflowed, slot);
    if (NP_UNLIKELY(form != NP_FORM_ANY && form_in(trailer) != form))
        die_in(slab, np_other_form, slot);
    return trailer;
}

size_t np_strict_requested_bytes(const struct np_slab *slab, const void *memory,
                                 enum np_form form, const char *crime)
{
    return requested_in(checked_trailer(slab, (uintptr_t)memory, form, crime));
}

/* A slot beside one that is being freed: live with a sound trailer, or free and zero. Another thread may be taking or freeing
 * it: it stores the trailer before anything else when it takes it, and clears it last when it frees it. */
static void check_neighbour(const struct np_slab *slab, int index)
{
    uintptr_t slot;
    uint64_t trailer;

    if (index < 0 || index >= slab->slot_count)
        return;
    slot = np_slab_slot_at(slab, (unsigned)index);
    trailer = atomic_load_explicit(trailer_at(slab, slot), memory_order_acquire);
    if (trailer == 0 && NP_UNLIKELY(!is_clear(slab, slot))) {
        atomic_thread_fence(memory_order_acquire);
        trailer = atomic_load_explicit(trailer_at(slab, slot), memory_order_acquire);
        if (trailer == 0)
            die_in(slab, written_beside, slot);
    }
    if (trailer != 0 && NP_UNLIKELY(!is_sound(slot, trailer)))
        die_in(slab, written_beside, slot);
}

void np_strict_undress(const struct np_slab *slab, void *memory, enum np_form form)
{
    uintptr_t slot = (uintptr_t)memory;
    int index = np_slab_slot_index(slab, slot);
    uint64_t trailer = checked_trailer(slab, slot, form, freed_already);
    uint64_t leaving = trailer_of(slot, content_of(requested_in(trailer), NP_FORM_ANY));

    /* Of two threads that free it at once, one. */
    if (!atomic_compare_exchange_strong(trailer_at(slab, slot), &trailer, leaving))
        die_in(slab, freed_already, slot);
    /* Whoever sees the slot zero sees that it is on its way (is_block_whole). */
    atomic_thread_fence(memory_order_release);
    check_neighbour(slab, index - 1);
    check_neighbour(slab, index + 1);
    memset(memory, 0, slab->slot_bytes - NP_STRICT_TRAILER_BYTES);
    atomic_store_explicit(trailer_at(slab, slot), 0, memory_order_release);
}

/* Of a slot that may be live, free, or just being taken or freed by another thread: then its
 * trailer changes first. */
static bool is_block_whole(const struct np_slab *slab, uintptr_t slot)
{
    uint64_t trailer = atomic_load_explicit(trailer_at(slab, slot), memory_order_acquire);

    if (trailer == 0 || is_on_its_way(slot, trailer) || is_canary_whole(slab, slot, trailer))
        return true;
    atomic_thread_fence(memory_order_acquire);
    return trailer != atomic_load_explicit(trailer_at(slab, slot), memory_order_relaxed);
}

void np_strict_check_live(const struct np_heap *heap)
{
    for (unsigned index = 0; index < heap->open_count; index++) {
        const struct np_slab *slab = heap->open[index];
        unsigned slot_count = 0;

        /* The process may end in a signal handler that has interrupted the opening of a slab. */
        if (atomic_load_explicit(&slab->owner, memory_order_relaxed) == heap)
            slot_count = slab->slot_count;
        for (unsigned at = 0; at < slot_count; at++)
            if (NP_UNLIKELY(!is_block_whole(slab, np_slab_slot_at(slab, at))))
                die_in(slab, overflowed, np_slab_slot_at(slab, at));
    }
}

/* A slot that leaves the quarantine must be as it was when it came. */
static void *checked_leaver(void *memory)
{
    const struct np_slab *slab;

    if (memory == NULL)
        return NULL;
    slab = np_slab_find((uintptr_t)memory);
    if (NP_UNLIKELY(!is_filled_with(memory, (const char *)memory + slab->slot_bytes, 0)))
        die_in(slab, np_written_when_free, (uintptr_t)memory);
    return memory;
}

void *np_strict_exchange(const struct np_slab *slab, void *memory)
{
    /* Until the level is known nothing waits: at another one it would do so for ever. */
    if (atomic_load_explicit(&np_strict_state, memory_order_relaxed) != NP_STRICT_ON)
        return memory;
    if (slab->slot_bytes <= SMALL_BYTES)
        return checked_leaver(atomic_exchange(
            &small_ring[atomic_fetch_add(&small_next, 1) % SMALL_COUNT], memory));
    return checked_leaver(
        atomic_exchange(&large_ring[atomic_fetch_add(&large_next, 1) % LARGE_COUNT], memory));
}

static void check_ring(_Atomic(void *) *ring, unsigned count)
{
    for (unsigned at = 0; at < count; at++) {
        /* Out of the ring, so that no other thread hands it out meanwhile; one that has filled the place keeps it. */
        void *memory = checked_leaver(atomic_exchange(&ring[at], NULL));
        void *none = NULL;

        if (memory != NULL)
            (void)atomic_compare_exchange_strong(&ring[at], &none, memory);
    }
}

void np_strict_check_quarantine(void)
{
    check_ring(small_ring, SMALL_COUNT);
    check_ring(large_ring, LARGE_COUNT);
}

static void *take_out_of(_Atomic(void *) *ring, unsigned count)
{
    for (unsigned at = 0; at < count; at++)
        if (atomic_load_explicit(&ring[at], memory_order_relaxed) != NULL) {
            void *memory = atomic_exchange(&ring[at], NULL);

            if (memory != NULL)
                return checked_leaver(memory);
        }
    return NULL;
}

void *np_strict_take_out(void)
{
    void *memory;

    if (atomic_load(&small_next) + atomic_load(&large_next) == 0)
        return NULL;
    memory = take_out_of(small_ring, SMALL_COUNT);

    return memory != NULL ? memory : take_out_of(large_ring, LARGE_COUNT);
}

static void walk_ring(_Atomic(void *) *ring, unsigned count, void (*visit)(const void *slot))
{
    for (unsigned at = 0; at < count; at++) {
        const void *slot = atomic_load_explicit(&ring[at], memory_order_relaxed);

        if (slot != NULL)
            visit(slot);
    }
}

void np_strict_walk_quarantine(void (*visit)(const void *slot))
{
    walk_ring(small_ring, SMALL_COUNT, visit);
    walk_ring(large_ring, LARGE_COUNT, visit);
}

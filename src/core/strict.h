/* NEAP_HARDENING=2: what surrounds a small block, and what is left of it once it is free, is known to the byte.
 *
 * A live slot:   what was asked for | canary bytes | trailer, 8 bytes
 * A free slot:   zero, but for the link in its first word while it is on a list
 *
 * The trailer holds how many bytes were asked for and by which form (malloc, new, new[]), under a checksum with the slot's
 * address and a secret; a slot whose trailer is zero is free. Whoever frees a block checks its trailer and its canary, that
 * it is freed as it was taken, and that the slots on both sides are what their trailers say: sound if live, zero if free.
 * Then it is cleared and waits in the *quarantine*, and is checked once more when it leaves that, and when malloc takes it.
 * Larger blocks have mappings of their own between two guard pages (np_large_take_guarded).
 *
 * The quarantine is two rings of addresses, of slots up to 1 KiB and above; it holds 2 MiB at most. No lock: each step is
 * one atomic exchange.
 *
 * Which level holds is known once the environment is there. The few blocks that are handed out before are laid out as here,
 * and it does not matter how they are freed. Afterwards it never changes.
 */
#ifndef NP_CORE_STRICT_H
#define NP_CORE_STRICT_H

#include "heap.h"
#include "slab.h"

enum np_strict_state { NP_STRICT_UNDECIDED, NP_STRICT_OFF, NP_STRICT_ON };
extern _Atomic uint8_t np_strict_state; /* enum np_strict_state */

/* Whether blocks are laid out like this. */
NP_INLINE bool np_strict_is_on(void)
{
    return NP_UNLIKELY(atomic_load_explicit(&np_strict_state, memory_order_relaxed) !=
                       NP_STRICT_OFF);
}

/* The knob has its value: from now on it holds. */
void np_strict_decide(void);

/* How a block was asked for. */
enum np_form {
    NP_FORM_MALLOC,
    NP_FORM_NEW,
    NP_FORM_NEW_ARRAY,
    NP_FORM_NEW_ALIGNED,
    NP_FORM_NEW_ARRAY_ALIGNED,
    NP_FORM_ANY /* is being freed; to those who free: it does not matter */
};

#define NP_STRICT_TRAILER_BYTES ((size_t)8)

/* Makes a free slot a live block; dies if somebody has written to it. */
void np_strict_dress(void *slot, size_t requested_bytes);

/* What is said of two crimes that are seen at other levels, too. */
extern const char np_written_when_free[];
extern const char np_other_form[];

/* Notes by which form a live block of a slot was asked for. */
void np_strict_set_form(void *memory, enum np_form form);

/* Checks a block that is being freed, and clears it; dies if anything is wrong with it or beside it. */
void np_strict_undress(const struct np_slab *slab, void *memory, enum np_form form);

/* Checks a live block; returns how many bytes were asked for. Dies of the crime if it is not live, or was not taken by such
 * a form. */
size_t np_strict_requested_bytes(const struct np_slab *slab, const void *memory,
                                 enum np_form form, const char *crime);

/* Looks at the blocks of the slabs that this thread's heap has open, for when the process ends. */
void np_strict_check_live(const struct np_heap *heap);

/* Puts an undressed slot into the quarantine; returns one that leaves it instead, or NULL. */
void *np_strict_exchange(const struct np_slab *slab, void *memory);

/* Looks through all that is in the quarantine, for when the process ends. */
void np_strict_check_quarantine(void);

/* Takes some slot out of the quarantine; NULL: it is empty. */
void *np_strict_take_out(void);

/* For audits, while nobody frees: all slots that are in the quarantine. */
void np_strict_walk_quarantine(void (*visit)(const void *slot));

#endif

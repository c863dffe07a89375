/* What may stay resident though nothing lives there, and how the rest goes back: the return engine.
 *
 * Retained are free runs with memory behind them (arena/), and in closed slabs the warm pages on which no slot is live, which
 * each slab is charged with when it closes, and what others have freed in slabs that rest (slab.h, S6). What else heaps hold
 * open is bounded by their own limits. Whoever frees, and finds the sum above the threshold, returns memory until it is 512
 * KiB below it, or an eighth if that is more, before free returns: no timer, no helper. Of runs and slabs, those that have
 * more come first; runs by size, slabs in the order of their addresses, going round, so that what was visited last comes last.
 *
 * Nothing is purged twice: only warm pages are, and they are cold afterwards. No system call is made under a lock.
 */
#ifndef NP_HEAP_RETURN_H
#define NP_HEAP_RETURN_H

#include "attr.h"
#include "lock.h"

/* Bytes of free runs that are resident, and of slabs' charges: what np_return_excess bounds. */
size_t np_return_retained_bytes(void);

/* What may stay retained now: M_TRIM_THRESHOLD, or the built-in rule, max(1 MiB, live / 32) and the thrash allowance. */
size_t np_return_threshold_bytes(void);

/* Above the threshold, less what heaps have reserved of it, gives memory back until it is 512 KiB below
 * that, or an eighth if that is more (or half, if that is less than 512 KiB). */
void np_return_excess(void);

/* What of P1's constant of 512 KiB parked heaps and whichever heap needs it may hold open; the rest is the homeless heap's. */
#define NP_RETURN_SPARE_BYTES ((size_t)384 << 10)

/* A heap may hold so much more open than its own limit allows: what is spare goes first, then what is reserved comes off
 * the threshold, so the sum is bounded as before. False: there is no more to reserve. Three quarters of the threshold's
 * fixed part may be while up to four threads have heaps; with more of them each would gain little by it, and lose more. And
 * all of the thrash allowance. */
bool np_return_reserve(size_t bytes);
void np_return_give_reserve_back(size_t bytes);

/* Reserves what a heap that is parked holds open, for which the whole of the fixed part is there. Otherwise false, and how much
 * is left. */
bool np_return_reserve_to_park(size_t bytes, size_t *room_bytes);

/* The first thread's heap leaves so much of its own limit to be reserved, beside what is spare. */
void np_return_note_left(size_t bytes);

/* Whether more is reserved than may be, since there are more threads, the threshold has been set lower, or the allowance has
 * fallen. */
bool np_return_is_reserve_too_large(void);

/* Returns free pages of slabs that heaps hold open and do not take from (slab.h), until so much has gone; returns the bytes
 * that went. Their owners need not run for it; those that do find slabs that were taken from them. */
size_t np_return_from_resting(size_t most_bytes);

/* What heaps hold open of the threshold, and so is less of it for the rest. If more is reserved than there is, since the
 * allowance has fallen or the threshold was set, that is nothing, and what rests is returned, once: those who run give theirs
 * back before they hold more, and those who sleep have nothing of it any more. */
size_t np_return_reserved_of_threshold(void);

/* So many more threads have a heap of their own now, or fewer. */
void np_return_note_threads(int more);

/* So many granules without memory are about to be used. Keeps account of what is taken back soon after it was returned
 * (arena/thrash.h). */
void np_return_note_taken(size_t granules);

/* Gives back until at most so much is retained, or so much has gone; returns the bytes that went. */
size_t np_return_down_to(size_t retained_bytes, size_t most_bytes);

/* Gives back all of it, but for pad_bytes at the top of the main arena; returns whether anything went. */
bool np_return_all(size_t pad_bytes);

/* In the child of a fork: closes what other threads were visiting, but for the one slab that each was about to open or
 * close; to be called when all locks are free. */
void np_return_settle_in_child(void);

/* The lock of the engine's own pool, of rank NP_RANK_META. */
void np_return_fork(enum np_fork_phase phase);

#endif

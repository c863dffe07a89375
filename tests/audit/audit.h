/* The audit: walks all of neap's structures, arenas, runs, slabs and bits, and compares them with
 * the truth (truth.h), and the truth with what P1 promises. For one thread, while all others are
 * outside of neap. What does not hold ends the process, with the rule's label.
 *
 * What is promised (docs/architecture.md, "What bounds retained memory"):
 * [P1] retained <= T + 512 KiB + 1 MiB for each thread. T is M_TRIM_THRESHOLD; unless set, max(1
 *      MiB, live / 32) plus the thrash allowance.
 * [P2] What lies in free runs and closed slabs alone is at most T, less what heaps have reserved of
 *      it, if that is not more than there is to reserve.
 * [P3] There is no allowance unless, for some time until now, more than 1/32 of it went into
 *      taking back what had been returned.
 * [P4] Bookkeeping is resident for windows, and for those shares of their addresses in which there
 *      is memory, as far as neap knows, or a run ends. For others it is not, but for a little: it
 *      goes where memory is purged, and a share may come to be free as a whole because its
 *      neighbour is freed.
 *
 * What neap believes of itself:
 * [A1] A page that is cold to its slab is not resident.
 * [A2] A page all of whose slots are free by their bits has no byte of a live block.
 * [A3] A page of a closed slab that is resident, and without a byte of a live block, is free by its
 *      bits.
 * [A4] A closed slab is charged with its free pages, and so is one that was taken from its owner;
 *      one that rests with what others have freed, by steps; another open one with nothing; or
 *      more, but little, where threads met.
 * [A5] The process's sums are those of the slabs: of charges, of settled bytes, of granules.
 * [A6] What is resident in a free run is counted in resident_count.
 * [A7] All of a medium run is live.
 * [A8] A slab that is open is so in a heap that has it in its list.
 * [A9] A heap holds at most NEAP_OPEN_BYTES open and what it has reserved: in all heaps together
 *      what the first thread's heap leaves, 384 KiB of P1's constant, and 768 KiB; once there was
 *      an allowance that too, 2 MiB each at most, and what they keep of one that has fallen is
 *      judged by P1. Parked heaps together hold 256 KiB, reserved, too, and 1 MiB may be then; the
 *      homeless one holds 128 KiB.
 *      One that says that it is beyond its limit has grown during a fork, and not since.
 * [A10] What the engine counts as retained, and what heaps hold open, is together no less than
 *      what is retained in truth.
 * [A11] At level 2 at most 1,088 freed slots are in quarantine. What they withhold is beside P1. */
#ifndef NEAP_TESTS_AUDIT_AUDIT_H
#define NEAP_TESTS_AUDIT_AUDIT_H

#include <stdbool.h>
#include <stddef.h>

/* What a walk has found, in bytes; of the retained, by place. */
struct audit_found {
    size_t run_bytes;      /* in free runs */
    size_t closed_bytes;   /* in closed slabs */
    size_t open_bytes;     /* in open slabs */
    size_t refused_bytes;  /* not in the above: what the system would not take */
    size_t waiting_bytes;  /* nor this: on pages that only slots in quarantine withhold (A11) */
    size_t retained_bytes; /* all but the last two */
    size_t live_bytes;
    size_t threshold_bytes;        /* T, from the truth; SIZE_MAX: no limit */
    size_t allowance_bytes;        /* part of T */
    size_t bookkeeping_bytes;      /* resident, of windows */
    size_t idle_bookkeeping_bytes; /* P4 */
    size_t pool_bytes;             /* used, of pools */
    size_t believed_bytes;         /* np_return_retained_bytes() */
    size_t overcharged_bytes;      /* charges above what A4 asks for */
    size_t held_open_bytes;        /* by all heaps */
    size_t reserved_bytes;         /* by all heaps, of the threshold */
    unsigned heap_count;
};

/* What the situation allows for. */
struct audit_limits {
    unsigned thread_count;         /* that have a heap and have not ended, the caller's included */
    size_t thread_bytes;           /* that each may hold: P1's 1 MiB, or less */
    unsigned lost_count;           /* in the child of a fork: heaps of threads that are not here */
    size_t more_bytes;             /* what else may be retained, and why is said by who sets it */
    size_t overcharge_bytes;       /* A4: how much more, in all */
    size_t idle_bookkeeping_bytes; /* P4: the little */
    bool is_adrift;                /* A8 need not hold: a fork has come between */
};

extern struct audit_limits audit_limits;

/* To be called first, while there is one thread. */
void audit_begin(void);

/* Walks without judging. */
void audit_walk(struct audit_found *found);

/* All of the above. `where` is for the message. */
void audit_at_rest(const char *where);

/* The same at every nth call. */
void audit_now_and_then(const char *where, unsigned nth);

/* Notes what has been taken back by now, for P3, as each audit does: to be called several times a
 * second where audits are far apart. */
void audit_note_moment(void);

/* How many audits there were, and the least distance to P1's limit. */
void audit_report(void);

#endif

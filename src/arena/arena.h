/* Arenas lend runs of granules and take them back.
 *
 * An *arena* is one or more stretches of address space with a lock. The main one grows with sbrk,
 * unless other code does that too, the others with mmap in steps of a window. A *run* is a stretch of granules lent out
 * as one piece, or free. Free runs merge with their neighbours, resident or not, and are found best-fit by size, lowest
 * address first among equals; a free run with memory behind it is preferred among near fits. *Top* is the free run that
 * touches the end of the newest stretch: it is used last, and given back by sbrk.
 *
 * What the kernel has behind free granules is kept in the windows' bitmaps; free granules with
 * memory are *retained*, and can be given back here; when they are is for heap/return.h to say.
 *
 * Who guards it: arena->lock guards the runs of an arena, its trees and the bitmap bits and map entries of
 * its granules. np_break_lock serialises growing and shrinking and is taken before it. A run that is lent
 * belongs to the borrower; a run being purged (NP_RUN_BUSY) to the thread that purges it.
 *
 * [R1] A run has at least one granule and lies inside one stretch of its arena.
 * [R2] The runs of a stretch tile it: each starts where the last one ends.
 * [R3] Two free runs of a stretch never touch.
 * [R4] The map entries of a run's first and last granule point to it; except that the first has none if it begins a
 *      unit, nor the last if the run consists of units: the record of the first and of the last unit (R9) tells
 *      of them. Nor has the end of the top.
 * [R5] A free run is the top, or in the warm tree if resident_count > 0, or else in the cold tree.
 * [R6] resident_count of a free run is the number of granules in those whole system pages inside it that have a
 *      resident bit, and all of those pages lie in its resident box.
 * [R7] An arena's retained_granules is the sum of resident_count over its free runs that are not is_refused:
 *      what the system has refused to take (locked memory) cannot be returned, and does not count as retained.
 * [R8] An arena's free_granules is the sum of granule_count over its free runs.
 * [R9] The record of a run that starts at a unit is the one in its window's bookkeeping for that unit, so that it
 *      goes back with the range; the others' come from a pool.
 * [R10] lent_granules is the sum of granule_count over its lent runs, perhaps with some that are just being given
 *      back, and lent_granules_max the most that it has been.
 * [R11] A run that was given back may be *kept* as it is, for the next who wants one of its length: on the list of its
 *      length, filed nowhere and joined to nothing, with memory behind it. It counts in R7 and R8 as free runs do. One
 *      that is longer than what is wanted may be cut, and what is left is kept, too. Whoever looks at all free runs, or
 *      finds none that is warm and fits, files all kept ones first. None are kept any more once the system has refused
 *      to take memory of a run (is_refused).
 *
 * [R12] room_count of a lent run is the number of granules behind what its borrower uses, which have no memory.
 *      They are lent, but live nowhere: np_arena_lent_bytes leaves them out.
 *
 * [R13] retained_most is at least retained_granules, and at most retained_slack more. np_run_retained_most is the sum
 *      over all arenas, and all granules of posted runs: what every free reads, and few write.
 * [R14] A run, resident as a whole, that was given back while another thread had the lock is *posted*: NP_RUN_BUSY, on
 *      the list `deferred`, and still counted as lent (R10). Whoever has the lock files it before he lets go, or, where it
 *      came after his last look, whoever has the lock next, to take or to give, or finds that too much may be retained.
 *
 * Leaves out: what a borrower does with a run (heap/, core/), and mappings of single objects (large/).
 */
#ifndef NP_ARENA_ARENA_H
#define NP_ARENA_ARENA_H

#include "attr.h"
#include "filed.h"
#include "limits.h"
#include "lock.h"
#include "range.h"

enum np_run_state {
    NP_RUN_NONE, /* a record that is not in use */
    NP_RUN_TAIL, /* a unit's record that tells where the run begins whose last unit it is (R4) */
    NP_RUN_FREE,
    NP_RUN_BUSY, /* free, and somebody is purging it */
    NP_RUN_KEPT, /* free, and not filed yet: R11 */
    NP_RUN_SLAB,
    NP_RUN_MEDIUM /* one object */
};

#define NP_RUN_CLEARED_BYTES ((size_t)64)

struct np_run {
    union { /* first member */
        struct np_tree_node node; /* free; node.left links deferred runs */
        struct {
            uintptr_t unused;
            bool is_zeroed;         /* a medium object was handed out zero */
            uint8_t form;           /* how it was asked for: enum np_form of core/strict.h */
            uint16_t cleared;       /* of its first bytes, when it was given back: also while it is kept, and when it is lent
                                       again as it is; by NP_RUN_CLEARED_BYTES */
            size_t requested_bytes; /* its request */
        } lent;
        struct np_run *head; /* NP_RUN_TAIL */
    };
    uintptr_t start;
    struct np_arena *arena;
    uint32_t granule_count;
    uint32_t resident_count;   /* free: R6. Lent: what was resident when it was lent */
    uint32_t resident_from;    /* the resident box, in granules from start */
    uint32_t resident_to;
    union {
        uint32_t room_count;    /* lent: R12 */
        uint32_t touched_count; /* while deferred: the argument of np_run_give, and whether it is posted */
    };
    _Atomic uint8_t state;     /* enum np_run_state */
    bool is_refused;           /* free: the system has refused to take all that is resident */
    bool is_counted;           /* in R10 */
    bool is_in_flow;           /* just lent, or kept: what became free when it was given back is noted (returned.h) */
};

_Static_assert(sizeof(struct np_run) <= NP_RUN_RECORD_BYTES, "a window's run records hold a run");

struct np_stretch {
    uintptr_t start;
    uintptr_t end;   /* of what is usable */
    uintptr_t limit; /* of what is reserved; 0: got from the break */
    uintptr_t committed_end; /* the grower's: usable up to here, where that is behind the end */
    struct np_stretch *next; /* older */
};

/* Of 256 KiB, the largest that are kept. Larger ones are few, and what a program does with them takes longer. */
#define NP_KEPT_MAX_GRANULES 64

/* What an arena keeps in any case: 512 KiB. */
#define NP_KEPT_USUAL_GRANULES ((size_t)128)

struct np_arena {
    struct np_lock lock;
    unsigned index; /* 0: the main arena */
    bool is_for_forks; /* serves while a fork holds the others; a child has to do without it */
    struct np_arena *next; /* older; fixed */
    struct np_filed warm;
    struct np_filed cold;
    struct np_run *top; /* or NULL */
    struct np_stretch *stretches; /* newest first */
    bool has_odd_stretches;       /* some begin elsewhere than at a window */
    _Atomic size_t retained_granules;
    _Atomic size_t free_granules;
    _Atomic size_t lent_granules;
    _Atomic size_t lent_granules_max;
    _Atomic size_t system_bytes; /* of all stretches */
    _Atomic size_t system_bytes_max;
    _Atomic bool is_growing;
    _Atomic(struct np_run *) deferred; /* given back while somebody else had the lock */
    _Atomic bool is_filing_deferred;   /* what was on that list is on nobody's, and not counted yet */
    struct np_run *deferred_at_fork;   /* the forking thread's: those that were there before */
    bool has_refused; /* the system has refused to take memory of a run once: nothing is kept any more */
    size_t retained_most;  /* R13 */
    size_t retained_slack;
    size_t kept_granules;
    size_t passed_granules; /* kept, taken again, and not noted in the flow yet */
    _Atomic uint64_t kept_lengths; /* bit n: some of n + 1 granules are kept; changed under the lock */
    struct np_run *kept[NP_KEPT_MAX_GRANULES + 1]; /* R11; by length */
    struct np_run *spare; /* records for the next runs that do not start at a unit, linked by node.left */
    size_t spare_count;
};

extern struct np_lock np_break_lock;

/* All arenas, newest first; never NULL, ends with the main one. */
struct np_arena *np_arena_list(void);

enum np_growth { NP_EXISTING_ONLY, NP_MAY_GROW };

/* A run of granule_count granules whose start is a multiple of alignment_bytes (a power of two, at least a
 * granule), state `state`. *home is the caller's arena, NULL at first: it is tried first, and changed
 * when it is contended or exhausted. NULL: no memory, or with NP_EXISTING_ONLY no free run that fits. Of one that is in the
 * flow the taker notes that its memory is used again. */
struct np_run *np_run_take(struct np_arena **home, size_t granule_count, size_t alignment_bytes,
                           enum np_run_state state, enum np_growth growth);

/* The same for a block that a kept run of this arena, which may be NULL, does for as it is, where nothing else has to be done
 * before; NULL: np_run_take finds out. */
struct np_run *np_run_take_kept(struct np_arena *arena, size_t granule_count);

/* Takes a lent run back. touched_count: granules from its start that may have been written; those
 * behind keep what they were when it was lent. Whoever calls looks whether too much is retained now (heap/return.h).
 * The granules touched have become free now, and are noted (returned.h) unless the run is kept: if it is taken next as it
 * is, neither that they became free nor that they were taken is ever noted. */
void np_run_give(struct np_run *run, size_t touched_count);

/* The same for a run of at most 32 granules at a unit, of which the borrower knows where memory is: a bit a granule; he has
 * noted what became free. */
void np_run_give_masked(struct np_run *run, uint32_t resident_mask);

/* Of such a run, just lent: the granules that had memory. */
uint32_t np_run_resident_mask(const struct np_run *run);

/* As np_run_give, for a run of which perhaps much was never touched: asks the kernel, and returns what hardly was. */
void np_run_give_sparse(struct np_run *run);

/* Returns the memory that a run just lent has from a granule on. */
void np_run_purge_from(struct np_run *run, size_t granule);

/* So much of a lent run is room now; before it is given back, none. */
void np_run_set_room(struct np_run *run, size_t granule_count);

/* Returns the memory of a run just lent that is to be zero, where such runs mostly come back hardly touched. */
void np_run_make_cold(struct np_run *run);

/* Grows a lent run in place to granule_count granules, or leaves it and answers false. */
bool np_run_try_extend(struct np_run *run, size_t granule_count);

/* Gives the granules behind the first granule_count back; all of the rest may have been written. False: no
 * memory for bookkeeping, the run is as it was. */
bool np_run_try_shrink(struct np_run *run, size_t granule_count);

/* Whether a run that is kept, or was just lent, has what was cleared when it was given back. */
bool np_run_is_clear(const struct np_run *run);

/* A kept run that has not, or NULL. For use while no other thread is at work here. */
struct np_run *np_run_find_overwritten(void);

/* Makes the first byte_count bytes of a run just lent zero, writing only where they may not be. */
void np_run_clear(struct np_run *run, size_t byte_count);

/* Puts memory behind granules of a lent run before they are touched. False: not done, which costs time only. */
bool np_run_populate(struct np_run *run, size_t from, size_t granule_count);

/* Granules in [from, to) of the run that may have memory behind them: of a free run all that have, of a lent one
 * those that had when it was lent. */
size_t np_run_count_resident(const struct np_run *run, size_t from, size_t to);

/* The lent run that starts at this address, or NULL: for any address. */
struct np_run *np_run_find(uintptr_t address);

/* The run, lent or not, that holds the address; for diagnosis, walks the arena under its lock. */
struct np_run *np_run_around(uintptr_t address);

/* Bytes of free runs that are resident, in all arenas. */
size_t np_arena_retained_bytes(void);

/* At least that, and little more (R13): without a look at what arenas write at every step. */
size_t np_arena_retained_most_bytes(void);

/* Bytes of lent runs, in all arenas, without what is room (R12). */
size_t np_arena_lent_bytes(void);

/* The same with blocks in mappings of their own. */
size_t np_arena_used_bytes(void);

/* Gives memory of the largest free run with memory back, of all arenas, or of the top of the main one but for
 * top_keep_bytes: at least want_granules if it has them. Adds what went to *gone. False: nothing more can go. */
bool np_arena_return_some(size_t want_granules, size_t top_keep_bytes, size_t *gone);

/* Lets other threads get on with returning memory, during which nobody can have it. False: none is at that. */
bool np_arena_wait_for_returns(void);

/* Purges ranges of lent runs that belong to the caller, each whole system pages. A range that the system refuses is
 * made 0 bytes long. Returns the granules that went. */
size_t np_arena_purge_ranges(struct np_range *ranges, size_t count);

/* The same, and in the same call memory of small free runs, so that want_granules go together if there are so many: what
 * slabs leave behind is as scattered as what they have. Behind the ranges is room for NP_RUN_RANGES more. */
#define NP_RUN_RANGES 128
size_t np_arena_purge_with_runs(struct np_range *ranges, size_t count, size_t want_granules);

/* Gives back all memory of free runs, but for pad_bytes at the top of the main arena; true if any went. */
bool np_arena_trim(size_t pad_bytes);

/* Walks an arena under its lock: NULL, or the invariant that does not hold. */
const char *np_arena_audit(struct np_arena *arena);

/* The same for all arenas. */
const char *np_arena_audit_all(void);

/* Calls visit for each run of the arena, in address order within a stretch, under its lock. False: a fork has
 * the lock, nothing was visited. visit takes no lock of this layer and keeps no pointer to the run. */
bool np_arena_walk(struct np_arena *arena, void (*visit)(const struct np_run *run, void *context),
                   void *context);

/* Live blocks in mappings of their own have become so much more, or less: a peak of the program has them in it. */
void np_arena_note_mapped(size_t more_bytes, size_t less_bytes);

/* So many granules were populated in a call that began at this time: what a refault costs is measured. */
void np_arena_note_populated(size_t granules, uint64_t since_ns);

/* A mapping was given back, of a size that is a run next time: what is taken now may be taken back (thrash.h). */
void np_arena_note_unmapped(size_t bytes);

/* So much was returned because a call asked for it (malloc_trim): the first so many bytes that are taken back now
 * are no thrashing, since a higher threshold would not have kept them. */
void np_arena_note_asked(size_t bytes);

/* What was returned, and not taken back since. */
size_t np_arena_outstanding_bytes(void);

/* So many granules without memory are about to be used. If memory had been returned before, that much of it is taken
 * back, and the thrash allowance may rise (thrash.h). It makes no difference which addresses they have: had nothing
 * been returned, that memory would serve. live_bytes: in use; retained_bytes: resident and free. */
void np_arena_note_taken(size_t granules, size_t live_bytes, size_t retained_bytes);

/* Whether it is time for that: so much more or less is retained than when somebody last looked, or the clock has gone
 * on, which is asked for once in some calls of a thread. By words that are seldom written. */
bool np_arena_is_look_due(size_t retained_bytes);

/* Lets the thrash allowance fall if it is not needed; to be called before memory is returned. */
void np_arena_look_at_allowance(size_t live_bytes, size_t retained_bytes);

size_t np_arena_allowance_bytes(void);

/* For who has watched the program for an epoch (np_thrash_epoch_ns): lowers the allowance to so much. */
void np_arena_limit_allowance(size_t bytes);
uint64_t np_arena_epoch_ns(void);

void np_arena_fork(enum np_fork_phase phase);

/* Files the runs that were given back while a fork had the locks; to be called when all its locks are free. */
void np_arena_settle_deferred(void);

#endif

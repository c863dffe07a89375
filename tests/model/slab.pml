/*
 * The slab protocol, as a model for spin.  docs/slab_protocol.md says it in prose.
 *
 * Owns: slabs as records with private fields and one shared word; their slots as real linked
 * lists; the closed lists of the depot with a lock a class; threads which allocate, free, claim,
 * close, exit, and free again after their exit.  Nothing bounds how often a thread does so: the
 * search is over all histories, of any length, of so many threads, slabs and slots.
 *
 * One step is one shared access.  Private fields join the step beside them, since nobody else
 * may look at them; `touch` asserts that.  A compare-and-swap loop is one step: it succeeds only
 * if the word still is what the new value was computed from, nothing but the word (and a slot
 * which is ours) is read for it, and an attempt that fails leaves no trace.
 *
 * Leaves out: the order of a class's list (a taker may pick any slab: every order is covered),
 * the bound on open slabs (a heap may close any slab at any time: every bound is covered), fork,
 * and memory weaker than sequential consistency (the document argues those orderings).
 *
 * Settings, all by -D; `run` holds the sets that are tried:
 *   SLABS, SLOTS, CLASSES   how many slabs, slots of a slab (2 to 4), classes
 *   FREERS, STRANGERS   threads beside the allocator: one that frees and claims and exits (0 or
 *                       1), one that never has a heap (0 or 1)
 *   PURGE               a holder may purge pages on which no live slot lies
 *   TAKERS              2: the freer allocates too
 *   ROOM_TO_LIST        slots of room from which on a closed slab is listed
 *   FORK                the stranger forks: it holds the depot's locks, and nobody waits
 *   PARK                a thread that ends may park its heap with slabs open (the heap serves
 *                       again, and the thread, which has no heap, may free meanwhile)
 *   ANY_NOTICE          a slab closed with room asks to be claimed at any count, not only when
 *                       entirely free: every policy that the return of memory may want
 *   BREAK_...           one deliberate mistake each; spin must find each one
 */

#ifndef SLABS
#define SLABS 2
#endif
#ifndef CLASSES
#define CLASSES 1
#endif
#ifndef FREERS
#define FREERS 1
#endif
#ifndef TAKERS
#define TAKERS 1
#endif
#ifndef STRANGERS
#define STRANGERS 1
#endif

/* Two pages; of three or four slots the second lies on both. */
#ifndef SLOTS
#define SLOTS 3
#endif
#define ALL_PAGES 3
#if SLOTS == 2
#define PAGES_OF(k) (k)
#else
#define PAGES_OF(k) ((k) == 1 -> 1 : ((k) == 2 -> 3 : 2))
#endif

/* A slab is listed from this much room on.  With less it is closed unlisted, and claimed by the push
 * that makes so much more room. */
#ifndef ROOM_TO_LIST
#define ROOM_TO_LIST 1
#endif
#define ROOM(s) (SLOTS - slab[s].used)

/* Thread numbers, which serve as heap numbers too; 0 is nobody. */
#define ALLOCATOR 1
#define FREER 2
#define STRANGER 3

/* What holds a slab that waits to be settled, and a lock in a fork; no thread. */
#define NOBODY_YET 4
#define FORKING 5

/* What the program may do with a slot; this is the truth that lists are compared with. */
#define COLD 0
#define FREE 1
#define LIVE 2
#define LEAVING 3 /* inside free, not yet on a list */

#if defined(BREAK_OWNER_KEPT) || defined(BREAK_OWNER_CLEARED_LATE) || \
    defined(BREAK_OWNER_SET_EARLY)
/* The audit is to find the harm, and not just the unexpected value. */
#define BREAK_OWNER
#endif

#define LINK(s, k) link[(s) * SLOTS + (k) - 1]
#define STATE(s, k) state[(s) * SLOTS + (k) - 1]

typedef slab_record {
    /* the atomic word */
    byte head;
    byte count;
    byte notice;
    bit open;
    /* atomic by itself, compared with one's own heap only */
    byte owner;
    /* the holder's own */
    byte free;
    byte used;
    byte extended;
    byte cold_pages;
    /* the depot's, under the lock of the class; the holder reads is_listed without it */
    bit is_listed;
    bit in_list;
    byte class;
    /* what no code reads: */
    bit exists;      /* the arena has lent the run */
    byte holder;     /* who holds it, changed in the very step that opens or closes */
    bit had_room;    /* when it was closed */
};

slab_record slab[SLABS];
byte link[SLABS * SLOTS];
byte state[SLABS * SLOTS];
byte depot_lock[CLASSES];
byte ended_count;

/* Which record each thread may still look at, as s + 1; 0 once it was zeroed under its eyes. */
byte looks_at[4];

/* Scratch of the steps below; 0 between steps, so that it adds no states. */
hidden byte i_;
hidden byte k_;
hidden byte n_;
hidden byte seen_;
hidden byte busy_;

/* Only the holder touches private fields. */
inline touch(s)
{
    assert(slab[s].holder == me)
}

/* The whole truth about one slab, after every step that changed it. */
inline audit(s)
{
    seen_ = 0;
    n_ = 0;
    k_ = slab[s].head;
    do
    :: k_ != 0 ->
        assert(STATE(s, k_) == FREE);
        assert((seen_ & (1 << k_)) == 0); /* on one list, once */
        seen_ = seen_ | (1 << k_);
        n_++;
        k_ = LINK(s, k_)
    :: else -> break
    od;
    assert(n_ == slab[s].count);
    k_ = slab[s].free;
    do
    :: k_ != 0 ->
        assert(STATE(s, k_) == FREE);
        assert((seen_ & (1 << k_)) == 0);
        seen_ = seen_ | (1 << k_);
        n_++;
        k_ = LINK(s, k_)
    :: else -> break
    od;
    busy_ = 0;
    k_ = 1;
    do
    :: k_ <= SLOTS ->
        if
        :: STATE(s, k_) == FREE -> assert((seen_ & (1 << k_)) != 0) /* none is lost */
        :: STATE(s, k_) >= LIVE -> busy_++
        :: else
        fi;
        k_++
    :: else -> break
    od;
    assert(n_ + busy_ == slab[s].extended);
    assert(slab[s].used == busy_ + slab[s].count);
    if
    :: slab[s].holder == 0 && slab[s].extended != 0 -> /* closed, and not a zeroed record */
        assert(!slab[s].open);
        assert(slab[s].free == 0);
#ifndef BREAK_OWNER
        assert(slab[s].owner == 0);
#endif
        assert(busy_ > 0);                                /* it would have been given back */
        assert(slab[s].count < slab[s].notice);           /* at its notice somebody claims it */
        assert(slab[s].notice <= slab[s].extended);       /* which the last free does reach */
#ifndef BREAK_PUBLISH_THEN_LIST
        /* Takers can find its room, or one has just unlisted it and will open it. */
        assert(!slab[s].had_room || slab[s].in_list || depot_lock[slab[s].class] != 0)
#endif
    :: slab[s].holder != 0 -> assert(slab[s].open)
    :: else
    fi;
    seen_ = 0;
    n_ = 0;
    k_ = 0;
    busy_ = 0
}

/* In the hands of the caller from here on: the step that turns `open` from 0 to 1. */
inline become_holder(s)
{
    assert(slab[s].exists);
    assert(slab[s].holder == 0);
    slab[s].open = 1;
    slab[s].holder = me;
    slab[s].had_room = 0;
    slab[s].notice = 0 /* nobody reads it while the slab is open: fewer states */
}

/*
 * The private list is kept in order of address.  The protocol does not care for the order of a
 * list that only one thread sees, and the search has fewer states to tell apart.
 */
inline insert_private(s, k)
{
    if
    :: slab[s].free == 0 || slab[s].free > k ->
        LINK(s, k) = slab[s].free;
        slab[s].free = k
    :: else ->
        i_ = slab[s].free;
        do
        :: LINK(s, i_) != 0 && LINK(s, i_) < k -> i_ = LINK(s, i_)
        :: else -> break
        od;
        LINK(s, k) = LINK(s, i_);
        LINK(s, i_) = k;
        i_ = 0
    fi
}

/* The word's list becomes part of the private one; the flags of the word stay. */
inline collect(s)
{
    touch(s);
    slab[s].used = slab[s].used - slab[s].count;
    slab[s].count = 0;
    do
    :: slab[s].head != 0 ->
        k_ = slab[s].head;
        slab[s].head = LINK(s, k_);
        insert_private(s, k_)
    :: else -> break
    od;
    k_ = 0
}

/* The lowest cold page comes back, and with it each slot that has no other cold page. */
inline extend(s)
{
    touch(s);
    if
    :: (slab[s].cold_pages & 1) != 0 -> slab[s].cold_pages = slab[s].cold_pages - 1
    :: else -> slab[s].cold_pages = 0
    fi;
    k_ = SLOTS;
    do
    :: k_ > 0 ->
        if
        :: STATE(s, k_) == COLD && (PAGES_OF(k_) & slab[s].cold_pages) == 0 ->
            STATE(s, k_) = FREE;
            insert_private(s, k_);
            slab[s].extended++
        :: else
        fi;
        k_--
    :: else -> break
    od;
    k_ = 0
}

#ifdef PURGE
#ifdef BREAK_STRADDLER
/* Judges a page by the slots that start in it. */
#define JUDGED(k, g) (((k) <= 2 -> 1 : 2) == (g))
#else
#define JUDGED(k, g) ((PAGES_OF(k) & (g)) != 0)
#endif

/*
 * Page g of 1 and 2 goes back to the kernel, if every slot that overlaps it is on the private
 * list or cold already; those slots leave the list and are cold.  (The code does it as: take the
 * slots off, madvise, set the bit.  All three are the holder's alone.)
 */
inline purge(s, g)
{
    touch(s);
    seen_ = 0;
    k_ = slab[s].free;
    do
    :: k_ != 0 ->
        seen_ = seen_ | (1 << k_);
        k_ = LINK(s, k_)
    :: else -> break
    od;
    n_ = 0;
    k_ = 1;
    do
    :: k_ <= SLOTS ->
        if
        :: JUDGED(k_, g) && STATE(s, k_) != COLD && (seen_ & (1 << k_)) == 0 -> n_++
        :: else
        fi;
        k_++
    :: else -> break
    od;
    if
    :: n_ == 0 && (slab[s].cold_pages & g) == 0 ->
        /* Rebuild the list of those that stay; their order is of no consequence. */
        slab[s].free = 0;
        slab[s].cold_pages = slab[s].cold_pages | g;
        k_ = SLOTS;
        do
        :: k_ > 0 ->
            if
            :: (PAGES_OF(k_) & g) != 0 && (seen_ & (1 << k_)) != 0 ->
                STATE(s, k_) = COLD;
                LINK(s, k_) = 0;
                slab[s].extended--
            :: (PAGES_OF(k_) & g) != 0 && (seen_ & (1 << k_)) == 0 ->
                assert(STATE(s, k_) == COLD) /* a live slot, or a link, has lost its page */
            :: (PAGES_OF(k_) & g) == 0 && (seen_ & (1 << k_)) != 0 ->
                LINK(s, k_) = slab[s].free;
                slab[s].free = k_
            :: else
            fi;
            k_--
        :: else -> break
        od
    :: else
    fi;
    n_ = 0;
    k_ = 0;
    seen_ = 0
}

#endif

/* A record is made anew.  No slot of it is in anyone's hands yet, so this is one step. */
inline create(s, c)
{
    assert(slab[s].head == 0 && slab[s].count == 0 && slab[s].owner == 0 && !slab[s].is_listed);
    slab[s].class = c;
    slab[s].cold_pages = ALL_PAGES;
    become_holder(s);
    slab[s].owner = me;
    extend(s)
}

/* Under the lock of the class. */
inline unlist(s)
{
    atomic {
        assert(slab[s].in_list);
        assert(slab[s].exists && looks_at[me] == s + 1);
        slab[s].in_list = 0
    }
    atomic {
        assert(slab[s].exists && looks_at[me] == s + 1);
        slab[s].is_listed = 0;
        assert(!slab[s].in_list)
    }
}

#define LOCK(c) atomic { depot_lock[c] == 0 -> depot_lock[c] = me }
#define UNLOCK(c) atomic { assert(depot_lock[c] == me); depot_lock[c] = 0 }

/* The private list goes into the word whole; `open` and the holder go with it. */
inline publish_into_word(s, asked_notice, room)
{
    touch(s);
#ifndef BREAK_USED_NOT_RAISED
    slab[s].used = slab[s].extended; /* whoever collects will subtract the count */
#endif
    slab[s].head = slab[s].free;
    slab[s].free = 0;
    slab[s].notice = asked_notice;
    slab[s].had_room = room;
    slab[s].open = 0;
    slab[s].holder = 0
}

#define MAY_GIVE_BACK(s) (slab[s].used == 0)

/* How many slots are on the private list: those which exist and are not used. */
#define PRIVATE_COUNT(s) (slab[s].extended - slab[s].used)

/* What a program and a heap may do next, one line a slab or slot, each with its own guard. */
#define IS_LAST (ended_count == FREERS + STRANGERS)
#if TAKERS == 1
#define IS_TAKER (my_heap == ALLOCATOR)
#else
#define IS_TAKER (my_heap != 0)
#endif
#define HELD(i) (slab[i].holder == me)
#define SERVES(i, c) (HELD(i) && slab[i].class == (c) && slab[i].free != 0)
#define IS_WANTING(i) (IS_TAKER && HELD(i) && slab[i].free == 0)
#define MAY_TAKE(i) \
    :: atomic { IS_TAKER && HELD(i) && slab[i].free != 0 -> s = i; goto take }
#define MAY_EXTEND(i) \
    :: atomic { IS_WANTING(i) && slab[i].cold_pages != 0 -> s = i; goto extend_own }
#define MAY_COLLECT(i) \
    :: atomic { IS_WANTING(i) && slab[i].head != 0 -> s = i; goto collect_own }
#define MAY_CREATE(i, c) \
    :: atomic { IS_TAKER && IS_FIRST_FREE(i) && NEEDS(c) -> \
        slab[i].exists = 1; s = i; goto create_##c }
#define MAY_CLOSE(i) \
    :: atomic { my_heap != 0 && HELD(i) -> s = i; goto close }
#define MAY_FREE(i, j) \
    :: atomic { STATE(i, j) == LIVE -> STATE(i, j) = LEAVING; s = i; k = j; goto free }
#define MAY_EXIT(i) \
    :: atomic { HELD(i) -> s = i; goto close }
#define MAY_SETTLE(i) \
    :: atomic { slab[i].holder == NOBODY_YET -> slab[i].holder = me; s = i; goto close }
#define MAY_PICK(i) \
    :: slab[i].in_list && slab[i].class == c -> s = i

#if SLOTS == 2
#define MAY_FREE_ANY(i) MAY_FREE(i, 1) MAY_FREE(i, 2)
#define IS_LIVE(i) (STATE(i, 1) == LIVE || STATE(i, 2) == LIVE)
#endif
#if SLOTS == 3
#define MAY_FREE_ANY(i) MAY_FREE(i, 1) MAY_FREE(i, 2) MAY_FREE(i, 3)
#define IS_LIVE(i) (STATE(i, 1) == LIVE || STATE(i, 2) == LIVE || STATE(i, 3) == LIVE)
#endif
#if SLOTS == 4
#define MAY_FREE_ANY(i) MAY_FREE(i, 1) MAY_FREE(i, 2) MAY_FREE(i, 3) MAY_FREE(i, 4)
#define IS_LIVE(i) \
    (STATE(i, 1) == LIVE || STATE(i, 2) == LIVE || STATE(i, 3) == LIVE || STATE(i, 4) == LIVE)
#endif
#if SLABS == 1
#define NEEDS(c) (!SERVES(0, c))
#define IS_FIRST_FREE(i) (!slab[i].exists)
#define ANY_HELD HELD(0)
#define ANY_LIVE IS_LIVE(0)
#define ANY_EXISTS slab[0].exists
#else
#define NEEDS(c) (!SERVES(0, c) && !SERVES(1, c))
/* The slabs are alike: that the arena lends the lower one first leaves nothing out. */
#define IS_FIRST_FREE(i) (!slab[i].exists && ((i) == 0 || slab[0].exists))
#define ANY_HELD (HELD(0) || HELD(1))
#define ANY_LIVE (IS_LIVE(0) || IS_LIVE(1))
#define ANY_EXISTS (slab[0].exists || slab[1].exists)
#endif

#ifdef BREAK_HEAPLESS_COMPARES
#define IS_MINE(s) (slab[s].owner == my_heap)
#else
#define IS_MINE(s) (my_heap != 0 && slab[s].owner == my_heap)
#endif

#ifdef BREAK_OPEN_CLAIMED
#define MAY_CLAIM(s) 1
#else
#ifdef BREAK_OWNER_DECIDES
#define MAY_CLAIM(s) (slab[s].owner == 0)
#else
#define MAY_CLAIM(s) (!slab[s].open)
#endif
#endif

#if defined(BREAK_TAKE_EXCHANGE) || defined(BREAK_TAKE_BLIND)
#define TAKER_MAY_OPEN(s) 1
#else
#ifdef BREAK_TAKE_ONCE
/* A failed compare-and-swap is taken to mean that the slab is open. */
#define TAKER_MAY_OPEN(s) (!slab[s].open && slab[s].count == k)
#else
#define TAKER_MAY_OPEN(s) (!slab[s].open)
#endif
#endif

proctype thread(byte me; byte my_heap)
{
    byte s;         /* the slab at hand */
    byte k;         /* the slot at hand */
    byte c;         /* the class whose lock is wanted or held */
    bit is_exiting;
#ifdef FORK
    bit is_settling;
#endif
    bit is_parked;  /* the heap waits for a new thread, with what it holds */
#ifdef BREAK_COLLECT_STALE
    byte stale_head;
    byte stale_count;
#endif

idle:
    atomic {
        skip;
        d_step {
            audit(s);
            s = 0;
            k = 0;
            c = 0;
            looks_at[me] = 0
        }
    }
    if
    :: is_exiting -> goto exit
#ifdef FORK
    :: is_settling -> goto settle_waiting
#endif
    :: else
    fi;
    if
    MAY_TAKE(0)
    MAY_EXTEND(0)
    MAY_COLLECT(0)
    MAY_CREATE(0, 0)
    MAY_CLOSE(0)
    MAY_FREE_ANY(0)
#if SLABS > 1
    MAY_TAKE(1)
    MAY_EXTEND(1)
    MAY_COLLECT(1)
    MAY_CREATE(1, 0)
    MAY_CLOSE(1)
    MAY_FREE_ANY(1)
#endif
    :: IS_TAKER && NEEDS(0) -> goto refill
#if CLASSES > 1
    MAY_CREATE(0, 1)
#if SLABS > 1
    MAY_CREATE(1, 1)
#endif
    :: IS_TAKER && NEEDS(1) -> c = 1; goto refill
#endif
    :: my_heap != 0 -> is_exiting = 1; goto exit
#ifdef FORK
    :: atomic { me == STRANGER && depot_lock[0] == 0 -> depot_lock[0] = FORKING; goto fork }
#endif
#ifdef PARK
    :: atomic { my_heap != 0 && !is_parked -> my_heap = 0; is_parked = 1; goto idle }
    :: atomic { my_heap == 0 && is_parked -> my_heap = me; is_parked = 0; goto idle }
#endif
    /* The last of all frees what is left, so that every history ends with nothing live. */
    :: atomic { my_heap == 0 && !is_parked && me != STRANGER && !IS_LAST ->
            ended_count++;
            goto finish
        }
    :: atomic { my_heap == 0 && !is_parked && IS_LAST && !ANY_LIVE ->
            ended_count++;
            goto finish_last
        }
    fi;

#ifdef FORK
/* The child is another process: all that happens here is that the locks are free again. */
fork:
    depot_lock[0] = 0;
    is_settling = 1;
settle_waiting:
    if
    MAY_SETTLE(0)
#if SLABS > 1
    MAY_SETTLE(1)
    :: atomic {
            slab[0].holder != NOBODY_YET && slab[1].holder != NOBODY_YET ->
                is_settling = 0;
                goto idle
        }
#else
    :: atomic { slab[0].holder != NOBODY_YET -> is_settling = 0; goto idle }
#endif
    fi;
#endif

/* malloc, the fast path. */
take:
    atomic {
        skip;
        d_step {
            touch(s);
            k = slab[s].free;
            assert(STATE(s, k) == FREE);
            slab[s].free = LINK(s, k);
            LINK(s, k) = 0;
            STATE(s, k) = LIVE;
            slab[s].used++
        }
        goto idle
    }

extend_own:
    atomic {
        skip;
        d_step { extend(s) }
        goto idle
    }

collect_own:
#ifdef BREAK_COLLECT_STALE
    atomic {
        stale_head = slab[s].head;
        stale_count = slab[s].count
    }
    atomic {
        slab[s].head = stale_head;
        slab[s].count = stale_count;
        stale_head = 0;
        stale_count = 0;
        collect(s);
        goto idle
    }
#endif
    atomic {
        skip;
        d_step { collect(s) }
        goto idle
    }

create_0:
    atomic {
        skip;
        d_step { create(s, 0) }
        goto idle
    }

#if CLASSES > 1
create_1:
    atomic {
        skip;
        d_step { create(s, 1) }
        goto idle
    }
#endif

/* free: the owner is read, and compared with one's own heap only. */
free:
    atomic {
        looks_at[me] = s + 1;
        if
        :: IS_MINE(s) ->
            d_step {
                touch(s);
                insert_private(s, k);
                STATE(s, k) = FREE;
                slab[s].used--
            }
            goto idle
        :: else
        fi
    }

/* One compare-and-swap, which pushes, and claims if it must or likes to. */
    atomic {
        d_step {
            LINK(s, k) = slab[s].head;
            slab[s].head = k;
            slab[s].count++;
            STATE(s, k) = FREE
        }
#ifdef BREAK_CLAIM_AFTER_PUSH
        goto claim_late;
#endif
        if
#ifndef BREAK_NEVER_CLAIM
        :: MAY_CLAIM(s) && slab[s].count >= slab[s].notice ->
            become_holder(s);
            goto claimed
#endif
        /* "The last free went here too": the model may choose so at any time. */
        :: MAY_CLAIM(s) && my_heap != 0 ->
            become_holder(s);
            goto claimed
#ifdef BREAK_NEVER_CLAIM
        :: 1
#else
        :: !MAY_CLAIM(s) || slab[s].count < slab[s].notice
#endif
        fi;
#ifndef BREAK_TOUCH_AFTER_PUSH
        goto idle
#endif
    }
#ifdef BREAK_TOUCH_AFTER_PUSH
    assert(slab[s].exists && looks_at[me] == s + 1);
    goto idle;
#endif

#ifdef BREAK_CLAIM_AFTER_PUSH
/* A second compare-and-swap claims. */
claim_late:
    atomic {
        assert(slab[s].exists && looks_at[me] == s + 1);
        if
        :: !slab[s].open && slab[s].count >= slab[s].notice -> become_holder(s)
        :: else -> goto idle
        fi
    }
#endif

claimed:
    if
    :: my_heap == 0 -> goto close
    :: else
    fi;
    d_step {
        touch(s);
        slab[s].owner = my_heap
    }
    goto collect_own;

/* A taker looks through the depot's list of its class. */
refill:
    if
    :: atomic { depot_lock[c] == 0 -> depot_lock[c] = me }
#ifdef FORK
    :: atomic { depot_lock[c] == FORKING -> goto idle }
#endif
    fi;
pick:
    atomic {
        if
        MAY_PICK(0)
#if SLABS > 1
        MAY_PICK(1)
#endif
        :: else -> goto picked_none
        fi;
        assert(slab[s].exists && slab[s].is_listed);
        looks_at[me] = s + 1
    }
    unlist(s);
/* Whoever gives a record up does so after having had this lock: we may still look at it. */
#ifdef BREAK_OWNER_SET_EARLY
    slab[s].owner = my_heap;
#endif
#ifdef BREAK_TAKE_EXCHANGE
    if
    :: slab[s].open -> goto pick
    :: else
    fi;
#endif
#ifdef BREAK_TAKE_ONCE
    k = slab[s].count;
#endif
    atomic {
        assert(slab[s].exists && looks_at[me] == s + 1);
        if
        :: TAKER_MAY_OPEN(s) -> become_holder(s)
        :: else -> goto pick
        fi
    }
    UNLOCK(c);
    d_step {
        touch(s);
        slab[s].owner = my_heap
    }
    goto collect_own;
picked_none:
#ifndef BREAK_LOCK_KEPT
    UNLOCK(c);
#endif
    goto idle;

/* The holder closes. */
close:
    atomic {
        touch(s);
        c = slab[s].class;
        looks_at[me] = s + 1;
#if !defined(BREAK_OWNER_KEPT) && !defined(BREAK_OWNER_CLEARED_LATE)
        slab[s].owner = 0
#endif
    }

close_again:
    atomic {
        skip;
        d_step { collect(s) }
#ifdef PURGE
        if
        :: 1
        :: d_step { purge(s, 1) }
        :: d_step { purge(s, 2) }
        fi;
#endif
        if
#ifdef BREAK_GIVE_BACK_UNLOCKED
        :: slab[s].used == 0 && !slab[s].is_listed -> goto forget
#endif
        :: ROOM(s) < ROOM_TO_LIST -> goto close_full
#ifdef BREAK_LOCK_REFUSED
        /* A fork has the lock: close as if there were no room. */
        :: ROOM(s) >= ROOM_TO_LIST -> goto close_full
#endif
        :: ROOM(s) >= ROOM_TO_LIST
        fi
    }

/* With room: listed and published under one hold of the lock, so that no taker sees half of it. */
#ifdef BREAK_PUBLISH_THEN_LIST
    if
    :: slab[s].used != 0 -> goto publish
    :: else
    fi;
#endif
    if
    :: atomic { depot_lock[c] == 0 -> depot_lock[c] = me }
#ifdef FORK
    :: atomic { depot_lock[c] == FORKING -> goto wait_for_fork }
#endif
    fi;
settle:
#ifndef BREAK_GIVE_BACK_LISTED
    if
    :: slab[s].is_listed -> unlist(s)
    :: else
    fi;
#endif
    if
    :: MAY_GIVE_BACK(s) -> goto give_back
    :: else
    fi;
list:
    atomic {
        assert(slab[s].exists && looks_at[me] == s + 1);
        slab[s].in_list = 1;
        slab[s].is_listed = 1
    }
#ifdef BREAK_PUBLISH_THEN_LIST
    UNLOCK(c);
    goto idle;
#endif
#ifdef BREAK_LIST_THEN_PUBLISH
    UNLOCK(c);
#endif
publish:
    atomic {
#ifdef BREAK_CLOSE_EXCHANGE
        if
        :: slab[s].head != 0 ->
            slab[s].head = 0;
            slab[s].count = 0
        :: else
        fi;
#endif
        if
        :: slab[s].head == 0 ->
            slab[s].count = PRIVATE_COUNT(s);
#ifdef ANY_NOTICE
            if
            :: publish_into_word(s, slab[s].extended, 1)
            :: slab[s].count + 1 < slab[s].extended ->
                publish_into_word(s, slab[s].count + 1, 1)
            fi;
#else
            publish_into_word(s, slab[s].extended, 1);
#endif
            goto published
        :: else
        fi;
        d_step { collect(s) }
    }
#if defined(BREAK_PUBLISH_THEN_LIST) || defined(BREAK_LIST_THEN_PUBLISH)
    goto close_again;
#endif
#ifdef BREAK_LUMP
    /* Emptiness is looked for where one slot is freed, and a list of several jumps over it. */
    goto publish;
#endif
    goto settle;
published:
#ifdef BREAK_PUBLISH_THEN_LIST
    LOCK(c);
    goto list;
#endif
#ifdef BREAK_OWNER_CLEARED_LATE
    atomic {
        assert(slab[s].exists && looks_at[me] == s + 1);
        slab[s].owner = 0
    }
#endif
#ifndef BREAK_LIST_THEN_PUBLISH
    UNLOCK(c);
#endif
    goto idle;

#ifdef FORK
/*
 * The slab stays open, on a list that is settled at the end of the fork.  The fork may be over
 * before the slab is on the list: look again, and settle it as the forking thread would have.
 */
wait_for_fork:
    atomic {
        touch(s);
        slab[s].holder = NOBODY_YET
    }
#ifndef BREAK_NO_SECOND_LOOK
    if
    :: depot_lock[c] == FORKING -> goto idle
    :: else
    fi;
    atomic {
        if
        :: slab[s].holder == NOBODY_YET -> slab[s].holder = me; goto close
        :: else
        fi
    }
#endif
    goto idle;
#endif

/* Little room or none: not listed.  Only the holder could have made is_listed true, so it may ask
 * without the lock; a taker may make it false meanwhile, so it asks again. */
close_full:
    if
#ifdef FORK
    :: slab[s].is_listed && depot_lock[c] == FORKING /* stays listed: a taker will find out */
#endif
    :: slab[s].is_listed ->
        LOCK(c);
        if
#ifdef BREAK_LISTED_NOT_REREAD
        :: unlist(s)
#else
        :: slab[s].is_listed -> unlist(s)
        :: else
#endif
        fi;
        UNLOCK(c)
    :: else
    fi;
    atomic {
        if
        :: slab[s].head != 0 -> goto close_again
        :: else
        fi;
        d_step {
            slab[s].count = PRIVATE_COUNT(s);
            publish_into_word(s, slab[s].count + ROOM_TO_LIST, 0)
        }
#ifndef BREAK_OWNER_CLEARED_LATE
        goto idle
#endif
    }
#ifdef BREAK_OWNER_CLEARED_LATE
    d_step {
        assert(slab[s].exists && looks_at[me] == s + 1);
        slab[s].owner = 0
    }
    goto idle;
#endif

/* Entirely free, and unlisted under the lock.  No thread has a slot of it, and no taker has it: one
 * that unlisted it before us has let go of the lock. */
give_back:
    UNLOCK(c);
forget:
#ifdef BREAK_RUN_BEFORE_RECORD
    slab[s].exists = 0;
#endif
    atomic {
        skip;
        d_step {
            touch(s);
            assert(slab[s].head == 0 && slab[s].used == 0);
            k_ = 1;
            do
            :: k_ <= SLOTS ->
                assert(STATE(s, k_) == FREE || STATE(s, k_) == COLD);
                STATE(s, k_) = COLD;
                LINK(s, k_) = 0;
                k_++
            :: else -> break
            od;
            k_ = 0;
            slab[s].notice = 0;
            slab[s].open = 0;
            slab[s].owner = 0;
            slab[s].free = 0;
            slab[s].extended = 0;
            slab[s].cold_pages = 0;
            slab[s].is_listed = 0;
            slab[s].class = 0;
            slab[s].had_room = 0;
            slab[s].holder = 0;
            n_ = ALLOCATOR;
            do
            :: n_ <= STRANGER ->
                if
                :: n_ != me && looks_at[n_] == s + 1 -> looks_at[n_] = 0
                :: else
                fi;
                n_++
            :: else -> break
            od;
            n_ = 0
        }
    }
    /* The run goes back after its record is zero: from now on anybody may make it anew. */
    slab[s].exists = 0;
    goto idle;

/* The thread ends: it closes all it holds, and may go on to free without a heap. */
exit:
#ifndef BREAK_EXIT_KEEPS
    if
    MAY_EXIT(0)
#if SLABS > 1
    MAY_EXIT(1)
#endif
    :: !ANY_HELD
    fi;
#endif
    atomic {
        my_heap = 0;
        is_exiting = 0
    }
    goto idle;

finish_last:
    assert(!ANY_EXISTS); /* all was freed, everyone is gone: all was given back */
finish:
    skip
}

init {
    atomic {
        run thread(ALLOCATOR, ALLOCATOR);
#if FREERS > 0
        run thread(FREER, FREER);
#endif
#if STRANGERS > 0
        run thread(STRANGER, 0);
#endif
        skip
    }
}

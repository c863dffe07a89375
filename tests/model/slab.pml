/*
 * The slab protocol, as a model for spin.  docs/slab_protocol.md says it in prose.
 *
 * Owns: slabs as records with private fields, one shared word and shared bits; the depot's trees
 * with a lock a class; pages with memory and without; threads which allocate, free, claim, close,
 * purge, visit, exit, and free again after their exit.  Nothing bounds how often a thread does
 * so: the search is over all histories, of any length, of so many threads, slabs and slots.
 *
 * One step is one shared access.  Private fields join the step beside them, since nobody else
 * may look at them; `touch` asserts that.  So does what a lock guards, and the taking and
 * releasing of that lock: only who has it can tell the difference.  A compare-and-swap loop is one
 * step: it succeeds only if the word still is what the new value was computed from, nothing but
 * the word is read for it, and an attempt that fails leaves no trace.  Closing is not such a loop:
 * what it must find is the word that was loaded before the bits were looked at.
 *
 * Leaves out: the order of a class's tree (a taker may pick any slab: every order is covered), the
 * bound on open slabs and the threshold of what is retained (a heap may close, and a holder purge,
 * at any time: every policy is covered), how the private list is linked while the slab is held (one
 * thread sees it: here it is a set), and memory weaker than sequential consistency (the document
 * argues those orderings).
 *
 * Settings, all by -D; `run` holds the sets that are tried:
 *   SLABS, SLOTS, CLASSES   how many slabs, slots of a slab (2 to 4), classes; a slab has two
 *                       pages, and of three or four slots the second lies on both
 *   WORDS               2: the slots take turns between two words of bits, and a page lies in both
 *   FREERS, STRANGERS   threads beside the allocator: one that frees and claims and exits (0 or
 *                       1), one that never has a heap (0 or 1)
 *   TAKERS              2: the freer allocates too
 *   LAYOUT              3: three pages, of which slots 1 and 2 have one each; SLOTS is 4
 *   VISITORS            threads that open closed slabs which they have no business with: 1: the
 *                       stranger; 2: all of them
 *   PURGE               visitors purge pages on which no live slot lies; the kernel may refuse
 *   FREE_LISTED         a slab without a live slot may be listed with the memory it has, too;
 *                       when all is over a visitor is to find it and give it back
 *   ROOM_TO_LIST        slots of room from which on a closed slab is listed
 *   FORK                the stranger forks: it holds the depot's locks, and nobody waits
 *   PARK                a thread that ends may park its heap with slabs open (the heap serves
 *                       again, and the thread, which has no heap, may free meanwhile)
 *   REST                heaps let slabs rest, and visitors visit those at any time, whatever the
 *                       charge; wants PURGE and VISITORS.  The private list of a slab that rests
 *                       has links; while it is held it is a set, as always
 *   STALE               with REST: owners see late that a visitor has cleared the owner
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
#ifndef VISITORS
#define VISITORS 0
#endif
#ifndef SLOTS
#define SLOTS 3
#endif
#ifndef WORDS
#define WORDS 1
#endif

/* What tells visitors of a charge is only there where they purge. */
#if defined(PURGE) && VISITORS > 0
#define HINTS
#endif

/* Sets are masks.  Slots are 1 to 4; pages are 1, 2 and 4, and serve as masks themselves. */
#define SLOT(k) (1 << ((k) - 1))
#define ALL_SLOTS ((1 << SLOTS) - 1)
#define SIZE(m) (((m) & 1) + (((m) >> 1) & 1) + (((m) >> 2) & 1) + (((m) >> 3) & 1))

#if defined(LAYOUT)
#define ALL_PAGES 7
#define SLOTS_OF_1 1
#define SLOTS_OF_2 2
#define SLOTS_OF_3 12
#else
#define ALL_PAGES 3
#define SLOTS_OF_3 0
#if SLOTS == 2
#define SLOTS_OF_1 1
#define SLOTS_OF_2 2
#else
#define SLOTS_OF_1 3
#define SLOTS_OF_2 (ALL_SLOTS - 1)
#endif
#endif

/* Slots that overlap any of these pages. */
#define ON_PAGES(g) \
    ((((g) & 1) * SLOTS_OF_1) | ((((g) >> 1) & 1) * SLOTS_OF_2) | (((g) >> 2) * SLOTS_OF_3))

/* Pages that a slot overlaps, and pages all of whose slots are in a set. */
#define PAGES_OF(k) \
    (((SLOTS_OF_1 & SLOT(k)) != 0) + 2 * ((SLOTS_OF_2 & SLOT(k)) != 0) + \
     4 * ((SLOTS_OF_3 & SLOT(k)) != 0))
#define PAGES_WITHIN(m) \
    (((((m) & SLOTS_OF_1) == SLOTS_OF_1) + 2 * (((m) & SLOTS_OF_2) == SLOTS_OF_2) + \
      4 * (((m) & SLOTS_OF_3) == SLOTS_OF_3)) & ALL_PAGES)

/* Of the pages that a slot overlaps, those that may be free by a word alone. */
#define MAY_BE_FREE(k, m) (PAGES_WITHIN((m) | (ALL_SLOTS & ~WORD_OF(k))) & PAGES_OF(k))

/* The words of the bitmap: one, or slots 1 and 3 and slots 2 and 4. */
#if WORDS == 1
#define FIRST_WORD ALL_SLOTS
#define WORD_OF(k) FIRST_WORD
#else
#define FIRST_WORD 5
#define SECOND_WORD 10
#define WORD_OF(k) (((k) & 1) -> FIRST_WORD : SECOND_WORD)
#endif

/* A slab is listed from this much room on.  With less it is closed unlisted, and claimed by the
 * push that makes so much more room. */
#ifndef ROOM_TO_LIST
#define ROOM_TO_LIST 1
#endif

/* Thread numbers, which serve as heap numbers too; 0 is nobody. */
#define ALLOCATOR 1
#define FREER 2
#define STRANGER 3

/* What holds a slab that rests: neither its owner nor a visitor. */
#define RESTER 6

/* What is read as a link where there is none, or no memory any more. */
#define GONE 7

/* What holds a slab that waits to be settled, and a lock in a fork; no thread. */
#define NOBODY_YET 4
#define FORKING 5

#if defined(BREAK_OWNER_KEPT) || defined(BREAK_OWNER_CLEARED_LATE) || \
    defined(BREAK_OWNER_SET_EARLY)
/* The audit is to find the harm, and not just the unexpected value. */
#define BREAK_OWNER
#endif

typedef slab_record {
    /* the atomic word; zero where there is no slab */
    short count;
    byte notice;
    bit closed;
    bit listed;
#ifdef REST
    bit resting;
    bit visited;
    bit left;
    bit taken;
#endif
    /* a bit for each slot, in WORDS atomic words */
    byte bits;
    /* atomic by itself, compared with one's own heap only */
    byte owner;
    /* atomic by itself: pages, in the sum of what is retained */
    byte charged;
    /* the holder's own */
    byte free;    /* the private list */
    byte cold;    /* pages */
#ifdef PURGE
    bit refused;  /* the kernel would not take a page: not charged until a heap has had it */
#endif
#ifdef REST
    byte first;   /* of the private list while it rests: stored by the owner only */
    byte link[SLOTS];
    byte tail;    /* where the list ends, since visitors have moved the rest; 0: nowhere */
    byte home;    /* whose list of open slabs it is on */
#endif
    short owed;   /* bits taken, less bits put back, of which the count is not told yet */
    byte class;
    /* under the lock of the class */
    bit in_tree;
#ifdef HINTS
    bit is_hinted; /* atomic: to those who look for pages to return */
    byte hiding;   /* who clear it, and have not looked at the charge since; no code reads it */
#endif
    /* what no code reads: */
    bit exists;     /* the arena has lent the run */
    byte holder;    /* who holds it, changed in the very step that opens or closes */
    bit had_room;   /* when it was closed */
    byte live;      /* slots in the program's hands */
    byte leaving;   /* slots inside free, whose bit is not set */
    short uncounted; /* frees that have set their bit, and not raised the count */
#ifdef PURGE
    byte resident; /* pages that have memory */
#endif
};

slab_record slab[SLABS];
byte depot_lock[CLASSES];
byte ended_count;

/* Which record each thread may still look at, as s + 1; 0 once it was zeroed under its eyes. */
byte looks_at[4];

hidden byte i_;
#ifdef REST
hidden byte w_;
#endif

/* Only the holder touches private fields. */
inline touch(s)
{
    assert(slab[s].holder == me)
}

/* Nobody looks at a record that may be another slab's by now. */
inline look(s)
{
    assert(slab[s].exists && looks_at[me] == s + 1)
}

#ifdef PURGE
#define RESIDENT(s) slab[s].resident
#else
#define RESIDENT(s) (ALL_PAGES - slab[s].cold)
#endif

#ifdef PURGE
#define IS_REFUSED(s) slab[s].refused
#else
#define IS_REFUSED(s) 0
#endif

/* Whether a slab without a live slot may be listed: while there is memory for a visitor to return,
 * and with it the slab.  How many, and when, is policy: a holder may always give it back instead. */
#ifdef FREE_LISTED
#ifdef BREAK_FREE_COLD
#define HAS_MEMORY(s) 1
#else
#define HAS_MEMORY(s) (slab[s].cold != ALL_PAGES)
#endif
#ifdef BREAK_FREE_REFUSED
#define MAY_LIST_FREE(s) HAS_MEMORY(s)
#else
#define MAY_LIST_FREE(s) (HAS_MEMORY(s) && !IS_REFUSED(s))
#endif
#else
#define MAY_LIST_FREE(s) 0
#endif

#ifdef REST
/* What is on the list of a slab that rests, as a set, in i_. */
inline walk(s, end)
{
    i_ = 0;
    w_ = slab[s].first;
    do
    :: w_ == 0 || w_ == (end) -> break
    :: else ->
        assert(w_ != GONE);            /* it is no link, or has no memory */
        assert((i_ & SLOT(w_)) == 0);  /* it goes round */
        i_ = i_ | SLOT(w_);
        w_ = slab[s].link[w_ - 1]
    od;
    w_ = 0
}

#ifdef BREAK_COLLECT_UNCUT
#define TAIL_OF(s) 0
#else
#define TAIL_OF(s) slab[s].tail
#endif

#define FOR_EACH_LINK(s, value) \
    w_ = 0; \
    do \
    :: w_ < SLOTS -> slab[s].link[w_] = value; w_++ \
    :: else -> break \
    od; \
    w_ = 0;

/* A list of links becomes a set: it is its holder's alone.  What visitors moved ends it. */
inline cut(s)
{
    walk(s, TAIL_OF(s));
    assert(i_ == slab[s].free);
    i_ = 0;
    slab[s].first = 0;
    slab[s].tail = 0;
    FOR_EACH_LINK(s, 0)
}

/* The other way. */
inline begin_links(s)
{
    assert(slab[s].tail == 0 && slab[s].owed == 0 && slab[s].first == 0);
    FOR_EACH_LINK(s, GONE)
    w_ = 1;
    do
    :: w_ <= SLOTS ->
        if
        :: (slab[s].free & SLOT(w_)) != 0 ->
            slab[s].link[w_ - 1] = slab[s].first;
            slab[s].first = w_
        :: else
        fi;
        w_++
    :: else -> break
    od;
    w_ = 0
}
/* Slots that begin on these pages: their links lie there. */
#define BEGIN_ON(g) \
    ((((g) & 1) * SLOTS_OF_1) | ((((g) >> 1) & 1) * (SLOTS_OF_2 & ~SLOTS_OF_1)) | \
     (((g) >> 2) * SLOTS_OF_3))

inline lose_links(s, g)
{
    w_ = 0;
    do
    :: w_ < SLOTS ->
        if
        :: (BEGIN_ON(g) & (1 << w_)) != 0 && slab[s].first != 0 -> slab[s].link[w_] = GONE
        :: else
        fi;
        w_++
    :: else -> break
    od;
    w_ = 0
}

/* Of a slab that is open but perhaps nobody's to hold. */
inline audit_rest(s)
{
    assert(slab[s].resting + slab[s].visited + slab[s].closed <= 1);
    assert(!slab[s].left || (slab[s].visited && slab[s].home == 0));
    assert(slab[s].resting == (slab[s].holder == RESTER));
    assert(!slab[s].closed || slab[s].home == 0);
    assert(slab[s].visited || (slab[s].tail != 0) <= slab[s].taken);
    if
    :: slab[s].resting ->
        assert(slab[s].exists && slab[s].home != 0);
        assert(slab[s].taken || slab[s].owed == 0);
        walk(s, slab[s].tail);
        assert(i_ == slab[s].free);
        i_ = 0
    :: else
    fi;
    if
    :: slab[s].taken ->
        assert(slab[s].resting || slab[s].visited);
        /* All but what its owner was freeing when the visitor came is where others see it. */
        assert(slab[s].owner == 0);
#ifndef STALE
        assert(SIZE(slab[s].free) <= 1);
#endif
        i_ = SIZE(PAGES_WITHIN(slab[s].bits) & RESIDENT(s));
        assert(slab[s].charged >= i_ || slab[s].uncounted > 0 || IS_REFUSED(s));
        assert(slab[s].charged <= i_ + 6);
        assert(slab[s].charged == 0 || slab[s].is_hinted || slab[s].uncounted > 0 ||
               slab[s].hiding > 0);
        i_ = 0
    :: else
    fi
}
#endif

/* The whole truth about one slab, whenever a thread begins an operation. */
inline audit(s)
{
    if
    :: slab[s].holder != 0 || slab[s].closed ->
        assert(slab[s].exists);
        /* Every slot is in one place. */
        assert((slab[s].bits | slab[s].free | slab[s].live | slab[s].leaving) == ALL_SLOTS);
        assert(SIZE(slab[s].bits) + SIZE(slab[s].free) + SIZE(slab[s].live) +
                   SIZE(slab[s].leaving) ==
               SLOTS);
        assert(slab[s].count == SIZE(slab[s].bits) + slab[s].owed - slab[s].uncounted);
        /* No live slot and no link of the private list where there is no memory. */
        assert((ON_PAGES(slab[s].cold) & ~slab[s].bits) == 0);
#if defined(PURGE) && !defined(BREAK_ADVISE_LATE)
        assert((slab[s].cold | slab[s].resident) == ALL_PAGES);
        assert((slab[s].cold & slab[s].resident) == 0);
#endif
        assert(slab[s].closed == (slab[s].holder == 0))
    :: else
    fi;
    if
    :: slab[s].closed ->
        assert(slab[s].exists);
        assert(slab[s].free == 0 && slab[s].owed == 0);
#ifndef BREAK_OWNER
        assert(slab[s].owner == 0);
#endif
#ifdef FREE_LISTED
        if
        :: slab[s].count == SLOTS ->
            /* Takers and visitors find it, and a visitor gives it back. */
            assert(slab[s].listed && slab[s].uncounted == 0 && !IS_REFUSED(s));
            assert(slab[s].charged > 0 &&
                   slab[s].charged == SIZE(ALL_PAGES & ~slab[s].cold))
        :: else
        fi;
        assert(slab[s].count < slab[s].notice || slab[s].count == SLOTS);
#else
        assert(slab[s].count < SLOTS);           /* it would have been given back */
        assert(slab[s].count < slab[s].notice);  /* at its notice somebody claims it */
#endif
        assert(slab[s].notice <= SLOTS);         /* which the last free does reach */
        assert(!slab[s].had_room || slab[s].listed); /* takers find its room */
        /* At rest all that is retained is charged.  It may be too much while a free is late. */
        i_ = SIZE(PAGES_WITHIN(slab[s].bits) & RESIDENT(s));
        assert(slab[s].charged >= i_ || slab[s].uncounted > 0 || IS_REFUSED(s));
        assert(slab[s].charged <= i_ + 6); /* two pages for each thread that is late */
#ifdef HINTS
        assert(slab[s].charged == 0 || slab[s].is_hinted || slab[s].uncounted > 0 ||
               slab[s].hiding > 0); /* visitors find it */
#endif
        i_ = 0
    :: else
    fi;
#ifdef REST
    audit_rest(s);
#endif
    assert(slab[s].listed == slab[s].in_tree || depot_lock[slab[s].class] != 0)
}

/* In the hands of the caller from here on: the step that turns `closed` from 1 to 0. */
inline become_holder(s)
{
    assert(slab[s].exists);
    assert(slab[s].holder == 0);
    slab[s].closed = 0;
    slab[s].holder = me
}

/* Slots whose bits the holder may take. */
#ifdef BREAK_TAKE_COLD
#define TAKEABLE(s) slab[s].bits
#else
#ifdef BREAK_TAKE_HALF_COLD
/* Looks at the page in which the slot begins only. */
#define TAKEABLE(s) \
    (slab[s].bits & ~(((slab[s].cold & 1) * SLOTS_OF_1) | \
                      (((slab[s].cold >> 1) & 1) * (SLOTS_OF_2 & ~SLOTS_OF_1))))
#else
#define TAKEABLE(s) (slab[s].bits & ~ON_PAGES(slab[s].cold))
#endif
#endif

/* One word's bits become part of the private list.  The count learns of it in the next step. */
inline take_bits(s, word)
{
    touch(s);
    i_ = TAKEABLE(s) & (word);
    slab[s].bits = slab[s].bits & ~i_;
    slab[s].free = slab[s].free | i_;
    slab[s].owed = slab[s].owed + SIZE(i_);
    i_ = 0
}

/* The private list, as far as it lies in this word, becomes bits. */
inline put_back_bits(s, word)
{
    touch(s);
    i_ = slab[s].free & (word);
    assert((slab[s].bits & i_) == 0);
    slab[s].bits = slab[s].bits | i_;
    slab[s].free = slab[s].free & ~i_;
    slab[s].owed = slab[s].owed - SIZE(i_);
    i_ = 0
}

#ifdef REST
/* What a visitor has found on the list, as far as it lies in this word, becomes bits. */
inline move_bits(s, word)
{
    touch(s);
    i_ = moving & (word);
    assert((slab[s].bits & i_) == 0 && (i_ & ~slab[s].free) == 0);
    slab[s].bits = slab[s].bits | i_;
    slab[s].free = slab[s].free & ~i_;
    slab[s].owed = slab[s].owed - SIZE(i_);
    i_ = 0
}

/* The count learns of what visitors have moved. */
inline count_moved(s)
{
    touch(s);
#ifndef BREAK_MOVED_UNCOUNTED
    slab[s].count = slab[s].count - slab[s].owed;
#endif
    slab[s].owed = 0
}
#endif

inline settle_count(s)
{
    touch(s);
    slab[s].count = slab[s].count - slab[s].owed;
    slab[s].owed = 0
}

/* The whole private list becomes bits, and the count learns of it. */
#if WORDS == 1
#define PUT_BACK(s) atomic { put_back_bits(s, FIRST_WORD) }
#else
#define PUT_BACK(s) \
    atomic { put_back_bits(s, FIRST_WORD) } \
    atomic { put_back_bits(s, SECOND_WORD) }
#endif
#ifdef BREAK_PUT_BACK_UNCOUNTED
#define PUBLISH(s) PUT_BACK(s)
#else
#define PUBLISH(s) \
    PUT_BACK(s) \
    atomic { settle_count(s) }
#endif

/* The lowest cold page gets memory, and its slots may be taken if they have no other cold page. */
inline warm_page(s)
{
    touch(s);
    i_ = ((slab[s].cold & 1) != 0 -> 1 : ((slab[s].cold & 2) != 0 -> 2 : 4));
    assert((ON_PAGES(i_) & ~slab[s].bits) == 0);
    slab[s].cold = slab[s].cold & ~i_;
#ifdef PURGE
    slab[s].resident = slab[s].resident | i_;
#endif
    i_ = 0
}

/* The arena lends a run, and its record is made: no slot of it is in anyone's hands yet, so this
 * is one step. */
inline create(s, c)
{
    assert(!slab[s].exists && slab[s].count == 0 && slab[s].owner == 0 && !slab[s].listed);
    assert(!slab[s].closed && !slab[s].in_tree);
    slab[s].exists = 1;
    become_holder(s);
    slab[s].class = c;
    slab[s].owner = me;
#ifdef REST
    slab[s].home = me;
#endif
    slab[s].bits = ALL_SLOTS;
    slab[s].count = SLOTS;
    slab[s].cold = ALL_PAGES
}

/* Reads the bits into `seen`, one word after the other; private things join the last one's step. */
#if WORDS == 1
#define READ_FIRST_WORDS(s)
#define READ_LAST_WORD(s) seen = slab[s].bits
#else
#define READ_FIRST_WORDS(s) \
    atomic { \
        assert(slab[s].exists); \
        seen = slab[s].bits & FIRST_WORD \
    }
#define READ_LAST_WORD(s) seen = seen | (slab[s].bits & SECOND_WORD)
#endif

/* Two threads may change the charge at once.  Who raises it from 0 tells visitors after that; who
 * hides the slab from them looks at the charge after that.  The sums of all charges are left out. */
#ifdef HINTS
#ifdef BREAK_HIDE_NO_LOOK
#define LOOK_BEHIND(s)
#else
#define LOOK_BEHIND(s) \
    if \
    :: slab[s].charged != 0 -> slab[s].is_hinted = 1 \
    :: else \
    fi;
#endif
#define HIDE(s) \
    atomic { \
        slab[s].is_hinted = 0; \
        slab[s].hiding++ \
    } \
    atomic { \
        LOOK_BEHIND(s) \
        slab[s].hiding-- \
    }
#define TELL(s, was, is) \
    if \
    :: was == 0 && is != 0 -> slab[s].is_hinted = 1 \
    :: was != 0 && is == 0 -> HIDE(s) \
    :: else \
    fi;
#else
#define TELL(s, was, is)
#endif

/* The holder sets the charge to `due`, by exchange. */
#define CHARGE_DUE(s) \
    atomic { \
        touch(s); \
        was = slab[s].charged; \
        slab[s].charged = due; \
        EXCHANGED(s) \
    } \
    TELL(s, was, due) \
    atomic { \
        was = 0; \
        due = 0 \
    }
#ifdef HINTS
#define EXCHANGED(s)
#else
#define EXCHANGED(s) was = 0
#endif

#ifdef PURGE
#ifdef BREAK_STRADDLER
/* Judges a page by the slots that begin there. */
#define PURGEABLE(s) \
    (((seen & SLOTS_OF_1) == SLOTS_OF_1) + \
     2 * ((seen & SLOTS_OF_2 & ~SLOTS_OF_1) == (SLOTS_OF_2 & ~SLOTS_OF_1)))
#else
#ifdef BREAK_PURGE_LEAVING
/* Takes a slot for free because the program has freed it: the free is under way. */
#define PURGEABLE(s) PAGES_WITHIN(seen | slab[s].leaving)
#else
#define PURGEABLE(s) PAGES_WITHIN(seen)
#endif
#endif

/* The kernel takes these pages, and all that lies there is lost; or refuses. */
inline advise(s, g)
{
    if
    :: assert((ON_PAGES(g) & (slab[s].live | slab[s].leaving | slab[s].free)) == 0);
        slab[s].resident = slab[s].resident & ~(g);
#ifdef REST
        lose_links(s, g);
#endif
#if !defined(BREAK_COLD_FIRST) && !defined(BREAK_ADVISE_LATE)
        touch(s);
        slab[s].cold = slab[s].cold | g
#endif
#ifdef BREAK_ADVISE_LATE
    :: 1
#else
    :: g != 0 -> touch(s); slab[s].refused = 1
#endif
    fi
}

/* The advice is given when all bits have been read.  They are set still: only the holder takes
 * bits. */
#ifdef BREAK_COLD_FIRST
#define ADVISE(s) \
    atomic { \
        slab[s].cold = slab[s].cold | page; \
        advise(s, page); \
        page = 0 \
    }
#else
#ifdef BREAK_ADVISE_LATE
/* The pages are marked, and the advice given when the slab is closed. */
#define ADVISE(s) slab[s].cold = slab[s].cold | page;
#else
#define ADVISE(s) \
    atomic { \
        advise(s, page); \
        page = 0 \
    }
#endif
#endif
#endif

/* The compare-and-swap that closes finds the word as it was loaded. */
#ifdef BREAK_CLOSE_EXCHANGE
#define SWAP_SUCCEEDS(s) 1
#else
#ifdef BREAK_LISTED_FROM_MEMORY
#define SWAP_SUCCEEDS(s) (slab[s].count == w_count)
#else
#define SWAP_SUCCEEDS(s) (slab[s].count == w_count && slab[s].listed == w_listed)
#endif
#endif

/* It does not: somebody has counted, or a taker has dropped the slab. */
#ifdef BREAK_LUMP
/* Emptiness is looked for where one slot is freed; a count that jumps goes past it. */
#define LOOK_AGAIN(s) w_count = slab[s].count; w_listed = slab[s].listed; goto scan
#else
#ifdef BREAK_SCAN_ONCE
/* What the bits said is believed still. */
#define LOOK_AGAIN(s) \
    w_count = slab[s].count; \
    w_listed = slab[s].listed; \
    if \
    :: w_count == SLOTS -> goto close_again \
    :: else -> goto scanned \
    fi
#else
#define LOOK_AGAIN(s) goto close_again
#endif
#endif

inline close_word(s, is_listed)
{
    touch(s);
    slab[s].listed = is_listed;
    slab[s].had_room = (w_count >= ROOM_TO_LIST);
    /* At the latest when half of what is live is gone. */
    i_ = (w_count > 0 -> w_count : 0);
    slab[s].notice = i_ + (SLOTS - i_ + 1) / 2;
    if
    :: i_ < ROOM_TO_LIST && !(is_listed) && slab[s].notice > i_ + ROOM_TO_LIST ->
        slab[s].notice = i_ + ROOM_TO_LIST
    :: else
    fi;
    i_ = 0;
#ifdef BREAK_CLOSE_EXCHANGE
    slab[s].count = w_count;
#endif
    slab[s].closed = 1;
    slab[s].holder = 0;
    w_count = 0;
    w_listed = 0
}

/* Releases the depot's lock. */
inline unlock(c)
{
    assert(depot_lock[c] == me);
    depot_lock[c] = 0
}

/* The holder, of a slab that no heap owns any more, is about to close it. */
inline begin_close(s)
{
    touch(s);
    c = slab[s].class;
    looks_at[me] = s + 1;
    /* Nobody reads these while the slab is open: fewer states. */
    slab[s].had_room = 0;
    slab[s].notice = 0
}

/* After the step that closed: the record is not ours to touch. */
#if defined(BREAK_OWNER_CLEARED_LATE) || defined(BREAK_ADVISE_LATE)
#define CLOSED(s) goto closed_late
#else
#define CLOSED(s) \
    FORGET; \
    goto idle
#endif

/* A push opens the closed slab in the step in which it counts. */
#define CLAIM(s) \
    become_holder(s); \
    begin_close(s); \
    if \
    :: my_heap == 0 -> goto published \
    :: else -> goto adopt \
    fi

/* Outside any operation a thread has forgotten what it worked on. */
#define FORGET \
    s = 0; \
    k = 0; \
    c = 0; \
    looks_at[me] = 0

/* What a program and a heap may do next, one line a slab or slot, each with its own guard. */
#define TAKE 1
#define EXTEND 2
#define COLLECT 3
#define CREATE 4
#define CLOSE 5
#define FREE 6
#define REFILL 7
#define VISIT 8
#define SETTLE 10
#define OTHER 11
#define REST_ON 12
#define WAKE 13
#define LEAVE 14
#define LOOK 15

#define IS_LAST (ended_count == FREERS + STRANGERS)
#if TAKERS == 1
#define IS_TAKER (my_heap == ALLOCATOR)
#else
#define IS_TAKER (my_heap != 0)
#endif
#if VISITORS == 1
#define IS_VISITOR (me == STRANGER)
#else
#define IS_VISITOR (VISITORS == 2)
#endif
#define HELD(i) (slab[i].holder == me)
#define SERVES(i, c) (HELD(i) && slab[i].class == (c) && slab[i].free != 0)
#define IS_WANTING(i) (IS_TAKER && HELD(i) && slab[i].free == 0)
#define IS_LISTED(i, c) (slab[i].in_tree && slab[i].class == (c))

#define MAY_HOLD(i) \
    :: IS_TAKER && HELD(i) && slab[i].free != 0 -> op = TAKE; s = i \
    :: IS_WANTING(i) && slab[i].cold != 0 -> op = EXTEND; s = i \
    :: IS_WANTING(i) && TAKEABLE(i) != 0 -> op = COLLECT; s = i \
    :: my_heap != 0 && HELD(i) -> op = CLOSE; s = i
#ifdef REST
#ifdef BREAK_WAKE_VISITED
#define MAY_WAKE(i) (slab[i].resting || slab[i].visited)
#else
#define MAY_WAKE(i) slab[i].resting
#endif
/* An owner that has no business with the slab does not wake it. */
#define MAY_REST(i) \
    :: my_heap != 0 && HELD(i) -> op = REST_ON; s = i \
    :: my_heap != 0 && slab[i].home == me && MAY_WAKE(i) && IS_TAKER -> op = WAKE; s = i \
    :: my_heap != 0 && slab[i].home == me && slab[i].resting -> op = LOOK; s = i \
    :: my_heap != 0 && slab[i].home == me && !HELD(i) -> op = LEAVE; s = i
#define IS_EXACT(s) (slab[s].closed || IS_EXACT_OPEN(s))
#ifdef BREAK_TAKEN_UNCHARGED
#define IS_EXACT_OPEN(s) slab[s].visited
#else
#ifdef BREAK_VISITED_UNCHARGED
#define IS_EXACT_OPEN(s) slab[s].taken
#else
#define IS_EXACT_OPEN(s) (slab[s].visited || slab[s].taken)
#endif
#endif
#else
#define MAY_REST(i)
#define IS_EXACT(s) slab[s].closed
#endif
#define MAY_CREATE(i, n) \
    :: IS_TAKER && IS_FIRST_FREE(i) && NEEDS(n) -> op = CREATE; s = i; c = n
/* A look without the lock spares it where nothing is listed. */
#define MAY_REFILL(n) \
    :: IS_TAKER && NEEDS(n) && ANY_LISTED(n) && depot_lock[n] == 0 -> op = REFILL; c = n
#define MAY_FREE(i, j) \
    :: (slab[i].live & SLOT(j)) != 0 -> op = FREE; s = i; k = j
#ifdef REST
#define MAY_VISIT(i) \
    :: IS_VISITOR && (slab[i].is_hinted || slab[i].resting) -> op = VISIT; s = i
#else
#ifdef HINTS
#define MAY_VISIT(i) \
    :: IS_VISITOR && slab[i].is_hinted -> op = VISIT; s = i
#else
#define MAY_VISIT(i) \
    :: IS_VISITOR && slab[i].closed -> op = VISIT; s = i
#endif
#endif
#define MAY_SETTLE(i) \
    :: slab[i].holder == NOBODY_YET && is_settling -> op = SETTLE; s = i
#define MAY_PICK(i) \
    :: IS_LISTED(i, c) -> s = i

#if SLOTS == 2
#define MAY_FREE_ANY(i) MAY_FREE(i, 1) MAY_FREE(i, 2)
#endif
#if SLOTS == 3
#define MAY_FREE_ANY(i) MAY_FREE(i, 1) MAY_FREE(i, 2) MAY_FREE(i, 3)
#endif
#if SLOTS == 4
#define MAY_FREE_ANY(i) MAY_FREE(i, 1) MAY_FREE(i, 2) MAY_FREE(i, 3) MAY_FREE(i, 4)
#endif
#ifdef FORK
#define IS_SETTLED (!is_settling)
#else
#define IS_SETTLED 1
#endif
/* The last thread visits what is listed without a live slot until nothing is left. */
#ifdef FREE_LISTED
#define IS_OVER (!ANY_LIVE && IS_SETTLED && !ANY_EXISTS)
#else
#define IS_OVER (!ANY_LIVE && IS_SETTLED)
#endif
#ifdef REST
#define HAS(i) (slab[i].home == me)
#else
#define HAS(i) HELD(i)
#endif
#if SLABS == 1
#define NEEDS(c) (!SERVES(0, c))
#define IS_FIRST_FREE(i) (!slab[i].exists)
#define ANY_HELD HAS(0)
#define ANY_LISTED(c) IS_LISTED(0, c)
#define ANY_LIVE (slab[0].live != 0)
#define ANY_EXISTS slab[0].exists
#define ANY_WAITS (slab[0].holder == NOBODY_YET)
#else
#define NEEDS(c) (!SERVES(0, c) && !SERVES(1, c))
/* The slabs are alike: that the arena lends the lower one first leaves nothing out. */
#define IS_FIRST_FREE(i) (!slab[i].exists && ((i) == 0 || slab[0].exists))
#define ANY_HELD (HAS(0) || HAS(1))
#define ANY_LISTED(c) (IS_LISTED(0, c) || IS_LISTED(1, c))
#define ANY_LIVE (slab[0].live != 0 || slab[1].live != 0)
#define ANY_EXISTS (slab[0].exists || slab[1].exists)
#define ANY_WAITS (slab[0].holder == NOBODY_YET || slab[1].holder == NOBODY_YET)
#endif

#ifdef BREAK_HEAPLESS_COMPARES
#define IS_MINE(s) (slab[s].owner == my_heap)
#else
#define IS_MINE(s) (my_heap != 0 && slab[s].owner == my_heap)
#endif

/* A plain load may see what the owner stored long ago: until it wakes the slab it may go on with
 * frees as if no visitor had come. */
#ifdef STALE
#define SEEMS_MINE(s) (my_heap != 0 && slab[s].home == my_heap)
#else
#define SEEMS_MINE(s) IS_MINE(s)
#endif

#ifdef BREAK_OPEN_CLAIMED
#define MAY_CLAIM(s) 1
#else
#ifdef BREAK_OWNER_DECIDES
#define MAY_CLAIM(s) (slab[s].owner == 0)
#else
#define MAY_CLAIM(s) slab[s].closed
#endif
#endif

/* The slab must be looked at: it is to be listed, listed anew, or given back. */
#ifdef BREAK_NEVER_CLAIM
#define MUST_CLAIM(s) 0
#else
#define MUST_CLAIM(s) (slab[s].count >= slab[s].notice)
#endif

#if defined(BREAK_TAKE_EXCHANGE) || defined(BREAK_TAKE_BLIND)
#define TAKER_MAY_OPEN(s) 1
#else
#ifdef BREAK_TAKE_ONCE
/* A swap that failed because of a push is taken for one that failed because the slab is open. */
#define TAKER_MAY_OPEN(s) (slab[s].closed && slab[s].count == w_count)
#else
#define TAKER_MAY_OPEN(s) slab[s].closed
#endif
#endif

proctype thread(byte me; byte my_heap)
{
    byte op;        /* what it does next */
    byte s;         /* the slab at hand */
    byte k;         /* the slot at hand */
    byte c;         /* the class whose lock is wanted or held */
    byte seen;      /* bits as they were read */
    byte completes; /* pages of which the slot at hand was the last one to be freed */
    byte due;       /* the charge as it is to be, and as it was */
    byte was;
    short w_count;  /* the word, as it was loaded */
    bit w_listed;
#ifdef PURGE
    byte page;      /* the pages at hand */
#endif
#ifdef FORK
    bit is_settling;
#endif
#ifdef REST
    byte moving;    /* slots that move from the list to the bits */
    bit is_second;  /* the visitor looks at the list once more */
#endif
    bit is_parked;  /* the heap waits for a new thread, with what it holds */

/* Whatever the thread does next begins with an audit, and joins its first step. */
idle:
    atomic {
        if
        MAY_HOLD(0)
        MAY_REST(0)
        MAY_CREATE(0, 0)
        MAY_FREE_ANY(0)
        MAY_VISIT(0)
#if SLABS > 1
        MAY_HOLD(1)
        MAY_REST(1)
        MAY_CREATE(1, 0)
        MAY_FREE_ANY(1)
        MAY_VISIT(1)
#endif
        MAY_REFILL(0)
#if CLASSES > 1
        MAY_CREATE(0, 1)
#if SLABS > 1
        MAY_CREATE(1, 1)
#endif
        MAY_REFILL(1)
#endif
        /* The thread ends: it has closed all it held, and may go on to free without a heap. */
#ifdef BREAK_EXIT_KEEPS
        :: my_heap != 0 -> my_heap = 0; op = OTHER
#else
        :: my_heap != 0 && !ANY_HELD -> my_heap = 0; op = OTHER
#endif
#ifdef PARK
        :: my_heap != 0 && !is_parked -> my_heap = 0; is_parked = 1; op = OTHER
        :: my_heap == 0 && is_parked -> my_heap = me; is_parked = 0; op = OTHER
#endif
#ifdef FORK
        :: me == STRANGER && !is_settling && depot_lock[0] == 0 ->
            depot_lock[0] = FORKING;
            goto fork
        MAY_SETTLE(0)
#if SLABS > 1
        MAY_SETTLE(1)
#endif
        :: is_settling && !ANY_WAITS -> is_settling = 0; op = OTHER
#endif
        /* The last of all frees what is left, so that every history ends with nothing live. */
        :: my_heap == 0 && !is_parked && !IS_LAST && me != STRANGER -> ended_count++; goto finish
        :: my_heap == 0 && !is_parked && IS_LAST && IS_OVER -> goto finish_last
        fi;
        d_step {
            audit(0);
#if SLABS > 1
            audit(1);
#endif
            assert(depot_lock[0] != me)
        }
        if
        /* malloc, the fast path. */
        :: op == TAKE ->
            d_step {
                touch(s);
                k = ((slab[s].free & 1) -> 1 :
                        ((slab[s].free & 2) -> 2 : ((slab[s].free & 4) -> 3 : 4)));
                assert((slab[s].free & SLOT(k)) != 0);
                slab[s].free = slab[s].free & ~SLOT(k);
                slab[s].live = slab[s].live | SLOT(k)
            }
        :: op == EXTEND -> d_step { warm_page(s) }
        :: op == CREATE -> d_step { create(s, c) }
        :: op == COLLECT -> op = 0; goto collect
        :: op == REFILL -> op = 0; depot_lock[c] = me; goto pick
#ifdef REST
        :: op == REST_ON ->
            d_step {
                touch(s);
                begin_links(s);
                slab[s].resting = 1;
                slab[s].holder = RESTER
            }
        :: op == WAKE ->
            op = 0;
            assert(slab[s].holder == RESTER && slab[s].home == me);
            slab[s].resting = 0;
            slab[s].taken = 0;
            slab[s].holder = me;
            d_step { cut(s) }
            goto wake
        /* The owner follows the list, and keeps visitors away while it does. */
        :: op == LOOK ->
            op = 0;
#ifdef BREAK_LOOK_UNHELD
            k = slab[s].first;
            goto look_on;
#endif
            slab[s].resting = 0;
            slab[s].visited = 1;
            slab[s].holder = me;
            goto look_at_list
        :: op == LEAVE ->
            op = 0;
            slab[s].owner = 0;
            looks_at[me] = s + 1;
            goto leave
#endif
        :: op == CLOSE ->
            op = 0;
            begin_close(s);
#ifdef REST
            slab[s].home = 0;
#endif
#if !defined(BREAK_OWNER_KEPT) && !defined(BREAK_OWNER_CLEARED_LATE)
            slab[s].owner = 0;
#endif
            if
            :: slab[s].free == 0 -> goto published
            :: else -> goto publish
            fi
#if VISITORS
        :: op == VISIT ->
            op = 0;
#ifdef REST
            if
            :: slab[s].resting ->
                slab[s].resting = 0;
                slab[s].taken = 0;
                slab[s].visited = 1;
                slab[s].holder = me;
                looks_at[me] = s + 1;
                goto visit_resting
            :: else
            fi;
#endif
#ifdef HINTS
            if
            :: slab[s].charged == 0 -> goto hide
            :: slab[s].charged != 0 && !slab[s].closed -> goto forget
            :: else
            fi;
#ifdef BREAK_PURGE_UNHELD
            /* Judges without opening. */
            seen = slab[s].bits;
            page = PAGES_WITHIN(seen) & ~slab[s].cold;
            goto visit;
#endif
            become_holder(s);
            looks_at[me] = s + 1;
            w_count = slab[s].count;
            w_listed = slab[s].listed;
            goto visit
#else
            become_holder(s);
            begin_close(s);
            goto published
#endif
#endif
#ifdef FORK
        :: op == SETTLE -> op = 0; slab[s].holder = me; begin_close(s); goto published
#endif
        /* free: the owner is read, and compared with one's own heap only. */
        :: op == FREE ->
            slab[s].live = slab[s].live & ~SLOT(k);
            if
#ifdef REST
            /* It does not ask whether the slab rests.  The link is its own; the head comes next. */
            :: SEEMS_MINE(s) && slab[s].holder != me ->
                op = 0;
                assert(slab[s].home == me);
                slab[s].leaving = slab[s].leaving | SLOT(k);
#ifndef BREAK_HEAD_FIRST
                slab[s].link[k - 1] = slab[s].first;
#endif
                looks_at[me] = s + 1;
                goto put_first
            :: IS_MINE(s) && slab[s].holder == me -> slab[s].free = slab[s].free | SLOT(k)
#else
            :: IS_MINE(s) -> touch(s); slab[s].free = slab[s].free | SLOT(k)
#endif
            :: !IS_MINE(s) ->
                op = 0;
                slab[s].leaving = slab[s].leaving | SLOT(k);
                looks_at[me] = s + 1;
                goto set_bit
            fi
        :: op == OTHER
        fi;
forget:
        op = 0;
        FORGET;
        goto idle
    }

#ifdef FORK
/* The child is another process: all that happens here is that the locks are free again. */
fork:
    atomic {
        depot_lock[0] = 0;
        is_settling = 1;
        goto idle
    }
#endif

/* The bits of one word, of pages that are warm; and then the count. */
collect:
#ifdef BREAK_COUNT_FIRST
    /* Subtracts what it sees, and takes by exchange what is there then. */
    atomic {
        touch(s);
        slab[s].owed = SIZE(TAKEABLE(s));
        slab[s].count = slab[s].count - slab[s].owed
    }
    atomic {
        take_bits(s, FIRST_WORD);
        slab[s].owed = 0;
        FORGET;
        goto idle
    }
#endif
#ifdef BREAK_COLLECT_STALE
    /* Takes them by load and store. */
    atomic {
        touch(s);
        seen = slab[s].bits
    }
    d_step {
        i_ = seen;
        seen = TAKEABLE(s);
        slab[s].bits = i_;
        take_bits(s, seen);
        seen = 0
    }
    goto collected;
#endif
    if
    :: atomic { (TAKEABLE(s) & FIRST_WORD) != 0 -> take_bits(s, FIRST_WORD) }
#if WORDS > 1
    :: atomic { (TAKEABLE(s) & SECOND_WORD) != 0 -> take_bits(s, SECOND_WORD) }
#endif
    fi;
collected:
#ifdef BREAK_COUNT_STALE
    w_count = slab[s].count;
    atomic {
        slab[s].count = w_count;
        w_count = 0;
        slab[s].count = slab[s].count - slab[s].owed;
        slab[s].owed = 0;
        FORGET;
        goto idle
    }
#endif
    atomic {
        settle_count(s);
        FORGET;
        goto idle
    }

/* The bit.  With what the other bits say after that, it tells whether a page has become free. */
set_bit:
#ifdef BREAK_COUNT_BEFORE_BIT
    atomic {
        look(s);
        slab[s].count++;
        slab[s].uncounted--
    }
#endif
#ifdef BREAK_CLAIM_BEFORE_BIT
    w_listed = MAY_CLAIM(s);
#endif
#ifdef BREAK_WORD_BEFORE_BIT
    w_listed = slab[s].closed;
#endif
#if defined(BREAK_JUDGED_BEFORE_BIT) || defined(BREAK_LOOK_BEFORE_SET)
    seen = slab[s].bits;
#endif
    atomic {
        look(s);
        assert((slab[s].bits & SLOT(k)) == 0);
        slab[s].bits = slab[s].bits | SLOT(k);
        slab[s].leaving = slab[s].leaving & ~SLOT(k);
        slab[s].uncounted++;
#ifdef BREAK_COUNT_BEFORE_BIT
        FORGET;
        goto idle;
#endif
#ifdef BREAK_JUDGED_BEFORE_BIT
        seen = seen | SLOT(k);
#else
#ifdef BREAK_LOOK_BEFORE_SET
        seen = (seen & ~WORD_OF(k)) | (slab[s].bits & WORD_OF(k));
#else
        seen = slab[s].bits & WORD_OF(k);
#endif
#endif
        completes = MAY_BE_FREE(k, seen);
        if
        :: completes == 0 -> seen = 0; goto count
        :: else
        fi;
#if !defined(BREAK_JUDGED_BEFORE_BIT) && !defined(BREAK_LOOK_BEFORE_SET) && \
    !defined(BREAK_ONE_WORD) && SLOTS > 2
    }
    READ_FIRST_WORDS(s)
    atomic {
        look(s);
        READ_LAST_WORD(s);
#endif
        /* Of two slots each has its page: all there is to see is in the word as it was left. */
        completes = PAGES_WITHIN(seen) & completes;
        completes = SIZE(completes);
        seen = 0
    }

/* One compare-and-swap, which counts, and claims if it must or likes to.  Where the word is found
 * closed, the pages are charged before that, once.  Who opens the slab meanwhile has seen our bit;
 * who holds it will look at the bits before it is closed. */
#ifdef BREAK_OPEN_REMEMBERED
    /* As the word is loaded first: a swap that fails does not look again. */
    if
    :: !slab[s].closed -> completes = 0
    :: else
    fi;
#endif
count:
    atomic {
        look(s);
#if !defined(BREAK_PAGES_UNCHARGED) && !defined(BREAK_CHARGED_AFTER_PUSH)
        if
#ifdef BREAK_WORD_BEFORE_BIT
        :: completes != 0 && (slab[s].closed || w_listed) -> goto charge
#else
        :: completes != 0 && IS_EXACT(s) -> goto charge
#endif
        :: else
        fi;
#endif
#ifdef BREAK_WORD_BEFORE_BIT
        w_listed = 0;
#endif
        slab[s].count++;
        slab[s].uncounted--;
#ifdef BREAK_STEP_AFTER_PUSH
        if
        :: slab[s].resting && !slab[s].taken -> completes = 1; goto step_late
        :: else
        fi;
#endif
#ifdef BREAK_CLAIM_AFTER_PUSH
        goto claim_late;
#endif
        if
#ifdef BREAK_CLAIM_BEFORE_BIT
        :: w_listed && MAY_CLAIM(s) && MUST_CLAIM(s)
#else
        :: MAY_CLAIM(s) && MUST_CLAIM(s)
#endif
        /* "The last free went here too": the model may choose so at any time. */
        :: MAY_CLAIM(s) && my_heap != 0
#ifdef BREAK_CLAIM_BEFORE_BIT
        :: !w_listed || !MAY_CLAIM(s) || !MUST_CLAIM(s) ->
            w_listed = 0;
#else
        :: !MAY_CLAIM(s) || !MUST_CLAIM(s) ->
#endif
#ifdef BREAK_TOUCH_AFTER_PUSH
            goto touch_late;
#endif
#ifdef BREAK_CHARGED_AFTER_PUSH
            if
            :: completes != 0 && slab[s].closed -> goto charge
            :: else
            fi;
#endif
            completes = 0;
            FORGET;
            goto idle
        fi;
        completes = 0;
        CLAIM(s)
    }

charge:
#ifdef BREAK_CHARGE_STORED
    was = slab[s].charged;
    atomic {
        look(s);
        slab[s].charged = was + completes;
        completes = 0;
        goto tell
    }
#endif
#ifdef BREAK_TOLD_FIRST
    atomic {
        look(s);
        was = slab[s].charged;
        if
        :: was == 0 -> slab[s].is_hinted = 1
        :: else
        fi
    }
    atomic {
        look(s);
        slab[s].charged = slab[s].charged + completes;
        was = 0;
        completes = 0;
        goto count
    }
#endif
    atomic {
        look(s);
        was = slab[s].charged;
        slab[s].charged = slab[s].charged + completes;
        completes = 0;
#ifdef BREAK_CHARGED_AFTER_PUSH
        was = 0;
        FORGET;
        goto idle;
#endif
tell:
#ifdef HINTS
        if
        :: was != 0 -> was = 0; goto count
        :: else
        fi
    }
    atomic {
        look(s);
        slab[s].is_hinted = 1;
        goto count
    }
#else
        was = 0;
        goto count
    }
#endif
#ifdef BREAK_STEP_AFTER_PUSH
/* Many slots of a slab that rests are free: it is charged when the last of them has counted.  (The
 * sound model leaves that charge out, since visitors may come at any time.) */
step_late:
    atomic {
        look(s);
        completes = 0;
        FORGET;
        goto idle
    }
#endif
#ifdef BREAK_TOUCH_AFTER_PUSH
touch_late:
    atomic {
        look(s);
        FORGET;
        goto idle
    }
#endif
#ifdef BREAK_CLAIM_AFTER_PUSH
/* A second compare-and-swap claims. */
claim_late:
    atomic {
        look(s);
        if
        :: MAY_CLAIM(s) && MUST_CLAIM(s)
        :: else ->
            completes = 0;
            FORGET;
            goto idle
        fi;
        completes = 0;
        CLAIM(s)
    }
#endif

/* A heap becomes the owner: what it holds is not charged. */
adopt:
    CHARGE_DUE(s)
    atomic {
        touch(s);
#ifdef PURGE
        slab[s].refused = 0;
#endif
        slab[s].had_room = 0;
        slab[s].notice = 0;
        slab[s].owner = my_heap;
#ifdef REST
        slab[s].home = me;
#endif
        FORGET;
        goto idle
    }

#ifdef REST
/* The second half of a free into a slab of one's own: the visitor who has come meanwhile has moved
 * the list that the link leads to. */
put_first:
    atomic {
        look(s);
#ifdef BREAK_HEAD_FIRST
        moving = slab[s].first;
        slab[s].first = k;
    }
    atomic {
        slab[s].link[k - 1] = moving;
        moving = 0;
#endif
        slab[s].first = k;
        slab[s].leaving = slab[s].leaving & ~SLOT(k);
        slab[s].free = slab[s].free | SLOT(k);
        FORGET;
        goto idle
    }

/* The owner holds its slab again. */
wake:
    atomic {
        touch(s);
        if
        :: slab[s].owed == 0 -> goto counted
        :: else
        fi
    }
    atomic { count_moved(s) }
counted:
    slab[s].owner = my_heap;
    CHARGE_DUE(s)
    atomic {
        FORGET;
        goto idle
    }

look_at_list:
    atomic {
        touch(s);
        d_step {
            walk(s, slab[s].tail);
            assert(i_ == slab[s].free);
            i_ = 0
        }
        slab[s].visited = 0;
        slab[s].resting = 1;
        slab[s].holder = RESTER;
        FORGET;
        goto idle
    }
#ifdef BREAK_LOOK_UNHELD
look_on:
    atomic {
        if
        :: k != 0 && k != slab[s].tail ->
            assert(k != GONE);
            k = slab[s].link[k - 1];
            goto look_on
        :: else ->
            FORGET;
            goto idle
        fi
    }
#endif

/* The owner wants it no more; if a visitor has it, it is the visitor's to settle. */
leave:
#ifdef BREAK_LEAVE_BLIND
    atomic {
        if
        :: slab[s].visited -> goto leave_late
        :: else
        fi
    }
#endif
    atomic {
        look(s);
        assert(slab[s].home == me);
        slab[s].home = 0;
        if
        :: slab[s].visited ->
            slab[s].left = 1;
            FORGET;
            goto idle
        :: else ->
            assert(slab[s].holder == RESTER);
            slab[s].resting = 0;
            slab[s].taken = 0;
            slab[s].holder = me;
            d_step { cut(s) }
            goto settle
        fi
    }
#ifdef BREAK_LEAVE_BLIND
leave_late:
    atomic {
        slab[s].home = 0;
        slab[s].left = 1;
        FORGET;
        goto idle
    }
#endif
settle:
    if
    :: atomic { slab[s].owed != 0 -> count_moved(s) }
    :: atomic { slab[s].owed == 0 -> skip }
    fi;
    atomic {
        begin_close(s);
        if
        :: slab[s].free == 0 -> goto published
        :: else -> goto publish
        fi
    }

/* A visitor has a slab that rested.  Its owner's frees will be pushes. */
visit_resting:
#ifdef BREAK_TAKEN_OWNED
    skip;
#else
    atomic {
        touch(s);
        slab[s].owner = 0
    }
#endif
#ifndef BREAK_DISCHARGED_LATE
    CHARGE_DUE(s)
#endif
#ifdef BREAK_PURGE_LISTED
    atomic {
        touch(s);
        page = PAGES_WITHIN(slab[s].bits | slab[s].free) & ~slab[s].cold
    }
    ADVISE(s)
#endif
/* Links do not change below the head, so the walk is one step with reading the head. */
move:
    atomic {
        touch(s);
        if
        :: slab[s].first == 0 || slab[s].first == slab[s].tail -> goto moved
        :: else
        fi;
        k = slab[s].first;
        d_step {
#ifdef BREAK_PAST_TAIL
            walk(s, 0);
#else
            walk(s, slab[s].tail);
#endif
            moving = i_;
            i_ = 0
        }
#ifdef BREAK_TAIL_CUT
    }
    atomic {
        slab[s].first = 0;
        k = 0
#endif
    }
    atomic { move_bits(s, FIRST_WORD) }
#if WORDS > 1
    atomic { move_bits(s, SECOND_WORD) }
#endif
    atomic {
        touch(s);
#if defined(BREAK_TAIL_ONCE)
        slab[s].tail = (is_second -> slab[s].tail : k);
#else
#ifndef BREAK_TAIL_FORGOTTEN
        slab[s].tail = k;
#endif
#endif
        k = 0;
        moving = 0
    }
#ifndef BREAK_LOOK_UNCHARGED
    if
    :: atomic { !is_second -> goto moved }
    :: atomic { is_second -> skip }
    fi;
    READ_FIRST_WORDS(s)
    atomic {
        touch(s);
        READ_LAST_WORD(s);
        due = PAGES_WITHIN(seen) & ~slab[s].cold;
#ifndef BREAK_LOOK_EXCHANGES
        /* What pushers charge meanwhile must stay, so what the move has freed is added. */
        due = due & ~page;
#endif
        due = SIZE(due);
        page = 0;
        seen = 0
    }
#ifdef BREAK_LOOK_EXCHANGES
    CHARGE_DUE(s)
#else
    atomic {
        touch(s);
        was = slab[s].charged;
        slab[s].charged = slab[s].charged + due
    }
    TELL(s, was, (was + due))
    atomic {
        was = 0;
        due = 0
    }
#endif
#endif
moved:
    if
    :: atomic { is_second -> is_second = 0; page = 0; goto end_visit }
    :: atomic { !is_second -> skip }
    fi;
    READ_FIRST_WORDS(s)
    atomic {
        touch(s);
        READ_LAST_WORD(s);
        page = PURGEABLE(s) & ~slab[s].cold;
        seen = 0
    }
#ifdef BREAK_DISCHARGED_LATE
    CHARGE_DUE(s)
#endif
    ADVISE(s)
    /* Its owner was about to free a slot when we came. */
    READ_FIRST_WORDS(s)
    atomic {
        touch(s);
        READ_LAST_WORD(s);
        page = PAGES_WITHIN(seen) & ~slab[s].cold;
        seen = 0;
        is_second = 1;
        goto move
    }
end_visit:
    atomic {
        touch(s);
        slab[s].visited = 0;
        if
#ifdef BREAK_LEFT_IGNORED
        :: 0 -> goto settle
        :: else ->
            slab[s].left = 0;
#else
        :: slab[s].left ->
            slab[s].left = 0;
            d_step { cut(s) }
            goto settle
        :: else ->
#endif
            slab[s].resting = 1;
#ifndef BREAK_UNTAKEN
            slab[s].taken = 1;
#endif
            slab[s].holder = RESTER;
            FORGET;
            goto idle
        fi
    }
#endif

#ifdef HINTS
/* A visitor found no charge.  The record may be that of another slab by now, or of none. */
hide:
    HIDE(s)
    atomic {
        FORGET;
        goto idle
    }

/* A visitor has opened a charged slab.  It returns what is free, and closes the slab again as it
 * was.  If somebody has counted meanwhile, or no slot is live, the slab is settled. */
visit:
#ifdef BREAK_PURGE_UNHELD
    atomic {
        assert((ON_PAGES(page) & (slab[s].live | slab[s].free)) == 0);
        page = 0;
        seen = 0;
        FORGET;
        goto idle
    }
#endif
    CHARGE_DUE(s)
    READ_FIRST_WORDS(s)
    atomic {
        touch(s);
        READ_LAST_WORD(s);
        page = PURGEABLE(s) & ~slab[s].cold;
        seen = 0
    }
    ADVISE(s)
    /* What was charged meanwhile has gone too, or was refused. */
    CHARGE_DUE(s)
reclose:
#ifdef BREAK_RECLOSE_RELOADED
    atomic {
        w_count = slab[s].count;
        w_listed = slab[s].listed
    }
#endif
#ifdef BREAK_FREE_DESTROYED
    /* Nobody has a slot of it, so it is given back; takers know it still. */
    if
    :: w_count == SLOTS -> goto give_back
    :: else
    fi;
#endif
    atomic {
        touch(s);
        if
#ifdef BREAK_RECLOSE_BLIND
        :: 1 ->
#else
#ifdef BREAK_FREE_RECLOSED
        :: SWAP_SUCCEEDS(s) ->
#else
        :: SWAP_SUCCEEDS(s) && w_count != SLOTS ->
#endif
#endif
            slab[s].closed = 1;
            slab[s].holder = 0;
            w_count = 0;
            w_listed = 0;
            CLOSED(s)
        :: else ->
            begin_close(s);
            w_count = 0;
            w_listed = 0;
            goto published
        fi
    }
#endif


/* A taker, under the lock, looks through the depot's tree of its class. */
pick:
    atomic {
        if
        MAY_PICK(0)
#if SLABS > 1
        MAY_PICK(1)
#endif
        :: else ->
#ifndef BREAK_LOCK_KEPT
            unlock(c);
#endif
            FORGET;
            goto idle
        fi;
        assert(slab[s].exists && slab[s].listed);
        looks_at[me] = s + 1;
#ifndef BREAK_TAKER_SWAPS_FIRST
        slab[s].in_tree = 0
#endif
    }
/* Until the word says "not listed" nobody gives this record up without having had the lock. */
#ifdef BREAK_OWNER_SET_EARLY
    slab[s].owner = my_heap;
#endif
#ifdef BREAK_TAKE_EXCHANGE
    if
    :: !slab[s].closed -> slab[s].listed = 0; goto pick
    :: else
    fi;
#endif
#ifdef BREAK_TAKE_ONCE
    w_count = slab[s].count;
#endif
    atomic {
        look(s);
        if
        :: TAKER_MAY_OPEN(s) -> become_holder(s)
        :: else ->
#ifdef BREAK_TAKE_APART
            goto drop;
#endif
            slab[s].listed = 0;
            w_count = 0;
#ifdef BREAK_TAKER_SWAPS_FIRST
            goto drop;
#endif
            goto pick
        fi;
        w_count = 0;
#ifdef BREAK_TAKER_SWAPS_FIRST
        slab[s].in_tree = 0;
#endif
#ifndef BREAK_TAKE_KEEPS_LISTED
        slab[s].listed = 0;
#endif
        unlock(c);
        goto adopt
    }
#if defined(BREAK_TAKE_APART) || defined(BREAK_TAKER_SWAPS_FIRST)
drop:
    atomic {
        look(s);
        slab[s].in_tree = 0;
        slab[s].listed = 0;
        goto pick
    }
#endif

/* The holder closes. */
publish:
    PUBLISH(s)
published:
/* The word is loaded first, and then the bits: a page that they do not show free will be found free
 * by somebody who has not counted yet in this word. */
close_again:
    atomic {
        touch(s);
        w_count = slab[s].count;
        w_listed = slab[s].listed;
        if
        :: w_count == SLOTS && MAY_LIST_FREE(s)
        :: w_count == SLOTS && !w_listed -> goto give_back
#ifdef BREAK_GIVE_BACK_LISTED
        :: w_count == SLOTS && w_listed -> goto give_back
#else
        :: w_count == SLOTS && w_listed && !MAY_LIST_FREE(s) -> goto unlist
#endif
        :: w_count != SLOTS
        fi
    }
scan:
    READ_FIRST_WORDS(s)
    atomic {
        touch(s);
        READ_LAST_WORD(s);
        due = PAGES_WITHIN(seen) & ~slab[s].cold;
        due = (IS_REFUSED(s) -> 0 : SIZE(due));
#ifdef BREAK_FREE_UNCHARGED
        due = (w_count == SLOTS -> 0 : due);
#endif
        seen = 0
    }
    CHARGE_DUE(s)
    atomic {
        touch(s);
#ifdef BREAK_SCAN_FIRST
        w_count = slab[s].count;
        w_listed = slab[s].listed;
        if
        :: w_count == SLOTS -> goto close_again
        :: else
        fi;
#endif
scanned:
        if
        :: !w_listed && w_count >= ROOM_TO_LIST -> goto list
        :: !w_listed && w_count < ROOM_TO_LIST
        :: w_listed && w_count >= ROOM_TO_LIST
        /* Without room; or its place in the tree is not right any more, and it is listed anew. */
        :: w_listed -> goto unlist
        fi
    }

/* Full, or to stay listed: it closes without the lock. */
swap:
    atomic {
        if
        :: SWAP_SUCCEEDS(s) -> close_word(s, w_listed)
        :: else -> LOOK_AGAIN(s)
        fi;
        CLOSED(s)
    }

/* With room and not listed: for takers it is put into the tree and closed in one step, since both
 * are done under the lock. */
list:
#ifdef BREAK_LOCK_REFUSED
    /* A fork has the lock: close as if there were no room. */
    goto swap;
#endif
#ifdef BREAK_CLOSE_THEN_LIST
    atomic {
        if
        :: SWAP_SUCCEEDS(s) -> close_word(s, 0); slab[s].notice = SLOTS; slab[s].had_room = 0
        :: else -> LOOK_AGAIN(s)
        fi
    }
    atomic {
        depot_lock[c] == 0 ->
            look(s);
            slab[s].in_tree = 1;
            slab[s].listed = 1;
            FORGET;
            goto idle
    }
#endif
    if
    :: atomic { depot_lock[c] == 0 -> depot_lock[c] = me; slab[s].in_tree = 1 }
#ifdef FREE_LISTED
    /* There are enough of them. */
    :: atomic { depot_lock[c] == 0 && w_count == SLOTS -> goto give_back }
#endif
#ifdef FORK
    :: atomic { depot_lock[c] == FORKING -> goto wait_for_fork }
#endif
    fi;
    atomic {
        if
        :: SWAP_SUCCEEDS(s) -> close_word(s, 1)
        :: else ->
#ifndef BREAK_LEFT_IN_TREE
            slab[s].in_tree = 0;
#endif
            unlock(c);
            LOOK_AGAIN(s)
        fi;
        unlock(c);
        CLOSED(s)
    }

#if defined(BREAK_OWNER_CLEARED_LATE) || defined(BREAK_ADVISE_LATE)
closed_late:
    atomic {
#ifdef BREAK_OWNER_CLEARED_LATE
        look(s);
        slab[s].owner = 0;
#else
        advise(s, page);
        page = 0;
#endif
        FORGET;
        goto idle
    }
#endif

/* Only the holder could have made it listed, so "not listed" is certain without the lock; a taker
 * may make it so meanwhile. */
unlist:
    if
    :: atomic {
            depot_lock[c] == 0 ->
                touch(s);
                if
#ifndef BREAK_LISTED_NOT_REREAD
                :: !slab[s].listed -> goto unlisted
#endif
                :: else
                fi;
                depot_lock[c] = me;
                assert(slab[s].in_tree);
                slab[s].in_tree = 0
        }
#ifdef FORK
    :: atomic {
            depot_lock[c] == FORKING ->
                if
#ifndef BREAK_FREE_CLOSED
                :: w_count == SLOTS && !MAY_LIST_FREE(s) -> goto wait_for_fork
#endif
                :: else -> goto swap /* stays listed: the taker that meets it settles it */
                fi
        }
#endif
    fi;
    atomic {
        touch(s);
        slab[s].listed = 0;
        unlock(c)
    }
unlisted:
    if
    :: w_count == SLOTS && !MAY_LIST_FREE(s) -> goto give_back
    :: else -> goto close_again
    fi;

#ifdef FORK
/*
 * The slab stays open, on a list that is settled at the end of the fork.  The fork may be over
 * before the slab is on the list: look again, and settle it as the forking thread would have.
 */
wait_for_fork:
    atomic {
        touch(s);
        w_count = 0;
        w_listed = 0;
        slab[s].holder = NOBODY_YET
#ifdef BREAK_NO_SECOND_LOOK
        ;
        FORGET;
        goto idle
#endif
    }
    if
    :: atomic { depot_lock[c] == FORKING -> FORGET; goto idle }
    :: else
    fi;
    atomic {
        if
        :: slab[s].holder == NOBODY_YET -> slab[s].holder = me; goto published
        :: else ->
            FORGET;
            goto idle
        fi
    }
#endif

/* Entirely free and not listed: no thread has a slot of it, is freeing one, or is about to take it.
 * The run goes back after its record is zero: then anybody may make it anew. */
give_back:
    CHARGE_DUE(s)
#ifdef BREAK_RUN_BEFORE_RECORD
    slab[s].exists = 0;
#endif
    atomic {
        skip;
        d_step {
            touch(s);
            assert(slab[s].uncounted == 0 && slab[s].bits == ALL_SLOTS && slab[s].free == 0);
#ifdef REST
            assert(!slab[s].resting && !slab[s].visited && !slab[s].left && !slab[s].taken);
            assert(slab[s].home == 0 && slab[s].first == 0 && slab[s].tail == 0);
#endif
#ifndef BREAK_GIVE_BACK_LISTED
            assert(!slab[s].in_tree);
#endif
            w_count = 0;
            w_listed = 0;
            slab[s].exists = 0;
            slab[s].count = 0;
            slab[s].notice = 0;
            slab[s].listed = 0;
#ifdef BREAK_ZERO_IS_CLOSED
            slab[s].closed = 1;
#endif
            slab[s].bits = 0;
            slab[s].owner = 0;
            slab[s].cold = 0;
            slab[s].had_room = 0;
            slab[s].class = 0;
            slab[s].holder = 0;
#ifdef PURGE
            slab[s].resident = 0;
            slab[s].refused = 0;
#endif
            i_ = ALLOCATOR;
            do
            :: i_ <= STRANGER ->
                if
                :: i_ != me && looks_at[i_] == s + 1 -> looks_at[i_] = 0
                :: else
                fi;
                i_++
            :: else -> break
            od;
            i_ = 0;
            FORGET
        }
        goto idle
    }

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

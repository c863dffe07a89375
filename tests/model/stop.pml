/*
 * How a visitor stops malloc, as a model for spin: `mark` in src/heap/slab.c, whose comment
 * says why it works.  slab.pml leaves it out: there a heap does not take from a slab that rests.
 *
 * Owns: one slab with its word, its owner, its bits and the links of its list; its owner, which
 * pops and pushes with loads and stores; a visitor, which comes again and again; a stranger, which
 * frees slots by their bits.  Nothing bounds how often: the search is over all histories.
 *
 * One step is one shared access of malloc, free and the visitor.  What the holder does between two
 * swaps of the word is one step with them: nobody else looks at the list.  So is what the visitor
 * does to slots that it has made sure of: that nobody else looks at those is asserted.
 *
 * Leaves out: counts, charges and pages (slab.pml), that what a program writes may look like a link
 * by chance, and handlers that interrupt malloc.
 *
 * Settings, all by -D; `run` holds the sets that are tried:
 *   SLOTS               2 to 6
 *   STORES              what the owner stores waits for so many stores more, at most, before others
 *                       see it; 0: others see it at once
 *   STALE               the owner sees late that it was cleared, and marks: at the barrier at last
 *   STRANGER            another thread frees slots, too
 *   LEAVE               the owner may leave the slab for good
 *   SLEEP               the owner may stop for good, outside malloc and free; visits that begin
 *                       after that must not be for nothing
 *   BREAK_...           one deliberate mistake each; spin must find each one
 */

#ifndef SLOTS
#define SLOTS 4
#endif
#ifndef STORES
#define STORES 0
#endif

/* Slots are 1 to SLOTS; sets of them are masks. */
#define SLOT(k) (1 << ((k) - 1))
#define ALL_SLOTS ((1 << SLOTS) - 1)
#define SIZE(m) \
    (((m) & 1) + (((m) >> 1) & 1) + (((m) >> 2) & 1) + (((m) >> 3) & 1) + (((m) >> 4) & 1) + \
     (((m) >> 5) & 1))

/* What a link or the head may be: a slot, with the mark or not, or one of these.  Contents are what
 * the program wrote, or malloc, or what is read where memory is gone. */
#define END 0
#define CONTENTS 7
#define MARK 8
#define UNMARKED(x) ((x) & 7)
#define IS_SLOT(x) ((x) >= 1 && (x) <= SLOTS)

/* What the owner reads and writes plainly: the head, each slot's word, the slab's owner. */
#define HEAD 0
#define OWNER (SLOTS + 1)
#define HEAP 1 /* an owner; 0 is none */
byte memory[SLOTS + 2];

#if STORES > 0
byte late_count;
byte late_at[STORES];
byte late[STORES];
#define ARE_ALL_SEEN (late_count == 0)
#define IS_ROOM (late_count < STORES)
#else
#define ARE_ALL_SEEN 1
#define IS_ROOM 1
#endif

/* What the owner may not have seen yet of what the visitor wrote. */
#ifdef STALE
byte unseen;
#define NOTE_UNSEEN(at) unseen = unseen | (1 << (at))
#define SEES_ALL unseen = 0
#else
#define NOTE_UNSEEN(at) skip
#define SEES_ALL skip
#endif

/* The word; it changes in one step. */
bit resting;
bit visited;
bit taken;
bit current;
bit left;
bit closed;

byte bits;
byte tail; /* the visitor's, or the holder's; END: none */

/* What no code reads: */
byte live;    /* in the program's hands */
byte popping; /* or being pushed: in the owner's hands */
byte leaving; /* in a stranger's */
bit is_asleep;
bit is_undone; /* the last visit */

hidden byte i_;
hidden byte set_;

/* The owner's view: what it has stored itself it sees at once. */
inline look_at(at, result)
{
    result = memory[at];
#if STORES > 0
    i_ = 0;
    do
    :: i_ < late_count ->
        if
        :: late_at[i_] == (at) -> result = late[i_]
        :: else
        fi;
        i_++
    :: else -> break
    od;
    i_ = 0
#endif
}

inline load(at, result)
{
    d_step { look_at(at, result) }
#ifdef STALE
    if
    :: unseen & (1 << (at)) ->
        if
        :: result = ((at) == OWNER -> HEAP : UNMARKED(result))
        :: unseen = unseen & ~(1 << (at))
        fi
    :: else
    fi
#endif
}

/* Wants room.  What the owner overwrites it need not see any more. */
inline store(at, value)
{
#if STORES > 0
    late_at[late_count] = at;
    late[late_count] = value;
    late_count++;
#else
    memory[at] = value;
#endif
#ifdef STALE
    unseen = unseen & ~(1 << (at));
#endif
    skip
}

/* The slots from one on up to the tail, as the owner sees them, or as they are in memory. */
inline walk(from, is_owner)
{
    set_ = 0;
    w_ = UNMARKED(from);
    do
    :: w_ == END || w_ == tail -> break
    :: else ->
        assert(w_ != CONTENTS);
        assert((set_ & SLOT(w_)) == 0); /* it goes round */
        set_ = set_ | SLOT(w_);
        last_ = w_;
        if
        :: is_owner -> look_at(last_, w_)
        :: else -> w_ = memory[last_]
        fi;
        w_ = UNMARKED(w_)
    od;
    w_ = 0
}

hidden byte w_;
hidden byte last_;

/* Whenever the owner is neither in malloc nor in free: each slot is in one place. */
inline audit()
{
    d_step {
        look_at(HEAD, w_);
        walk(w_, 1);
        last_ = 0;
        assert((set_ | bits | live | leaving) == ALL_SLOTS);
        assert(SIZE(set_) + SIZE(bits) + SIZE(live) + SIZE(leaving) == SLOTS);
        assert(resting + visited + closed == 1);
#if !defined(STALE) && STORES == 0 && SLOTS < 6
        /* All but two slots, and one that its owner was about to push, is where others see it;
         * or the visitor has charged what it may retain.  This is of how much memory is kept
         * only, and not quite so: the visitor may read of slots that were taken meanwhile that
         * nothing is behind them, or not see yet what was pushed. */
        assert(!taken || is_undone || SIZE(set_) <= 3);
#endif
        set_ = 0
    }
}

/* No links lead to these slots, and their memory may be gone. */
inline lose_links(lost)
{
    i_ = 1;
    do
    :: i_ <= SLOTS ->
        if
        :: (lost) & SLOT(i_) -> memory[i_] = CONTENTS
        :: else
        fi;
        i_++
    :: else -> break
    od;
    i_ = 0
}

/* Nobody visits any more. */
inline collect()
{
    d_step {
        walk(memory[HEAD], 0);
        if
        :: set_ == 0 -> memory[HEAD] = END
        :: else -> memory[last_] = END
        fi;
        tail = END;
        last_ = 0;
        set_ = 0
    }
}

/* The list, of a slab that nobody visits and that nobody takes from, is free by its bits. */
inline publish()
{
    d_step {
        walk(memory[HEAD], 0);
        last_ = 0;
        assert((set_ & (bits | live | popping | leaving)) == 0);
        bits = bits | set_;
        memory[HEAD] = END;
        lose_links(bits);
        set_ = 0
    }
}

inline settle()
{
    publish();
    assert(memory[OWNER] == 0); /* its owner would push onto its list */
    closed = 1
}

/* Some slots that are free by their bits become the list of a slab whose list is empty. */
inline refill(wanted)
{
    d_step {
        i_ = SLOTS;
        do
        :: i_ > 0 ->
            if
            :: (wanted) & SLOT(i_) ->
                memory[i_] = memory[HEAD];
                memory[HEAD] = i_
            :: else
            fi;
            i_--
        :: else -> break
        od;
        bits = bits & ~(wanted)
    }
}

#define PICK_ONE(from, k) \
    if \
    :: (from) & 1 -> k = 1 \
    :: (from) & 2 -> k = 2 \
    :: (from) & 4 -> k = 3 \
    :: (from) & 8 -> k = 4 \
    :: (from) & 16 -> k = 5 \
    :: (from) & 32 -> k = 6 \
    fi

proctype owner()
{
    byte k;
    byte next;
    bit is_mine = 1; /* malloc takes from it */
    bit is_gone;

    /* Beginning an operation is one step with its first access. */
idle:
    atomic {
        audit();
        if
        :: is_mine -> goto pop
        :: live != 0 -> goto push
        :: !is_gone -> goto wake
#ifdef LEAVE
        :: !is_gone -> goto leave
        :: is_gone && live == 0 -> goto finish
#endif
#ifdef SLEEP
        :: ARE_ALL_SEEN -> is_asleep = 1; goto finish
#endif
        fi
    }

pop:
    atomic {
        load(HEAD, k);
        if
#ifdef BREAK_PASSES_MARK
        :: k == END -> k = 0; goto wake
        :: else -> k = UNMARKED(k)
#else
        :: !IS_SLOT(k) -> k = 0; goto wake
        :: else
#endif
        fi;
        popping = SLOT(k);
        assert((popping & (bits | live | leaving)) == 0)
    }
    atomic {
        load(k, next);
        assert(next != CONTENTS)
    }
    atomic {
        IS_ROOM -> store(HEAD, next)
    }
    atomic {
        IS_ROOM -> store(k, CONTENTS);
        assert((popping & (bits | live | leaving)) == 0);
        live = live | popping;
        popping = 0;
        k = 0;
        next = 0;
        goto idle
    }

push:
    atomic {
        if
        :: live == 0 -> goto idle /* a stranger was faster */
        :: else
        fi;
        PICK_ONE(live, k);
        live = live & ~SLOT(k);
        popping = SLOT(k);
        load(OWNER, next);
        if
        :: next != HEAP -> goto push_bit
        :: else -> assert(!closed)
        fi
    }
    atomic {
        load(HEAD, next)
    }
    atomic {
        IS_ROOM -> store(k, next)
    }
    atomic {
        IS_ROOM -> store(HEAD, k);
        assert(!closed);
        popping = 0;
        k = 0;
        next = 0;
        goto idle
    }
push_bit:
    atomic {
        IS_ROOM -> store(k, END)
    }
    atomic {
        ARE_ALL_SEEN ->
            assert((popping & (bits | live | leaving)) == 0);
            bits = bits | popping;
            popping = 0;
            k = 0;
            next = 0;
            goto idle
    }

    /* malloc has come to the list's end or to a mark; or its owner wants it for something else.  It
     * rests again at once. */
wake:
    atomic {
        ARE_ALL_SEEN ->
            if
#ifndef BREAK_WAKES_VISITED
            :: visited -> goto shun
#endif
            :: else
            fi;
            SEES_ALL;
            if
            :: taken ->
                collect();
                memory[OWNER] = HEAP
            :: else
            fi;
            taken = 0;
            assert(tail == END);
            is_undone = 0;
            d_step { lose_links(bits) };
            if
            :: 1
            :: publish()
            fi;
            memory[HEAD] = UNMARKED(memory[HEAD]);
            if
            :: memory[HEAD] == END && bits != 0 ->
                if
                :: refill(bits)
                :: PICK_ONE(bits, k); refill(SLOT(k)); k = 0
                :: 1
                fi
            :: else
            fi;
            if
            :: current = 1
            :: current = 0
            fi;
            is_mine = current;
            goto idle
    }
    /* A visitor has it.  malloc may take from another slab. */
shun:
    atomic {
        if
        :: 1
        :: is_mine = 0; current = 0
        fi;
        goto idle
    }

leave:
    atomic {
        IS_ROOM -> is_mine = 0; is_gone = 1; store(OWNER, 0)
    }
    atomic {
        ARE_ALL_SEEN ->
            current = 0;
            if
            :: visited -> left = 1
            :: else ->
                SEES_ALL;
                resting = 0;
                if
                :: taken -> collect(); taken = 0; memory[OWNER] = 0
                :: else
                fi;
                settle()
            fi;
            goto idle
    }
finish:
    skip
}

#if STORES > 0
/* The stores are seen in their order, at any time. */
active proctype store_buffer()
{
end:
    atomic {
        late_count > 0 ->
            memory[late_at[0]] = late[0];
            late_count--;
            d_step {
                i_ = 0;
                do
                :: i_ < STORES - 1 ->
                    late_at[i_] = (i_ < late_count -> late_at[i_ + 1] : 0);
                    late[i_] = (i_ < late_count -> late[i_ + 1] : 0);
                    i_++
                :: else -> break
                od;
                late_at[STORES - 1] = 0;
                late[STORES - 1] = 0;
                i_ = 0
            };
            goto end
    }
}
#endif

#define IS_AT_END(x) ((x) == END || UNMARKED(x) == tail)

/* The slots from one on, up to the tail, are free by their bits. */
inline move_from(first_moved)
{
    d_step {
        walk(first_moved, 0);
        last_ = 0;
        assert((set_ & (bits | live | popping | leaving)) == 0);
        bits = bits | set_;
#ifndef BREAK_TAIL_FORGOTTEN
        tail = first_moved;
#endif
        lose_links(set_);
        set_ = 0
    }
}

/* Of what a step needs no more nothing is kept: there would be more states. */
#define FORGET_LIST \
    first = 0; \
    second = 0; \
    third = 0; \
    at = 0

proctype visitor()
{
    byte first;
    byte second;
    byte third;
    byte at;
    byte before; /* the owner */
    bit was_taken;
    bit was_current;
    bit was_asleep;

end:
    atomic {
        if
        :: closed -> goto finish
        :: resting ->
            resting = 0;
            visited = 1;
            was_taken = taken;
            was_current = current;
            was_asleep = is_asleep;
            is_undone = 0;
            taken = 0;
            before = memory[OWNER]
        fi
    }
#ifndef BREAK_OWNER_KEPT
    atomic {
        if
        :: memory[OWNER] == HEAP -> memory[OWNER] = 0; NOTE_UNSEEN(OWNER)
        :: else
        fi
    }
#endif
#ifndef BREAK_UNSTOPPED
    if
    :: atomic { was_current -> skip }
    :: atomic { !was_current -> goto move_list }
    fi;
#else
    goto move_list;
#endif

    atomic {
        first = memory[HEAD];
        if
        :: IS_AT_END(first) -> goto moved
        :: !IS_AT_END(first) && first > MARK -> third = first; goto stopped
        :: else
        fi
    }
    atomic {
        second = memory[first];
#ifndef BREAK_STOPS_AT_OLD_MARK
        second = (IS_AT_END(second) -> second : UNMARKED(second));
#endif
        if
        :: IS_AT_END(second) -> goto moved
        :: !IS_AT_END(second) && !IS_SLOT(second) -> goto undo
        :: else
        fi
    }
#ifdef BREAK_MARKS_FIRST
    third = second;
    second = first;
    first = 0;
#else
    atomic {
        third = memory[second];
        if
        :: IS_AT_END(third) -> goto moved
        :: !IS_AT_END(third) && !IS_SLOT(UNMARKED(third)) -> goto undo
        :: else
        fi
    }
#endif
    atomic {
        if
        :: third > MARK
#ifdef BREAK_MARKS_BLINDLY
        :: else ->
            assert(memory[second] == third); /* the program's contents are overwritten */
            memory[second] = third | MARK;
#else
        :: third < MARK && memory[second] != third -> goto undo
        :: else ->
#ifdef BREAK_MARKS_BY_END
            memory[second] = END;
#else
            memory[second] = third | MARK;
#endif
#endif
            NOTE_UNSEEN(second);
            third = third | MARK
        fi
    }
#if !defined(BREAK_NO_BARRIER) && !defined(BREAK_CHECKS_FIRST)
    atomic { ARE_ALL_SEEN -> SEES_ALL }
#endif
#ifdef BREAK_MARKS_BY_END
#define STOP END
#else
#define STOP third
#endif
#ifdef BREAK_STOPS_AT_OLD_MARK
#define FOLLOWED(x) (x)
#else
#define FOLLOWED(x) ((x) == STOP -> (x) : UNMARKED(x))
#endif
#ifndef BREAK_UNCHECKED
    atomic {
        at = memory[HEAD];
        if
#if !defined(BREAK_ACCEPTS_SECOND) && !defined(BREAK_MARKS_FIRST)
        :: at == second -> goto undo
#endif
        :: else
        fi
    }
    /* A slot may have come before the first. */
    atomic {
        if
        :: at == second || at == STOP -> goto there
        :: at != second && at != STOP && !IS_SLOT(at) -> goto undo
        :: else -> at = FOLLOWED(memory[at])
        fi
    }
    atomic {
        if
        :: at == second || at == STOP -> goto there
        :: at != second && at != STOP && !IS_SLOT(at) -> goto undo
        :: else -> at = FOLLOWED(memory[at])
        fi
    }
there:
    atomic {
        if
        :: at == STOP
        :: at == second && at != STOP
        :: else -> goto undo
        fi
    }
#ifndef BREAK_LINK_UNCHECKED
    atomic {
        if
        :: at == second && memory[second] != STOP -> goto undo
        :: else
        fi
    }
#endif
#endif
#ifdef BREAK_CHECKS_FIRST
    atomic { ARE_ALL_SEEN -> SEES_ALL }
#endif
stopped:
    atomic {
        move_from(UNMARKED(third));
        goto moved
    }

    /* It could not be stopped.  The visit ends as others do: its owner's frees set bits until it
     * wakes the slab. */
undo:
    atomic {
        assert(!was_asleep); /* visits would be for nothing for ever */
        is_undone = 1;
        FORGET_LIST
    }
#ifdef BREAK_RESTORES_OWNER
    if
    :: atomic { left -> goto undo_left }
    :: atomic { !left -> skip }
    fi;
    atomic { memory[OWNER] = before; SEES_ALL }
    atomic {
        if
        :: left
        :: else ->
            visited = 0;
            resting = 1;
            taken = was_taken;
            goto done
        fi
    }
undo_left:
    atomic { memory[OWNER] = 0; goto move_list }
#else
    goto moved;
#endif

move_list:
    atomic {
        first = UNMARKED(memory[HEAD]);
        if
        :: IS_AT_END(first) -> goto moved
        :: else
        fi
    }
    atomic { move_from(first); goto moved }
moved:
    atomic {
        FORGET_LIST;
        if
#ifndef BREAK_ENDS_CURRENT
        :: current -> goto end_visit
#endif
        :: else
        fi
    }
    atomic {
        first = UNMARKED(memory[HEAD]);
        if
        :: IS_AT_END(first) -> goto end_visit
        :: else
        fi
    }
    atomic { move_from(first) }
end_visit:
    atomic {
        visited = 0;
        if
        :: left ->
            left = 0;
            collect();
            settle();
            goto finish
        :: else ->
            resting = 1;
            taken = 1
        fi
    }
done:
    atomic {
        FORGET_LIST;
        before = 0;
        was_taken = 0;
        was_current = 0;
        was_asleep = 0;
        goto end
    }
finish:
    skip
}

#ifdef STRANGER
active proctype stranger()
{
    byte k;

end:
    atomic {
        ARE_ALL_SEEN && live != 0 ->
            PICK_ONE(live, k);
            live = live & ~SLOT(k);
            leaving = SLOT(k);
            memory[k] = END
    }
    atomic {
        bits = bits | leaving;
        leaving = 0;
        k = 0;
        goto end
    }
}
#endif

init {
    atomic {
        memory[OWNER] = HEAP;
        bits = ALL_SLOTS;
        refill(ALL_SLOTS);
        resting = 1;
        current = 1;
        run owner();
        run visitor()
    }
}

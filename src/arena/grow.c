/* Where arenas get address space: the main one from the break, the others from windows reserved with mmap
 * and committed as they grow.
 *
 * The break can have one user. libc's sbrk takes no lock: it reads its copy of the end, calls brk, and returns what it
 * read, so that two threads in it are told the same old end, and two allocators that both grow by it then own the same
 * memory. Nothing that is looked at afterwards shows that. So the break is left to the others for good, never raised
 * and never lowered again, when one of them is seen: before our first growth, where np_os_is_break_used can tell, and
 * later whenever the end is not where we left it. The main arena then grows as the others do. What remains is a
 * second user whose first call of all coincides with one of ours, and, in static programs and where libc does not say
 * who used it, one who has begun before us and calls sbrk during our first growth.
 *
 * np_break_lock is held across the system calls here, so growing and shrinking are one at a time; the arena's
 * own lock is held only to append what was got. Others may lend from the arena meanwhile.
 */
#include "grow.h"

#include "bits.h"
#include "check.h"
#include "os.h"
#include "run.h"
#include "tune.h"
#include "window.h"

struct np_lock np_break_lock = NP_LOCK_INIT(NP_RANK_BREAK);

static struct np_pool stretch_pool = NP_POOL_INIT(struct np_stretch);
static struct np_pool arena_pool = NP_POOL_INIT(struct np_arena);

/* The main arena's first stretch needs no memory that could be refused. */
static struct np_stretch first_stretch;
static struct np_arena main_arena = {
    .lock = NP_LOCK_INIT(NP_RANK_ARENA),
    .stretches = &first_stretch,
};
static _Atomic(struct np_arena *) newest_arena = &main_arena;
static struct np_arena *newest_arena_at_fork;
static _Atomic bool is_break_shared;

/* A further arena commits this much at a time: one mprotect for 16 slabs. */
#define COMMIT_STEP_BYTES ((size_t)1 << 20)

/* So much of the main arena is asked for beyond the need where M_TOP_PAD is not set, if that is more: while the break moves,
 * all threads wait that change mappings or populate. Addresses only; the memory comes with their use. */
#define PAD_SHARE 32
#define PAD_MAX_BYTES ((size_t)2 << 20)

/* The smallest reservation tried where a whole window is refused (RLIMIT_AS). */
#define RESERVE_MIN_BYTES ((size_t)1 << 20)

struct np_arena *np_arena_list(void)
{
    return atomic_load_explicit(&newest_arena, memory_order_acquire);
}

struct np_arena *np_arena_main(void)
{
    return &main_arena;
}

bool np_arena_may_move_break(void)
{
    return !atomic_load_explicit(&is_break_shared, memory_order_relaxed);
}

void np_arena_note_foreign_break(void)
{
    atomic_store_explicit(&is_break_shared, true, memory_order_relaxed);
}

/* Set under the break's lock. */
static _Atomic bool are_huge_pages_forbidden;

/* Before anything there is touched: what has been cannot be joined to the mapping before it, which is forbidden them, too,
 * and stays a mapping of its own. */
static void forbid_if_others_are(uintptr_t start, uintptr_t end)
{
    if (atomic_load_explicit(&are_huge_pages_forbidden, memory_order_relaxed))
        (void)np_os_forbid_huge_pages((void *)start, end - start);
}

/* Who began to grow while a fork had the break's lock may be at it still, but appends under the arena's. Where a fork has that,
 * too, nobody does. */
static NP_COLD void forbid_in_arena(struct np_arena *arena)
{
    const struct np_stretch *stretch = NULL;

    do {
        bool is_locked = np_lock_acquire(&arena->lock);
        uintptr_t start = 0;
        uintptr_t end = 0;

        stretch = stretch == NULL ? arena->stretches : stretch->next;
        if (stretch != NULL && stretch->end != 0) {
            start = stretch->start;
            end = np_max(stretch->end, stretch->limit);
        }
        if (is_locked)
            np_lock_release(&arena->lock);
        if (end != 0)
            forbid_if_others_are(start, end);
    } while (stretch != NULL);
}

/* All arenas: where blocks are of all sizes, none is without holes for long. Without asking whether the kernel would make
 * any: a program may have forbidden itself to open files by now. */
void np_arena_forbid_huge_pages(void)
{
    if (NP_LIKELY(atomic_load_explicit(&are_huge_pages_forbidden, memory_order_relaxed)) ||
        !np_lock_acquire(&np_break_lock))
        return;
    if (!atomic_exchange_explicit(&are_huge_pages_forbidden, true, memory_order_relaxed))
        for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
            if (!arena->is_for_forks) /* those may be growing without this lock */
                forbid_in_arena(arena);
    np_lock_release(&np_break_lock);
}

void np_arena_count_system(struct np_arena *arena, intptr_t delta_bytes)
{
    size_t bytes = atomic_fetch_add_explicit(&arena->system_bytes, (size_t)delta_bytes,
                                             memory_order_relaxed) + (size_t)delta_bytes;

    if (bytes > atomic_load_explicit(&arena->system_bytes_max, memory_order_relaxed))
        atomic_store_explicit(&arena->system_bytes_max, bytes, memory_order_relaxed);
}

static bool ensure_windows(uintptr_t start, uintptr_t end)
{
    const uintptr_t last = (end - 1) >> NP_WINDOW_SHIFT;

    /* By number: the address behind the last window of a 32-bit machine is 0. */
    for (uintptr_t number = start >> NP_WINDOW_SHIFT; number <= last; number++)
        if (np_window_ensure(np_max(start, number << NP_WINDOW_SHIFT)) == NULL)
            return false;
    return true;
}

/* Starts a new stretch; the old top becomes a free run like others. Under the arena's lock. */
static bool begin_stretch(struct np_arena *arena, uintptr_t start, uintptr_t limit)
{
    struct np_run *old_top = arena->top;
    struct np_stretch *stretch = arena->stretches;

    if (stretch == NULL || stretch->end != 0) {
        stretch = np_pool_take(&stretch_pool);
        if (stretch == NULL)
            return false;
        stretch->next = arena->stretches;
    }
    if (old_top != NULL)
        np_run_unfile(arena, old_top);
    /* What touches a stretch of the break is mapped, and so is odd itself, or one of them begins at a window. */
    arena->has_odd_stretches |= limit != 0 && start % NP_WINDOW_BYTES != 0;
    stretch->start = start;
    stretch->end = start;
    stretch->limit = limit;
    stretch->committed_end = 0;
    arena->stretches = stretch;
    if (old_top != NULL)
        np_run_file(arena, old_top);
    return true;
}

/* Adds [start, end) to the arena, in a new stretch unless it continues the newest. */
static NP_COLD bool append(struct np_arena *arena, uintptr_t start, uintptr_t end, uintptr_t limit)
{
    struct np_run *record;
    bool is_done = false;

    if (!ensure_windows(start, end) || (record = np_run_record_take(start)) == NULL)
        return false;
    if (np_lock_acquire(&arena->lock)) {
        if (arena->stretches != NULL && arena->stretches->end == start && start != 0)
            is_done = true;
        else
            is_done = begin_stretch(arena, start, limit);
        if (is_done) {
            arena->stretches->limit = limit;
            np_run_append(arena, start, end, record);
        }
        np_lock_release(&arena->lock);
    }
    if (is_done)
        np_arena_count_system(arena, (intptr_t)(end - start));
    else
        np_run_record_give(record, start);
    return is_done;
}

/* Bytes that the end must move by so that a run of that size and alignment fits at the top. A free top counts;
 * the lock is not held, so the answer may be stale, and then the caller asks again. */
static size_t missing_bytes(struct np_arena *arena, uintptr_t end, size_t granule_count,
                            size_t alignment_bytes)
{
    uintptr_t free_from = end;
    uintptr_t need_end;

    if (np_lock_acquire(&arena->lock)) {
        if (arena->top != NULL && np_run_end(arena->top) == end)
            free_from = arena->top->start;
        np_lock_release(&arena->lock);
    }
    need_end = np_align_up(free_from, alignment_bytes) + (granule_count << NP_GRANULE_SHIFT);
    return need_end > end ? need_end - end : 0;
}

/* Moves the break and says where the new memory lies: by `bytes` from where it was left, or, the first time, by
 * first_bytes from where a unit begins. */
static bool move_break(uintptr_t expected_end, size_t bytes, size_t first_bytes, uintptr_t *start,
                       uintptr_t *end)
{
    size_t page_bytes = np_os_page_bytes();
    char *old_end = np_os_break_end();
    void *moved_from;

    if (old_end == NULL)
        return false;
    *start = expected_end;
    if (expected_end == 0) {
        *start = np_align_up((uintptr_t)old_end, NP_UNIT_BYTES);
        bytes = first_bytes + (*start - (uintptr_t)old_end);
    } else if ((uintptr_t)old_end != expected_end) {
        np_arena_note_foreign_break();
        return false;
    }
    *end = np_align_up((uintptr_t)old_end + bytes, page_bytes);
    bytes = *end - (uintptr_t)old_end;
    if (bytes > (size_t)INTPTR_MAX)
        return false;
    moved_from = np_os_break_move((intptr_t)bytes);
    /* Somebody may call sbrk between the two calls; then the memory is not where it was meant to be. */
    if (moved_from != NULL && moved_from != old_end)
        np_arena_note_foreign_break();
    return moved_from == old_end;
}

static size_t pad_bytes_now(void)
{
    size_t bytes = (size_t)np_tune_get(NP_KNOB_TOP_PAD);

    if (np_tune_is_set(NP_KNOB_TOP_PAD))
        return bytes;
    return np_max(bytes, np_min(atomic_load_explicit(&main_arena.system_bytes, memory_order_relaxed) / PAD_SHARE,
                                PAD_MAX_BYTES));
}

static bool grow_by_break(size_t granule_count, size_t alignment_bytes)
{
    size_t need_bytes = granule_count << NP_GRANULE_SHIFT;
    size_t slack_bytes = alignment_bytes > NP_UNIT_BYTES ? alignment_bytes : NP_UNIT_BYTES;
    uintptr_t expected_end = main_arena.stretches->end;
    size_t pad_bytes = pad_bytes_now();
    uintptr_t start;
    uintptr_t end;

    if (need_bytes > (size_t)INTPTR_MAX - slack_bytes - pad_bytes)
        return false;
    for (unsigned try = 0; try < 2 && np_arena_may_move_break(); try++) {
        size_t bytes = missing_bytes(&main_arena, expected_end, granule_count, alignment_bytes);

        if (bytes == 0)
            return true; /* somebody has made room meanwhile */
        if (move_break(expected_end, bytes + pad_bytes, need_bytes + slack_bytes + pad_bytes, &start,
                       &end)) {
            forbid_if_others_are(start, end);
            if (append(&main_arena, start, end, 0))
                return true;
            /* No memory for its bookkeeping: the addresses go back, if they still are the last ones. */
            if ((uintptr_t)np_os_break_end() == end)
                (void)np_os_break_move(-(intptr_t)(end - start));
            else
                np_arena_note_foreign_break();
            return false;
        }
        pad_bytes = 0; /* the pad is a wish; without it there may be enough */
    }
    return false;
}

/* Reserves addresses for a further stretch of an mmap arena: a window after the last one if that is free, any
 * window, or, where limits forbid, less. */
static uintptr_t reserve_stretch(struct np_arena *arena, size_t need_bytes, size_t *reserved_bytes)
{
    void *memory = NULL;
    size_t bytes = np_align_up(need_bytes, NP_WINDOW_BYTES);

    if (arena->stretches != NULL && arena->stretches->limit != 0)
        memory = np_os_reserve_at((void *)arena->stretches->limit, bytes);
    if (memory == NULL)
        memory = np_os_reserve(bytes, NP_WINDOW_BYTES);
    if (memory == NULL) {
        bytes = np_max(np_align_up(need_bytes, NP_UNIT_BYTES), RESERVE_MIN_BYTES);
        memory = np_os_reserve(bytes, NP_UNIT_BYTES);
    }
    *reserved_bytes = bytes;
    return (uintptr_t)memory;
}

/* What an earlier grower has committed and could not append, because a fork had the arena's lock, is usable already. */
static bool commit_up_to(struct np_stretch *stretch, uintptr_t end)
{
    uintptr_t from = np_max(stretch->end, stretch->committed_end);

    if (from >= end)
        return true;
    if (!np_os_commit((void *)from, end - from))
        return false;
    stretch->committed_end = end;
    return true;
}

static bool grow_mapped(struct np_arena *arena, size_t granule_count, size_t alignment_bytes)
{
    size_t need_bytes = (granule_count << NP_GRANULE_SHIFT) + alignment_bytes;
    struct np_stretch *stretch = arena->stretches;
    uintptr_t start;
    uintptr_t limit;
    size_t bytes;

    if (stretch != NULL && stretch->limit != 0) {
        bytes = missing_bytes(arena, stretch->end, granule_count, alignment_bytes);
        if (bytes == 0)
            return true; /* somebody has made room meanwhile */
        bytes = np_align_up(bytes, COMMIT_STEP_BYTES);
        if (bytes <= stretch->limit - stretch->end)
            return commit_up_to(stretch, stretch->end + bytes) &&
                   append(arena, stretch->end, stretch->end + bytes, stretch->limit);
    }
    start = reserve_stretch(arena, need_bytes, &bytes);
    if (start == 0)
        return false;
    limit = start + bytes;
    forbid_if_others_are(start, limit); /* what is committed of it later is so, too */
    bytes = np_min(np_align_up(need_bytes, COMMIT_STEP_BYTES), bytes);
    if (np_os_commit((void *)start, bytes) && append(arena, start, start + bytes, limit))
        return true;
    (void)np_os_release((void *)start, limit - start);
    return false;
}

/* np_break_lock usually keeps growers apart, but not while a fork has it. */
static NP_COLD bool grow_mapped_alone(struct np_arena *arena, size_t granule_count,
                                      size_t alignment_bytes)
{
    bool is_done;

    /* acquire pairs with the release below: the next grower sees this one's stretches. */
    if (atomic_exchange_explicit(&arena->is_growing, true, memory_order_acquire))
        return false;
    is_done = grow_mapped(arena, granule_count, alignment_bytes);
    atomic_store_explicit(&arena->is_growing, false, memory_order_release);
    return is_done;
}

/* Under the break's lock. */
static bool grow_main(size_t granule_count, size_t alignment_bytes)
{
    static bool has_looked; /* later it is our own calls that show */

    if (!has_looked && np_os_is_break_used())
        np_arena_note_foreign_break();
    has_looked = true;
    if (grow_by_break(granule_count, alignment_bytes))
        return true;
    return !np_arena_may_move_break() &&
           grow_mapped_alone(&main_arena, granule_count, alignment_bytes);
}

/* An arena that has so much will want records for its runs, perhaps when there is no memory left for them because the arena
 * has it. They take up addresses only until they are used. */
#define PREPARE_FROM_BYTES ((size_t)4 << 20)

static void prepare_records(const struct np_arena *arena)
{
    if (atomic_load_explicit(&arena->system_bytes, memory_order_relaxed) >= PREPARE_FROM_BYTES)
        np_pool_prepare(&np_run_pool);
}

NP_COLD bool np_arena_grow(struct np_arena *arena, size_t granule_count, size_t alignment_bytes)
{
    bool is_done;

    /* An arena made during another thread's fork is its maker's alone until the fork is over. */
    if (!np_lock_acquire(&np_break_lock)) {
        if (arena == &main_arena || np_lock_is_held_for_fork(&arena->lock))
            return false;
        return grow_mapped_alone(arena, granule_count, alignment_bytes);
    }
    prepare_records(arena);
    is_done = arena == &main_arena ? grow_main(granule_count, alignment_bytes)
                                   : grow_mapped_alone(arena, granule_count, alignment_bytes);
    np_lock_release(&np_break_lock);
    return is_done;
}

static struct np_arena *make_arena(bool is_for_forks)
{
    struct np_arena *arena = np_pool_take(&arena_pool);
    struct np_arena *newest;

    if (arena == NULL)
        return NULL;
    *arena = (struct np_arena){.lock = NP_LOCK_INIT(NP_RANK_ARENA), .is_for_forks = is_for_forks};
    newest = np_arena_list();
    do {
        arena->next = newest;
        arena->index = newest->index + 1;
        /* release pairs with the acquire in np_arena_list. */
    } while (!atomic_compare_exchange_weak_explicit(&newest_arena, &newest, arena,
                                                    memory_order_release, memory_order_acquire));
    return arena;
}

struct np_arena *np_arena_make(void)
{
    return make_arena(false);
}

/* Two threads may make one each at the same moment; the older one is then idle. */
struct np_arena *np_arena_for_forks(void)
{
    struct np_arena *arena = np_arena_list();

    while (arena != NULL && (!arena->is_for_forks || np_lock_is_held_for_fork(&arena->lock)))
        arena = arena->next; /* another's, or left behind by the fork that this process is a child of */
    return arena != NULL ? arena : make_arena(true);
}

/* In the child: other threads may have been at work there, so its runs stay as they are for ever. What is freed
 * there is put aside. */
static void abandon(struct np_arena *arena)
{
    np_lock_abandon(&arena->lock);
    atomic_store(&arena->deferred, NULL);
    atomic_store(&arena->retained_granules, 0);
    arena->retained_most = 0;
}

/* In the child: what was abandoned is retained no more. Where a signal handler forks, perhaps between two steps that count
 * it, the sum stays as it is: too much. */
static void sum_retained(void)
{
    size_t most = 0;

    if (np_thread_forks_inside)
        return;
    for (const struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        most += arena->retained_most + np_run_posted_granules(arena);
    atomic_store(&np_run_retained_most, most);
}

/* A fork holds the locks of all arenas but those for forks; these, and what was made since, are left out of the child. */
static void fork_arena(struct np_arena *arena, enum np_fork_phase phase)
{
    if (arena->is_for_forks) {
        /* Where a signal handler forks, its own thread may be at work there, and goes on. */
        if (phase == NP_FORK_CHILD && !np_lock_is_own(&arena->lock))
            abandon(arena);
        return;
    }
    if (phase != NP_FORK_PREPARE)
        np_run_join_deferred(arena, phase);
    np_lock_fork(&arena->lock, phase);
    if (phase == NP_FORK_PREPARE)
        np_run_part_deferred(arena);
}

NP_COLD void np_arena_fork(enum np_fork_phase phase)
{
    if (phase == NP_FORK_PREPARE) {
        np_lock_fork(&np_break_lock, phase);
        newest_arena_at_fork = np_arena_list();
    } else if (phase == NP_FORK_CHILD) {
        for (struct np_arena *arena = np_arena_list();
             arena != newest_arena_at_fork && arena != NULL; arena = arena->next)
            abandon(arena);
        atomic_store(&newest_arena, newest_arena_at_fork);
    }
    for (struct np_arena *arena = newest_arena_at_fork; arena != NULL; arena = arena->next)
        fork_arena(arena, phase);
    if (phase == NP_FORK_CHILD)
        sum_retained();
    np_pool_fork(&np_run_pool, phase);
    np_pool_fork(&stretch_pool, phase);
    np_pool_fork(&arena_pool, phase);
    if (phase != NP_FORK_PREPARE)
        np_lock_fork(&np_break_lock, phase);
}

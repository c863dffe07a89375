/* The choice of a layer for each request. See core.h. */
#include "core.h"

#include <string.h>

#include "ahead.h"
#include "alone.h"
#include "arena.h"
#include "bits.h"
#include "check.h"
#include "depot.h"
#include "fault.h"
#include "large.h"
#include "limits.h"
#include "mxfast.h"
#include "none.h"
#include "os.h"
#include "return.h"
#include "returned.h"
#include "tail.h"
#include "thread.h"
#include "tune.h"
#include "waiting.h"
#include "window.h"

static bool is_from_mmap_threshold(size_t size_bytes)
{
    return size_bytes >= (size_t)np_tune_get(NP_KNOB_MMAP_THRESHOLD);
}

/* A slot from a heap. From the mmap threshold on, only one that is there already; growing comes after mapping. */
static void *take_slot_from(struct np_heap *heap, size_t size_bytes, size_t alignment_bytes,
                            enum np_growth growth)
{
    return alignment_bytes <= NP_ALIGNMENT
               ? np_heap_take(heap, size_bytes, growth)
               : np_heap_take_aligned(heap, size_bytes, alignment_bytes, growth);
}

static void *take_slot(size_t size_bytes, size_t alignment_bytes, enum np_growth growth)
{
    struct np_heap *heap = np_thread_heap();
    void *slot;

    if (NP_LIKELY(heap != NULL)) {
        /* Another thread may have called mallopt. */
        if (NP_UNLIKELY(np_heap_fast != heap || np_tune_get(NP_KNOB_PERTURB) != 0))
            np_thread_apply_knobs();
        return take_slot_from(heap, size_bytes, alignment_bytes, growth);
    }
    heap = np_thread_homeless_acquire();
    if (heap == NULL)
        return NULL; /* a fork: the caller takes a run */
    slot = take_slot_from(heap, size_bytes, alignment_bytes, growth);
    np_thread_homeless_release();
    return slot;
}

static size_t granules_for(size_t size_bytes)
{
    return np_max((size_bytes + NP_GRANULE_BYTES - 1) >> NP_GRANULE_SHIFT, 1);
}

enum zeroing { AS_IT_IS, ZEROED };

/* Of a medium object: the granules that its request needs, as long as the run has them. What is behind them is room. */
static size_t needed_granules(const struct np_run *run)
{
    return np_min(granules_for(run->lent.requested_bytes), run->granule_count);
}

static size_t needed_bytes(const struct np_run *run)
{
    return needed_granules(run) << NP_GRANULE_SHIFT;
}

static void set_requested(struct np_run *run, size_t size_bytes)
{
    NP_OWNER_SET(run->lent.requested_bytes, size_bytes);
    np_tail_fill((void *)run->start, size_bytes, needed_bytes(run), NP_TAIL_OF_RUN);
    np_run_set_room(run, run->granule_count - needed_granules(run));
}

/* With room behind it, without memory, for more of it later. */
static void *take_run_with_room(size_t size_bytes, size_t room_bytes, size_t alignment_bytes,
                                enum np_growth growth, enum zeroing zeroing)
{
    size_t granule_count = granules_for(size_bytes);
    struct np_heap *heap = np_thread_heap_if_any();
    struct np_arena *none = NULL;
    struct np_run *run =
        np_run_take(heap != NULL ? &heap->home : &none, granules_for(size_bytes + room_bytes),
                    np_max(alignment_bytes, NP_GRANULE_BYTES), NP_RUN_MEDIUM, growth);

    if (run == NULL)
        return NULL;
    if (NP_UNLIKELY(!np_run_is_clear(run)))
        np_die_at(np_written_when_free, run->start);
    if (room_bytes != 0)
        np_run_purge_from(run, granule_count);
    if (zeroing == ZEROED)
        np_run_make_cold(run);
    if (run->is_in_flow)
        np_returned_note_reused((size_t)run->resident_count << NP_GRANULE_SHIFT);
    if (run->resident_count < granule_count)
        np_return_note_taken(granule_count - run->resident_count);
    if (zeroing == ZEROED) {
        np_run_clear(run, size_bytes);
        run->lent.is_zeroed = true;
    } else if (run->resident_count == 0) {
        np_ahead_populate((void *)run->start, size_bytes, granule_count << NP_GRANULE_SHIFT);
    }
    set_requested(run, size_bytes);
    return (void *)run->start;
}

static void *take_run(size_t size_bytes, size_t alignment_bytes, enum np_growth growth,
                      enum zeroing zeroing)
{
    return take_run_with_room(size_bytes, 0, alignment_bytes, growth, zeroing);
}

/* The same for malloc. Where blocks come and go there is mostly a kept run that does as it is. */
static void *take_plain_run(size_t size_bytes)
{
    size_t granule_count = granules_for(size_bytes);
    struct np_heap *heap = np_thread_heap_if_any();
    struct np_run *run = heap != NULL ? np_run_take_kept(heap->home, granule_count) : NULL;

    if (run == NULL)
        return take_run(size_bytes, NP_ALIGNMENT, NP_MAY_GROW, AS_IT_IS);
    if (NP_UNLIKELY(!np_run_is_clear(run)))
        np_die_at(np_written_when_free, run->start);
    if (run->is_in_flow)
        np_returned_note_reused((size_t)run->resident_count << NP_GRANULE_SHIFT);
    NP_OWNER_SET(run->lent.requested_bytes, size_bytes);
    np_tail_fill((void *)run->start, size_bytes, granule_count << NP_GRANULE_SHIFT, NP_TAIL_OF_RUN);
    return (void *)run->start;
}

/* A mapping. That it takes back what was returned is not counted: one that is larger than all before is a mapping, and had
 * all those been retained, there still would be no place for it. */
static void *take_large(size_t size_bytes, size_t alignment_bytes, enum zeroing zeroing)
{
    void *memory = np_large_take(size_bytes, alignment_bytes);

    if (memory != NULL && zeroing == AS_IT_IS)
        np_ahead_populate(memory, size_bytes, size_bytes);
    return memory;
}

static bool is_slot_sized(size_t size_bytes, size_t alignment_bytes)
{
    return size_bytes <= NP_SMALL_MAX_BYTES && alignment_bytes <= NP_GRANULE_BYTES;
}

static void *take_grown(size_t size_bytes, size_t alignment_bytes, enum np_growth growth,
                        enum zeroing zeroing)
{
    void *memory = NULL;

    if (is_slot_sized(size_bytes, alignment_bytes)) {
        memory = take_slot(size_bytes, alignment_bytes, growth);
        if (memory != NULL && zeroing == ZEROED)
            memset(memory, 0, size_bytes);
        if (memory != NULL || growth == NP_EXISTING_ONLY)
            return memory;
    }
    return take_run(size_bytes, alignment_bytes, growth, zeroing);
}

static void give_slot(struct np_slab *slab, void *memory);

/* What lies before a slab's first slot is none of its slots, and does not show that it was written to. */
static bool is_first_slot(const void *memory)
{
    return np_slab_find((uintptr_t)memory)->start == (uintptr_t)memory;
}

/* Into the quarantine with a slot that malloc would rather not hand out. */
static void set_aside(void *memory)
{
    void *leaver = np_strict_exchange(np_slab_find((uintptr_t)memory), memory);

    if (leaver != NULL)
        give_slot(np_slab_find((uintptr_t)leaver), leaver);
}

/* At the strictest level: a slot with a trailer, or a mapping between guard pages. Both are zero. */
static NP_COLD void *try_take_strict(size_t size_bytes, size_t alignment_bytes)
{
    size_t slot_bytes = size_bytes + NP_STRICT_TRAILER_BYTES;
    void *memory = NULL;

    if (is_slot_sized(size_bytes, alignment_bytes) && is_slot_sized(slot_bytes, alignment_bytes)) {
        memory = take_slot(slot_bytes, alignment_bytes, NP_MAY_GROW);
        if (memory != NULL && is_first_slot(memory)) {
            set_aside(memory);
            memory = take_slot(slot_bytes, alignment_bytes, NP_MAY_GROW);
        }
        if (memory != NULL)
            np_strict_dress(memory, size_bytes);
    } else {
        memory = np_large_take_guarded(size_bytes, alignment_bytes);
    }
    if (memory == NULL)
        memory = take_run(size_bytes, alignment_bytes, NP_MAY_GROW, ZEROED);
    return memory != NULL ? memory : take_large(size_bytes, alignment_bytes, ZEROED);
}

static void *try_take(size_t size_bytes, size_t alignment_bytes, enum zeroing zeroing)
{
    enum np_growth growth = is_from_mmap_threshold(size_bytes) ? NP_EXISTING_ONLY : NP_MAY_GROW;
    void *memory;

    if (np_strict_is_on())
        return try_take_strict(size_bytes, alignment_bytes);
    memory = take_grown(size_bytes, alignment_bytes, growth, zeroing);
    if (NP_LIKELY(memory != NULL))
        return memory;
    memory = take_large(size_bytes, alignment_bytes, zeroing);
    if (memory == NULL && growth == NP_EXISTING_ONLY)
        memory = take_grown(size_bytes, alignment_bytes, NP_MAY_GROW, zeroing);
    return memory;
}

/* How often a malloc that finds no memory looks again while others return some. */
#define RETURN_TRIES 300

static void *take(size_t size_bytes, size_t alignment_bytes, enum zeroing zeroing)
{
    void *memory = NULL;

    if (size_bytes > NP_REQUEST_MAX_BYTES || alignment_bytes > NP_REQUEST_MAX_BYTES / 2)
        return NULL;
    if (np_strict_is_on())
        np_thread_read_environment(); /* perhaps it is only not decided yet */
    if (size_bytes - 1 >= NP_SMALL_MAX_BYTES)
        np_fault_watch();
    if (size_bytes == 0 && np_tune_get(NP_KNOB_HARDENING) >= 1)
        memory = np_none_take(alignment_bytes);
    if (memory != NULL)
        return memory;
    memory = try_take(size_bytes, alignment_bytes, zeroing);
    /* Memory is short: what is free but in another shape may be what is missing. */
    if (NP_UNLIKELY(memory == NULL) && np_core_trim(0))
        memory = try_take(size_bytes, alignment_bytes, zeroing);
    /* Or the addresses that it had. */
    if (NP_UNLIKELY(memory == NULL) && np_waiting_end())
        memory = try_take(size_bytes, alignment_bytes, zeroing);
    /* Or other threads are returning it at this moment. Not for ever: one of them may be stopped, or was left behind by
     * a fork. */
    for (unsigned tries = 0; NP_UNLIKELY(memory == NULL) && tries < RETURN_TRIES; tries++) {
        bool is_any = np_arena_wait_for_returns();

        /* None: the last may have been filed since we looked for memory. */
        memory = try_take(size_bytes, alignment_bytes, zeroing);
        if (!is_any)
            break;
    }
    return memory;
}

/* M_PERTURB: what malloc hands out is filled, so that programs that read it show it. */
static void fill_taken(void *memory)
{
    int64_t perturb = np_tune_get(NP_KNOB_PERTURB);

    if (NP_UNLIKELY(perturb != 0) && memory != NULL)
        memset(memory, (int)(~perturb & 0xFF), np_core_usable_bytes(memory));
}

void *np_core_try_take_small(struct np_heap *heap, size_t size_bytes)
{
    if (size_bytes - 1 >= NP_SMALL_MAX_BYTES || is_from_mmap_threshold(size_bytes) ||
        NP_UNLIKELY(np_tune_get(NP_KNOB_PERTURB) != 0))
        return NULL;
    return np_heap_take(heap, size_bytes, NP_MAY_GROW);
}

/* Where blocks come and go so fast that there is an allowance, those for which it or what was returned would do are better
 * off in an arena than in mappings, without waiting for one of each size to be freed. Not those that realloc moves: they may
 * grow on, and then a mapping does so without a copy. */
static void learn_from_allowance(size_t size_bytes)
{
    size_t bytes = np_arena_allowance_bytes();

    if (bytes > 0)
        bytes += np_arena_outstanding_bytes();
    if (size_bytes < bytes)
        np_tune_raise_mmap_threshold((int64_t)size_bytes + 1);
}

static void *take_filled(size_t size_bytes)
{
    void *memory = take(size_bytes, NP_ALIGNMENT, AS_IT_IS);

    fill_taken(memory);
    return memory;
}

/* Whether take would come to a run, and nothing else would have to be done; for sizes below the mmap
 * threshold, which may be above what can be asked for at all. */
static bool is_plain_run(size_t size_bytes)
{
    return size_bytes > NP_SMALL_MAX_BYTES && size_bytes <= NP_REQUEST_MAX_BYTES && !np_strict_is_on() &&
           np_tune_get(NP_KNOB_PERTURB) == 0;
}

void *np_core_take(size_t size_bytes)
{
    if (is_from_mmap_threshold(size_bytes)) {
        learn_from_allowance(size_bytes);
    } else if (NP_LIKELY(is_plain_run(size_bytes))) {
        void *memory;

        np_fault_watch();
        memory = take_plain_run(size_bytes);
        if (NP_LIKELY(memory != NULL))
            return memory;
    }
    return take_filled(size_bytes);
}

void *np_core_take_zeroed(size_t size_bytes)
{
    return take(size_bytes, NP_ALIGNMENT, ZEROED);
}

void *np_core_take_aligned(size_t size_bytes, size_t alignment_bytes)
{
    void *memory = take(size_bytes, alignment_bytes, AS_IT_IS);

    fill_taken(memory);
    return memory;
}

static _Noreturn void die_in_slab(const struct np_slab *slab, const char *crime, const void *memory)
{
    np_die_of(crime, (uintptr_t)memory, "slot", slab->slot_bytes);
}

static const char *freed_twice(const struct np_slab *slab, const void *memory)
{
    return np_slab_looks_free(slab, memory) ? "double free"
                                            : "double free, or free of a block never handed out";
}

/* The slab that has this address as a slot; NULL if no slab is there; dies if a slab is, but no slot of it begins
 * there. */
static struct np_slab *slab_of_block(const void *memory, const char *crime)
{
    struct np_slab *slab = np_slab_find((uintptr_t)memory);

    if (slab != NULL && NP_UNLIKELY(np_slab_slot_index(slab, (uintptr_t)memory) < 0))
        die_in_slab(slab, crime, memory);
    return slab;
}

static _Noreturn void die_of_unknown(const void *memory, const char *entry_crime,
                                     const char *interior_crime)
{
    const struct np_run *run = np_run_around((uintptr_t)memory);
    uintptr_t large = np_large_around((uintptr_t)memory);

    if (large != 0)
        np_die_of(interior_crime, (uintptr_t)memory, "mapping", np_large_requested_bytes((void *)large));
    if (run != NULL && atomic_load(&run->state) == NP_RUN_MEDIUM)
        np_die_of(interior_crime, (uintptr_t)memory, "block", run->lent.requested_bytes);
    if (np_none_holds((uintptr_t)memory))
        np_die_of(entry_crime, (uintptr_t)memory, "block", 0);
    np_die_at(entry_crime, (uintptr_t)memory);
}

static void fill_given(void *memory, size_t bytes)
{
    int64_t perturb = np_tune_get(NP_KNOB_PERTURB);

    if (NP_UNLIKELY(perturb != 0))
        memset(memory, (int)(perturb & 0xFF), bytes);
}

NP_INLINE void require_tail(const struct np_run *run, size_t bytes)
{
    if (np_tune_get(NP_KNOB_HARDENING) >= 1 &&
        NP_UNLIKELY(!np_tail_is_whole((void *)run->start, run->lent.requested_bytes, bytes,
                                      NP_TAIL_OF_RUN)))
        np_die_of("overflow: a block was written beyond its end", run->start, "block",
                  run->lent.requested_bytes);
}

/* What calloc hands out is often hardly touched. But to clear 512 KiB takes as long as to fault in three to ten pages,
 * more of them where other threads' processors have to be told: of that it is not asked which pages were. */
#define CLEARED_MAX_GRANULES 128

bool np_core_are_forms_matched;

static struct np_run *medium_run_of(const void *memory)
{
    struct np_run *run = np_run_find((uintptr_t)memory);

    return run != NULL && atomic_load(&run->state) == NP_RUN_MEDIUM ? run : NULL;
}

/* What a block is held to: nothing where some operators are the program's own, which may ask malloc for what ours free. */
static enum np_form required(enum np_form form)
{
    return np_core_are_forms_matched ? form : NP_FORM_ANY;
}

/* Of a block that is a run or a mapping; for any address. Only at the strictest level: many programs that are otherwise right
 * free an array by delete, or a string that malloc gave, and with small blocks they would not be stopped either. */
static NP_NOINLINE void require_form(const void *memory, enum np_form form)
{
    const struct np_run *run = medium_run_of(memory);
    int mark = run != NULL ? run->lent.form : np_large_mark(memory);

    if (NP_UNLIKELY(mark >= 0 && mark != (int)form) && np_strict_is_on() && required(form) != NP_FORM_ANY)
        np_die_of(np_other_form, (uintptr_t)memory, run != NULL ? "block" : "mapping",
                  run != NULL ? run->lent.requested_bytes : np_large_requested_bytes(memory));
}

NP_COLD void np_core_set_form(void *memory, enum np_form form)
{
    struct np_run *run;

    if (np_slab_find((uintptr_t)memory) != NULL) {
        if (np_strict_is_on())
            np_strict_set_form(memory, form);
        return;
    }
    run = np_run_find((uintptr_t)memory);
    if (run != NULL)
        run->lent.form = (uint8_t)form;
    else
        np_large_set_mark(memory, form);
}

/* Where runs are kept, what they hold when they are freed goes: of the process's first ones all of it, if it is no more than
 * 64 KiB; of others as much as costs next to nothing. */
#define ALL_CLEARED_FIRST 16
#define ALL_CLEARED_MAX_GRANULES 16

static bool is_one_of_the_first(const struct np_run *run)
{
    static _Atomic unsigned count;

    return run->granule_count <= ALL_CLEARED_MAX_GRANULES && !run->lent.is_zeroed &&
           atomic_load_explicit(&count, memory_order_relaxed) < ALL_CLEARED_FIRST &&
           atomic_fetch_add(&count, 1) < ALL_CLEARED_FIRST;
}

/* The first ones. NP_COLD: what the system is asked for takes longer. */
static NP_COLD size_t clear_all(const struct np_run *run)
{
    size_t page_bytes = np_os_page_bytes();
    size_t all_bytes = (size_t)run->granule_count << NP_GRANULE_SHIFT;
    uintptr_t first = np_align_down(run->start, page_bytes);
    size_t pages_bytes = np_align_up(run->start + all_bytes, page_bytes) - first;

    /* What the program never touched, and room, shall get no memory by this; of later ones the first page may. */
    if (np_os_resident_bytes((void *)first, pages_bytes) != pages_bytes)
        return 0;
    memset((void *)run->start, 0, all_bytes);
    return all_bytes / NP_RUN_CLEARED_BYTES;
}

static size_t clear_given(const struct np_run *run)
{
    if (run->granule_count > NP_KEPT_MAX_GRANULES || np_tune_get(NP_KNOB_HARDENING) < 1 ||
        np_tune_get(NP_KNOB_PERTURB) != 0)
        return 0;
    if (NP_UNLIKELY(is_one_of_the_first(run)))
        return clear_all(run);
    memset((void *)run->start, 0, NP_RUN_CLEARED_BYTES);
    return 1;
}

/* A medium object. Whoever moves its state from NP_RUN_MEDIUM frees it: a second free finds it gone. */
static bool give_run(void *memory, enum np_form form)
{
    struct np_run *run = np_run_find((uintptr_t)memory);
    uint8_t medium = NP_RUN_MEDIUM;
    size_t touched_count;

    if (run != NULL && NP_UNLIKELY(run->lent.form != form))
        require_form(memory, form);
    if (run == NULL ||
        !atomic_compare_exchange_strong(&run->state, &medium, (uint8_t)NP_RUN_BUSY))
        return false;
    touched_count = needed_granules(run);
    require_tail(run, touched_count << NP_GRANULE_SHIFT);
    fill_given(memory, run->lent.requested_bytes);
    run->lent.cleared = (uint16_t)clear_given(run);
    if (NP_UNLIKELY(run->room_count != 0))
        np_run_set_room(run, 0);
    if (run->lent.is_zeroed && run->granule_count > CLEARED_MAX_GRANULES)
        np_run_give_sparse(run);
    else
        np_run_give(run, touched_count);
    np_return_excess();
    return true;
}

/* Frees a slot to whoever has its slab. Where the heap has it, it is known to be live. */
static void give_live_slot(struct np_slab *slab, void *memory, struct np_heap *heap)
{
    if (heap == NULL || atomic_load_explicit(&slab->owner, memory_order_relaxed) != heap) {
        if (NP_UNLIKELY(!np_heap_push(heap, slab, memory)))
            die_in_slab(slab, freed_twice(slab, memory), memory);
    } else if (np_slab_give(slab, memory)) {
        np_heap_notice(heap, slab);
    }
}

static void give_slot(struct np_slab *slab, void *memory)
{
    struct np_heap *heap = np_thread_heap_if_any();

    if (heap != NULL && atomic_load_explicit(&slab->owner, memory_order_relaxed) == heap &&
        NP_UNLIKELY(np_heap_has_free(heap, slab, memory)))
        die_in_slab(slab, freed_twice(slab, memory), memory);
    give_live_slot(slab, memory, heap);
}

/* What waits in the quarantine goes back to its slabs. */
static void empty_quarantine(void)
{
    void *memory;

    while ((memory = np_strict_take_out()) != NULL)
        give_slot(np_slab_find((uintptr_t)memory), memory);
}

void np_core_give_as(void *memory, enum np_form form)
{
    struct np_slab *slab;

    if (memory == NULL)
        return;
    slab = np_window_record_fast((uintptr_t)memory);
    /* acquire as in np_slab_find, which finds the others. */
    if (slab != NULL && atomic_load_explicit(&slab->kind, memory_order_acquire) == NP_SLAB_NONE &&
        give_run(memory, form))
        return;
    slab = slab_of_block(memory, "free of a pointer inside a block, or of none ever handed out");
    if (slab == NULL) {
        if (give_run(memory, form) || np_none_give(memory))
            return;
        require_form(memory, form);
        if (!np_large_give(memory))
            die_of_unknown(memory, "free of a pointer that neap did not allocate, or freed before",
                           "free of a pointer inside a block");
        return;
    }
    if (!np_strict_is_on()) {
        fill_given(memory, slab->slot_bytes);
        give_slot(slab, memory);
        return;
    }
    np_strict_undress(slab, memory, required(form));
    memory = np_strict_exchange(slab, memory);
    if (memory != NULL)
        give_slot(np_slab_find((uintptr_t)memory), memory);
}

void np_core_give(void *memory)
{
    np_core_give_as(memory, NP_FORM_MALLOC);
}

static size_t usable_bytes(const void *memory, enum np_form form, const char *crime,
                           const char *interior_crime)
{
    const struct np_slab *slab = slab_of_block(memory, interior_crime);
    const struct np_run *run;
    size_t bytes;

    if (slab != NULL && np_strict_is_on())
        return np_strict_requested_bytes(slab, memory, required(form), crime);
    if (slab != NULL) {
        if (NP_UNLIKELY(np_heap_has_free(np_thread_heap_if_any(), slab, memory)))
            die_in_slab(slab, crime, memory);
        return slab->slot_bytes;
    }
    run = medium_run_of(memory);
    if (run != NULL)
        return run->lent.requested_bytes;
    bytes = np_large_requested_bytes(memory);
    if (bytes == 0 && !np_none_is_lent((uintptr_t)memory))
        die_of_unknown(memory, crime, interior_crime);
    return bytes;
}

size_t np_core_usable_bytes(const void *memory)
{
    return usable_bytes(memory, NP_FORM_ANY,
                        "malloc_usable_size of a pointer that neap did not allocate, or freed before",
                        "malloc_usable_size of a pointer inside a block");
}

static bool shrink(struct np_run *run, size_t granule_count)
{
    if (!np_run_try_shrink(run, granule_count))
        return false;
    np_return_excess();
    return true;
}

/* Some have been shrunk and were left as they were, so their sizes are not known. */
static _Atomic bool are_blocks_too_large;

#define REALLOC_CRIME "realloc of a pointer that neap did not allocate, or freed before"
#define REALLOC_INTERIOR_CRIME "realloc of a pointer inside a block"

/* One that has grown by a small step, and would be copied at each. NULL: another one, or there is no memory for that. */
static void *take_with_room(size_t old_bytes, size_t size_bytes)
{
    void *memory;

    if (size_bytes <= NP_SMALL_MAX_BYTES || size_bytes <= old_bytes ||
        size_bytes - old_bytes > old_bytes / NP_SMALL_STEP_SHARE || np_strict_is_on() ||
        is_from_mmap_threshold(size_bytes))
        return NULL;
    memory = take_run_with_room(size_bytes, size_bytes / NP_ROOM_SHARE, NP_ALIGNMENT, NP_MAY_GROW,
                                AS_IT_IS);
    fill_taken(memory);
    return memory;
}

/* A block of another place with the same contents. NULL: no memory, the block is as it was. */
static void *move(void *memory, size_t old_bytes, size_t size_bytes)
{
    void *moved = take_with_room(old_bytes, size_bytes);

    if (moved == NULL)
        moved = take_filled(size_bytes);
    if (moved != NULL) {
        memcpy(moved, memory, np_min(old_bytes, size_bytes));
        np_core_give(memory);
        return moved;
    }
    /* Shrinking cannot fail for want of memory: the block serves as it is. */
    if (size_bytes > old_bytes)
        return NULL;
    atomic_store_explicit(&are_blocks_too_large, true, memory_order_relaxed);
    return memory;
}

/* What was just read costs little to clear. Pointers to where a block was before realloc are those that are forgotten most. */
#define CLEARED_SLOT_MAX_BYTES 1024

/* By the ways that malloc and free of small blocks go. */
static void *move_slot(struct np_slab *slab, void *memory, size_t size_bytes)
{
    struct np_heap *heap = np_heap_fast;
    void *moved = size_bytes <= NP_DIRECT_MAX_BYTES ? np_heap_try_take(heap, size_bytes) : NULL;

    if (moved == NULL && heap != &np_empty_heap)
        moved = np_core_try_take_small(heap, size_bytes);
    if (moved == NULL) /* perhaps as the thread has no heap */
        return move(memory, slab->slot_bytes, size_bytes);
    memcpy(moved, memory, np_min(slab->slot_bytes, size_bytes));
    if (slab->slot_bytes <= CLEARED_SLOT_MAX_BYTES && np_tune_get(NP_KNOB_HARDENING) >= 1)
        memset(memory, 0, slab->slot_bytes);
    give_live_slot(slab, memory, heap);
    return moved;
}

/* At the strictest level each has a trailer that lies where the request ended. */
static void *resize_strict_slot(const struct np_slab *slab, void *memory, size_t size_bytes)
{
    size_t old_bytes = np_strict_requested_bytes(slab, memory, NP_FORM_MALLOC, REALLOC_CRIME);

    return size_bytes == old_bytes ? memory : move(memory, old_bytes, size_bytes);
}

/* An address of a slab that does not look like that of a live slot; it may be one. */
static NP_COLD void require_live(const struct np_slab *slab, const void *memory)
{
    (void)slab_of_block(memory, REALLOC_INTERIOR_CRIME);
    if (!np_strict_is_on() && np_heap_has_free(np_thread_heap_if_any(), slab, memory))
        die_in_slab(slab, REALLOC_CRIME, memory);
}

static void *resize_slot(struct np_slab *slab, void *memory, size_t size_bytes)
{
    if (NP_UNLIKELY(!np_slab_is_live(slab, memory)))
        require_live(slab, memory);
    if (np_strict_is_on())
        return resize_strict_slot(slab, memory, size_bytes);
    return np_slab_keeps(slab, size_bytes) ? memory : move_slot(slab, memory, size_bytes);
}

static bool try_extend(struct np_run *run, size_t granule_count)
{
    size_t before = run->granule_count;

    if (!np_run_try_extend(run, granule_count))
        return false;
    np_return_note_taken(granule_count - before -
                         np_run_count_resident(run, before, granule_count));
    return true;
}

/* Changes a run where it lies. False: it is as it was. */
static bool try_resize_run(struct np_run *run, size_t size_bytes)
{
    size_t granule_count = granules_for(size_bytes);

    if (size_bytes <= NP_SMALL_MAX_BYTES || size_bytes > NP_REQUEST_MAX_BYTES)
        return false;
    require_tail(run, needed_bytes(run));
    if (granule_count < run->granule_count && size_bytes < run->lent.requested_bytes)
        return shrink(run, granule_count);
    if (granule_count > run->granule_count)
        return !is_from_mmap_threshold(size_bytes) && try_extend(run, granule_count);
    if (granule_count > needed_granules(run))
        np_return_note_taken(granule_count - needed_granules(run));
    return true;
}

static void *resize_run(struct np_run *run, void *memory, size_t size_bytes)
{
    size_t old_bytes = run->lent.requested_bytes;

    if (size_bytes == old_bytes)
        return memory;
    if (!try_resize_run(run, size_bytes))
        return move(memory, old_bytes, size_bytes);
    set_requested(run, size_bytes);
    return memory;
}

/* A mapping, or a block of no bytes. */
static void *resize_other(void *memory, size_t size_bytes)
{
    size_t old_bytes = np_large_requested_bytes(memory);
    void *resized;

    if (old_bytes == 0 && !np_none_is_lent((uintptr_t)memory))
        die_of_unknown(memory, REALLOC_CRIME, REALLOC_INTERIOR_CRIME);
    if (size_bytes == old_bytes)
        return memory;
    resized = old_bytes != 0 && size_bytes > NP_SMALL_MAX_BYTES &&
                      size_bytes <= NP_REQUEST_MAX_BYTES
                  ? np_large_resize(memory, size_bytes)
                  : NULL;
    return resized != NULL ? resized : move(memory, old_bytes, size_bytes);
}

void *np_core_resize(void *memory, size_t size_bytes)
{
    struct np_slab *slab = np_slab_find((uintptr_t)memory);
    struct np_run *run;

    if (slab != NULL)
        return resize_slot(slab, memory, size_bytes);
    require_form(memory, NP_FORM_MALLOC);
    run = medium_run_of(memory);
    return run != NULL ? resize_run(run, memory, size_bytes) : resize_other(memory, size_bytes);
}

/* What this thread and those that have ended hold open. A bounded number of slabs: heaps see to that. */
static void close_idle_slabs(void)
{
    struct np_heap *heap = np_thread_heap_if_any();

    empty_quarantine();
    if (heap != NULL)
        np_heap_close_free(heap, NP_CLOSE_SPARSE);
    np_thread_trim_parked();
}

static uint64_t returned_bytes(void)
{
    struct np_returned_totals totals = np_returned_totals();

    return totals.ways[NP_RETURN_BREAK].bytes + totals.ways[NP_RETURN_PURGE].bytes;
}

/* What has gone since so many bytes had. No threshold has returned it, and a higher one would not have kept it: so it is
 * not thrashing when it is taken back. */
static size_t note_asked(uint64_t before_bytes)
{
    size_t gone_bytes = (size_t)(returned_bytes() - before_bytes);

    np_arena_note_asked(gone_bytes);
    return gone_bytes;
}

NP_COLD bool np_core_trim(size_t pad_bytes)
{
    uint64_t before_bytes = returned_bytes();
    bool is_any;

    np_depot_settle_aside();
    close_idle_slabs(); /* what it closes may be too much to be retained, and go at once */
    np_depot_trim();
    (void)np_return_from_resting(SIZE_MAX);
    is_any = np_return_all(pad_bytes);
    return note_asked(before_bytes) > 0 || is_any;
}

static NP_COLD size_t trim_some(size_t most_bytes, uint64_t most_ns)
{
    uint64_t start_ns = np_os_fine_ns();
    size_t left_bytes = most_bytes != 0 ? most_bytes : SIZE_MAX;
    uint64_t before_bytes = returned_bytes();
    size_t gone_bytes;

    close_idle_slabs();
    gone_bytes = (size_t)(returned_bytes() - before_bytes); /* a quarantine's slots may have gone at once */
    left_bytes -= np_min(gone_bytes, left_bytes);
    for (;;) {
        bool is_more;
        size_t bytes;

        /* Something must have gone: 0 would say that nothing is left. */
        if (gone_bytes > 0 &&
            (left_bytes == 0 || (most_ns != 0 && np_os_fine_ns() - start_ns >= most_ns)))
            return gone_bytes;
        is_more = np_depot_trim_some(NP_PURGE_BATCH_BYTES / NP_UNIT_BYTES);
        bytes = np_return_down_to(0, np_min(left_bytes, NP_PURGE_BATCH_BYTES));
        if (bytes == 0 && !is_more)
            bytes = np_return_from_resting(np_min(left_bytes, NP_PURGE_BATCH_BYTES));
        gone_bytes += bytes;
        left_bytes -= np_min(bytes, left_bytes);
        if (bytes == 0 && !is_more)
            break;
    }
    /* What has no memory any more: addresses at the top. */
    (void)np_return_all(0);
    return gone_bytes;
}

NP_COLD size_t np_core_trim_some(size_t most_bytes, uint64_t most_ns)
{
    uint64_t before_bytes = returned_bytes();
    size_t gone_bytes = trim_some(most_bytes, most_ns);

    (void)note_asked(before_bytes);
    return gone_bytes;
}

void np_core_knobs_changed(void)
{
    static _Atomic size_t held_bytes;
    struct np_heap *heap = np_thread_heap_if_any();
    size_t limit = np_mxfast_limit_bytes();

    if (limit < atomic_exchange_explicit(&held_bytes, limit, memory_order_relaxed)) {
        np_depot_release_held();
        np_return_excess();
    }

    if (heap != NULL)
        np_heap_apply_knobs(heap);
    np_thread_apply_knobs();
    if (!np_strict_is_on())
        empty_quarantine(); /* of what was freed before it was known that there is none */
}

/* False: the block was asked for with another size. A block of a slab may have been resized where it lies. */
static bool is_right_size(const void *memory, size_t size_bytes, size_t alignment_bytes,
                          enum np_sized sized)
{
    const struct np_slab *slab = np_slab_find((uintptr_t)memory);
    const struct np_run *run;

    if (sized == NP_SIZED_FREE &&
        atomic_load_explicit(&are_blocks_too_large, memory_order_relaxed) &&
        size_bytes <= np_core_usable_bytes(memory))
        return true;
    if (slab == NULL) {
        run = medium_run_of(memory);
        if (run != NULL)
            return size_bytes == run->lent.requested_bytes;
        return size_bytes == 0 ? np_large_requested_bytes(memory) <= 1
                               : size_bytes == np_large_requested_bytes(memory);
    }
    if (np_strict_is_on())
        return size_bytes == np_core_usable_bytes(memory);
    if (sized == NP_SIZED_FREE && size_bytes <= slab->slot_bytes &&
        size_bytes >= slab->slot_bytes / 2U)
        return true;
    return np_heap_may_have_served(slab, size_bytes, alignment_bytes);
}

void np_core_check_aligned(const void *memory, size_t alignment_bytes)
{
    if (np_tune_get(NP_KNOB_HARDENING) >= 1 &&
        (!np_is_power_of_two(alignment_bytes) || (uintptr_t)memory % alignment_bytes != 0))
        np_die_at("free with an alignment that the block was not asked for with",
                  (uintptr_t)memory);
}

NP_COLD void np_core_check_sized(const void *memory, size_t size_bytes, size_t alignment_bytes,
                         enum np_sized sized)
{
    size_t block_bytes;

    if (memory == NULL || np_tune_get(NP_KNOB_HARDENING) < 1)
        return;
    block_bytes = usable_bytes(memory, NP_FORM_ANY,
                               "free of a pointer that neap did not allocate, or freed before",
                               "free of a pointer inside a block");
    np_core_check_aligned(memory, alignment_bytes);
    if (!is_right_size(memory, size_bytes, alignment_bytes, sized))
        np_die_of("free with a size that the block was not asked for with", (uintptr_t)memory,
                  "block", block_bytes);
}

NP_COLD void np_core_check_at_exit(void)
{
    struct np_heap *heap = np_thread_heap_if_any();
    const struct np_run *overwritten = NULL;

    if (np_tune_get(NP_KNOB_HARDENING) < 1)
        return;
    if (heap != NULL)
        np_heap_check(heap);
    if (np_is_alone())
        overwritten = np_run_find_overwritten();
    if (overwritten != NULL)
        np_die_at(np_written_when_free, overwritten->start);
    if (np_strict_is_on()) {
        np_strict_check_quarantine();
        if (np_is_alone())
            np_large_check();
        if (heap != NULL)
            np_strict_check_live(heap);
    }
}

const char *np_core_audit(void)
{
    struct np_heap *heap = np_thread_heap_if_any();
    const char *fault = heap != NULL ? np_heap_audit(heap) : NULL;

    for (unsigned class_index = 0; fault == NULL && class_index < NP_CLASS_TABLE_COUNT;
         class_index++)
        fault = np_depot_audit(class_index);
    return fault != NULL ? fault : np_arena_audit_all();
}

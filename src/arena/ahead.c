/* Whether to populate a block, and which pages of it to watch. The kernel is asked about them (mincore)
 * once a batch, or, of a program that does not write its blocks, ever more seldom. */
#include "ahead.h"

#include "arena.h"
#include "bits.h"
#include "os.h"
#include "tune.h"

#define HEAP_MIN_BYTES ((size_t)8 << 20)
#define BATCH_HEAP_SHARE 96 /* A1 */

/* A batch need not be larger: asking once for 128 pages costs next to nothing. */
#define BATCH_MAX_BYTES ((size_t)512 << 10)

/* A larger block takes milliseconds, which malloc would seem to hang for, and is more often a table. */
#define BLOCK_MAX_BYTES ((size_t)4 << 20)

/* Three pages are left out, and asking costs as much as some faults. */
#define BLOCK_MIN_PAGES 4

/* Blocks between two looks at one that is watched while none are populated: at first, and at most. */
#define PATIENCE_MIN 4
#define PATIENCE_MAX 1024

enum plan { LEAVE, POPULATE, POPULATE_BUT_WATCHED };

/* Of a block. A buffer that is not filled has nothing on its last page, a stack nothing on its first ones, and
 * a table that is hardly used mostly nothing on the one between. */
struct watched {
    uintptr_t first; /* 0: none is watched */
    uintptr_t middle;
    uintptr_t last;
};

static struct {
    _Atomic bool is_taken; /* the flag; false to true by acquire, back by release */
    bool is_trusted;
    struct watched watched;        /* of the batch that grows, or of a block that was left as it is */
    struct watched watched_before; /* of the batch before */
    size_t batch_bytes;
    size_t patience; /* blocks between two looks while nothing is populated */
    size_t wait_count;
} ahead;

static bool is_page_written(uintptr_t page)
{
    unsigned char state;

    return np_os_residency((void *)page, np_os_page_bytes(), &state) && (state & 1) != 0;
}

static bool is_written(const struct watched *watched)
{
    return watched->first != 0 && is_page_written(watched->last) &&
           is_page_written(watched->middle) && is_page_written(watched->first);
}

/* Watches this block, to which nothing is done, before anything is populated again. */
static enum plan watch_only(const struct watched *watched)
{
    ahead.is_trusted = false;
    ahead.patience = np_min(np_max(2 * ahead.patience, PATIENCE_MIN), PATIENCE_MAX);
    ahead.wait_count = ahead.patience;
    ahead.watched = *watched;
    return LEAVE;
}

static enum plan begin_batch(const struct watched *watched, size_t bytes)
{
    ahead.watched_before = ahead.watched;
    ahead.watched = *watched;
    ahead.batch_bytes = bytes;
    return POPULATE_BUT_WATCHED;
}

static enum plan decide(const struct watched *watched, size_t bytes, size_t most_bytes)
{
    if (!ahead.is_trusted) {
        if (ahead.wait_count > 0) {
            ahead.wait_count--;
            return LEAVE;
        }
        if (!is_written(&ahead.watched))
            return watch_only(watched);
        ahead.is_trusted = true;
        return begin_batch(watched, bytes);
    }
    if (ahead.batch_bytes + bytes <= np_min(most_bytes, BATCH_MAX_BYTES)) {
        ahead.batch_bytes += bytes;
        return POPULATE;
    }
    if (!is_written(&ahead.watched_before))
        return watch_only(watched);
    ahead.patience /= 2;
    return begin_batch(watched, bytes);
}

static enum plan decide_alone(const struct watched *watched, size_t bytes, size_t most_bytes)
{
    enum plan plan;

    if (atomic_exchange_explicit(&ahead.is_taken, true, memory_order_acquire))
        return LEAVE;
    plan = decide(watched, bytes, most_bytes);
    atomic_store_explicit(&ahead.is_taken, false, memory_order_release);
    return plan;
}

static void populate(uintptr_t from, uintptr_t to)
{
    if (from < to)
        (void)np_os_populate((void *)from, to - from);
}

static void populate_but(const struct watched *watched, uintptr_t to, size_t page_bytes)
{
    populate(watched->first + page_bytes, watched->middle);
    populate(watched->middle + page_bytes, watched->last);
    populate(watched->last + page_bytes, to);
}

void np_ahead_populate(void *block, size_t requested_bytes, size_t available_bytes)
{
    size_t page_bytes = np_os_page_bytes();
    uintptr_t from = np_align_up((uintptr_t)block, page_bytes);
    uintptr_t to = np_align_down((uintptr_t)block + available_bytes, page_bytes);
    /* The last one that is the program's alone: on the next one lies the block's tail, which we write. */
    uintptr_t last = np_align_down((uintptr_t)block + requested_bytes, page_bytes) - page_bytes;
    struct watched watched;
    size_t heap_bytes;

    if (requested_bytes > BLOCK_MAX_BYTES || last < from + (BLOCK_MIN_PAGES - 1) * page_bytes ||
        np_tune_get(NP_KNOB_POPULATE) == 0)
        return;
    heap_bytes = np_arena_used_bytes();
    if (heap_bytes < HEAP_MIN_BYTES || to - from > heap_bytes / BATCH_HEAP_SHARE)
        return;
    watched = (struct watched){from, np_align_down(from + (last - from) / 2, page_bytes), last};
    switch (decide_alone(&watched, to - from, heap_bytes / BATCH_HEAP_SHARE)) {
    case LEAVE:
        return;
    case POPULATE:
        populate(from, to);
        return;
    case POPULATE_BUT_WATCHED:
        populate_but(&watched, to, page_bytes);
        return;
    }
}

void np_ahead_settle_in_child(void)
{
    atomic_store_explicit(&ahead.is_taken, false, memory_order_relaxed);
}

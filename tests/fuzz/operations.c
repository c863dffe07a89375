/* The operations and what must be true of each: see operations.h. */
#include "operations.h"

#include <errno.h>

#include "../unit/tune_reset.h"
#include "core.h"
#include "fuzz.h"
#include "neap/neap.h"
#include "pattern.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* So that an input takes milliseconds, and grows the heap beyond 32 MiB all the same: from there on
 * the trim threshold follows what is live. */
#define LIVE_MAX_BYTES (40 * MIB)
enum {
    ALLOCATIONS_MAX = 10000,
    UNTOUCHED_ERRNO = ENOTTY, /* which no function here sets */
    SINGLE_SIZE_MAX_SHIFT = 21,
};

/* In the place of an alignment that was asked for. free_sized takes blocks of the first kind alone,
 * free_aligned_sized those of aligned_alloc, free all. */
enum { ANY_ALIGNMENT = 0, FREE_ONLY = 1 };

typedef void operation(struct operations *operations, const struct record *record);

struct record record_at(const uint8_t *bytes, size_t index)
{
    const uint8_t *at = bytes + index * RECORD_BYTES;

    return (struct record){
        .kind = at[0],
        .repeat = at[1],
        .which = (uint16_t)(at[2] | at[3] << 8),
        .size_kind = at[4],
        .size_part = at[5],
        .option = at[6],
        .thread = at[7],
    };
}

unsigned record_repeat_count(const struct record *record)
{
    return record->repeat < 160 ? 1 : 1u << (record->repeat % 12);
}

size_t record_size(const struct record *record)
{
    size_t part = record->size_part;

    if (record->size_kind < 160) {
        size_t base = (size_t)1 << (record->size_kind % (SINGLE_SIZE_MAX_SHIFT + 1));

        return part == 255 ? 2 * base - 1 : base + base * part / 256;
    }
    if (record->size_kind < 240)
        return part + (size_t)(record->size_kind - 160) * 16;
    return ((size_t)1 << (20 + record->size_kind % 4)) + part * 4096;
}

size_t record_alignment(const struct record *record)
{
    return (size_t)16 << (record->option % 19);
}

size_t record_place(const struct record *record, const struct shadow *shadow)
{
    return record->which * shadow->live_count >> 16;
}

static bool may_take(const struct operations *operations, size_t size_bytes)
{
    return operations->shadow.live_count < SHADOW_MOST_LIVE &&
           operations->allocation_count < ALLOCATIONS_MAX &&
           operations->shadow.live_bytes + size_bytes <= LIVE_MAX_BYTES;
}

/* NEAP_HARDENING=2: what was freed waits, and counts as live until it has. */
static bool has_quarantine(void)
{
    return np_tune_get(NP_KNOB_HARDENING) == 2;
}

static void forget_errno(void)
{
    errno = UNTOUCHED_ERRNO;
}

/* What was fresh before it came into the shadow. With other threads about, the knob may be changed
 * meanwhile; and those that take turns learn late of what another one has set. Two are one that
 * works and one that waits. */
static void check_perturbed(const struct operations *operations, const unsigned char *start,
                            size_t size_bytes)
{
    unsigned char byte = (unsigned char)np_tune_get(NP_KNOB_PERTURB);

    if (byte != 0 && operations->company == COMPANY_NONE && operations->thread_count <= 2)
        REQUIRE(bytes_are(start, size_bytes, (unsigned char)~byte));
}

/* Enters what an allocating function has answered; false if that was NULL, and might be. */
static bool enter(struct operations *operations, void *start, size_t size_bytes,
                  size_t alignment_bytes)
{
    struct shadow_block block = {
        .start = start,
        .size_bytes = size_bytes,
        .alignment_bytes = alignment_bytes,
        .seed = random_next(&operations->random),
    };

    operations->allocation_count++;
    if (start == NULL && target_may_fail()) {
        REQUIRE(errno == ENOMEM);
        return false;
    }
    REQUIRE(start != NULL);
    REQUIRE(errno == UNTOUCHED_ERRNO);
    block.usable_bytes = neap_malloc_usable_size(start);
    REQUIRE_SOUND(shadow_enter(&operations->shadow, &block));
    return true;
}

/* One that is about to be given back or resized. */
static struct shadow_block take_out(struct operations *operations, size_t place)
{
    struct shadow_block block;

    REQUIRE_SOUND(shadow_take_out(&operations->shadow, place, &block));
    REQUIRE(neap_malloc_usable_size(block.start) == block.usable_bytes);
    forget_errno();
    return block;
}

static void do_malloc(struct operations *operations, const struct record *record)
{
    unsigned repeat_count = record_repeat_count(record);
    size_t size_bytes = record_size(record);

    for (unsigned i = 0; i < repeat_count && may_take(operations, size_bytes); i++) {
        void *start;

        forget_errno();
        start = record->option % 4 == 0 ? neap_realloc(NULL, size_bytes) : neap_malloc(size_bytes);
        if (start != NULL)
            check_perturbed(operations, start, size_bytes);
        enter(operations, start, size_bytes, ANY_ALIGNMENT);
    }
}

static void do_calloc(struct operations *operations, const struct record *record)
{
    unsigned repeat_count = record_repeat_count(record);
    size_t count = record->which % 64;
    size_t size_bytes = record_size(record) / (count + 1);

    for (unsigned i = 0; i < repeat_count && may_take(operations, count * size_bytes); i++) {
        unsigned char *start;

        forget_errno();
        start = record->option % 2 == 0 ? neap_calloc(count, size_bytes)
                                        : neap_calloc(size_bytes, count);
        if (start != NULL)
            REQUIRE(bytes_are(start, count * size_bytes, 0));
        enter(operations, start, count * size_bytes, ANY_ALIGNMENT);
    }
}

enum { MEMALIGN, ALIGNED_ALLOC };

static void *take_aligned(unsigned way, size_t alignment_bytes, size_t size_bytes)
{
    void *start = NULL;
    int answer;

    switch (way % 3) {
    case MEMALIGN:
        return neap_memalign(alignment_bytes, size_bytes);
    case ALIGNED_ALLOC:
        return neap_aligned_alloc(alignment_bytes, size_bytes);
    default:
        answer = neap_posix_memalign(&start, alignment_bytes, size_bytes);
        REQUIRE(errno == UNTOUCHED_ERRNO);
        REQUIRE(answer == (start == NULL ? ENOMEM : 0));
        if (start == NULL)
            errno = ENOMEM; /* as the others do */
        return start;
    }
}

static void do_aligned(struct operations *operations, const struct record *record)
{
    unsigned repeat_count = record_repeat_count(record);
    size_t size_bytes = record_size(record);
    size_t alignment_bytes = record_alignment(record);
    bool is_sized = record->which % 3 == ALIGNED_ALLOC;

    for (unsigned i = 0; i < repeat_count && may_take(operations, size_bytes); i++) {
        void *start;

        /* Padding counts, too: it is address space. */
        if (operations->shadow.live_count > 512 * MIB / alignment_bytes)
            return;
        forget_errno();
        start = take_aligned(record->which, alignment_bytes, size_bytes);
        if (start != NULL)
            check_perturbed(operations, start, size_bytes);
        REQUIRE((uintptr_t)start % alignment_bytes == 0);
        enter(operations, start, size_bytes, is_sized ? alignment_bytes : FREE_ONLY);
    }
}

static void do_page_aligned(struct operations *operations, const struct record *record)
{
    size_t size_bytes = record_size(record);
    void *start;

    if (!may_take(operations, size_bytes + 64 * KIB))
        return;
    forget_errno();
    if (record->option % 2 == 0) {
        start = neap_valloc(size_bytes);
    } else {
        size_bytes = (size_bytes + 4095) / 4096 * 4096; /* the smallest page there is */
        start = neap_pvalloc(size_bytes);
    }
    if (enter(operations, start, size_bytes, FREE_ONLY))
        REQUIRE((uintptr_t)start % 4096 == 0);
}

static void do_realloc(struct operations *operations, const struct record *record)
{
    size_t size_bytes = record_size(record);
    size_t count = 1 + record->option % 8;
    struct shadow_block block;
    void *start;

    if (operations->shadow.live_count == 0 || !may_take(operations, size_bytes))
        return;
    if (record->option >= 128)
        size_bytes = size_bytes / count * count;
    if (size_bytes == 0)
        return; /* do_realloc_to_nothing */
    block = take_out(operations, record_place(record, &operations->shadow));
    shadow_prepare_resize(&block, size_bytes);
    start = record->option >= 128 ? neap_reallocarray(block.start, count, size_bytes / count)
                                  : neap_realloc(block.start, size_bytes);
    if (start != NULL) {
        REQUIRE_SOUND(shadow_check_resized(&block, start, size_bytes));
        enter(operations, start, size_bytes, ANY_ALIGNMENT);
        return;
    }
    REQUIRE(target_may_fail());
    REQUIRE(errno == ENOMEM);
    REQUIRE_SOUND(shadow_check_resized(&block, block.start, size_bytes));
    REQUIRE_SOUND(shadow_enter(&operations->shadow, &block));
}

static void do_realloc_to_nothing(struct operations *operations, const struct record *record)
{
    struct shadow_block block;

    if (operations->shadow.live_count == 0)
        return;
    block = take_out(operations, record_place(record, &operations->shadow));
    if (record->option % 3 == 0)
        REQUIRE(neap_realloc(block.start, 0) == NULL);
    else if (record->option % 3 == 1)
        REQUIRE(neap_reallocarray(block.start, 0, record_size(record)) == NULL);
    else
        REQUIRE(neap_reallocarray(block.start, record_size(record), 0) == NULL);
    REQUIRE(errno == UNTOUCHED_ERRNO);
}

/* By one of the functions that may free this one. */
static void free_block(const struct shadow_block *block, unsigned way)
{
    forget_errno();
    if (way % 2 == 0 || block->alignment_bytes == FREE_ONLY)
        neap_free(block->start);
    else if (block->alignment_bytes == ANY_ALIGNMENT)
        neap_free_sized(block->start, block->size_bytes);
    else
        neap_free_aligned_sized(block->start, block->alignment_bytes, block->size_bytes);
    REQUIRE(errno == UNTOUCHED_ERRNO);
}

/* Neighbours, or every other one, or every 64th: option says how far apart. */
static void do_free(struct operations *operations, const struct record *record)
{
    unsigned repeat_count = record_repeat_count(record);
    size_t step = (size_t)1 << (record->option / 2 % 7);
    size_t place;

    if (operations->shadow.live_count == 0)
        return;
    place = record_place(record, &operations->shadow);
    for (unsigned i = 0; i < repeat_count && place < operations->shadow.live_count; i++) {
        struct shadow_block block = take_out(operations, place);

        free_block(&block, record->option);
        place += step - 1;
    }
}

static void do_check_contents(struct operations *operations, const struct record *record)
{
    unsigned repeat_count = record_repeat_count(record);
    struct shadow *shadow = &operations->shadow;
    size_t place = shadow->live_count == 0 ? 0 : record_place(record, &operations->shadow);

    for (unsigned i = 0; i < repeat_count && place < shadow->live_count; i++, place++) {
        REQUIRE_SOUND(shadow_check(&shadow->live[place]));
        REQUIRE(neap_malloc_usable_size(shadow->live[place].start) ==
                shadow->live[place].usable_bytes);
    }
}

/* Values at and beyond the borders of what there are rules for, and a few between. */
static int knob_value(const struct record *record)
{
    static const int values[] = {
        0,       1,       -1,      2,       8,      16,     64,      100,         120,     128,
        160,     161,     255,     256,     1000,   4096,   16384,   65536,       131072,  1 << 20,
        1 << 22, 1 << 25, 1 << 30, INT32_MAX, -2,   -4096,  INT32_MIN, INT32_MAX - 1,
    };
    size_t index = record->option;

    if (index < sizeof(values) / sizeof(values[0]))
        return values[index];
    return (int)(record->which >> (index % 16));
}

static void do_mallopt(struct operations *operations, const struct record *record)
{
    int parameter = (int)(record->size_kind % 12) - 9; /* -9 and 0 and 2 are none */
    int64_t before[NP_KNOB_COUNT];
    int answer;

    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++)
        before[knob] = np_tune_get((enum np_knob)knob);
    forget_errno();
    answer = neap_mallopt(parameter, knob_value(record));
    REQUIRE(errno == UNTOUCHED_ERRNO);
    REQUIRE(answer == 0 || answer == 1);
    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        const struct np_knob_row *row = &np_knob_rows[knob];
        int64_t now = np_tune_get((enum np_knob)knob);
        bool is_meant = answer == 1 && row->mallopt_number == parameter;

        REQUIRE(now >= row->least && now <= row->most);
        if (operations->company == COMPANY_NONE && !is_meant)
            REQUIRE(now == before[knob]);
    }
}

static void do_trim(struct operations *operations, const struct record *record)
{
    int answer;

    forget_errno();
    answer = neap_malloc_trim(record->option % 2 == 0 ? 0 : record_size(record));
    REQUIRE(answer == 0 || answer == 1);
    if (operations->company == COMPANY_NONE) {
        (void)neap_malloc_trim(0);
        REQUIRE(target_may_fail() || neap_malloc_trim(0) == 0);
    }
    REQUIRE(errno == UNTOUCHED_ERRNO);
}

static void do_trim_in_parts(struct operations *operations, const struct record *record)
{
    size_t most_bytes = record_size(record);
    size_t gone_bytes;

    forget_errno();
    gone_bytes = neap_trim(most_bytes, record->which);
    REQUIRE(most_bytes == 0 || gone_bytes < most_bytes + 128 * KIB);
    REQUIRE(errno == UNTOUCHED_ERRNO);
    (void)operations;
}

/* A run that comes and goes, so that whoever frees looks at a threshold that may be new. */
static void have_the_excess_returned(void)
{
    neap_free(neap_malloc(40000));
}

/* Promise: free leaves no more than this, wherever the memory lies. */
static void check_retained(const struct operations *operations, const struct neap_stats *stats)
{
    uint64_t bound_bytes = 512 * KIB + operations->thread_count * MIB;

    if (np_tune_get(NP_KNOB_MXFAST) != 0 || operations->company != COMPANY_NONE)
        return; /* what is held on purpose has no bound; others may be inside free */
    if (target_may_fail() || has_quarantine() ||
        stats->trim_threshold_bytes > UINT64_MAX - bound_bytes)
        return;
    REQUIRE(stats->retained_bytes <= stats->trim_threshold_bytes + bound_bytes);
}

/* Blocks of no bytes take nothing, and are no part of the statistics. */
static size_t counted_blocks(const struct shadow *shadow)
{
    size_t count = 0;

    for (size_t at = 0; at < shadow->live_count; at++)
        count += shadow->live[at].usable_bytes > 0;
    return count;
}

static void do_check_figures(struct operations *operations, const struct record *record)
{
    struct neap_stats stats;
    struct neap_mallinfo2 info;

    (void)record;
    have_the_excess_returned();
    forget_errno();
    REQUIRE(neap_stats(&stats, sizeof(stats)) == 0);
    info = neap_mallinfo2();
    REQUIRE(errno == UNTOUCHED_ERRNO);
    REQUIRE(stats.retained_top_bytes + stats.retained_run_bytes + stats.retained_remote_bytes +
                stats.retained_current_bytes == stats.retained_bytes);
    REQUIRE(info.uordblks + info.fordblks <= info.arena);
    if (operations->company != COMPANY_NONE)
        return;
    REQUIRE(stats.arena_bytes + stats.mapped_bytes ==
            stats.live_bytes + stats.hole_bytes + stats.retained_bytes + stats.refused_bytes +
                stats.cold_bytes);
    REQUIRE(stats.live_count == counted_blocks(&operations->shadow) ||
            (has_quarantine() && stats.live_count > counted_blocks(&operations->shadow)));
    REQUIRE(stats.live_bytes >= operations->shadow.live_bytes);
    REQUIRE(info.hblks == stats.mapped_count && info.hblkhd == stats.mapped_bytes);
    REQUIRE(info.uordblks + info.hblkhd == stats.live_bytes);
    check_retained(operations, &stats);
    REQUIRE_SOUND(np_core_audit());
}

static void do_report(struct operations *operations, const struct record *record)
{
    static FILE *nowhere;

    if (operations->company != COMPANY_NONE)
        return; /* nowhere is not theirs */
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    REQUIRE(nowhere != NULL);
    REQUIRE(neap_malloc_info(record->option % 4 == 3, nowhere) ==
            (record->option % 4 == 3 ? EINVAL : 0));
    neap_free_table(nowhere);
    REQUIRE(neap_mallinfo().usmblks == 0);
}

/* Larger than any memory, so that NULL is the only answer: above PTRDIFF_MAX, the sum or product
 * that overflows included. */
static void do_impossible(struct operations *operations, const struct record *record)
{
    size_t size_bytes = hidden(record->option < 128 ? SIZE_MAX - record->which
                                                    : (size_t)PTRDIFF_MAX + 1 + record->which);
    void *start = operations; /* which no function may change */

    forget_errno();
    switch (record->option % 8) {
    case 0:
        REQUIRE(neap_malloc(size_bytes) == NULL);
        break;
    case 1:
        REQUIRE(neap_calloc(1, size_bytes) == NULL);
        break;
    case 2:
        REQUIRE(neap_calloc(hidden(SIZE_MAX / 2) - record->which, 3 + record->size_part) == NULL);
        break;
    case 3:
        REQUIRE(neap_memalign(record_alignment(record), size_bytes) == NULL);
        break;
    case 4:
        REQUIRE(neap_aligned_alloc(record_alignment(record), size_bytes) == NULL);
        break;
    case 5:
        REQUIRE(neap_valloc(size_bytes) == NULL && neap_pvalloc(size_bytes) == NULL);
        break;
    case 6:
        REQUIRE(neap_posix_memalign(&start, record_alignment(record), size_bytes) == ENOMEM);
        REQUIRE(start == operations && errno == UNTOUCHED_ERRNO);
        return;
    default:
        REQUIRE(neap_realloc(NULL, size_bytes) == NULL);
        break;
    }
    REQUIRE(errno == ENOMEM);
}

static void do_impossible_realloc(struct operations *operations, const struct record *record)
{
    struct shadow_block block;
    size_t place;

    if (operations->shadow.live_count == 0)
        return;
    place = record_place(record, &operations->shadow);
    block = operations->shadow.live[place];
    forget_errno();
    if (record->option % 2 == 0)
        REQUIRE(neap_realloc(block.start, hidden(SIZE_MAX) - record->size_part) == NULL);
    else
        REQUIRE(neap_reallocarray(block.start, hidden(SIZE_MAX / 2), 3 + record->size_part) ==
                NULL);
    REQUIRE(errno == ENOMEM);
    REQUIRE_SOUND(shadow_check(&block));
}

static void do_wrong_alignment(struct operations *operations, const struct record *record)
{
    size_t alignment_bytes = record->which | (record->option % 2 == 0 ? 3 : 0x11000);
    void *start = operations;

    forget_errno();
    REQUIRE(neap_aligned_alloc(alignment_bytes, record_size(record)) == NULL);
    REQUIRE(errno == EINVAL);
    forget_errno();
    REQUIRE(neap_memalign(SIZE_MAX - record->which, record_size(record)) == NULL);
    REQUIRE(errno == EINVAL);
    forget_errno();
    REQUIRE(neap_posix_memalign(&start, alignment_bytes, record_size(record)) == EINVAL);
    REQUIRE(neap_posix_memalign(&start, sizeof(void *) / 2, record_size(record)) == EINVAL);
    REQUIRE(start == operations && errno == UNTOUCHED_ERRNO);
}

/* memalign rounds an alignment up to a power of two. */
static void do_odd_memalign(struct operations *operations, const struct record *record)
{
    size_t size_bytes = record_size(record);
    size_t alignment_bytes = 16;
    void *start;

    if (!may_take(operations, size_bytes + 128 * KIB))
        return;
    forget_errno();
    start = neap_memalign(record->which, size_bytes);
    while (alignment_bytes < record->which)
        alignment_bytes *= 2;
    if (enter(operations, start, size_bytes, FREE_ONLY))
        REQUIRE((uintptr_t)start % alignment_bytes == 0);
}

/* More than the machine may have: whatever the answer, it is one or the other. */
static void do_huge(struct operations *operations, const struct record *record)
{
    unsigned shift = 28 + record->size_part % (sizeof(size_t) * 8 - 29);
    size_t size_bytes = (size_t)1 << shift;
    unsigned char *start;

    if (np_tune_get(NP_KNOB_PERTURB) != 0 || operations->company != COMPANY_NONE)
        return; /* all of it would be written */
    forget_errno();
    start = record->option % 2 == 0 ? neap_malloc(size_bytes) : neap_calloc(size_bytes, 1);
    if (start == NULL) {
        REQUIRE(errno == ENOMEM);
        return;
    }
    REQUIRE(neap_malloc_usable_size(start) >= size_bytes);
    if (record->option % 2 == 1)
        REQUIRE(start[0] == 0 && start[size_bytes - 1] == 0);
    start[0] = 1;
    start[size_bytes - 1] = 1;
    neap_free(start);
}

static void do_nothing(struct operations *operations, const struct record *record)
{
    (void)operations;
    forget_errno();
    neap_free(NULL);
    neap_free_sized(NULL, record_size(record));
    neap_free_aligned_sized(NULL, record_alignment(record), record_size(record));
    REQUIRE(neap_malloc_usable_size(NULL) == 0);
    REQUIRE(errno == UNTOUCHED_ERRNO);
}

/* The common ones more than once, so that they come up more often. */
static operation *const operations_by_kind[] = {
    do_malloc,        do_malloc,        do_malloc,          do_malloc,
    do_free,          do_free,          do_free,            do_free,
    do_calloc,        do_calloc,        do_realloc,         do_realloc,
    do_aligned,       do_aligned,       do_page_aligned,    do_realloc_to_nothing,
    do_check_contents, do_mallopt,      do_mallopt,         do_trim,
    do_trim_in_parts, do_check_figures, do_check_figures,   do_report,
    do_impossible,    do_huge,          do_impossible_realloc, do_wrong_alignment,
    do_odd_memalign,  do_nothing,
};

enum { KIND_COUNT = sizeof(operations_by_kind) / sizeof(operations_by_kind[0]) };

bool operations_do(struct operations *operations, const struct record *record)
{
    if (record->kind >= 256 / KIND_COUNT * KIND_COUNT)
        return false;
    operations_by_kind[record->kind % KIND_COUNT](operations, record);
    return true;
}

void operations_begin(struct operations *operations, enum company company, unsigned thread_count,
                      uint64_t seed)
{
    operations->shadow.live_count = 0;
    operations->shadow.live_bytes = 0;
    operations->company = company;
    operations->thread_count = thread_count;
    operations->allocation_count = 0;
    operations->random = seed;
}

void operations_free_all(struct operations *operations)
{
    while (operations->shadow.live_count > 0) {
        struct shadow_block block = take_out(operations, operations->shadow.live_count - 1);

        free_block(&block, (unsigned)operations->shadow.live_count);
    }
}

/* All but the one that a process has for life. */
static void reset_knobs(void)
{
    int64_t hardening = np_tune_get(NP_KNOB_HARDENING);

    tune_reset();
    np_tune_values[NP_KNOB_HARDENING] = hardening;
}

void operations_settle(size_t live_count)
{
    struct neap_stats stats;

    reset_knobs();
    np_core_knobs_changed();
    (void)neap_malloc_trim(0);
    REQUIRE(neap_stats(&stats, sizeof(stats)) == 0);
    if (!has_quarantine())
        REQUIRE(stats.live_count == live_count && (live_count > 0 || stats.live_bytes == 0));
    REQUIRE_SOUND(np_core_audit());
}

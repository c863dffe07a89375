/* mallinfo, malloc_stats, malloc_info, neap_stats and the free table, all from the same walk. */
#include "info.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "large.h"
#include "return.h"
#include "returned.h"
#include "stats.h"
#include "tune.h"

struct neap_mallinfo2 np_info_mallinfo2(void)
{
    struct np_stats_sums sums;
    struct np_large_totals large = np_large_totals();

    np_stats_sum(&sums);
    return (struct neap_mallinfo2){
        .arena = sums.system_bytes,
        .ordblks = sums.free_run_count + sums.free_slot_count - sums.held_count,
        .smblks = sums.held_count,
        .hblks = large.count,
        .hblkhd = large.bytes,
        .usmblks = 0,
        .fsmblks = sums.held_bytes,
        .uordblks = sums.live_bytes,
        .fordblks = np_stats_free_bytes(&sums),
        .keepcost = sums.keep_bytes,
    };
}

static int saturated(size_t value)
{
    return value > INT_MAX ? INT_MAX : (int)value;
}

struct neap_mallinfo np_info_mallinfo(void)
{
    struct neap_mallinfo2 info = np_info_mallinfo2();

    return (struct neap_mallinfo){
        .arena = saturated(info.arena),
        .ordblks = saturated(info.ordblks),
        .smblks = saturated(info.smblks),
        .hblks = saturated(info.hblks),
        .hblkhd = saturated(info.hblkhd),
        .usmblks = 0,
        .fsmblks = saturated(info.fsmblks),
        .uordblks = saturated(info.uordblks),
        .fordblks = saturated(info.fordblks),
        .keepcost = saturated(info.keepcost),
    };
}

void np_info_write_stats(void)
{
    np_stats_write_totals(STDERR_FILENO);
}

static void write_to_stream(void *stream, const char *bytes, size_t byte_count)
{
    (void)fwrite(bytes, 1, byte_count, stream);
}

int np_info_write_xml(int options, FILE *stream)
{
    if (options != 0)
        return EINVAL;
    np_stats_write_xml(write_to_stream, stream);
    return 0;
}

void np_info_write_table(FILE *stream)
{
    np_stats_write_table(write_to_stream, stream);
}

/* What one arena has, or all of them together. */
static struct neap_stats stats_of(const struct np_stats_sums *sums)
{
    return (struct neap_stats){
        .size_bytes = sizeof(struct neap_stats),
        .arena_bytes = sums->system_bytes,
        .live_bytes = sums->live_bytes,
        .live_count = sums->live_count,
        .medium_bytes = sums->medium_bytes,
        .medium_count = sums->medium_count,
        .requested_bytes = sums->medium_requested_bytes,
        .hole_bytes = sums->hole_bytes,
        .retained_bytes = np_stats_retained_bytes(sums),
        .retained_top_bytes = sums->top_bytes,
        .retained_run_bytes = sums->run_bytes,
        .retained_remote_bytes = sums->closed_bytes,
        .retained_current_bytes = sums->open_bytes,
        .refused_bytes = sums->refused_bytes,
        .cold_bytes = sums->cold_bytes,
        .arena_max_bytes = sums->system_max_bytes,
        .used_max_bytes = sums->used_max_bytes,
        .arena_count = 1,
    };
}

static void add_large(struct neap_stats *stats)
{
    struct np_large_totals large = np_large_totals();

    stats->mapped_bytes = large.bytes;
    stats->mapped_count = large.count;
    stats->live_bytes += large.bytes;
    stats->live_count += large.count;
    stats->requested_bytes += large.requested_bytes;
    stats->mapped_max_bytes = large.bytes_max;
    stats->mapped_max_count = large.count_max;
    stats->returned_munmap_bytes = large.unmapped_bytes;
    stats->returned_munmap_calls = large.unmapped_calls;
    stats->returning_ns += large.unmapping_ns;
}

static void add_returned(struct neap_stats *stats)
{
    struct np_returned_totals totals = np_returned_totals();
    const struct np_returned_way *by_break = &totals.ways[NP_RETURN_BREAK];
    const struct np_returned_way *by_purge = &totals.ways[NP_RETURN_PURGE];

    stats->retained_max_bytes = totals.retained_max_bytes;
    stats->returned_sbrk_bytes = by_break->bytes;
    stats->returned_sbrk_calls = by_break->calls;
    stats->returned_madvise_bytes = by_purge->bytes;
    stats->returned_madvise_calls = by_purge->calls;
    stats->returning_ns += by_break->spent_ns + by_purge->spent_ns;
    stats->refaulted_bytes = totals.refaulted_bytes;
    stats->freed_bytes = totals.joined_bytes;
    stats->reused_bytes = totals.reused_bytes;
    stats->recent_freed_bytes = totals.recent.freed_bytes;
    stats->recent_returned_bytes = totals.recent.returned_bytes;
    stats->recent_reused_bytes = totals.recent.reused_bytes;
    stats->recent_waiting_bytes = totals.recent.waiting_bytes;
    stats->recent_delay_mean_ns = totals.recent.delay_mean_ns;
    stats->recent_delay_max_ns = totals.recent.delay_max_ns;
    stats->recent_waiting_ns = totals.recent.waiting_ns;
}

static void add_process(struct neap_stats *stats)
{
    struct np_stats_process process = np_stats_process();
    size_t threshold_bytes = np_return_threshold_bytes();

    stats->metadata_bytes = process.metadata_bytes;
    stats->metadata_mapped_bytes = process.metadata_mapped_bytes;
    stats->arena_count = process.arena_count;
    stats->heap_count = process.heap_count;
    stats->parked_heap_count = process.parked_heap_count;
    stats->trim_threshold_bytes = threshold_bytes == SIZE_MAX ? UINT64_MAX : threshold_bytes;
    if (!np_tune_is_set(NP_KNOB_TRIM_THRESHOLD))
        stats->trim_allowance_bytes = np_arena_allowance_bytes();
    stats->mmap_threshold_bytes = (uint64_t)np_tune_get(NP_KNOB_MMAP_THRESHOLD);
}

/* A caller built with a later header has members that we do not know: they become 0. One built with
 * an earlier header has room for the first ones only. */
static void hand_over(const struct neap_stats *known, struct neap_stats *stats, size_t size_bytes)
{
    size_t known_bytes = size_bytes < sizeof *known ? size_bytes : sizeof *known;

    memcpy(stats, known, known_bytes);
    memset((char *)stats + known_bytes, 0, size_bytes - known_bytes);
}

int np_info_stats(struct neap_stats *stats, size_t size_bytes)
{
    struct np_stats_sums sums;
    struct neap_stats known;

    if (size_bytes < sizeof known.size_bytes)
        return EINVAL;
    np_stats_sum(&sums);
    known = stats_of(&sums);
    add_large(&known);
    add_returned(&known);
    add_process(&known);
    hand_over(&known, stats, size_bytes);
    return 0;
}

int np_info_stats_arena(unsigned index, struct neap_stats *stats, size_t size_bytes)
{
    struct np_stats_sums sums;
    struct neap_stats known;

    if (size_bytes < sizeof known.size_bytes)
        return EINVAL;
    if (!np_stats_sum_arena(index, &sums))
        return ENOENT;
    known = stats_of(&sums);
    hand_over(&known, stats, size_bytes);
    return 0;
}

/* mallinfo, malloc_stats and malloc_info from one walk. */
#include "info.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "large.h"
#include "stats.h"

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
        .fordblks = sums.free_resident_bytes,
        .keepcost = sums.top_resident_bytes,
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

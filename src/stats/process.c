/* What belongs to no arena: bookkeeping, heaps. */
#include "arena.h"
#include "large.h"
#include "meta.h"
#include "stats.h"
#include "thread.h"
#include "window.h"

struct np_stats_process np_stats_process(void)
{
    struct np_stats_process process = {
        .metadata_bytes = np_window_resident_bytes() + np_large_table_resident_bytes() +
                          np_pool_used_bytes(),
        .metadata_mapped_bytes = np_window_mapped_bytes() + np_large_totals().table_bytes +
                                 np_pool_mapped_bytes(),
    };

    for (const struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        process.arena_count++;
    for (const struct np_heap *heap = np_thread_heaps(); heap != NULL; heap = heap->next) {
        bool is_parked = atomic_load_explicit(&heap->is_parked, memory_order_relaxed) != 0;

        process.heap_count += !is_parked;
        process.parked_heap_count += is_parked;
    }
    return process;
}

/* Giving back runs that may never have been touched in most places, as tables from calloc are. Were all of such a run taken
 * to be resident, the next calloc would write zeros over all of it, and so make it so.
 *
 * Which pages have memory the kernel says. Where that are few, they are purged: to fault them in again costs less than to
 * write zeros over all those that were touched in turn. What is absent is purged, too, before it is taken for zero: the kernel
 * calls absent what it has swapped out. Where nothing is there, that costs a look at the page tables. */
#include "arena.h"
#include "bits.h"
#include "grow.h"
#include "kept.h"
#include "os.h"
#include "returned.h"
#include "run.h"

/* Asked about in one call: 1 MiB where a system page is a granule. */
#define PIECE_PAGES 256

/* A page is faulted in again in the time in which 16 to 30 are cleared. So where one of 32 is there, or fewer, all go; judged
 * by 256 KiB, since of less even few pages are a large share. */
#define GROUP_PAGES 64
#define SPARSE_SHARE 32

#define RANGES_MAX 64

struct absent {
    struct np_run *run;
    size_t present_pages; /* in the ranges */
    size_t range_count;
    struct np_range ranges[RANGES_MAX];
};

/* The last block that came back was hardly touched. Relaxed: either answer is right, one is faster. */
static _Atomic bool is_sparse;

static size_t granule_of(const struct np_run *run, const void *address)
{
    return ((uintptr_t)address - run->start) >> NP_GRANULE_SHIFT;
}

static void purge_absent(struct absent *absent)
{
    uint64_t since_ns;
    size_t calls = 0;

    if (absent->range_count > 0)
        np_arena_forbid_huge_pages();
    since_ns = np_os_fine_ns();
    for (size_t at = 0; at < absent->range_count; at++) { /* behind what was refused it goes on */
        size_t end = at + np_os_purge_ranges(absent->ranges + at, absent->range_count - at, &calls);

        if (end < absent->range_count)
            absent->present_pages = 0; /* refused: who knows how many of them went */
        for (; at < end; at++) {
            size_t from = granule_of(absent->run, absent->ranges[at].address);

            np_run_clear_resident(absent->run, from,
                                  from + (absent->ranges[at].bytes >> NP_GRANULE_SHIFT));
        }
    }
    if (absent->present_pages != 0)
        np_returned_note(NP_RETURN_PURGE, absent->present_pages * np_os_page_bytes(), calls,
                         np_os_fine_ns() - since_ns);
    absent->present_pages = 0;
    absent->range_count = 0;
}

static void add_absent(struct absent *absent, uintptr_t start, uintptr_t end)
{
    struct np_range *last = &absent->ranges[np_max(absent->range_count, 1) - 1];

    if (absent->range_count > 0 && (uintptr_t)last->address + last->bytes == start) {
        last->bytes += end - start;
        return;
    }
    if (absent->range_count == RANGES_MAX)
        purge_absent(absent);
    absent->ranges[absent->range_count++] = (struct np_range){(void *)start, end - start};
}

static size_t count_present(const unsigned char *pages, size_t count)
{
    size_t present = 0;

    for (size_t at = 0; at < count; at++)
        present += pages[at] & 1;
    return present;
}

/* Adds what is absent, or nearly so, of GROUP_PAGES system pages or fewer. */
static void judge_group(struct absent *absent, const unsigned char *pages, size_t count,
                        uintptr_t start)
{
    size_t page_bytes = np_os_page_bytes();
    size_t present = count_present(pages, count);

    if (present * SPARSE_SHARE <= count) {
        add_absent(absent, start, start + count * page_bytes);
        absent->present_pages += present;
        return;
    }
    for (size_t at = 0; at < count; at++)
        if ((pages[at] & 1) == 0)
            add_absent(absent, start + at * page_bytes, start + (at + 1) * page_bytes);
}

/* The same of PIECE_PAGES or fewer. */
static void look_at(struct absent *absent, uintptr_t start, uintptr_t end)
{
    unsigned char pages[PIECE_PAGES]; /* a byte each */
    size_t page_bytes = np_os_page_bytes();
    size_t count = (end - start) / page_bytes;

    if (!np_os_residency((void *)start, end - start, pages))
        return;
    for (size_t at = 0; at < count; at += GROUP_PAGES)
        judge_group(absent, pages + at, np_min(count - at, GROUP_PAGES), start + at * page_bytes);
}

void np_run_give_sparse(struct np_run *run)
{
    struct absent absent;
    size_t page_bytes = np_os_page_bytes();
    uintptr_t at = np_align_up(run->start, page_bytes);
    uintptr_t end = np_align_down(np_run_end(run), page_bytes);
    size_t resident;

    absent.run = run;
    absent.range_count = absent.present_pages = 0;
    np_run_set_resident(run, 0, run->granule_count);
    for (uintptr_t next; at < end; at = next) {
        next = at + np_min(end - at, PIECE_PAGES * page_bytes);
        look_at(&absent, at, next);
    }
    purge_absent(&absent);
    run->resident_from = 0;
    run->resident_to = run->granule_count;
    resident = np_run_count_resident(run, 0, run->granule_count);
    atomic_store_explicit(&is_sparse, resident * SPARSE_SHARE <= run->granule_count,
                          memory_order_relaxed);
    np_returned_note_freed(resident << NP_GRANULE_SHIFT);
    np_run_give(run, 0);
}

void np_run_purge_from(struct np_run *run, size_t granule)
{
    size_t page_bytes = np_os_page_bytes();
    uintptr_t start = np_align_up(run->start + (granule << NP_GRANULE_SHIFT), page_bytes);
    uintptr_t end = np_align_down(np_run_end(run), page_bytes);
    struct absent absent;

    absent.present_pages = np_run_count_resident(run, granule, run->granule_count) /
                           (page_bytes >> NP_GRANULE_SHIFT);
    if (absent.present_pages == 0 || start >= end)
        return;
    np_kept_note_freed(run, run->resident_count); /* what goes has to be in the flow */
    absent.run = run;
    absent.range_count = 0;
    add_absent(&absent, start, end);
    purge_absent(&absent);
    run->resident_count = (uint32_t)np_run_count_resident(run, 0, run->granule_count);
}

void np_run_make_cold(struct np_run *run)
{
    if (run->resident_count >= GROUP_PAGES &&
        atomic_load_explicit(&is_sparse, memory_order_relaxed))
        np_run_purge_from(run, 0);
}

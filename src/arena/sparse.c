/* Giving back runs that may never have been touched in most places, as tables from calloc are. Were all of such a run taken
 * to be resident, the next calloc would write zeros over all of it, and so make it so.
 *
 * Which pages have memory the kernel says, roughly: what it has swapped out counts as absent. So what is absent is purged
 * before it is taken for zero. Where nothing is there, that costs a look at the page tables. */
#include "arena.h"
#include "bits.h"
#include "os.h"
#include "returned.h"
#include "run.h"

/* Asked about in one call: 1 MiB where a system page is a granule. */
#define PIECE_PAGES 256

#define RANGES_MAX 64

struct absent {
    struct np_run *run;
    size_t range_count;
    struct np_range ranges[RANGES_MAX];
};

static size_t granule_of(const struct np_run *run, const void *address)
{
    return ((uintptr_t)address - run->start) >> NP_GRANULE_SHIFT;
}

static void purge_absent(struct absent *absent)
{
    size_t calls = 0;

    for (size_t at = 0; at < absent->range_count; at++) { /* behind what was refused it goes on */
        size_t end = at + np_os_purge_ranges(absent->ranges + at, absent->range_count - at, &calls);

        for (; at < end; at++) {
            size_t from = granule_of(absent->run, absent->ranges[at].address);

            np_run_clear_resident(absent->run, from,
                                  from + (absent->ranges[at].bytes >> NP_GRANULE_SHIFT));
        }
    }
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

/* Adds what is absent of PIECE_PAGES system pages or fewer. */
static void look_at(struct absent *absent, uintptr_t start, uintptr_t end)
{
    unsigned char pages[PIECE_PAGES]; /* a byte each */
    size_t page_bytes = np_os_page_bytes();
    size_t count = (end - start) / page_bytes;

    if (!np_os_residency((void *)start, end - start, pages))
        return;
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && ((pages[to] ^ pages[from]) & 1) == 0;)
            to++;
        if ((pages[from] & 1) == 0)
            add_absent(absent, start + from * page_bytes, start + to * page_bytes);
    }
}

void np_run_give_sparse(struct np_run *run)
{
    struct absent absent;
    size_t page_bytes = np_os_page_bytes();
    uintptr_t at = np_align_up(run->start, page_bytes);
    uintptr_t end = np_align_down(np_run_end(run), page_bytes);

    absent.run = run;
    absent.range_count = 0;
    np_run_set_resident(run, 0, run->granule_count);
    for (uintptr_t next; at < end; at = next) {
        next = at + np_min(end - at, PIECE_PAGES * page_bytes);
        look_at(&absent, at, next);
    }
    purge_absent(&absent);
    run->resident_from = 0;
    run->resident_to = run->granule_count;
    np_returned_note_freed(np_run_count_resident(run, 0, run->granule_count) << NP_GRANULE_SHIFT);
    np_run_give(run, 0);
}

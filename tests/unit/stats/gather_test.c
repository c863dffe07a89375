/* What the walk adds up: A1 in every arena, and every figure against what a shadow says, page by
 * page. */
#include "gather.h"

#include <pthread.h>
#include <string.h>

#include "bits.h"
#include "core.h"
#include "heap.h"
#include "isolated.h"
#include "large.h"
#include "os_fake.h"
#include "part_classes.h"
#include "return.h"
#include "returned.h"
#include "slab.h"
#include "strict.h"
#include "thread.h"
#include "tune.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

enum { BLOCK_MAX = 3000 };

static void *blocks[BLOCK_MAX];
static size_t block_count;

static struct np_stats_sums sums(void)
{
    struct np_stats_sums answer;

    np_stats_sum(&answer);
    return answer;
}

static size_t free_bytes(void)
{
    struct np_stats_sums said = sums();

    return np_stats_free_bytes(&said);
}

static void expect_a1(const struct np_stats_sums *said)
{
    assert_int_equal(said->system_bytes,
                     said->live_bytes + said->hole_bytes + said->top_bytes + said->run_bytes +
                         said->closed_bytes + said->open_bytes + said->refused_bytes +
                         said->cold_bytes);
}

/* A1, and what else is true of any arena at rest. */
static void expect_arenas_add_up(void)
{
    struct np_stats_sums total = {0};
    struct np_stats_sums said = sums();
    struct np_arena *arena;

    for (unsigned index = 0; (arena = np_stats_arena(index)) != NULL; index++) {
        struct np_gathered gathered;
        const struct np_stats_sums *own = &gathered.sums;
        size_t bin_count = 0;
        size_t bin_bytes = 0;
        size_t last = 0;

        np_stats_gather(arena, &gathered);
        expect_a1(own);
        assert_int_equal(own->system_bytes, atomic_load(&arena->system_bytes));
        assert_true(own->system_max_bytes >= own->system_bytes);
        assert_true(own->held_count <= own->free_slot_count);
        assert_true(own->held_bytes <= np_stats_free_bytes(own));
        assert_true(own->keep_bytes <= own->top_bytes);
        assert_true(own->medium_bytes <= own->live_bytes);
        assert_true(own->medium_requested_bytes <= own->medium_bytes);
        assert_true(own->live_bytes <= own->used_max_bytes);
        assert_true(own->largest_free_bytes + own->live_bytes <= own->system_bytes);
        for (size_t i = 0; i < NP_BIN_COUNT; i++) {
            const struct np_bin *bin = &gathered.bins[i];

            bin_count += bin->count;
            bin_bytes += bin->bytes;
            if (bin->count == 0)
                continue;
            assert_true(bin->least > last && bin->least <= bin->most);
            assert_true(bin->least * bin->count <= bin->bytes);
            assert_true(bin->most * bin->count >= bin->bytes);
            last = bin->most;
        }
        assert_int_equal(bin_count, own->free_slot_count + own->free_run_count);
        assert_true(bin_bytes <= np_stats_free_bytes(own));
        np_stats_add(&total, own);
    }
    assert_memory_equal(&total, &said, sizeof said);
}

/* What a block takes, asked for or not. */
static size_t bytes_taken_by(const void *block)
{
    const struct np_slab *slab = np_slab_find((uintptr_t)block);
    const struct np_run *run = np_run_find((uintptr_t)block);

    if (slab != NULL)
        return slab->slot_bytes;
    return run != NULL ? (size_t)run->granule_count << NP_GRANULE_SHIFT : np_large_bytes(block);
}

/* The same without the room that a growing block has behind it, which need not have memory. */
static size_t bytes_with_memory(const void *block)
{
    const struct np_run *run = np_run_find((uintptr_t)block);

    if (np_slab_find((uintptr_t)block) != NULL || run == NULL)
        return bytes_taken_by(block);
    return np_min(np_align_up(run->lent.requested_bytes, NP_GRANULE_BYTES), bytes_taken_by(block));
}

/* What the program has, by what is known of each block. */
static void expect_live(void)
{
    struct np_stats_sums said = sums();
    size_t live_bytes = 0;

    for (size_t i = 0; i < block_count; i++)
        live_bytes += bytes_taken_by(blocks[i]);
    assert_int_equal(said.live_count, block_count);
    assert_int_equal(said.live_bytes, live_bytes);
}

/* All of it is touched, so that what is live is resident. */
static void add(size_t bytes)
{
    assert_true(block_count < BLOCK_MAX);
    blocks[block_count] = np_core_take(bytes);
    assert_non_null(blocks[block_count]);
    memset(blocks[block_count], 1, np_core_usable_bytes(blocks[block_count]));
    block_count++;
}

static void resize(size_t index, size_t bytes)
{
    blocks[index] = np_core_resize(blocks[index], bytes);
    assert_non_null(blocks[index]);
    memset(blocks[index], 1, np_core_usable_bytes(blocks[index]));
}

static void drop(size_t index)
{
    np_core_give(blocks[index]);
    blocks[index] = blocks[--block_count];
}

static size_t some_size(void)
{
    return 1 + random_below(random_below(4) == 0 ? 100 * KIB : 2000);
}

/* ---- the main arena page by page, as the kernel and the blocks have it ---- */

enum { PAGE_BYTES = 4096, PAGE_MAX = 1 << 15 };

static uint16_t live_on_page[PAGE_MAX];

static void mark_live(uintptr_t start, uintptr_t from, uintptr_t to)
{
    while (from < to) {
        uintptr_t end = np_min(np_align_down(from, PAGE_BYTES) + PAGE_BYTES, to);

        live_on_page[(from - start) / PAGE_BYTES] += (uint16_t)(end - from);
        from = end;
    }
}

/* Exact, because one thread has done it all and stands still, on pages as large as granules. */
static void expect_places(void)
{
    uintptr_t start = np_align_down((uintptr_t)np_stats_arena(0)->stretches->start, PAGE_BYTES);
    size_t page_count = (os_fake_break() - start) / PAGE_BYTES;
    struct np_stats_sums said = sums();
    size_t hole_bytes = 0;
    size_t retained_bytes = 0;

    assert_true(page_count <= PAGE_MAX);
    memset(live_on_page, 0, page_count * sizeof live_on_page[0]);
    for (size_t i = 0; i < block_count; i++)
        if (np_large_bytes(blocks[i]) == 0)
            mark_live(start, (uintptr_t)blocks[i],
                      (uintptr_t)blocks[i] + bytes_with_memory(blocks[i]));
    for (size_t page = 0; page < page_count; page++) {
        bool is_resident =
            os_fake_resident_bytes((char *)start + page * PAGE_BYTES, PAGE_BYTES) != 0;

        if (live_on_page[page] > 0) {
            assert_true(is_resident);
            hole_bytes += (size_t)PAGE_BYTES - live_on_page[page];
        } else if (is_resident) {
            retained_bytes += PAGE_BYTES;
        }
    }
    assert_int_equal(said.hole_bytes, hole_bytes);
    assert_int_equal(np_stats_retained_bytes(&said) + said.refused_bytes, retained_bytes);
}

/* The account of what became free, in the order it did, holds what is retained now; what threads
 * have open has no part in it. */
static void expect_flow(void)
{
    struct np_returned_totals totals = np_returned_totals();
    struct np_stats_sums said = sums();

    assert_int_equal(totals.joined_bytes - totals.left_bytes, np_return_retained_bytes());
    assert_true(totals.retained_max_bytes <= np_max(np_return_threshold_bytes(), MIB));
    assert_true(np_return_retained_bytes() >= np_stats_retained_bytes(&said) - said.open_bytes);
}

static void live_at_random(size_t page_bytes)
{
    for (unsigned step = 0; step < 1500; step++) {
        if (block_count == 0 || random_below(10) < (step < 900 ? 7 : 3))
            add(some_size());
        else
            drop(random_below(block_count));
        if (step % 3 == 0 && block_count > 0)
            resize(random_below(block_count), some_size() + 1);
        expect_live();
        expect_arenas_add_up();
        if (page_bytes == PAGE_BYTES)
            expect_flow();
        if (page_bytes == PAGE_BYTES && np_stats_arena(1) == NULL && step % 20 == 0)
            expect_places();
    }
    while (block_count > 0)
        drop(block_count - 1);
    expect_live();
    expect_arenas_add_up();
    (void)np_core_trim(0);
    expect_arenas_add_up();
    assert_int_equal(free_bytes(), 0);
}

static void figures_follow_a_random_life(void **state)
{
    (void)state;
    live_at_random(4096);
}

static void figures_follow_a_random_life_with_64k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(65536);
    live_at_random(65536);
}

static void figures_follow_a_random_life_without_a_break(void **state)
{
    (void)state;
    os_fake_limit_break(0);
    live_at_random(4096);
    assert_non_null(np_stats_arena(1));
    assert_null(np_stats_arena(2));
}

static void figures_follow_held_blocks(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_MXFAST, 120));
    np_core_knobs_changed();
    for (unsigned i = 0; i < 2000; i++)
        add(100);
    add(121);
    assert_int_equal(sums().held_count, sums().free_slot_count - (4096 / 128 - 1));
    assert_int_equal(sums().live_bytes, 2000 * 112 + 128);
    while (block_count > 0)
        drop(block_count - 1);
    expect_arenas_add_up();
    assert_true(sums().held_count >= 2000);
    assert_int_equal(sums().held_bytes, sums().held_count * 112);
    expect_live();
    (void)np_core_trim(0);
    expect_arenas_add_up();
    assert_int_equal(sums().held_count, 0);
}

/* P3: a statistic never counts returned memory as free and resident. The kernel says what there
 * is. */
static void returned_memory_is_cold(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2500; i++)
        add(i % 2 == 0 ? 900 : 9000);
    while (block_count > 5)
        drop(5);
    expect_arenas_add_up();
    expect_live();
    expect_places();
    assert_true(free_bytes() > 100 * KIB);
    (void)np_core_trim(0);
    expect_arenas_add_up();
    expect_live();
    expect_places();
    assert_true(free_bytes() < 100 * KIB);
    assert_true(sums().cold_bytes > 0);
}

/* Every place by itself, each filled in a way that is known. */
static void places_are_told_apart(void **state)
{
    struct np_stats_sums said;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1));
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 1 << 30));
    for (unsigned i = 0; i < 12; i++)
        add(1000); /* four a page */
    for (unsigned i = 0; i < 8; i++)
        add(99 * KIB);
    drop(19); /* the last: the top */
    drop(14); /* between others */
    said = sums();
    expect_places();
    assert_int_equal(said.top_bytes, 100 * KIB);
    assert_int_equal(said.keep_bytes, 100 * KIB);
    assert_int_equal(said.run_bytes, 100 * KIB);
    assert_int_equal(said.closed_bytes, 0);
    assert_int_equal(said.open_bytes, 0);
    assert_int_equal(said.refused_bytes, 0);
}

/* A page in a slab that this thread has open, and the same when nobody has. */
static void *fill_pages_and_free_one(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 12; i++)
        add(1000); /* four a page */
    for (size_t i = 7; i >= 4; i--)
        drop(i); /* the second page; and the last blocks take their places */
    return NULL;
}

static void a_free_page_is_seen_in_an_open_slab(void **state)
{
    struct np_stats_sums said;

    (void)state;
    fill_pages_and_free_one(NULL);
    said = sums();
    expect_places();
    assert_int_equal(said.open_bytes, 4 * KIB);
    assert_int_equal(said.hole_bytes, 2 * 4 * KIB - said.live_bytes);
    assert_int_equal(said.closed_bytes, 0);
}

static void a_free_page_is_seen_in_a_closed_slab(void **state)
{
    struct np_stats_sums said;

    (void)state;
    fill_pages_and_free_one(NULL);
    np_heap_close_all(np_thread_heap());
    said = sums();
    expect_places();
    assert_int_equal(said.closed_bytes, 4 * KIB);
    assert_int_equal(said.hole_bytes, 2 * 4 * KIB - said.live_bytes);
    assert_int_equal(said.open_bytes, 0);
}

/* Another heap has it open: what was freed by others the bits tell; what its own thread freed is
 * its secret, and then counts as holes. */
static void a_free_page_is_seen_in_the_slab_of_a_parked_heap(void **state)
{
    uintptr_t start = np_align_up(os_fake_break(), PAGE_BYTES);
    struct np_stats_sums said;
    pthread_t other;

    (void)state;
    pthread_create(&other, NULL, fill_pages_and_free_one, NULL);
    pthread_join(other, NULL);
    said = sums();
    assert_int_equal(said.live_count, 8);
    assert_int_equal(said.open_bytes + said.hole_bytes,
                     os_fake_resident_bytes((void *)start, os_fake_break() - start) -
                         said.live_bytes);
    assert_int_equal(said.closed_bytes, 0);
    while (block_count > 4)
        drop(4); /* the third page, by this thread */
    assert_true(sums().open_bytes >= said.open_bytes + 4 * KIB);
    while (block_count > 0)
        drop(0);
    said = sums();
    expect_places();
    assert_int_equal(said.live_bytes, 0);
    assert_int_equal(said.hole_bytes, 0);
}

/* A slot on two pages and a half has memory if all three of its pages do. */
static void slots_without_memory_are_told_apart(void **state)
{
    (void)state;
    part_classes(np_thread_heap());
    add(10240);
    assert_int_equal(sums().free_slot_count, 0);
    assert_int_equal(sums().cold_slot_count, 11); /* of the twelve in 128 KiB */
    add(10240);
    drop(0);
    assert_int_equal(sums().free_slot_count, 1);
    assert_int_equal(sums().cold_slot_count, 10);
    add(10240);
    add(10240);
    add(10240);
    assert_int_equal(sums().free_slot_count, 0);
    assert_int_equal(sums().cold_slot_count, 8);
    drop(1);
    assert_int_equal(sums().free_slot_count, 1);
    assert_int_equal(sums().cold_slot_count, 8);
}

/* What the system refuses to take could not be returned, and is told apart. */
static void locked_memory_is_refused(void **state)
{
    struct np_stats_sums said;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 1 << 30));
    add(1000 * KIB);
    add(100);
    os_fake_lock_memory(blocks[0], 1000 * KIB);
    drop(0);
    (void)np_core_trim(0);
    said = sums();
    expect_places();
    expect_arenas_add_up();
    assert_int_equal(said.refused_bytes, 1000 * KIB);
    assert_int_equal(np_stats_retained_bytes(&said), 0);
}

static void locked_memory_of_slabs_is_refused(void **state)
{
    struct np_stats_sums said;
    uintptr_t start;

    (void)state;
    for (unsigned i = 0; i < 200; i++)
        add(1000);
    start = np_slab_find((uintptr_t)blocks[0])->start;
    os_fake_lock_memory((void *)start, NP_UNIT_BYTES);
    while (block_count > 1)
        drop(block_count - 1);
    (void)np_core_trim(0);
    said = sums();
    expect_places();
    expect_arenas_add_up();
    assert_true(said.refused_bytes >= NP_UNIT_BYTES / 2);
    assert_true(said.refused_bytes < NP_UNIT_BYTES);
    assert_int_equal(np_stats_retained_bytes(&said), 0);
}

static void what_was_asked_for_in_runs_is_known(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 1 << 30));
    add(20000);
    add(30000);
    add(100);
    assert_int_equal(sums().medium_count, 2);
    assert_int_equal(sums().medium_bytes, 5 * 4096 + 8 * 4096);
    assert_int_equal(sums().medium_requested_bytes, 50000);
    resize(1, 17000);
    assert_int_equal(sums().medium_requested_bytes, 37000);
    drop(0);
    assert_int_equal(sums().medium_count, 1);
}

/* Slabs in use count whole, and nothing else is added. */
static void the_most_used_is_kept(void **state)
{
    size_t most_live_bytes = 0;
    size_t most_bytes;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 1 << 30));
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 300; i++)
            add(i % 3 == 0 ? 3000 : 50 * KIB);
        most_live_bytes = np_max(most_live_bytes, sums().live_bytes);
        while (block_count > 0)
            drop(block_count - 1);
    }
    most_bytes = sums().used_max_bytes;
    assert_true(most_bytes >= most_live_bytes);
    assert_true(most_bytes <= most_live_bytes + 2 * 64 * KIB);
    (void)np_core_trim(0);
    assert_int_equal(sums().used_max_bytes, most_bytes);
}

/* All that is mapped and not for blocks is bookkeeping; the kernel says how much of it is there. */
static void bookkeeping_is_counted(void **state)
{
    size_t gap_bytes = np_align_up(os_fake_break(), 65536) - os_fake_break(); /* before the arena */
    struct np_stats_process process;

    (void)state;
    assert_int_equal(np_stats_process().metadata_mapped_bytes, 0);
    assert_int_equal(np_stats_process().metadata_bytes, 0);
    for (unsigned i = 0; i < 2000; i++)
        add(some_size());
    add(5 * MIB);
    process = np_stats_process();
    assert_int_equal(process.metadata_mapped_bytes + sums().system_bytes + np_large_totals().bytes,
                     os_fake_committed_bytes() - gap_bytes);
    assert_true(process.metadata_bytes > 4 * 4 * KIB);
    assert_true(process.metadata_bytes < process.metadata_mapped_bytes / 4);
}

static void *use_a_heap(void *is_done)
{
    np_core_give(np_core_take(100));
    while (!atomic_load((_Atomic bool *)is_done))
        ;
    return NULL;
}

static void threads_are_counted(void **state)
{
    _Atomic bool is_done = false;
    pthread_t threads[3];

    (void)state;
    assert_int_equal(np_stats_process().heap_count, 0);
    np_core_give(np_core_take(100));
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_create(&threads[i], NULL, use_a_heap, &is_done);
    while (np_stats_process().heap_count < 4)
        ;
    assert_int_equal(np_stats_process().parked_heap_count, 0);
    atomic_store(&is_done, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(np_stats_process().heap_count, 1);
    assert_int_equal(np_stats_process().parked_heap_count, 3);
    /* Threads that were in each other's way may have made arenas. */
    assert_in_range(np_stats_process().arena_count, 1, COUNT_OF(threads) + 1);
}

/* In a run that was used before, what no slot reaches may be resident. */
static void the_old_memory_of_a_new_slab_is_counted(void **state)
{
    uintptr_t start = np_align_up(os_fake_break(), 4096);
    struct np_stats_sums said;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1));
    add(100 * KIB);
    drop(0);
    add(50);
    said = sums();
    assert_int_equal(said.live_bytes, 64);
    assert_true(np_stats_free_bytes(&said) + said.live_bytes >=
                os_fake_resident_bytes((void *)start, os_fake_break() - start));
    expect_arenas_add_up();
}

static void the_top_of_the_main_arena_is_told(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1));
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 1 << 30));
    add(20 * KIB);
    add(500 * KIB);
    drop(1);
    assert_int_equal(sums().top_bytes, 500 * KIB);
    assert_int_equal(sums().keep_bytes, 500 * KIB);
    assert_int_equal(sums().free_run_count, 1);
    expect_arenas_add_up();
}

/* A slab that others have pushed into, and that its owner has not looked at since. */
static void *free_all_of_them(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < block_count; i++)
        np_core_give(blocks[i]);
    return NULL;
}

static void pushed_slots_are_free(void **state)
{
    pthread_t other;

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        add(1000);
    pthread_create(&other, NULL, free_all_of_them, NULL);
    pthread_join(other, NULL);
    block_count = 0;
    expect_live();
    expect_arenas_add_up();
}

/* ---- what a thread has set aside ---- */

static pthread_barrier_t barrier;

/* More classes than a thread may have slabs open for. */
static void *use_all_classes_and_sleep(void *unused)
{
    (void)unused;
    part_classes(np_thread_heap());
    for (unsigned step = 0; step < 20000; step++) {
        if (block_count < 400 || (block_count < BLOCK_MAX && random_below(2) == 0))
            add(1 + random_below(16384));
        else
            drop(random_below(block_count));
    }
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void what_a_sleeping_thread_has_open_is_told(void **state)
{
    pthread_t other;

    (void)state;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&other, NULL, use_all_classes_and_sleep, NULL);
    pthread_barrier_wait(&barrier);
    expect_live();
    expect_arenas_add_up();
    pthread_barrier_wait(&barrier);
    pthread_join(other, NULL);
    expect_live();
}

static void what_this_thread_has_open_is_told(void **state)
{
    (void)state;
    part_classes(np_thread_heap());
    for (unsigned step = 0; step < 20000; step++) {
        if (block_count < 400 || (block_count < BLOCK_MAX && random_below(2) == 0))
            add(1 + random_below(16384));
        else
            drop(random_below(block_count));
        if (step % 1000 == 0)
            expect_live();
    }
    expect_arenas_add_up();
    expect_places();
}

/* ---- during a fork ---- */

static struct np_stats_sums sums_during_fork;

static void *ask(void *unused)
{
    (void)unused;
    sums_during_fork = sums();
    return NULL;
}

static void a_fork_is_not_waited_for(void **state)
{
    pthread_t other;
    struct np_stats_sums before;

    (void)state;
    for (unsigned i = 0; i < 300; i++)
        add(20000);
    for (unsigned i = 0; i < 100; i++)
        drop(0);
    before = sums();
    np_arena_fork(NP_FORK_PREPARE);
    pthread_create(&other, NULL, ask, NULL);
    pthread_join(other, NULL); /* would hang */
    np_arena_fork(NP_FORK_PARENT);
    assert_int_equal(sums_during_fork.system_bytes, before.system_bytes);
    expect_a1(&sums_during_fork);
    assert_int_equal(np_stats_free_bytes(&sums_during_fork), np_stats_free_bytes(&before));
}

/* A thread that asks for its first block while another one reads the environment does not know
 * the level of hardening: what it frees until then is free at every level. */
static void nothing_waits_before_the_level_is_known(void **state)
{
    (void)state;
    np_thread_read_environment();
    atomic_store(&np_strict_state, NP_STRICT_UNDECIDED);
    for (size_t bytes = 16; bytes <= 16000; bytes *= 10) {
        add(bytes);
        drop(block_count - 1);
    }
    atomic_store(&np_strict_state, NP_STRICT_OFF);
    expect_live();
}

/* ---- while threads work ---- */

static _Atomic bool must_stop;

static void *churn(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    void *kept[100] = {NULL};

    while (!atomic_load(&must_stop)) {
        size_t index;

        seed = seed * 1103515245 + 12345;
        index = (seed >> 16) % COUNT_OF(kept);
        np_core_give(kept[index]);
        kept[index] = np_core_take(1 + (seed >> 8) % 30000);
    }
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        np_core_give(kept[i]);
    return NULL;
}

static void figures_stay_sane_while_threads_work(void **state)
{
    pthread_t threads[3];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)(i + 1));
    for (unsigned i = 0; i < 500; i++) {
        struct np_stats_sums said = sums();

        expect_a1(&said);
        assert_true(said.live_bytes <= said.system_bytes);
        assert_true(said.live_count < 100000);
    }
    atomic_store(&must_stop, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    expect_live();
    expect_arenas_add_up();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_follow_a_random_life),
        cmocka_unit_test(figures_follow_a_random_life_with_64k_pages),
        cmocka_unit_test(figures_follow_a_random_life_without_a_break),
        cmocka_unit_test(figures_follow_held_blocks),
        cmocka_unit_test(returned_memory_is_cold),
        cmocka_unit_test(places_are_told_apart),
        cmocka_unit_test(a_free_page_is_seen_in_an_open_slab),
        cmocka_unit_test(a_free_page_is_seen_in_a_closed_slab),
        cmocka_unit_test(a_free_page_is_seen_in_the_slab_of_a_parked_heap),
        cmocka_unit_test(slots_without_memory_are_told_apart),
        cmocka_unit_test(locked_memory_is_refused),
        cmocka_unit_test(locked_memory_of_slabs_is_refused),
        cmocka_unit_test(what_was_asked_for_in_runs_is_known),
        cmocka_unit_test(the_most_used_is_kept),
        cmocka_unit_test(bookkeeping_is_counted),
        cmocka_unit_test(threads_are_counted),
        cmocka_unit_test(the_old_memory_of_a_new_slab_is_counted),
        cmocka_unit_test(the_top_of_the_main_arena_is_told),
        cmocka_unit_test(pushed_slots_are_free),
        cmocka_unit_test(what_a_sleeping_thread_has_open_is_told),
        cmocka_unit_test(what_this_thread_has_open_is_told),
        cmocka_unit_test(a_fork_is_not_waited_for),
        cmocka_unit_test(nothing_waits_before_the_level_is_known),
        cmocka_unit_test(figures_stay_sane_while_threads_work),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* neap_stats and neap_stats_arena: what a program that counts for itself can check of them. Each
 * test has a process of its own, because the figures since the start are the process's. */
#include "../unit/isolated.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "blocks.h"
#include "neap/neap.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define MS UINT64_C(1000000)

enum { BLOCK_MAX = 50000 };

static char *blocks[BLOCK_MAX];

static void expect_sum(const struct neap_stats *stats)
{
    assert_int_equal(stats->arena_bytes + stats->mapped_bytes,
                     stats->live_bytes + stats->hole_bytes + stats->retained_bytes +
                         stats->refused_bytes + stats->cold_bytes);
    assert_int_equal(stats->retained_bytes,
                     stats->retained_top_bytes + stats->retained_run_bytes +
                         stats->retained_remote_bytes + stats->retained_current_bytes);
    assert_true(stats->arena_bytes <= stats->arena_max_bytes);
    assert_true(stats->medium_bytes + stats->mapped_bytes <= stats->live_bytes);
    assert_true(stats->requested_bytes <= stats->medium_bytes + stats->mapped_bytes);
    assert_true(stats->used_max_bytes >= stats->live_bytes - stats->mapped_bytes);
    assert_int_equal(stats->size_bytes, sizeof *stats);
}

static struct neap_stats ask(void)
{
    struct neap_stats stats;

    memset(&stats, 0xAA, sizeof stats);
    assert_int_equal(neap_stats(&stats, sizeof stats), 0);
    expect_sum(&stats);
    assert_int_equal(stats.recent_freed_bytes, stats.recent_returned_bytes +
                                                   stats.recent_reused_bytes +
                                                   stats.recent_waiting_bytes);
    assert_true(stats.metadata_bytes <= stats.metadata_mapped_bytes);
    return stats;
}

/* By the clock that the figures go by; nothing of the system's is exact to the millisecond. */
static uint64_t coarse_ns(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC_COARSE, &now), 0);
    return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

static void pause_until(uint64_t end_ns)
{
    struct timespec pause = {0, 10 * 1000000};

    while (coarse_ns() < end_ns)
        (void)nanosleep(&pause, NULL);
}

/* ---- versions ---- */

static void an_earlier_caller_gets_the_first_members(void **state)
{
    struct neap_stats whole;
    union {
        struct neap_stats stats;
        unsigned char bytes[sizeof(struct neap_stats)];
    } part;
    const size_t size_bytes = offsetof(struct neap_stats, live_count);

    (void)state;
    allocate_blocks(blocks, 100, 1000);
    whole = ask();
    memset(&part, 0xAA, sizeof part);
    assert_int_equal(neap_stats(&part.stats, size_bytes), 0);
    assert_memory_equal(&part, &whole, size_bytes);
    for (size_t i = size_bytes; i < sizeof part; i++)
        assert_int_equal(part.bytes[i], 0xAA);
}

static void a_later_caller_gets_zeroes(void **state)
{
    struct {
        struct neap_stats known;
        uint64_t unknown[4];
    } later;

    (void)state;
    memset(&later, 0xAA, sizeof later);
    assert_int_equal(neap_stats(&later.known, sizeof later), 0);
    assert_int_equal(later.known.size_bytes, sizeof later.known);
    for (size_t i = 0; i < COUNT_OF(later.unknown); i++)
        assert_int_equal(later.unknown[i], 0);
    memset(&later, 0xAA, sizeof later);
    assert_int_equal(neap_stats_arena(0, &later.known, sizeof later), 0);
    assert_int_equal(later.unknown[0], 0);
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct neap_stats stats;

    (void)state;
    stats.size_bytes = 77;
    errno = ERANGE;
    assert_int_equal(neap_stats(&stats, 0), EINVAL);
    assert_int_equal(neap_stats(&stats, 7), EINVAL);
    assert_int_equal(neap_stats_arena(0, &stats, 7), EINVAL);
    assert_int_equal(neap_stats_arena(100000, &stats, sizeof stats), ENOENT);
    assert_int_equal(stats.size_bytes, 77);
    assert_int_equal(neap_stats(&stats, sizeof stats), 0);
    assert_int_equal(errno, ERANGE);
}

/* ---- what is live ---- */

static void blocks_are_counted_by_kind(void **state)
{
    struct neap_stats before = ask();
    struct neap_stats after;

    (void)state;
    for (size_t i = 0; i < 1000; i++)
        blocks[i] = neap_malloc(500);
    for (size_t i = 1000; i < 1020; i++)
        blocks[i] = neap_malloc(20000);
    for (size_t i = 1020; i < 1023; i++)
        blocks[i] = neap_malloc(5 * MIB + 100);
    after = ask();
    assert_int_equal(after.live_count - before.live_count, 1023);
    assert_int_equal(after.medium_count - before.medium_count, 20);
    assert_int_equal(after.medium_bytes - before.medium_bytes, 20 * 20480);
    assert_int_equal(after.mapped_count - before.mapped_count, 3);
    assert_true(after.mapped_bytes - before.mapped_bytes >= 3 * (5 * MIB + 100));
    assert_int_equal(after.requested_bytes - before.requested_bytes,
                     20 * 20000 + 3 * (5 * MIB + 100));
    assert_true(after.live_bytes - before.live_bytes >=
                1000 * 500 + 20 * 20480 + after.mapped_bytes);
    assert_true(after.live_bytes - before.live_bytes <=
                1000 * 570 + 20 * 20480 + after.mapped_bytes);
    assert_true(after.mapped_max_bytes >= after.mapped_bytes);
    assert_true(after.mapped_max_count >= 3);
    free_blocks(blocks, 1023);
    after = ask();
    assert_int_equal(after.live_count, before.live_count);
    assert_int_equal(after.live_bytes, before.live_bytes);
    assert_int_equal(after.requested_bytes, before.requested_bytes);
    assert_int_equal(after.mapped_max_count, before.mapped_max_count + 3);
}

static void bookkeeping_has_memory(void **state)
{
    struct neap_stats stats;

    (void)state;
    allocate_blocks(blocks, BLOCK_MAX, 1000);
    stats = ask();
    assert_true(stats.metadata_bytes >= 16 * KIB);
    assert_true(stats.metadata_bytes <= stats.live_bytes / 50);
}

/* ---- arenas and threads ---- */

static pthread_barrier_t barrier;

static void *allocate_and_wait(void *kept)
{
    for (size_t i = 0; i < 200; i++)
        ((void **)kept)[i] = neap_malloc(100 * i);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void arenas_add_up_to_the_process(void **state)
{
    static void *kept[3][200];
    struct neap_stats sum = {0};
    struct neap_stats stats;
    struct neap_stats arena;
    pthread_t threads[3];
    unsigned index = 0;

    (void)state;
    pthread_barrier_init(&barrier, NULL, 4);
    for (size_t i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, allocate_and_wait, kept[i]);
    allocate_blocks(blocks, 3000, 300);
    pthread_barrier_wait(&barrier);
    stats = ask();
    for (; neap_stats_arena(index, &arena, sizeof arena) == 0; index++) {
        expect_sum(&arena);
        sum.arena_bytes += arena.arena_bytes;
        sum.live_bytes += arena.live_bytes;
        sum.live_count += arena.live_count;
        sum.hole_bytes += arena.hole_bytes;
        sum.retained_bytes += arena.retained_bytes;
        sum.cold_bytes += arena.cold_bytes;
        sum.used_max_bytes += arena.used_max_bytes;
        assert_int_equal(arena.arena_count, 1);
        assert_int_equal(arena.mapped_bytes, 0);
        assert_int_equal(arena.metadata_bytes, 0);
        assert_int_equal(arena.heap_count, 0);
    }
    assert_int_equal(stats.arena_count, index);
    assert_int_equal(stats.arena_bytes, sum.arena_bytes);
    assert_int_equal(stats.live_bytes, sum.live_bytes + stats.mapped_bytes);
    assert_int_equal(stats.live_count, sum.live_count + stats.mapped_count);
    assert_int_equal(stats.hole_bytes, sum.hole_bytes);
    assert_int_equal(stats.retained_bytes, sum.retained_bytes);
    assert_int_equal(stats.cold_bytes, sum.cold_bytes);
    assert_int_equal(stats.used_max_bytes, sum.used_max_bytes);
    assert_int_equal(stats.heap_count, 4);
    assert_int_equal(stats.parked_heap_count, 0);
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    stats = ask();
    assert_int_equal(stats.heap_count, 1);
    assert_int_equal(stats.parked_heap_count, 3);
}

/* ---- what went back ---- */

static void ways_of_return_are_counted(void **state)
{
    struct neap_stats before = ask();
    struct neap_stats after;

    (void)state;
    neap_free(neap_malloc(10 * MIB));
    after = ask();
    assert_int_equal(after.returned_munmap_calls, before.returned_munmap_calls + 1);
    assert_true(after.returned_munmap_bytes >= before.returned_munmap_bytes + 10 * MIB);
    assert_true(after.returning_ns > before.returning_ns);
    assert_int_equal(neap_mallopt(NEAP_M_MMAP_MAX, 0), 1);
    before = after;
    allocate_blocks(blocks, 400, 100 * KIB);
    for (size_t i = 400; i-- > 0;)
        neap_free(blocks[i]); /* the last first: the top */
    after = ask();
    assert_true(after.returned_sbrk_calls > before.returned_sbrk_calls);
    assert_true(after.returned_sbrk_bytes >= before.returned_sbrk_bytes + 35 * MIB);
    assert_true(after.returned_sbrk_bytes <= before.returned_sbrk_bytes + 41 * MIB);
    assert_true(after.returning_ns > before.returning_ns);
    before = after;
    /* So few that taking them back is within the credit, however slow the machine. */
    allocate_blocks(blocks, 8000, 1000);
    for (size_t i = 0; i < 7990; i++)
        neap_free(blocks[i]); /* below others */
    after = ask();
    assert_true(after.returned_madvise_calls > before.returned_madvise_calls);
    assert_true(after.returned_madvise_bytes >= before.returned_madvise_bytes + 5 * MIB);
    assert_true(after.returned_madvise_bytes <= before.returned_madvise_bytes + 9 * MIB);
    assert_true(after.returning_ns > before.returning_ns);
    assert_true(after.retained_bytes <= after.trim_threshold_bytes + MIB);
    assert_true(after.retained_max_bytes <= 2 * MIB);
    assert_true(after.cold_bytes > 5 * MIB);
}

static void what_is_taken_back_is_counted(void **state)
{
    struct neap_stats stats;

    (void)state;
    allocate_blocks(blocks, 20000, 1000);
    assert_int_equal(ask().refaulted_bytes, 0);
    free_blocks(blocks, 20000);
    assert_int_equal(ask().refaulted_bytes, 0);
    allocate_blocks(blocks, 20000, 1000);
    stats = ask();
    assert_true(stats.refaulted_bytes >= 15 * MIB);
    assert_true(stats.refaulted_bytes <=
                stats.returned_sbrk_bytes + stats.returned_madvise_bytes);
}

/* With the default settings nearly all goes back, as it is freed. */
static void freed_memory_goes_back_at_once(void **state)
{
    struct neap_stats stats;

    (void)state;
    allocate_blocks(blocks, BLOCK_MAX, 1000);
    free_blocks(blocks, BLOCK_MAX);
    stats = ask();
    assert_true(stats.recent_freed_bytes >= 45 * MIB);
    /* The first page of a slab is free before the slab is opened for the frees that follow: that
     * counts as used again, and as freed once more. */
    assert_true(stats.recent_returned_bytes * 100 >= stats.recent_freed_bytes * 92);
    assert_true((stats.recent_returned_bytes + stats.reused_bytes) * 100 >=
                stats.recent_freed_bytes * 98);
    assert_true(stats.reused_bytes <= stats.freed_bytes / 16);
    assert_true(stats.recent_waiting_bytes <= stats.trim_threshold_bytes);
    assert_true(stats.recent_delay_mean_ns < 500 * MS);
    assert_int_equal(stats.freed_bytes - stats.reused_bytes - stats.returned_sbrk_bytes -
                         stats.returned_madvise_bytes,
                     stats.recent_waiting_bytes);
}

/* Without a threshold nothing does, until it is asked for; and the figures say so. */
static void kept_memory_waits(void **state)
{
    struct neap_stats stats;

    (void)state;
    assert_int_equal(neap_mallopt(NEAP_M_TRIM_THRESHOLD, -1), 1);
    allocate_blocks(blocks, 30000, 1000);
    free_blocks(blocks, 30000);
    pause_until(coarse_ns() + 300 * MS);
    stats = ask();
    assert_true(stats.trim_threshold_bytes == UINT64_MAX);
    assert_int_equal(stats.recent_returned_bytes, 0);
    assert_true(stats.recent_waiting_bytes >= 25 * MIB);
    assert_true(stats.recent_waiting_bytes <= stats.retained_bytes);
    assert_true(stats.recent_waiting_ns >= 280 * MS);
    assert_int_equal(neap_malloc_trim(0), 1);
    stats = ask();
    assert_int_equal(stats.recent_waiting_bytes, 0);
    assert_true(stats.recent_returned_bytes >= 25 * MIB);
    assert_true(stats.recent_delay_mean_ns >= 280 * MS);
    assert_true(stats.recent_delay_max_ns >= stats.recent_delay_mean_ns);
    assert_true(stats.retained_max_bytes >= 25 * MIB);
}

static void memory_taken_again_is_reused(void **state)
{
    struct neap_stats stats;

    (void)state;
    assert_int_equal(neap_mallopt(NEAP_M_TRIM_THRESHOLD, -1), 1);
    allocate_blocks(blocks, 30000, 1000);
    free_blocks(blocks, 30000);
    allocate_blocks(blocks, 30000, 1000);
    stats = ask();
    assert_true(stats.reused_bytes >= 25 * MIB);
    assert_true(stats.recent_reused_bytes >= 25 * MIB);
    assert_int_equal(stats.recent_returned_bytes, 0);
    assert_int_equal(stats.refaulted_bytes, 0);
}

/* ---- what is in force ---- */

static void thresholds_are_those_in_force(void **state)
{
    struct neap_stats stats = ask();

    (void)state;
    assert_int_equal(stats.trim_threshold_bytes, MIB);
    assert_int_equal(stats.mmap_threshold_bytes, 128 * KIB);
    neap_free(neap_malloc(7 * MIB));
    assert_int_equal(ask().mmap_threshold_bytes, 7 * MIB + 1);
    assert_int_equal(neap_mallopt(NEAP_M_TRIM_THRESHOLD, 12345678), 1);
    assert_int_equal(neap_mallopt(NEAP_M_MMAP_THRESHOLD, 300000), 1);
    stats = ask();
    assert_int_equal(stats.trim_threshold_bytes, 12345678);
    assert_int_equal(stats.trim_allowance_bytes, 0);
    assert_int_equal(stats.mmap_threshold_bytes, 300000);
}

/* A saw's teeth, as fast as they go: most of the time would go into returning and taking back. Not
 * written to, or a busy machine might make each last so long that it would not be most. */
static void an_allowance_is_told(void **state)
{
    struct neap_stats stats = ask();

    (void)state;
    for (unsigned tooth = 0; tooth < 400 && stats.trim_allowance_bytes == 0; tooth++) {
        for (size_t i = 0; i < 100; i++)
            blocks[i] = neap_malloc(100 * KIB);
        free_blocks(blocks, 100);
        stats = ask();
    }
    assert_true(stats.trim_allowance_bytes > 0);
    assert_true(stats.trim_threshold_bytes >= MIB + stats.trim_allowance_bytes);
}

/* What the program itself has asked to be returned no threshold would have kept: small teeth, that
 * are below it. */
static void trimming_earns_no_allowance(void **state)
{
    (void)state;
    for (unsigned tooth = 0; tooth < 400; tooth++) {
        for (size_t i = 0; i < 9; i++)
            blocks[i] = neap_malloc(100 * KIB);
        free_blocks(blocks, 9);
        if (tooth % 2 == 0)
            assert_int_equal(neap_malloc_trim(0), 1);
        else
            assert_true(neap_trim(0, 0) > 0);
    }
    assert_true(ask().refaulted_bytes >= 300 * MIB);
    assert_int_equal(ask().trim_allowance_bytes, 0);
}

static void the_answers_agree(void **state)
{
    struct neap_stats stats;
    struct neap_mallinfo2 info;

    (void)state;
    allocate_blocks(blocks, BLOCK_MAX / 2, 200);
    for (size_t i = 0; i < BLOCK_MAX / 2; i++)
        if (i % 3 != 0)
            neap_free(blocks[i]);
    allocate_blocks(blocks, 30, MIB);
    stats = ask();
    info = neap_mallinfo2();
    assert_int_equal(info.arena, stats.arena_bytes);
    assert_int_equal(info.uordblks, stats.live_bytes - stats.mapped_bytes);
    assert_int_equal(info.fordblks, stats.hole_bytes + stats.retained_bytes + stats.refused_bytes);
    assert_int_equal(info.hblks, stats.mapped_count);
    assert_int_equal(info.hblkhd, stats.mapped_bytes);
    assert_true(info.keepcost <= stats.retained_top_bytes);
}

static void a_child_can_ask(void **state)
{
    uint64_t live_count;
    pid_t child;

    (void)state;
    allocate_blocks(blocks, 1000, 1000);
    live_count = ask().live_count;
    child = fork();
    if (child == 0)
        _exit(ask().live_count == live_count ? 0 : 1);
    assert_int_equal(wait_for_child(child), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_earlier_caller_gets_the_first_members),
        cmocka_unit_test(a_later_caller_gets_zeroes),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(blocks_are_counted_by_kind),
        cmocka_unit_test(bookkeeping_has_memory),
        cmocka_unit_test(arenas_add_up_to_the_process),
        cmocka_unit_test(ways_of_return_are_counted),
        cmocka_unit_test(what_is_taken_back_is_counted),
        cmocka_unit_test(freed_memory_goes_back_at_once),
        cmocka_unit_test(kept_memory_waits),
        cmocka_unit_test(memory_taken_again_is_reused),
        cmocka_unit_test(thresholds_are_those_in_force),
        cmocka_unit_test(an_allowance_is_told),
        cmocka_unit_test(trimming_earns_no_allowance),
        cmocka_unit_test(the_answers_agree),
        cmocka_unit_test(a_child_can_ask),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

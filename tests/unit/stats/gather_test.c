/* What the walk adds up: A1 in every arena, and every figure against what a shadow says. */
#include "gather.h"

#include <pthread.h>
#include <string.h>

#include "bits.h"
#include "core.h"
#include "heap.h"
#include "isolated.h"
#include "os_fake.h"
#include "slab.h"
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
        assert_int_equal(own->system_bytes, own->live_bytes + own->free_resident_bytes +
                                                own->cold_bytes);
        assert_int_equal(own->system_bytes, atomic_load(&arena->system_bytes));
        assert_true(own->system_max_bytes >= own->system_bytes);
        assert_true(own->held_count <= own->free_slot_count);
        assert_true(own->held_bytes <= own->free_resident_bytes);
        assert_true(own->top_resident_bytes <= own->free_resident_bytes);
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
        assert_true(bin_bytes <= own->free_resident_bytes);
        np_stats_add(&total, own);
    }
    assert_memory_equal(&total, &said, sizeof said);
}

/* What the program has, by what each block says of itself. */
static void expect_live(void)
{
    struct np_stats_sums said = sums();
    size_t live_bytes = 0;

    for (size_t i = 0; i < block_count; i++)
        live_bytes += np_core_usable_bytes(blocks[i]);
    assert_int_equal(said.live_count, block_count);
    assert_int_equal(said.live_bytes, live_bytes);
}

static void add(size_t bytes)
{
    assert_true(block_count < BLOCK_MAX);
    blocks[block_count] = np_core_take(bytes);
    assert_non_null(blocks[block_count]);
    memset(blocks[block_count++], 1, bytes);
}

static void drop(size_t index)
{
    np_core_give(blocks[index]);
    blocks[index] = blocks[--block_count];
}

static size_t some_size(void)
{
    return random_below(random_below(4) == 0 ? 100 * KIB : 2000);
}

static void live_at_random(void)
{
    for (unsigned step = 0; step < 1500; step++) {
        if (block_count == 0 || random_below(10) < (step < 900 ? 7 : 3))
            add(some_size());
        else
            drop(random_below(block_count));
        expect_live();
        expect_arenas_add_up();
    }
    while (block_count > 0)
        drop(block_count - 1);
    expect_live();
    expect_arenas_add_up();
    (void)np_core_trim(0);
    expect_arenas_add_up();
    assert_int_equal(sums().free_resident_bytes, 0);
}

static void figures_follow_a_random_life(void **state)
{
    (void)state;
    live_at_random();
}

static void figures_follow_a_random_life_with_64k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(65536);
    live_at_random();
}

static void figures_follow_a_random_life_without_a_break(void **state)
{
    (void)state;
    os_fake_limit_break(0);
    live_at_random();
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
    uintptr_t start = np_align_up(os_fake_break(), 4096);

    (void)state;
    for (unsigned i = 0; i < 2500; i++)
        add(i % 2 == 0 ? 900 : 9000);
    while (block_count > 5)
        drop(5);
    for (unsigned round = 0; round < 2; round++) {
        size_t resident_bytes;

        (void)sums(); /* frees what waits in line */
        resident_bytes = os_fake_resident_bytes((void *)start, os_fake_break() - start);
        expect_arenas_add_up();
        expect_live();
        /* A slot of 9 KiB counts whole, of which only the first page may have been touched. */
        assert_true(sums().free_resident_bytes + sums().live_bytes <= resident_bytes + 64 * KIB);
        assert_true(sums().free_resident_bytes + sums().live_bytes + 4 * KIB >= resident_bytes);
        (void)np_core_trim(0);
    }
    assert_true(sums().cold_bytes > 0);
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
    assert_true(said.free_resident_bytes + said.live_bytes >=
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
    assert_int_equal(sums().top_resident_bytes, 500 * KIB);
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
    assert_int_equal(sums_during_fork.system_bytes,
                     sums_during_fork.live_bytes + sums_during_fork.free_resident_bytes +
                         sums_during_fork.cold_bytes);
    assert_int_equal(sums_during_fork.free_resident_bytes, before.free_resident_bytes);
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
        kept[index] = np_core_take((seed >> 8) % 30000);
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

        assert_int_equal(said.system_bytes,
                         said.live_bytes + said.free_resident_bytes + said.cold_bytes);
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
        cmocka_unit_test(the_old_memory_of_a_new_slab_is_counted),
        cmocka_unit_test(the_top_of_the_main_arena_is_told),
        cmocka_unit_test(pushed_slots_are_free),
        cmocka_unit_test(a_fork_is_not_waited_for),
        cmocka_unit_test(figures_stay_sane_while_threads_work),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* Giving back all that is free: at once, in parts, and for nothing when nothing is free. */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "arena.h"
#include "core.h"
#include "depot.h"
#include "isolated.h"
#include "os_fake.h"
#include "return.h"
#include "returned.h"
#include "thread.h"
#include "tune.h"
#include "window.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* What a call takes at the most, and what a budget may be exceeded by: a slab. */
enum { BATCH_BYTES = 4 << 20, OVER_BYTES = 128 << 10 };

static void keep_everything(void)
{
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1));
    assert_true(np_tune_set(NP_KNOB_MMAP_MAX, 0));
}

static void *take(size_t bytes)
{
    void *block = np_core_take(bytes);

    assert_non_null(block);
    return memset(block, 1, bytes);
}

static uint64_t returned_bytes(void)
{
    struct np_returned_totals totals = np_returned_totals();

    return totals.ways[NP_RETURN_BREAK].bytes + totals.ways[NP_RETURN_PURGE].bytes;
}

/* ---- something of each kind to return ---- */

enum { SMALL = 40000, MEDIUM = 300 };

static void *small[SMALL];
static void *medium[MEDIUM];

/* Free pages between live blocks, free runs, and a top. */
static void leave_holes_and_runs(void)
{
    for (size_t i = 0; i < SMALL; i++)
        small[i] = take(500);
    for (size_t i = 0; i < MEDIUM; i++)
        medium[i] = take(100 * KIB);
    for (size_t i = 0; i < SMALL; i++)
        if (i % 100 != 0)
            np_core_give(small[i]);
    for (size_t i = 0; i < MEDIUM; i++)
        if (i % 3 != 0)
            np_core_give(medium[i]);
    assert_true(np_return_retained_bytes() > 30 * MIB);
}

static void give_the_rest(void)
{
    for (size_t i = 0; i < SMALL; i += 100)
        np_core_give(small[i]);
    for (size_t i = 0; i < MEDIUM; i += 3)
        np_core_give(medium[i]);
}

/* A trim now changes nothing, and asks the system for nothing. */
static void expect_nothing_left(void)
{
    os_fake_reset();
    assert_false(np_core_trim(0));
    assert_int_equal(np_core_trim_some(0, 0), 0);
    assert_int_equal(os_fake_all_calls() - os_fake_calls(OS_FAKE_BREAK_END), 0);
    assert_sound(np_core_audit());
}

/* ---- all at once ---- */

static void a_second_trim_calls_nobody(void **state)
{
    (void)state;
    keep_everything();
    leave_holes_and_runs();
    assert_true(np_core_trim(0));
    assert_true(np_return_retained_bytes() == 0);
    expect_nothing_left();
    give_the_rest();
    assert_true(np_core_trim(0));
    expect_nothing_left();
}

static void the_pad_stays_at_the_top(void **state)
{
    uint64_t before;

    (void)state;
    keep_everything();
    for (size_t i = 0; i < MEDIUM; i++)
        medium[i] = take(100 * KIB);
    for (size_t i = 0; i < MEDIUM; i++)
        np_core_give(medium[i]);
    before = returned_bytes();
    assert_true(np_core_trim(10 * MIB));
    assert_true(np_return_retained_bytes() >= 9 * MIB);
    assert_true(np_return_retained_bytes() <= 10 * MIB + 64 * KIB);
    assert_true(returned_bytes() - before >= 19 * MIB);
    assert_false(np_core_trim(10 * MIB));
    assert_true(np_core_trim(MIB));
    assert_true(np_return_retained_bytes() <= MIB + 64 * KIB);
    assert_true(np_core_trim(0));
    expect_nothing_left();
}

/* Bookkeeping of windows in which nothing is to be returned: neither read nor written. */
static void make_untouchable(const void *memory, size_t bytes)
{
    uintptr_t start = ((uintptr_t)memory + 4095) & ~(uintptr_t)4095;
    uintptr_t end = ((uintptr_t)memory + bytes) & ~(uintptr_t)4095;

    assert_true(end > start);
    assert_int_equal(mprotect((void *)start, end - start, PROT_NONE), 0);
}

static void hide_records(const struct np_window *window)
{
    make_untouchable(window->records, NP_WINDOW_UNITS * NP_SLAB_RECORD_BYTES);
    make_untouchable(window->slot_bits,
                     sizeof(uint64_t) * NP_SLOT_BITS_PLANES * NP_SLOT_BITS_PLANE_WORDS);
}

/* It costs in proportion to what it returns: of hundreds of live MiB it does not look at one
 * slab. */
static void it_does_not_walk_what_is_live(void **state)
{
    enum { BLOCKS = 20000 }; /* of 16 KiB: 312 MiB, of which little is touched */
    static char *live[BLOCKS];
    struct np_window *open_window;
    unsigned hidden_count = 0;

    (void)state;
    keep_everything();
    for (size_t i = 0; i < BLOCKS; i++)
        assert_non_null(live[i] = np_core_take(16 * KIB));
    open_window = np_window_find((uintptr_t)live[BLOCKS - 1]);
    for (size_t i = 0; i < BLOCKS; i += 2) /* but for a slab that begins in the window before */
        if (np_window_find((uintptr_t)live[i]) == open_window &&
            np_window_find((uintptr_t)live[i] - 128 * KIB) == open_window)
            np_core_give(live[i]);
    assert_true(np_return_retained_bytes() > MIB);
    for (struct np_window *window = np_window_list(); window != NULL; window = window->next)
        if (window != open_window) {
            hide_records(window);
            hidden_count++;
        }
    assert_true(hidden_count >= 4);
    assert_true(np_core_trim(0));
    assert_true(np_return_retained_bytes() == 0);
    assert_false(np_core_trim(0));
    assert_int_equal(np_core_trim_some(0, 0), 0);
}

/* ---- in parts ---- */

static void a_budget_of_bytes_is_kept(void **state)
{
    static const size_t budgets[] = {1, 4 * KIB, 300 * KIB, 3 * MIB, 10 * MIB};
    size_t gone_bytes = 0;
    size_t retained_bytes;
    uint64_t before;

    (void)state;
    keep_everything();
    leave_holes_and_runs();
    before = returned_bytes();
    retained_bytes = np_return_retained_bytes();
    for (size_t i = 0;; i++) {
        size_t budget = budgets[i % COUNT_OF(budgets)];
        size_t bytes = np_core_trim_some(budget, 0);

        assert_true(bytes < budget + OVER_BYTES);
        assert_sound(np_core_audit());
        gone_bytes += bytes;
        assert_int_equal(returned_bytes() - before, gone_bytes);
        if (bytes == 0)
            break;
        /* What is left is less than asked for only at the end. */
        if (bytes < budget)
            assert_true(np_return_retained_bytes() == 0);
    }
    assert_true(gone_bytes >= retained_bytes); /* and what the heap held open */
    expect_nothing_left();
    give_the_rest();
    assert_true(np_core_trim_some(0, 0) > 10 * MIB);
    expect_nothing_left();
}

/* Each system call takes 200 us here, so each batch takes some. */
static void a_budget_of_time_is_kept(void **state)
{
    size_t calls = 0;
    size_t bytes;

    (void)state;
    keep_everything();
    leave_holes_and_runs();
    os_fake_set_call_ns(200 * 1000);
    do {
        size_t took;

        os_fake_reset();
        bytes = np_core_trim_some(0, 1000 * 1000);
        took = os_fake_all_calls() * 200;
        assert_true(took < 1000 || np_return_retained_bytes() == 0 || bytes >= BATCH_BYTES);
        assert_true(bytes <= 6 * (BATCH_BYTES + OVER_BYTES));
        calls++;
    } while (bytes > 0);
    assert_true(calls > 3);
    expect_nothing_left();
}

/* Whatever the time: something goes if there is something, but one batch at the most. */
static void too_little_time_is_enough_for_a_batch(void **state)
{
    size_t calls = 0;
    size_t bytes;

    (void)state;
    keep_everything();
    leave_holes_and_runs();
    os_fake_set_call_ns(1000 * 1000);
    while ((bytes = np_core_trim_some(0, 1)) > 0) {
        assert_true(bytes < BATCH_BYTES + OVER_BYTES);
        calls++;
    }
    assert_true(calls >= 30 / 4);
    expect_nothing_left();
}

static void both_budgets_hold_at_once(void **state)
{
    (void)state;
    keep_everything();
    leave_holes_and_runs();
    os_fake_set_call_ns(1000 * 1000);
    assert_true(np_core_trim_some(20 * MIB, 1) < BATCH_BYTES + OVER_BYTES);
    assert_true(np_core_trim_some(MIB, 1000 * 1000 * 1000) < MIB + OVER_BYTES);
}

static size_t held_count(void)
{
    size_t count = 0;

    for (unsigned class_index = 0; class_index < NP_CLASS_TABLE_COUNT; class_index++)
        count += np_depot_count(class_index);
    return count;
}

/* Slabs that M_MXFAST holds are free as a whole, and as many. */
static void held_slabs_go_in_parts(void **state)
{
    size_t parts = 0;
    size_t bytes;

    (void)state;
    keep_everything();
    assert_true(np_tune_set(NP_KNOB_MXFAST, 160));
    np_core_knobs_changed();
    for (size_t i = 0; i < SMALL; i++)
        small[i] = take(150);
    for (size_t i = 0; i < SMALL; i++)
        np_core_give(small[i]);
    assert_true(np_core_trim_some(MIB, 0) < MIB + OVER_BYTES);
    assert_true(held_count() > 0); /* not all of them were given up for that */
    while ((bytes = np_core_trim_some(MIB, 0)) > 0) {
        assert_true(bytes < MIB + OVER_BYTES);
        parts++;
    }
    assert_true(parts >= 3);
    expect_nothing_left();
}

/* The first that it comes to cannot go. They are not all there is. */
static void what_is_refused_is_not_the_end(void **state)
{
    uintptr_t highest = 0;

    (void)state;
    keep_everything();
    assert_true(np_tune_set(NP_KNOB_MXFAST, 160));
    np_core_knobs_changed();
    for (size_t i = 0; i < SMALL; i++) {
        small[i] = take(150);
        highest = (uintptr_t)small[i] > highest ? (uintptr_t)small[i] : highest;
    }
    assert_non_null(np_core_take(200 * KIB)); /* so that they do not end at the break */
    for (size_t i = 0; i < SMALL; i++)
        np_core_give(small[i]);
    assert_true(held_count() > BATCH_BYTES / (64 * KIB)); /* or the others would not be needed */
    highest &= ~(64 * KIB - 1);
    os_fake_lock_memory((void *)(highest - 63 * 64 * KIB), BATCH_BYTES);
    os_fake_set_call_ns(1000 * 1000);
    assert_true(np_core_trim_some(0, 1) > 0);
    os_fake_lock_memory((void *)highest, 0);
}

static void *leave_slabs(void *unused)
{
    void *blocks[300];

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = take(700);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        np_core_give(blocks[i]);
    return NULL;
}

static void what_ended_threads_left_goes_too(void **state)
{
    pthread_t thread;

    (void)state;
    keep_everything();
    pthread_create(&thread, NULL, leave_slabs, NULL);
    pthread_join(thread, NULL);
    assert_true(np_thread_heaps()->open_bytes > 0);
    assert_true(np_core_trim_some(0, 0) > 0);
    assert_int_equal(np_thread_heaps()->open_bytes, 0);
    expect_nothing_left();
}

/* The system may refuse: that ends too. */
static void locked_memory_does_not_loop(void **state)
{
    char *block;

    (void)state;
    keep_everything();
    (void)take(20000); /* so that the other is not at the top */
    block = take(20 * MIB);
    (void)take(20000);
    os_fake_lock_memory(block, 20 * MIB);
    np_core_give(block);
    for (unsigned i = 0; np_core_trim_some(0, 0) > 0; i++)
        assert_true(i < 10);
    os_fake_reset();
    assert_int_equal(np_core_trim_some(0, 0), 0);
    assert_int_equal(os_fake_calls(OS_FAKE_PURGE) + os_fake_calls(OS_FAKE_PURGE_RANGES), 0);
    os_fake_lock_memory(block, 0);
    assert_sound(np_core_audit());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_trim_calls_nobody),
        cmocka_unit_test(the_pad_stays_at_the_top),
        cmocka_unit_test(it_does_not_walk_what_is_live),
        cmocka_unit_test(a_budget_of_bytes_is_kept),
        cmocka_unit_test(a_budget_of_time_is_kept),
        cmocka_unit_test(too_little_time_is_enough_for_a_batch),
        cmocka_unit_test(both_budgets_hold_at_once),
        cmocka_unit_test(held_slabs_go_in_parts),
        cmocka_unit_test(what_is_refused_is_not_the_end),
        cmocka_unit_test(what_ended_threads_left_goes_too),
        cmocka_unit_test(locked_memory_does_not_loop),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* The account of what became free and went back: against a queue of bytes kept the slow way. */
#include "returned.h"

#include <pthread.h>
#include <string.h>

#include "isolated.h"
#include "os_fake.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define SECOND_NS UINT64_C(1000000000)

/* What the clock of a sample may be off by. */
#define TICK_NS (UINT64_C(1) << 20)

#define SAMPLE_BYTES (256 * KIB)
#define WINDOW_BYTES (64 * MIB)

static void expect_about(uint64_t ns, uint64_t expected_ns)
{
    if (ns + TICK_NS < expected_ns || ns > expected_ns + TICK_NS)
        fail_msg("%llu ns, not %llu", (unsigned long long)ns, (unsigned long long)expected_ns);
}

static struct np_returned_recent recent(void)
{
    struct np_returned_recent said = np_returned_totals().recent;

    assert_int_equal(said.freed_bytes,
                     said.returned_bytes + said.reused_bytes + said.waiting_bytes);
    return said;
}

static void give_back(size_t bytes)
{
    np_returned_note(NP_RETURN_PURGE, bytes, 1, 0);
}

static void all_is_zero_at_first(void **state)
{
    static const struct np_returned_totals zero;
    struct np_returned_totals totals = np_returned_totals();

    (void)state;
    assert_memory_equal(&totals, &zero, sizeof zero);
}

static void ways_are_counted_apart(void **state)
{
    struct np_returned_totals totals;

    (void)state;
    np_returned_note(NP_RETURN_BREAK, 3 * MIB, 1, 100);
    np_returned_note(NP_RETURN_PURGE, 4 * KIB, 7, 20);
    np_returned_note(NP_RETURN_PURGE, 0, 1, 3); /* refused */
    np_returned_note_refault(12 * KIB);
    np_returned_note_refault(4 * KIB);
    totals = np_returned_totals();
    assert_int_equal(totals.ways[NP_RETURN_BREAK].bytes, 3 * MIB);
    assert_int_equal(totals.ways[NP_RETURN_BREAK].calls, 1);
    assert_int_equal(totals.ways[NP_RETURN_BREAK].spent_ns, 100);
    assert_int_equal(totals.ways[NP_RETURN_PURGE].bytes, 4 * KIB);
    assert_int_equal(totals.ways[NP_RETURN_PURGE].calls, 8);
    assert_int_equal(totals.ways[NP_RETURN_PURGE].spent_ns, 23);
    assert_int_equal(totals.refaulted_bytes, 16 * KIB);
}

static void the_most_retained_is_kept(void **state)
{
    (void)state;
    np_returned_note_retained(5000);
    np_returned_note_retained(70000);
    np_returned_note_retained(300);
    assert_int_equal(np_returned_totals().retained_max_bytes, 70000);
}

static void what_goes_at_once_has_no_delay(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        np_returned_note_freed(80 * KIB);
        give_back(80 * KIB);
        os_fake_advance_coarse_ns(SECOND_NS);
    }
    assert_int_equal(recent().freed_bytes, 8000 * KIB);
    assert_int_equal(recent().returned_bytes, 8000 * KIB);
    assert_int_equal(recent().waiting_bytes, 0);
    assert_int_equal(recent().delay_mean_ns, 0);
    assert_int_equal(recent().delay_max_ns, 0);
    assert_int_equal(recent().waiting_ns, 0);
}

static void what_is_kept_waits(void **state)
{
    (void)state;
    np_returned_note_freed(8 * MIB);
    os_fake_advance_coarse_ns(5 * SECOND_NS);
    assert_int_equal(recent().waiting_bytes, 8 * MIB);
    assert_int_equal(recent().returned_bytes, 0);
    assert_int_equal(recent().delay_mean_ns, 0);
    expect_about(recent().waiting_ns, 5 * SECOND_NS);
    give_back(8 * MIB);
    assert_int_equal(recent().returned_bytes, 8 * MIB);
    expect_about(recent().delay_mean_ns, 5 * SECOND_NS);
    expect_about(recent().delay_max_ns, 5 * SECOND_NS);
    assert_int_equal(recent().waiting_ns, 0);
}

static void the_oldest_goes_first(void **state)
{
    (void)state;
    np_returned_note_freed(4 * MIB);
    os_fake_advance_coarse_ns(SECOND_NS);
    np_returned_note_freed(4 * MIB);
    os_fake_advance_coarse_ns(SECOND_NS);
    give_back(4 * MIB);
    expect_about(recent().delay_mean_ns, 2 * SECOND_NS);
    assert_int_equal(recent().waiting_bytes, 4 * MIB);
    expect_about(recent().waiting_ns, SECOND_NS);
}

static void what_is_taken_again_is_not_returned(void **state)
{
    (void)state;
    np_returned_note_freed(6 * MIB);
    os_fake_advance_coarse_ns(SECOND_NS);
    give_back(MIB);
    os_fake_advance_coarse_ns(8 * SECOND_NS);
    np_returned_note_reused(2 * MIB);
    assert_int_equal(recent().returned_bytes, MIB);
    assert_int_equal(recent().reused_bytes, 2 * MIB);
    assert_int_equal(recent().waiting_bytes, 3 * MIB);
    expect_about(recent().delay_mean_ns, SECOND_NS); /* of the MiB that was returned alone */
    assert_int_equal(np_returned_totals().reused_bytes, 2 * MIB);
    assert_int_equal(np_returned_totals().joined_bytes, 6 * MIB);
    assert_int_equal(np_returned_totals().left_bytes, 3 * MIB);
}

/* F1. */
static void what_nobody_told_of_joins_as_it_goes(void **state)
{
    (void)state;
    np_returned_note_freed(MIB);
    os_fake_advance_coarse_ns(SECOND_NS);
    give_back(3 * MIB);
    assert_int_equal(recent().freed_bytes, 3 * MIB);
    assert_int_equal(recent().returned_bytes, 3 * MIB);
    expect_about(recent().delay_max_ns, SECOND_NS);
    expect_about(recent().delay_mean_ns, SECOND_NS / 3);
}

/* What was long ago does not count: a program that gave all back, and then keeps all. */
static void only_what_is_recent_counts(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        np_returned_note_freed(MIB);
        give_back(MIB);
    }
    assert_in_range(recent().freed_bytes, WINDOW_BYTES - SAMPLE_BYTES, WINDOW_BYTES);
    assert_int_equal(recent().returned_bytes, recent().freed_bytes);
    np_returned_note_freed(2 * WINDOW_BYTES);
    assert_in_range(recent().freed_bytes, WINDOW_BYTES - SAMPLE_BYTES, WINDOW_BYTES);
    assert_int_equal(recent().waiting_bytes, recent().freed_bytes);
    assert_int_equal(recent().returned_bytes, 0);
    give_back(WINDOW_BYTES + 10 * MIB);
    assert_in_range(recent().returned_bytes, 10 * MIB - SAMPLE_BYTES, 10 * MIB);
}

/* ---- a random life against a queue ---- */

enum { SAMPLE_MAX = 4096 };

static struct {
    uint64_t now_ns;
    size_t joined;
    size_t left;
    size_t returned;
    uint64_t joined_ns[SAMPLE_MAX];
    uint64_t left_ns[SAMPLE_MAX];
    bool is_returned[SAMPLE_MAX];
    size_t returned_before[SAMPLE_MAX];
} model;

static void model_join(size_t bytes)
{
    for (size_t end = model.joined + bytes; model.joined < end;)
        if (++model.joined % SAMPLE_BYTES == 0)
            model.joined_ns[model.joined / SAMPLE_BYTES] = model.now_ns;
}

static void model_leave(size_t bytes, bool is_returned)
{
    if (model.left + bytes > model.joined)
        model_join(model.left + bytes - model.joined);
    for (size_t end = model.left + bytes; model.left < end;) {
        size_t number = ++model.left / SAMPLE_BYTES;

        model.returned += is_returned;
        if (model.left % SAMPLE_BYTES != 0)
            continue;
        model.left_ns[number] = model.now_ns;
        model.is_returned[number] = is_returned;
        model.returned_before[number] = model.returned;
    }
}

static void expect_as_model(void)
{
    struct np_returned_recent said = recent();
    size_t newest = model.joined / SAMPLE_BYTES;
    size_t first = newest >= 256 ? newest - 255 : 0;
    size_t start = first * SAMPLE_BYTES;
    size_t returned_before = model.left >= start ? model.returned_before[first] : model.returned;
    uint64_t sum_ns = 0;
    uint64_t count = 0;

    assert_int_equal(said.freed_bytes, model.joined - start);
    assert_int_equal(said.waiting_bytes, model.joined - (model.left > start ? model.left : start));
    assert_int_equal(said.returned_bytes, model.returned - returned_before);
    for (size_t number = first + 1; number <= model.left / SAMPLE_BYTES; number++) {
        if (!model.is_returned[number])
            continue;
        sum_ns += model.left_ns[number] - model.joined_ns[number];
        count++;
    }
    expect_about(said.delay_mean_ns, count > 0 ? sum_ns / count : 0);
}

static void a_random_life(void **state)
{
    (void)state;
    model.now_ns = SECOND_NS;
    os_fake_set_coarse_ns(model.now_ns);
    while (model.joined < 400 * MIB) {
        size_t bytes = random_below(random_below(8) == 0 ? 9 * MIB : 300 * KIB);
        uint64_t pause_ns = random_below(40) * 1000000;

        switch (random_below(5)) {
        case 0:
        case 1:
            np_returned_note_freed(bytes);
            model_join(bytes);
            break;
        case 2:
            np_returned_note_reused(bytes / 2);
            model_leave(bytes / 2, false);
            break;
        default:
            give_back(bytes / 2);
            model_leave(bytes / 2, true);
        }
        expect_as_model();
        model.now_ns += pause_ns;
        os_fake_advance_coarse_ns(pause_ns);
    }
}

/* ---- while threads work ---- */

enum { THREADS = 4, STEPS = 5000 };

static bool is_f3(struct np_returned_recent said)
{
    return said.freed_bytes == said.returned_bytes + said.reused_bytes + said.waiting_bytes &&
           said.freed_bytes <= WINDOW_BYTES && said.waiting_bytes <= said.freed_bytes &&
           said.reused_bytes <= said.freed_bytes;
}

static void *free_and_return(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    bool is_sane = true;

    for (unsigned step = 0; step < STEPS; step++) {
        seed = seed * 1103515245 + 12345;
        np_returned_note_freed(64 * KIB);
        if ((seed >> 16) % 4 == 0)
            np_returned_note_reused(64 * KIB);
        else
            give_back(64 * KIB);
        is_sane &= is_f3(np_returned_totals().recent);
    }
    return is_sane ? argument : NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
    pthread_t threads[THREADS];
    struct np_returned_totals totals;

    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, free_and_return, (void *)(uintptr_t)(i + 1));
    for (size_t i = 0; i < THREADS; i++) {
        void *answer;

        pthread_join(threads[i], &answer);
        assert_non_null(answer);
    }
    totals = np_returned_totals();
    assert_int_equal(totals.joined_bytes, (size_t)THREADS * STEPS * 64 * KIB);
    assert_int_equal(totals.left_bytes, totals.joined_bytes);
    assert_int_equal(totals.reused_bytes + totals.ways[NP_RETURN_PURGE].bytes, totals.left_bytes);
    assert_int_equal(totals.recent.waiting_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_zero_at_first),
        cmocka_unit_test(ways_are_counted_apart),
        cmocka_unit_test(the_most_retained_is_kept),
        cmocka_unit_test(what_goes_at_once_has_no_delay),
        cmocka_unit_test(what_is_kept_waits),
        cmocka_unit_test(the_oldest_goes_first),
        cmocka_unit_test(what_is_taken_again_is_not_returned),
        cmocka_unit_test(what_nobody_told_of_joins_as_it_goes),
        cmocka_unit_test(only_what_is_recent_counts),
        cmocka_unit_test(a_random_life),
        cmocka_unit_test(nothing_is_lost_between_threads),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* The table of knobs and the values: every row against what glibc's headers and manual say,
 * mallopt, and the dynamic rule of the mmap threshold. */
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../tune_reset.h"
#include "tune.h"

enum {
    MIB = 1 << 20,
    RACE_ROUNDS = 100,
    RACE_THREADS = 3,
    RACE_STEPS = 20000, /* in a round */
};

/* Every value as when the process started. */
static int reset(void **state)
{
    (void)state;
    tune_reset();
    return 0;
}

/* Everything about a row that is not prose. */
struct expected_row {
    const char *name;
    int64_t initial, least, most;
    int mallopt_number;
    const char *mallopt_name, *variable, *tunable, *neap_variable;
};

static const struct expected_row EXPECTED[NP_KNOB_COUNT] = {
    {"mxfast", 0, 0, 160, M_MXFAST, "M_MXFAST", "", "glibc.malloc.mxfast", "NEAP_MXFAST"},
    {"trim_threshold", MIB, -1, INT64_MAX, M_TRIM_THRESHOLD, "M_TRIM_THRESHOLD",
     "MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold", "NEAP_TRIM_THRESHOLD"},
    {"top_pad", 131072, 0, INT64_C(1099511627776), M_TOP_PAD, "M_TOP_PAD", "MALLOC_TOP_PAD_",
     "glibc.malloc.top_pad", "NEAP_TOP_PAD"},
    {"mmap_threshold", 131072, 0, INT64_MAX, M_MMAP_THRESHOLD, "M_MMAP_THRESHOLD",
     "MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold", "NEAP_MMAP_THRESHOLD"},
    {"mmap_max", 65536, 0, INT32_MAX, M_MMAP_MAX, "M_MMAP_MAX", "MALLOC_MMAP_MAX_",
     "glibc.malloc.mmap_max", "NEAP_MMAP_MAX"},
    {"perturb", 0, 0, 255, M_PERTURB, "M_PERTURB", "MALLOC_PERTURB_", "glibc.malloc.perturb",
     "NEAP_PERTURB"},
    {"arena_test", 8, 0, INT32_MAX, M_ARENA_TEST, "M_ARENA_TEST", "MALLOC_ARENA_TEST",
     "glibc.malloc.arena_test", "NEAP_ARENA_TEST"},
    {"arena_max", 0, 0, INT32_MAX, M_ARENA_MAX, "M_ARENA_MAX", "MALLOC_ARENA_MAX",
     "glibc.malloc.arena_max", "NEAP_ARENA_MAX"},
    {"open_bytes", 960 << 10, 65536, 1024 * MIB, 0, "", "", "", "NEAP_OPEN_BYTES"},
    {"populate", 1, 0, 1, 0, "", "", "", "NEAP_POPULATE"},
    {"helper", 2, 0, 2, 0, "", "", "", "NEAP_HELPER"},
    {"hardening", 1, 0, 2, 0, "", "", "", "NEAP_HARDENING"},
    {"check", 0, 0, 3, 0, "", "MALLOC_CHECK_", "glibc.malloc.check", ""},
    {"tcache_max", 0, 0, INT64_MAX, 0, "", "", "glibc.malloc.tcache_max", ""},
    {"tcache_count", 0, 0, INT64_MAX, 0, "", "", "glibc.malloc.tcache_count", ""},
    {"tcache_unsorted_limit", 0, 0, INT64_MAX, 0, "", "", "glibc.malloc.tcache_unsorted_limit",
     ""},
    {"hugetlb", 0, 0, INT64_MAX, 0, "", "", "glibc.malloc.hugetlb", ""},
};

static void assert_named(const struct np_knob_row *row, enum np_knob_name kind, const char *name)
{
    char written[NP_KNOB_NAME_BYTES];

    memset(written, 'x', sizeof written);
    np_knob_write_name(row, kind, written);
    assert_string_equal(written, name);
}

static void every_row_is_as_documented(void **state)
{
    (void)state;
    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        const struct np_knob_row *row = &np_knob_rows[knob];
        const struct expected_row *expected = &EXPECTED[knob];

        assert_string_equal(row->name, expected->name);
        assert_true(row->initial == expected->initial);
        assert_true(row->least == expected->least);
        assert_true(row->most == expected->most);
        assert_int_equal(row->mallopt_number, expected->mallopt_number);
        assert_named(row, NP_NAME_MALLOPT, expected->mallopt_name);
        assert_named(row, NP_NAME_VARIABLE, expected->variable);
        assert_named(row, NP_NAME_TUNABLE, expected->tunable);
        assert_named(row, NP_NAME_NEAP, expected->neap_variable);
    }
}

/* The compiler cuts a string that fills its array without a word. */
#define ASSERT_ENDS(array) assert_non_null(memchr((array), '\0', sizeof(array)))

static void every_string_of_a_row_ends(void **state)
{
    (void)state;
    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        const struct np_knob_row *row = &np_knob_rows[knob];

        ASSERT_ENDS(row->name);
        ASSERT_ENDS(row->unit);
        ASSERT_ENDS(row->initial_rule);
    }
}

static void initial_values_are_in_range_and_in_force(void **state)
{
    (void)state;
    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        const struct np_knob_row *row = &np_knob_rows[knob];

        assert_true(row->least <= row->initial && row->initial <= row->most);
        assert_true(np_tune_get((enum np_knob)knob) == row->initial);
        assert_false(np_tune_is_set((enum np_knob)knob));
    }
    assert_true(np_tune_is_dynamic());
}

static void a_value_in_range_is_set(void **state)
{
    for (unsigned index = 0; index < NP_KNOB_COUNT; index++) {
        enum np_knob knob = (enum np_knob)index;
        const struct np_knob_row *row = &np_knob_rows[knob];
        const int64_t values[] = {row->least, row->most, row->initial};

        if (!np_knob_has_effect(row))
            continue;
        for (unsigned number = 0; number < 3; number++) {
            reset(state);
            assert_true(np_tune_set(knob, values[number]));
            assert_true(np_tune_get(knob) == values[number]);
            for (unsigned other = 0; other < NP_KNOB_COUNT; other++) {
                assert_int_equal(np_tune_is_set((enum np_knob)other), other == index);
                if (other != index) {
                    assert_true(np_tune_get((enum np_knob)other) ==
                                np_knob_rows[other].initial);
                }
            }
        }
    }
}

static void a_value_out_of_range_changes_nothing(void **state)
{
    (void)state;
    for (unsigned index = 0; index < NP_KNOB_COUNT; index++) {
        enum np_knob knob = (enum np_knob)index;
        const struct np_knob_row *row = &np_knob_rows[knob];

        assert_false(np_tune_set(knob, row->least - 1));
        assert_false(np_tune_set(knob, INT64_MIN));
        if (row->most < INT64_MAX) {
            assert_false(np_tune_set(knob, row->most + 1));
            assert_false(np_tune_set(knob, INT64_MAX));
        }
        assert_true(np_tune_get(knob) == row->initial);
        assert_false(np_tune_is_set(knob));
    }
    assert_true(np_tune_is_dynamic());
}

static void a_knob_without_effect_cannot_be_set(void **state)
{
    unsigned tried_count = 0;

    (void)state;
    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        if (np_knob_has_effect(&np_knob_rows[knob]))
            continue;
        tried_count++;
        assert_false(np_tune_set((enum np_knob)knob, np_knob_rows[knob].initial));
        assert_false(np_tune_is_set((enum np_knob)knob));
    }
    assert_int_equal(tried_count, 5);
}

static void mallopt_sets_what_glibc_has(void **state)
{
    (void)state;
    assert_true(np_tune_mallopt(M_MXFAST, 120));
    assert_int_equal(np_tune_get(NP_KNOB_MXFAST), 120);
    assert_true(np_tune_mallopt(M_TRIM_THRESHOLD, 64));
    assert_int_equal(np_tune_get(NP_KNOB_TRIM_THRESHOLD), 64);
    assert_true(np_tune_mallopt(M_TRIM_THRESHOLD, -1));
    assert_int_equal(np_tune_get(NP_KNOB_TRIM_THRESHOLD), -1);
    assert_true(np_tune_mallopt(M_TOP_PAD, INT_MAX));
    assert_int_equal(np_tune_get(NP_KNOB_TOP_PAD), INT_MAX);
    assert_true(np_tune_mallopt(M_MMAP_THRESHOLD, 64));
    assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), 64);
    assert_true(np_tune_mallopt(M_MMAP_THRESHOLD, INT_MAX)); /* glibc 2.36 has no limit either */
    assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), INT_MAX);
    assert_true(np_tune_mallopt(M_MMAP_MAX, 0));
    assert_int_equal(np_tune_get(NP_KNOB_MMAP_MAX), 0);
    assert_true(np_tune_mallopt(M_PERTURB, 0xa5));
    assert_int_equal(np_tune_get(NP_KNOB_PERTURB), 0xa5);
    assert_true(np_tune_mallopt(M_ARENA_TEST, 1));
    assert_int_equal(np_tune_get(NP_KNOB_ARENA_TEST), 1);
    assert_true(np_tune_mallopt(M_ARENA_MAX, 2));
    assert_int_equal(np_tune_get(NP_KNOB_ARENA_MAX), 2);
}

static void mallopt_refuses_what_is_out_of_range(void **state)
{
    static const int REFUSED[][2] = {
        {M_MXFAST, -1},         {M_MXFAST, 161},  {M_TRIM_THRESHOLD, -2}, {M_TOP_PAD, -1},
        {M_MMAP_THRESHOLD, -1}, {M_MMAP_MAX, -1}, {M_ARENA_TEST, -1},     {M_ARENA_MAX, -1},
    };

    (void)state;
    for (unsigned index = 0; index < sizeof REFUSED / sizeof REFUSED[0]; index++)
        assert_false(np_tune_mallopt(REFUSED[index][0], REFUSED[index][1]));
    assert_int_equal(np_tune_set_bits, 0);
}

static void mallopt_refuses_what_it_does_not_know(void **state)
{
    /* 2 to 4 are M_NLBLKS, M_GRAIN and M_KEEP of System V; glibc never did anything for them. */
    static const int UNKNOWN[] = {0, 2, 3, 4, 99, M_CHECK_ACTION, -9, -99, INT_MIN, INT_MAX};

    (void)state;
    for (unsigned index = 0; index < sizeof UNKNOWN / sizeof UNKNOWN[0]; index++) {
        assert_false(np_tune_mallopt(UNKNOWN[index], 0));
        assert_false(np_tune_mallopt(UNKNOWN[index], 1));
        assert_false(np_tune_mallopt(UNKNOWN[index], MIB));
    }
    assert_int_equal(np_tune_set_bits, 0);
}

static void mallopt_takes_the_low_byte_of_perturb(void **state)
{
    (void)state;
    assert_true(np_tune_mallopt(M_PERTURB, 300));
    assert_int_equal(np_tune_get(NP_KNOB_PERTURB), 44);
    assert_true(np_tune_mallopt(M_PERTURB, -1));
    assert_int_equal(np_tune_get(NP_KNOB_PERTURB), 255);
    assert_true(np_tune_mallopt(M_PERTURB, INT_MIN));
    assert_int_equal(np_tune_get(NP_KNOB_PERTURB), 0);
}

static void four_knobs_freeze_the_threshold(void **state)
{
    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        const struct np_knob_row *row = &np_knob_rows[knob];
        bool should_freeze = knob == NP_KNOB_TRIM_THRESHOLD || knob == NP_KNOB_TOP_PAD ||
                             knob == NP_KNOB_MMAP_THRESHOLD || knob == NP_KNOB_MMAP_MAX;

        reset(state);
        if (!np_tune_set((enum np_knob)knob, row->initial))
            continue;
        assert_int_equal(np_tune_is_dynamic(), !should_freeze);
        np_tune_raise_mmap_threshold(MIB);
        assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), should_freeze ? 131072 : MIB);
    }
}

static void the_threshold_only_rises(void **state)
{
    (void)state;
    np_tune_raise_mmap_threshold(131072);
    assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), 131072);
    np_tune_raise_mmap_threshold(131073);
    assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), 131073);
    np_tune_raise_mmap_threshold(5 * MIB);
    np_tune_raise_mmap_threshold(2 * MIB);
    np_tune_raise_mmap_threshold(0);
    np_tune_raise_mmap_threshold(-1);
    assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), 5 * MIB);
    /* It was no one's setting. */
    assert_false(np_tune_is_set(NP_KNOB_MMAP_THRESHOLD));
    assert_true(np_tune_is_dynamic());
}

static void the_threshold_rises_to_32_mib(void **state)
{
    (void)state;
    np_tune_raise_mmap_threshold(32 * MIB + 1);
    assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), 32 * MIB);
    np_tune_raise_mmap_threshold(INT64_MAX);
    assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), 32 * MIB);
}

static void a_setting_replaces_what_the_rule_made(void **state)
{
    (void)state;
    np_tune_raise_mmap_threshold(4 * MIB);
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 64));
    np_tune_raise_mmap_threshold(8 * MIB);
    assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), 64);
}

static void freezing_keeps_what_the_rule_made(void **state)
{
    (void)state;
    np_tune_raise_mmap_threshold(4 * MIB);
    assert_true(np_tune_set(NP_KNOB_TOP_PAD, 0));
    np_tune_raise_mmap_threshold(8 * MIB);
    assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), 4 * MIB);
}

static pthread_barrier_t race_line; /* where the threads begin and end each round */
static _Atomic unsigned race_fall_count;

static _Atomic int64_t race_next_bytes;

/* Raises the threshold step by step, each step taken by one of the threads, and counts how often
 * it was found lower than it was raised to. */
static void *raise_in_steps(void *argument)
{
    for (unsigned round = 0; round < RACE_ROUNDS; round++) {
        int64_t bytes;

        pthread_barrier_wait(&race_line);
        while ((bytes = race_next_bytes++) <= 131072 + RACE_STEPS) {
            np_tune_raise_mmap_threshold(bytes);
            if (np_tune_get(NP_KNOB_MMAP_THRESHOLD) < bytes)
                race_fall_count++;
        }
        pthread_barrier_wait(&race_line);
    }
    return argument;
}

static void begin_race(pthread_t threads[RACE_THREADS])
{
    race_fall_count = 0;
    assert_int_equal(pthread_barrier_init(&race_line, NULL, RACE_THREADS + 1), 0);
    for (unsigned index = 0; index < RACE_THREADS; index++)
        assert_int_equal(pthread_create(&threads[index], NULL, raise_in_steps, NULL), 0);
}

static void end_race(const pthread_t threads[RACE_THREADS])
{
    for (unsigned index = 0; index < RACE_THREADS; index++)
        pthread_join(threads[index], NULL);
    pthread_barrier_destroy(&race_line);
}

/* Odd rounds set the value that is there already, which an exchange could not tell from no
 * setting. */
static void a_setting_is_never_lost_to_a_raise(void **state)
{
    pthread_t threads[RACE_THREADS];

    begin_race(threads);
    for (unsigned round = 0; round < RACE_ROUNDS; round++) {
        int64_t value = round % 2 == 0 ? 64 : 131072;

        reset(state);
        race_next_bytes = 131073;
        pthread_barrier_wait(&race_line);
        assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, value));
        assert_true(np_tune_get(NP_KNOB_MMAP_THRESHOLD) == value);
        pthread_barrier_wait(&race_line);
        assert_true(np_tune_get(NP_KNOB_MMAP_THRESHOLD) == value);
    }
    end_race(threads);
}

static void raises_at_once_never_lower_the_threshold(void **state)
{
    pthread_t threads[RACE_THREADS];

    begin_race(threads);
    for (unsigned round = 0; round < RACE_ROUNDS; round++) {
        reset(state);
        race_next_bytes = 131073;
        pthread_barrier_wait(&race_line);
        pthread_barrier_wait(&race_line);
        assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), 131072 + RACE_STEPS);
    }
    end_race(threads);
    assert_int_equal(race_fall_count, 0);
}

int main(void)
{
    /* The first one sees the values as they are linked in. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initial_values_are_in_range_and_in_force),
        cmocka_unit_test(every_row_is_as_documented),
        cmocka_unit_test(every_string_of_a_row_ends),
        cmocka_unit_test_setup(a_value_in_range_is_set, reset),
        cmocka_unit_test_setup(a_value_out_of_range_changes_nothing, reset),
        cmocka_unit_test_setup(a_knob_without_effect_cannot_be_set, reset),
        cmocka_unit_test_setup(mallopt_sets_what_glibc_has, reset),
        cmocka_unit_test_setup(mallopt_refuses_what_is_out_of_range, reset),
        cmocka_unit_test_setup(mallopt_refuses_what_it_does_not_know, reset),
        cmocka_unit_test_setup(mallopt_takes_the_low_byte_of_perturb, reset),
        cmocka_unit_test_setup(four_knobs_freeze_the_threshold, reset),
        cmocka_unit_test_setup(the_threshold_only_rises, reset),
        cmocka_unit_test_setup(the_threshold_rises_to_32_mib, reset),
        cmocka_unit_test_setup(a_setting_replaces_what_the_rule_made, reset),
        cmocka_unit_test_setup(freezing_keeps_what_the_rule_made, reset),
        cmocka_unit_test_setup(a_setting_is_never_lost_to_a_raise, reset),
        cmocka_unit_test_setup(raises_at_once_never_lower_the_threshold, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Runs that come back hardly touched: what is there afterwards, what the arena believes, and that
 * the next taker who wants zeros gets them. */
#include "os.h"
#include "returned.h"
#include "run.h"
#include "run_model.h"

enum { GRANULES = 700 }; /* more than two pieces of what is asked about at once */

/* A fresh run with a byte written in some granules. */
static struct np_run *make_run(const size_t *touched, size_t count)
{
    struct np_run *run = np_run_take(&home, GRANULES, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);

    assert_non_null(run);
    (void)model_take(1, NP_GRANULE_BYTES, 1, NP_MAY_GROW); /* keeps it from the top */
    for (size_t i = 0; i < count; i++)
        *(char *)(run->start + granules_bytes(touched[i])) = 1;
    return run;
}

/* Reading all of it puts the kernel's page of zeros there, so afterwards all of it counts
 * as resident. */
static void expect_zero_next_time(const struct np_run *before)
{
    struct np_run *run =
        np_run_take(&home, GRANULES, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_EXISTING_ONLY);

    assert_int_equal(run->start, before->start);
    np_run_clear(run, granules_bytes(GRANULES));
    expect_zero((void *)run->start, granules_bytes(GRANULES));
    np_run_give_sparse(run);
}

static const size_t some[] = {0, 17, 255, 256, 257, 300, 301, 302, 600, GRANULES - 1};

/* Those of the only 64 of which so many are there that they stay. */
enum { STAY_COUNT = 5 };

static void what_was_not_touched_is_not_there(void **state)
{
    struct np_run *run = make_run(some, COUNT_OF(some));

    (void)state;
    np_run_give_sparse(run);
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(STAY_COUNT));
    assert_int_equal(os_fake_resident_bytes((void *)run->start, granules_bytes(GRANULES)),
                     granules_bytes(STAY_COUNT));
    assert_int_equal(np_returned_totals().joined_bytes, granules_bytes(COUNT_OF(some)));
    assert_int_equal(np_returned_totals().ways[NP_RETURN_PURGE].bytes,
                     granules_bytes(COUNT_OF(some) - STAY_COUNT));
    expect_all_in_order();
    expect_zero_next_time(run);
    return_down_to(0);
    assert_int_equal(os_fake_resident_bytes((void *)run->start, granules_bytes(GRANULES)), 0);
}

/* What cannot be purged is not known to be zero. */
static void what_the_system_refuses_counts_as_there(void **state)
{
    struct np_run *run = make_run(some, COUNT_OF(some));

    (void)state;
    os_fake_refuse(OS_FAKE_PURGE_RANGES);
    np_run_give_sparse(run);
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(GRANULES));
    assert_sound(np_arena_audit_all());
    expect_zero_next_time(run);
}

static void a_system_page_is_there_as_a_whole(void **state)
{
    struct np_run *run;

    (void)state;
    os_fake_set_page_bytes(16384);
    run = make_run(some, COUNT_OF(some));
    np_run_give_sparse(run);
    assert_true(np_arena_retained_bytes() <= granules_bytes(COUNT_OF(some) * 4));
    expect_all_in_order();
    expect_zero_next_time(run);
}

static void all_or_nothing_touched(void **state)
{
    size_t all[GRANULES];
    struct np_run *run = make_run(NULL, 0);

    (void)state;
    np_run_give_sparse(run);
    assert_int_equal(np_arena_retained_bytes(), 0);
    expect_all_in_order();
    for (size_t i = 0; i < GRANULES; i++)
        all[i] = i;
    run = make_run(all, GRANULES);
    np_run_give_sparse(run);
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(GRANULES));
    expect_all_in_order();
    expect_zero_next_time(run);
}

/* Every second page: more stretches than go in one call. */
static void a_comb(void **state)
{
    size_t comb[GRANULES / 2];
    struct np_run *run;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(comb); i++)
        comb[i] = 2 * i;
    run = make_run(comb, COUNT_OF(comb));
    np_run_give_sparse(run);
    assert_int_equal(np_arena_retained_bytes(), granules_bytes(COUNT_OF(comb)));
    expect_all_in_order();
    expect_zero_next_time(run);
}

static size_t resident_after_calloc(size_t granule_count)
{
    struct np_run *run = np_run_take(&home, granule_count, NP_GRANULE_BYTES, NP_RUN_MEDIUM,
                                     NP_EXISTING_ONLY);
    size_t resident;

    assert_non_null(run);
    np_run_make_cold(run);
    resident = run->resident_count;
    assert_int_equal(os_fake_resident_bytes((void *)run->start, granules_bytes(granule_count)),
                     granules_bytes(resident));
    np_run_clear(run, granules_bytes(granule_count));
    expect_zero((void *)run->start, granules_bytes(granule_count));
    np_run_give(run, granule_count);
    assert_sound(np_arena_audit_all());
    return resident;
}

/* A program that fills what calloc gives it gets the same memory again; one that does not, none. */
static void memory_for_zeros_is_warm_where_it_is_used(void **state)
{
    size_t all[GRANULES];
    struct np_run *full;
    struct np_run *empty;

    (void)state;
    for (size_t i = 0; i < GRANULES; i++)
        all[i] = i;
    full = make_run(all, GRANULES);
    empty = make_run(NULL, 0);
    np_run_give_sparse(full);
    assert_int_equal(resident_after_calloc(GRANULES), GRANULES);
    np_run_give_sparse(empty);
    assert_int_equal(resident_after_calloc(GRANULES), 0);
    assert_int_equal(resident_after_calloc(20), 20); /* few are as soon written */
    os_fake_refuse(OS_FAKE_PURGE_RANGES);
    assert_int_equal(resident_after_calloc(GRANULES), GRANULES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_touched_is_not_there),
        cmocka_unit_test(what_the_system_refuses_counts_as_there),
        cmocka_unit_test(a_system_page_is_there_as_a_whole),
        cmocka_unit_test(all_or_nothing_touched),
        cmocka_unit_test(a_comb),
        cmocka_unit_test(memory_for_zeros_is_warm_where_it_is_used),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* Runs of many windows, hardly touched: what giving one back costs is counted, for it must not grow
 * faster than the run. Most windows of a large heap are not in the table but on lists, and
 * granules are 16,384 times as many as windows. */
#include "run.h"
#include "run_model.h"
#include "window.h"

enum { WINDOWS = UINTPTR_MAX > UINT32_MAX ? 8 : 2 };

/* The linker has put these two in the place of np_window_find; the first one is what was there. */
struct np_window *__real_np_window_find(uintptr_t address);
struct np_window *__wrap_np_window_find(uintptr_t address);

static size_t find_count;

struct np_window *__wrap_np_window_find(uintptr_t address)
{
    find_count++;
    return __real_np_window_find(address);
}

static void give_sparse(struct np_run *run)
{
    np_run_give_sparse(run);
}

static void give_touched(struct np_run *run)
{
    np_run_give(run, run->granule_count);
    return_down_to(0);
}

struct cost {
    size_t finds;
    size_t purges;
};

/* Of so many windows' run, of which two granules have been written. */
static struct cost cost_of(void (*give)(struct np_run *run), size_t window_count)
{
    size_t granule_count = window_count * NP_WINDOW_GRANULES;
    struct np_run *run =
        np_run_take(&home, granule_count, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    struct cost cost;

    assert_non_null(run);
    *(char *)(run->start + NP_WINDOW_BYTES / 2) = 1;
    *(char *)(np_run_end(run) - 1) = 1;
    os_fake_reset();
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    find_count = 0;
    give(run);
    cost = (struct cost){find_count, os_fake_calls(OS_FAKE_PURGE_RANGES)};
    assert_true(find_count > 0);
    assert_int_equal(np_arena_retained_bytes(), 0);
    assert_sound(np_arena_audit_all());
    return cost;
}

/* A few look-ups a window: the bits are set, cleared and counted. */
static void what_was_never_touched_costs_a_look_a_window(void **state)
{
    (void)state;
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    for (size_t count = WINDOWS; count <= 4 * (size_t)WINDOWS; count *= 2) {
        struct cost cost = cost_of(give_sparse, count);

        assert_in_range(cost.finds, count, 8 * count + 64);
        assert_in_range(cost.purges, 1, 8);
    }
}

/* A look-up for each word of bits, and for each batch two calls: for its memory, and for what was
 * kept of it. */
static void what_may_have_been_touched_costs_a_look_a_word(void **state)
{
    const size_t words = NP_WINDOW_GRANULES / 64;
    const size_t batches = NP_WINDOW_BYTES / NP_PURGE_BATCH_BYTES;

    (void)state;
    os_fake_refuse(OS_FAKE_BREAK_MOVE);
    for (size_t count = WINDOWS; count <= 4 * (size_t)WINDOWS; count *= 2) {
        struct cost cost = cost_of(give_touched, count);

        assert_in_range(cost.finds, count, 2 * words * count + 64);
        assert_in_range(cost.purges, batches * count, 2 * (batches + 1) * count + 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_never_touched_costs_a_look_a_window),
        cmocka_unit_test(what_may_have_been_touched_costs_a_look_a_word),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

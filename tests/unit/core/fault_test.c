/* Which faults are explained, and who owns the handler. */
#include <signal.h>

#include "core.h"
#include "fault.h"
#include "isolated.h"
#include "large.h"
#include "meta.h"
#include "none.h"
#include "tune.h"
#include "window.h"

#define MIB ((size_t)1 << 20)

/* The first so many numbers that `explain` takes stand for faults that end the process with a
 * sentence, the rest up to all_count for what is not the heap's. */
static void expect_explained(int (*explain)(unsigned number), unsigned count, unsigned all_count)
{
    for (unsigned number = 0; number < all_count; number++)
        assert_int_equal(run_in_child(explain, number), number < count ? 128 + SIGABRT : 0);
}

/* Whether an address is the window's, or beside it by so much. */
static bool is_near(uintptr_t address, uintptr_t start, size_t bytes, size_t beside_bytes)
{
    return address - (start - beside_bytes) < bytes + 2 * beside_bytes;
}

static int explain_beside_window(unsigned number)
{
    const struct np_window *window = np_window_find((uintptr_t)np_core_take(100));
    const uintptr_t addresses[] = {
        window->base + MIB, /* behind what there is of the heap */
        window->base + NP_WINDOW_BYTES,
        window->base - 1,
        window->base + NP_WINDOW_BYTES + NP_GRANULE_BYTES,
        window->base - NP_GRANULE_BYTES - 1,
    };

    /* Once in a hundred runs the bookkeeping lies beside the window: then it is its guard's. */
    if (number > 2 &&
        is_near(addresses[number], (uintptr_t)window, window->mapped_bytes, np_page_bytes()))
        return 0;
    np_fault_explain(addresses[number], NP_FAULT_FORBIDDEN);
    return 0;
}

/* A heap that ends where its window does is left by the first byte behind it. */
static void a_fault_in_a_window_or_beside_it_is_explained(void **state)
{
    (void)state;
    expect_explained(explain_beside_window, 3, 5);
}

static int explain_beside_bookkeeping(unsigned number)
{
    const struct np_window *window = np_window_find((uintptr_t)np_core_take(100));
    const uintptr_t start = (uintptr_t)window;
    const uintptr_t end = start + window->mapped_bytes;
    const uintptr_t addresses[] = {
        start - 1,
        start - np_page_bytes(),
        end,
        end + np_page_bytes() - 1,
        start - np_page_bytes() - 1,
        end + np_page_bytes(),
    };

    if (number > 3 && is_near(addresses[number], window->base, NP_WINDOW_BYTES, NP_GRANULE_BYTES))
        return 0; /* as above */
    np_fault_explain(addresses[number], NP_FAULT_FORBIDDEN);
    return 0;
}

static void a_fault_beside_bookkeeping_is_explained(void **state)
{
    (void)state;
    expect_explained(explain_beside_bookkeeping, 4, 6);
}

static int explain_at_level_1(unsigned number)
{
    char *mapping = np_large_take(MIB, 16);
    char *freed = np_large_take(MIB, 16);
    char *none = np_none_take(16);
    const struct {
        char *address;
        enum np_fault fault;
    } faults[] = {
        {none, NP_FAULT_FORBIDDEN},
        {none - 1, NP_FAULT_UNMAPPED},
        {freed + 100, NP_FAULT_UNMAPPED},
        {mapping + 2 * MIB, NP_FAULT_UNMAPPED},
        {freed + 100, NP_FAULT_FORBIDDEN}, /* by now there is something else */
        {mapping + 2 * MIB, NP_FAULT_FORBIDDEN},
        {NULL, NP_FAULT_UNMAPPED},
    };

    np_strict_decide();
    EXPECT(np_large_give(freed));
    np_fault_explain((uintptr_t)faults[number].address, faults[number].fault);
    return 0;
}

/* A guard page of a thread's stack may lie beside a mapping of ours. */
static void what_others_forbid_is_not_explained(void **state)
{
    (void)state;
    expect_explained(explain_at_level_1, 4, 7);
}

static void do_nothing(int number)
{
    (void)number;
}

static bool has_handler_after(size_t size_bytes)
{
    struct sigaction present;

    np_core_give(np_core_take(size_bytes));
    EXPECT(sigaction(SIGSEGV, NULL, &present) == 0);
    return (present.sa_flags & SA_SIGINFO) != 0;
}

enum situation { USUAL, SWITCHED_OFF, PROGRAM_HAS_ONE };

static int watch(unsigned situation)
{
    EXPECT(signal(SIGSEGV, situation == PROGRAM_HAS_ONE ? do_nothing : SIG_DFL) != SIG_ERR);
    if (situation == SWITCHED_OFF)
        EXPECT(np_tune_set(NP_KNOB_HARDENING, 0));
    EXPECT(!has_handler_after(100));
    EXPECT(!has_handler_after(16384));
    EXPECT(has_handler_after(0) == (situation == USUAL));
    EXPECT(has_handler_after(100000) == (situation == USUAL));
    EXPECT(signal(SIGSEGV, SIG_DFL) != SIG_ERR);
    EXPECT(!has_handler_after(100000)); /* the program means it */
    return 0;
}

static void a_handler_is_set_once_where_there_is_none(void **state)
{
    (void)state;
    for (unsigned situation = USUAL; situation <= PROGRAM_HAS_ONE; situation++)
        assert_int_equal(run_in_child(watch, situation), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_in_a_window_or_beside_it_is_explained),
        cmocka_unit_test(a_fault_beside_bookkeeping_is_explained),
        cmocka_unit_test(what_others_forbid_is_not_explained),
        cmocka_unit_test(a_handler_is_set_once_where_there_is_none),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

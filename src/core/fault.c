/* From level 1 of hardening on: an access that the system has stopped, to a block of no bytes, to a
 * freed mapping, beside one or beside the heap, is named in one sentence before the process ends.
 * Owns the handler of SIGSEGV, where the program has none when it asks for its first block that is
 * not small, at level 2 when the library is loaded; a handler that the program sets later takes its
 * place. */
#include "fault.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "check.h"
#include "large.h"
#include "limits.h"
#include "meta.h"
#include "none.h"
#include "strict.h"
#include "thread.h"
#include "tune.h"
#include "window.h"

_Atomic bool np_fault_is_watched;

/* In a guard page of what is known of a window. */
static bool is_beside_bookkeeping(uintptr_t address)
{
    const struct np_window *window = np_window_list();

    while (window != NULL && address - ((uintptr_t)window - np_page_bytes()) >=
                                 window->mapped_bytes + 2 * np_page_bytes())
        window = window->next;
    return window != NULL;
}

NP_COLD void np_fault_explain(uintptr_t address, enum np_fault fault)
{
    size_t requested_bytes = 0;
    enum np_guarded place = NP_GUARDED_NONE;

    /* Or just before the first one of them. */
    if (np_none_holds(address) || np_none_holds(address + NP_GRANULE_BYTES))
        np_die_of("access to a block of no bytes", address, "block", 0);
    /* Below the strictest level no mapping of ours is forbidden: it is a guard page of somebody else's. */
    if (fault == NP_FAULT_UNMAPPED || np_strict_is_on())
        place = np_large_guarded_around(address, &requested_bytes);
    if (place == NP_GUARDED_BESIDE)
        np_die_of("overflow or underflow: access beside a block", address, "mapping",
                  requested_bytes);
    if (place == NP_GUARDED_FREED)
        np_die_of("access to a freed block", address, "mapping", requested_bytes);
    /* Just outside a window, too: the heap may end where one does. */
    if (np_window_find(address - NP_GRANULE_BYTES) != NULL ||
        np_window_find(address + NP_GRANULE_BYTES) != NULL || is_beside_bookkeeping(address))
        np_die_at("overflow or underflow: access to memory that no block has", address);
}

/* Ends the process with a sentence if the address is one of ours. Otherwise the instruction is repeated, and meets what it
 * would have met without us. */
static void explain(int signal_number, siginfo_t *info, void *context)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};

    (void)context;
    (void)sigaction(signal_number, &usual, NULL);
    if (info->si_code <= 0)
        (void)raise(signal_number); /* sent by somebody: no instruction is repeated, nor is there an address */
    else
        np_fault_explain((uintptr_t)info->si_addr,
                         info->si_code == SEGV_MAPERR ? NP_FAULT_UNMAPPED : NP_FAULT_FORBIDDEN);
}

NP_COLD void np_fault_watch_slow(void)
{
    struct sigaction present;
    struct sigaction ours = {.sa_sigaction = explain, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    int saved_errno = errno;

    np_thread_read_environment();
    if (atomic_load_explicit(&np_strict_state, memory_order_relaxed) == NP_STRICT_UNDECIDED ||
        atomic_exchange(&np_fault_is_watched, true) || np_tune_get(NP_KNOB_HARDENING) == 0)
        return;
    if (sigaction(SIGSEGV, NULL, &present) == 0 && (present.sa_flags & SA_SIGINFO) == 0 &&
        present.sa_handler == SIG_DFL)
        (void)sigaction(SIGSEGV, &ours, NULL);
    errno = saved_errno;
}

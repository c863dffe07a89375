/* NEAP_HARDENING=2: an access that the system has stopped, on a guard page, to a freed mapping or to a block of no bytes, is
 * named in one sentence before the process ends. Owns the handler of SIGSEGV, where the program has none when the library is
 * loaded; a handler that the program sets later takes its place. */
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "core.h"
#include "thread.h"

/* Ends the process with a sentence if the address is one of ours. Otherwise the instruction is repeated, and meets what it
 * would have met without us. */
static void explain(int signal_number, siginfo_t *info, void *context)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};

    (void)context;
    (void)sigaction(signal_number, &usual, NULL);
    np_core_explain_fault((uintptr_t)info->si_addr);
}

__attribute__((constructor)) static void explain_faults(void)
{
    struct sigaction present;
    struct sigaction ours = {.sa_sigaction = explain, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    np_thread_read_environment();
    np_strict_decide();
    if (np_strict_is_on() && sigaction(SIGSEGV, NULL, &present) == 0 &&
        (present.sa_flags & SA_SIGINFO) == 0 && present.sa_handler == SIG_DFL)
        (void)sigaction(SIGSEGV, &ours, NULL);
}

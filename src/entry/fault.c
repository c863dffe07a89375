/* NEAP_HARDENING=2: faults are explained from the start (core/fault.c). Owns nothing. Level 2 is for
 * programs that are tested or attacked: small blocks are reason enough there. */
#include "fault.h"
#include "strict.h"
#include "thread.h"

__attribute__((constructor)) static void watch_from_the_start(void)
{
    np_thread_read_environment();
    np_strict_decide();
    if (np_strict_is_on())
        np_fault_watch();
}

/* Faults of the program's that are its misuse of the heap: see fault.c. */
#ifndef NP_CORE_FAULT_H
#define NP_CORE_FAULT_H

#include "attr.h"

/* Ends the process with a sentence if the address is one that nobody may access: beside a block, in
 * a freed one, in one of no bytes. For a handler of signals, which knows whether there is a mapping
 * at the address. */
enum np_fault { NP_FAULT_UNMAPPED, NP_FAULT_FORBIDDEN };
void np_fault_explain(uintptr_t address, enum np_fault fault);

extern _Atomic bool np_fault_is_watched;
void np_fault_watch_slow(void);

/* From now on they are explained, if the level of hardening is at least 1 and the program has no
 * handler. Not from the start: the runtimes of some languages set theirs when main begins, and only
 * where there is none. They have asked for small blocks by then, if for any. */
NP_INLINE void np_fault_watch(void)
{
    if (NP_UNLIKELY(!atomic_load_explicit(&np_fault_is_watched, memory_order_relaxed)))
        np_fault_watch_slow();
}

#endif

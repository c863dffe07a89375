/* Addresses of freed mappings that wait before the system may use them again; meanwhile nobody may access them. Up to 256
 * wait, the oldest goes when another comes; they have no memory. At level 1 of hardening they are noted only, and the
 * system may use them again at once. Lock-free: each is one word. */
#ifndef NP_LARGE_WAITING_H
#define NP_LARGE_WAITING_H

#include "attr.h"

/* Gives the memory of a mapping back, and keeps its addresses if it can. Whole system pages. */
void np_waiting_put(void *start, size_t bytes);

/* Notes a mapping that is about to be given back, or has been. */
void np_waiting_note(const void *start, size_t bytes);

/* They may be used again at once. False: none waited. */
bool np_waiting_end(void);

/* Whether an address waits, or is noted; *bytes: how many with it. For diagnosis. */
bool np_waiting_holds(uintptr_t address, size_t *bytes);

#endif

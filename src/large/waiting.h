/* Addresses of freed mappings that wait before the system may use them again; meanwhile nobody may access them. Up to 256
 * wait, the oldest goes when another comes; they have no memory. Lock-free: each is one word. */
#ifndef NP_LARGE_WAITING_H
#define NP_LARGE_WAITING_H

#include "attr.h"

/* Gives the memory of a mapping back, and keeps its addresses if it can. Whole system pages. */
void np_waiting_put(void *start, size_t bytes);

/* They may be used again at once. False: none waited. */
bool np_waiting_end(void);

/* Whether an address waits; *bytes: how many wait with it. For diagnosis. */
bool np_waiting_holds(uintptr_t address, size_t *bytes);

#endif

/* Blocks of no bytes: addresses behind which there is nothing, so that whoever reads or writes there is stopped by the
 * system at once. Each is 16 bytes of one reservation, and a bit says whether it is lent. They are lent in turn, so that
 * one is used again as late as can be; aligned ones are among them, as far as a granule.
 *
 * Lock-free: a bit is claimed and freed by one atomic step, and a fork finds nothing held. Leaves out what happens when
 * all are lent: malloc takes a slot then, as for one byte. */
#ifndef NP_LARGE_NONE_H
#define NP_LARGE_NONE_H

#include "attr.h"

/* At an alignment, a power of two. NULL: all that have it are lent, or there are no addresses. */
void *np_none_take(size_t alignment_bytes);

/* Whether the address lies in the reservation; for any address. */
bool np_none_holds(uintptr_t address);

/* Whether a block of no bytes that is lent begins at the address. */
bool np_none_is_lent(uintptr_t address);

/* False: it is not lent. */
bool np_none_give(void *memory);

#endif

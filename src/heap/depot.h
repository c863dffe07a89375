/* The depot: closed slabs with room, by class, for whoever needs slots of that class.
 *
 * One tree a class, by side fullest slab first and lowest address among equals, so that few slabs fill up and the others
 * empty. An entry's place is that of the moment it was listed; frees since then may have emptied it further, to
 * twice the room at most before its next holder lists it anew.
 * An entry may meanwhile have been opened by a pusher: then the next taker drops it, and its holder lists
 * it again when it closes it.
 *
 * Each class has a lock (rank NP_RANK_DEPOT); all listing and unlisting happens under it. A slab that is listed, and
 * is to stay so, is closed without it.
 */
#ifndef NP_HEAP_DEPOT_H
#define NP_HEAP_DEPOT_H

#include "slab.h"

/* Slabs are listed by *side*, and each heap has one: a heap takes what its own side has before what others have. So the
 * blocks of a thread come to lie in slabs that other threads seldom write to, and the cache lines of those slabs stay with
 * its processor. */
#define NP_DEPOT_SIDES 8

/* Opens a slab of the class, of this side if it has one, and returns it, held by the caller; NULL: none, or a fork has
 * the lock. */
struct np_slab *np_depot_take(unsigned class_index, unsigned side);

/* Holder, owner cleared: charges the slab with the pages that are free, lists it if it has room, and closes it; or gives it
 * back if no slot of it is live and it is not to stay for other threads. The caller does not touch it afterwards, and
 * looks whether too much is retained now (return.h). */
void np_depot_settle(struct np_slab *slab);

/* Settles the slabs that had to wait for a fork; to be called when all its locks are free. */
void np_depot_settle_aside(void);

/* Holder: a slab of the twin class becomes one of the class that has its slot size, because the limit of M_MXFAST
 * has changed. It may be listed still, in the twin's depot: then it leaves it, unless a fork has the lock; then it
 * stays a twin. */
void np_depot_stop_being_twin(struct np_slab *slab);

/* Slabs listed in a class, about. */
size_t np_depot_count(unsigned class_index);

/* Gives back entirely free listed slabs of held classes (a trim). */
void np_depot_trim(void);

/* The same for so many of them at the most; true: there are more. */
bool np_depot_trim_some(unsigned most_count);

/* The limit of M_MXFAST has fallen: listed slabs of classes that are not held any more are charged, or given back. */
void np_depot_release_held(void);

/* NULL, or what is wrong with a class's list. */
const char *np_depot_audit(unsigned class_index);

void np_depot_fork(enum np_fork_phase phase);

#endif

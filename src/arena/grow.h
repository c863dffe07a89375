/* Inside the arena layer: the break, and the list of arenas. Guarded by np_break_lock, see grow.c. */
#ifndef NP_ARENA_GROW_H
#define NP_ARENA_GROW_H

#include "arena.h"

struct np_arena *np_arena_main(void);

/* False for good from the moment that other code is seen to use the break, see grow.c. */
bool np_arena_may_move_break(void);
void np_arena_note_foreign_break(void);

/* To be called before the first hole is made, where memory is returned between what is live: from then on the kernel makes
 * no huge pages of what arenas have, which would put memory into the holes. */
void np_arena_forbid_huge_pages(void);

/* Counts address space got (or, negative, given back). */
void np_arena_count_system(struct np_arena *arena, intptr_t delta_bytes);

#endif

/* Inside the arena layer: the break, and the list of arenas. Guarded by np_break_lock, see grow.c. */
#ifndef NP_ARENA_GROW_H
#define NP_ARENA_GROW_H

#include "arena.h"

struct np_arena *np_arena_main(void);

/* False for good from the moment that other code is seen to use the break, see grow.c. */
bool np_arena_may_move_break(void);
void np_arena_note_foreign_break(void);

/* Counts address space got (or, negative, given back). */
void np_arena_count_system(struct np_arena *arena, intptr_t delta_bytes);

#endif

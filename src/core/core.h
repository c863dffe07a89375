/* Which of the layers below serves a request, and what happens when none can.
 *
 * Everything here answers NULL or false for "no memory" and never touches errno: entry/ does. Nothing here exports
 * a symbol. Owns: the choice between slab, run and mapping; realloc; alignment; the retry when memory is short.
 */
#ifndef NP_CORE_CORE_H
#define NP_CORE_CORE_H

#include "attr.h"
#include "heap.h"
#include "strict.h"

/* The slow half of malloc: any size, any state of the thread and the process. */
void *np_core_take(size_t size_bytes);

/* The same in short, for a thread that the fast path serves: NULL where the long way is to be gone. */
void *np_core_try_take_small(struct np_heap *heap, size_t size_bytes);

/* The same, zeroed. */
void *np_core_take_zeroed(size_t size_bytes);

/* The same at an alignment: a power of two. */
void *np_core_take_aligned(size_t size_bytes, size_t alignment_bytes);

/* The slow half of free: any pointer. One that is not a live block of ours ends the process with a sentence. */
void np_core_give(void *memory);

/* The same for memory that was asked for by this form; of small blocks only the strictest level knows whether it was. */
void np_core_give_as(void *memory, enum np_form form);

/* Whether frees of blocks that are no slots are to be of the form that asked for them, at the strictest level. Set before
 * main, or never. */
extern bool np_core_are_forms_matched;

/* Notes by which form a block was asked for that was just taken: at the strictest level, or if it is no slot. */
void np_core_set_form(void *memory, enum np_form form);

/* realloc for a live block and a size above zero. NULL: no memory, the block is as it was. */
void *np_core_resize(void *memory, size_t size_bytes);

/* Bytes the program may use of a live block; stable while it lives. */
size_t np_core_usable_bytes(const void *memory);

/* Before a free that names a size and an alignment (NP_ALIGNMENT: none): dies if the block was asked for with others. Only
 * the class of a small block is known, so of these two sizes of one class pass for each other; with NP_SIZED_FREE it may
 * also have been resized where it lies. */
enum np_sized { NP_SIZED_DELETE, NP_SIZED_FREE };
void np_core_check_sized(const void *memory, size_t size_bytes, size_t alignment_bytes,
                         enum np_sized sized);

/* The same for an alignment alone. */
void np_core_check_aligned(const void *memory, size_t alignment_bytes);

/* At the end of the process: looks through what this thread's heap has free, and dies if it was overwritten. */
void np_core_check_at_exit(void);

/* Gives back all that is free, but for pad_bytes at the top; true if any went. */
bool np_core_trim(size_t pad_bytes);

/* The same without a pad, and in parts: ends when about most_bytes have gone, or after most_ns at the first look at the
 * clock, which comes with every 4 MiB; 0: without that limit. Returns the bytes that went; 0: nothing was left. */
size_t np_core_trim_some(size_t most_bytes, uint64_t most_ns);

/* To be called after a knob was set: makes it hold in this thread's heap at once. */
void np_core_knobs_changed(void);

/* All audits that are safe in a running process, for this thread's heap and everything shared; NULL if sound. */
const char *np_core_audit(void);

#endif

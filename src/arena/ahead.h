/* Memory put behind blocks of more than 16 KiB before the program touches them, at two thirds of what
 * faulting in page by page takes. For blocks from malloc only: what calloc hands out is often hardly
 * touched.
 *
 * Which of its pages a program will write nobody knows, so it is watched. Blocks are populated in
 * *batches*, each stood for by three pages of its first block that are left out. Once the program has
 * written these, it is taken to write all of its blocks. The next batch but one begins only then: if the
 * program stops to write its blocks, the rest of a batch and two more are populated in vain at most, and a
 * batch is at most 1/96 of the heap. [A1] So at most 1/32 of the heap is populated ahead of its use. Nothing
 * is before the first block that was watched has been written, nor in heaps of less than 8 MiB.
 *
 * Who guards it: one flag, for which nobody waits. A thread that finds it taken leaves its block as it is.
 *
 * Leaves out: slabs, which heap/ populates as it extends them.
 */
#ifndef NP_ARENA_AHEAD_H
#define NP_ARENA_AHEAD_H

#include "attr.h"

/* Puts memory behind a block of so many bytes that has none, from malloc, or does not. available_bytes: to the
 * end of what is the block's alone. */
void np_ahead_populate(void *block, size_t requested_bytes, size_t available_bytes);

/* In the child of a fork another thread may have been at it. */
void np_ahead_settle_in_child(void);

#endif

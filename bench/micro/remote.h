/* remote.h: a thread that allocates or frees a batch of blocks when it is told to, and otherwise
 * sleeps. It plays the owner of blocks that the measuring thread frees, and the other way round.
 */
#ifndef MICRO_REMOTE_H
#define MICRO_REMOTE_H

#include <stddef.h>

struct helper;

/* NULL: no thread can be made. */
struct helper *helper_start(void);
void helper_end(struct helper *helper);

/* Both return when it is done. */
void helper_allocate(struct helper *helper, void **blocks, size_t count, size_t byte_count);
void helper_free(struct helper *helper, void **blocks, size_t count);

#endif

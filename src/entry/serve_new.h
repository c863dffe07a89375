/* operator new and delete as C functions; operators.cc repeats these two declarations in C++. */
#ifndef NP_ENTRY_SERVE_NEW_H
#define NP_ENTRY_SERVE_NEW_H

#include <stddef.h>

void *np_serve_new_take(size_t size_bytes, size_t alignment_bytes);
void np_serve_new_give(void *memory);

/* The forms that name a size, or an alignment, or both; alignment_bytes 0: none was named. */
void np_serve_new_give_sized(void *memory, size_t size_bytes, size_t alignment_bytes);
void np_serve_new_give_aligned(void *memory, size_t alignment_bytes);

#endif

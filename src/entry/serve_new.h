/* operator new and delete as C functions; operators.cc repeats these two declarations in C++. */
#ifndef NP_ENTRY_SERVE_NEW_H
#define NP_ENTRY_SERVE_NEW_H

#include <stddef.h>

void *np_serve_new_take(size_t size_bytes, size_t alignment_bytes);
void np_serve_new_give(void *memory);

#endif

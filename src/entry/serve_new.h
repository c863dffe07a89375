/* operator new and delete as C functions; operators.cc repeats these two declarations in C++. */
#ifndef NP_ENTRY_SERVE_NEW_H
#define NP_ENTRY_SERVE_NEW_H

#include <stddef.h>

/* The form is one of enum np_form (core/strict.h). */
void *np_serve_new_take(size_t size_bytes, size_t alignment_bytes, unsigned form);
void np_serve_new_give(void *memory, unsigned form);

/* The forms that name a size, or an alignment, or both; alignment_bytes 0: none was named. */
void np_serve_new_give_sized(void *memory, size_t size_bytes, size_t alignment_bytes,
                             unsigned form);
void np_serve_new_give_aligned(void *memory, size_t alignment_bytes, unsigned form);

#endif

/* operator new and delete as C functions; operators.cc repeats these declarations in C++. */
#ifndef NP_ENTRY_SERVE_NEW_H
#define NP_ENTRY_SERVE_NEW_H

#include <stddef.h>

/* The form is one of enum np_form (core/strict.h). What the fast path does not serve is `slowly`'s, which is C++ and may throw;
 * it is a tail call, and where it is not, this is compiled so that exceptions pass through. */
typedef void *np_new_slowly(size_t size_bytes, unsigned form);
void *np_serve_new(size_t size_bytes, unsigned form, np_new_slowly *slowly);
void *np_serve_new_take(size_t size_bytes, size_t alignment_bytes, unsigned form);
void np_serve_new_give(void *memory, unsigned form);

/* From now on blocks are to be freed by the form that they were asked for by: no operator is the program's own. */
void np_serve_new_match_forms(void);

/* The forms that name a size, or an alignment, or both. */
void np_serve_new_give_sized(void *memory, size_t size_bytes, unsigned form);
void np_serve_new_give_aligned_sized(void *memory, size_t size_bytes, size_t alignment_bytes,
                                     unsigned form);
void np_serve_new_give_aligned(void *memory, size_t alignment_bytes, unsigned form);

#endif

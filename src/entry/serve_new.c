/* What operators.cc needs, as functions that C++ can call: serve.h is C's. */
#include "serve_new.h"

#include "serve.h"

void *np_serve_new_take(size_t size_bytes, size_t alignment_bytes)
{
    if (alignment_bytes <= NP_ALIGNMENT)
        return np_serve_malloc(size_bytes);
    return np_serve_memalign(alignment_bytes, size_bytes);
}

void np_serve_new_give(void *memory)
{
    np_serve_free(memory);
}

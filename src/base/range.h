/* A stretch of memory. Owns nothing. */
#ifndef NP_BASE_RANGE_H
#define NP_BASE_RANGE_H

#include <stddef.h>

struct np_range {
    void *address;
    size_t bytes;
};

#endif

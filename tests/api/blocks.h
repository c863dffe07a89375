/* Blocks of one size, all written to, and their end. After cmocka.h. */
#ifndef NEAP_TESTS_API_BLOCKS_H
#define NEAP_TESTS_API_BLOCKS_H

#include <string.h>

#include "names.h"

static inline void allocate_blocks(char **blocks, size_t count, size_t bytes)
{
    for (size_t i = 0; i < count; i++) {
        blocks[i] = api_malloc(bytes);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, bytes);
    }
}

static inline void free_blocks(char **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        api_free(blocks[i]);
}

#endif

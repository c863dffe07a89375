/* Trap: a process may have only so many mappings (vm.max_map_count), and munmap in the middle of
 * neighbours that the kernel has joined needs one more. When it refuses, free must cope and
 * nobody's block may suffer. */
#include <malloc.h>

#include "trap.h"

enum { BLOCKS = 160000, BLOCK_BYTES = 100 };

static char *blocks[BLOCKS];

int main(void)
{
    char *first = malloc(10); /* the main arena exists, and grows without a mapping more */

    alarm(240);
    REQUIRE(first != NULL);
    REQUIRE(mallopt(M_MMAP_THRESHOLD, 64) == 1);
    REQUIRE(mallopt(M_MMAP_MAX, 1000000) == 1);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        REQUIRE(blocks[i] != NULL);
        if (i % 50 == 1)
            memset(blocks[i], (int)(i % 100), BLOCK_BYTES);
    }
    /* Every second one: that leaves more holes than there may be mappings. */
    for (size_t i = 0; i < BLOCKS; i += 2) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
    for (size_t i = 1; i < BLOCKS; i += 50)
        REQUIRE(blocks[i][0] == (char)(i % 100) && blocks[i][99] == (char)(i % 100));
    /* Short of mappings, all kinds of blocks can still be had. */
    for (size_t size = 1; size < 1000000; size *= 3) {
        char *block = malloc(size);

        REQUIRE(block != NULL);
        memset(block, 1, size);
        block = realloc(block, size * 2);
        REQUIRE(block != NULL);
        free(block);
        free(aligned_alloc(65536, size));
    }
    for (size_t i = 1; i < BLOCKS; i += 2)
        free(blocks[i]);
    REQUIRE(mallinfo2().hblks == 0);
    free(first);
    return 0;
}

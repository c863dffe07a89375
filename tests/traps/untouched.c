/* Trap: a freed block is cleared, in part or as a whole, so that a write to it shows later. What
 * the program never wrote of it, and the room behind a block that grows, must not become resident
 * for this. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trap.h"

#define BLOCKS      16
#define BLOCK_BYTES 65000
#define GROWN_BYTES 40000
#define STEP_BYTES  4000

/* Memory only: neither code that is mapped, nor the page of zeros that reading may map. */
static long resident_kib(void)
{
    char line[128];
    long kib = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");

    REQUIRE(file != NULL);
    while (kib < 0 && fgets(line, sizeof(line), file) != NULL)
        (void)sscanf(line, "Anonymous: %ld", &kib);
    fclose(file);
    REQUIRE(kib >= 0);
    return kib;
}

int main(int argc, char **argv)
{
    /* The first sixteen that are freed are cleared as a whole; what grew was freed once before. */
    unsigned count = argc == 1 ? BLOCKS : BLOCKS / 2;
    void *blocks[BLOCKS];
    long before_kib;
    long added_kib;

    (void)argv;
    (void)resident_kib(); /* stdio's own block */
    for (unsigned i = 0; i < count; i++) {
        blocks[i] = malloc(argc == 1 ? BLOCK_BYTES : GROWN_BYTES);
        REQUIRE(blocks[i] != NULL);
    }
    /* They lie side by side, so each has to move, and gets room behind it. */
    for (unsigned i = 0; i < count && argc > 1; i++) {
        memset(blocks[i], 1, GROWN_BYTES);
        blocks[i] = realloc(blocks[i], GROWN_BYTES + STEP_BYTES);
        REQUIRE(blocks[i] != NULL);
    }
    before_kib = resident_kib();
    for (unsigned i = 0; i < count; i++)
        free(blocks[i]);
    added_kib = resident_kib() - before_kib;
    printf("freeing %u blocks added %ld KiB\n", count, added_kib);
    REQUIRE(added_kib <= 16);
    return 0;
}

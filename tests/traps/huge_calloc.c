/* Trap: calloc of much memory, of which little is used, must touch none of it. */
#include <errno.h>

#include "load.h"

#define MIB ((size_t)1 << 20)

int main(void)
{
    size_t bytes = (size_t)8 << 30;
    size_t before;
    char *block;

    alarm(240);
    load_run(1, LOAD_STEPS);
    before = resident_bytes();
    /* A machine with less memory and a cautious kernel refuses so much: then half of it. */
    while ((block = calloc(bytes / 16, 16)) == NULL) {
        REQUIRE(errno == ENOMEM);
        bytes /= 2;
        REQUIRE(bytes >= (size_t)256 * MIB);
    }
    REQUIRE(resident_bytes() <= before + MIB);
    for (size_t at = 0; at < bytes; at += bytes / 50) {
        REQUIRE(block[at] == 0);
        block[at] = 1;
    }
    REQUIRE(resident_bytes() <= before + 2 * MIB);
    free(block);
    REQUIRE(resident_bytes() <= before + MIB);
    /* Where memory has been used before, it is cleared. */
    for (unsigned round = 0; round < 3; round++) {
        block = calloc(1, 3 * MIB);
        REQUIRE(block != NULL && bytes_are(block, 3 * MIB, 0));
        memset(block, 0xff, 3 * MIB);
        free(block);
    }
    return 0;
}

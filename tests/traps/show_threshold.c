/* Prints which settings from outside reached us: a block of 1,000,000 bytes is "mapped" by the
 * built-in threshold of 128 KiB, and "not mapped" if somebody has raised that to 4,000,000. */
#include <malloc.h>
#include <stdio.h>

#include "trap.h"

int main(void)
{
    void *block = malloc(1000000);

    REQUIRE(block != NULL);
    puts(mallinfo2().hblks > 0 ? "mapped" : "not mapped");
    return 0;
}

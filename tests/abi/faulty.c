/* Two faults for valgrind to find: 1111 bytes that are lost, and a read behind a block's end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOST_BYTES = 1111, INTS = 10 };

static void lose(void)
{
    char *volatile lost = malloc(LOST_BYTES);

    memset(lost, 1, LOST_BYTES);
    lost = NULL;
}

/* A call of its own, which the compiler cannot look through to see the fault. */
static int read_behind(const int *volatile block)
{
    return block[INTS];
}

int main(void)
{
    int *block = calloc(INTS, sizeof(*block));

    lose();
    puts(read_behind(block) == -1 ? "minus one" : "something");
    free(block);
    return 0;
}

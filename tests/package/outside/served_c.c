/* A C program of a user: its own malloc, libc's inside strdup, and the header's names meet one heap. */
#include "served.h"

#include <string.h>

static char text[SERVED_BLOCK_BYTES + 1];

int main(void)
{
    size_t before = live_bytes();
    void *block = malloc(SERVED_BLOCK_BYTES);
    size_t during = live_bytes();
    char *copy;

    if (block == NULL)
        return 1;
    neap_free(block);
    require_served("malloc", before, during, live_bytes());

    memset(text, 'x', SERVED_BLOCK_BYTES);
    before = live_bytes();
    copy = strdup(text);
    during = live_bytes();
    free(copy);
    require_served("strdup", before, during, live_bytes());

    puts("served by neap");
    return 0;
}

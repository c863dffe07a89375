/* A C program of a user: its own malloc, and the one that libc calls inside strdup. */
#include "served.h"

#include <string.h>

static char text[SERVED_BLOCK_BYTES + 1];

int main(void)
{
    size_t before = live_bytes();
    void *block = malloc(SERVED_BLOCK_BYTES);
    size_t during = live_bytes();
    char *copy;

    served_escape = block;
    neap_free(block);
    require_served("malloc", before, during, live_bytes());

    memset(text, 'x', SERVED_BLOCK_BYTES);
    before = live_bytes();
    copy = strdup(text);
    served_escape = copy;
    during = live_bytes();
    free(copy);
    require_served("strdup", before, during, live_bytes());

    puts("served by neap");
    return 0;
}

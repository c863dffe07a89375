/* Trap: malloc is called before our constructors, and before libc's. A function in .preinit_array
 * runs ahead of those of every library. */
#include <malloc.h>

#include "trap.h"

static void *early[64];
static char *grown;

static void allocate_early(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)argv;
    (void)envp;
    for (size_t i = 0; i < 64; i++) {
        early[i] = malloc(i * i * 40);
        REQUIRE(early[i] != NULL);
        memset(early[i], (int)i, i * i * 40);
    }
    for (size_t i = 0; i < 64; i += 2) {
        free(early[i]);
        early[i] = NULL;
    }
    grown = calloc(1, 10);
    REQUIRE(grown != NULL);
    grown = realloc(grown, 300000);
    REQUIRE(grown != NULL);
    memset(grown, 7, 300000);
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit)(int, char **,
                                                                             char **) =
    allocate_early;

int main(void)
{
    REQUIRE(grown != NULL);
    REQUIRE(malloc_usable_size(grown) >= 300000);
    for (size_t i = 1; i < 64; i += 2) {
        const unsigned char *bytes = early[i];

        for (size_t at = 0; at < i * i * 40; at++)
            REQUIRE(bytes[at] == i);
        free(early[i]);
    }
    for (size_t at = 0; at < 300000; at++)
        REQUIRE(grown[at] == 7);
    free(grown);
    return 0;
}

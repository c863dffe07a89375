/* A library for preload.sh: loaded beside libneap.so and after it, so that the loader initialises
 * it first and finalises it last. It allocates before our constructors and frees when main has
 * ended. */
#include <stdio.h>

#include "trap.h"

static char *before_main;

__attribute__((constructor)) static void allocate_before_main(void)
{
    before_main = malloc(5000);
    REQUIRE(before_main != NULL);
    memset(before_main, 3, 5000);
    free(malloc(100000));
}

__attribute__((destructor)) static void free_after_main(void)
{
    for (size_t i = 0; i < 5000; i++)
        REQUIRE(before_main[i] == 3);
    before_main = realloc(before_main, 300000);
    REQUIRE(before_main != NULL);
    free(before_main);
    REQUIRE(write(STDOUT_FILENO, "freed after main\n", 17) == 17);
}

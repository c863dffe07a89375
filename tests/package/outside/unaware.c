/* A C program that names no function of malloc: only libc allocates, in its name. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *copy = strdup(argv[argc - 1]);

    return copy == NULL || puts(copy) < 0;
}

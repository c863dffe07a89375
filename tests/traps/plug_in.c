/* A plug-in for deep_bind.c: it knows libc and nothing else. */
#include "trap.h"

char *plug_in_copy_of_libc(const char *text);
char *plug_in_take(size_t bytes);
void plug_in_give(void *block);

/* libc's own functions ask for their memory where the program does, and not where we do. */
char *plug_in_copy_of_libc(const char *text)
{
    return strdup(text);
}

char *plug_in_take(size_t bytes)
{
    return realloc(malloc(bytes / 2), bytes);
}

void plug_in_give(void *block)
{
    free(block);
}

/* damaging.c: a malloc that now and then overwrites a byte of a block that is in use. With it under
 * `return` a test sees that the program finds such damage. For one thread. */
#include <stddef.h>

void *__libc_malloc(size_t bytes);
void *malloc(size_t bytes);

enum { EVERY = 4000 };

void *malloc(size_t bytes)
{
    static unsigned char *victim;
    static unsigned count;
    unsigned char *block = __libc_malloc(bytes);

    if (block == NULL)
        return NULL;
    if (++count % EVERY == 1)
        victim = block;
    if (count % EVERY == 0)
        *victim ^= 1;
    return block;
}

/* Trap: a program that defines only a part of the malloc family itself. Which part, is said by
 * WRAPS: what a tool does that counts calls, or an old program that wraps libc's functions.
 *
 *   1  malloc alone, which asks libc's __libc_malloc: what it hands out goes to our free
 *   2  malloc, calloc, realloc and free, by __libc_...: blocks of our memalign go to its free
 *   3  malloc and free, by the next ones after it (RTLD_NEXT)
 *   4  free alone, by the next one
 *
 * All that the names that it does not define hand out or take must fit, in libc, too. */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include <neap/neap.h>

#include "trap.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

static _Atomic unsigned long calls;

#if WRAPS == 1 || WRAPS == 2
void *malloc(size_t size)
{
    calls++;
    return __libc_malloc(size);
}
#endif

#if WRAPS == 2
void *calloc(size_t count, size_t size)
{
    calls++;
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    calls++;
    return __libc_realloc(block, size);
}

void free(void *block)
{
    calls++;
    __libc_free(block);
}
#endif

#if WRAPS == 3 || WRAPS == 4
static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    REQUIRE(found != NULL);
    return found;
}

void free(void *block)
{
    static void (*real)(void *);

    calls++;
    if (real == NULL)
        *(void **)&real = next("free");
    real(block);
}
#endif

#if WRAPS == 3
void *malloc(size_t size)
{
    static void *(*real)(size_t);

    calls++;
    if (real == NULL)
        *(void **)&real = next("malloc");
    return real(size);
}
#endif

static void use(void *block, size_t size)
{
    REQUIRE(block != NULL);
    REQUIRE(neap_malloc_usable_size(block) >= size); /* it is neap's, or this ends the process */
    memset(block, 1, size);
}

/* Blocks of every name, freed and resized by every name. */
static void cross(size_t size)
{
    void *blocks[9] = {
        malloc(size), calloc(1, size), realloc(NULL, size), memalign(64, size),
        aligned_alloc(64, size), valloc(size), strdup("text"), malloc(size), calloc(size, 2),
    };

    for (size_t i = 0; i < 9; i++) {
        use(blocks[i], i == 6 ? 5 : size);
        if (i % 3 == 2)
            blocks[i] = realloc(blocks[i], size * 3);
        REQUIRE(blocks[i] != NULL);
        free(blocks[i]);
    }
}

static void *cross_all(void *argument)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream;

    for (size_t size = 1; size < 500000; size = size * 3 + 1)
        cross(size);
    stream = open_memstream(&text, &length);
    REQUIRE(stream != NULL && fprintf(stream, "%2000d", 1) == 2000);
    REQUIRE(fclose(stream) == 0 && length == 2000);
    use(text, 2000);
    free(text);
    return argument;
}

int main(void)
{
    pthread_t thread;

    alarm(120);
    (void)cross_all(NULL);
    REQUIRE(pthread_create(&thread, NULL, cross_all, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    REQUIRE(calls > 20);
    return 0;
}

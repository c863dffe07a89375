/* Trap: libneap.so is loaded late, by dlopen, into a program whose malloc is another, and
 * unloaded: its code and its blocks must stay, for threads still have to end through it. */
#include <dlfcn.h>
#include <pthread.h>

#include "trap.h"

static void *(*neap_malloc_found)(size_t);
static void (*neap_free_found)(void *);
static pthread_barrier_t barrier;

/* Allocates while the library is loaded, ends when it has been closed. */
static void *outlive_the_library(void *argument)
{
    char *blocks[100];

    for (size_t i = 0; i < 100; i++) {
        blocks[i] = neap_malloc_found(i * 100 + 1);
        REQUIRE(blocks[i] != NULL);
        memset(blocks[i], (int)i, i * 100 + 1);
    }
    pthread_barrier_wait(&barrier); /* now the library is closed ... */
    pthread_barrier_wait(&barrier); /* ... and now it has been */
    for (size_t i = 0; i < 100; i++) {
        REQUIRE(blocks[i][i * 100] == (char)i);
        neap_free_found(blocks[i]);
    }
    return argument;
}

/* libc's malloc, which dlopen uses, has the break, and may move it while others look. */
static void leave_the_break(void)
{
    void *end = sbrk(0);
    void *blocks[100];

    for (size_t i = 0; i < 100; i++) {
        blocks[i] = neap_malloc_found(100000);
        REQUIRE(blocks[i] != NULL);
    }
    REQUIRE(sbrk(0) == end);
    for (size_t i = 0; i < 100; i++)
        neap_free_found(blocks[i]);
    REQUIRE(sbrk(0) == end);
}

static void *open_and_look_up(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
        trap_fail(dlerror());
    *(void **)&neap_malloc_found = dlsym(library, "neap_malloc");
    *(void **)&neap_free_found = dlsym(library, "neap_free");
    REQUIRE(neap_malloc_found != NULL && neap_free_found != NULL);
    return library;
}

int main(int argc, char **argv)
{
    pthread_t threads[4];
    void *library;
    char *block;
    void *address;

    alarm(120);
    REQUIRE(argc == 2);
    library = open_and_look_up(argv[1]);
    address = *(void **)&neap_malloc_found;
    block = neap_malloc_found(5000);
    REQUIRE(block != NULL);
    memset(block, 9, 5000);
    leave_the_break();
    REQUIRE(pthread_barrier_init(&barrier, NULL, 5) == 0);
    for (size_t i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, outlive_the_library, NULL) == 0);
    pthread_barrier_wait(&barrier);
    REQUIRE(dlclose(library) == 0);
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < 4; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    REQUIRE(block[4999] == 9);
    neap_free_found(block);
    for (unsigned i = 0; i < 50; i++) {
        library = open_and_look_up(argv[1]);
        REQUIRE(*(void **)&neap_malloc_found == address);
        neap_free_found(neap_malloc_found(i * 1000));
        REQUIRE(dlclose(library) == 0);
    }
    return 0;
}

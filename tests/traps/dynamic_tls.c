/* Trap: the loader itself calls malloc, under its own lock, for the thread-local storage of
 * libraries that are opened late, and for its tables of them. */
#include <dlfcn.h>
#include <pthread.h>

#include "trap.h"

static char *(*library_bytes)(size_t *);

static void *touch_thread_locals(void *argument)
{
    size_t size = 0;
    char *bytes = library_bytes(&size);

    REQUIRE(size == 200000);
    REQUIRE(bytes[0] == 1);
    for (size_t i = 1; i < size; i++)
        REQUIRE(bytes[i] == 0);
    memset(bytes, 7, size);
    free(malloc(1000));
    REQUIRE(bytes[0] == 7 && bytes[size - 1] == 7);
    return argument;
}

int main(int argc, char **argv)
{
    pthread_t threads[4];

    alarm(120);
    REQUIRE(argc == 2);
    for (unsigned round = 0; round < 50; round++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);

        if (library == NULL)
            trap_fail(dlerror());
        *(void **)&library_bytes = dlsym(library, "tls_library_bytes");
        REQUIRE(library_bytes != NULL);
        for (size_t i = 0; i < 4; i++)
            REQUIRE(pthread_create(&threads[i], NULL, touch_thread_locals, NULL) == 0);
        for (size_t i = 0; i < 4; i++)
            REQUIRE(pthread_join(threads[i], NULL) == 0);
        REQUIRE(dlclose(library) == 0);
    }
    return 0;
}

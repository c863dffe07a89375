/* Trap: two copies of neap in one process, the program's own and one that a plug-in brings, and
 * beside them libc's malloc: all three move the break, register for forks and for the ends of
 * threads. Neither may touch what another one handed out, and a block that is freed in the wrong
 * one ends the process with a sentence. RTLD_DEEPBIND, as plug-ins are loaded that must find their
 * own libraries first.
 *
 *   trap_two_copies COPY_OF_LIBNEAP_SO */
#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>

#include "load.h"

enum { BLOCKS = 2000, ROUNDS = 5, MALLOCS = 3 };

static struct family {
    void *(*take)(size_t);
    void (*give)(void *);
} families[MALLOCS];

static struct {
    char *memory;
    size_t bytes;
} blocks[MALLOCS][BLOCKS];

static void find(struct family *family, void *library, const char *take, const char *give)
{
    *(void **)&family->take = dlsym(library, take);
    *(void **)&family->give = dlsym(library, give);
    REQUIRE(family->take != NULL && family->give != NULL);
}

/* libc's own functions, which RTLD_NEXT and the default scope would not find: neap is in front. */
static void find_all(const char *path)
{
    void *copy = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);

    if (copy == NULL || libc == NULL)
        trap_fail(dlerror());
    families[0] = (struct family){malloc, free};
    find(&families[1], copy, "neap_malloc", "neap_free");
    find(&families[2], libc, "malloc", "free");
    REQUIRE(families[0].take != families[1].take && families[1].take != families[2].take);
}

static void take_all(unsigned round)
{
    for (size_t at = 0; at < BLOCKS; at++)
        for (size_t which = 0; which < MALLOCS; which++) {
            size_t bytes = 1 + (at * 37 + round * 11) % (at % 50 == 0 ? 200000 : 3000);

            blocks[which][at].memory = families[which].take(bytes);
            blocks[which][at].bytes = bytes;
            REQUIRE(blocks[which][at].memory != NULL);
            pattern_fill_edges(blocks[which][at].memory, bytes, at * MALLOCS + which);
        }
}

static void give_all(void)
{
    for (size_t at = 0; at < BLOCKS; at++)
        for (size_t which = 0; which < MALLOCS; which++) {
            REQUIRE(pattern_edges_hold(blocks[which][at].memory, blocks[which][at].bytes,
                                       at * MALLOCS + which));
            families[which].give(blocks[which][at].memory);
        }
}

static void *use_all_in_thread(void *argument)
{
    for (size_t at = 0; at < 500; at++)
        for (size_t which = 0; which < MALLOCS; which++) {
            char *block = families[which].take(1 + at * 20);

            REQUIRE(block != NULL);
            memset(block, (int)which, 1 + at * 20);
            families[which].give(block);
        }
    return argument;
}

static void use_threads(void)
{
    pthread_t threads[3];

    for (size_t at = 0; at < 3; at++)
        REQUIRE(pthread_create(&threads[at], NULL, use_all_in_thread, NULL) == 0);
    for (size_t at = 0; at < 3; at++)
        REQUIRE(pthread_join(threads[at], NULL) == 0);
}

static void require_end(void (*body)(void), int wanted_status)
{
    pid_t child = fork();
    int status;

    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(120);
        body();
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == wanted_status);
}

static void live_as_child(void)
{
    give_all();
    take_all(99);
    use_threads();
    give_all();
}

static void give_to_the_wrong_one(void)
{
    close(STDERR_FILENO); /* the sentence is expected */
    families[0].give(families[1].take(100));
}

int main(int argc, char **argv)
{
    alarm(240);
    REQUIRE(argc == 2);
    find_all(argv[1]);
    for (unsigned round = 0; round < ROUNDS; round++) {
        take_all(round);
        use_threads();
        (void)malloc_trim(0);
        require_end(live_as_child, 0);
        give_all();
    }
    require_end(give_to_the_wrong_one, SIGABRT);
    return 0;
}

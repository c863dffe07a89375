/* Trap: several threads fork at once while all of them allocate, and their children allocate, fork
 * again and exit; beside them posix_spawn and vfork, which run no handlers. */
#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "load.h"

enum { THREADS = 4, FORKS = 48 };

extern char **environ;

static void require_success(pid_t child)
{
    int status;

    REQUIRE(child > 0);
    while (waitpid(child, &status, 0) != child)
        REQUIRE(errno == EINTR);
    REQUIRE(status == 0);
}

static void spawn(void)
{
    char *arguments[] = {"true", NULL};
    posix_spawn_file_actions_t actions; /* these allocate */
    pid_t child;

    REQUIRE(posix_spawn_file_actions_init(&actions) == 0);
    REQUIRE(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0) == 0);
    REQUIRE(posix_spawnp(&child, "true", &actions, NULL, arguments, environ) == 0);
    REQUIRE(posix_spawn_file_actions_destroy(&actions) == 0);
    require_success(child);
    child = vfork();
    if (child == 0) {
        execvp("true", arguments);
        _exit(127);
    }
    require_success(child);
}

/* The thread's own blocks come along. Whatever the other threads held at that moment must be there,
 * too, so each child does a little of everything. */
static void be_the_child(struct load *load, bool is_thorough)
{
    pid_t grandchild;

    alarm(120);
    for (unsigned step = 0; step < 100; step++)
        load_step(load);
    if (!is_thorough)
        _exit(0);
    grandchild = fork();
    REQUIRE(grandchild >= 0);
    if (grandchild == 0) {
        load_end(load);
        load_run(7, 300);
        _exit(0);
    }
    load_threads();
    require_success(grandchild);
    load_end(load);
    _exit(0);
}

static void *fork_and_allocate(void *argument)
{
    struct load *load = calloc(1, sizeof *load);

    REQUIRE(load != NULL);
    load->random = (uintptr_t)argument;
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child;

        for (unsigned step = 0; step < 50; step++)
            load_step(load);
        child = fork();
        REQUIRE(child >= 0);
        if (child == 0)
            be_the_child(load, i % 32 == 0);
        for (unsigned step = 0; step < 200; step++)
            load_step(load);
        require_success(child);
        if (i % 32 == 0)
            spawn();
    }
    load_end(load);
    free(load);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];

    alarm(240);
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, fork_and_allocate, (void *)(i + 1)) == 0);
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    return 0;
}

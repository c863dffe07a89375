/* Trap: a fork at any moment of the helper's work. The child has one thread, everything that the
 * helper had in its hands, and may get a helper of its own. Started with NEAP_HELPER=1. */
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

#include <neap/neap.h>

#include "helper.h"

enum { MOST_ROUNDS = 12, FORKS = 6, WANTED = 4 };

static size_t resident_at_start;

static void require_success(pid_t child)
{
    int status;

    REQUIRE(child > 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
}

/* Had the helper been holding memory at the fork, it would be lost here, and stay. */
static void be_the_child(void)
{
    alarm(120);
    REQUIRE(task_count() == 1);
    (void)neap_malloc_trim(0);
    REQUIRE(resident_bytes() <= resident_at_start + 6 * MIB);
    for (size_t bytes = 1; bytes < MIB; bytes *= 2)
        free(malloc(bytes));
}

static void be_a_child_that_thrashes(void)
{
    alarm(120);
    REQUIRE(task_count() == 1);
    thrash();
    grow();
    drop();
    REQUIRE(helper_ends_within(LONG_SECONDS));
    REQUIRE(resident_bytes() <= resident_at_start + 6 * MIB);
}

/* As soon as it has begun, several times with nothing in between. Returns how often it had not
 * ended: on a busy machine it may have before we see it. */
static unsigned fork_while_it_works(size_t resident)
{
    pid_t children[FORKS];
    unsigned count = 0;

    while (resident_bytes() > resident - 3 * MIB && has_helper())
        ;
    for (unsigned i = 0; i < FORKS; i++) {
        count += resident_bytes() > resident_at_start + 6 * MIB;
        children[i] = fork();
        if (children[i] == 0) {
            be_the_child();
            _exit(0);
        }
    }
    for (unsigned i = 0; i < FORKS; i++)
        require_success(children[i]);
    return count;
}

static void spawn_and_exec(void)
{
    char *arguments[] = {"true", NULL};
    pid_t child;

    REQUIRE(posix_spawnp(&child, "true", NULL, NULL, arguments, NULL) == 0);
    require_success(child);
    child = vfork();
    if (child == 0) {
        execvp("true", arguments);
        _exit(127);
    }
    require_success(child);
}

int main(void)
{
    unsigned while_working = 0;
    pid_t child;

    alarm(240);
    memset(tooth, 1, sizeof tooth);
    resident_at_start = resident_bytes();
    for (unsigned round = 0; round < MOST_ROUNDS && while_working < WANTED; round++) {
        size_t resident;

        thrash_and_retain(resident_at_start);
        resident = resident_bytes();
        while_working += fork_while_it_works(resident);
        REQUIRE(helper_ends_within(LONG_SECONDS));
        REQUIRE(resident_bytes() <= resident_at_start + 6 * MIB);
    }
    REQUIRE(while_working > 0);
    thrash();
    spawn_and_exec();
    child = fork();
    if (child == 0) {
        be_a_child_that_thrashes();
        _exit(0);
    }
    require_success(child);
    return 0;
}

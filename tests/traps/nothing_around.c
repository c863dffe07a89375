/* Trap: a program with descriptors 0 to 2 closed, in a root directory that is empty: no /proc, no
 * /dev, nowhere to write to. Nothing of it is needed, no descriptor is taken, and what the program
 * opens as number 2 is not written to. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <neap/neap.h>

#include "load.h"

enum { SKIPPED = 77 };

static void enter_empty_root(const char *folder)
{
    /* Without the right to chroot: in a user namespace one may. */
    if (chroot(folder) != 0 && (unshare(CLONE_NEWUSER) != 0 || chroot(folder) != 0))
        _exit(SKIPPED);
    REQUIRE(chdir("/") == 0);
    REQUIRE(access("/proc", F_OK) != 0);
}

static void use_everything(void)
{
    struct neap_stats stats;

    load_threads();
    (void)malloc_trim(0);
    REQUIRE(neap_stats(&stats, sizeof stats) == 0 && stats.arena_bytes > 0);
    REQUIRE(mallopt(M_TOP_PAD, 100000) == 1);
    malloc_stats();
}

static void live_with_nothing(const char *folder)
{
    int ends[2];
    struct stat before;

    alarm(240);
    enter_empty_root(folder);
    for (int number = 0; number <= 2; number++)
        close(number);
    use_everything();
    /* The lowest numbers are still free. */
    REQUIRE(pipe(ends) == 0 && ends[0] == 0 && ends[1] == 1);
    REQUIRE(fstat(2, &before) == -1 && errno == EBADF);
    use_everything();
    REQUIRE(fstat(2, &before) == -1 && errno == EBADF);
    _exit(0);
}

int main(void)
{
    char folder[] = "/tmp/neap-empty-XXXXXX";
    int status;
    pid_t child;

    REQUIRE(mkdtemp(folder) != NULL);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        live_with_nothing(folder);
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(rmdir(folder) == 0); /* by who is outside: within, its name is not there */
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

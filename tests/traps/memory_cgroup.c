/* Trap: a memory cgroup that is full. The kernel ends the process or refuses, as it decides;
 * malloc neither hangs nor damages anything. And what is freed is really gone, also from between
 * blocks that stay: a program that keeps below the limit, taking and freeing many times as much,
 * is not ended. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "cgroup.h"
#include "load.h"

#define MIB ((size_t)1 << 20)

enum { LIMIT_MIB = 64, FILL_MIB = 40, ROUNDS = 12, SKIPPED = 77 };

enum { KEPT_EVERY = 50 }; /* one in so many blocks stays for a round */

static char *blocks[2][FILL_MIB * 1024];

static void free_every_nth(char **round, size_t count, size_t size, size_t nth)
{
    for (size_t at = 0; at < count; at++) {
        if (round[at] == NULL || (nth > 1 && at % nth == 0))
            continue;
        REQUIRE(bytes_are(round[at], size, (unsigned char)(at % 100)));
        free(round[at]);
        round[at] = NULL;
    }
}

/* By turns other sizes, which cannot use what the round before has left. */
static void stay_below(void)
{
    static const size_t sizes[] = {1024, 7000, 2000, 12000};
    size_t before_count = 0;

    /* No allowance for a program that does little else than take back what was returned. */
    REQUIRE(mallopt(M_TRIM_THRESHOLD, (int)MIB) == 1);
    for (unsigned number = 0; number < ROUNDS; number++) {
        char **round = blocks[number % 2];
        size_t size = sizes[number % 4];
        size_t count = FILL_MIB * MIB / size;

        for (size_t at = 0; at < count; at++) {
            round[at] = malloc(size);
            REQUIRE(round[at] != NULL);
            memset(round[at], (int)(at % 100), size);
        }
        free_every_nth(round, count, size, KEPT_EVERY);
        if (number > 0)
            free_every_nth(blocks[(number + 1) % 2], before_count, sizes[(number + 3) % 4], 1);
        before_count = count;
    }
    load_threads();
}

/* Until there is nothing, or until the end. */
static void go_beyond(void)
{
    for (size_t total = 0; total < 4 * LIMIT_MIB * MIB; total += 50000) {
        char *block = malloc(50000);

        if (block == NULL) {
            REQUIRE(errno == ENOMEM);
            _exit(0);
        }
        memset(block, 1, 50000);
    }
    trap_fail("the limit does not hold\n");
}

/* The status of a child in the cgroup, as of waitpid. */
static int run_inside(void (*body)(void))
{
    int procs = np_cgroup_open_procs();
    pid_t child;
    int status;

    REQUIRE(procs >= 0);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(240);
        REQUIRE(write(procs, "0", 1) == 1);
        body();
        _exit(0);
    }
    close(procs);
    REQUIRE(waitpid(child, &status, 0) == child);
    return status;
}

int main(void)
{
    enum cgroup_swap swap;
    int status;

    if (!np_cgroup_make() || !np_cgroup_limit(LIMIT_MIB * MIB, &swap)) {
        fprintf(stderr, "skipped: %s\n", np_cgroup_reason());
        return SKIPPED;
    }
    REQUIRE(run_inside(stay_below) == 0);
    status = run_inside(go_beyond);
    REQUIRE(status == 0 || status == SIGKILL);
    return 0;
}

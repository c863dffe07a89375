/* Trap: a program with a timer: every system call of ours may be interrupted, at any place. The
 * handler itself allocates nothing. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/time.h>

#include "trap.h"

static volatile sig_atomic_t ticks;

static void count_tick(int number)
{
    (void)number;
    ticks++;
}

int main(void)
{
    enum { BLOCKS = 500 };
    struct sigaction action = {.sa_handler = count_tick}; /* without SA_RESTART */
    struct itimerval every_200_us = {{0, 200}, {0, 200}};
    unsigned char *blocks[BLOCKS] = {NULL};
    size_t sizes[BLOCKS] = {0};
    uint64_t random = 1;

    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
    REQUIRE(setitimer(ITIMER_REAL, &every_200_us, NULL) == 0);
    while (ticks < 5000) {
        size_t at;

        random = random * 6364136223846793005u + 1442695040888963407u;
        at = (size_t)(random >> 33) % BLOCKS;
        if (blocks[at] != NULL) {
            REQUIRE(blocks[at][0] == at % 251 && blocks[at][sizes[at] - 1] == at % 251);
            errno = ENOTTY;
            free(blocks[at]);
            REQUIRE(errno == ENOTTY);
        }
        sizes[at] = 1 + (size_t)(random >> 40) % ((size_t)16 << (random >> 60));
        blocks[at] = malloc(sizes[at]);
        REQUIRE(blocks[at] != NULL);
        blocks[at][0] = blocks[at][sizes[at] - 1] = (unsigned char)(at % 251);
    }
    return 0;
}

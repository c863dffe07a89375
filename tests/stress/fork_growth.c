/* Many forks while other threads are at work, which may not wait for a fork's locks: what serves
 * them meanwhile must be used again, or every fork leaves more addresses and memory behind. */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "stress.h"

enum { THREADS = 2, BLOCKS = 64, WARM_FORKS = 100, FORKS = 300 };

static _Atomic bool is_over;

static void *churn(void *seed)
{
    char *blocks[BLOCKS] = {NULL};
    uint64_t random = *(uint64_t *)seed;

    while (!is_over) {
        size_t at = random_below(&random, BLOCKS);

        api_free(blocks[at]);
        blocks[at] = api_malloc(20000 + random_below(&random, 60000));
        REQUIRE(blocks[at] != NULL);
        blocks[at][0] = 1;
    }
    for (size_t i = 0; i < BLOCKS; i++)
        api_free(blocks[i]);
    return NULL;
}

/* Pages of addresses, and of memory. */
static void read_size(size_t *addresses, size_t *resident)
{
    char text[128] = {0};
    int file = open("/proc/self/statm", O_RDONLY);

    REQUIRE(file >= 0);
    REQUIRE(read(file, text, sizeof text - 1) > 0);
    close(file);
    REQUIRE(sscanf(text, "%zu %zu", addresses, resident) == 2);
}

static void fork_often(unsigned count)
{
    while (count-- > 0) {
        pid_t child = fork();
        int status;

        REQUIRE(child >= 0);
        if (child == 0)
            _exit(0);
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(status == 0);
    }
}

int main(void)
{
    uint64_t seeds[THREADS] = {1, 2};
    pthread_t threads[THREADS];
    size_t addresses_before;
    size_t resident_before;
    size_t addresses;
    size_t resident;

    alarm(HANG_SECONDS);
    for (unsigned i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, churn, &seeds[i]) == 0);
    fork_often(WARM_FORKS);
    read_size(&addresses_before, &resident_before);
    fork_often(FORKS);
    read_size(&addresses, &resident);
    is_over = true;
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    /* Some windows more may be needed, for the second arena and the one that serves during forks;
     * one a fork, or its memory, may not. More arenas the environment of the test rules out. */
    REQUIRE(addresses * 4 < addresses_before * 4 + 4 * 65536);
    REQUIRE(resident * 4 < resident_before * 4 + 32 * 1024);
    return 0;
}

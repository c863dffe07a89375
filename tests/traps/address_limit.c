/* Trap: RLIMIT_AS. Address space must be reserved in proportion to use, so most of what the limit
 * leaves can be allocated; when it is used up malloc says ENOMEM and goes on with what is freed. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/resource.h>

#include "trap.h"

enum { MOST_BLOCKS = 1 << 20 };

static const size_t room_bytes = (size_t)40 << 20;

static char *blocks[MOST_BLOCKS];

/* Bytes of address space in use, by the first number in /proc/self/statm. */
static size_t address_space_bytes(void)
{
    char text[64] = "";
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    REQUIRE(file >= 0);
    REQUIRE(read(file, text, sizeof(text) - 1) > 0);
    close(file);
    return strtoul(text, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

/* Allocates blocks of `size` until there is no more; answers how many bytes that were. */
static size_t fill(size_t size, size_t *count)
{
    *count = 0;
    errno = 0;
    while (*count < MOST_BLOCKS) {
        char *block = malloc(size);

        if (block == NULL) {
            REQUIRE(errno == ENOMEM);
            return *count * size;
        }
        memset(block, 1, size);
        blocks[(*count)++] = block;
    }
    trap_fail("the limit does not hold\n");
}

static void free_all(size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
}

static void require_room_for(size_t size)
{
    size_t count;
    size_t first_bytes = fill(size, &count);

    REQUIRE(first_bytes >= room_bytes / 10 * 6);
    /* Short of memory, small things still go: a freed block can be had again. */
    free(blocks[--count]);
    blocks[count] = malloc(size);
    REQUIRE(blocks[count] != NULL);
    count++;
    REQUIRE(calloc(1, room_bytes) == NULL && errno == ENOMEM);
    REQUIRE(realloc(blocks[0], room_bytes) == NULL && errno == ENOMEM);
    REQUIRE(blocks[0][0] == 1 && blocks[0][size - 1] == 1);
    free_all(count);
    /* And all of it again, but for what slabs hide of which less than an eighth was free when they
     * closed (ROOM_SHARE in depot.c), and what has come to lie in quarantine. */
    REQUIRE(fill(size, &count) >= first_bytes / 16 * 13);
    free_all(count);
}

static void *allocate_a_little(void *argument)
{
    for (size_t size = 1; size < 100000; size *= 2) {
        char *block = malloc(size);

        REQUIRE(block != NULL);
        memset(block, 1, size);
        free(block);
    }
    return argument;
}

static void require_threads(void)
{
    pthread_attr_t attributes;
    pthread_t threads[16];

    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, 65536) == 0);
    for (unsigned round = 0; round < 10; round++) {
        for (size_t i = 0; i < 16; i++)
            REQUIRE(pthread_create(&threads[i], &attributes, allocate_a_little, NULL) == 0);
        for (size_t i = 0; i < 16; i++)
            REQUIRE(pthread_join(threads[i], NULL) == 0);
    }
}

/* The program starts once more, under a limit that leaves its code and libraries 24 MiB. */
static void start_under_limit(char **argv)
{
    struct rlimit limit = {0, 0};
    char *const arguments[] = {argv[0], "limited", NULL};

    limit.rlim_cur = limit.rlim_max = ((size_t)24 << 20) + room_bytes;
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    execv("/proc/self/exe", arguments);
    trap_fail("the program cannot be started under the limit\n");
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {100, 1000, 10000, 50000, 1000000};

    alarm(240);
    if (argc == 1)
        start_under_limit(argv);
    free(malloc(1));
    REQUIRE(address_space_bytes() < (size_t)24 << 20);
    require_threads();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        require_room_for(sizes[i]);
    require_threads();
    return 0;
}

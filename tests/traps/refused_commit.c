/* Trap: the kernel hands out addresses freely and refuses to promise memory for them: RLIMIT_DATA,
 * and vm.overcommit_memory = 2, which counts the same, private mappings that may be written. Only
 * what is in use may be asked to be writable; a refusal is ENOMEM, and what was freed serves again.
 * Once with the break, once without. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "load.h"

#define MIB ((size_t)1 << 20)

enum { ROOM_MIB = 48, MOST_BLOCKS = 1 << 20 };

static char *blocks[MOST_BLOCKS];

/* "VmData: 1234 kB": private, writable, not a stack. */
static size_t writable_bytes(void)
{
    char text[4096];
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(file, text, sizeof text - 1);
    unsigned long kib;
    const char *line;

    REQUIRE(length > 0);
    text[length] = '\0';
    line = strstr(text, "\nVmData:");
    REQUIRE(line != NULL && sscanf(line, "\nVmData: %lu", &kib) == 1);
    close(file);
    return kib << 10;
}

static size_t fill(size_t size)
{
    size_t count = 0;

    for (;;) {
        errno = 0;
        blocks[count] = malloc(size);
        if (blocks[count] == NULL)
            break;
        memset(blocks[count], (int)(count % 100), size);
        REQUIRE(++count < MOST_BLOCKS);
    }
    REQUIRE(errno == ENOMEM);
    return count;
}

static void empty(size_t count, size_t size)
{
    for (size_t at = 0; at < count; at++) {
        REQUIRE(bytes_are(blocks[at], size, (unsigned char)(at % 100)));
        free(blocks[at]);
    }
}

/* Most of the room is to be had, and as much again after it was freed. */
static void require_room(size_t size)
{
    size_t count = fill(size);
    size_t again;

    REQUIRE(count * size > ROOM_MIB * MIB / 10 * 8);
    REQUIRE(realloc(blocks[0], ROOM_MIB * MIB) == NULL && errno == ENOMEM);
    REQUIRE(calloc(ROOM_MIB, MIB) == NULL && errno == ENOMEM);
    empty(count, size);
    again = fill(size);
    REQUIRE(again > count / 10 * 9);
    empty(again, size);
}

static void fill_and_empty_under_the_limit(void)
{
    static const size_t sizes[] = {88, 3000, 40000, 600000};
    size_t before = writable_bytes();
    struct rlimit limit = {before + ROOM_MIB * MIB, before + ROOM_MIB * MIB};

    REQUIRE(setrlimit(RLIMIT_DATA, &limit) == 0);
    for (size_t at = 0; at < sizeof sizes / sizeof sizes[0]; at++)
        require_room(sizes[at]);
    (void)malloc_trim(0);
    load_run(1, LOAD_STEPS);
}

/* What may be written is not much more than what is live: windows are reserved, not promised. */
static void promise_little(void)
{
    size_t before = writable_bytes();
    size_t size = 1000;

    for (size_t at = 0; at < 10000; at++) {
        blocks[at] = malloc(size);
        REQUIRE(blocks[at] != NULL);
    }
    REQUIRE(writable_bytes() - before < 10000 * size + 6 * MIB);
    for (size_t at = 0; at < 10000; at++)
        free(blocks[at]);
}

static void block_the_break(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t end = ((uintptr_t)sbrk(0) + page - 1) / page * page;

    REQUIRE(mmap((void *)end, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                 -1, 0) == (void *)end);
}

static void in_a_child(void (*body)(void))
{
    pid_t child = fork();
    int status;

    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(240);
        body();
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
    in_a_child(promise_little);
    in_a_child(fill_and_empty_under_the_limit);
    block_the_break();
    in_a_child(promise_little);
    in_a_child(fill_and_empty_under_the_limit);
    return 0;
}

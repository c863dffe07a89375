/* What the traps of the helper thread share: a program that thrashes, and a look at its threads and
 * its memory from outside malloc: reading /proc by stdio or opendir would allocate. */
#ifndef NEAP_TESTS_TRAPS_HELPER_H
#define NEAP_TESTS_TRAPS_HELPER_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

#include "trap.h"

#define MIB ((size_t)1 << 20)

enum { TOOTH_MIB = 64, BLOCK_BYTES = 4000, BLOCKS = TOOTH_MIB * 262 };

static unsigned char *tooth[BLOCKS];

static inline void grow(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        tooth[i] = malloc(BLOCK_BYTES);
        REQUIRE(tooth[i] != NULL);
        memset(tooth[i], (int)(i % 255 + 1), BLOCK_BYTES);
    }
}

static inline void drop(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        REQUIRE(tooth[i][0] == i % 255 + 1 && tooth[i][BLOCK_BYTES - 1] == i % 255 + 1);
        free(tooth[i]);
    }
}

static inline double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline void sleep_seconds(double time)
{
    struct timespec left = {(time_t)time, (long)((time - (double)(time_t)time) * 1e9)};

    while (nanosleep(&left, &left) != 0)
        ;
}

/* The beginning of a file; empty if it is not there any more. */
static inline void read_file(const char *path, char *text, size_t bytes)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file >= 0 ? read(file, text, bytes - 1) : 0;

    if (file >= 0)
        close(file);
    text[length > 0 ? length : 0] = '\0';
}

/* Anonymous memory, in bytes. */
static inline size_t resident_bytes(void)
{
    char text[256];
    unsigned long all;
    unsigned long resident;
    unsigned long shared;

    read_file("/proc/self/statm", text, sizeof text);
    REQUIRE(sscanf(text, "%lu %lu %lu", &all, &resident, &shared) == 3);
    return (resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

/* Calls visit with each thread's number; returns how many there are. */
static inline unsigned each_task(void (*visit)(const char *number))
{
    char entries[4096];
    int folder = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned count = 0;
    long length;

    REQUIRE(folder >= 0);
    while ((length = syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0)
        for (long at = 0; at < length;) {
            struct dirent64 *entry = (struct dirent64 *)(void *)(entries + at);

            at += entry->d_reclen;
            if (entry->d_name[0] == '.')
                continue;
            count++;
            if (visit != NULL)
                visit(entry->d_name);
        }
    close(folder);
    return count;
}

static unsigned helper_count;

static inline void count_if_helper(const char *number)
{
    char path[300];
    char name[32];

    (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", number);
    read_file(path, name, sizeof name);
    helper_count += strcmp(name, "neap-helper\n") == 0;
}

static inline unsigned task_count(void)
{
    return each_task(NULL);
}

static inline bool has_helper(void)
{
    helper_count = 0;
    (void)each_task(count_if_helper);
    REQUIRE(helper_count <= 1);
    return helper_count == 1;
}

/* Teeth of as much, though not touched, so that they take no time worth mention and the program
 * does little else. As many as it takes until there is a helper; false: there is none after 60. */
static inline bool thrash_for_a_helper(void)
{
    enum { RUN_BYTES = 100000, RUNS = TOOTH_MIB * 10, MOST_TEETH = 60 };
    static void *runs[RUNS];

    for (unsigned i = 0; i < MOST_TEETH && !has_helper(); i++) {
        for (size_t run = 0; run < RUNS; run++) {
            runs[run] = malloc(RUN_BYTES);
            REQUIRE(runs[run] != NULL);
        }
        for (size_t run = 0; run < RUNS; run++)
            free(runs[run]);
    }
    return has_helper();
}

/* On a busy machine 60 teeth may last too long to be thrashing, and a helper may have ended before
 * it is seen: then once more. */
static inline void thrash(void)
{
    REQUIRE(!has_helper());
    for (unsigned attempt = 0; attempt < 100; attempt++)
        if (thrash_for_a_helper())
            return;
    trap_fail("no helper comes, however much it thrashes\n");
}

/* Much longer than a helper has ever to do, and than a busy machine keeps it from that. */
#define LONG_SECONDS 30.0

/* Whether the helper ends within a time. */
static inline bool helper_ends_within(double time)
{
    for (double end = seconds() + time; seconds() < end; sleep_seconds(0.01))
        if (!has_helper())
            return true;
    return false;
}

/* Thrashes, and leaves a tooth that is retained. A busy machine may keep the program from its work
 * for so long that the allowance has gone before the tooth is dropped: then once more. */
static inline void thrash_and_retain(size_t resident_at_start)
{
    for (unsigned attempt = 0; attempt < 10; attempt++) {
        thrash();
        grow();
        drop();
        if (resident_bytes() > resident_at_start + TOOTH_MIB * MIB / 2)
            return;
        REQUIRE(helper_ends_within(LONG_SECONDS));
    }
    trap_fail("nothing is retained, however much it thrashes\n");
}

#endif

/* instrument.c: see instrument.h. */
#include "instrument.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

void *np_map_touched(size_t byte_count)
{
    void *memory = mmap(NULL, byte_count, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    /* Not zeros: a compiler or a kernel may know that those are there already. */
    memset(memory, 1, byte_count);
    return memory;
}

double np_clock_seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void np_sleep_seconds(double seconds)
{
    double whole_seconds = (double)(time_t)seconds;
    struct timespec rest = { .tv_sec = (time_t)whole_seconds,
                             .tv_nsec = (long)((seconds - whole_seconds) * 1e9) };

    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        continue;
}

uint64_t np_random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

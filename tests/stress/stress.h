/* What the stress programs share: parcels, that is blocks whose contents can be checked by whoever
 * holds them, the time that a run may take, and the seed that brings it back.
 *
 * PROGRAM [SECONDS [SEED]]
 *
 * A run is as random as its threads' timing; the seed fixes what each of them does, not when. */
#ifndef NEAP_TESTS_STRESS_STRESS_H
#define NEAP_TESTS_STRESS_STRESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "names.h"
#include "pattern.h"

enum {
    DEFAULT_SECONDS = 2,
    HANG_SECONDS = 120, /* nothing here takes so long, with any sanitizer */
};

static uint64_t stress_seed;
static struct timespec stress_end;

#define REQUIRE(condition) \
    do { \
        if (!(condition)) \
            stress_fail(__FILE__, __LINE__, #condition); \
    } while (0)

_Noreturn static inline void stress_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: not so: %s (seed %llu)\n", file, line, condition,
            (unsigned long long)stress_seed);
    _exit(1);
}

static inline void stress_begin(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : DEFAULT_SECONDS;

    clock_gettime(CLOCK_MONOTONIC, &stress_end);
    stress_seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)stress_end.tv_nsec;
    stress_end.tv_sec += seconds;
    alarm((unsigned)seconds + HANG_SECONDS);
    printf("seed %llu, %d s\n", (unsigned long long)stress_seed, seconds);
    fflush(stdout);
}

static inline bool stress_is_over(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > stress_end.tv_sec ||
           (now.tv_sec == stress_end.tv_sec && now.tv_nsec >= stress_end.tv_nsec);
}

struct parcel {
    unsigned char *block;
    size_t size;
    uint64_t seed;
};

static inline void parcel_check(const struct parcel *parcel)
{
    REQUIRE(pattern_edges_hold(parcel->block, parcel->size, parcel->seed));
}

/* A block of any kind up to about 2^max_shift bytes; both it and the parcel are neap's. */
static inline struct parcel *parcel_new(uint64_t *random, unsigned max_shift)
{
    struct parcel *parcel = api_malloc(sizeof(*parcel));

    REQUIRE(parcel != NULL);
    parcel->size = random_size(random, max_shift);
    parcel->seed = random_next(random);
    switch (random_below(random, 6)) {
    case 0:
        parcel->block = api_calloc(1, parcel->size);
        REQUIRE(parcel->block != NULL && bytes_are(parcel->block, parcel->size, 0));
        break;
    case 1: {
        size_t alignment = (size_t)16 << random_below(random, 9);

        parcel->block = api_memalign(alignment, parcel->size);
        REQUIRE((uintptr_t)parcel->block % alignment == 0);
        break;
    }
    default:
        parcel->block = api_malloc(parcel->size);
        break;
    }
    REQUIRE(parcel->block != NULL && (uintptr_t)parcel->block % 16 == 0);
    REQUIRE(api_malloc_usable_size(parcel->block) >= parcel->size);
    pattern_fill_edges(parcel->block, parcel->size, parcel->seed);
    return parcel;
}

static inline void parcel_resize(struct parcel *parcel, uint64_t *random, unsigned max_shift)
{
    size_t size = 1 + random_size(random, max_shift);
    size_t common = size < parcel->size ? size : parcel->size;

    parcel_check(parcel);
    pattern_fill_edges(parcel->block, common, parcel->seed);
    parcel->block = api_realloc(parcel->block, size);
    REQUIRE(parcel->block != NULL);
    REQUIRE(pattern_edges_hold(parcel->block, common, parcel->seed));
    parcel->size = size;
    pattern_fill_edges(parcel->block, size, parcel->seed);
}

static inline void parcel_free(struct parcel *parcel)
{
    if (parcel == NULL)
        return;
    parcel_check(parcel);
    api_free(parcel->block);
    api_free(parcel);
}

/* Now and then someone asks for figures, or trims, in the middle of everything. */
static inline void ask_now_and_then(uint64_t *random)
{
    switch (random_below(random, 30000)) {
    case 0:
        (void)api_malloc_trim(0);
        break;
    case 1:
        REQUIRE(api_mallinfo2().arena > 0 || api_mallinfo2().hblks > 0);
        break;
    default:
        break;
    }
}

#endif

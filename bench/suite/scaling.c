/* scaling.c: `scaling KIND AMOUNT PERCENT`: what one operation costs at one point of a curve, on
 * any malloc. Prints JSON. scaling.py draws the curves.
 *
 *   heap BYTES      free and malloc among so many live bytes of mixed sizes
 *   objects COUNT   the same among so many live blocks of 48 bytes
 *   threads COUNT   the same in so many threads, each among a thousand blocks; one block of eight
 *                   comes from another thread
 *   arenas COUNT    sixteen threads and blocks of 20 to 100 KiB, which arenas serve; the count is
 *                   set from outside (MALLOC_ARENA_MAX)
 *
 * The number of operations is the same at every point. Beside their cost stand those of making one
 * of the blocks and of freeing it at the end, and that of a write to a live block at random, which
 * no allocator can help: what memory costs that is too much for the caches.
 */
#include "common.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { OBJECT_BYTES = 48, BLOCKS_OF_A_THREAD = 1000, ARENA_THREADS = 16, THREADS_MAX = 256 };

struct costs {
    double build_ns;
    double operation_ns;
    double touch_ns;
    double free_ns;
    size_t block_count;
    size_t arena_count;
};

/* Of all threads together: it does not matter then how many processors there are. */
static double processor_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Not from malloc, and resident before anything is measured. */
static void *map_table(size_t byte_count)
{
    void *table = mmap(NULL, byte_count, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (table == MAP_FAILED)
        give_up("no memory for the table");
    return table;
}

/* One thread: heap and objects. */

struct live {
    void **blocks;
    size_t count;
    size_t (*size)(struct random *random);
};

static size_t object_size(struct random *random)
{
    (void)random;
    return OBJECT_BYTES;
}

static void build_bytes(struct live *live, size_t byte_count, struct random *random)
{
    while (byte_count > 0) {
        size_t size = random_size(random);

        live->blocks[live->count] = take(size);
        fill(live->blocks[live->count++], size, size);
        byte_count -= size < byte_count ? size : byte_count;
    }
}

static void build_objects(struct live *live, size_t count)
{
    while (live->count < count) {
        live->blocks[live->count] = take(OBJECT_BYTES);
        fill(live->blocks[live->count++], OBJECT_BYTES, count);
    }
}

static double operate(struct live *live, size_t operation_count, struct random *random)
{
    double start = processor_ns();

    for (size_t i = 0; i < operation_count; i++) {
        void **place = &live->blocks[random_below(random, live->count)];

        free(*place);
        *place = take(live->size(random));
        *(unsigned char *)*place = (unsigned char)i;
    }
    return (processor_ns() - start) / (double)operation_count;
}

static double touch(struct live *live, size_t operation_count, struct random *random)
{
    double start = processor_ns();

    for (size_t i = 0; i < operation_count; i++)
        *(volatile unsigned char *)live->blocks[random_below(random, live->count)] =
            (unsigned char)i;
    return (processor_ns() - start) / (double)operation_count;
}

static struct costs measure_live(struct live *live, double build_ns, size_t operation_count)
{
    struct random random = seeded(2);
    struct costs costs = {.block_count = live->count};
    double start;

    costs.build_ns = build_ns / (double)live->count;
    costs.touch_ns = touch(live, operation_count, &random);
    costs.operation_ns = operate(live, operation_count, &random);
    start = processor_ns();
    for (size_t i = 0; i < live->count; i++)
        free(live->blocks[i]);
    costs.free_ns = (processor_ns() - start) / (double)live->count;
    return costs;
}

static struct costs measure_heap(size_t byte_count, size_t operation_count)
{
    /* Blocks have 400 bytes on average. */
    struct live live = {.blocks = map_table((byte_count / 200 + 1000) * sizeof(void *)),
                        .size = random_size};
    struct random random = seeded(1);
    double start = processor_ns();

    build_bytes(&live, byte_count, &random);
    return measure_live(&live, processor_ns() - start, operation_count);
}

static struct costs measure_objects(size_t count, size_t operation_count)
{
    struct live live = {.blocks = map_table(count * sizeof(void *)), .size = object_size};
    double start = processor_ns();

    build_objects(&live, count);
    return measure_live(&live, processor_ns() - start, operation_count);
}

/* Many threads: threads and arenas. */

static _Atomic(void *) passed[64];  /* where blocks go from thread to thread */

static size_t run_size(struct random *random)
{
    return random_between(random, 20 << 10, 100 << 10);
}

struct crew {
    size_t thread_count;
    size_t block_count;             /* of each thread */
    size_t operation_count;         /* of all */
    size_t (*size)(struct random *random);
    void **blocks;
    pthread_barrier_t barrier;
};

struct member {
    struct crew *crew;
    size_t index;
    pthread_t thread;
};

static void *work(void *argument)
{
    struct member *member = argument;
    struct crew *crew = member->crew;
    struct random random = seeded(1 + member->index);
    void **blocks = &crew->blocks[member->index * crew->block_count];

    for (size_t i = 0; i < crew->block_count; i++)
        blocks[i] = take(crew->size(&random));
    pthread_barrier_wait(&crew->barrier);
    pthread_barrier_wait(&crew->barrier);
    for (size_t left = crew->operation_count / crew->thread_count; left > 0; left--) {
        void **place = &blocks[random_below(&random, crew->block_count)];

        if (left % 8 == 0)
            *place = atomic_exchange(&passed[random_below(&random, 64)], *place);
        free(*place);
        *place = take(crew->size(&random));
        *(unsigned char *)*place = (unsigned char)left;
    }
    pthread_barrier_wait(&crew->barrier);
    pthread_barrier_wait(&crew->barrier);
    for (size_t i = 0; i < crew->block_count; i++)
        free(blocks[i]);
    return NULL;
}

/* As malloc_info counts them, where it tells of the malloc in use. */
static size_t count_arenas(void)
{
    char *text = NULL;
    size_t byte_count = 0, arena_count = 0;
    FILE *file = open_memstream(&text, &byte_count);

    if (file == NULL)
        return 0;
    malloc_info(0, file);
    fclose(file);
    for (const char *at = text; (at = strstr(at, "<heap nr=")) != NULL; at++)
        arena_count++;
    free(text);
    return arena_count;
}

static struct costs measure_crew(struct crew *crew)
{
    static struct member members[THREADS_MAX];
    size_t all_blocks = crew->thread_count * crew->block_count;
    struct costs costs = {.block_count = all_blocks};
    double start = processor_ns();

    crew->blocks = map_table(all_blocks * sizeof(void *));
    pthread_barrier_init(&crew->barrier, NULL, (unsigned)crew->thread_count + 1);
    for (size_t i = 0; i < crew->thread_count; i++) {
        members[i] = (struct member){.crew = crew, .index = i};
        start_thread(&members[i].thread, work, &members[i]);
    }
    pthread_barrier_wait(&crew->barrier);
    costs.build_ns = (processor_ns() - start) / (double)all_blocks;
    start = processor_ns();
    pthread_barrier_wait(&crew->barrier);
    pthread_barrier_wait(&crew->barrier);
    costs.operation_ns = (processor_ns() - start) / (double)crew->operation_count;
    costs.arena_count = count_arenas();
    start = processor_ns();
    pthread_barrier_wait(&crew->barrier);
    for (size_t i = 0; i < crew->thread_count; i++)
        pthread_join(members[i].thread, NULL);
    costs.free_ns = (processor_ns() - start) / (double)all_blocks;
    return costs;
}

static struct costs measure_threads(size_t count, size_t operation_count)
{
    struct crew crew = {.thread_count = count, .block_count = BLOCKS_OF_A_THREAD,
                        .operation_count = operation_count, .size = random_record_size};

    return measure_crew(&crew);
}

static struct costs measure_arenas(size_t operation_count)
{
    struct crew crew = {.thread_count = ARENA_THREADS, .block_count = 50,
                        .operation_count = operation_count / 8, .size = run_size};

    return measure_crew(&crew);
}

static size_t parse_number(const char *text, size_t limit)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (end == text || *end != '\0' || value < 1 || value > limit)
        give_up("a number is out of range");
    return (size_t)value;
}

int main(int argument_count, char **arguments)
{
    struct plan plan = {.percent = 100};
    struct costs costs;
    size_t amount, operation_count;

    if (argument_count != 4)
        give_up("usage: scaling heap|objects|threads|arenas AMOUNT PERCENT");
    amount = parse_number(arguments[2], SIZE_MAX / 4);
    plan.percent = (unsigned)parse_number(arguments[3], 100);
    operation_count = scaled(&plan, 2000000);
    if (strcmp(arguments[1], "heap") == 0)
        costs = measure_heap(amount, operation_count);
    else if (strcmp(arguments[1], "objects") == 0)
        costs = measure_objects(amount, operation_count);
    else if (strcmp(arguments[1], "threads") == 0 && amount <= THREADS_MAX)
        costs = measure_threads(amount, operation_count);
    else if (strcmp(arguments[1], "arenas") == 0)
        costs = measure_arenas(operation_count);
    else
        give_up("no such curve, or too many threads");
    printf("{\"build_ns\": %.2f, \"operation_ns\": %.2f, \"touch_ns\": %.2f, \"free_ns\": %.2f, "
           "\"block_count\": %zu, \"arena_count\": %zu}\n",
           costs.build_ns, costs.operation_ns, costs.touch_ns, costs.free_ns, costs.block_count,
           costs.arena_count);
    return 0;
}

/* many_threads.c: the workloads in which one thread frees what another allocated, or threads
 * come and go.
 *
 * Threads wait for one another asleep, never by spinning: counted instructions are of work only.
 */
#include "common.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

struct block {
    unsigned char *bytes;
    size_t byte_count;
};

static void take_filled(struct block *block, size_t byte_count, unsigned char value)
{
    block->byte_count = byte_count;
    block->bytes = take(byte_count);
    fill(block->bytes, byte_count, value);
}

static uint64_t drop(struct block *block)
{
    uint64_t value = read_back(block->bytes, block->byte_count);

    free(block->bytes);
    block->bytes = NULL;
    return value;
}

static void start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    if (pthread_create(thread, NULL, run, argument) != 0)
        give_up("no thread can be made");
}

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ;
}

/* server: after Larson and Krishnan. Each chain of threads has a table of blocks; a thread replaces
 * blocks at random, then starts its successor, hands the table over and ends. So threads free what
 * dead ones allocated. */

enum { SLOT_COUNT = 4000, SHIFT_COUNT = 20, CHAIN_MAX = 64 };

struct chain {
    struct block blocks[SLOT_COUNT];
    struct random random;
    uint64_t sum;
    size_t shift_left;              /* threads still to come */
    size_t step_count;              /* replacements that one thread makes */
    sem_t *ended;
};

static struct chain chains[CHAIN_MAX];

static void *serve_shift(void *argument)
{
    struct chain *chain = argument;
    pthread_t successor;

    for (size_t left = chain->step_count; left > 0; left--) {
        struct block *block = &chain->blocks[random_below(&chain->random, SLOT_COUNT)];

        if (block->bytes != NULL)
            chain->sum += drop(block);
        take_filled(block, 16 + random_below(&chain->random, 1009), (unsigned char)left);
    }
    if (--chain->shift_left == 0) {
        sem_post(chain->ended);
        return NULL;
    }
    start_thread(&successor, serve_shift, chain);
    pthread_detach(successor);
    return NULL;
}

static uint64_t close_chain(struct chain *chain)
{
    uint64_t sum = chain->sum;

    for (size_t i = 0; i < SLOT_COUNT; i++)
        if (chain->blocks[i].bytes != NULL)
            sum += drop(&chain->blocks[i]);
    return sum;
}

uint64_t run_server(const struct plan *plan)
{
    size_t step_count = scaled(plan, 7000000) / SHIFT_COUNT / plan->thread_count;
    sem_t ended;
    uint64_t sum = 0;

    if (plan->thread_count > CHAIN_MAX)
        give_up("too many threads");
    sem_init(&ended, 0, 0);
    for (unsigned i = 0; i < plan->thread_count; i++) {
        struct chain *chain = &chains[i];
        pthread_t first;

        chain->random = seeded(100 + i);
        chain->shift_left = SHIFT_COUNT;
        chain->step_count = step_count + 1;
        chain->ended = &ended;
        start_thread(&first, serve_shift, chain);
        pthread_detach(first);
    }
    for (unsigned i = 0; i < plan->thread_count; i++)
        wait_for(&ended);
    for (unsigned i = 0; i < plan->thread_count; i++)
        sum += close_chain(&chains[i]);
    sem_destroy(&ended);
    return sum;
}

/* pipe: one thread makes messages, the other reads and frees them; a few batches are under way. */

enum { BATCH_COUNT = 8, BATCH_SIZE = 256 };

struct channel {
    struct block batches[BATCH_COUNT][BATCH_SIZE];
    sem_t empty;
    sem_t full;
    size_t message_count;
};

static void *produce(void *argument)
{
    struct channel *channel = argument;
    struct random random = seeded(6);

    for (size_t i = 0; i < channel->message_count; i++) {
        if (i % BATCH_SIZE == 0)
            wait_for(&channel->empty);
        take_filled(&channel->batches[i / BATCH_SIZE % BATCH_COUNT][i % BATCH_SIZE],
                    random_size(&random), (unsigned char)i);
        if (i % BATCH_SIZE == BATCH_SIZE - 1)
            sem_post(&channel->full);
    }
    return NULL;
}

static uint64_t consume(struct channel *channel)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < channel->message_count; i++) {
        if (i % BATCH_SIZE == 0)
            wait_for(&channel->full);
        sum += drop(&channel->batches[i / BATCH_SIZE % BATCH_COUNT][i % BATCH_SIZE]);
        if (i % BATCH_SIZE == BATCH_SIZE - 1)
            sem_post(&channel->empty);
    }
    return sum;
}

uint64_t run_pipe(const struct plan *plan)
{
    static struct channel channel;
    pthread_t producer;
    uint64_t sum;

    /* Whole batches, so that the last one is handed over too. */
    channel.message_count = (scaled(plan, 5000000) / BATCH_SIZE + 1) * BATCH_SIZE;
    sem_init(&channel.empty, 0, BATCH_COUNT);
    sem_init(&channel.full, 0, 0);
    start_thread(&producer, produce, &channel);
    sum = consume(&channel);
    pthread_join(producer, NULL);
    sem_destroy(&channel.empty);
    sem_destroy(&channel.full);
    return sum;
}

/* threads: short-lived ones, four at a time, each with a few hundred blocks of its own and one that
 * it leaves to the main thread. */

enum { AT_A_TIME = 4, OWN_COUNT = 200 };

struct errand {
    uint64_t seed;
    struct block left_behind;
    uint64_t sum;
};

static void *run_errand(void *argument)
{
    struct errand *errand = argument;
    struct random random = seeded(errand->seed);
    struct block own[OWN_COUNT];

    for (size_t i = 0; i < OWN_COUNT; i++)
        take_filled(&own[i], random_size(&random), (unsigned char)i);
    for (size_t i = 0; i < OWN_COUNT; i++)
        errand->sum += drop(&own[i]);
    take_filled(&errand->left_behind, 100, (unsigned char)errand->seed);
    return NULL;
}

uint64_t run_threads(const struct plan *plan)
{
    size_t round_count = scaled(plan, 3500);
    uint64_t sum = 0;

    for (size_t round = 0; round < round_count; round++) {
        struct errand errands[AT_A_TIME];
        pthread_t threads[AT_A_TIME];

        for (size_t i = 0; i < AT_A_TIME; i++) {
            errands[i] = (struct errand){.seed = 1000 + round * AT_A_TIME + i};
            start_thread(&threads[i], run_errand, &errands[i]);
        }
        for (size_t i = 0; i < AT_A_TIME; i++) {
            pthread_join(threads[i], NULL);
            sum += errands[i].sum + drop(&errands[i].left_behind);
        }
    }
    return sum;
}

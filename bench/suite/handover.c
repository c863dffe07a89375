/* handover.c: the workloads in which one thread frees what another allocated: server chains,
 * producers and consumers, everybody with everybody.
 */
#include "workloads.h"

#include <stdlib.h>

/* server: after Larson and Krishnan. Each chain of threads has a table of blocks; a thread replaces
 * blocks at random, then starts its successor, hands the table over and ends. So threads free what
 * dead ones allocated. */

enum { SLOT_MAX = 4000 };

struct server_kind {
    size_t slot_count;
    size_t shift_count;             /* threads of a chain, one after another */
    size_t step_count;
    size_t from_bytes;
    size_t to_bytes;
};

static const struct server_kind server_kinds[] = {
    [SERVER_SMALL] = {4000, 20, 6000000, 16, 1024},
    [SERVER_LARGE] = {400, 20, 600000, 4096, 65536},
    [SERVER_TURNOVER] = {1000, 4000, 2000000, 16, 1024},
};

struct chain {
    struct block blocks[SLOT_MAX];
    const struct server_kind *kind;
    struct random random;
    uint64_t sum;
    size_t shift_left;              /* threads still to come */
    size_t step_count;              /* replacements that one thread makes */
    sem_t *ended;
};

static struct chain chains[THREAD_MAX];

static void *serve_shift(void *argument)
{
    struct chain *chain = argument;
    const struct server_kind *kind = chain->kind;
    pthread_t successor;

    for (size_t left = chain->step_count; left > 0; left--) {
        struct block *block = &chain->blocks[random_below(&chain->random, kind->slot_count)];

        chain->sum += drop(block);
        take_filled(block, random_between(&chain->random, kind->from_bytes, kind->to_bytes), left);
    }
    if (--chain->shift_left == 0) {
        sem_post(chain->ended);
        return NULL;
    }
    start_thread(&successor, serve_shift, chain);
    pthread_detach(successor);
    return NULL;
}

uint64_t run_server(const struct plan *plan)
{
    const struct server_kind *kind = &server_kinds[plan->variant];
    size_t shift_count = scaled(plan, kind->shift_count * 5);
    sem_t ended;
    uint64_t sum = 0;

    /* At a small scale the shifts are shorter before they are fewer. */
    if (shift_count > kind->shift_count)
        shift_count = kind->shift_count;
    if (plan->thread_count > THREAD_MAX)
        give_up("too many threads");
    sem_init(&ended, 0, 0);
    for (unsigned i = 0; i < plan->thread_count; i++) {
        struct chain *chain = &chains[i];
        pthread_t first;

        chain->kind = kind;
        chain->random = seeded(100 + i);
        chain->shift_left = shift_count;
        chain->step_count = scaled(plan, kind->step_count) / shift_count / plan->thread_count + 1;
        chain->ended = &ended;
        start_thread(&first, serve_shift, chain);
        pthread_detach(first);
    }
    for (unsigned i = 0; i < plan->thread_count; i++)
        wait_for(&ended);
    for (unsigned i = 0; i < plan->thread_count; i++)
        sum += chains[i].sum + drop_all(chains[i].blocks, kind->slot_count);
    sem_destroy(&ended);
    return sum;
}

/* pipe: one thread makes messages, the other reads and frees them; a few batches are under way. Of
 * more than two threads each two have a pipe. */

enum { BATCH_COUNT = 8, BATCH_SIZE = 256, PIPE_MAX = THREAD_MAX / 2 };

struct pipe_kind {
    size_t message_count;
    size_t (*size)(struct random *random);
};

static size_t small_message(struct random *random)
{
    return random_between(random, 16, 64);
}

static size_t large_message(struct random *random)
{
    return random_between(random, 8 << 10, 128 << 10);
}

static const struct pipe_kind pipe_kinds[] = {
    [PIPE_MIXED] = {4000000, random_size},
    [PIPE_SMALL] = {6000000, small_message},
    [PIPE_LARGE] = {150000, large_message},
};

struct channel {
    struct block batches[BATCH_COUNT][BATCH_SIZE];
    sem_t empty;
    sem_t full;
    size_t message_count;
    size_t (*size)(struct random *random);
};

static void produce(struct channel *channel, struct random *random)
{
    for (size_t i = 0; i < channel->message_count; i++) {
        if (i % BATCH_SIZE == 0)
            wait_for(&channel->empty);
        take_filled(&channel->batches[i / BATCH_SIZE % BATCH_COUNT][i % BATCH_SIZE],
                    channel->size(random), i);
        if (i % BATCH_SIZE == BATCH_SIZE - 1)
            sem_post(&channel->full);
    }
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

static struct channel channels[PIPE_MAX];

static void pass_messages(struct share *share)
{
    struct channel *channel = &channels[share->index / 2];

    if (share->index % 2 == 0)
        produce(channel, &share->random);
    else
        share->sum = consume(channel);
}

uint64_t run_pipe(const struct plan *plan)
{
    const struct pipe_kind *kind = &pipe_kinds[plan->variant];
    size_t pipe_count = plan->thread_count / 2;

    for (size_t i = 0; i < pipe_count; i++) {
        /* Whole batches, so that the last one is handed over too. */
        channels[i].message_count =
            (scaled(plan, kind->message_count) / pipe_count / BATCH_SIZE + 1) * BATCH_SIZE;
        channels[i].size = kind->size;
        sem_init(&channels[i].empty, 0, BATCH_COUNT);
        sem_init(&channels[i].full, 0, 0);
    }
    return run_shares(plan, pass_messages);
}

/* exchange: in every round each thread makes blocks for each thread, then frees those that are for
 * it. */

enum { EXCHANGED_MAX = 4096 };

static struct block exchanged[EXCHANGED_MAX];   /* by receiver, within that by sender */
static pthread_barrier_t round_barrier;

static void exchange(struct share *share)
{
    size_t thread_count = share->plan->thread_count;
    size_t batch_size = EXCHANGED_MAX / thread_count / thread_count;

    for (size_t left = scaled(share->plan, 700); left > 0; left--) {
        for (size_t to = 0; to < thread_count; to++)
            for (size_t i = 0; i < batch_size; i++)
                take_filled(&exchanged[(to * thread_count + share->index) * batch_size + i],
                            random_size(&share->random), left + i);
        pthread_barrier_wait(&round_barrier);
        share->sum += drop_all(&exchanged[slice_start(share, EXCHANGED_MAX)],
                               slice_count(share, EXCHANGED_MAX));
        pthread_barrier_wait(&round_barrier);
    }
}

uint64_t run_exchange(const struct plan *plan)
{
    uint64_t sum;

    pthread_barrier_init(&round_barrier, NULL, plan->thread_count);
    sum = run_shares(plan, exchange);
    pthread_barrier_destroy(&round_barrier);
    return sum;
}

/* Adversaries with threads, most of which are blocked when it matters. */
#include <sys/wait.h>
#include <unistd.h>

#include "audit.h"
#include "fork.h"
#include "patterns.h"
#include "scenarios.h"
#include "serve.h"
#include "workers.h"

enum {
    WORKERS_MAX = 64,
    OFTEN = 500,
    SELDOM = 5000,
    OVERCHARGE_BYTES = 64 << 10, /* as in random.c */
};

static struct worker workers[WORKERS_MAX];

static void start_workers(unsigned count)
{
    for (unsigned index = 0; index < count; index++)
        worker_start(&workers[index], index, options.seed * 1000);
}

static void tell_all(unsigned count, void (*task)(struct worker *worker))
{
    for (unsigned index = 0; index < count; index++)
        worker_tell(&workers[index], task);
    for (unsigned index = 0; index < count; index++)
        worker_wait(&workers[index]);
}

/* Tasks. size_bytes says how much a worker takes, in all. */

static void take_small(struct worker *worker)
{
    struct blocks blocks = blocks_take(worker->size_bytes, 16, 1024, &worker->random);

    worker->blocks = blocks.at;
    worker->block_count = blocks.count;
}

static void take_any(struct worker *worker)
{
    struct blocks blocks = blocks_take(worker->size_bytes, 16, 20000, &worker->random);

    worker->blocks = blocks.at;
    worker->block_count = blocks.count;
}

static void give_every_second(struct worker *worker)
{
    for (size_t index = 0; index < worker->block_count; index += 2)
        block_give(&worker->blocks[index]);
}

static void give_all(struct worker *worker)
{
    for (size_t index = 0; index < worker->block_count; index++)
        block_give(&worker->blocks[index]);
}

/* Of the first worker's blocks, those that come to this one. */
static void give_of_first(struct worker *worker)
{
    for (size_t index = worker->index; index < workers[0].block_count; index += 4)
        block_give(&workers[0].blocks[index]);
}

static struct blocks blocks_of(const struct worker *worker)
{
    return (struct blocks){worker->blocks, worker->block_count};
}

static void set_share(unsigned count)
{
    for (unsigned index = 0; index < count; index++)
        workers[index].size_bytes = options.total_bytes / count;
}

/* A worker takes and is blocked for ever; main frees. */
static void remote(void)
{
    start_workers(1);
    set_share(1);
    worker_do(&workers[0], take_small);
    audit_at_rest("all live");
    blocks_give(blocks_of(&workers[0]), NULL, "in the order of taking", SELDOM);
    worker_do(&workers[0], take_any);
    blocks_shuffle(blocks_of(&workers[0]), &options.seed);
    blocks_give(blocks_of(&workers[0]), NULL, "in random order", OFTEN);
}

/* Half is freed by the worker, the other half by main while the worker is blocked. */
static void remote_pairs(void)
{
    start_workers(1);
    set_share(1);
    worker_do(&workers[0], take_small);
    worker_do(&workers[0], give_every_second);
    audit_at_rest("the worker's half");
    blocks_give(blocks_of(&workers[0]), NULL, "main's half", SELDOM);
}

/* Four threads free what the first of them took. */
static void remote_many(void)
{
    start_workers(4);
    set_share(1);
    audit_limits.overcharge_bytes = OVERCHARGE_BYTES;
    for (unsigned round = 0; round < 3; round++) {
        worker_do(&workers[0], round == 1 ? take_any : take_small);
        blocks_shuffle(blocks_of(&workers[0]), &options.seed);
        tell_all(4, give_of_first);
        audit_at_rest("freed by four");
    }
}

static void many_workers(void)
{
    start_workers(WORKERS_MAX);
    set_share(WORKERS_MAX);
    for (unsigned round = 0; round < 2; round++) {
        tell_all(WORKERS_MAX, round == 0 ? take_small : take_any);
        audit_at_rest("all live");
        tell_all(WORKERS_MAX, give_every_second);
        audit_at_rest("the workers' half");
        for (unsigned index = 0; index < WORKERS_MAX; index++)
            blocks_give(blocks_of(&workers[index]), NULL, "main's half", SELDOM);
    }
    tell_all(WORKERS_MAX, take_any);
    tell_all(WORKERS_MAX, give_all);
    audit_at_rest("all by the workers");
}

/* Workers that free all that they took themselves keep little of it: 256 KiB each. */
static void idle(void)
{
    start_workers(WORKERS_MAX);
    set_share(WORKERS_MAX);
    audit_limits.thread_bytes = (size_t)256 << 10;
    for (unsigned round = 0; round < 3; round++) {
        tell_all(WORKERS_MAX, round == 0 ? take_small : take_any);
        if (round == 2)
            for (unsigned index = 0; index < WORKERS_MAX; index++)
                blocks_shuffle(blocks_of(&workers[index]), &options.seed);
        tell_all(WORKERS_MAX, give_all);
        audit_at_rest("all is free");
    }
}

/* Threads come, take, and end; main frees. */
static void exited(void)
{
    for (unsigned round = 0; round < 100; round++) {
        struct worker *worker = &workers[round % WORKERS_MAX];

        worker_start(worker, round, options.seed);
        worker->size_bytes = options.total_bytes / 32;
        worker_do(worker, round % 2 == 0 ? take_small : take_any);
        if (round % 3 == 0)
            worker_do(worker, give_every_second);
        worker_end(worker);
        audit_at_rest("a thread has ended");
        blocks_shuffle(blocks_of(worker), &options.seed);
        blocks_give(blocks_of(worker), NULL, "what it left", SELDOM);
    }
}

/* Many threads at once that end with all that they hold free: their heaps are parked. */
static void parked(void)
{
    for (unsigned round = 0; round < 3; round++) {
        start_workers(WORKERS_MAX);
        set_share(WORKERS_MAX);
        tell_all(WORKERS_MAX, take_any);
        tell_all(WORKERS_MAX, give_every_second);
        for (unsigned index = 0; index < WORKERS_MAX; index++) {
            worker_end(&workers[index]);
            audit_now_and_then("they end", 8);
        }
        for (unsigned index = 0; index < WORKERS_MAX; index++)
            blocks_give(blocks_of(&workers[index]), NULL, "what they left", SELDOM);
    }
}

/* Main frees all that workers took, who hold their last slabs open meanwhile, and then they end. */
static void freed_then_exited(void)
{
    start_workers(WORKERS_MAX);
    set_share(WORKERS_MAX);
    tell_all(WORKERS_MAX, take_any);
    for (unsigned index = 0; index < WORKERS_MAX; index++)
        blocks_give(blocks_of(&workers[index]), NULL, "main frees", SELDOM);
    for (unsigned index = 0; index < WORKERS_MAX; index++) {
        worker_end(&workers[index]);
        audit_at_rest("a thread has ended");
    }
}

/* A thread of many classes has pages lent, of slabs where everything else lives. */
static void churn_classes(struct worker *worker)
{
    struct block *blocks = truth_map(worker->block_count * sizeof blocks[0]);

    worker->blocks = blocks;
    for (size_t step = 0; step < 6 * worker->block_count; step++) {
        struct block *block = &blocks[random_below(&worker->random, worker->block_count)];
        size_t most_bytes = (size_t)32 << random_below(&worker->random, 10);

        if (block->address != NULL)
            block_give(block);
        else
            block_take(block, 1 + random_below(&worker->random, most_bytes));
    }
}

static void lent_at_exit(void)
{
    struct blocks live = blocks_take(options.total_bytes / 2, 16, 16384, &options.seed);

    /* The workers open what is closed now, and have slots of it lent. */
    audit_limits.overcharge_bytes = OVERCHARGE_BYTES;
    blocks_shuffle(live, &options.seed);
    for (size_t index = 0; index < live.count / 4; index++)
        block_give(&live.at[index]);
    for (unsigned round = 0; round < 2; round++) {
        start_workers(16);
        for (unsigned index = 0; index < 16; index++)
            workers[index].block_count = 2000;
        tell_all(16, churn_classes);
        audit_at_rest("all classes, blocked");
        for (unsigned index = 0; index < 16; index++) {
            if (round == 0)
                worker_do(&workers[index], give_all);
            worker_end(&workers[index]);
            audit_at_rest("ended with slots lent");
        }
        for (unsigned index = 0; index < 16; index++)
            blocks_give(blocks_of(&workers[index]), NULL, "what they left", OFTEN);
    }
    blocks_give(live, NULL, "the rest", SELDOM);
}

/* Destructors of thread-specific data run after the thread's heap is gone. */
static pthread_key_t key;

static void take_and_give(void *argument)
{
    static unsigned calls;
    struct worker *worker = argument;
    struct blocks more;

    give_every_second(worker);
    more = blocks_take((size_t)1 << 20, 16, 20000, &worker->random);
    for (size_t index = 0; index < more.count; index++)
        block_give(&more.at[index]);
    if (calls++ % 2 == 0)
        give_all(worker);
}

static void set_key(struct worker *worker)
{
    REQUIRE(pthread_setspecific(key, worker) == 0);
}

static void homeless(void)
{
    REQUIRE(pthread_key_create(&key, take_and_give) == 0);
    for (unsigned round = 0; round < 10; round++) {
        struct worker *worker = &workers[round];

        worker_start(worker, round, options.seed);
        worker->size_bytes = options.total_bytes / 8;
        worker_do(worker, take_any);
        worker_do(worker, set_key);
        worker_end(worker);
        audit_at_rest("ended, and freed after that");
        blocks_give(blocks_of(worker), NULL, "what it left", OFTEN);
    }
}

/* What other threads hold open at a fork is lost to the child, which can free their blocks. */
static void give_in_child(void)
{
    truth_begin();
    audit_limits.lost_count = audit_limits.thread_count - 1;
    audit_limits.thread_count = 1;
    audit_at_rest("the child");
    for (unsigned index = 0; index < 4; index++)
        blocks_give(blocks_of(&workers[index]), NULL, "the child frees", SELDOM);
}

static void in_child(void (*task)(void))
{
    pid_t child = fork();
    int status;

    REQUIRE(child >= 0);
    if (child == 0) {
        task();
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void fork_child(void)
{
    start_workers(4);
    set_share(4);
    tell_all(4, take_any);
    tell_all(4, give_every_second);
    in_child(give_in_child);
    audit_at_rest("the parent");
    for (unsigned index = 0; index < 4; index++)
        blocks_give(blocks_of(&workers[index]), NULL, "the parent frees", SELDOM);
}

/* A fork takes as long as the process is large. Meanwhile threads go on, and are blocked after
 * it. */
static void fork_held(void)
{
    start_workers(4);
    set_share(4);
    for (unsigned round = 0; round < 2; round++) {
        tell_all(4, take_small);
        for (unsigned index = 0; index < 4; index++)
            blocks_sort(blocks_of(&workers[index]));
        np_fork_prepare();
        tell_all(4, give_every_second);
        np_fork_parent();
        audit_at_rest("freed during a fork");
        for (unsigned index = 0; index < 4; index++)
            blocks_give(blocks_of(&workers[index]), NULL, "main's half", SELDOM);
    }
}

const struct scenario thread_scenarios[] = {
    {"remote", remote},
    {"remote_pairs", remote_pairs},
    {"remote_many", remote_many},
    {"many_workers", many_workers},
    {"idle", idle},
    {"exited", exited},
    {"parked", parked},
    {"freed_then_exited", freed_then_exited},
    {"lent_at_exit", lent_at_exit},
    {"homeless", homeless},
    {"fork_child", fork_child},
    {"fork_held", fork_held},
    {NULL, NULL},
};

/* Fuzz target: the same operations by up to four threads.
 *
 * The first record is a header: how many threads, and whether they work in turns or at once. In
 * turns, one shadow has all blocks, and any thread frees or resizes what any other allocated; the
 * order is that of the input, so a finding comes again. At once, each thread has a shadow of its
 * own and does the records that name it; blocks change hands through mailboxes, and a seed from the
 * header decides where threads wait a little. Threads also end, and new ones take their places. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "fuzz.h"
#include "neap/neap.h"
#include "operations.h"
#include "pattern.h"

enum { MOST_THREADS = 4, MAILBOX_COUNT = 32 };

/* The kinds of records that are no operation, by what is left when divided by their number. */
enum extra { EXTRA_END, EXTRA_POST, EXTRA_COLLECT, EXTRA_COLLECT_ALL, EXTRA_COUNT };

static struct {
    const uint8_t *bytes;
    size_t record_count;
    unsigned thread_count;
    uint64_t seed;
} input;

static struct operations operations_of[MOST_THREADS];

bool target_may_fail(void)
{
    return false;
}

static unsigned thread_of(const struct record *record)
{
    return record->thread % input.thread_count;
}

/* In turns: one worker has the job, the others and the caller wait. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const struct record *job; /* NULL: done */
    unsigned turn;            /* whose job it is */
    bool is_last;             /* the worker ends instead */
    bool is_alive[MOST_THREADS];
    pthread_t workers[MOST_THREADS];
} turns = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *work_in_turns(void *argument)
{
    unsigned index = (unsigned)(uintptr_t)argument;
    bool is_over = false;

    pthread_mutex_lock(&turns.lock);
    while (!is_over) {
        while (turns.job == NULL || turns.turn != index)
            pthread_cond_wait(&turns.changed, &turns.lock);
        is_over = turns.is_last;
        if (!is_over)
            operations_do(&operations_of[0], turns.job);
        turns.job = NULL;
        pthread_cond_broadcast(&turns.changed);
    }
    pthread_mutex_unlock(&turns.lock);
    return NULL;
}

static void give_turn(unsigned index, const struct record *job, bool is_last)
{
    pthread_mutex_lock(&turns.lock);
    turns.turn = index;
    turns.job = job;
    turns.is_last = is_last;
    pthread_cond_broadcast(&turns.changed);
    while (turns.job != NULL)
        pthread_cond_wait(&turns.changed, &turns.lock);
    pthread_mutex_unlock(&turns.lock);
}

static void end_worker(unsigned index)
{
    struct record none = {0};

    if (!turns.is_alive[index])
        return;
    give_turn(index, &none, true);
    REQUIRE(pthread_join(turns.workers[index], NULL) == 0);
    turns.is_alive[index] = false;
}

static void do_in_turn(const struct record *record)
{
    unsigned index = thread_of(record);

    if (record->kind % EXTRA_COUNT == EXTRA_END && record->repeat >= 250) {
        end_worker(index);
        return;
    }
    if (!turns.is_alive[index]) {
        REQUIRE(pthread_create(&turns.workers[index], NULL, work_in_turns,
                               (void *)(uintptr_t)index) == 0);
        turns.is_alive[index] = true;
    }
    give_turn(index, record, false);
}

static void run_in_turns(void)
{
    operations_begin(&operations_of[0], COMPANY_NONE, input.thread_count + 1, input.seed);
    for (size_t i = 1; i < input.record_count; i++) {
        struct record record = record_at(input.bytes, i);

        do_in_turn(&record);
    }
    for (unsigned index = 0; index < input.thread_count; index++)
        end_worker(index);
    operations_free_all(&operations_of[0]);
}

/* At once. */
static struct {
    pthread_mutex_t lock;
    struct shadow_block blocks[MAILBOX_COUNT]; /* start NULL: empty */
} mailboxes = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_barrier_t start_line;

/* Puts the block into the mailbox, and what was there before into *block. */
static void exchange(unsigned mailbox, struct shadow_block *block)
{
    struct shadow_block before;

    pthread_mutex_lock(&mailboxes.lock);
    before = mailboxes.blocks[mailbox % MAILBOX_COUNT];
    mailboxes.blocks[mailbox % MAILBOX_COUNT] = *block;
    pthread_mutex_unlock(&mailboxes.lock);
    *block = before;
}

/* Takes over what another thread wrote. */
static void adopt(struct operations *operations, struct shadow_block *block)
{
    if (block->start == NULL)
        return;
    REQUIRE_SOUND(shadow_check(block));
    if (operations->shadow.live_count < SHADOW_MOST_LIVE)
        REQUIRE_SOUND(shadow_enter(&operations->shadow, block));
    else
        neap_free(block->start);
}

static void post_or_collect(struct operations *operations, const struct record *record)
{
    struct shadow_block block = {0};

    if (record->kind % EXTRA_COUNT == EXTRA_POST && operations->shadow.live_count > 0)
        REQUIRE_SOUND(shadow_take_out(&operations->shadow,
                                      record_place(record, &operations->shadow), &block));
    exchange(record->option, &block);
    adopt(operations, &block);
}

static void collect_all(struct operations *operations)
{
    for (unsigned mailbox = 0; mailbox < MAILBOX_COUNT; mailbox++) {
        struct shadow_block block = {0};

        exchange(mailbox, &block);
        adopt(operations, &block);
    }
}

static void wait_a_little(uint64_t *random)
{
    size_t die = random_below(random, 16);

    if (die == 0)
        sched_yield();
    for (volatile size_t spins = die < 4 ? die * 100 : 0; spins > 0; spins--) {
    }
}

static void *work_at_once(void *argument)
{
    struct operations *operations = argument;
    unsigned index = (unsigned)(operations - operations_of);
    uint64_t random = input.seed + index;

    operations_begin(operations, COMPANY_THREADS, input.thread_count + 1, random_next(&random));
    pthread_barrier_wait(&start_line);
    for (size_t i = 1; i < input.record_count; i++) {
        struct record record = record_at(input.bytes, i);

        if (thread_of(&record) != index)
            continue;
        wait_a_little(&random);
        if (operations_do(operations, &record))
            continue;
        if (record.kind % EXTRA_COUNT == EXTRA_COLLECT_ALL)
            collect_all(operations);
        else
            post_or_collect(operations, &record);
    }
    operations_free_all(operations);
    return NULL;
}

static void run_at_once(void)
{
    pthread_t threads[MOST_THREADS];

    REQUIRE(pthread_barrier_init(&start_line, NULL, input.thread_count) == 0);
    for (unsigned index = 0; index < input.thread_count; index++)
        REQUIRE(pthread_create(&threads[index], NULL, work_at_once, &operations_of[index]) == 0);
    for (unsigned index = 0; index < input.thread_count; index++)
        REQUIRE(pthread_join(threads[index], NULL) == 0);
    pthread_barrier_destroy(&start_line);
    operations_begin(&operations_of[0], COMPANY_NONE, 1, 0);
    collect_all(&operations_of[0]);
    operations_free_all(&operations_of[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    struct record header;

    if (byte_count < RECORD_BYTES)
        return 0;
    header = record_at(bytes, 0);
    input.bytes = bytes;
    input.record_count = byte_count / RECORD_BYTES;
    input.thread_count = 1 + header.thread % MOST_THREADS;
    memcpy(&input.seed, bytes, sizeof(input.seed));
    if (header.kind % 2 == 0)
        run_in_turns();
    else
        run_at_once();
    operations_settle(0);
    return 0;
}

/* stage.c: see stage.h. */
#include "stage.h"

#include "instrument.h"

#include <stdlib.h>
#include <string.h>

enum { STACK_BYTES = 32 << 10 };

/* Never zero, so that a block whose page was purged does not look whole. */
static unsigned char pattern_of(const void *address)
{
    return (unsigned char)((uintptr_t)address >> 4) | 1;
}

bool np_stage_is_filled(const struct block *block, unsigned char pattern)
{
    const unsigned char *bytes = block->address;

    /* The first byte is right, and each is as the one before it. */
    return bytes[0] == pattern && memcmp(bytes, bytes + 1, block->bytes - 1) == 0;
}

static bool is_whole(const struct block *block)
{
    return np_stage_is_filled(block, pattern_of(block->address));
}

void np_stage_add_live(struct stage *stage, int64_t bytes)
{
    uint64_t added = (uint64_t)bytes;
    uint64_t live_bytes = atomic_fetch_add_explicit(&stage->live_bytes, added,
                                                    memory_order_relaxed) + added;

    if (stage->marks == NULL)
        return;
    unsigned index = atomic_fetch_add_explicit(&stage->mark_count, 1, memory_order_relaxed);
    if (index < STAGE_MARK_MAX)
        stage->marks[index] = (struct stage_mark){ np_clock_seconds(CLOCK_MONOTONIC), live_bytes };
}

void np_stage_start_clock(struct stage *stage)
{
    stage->wall_start = np_clock_seconds(CLOCK_MONOTONIC);
    stage->cpu_start = np_clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

void np_stage_stop_clock(struct stage *stage)
{
    stage->cpu_seconds += np_clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - stage->cpu_start;
    stage->seconds += np_clock_seconds(CLOCK_MONOTONIC) - stage->wall_start;
}

static void wait_until(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        continue;
}

/* So that deeper calls later do not look like memory of the allocator's. */
static void touch_stack(void)
{
    volatile char stack[STACK_BYTES];

    for (size_t i = 0; i < sizeof stack; i += 512)
        stack[i] = 1;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;

    touch_stack();
    sem_post(&worker->stage->is_done);
    for (;;) {
        wait_until(&worker->is_wanted);
        if (worker->work == NULL)
            return NULL;
        worker->work(worker);
        sem_post(&worker->stage->is_done);
    }
}

bool np_stage_make(struct stage *stage, unsigned worker_count, unsigned started_count,
                   const char **error)
{
    stage->workers = np_map_touched(worker_count * sizeof *stage->workers);
    if (stage->workers == NULL) {
        *error = "no memory for the workers";
        return false;
    }
    sem_init(&stage->is_done, 0, 0);
    for (unsigned i = 0; i < worker_count; i++) {
        struct worker *worker = &stage->workers[i];
        memset(worker, 0, sizeof *worker);
        worker->stage = stage;
        worker->index = i;
        worker->random = 0x9E3779B97F4A7C15u * (i + 1);
        sem_init(&worker->is_wanted, 0, 0);
    }
    for (unsigned i = 1; i <= started_count; i++) {
        struct worker *worker = &stage->workers[i];
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            *error = "a thread could not be started";
            return false;
        }
        stage->worker_count = i + 1;
    }
    np_stage_wait_for(stage, started_count);
    touch_stack();
    stage->worker_count = worker_count;
    return true;
}

void np_stage_end(struct stage *stage)
{
    for (unsigned i = 1; i < stage->worker_count; i++) {
        struct worker *worker = &stage->workers[i];
        if (worker->thread == 0)
            continue;
        worker->work = NULL;
        sem_post(&worker->is_wanted);
        pthread_join(worker->thread, NULL);
    }
}

bool np_stage_make_table(struct worker *worker, size_t block_count)
{
    const struct stage *stage = worker->stage;

    if (block_count == 0) {
        /* Sizes are drawn evenly: with so much room it never happens that a table is full before
         * the sum is reached. */
        uint64_t mean_count = 2 * stage->share_bytes
                              / ((uint64_t)stage->min_bytes + stage->max_bytes);
        block_count = (size_t)(mean_count + mean_count / 16 + 256);
    }
    worker->capacity = block_count;
    worker->blocks = np_map_touched(block_count * sizeof *worker->blocks);
    return worker->blocks != NULL;
}

void np_stage_start_work(struct stage *stage, unsigned first, unsigned count,
                         void (*work)(struct worker *worker))
{
    for (unsigned i = first; i < first + count; i++) {
        stage->workers[i].work = work;
        sem_post(&stage->workers[i].is_wanted);
    }
}

void np_stage_wait_for(struct stage *stage, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        wait_until(&stage->is_done);
}

void np_stage_let(struct stage *stage, unsigned first, unsigned count,
                  void (*work)(struct worker *worker))
{
    np_stage_start_work(stage, first, count, work);
    np_stage_wait_for(stage, count);
}

bool np_stage_take(struct worker *worker, uint32_t bytes)
{
    void *address = worker->block_count < worker->capacity ? malloc(bytes) : NULL;

    if (address == NULL) {
        worker->failed_count++;
        return false;
    }
    memset(address, pattern_of(address), bytes);
    worker->blocks[worker->block_count++] = (struct block){ address, bytes, false };
    return true;
}

void np_stage_fill(struct worker *worker)
{
    struct stage *stage = worker->stage;
    uint64_t size_count = stage->max_bytes - stage->min_bytes + 1;
    uint64_t stride_bytes = stage->share_bytes / stage->stride_count + 1;
    uint64_t sum_bytes = 0;
    uint64_t unmarked_bytes = 0;

    worker->block_count = 0;
    while (sum_bytes < stage->share_bytes) {
        uint64_t more_bytes = np_random_next(&worker->random) % size_count;
        uint32_t bytes = stage->min_bytes + (uint32_t)more_bytes;
        if (!np_stage_take(worker, bytes))
            break;
        sum_bytes += bytes;
        unmarked_bytes += bytes;
        if (unmarked_bytes >= stride_bytes) {
            np_stage_add_live(stage, (int64_t)unmarked_bytes);
            unmarked_bytes = 0;
        }
    }
    np_stage_add_live(stage, (int64_t)unmarked_bytes);
}

/* Returns the bytes freed. */
static uint32_t free_block(struct worker *freer, const struct block *block)
{
    if (block->is_kept)
        return 0;
    if (freer->stage->is_checked && !is_whole(block))
        freer->damaged_count++;
    free(block->address);
    return block->bytes;
}

void np_stage_free(struct worker *freer, const struct worker *owner, size_t first, size_t step)
{
    size_t stride = owner->block_count / freer->stage->stride_count / step + 1;
    int64_t unmarked_bytes = 0;

    for (size_t i = first, done_count = 0; i < owner->block_count; i += step) {
        unmarked_bytes += free_block(freer, &owner->blocks[i]);
        if (++done_count % stride == 0) {
            np_stage_add_live(freer->stage, -unmarked_bytes);
            unmarked_bytes = 0;
        }
    }
    np_stage_add_live(freer->stage, -unmarked_bytes);
}

void np_stage_free_backwards(struct worker *freer, const struct worker *owner)
{
    size_t stride = owner->block_count / freer->stage->stride_count + 1;
    int64_t unmarked_bytes = 0;

    for (size_t i = owner->block_count; i > 0; i--) {
        unmarked_bytes += free_block(freer, &owner->blocks[i - 1]);
        if (i % stride == 0) {
            np_stage_add_live(freer->stage, -unmarked_bytes);
            unmarked_bytes = 0;
        }
    }
    np_stage_add_live(freer->stage, -unmarked_bytes);
}

/* Fisher and Yates. */
void np_stage_shuffle(struct worker *worker)
{
    struct block *blocks = worker->blocks;

    for (size_t i = worker->block_count; i > 1; i--) {
        size_t other = (size_t)(np_random_next(&worker->random) % i);
        struct block block = blocks[i - 1];
        blocks[i - 1] = blocks[other];
        blocks[other] = block;
    }
}

static void sift_down(struct block *blocks, size_t root, size_t end)
{
    struct block block = blocks[root];

    for (size_t child = 2 * root + 1; child < end; child = 2 * root + 1) {
        if (child + 1 < end
            && (uintptr_t)blocks[child].address < (uintptr_t)blocks[child + 1].address)
            child++;
        if ((uintptr_t)blocks[child].address <= (uintptr_t)block.address)
            break;
        blocks[root] = blocks[child];
        root = child;
    }
    blocks[root] = block;
}

/* By address, with the heap sort: qsort may call malloc. */
static void sort(struct block *blocks, size_t count)
{
    for (size_t root = count / 2; root > 0; root--)
        sift_down(blocks, root - 1, count);
    for (size_t end = count; end > 1; end--) {
        struct block highest = blocks[0];
        blocks[0] = blocks[end - 1];
        blocks[end - 1] = highest;
        sift_down(blocks, 0, end - 1);
    }
}

void np_stage_sort(struct worker *worker)
{
    sort(worker->blocks, worker->block_count);
}

/* Moves the blocks that are kept to the front, so that only they need sorting: it would be a third
 * of a scenario's time otherwise. Returns how many. */
static size_t gather_kept(struct worker *worker)
{
    size_t count = 0;

    for (size_t i = 0; i < worker->block_count; i++) {
        struct block block = worker->blocks[i];
        if (!block.is_kept)
            continue;
        worker->blocks[i] = worker->blocks[count];
        worker->blocks[count++] = block;
    }
    return count;
}

/* The pages under a worker's kept blocks. Two threads' blocks on one page would count twice;
 * scenarios keep blocks of one worker only. */
static void count_worker(struct worker *worker, size_t page_bytes, struct kept_blocks *kept)
{
    size_t count = gather_kept(worker);
    uintptr_t next_page = 0;

    sort(worker->blocks, count);
    for (size_t i = 0; i < count; i++) {
        const struct block *block = &worker->blocks[i];
        uintptr_t first_page = (uintptr_t)block->address / page_bytes;
        uintptr_t end_page = ((uintptr_t)block->address + block->bytes - 1) / page_bytes + 1;
        if (first_page < next_page)
            first_page = next_page;
        if (end_page > first_page) {
            kept->page_bytes += (end_page - first_page) * page_bytes;
            next_page = end_page;
        }
        kept->count++;
        kept->bytes += block->bytes;
        if (!is_whole(block))
            kept->damaged_count++;
    }
}

struct kept_blocks np_stage_count_kept(struct stage *stage, size_t page_bytes)
{
    struct kept_blocks kept = { 0 };

    for (unsigned i = 0; i < stage->worker_count; i++)
        count_worker(&stage->workers[i], page_bytes, &kept);
    return kept;
}

/* Every failure of every call of the system, seen from outside: through libc's names, on the real
 * kernel, with libneap.so as it is. The nth call fails, alone or with all that follow, in
 * scenarios that use every entry point. What a program may rely on: NULL with ENOMEM, or a block;
 * nothing allocated is lost; nothing hangs; what is freed can be had again; free leaves errno.
 *
 * Each trial is a process of its own, in which nothing has been allocated yet: so no framework
 * stands around them. scenarios_test.c does the same from inside, with audits. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "isolated.h"
#include "refuse.h"
#if FAULT_HAS_OPERATORS
#include "operators.h"
#endif

#include <neap/neap.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define KIB ((size_t)1 << 10)

enum { BLOCK_MAX = 1000, CALLS_MAX = 3000, STATUS_ALL_TRIED = 77, UNTOUCHED = 99 };

void free_sized(void *block, size_t size_bytes);
void free_aligned_sized(void *block, size_t alignment_bytes, size_t size_bytes);

static struct block {
    unsigned char *memory;
    size_t bytes;
    unsigned char stamp;
    bool is_sized; /* its size is what malloc or realloc was told, so that free may be told, too */
    size_t alignment; /* what aligned_alloc or operator new was told; 0: another function */
    void (*give)(const struct block *block); /* for operator new's: the delete that fits */
    unsigned operator_form;
} blocks[BLOCK_MAX];
static size_t block_count;
static size_t refusal_count;

static void stamp(struct block *block)
{
    block->stamp = (unsigned char)(1 + block_count % 250);
    memset(block->memory, block->stamp, block->bytes);
}

static void expect_stamp(const struct block *block, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += at < 64 ? 1 : 251)
        EXPECT(block->memory[at] == block->stamp);
    if (bytes > 0)
        EXPECT(block->memory[bytes - 1] == block->stamp);
}

/* What an entry point answered; errno was UNTOUCHED before. */
static void add(void *memory, size_t bytes)
{
    if (memory == NULL) {
        EXPECT(errno == ENOMEM);
        refusal_count++;
        return;
    }
    EXPECT(block_count < BLOCK_MAX);
    EXPECT((uintptr_t)memory % 16 == 0);
    EXPECT(malloc_usable_size(memory) >= bytes);
    blocks[block_count] = (struct block){.memory = memory, .bytes = bytes};
    stamp(&blocks[block_count++]);
}

static void add_sized(void *memory, size_t bytes)
{
    add(memory, bytes);
    if (memory != NULL)
        blocks[block_count - 1].is_sized = true;
}

static void add_aligned(void *memory, size_t bytes, size_t alignment)
{
    add(memory, bytes);
    EXPECT((uintptr_t)memory % alignment == 0);
    if (memory != NULL)
        blocks[block_count - 1].alignment = alignment;
}

static void *zeroed(size_t bytes)
{
    unsigned char *memory = calloc(bytes / 8 + 1, 8);

    for (size_t at = 0; memory != NULL && at < bytes; at++)
        EXPECT(memory[at] == 0);
    return memory;
}

static void *by_posix_memalign(size_t alignment, size_t bytes)
{
    void *memory = NULL;
    int error = posix_memalign(&memory, alignment, bytes);

    EXPECT(errno == UNTOUCHED);
    EXPECT(error == 0 || (error == ENOMEM && memory == NULL));
    errno = error;
    return memory;
}

/* One block by every entry point that hands one out. */
static void take_by_all(size_t bytes)
{
    errno = UNTOUCHED;
    add_sized(malloc(bytes), bytes);
    errno = UNTOUCHED;
    add(zeroed(bytes), bytes);
    errno = UNTOUCHED;
    add_sized(realloc(NULL, bytes), bytes);
    errno = UNTOUCHED;
    add(reallocarray(NULL, bytes / 16 + 1, 16), bytes);
    errno = UNTOUCHED;
    add(memalign(64, bytes), bytes);
    errno = UNTOUCHED;
    add_aligned(aligned_alloc(1024, bytes), bytes, 1024);
    errno = UNTOUCHED;
    add(by_posix_memalign(32 * KIB, bytes), bytes);
    errno = UNTOUCHED;
    add(valloc(bytes), bytes);
    errno = UNTOUCHED;
    add(pvalloc(bytes), bytes);
}

static void free_with_what_is_known(const struct block *block)
{
    if (block->is_sized)
        free_sized(block->memory, block->bytes);
    else if (block->alignment != 0)
        free_aligned_sized(block->memory, block->alignment, block->bytes);
    else
        free(block->memory);
}

/* By each of the ways to free, in turn. */
static void give(size_t index)
{
    struct block block = blocks[index];

    expect_stamp(&block, block.bytes);
    blocks[index] = blocks[--block_count];
    errno = UNTOUCHED;
    if (block.give != NULL)
        block.give(&block);
    else if (block.stamp % 4 == 0)
        free_with_what_is_known(&block);
    else if (block.stamp % 4 == 1)
        EXPECT(realloc(block.memory, 0) == NULL);
    else
        free(block.memory);
    EXPECT(errno == UNTOUCHED);
}

static void give_every_nth(size_t nth)
{
    for (size_t index = block_count; index-- > 0;)
        if (index % nth == 0)
            give(index);
}

static void resize(size_t index, size_t bytes)
{
    struct block *block = &blocks[index];
    unsigned char *memory;

    errno = UNTOUCHED;
    memory = realloc(block->memory, bytes);
    if (memory == NULL) {
        EXPECT(errno == ENOMEM && bytes > block->bytes); /* shrinking cannot fail */
        expect_stamp(block, block->bytes);
        refusal_count++;
        return;
    }
    EXPECT(errno == UNTOUCHED);
    block->memory = memory;
    expect_stamp(block, bytes < block->bytes ? bytes : block->bytes);
    block->bytes = bytes;
    block->is_sized = true;
    block->alignment = 0;
    stamp(block);
}

/* ---- the scenarios ---- */

static void small_blocks(void)
{
    for (size_t bytes = 1; bytes < 16 * KIB; bytes = bytes * 2 + 7)
        take_by_all(bytes);
    give_every_nth(3);
    for (size_t bytes = 10; bytes < 2 * KIB; bytes *= 3)
        take_by_all(bytes);
    for (size_t index = 0; index < block_count; index += 5)
        resize(index, 1 + blocks[index].bytes * 3);
}

static void runs(void)
{
    for (size_t bytes = 17 * KIB; bytes < 120 * KIB; bytes += 14 * KIB)
        take_by_all(bytes);
    give_every_nth(2);
    for (size_t index = 0; index < block_count; index += 3)
        resize(index, 18 * KIB + index * 1000);
    take_by_all(50 * KIB);
    for (size_t index = 0; index < block_count; index += 2)
        resize(index, 17 * KIB);
}

static void mappings(void)
{
    for (size_t bytes = 200 * KIB; bytes < 2000 * KIB; bytes += 500 * KIB)
        take_by_all(bytes);
    for (size_t index = 0; index < block_count; index++)
        resize(index, index % 2 == 0 ? 900 * KIB : 150 * KIB);
    give_every_nth(2);
    take_by_all(300 * KIB);
    for (size_t index = 0; index < block_count; index += 2)
        resize(index, 100);
}

static void without_the_break(void)
{
    refuse_break = true;
    small_blocks();
    runs();
}

/* A 64th of the memory that a block of ours may fill, so that what lies between goes back. */
static void returning(void)
{
    EXPECT(mallopt(M_TRIM_THRESHOLD, 0) == 1);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t index = 0; index < 40; index++)
            take_by_all(200 + index * 400);
        give_every_nth(2);
        (void)malloc_trim(round * 10000);
        (void)neap_trim(100000, 0);
        give_every_nth(3);
    }
}

static void write_stats_nowhere(void)
{
    int kept = dup(STDERR_FILENO);
    int nowhere = open("/dev/null", O_WRONLY);

    EXPECT(kept >= 0 && nowhere >= 0);
    EXPECT(dup2(nowhere, STDERR_FILENO) == STDERR_FILENO);
    malloc_stats();
    EXPECT(dup2(kept, STDERR_FILENO) == STDERR_FILENO);
    close(kept);
    close(nowhere);
}

/* Walks and knobs: nothing of it may need memory. */
static void questions(void)
{
    FILE *null = fopen("/dev/null", "w");
    struct neap_stats stats;

    take_by_all(100);
    take_by_all(30 * KIB);
    EXPECT(mallinfo2().uordblks <= mallinfo2().arena);
    EXPECT(mallinfo().uordblks <= mallinfo().arena);
    EXPECT(neap_stats(&stats, sizeof stats) == 0);
    EXPECT(stats.live_count == block_count + (null != NULL));
    EXPECT(neap_stats_arena(1000, &stats, sizeof stats) == ENOENT);
    write_stats_nowhere();
    if (null != NULL) {
        EXPECT(malloc_info(0, null) == 0);
        neap_free_table(null);
        fclose(null);
    }
    EXPECT(mallopt(M_MXFAST, 100) == 1 && mallopt(M_PERTURB, 1) == 1);
    take_by_all(90);
    give_every_nth(2);
    EXPECT(mallopt(M_MXFAST, 0) == 1 && mallopt(M_PERTURB, 0) == 1);
}

#if FAULT_HAS_OPERATORS
static void give_by_delete(const struct block *block)
{
    give_by_operator(block->memory, block->operator_form, block->bytes, block->alignment,
                     block->stamp);
}

/* One block by every form of operator new; the handler is asked by every second one. */
static void take_by_operators(size_t bytes)
{
    for (unsigned form = 0; form < OPERATOR_FORMS; form++) {
        size_t alignment = form < 4 ? 16 : (size_t)64 << form;
        void *memory = take_by_operator(form, bytes, alignment, block_count % 2 * 2);

        errno = ENOMEM; /* the operators have no errno */
        add_aligned(memory, bytes, alignment);
        if (memory != NULL) {
            blocks[block_count - 1].give = give_by_delete;
            blocks[block_count - 1].operator_form = form;
        }
    }
}

static void operators(void)
{
    for (size_t bytes = 1; bytes < 1000 * KIB; bytes = bytes * 3 + 7)
        take_by_operators(bytes);
    give_every_nth(2);
    for (size_t bytes = 100; bytes < 500 * KIB; bytes *= 5)
        take_by_operators(bytes);
    give_every_nth(3);
}
#endif

static void *thread_body(void *argument)
{
    unsigned char *mine[20];

    for (size_t at = 0; at < 20; at++) {
        mine[at] = malloc(at * at * 200);
        if (mine[at] != NULL)
            memset(mine[at], (int)at, at * at * 200);
    }
    for (size_t at = 0; at < 20; at++) {
        EXPECT(at == 0 || mine[at] == NULL || mine[at][at * at * 200 - 1] == at);
        free(mine[at]);
    }
    return argument;
}

static void threads_and_forks(void)
{
    for (unsigned round = 0; round < 3; round++) {
        pthread_t thread;
        pid_t child;

        take_by_all(round * 500);
        if (pthread_create(&thread, NULL, thread_body, NULL) == 0)
            EXPECT(pthread_join(thread, NULL) == 0);
        child = fork();
        EXPECT(child >= 0);
        if (child == 0) {
            (void)thread_body(NULL);
            _exit(0);
        }
        EXPECT(wait_for_child(child) == 0);
    }
}

static void (*const scenarios[])(void) = {
    small_blocks, runs, mappings, without_the_break, returning, questions, threads_and_forks,
#if FAULT_HAS_OPERATORS
    operators,
#endif
};

/* ---- the trials ---- */

static struct {
    void (*scenario)(void);
    enum refuse_way way;
} trial;

/* The failures are over: everything can be had, and in the end nothing is left. */
static void expect_as_good_as_new(void)
{
    size_t live_bytes;

    refuse_nothing();
    give_every_nth(1);
    live_bytes = mallinfo2().uordblks + mallinfo2().hblkhd;
    /* libc keeps the stack of a thread, and a block of ours with it, for the next one. */
    EXPECT(live_bytes <= (trial.scenario == threads_and_forks ? KIB : 0));
    refusal_count = 0;
    for (size_t bytes = 1; bytes < 1000 * KIB; bytes *= 5)
        take_by_all(bytes);
    EXPECT(refusal_count == 0);
    give_every_nth(1);
    EXPECT(mallinfo2().uordblks + mallinfo2().hblkhd == live_bytes);
}

static int try_one(unsigned nth)
{
    alarm(200);
    refuse_nth(nth, trial.way);
    trial.scenario();
    refuse_countdown = 0;
    expect_as_good_as_new();
    return refuse_has_refused ? 0 : STATUS_ALL_TRIED;
}

/* Each of the first 40 calls; then, where the same few come over and over, every few of them,
 * unless the environment asks for every one. */
static bool try_all(size_t scenario_index, enum refuse_way way)
{
    unsigned nth = 1;
    int status = 0;

    trial.scenario = scenarios[scenario_index];
    trial.way = way;
    for (; nth < CALLS_MAX && status == 0; nth += nth < 40 || is_thorough() ? 1 : 1 + nth / 6)
        status = run_in_child(try_one, nth);
    if (status == STATUS_ALL_TRIED && nth > 4)
        return true;
    fprintf(stderr, "scenario %zu, way %d: status %d before call %u\n", scenario_index, (int)way,
            status, nth);
    return false;
}

int main(void)
{
    for (size_t at = 0; at < COUNT_OF(scenarios); at++)
        if (!try_all(at, REFUSE_ONE) || !try_all(at, REFUSE_ALL_FROM_THERE))
            return 1;
    return 0;
}

/* operations.c: see operations.h. */
#include "operations.h"

#include "remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "micro: %s\n", what);
    exit(1);
}

static void *take(size_t byte_count)
{
    volatile unsigned char *block = malloc(byte_count);

    if (block == NULL)
        give_up("no memory");
    *block = 1;
    return (void *)block;
}

static size_t random_below(struct workbench *bench, size_t limit)
{
    bench->random_state = bench->random_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(bench->random_state >> 33) % limit;
}

/* Sizes. */

/* Every size that an allocator may have a class for: by 16 to 256 bytes, then eight to a doubling,
 * to 16 KiB; and some beyond. */
static size_t every_class(unsigned index)
{
    static const size_t beyond[] = {32 << 10, 64 << 10, 256 << 10, 1 << 20, 0};
    unsigned above;

    if (index < 16)
        return 16 * ((size_t)index + 1);
    above = index - 16;
    if (above < 48)
        return ((size_t)256 << above / 8) * (9 + above % 8) / 8;
    return beyond[above - 48];
}

static size_t some_classes(unsigned index)
{
    static const size_t sizes[] = {16, 64, 256, 1024, 4096, 16384, 0};

    return sizes[index];
}

static size_t up_to_large(unsigned index)
{
    static const size_t sizes[] = {16, 256, 4096, 65536, 1 << 20, 0};

    return sizes[index];
}

/* pair: freed at once. */

static void run_pair(struct workbench *bench)
{
    for (size_t i = 0; i < BATCH; i++)
        free(take(bench->byte_count));
}

static void run_new(struct workbench *bench)
{
    for (size_t i = 0; i < BATCH; i++) {
        volatile unsigned char *block = block_new(bench->byte_count);

        *block = 1;
        block_delete((void *)block, bench->byte_count);
    }
}

static void run_calloc(struct workbench *bench)
{
    for (size_t i = 0; i < BATCH; i++) {
        volatile unsigned char *block = calloc(1, bench->byte_count);

        if (block == NULL)
            give_up("no memory");
        *block = 1;
        free((void *)block);
    }
}

/* batch: half as many blocks are taken as there are operations, then all are freed. */

enum { HALF = BATCH / 2 };

static void take_half(struct workbench *bench)
{
    for (size_t i = 0; i < HALF; i++)
        bench->blocks[i] = take(bench->byte_count);
}

static void run_forward(struct workbench *bench)
{
    take_half(bench);
    for (size_t i = 0; i < HALF; i++)
        free(bench->blocks[i]);
}

static void run_reverse(struct workbench *bench)
{
    take_half(bench);
    for (size_t i = HALF; i > 0; i--)
        free(bench->blocks[i - 1]);
}

/* A step that has no common divisor with HALF visits all, far from one another. */
static void run_scattered(struct workbench *bench)
{
    take_half(bench);
    for (size_t i = 0; i < HALF; i++)
        free(bench->blocks[i * 183 % HALF]);
}

/* replace: one of many live blocks is freed and another taken. */

static void fill_bench(struct workbench *bench)
{
    for (size_t i = 0; bench->blocks[BATCH - 1] == NULL && i < BATCH; i++)
        bench->blocks[i] = take(bench->byte_count);
}

static void run_replace(struct workbench *bench)
{
    for (size_t i = 0; i < BATCH; i++) {
        void **place = &bench->blocks[random_below(bench, BATCH)];

        free(*place);
        *place = take(bench->byte_count);
    }
}

static void empty_bench(struct workbench *bench)
{
    for (size_t i = 0; i < BATCH; i++) {
        free(bench->blocks[i]);
        bench->blocks[i] = NULL;
    }
}

/* remote-free: of blocks that a thread has allocated that sleeps now. */

static void let_allocate(struct workbench *bench)
{
    helper_allocate(bench->helper, bench->blocks, BATCH, bench->byte_count);
}

static void run_free(struct workbench *bench)
{
    for (size_t i = 0; i < BATCH; i++)
        free(bench->blocks[i]);
    memset(bench->blocks, 0, sizeof bench->blocks);
}

/* remote-reuse: malloc, after another thread has freed what this one had. */

static void let_free(struct workbench *bench)
{
    if (bench->blocks[0] == NULL)
        fill_bench(bench);
    helper_free(bench->helper, bench->blocks, BATCH);
}

static void run_malloc(struct workbench *bench)
{
    for (size_t i = 0; i < BATCH; i++)
        bench->blocks[i] = take(bench->byte_count);
}

/* realloc-same: to a size that needs no other block. realloc-grow: by an eighth until the block
 * has its size. */

static void run_realloc_same(struct workbench *bench)
{
    void *block = take(bench->byte_count);

    for (size_t i = 0; i < BATCH; i++) {
        block = realloc(block, bench->byte_count - i % 2);
        if (block == NULL)
            give_up("no memory");
    }
    free(block);
}

static void run_realloc_grow(struct workbench *bench)
{
    size_t byte_count = 16;
    void *block = take(byte_count);

    for (size_t i = 0; i < BATCH; i++) {
        byte_count = byte_count < bench->byte_count ? byte_count + byte_count / 8 + 1 : 16;
        block = realloc(block, byte_count);
        if (block == NULL)
            give_up("no memory");
    }
    free(block);
}

const struct operation operations[] = {
    {"pair", "malloc and free at once", NULL, run_pair, NULL, every_class, 0, 1},
    {"new", "operator new and delete at once", NULL, run_new, NULL, some_classes, 0, 0},
    {"calloc", "calloc and free at once", NULL, run_calloc, NULL, up_to_large, 0, 0},
    {"batch-forward", "500 malloc, 500 free in order", NULL, run_forward, NULL, some_classes, 0, 0},
    {"batch-reverse", "the same in reverse", NULL, run_reverse, NULL, some_classes, 0, 0},
    {"batch-scattered", "the same out of order", NULL, run_scattered, NULL, some_classes, 0, 0},
    {"replace", "free and malloc among 1000 live blocks", fill_bench, run_replace, empty_bench,
     some_classes, 0, 1},
    {"remote-free", "free of another thread's block", let_allocate, run_free, NULL, some_classes,
     1, 0},
    {"remote-reuse", "malloc of blocks that another thread freed", let_free, run_malloc,
     empty_bench, some_classes, 1, 0},
    {"realloc-same", "realloc that changes nothing", NULL, run_realloc_same, NULL, up_to_large, 0,
     0},
    {"realloc-grow", "realloc by an eighth more", NULL, run_realloc_grow, NULL, up_to_large, 0, 0},
};

const size_t operation_count = sizeof operations / sizeof operations[0];

void workbench_open(struct workbench *bench, const struct operation *operation, size_t byte_count,
                    unsigned thread_index)
{
    memset(bench, 0, sizeof *bench);
    bench->byte_count = byte_count;
    bench->random_state = 1 + thread_index;
    if (operation->has_helper && (bench->helper = helper_start()) == NULL)
        give_up("no thread can be made");
}

void workbench_close(struct workbench *bench, const struct operation *operation)
{
    if (operation->finish != NULL)
        operation->finish(bench);
    if (bench->helper != NULL)
        helper_end(bench->helper);
}

/*
 * stack_pool_test.c: what the stacks of include/neap/region.h promise. Nothing runs on these stacks
 * here: writing stands for running. examples/region has two programs that do run on theirs.
 */
#include "expect.h"

#include "neap/region.h"

enum { CHUNK_COUNT = 5, BUFFER_BYTES = 1200, GUARD_AREA_MAX_BYTES = 16 };

/* The seed's cut: conjoined chunks of 256 and 64 bytes. */
static const uint16_t seed_sizes[CHUNK_COUNT] = {256, 64, 256, 64, 256};

static _Alignas(16) unsigned char buffer[BUFFER_BYTES];
static uint16_t sizes[CHUNK_COUNT];
static struct neap_stack_pool pool;

static void start(void)
{
    unsigned i;

    for (i = 0; i < CHUNK_COUNT; i++)
        sizes[i] = seed_sizes[i];
    for (i = 0; i < BUFFER_BYTES; i++)
        buffer[i] = 0xEE;
    EXPECT(neap_stack_pool_init(&pool, buffer, BUFFER_BYTES, sizes, CHUNK_COUNT));
}

static unsigned char *top(unsigned index)
{
    return neap_stack_pool_top(&pool, index);
}

static unsigned char *stack(unsigned index)
{
    return neap_stack_pool_stack(&pool, index);
}

/* What a program does that needs so many bytes of its stack. */
static void run_on(unsigned index, size_t bytes)
{
    unsigned char *pointer = top(index);

    while (bytes-- != 0)
        *--pointer = (unsigned char)bytes;
}

static void stacks_tile_the_buffer(void)
{
    size_t used_bytes = 0;
    unsigned i;

    start();
    EXPECT(stack(0) == buffer + NEAP_STACK_ALIGN);
    for (i = 0; i < CHUNK_COUNT; i++) {
        EXPECT(neap_stack_pool_usable_bytes(&pool, i) == sizes[i] - NEAP_STACK_ALIGN);
        EXPECT(top(i) == stack(i) + neap_stack_pool_usable_bytes(&pool, i));
        EXPECT((uintptr_t)top(i) % NEAP_STACK_ALIGN == 0);
        EXPECT(i == 0 || stack(i) == top(i - 1) + NEAP_STACK_ALIGN);
        used_bytes += sizes[i];
    }
    EXPECT(buffer[used_bytes] == 0xEE);
    EXPECT(neap_stack_pool_check(&pool) == -1);
}

static void unfit_sizes_are_refused(void)
{
    uint16_t unfit[3] = {64, 64, 64};

    EXPECT(neap_stack_pool_init(&pool, buffer, 192, unfit, 3));
    EXPECT(!neap_stack_pool_init(&pool, buffer, 191, unfit, 3));
    EXPECT(neap_stack_pool_init(&pool, buffer + 1, 192 + NEAP_STACK_ALIGN - 1, unfit, 3));
    EXPECT((uintptr_t)pool.base % NEAP_STACK_ALIGN == 0 && pool.base > buffer);
    EXPECT(!neap_stack_pool_init(&pool, buffer + 1, 192 + NEAP_STACK_ALIGN - 2, unfit, 3));
    EXPECT(!neap_stack_pool_init(&pool, buffer + 1, 0, unfit, 0));
    unfit[1] = 65;
    EXPECT(!neap_stack_pool_init(&pool, buffer, BUFFER_BYTES, unfit, 3));
    unfit[1] = (uint16_t)NEAP_STACK_ALIGN;
    EXPECT(!neap_stack_pool_init(&pool, buffer, BUFFER_BYTES, unfit, 3));
    unfit[1] = 0;
    EXPECT(!neap_stack_pool_init(&pool, buffer, BUFFER_BYTES, unfit, 3));
}

static void use_is_measured_to_the_byte(void)
{
    size_t bytes;

    for (bytes = 0; bytes <= 64 - NEAP_STACK_ALIGN; bytes++) {
        start();
        run_on(1, bytes);
        EXPECT(neap_stack_pool_maxused_bytes(&pool, 1) == bytes);
        EXPECT(neap_stack_pool_maxused_bytes(&pool, 0) == 0);
        EXPECT(neap_stack_pool_maxused_bytes(&pool, 2) == 0);
        EXPECT(neap_stack_pool_check(&pool) == -1);
    }
    /* Deepest ever, not deepest now. */
    run_on(1, 3);
    EXPECT(neap_stack_pool_maxused_bytes(&pool, 1) == 64 - NEAP_STACK_ALIGN);
    neap_stack_pool_refill(&pool, 1);
    EXPECT(neap_stack_pool_maxused_bytes(&pool, 1) == 0);
}

/* One byte too deep, or a whole neighbour too deep: the culprit is named, and not its victim. */
static void the_overflowing_stack_is_named(void)
{
    unsigned index;
    size_t beyond;

    for (index = 0; index < CHUNK_COUNT; index++) {
        for (beyond = 1; beyond <= NEAP_STACK_ALIGN; beyond++) {
            start();
            run_on(index, neap_stack_pool_usable_bytes(&pool, index) + beyond);
            EXPECT(neap_stack_pool_check(&pool) == (int)index);
            EXPECT(index == 0 || neap_stack_pool_maxused_bytes(&pool, index - 1) == 0);
        }
    }
    start();
    run_on(2, neap_stack_pool_usable_bytes(&pool, 2) + NEAP_STACK_ALIGN + 20);
    EXPECT(neap_stack_pool_check(&pool) == 2);
    EXPECT(neap_stack_pool_maxused_bytes(&pool, 1) == 20);
    neap_stack_pool_refill(&pool, 2);
    EXPECT(neap_stack_pool_check(&pool) == -1);
    /* Through all of the small neighbour, whose guard is broken too. */
    start();
    run_on(2, neap_stack_pool_usable_bytes(&pool, 2) + NEAP_STACK_ALIGN + sizes[1]);
    EXPECT(neap_stack_pool_check(&pool) == 2);
}

static void chunks_join_and_part(void)
{
    start();
    EXPECT(!neap_stack_pool_split(&pool, 0, 64));
    run_on(0, 10);
    EXPECT(neap_stack_pool_join(&pool, 0));
    EXPECT(neap_stack_pool_maxused_bytes(&pool, 0) == 0);
    EXPECT(neap_stack_pool_usable_bytes(&pool, 0) == 320 - NEAP_STACK_ALIGN);
    EXPECT(neap_stack_pool_usable_bytes(&pool, 1) == 0);
    EXPECT(neap_stack_pool_maxused_bytes(&pool, 1) == 0);
    EXPECT(top(0) == buffer + 320 && stack(2) == buffer + 320 + NEAP_STACK_ALIGN);
    run_on(0, 320 - NEAP_STACK_ALIGN);
    EXPECT(neap_stack_pool_maxused_bytes(&pool, 0) == 320 - NEAP_STACK_ALIGN);
    EXPECT(neap_stack_pool_check(&pool) == -1);
    run_on(0, 320 - NEAP_STACK_ALIGN + 1);
    EXPECT(neap_stack_pool_check(&pool) == 0);
    neap_stack_pool_refill(&pool, 0);
    run_on(2, neap_stack_pool_usable_bytes(&pool, 2) + 1);
    EXPECT(neap_stack_pool_check(&pool) == 2);
    /* A number without a stack has no guard to mend, least of all its neighbour's. */
    neap_stack_pool_refill(&pool, 1);
    EXPECT(neap_stack_pool_check(&pool) == 2);
    /* Three in one, over the number that has no stack. */
    EXPECT(neap_stack_pool_join(&pool, 0));
    EXPECT(neap_stack_pool_usable_bytes(&pool, 0) == 576 - NEAP_STACK_ALIGN);
    EXPECT(!neap_stack_pool_join(&pool, 1) && !neap_stack_pool_join(&pool, 4));
    EXPECT(!neap_stack_pool_split(&pool, 0, 576) && !neap_stack_pool_split(&pool, 0, 640));
    EXPECT(!neap_stack_pool_split(&pool, 0, 576 - NEAP_STACK_ALIGN));
    EXPECT(!neap_stack_pool_split(&pool, 0, NEAP_STACK_ALIGN));
    EXPECT(!neap_stack_pool_split(&pool, 0, 257));
    EXPECT(!neap_stack_pool_split(&pool, 2, 64) && !neap_stack_pool_split(&pool, 4, 64));
    EXPECT(neap_stack_pool_split(&pool, 0, 128));
    EXPECT(sizes[0] == 128 && sizes[1] == 448 && sizes[2] == 0);
    EXPECT(neap_stack_pool_check(&pool) == -1);
    EXPECT(neap_stack_pool_maxused_bytes(&pool, 1) == 0);
    /* Sizes have 16 bits. (A join that is refused touches no memory.) */
    sizes[3] = (uint16_t)(65536 - 128);
    sizes[4] = 128;
    EXPECT(!neap_stack_pool_join(&pool, 3) && sizes[4] == 128);
}

int main(void)
{
    expect_case("stacks tile the buffer", stacks_tile_the_buffer);
    expect_case("unfit sizes are refused", unfit_sizes_are_refused);
    expect_case("use is measured to the byte", use_is_measured_to_the_byte);
    expect_case("the overflowing stack is named", the_overflowing_stack_is_named);
    expect_case("chunks join and part", chunks_join_and_part);
    return expect_end();
}

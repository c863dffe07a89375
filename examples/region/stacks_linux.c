/*
 * stacks_linux.c: three coroutines on neighbouring stacks of one buffer, with ucontext.
 *
 * The first two take turns. The third recurses deeper than its stack is, over its guard and into
 * the stack below. What each one used is then read from the fill pattern, and the check names the
 * third.
 */
#include <stdio.h>
#include <ucontext.h>

#include "neap/region.h"

enum { STACK_COUNT = 3, STACK_BYTES = 16 * 1024, TURN_COUNT = 3, FRAME_BYTES = 256 };

static unsigned char memory[STACK_COUNT * STACK_BYTES + 16];
static uint16_t sizes[STACK_COUNT] = {STACK_BYTES, STACK_BYTES, STACK_BYTES};
static struct neap_stack_pool pool;
static ucontext_t system_context;
static ucontext_t contexts[STACK_COUNT];
static int turns_taken;

static void take_turns(int own, int other)
{
    int turn;

    for (turn = 0; turn < TURN_COUNT; turn++) {
        turns_taken++;
        swapcontext(&contexts[own], &contexts[other]);
    }
}

/* Uses at least `depth` frames of stack; the address keeps the compiler from sharing them. */
static unsigned dig(unsigned depth)
{
    volatile unsigned char frame[FRAME_BYTES];
    unsigned i;

    for (i = 0; i < FRAME_BYTES; i++)
        frame[i] = (unsigned char)depth;
    return depth == 0 ? 0 : dig(depth - 1) + frame[depth % FRAME_BYTES] - (unsigned char)depth;
}

static void dig_too_deep(void)
{
    dig(STACK_BYTES / FRAME_BYTES);
}

static void first(void)
{
    take_turns(0, 1);
}

static void second(void)
{
    take_turns(1, 0);
}

static void make_coroutine(unsigned index, void (*entry)(void))
{
    getcontext(&contexts[index]);
    contexts[index].uc_stack.ss_sp = neap_stack_pool_stack(&pool, index);
    contexts[index].uc_stack.ss_size = neap_stack_pool_usable_bytes(&pool, index);
    contexts[index].uc_link = &system_context;
    makecontext(&contexts[index], entry, 0);
}

static void report(const char *when)
{
    unsigned index;
    int culprit = neap_stack_pool_check(&pool);

    printf("%s\n", when);
    for (index = 0; index < STACK_COUNT; index++)
        printf("  stack %u: %zu of %zu bytes used\n", index,
               neap_stack_pool_maxused_bytes(&pool, index),
               neap_stack_pool_usable_bytes(&pool, index));
    if (culprit >= 0)
        printf("  stack %d has overflowed\n", culprit);
}

int main(void)
{
    if (!neap_stack_pool_init(&pool, memory, sizeof memory, sizes, STACK_COUNT))
        return 1;
    make_coroutine(0, first);
    make_coroutine(1, second);
    make_coroutine(2, dig_too_deep);

    swapcontext(&system_context, &contexts[0]);
    report("two coroutines have taken turns");
    if (turns_taken != 2 * TURN_COUNT || neap_stack_pool_check(&pool) != -1)
        return 1;

    swapcontext(&system_context, &contexts[2]);
    report("a third has dug too deep");
    return neap_stack_pool_check(&pool) == 2 ? 0 : 1;
}

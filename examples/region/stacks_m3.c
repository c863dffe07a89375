/*
 * stacks_m3.c: cooperative processes on conjoined stacks of 256 and 64 bytes, on a Cortex-M3.
 *
 * Two processes take turns on a stack of 256 bytes and on one of 320, made of a 256 and a 64, for
 * it needs more than 256. A third has 256 and needs more: it runs over its guard, and the check
 * names it and not the stack below. Start-up and serial line are those of tests/region/port.
 */
#include "neap/region.h"
#include "port.h"

enum { CHUNK_COUNT = 5, TURN_COUNT = 3, SAVED_WORD_COUNT = 9, FRAME_BYTES = 32 };

/* By number of the stack; 3 is joined to 2 and has none of its own. */
enum process { IDLE, LEAN, DEEP, JOINED, GREEDY, SYSTEM, PROCESS_COUNT };

static _Alignas(8) unsigned char memory[256 + 256 + 256 + 64 + 256];
static uint16_t sizes[CHUNK_COUNT] = {256, 256, 256, 64, 256};
static struct neap_stack_pool pool;
static uint32_t *saved_stack_pointers[PROCESS_COUNT];
static enum process running = SYSTEM;

static void put_text(const char *text)
{
    while (*text != '\0')
        port_put_char(*text++);
}

static void put_number(unsigned number)
{
    if (number >= 10)
        put_number(number / 10);
    port_put_char((char)('0' + number % 10));
}

/* Pushes what a call must keep, changes stacks, and pops what the other process had pushed. */
__attribute__((naked, noinline)) static void swap_stacks(uint32_t **save __attribute__((unused)),
                                                         uint32_t *load __attribute__((unused)))
{
    __asm__ volatile("push {r4-r11, lr}\n"
                     "str sp, [r0]\n"
                     "mov sp, r1\n"
                     "pop {r4-r11, pc}\n");
}

static void switch_to(enum process process)
{
    enum process before = running;

    running = process;
    swap_stacks(&saved_stack_pointers[before], saved_stack_pointers[process]);
}

/* Bit 0 of an address to jump to says Thumb; a function's address has it. */
static void make_process(enum process process, void (*entry)(void))
{
    uint32_t *stack_pointer = neap_stack_pool_top(&pool, process);

    *--stack_pointer = 0; /* keeps the stack pointer a multiple of 8 at the entry */
    *--stack_pointer = (uint32_t)(uintptr_t)entry;
    stack_pointer -= SAVED_WORD_COUNT - 1;
    saved_stack_pointers[process] = stack_pointer;
}

/* Uses at least `depth` frames of stack. */
__attribute__((noinline)) static unsigned dig(unsigned depth)
{
    volatile unsigned char frame[FRAME_BYTES];
    unsigned i;

    for (i = 0; i < FRAME_BYTES; i++)
        frame[i] = (unsigned char)depth;
    return depth == 0 ? 0 : dig(depth - 1) + frame[0];
}

static void run_lean(void)
{
    unsigned turn;

    for (turn = 0; turn < TURN_COUNT; turn++) {
        put_text("lean process\n");
        switch_to(DEEP);
    }
    switch_to(SYSTEM);
}

static void run_deep(void)
{
    for (;;) {
        dig(6);
        put_text("deep process\n");
        switch_to(LEAN);
    }
}

static void run_greedy(void)
{
    dig(256 / (FRAME_BYTES + 8));
    switch_to(SYSTEM);
}

static void report(void)
{
    unsigned index;
    int culprit = neap_stack_pool_check(&pool);

    for (index = 0; index < CHUNK_COUNT; index++) {
        if (neap_stack_pool_usable_bytes(&pool, index) == 0)
            continue;
        put_text("stack ");
        put_number(index);
        put_text(": ");
        put_number(neap_stack_pool_maxused_bytes(&pool, index));
        put_text(" of ");
        put_number(neap_stack_pool_usable_bytes(&pool, index));
        put_text(" bytes used\n");
    }
    if (culprit >= 0) {
        put_text("overflowed: stack ");
        put_number((unsigned)culprit);
        put_text("\n");
    }
}

int main(void)
{
    if (!neap_stack_pool_init(&pool, memory, sizeof memory, sizes, CHUNK_COUNT) ||
        !neap_stack_pool_join(&pool, DEEP))
        return port_end(false);
    make_process(LEAN, run_lean);
    make_process(DEEP, run_deep);
    make_process(GREEDY, run_greedy);

    switch_to(LEAN);
    report();
    if (neap_stack_pool_check(&pool) != -1)
        return port_end(false);
    switch_to(GREEDY);
    report();
    return port_end(neap_stack_pool_check(&pool) == GREEDY);
}

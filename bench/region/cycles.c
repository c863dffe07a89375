/*
 * cycles.c: the most cycles that alloc, realloc in place and free were ever seen to take with 32
 * blocks in the heap, live and free ones together; on an ATmega328P.
 *
 * Three searches look for the worst: heaps built to be bad (every second block free, the one to
 * work on at any place), heaps of live blocks whose guards are as long as they get, and random
 * calls. Timer 1 counts cycles; what an empty measurement costs is taken off.
 */
#include <avr/io.h>

#include "neap/region.h"
#include "port.h"

enum { BLOCK_COUNT = 32, BUFFER_BYTES = 1200, RANDOM_CALL_COUNT = 5000, LARGE_BYTES = 160 };

static unsigned char buffer[BUFFER_BYTES];
static struct neap_region *heap;
static void *blocks[BLOCK_COUNT];
static uint16_t idle_cycles;
static uint16_t worst_alloc_cycles;
static uint16_t worst_realloc_cycles;
static uint16_t worst_free_cycles;
static uint16_t worst_check_cycles;
static uint32_t random_state = 1;

static void put_text(const char *text)
{
    while (*text != '\0')
        port_put_char(*text++);
}

static void put_line(const char *name, unsigned number)
{
    char digits[6];
    unsigned char i = 5;

    digits[5] = '\0';
    do {
        digits[--i] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    put_text(name);
    put_text(&digits[i]);
    put_text("\n");
}

static unsigned random_below(unsigned limit)
{
    random_state = random_state * 1664525 + 1013904223;
    return (unsigned)(random_state >> 16) % limit;
}

static void start_timer(void)
{
    __asm__ volatile("" ::: "memory");
    TCNT1 = 0;
}

/* Cycles since start_timer, if they are the most so far. */
static void note(uint16_t *worst_cycles)
{
    uint16_t cycles = TCNT1;

    __asm__ volatile("" ::: "memory");
    cycles -= idle_cycles;
    if (cycles > *worst_cycles)
        *worst_cycles = cycles;
}

static void *timed_alloc(size_t bytes)
{
    void *block;

    start_timer();
    block = neap_region_alloc(heap, bytes);
    note(&worst_alloc_cycles);
    return block;
}

static void timed_free(void *block)
{
    start_timer();
    neap_region_free(heap, block);
    note(&worst_free_cycles);
}

static void timed_shrink(void *block)
{
    start_timer();
    neap_region_realloc(heap, block, 0);
    note(&worst_realloc_cycles);
}

static void timed_check(void)
{
    const void *address;

    start_timer();
    neap_region_check(heap, &address);
    note(&worst_check_cycles);
}

/* Every second block free, larger towards the top, so that each is a new maximum; 32 in all. */
static void build_bad_heap(bool is_best_last)
{
    unsigned i;

    heap = neap_region_init(buffer, BUFFER_BYTES);
    for (i = 0; i < BLOCK_COUNT - 1; i++)
        blocks[i] = neap_region_alloc(heap, is_best_last ? 4U + i : 4U + BLOCK_COUNT - i);
    for (i = 0; i < BLOCK_COUNT - 1; i += 2) {
        neap_region_free(heap, blocks[i]);
        blocks[i] = NULL;
    }
}

static void measure_bad_heaps(void)
{
    unsigned is_best_last;
    unsigned i;
    size_t bytes;

    for (is_best_last = 0; is_best_last < 2; is_best_last++) {
        for (i = 1; i < BLOCK_COUNT - 1; i += 2) {
            build_bad_heap(is_best_last != 0);
            timed_check();
            timed_free(blocks[i]);
        }
        for (bytes = 0; bytes < 600; bytes += 2) {
            build_bad_heap(is_best_last != 0);
            timed_alloc(bytes);
        }
        for (i = 1; i < BLOCK_COUNT - 1; i += 2) {
            build_bad_heap(is_best_last != 0);
            timed_shrink(blocks[i]);
        }
    }
}

/* 31 live blocks, all but the last of 3 bytes and of 4 more that were too few for another block. */
static void build_long_guards(void)
{
    unsigned i;

    heap = neap_region_init(buffer, BUFFER_BYTES);
    for (i = 0; i < BLOCK_COUNT - 1; i++)
        blocks[i] = neap_region_alloc(heap, 8);
    for (i = 0; i < BLOCK_COUNT - 2; i++)
        blocks[i] = neap_region_realloc(heap, blocks[i], 3);
}

static void measure_long_guards(void)
{
    unsigned i;

    for (i = 0; i < BLOCK_COUNT - 1; i++) {
        build_long_guards();
        timed_check();
        timed_alloc(i);
        build_long_guards();
        timed_free(blocks[i]);
        build_long_guards();
        timed_shrink(blocks[i]);
    }
}

static unsigned block_count(void)
{
    struct neap_region_stats stats;

    neap_region_stats(heap, &stats);
    return (unsigned)(stats.used_count + stats.free_count);
}

/* Keeps the heap near 32 blocks, never above. */
static void measure_random_calls(void)
{
    unsigned call;

    heap = neap_region_init(buffer, BUFFER_BYTES);
    for (call = 0; call < BLOCK_COUNT; call++)
        blocks[call] = NULL;
    for (call = 0; call < RANDOM_CALL_COUNT; call++) {
        void **block = &blocks[random_below(BLOCK_COUNT)];

        if (*block != NULL) {
            timed_free(*block);
            *block = NULL;
        } else if (block_count() < BLOCK_COUNT) {
            *block = timed_alloc(random_below(16) == 0 ? LARGE_BYTES : random_below(40));
        }
    }
}

int main(void)
{
    TCCR1B = 1 << CS10;
    start_timer();
    note(&idle_cycles);
    measure_bad_heaps();
    measure_long_guards();
    measure_random_calls();
    put_line("alloc ", worst_alloc_cycles);
    put_line("free ", worst_free_cycles);
    put_line("realloc-in-place ", worst_realloc_cycles);
    put_line("check ", worst_check_cycles);
    return port_end(true);
}

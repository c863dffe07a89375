/*
 * heap_test.c: what include/neap/region.h promises, case by case, for whatever geometry it is
 * compiled with. random_test.c has the long run, guard_test.c what only guards promise.
 */
#include "fixture.h"

#include <string.h>

#include "port.h"

static bool is_sound(void)
{
    const void *address;

    return neap_region_check(heap, &address) == NEAP_REGION_SOUND && address == NULL;
}

static unsigned char *heap_start(void)
{
    return (unsigned char *)heap;
}

/* Where the header of a block lies. */
static void poke_head(void *block, unsigned head)
{
    uint32_t wide = head;
    uint16_t narrow = (uint16_t)head;

    memcpy((unsigned char *)block - HEAD_BYTES, NEAP_REGION_WIDE ? (void *)&wide : (void *)&narrow,
           HEAD_BYTES);
}

static void init_takes_any_alignment(void)
{
    unsigned skipped;

    for (skipped = 0; skipped < 16; skipped++) {
        unsigned char *start = fixture_buffer + skipped;
        unsigned char *block;

        memset(fixture_buffer, 0xEE, FIXTURE_BYTES);
        heap = neap_region_init(start, 200);
        EXPECT(heap != NULL && heap_start() >= start && heap_start() < start + ALIGN);
        EXPECT(fixture_is_empty());
        EXPECT(fixture_stats().maxused_bytes == 0);
        /* At most the two words and what alignment costs at both ends are not the blocks'. */
        EXPECT(fixture_stats().total_bytes > 200 - 2 * HEAD_BYTES - 2 * ALIGN);
        while ((block = neap_region_alloc(heap, 1)) != NULL) {
            EXPECT((uintptr_t)block % ALIGN == 0);
            fill_block(block, NEAP_REGION_MIN_BYTES, 1);
            EXPECT(block > start && block + NEAP_REGION_MIN_BYTES <= start + 200);
        }
        EXPECT(start[200] == 0xEE);
        EXPECT(skipped == 0 || start[-1] == 0xEE);
    }
}

static void init_knows_its_limits(void)
{
    uint32_t unit_count = NEAP_REGION_OWNERS ? 2048 : 32768;
    /* Without owners an AVR's address space ends before the size field does. */
    size_t reach_bytes = unit_count * ALIGN < SIZE_MAX / 2 ? (size_t)unit_count * ALIGN : 32768;

    EXPECT(neap_region_init(fixture_buffer, NEAP_REGION_BUFFER_MIN_BYTES - 1) == NULL);
    EXPECT(neap_region_init(fixture_buffer, NEAP_REGION_BUFFER_MIN_BYTES) != NULL);
    if (!NEAP_REGION_WIDE) {
        EXPECT(neap_region_init(fixture_buffer, reach_bytes) != NULL);
        EXPECT(neap_region_init(fixture_buffer, reach_bytes + 2 * ALIGN) == NULL);
    }
}

static void control_is_at_most_8_bytes(void)
{
    fixture_start();
    EXPECT((unsigned char *)neap_region_alloc(heap, 1) - heap_start() <=
           (ptrdiff_t)(8 + HEAD_BYTES));
}

static void alloc_serves_what_fits(void)
{
    size_t most_bytes;

    fixture_start();
    most_bytes = largest_request_bytes(fixture_stats().maxfree_bytes);
    EXPECT(neap_region_alloc(heap, most_bytes + 1) == NULL);
    EXPECT(neap_region_alloc(heap, SIZE_MAX) == NULL);
    EXPECT(neap_region_alloc(heap, SIZE_MAX - 1) == NULL);
    EXPECT(neap_region_alloc(heap, SIZE_MAX - HEAD_BYTES) == NULL);
    EXPECT(neap_region_alloc(heap, SIZE_MAX / 2 + 1) == NULL);
    EXPECT(fixture_is_empty());
    EXPECT(neap_region_alloc(heap, most_bytes) != NULL);
    EXPECT(neap_region_alloc(heap, 0) == NULL);
    EXPECT(is_sound());
    EXPECT(fault_count == 0);
}

static void blocks_have_the_least_size(void)
{
    fixture_start();
    EXPECT(neap_region_alloc(heap, 0) != NULL);
    EXPECT(fixture_stats().used_bytes == MIN_BLOCK_BYTES);
    EXPECT(neap_region_alloc(heap, 0) != NULL);
    EXPECT(fixture_stats().used_bytes == 2 * MIN_BLOCK_BYTES);
}

static void free_merges_in_any_order(void)
{
    static const unsigned char orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                               {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    unsigned order;

    for (order = 0; order < 6; order++) {
        void *blocks[3];
        unsigned i;

        fixture_start();
        for (i = 0; i < 3; i++)
            blocks[i] = neap_region_alloc(heap, 20);
        for (i = 0; i < 3; i++) {
            EXPECT(neap_region_free(heap, blocks[orders[order][i]]));
            EXPECT(is_sound());
        }
        EXPECT(fixture_is_empty());
    }
    EXPECT(neap_region_free(heap, NULL));
    EXPECT(fixture_is_empty());
    EXPECT(fault_count == 0);
}

/* Leaves free blocks for 60, 30 and 30 bytes, in this order and with live blocks between them. */
static void make_holes(void *holes[3])
{
    static const unsigned char sizes[3] = {60, 30, 30};
    unsigned i;

    for (i = 0; i < 3; i++) {
        holes[i] = neap_region_alloc(heap, sizes[i]);
        neap_region_alloc(heap, 1);
    }
    for (i = 0; i < 3; i++)
        neap_region_free(heap, holes[i]);
}

static void best_fit_takes_the_smallest_and_lowest(void)
{
    void *holes[3];

    fixture_start();
    make_holes(holes);
    EXPECT(neap_region_alloc(heap, 30) == holes[1]);
    EXPECT(neap_region_alloc(heap, 30) == holes[2]);
    EXPECT(neap_region_alloc(heap, 30) == holes[0]);
    EXPECT(is_sound());
    fixture_start();
    make_holes(holes);
    EXPECT(neap_region_aligned_alloc(heap, ALIGN, 30) == holes[1]);
    EXPECT(neap_region_aligned_alloc(heap, ALIGN, 30) == holes[2]);
    EXPECT(neap_region_aligned_alloc(heap, ALIGN, 30) == holes[0]);
    EXPECT(is_sound());
}

/* Starts a heap whose blocks have exactly so many bytes of the fixture's buffer, or more. (Nothing
 * above the first header is touched.) */
static void start_with_total(size_t total_bytes)
{
    size_t buffer_bytes = total_bytes;

    do {
        heap = neap_region_init(fixture_buffer, buffer_bytes++);
    } while (fixture_stats().total_bytes != total_bytes);
}

static void large_blocks_go_to_the_upper_end(void)
{
    const size_t total_bytes = 80 * 8;
    const size_t threshold_bytes = largest_request_bytes(total_bytes / 8);
    unsigned char *small;
    unsigned char *large;

    start_with_total(total_bytes);
    small = neap_region_alloc(heap, threshold_bytes);
    large = neap_region_alloc(heap, threshold_bytes + 1);
    EXPECT(small - HEAD_BYTES == heap_start() + 2 * HEAD_BYTES);
    EXPECT(large - HEAD_BYTES + block_bytes(threshold_bytes + 1) ==
           heap_start() + 2 * HEAD_BYTES + total_bytes);
    /* A rest below it that is too little for a block goes with it. */
    EXPECT(neap_region_alloc(heap, largest_request_bytes(fixture_stats().maxfree_bytes) - 1) ==
           small + block_bytes(threshold_bytes));
    EXPECT(fixture_stats().free_count == 0);
    EXPECT(is_sound());
}

static void calloc_clears_and_counts(void)
{
    unsigned char *block;
    size_t i;

    fixture_start();
    block = neap_region_calloc(heap, 9, 11);
    EXPECT(block != NULL);
    for (i = 0; i < 99; i++)
        EXPECT(block[i] == 0);
    EXPECT(fixture_stats().used_bytes == block_bytes(99));
    EXPECT(neap_region_calloc(heap, SIZE_MAX / 2 + 1, 2) == NULL);
    EXPECT(neap_region_calloc(heap, 2, SIZE_MAX / 2 + 1) == NULL);
    EXPECT(neap_region_calloc(heap, SIZE_MAX, SIZE_MAX) == NULL);
    EXPECT(neap_region_calloc(heap, 3, SIZE_MAX / 2 + 1) == NULL);
    EXPECT(neap_region_calloc(heap, SIZE_MAX / 16 + 2, 16) == NULL);
    EXPECT(fixture_stats().used_count == 1);
    EXPECT(neap_region_calloc(heap, 0, SIZE_MAX) != NULL);
    EXPECT(neap_region_calloc(heap, SIZE_MAX, 0) != NULL);
    EXPECT(fixture_stats().used_bytes == block_bytes(99) + 2 * MIN_BLOCK_BYTES);
    EXPECT(is_sound());
}

static void realloc_shrinks_in_place(void)
{
    unsigned char *block;

    fixture_start();
    block = neap_region_alloc(heap, 60);
    neap_region_alloc(heap, 10);
    fill_block(block, 60, 3);
    EXPECT(neap_region_realloc(heap, block, 20) == block);
    EXPECT(is_block_filled(block, 20, 3));
    EXPECT(fixture_stats().used_bytes == block_bytes(20) + block_bytes(10));
    EXPECT(fixture_stats().free_count == 2);
    /* The tail merges with a free neighbour. */
    EXPECT(neap_region_realloc(heap, block, 0) == block);
    EXPECT(fixture_stats().free_count == 2);
    EXPECT(fixture_stats().used_bytes == MIN_BLOCK_BYTES + block_bytes(10));
    EXPECT(is_sound());
}

static void realloc_grows_upwards(void)
{
    unsigned char *block;
    unsigned char *above;

    fixture_start();
    block = neap_region_alloc(heap, 20);
    above = neap_region_alloc(heap, 60);
    neap_region_alloc(heap, 10);
    neap_region_free(heap, above);
    fill_block(block, 20, 5);
    EXPECT(neap_region_realloc(heap, block, 40) == block);
    EXPECT(is_block_filled(block, 20, 5));
    EXPECT(fixture_stats().used_bytes == block_bytes(40) + block_bytes(10));
    /* To the last byte of the neighbour. */
    EXPECT(neap_region_realloc(heap, block,
                               largest_request_bytes(block_bytes(20) + block_bytes(60))) == block);
    EXPECT(is_block_filled(block, 20, 5));
    EXPECT(fixture_stats().free_count == 1);
    EXPECT(is_sound());
}

static void realloc_grows_downwards(void)
{
    unsigned char *below;
    unsigned char *block;

    fixture_start();
    below = neap_region_alloc(heap, 20);
    block = neap_region_alloc(heap, 60);
    neap_region_alloc(heap, 10);
    neap_region_free(heap, below);
    fill_block(block, 60, 7);
    EXPECT(neap_region_realloc(heap, block, 67) == below);
    EXPECT(is_block_filled(below, 60, 7));
    EXPECT(fixture_stats().used_bytes == block_bytes(67) + block_bytes(10));
    EXPECT(is_sound());
}

static void realloc_grows_both_ways(void)
{
    unsigned char *below;
    unsigned char *block;
    unsigned char *above;
    size_t all_bytes = largest_request_bytes(2 * block_bytes(20) + block_bytes(60));

    fixture_start();
    below = neap_region_alloc(heap, 20);
    block = neap_region_alloc(heap, 60);
    above = neap_region_alloc(heap, 20);
    neap_region_alloc(heap, 10);
    neap_region_free(heap, below);
    neap_region_free(heap, above);
    fill_block(block, 60, 9);
    EXPECT(neap_region_realloc(heap, block, all_bytes) == below);
    EXPECT(is_block_filled(below, 60, 9));
    EXPECT(fixture_stats().used_bytes == block_bytes(all_bytes) + block_bytes(10));
    EXPECT(is_sound());
}

static void realloc_moves_or_leaves_alone(void)
{
    unsigned char *block;
    unsigned char *moved;

    fixture_start();
    EXPECT(neap_region_realloc(heap, NULL, 20) != NULL);
    block = neap_region_alloc(heap, 20);
    neap_region_alloc(heap, 10);
    fill_block(block, 20, 11);
    moved = neap_region_realloc(heap, block, 40);
    EXPECT(moved != NULL && moved != block);
    EXPECT(is_block_filled(moved, 20, 11));
    EXPECT(fixture_stats().used_bytes == block_bytes(20) + block_bytes(10) + block_bytes(40));
    EXPECT(fixture_stats().used_count == 3);
    fill_block(moved, 40, 13);
    fixture_remember_sound();
    EXPECT(neap_region_realloc(heap, moved, FIXTURE_BYTES) == NULL);
    EXPECT(neap_region_realloc(heap, moved, SIZE_MAX) == NULL);
    EXPECT(fixture_is_unchanged());
    EXPECT(is_sound());
    EXPECT(fault_count == 0);
}

/* A growth that fails has merged the block with free neighbours on both sides, and undoes it. */
static void realloc_undoes_its_merging(void)
{
    void *below;
    void *block;
    void *above;

    fixture_start();
    below = neap_region_alloc(heap, 30);
    block = neap_region_alloc(heap, 30);
    above = neap_region_alloc(heap, 30);
    while (neap_region_alloc(heap, 1) != NULL)
        ;
    neap_region_free(heap, below);
    neap_region_free(heap, above);
    if (NEAP_REGION_OWNERS)
        EXPECT(neap_region_give(heap, block, 5));
    fixture_remember_sound();
    EXPECT(neap_region_realloc(heap, block, 200) == NULL);
    EXPECT(fixture_is_unchanged());
}

static void aligned_alloc_aligns(void)
{
    size_t alignment;

    for (alignment = 1; alignment <= 256; alignment *= 2) {
        unsigned char *first;
        unsigned char *block;

        fixture_start();
        first = neap_region_alloc(heap, 1);
        block = neap_region_aligned_alloc(heap, alignment, 30);
        EXPECT(block != NULL && (uintptr_t)block % alignment == 0);
        EXPECT(is_sound());
        EXPECT(fixture_stats().used_bytes == MIN_BLOCK_BYTES + block_bytes(30));
        fill_block(block, 30, 1);
        EXPECT(neap_region_free(heap, block) && neap_region_free(heap, first));
        EXPECT(fixture_is_empty());
    }
    EXPECT(neap_region_aligned_alloc(heap, 0, 8) == NULL);
    EXPECT(neap_region_aligned_alloc(heap, 24, 8) == NULL);
    EXPECT(neap_region_aligned_alloc(heap, SIZE_MAX / 2 + 1, 8) == NULL);
    EXPECT(neap_region_aligned_alloc(heap, 16, SIZE_MAX) == NULL);
    EXPECT(fixture_is_empty());
}

static void misuse_is_told(const void *pointer, enum neap_region_fault fault)
{
    unsigned told_count = fault_count;

    fixture_remember_sound();
    EXPECT(!neap_region_free(heap, (void *)(uintptr_t)pointer));
    EXPECT(last_fault == fault && last_address == pointer && fault_count == told_count + 1);
    EXPECT(neap_region_realloc(heap, (void *)(uintptr_t)pointer, 30) == NULL);
    EXPECT(last_fault == fault && last_address == pointer && fault_count == told_count + 2);
    EXPECT(!neap_region_give(heap, (void *)(uintptr_t)pointer, 0));
    EXPECT(last_fault == fault && last_address == pointer && fault_count == told_count + 3);
    EXPECT(fixture_is_unchanged());
    EXPECT(is_sound());
}

/* Every address in and around the heap, against what is known of the blocks. */
static void wild_pointers_are_told_apart(void)
{
    unsigned char *blocks[4];
    unsigned char outside;
    unsigned char *pointer;
    unsigned i;

    fixture_start();
    heap = neap_region_init(fixture_buffer + 64, 500);
    for (i = 0; i < 4; i++)
        blocks[i] = neap_region_alloc(heap, 30);
    EXPECT(neap_region_free(heap, blocks[1]));
    EXPECT(neap_region_free(heap, blocks[3]));
    misuse_is_told(&outside, NEAP_REGION_FOREIGN);
    misuse_is_told(heap, NEAP_REGION_FOREIGN);
    misuse_is_told((void *)1, NEAP_REGION_FOREIGN);
    misuse_is_told((void *)UINTPTR_MAX, NEAP_REGION_FOREIGN);
    for (pointer = fixture_buffer; pointer < fixture_buffer + 600; pointer++) {
        unsigned char *end = heap_start() + 2 * HEAD_BYTES + fixture_stats().total_bytes;

        if (pointer < blocks[0] || pointer >= end)
            misuse_is_told(pointer, NEAP_REGION_FOREIGN);
        else if ((uintptr_t)pointer % ALIGN != 0)
            misuse_is_told(pointer, NEAP_REGION_MISALIGNED);
        else if (pointer == blocks[0] || pointer == blocks[2])
            continue;
        else if (pointer < blocks[1] || (pointer > blocks[2] && pointer < blocks[3]))
            misuse_is_told(pointer, NEAP_REGION_INTERIOR);
        else
            misuse_is_told(pointer, NEAP_REGION_FREED);
    }
}

static void double_free_is_told_after_merging(void)
{
    void *blocks[3];
    unsigned i;

    fixture_start();
    for (i = 0; i < 3; i++)
        blocks[i] = neap_region_alloc(heap, 20);
    for (i = 0; i < 3; i++)
        neap_region_free(heap, blocks[i]);
    for (i = 0; i < 3; i++)
        misuse_is_told(blocks[i], NEAP_REGION_FREED);
    EXPECT(fixture_is_empty());
}

/* `fault` is what a check finds, and what every call that would change the heap runs into. */
static void damage_is_told(enum neap_region_fault fault, const void *culprit)
{
    const void *address = &address;
    void *block = heap_start() + 3 * HEAD_BYTES;

    fixture_remember();
    EXPECT(neap_region_check(heap, &address) == fault && address == culprit);
    EXPECT(fault_count == 0);
    EXPECT(neap_region_alloc(heap, 1) == NULL);
    EXPECT(fault_count == 1 && last_fault == fault && last_address == culprit);
    EXPECT(neap_region_aligned_alloc(heap, 16, 1) == NULL && fault_count == 2);
    EXPECT(neap_region_realloc(heap, block, 1) == NULL && fault_count == 3);
    EXPECT(!neap_region_free(heap, block) && fault_count == 4);
    EXPECT(!neap_region_give(heap, block, 0) && fault_count == 5);
    EXPECT(last_fault == fault && last_address == culprit);
    EXPECT(fixture_is_unchanged());
}

static void check_blames_the_block_below(void)
{
    void *blocks[3];
    unsigned victim;

    for (victim = 0; victim < 3; victim++) {
        unsigned head;

        /* No size, too little for a block, more than is left. */
        for (head = 0; head < 3; head++) {
            unsigned i;

            fixture_start();
            for (i = 0; i < 3; i++)
                blocks[i] = neap_region_alloc(heap, 30);
            poke_head(blocks[victim], head == 2 ? FIXTURE_BYTES / (unsigned)ALIGN : head);
            damage_is_told(NEAP_REGION_SIZE, victim == 0 ? (void *)heap : blocks[victim - 1]);
            EXPECT(neap_region_owner_bytes(heap, 0) == victim * block_bytes(30));
            EXPECT(neap_region_free_owner(heap, 0) == 0);
            EXPECT(fault_count == 6 && last_fault == NEAP_REGION_SIZE);
            EXPECT(fixture_is_unchanged());
        }
    }
}

static void check_finds_unmerged_neighbours(void)
{
    void *blocks[3];
    uint32_t free_bit = (uint32_t)1 << (NEAP_REGION_WIDE ? 31 : 15) >> (NEAP_REGION_OWNERS ? 4 : 0);
    unsigned i;

    fixture_start();
    for (i = 0; i < 3; i++)
        blocks[i] = neap_region_alloc(heap, 30);
    for (i = 0; i < 2; i++) {
        uint32_t head = free_bit | (uint32_t)(block_bytes(30) / ALIGN);
        uint16_t narrow = (uint16_t)head;

        memcpy((unsigned char *)blocks[i] - HEAD_BYTES,
               NEAP_REGION_WIDE ? (void *)&head : (void *)&narrow, HEAD_BYTES);
    }
    damage_is_told(NEAP_REGION_NEIGHBOURS, blocks[0]);
}

static void check_finds_a_wild_peak(void)
{
    fixture_start();
    neap_region_alloc(heap, 30);
    /* The heap's second word lies right below the first header. */
    poke_head(heap_start() + 2 * HEAD_BYTES, FIXTURE_BYTES / (unsigned)ALIGN);
    damage_is_told(NEAP_REGION_PEAK, heap);
}

static void stats_are_exact(void)
{
    struct neap_region_stats stats;
    void *blocks[4];
    size_t total_bytes;
    unsigned i;

    fixture_start();
    total_bytes = fixture_stats().total_bytes;
    for (i = 0; i < 4; i++)
        blocks[i] = neap_region_alloc(heap, 40);
    neap_region_free(heap, blocks[1]);
    stats = fixture_stats();
    EXPECT(stats.total_bytes == total_bytes);
    EXPECT(stats.used_bytes == 3 * block_bytes(40));
    EXPECT(stats.free_bytes == total_bytes - 3 * block_bytes(40));
    EXPECT(stats.maxused_bytes == 4 * block_bytes(40));
    EXPECT(stats.maxfree_bytes == total_bytes - 4 * block_bytes(40));
    EXPECT(stats.used_count == 3 && stats.free_count == 2);
}

/* The most there ever was, whichever call came to it and whichever call took it down again. */
static void maxused_is_exact(void)
{
    void *blocks[2];

    fixture_start();
    blocks[0] = neap_region_alloc(heap, 100);
    EXPECT(fixture_stats().maxused_bytes == block_bytes(100));
    neap_region_realloc(heap, blocks[0], 10);
    EXPECT(fixture_stats().maxused_bytes == block_bytes(100));
    blocks[1] = neap_region_alloc(heap, 10);
    EXPECT(fixture_stats().maxused_bytes == block_bytes(100));
    blocks[1] = neap_region_realloc(heap, blocks[1], 200);
    neap_region_free(heap, blocks[1]);
    EXPECT(fixture_stats().maxused_bytes == block_bytes(10) + block_bytes(200));
    neap_region_aligned_alloc(heap, 64, 300);
    EXPECT(neap_region_free_owner(heap, 0) == block_bytes(10) + block_bytes(300));
    EXPECT(fixture_stats().maxused_bytes == block_bytes(10) + block_bytes(300));
    EXPECT(fixture_is_empty());
}

static char printed[160];
static size_t printed_bytes;

static void print_here(char c, void *context)
{
    EXPECT(context == printed);
    if (printed_bytes < sizeof printed - 1)
        printed[printed_bytes++] = c;
}

/* Writes a number right-aligned in ten columns. */
static void write_column(char *column, size_t number)
{
    unsigned i = 10;

    do {
        column[--i] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
}

static void printer_prints_the_table(void)
{
    static const char titles[] =
        "     total      used      free   maxused   maxfree     nused     nfree\n";
    char numbers[72];
    struct neap_region_stats stats;

    fixture_start();
    neap_region_free(heap, neap_region_alloc(heap, 123));
    neap_region_alloc(heap, 4);
    printed_bytes = 0;
    neap_region_print(heap, print_here, printed);
    stats = fixture_stats();
    memset(numbers, ' ', 70);
    write_column(numbers, stats.total_bytes);
    write_column(numbers + 10, MIN_BLOCK_BYTES > block_bytes(4) ? MIN_BLOCK_BYTES : block_bytes(4));
    write_column(numbers + 20, stats.total_bytes - stats.used_bytes);
    write_column(numbers + 30, block_bytes(123));
    write_column(numbers + 40, stats.free_bytes);
    write_column(numbers + 50, 1);
    write_column(numbers + 60, 1);
    numbers[70] = '\n';
    EXPECT(printed_bytes == 142);
    EXPECT(memcmp(printed, titles, 71) == 0);
    EXPECT(memcmp(printed + 71, numbers, 71) == 0);
    start_with_total(1000);
    printed_bytes = 0;
    neap_region_print(heap, print_here, printed);
    EXPECT(memcmp(printed + 71, "      1000         0      1000         0", 40) == 0);
}

static void owners_hold_and_lose_blocks(void)
{
    void *blocks[6];
    unsigned i;

    fixture_start();
    for (i = 0; i < 6; i++) {
        EXPECT(neap_region_set_owner(heap, i % 3 + 13));
        blocks[i] = neap_region_alloc(heap, 20);
    }
    EXPECT(neap_region_owner_bytes(heap, 13) == 2 * block_bytes(20));
    EXPECT(neap_region_owner_bytes(heap, 0) == 0);
    EXPECT(neap_region_give(heap, blocks[0], 15));
    EXPECT(neap_region_owner_bytes(heap, 13) == block_bytes(20));
    EXPECT(neap_region_owner_bytes(heap, 15) == 3 * block_bytes(20));
    /* The owner of a block stays when it moves, whoever moves it. */
    EXPECT(neap_region_set_owner(heap, 1));
    blocks[1] = neap_region_realloc(heap, blocks[1], 50);
    EXPECT(neap_region_owner_bytes(heap, 14) == block_bytes(20) + block_bytes(50));
    EXPECT(neap_region_owner_bytes(heap, 1) == 0);
    EXPECT(neap_region_free_owner(heap, 14) == block_bytes(20) + block_bytes(50));
    EXPECT(is_sound());
    EXPECT(neap_region_free_owner(heap, 14) == 0);
    EXPECT(neap_region_free_owner(heap, 15) == 3 * block_bytes(20));
    EXPECT(is_sound());
    EXPECT(neap_region_free_owner(heap, 13) == block_bytes(20));
    EXPECT(fixture_is_empty());
    EXPECT(!neap_region_set_owner(heap, 16));
    EXPECT(neap_region_free_owner(heap, 16) == 0 && neap_region_owner_bytes(heap, 16) == 0);
    EXPECT(fault_count == 0);
}

/* Without owners there is one, and its name is 0. */
static void one_owner_holds_everything(void)
{
    void *block;

    fixture_start();
    EXPECT(neap_region_set_owner(heap, 0) && !neap_region_set_owner(heap, 1));
    block = neap_region_alloc(heap, 20);
    EXPECT(neap_region_give(heap, block, 0) && !neap_region_give(heap, block, 1));
    EXPECT(neap_region_owner_bytes(heap, 0) == block_bytes(20));
    EXPECT(neap_region_owner_bytes(heap, 1) == 0);
    EXPECT(neap_region_free_owner(heap, 1) == 0);
    EXPECT(neap_region_free_owner(heap, 0) == block_bytes(20));
    EXPECT(fixture_is_empty());
}

static void heaps_are_separate(void)
{
    struct neap_region *other;
    void *mine;
    void *others;

    fixture_start();
    heap = neap_region_init(fixture_buffer, 320);
    other = neap_region_init(fixture_buffer + 320, 320);
    mine = neap_region_alloc(heap, 100);
    others = neap_region_alloc(other, 100);
    EXPECT(mine != NULL && others != NULL);
    misuse_is_told(others, NEAP_REGION_FOREIGN);
    EXPECT(neap_region_free(other, others) && neap_region_free(heap, mine));
    EXPECT(fixture_is_empty());
    heap = other;
    EXPECT(fixture_is_empty());
}

/* As with memory that two processes map at two addresses. */
static void a_heap_can_be_moved(void)
{
    unsigned char *block;

    fixture_start();
    heap = neap_region_init(fixture_buffer, 320);
    block = neap_region_alloc(heap, 40);
    fill_block(block, 40, 17);
    memcpy(fixture_buffer + 336, fixture_buffer, 320);
    memset(fixture_buffer, 0, 320);
    heap = (struct neap_region *)(void *)(heap_start() + 336);
    EXPECT(is_sound());
    EXPECT(is_block_filled(block + 336, 40, 17));
    EXPECT(neap_region_alloc(heap, 20) != NULL);
    EXPECT(neap_region_free(heap, block + 336));
    EXPECT(fixture_stats().used_bytes == block_bytes(20));
    EXPECT(is_sound());
}

int main(void)
{
    expect_case("init takes any alignment", init_takes_any_alignment);
    expect_case("init knows its limits", init_knows_its_limits);
    expect_case("control is at most 8 bytes", control_is_at_most_8_bytes);
    expect_case("alloc serves what fits", alloc_serves_what_fits);
    expect_case("blocks have the least size", blocks_have_the_least_size);
    expect_case("free merges in any order", free_merges_in_any_order);
    expect_case("best fit takes the smallest", best_fit_takes_the_smallest_and_lowest);
    expect_case("large blocks go up", large_blocks_go_to_the_upper_end);
    expect_case("calloc clears and counts", calloc_clears_and_counts);
    expect_case("realloc shrinks in place", realloc_shrinks_in_place);
    expect_case("realloc grows upwards", realloc_grows_upwards);
    expect_case("realloc grows downwards", realloc_grows_downwards);
    expect_case("realloc grows both ways", realloc_grows_both_ways);
    expect_case("realloc moves or leaves alone", realloc_moves_or_leaves_alone);
    expect_case("realloc undoes its merging", realloc_undoes_its_merging);
    expect_case("aligned alloc aligns", aligned_alloc_aligns);
    expect_case("wild pointers are told apart", wild_pointers_are_told_apart);
    expect_case("double free after merging", double_free_is_told_after_merging);
    expect_case("check blames the block below", check_blames_the_block_below);
    expect_case("check finds neighbours", check_finds_unmerged_neighbours);
    expect_case("check finds a wild peak", check_finds_a_wild_peak);
    expect_case("stats are exact", stats_are_exact);
    expect_case("maxused is exact", maxused_is_exact);
    expect_case("printer prints the table", printer_prints_the_table);
    expect_case("owners",
                NEAP_REGION_OWNERS ? owners_hold_and_lose_blocks : one_owner_holds_everything);
    expect_case("heaps are separate", heaps_are_separate);
    expect_case("a heap can be moved", a_heap_can_be_moved);
    return expect_end();
}

/* Every failure of every call of the system, in every scenario: the nth call alone, and all from
 * the nth on. After every step all audits run, and whatever was handed out still has its
 * contents; a later step may mend what an earlier one broke, so nothing waits until the end.
 * When the failures are over, everything works again and, in the end, everything goes back.
 *
 * Each trial is a process of its own. A scenario is done with when it makes fewer calls than the
 * one that is to fail. */
#include <pthread.h>
#include <string.h>

#include "arena.h"
#include "bits.h"
#include "core.h"
#include "isolated.h"
#include "large.h"
#include "os_fake.h"
#include "thread.h"
#include "tune.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

enum { BLOCK_MAX = 3000, STATUS_ALL_TRIED = 77, CALLS_MAX = 2000 };

struct block {
    unsigned char *memory;
    size_t bytes;
    unsigned char stamp;
};

static struct block blocks[BLOCK_MAX];
static size_t block_count;

static void expect_stamp(const struct block *block, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += at < 64 ? 1 : 509)
        EXPECT(block->memory[at] == block->stamp);
    if (bytes > 0)
        EXPECT(block->memory[bytes - 1] == block->stamp);
}

static void stamp(struct block *block)
{
    block->stamp = (unsigned char)(1 + block_count % 250);
    memset(block->memory, block->stamp, block->bytes);
}

static void audit_step(void)
{
    EXPECT_SOUND(np_core_audit());
    EXPECT_SOUND(np_large_audit());
}

/* One more block, if there is memory. */
static void add(unsigned char *memory, size_t bytes)
{
    audit_step();
    if (memory == NULL)
        return;
    EXPECT(block_count < BLOCK_MAX);
    EXPECT(np_core_usable_bytes(memory) >= bytes);
    blocks[block_count] = (struct block){memory, bytes, 0};
    stamp(&blocks[block_count++]);
}

static void take(size_t bytes)
{
    add(np_core_take(bytes), bytes);
}

static void take_zeroed(size_t bytes)
{
    unsigned char *memory = np_core_take_zeroed(bytes);

    for (size_t at = 0; memory != NULL && at < bytes; at++)
        EXPECT(memory[at] == 0);
    add(memory, bytes);
}

static void take_aligned(size_t bytes, size_t alignment)
{
    unsigned char *memory = np_core_take_aligned(bytes, alignment);

    EXPECT((uintptr_t)memory % alignment == 0);
    add(memory, bytes);
}

static void give(size_t index)
{
    struct block block = blocks[index];

    expect_stamp(&block, block.bytes);
    blocks[index] = blocks[--block_count];
    np_core_give(block.memory);
    audit_step();
}

static void give_all(void)
{
    while (block_count > 0)
        give(block_count - 1);
}

static void resize(size_t index, size_t bytes)
{
    struct block *block = &blocks[index];
    unsigned char *memory;

    if (index >= block_count)
        return;
    memory = np_core_resize(block->memory, bytes);
    audit_step();
    if (memory == NULL) {
        EXPECT(bytes > block->bytes); /* shrinking cannot fail */
        expect_stamp(block, block->bytes);
        return;
    }
    block->memory = memory;
    expect_stamp(block, np_min(bytes, block->bytes));
    block->bytes = bytes;
    stamp(block);
}

/* ---- the scenarios ---- */

static void small_blocks(void)
{
    for (size_t i = 0; i < 300; i++)
        take(i * 3 % 700);
    for (size_t i = block_count; i-- > 0;)
        if (i % 3 != 0)
            give(i);
    for (size_t i = 0; i < 100; i++)
        take_zeroed(i * 15);
    give_all();
}

static void runs(void)
{
    for (size_t i = 0; i < 120; i++)
        take(17000 + i * 900);
    for (size_t i = block_count; i-- > 0;)
        if (i % 2 == 0)
            give(i);
    for (size_t i = 0; i < 40; i++)
        take_zeroed(20000 + i * 1000);
    for (size_t i = 0; i < 20; i++)
        resize(i, 18000 + i * 4000);
    for (size_t i = 0; i < 20; i++)
        resize(i, 17000);
    give_all();
}

static void mappings(void)
{
    for (size_t i = 0; i < 25; i++)
        take(200 * KIB + i * 10000);
    for (size_t i = 0; i < 25; i++)
        resize(i, i % 2 == 0 ? 900 * KIB : 150 * KIB);
    for (size_t i = 0; i < 10; i++)
        resize(i, 100);
    for (size_t i = 0; i < 10; i++)
        resize(i, 300 * KIB);
    take_zeroed(3 * MIB);
    give_all();
}

/* Enough mapped objects for more than one level of their table. */
static void many_mappings(void)
{
    (void)np_tune_set(NP_KNOB_MMAP_THRESHOLD, 64);
    for (size_t i = 0; i < 300; i++)
        take(100 + i);
    give_all();
}

static void alignments(void)
{
    for (size_t alignment = 32; alignment <= 4 * MIB; alignment *= 2) {
        take_aligned(100, alignment);
        take_aligned(30000, alignment);
        take_aligned(200 * KIB, alignment);
    }
    give_all();
}

static void mapped_arenas(void)
{
    os_fake_limit_break(0);
    for (size_t i = 0; i < 30; i++)
        take(i % 2 == 0 ? 100 + i : 17000 + i * 9000);
    for (size_t i = block_count; i-- > 0;)
        if (i % 3 != 0)
            give(i);
    small_blocks();
}

static void foreign_moves(void)
{
    for (size_t i = 0; i < 6; i++) {
        for (size_t k = 0; k < 10; k++)
            take(20000 + k * 5000);
        (void)os_fake_foreign_sbrk((intptr_t)(1000 + i * 70000));
    }
    for (size_t i = block_count; i-- > 0;)
        if (i % 2 == 0)
            give(i);
    (void)np_core_trim(0);
    audit_step();
    give_all();
}

static void trimming(void)
{
    (void)np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1);
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < 60; i++)
            take(i % 2 == 0 ? 5000 : 40000);
        for (size_t i = block_count; i-- > 0;)
            if (i % 4 != 0)
                give(i);
        (void)np_core_trim(round * 50000);
        audit_step();
    }
    give_all();
}

/* Pages inside slabs go, a few at a time and many. */
static void sparse_slabs(void)
{
    (void)np_tune_set(NP_KNOB_TRIM_THRESHOLD, 20000);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < 400; i++)
            take(300 + i % 5 * 300);
        for (size_t i = block_count; i-- > 0;)
            if (i % 7 != 0)
                give(i);
        (void)np_core_trim(0);
        audit_step();
    }
    for (size_t i = 0; i < 200; i++) /* into the holes */
        take(300 + i % 5 * 300);
    give_all();
}

static void *thread_body(void *unused)
{
    unsigned char *mine[30];

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(mine); i++) {
        mine[i] = np_core_take(i * 800);
        if (mine[i] != NULL)
            memset(mine[i], 7, i * 800);
    }
    for (size_t i = 0; i < COUNT_OF(mine); i++)
        if (mine[i] != NULL)
            np_core_give(mine[i]);
    return NULL;
}

static void threads_come_and_go(void)
{
    for (unsigned i = 0; i < 4; i++) {
        pthread_t thread;

        take(100 + i);
        EXPECT(pthread_create(&thread, NULL, thread_body, NULL) == 0);
        pthread_join(thread, NULL);
        audit_step();
    }
    give_all();
}

static void held_blocks(void)
{
    (void)np_tune_set(NP_KNOB_MXFAST, 120);
    np_core_knobs_changed();
    small_blocks();
    (void)np_core_trim(0);
    audit_step();
}

static void (*const scenarios[])(void) = {
    small_blocks,  runs,     mappings, many_mappings,       alignments,  mapped_arenas,
    foreign_moves, trimming, sparse_slabs,  threads_come_and_go, held_blocks,
};

/* ---- the trials ---- */

enum way { ONE_FAILS, ALL_FAIL_FROM_THERE };

static struct {
    void (*scenario)(void);
    enum way way;
    size_t page_bytes;
} trial;

/* Nothing is live, nothing fails any more: all is usable, and all goes back. */
static void expect_as_good_as_new(void)
{
    os_fake_reset();
    os_fake_limit_break((size_t)32 << 30);
    for (size_t i = 0; i < 200; i++) {
        take(i * 100);
        EXPECT(block_count == i + 1);
    }
    give_all();
    (void)np_core_trim(0);
    audit_step();
    EXPECT(np_large_totals().count == 0);
    EXPECT(np_arena_retained_bytes() == 0);
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        EXPECT(atomic_load(&arena->free_granules) << NP_GRANULE_SHIFT ==
               atomic_load(&arena->system_bytes));
}

static int try_one(unsigned nth)
{
    bool has_failed;

    os_fake_set_page_bytes(trial.page_bytes);
    alarm(200);
    if (trial.way == ONE_FAILS)
        os_fake_fail_call(nth);
    else
        os_fake_fail_from(nth);
    trial.scenario();
    has_failed = os_fake_has_failed();
    expect_as_good_as_new();
    return has_failed ? 0 : STATUS_ALL_TRIED;
}

/* Each of the first 60 calls, and then, where the same few come over and over, every few of
 * them, unless the environment asks for every one. */
static void try_all(size_t scenario_index, enum way way, size_t page_bytes)
{
    unsigned nth = 1;
    unsigned step = 1;

    trial.scenario = scenarios[scenario_index];
    trial.way = way;
    trial.page_bytes = page_bytes;
    for (; nth < CALLS_MAX; nth += step) {
        int status = run_in_child(try_one, nth);

        if (status == STATUS_ALL_TRIED)
            break;
        if (status != 0)
            fail_msg("scenario %zu, way %d, pages of %zu: status %d when call %u fails",
                     scenario_index, (int)way, page_bytes, status, nth);
        step = nth < 60 || is_thorough() ? 1 : 1 + nth / 16;
    }
    assert_true(nth > 3 && nth < CALLS_MAX);
}

static void each_call_fails_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(scenarios); i++)
        try_all(i, ONE_FAILS, 4096);
}

static void all_calls_fail_from_each_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(scenarios); i++)
        try_all(i, ALL_FAIL_FROM_THERE, 4096);
}

static void each_call_fails_once_with_64k_pages(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(scenarios); i++)
        try_all(i, ONE_FAILS, 65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_fails_once),
        cmocka_unit_test(all_calls_fail_from_each_on),
        cmocka_unit_test(each_call_fails_once_with_64k_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

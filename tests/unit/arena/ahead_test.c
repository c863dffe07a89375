/* Blocks that get memory before they are touched: which do, what is left out, and how much may have
 * been populated in vain when a program stops to write its blocks. */
#include "ahead.h"
#include "os.h"
#include "run_model.h"
#include "tune.h"

/* Eight blocks are 512 KiB, a batch of a large heap. */
enum { BLOCK_GRANULES = 16, BATCH_BLOCKS = 8 };

#define BLOCK_BYTES granules_bytes(BLOCK_GRANULES)

static char *take_granules(size_t granule_count)
{
    struct np_run *run =
        np_run_take(&home, granule_count, NP_GRANULE_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);

    assert_non_null(run);
    np_ahead_populate((void *)run->start, granules_bytes(granule_count) - 100,
                      granules_bytes(granule_count));
    return (char *)run->start;
}

static size_t resident_bytes(const char *block, size_t granule_count)
{
    return os_fake_resident_bytes(block, granules_bytes(granule_count));
}

static void write_block(char *block, size_t granule_count)
{
    memset(block, 1, granules_bytes(granule_count));
}

/* Takes blocks and writes each; returns what there was before it was written, of all. */
static size_t take_and_write(size_t count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        char *block = take_granules(BLOCK_GRANULES);

        bytes += resident_bytes(block, BLOCK_GRANULES);
        write_block(block, BLOCK_GRANULES);
    }
    return bytes;
}

/* The same, and writes none. */
static size_t take_and_leave(size_t count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += resident_bytes(take_granules(BLOCK_GRANULES), BLOCK_GRANULES);
    return bytes;
}

static void make_heap_of(size_t bytes)
{
    np_arena_note_mapped(bytes, 0);
}

static void what_is_written_is_there_before(void **state)
{
    (void)state;
    make_heap_of((size_t)128 << 20);
    assert_int_equal(take_and_write(1), 0); /* it is watched */
    assert_true(take_and_write(5) >= BLOCK_BYTES - granules_bytes(3));
    for (unsigned batch = 0; batch < 20; batch++)
        /* All but the pages that are watched. */
        assert_int_equal(take_and_write(BATCH_BLOCKS),
                         BATCH_BLOCKS * BLOCK_BYTES - granules_bytes(3));
}

static void what_is_not_written_is_left_alone(void **state)
{
    (void)state;
    make_heap_of((size_t)128 << 20);
    assert_int_equal(take_and_leave(400), 0);
    assert_int_equal(os_fake_calls(OS_FAKE_POPULATE), 0);
}

static void expect_left_alone(size_t written_from, size_t written_count)
{
    for (unsigned i = 0; i < 400; i++)
        write_block(take_granules(BLOCK_GRANULES) + granules_bytes(written_from), written_count);
    assert_int_equal(os_fake_calls(OS_FAKE_POPULATE), 0);
}

static void buffers_that_are_not_filled_are_left_alone(void **state)
{
    (void)state;
    make_heap_of((size_t)128 << 20);
    expect_left_alone(0, BLOCK_GRANULES - 2);
}

static void stacks_are_left_alone(void **state)
{
    (void)state;
    make_heap_of((size_t)128 << 20);
    expect_left_alone(1, BLOCK_GRANULES - 1);
}

static void blocks_with_a_gap_are_left_alone(void **state)
{
    (void)state;
    make_heap_of((size_t)128 << 20);
    for (unsigned i = 0; i < 400; i++) {
        char *block = take_granules(BLOCK_GRANULES);

        write_block(block, 2);
        write_block(block + BLOCK_BYTES - granules_bytes(2), 2);
    }
    assert_int_equal(os_fake_calls(OS_FAKE_POPULATE), 0);
}

/* A1, and that it is noticed when the program writes its blocks again. */
static void at_most_a_32nd_is_in_vain(void **state)
{
    size_t most_bytes;

    (void)state;
    make_heap_of((size_t)24 << 20);
    assert_true(take_and_write(50) > 30 * BLOCK_BYTES);
    most_bytes = np_arena_used_bytes() / 32;
    assert_in_range(take_and_leave(30), 1, most_bytes);
    assert_int_equal(take_and_leave(100), 0);
    assert_true(take_and_write(300) > 30 * BLOCK_BYTES);
}

/* Each look in vain puts the next one off, but not for ever. */
static void who_begins_to_write_late_is_noticed(void **state)
{
    (void)state;
    make_heap_of((size_t)128 << 20);
    assert_int_equal(take_and_leave(3000), 0);
    assert_true(take_and_write(1500) > 300 * BLOCK_BYTES);
}

/* A mapping of its own that was freed before anybody looked at it. */
static void a_watched_block_that_is_gone(void **state)
{
    (void)state;
    make_heap_of((size_t)128 << 20);
    for (unsigned i = 0; i < 20; i++) {
        char *block = np_os_map(BLOCK_BYTES, 1);

        assert_non_null(block);
        np_ahead_populate(block, BLOCK_BYTES, BLOCK_BYTES);
        write_block(block, BLOCK_GRANULES);
        assert_true(np_os_release(block, BLOCK_BYTES));
    }
    assert_int_equal(os_fake_calls(OS_FAKE_POPULATE), 0);
}

static void blocks_that_are_large_for_the_heap(void **state)
{
    (void)state;
    make_heap_of((size_t)16 << 20);
    (void)take_and_write(20);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(resident_bytes(take_granules(100), 100), 0);
    assert_true(take_and_write(1) > 0);
}

static void blocks_that_are_large(void **state)
{
    size_t most = ((size_t)4 << 20) >> NP_GRANULE_SHIFT;

    (void)state;
    make_heap_of((size_t)2 << 30);
    (void)take_and_write(20);
    assert_true(resident_bytes(take_granules(most), most) > 0);
    assert_int_equal(resident_bytes(take_granules(most + 1), most + 1), 0);
}

static void small_heaps(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++) { /* up to 6.25 MiB */
        char *block = take_granules(8);

        assert_int_equal(resident_bytes(block, 8), 0);
        write_block(block, 8);
    }
    make_heap_of((size_t)1 << 20);
    (void)take_and_write(20);
    assert_true(take_and_write(20) > 0);
}

static void blocks_of_few_pages(void **state)
{
    (void)state;
    make_heap_of((size_t)128 << 20);
    (void)take_and_write(20);
    assert_int_equal(resident_bytes(take_granules(4), 4), 0);
    assert_true(resident_bytes(take_granules(5), 5) >= granules_bytes(2));
}

static void where_it_is_turned_off(void **state)
{
    (void)state;
    make_heap_of((size_t)128 << 20);
    assert_true(np_tune_set(NP_KNOB_POPULATE, 0));
    assert_int_equal(take_and_write(100), 0);
}

static void where_the_system_does_not(void **state)
{
    (void)state;
    make_heap_of((size_t)128 << 20);
    os_fake_refuse(OS_FAKE_POPULATE);
    assert_int_equal(take_and_write(100), 0);
    assert_true(os_fake_calls(OS_FAKE_POPULATE) > 0);
}

/* Runs begin and end inside a system page, the rest of which is a neighbour's. */
static void of_large_system_pages_whole_ones(void **state)
{
    size_t bytes = 0;

    (void)state;
    os_fake_set_page_bytes(16384);
    make_heap_of((size_t)128 << 20);
    for (unsigned i = 0; i < 60; i++) {
        char *block = take_granules(31);
        uintptr_t first = np_align_up((uintptr_t)block, 16384);
        uintptr_t last = np_align_down((uintptr_t)block + granules_bytes(31), 16384);

        bytes += os_fake_resident_bytes((void *)first, last - first);
        assert_int_equal(resident_bytes(block, 31),
                         os_fake_resident_bytes((void *)first, last - first));
        write_block(block, 31);
    }
    assert_true(bytes > 40 * granules_bytes(16));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_there_before),
        cmocka_unit_test(what_is_not_written_is_left_alone),
        cmocka_unit_test(buffers_that_are_not_filled_are_left_alone),
        cmocka_unit_test(stacks_are_left_alone),
        cmocka_unit_test(blocks_with_a_gap_are_left_alone),
        cmocka_unit_test(at_most_a_32nd_is_in_vain),
        cmocka_unit_test(who_begins_to_write_late_is_noticed),
        cmocka_unit_test(a_watched_block_that_is_gone),
        cmocka_unit_test(blocks_that_are_large_for_the_heap),
        cmocka_unit_test(blocks_that_are_large),
        cmocka_unit_test(small_heaps),
        cmocka_unit_test(blocks_of_few_pages),
        cmocka_unit_test(where_it_is_turned_off),
        cmocka_unit_test(where_the_system_does_not),
        cmocka_unit_test(of_large_system_pages_whole_ones),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* Which layer serves a request, realloc between all of them, zeroing, and the retry when memory
 * is short. */
#include <signal.h>
#include <string.h>

#include "arena.h"
#include "bits.h"
#include "core.h"
#include "isolated.h"
#include "large.h"
#include "none.h"
#include "os_fake.h"
#include "returned.h"
#include "thread.h"
#include "tune.h"
#include "window.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

enum { BLOCK_MAX = 2000 };

struct block {
    unsigned char *memory;
    size_t bytes;
    unsigned char stamp;
};

static struct block blocks[BLOCK_MAX];
static size_t block_count;

enum kind { KIND_NONE, KIND_SLOT, KIND_RUN, KIND_MAPPING };

static enum kind kind_of(const void *memory)
{
    if (np_none_is_lent((uintptr_t)memory))
        return KIND_NONE;
    if (np_slab_find((uintptr_t)memory) != NULL)
        return KIND_SLOT;
    if (np_run_find((uintptr_t)memory) != NULL)
        return KIND_RUN;
    assert_true(np_large_bytes(memory) > 0);
    return KIND_MAPPING;
}

static void expect_sound(void)
{
    assert_sound(np_core_audit());
    assert_sound(np_large_audit());
}

static void expect_bytes(const unsigned char *memory, size_t count, unsigned char value)
{
    static unsigned char pattern[4096];

    memset(pattern, value, sizeof pattern);
    for (size_t done = 0; done < count; done += sizeof pattern)
        assert_memory_equal(memory + done, pattern, np_min(count - done, sizeof pattern));
}

static void sizes_choose_the_layer(void **state)
{
    (void)state;
    assert_int_equal(kind_of(np_core_take(0)), KIND_NONE);
    assert_int_equal(kind_of(np_core_take_aligned(0, 64)), KIND_NONE);
    assert_int_equal(kind_of(np_core_take_aligned(0, 128 * KIB)), KIND_RUN);
    assert_int_equal(kind_of(np_core_take(16)), KIND_SLOT);
    assert_int_equal(kind_of(np_core_take(NP_SMALL_MAX_BYTES)), KIND_SLOT);
    assert_int_equal(kind_of(np_core_take(NP_SMALL_MAX_BYTES + 1)), KIND_RUN);
    assert_int_equal(kind_of(np_core_take(128 * KIB - 1)), KIND_RUN);
    assert_int_equal(kind_of(np_core_take(128 * KIB + 300 * KIB)), KIND_MAPPING);
    expect_sound();
}

/* glibc: "requests from this size that no bin or top satisfies". */
static void a_free_run_comes_before_a_mapping(void **state)
{
    void *run;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_TOP_PAD, 0));
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1));
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 1 << 20));
    run = np_core_take(700 * KIB);
    (void)np_core_take(20 * KIB);
    assert_int_equal(kind_of(run), KIND_RUN);
    np_core_give(run);
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 128 << 10));
    assert_ptr_equal(np_core_take(600 * KIB), run);
    assert_int_equal(kind_of(np_core_take(600 * KIB)), KIND_MAPPING);
    expect_sound();
}

/* "mallopt(M_MMAP_THRESHOLD, 64) is obeyed to the letter." */
static void a_threshold_of_64_bytes_is_obeyed(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 64));
    assert_true(np_tune_set(NP_KNOB_MMAP_MAX, 500));
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(kind_of(np_core_take(100)), KIND_MAPPING);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(kind_of(np_core_take(100)), KIND_SLOT);
    assert_int_equal(np_large_totals().count, 500);
    assert_int_equal(kind_of(np_core_take(20)), KIND_SLOT);
    assert_true(np_tune_set(NP_KNOB_MMAP_MAX, 0));
    assert_int_equal(kind_of(np_core_take(5 * MIB)), KIND_RUN);
    expect_sound();
}

static void where_the_arenas_cannot_grow_there_are_mappings(void **state)
{
    (void)state;
    os_fake_limit_break(0);
    os_fake_refuse(OS_FAKE_RESERVE);
    os_fake_refuse(OS_FAKE_RESERVE_AT);
    assert_int_equal(kind_of(np_core_take(100)), KIND_MAPPING);
    expect_sound();
}

static void too_much_is_refused(void **state)
{
    (void)state;
    assert_null(np_core_take(SIZE_MAX));
    assert_null(np_core_take((size_t)PTRDIFF_MAX + 1));
    assert_null(np_core_take(PTRDIFF_MAX));
    assert_null(np_core_take_zeroed(SIZE_MAX - 4095));
    assert_null(np_core_take_aligned(100, SIZE_MAX / 2 + 1));
    assert_null(np_core_take_aligned((size_t)PTRDIFF_MAX - 10, 4096));
    expect_sound();
    /* Also where no threshold says that it is too much for an arena. */
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, INT64_MAX));
    assert_null(np_core_take(NP_REQUEST_MAX_BYTES + (size_t)1));
    assert_null(np_core_take(SIZE_MAX - 1));
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 128 << 10));
}

static void every_size_at_every_alignment(void **state)
{
    (void)state;
    for (size_t alignment = 16; alignment <= 32 * MIB; alignment *= 2) {
        for (unsigned i = 0; i < 12; i++) {
            size_t bytes = random_below(random_below(3) == 0 ? 600 * KIB : 20 * KIB);
            unsigned char *memory = np_core_take_aligned(bytes, alignment);

            assert_non_null(memory);
            assert_int_equal((uintptr_t)memory % alignment, 0);
            assert_true(np_core_usable_bytes(memory) >= bytes);
            memset(memory, 1, np_core_usable_bytes(memory));
            if (i % 3 != 0)
                np_core_give(memory);
        }
        expect_sound();
    }
}

static void zeroed_memory_is_zero_whatever_was_there(void **state)
{
    static const size_t sizes[] = {1, 100, 5000, 16384, 20000, 100000, 127000, 300000};

    (void)state;
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1));
    for (unsigned round = 0; round < 4; round++) {
        void *memory[COUNT_OF(sizes)];

        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            memory[i] = np_core_take_zeroed(sizes[i]);
            expect_bytes(memory[i], sizes[i], 0);
            memset(memory[i], 0xFF, np_core_usable_bytes(memory[i]));
        }
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            np_core_give(memory[i]);
        expect_sound();
    }
}

/* calloc of fresh memory costs no write: a large table that is hardly used stays cold. */
static void zeroed_fresh_memory_is_not_touched(void **state)
{
    char *memory = np_core_take_zeroed(120 * KIB);

    (void)state;
    assert_int_equal(kind_of(memory), KIND_RUN);
    assert_int_equal(os_fake_resident_bytes(memory, 120 * KIB), 0);
}

/* Of which one page is written. */
static size_t retained_of_a_zeroed_block(size_t bytes)
{
    size_t before_bytes = np_arena_retained_bytes();
    char *memory = np_core_take_zeroed(bytes);

    assert_int_equal(kind_of(memory), KIND_RUN);
    memory[bytes / 2] = 1;
    np_core_give(memory);
    return np_arena_retained_bytes() - before_bytes;
}

/* A short one is cleared as a whole when it is handed out again. */
static void of_a_long_zeroed_block_the_touched_pages_are_told(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1));
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 32 << 20));
    assert_int_equal(retained_of_a_zeroed_block(512 * KIB), 512 * KIB);
    assert_true(retained_of_a_zeroed_block(2 * MIB) < 64 * KIB);
    expect_sound();
}

static void usable_bytes_stay_what_they_are(void **state)
{
    static const size_t sizes[] = {0, 24, 1000, 16000, 17000, 200000, 3000000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        void *memory = np_core_take(sizes[i]);
        size_t usable = np_core_usable_bytes(memory);

        assert_true(usable >= sizes[i]);
        memset(memory, 1, usable);
        for (unsigned other = 0; other < 50; other++)
            (void)np_core_take(random_below(20000));
        assert_int_equal(np_core_usable_bytes(memory), usable);
    }
    expect_sound();
}

/* ---- realloc ---- */

static void a_slot_stays_while_half_of_it_is_used(void **state)
{
    void *memory = np_core_take(1000);
    void *smaller;

    (void)state;
    assert_ptr_equal(np_core_resize(memory, 1024), memory);
    assert_ptr_equal(np_core_resize(memory, 512), memory);
    smaller = np_core_resize(memory, 500);
    assert_ptr_not_equal(smaller, memory);
    assert_true(np_core_usable_bytes(smaller) < 1024);
    expect_sound();
}

static void a_run_grows_and_shrinks_where_it_is(void **state)
{
    unsigned char *memory = np_core_take(100 * KIB);
    size_t free_before;

    (void)state;
    memset(memory, 0x21, 100 * KIB);
    assert_ptr_equal(np_core_resize(memory, 120 * KIB), memory);
    assert_int_equal(np_core_usable_bytes(memory), 120 * KIB);
    expect_bytes(memory, 100 * KIB, 0x21);
    (void)np_core_take(20 * KIB); /* a neighbour behind it */
    free_before = atomic_load(&np_arena_list()->free_granules);
    assert_ptr_equal(np_core_resize(memory, 40 * KIB), memory);
    assert_int_equal(np_core_usable_bytes(memory), 40 * KIB);
    assert_int_equal(atomic_load(&np_arena_list()->free_granules), free_before + 20);
    assert_ptr_equal(np_core_resize(memory, 110 * KIB), memory); /* into its own tail */
    expect_bytes(memory, 40 * KIB, 0x21);
    expect_sound();
}

static void a_mapping_is_remapped_not_copied(void **state)
{
    unsigned char *memory = np_core_take(2 * MIB);
    size_t remaps;

    (void)state;
    assert_int_equal(kind_of(memory), KIND_MAPPING);
    memset(memory, 0x22, 2 * MIB);
    remaps = os_fake_calls(OS_FAKE_REMAP);
    for (size_t bytes = 3 * MIB; bytes <= 10 * MIB; bytes += MIB) {
        memory = np_core_resize(memory, bytes);
        assert_int_equal(kind_of(memory), KIND_MAPPING);
        expect_bytes(memory, 2 * MIB, 0x22);
    }
    assert_true(os_fake_calls(OS_FAKE_REMAP) > remaps);
    assert_int_equal(np_large_totals().unmapped_calls, 0);
    expect_sound();
}

/* Each step would be a copy of all of it, since what lies behind is not free. */
static void a_block_that_grows_little_gets_room(void **state)
{
    unsigned char *memory = np_core_take(20 * KIB);
    size_t copies = 0;
    size_t steps = 0;
    const struct np_run *run;
    size_t lent;
    size_t retained;
    size_t bytes;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 4 * MIB));
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 64 * MIB));
    memset(memory, 0x31, 20 * KIB);
    for (size_t kib = 24; kib <= 1000; kib += 4, steps++) {
        unsigned char *before = memory;

        (void)np_core_take(17 * KIB); /* behind it, or wherever else it would grow */
        memory = np_core_resize(memory, kib * KIB);
        copies += memory != before;
        assert_int_equal(kind_of(memory), KIND_RUN);
        assert_int_equal(np_core_usable_bytes(memory), kib * KIB);
        memset(memory + (kib - 4) * KIB, 0x31, 4 * KIB);
    }
    expect_bytes(memory, 1000 * KIB, 0x31);
    assert_true(copies < steps / 8);
    expect_sound();

    /* What becomes free is the block; the room was not live, and has no memory. */
    run = np_run_find((uintptr_t)memory);
    assert_true(run->room_count > 0);
    bytes = ((size_t)run->granule_count - run->room_count) << 12;
    lent = np_arena_lent_bytes();
    retained = np_arena_retained_bytes();
    np_core_give(memory);
    assert_int_equal(lent - np_arena_lent_bytes(), bytes);
    assert_int_equal(np_arena_retained_bytes() - retained, bytes);
    expect_sound();
}

static void room_has_no_memory_and_is_not_live(void **state)
{
    size_t lent = np_arena_lent_bytes();
    size_t retained;
    unsigned char *warm;
    unsigned char *memory;
    const struct np_run *run;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 4 * MIB));
    warm = np_core_take(130 * KIB);
    memory = np_core_take(100 * KIB);
    (void)np_core_take(17 * KIB);
    memset(warm, 0x32, 130 * KIB);
    np_core_give(warm);
    memset(memory, 0x33, 100 * KIB);
    memory = np_core_resize(memory, 104 * KIB); /* to where it is warm */
    run = np_run_find((uintptr_t)memory);
    assert_ptr_equal(memory, warm);
    assert_int_equal(run->granule_count, 33);
    assert_int_equal(run->room_count, 7);
    assert_int_equal(os_fake_resident_bytes(memory, 128 * KIB), 104 * KIB);
    assert_int_equal(np_arena_lent_bytes() - lent, 104 * KIB + 20 * KIB);
    expect_sound();

    retained = np_arena_retained_bytes();
    memory = np_core_resize(memory, 101 * KIB); /* the room goes, and is not taken for touched */
    assert_int_equal(np_arena_retained_bytes(), retained);
    assert_int_equal(run->room_count, 0);
    assert_int_equal(os_fake_resident_bytes(memory, 128 * KIB), 104 * KIB);
    assert_int_equal(np_arena_lent_bytes() - lent, 104 * KIB + 20 * KIB);
    expect_bytes(memory, 100 * KIB, 0x33);
    expect_sound();
    np_core_give(memory);
    assert_int_equal(np_arena_lent_bytes() - lent, 20 * KIB);
    expect_sound();
}

static void growth_into_room_takes_back_what_was_returned(void **state)
{
    unsigned char *memory = np_core_take(100 * KIB);
    unsigned char *other;
    uint64_t refaulted_bytes;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 30 * MIB));
    other = np_core_take(10 * MIB);
    memset(other, 1, 10 * MIB);
    np_core_give(other);
    (void)np_core_take(17 * KIB);
    memory = np_core_resize(memory, 104 * KIB);
    assert_true(np_run_find((uintptr_t)memory)->room_count > 1);
    refaulted_bytes = np_returned_totals().refaulted_bytes;
    assert_ptr_equal(np_core_resize(memory, 112 * KIB), memory);
    assert_int_equal(np_returned_totals().refaulted_bytes - refaulted_bytes, 8 * KIB);
    assert_ptr_equal(np_core_resize(memory, 112 * KIB - 1), memory);
    assert_ptr_equal(np_core_resize(memory, 112 * KIB), memory);
    assert_int_equal(np_returned_totals().refaulted_bytes - refaulted_bytes, 8 * KIB);
}

/* Then it is found when it goes back. */
static void room_that_the_system_does_not_take_is_counted(void **state)
{
    unsigned char *memory;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 4 * MIB));
    memory = np_core_take(130 * KIB);
    memset(memory, 0x34, 130 * KIB);
    np_core_give(memory);
    memory = np_core_take(32 * KIB);
    (void)np_core_take(17 * KIB);
    os_fake_refuse(OS_FAKE_PURGE_RANGES);
    memory = np_core_resize(memory, 36 * KIB);
    assert_int_equal(np_run_find((uintptr_t)memory)->room_count, 3);
    assert_int_equal(os_fake_resident_bytes(memory, 48 * KIB), 48 * KIB);
    assert_ptr_equal(np_core_resize(memory, 35 * KIB), memory);
    assert_int_equal(np_run_find((uintptr_t)memory)->room_count, 0);
    expect_sound();
}

/* Each larger than all before: had those been retained, none would have served. So nothing is taken
 * back, there is no allowance, and the last one is not retained either. */
static void a_ramp_of_mappings_leaves_nothing(void **state)
{
    (void)state;
    for (size_t mib = 1; mib <= 40; mib++) {
        void *block = np_core_take(mib << 20);

        assert_int_not_equal(np_large_bytes(block), 0);
        np_core_give(block);
    }
    assert_int_equal(np_arena_allowance_bytes(), 0);
    assert_true(np_arena_retained_bytes() <= 1 << 20);
}

/* A mapping that goes and a run of no more than its size, which had a place if it had stayed. */
static uint64_t refaulted_after_a_mapping(void)
{
    np_core_give(np_core_take(20 << 20));
    np_core_give(np_core_take(10 << 20));
    return np_returned_totals().refaulted_bytes;
}

static void a_run_takes_back_what_a_mapping_gave(void **state)
{
    (void)state;
    assert_in_range(refaulted_after_a_mapping(), 10 << 20, 11 << 20);
    expect_sound();
}

/* Growing where it lies takes memory back, too: what is cold of it, and only that. */
static void growth_in_place_takes_back_what_shrinking_gave(void **state)
{
    uint64_t expected_bytes = 0;
    char *block;
    char *other;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 30 << 20));
    block = np_core_take(20 << 20);
    other = np_core_take(10 << 20); /* what goes of this one stays away */
    memset(other, 1, 10 << 20);
    np_core_give(other);
    for (unsigned turn = 0; turn < 3; turn++) {
        memset(block, 1, 20 << 20);
        assert_ptr_equal(np_core_resize(block, 1 << 20), block);
        expected_bytes += (19 << 20) - np_arena_retained_bytes();
        assert_ptr_equal(np_core_resize(block, 20 << 20), block);
        expected_bytes += np_arena_retained_bytes();
        assert_int_equal(np_returned_totals().refaulted_bytes, expected_bytes);
    }
    assert_true(expected_bytes > 30 << 20);
    expect_sound();
}

/* Without one it would be a mapping, like all that are larger than what was freed before. */
static void with_an_allowance_a_larger_block_is_a_run(void **state)
{
    (void)state;
    for (unsigned tries = 0; tries < 20 && np_arena_allowance_bytes() == 0; tries++)
        np_core_give(np_core_take(10 << 20));
    assert_in_range(np_arena_allowance_bytes(), 1, 10 << 20);
    np_core_give(np_core_take(26 << 20));
    assert_int_equal(np_large_bytes(np_core_take(27 << 20)), 0);
    expect_sound();
}

/* Then it will be a mapping again, and an allowance would be good for nothing. */
static void not_where_the_threshold_is_set(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 15 << 20));
    assert_int_equal(refaulted_after_a_mapping(), 0);
}

static void resizing_goes_between_all_layers(void **state)
{
    static const size_t sizes[] = {10,  3000,   50,     16384, 16385,  100,
                                   100000, 400000, 17000, 5000000, 1};

    (void)state;
    for (size_t from = 0; from < COUNT_OF(sizes); from++) {
        for (size_t to = 0; to < COUNT_OF(sizes); to++) {
            unsigned char *memory = np_core_take(sizes[from]);

            memset(memory, 0x23, sizes[from]);
            memory = np_core_resize(memory, sizes[to]);
            assert_non_null(memory);
            assert_true(np_core_usable_bytes(memory) >= sizes[to]);
            expect_bytes(memory, np_min(sizes[from], sizes[to]), 0x23);
            memset(memory, 0x24, sizes[to]);
            np_core_give(memory);
            expect_sound();
        }
    }
}

/* Only the block as it was, or the new one whole. */
static void resizing_without_memory_leaves_the_block(void **state)
{
    unsigned char *memory = np_core_take(20000);
    unsigned char *mapping = np_core_take(3 * MIB);

    (void)state;
    memset(memory, 0x25, 20000);
    memset(mapping, 0x26, 3 * MIB);
    os_fake_fail_from(1);
    assert_null(np_core_resize(memory, 100 * MIB));
    assert_null(np_core_resize(mapping, 100 * MIB));
    assert_null(np_core_resize(memory, SIZE_MAX));
    expect_sound();
    expect_bytes(memory, 20000, 0x25);
    expect_bytes(mapping, 3 * MIB, 0x26);
    /* Shrinking cannot fail. */
    assert_non_null(np_core_resize(mapping, 100 * KIB));
    os_fake_reset();
    expect_sound();
}

/* ---- short of memory ---- */

/* Everything is free, but as slabs that the heap keeps and holds: they go, and the request is
 * served. */
static void what_is_free_in_another_shape_is_used(void **state)
{
    static void *small[80000];
    size_t count = 0;

    (void)state;
    os_fake_limit_break(6 * MIB);
    os_fake_refuse(OS_FAKE_RESERVE);
    os_fake_refuse(OS_FAKE_RESERVE_AT);
    assert_true(np_tune_set(NP_KNOB_MMAP_MAX, 0));
    assert_true(np_tune_set(NP_KNOB_MXFAST, 120)); /* held until a trim */
    np_core_knobs_changed();
    while (count < COUNT_OF(small) && (small[count] = np_core_take(100)) != NULL)
        count++;
    assert_true(count * 100 > 4 * MIB && count < COUNT_OF(small));
    for (size_t i = 0; i < count; i++)
        np_core_give(small[i]);
    assert_non_null(np_core_take(4 * MIB));
    expect_sound();
}

static void trim_answers_whether_anything_went(void **state)
{
    void *memory;

    (void)state;
    memory = np_core_take(1000);
    (void)np_core_trim(0);
    assert_false(np_core_trim(0));
    np_core_give(memory);
    assert_true(np_core_trim(0)); /* the slab that the heap kept */
    assert_false(np_core_trim(0));
    expect_sound();
}

/* Single pages in slabs with live blocks, of this thread's heap too; and a second trim costs
 * nothing. */
static void trim_reaches_pages_inside_slabs(void **state)
{
    static unsigned char *sparse[20000];
    size_t resident_bytes = 0;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1));
    for (size_t i = 0; i < COUNT_OF(sparse); i++)
        memset(sparse[i] = np_core_take(500), 7, 500);
    for (size_t i = 0; i < COUNT_OF(sparse); i++)
        if (i % 100 != 0)
            np_core_give(sparse[i]);
    assert_true(np_core_trim(0));
    expect_sound();
    os_fake_reset();
    assert_false(np_core_trim(0));
    assert_int_equal(os_fake_calls(OS_FAKE_PURGE) + os_fake_calls(OS_FAKE_PURGE_RANGES) +
                         os_fake_calls(OS_FAKE_BREAK_MOVE) + os_fake_calls(OS_FAKE_RELEASE),
                     0);
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        for (struct np_stretch *stretch = arena->stretches; stretch != NULL;
             stretch = stretch->next)
            resident_bytes +=
                os_fake_resident_bytes((void *)stretch->start, stretch->end - stretch->start);
    /* The pages of the blocks that live, and none else. */
    assert_int_equal(resident_bytes, COUNT_OF(sparse) / 100 * 4096);
    for (size_t i = 0; i < COUNT_OF(sparse); i += 100)
        expect_bytes(sparse[i], 500, 7);
}

/* ---- M_PERTURB ---- */

static void perturbed_memory_shows_its_state(void **state)
{
    static const size_t sizes[] = {24, 1000, 20000, 300000};

    (void)state;
    assert_true(np_tune_set(NP_KNOB_PERTURB, 0x5A));
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, -1));
    np_core_knobs_changed();
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        unsigned char *memory = np_core_take(sizes[i]);

        assert_ptr_equal(np_heap_fast, &np_empty_heap); /* no call is to pass by */
        expect_bytes(memory, sizes[i], 0xA5);
        memset(memory, 1, sizes[i]);
        np_core_give(memory);
        if (i == 0) /* a slot's first word is a link */
            expect_bytes(memory + 8, sizes[i] - 8, 0x5A);
        if (i == 2)
            expect_bytes(memory, sizes[i], 0x5A);
        memory = np_core_take_zeroed(sizes[i]);
        expect_bytes(memory, sizes[i], 0);
        np_core_give(memory);
    }
    expect_sound();
}

/* ---- all of it ---- */

static size_t some_size(void)
{
    switch (random_below(8)) {
    case 0:
        return random_below(600 * KIB);
    case 1:
        return random_below(120 * KIB);
    case 2:
        return random_below(20 * KIB);
    default:
        return random_below(2 * KIB);
    }
}

static void expect_block(const struct block *block)
{
    expect_bytes(block->memory, block->bytes, block->stamp);
}

static void stamp_block(struct block *block)
{
    block->stamp = (unsigned char)(1 + random_below(255));
    memset(block->memory, block->stamp, block->bytes);
}

static void add_some_block(void)
{
    struct block *block = &blocks[block_count++];
    size_t way = random_below(4);

    block->bytes = some_size();
    block->memory = way == 0   ? np_core_take_zeroed(block->bytes)
                    : way == 1 ? np_core_take_aligned(block->bytes, (size_t)16 << random_below(14))
                               : np_core_take(block->bytes);
    assert_non_null(block->memory);
    if (way == 0)
        expect_bytes(block->memory, block->bytes, 0);
    stamp_block(block);
}

static void resize_some_block(void)
{
    struct block *block = &blocks[random_below(block_count)];
    size_t bytes = 1 + some_size();

    expect_block(block);
    block->memory = np_core_resize(block->memory, bytes);
    assert_non_null(block->memory);
    expect_bytes(block->memory, np_min(bytes, block->bytes), block->stamp);
    block->bytes = bytes;
    stamp_block(block);
}

static void drop_some_block(void)
{
    size_t index = random_below(block_count);

    expect_block(&blocks[index]);
    np_core_give(blocks[index].memory);
    blocks[index] = blocks[--block_count];
}

static void live_at_random(unsigned steps)
{
    for (unsigned step = 0; step < steps; step++) {
        size_t action = random_below(10);

        if (block_count == 0 || (block_count < 500 && action < (step * 4 / steps % 2 == 0 ? 6 : 3)))
            add_some_block();
        else if (action < 8)
            drop_some_block();
        else
            resize_some_block();
        if (random_below(500) == 0)
            (void)np_core_trim(random_below(MIB));
        expect_sound();
    }
    while (block_count > 0)
        drop_some_block();
    (void)np_core_trim(0);
    expect_sound();
    assert_int_equal(np_large_totals().count, 0);
    assert_int_equal(np_arena_retained_bytes(), 0);
}

static void random_life(void **state)
{
    (void)state;
    live_at_random(5000);
}

static void random_life_with_64k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(65536);
    live_at_random(3000);
}

static void random_life_with_low_thresholds(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_MMAP_THRESHOLD, 64));
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 64));
    live_at_random(2000);
}

/* As where another thread calls mallopt: this one is not told. */
static void a_thread_follows_what_another_one_perturbs(void **state)
{
    struct np_heap *heap;
    unsigned char *block;

    (void)state;
    np_core_give(np_core_take(100));
    heap = np_heap_fast;
    assert_ptr_not_equal(heap, &np_empty_heap);
    assert_true(np_tune_set(NP_KNOB_PERTURB, 0x11));
    assert_null(np_core_try_take_small(heap, 100)); /* the long way is to be gone */
    block = np_core_take(100);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(block[i], 0xEE);
    assert_ptr_equal(np_heap_fast, &np_empty_heap);
    assert_true(np_tune_set(NP_KNOB_PERTURB, 0));
    np_core_give(block);
    np_core_give(np_core_take(100));
    assert_ptr_equal(np_heap_fast, heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_choose_the_layer),
        cmocka_unit_test(a_free_run_comes_before_a_mapping),
        cmocka_unit_test(a_threshold_of_64_bytes_is_obeyed),
        cmocka_unit_test(where_the_arenas_cannot_grow_there_are_mappings),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(every_size_at_every_alignment),
        cmocka_unit_test(zeroed_memory_is_zero_whatever_was_there),
        cmocka_unit_test(zeroed_fresh_memory_is_not_touched),
        cmocka_unit_test(of_a_long_zeroed_block_the_touched_pages_are_told),
        cmocka_unit_test(usable_bytes_stay_what_they_are),
        cmocka_unit_test(a_slot_stays_while_half_of_it_is_used),
        cmocka_unit_test(a_run_grows_and_shrinks_where_it_is),
        cmocka_unit_test(a_mapping_is_remapped_not_copied),
        cmocka_unit_test(a_ramp_of_mappings_leaves_nothing),
        cmocka_unit_test(a_run_takes_back_what_a_mapping_gave),
        cmocka_unit_test(growth_in_place_takes_back_what_shrinking_gave),
        cmocka_unit_test(a_block_that_grows_little_gets_room),
        cmocka_unit_test(room_has_no_memory_and_is_not_live),
        cmocka_unit_test(growth_into_room_takes_back_what_was_returned),
        cmocka_unit_test(room_that_the_system_does_not_take_is_counted),
        cmocka_unit_test(with_an_allowance_a_larger_block_is_a_run),
        cmocka_unit_test(not_where_the_threshold_is_set),
        cmocka_unit_test(resizing_goes_between_all_layers),
        cmocka_unit_test(resizing_without_memory_leaves_the_block),
        cmocka_unit_test(what_is_free_in_another_shape_is_used),
        cmocka_unit_test(trim_answers_whether_anything_went),
        cmocka_unit_test(trim_reaches_pages_inside_slabs),
        cmocka_unit_test(perturbed_memory_shows_its_state),
        cmocka_unit_test(a_thread_follows_what_another_one_perturbs),
        cmocka_unit_test(random_life),
        cmocka_unit_test(random_life_with_64k_pages),
        cmocka_unit_test(random_life_with_low_thresholds),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

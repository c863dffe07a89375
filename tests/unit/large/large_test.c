/* Large objects: the table through its levels, the limit, resizing, what goes back; and a random
 * life against a shadow, audited after every step. */
#include <pthread.h>
#include <string.h>

#include "isolated.h"
#include "large.h"
#include "os.h"
#include "os_fake.h"
#include "tune.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

enum { MANY = 20000 };

static char *objects[MANY];
static size_t object_bytes[MANY];
static size_t object_count;

/* Without its room. */
static size_t used_bytes(size_t index)
{
    size_t page_bytes = np_os_page_bytes();

    return (object_bytes[index] + 16 + page_bytes - 1) / page_bytes * page_bytes;
}

static void expect_counts(void)
{
    struct np_large_totals totals = np_large_totals();
    size_t bytes = 0;
    size_t room_bytes = 0;
    size_t requested_bytes = 0;

    for (size_t i = 0; i < object_count; i++) {
        bytes += used_bytes(i);
        room_bytes += np_large_bytes(objects[i]) - used_bytes(i);
        requested_bytes += object_bytes[i];
    }
    assert_int_equal(totals.requested_bytes, requested_bytes);
    assert_int_equal(totals.count, object_count);
    assert_int_equal(totals.bytes, bytes);
    assert_true(totals.count_max >= totals.count);
    assert_true(totals.bytes_max >= totals.bytes);
    assert_int_equal(os_fake_committed_bytes(), totals.bytes + room_bytes + totals.table_bytes);
    assert_sound(np_large_audit());
}

static bool add(size_t bytes, size_t alignment)
{
    char *memory = np_large_take(bytes, alignment);

    if (memory == NULL)
        return false;
    assert_int_equal((uintptr_t)memory % alignment, 0);
    assert_true(np_large_bytes(memory) >= bytes);
    assert_int_equal(memory[0], 0);
    assert_int_equal(memory[bytes - 1], 0);
    memory[0] = memory[bytes - 1] = (char)(object_count % 127 + 1);
    objects[object_count] = memory;
    object_bytes[object_count++] = bytes;
    return true;
}

static void drop(size_t index)
{
    char *memory = objects[index];

    assert_int_equal(memory[0], memory[object_bytes[index] - 1]);
    object_count--;
    objects[index] = objects[object_count];
    object_bytes[index] = object_bytes[object_count];
    assert_true(np_large_give(memory));
    assert_int_equal(np_large_bytes(memory), 0);
    assert_false(np_large_give(memory));
}

static void an_object_is_a_mapping(void **state)
{
    (void)state;
    assert_true(add(100000, 16));
    assert_int_equal(np_large_bytes(objects[0]), 102400);
    assert_int_equal((uintptr_t)objects[0] % 4096, 0);
    assert_true(os_fake_is_committed(objects[0], 102400));
    expect_counts();
    drop(0);
    expect_counts();
    assert_int_equal(np_large_totals().unmapped_bytes, 102400);
    assert_int_equal(np_large_totals().unmapped_calls, 1);
    assert_int_equal(np_large_table_resident_bytes(), 4096);
}

/* Shrinking gives memory back as well; growing and moving do not. */
static void what_is_unmapped_is_timed(void **state)
{
    (void)state;
    os_fake_set_call_ns(1000);
    assert_true(add(300 * KIB, 16));
    objects[0] = np_large_resize(objects[0], 900 * KIB);
    assert_int_equal(np_large_totals().unmapped_calls, 0);
    assert_int_equal(np_large_totals().unmapping_ns, 0);
    object_bytes[0] = 100 * KIB - 5;
    assert_ptr_equal(np_large_resize(objects[0], object_bytes[0]), objects[0]);
    assert_int_equal(np_large_totals().unmapped_bytes, 800 * KIB);
    assert_int_equal(np_large_totals().unmapping_ns, 1000);
    expect_counts();
    /* Another request, the same mapping: no call. */
    object_bytes[0] = 100 * KIB - 7;
    assert_ptr_equal(np_large_resize(objects[0], object_bytes[0]), objects[0]);
    assert_int_equal(np_large_totals().unmapped_calls, 1);
    expect_counts();
    object_bytes[0] = 1;
    drop(0);
    assert_int_equal(np_large_totals().unmapped_bytes, 900 * KIB + 4096);
    assert_int_equal(np_large_totals().unmapped_calls, 2);
    assert_int_equal(np_large_totals().unmapping_ns, 2000);
}

static void any_address_may_be_asked_about(void **state)
{
    (void)state;
    assert_int_equal(np_large_bytes(NULL), 0);
    assert_int_equal(np_large_bytes((void *)(uintptr_t)1), 0);
    assert_int_equal(np_large_bytes(&object_count), 0);
    assert_false(np_large_give((void *)(uintptr_t)4096));
    assert_true(add(50000, 16));
    assert_int_equal(np_large_bytes(objects[0] + 16), 0);
    assert_int_equal(np_large_bytes(objects[0] + 4096), 0);
    assert_int_equal(np_large_bytes((void *)UINTPTR_MAX), 0);
    assert_false(np_large_give(objects[0] + 4096));
    assert_int_equal(np_large_around((uintptr_t)objects[0] + 49999), (uintptr_t)objects[0]);
    assert_int_equal(np_large_around((uintptr_t)objects[0] + 53248), 0);
    assert_int_equal(np_large_around((uintptr_t)objects[0] - 1), 0);
    expect_counts();
}

static void alignments_are_kept(void **state)
{
    (void)state;
    for (size_t alignment = 16; alignment <= 64 * MIB; alignment *= 2)
        assert_true(add(3000 + alignment / 3, alignment));
    expect_counts();
    while (object_count > 0)
        drop(0);
    expect_counts();
}

/* 60,000 mapped blocks are asked of neap; the table takes a tenth of an entry more for each, and
 * gives it back. */
static void the_table_grows_and_shrinks(void **state)
{
    size_t most_table_bytes;

    (void)state;
    for (size_t i = 0; i < MANY; i++)
        assert_true(add(1 + i % 5000, 16));
    expect_counts();
    for (size_t i = 0; i < MANY; i++)
        assert_true(np_large_bytes(objects[i]) >= object_bytes[i]);
    most_table_bytes = np_large_totals().table_bytes;
    assert_true(np_large_table_resident_bytes() <= most_table_bytes);
    assert_true(np_large_table_resident_bytes() >= most_table_bytes / 2);
    assert_true(most_table_bytes <= MANY * 64);
    os_fake_reset();
    while (object_count > 0)
        drop(random_below(object_count));
    expect_counts();
    /* Of what a level had, the kernel has all but the first level's page. */
    assert_true(os_fake_purged_bytes() >= most_table_bytes - 8 * KIB);
    for (size_t i = 0; i < 1000; i++)
        assert_true(add(100, 16));
    expect_counts();
}

static void mmap_max_is_the_limit(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_MMAP_MAX, 10));
    for (unsigned i = 0; i < 10; i++)
        assert_true(add(5000, 16));
    assert_false(add(5000, 16));
    drop(3);
    assert_true(add(5000, 16));
    assert_false(add(5000, 16));
    expect_counts();
    assert_true(np_tune_set(NP_KNOB_MMAP_MAX, 0));
    os_fake_reset();
    assert_false(add(5000, 16));
    assert_int_equal(os_fake_all_calls(), 0);
    while (object_count > 0)
        drop(0);
    assert_false(add(5000, 16));
    expect_counts();
}

static void freeing_raises_the_dynamic_threshold(void **state)
{
    int64_t before = np_tune_get(NP_KNOB_MMAP_THRESHOLD);

    (void)state;
    assert_true(add(5 * MIB, 16));
    assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), before);
    drop(0);
    assert_int_equal(np_tune_get(NP_KNOB_MMAP_THRESHOLD), 5 * MIB + 1);
    assert_true(add(100 * MIB, 16));
    drop(0);
    /* No higher than the limit; glibc leaves it alone for larger ones, which comes to the same. */
    assert_true(np_tune_get(NP_KNOB_MMAP_THRESHOLD) <= 32 << 20);
}

static void resizing_keeps_the_contents(void **state)
{
    static const size_t sizes[] = {300 * KIB, 70 * KIB, 5 * MIB, 5 * MIB + 1, 4096, 20 * MIB, 1};
    size_t bytes = 100 * KIB;

    (void)state;
    assert_true(add(bytes, 16));
    memset(objects[0], 0x11, bytes);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t kept = sizes[i] < bytes ? sizes[i] : bytes;
        size_t usable_before = np_large_bytes(objects[0]);
        char *moved = np_large_resize(objects[0], sizes[i]);

        assert_non_null(moved);
        objects[0] = moved;
        object_bytes[0] = sizes[i];
        assert_true(np_large_bytes(moved) >= sizes[i]);
        expect_counts();
        for (size_t byte = 0; byte < kept; byte += 997)
            assert_int_equal(moved[byte], 0x11);
        for (size_t byte = usable_before; byte < sizes[i]; byte += 4096)
            assert_int_equal(moved[byte], 0); /* fresh bytes */
        memset(moved, 0x11, sizes[i]);
        bytes = sizes[i];
    }
    drop(0);
    expect_counts();
    assert_null(np_large_resize(&object_count, 5000)); /* none of ours */
}

static void a_refused_resize_changes_nothing(void **state)
{
    char *memory;

    (void)state;
    assert_true(add(100 * KIB, 16));
    memory = objects[0];
    os_fake_refuse(OS_FAKE_REMAP);
    assert_null(np_large_resize(memory, 300 * KIB));
    assert_int_equal(np_large_bytes(memory), 100 * KIB + 4096); /* for the tail */
    assert_int_equal(np_large_requested_bytes(memory), 100 * KIB);
    expect_counts();
    assert_null(np_large_resize(memory, SIZE_MAX - 100));
    drop(0);
    expect_counts();
}

/* Resizes the first object, and looks at what it holds; false: refused. */
static bool resize_first(size_t bytes)
{
    size_t last = (bytes < object_bytes[0] ? bytes : object_bytes[0]) - 1;
    char *moved;

    memset(objects[0], 0x33, last + 1);
    moved = np_large_resize(objects[0], bytes);
    if (moved == NULL)
        return false;
    objects[0] = moved;
    object_bytes[0] = bytes;
    assert_int_equal(moved[0], 0x33);
    assert_int_equal(moved[last], 0x33);
    assert_int_equal(moved[last + 1] == 0 || last + 1 == bytes, true);
    assert_int_equal(np_large_requested_bytes(moved), bytes);
    expect_counts();
    moved[0] = moved[bytes - 1] = 0x33;
    return true;
}

/* Growth by small steps takes few calls: there is room behind, which has no memory, counts nowhere,
 * and is given back when the block shrinks or goes. */
static void what_grows_by_small_steps_gets_room(void **state)
{
    size_t used;

    (void)state;
    assert_true(add(400 * KIB, 16));
    os_fake_reset();
    for (size_t bytes = 404 * KIB; bytes <= 4 * MIB; bytes += 4 * KIB)
        assert_true(resize_first(bytes));
    /* By a quarter at first, by just below 2 MiB at most: 1.25^8 * 400 KiB, then two or three. */
    assert_in_range(os_fake_calls(OS_FAKE_REMAP), 8, 20);
    used = object_bytes[0] + 4 * KIB; /* with its tail */
    assert_true(np_large_bytes(objects[0]) > used);
    assert_true(np_large_bytes(objects[0]) < used + 2 * MIB);
    assert_int_equal(
        os_fake_resident_bytes(objects[0] + used, np_large_bytes(objects[0]) - used), 0);
    assert_int_equal(np_large_around((uintptr_t)objects[0] + used - 1), (uintptr_t)objects[0]);
    assert_int_equal(np_large_totals().unmapped_bytes, 0);
    assert_true(resize_first(3 * MIB));
    assert_int_equal(np_large_bytes(objects[0]), 3 * MIB + 4 * KIB);
    assert_int_equal(np_large_totals().unmapped_bytes, 1 * MIB);
    /* By large steps it gets none. */
    assert_true(resize_first(4 * MIB));
    assert_int_equal(np_large_bytes(objects[0]), 4 * MIB + 4 * KIB);
    assert_true(resize_first(4 * MIB + 4 * KIB));
    assert_true(np_large_bytes(objects[0]) > 5 * MIB);
    np_large_set_mark(objects[0], 3);
    assert_true(resize_first(4 * MIB + 8 * KIB));
    assert_true(np_large_bytes(objects[0]) > 5 * MIB);
    assert_int_equal(np_large_mark(objects[0]), 3);
    objects[0][object_bytes[0] - 1] = objects[0][0];
    drop(0);
    expect_counts();
}

static void room_is_whole_pages_of_64k(void **state)
{
    (void)state;
    os_fake_set_page_bytes(65536);
    assert_true(add(1 * MIB - 100, 16));
    for (size_t bytes = 1 * MIB; bytes <= 3 * MIB; bytes += 60 * KIB) {
        assert_true(resize_first(bytes));
        assert_int_equal(np_large_bytes(objects[0]) % 65536, 0);
    }
    objects[0][object_bytes[0] - 1] = objects[0][0];
    drop(0);
    expect_counts();
}

/* Without addresses for room it grows all the same, where it lies or not; and if not at all, it is
 * as it was. */
static void room_is_no_condition(void **state)
{
    size_t mapped;

    (void)state;
    for (unsigned refused = 1; refused <= 3; refused++) {
        assert_true(add(1 * MIB, 16));
        os_fake_reset();
        os_fake_fail_next(refused);
        mapped = np_large_bytes(objects[0]);
        assert_int_equal(resize_first(1 * MIB + 4 * KIB), refused < 3);
        assert_int_equal(np_large_bytes(objects[0]),
                         refused == 1 ? mapped + 260 * KIB
                                      : (refused == 2 ? mapped + 4 * KIB : mapped));
        assert_true(os_fake_has_failed());
        expect_counts();
        /* Also with what room it has. */
        mapped = np_large_bytes(objects[0]);
        os_fake_refuse(OS_FAKE_REMAP);
        assert_false(resize_first(2 * MIB));
        assert_int_equal(np_large_bytes(objects[0]), mapped);
        expect_counts();
        objects[0][object_bytes[0] - 1] = objects[0][0];
        drop(0);
    }
    expect_counts();
}

static void no_memory_is_null(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth <= 2; nth++) { /* the mapping, and the table's first level */
        os_fake_reset();
        os_fake_fail_call(nth);
        assert_false(add(5000, 16));
        assert_true(os_fake_has_failed());
        expect_counts();
    }
    os_fake_reset();
    assert_true(add(5000, 16));
    assert_false(add(SIZE_MAX, 16));
    assert_false(add(SIZE_MAX - 5000, 16));
    assert_false(add(SIZE_MAX / 2 + 1, 16));
    expect_counts();
}

/* As no_memory_is_null, between guard pages. */
static void no_memory_for_a_guarded_one_is_null(void **state)
{
    char *memory;

    (void)state;
    for (unsigned nth = 1; nth <= 2; nth++) {
        os_fake_reset();
        os_fake_fail_call(nth);
        assert_null(np_large_take_guarded(5000, 16));
        assert_true(os_fake_has_failed());
        expect_counts();
    }
    os_fake_reset();
    memory = np_large_take_guarded(5000, 16);
    assert_non_null(memory);
    assert_int_equal(np_large_totals().count, 1);
    assert_true(np_large_give(memory));
    expect_counts();
}

static void random_life(void **state)
{
    (void)state;
    for (unsigned step = 0; step < 3000; step++) {
        if (random_below(20) < (step / 500 % 2 == 0 ? 14 : 7) || object_count == 0)
            (void)add(1 + random_below(random_below(4) == 0 ? MIB : 9000),
                      (size_t)16 << random_below(12));
        else
            drop(random_below(object_count));
        if (step % 16 == 0)
            expect_counts();
    }
    while (object_count > 0)
        drop(random_below(object_count));
    expect_counts();
}

static void random_life_with_64k_pages(void **state)
{
    os_fake_set_page_bytes(65536);
    random_life(state);
}

/* ---- threads ---- */

enum { THREADS = 4, STEPS = 3000, KEPT = 50 };

static void *churn(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    char *kept[KEPT] = {NULL};

    for (unsigned step = 0; step < STEPS; step++) {
        unsigned index;

        seed = seed * 1103515245 + 12345;
        index = (seed >> 16) % KEPT;
        if (kept[index] == NULL) {
            kept[index] = np_large_take(1 + (seed >> 8) % 9000, 16);
            assert_non_null(kept[index]);
            kept[index][0] = (char)seed;
        } else {
            /* A live object is never missed, whatever others do meanwhile. */
            assert_true(np_large_bytes(kept[index]) > 0);
            assert_true(np_large_give(kept[index]));
            kept[index] = NULL;
        }
    }
    for (unsigned i = 0; i < KEPT; i++)
        if (kept[i] != NULL)
            assert_true(np_large_give(kept[i]));
    return NULL;
}

static void threads_share_the_table(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)(i + 1));
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect_counts();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_a_mapping),
        cmocka_unit_test(what_is_unmapped_is_timed),
        cmocka_unit_test(any_address_may_be_asked_about),
        cmocka_unit_test(alignments_are_kept),
        cmocka_unit_test(the_table_grows_and_shrinks),
        cmocka_unit_test(mmap_max_is_the_limit),
        cmocka_unit_test(freeing_raises_the_dynamic_threshold),
        cmocka_unit_test(resizing_keeps_the_contents),
        cmocka_unit_test(a_refused_resize_changes_nothing),
        cmocka_unit_test(what_grows_by_small_steps_gets_room),
        cmocka_unit_test(room_is_whole_pages_of_64k),
        cmocka_unit_test(room_is_no_condition),
        cmocka_unit_test(no_memory_is_null),
        cmocka_unit_test(no_memory_for_a_guarded_one_is_null),
        cmocka_unit_test(random_life),
        cmocka_unit_test(random_life_with_64k_pages),
        cmocka_unit_test(threads_share_the_table),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

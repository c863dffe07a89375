/* Heaps: refill order, what is held open, groups, twins, other threads' frees; and a random life
 * of several heaps, audited after every step. */
#include "heap_model.h"

static size_t some_size(void)
{
    switch (random_below(10)) {
    case 0:
        return random_below(NP_SMALL_MAX_BYTES + 1);
    case 1:
        return random_below(3000);
    default:
        return random_below(NP_DIRECT_MAX_BYTES + 1);
    }
}

static void live_at_random(unsigned steps)
{
    init_heaps();
    for (unsigned step = 0; step < steps; step++) {
        struct np_heap *heap = &heaps[random_below(HEAPS)];
        bool is_growing = step * 6 / steps % 2 == 0;
        size_t count = 1 + random_below(40);

        for (size_t i = 0; i < count && block_count < BLOCK_MAX; i++) {
            if (random_below(10) < (is_growing ? 6 : 4) || block_count == 0)
                add_block(heap, some_size());
            else { /* by its own heap or another, or a thread without one */
                remove_block(random_below(8) == 0 ? NULL : heap, random_below(block_count));
                expect_bounded();
            }
        }
        if (random_below(200) == 0)
            np_heap_close_all(heap);
        if (random_below(200) == 0) {
            np_heap_close_free(heap, random_below(2) == 0 ? NP_CLOSE_FREE : NP_CLOSE_SPARSE);
            np_return_excess(); /* the callers' part */
        }
        expect_sound();
        if (step % 32 == 0)
            expect_truth();
        if (block_count > 0)
            expect_resident(&blocks[random_below(block_count)]);
    }
    expect_truth();
    while (block_count > 0) {
        remove_block(&heaps[random_below(HEAPS)], random_below(block_count));
        expect_bounded();
    }
    expect_sound();
    expect_truth();
    expect_nothing_left();
}

static void random_life(void **state)
{
    (void)state;
    live_at_random(4000);
}

static void random_life_with_16k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(16384);
    live_at_random(2000);
}

static void random_life_with_64k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(65536);
    live_at_random(2000);
}

static void random_life_with_nothing_retained(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 0));
    live_at_random(1000);
}

static void random_life_with_nothing_retained_and_64k_pages(void **state)
{
    os_fake_set_page_bytes(65536);
    random_life_with_nothing_retained(state);
}

static void random_life_with_little_open(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_OPEN_BYTES, 65536));
    live_at_random(2000);
}

static void random_life_with_held_blocks(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_MXFAST, 120));
    init_heaps();
    for (unsigned step = 0; step < 1000; step++) {
        for (unsigned i = 0; i < 20; i++) {
            if (random_below(2) == 0 || block_count == 0)
                add_block(&heaps[random_below(HEAPS)], random_below(300));
            else
                remove_block(&heaps[random_below(HEAPS)], random_below(block_count));
        }
        expect_sound();
    }
    while (block_count > 0)
        remove_block(&heaps[random_below(HEAPS)], random_below(block_count));
    for (size_t i = 0; i < HEAPS; i++)
        np_heap_close_all(&heaps[i]);
    expect_sound();
    assert_true(lent_bytes() > 0); /* held */
    np_depot_trim();
    expect_sound();
    assert_int_equal(lent_bytes(), 0);
}

/* ---- what was written to free slots ---- */

enum { EMPTIED = 20, CLASSES = 3 }; /* so many more emptied slabs are no power of two */

/* A thread empties its current slabs of three classes, of which one more than may stay is closed; a
 * free slot in the midst of the first was written to. */
static int close_emptied_slabs(unsigned level)
{
    static void *slots[CLASSES][128];
    struct np_heap *heap = &heaps[0];

    init_heaps();
    EXPECT(np_tune_set(NP_KNOB_HARDENING, level));
    for (unsigned at = 0; at < CLASSES; at++)
        for (unsigned slot = 0; slot < 128U >> at; slot++)
            slots[at][slot] = take_block(heap, 512U << at);
    heap->emptied_count = EMPTIED;
    for (unsigned at = 0; at < CLASSES; at++) {
        for (unsigned slot = 0; slot < 128U >> at; slot++)
            give_block(heap, slots[at][slot]);
        if (at == 0)
            memset(slots[0][30], 0x41, 8);
    }
    EXPECT(heap->emptied_count < 32);
    return 0;
}

static void the_strictest_level_looks_at_all_emptied_slabs(void **state)
{
    (void)state;
    assert_int_equal(run_in_child(close_emptied_slabs, 1), 0);
    assert_int_equal(run_in_child(close_emptied_slabs, 2), 128 + SIGABRT);
}

/* ---- what is held open ---- */

/* P1's constant: whatever a sleeping thread withholds, it withholds in its open slabs. */
static void open_slabs_are_bounded_while_they_grow(void **state)
{
    (void)state;
    init_heaps();
    for (unsigned round = 0; round < 70; round++) {
        for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
            size_t bytes = np_classes[class_index].slot_bytes;

            for (size_t taken = 0; taken < 4096 / bytes + 1 && block_count < BLOCK_MAX; taken++)
                add_block(&heaps[0], bytes);
            assert_true(heaps[0].open_bytes <= open_bytes_max() + heaps[0].reserved_bytes);
        }
        assert_sound(np_heap_audit(&heaps[0]));
    }
    expect_sound();
    while (block_count > 0)
        remove_block(&heaps[1], block_count - 1);
    expect_sound();
    expect_nothing_left();
}

static size_t really_resident_bytes(uintptr_t from)
{
    return os_fake_resident_bytes((void *)from, os_fake_break() - from);
}

/* A worker allocates and sleeps for ever; others free what it had, or it frees all itself and
 * sleeps then. What stays resident is the threshold and what each thread holds open. */
static void expect_return_after(struct np_heap *freeing_heap, size_t bytes)
{
    uintptr_t start = np_align_up(os_fake_break(), 4096);

    init_heaps();
    while (block_count < BLOCK_MAX && block_count * bytes < 24 * MIB)
        add_block(&heaps[0], bytes);
    assert_true(really_resident_bytes(start) >= block_count * bytes);
    for (size_t i = 0; i < block_count; i++)
        give_block(freeing_heap, blocks[i].memory);
    block_count = 0;
    expect_sound();
    assert_true(really_resident_bytes(start) <= MIB + 2 * MIB + NP_UNIT_BYTES);
}

static void what_a_thread_freed_itself_goes_back(void **state)
{
    (void)state;
    expect_return_after(&heaps[0], 500);
}

static void what_another_thread_freed_goes_back(void **state)
{
    (void)state;
    expect_return_after(&heaps[1], 500);
}

static void what_a_thread_without_heap_freed_goes_back(void **state)
{
    (void)state;
    expect_return_after(NULL, 500);
}

static void large_slots_go_back(void **state)
{
    (void)state;
    expect_return_after(&heaps[1], 9000);
}

static void the_idle_slab_is_closed_not_the_busy_one(void **state)
{
    const struct np_slab *busy;

    (void)state;
    init_heaps();
    assert_true(np_tune_set(NP_KNOB_OPEN_BYTES, 256 << 10));
    add_block(&heaps[0], 2000);
    busy = np_slab_find((uintptr_t)blocks[0].memory);
    for (size_t bytes = 2100; bytes < 16000; bytes += 500) {
        for (unsigned i = 0; i < 4; i++)
            add_block(&heaps[0], bytes);
        give_block(&heaps[0], blocks[0].memory); /* used all the time */
        blocks[0].memory = take_block(&heaps[0], 2000);
        memset(blocks[0].memory, blocks[0].stamp, 2000);
        assert_ptr_equal(np_slab_find((uintptr_t)blocks[0].memory), busy);
    }
    assert_ptr_equal(atomic_load(&busy->owner), &heaps[0]);
    expect_sound();
}

/* Uses further pages until each class is on its own. */
static void split_all_groups(struct np_heap *heap)
{
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        while (heap->served_by[class_index] != class_index ||
               (class_index > 0 && heap->served_by[class_index - 1] == class_index))
            add_block(heap, np_classes[class_index].slot_bytes);
        while (block_count > 0)
            remove_block(heap, block_count - 1);
    }
    assert_sound(np_heap_audit(heap));
}

static size_t empty_open_bytes(const struct np_heap *heap)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < heap->open_count; i++)
        if (np_slab_live_count(heap->open[i]) == 0)
            bytes += np_slab_resident_bytes(heap->open[i]);
    return bytes;
}

/* A thread that frees all it has and sleeps then withholds little: current slabs stay open though
 * nothing lives in them, but few. */
static void few_entirely_free_slabs_stay_open(void **state)
{
    (void)state;
    init_heaps();
    split_all_groups(&heaps[0]);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++)
            for (unsigned i = 0; i < (round + 1) * 16384U / np_classes[class_index].slot_bytes; i++)
                add_block(&heaps[0], np_classes[class_index].slot_bytes);
        while (block_count > 0) {
            remove_block(&heaps[0], round == 0 ? block_count - 1 : random_below(block_count));
            assert_true(empty_open_bytes(&heaps[0]) <= 192 * KIB);
        }
        assert_true(heaps[0].open_bytes <= 256 * KIB);
        expect_sound();
        expect_truth();
    }
}

/* ---- closing what is free ---- */

static unsigned pages_live(const struct np_heap *heap)
{
    unsigned count = 0;

    for (unsigned i = 0; i < heap->open_count; i++)
        count += np_slab_live_count(heap->open[i]) != 0;
    return count;
}

/* As many slabs as fit stay open: the small ones. */
static void closing_down_to_a_size_leaves_small_slabs(void **state)
{
    unsigned open_count;

    (void)state;
    init_heaps();
    split_all_groups(&heaps[0]);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++)
        add_block(&heaps[0], np_classes[class_index].slot_bytes);
    np_heap_prepare_to_park(&heaps[0]);
    open_count = heaps[0].open_count;
    assert_true(heaps[0].open_bytes > 256 * KIB);
    np_heap_close_down_to(&heaps[0], heaps[0].open_bytes);
    assert_int_equal(heaps[0].open_count, open_count);
    np_heap_close_down_to(&heaps[0], 128 * KIB);
    assert_true(heaps[0].open_bytes <= 128 * KIB);
    assert_true(heaps[0].open_count > open_count / 3);
    for (unsigned i = 0; i < heaps[0].open_count; i++)
        assert_true(np_slab_resident_bytes(heaps[0].open[i]) <= 8 * KIB);
    expect_sound();
    expect_truth();
    np_heap_close_down_to(&heaps[0], 0);
    assert_int_equal(heaps[0].open_count, 0);
    expect_sound();
    expect_truth();
}

static void closing_what_is_free_leaves_what_is_in_use(void **state)
{
    struct np_slab *empty;
    struct np_slab *sparse;
    struct np_slab *dense;

    (void)state;
    init_heaps();
    part_classes(&heaps[0]);
    for (unsigned i = 0; i < 4; i++)
        add_block(&heaps[0], 2048); /* two pages, of which one will be free */
    add_block(&heaps[0], 2560); /* one page, in use */
    for (unsigned i = 0; i < 2; i++)
        add_block(&heaps[0], 4096);
    sparse = slab_of(0);
    dense = slab_of(4);
    empty = slab_of(5);
    remove_block(&heaps[0], 6);
    remove_block(&heaps[0], 5);
    remove_block(NULL, 3); /* others' frees count, too */
    remove_block(&heaps[0], 2);
    assert_int_equal(heaps[0].open_count, 3);
    np_heap_close_free(&heaps[0], NP_CLOSE_FREE);
    expect_let_go(empty->start);
    assert_int_equal(heaps[0].open_count, 2);
    assert_int_equal(pages_live(&heaps[0]), 2);
    np_heap_close_free(&heaps[0], NP_CLOSE_SPARSE);
    assert_false(np_slab_is_open(sparse));
    assert_int_equal(atomic_load(&sparse->charged_count), 1);
    assert_ptr_equal(atomic_load(&dense->owner), &heaps[0]);
    assert_int_equal(heaps[0].open_count, 1);
    expect_sound();
    expect_truth();
    /* What stayed open still serves, though its list was published. */
    add_block(&heaps[0], 2560);
    assert_ptr_equal(slab_of(block_count - 1), dense);
}

/* ---- refilling ---- */

/* Slabs of one class that this heap holds. */
static unsigned open_of_class(const struct np_heap *heap, unsigned class_index)
{
    unsigned count = 0;

    for (unsigned i = 0; i < heap->open_count; i++)
        count += heap->open[i]->class_index == class_index;
    return count;
}

enum { SIZE = 2048, CLASS = 37, PER_SLAB = 32, PER_PAGE = 2 };

static void resident_slots_are_spent_before_cold_ones(void **state)
{
    struct np_slab *own;
    struct np_slab *listed;

    (void)state;
    init_heaps();
    /* heap 1 leaves a slab with one free slot, and cold ones, in the depot. */
    for (unsigned i = 0; i < 4; i++)
        add_block(&heaps[1], SIZE);
    listed = slab_of(0);
    give_block(&heaps[1], blocks[3].memory);
    block_count = 3;
    np_heap_close_all(&heaps[1]);
    assert_int_equal(np_depot_count(CLASS), 1);
    /* heap 0 has a slab whose first page is full. It was made while none was listed. */
    own = np_slab_make(&heaps[0].home, CLASS, CLASS, NP_MAY_GROW);
    np_depot_settle(own); /* empty: gone again; the arena has its run */
    assert_int_equal(np_depot_count(CLASS), 1);
    assert_ptr_equal(np_depot_take(CLASS, 0), listed); /* put aside */
    add_block(&heaps[0], SIZE);
    add_block(&heaps[0], SIZE);
    own = slab_of(4);
    assert_true(np_shelf_is_empty(&own->shelf));
    assert_true(np_slab_is_extendable(own));
    np_depot_settle(listed);
    /* The depot's free slot comes before our cold ones. */
    add_block(&heaps[0], SIZE);
    assert_ptr_equal(slab_of(5), listed);
    /* Another heap's push into our open slab comes before anything cold. */
    give_block(&heaps[1], blocks[3].memory);
    add_block(&heaps[0], SIZE);
    assert_ptr_equal(slab_of(6), own);
    /* Now cold slots of own slabs, and no new slab. */
    for (unsigned i = 0; i < 2 * PER_SLAB - 5 - 3; i++) {
        add_block(&heaps[0], SIZE);
        assert_true(slab_of(block_count - 1) == own || slab_of(block_count - 1) == listed);
    }
    expect_sound();
}

static void a_new_slab_comes_last(void **state)
{
    (void)state;
    init_heaps();
    for (unsigned i = 0; i < PER_SLAB; i++) {
        add_block(&heaps[0], SIZE);
        assert_ptr_equal(slab_of(i), slab_of(0));
    }
    add_block(&heaps[0], SIZE);
    assert_ptr_not_equal(slab_of(PER_SLAB), slab_of(0));
    /* The exhausted one rests. */
    assert_true(np_slab_is_open(slab_of(0)));
    assert_false(np_slab_is_held(slab_of(0)));
    assert_int_equal(open_of_class(&heaps[0], CLASS), 2);
    expect_sound();
}

static void the_emptied_slab_is_given_back_unless_current(void **state)
{
    uintptr_t first;

    (void)state;
    init_heaps();
    for (unsigned i = 0; i < PER_SLAB + 1; i++)
        add_block(&heaps[0], SIZE);
    first = (uintptr_t)blocks[0].memory;
    for (unsigned i = 0; i < PER_SLAB; i++)
        give_block(&heaps[0], blocks[i].memory);
    expect_let_go(first);
    give_block(&heaps[0], blocks[PER_SLAB].memory);
    assert_non_null(np_slab_find((uintptr_t)blocks[PER_SLAB].memory));
    assert_int_equal(heaps[0].open_count, 1);
    expect_sound();
    /* It serves again without a call of the system. */
    os_fake_reset();
    (void)take_block(&heaps[0], SIZE);
    assert_int_equal(os_fake_all_calls(), 0);
}

/* The slab of a class that the heap has not used before, with one slot taken. */
static size_t resident_bytes_of_first(struct np_heap *heap, size_t size)
{
    add_block(heap, size);
    return np_slab_resident_bytes(slab_of(block_count - 1));
}

static void fill_slabs(struct np_heap *heap, unsigned count)
{
    for (; count > 0; count--)
        for (unsigned slot = 0; slot < np_classes[np_class_of(NP_SMALL_MAX_BYTES)].slot_count;
             slot++)
            (void)take_block(heap, NP_SMALL_MAX_BYTES);
}

static void a_heap_that_has_grown_populates_each_class(void **state)
{
    (void)state;
    init_heaps();
    assert_int_equal(resident_bytes_of_first(&heaps[0], 1024), NP_GRANULE_BYTES);
    fill_slabs(&heaps[0], 256);
    assert_int_equal(resident_bytes_of_first(&heaps[0], 512), 4 * NP_GRANULE_BYTES);
    fill_slabs(&heaps[0], 768);
    assert_int_equal(resident_bytes_of_first(&heaps[0], 128), 8 * NP_GRANULE_BYTES);
    assert_int_equal(resident_bytes_of_first(&heaps[1], 2048), NP_GRANULE_BYTES);
    np_heap_prepare_to_park(&heaps[0]);
    assert_int_equal(resident_bytes_of_first(&heaps[0], 4096), NP_GRANULE_BYTES);
    expect_sound();
}

/* ---- groups ---- */

/* The slot that a request of so many bytes gets. */
static unsigned slot_bytes_for(struct np_heap *heap, size_t bytes)
{
    add_block(heap, bytes);
    return slab_of(block_count - 1)->slot_bytes;
}

static void a_small_program_shares_slabs_by_groups(void **state)
{
    (void)state;
    init_heaps();
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(slot_bytes_for(&heaps[0], 1 + i), 64);
        assert_ptr_equal(slab_of(i), slab_of(0));
    }
    /* A second page is wanted: the group is halved. */
    assert_int_equal(slot_bytes_for(&heaps[0], 10), 32);
    assert_int_equal(slot_bytes_for(&heaps[0], 32), 32);
    assert_int_equal(slot_bytes_for(&heaps[0], 64), 64);
    assert_ptr_equal(slab_of(block_count - 1), slab_of(0));
    /* The larger half has its second page, and has been halved for it. */
    assert_int_equal(slot_bytes_for(&heaps[0], 40), 48);
    assert_int_equal(slot_bytes_for(&heaps[0], 10), 32);
    /* Other groups are as they were. */
    assert_int_equal(slot_bytes_for(&heaps[0], 130), 512);
    assert_int_equal(slot_bytes_for(&heaps[0], 1025), 2048);
    assert_int_equal(slot_bytes_for(&heaps[0], 2049), 4096);
    assert_int_equal(slot_bytes_for(&heaps[0], 9217), 16384);
    expect_sound();
}

static void be_alone(void)
{
    set_alone(1);
    np_heap_may_be_alone = true;
}

/* A heap that is alone keeps nothing from others: the second page halves all groups. */
static void a_heap_that_is_alone_halves_its_groups_soon(void **state)
{
    (void)state;
    init_heaps();
    be_alone();
    for (unsigned i = 0; i < 4096 / 512; i++)
        assert_int_equal(slot_bytes_for(&heaps[0], 129 + i), 512);
    assert_int_equal(slot_bytes_for(&heaps[0], 129), 256);
    assert_int_equal(slot_bytes_for(&heaps[0], 8193), 16384);
    assert_int_equal(slot_bytes_for(&heaps[0], 8193), 12288);
}

/* Slots above 128 bytes: the fifth page. */
static void a_group_of_middle_size_is_halved_at_its_fifth_page(void **state)
{
    (void)state;
    init_heaps();
    for (unsigned i = 0; i < 4 * 4096 / 512; i++) {
        assert_int_equal(slot_bytes_for(&heaps[0], 129 + i), 512);
        assert_ptr_equal(slab_of(i), slab_of(0));
    }
    assert_int_equal(slot_bytes_for(&heaps[0], 129), 256);
    assert_int_equal(slot_bytes_for(&heaps[0], 512), 512);
    assert_ptr_equal(slab_of(block_count - 1), slab_of(0));
    assert_int_equal(slot_bytes_for(&heaps[0], 1024), 1024);
    expect_sound();
}

/* Slots above 2 KiB: when the slabs that were made and not seen empty have eight units. */
static void a_group_of_large_slots_is_halved_at_its_eighth_unit(void **state)
{
    unsigned count = 0;

    (void)state;
    init_heaps();
    while (slot_bytes_for(&heaps[0], 8193) == 16384)
        count++;
    assert_int_equal(count, 3 * 8);
    assert_int_equal(slab_of(block_count - 1)->slot_bytes, 12288);
    /* The larger half has as many slabs still, and is halved in its turn. */
    assert_int_equal(slot_bytes_for(&heaps[0], 12289), 14336);
    assert_int_equal(slot_bytes_for(&heaps[0], 4097), 8192);
    while (block_count > 0)
        remove_block(&heaps[0], block_count - 1);
    /* Slabs that come and go count only while they are there. */
    for (unsigned round = 0; round < 3; round++) {
        while (block_count < 2 * 8)
            assert_int_equal(slot_bytes_for(&heaps[1], 16384 - block_count), 16384);
        while (block_count > 0)
            remove_block(&heaps[1], block_count - 1);
    }
    assert_int_equal(slot_bytes_for(&heaps[1], 8193), 16384);
    expect_sound();
}

/* The largest class may halve its group more than once. */
static void groups_end_as_single_classes(void **state)
{
    (void)state;
    init_heaps();
    split_all_groups(&heaps[0]);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++)
        assert_int_equal(slot_bytes_for(&heaps[0], np_classes[class_index].slot_bytes),
                         np_classes[class_index].slot_bytes);
    expect_sound();
}

static void a_small_program_touches_few_pages(void **state)
{
    uintptr_t start = np_align_up(os_fake_break(), 4096);

    (void)state;
    init_heaps();
    for (size_t bytes = 1; bytes <= NP_DIRECT_MAX_BYTES; bytes += 16)
        add_block(&heaps[0], bytes);
    /* 4 groups, some of which have more than a page of these. */
    assert_true(really_resident_bytes(start) <= 16 * 4 * KIB);
}

/* ---- the direct table ---- */

static void every_small_request_is_served_by_the_table(void **state)
{
    (void)state;
    init_heaps();
    split_all_groups(&heaps[1]);
    for (struct np_heap *heap = &heaps[0]; heap <= &heaps[1]; heap++) {
        assert_null(np_heap_try_take(heap, 0)); /* blocks of no bytes are not a heap's business */
        for (size_t bytes = 1; bytes <= NP_DIRECT_MAX_BYTES; bytes++) {
            void *memory = take_block(heap, bytes);
            struct np_slab *slab = open_slab_of(heap, memory);

            assert_ptr_equal(heap->direct[(bytes + NP_ALIGNMENT - 1) / NP_ALIGNMENT],
                             &slab->shelf);
            give_block(heap, memory);
            assert_sound(np_heap_audit(heap));
        }
    }
}

static void the_empty_heap_serves_nothing(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes <= NP_DIRECT_MAX_BYTES; bytes++)
        assert_null(np_heap_try_take(&np_empty_heap, bytes));
    assert_true(np_shelf_is_empty(&np_empty_slab.shelf));
    assert_null(open_slab_of(&np_empty_heap, &heaps));
}

/* ---- M_MXFAST ---- */

static void held_requests_have_a_twin_class(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_MXFAST, 120));
    init_heaps();
    np_heap_apply_knobs(&heaps[0]);
    add_block(&heaps[0], 120);
    add_block(&heaps[0], 121);
    add_block(&heaps[0], 113);
    add_block(&heaps[0], 128);
    add_block(&heaps[0], 112);
    assert_int_equal(slab_of(0)->class_index, NP_TWIN_CLASS);
    assert_int_equal(slab_of(0)->slot_bytes, 128);
    assert_int_equal(slab_of(1)->class_index, np_class_of(121));
    assert_int_equal(slab_of(1)->slot_bytes, 128);
    assert_ptr_equal(slab_of(2), slab_of(0));
    assert_ptr_equal(slab_of(3), slab_of(1));
    assert_int_equal(slab_of(4)->class_index, np_class_of(112));
    for (size_t bytes = 0; bytes < 300; bytes++) { /* through the table too */
        size_t index = block_count;

        add_block(&heaps[0], bytes);
        add_block(&heaps[0], bytes);
        for (; index < block_count; index++)
            assert_true((slab_of(index)->class_index == NP_TWIN_CLASS) ==
                        (bytes > 112 && bytes <= 120));
    }
    expect_sound();
}

/* The knob's unit is ptmalloc's: what malloc_init and mallopt of glibc make of it decides which
 * chunks are fast, and a request of r bytes has a chunk of r + 8, rounded up to 16 and at least
 * 32. */
static void the_limit_of_held_requests_is_ptmallocs(void **state)
{
    (void)state;
    for (int64_t knob = 0; knob <= 160; knob++) {
        /* set_max_fast, then get_max_fast is the largest fast chunk. */
        size_t max_fast = knob == 0 ? 16 : ((size_t)knob + 8) & ~(size_t)15;
        size_t largest = 0;

        for (size_t request = 1; request <= 300; request++) {
            size_t chunk = np_max((request + 8 + 15) & ~(size_t)15, 32);

            if (chunk <= max_fast)
                largest = request;
        }
        assert_true(np_tune_set(NP_KNOB_MXFAST, knob));
        assert_int_equal(np_mxfast_limit_bytes(), largest);
    }
}

static size_t lent_after_life(size_t bytes, int64_t mxfast)
{
    assert_true(np_tune_set(NP_KNOB_MXFAST, mxfast));
    init_heaps();
    np_heap_apply_knobs(&heaps[0]);
    while (block_count * bytes < 4 * MIB)
        add_block(&heaps[0], bytes);
    while (block_count > 0)
        remove_block(&heaps[0], block_count - 1);
    expect_sound();
    return lent_bytes();
}

static void blocks_to_120_bytes_are_held_and_larger_ones_not(void **state)
{
    (void)state;
    assert_true(lent_after_life(121, 120) <= MIB);
    np_heap_close_all(&heaps[0]);
    assert_true(lent_after_life(120, 120) >= 4 * MIB);
}

static void blocks_of_100_bytes_are_held(void **state)
{
    (void)state;
    assert_true(lent_after_life(100, 0) <= MIB);
    np_heap_close_all(&heaps[0]);
    assert_true(lent_after_life(100, 120) >= 4 * MIB);
}

/* The twin's slot size follows the limit, of which each heap learns when it refills. What has slots
 * of another limit, open or listed, becomes what it would be without one. */
static void slabs_of_another_limit_are_twins_no_more(void **state)
{
    (void)state;
    assert_true(np_tune_set(NP_KNOB_MXFAST, 120));
    init_heaps();
    add_block(&heaps[0], 120);
    add_block(&heaps[1], 120);
    np_heap_close_all(&heaps[0]);
    assert_true(np_slab_is_listed(slab_of(0)));
    assert_ptr_equal(atomic_load(&slab_of(1)->owner), &heaps[1]);
    assert_true(np_tune_set(NP_KNOB_MXFAST, 104));
    np_heap_apply_knobs(&heaps[1]);
    assert_int_equal(slab_of(1)->class_index, np_class_of(128));
    assert_null(atomic_load(&slab_of(1)->owner));
    assert_int_equal(slab_of(0)->class_index, NP_TWIN_CLASS);
    expect_sound();
    add_block(&heaps[0], 104);
    assert_int_equal(slab_of(2)->class_index, NP_TWIN_CLASS);
    assert_int_equal(slab_of(2)->slot_bytes, 112);
    assert_int_equal(slab_of(0)->class_index, np_class_of(128));
    expect_sound();
    add_block(&heaps[0], 120);
    assert_true(slab_of(3) == slab_of(0) || slab_of(3) == slab_of(1));
    expect_sound();
}

/* ---- other threads ---- */

static void some_frees_in_a_row_open_the_slab(void **state)
{
    struct np_slab *slab;

    (void)state;
    init_heaps();
    for (unsigned i = 0; i < PER_SLAB + 1; i++)
        add_block(&heaps[0], SIZE);
    slab = slab_of(0);
    np_heap_close_all(&heaps[0]);
    assert_false(np_slab_is_open(slab));
    for (unsigned i = 0; i < NP_CLAIM_COUNT; i++) {
        assert_null(atomic_load(&slab->owner));
        give_block(&heaps[1], blocks[i].memory);
    }
    assert_ptr_equal(atomic_load(&slab->owner), &heaps[1]);
    assert_int_equal(np_slab_live_count(slab), slab->slot_count - NP_CLAIM_COUNT);
    expect_sound();
    /* And it serves that heap now. */
    assert_ptr_equal(np_slab_find((uintptr_t)take_block(&heaps[1], SIZE)), slab);
}

/* A structure is of blocks of several classes, which are freed by turns. */
static void frees_of_another_class_between_do_not_count(void **state)
{
    struct np_slab *slab;
    void *others[NP_CLAIM_COUNT];

    (void)state;
    init_heaps();
    for (unsigned i = 0; i < PER_SLAB + 1; i++)
        add_block(&heaps[0], SIZE);
    slab = slab_of(0);
    for (unsigned i = 0; i < NP_CLAIM_COUNT; i++)
        others[i] = take_block(&heaps[0], SIZE / 2);
    np_heap_close_all(&heaps[0]);
    for (unsigned i = 0; i < NP_CLAIM_COUNT; i++) {
        assert_null(atomic_load(&slab->owner));
        give_block(&heaps[1], others[i]);
        give_block(&heaps[1], blocks[i].memory);
    }
    assert_ptr_equal(atomic_load(&slab->owner), &heaps[1]);
    expect_sound();
}

/* Only frees in a row into one slab say that more will follow. */
static void frees_in_turn_open_nothing(void **state)
{
    enum { SLABS = 3 };

    (void)state;
    init_heaps();
    for (unsigned i = 0; i < SLABS * PER_SLAB + 1; i++)
        add_block(&heaps[0], SIZE);
    np_heap_close_all(&heaps[0]);
    for (unsigned i = 0; i < PER_SLAB / 2; i++) {
        for (unsigned k = 0; k < SLABS; k++) {
            give_block(&heaps[1], blocks[k * PER_SLAB + i].memory);
            assert_int_equal(heaps[1].open_count, 0);
        }
        expect_sound();
    }
    for (unsigned k = 0; k < SLABS; k++)
        assert_false(np_slab_is_open(slab_of(k * PER_SLAB + PER_SLAB - 1)));
}

/* A thread without a heap opens nothing, however often it frees there. */
static void a_thread_without_a_heap_opens_nothing(void **state)
{
    struct np_slab *slab;

    (void)state;
    init_heaps();
    for (unsigned i = 0; i < PER_SLAB + 1; i++)
        add_block(&heaps[0], SIZE);
    slab = slab_of(0);
    np_heap_close_all(&heaps[0]);
    for (unsigned i = 0; i < PER_SLAB - 1; i++) {
        give_block(NULL, blocks[i].memory);
        assert_false(np_slab_is_open(slab));
    }
    give_block(NULL, blocks[PER_SLAB - 1].memory);
    expect_let_go((uintptr_t)blocks[0].memory);
    expect_sound();
}

static void a_push_into_a_held_slab_waits_for_its_holder(void **state)
{
    struct np_slab *slab;

    (void)state;
    init_heaps();
    for (unsigned i = 0; i < 3; i++)
        add_block(&heaps[0], SIZE);
    slab = slab_of(0);
    for (unsigned i = 0; i < 3; i++)
        give_block(&heaps[1], blocks[i].memory);
    assert_ptr_equal(atomic_load(&slab->owner), &heaps[0]);
    assert_int_equal(np_slab_live_count(slab), 3); /* as far as it has looked */
    np_slab_look(slab);
    assert_int_equal(np_slab_live_count(slab), 0);
    np_heap_close_all(&heaps[0]);
    expect_let_go((uintptr_t)blocks[0].memory);
    expect_sound();
}

/* A second free of a block that is free by its bit is told, and changes nothing. */
static void a_second_push_is_told(void **state)
{
    struct np_slab *slab;

    (void)state;
    init_heaps();
    for (unsigned i = 0; i < PER_SLAB + 1; i++)
        add_block(&heaps[0], SIZE);
    slab = slab_of(0);
    np_heap_close_all(&heaps[0]);
    assert_true(np_heap_push(&heaps[1], slab, blocks[0].memory));
    assert_false(np_heap_push(&heaps[1], slab, blocks[0].memory));
    assert_false(np_heap_push(NULL, slab, blocks[0].memory));
    assert_false(np_slab_is_open(slab));
    assert_true(np_heap_push(NULL, slab, blocks[1].memory));
    expect_sound();
}

/* ---- a part of the threshold ---- */

enum { WORK_FROM = 16 }; /* slabs of 64 KiB each */

/* Uses a slab of the class, of which little stays live. */
static void work_with_class(struct np_heap *heap, unsigned class_index)
{
    for (unsigned i = 0; i < np_classes[class_index].slot_count - 1U; i++)
        add_block(heap, np_classes[class_index].slot_bytes);
    for (unsigned i = 0; i < np_classes[class_index].slot_count / 8U * 7; i++)
        remove_block(heap, block_count - 1);
}

/* The same of each class from this one on, until so much is open. */
static void work_with_classes(struct np_heap *heap, unsigned class_index, size_t bytes)
{
    for (; heap->open_bytes < bytes && class_index < NP_CLASS_COUNT; class_index++)
        work_with_class(heap, class_index);
}

static void more_is_open_at_the_price_of_the_threshold(void **state)
{
    enum { LIMIT = 960 * KIB, RESERVE = 768 * KIB + NP_RETURN_SPARE_BYTES };
    size_t most = 0;

    (void)state;
    init_heaps();
    part_classes(&heaps[0]);
    part_classes(&heaps[1]);
    work_with_classes(&heaps[0], WORK_FROM, LIMIT + RESERVE - 3 * NP_UNIT_BYTES);
    assert_true(heaps[0].open_bytes > LIMIT);
    assert_true(heaps[0].reserved_bytes >= heaps[0].open_bytes - LIMIT);
    for (unsigned class_index = WORK_FROM; class_index < NP_CLASS_COUNT; class_index++) {
        work_with_class(&heaps[1], class_index);
        assert_true(heaps[0].reserved_bytes + heaps[1].reserved_bytes <= RESERVE);
        most = np_max(most, heaps[1].reserved_bytes);
    }
    assert_true(most > NP_UNIT_BYTES);
    expect_sound();
    np_heap_close_all(&heaps[0]);
    np_heap_prepare_to_park(&heaps[1]);
    assert_int_equal(heaps[0].reserved_bytes + heaps[1].reserved_bytes, 0);
    assert_true(np_return_reserve(RESERVE)); /* all of it is there again */
    assert_false(np_return_reserve(1));
    np_return_give_reserve_back(RESERVE);
    np_heap_close_all(&heaps[1]);
}

/* The first thread's heap leaves a part of its limit to whoever needs it: to others, before
 * anything comes off the threshold, and to itself. */
static void the_first_heap_leaves_a_part_of_its_limit(void **state)
{
    enum { LIMIT = 960 * KIB, RESERVE = 768 * KIB + NP_RETURN_SPARE_BYTES };

    (void)state;
    init_heaps();
    part_classes(&heaps[0]);
    part_classes(&heaps[1]);
    np_heap_be_first(&heaps[0]);
    assert_true(np_return_reserve(RESERVE + NP_LEFT_BYTES));
    assert_false(np_return_reserve(1));
    work_with_classes(&heaps[0], WORK_FROM, LIMIT);
    assert_true(heaps[0].open_bytes <= LIMIT - NP_LEFT_BYTES);
    np_return_give_reserve_back(NP_LEFT_BYTES);
    work_with_classes(&heaps[0], WORK_FROM, LIMIT - NP_UNIT_BYTES);
    assert_true(heaps[0].open_bytes > LIMIT - 2 * NP_UNIT_BYTES);
    assert_true(heaps[0].open_bytes <= LIMIT);
    expect_sound();
    np_heap_close_all(&heaps[0]);
    np_return_give_reserve_back(RESERVE);
    work_with_classes(&heaps[1], WORK_FROM, LIMIT + NP_LEFT_BYTES - NP_UNIT_BYTES);
    assert_true(heaps[1].reserved_bytes > NP_LEFT_BYTES / 2);
    expect_sound();
    np_heap_close_all(&heaps[1]);
}

/* A library that allocates before libc has set up the environment makes the heap before the
 * limit is read. */
static void a_limit_that_is_read_late_holds_for_the_first_heap(void **state)
{
    enum { LIMIT = 64 * KIB };

    (void)state;
    init_heaps();
    part_classes(&heaps[0]);
    np_heap_be_first(&heaps[0]);
    assert_true(np_tune_set(NP_KNOB_OPEN_BYTES, LIMIT));
    for (unsigned at = 0; at < 10; at++)
        work_with_class(&heaps[0], WORK_FROM + at);
    assert_true(heaps[0].open_bytes <= LIMIT);
    expect_sound();
    np_heap_close_all(&heaps[0]);
}

/* There is a reserve for few threads only. A heap that has some of it when more come closes slabs
 * for it when it grows; until then it may do without growing, whatever it frees. */
static void what_was_reserved_before_more_threads_came_stays_until_its_slabs_close(void **state)
{
    enum { LIMIT = 960 * KIB, MORE_THREADS = 5 };

    (void)state;
    init_heaps();
    part_classes(&heaps[0]);
    work_with_classes(&heaps[0], WORK_FROM, LIMIT + NP_RETURN_SPARE_BYTES + 384 * KIB);
    assert_true(heaps[0].reserved_bytes > NP_RETURN_SPARE_BYTES);
    np_return_note_threads(MORE_THREADS);
    assert_true(np_return_is_reserve_too_large());
    while (block_count > 0) {
        remove_block(&heaps[0], 0);
        assert_true(heaps[0].open_bytes <= LIMIT + heaps[0].reserved_bytes);
    }
    work_with_classes(&heaps[0], WORK_FROM, LIMIT - NP_UNIT_BYTES);
    assert_true(heaps[0].reserved_bytes <= NP_RETURN_SPARE_BYTES);
    np_return_note_threads(-MORE_THREADS);
}

/* Closed slabs could not be used again then. The heap says so until it grows again, and is
 * within its limit. */
static void a_fork_lifts_the_limit(void **state)
{
    (void)state;
    init_heaps();
    part_classes(&heaps[0]);
    atomic_store(&np_is_fork_under_way, true);
    np_depot_fork(NP_FORK_PREPARE);
    work_with_classes(&heaps[0], WORK_FROM, SIZE_MAX);
    np_depot_fork(NP_FORK_PARENT);
    atomic_store(&np_is_fork_under_way, false);
    assert_true(heaps[0].open_bytes > open_bytes_max() + heaps[0].reserved_bytes);
    assert_true(heaps[0].is_beyond_limit);
    for (unsigned i = 0; i < 100; i++)
        add_block(&heaps[0], SIZE);
    assert_false(heaps[0].is_beyond_limit);
    expect_sound(); /* the limit, too */
    while (block_count > 0)
        remove_block(&heaps[0], block_count - 1);
    expect_sound();
    expect_nothing_left();
}

static void a_threshold_that_is_set_limits_what_is_reserved(void **state)
{
    (void)state;
    init_heaps();
    part_classes(&heaps[0]);
    work_with_classes(&heaps[0], WORK_FROM, 1200 * KIB + NP_RETURN_SPARE_BYTES);
    assert_true(heaps[0].reserved_bytes > NP_RETURN_SPARE_BYTES);
    assert_true(np_tune_set(NP_KNOB_TRIM_THRESHOLD, 0));
    assert_true(np_return_is_reserve_too_large());
    assert_false(np_return_reserve(NP_UNIT_BYTES));
    while (np_return_is_reserve_too_large() && block_count < BLOCK_MAX)
        add_block(&heaps[0], SIZE);
    assert_true(heaps[0].reserved_bytes <= NP_RETURN_SPARE_BYTES);
    assert_false(np_return_is_reserve_too_large());
}

/* ---- current slabs ---- */

/* They rest like all others, and malloc takes from them as ever; and count with what their free
 * slots may retain. */
static void current_slabs_rest(void **state)
{
    struct np_slab *slab;

    (void)state;
    init_heaps();
    part_classes(&heaps[0]);
    for (unsigned i = 0; i < PER_SLAB; i++)
        add_block(&heaps[0], SIZE);
    for (unsigned i = 0; i < PER_SLAB / 2; i++)
        remove_block(&heaps[0], random_below(block_count));
    add_block(&heaps[0], SIZE); /* the slab has been exhausted, and is current again */
    slab = heaps[0].current[CLASS];
    assert_ptr_equal(slab, slab_of(block_count - 1));
    assert_false(np_slab_is_held(slab));
    assert_true(np_slab_is_current(slab));
    assert_in_range(slab->counted_granules, NP_UNIT_GRANULES / 2 - 1, NP_UNIT_GRANULES / 2 + 2);
    expect_sound();
    expect_truth();
    for (unsigned i = 0; i < PER_SLAB / 2 - 1; i++)
        add_block(&heaps[0], SIZE);
    assert_ptr_equal(slab_of(block_count - 1), slab);
    assert_int_equal(np_slab_live_count(slab), PER_SLAB);
    for (unsigned i = 0; i < PER_SLAB / 2; i++)
        remove_block(&heaps[0], random_below(block_count));
    expect_sound();
    /* One of another slab is current then, and this one no more. */
    while (heaps[0].current[CLASS] == slab)
        add_block(&heaps[0], SIZE);
    assert_false(np_slab_is_held(slab));
    assert_false(np_slab_is_current(slab));
    expect_sound();
    while (block_count > 0)
        remove_block(&heaps[0], block_count - 1);
    expect_nothing_left();
}

/* Two slots a visitor leaves to malloc, so a slab that is nearly full counts with their pages. */
static void current_slabs_count_with_two_slots_at_least(void **state)
{
    (void)state;
    init_heaps();
    part_classes(&heaps[0]);
    for (unsigned i = 0; i < 2 * PER_SLAB; i++)
        add_block(&heaps[0], SIZE);
    remove_block(&heaps[0], 0);
    add_block(&heaps[0], SIZE);
    assert_ptr_equal(heaps[0].current[CLASS], slab_of(1));
    assert_true(np_slab_is_current(slab_of(1)));
    assert_int_equal(slab_of(1)->counted_granules, 2);
    expect_sound();
    while (block_count > 0)
        remove_block(&heaps[0], block_count - 1);
    expect_nothing_left();
}

/* Where the kernel has no barrier they are held, and count whole. */
static void without_barriers_current_slabs_are_held(void **state)
{
    struct np_slab *slab;

    (void)state;
    os_fake_refuse(OS_FAKE_BARRIER);
    init_heaps();
    part_classes(&heaps[0]);
    for (unsigned i = 0; i < PER_SLAB + PER_SLAB / 2; i++)
        add_block(&heaps[0], SIZE);
    for (unsigned i = 0; i < PER_SLAB; i++)
        remove_block(&heaps[0], random_below(block_count));
    add_block(&heaps[0], SIZE);
    slab = heaps[0].current[CLASS];
    assert_true(np_slab_is_held(slab));
    assert_int_equal((size_t)slab->counted_granules << NP_GRANULE_SHIFT,
                     np_slab_resident_bytes(slab));
    expect_sound();
    expect_truth();
    os_fake_reset();
    while (block_count > 0)
        remove_block(&heaps[0], block_count - 1);
    expect_nothing_left();
}

/* What others have freed is taken from a slab that is held while there is room for all of it: they
 * go on freeing there, and need not charge it. Where there is no room it rests. */
static void what_others_free_into_is_held_while_there_is_room(void **state)
{
    (void)state;
    init_heaps();
    for (unsigned has_room = 0; has_room < 2; has_room++) {
        struct np_slab *slab;

        assert_true(np_tune_set(NP_KNOB_OPEN_BYTES, has_room ? 960 * KIB : NP_UNIT_BYTES));
        part_classes(&heaps[0]);
        add_block(&heaps[0], 4 * SIZE);
        for (unsigned i = 0; i < 2 * PER_SLAB; i++)
            add_block(&heaps[0], SIZE);
        slab = slab_of(1);
        while (heaps[0].current[CLASS] == slab)
            add_block(&heaps[0], SIZE);
        for (unsigned i = 0; i < PER_SLAB / 2; i++)
            remove_block(&heaps[1], 1);
        while (heaps[0].current[CLASS] != slab && block_count < BLOCK_MAX)
            add_block(&heaps[0], SIZE);
        assert_ptr_equal(heaps[0].current[CLASS], slab);
        assert_int_equal(np_slab_is_held(slab), has_room);
        assert_true(heaps[0].open_bytes <= (size_t)np_tune_get(NP_KNOB_OPEN_BYTES));
        expect_sound();
        while (block_count > 0)
            remove_block(&heaps[0], block_count - 1);
        np_heap_close_all(&heaps[0]);
        np_heap_close_all(&heaps[1]);
    }
}

/* Full slabs cost nothing, so there may be as many as a heap can have. */
static void no_more_are_open_than_there_is_place_for(void **state)
{
    enum { ASKED = 20 };
    const unsigned first = np_class_of(512);

    (void)state;
    init_heaps();
    part_classes(&heaps[0]);
    part_classes(&heaps[1]);
    for (unsigned at = first; at < first + ASKED; at++) {
        unsigned count = np_classes[at].slot_count;

        for (unsigned i = 0; i < count; i++)
            add_block(&heaps[1], np_classes[at].slot_bytes);
        for (unsigned i = 0; i < count / 4; i++)
            remove_block(&heaps[1], block_count - 1);
    }
    np_heap_close_all(&heaps[1]);
    while (heaps[0].open_count < NP_OPEN_MAX - 1)
        add_block(&heaps[0], np_classes[first - 1].slot_bytes);
    assert_true(np_tune_set(NP_KNOB_OPEN_BYTES, NP_UNIT_BYTES));
    for (unsigned at = first; at < first + ASKED; at++) {
        add_block(&heaps[0], np_classes[at].slot_bytes);
        assert_true(heaps[0].open_count < NP_OPEN_MAX);
        expect_sound();
    }
    while (block_count > 0)
        remove_block(&heaps[0], block_count - 1);
    expect_nothing_left();
}

/* ---- alignment ---- */

static void aligned_slots_are_aligned(void **state)
{
    (void)state;
    init_heaps();
    for (size_t alignment = 32; alignment <= NP_GRANULE_BYTES; alignment *= 2) {
        for (size_t bytes = 1; bytes < NP_SMALL_MAX_BYTES; bytes += 1 + random_below(300)) {
            unsigned char *memory =
                np_heap_take_aligned(&heaps[0], bytes, alignment, NP_MAY_GROW);

            assert_non_null(memory);
            assert_int_equal((uintptr_t)memory % alignment, 0);
            assert_true(np_slab_find((uintptr_t)memory)->slot_bytes >= bytes);
            assert_true(np_slab_slot_index(np_slab_find((uintptr_t)memory), (uintptr_t)memory) >=
                        0);
            memset(memory, 1, bytes);
            if (random_below(2) == 0)
                give_block(&heaps[random_below(HEAPS)], memory);
        }
        expect_sound();
    }
    assert_null(np_heap_take_aligned(&heaps[0], NP_SMALL_MAX_BYTES + 1, 32, NP_MAY_GROW));
}

/* What is free already serves requests of an alignment too, where it lies right; and what has
 * served them is known to have. */
static void free_slots_that_lie_right_are_taken(void **state)
{
    unsigned taken_count = 0;

    (void)state;
    init_heaps();
    for (size_t alignment = 32; alignment <= NP_GRANULE_BYTES; alignment *= 2) {
        for (size_t bytes = 0; bytes <= NP_DIRECT_MAX_BYTES + alignment; bytes++) {
            void *memory = np_heap_try_take_aligned(&heaps[0], bytes, alignment);
            const struct np_slab *slab;

            if (memory == NULL) {
                memory = np_heap_take(&heaps[0], np_max(bytes, 1), NP_MAY_GROW);
                give_block(&heaps[0], memory);
                continue;
            }
            slab = np_slab_find((uintptr_t)memory);
            assert_true(bytes > 0 && bytes <= NP_DIRECT_MAX_BYTES);
            assert_int_equal((uintptr_t)memory % alignment, 0);
            assert_true(np_slab_slot_index(slab, (uintptr_t)memory) >= 0);
            assert_true(slab->slot_bytes >= bytes);
            assert_true(np_heap_may_have_served(slab, bytes, alignment));
            taken_count++;
        }
        expect_sound();
    }
    assert_true(taken_count > NP_DIRECT_MAX_BYTES);
    assert_null(np_heap_try_take_aligned(&heaps[0], SIZE_MAX - 5, 64));
}

/* ---- the process has one thread ---- */

/* Bytes of system pages in open slabs on which nothing is live. */
static size_t retained_in_open_slabs(struct np_heap *heap)
{
    size_t bytes = 0;

    np_heap_settle(heap);
    for (unsigned i = 0; i < heap->open_count; i++)
        bytes += (size_t)np_bit_count(np_slab_free_pages(heap->open[i])) << NP_GRANULE_SHIFT;
    return bytes;
}

static size_t bytes_behind_open_slabs(const struct np_heap *heap)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < heap->open_count; i++)
        bytes += np_slab_resident_bytes(heap->open[i]);
    return bytes;
}

/* Full slabs can retain little before their owner looks, so many more than by their
 * size stay open. */
static void full_slabs_stay_open_while_nobody_else_can_free(void **state)
{
    (void)state;
    init_heaps();
    be_alone();
    while (block_count < 5000)
        add_block(&heaps[0], SIZE);
    expect_sound();
    assert_true(bytes_behind_open_slabs(&heaps[0]) > 3 * MIB);
    /* The first thread comes. */
    set_alone(0);
    np_heap_look_for_company(&heaps[0]);
    expect_sound();
    assert_true(heaps[0].open_bytes <= open_bytes_max() + heaps[0].reserved_bytes);
    assert_true(bytes_behind_open_slabs(&heaps[0]) > 3 * MIB);
    while (block_count > 0)
        remove_block(&heaps[0], random_below(block_count));
    expect_nothing_left();
}

/* Where blocks are replaced, few frees find their slab closed, though all become full time and
 * again. */
static void replaced_blocks_lie_in_open_slabs(void **state)
{
    enum { REPLACED = 20000 };
    unsigned open_count = 0;

    (void)state;
    init_heaps();
    be_alone();
    while (block_count < 5000)
        add_block(&heaps[0], SIZE);
    for (unsigned i = 0; i < REPLACED; i++) {
        size_t index = random_below(block_count);

        open_count += open_slab_of(&heaps[0], blocks[index].memory) != NULL;
        remove_block(&heaps[0], index);
        add_block(&heaps[0], SIZE);
    }
    assert_true(open_count > REPLACED / 10 * 9);
    expect_sound();
    while (block_count > 0)
        remove_block(&heaps[0], block_count - 1);
    expect_nothing_left();
}

/* What is reserved comes off the threshold, and slabs opened by frees in random order are soon
 * closed again. */
static void frees_reserve_nothing_while_there_is_one_thread(void **state)
{
    (void)state;
    init_heaps();
    be_alone();
    while (block_count < 5000)
        add_block(&heaps[0], SIZE);
    np_heap_close_all(&heaps[0]);
    while (block_count > 0) {
        remove_block(&heaps[0], random_below(block_count));
        assert_int_equal(heaps[0].reserved_bytes, 0);
    }
    expect_nothing_left();
}

/* Whatever its order, what is freed shows in the sum in time. */
static void open_slabs_retain_no_more_than_was_counted(void **state)
{
    (void)state;
    init_heaps();
    be_alone();
    for (unsigned round = 0; round < 300; round++) {
        size_t most = random_below(12000);

        while (block_count < most)
            add_block(&heaps[0], random_below(8) == 0 ? random_below(NP_SMALL_MAX_BYTES)
                                                      : random_below(600));
        while (block_count > most)
            remove_block(&heaps[0], round % 3 == 0 ? block_count - 1 : random_below(block_count));
        expect_sound();
        assert_true(retained_in_open_slabs(&heaps[0]) <= heaps[0].open_bytes);
        expect_sound();
    }
    while (block_count > 0)
        remove_block(&heaps[0], 0);
    np_heap_close_all(&heaps[0]);
    assert_int_equal(lent_bytes(), 0);
}

/* The worst that a program can do: whole pages, of all open slabs. */
static void the_worst_is_what_was_counted(void **state)
{
    size_t retained_bytes;

    (void)state;
    init_heaps();
    be_alone();
    while (block_count < 20000)
        add_block(&heaps[0], 4000); /* a slot a page */
    for (size_t i = block_count; i-- > 0;) {
        struct np_slab *slab = slab_of(i);

        if (atomic_load(&slab->owner) == &heaps[0] && i % 4 == 0)
            remove_block(&heaps[0], i);
    }
    retained_bytes = retained_in_open_slabs(&heaps[0]);
    assert_true(retained_bytes <= heaps[0].open_bytes);
    assert_true(2 * retained_bytes >= heaps[0].open_bytes); /* it does come near */
    expect_sound();
}

static void open_slabs_retain_no_more_than_was_counted_of_16k_pages(void **state)
{
    os_fake_set_page_bytes(16384);
    open_slabs_retain_no_more_than_was_counted(state);
}

/* ---- no memory ---- */

static void existing_only_asks_the_system_for_nothing(void **state)
{
    (void)state;
    init_heaps();
    assert_null(np_heap_take(&heaps[0], 100, NP_EXISTING_ONLY));
    assert_int_equal(os_fake_calls(OS_FAKE_BREAK_MOVE), 0);
    add_block(&heaps[0], 100);
    assert_non_null(np_heap_take(&heaps[0], 100, NP_EXISTING_ONLY));
    expect_sound();
}

static void without_memory_there_is_null(void **state)
{
    size_t count = 0;

    (void)state;
    init_heaps();
    os_fake_limit_break(8 * MIB);
    os_fake_refuse(OS_FAKE_RESERVE);
    while (np_heap_take(&heaps[0], 5000, NP_MAY_GROW) != NULL)
        count++;
    assert_true(count * 5000 > 6 * MIB);
    expect_sound();
    assert_null(np_heap_take(&heaps[1], 5000, NP_MAY_GROW));
    expect_sound();
}

/* However many slabs of the class are full. */
static void without_memory_a_free_slot_is_found(void **state)
{
    enum { SLOT = 1000, SLABS = 96, FREED = 200 };
    unsigned char *memory;

    (void)state;
    init_heaps();
    os_fake_limit_break(8 * MIB);
    os_fake_refuse(OS_FAKE_RESERVE);
    while ((memory = np_heap_take(&heaps[0], SLOT, NP_MAY_GROW)) != NULL)
        note_block(memory, SLOT);
    assert_true(heaps[0].open_count > SLABS);
    for (unsigned i = 0; i < FREED; i++) {
        remove_block(&heaps[0], random_below(block_count));
        add_block(&heaps[0], SLOT);
    }
    expect_sound();
    while (block_count > 0)
        remove_block(&heaps[0], block_count - 1);
    expect_nothing_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_life),
        cmocka_unit_test(random_life_with_16k_pages),
        cmocka_unit_test(random_life_with_64k_pages),
        cmocka_unit_test(random_life_with_nothing_retained),
        cmocka_unit_test(random_life_with_nothing_retained_and_64k_pages),
        cmocka_unit_test(random_life_with_little_open),
        cmocka_unit_test(random_life_with_held_blocks),
        cmocka_unit_test(the_strictest_level_looks_at_all_emptied_slabs),
        cmocka_unit_test(open_slabs_are_bounded_while_they_grow),
        cmocka_unit_test(what_a_thread_freed_itself_goes_back),
        cmocka_unit_test(what_another_thread_freed_goes_back),
        cmocka_unit_test(what_a_thread_without_heap_freed_goes_back),
        cmocka_unit_test(large_slots_go_back),
        cmocka_unit_test(the_idle_slab_is_closed_not_the_busy_one),
        cmocka_unit_test(few_entirely_free_slabs_stay_open),
        cmocka_unit_test(closing_down_to_a_size_leaves_small_slabs),
        cmocka_unit_test(closing_what_is_free_leaves_what_is_in_use),
        cmocka_unit_test(resident_slots_are_spent_before_cold_ones),
        cmocka_unit_test(a_new_slab_comes_last),
        cmocka_unit_test(the_emptied_slab_is_given_back_unless_current),
        cmocka_unit_test(a_heap_that_has_grown_populates_each_class),
        cmocka_unit_test(a_small_program_shares_slabs_by_groups),
        cmocka_unit_test(a_heap_that_is_alone_halves_its_groups_soon),
        cmocka_unit_test(a_group_of_middle_size_is_halved_at_its_fifth_page),
        cmocka_unit_test(a_group_of_large_slots_is_halved_at_its_eighth_unit),
        cmocka_unit_test(groups_end_as_single_classes),
        cmocka_unit_test(a_small_program_touches_few_pages),
        cmocka_unit_test(every_small_request_is_served_by_the_table),
        cmocka_unit_test(the_empty_heap_serves_nothing),
        cmocka_unit_test(held_requests_have_a_twin_class),
        cmocka_unit_test(slabs_of_another_limit_are_twins_no_more),
        cmocka_unit_test(the_limit_of_held_requests_is_ptmallocs),
        cmocka_unit_test(blocks_to_120_bytes_are_held_and_larger_ones_not),
        cmocka_unit_test(blocks_of_100_bytes_are_held),
        cmocka_unit_test(some_frees_in_a_row_open_the_slab),
        cmocka_unit_test(frees_of_another_class_between_do_not_count),
        cmocka_unit_test(frees_in_turn_open_nothing),
        cmocka_unit_test(a_thread_without_a_heap_opens_nothing),
        cmocka_unit_test(a_push_into_a_held_slab_waits_for_its_holder),
        cmocka_unit_test(a_second_push_is_told),
        cmocka_unit_test(more_is_open_at_the_price_of_the_threshold),
        cmocka_unit_test(the_first_heap_leaves_a_part_of_its_limit),
        cmocka_unit_test(a_limit_that_is_read_late_holds_for_the_first_heap),
        cmocka_unit_test(what_was_reserved_before_more_threads_came_stays_until_its_slabs_close),
        cmocka_unit_test(a_fork_lifts_the_limit),
        cmocka_unit_test(a_threshold_that_is_set_limits_what_is_reserved),
        cmocka_unit_test(current_slabs_rest),
        cmocka_unit_test(current_slabs_count_with_two_slots_at_least),
        cmocka_unit_test(without_barriers_current_slabs_are_held),
        cmocka_unit_test(what_others_free_into_is_held_while_there_is_room),
        cmocka_unit_test(no_more_are_open_than_there_is_place_for),
        cmocka_unit_test(aligned_slots_are_aligned),
        cmocka_unit_test(free_slots_that_lie_right_are_taken),
        cmocka_unit_test(full_slabs_stay_open_while_nobody_else_can_free),
        cmocka_unit_test(replaced_blocks_lie_in_open_slabs),
        cmocka_unit_test(frees_reserve_nothing_while_there_is_one_thread),
        cmocka_unit_test(open_slabs_retain_no_more_than_was_counted),
        cmocka_unit_test(the_worst_is_what_was_counted),
        cmocka_unit_test(open_slabs_retain_no_more_than_was_counted_of_16k_pages),
        cmocka_unit_test(existing_only_asks_the_system_for_nothing),
        cmocka_unit_test(without_memory_there_is_null),
        cmocka_unit_test(without_memory_a_free_slot_is_found),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* The slab's bits, its word and its private side: every class against what can be computed slot by
 * slot, and with several threads at once. */
#include <pthread.h>
#include <sched.h>

#include "slab_model.h"
#include "window.h"

enum { CLASS_16 = 0, CLASS_48 = 2, CLASS_64 = 3, CLASS_640 = 24, CLASS_2304 = 38, CLASS_10K = 55 };

static void *slots[SLOT_MAX];

/* All of a slab's slots in the program's hands. */
static struct np_slab *drained(unsigned class_index)
{
    struct np_slab *slab = make_with_live(class_index, slots, np_classes[class_index].slot_count);

    assert_null(take(slab));
    return slab;
}

/* ---- making and finding ---- */

static void a_fresh_slab_is_held_and_cold(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = make_slab(class_index);

        assert_true(np_slab_is_open(slab));
        assert_false(np_slab_is_listed(slab));
        assert_true(np_shelf_is_empty(&slab->shelf));
        assert_null(atomic_load(&slab->owner));
        assert_int_equal(slab->slot_count, np_classes[class_index].slot_count);
        assert_int_equal(np_slab_live_count(slab), 0);
        assert_int_equal(np_slab_private_count(slab), 0);
        assert_int_equal(word_count(slab), slab->slot_count);
        assert_int_equal(bits_set(slab), slab->slot_count);
        assert_int_equal(np_slab_resident_bytes(slab), 0);
        assert_int_equal(np_slab_free_pages(slab), 0); /* of warm ones */
        assert_int_equal(slab->start % NP_UNIT_BYTES, 0);
        assert_int_equal(
            os_fake_resident_bytes((void *)slab->start, slab->unit_count * NP_UNIT_BYTES), 0);
        assert_false(np_slab_refill(slab));
        assert_true(np_slab_is_extendable(slab));
        assert_sound(np_slab_audit(slab));
    }
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 0);
}

static void every_address_of_a_slab_finds_it(void **state)
{
    struct np_slab *small = make_slab(CLASS_48);
    struct np_slab *two_units = make_slab(CLASS_10K);
    struct np_slab *next = make_slab(CLASS_48);

    (void)state;
    assert_int_equal(two_units->unit_count, 2);
    for (uintptr_t offset = 0; offset < NP_UNIT_BYTES; offset += 1000) {
        assert_ptr_equal(np_slab_find(small->start + offset), small);
        assert_ptr_equal(np_slab_find(two_units->start + offset), two_units);
        assert_ptr_equal(np_slab_find(two_units->start + NP_UNIT_BYTES + offset), two_units);
        assert_ptr_equal(np_slab_find(next->start + offset), next);
    }
    assert_null(np_slab_find(0));
    assert_null(np_slab_find(UINTPTR_MAX));
    assert_null(np_slab_find((uintptr_t)&home));
}

static void a_destroyed_slab_is_found_no_more(void **state)
{
    struct np_slab *slab = make_slab(CLASS_10K);
    uintptr_t start = slab->start;

    (void)state;
    np_slab_destroy(slab);
    assert_null(np_slab_find(start));
    assert_null(np_slab_find(start + NP_UNIT_BYTES));
    /* Whoever still knows the record can do nothing with it. */
    assert_false(try_open(slab));
    assert_sound(np_arena_audit_all());
    /* Its record is used anew by a smaller one. */
    slab = make_slab(CLASS_48);
    assert_int_equal(slab->start, start);
    assert_ptr_equal(np_slab_find(start), slab);
    assert_null(np_slab_find(start + NP_UNIT_BYTES));
}

/* A zero record is of no slab. */
static void a_record_of_no_slab_does_not_open(void **state)
{
    struct np_slab *slab = make_slab(CLASS_48);
    struct np_slab *none = np_window_record(slab->start + 20 * NP_UNIT_BYTES);

    (void)state;
    assert_non_null(none);
    assert_false(try_open(none));
    assert_int_equal(atomic_load(&none->word), 0);
}

/* ---- where bits are ---- */

/* Of the slab's unit and its two neighbours: the bits of every plane. */
static unsigned raw_bits(const struct np_slab *slab, int unit)
{
    static const unsigned plane_counts[] = {NP_SLOT_BITS_PLANES, NP_YOUNG_PLANES};
    const _Atomic uint64_t *seen = NULL;
    unsigned count = 0;

    /* A young unit's have one of two places. */
    for (size_t i = 0; i < COUNT_OF(plane_counts); i++) {
        uint16_t plane_words;
        const _Atomic uint64_t *bits =
            np_window_slot_bits(slab->start + (uintptr_t)unit * NP_UNIT_BYTES, plane_counts[i],
                                &plane_words);

        if (bits == seen)
            break;
        seen = bits;
        for (unsigned plane = 0; plane < plane_counts[i]; plane++)
            for (unsigned word = 0; word < NP_SLOT_BITS_WORDS; word++)
                count += np_bit_count(atomic_load(bits + plane * (size_t)plane_words + word));
    }
    return count;
}

static void every_slot_has_a_bit_of_its_own(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *before = drained(class_index);
        struct np_slab *slab = drained(class_index); /* its slots are in `slots` */
        unsigned count = slab->slot_count;
        struct np_slab *after = make_with_live(class_index, (void *[SLOT_MAX]){NULL}, count);

        assert_true(before->start < slab->start && slab->start < after->start);
        assert_int_equal(raw_bits(slab, 0), 0);
        shuffle_slots(slots, count);
        for (unsigned i = 0; i < count; i++) {
            assert_false(np_slab_is_free_bit(slab, (uintptr_t)slots[i]));
            assert_int_equal(np_slab_push(slab, slots[i], NP_PUSH_ONLY), NP_PUSH_DONE);
            assert_true(np_slab_is_free_bit(slab, (uintptr_t)slots[i]));
            assert_int_equal(raw_bits(slab, 0), i + 1);
            assert_int_equal(word_count(slab), i + 1);
        }
        assert_int_equal(raw_bits(slab, -1), 0);
        assert_int_equal(raw_bits(slab, slab->unit_count), 0);
        assert_int_equal(bits_set(slab), count);
        assert_int_equal(bits_set(before) + bits_set(after), 0);
    }
}

/* The multiplication that stands for a division: for each offset that can be asked about. */
static void dividing_by_the_slot_size_is_exact(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        const struct np_slab *slab = make_slab(class_index);
        uint64_t quotient = 0;
        uint64_t end = slab->slot_bytes; /* of the offsets with this quotient */

        for (uint64_t offset = 0; offset < slab->unit_count * NP_UNIT_BYTES; offset++) {
            if (offset == end) {
                quotient++;
                end += slab->slot_bytes;
            }
            if (offset * slab->inverse >> 32 != quotient)
                fail_msg("%u / %u", (unsigned)offset, slab->slot_bytes);
        }
    }
}

/* ---- pages become free ---- */

/* Frees all slots of a closed slab in the order of `slots`: the pushes that charge it are those
 * that leave a page without a live slot, no other, and each of them; the charge is what has become
 * free (S6). */
static void push_all_watching_pages(struct np_slab *slab)
{
    unsigned live_on_page[PAGE_MAX] = {0};

    for (unsigned slot = 0; slot < slab->slot_count; slot++)
        for (unsigned page = 0; page < PAGE_MAX; page++)
            live_on_page[page] += pages_of(slab, slot) >> page & 1;
    close_slab(slab, slab->slot_count + 1U);
    /* 0, or what lies behind the last slot. */
    assert_int_equal(atomic_load(&slab->charged_count), np_bit_count(truly_free_pages(slab)));
    for (unsigned i = 0; i < slab->slot_count; i++) {
        uint32_t pages = pages_of(slab, (unsigned)np_slab_slot_index(slab, (uintptr_t)slots[i]));
        bool is_last = false;

        for (unsigned page = 0; page < PAGE_MAX; page++)
            is_last |= (pages >> page & 1) != 0 && --live_on_page[page] == 0;
        assert_int_equal(np_slab_push(slab, slots[i], NP_PUSH_ONLY),
                         is_last ? NP_PUSH_CHARGED : NP_PUSH_DONE);
        if (is_last || i % 16 == 0)
            assert_int_equal(atomic_load(&slab->charged_count),
                             np_bit_count(truly_free_pages(slab)));
    }
    assert_true(try_open(slab));
    assert_int_equal(np_slab_live_count(slab), 0);
    assert_int_equal(np_slab_free_pages(slab), warm_pages(slab));
}

static void a_page_is_free_with_its_last_slot(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = drained(class_index);

        shuffle_slots(slots, slab->slot_count);
        push_all_watching_pages(slab);
        for (unsigned i = 0; i < slab->slot_count; i++)
            slots[i] = take(slab); /* rising */
        push_all_watching_pages(slab);
        for (unsigned i = 0; i < slab->slot_count; i++)
            slots[slab->slot_count - 1U - i] = take(slab); /* falling */
        push_all_watching_pages(slab);
        np_slab_destroy(slab);
    }
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 0);
    assert_sound(np_arena_audit_all());
}

/* Pages go by whole system pages: a part of one that has no live slot is no charge yet, and the
 * push that completes it charges all of it, whatever was visited in between. */
static void a_large_page_is_charged_as_a_whole(size_t page_bytes)
{
    os_fake_set_page_bytes(page_bytes);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = drained(class_index);

        shuffle_slots(slots, slab->slot_count);
        close_slab(slab, slab->slot_count + 1U);
        for (unsigned i = 0; i < slab->slot_count; i++) {
            unsigned charged = atomic_load(&slab->charged_count);
            enum np_push push = np_slab_push(slab, slots[i], NP_PUSH_ONLY);
            unsigned free_count = np_bit_count(truly_free_pages(slab));

            assert_int_equal(push, free_count > charged ? NP_PUSH_CHARGED : NP_PUSH_DONE);
            assert_int_equal(atomic_load(&slab->charged_count), free_count);
            if (random_below(8) != 0)
                continue;
            assert_true(try_open(slab));
            purge_pages(slab, np_slab_free_pages(slab));
            close_slab(slab, slab->slot_count + 1U);
            assert_int_equal(atomic_load(&slab->charged_count), 0);
        }
    }
}

static void a_page_of_16k_is_charged_as_a_whole(void **state)
{
    (void)state;
    a_large_page_is_charged_as_a_whole(16384);
}

static void a_page_of_64k_is_charged_as_a_whole(void **state)
{
    (void)state;
    a_large_page_is_charged_as_a_whole(65536);
}

/* ---- refilling and extending ---- */

static uint32_t mask_of(uintptr_t from, uintptr_t to)
{
    uint32_t pages = 0;

    for (uintptr_t page = from / PAGE; page * PAGE < to; page++)
        pages |= UINT32_C(1) << page;
    return pages;
}

/* Every slot comes once, in rising order, from warm pages; extension warms the system pages that
 * the first cold slot lies on, and no others. */
static void grow_page_by_page(unsigned class_index, size_t page_bytes)
{
    struct np_slab *slab = make_slab(class_index);
    uintptr_t slab_bytes = slab->unit_count * NP_UNIT_BYTES;

    for (unsigned slot = 0; slot < slab->slot_count; slot++) {
        uintptr_t offset = np_slab_slot_at(slab, slot) - slab->start;
        void *memory;

        if (np_shelf_is_empty(&slab->shelf) && !np_slab_refill(slab)) {
            uint32_t cold_pages = slab->cold_pages;
            uintptr_t end = np_align_up(offset + slab->slot_bytes, page_bytes);
            uint32_t expected = mask_of(np_align_down(offset, page_bytes), np_min(end, slab_bytes));

            assert_true(np_slab_is_extendable(slab));
            assert_true(np_slab_extend(slab, 1));
            assert_int_equal(slab->cold_pages, cold_pages & ~expected);
            assert_sound(np_slab_audit(slab));
        }
        memory = pop(slab);
        assert_int_equal((uintptr_t)memory, slab->start + offset);
        assert_int_equal(pages_of(slab, slot) & slab->cold_pages, 0);
        memset(memory, 1, slab->slot_bytes);
        assert_true(os_fake_resident_bytes((void *)slab->start, slab_bytes) <=
                    np_slab_resident_bytes(slab));
    }
    assert_null(take(slab));
    assert_false(np_slab_is_extendable(slab));
    assert_false(np_slab_extend(slab, 1));
    assert_int_equal(np_slab_live_count(slab), slab->slot_count);
    assert_int_equal(np_slab_private_count(slab), 0);
    assert_int_equal(word_count(slab), 0);
    assert_int_equal(bits_set(slab), 0);
}

static void slabs_grow_by_system_pages(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++)
        grow_page_by_page(class_index, 4096);
}

static void slabs_grow_by_system_pages_of_16k(void **state)
{
    (void)state;
    os_fake_set_page_bytes(16384);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++)
        grow_page_by_page(class_index, 16384);
}

static void slabs_grow_by_system_pages_of_64k(void **state)
{
    (void)state;
    os_fake_set_page_bytes(65536);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++)
        grow_page_by_page(class_index, 65536);
}

static void a_fresh_slab_costs_one_page(void **state)
{
    struct np_slab *slab = make_slab(CLASS_64);

    (void)state;
    memset(take(slab), 1, 64);
    assert_int_equal(np_slab_resident_bytes(slab), 4096);
    assert_int_equal(os_fake_resident_bytes((void *)slab->start, NP_UNIT_BYTES), 4096);
}

/* Several granules at once, with their memory: neighbours only. */
static void extension_by_several_pages_puts_memory_there(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = make_slab(class_index);
        uintptr_t last_cold = 0xF000;

        slab->cold_pages &= ~UINT32_C(0x40); /* page 6 is warm */
        while (!np_shelf_is_empty(&slab->shelf) || np_slab_refill(slab))
            (void)pop(slab);
        assert_true(np_slab_extend(slab, 4));
        assert_int_equal(slab->cold_pages & 0x7F,
                         slab->slots_per_page != 0 ? 0x30 : slab->cold_pages & 0x30);
        assert_int_equal(slab->cold_pages & 0xF, 0);
        assert_int_equal(os_fake_resident_bytes((void *)slab->start, 4 * PAGE), 4 * PAGE);
        while (!np_shelf_is_empty(&slab->shelf) || np_slab_refill(slab))
            (void)pop(slab);
        if ((slab->cold_pages & 0x30) != 0) {
            assert_true(np_slab_extend(slab, 4)); /* two, up to the warm one */
            assert_int_equal(slab->cold_pages & 0x7F, 0);
            assert_int_equal(slab->cold_pages >> 9 & 1, 1);
        }
        assert_int_equal(os_fake_resident_bytes((void *)(slab->start + last_cold), PAGE), 0);
        assert_sound(np_slab_audit(slab));
    }
}

static void extension_by_several_pages_is_whole_system_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(16384);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = make_slab(class_index);

        while (np_slab_extend(slab, 4)) {
            uint32_t all_pages = UINT32_MAX >> (32 - page_count_of(slab));

            assert_int_equal(whole_system_pages(slab->cold_pages), slab->cold_pages);
            assert_int_equal(whole_system_pages(warm_pages(slab)), all_pages & ~slab->cold_pages);
            while (!np_shelf_is_empty(&slab->shelf) || np_slab_refill(slab))
                (void)pop(slab);
        }
        assert_int_equal(np_slab_live_count(slab), slab->slot_count);
    }
}

/* Slots of cold pages are left alone though their bits are set; what is warm comes first. */
static void cold_slots_are_not_taken(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = drained(class_index);
        uint32_t cold_pages;
        uint32_t avoided;
        unsigned cold_slots = 0;

        for (unsigned i = 0; i < slab->slot_count; i++)
            give(slab, slots[i]);
        (void)np_slab_publish(slab);
        cold_pages = np_slab_free_pages(slab) & (uint32_t)(1 + random_below(0xFFFF));
        purge_pages(slab, cold_pages);
        for (unsigned slot = 0; slot < slab->slot_count; slot++)
            cold_slots += (pages_of(slab, slot) & cold_pages) != 0;
        while (!np_shelf_is_empty(&slab->shelf) || np_slab_refill(slab)) {
            int slot = np_slab_slot_index(slab, (uintptr_t)pop(slab));

            assert_int_equal(pages_of(slab, (unsigned)slot) & cold_pages, 0);
        }
        assert_int_equal(np_slab_live_count(slab), slab->slot_count - cold_slots);
        assert_sound(np_slab_audit(slab));
        /* They come back with their pages, the lowest first. */
        avoided = cold_pages;
        while (np_slab_extend(slab, 1)) {
            uint32_t lowest = avoided & -avoided;

            assert_int_equal(slab->cold_pages & lowest, 0);
            avoided = slab->cold_pages;
            while (!np_shelf_is_empty(&slab->shelf) || np_slab_refill(slab))
                (void)pop(slab);
        }
        assert_int_equal(np_slab_live_count(slab), slab->slot_count);
    }
}

/* ---- the private list ---- */

/* P4: what a program can overrun or read does not look like an address. */
static void links_are_encoded(void **state)
{
    struct np_slab *slab = make_slab(CLASS_64);
    const struct np_slot *slot;
    unsigned near_count = 0;

    (void)state;
    (void)np_slab_extend(slab, 1);
    assert_true(slab->key != 0);
    for (slot = slab->free_slots; !np_slot_is_end(slot); slot = np_slot_next(slab, slot))
        near_count += slot->encoded_next - slab->start < NP_UNIT_BYTES;
    assert_int_equal(near_count, 0);
    assert_true(make_slab(CLASS_64)->key != slab->key);
}

static void expect_fault(const struct np_slab *slab, const char *label)
{
    const char *fault = np_slab_audit(slab);

    if (fault == NULL)
        fail_msg("the audit did not see %s broken", label);
    assert_memory_equal(fault, label, 2);
}

static void the_audit_sees_a_broken_list(void **state)
{
    struct np_slab *slab = make_slab(CLASS_64);

    (void)state;
    (void)np_slab_extend(slab, 1);
    slab->free_slots->encoded_next ^= 0x100000;
    expect_fault(slab, "S2");
    slab->free_slots->encoded_next ^= 0x100000;
    assert_null(np_slab_audit(slab));
    NP_OWNER_ADD(slab->until_notice, 1);
    expect_fault(slab, "S2");
    NP_OWNER_ADD(slab->until_notice, -1);
    assert_null(np_slab_audit(slab));
    atomic_fetch_or(&slab->bits[0], 1); /* the first slot is free twice */
    expect_fault(slab, "S2");
}

static void the_audit_sees_wrong_bits(void **state)
{
    struct np_slab *paged = make_slab(CLASS_16);
    struct np_slab *loose = make_slab(CLASS_640);

    (void)state;
    assert_null(np_slab_audit(paged));
    atomic_fetch_and(&paged->bits[5 + 3 * (size_t)paged->plane_words], ~(UINT64_C(1) << 63));
    expect_fault(paged, "S1");
    assert_null(np_slab_audit(loose));
    atomic_fetch_or(&loose->bits[1], UINT64_C(1) << 63);
    expect_fault(loose, "S2");
}

/* ---- pushing, looking, publishing ---- */

static void pushed_slots_are_collected(void **state)
{
    struct np_slab *slab = make_with_live(CLASS_64, slots, 64);

    (void)state;
    assert_true(np_shelf_is_empty(&slab->shelf));
    assert_false(np_slab_refill(slab));
    for (unsigned i = 0; i < 10; i++) {
        int count = word_count(slab);

        assert_int_equal(np_slab_push(slab, slots[i], NP_PUSH_ONLY), NP_PUSH_DONE);
        assert_int_equal(word_count(slab), count + 1);
        assert_int_equal(np_slab_live_count(slab), 64); /* the holder has not looked */
    }
    np_slab_look(slab);
    assert_int_equal(np_slab_live_count(slab), 54);
    assert_int_equal(np_slab_private_count(slab), 0);
    assert_true(np_slab_refill(slab));
    assert_int_equal(np_slab_live_count(slab), 54);
    assert_int_equal(np_slab_private_count(slab), 10);
    assert_int_equal(word_count(slab), slab->slot_count - 64);
    assert_sound(np_slab_audit(slab));
    /* Into a list that has something already. */
    for (unsigned i = 10; i < 25; i++)
        (void)np_slab_push(slab, slots[i], NP_PUSH_ONLY);
    assert_true(np_slab_refill(slab));
    assert_int_equal(np_slab_private_count(slab), 25);
    assert_sound(np_slab_audit(slab));
    for (unsigned i = 0; i < 25; i++)
        (void)pop(slab);
    assert_true(np_shelf_is_empty(&slab->shelf));
}

/* A slot that is free by its bit is free: a second push changes nothing. */
static void a_second_push_is_told(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = drained(class_index);
        unsigned count = slab->slot_count;

        for (unsigned i = 0; i < count; i += 1 + count / 20) {
            uint64_t word;

            (void)np_slab_push(slab, slots[i], NP_PUSH_ONLY);
            word = atomic_load(&slab->word);
            assert_int_equal(np_slab_push(slab, slots[i], NP_PUSH_ONLY), NP_PUSH_TWICE);
            assert_int_equal(np_slab_push(slab, slots[i], NP_PUSH_AND_OPEN), NP_PUSH_TWICE);
            assert_int_equal(atomic_load(&slab->word), word);
        }
        close_slab(slab, count);
        assert_int_equal(np_slab_push(slab, slots[0], NP_PUSH_AND_OPEN), NP_PUSH_TWICE);
        assert_false(np_slab_is_open(slab));
    }
}

/* An address inside the slab where no slot begins. */
static void a_push_of_what_is_no_slot_is_told(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = drained(class_index);

        for (uintptr_t at = 0; at < slab->unit_count * NP_UNIT_BYTES; at += 8) {
            if (np_slab_slot_index(slab, slab->start + at) >= 0)
                continue;
            assert_int_equal(np_slab_push(slab, (void *)(slab->start + at), NP_PUSH_AND_OPEN),
                             NP_PUSH_STRAY);
        }
        assert_int_equal(raw_bits(slab, 0), 0);
        assert_int_equal(word_count(slab), 0);
    }
}

/* On the private list, and pushed by somebody else: seen when the list is published. */
static int publish_what_was_freed_twice(unsigned class_index)
{
    struct np_slab *slab = make_with_live(class_index, slots, 3);

    EXPECT(np_slab_push(slab, slots[1], NP_PUSH_ONLY) == NP_PUSH_DONE);
    give(slab, slots[1]);
    (void)np_slab_publish(slab);
    return 0;
}

/* The program has written to a block that it had freed. */
static int publish_what_was_overwritten(unsigned class_index)
{
    struct np_slab *slab = make_with_live(class_index, slots, 3);

    give(slab, slots[0]);
    give(slab, slots[1]);
    memset(slots[1], 0x41, 8);
    (void)np_slab_publish(slab);
    return 0;
}

static void damage_ends_when_it_is_published(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index += 12) {
        assert_int_equal(run_in_child(publish_what_was_freed_twice, class_index), 128 + SIGABRT);
        assert_int_equal(run_in_child(publish_what_was_overwritten, class_index), 128 + SIGABRT);
    }
}

static void publishing_and_refilling_keep_the_counts(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = drained(class_index);
        unsigned count = slab->slot_count;
        unsigned free_count = 0;

        shuffle_slots(slots, count);
        for (unsigned i = 0; i < count; i++) {
            uint64_t word;

            if (i % 3 == 0)
                (void)np_slab_push(slab, slots[i], NP_PUSH_ONLY);
            else
                give(slab, slots[i]);
            free_count++;
            if (i % 7 != 0)
                continue;
            word = np_slab_publish(slab);
            assert_int_equal(word, atomic_load(&slab->word));
            assert_int_equal(np_slab_word_count(word), free_count);
            assert_true(np_shelf_is_empty(&slab->shelf));
            assert_int_equal(np_slab_private_count(slab), 0);
            assert_int_equal(np_slab_live_count(slab), count - free_count);
            assert_int_equal(bits_set(slab), free_count);
            if (i % 2 == 0)
                (void)np_slab_refill(slab);
            assert_int_equal(np_slab_private_count(slab) + bits_set(slab), free_count);
            assert_sound(np_slab_audit(slab));
        }
    }
}

/* ---- open and closed ---- */

static void a_push_into_an_open_slab_claims_nothing(void **state)
{
    struct np_slab *slab = drained(CLASS_64);

    (void)state;
    for (unsigned i = 0; i < slab->slot_count; i++)
        assert_int_equal(np_slab_push(slab, slots[i], NP_PUSH_AND_OPEN), NP_PUSH_DONE);
    assert_false(try_open(slab)); /* it is */
}

static void the_notice_decides_who_opens(void **state)
{
    struct np_slab *slab = drained(CLASS_64);
    uint64_t word = np_slab_publish(slab);

    (void)state;
    assert_true(np_slab_try_close(slab, word, 5, false));
    assert_false(np_slab_is_open(slab));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(np_slab_push(slab, slots[i], NP_PUSH_ONLY), NP_PUSH_DONE);
    assert_int_equal(np_slab_push(slab, slots[4], NP_PUSH_ONLY), NP_PUSH_CLAIMED);
    assert_true(np_slab_is_open(slab));
    assert_int_equal(np_slab_live_count(slab), slab->slot_count - 5);
    assert_int_equal(np_slab_private_count(slab), 0);
    assert_true(np_slab_refill(slab));
    assert_int_equal(np_slab_private_count(slab), 5);
    assert_sound(np_slab_audit(slab));
    /* Closed with what it has; a wish opens at once. */
    close_slab(slab, 60);
    assert_int_equal(word_count(slab), 5);
    assert_true(np_shelf_is_empty(&slab->shelf));
    assert_int_equal(np_slab_push(slab, slots[5], NP_PUSH_AND_OPEN), NP_PUSH_CLAIMED);
    assert_int_equal(np_slab_live_count(slab), slab->slot_count - 6);
    assert_sound(np_slab_audit(slab));
}

static void a_slab_that_was_pushed_into_does_not_close(void **state)
{
    struct np_slab *slab = drained(CLASS_64);
    uint64_t word = np_slab_publish(slab);

    (void)state;
    (void)np_slab_push(slab, slots[0], NP_PUSH_ONLY);
    assert_false(np_slab_try_close(slab, word, 60, false));
    assert_true(np_slab_is_open(slab));
    word = np_slab_publish(slab);
    assert_true(np_slab_try_close(slab, word, 60, false));
    assert_true(try_open(slab));
    assert_false(try_open(slab));
    assert_int_equal(np_slab_live_count(slab), slab->slot_count - 1);
    assert_true(np_slab_refill(slab));
    assert_int_equal(np_slab_private_count(slab), 1);
}

/* `listed` is in the word too: a slab that a taker has dropped meanwhile does not close as one that
 * is listed, nor is it forgotten. */
static void marks_and_holder_change_together(void **state)
{
    struct np_slab *slab = drained(CLASS_64);
    uint64_t word;

    (void)state;
    (void)np_slab_push(slab, slots[0], NP_PUSH_ONLY);
    word = np_slab_publish(slab);
    assert_true(np_slab_try_close(slab, word, slab->slot_count, true));
    assert_true(np_slab_is_listed(slab));
    assert_true(np_slab_take_listed(slab)); /* by a taker: opens it */
    assert_true(np_slab_is_open(slab));
    assert_false(np_slab_is_listed(slab));
    assert_int_equal(np_slab_live_count(slab), slab->slot_count - 1);
    word = np_slab_publish(slab);
    assert_true(np_slab_try_close(slab, word, slab->slot_count, true));
    assert_int_equal(np_slab_push(slab, slots[1], NP_PUSH_AND_OPEN), NP_PUSH_CLAIMED);
    assert_true(np_slab_is_listed(slab)); /* a claim leaves it listed */
    word = np_slab_publish(slab);
    assert_false(np_slab_take_listed(slab)); /* held: dropped */
    assert_true(np_slab_is_open(slab));
    assert_false(np_slab_is_listed(slab));
    assert_false(np_slab_try_close(slab, word, slab->slot_count, true));
    word = np_slab_publish(slab);
    assert_true(np_slab_try_close(slab, word, slab->slot_count, true));
    assert_true(try_open(slab));
    assert_true(np_slab_is_listed(slab));
    np_slab_note_unlisted(slab);
    assert_false(np_slab_is_listed(slab));
    assert_true(np_slab_is_open(slab));
    assert_int_equal(word_count(slab), 2);
}

static void the_owner_is_told_when_nothing_is_live(void **state)
{
    struct np_slab *slab = make_with_live(CLASS_64, slots, 5);

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        assert_true(slab->until_notice >= 0);
        give(slab, slots[i]);
    }
    assert_int_equal(slab->until_notice, -1);
    np_slab_set_notice(slab, 0);
    assert_int_equal(np_slab_live_count(slab), 0);
    assert_true(slab->until_notice >= 0);
    (void)pop(slab);
    np_slab_set_notice(slab, 1);
    assert_int_equal(np_slab_live_count(slab), 1);
    assert_int_equal(slab->until_notice, 0);
}

/* ---- slabs that rest ---- */

static bool is_hinted(const struct np_slab *slab);

/* A whole visit's beginning, with the barrier that a current slab needs. */
static bool try_visit(struct np_slab *slab, uint32_t *pages)
{
    struct np_stop stop;

    if (np_slab_try_visit(slab, &stop, pages))
        return true;
    return stop.slab != NULL && np_slab_finish_stop(&stop, np_barrier(), pages);
}

/* As a visitor does, up to the return of pages; those that were returned. */
static uint32_t begin_visit(struct np_slab *slab)
{
    uint32_t pages = 0;

    assert_true(try_visit(slab, &pages));
    assert_int_equal(pages, truly_free_pages(slab));
    purge_pages(slab, pages);
    return pages;
}

/* A drained slab that rests, of an owner: any address. */
static struct np_slab *resting(unsigned class_index, struct np_heap *owner)
{
    struct np_slab *slab = drained(class_index);

    atomic_store(&slab->owner, owner);
    np_slab_rest(slab, false);
    return slab;
}

/* Each slot that is free can be had once. */
static void expect_free(struct np_slab *slab, unsigned free_count)
{
    np_slab_look(slab);
    assert_int_equal(np_slab_live_count(slab), slab->slot_count - free_count);
    assert_sound(np_slab_audit(slab));
    for (unsigned i = 0; i < free_count; i++) {
        char *slot = take(slab);

        assert_non_null(slot);
        memset(slot, 0x5A, slab->slot_bytes);
    }
    assert_null(take(slab));
    for (unsigned i = 0; i < slab->slot_count; i++)
        assert_false(np_slab_is_free_bit(slab, np_slab_slot_at(slab, i)));
}

static struct np_heap *const owner_of_slabs = (struct np_heap *)(uintptr_t)0x1000;

/* What its owner and others have freed goes back though its owner does nothing, all pages of it
 * that are free as a whole; and is there again when its owner wakes it. */
static void visitors_return_pages_of_slabs_that_rest(void **state)
{
    (void)state;
    set_alone(0);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = resting(class_index, owner_of_slabs);
        unsigned count = slab->slot_count;

        shuffle_slots(slots, count);
        for (unsigned i = 1; i < count; i++) {
            if (i % 3 != 0)
                give(slab, slots[i]);
            else
                assert_int_not_equal(np_slab_push(slab, slots[i], NP_PUSH_ONLY), NP_PUSH_CLAIMED);
        }
        assert_int_not_equal(begin_visit(slab), 0);
        assert_null(atomic_load(&slab->owner));
        assert_true(np_slab_end_visit(slab));
        assert_int_equal(truly_free_pages(slab), 0);
        assert_int_equal(atomic_load(&slab->charged_count), 0);
        assert_true(np_slab_wake(slab, owner_of_slabs));
        assert_ptr_equal(atomic_load(&slab->owner), owner_of_slabs);
        expect_free(slab, count - 1);
    }
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 0);
}

/* The owner read that the slab is its own, and the first slot of the list, before the visitor came,
 * and goes on after he has returned that slot's page; also at the visit's very end. */
static void a_free_under_way_is_not_lost(void **state)
{
    (void)state;
    set_alone(0);
    for (unsigned is_late = 0; is_late < 2; is_late++)
        for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
            struct np_slab *slab = resting(class_index, owner_of_slabs);
            unsigned count = slab->slot_count;
            struct np_slot *late = slots[0];
            struct np_slot *first;

            for (unsigned i = 1; i < count; i++)
                give(slab, slots[i]);
            first = slab->free_slots;
            (void)begin_visit(slab);
            if (is_late)
                assert_true(np_slab_end_visit(slab));
            late->encoded_next = (uintptr_t)first ^ slab->key;
            slab->free_slots = late;
            slab->until_notice--;
            if (!is_late)
                assert_true(np_slab_end_visit(slab));
            /* Found at the end of the visit: its page is charged. */
            assert_true(is_late || atomic_load(&slab->charged_count) > 0);
            assert_true(is_late || atomic_load(&slab->charged_count) ==
                                       np_bit_count(truly_free_pages(slab)));
            assert_true(np_slab_is_free(slab, late));
            np_slab_check_links(slab);
            assert_true(np_slab_wake(slab, owner_of_slabs));
            expect_free(slab, count);
        }
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 0);
}

/* A handler ends the process where its thread has just woken a slab, but not put the list in order:
 * what the slots behind the tail say has gone with their pages, and is not taken for an overwritten
 * link. */
static void half_woken_slabs_look_sound(void **state)
{
    (void)state;
    set_alone(0);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = resting(class_index, owner_of_slabs);
        unsigned count = slab->slot_count;

        for (unsigned i = 1; i < count; i++)
            give(slab, slots[i]);
        assert_int_not_equal(begin_visit(slab), 0);
        assert_true(np_slab_end_visit(slab));
        atomic_fetch_and(&slab->word, ~(NP_SLAB_RESTING_BIT | NP_SLAB_TAKEN_BIT));
        np_slab_check_links(slab);
        atomic_fetch_or(&slab->word, NP_SLAB_RESTING_BIT | NP_SLAB_TAKEN_BIT);
        assert_true(np_slab_wake(slab, owner_of_slabs));
        expect_free(slab, count - 1);
    }
}

/* Its owner closes it while a visitor is there, who then has it. */
static void the_visitor_keeps_what_its_owner_leaves(void **state)
{
    struct np_slab *slab;

    (void)state;
    set_alone(0);
    slab = resting(CLASS_64, owner_of_slabs);
    for (unsigned i = 100; i < slab->slot_count; i++)
        give(slab, slots[i]);
    (void)begin_visit(slab);
    assert_false(np_slab_wake(slab, owner_of_slabs));
    assert_false(np_slab_leave(slab));
    assert_false(np_slab_end_visit(slab));
    assert_true(np_slab_is_held(slab));
    expect_free(slab, slab->slot_count - 100U);
    /* Without a visitor it is its owner's at once. */
    slab = resting(CLASS_64, owner_of_slabs);
    assert_true(np_slab_leave(slab));
    assert_true(np_slab_is_held(slab));
}

/* Others' frees charge a slab that rests, as much as they can have freed at least; and exactly
 * after a visit. */
static void others_frees_charge_a_slab_that_rests(void **state)
{
    (void)state;
    set_alone(0);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = resting(class_index, owner_of_slabs);
        unsigned slack = np_slab_slack(slab);
        unsigned count = slab->slot_count;

        for (unsigned i = 0; i < count; i++) {
            enum np_push push = np_slab_push(slab, slots[i], NP_PUSH_ONLY);
            size_t most_bytes = (i + 1 - np_min(i + 1, slack)) * (size_t)slab->slot_bytes;

            assert_true(push == NP_PUSH_DONE || push == NP_PUSH_CHARGED);
            assert_true(atomic_load(&slab->charged_count) * (size_t)PAGE >=
                        np_align_down(most_bytes, PAGE));
        }
        assert_true(is_hinted(slab));
        (void)begin_visit(slab);
        assert_true(np_slab_end_visit(slab));
        assert_int_equal(atomic_load(&slab->charged_count), 0);
        assert_true(np_slab_wake(slab, owner_of_slabs));
        expect_free(slab, count);
        /* Taken: page by page, as they become free. */
        for (unsigned i = 0; i < count; i++)
            slots[i] = (void *)np_slab_slot_at(slab, i);
        np_slab_rest(slab, false);
        (void)begin_visit(slab);
        assert_true(np_slab_end_visit(slab));
        for (unsigned i = 0; i < count; i++) {
            (void)np_slab_push(slab, slots[i], NP_PUSH_ONLY);
            assert_int_equal(atomic_load(&slab->charged_count),
                             np_bit_count(truly_free_pages(slab)));
        }
        assert_true(np_slab_wake(slab, owner_of_slabs));
    }
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 0);
}

/* ---- current slabs that rest ---- */

static struct np_slab *visited;
static void *popped[3];
static unsigned pop_count;

/* malloc's way: no further than to a mark. */
static void *pop_fast(struct np_slab *slab)
{
    return np_shelf_is_empty(&slab->shelf) ? NULL : np_shelf_pop(&slab->shelf);
}

/* malloc takes some slots between the visitor's first look and his second. */
static void pop_some(void)
{
    for (unsigned i = 0; i < pop_count; i++)
        popped[i] = pop_fast(visited);
}

/* It had read the second slot's link before that was marked, was about to store it, and does. */
static void pop_two_by_old_links(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct np_slot *slot = visited->free_slots;

        popped[i] = slot;
        visited->free_slots = np_slot_next(visited, slot);
        slot->encoded_next = 0;
        visited->until_notice++;
    }
}

/* The same, and it has not stored it yet: the second slot is the head. */
static struct np_slot *about_to_store;

static void be_about_to_pop_the_second(void)
{
    popped[0] = pop_fast(visited);
    about_to_store = np_slot_next(visited, visited->free_slots);
}

static void push_one(void)
{
    (void)np_slab_give(visited, slots[0]);
}

/* More than its owner can have been about to. */
static void push_two(void)
{
    push_one();
    (void)np_slab_give(visited, popped[0]);
}

/* A slab from which malloc takes, with all slots but one on its list. */
static struct np_slab *current_slab(unsigned class_index)
{
    struct np_slab *slab = drained(class_index);

    assert_true(np_may_barrier());
    atomic_store(&slab->owner, owner_of_slabs);
    for (unsigned i = 1; i < slab->slot_count; i++)
        give(slab, slots[i]);
    np_slab_rest(slab, true);
    visited = slab;
    return slab;
}

/* Has all slots that are free, and `taken`, once. */
static void expect_all_free(struct np_slab *slab, unsigned taken)
{
    os_fake_at_barrier(NULL);
    assert_true(np_slab_wake(slab, owner_of_slabs));
    assert_ptr_equal(atomic_load(&slab->owner), owner_of_slabs);
    expect_free(slab, slab->slot_count - taken);
    assert_int_equal(atomic_load(&slab->charged_count), 0);
}

/* All that malloc has not taken goes, but for two slots and their pages: its thread sleeps, and may
 * be about to take them. */
static void visitors_return_pages_of_current_slabs(void **state)
{
    (void)state;
    set_alone(0);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = current_slab(class_index);
        uint32_t kept = pages_of(slab, (unsigned)np_slab_slot_index(slab, (uintptr_t)slots[0]));
        const struct np_slot *first = slab->free_slots;
        const struct np_slot *second = np_slot_next(slab, first);

        kept |= pages_of(slab, (unsigned)np_slab_slot_index(slab, (uintptr_t)first));
        kept |= pages_of(slab, (unsigned)np_slab_slot_index(slab, (uintptr_t)second));
        (void)begin_visit(slab);
        kept |= slab->cold_pages;
        assert_int_equal(kept & UINT32_MAX >> (32 - slab->unit_count * 16),
                         UINT32_MAX >> (32 - slab->unit_count * 16));
        assert_true(np_slab_end_visit(slab));
        assert_true(np_slab_is_taken(slab) && np_slab_is_current(slab));
        np_slab_check_links(slab);
        assert_sound(np_slab_audit(slab));
        assert_ptr_equal(pop_fast(slab), first);
        assert_ptr_equal(pop_fast(slab), second);
        assert_null(pop_fast(slab));
        expect_all_free(slab, 3);
    }
}

/* malloc goes on meanwhile: up to the mark, which is seen; or by a link that it had read before,
 * and then the slab is as it was, and charged. */
static void malloc_goes_on_while_a_visitor_comes(void **state)
{
    (void)state;
    set_alone(0);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        unsigned pages;
        uint32_t mask;

        for (pop_count = 0; pop_count <= 3; pop_count++) {
            struct np_slab *slab = current_slab(class_index);
            bool is_sure = pop_count != 1;
            unsigned got = pop_count < 2 ? pop_count : 2;

            os_fake_at_barrier(pop_some);
            assert_int_equal(try_visit(slab, &mask), is_sure);
            if (is_sure) {
                assert_true(np_slab_end_visit(slab));
                assert_true(np_slab_is_taken(slab));
            } else {
                assert_null(atomic_load(&slab->owner)); /* its owner takes it back */
                assert_true(np_slab_is_taken(slab) && np_slab_is_current(slab));
                assert_int_equal(atomic_load(&slab->charged_count), slab->unit_count * 16U);
            }
            assert_true(pop_count < 3 || popped[2] == NULL);
            expect_all_free(slab, 1 + got);
        }
        for (unsigned is_stored = 0; is_stored < 2; is_stored++) {
            struct np_slab *slab = current_slab(class_index);

            os_fake_at_barrier(is_stored ? pop_two_by_old_links : be_about_to_pop_the_second);
            assert_false(try_visit(slab, &mask));
            pages = atomic_load(&slab->charged_count);
            assert_int_equal(pages, slab->unit_count * 16U);
            if (!is_stored) {
                popped[1] = slab->free_slots;
                slab->free_slots->encoded_next = 0;
                slab->free_slots = about_to_store;
                slab->until_notice++;
            }
            np_slab_check_links(slab);
            assert_sound(np_slab_audit(slab));
            expect_all_free(slab, 3);
        }
    }
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 0);
}

/* free was under way; the kernel refuses; a mark is there from before; malloc stopped at it. */
static void marks_that_stay_are_no_ends(void **state)
{
    (void)state;
    set_alone(0);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = current_slab(class_index);
        uint32_t pages;

        os_fake_at_barrier(push_one);
        assert_true(try_visit(slab, &pages));
        assert_true(np_slab_end_visit(slab));
        expect_all_free(slab, 0);

        slab = current_slab(class_index);
        popped[0] = pop_fast(slab);
        os_fake_at_barrier(push_two);
        assert_false(try_visit(slab, &pages));
        expect_all_free(slab, 0);

        slab = current_slab(class_index);
        os_fake_refuse(OS_FAKE_BARRIER);
        assert_false(try_visit(slab, &pages));
        os_fake_reset();
        assert_int_equal(np_slab_push(slab, slots[0], NP_PUSH_AND_OPEN), NP_PUSH_CHARGED);
        assert_true(try_visit(slab, &pages)); /* the mark is there already */
        assert_true(np_slab_end_visit(slab));
        assert_true(try_visit(slab, &pages)); /* and now the list's end is behind it */
        assert_true(np_slab_end_visit(slab));
        expect_all_free(slab, 0);

        slab = current_slab(class_index);
        os_fake_refuse(OS_FAKE_BARRIER);
        assert_false(try_visit(slab, &pages));
        os_fake_reset();
        popped[0] = pop_fast(slab);
        assert_true(try_visit(slab, &pages)); /* the first slot's link has the old mark */
        assert_true(np_slab_end_visit(slab));
        popped[1] = pop_fast(slab);
        assert_null(pop_fast(slab)); /* it stops there, too */
        assert_true(try_visit(slab, &pages));
        assert_true(np_slab_end_visit(slab));
        expect_all_free(slab, 3);

        slab = current_slab(class_index);
        os_fake_refuse(OS_FAKE_BARRIER);
        assert_false(try_visit(slab, &pages));
        os_fake_reset();
        (void)pop_fast(slab);
        (void)pop_fast(slab);
        assert_null(pop_fast(slab));
        assert_true(np_slab_wake(slab, owner_of_slabs)); /* malloc goes on where it stopped */
        assert_true(np_slab_refill(slab));
        expect_free(slab, slab->slot_count - 3U);
    }
}

static void leave_it(void)
{
    popped[0] = pop_fast(visited);
    assert_false(np_slab_leave(visited));
    atomic_store(&visited->owner, NULL);
}

/* The owner closes it when the visitor could not make sure: then it is his in any case. */
static void what_is_left_meanwhile_is_the_visitors(void **state)
{
    (void)state;
    set_alone(0);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++) {
        struct np_slab *slab = current_slab(class_index);
        uint32_t pages;

        os_fake_at_barrier(leave_it);
        assert_true(try_visit(slab, &pages));
        os_fake_at_barrier(NULL);
        assert_null(atomic_load(&slab->owner));
        assert_int_equal(atomic_load(&slab->charged_count), 0);
        assert_false(np_slab_end_visit(slab));
        assert_true(np_slab_is_held(slab));
        expect_free(slab, slab->slot_count - 2U);
    }
}

/* ---- charges ---- */

static bool is_hinted(const struct np_slab *slab)
{
    const struct np_window *window = np_window_find(slab->start);
    uintptr_t unit = (slab->start - window->base) / NP_UNIT_BYTES;

    return (atomic_load(&window->charged[unit / 64]) >> unit % 64 & 1) != 0;
}

static void charges_add_up_and_are_found_by_window(void **state)
{
    enum { COUNT = 100 };
    struct np_slab *slabs[COUNT];
    size_t sum = 0;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++)
        slabs[i] = make_slab(CLASS_64);
    for (unsigned step = 0; step < 5000; step++) {
        struct np_slab *slab = slabs[random_below(COUNT)];
        unsigned charge = random_below(3) == 0 ? 0 : (unsigned)random_below(17);

        sum += charge;
        sum -= atomic_load(&slab->charged_count);
        np_slab_charge(slab, charge);
        assert_int_equal(atomic_load(&slab->charged_count), charge);
        assert_int_equal(atomic_load(&np_slab_sums.charged_granules), sum);
        assert_int_equal(is_hinted(slab), charge > 0);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(is_hinted(slabs[i]), atomic_load(&slabs[i]->charged_count) > 0);
        np_slab_destroy(slabs[i]);
        assert_false(is_hinted(slabs[i]));
    }
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 0);
}

/* ---- what is resident when a slab comes and goes ---- */

static void residency_outlives_the_slab(size_t page_bytes)
{
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index += 7) {
        struct np_slab *slab = drained(class_index);
        uintptr_t start = slab->start;
        uint32_t all_pages = warm_pages(slab) | slab->cold_pages;
        uint32_t purged;
        uint32_t cold_pages;

        (void)make_slab(class_index); /* behind it: keeps its run from the top */
        for (unsigned i = 0; i < slab->slot_count; i++) {
            memset(slots[i], 1, slab->slot_bytes);
            give(slab, slots[i]);
        }
        (void)np_slab_publish(slab);
        purged = whole_system_pages(np_slab_free_pages(slab) & (uint32_t)random_below(0xFFFF));
        purge_pages(slab, purged);
        cold_pages = slab->cold_pages;
        np_slab_destroy(slab);
        assert_sound(np_arena_audit_all());
        assert_int_equal(np_arena_retained_bytes(),
                         (size_t)np_bit_count(all_pages & ~cold_pages) * PAGE);
        slab = make_slab(class_index);
        assert_int_equal(slab->start, start);
        assert_int_equal(slab->cold_pages, cold_pages);
        for (unsigned page = 0; page < page_count_of(slab); page++)
            if ((cold_pages >> page & 1) != 0)
                assert_int_equal(os_fake_resident_bytes((void *)(start + page * PAGE), PAGE), 0);
        assert_int_equal(np_arena_retained_bytes(), 0);
        while (take(slab) != NULL)
            ;
        assert_true(page_bytes == np_page_bytes());
    }
}

static void what_is_resident_outlives_the_slab(void **state)
{
    (void)state;
    residency_outlives_the_slab(4096);
}

static void what_is_resident_outlives_the_slab_with_16k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(16384);
    residency_outlives_the_slab(16384);
}

/* A run of which a part of a system page was touched: to the slab made there all of that page is
 * warm, or its memory would never be returned. */
static void a_page_that_is_resident_in_part_is_warm(void **state)
{
    struct np_run *run;
    struct np_slab *slab;
    uintptr_t start;

    (void)state;
    os_fake_set_page_bytes(16384);
    (void)make_slab(CLASS_64);
    run = np_run_take(&home, NP_UNIT_GRANULES, NP_UNIT_BYTES, NP_RUN_MEDIUM, NP_MAY_GROW);
    (void)make_slab(CLASS_64);
    start = run->start;
    memset((void *)start, 1, 5 * PAGE);
    np_run_give(run, 5);
    assert_int_equal(np_arena_retained_bytes(), 8 * PAGE);
    slab = make_slab(CLASS_64);
    assert_int_equal(slab->start, start);
    assert_int_equal(warm_pages(slab), 0xFF);
    (void)np_slab_publish(slab);
    assert_int_equal(np_slab_free_pages(slab), 0xFF);
}

/* ---- views ---- */

static void a_view_adds_up(void **state)
{
    struct np_slab *slab = drained(CLASS_48);
    struct np_slab_view view;
    unsigned count = slab->slot_count;

    (void)state;
    for (unsigned i = 0; i < count / 2; i++) {
        if (i % 2 == 0)
            give(slab, slots[i]);
        else
            (void)np_slab_push(slab, slots[i], NP_PUSH_ONLY);
        np_slab_view(slab, &view);
        assert_int_equal(view.slot_count, count);
        assert_int_equal(view.live_count, count - i - 1);
        assert_int_equal(view.free_count, i + 1);
        assert_int_equal(view.slot_bytes, 48);
        assert_true(view.is_open);
        assert_int_equal(view.resident_bytes, NP_UNIT_BYTES);
    }
    close_slab(slab, count);
    np_slab_view(slab, &view);
    assert_false(view.is_open);
    assert_int_equal(view.live_count, count - count / 2);
    assert_int_equal(view.free_count, count / 2);
    assert_int_equal(view.retained_bytes, NP_UNIT_BYTES / 2);
    assert_true(try_open(slab));
    purge_pages(slab, np_slab_free_pages(slab));
    close_slab(slab, count);
    np_slab_view(slab, &view);
    assert_int_equal(view.retained_bytes, 0);
    assert_int_equal(view.resident_bytes, NP_UNIT_BYTES / 2);
    assert_int_equal(view.free_count, count / 2);
}

/* ---- a random life ---- */

/* Slots in the program's hands, stamped at both ends. */
static bool is_live[SLOT_MAX];
static unsigned live_count;

static void stamp(const struct np_slab *slab, unsigned slot)
{
    unsigned char *memory = (unsigned char *)np_slab_slot_at(slab, slot);

    memset(memory, (int)(slot % 251 + 1), 8);
    memory[slab->slot_bytes - 1] = (unsigned char)(slot % 251 + 1);
}

static void expect_stamps(const struct np_slab *slab)
{
    for (unsigned slot = 0; slot < slab->slot_count; slot++) {
        const unsigned char *memory = (const unsigned char *)np_slab_slot_at(slab, slot);

        if (!is_live[slot])
            continue;
        assert_int_equal(memory[0], slot % 251 + 1);
        assert_int_equal(memory[7], slot % 251 + 1);
        assert_int_equal(memory[slab->slot_bytes - 1], slot % 251 + 1);
    }
}

static unsigned some_live_slot(const struct np_slab *slab)
{
    unsigned slot = (unsigned)random_below(slab->slot_count);

    while (!is_live[slot])
        slot = (slot + 1) % slab->slot_count;
    return slot;
}

static void expect_truth(const struct np_slab *slab)
{
    uint32_t live_pages = 0;

    assert_sound(np_slab_audit(slab));
    for (unsigned slot = 0; slot < slab->slot_count; slot++) {
        if (!is_live[slot])
            continue;
        assert_false(np_slab_is_free_bit(slab, np_slab_slot_at(slab, slot)));
        live_pages |= pages_of(slab, slot);
    }
    assert_int_equal(live_pages & slab->cold_pages, 0);
    for (const struct np_slot *slot = slab->free_slots; !np_slot_is_end(slot);
         slot = np_slot_next(slab, slot))
        assert_int_equal(pages_of(slab, (unsigned)np_slab_slot_index(slab, (uintptr_t)slot)) &
                             slab->cold_pages,
                         0);
    assert_int_equal(bits_set(slab), word_count(slab));
    assert_int_equal(bits_set(slab) + np_slab_private_count(slab) + live_count, slab->slot_count);
    for (unsigned page = 0; page < page_count_of(slab); page++)
        if ((slab->cold_pages >> page & 1) != 0)
            assert_int_equal(os_fake_resident_bytes((void *)(slab->start + page * PAGE), PAGE), 0);
}

static void free_some(struct np_slab *slab, bool is_held)
{
    for (size_t count = 1 + random_below(slab->slot_count / 4 + 1U); count > 0 && live_count > 0;
         count--) {
        unsigned slot = some_live_slot(slab);
        void *memory = (void *)np_slab_slot_at(slab, slot);

        is_live[slot] = false;
        live_count--;
        if (is_held)
            give(slab, memory);
        else if (np_slab_push(slab, memory, NP_PUSH_ONLY) == NP_PUSH_CLAIMED)
            close_slab(slab, slab->slot_count + 1U);
    }
}

static void take_some(struct np_slab *slab)
{
    for (size_t count = 1 + random_below(slab->slot_count / 4 + 1U); count > 0; count--) {
        void *memory = take(slab);
        int slot;

        if (memory == NULL)
            return;
        slot = np_slab_slot_index(slab, (uintptr_t)memory);
        assert_true(slot >= 0 && !is_live[slot]);
        is_live[slot] = true;
        live_count++;
        stamp(slab, (unsigned)slot);
    }
}

/* As a visitor of the return engine: opens a closed slab, purges, closes it. */
static void visit(struct np_slab *slab)
{
    uint32_t pages;

    assert_true(try_open(slab));
    pages = np_slab_free_pages(slab);
    assert_int_equal(pages, truly_free_pages(slab));
    purge_pages(slab, pages);
    assert_int_equal(np_slab_free_pages(slab), 0);
    close_slab(slab, slab->slot_count + 1U);
    assert_int_equal(atomic_load(&slab->charged_count), 0);
}

static void live_at_random(unsigned class_index, unsigned steps)
{
    struct np_slab *slab = make_slab(class_index);

    memset(is_live, 0, sizeof is_live);
    live_count = 0;
    for (unsigned step = 0; step < steps; step++) {
        bool is_held = np_slab_is_open(slab);

        switch (random_below(is_held ? 5 : 4)) {
        case 0:
            free_some(slab, is_held);
            break;
        case 1:
            if (is_held)
                close_slab(slab, slab->slot_count + 1U);
            else
                assert_true(try_open(slab));
            break;
        case 2:
            free_some(slab, false);
            break;
        case 3:
            if (!is_held)
                visit(slab);
            else
                take_some(slab);
            break;
        default:
            take_some(slab);
        }
        expect_truth(slab);
        expect_stamps(slab);
        if (!np_slab_is_open(slab))
            assert_int_equal(atomic_load(&slab->charged_count),
                             np_bit_count(truly_free_pages(slab)));
        else
            np_slab_charge(slab, 0); /* as a heap that owns it */
    }
    if (!np_slab_is_open(slab))
        assert_true(try_open(slab));
    while (live_count > 0)
        free_some(slab, false);
    np_slab_look(slab);
    assert_int_equal(np_slab_live_count(slab), 0);
    np_slab_destroy(slab);
    assert_sound(np_arena_audit_all());
}

static void random_life_of_every_class(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++)
        live_at_random(class_index, class_index < 4 ? 150 : 400);
}

static void random_life_with_16k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(16384);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index += 3)
        live_at_random(class_index, 300);
}

static void random_life_with_64k_pages(void **state)
{
    (void)state;
    os_fake_set_page_bytes(65536);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index += 3)
        live_at_random(class_index, 300);
}

/* ---- threads ---- */

enum { PUSHERS = 3, ROUNDS = 120 };

static struct np_slab *shared_slab;
static void *to_push[PUSHERS][SLOT_MAX];
static unsigned to_push_count[PUSHERS];
static _Atomic int round_started;
static _Atomic int pushers_done;
static _Atomic int claims;

/* Whoever is given the slab purges it now and then, and closes it again. */
static void hold_and_close(struct np_slab *slab, bool is_purging)
{
    (void)np_slab_publish(slab);
    if (is_purging)
        purge_pages(slab, np_slab_free_pages(slab));
    close_slab(slab, slab->slot_count);
}

static void *push_all(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;

    for (int round = 1; round <= ROUNDS; round++) {
        while (atomic_load(&round_started) < round)
            sched_yield();
        for (unsigned i = 0; i < to_push_count[self]; i++) {
            /* The program's last write; the next who has the slot writes there, too. */
            memset(to_push[self][i], (int)self, 16);
            if (np_slab_push(shared_slab, to_push[self][i],
                             i % 50 == 0 ? NP_PUSH_AND_OPEN : NP_PUSH_ONLY) == NP_PUSH_CLAIMED) {
                atomic_fetch_add(&claims, 1);
                hold_and_close(shared_slab, i % 2 == 0);
            }
        }
        atomic_fetch_add(&pushers_done, 1);
    }
    return NULL;
}

/* At rest: what nobody holds and has no live slot on it is charged, or cold. */
static void expect_charged_at_rest(const struct np_slab *slab)
{
    if (!np_slab_is_open(slab))
        assert_true(np_bit_count(truly_free_pages(slab)) <= atomic_load(&slab->charged_count));
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules),
                     atomic_load(&slab->charged_count));
}

/* Deals all slots of the slab to the pushers at random. */
static void deal(struct np_slab *slab)
{
    static bool is_seen[SLOT_MAX];
    unsigned count = 0;
    void *memory;

    memset(to_push_count, 0, sizeof to_push_count);
    memset(is_seen, 0, sizeof is_seen);
    for (; (memory = take(slab)) != NULL; count++) {
        size_t pusher = random_below(PUSHERS);
        int slot = np_slab_slot_index(slab, (uintptr_t)memory);

        assert_true(slot >= 0 && !is_seen[slot]);
        is_seen[slot] = true;
        memset(memory, 0xFF, 16);
        to_push[pusher][to_push_count[pusher]++] = memory;
    }
    assert_int_equal(count, slab->slot_count);
    for (size_t pusher = 0; pusher < PUSHERS; pusher++)
        shuffle_slots(to_push[pusher], to_push_count[pusher]);
}

/* The holder keeps the slab; or it is closed and visited, or left to its pushers. */
static void act_meanwhile(struct np_slab *slab, int round)
{
    while (atomic_load(&pushers_done) < PUSHERS) {
        if (round % 3 == 0) {
            (void)np_slab_refill(slab);
            if (random_below(20) == 0)
                (void)np_slab_publish(slab);
        } else if (round % 3 == 1 && try_open(slab)) {
            hold_and_close(slab, true);
        }
        sched_yield();
    }
}

/* All slots are dealt to pushers, who push them while the holder collects, closes and is robbed;
 * all come back, each once. */
static void push_from_all_sides(unsigned class_index)
{
    pthread_t pushers[PUSHERS];

    shared_slab = make_slab(class_index);
    for (size_t i = 0; i < PUSHERS; i++)
        pthread_create(&pushers[i], NULL, push_all, (void *)(uintptr_t)i);
    for (int round = 1; round <= ROUNDS; round++) {
        deal(shared_slab);
        atomic_store(&pushers_done, 0);
        if (round % 3 != 0)
            close_slab(shared_slab, 1 + (unsigned)random_below(shared_slab->slot_count));
        atomic_store(&round_started, round);
        act_meanwhile(shared_slab, round);
        expect_charged_at_rest(shared_slab);
        if (round % 3 != 0)
            assert_true(try_open(shared_slab));
        np_slab_charge(shared_slab, 0);
        np_slab_look(shared_slab);
        assert_int_equal(np_slab_live_count(shared_slab), 0);
        assert_int_equal(np_slab_private_count(shared_slab) + bits_set(shared_slab),
                         shared_slab->slot_count);
        assert_sound(np_slab_audit(shared_slab));
    }
    for (size_t i = 0; i < PUSHERS; i++)
        pthread_join(pushers[i], NULL);
    assert_true(atomic_load(&claims) > 0);
}

static void no_slot_is_lost_with_several_words_a_page(void **state)
{
    (void)state;
    push_from_all_sides(CLASS_16);
}

static void no_slot_is_lost_with_one_word_a_page(void **state)
{
    (void)state;
    push_from_all_sides(CLASS_64);
}

static void no_slot_is_lost_across_pages(void **state)
{
    (void)state;
    push_from_all_sides(CLASS_640);
}

static void no_slot_is_lost_in_two_units(void **state)
{
    (void)state;
    push_from_all_sides(CLASS_10K);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_slab_is_held_and_cold),
        cmocka_unit_test(every_address_of_a_slab_finds_it),
        cmocka_unit_test(a_destroyed_slab_is_found_no_more),
        cmocka_unit_test(a_record_of_no_slab_does_not_open),
        cmocka_unit_test(every_slot_has_a_bit_of_its_own),
        cmocka_unit_test(dividing_by_the_slot_size_is_exact),
        cmocka_unit_test(a_page_is_free_with_its_last_slot),
        cmocka_unit_test(a_page_of_16k_is_charged_as_a_whole),
        cmocka_unit_test(a_page_of_64k_is_charged_as_a_whole),
        cmocka_unit_test(slabs_grow_by_system_pages),
        cmocka_unit_test(slabs_grow_by_system_pages_of_16k),
        cmocka_unit_test(slabs_grow_by_system_pages_of_64k),
        cmocka_unit_test(a_fresh_slab_costs_one_page),
        cmocka_unit_test(extension_by_several_pages_puts_memory_there),
        cmocka_unit_test(extension_by_several_pages_is_whole_system_pages),
        cmocka_unit_test(cold_slots_are_not_taken),
        cmocka_unit_test(links_are_encoded),
        cmocka_unit_test(the_audit_sees_a_broken_list),
        cmocka_unit_test(the_audit_sees_wrong_bits),
        cmocka_unit_test(pushed_slots_are_collected),
        cmocka_unit_test(a_second_push_is_told),
        cmocka_unit_test(a_push_of_what_is_no_slot_is_told),
        cmocka_unit_test(damage_ends_when_it_is_published),
        cmocka_unit_test(publishing_and_refilling_keep_the_counts),
        cmocka_unit_test(a_push_into_an_open_slab_claims_nothing),
        cmocka_unit_test(the_notice_decides_who_opens),
        cmocka_unit_test(a_slab_that_was_pushed_into_does_not_close),
        cmocka_unit_test(marks_and_holder_change_together),
        cmocka_unit_test(the_owner_is_told_when_nothing_is_live),
        cmocka_unit_test(visitors_return_pages_of_slabs_that_rest),
        cmocka_unit_test(a_free_under_way_is_not_lost),
        cmocka_unit_test(half_woken_slabs_look_sound),
        cmocka_unit_test(the_visitor_keeps_what_its_owner_leaves),
        cmocka_unit_test(others_frees_charge_a_slab_that_rests),
        cmocka_unit_test(visitors_return_pages_of_current_slabs),
        cmocka_unit_test(malloc_goes_on_while_a_visitor_comes),
        cmocka_unit_test(marks_that_stay_are_no_ends),
        cmocka_unit_test(what_is_left_meanwhile_is_the_visitors),
        cmocka_unit_test(charges_add_up_and_are_found_by_window),
        cmocka_unit_test(what_is_resident_outlives_the_slab),
        cmocka_unit_test(what_is_resident_outlives_the_slab_with_16k_pages),
        cmocka_unit_test(a_page_that_is_resident_in_part_is_warm),
        cmocka_unit_test(a_view_adds_up),
        cmocka_unit_test(random_life_of_every_class),
        cmocka_unit_test(random_life_with_16k_pages),
        cmocka_unit_test(random_life_with_64k_pages),
        cmocka_unit_test(no_slot_is_lost_with_several_words_a_page),
        cmocka_unit_test(no_slot_is_lost_with_one_word_a_page),
        cmocka_unit_test(no_slot_is_lost_across_pages),
        cmocka_unit_test(no_slot_is_lost_in_two_units),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

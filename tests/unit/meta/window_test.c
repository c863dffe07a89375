/* From addresses to windows and slab records: for any address, with windows that share a place
 * in the table. */
#include <string.h>

#include "isolated.h"
#include "os_fake.h"
#include "window.h"

/* Windows a multiple of TABLE_REACH_BYTES apart share a place; but those of 32 bits have all places
 * of their own, and are just some windows apart. */
#if UINTPTR_MAX > UINT32_MAX
#define TABLE_REACH_BYTES ((uintptr_t)NP_WINDOW_TABLE_COUNT << NP_WINDOW_SHIFT)
#define SOME_WINDOW ((uintptr_t)0x7F12 << 32)
enum { DO_WINDOWS_SHARE_PLACES = true };
#else
#define TABLE_REACH_BYTES (2 * NP_WINDOW_BYTES)
#define SOME_WINDOW ((uintptr_t)0x58000000)
enum { DO_WINDOWS_SHARE_PLACES = false };
#endif

static const uintptr_t strange_addresses[] = {
    0,           1,           4096,        NP_WINDOW_BYTES,     TABLE_REACH_BYTES,
    UINTPTR_MAX, SOME_WINDOW, SOME_WINDOW + 1, UINTPTR_MAX / 2 + 1, UINTPTR_MAX - 0xFFFF,
};

static void unknown_addresses_are_nobodys(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(strange_addresses); i++) {
        assert_null(np_window_find(strange_addresses[i]));
        assert_null(np_window_record_fast(strange_addresses[i]));
        assert_null(np_window_record(strange_addresses[i]));
    }
}

static void a_window_is_found_from_every_address_in_it(void **state)
{
    struct np_window *window = np_window_ensure(SOME_WINDOW + 12345);

    (void)state;
    assert_non_null(window);
    assert_int_equal(window->base, SOME_WINDOW);
    for (uintptr_t offset = 0; offset < NP_WINDOW_BYTES; offset += NP_UNIT_BYTES / 2) {
        assert_ptr_equal(np_window_find(SOME_WINDOW + offset), window);
        assert_ptr_equal(np_window_record(SOME_WINDOW + offset),
                         window->records + offset / NP_UNIT_BYTES * NP_SLAB_RECORD_BYTES);
        assert_ptr_equal(np_window_record_fast(SOME_WINDOW + offset),
                         np_window_record(SOME_WINDOW + offset));
    }
    assert_null(np_window_find(SOME_WINDOW - 1));
    assert_null(np_window_find(SOME_WINDOW + NP_WINDOW_BYTES));
    assert_null(np_window_record_fast(SOME_WINDOW + TABLE_REACH_BYTES));
    assert_ptr_equal(np_window_ensure(SOME_WINDOW + NP_WINDOW_BYTES - 1), window);
}

static void windows_with_one_place_are_told_apart(void **state)
{
    enum { COUNT = 5 };
    struct np_window *windows[COUNT];

    (void)state;
    for (uintptr_t i = 0; i < COUNT; i++)
        windows[i] = np_window_ensure(SOME_WINDOW + i * TABLE_REACH_BYTES);
    for (uintptr_t i = 0; i < COUNT; i++) {
        uintptr_t address = SOME_WINDOW + i * TABLE_REACH_BYTES + 5 * NP_UNIT_BYTES;

        assert_non_null(windows[i]);
        assert_ptr_equal(np_window_find(address), windows[i]);
        assert_ptr_equal(np_window_record(address),
                         windows[i]->records + 5 * NP_SLAB_RECORD_BYTES);
        if (i == 0 || !DO_WINDOWS_SHARE_PLACES)
            assert_ptr_equal(np_window_record_fast(address), np_window_record(address));
        else
            assert_null(np_window_record_fast(address));
    }
    assert_null(np_window_find(SOME_WINDOW + COUNT * TABLE_REACH_BYTES));
}

/* Or a look-up in a large heap would take as long as the heap is large. */
static void a_list_has_the_windows_of_one_place(void **state)
{
    enum { PLACES = 3, COUNT = 4 };

    (void)state;
    if (!DO_WINDOWS_SHARE_PLACES)
        return;
    for (uintptr_t i = 0; i < (uintptr_t)PLACES * COUNT; i++)
        assert_non_null(np_window_ensure(SOME_WINDOW + i % PLACES * NP_WINDOW_BYTES +
                                         i / PLACES * TABLE_REACH_BYTES));
    for (uintptr_t place = 0; place < PLACES; place++) {
        uintptr_t base = SOME_WINDOW + place * NP_WINDOW_BYTES;
        size_t count = 0;

        for (struct np_window *window = np_window_find(base); window != NULL;
             window = atomic_load(&window->next_aside), count++)
            assert_int_equal((window->base - base) % TABLE_REACH_BYTES, 0);
        assert_int_equal(count, COUNT);
    }
}

/* Number 0 is what an empty entry looks like. */
static void the_lowest_window_is_found_when_it_is_ours(void **state)
{
    struct np_window *window;

    (void)state;
    assert_null(np_window_find(NP_GRANULE_BYTES));
    window = np_window_ensure(NP_GRANULE_BYTES);
    assert_non_null(window);
    assert_ptr_equal(np_window_find(0), window);
    assert_non_null(np_window_record(NP_UNIT_BYTES));
}

static void no_memory_is_null_and_passes(void **state)
{
    (void)state;
    os_fake_fail_next(2);
    assert_null(np_window_ensure(SOME_WINDOW));
    assert_null(np_window_find(SOME_WINDOW));
    assert_non_null(np_window_ensure(SOME_WINDOW));
    assert_int_equal(os_fake_guard_bytes(), 2 * 4096);
}

/* Where that would be one mapping too many. */
static void a_window_can_do_without_guards(void **state)
{
    (void)state;
    os_fake_fail_next(1);
    assert_non_null(np_window_ensure(SOME_WINDOW));
    assert_int_equal(os_fake_guard_bytes(), 0);
}

static void purge_some_of_a_window(size_t page_bytes)
{
    struct np_window *window = np_window_ensure(SOME_WINDOW);
    const size_t runs_bytes = NP_WINDOW_GRANULES * sizeof window->runs[0];
    const size_t records_bytes = NP_WINDOW_UNITS * NP_SLAB_RECORD_BYTES;
    const size_t run_records_bytes = NP_WINDOW_UNITS << NP_RUN_RECORD_SHIFT;
    const size_t plane_bytes = NP_SLOT_BITS_PLANE_WORDS * sizeof(uint64_t);
    const size_t unit_bits_bytes = NP_SLOT_BITS_WORDS * sizeof(uint64_t);
    size_t mapped_bytes = np_window_mapped_bytes();
    uintptr_t share = np_window_share_bytes();
    uintptr_t from = SOME_WINDOW + 2 * share;
    size_t share_units = share / NP_UNIT_BYTES;

    assert_true(share >= page_bytes / NP_SLAB_RECORD_BYTES * NP_UNIT_BYTES);
    memset((void *)window->runs, 1, runs_bytes);
    memset(window->records, 1, records_bytes);
    memset(window->run_records, 1, run_records_bytes);
    memset((void *)window->slot_bits, 1, NP_SLOT_BITS_PLANES * plane_bytes);
    np_window_purge_records(from, from + share);
    /* Less than a page of any of them: nothing. */
    np_window_purge_records(from + share + NP_UNIT_BYTES, from + share + 4 * NP_UNIT_BYTES);
    /* Nothing is known of these addresses. */
    np_window_purge_records(SOME_WINDOW + NP_WINDOW_BYTES, SOME_WINDOW + 3 * NP_WINDOW_BYTES);
    assert_int_equal(os_fake_resident_bytes((void *)window->runs, runs_bytes),
                     runs_bytes - share / NP_GRANULE_BYTES * sizeof window->runs[0]);
    assert_int_equal(os_fake_resident_bytes(window->records, records_bytes),
                     records_bytes - share_units * NP_SLAB_RECORD_BYTES);
    assert_int_equal(os_fake_resident_bytes(window->run_records, run_records_bytes),
                     run_records_bytes - (share_units << NP_RUN_RECORD_SHIFT));
    for (unsigned plane = 0; plane < NP_SLOT_BITS_PLANES; plane++) {
        const char *bits = (const char *)window->slot_bits + plane * plane_bytes;

        assert_int_equal(os_fake_resident_bytes(bits, plane_bytes),
                         plane_bytes - share_units * unit_bits_bytes);
        /* The share's, and no other's. */
        assert_int_equal(os_fake_resident_bytes(bits + 2 * share_units * unit_bits_bytes,
                                                share_units * unit_bits_bytes),
                         0);
    }
    assert_int_equal(np_window_mapped_bytes(), mapped_bytes);
    assert_int_equal(*(char *)np_window_record(from), 0);
    assert_int_equal(*(char *)np_window_record(from - 1), 1);
    assert_int_equal(*(char *)np_window_record(from + share), 1);
}

static void records_go_back_by_whole_pages(void **state)
{
    (void)state;
    purge_some_of_a_window(4096);
}

static void records_go_back_by_pages_of_16k(void **state)
{
    (void)state;
    os_fake_set_page_bytes(16384);
    purge_some_of_a_window(16384);
}

/* The address behind the highest window is 0. */
static void records_of_the_highest_window_go_back(void **state)
{
    const uintptr_t end = UINTPTR_MAX - NP_UNIT_BYTES + 1;
    const uintptr_t start = end - np_window_share_bytes();
    struct np_window *window = np_window_ensure(start);
    const size_t records_bytes = NP_WINDOW_UNITS * NP_SLAB_RECORD_BYTES;
    size_t resident_bytes;

    (void)state;
    assert_non_null(window);
    assert_ptr_equal(np_window_find(UINTPTR_MAX), window);
    memset(window->records, 1, records_bytes);
    resident_bytes = os_fake_resident_bytes(window->records, records_bytes);
    np_window_purge_records(start, end);
    assert_true(os_fake_resident_bytes(window->records, records_bytes) < resident_bytes);
}

/* Pages so large that only the records of a whole window fill them. */
static void records_of_a_window_go_back_with_64k_pages(void **state)
{
    struct np_window *window;
    size_t bytes;

    (void)state;
    os_fake_set_page_bytes(65536);
    window = np_window_ensure(SOME_WINDOW);
    assert_int_equal(np_window_share_bytes(), NP_WINDOW_BYTES);
    bytes = np_window_mapped_bytes() - 65536; /* without the header */
    memset((char *)window + 65536, 1, bytes);
    np_window_purge_records(SOME_WINDOW + NP_UNIT_BYTES, SOME_WINDOW + NP_WINDOW_BYTES);
    assert_true(os_fake_resident_bytes((char *)window + 65536, bytes) > 0);
    np_window_purge_records(SOME_WINDOW, SOME_WINDOW + NP_WINDOW_BYTES);
    assert_int_equal(os_fake_resident_bytes((char *)window + 65536, bytes), 0);
    assert_int_equal(window->base, SOME_WINDOW);
}

enum { YOUNG_FROM = 300 };

static bool is_young(uintptr_t unit)
{
    return unit >= YOUNG_FROM && unit < YOUNG_FROM + NP_YOUNG_COUNT;
}

/* Words that nobody has counted in yet. */
static void count_in_bits(uintptr_t address, unsigned plane_count)
{
    uint16_t plane_words;
    _Atomic uint64_t *bits = np_window_slot_bits(address, plane_count, &plane_words);

    assert_ptr_equal(np_window_slot_bits(address + 4096, plane_count, &plane_words), bits);
    for (unsigned plane = 0; plane < plane_count; plane++)
        for (unsigned word = 0; word < NP_SLOT_BITS_WORDS; word++)
            assert_int_equal(atomic_fetch_add(&bits[plane * (size_t)plane_words + word], 1), 0);
}

/* Each unit has words of its own in each plane, an entry for each granule and a record, inside the
 * window's bookkeeping; a young one has a second place for bits, since not all planes
 * have one near. */
static void units_have_places_of_their_own(void **state)
{
    struct np_window *window = np_window_ensure(SOME_WINDOW + YOUNG_FROM * NP_UNIT_BYTES);
    uint16_t plane_words;

    (void)state;
    assert_non_null(np_window_ensure(SOME_WINDOW + NP_WINDOW_BYTES));
    for (uintptr_t unit = 0; unit < NP_WINDOW_UNITS; unit++) {
        uintptr_t start = SOME_WINDOW + unit * NP_UNIT_BYTES;
        unsigned char *record = np_window_run_record(window, start + 4096);

        count_in_bits(start, NP_SLOT_BITS_PLANES);
        if (is_young(unit))
            count_in_bits(start, NP_YOUNG_PLANES);
        for (size_t byte = 0; byte < NP_RUN_RECORD_BYTES; byte++)
            assert_int_equal(record[byte]++, 0);
        for (uintptr_t at = start; at < start + NP_UNIT_BYTES; at += NP_GRANULE_BYTES)
            assert_null(atomic_exchange(np_window_run_entry(window, at), (struct np_run *)record));
    }
    for (uintptr_t unit = 0; unit < NP_WINDOW_UNITS; unit++)
        assert_int_equal(
            atomic_load(np_window_slot_bits(SOME_WINDOW + NP_WINDOW_BYTES + unit * NP_UNIT_BYTES,
                                            NP_YOUNG_PLANES, &plane_words)),
            0);
    assert_int_equal(window->base, SOME_WINDOW);
    assert_int_equal(atomic_load(&window->resident[NP_WINDOW_GRANULES / 64 - 1]), 0);
    assert_int_equal(*(char *)np_window_record(SOME_WINDOW + NP_WINDOW_BYTES - 1), 0);
}

/* What a slab and its run write. */
static void touch_unit(struct np_window *window, uintptr_t unit)
{
    uintptr_t start = SOME_WINDOW + unit * NP_UNIT_BYTES;

    count_in_bits(start, NP_YOUNG_PLANES);
    *(char *)np_window_run_record(window, start) = 1;
    atomic_store(np_window_run_entry(window, start + NP_GRANULE_BYTES), NULL);
}

static void a_small_program_touches_three_pages_at_most(void **state)
{
    struct np_window *window = np_window_ensure(SOME_WINDOW + YOUNG_FROM * NP_UNIT_BYTES + 5000);
    uintptr_t unit = YOUNG_FROM;

    (void)state;
    for (; unit < YOUNG_FROM + 4; unit++)
        touch_unit(window, unit);
    assert_int_equal(os_fake_resident_bytes(window, np_window_mapped_bytes()), 4096);
    for (; unit < YOUNG_FROM + NP_YOUNG_COUNT; unit++)
        touch_unit(window, unit);
    assert_int_equal(os_fake_resident_bytes(window, np_window_mapped_bytes()), 3 * 4096);
    /* From then on each kind has pages of its own: two planes, the run map, the run records. */
    touch_unit(window, unit);
    assert_int_equal(os_fake_resident_bytes(window, np_window_mapped_bytes()), 7 * 4096);
    touch_unit(window, unit + 1);
    assert_int_equal(os_fake_resident_bytes(window, np_window_mapped_bytes()), 7 * 4096);
}

/* Also those that found their place in the table taken. */
static void all_windows_are_listed_newest_first(void **state)
{
    static const uintptr_t bases[] = {
        SOME_WINDOW, SOME_WINDOW + TABLE_REACH_BYTES, 0, SOME_WINDOW + NP_WINDOW_BYTES,
        SOME_WINDOW + 2 * TABLE_REACH_BYTES,
    };
    const struct np_window *window;

    (void)state;
    assert_null(np_window_list());
    for (size_t i = 0; i < COUNT_OF(bases); i++) {
        window = np_window_ensure(bases[i]);
        assert_ptr_equal(np_window_list(), window);
        assert_ptr_equal(np_window_ensure(bases[0]), np_window_find(bases[0])); /* once */
    }
    window = np_window_list();
    for (size_t i = COUNT_OF(bases); i-- > 0; window = window->next)
        assert_int_equal(window->base, bases[i]);
    assert_null(window);
}

/* Header and bitmap, a map of a pointer a granule, the records of slabs and runs and four planes of
 * slot bits, of which nothing is touched at first. */
static void a_fresh_window_costs_a_page(void **state)
{
    struct np_window *window = np_window_ensure(SOME_WINDOW);
    const size_t map_bytes = NP_WINDOW_GRANULES * sizeof(void *);

    (void)state;
    assert_int_equal(np_window_mapped_bytes(), os_fake_committed_bytes());
    assert_int_equal(np_window_mapped_bytes(), (768 << 10) + map_bytes);
    assert_int_equal(os_fake_guard_bytes(), 2 * 4096);
    assert_int_equal(os_fake_resident_bytes(window, np_window_mapped_bytes()), 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_addresses_are_nobodys),
        cmocka_unit_test(a_window_is_found_from_every_address_in_it),
        cmocka_unit_test(windows_with_one_place_are_told_apart),
        cmocka_unit_test(a_list_has_the_windows_of_one_place),
        cmocka_unit_test(the_lowest_window_is_found_when_it_is_ours),
        cmocka_unit_test(no_memory_is_null_and_passes),
        cmocka_unit_test(a_window_can_do_without_guards),
        cmocka_unit_test(records_go_back_by_whole_pages),
        cmocka_unit_test(records_go_back_by_pages_of_16k),
        cmocka_unit_test(records_of_the_highest_window_go_back),
        cmocka_unit_test(records_of_a_window_go_back_with_64k_pages),
        cmocka_unit_test(units_have_places_of_their_own),
        cmocka_unit_test(a_small_program_touches_three_pages_at_most),
        cmocka_unit_test(all_windows_are_listed_newest_first),
        cmocka_unit_test(a_fresh_window_costs_a_page),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

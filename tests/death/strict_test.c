/* NEAP_HARDENING=2: what surrounds a block and what is left of it is known to the byte. The test
 * begins anew with that in its environment. Faults, which cmocka catches for itself, and the C++
 * forms are in crimes.cc. */
#include "death.h"

static const char freed_already[] = "double free, or free of a block never handed out";
static const char overflowed[] = "overflow: a block was written beyond its end";
static const char written_beside[] =
    "overflow or underflow: the memory beside a block was written to";
static const char overwritten[] = "a free block was overwritten";
static const char realloc_of_unknown[] =
    "realloc of a pointer that neap did not allocate, or freed before";
static const char size_of_unknown[] =
    "malloc_usable_size of a pointer that neap did not allocate, or freed before";
static const char wrong_size[] = "free with a size that the block was not asked for with";

/* Requests, and the slots that hold them with their trailers, in a process that has few such. */
static const struct {
    size_t size, slot;
} rows[] = {{2500, 4096}, {2000, 2048}, {2041, 4096}, {5000, 8192}, {16000, 16384}};

enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]) };

/* A block between others: malloc may hand out any slot of a slab, so some are taken first. */
static char *taken(size_t size)
{
    char *block = NULL;

    for (int i = 0; i < 6; i++) {
        block = api_malloc(size);
        assert_non_null(block);
        memset(block, 0x5A, size);
    }
    return block;
}

static size_t size_now;

static void write_at_end_and_free(void *pointer)
{
    ((char *)pointer)[size_now] = 0x41;
    api_free(pointer);
}

static void write_zero_at_end_and_free(void *pointer)
{
    ((char *)pointer)[size_now] = 0;
    api_free(pointer);
}

static void write_far_and_free(void *pointer)
{
    memset((char *)pointer + size_now, 0x41, 600);
    api_free(pointer);
}

static void write_at_end_and_exit(void *pointer)
{
    ((char *)pointer)[size_now] ^= 1;
    exit(0);
}

static void any_byte_beyond_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char *block = taken(rows[i].size);

        size_now = rows[i].size;
        expect_death_in(write_at_end_and_free, block, overflowed, "slot", rows[i].slot);
        expect_death_in(write_zero_at_end_and_free, block, overflowed, "slot", rows[i].slot);
        expect_death_in(write_far_and_free, block, overflowed, "slot", rows[i].slot);
        expect_death_in(write_at_end_and_exit, block, overflowed, "slot", rows[i].slot);
        api_free(block);
    }
}

static void write_before_and_free(void *pointer)
{
    ((char *)pointer)[-1] ^= 0x41;
    api_free(pointer);
}

/* The byte is the last of the slot before. */
static void a_byte_before_the_start(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char *block = taken(rows[i].size);
        char what[64];

        snprintf(what, sizeof(what), ", slot of %zu bytes", rows[i].slot);
        expect_death_at(write_before_and_free, block, written_beside,
                        (uintptr_t)block - rows[i].slot, what);
        api_free(block);
    }
}

static void a_block_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char *gone = unrelated(taken(rows[i].size));

        api_free(gone);
        expect_death_in(do_free, gone, freed_already, "slot", rows[i].slot);
        expect_death_in(do_free_elsewhere, gone, freed_already, "slot", rows[i].slot);
        expect_death_in(do_realloc, gone, realloc_of_unknown, "slot", rows[i].slot);
        expect_death_in(do_usable_size, gone, size_of_unknown, "slot", rows[i].slot);
    }
}

static void write_in_the_middle_and_exit(void *pointer)
{
    ((char *)pointer)[700] = 1;
    exit(0);
}

static void write_in_the_middle_and_trim(void *pointer)
{
    ((char *)pointer)[700] = 1;
    (void)api_malloc_trim(0);
}

static void any_byte_of_a_free_block(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char *gone = unrelated(taken(rows[i].size));

        api_free(gone);
        expect_death_in(write_in_the_middle_and_exit, gone, overwritten, "slot", rows[i].slot);
        expect_death_in(write_in_the_middle_and_trim, gone, overwritten, "slot", rows[i].slot);
    }
}

/* So much is freed that the block leaves the quarantine; then all slots of its size are taken. */
static void free_write_and_take(void *pointer)
{
    api_free(pointer);
    for (int i = 0; i < 2000; i++)
        api_free(unrelated(api_malloc(size_now < 5000 ? 5000 : 2500)));
    ((char *)pointer)[700] = 1;
    for (int i = 0; i < 2000; i++)
        (void)unrelated(api_malloc(size_now));
}

/* Whoever takes it looks at it, if nobody has before. */
static void any_byte_of_a_free_block_that_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char *block = taken(rows[i].size);

        size_now = rows[i].size;
        expect_death_in(free_write_and_take, block, overwritten, "slot", rows[i].slot);
        api_free(block);
    }
}

static void do_free_sized(void *pointer)
{
    api_free_sized(pointer, size_now);
}

static void any_other_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char *block = taken(rows[i].size);

        size_now = rows[i].size + 1;
        expect_death_in(do_free_sized, block, wrong_size, "block", rows[i].size);
        size_now = rows[i].size - 1;
        expect_death_in(do_free_sized, block, wrong_size, "block", rows[i].size);
        api_free_sized(block, rows[i].size);
    }
}

static void a_mapping(void **state)
{
    static const size_t sizes[] = {16390, 40000, 65536, 3000001};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *block = taken(sizes[i]);

        size_now = sizes[i];
        expect_death_in(write_at_end_and_free, block, overflowed, "mapping", sizes[i]);
        expect_death_in(write_zero_at_end_and_free, block, overflowed, "mapping", sizes[i]);
        block = api_realloc(block, sizes[i] - 3);
        assert_non_null(block);
        size_now = sizes[i] - 3;
        expect_death_in(write_at_end_and_free, block, overflowed, "mapping", sizes[i] - 3);
        api_free(block);
    }
}

/* Exact, so that nothing may be written that was not asked for; and free memory is zero. */
static void sizes_are_exact_and_nothing_is_left(void **state)
{
    (void)state;
    for (size_t size = 1; size < 40000; size += size / 3 + 1) {
        char *block = taken(size);

        assert_int_equal(api_malloc_usable_size(block), size);
        block = api_realloc(block, size + 1);
        assert_non_null(block);
        assert_int_equal(block[size - 1], 0x5A);
        assert_int_equal(api_malloc_usable_size(block), size + 1);
        api_free(block);
        block = api_malloc(size + 1);
        assert_non_null(block);
        for (size_t at = 0; at < size; at++)
            assert_int_equal(block[at], 0);
        api_free(block);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_byte_beyond_the_end),
        cmocka_unit_test(a_byte_before_the_start),
        cmocka_unit_test(a_block_twice),
        cmocka_unit_test(any_byte_of_a_free_block),
        cmocka_unit_test(any_byte_of_a_free_block_that_is_taken),
        cmocka_unit_test(any_other_size),
        cmocka_unit_test(a_mapping),
        cmocka_unit_test(sizes_are_exact_and_nothing_is_left),
    };

    (void)argc;
    if (getenv("NEAP_HARDENING") == NULL) {
        setenv("NEAP_HARDENING", "2", 1);
        execv("/proc/self/exe", argv);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

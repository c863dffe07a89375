/* M_MXFAST = 120 brings back what glibc does by default: freed blocks of up to 120 bytes stay,
 * those of 121 go. This is the experiment that neap began with; glibc passes it too. */
#include "api_test.h"

enum { MOST_BLOCKS = 700000 };

/* A page on which the test framework has a block cannot go; of the smallest it has so many. */
enum { PAGE_BYTES = 4096, ON_A_PAGE = PAGE_BYTES / 16 };

static char *blocks[MOST_BLOCKS];
static const size_t total_bytes = 64 * MIB;

static int hold_up_to_120(void **state)
{
    (void)state;
    memset(blocks, 1, sizeof(blocks));
    return api_mallopt(M_MXFAST, 120) == 1 ? 0 : -1;
}

/* Resident bytes at the peak and after the last free, both less those at the start. */
static void measure(size_t size, struct figures *figures)
{
    size_t resident_at_start = resident_bytes();
    size_t count = total_bytes / size;

    for (size_t i = 0; i < count; i++) {
        blocks[i] = api_malloc(size);
        memset(blocks[i], 1, size);
    }
    figures->peak_bytes = resident_bytes() - resident_at_start;
    for (size_t i = 0; i < count; i++)
        api_free(blocks[i]);
    figures->kept_bytes =
        resident_bytes() < resident_at_start ? 0 : resident_bytes() - resident_at_start;
}

static void blocks_of_121_and_more_go(void **state)
{
    static const size_t sizes[] = {121, 200, 500};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct figures figures = measured_apart(measure, sizes[i]);

        if (figures.kept_bytes > figures.peak_bytes / 20)
            fail_msg("%zu: %zu of %zu bytes stay", sizes[i], figures.kept_bytes,
                     figures.peak_bytes);
    }
}

static void measure_and_trim(size_t size, struct figures *figures)
{
    measure(size, figures);
    COMPLAIN_UNLESS(figures, api_mallinfo2().smblks >= total_bytes / size / 10 * 9);
    COMPLAIN_UNLESS(figures, api_mallinfo2().fsmblks >= total_bytes / 10 * 9);
    COMPLAIN_UNLESS(figures, api_malloc_trim(0) == 1);
    COMPLAIN_UNLESS(figures, api_mallinfo2().smblks < ON_A_PAGE);
    COMPLAIN_UNLESS(figures, api_mallinfo2().fsmblks < PAGE_BYTES);
}

static void blocks_of_100_and_120_stay(void **state)
{
    static const size_t sizes[] = {100, 120};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct figures figures = measured_apart(measure_and_trim, sizes[i]);

        if (figures.kept_bytes < figures.peak_bytes / 10 * 9)
            fail_msg("%zu: only %zu of %zu bytes stay", sizes[i], figures.kept_bytes,
                     figures.peak_bytes);
    }
}

/* What was held and then trimmed is ordinary memory again. */
static void blocks_that_were_held_are_used_again(void **state)
{
    struct figures figures;
    size_t resident_at_start = resident_bytes();

    (void)state;
    for (unsigned round = 0; round < 4; round++)
        measure(100, &figures);
    assert_true(resident_bytes() < resident_at_start + 2 * total_bytes);
    assert_int_equal(api_malloc_trim(0), 1);
    assert_true(resident_bytes() < resident_at_start + 4 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_121_and_more_go),
        cmocka_unit_test(blocks_of_100_and_120_stay),
        cmocka_unit_test(blocks_that_were_held_are_used_again),
    };

    return cmocka_run_group_tests(tests, hold_up_to_120, NULL);
}

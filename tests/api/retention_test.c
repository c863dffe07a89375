/* What neap is for: after the last free the memory is gone, with no call and no waiting. */
#include "api_test.h"

enum { MOST_BLOCKS = 2800000 };

static char *blocks[MOST_BLOCKS];
static const size_t total_bytes = 64 * MIB;

static int touch_the_table(void **state)
{
    (void)state;
    memset(blocks, 1, sizeof(blocks));
    return 0;
}

static void allocate(size_t size, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        blocks[i] = api_malloc(size);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, size);
    }
}

static void expect_returned(size_t size, size_t resident_at_start)
{
    size_t resident = resident_bytes();

    if (resident > resident_at_start + 2 * MIB)
        fail_msg("%zu: %zu KiB stay", size, (resident - resident_at_start) / KIB);
}

static const size_t sizes[] = {24,   100,   120,   121,    128,    500,     1024,
                               4096, 10240, 16384, 16385, 100000, 1000000, 20000000};

static void freed_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t resident_at_start = resident_bytes();
        size_t count = total_bytes / sizes[i];

        allocate(sizes[i], count);
        assert_true(resident_bytes() >= resident_at_start + count * sizes[i] / 10 * 9);
        for (size_t k = 0; k < count; k++)
            api_free(blocks[k]);
        expect_returned(sizes[i], resident_at_start);
    }
}

static void freed_in_reverse(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t resident_at_start = resident_bytes();
        size_t count = total_bytes / sizes[i];

        allocate(sizes[i], count);
        for (size_t k = count; k-- > 0;)
            api_free(blocks[k]);
        expect_returned(sizes[i], resident_at_start);
    }
}

/* One small block is held that was allocated when all the others were there: it pins one page. */
static void freed_below_a_pin(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t resident_at_start = resident_bytes();
        size_t count = total_bytes / sizes[i];
        char *pin;

        allocate(sizes[i], count);
        pin = api_malloc(40);
        assert_non_null(pin);
        pattern_fill(pin, 40, 8);
        for (size_t k = 0; k < count; k++)
            api_free(blocks[k]);
        expect_returned(sizes[i], resident_at_start);
        assert_true(pattern_holds(pin, 40, 8));
        api_free(pin);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freed_in_order),
        cmocka_unit_test(freed_in_reverse),
        cmocka_unit_test(freed_below_a_pin),
    };

    return cmocka_run_group_tests(tests, touch_the_table, NULL);
}

/* Where the kernel makes huge pages unasked, what was returned must not come back with what is
 * used next to it. The program asks for them here, so that it makes no difference how the kernel
 * is set. */
#include "api_test.h"

#include <stdio.h>

enum { SMALL_COUNT = 100, SMALL_BYTES = 100000, GROWTH_COUNT = 100, GROWTH_BYTES = 300000 };

#define BIG_BYTES (30 * MIB)

static char *make_big(void)
{
    char *big = api_malloc(BIG_BYTES);
    /* Of any system page. */
    uintptr_t first = ((uintptr_t)big + 64 * KIB - 1) & ~(uintptr_t)(64 * KIB - 1);

    assert_non_null(big);
    (void)madvise((void *)first, BIG_BYTES - 64 * KIB, MADV_HUGEPAGE);
    memset(big, 1, BIG_BYTES);
    return big;
}

static size_t mapping_count(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    size_t count = 0;

    assert_non_null(maps);
    for (int byte; (byte = getc(maps)) != EOF;)
        count += byte == '\n';
    fclose(maps);
    return count;
}

static void holes_are_not_refilled(void **state)
{
    char *big;
    char *above;
    size_t resident;
    size_t mappings;

    (void)state;
    assert_int_equal(api_mallopt(M_MMAP_THRESHOLD, (int)(31 * MIB)), 1);
    big = make_big();
    above = make_big();
    api_free(big);
    resident = resident_bytes();
    for (unsigned i = 0; i < SMALL_COUNT; i++)
        *(char *)api_malloc(SMALL_BYTES) = 1;
    assert_in_range(resident_bytes(), 0, resident + 2 * MIB); /* of 10 */
    /* Nor is each growth a mapping of its own. */
    mappings = mapping_count();
    for (unsigned i = 0; i < GROWTH_COUNT; i++)
        memset(api_malloc(GROWTH_BYTES), 1, GROWTH_BYTES);
    assert_in_range(mapping_count(), 0, mappings + 10);
    assert_int_equal(above[BIG_BYTES - 1], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(holes_are_not_refilled)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

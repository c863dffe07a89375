/* The mmap threshold follows the program until something sets it, as in glibc. */
#include "api_test.h"

static bool is_mapped(size_t size)
{
    size_t before = api_mallinfo2().hblks;
    void *block = api_malloc(size);
    bool answer = api_mallinfo2().hblks > before;

    assert_non_null(block);
    /* Kept: to free it would move the threshold. The groups are few and the processes short. */
    (void)block;
    return answer;
}

static void free_mapped(size_t size)
{
    size_t before = api_mallinfo2().hblks;
    void *block = api_malloc(size);

    assert_non_null(block);
    assert_int_equal(api_mallinfo2().hblks, before + 1);
    api_free(block);
}

/* glibc counts the header that a block has, and takes the first few from what is free. */
static void it_begins_at_128_kib(void **state)
{
    unsigned tries = 8;

    (void)state;
    for (unsigned i = 0; i < 2 * tries; i++)
        assert_false(is_mapped(128 * KIB - 32));
    while (!is_mapped(128 * KIB))
        assert_true(--tries > 0);
}

static void freeing_a_mapped_block_raises_it(void **state)
{
    (void)state;
    free_mapped(5 * MIB);
    assert_false(is_mapped(4 * MIB));
    assert_true(is_mapped(6 * MIB));
}

static void not_beyond_32_mib(void **state)
{
    (void)state;
    free_mapped(40 * MIB);
    assert_true(is_mapped(36 * MIB));
}

static void setting_one_of_four_freezes_it(void **state)
{
    (void)state;
    free_mapped(7 * MIB);
    assert_int_equal(api_mallopt(M_TOP_PAD, 64 * 1024), 1);
    free_mapped(20 * MIB);
    assert_true(is_mapped(19 * MIB));
    assert_false(is_mapped(6 * MIB));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_at_128_kib),
        cmocka_unit_test(freeing_a_mapped_block_raises_it),
        cmocka_unit_test(not_beyond_32_mib),
        cmocka_unit_test(setting_one_of_four_freezes_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Arithmetic on sizes and addresses, against definitions that are too slow to use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bits.h"
#include "limits.h"

static void alignment_is_the_nearest_multiple(void **state)
{
    (void)state;
    for (size_t alignment = 1; alignment <= 64; alignment *= 2) {
        for (size_t value = 0; value < 300; value++) {
            assert_int_equal(np_align_down(value, alignment), value / alignment * alignment);
            assert_int_equal(np_align_up(value, alignment),
                             (value + alignment - 1) / alignment * alignment);
        }
    }
    assert_int_equal(np_align_down(SIZE_MAX, 4096), SIZE_MAX - 4095);
    assert_int_equal(np_align_up(SIZE_MAX - 4095, 4096), SIZE_MAX - 4095);
}

static void powers_of_two_have_one_bit(void **state)
{
    (void)state;
    for (size_t value = 0; value < 5000; value++) {
        unsigned bit_count = 0;

        for (size_t rest = value; rest != 0; rest /= 2)
            bit_count += rest % 2;
        assert_int_equal(np_is_power_of_two(value), bit_count == 1);
    }
    assert_true(np_is_power_of_two(SIZE_MAX / 2 + 1));
    assert_false(np_is_power_of_two(SIZE_MAX));
}

static void logarithm_is_the_highest_bit(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 8 * sizeof(size_t); bit++) {
        size_t power = (size_t)1 << bit;

        assert_int_equal(np_log2_floor(power), bit);
        assert_int_equal(np_log2_floor(power | (power - 1)), bit);
        if (bit > 1)
            assert_int_equal(np_log2_floor(power + 1), bit);
    }
}

static void smaller_and_larger(void **state)
{
    (void)state;
    assert_int_equal(np_min(1, 2), 1);
    assert_int_equal(np_min(SIZE_MAX, 2), 2);
    assert_int_equal(np_max(1, 2), 2);
    assert_int_equal(np_max(SIZE_MAX, 2), SIZE_MAX);
}

/* Window and slab addresses differ in few, high bits; the low bits of their images must differ
 * all the same. */
static void mixing_spreads_addresses(void **state)
{
    enum { COUNT = 4096, SHIFT = 16 };
    static unsigned char hits[COUNT];
    unsigned empty_count = 0;
    unsigned most = 0;

    (void)state;
    for (uint64_t i = 0; i < COUNT; i++)
        hits[np_mix((UINT64_C(0x7F0000000) + i) << SHIFT) >> 16 & (COUNT - 1)]++;
    for (unsigned i = 0; i < COUNT; i++) {
        empty_count += hits[i] == 0;
        most = hits[i] > most ? hits[i] : most;
    }
    /* Random numbers leave 1/e = 1507 of the places empty, and hit none more than about 8 times. */
    assert_in_range(empty_count, 0, 1700);
    assert_in_range(most, 1, 16);
    for (uint64_t i = 1; i < 64; i++)
        assert_true(np_mix(i) != np_mix(i << 32));
}

static void limits_agree_with_each_other(void **state)
{
    (void)state;
    assert_int_equal(NP_GRANULE_BYTES, 4096);
    assert_int_equal(NP_UNIT_BYTES, 65536);
    assert_int_equal(NP_UNIT_GRANULES * NP_GRANULE_BYTES, NP_UNIT_BYTES);
    assert_int_equal(NP_WINDOW_UNITS * NP_UNIT_BYTES, NP_WINDOW_BYTES);
    assert_int_equal(NP_WINDOW_GRANULES * NP_GRANULE_BYTES, NP_WINDOW_BYTES);
    assert_int_equal(NP_SLAB_RECORD_BYTES * 512, NP_UNIT_BYTES); /* 0.2 % */
    assert_int_equal(NP_PURGE_BATCH_BYTES, 4 << 20);             /* P1's constant */
}

static void set_bits_are_counted(void **state)
{
    uint64_t random = 1;

    (void)state;
    assert_int_equal(np_bit_count(0), 0);
    assert_int_equal(np_bit_count(UINT64_MAX), 64);
    for (unsigned round = 0; round < 1000; round++) {
        unsigned count = 0;

        random = np_mix(random + round);
        for (unsigned bit = 0; bit < 64; bit++)
            count += (unsigned)(random >> bit & 1);
        assert_int_equal(np_bit_count(random), count);
        assert_int_equal(np_bit_count(UINT64_C(1) << round % 64), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_bits_are_counted),
        cmocka_unit_test(alignment_is_the_nearest_multiple),
        cmocka_unit_test(powers_of_two_have_one_bit),
        cmocka_unit_test(logarithm_is_the_highest_bit),
        cmocka_unit_test(smaller_and_larger),
        cmocka_unit_test(mixing_spreads_addresses),
        cmocka_unit_test(limits_agree_with_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

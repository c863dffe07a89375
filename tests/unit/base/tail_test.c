/* The tail of a block: each byte of it that is written is noticed, and nothing else is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tail.h"

enum { BLOCK_BYTES = 200, AROUND_BYTES = 8, OTHER = 0x55 };

static unsigned char memory[AROUND_BYTES + BLOCK_BYTES + AROUND_BYTES];
static unsigned char *const block = memory + AROUND_BYTES;

static size_t smaller(size_t one, size_t other)
{
    return one < other ? one : other;
}

static int is_in_tail(size_t at, size_t requested_bytes)
{
    size_t tail_bytes = smaller(BLOCK_BYTES - requested_bytes, 16);

    return at >= requested_bytes &&
           (at < requested_bytes + tail_bytes || at >= BLOCK_BYTES - tail_bytes);
}

static void look_at_each_byte(size_t requested_bytes, enum np_tail tail)
{
    memset(memory, OTHER, sizeof memory);
    np_tail_fill(block, requested_bytes, BLOCK_BYTES, tail);
    assert_true(np_tail_is_whole(block, requested_bytes, BLOCK_BYTES, tail));
    for (size_t i = 0; i < sizeof memory; i++) {
        int is_tail = i >= AROUND_BYTES && i < AROUND_BYTES + BLOCK_BYTES &&
                      is_in_tail(i - AROUND_BYTES, requested_bytes);

        assert_int_equal(memory[i], is_tail ? (int)tail : OTHER);
        for (unsigned bit = 1; bit < 256; bit *= 2) {
            memory[i] ^= (unsigned char)bit;
            assert_int_equal(np_tail_is_whole(block, requested_bytes, BLOCK_BYTES, tail), !is_tail);
            memory[i] ^= (unsigned char)bit;
        }
    }
}

static void each_byte_of_it_counts(void **state)
{
    (void)state;
    for (size_t requested_bytes = 0; requested_bytes <= BLOCK_BYTES; requested_bytes++) {
        look_at_each_byte(requested_bytes, NP_TAIL_OF_MAPPING);
        look_at_each_byte(requested_bytes, NP_TAIL_OF_RUN);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_of_it_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

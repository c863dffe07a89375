/* Arithmetic on sizes and addresses. Owns nothing; all functions are pure. */
#ifndef NP_BASE_BITS_H
#define NP_BASE_BITS_H

#include "attr.h"

NP_INLINE size_t np_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

NP_INLINE size_t np_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* For times, and for sums over a whole life, which are wider than an address on 32-bit machines. */
NP_INLINE uint64_t np_min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

NP_INLINE uint64_t np_max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* alignment: a power of two. */
NP_INLINE size_t np_align_down(size_t value, size_t alignment)
{
    return value & ~(alignment - 1);
}

/* Wraps to a small value where value is within alignment of SIZE_MAX: callers bound it first. */
NP_INLINE size_t np_align_up(size_t value, size_t alignment)
{
    return (value + alignment - 1) & ~(alignment - 1);
}

NP_INLINE bool np_is_power_of_two(size_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* The index of the highest set bit; value is not zero. */
NP_INLINE unsigned np_log2_floor(size_t value)
{
    return (unsigned)(8 * sizeof(long long) - 1) - (unsigned)__builtin_clzll(value);
}

/* How many bits are set. Inline: without a machine option the compiler calls a function for it; and most words that
 * we count are all or nothing. */
NP_INLINE unsigned np_bit_count(uint64_t value)
{
    if (value == 0)
        return 0;
    if (value == UINT64_MAX)
        return 64;
    value -= value >> 1 & UINT64_C(0x5555555555555555);
    value = (value & UINT64_C(0x3333333333333333)) + (value >> 2 & UINT64_C(0x3333333333333333));
    value = (value + (value >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    return (unsigned)(value * UINT64_C(0x0101010101010101) >> 56);
}

/* An odd constant from the golden ratio. */
#define NP_MIX_FACTOR UINT64_C(0x9E3779B97F4A7C15)

/* A well-mixed image of a word: the finaliser of a multiplicative hash, for table slots and the keys
 * that encode free-list links. */
NP_INLINE uint64_t np_mix(uint64_t value)
{
    value *= NP_MIX_FACTOR;
    value ^= value >> 32;
    value *= NP_MIX_FACTOR;
    return value ^ (value >> 29);
}

#endif

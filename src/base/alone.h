/* Read-modify-write steps that need no lock prefix while the process has one thread.
 *
 * libc tells (where it does not, steps are always atomic): __libc_single_threaded is cleared before the first thread is
 * made, by the thread that makes it, which is the only one. So whoever sees it set has no other thread beside him, and one
 * that comes later sees all of his stores, as pthread_create promises. Once cleared it stays so.
 *
 * Not for signal handlers: one that interrupts a step and takes another one at the same word undoes it. So nothing that a
 * handler may call, which is fork, takes any while there is one thread.
 *
 * Sequentially consistent where they are atomic: callers need not say which of their reasons holds here. */
#ifndef NP_BASE_ALONE_H
#define NP_BASE_ALONE_H

#include "attr.h"

/* Any address but NULL: libc has it. */
extern char __libc_single_threaded __attribute__((weak));

NP_INLINE bool np_is_alone(void)
{
    return &__libc_single_threaded != NULL && __libc_single_threaded != 0;
}

/* Each returns what was there before. Those whose names end in _if are told whether there is one thread: what takes several
 * steps need not ask before each. */
NP_INLINE uint64_t np_fetch_or_if(bool is_alone, _Atomic uint64_t *word, uint64_t bits)
{
    uint64_t before;

    if (!is_alone)
        return atomic_fetch_or(word, bits);
    before = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, before | bits, memory_order_relaxed);
    return before;
}

NP_INLINE uint64_t np_fetch_or(_Atomic uint64_t *word, uint64_t bits)
{
    return np_fetch_or_if(np_is_alone(), word, bits);
}

NP_INLINE uint64_t np_fetch_and(_Atomic uint64_t *word, uint64_t bits)
{
    uint64_t before;

    if (!np_is_alone())
        return atomic_fetch_and(word, bits);
    before = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, before & bits, memory_order_relaxed);
    return before;
}

NP_INLINE uint64_t np_fetch_add(_Atomic uint64_t *word, uint64_t more)
{
    uint64_t before;

    if (!np_is_alone())
        return atomic_fetch_add(word, more);
    before = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, before + more, memory_order_relaxed);
    return before;
}

NP_INLINE size_t np_fetch_add_size(_Atomic size_t *word, size_t more)
{
    size_t before;

    if (!np_is_alone())
        return atomic_fetch_add(word, more);
    before = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, before + more, memory_order_relaxed);
    return before;
}

/* As atomic_compare_exchange_strong: false, and *expected is what is there, if that is something else. */
NP_INLINE bool np_compare_and_swap_if(bool is_alone, _Atomic uint64_t *word, uint64_t *expected,
                                      uint64_t desired)
{
    uint64_t now;

    if (!is_alone)
        return atomic_compare_exchange_strong(word, expected, desired);
    now = atomic_load_explicit(word, memory_order_relaxed);
    if (now != *expected) {
        *expected = now;
        return false;
    }
    atomic_store_explicit(word, desired, memory_order_relaxed);
    return true;
}

NP_INLINE bool np_compare_and_swap(_Atomic uint64_t *word, uint64_t *expected, uint64_t desired)
{
    return np_compare_and_swap_if(np_is_alone(), word, expected, desired);
}

#endif

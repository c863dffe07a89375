/* The knobs: what their values are now, and who may set them.
 *
 * Owns the value of every knob and whether it was set. Any thread may read and set at any time,
 * without a lock: each value is one atomic word. Leaves out what a value does, which is the
 * business of whoever reads it, and leaves out the environment of a process with AT_SECURE: the
 * caller does not read it then. The knobs themselves are rows of knobs.h; read environment.c
 * next. */
#ifndef NP_TUNE_TUNE_H
#define NP_TUNE_TUNE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "knobs.h"

enum {
    NP_MMAP_THRESHOLD_DYNAMIC_MAX_BYTES = 32 << 20, /* where the dynamic rule ends, as in glibc */
};

/* For the functions below only. The second word has a bit for each knob that was set; the third
 * is what the dynamic rule made of mmap_threshold, in force as long as nobody sets that knob. A
 * word of its own for it means that the rule can never overwrite a setting. */
extern _Atomic int64_t np_tune_values[NP_KNOB_COUNT];
extern _Atomic uint32_t np_tune_set_bits;
extern _Atomic int64_t np_tune_dynamic_mmap_threshold;

#define NP_TUNE_BIT(knob) (UINT32_C(1) << (knob))

/* Whether mallopt or the environment has set the knob, be it to its initial value. */
static inline bool np_tune_is_set(enum np_knob knob)
{
    /* Acquire pairs with the release in np_tune_set: who finds the bit finds the value. */
    return (atomic_load_explicit(&np_tune_set_bits, memory_order_acquire) & NP_TUNE_BIT(knob)) != 0;
}

/* The value in force, in the unit of the knob's row. Correct before anything has run: the
 * initial values are linked in. Relaxed: a value carries nothing with it but itself. */
static inline int64_t np_tune_get(enum np_knob knob)
{
    if (knob == NP_KNOB_MMAP_THRESHOLD && !np_tune_is_set(knob))
        return atomic_load_explicit(&np_tune_dynamic_mmap_threshold, memory_order_relaxed);
    return atomic_load_explicit(&np_tune_values[knob], memory_order_relaxed);
}

/* Whether mmap_threshold follows the program: until the first of trim_threshold, top_pad,
 * mmap_threshold and mmap_max is set. */
bool np_tune_is_dynamic(void);

/* Sets the knob; false, and nothing is changed, if the value is out of the row's range or the
 * row has no effect. */
bool np_tune_set(enum np_knob knob, int64_t value);

/* mallopt: `param` is one of its M_ numbers. False, and nothing is changed, for a number that is
 * unknown, a value out of range, and for what neap does not do (M_CHECK_ACTION). */
bool np_tune_mallopt(int param, int value);

/* Takes the settings from the environment, an array of NAME=VALUE that ends in NULL, and names
 * each faulty one on stderr. To be called once, before the first mallopt, and not at all under
 * AT_SECURE. Needs no libc that is initialised: it allocates nothing, and of libc it calls
 * string functions and system calls only. */
void np_tune_read_environment(char *const *envp);

/* The dynamic rule: mmap_threshold becomes `bytes`, though never less than it is and never more
 * than NP_MMAP_THRESHOLD_DYNAMIC_MAX_BYTES, and nothing happens once it is frozen. */
void np_tune_raise_mmap_threshold(int64_t bytes);

#endif

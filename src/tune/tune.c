/* The values of the knobs: see tune.h for the contract. */
#include "tune.h"

#define ROW(ID, INITIAL, HELP, DIFFERENCE, ...) \
    [NP_KNOB_##ID] = {.initial = (INITIAL), __VA_ARGS__},
const struct np_knob_row np_knob_rows[NP_KNOB_COUNT] = {NP_KNOBS(ROW)};
#undef ROW

void np_knob_write_name(const struct np_knob_row *row, enum np_knob_name kind,
                        char name[NP_KNOB_NAME_BYTES])
{
    const char *prefix = kind == NP_NAME_NEAP      ? "NEAP_"
                         : kind == NP_NAME_TUNABLE ? "glibc.malloc."
                         : kind == NP_NAME_MALLOPT ? "M_"
                                                   : "MALLOC_";
    int case_bit = kind == NP_NAME_TUNABLE ? 0 : 'a' - 'A'; /* an underscore has no such bit */

    if ((row->names & (unsigned)kind) != 0) {
        while (*prefix != '\0')
            *name++ = *prefix++;
        for (const char *at = row->name; *at != '\0'; at++)
            *name++ = (char)(*at & ~case_bit);
        if (kind == NP_NAME_VARIABLE && (row->names & NP_NAME_BARE) == 0)
            *name++ = '_';
    }
    *name = '\0';
}

#define VALUE(ID, INITIAL, ...) [NP_KNOB_##ID] = (INITIAL),
_Atomic int64_t np_tune_values[NP_KNOB_COUNT] = {NP_KNOBS(VALUE)};
#undef VALUE

_Atomic uint32_t np_tune_set_bits;
_Static_assert(NP_KNOB_COUNT <= 32, "np_tune_set_bits has a bit for each knob");

#define INITIAL_MMAP_THRESHOLD(ID, INITIAL, ...) \
    +(NP_KNOB_##ID == NP_KNOB_MMAP_THRESHOLD ? (INITIAL) : 0)
_Atomic int64_t np_tune_dynamic_mmap_threshold = NP_KNOBS(INITIAL_MMAP_THRESHOLD);
#undef INITIAL_MMAP_THRESHOLD

/* The knobs that end the dynamic rule when they are set. */
static const uint32_t FREEZING_BITS =
    NP_TUNE_BIT(NP_KNOB_TRIM_THRESHOLD) | NP_TUNE_BIT(NP_KNOB_TOP_PAD) |
    NP_TUNE_BIT(NP_KNOB_MMAP_THRESHOLD) | NP_TUNE_BIT(NP_KNOB_MMAP_MAX);

bool np_tune_is_dynamic(void)
{
    uint32_t bits = atomic_load_explicit(&np_tune_set_bits, memory_order_relaxed);

    return (bits & FREEZING_BITS) == 0;
}

bool np_tune_set(enum np_knob knob, int64_t value)
{
    const struct np_knob_row *row = &np_knob_rows[knob];

    if (!np_knob_has_effect(row) || value < row->least || value > row->most)
        return false;
    atomic_store_explicit(&np_tune_values[knob], value, memory_order_relaxed);
    /* Release pairs with the acquire in np_tune_is_set: who finds the bit finds the value. */
    atomic_fetch_or_explicit(&np_tune_set_bits, NP_TUNE_BIT(knob), memory_order_release);
    return true;
}

bool np_tune_mallopt(int param, int value)
{
    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        if ((np_knob_rows[knob].names & NP_NAME_MALLOPT) == 0 ||
            np_knob_rows[knob].mallopt_number != param)
            continue;
        if (knob == NP_KNOB_PERTURB)
            value &= 0xff; /* mallopt(3): the least significant byte counts */
        return np_tune_set((enum np_knob)knob, value);
    }
    return false;
}

void np_tune_raise_mmap_threshold(int64_t bytes)
{
    _Atomic int64_t *threshold = &np_tune_dynamic_mmap_threshold;
    int64_t current = atomic_load_explicit(threshold, memory_order_relaxed);

    if (!np_tune_is_dynamic())
        return;
    if (bytes > NP_MMAP_THRESHOLD_DYNAMIC_MAX_BYTES)
        bytes = NP_MMAP_THRESHOLD_DYNAMIC_MAX_BYTES;
    while (bytes > current) {
        if (atomic_compare_exchange_weak_explicit(threshold, &current, bytes, memory_order_relaxed,
                                                  memory_order_relaxed))
            return;
    }
}

/* For tests: the knobs as when the process started. */
#ifndef NP_TESTS_TUNE_RESET_H
#define NP_TESTS_TUNE_RESET_H

#include "tune.h"

static inline void tune_reset(void)
{
    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++)
        np_tune_values[knob] = np_knob_rows[knob].initial;
    np_tune_set_bits = 0;
    np_tune_dynamic_mmap_threshold = np_knob_rows[NP_KNOB_MMAP_THRESHOLD].initial;
}

#endif

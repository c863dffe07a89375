/* threshold.h: finds the sizes at which an allocator begins or ceases to retain what is freed. */
#ifndef NP_EXPERIMENTS_THRESHOLD_H
#define NP_EXPERIMENTS_THRESHOLD_H

#include "life.h"

enum { THRESHOLD_PROBE_MAX = 256, THRESHOLD_MAX = 16 };

struct threshold_probe {
    size_t block_bytes;
    double retained_share;      /* of the peak, after the last free */
};

struct threshold_search {
    unsigned probe_count;
    struct threshold_probe probes[THRESHOLD_PROBE_MAX];     /* in the order of measuring */
    unsigned threshold_count;
    /* Pairs of neighbouring sizes of which one is retained and the other is not. */
    struct {
        struct threshold_probe below;
        struct threshold_probe above;
    } thresholds[THRESHOLD_MAX];
};

/* Measures one size; false if that failed. */
typedef bool threshold_measure(void *context, size_t block_bytes, double *retained_share);

/* Probes sizes from min_bytes to max_bytes, each half a doubling apart, and bisects wherever two
 * neighbours differ. False if a measurement failed. */
bool np_threshold_find(struct threshold_search *search, size_t min_bytes, size_t max_bytes,
                       threshold_measure *measure, void *context);

/* More than half of what the blocks added is still resident. */
bool np_threshold_is_retained(const struct threshold_probe *probe);

#endif

/* threshold.c: see threshold.h. */
#include "threshold.h"

struct finder {
    struct threshold_search *search;
    threshold_measure *measure;
    void *context;
};

bool np_threshold_is_retained(const struct threshold_probe *probe)
{
    return probe->retained_share > 0.5;
}

static bool take_probe(struct finder *finder, size_t block_bytes, struct threshold_probe *probe)
{
    struct threshold_search *search = finder->search;

    probe->block_bytes = block_bytes;
    if (search->probe_count == THRESHOLD_PROBE_MAX
        || !finder->measure(finder->context, block_bytes, &probe->retained_share))
        return false;
    search->probes[search->probe_count++] = *probe;
    return true;
}

/* below and above differ: narrows them until they are neighbours. */
static bool bisect(struct finder *finder, struct threshold_probe below,
                   struct threshold_probe above)
{
    struct threshold_search *search = finder->search;

    while (above.block_bytes - below.block_bytes > 1) {
        struct threshold_probe middle;
        size_t middle_bytes = below.block_bytes + (above.block_bytes - below.block_bytes) / 2;
        if (!take_probe(finder, middle_bytes, &middle))
            return false;
        if (np_threshold_is_retained(&middle) == np_threshold_is_retained(&below))
            below = middle;
        else
            above = middle;
    }
    if (search->threshold_count == THRESHOLD_MAX)
        return false;
    search->thresholds[search->threshold_count].below = below;
    search->thresholds[search->threshold_count].above = above;
    search->threshold_count++;
    return true;
}

/* 16, 24, 32, 48, 64, 96, ...: half a doubling further. */
static size_t next_size(size_t block_bytes)
{
    size_t power = 1;

    while (power * 2 <= block_bytes)
        power *= 2;
    if (block_bytes < power + power / 2)
        return power + power / 2;
    return power * 2;
}

bool np_threshold_find(struct threshold_search *search, size_t min_bytes, size_t max_bytes,
                       threshold_measure *measure, void *context)
{
    struct finder finder = { .search = search, .measure = measure, .context = context };
    struct threshold_probe last;

    search->probe_count = 0;
    search->threshold_count = 0;
    if (!take_probe(&finder, min_bytes, &last))
        return false;
    while (last.block_bytes < max_bytes) {
        struct threshold_probe probe;
        size_t block_bytes = next_size(last.block_bytes);
        if (!take_probe(&finder, block_bytes < max_bytes ? block_bytes : max_bytes, &probe))
            return false;
        if (np_threshold_is_retained(&probe) != np_threshold_is_retained(&last)
            && !bisect(&finder, last, probe))
            return false;
        last = probe;
    }
    return true;
}

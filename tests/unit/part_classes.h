/* For tests that want as many classes as there are: a heap that serves each class above 1 KiB by
 * itself, as if it had used much of all of them. */
#ifndef NP_TESTS_PART_CLASSES_H
#define NP_TESTS_PART_CLASSES_H

#include "heap.h"

static inline void part_classes(struct np_heap *heap)
{
    for (unsigned i = NP_DIRECT_CLASS_COUNT; i < NP_CLASS_COUNT; i++)
        heap->served_by[i] = (uint8_t)i;
}

#endif

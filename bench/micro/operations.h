/* operations.h: the operations that bench/micro measures, in C; micro.cc hands them to Google
 * Benchmark.
 *
 * An operation works on a bench of its own, one for each thread that measures. A batch of BATCH
 * operations is what is timed; what must happen before it is `prepare`, which is not.
 */
#ifndef MICRO_OPERATIONS_H
#define MICRO_OPERATIONS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BATCH = 1000 };

struct helper;                      /* another thread that works on the same blocks: remote.c */

struct workbench {
    size_t byte_count;              /* of each block */
    uint64_t random_state;
    struct helper *helper;
    void *blocks[BATCH];
};

struct operation {
    const char *name;
    const char *help;
    void (*prepare)(struct workbench *bench);   /* NULL: nothing to prepare */
    void (*run)(struct workbench *bench);       /* BATCH operations */
    void (*finish)(struct workbench *bench);    /* NULL: nothing is left over */
    size_t (*size)(unsigned index);             /* of its blocks; 0 after the last */
    int has_helper;
    int is_threaded;                /* measured with 2 and 16 threads too */
};

extern const struct operation operations[];
extern const size_t operation_count;

/* operator new, and operator delete with the size; in micro.cc, since C has no name for them. */
void *block_new(size_t byte_count);
void block_delete(void *block, size_t byte_count);

/* Ends the program if there is no memory or no thread. */
void workbench_open(struct workbench *bench, const struct operation *operation, size_t byte_count,
                    unsigned thread_index);
void workbench_close(struct workbench *bench, const struct operation *operation);

#ifdef __cplusplus
}
#endif

#endif

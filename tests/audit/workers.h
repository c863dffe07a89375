/* Threads that do as they are told and otherwise are blocked: a worker that is never told anything
 * again is blocked for ever. Workers are never joined unless told to end. */
#ifndef NEAP_TESTS_AUDIT_WORKERS_H
#define NEAP_TESTS_AUDIT_WORKERS_H

#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>

#include "truth.h"

struct worker {
    pthread_t thread;
    sem_t told;
    sem_t done;
    void (*task)(struct worker *worker);
    unsigned index;
    uint64_t random;
    struct block *blocks; /* the task's to use, as are the next two */
    size_t block_count;
    size_t size_bytes;
};

/* Raises the number of threads that the audit expects. */
void worker_start(struct worker *worker, unsigned index, uint64_t seed);

/* Lets it do a task, and does not wait. */
void worker_tell(struct worker *worker, void (*task)(struct worker *worker));

/* Waits until it is done with its task. */
void worker_wait(struct worker *worker);

/* Both. */
void worker_do(struct worker *worker, void (*task)(struct worker *worker));

/* Its thread ends, and is no longer counted. */
void worker_end(struct worker *worker);

#endif

/* See workers.h. */
#include "workers.h"

#include <errno.h>

#include "audit.h"

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        REQUIRE(errno == EINTR);
}

static void *serve(void *argument)
{
    struct worker *worker = argument;

    for (;;) {
        wait_for(&worker->told);
        if (worker->task == NULL)
            return NULL;
        worker->task(worker);
        REQUIRE(sem_post(&worker->done) == 0);
    }
}

void worker_start(struct worker *worker, unsigned index, uint64_t seed)
{
    worker->index = index;
    worker->random = seed + index;
    REQUIRE(sem_init(&worker->told, 0, 0) == 0 && sem_init(&worker->done, 0, 0) == 0);
    REQUIRE(pthread_create(&worker->thread, NULL, serve, worker) == 0);
    audit_limits.thread_count++;
}

void worker_tell(struct worker *worker, void (*task)(struct worker *worker))
{
    worker->task = task;
    REQUIRE(sem_post(&worker->told) == 0);
}

void worker_wait(struct worker *worker)
{
    wait_for(&worker->done);
}

void worker_do(struct worker *worker, void (*task)(struct worker *worker))
{
    worker_tell(worker, task);
    worker_wait(worker);
}

void worker_end(struct worker *worker)
{
    worker_tell(worker, NULL);
    REQUIRE(pthread_join(worker->thread, NULL) == 0);
    audit_limits.thread_count--;
}

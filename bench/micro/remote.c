/* remote.c: see remote.h. */
#include "remote.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

struct helper {
    pthread_t thread;
    sem_t ordered;
    sem_t done;
    void **blocks;                  /* NULL: the thread is to end */
    size_t count;
    size_t byte_count;              /* 0: free them */
};

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ;
}

static void *help(void *argument)
{
    struct helper *helper = argument;

    for (;;) {
        wait_for(&helper->ordered);
        if (helper->blocks == NULL)
            return NULL;
        for (size_t i = 0; i < helper->count; i++) {
            if (helper->byte_count == 0)
                free(helper->blocks[i]);
            else if ((helper->blocks[i] = malloc(helper->byte_count)) == NULL)
                abort();
        }
        sem_post(&helper->done);
    }
}

struct helper *helper_start(void)
{
    struct helper *helper = malloc(sizeof *helper);

    if (helper == NULL)
        return NULL;
    sem_init(&helper->ordered, 0, 0);
    sem_init(&helper->done, 0, 0);
    if (pthread_create(&helper->thread, NULL, help, helper) != 0) {
        free(helper);
        return NULL;
    }
    return helper;
}

static void order(struct helper *helper, void **blocks, size_t count, size_t byte_count)
{
    helper->blocks = blocks;
    helper->count = count;
    helper->byte_count = byte_count;
    sem_post(&helper->ordered);
}

void helper_end(struct helper *helper)
{
    order(helper, NULL, 0, 0);
    pthread_join(helper->thread, NULL);
    sem_destroy(&helper->ordered);
    sem_destroy(&helper->done);
    free(helper);
}

void helper_allocate(struct helper *helper, void **blocks, size_t count, size_t byte_count)
{
    order(helper, blocks, count, byte_count);
    wait_for(&helper->done);
}

void helper_free(struct helper *helper, void **blocks, size_t count)
{
    order(helper, blocks, count, 0);
    wait_for(&helper->done);
}

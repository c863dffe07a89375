/* malloc_stats and malloc_info by several threads at once, while others allocate and free; for
 * check_report.py. Standard error gets what malloc_stats wrote; standard output gets what
 * malloc_info did, each call into a stream of its own, and as the last line the number of calls of
 * either. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "names.h"

enum { REPORTERS = 3, WORKERS = 3, ROUNDS = 200, KEPT = 200 };

static _Atomic int must_stop;

/* All begin together, so that they meet. */
static pthread_barrier_t start;

static void *work(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    void *kept[KEPT] = {NULL};

    pthread_barrier_wait(&start);
    while (!must_stop) {
        size_t index;

        seed = seed * 1103515245 + 12345;
        index = (seed >> 16) % KEPT;
        api_free(kept[index]);
        kept[index] = api_malloc((seed >> 8) % ((seed >> 4) % 16 == 0 ? 300000 : 2000));
    }
    for (size_t i = 0; i < KEPT; i++)
        api_free(kept[i]);
    return NULL;
}

struct reporter {
    pthread_t thread;
    char *texts[ROUNDS];
    int has_failed;
};

static void *report(void *argument)
{
    struct reporter *reporter = argument;

    pthread_barrier_wait(&start);
    for (size_t i = 0; i < ROUNDS; i++) {
        size_t length;
        FILE *stream = open_memstream(&reporter->texts[i], &length);

        if (stream == NULL) {
            reporter->has_failed = 1;
            break;
        }
        reporter->has_failed |= api_malloc_info(0, stream) != 0;
        reporter->has_failed |= fclose(stream) != 0;
        api_malloc_stats();
    }
    return NULL;
}

static int print_all(const struct reporter *reporters)
{
    for (size_t i = 0; i < REPORTERS; i++) {
        if (reporters[i].has_failed)
            return 1;
        for (size_t round = 0; round < ROUNDS; round++) {
            fputs(reporters[i].texts[round], stdout);
            free(reporters[i].texts[round]);
        }
    }
    printf("%d\n", REPORTERS * ROUNDS);
    return ferror(stdout) != 0;
}

int main(void)
{
    static struct reporter reporters[REPORTERS];
    pthread_t workers[WORKERS];

    pthread_barrier_init(&start, NULL, REPORTERS + WORKERS);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, work, (void *)(i + 1));
    for (size_t i = 0; i < REPORTERS; i++)
        pthread_create(&reporters[i].thread, NULL, report, &reporters[i]);
    for (size_t i = 0; i < REPORTERS; i++)
        pthread_join(reporters[i].thread, NULL);
    must_stop = 1;
    for (size_t i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    return print_all(reporters);
}

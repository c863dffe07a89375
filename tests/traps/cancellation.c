/* Trap: a thread that is cancelled must not end inside malloc, holding a lock. Only at the point
 * where it asks may it go; the blocks it had are freed by its cleanup handler. */
#include <pthread.h>
#include <stdatomic.h>

#include "trap.h"

enum { THREADS = 300, LIVE = 50 };

static atomic_uint loops;

struct holdings {
    void *blocks[LIVE];
    size_t next_size;
    int is_inside; /* malloc or free */
};

static void free_holdings(void *argument)
{
    struct holdings *holdings = argument;

    REQUIRE(!holdings->is_inside);
    for (size_t i = 0; i < LIVE; i++)
        free(holdings->blocks[i]);
    free(holdings);
}

static void *churn_for_ever(void *argument)
{
    struct holdings *holdings = calloc(1, sizeof(*holdings));

    (void)argument;
    REQUIRE(holdings != NULL);
    holdings->next_size = 7;
    pthread_cleanup_push(free_holdings, holdings);
    for (size_t i = 0;; i = (i + 1) % LIVE) {
        holdings->is_inside = 1;
        holdings->next_size = holdings->next_size * 31 % 300007;
        free(holdings->blocks[i]);
        holdings->blocks[i] = malloc(holdings->next_size);
        holdings->is_inside = 0;
        loops++;
        pthread_testcancel();
    }
    pthread_cleanup_pop(1);
    return NULL;
}

int main(void)
{
    alarm(240);
    for (unsigned i = 0; i < THREADS; i += 3) {
        pthread_t threads[3];
        unsigned loops_before = loops;
        void *result;

        for (size_t k = 0; k < 3; k++)
            REQUIRE(pthread_create(&threads[k], NULL, churn_for_ever, NULL) == 0);
        while (loops < loops_before + 200)
            free(malloc(i * 100));
        for (size_t k = 0; k < 3; k++)
            REQUIRE(pthread_cancel(threads[k]) == 0);
        for (size_t k = 0; k < 3; k++) {
            REQUIRE(pthread_join(threads[k], &result) == 0);
            REQUIRE(result == PTHREAD_CANCELED);
        }
    }
    return 0;
}

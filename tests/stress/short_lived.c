/* Threads come and go: each takes over what others left behind, leaves parcels of its own, and
 * ends, some after a few operations. Some sleep for a while with their slabs half full, and their
 * parcels are freed meanwhile. */
#include "stress.h"

enum { AT_A_TIME = 6, MAILBOXES = 1024, MAX_SHIFT = 14 };

static _Atomic(struct parcel *) mailboxes[MAILBOXES];
static _Atomic uint64_t exchanges;

static void *live_shortly(void *argument)
{
    uint64_t random = stress_seed * 31 + (uintptr_t)argument;
    size_t operations = (size_t)1 << random_below(&random, 11);

    for (size_t i = 0; i < operations; i++) {
        struct parcel *parcel = parcel_new(&random, MAX_SHIFT);

        parcel_free(atomic_exchange(&mailboxes[random_below(&random, MAILBOXES)], parcel));
        ask_now_and_then(&random);
    }
    if (random_below(&random, 8) == 0)
        usleep(3000);
    exchanges += operations;
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[AT_A_TIME];
    uintptr_t count = 0;
    uint64_t random;

    stress_begin(argc, argv);
    random = stress_seed;
    for (; count < AT_A_TIME; count++)
        REQUIRE(pthread_create(&threads[count], NULL, live_shortly, (void *)count) == 0);
    while (!stress_is_over()) {
        size_t at = random_below(&random, AT_A_TIME);

        REQUIRE(pthread_join(threads[at], NULL) == 0);
        REQUIRE(pthread_create(&threads[at], NULL, live_shortly, (void *)count) == 0);
        /* The main thread, which never ends, frees some too. */
        parcel_free(atomic_exchange(&mailboxes[random_below(&random, MAILBOXES)], NULL));
        count++;
    }
    for (size_t i = 0; i < AT_A_TIME; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    for (size_t i = 0; i < MAILBOXES; i++)
        parcel_free(mailboxes[i]);
    printf("%llu threads, %llu parcels\n", (unsigned long long)count,
           (unsigned long long)exchanges);
    return 0;
}

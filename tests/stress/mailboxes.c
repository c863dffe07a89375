/* Every thread leaves parcels in mailboxes and takes out what others left there: nearly every
 * block is freed or resized by a thread that did not allocate it, in any order. */
#include "stress.h"

enum { THREADS = 4, MAILBOXES = 2048, MAX_SHIFT = 15 };

static _Atomic(struct parcel *) mailboxes[MAILBOXES];
static _Atomic uint64_t exchanges;

static void *exchange_parcels(void *argument)
{
    uint64_t random = stress_seed + (uintptr_t)argument;
    uint64_t count = 0;

    while (count % 256 != 0 || !stress_is_over()) {
        struct parcel *parcel = parcel_new(&random, count % 64 == 0 ? 20 : MAX_SHIFT);

        parcel = atomic_exchange(&mailboxes[random_below(&random, MAILBOXES)], parcel);
        if (parcel != NULL && random_below(&random, 4) == 0) {
            parcel_resize(parcel, &random, MAX_SHIFT);
            parcel = atomic_exchange(&mailboxes[random_below(&random, MAILBOXES)], parcel);
        }
        parcel_free(parcel);
        ask_now_and_then(&random);
        count++;
    }
    exchanges += count;
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];

    stress_begin(argc, argv);
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, exchange_parcels, (void *)(i + 1)) == 0);
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    for (size_t i = 0; i < MAILBOXES; i++)
        parcel_free(mailboxes[i]);
    printf("%llu parcels\n", (unsigned long long)exchanges);
    return 0;
}

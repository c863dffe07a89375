/* Forks while parcels are exchanged. In the child the other threads are gone; what lay in the
 * mailboxes at that moment is whole, and can be checked, resized and freed. */
#include <sys/wait.h>

#include "stress.h"

enum { THREADS = 3, MAILBOXES = 512, MAX_SHIFT = 13 };

static _Atomic(struct parcel *) mailboxes[MAILBOXES];

static void exchange_one(uint64_t *random)
{
    struct parcel *parcel = parcel_new(random, MAX_SHIFT);

    parcel_free(atomic_exchange(&mailboxes[random_below(random, MAILBOXES)], parcel));
}

static void *exchange_parcels(void *argument)
{
    uint64_t random = stress_seed + (uintptr_t)argument;

    for (uint64_t count = 1; count % 256 != 0 || !stress_is_over(); count++)
        exchange_one(&random);
    return NULL;
}

static void be_the_child(uint64_t random)
{
    alarm(HANG_SECONDS);
    for (size_t i = 0; i < MAILBOXES; i++) {
        struct parcel *parcel = mailboxes[i];

        if (parcel != NULL && i % 2 == 0)
            parcel_resize(parcel, &random, MAX_SHIFT);
        else
            parcel_free(atomic_exchange(&mailboxes[i], NULL));
    }
    for (unsigned i = 0; i < 2000; i++)
        exchange_one(&random);
    for (size_t i = 0; i < MAILBOXES; i++)
        parcel_free(mailboxes[i]);
    _exit(0);
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    uint64_t random;
    unsigned forks = 0;

    stress_begin(argc, argv);
    random = stress_seed;
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, exchange_parcels, (void *)(i + 1)) == 0);
    for (; !stress_is_over(); forks++) {
        int status;
        pid_t child = fork();

        REQUIRE(child >= 0);
        if (child == 0)
            be_the_child(random_next(&random));
        for (unsigned i = 0; i < 500; i++)
            exchange_one(&random);
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(status == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    for (size_t i = 0; i < MAILBOXES; i++)
        parcel_free(mailboxes[i]);
    printf("%u forks\n", forks);
    return 0;
}

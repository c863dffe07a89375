/* One thread allocates, the next resizes, the next frees: rings of parcels between them. What is
 * freed was always allocated elsewhere, the producer never frees and the consumer never allocates;
 * the load swings, so that slabs empty, fill and empty while their owner looks away. */
#include <sched.h>

#include "stress.h"

enum { LINES = 2, RING_SIZE = 1024, MAX_SHIFT = 13, SWING = 20000 };

/* One writer and one reader. NULL is a free slot. */
struct ring {
    _Atomic(struct parcel *) slots[RING_SIZE];
};

struct line {
    struct ring to_relay;
    struct ring to_consumer;
    uint64_t number;
};

static struct line lines[LINES];
static struct parcel last_parcel; /* ends a line */
static _Atomic uint64_t consumed;

static void ring_put(struct ring *ring, size_t at, struct parcel *parcel)
{
    while (atomic_load(&ring->slots[at % RING_SIZE]) != NULL)
        sched_yield();
    atomic_store(&ring->slots[at % RING_SIZE], parcel);
}

static struct parcel *ring_take(struct ring *ring, size_t at)
{
    struct parcel *parcel;

    while ((parcel = atomic_load(&ring->slots[at % RING_SIZE])) == NULL)
        sched_yield();
    atomic_store(&ring->slots[at % RING_SIZE], NULL);
    return parcel;
}

static void *produce(void *argument)
{
    struct line *line = argument;
    uint64_t random = stress_seed + line->number;
    size_t at = 0;

    /* By turns: a long time one size range, then another. */
    while (at % 256 != 0 || !stress_is_over()) {
        unsigned max_shift = at / SWING % 2 == 0 ? MAX_SHIFT : 6;

        ring_put(&line->to_relay, at, parcel_new(&random, max_shift));
        at++;
    }
    ring_put(&line->to_relay, at, &last_parcel);
    return NULL;
}

static void *relay(void *argument)
{
    struct line *line = argument;
    uint64_t random = stress_seed + line->number + 100;
    struct parcel *parcel;

    for (size_t at = 0;; at++) {
        parcel = ring_take(&line->to_relay, at);
        if (parcel != &last_parcel && random_below(&random, 3) == 0)
            parcel_resize(parcel, &random, MAX_SHIFT);
        ring_put(&line->to_consumer, at, parcel);
        if (parcel == &last_parcel)
            return NULL;
    }
}

/* Holds some back, to free them in another order. */
static void *consume(void *argument)
{
    enum { HELD = 500 };
    struct line *line = argument;
    uint64_t random = stress_seed + line->number + 200;
    struct parcel *held[HELD] = {NULL};
    struct parcel *parcel;
    size_t at = 0;

    while ((parcel = ring_take(&line->to_consumer, at)) != &last_parcel) {
        size_t place = random_below(&random, HELD);

        parcel_free(held[place]);
        held[place] = parcel;
        if (++at % SWING == 0) {
            for (size_t i = 0; i < HELD; i++) {
                parcel_free(held[i]);
                held[i] = NULL;
            }
        }
    }
    for (size_t i = 0; i < HELD; i++)
        parcel_free(held[i]);
    consumed += at;
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[LINES][3];

    stress_begin(argc, argv);
    for (size_t i = 0; i < LINES; i++) {
        lines[i].number = i;
        REQUIRE(pthread_create(&threads[i][0], NULL, produce, &lines[i]) == 0);
        REQUIRE(pthread_create(&threads[i][1], NULL, relay, &lines[i]) == 0);
        REQUIRE(pthread_create(&threads[i][2], NULL, consume, &lines[i]) == 0);
    }
    for (size_t i = 0; i < LINES; i++) {
        for (size_t k = 0; k < 3; k++)
            REQUIRE(pthread_join(threads[i][k], NULL) == 0);
    }
    printf("%llu parcels\n", (unsigned long long)consumed);
    return 0;
}

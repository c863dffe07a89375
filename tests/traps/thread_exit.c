/* Trap: libc and the program allocate and free after a thread's heap is gone: in the destructors of
 * pthread keys, round after round; in those of C++ thread_local variables; and libc itself, when it
 * frees what it kept for the thread. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>

#include "trap.h"

enum { THREADS = 200, KEYS = 60, BLOCKS = 40 };

/* What a C++ compiler calls for the destructor of a thread_local. */
extern int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *library);
extern void *__dso_handle;

static pthread_key_t keys[KEYS];
static _Atomic unsigned destructor_calls;

struct load {
    unsigned char *blocks[BLOCKS];
    unsigned rounds_left;
    size_t key_index;
};

static size_t size_of(size_t block_index)
{
    return 20 + block_index * block_index * 30;
}

static void allocate(struct load *load)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        load->blocks[i] = malloc(size_of(i));
        REQUIRE(load->blocks[i] != NULL);
        memset(load->blocks[i], (int)i, size_of(i));
    }
}

static void check_and_free(struct load *load)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        REQUIRE(load->blocks[i][0] == i && load->blocks[i][size_of(i) - 1] == i);
        free(load->blocks[i]);
    }
}

/* Frees what the thread, or the round before, allocated; and comes again for as many rounds as
 * POSIX promises, so that some of them run after neap's own. */
static void destroy_key(void *value)
{
    struct load *load = value;

    destructor_calls++;
    check_and_free(load);
    if (load->rounds_left == 0) {
        free(load);
        return;
    }
    load->rounds_left--;
    allocate(load);
    REQUIRE(pthread_setspecific(keys[load->key_index], load) == 0);
}

static void destroy_thread_local(void *object)
{
    destructor_calls++;
    check_and_free(object);
    free(object);
    free(calloc(10, 1000));
}

static struct load *new_load(size_t key_index)
{
    struct load *load = calloc(1, sizeof(*load));

    REQUIRE(load != NULL);
    load->rounds_left = 3; /* and a first one: PTHREAD_DESTRUCTOR_ITERATIONS is 4 */
    load->key_index = key_index;
    allocate(load);
    return load;
}

static void *live_and_die(void *argument)
{
    size_t first_key = (uintptr_t)argument % KEYS;

    /* Keys from 32 on need memory of their own in libc, which it frees after all destructors. */
    REQUIRE(pthread_setspecific(keys[first_key], new_load(first_key)) == 0);
    REQUIRE(pthread_setspecific(keys[KEYS - 1 - first_key], new_load(KEYS - 1 - first_key)) == 0);
    REQUIRE(__cxa_thread_atexit_impl(destroy_thread_local, new_load(0), &__dso_handle) == 0);
    /* These make libc keep a string for the thread, until it has ended. */
    REQUIRE(strerror(123456) != NULL);
    REQUIRE(dlopen("/nonexistent", RTLD_NOW) == NULL);
    REQUIRE(dlerror() != NULL);
    REQUIRE(dlsym(RTLD_DEFAULT, "there_is_no_such_symbol") == NULL);
    return argument;
}

/* Allocates and frees a while; if another thread takes the same slots meanwhile, it shows. */
static void churn(unsigned char own)
{
    enum { LIVE = 64, OPERATIONS = 60000 };
    unsigned char *live[LIVE] = {NULL};

    for (size_t i = 0; i < OPERATIONS; i++) {
        size_t at = i * 37 % LIVE;

        if (live[at] != NULL)
            REQUIRE(live[at][0] == own && live[at][19] == own);
        free(live[at]);
        live[at] = malloc(20 + i % 4 * 20);
        REQUIRE(live[at] != NULL);
        memset(live[at], own, 20);
    }
    for (size_t i = 0; i < LIVE; i++)
        free(live[i]);
}

static pthread_barrier_t heir_is_there;

/* The heap of the ending thread may have been given to another by now. */
static void churn_beside_the_heir(void *value)
{
    free(value);
    destructor_calls++;
    pthread_barrier_wait(&heir_is_there); /* the ending thread's heap may be taken over ... */
    pthread_barrier_wait(&heir_is_there); /* ... and has been */
    churn(1);
}

static void *end_slowly(void *argument)
{
    churn(3);
    REQUIRE(pthread_setspecific(*(pthread_key_t *)argument, malloc(10)) == 0);
    return NULL;
}

static void *inherit(void *argument)
{
    pthread_barrier_wait(&heir_is_there);
    free(malloc(10));
    pthread_barrier_wait(&heir_is_there);
    churn(2);
    return argument;
}

static void require_heirs_are_apart(void)
{
    pthread_key_t key;
    pthread_t ending;
    pthread_t heir;

    REQUIRE(pthread_key_create(&key, churn_beside_the_heir) == 0);
    REQUIRE(pthread_barrier_init(&heir_is_there, NULL, 2) == 0);
    for (unsigned i = 0; i < 10; i++) {
        REQUIRE(pthread_create(&ending, NULL, end_slowly, &key) == 0);
        REQUIRE(pthread_create(&heir, NULL, inherit, NULL) == 0);
        REQUIRE(pthread_join(ending, NULL) == 0);
        REQUIRE(pthread_join(heir, NULL) == 0);
    }
}

/* The first thing that a thread does with malloc happens in a destructor. */
static void first_use_in_destructor(void *value)
{
    (void)value; /* the key itself */
    destructor_calls++;
    for (size_t i = 0; i < 1000; i++)
        free(malloc(i));
}

static void *never_allocate(void *argument)
{
    REQUIRE(pthread_setspecific(*(pthread_key_t *)argument, argument) == 0);
    return NULL;
}

int main(void)
{
    pthread_key_t late_key;
    pthread_t threads[8];
    unsigned threads_run = 0;

    alarm(240);
    for (size_t i = 0; i < KEYS; i++)
        REQUIRE(pthread_key_create(&keys[i], destroy_key) == 0);
    REQUIRE(pthread_key_create(&late_key, first_use_in_destructor) == 0);
    for (uintptr_t i = 0; i < THREADS; i += 8) {
        for (size_t k = 0; k < 8; k++)
            REQUIRE(pthread_create(&threads[k], NULL, live_and_die, (void *)(i + k)) == 0);
        for (size_t k = 0; k < 8; k++, threads_run++)
            REQUIRE(pthread_join(threads[k], NULL) == 0);
    }
    /* Two keys and one thread_local; each key four rounds. */
    REQUIRE(destructor_calls == threads_run * 9);
    for (size_t i = 0; i < 20; i++) {
        REQUIRE(pthread_create(&threads[0], NULL, never_allocate, &late_key) == 0);
        REQUIRE(pthread_join(threads[0], NULL) == 0);
    }
    REQUIRE(destructor_calls == threads_run * 9 + 20);
    require_heirs_are_apart();
    REQUIRE(destructor_calls == threads_run * 9 + 30);
    return 0;
}

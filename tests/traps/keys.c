/* Trap: POSIX promises 1024 pthread keys to the program, so neap must not take one; and a value
 * for a key above the first 32 makes libc call calloc, which must not need a key itself. */
#include <limits.h>
#include <pthread.h>
#include <stdint.h>

#include "trap.h"

static pthread_key_t keys[PTHREAD_KEYS_MAX];

static void *use_all_keys(void *argument)
{
    for (uintptr_t i = 0; i < PTHREAD_KEYS_MAX; i++)
        REQUIRE(pthread_setspecific(keys[i], (void *)(i + 1)) == 0);
    for (uintptr_t i = 0; i < PTHREAD_KEYS_MAX; i++)
        REQUIRE(pthread_getspecific(keys[i]) == (void *)(i + 1));
    free(malloc(1000));
    return argument;
}

int main(void)
{
    pthread_t thread;

    free(malloc(10));
    for (size_t i = 0; i < PTHREAD_KEYS_MAX; i++)
        REQUIRE(pthread_key_create(&keys[i], NULL) == 0);
    use_all_keys(NULL);
    /* With all keys taken a thread can still come, allocate and go. */
    for (size_t i = 0; i < 20; i++) {
        REQUIRE(pthread_create(&thread, NULL, use_all_keys, NULL) == 0);
        REQUIRE(pthread_join(thread, NULL) == 0);
    }
    return 0;
}

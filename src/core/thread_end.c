/* A thread's end is noticed as C++ notices it, through __cxa_thread_atexit_impl: that takes none of the
 * program's pthread keys. It allocates, which the caller allows for. Where libc has no such function (musl), a
 * key is used. */
#include "thread_end.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "attr.h"

static void run(void *end)
{
    /* Converting an object pointer to a function pointer is POSIX's, not ISO C's: through an integer. */
    ((void (*)(void))(uintptr_t)end)();
}

#if defined(__GLIBC__) && !defined(NP_THREAD_END_BY_KEY)

extern int __cxa_thread_atexit_impl(void (*destroy)(void *), void *object, void *library);
extern void *__dso_handle __attribute__((visibility("hidden")));

bool np_thread_at_end(void (*end)(void))
{
    return __cxa_thread_atexit_impl(run, (void *)(uintptr_t)end, &__dso_handle) == 0;
}

#else

static pthread_key_t key;
static bool has_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_key(void)
{
    has_key = pthread_key_create(&key, run) == 0;
}

/* Without a key of our own, 0 would be one of the program's. */
bool np_thread_at_end(void (*end)(void))
{
    (void)pthread_once(&once, make_key);
    return has_key && pthread_setspecific(key, (void *)(uintptr_t)end) == 0;
}

#endif

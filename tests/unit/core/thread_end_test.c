/* How a thread's end is noticed where libc is not glibc: by a key, which may not be had. The file
 * under test is compiled here once more, for such a libc. */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "isolated.h"

static bool has_keys;

static int create_key(pthread_key_t *key, void (*destroy)(void *))
{
    return has_keys ? pthread_key_create(key, destroy) : EAGAIN;
}

bool at_end_by_key(void (*end)(void));

#define NP_THREAD_END_BY_KEY
#define np_thread_at_end at_end_by_key
#define pthread_key_create create_key
#include "../../../src/core/thread_end.c"
#undef pthread_key_create

static _Atomic unsigned ends;

static void count_end(void)
{
    ends++;
}

static void *register_end(void *is_registered)
{
    *(bool *)is_registered = at_end_by_key(count_end);
    return NULL;
}

static bool run_thread(void)
{
    bool is_registered = false;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, register_end, &is_registered), 0);
    pthread_join(thread, NULL);
    return is_registered;
}

static void a_key_calls_at_the_end_of_each_thread(void **state)
{
    (void)state;
    has_keys = true;
    assert_true(run_thread());
    assert_true(run_thread());
    assert_int_equal(ends, 2);
}

/* The program's first key has the number that a key of ours would have, had it been made. */
static void without_a_key_nobody_elses_is_used(void **state)
{
    pthread_key_t first;

    (void)state;
    has_keys = false;
    assert_int_equal(pthread_key_create(&first, NULL), 0);
    assert_false(run_thread());
    assert_false(at_end_by_key(count_end));
    assert_null(pthread_getspecific(first));
    assert_int_equal(ends, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_calls_at_the_end_of_each_thread),
        cmocka_unit_test(without_a_key_nobody_elses_is_used),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

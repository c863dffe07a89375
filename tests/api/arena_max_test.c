/* M_ARENA_MAX is a hard limit, whatever threads do. glibc works its limit out once, so there is one
 * setting here. */
#include "api_test.h"

#include <pthread.h>
#include <stdio.h>

enum { ARENAS = 2, THREADS = 8, ROUNDS = 300, BLOCKS = 40 };

/* Runs, so that all threads want the arenas' locks at once. */
static void *allocate_and_free(void *is_short)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        char *blocks[BLOCKS];

        for (size_t i = 0; i < BLOCKS; i++) {
            blocks[i] = api_malloc(20000 + 500 * i);
            if (blocks[i] == NULL)
                *(bool *)is_short = true;
            else
                blocks[i][0] = 1;
        }
        for (size_t i = 0; i < BLOCKS; i++)
            api_free(blocks[i]);
    }
    return NULL;
}

/* By the report that is for it. */
static unsigned arena_count(void)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    unsigned count = 0;

    assert_non_null(stream);
    assert_int_equal(api_malloc_info(0, stream), 0);
    assert_int_equal(fclose(stream), 0);
    for (const char *at = strstr(text, "<heap nr="); at != NULL; at = strstr(at + 1, "<heap nr="))
        count++;
    free(text);
    return count;
}

static void threads_share_what_there_is(void **state)
{
    pthread_t threads[THREADS];
    bool is_short[THREADS] = {false};

    (void)state;
    assert_int_equal(api_mallopt(M_ARENA_MAX, ARENAS), 1);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_and_free, &is_short[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(is_short[i]);
    }
    assert_true(arena_count() >= 1);
    assert_true(arena_count() <= ARENAS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_share_what_there_is)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

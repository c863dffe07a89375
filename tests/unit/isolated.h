/* Tests that need a process of their own: the layers' state is the process's, and cannot be put
 * back.
 *
 * run_isolated forks for each test; the child runs it as a cmocka group of one. Fault tests,
 * which run one scenario many times, do the same with run_in_child; there a failed expectation
 * ends the child. */
#ifndef NP_TESTS_ISOLATED_H
#define NP_TESTS_ISOLATED_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A structure's audit says that it is sound. */
#define assert_sound(audit) \
    do { \
        const char *fault_ = (audit); \
        if (fault_ != NULL) \
            fail_msg("audit: %s", fault_); \
    } while (0)

/* The same outside cmocka: in the child of run_in_child. */
#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            _exit(1); \
        } \
    } while (0)

#define EXPECT_SOUND(audit) \
    do { \
        const char *fault_ = (audit); \
        if (fault_ != NULL) { \
            fprintf(stderr, "%s:%d: audit: %s\n", __FILE__, __LINE__, fault_); \
            _exit(1); \
        } \
    } while (0)

/* The child's exit status, or 128 and its signal. */
static inline int wait_for_child(pid_t child)
{
    int status;

    if (waitpid(child, &status, 0) != child)
        return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What `body` answers, as the exit status of a process of its own. */
static inline int run_in_child(int (*body)(unsigned argument), unsigned argument)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        int status = body(argument);

        fflush(NULL);
        _exit(status);
    }
    return wait_for_child(child);
}

/* Whether the environment asks for others: for those whose names have ONLY_TESTS in them. */
static inline bool is_left_out(const char *name)
{
    const char *part = getenv("ONLY_TESTS");

    return part != NULL && strstr(name, part) == NULL;
}

/* Whether the environment asks for all trials, where otherwise some are left out to save time. */
static inline bool is_thorough(void)
{
    return getenv("EVERY_TRIAL") != NULL;
}

/* Where glibc says whether there are threads. For other libcs the tests do as glibc does; the word
 * is in os_fake.c then, and in tests without that there is none. */
extern char __libc_single_threaded __attribute__((weak));

static inline void set_alone(char is_alone)
{
    if (&__libc_single_threaded != NULL)
        __libc_single_threaded = is_alone;
}

#ifndef __GLIBC__
static inline int create_thread(pthread_t *thread, const pthread_attr_t *attributes,
                                void *(*run)(void *), void *argument)
{
    set_alone(0);
    return pthread_create(thread, attributes, run, argument);
}

#define pthread_create create_thread
#endif

/* A sanitizer may have begun a thread of its own in this process, which is none of
 * the program's. */
static inline void begin_alone(void)
{
    set_alone(1);
}

/* One that goes round for ever fails, and the others are run. Of processor time, since machines may
 * be busy; much, since some are emulated. */
static inline void limit_time(void)
{
    struct rlimit limit = {900, 900};

    (void)setrlimit(RLIMIT_CPU, &limit);
}

/* How many of the tests failed, or 1 if none was run: main's answer. */
static inline int run_isolated(const struct CMUnitTest *tests, size_t count)
{
    size_t run_count = 0;
    int failed_count = 0;

    for (size_t i = 0; i < count; i++) {
        pid_t child;

        if (is_left_out(tests[i].name))
            continue;
        run_count++;
        fflush(NULL);
        child = fork();
        if (child == 0) {
            int status;

            begin_alone();
            limit_time();
            status = _cmocka_run_group_tests(tests[i].name, &tests[i], 1, NULL, NULL);
            fflush(NULL);
            _exit(status);
        }
        failed_count += wait_for_child(child) != 0;
    }
    return run_count == 0 ? 1 : failed_count;
}

/* A repeatable number below `limit`. */
static inline size_t random_below(size_t limit)
{
    static uint64_t seed = 1;

    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(seed >> 33) % limit;
}

#endif

/* For tests of what ends the process: a crime is committed in a child, which must die of SIGABRT
 * with one exact sentence on standard error. */
#ifndef NEAP_TESTS_DEATH_H
#define NEAP_TESTS_DEATH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "names.h"
#include "pattern.h"

static inline void do_free(void *pointer)
{
    api_free(pointer);
}

static inline void *free_on_thread(void *pointer)
{
    api_free(pointer);
    return NULL;
}

/* On another thread than the one that holds the slab. */
static inline void do_free_elsewhere(void *pointer)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, free_on_thread, pointer) == 0)
        pthread_join(thread, NULL);
}

static inline void do_realloc(void *pointer)
{
    api_free(api_realloc(pointer, 100));
}

static inline void do_usable_size(void *pointer)
{
    (void)api_malloc_usable_size(pointer);
}

/* The child's share: standard error goes to the pipe, and what it should die of is done. */
static inline _Noreturn void attempt(int write_end, void (*crime)(void *), void *pointer)
{
    signal(SIGABRT, SIG_DFL);
    dup2(write_end, STDERR_FILENO);
    crime(unrelated(pointer));
    _exit(0);
}

/* What is done dies, and says the sentence, the address and what is there: "", or ", slot of N
 * bytes". */
static inline void expect_death_at(void (*crime)(void *), void *pointer, const char *sentence,
                                   uintptr_t address, const char *what)
{
    char wanted[256];
    char got[4096];
    size_t length = 0;
    ssize_t piece;
    int pipe_ends[2];
    int status;
    pid_t child;

    assert_int_equal(pipe(pipe_ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        attempt(pipe_ends[1], crime, pointer);
    close(pipe_ends[1]);
    while ((piece = read(pipe_ends[0], got + length, sizeof(got) - 1 - length)) > 0)
        length += (size_t)piece;
    got[length] = '\0';
    close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    snprintf(wanted, sizeof(wanted), "neap: %s (address 0x%llx%s)\n", sentence,
             (unsigned long long)address, what);
    assert_string_equal(got, wanted);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static inline void expect_death(void (*crime)(void *), void *pointer, const char *sentence)
{
    expect_death_at(crime, pointer, sentence, (uintptr_t)pointer, "");
}

/* The same where the sentence says how large the slot or the block is. */
static inline void expect_death_in(void (*crime)(void *), void *pointer, const char *sentence,
                                   const char *kind, size_t size)
{
    char what[64];

    snprintf(what, sizeof(what), ", %s of %zu bytes", kind, size);
    expect_death_at(crime, pointer, sentence, (uintptr_t)pointer, what);
}

#endif

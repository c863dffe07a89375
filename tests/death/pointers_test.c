/* Pointers that are not neap's to free: each ends the process with SIGABRT and one sentence on
 * standard error that names the crime and the address. Every attempt is made in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "names.h"
#include "pattern.h"

static const char free_of_unknown[] =
    "free of a pointer that neap did not allocate, or freed before";
static const char free_of_interior[] = "free of a pointer inside a block";
static const char free_in_slab[] = "free of a pointer inside a block, or of none ever handed out";
static const char free_in_slab_again[] = "double free, or free of a block never handed out";
static const char on_two_lists[] =
    "a block was freed twice: it is on two free lists, of the slab at";
static const char overwritten[] = "a free block was overwritten: its link leaves the slab at";
static const char realloc_of_unknown[] =
    "realloc of a pointer that neap did not allocate, or freed before";
static const char realloc_of_interior[] = "realloc of a pointer inside a block";
static const char size_of_unknown[] = "malloc_usable_size of a pointer that neap did not allocate";
static const char size_of_interior[] = "malloc_usable_size of a pointer inside a block";

static void do_free(void *pointer)
{
    api_free(pointer);
}

static void *free_on_thread(void *pointer)
{
    api_free(pointer);
    return NULL;
}

/* On another thread than the one that holds the slab: the owner's own fast path does not look
 * where in a slab a pointer points. */
static void do_free_elsewhere(void *pointer)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, free_on_thread, pointer) == 0)
        pthread_join(thread, NULL);
}

static void do_realloc(void *pointer)
{
    api_free(api_realloc(pointer, 100));
}

static void do_usable_size(void *pointer)
{
    (void)api_malloc_usable_size(pointer);
}

/* The child's share: standard error goes to the pipe, and what it should die of is done. */
static _Noreturn void attempt(int write_end, void (*crime)(void *), void *pointer)
{
    signal(SIGABRT, SIG_DFL);
    dup2(write_end, STDERR_FILENO);
    crime(unrelated(pointer));
    _exit(0);
}

/* What is done dies, and says the sentence and the address. */
static void expect_death_at(void (*crime)(void *), void *pointer, const char *sentence,
                            uintptr_t address)
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
    snprintf(wanted, sizeof(wanted), "neap: %s (address 0x%llx)\n", sentence,
             (unsigned long long)address);
    assert_string_equal(got, wanted);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void expect_death(void (*crime)(void *), void *pointer, const char *sentence)
{
    expect_death_at(crime, pointer, sentence, (uintptr_t)pointer);
}

static void *inside(void *block, size_t offset_bytes)
{
    return (char *)block + offset_bytes;
}

static void never_allocated(void **state)
{
    static char of_the_program[64];
    char on_the_stack[64];
    void *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *const pointers[] = {
        of_the_program,
        on_the_stack,
        mapped,
        (void *)(uintptr_t)16,
        (void *)(uintptr_t)4096,
        (void *)(UINTPTR_MAX - 15),
        (void *)(uintptr_t)0x123456789abcdef0,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
        expect_death(do_free, pointers[i], free_of_unknown);
        expect_death(do_realloc, pointers[i], realloc_of_unknown);
        expect_death(do_usable_size, pointers[i], size_of_unknown);
    }
    munmap(mapped, 4096);
}

static void inside_a_small_block(void **state)
{
    static const size_t sizes[] = {24, 100, 500, 1000, 5000, 16000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *block = api_malloc(sizes[i]);

        assert_non_null(block);
        expect_death(do_free_elsewhere, inside(block, 1), free_in_slab);
        expect_death(do_free_elsewhere, inside(block, 8), free_in_slab);
        expect_death(do_realloc, inside(block, 8), realloc_of_interior);
        expect_death(do_usable_size, inside(block, 8), size_of_interior);
        if (sizes[i] > 64)
            expect_death(do_free_elsewhere, inside(block, 16), free_in_slab);
        api_free(block);
    }
}

/* The slab has room for more slots than were ever handed out. */
static void never_handed_out(void **state)
{
    const size_t size = 1500;
    char *block = api_malloc(size);
    size_t usable = api_malloc_usable_size(block);

    (void)state;
    assert_non_null(block);
    expect_death(do_free_elsewhere, inside(block, 20 * usable), free_in_slab_again);
    api_free(block);
}

static const size_t small_sizes[] = {24, 100, 500, 1000, 2000, 5000, 8000};

/* By a thread that does not hold its slab: a bit says that it is free already. */
static void a_small_block_twice_elsewhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(small_sizes) / sizeof(small_sizes[0]); i++) {
        void *block = api_malloc(small_sizes[i]);
        void *gone = unrelated(block);

        assert_non_null(block);
        do_free_elsewhere(block);
        expect_death(do_free_elsewhere, gone, free_in_slab_again);
    }
}

/* The owner's own free is a plain one; that the block was free already is seen when its slab is
 * next looked through. */
static void free_here_and_trim(void *pointer)
{
    api_free(pointer);
    (void)api_malloc_trim(0);
}

static void a_small_block_elsewhere_and_here(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(small_sizes) / sizeof(small_sizes[0]); i++) {
        void *block = api_malloc(small_sizes[i]);
        void *kept = api_malloc(small_sizes[i]); /* so that the slab does not just go */
        void *gone = unrelated(block);

        assert_non_null(block);
        assert_non_null(kept);
        do_free_elsewhere(block);
        expect_death_at(free_here_and_trim, gone, on_two_lists,
                        (uintptr_t)gone & ~(uintptr_t)65535);
    }
}

/* A program that writes to a block that it has freed breaks a link; it is seen before it is
 * followed out of the slab. */
static void write_and_trim(void *pointer)
{
    memset(pointer, 0x41, 8);
    (void)api_malloc_trim(0);
}

static void a_small_block_written_when_free(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(small_sizes) / sizeof(small_sizes[0]); i++) {
        void *block = api_malloc(small_sizes[i]);
        void *other = api_malloc(small_sizes[i]);
        void *kept = api_malloc(small_sizes[i]);
        void *gone = unrelated(other);

        assert_non_null(block);
        assert_non_null(other);
        assert_non_null(kept);
        api_free(block);
        api_free(other);
        expect_death_at(write_and_trim, gone, overwritten, (uintptr_t)gone & ~(uintptr_t)65535);
    }
}

static void inside_a_run(void **state)
{
    char *block = api_malloc(60000);

    (void)state;
    assert_non_null(block);
    expect_death(do_free, inside(block, 16), free_of_interior);
    expect_death(do_free, inside(block, 4096), free_of_interior);
    expect_death(do_free, inside(block, 59999), free_of_interior);
    expect_death(do_realloc, inside(block, 4096), realloc_of_interior);
    expect_death(do_usable_size, inside(block, 4096), size_of_interior);
    api_free(block);
}

static void inside_a_mapping(void **state)
{
    char *block = api_malloc(3000000);

    (void)state;
    assert_non_null(block);
    assert_true(api_mallinfo2().hblks > 0);
    expect_death(do_free, inside(block, 16), free_of_interior);
    expect_death(do_free, inside(block, 4096), free_of_interior);
    expect_death(do_free, inside(block, 2999999), free_of_interior);
    expect_death(do_realloc, inside(block, 1 << 20), realloc_of_interior);
    expect_death(do_usable_size, inside(block, 1 << 20), size_of_interior);
    api_free(block);
}

static void twice(void **state)
{
    static const size_t sizes[] = {60000, 3000000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *block = api_malloc(sizes[i]);
        void *guard = api_malloc(sizes[i]); /* so that the first does not join the top */
        void *gone = block;

        assert_non_null(block);
        assert_non_null(guard);
        gone = unrelated(gone);
        api_free(block);
        expect_death(do_free, gone, free_of_unknown);
        expect_death(do_realloc, gone, realloc_of_unknown);
        expect_death(do_usable_size, gone, size_of_unknown);
        api_free(guard);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_allocated),
        cmocka_unit_test(inside_a_small_block),
        cmocka_unit_test(never_handed_out),
        cmocka_unit_test(a_small_block_twice_elsewhere),
        cmocka_unit_test(a_small_block_elsewhere_and_here),
        cmocka_unit_test(a_small_block_written_when_free),
        cmocka_unit_test(inside_a_run),
        cmocka_unit_test(inside_a_mapping),
        cmocka_unit_test(twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Trap: a handler of SIGSEGV that explains misuse must take nothing away from the program: its own
 * faults end it as they always did, and without a word; signals that are sent end it; a handler of
 * its own stays. And what is misuse is said. Started with NEAP_HARDENING=1 and 2. */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "child.h"

enum { MIB = 1 << 20, PAGES = 1 << 16 };

static void *volatile kept;
static bool is_strict;

static void access_number(void)
{
    *(volatile char *)(uintptr_t)(kept == NULL ? 8 : 16) = 1;
}

static void access_own_guard_page(void)
{
    char *guard;

    kept = malloc(4 * MIB);
    guard = mmap(NULL, PAGES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(kept != NULL && guard != MAP_FAILED);
    *(volatile char *)(guard + PAGES / 2) = 1;
}

static void raise_it(void)
{
    raise(SIGSEGV);
    _exit(0);
}

static void send_it(void)
{
    kill(getpid(), SIGSEGV);
    _exit(0);
}

static void access_block_of_no_bytes(void)
{
    *(volatile char *)malloc(0) = 1;
}

static void access_freed_mapping(void)
{
    volatile char *block = malloc(8 * MIB);

    REQUIRE(block != NULL);
    free((void *)block);
    block[MIB] = 1;
}

static void exit_with_42(int number)
{
    (void)number;
    _exit(42);
}

static void access_with_own_handler(void)
{
    signal(SIGSEGV, exit_with_42);
    access_block_of_no_bytes();
}

struct act {
    void (*act)(void);
};

/* In a process that has asked for blocks of all kinds before. */
static void do_it(void *argument)
{
    const struct act *what = argument;

    free(malloc(0));
    free(malloc(100000));
    what->act();
}

static void expect(void (*act)(void), int signal_number, int exit_code, bool is_told)
{
    struct act what = {act};
    char said[256];
    int status = child_status(do_it, &what, said, sizeof said);

    if (signal_number != 0)
        REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == signal_number);
    else
        REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == exit_code);
    REQUIRE(is_told == (strncmp(said, "neap: ", 6) == 0));
}

int main(void)
{
    const char *level = getenv("NEAP_HARDENING");

    alarm(120);
    is_strict = level != NULL && *level == '2';
    expect(access_number, SIGSEGV, 0, false);
    expect(raise_it, SIGSEGV, 0, false);
    expect(send_it, SIGSEGV, 0, false);
    if (!is_strict) /* at level 2 guard pages beside blocks are mostly neap's own */
        expect(access_own_guard_page, SIGSEGV, 0, false);
    expect(access_with_own_handler, 0, 42, false);
    expect(access_block_of_no_bytes, SIGABRT, 0, true);
    expect(access_freed_mapping, SIGABRT, 0, true);
    return 0;
}

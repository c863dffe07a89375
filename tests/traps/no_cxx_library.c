/* Trap: neap has operator new, and stands in programs without a C++ library. Where one of these
 * asks for memory that there is not, nobody can throw bad_alloc: the process ends with a sentence.
 * What does not throw works as ever. */
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "child.h"

/* How C++ writes size_t in the names of functions: as the type that it is. */
#if SIZE_MAX > UINT32_MAX
#define NEW "_Znwm"
#else
#define NEW "_Znwj"
#endif

#define TOO_MUCH ((size_t)PTRDIFF_MAX + 1)

void *operator_new(size_t bytes) __asm__(NEW);
void *operator_new_nothrow(size_t bytes, const void *nothrow) __asm__(NEW "RKSt9nothrow_t");

static void ask_for_too_much(void *unused)
{
    (void)unused;
    (void)operator_new(TOO_MUCH);
}

int main(void)
{
    static const char sentence[] =
        "neap: operator new found no memory, and no C++ library to throw bad_alloc\n";
    void *block = operator_new(100);
    char said[256];

    REQUIRE(block != NULL);
    free(block);
    REQUIRE(operator_new_nothrow(TOO_MUCH, "") == NULL);
    REQUIRE(child_status(ask_for_too_much, NULL, said, sizeof said) == SIGABRT);
    REQUIRE(strcmp(said, sentence) == 0);
    return 0;
}

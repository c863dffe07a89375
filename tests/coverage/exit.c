/* For builds that count which lines run (NEAP_COVERAGE): most tests end in a child by _exit, or are
 * to end by abort, and would lose their counts. */
#include <stdlib.h>
#include <unistd.h>

void __gcov_dump(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
_Noreturn void __real_abort(void);
_Noreturn void __wrap_abort(void);

/* In libneap.so, if that is linked: the counts of a library are its own (library.c). */
void neap_coverage_dump(void) __attribute__((weak));

static void dump(void)
{
    __gcov_dump();
    if (neap_coverage_dump != NULL)
        neap_coverage_dump();
}

_Noreturn void __wrap__exit(int status)
{
    dump();
    __real__exit(status);
}

_Noreturn void __wrap_abort(void)
{
    dump();
    __real_abort();
}

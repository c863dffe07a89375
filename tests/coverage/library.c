/* As exit.c, for libneap.so: it says what it has counted before it ends the process, and when a
 * test asks for it. */
#include <stdlib.h>

void __gcov_dump(void);
_Noreturn void __real_abort(void);
_Noreturn void __wrap_abort(void);
__attribute__((visibility("default"))) void neap_coverage_dump(void);

void neap_coverage_dump(void)
{
    __gcov_dump();
}

/* Writing the counts allocates, which may find what the process ends for once more. */
_Noreturn void __wrap_abort(void)
{
    static _Thread_local int is_dumping;

    if (!is_dumping) {
        is_dumping = 1;
        __gcov_dump();
    }
    __real_abort();
}

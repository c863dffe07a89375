/* What the trap programs share. Each is one small main that exits with 0, or says what went wrong;
 * most need to be linked, loaded or started in a way of their own, so no test framework stands
 * between them and malloc. An alarm ends those that hang. */
#ifndef NEAP_TESTS_TRAPS_TRAP_H
#define NEAP_TESTS_TRAPS_TRAP_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRAP_TEXT_(x) #x
#define TRAP_TEXT(x) TRAP_TEXT_(x)

/* Ends the program, without stdio: it may be stdio that is stuck. */
#define REQUIRE(condition) \
    do { \
        if (!(condition)) \
            trap_fail(__FILE__ ":" TRAP_TEXT(__LINE__) ": not so: " #condition "\n"); \
    } while (0)

__attribute__((noreturn)) static inline void trap_fail(const char *sentence)
{
    ssize_t ignored = write(STDERR_FILENO, sentence, strlen(sentence));

    (void)ignored;
    _exit(1);
}

#endif

/* The three kinds of fault and their checks:
 *   np_die_of    the program's mistake (text.h): always on, one sentence, abort;
 *   NP_ASSERT    our mistake: debug builds;
 *   np_x_audit() a structure walks itself and names the invariant that does not hold. */
#ifndef NP_BASE_CHECK_H
#define NP_BASE_CHECK_H

#include "attr.h"
#include "text.h"

#define NP_STRINGIFY_(x) #x
#define NP_STRINGIFY(x) NP_STRINGIFY_(x)

/* An audit's answer is fatal: it is NULL when the structure is sound. */
#define NP_ASSERT_SOUND(audit) \
    do { \
        if (NP_DEBUG_LEVEL >= 1) { \
            const char *np_fault_ = (audit); \
            if (np_fault_ != NULL) \
                np_die(np_fault_); \
        } \
    } while (0)

#define NP_ASSERT(condition) \
    do { \
        if (NP_DEBUG_LEVEL >= 1 && NP_UNLIKELY(!(condition))) \
            np_die("internal fault: " #condition " does not hold at " __FILE__ \
                   ":" NP_STRINGIFY(__LINE__)); \
    } while (0)

#endif

/* The adversaries: each is a way of allocating and freeing that makes it hard to keep P1's bound,
 * with an audit after every so many frees. Each runs in a process of its own. */
#ifndef NEAP_TESTS_AUDIT_SCENARIOS_H
#define NEAP_TESTS_AUDIT_SCENARIOS_H

#include <stddef.h>
#include <stdint.h>

struct options {
    uint64_t seed;
    unsigned seconds;   /* of the random ones */
    size_t total_bytes; /* what the others allocate, about */
};

extern struct options options;

struct scenario {
    const char *name;
    void (*run)(void);
};

/* Each table ends with a row without a name. */
extern const struct scenario one_thread_scenarios[];
extern const struct scenario thread_scenarios[];
extern const struct scenario random_scenarios[];

#endif

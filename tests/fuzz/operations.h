/* Sequences of calls of all entry points, read from bytes, beside a shadow that knows what must be
 * true: where live blocks are and what they hold, what may fail and with which errno, what the
 * statistics must say.
 *
 * An input is a row of records of 8 bytes, so that a fuzzer can cut, move and repeat them; a rest
 * is ignored. Every value of every byte means something. What an operation cannot do now (no live
 * block, too much memory live) it leaves out. On the neap_ names, so that sanitizers can be
 * used. */
#ifndef NEAP_TESTS_FUZZ_OPERATIONS_H
#define NEAP_TESTS_FUZZ_OPERATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shadow.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RECORD_BYTES = 8 };

struct record {
    uint8_t kind;      /* which operation, or one that the target adds */
    uint8_t repeat;    /* how often: powers of two up to 2,048, mostly once */
    uint16_t which;    /* of the live blocks, or a second number where none is meant */
    uint8_t size_kind; /* with the next: the size */
    uint8_t size_part;
    uint8_t option;
    uint8_t thread; /* which of several threads does it */
};

/* Who may be at work beside the one who calls. */
enum company {
    COMPANY_NONE,    /* no other thread is inside neap, and all live blocks are in this shadow */
    COMPANY_THREADS, /* others have blocks of their own and set the same knobs */
};

struct operations {
    struct shadow shadow;
    enum company company;
    unsigned thread_count;   /* that may hold slabs open */
    size_t allocation_count; /* so far; there is a limit */
    uint64_t random;         /* for the contents of blocks */
};

/* The nth record of the input; the count of those there are is byte_count / RECORD_BYTES. */
struct record record_at(const uint8_t *bytes, size_t index);

/* How a record is read: a size that can be met (powers of two and what lies between, small ones to
 * the byte, a few large ones), an alignment of 16 bytes to 4 MiB, and the place of a live block in
 * the table, of which there must be one. */
unsigned record_repeat_count(const struct record *record);
size_t record_size(const struct record *record);
size_t record_alignment(const struct record *record);
size_t record_place(const struct record *record, const struct shadow *shadow);

/* Begins an input. The seed decides what blocks hold, nothing else. */
void operations_begin(struct operations *operations, enum company company, unsigned thread_count,
                      uint64_t seed);

/* Whether the record's kind is an operation of this file, and does it. */
bool operations_do(struct operations *operations, const struct record *record);

/* Ends an input: frees what is live. */
void operations_free_all(struct operations *operations);

/* After all threads have ended theirs: resets the knobs, returns memory, and checks that so many
 * blocks are live and all structures are sound. */
void operations_settle(size_t live_count);

/* The target says: whether a request that could be met may fail nevertheless at the moment. */
bool target_may_fail(void);

#ifdef __cplusplus
}
#endif

#endif

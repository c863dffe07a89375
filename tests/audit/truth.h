/* What is so, as against what neap believes: which bytes are live, because the program that took
 * the blocks counts them itself, and which pages are resident, because the kernel is asked
 * (/proc/self/pagemap, which any process may read of itself).
 *
 * Blocks are taken and given through entry/serve.h, the very code behind malloc and free. Every
 * 8-byte word at an edge of a block and at the start of each of its pages holds a value of its
 * own, looked at when the block is given back: a page that was purged under a live block, or lent
 * twice, is found then. Nothing here allocates, in the heap under test or in libc's.
 *
 * Any thread may take and give; looking (truth_look and below) is for one thread while the others
 * are outside of neap. */
#ifndef NEAP_TESTS_AUDIT_TRUTH_H
#define NEAP_TESTS_AUDIT_TRUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block {
    char *address; /* NULL: none */
    size_t bytes;  /* usable */
    uint64_t tag;
};

/* To be called first, and again in the child of a fork: the kernel answers of who asked first. */
void truth_begin(void);

/* Memory of the test's own, zeroed; never given back. */
void *truth_map(size_t bytes);

void block_take(struct block *block, size_t size_bytes);
void block_take_zeroed(struct block *block, size_t size_bytes);
void block_take_aligned(struct block *block, size_t alignment_bytes, size_t size_bytes);
/* Without touching it: live, and without memory behind it. */
void block_take_untouched(struct block *block, size_t size_bytes);
void block_resize(struct block *block, size_t size_bytes);
/* Nothing to be done if it is none. */
void block_give(struct block *block);

/* Bytes of live blocks in arenas: those with a mapping of their own are not counted. */
size_t truth_live_bytes(void);

/* Asks the kernel what is resident in all arenas. */
void truth_look(void);

/* As of the last look; a granule is NP_GRANULE_BYTES. */
bool truth_is_resident(uintptr_t granule_address);
bool truth_is_live(uintptr_t granule_address);

/* Bytes that are resident in [start, end), on those system pages of np_page_bytes() that have no
 * byte of a live block. */
size_t truth_retained_bytes(uintptr_t start, uintptr_t end);

/* Bytes resident in [start, end), asked anew: for bookkeeping. A page that was read and never
 * written is the kernel's page of zeros, and does not count; nor, in the child of a fork, does one
 * that is its parent's too. */
size_t truth_written_bytes(uintptr_t start, uintptr_t end);

/* A failed expectation ends the process. */
_Noreturn void truth_fail(const char *file, int line, const char *what);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            truth_fail(__FILE__, __LINE__, "not so: " #condition);                                 \
    } while (0)

#endif

/* Contents that tell blocks apart, random numbers from a seed, what the compiler must not know, and
 * what /proc says of us.
 *
 * A block is filled with a sequence that depends on its seed alone; two blocks that share a byte
 * cannot both still hold theirs. Nothing here allocates. */
#ifndef NEAP_TESTS_API_PATTERN_H
#define NEAP_TESTS_API_PATTERN_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* splitmix64: any seed will do, and each state gives one number. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;

    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

/* 0 <= answer < limit. */
static inline size_t random_below(uint64_t *state, size_t limit)
{
    return (size_t)(random_next(state) % limit);
}

/* A size up to 2^max_shift, each power of two as likely as the next: small ones are common. */
static inline size_t random_size(uint64_t *state, unsigned max_shift)
{
    size_t limit_bytes = (size_t)2 << random_below(state, max_shift);

    return random_below(state, limit_bytes);
}

/* The same pointer, but the compiler knows nothing of it any more: neither how much was asked for,
 * when more is usable, nor that realloc may have ended it, when realloc must fail. */
static inline void *unrelated(void *block)
{
    __asm__("" : "+r"(block));
    return block;
}

/* The compiler knows a size above PTRDIFF_MAX for a mistake when it sees one. */
static inline size_t hidden(size_t value)
{
    volatile size_t kept = value;

    return kept;
}

static inline uint64_t pattern_next(uint64_t word)
{
    return word * 6364136223846793005u + 1442695040888963407u;
}

static inline void pattern_fill(void *block, size_t size_bytes, uint64_t seed)
{
    unsigned char *bytes = unrelated(block);
    uint64_t word = pattern_next(seed);
    size_t at = 0;

    for (; at + sizeof(word) <= size_bytes; at += sizeof(word), word = pattern_next(word))
        memcpy(bytes + at, &word, sizeof(word));
    if (at < size_bytes)
        memcpy(bytes + at, &word, size_bytes - at);
}

/* Whether the first `size_bytes` are still those of pattern_fill with that seed. */
static inline bool pattern_holds(const void *block, size_t size_bytes, uint64_t seed)
{
    const unsigned char *bytes = block;
    uint64_t word = pattern_next(seed);
    size_t at = 0;

    for (; at + sizeof(word) <= size_bytes; at += sizeof(word), word = pattern_next(word)) {
        uint64_t found;

        memcpy(&found, bytes + at, sizeof(found));
        if (found != word)
            return false;
    }
    return at == size_bytes || memcmp(bytes + at, &word, size_bytes - at) == 0;
}

/* The same for blocks so large that writing all of them for every test would take too long: both
 * ends, where the neighbours are, and a word in every 4 KiB between. */
enum { PATTERN_EDGE_BYTES = 8192, PATTERN_STEP_BYTES = 4096 };

static inline void pattern_fill_edges(void *block, size_t size_bytes, uint64_t seed)
{
    char *bytes = unrelated(block);
    size_t end = size_bytes - PATTERN_EDGE_BYTES;

    if (size_bytes <= 2 * PATTERN_EDGE_BYTES) {
        pattern_fill(block, size_bytes, seed);
        return;
    }
    for (size_t at = PATTERN_EDGE_BYTES; at + 8 <= end; at += PATTERN_STEP_BYTES)
        pattern_fill(bytes + at, 8, seed + at);
    pattern_fill(bytes, PATTERN_EDGE_BYTES, seed);
    pattern_fill(bytes + end, PATTERN_EDGE_BYTES, ~seed);
}

static inline bool pattern_edges_hold(const void *block, size_t size_bytes, uint64_t seed)
{
    const char *bytes = block;
    size_t end = size_bytes - PATTERN_EDGE_BYTES;

    if (size_bytes <= 2 * PATTERN_EDGE_BYTES)
        return pattern_holds(block, size_bytes, seed);
    for (size_t at = PATTERN_EDGE_BYTES; at + 8 <= end; at += PATTERN_STEP_BYTES) {
        if (!pattern_holds(bytes + at, 8, seed + at))
            return false;
    }
    return pattern_holds(bytes, PATTERN_EDGE_BYTES, seed) &&
           pattern_holds(bytes + end, PATTERN_EDGE_BYTES, ~seed);
}

static inline bool bytes_are(const void *block, size_t size_bytes, unsigned char value)
{
    const unsigned char *bytes = block;

    if (size_bytes == 0)
        return true;
    return bytes[0] == value && memcmp(bytes, bytes + 1, size_bytes - 1) == 0;
}

/* Resident bytes of this process, by open and read only: stdio would allocate. */
static inline size_t resident_bytes(void)
{
    char text[128];
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
    size_t pages = 0;
    char *at = text;

    if (file >= 0)
        close(file);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    at = strchr(text, ' ');
    for (at = at == NULL ? text : at + 1; *at >= '0' && *at <= '9'; at++)
        pages = pages * 10 + (size_t)(*at - '0');
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* What a sanitizer keeps about memory is resident too, and stays when the memory goes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { RESIDENT_IS_THE_PROGRAMS = 0 };
#else
enum { RESIDENT_IS_THE_PROGRAMS = 1 };
#endif

static inline bool resident_is_at_most(size_t limit_bytes)
{
    return !RESIDENT_IS_THE_PROGRAMS || resident_bytes() <= limit_bytes;
}

#endif

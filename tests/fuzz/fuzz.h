/* What the fuzz targets share: the entry that libFuzzer, AFL++ and replay.c call, and how a target
 * says that something is wrong.
 *
 * A target is called with any bytes whatever, many times in one process. It leaves no live block
 * and the knobs as they were, so that an input does the same alone as after others. */
#ifndef NEAP_TESTS_FUZZ_FUZZ_H
#define NEAP_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

#ifdef __cplusplus
}
#endif

#define REQUIRE(condition) \
    do { \
        if (!(condition)) \
            fuzz_fail(__FILE__, __LINE__, #condition " does not hold"); \
    } while (0)

/* For what answers with NULL, or a sentence that says what is wrong. */
#define REQUIRE_SOUND(complaint) \
    do { \
        const char *complaint_ = (complaint); \
        if (complaint_ != NULL) \
            fuzz_fail(__FILE__, __LINE__, complaint_); \
    } while (0)

__attribute__((noreturn)) static inline void fuzz_fail(const char *file, int line,
                                                       const char *complaint)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, complaint);
    abort(); /* which makes the fuzzer keep the input */
}

#endif

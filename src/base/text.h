/* Text without stdio, locale or allocation: numbers and sentences go into a buffer of the caller's,
 * and from there to a file descriptor. For messages from inside malloc, where nothing of stdio may
 * be called.
 *
 * Owns nothing and keeps no state, so nothing guards it: a struct np_text belongs to whoever
 * declared it. Leaves out floating point, parsing and any choice of what to say.
 * Errors: text that does not fit is cut off, bytes that cannot be written are dropped; neither
 * is reported, since there is nobody to report it to. errno is never changed. */
#ifndef NP_BASE_TEXT_H
#define NP_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* The part of a buffer that is still unwritten.
 * [T1] at <= end; what was appended lies before `at`, and nothing is ever stored at or behind
 *      `end`. There is no terminating zero: the length is `at` less the start of the buffer. */
struct np_text {
    char *at;
    char *end;
};

/* A text that fills `buffer`, of `size_bytes` bytes, from its start. */
static inline struct np_text np_text_over(char *buffer, size_t size_bytes)
{
    return (struct np_text){.at = buffer, .end = buffer + size_bytes};
}

/* Appends the bytes as they are. */
void np_text_bytes(struct np_text *text, const char *bytes, size_t byte_count);

/* Appends a zero-terminated string. */
void np_text_string(struct np_text *text, const char *string);

/* Appends one character. */
void np_text_char(struct np_text *text, char character);

/* Appends a number in decimal. */
void np_text_unsigned(struct np_text *text, uint64_t value);
void np_text_signed(struct np_text *text, int64_t value);

/* Appends a number in decimal, with blanks before it where it has fewer than `width` characters
 * (printf's %*u). */
void np_text_padded_unsigned(struct np_text *text, uint64_t value, unsigned width);

/* Appends a number as 0x and lower-case hexadecimal digits, without leading zeros. */
void np_text_hex(struct np_text *text, uint64_t value);

/* Writes all bytes to the descriptor, starting again after a signal or a partial write, and
 * gives up silently at any other error. Preserves errno and is no cancellation point. */
void np_text_write(int fd, const char *bytes, size_t byte_count);

/* Says "neap: SENTENCE" on stderr and aborts. */
_Noreturn void np_die(const char *sentence);

/* Says "neap: CRIME (address 0x...)" on stderr and aborts. */
_Noreturn void np_die_at(const char *crime, uintptr_t address);

/* Says "neap: CRIME (address 0x..., WHAT of N bytes)" on stderr and aborts. */
_Noreturn void np_die_of(const char *crime, uintptr_t address, const char *what, size_t bytes);

#endif

/* Text without stdio: see text.h for the contract. */
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    DIGITS_MAX = 20,        /* of UINT64_MAX in decimal */
    DEATH_SENTENCE_BYTES = 512,
};

void np_text_bytes(struct np_text *text, const char *bytes, size_t byte_count)
{
    size_t room_bytes = (size_t)(text->end - text->at);

    if (byte_count > room_bytes)
        byte_count = room_bytes;
    memcpy(text->at, bytes, byte_count);
    text->at += byte_count;
}

void np_text_string(struct np_text *text, const char *string)
{
    np_text_bytes(text, string, strlen(string));
}

void np_text_char(struct np_text *text, char character)
{
    np_text_bytes(text, &character, 1);
}

/* Appends the number in any base up to 16, blanks before it up to `width` characters. */
static void append_number(struct np_text *text, uint64_t value, unsigned base, unsigned width)
{
    char digits[DIGITS_MAX];
    unsigned digit_count = 0;

    /* The digits come out last first, so they fill the array from its end. */
    do {
        digits[DIGITS_MAX - ++digit_count] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    for (unsigned written = digit_count; written < width; written++)
        np_text_char(text, ' ');
    np_text_bytes(text, digits + DIGITS_MAX - digit_count, digit_count);
}

void np_text_unsigned(struct np_text *text, uint64_t value)
{
    append_number(text, value, 10, 0);
}

void np_text_signed(struct np_text *text, int64_t value)
{
    uint64_t magnitude = (uint64_t)value;

    if (value < 0) {
        np_text_char(text, '-');
        magnitude = 0 - magnitude; /* negating the signed value would overflow at INT64_MIN */
    }
    append_number(text, magnitude, 10, 0);
}

void np_text_padded_unsigned(struct np_text *text, uint64_t value, unsigned width)
{
    append_number(text, value, 10, width);
}

void np_text_hex(struct np_text *text, uint64_t value)
{
    np_text_string(text, "0x");
    append_number(text, value, 16, 0);
}

void np_text_write(int fd, const char *bytes, size_t byte_count)
{
    int saved_errno = errno;

    while (byte_count > 0) {
        /* Not write(): that is a cancellation point, and a thread must not end inside malloc. */
        long written = syscall(SYS_write, fd, bytes, byte_count);

        if (written > 0) {
            bytes += written;
            byte_count -= (size_t)written;
        } else if (written == 0 || errno != EINTR) {
            break;
        }
    }
    errno = saved_errno;
}

/* Ends the line and the process. The caller left room for the newline behind text->end. */
static _Noreturn void write_and_abort(struct np_text text, const char *line)
{
    *text.at++ = '\n';
    np_text_write(STDERR_FILENO, line, (size_t)(text.at - line));
    abort();
}

_Noreturn void np_die(const char *sentence)
{
    char line[DEATH_SENTENCE_BYTES];
    struct np_text text = np_text_over(line, sizeof line - 1);

    np_text_string(&text, "neap: ");
    np_text_string(&text, sentence);
    write_and_abort(text, line);
}

static void append_crime(struct np_text *text, const char *crime, uintptr_t address)
{
    np_text_string(text, "neap: ");
    np_text_string(text, crime);
    np_text_string(text, " (address ");
    np_text_hex(text, address);
}

_Noreturn void np_die_at(const char *crime, uintptr_t address)
{
    char line[DEATH_SENTENCE_BYTES];
    struct np_text text = np_text_over(line, sizeof line - 1);

    append_crime(&text, crime, address);
    np_text_string(&text, ")");
    write_and_abort(text, line);
}

_Noreturn void np_die_of(const char *crime, uintptr_t address, const char *what, size_t bytes)
{
    char line[DEATH_SENTENCE_BYTES];
    struct np_text text = np_text_over(line, sizeof line - 1);

    append_crime(&text, crime, address);
    np_text_string(&text, ", ");
    np_text_string(&text, what);
    np_text_string(&text, " of ");
    np_text_unsigned(&text, bytes);
    np_text_string(&text, " bytes)");
    write_and_abort(text, line);
}

/* options.c: see options.h. */
#include "options.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *program_name = "";

static const struct {
    const char *name;
    int param;
} mallopt_names[] = {
    { "M_MXFAST", M_MXFAST },
    { "M_TRIM_THRESHOLD", M_TRIM_THRESHOLD },
    { "M_TOP_PAD", M_TOP_PAD },
    { "M_MMAP_THRESHOLD", M_MMAP_THRESHOLD },
    { "M_MMAP_MAX", M_MMAP_MAX },
    { "M_CHECK_ACTION", M_CHECK_ACTION },
    { "M_PERTURB", M_PERTURB },
    { "M_ARENA_TEST", M_ARENA_TEST },
    { "M_ARENA_MAX", M_ARENA_MAX },
};

enum { MALLOPT_NAME_COUNT = sizeof mallopt_names / sizeof mallopt_names[0] };

void np_options_name(const char *program)
{
    program_name = program;
}

void np_options_fail(const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "%s: ", program_name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    np_options_unknown();
}

void np_options_help(const char *help)
{
    fputs(help, stdout);
    exit(EXIT_SUCCESS);
}

void np_options_unknown(void)
{
    fprintf(stderr, "Try '%s --help' for more.\n", program_name);
    exit(STATUS_USAGE);
}

uint64_t np_options_number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    static const char suffixes[] = "KMG";
    char *end = NULL;
    unsigned shift = 0;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    bool is_bad = errno != 0 || end == text || text[0] < '0' || text[0] > '9';
    if (!is_bad && *end != '\0') {
        const char *suffix = strchr(suffixes, *end);
        if (suffix == NULL || end[1] != '\0')
            is_bad = true;
        else
            shift = 10 * (unsigned)(suffix - suffixes + 1);
    }
    if (is_bad)
        np_options_fail("%s: '%s' is not a number (K, M or G may follow)", option, text);
    if (value > max >> shift || value << shift < min)
        np_options_fail("%s: '%s' is not from %llu to %llu", option, text,
                        (unsigned long long)min, (unsigned long long)max);
    return (uint64_t)value << shift;
}

double np_options_fraction(const char *option, const char *text, double min, double max)
{
    char *end = NULL;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= min && value <= max))
        np_options_fail("%s: '%s' is not a number from %g to %g", option, text, min, max);
    return value;
}

void np_options_sizes(const char *option, const char *text, struct size_list *sizes)
{
    char word[32];

    sizes->count = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        if (length >= sizeof word)
            np_options_fail("%s: '%s' is not a list of sizes", option, text);
        if (sizes->count == SIZE_LIST_MAX)
            np_options_fail("%s: more than %d sizes", option, SIZE_LIST_MAX);
        memcpy(word, text, length);
        word[length] = '\0';
        sizes->bytes[sizes->count++] = (size_t)np_options_number(option, word, 1, 1u << 30);
        if (text[length] == '\0')
            return;
        text += length + 1;
    }
}

int np_options_word(const char *option, const char *text, const char *const *words)
{
    char list[256] = "";

    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0)
            return i;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", words[i]);
    }
    np_options_fail("%s: '%s' is none of %s", option, text, list);
}

/* The parameter that the first `length` characters of text name or number. */
static int parse_mallopt_param(const char *option, const char *text, size_t length)
{
    char *end = NULL;

    for (size_t i = 0; i < MALLOPT_NAME_COUNT; i++) {
        const char *name = mallopt_names[i].name;
        const char *short_name = name + strlen("M_");
        if ((strlen(name) == length && strncmp(text, name, length) == 0)
            || (strlen(short_name) == length && strncmp(text, short_name, length) == 0))
            return mallopt_names[i].param;
    }
    long number = strtol(text, &end, 10);
    if (length == 0 || end != text + length || number < INT_MIN || number > INT_MAX)
        np_options_fail("%s: '%.*s' is not a mallopt parameter", option, (int)length, text);
    return (int)number;
}

void np_options_mallopt(const char *option, const char *text, struct life_mallopt *mallopt)
{
    const char *equals = strchr(text, '=');
    char *end = NULL;

    if (equals == NULL || equals[1] == '\0')
        np_options_fail("%s: '%s' is not of the form NAME=VALUE", option, text);
    mallopt->param = parse_mallopt_param(option, text, (size_t)(equals - text));
    errno = 0;
    long value = strtol(equals + 1, &end, 10);
    if (errno != 0 || *end != '\0' || value < INT_MIN || value > INT_MAX)
        np_options_fail("%s: '%s' is not a whole number that fits an int", option, equals + 1);
    mallopt->value = (int)value;
    mallopt->answer = 0;
}

const char *np_options_mallopt_name(int param)
{
    for (size_t i = 0; i < MALLOPT_NAME_COUNT; i++) {
        if (mallopt_names[i].param == param)
            return mallopt_names[i].name;
    }
    return NULL;
}

/* Fuzz target: the reading of the environment, beside a second reader that is as plain as can be
 * and knows only what docs/tunables.md says.
 *
 * A zero byte of the input ends a variable. Bytes from 0x80 on stand for names of the table of
 * knobs and other words that a fuzzer would take long to find; behind 0xff a byte is itself. */
#include <errno.h>
#include <regex.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/tune_reset.h"
#include "fuzz.h"

enum {
    ENVIRONMENT_BYTES = 16384,
    MOST_ENTRIES = 64,
    MOST_WORDS = 127,
    SAID_BYTES = 65536,
    LINE_MOST_BYTES = 320,
    UNTOUCHED_ERRNO = ENOTTY,
};

/* What each knob is called, by the kinds of enum np_knob_name. */
static char names[NP_KNOB_COUNT][NP_NAME_VARIABLE + 1][NP_KNOB_NAME_BYTES];
static const char *words[MOST_WORDS];
static size_t word_count;
static regex_t plain_number, suffixed_number;

static void add_word(const char *word)
{
    if (word[0] != '\0' && word_count < MOST_WORDS)
        words[word_count++] = word;
}

static void prepare(void)
{
    static const char *const others[] = {
        "GLIBC_TUNABLES=", "NEAP_", "MALLOC_", "glibc.malloc.", "0x", "9223372036854775807",
        "9223372036854775808", "18446744073709551616", "-9223372036854775808",
    };

    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        for (unsigned kind = NP_NAME_NEAP; kind <= NP_NAME_VARIABLE; kind *= 2) {
            np_knob_write_name(&np_knob_rows[knob], (enum np_knob_name)kind, names[knob][kind]);
            add_word(names[knob][kind]);
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        add_word(others[i]);
#define NUMBER "^[ \t]*[-+]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)"
    REQUIRE(regcomp(&plain_number, NUMBER "$", REG_EXTENDED | REG_NOSUB) == 0);
    REQUIRE(regcomp(&suffixed_number, NUMBER "[kKmMgG]?$", REG_EXTENDED | REG_NOSUB) == 0);
}

/* The environment that the bytes stand for. */
struct environment {
    char text[ENVIRONMENT_BYTES];
    size_t text_bytes;
    char *entries[MOST_ENTRIES + 1];
    size_t entry_count;
};

static void append(struct environment *environment, const char *bytes, size_t byte_count)
{
    if (environment->text_bytes + byte_count >= ENVIRONMENT_BYTES)
        return; /* room for a last zero stays */
    memcpy(environment->text + environment->text_bytes, bytes, byte_count);
    environment->text_bytes += byte_count;
}

static void write_text(struct environment *environment, const uint8_t *bytes, size_t byte_count)
{
    environment->text_bytes = 0;
    for (size_t i = 0; i < byte_count; i++) {
        const char *word;

        if (bytes[i] == 0xff && i + 1 < byte_count)
            i++;
        else if (bytes[i] >= 0x80 && bytes[i] != 0xff) {
            word = words[(bytes[i] - 0x80u) % word_count];
            append(environment, word, strlen(word));
            continue;
        }
        append(environment, (const char *)&bytes[i], 1);
    }
    environment->text[environment->text_bytes++] = '\0';
}

static void split_into_entries(struct environment *environment)
{
    char *at = environment->text;
    char *end = at + environment->text_bytes;

    environment->entry_count = 0;
    while (at < end && environment->entry_count < MOST_ENTRIES) {
        environment->entries[environment->entry_count++] = at;
        at += strlen(at) + 1;
    }
    environment->entries[environment->entry_count] = NULL;
}

/* What the second reader makes of it. */
struct expected {
    bool is_set[NP_KNOB_COUNT];
    int64_t values[NP_KNOB_COUNT];
    size_t complaint_count;
};

/* Saturating, as strtoll is; the suffix only where the expression allows it. */
static int64_t number_of(const char *text)
{
    static const char suffixes[] = "kKmMgG";
    char *end;
    int64_t number = strtoll(text, &end, 0);
    const char *suffix = *end == '\0' ? NULL : strchr(suffixes, *end);
    unsigned shift = suffix == NULL ? 0 : 10 * (unsigned)((suffix - suffixes) / 2 + 1);
    int64_t most = INT64_MAX >> shift;

    if (number > most)
        return INT64_MAX;
    return number < -most ? -INT64_MAX : number * (INT64_C(1) << shift);
}

/* Whether the text is a value for the knob; it is then stored. */
static bool take_value(const struct np_knob_row *row, const regex_t *form, const char *text,
                       int64_t *value)
{
    if (regexec(form, text, 0, NULL, 0) != 0)
        return false;
    *value = number_of(text);
    return *value >= row->least && *value <= row->most;
}

/* The value of NAME=VALUE if this is the name; NULL if not. */
static const char *value_if_named(const char *setting, const char *name)
{
    size_t name_bytes = strlen(name);

    if (name_bytes == 0 || strncmp(setting, name, name_bytes) != 0 || setting[name_bytes] != '=')
        return NULL;
    return setting + name_bytes + 1;
}

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* One pass for one kind of source, the weakest kind first. Variables: the first good one counts. */
static void expect_variables(const struct environment *environment, struct expected *expected,
                             bool is_neaps)
{
    bool has_one[NP_KNOB_COUNT] = {false};

    for (size_t i = 0; i < environment->entry_count; i++) {
        const char *entry = environment->entries[i];
        bool is_known = false;

        for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
            const struct np_knob_row *row = &np_knob_rows[knob];
            const char *text =
                value_if_named(entry, names[knob][is_neaps ? NP_NAME_NEAP : NP_NAME_VARIABLE]);
            int64_t value;

            if (text == NULL)
                continue;
            is_known = true;
            if (!np_knob_has_effect(row))
                continue;
            if (!take_value(row, is_neaps ? &suffixed_number : &plain_number, text, &value)) {
                expected->complaint_count++;
            } else if (!has_one[knob]) {
                has_one[knob] = true;
                expected->is_set[knob] = true;
                expected->values[knob] = value;
            }
        }
        if (is_neaps && !is_known && has_prefix(entry, "NEAP_") && strchr(entry, '=') != NULL)
            expected->complaint_count++;
    }
}

/* NAME=VALUE or NAME from GLIBC_TUNABLES; the last good one counts. */
static void expect_tunable(struct expected *expected, const char *tunable)
{
    const char *equals = strchr(tunable, '=');
    size_t name_bytes = equals == NULL ? strlen(tunable) : (size_t)(equals - tunable);

    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        const struct np_knob_row *row = &np_knob_rows[knob];
        const char *name = names[knob][NP_NAME_TUNABLE];
        int64_t value;

        if (name_bytes == 0 || strlen(name) != name_bytes ||
            memcmp(name, tunable, name_bytes) != 0)
            continue;
        if (!np_knob_has_effect(row))
            return;
        if (equals == NULL || !take_value(row, &plain_number, equals + 1, &value)) {
            expected->complaint_count++;
            return;
        }
        expected->is_set[knob] = true;
        expected->values[knob] = value;
        return;
    }
    if (has_prefix(tunable, "glibc.malloc."))
        expected->complaint_count++;
}

static void expect_tunables(const struct environment *environment, struct expected *expected)
{
    static char copy[ENVIRONMENT_BYTES];

    for (size_t i = 0; i < environment->entry_count; i++) {
        const char *list = value_if_named(environment->entries[i], "GLIBC_TUNABLES");
        char *rest = copy;

        if (list == NULL)
            continue;
        strcpy(copy, list);
        while (rest != NULL)
            expect_tunable(expected, strsep(&rest, ":"));
    }
}

/* Reads, and returns what was said on stderr. */
static const char *read_listening(char *const *entries)
{
    static char said[SAID_BYTES];
    static int file = -1;
    int kept_stderr = dup(STDERR_FILENO);
    ssize_t got;

    if (file < 0)
        file = memfd_create("stderr", MFD_CLOEXEC);
    REQUIRE(file >= 0 && kept_stderr >= 0 && ftruncate(file, 0) == 0);
    REQUIRE(lseek(file, 0, SEEK_SET) == 0);
    dup2(file, STDERR_FILENO);
    errno = UNTOUCHED_ERRNO;
    np_tune_read_environment(entries);
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    REQUIRE(errno == UNTOUCHED_ERRNO);
    got = pread(file, said, sizeof(said) - 1, 0);
    REQUIRE(got >= 0 && (size_t)got < sizeof(said) - 1);
    REQUIRE(memchr(said, '\0', (size_t)got) == NULL);
    said[got] = '\0';
    return said;
}

/* Whole lines that no terminal minds, each with our name in front. */
static size_t count_lines(const char *said)
{
    size_t line_count = 0;

    while (*said != '\0') {
        const char *end = strchr(said, '\n');

        REQUIRE(end != NULL && end - said < LINE_MOST_BYTES);
        REQUIRE(has_prefix(said, "neap: "));
        for (; said < end; said++)
            REQUIRE(*said >= ' ' && *said <= '~');
        said++;
        line_count++;
    }
    return line_count;
}

static void check_knobs(const struct expected *expected)
{
    for (unsigned index = 0; index < NP_KNOB_COUNT; index++) {
        enum np_knob knob = (enum np_knob)index;

        REQUIRE(np_tune_is_set(knob) == expected->is_set[knob]);
        REQUIRE(np_tune_get(knob) == (expected->is_set[knob] ? expected->values[knob]
                                                              : np_knob_rows[knob].initial));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    static struct environment environment;
    static char before[ENVIRONMENT_BYTES];
    struct expected expected = {.complaint_count = 0};

    if (word_count == 0)
        prepare();
    write_text(&environment, bytes, byte_count);
    split_into_entries(&environment);
    memcpy(before, environment.text, environment.text_bytes);
    expect_variables(&environment, &expected, false);
    expect_tunables(&environment, &expected);
    expect_variables(&environment, &expected, true);

    tune_reset();
    REQUIRE(count_lines(read_listening(environment.entries)) == expected.complaint_count);
    REQUIRE(memcmp(before, environment.text, environment.text_bytes) == 0);
    check_knobs(&expected);
    return 0;
}

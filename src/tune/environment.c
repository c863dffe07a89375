/* The knobs as the environment sets them: np_tune_read_environment of tune.h.
 *
 * Three sources, and for each knob the strongest that has a good value wins, wherever in the
 * environment it stands: NEAP_ variables, then GLIBC_TUNABLES, then the MALLOC_ variables. The
 * order of the last two is glibc's, and so is this: of a knob's tunables the last one counts, of
 * its variables the first.
 *
 * Keeps no state: what it needs is on the stack, and the environment is walked twice, first to
 * set and, only if something was faulty, to say so when it is known what is used instead. Runs
 * before libc may be initialised, so there is no getenv, strtol or stdio here. Leaves out
 * writing to the environment. */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "text.h"
#include "tune.h"

enum {
    NAME_SHOWN_MAX = 64,
    VALUE_SHOWN_MAX = 40,
    LINE_BYTES = 320, /* a name, a value and the longest sentence about them */
};

static const char NEAP_PREFIX[] = "NEAP_";
static const char MALLOC_PREFIX[] = "MALLOC_";
static const char TUNABLES_VARIABLE[] = "GLIBC_TUNABLES=";
static const char TUNABLE_PREFIX[] = "glibc.malloc.";

/* The weakest first. */
enum source { SOURCE_NONE, SOURCE_VARIABLE, SOURCE_TUNABLE, SOURCE_NEAP };

static const uint8_t NAMES[] = {
    [SOURCE_VARIABLE] = NP_NAME_VARIABLE,
    [SOURCE_TUNABLE] = NP_NAME_TUNABLE,
    [SOURCE_NEAP] = NP_NAME_NEAP,
};

/* A piece of the environment; not zero-terminated. */
struct piece {
    const char *bytes;
    size_t byte_count;
};

/* NAME=VALUE, or a tunable's NAME alone: then value.bytes is NULL. */
struct setting {
    enum source source;
    struct piece name;
    struct piece value;
};

/* A walk through the settings of an environment. `tunables` is the rest of a GLIBC_TUNABLES that is
 * being taken apart, or NULL. */
struct walk {
    char *const *entry;
    const char *tunables;
};

enum verdict {
    VERDICT_GOOD,
    VERDICT_NOT_OURS, /* another program's or component's, or a knob without effect */
    VERDICT_UNKNOWN,
    VERDICT_VALUELESS,
    VERDICT_EMPTY,
    VERDICT_NOT_A_NUMBER,
    VERDICT_OUT_OF_RANGE,
};

/* What a setting says, once it has been looked at. `knob` is meaningful unless the verdict is
 * NOT_OURS or UNKNOWN, `value` if it is GOOD. */
struct finding {
    enum verdict verdict;
    enum np_knob knob;
    int64_t value;
};

static bool has_prefix(const char *string, const char *prefix)
{
    return strncmp(string, prefix, strlen(prefix)) == 0;
}

/* NAME=VALUE up to `end`; false if there is no '='. */
static bool split(const char *start, const char *end, struct setting *setting)
{
    const char *equals = memchr(start, '=', (size_t)(end - start));

    if (equals == NULL) {
        setting->name = (struct piece){start, (size_t)(end - start)};
        setting->value = (struct piece){NULL, 0};
        return false;
    }
    setting->name = (struct piece){start, (size_t)(equals - start)};
    setting->value = (struct piece){equals + 1, (size_t)(end - equals - 1)};
    return true;
}

/* The next of NAME=VALUE:NAME=VALUE:..., which may be empty; false at the end. */
static bool next_tunable(struct walk *walk, struct setting *setting)
{
    const char *start = walk->tunables;
    const char *end;

    if (start == NULL)
        return false;
    end = start + strcspn(start, ":");
    walk->tunables = *end == ':' ? end + 1 : NULL;
    setting->source = SOURCE_TUNABLE;
    split(start, end, setting);
    return true;
}

/* The next setting that may be ours; false at the end. */
static bool next_setting(struct walk *walk, struct setting *setting)
{
    for (;;) {
        const char *entry;

        if (next_tunable(walk, setting))
            return true;
        entry = *walk->entry;
        if (entry == NULL)
            return false;
        walk->entry++;
        if (has_prefix(entry, TUNABLES_VARIABLE)) {
            walk->tunables = entry + strlen(TUNABLES_VARIABLE);
            continue;
        }
        if (has_prefix(entry, NEAP_PREFIX))
            setting->source = SOURCE_NEAP;
        else if (has_prefix(entry, MALLOC_PREFIX))
            setting->source = SOURCE_VARIABLE;
        else
            continue;
        /* An entry without '=' is no variable; getenv passes over it too. */
        if (split(entry, entry + strlen(entry), setting))
            return true;
    }
}

/* The value of a digit in any base, or a number that is no digit. */
static unsigned digit_of(char character)
{
    if (character >= '0' && character <= '9')
        return (unsigned)(character - '0');
    if (character >= 'a' && character <= 'f')
        return (unsigned)(character - 'a') + 10;
    if (character >= 'A' && character <= 'F')
        return (unsigned)(character - 'A') + 10;
    return UINT32_MAX;
}

/* The shift of a K, M or G, or 0. */
static unsigned shift_of(char suffix)
{
    switch (suffix) {
    case 'k':
    case 'K':
        return 10;
    case 'm':
    case 'M':
        return 20;
    case 'g':
    case 'G':
        return 30;
    default:
        return 0;
    }
}

/* Reads a run of digits and moves `*at` behind it; a number too large becomes UINT64_MAX. False
 * if there is no digit. */
static bool read_digits(const char **at, const char *end, unsigned base, uint64_t *number)
{
    const char *start = *at;

    *number = 0;
    for (; *at < end && digit_of(**at) < base; ++*at) {
        if (__builtin_mul_overflow(*number, base, number) ||
            __builtin_add_overflow(*number, digit_of(**at), number)) {
            /* Stays there: a further digit overflows again. */
            *number = UINT64_MAX;
        }
    }
    return *at > start;
}

/* Reads the whole piece as a number the way glibc reads its tunables: blanks, a sign, 0x for
 * hexadecimal, 0 for octal, saturating; and unlike glibc nothing may follow, but for K, M or G
 * in a NEAP_ variable. */
static bool read_number(const struct setting *setting, int64_t *value)
{
    const char *at = setting->value.bytes;
    const char *end = at + setting->value.byte_count;
    bool is_negative = false;
    unsigned base = 10;
    uint64_t magnitude;

    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    if (at < end && (*at == '-' || *at == '+'))
        is_negative = *at++ == '-';
    if (end - at >= 2 && at[0] == '0' && (at[1] == 'x' || at[1] == 'X')) {
        base = 16;
        at += 2;
    } else if (at < end && *at == '0') {
        base = 8;
    }
    if (!read_digits(&at, end, base, &magnitude))
        return false;
    if (setting->source == SOURCE_NEAP && at < end && shift_of(*at) != 0) {
        unsigned shift = shift_of(*at++);

        magnitude = magnitude > UINT64_MAX >> shift ? UINT64_MAX : magnitude << shift;
    }
    if (magnitude > INT64_MAX)
        magnitude = INT64_MAX;
    *value = is_negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return at == end;
}

static bool is_named(struct piece name, const struct np_knob_row *row, enum source source)
{
    char row_name[NP_KNOB_NAME_BYTES];

    np_knob_write_name(row, (enum np_knob_name)NAMES[source], row_name);
    /* An empty name is none's. */
    return name.byte_count > 0 && strlen(row_name) == name.byte_count &&
           memcmp(row_name, name.bytes, name.byte_count) == 0;
}

/* Which knob, and whether there is one: GOOD, NOT_OURS or UNKNOWN. */
static struct finding find_knob(const struct setting *setting)
{
    /* No prefix reaches beyond a name: none has the '=' or ':' or zero that ends one. */
    bool is_ours = setting->source == SOURCE_NEAP ||
                   (setting->source == SOURCE_TUNABLE &&
                    has_prefix(setting->name.bytes, TUNABLE_PREFIX));

    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        const struct np_knob_row *row = &np_knob_rows[knob];

        if (is_named(setting->name, row, setting->source)) {
            return (struct finding){.verdict = np_knob_has_effect(row) ? VERDICT_GOOD
                                                                       : VERDICT_NOT_OURS,
                                    .knob = (enum np_knob)knob};
        }
    }
    /* Any program may have a variable that begins with MALLOC_. */
    return (struct finding){.verdict = is_ours ? VERDICT_UNKNOWN : VERDICT_NOT_OURS};
}

static struct finding look_at(const struct setting *setting)
{
    struct finding finding = find_knob(setting);
    const struct np_knob_row *row;

    if (finding.verdict != VERDICT_GOOD)
        return finding;
    row = &np_knob_rows[finding.knob];
    if (setting->value.bytes == NULL)
        finding.verdict = VERDICT_VALUELESS;
    else if (setting->value.byte_count == 0)
        finding.verdict = VERDICT_EMPTY;
    else if (!read_number(setting, &finding.value))
        finding.verdict = VERDICT_NOT_A_NUMBER;
    else if (finding.value < row->least || finding.value > row->most)
        finding.verdict = VERDICT_OUT_OF_RANGE;
    return finding;
}

static bool should_overrule(enum source newcomer, enum source holder)
{
    /* A later tunable replaces an earlier one. */
    if (newcomer == SOURCE_TUNABLE && holder == SOURCE_TUNABLE)
        return true;
    /* getenv finds the first of two variables with one name. */
    return newcomer > holder;
}

/* Sets the knobs. True if all settings were good or not ours. */
static bool take_settings(char *const *envp)
{
    enum source holders[NP_KNOB_COUNT] = {SOURCE_NONE};
    struct walk walk = {.entry = envp};
    struct setting setting;
    bool is_faultless = true;

    while (next_setting(&walk, &setting)) {
        struct finding finding = look_at(&setting);

        if (finding.verdict == VERDICT_GOOD) {
            if (should_overrule(setting.source, holders[finding.knob])) {
                holders[finding.knob] = setting.source;
                np_tune_set(finding.knob, finding.value);
            }
        } else if (finding.verdict != VERDICT_NOT_OURS) {
            is_faultless = false;
        }
    }
    return is_faultless;
}

/* Appends the piece, cut to `shown_max` bytes, and without what could upset a terminal. */
static void append_piece(struct np_text *text, struct piece piece, size_t shown_max)
{
    size_t shown_count = piece.byte_count < shown_max ? piece.byte_count : shown_max;

    for (size_t index = 0; index < shown_count; index++) {
        char character = piece.bytes[index];

        if (character < ' ' || character > '~')
            character = '?';
        np_text_char(text, character);
    }
    if (piece.byte_count > shown_max)
        np_text_string(text, "...");
}

static void append_accepted(struct np_text *text, const struct np_knob_row *row)
{
    np_text_signed(text, row->least);
    if (row->most == INT64_MAX) {
        np_text_string(text, " and more");
    } else {
        np_text_string(text, " to ");
        np_text_signed(text, row->most);
    }
    if (row->unit[0] != '\0') {
        np_text_string(text, " ");
        np_text_string(text, row->unit);
    }
}

static void append_in_force(struct np_text *text, enum np_knob knob)
{
    const struct np_knob_row *row = &np_knob_rows[knob];

    if (np_tune_is_set(knob) || row->initial_rule[0] == '\0')
        np_text_signed(text, np_tune_get(knob));
    else
        np_text_string(text, row->initial_rule);
    if (!np_tune_is_set(knob))
        np_text_string(text, ", the default");
}

static const char *fault_of(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_VALUELESS:
        return "without a value";
    case VERDICT_EMPTY:
        return "empty";
    case VERDICT_NOT_A_NUMBER:
        return "not a number";
    default:
        return "out of range";
    }
}

static void report(const struct setting *setting, struct finding finding)
{
    char line[LINE_BYTES];
    struct np_text text = np_text_over(line, sizeof line - 1);

    np_text_string(&text, "neap: ");
    append_piece(&text, setting->name, NAME_SHOWN_MAX);
    if (setting->value.bytes != NULL && finding.verdict != VERDICT_UNKNOWN) {
        np_text_string(&text, "=");
        append_piece(&text, setting->value, VALUE_SHOWN_MAX);
    }
    if (setting->source == SOURCE_TUNABLE)
        np_text_string(&text, " in GLIBC_TUNABLES");
    if (finding.verdict == VERDICT_UNKNOWN) {
        np_text_string(&text, " is not a knob; see docs/tunables.md");
    } else {
        np_text_string(&text, " is ignored: ");
        np_text_string(&text, fault_of(finding.verdict));
        np_text_string(&text, " (accepted: ");
        append_accepted(&text, &np_knob_rows[finding.knob]);
        np_text_string(&text, "; used: ");
        append_in_force(&text, finding.knob);
        np_text_string(&text, ")");
    }
    *text.at++ = '\n'; /* its room was left free above */
    np_text_write(STDERR_FILENO, line, (size_t)(text.at - line));
}

static void report_faults(char *const *envp)
{
    struct walk walk = {.entry = envp};
    struct setting setting;

    while (next_setting(&walk, &setting)) {
        struct finding finding = look_at(&setting);

        if (finding.verdict != VERDICT_GOOD && finding.verdict != VERDICT_NOT_OURS)
            report(&setting, finding);
    }
}

void np_tune_read_environment(char *const *envp)
{
    if (envp != NULL && !take_settings(envp))
        report_faults(envp);
}

/* Prints docs/tunables.md from the table of knobs:
 *
 * print_tunables > docs/tunables.md
 *
 * A test compares the two, so the manual cannot fall behind the table. What is not in the table,
 * the rules that hold for every knob, is written here. */
#include <inttypes.h>
#include <stdio.h>

#include "tune.h"

static const char PREFACE[] =
    "# Tunables\n"
    "\n"
    "<!-- Printed by tools/print_tunables.c from src/tune/knobs.h: change those, not this "
    "page. -->\n"
    "\n"
    "neap has glibc's controls and a few of its own. Nothing needs to be set: the defaults give\n"
    "memory back by themselves. A program that was tuned for glibc keeps its settings.\n"
    "\n"
    "There are four ways to set a knob, the strongest first:\n"
    "\n"
    "1. `mallopt(number, value)` from the program. It answers 1, or 0 where nothing was "
    "changed:\n"
    "   for a number that is unknown, for a value out of range, and for what neap does not do\n"
    "   (`M_CHECK_ACTION`). glibc answers 1 to most of these.\n"
    "2. `NEAP_NAME=value` in the environment. Here a value may end in `K`, `M` or `G`, for "
    "1024,\n"
    "   its square and its cube.\n"
    "3. `GLIBC_TUNABLES=glibc.malloc.NAME=value:...` in the environment; where a name comes\n"
    "   twice, the last one counts. Names of glibc's other components are left alone.\n"
    "4. glibc's variables, `MALLOC_NAME=value`, in the environment.\n"
    "\n"
    "The environment is read once, when the program starts, and not at all by a program that\n"
    "runs with more rights than its caller (AT_SECURE: setuid, setgid, file capabilities).\n"
    "\n"
    "Values are whole numbers: decimal, hexadecimal after `0x`, octal after `0`. A value "
    "that is\n"
    "no number, empty, out of range or followed by anything else is ignored, and so is a name\n"
    "that neap does not know. Either is named on stderr when the program starts, with what is\n"
    "accepted and what is used instead:\n"
    "\n"
    "    neap: NEAP_MXFAST=many is ignored: not a number (accepted: 0 to 160 bytes; used: 0, "
    "the default)\n"
    "    neap: NEAP_MAXFAST is not a knob; see docs/tunables.md\n"
    "\n"
    "(glibc 2.36 says nothing, takes `many` for 0 and `12x` for 12.)\n";

static void print_number(int64_t value)
{
    printf("%" PRId64, value);
}

/* A cell with a name as code, or an empty one. */
static void print_code_cell(const struct np_knob_row *row, enum np_knob_name kind)
{
    char name[NP_KNOB_NAME_BYTES];

    np_knob_write_name(row, kind, name);
    if (name[0] != '\0')
        printf(" `%s` |", name);
    else
        printf(" |");
}

static void print_initial(const struct np_knob_row *row)
{
    if (row->initial_rule[0] != '\0')
        printf("%s", row->initial_rule);
    else
        print_number(row->initial);
}

static void print_range(const struct np_knob_row *row)
{
    print_number(row->least);
    if (row->most == INT64_MAX) {
        printf(" and more");
    } else {
        printf(" to ");
        print_number(row->most);
    }
}

static void print_summary_line(const struct np_knob_row *row)
{
    char mallopt_name[NP_KNOB_NAME_BYTES];

    printf("| [%s](#%s) |", row->name, row->name);
    print_code_cell(row, NP_NAME_NEAP);
    print_code_cell(row, NP_NAME_VARIABLE);
    print_code_cell(row, NP_NAME_TUNABLE);
    np_knob_write_name(row, NP_NAME_MALLOPT, mallopt_name);
    if (mallopt_name[0] != '\0')
        printf(" `%s` = %d |", mallopt_name, row->mallopt_number);
    else
        printf(" |");
    printf(" %s%s", row->unit, row->unit[0] != '\0' ? " | " : "| ");
    print_initial(row);
    printf(" | ");
    print_range(row);
    printf(" |\n");
}

#define HELP(ID, INITIAL, TEXT, ...) [NP_KNOB_##ID] = TEXT,
static const char *const helps[] = {NP_KNOBS(HELP)};
#undef HELP

#define DIFFERENCE(ID, INITIAL, HELP, TEXT, ...) [NP_KNOB_##ID] = TEXT,
static const char *const glibc_differences[] = {NP_KNOBS(DIFFERENCE)};
#undef DIFFERENCE

static void print_section(unsigned knob)
{
    printf("\n## %s\n\n%s\n", np_knob_rows[knob].name, helps[knob]);
    if (glibc_differences[knob][0] != '\0')
        printf("\n*glibc:* %s\n", glibc_differences[knob]);
}

static void print_effective(void)
{
    printf("\n| knob | neap variable | glibc variable | tunable | mallopt | unit | default | "
           "range |\n"
           "|---|---|---|---|---|---|---|---|\n");
    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        if (np_knob_has_effect(&np_knob_rows[knob]))
            print_summary_line(&np_knob_rows[knob]);
    }
    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        if (np_knob_has_effect(&np_knob_rows[knob]))
            print_section(knob);
    }
}

static void print_ineffective(void)
{
    printf("\n## Accepted without effect\n\n"
           "These of glibc's are passed over in silence, whatever their value:\n\n"
           "| glibc variable | tunable | |\n|---|---|---|\n");
    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        const struct np_knob_row *row = &np_knob_rows[knob];

        if (np_knob_has_effect(row))
            continue;
        printf("|");
        print_code_cell(row, NP_NAME_VARIABLE);
        print_code_cell(row, NP_NAME_TUNABLE);
        printf(" %s |\n", helps[knob]);
    }
}

int main(void)
{
    printf("%s", PREFACE);
    print_effective();
    print_ineffective();
    return fflush(stdout) == 0 ? 0 : 1;
}

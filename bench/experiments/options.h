/* options.h: what the experiments' command lines have in common. Errors are printed to stderr
 * and end the program with status 2.
 */
#ifndef NP_EXPERIMENTS_OPTIONS_H
#define NP_EXPERIMENTS_OPTIONS_H

#include "life.h"

enum { STATUS_USAGE = 2, STATUS_NO_RIGHT = 77, SIZE_LIST_MAX = 256 };

struct size_list {
    unsigned count;
    size_t bytes[SIZE_LIST_MAX];
};

/* Called by main with the program's name before any of the others. */
void np_options_name(const char *program);

/* Prints "<program>: " and the message, points at --help, and exits with STATUS_USAGE. */
_Noreturn void np_options_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What a command line ends with that asks for help, and one with an option that getopt has
 * complained of. */
_Noreturn void np_options_help(const char *help);
_Noreturn void np_options_unknown(void);

/* A whole number from min to max; K, M and G multiply by powers of 1024. */
uint64_t np_options_number(const char *option, const char *text, uint64_t min, uint64_t max);

/* A decimal fraction from min to max. */
double np_options_fraction(const char *option, const char *text, double min, double max);

/* Numbers separated by commas. */
void np_options_sizes(const char *option, const char *text, struct size_list *sizes);

/* One of the words (a NULL ends them); returns its index. */
int np_options_word(const char *option, const char *text, const char *const *words);

/* NAME=VALUE, NAME as mallopt(3) has it, with or without M_, or a number. */
void np_options_mallopt(const char *option, const char *text, struct life_mallopt *mallopt);

/* The name of a mallopt parameter, "M_MXFAST"; NULL if it has none. */
const char *np_options_mallopt_name(int param);

#endif

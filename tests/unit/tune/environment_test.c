/* The knobs as the environment sets them: every knob by every name, who overrules whom, how
 * numbers and GLIBC_TUNABLES are read, and every word that is said about a fault. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../tune_reset.h"
#include "tune.h"

enum { SAID_BYTES = 8192 };

/* The strings are constants, so an attempt to write to the environment is a crash. */
#define ENVIRONMENT(...) ((char *const[]){__VA_ARGS__, NULL})

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Every value as when the process started. */
static int reset(void **state)
{
    (void)state;
    tune_reset();
    return 0;
}

/* Reads the environment into knobs that nobody has set, and returns what was said on stderr. */
static const char *read_environment(char *const *envp)
{
    static char said[SAID_BYTES];
    int saved_stderr = dup(STDERR_FILENO);
    int file = memfd_create("stderr", 0);
    ssize_t got;

    reset(NULL);
    assert_true(saved_stderr >= 0 && file >= 0);
    dup2(file, STDERR_FILENO);
    errno = EDOM;
    np_tune_read_environment(envp);
    assert_int_equal(errno, EDOM);
    dup2(saved_stderr, STDERR_FILENO);
    got = pread(file, said, sizeof said - 1, 0);
    assert_true(got >= 0 && (size_t)got < sizeof said - 1);
    said[got] = '\0';
    close(file);
    close(saved_stderr);
    return said;
}

#define ASSERT_SILENT(envp) assert_string_equal(read_environment(envp), "")

static void assert_value(enum np_knob knob, int64_t value)
{
    assert_true(np_tune_is_set(knob));
    assert_true(np_tune_get(knob) == value);
}

static void assert_only_set(unsigned knob)
{
    for (unsigned other = 0; other < NP_KNOB_COUNT; other++)
        assert_int_equal(np_tune_is_set((enum np_knob)other), other == knob);
}

static void assert_nothing_set(void)
{
    assert_only_set(NP_KNOB_COUNT);
}

static void an_empty_environment_sets_nothing(void **state)
{
    (void)state;
    ASSERT_SILENT(NULL);
    assert_nothing_set();
    ASSERT_SILENT(((char *const[]){NULL}));
    assert_nothing_set();
}

static void other_variables_are_left_alone(void **state)
{
    (void)state;
    ASSERT_SILENT(ENVIRONMENT("PATH=/bin", "", "=", "=x", "MALLOC", "NEAP", "NEAP=1",
                              "neap_mxfast=1", "MALLOC_CONF=narenas:1", "MALLOC_OPTIONS=J",
                              "MALLOC_=1", "MALLOC_TOP_PAD=1", "MALLOC_TOP_PAD__=1",
                              "MALLOC_ARENA_MAX_=1", "MALLOC_MXFAST=1", "MALLOC_MXFAST_=1",
                              "XNEAP_MXFAST=1", " NEAP_MXFAST=1", "GLIBC_TUNABLES",
                              "GLIBC_TUNABLESX=glibc.malloc.mxfast=x", "glibc.malloc.mxfast=1"));
    assert_nothing_set();
}

static void an_entry_without_a_value_is_no_variable(void **state)
{
    (void)state;
    ASSERT_SILENT(ENVIRONMENT("NEAP_MXFAST", "NEAP_UNHEARD_OF", "MALLOC_ARENA_MAX", "NEAP_"));
    assert_nothing_set();
}

/* A value that differs from the knob's initial one. */
static int64_t another_value(const struct np_knob_row *row)
{
    return row->initial == row->least ? row->least + 1 : row->least;
}

/* False if the knob has no such name. */
static bool is_set_by(enum np_knob knob, const char *prefix, enum np_knob_name kind)
{
    int64_t value = another_value(&np_knob_rows[knob]);
    char name[NP_KNOB_NAME_BYTES];
    char entry[128];

    np_knob_write_name(&np_knob_rows[knob], kind, name);
    if (name[0] == '\0')
        return false;
    snprintf(entry, sizeof entry, "%s%s=%" PRId64, prefix, name, value);
    ASSERT_SILENT(ENVIRONMENT(entry));
    assert_value(knob, value);
    assert_only_set(knob);
    return true;
}

static void every_knob_has_its_names(void **state)
{
    unsigned variable_count = 0;
    unsigned tunable_count = 0;

    (void)state;
    for (unsigned index = 0; index < NP_KNOB_COUNT; index++) {
        enum np_knob knob = (enum np_knob)index;

        if (!np_knob_has_effect(&np_knob_rows[knob]))
            continue;
        assert_true(is_set_by(knob, "", NP_NAME_NEAP));
        variable_count += is_set_by(knob, "", NP_NAME_VARIABLE);
        tunable_count += is_set_by(knob, "GLIBC_TUNABLES=", NP_NAME_TUNABLE);
    }
    assert_int_equal(variable_count, 7);
    assert_int_equal(tunable_count, 8);
}

static void a_setting_may_repeat_the_default(void **state)
{
    (void)state;
    ASSERT_SILENT(ENVIRONMENT("NEAP_TOP_PAD=131072"));
    assert_value(NP_KNOB_TOP_PAD, 131072);
    assert_false(np_tune_is_dynamic());
}

static void the_thresholds_freeze_the_rule_from_the_environment_too(void **state)
{
    (void)state;
    ASSERT_SILENT(ENVIRONMENT("MALLOC_ARENA_MAX=1", "NEAP_MXFAST=64"));
    assert_true(np_tune_is_dynamic());
    ASSERT_SILENT(ENVIRONMENT("MALLOC_TRIM_THRESHOLD_=131072"));
    assert_false(np_tune_is_dynamic());
    ASSERT_SILENT(ENVIRONMENT("MALLOC_MMAP_THRESHOLD_=64"));
    assert_false(np_tune_is_dynamic());
    ASSERT_SILENT(ENVIRONMENT("GLIBC_TUNABLES=glibc.malloc.mmap_max=1"));
    assert_false(np_tune_is_dynamic());
}

static void mallopt_overrules_the_environment(void **state)
{
    (void)state;
    ASSERT_SILENT(ENVIRONMENT("NEAP_MXFAST=64"));
    assert_true(np_tune_mallopt(1, 32));
    assert_value(NP_KNOB_MXFAST, 32);
}

static void what_has_no_effect_is_passed_over(void **state)
{
    (void)state;
    ASSERT_SILENT(ENVIRONMENT(
        "MALLOC_CHECK_=3", "MALLOC_CHECK_=rubbish", "MALLOC_CHECK_=",
        "GLIBC_TUNABLES=glibc.malloc.check=9:glibc.malloc.tcache_max=x:glibc.malloc.tcache_count=0:"
        "glibc.malloc.tcache_unsorted_limit=:glibc.malloc.hugetlb=2:glibc.malloc.hugetlb"));
    assert_nothing_set();
}

static void the_stronger_source_wins_in_any_order(void **state)
{
    static char variable[] = "MALLOC_ARENA_MAX=1";
    static char tunable[] = "GLIBC_TUNABLES=glibc.malloc.arena_max=2";
    static char neap[] = "NEAP_ARENA_MAX=3";
    static char *const ORDERS[][3] = {
        {variable, tunable, neap}, {variable, neap, tunable}, {tunable, variable, neap},
        {tunable, neap, variable}, {neap, variable, tunable}, {neap, tunable, variable},
    };

    (void)state;
    for (unsigned index = 0; index < COUNT_OF(ORDERS); index++) {
        char *const *order = ORDERS[index];

        ASSERT_SILENT(ENVIRONMENT(order[0], order[1], order[2]));
        assert_value(NP_KNOB_ARENA_MAX, 3);
    }
    ASSERT_SILENT(ENVIRONMENT(variable, tunable));
    assert_value(NP_KNOB_ARENA_MAX, 2);
    ASSERT_SILENT(ENVIRONMENT(tunable, variable));
    assert_value(NP_KNOB_ARENA_MAX, 2);
}

static void sources_are_weighed_for_each_knob_apart(void **state)
{
    (void)state;
    ASSERT_SILENT(ENVIRONMENT("NEAP_MXFAST=1",
                              "GLIBC_TUNABLES=glibc.malloc.mxfast=2:glibc.malloc.top_pad=3",
                              "MALLOC_TOP_PAD_=4", "MALLOC_PERTURB_=5"));
    assert_value(NP_KNOB_MXFAST, 1);
    assert_value(NP_KNOB_TOP_PAD, 3);
    assert_value(NP_KNOB_PERTURB, 5);
}

static void of_two_variables_the_first_counts(void **state)
{
    (void)state;
    ASSERT_SILENT(ENVIRONMENT("NEAP_MXFAST=1", "NEAP_MXFAST=2"));
    assert_value(NP_KNOB_MXFAST, 1);
    ASSERT_SILENT(ENVIRONMENT("MALLOC_ARENA_MAX=1", "MALLOC_ARENA_MAX=2"));
    assert_value(NP_KNOB_ARENA_MAX, 1);
}

static void of_two_tunables_the_last_counts(void **state)
{
    (void)state;
    ASSERT_SILENT(ENVIRONMENT("GLIBC_TUNABLES=glibc.malloc.mxfast=1:glibc.malloc.mxfast=2"));
    assert_value(NP_KNOB_MXFAST, 2);
    ASSERT_SILENT(ENVIRONMENT("GLIBC_TUNABLES=glibc.malloc.mxfast=1",
                              "GLIBC_TUNABLES=glibc.malloc.mxfast=3"));
    assert_value(NP_KNOB_MXFAST, 3);
}

struct reading {
    const char *text;
    int64_t value;
};

static void numbers_are_read_as_glibc_reads_them(void **state)
{
    static const struct reading READINGS[] = {
        {"0", 0},
        {"64", 64},
        {"+64", 64},
        {" 64", 64},
        {"\t \t64", 64},
        {"0x40", 64},
        {"0X40", 64},
        {"0xfF", 255},
        {"0100", 64},
        {"00100", 64},
        {"0000000000000000000000000000000000000000064", 52},
        {"-0", 0},
        {"-1", -1},
        {"-0x1", -1},
        {"-01", -1},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", INT64_MAX},
        {"18446744073709551615", INT64_MAX}, /* how glibc's users write "never" */
        {"18446744073709551616", INT64_MAX},
        {"18446744073709551620", INT64_MAX},
        {"99999999999999999999999999999999999999999999", INT64_MAX},
        {"0xffffffffffffffff", INT64_MAX},
        {"0x10000000000000000", INT64_MAX},
        {"01777777777777777777777", INT64_MAX},
        {"02000000000000000000000", INT64_MAX},
    };
    static const char *const PREFIXES[] = {
        "NEAP_TRIM_THRESHOLD=",
        "GLIBC_TUNABLES=glibc.malloc.trim_threshold=",
        "MALLOC_TRIM_THRESHOLD_=",
    };
    char entry[160];

    (void)state;
    for (unsigned prefix = 0; prefix < COUNT_OF(PREFIXES); prefix++) {
        for (unsigned index = 0; index < COUNT_OF(READINGS); index++) {
            snprintf(entry, sizeof entry, "%s%s", PREFIXES[prefix], READINGS[index].text);
            ASSERT_SILENT(ENVIRONMENT(entry));
            assert_value(NP_KNOB_TRIM_THRESHOLD, READINGS[index].value);
        }
    }
}

static void a_neap_variable_may_have_a_suffix(void **state)
{
    static const struct reading READINGS[] = {
        {"0K", 0},
        {"1K", 1 << 10},
        {"3k", 3 << 10},
        {"1M", 1 << 20},
        {"64m", 64 << 20},
        {"1G", 1 << 30},
        {"2g", INT64_C(2) << 30},
        {"0x10K", 16 << 10},
        {"010K", 8 << 10},
        {"+1K", 1 << 10},
        {"8589934591G", INT64_C(8589934591) << 30},
        {"8589934592G", INT64_MAX},
        {"17179869184G", INT64_MAX}, /* 2^64 */
        {"17179869185G", INT64_MAX},
        {"99999999999999999999999K", INT64_MAX},
    };
    char entry[96];

    (void)state;
    for (unsigned index = 0; index < COUNT_OF(READINGS); index++) {
        snprintf(entry, sizeof entry, "NEAP_TRIM_THRESHOLD=%s", READINGS[index].text);
        ASSERT_SILENT(ENVIRONMENT(entry));
        assert_value(NP_KNOB_TRIM_THRESHOLD, READINGS[index].value);
    }
}

/* Expects one line about one entry, and that the entry set nothing. */
static void assert_says(const char *entry, const char *expected)
{
    char *const envp[] = {(char *)(uintptr_t)entry, NULL};

    assert_string_equal(read_environment(envp), expected);
    assert_nothing_set();
}

static void what_is_no_number_is_named(void **state)
{
    static const char *const VALUES[] = {
        "abc", "-",   "+",   " ",   "\t",  "0x",  "0xg", "-0x", "x40",   "08",   "0128",
        "12x", "12 ", "1 2", "1.5", "1e3", "--1", "+-1", "- 1", "K",     "1T",   "1KB",
        "1KK", "1 K", "1P",  "0xK", ":",   "=",   "5=5", "5:6", "1,000", "\xff",
    };
    char entry[96];
    char expected[256];

    (void)state;
    for (unsigned index = 0; index < COUNT_OF(VALUES); index++) {
        snprintf(entry, sizeof entry, "NEAP_MXFAST=%s", VALUES[index]);
        snprintf(
            expected, sizeof expected,
            "neap: NEAP_MXFAST=%s is ignored: not a number (accepted: 0 to 160 bytes; used: 0, the "
            "default)\n",
            VALUES[index]);
        for (char *at = expected; *at != '\0'; at++) {
            if (*at == '\t' || *at == '\xff')
                *at = '?';
        }
        assert_says(entry, expected);
    }
}

static void only_neap_variables_have_suffixes(void **state)
{
    (void)state;
    assert_says(
        "MALLOC_TOP_PAD_=1K",
        "neap: MALLOC_TOP_PAD_=1K is ignored: not a number (accepted: 0 to 1099511627776 bytes; "
        "used: 131072, the default)\n");
    assert_says(
        "GLIBC_TUNABLES=glibc.malloc.top_pad=1M",
        "neap: glibc.malloc.top_pad=1M in GLIBC_TUNABLES is ignored: not a number (accepted: 0 "
        "to 1099511627776 bytes; used: 131072, the default)\n");
}

static void what_is_out_of_range_is_named(void **state)
{
    (void)state;
    assert_says("NEAP_MXFAST=161",
                "neap: NEAP_MXFAST=161 is ignored: out of range (accepted: 0 to 160 "
                "bytes; used: 0, the default)\n");
    assert_says("NEAP_MXFAST=1K",
                "neap: NEAP_MXFAST=1K is ignored: out of range (accepted: 0 to 160 "
                "bytes; used: 0, the default)\n");
    assert_says(
        "MALLOC_TRIM_THRESHOLD_=-2",
        "neap: MALLOC_TRIM_THRESHOLD_=-2 is ignored: out of range (accepted: -1 and more bytes; "
        "used: max(1 MiB, live / 32), the default)\n");
    assert_says(
        "MALLOC_TOP_PAD_=-1",
        "neap: MALLOC_TOP_PAD_=-1 is ignored: out of range (accepted: 0 to 1099511627776 bytes; "
        "used: 131072, the default)\n");
    assert_says(
        "NEAP_TOP_PAD=1025G",
        "neap: NEAP_TOP_PAD=1025G is ignored: out of range (accepted: 0 to 1099511627776 bytes; "
        "used: 131072, the default)\n");
    assert_says(
        "MALLOC_MMAP_THRESHOLD_=-1",
        "neap: MALLOC_MMAP_THRESHOLD_=-1 is ignored: out of range (accepted: 0 and more bytes; "
        "used: 131072, the default)\n");
    assert_says(
        "MALLOC_MMAP_MAX_=2147483648",
        "neap: MALLOC_MMAP_MAX_=2147483648 is ignored: out of range (accepted: 0 to 2147483647 "
        "mappings; used: 65536, the default)\n");
    assert_says("MALLOC_PERTURB_=256",
                "neap: MALLOC_PERTURB_=256 is ignored: out of range (accepted: 0 "
                "to 255; used: 0, the default)\n");
    assert_says(
        "MALLOC_ARENA_TEST=-8",
        "neap: MALLOC_ARENA_TEST=-8 is ignored: out of range (accepted: 0 to 2147483647 arenas; "
        "used: 8, the default)\n");
    assert_says(
        "GLIBC_TUNABLES=glibc.malloc.arena_max=-1",
        "neap: glibc.malloc.arena_max=-1 in GLIBC_TUNABLES is ignored: out of range (accepted: 0 "
        "to 2147483647 arenas; used: 8 x processors, the default)\n");
    assert_says(
        "NEAP_OPEN_BYTES=65535",
        "neap: NEAP_OPEN_BYTES=65535 is ignored: out of range (accepted: 65536 to 1073741824 "
        "bytes; used: 983040, the default)\n");
    assert_says(
        "NEAP_OPEN_BYTES=-99999999999999999999",
        "neap: NEAP_OPEN_BYTES=-99999999999999999999 is ignored: out of range (accepted: 65536 "
        "to 1073741824 bytes; used: 983040, the default)\n");
    assert_says("NEAP_POPULATE=2",
                "neap: NEAP_POPULATE=2 is ignored: out of range (accepted: 0 to 1; "
                "used: 1, the default)\n");
}

static void an_empty_or_absent_value_is_named(void **state)
{
    (void)state;
    assert_says("NEAP_POPULATE=",
                "neap: NEAP_POPULATE= is ignored: empty (accepted: 0 to 1; used: 1, "
                "the default)\n");
    assert_says("MALLOC_ARENA_MAX=", "neap: MALLOC_ARENA_MAX= is ignored: empty (accepted: 0 to "
                                     "2147483647 arenas; used: 8 x processors, the default)\n");
    assert_says(
        "GLIBC_TUNABLES=glibc.malloc.mxfast=",
        "neap: glibc.malloc.mxfast= in GLIBC_TUNABLES is ignored: empty (accepted: 0 to 160 "
        "bytes; used: 0, the default)\n");
    assert_says(
        "GLIBC_TUNABLES=glibc.malloc.mxfast",
        "neap: glibc.malloc.mxfast in GLIBC_TUNABLES is ignored: without a value (accepted: 0 to "
        "160 bytes; used: 0, the default)\n");
}

static void an_unknown_name_is_named(void **state)
{
    (void)state;
    assert_says("NEAP_MAXFAST=1", "neap: NEAP_MAXFAST is not a knob; see docs/tunables.md\n");
    assert_says("NEAP_MXFASTX=1", "neap: NEAP_MXFASTX is not a knob; see docs/tunables.md\n");
    assert_says("NEAP_MXFAS=1", "neap: NEAP_MXFAS is not a knob; see docs/tunables.md\n");
    assert_says("NEAP_mxfast=1", "neap: NEAP_mxfast is not a knob; see docs/tunables.md\n");
    assert_says("NEAP_=1", "neap: NEAP_ is not a knob; see docs/tunables.md\n");
    assert_says("NEAP_X=", "neap: NEAP_X is not a knob; see docs/tunables.md\n");
    /* What has no effect is taken from glibc's users only. */
    assert_says("NEAP_CHECK=1", "neap: NEAP_CHECK is not a knob; see docs/tunables.md\n");
    assert_says("GLIBC_TUNABLES=glibc.malloc.mxfas=1",
                "neap: glibc.malloc.mxfas in GLIBC_TUNABLES is not a knob; see docs/tunables.md\n");
    assert_says(
        "GLIBC_TUNABLES=glibc.malloc.open_bytes=1",
        "neap: glibc.malloc.open_bytes in GLIBC_TUNABLES is not a knob; see docs/tunables.md\n");
    assert_says("GLIBC_TUNABLES=glibc.malloc.=1",
                "neap: glibc.malloc. in GLIBC_TUNABLES is not a knob; see docs/tunables.md\n");
    assert_says(
        "GLIBC_TUNABLES=glibc.malloc.unheard_of",
        "neap: glibc.malloc.unheard_of in GLIBC_TUNABLES is not a knob; see docs/tunables.md\n");
}

static void the_tunables_of_others_pass(void **state)
{
    (void)state;
    ASSERT_SILENT(
        ENVIRONMENT("GLIBC_TUNABLES=glibc.rtld.nns=8:glibc.pthread.rseq=0:glibc.elision.enable=1:"
                    "glibc.malloc=1:glibc.mallocx.mxfast=1:glibc:mxfast=1:malloc.mxfast=1:=5:=:x:"
                    "xglibc.malloc.mxfast=1: glibc.malloc.mxfast=1:GLIBC.malloc.mxfast=1"));
    assert_nothing_set();
}

static void tunables_are_taken_apart_at_colons(void **state)
{
    (void)state;
    ASSERT_SILENT(ENVIRONMENT("GLIBC_TUNABLES="));
    ASSERT_SILENT(ENVIRONMENT("GLIBC_TUNABLES=:"));
    ASSERT_SILENT(ENVIRONMENT("GLIBC_TUNABLES=::::"));
    assert_nothing_set();
    ASSERT_SILENT(ENVIRONMENT("GLIBC_TUNABLES=:glibc.malloc.mxfast=1::x:glibc.malloc.top_pad=2:"
                              "glibc.rtld.nns=8:glibc.malloc.perturb=3:",
                              "NEAP_ARENA_MAX=4"));
    assert_value(NP_KNOB_MXFAST, 1);
    assert_value(NP_KNOB_TOP_PAD, 2);
    assert_value(NP_KNOB_PERTURB, 3);
    assert_value(NP_KNOB_ARENA_MAX, 4);
}

static void a_faulty_tunable_does_not_stop_the_next(void **state)
{
    const char *said = read_environment(ENVIRONMENT(
        "GLIBC_TUNABLES=glibc.malloc.mxfast=glibc.malloc.mxfast=9:glibc.malloc.perturb=3"));

    (void)state;
    assert_string_equal(said,
                        "neap: glibc.malloc.mxfast=glibc.malloc.mxfast=9 in GLIBC_TUNABLES is "
                        "ignored: not a number (accepted: 0 to 160 bytes; used: 0, the default)\n");
    assert_value(NP_KNOB_PERTURB, 3);
    assert_only_set(NP_KNOB_PERTURB);
}

static void a_fault_gives_way_to_a_weaker_source(void **state)
{
    const char *said = read_environment(ENVIRONMENT(
        "NEAP_ARENA_MAX=many", "GLIBC_TUNABLES=glibc.malloc.arena_max=-5", "MALLOC_ARENA_MAX=2"));

    (void)state;
    assert_string_equal(
        said, "neap: NEAP_ARENA_MAX=many is ignored: not a number (accepted: 0 to 2147483647 "
              "arenas; used: 2)\n"
              "neap: glibc.malloc.arena_max=-5 in GLIBC_TUNABLES is ignored: out of range "
              "(accepted: 0 to 2147483647 arenas; used: 2)\n");
    assert_value(NP_KNOB_ARENA_MAX, 2);
}

static void a_fault_says_what_a_later_entry_sets(void **state)
{
    const char *said =
        read_environment(ENVIRONMENT("MALLOC_TRIM_THRESHOLD_=never", "NEAP_TRIM_THRESHOLD=-1"));

    (void)state;
    assert_string_equal(said,
                        "neap: MALLOC_TRIM_THRESHOLD_=never is ignored: not a number (accepted: -1 "
                        "and more bytes; used: -1)\n");
    assert_value(NP_KNOB_TRIM_THRESHOLD, -1);
}

static void of_two_variables_a_faulty_first_gives_way(void **state)
{
    const char *said =
        read_environment(ENVIRONMENT("NEAP_MXFAST=x", "NEAP_MXFAST=7", "NEAP_MXFAST=8"));

    (void)state;
    assert_string_equal(said,
                        "neap: NEAP_MXFAST=x is ignored: not a number (accepted: 0 to 160 bytes; "
                        "used: 7)\n");
    assert_value(NP_KNOB_MXFAST, 7);
}

static void every_fault_is_named_once_in_order(void **state)
{
    const char *said = read_environment(ENVIRONMENT(
        "NEAP_B=1", "NEAP_MXFAST=60",
        "GLIBC_TUNABLES=glibc.malloc.one=1:glibc.malloc.perturb=x:glibc.malloc.two=2", "NEAP_A=1"));

    (void)state;
    assert_string_equal(
        said, "neap: NEAP_B is not a knob; see docs/tunables.md\n"
              "neap: glibc.malloc.one in GLIBC_TUNABLES is not a knob; see docs/tunables.md\n"
              "neap: glibc.malloc.perturb=x in GLIBC_TUNABLES is ignored: not a number "
              "(accepted: 0 to 255; used: 0, the default)\n"
              "neap: glibc.malloc.two in GLIBC_TUNABLES is not a knob; see docs/tunables.md\n"
              "neap: NEAP_A is not a knob; see docs/tunables.md\n");
    assert_value(NP_KNOB_MXFAST, 60);
}

static void long_names_and_values_are_cut(void **state)
{
    char entry[5000] = "NEAP_MXFAST=";
    char name[5000] = "NEAP_";

    (void)state;
    memset(entry + strlen(entry), 'v', 4000);
    assert_says(entry,
                "neap: NEAP_MXFAST=vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv... is ignored: not a "
                "number (accepted: 0 to 160 bytes; used: 0, the default)\n");
    memset(name + strlen(name), 'N', 4000);
    strcat(name, "=1");
    assert_says(name,
                "neap: NEAP_NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNN... is not "
                "a knob; see docs/tunables.md\n");
}

static void a_value_of_forty_bytes_is_not_cut(void **state)
{
    (void)state;
    assert_says(
        "NEAP_MXFAST=1234567890123456789012345678901234567890",
        "neap: NEAP_MXFAST=1234567890123456789012345678901234567890 is ignored: out of range "
        "(accepted: 0 to 160 bytes; used: 0, the default)\n");
    assert_says(
        "NEAP_MXFAST=12345678901234567890123456789012345678901",
        "neap: NEAP_MXFAST=1234567890123456789012345678901234567890... is ignored: out of range "
        "(accepted: 0 to 160 bytes; used: 0, the default)\n");
}

static void what_would_upset_a_terminal_is_not_shown(void **state)
{
    (void)state;
    assert_says(
        "NEAP_MXFAST=a\x1b[2J\n\x7f\x80~ z",
        "neap: NEAP_MXFAST=a?[2J???~ z is ignored: not a number (accepted: 0 to 160 bytes; used: "
        "0, the default)\n");
    assert_says("NEAP_\x1b[31m=1", "neap: NEAP_?[31m is not a knob; see docs/tunables.md\n");
}

/* The longest sentence there can be must fit its line, for every knob and source. */
static void no_sentence_is_cut_short(void **state)
{
    char entry[256];
    const char *said;

    (void)state;
    for (unsigned knob = 0; knob < NP_KNOB_COUNT; knob++) {
        const struct np_knob_row *row = &np_knob_rows[knob];
        bool has_tunable = (row->names & NP_NAME_TUNABLE) != 0;
        char name[NP_KNOB_NAME_BYTES];

        if (!np_knob_has_effect(row))
            continue;
        np_knob_write_name(row, has_tunable ? NP_NAME_TUNABLE : NP_NAME_NEAP, name);
        snprintf(entry, sizeof entry, "%s%s=%050d!", has_tunable ? "GLIBC_TUNABLES=" : "", name, 7);
        said = read_environment(ENVIRONMENT(entry));
        assert_true(strlen(said) > 100);
        assert_string_equal(said + strlen(said) - strlen("the default)\n"), "the default)\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_environment_sets_nothing),
        cmocka_unit_test(other_variables_are_left_alone),
        cmocka_unit_test(an_entry_without_a_value_is_no_variable),
        cmocka_unit_test(every_knob_has_its_names),
        cmocka_unit_test(a_setting_may_repeat_the_default),
        cmocka_unit_test(the_thresholds_freeze_the_rule_from_the_environment_too),
        cmocka_unit_test(mallopt_overrules_the_environment),
        cmocka_unit_test(what_has_no_effect_is_passed_over),
        cmocka_unit_test(the_stronger_source_wins_in_any_order),
        cmocka_unit_test(sources_are_weighed_for_each_knob_apart),
        cmocka_unit_test(of_two_variables_the_first_counts),
        cmocka_unit_test(of_two_tunables_the_last_counts),
        cmocka_unit_test(numbers_are_read_as_glibc_reads_them),
        cmocka_unit_test(a_neap_variable_may_have_a_suffix),
        cmocka_unit_test(what_is_no_number_is_named),
        cmocka_unit_test(only_neap_variables_have_suffixes),
        cmocka_unit_test(what_is_out_of_range_is_named),
        cmocka_unit_test(an_empty_or_absent_value_is_named),
        cmocka_unit_test(an_unknown_name_is_named),
        cmocka_unit_test(the_tunables_of_others_pass),
        cmocka_unit_test(tunables_are_taken_apart_at_colons),
        cmocka_unit_test(a_faulty_tunable_does_not_stop_the_next),
        cmocka_unit_test(a_fault_gives_way_to_a_weaker_source),
        cmocka_unit_test(a_fault_says_what_a_later_entry_sets),
        cmocka_unit_test(of_two_variables_a_faulty_first_gives_way),
        cmocka_unit_test(every_fault_is_named_once_in_order),
        cmocka_unit_test(long_names_and_values_are_cut),
        cmocka_unit_test(a_value_of_forty_bytes_is_not_cut),
        cmocka_unit_test(what_would_upset_a_terminal_is_not_shown),
        cmocka_unit_test(no_sentence_is_cut_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

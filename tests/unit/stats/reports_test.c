/* malloc_stats and malloc_info, to the byte where the heap is empty, and by their figures where
 * it is not. */
#include <fcntl.h>
#include <string.h>

#include "core.h"
#include "gather.h"
#include "isolated.h"
#include "large.h"
#include "os_fake.h"

static char report[1 << 16];
static size_t report_length;
static unsigned piece_count;

static void append(void *context, const char *bytes, size_t byte_count)
{
    assert_ptr_equal(context, &report_length);
    assert_true(report_length + byte_count < sizeof report);
    memcpy(report + report_length, bytes, byte_count);
    report_length += byte_count;
    report[report_length] = '\0';
    piece_count++;
}

static void write_xml(void)
{
    report_length = 0;
    piece_count = 0;
    np_stats_write_xml(append, &report_length);
}

static void write_totals(void)
{
    int pipe_ends[2];
    ssize_t length;

    assert_int_equal(pipe(pipe_ends), 0);
    np_stats_write_totals(pipe_ends[1]);
    close(pipe_ends[1]);
    length = read(pipe_ends[0], report, sizeof report - 1);
    close(pipe_ends[0]);
    assert_true(length > 0);
    report_length = (size_t)length;
    report[report_length] = '\0';
}

static void an_empty_heap_has_glibcs_lines(void **state)
{
    (void)state;
    write_totals();
    assert_string_equal(report, "Arena 0:\n"
                                "system bytes     =          0\n"
                                "in use bytes     =          0\n"
                                "Total (incl. mmap):\n"
                                "system bytes     =          0\n"
                                "in use bytes     =          0\n"
                                "max mmap regions =          0\n"
                                "max mmap bytes   =          0\n");
}

static void totals_are_those_of_the_walk(void **state)
{
    struct np_stats_sums sums;
    struct np_large_totals large;
    char expected[1000];

    (void)state;
    (void)np_core_take(100);
    (void)np_core_take(30000);
    np_core_give(np_core_take(900000));
    (void)np_core_take((size_t)5 << 30); /* more than glibc's 32 bits */
    np_stats_sum(&sums);
    large = np_large_totals();
    assert_true(large.bytes >= (size_t)5 << 30);
    snprintf(expected, sizeof expected,
             "Arena 0:\n"
             "system bytes     = %10zu\n"
             "in use bytes     = %10zu\n"
             "Total (incl. mmap):\n"
             "system bytes     = %10zu\n"
             "in use bytes     = %10zu\n"
             "max mmap regions = %10zu\n"
             "max mmap bytes   = %10zu\n",
             sums.system_bytes, sums.live_bytes, sums.system_bytes + large.bytes,
             sums.live_bytes + large.bytes, large.count_max, large.bytes_max);
    write_totals();
    assert_string_equal(report, expected);
    assert_int_equal(large.count_max, 1);
}

static void every_arena_has_its_lines(void **state)
{
    (void)state;
    (void)np_core_take(100);
    os_fake_limit_break(0);
    for (unsigned i = 0; i < 50; i++)
        (void)np_core_take(100000);
    write_totals();
    assert_non_null(strstr(report, "Arena 0:\n"));
    assert_non_null(strstr(report, "Arena 1:\n"));
    assert_null(strstr(report, "Arena 2:\n"));
    assert_true(strstr(report, "Arena 0:") < strstr(report, "Arena 1:"));
}

static void an_empty_heap_has_glibcs_elements(void **state)
{
    (void)state;
    write_xml();
    assert_string_equal(report, "<malloc version=\"1\">\n"
                                "<heap nr=\"0\">\n"
                                "<sizes>\n"
                                "</sizes>\n"
                                "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
                                "<total type=\"rest\" count=\"0\" size=\"0\"/>\n"
                                "<system type=\"current\" size=\"0\"/>\n"
                                "<system type=\"max\" size=\"0\"/>\n"
                                "<aspace type=\"total\" size=\"0\"/>\n"
                                "<aspace type=\"mprotect\" size=\"0\"/>\n"
                                "<live count=\"0\" size=\"0\"/>\n"
                                "<cold size=\"0\"/>\n"
                                "</heap>\n"
                                "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
                                "<total type=\"rest\" count=\"0\" size=\"0\"/>\n"
                                "<total type=\"mmap\" count=\"0\" size=\"0\"/>\n"
                                "<system type=\"current\" size=\"0\"/>\n"
                                "<system type=\"max\" size=\"0\"/>\n"
                                "<aspace type=\"total\" size=\"0\"/>\n"
                                "<aspace type=\"mprotect\" size=\"0\"/>\n"
                                "<live count=\"0\" size=\"0\"/>\n"
                                "<cold size=\"0\"/>\n"
                                "<returned type=\"break\" count=\"0\" size=\"0\"/>\n"
                                "<returned type=\"purge\" count=\"0\" size=\"0\"/>\n"
                                "<returned type=\"mmap\" count=\"0\" size=\"0\"/>\n"
                                "<bookkeeping size=\"0\"/>\n"
                                "</malloc>\n");
}

static void expect_has(const char *format, size_t first, size_t second)
{
    char wanted[200];

    snprintf(wanted, sizeof wanted, format, first, second);
    if (strstr(report, wanted) == NULL)
        fail_msg("no %s in:\n%s", wanted, report);
}

static void figures_are_those_of_the_walk(void **state)
{
    void *blocks[200];
    struct np_stats_sums sums;
    struct np_large_totals large;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        memset(blocks[i] = np_core_take(576), 1, 576);
    for (size_t i = 0; i < COUNT_OF(blocks); i += 2)
        np_core_give(blocks[i]);
    (void)np_core_take(2000000);
    np_stats_sum(&sums);
    large = np_large_totals();
    write_xml();
    expect_has("  <size from=\"576\" to=\"576\" total=\"%zu\" count=\"%zu\"/>\n",
               sums.free_slot_count * 576, sums.free_slot_count);
    expect_has("<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n",
               sums.free_slot_count + sums.free_run_count, sums.free_resident_bytes);
    expect_has("<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n", large.count, large.bytes);
    expect_has("<live count=\"%zu\" size=\"%zu\"/>\n", 100, 100 * 576);
    expect_has("<cold size=\"%zu\"/>\n", sums.cold_bytes, 0);
    assert_true(sums.free_slot_count >= 100);
}

/* The stream behind the report may allocate, from the very heap that is being told about: no
 * lock is held. */
static void allocate_between(void *context, const char *bytes, size_t byte_count)
{
    static void *last;

    (void)bytes;
    (void)byte_count;
    (*(unsigned *)context)++;
    np_core_give(last);
    last = np_core_take(1000 + *(unsigned *)context * 500);
    assert_sound(np_core_audit());
}

static void writing_may_allocate(void **state)
{
    unsigned pieces = 0;

    (void)state;
    (void)np_core_take(100);
    np_stats_write_xml(allocate_between, &pieces);
    assert_true(pieces > 20);
    assert_sound(np_core_audit());
}

static void writing_asks_the_system_for_nothing(void **state)
{
    (void)state;
    (void)np_core_take(100);
    os_fake_reset();
    os_fake_fail_from(1);
    write_xml();
    write_totals();
    assert_int_equal(os_fake_all_calls(), 0);
    assert_null(strstr(report, "<"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_heap_has_glibcs_lines),
        cmocka_unit_test(totals_are_those_of_the_walk),
        cmocka_unit_test(every_arena_has_its_lines),
        cmocka_unit_test(an_empty_heap_has_glibcs_elements),
        cmocka_unit_test(figures_are_those_of_the_walk),
        cmocka_unit_test(writing_may_allocate),
        cmocka_unit_test(writing_asks_the_system_for_nothing),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* malloc_stats, malloc_info and the free table, to the byte where the heap is empty, and by their
 * figures where it is not. */
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

/* More than glibc's 32 bits, where there are more. */
#define LARGE_BYTES ((size_t)np_min64(UINT64_C(5) << 30, SIZE_MAX / 8))

static void totals_are_those_of_the_walk(void **state)
{
    struct np_stats_sums sums;
    struct np_large_totals large;
    char expected[1000];

    (void)state;
    (void)np_core_take(100);
    (void)np_core_take(30000);
    np_core_give(np_core_take(900000));
    (void)np_core_take(LARGE_BYTES);
    np_stats_sum(&sums);
    large = np_large_totals();
    assert_true(large.bytes >= LARGE_BYTES);
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
        memset(blocks[i] = np_core_take(1024), 1, 1024);
    for (size_t i = 0; i < COUNT_OF(blocks); i += 2)
        np_core_give(blocks[i]);
    (void)np_core_take(2000000);
    np_stats_sum(&sums);
    large = np_large_totals();
    write_xml();
    expect_has("  <size from=\"1024\" to=\"1024\" total=\"%zu\" count=\"%zu\"/>\n",
               sums.free_slot_count * 1024, sums.free_slot_count);
    expect_has("<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n",
               sums.free_slot_count + sums.free_run_count, np_stats_free_bytes(&sums));
    expect_has("<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n", large.count, large.bytes);
    expect_has("<live count=\"%zu\" size=\"%zu\"/>\n", 100, 100 * 1024);
    expect_has("<cold size=\"%zu\"/>\n", sums.cold_bytes, 0);
    assert_true(sums.free_slot_count >= 100);
}

/* ---- the free table ---- */

#define HEADER "      total       used       free    maxused    maxfree  nused  nfree" \
               "        rss returnable name\n"

enum { ROW_MAX = 4 };

struct row {
    size_t total, used, free, max_used, max_free, used_count, free_count, rss, returnable;
    char name[16];
};

static struct row rows[ROW_MAX];
static size_t row_count;

static void expect_t1(const struct row *row)
{
    assert_int_equal(row->used + row->free, row->total);
    assert_true(row->used <= row->max_used);
    assert_true(row->max_used <= row->total);
    assert_true(row->max_free <= row->free);
    assert_true(row->returnable <= row->rss);
    assert_true(row->rss <= row->total);
    assert_true(row->used_count <= row->used);
}

static void write_table(void)
{
    const char *at;

    report_length = 0;
    np_stats_write_table(append, &report_length);
    assert_memory_equal(report, HEADER, sizeof HEADER - 1);
    row_count = 0;
    for (at = report + sizeof HEADER - 1; *at != '\0'; at = strchr(at, '\n') + 1) {
        struct row *row = &rows[row_count++];

        assert_true(row_count <= ROW_MAX);
        assert_int_equal(sscanf(at, "%zu %zu %zu %zu %zu %zu %zu %zu %zu %15s", &row->total,
                                &row->used, &row->free, &row->max_used, &row->max_free,
                                &row->used_count, &row->free_count, &row->rss, &row->returnable,
                                row->name),
                         10);
        expect_t1(row);
    }
}

static void an_empty_table(void **state)
{
    (void)state;
    write_table();
    assert_string_equal(
        report,
        HEADER "          0          0          0          0          0      0      0"
               "          0          0 arena0\n"
               "          0          0          0          0          0      0      0"
               "          0          0 large\n"
               "          0          0          0          0          0      0      0"
               "          0          0 total\n");
}

#if SIZE_MAX > UINT32_MAX
/* What NuttX runs together: numbers as wide as their column. Those of 32 bits are narrower. */
static void columns_are_apart(void **state)
{
    (void)state;
    (void)np_core_take(((size_t)50 << 30) - 100);
    write_table();
    assert_string_equal(rows[1].name, "large");
    assert_int_equal(rows[1].total, (size_t)50 << 30);
    assert_non_null(strstr(report, "\n 53687091200 53687091200          0 53687091200          0"
                                   "      1      0 53687091200          0 large\n"));
}
#endif

static void the_table_follows_a_program(void **state)
{
    enum { COUNT = 3000 };
    static void *blocks[COUNT];
    size_t live_count = 0;

    (void)state;
    for (unsigned round = 0; round < 6; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            size_t bytes = 1 + random_below(random_below(50) == 0 ? 300000 : 2000);

            if (blocks[i] == NULL && random_below(4) != 0) {
                blocks[i] = np_core_take(bytes);
                live_count++;
            } else if (blocks[i] != NULL && round > 2) {
                np_core_give(blocks[i]);
                blocks[i] = NULL;
                live_count--;
            }
        }
        write_table();
        assert_int_equal(row_count, 3);
        assert_string_equal(rows[0].name, "arena0");
        assert_string_equal(rows[2].name, "total");
        assert_int_equal(rows[2].used_count, live_count);
    }
    for (size_t i = 0; i < COUNT; i++)
        np_core_give(blocks[i]);
    (void)np_core_trim(0);
    write_table();
    assert_int_equal(rows[2].used_count, 0);
    assert_int_equal(rows[2].used, 0);
    assert_true(rows[2].max_used > 1000000);
    assert_int_equal(rows[2].rss, rows[2].returnable);
}

static void rows_add_up_and_are_the_walks(void **state)
{
    struct np_stats_sums sums;
    struct np_large_totals large;

    (void)state;
    (void)np_core_take(100);
    (void)np_core_take(30000);
    np_core_give(np_core_take(100000));
    np_core_give(np_core_take(900000));
    (void)np_core_take(2000000);
    os_fake_limit_break(0);
    for (unsigned i = 0; i < 50; i++)
        (void)np_core_take(100000);
    write_table();
    np_stats_sum(&sums);
    large = np_large_totals();
    assert_int_equal(row_count, 4);
    assert_string_equal(rows[1].name, "arena1");
    assert_int_equal(rows[2].used, large.bytes);
    assert_int_equal(rows[2].total, large.bytes_max);
    assert_int_equal(rows[2].used_count, 1);
    assert_int_equal(rows[0].used + rows[1].used, sums.live_bytes);
    assert_int_equal(rows[0].used_count + rows[1].used_count, sums.live_count);
    assert_int_equal(rows[0].rss + rows[1].rss, sums.system_bytes - sums.cold_bytes);
    assert_int_equal(rows[0].returnable + rows[1].returnable, np_stats_retained_bytes(&sums));
    assert_int_equal(rows[0].max_used + rows[1].max_used, sums.used_max_bytes);
    assert_int_equal(rows[3].total, rows[0].total + rows[1].total + rows[2].total);
    assert_int_equal(rows[3].used, rows[0].used + rows[1].used + rows[2].used);
    assert_int_equal(rows[3].free_count, rows[0].free_count + rows[1].free_count);
    assert_int_equal(rows[3].rss, rows[0].rss + rows[1].rss + rows[2].rss);
    assert_true(rows[3].max_free == rows[0].max_free || rows[3].max_free == rows[1].max_free);
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
    np_stats_write_table(allocate_between, &pieces);
    assert_sound(np_core_audit());
}

static void writing_asks_the_system_for_nothing(void **state)
{
    (void)state;
    (void)np_core_take(100);
    os_fake_reset();
    os_fake_fail_from(1);
    write_xml();
    write_table();
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
        cmocka_unit_test(an_empty_table),
#if SIZE_MAX > UINT32_MAX
        cmocka_unit_test(columns_are_apart),
#endif
        cmocka_unit_test(the_table_follows_a_program),
        cmocka_unit_test(rows_add_up_and_are_the_walks),
        cmocka_unit_test(writing_may_allocate),
        cmocka_unit_test(writing_asks_the_system_for_nothing),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

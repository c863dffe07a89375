/* neap_free_table, read back by a program that knows what it has. */
#include "../unit/isolated.h"

#include <pthread.h>
#include <string.h>

#include "neap/neap.h"

#define MIB ((size_t)1 << 20)

enum { COUNT = 20000, ROW_MAX = 20, THREADS = 3 };

struct row {
    size_t total, used, free, max_used, max_free, used_count, free_count, rss, returnable;
    char name[16];
};

static struct row rows[ROW_MAX];
static size_t row_count;
static FILE *file;

/* stdio's buffer is its caller's, so that it allocates nothing while the table is written. */
static void open_file(void)
{
    static char buffer[4096];

    file = tmpfile();
    assert_non_null(file);
    setvbuf(file, buffer, _IOFBF, sizeof buffer);
}

static void read_row(struct row *row, const char *line)
{
    assert_int_equal(sscanf(line, "%zu %zu %zu %zu %zu %zu %zu %zu %zu %15s\n", &row->total,
                            &row->used, &row->free, &row->max_used, &row->max_free,
                            &row->used_count, &row->free_count, &row->rss, &row->returnable,
                            row->name),
                     10);
    assert_int_equal(row->used + row->free, row->total);
    assert_true(row->used <= row->max_used);
    assert_true(row->max_used <= row->total);
    assert_true(row->max_free <= row->free);
    assert_true(row->returnable <= row->rss);
    assert_true(row->rss <= row->total);
}

/* The last row. */
static const struct row *table(void)
{
    char line[256];

    rewind(file);
    assert_int_equal(ftruncate(fileno(file), 0), 0);
    neap_free_table(file);
    assert_int_equal(ferror(file), 0);
    rewind(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line,
                        "      total       used       free    maxused    maxfree  nused  nfree"
                        "        rss returnable name\n");
    for (row_count = 0; fgets(line, sizeof line, file) != NULL; row_count++) {
        assert_true(row_count < ROW_MAX);
        read_row(&rows[row_count], line);
    }
    assert_true(row_count >= 3);
    assert_string_equal(rows[0].name, "arena0");
    assert_string_equal(rows[row_count - 2].name, "large");
    assert_string_equal(rows[row_count - 1].name, "total");
    return &rows[row_count - 1];
}

static void blocks_are_counted_exactly(void **state)
{
    static void *blocks[COUNT];
    size_t live_count;

    (void)state;
    open_file();
    live_count = table()->used_count;
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = neap_malloc(i % 1000 == 0 ? 300000 : i % 100 == 0 ? 30000 : i % 2000);
        if (i % 500 == 0)
            assert_int_equal(table()->used_count, live_count + i + 1);
    }
    for (size_t i = 0; i < COUNT; i++) {
        neap_free(blocks[i]);
        if (i % 500 == 0)
            assert_int_equal(table()->used_count, live_count + COUNT - i - 1);
    }
    assert_int_equal(table()->used_count, live_count);
}

static void the_peak_is_kept(void **state)
{
    static void *blocks[COUNT];
    size_t live_bytes;
    size_t max_used;

    (void)state;
    open_file();
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = neap_malloc(1000);
    live_bytes = table()->used;
    assert_true(live_bytes >= (size_t)COUNT * 1000);
    for (size_t i = 0; i < COUNT; i++)
        neap_free(blocks[i]);
    (void)neap_malloc_trim(0);
    max_used = table()->max_used;
    assert_true(max_used >= live_bytes);
    assert_true(max_used <= live_bytes + MIB);
    assert_true(table()->used < MIB);
    assert_true(table()->rss < MIB);
}

/* Rows stay what they promise while others allocate. */
static _Atomic int must_stop;

static void *churn(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    void *kept[200] = {NULL};

    while (!must_stop) {
        size_t index;

        seed = seed * 1103515245 + 12345;
        index = (seed >> 16) % COUNT_OF(kept);
        neap_free(kept[index]);
        kept[index] = neap_malloc((seed >> 8) % ((seed >> 4) % 16 == 0 ? 200000 : 2000));
    }
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        neap_free(kept[i]);
    return NULL;
}

static void rows_hold_while_threads_work(void **state)
{
    pthread_t threads[THREADS];
    size_t used_count;

    (void)state;
    open_file();
    used_count = table()->used_count;
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
    for (unsigned i = 0; i < 1000; i++)
        (void)table();
    must_stop = 1;
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    /* libc keeps stacks for later threads, and a few blocks that go with them. */
    assert_in_range(table()->used_count, used_count, used_count + 4 * THREADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_counted_exactly),
        cmocka_unit_test(the_peak_is_kept),
        cmocka_unit_test(rows_hold_while_threads_work),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

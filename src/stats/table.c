/* The free table. Columns, their order and their widths are those of NuttX's `free` (the header and
 * the rows of fs/procfs/fs_procfsmeminfo.c there), with rss and returnable before the name. There
 * numbers of eleven digits run into each other; here a column widens instead.
 *
 * [T1] used + free = total, used <= maxused <= total, maxfree <= free, returnable <= rss <= total,
 *      in every row.
 *
 * A heap of NuttX has a fixed region; an arena of ours gives addresses back. So that T1 holds after
 * that, too, an arena's total is the most that it has had, and what it has given back is free. */
#include "bits.h"
#include "gather.h"
#include "large.h"
#include "text.h"

struct row {
    size_t total;
    size_t used;
    size_t max_used;
    size_t max_free;
    size_t used_count;
    size_t free_count;
    size_t rss;
    size_t returnable;
};

struct writer {
    void (*write)(void *context, const char *bytes, size_t byte_count);
    void *context;
};

/* NuttX's %11 and %7, the first character always a blank. */
#define BYTES_WIDTH 10
#define COUNT_WIDTH 6

/* Ten columns with 20-digit numbers, and a name. */
#define LINE_BYTES 256

static const char header[] = "      total       used       free    maxused    maxfree  nused  nfree"
                             "        rss returnable name\n";

static void add_number(struct np_text *text, size_t number, unsigned width)
{
    np_text_char(text, ' ');
    np_text_padded_unsigned(text, number, width);
}

static void put_row(const struct writer *writer, const struct row *row, const char *name,
                    size_t name_byte_count)
{
    char buffer[LINE_BYTES];
    struct np_text text = np_text_over(buffer, sizeof buffer);

    add_number(&text, row->total, BYTES_WIDTH);
    add_number(&text, row->used, BYTES_WIDTH);
    add_number(&text, row->total - row->used, BYTES_WIDTH);
    add_number(&text, row->max_used, BYTES_WIDTH);
    add_number(&text, row->max_free, BYTES_WIDTH);
    add_number(&text, row->used_count, COUNT_WIDTH);
    add_number(&text, row->free_count, COUNT_WIDTH);
    add_number(&text, row->rss, BYTES_WIDTH);
    add_number(&text, row->returnable, BYTES_WIDTH);
    np_text_char(&text, ' ');
    np_text_bytes(&text, name, name_byte_count);
    np_text_char(&text, '\n');
    writer->write(writer->context, buffer, (size_t)(text.at - buffer));
}

static struct row row_of_arena(const struct np_stats_sums *sums)
{
    return (struct row){
        .total = np_max(sums->system_max_bytes, sums->used_max_bytes),
        .used = sums->live_bytes,
        .max_used = sums->used_max_bytes,
        .max_free = sums->largest_free_bytes,
        .used_count = sums->live_count,
        .free_count = sums->free_run_count + sums->cold_run_count + sums->free_slot_count +
                      sums->cold_slot_count,
        .rss = sums->system_bytes - sums->cold_bytes,
        .returnable = np_stats_retained_bytes(sums),
    };
}

static struct row row_of_large(void)
{
    struct np_large_totals large = np_large_totals();
    size_t max_bytes = np_max(large.bytes_max, large.bytes); /* read at different moments */

    return (struct row){
        .total = max_bytes,
        .used = large.bytes,
        .max_used = max_bytes,
        .used_count = large.count,
        .rss = large.bytes,
    };
}

static void add(struct row *sum, const struct row *row)
{
    sum->total += row->total;
    sum->used += row->used;
    sum->max_used += row->max_used;
    sum->max_free = np_max(sum->max_free, row->max_free);
    sum->used_count += row->used_count;
    sum->free_count += row->free_count;
    sum->rss += row->rss;
    sum->returnable += row->returnable;
}

static void put_arena(const struct writer *writer, const struct row *row, unsigned index)
{
    char name[16];
    struct np_text text = np_text_over(name, sizeof name);

    np_text_string(&text, "arena");
    np_text_unsigned(&text, index);
    put_row(writer, row, name, (size_t)(text.at - name));
}

void np_stats_write_table(void (*write)(void *context, const char *bytes, size_t byte_count),
                          void *context)
{
    struct writer writer = {write, context};
    struct row sum = {0};
    struct np_stats_sums sums;
    struct row row;

    writer.write(context, header, sizeof header - 1);
    for (unsigned index = 0; np_stats_sum_arena(index, &sums); index++) {
        row = row_of_arena(&sums);
        add(&sum, &row);
        put_arena(&writer, &row, index);
    }
    row = row_of_large();
    add(&sum, &row);
    put_row(&writer, &row, "large", 5);
    put_row(&writer, &sum, "total", 5);
}

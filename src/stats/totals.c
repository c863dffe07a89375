/* malloc_stats, in glibc's words and columns. glibc prints 32 bits of each number; these are
 * whole, and make the column wider where they must. */
#include "gather.h"
#include "large.h"
#include "text.h"

/* printf's %10u of glibc's lines. */
#define NUMBER_WIDTH 10

/* An arena's three lines, or the last five, with 20-digit numbers, come to less than this. */
#define PIECE_BYTES 256

static void add_line(struct np_text *text, const char *label, size_t number)
{
    np_text_string(text, label);
    np_text_string(text, "= ");
    np_text_padded_unsigned(text, number, NUMBER_WIDTH);
    np_text_char(text, '\n');
}

static void write_arena(int fd, unsigned index, const struct np_stats_sums *sums)
{
    char buffer[PIECE_BYTES];
    struct np_text text = np_text_over(buffer, sizeof buffer);

    np_text_string(&text, "Arena ");
    np_text_unsigned(&text, index);
    np_text_string(&text, ":\n");
    add_line(&text, "system bytes     ", sums->system_bytes);
    add_line(&text, "in use bytes     ", sums->live_bytes);
    np_text_write(fd, buffer, (size_t)(text.at - buffer));
}

void np_stats_write_totals(int fd)
{
    struct np_large_totals large = np_large_totals();
    struct np_stats_sums sums = {0};
    char buffer[PIECE_BYTES];
    struct np_text text = np_text_over(buffer, sizeof buffer);
    struct np_arena *arena;

    for (unsigned index = 0; (arena = np_stats_arena(index)) != NULL; index++) {
        struct np_gathered gathered;

        np_stats_gather(arena, &gathered);
        np_stats_add(&sums, &gathered.sums);
        write_arena(fd, index, &gathered.sums);
    }
    np_text_string(&text, "Total (incl. mmap):\n");
    add_line(&text, "system bytes     ", sums.system_bytes + large.bytes);
    add_line(&text, "in use bytes     ", sums.live_bytes + large.bytes);
    add_line(&text, "max mmap regions ", large.count_max);
    add_line(&text, "max mmap bytes   ", large.bytes_max);
    np_text_write(fd, buffer, (size_t)(text.at - buffer));
}

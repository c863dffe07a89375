/* malloc_info: glibc's elements, in glibc's order, and a few of our own that parsers of glibc's
 * pass over.
 *
 * An arena is walked under its lock into numbers, then written without it: the stream behind
 * `write` may allocate. The totals are the sums of what was written, not of a second walk. */
#include "gather.h"
#include "large.h"
#include "returned.h"
#include "text.h"

struct writer {
    void (*write)(void *context, const char *bytes, size_t byte_count);
    void *context;
};

/* Longest: five attributes with 20-digit numbers. */
#define LINE_BYTES 256

static void put(const struct writer *writer, const char *string)
{
    size_t byte_count = 0;

    while (string[byte_count] != '\0')
        byte_count++;
    writer->write(writer->context, string, byte_count);
}

struct attribute {
    const char *name;
    uint64_t value;
};

/* <start name="value" ... />; `start` is the element's name and, mostly, its type. Attributes
 * end with a name that is NULL. */
static void put_element(const struct writer *writer, const char *start,
                        const struct attribute *attributes)
{
    char buffer[LINE_BYTES];
    struct np_text text = np_text_over(buffer, sizeof buffer);

    np_text_char(&text, '<');
    np_text_string(&text, start);
    for (; attributes->name != NULL; attributes++) {
        np_text_char(&text, ' ');
        np_text_string(&text, attributes->name);
        np_text_string(&text, "=\"");
        np_text_unsigned(&text, attributes->value);
        np_text_char(&text, '"');
    }
    np_text_string(&text, "/>\n");
    writer->write(writer->context, buffer, (size_t)(text.at - buffer));
}

static void put_size(const struct writer *writer, const char *start, size_t size)
{
    put_element(writer, start, (const struct attribute[]){{"size", size}, {NULL, 0}});
}

static void put_count_and_size(const struct writer *writer, const char *start, size_t count,
                               uint64_t size)
{
    put_element(writer, start,
                (const struct attribute[]){{"count", count}, {"size", size}, {NULL, 0}});
}

static void put_sizes(const struct writer *writer, const struct np_bin *bins)
{
    put(writer, "<sizes>\n");
    for (unsigned index = 0; index < NP_BIN_COUNT; index++) {
        const struct np_bin *bin = &bins[index];
        const struct attribute attributes[] = {{"from", bin->least},
                                               {"to", bin->most},
                                               {"total", bin->bytes},
                                               {"count", bin->count},
                                               {NULL, 0}};

        if (bin->count == 0)
            continue;
        put(writer, "  ");
        put_element(writer, "size", attributes);
    }
    put(writer, "</sizes>\n");
}

static void put_free_totals(const struct writer *writer, const struct np_stats_sums *sums)
{
    put_count_and_size(writer, "total type=\"fast\"", sums->held_count, sums->held_bytes);
    put_count_and_size(writer, "total type=\"rest\"",
                       sums->free_run_count + sums->free_slot_count - sums->held_count,
                       np_stats_free_bytes(sums) - sums->held_bytes);
}

/* What an arena got from the system is usable at once, so both of glibc's kinds of address space
 * are that. */
static void put_system(const struct writer *writer, const struct np_stats_sums *sums)
{
    put_size(writer, "system type=\"current\"", sums->system_bytes);
    put_size(writer, "system type=\"max\"", sums->system_max_bytes);
    put_size(writer, "aspace type=\"total\"", sums->system_bytes);
    put_size(writer, "aspace type=\"mprotect\"", sums->system_bytes);
    /* Ours: current is the sum of these two and of the sizes of "fast" and "rest". */
    put_count_and_size(writer, "live", sums->live_count, sums->live_bytes);
    put_size(writer, "cold", sums->cold_bytes);
}

static void put_heap(const struct writer *writer, unsigned index,
                     const struct np_gathered *gathered)
{
    char buffer[LINE_BYTES];
    struct np_text text = np_text_over(buffer, sizeof buffer);

    np_text_string(&text, "<heap nr=\"");
    np_text_unsigned(&text, index);
    np_text_string(&text, "\">\n");
    writer->write(writer->context, buffer, (size_t)(text.at - buffer));
    put_sizes(writer, gathered->bins);
    put_free_totals(writer, &gathered->sums);
    put_system(writer, &gathered->sums);
    put(writer, "</heap>\n");
}

static void put_returned(const struct writer *writer, const struct np_large_totals *large)
{
    const struct np_returned_totals totals = np_returned_totals();

    put_count_and_size(writer, "returned type=\"break\"", totals.ways[NP_RETURN_BREAK].calls,
                       totals.ways[NP_RETURN_BREAK].bytes);
    put_count_and_size(writer, "returned type=\"purge\"", totals.ways[NP_RETURN_PURGE].calls,
                       totals.ways[NP_RETURN_PURGE].bytes);
    put_count_and_size(writer, "returned type=\"mmap\"", large->unmapped_calls,
                       large->unmapped_bytes);
}

void np_stats_write_xml(void (*write)(void *context, const char *bytes, size_t byte_count),
                        void *context)
{
    struct writer writer = {write, context};
    struct np_stats_sums sums = {0};
    struct np_large_totals large;
    struct np_arena *arena;

    np_stats_settle();
    put(&writer, "<malloc version=\"1\">\n");
    for (unsigned index = 0; (arena = np_stats_arena(index)) != NULL; index++) {
        struct np_gathered gathered;

        np_stats_gather(arena, &gathered);
        np_stats_add(&sums, &gathered.sums);
        put_heap(&writer, index, &gathered);
    }
    large = np_large_totals();
    put_free_totals(&writer, &sums);
    put_count_and_size(&writer, "total type=\"mmap\"", large.count, large.bytes);
    put_system(&writer, &sums);
    put_returned(&writer, &large);
    put_size(&writer, "bookkeeping", np_stats_process().metadata_mapped_bytes);
    put(&writer, "</malloc>\n");
}

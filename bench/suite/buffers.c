/* buffers.c: the workloads of the other entry points: realloc, calloc, aligned_alloc. */
#include "workloads.h"

#include <stdlib.h>
#include <string.h>

/* grow: many buffers are appended to in turn, as strings and vectors are: most by half as much
 * again, some by a fixed step, and each is dropped at a size of its own. */

enum { BUFFER_COUNT = 256, STEP_BYTES = 1024 };

struct buffer {
    unsigned char *bytes;
    size_t byte_count;
    size_t capacity;
    size_t end_bytes;               /* dropped when it has grown to this */
    unsigned char mark;
};

static void start_buffer(struct buffer *buffer, struct random *random)
{
    /* 1 KiB to 1 MiB; every power of two as likely as the next. */
    buffer->end_bytes = (size_t)1024 << random_below(random, 11);
    buffer->byte_count = 0;
    buffer->capacity = 16;
    buffer->bytes = take(buffer->capacity);
    buffer->mark = (unsigned char)next_random(random);
}

static void append(struct buffer *buffer, size_t more, size_t index)
{
    while (buffer->byte_count + more > buffer->capacity) {
        buffer->capacity += index % 4 == 0 ? STEP_BYTES : buffer->capacity / 2;
        buffer->bytes = resize(buffer->bytes, buffer->capacity);
    }
    memset(buffer->bytes + buffer->byte_count, buffer->mark, more);
    buffer->byte_count += more;
}

static void grow_buffers(struct share *share)
{
    static struct buffer all_buffers[BUFFER_COUNT];
    struct buffer *buffers = &all_buffers[slice_start(share, BUFFER_COUNT)];
    size_t buffer_count = slice_count(share, BUFFER_COUNT);

    for (size_t left = shared_out(share, 600000); left > 0; left--) {
        size_t index = random_below(&share->random, buffer_count);
        struct buffer *buffer = &buffers[index];

        if (buffer->bytes == NULL)
            start_buffer(buffer, &share->random);
        append(buffer, 64 + random_below(&share->random, 1024), index);
        if (buffer->byte_count < buffer->end_bytes)
            continue;
        share->sum += read_back(buffer->bytes, buffer->byte_count);
        free(buffer->bytes);
        buffer->bytes = NULL;
    }
    for (size_t i = 0; i < buffer_count; i++) {
        free(buffers[i].bytes);
        buffers[i].bytes = NULL;
    }
}

uint64_t run_grow(const struct plan *plan)
{
    return run_shares(plan, grow_buffers);
}

/* grow-one: one buffer at a time grows to 256 MiB, by a fixed step or by half of itself, as a file
 * is read whose length nobody knows; between the steps other blocks are asked for. */

enum { GROWN_BYTES = 256 << 20, READ_BYTES = 256 << 10 };

uint64_t run_grow_one(const struct plan *plan)
{
    size_t end_bytes = scaled(plan, GROWN_BYTES);
    uint64_t sum = 0;

    for (size_t turn = 0; turn < 4; turn++) {
        size_t capacity = READ_BYTES, byte_count = 0;
        unsigned char *bytes = take(capacity);
        void *others[16] = {NULL};

        for (size_t step = 0; byte_count < end_bytes; step++) {
            while (byte_count + READ_BYTES > capacity) {
                capacity += turn % 2 == 0 ? READ_BYTES : capacity / 2;
                bytes = resize(bytes, capacity);
            }
            fill(bytes + byte_count, READ_BYTES, step);
            sum += read_back(bytes + byte_count, READ_BYTES);
            byte_count += READ_BYTES;
            free(others[step % 16]);
            others[step % 16] = take(1000);
        }
        for (size_t i = 0; i < 16; i++)
            free(others[i]);
        free(bytes);
    }
    return sum;
}

/* grow-small: many short texts grow by a few bytes at a time, with no spare room, as careless
 * programs do it. */

enum { TEXT_COUNT = 20000, TEXT_END_BYTES = 400 };

static void grow_texts(struct share *share)
{
    static struct block all_texts[TEXT_COUNT];
    struct block *texts = &all_texts[slice_start(share, TEXT_COUNT)];
    size_t text_count = slice_count(share, TEXT_COUNT);

    for (size_t left = shared_out(share, 5000000); left > 0; left--) {
        struct block *text = &texts[random_below(&share->random, text_count)];
        size_t more = random_between(&share->random, 1, 40);
        size_t old_bytes = text->bytes != NULL ? text->byte_count : 0;

        if (old_bytes + more > TEXT_END_BYTES) {
            share->sum += text->bytes[0];
            free(text->bytes);
            text->bytes = NULL;
            continue;
        }
        text->byte_count = old_bytes + more;
        text->bytes = resize(text->bytes, text->byte_count);
        memset(text->bytes + old_bytes, (int)left, more);
    }
    for (size_t i = 0; i < text_count; i++)
        free(texts[i].bytes);
}

uint64_t run_grow_small(const struct plan *plan)
{
    return run_shares(plan, grow_texts);
}

/* zeroed: calloc of small records, which are written, and of tables up to 512 KiB, of which only
 * a few words are: hash tables and bitmaps are like that. zeroed-tables: tables alone, up to
 * 16 MiB. */

enum { RECORD_COUNT = 20000, TABLE_COUNT = 64, LARGE_TABLE_COUNT = 16 };

static uint64_t *zeroed_table(struct random *random, size_t byte_count)
{
    uint64_t *words = take_zeroed(byte_count);

    for (size_t i = 0; i < 8; i++) {
        uint64_t *word = &words[random_below(random, byte_count / sizeof *words)];

        if (*word > 8)
            give_up("calloc's memory is not zero");
        *word += 1;
    }
    return words;
}

static void replace_record(struct share *share, struct block *record, uint64_t value)
{
    unsigned char *bytes;

    share->sum += drop(record);
    record->byte_count = random_between(&share->random, 16, 512);
    record->bytes = bytes = take_zeroed(record->byte_count);
    if (bytes[0] != 0 || bytes[record->byte_count / 2] != 0 || bytes[record->byte_count - 1] != 0)
        give_up("calloc's memory is not zero");
    fill(bytes, record->byte_count, value);
}

static void live_zeroed(struct share *share)
{
    static struct block all_records[RECORD_COUNT];
    static uint64_t *all_tables[TABLE_COUNT];
    struct block *records = &all_records[slice_start(share, RECORD_COUNT)];
    uint64_t **tables = &all_tables[slice_start(share, TABLE_COUNT)];
    size_t record_count = slice_count(share, RECORD_COUNT);
    size_t table_count = slice_count(share, TABLE_COUNT);

    for (size_t left = shared_out(share, 1200000); left > 0; left--) {
        replace_record(share, &records[random_below(&share->random, record_count)], left);
        if (left % 50 == 0) {
            uint64_t **table = &tables[random_below(&share->random, table_count)];

            free(*table);
            *table = zeroed_table(&share->random, (size_t)4096 << random_below(&share->random, 8));
        }
    }
    for (size_t i = 0; i < table_count; i++) {
        free(tables[i]);
        tables[i] = NULL;
    }
    share->sum += drop_all(records, record_count);
}

uint64_t run_zeroed(const struct plan *plan)
{
    return run_shares(plan, live_zeroed);
}

static void live_tables(struct share *share)
{
    static uint64_t *all_tables[LARGE_TABLE_COUNT];
    uint64_t **tables = &all_tables[slice_start(share, LARGE_TABLE_COUNT)];
    size_t table_count = slice_count(share, LARGE_TABLE_COUNT);

    for (size_t left = shared_out(share, 1500); left > 0; left--) {
        uint64_t **table = &tables[random_below(&share->random, table_count)];

        free(*table);
        *table = zeroed_table(&share->random, random_octave(&share->random, 64 << 10, 8));
        share->sum += **table;
    }
    for (size_t i = 0; i < table_count; i++) {
        free(tables[i]);
        tables[i] = NULL;
    }
}

uint64_t run_zeroed_tables(const struct plan *plan)
{
    return run_shares(plan, live_tables);
}

/* aligned: blocks at 16 to 128 bytes, for vectors and cache lines, half of them by
 * posix_memalign; or buffers at a page, now and then at 2 MiB, as for direct I/O and huge pages. */

enum { ALIGNED_COUNT = 20000, PAGES_COUNT = 200 };

static unsigned char *take_aligned(size_t alignment, size_t byte_count, size_t turn)
{
    void *block = NULL;

    if (turn % 2 == 0)
        block = aligned_alloc(alignment, (byte_count + alignment - 1) / alignment * alignment);
    else if (posix_memalign(&block, alignment, byte_count) != 0)
        block = NULL;
    if (block == NULL)
        give_up("no memory");
    if ((uintptr_t)block % alignment != 0)
        give_up("a block is not aligned");
    return block;
}

static void replace_aligned(struct share *share, struct block *block, size_t turn)
{
    size_t alignment;

    share->sum += drop(block);
    if (share->plan->variant == ALIGNED_SMALL) {
        alignment = (size_t)16 << random_below(&share->random, 4);
        block->byte_count = random_record_size(&share->random);
    } else {
        alignment = turn % 64 == 0 ? (size_t)2 << 20 : 4096;
        block->byte_count = random_octave(&share->random, 4096, 7);
    }
    block->bytes = take_aligned(alignment, block->byte_count, turn);
    fill(block->bytes, block->byte_count, turn);
}

static void live_aligned(struct share *share)
{
    static struct block all_blocks[ALIGNED_COUNT];
    int is_small = share->plan->variant == ALIGNED_SMALL;
    size_t all_count = is_small ? ALIGNED_COUNT : PAGES_COUNT;
    struct block *blocks = &all_blocks[slice_start(share, all_count)];
    size_t block_count = slice_count(share, all_count);

    for (size_t left = shared_out(share, is_small ? 3000000 : 60000); left > 0; left--)
        replace_aligned(share, &blocks[random_below(&share->random, block_count)], left);
    share->sum += drop_all(blocks, block_count);
}

uint64_t run_aligned(const struct plan *plan)
{
    return run_shares(plan, live_aligned);
}

/* one_thread.c: the workloads of one thread whose blocks do not point at each other.
 *
 * Their tables are static, so that only the blocks themselves come from malloc.
 */
#include "common.h"

#include <stdlib.h>
#include <string.h>

struct block {
    unsigned char *bytes;
    size_t byte_count;
};

/* churn: blocks of the mix, of three ages. Most are free again after a few dozen requests, as
 * temporaries are; some live through thousands; few live long, and lie between the others. */

enum { YOUNG_COUNT = 64, MIDDLE_COUNT = 4096, OLD_COUNT = 60000 };

static struct block young[YOUNG_COUNT], middle[MIDDLE_COUNT], old[OLD_COUNT];

static struct block *pick_by_age(struct random *random)
{
    size_t draw = random_below(random, 100);

    if (draw < 80)
        return &young[random_below(random, YOUNG_COUNT)];
    if (draw < 95)
        return &middle[random_below(random, MIDDLE_COUNT)];
    return &old[random_below(random, OLD_COUNT)];
}

static uint64_t drop(struct block *block)
{
    uint64_t value = block->bytes != NULL ? read_back(block->bytes, block->byte_count) : 0;

    free(block->bytes);
    block->bytes = NULL;
    return value;
}

static uint64_t drop_all(struct block *blocks, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += drop(&blocks[i]);
    return sum;
}

uint64_t run_churn(const struct plan *plan)
{
    struct random random = seeded(1);
    uint64_t sum = 0;

    for (size_t left = scaled(plan, 5000000); left > 0; left--) {
        struct block *block = pick_by_age(&random);

        sum += drop(block);
        block->byte_count = random_size(&random);
        block->bytes = take(block->byte_count);
        fill(block->bytes, block->byte_count, left);
    }
    return sum + drop_all(young, YOUNG_COUNT) + drop_all(middle, MIDDLE_COUNT) +
           drop_all(old, OLD_COUNT);
}

/* big: buffers of 1 to 32 MiB come and go, at most a few at a time, and every page is written. */

enum { BIG_COUNT = 4 };

uint64_t run_big(const struct plan *plan)
{
    static struct block blocks[BIG_COUNT];
    struct random random = seeded(2);
    uint64_t sum = 0;

    for (size_t left = scaled(plan, 300); left > 0; left--) {
        struct block *block = &blocks[random_below(&random, BIG_COUNT)];

        sum += drop(block);
        block->byte_count = ((size_t)1 << 20) + random_below(&random, (size_t)31 << 20);
        block->bytes = take(block->byte_count);
        fill(block->bytes, block->byte_count, left);
    }
    return sum + drop_all(blocks, BIG_COUNT);
}

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

uint64_t run_grow(const struct plan *plan)
{
    static struct buffer buffers[BUFFER_COUNT];
    struct random random = seeded(3);
    uint64_t sum = 0;

    for (size_t left = scaled(plan, 700000); left > 0; left--) {
        size_t index = random_below(&random, BUFFER_COUNT);
        struct buffer *buffer = &buffers[index];

        if (buffer->bytes == NULL)
            start_buffer(buffer, &random);
        append(buffer, 64 + random_below(&random, 1024), index);
        if (buffer->byte_count < buffer->end_bytes)
            continue;
        sum += read_back(buffer->bytes, buffer->byte_count);
        free(buffer->bytes);
        buffer->bytes = NULL;
    }
    for (size_t i = 0; i < BUFFER_COUNT; i++) {
        free(buffers[i].bytes);
        buffers[i].bytes = NULL;
    }
    return sum;
}

/* zeroed: calloc of small records, which are written, and of tables up to 512 KiB, of which only
 * a few words are: hash tables and bitmaps are like that. */

enum { RECORD_COUNT = 20000, TABLE_COUNT = 64 };

static uint64_t *zeroed_table(struct random *random, size_t *byte_count)
{
    uint64_t *words;

    *byte_count = (size_t)4096 << random_below(random, 8);
    words = take_zeroed(*byte_count);
    for (size_t i = 0; i < 8; i++) {
        uint64_t *word = &words[random_below(random, *byte_count / sizeof *words)];

        if (*word > 8)
            give_up("calloc's memory is not zero");
        *word += 1;
    }
    return words;
}

static unsigned char *zeroed_record(struct random *random, size_t *byte_count, unsigned char value)
{
    unsigned char *bytes;

    *byte_count = 16 + random_below(random, 497);
    bytes = take_zeroed(*byte_count);
    if (bytes[0] != 0 || bytes[*byte_count / 2] != 0 || bytes[*byte_count - 1] != 0)
        give_up("calloc's memory is not zero");
    fill(bytes, *byte_count, value);
    return bytes;
}

uint64_t run_zeroed(const struct plan *plan)
{
    static struct block records[RECORD_COUNT];
    static uint64_t *tables[TABLE_COUNT];
    struct random random = seeded(4);
    uint64_t sum = 0;

    for (size_t left = scaled(plan, 1500000); left > 0; left--) {
        struct block *record = &records[random_below(&random, RECORD_COUNT)];

        sum += drop(record);
        record->bytes = zeroed_record(&random, &record->byte_count, (unsigned char)left);
        if (left % 50 == 0) {
            uint64_t **table = &tables[random_below(&random, TABLE_COUNT)];
            size_t byte_count;

            free(*table);
            *table = zeroed_table(&random, &byte_count);
        }
    }
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        free(tables[i]);
        tables[i] = NULL;
    }
    return sum + drop_all(records, RECORD_COUNT);
}

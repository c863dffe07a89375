/* What neap is for: after the last free the memory is gone, with no call and no waiting. */
#include "api_test.h"

enum { MOST_BLOCKS = 2800000 };

static char *blocks[MOST_BLOCKS];
static const size_t total_bytes = 64 * MIB;

static int touch_the_table(void **state)
{
    (void)state;
    memset(blocks, 1, sizeof(blocks));
    return 0;
}

/* Blocks of the size, touched; what that takes is peak_bytes. */
static size_t allocate(size_t size, struct figures *figures)
{
    size_t resident_at_start = resident_bytes();
    size_t count = total_bytes / size;

    for (size_t i = 0; i < count; i++) {
        blocks[i] = api_malloc(size);
        memset(blocks[i], 1, size);
    }
    figures->peak_bytes = resident_bytes() - resident_at_start;
    COMPLAIN_UNLESS(figures, figures->peak_bytes >= count * size / 10 * 9);
    figures->kept_bytes = resident_at_start;
    return count;
}

/* To be called after the frees: what more is resident than at the start. */
static void note_kept(struct figures *figures)
{
    size_t resident = resident_bytes();

    figures->kept_bytes = resident > figures->kept_bytes ? resident - figures->kept_bytes : 0;
}

static const size_t sizes[] = {24,   100,   120,   121,    128,    500,     1024,
                               4096, 10240, 16384, 16385, 100000, 1000000, 20000000};

static void expect_kept_below(size_t most_bytes, void (*life)(size_t size, struct figures *figures))
{
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct figures figures = measured_apart(life, sizes[i]);

        if (figures.kept_bytes > most_bytes)
            fail_msg("%zu: %zu KiB stay", sizes[i], figures.kept_bytes / KIB);
    }
}

static void expect_returned(void (*life)(size_t size, struct figures *figures))
{
    expect_kept_below(2 * MIB, life);
}

static void free_in_order(size_t size, struct figures *figures)
{
    size_t count = allocate(size, figures);

    for (size_t i = 0; i < count; i++)
        api_free(blocks[i]);
    note_kept(figures);
}

static void freed_in_order(void **state)
{
    (void)state;
    expect_returned(free_in_order);
}

static void free_in_reverse(size_t size, struct figures *figures)
{
    size_t count = allocate(size, figures);

    for (size_t i = count; i-- > 0;)
        api_free(blocks[i]);
    note_kept(figures);
}

static void freed_in_reverse(void **state)
{
    (void)state;
    expect_returned(free_in_reverse);
}

/* One small block is held that was allocated when all the others were there: it pins one page. */
static void free_below_a_pin(size_t size, struct figures *figures)
{
    size_t count = allocate(size, figures);
    char *pin = api_malloc(40);

    pattern_fill(pin, 40, 8);
    for (size_t i = 0; i < count; i++)
        api_free(blocks[i]);
    note_kept(figures);
    COMPLAIN_UNLESS(figures, pattern_holds(pin, 40, 8));
    api_free(pin);
}

static void freed_below_a_pin(void **state)
{
    (void)state;
    expect_returned(free_below_a_pin);
}

static void shuffle(size_t count)
{
    uint64_t seed = 7;

    for (size_t i = count; i > 1; i--) {
        size_t other = random_below(&seed, i);
        char *block = blocks[i - 1];

        blocks[i - 1] = blocks[other];
        blocks[other] = block;
    }
}

static void free_at_random(size_t size, struct figures *figures)
{
    size_t count = allocate(size, figures);

    shuffle(count);
    for (size_t i = 0; i < count; i++)
        api_free(blocks[i]);
    note_kept(figures);
}

/* What is left are pages here and there, and what describes them: as much as the threshold and P1's
 * constant allow. */
static void freed_at_random(void **state)
{
    (void)state;
    expect_kept_below(2 * MIB + 512 * KIB, free_at_random);
}

static int by_address(const void *left, const void *right)
{
    const char *const *a = left;
    const char *const *b = right;

    return (*a > *b) - (*a < *b);
}

/* The bytes of system pages on which one of the first count blocks lies. */
static size_t bytes_of_pages(size_t count, size_t size)
{
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t end = 0; /* of the pages counted */
    size_t bytes = 0;

    qsort(blocks, count, sizeof(blocks[0]), by_address);
    for (size_t i = 0; i < count; i++) {
        uintptr_t first = (uintptr_t)blocks[i] / page_bytes * page_bytes;
        uintptr_t last = ((uintptr_t)blocks[i] + size + page_bytes - 1) / page_bytes * page_bytes;

        if (first < end)
            first = end;
        if (last > first)
            bytes += last - first;
        end = last > end ? last : end;
    }
    return bytes;
}

/* One block in 200 is kept, anywhere: what stays is the pages that they lie on. peak_bytes says how
 * much that is. */
static void keep_one_in_200(size_t size, struct figures *figures)
{
    size_t count = allocate(size, figures);
    size_t kept_count = count / 200;

    shuffle(count);
    for (size_t i = 0; i < kept_count; i++)
        pattern_fill(blocks[i], size, (uintptr_t)blocks[i]);
    for (size_t i = kept_count; i < count; i++)
        api_free(blocks[i]);
    note_kept(figures);
    for (size_t i = 0; i < kept_count; i++)
        COMPLAIN_UNLESS(figures, pattern_holds(blocks[i], size, (uintptr_t)blocks[i]));
    figures->peak_bytes = bytes_of_pages(kept_count, size);
}

static void what_is_sparse_keeps_the_pages_of_live_blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct figures figures = measured_apart(keep_one_in_200, sizes[i]);

        /* Of large blocks an open slab has few, and hardly any page without a hole: all that a
         * thread may hold open counts. */
        size_t slack_bytes = sizes[i] <= 1024 ? 2 * MIB : 2 * MIB + MIB / 2;

        if (figures.kept_bytes > figures.peak_bytes / 100 * 115 + slack_bytes)
            fail_msg("%zu: %zu KiB stay for %zu KiB", sizes[i], figures.kept_bytes / KIB,
                     figures.peak_bytes / KIB);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freed_in_order),
        cmocka_unit_test(freed_in_reverse),
        cmocka_unit_test(freed_below_a_pin),
        cmocka_unit_test(freed_at_random),
        cmocka_unit_test(what_is_sparse_keeps_the_pages_of_live_blocks),
    };

    return cmocka_run_group_tests(tests, touch_the_table, NULL);
}

/* The statistics against the kernel: in programs that write all that they allocate, what neap says
 * is resident grows as the process's anonymous memory does, within 2 % or 1 MiB. Each program has a
 * process of its own. */
#include "../unit/isolated.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "neap/neap.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

enum { BLOCK_MAX = 1 << 21 };

static char **blocks; /* mapped, and touched from the start */
static size_t block_count;

/* Anonymous, /proc/self/smaps_rollup: what RssAnon counts too, but exactly, where that is a sum of
 * counters of all processors. */
static size_t anonymous_bytes(void)
{
    static const char label[] = "Anonymous:";
    char text[4096];
    int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(file, text, sizeof text - 1);
    const char *at;
    size_t kib = 0;

    close(file);
    assert_true(length > 0);
    text[length] = '\0';
    at = strstr(text, label);
    assert_non_null(at);
    for (at += sizeof label - 1; *at == ' '; at++)
        ;
    for (; *at >= '0' && *at <= '9'; at++)
        kib = kib * 10 + (size_t)(*at - '0');
    return kib * KIB;
}

static size_t stated_bytes(void)
{
    struct neap_stats stats;

    assert_int_equal(neap_stats(&stats, sizeof stats), 0);
    return (size_t)(stats.live_bytes + stats.hole_bytes + stats.retained_bytes +
                    stats.refused_bytes + stats.metadata_bytes);
}

static size_t anonymous_at_start;
static size_t stated_at_start;

static void begin(void)
{
    const size_t table_bytes = BLOCK_MAX * sizeof *blocks;

    /* A huge page would be resident as a whole when 4 KiB of it are touched. */
    assert_int_equal(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
    blocks = mmap(NULL, table_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(blocks != MAP_FAILED);
    memset(blocks, 0, table_bytes);
    neap_free(neap_malloc(100));
    stated_at_start = stated_bytes();
    anonymous_at_start = anonymous_bytes();
}

static void expect_agreement(const char *when)
{
    size_t stated = stated_bytes() - stated_at_start;
    size_t anonymous = anonymous_bytes() - anonymous_at_start;
    size_t difference = stated > anonymous ? stated - anonymous : anonymous - stated;
    size_t tolerance = anonymous / 50 > MIB ? anonymous / 50 : MIB;

    printf("%-40s %8zu KiB stated, %8zu KiB anonymous, %+ld\n", when, stated / KIB,
           anonymous / KIB, ((long)stated - (long)anonymous) / (long)KIB);
    if (difference > tolerance)
        fail_msg("%s: %zu bytes stated, %zu anonymous", when, stated, anonymous);
}

static void add(size_t bytes)
{
    assert_true(block_count < BLOCK_MAX);
    blocks[block_count] = neap_malloc(bytes);
    assert_non_null(blocks[block_count]);
    memset(blocks[block_count++], 1, bytes);
}

/* Frees all but one in `kept_of`, in random order. */
static void free_most(size_t kept_of)
{
    for (size_t i = block_count; i > 1; i--) {
        size_t other = random_below(i);
        char *block = blocks[i - 1];

        blocks[i - 1] = blocks[other];
        blocks[other] = block;
    }
    for (size_t i = 0; i < block_count; i++) {
        if (i % kept_of == 0)
            continue;
        neap_free(blocks[i]);
        blocks[i] = NULL;
    }
}

static void free_rest(void)
{
    for (size_t i = 0; i < block_count; i++)
        neap_free(blocks[i]);
    block_count = 0;
}

static void small_blocks(void **state)
{
    (void)state;
    begin();
    for (size_t bytes = 0; bytes < 100 * MIB;) {
        size_t size = 16 + random_below(1009);

        add(size);
        bytes += size;
    }
    expect_agreement("small, all live");
    free_most(200);
    expect_agreement("small, one in 200 live");
    (void)neap_malloc_trim(0);
    expect_agreement("small, one in 200 live, trimmed");
    free_rest();
    expect_agreement("small, none live");
}

static void the_smallest_blocks(void **state)
{
    (void)state;
    begin();
    for (size_t i = 0; i < 1500000; i++)
        add(1 + i % 24);
    expect_agreement("1 to 24 bytes, all live");
    free_most(30);
    expect_agreement("1 to 24 bytes, one in 30 live");
}

/* Slots, runs and mappings. */
static void mixed_blocks(void **state)
{
    (void)state;
    begin();
    for (size_t bytes = 0; bytes < 150 * MIB;) {
        size_t size = random_below((size_t)32 << random_below(19));

        add(size + 1);
        bytes += size;
    }
    expect_agreement("mixed, all live");
    free_most(3);
    expect_agreement("mixed, a third live");
    for (size_t i = 0; i < 20000; i++)
        add(100 + random_below(5000));
    expect_agreement("mixed, used again");
    free_rest();
    expect_agreement("mixed, none live");
}

static void kept_memory(void **state)
{
    (void)state;
    begin();
    assert_int_equal(neap_mallopt(NEAP_M_TRIM_THRESHOLD, -1), 1);
    for (size_t i = 0; i < 2000; i++)
        add(40 * KIB);
    for (size_t i = 0; i < 40000; i++)
        add(1000);
    free_most(10);
    expect_agreement("kept, a tenth live");
    (void)neap_malloc_trim(0);
    expect_agreement("kept, then trimmed");
}

enum { THREADS = 4, OF_THREAD = 20000 };

static pthread_barrier_t barrier;

/* Allocates, frees every third of its own and every third of its neighbour's, and sleeps. */
static void *work(void *argument)
{
    size_t index = *(size_t *)argument;
    char **own = blocks + index * OF_THREAD;
    char **other = blocks + (index + 1) % THREADS * OF_THREAD;

    for (size_t i = 0; i < OF_THREAD; i++) {
        size_t size = 16 + (i * 7919 + index) % 1500;

        own[i] = neap_malloc(size);
        memset(own[i], 1, size);
    }
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < OF_THREAD; i += 3)
        neap_free(own[i]);
    for (size_t i = 1; i < OF_THREAD; i += 3)
        neap_free(other[i]);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* here the main thread looks */
    return NULL;
}

static void threads(void **state)
{
    pthread_t thread[THREADS];
    size_t indices[THREADS];

    (void)state;
    begin();
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (size_t i = 0; i < THREADS; i++) {
        indices[i] = i;
        assert_int_equal(pthread_create(&thread[i], NULL, work, &indices[i]), 0);
    }
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    expect_agreement("4 threads, a third live, asleep");
    for (size_t i = 2; i < THREADS * OF_THREAD; i += 3)
        if (i % OF_THREAD % 3 == 2)
            neap_free(blocks[i]);
    expect_agreement("4 threads, the main one has freed some");
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    expect_agreement("4 threads, ended");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_blocks), cmocka_unit_test(the_smallest_blocks),
        cmocka_unit_test(mixed_blocks), cmocka_unit_test(kept_memory),
        cmocka_unit_test(threads),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

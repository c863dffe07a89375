/* Brings the allocator into a known state and prints one of its reports, for check_report.py:
 *   info STATE    malloc_info on standard output
 *   stats STATE   malloc_stats on standard error
 * On standard output follows, as the last line, what mallinfo2 says right after the report:
 *   arena uordblks fordblks hblks hblkhd  live blocks and bytes asked for by this program
 * STATE is one of empty, small, mixed, threads, freed. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "names.h"

#if defined(API_INTERPOSED) || defined(API_GLIBC)
typedef struct mallinfo2 info;
#else
typedef struct neap_mallinfo2 info;
#endif

enum { MOST_BLOCKS = 20000, THREADS = 4 };

static void *blocks[MOST_BLOCKS];
static size_t sizes[MOST_BLOCKS];
static size_t block_count;

static void *allocate_some(void *argument)
{
    size_t *first = argument;

    for (size_t i = 0; i < 1000; i++)
        blocks[*first + i] = api_malloc(sizes[*first + i] = 100 + i);
    return NULL;
}

static void allocate_on_threads(void)
{
    pthread_t threads[THREADS];
    size_t first[THREADS];

    for (size_t i = 0; i < THREADS; i++) {
        first[i] = i * 1000;
        pthread_create(&threads[i], NULL, allocate_some, &first[i]);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    block_count = THREADS * 1000;
}

static void allocate(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++, block_count++) {
        blocks[block_count] = api_malloc(size);
        sizes[block_count] = size;
        memset(blocks[block_count], 1, size);
    }
}

static void free_every_second(void)
{
    for (size_t i = 0; i < block_count; i += 2) {
        api_free(blocks[i]);
        blocks[i] = NULL;
    }
}

static void bring_about(const char *state)
{
    if (strcmp(state, "small") == 0)
        allocate(10000, 100);
    if (strcmp(state, "mixed") == 0) {
        allocate(5000, 24);
        allocate(3000, 1000);
        allocate(100, 20000);
        allocate(5, 4000000);
        free_every_second();
    }
    if (strcmp(state, "threads") == 0)
        allocate_on_threads();
    if (strcmp(state, "freed") == 0) {
        allocate(15000, 1000);
        free_every_second();
        for (size_t i = 0; i < block_count; i++) {
            api_free(blocks[i]);
            blocks[i] = NULL;
        }
    }
}

static void print_figures(void)
{
    info now = api_mallinfo2();
    size_t live_count = 0;
    size_t live_bytes = 0;

    for (size_t i = 0; i < block_count; i++) {
        live_count += blocks[i] != NULL;
        live_bytes += blocks[i] != NULL ? sizes[i] : 0;
    }
    printf("%zu %zu %zu %zu %zu %zu %zu\n", now.arena, now.uordblks, now.fordblks, now.hblks,
           now.hblkhd, live_count, live_bytes);
}

int main(int argc, char **argv)
{
    static char buffer[1 << 16];

    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer)); /* so that stdio allocates nothing meanwhile */
    if (argc != 3)
        return 2;
    bring_about(argv[2]);
    if (strcmp(argv[1], "info") == 0) {
        if (api_malloc_info(0, stdout) != 0 || ferror(stdout))
            return 1;
    } else {
        api_malloc_stats();
    }
    print_figures();
    return 0;
}

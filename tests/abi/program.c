/* A C program that leans on all of libc that allocates: streams in memory, getline, regcomp, qsort,
 * scandir, threads that end, fork, popen, atexit. Prints what is the same on every run. */
#include <dirent.h>
#include <errno.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 12, ITEMS = 60000, BIG_MAX_BYTES = 40000000 };

static void require(int is_true, const char *what)
{
    if (!is_true) {
        printf("failed: %s\n", what);
        exit(1);
    }
}

static unsigned draw(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_texts(void)
{
    char **texts = malloc(ITEMS * sizeof(*texts));
    unsigned seed = 1;

    for (unsigned i = 0; i < ITEMS; i++)
        require(asprintf(&texts[i], "%08x", draw(&seed)) == 8, "asprintf");
    qsort(texts, ITEMS, sizeof(*texts), compare_texts);
    printf("sorted: %s .. %s\n", texts[0], texts[ITEMS - 1]);
    for (unsigned i = 0; i < ITEMS; i++)
        free(texts[i]);
    free(texts);
}

static void grow_and_shrink(void)
{
    size_t size_bytes = 16;
    unsigned char *block = malloc(size_bytes);

    memset(block, 0xa5, 16);
    while (size_bytes < BIG_MAX_BYTES) {
        size_bytes += size_bytes / 2;
        block = realloc(block, size_bytes);
        require(block != NULL && block[0] == 0xa5 && block[15] == 0xa5, "realloc keeps contents");
        block[size_bytes - 1] = 1;
    }
    while (size_bytes > 100) {
        size_bytes /= 3;
        block = realloc(block, size_bytes);
        require(block != NULL && block[15] == 0xa5, "realloc shrinks");
    }
    free(block);
    puts("grown and shrunk");
}

static void align(void)
{
    for (size_t alignment = sizeof(void *); alignment <= 1u << 20; alignment *= 2) {
        void *block;

        require(posix_memalign(&block, alignment, alignment + 3) == 0, "posix_memalign");
        require((size_t)block % alignment == 0, "alignment");
        require(malloc_usable_size(block) >= alignment + 3, "usable size");
        memset(block, 1, alignment + 3);
        free(block);
    }
    require(malloc((size_t)-1 / 2 - 100) == NULL && errno == ENOMEM, "ENOMEM");
    puts("aligned");
}

static void use_libc(void)
{
    char *text = NULL;
    char *line = NULL;
    size_t text_bytes, line_capacity = 0;
    FILE *stream = open_memstream(&text, &text_bytes);
    regex_t pattern;
    struct dirent **entries;
    FILE *pipe;
    int count;

    for (int i = 0; i < 20000; i++)
        fprintf(stream, "%d ", i);
    fclose(stream);
    printf("memstream: %zu\n", text_bytes);
    require(regcomp(&pattern, "(1[0-9]+) (2[0-9]*) ", REG_EXTENDED) == 0, "regcomp");
    printf("regexec: %d\n", regexec(&pattern, text, 0, NULL, 0));
    regfree(&pattern);
    free(text);

    count = scandir("/usr", &entries, NULL, alphasort);
    require(count > 2, "scandir");
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);

    setlocale(LC_ALL, "C.UTF-8");
    pipe = popen("seq 1 2000 | tac", "r");
    count = 0;
    while (getline(&line, &line_capacity, pipe) > 0)
        count += atoi(line);
    printf("popen: %d, status %d\n", count, pclose(pipe));
    free(line);
}

static void *work(void *argument)
{
    unsigned seed = *(unsigned *)argument;
    char *kept[256] = {NULL};
    size_t sum = 0;

    for (unsigned i = 0; i < ITEMS; i++) {
        unsigned index = draw(&seed) % 256;

        free(kept[index]);
        kept[index] = calloc(1, draw(&seed) % 2000 + 1);
        require(kept[index] != NULL && kept[index][0] == 0, "calloc");
        kept[index][0] = (char)(index % 100);
        sum += (unsigned char)kept[index][0];
    }
    for (unsigned i = 0; i < 255; i++)
        free(kept[i]);
    *(unsigned *)argument = (unsigned)sum;
    return kept[255]; /* freed by the thread that joins */
}

static void use_threads(void)
{
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    unsigned long total = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        seeds[i] = i;
        require(pthread_create(&threads[i], NULL, work, &seeds[i]) == 0, "pthread_create");
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *left;

        pthread_join(threads[i], &left);
        free(left);
        total += seeds[i];
    }
    printf("threads: %lu\n", total);
}

static void use_fork(void)
{
    for (int i = 0; i < 8; i++) {
        int status;
        pid_t child = fork();

        require(child >= 0, "fork");
        if (child == 0) {
            unsigned seed = (unsigned)i;

            free(work(&seed));
            _exit(seed != 0 ? 0 : 1);
        }
        require(waitpid(child, &status, 0) == child && status == 0, "child");
    }
    puts("forked");
}

static void at_the_end(void)
{
    char *last = malloc(100000);

    require(last != NULL, "malloc at exit");
    memset(last, 1, 100000);
    free(last);
    puts("the end");
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    atexit(at_the_end);
    sort_texts();
    grow_and_shrink();
    align();
    use_libc();
    use_threads();
    use_fork();
    return 0;
}

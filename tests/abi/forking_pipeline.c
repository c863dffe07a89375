/* Threads allocate without pause while the main thread builds pipelines of forked stages. Each
 * stage allocates, changes what passes through it and ends; the result is a checksum that is the
 * same on every run. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    NOISY_THREADS = 3,
    ROUNDS = 25,
    STAGES = 6,
    LINES = 200,
    KEPT_MAX = 512,
};

static atomic_bool is_over;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Keeps a few hundred blocks of many sizes in motion. */
static void *make_noise(void *argument)
{
    char *kept[KEPT_MAX] = {NULL};
    unsigned seed = *(unsigned *)argument;

    while (!atomic_load(&is_over)) {
        unsigned index = (seed = seed * 1103515245u + 12345u) % KEPT_MAX;

        free(kept[index]);
        kept[index] = malloc(seed % 9 == 0 ? 40000 : 1 + seed % 700);
        if (kept[index] == NULL)
            fail("malloc");
        kept[index][0] = 'x';
    }
    for (unsigned i = 0; i < KEPT_MAX; i++)
        free(kept[i]);
    return NULL;
}

/* Reads lines, keeps them all, and writes each reversed, with its number in front. */
static void run_stage(int stage, FILE *in, FILE *out)
{
    char *lines[LINES];
    size_t capacity = 0;
    unsigned count = 0;

    while (count < LINES) {
        lines[count] = NULL;
        capacity = 0;
        if (getline(&lines[count], &capacity, in) < 0)
            break;
        count++;
    }
    for (unsigned i = 0; i < count; i++) {
        size_t length = strcspn(lines[i], "\n");
        char *copy = calloc(1, length + 1);

        if (copy == NULL)
            fail("calloc");
        for (size_t k = 0; k < length; k++)
            copy[k] = lines[i][length - 1 - k];
        fprintf(out, "%d%u%s\n", stage, i % 10, copy);
        free(copy);
        free(lines[i]);
    }
}

/* Starts one stage that reads from `in_fd`; the end to read its output from. */
static int start_stage(int stage, int in_fd)
{
    int ends[2];
    pid_t child;

    if (pipe(ends) != 0)
        fail("pipe");
    child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        FILE *in = fdopen(in_fd, "r");
        FILE *out = fdopen(ends[1], "w");

        close(ends[0]);
        run_stage(stage, in, out);
        exit(fclose(out) == 0 ? 0 : 1);
    }
    close(in_fd);
    close(ends[1]);
    return ends[0];
}

static unsigned long run_pipeline(int round)
{
    int ends[2];
    unsigned long checksum = 0;
    char *line = NULL;
    size_t capacity = 0;
    FILE *result;
    int fd;

    if (pipe(ends) != 0)
        fail("pipe");
    for (int i = 0; i < LINES; i++)
        dprintf(ends[1], "line %d of round %d\n", i, round);
    close(ends[1]);
    fd = ends[0];
    for (int stage = 0; stage < STAGES; stage++)
        fd = start_stage(stage, fd);
    result = fdopen(fd, "r");
    while (getline(&line, &capacity, result) >= 0)
        for (const char *c = line; *c != '\0'; c++)
            checksum = checksum * 31 + (unsigned char)*c;
    free(line);
    fclose(result);
    for (int stage = 0; stage < STAGES; stage++) {
        int status;

        if (wait(&status) < 0 || status != 0)
            fail("a stage failed");
    }
    return checksum;
}

int main(void)
{
    pthread_t threads[NOISY_THREADS];
    unsigned seeds[NOISY_THREADS];

    for (unsigned i = 0; i < NOISY_THREADS; i++) {
        seeds[i] = i + 1;
        errno = pthread_create(&threads[i], NULL, make_noise, &seeds[i]);
        if (errno != 0)
            fail("pthread_create");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int round = 0; round < ROUNDS; round++)
        printf("%d %016lx\n", round, run_pipeline(round));
    atomic_store(&is_over, true);
    for (unsigned i = 0; i < NOISY_THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

/* Allocates in two threads, says "ready", waits for a line in the fifo that it is given, checks its
 * blocks, allocates again and says "went on". Lets any process of its user attach to it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { BLOCKS = 2000 };

static void *fill(void *argument)
{
    char **blocks = argument;

    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(i + 1);
        if (blocks[i] == NULL)
            abort();
        memset(blocks[i], (int)(i % 251), i + 1);
    }
    return NULL;
}

static void check_and_free(char **blocks)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        for (unsigned k = 0; k <= i; k++)
            if ((unsigned char)blocks[i][k] != i % 251)
                abort();
        free(blocks[i]);
    }
}

int main(int argc, char **argv)
{
    static char *mine[BLOCKS];
    static char *others[BLOCKS];
    pthread_t thread;
    FILE *fifo;

    if (argc != 2)
        return 2;
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    fill(mine);
    if (pthread_create(&thread, NULL, fill, others) != 0)
        return 1;
    pthread_join(thread, NULL);
    puts("ready");
    fflush(stdout);

    fifo = fopen(argv[1], "r");
    if (fifo == NULL || getc(fifo) == EOF)
        return 1;
    fclose(fifo);
    check_and_free(others);
    check_and_free(mine);
    fill(mine);
    check_and_free(mine);
    puts("went on");
    return 0;
}

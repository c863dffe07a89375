/* small_program: takes, resizes and frees blocks of many sizes, in two threads, and then prints its
 * own /proc/self/smaps. For seldom.sh.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_COUNT = 400, ROUND_COUNT = 20, SIZE_MAX_BYTES = 600 };

/* All of them freed at the end of each round, so that slabs come and go. */
static void *work(void *argument)
{
    static _Thread_local char *blocks[BLOCK_COUNT];
    unsigned state = 1;

    for (unsigned round = 0; round < ROUND_COUNT; round++) {
        for (unsigned i = 0; i < BLOCK_COUNT; i++) {
            size_t size;

            state = state * 1103515245 + 12345;
            size = 1 + (state >> 16) % SIZE_MAX_BYTES;
            blocks[i] = i % 8 == 0 ? calloc(1, size) : malloc(size);
            if (blocks[i] == NULL)
                abort();
            memset(blocks[i], 1, size);
        }
        for (unsigned i = 0; i < BLOCK_COUNT; i++)
            free(blocks[i]);
    }
    return argument;
}

int main(void)
{
    pthread_t thread;
    char buffer[4096];
    ssize_t count;
    int file;

    work(NULL);
    if (pthread_create(&thread, NULL, work, NULL) != 0)
        return 1;
    pthread_join(thread, NULL);
    file = open("/proc/self/smaps", O_RDONLY);
    if (file < 0)
        return 1;
    while ((count = read(file, buffer, sizeof buffer)) > 0)
        if (write(STDOUT_FILENO, buffer, (size_t)count) != count)
            return 1;
    return 0;
}

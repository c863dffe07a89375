/* Trap: a fork while other threads are inside malloc. The child has one thread, and must be able to
 * check, free and resize what all of them had allocated, to start threads, and to fork again. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/wait.h>

#include "trap.h"

enum { FORKS = 40, SECONDS = 240, THREADS = 4, SHARED_BLOCKS = 700 };

static atomic_bool is_over;

/* Blocks of the main thread and of threads that have ended: nobody touches them until the end. */
static struct {
    unsigned char *bytes;
    size_t size;
} shared[SHARED_BLOCKS];

static size_t size_of(size_t block_index)
{
    return block_index % 50 == 0 ? 20000 + block_index * 100 : 1 + block_index * 37 % 3000;
}

static void allocate_shared(size_t block_index)
{
    size_t size = size_of(block_index);

    shared[block_index].bytes = malloc(size);
    REQUIRE(shared[block_index].bytes != NULL);
    shared[block_index].size = size;
    memset(shared[block_index].bytes, (int)(block_index % 256), size);
}

static void check_shared(size_t block_index)
{
    for (size_t at = 0; at < shared[block_index].size; at++)
        REQUIRE(shared[block_index].bytes[at] == block_index % 256);
}

static void *allocate_half(void *argument)
{
    for (size_t i = 1; i < SHARED_BLOCKS; i += 2)
        allocate_shared(i);
    return argument;
}

static void *churn(void *argument)
{
    enum { LIVE = 300 };
    void *blocks[LIVE] = {NULL};
    uint64_t random = (uintptr_t)argument;

    while (!is_over) {
        size_t at;

        random = random * 6364136223846793005u + 1442695040888963407u;
        at = (size_t)(random >> 33) % LIVE;
        free(blocks[at]);
        blocks[at] = malloc((size_t)(random >> 40) % ((size_t)16 << (random >> 60)));
        REQUIRE(blocks[at] != NULL);
    }
    for (size_t i = 0; i < LIVE; i++)
        free(blocks[i]);
    return NULL;
}

static void *allocate_in_child(void *argument)
{
    for (size_t i = 0; i < 200; i++)
        free(malloc(i * 100));
    return argument;
}

static void require_child_succeeds(pid_t child)
{
    int status;

    REQUIRE(child > 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
}

static void be_the_child(unsigned number)
{
    pthread_t thread;

    alarm(SECONDS);
    for (size_t i = 0; i < SHARED_BLOCKS; i++) {
        check_shared(i);
        if (i % 3 == 0) {
            shared[i].bytes = realloc(shared[i].bytes, shared[i].size * 2);
            REQUIRE(shared[i].bytes != NULL);
            check_shared(i);
        }
        free(shared[i].bytes);
    }
    for (size_t i = 0; i < SHARED_BLOCKS; i++)
        allocate_shared(i);
    for (size_t i = 0; i < SHARED_BLOCKS; i++)
        check_shared(i);
    REQUIRE(pthread_create(&thread, NULL, allocate_in_child, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    if (number % 10 == 0) {
        pid_t grandchild = fork();

        if (grandchild == 0) {
            for (size_t i = 0; i < SHARED_BLOCKS; i++)
                free(shared[i].bytes);
            _exit(0);
        }
        require_child_succeeds(grandchild);
    }
    _exit(0);
}

int main(void)
{
    pthread_t threads[THREADS];
    pthread_t ended;

    alarm(SECONDS);
    REQUIRE(pthread_create(&ended, NULL, allocate_half, NULL) == 0);
    REQUIRE(pthread_join(ended, NULL) == 0);
    for (size_t i = 0; i < SHARED_BLOCKS; i += 2)
        allocate_shared(i);
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = fork();

        if (child == 0)
            be_the_child(i);
        require_child_succeeds(child);
    }
    is_over = true;
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    for (size_t i = 0; i < SHARED_BLOCKS; i++) {
        check_shared(i);
        free(shared[i].bytes);
    }
    return 0;
}

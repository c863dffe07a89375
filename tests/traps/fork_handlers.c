/* Trap: the program has atfork handlers of its own, registered before and after neap's, which
 * allocate and free: in prepare, in the parent and in the child. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "trap.h"

enum { FORKS = 200, SECONDS = 240 };

static atomic_bool is_over;
static char *kept[2]; /* of the two handlers that prepare */
static size_t kept_count;
static unsigned handler_calls;

static void in_prepare(void)
{
    char *block = malloc(30000);

    handler_calls++;
    REQUIRE(block != NULL);
    memset(block, 2, 30000);
    kept[kept_count++] = block;
    free(malloc(handler_calls * 64 % 20000));
}

static void afterwards(void)
{
    char *block = kept[--kept_count];

    handler_calls++;
    REQUIRE(block[29999] == 2);
    block = realloc(block, 60000);
    REQUIRE(block != NULL && block[29999] == 2);
    free(block);
    for (size_t size = 1; size < 1000000; size *= 2)
        free(malloc(size));
}

/* Ahead of every library's constructors: handlers that were registered first prepare last. */
static void register_first(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)argv;
    (void)envp;
    REQUIRE(pthread_atfork(in_prepare, afterwards, afterwards) == 0);
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit)(int, char **,
                                                                             char **) =
    register_first;

static void *churn(void *argument)
{
    size_t size = 1;

    while (!is_over) {
        size = size * 13 % 100003;
        free(malloc(size));
    }
    return argument;
}

int main(void)
{
    pthread_t threads[2];

    alarm(SECONDS);
    free(malloc(10));
    REQUIRE(pthread_atfork(in_prepare, afterwards, afterwards) == 0);
    for (size_t i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, churn, NULL) == 0);
    for (unsigned i = 0; i < FORKS; i++) {
        int status;
        pid_t child = fork();

        REQUIRE(child >= 0);
        if (child == 0)
            _exit(0);
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(status == 0);
    }
    REQUIRE(handler_calls == FORKS * 4);
    is_over = true;
    for (size_t i = 0; i < 2; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    return 0;
}

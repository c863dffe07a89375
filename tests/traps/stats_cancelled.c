/* Trap: a thread that is to be cancelled asks for statistics. write(2) is where it would end, and
 * then with half the text written, or inside a lock. All of it is written; the thread ends at its
 * next cancellation point. */
#include <malloc.h>
#include <pthread.h>

#include "trap.h"

static void *ask_while_cancelled(void *has_asked)
{
    /* Blocks so that there is something to say; pending, so that any cancellation point ends us. */
    void *volatile block = malloc(100000);

    REQUIRE(pthread_cancel(pthread_self()) == 0);
    malloc_stats();
    free(block);
    *(int *)has_asked = 1;
    pthread_testcancel();
    trap_fail("the thread was not cancelled\n");
}

int main(void)
{
    char text[8192];
    size_t length = 0;
    int ends[2];
    int kept = dup(STDERR_FILENO);
    int has_asked = 0;
    pthread_t thread;
    void *result;
    ssize_t got;

    alarm(120);
    REQUIRE(kept >= 0 && pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    close(ends[1]);
    REQUIRE(pthread_create(&thread, NULL, ask_while_cancelled, &has_asked) == 0);
    REQUIRE(pthread_join(thread, &result) == 0);
    REQUIRE(dup2(kept, STDERR_FILENO) == STDERR_FILENO);
    while ((got = read(ends[0], text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    REQUIRE(result == PTHREAD_CANCELED && has_asked == 1);
    REQUIRE(strstr(text, "Arena 0:\n") != NULL && strstr(text, "Total (incl. mmap):\n") != NULL);
    REQUIRE(strstr(text, "max mmap bytes   = ") != NULL && text[length - 1] == '\n');
    /* And the locks are free. */
    free(malloc(100000));
    malloc_trim(0);
    return 0;
}

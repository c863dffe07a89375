/* Trap: a thread that is to be cancelled asks for statistics. write(2) is where it would end, and
 * then with half the text written, or inside a lock. malloc_stats writes all of it; the thread ends
 * at its next cancellation point. malloc_info and the free table write to a stream, which is libc's
 * and may end the thread: with no lock of ours. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>

#include <neap/neap.h>

#include "trap.h"

static FILE *stream;
static unsigned writes_left; /* until one ends the thread; 0: none does */

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

static void write_info(void)
{
    (void)malloc_info(0, stream);
}

static void write_table(void)
{
    neap_free_table(stream);
}

/* What the stream's write(2) would be, at the worst moment. */
static ssize_t write_or_end(void *unused, const char *bytes, size_t byte_count)
{
    (void)unused;
    (void)bytes;
    if (writes_left > 0 && --writes_left == 0) {
        REQUIRE(pthread_cancel(pthread_self()) == 0);
        pthread_testcancel();
    }
    return (ssize_t)byte_count;
}

static void *write_in_thread(void *write)
{
    (*(void (**)(void))write)();
    return NULL;
}

/* Here and in a child everything goes on, though the thread may have ended within `write`. */
static void require_all_usable(void (*write)(void))
{
    pid_t child = fork();
    int status;

    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(60);
        write();
        _exit(malloc(100000) == NULL);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    write();
    REQUIRE(ferror(stream) == 0);
    free(malloc(100000));
    malloc_trim(0);
}

/* At each write in turn, until there are no more. */
static void end_within(void (*write)(void))
{
    void *result = PTHREAD_CANCELED;
    unsigned nth;

    for (nth = 1; result == PTHREAD_CANCELED; nth++) {
        pthread_t thread;

        writes_left = nth;
        REQUIRE(pthread_create(&thread, NULL, write_in_thread, &write) == 0);
        REQUIRE(pthread_join(thread, &result) == 0);
        writes_left = 0;
        require_all_usable(write);
    }
    REQUIRE(nth > 4);
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
    stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_or_end});
    REQUIRE(stream != NULL && setvbuf(stream, NULL, _IONBF, 0) == 0);
    end_within(write_info);
    end_within(write_table);
    return fclose(stream);
}

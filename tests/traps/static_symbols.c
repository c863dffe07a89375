/* Trap: libc.a's own malloc object is pulled in by any symbol of it that we lack, and then all
 * others are defined twice. This program needs every one, weak ones too, and some of libc that
 * allocates; that it links at all is half of the test. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>

#include "trap.h"

#include "neap/neap.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

void free_sized(void *block, size_t size_bytes);
void free_aligned_sized(void *block, size_t alignment_bytes, size_t size_bytes);

/* neap's figures move only if it was neap that served. */
static void require_neap_serves(void *block)
{
    static size_t live_bytes;
    size_t now = neap_mallinfo2().uordblks;

    REQUIRE(block != NULL);
    REQUIRE(now > live_bytes);
    live_bytes = now;
}

static void *allocate_on_thread(void *argument)
{
    return strdup(argument);
}

static void use_libc(void)
{
    pthread_t thread;
    void *copy;
    char *text = NULL;
    FILE *file = fopen("/dev/null", "w");
    pid_t child;
    int status;

    REQUIRE(file != NULL);
    require_neap_serves(file);
    REQUIRE(fprintf(file, "%f\n", 1.0) > 0);
    fclose(file);
    REQUIRE(asprintf(&text, "%d", 1) == 1);
    free(text);
    REQUIRE(pthread_create(&thread, NULL, allocate_on_thread, "text") == 0);
    REQUIRE(pthread_join(thread, &copy) == 0);
    REQUIRE(strcmp(copy, "text") == 0);
    free(copy);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        free(malloc(100));
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
    void *block = NULL;

    require_neap_serves(malloc(100));
    require_neap_serves(calloc(3, 100));
    require_neap_serves(realloc(NULL, 200));
    require_neap_serves(reallocarray(NULL, 3, 100));
    require_neap_serves(memalign(64, 500));
    require_neap_serves(aligned_alloc(64, 500));
    require_neap_serves(valloc(500));
    require_neap_serves(pvalloc(500));
    REQUIRE(posix_memalign(&block, 64, 500) == 0);
    require_neap_serves(block);
    REQUIRE(malloc_usable_size(block) == neap_malloc_usable_size(block));
    free(block);
    free_sized(malloc(10), 10);
    free_aligned_sized(aligned_alloc(32, 10), 32, 10);
    REQUIRE(mallopt(M_TOP_PAD, 100000) == 1);
    REQUIRE(mallopt(M_CHECK_ACTION, 1) == 0);
    REQUIRE(malloc_trim(0) >= 0);
    REQUIRE(mallinfo2().uordblks == neap_mallinfo2().uordblks);
    REQUIRE((size_t)mallinfo().uordblks == neap_mallinfo2().uordblks);
    REQUIRE(malloc_info(0, stdout) == 0);
    malloc_stats();
    use_libc();
    return 0;
}

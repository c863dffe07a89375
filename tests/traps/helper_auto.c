/* Trap: a process with one thread may do what no process with several may: unshare a user
 * namespace, setns, and much that nobody thinks of. By default there is a helper only where there
 * are other threads, and not longer. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#include "helper.h"

static pthread_barrier_t barrier;

static void *have_a_heap(void *argument)
{
    void *volatile block = malloc(3000);

    pthread_barrier_wait(&barrier); /* it lives */
    pthread_barrier_wait(&barrier); /* it may end */
    free(block);
    return argument;
}

static void stay_alone(void)
{
    REQUIRE(!thrash_for_a_helper());
    REQUIRE(task_count() == 1);
    /* EINVAL is the answer to a process with several threads; others may come from the machine. */
    REQUIRE(unshare(CLONE_NEWUSER) == 0 || errno != EINVAL);
}

/* Alone again, the helper does not wait until the program has been idle for long. Whether it ended
 * sooner: a busy machine may keep it from that. */
static bool ends_before_an_epoch(size_t resident_at_start)
{
    pthread_t thread;
    bool is_soon;

    REQUIRE(pthread_create(&thread, NULL, have_a_heap, NULL) == 0);
    pthread_barrier_wait(&barrier);
    thrash_and_retain(resident_at_start);
    REQUIRE(task_count() <= 3);
    pthread_barrier_wait(&barrier);
    REQUIRE(pthread_join(thread, NULL) == 0);
    is_soon = helper_ends_within(0.8);
    REQUIRE(helper_ends_within(LONG_SECONDS));
    REQUIRE(resident_bytes() <= resident_at_start + 4 * MIB);
    return is_soon;
}

int main(void)
{
    size_t resident_at_start;
    bool is_soon = false;
    pid_t child;
    int status;

    alarm(240);
    memset(tooth, 1, sizeof tooth);
    resident_at_start = resident_bytes();
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        stay_alone();
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);

    REQUIRE(pthread_barrier_init(&barrier, NULL, 2) == 0);
    for (unsigned attempt = 0; attempt < 10 && !is_soon; attempt++)
        is_soon = ends_before_an_epoch(resident_at_start);
    REQUIRE(is_soon);
    REQUIRE(!thrash_for_a_helper());
    return 0;
}

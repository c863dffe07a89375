/* Trap: a sandbox (seccomp) that refuses what can be done without: memory advice, moving mappings,
 * asking what is resident or how many processors there are, naming a thread, membarrier. It costs
 * time or memory; nothing fails, and memory that could not be purged still reads as zero from
 * calloc. With each error that sandboxes answer. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "load.h"

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

static const int forbidden[] = {
    SYS_madvise,  SYS_process_madvise, SYS_mremap, SYS_mincore, SYS_sched_getaffinity,
    SYS_prctl,    SYS_membarrier,
};

enum { FORBIDDEN_COUNT = sizeof forbidden / sizeof forbidden[0] };

static void forbid(int error)
{
    struct sock_filter filter[2 * FORBIDDEN_COUNT + 2] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    struct sock_fprog program = {2 * FORBIDDEN_COUNT + 2, filter};
    size_t at = 1;

    for (size_t i = 0; i < FORBIDDEN_COUNT; i++) {
        filter[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                    (unsigned)forbidden[i], 0, 1);
        filter[at++] =
            (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error);
    }
    filter[at] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    REQUIRE(madvise(NULL, 0, MADV_NORMAL) == -1 && errno == error);
}

/* What the filter did not see being handed out is freed under it: all of it is to be returned. */
static void free_and_clear(char **blocks, size_t count, size_t size)
{
    for (size_t at = 0; at < count; at++) {
        errno = ENOTTY;
        free(blocks[at]);
        REQUIRE(errno == ENOTTY);
    }
    for (size_t at = 0; at < count; at++) {
        blocks[at] = calloc(1, size);
        REQUIRE(blocks[at] != NULL && bytes_are(blocks[at], size, 0));
    }
    for (size_t at = 0; at < count; at++)
        free(blocks[at]);
}

static void live_in_the_sandbox(int error)
{
    static const size_t sizes[] = {300, 5000, 50000, 500000};
    static char *blocks[sizeof sizes / sizeof sizes[0]][200];

    for (size_t kind = 0; kind < sizeof sizes / sizeof sizes[0]; kind++)
        for (size_t at = 0; at < 200; at++) {
            blocks[kind][at] = malloc(sizes[kind]);
            REQUIRE(blocks[kind][at] != NULL);
            memset(blocks[kind][at], 0xff, sizes[kind]);
        }
    forbid(error);
    for (size_t kind = 0; kind < sizeof sizes / sizeof sizes[0]; kind++)
        free_and_clear(blocks[kind], 200, sizes[kind]);
    load_threads();
    (void)malloc_trim(0);
    REQUIRE(mallinfo2().uordblks <= mallinfo2().arena);
    load_run(5, LOAD_STEPS);
}

int main(void)
{
    static const int errors[] = {EPERM, ENOSYS, EINVAL, ENOMEM};

    for (size_t at = 0; at < sizeof errors / sizeof errors[0]; at++) {
        pid_t child = fork();
        int status;

        REQUIRE(child >= 0);
        if (child == 0) {
            alarm(240);
            live_in_the_sandbox(errors[at]);
            _exit(0);
        }
        REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    }
    return 0;
}

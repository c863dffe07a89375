/* Trap: the kernel need not give us a thread: limits, or a sandbox that the program has put itself
 * into. It works without. Started with NEAP_HELPER=1. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "helper.h"

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

/* No new threads or processes from here on. clone3 is "not known", so that libc tries clone. */
static void forbid_clones(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};

    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    REQUIRE(syscall(SYS_clone, 0, NULL, NULL, NULL, NULL) == -1 && errno == EPERM);
}

int main(void)
{
    size_t resident_at_start;

    alarm(240);
    memset(tooth, 1, sizeof tooth);
    resident_at_start = resident_bytes();
    forbid_clones();
    for (unsigned i = 0; i < 3; i++) {
        errno = 99;
        REQUIRE(!thrash_for_a_helper());
        REQUIRE(errno == 99);
        sleep_seconds(1.1); /* so that it tries again */
    }
    REQUIRE(resident_bytes() <= resident_at_start + (TOOTH_MIB + 4) * MIB);
    return 0;
}

/* A kernel that refuses: libc's calls about memory and threads, as libneap.so makes them, are
 * answered here, because the loader looks for names in the program first. The nth of them from a
 * moment on fails with ENOMEM, alone or with all that follow; the others are done as always.
 *
 * What libc does for itself, thread stacks for instance, is not among them. To be included by one
 * file of a program that is linked with libneap.so. */
#ifndef NEAP_TESTS_FAULT_REFUSE_H
#define NEAP_TESTS_FAULT_REFUSE_H

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum refuse_way { REFUSE_ONE, REFUSE_ALL_FROM_THERE };

static atomic_uint refuse_countdown; /* 0: nothing is refused */
static enum refuse_way refuse_way;
static atomic_bool refuse_has_refused;
static atomic_uint refuse_calls;

/* The break never moves up. */
static atomic_bool refuse_break;

static inline void refuse_nth(unsigned nth, enum refuse_way way)
{
    refuse_way = way;
    refuse_has_refused = false;
    refuse_countdown = nth;
}

static inline void refuse_nothing(void)
{
    refuse_countdown = 0;
    refuse_break = false;
}

/* Whether this call is to fail; counts it. */
static inline bool refuse_this(void)
{
    unsigned left = refuse_countdown;

    refuse_calls++;
    if (left == 0)
        return false;
    if (left > 1) {
        refuse_countdown = left - 1;
        return false;
    }
    refuse_has_refused = true;
    if (refuse_way == REFUSE_ONE)
        refuse_countdown = 0;
    errno = ENOMEM;
    return true;
}

#ifdef __cplusplus
extern "C" {
#endif

/* libc's own name for sbrk: it has to know where the break is. */
extern void *__sbrk(intptr_t delta_bytes);

void *mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
{
    if (refuse_this())
        return MAP_FAILED;
#if defined(SYS_mmap2) /* where offsets are wider than words, they are told in pages */
    return (void *)syscall(SYS_mmap2, address, bytes, protection, flags, file, offset / 4096);
#else
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, file, offset);
#endif
}

int munmap(void *address, size_t bytes)
{
    return refuse_this() ? -1 : (int)syscall(SYS_munmap, address, bytes);
}

int mprotect(void *address, size_t bytes, int protection)
{
    return refuse_this() ? -1 : (int)syscall(SYS_mprotect, address, bytes, protection);
}

int madvise(void *address, size_t bytes, int advice)
{
    return refuse_this() ? -1 : (int)syscall(SYS_madvise, address, bytes, advice);
}

void *mremap(void *address, size_t old_bytes, size_t new_bytes, int flags, ...)
{
    return refuse_this() ? MAP_FAILED
                         : (void *)syscall(SYS_mremap, address, old_bytes, new_bytes, flags, 0);
}

void *sbrk(intptr_t delta_bytes)
{
    if ((delta_bytes > 0 && refuse_break) || refuse_this()) {
        errno = ENOMEM;
        return (void *)-1;
    }
    return __sbrk(delta_bytes);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *),
                   void *argument)
{
    static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    if (create == NULL)
        *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    return refuse_this() ? EAGAIN : create(thread, attributes, body, argument);
}

#ifdef __cplusplus
}
#endif

#endif

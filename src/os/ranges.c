/* Purging many ranges at once: process_madvise on oneself, where the kernel has it.
 *
 * Linux takes MADV_DONTNEED from a process for itself since 6.13, and a release or two later it can
 * be told "oneself" by a number that is no descriptor. Before that oneself has to be opened
 * (pidfd_open), which is not done: a descriptor that is kept survives fork and names the parent in
 * the child, and programs close descriptors that they do not know; one that is opened for each call
 * takes a number that another thread of the program may count on. And hardly any kernel would gain.
 *
 * Whether it works is not asked but seen: where process_madvise has done nothing and madvise then
 * takes the same range, it is of no use here, whatever the reason (an old kernel: ENOSYS, EBADF,
 * EPERM, EINVAL; a filter of system calls: any error). That is remembered for the life of the
 * process and inherited by its children, and it stays true in them. It may also become true later,
 * when a filter is installed.
 *
 * Owns one flag, a hint: threads that find out at the same time store the same.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os.h"

#ifndef SYS_process_madvise
#define SYS_process_madvise 440 /* Linux 5.10 */
#endif

/* PIDFD_SELF: the calling thread. The number that names the process means its first thread, and
 * fails once that one has ended. */
#define SELF (-10000)

/* The kernel refuses more ranges than 1024, and cuts off silently what exceeds 2 GiB less a
 * page. */
enum { BATCH_RANGES = 1024 };
#define BATCH_BYTES ((size_t)1 << 30)

_Static_assert(sizeof(struct np_range) == sizeof(struct iovec) &&
                   offsetof(struct np_range, address) == offsetof(struct iovec, iov_base) &&
                   offsetof(struct np_range, bytes) == offsetof(struct iovec, iov_len),
               "the kernel reads ranges as they are");

static _Atomic bool is_batch_useless;

/* How many of the first ranges one call may take; at least 1. */
static size_t batch_count(const struct np_range *ranges, size_t count)
{
    size_t bytes = ranges[0].bytes;
    size_t taken = 1;

    while (taken < count && taken < BATCH_RANGES && bytes < BATCH_BYTES &&
           ranges[taken].bytes <= BATCH_BYTES - bytes)
        bytes += ranges[taken++].bytes;
    return taken;
}

/* Errors that say nothing about the next call. */
static bool may_pass(int error)
{
    return error == ENOMEM || error == EAGAIN || error == EINTR;
}

/* How many of the first ranges went in one call; 0 also where none was made. The kernel tells
 * bytes, and stops between two ranges; one that should have gone in part counts as not gone.
 * *is_suspect: none went, for a reason that may hold for ever. */
static size_t purge_batch(const struct np_range *ranges, size_t count, size_t *calls,
                          bool *is_suspect)
{
    size_t gone = 0;
    size_t left;
    long bytes;

    *is_suspect = false;
    if (atomic_load_explicit(&is_batch_useless, memory_order_relaxed))
        return 0;
    count = batch_count(ranges, count);
    if (count == 1)
        return 0;
    bytes = syscall(SYS_process_madvise, SELF, ranges, count, MADV_DONTNEED, 0);
    ++*calls;
    left = bytes > 0 ? (size_t)bytes : 0;
    while (gone < count && ranges[gone].bytes <= left)
        left -= ranges[gone++].bytes;
    *is_suspect = bytes < 0 && !may_pass(errno);
    return gone;
}

size_t np_os_purge_ranges(const struct np_range *ranges, size_t count, size_t *calls)
{
    int saved_errno = errno;
    size_t done = 0;

    while (done < count) {
        bool is_suspect;
        size_t gone = purge_batch(ranges + done, count - done, calls, &is_suspect);

        if (gone == 0) {
            /* Alone: where the batch stopped, or because there are no batches. */
            ++*calls;
            if (!np_os_purge(ranges[done].address, ranges[done].bytes))
                break;
            if (is_suspect)
                atomic_store_explicit(&is_batch_useless, true, memory_order_relaxed);
            gone = 1;
        }
        done += gone;
    }
    errno = saved_errno;
    return done;
}

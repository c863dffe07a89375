/* When there is a helper, and what it does. See helper.h.
 *
 * In a process that forks: the helper holds slabs and runs only while it has the mutex `working`,
 * which a fork takes first. So nothing that it holds is lost to a child. It waits for no fork, nor
 * a fork for it, longer than a batch takes.
 */
#include "helper.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alone.h"
#include "bits.h"
#include "limits.h"
#include "os.h"
#include "return.h"
#include "returned.h"
#include "thread.h"
#include "tune.h"

/* Weak: a static program without threads is not to get libc's threads with neap, and has no
 * helper. */
#pragma weak pthread_create

enum { KNOB_NEVER, KNOB_ALWAYS };

/* The helper looks so often at the most; an epoch is eight times as long or longer. */
#define LOOK_NS UINT64_C(125000000)

/* After a refusal (limits, seccomp) the next attempt is so much later. */
#define RETRY_NS UINT64_C(1000000000)

/* Its own frames are small. But should it be the last thread of the process, libc runs the
 * program's exit handlers on it. What is not touched costs addresses only; libc takes TLS from it,
 * too, and says EINVAL if that does not fit. */
#define STACK_BYTES ((size_t)256 << 10)
#define STACK_MAX_BYTES ((size_t)16 << 20)

/* Where a fork is under way, the helper leaves it so much time. */
#define FORK_NS UINT64_C(1000000)

static _Atomic bool is_running;
static _Atomic uint64_t next_try_ns;

/* The process that libc was set up in; 0: not yet. In the child of a vfork it is another. */
static _Atomic pid_t process;

/* Heaps of threads that did not come along into a child. */
static _Atomic unsigned lost_count;

static pthread_mutex_t working = PTHREAD_MUTEX_INITIALIZER;
static bool is_kept; /* the fork under way has it */

static void note_process(void)
{
    atomic_store_explicit(&process, getpid(), memory_order_relaxed);
}

__attribute__((constructor)) static void begin(void)
{
    note_process();
}

bool np_helper_is_running(void)
{
    return atomic_load(&is_running);
}

/* ---- whether there may be one ---- */

static unsigned heaps_in_use(void)
{
    unsigned count = 0;

    for (const struct np_heap *heap = np_thread_heaps(); heap != NULL; heap = heap->next)
        count += atomic_load_explicit(&heap->is_parked, memory_order_relaxed) == 0;
    return count;
}

/* Threads that have allocated, as far as they live; those that never have are not known here. */
static bool has_several_threads(void)
{
    return !np_is_alone() && heaps_in_use() > 1 + atomic_load_explicit(&lost_count, memory_order_relaxed);
}

static bool is_allowed(void)
{
    int64_t knob = np_tune_get(NP_KNOB_HELPER);

    /* A threshold that was set has no allowance in it. */
    if (knob == KNOB_NEVER || np_tune_is_set(NP_KNOB_TRIM_THRESHOLD))
        return false;
    return knob == KNOB_ALWAYS || has_several_threads();
}

/* Whether the address is in the loader. It allocates while its lists of modules are half changed,
 * and starting a thread reads them. */
static bool is_in_loader(uintptr_t address)
{
    uintptr_t base = (uintptr_t)getauxval(AT_BASE); /* 0: a static program */
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)base;
    const ElfW(Phdr) *segments;

    if (base == 0 || address < base)
        return false;
    segments = (const ElfW(Phdr) *)(base + header->e_phoff);
    for (unsigned index = 0; index < header->e_phnum; index++)
        if (segments[index].p_type == PT_LOAD &&
            address - base < segments[index].p_vaddr + segments[index].p_memsz)
            return true;
    return false;
}

static bool may_start(uintptr_t caller)
{
    /* Mostly it is not: a program with one thread and an allowance asks at every slow malloc. */
    if (!is_allowed() || pthread_create == NULL || np_thread_is_forking)
        return false;
    if (np_os_coarse_ns() < atomic_load_explicit(&next_try_ns, memory_order_relaxed) ||
        is_in_loader(caller))
        return false;
    /* Not before libc is set up, nor where somebody else's memory is borrowed. */
    return getpid() == atomic_load_explicit(&process, memory_order_relaxed);
}

/* ---- what it does ---- */

/* What became free in the last epoch, or longer; false: it has not watched that long. */
static bool try_get_flow(const struct np_helper_watch *watch, size_t *bytes)
{
    uint64_t epoch_ns = np_arena_epoch_ns();

    for (unsigned index = 1; index < watch->count; index++)
        if (watch->sights[0].at_ns - watch->sights[index].at_ns >= epoch_ns) {
            *bytes = (size_t)np_min64(SIZE_MAX, watch->sights[0].freed_bytes -
                                                    watch->sights[index].freed_bytes);
            return true;
        }
    return false;
}

static void add_sight(struct np_helper_watch *watch, uint64_t now_ns)
{
    unsigned last = (unsigned)np_min(watch->count, NP_HELPER_LOOKS);

    for (unsigned index = last; index > 0; index--)
        watch->sights[index] = watch->sights[index - 1];
    watch->sights[0] =
        (struct np_helper_sight){now_ns, np_returned_totals().joined_bytes};
    watch->count = last + 1;
}

/* By the one call that every program with threads makes anyway: where seccomp ends a process for a
 * call that it does not know, the helper must not be the one to make it. The word never changes. */
static void sleep_ns(uint64_t ns)
{
    static uint32_t word;
    /* The kernel's timespec. */
    long timeout[2] = {(long)(ns / 1000000000), (long)(ns % 1000000000)};

    (void)syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, timeout, NULL, 0);
}

/* A batch at a time, so that a fork need not wait long. Above the threshold only what a lowered
 * allowance has left there is found: the program's own frees keep to it. */
static void return_excess(void)
{
    size_t gone_bytes;

    do {
        size_t threshold_bytes = np_return_threshold_bytes();

        gone_bytes = 0;
        /* The mutex is not fair: whoever waits for it would be overtaken. */
        if (atomic_load(&np_is_fork_under_way))
            sleep_ns(FORK_NS);
        pthread_mutex_lock(&working);
        (void)np_return_reserved_of_threshold(); /* what sleepers have of a higher one goes */
        if (np_return_retained_bytes() > threshold_bytes)
            gone_bytes = np_return_down_to(threshold_bytes - threshold_bytes / 8,
                                           NP_PURGE_BATCH_BYTES);
        pthread_mutex_unlock(&working);
    } while (gone_bytes > 0);
}

bool np_helper_step(struct np_helper_watch *watch, uint64_t now_ns)
{
    size_t flow_bytes;

    add_sight(watch, now_ns);
    if (!is_allowed())
        np_arena_limit_allowance(0);
    else if (try_get_flow(watch, &flow_bytes))
        np_arena_limit_allowance(flow_bytes);
    return_excess();
    return np_arena_allowance_bytes() >= NP_HELPER_FROM_BYTES;
}

static uint64_t look_ns(void)
{
    return np_max64(LOOK_NS, np_arena_epoch_ns() / NP_HELPER_LOOKS);
}

static void watch_allowance(void)
{
    struct np_helper_watch watch = {0};

    while (np_helper_step(&watch, np_os_fine_ns()))
        sleep_ns(look_ns());
}

static bool try_run(void)
{
    bool expected = false;

    return atomic_compare_exchange_strong(&is_running, &expected, true);
}

static void *help(void *unused)
{
    (void)unused;
    (void)prctl(PR_SET_NAME, "neap-helper");
    do {
        watch_allowance();
        atomic_store(&is_running, false);
        /* An allowance that was raised after we looked has found us running: it is looked at again
         * after saying that we are not. The fence is the partner of the one in raise_allowance
         * (arena/thrash.c). */
        atomic_thread_fence(memory_order_seq_cst);
    } while (is_allowed() && np_arena_allowance_bytes() >= NP_HELPER_FROM_BYTES && try_run());
    return NULL;
}

/* ---- starting it ---- */

static int create(size_t stack_bytes)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int error = pthread_attr_init(&attributes);

    if (error != 0)
        return error;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, stack_bytes);
    error = pthread_create(&thread, &attributes, help, NULL);
    (void)pthread_attr_destroy(&attributes);
    return error;
}

/* The thread inherits the mask of signals: none is for it. libc keeps its own two out of it, so
 * that setuid reaches the helper as every thread. */
static bool try_create(void)
{
    int saved_errno = errno;
    int error = EINVAL;
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    for (size_t bytes = STACK_BYTES; error == EINVAL && bytes <= STACK_MAX_BYTES; bytes *= 8)
        error = create(bytes);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved_errno;
    return error == 0;
}

void np_helper_want(const void *caller)
{
    /* The thread that raises the allowance comes by here afterwards: see help. */
    if (atomic_load_explicit(&is_running, memory_order_relaxed) || !may_start((uintptr_t)caller))
        return;
    /* Creating a thread allocates, which comes back here and finds it running. */
    if (try_run() && !try_create()) {
        atomic_store_explicit(&next_try_ns, np_os_coarse_ns() + RETRY_NS, memory_order_relaxed);
        atomic_store(&is_running, false);
    }
}

/* A signal handler forks inside a critical section that the helper may be waiting for: then we do
 * not wait for it, and the child loses what it holds, as it does with other threads. Nor do we where
 * such a handler waits for us. */
static bool try_keep(void)
{
    if (np_lock_is_any_held())
        return false;
    while (pthread_mutex_trylock(&working) != 0) {
        if (np_lock_must_give_way())
            return false;
        np_lock_nap();
    }
    return true;
}

void np_helper_fork(enum np_fork_phase phase)
{
    if (phase == NP_FORK_PREPARE) {
        is_kept = try_keep();
        return;
    }
    if (phase == NP_FORK_CHILD) {
        unsigned own_count = np_thread_heap_if_any() != NULL;

        atomic_store(&is_running, false);
        atomic_store(&lost_count, heaps_in_use() - own_count);
        note_process();
        if (!is_kept)
            working = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER; /* the helper may have had it */
    }
    if (is_kept)
        pthread_mutex_unlock(&working);
}

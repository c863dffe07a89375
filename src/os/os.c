/* Linux behind os.h. Owns the cached page size; plain calls otherwise. errno is restored after
 * every call, because free() must not change it and layers above do not know which calls set it. */
#include "os.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bits.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* Linux 4.17; older kernels take the address as a hint */
#endif

#ifndef NP_FAKE_PAGE_BYTES
#define NP_FAKE_PAGE_BYTES 0
#endif

/* For tests (NEAP_FAKE_PAGE_BYTES in CMakeLists.txt): what pages are said to have where those of
 * the kernel are smaller. Mapping and purging then happen in multiples of it, as on a machine with
 * such pages. 0: the truth. */
enum { FAKE_PAGE_BYTES = NP_FAKE_PAGE_BYTES };

static _Atomic size_t page_bytes; /* 0: not asked yet */

size_t np_os_page_bytes(void)
{
    size_t bytes = atomic_load_explicit(&page_bytes, memory_order_relaxed);

    if (NP_UNLIKELY(bytes == 0)) {
        /* Works before libc is initialised; sysconf may not. */
        bytes = (size_t)getauxval(AT_PAGESZ);
        if (bytes == 0)
            bytes = 4096;
        bytes = bytes > FAKE_PAGE_BYTES ? bytes : FAKE_PAGE_BYTES;
        atomic_store_explicit(&page_bytes, bytes, memory_order_relaxed);
    }
    return bytes;
}

static void *map(void *address, size_t bytes, int protection, int more_flags)
{
    int saved_errno = errno;
    void *memory =
        mmap(address, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | more_flags, -1, 0);

    errno = saved_errno;
    return memory == MAP_FAILED ? NULL : memory;
}

bool np_os_release(void *address, size_t bytes)
{
    int saved_errno = errno;
    bool is_released = munmap(address, bytes) == 0;

    if (!is_released)
        (void)madvise(address, bytes, MADV_DONTNEED);
    errno = saved_errno;
    return is_released;
}

/* Maps more than needed and cuts off both ends; the kernel offers no alignment above a page. */
static void *map_aligned(size_t bytes, size_t alignment, int protection)
{
    size_t slack = FAKE_PAGE_BYTES == 0 ? alignment - np_os_page_bytes() : alignment;
    char *memory;
    char *aligned;
    size_t before;

    if (bytes + slack < bytes)
        return NULL;
    memory = map(NULL, bytes + slack, protection, 0);
    if (memory == NULL)
        return NULL;
    aligned = (char *)np_align_up((uintptr_t)memory, alignment);
    before = (size_t)(aligned - memory);
    if (before > 0)
        (void)np_os_release(memory, before);
    if (slack > before)
        (void)np_os_release(aligned + bytes, slack - before);
    return aligned;
}

void *np_os_map(size_t bytes, size_t alignment_bytes)
{
    return map_aligned(bytes, np_max(alignment_bytes, np_os_page_bytes()), PROT_READ | PROT_WRITE);
}

void *np_os_reserve(size_t bytes, size_t alignment_bytes)
{
    return map_aligned(bytes, alignment_bytes, PROT_NONE);
}

void *np_os_reserve_at(void *address, size_t bytes)
{
    void *memory = map(address, bytes, PROT_NONE, MAP_FIXED_NOREPLACE);

    if (memory != NULL && memory != address) {
        (void)np_os_release(memory, bytes);
        return NULL;
    }
    return memory;
}

/* A reservation of which only the middle can be used. */
void *np_os_map_guarded(size_t bytes, size_t alignment_bytes)
{
    size_t guard_bytes = np_os_page_bytes();
    size_t lead_bytes = np_max(alignment_bytes, guard_bytes);
    size_t gone_bytes = lead_bytes - guard_bytes;
    char *reserved = np_os_reserve(lead_bytes + bytes + guard_bytes, lead_bytes);
    char *memory;

    if (reserved == NULL)
        return NULL;
    memory = reserved + lead_bytes;
    if (!np_os_commit(memory, bytes)) {
        memory = NULL;
        gone_bytes = lead_bytes + bytes + guard_bytes;
    }
    if (gone_bytes > 0)
        (void)np_os_release(reserved, gone_bytes);
    return memory;
}

bool np_os_commit(void *address, size_t bytes)
{
    int saved_errno = errno;
    bool is_done = mprotect(address, bytes, PROT_READ | PROT_WRITE) == 0;

    errno = saved_errno;
    return is_done;
}

static bool advise(void *address, size_t bytes, int advice)
{
    int saved_errno = errno;
    bool is_done = madvise(address, bytes, advice) == 0;

    errno = saved_errno;
    return is_done;
}

bool np_os_purge(void *address, size_t bytes)
{
    return advise(address, bytes, MADV_DONTNEED);
}

bool np_os_forbid_huge_pages(void *address, size_t bytes)
{
    return advise(address, bytes, MADV_NOHUGEPAGE);
}

bool np_os_populate(void *address, size_t bytes)
{
    static _Atomic bool is_unknown; /* to this kernel: asking again would cost a call each time */
    int saved_errno = errno;
    bool is_done;

    if (atomic_load_explicit(&is_unknown, memory_order_relaxed))
        return false;
    is_done = madvise(address, bytes, MADV_POPULATE_WRITE) == 0;
    if (!is_done && (errno == EINVAL || errno == EPERM))
        atomic_store_explicit(&is_unknown, true, memory_order_relaxed);
    errno = saved_errno;
    return is_done;
}

void *np_os_remap(void *address, size_t old_bytes, size_t new_bytes, enum np_os_remap_way way)
{
    int saved_errno = errno;
    bool may_move = way == NP_OS_REMAP_ANYWHERE && FAKE_PAGE_BYTES == 0; /* to the kernel's page */
    void *memory = address;

    /* Smaller by munmap: the same to the kernel, but qemu's mremap (7.2) for a program of 32 bits takes as much of what
     * lies behind. */
    if (new_bytes < old_bytes) {
        if (munmap((char *)address + new_bytes, old_bytes - new_bytes) != 0)
            memory = MAP_FAILED;
    } else {
        memory = mremap(address, old_bytes, new_bytes, may_move ? MREMAP_MAYMOVE : 0);
    }
    errno = saved_errno;
    return memory == MAP_FAILED ? NULL : memory;
}

/* True also where the kernel does not say. */
static bool may_be_mapped(uintptr_t address)
{
    void *page = (void *)np_align_down(address, np_os_page_bytes());
    unsigned char state;
    int saved_errno = errno;
    bool is_mapped = mincore(page, 1, &state) == 0 || errno != ENOMEM;

    errno = saved_errno;
    return is_mapped;
}

/* glibc's own copy of where the break is, exported on every machine: NULL until brk or sbrk is
 * called. musl has none, and an sbrk that moves nothing. */
extern void *__curbrk __attribute__((weak));

bool np_os_is_break_used(void)
{
    bool has_loader = getauxval(AT_BASE) != 0; /* 0 as well where the loader is run by hand */

    if (!has_loader || &__curbrk == NULL || __curbrk == NULL)
        return false;
    /* It begins at random behind the program, so that nothing lies below it if it has not moved. */
    return may_be_mapped((uintptr_t)__curbrk - 1);
}

void *np_os_break_move(intptr_t delta_bytes)
{
    int saved_errno = errno;
    void *old_end = sbrk(delta_bytes); /* libc's own, so that its idea of the end stays right */

    errno = saved_errno;
    return old_end == (void *)-1 ? NULL : old_end;
}

void *np_os_break_end(void)
{
    return np_os_break_move(0);
}

static uint64_t clock_ns(clockid_t clock)
{
    int saved_errno = errno;
    struct timespec now = {0, 0};

    (void)clock_gettime(clock, &now);
    errno = saved_errno;
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t np_os_coarse_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC_COARSE);
}

uint64_t np_os_fine_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

void np_os_pause(void)
{
    struct timespec some = {.tv_nsec = 100000};
    int saved_errno = errno;

    (void)nanosleep(&some, NULL);
    errno = saved_errno;
}

size_t np_os_resident_bytes(const void *address, size_t bytes)
{
    size_t page = np_os_page_bytes();
    size_t resident_bytes = 0;
    unsigned char states[256]; /* a byte a page */
    int saved_errno = errno;

    for (size_t at = 0, part; at < bytes; at += part) {
        part = np_min(bytes - at, sizeof states * page);
        if (mincore((char *)address + at, part, states) != 0) {
            resident_bytes += part;
            continue;
        }
        for (size_t index = 0; index < part / page; index++)
            resident_bytes += (states[index] & 1) * page;
    }
    errno = saved_errno;
    return resident_bytes;
}

bool np_os_residency(const void *address, size_t bytes, unsigned char *pages)
{
    int saved_errno = errno;
    bool is_done = FAKE_PAGE_BYTES == 0 && mincore((void *)address, bytes, pages) == 0;

    errno = saved_errno;
    return is_done;
}

#if defined(SYS_membarrier)
static bool membarrier(int command)
{
    int saved_errno = errno;
    bool is_done = syscall(SYS_membarrier, command, 0, 0) == 0;

    errno = saved_errno;
    return is_done;
}
#else
#define membarrier(command) false
#endif

/* Of linux/membarrier.h, which old systems lack. */
#define BARRIER (1 << 3)          /* MEMBARRIER_CMD_PRIVATE_EXPEDITED */
#define REGISTER_BARRIER (1 << 4) /* MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED; a fork's child inherits it */

bool np_os_may_barrier(void)
{
    static _Atomic int answer; /* 0: not asked; two threads may ask at once, and are told the same */
    int may = atomic_load_explicit(&answer, memory_order_relaxed);

    if (may == 0) {
        may = membarrier(REGISTER_BARRIER) ? 1 : -1;
        atomic_store_explicit(&answer, may, memory_order_relaxed);
    }
    return may > 0;
}

bool np_os_barrier(void)
{
    return membarrier(BARRIER);
}

unsigned np_os_cpu_count(void)
{
    int saved_errno = errno;
    unsigned long mask[128]; /* 8192 processors, the kernel's largest build */
    long byte_count = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    unsigned count = 0;

    errno = saved_errno;
    for (long i = 0; i < byte_count / (long)sizeof mask[0]; i++)
        count += (unsigned)__builtin_popcountl(mask[i]);
    return count > 0 ? count : 1;
}

uint64_t np_os_random(void)
{
    const void *kernel_bytes = (const void *)getauxval(AT_RANDOM);
    uint64_t bits = (uint64_t)(uintptr_t)&bits; /* the stack's place is a little random, too */

    /* The 16 bytes also seed libc's stack guard; mixing keeps either from telling the other. */
    if (kernel_bytes != NULL) {
        uint64_t words[2];

        memcpy(words, kernel_bytes, sizeof words);
        bits ^= np_mix(words[0]) ^ words[1];
    }
    return np_mix(bits);
}

bool np_os_is_main_thread(void)
{
    return syscall(SYS_gettid) == syscall(SYS_getpid);
}

bool np_os_is_secure(void)
{
    return getauxval(AT_SECURE) != 0;
}

char **np_os_environment(void)
{
    return environ;
}

/* See os_fake.h. Areas of the process that are the layers' lie in one sorted table; every call
 * is looked up in it. */
#include "os_fake.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bits.h"
#include "os.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#ifndef __GLIBC__
extern char __libc_single_threaded;
char __libc_single_threaded; /* see isolated.h */
#endif

enum { REAL_PAGE_BYTES = 4096, AREA_MAX = 1 << 17 };

/* Address space in which the fake break moves: 64 GiB, more than a window table reaches without
 * wrapping; on a 32-bit machine what can be spared. */
#define BREAK_RANGE_BYTES (sizeof(void *) == 8 ? (size_t)64 << 30 : (size_t)512 << 20)

struct area {
    uintptr_t start;
    uintptr_t end;
    bool is_committed;
    bool is_guard; /* not committed, ever, nor counted as reserved */
};

static struct {
    pthread_mutex_t mutex;
    size_t page_bytes;
    unsigned calls_left; /* until the one that fails; 0: none will */
    bool is_failing_on;
    unsigned more_failing; /* calls, in a row after the first */
    bool is_refused[OS_FAKE_CALL_COUNT];
    bool has_failed;
    size_t calls[OS_FAKE_CALL_COUNT];
    size_t purged_bytes;
    size_t purged_cold_bytes;
    size_t largest_purge_bytes;
    uintptr_t locked_from;
    uintptr_t locked_to;
    uintptr_t break_start; /* 0: not made yet */
    uintptr_t break_end;
    size_t break_limit_bytes;
    bool is_break_used;
    intptr_t foreign_delta;
    _Atomic uint64_t coarse_ns;
    uint64_t call_ns;         /* what a call takes by the fine clock */
    _Atomic uint64_t fine_ns; /* how far that is ahead */
    unsigned cpu_count;
    char **environment;
    bool is_secure;
} fake = {
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .page_bytes = REAL_PAGE_BYTES,
    .break_limit_bytes = BREAK_RANGE_BYTES,
    .coarse_ns = UINT64_C(1000000000),
    .cpu_count = 2,
};

static char *no_environment[] = {NULL};

static struct area areas[AREA_MAX];
static size_t area_count;

/* Where huge pages are forbidden; no two overlap. */
static struct np_range hugeless[1024];
static size_t hugeless_count;

/* What is resident is compared with what was touched; so the real kernel is to make none, whatever
 * it is set to. */
__attribute__((constructor)) static void do_without_huge_pages(void)
{
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

static _Noreturn void die(const char *sentence)
{
    fprintf(stderr, "os_fake: %s\n", sentence);
    abort();
}

static void require(bool condition, const char *sentence)
{
    if (!condition)
        die(sentence);
}

/* ---- areas ---- */

/* The first area that ends above the address. */
static size_t area_from(uintptr_t address)
{
    size_t low = 0;
    size_t high = area_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (areas[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void insert_area(size_t index, struct area area)
{
    require(area_count < AREA_MAX, "too many areas");
    memmove(&areas[index + 1], &areas[index], (area_count - index) * sizeof areas[0]);
    areas[index] = area;
    area_count++;
}

static void remove_area(size_t index)
{
    area_count--;
    memmove(&areas[index], &areas[index + 1], (area_count - index) * sizeof areas[0]);
}

/* Takes [start, end) out of the table; false if part of it was not in it. */
static bool take_out(uintptr_t start, uintptr_t end)
{
    uintptr_t at = start;

    while (at < end) {
        size_t index = area_from(at);
        struct area area;
        struct area rest;

        if (index == area_count || areas[index].start > at)
            return false;
        rest = area = areas[index];
        remove_area(index);
        rest.start = end;
        if (area.end > end)
            insert_area(index, rest);
        rest.start = area.start;
        rest.end = at;
        if (area.start < at)
            insert_area(index, rest);
        at = area.end;
    }
    return true;
}

static void put_in(uintptr_t start, uintptr_t end, bool is_committed)
{
    insert_area(area_from(start), (struct area){start, end, is_committed, false});
}

static void put_in_guard(uintptr_t start, uintptr_t end)
{
    insert_area(area_from(start), (struct area){start, end, false, true});
}

/* Committed or not, without gaps. */
static bool is_ours(uintptr_t start, uintptr_t end)
{
    uintptr_t at = start;

    for (size_t index = area_from(start); at < end; index++) {
        if (index == area_count || areas[index].start > at || areas[index].is_guard)
            return false;
        at = areas[index].end;
    }
    return true;
}

static void add_hugeless(uintptr_t start, uintptr_t end)
{
    require(hugeless_count < sizeof hugeless / sizeof hugeless[0], "too many such ranges");
    hugeless[hugeless_count++] = (struct np_range){(void *)start, end - start};
}

/* Of what goes back: whoever has these addresses next begins as all memory does. */
static void forget_hugeless(uintptr_t start, uintptr_t end)
{
    for (size_t i = hugeless_count; i-- > 0;) {
        uintptr_t from = (uintptr_t)hugeless[i].address;
        uintptr_t to = from + hugeless[i].bytes;

        if (from >= end || to <= start)
            continue;
        hugeless[i] = hugeless[--hugeless_count];
        if (from < start)
            add_hugeless(from, start);
        if (to > end)
            add_hugeless(end, to);
    }
}

static bool is_all(uintptr_t start, uintptr_t end, bool is_committed)
{
    uintptr_t at = start;

    for (size_t index = area_from(start); at < end; index++) {
        if (index == area_count || areas[index].start > at ||
            areas[index].is_committed != is_committed || areas[index].is_guard)
            return false;
        at = areas[index].end;
    }
    return true;
}

static size_t bytes_in_state(bool is_committed, bool is_guard)
{
    size_t bytes = 0;

    pthread_mutex_lock(&fake.mutex);
    for (size_t index = 0; index < area_count; index++)
        if (areas[index].is_committed == is_committed && areas[index].is_guard == is_guard)
            bytes += areas[index].end - areas[index].start;
    pthread_mutex_unlock(&fake.mutex);
    return bytes;
}

/* ---- failing ---- */

static void lock(void)
{
    pthread_mutex_lock(&fake.mutex);
}

static void unlock(void)
{
    pthread_mutex_unlock(&fake.mutex);
}

/* As the kernel, it answers the child of a fork, whatever other threads were asking. Registered
 * before the handlers of neap, whose own in the child ask. */
__attribute__((constructor(101))) static void get_along_with_forks(void)
{
    (void)pthread_atfork(lock, unlock, unlock);
}

/* Counts a call, locks the fake, and says whether the call is to go through. */
static bool begin(enum os_fake_call call)
{
    bool is_failing = false;

    pthread_mutex_lock(&fake.mutex);
    fake.calls[call]++;
    fake.fine_ns += fake.call_ns;
    if (fake.calls_left > 0 && --fake.calls_left == 0) {
        is_failing = true;
        if (fake.is_failing_on || (fake.more_failing > 0 && fake.more_failing-- > 0))
            fake.calls_left = 1;
    }
    if (fake.is_refused[call])
        is_failing = true;
    fake.has_failed |= is_failing;
    return !is_failing;
}

static void finish(void)
{
    pthread_mutex_unlock(&fake.mutex);
}

static void require_range(const void *address, size_t bytes)
{
    require(bytes > 0, "a range of no bytes");
    require((uintptr_t)address % fake.page_bytes == 0 && bytes % fake.page_bytes == 0,
            "a range that is not whole system pages");
}

/* ---- mappings ---- */

static void *real_map(void *address, size_t bytes, int protection, int flags)
{
    int saved_errno = errno;
    void *memory = mmap(address, bytes, protection,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);

    errno = saved_errno;
    if (memory != MAP_FAILED && address != NULL && memory != address) {
        munmap(memory, bytes);
        return NULL;
    }
    return memory == MAP_FAILED ? NULL : memory;
}

static void *map_at_alignment(size_t bytes, size_t alignment, int protection)
{
    size_t total;
    char *memory;
    char *aligned;

    require(np_is_power_of_two(alignment) && alignment >= fake.page_bytes,
            "an alignment that is no power of two, or below a system page");
    require(bytes > 0 && bytes % fake.page_bytes == 0, "a size that is not whole system pages");
    if (bytes > np_min64(UINT64_C(1) << 46, SIZE_MAX / 4))
        return NULL;
    total = bytes + alignment;
    memory = real_map(NULL, total, protection, 0);
    if (memory == NULL)
        return NULL;
    aligned = (char *)np_align_up((uintptr_t)memory, alignment);
    if (aligned > memory)
        munmap(memory, (size_t)(aligned - memory));
    if (memory + total > aligned + bytes)
        munmap(aligned + bytes, (size_t)(memory + total - (aligned + bytes)));
    put_in((uintptr_t)aligned, (uintptr_t)aligned + bytes, protection != PROT_NONE);
    return aligned;
}

static void *map_between_guards(size_t bytes, size_t alignment)
{
    size_t guard_bytes = fake.page_bytes;
    char *memory = map_at_alignment(alignment + bytes + guard_bytes, alignment, PROT_NONE);
    uintptr_t start = (uintptr_t)memory + alignment;

    if (memory == NULL)
        return NULL;
    (void)take_out((uintptr_t)memory, start + bytes + guard_bytes);
    if (alignment > guard_bytes)
        munmap(memory, alignment - guard_bytes);
    require(mprotect((void *)start, bytes, PROT_READ | PROT_WRITE) == 0, "mprotect failed");
    put_in_guard(start - guard_bytes, start);
    put_in(start, start + bytes, true);
    put_in_guard(start + bytes, start + bytes + guard_bytes);
    return (void *)start;
}

size_t np_os_page_bytes(void)
{
    return fake.page_bytes;
}

static void *map_as(enum os_fake_call call, size_t bytes, size_t alignment, int protection)
{
    void *memory = begin(call) ? map_at_alignment(bytes, alignment, protection) : NULL;

    finish();
    return memory;
}

void *np_os_map(size_t bytes, size_t alignment_bytes)
{
    return map_as(OS_FAKE_MAP, bytes, np_max(alignment_bytes, fake.page_bytes),
                  PROT_READ | PROT_WRITE);
}

void *np_os_map_guarded(size_t bytes, size_t alignment_bytes)
{
    char *memory = NULL;

    if (begin(OS_FAKE_MAP))
        memory = map_between_guards(bytes, np_max(alignment_bytes, fake.page_bytes));
    finish();
    return memory;
}

void *np_os_reserve(size_t bytes, size_t alignment_bytes)
{
    return map_as(OS_FAKE_RESERVE, bytes, alignment_bytes, PROT_NONE);
}

void *np_os_reserve_at(void *address, size_t bytes)
{
    void *memory = NULL;

    if (begin(OS_FAKE_RESERVE_AT)) {
        require(address != NULL, "reserving at no address");
        require_range(address, bytes);
        memory = real_map(address, bytes, PROT_NONE, MAP_FIXED_NOREPLACE);
        if (memory != NULL)
            put_in((uintptr_t)memory, (uintptr_t)memory + bytes, false);
    }
    finish();
    return memory;
}

bool np_os_commit(void *address, size_t bytes)
{
    uintptr_t start = (uintptr_t)address;
    bool is_done = begin(OS_FAKE_COMMIT);

    if (is_done) {
        require_range(address, bytes);
        require(is_all(start, start + bytes, false), "committing what is not reserved");
        require(mprotect(address, bytes, PROT_READ | PROT_WRITE) == 0, "mprotect failed");
        (void)take_out(start, start + bytes);
        put_in(start, start + bytes, true);
    }
    finish();
    return is_done;
}

/* As the kernel: what cannot be unmapped is purged and stays. */
bool np_os_release(void *address, size_t bytes)
{
    uintptr_t start = (uintptr_t)address;
    bool is_done = begin(OS_FAKE_RELEASE);

    require_range(address, bytes);
    if (is_done) {
        require(take_out(start, start + bytes), "releasing what is not ours");
        forget_hugeless(start, start + bytes);
        require(munmap(address, bytes) == 0, "munmap failed");
    } else {
        require(madvise(address, bytes, MADV_DONTNEED) == 0, "madvise failed");
    }
    finish();
    return is_done;
}

static void require_committed(const void *address, size_t bytes, const char *sentence)
{
    require_range(address, bytes);
    require(is_all((uintptr_t)address, (uintptr_t)address + bytes, true), sentence);
}

/* False: locked. */
static bool purge_range(const struct np_range *range)
{
    uintptr_t start = (uintptr_t)range->address;

    if (start < fake.locked_to && start + range->bytes > fake.locked_from)
        return false;
    if (fake.break_start <= start && start < fake.break_end)
        fake.purged_cold_bytes +=
            range->bytes - os_fake_resident_bytes(range->address, range->bytes);
    require(madvise(range->address, range->bytes, MADV_DONTNEED) == 0, "madvise failed");
    fake.purged_bytes += range->bytes;
    return true;
}

/* One call that takes the first end_count of the ranges, or fewer where one is locked: how many. */
static size_t purge_first(const struct np_range *ranges, size_t end_count)
{
    size_t purged_before = fake.purged_bytes;
    size_t gone = 0;

    while (gone < end_count && purge_range(&ranges[gone]))
        gone++;
    fake.largest_purge_bytes =
        np_max(fake.largest_purge_bytes, fake.purged_bytes - purged_before);
    return gone;
}

bool np_os_purge(void *address, size_t bytes)
{
    struct np_range range = {address, bytes};
    bool is_done = begin(OS_FAKE_PURGE);

    require_committed(address, bytes, "purging what is not committed");
    is_done = is_done && purge_first(&range, 1) == 1;
    finish();
    return is_done;
}

size_t np_os_purge_ranges(const struct np_range *ranges, size_t count, size_t *calls)
{
    size_t end_count = count;
    size_t gone;

    if (!begin(OS_FAKE_PURGE_RANGES))
        end_count = fake.is_refused[OS_FAKE_PURGE_RANGES] || fake.is_failing_on ? 0 : count / 2;
    require(count > 0, "purging no ranges");
    for (size_t i = 0; i < count; i++)
        require_committed(ranges[i].address, ranges[i].bytes, "purging what is not committed");
    gone = purge_first(ranges, end_count);
    ++*calls;
    finish();
    return gone;
}

bool np_os_populate(void *address, size_t bytes)
{
    bool is_done = begin(OS_FAKE_POPULATE);

    if (is_done) {
        require_committed(address, bytes, "populating what is not committed");
        for (size_t offset = 0; offset < bytes; offset += REAL_PAGE_BYTES) {
            volatile char *byte = (volatile char *)address + offset;

            *byte = *byte;
        }
    }
    finish();
    return is_done;
}

bool np_os_forbid_huge_pages(void *address, size_t bytes)
{
    uintptr_t start = (uintptr_t)address;
    bool is_done = begin(OS_FAKE_FORBID_HUGE);

    require_range(address, bytes);
    require(is_ours(start, start + bytes), "forbidding huge pages of what is not ours");
    if (is_done) {
        forget_hugeless(start, start + bytes);
        add_hugeless(start, start + bytes);
    }
    finish();
    return is_done;
}

static void (*at_barrier)(void);

void os_fake_at_barrier(void (*call)(void))
{
    at_barrier = call;
}

/* The real one: tests have threads. The answer is remembered, so this is no call. */
bool np_os_may_barrier(void)
{
    static _Atomic bool is_registered;

    if (!is_registered)
        is_registered =
            syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    return is_registered && !fake.is_refused[OS_FAKE_BARRIER];
}

bool np_os_barrier(void)
{
    bool is_done = begin(OS_FAKE_BARRIER);

    finish();
    if (!is_done || syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
        return false;
    if (at_barrier != NULL)
        at_barrier();
    return true;
}

static bool remap_in_place(uintptr_t start, size_t old_bytes, size_t new_bytes)
{
    uintptr_t end = start + old_bytes;

    if (new_bytes < old_bytes) {
        (void)take_out(start + new_bytes, end);
        forget_hugeless(start + new_bytes, end);
        require(munmap((void *)(start + new_bytes), old_bytes - new_bytes) == 0, "munmap failed");
        return true;
    }
    if (real_map((void *)end, new_bytes - old_bytes, PROT_READ | PROT_WRITE,
                 MAP_FIXED_NOREPLACE) == NULL)
        return false;
    put_in(end, start + new_bytes, true);
    return true;
}

void *np_os_remap(void *address, size_t old_bytes, size_t new_bytes, enum np_os_remap_way way)
{
    uintptr_t start = (uintptr_t)address;
    void *memory = NULL;

    if (begin(OS_FAKE_REMAP)) {
        require_range(address, old_bytes);
        require_range(address, new_bytes);
        require(is_all(start, start + old_bytes, true), "remapping what is not ours");
        if (remap_in_place(start, old_bytes, new_bytes)) {
            memory = address;
        } else if (way == NP_OS_REMAP_ANYWHERE) {
            memory = map_at_alignment(new_bytes, fake.page_bytes, PROT_READ | PROT_WRITE);
            if (memory != NULL) {
                memcpy(memory, address, np_min(old_bytes, new_bytes));
                (void)take_out(start, start + old_bytes);
                forget_hugeless(start, start + old_bytes);
                require(munmap(address, old_bytes) == 0, "munmap failed");
            }
        }
    }
    finish();
    return memory;
}

/* ---- the break ---- */

static void make_break(void)
{
    char *range;

    if (fake.break_start != 0)
        return;
    range = real_map(NULL, BREAK_RANGE_BYTES, PROT_NONE, 0);
    require(range != NULL, "no address space for the break");
    /* Like a real one: the start of a system page, not of anything larger. */
    fake.break_start = np_align_up((uintptr_t)range, (size_t)1 << 26) + 3 * fake.page_bytes;
    fake.break_end = fake.break_start;
}

/* The kernel backs whole pages below the end, and drops those above. */
static bool move_break(intptr_t delta)
{
    uintptr_t page_mask = fake.page_bytes - 1;
    uintptr_t end = fake.break_end + (uintptr_t)delta;
    uintptr_t old_top = (fake.break_end + page_mask) & ~page_mask;
    uintptr_t top = (end + page_mask) & ~page_mask;

    if (end < fake.break_start || end - fake.break_start > fake.break_limit_bytes ||
        end > fake.break_start + BREAK_RANGE_BYTES - ((size_t)1 << 27))
        return false;
    if (top > old_top) {
        require(mprotect((void *)old_top, top - old_top, PROT_READ | PROT_WRITE) == 0,
                "mprotect failed");
        put_in(old_top, top, true);
    } else if (top < old_top) {
        require(take_out(top, old_top), "the break's memory was released by hand");
        require(real_map((void *)top, old_top - top, PROT_NONE, MAP_FIXED) != NULL,
                "mapping the break anew failed");
        forget_hugeless(top, old_top);
    }
    fake.break_end = end;
    return true;
}

bool np_os_is_break_used(void)
{
    return fake.is_break_used;
}

void *np_os_break_end(void)
{
    void *end = NULL;

    if (begin(OS_FAKE_BREAK_END)) {
        make_break();
        end = (void *)fake.break_end;
    }
    finish();
    return end;
}

void *np_os_break_move(intptr_t delta_bytes)
{
    void *old_end = NULL;

    if (begin(OS_FAKE_BREAK_MOVE)) {
        make_break();
        if (delta_bytes != 0 && fake.foreign_delta != 0) {
            require(move_break(fake.foreign_delta), "the foreign move does not fit");
            fake.foreign_delta = 0;
        }
        old_end = (void *)fake.break_end;
        if (!move_break(delta_bytes))
            old_end = NULL;
    }
    finish();
    return old_end;
}

uintptr_t os_fake_break(void)
{
    pthread_mutex_lock(&fake.mutex);
    make_break();
    pthread_mutex_unlock(&fake.mutex);
    return fake.break_end;
}

void *os_fake_foreign_sbrk(intptr_t delta_bytes)
{
    void *old_end = (void *)os_fake_break();

    pthread_mutex_lock(&fake.mutex);
    require(move_break(delta_bytes), "the foreign move does not fit");
    pthread_mutex_unlock(&fake.mutex);
    return old_end;
}

void os_fake_use_break(void)
{
    (void)os_fake_foreign_sbrk(12345);
    fake.is_break_used = true;
}

void os_fake_foreign_sbrk_before_move(intptr_t delta_bytes)
{
    fake.foreign_delta = delta_bytes;
}

void os_fake_limit_break(size_t bytes)
{
    fake.break_limit_bytes = bytes;
}

/* ---- the rest of os.h ---- */

uint64_t np_os_coarse_ns(void)
{
    return fake.coarse_ns;
}

uint64_t np_os_fine_ns(void)
{
    return fake.coarse_ns + fake.fine_ns;
}

void np_os_pause(void)
{
    fake.fine_ns += 100000;
}

static bool is_mapped(const void *address, size_t bytes)
{
    for (size_t offset = 0; offset < bytes; offset += REAL_PAGE_BYTES) {
        unsigned char state;

        if (mincore((char *)address + offset, REAL_PAGE_BYTES, &state) != 0)
            return false;
    }
    return true;
}

size_t np_os_resident_bytes(const void *address, size_t bytes)
{
    require_range(address, bytes);
    return os_fake_resident_bytes(address, bytes);
}

bool np_os_residency(const void *address, size_t bytes, unsigned char *pages)
{
    require_range(address, bytes);
    /* As the kernel, which says so of memory that has been given back meanwhile. */
    if (!is_mapped(address, bytes))
        return false;
    for (size_t page = 0; page < bytes / fake.page_bytes; page++)
        pages[page] = os_fake_resident_bytes((const char *)address + page * fake.page_bytes,
                                             fake.page_bytes) != 0;
    return true;
}

unsigned np_os_cpu_count(void)
{
    return fake.cpu_count;
}

uint64_t np_os_random(void)
{
    return UINT64_C(0x243F6A8885A308D3);
}

bool np_os_is_main_thread(void)
{
    return gettid() == getpid();
}

bool np_os_is_secure(void)
{
    return fake.is_secure;
}

char **np_os_environment(void)
{
    return fake.environment != NULL ? fake.environment : no_environment;
}

/* ---- what tests do and ask ---- */

void os_fake_set_page_bytes(size_t bytes)
{
    require(area_count == 0, "the page size is set before the first call");
    fake.page_bytes = bytes;
}

void os_fake_reset(void)
{
    pthread_mutex_lock(&fake.mutex);
    fake.calls_left = 0;
    fake.is_failing_on = false;
    fake.more_failing = 0;
    fake.has_failed = false;
    memset(fake.is_refused, 0, sizeof fake.is_refused);
    memset(fake.calls, 0, sizeof fake.calls);
    fake.foreign_delta = 0;
    pthread_mutex_unlock(&fake.mutex);
}

void os_fake_fail_call(unsigned nth)
{
    fake.calls_left = nth;
    fake.is_failing_on = false;
}

void os_fake_fail_from(unsigned nth)
{
    fake.calls_left = nth;
    fake.is_failing_on = true;
}

void os_fake_fail_next(unsigned count)
{
    pthread_mutex_lock(&fake.mutex);
    fake.calls_left = 1;
    fake.is_failing_on = false;
    fake.more_failing = count - 1;
    pthread_mutex_unlock(&fake.mutex);
}

void os_fake_refuse(enum os_fake_call call)
{
    fake.is_refused[call] = true;
}

bool os_fake_has_failed(void)
{
    return fake.has_failed;
}

size_t os_fake_calls(enum os_fake_call call)
{
    return fake.calls[call];
}

size_t os_fake_all_calls(void)
{
    size_t count = 0;

    for (unsigned call = 0; call < OS_FAKE_CALL_COUNT; call++)
        count += fake.calls[call];
    return count;
}

size_t os_fake_reserved_bytes(void)
{
    return bytes_in_state(false, false);
}

size_t os_fake_guard_bytes(void)
{
    return bytes_in_state(false, true);
}

size_t os_fake_committed_bytes(void)
{
    return bytes_in_state(true, false);
}

size_t os_fake_purged_bytes(void)
{
    return fake.purged_bytes;
}

size_t os_fake_largest_purge_bytes(void)
{
    return fake.largest_purge_bytes;
}

size_t os_fake_purged_cold_bytes(void)
{
    return fake.purged_cold_bytes;
}

size_t os_fake_resident_bytes(const void *address, size_t bytes)
{
    uintptr_t at = np_align_down((uintptr_t)address, REAL_PAGE_BYTES);
    uintptr_t end = np_align_up((uintptr_t)address + bytes, REAL_PAGE_BYTES);
    unsigned char pages[256];
    size_t resident_bytes = 0;

    while (at < end) {
        size_t part = np_min(end - at, sizeof pages * REAL_PAGE_BYTES);

        require(mincore((void *)at, part, pages) == 0, "asking about memory that is not mapped");
        for (size_t page = 0; page < part / REAL_PAGE_BYTES; page++)
            resident_bytes += pages[page] & 1 ? REAL_PAGE_BYTES : 0;
        at += part;
    }
    return resident_bytes;
}

bool os_fake_may_have_huge_pages(const void *address)
{
    for (size_t i = 0; i < hugeless_count; i++)
        if ((uintptr_t)address - (uintptr_t)hugeless[i].address < hugeless[i].bytes)
            return false;
    return true;
}

bool os_fake_is_committed(const void *address, size_t bytes)
{
    bool is_committed;

    pthread_mutex_lock(&fake.mutex);
    is_committed = is_all((uintptr_t)address, (uintptr_t)address + bytes, true);
    pthread_mutex_unlock(&fake.mutex);
    return is_committed;
}

void os_fake_lock_memory(const void *address, size_t bytes)
{
    fake.locked_from = (uintptr_t)address;
    fake.locked_to = (uintptr_t)address + bytes;
}

void os_fake_set_coarse_ns(uint64_t ns)
{
    fake.coarse_ns = ns;
}

void os_fake_advance_coarse_ns(uint64_t ns)
{
    fake.coarse_ns += ns;
}

void os_fake_set_call_ns(uint64_t ns)
{
    fake.call_ns = ns;
}

void os_fake_set_cpu_count(unsigned count)
{
    fake.cpu_count = count;
}

void os_fake_set_environment(char **environment)
{
    fake.environment = environment;
}

void os_fake_set_secure(bool is_secure)
{
    fake.is_secure = is_secure;
}

/* The fake kernel: src/os/os.h for tests, on real memory, with every call counted, checked
 * against the contract, and made to fail on demand.
 *
 * It dies (abort, with a sentence) when a layer breaks the contract: a range that is not whole
 * system pages, or that is not ours, purging what is not committed. It never changes errno.
 * Purged memory really is gone, and os_fake_resident_bytes asks the real kernel what is there,
 * so what the layers believe can be compared with the truth.
 *
 * Owns all of its state; a mutex guards it, so layers may be tested with threads. Not usable
 * across a fork that another thread is inside of.
 */
#ifndef NP_TESTS_OS_FAKE_H
#define NP_TESTS_OS_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The calls that may refuse. */
enum os_fake_call {
    OS_FAKE_MAP,
    OS_FAKE_RESERVE,
    OS_FAKE_RESERVE_AT,
    OS_FAKE_COMMIT,
    OS_FAKE_RELEASE,
    OS_FAKE_PURGE,
    OS_FAKE_PURGE_RANGES,
    OS_FAKE_POPULATE,
    OS_FAKE_FORBID_HUGE,
    OS_FAKE_REMAP,
    OS_FAKE_BARRIER,
    OS_FAKE_BREAK_END,
    OS_FAKE_BREAK_MOVE,
    OS_FAKE_CALL_COUNT
};

/* Before the first call of a layer: bytes of a system page, 4096, 16384 or 65536. 4096 unless
 * set. */
void os_fake_set_page_bytes(size_t bytes);

/* Forgets failures to come and those that were, and starts counting at 0. Memory stays. */
void os_fake_reset(void);

/* The nth call from now on, counted from 1, is refused; or it and all that follow. A purge of
 * ranges that is the only one to fail stops half way; else a refused one does nothing. */
void os_fake_fail_call(unsigned nth);
void os_fake_fail_from(unsigned nth);

/* The next so many, at least one. */
void os_fake_fail_next(unsigned count);

/* Every call of this kind is refused until os_fake_reset. */
void os_fake_refuse(enum os_fake_call call);

/* Whether any call was refused because of the above since the last reset. */
bool os_fake_has_failed(void);

/* Calls since the last reset, of one kind or all, refused ones included. */
size_t os_fake_calls(enum os_fake_call call);
size_t os_fake_all_calls(void);

/* Bytes by state, now: addresses reserved and not committed; usable ones, the break's included. */
size_t os_fake_reserved_bytes(void);
size_t os_fake_committed_bytes(void);

/* And of the guard pages around others, which count in neither. */
size_t os_fake_guard_bytes(void);

/* Bytes that purge took, ever. */
size_t os_fake_purged_bytes(void);

/* The most that one call took, all of its ranges together. */
size_t os_fake_largest_purge_bytes(void);

/* How many of the break's among them had no memory to begin with: work for nothing. */
size_t os_fake_purged_cold_bytes(void);

/* Of the range's pages (the real kernel's, 4 KiB), how many bytes have memory. */
size_t os_fake_resident_bytes(const void *address, size_t bytes);

/* Whether all of the range is usable. */
bool os_fake_is_committed(const void *address, size_t bytes);

/* Whether huge pages are not forbidden there. */
bool os_fake_may_have_huge_pages(const void *address);

/* Purging anything that overlaps the range is refused from now on; bytes 0: no range. */
void os_fake_lock_memory(const void *address, size_t bytes);

/* The break: where it is, and what other code of the process does to it. */
uintptr_t os_fake_break(void);
void *os_fake_foreign_sbrk(intptr_t delta_bytes);

/* It has moved it before the first call of ours, and this libc can tell. */
void os_fake_use_break(void);

/* Other code moves the break by this just before the next np_os_break_move with a delta other
 * than 0. */
void os_fake_foreign_sbrk_before_move(intptr_t delta_bytes);

/* The break may not come above its start plus this. */
void os_fake_limit_break(size_t bytes);

/* The time that np_os_coarse_ns tells stands still unless moved; it starts at one second. */
void os_fake_set_coarse_ns(uint64_t ns);
void os_fake_advance_coarse_ns(uint64_t ns);

/* np_os_fine_ns is ahead of it by so much for every call made since this was set; 0 at first. */
void os_fake_set_call_ns(uint64_t ns);

/* Called at the end of each barrier that is not refused, as if another thread did that before its
 * end; NULL: nothing is. */
void os_fake_at_barrier(void (*call)(void));

/* What the process is like. */
void os_fake_set_cpu_count(unsigned count);
void os_fake_set_environment(char **environment);
void os_fake_set_secure(bool is_secure);

#endif

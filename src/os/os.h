/* The contract with the kernel. Nothing above this layer makes a system call about memory.
 *
 * Vocabulary: reserve/release addresses, commit/purge memory. Reserved addresses are not accessible
 * until committed; committed memory reads as zero until written; purged memory reads as zero again.
 * Every function may refuse for any reason (limits, old kernels, seccomp): it answers NULL or false
 * and nothing has changed. None of them changes errno. All are thread-safe except the break, which
 * the caller serialises.
 *
 * Leaves out every policy. Tests put os_fake.c in place of this layer.
 */
#ifndef NP_OS_OS_H
#define NP_OS_OS_H

#include "attr.h"
#include "range.h"

/* Bytes of a system page: a power of two, 4 KiB to 64 KiB, the same for the life of the process. */
size_t np_os_page_bytes(void);

/* Committed, zero memory. bytes: a multiple of the system page. At any alignment, a power of two, and
 * in any case at that of a system page. */
void *np_os_map(size_t bytes, size_t alignment_bytes);

/* The same between two system pages that nobody may access. */
void *np_os_map_guarded(size_t bytes, size_t alignment_bytes);

/* Addresses without memory, aligned as asked; np_os_commit makes parts of them usable. They count
 * neither as resident nor as committed. */
void *np_os_reserve(size_t bytes, size_t alignment_bytes);

/* The same at exactly this address, or NULL. */
void *np_os_reserve_at(void *address, size_t bytes);

/* Makes reserved addresses usable. The range is whole system pages inside one reservation. */
bool np_os_commit(void *address, size_t bytes);

/* Gives addresses and memory back. The range is whole system pages, exactly ours. False: the kernel
 * could not split a mapping (too many mappings): the memory is purged then, the addresses
 * remain. */
bool np_os_release(void *address, size_t bytes);

/* Gives the memory back and keeps the addresses; they read as zero. False: locked memory, or
 * forbidden: still resident, contents undefined between the old ones and zero. */
bool np_os_purge(void *address, size_t bytes);

/* Purges several ranges, at least one, each whole system pages, in as few calls as the kernel
 * allows. Returns how many of the first went: fewer than count where the next one was refused,
 * which is then as np_os_purge leaves it. *calls is raised by the system calls made. */
size_t np_os_purge_ranges(const struct np_range *ranges, size_t count, size_t *calls);

/* Puts memory behind a range before it is touched, cheaper than a fault a page. False: not done,
 * which costs time only. */
bool np_os_populate(void *address, size_t bytes);

/* The kernel is not to put huge pages behind these addresses, on which nothing need be committed. False: not done; it may. */
bool np_os_forbid_huge_pages(void *address, size_t bytes);

enum np_os_remap_way { NP_OS_REMAP_IN_PLACE, NP_OS_REMAP_ANYWHERE };

/* Grows or shrinks a mapping, perhaps at another address; contents move along. NULL: unchanged. */
void *np_os_remap(void *address, size_t old_bytes, size_t new_bytes, enum np_os_remap_way way);

/* Whether other code of the process has memory from the break. Asked before the first call of the
 * two below. False also where it cannot be told: in static programs, whose libc begins by taking
 * some itself, and where libc does not say. True perhaps where others have only asked where it is,
 * if addresses are not random. */
bool np_os_is_break_used(void);

/* The end of the process's data segment (sbrk(0)), or NULL where there is none to be had. */
void *np_os_break_end(void);

/* Moves it by a signed number of bytes, as sbrk(2): the old end, or NULL if refused. Other code of
 * the process may call sbrk too, so the answer need not be what np_os_break_end said. */
void *np_os_break_move(intptr_t delta_bytes);

/* Time since some moment in the past; it never goes back and moves in steps of 1 to 10 ms. No
 * system call on most machines. */
uint64_t np_os_coarse_ns(void);

/* The same in the finest steps there are, at several times the price: for measuring system calls. */
uint64_t np_os_fine_ns(void);

/* Lets other threads run for about 0.1 ms; errno stays. */
void np_os_pause(void);

/* How many bytes of a range of whole system pages, all mapped, have memory behind them; all, where the
 * kernel does not say. One system call a MiB. */
size_t np_os_resident_bytes(const void *address, size_t bytes);

/* Which system pages of a range have memory behind them: a byte each, whose lowest bit says so. What is swapped out has
 * none. False: the kernel does not say, or not all of the range is mapped. */
bool np_os_residency(const void *address, size_t bytes, unsigned char *pages);

/* Whether np_os_barrier may work: asked of the kernel once, which is cheap while there is one thread. */
bool np_os_may_barrier(void);

/* Every other thread has passed a full memory barrier, between two of its instructions, since this was called. One that
 * does not run costs nothing, one that does some microseconds. False: the kernel does not do that (before 4.14, or
 * forbidden). */
bool np_os_barrier(void);

/* Processors the process may run on, at least 1. */
unsigned np_os_cpu_count(void);

/* Bits nobody outside the process can guess; as good as the kernel gives this early. */
uint64_t np_os_random(void);

/* True in the thread that the process began with. */
bool np_os_is_main_thread(void);

/* True when the process runs with privileges its caller lacks: the environment is not to be
 * believed. */
bool np_os_is_secure(void);

/* The environment, or NULL while libc has not set it up. */
char **np_os_environment(void);

#endif

/* Compiler attributes, and the only preprocessor conditions outside os/.
 *
 * Owns no state. Leaves out everything that knows what an allocator is.
 * Read next: check.h, lock.h.
 */
#ifndef NP_BASE_ATTR_H
#define NP_BASE_ATTR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NP_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define NP_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define NP_NOINLINE __attribute__((noinline))
#define NP_COLD __attribute__((noinline, cold))
#define NP_INLINE static inline __attribute__((always_inline))
#define NP_CACHE_LINE_BYTES 64

/* Large static objects of which a small program touches little or nothing. The library's link sorts sections by name,
 * which puts these behind all others, and so those on few pages. Zeros; or with an initial value. */
#define NP_SPARSE_ZERO __attribute__((section(".bss.sparse")))
#define NP_SPARSE_DATA __attribute__((section(".data.sparse")))
/* The same where what is touched is its beginning. */
#define NP_SPARSE_TAIL_DATA __attribute__((section(".data.rel.sparse_tail")))

/* Debug builds (1) check our own invariants at every slow step; release builds (0) do not. */
#ifndef NP_DEBUG_LEVEL
#define NP_DEBUG_LEVEL 0
#endif

#if defined(__SANITIZE_THREAD__)
#define NP_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NP_THREAD_SANITIZER 1
#endif
#endif
#ifndef NP_THREAD_SANITIZER
#define NP_THREAD_SANITIZER 0
#endif

/* Half a word, and where the upper one lies in it. */
#if UINTPTR_MAX > UINT32_MAX
typedef uint32_t np_half_word;
#else
typedef uint16_t np_half_word;
#endif
#define NP_HALF_WORD_BITS (8 * sizeof(np_half_word))
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NP_UPPER_HALF_AT sizeof(np_half_word)
#else
#define NP_UPPER_HALF_AT 0
#endif

/* A word that one thread writes with plain instructions, and that walkers (statistics, audits of
 * a live process) may read meanwhile and get a slightly old value of. It is atomic in C's terms
 * through these accessors; the add is not a read-modify-write of the machine's locked kind,
 * because the writer is alone. Under the thread sanitizer all three are atomic accesses so that it
 * sees what is meant. */
#define NP_OWNER_GET(word) __atomic_load_n(&(word), __ATOMIC_RELAXED)
#define NP_OWNER_RELEASE(word, value) __atomic_store_n(&(word), (value), __ATOMIC_RELEASE)
#define NP_OWNER_SET(word, value) __atomic_store_n(&(word), (value), __ATOMIC_RELAXED)
#if NP_THREAD_SANITIZER
#define NP_OWNER_ADD(word, delta) \
    __atomic_store_n(&(word), __atomic_load_n(&(word), __ATOMIC_RELAXED) + (delta), \
                     __ATOMIC_RELAXED)
#else
#define NP_OWNER_ADD(word, delta) ((word) += (delta)) /* one instruction, which matters in malloc */
#endif

/* What malloc stores as a list's head. Others read it when they have had all threads pass a barrier, of which the thread
 * sanitizer does not know; they say by NP_SEE_FAST that they have. */
#if NP_THREAD_SANITIZER
#define NP_FAST_SET(word, value) __atomic_store_n(&(word), (value), __ATOMIC_RELEASE)
#define NP_SEE_FAST(word) ((void)__atomic_load_n(&(word), __ATOMIC_ACQUIRE))
#else
#define NP_FAST_SET(word, value) ((word) = (value))
#define NP_SEE_FAST(word) ((void)0)
#endif

/* For what reads words that another thread may be writing plainly, and finds out afterwards whether that was so. */
#if NP_THREAD_SANITIZER
#define NP_NOT_SANITIZED __attribute__((no_sanitize("thread"), noinline))
#else
#define NP_NOT_SANITIZED
#endif

/* What the fast path reads of a word that others may write meanwhile, and orders by no more than the address that it was
 * asked about: it has seen what happened before the program got that. On x86-64 a plain load, which the compiler can
 * make part of the instruction that uses it; it is atomic there, and an acquire. */
#if defined(__x86_64__) && !NP_THREAD_SANITIZER
#define NP_FAST_GET(type, word) (*(type const *)(const void *)&(word))
#else
#define NP_FAST_GET(type, word) ((type)atomic_load_explicit(&(word), memory_order_acquire))
#endif

/* What a function is about to return: without this word gcc copies it to its register at the end of malloc. */
#if defined(__x86_64__)
#define NP_IN_RESULT_REGISTER(word) __asm__("" : "+a"(word))
#else
#define NP_IN_RESULT_REGISTER(word) ((void)0)
#endif

/* Asks for a word's cache line as its only holder. gcc's own builtin asks for a copy only, unless told that the processor has
 * the instruction; those of 64 bits that do not, pass over it. */
#if defined(__x86_64__)
#define NP_PREFETCH_TO_WRITE(word) __asm__ volatile("prefetchw %0" : : "m"(word))
#else
#define NP_PREFETCH_TO_WRITE(word) __builtin_prefetch(&(word), 1)
#endif

/* Thread-local words live in the static TLS block: no call to find them, not even in a library. */
#define NP_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))

NP_INLINE void np_spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

#endif

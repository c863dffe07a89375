/* neap: a malloc for Linux that gives memory back. The public interface.
 *
 * Every function here is neap's own and never libc's. libneap.so and libneap.a also define the
 * functions marked [interposed] under the name without `neap_`, and all forms of C++ operator new
 * and delete, so that a program which is preloaded or linked with either is served by neap
 * unchanged. Both names are one function: what one allocates the other may free. A build with a
 * sanitizer defines the neap_ names alone; then a block of one family must not be given to the
 * other.
 *
 * Common to all of them, unless a function says otherwise:
 * - Sizes and alignments are in bytes.
 * - Every block is aligned to 16 bytes at least, however small it is.
 * - A request of 0 bytes succeeds with a pointer that is unique until it is freed, as in glibc.
 * - A request that cannot be met returns NULL and sets errno to ENOMEM. That includes every size
 *   above PTRDIFF_MAX, before anything is tried. Success leaves errno as it was.
 * - Everything may be called from any thread, before main, after main, in constructors and
 *   destructors of all kinds and in the child of a fork; nothing may be called from a signal
 *   handler.
 * - A pointer that is given back must come from neap and be live. What neap can tell to be neither
 *   ends the process: one sentence on standard error (`neap: ... (address 0x...)`), then abort.
 * - No allocating or freeing function is a cancellation point.
 *
 * Left out: the heap in a fixed buffer (neap/region.h), and the environment variables, which
 * docs/tunables.md lists. */
#ifndef NEAP_NEAP_H
#define NEAP_NEAP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The version that this header describes, as text and as one number that can be compared. */
#define NEAP_VERSION_MAJOR 0
#define NEAP_VERSION_MINOR 1
#define NEAP_VERSION_PATCH 0
#define NEAP_VERSION_TEXT "0.1.0"
#define NEAP_VERSION \
    (NEAP_VERSION_MAJOR * 10000 + NEAP_VERSION_MINOR * 100 + NEAP_VERSION_PATCH)

/* What the compiler is told. Each is empty for a compiler that does not know it; none of them
 * changes the meaning of a correct program. */
#if defined(__GNUC__)
#define NEAP_API __attribute__((visibility("default")))
#define NEAP_FRESH __attribute__((malloc, warn_unused_result))
#define NEAP_USE_RESULT __attribute__((warn_unused_result))
#define NEAP_SIZE_IS(argument) __attribute__((alloc_size(argument)))
#define NEAP_SIZE_IS_PRODUCT(argument, other) __attribute__((alloc_size(argument, other)))
#define NEAP_ALIGN_IS(argument) __attribute__((alloc_align(argument)))
#else
#define NEAP_API
#define NEAP_FRESH
#define NEAP_USE_RESULT
#define NEAP_SIZE_IS(argument)
#define NEAP_SIZE_IS_PRODUCT(argument, other)
#define NEAP_ALIGN_IS(argument)
#endif

#if defined(__cplusplus) && __cplusplus >= 201103L
#define NEAP_NOTHROW noexcept
#elif defined(__cplusplus)
#define NEAP_NOTHROW throw()
#elif defined(__GNUC__)
#define NEAP_NOTHROW __attribute__((nothrow))
#else
#define NEAP_NOTHROW
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Two structs and two functions share their names, as in glibc; in C++ that hides constructors. */
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

/* The version of the library that is loaded, in the form of NEAP_VERSION. */
NEAP_API int neap_version(void) NEAP_NOTHROW;

/* A block of at least `size_bytes`, its contents unspecified; or NULL (ENOMEM).
 * C11 7.22.3.4, malloc(3). [interposed] */
NEAP_API void *neap_malloc(size_t size_bytes) NEAP_NOTHROW NEAP_FRESH NEAP_SIZE_IS(1);

/* A block for `count` objects of `size_bytes` each, all its bytes 0; or NULL (ENOMEM, also when the
 * product overflows). C11 7.22.3.2, calloc(3). [interposed] */
NEAP_API void *neap_calloc(size_t count, size_t size_bytes) NEAP_NOTHROW NEAP_FRESH
    NEAP_SIZE_IS_PRODUCT(1, 2);

/* A block of at least `size_bytes` that begins with what `block` held, up to the smaller of both
 * sizes, in the same place where possible; `block` is then gone. Or NULL (ENOMEM), and `block` is
 * as it was. A NULL `block` makes it neap_malloc. A size of 0 with a block frees it, returns NULL
 * and leaves errno alone, as in glibc (C23 leaves it undefined: do not write new code that does
 * it). An alignment beyond 16 that `block` was allocated with is not kept. C11 7.22.3.5,
 * realloc(3). [interposed] */
NEAP_API void *neap_realloc(void *block, size_t size_bytes) NEAP_NOTHROW NEAP_USE_RESULT
    NEAP_SIZE_IS(2);

/* neap_realloc(block, count * size_bytes), or NULL (ENOMEM, `block` untouched) when the product
 * overflows. POSIX.1-2024, reallocarray(3). Not interposed: libc's calls realloc, and so neap. */
NEAP_API void *neap_reallocarray(void *block, size_t count, size_t size_bytes) NEAP_NOTHROW
    NEAP_USE_RESULT NEAP_SIZE_IS_PRODUCT(2, 3);

/* A block of at least `size_bytes` whose address is a multiple of `alignment_bytes`; or NULL with
 * EINVAL (the alignment is not a power of two) or ENOMEM. The size need not be a multiple of the
 * alignment. C23 7.24.3.1, glibc since 2.38 (before, glibc treated it as memalign). [interposed] */
NEAP_API void *neap_aligned_alloc(size_t alignment_bytes, size_t size_bytes) NEAP_NOTHROW NEAP_FRESH
    NEAP_ALIGN_IS(1) NEAP_SIZE_IS(2);

/* As neap_aligned_alloc, but an alignment that is not a power of two is rounded up to the next one,
 * as in glibc; EINVAL where there is none, that is above SIZE_MAX / 2 + 1. memalign(3).
 * [interposed] */
NEAP_API void *neap_memalign(size_t alignment_bytes, size_t size_bytes) NEAP_NOTHROW NEAP_FRESH
    NEAP_SIZE_IS(2);

/* Stores in `*block` a block of at least `size_bytes` whose address is a multiple of
 * `alignment_bytes`, and returns 0. Or returns EINVAL (the alignment is not a power of two, or not
 * a multiple of sizeof(void *)) or ENOMEM, and leaves `*block` alone. errno is left alone always.
 * POSIX.1-2017, posix_memalign(3). [interposed] */
NEAP_API int neap_posix_memalign(void **block, size_t alignment_bytes, size_t size_bytes)
    NEAP_NOTHROW NEAP_USE_RESULT;

/* A block of at least `size_bytes`, aligned to a system page; or NULL (ENOMEM). Obsolete:
 * valloc(3). [interposed] */
NEAP_API void *neap_valloc(size_t size_bytes) NEAP_NOTHROW NEAP_FRESH NEAP_SIZE_IS(1);

/* As neap_valloc, the size rounded up to whole system pages; or NULL (ENOMEM, also when rounding
 * overflows). 0 stays 0, as in glibc. Obsolete: pvalloc(3). [interposed] */
NEAP_API void *neap_pvalloc(size_t size_bytes) NEAP_NOTHROW NEAP_FRESH;

/* Ends the life of `block`; NULL does nothing. errno is preserved. Memory that this leaves free
 * beyond the trim threshold (see NEAP_M_TRIM_THRESHOLD) is returned to the system before the call
 * returns, wherever it lies: no later call is needed. C11 7.22.3.3, POSIX.1-2024, free(3).
 * [interposed] */
NEAP_API void neap_free(void *block) NEAP_NOTHROW;

/* neap_free for a block of malloc, calloc or realloc, from a caller who knows the size that was
 * asked for (for calloc the product). Another size, or a block of an aligned function, is
 * undefined by C23; neap's default build does not look at it. C23 7.24.3.4. [interposed] */
NEAP_API void neap_free_sized(void *block, size_t size_bytes) NEAP_NOTHROW;

/* The same for a block of aligned_alloc, with the alignment and the size that were asked for.
 * C23 7.24.3.5. [interposed] */
NEAP_API void neap_free_aligned_sized(void *block, size_t alignment_bytes, size_t size_bytes)
    NEAP_NOTHROW;

/* How many bytes from `block` on may be used: at least what was asked for, and the same answer for
 * as long as the block lives. 0 for NULL. malloc_usable_size(3). [interposed] */
NEAP_API size_t neap_malloc_usable_size(void *block) NEAP_NOTHROW;

/* Parameters of neap_mallopt, with glibc's numbers. The defaults and all the environment variables
 * that set the same knobs are in docs/tunables.md.
 * MXFAST          freed blocks of requests up to so many bytes are held back and not returned
 *                 until a trim, as ptmalloc's fast bins do; 0 (the default): none.
 * TRIM_THRESHOLD  free memory above so many bytes is returned; 0 returns all, -1 nothing.
 * TOP_PAD         so many bytes are asked of sbrk beyond each need, and kept at each trim.
 * MMAP_THRESHOLD  requests of so many bytes or more that no free memory in the arenas satisfies get
 *                 a mapping of their own. Rises to the size of each mapped block that is freed, up
 *                 to 32 MiB, until one of these four (TRIM_THRESHOLD .. MMAP_MAX) has been set.
 * MMAP_MAX        mappings at a time, at most; 0: none.
 * CHECK_ACTION    not done, so mallopt answers 0 (glibc has ignored it since 2.26).
 * PERTURB         when not 0, the low byte's complement fills fresh blocks (not calloc's) and the
 *                 low byte itself fills freed ones.
 * ARENA_TEST      so many arenas may be made before the processors are counted.
 * ARENA_MAX       arenas at most; 0: eight for each processor. */
#define NEAP_M_MXFAST 1
#define NEAP_M_TRIM_THRESHOLD (-1)
#define NEAP_M_TOP_PAD (-2)
#define NEAP_M_MMAP_THRESHOLD (-3)
#define NEAP_M_MMAP_MAX (-4)
#define NEAP_M_CHECK_ACTION (-5)
#define NEAP_M_PERTURB (-6)
#define NEAP_M_ARENA_TEST (-7)
#define NEAP_M_ARENA_MAX (-8)

/* Sets a parameter from now on, for the whole process. Returns 1 when it is obeyed; 0, and nothing
 * has changed, when neap does not know the parameter, does not do it, or the value is out of range
 * (glibc answers 1 to some of these). errno is left alone. mallopt(3). [interposed] */
NEAP_API int neap_mallopt(int parameter, int value) NEAP_NOTHROW;

/* Returns free memory to the system, that of all arenas and of every thread as far as it can be
 * taken without the thread's help (the slabs that another thread takes its next blocks from stay),
 * save `pad_bytes` at the top of the main arena. Returns 1 if something went, 0 if nothing did.
 * Never needed for the promise that neap_free makes; it takes what the trim threshold keeps.
 * malloc_trim(3). [interposed] */
NEAP_API int neap_malloc_trim(size_t pad_bytes) NEAP_NOTHROW;

/* neap_malloc_trim(0) in parts, for a program that has some time now and then and must not stop for
 * long: goes on until about `most_bytes` have been returned or `most_us` microseconds have passed,
 * whichever comes first; 0 sets no limit of that kind. Returns how many bytes of memory went, and 0
 * only when nothing was left that could, so it is called again until it says 0. Whoever frees in
 * between is served as always.
 *
 * The bytes may be exceeded by less than 128 KiB. The clock is looked at after every 4 MiB, which
 * take about a millisecond to return, or several if they lie scattered; a few microseconds more go
 * at each call into the slabs that the calling thread and ended ones hold open. */
NEAP_API size_t neap_trim(size_t most_bytes, unsigned most_us) NEAP_NOTHROW;

/* The answer of neap_mallinfo2, laid out as glibc's struct mallinfo2.
 * uordblks + fordblks <= arena, always; memory that has been returned is in neither of the two, and
 * that is the one difference from glibc's meaning. */
struct neap_mallinfo2 {
    size_t arena;    /* bytes that the arenas hold from the system; mapped objects are not in it */
    size_t ordblks;  /* how many free pieces there are: free runs and free slots */
    size_t smblks;   /* how many freed blocks are held back because of M_MXFAST */
    size_t hblks;    /* how many objects have a mapping of their own */
    size_t hblkhd;   /* bytes in those mappings */
    size_t usmblks;  /* 0, as in glibc */
    size_t fsmblks;  /* bytes in the blocks that smblks counts */
    size_t uordblks; /* bytes in live blocks of the arenas */
    size_t fordblks; /* bytes that are free and may be resident */
    size_t keepcost; /* bytes at the top of the main arena that malloc_trim(0) could return */
};

/* The same as int, for programs older than glibc 2.33; INT_MAX for what does not fit. */
struct neap_mallinfo {
    int arena;
    int ordblks;
    int smblks;
    int hblks;
    int hblkhd;
    int usmblks;
    int fsmblks;
    int uordblks;
    int fordblks;
    int keepcost;
};

/* Totals of all arenas, counted at the call by walking them. Other threads go on meanwhile, so the
 * figures need not belong to one single moment. mallinfo(3), mallinfo2(3). [interposed] */
NEAP_API struct neap_mallinfo neap_mallinfo(void) NEAP_NOTHROW;
NEAP_API struct neap_mallinfo2 neap_mallinfo2(void) NEAP_NOTHROW;

/* Writes the bytes held and in use to standard error, by arena and in all, and the largest number
 * of mappings there has been, in glibc's words. Uses no stdio and does not allocate.
 * malloc_stats(3). [interposed] */
NEAP_API void neap_malloc_stats(void) NEAP_NOTHROW;

/* Writes the state of the allocator as XML to `stream`, with glibc's elements, version "1"; others
 * may come between them. `options` must be 0. Returns 0, or EINVAL for other options (as glibc
 * does; its man page says -1). Whether the stream took it all, ferror(stream) tells.
 * malloc_info(3). [interposed] */
NEAP_API int neap_malloc_info(int options, FILE *stream) NEAP_NOTHROW;

/* Where all memory is, what went back, and how soon: the answer of neap_stats and neap_stats_arena.
 *
 * Bytes, calls and nanoseconds as the names say. Every member has 64 bits, and later versions add
 * members at the end only. Members marked [P] belong to the process and not to an arena: in the
 * answer of neap_stats_arena they are 0.
 *
 * Every byte of address space that neap has from the system for blocks is in one place:
 *
 *   arena_bytes + mapped_bytes =
 *       live_bytes + hole_bytes + retained_bytes + refused_bytes + cold_bytes
 *
 * This holds whenever no thread is inside neap, and, because the walk counts each byte once, while
 * threads are at work as well; then the figures of slabs in use may be a few blocks old. Of these
 * places all but cold_bytes may be resident. What is live and has never been written is counted as
 * resident too: neap does not know. So in a program that has written all that it allocated
 *
 *   live_bytes + hole_bytes + retained_bytes + refused_bytes + metadata_bytes
 *
 * is what neap adds to the process's resident memory (RssAnon in /proc/self/status), save some ten
 * pages of the library's own data. */
struct neap_stats {
    uint64_t size_bytes; /* of this struct in the version of the library that filled it in */

    /* Address space. */
    uint64_t arena_bytes;  /* of the arenas: sbrk, and reserved with mmap and in use */
    uint64_t mapped_bytes; /* [P] of blocks with a mapping of their own */

    /* In the program's hands. A block counts with what is set aside for it: its whole slot, or
     * whole pages of 4 KiB, or its whole mapping. */
    uint64_t live_bytes;
    uint64_t live_count;
    uint64_t medium_bytes; /* of these, in blocks above 16 KiB that lie in arenas */
    uint64_t medium_count;
    uint64_t mapped_count; /* [P] of these, with a mapping of their own; bytes: mapped_bytes */
    uint64_t requested_bytes; /* what the program asked for in medium and mapped blocks; of the
                                 smaller ones that is not kept: it is at most 1/8 less than what is
                                 set aside, or 15 bytes each, and twice that while a program uses
                                 little of a size */

    /* Free bytes on system pages that hold a live one: nothing can return them. Also free pages in
     * slabs that another thread has open, as far as only that thread knows that they are free: at
     * most 1 MiB for each thread (NEAP_OPEN_BYTES). */
    uint64_t hole_bytes;

    /* Free and resident, in whole system pages: what could go back, and the trim threshold
     * bounds. */
    uint64_t retained_bytes;         /* the sum of the four places */
    uint64_t retained_top_bytes;     /* at the end of each arena, */
    uint64_t retained_run_bytes;     /* between its blocks, */
    uint64_t retained_remote_bytes;  /* in slabs that no thread has open, */
    uint64_t retained_current_bytes; /* and in slabs that a thread allocates from now */

    /* As retained, but the system refused to take it (locked memory). */
    uint64_t refused_bytes;

    /* No memory behind it: returned, or never used. */
    uint64_t cold_bytes;

    /* Bookkeeping, apart from all of the above. */
    uint64_t metadata_bytes;        /* [P] with memory behind it, as the kernel says; pages that
                                       have only been read are among them */
    uint64_t metadata_mapped_bytes; /* [P] address space for it */

    /* The most there has been, each at its own time. Of the process, where arenas have one each,
     * the sum of these: no less than what there was at one time. */
    uint64_t arena_max_bytes;    /* of arena_bytes */
    uint64_t used_max_bytes;     /* of live_bytes in arenas, slabs in use counted whole: at most
                                    64 KiB more for each slab, 128 KiB with blocks above 8 KiB */
    uint64_t mapped_max_bytes;   /* [P] */
    uint64_t mapped_max_count;   /* [P] */
    uint64_t retained_max_bytes; /* [P] what free left retained in the end: of all but
                                    retained_current_bytes */

    /* What went back to the system since the start: memory, not addresses, and the calls it
     * took. */
    uint64_t returned_sbrk_bytes;    /* [P] the end of the main arena, with its addresses */
    uint64_t returned_sbrk_calls;    /* [P] */
    uint64_t returned_madvise_bytes; /* [P] madvise or process_madvise */
    uint64_t returned_madvise_calls; /* [P] */
    uint64_t returned_munmap_bytes;  /* [P] blocks with a mapping of their own, whole or shrunk by
                                        realloc; touched or not */
    uint64_t returned_munmap_calls;  /* [P] */
    uint64_t returning_ns;           /* [P] time spent in these calls, all threads together */
    uint64_t refaulted_bytes;        /* [P] returned before, and taken for blocks again */

    /* How much of what was freed goes back, and how soon. *Freed* are bytes of whole system pages
     * that became free of live blocks and were retained, be it for a moment; those taken for blocks
     * again while still resident are *reused*. To tell which bytes a return took, retained memory
     * is seen as a queue: the longest free goes first. So what is retained counts as what was freed
     * last, and no figure is better than it should be. Blocks with a mapping of their own are left
     * out: they go back at once, always. Pages of slabs that a thread has open are freed when it
     * closes the slab. */
    uint64_t freed_bytes;  /* [P] since the start; less reused and returned ones: retained now */
    uint64_t reused_bytes; /* [P] since the start */

    /* The same of the last 64 MiB that were freed, or all if there were less:
     * recent_freed = recent_returned + recent_reused + recent_waiting. The part that went back is
     * recent_returned_bytes / recent_freed_bytes. */
    uint64_t recent_freed_bytes;    /* [P] 63.75 MiB to 64 MiB, if so much was freed */
    uint64_t recent_returned_bytes; /* [P] */
    uint64_t recent_reused_bytes;   /* [P] */
    uint64_t recent_waiting_bytes;  /* [P] neither, as yet */
    uint64_t recent_delay_mean_ns;  /* [P] from being freed to being returned, of the returned ones;
                                       measured at every 256th KiB, to the step of the kernel's
                                       coarse clock, 1 to 10 ms; 0 if no such KiB was returned */
    uint64_t recent_delay_max_ns;   /* [P] the longest of these */
    uint64_t recent_waiting_ns;     /* [P] how long the longest of those waiting has waited */

    /* In force now. */
    uint64_t trim_threshold_bytes; /* [P] what may be retained, the allowance included; UINT64_MAX:
                                      anything */
    uint64_t trim_allowance_bytes; /* [P] of that, what is granted because the program has spent
                                      over 1/32 of its time taking back what had been returned */
    uint64_t mmap_threshold_bytes; /* [P] from where blocks get a mapping of their own */

    uint64_t arena_count;       /* 1 in the answer of neap_stats_arena */
    uint64_t heap_count;        /* [P] threads that have allocated and not ended */
    uint64_t parked_heap_count; /* [P] heaps of ended threads that wait for a new one */
};

/* Fills in the first `size_bytes` bytes of *stats, which the caller sets to sizeof(struct
 * neap_stats) of its own header: a member that the library does not have becomes 0, and
 * `size_bytes` in the answer says which those are. Counted at the call by walking all arenas, one
 * at a time, under their locks, which takes about a microsecond for each MiB in use. Does not
 * allocate. Returns 0, or EINVAL for a size below 8. */
NEAP_API int neap_stats(struct neap_stats *stats, size_t size_bytes) NEAP_NOTHROW;

/* The same of one arena: they are numbered from 0, the main one, without gaps, and none ever goes.
 * Returns ENOENT if there is no arena `index`. */
NEAP_API int neap_stats_arena(unsigned index, struct neap_stats *stats, size_t size_bytes)
    NEAP_NOTHROW;

/* Writes a table of all memory to `stream`, with the columns of NuttX's `free` and two more:
 *
 *       total       used       free    maxused    maxfree  nused  nfree        rss returnable name
 *
 * and a row for each arena (arena0, ...), one for blocks with a mapping of their own (large), and
 * one for all together (total). Of arenas, in bytes but for the two counts:
 *
 *   total       the most address space that the arena has had: what it gave back counts as free, so
 *               total is as fixed as the region of a heap in NuttX
 *   used        live blocks, as live_bytes of struct neap_stats; free is total - used
 *   maxused     the most that was used; slabs in use count whole there, so it may be too high by
 *               their free slots (64 KiB for a slab, 128 KiB for blocks above 8 KiB), never too low
 *   maxfree     the largest piece of free addresses, with memory behind it or not
 *   nused       live blocks
 *   nfree       free pieces: runs of pages, and slots
 *   rss         what of total may be resident: live blocks, and free memory that is not cold
 *   returnable  what of rss is free and could go back: retained_bytes of struct neap_stats
 *
 * In every row used + free = total, used <= maxused <= total, maxfree <= free and returnable <= rss
 * <= total. In the row `total`, maxused is the sum of the others', so no less than what was used at
 * one time. Columns widen for numbers that do not fit; they are always apart.
 *
 * No lock of neap's is held while a row is written, so `stream` may allocate, as stdio does for its
 * first byte. Whether it took it all, ferror(stream) tells. */
NEAP_API void neap_free_table(FILE *stream) NEAP_NOTHROW;

#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#ifdef __cplusplus
}
#endif

#endif

// Little crimes against an allocator, each in a process of its own: what does it do about them?
//
//   crimes            commits all, and prints a line for each: class, crime, verdict
//   crimes NAME       commits one, in this process
//   crimes --totals   commits all, and prints a line for each class
//
// The allocator is the one of the process: put another one there with LD_PRELOAD. A crime is
// *stopped* if the process is ended by a signal, or if what the crime was for does not come about
// (old data are gone, the block is not handed out again); it is *told* if something was said on
// standard error, too. Everything else is silent. Owns nothing; compiled without optimisation, so
// that nothing is left out.
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <new>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crimes.h"

namespace {

// --- double free

bool free_twice(std::size_t size_bytes, long)
{
    char *block = block_of(size_bytes);

    std::free(block);
    std::free(hidden(block));
    return true;
}

bool free_twice_among(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    std::free(hidden(block));
    return true;
}

bool free_again_after(std::size_t size_bytes, long others)
{
    char *block = block_of(size_bytes);
    std::vector<char *> blocks;

    for (long i = 0; i < others; i++)
        blocks.push_back(block_of(size_bytes));
    std::free(block);
    for (char *other : blocks)
        std::free(other);
    std::free(hidden(block));
    return true;
}

bool free_again_after_others_came(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    for (int i = 0; i < 20; i++)
        kept_blocks[20 + i] = block_of(size_bytes / 3 + 200);
    std::free(hidden(block));
    return true;
}

bool free_here_then_there(std::size_t size_bytes, long)
{
    char *block = block_of(size_bytes);

    std::free(block);
    free_elsewhere(hidden(block));
    return true;
}

bool free_there_then_here(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    free_elsewhere(block);
    std::free(hidden(block));
    return true;
}

bool free_there_twice(std::size_t size_bytes, long)
{
    char *block = block_of(size_bytes);

    free_elsewhere(block);
    free_elsewhere(hidden(block));
    return true;
}

bool realloc_freed(std::size_t size_bytes, long more)
{
    char *block = block_of(size_bytes);

    std::free(block);
    kept_blocks[0] = static_cast<char *>(
        std::realloc(hidden(block), size_bytes + static_cast<std::size_t>(more)));
    return true;
}

bool free_after_realloc_moved(std::size_t size_bytes, long)
{
    char *block = block_of(size_bytes);
    char *old = hidden(block);

    kept_blocks[1] = block_of(size_bytes);
    kept_blocks[0] = static_cast<char *>(std::realloc(block, 3 * size_bytes));
    if (kept_blocks[0] == old)
        return false; // it has not moved, so there is no crime to commit
    std::free(old);
    return true;
}

bool free_after_realloc_to_none(std::size_t size_bytes, long)
{
    char *block = block_of(size_bytes);
    char *old = hidden(block);

    kept_blocks[0] = static_cast<char *>(std::realloc(block, 0));
    std::free(old);
    return true;
}

bool free_written_block_again(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    std::memset(hidden(block), 0x41, size_bytes < 32 ? size_bytes : 32);
    std::free(hidden(block));
    return true;
}

bool free_aligned_twice(std::size_t size_bytes, long alignment)
{
    void *block = aligned_alloc(static_cast<std::size_t>(alignment), size_bytes);

    std::free(block);
    std::free(hidden(block));
    return true;
}

bool free_calloced_twice(std::size_t size_bytes, long)
{
    void *block = std::calloc(1, size_bytes);

    std::free(block);
    std::free(hidden(block));
    return true;
}

bool delete_twice(std::size_t size_bytes, long)
{
    char *block = new char[size_bytes];

    delete[] block;
    delete[] hidden(block);
    return true;
}

bool free_none_sized_twice(std::size_t, long)
{
    void *block = hidden(std::malloc(0));

    std::free(block);
    std::free(hidden(block));
    return true;
}

// --- invalid, unaligned and foreign pointers

bool free_beside(std::size_t size_bytes, long distance)
{
    char *block = block_among_others(size_bytes);

    std::free(hidden(block + distance));
    return true;
}

bool free_beside_elsewhere(std::size_t size_bytes, long distance)
{
    char *block = block_among_others(size_bytes);

    free_elsewhere(hidden(block + distance));
    return true;
}

bool realloc_beside(std::size_t size_bytes, long distance)
{
    char *block = block_among_others(size_bytes);

    kept_blocks[20] = static_cast<char *>(std::realloc(hidden(block + distance), size_bytes + 500));
    return true;
}

bool size_beside(std::size_t size_bytes, long distance)
{
    char *block = block_among_others(size_bytes);

    return malloc_usable_size(hidden(block + distance)) != SIZE_MAX;
}

bool free_far_beyond(std::size_t size_bytes, long count)
{
    char *block = block_of(size_bytes);
    std::size_t slot_bytes = (malloc_usable_size(block) + 15) & ~std::size_t{15};

    std::free(hidden(block + static_cast<std::size_t>(count) * slot_bytes));
    return true;
}

char *foreign(long which)
{
    static char *mapping;

    switch (which) {
    case 0:
        return statics + 64;
    case 1:
        return reinterpret_cast<char *>(16);
    case 2:
        return reinterpret_cast<char *>(UINTPTR_MAX - 15);
    case 3:
        return reinterpret_cast<char *>(0x123456789abcdef0);
    case 4:
        return reinterpret_cast<char *>(reinterpret_cast<std::uintptr_t>(&free_twice) & ~15UL);
    case 5:
        return static_cast<char *>(mmap(nullptr, 1 * MIB, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) +
               4096;
    default:
        mapping = static_cast<char *>(
            mmap(nullptr, 64 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        std::memset(mapping, 0x33, 64 * KIB);
        return mapping + 256;
    }
}

bool free_foreign(std::size_t, long which)
{
    kept_blocks[0] = block_of(100);
    std::free(hidden(foreign(which)));
    return true;
}

bool realloc_foreign(std::size_t size_bytes, long which)
{
    kept_blocks[0] = block_of(100);
    kept_blocks[1] = static_cast<char *>(std::realloc(hidden(foreign(which)), size_bytes));
    return true;
}

bool size_of_foreign(std::size_t, long which)
{
    kept_blocks[0] = block_of(100);
    return malloc_usable_size(hidden(foreign(which))) != SIZE_MAX;
}

bool free_of_stack(std::size_t size_bytes, long)
{
    alignas(16) char local[512];

    std::memset(local, 0, sizeof local);
    kept_blocks[0] = block_of(size_bytes);
    std::free(hidden(local + 32));
    return true;
}

bool realloc_of_stack(std::size_t size_bytes, long)
{
    alignas(16) char local[512];

    std::memset(local, 0, sizeof local);
    kept_blocks[0] = block_of(size_bytes);
    kept_blocks[1] = static_cast<char *>(std::realloc(hidden(local + 32), size_bytes));
    return true;
}

bool delete_of_static(std::size_t, long)
{
    delete[] hidden(statics + 64);
    return true;
}

// --- beyond the block

bool overflow(std::size_t size_bytes, long distance)
{
    char *block = block_of(size_bytes);

    spoil(hidden(block) + size_bytes, static_cast<std::size_t>(distance));
    std::free(block);
    go_on(size_bytes);
    return true;
}

bool overflow_among(std::size_t size_bytes, long distance)
{
    char *block = block_among_others(size_bytes);

    spoil(hidden(block) + size_bytes, static_cast<std::size_t>(distance));
    std::free(block);
    for (int i = 0; i < 10; i++)
        std::free(kept_blocks[i]);
    go_on(size_bytes);
    return true;
}

bool overflow_by_zero(std::size_t size_bytes, long)
{
    char *block = block_of(size_bytes);

    hidden(block)[size_bytes] = 0;
    std::free(block);
    go_on(size_bytes);
    return true;
}

bool underflow(std::size_t size_bytes, long distance)
{
    char *block = block_of(size_bytes);

    spoil(hidden(block) - distance, static_cast<std::size_t>(distance));
    std::free(block);
    go_on(size_bytes);
    return true;
}

bool underflow_among(std::size_t size_bytes, long distance)
{
    char *block = block_among_others(size_bytes);

    spoil(hidden(block) - distance, static_cast<std::size_t>(distance));
    std::free(block);
    for (int i = 0; i < 10; i++)
        std::free(kept_blocks[i]);
    go_on(size_bytes);
    return true;
}

bool overflow_of_usable(std::size_t size_bytes, long distance)
{
    char *block = block_of(size_bytes);

    spoil(hidden(block) + malloc_usable_size(block), static_cast<std::size_t>(distance));
    std::free(block);
    go_on(size_bytes);
    return true;
}

// --- after the free

bool write_after_free(std::size_t size_bytes, long offset)
{
    char *block = block_of(size_bytes);

    std::free(block);
    std::memset(hidden(block) + offset, 0x41, 8);
    go_on(size_bytes);
    return true;
}

bool write_after_free_among(std::size_t size_bytes, long offset)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    std::memset(hidden(block) + offset, 0x41, 8);
    go_on(size_bytes);
    return true;
}

bool write_all_after_free(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    std::memset(hidden(block), 0x41, size_bytes);
    return true;
}

bool is_filled(const char *block, std::size_t from, std::size_t to)
{
    for (std::size_t i = from; i < to; i++)
        if (block[i] == 0x5A)
            return true;
    return false;
}

bool read_after_free(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    return is_filled(hidden(block), 0, size_bytes);
}

bool read_old_data_in_new_block(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);
    bool is_there = false;

    std::free(block);
    for (int i = 0; i < 8; i++) {
        auto *again = static_cast<char *>(hidden(std::malloc(size_bytes)));

        is_there |= is_filled(again, 0, size_bytes);
        kept_blocks[20 + i] = again;
    }
    return is_there;
}

bool calloc_shows_old_data(std::size_t size_bytes, long)
{
    std::free(block_among_others(size_bytes));
    return is_filled(static_cast<char *>(hidden(std::calloc(1, size_bytes))), 0, size_bytes);
}

bool is_reused_at_once(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);
    auto address = reinterpret_cast<std::uintptr_t>(block);

    std::free(block);
    return reinterpret_cast<std::uintptr_t>(hidden(std::malloc(size_bytes))) == address;
}

bool is_reused_soon(std::size_t size_bytes, long)
{
    char *block = block_of(size_bytes);
    auto address = reinterpret_cast<std::uintptr_t>(block);

    std::free(block);
    for (int i = 0; i < 4; i++)
        if (reinterpret_cast<std::uintptr_t>(hidden(std::malloc(size_bytes))) == address)
            return true;
    return false;
}

// --- blocks of no bytes

bool write_to_none(std::size_t, long count)
{
    char *block = static_cast<char *>(hidden(std::malloc(0)));

    spoil(block, static_cast<std::size_t>(count));
    std::free(block);
    return true;
}

bool read_of_none(std::size_t, long)
{
    volatile char *block = static_cast<char *>(hidden(std::malloc(0)));
    char byte = block[0];

    (void)byte;
    return true;
}

bool write_to_none_of_calloc(std::size_t, long)
{
    char *block = static_cast<char *>(hidden(std::calloc(0, 8)));

    block[0] = 1;
    std::free(block);
    return true;
}

bool write_to_none_of_new(std::size_t, long)
{
    char *block = static_cast<char *>(::operator new(0));

    hidden(block)[0] = 1;
    ::operator delete(block);
    return true;
}

// --- the wrong way, or the wrong size

bool sized_free(std::size_t size_bytes, long delta)
{
    char *block = block_of(size_bytes);

    if (free_sized == nullptr)
        return true;
    free_sized(block, size_bytes + static_cast<std::size_t>(delta));
    return true;
}

bool aligned_sized_free(std::size_t size_bytes, long delta)
{
    void *block = aligned_alloc(64, size_bytes);

    if (free_aligned_sized == nullptr)
        return true;
    free_aligned_sized(block, 64, size_bytes + static_cast<std::size_t>(delta));
    return true;
}

// One that lies at a multiple of the alignment by chance, as the first of a page does, can be freed
// as if it had been asked for that way.
char *block_between_multiples(std::size_t size_bytes, long alignment,
                              char *(*take)(std::size_t size_bytes))
{
    char *block;

    do
        block = take(size_bytes);
    while (reinterpret_cast<std::uintptr_t>(block) % static_cast<std::uintptr_t>(alignment) == 0);
    return block;
}

bool free_with_wrong_alignment(std::size_t size_bytes, long alignment)
{
    char *block = block_between_multiples(size_bytes, alignment, block_of);

    if (free_aligned_sized == nullptr)
        return true;
    free_aligned_sized(block, static_cast<std::size_t>(alignment), size_bytes);
    return true;
}

bool sized_delete(std::size_t size_bytes, long delta)
{
    void *block = hidden(::operator new(size_bytes));

    ::operator delete(block, size_bytes + static_cast<std::size_t>(delta));
    return true;
}

bool sized_array_delete(std::size_t size_bytes, long delta)
{
    void *block = hidden(::operator new[](size_bytes));

    ::operator delete[](block, size_bytes + static_cast<std::size_t>(delta));
    return true;
}

char *new_block_of(std::size_t size_bytes)
{
    return static_cast<char *>(hidden(::operator new(size_bytes)));
}

bool aligned_delete(std::size_t size_bytes, long alignment)
{
    ::operator delete(block_between_multiples(size_bytes, alignment, new_block_of),
                      static_cast<std::align_val_t>(alignment));
    return true;
}

bool sized_delete_with_wrong_alignment(std::size_t size_bytes, long alignment)
{
    ::operator delete(block_between_multiples(size_bytes, alignment, new_block_of), size_bytes,
                      static_cast<std::align_val_t>(alignment));
    return true;
}

bool plain_delete_of_aligned(std::size_t size_bytes, long alignment)
{
    ::operator delete(hidden(::operator new(size_bytes, static_cast<std::align_val_t>(alignment))));
    return true;
}

bool malloc_then_delete(std::size_t size_bytes, long)
{
    ::operator delete(hidden(std::malloc(size_bytes)));
    return true;
}

bool new_then_free(std::size_t size_bytes, long)
{
    std::free(hidden(::operator new(size_bytes)));
    return true;
}

bool new_array_then_delete(std::size_t size_bytes, long)
{
    ::operator delete(hidden(::operator new[](size_bytes)));
    return true;
}

bool new_then_delete_array(std::size_t size_bytes, long)
{
    ::operator delete[](hidden(::operator new(size_bytes)));
    return true;
}

bool new_then_realloc(std::size_t size_bytes, long)
{
    kept_blocks[0] = static_cast<char *>(std::realloc(hidden(::operator new(size_bytes)), 4000));
    return true;
}

// --- malloc_usable_size

bool size_of_freed(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    return malloc_usable_size(hidden(block)) != SIZE_MAX;
}

// Stopped where the answer leaves nothing to write to that was not asked for.
bool size_invites_writes(std::size_t size_bytes, long)
{
    char *block = block_of(size_bytes);

    return malloc_usable_size(block) > size_bytes;
}

const Crime crimes[] = {
    {"double free", "twice.16", free_twice, 16, 0},
    {"double free", "twice.24", free_twice, 24, 0},
    {"double free", "twice.100", free_twice, 100, 0},
    {"double free", "twice.1000", free_twice, 1000, 0},
    {"double free", "twice.5000", free_twice, 5000, 0},
    {"double free", "twice.40000", free_twice, 40000, 0},
    {"double free", "twice.300000", free_twice, 300000, 0},
    {"double free", "twice.4M", free_twice, 4 * MIB, 0},
    {"double free", "twice_among.100", free_twice_among, 100, 0},
    {"double free", "twice_among.1000", free_twice_among, 1000, 0},
    {"double free", "twice_among.40000", free_twice_among, 40000, 0},
    {"double free", "twice_among.300000", free_twice_among, 300000, 0},
    {"double free", "after_one.100", free_again_after, 100, 1},
    {"double free", "after_one.5000", free_again_after, 5000, 1},
    {"double free", "after_one.40000", free_again_after, 40000, 1},
    {"double free", "after_many.100", free_again_after, 100, 1000},
    {"double free", "after_many.1000", free_again_after, 1000, 300},
    {"double free", "others_came.100", free_again_after_others_came, 100, 0},
    {"double free", "others_came.40000", free_again_after_others_came, 40000, 0},
    {"double free", "here_there.100", free_here_then_there, 100, 0},
    {"double free", "here_there.5000", free_here_then_there, 5000, 0},
    {"double free", "here_there.300000", free_here_then_there, 300000, 0},
    {"double free", "there_here.100", free_there_then_here, 100, 0},
    {"double free", "there_here.5000", free_there_then_here, 5000, 0},
    {"double free", "there_here.40000", free_there_then_here, 40000, 0},
    {"double free", "there_twice.100", free_there_twice, 100, 0},
    {"double free", "realloc_freed.100", realloc_freed, 100, 500},
    {"double free", "realloc_freed.5000", realloc_freed, 5000, 500},
    {"double free", "realloc_freed.40000", realloc_freed, 40000, 50000},
    {"double free", "realloc_freed.300000", realloc_freed, 300000, 50000},
    {"double free", "realloc_freed_same.100", realloc_freed, 100, 0},
    {"double free", "after_realloc.100", free_after_realloc_moved, 100, 0},
    {"double free", "after_realloc.5000", free_after_realloc_moved, 5000, 0},
    {"double free", "after_realloc_none.100", free_after_realloc_to_none, 100, 0},
    {"double free", "written.100", free_written_block_again, 100, 0},
    {"double free", "written.5000", free_written_block_again, 5000, 0},
    {"double free", "aligned.1024", free_aligned_twice, 1024, 256},
    {"double free", "aligned.65536", free_aligned_twice, 65536, 65536},
    {"double free", "calloced.64", free_calloced_twice, 64, 0},
    {"double free", "delete.100", delete_twice, 100, 0},
    {"double free", "none", free_none_sized_twice, 0, 0},

    {"invalid pointer", "free+1.100", free_beside, 100, 1},
    {"invalid pointer", "free+4.100", free_beside, 100, 4},
    {"invalid pointer", "free+8.100", free_beside, 100, 8},
    {"invalid pointer", "free+15.100", free_beside, 100, 15},
    {"invalid pointer", "free+16.100", free_beside, 100, 16},
    {"invalid pointer", "free+8.24", free_beside, 24, 8},
    {"invalid pointer", "free+16.1000", free_beside, 1000, 16},
    {"invalid pointer", "free+512.1000", free_beside, 1000, 512},
    {"invalid pointer", "free+1.5000", free_beside, 5000, 1},
    {"invalid pointer", "free+4096.10000", free_beside, 10000, 4096},
    {"invalid pointer", "free+16.40000", free_beside, 40000, 16},
    {"invalid pointer", "free+4096.40000", free_beside, 40000, 4096},
    {"invalid pointer", "free+8.300000", free_beside, 300000, 8},
    {"invalid pointer", "free+4096.300000", free_beside, 300000, 4096},
    {"invalid pointer", "free-16.100", free_beside, 100, -16},
    {"invalid pointer", "free-8.1000", free_beside, 1000, -8},
    {"invalid pointer", "free-16.300000", free_beside, 300000, -16},
    {"invalid pointer", "free_there+8.100", free_beside_elsewhere, 100, 8},
    {"invalid pointer", "free_there+16.1000", free_beside_elsewhere, 1000, 16},
    {"invalid pointer", "free_beyond.100", free_far_beyond, 100, 3},
    {"invalid pointer", "free_beyond.1000", free_far_beyond, 1000, 20},
    {"invalid pointer", "free_beyond.40000", free_far_beyond, 40000, 2},
    {"invalid pointer", "realloc+1.100", realloc_beside, 100, 1},
    {"invalid pointer", "realloc+8.100", realloc_beside, 100, 8},
    {"invalid pointer", "realloc+16.1000", realloc_beside, 1000, 16},
    {"invalid pointer", "realloc+16.40000", realloc_beside, 40000, 16},
    {"invalid pointer", "realloc+4096.300000", realloc_beside, 300000, 4096},
    {"invalid pointer", "free_static", free_foreign, 0, 0},
    {"invalid pointer", "free_small_number", free_foreign, 0, 1},
    {"invalid pointer", "free_last_address", free_foreign, 0, 2},
    {"invalid pointer", "free_no_address", free_foreign, 0, 3},
    {"invalid pointer", "free_code", free_foreign, 0, 4},
    {"invalid pointer", "free_mapping", free_foreign, 0, 5},
    {"invalid pointer", "free_filled_mapping", free_foreign, 0, 6},
    {"invalid pointer", "free_stack", free_of_stack, 100, 0},
    {"invalid pointer", "realloc_stack", realloc_of_stack, 100, 0},
    {"invalid pointer", "realloc_static", realloc_foreign, 100, 0},
    {"invalid pointer", "realloc_mapping", realloc_foreign, 100, 5},
    {"invalid pointer", "delete_static", delete_of_static, 0, 0},

    {"overflow", "1.16", overflow, 16, 1},
    {"overflow", "1.24", overflow, 24, 1},
    {"overflow", "1.100", overflow, 100, 1},
    {"overflow", "1.128", overflow, 128, 1},
    {"overflow", "1.1024", overflow, 1024, 1},
    {"overflow", "1.5000", overflow, 5000, 1},
    {"overflow", "1.8192", overflow, 8192, 1},
    {"overflow", "1.40000", overflow, 40000, 1},
    {"overflow", "1.65536", overflow, 65536, 1},
    {"overflow", "1.300000", overflow, 300000, 1},
    {"overflow", "1.1M", overflow, 1 * MIB, 1},
    {"overflow", "8.24", overflow, 24, 8},
    {"overflow", "8.100", overflow, 100, 8},
    {"overflow", "8.1000", overflow, 1000, 8},
    {"overflow", "8.5000", overflow, 5000, 8},
    {"overflow", "8.40000", overflow, 40000, 8},
    {"overflow", "8.1M", overflow, 1 * MIB, 8},
    {"overflow", "32.100", overflow, 100, 32},
    {"overflow", "128.100", overflow, 100, 128},
    {"overflow", "1000.1000", overflow, 1000, 1000},
    {"overflow", "4096.100", overflow, 100, 4096},
    {"overflow", "4096.5000", overflow, 5000, 4096},
    {"overflow", "4096.40000", overflow, 40000, 4096},
    {"overflow", "4096.300000", overflow, 300000, 4096},
    {"overflow", "64K.100", overflow, 100, 64 * KIB},
    {"overflow", "1M.100", overflow, 100, 1 * MIB},
    {"overflow", "1M.40000", overflow, 40000, 1 * MIB},
    {"overflow", "1M.1M", overflow, 1 * MIB, 1 * MIB},
    {"overflow", "among.1.24", overflow_among, 24, 1},
    {"overflow", "among.8.100", overflow_among, 100, 8},
    {"overflow", "among.32.100", overflow_among, 100, 32},
    {"overflow", "among.64.1000", overflow_among, 1000, 64},
    {"overflow", "zero.24", overflow_by_zero, 24, 0},
    {"overflow", "zero.100", overflow_by_zero, 100, 0},
    {"overflow", "usable.1.100", overflow_of_usable, 100, 1},
    {"overflow", "usable.1.1000", overflow_of_usable, 1000, 1},
    {"overflow", "usable.1.40000", overflow_of_usable, 40000, 1},
    {"overflow", "usable.1.1M", overflow_of_usable, 1 * MIB, 1},
    {"underflow", "1.24", underflow, 24, 1},
    {"underflow", "1.100", underflow, 100, 1},
    {"underflow", "8.100", underflow, 100, 8},
    {"underflow", "8.1000", underflow, 1000, 8},
    {"underflow", "16.5000", underflow, 5000, 16},
    {"underflow", "16.40000", underflow, 40000, 16},
    {"underflow", "1.300000", underflow, 300000, 1},
    {"underflow", "16.1M", underflow, 1 * MIB, 16},
    {"underflow", "4096.100", underflow, 100, 4096},
    {"underflow", "1M.100", underflow, 100, 1 * MIB},
    {"underflow", "1M.1M", underflow, 1 * MIB, 1 * MIB},
    {"underflow", "among.8.24", underflow_among, 24, 8},
    {"underflow", "among.8.100", underflow_among, 100, 8},
    {"underflow", "among.64.1000", underflow_among, 1000, 64},

    {"write after free", "0.24", write_after_free, 24, 0},
    {"write after free", "0.100", write_after_free, 100, 0},
    {"write after free", "0.1000", write_after_free, 1000, 0},
    {"write after free", "0.5000", write_after_free, 5000, 0},
    {"write after free", "0.40000", write_after_free, 40000, 0},
    {"write after free", "0.300000", write_after_free, 300000, 0},
    {"write after free", "0.4M", write_after_free, 4 * MIB, 0},
    {"write after free", "16.100", write_after_free, 100, 16},
    {"write after free", "500.1000", write_after_free, 1000, 500},
    {"write after free", "20000.40000", write_after_free, 40000, 20000},
    {"write after free", "among.0.100", write_after_free_among, 100, 0},
    {"write after free", "among.8.100", write_after_free_among, 100, 8},
    {"write after free", "among.16.5000", write_after_free_among, 5000, 16},
    {"write after free", "all.100", write_all_after_free, 100, 0},
    {"write after free", "all.5000", write_all_after_free, 5000, 0},

    {"read after free", "24", read_after_free, 24, 0},
    {"read after free", "100", read_after_free, 100, 0},
    {"read after free", "1000", read_after_free, 1000, 0},
    {"read after free", "5000", read_after_free, 5000, 0},
    {"read after free", "40000", read_after_free, 40000, 0},
    {"read after free", "300000", read_after_free, 300000, 0},
    {"read after free", "4M", read_after_free, 4 * MIB, 0},
    {"read after free", "new.100", read_old_data_in_new_block, 100, 0},
    {"read after free", "new.1000", read_old_data_in_new_block, 1000, 0},
    {"read after free", "new.40000", read_old_data_in_new_block, 40000, 0},
    {"read after free", "calloc.1000", calloc_shows_old_data, 1000, 0},
    {"read after free", "calloc.40000", calloc_shows_old_data, 40000, 0},

    {"no bytes", "write1", write_to_none, 0, 1},
    {"no bytes", "write8", write_to_none, 0, 8},
    {"no bytes", "write64", write_to_none, 0, 64},
    {"no bytes", "read", read_of_none, 0, 0},
    {"no bytes", "calloc", write_to_none_of_calloc, 0, 0},
    {"no bytes", "new", write_to_none_of_new, 0, 0},

    {"immediate reuse", "16", is_reused_at_once, 16, 0},
    {"immediate reuse", "100", is_reused_at_once, 100, 0},
    {"immediate reuse", "1000", is_reused_at_once, 1000, 0},
    {"immediate reuse", "5000", is_reused_at_once, 5000, 0},
    {"immediate reuse", "40000", is_reused_at_once, 40000, 0},
    {"immediate reuse", "300000", is_reused_at_once, 300000, 0},
    {"immediate reuse", "soon.100", is_reused_soon, 100, 0},
    {"immediate reuse", "soon.40000", is_reused_soon, 40000, 0},

    {"wrong size or way", "free_sized.100+100", sized_free, 100, 100},
    {"wrong size or way", "free_sized.100-60", sized_free, 100, -60},
    {"wrong size or way", "free_sized.100+1", sized_free, 100, 1},
    {"wrong size or way", "free_sized.5000-3000", sized_free, 5000, -3000},
    {"wrong size or way", "free_sized.40000+4096", sized_free, 40000, 4096},
    {"wrong size or way", "free_aligned_sized+512", aligned_sized_free, 256, 512},
    {"wrong size or way", "free_aligned_4096", free_with_wrong_alignment, 100, 4096},
    {"wrong size or way", "delete_sized.100+100", sized_delete, 100, 100},
    {"wrong size or way", "delete_sized.100-60", sized_delete, 100, -60},
    {"wrong size or way", "delete_sized.24+8", sized_delete, 24, 8},
    {"wrong size or way", "delete_sized.1000+1", sized_delete, 1000, 1},
    {"wrong size or way", "delete_sized.300000-1", sized_delete, 300000, -1},
    {"wrong size or way", "delete_array_sized.100+100", sized_array_delete, 100, 100},
    {"wrong size or way", "delete_aligned_4096", aligned_delete, 100, 4096},
    {"wrong size or way", "delete_sized_aligned_4096", sized_delete_with_wrong_alignment, 100,
     4096},
    {"wrong size or way", "plain_delete_of_aligned", plain_delete_of_aligned, 100, 64},
    {"wrong size or way", "malloc_delete", malloc_then_delete, 100, 0},
    {"wrong size or way", "new_free", new_then_free, 100, 0},
    {"wrong size or way", "new_array_delete", new_array_then_delete, 100, 0},
    {"wrong size or way", "new_delete_array", new_then_delete_array, 100, 0},
    {"wrong size or way", "new_realloc", new_then_realloc, 100, 0},

    {"malloc_usable_size", "+1.100", size_beside, 100, 1},
    {"malloc_usable_size", "+16.1000", size_beside, 1000, 16},
    {"malloc_usable_size", "+4096.40000", size_beside, 40000, 4096},
    {"malloc_usable_size", "static", size_of_foreign, 0, 0},
    {"malloc_usable_size", "mapping", size_of_foreign, 0, 5},
    {"malloc_usable_size", "freed.100", size_of_freed, 100, 0},
    {"malloc_usable_size", "freed.5000", size_of_freed, 5000, 0},
    {"malloc_usable_size", "freed.40000", size_of_freed, 40000, 0},
    {"malloc_usable_size", "freed.300000", size_of_freed, 300000, 0},
    {"malloc_usable_size", "more_than_asked.100", size_invites_writes, 100, 0},
    {"malloc_usable_size", "more_than_asked.40000", size_invites_writes, 40000, 0},
};

// All there are, a class's behind each other.
std::vector<Crime> all_crimes()
{
    std::vector<Crime> all(std::begin(crimes), std::end(crimes));

    for (std::size_t i = 0; i < variant_count; i++) {
        auto end = std::find_if(all.rbegin(), all.rend(), [i](const Crime &crime) {
            return std::strcmp(crime.family, variants[i].family) == 0;
        });
        all.insert(end.base(), variants[i]);
    }
    return all;
}

enum Verdict { silent, stopped, told };
const char *const verdict_names[] = {"silent", "stopped", "told"};

constexpr int did_not_come_about = 17;

struct Outcome {
    Verdict verdict;
    std::string said;
};

// Commits a crime in a process that begins anew, so that no crime is helped or hindered by another.
Outcome commit(const Crime &crime, const char *program)
{
    Outcome outcome{silent, {}};
    int ends[2];
    int status = 0;
    char buffer[1024];
    ssize_t got;
    pid_t child;

    if (pipe(ends) != 0 || (child = fork()) < 0)
        std::exit(99);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        std::string name = std::string(crime.family) + "/" + crime.name;
        execl(program, program, name.c_str(), static_cast<char *>(nullptr));
        _exit(99);
    }
    close(ends[1]);
    while ((got = read(ends[0], buffer, sizeof buffer)) > 0)
        outcome.said.append(buffer, static_cast<std::size_t>(got));
    close(ends[0]);
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == did_not_come_about))
        outcome.verdict = outcome.said.empty() ? stopped : told;
    else if (!WIFEXITED(status) || WEXITSTATUS(status) == 99)
        std::exit(99);
    else if (!outcome.said.empty())
        outcome.verdict = told;
    return outcome;
}

int commit_one(const std::string &name)
{
    for (const Crime &crime : all_crimes())
        if (name == std::string(crime.family) + "/" + crime.name)
            return crime.act(crime.size_bytes, crime.distance_bytes) ? 0 : did_not_come_about;
    return 99;
}

void print_totals(const char *program)
{
    int all[3] = {0, 0, 0};
    const char *family = nullptr;
    int of_family[3] = {0, 0, 0};
    auto print = [](const char *name, const int counts[3]) {
        std::printf("%s\t%d\t%d\t%d\n", name, counts[silent] + counts[stopped] + counts[told],
                    counts[stopped] + counts[told], counts[told]);
    };

    for (const Crime &crime : all_crimes()) {
        Verdict verdict = commit(crime, program).verdict;

        if (family != nullptr && std::strcmp(family, crime.family) != 0) {
            print(family, of_family);
            std::memset(of_family, 0, sizeof of_family);
        }
        family = crime.family;
        of_family[verdict]++;
        all[verdict]++;
    }
    print(family, of_family);
    print("all", all);
}

} // namespace

int main(int argc, char **argv)
{
    const char *program = "/proc/self/exe";

    if (argc > 1 && std::strcmp(argv[1], "--totals") == 0) {
        print_totals(program);
        return 0;
    }
    if (argc > 1)
        return commit_one(argv[1]);
    for (const Crime &crime : all_crimes()) {
        Outcome outcome = commit(crime, program);
        std::size_t line = outcome.said.find('\n');

        std::printf("%s/%s\t%s\t%s\n", crime.family, crime.name, verdict_names[outcome.verdict],
                    outcome.said.substr(0, line).c_str());
    }
    return 0;
}

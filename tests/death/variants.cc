// More little crimes, of the classes of crimes.cc, which commits them: what a list of a few plain
// ones leaves out. Blocks that came by another way than malloc, that were resized, that other
// threads have had; damage that is not looked at by the next call but later, or by nobody; classes
// whose arrays begin behind a count. Owns nothing.
#include <algorithm>
#include <csignal>
#include <new>
#include <string>
#include <utility>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crimes.h"

extern char **environ;

namespace
{

char *resized_block(std::size_t from_bytes, std::size_t to_bytes)
{
    auto *block = static_cast<char *>(hidden(std::realloc(block_of(from_bytes), to_bytes)));

    if (block == nullptr)
        std::exit(99);
    std::memset(block, 0x5A, to_bytes);
    return block;
}

char *aligned_block(std::size_t alignment_bytes, std::size_t size_bytes)
{
    void *block = nullptr;

    if (posix_memalign(&block, alignment_bytes, size_bytes) != 0)
        std::exit(99);
    std::memset(block, 0x5A, size_bytes);
    return static_cast<char *>(hidden(block));
}

void *take_there(void *size_bytes)
{
    return block_of(reinterpret_cast<std::uintptr_t>(size_bytes));
}

// Of a thread that has ended.
char *block_from_elsewhere(std::size_t size_bytes)
{
    pthread_t thread;
    void *block = nullptr;

    if (pthread_create(&thread, nullptr, take_there, reinterpret_cast<void *>(size_bytes)) == 0)
        pthread_join(thread, &block);
    return static_cast<char *>(hidden(block));
}

// --- double free

bool free_from_elsewhere_twice(std::size_t size_bytes, long)
{
    char *block = block_from_elsewhere(size_bytes);

    std::free(block);
    std::free(hidden(block));
    return true;
}

bool free_then_delete(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    ::operator delete(hidden(block));
    return true;
}

bool sized_delete_twice(std::size_t size_bytes, long)
{
    void *block = ::operator new(size_bytes);

    ::operator delete(block, size_bytes);
    ::operator delete(hidden(block), size_bytes);
    return true;
}

bool aligned_delete_twice(std::size_t size_bytes, long alignment)
{
    auto aligned = static_cast<std::align_val_t>(alignment);
    void *block = ::operator new(size_bytes, aligned);

    ::operator delete(block, aligned);
    ::operator delete(hidden(block), aligned);
    return true;
}

bool free_sized_twice(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    if (free_sized == nullptr)
        return true;
    free_sized(block, size_bytes);
    free_sized(hidden(block), size_bytes);
    return true;
}

bool realloc_to_none_twice(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    kept_blocks[20] = static_cast<char *>(std::realloc(block, 0));
    kept_blocks[21] = static_cast<char *>(std::realloc(hidden(block), 0));
    return true;
}

bool free_twice_with_trim_between(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    malloc_trim(0);
    std::free(hidden(block));
    return true;
}

bool free_written_block_again_then_trim(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    std::memset(hidden(block), 0x41, 16);
    std::free(hidden(block));
    malloc_trim(0);
    return true;
}

// Of a block that had the whole program's memory of its size for itself.
bool free_all_then_one_again(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    for (int i = 0; i < 10; i++)
        std::free(kept_blocks[i]);
    std::free(hidden(block));
    return true;
}

bool free_in_child_twice(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        std::free(block);
        std::free(hidden(block));
        _exit(0);
    }
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        raise(WTERMSIG(status));
    return true;
}

// --- invalid, unaligned and foreign pointers

bool free_inside_aligned(std::size_t size_bytes, long distance)
{
    std::free(aligned_block(4096, size_bytes) + distance);
    return true;
}

bool free_inside_freed(std::size_t size_bytes, long distance)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    std::free(hidden(block + distance));
    return true;
}

bool realloc_number(std::size_t size_bytes, long number)
{
    kept_blocks[0] = block_of(size_bytes);
    kept_blocks[1] =
        static_cast<char *>(std::realloc(reinterpret_cast<void *>(number), size_bytes));
    return true;
}

bool free_environment(std::size_t, long)
{
    kept_blocks[0] = block_of(100);
    std::free(hidden(environ[0]));
    return true;
}

bool free_literal(std::size_t, long)
{
    std::free(const_cast<char *>(hidden("a string that is in no heap")));
    return true;
}

bool free_thread_local(std::size_t, long)
{
    static thread_local char local[64];

    kept_blocks[0] = block_of(100);
    std::free(hidden(local + 16));
    return true;
}

bool free_of_break(std::size_t, long)
{
    kept_blocks[0] = block_of(100);
    std::free(static_cast<char *>(hidden(sbrk(64 * KIB))) + 256);
    return true;
}

bool free_protected(std::size_t size_bytes, long)
{
    kept_blocks[0] = block_of(size_bytes);
    std::free(
        static_cast<char *>(mmap(nullptr, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) +
        32768);
    return true;
}

bool free_far_off(std::size_t size_bytes, long distance)
{
    std::free(hidden(block_of(size_bytes) + distance));
    return true;
}

bool delete_inside(std::size_t size_bytes, long distance)
{
    char *block = block_among_others(size_bytes);

    ::operator delete(hidden(block + distance));
    return true;
}

bool free_end(std::size_t size_bytes, long)
{
    std::free(hidden(block_among_others(size_bytes) + size_bytes));
    return true;
}

// --- beyond the block

bool overflow_of_calloced(std::size_t size_bytes, long distance)
{
    char *block = static_cast<char *>(hidden(std::calloc(1, size_bytes)));

    block[size_bytes + static_cast<std::size_t>(distance) - 1] ^= 1;
    std::free(block);
    return true;
}

bool overflow_of_grown(std::size_t size_bytes, long distance)
{
    char *block = resized_block(size_bytes / 2, size_bytes);

    spoil(block + size_bytes, static_cast<std::size_t>(distance));
    std::free(block);
    go_on(size_bytes);
    return true;
}

bool overflow_of_shrunk(std::size_t size_bytes, long distance)
{
    char *block = resized_block(size_bytes + size_bytes / 4, size_bytes);

    spoil(block + size_bytes, static_cast<std::size_t>(distance));
    std::free(block);
    go_on(size_bytes);
    return true;
}

bool overflow_then_realloc(std::size_t size_bytes, long distance)
{
    char *block = block_among_others(size_bytes);

    spoil(block + size_bytes, static_cast<std::size_t>(distance));
    kept_blocks[20] = static_cast<char *>(std::realloc(hidden(block), 2 * size_bytes));
    return true;
}

bool overflow_then_realloc_same(std::size_t size_bytes, long distance)
{
    char *block = block_among_others(size_bytes);

    spoil(block + size_bytes, static_cast<std::size_t>(distance));
    block = static_cast<char *>(std::realloc(hidden(block), size_bytes));
    std::free(block);
    return true;
}

bool overflow_of_aligned(std::size_t size_bytes, long distance)
{
    char *block = aligned_block(256, size_bytes);

    spoil(block + size_bytes, static_cast<std::size_t>(distance));
    std::free(block);
    return true;
}

bool overflow_of_new(std::size_t size_bytes, long distance)
{
    char *block = new char[size_bytes];

    spoil(hidden(block) + size_bytes, static_cast<std::size_t>(distance));
    delete[] block;
    return true;
}

bool overflow_freed_elsewhere(std::size_t size_bytes, long distance)
{
    char *block = block_among_others(size_bytes);

    spoil(block + size_bytes, static_cast<std::size_t>(distance));
    free_elsewhere(hidden(block));
    return true;
}

// The block is never freed: the process ends.
bool overflow_of_kept(std::size_t size_bytes, long distance)
{
    kept_blocks[0] = block_of(size_bytes);
    spoil(hidden(kept_blocks[0]) + size_bytes, static_cast<std::size_t>(distance));
    return true;
}

bool overflow_by_copied_string(std::size_t size_bytes, long)
{
    char *block = block_of(size_bytes);
    std::string text(size_bytes, 'x');

    std::strcpy(hidden(block), text.c_str());
    std::free(block);
    return true;
}

// The one before the block is what is freed.
bool underflow_into_live(std::size_t size_bytes, long distance)
{
    char *before = block_of(size_bytes);
    char *block = block_of(size_bytes);

    /* Neighbours, if there are any: the first may fill a hole. */
    for (int i = 0; i < 8 && static_cast<std::size_t>(std::labs(block - before)) > 2 * size_bytes;
         i++) {
        before = block;
        block = block_of(size_bytes);
    }
    if (block < before)
        std::swap(block, before);
    spoil(hidden(block) - distance, static_cast<std::size_t>(distance));
    std::free(before);
    std::free(block);
    return true;
}

bool underflow_of_calloced(std::size_t size_bytes, long distance)
{
    char *block = static_cast<char *>(hidden(std::calloc(1, size_bytes)));

    *(block - distance) ^= 1;
    std::free(block);
    return true;
}

bool underflow_of_aligned(std::size_t size_bytes, long distance)
{
    char *block = aligned_block(64, size_bytes);

    spoil(block - distance, static_cast<std::size_t>(distance));
    std::free(block);
    return true;
}

// --- after the free

void take_and_give(std::size_t size_bytes, int times)
{
    for (int i = 0; i < times; i++)
        std::free(hidden(std::malloc(size_bytes)));
}

bool write_then_reuse(std::size_t size_bytes, long offset)
{
    char *block = block_of(size_bytes);

    std::free(block);
    hidden(block)[offset] ^= 1;
    take_and_give(size_bytes, size_bytes > 16 * KIB ? 600 : 100000);
    return true;
}

bool write_then_exit(std::size_t size_bytes, long offset)
{
    char *block = block_of(size_bytes);

    std::free(block);
    hidden(block)[offset] ^= 1;
    return true;
}

bool write_after_realloc(std::size_t size_bytes, long offset)
{
    char *block = block_among_others(size_bytes);

    kept_blocks[20] = static_cast<char *>(std::realloc(block, 4 * size_bytes));
    std::memset(hidden(block) + offset, 0x41, 8);
    go_on(size_bytes);
    return true;
}

bool write_after_delete(std::size_t size_bytes, long offset)
{
    char *block = new char[size_bytes];

    delete[] block;
    std::memset(hidden(block) + offset, 0x41, 8);
    go_on(size_bytes);
    return true;
}

bool write_after_free_elsewhere(std::size_t size_bytes, long offset)
{
    char *block = block_among_others(size_bytes);

    free_elsewhere(block);
    std::memset(hidden(block) + offset, 0x41, 8);
    go_on(size_bytes);
    return true;
}

bool write_after_aligned_free(std::size_t size_bytes, long offset)
{
    char *block = aligned_block(128, size_bytes);

    std::free(block);
    std::memset(hidden(block) + offset, 0x41, 8);
    go_on(size_bytes);
    return true;
}

bool holds_old_data(const char *block, std::size_t size_bytes)
{
    // One such byte a link may have, too.
    static const char old[] = {0x5A, 0x5A, 0x5A, 0x5A};

    return std::search(block, block + size_bytes, old, old + sizeof old) != block + size_bytes;
}

bool read_after_realloc(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    kept_blocks[20] = static_cast<char *>(std::realloc(block, 4 * size_bytes));
    return kept_blocks[20] != block && holds_old_data(hidden(block), size_bytes);
}

bool read_after_shrink(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);
    auto *shrunk = static_cast<char *>(std::realloc(block, size_bytes / 4));

    return holds_old_data(hidden(block) + (shrunk == block ? size_bytes / 4 : 0), size_bytes / 4);
}

bool read_after_delete(std::size_t size_bytes, long)
{
    char *block = new char[size_bytes];

    std::memset(block, 0x5A, size_bytes);
    delete[] block;
    return holds_old_data(hidden(block), size_bytes);
}

bool read_after_free_elsewhere(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    free_elsewhere(block);
    return holds_old_data(hidden(block), size_bytes);
}

bool new_block_of_another_size_shows(std::size_t size_bytes, long)
{
    for (int i = 0; i < 40; i++)
        kept_blocks[i] = block_of(size_bytes);
    for (int i = 0; i < 40; i++)
        std::free(kept_blocks[i]);
    for (int i = 0; i < 10; i++)
        if (holds_old_data(static_cast<char *>(hidden(std::malloc(4 * size_bytes))),
                           4 * size_bytes))
            return true;
    return false;
}

// --- blocks of no bytes

bool write_to_none_aligned(std::size_t, long alignment)
{
    void *block = nullptr;

    if (posix_memalign(&block, static_cast<std::size_t>(alignment), 0) != 0)
        std::exit(99);
    *static_cast<char *>(hidden(block)) = 1;
    std::free(block);
    return true;
}

bool write_to_none_of_array(std::size_t, long)
{
    char *block = new char[0];

    *hidden(block) = 1;
    delete[] block;
    return true;
}

bool write_before_none(std::size_t, long distance)
{
    char *block = static_cast<char *>(hidden(std::malloc(0)));

    block[-distance] = 1;
    std::free(block);
    return true;
}

// --- reuse

bool is_reused_after_delete(std::size_t size_bytes, long)
{
    auto *block = static_cast<char *>(::operator new(size_bytes));
    auto address = reinterpret_cast<std::uintptr_t>(block);

    ::operator delete(block);
    return reinterpret_cast<std::uintptr_t>(hidden(::operator new(size_bytes))) == address;
}

bool is_reused_by_calloc(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);
    auto address = reinterpret_cast<std::uintptr_t>(block);

    std::free(block);
    return reinterpret_cast<std::uintptr_t>(hidden(std::calloc(1, size_bytes))) == address;
}

bool is_reused_elsewhere(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);
    auto address = reinterpret_cast<std::uintptr_t>(block);

    free_elsewhere(block);
    return reinterpret_cast<std::uintptr_t>(hidden(std::malloc(size_bytes))) == address;
}

// --- the wrong way, or the wrong size

struct Counted { // an array of it begins behind its count
    long values[4];
    ~Counted()
    {
        values[0] = 0;
    }
};

struct Base {
    long values[2];
};

struct Derived : Base {
    long more[40]; // beyond the classes that share slabs in small programs
};

bool array_of_counted_then_delete(std::size_t size_bytes, long)
{
    delete hidden(new Counted[size_bytes / sizeof(Counted)]);
    return true;
}

bool array_of_counted_then_free(std::size_t size_bytes, long)
{
    std::free(hidden(new Counted[size_bytes / sizeof(Counted)]));
    return true;
}

bool delete_of_base(std::size_t, long)
{
    delete hidden(static_cast<Base *>(new Derived));
    return true;
}

bool malloc_then_delete_array(std::size_t size_bytes, long)
{
    ::operator delete[](hidden(std::malloc(size_bytes)));
    return true;
}

bool malloc_then_sized_delete(std::size_t size_bytes, long)
{
    ::operator delete(hidden(std::malloc(size_bytes)), size_bytes);
    return true;
}

bool calloc_then_delete(std::size_t size_bytes, long)
{
    ::operator delete(hidden(std::calloc(1, size_bytes)));
    return true;
}

bool strdup_then_delete(std::size_t, long)
{
    delete hidden(strdup("copied by malloc"));
    return true;
}

bool memalign_then_delete(std::size_t size_bytes, long alignment)
{
    ::operator delete(aligned_block(static_cast<std::size_t>(alignment), size_bytes),
                      static_cast<std::align_val_t>(alignment));
    return true;
}

bool nothrow_new_then_free(std::size_t size_bytes, long)
{
    std::free(hidden(::operator new(size_bytes, std::nothrow)));
    return true;
}

bool aligned_new_then_free(std::size_t size_bytes, long alignment)
{
    std::free(hidden(::operator new(size_bytes, static_cast<std::align_val_t>(alignment))));
    return true;
}

bool new_then_aligned_delete(std::size_t size_bytes, long alignment)
{
    ::operator delete(hidden(::operator new(size_bytes)), static_cast<std::align_val_t>(alignment));
    return true;
}

bool aligned_array_then_aligned_delete(std::size_t size_bytes, long alignment)
{
    auto aligned = static_cast<std::align_val_t>(alignment);

    ::operator delete(hidden(::operator new[](size_bytes, aligned)), aligned);
    return true;
}

bool new_then_free_sized(std::size_t size_bytes, long)
{
    if (free_sized != nullptr)
        free_sized(hidden(::operator new(size_bytes)), size_bytes);
    return true;
}

bool new_array_then_free(std::size_t size_bytes, long)
{
    std::free(hidden(::operator new[](size_bytes)));
    return true;
}

bool new_array_then_delete(std::size_t size_bytes, long)
{
    ::operator delete(hidden(::operator new[](size_bytes)));
    return true;
}

bool new_array_then_realloc(std::size_t size_bytes, long)
{
    kept_blocks[0] =
        static_cast<char *>(std::realloc(hidden(::operator new[](size_bytes)), 2 * size_bytes));
    return true;
}

bool sized_free_of_resized(std::size_t size_bytes, long delta)
{
    char *block = resized_block(size_bytes / 2, size_bytes);

    if (free_sized != nullptr)
        free_sized(block, size_bytes + static_cast<std::size_t>(delta));
    return true;
}

bool sized_free_of_calloced(std::size_t size_bytes, long delta)
{
    if (free_sized != nullptr)
        free_sized(hidden(std::calloc(1, size_bytes)),
                   size_bytes + static_cast<std::size_t>(delta));
    return true;
}

bool sized_aligned_delete(std::size_t size_bytes, long delta)
{
    auto aligned = static_cast<std::align_val_t>(64);

    ::operator delete(hidden(::operator new(size_bytes, aligned)),
                      size_bytes + static_cast<std::size_t>(delta), aligned);
    return true;
}

// --- malloc_usable_size

bool size_of_number(std::size_t, long number)
{
    kept_blocks[0] = block_of(100);
    return malloc_usable_size(hidden(reinterpret_cast<void *>(number))) != SIZE_MAX;
}

bool size_of_stack(std::size_t, long)
{
    alignas(16) char local[256] = {};

    kept_blocks[0] = block_of(100);
    return malloc_usable_size(hidden(local + 32)) != SIZE_MAX;
}

bool size_of_freed_elsewhere(std::size_t size_bytes, long)
{
    char *block = block_among_others(size_bytes);

    free_elsewhere(block);
    return malloc_usable_size(hidden(block)) != SIZE_MAX;
}

bool size_of_long_freed(std::size_t size_bytes, long others)
{
    char *block = block_among_others(size_bytes);

    std::free(block);
    for (long i = 0; i < others; i++)
        kept_blocks[20 + i % 40] = block_of(size_bytes / 3 + 200);
    return malloc_usable_size(hidden(block)) != SIZE_MAX;
}

bool size_beyond(std::size_t size_bytes, long)
{
    return malloc_usable_size(hidden(block_among_others(size_bytes) + size_bytes)) != SIZE_MAX;
}

// A program fills what it was told is there, and asks for no more.
bool size_is_all_written(std::size_t size_bytes, long distance)
{
    char *block = block_of(size_bytes);

    std::memset(hidden(block), 0x41,
                malloc_usable_size(block) + static_cast<std::size_t>(distance));
    std::free(block);
    return true;
}

const Crime list[] = {
    {"double free", "ended_thread's.100", free_from_elsewhere_twice, 100, 0},
    {"double free", "ended_thread's.40000", free_from_elsewhere_twice, 40000, 0},
    {"double free", "then_delete.100", free_then_delete, 100, 0},
    {"double free", "then_delete.40000", free_then_delete, 40000, 0},
    {"double free", "sized_delete.48", sized_delete_twice, 48, 0},
    {"double free", "aligned_delete.100", aligned_delete_twice, 100, 64},
    {"double free", "aligned_delete.200000", aligned_delete_twice, 200000, 4096},
    {"double free", "sized.1000", free_sized_twice, 1000, 0},
    {"double free", "realloc_to_none.100", realloc_to_none_twice, 100, 0},
    {"double free", "realloc_to_none.40000", realloc_to_none_twice, 40000, 0},
    {"double free", "trim_between.100", free_twice_with_trim_between, 100, 0},
    {"double free", "trim_between.40000", free_twice_with_trim_between, 40000, 0},
    {"double free", "all_freed.100", free_all_then_one_again, 100, 0},
    {"double free", "all_freed.16000", free_all_then_one_again, 16000, 0},
    {"double free", "all_freed.300000", free_all_then_one_again, 300000, 0},
    {"double free", "written_then_trim.100", free_written_block_again_then_trim, 100, 0},
    {"double free", "written_then_trim.5000", free_written_block_again_then_trim, 5000, 0},
    {"double free", "in_child.100", free_in_child_twice, 100, 0},

    {"invalid pointer", "aligned+32.100", free_inside_aligned, 100, 32},
    {"invalid pointer", "aligned+4096.300000", free_inside_aligned, 300000, 4096},
    {"invalid pointer", "freed+16.100", free_inside_freed, 100, 16},
    {"invalid pointer", "freed+16.40000", free_inside_freed, 40000, 16},
    {"invalid pointer", "freed+4096.300000", free_inside_freed, 300000, 4096},
    {"invalid pointer", "free_1", free_far_off, 0, 1},
    {"invalid pointer", "realloc_1", realloc_number, 16, 1},
    {"invalid pointer", "free_environment", free_environment, 0, 0},
    {"invalid pointer", "free_literal", free_literal, 0, 0},
    {"invalid pointer", "free_thread_local", free_thread_local, 0, 0},
    {"invalid pointer", "free_break", free_of_break, 0, 0},
    {"invalid pointer", "free_protected", free_protected, 16, 0},
    {"invalid pointer", "free_16K_off", free_far_off, 16, 16 * KIB},
    {"invalid pointer", "free_1M_off", free_far_off, 16, 1 * MIB},
    {"invalid pointer", "free_1G_off", free_far_off, 100, 1024 * MIB},
    {"invalid pointer", "free_1M_before", free_far_off, 100, -static_cast<long>(MIB)},
    {"invalid pointer", "delete+8.64", delete_inside, 64, 8},
    {"invalid pointer", "delete+16.40000", delete_inside, 40000, 16},
    {"invalid pointer", "free_end.100", free_end, 100, 0},
    {"invalid pointer", "free_end.40000", free_end, 40000, 0},

    {"overflow", "calloc.1.8", overflow_of_calloced, 8, 1},
    {"overflow", "calloc.8.16", overflow_of_calloced, 16, 8},
    {"overflow", "calloc.1.20000", overflow_of_calloced, 20000, 1},
    {"overflow", "calloc.1.256K", overflow_of_calloced, 256 * KIB, 1},
    {"overflow", "calloc.1.500000", overflow_of_calloced, 500000, 1},
    {"overflow", "calloc.100.20000", overflow_of_calloced, 20000, 100},
    {"overflow", "calloc.480.20000", overflow_of_calloced, 20000, 480},
    {"overflow", "grown.1.100", overflow_of_grown, 100, 1},
    {"overflow", "grown.1.40000", overflow_of_grown, 40000, 1},
    {"overflow", "grown.1.1000000", overflow_of_grown, 1000000, 1},
    {"overflow", "shrunk.1.1000", overflow_of_shrunk, 1000, 1},
    {"overflow", "shrunk.1.40000", overflow_of_shrunk, 40000, 1},
    {"overflow", "shrunk.1.300000", overflow_of_shrunk, 300000, 1},
    {"overflow", "realloc.1.100", overflow_then_realloc, 100, 1},
    {"overflow", "realloc.8.40000", overflow_then_realloc, 40000, 8},
    {"overflow", "realloc.8.300000", overflow_then_realloc, 300000, 8},
    {"overflow", "realloc_same.8.100", overflow_then_realloc_same, 100, 8},
    {"overflow", "realloc_same.8.40000", overflow_then_realloc_same, 40000, 8},
    {"overflow", "aligned.1.200", overflow_of_aligned, 200, 1},
    {"overflow", "aligned.8.40000", overflow_of_aligned, 40000, 8},
    {"overflow", "new.1.33", overflow_of_new, 33, 1},
    {"overflow", "new.8.20000", overflow_of_new, 20000, 8},
    {"overflow", "there.8.40", overflow_freed_elsewhere, 40, 8},
    {"overflow", "there.8.40000", overflow_freed_elsewhere, 40000, 8},
    {"overflow", "kept.1.24", overflow_of_kept, 24, 1},
    {"overflow", "kept.16.40000", overflow_of_kept, 40000, 16},
    {"overflow", "string.16", overflow_by_copied_string, 16, 0},
    {"overflow", "string.100", overflow_by_copied_string, 100, 0},
    {"overflow", "string.20000", overflow_by_copied_string, 20000, 0},

    {"underflow", "live.1.24", underflow_into_live, 24, 1},
    {"underflow", "live.1.20000", underflow_into_live, 20000, 1},
    {"underflow", "live.16.40000", underflow_into_live, 40000, 16},
    {"underflow", "live.16.500000", underflow_into_live, 500000, 16},
    {"underflow", "calloc.1.16", underflow_of_calloced, 16, 1},
    {"underflow", "calloc.8.20000", underflow_of_calloced, 20000, 8},
    {"underflow", "aligned.8.200", underflow_of_aligned, 200, 8},
    {"underflow", "aligned.8.200000", underflow_of_aligned, 200000, 8},

    {"write after free", "reuse.65.128", write_then_reuse, 128, 65},
    {"write after free", "reuse.0.128", write_then_reuse, 128, 0},
    {"write after free", "reuse.4000.10000", write_then_reuse, 10000, 4000},
    {"write after free", "reuse.100.256K", write_then_reuse, 256 * KIB, 100},
    {"write after free", "exit.0.100", write_then_exit, 100, 0},
    {"write after free", "exit.50.100", write_then_exit, 100, 50},
    {"write after free", "exit.99.40000", write_then_exit, 40000, 99},
    {"write after free", "realloc.0.100", write_after_realloc, 100, 0},
    {"write after free", "realloc.40.100", write_after_realloc, 100, 40},
    {"write after free", "realloc.0.300000", write_after_realloc, 300000, 0},
    {"write after free", "delete.0.64", write_after_delete, 64, 0},
    {"write after free", "delete.24.64", write_after_delete, 64, 24},
    {"write after free", "there.0.100", write_after_free_elsewhere, 100, 0},
    {"write after free", "there.40.100", write_after_free_elsewhere, 100, 40},
    {"write after free", "aligned.0.200", write_after_aligned_free, 200, 0},

    {"read after free", "realloc.100", read_after_realloc, 100, 0},
    {"read after free", "realloc.300000", read_after_realloc, 300000, 0},
    {"read after free", "shrink.1000", read_after_shrink, 1000, 0},
    {"read after free", "shrink.1M", read_after_shrink, 1 * MIB, 0},
    {"read after free", "delete.64", read_after_delete, 64, 0},
    {"read after free", "there.100", read_after_free_elsewhere, 100, 0},
    {"read after free", "other_size.1000", new_block_of_another_size_shows, 1000, 0},
    {"read after free", "other_size.5000", new_block_of_another_size_shows, 5000, 0},

    {"no bytes", "aligned.16", write_to_none_aligned, 0, 16},
    {"no bytes", "aligned.64", write_to_none_aligned, 0, 64},
    {"no bytes", "aligned.4096", write_to_none_aligned, 0, 4096},
    {"no bytes", "array", write_to_none_of_array, 0, 0},
    {"no bytes", "before", write_before_none, 0, 1},

    {"immediate reuse", "delete.64", is_reused_after_delete, 64, 0},
    {"immediate reuse", "calloc.100", is_reused_by_calloc, 100, 0},
    {"immediate reuse", "there.100", is_reused_elsewhere, 100, 0},
    {"immediate reuse", "there.40000", is_reused_elsewhere, 40000, 0},
    {"immediate reuse", "calloc.4M", is_reused_by_calloc, 4 * MIB, 0},

    {"wrong size or way", "counted.delete.96", array_of_counted_then_delete, 96, 0},
    {"wrong size or way", "counted.delete.40000", array_of_counted_then_delete, 40000, 0},
    {"wrong size or way", "counted.free.96", array_of_counted_then_free, 96, 0},
    {"wrong size or way", "base", delete_of_base, 0, 0},
    {"wrong size or way", "malloc.delete_array.100", malloc_then_delete_array, 100, 0},
    {"wrong size or way", "malloc.delete_array.40000", malloc_then_delete_array, 40000, 0},
    {"wrong size or way", "malloc.sized_delete.48", malloc_then_sized_delete, 48, 0},
    {"wrong size or way", "calloc.delete.100", calloc_then_delete, 100, 0},
    {"wrong size or way", "calloc.delete.300000", calloc_then_delete, 300000, 0},
    {"wrong size or way", "strdup.delete", strdup_then_delete, 0, 0},
    {"wrong size or way", "memalign.delete.200", memalign_then_delete, 200, 64},
    {"wrong size or way", "nothrow_new.free.100", nothrow_new_then_free, 100, 0},
    {"wrong size or way", "aligned_new.free.100", aligned_new_then_free, 100, 64},
    {"wrong size or way", "new.aligned_delete.100", new_then_aligned_delete, 100, 64},
    {"wrong size or way", "aligned_array.aligned_delete.100", aligned_array_then_aligned_delete,
     100, 64},
    {"wrong size or way", "new.free_sized.100", new_then_free_sized, 100, 0},
    {"wrong size or way", "new_array.free.20000", new_array_then_free, 20000, 0},
    {"wrong size or way", "new_array.delete.500000", new_array_then_delete, 500000, 0},
    {"wrong size or way", "new_array.realloc.100", new_array_then_realloc, 100, 0},
    {"wrong size or way", "new_array.realloc.40000", new_array_then_realloc, 40000, 0},
    {"wrong size or way", "resized.free_sized.1000-600", sized_free_of_resized, 1000, -600},
    {"wrong size or way", "resized.free_sized.40000-20000", sized_free_of_resized, 40000, -20000},
    {"wrong size or way", "calloc.free_sized.64+64", sized_free_of_calloced, 64, 64},
    {"wrong size or way", "calloc.free_sized.64-1", sized_free_of_calloced, 64, -1},
    {"wrong size or way", "aligned.sized_delete.100+200", sized_aligned_delete, 100, 200},

    {"malloc_usable_size", "1", size_of_number, 0, 1},
    {"malloc_usable_size", "16", size_of_number, 0, 16},
    {"malloc_usable_size", "stack", size_of_stack, 0, 0},
    {"malloc_usable_size", "freed_there.100", size_of_freed_elsewhere, 100, 0},
    {"malloc_usable_size", "freed_there.300000", size_of_freed_elsewhere, 300000, 0},
    {"malloc_usable_size", "long_freed.100", size_of_long_freed, 100, 30},
    {"malloc_usable_size", "long_freed.40000", size_of_long_freed, 40000, 3},
    {"malloc_usable_size", "end.100", size_beyond, 100, 0},
    {"malloc_usable_size", "+8.24", size_is_all_written, 24, 8},
    {"malloc_usable_size", "+8.40000", size_is_all_written, 40000, 8},
    {"malloc_usable_size", "+8.1M", size_is_all_written, 1 * MIB, 8},
};

} // namespace

const Crime *const variants = list;
const std::size_t variant_count = sizeof list / sizeof list[0];

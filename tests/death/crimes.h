// What the files of little crimes share: what a crime is, and how programs are before they commit
// one. Compiled into each of them on its own; owns nothing else.
#ifndef NEAP_TESTS_CRIMES_H
#define NEAP_TESTS_CRIMES_H

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <malloc.h>
#include <pthread.h>

extern "C" {
// C23's, which not every allocator has.
[[gnu::weak]] void free_sized(void *block, std::size_t size_bytes);
[[gnu::weak]] void free_aligned_sized(void *block, std::size_t alignment_bytes,
                                      std::size_t size_bytes);
}

constexpr std::size_t KIB = 1024;
constexpr std::size_t MIB = 1024 * KIB;

// A crime answers whether it has come about.
using Act = bool (*)(std::size_t size_bytes, long distance_bytes);

struct Crime {
    const char *family;
    const char *name;
    Act act;
    std::size_t size_bytes;
    long distance_bytes; // how far beyond, or beside; for some, how many
};

// Those that look like crimes.cc's, with other sizes, neighbours and orders: variants.cc.
extern const Crime *const variants;
extern const std::size_t variant_count;

inline char *volatile kept_blocks[64];
inline char statics[256];

// The compiler shall not know what a pointer points to.
template <class T> T *hidden(T *pointer)
{
    T *volatile kept = pointer;

    return kept;
}

// Writes what is not there yet, and no multiple of 16 beside it: a byte that is written as it was
// harms nothing, and of 256 links that lose their last byte one leads to a slot as good as its own.
inline void spoil(char *from, std::size_t count)
{
    std::memset(from, *hidden(from) ^ 0x41, count);
}

inline char *block_of(std::size_t size_bytes)
{
    auto *block = static_cast<char *>(hidden(std::malloc(size_bytes)));

    if (block == nullptr)
        std::exit(99);
    std::memset(block, 0x5A, size_bytes);
    return block;
}

// A block among others of its size, as in a program that has been at work.
inline char *block_among_others(std::size_t size_bytes)
{
    char *block;

    for (int i = 0; i < 5; i++)
        kept_blocks[i] = block_of(size_bytes);
    block = block_of(size_bytes);
    for (int i = 5; i < 10; i++)
        kept_blocks[i] = block_of(size_bytes);
    return block;
}

inline void *free_there(void *block)
{
    std::free(block);
    return nullptr;
}

inline void free_elsewhere(char *block)
{
    pthread_t thread;

    if (pthread_create(&thread, nullptr, free_there, block) == 0)
        pthread_join(thread, nullptr);
}

// What a program does next: whoever looks at free memory has occasion to.
inline void go_on(std::size_t size_bytes)
{
    for (int round = 0; round < 3; round++) {
        char *blocks[200];
        int count = size_bytes > 16 * KIB ? 8 : 200;

        for (int i = 0; i < count; i++)
            blocks[i] = block_of(size_bytes);
        for (int i = 0; i < count; i++)
            std::free(blocks[i]);
    }
}

#endif

// Trap: a program has operator new of its own, which asks malloc, and uses the library's operator
// delete. Where malloc and free are the same as those two, as they are with all common allocators,
// this is no mistake; blocks that note how they were asked for must not be held to it.
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

#include "trap.h"

namespace {
int asked;
// Of a slab, of a run, and a mapping.
constexpr std::size_t sizes[] = {1000, 60000, std::size_t{4} << 20};

// The compiler shall not know where a block comes from.
void *hidden(void *block)
{
    void *volatile kept = block;

    return kept;
}
} // namespace

void *operator new(std::size_t size)
{
    void *memory = std::malloc(size);

    asked++;
    if (memory == nullptr)
        throw std::bad_alloc();
    return memory;
}

int main()
{
    for (std::size_t size : sizes) {
        void *memory = hidden(::operator new(size));

        std::memset(memory, 1, size);
        ::operator delete(memory);
        memory = hidden(::operator new(size));
        ::operator delete(memory, size);
        memory = hidden(::operator new[](size));
        ::operator delete[](memory);
        // And the other way round.
        memory = hidden(::operator new(size, std::nothrow));
        std::free(memory);
    }
    REQUIRE(asked >= 6);
    return 0;
}

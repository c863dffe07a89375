// Trap: one operator, OWN_..., is the program's own and goes to malloc or free; all others are the
// library's. Each block is freed as C++ asks for it, so at no level is this a mistake.
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>

#include "trap.h"

namespace {
int called;
constexpr std::align_val_t alignment{64};

[[maybe_unused]] void *take(std::size_t size, std::align_val_t at = std::align_val_t{16})
{
    auto step = static_cast<std::size_t>(at);

    called++;
    return std::aligned_alloc(step, (size + step - 1) / step * step);
}

[[maybe_unused]] void give(void *block)
{
    called++;
    std::free(block);
}

// The compiler shall not know where a block comes from.
void *used(void *block, std::size_t size)
{
    void *volatile kept = block;

    REQUIRE(block != nullptr);
    std::memset(block, 1, size);
    return kept;
}
} // namespace

#ifdef OWN_IS_ARRAY
#define KIND []
#else
#define KIND
#endif

#if defined OWN_new
void *operator new KIND(std::size_t size) { return take(size); }
#elif defined OWN_new_nothrow
void *operator new KIND(std::size_t size, const std::nothrow_t &) noexcept { return take(size); }
#elif defined OWN_new_aligned
void *operator new KIND(std::size_t size, std::align_val_t at) { return take(size, at); }
#elif defined OWN_new_aligned_nothrow
void *operator new KIND(std::size_t size, std::align_val_t at, const std::nothrow_t &) noexcept
{
    return take(size, at);
}
#elif defined OWN_delete
void operator delete KIND(void *block) noexcept { give(block); }
#elif defined OWN_delete_sized
void operator delete KIND(void *block, std::size_t) noexcept { give(block); }
#elif defined OWN_delete_aligned
void operator delete KIND(void *block, std::align_val_t) noexcept { give(block); }
#elif defined OWN_delete_aligned_sized
void operator delete KIND(void *block, std::size_t, std::align_val_t) noexcept { give(block); }
#elif defined OWN_delete_nothrow
void operator delete KIND(void *block, const std::nothrow_t &) noexcept { give(block); }
#elif defined OWN_delete_aligned_nothrow
void operator delete KIND(void *block, std::align_val_t, const std::nothrow_t &) noexcept
{
    give(block);
}
#else
#error "which operator?"
#endif

int main()
{
    // Of a slab, of a run, and a mapping; multiples of the alignment, as the own operators ask.
    for (std::size_t size : {std::size_t{960}, std::size_t{60032}, std::size_t{4} << 20}) {
        ::operator delete(used(::operator new(size), size));
        ::operator delete(used(::operator new(size), size), size);
        ::operator delete(used(::operator new(size, std::nothrow), size));
        ::operator delete(used(::operator new(size), size), std::nothrow);
        ::operator delete[](used(::operator new[](size), size));
        ::operator delete[](used(::operator new[](size), size), size);
        ::operator delete[](used(::operator new[](size, std::nothrow), size));
        ::operator delete[](used(::operator new[](size), size), std::nothrow);

        ::operator delete(used(::operator new(size, alignment), size), alignment);
        ::operator delete(used(::operator new(size, alignment), size), size, alignment);
        ::operator delete(used(::operator new(size, alignment, std::nothrow), size), alignment);
        ::operator delete(used(::operator new(size, alignment), size), alignment, std::nothrow);
        ::operator delete[](used(::operator new[](size, alignment), size), alignment);
        ::operator delete[](used(::operator new[](size, alignment), size), size, alignment);
        ::operator delete[](used(::operator new[](size, alignment, std::nothrow), size), alignment);
        ::operator delete[](used(::operator new[](size, alignment), size), alignment, std::nothrow);
    }
    REQUIRE(called >= 3);
    return 0;
}

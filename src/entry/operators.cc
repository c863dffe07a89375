// operator new and delete in all forms (C++17 [new.delete]), on the same two functions as malloc and free.
//
// The C++ library is not linked in, since a C program has none: what is needed of it, the new-handler and the
// way to throw, is found through weak references, which are there in every C++ program.
#include <cstddef>
#include <new>

extern "C" {
void *np_serve_new(std::size_t size_bytes, unsigned form,
                   void *(*slowly)(std::size_t size_bytes, unsigned form));
void *np_serve_new_take(std::size_t size_bytes, std::size_t alignment_bytes,
                        unsigned form) noexcept;
void np_serve_new_give(void *memory, unsigned form) noexcept;
void np_serve_new_give_sized(void *memory, std::size_t size_bytes, unsigned form) noexcept;
void np_serve_new_give_aligned_sized(void *memory, std::size_t size_bytes,
                                     std::size_t alignment_bytes, unsigned form) noexcept;
void np_serve_new_give_aligned(void *memory, std::size_t alignment_bytes,
                               unsigned form) noexcept;
void np_serve_new_match_forms() noexcept;
[[noreturn]] void np_die(const char *sentence);
}

namespace std {
[[gnu::weak]] new_handler get_new_handler() noexcept;
[[gnu::weak, noreturn]] void __throw_bad_alloc();
} // namespace std

// What catching an exception refers to; weak for the same reason.
__asm__(".weak __gxx_personality_v0\n.weak __cxa_begin_catch\n.weak __cxa_end_catch\n"
        ".weak _Unwind_Resume\n.weak _ZSt9terminatev");

namespace {

// enum np_form of core/strict.h.
enum Form : unsigned { one = 1, array = 2, aligned_one = 3, aligned_array = 4 };

constexpr std::size_t plain_alignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

// [new.delete.single]: while there is a handler, it is called and the request tried again.
bool call_handler()
{
    std::new_handler handler = std::get_new_handler != nullptr ? std::get_new_handler() : nullptr;

    if (handler == nullptr)
        return false;
    handler();
    return true;
}

[[gnu::cold, gnu::noinline]] void *take(std::size_t size_bytes, std::size_t alignment_bytes, unsigned form)
{
    void *memory;

    while ((memory = np_serve_new_take(size_bytes, alignment_bytes, form)) == nullptr) {
        if (call_handler())
            continue;
        if (std::__throw_bad_alloc != nullptr)
            std::__throw_bad_alloc();
        np_die("operator new found no memory, and no C++ library to throw bad_alloc");
    }
    return memory;
}

// A handler may throw where the form may not; noexcept alone would end the process, so the exception is
// swallowed, as the standard library does.
[[gnu::cold, gnu::noinline]] void *take_or_null(std::size_t size_bytes, std::size_t alignment_bytes,
                                     Form form) noexcept
{
    try {
        void *memory;

        while ((memory = np_serve_new_take(size_bytes, alignment_bytes, form)) == nullptr)
            if (!call_handler())
                return nullptr;
        return memory;
    } catch (...) {
        return nullptr;
    }
}

// What the fast path of operator new does not serve.
void *take_plain(std::size_t size_bytes, unsigned form)
{
    return take(size_bytes, plain_alignment, form);
}

} // namespace

// All lie in one section, whose edges the linker names: by those it is known which are ours.
#define OURS __attribute__((section("neap_operators")))
#define EXPORT OURS __attribute__((visibility("default")))
#define COLD __attribute__((cold))
#define ALIAS(name) __attribute__((alias(name)))

// By these names they are ours, whatever functions of its own the program has.
extern "C" {
OURS __attribute__((visibility("hidden"))) void *np_serve_own_new(std::size_t size)
{
    return np_serve_new(size, one, take_plain);
}
OURS __attribute__((visibility("hidden"))) void *np_serve_own_new_array(std::size_t size)
{
    return np_serve_new(size, array, take_plain);
}
OURS __attribute__((visibility("hidden"))) void np_serve_own_delete(void *block) noexcept { np_serve_new_give(block, one); }
OURS __attribute__((visibility("hidden"))) void np_serve_own_delete_array(void *block) noexcept
{
    np_serve_new_give(block, array);
}
}

__attribute__((visibility("default"))) ALIAS("np_serve_own_new") void *operator new(std::size_t size);
__attribute__((visibility("default"))) ALIAS("np_serve_own_new_array") void *operator new[](std::size_t size);
EXPORT COLD void *operator new(std::size_t size, std::align_val_t alignment)
{
    return take(size, static_cast<std::size_t>(alignment), aligned_one);
}
EXPORT COLD void *operator new[](std::size_t size, std::align_val_t alignment)
{
    return take(size, static_cast<std::size_t>(alignment), aligned_array);
}
EXPORT COLD void *operator new(std::size_t size, const std::nothrow_t &) noexcept
{
    return take_or_null(size, plain_alignment, one);
}
EXPORT COLD void *operator new[](std::size_t size, const std::nothrow_t &) noexcept
{
    return take_or_null(size, plain_alignment, array);
}
EXPORT COLD void *operator new(std::size_t size, std::align_val_t alignment,
                          const std::nothrow_t &) noexcept
{
    return take_or_null(size, static_cast<std::size_t>(alignment), aligned_one);
}
EXPORT COLD void *operator new[](std::size_t size, std::align_val_t alignment,
                            const std::nothrow_t &) noexcept
{
    return take_or_null(size, static_cast<std::size_t>(alignment), aligned_array);
}

__attribute__((visibility("default"))) ALIAS("np_serve_own_delete") void operator delete(void *block) noexcept;
__attribute__((visibility("default"))) ALIAS("np_serve_own_delete_array") void operator delete[](void *block) noexcept;

EXPORT void operator delete(void *block, std::size_t size) noexcept
{
    np_serve_new_give_sized(block, size, one);
}
EXPORT void operator delete[](void *block, std::size_t size) noexcept
{
    np_serve_new_give_sized(block, size, array);
}
EXPORT COLD void operator delete(void *block, std::align_val_t alignment) noexcept
{
    np_serve_new_give_aligned(block, static_cast<std::size_t>(alignment), aligned_one);
}
EXPORT COLD void operator delete[](void *block, std::align_val_t alignment) noexcept
{
    np_serve_new_give_aligned(block, static_cast<std::size_t>(alignment), aligned_array);
}
EXPORT COLD void operator delete(void *block, std::size_t size, std::align_val_t alignment) noexcept
{
    np_serve_new_give_aligned_sized(block, size, static_cast<std::size_t>(alignment), aligned_one);
}
EXPORT COLD void operator delete[](void *block, std::size_t size, std::align_val_t alignment) noexcept
{
    np_serve_new_give_aligned_sized(block, size, static_cast<std::size_t>(alignment), aligned_array);
}
// Where nothing is thrown anyway, they are the same functions.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wattribute-alias"
#pragma GCC diagnostic ignored "-Wmissing-attributes"
#endif
__attribute__((visibility("default"))) ALIAS("np_serve_own_delete")
void operator delete(void *block, const std::nothrow_t &) noexcept;
__attribute__((visibility("default"))) ALIAS("np_serve_own_delete_array")
void operator delete[](void *block, const std::nothrow_t &) noexcept;
__attribute__((visibility("default"))) ALIAS("_ZdlPvSt11align_val_t")
void operator delete(void *block, std::align_val_t alignment,
                            const std::nothrow_t &) noexcept;
__attribute__((visibility("default"))) ALIAS("_ZdaPvSt11align_val_t")
void operator delete[](void *block, std::align_val_t alignment,
                              const std::nothrow_t &) noexcept;

extern "C" {
extern const char __start_neap_operators[] __attribute__((visibility("hidden")));
extern const char __stop_neap_operators[] __attribute__((visibility("hidden")));
}

// A program that has functions of its own for some of the forms may ask by one of those and free by ours, or the other way
// round. Where all are ours, forms must match.
__attribute__((constructor, cold)) static void compare_forms()
{
    using Size = std::size_t;
    using Align = std::align_val_t;
    using Nothrow = const std::nothrow_t &;
#define NEW(name, ...) reinterpret_cast<const char *>(static_cast<void *(*)(__VA_ARGS__)>(::operator name))
#define DELETE(name, ...) reinterpret_cast<const char *>(static_cast<void (*)(__VA_ARGS__)>(::operator name))
    static const char *const operators[] = {
        NEW(new, Size), NEW(new, Size, Nothrow), NEW(new, Size, Align), NEW(new, Size, Align, Nothrow),
        NEW(new[], Size), NEW(new[], Size, Nothrow), NEW(new[], Size, Align), NEW(new[], Size, Align, Nothrow),
        DELETE(delete, void *), DELETE(delete, void *, Size),
        DELETE(delete, void *, Align), DELETE(delete, void *, Size, Align),
        DELETE(delete, void *, Nothrow), DELETE(delete, void *, Align, Nothrow),
        DELETE(delete[], void *), DELETE(delete[], void *, Size),
        DELETE(delete[], void *, Align), DELETE(delete[], void *, Size, Align),
        DELETE(delete[], void *, Nothrow), DELETE(delete[], void *, Align, Nothrow)};

    for (const char *const volatile *at = operators; at != operators + sizeof(operators) / sizeof(*operators); at++)
        if (*at < __start_neap_operators || *at >= __stop_neap_operators)
            return;
    np_serve_new_match_forms();
}

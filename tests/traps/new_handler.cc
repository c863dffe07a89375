// Trap: memory runs out under operator new while the program keeps some for that case. As
// [new.delete] has it, the new-handler is asked, and the request tried again, until there is
// memory; only when the handler takes itself away does bad_alloc come, or null. A request that is
// larger than anything shows the calls of the handler, but not that what the handler frees is used.
#include <new>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <sys/resource.h>
#include <sys/wait.h>

#include "trap.h"

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::size_t limit_bytes = 256 * mib;
constexpr std::size_t reserve_bytes = 64 * mib;
constexpr std::align_val_t align{4096};

struct form {
    void *(*take)(std::size_t size_bytes);
    std::size_t alignment_bytes;
};

// Of a slab, of a run, and a mapping.
constexpr std::size_t sizes_bytes[] = {1000, 60000, 40 * mib};

constexpr form forms[] = {
    {[](std::size_t size) { return ::operator new(size); }, 16},
    {[](std::size_t size) { return ::operator new[](size); }, 16},
    {[](std::size_t size) { return ::operator new(size, std::nothrow); }, 16},
    {[](std::size_t size) { return ::operator new[](size, std::nothrow); }, 16},
    {[](std::size_t size) { return ::operator new(size, align); }, 4096},
    {[](std::size_t size) { return ::operator new[](size, align); }, 4096},
    {[](std::size_t size) { return ::operator new(size, align, std::nothrow); }, 4096},
    {[](std::size_t size) { return ::operator new[](size, align, std::nothrow); }, 4096},
};

void *reserve;
unsigned handler_calls;

// Has nothing to give at first, as one that asks other threads; then the reserve; then gives up.
void handler()
{
    if (++handler_calls == 3) {
        std::free(reserve);
        reserve = nullptr;
    } else if (handler_calls > 3) {
        std::set_new_handler(nullptr);
    }
}

// Null for either way of saying that there is no memory.
void *take(const form &form, std::size_t size_bytes)
{
    void *block;

    try {
        block = form.take(size_bytes);
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
    REQUIRE(reinterpret_cast<std::uintptr_t>(block) % form.alignment_bytes == 0);
    if (block != nullptr)
        std::memset(block, 1, size_bytes);
    return block;
}

// What is left of the address space goes, to the last small block.
void use_up_memory()
{
    for (std::size_t size_bytes = 4 * mib; size_bytes > 0; size_bytes /= 4)
        while (std::malloc(size_bytes) != nullptr)
            continue;
}

void take_all_by(const form &form, std::size_t size_bytes)
{
    struct rlimit limit = {limit_bytes, limit_bytes};
    std::size_t taken_bytes = 0;
    std::size_t step_bytes = size_bytes > form.alignment_bytes ? size_bytes : form.alignment_bytes;

    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    reserve = std::malloc(reserve_bytes);
    REQUIRE(reserve != nullptr);
    use_up_memory();
    std::set_new_handler(handler);
    REQUIRE(take(form, size_bytes) != nullptr && handler_calls == 3);
    while (take(form, size_bytes) != nullptr)
        taken_bytes += step_bytes;
    REQUIRE(handler_calls == 4 && std::get_new_handler() == nullptr);
    REQUIRE(taken_bytes + step_bytes >= reserve_bytes / 2 && taken_bytes < reserve_bytes);
}

void in_child(const form &form, std::size_t size_bytes)
{
    pid_t child = fork();
    int status;

    REQUIRE(child >= 0);
    if (child == 0) {
        take_all_by(form, size_bytes);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
}

} // namespace

int main()
{
    alarm(240);
    for (const form &form : forms)
        for (std::size_t size_bytes : sizes_bytes)
            in_child(form, size_bytes);
    return 0;
}

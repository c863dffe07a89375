// A C++ program of a user: operator new, a container, and an exception.
#include "served.h"

#include <cstdio>
#include <new>
#include <vector>

int main()
{
    std::size_t before = live_bytes();
    char *block = new char[SERVED_BLOCK_BYTES];
    served_escape = block;
    std::size_t during = live_bytes();
    delete[] block;
    require_served("operator new[]", before, during, live_bytes());

    before = live_bytes();
    {
        std::vector<char> bytes(SERVED_BLOCK_BYTES);
        served_escape = bytes.data();
        during = live_bytes();
    }
    require_served("std::vector", before, during, live_bytes());

    try {
        std::size_t volatile too_much = static_cast<std::size_t>(-1) / 4;
        ::operator delete(::operator new(too_much));
        std::fputs("operator new returned for a quarter of the address space\n", stderr);
        return 1;
    } catch (const std::bad_alloc &) {
    }
    std::puts("served by neap");
    return 0;
}

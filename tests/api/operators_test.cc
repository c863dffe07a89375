// Every form of operator new and delete, under interposition: whether it is ours, aligned, honours
// the new-handler, and throws or not as the standard says ([new.delete], C++17).
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>

extern "C" {
#include <cmocka.h>
}

#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "neap/neap.h"

namespace {

constexpr std::size_t sizes[] = {0, 1, 8, 16, 24, 100, 1000, 5000, 16384, 70000, 300000, 5000000};

// The compiler knows no size that it reads here, and leaves out no call whose result goes there.
volatile std::size_t huge = sizeof(void *) == 8 ? SIZE_MAX / 2 - 100 : SIZE_MAX / 2 + 1;
volatile std::size_t largest = SIZE_MAX;
void *volatile sink;

bool is_aligned(void *block, std::size_t alignment)
{
    return reinterpret_cast<std::uintptr_t>(block) % alignment == 0;
}

// In use, according to neap itself.
std::size_t live_bytes()
{
    struct neap_mallinfo2 info = neap_mallinfo2();

    return info.uordblks + info.hblkhd;
}

void plain_forms(void **)
{
    for (std::size_t size : sizes) {
        std::size_t before = live_bytes();
        void *one = ::operator new(size);
        void *array = ::operator new[](size);

        assert_non_null(one);
        assert_non_null(array);
        assert_true(is_aligned(one, 16) && is_aligned(array, 16));
        assert_true(neap_malloc_usable_size(one) >= size);
        assert_true(live_bytes() >= before + 2 * size);
        std::memset(one, 1, size);
        std::memset(array, 2, size);
        ::operator delete(one);
        ::operator delete[](array);
        assert_int_equal(live_bytes(), before);
    }
}

void sized_forms(void **)
{
    for (std::size_t size : sizes) {
        std::size_t before = live_bytes();
        void *one = ::operator new(size);
        void *array = ::operator new[](size);

        ::operator delete(one, size);
        ::operator delete[](array, size);
        assert_int_equal(live_bytes(), before);
    }
}

void nothrow_forms(void **)
{
    for (std::size_t size : sizes) {
        std::size_t before = live_bytes();
        void *one = ::operator new(size, std::nothrow);
        void *array = ::operator new[](size, std::nothrow);

        assert_non_null(one);
        assert_non_null(array);
        ::operator delete(one, std::nothrow);
        ::operator delete[](array, std::nothrow);
        assert_int_equal(live_bytes(), before);
    }
}

void aligned_forms(void **)
{
    for (std::size_t alignment = 1; alignment <= 1048576; alignment *= 4) {
        for (std::size_t size : sizes) {
            std::align_val_t align{alignment};
            std::size_t before = live_bytes();
            void *blocks[6] = {
                ::operator new(size, align),
                ::operator new[](size, align),
                ::operator new(size, align, std::nothrow),
                ::operator new[](size, align, std::nothrow),
                ::operator new(size, align),
                ::operator new[](size, align),
            };

            for (void *block : blocks) {
                assert_non_null(block);
                assert_true(is_aligned(block, alignment) && is_aligned(block, 16));
            }
            ::operator delete(blocks[0], align);
            ::operator delete[](blocks[1], align);
            ::operator delete(blocks[2], align, std::nothrow);
            ::operator delete[](blocks[3], align, std::nothrow);
            ::operator delete(blocks[4], size, align);
            ::operator delete[](blocks[5], size, align);
            assert_int_equal(live_bytes(), before);
        }
    }
}

void deleting_null_does_nothing(void **)
{
    std::align_val_t align{64};

    ::operator delete(nullptr);
    ::operator delete[](nullptr);
    ::operator delete(nullptr, std::size_t{10});
    ::operator delete[](nullptr, std::size_t{10});
    ::operator delete(nullptr, std::nothrow);
    ::operator delete[](nullptr, std::nothrow);
    ::operator delete(nullptr, align);
    ::operator delete[](nullptr, align);
    ::operator delete(nullptr, std::size_t{10}, align);
    ::operator delete[](nullptr, std::size_t{10}, align);
    ::operator delete(nullptr, align, std::nothrow);
    ::operator delete[](nullptr, align, std::nothrow);
}

template <typename Function> bool throws_bad_alloc(Function function)
{
    try {
        function();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void too_much_throws_bad_alloc(void **)
{
    std::align_val_t align{64};

    assert_true(throws_bad_alloc([] { sink = ::operator new(huge); }));
    assert_true(throws_bad_alloc([] { sink = ::operator new[](huge); }));
    assert_true(throws_bad_alloc([&] { sink = ::operator new(huge, align); }));
    assert_true(throws_bad_alloc([&] { sink = ::operator new[](huge, align); }));
    assert_true(throws_bad_alloc([] { sink = ::operator new(largest); }));
}

void too_much_is_null_for_nothrow(void **)
{
    std::align_val_t align{64};

    assert_null(::operator new(huge, std::nothrow));
    assert_null(::operator new[](huge, std::nothrow));
    assert_null(::operator new(huge, align, std::nothrow));
    assert_null(::operator new[](huge, align, std::nothrow));
}

int handler_calls;

// Gives up after three calls, by taking itself away.
void counting_handler()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

struct handler_gives_up {};

[[noreturn]] void throwing_handler()
{
    handler_calls++;
    throw handler_gives_up();
}

[[noreturn]] void handler_throwing_bad_alloc()
{
    handler_calls++;
    throw std::bad_alloc();
}

template <typename Function> int handler_calls_of(Function function)
{
    handler_calls = 0;
    std::set_new_handler(counting_handler);
    function();
    std::set_new_handler(nullptr);
    return handler_calls;
}

// It is called until it succeeds or is gone, and only then does the operator throw ...
void new_handler_is_called_until_it_gives_up(void **)
{
    std::align_val_t align{64};
    auto one = [] { sink = ::operator new(huge); };
    auto array = [] { sink = ::operator new[](huge); };
    auto aligned_one = [&] { sink = ::operator new(huge, align); };
    auto aligned_array = [&] { sink = ::operator new[](huge, align); };

    assert_int_equal(handler_calls_of([&] { assert_true(throws_bad_alloc(one)); }), 3);
    assert_int_equal(handler_calls_of([&] { assert_true(throws_bad_alloc(array)); }), 3);
    assert_int_equal(handler_calls_of([&] { assert_true(throws_bad_alloc(aligned_one)); }), 3);
    assert_int_equal(handler_calls_of([&] { assert_true(throws_bad_alloc(aligned_array)); }), 3);
}

// ... or return null.
void new_handler_is_called_by_nothrow_too(void **)
{
    std::align_val_t align{64};
    auto one = [] { assert_null(::operator new(huge, std::nothrow)); };
    auto array = [] { assert_null(::operator new[](huge, std::nothrow)); };
    auto aligned_one = [&] { assert_null(::operator new(huge, align, std::nothrow)); };
    auto aligned_array = [&] { assert_null(::operator new[](huge, align, std::nothrow)); };

    assert_int_equal(handler_calls_of(one), 3);
    assert_int_equal(handler_calls_of(array), 3);
    assert_int_equal(handler_calls_of(aligned_one), 3);
    assert_int_equal(handler_calls_of(aligned_array), 3);
}

void what_the_handler_throws_comes_through(void **)
{
    bool came = false;

    handler_calls = 0;
    std::set_new_handler(throwing_handler);
    try {
        sink = ::operator new(huge);
    } catch (const handler_gives_up &) {
        came = true;
    }
    std::set_new_handler(nullptr);
    assert_true(came);
    assert_int_equal(handler_calls, 1);
}

// [new.delete.single]: the nothrow forms turn it into null.
void nothrow_swallows_the_handlers_bad_alloc(void **)
{
    std::align_val_t align{64};

    handler_calls = 0;
    std::set_new_handler(handler_throwing_bad_alloc);
    assert_null(::operator new(huge, std::nothrow));
    assert_null(::operator new[](huge, std::nothrow));
    assert_null(::operator new(huge, align, std::nothrow));
    assert_null(::operator new[](huge, align, std::nothrow));
    std::set_new_handler(nullptr);
    assert_int_equal(handler_calls, 4);
}

struct alignas(128) wide {
    char bytes[200];
};

void expressions_and_containers(void **)
{
    std::size_t before = live_bytes();
    {
        std::unique_ptr<wide> one(new wide());
        std::unique_ptr<wide[]> many(new wide[37]());
        std::unique_ptr<int[]> numbers(new (std::nothrow) int[1000]);
        std::vector<std::string> strings;

        assert_true(is_aligned(one.get(), 128) && is_aligned(many.get(), 128));
        for (int i = 0; i < 20000; i++)
            strings.push_back(std::string(static_cast<std::size_t>(i) % 300, 'x'));
        for (std::size_t i = 0; i < strings.size(); i++)
            assert_int_equal(strings[i].size(), i % 300);
        numbers[999] = 1;
    }
    assert_int_equal(live_bytes(), before);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_forms),
        cmocka_unit_test(sized_forms),
        cmocka_unit_test(nothrow_forms),
        cmocka_unit_test(aligned_forms),
        cmocka_unit_test(deleting_null_does_nothing),
        cmocka_unit_test(too_much_throws_bad_alloc),
        cmocka_unit_test(too_much_is_null_for_nothrow),
        cmocka_unit_test(new_handler_is_called_until_it_gives_up),
        cmocka_unit_test(new_handler_is_called_by_nothrow_too),
        cmocka_unit_test(what_the_handler_throws_comes_through),
        cmocka_unit_test(nothrow_swallows_the_handlers_bad_alloc),
        cmocka_unit_test(expressions_and_containers),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}

// Makes a compiler work: the library's heavy headers, and templates of our own that recurse.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace {

template <std::size_t N> struct fibonacci {
    static constexpr unsigned long long value =
        fibonacci<N - 1>::value + fibonacci<N - 2>::value;
};
template <> struct fibonacci<1> { static constexpr unsigned long long value = 1; };
template <> struct fibonacci<0> { static constexpr unsigned long long value = 0; };

template <std::size_t N> struct number {
    unsigned values[N % 13 + 1];
    unsigned sum() const { return std::accumulate(std::begin(values), std::end(values), 0u); }
};

template <std::size_t... Index> auto make_all(std::index_sequence<Index...>)
{
    return std::make_tuple(number<Index>{{static_cast<unsigned>(Index)}}...);
}

template <typename Tuple, std::size_t... Index>
unsigned sum_all(const Tuple &all, std::index_sequence<Index...>)
{
    return (std::get<Index>(all).sum() + ...);
}

using any_number = std::variant<number<1>, number<2>, number<3>, number<4>, number<5>, number<6>>;

template <std::size_t N> unsigned sort_by_map()
{
    std::map<std::string, std::unordered_map<int, std::vector<number<N>>>> table;
    for (unsigned i = 0; i < 20; i++)
        table[std::to_string(i % 7)][static_cast<int>(i)].push_back(number<N>{{i}});
    unsigned total = 0;
    for (const auto &[key, inner] : table)
        for (const auto &[index, list] : inner)
            total += static_cast<unsigned>(key.size()) + list.front().sum() +
                     static_cast<unsigned>(index);
    return total;
}

template <std::size_t... Index> unsigned sort_all(std::index_sequence<Index...>)
{
    return (sort_by_map<Index>() + ...);
}

} // namespace

int main()
{
    constexpr auto many = std::make_index_sequence<100>{};
    std::cout << fibonacci<80>::value << '\n' << sum_all(make_all(many), many) << '\n';
    std::cout << sort_all(std::make_index_sequence<6>{}) << '\n';
    any_number one = number<4>{{7}};
    std::cout << std::visit([](const auto &value) { return value.sum(); }, one) << '\n';
    return 0;
}

// A C++ program: containers, aligned and nothrow new, exceptions, thread-local objects, iostreams,
// regular expressions. Prints what is the same on every run.
#include <deque>
#include <iostream>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

struct alignas(256) wide {
    char bytes[256];
};

void fill_containers()
{
    std::minstd_rand draw(7);
    std::map<std::string, std::vector<int>> table;
    std::unordered_map<int, std::string> names;
    std::list<std::set<int>> sets;
    std::deque<std::unique_ptr<int>> queue;

    for (int i = 0; i < 60000; i++) {
        const int key = static_cast<int>(draw() % 3000);
        table[std::to_string(key)].push_back(i);
        names[key] += std::to_string(i);
        queue.push_back(std::make_unique<int>(key));
        if (queue.size() > 500)
            queue.pop_front();
        if (i % 100 == 0)
            sets.emplace_back();
        sets.back().insert(key);
        if (i % 7 == 0)
            table.erase(std::to_string(draw() % 3000));
    }
    std::size_t total = 0;
    for (const auto &[key, list] : table)
        total += key.size() * list.size();
    for (const auto &[key, name] : names)
        total += name.size();
    for (const auto &set : sets)
        total += set.size();
    std::cout << "containers: " << total << ' ' << *queue.back() << '\n';
}

void use_operators()
{
    auto wides = std::make_unique<wide[]>(100);
    std::cout << "aligned: " << reinterpret_cast<std::size_t>(wides.get()) % 256 << '\n';

    const std::size_t volatile too_much = static_cast<std::size_t>(-1) / 4;
    std::cout << "nothrow: " << static_cast<bool>(::operator new(too_much, std::nothrow)) << '\n';
    try {
        ::operator delete(::operator new(too_much));
        std::cout << "no exception\n";
    } catch (const std::bad_alloc &error) {
        std::cout << "caught: " << error.what() << '\n';
    }

    static int calls = 0;
    std::set_new_handler([] {
        if (++calls == 3)
            std::set_new_handler(nullptr);
    });
    try {
        ::operator delete(::operator new(too_much));
    } catch (const std::bad_alloc &) {
        std::cout << "new-handler called: " << calls << '\n';
    }

    std::set_new_handler([] { throw std::bad_alloc(); });
    std::cout << "nothrow: " << static_cast<bool>(::operator new(too_much, std::nothrow)) << '\n';
    std::set_new_handler(nullptr);
}

void throw_deeply(int depth, std::string text)
{
    std::vector<std::string> held(10, text);
    if (depth == 0)
        throw std::runtime_error(text);
    throw_deeply(depth - 1, text + "x");
}

void use_exceptions()
{
    std::size_t total = 0;
    for (int i = 0; i < 300; i++) {
        try {
            throw_deeply(i % 50, std::string(static_cast<std::size_t>(i), 'y'));
        } catch (const std::runtime_error &error) {
            total += std::string(error.what()).size();
        }
    }
    std::cout << "exceptions: " << total << '\n';
}

// Lives as long as its thread, and allocates in its destructor.
struct notebook {
    std::vector<std::string> pages;
    ~notebook()
    {
        pages.resize(pages.size() * 2, "last words, long enough to leave the string itself");
    }
};

thread_local notebook own_notebook;

void use_threads()
{
    std::vector<std::thread> threads;
    std::vector<std::vector<std::string>> made(16);
    for (unsigned i = 0; i < 16; i++) {
        threads.emplace_back([i, &made] {
            std::ostringstream stream;
            for (unsigned k = 0; k < 3000; k++) {
                stream.str("");
                stream << i << ' ' << k << std::string(k % 100, '.');
                own_notebook.pages.push_back(stream.str());
                made[i].push_back(stream.str());
            }
        });
    }
    for (auto &thread : threads)
        thread.join();
    std::size_t total = 0;
    for (auto &list : made)
        for (auto &text : list)
            total += text.size();
    made.clear();
    std::cout << "threads: " << total << '\n';
}

void use_regex()
{
    std::string text;
    for (int i = 0; i < 3000; i++)
        text += "key" + std::to_string(i % 37) + "=value" + std::to_string(i) + ";";
    const std::regex pattern("key([0-9]+)=(value[0-9]*7);");
    const auto count =
        std::distance(std::sregex_iterator(text.begin(), text.end(), pattern), {});
    std::cout << "regex: " << count << '\n';
}

} // namespace

int main()
{
    fill_containers();
    use_operators();
    use_exceptions();
    use_threads();
    use_regex();
    return 0;
}

/* containers.cc: the program `containers`: workloads in C++, whose blocks come from operator new by
 * way of the library's containers, and go by operator delete, mostly with their size.
 *
 * A program of its own, so that `workloads` does not load the library of C++.
 */
#include "choose.h"

#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

/* cxx-map: an ordered and a hashed index of the same keys, entries come and go. */

constexpr size_t KEY_COUNT = 30000;

std::string key_of(size_t number)
{
    /* Every second one is too long to fit into the string itself. */
    return (number % 2 == 0 ? "k" : "a_key_that_is_longer_than_that/") + std::to_string(number);
}

void live_maps(share *share)
{
    std::map<std::string, uint64_t> ordered;
    std::unordered_map<std::string, std::string> hashed;
    size_t key_count = slice_count(share, KEY_COUNT);

    for (size_t left = shared_out(share, 300000); left > 0; left--) {
        std::string key = key_of(random_below(&share->random, key_count));
        auto found = ordered.find(key);

        if (found == ordered.end()) {
            ordered.emplace(key, left);
            hashed[key].assign(random_below(&share->random, 60), 'v');
            continue;
        }
        share->sum += found->second + hashed[key].size();
        ordered.erase(found);
        hashed.erase(key);
    }
    for (const auto &entry : ordered)
        share->sum += entry.second;
}

/* cxx-graph: objects with virtual functions that share others, in vectors that grow; a part of
 * them is dropped in every round. */

struct shape {
    virtual ~shape() = default;
    virtual uint64_t area() const = 0;
};

struct square : shape {
    explicit square(uint64_t size) : side(size) {}
    uint64_t area() const override { return side * side; }
    uint64_t side;
};

struct group : shape {
    uint64_t area() const override
    {
        uint64_t sum = 0;

        for (const auto &part : parts)
            sum += part->area();
        return sum;
    }
    std::vector<std::shared_ptr<shape>> parts;
    std::string name;
};

std::shared_ptr<shape> make_group(share *share, const std::vector<std::shared_ptr<shape>> &known)
{
    auto made = std::make_shared<group>();

    made->name = key_of(known.size());
    for (size_t count = 1 + random_below(&share->random, 8); count > 0; count--)
        made->parts.push_back(std::make_shared<square>(count));
    return made;
}

void live_graph(share *share)
{
    for (size_t turns = shared_out(share, 100); turns > 0; turns--) {
        std::vector<std::shared_ptr<shape>> shapes;
        std::list<std::unique_ptr<square>> loose;

        for (size_t i = 0; i < 8000; i++) {
            shapes.push_back(make_group(share, shapes));
            loose.push_back(std::make_unique<square>(i));
            if (i % 3 == 0)
                shapes[random_below(&share->random, shapes.size())].reset();
            if (i % 2 == 0)
                loose.pop_front();
        }
        for (const auto &one : shapes)
            share->sum += one ? one->area() : 0;
        share->sum += loose.size();
    }
}

uint64_t run_maps(const plan *plan)
{
    return run_shares(plan, live_maps);
}

uint64_t run_graph(const plan *plan)
{
    return run_shares(plan, live_graph);
}

const workload workloads[] = {
    {"cxx-map", run_maps, 1, 0, "C++: maps from strings to strings, entries come and go"},
    {"cxx-map2", run_maps, 2, 0, "the same, two threads"},
    {"cxx-map16", run_maps, 16, 0, "the same, sixteen threads"},
    {"cxx-graph", run_graph, 1, 0, "C++: shared objects, vectors of them, built and dropped"},
    {"cxx-graph2", run_graph, 2, 0, "the same, two threads"},
};

} // namespace

int main(int argument_count, char **arguments)
{
    return choose_and_run(argument_count, arguments, workloads,
                          sizeof workloads / sizeof workloads[0]);
}

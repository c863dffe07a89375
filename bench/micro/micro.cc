/* micro.cc: hands the operations of operations.c to Google Benchmark, and counts instructions and
 * cycles where the machine lets it.
 */
#include "counters.h"
#include "operations.h"

#include <benchmark/benchmark.h>

#include <new>
#include <string>

void *block_new(size_t byte_count)
{
    return ::operator new(byte_count);
}

void block_delete(void *block, size_t byte_count)
{
    ::operator delete(block, byte_count);
}

namespace {

void run_batch(benchmark::State &state, const counters &open, const operation &operation,
               workbench &bench)
{
    if (operation.prepare != nullptr) {
        counters_stop(&open);
        state.PauseTiming();
        operation.prepare(&bench);
        state.ResumeTiming();
        counters_start(&open);
    }
    operation.run(&bench);
}

void report(benchmark::State &state, const counters &open)
{
    for (counter counter : {COUNTER_INSTRUCTIONS, COUNTER_CYCLES}) {
        uint64_t value;

        if (counter_read(&open, counter, &value))
            state.counters[counter_names[counter]] = benchmark::Counter(
                static_cast<double>(value), benchmark::Counter::kAvgIterations);
    }
}

void measure(benchmark::State &state, const operation &operation, size_t byte_count)
{
    static thread_local workbench bench;
    counters open;

    workbench_open(&bench, &operation, byte_count, static_cast<unsigned>(state.thread_index()));
    counters_open_for_self(&open);
    counters_start(&open);
    while (state.KeepRunningBatch(BATCH))
        run_batch(state, open, operation, bench);
    counters_stop(&open);
    report(state, open);
    counters_close(&open);
    workbench_close(&bench, &operation);
}

void register_all()
{
    for (size_t i = 0; i < operation_count; i++) {
        const operation &operation = operations[i];

        for (unsigned at = 0; operation.size(at) != 0; at++) {
            size_t byte_count = operation.size(at);
            auto *made = benchmark::RegisterBenchmark(
                (std::string(operation.name) + "/" + std::to_string(byte_count)).c_str(),
                [&operation, byte_count](benchmark::State &state) {
                    measure(state, operation, byte_count);
                });
            /* A few sizes are enough to see what threads do to one another. */
            if (operation.is_threaded && (byte_count == 64 || byte_count == 1024))
                made->Threads(1)->Threads(2)->Threads(16);
        }
    }
}

bool has_counters()
{
    counters open;
    uint64_t value;

    counters_open_for_self(&open);
    bool is_counted = counter_read(&open, COUNTER_INSTRUCTIONS, &value) != 0;
    counters_close(&open);
    return is_counted;
}

} // namespace

int main(int argument_count, char **arguments)
{
    register_all();
    benchmark::Initialize(&argument_count, arguments);
    if (benchmark::ReportUnrecognizedArguments(argument_count, arguments))
        return 2;
    benchmark::AddCustomContext("counters", has_counters()
                                    ? "instructions and cycles, in user space"
                                    : "none: this machine or its kernel does not let us count");
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}

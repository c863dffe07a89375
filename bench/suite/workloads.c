/* workloads.c: the program `workloads`: the list of workloads in C, and the two about starting.
 * containers.cc has those in C++.
 */
#include "workloads.h"

#include "choose.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t run_start(const struct plan *plan);
static uint64_t run_small(const struct plan *plan);

/* A number at the end of a name is one of threads. */
static const struct workload workloads[] = {
    {"churn", run_churn, 1, CHURN_MIXED, "blocks of mixed sizes and three ages"},
    {"churn2", run_churn, 2, CHURN_MIXED, "the same, two threads"},
    {"churn16", run_churn, 16, CHURN_MIXED, "the same, sixteen threads"},
    {"churn-hot", run_churn, 1, CHURN_HOT, "few live blocks of few sizes, all in the cache"},
    {"churn-tiny", run_churn, 1, CHURN_TINY, "300,000 live blocks of 8 to 64 bytes"},
    {"churn-wide", run_churn, 1, CHURN_WIDE, "sizes from 32 bytes to 256 KiB, alike"},
    {"lives", run_lifetimes, 1, LIFETIMES_SHORT, "random lifetimes, mostly short"},
    {"lives2", run_lifetimes, 2, LIFETIMES_SHORT, "the same, two threads"},
    {"lives16", run_lifetimes, 16, LIFETIMES_SHORT, "the same, sixteen threads"},
    {"lives-long", run_lifetimes, 1, LIFETIMES_LONG, "random lifetimes up to a million steps"},
    {"phases", run_phases, 1, PHASES_RISING, "sizes rise by phases, a tenth of each stays"},
    {"phases-shift", run_phases, 1, PHASES_SHIFTING, "small and large blocks by turns"},
    {"phases2", run_phases, 2, PHASES_RISING, "rising phases, two threads"},
    {"tree", run_tree, 1, 0, "trees, hash tables and strings, built and torn down at once"},
    {"tree2", run_tree, 2, 0, "the same, two threads"},
    {"tree16", run_tree, 16, 0, "the same, sixteen threads"},
    {"list", run_lists, 1, LISTS_LONG, "lists of 500,000 records, freed in four orders"},
    {"list-short", run_lists, 1, LISTS_SHORT, "lists of fifty records, freed in four orders"},
    {"strings", run_strings, 1, 0, "texts made, joined and dropped"},
    {"locality", run_locality, 1, LOCALITY_FRESH, "records walked over and over, fresh heap"},
    {"locality-aged", run_locality, 1, LOCALITY_AGED, "the same in an aged heap"},
    {"locality-aged2", run_locality, 2, LOCALITY_AGED, "the same, two threads"},
    {"server1", run_server, 1, SERVER_SMALL, "blocks replaced, each thread followed by another"},
    {"server2", run_server, 2, SERVER_SMALL, "the same, two threads at a time"},
    {"server16", run_server, 16, SERVER_SMALL, "the same, sixteen threads at a time"},
    {"server-large2", run_server, 2, SERVER_LARGE, "the same with blocks of 4 to 64 KiB"},
    {"server-turn2", run_server, 2, SERVER_TURNOVER, "the same with 4,000 threads in each chain"},
    {"pipe", run_pipe, 2, PIPE_MIXED, "one thread allocates, another frees"},
    {"pipe16", run_pipe, 16, PIPE_MIXED, "eight such pairs"},
    {"pipe-small", run_pipe, 2, PIPE_SMALL, "the pair with messages of 16 to 64 bytes"},
    {"pipe-large", run_pipe, 2, PIPE_LARGE, "the pair with messages of 8 to 128 KiB"},
    {"exchange2", run_exchange, 2, 0, "two threads, each frees what each has made for it"},
    {"exchange16", run_exchange, 16, 0, "sixteen threads, all to all"},
    {"threads1", run_threads, 1, THREADS_BUSY, "short-lived threads with 200 blocks each"},
    {"threads2", run_threads, 2, THREADS_BUSY, "the same, two at a time"},
    {"threads16", run_threads, 16, THREADS_BUSY, "the same, sixteen at a time"},
    {"threads-idle2", run_threads, 2, THREADS_IDLE, "threads that ask for one block"},
    {"share-active2", run_sharing, 2, SHARING_ACTIVE, "writing to small blocks of one's own"},
    {"share-active16", run_sharing, 16, SHARING_ACTIVE, "the same, sixteen threads"},
    {"share-passive2", run_sharing, 2, SHARING_PASSIVE, "the same after freeing neighbours"},
    {"share-passive16", run_sharing, 16, SHARING_PASSIVE, "the same, sixteen threads"},
    {"big", run_big, 1, BIG_MIXED, "four buffers of 1 to 32 MiB, all of them written"},
    {"big-middle", run_big, 1, BIG_MIDDLE, "two buffers of 5 to 25 MiB"},
    {"big-same", run_big, 1, BIG_SAME, "one buffer of 8 MiB over and over"},
    {"big2", run_big, 2, BIG_MIXED, "as big, two threads with two buffers each"},
    {"big16", run_big, 16, BIG_OF_THREADS, "sixteen threads with a buffer of 1 to 8 MiB each"},
    {"fresh", run_fresh, 1, FRESH_SMALL, "a heap that grows to 384 MiB of mixed sizes"},
    {"fresh2", run_fresh, 2, FRESH_SMALL, "the same, two threads"},
    {"fresh-large", run_fresh, 1, FRESH_LARGE, "the same of blocks of 64 to 512 KiB"},
    {"grow", run_grow, 1, 0, "256 buffers that grow by realloc, up to 1 MiB"},
    {"grow2", run_grow, 2, 0, "the same, two threads"},
    {"grow-one", run_grow_one, 1, 0, "one buffer that grows to 256 MiB"},
    {"grow-small", run_grow_small, 1, 0, "20,000 texts that grow by a few bytes"},
    {"zeroed", run_zeroed, 1, 0, "calloc of records and of tables"},
    {"zeroed2", run_zeroed, 2, 0, "the same, two threads"},
    {"zeroed16", run_zeroed, 16, 0, "the same, sixteen threads"},
    {"zeroed-tables", run_zeroed_tables, 1, 0, "calloc of tables up to 16 MiB, hardly touched"},
    {"aligned", run_aligned, 1, ALIGNED_SMALL, "small blocks aligned at 16 to 128 bytes"},
    {"aligned2", run_aligned, 2, ALIGNED_SMALL, "the same, two threads"},
    {"aligned-pages", run_aligned, 1, ALIGNED_PAGES, "buffers aligned at 4 KiB and 2 MiB"},
    {"start", run_start, 1, 0, "a small program, started again and again"},
    {"small", run_small, 1, 0, "that small program, once"},
};

/* small: what a short command does: some hundred blocks, not all of them freed. */
static uint64_t run_small(const struct plan *plan)
{
    struct random random = seeded(7);
    uint64_t sum = 0;

    for (size_t left = scaled(plan, 500); left > 0; left--) {
        size_t byte_count = random_size(&random);
        void *block = take(byte_count);

        fill(block, byte_count, left);
        sum += read_back(block, byte_count);
        if (left % 4 != 0)
            free(block);
    }
    return sum;
}

/* start: time goes into the loader and the allocator's first steps. The peak of resident memory
 * that the caller's wait4 reports is that of the largest of the processes. */
static uint64_t run_start(const struct plan *plan)
{
    size_t start_count = scaled(plan, 500);

    for (size_t i = 0; i < start_count; i++) {
        pid_t child = vfork();
        int status;

        if (child < 0)
            give_up("no process can be made");
        if (child == 0) {
            execl("/proc/self/exe", "workloads", "--quiet", "small", (char *)NULL);
            _exit(127);
        }
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        if (status != 0)
            give_up("the small program failed");
    }
    return start_count;
}

int main(int argument_count, char **arguments)
{
    return choose_and_run(argument_count, arguments, workloads,
                          sizeof workloads / sizeof workloads[0]);
}

/* life.c: see life.h.
 *
 * Work is done by `thread_count` workers, the first of which is the main thread, in phases that
 * a barrier separates; between phases only the main thread runs, and reads the clock and the
 * resident memory. Each worker owns its tables; live_count is the one word that others read.
 * The other threads stay, asleep, until the end: what an idle thread withholds is in the figures.
 */
#include "life.h"

#include "instrument.h"
#include "rss.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    TRACE_STEP_COUNT = 600,         /* samples of one phase: one for each pixel of a chart */
    WAIT_STEP_MS = 20,
    FILL_BYTE = 0xA5
};

enum work { WORK_FILL, WORK_ORDER, WORK_FREE, WORK_DROP_TABLE, WORK_END };

struct life;

struct worker {
    struct life *life;
    void **blocks;
    size_t capacity;                /* pointers that blocks has room for */
    size_t block_target;            /* blocks of each pass */
    size_t block_count;
    void **kept;
    size_t kept_capacity;
    size_t kept_count;
    size_t failed_count;
    _Atomic size_t live_count;      /* written by the worker, read for the trace: no order needed */
    pthread_t thread;
};

struct life {
    const struct life_plan *plan;
    struct life_report *report;
    struct life_sample *samples;
    int statm_fd;
    double start_seconds;
    pthread_barrier_t barrier;
    enum work work;
    unsigned thread_started_count;
    void *pins[LIFE_PASS_MAX];
    struct worker *workers;
};

static bool fail(struct life *life, const char *error)
{
    strncpy(life->report->error, error, sizeof life->report->error - 1);
    return false;
}

static void record_sample(struct life *life, enum life_phase phase)
{
    struct life_report *report = life->report;
    uint64_t live_count = 0;

    if (life->samples == NULL || report->sample_count == LIFE_SAMPLE_MAX)
        return;
    for (unsigned i = 0; i < life->plan->thread_count; i++)
        live_count += atomic_load_explicit(&life->workers[i].live_count, memory_order_relaxed);
    life->samples[report->sample_count++] = (struct life_sample){
        .seconds = np_clock_seconds(CLOCK_MONOTONIC) - life->start_seconds,
        .live_bytes = live_count * life->plan->block_bytes,
        .rss_bytes = np_rss_quick_bytes(life->statm_fd),
        .phase = phase,
    };
}

/* Blocks between two samples. Without a trace, all: the inner loop is then nothing but the
 * allocator's work. */
static size_t stride_of(const struct worker *worker, size_t block_count)
{
    if (worker->life->samples == NULL)
        return block_count;
    return block_count / TRACE_STEP_COUNT + 1;
}

static void progress(struct worker *worker, size_t live_count, enum life_phase phase)
{
    atomic_store_explicit(&worker->live_count, live_count, memory_order_relaxed);
    /* The first worker alone takes samples: it knows about all. */
    if (worker == worker->life->workers)
        record_sample(worker->life, phase);
}

/* Doubles the table as std::vector does: a new one, a copy, the old one freed. */
static bool grow_table(struct worker *worker)
{
    size_t capacity = worker->capacity == 0 ? 1 : worker->capacity * 2;
    void **blocks = malloc(capacity * sizeof *blocks);

    if (blocks == NULL)
        return false;
    if (worker->blocks != NULL)
        memcpy(blocks, worker->blocks, worker->block_count * sizeof *blocks);
    free(worker->blocks);
    worker->blocks = blocks;
    worker->capacity = capacity;
    return true;
}

/* Allocates and fills up to `end` blocks. */
static void fill_until(struct worker *worker, size_t end)
{
    size_t block_bytes = worker->life->plan->block_bytes;

    for (; worker->block_count < end; worker->block_count++) {
        if (worker->block_count == worker->capacity && !grow_table(worker))
            break;
        void *block = malloc(block_bytes);
        if (block == NULL)
            break;
        memset(block, FILL_BYTE, block_bytes);
        worker->blocks[worker->block_count] = block;
    }
}

static void fill_all(struct worker *worker)
{
    size_t kept_count = worker->kept_count;
    size_t stride = stride_of(worker, worker->block_target);

    worker->block_count = 0;
    for (size_t end = 0; end < worker->block_target;) {
        end = worker->block_target - end > stride ? end + stride : worker->block_target;
        fill_until(worker, end);
        progress(worker, kept_count + worker->block_count, LIFE_FILL);
        if (worker->block_count < end)
            break;
    }
    worker->failed_count = worker->block_target - worker->block_count;
}

/* Fisher and Yates, with a fixed seed: every run frees in the same random order. */
static void shuffle(void **blocks, size_t count)
{
    uint64_t state = 0x9E3779B97F4A7C15u;

    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)(np_random_next(&state) % i);
        void *block = blocks[i - 1];
        blocks[i - 1] = blocks[other];
        blocks[other] = block;
    }
}

static void reverse(void **blocks, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        void *block = blocks[i];
        blocks[i] = blocks[count - 1 - i];
        blocks[count - 1 - i] = block;
    }
}

/* Sets the kept blocks aside and puts the others in the order in which they are to be freed. */
static void order_blocks(struct worker *worker)
{
    const struct life_plan *plan = worker->life->plan;

    if (plan->keep_one_in > 0) {
        size_t left_count = 0;
        for (size_t i = 0; i < worker->block_count; i++) {
            if (i % plan->keep_one_in == 0)
                worker->kept[worker->kept_count++] = worker->blocks[i];
            else
                worker->blocks[left_count++] = worker->blocks[i];
        }
        worker->block_count = left_count;
    }
    if (plan->order == LIFE_RANDOM)
        shuffle(worker->blocks, worker->block_count);
    if (plan->order == LIFE_REVERSE)
        reverse(worker->blocks, worker->block_count);
}

static void free_all(struct worker *worker)
{
    size_t stride = stride_of(worker, worker->block_count);

    for (size_t done = 0; done < worker->block_count;) {
        size_t end = worker->block_count - done > stride ? done + stride : worker->block_count;
        for (; done < end; done++)
            free(worker->blocks[done]);
        progress(worker, worker->kept_count + worker->block_count - done, LIFE_FREE);
    }
}

static void drop_table(struct worker *worker)
{
    if (worker->life->plan->table == LIFE_TABLE_MALLOC)
        free(worker->blocks);
    else
        munmap(worker->blocks, worker->capacity * sizeof *worker->blocks);
    worker->blocks = NULL;
}

static void do_work(struct worker *worker)
{
    switch (worker->life->work) {
    case WORK_FILL:
        fill_all(worker);
        break;
    case WORK_ORDER:
        order_blocks(worker);
        break;
    case WORK_FREE:
        free_all(worker);
        break;
    case WORK_DROP_TABLE:
        drop_table(worker);
        break;
    case WORK_END:
        break;
    }
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct life *life = worker->life;
    bool is_last;

    do {
        pthread_barrier_wait(&life->barrier);
        is_last = life->work == WORK_END;
        do_work(worker);
        pthread_barrier_wait(&life->barrier);
    } while (!is_last);
    return NULL;
}

/* Lets every worker do one phase's work and returns when the last has done it. The barrier
 * orders the main thread's store of `work` before the workers' loads, and their work before its
 * readings. */
static void run_work(struct life *life, enum work work)
{
    life->work = work;
    if (life->plan->thread_count == 1) {
        /* No barrier, no other thread: libc and allocator stay in their single-threaded mode. */
        do_work(&life->workers[0]);
        return;
    }
    pthread_barrier_wait(&life->barrier);
    do_work(&life->workers[0]);
    pthread_barrier_wait(&life->barrier);
}

static void run_timed(struct life *life, enum work work, double *seconds, double *cpu_seconds)
{
    double wall_start = np_clock_seconds(CLOCK_MONOTONIC);
    double cpu_start = np_clock_seconds(CLOCK_PROCESS_CPUTIME_ID);

    run_work(life, work);
    *cpu_seconds = np_clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
    *seconds = np_clock_seconds(CLOCK_MONOTONIC) - wall_start;
}

static void read_mallinfo(struct life_mallinfo *info)
{
    struct mallinfo2 said = mallinfo2();

    info->arena_bytes = said.arena;
    info->in_use_bytes = said.uordblks;
    info->mapped_count = said.hblks;
    info->mapped_bytes = said.hblkhd;
}

static void run_pass(struct life *life, unsigned pass_index)
{
    const struct life_plan *plan = life->plan;
    struct life_pass *pass = &life->report->passes[pass_index];

    run_timed(life, WORK_FILL, &pass->fill_seconds, &pass->fill_cpu_seconds);
    for (unsigned i = 0; i < plan->thread_count; i++)
        pass->failed_count += life->workers[i].failed_count;
    if (plan->pin_bytes > 0) {
        life->pins[pass_index] = malloc(plan->pin_bytes);
        if (life->pins[pass_index] == NULL)
            pass->failed_count++;
        else
            memset(life->pins[pass_index], FILL_BYTE, plan->pin_bytes);
    }
    pass->peak_rss_bytes = np_rss_exact_bytes();
    read_mallinfo(&pass->mallinfo);

    run_work(life, WORK_ORDER);
    run_timed(life, WORK_FREE, &pass->free_seconds, &pass->free_cpu_seconds);
    pass->freed_rss_bytes = np_rss_exact_bytes();
}

static bool make_tables(struct life *life)
{
    const struct life_plan *plan = life->plan;
    size_t all_count = (size_t)(plan->total_bytes / plan->block_bytes);
    size_t share = all_count / plan->thread_count;

    for (unsigned i = 0; i < plan->thread_count; i++) {
        struct worker *worker = &life->workers[i];
        worker->life = life;
        worker->block_target = i == 0 ? all_count - share * (plan->thread_count - 1) : share;
        if (worker->block_target == 0)
            return fail(life, "fewer blocks than threads");
        if (plan->table == LIFE_TABLE_MMAP) {
            worker->capacity = worker->block_target;
            worker->blocks = np_map_touched(worker->capacity * sizeof *worker->blocks);
            if (worker->blocks == NULL)
                return fail(life, "no memory for the table of pointers");
            life->report->table_bytes += worker->capacity * sizeof *worker->blocks;
        }
        if (plan->keep_one_in > 0) {
            worker->kept_capacity = (worker->block_target / plan->keep_one_in + 1)
                                    * plan->pass_count;
            worker->kept = np_map_touched(worker->kept_capacity * sizeof *worker->kept);
            if (worker->kept == NULL)
                return fail(life, "no memory for the table of kept blocks");
        }
    }
    life->report->block_count = all_count;
    return true;
}

static bool start_threads(struct life *life)
{
    unsigned thread_count = life->plan->thread_count;

    if (thread_count == 1)
        return true;
    if (pthread_barrier_init(&life->barrier, NULL, thread_count) != 0)
        return fail(life, "no barrier for the threads");
    for (unsigned i = 1; i < thread_count; i++) {
        struct worker *worker = &life->workers[i];
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
            return fail(life, "a thread could not be started");
    }
    return true;
}

static void apply_mallopts(struct life *life)
{
    const struct life_plan *plan = life->plan;

    for (unsigned i = 0; i < plan->mallopt_count; i++) {
        struct life_mallopt *said = &life->report->mallopts[i];
        *said = plan->mallopts[i];
        said->answer = mallopt(said->param, said->value);
    }
}

static bool prepare(struct life *life)
{
    life->workers = np_map_touched(life->plan->thread_count * sizeof *life->workers);
    if (life->workers == NULL)
        return fail(life, "no memory for the threads");
    memset(life->workers, 0, life->plan->thread_count * sizeof *life->workers);
    life->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (life->statm_fd < 0)
        return fail(life, "/proc/self/statm cannot be read");
    apply_mallopts(life);
    return make_tables(life) && start_threads(life);
}

static void idle(struct life *life)
{
    double end = np_clock_seconds(CLOCK_MONOTONIC) + life->plan->wait_seconds;

    if (life->samples == NULL) {
        np_sleep_seconds(life->plan->wait_seconds);
        return;
    }
    while (np_clock_seconds(CLOCK_MONOTONIC) < end) {
        np_sleep_seconds(WAIT_STEP_MS * 1e-3);
        record_sample(life, LIFE_WAIT);
    }
}

static int compare_pages(const void *left, const void *right)
{
    uintptr_t a = *(const uintptr_t *)left;
    uintptr_t b = *(const uintptr_t *)right;

    return a < b ? -1 : a > b;
}

/* The system pages that one worker's kept blocks lie on. Two threads' blocks on one page count
 * twice; allocators keep threads apart. Uses the kept table for the page numbers, so comes last. */
static uint64_t count_kept_pages(struct worker *worker, size_t block_bytes)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t next_page = 0;
    uint64_t page_count = 0;

    qsort(worker->kept, worker->kept_count, sizeof *worker->kept, compare_pages);
    for (size_t i = 0; i < worker->kept_count; i++) {
        uintptr_t first_page = (uintptr_t)worker->kept[i] / page_bytes;
        uintptr_t end_page = ((uintptr_t)worker->kept[i] + block_bytes - 1) / page_bytes + 1;
        if (first_page < next_page)
            first_page = next_page;
        if (end_page > first_page) {
            page_count += end_page - first_page;
            next_page = end_page;
        }
    }
    return page_count * page_bytes;
}

/* After the last reading: may allocate. */
static void complete_report(struct life *life)
{
    const struct life_plan *plan = life->plan;
    struct life_report *report = life->report;
    Dl_info info;
    void *symbol = dlsym(RTLD_DEFAULT, "malloc");

    if (symbol != NULL && dladdr(symbol, &info) != 0 && info.dli_fname != NULL)
        strncpy(report->allocator, info.dli_fname, sizeof report->allocator - 1);
    for (unsigned i = 0; i < plan->thread_count && plan->keep_one_in > 0; i++) {
        report->kept_count += life->workers[i].kept_count;
        report->kept_page_bytes += count_kept_pages(&life->workers[i], plan->block_bytes);
    }
}

bool np_life_run(const struct life_plan *plan, struct life_report *report,
                 struct life_sample *samples)
{
    struct life life = { .plan = plan, .report = report, .samples = samples };

    if (!prepare(&life))
        return false;
    report->start_rss_bytes = np_rss_exact_bytes();
    if (report->start_rss_bytes == 0)
        return fail(&life, "the kernel does not tell the resident memory");
    life.start_seconds = np_clock_seconds(CLOCK_MONOTONIC);
    record_sample(&life, LIFE_FILL);

    for (unsigned i = 0; i < plan->pass_count; i++)
        run_pass(&life, i);

    if (plan->table == LIFE_TABLE_MALLOC) {
        for (unsigned i = 0; i < plan->thread_count; i++)
            report->table_bytes += life.workers[i].capacity * sizeof(void *);
    }
    run_work(&life, WORK_DROP_TABLE);
    report->table_rss_bytes = np_rss_exact_bytes();
    record_sample(&life, LIFE_TABLE_GONE);

    idle(&life);
    report->wait_rss_bytes = np_rss_exact_bytes();

    if (plan->is_trimmed) {
        report->trim_answer = malloc_trim(plan->trim_pad_bytes);
        report->trim_rss_bytes = np_rss_exact_bytes();
        record_sample(&life, LIFE_TRIM);
    }
    complete_report(&life);
    if (plan->thread_count > 1)
        run_work(&life, WORK_END);
    return true;
}

const char *np_life_phase_name(enum life_phase phase)
{
    static const char *const names[LIFE_PHASE_COUNT] = {
        "fill", "free", "table", "wait", "trim"
    };

    return names[phase];
}

double np_life_retained_share(const struct life_report *report)
{
    double added = (double)report->passes[0].peak_rss_bytes - (double)report->start_rss_bytes;
    double left = (double)report->passes[0].freed_rss_bytes - (double)report->start_rss_bytes;

    return added > 0 ? left / added : 0;
}

/* scenarios.c: see scenarios.h.
 *
 * A row of the table is a scenario or a variant of one: what is allocated, how many threads there
 * are, and the function that plays it. The workers of a row are numbered: 0 is the main thread,
 * then come the fillers, which share the total, and after them the helpers, which have no blocks.
 * Where there is no filler the main thread fills.
 */
#include "scenarios.h"

#include "instrument.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEPT_OF_SPARSE = 200,           /* one block in so many */
    STRETCH_BYTES = 64 << 10,       /* in each of which one block is kept */
    PIN_BYTES = 552,                /* what fopen takes */
    MEDIUM_BYTES = 64 << 10,
    LARGE_BYTES = 4 << 20,
    RAMP_MIN_BYTES = 1 << 10,
    RAMP_MAX_BYTES = 8 << 20,
    RAMP_STEP_SHARE = 64,           /* each size is larger than the last by this part */
    RAMP_COUNT_MAX = 1024,
    EXITED_COUNT = 200,
    REALLOC_MIN_BYTES = 4 << 10
};

#define MIB ((uint64_t)1 << 20)

enum order { ORDER_FORWARD, ORDER_BACKWARD, ORDER_RANDOM };
enum place { PLACE_FIRST, PLACE_LAST, PLACE_ACROSS_PAGES };
enum turn { TURN_OWNER_FIRST, TURN_OWNER_LAST, TURN_TOGETHER };

struct scene;

struct scenario {
    const char *name;
    const char *variant;
    void (*play)(struct scene *scene);
    uint64_t total_bytes;           /* in blocks */
    uint32_t min_bytes;
    uint32_t max_bytes;
    unsigned filler_count;
    unsigned helper_count;
    enum order order;
    enum place place;
    enum turn turn;
    unsigned at_once_count;         /* threads that the scenario itself starts, at a time */
    size_t table_count;             /* blocks, where they are not those of a share */
    uint32_t step_bytes;            /* by which a block grows; 0: a quarter of itself */
    double period_seconds;
    unsigned tooth_count;
};

struct scene {
    struct stage stage;
    const struct scenario *scenario;
    const struct scenario_plan *plan;
    struct scenario_report *report;
};

static struct worker *main_worker(struct scene *scene)
{
    return &scene->stage.workers[0];
}

static unsigned tooth_count_of(const struct scene *scene)
{
    return scene->plan->tooth_count > 0 ? scene->plan->tooth_count : scene->scenario->tooth_count;
}

static void fill_timed(struct scene *scene)
{
    np_stage_start_clock(&scene->stage);
    np_stage_fill(main_worker(scene));
    np_stage_stop_clock(&scene->stage);
}

/* All of the main thread's blocks but the kept, in the order of the table. */
static void free_timed(struct scene *scene)
{
    np_stage_start_clock(&scene->stage);
    np_stage_free(main_worker(scene), main_worker(scene), 0, 1);
    np_stage_stop_clock(&scene->stage);
}

static void play_all_freed(struct scene *scene)
{
    fill_timed(scene);
    if (scene->scenario->order == ORDER_RANDOM)
        np_stage_shuffle(main_worker(scene));
    free_timed(scene);
}

static void play_sparse(struct scene *scene)
{
    struct worker *worker = main_worker(scene);

    fill_timed(scene);
    for (size_t i = 0; i < worker->block_count; i += KEPT_OF_SPARSE)
        worker->blocks[i].is_kept = true;
    np_stage_shuffle(worker);
    free_timed(scene);
}

/* How well a block suits as the one that is kept of its stretch; the highest is taken, of equals
 * the first. */
static int fitness(const struct block *block, enum place place)
{
    uintptr_t first_byte = (uintptr_t)block->address;

    switch (place) {
    case PLACE_FIRST:
        return 0;
    case PLACE_LAST:
        return (int)(first_byte % STRETCH_BYTES);
    case PLACE_ACROSS_PAGES:
        /* By the smallest system page there is: it makes one block hold two. */
        return (int)((first_byte + block->bytes - 1) / 4096 - first_byte / 4096);
    }
    return 0;
}

/* One block of each stretch of addresses: the scenario does not know where slabs begin. */
static void keep_one_a_stretch(struct worker *worker, enum place place)
{
    np_stage_sort(worker);
    for (size_t i = 0; i < worker->block_count;) {
        uintptr_t stretch = (uintptr_t)worker->blocks[i].address / STRETCH_BYTES;
        struct block *best = &worker->blocks[i];
        for (; i < worker->block_count
               && (uintptr_t)worker->blocks[i].address / STRETCH_BYTES == stretch; i++) {
            if (fitness(&worker->blocks[i], place) > fitness(best, place))
                best = &worker->blocks[i];
        }
        best->is_kept = true;
    }
}

static void play_one_kept(struct scene *scene)
{
    struct worker *worker = main_worker(scene);

    fill_timed(scene);
    keep_one_a_stretch(worker, scene->scenario->place);
    if (scene->scenario->order == ORDER_RANDOM)
        np_stage_shuffle(worker);
    np_stage_start_clock(&scene->stage);
    if (scene->scenario->order == ORDER_BACKWARD)
        np_stage_free_backwards(worker, worker);
    else
        np_stage_free(worker, worker, 0, 1);
    np_stage_stop_clock(&scene->stage);
}

static uint32_t next_size(const struct scene *scene, uint32_t bytes)
{
    uint64_t next = bytes + (uint64_t)bytes * scene->plan->scale / RAMP_STEP_SHARE;

    return (uint32_t)next;
}

static void play_ramp(struct scene *scene)
{
    struct worker *worker = main_worker(scene);

    np_stage_start_clock(&scene->stage);
    for (uint32_t bytes = RAMP_MIN_BYTES; bytes <= RAMP_MAX_BYTES;
         bytes = next_size(scene, bytes)) {
        if (np_stage_take(worker, bytes))
            np_stage_add_live(&scene->stage, bytes);
    }
    np_stage_free(worker, worker, 0, 1);
    np_stage_stop_clock(&scene->stage);
}

/* Each size is freed before the next is taken. */
static void play_ramp_one_by_one(struct scene *scene)
{
    struct worker *worker = main_worker(scene);

    np_stage_start_clock(&scene->stage);
    for (uint32_t bytes = RAMP_MIN_BYTES; bytes <= RAMP_MAX_BYTES;
         bytes = next_size(scene, bytes)) {
        worker->block_count = 0;
        if (np_stage_take(worker, bytes))
            np_stage_add_live(&scene->stage, bytes);
        np_stage_free(worker, worker, 0, 1);
    }
    np_stage_stop_clock(&scene->stage);
}

static void play_pin(struct scene *scene)
{
    struct worker *worker = main_worker(scene);

    fill_timed(scene);
    if (np_stage_take(worker, PIN_BYTES)) {
        worker->blocks[worker->block_count - 1].is_kept = true;
        np_stage_add_live(&scene->stage, PIN_BYTES);
    }
    free_timed(scene);
}

static void fill_work(struct worker *worker)
{
    np_stage_fill(worker);
}

static void free_own_work(struct worker *worker)
{
    np_stage_free(worker, worker, 0, 1);
}

static void free_even_work(struct worker *worker)
{
    np_stage_free(worker, worker, 0, 2);
}

/* A helper's: one block in so many as there are helpers, of the filler's table. */
static void free_share_work(struct worker *worker)
{
    unsigned helper_count = worker->stage->worker_count - 2;

    np_stage_free(worker, &worker->stage->workers[1], worker->index - 2, helper_count);
}

static void fillers_fill(struct scene *scene)
{
    unsigned filler_count = scene->scenario->filler_count;

    np_stage_start_clock(&scene->stage);
    np_stage_let(&scene->stage, 1, filler_count, fill_work);
    np_stage_stop_clock(&scene->stage);
    for (unsigned i = 1; i <= filler_count && scene->scenario->order == ORDER_RANDOM; i++)
        np_stage_shuffle(&scene->stage.workers[i]);
}

static void play_remote(struct scene *scene)
{
    fillers_fill(scene);
    np_stage_start_clock(&scene->stage);
    np_stage_free(main_worker(scene), &scene->stage.workers[1], 0, 1);
    np_stage_stop_clock(&scene->stage);
}

static void play_remote_by_several(struct scene *scene)
{
    fillers_fill(scene);
    np_stage_start_clock(&scene->stage);
    np_stage_let(&scene->stage, 2, scene->scenario->helper_count, free_share_work);
    np_stage_stop_clock(&scene->stage);
}

static void free_odd_of_all(struct scene *scene)
{
    for (unsigned i = 1; i <= scene->scenario->filler_count; i++)
        np_stage_free(main_worker(scene), &scene->stage.workers[i], 1, 2);
}

/* Of each pair of blocks its owner frees one, the main thread the other. */
static void play_pairs(struct scene *scene)
{
    unsigned filler_count = scene->scenario->filler_count;

    fillers_fill(scene);
    np_stage_start_clock(&scene->stage);
    if (scene->scenario->turn == TURN_OWNER_LAST)
        free_odd_of_all(scene);
    np_stage_start_work(&scene->stage, 1, filler_count, free_even_work);
    if (scene->scenario->turn == TURN_TOGETHER)
        free_odd_of_all(scene);
    np_stage_wait_for(&scene->stage, filler_count);
    if (scene->scenario->turn == TURN_OWNER_FIRST)
        free_odd_of_all(scene);
    np_stage_stop_clock(&scene->stage);
}

static void play_idle_owners(struct scene *scene)
{
    fillers_fill(scene);
    np_stage_start_clock(&scene->stage);
    np_stage_let(&scene->stage, 1, scene->scenario->filler_count, free_own_work);
    np_stage_stop_clock(&scene->stage);
}

static void *exiting_main(void *argument)
{
    np_stage_fill(argument);
    return NULL;
}

/* Starts threads, some at a time, that leave their blocks behind. */
static void run_exiting_threads(struct scene *scene)
{
    unsigned at_once_count = scene->scenario->at_once_count;
    struct worker *workers = scene->stage.workers;

    for (unsigned first = 1; first <= EXITED_COUNT; first += at_once_count) {
        pthread_t threads[STAGE_WORKER_MAX];
        unsigned started_count = 0;
        while (started_count < at_once_count
               && pthread_create(&threads[started_count], NULL, exiting_main,
                                 &workers[first + started_count]) == 0)
            started_count++;
        workers[first].failed_count += at_once_count - started_count;
        for (unsigned i = 0; i < started_count; i++)
            pthread_join(threads[i], NULL);
    }
}

static void play_exited(struct scene *scene)
{
    np_stage_start_clock(&scene->stage);
    run_exiting_threads(scene);
    np_stage_stop_clock(&scene->stage);
    for (unsigned i = 1; i <= EXITED_COUNT; i++)
        np_stage_shuffle(&scene->stage.workers[i]);
    np_stage_start_clock(&scene->stage);
    for (unsigned i = 1; i <= EXITED_COUNT; i++)
        np_stage_free(main_worker(scene), &scene->stage.workers[i], 0, 1);
    np_stage_stop_clock(&scene->stage);
}

static void sleep_until(double end_seconds)
{
    double rest_seconds = end_seconds - np_clock_seconds(CLOCK_MONOTONIC);

    if (rest_seconds > 0)
        np_sleep_seconds(rest_seconds);
}

/* Up at once, half a period at the top, down at once, half a period at the bottom. One that comes
 * late does not wait: the number of teeth is fixed, so that runs do the same work. */
static void play_saw(struct scene *scene)
{
    const struct scenario *scenario = scene->scenario;
    const struct scenario_plan *plan = scene->plan;
    struct worker *worker = main_worker(scene);
    double period_seconds = plan->period_seconds > 0 ? plan->period_seconds
                                                     : scenario->period_seconds;
    unsigned tooth_count = tooth_count_of(scene);
    uint64_t random = worker->random;

    np_stage_start_clock(&scene->stage);
    for (unsigned i = 0; i < tooth_count; i++) {
        double start_seconds = np_clock_seconds(CLOCK_MONOTONIC);
        /* All teeth are equal. */
        worker->random = random;
        np_stage_fill(worker);
        if (i == 0) {
            np_stage_stop_clock(&scene->stage);
            scene->report->tooth = np_rss_exact();
            np_stage_start_clock(&scene->stage);
        }
        sleep_until(start_seconds + period_seconds / 2);
        np_stage_add_live(&scene->stage, 0);
        np_stage_free(worker, worker, 0, 1);
        /* After the last tooth the program idles, and is measured first. */
        if (i + 1 < tooth_count)
            sleep_until(start_seconds + period_seconds);
        np_stage_add_live(&scene->stage, 0);
    }
    np_stage_stop_clock(&scene->stage);
}

/* Makes the block longer, by a step or to the end, and writes what was added. False if realloc
 * did not do it. */
static bool grow_block(struct scene *scene, struct block *block, uint32_t end_bytes)
{
    uint32_t step_bytes = scene->scenario->step_bytes;
    unsigned char pattern = *(unsigned char *)block->address;
    uint32_t bytes = block->bytes + (step_bytes > 0 ? step_bytes : block->bytes / 4);

    if (bytes > end_bytes)
        bytes = end_bytes;
    void *address = realloc(block->address, bytes);
    if (address == NULL)
        return false;
    memset((char *)address + block->bytes, pattern, bytes - block->bytes);
    np_stage_add_live(&scene->stage, bytes - block->bytes);
    *block = (struct block){ address, bytes, false };
    return true;
}

/* One block that grows and is freed. */
static void play_realloc(struct scene *scene)
{
    struct worker *worker = main_worker(scene);
    uint32_t end_bytes = (uint32_t)(scene->scenario->total_bytes / scene->plan->scale);

    np_stage_start_clock(&scene->stage);
    if (!np_stage_take(worker, REALLOC_MIN_BYTES))
        return;
    struct block *block = &worker->blocks[0];
    unsigned char pattern = *(unsigned char *)block->address;
    np_stage_add_live(&scene->stage, REALLOC_MIN_BYTES);
    while (block->bytes < end_bytes && grow_block(scene, block, end_bytes))
        continue;
    np_stage_stop_clock(&scene->stage);
    if (block->bytes < end_bytes)
        worker->failed_count++;
    if (scene->stage.is_checked && !np_stage_is_filled(block, pattern))
        worker->damaged_count++;

    np_stage_start_clock(&scene->stage);
    free(block->address);
    np_stage_add_live(&scene->stage, -(int64_t)block->bytes);
    np_stage_stop_clock(&scene->stage);
}

#define SMALL .min_bytes = 16, .max_bytes = 1024
#define OF_ONE_SIZE(bytes) .min_bytes = (bytes), .max_bytes = (bytes)
#define ONE_KEPT(text, smallest, largest, where, how) \
    { .name = "onekept", .variant = text, .play = play_one_kept, .total_bytes = 200 * MIB, \
      .min_bytes = (smallest), .max_bytes = (largest), .place = where, .order = how }

static const struct scenario scenarios[] = {
    { .name = "small", .variant = "-", .play = play_all_freed, .total_bytes = 400 * MIB, SMALL,
      .order = ORDER_RANDOM },
    { .name = "sparse", .variant = "-", .play = play_sparse, .total_bytes = 400 * MIB, SMALL },

    ONE_KEPT("16-1024-first", 16, 1024, PLACE_FIRST, ORDER_FORWARD),
    ONE_KEPT("16-1024-last", 16, 1024, PLACE_LAST, ORDER_BACKWARD),
    ONE_KEPT("16-1024-across", 16, 1024, PLACE_ACROSS_PAGES, ORDER_RANDOM),
    ONE_KEPT("1K-16K-first", 1025, 16384, PLACE_FIRST, ORDER_FORWARD),
    ONE_KEPT("1K-16K-last", 1025, 16384, PLACE_LAST, ORDER_BACKWARD),
    ONE_KEPT("1K-16K-across", 1025, 16384, PLACE_ACROSS_PAGES, ORDER_RANDOM),
    ONE_KEPT("64-first", 64, 64, PLACE_FIRST, ORDER_RANDOM),
    ONE_KEPT("64-last", 64, 64, PLACE_LAST, ORDER_FORWARD),
    ONE_KEPT("1100-across", 1100, 1100, PLACE_ACROSS_PAGES, ORDER_BACKWARD),

    { .name = "blocks64k", .variant = "-", .play = play_all_freed, OF_ONE_SIZE(MEDIUM_BYTES),
      .total_bytes = (uint64_t)4000 * MEDIUM_BYTES, .order = ORDER_RANDOM },
    { .name = "blocks4m", .variant = "-", .play = play_all_freed, OF_ONE_SIZE(LARGE_BYTES),
      .total_bytes = (uint64_t)64 * LARGE_BYTES },
    { .name = "ramp", .variant = "at-once", .play = play_ramp, .table_count = RAMP_COUNT_MAX },
    { .name = "ramp", .variant = "one-by-one", .play = play_ramp_one_by_one, .table_count = 1 },

    { .name = "remote", .variant = "in-order", .play = play_remote, .total_bytes = 300 * MIB,
      SMALL, .filler_count = 1 },
    { .name = "remote", .variant = "random", .play = play_remote, .total_bytes = 300 * MIB,
      SMALL, .filler_count = 1, .order = ORDER_RANDOM },
    { .name = "remote4", .variant = "-", .play = play_remote_by_several, SMALL,
      .total_bytes = 300 * MIB, .filler_count = 1, .helper_count = 4, .order = ORDER_RANDOM },
    { .name = "remotehalf", .variant = "in-order", .play = play_pairs, SMALL,
      .total_bytes = 300 * MIB, .filler_count = 1, .turn = TURN_OWNER_FIRST },
    { .name = "remotehalf", .variant = "random", .play = play_pairs, SMALL,
      .total_bytes = 300 * MIB, .filler_count = 1, .turn = TURN_OWNER_FIRST,
      .order = ORDER_RANDOM },
    { .name = "idlethread", .variant = "in-order", .play = play_idle_owners, SMALL,
      .total_bytes = 300 * MIB, .filler_count = 1 },
    { .name = "idlethread", .variant = "random", .play = play_idle_owners, SMALL,
      .total_bytes = 300 * MIB, .filler_count = 1, .order = ORDER_RANDOM },
    { .name = "idle64", .variant = "-", .play = play_idle_owners, SMALL,
      .total_bytes = 300 * MIB, .filler_count = 64, .order = ORDER_RANDOM },
    { .name = "pairs64", .variant = "owner-first", .play = play_pairs, SMALL,
      .total_bytes = 600 * MIB, .filler_count = 64, .turn = TURN_OWNER_FIRST },
    { .name = "pairs64", .variant = "owner-last", .play = play_pairs, SMALL,
      .total_bytes = 600 * MIB, .filler_count = 64, .turn = TURN_OWNER_LAST },
    { .name = "pairs64", .variant = "together", .play = play_pairs, SMALL,
      .total_bytes = 600 * MIB, .filler_count = 64, .turn = TURN_TOGETHER,
      .order = ORDER_RANDOM },
    { .name = "exited", .variant = "one-by-one", .play = play_exited, SMALL,
      .total_bytes = EXITED_COUNT * MIB, .at_once_count = 1 },
    { .name = "exited", .variant = "20-at-once", .play = play_exited, SMALL,
      .total_bytes = EXITED_COUNT * MIB, .at_once_count = 20 },

    { .name = "pin", .variant = "-", .play = play_pin, .total_bytes = 265 * MIB,
      OF_ONE_SIZE(500) },
    { .name = "sawtooth-fast", .variant = "-", .play = play_saw, .total_bytes = 100 * MIB, SMALL,
      .period_seconds = 0.05, .tooth_count = 60 },
    { .name = "sawtooth-slow", .variant = "-", .play = play_saw, .total_bytes = 100 * MIB, SMALL,
      .period_seconds = 5, .tooth_count = 3 },
    { .name = "realloc", .variant = "by-a-quarter", .play = play_realloc,
      .total_bytes = 512 * MIB, .table_count = 1 },
    { .name = "realloc", .variant = "by-16M", .play = play_realloc, .total_bytes = 512 * MIB,
      .table_count = 1, .step_bytes = 16 << 20 },
};

unsigned np_scenario_count(void)
{
    return sizeof scenarios / sizeof scenarios[0];
}

struct scenario_name np_scenario_name(unsigned index)
{
    return (struct scenario_name){ scenarios[index].name, scenarios[index].variant };
}

static bool fail(struct scene *scene, const char *error)
{
    strncpy(scene->report->error, error, sizeof scene->report->error - 1);
    return false;
}

static void *end_at_once(void *argument)
{
    return argument;
}

/* So that the stacks of threads yet to come are resident at the start: libc keeps them. */
static void warm_up_stacks(unsigned count)
{
    pthread_t threads[STAGE_WORKER_MAX];
    unsigned started_count = 0;

    while (started_count < count
           && pthread_create(&threads[started_count], NULL, end_at_once, NULL) == 0)
        started_count++;
    for (unsigned i = 0; i < started_count; i++)
        pthread_join(threads[i], NULL);
}

static bool make_tables(struct scene *scene, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        if (!np_stage_make_table(&scene->stage.workers[i], scene->scenario->table_count))
            return fail(scene, "no memory for the tables of blocks");
    }
    return true;
}

static bool prepare(struct scene *scene)
{
    const struct scenario *scenario = scene->scenario;
    struct stage *stage = &scene->stage;
    unsigned started_count = scenario->filler_count + scenario->helper_count;
    unsigned filler_count = scenario->at_once_count > 0 ? EXITED_COUNT : scenario->filler_count;
    unsigned table_count = filler_count + tooth_count_of(scene);
    const char *error;

    stage->share_bytes = scenario->total_bytes / scene->plan->scale
                         / (filler_count > 0 ? filler_count : 1);
    stage->min_bytes = scenario->min_bytes;
    stage->max_bytes = scenario->max_bytes;
    stage->is_checked = scene->plan->is_checked;
    /* Each table is filled once and freed in at most two parts; one mark a pixel is enough. */
    stage->stride_count = STAGE_MARK_MAX / (4 * (table_count > 4 ? table_count : 4));
    if (!np_stage_make(stage, 1 + filler_count + scenario->helper_count, started_count, &error))
        return fail(scene, error);
    warm_up_stacks(scenario->at_once_count);
    return filler_count > 0 ? make_tables(scene, 1, filler_count) : make_tables(scene, 0, 1);
}

/* After the last reading: may allocate. */
static void complete_report(struct scene *scene)
{
    struct scenario_report *report = scene->report;
    struct stage *stage = &scene->stage;
    Dl_info info;
    void *symbol = dlsym(RTLD_DEFAULT, "malloc");

    if (symbol != NULL && dladdr(symbol, &info) != 0 && info.dli_fname != NULL)
        strncpy(report->allocator, info.dli_fname, sizeof report->allocator - 1);
    for (unsigned i = 0; i < stage->worker_count; i++) {
        report->block_count += stage->workers[i].block_count;
        report->failed_count += stage->workers[i].failed_count;
        report->damaged_count += stage->workers[i].damaged_count;
    }
    report->kept = np_stage_count_kept(stage, scene->plan->page_bytes);
    report->damaged_count += report->kept.damaged_count;
    report->seconds = stage->seconds;
    report->cpu_seconds = stage->cpu_seconds;
    report->mark_count = atomic_load_explicit(&stage->mark_count, memory_order_relaxed);
    if (report->mark_count > STAGE_MARK_MAX)
        report->mark_count = STAGE_MARK_MAX;
}

bool np_scenario_play(const struct scenario_plan *plan, struct scenario_report *report,
                      struct stage_mark *marks, void (*tell_idle)(void))
{
    struct scene scene = { .scenario = &scenarios[plan->index], .plan = plan, .report = report };

    scene.stage.marks = marks;
    if (!prepare(&scene))
        return false;
    np_stage_add_live(&scene.stage, 0);
    report->start = np_rss_exact();
    if (report->start.rss_bytes == 0)
        return fail(&scene, "the kernel does not tell the resident memory");

    scene.scenario->play(&scene);
    report->freed = np_rss_exact();
    report->peak_rss_bytes = np_rss_peak_bytes();
    tell_idle();
    np_sleep_seconds(plan->idle_seconds);
    report->idle = np_rss_exact();
    np_stage_add_live(&scene.stage, 0);

    report->trim_answer = malloc_trim(0);
    report->trimmed = np_rss_exact();
    complete_report(&scene);
    np_stage_end(&scene.stage);
    return true;
}

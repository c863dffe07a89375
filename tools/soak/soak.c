/* soak SECONDS [--threads N] [--live MIB] [--duty PERCENT] [--every SECONDS] [--calm SECONDS]
 *      [--seed N]
 *
 * A mixed load for a long time: threads that take, resize and give blocks and leave them with each
 * other, end and are replaced; forks, whose children do the same and fork again; a timer whose
 * signal interrupts everything. Every so often all threads stop, the live bytes are brought to the
 * same figure, and everything is audited as in tests/audit: P1 and the rest must hold. Then one
 * thread goes on slowly until no thrash allowance is left, which is what the load before had
 * earned, and there is another audit. It fails if that takes longer than --calm; 0: not at all.
 * Prints a line of figures for each two audits, which `run` judges over time.
 *
 * The load goes through a fixed round of mixtures (`mixtures`), one round from audit to audit, so
 * that two audits find the program in the same state but for its age. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "audit.h"
#include "patterns.h"
#include "serve.h"
#include "tune.h"
#include "workers.h"

#define MIB ((size_t)1 << 20)

enum {
    WORKERS_MAX = 64,
    BLOCK_MEAN_BYTES = 1024, /* one box for so many live bytes: enough for all mixtures but the
                                smallest */
    OVERCHARGE_BYTES = 64 << 10, /* as tests/audit/random.c */
    MOMENT_MS = 100,    /* as often it is noted what was taken back (P3) */
    MOMENTS_A_FORK = 5, /* and after so many of these somebody forks */
    CHILD_SECONDS = 120,
    CHILD_STEPS = 2000,
    WORK_MS = 5, /* a worker works so long at a time, and then rests for its duty */
    SIGNAL_EVERY_US = 10000,
    HANG_SECONDS = 300,
    CALM_BLOCKS = 16, /* that are replaced in CALM_MS while an allowance falls */
    CALM_MS = 5,
    AUDITS_MIN = 3,   /* `run` compares all but the first, however slow the machine */
};

/* What blocks are like for a while: below 32 << shift bytes, small ones as likely as large; and
 * how many percent of the wanted live bytes there are. */
static const struct mixture {
    unsigned shift;
    unsigned live_percent;
} mixtures[] = {{9, 100}, {5, 60}, {12, 120}, {7, 100}, {15, 100}, {3, 30}, {11, 120}, {9, 100}};

#define MIXTURE_COUNT (sizeof mixtures / sizeof mixtures[0])

/* The state that each audit finds. */
static const struct mixture rest = {9, 100};

static struct {
    unsigned seconds;
    unsigned threads;
    size_t live_bytes;
    unsigned duty_percent;
    unsigned every_seconds;
    unsigned calm_seconds;
    uint64_t seed;
} options = {3600, 16, 256 * MIB, 100, 60, 120, 1};

static struct box {
    _Atomic unsigned is_taken; /* who sets it may touch the block */
    struct block block;
} * boxes;
static size_t box_count;

static _Atomic size_t live_bytes; /* in boxes */
static _Atomic(const struct mixture *) mixture;
static _Atomic bool is_enough; /* the workers are to stop */

static struct worker workers[WORKERS_MAX];

static _Atomic uint64_t operation_count;
static uint64_t fork_count;
static uint64_t ended_thread_count;
static volatile sig_atomic_t signal_count;

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void sleep_seconds(double time)
{
    struct timespec left = {(time_t)time, (long)((time - (double)(time_t)time) * 1e9)};

    while (time > 0 && nanosleep(&left, &left) != 0)
        ;
}

/* ---- the load ---- */

static size_t random_size(uint64_t *random, unsigned shift)
{
    return 1 + random_below(random, (size_t)32 << random_below(random, shift + 1));
}

static void fill(struct block *block, uint64_t *random, unsigned shift)
{
    switch (random_below(random, 16)) {
    case 0:
        block_take_zeroed(block, random_size(random, shift));
        break;
    case 1:
        block_take_aligned(block, (size_t)16 << random_below(random, 10),
                           random_size(random, shift));
        break;
    default:
        block_take(block, random_size(random, shift));
    }
}

/* Takes, resizes or gives, so that what is live tends to what is wanted. Where it is too much
 * nothing grows: one small block in ten could become large, and that is more than is given. */
static void change(struct block *block, uint64_t *random, const struct mixture *now)
{
    size_t wanted_bytes = options.live_bytes / 100 * now->live_percent;
    bool is_too_much = atomic_load(&live_bytes) > wanted_bytes;
    size_t before_bytes = block->address != NULL ? block->bytes : 0;

    if (block->address == NULL && is_too_much)
        return;
    if (block->address == NULL)
        fill(block, random, now->shift);
    else if (random_below(random, 100) < (is_too_much ? 90 : 40))
        block_give(block);
    else if (is_too_much)
        block_resize(block, 1 + random_below(random, block->bytes));
    else
        block_resize(block, random_size(random, now->shift));
    atomic_fetch_add(&live_bytes, (block->address != NULL ? block->bytes : 0) - before_bytes);
}

static void change_one(uint64_t *random, const struct mixture *now)
{
    struct box *box = &boxes[random_below(random, box_count)];

    if (atomic_exchange(&box->is_taken, 1) != 0)
        return;
    change(&box->block, random, now);
    atomic_store(&box->is_taken, 0);
}

static void work_until_enough(struct worker *worker)
{
    double started = seconds_now();
    uint64_t count = 0;

    for (; !atomic_load(&is_enough); count++) {
        change_one(&worker->random, atomic_load(&mixture));
        if (random_below(&worker->random, 1000000) == 0)
            (void)np_serve_trim(random_below(&worker->random, MIB));
        if (count % 64 != 0 || seconds_now() - started < WORK_MS / 1e3)
            continue;
        sleep_seconds((seconds_now() - started) * (100 - options.duty_percent) /
                      options.duty_percent);
        started = seconds_now();
    }
    atomic_fetch_add(&operation_count, count);
}

/* Without workers: until what is live is within 0.1 % of what is wanted. */
static void come_to_rest(uint64_t *random)
{
    size_t slack_bytes = options.live_bytes / 1000;

    for (;;) {
        struct box *box = &boxes[random_below(random, box_count)];
        size_t live = atomic_load(&live_bytes);
        bool is_filled = box->block.address != NULL;

        if (live + slack_bytes >= options.live_bytes && live <= options.live_bytes + slack_bytes)
            return;
        if (is_filled && (live > options.live_bytes || random_below(random, 4) == 0)) {
            atomic_fetch_sub(&live_bytes, box->block.bytes);
            block_give(&box->block);
        } else if (!is_filled && live < options.live_bytes) {
            fill(&box->block, random, rest.shift);
            atomic_fetch_add(&live_bytes, box->block.bytes);
        }
    }
}

/* ---- forks and signals ---- */

static void require_success(pid_t child)
{
    int status;

    REQUIRE(child > 0);
    while (waitpid(child, &status, 0) != child)
        REQUIRE(errno == EINTR);
    if (status != 0) {
        fprintf(stderr, "a child of a fork ended with status %#x\n", (unsigned)status);
        _exit(1);
    }
}

/* Alone, with what all threads had; boxes that one of them had in hand stay as they are. */
static void live_alone(uint64_t *random)
{
    alarm(CHILD_SECONDS);
    for (unsigned step = 0; step < CHILD_STEPS; step++)
        change_one(random, &rest);
}

static _Noreturn void be_the_child(uint64_t random)
{
    live_alone(&random);
    if (random_below(&random, 4) == 0) {
        pid_t grandchild = fork();

        if (grandchild == 0) {
            live_alone(&random);
            _exit(0);
        }
        require_success(grandchild);
    }
    _exit(0);
}

static void fork_one(uint64_t *random)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0)
        be_the_child(random_next(random));
    require_success(child);
    fork_count++;
}

static void count_signal(int number)
{
    (void)number;
    signal_count++;
}

/* By the processor's time, so that it comes in the middle of work. Calls are interrupted, not
 * restarted. */
static void start_signals(void)
{
    struct sigaction action = {.sa_handler = count_signal};
    struct itimerval timer = {{0, SIGNAL_EVERY_US}, {0, SIGNAL_EVERY_US}};

    REQUIRE(sigaction(SIGPROF, &action, NULL) == 0);
    REQUIRE(setitimer(ITIMER_PROF, &timer, NULL) == 0);
}

/* ---- the course ---- */

static void replace_some(uint64_t *random)
{
    for (unsigned index = 0; index < options.threads; index++) {
        if (random_below(random, 4) != 0)
            continue;
        worker_end(&workers[index]);
        worker_start(&workers[index], index, random_next(random));
        ended_thread_count++;
    }
}

/* One mixture for some time, forks meanwhile. */
static void run_mixture(const struct mixture *now, double seconds, uint64_t *random)
{
    double end = seconds_now() + seconds;

    atomic_store(&mixture, now);
    atomic_store(&is_enough, false);
    for (unsigned index = 0; index < options.threads; index++)
        worker_tell(&workers[index], work_until_enough);
    while (seconds_now() < end) {
        fork_one(random);
        for (unsigned moment = 0; moment < MOMENTS_A_FORK; moment++) {
            sleep_seconds(MOMENT_MS / 1e3);
            audit_note_moment();
        }
    }
    atomic_store(&is_enough, true);
    for (unsigned index = 0; index < options.threads; index++)
        worker_wait(&workers[index]);
    replace_some(random);
}

/* Anonymous memory, in bytes. */
static size_t resident_bytes(void)
{
    char text[128] = "";
    unsigned long all;
    unsigned long resident;
    unsigned long shared;
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    REQUIRE(file >= 0);
    REQUIRE(read(file, text, sizeof text - 1) > 0);
    close(file);
    REQUIRE(sscanf(text, "%lu %lu %lu", &all, &resident, &shared) == 3);
    return (resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

/* Without workers, at little work: an allowance falls where memory is freed. */
static void calm_down(uint64_t *random)
{
    double end = seconds_now() + options.calm_seconds;

    while (options.calm_seconds > 0 && np_arena_allowance_bytes() > 0) {
        for (unsigned block = 0; block < CALM_BLOCKS; block++)
            change_one(random, &rest);
        sleep_seconds(CALM_MS / 1e3);
        REQUIRE(seconds_now() < end);
    }
    come_to_rest(random);
}

static void audit_and_print(double started, uint64_t *random)
{
    struct audit_found busy;
    struct audit_found found;
    size_t busy_resident_bytes = resident_bytes();

    audit_at_rest("when the load has stopped");
    audit_walk(&busy);
    calm_down(random);
    audit_at_rest("at rest");
    audit_walk(&found);
    printf("%.0f,%zu,%zu,%zu,%zu,%zu,%zu,%llu,%llu,%llu,%llu\n", seconds_now() - started,
           atomic_load(&live_bytes), resident_bytes(), found.retained_bytes, found.threshold_bytes,
           busy_resident_bytes, busy.threshold_bytes,
           (unsigned long long)atomic_load(&operation_count), (unsigned long long)fork_count,
           (unsigned long long)ended_thread_count, (unsigned long long)signal_count);
    fflush(stdout);
}

static void soak(void)
{
    uint64_t random = options.seed;
    double started = seconds_now();
    unsigned audit_count = 0;

    for (unsigned index = 0; index < options.threads; index++)
        worker_start(&workers[index], index, options.seed * 1000);
    start_signals();
    puts("second,live,rss,retained,threshold,busy rss,busy threshold,operations,forks,"
         "threads ended,signals");
    do {
        double audit_end = seconds_now() + options.every_seconds;

        alarm(options.every_seconds + options.calm_seconds + HANG_SECONDS);
        for (size_t at = 0; at < MIXTURE_COUNT; at++)
            run_mixture(&mixtures[at],
                        (audit_end - seconds_now()) / (double)(MIXTURE_COUNT - at), &random);
        come_to_rest(&random);
        audit_and_print(started, &random);
    } while (++audit_count < AUDITS_MIN || seconds_now() - started < options.seconds);
}

static void read_options(int argc, char **argv)
{
    REQUIRE(argc % 2 == 0);
    options.seconds = (unsigned)atoi(argv[1]);
    for (int at = 2; at < argc; at += 2) {
        unsigned long value = strtoul(argv[at + 1], NULL, 10);

        if (strcmp(argv[at], "--threads") == 0)
            options.threads = (unsigned)value;
        else if (strcmp(argv[at], "--live") == 0)
            options.live_bytes = value * MIB;
        else if (strcmp(argv[at], "--duty") == 0)
            options.duty_percent = (unsigned)value;
        else if (strcmp(argv[at], "--every") == 0)
            options.every_seconds = (unsigned)value;
        else if (strcmp(argv[at], "--calm") == 0)
            options.calm_seconds = (unsigned)value;
        else if (strcmp(argv[at], "--seed") == 0)
            options.seed = value;
        else
            truth_fail(__FILE__, __LINE__, argv[at]);
    }
    REQUIRE(options.threads > 0 && options.threads <= WORKERS_MAX);
    REQUIRE(options.duty_percent > 0 && options.duty_percent <= 100);
}

/* As tests/audit/main.c: what is measured is neap's and not moved by libc or the kernel. */
static void prepare_process(void)
{
    static char output[4096];

    setvbuf(stdout, output, _IOFBF, sizeof output);
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    REQUIRE(np_tune_set(NP_KNOB_HELPER, 0));
    truth_begin();
    audit_begin();
    audit_limits.overcharge_bytes = OVERCHARGE_BYTES;
    box_count = options.live_bytes / BLOCK_MEAN_BYTES;
    boxes = truth_map(box_count * sizeof boxes[0]);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("soak SECONDS [--threads N] [--live MIB] [--duty PERCENT] [--every SECONDS] "
              "[--calm SECONDS] [--seed N]\n", stderr);
        return 2;
    }
    read_options(argc, argv);
    prepare_process();
    soak();
    audit_report();
    return 0;
}

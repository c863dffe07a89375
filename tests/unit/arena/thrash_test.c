/* The thrash allowance: a simulation of the policy on traces of live memory, with the controller
 * that the library has, and the edges of its rules.
 *
 * The simulated program does not run; there is only how much is live when. Its time includes what
 * returning and refaulting cost, so a share is what part of the program's time they took. */
#include "../isolated.h"

#include <pthread.h>

#include "bits.h"
#include "thrash.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

/* Granules in some MiB. */
#define PAGES(mib) ((size_t)(mib) * 256)

/* ---- the simulation ---- */

/* Of a page: MADV_DONTNEED of 64 KiB and more, the first touch after it. Together the 1.2 us that
 * the controller reckons with. */
enum { PURGE_NS = 200, REFAULT_NS = 1000 };

/* Refaults come in slab extensions and runs, not all at once. */
enum { REFAULT_PAGES = 16 };

enum policy { WITHOUT_ALLOWANCE, WITH_ALLOWANCE };

struct program {
    enum policy policy;
    struct np_thrash thrash;
    uint64_t now_ns;
    size_t live_pages;
    size_t retained_pages;
    size_t returned_pages; /* and not taken back */
    size_t highest_allowance_pages;
    uint64_t purge_ns;
    uint64_t refault_ns;

    /* What refaults cost since some moment, less 1/32 of the time since then, at most over all
     * moments. Kept to judge the controller by, with none of its words. */
    int64_t overspent_ns;
    uint64_t overspent_at_ns;
};

static struct program start_program(enum policy policy)
{
    return (struct program){.policy = policy, .now_ns = 1000 * SECOND};
}

static size_t allowance_pages(const struct program *program)
{
    return program->policy == WITH_ALLOWANCE ? np_thrash_allowance_pages(&program->thrash) : 0;
}

static size_t threshold_pages(const struct program *program)
{
    return np_max(PAGES(1), program->live_pages / 32) + allowance_pages(program);
}

static void note_spent(struct program *program, uint64_t cost_ns)
{
    int64_t earned_ns = (int64_t)((program->now_ns - program->overspent_at_ns) / 32);

    program->overspent_at_ns = program->now_ns;
    program->overspent_ns =
        program->overspent_ns > earned_ns ? program->overspent_ns - earned_ns : 0;
    program->overspent_ns += (int64_t)cost_ns;
}

/* Promise P1: what is retained beyond the threshold has been earned by thrashing. */
static void refault(struct program *program, size_t pages)
{
    size_t before = np_thrash_allowance_pages(&program->thrash);
    size_t after;

    note_spent(program, pages * (PURGE_NS + REFAULT_NS));
    program->refault_ns += pages * REFAULT_NS;
    np_thrash_refault(&program->thrash, pages, program->live_pages, program->retained_pages,
                      program->now_ns);
    after = np_thrash_allowance_pages(&program->thrash);
    if (after > before) {
        assert_true(program->overspent_ns > (int64_t)(10 * MS));
        assert_true(after - before <= pages);
    }
    program->highest_allowance_pages = np_max(program->highest_allowance_pages, after);
}

static void allocate(struct program *program, size_t pages)
{
    size_t retained = np_min(pages, program->retained_pages);
    size_t returned = np_min(pages - retained, program->returned_pages);

    program->live_pages += pages;
    program->retained_pages -= retained;
    program->returned_pages -= returned;
    for (size_t part; returned > 0; returned -= part) {
        part = np_min(returned, REFAULT_PAGES);
        refault(program, part);
    }
}

static void release(struct program *program, size_t pages)
{
    size_t threshold;

    program->live_pages -= pages;
    program->retained_pages += pages;
    np_thrash_look(&program->thrash, program->live_pages, program->retained_pages,
                   program->now_ns);
    threshold = threshold_pages(program);
    if (program->retained_pages > threshold) {
        size_t purged = program->retained_pages - (threshold - threshold / 8);

        program->retained_pages -= purged;
        program->returned_pages += purged;
        program->purge_ns += purged * PURGE_NS;
    }
    assert_true(program->retained_pages <= threshold_pages(program));
}

static void set_live(struct program *program, size_t pages)
{
    if (pages > program->live_pages)
        allocate(program, pages - program->live_pages);
    else if (pages < program->live_pages)
        release(program, program->live_pages - pages);
}

/* Time passes, and what is live goes evenly to `pages`, in steps of 100 us or 20000 steps. */
static void move_live(struct program *program, size_t pages, uint64_t duration_ns)
{
    size_t from = program->live_pages;
    uint64_t start_ns = program->now_ns;
    uint64_t step_ns = np_max64(100 * US, duration_ns / 20000);

    for (uint64_t passed = 0; passed < duration_ns;) {
        passed += np_min64(step_ns, duration_ns - passed);
        program->now_ns = start_ns + passed;
        set_live(program, pages > from
                              ? from + (size_t)((pages - from) * passed / duration_ns)
                              : from - (size_t)((from - pages) * passed / duration_ns));
    }
}

static void rest(struct program *program, uint64_t duration_ns)
{
    program->now_ns += duration_ns;
}

/* Half of the period up, half down. */
static void saw(struct program *program, size_t pages, uint64_t period_ns, uint64_t duration_ns)
{
    for (uint64_t passed = 0; passed < duration_ns; passed += period_ns) {
        move_live(program, pages, period_ns / 2);
        move_live(program, 0, period_ns / 2);
    }
}

/* What part of the time, in percent, went into purging and refaulting; printed. */
static double share(const struct program *program, const char *name)
{
    double run_ns = (double)(program->now_ns - 1000 * SECOND);
    double purge = 100 * (double)program->purge_ns / run_ns;
    double refaults = 100 * (double)program->refault_ns / run_ns;

    printf("%-46s purge %6.2f %%  refault %6.2f %%  both %6.2f %%  kept %7.2f MiB"
           "  allowance %7.2f MiB, at most %7.2f\n",
           name, purge, refaults, purge + refaults, (double)program->retained_pages / 256,
           (double)allowance_pages(program) / 256, (double)program->highest_allowance_pages / 256);
    return purge + refaults;
}

static void expect_near(double value, double expected, double tolerance)
{
    assert_true(value > expected - tolerance && value < expected + tolerance);
}

/* A page in 4.4 us, filled and all, and freed in 0.4: then purging is all that is paid for,
 * once. */
static void growing_and_freeing_all_pays_one_purge(void **state)
{
    size_t pages = PAGES(1024);
    struct program program = start_program(WITH_ALLOWANCE);

    (void)state;
    move_live(&program, pages, pages * 4400);
    move_live(&program, 0, pages * 400);
    expect_near(share(&program, "grow to 1 GiB, free all"), 4.2, 0.2);
    assert_int_equal(program.refault_ns, 0);
    assert_true(program.purge_ns <= pages * PURGE_NS);
    assert_true(program.retained_pages <= PAGES(1));
    assert_int_equal(program.highest_allowance_pages, 0);
}

static void a_fast_sawtooth_keeps_its_tooth(void **state)
{
    struct program without = start_program(WITHOUT_ALLOWANCE);
    struct program with = start_program(WITH_ALLOWANCE);

    (void)state;
    saw(&without, PAGES(100), 50 * MS, 3 * SECOND);
    saw(&with, PAGES(100), 50 * MS, 3 * SECOND);
    expect_near(share(&without, "100 MB every 50 ms for 3 s, no allowance"), 60, 3);
    expect_near(share(&with, "100 MB every 50 ms for 3 s"), 1.4, 0.1);
    assert_true(with.retained_pages <= PAGES(100));
    /* It costs at the beginning only. */
    with.purge_ns = with.refault_ns = 0;
    saw(&with, PAGES(100), 50 * MS, 60 * SECOND);
    assert_true(share(&with, "  and for a minute more") < 0.1);
}

static void a_slow_sawtooth_keeps_nothing(void **state)
{
    struct program program = start_program(WITH_ALLOWANCE);

    (void)state;
    saw(&program, PAGES(100), 5 * SECOND, 60 * SECOND);
    expect_near(share(&program, "100 MB every 5 s for a minute"), 0.6, 0.05);
    assert_int_equal(program.highest_allowance_pages, 0);
    assert_true(program.retained_pages <= PAGES(1));
    assert_true(program.retained_pages >= PAGES(1) - PAGES(1) / 8);
}

/* A server: what is live wanders about 100 MiB, by up to 128 KiB each millisecond. */
static void churn(struct program *program, uint64_t duration_ns)
{
    for (uint64_t passed = 0; passed < duration_ns; passed += MS) {
        size_t target = program->live_pages - 32 + random_below(65);

        move_live(program, np_min(np_max(target, PAGES(90)), PAGES(110)), MS);
    }
}

static void steady_churn_pays_nothing_worth_mention(void **state)
{
    struct program program = start_program(WITH_ALLOWANCE);

    (void)state;
    move_live(&program, PAGES(100), SECOND);
    churn(&program, 60 * SECOND);
    assert_true(share(&program, "churn about 100 MB for a minute") < 0.05);
    assert_int_equal(program.highest_allowance_pages, 0);
}

/* Eight places for blocks of 5 to 25 MiB; every period_ns on average one comes or goes. */
static void trade_blocks(struct program *program, uint64_t period_ns, uint64_t duration_ns)
{
    size_t blocks[8] = {0};
    uint64_t end_ns = program->now_ns + duration_ns;

    while (program->now_ns < end_ns) {
        size_t *block = &blocks[random_below(COUNT_OF(blocks))];
        size_t live = program->live_pages - *block;

        *block = *block == 0 ? PAGES(5) + random_below(PAGES(20)) : 0;
        rest(program, random_below((size_t)(2 * period_ns)));
        move_live(program, live + *block, MS);
    }
}

static void large_blocks_coming_and_going_stay_within_the_budget(void **state)
{
    struct program slow = start_program(WITH_ALLOWANCE);
    struct program fast = start_program(WITH_ALLOWANCE);

    (void)state;
    trade_blocks(&slow, 400 * MS, 240 * SECOND);
    assert_int_equal(slow.highest_allowance_pages, 0);
    trade_blocks(&fast, 20 * MS, 60 * SECOND);
    assert_true(fast.highest_allowance_pages > 0);
    expect_near(share(&slow, "blocks of 5 to 25 MB, 5 in 2 s, 4 minutes"), 0.5, 0.2);
    assert_true(share(&fast, "blocks of 5 to 25 MB, 50 a second, a minute") < 100.0 / 32);
}

/* 30.7 ms each time: 1/32 of the time is a period of 983 ms. */
static void the_budget_is_a_32nd_of_the_time(void **state)
{
    struct program below = start_program(WITH_ALLOWANCE);
    struct program above = start_program(WITH_ALLOWANCE);
    struct program far_above = start_program(WITH_ALLOWANCE);

    (void)state;
    saw(&below, PAGES(100), 1030 * MS, 200 * SECOND);
    saw(&above, PAGES(100), 850 * MS, 200 * SECOND);
    saw(&far_above, PAGES(100), 200 * MS, 200 * SECOND);
    expect_near(share(&below, "100 MB every 1.03 s"), 100 * 30.7 / 1030, 0.1);
    assert_int_equal(below.highest_allowance_pages, 0);
    assert_true(share(&above, "100 MB every 0.85 s") < 100.0 / 32);
    assert_true(above.highest_allowance_pages > 0);
    assert_true(share(&far_above, "100 MB every 0.2 s") < 0.1);
}

/* Nobody can know, without a timer, that it will not go on. */
static void a_program_that_stops_at_the_bottom_keeps_one_tooth(void **state)
{
    struct program program = start_program(WITH_ALLOWANCE);

    (void)state;
    saw(&program, PAGES(100), 50 * MS, 3 * SECOND);
    rest(&program, 100 * SECOND);
    (void)share(&program, "100 MB every 50 ms, then idle");
    assert_true(program.retained_pages <= PAGES(100));
}

/* The least that the program does is occasion enough. */
static void a_program_that_goes_on_below_keeps_nothing(void **state)
{
    struct program program = start_program(WITH_ALLOWANCE);

    (void)state;
    saw(&program, PAGES(100), 50 * MS, 3 * SECOND);
    for (unsigned i = 0; i < 30; i++) {
        move_live(&program, 100, 50 * MS);
        move_live(&program, 90, 50 * MS);
    }
    (void)share(&program, "100 MB every 50 ms, then 3 s of next to nothing");
    assert_true(program.retained_pages <= PAGES(1));
    assert_int_equal(allowance_pages(&program), 0);
}

/* It has needed its allowance once; at the end of a long life that is forgotten. */
static void an_allowance_that_is_not_used_goes(void **state)
{
    struct program program = start_program(WITH_ALLOWANCE);

    (void)state;
    saw(&program, PAGES(100), 50 * MS, 3 * SECOND);
    assert_true(allowance_pages(&program) > PAGES(90));
    move_live(&program, PAGES(100), 50 * MS);
    churn(&program, 20 * SECOND);
    move_live(&program, 0, SECOND);
    (void)share(&program, "100 MB every 50 ms, 20 s of churn, free all");
    assert_true(program.retained_pages <= PAGES(1));
}

/* All of it at once, but seldom: the credit has to last for that, however long ago the peak was. */
static void a_rare_peak_is_not_thrashing(void **state)
{
    struct program program = start_program(WITH_ALLOWANCE);

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        move_live(&program, PAGES(1000), 350 * MS);
        move_live(&program, PAGES(10), 50 * MS);
        for (unsigned k = 0; k < 1000; k++) {
            rest(&program, 100 * MS);
            set_live(&program, PAGES(10) + k % 2);
        }
    }
    (void)share(&program, "1 GB every 100 s");
    assert_int_equal(program.highest_allowance_pages, 0);
}

/* What a large heap may spend is not what a small one that it has become may. */
static void an_old_peak_does_not_pay_for_a_new_sawtooth(void **state)
{
    struct program program = start_program(WITH_ALLOWANCE);
    uint64_t before_ns;

    (void)state;
    move_live(&program, PAGES(65536), 100 * SECOND);
    move_live(&program, 0, 1000 * SECOND);
    before_ns = program.refault_ns;
    saw(&program, PAGES(100), 50 * MS, 60 * SECOND);
    (void)share(&program, "64 GB, then 100 MB every 50 ms for a minute");
    assert_true(program.refault_ns - before_ns < 4 * SECOND); /* of the 20 that were earned */
    assert_true(allowance_pages(&program) > PAGES(90));
}

/* Any program: promise P1 is looked at in every refault, and the time that goes is bounded. */
static void random_programs_stay_within_bounds(void **state)
{
    double worst = 0;

    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        struct program program = start_program(WITH_ALLOWANCE);
        size_t peak = PAGES(1) + random_below(PAGES(300));
        uint64_t refault_ns = (uint64_t)peak * (PURGE_NS + REFAULT_NS);
        uint64_t run_ns;
        double spent;

        while (program.now_ns < 1030 * SECOND) {
            size_t low = random_below(peak);
            size_t high = low + random_below(peak - low);
            uint64_t period_ns = MS + random_below(400 * MS);

            for (size_t n = random_below(50); n > 0; n--) {
                move_live(&program, high, period_ns / 2);
                move_live(&program, low, period_ns / 2);
            }
            rest(&program, random_below(2) * random_below(5 * SECOND / US) * US);
        }
        run_ns = program.now_ns - 1000 * SECOND;
        /* The credit of the start, and learning the peak, come on top. */
        assert_true(program.purge_ns + program.refault_ns <= run_ns / 16 + 3 * refault_ns);
        spent = 100 * (double)(program.purge_ns + program.refault_ns) / (double)run_ns;
        worst = worst > spent ? worst : spent;
    }
    printf("60 random programs: at worst %.2f %%\n", worst);
}

/* ---- the rules, one by one ---- */

/* 10 ms of refaults, and a program for which that is little. */
enum { CREDIT_PAGES = 8333, PEAK = 1000000 };

/* Run time that earns a page. */
#define PAGE_NS UINT64_C(38400)

static struct np_thrash thrash;
static uint64_t now_ns = 5 * SECOND;

static void pass(uint64_t ns)
{
    now_ns += ns;
}

static void look(size_t live_pages, size_t retained_pages)
{
    np_thrash_look(&thrash, live_pages, retained_pages, now_ns);
}

static size_t refault_at(size_t pages, size_t live_pages)
{
    np_thrash_refault(&thrash, pages, live_pages, 0, now_ns);
    return np_thrash_allowance_pages(&thrash);
}

/* An allowance of so much, no debt, and an epoch that has just begun with as much retained. */
static void begin_with_allowance(size_t pages)
{
    (void)refault_at(CREDIT_PAGES, PEAK);
    assert_int_equal(refault_at(pages, PEAK), pages);
    pass(SECOND + pages * PAGE_NS);
    look(PEAK, pages);
    assert_int_equal(np_thrash_allowance_pages(&thrash), pages);
}

static void the_first_10_ms_are_free(void **state)
{
    (void)state;
    assert_int_equal(np_thrash_allowance_pages(&thrash), 0);
    assert_int_equal(refault_at(CREDIT_PAGES, PEAK), 0);
    assert_int_equal(refault_at(1, PEAK), 1);
    assert_int_equal(refault_at(100, PEAK), 101);
}

static void time_before_the_first_call_earns_nothing(void **state)
{
    (void)state;
    now_ns = 1000000 * SECOND;
    assert_int_equal(refault_at(CREDIT_PAGES + 1, PEAK), CREDIT_PAGES + 1);
}

static void a_refault_below_zero_counts_in_full(void **state)
{
    (void)state;
    assert_int_equal(refault_at(CREDIT_PAGES + 1000, PEAK), CREDIT_PAGES + 1000);
}

static void a_page_is_earned_in_38_us(void **state)
{
    (void)state;
    assert_int_equal(refault_at(CREDIT_PAGES, PEAK), 0);
    pass(100 * PAGE_NS);
    assert_int_equal(refault_at(100, PEAK), 0);
    assert_int_equal(refault_at(1, PEAK), 1);
}

/* Refaults, one after another, until there is an allowance. */
static size_t refaults_until_allowed(void)
{
    size_t count = 1;

    while (refault_at(1, PEAK) == 0)
        count++;
    return count;
}

static void repeat_calls(size_t return_ns, size_t fault_ns)
{
    for (unsigned call = 0; call < 100; call++) {
        np_thrash_note_return(&thrash, 10, 10 * return_ns);
        np_thrash_note_fault(&thrash, 10, 10 * fault_ns);
    }
}

/* 10 ms are fewer refaults where one costs 2.5 us. */
static void what_a_refault_costs_is_measured(void **state)
{
    (void)state;
    repeat_calls(900, 1600);
    assert_in_range(refaults_until_allowed(), 10 * MS / 2500, 10 * MS / 2400);
}

static void it_counts_as_3_us_at_most(void **state)
{
    (void)state;
    repeat_calls(50000, 1000000);
    assert_int_equal(refaults_until_allowed(), 10 * MS / 3000 + 1);
}

static void it_counts_as_1_2_us_at_least(void **state)
{
    (void)state;
    repeat_calls(1, 1);
    for (unsigned call = 0; call < 100; call++)
        np_thrash_note_return(&thrash, 0, SECOND); /* a call that was refused says nothing */
    assert_int_equal(refaults_until_allowed(), CREDIT_PAGES + 1);
}

static void credit_ends_at_10_ms_for_a_small_program(void **state)
{
    (void)state;
    assert_int_equal(refault_at(1, 500), 0);
    pass(1000 * SECOND);
    assert_int_equal(refault_at(CREDIT_PAGES, 500), 0);
    assert_int_equal(refault_at(1, 500), 1);
}

enum { LARGE = 100000 };

/* With all the credit that a small program can have, it grows. */
static void earn_credit_and_grow(void)
{
    look(10, 0);
    pass(1000 * SECOND);
    look(10, 0);
    look(LARGE, 0);
}

static void expect_credit_for_the_peak(void)
{
    assert_int_equal(refault_at(LARGE, 10), 0);
    assert_int_equal(refault_at(1, 10), 1);
}

static void credit_ends_at_a_refault_of_the_peak(void **state)
{
    (void)state;
    earn_credit_and_grow();
    expect_credit_for_the_peak();
}

/* Half a refault of the peak while pages are dear, the other half when they have become cheap: it
 * is one still. When what was owed is paid, the dear pages are forgotten. */
static void it_ends_there_whatever_a_page_costs_meanwhile(void **state)
{
    (void)state;
    earn_credit_and_grow();
    repeat_calls(1000, 1500);
    assert_int_equal(refault_at(LARGE / 2, 10), 0);
    repeat_calls(1, 1);
    assert_int_equal(refault_at(LARGE / 2, 10), 0);
    earn_credit_and_grow();
    expect_credit_for_the_peak();
}

/* Credit has to be earned before it can be lived on: here 10 ms of refaults and a second's
 * worth. */
static void a_young_process_has_little_credit(void **state)
{
    size_t credit_pages = (320 * MS + SECOND) / PAGE_NS;

    (void)state;
    look(PEAK, 0);
    pass(SECOND);
    assert_int_equal(refault_at(credit_pages, PEAK), 0);
    assert_int_equal(refault_at(1, PEAK), 1);
}

/* Having been large once, and owing nothing since, does not count. */
static void an_old_peak_is_no_credit(void **state)
{
    (void)state;
    look(PEAK, 0);
    pass(1000 * SECOND);
    look(10, 0);
    assert_int_equal(refault_at(CREDIT_PAGES, 10), 0);
    assert_int_equal(refault_at(1, 10), 1);
}

/* The allowance has been raised for it, but what was overspent has to be earned all the same. */
static void debt_stays(void **state)
{
    (void)state;
    (void)refault_at(CREDIT_PAGES, PEAK);
    assert_int_equal(refault_at(1000, PEAK), 1000);
    pass(999 * PAGE_NS);
    assert_int_equal(refault_at(2, PEAK), 1002);
    pass(4 * PAGE_NS);
    assert_int_equal(refault_at(1, PEAK), 1002);
}

/* Somebody calls malloc_trim in a loop. */
static void debt_ends_somewhere(void **state)
{
    enum { SMALL = 20000 };

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        (void)refault_at(SMALL, SMALL);
    assert_int_equal(np_thrash_allowance_pages(&thrash), SMALL);
    look(0, SMALL);
    pass(SECOND);
    look(0, SMALL);
    pass(SECOND);
    look(0, SMALL);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 0);
    /* Two seconds: out of a debt of 0.768, and 0.768 saved up. */
    assert_int_equal(refault_at(SMALL, SMALL), 0);
    assert_int_equal(refault_at(1, SMALL), 1);
}

static void the_allowance_ends_at_the_peak(void **state)
{
    (void)state;
    (void)refault_at(CREDIT_PAGES, 5000);
    assert_int_equal(refault_at(4000, 5000), 4000);
    assert_int_equal(refault_at(4000, 5000), 5000);
    assert_int_equal(refault_at(1000000, 5000), 5000);
    assert_int_equal(refault_at(1000000, 0), 5000); /* the recent peak, not what is live now */
}

static void nothing_live_nothing_allowed(void **state)
{
    (void)state;
    assert_int_equal(refault_at(1000000, 0), 0);
}

/* A second, as long as the allowance is small. */
static void an_epoch_takes_away_what_lay_there(void **state)
{
    (void)state;
    begin_with_allowance(20000);
    look(PEAK, 15000);
    pass(SECOND / 2);
    look(PEAK, 6000);
    look(PEAK, 20000);
    pass(SECOND / 2 - 1);
    look(PEAK, 20000);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 20000);
    pass(1);
    look(PEAK, 20000);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 14000);
    pass(SECOND);
    look(PEAK, 20000);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 0);
}

static void less_than_an_eighth_does_not_count(void **state)
{
    (void)state;
    begin_with_allowance(20000);
    look(PEAK, 2499);
    pass(SECOND);
    look(PEAK, 20000);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 20000);
    look(PEAK, 2500);
    pass(SECOND);
    look(PEAK, 20000);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 17500);
}

/* So that losing all of it costs no more than 1/32 of the time. */
static void the_epoch_of_a_large_allowance_is_longer(void **state)
{
    (void)state;
    begin_with_allowance(LARGE);
    pass(LARGE * PAGE_NS - 1);
    look(PEAK, LARGE);
    assert_int_equal(np_thrash_allowance_pages(&thrash), LARGE);
    pass(1);
    look(PEAK, LARGE);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 0);
}

static void it_can_be_lowered_from_outside(void **state)
{
    (void)state;
    assert_true(np_thrash_epoch_ns(&thrash) == SECOND);
    np_thrash_limit(&thrash, 0);
    begin_with_allowance(100000);
    assert_true(np_thrash_epoch_ns(&thrash) == 100000 * PAGE_NS);
    np_thrash_limit(&thrash, 100001); /* nor raised */
    assert_int_equal(np_thrash_allowance_pages(&thrash), 100000);
    np_thrash_limit(&thrash, 70000);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 70000);
    assert_true(np_thrash_epoch_ns(&thrash) == 70000 * PAGE_NS);
    np_thrash_limit(&thrash, 1);
    assert_true(np_thrash_epoch_ns(&thrash) == SECOND);
    np_thrash_limit(&thrash, 0);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 0);
}

static void what_is_not_half_used_is_halved(void **state)
{
    (void)state;
    begin_with_allowance(10000);
    look(PEAK, 0);
    pass(SECOND);
    look(PEAK, 0);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 10000);
    look(PEAK, 5000);
    pass(SECOND);
    look(PEAK, 0);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 10000);
    look(PEAK, 4999);
    pass(SECOND);
    look(PEAK, 0);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 5000);
    for (unsigned i = 0; i < 13; i++) {
        pass(SECOND);
        look(PEAK, 0);
    }
    assert_int_equal(np_thrash_allowance_pages(&thrash), 0);
}

/* A refault is a look as well: what is low then counts in the epoch that it ends. */
static void a_refault_looks_too(void **state)
{
    (void)state;
    begin_with_allowance(20000);
    pass(SECOND);
    assert_int_equal(refault_at(1, PEAK), 20000);
}

static void a_clock_that_stands_still_changes_nothing(void **state)
{
    (void)state;
    now_ns = 0;
    for (unsigned i = 0; i < 1000; i++) {
        look(PEAK, 100);
        assert_int_equal(refault_at(8, PEAK), 0);
    }
    assert_int_equal(refault_at(CREDIT_PAGES - 8000, PEAK), 0);
    assert_int_equal(refault_at(5, PEAK), 5);
    for (unsigned i = 0; i < 1000; i++)
        look(PEAK, 100);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 5);
}

/* Another thread read it earlier and came later. */
static void a_clock_that_goes_back_earns_nothing(void **state)
{
    (void)state;
    (void)refault_at(CREDIT_PAGES, PEAK);
    now_ns -= SECOND;
    look(PEAK, 0);
    assert_int_equal(refault_at(1, PEAK), 1);
    now_ns += SECOND;
    assert_int_equal(refault_at(1, PEAK), 2);
    pass(3 * PAGE_NS);
    assert_int_equal(refault_at(1, PEAK), 2);
}

static void the_end_of_time_is_a_long_rest(void **state)
{
    (void)state;
    begin_with_allowance(5000);
    now_ns = UINT64_MAX;
    look(PEAK, 5000);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 0);
    assert_int_equal(refault_at(PEAK, PEAK), 0);
    assert_int_equal(refault_at(1, PEAK), 1);
}

/* No sum wraps: neither the credit turns to debt nor the debt to credit. */
static void absurd_amounts_do_no_harm(void **state)
{
    (void)state;
    look(SIZE_MAX, SIZE_MAX);
    for (unsigned i = 0; i < 1000; i++)
        (void)refault_at(SIZE_MAX, SIZE_MAX);
    assert_int_equal(np_thrash_allowance_pages(&thrash), SIZE_MAX);
    now_ns = UINT64_MAX / 2;
    look(SIZE_MAX, SIZE_MAX);
    now_ns = UINT64_MAX;
    look(SIZE_MAX, SIZE_MAX);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 0);
    assert_int_equal(refault_at(PEAK, PEAK), 0);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 20000 };

static _Atomic uint64_t shared_ns = 5 * SECOND;
static _Atomic bool has_started;

static void *refault_in_turn(void *unused)
{
    (void)unused;
    while (!has_started)
        ;
    for (unsigned i = 0; i < ROUNDS; i++)
        np_thrash_refault(&thrash, 1, PEAK, 0, atomic_load(&shared_ns));
    return NULL;
}

/* Seven eighths of what is spent is earned. */
static void *refault_as_time_passes(void *unused)
{
    (void)unused;
    while (!has_started)
        ;
    for (unsigned i = 0; i < ROUNDS; i++)
        np_thrash_refault(&thrash, 1, PEAK, 0,
                          atomic_fetch_add(&shared_ns, PAGE_NS / 8 * 7));
    return NULL;
}

static void *look_around(void *unused)
{
    (void)unused;
    while (!has_started)
        ;
    for (unsigned i = 0; i < ROUNDS; i++)
        np_thrash_look(&thrash, i * 7 % 100, 5 + i % 100, atomic_load(&shared_ns));
    return NULL;
}

static void run_threads(void *(*body)(void *))
{
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, body, NULL), 0);
    has_started = true;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* Time stands still, so it comes out to the page. */
static void no_refault_of_another_thread_is_lost(void **state)
{
    (void)state;
    run_threads(refault_in_turn);
    assert_int_equal(np_thrash_allowance_pages(&thrash), THREADS * ROUNDS - CREDIT_PAGES);
}

/* Between a debt of nothing and the most there is, so it comes out to the nanosecond. */
static void no_time_is_earned_twice_or_lost(void **state)
{
    uint64_t start_ns = atomic_load(&shared_ns);
    uint64_t spent_ns = (5000 + THREADS * ROUNDS) * PAGE_NS;

    (void)state;
    now_ns = start_ns;
    (void)refault_at(5000, PEAK);
    run_threads(refault_as_time_passes);
    now_ns = atomic_load(&shared_ns);
    (void)refault_at(0, PEAK);
    assert_int_equal(atomic_load(&thrash.debt_ns), spent_ns - (now_ns - start_ns));
}

static void no_extreme_of_another_thread_is_lost(void **state)
{
    (void)state;
    run_threads(look_around);
    assert_int_equal(atomic_load(&thrash.peak_pages), 99);
    assert_int_equal(atomic_load(&thrash.highest_pages), 104);
    assert_int_equal(np_thrash_allowance_pages(&thrash), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growing_and_freeing_all_pays_one_purge),
        cmocka_unit_test(a_fast_sawtooth_keeps_its_tooth),
        cmocka_unit_test(a_slow_sawtooth_keeps_nothing),
        cmocka_unit_test(steady_churn_pays_nothing_worth_mention),
        cmocka_unit_test(large_blocks_coming_and_going_stay_within_the_budget),
        cmocka_unit_test(the_budget_is_a_32nd_of_the_time),
        cmocka_unit_test(a_program_that_stops_at_the_bottom_keeps_one_tooth),
        cmocka_unit_test(a_program_that_goes_on_below_keeps_nothing),
        cmocka_unit_test(an_allowance_that_is_not_used_goes),
        cmocka_unit_test(a_rare_peak_is_not_thrashing),
        cmocka_unit_test(an_old_peak_does_not_pay_for_a_new_sawtooth),
        cmocka_unit_test(random_programs_stay_within_bounds),
        cmocka_unit_test(the_first_10_ms_are_free),
        cmocka_unit_test(time_before_the_first_call_earns_nothing),
        cmocka_unit_test(a_refault_below_zero_counts_in_full),
        cmocka_unit_test(a_page_is_earned_in_38_us),
        cmocka_unit_test(what_a_refault_costs_is_measured),
        cmocka_unit_test(it_counts_as_3_us_at_most),
        cmocka_unit_test(it_counts_as_1_2_us_at_least),
        cmocka_unit_test(credit_ends_at_10_ms_for_a_small_program),
        cmocka_unit_test(credit_ends_at_a_refault_of_the_peak),
        cmocka_unit_test(it_ends_there_whatever_a_page_costs_meanwhile),
        cmocka_unit_test(a_young_process_has_little_credit),
        cmocka_unit_test(an_old_peak_is_no_credit),
        cmocka_unit_test(debt_stays),
        cmocka_unit_test(debt_ends_somewhere),
        cmocka_unit_test(the_allowance_ends_at_the_peak),
        cmocka_unit_test(nothing_live_nothing_allowed),
        cmocka_unit_test(an_epoch_takes_away_what_lay_there),
        cmocka_unit_test(less_than_an_eighth_does_not_count),
        cmocka_unit_test(the_epoch_of_a_large_allowance_is_longer),
        cmocka_unit_test(it_can_be_lowered_from_outside),
        cmocka_unit_test(what_is_not_half_used_is_halved),
        cmocka_unit_test(a_refault_looks_too),
        cmocka_unit_test(a_clock_that_stands_still_changes_nothing),
        cmocka_unit_test(a_clock_that_goes_back_earns_nothing),
        cmocka_unit_test(the_end_of_time_is_a_long_rest),
        cmocka_unit_test(absurd_amounts_do_no_harm),
        cmocka_unit_test(no_refault_of_another_thread_is_lost),
        cmocka_unit_test(no_time_is_earned_twice_or_lost),
        cmocka_unit_test(no_extreme_of_another_thread_is_lost),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* malloc_trim and neap_trim, and M_TRIM_THRESHOLD = -1, which leaves everything to them. */
#include "api_test.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_BLOCKS = 700000 };

static char *blocks[MOST_BLOCKS];
static const size_t total_bytes = 48 * MIB;

static int keep_everything(void **state)
{
    (void)state;
    memset(blocks, 0, sizeof(blocks)); /* resident from the start */
    return api_mallopt(M_TRIM_THRESHOLD, -1) == 1 && api_mallopt(M_MMAP_MAX, 0) == 1 ? 0 : -1;
}

static void allocate_and_free(size_t size)
{
    size_t count = total_bytes / size;

    for (size_t i = 0; i < count; i++) {
        blocks[i] = api_malloc(size);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, size);
    }
    for (size_t i = 0; i < count; i++)
        api_free(blocks[i]);
}

static void what_the_threshold_keeps_goes_at_a_trim(void **state)
{
    static const size_t sizes[] = {80, 100, 500, 1024, 5000, 20000, 200000, 1500000};

    (void)state;
    (void)api_malloc_trim(0);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t resident_at_start = resident_bytes();

        allocate_and_free(sizes[i]);
        if (resident_bytes() < resident_at_start + total_bytes / 10 * 9)
            fail_msg("%zu: a threshold of -1 did not keep it all", sizes[i]);
        assert_int_equal(api_malloc_trim(0), 1);
        if (resident_bytes() > resident_at_start + 2 * MIB)
            fail_msg("%zu: %zu bytes stay after the trim", sizes[i],
                     resident_bytes() - resident_at_start);
    }
}

/* glibc says 1 again and again. */
static void it_says_1_only_if_something_went(void **state)
{
    (void)state;
    allocate_and_free(3000);
    assert_int_equal(api_malloc_trim(0), 1);
    if (!API_IS_NEAP)
        return;
    assert_int_equal(api_malloc_trim(0), 0);
    assert_int_equal(api_malloc_trim(0), 0);
    allocate_and_free(100);
    assert_int_equal(api_malloc_trim(0), 1);
    assert_int_equal(api_malloc_trim(0), 0);
}

static void fill_blocks(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        blocks[i] = api_malloc(size);
        assert_non_null(blocks[i]);
        pattern_fill(blocks[i], size, i);
    }
}

static void live_blocks_are_not_hurt(void **state)
{
    const size_t size = 700;
    size_t count = total_bytes / size;
    size_t resident_when_full;

    (void)state;
    fill_blocks(count, size);
    resident_when_full = resident_bytes();
    /* One in a hundred stays, side by side. */
    for (size_t i = 0; i < count; i++) {
        if (i % 10000 >= 100)
            api_free(blocks[i]);
    }
    (void)api_malloc_trim(0);
    assert_true(resident_bytes() < resident_when_full - total_bytes / 3 * 2);
    for (size_t i = 0; i < count; i++) {
        if (i % 10000 >= 100)
            continue;
        assert_true(pattern_holds(blocks[i], size, i));
        api_free(blocks[i]);
    }
}

/* A live block in every ninth page or so: each is in a slab, or a heap, that is not empty. */
static void pages_between_live_blocks_go(void **state)
{
    enum { APART = 48 };
    const size_t size = 700;
    size_t count = total_bytes / size;
    size_t resident_when_full;

    (void)state;
    fill_blocks(count, size);
    resident_when_full = resident_bytes();
    for (size_t i = 0; i < count; i++) {
        if (i % APART != 0)
            api_free(blocks[i]);
    }
    assert_int_equal(api_malloc_trim(0), 1);
    assert_true(resident_bytes() < resident_when_full - total_bytes / 2);
    for (size_t i = 0; i < count; i += APART) {
        assert_true(pattern_holds(blocks[i], size, i));
        api_free(blocks[i]);
    }
}

/* In the arena of a thread that has ended, under a block that stays. */
static void *allocate_and_free_on_thread(void *pin)
{
    size_t count = total_bytes / 20000;

    for (size_t i = 0; i < count; i++) {
        blocks[i] = api_malloc(20000);
        if (blocks[i] == NULL)
            return NULL;
        memset(blocks[i], 1, 20000);
    }
    *(void **)pin = api_malloc(20000);
    for (size_t i = 0; i < count; i++)
        api_free(blocks[i]);
    return *(void **)pin;
}

static void what_other_threads_freed_goes_too(void **state)
{
    size_t resident_at_start;
    pthread_t thread;
    void *pin = NULL;
    void *answer;

    (void)state;
    (void)api_malloc_trim(0);
    resident_at_start = resident_bytes();
    assert_int_equal(pthread_create(&thread, NULL, allocate_and_free_on_thread, &pin), 0);
    assert_int_equal(pthread_join(thread, &answer), 0);
    assert_non_null(answer);
    assert_true(resident_bytes() >= resident_at_start + total_bytes / 10 * 9);
    assert_int_equal(api_malloc_trim(0), 1);
    assert_true(resident_bytes() <= resident_at_start + 3 * MIB);
    api_free(pin);
}

enum { SLEEPERS_COUNT = 6000, SLEEPERS_SIZE = 1000, SLEEPERS_APART = 60 };

static pthread_barrier_t sleeper_is_ready;
static pthread_barrier_t sleeper_may_end;

/* Keeps a block in 60, and waits. */
static void *free_most_and_sleep(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < SLEEPERS_COUNT; i++) {
        blocks[i] = api_malloc(SLEEPERS_SIZE);
        assert_non_null(blocks[i]);
        pattern_fill(blocks[i], SLEEPERS_SIZE, i);
    }
    for (size_t i = 0; i < SLEEPERS_COUNT; i++)
        if (i % SLEEPERS_APART != 0)
            api_free(blocks[i]);
    (void)pthread_barrier_wait(&sleeper_is_ready);
    (void)pthread_barrier_wait(&sleeper_may_end);
    /* It goes on as if nothing had happened. */
    for (size_t i = 0; i < SLEEPERS_COUNT; i++) {
        if (i % SLEEPERS_APART != 0)
            blocks[i] = api_malloc(SLEEPERS_SIZE);
        else
            assert_true(pattern_holds(blocks[i], SLEEPERS_SIZE, i));
        assert_non_null(blocks[i]);
        memset(blocks[i], 2, SLEEPERS_SIZE);
    }
    for (size_t i = 0; i < SLEEPERS_COUNT; i++)
        api_free(blocks[i]);
    return NULL;
}

/* All but the slab that it takes from next. */
static void what_a_sleeping_thread_has_open_goes_too(void **state)
{
    size_t kept_bytes = SLEEPERS_COUNT / SLEEPERS_APART * (size_t)sysconf(_SC_PAGESIZE);
    size_t resident_at_start;
    pthread_t thread;

    (void)state;
    if (!API_IS_NEAP)
        return;
    (void)api_malloc_trim(0);
    pthread_barrier_init(&sleeper_is_ready, NULL, 2);
    pthread_barrier_init(&sleeper_may_end, NULL, 2);
    resident_at_start = resident_bytes();
    assert_int_equal(pthread_create(&thread, NULL, free_most_and_sleep, NULL), 0);
    (void)pthread_barrier_wait(&sleeper_is_ready);
    assert_int_equal(api_malloc_trim(0), 1);
    assert_true(resident_bytes() <= resident_at_start + kept_bytes + 300 * KIB);
    assert_int_equal(api_malloc_trim(0), 0);
    (void)pthread_barrier_wait(&sleeper_may_end);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void the_pad_stays(void **state)
{
    size_t resident_at_start;

    (void)state;
    (void)api_malloc_trim(0);
    resident_at_start = resident_bytes();
    allocate_and_free(20000);
    assert_int_equal(api_malloc_trim(16 * MIB), 1);
    assert_true(resident_bytes() >= resident_at_start + 15 * MIB);
    assert_true(resident_bytes() <= resident_at_start + 18 * MIB);
    assert_int_equal(api_malloc_trim(0), 1);
    assert_true(resident_bytes() <= resident_at_start + 2 * MIB);
}

/* From here on any system call that could return memory ends the process. */
static void forbid_returning(void)
{
    static const int numbers[] = {SYS_madvise, SYS_munmap, SYS_brk, 440 /* process_madvise */};
    struct sock_filter filter[2 * COUNT_OF(numbers) + 2] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    struct sock_fprog program = {COUNT_OF(filter), filter};
    size_t count = 1;

    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        filter[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                       (unsigned)numbers[i], 0, 1);
        filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    }
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(2);
}

/* 0, or which of the steps failed; what the filter ends dies of SIGSYS. */
static int status_in_child(int (*body)(void))
{
    int status = -1;
    pid_t child = fork();

    if (child == 0)
        _exit(body());
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int trim_when_nothing_is_left(void)
{
    for (unsigned i = 0; i < 3; i++)
        if (api_malloc_trim(0) != 0)
            return 3;
    return 0;
}

static int trim_twice(void)
{
    allocate_and_free(100);
    allocate_and_free(50000);
    if (api_malloc_trim(0) != 1)
        return 1;
    forbid_returning();
    return trim_when_nothing_is_left();
}

static int trim_once(void)
{
    allocate_and_free(100);
    forbid_returning();
    (void)api_malloc_trim(0);
    return 0;
}

static void a_second_trim_makes_no_system_call(void **state)
{
    (void)state;
    assert_true(WIFSIGNALED(status_in_child(trim_once))); /* the filter works */
    if (API_IS_NEAP)
        assert_int_equal(status_in_child(trim_twice), 0);
}

/* By bytes, by time, and until nothing is left: as much as malloc_trim. */
static void parts_make_up_the_whole(void **state)
{
    size_t resident_at_start;
    size_t sum = 0;
    size_t part;

    (void)state;
    if (!API_IS_NEAP)
        return;
    (void)api_malloc_trim(0);
    resident_at_start = resident_bytes();
    allocate_and_free(100);
    allocate_and_free(20000);
    assert_true(resident_bytes() > resident_at_start + total_bytes / 10 * 9);
    for (unsigned i = 0; i < 5; i++) {
        part = api_trim(MIB, 0);
        assert_true(part >= MIB && part < MIB + 128 * KIB);
        sum += part;
    }
    part = api_trim(1, 0); /* what lies at the top, too, goes in pages */
    assert_true(part > 0 && part < 128 * KIB);
    sum += part;
    part = api_trim(0, 1); /* as far as the first look at the clock */
    assert_true(part > 0 && part < 4 * MIB + 128 * KIB);
    sum += part;
    while ((part = api_trim(0, 500)) > 0)
        sum += part;
    assert_true(sum > total_bytes / 10 * 9);
    assert_true(resident_bytes() < resident_at_start + MIB);
    assert_int_equal(api_trim(0, 0), 0);
    assert_int_equal(api_malloc_trim(0), 0);
}

static void *empty_many_classes(void *blocks_of_thread)
{
    char **own = blocks_of_thread;

    for (size_t size = 16; size <= 1024; size += 16)
        for (size_t i = 0; i < 64; i++) {
            own[i] = api_malloc(size);
            assert_non_null(own[i]);
            memset(own[i], 1, size);
            if (i == 63)
                for (size_t j = 0; j < 64; j++)
                    api_free(own[j]);
        }
    return NULL;
}

/* What ended threads left open is closed then, and is more than may be retained. */
static void a_part_is_no_more_where_threads_have_ended(void **state)
{
    (void)state;
    if (!API_IS_NEAP)
        return;
    assert_int_equal(api_mallopt(M_TRIM_THRESHOLD, MIB), 1);
    for (unsigned round = 0; round < 20; round++) {
        pthread_t threads[4];
        size_t part;

        for (size_t i = 0; i < COUNT_OF(threads); i++)
            assert_int_equal(
                pthread_create(&threads[i], NULL, empty_many_classes, &blocks[64 * i]), 0);
        for (size_t i = 0; i < COUNT_OF(threads); i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        do {
            size_t resident_before = resident_bytes();

            part = api_trim(16 * KIB, 0);
            assert_true(part < 16 * KIB + 128 * KIB);
            if (resident_bytes() + part + 128 * KIB < resident_before)
                fail_msg("%zu bytes went, and %zu were told", resident_before - resident_bytes(),
                         part);
        } while (part > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_threshold_keeps_goes_at_a_trim),
        cmocka_unit_test(it_says_1_only_if_something_went),
        cmocka_unit_test(live_blocks_are_not_hurt),
        cmocka_unit_test(pages_between_live_blocks_go),
        cmocka_unit_test(what_other_threads_freed_goes_too),
        cmocka_unit_test(what_a_sleeping_thread_has_open_goes_too),
        cmocka_unit_test(the_pad_stays),
        cmocka_unit_test(a_second_trim_makes_no_system_call),
        cmocka_unit_test(parts_make_up_the_whole),
        cmocka_unit_test(a_part_is_no_more_where_threads_have_ended),
    };

    return cmocka_run_group_tests(tests, keep_everything, NULL);
}

/* Purging many ranges, on the real kernel: what goes, what stays, in how many calls, and what
 * happens where process_madvise is missing or forbidden (a filter of system calls plays the old
 * kernel). */
#include "../isolated.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "bits.h"
#include "os.h"

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

/* What one call of the kernel takes, and more. */
enum { RANGES = 64, MANY_RANGES = 2000, KERNEL_MAX_RANGES = 1024, STAMP = 0x5A };

struct area {
    unsigned char *start;
    size_t bytes;
    size_t stride_bytes;
    size_t count;
    struct np_range ranges[MANY_RANGES];
};

static struct area area;

/* A page with a stamp in it, then three that nobody asks to purge, count times. */
static void make_area(size_t count)
{
    size_t page = np_os_page_bytes();

    area.count = count;
    area.stride_bytes = 4 * page;
    area.bytes = count * area.stride_bytes;
    area.start = np_os_map(area.bytes, 1);
    assert_non_null(area.start);
    memset(area.start, STAMP, area.bytes);
    for (size_t i = 0; i < count; i++)
        area.ranges[i] = (struct np_range){area.start + i * area.stride_bytes, page};
}

static bool is_resident(const void *page)
{
    unsigned char flags[1] = {0};

    assert_int_equal(mincore((void *)(uintptr_t)page, np_os_page_bytes(), flags), 0);
    return (flags[0] & 1) != 0;
}

/* Past libc's functions, which a sanitizer takes the place of to do nothing. */
static void lock_page(void *page)
{
    assert_int_equal(syscall(SYS_mlock, page, np_os_page_bytes()), 0);
}

static void unlock_page(void *page)
{
    assert_int_equal(syscall(SYS_munlock, page, np_os_page_bytes()), 0);
}

/* Of all ranges, exactly those in [from, to) have gone; what lies between them has its contents.
 * Once only: it reads what has gone, and there is memory again. */
static void expect_gone(size_t from, size_t to)
{
    size_t page = np_os_page_bytes();

    for (size_t i = 0; i < area.count; i++) {
        bool is_gone = from <= i && i < to;
        unsigned char *start = area.ranges[i].address;

        assert_int_equal(is_resident(start), !is_gone);
        if (!is_gone)
            assert_int_equal(start[page - 1], STAMP);
        for (size_t at = page; at < area.stride_bytes; at += page)
            assert_int_equal(start[at], STAMP);
    }
    for (size_t i = from; i < to; i++)
        assert_int_equal(*(unsigned char *)area.ranges[i].address, 0);
}

/* Whether this kernel, and whatever filter we run under, does it: asked past the layer. */
static bool has_batches(void)
{
    struct np_range page = {np_os_map(np_os_page_bytes(), 1), np_os_page_bytes()};

    return syscall(SYS_process_madvise, -10000, &page, 1, MADV_DONTNEED, 0) == (long)page.bytes;
}

/* Calls that purging `count` small ranges takes, the first time. */
static size_t calls_for(size_t count)
{
    return has_batches() ? (count + KERNEL_MAX_RANGES - 1) / KERNEL_MAX_RANGES : count + 1;
}

static void scattered_pages_go_and_their_neighbours_stay(void **state)
{
    size_t calls = 5;

    (void)state;
    make_area(RANGES);
    assert_int_equal(np_os_purge_ranges(area.ranges, RANGES, &calls), RANGES);
    expect_gone(0, RANGES);
    assert_int_equal(calls, 5 + calls_for(RANGES));
}

static void one_range_is_one_call(void **state)
{
    size_t calls = 0;

    (void)state;
    make_area(RANGES);
    assert_int_equal(np_os_purge_ranges(area.ranges + 3, 1, &calls), 1);
    expect_gone(3, 4);
    assert_int_equal(calls, 1);
}

static void more_ranges_than_a_call_takes(void **state)
{
    size_t calls = 0;

    (void)state;
    make_area(MANY_RANGES);
    assert_int_equal(np_os_purge_ranges(area.ranges, MANY_RANGES, &calls), MANY_RANGES);
    expect_gone(0, MANY_RANGES);
    assert_int_equal(calls, calls_for(MANY_RANGES));
}

/* The kernel cuts off what exceeds 2 GiB, and tells it by the count of bytes alone. */
static void more_bytes_than_a_call_takes(void **state)
{
    enum { COUNT = 7 };
    size_t each = (size_t)310 << 20; /* all together are room that 32 bits have */
    char *memory = mmap(NULL, COUNT * each, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct np_range ranges[COUNT];
    size_t calls = 0;

    (void)state;
    assert_ptr_not_equal(memory, MAP_FAILED);
    for (size_t i = 0; i < COUNT; i++) {
        ranges[i] = (struct np_range){memory + i * each, each};
        memory[i * each] = STAMP;
        memory[(i + 1) * each - 1] = STAMP;
    }
    assert_int_equal(np_os_purge_ranges(ranges, COUNT, &calls), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(memory[i * each], 0);
        assert_int_equal(memory[(i + 1) * each - 1], 0);
    }
    assert_int_equal(calls, has_batches() ? 3 : 1 + COUNT); /* by three, as 1 GiB is the most */
}

/* EINVAL from the kernel: what lies before it has gone, the rest is as it was, and may be asked
 * again. */
static void locked_memory_stops_it(void **state)
{
    static const size_t places[] = {0, 1, 40, RANGES - 1};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        size_t place = places[i];
        size_t calls = 0;

        make_area(RANGES);
        lock_page(area.ranges[place].address);
        assert_int_equal(np_os_purge_ranges(area.ranges, RANGES, &calls), place);
        expect_gone(0, place);
        if (place + 1 < RANGES)
            assert_int_equal(
                np_os_purge_ranges(area.ranges + place + 1, RANGES - place - 1, &calls),
                RANGES - place - 1);
        assert_true(is_resident(area.ranges[place].address));
        /* The batch up to there, one that does nothing, the refused range alone, the batch
         * behind. */
        if (has_batches())
            assert_true(calls <= 4);
        unlock_page(area.ranges[place].address);
        assert_int_equal(np_os_purge_ranges(area.ranges + place, 1, &calls), 1);
        assert_false(is_resident(area.ranges[place].address));
        assert_true(np_os_release(area.start, area.bytes));
    }
}

static void errno_stays(void **state)
{
    size_t calls = 0;

    (void)state;
    make_area(RANGES);
    errno = ERANGE;
    assert_int_equal(np_os_purge_ranges(area.ranges, RANGES, &calls), RANGES);
    assert_int_equal(errno, ERANGE);
    memset(area.start, STAMP, area.bytes);
    lock_page(area.ranges[9].address);
    errno = ERANGE;
    assert_int_equal(np_os_purge_ranges(area.ranges, RANGES, &calls), 9);
    assert_int_equal(errno, ERANGE);
}

/* From now on process_madvise answers this error. */
static void forbid_batches(unsigned error)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_madvise, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {COUNT_OF(program), program};

    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
    EXPECT(!has_batches());
}

/* Purges all twice under the filter; the calls that each time took. */
static void purge_twice(unsigned error, size_t calls[2])
{
    for (unsigned round = 0; round < 2; round++) {
        memset(area.start, STAMP, area.bytes);
        if (round == 0)
            forbid_batches(error);
        calls[round] = 0;
        EXPECT(np_os_purge_ranges(area.ranges, RANGES, &calls[round]) == RANGES);
        expect_gone(0, RANGES);
    }
}

static int is_found_out_once(unsigned error)
{
    size_t calls[2];

    purge_twice(error, calls);
    EXPECT(calls[0] == RANGES + 1);
    EXPECT(calls[1] == RANGES);
    return 0;
}

static int is_tried_again(unsigned error)
{
    size_t calls[2];

    purge_twice(error, calls);
    EXPECT(calls[0] > RANGES + 1);
    EXPECT(calls[1] == calls[0]);
    return 0;
}

static void where_it_is_missing_each_range_goes_alone(void **state)
{
    static const unsigned errors[] = {ENOSYS, EPERM, EINVAL, EBADF, ESRCH, EACCES};

    (void)state;
    make_area(RANGES);
    for (size_t i = 0; i < COUNT_OF(errors); i++)
        assert_int_equal(run_in_child(is_found_out_once, errors[i]), 0);
}

static void what_may_pass_is_not_remembered(void **state)
{
    static const unsigned errors[] = {ENOMEM, EAGAIN, EINTR};

    (void)state;
    make_area(RANGES);
    for (size_t i = 0; i < COUNT_OF(errors); i++)
        assert_int_equal(run_in_child(is_tried_again, errors[i]), 0);
}

/* Forbidden only after it has worked. */
static int a_later_filter(unsigned unused)
{
    size_t calls = 0;

    (void)unused;
    EXPECT(np_os_purge_ranges(area.ranges, RANGES, &calls) == RANGES);
    EXPECT(is_found_out_once(EPERM) == 0);
    return 0;
}

static void a_filter_that_comes_later_is_survived(void **state)
{
    (void)state;
    make_area(RANGES);
    assert_int_equal(run_in_child(a_later_filter, 0), 0);
}

/* Oneself is whoever calls: never the parent that found out how. */
static int purge_own_copy(unsigned unused)
{
    size_t calls = 0;

    (void)unused;
    memset(area.start, STAMP, area.bytes);
    EXPECT(np_os_purge_ranges(area.ranges, RANGES, &calls) == RANGES);
    EXPECT(!has_batches() || calls == 1);
    expect_gone(0, RANGES);
    return 0;
}

static void a_child_purges_its_own_memory(void **state)
{
    size_t calls = 0;

    (void)state;
    make_area(RANGES);
    assert_int_equal(np_os_purge_ranges(area.ranges, RANGES, &calls), RANGES);
    memset(area.start, STAMP, area.bytes);
    assert_int_equal(run_in_child(purge_own_copy, 0), 0);
    expect_gone(0, 0);
}

/* The process's state in /proc is that of its first thread: Z once it has ended. */
static bool has_first_thread_ended(void)
{
    char text[200] = "";
    FILE *file = fopen("/proc/self/stat", "r");

    EXPECT(file != NULL && fgets(text, sizeof text, file) != NULL);
    fclose(file);
    return strstr(text, ") Z ") != NULL;
}

static void *purge_alone(void *unused)
{
    size_t calls = 0;

    (void)unused;
    while (!has_first_thread_ended())
        usleep(1000);
    EXPECT(np_os_purge_ranges(area.ranges, RANGES, &calls) == RANGES);
    EXPECT(!has_batches() || calls == 1);
    expect_gone(0, RANGES);
    fflush(NULL);
    _exit(0);
}

static int end_first_thread(unsigned unused)
{
    pthread_t thread;

    (void)unused;
    EXPECT(pthread_create(&thread, NULL, purge_alone, NULL) == 0);
    pthread_exit(NULL);
}

static void it_works_after_the_first_thread_has_ended(void **state)
{
    (void)state;
    make_area(RANGES);
    assert_int_equal(run_in_child(end_first_thread, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scattered_pages_go_and_their_neighbours_stay),
        cmocka_unit_test(one_range_is_one_call),
        cmocka_unit_test(more_ranges_than_a_call_takes),
        cmocka_unit_test(more_bytes_than_a_call_takes),
        cmocka_unit_test(locked_memory_stops_it),
        cmocka_unit_test(errno_stays),
        cmocka_unit_test(where_it_is_missing_each_range_goes_alone),
        cmocka_unit_test(what_may_pass_is_not_remembered),
        cmocka_unit_test(a_filter_that_comes_later_is_survived),
        cmocka_unit_test(a_child_purges_its_own_memory),
        cmocka_unit_test(it_works_after_the_first_thread_has_ended),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

/* Numbers and sentences without stdio: what is appended, what is cut off, what reaches a
 * descriptor in spite of signals and cancellation, and how a process dies. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "text.h"

enum {
    BUFFER_BYTES = 128,
    LONG_WRITE_BYTES = 1 << 20, /* many times what a pipe holds */
};

struct fixture {
    char buffer[BUFFER_BYTES];
    struct np_text text;
};

static void begin(struct fixture *fixture)
{
    memset(fixture->buffer, '#', sizeof fixture->buffer);
    fixture->text = np_text_over(fixture->buffer, sizeof fixture->buffer);
}

/* What was appended, as a string; valid until the next call. */
static const char *appended(struct fixture *fixture)
{
    assert_true(fixture->text.at < fixture->text.end);
    *fixture->text.at = '\0';
    return fixture->buffer;
}

static void strings_and_bytes_follow_each_other(void **state)
{
    struct fixture fixture;

    (void)state;
    begin(&fixture);
    np_text_string(&fixture.text, "one");
    np_text_string(&fixture.text, "");
    np_text_char(&fixture.text, ' ');
    np_text_bytes(&fixture.text, "twofold", 3);
    np_text_bytes(&fixture.text, "x", 0);
    assert_string_equal(appended(&fixture), "one two");
}

static void bytes_may_be_zero(void **state)
{
    struct fixture fixture;

    (void)state;
    begin(&fixture);
    np_text_bytes(&fixture.text, "a\0b", 3);
    assert_memory_equal(fixture.buffer, "a\0b#", 4);
}

static void numbers_are_those_of_printf(void **state)
{
    static const uint64_t VALUES[] = {
        0, 1, 9, 10, 11, 99, 100, 15, 16, 17, 255, 256, INT64_MAX, (uint64_t)INT64_MAX + 1,
        UINT64_MAX, UINT64_MAX - 9, UINT32_MAX, 10000000000000000000u, 9999999999999999999u,
    };
    struct fixture fixture;
    char expected[BUFFER_BYTES];

    (void)state;
    for (size_t index = 0; index < sizeof VALUES / sizeof VALUES[0]; index++) {
        uint64_t value = VALUES[index];

        begin(&fixture);
        np_text_unsigned(&fixture.text, value);
        np_text_char(&fixture.text, ' ');
        np_text_signed(&fixture.text, (int64_t)value);
        np_text_char(&fixture.text, ' ');
        np_text_hex(&fixture.text, value);
        snprintf(expected, sizeof expected, "%" PRIu64 " %" PRId64 " 0x%" PRIx64, value,
                 (int64_t)value, value);
        assert_string_equal(appended(&fixture), expected);
    }
}

static void padding_is_that_of_printf(void **state)
{
    static const unsigned WIDTHS[] = {0, 1, 3, 4, 10, 20, 40};
    struct fixture fixture;
    char expected[BUFFER_BYTES];

    (void)state;
    for (size_t index = 0; index < sizeof WIDTHS / sizeof WIDTHS[0]; index++) {
        begin(&fixture);
        np_text_padded_unsigned(&fixture.text, 1234, WIDTHS[index]);
        snprintf(expected, sizeof expected, "%*u", (int)WIDTHS[index], 1234u);
        assert_string_equal(appended(&fixture), expected);
    }
}

/* Appends 40 bytes, one piece by each function. */
static void append_forty(struct np_text *text)
{
    np_text_string(text, "string ");
    np_text_bytes(text, "bytes ", 6);
    np_text_unsigned(text, 1234567);
    np_text_signed(text, -89);
    np_text_char(text, ' ');
    np_text_hex(text, 0xabcdef);
    np_text_padded_unsigned(text, 42, 8);
}

static void text_is_cut_off_at_every_length(void **state)
{
    static const char WHOLE[] = "string bytes 1234567-89 0xabcdef      42";
    struct fixture fixture;

    (void)state;
    for (size_t room_bytes = 0; room_bytes <= 50; room_bytes++) {
        size_t expected_bytes = room_bytes < 40 ? room_bytes : 40;

        begin(&fixture);
        fixture.text = np_text_over(fixture.buffer, room_bytes);
        append_forty(&fixture.text);
        assert_int_equal(fixture.text.at - fixture.buffer, expected_bytes);
        assert_memory_equal(fixture.buffer, WHOLE, expected_bytes);
        for (size_t index = expected_bytes; index < sizeof fixture.buffer; index++)
            assert_int_equal(fixture.buffer[index], '#');
    }
}

static void ignore_signal(int number)
{
    (void)number;
}

/* Has a signal come every millisecond, which interrupts system calls, until it is given 0. */
static void interrupt_every_us(long interval_us)
{
    struct itimerval timer = {
        .it_interval = {.tv_usec = interval_us},
        .it_value = {.tv_usec = interval_us},
    };
    struct sigaction action = {.sa_handler = ignore_signal};

    sigemptyset(&action.sa_mask);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* What a slow reader sees of the pipe. */
struct reading {
    int fd;
    size_t byte_count;
    size_t wrong_count;
};

/* The byte at a place of the long text: no period divides the size of a pipe. */
static char byte_at(size_t index)
{
    return (char)('a' + index % 23);
}

/* Reads until the end of the file, pausing so that the writer finds the pipe full. */
static void *read_slowly(void *argument)
{
    struct reading *reading = argument;
    char piece[20000];
    ssize_t got;
    sigset_t alarms;

    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarms, NULL); /* the writer is to be interrupted */
    while ((got = read(reading->fd, piece, sizeof piece)) > 0) {
        for (ssize_t index = 0; index < got; index++) {
            if (piece[index] != byte_at(reading->byte_count + (size_t)index))
                reading->wrong_count++;
        }
        reading->byte_count += (size_t)got;
        usleep(2500);
    }
    return NULL;
}

static void signals_and_partial_writes_lose_nothing(void **state)
{
    char *bytes = malloc(LONG_WRITE_BYTES);
    struct reading reading = {.fd = -1};
    pthread_t reader;
    int ends[2];

    (void)state;
    assert_non_null(bytes);
    for (size_t index = 0; index < LONG_WRITE_BYTES; index++)
        bytes[index] = byte_at(index);
    assert_int_equal(pipe(ends), 0);
    reading.fd = ends[0];
    assert_int_equal(pthread_create(&reader, NULL, read_slowly, &reading), 0);
    interrupt_every_us(1000);
    errno = EDOM;
    np_text_write(ends[1], bytes, LONG_WRITE_BYTES);
    assert_int_equal(errno, EDOM);
    interrupt_every_us(0);
    close(ends[1]);
    pthread_join(reader, NULL);
    close(ends[0]);
    assert_int_equal(reading.byte_count, LONG_WRITE_BYTES);
    assert_int_equal(reading.wrong_count, 0);
    free(bytes);
}

static void errors_are_dropped_and_errno_kept(void **state)
{
    int ends[2];
    char bytes[70000] = {0};

    (void)state;
    errno = EDOM;
    np_text_write(-1, "lost", 4);
    assert_int_equal(errno, EDOM);
    np_text_write(-1, "", 0);
    assert_int_equal(errno, EDOM);
    /* A descriptor that does not block is not waited for. */
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    errno = EDOM;
    np_text_write(ends[1], bytes, sizeof bytes);
    assert_int_equal(errno, EDOM);
    close(ends[0]);
    close(ends[1]);
}

static void *write_when_cancelled(void *argument)
{
    int *fd = argument;

    pthread_cancel(pthread_self()); /* deferred: the next cancellation point would end the thread */
    np_text_write(*fd, "whole", 5);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return argument;
}

static void a_write_is_no_cancellation_point(void **state)
{
    pthread_t writer;
    void *result = NULL;
    char got[8];
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_when_cancelled, &ends[1]), 0);
    assert_int_equal(pthread_join(writer, &result), 0);
    assert_ptr_equal(result, &ends[1]);
    assert_int_equal(read(ends[0], got, sizeof got), 5);
    close(ends[0]);
    close(ends[1]);
}

/* Runs `die` in a child with its stderr in a pipe. Returns how it ended, and what it said as a
 * string. */
static int last_words(void (*die)(void), char *said, size_t said_max_bytes)
{
    size_t said_bytes = 0;
    ssize_t got;
    int status = 0;
    int ends[2];
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        die();
        _exit(0);
    }
    close(ends[1]);
    while ((got = read(ends[0], said + said_bytes, said_max_bytes - 1 - said_bytes)) > 0)
        said_bytes += (size_t)got;
    close(ends[0]);
    said[said_bytes] = '\0';
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void assert_aborted(int status)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void die_plainly(void)
{
    np_die("the arena is on fire");
}

static void die_at_an_address(void)
{
    np_die_at("free of a pointer that is not ours", UINTPTR_MAX - 0xED);
}

static const char *endless_sentence(void)
{
    static char sentence[3000];

    memset(sentence, 'x', sizeof sentence - 1);
    return sentence;
}

static void die_verbosely(void)
{
    np_die(endless_sentence());
}

static void die_verbosely_at_an_address(void)
{
    np_die_at(endless_sentence(), 1);
}

static void a_death_is_one_sentence(void **state)
{
    char said[4000];

    (void)state;
    assert_aborted(last_words(die_plainly, said, sizeof said));
    assert_string_equal(said, "neap: the arena is on fire\n");
    assert_aborted(last_words(die_at_an_address, said, sizeof said));
    assert_string_equal(said, sizeof(void *) == 8
                                  ? "neap: free of a pointer that is not ours (address "
                                    "0xffffffffffffff12)\n"
                                  : "neap: free of a pointer that is not ours (address "
                                    "0xffffff12)\n");
}

static void an_endless_sentence_ends_its_line(void **state)
{
    void (*const DEATHS[])(void) = {die_verbosely, die_verbosely_at_an_address};
    char said[4000];

    (void)state;
    for (size_t index = 0; index < sizeof DEATHS / sizeof DEATHS[0]; index++) {
        assert_aborted(last_words(DEATHS[index], said, sizeof said));
        assert_int_equal(strlen(said), 512);
        assert_memory_equal(said, "neap: xxxx", 10);
        assert_string_equal(said + 510, "x\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_and_bytes_follow_each_other),
        cmocka_unit_test(bytes_may_be_zero),
        cmocka_unit_test(numbers_are_those_of_printf),
        cmocka_unit_test(padding_is_that_of_printf),
        cmocka_unit_test(text_is_cut_off_at_every_length),
        cmocka_unit_test(signals_and_partial_writes_lose_nothing),
        cmocka_unit_test(errors_are_dropped_and_errno_kept),
        cmocka_unit_test(a_write_is_no_cancellation_point),
        cmocka_unit_test(a_death_is_one_sentence),
        cmocka_unit_test(an_endless_sentence_ends_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

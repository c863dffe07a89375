/* Trap: a process ends in many ways, and a helper that is about must not change any of them.
 * Started with NEAP_HELPER=1. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "helper.h"

static int ends[2]; /* a pipe: what exit handlers say */
static pthread_t main_thread;

static void say(char letter)
{
    REQUIRE(write(ends[1], &letter, 1) == 1);
}

/* Larger than most, as exit handlers may be: it runs on whatever stack exit is called on. */
static void at_exit(void)
{
    char room[64 << 10];
    char *volatile block = malloc(100000);

    memset(room, 1, sizeof room);
    memset(block, room[sizeof room - 1], 100000);
    free(block);
    say('e');
}

static void begin(void)
{
    REQUIRE(atexit(at_exit) == 0);
    thrash();
    grow();
    drop();
}

static void exit_with_a_helper(void)
{
    begin();
    exit(3);
}

/* At some moment of its work, which is to come after about a second. */
static void exit_while_it_works(void)
{
    size_t resident;

    begin();
    resident = resident_bytes();
    while (resident_bytes() > resident - 8 * MIB && has_helper())
        ;
    exit(3);
}

static void *end_quietly(void *argument)
{
    sleep_seconds(0.05);
    return argument;
}

/* The process goes on until its last thread ends. That may be the helper. */
static void end_main_thread(void)
{
    begin();
    pthread_exit(NULL);
}

static void *begin_in_thread(void *argument)
{
    REQUIRE(pthread_join(main_thread, NULL) == 0);
    begin();
    return argument;
}

static void end_main_thread_before_it(void)
{
    pthread_t thread;

    main_thread = pthread_self();
    REQUIRE(pthread_create(&thread, NULL, begin_in_thread, NULL) == 0);
    REQUIRE(pthread_create(&thread, NULL, end_quietly, NULL) == 0);
    pthread_exit(NULL);
}

static volatile sig_atomic_t signal_count;

static void count_signal(int signal)
{
    (void)signal;
    REQUIRE(syscall(SYS_gettid) == getpid());
    signal_count++;
}

/* A signal for the process goes to any thread that does not block it; here the main thread blocks
 * it first. */
static void signals_find_the_program(void)
{
    sigset_t set;
    sigset_t before;

    begin();
    REQUIRE(signal(SIGUSR1, count_signal) != SIG_ERR);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    REQUIRE(sigprocmask(SIG_BLOCK, &set, &before) == 0);
    REQUIRE(kill(getpid(), SIGUSR1) == 0);
    sleep_seconds(0.05);
    REQUIRE(signal_count == 0);
    REQUIRE(sigprocmask(SIG_SETMASK, &before, NULL) == 0);
    REQUIRE(signal_count == 1);
    exit(3);
}

static void die_of_a_signal(void)
{
    begin();
    REQUIRE(kill(getpid(), SIGTERM) == 0);
    sleep_seconds(20);
}

/* status: as of waitpid; letters: what it says before it ends. */
static void require(void (*body)(void), int status, const char *letters)
{
    char said[8] = "";
    int found_status;
    pid_t child;

    REQUIRE(pipe(ends) == 0);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(120);
        close(ends[0]);
        body();
        _exit(99);
    }
    close(ends[1]);
    REQUIRE(waitpid(child, &found_status, 0) == child);
    REQUIRE(found_status == status);
    REQUIRE(read(ends[0], said, sizeof said) == (ssize_t)strlen(letters));
    REQUIRE(memcmp(said, letters, strlen(letters)) == 0);
    close(ends[0]);
}

int main(void)
{
    alarm(240);
    require(exit_with_a_helper, 3 << 8, "e");
    require(exit_while_it_works, 3 << 8, "e");
    require(end_main_thread, 0, "e");
    require(end_main_thread_before_it, 0, "e");
    require(signals_find_the_program, 3 << 8, "e");
    require(die_of_a_signal, SIGTERM, "");
    return 0;
}

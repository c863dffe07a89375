/*
 * firmware_avr.c: a small system on an ATmega2560 that gives its processes memory from one region.
 *
 * Three processes run one after the other in 1,300 bytes of heap: one works and ends, one hangs and
 * is ended from outside, one writes past the end of a block and is caught. After each, the free
 * table goes out on the serial line. Build it with region.c and NEAP_REGION_GUARDS=1;
 * docs/region.md says how, and how to run it in QEMU.
 */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <string.h>

#include "neap/region.h"

enum { HEAP_BYTES = 1300 };

/* Who owns a block. 0 is the system itself. */
enum process { SYSTEM, WORKER, SLEEPER, SCRIBBLER };

static _Alignas(2) unsigned char memory[HEAP_BYTES];
static struct neap_region *heap;
static bool is_running_to_be_ended;

static void send(char c, void *context)
{
    (void)context;
    while ((UCSR0A & (1 << UDRE0)) == 0)
        ;
    UDR0 = (unsigned char)c;
}

static void say(const char *text)
{
    while (*text != '\0')
        send(*text++, NULL);
}

/* Called for every fault that a call on the heap comes upon. The one to blame is who owns the
 * block; here every fault is the running process's. */
void neap_region_on_fault(struct neap_region *region, enum neap_region_fault fault,
                          const void *address)
{
    static const char *const names[] = {
        "none",        "foreign pointer",    "misaligned pointer", "interior pointer",
        "freed twice", "wrote past a block", "damaged size",       "unmerged",
        "damaged heap"};

    (void)region;
    (void)address;
    say("fault: ");
    say(names[fault]);
    say("\n");
    is_running_to_be_ended = true;
}

static void work(void)
{
    char *line = neap_region_alloc(heap, 50);
    char *copy;

    if (line == NULL)
        return;
    strcpy(line, "worker: a line\n");
    copy = neap_region_calloc(heap, 1, strlen(line) + 1);
    if (copy != NULL)
        strcpy(copy, line);
    line = neap_region_realloc(heap, line, 120);
    say(copy != NULL && line != NULL ? copy : "worker: no memory\n");
    neap_region_free(heap, line);
    neap_region_free(heap, copy);
}

/* Takes memory and never comes back to free it. */
static void hang(void)
{
    neap_region_alloc(heap, 12);
    neap_region_alloc(heap, 7);
    neap_region_alloc(heap, 4);
    say("sleeper: waits for ever\n");
    is_running_to_be_ended = true;
}

static void scribble(void)
{
    char *text = neap_region_alloc(heap, 9);

    if (text == NULL)
        return;
    strcpy(text, "scribbles"); /* nine letters, and a zero that is one too many */
    say("scribbler: frees its block\n");
    neap_region_free(heap, text);
}

/* A process ends, by itself or not: whatever it still has comes back. */
static void end_process(enum process process)
{
    if (is_running_to_be_ended)
        say("system: ended it\n");
    if (neap_region_free_owner(heap, process) != 0)
        say("system: took its memory back\n");
}

/* False if the process had to be ended. */
static bool run(enum process process, void (*body)(void))
{
    is_running_to_be_ended = false;
    neap_region_set_owner(heap, process);
    body();
    neap_region_set_owner(heap, SYSTEM);
    end_process(process);
    neap_region_print(heap, send, NULL);
    return !is_running_to_be_ended;
}

int main(void)
{
    struct neap_region_stats stats;
    bool is_as_planned;

    UCSR0B = 1 << TXEN0;
    heap = neap_region_init(memory, sizeof memory);
    is_as_planned = run(WORKER, work);
    is_as_planned = !run(SLEEPER, hang) && is_as_planned;
    is_as_planned = !run(SCRIBBLER, scribble) && is_as_planned;
    neap_region_stats(heap, &stats);
    say(is_as_planned && stats.free_bytes == stats.total_bytes ? "end 0\n" : "end 1\n");
    cli();
    for (;;)
        sleep_mode();
}

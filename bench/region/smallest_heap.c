/*
 * smallest_heap.c: searches the smallest heap that survives each scenario, under whatever allocator
 * it is linked with, and prints a line for each: allocator, scenario, bytes.
 *
 * A heap counts only if all larger ones that are tried survive too: a size that fits by luck is of
 * no use to anybody. Tried is every size up to FINE_BYTES above the smallest, then every
 * COARSE_STEPth.
 */
#include "allocator.h"
#include "port.h"
#include "scenarios.h"

#ifndef MOST_BYTES
#define MOST_BYTES 1500
#endif

enum { LEAST_BYTES = 500, FINE_BYTES = 100, COARSE_STEP = 16 };

static void put_text(const char *text)
{
    while (*text != '\0')
        port_put_char(*text++);
}

static void put_number(size_t number)
{
    if (number >= 10)
        put_number(number / 10);
    port_put_char((char)('0' + number % 10));
}

static void put_line(const char *name, size_t number)
{
    put_text(bench_heap_name);
    port_put_char(' ');
    put_text(name);
    port_put_char(' ');
    put_number(number);
    port_put_char('\n');
}

static size_t smallest_heap(bool (*survives)(size_t heap_bytes))
{
    size_t found_bytes = 0;
    size_t bytes = LEAST_BYTES;

    while (bytes <= MOST_BYTES) {
        if (!survives(bytes))
            found_bytes = 0;
        else if (found_bytes == 0)
            found_bytes = bytes;
        bytes += found_bytes != 0 && bytes >= found_bytes + FINE_BYTES ? COARSE_STEP : 1;
    }
    return found_bytes;
}

int main(void)
{
    put_line("A", smallest_heap(scenario_hung_command));
    put_line("B", smallest_heap(scenario_two_logins));
    put_line("C", smallest_heap(scenario_hung_in_sha1));
    put_line("F", smallest_heap(scenario_fragmentation));
    put_line("16-byte-blocks-in-1300", scenario_count_of_16(1300));
    put_line("16-byte-blocks-in-4096", scenario_count_of_16(4096));
    return port_end(true);
}

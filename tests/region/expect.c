/*
 * expect.c: counts and prints; see expect.h.
 */
#include "expect.h"

#include "port.h"

static unsigned case_count;
static unsigned failed_case_count;
static unsigned failure_count; /* of the running case */

enum { PRINTED_FAILURE_MAX = 5 };

void expect_print_text(const char *text)
{
    while (*text != '\0')
        port_put_char(*text++);
}

void expect_print_number(uint32_t number)
{
    if (number >= 10)
        expect_print_number(number / 10);
    port_put_char((char)('0' + number % 10));
}

void expect_failed(unsigned line)
{
    if (++failure_count > PRINTED_FAILURE_MAX)
        return;
    expect_print_text("  not as expected: line ");
    expect_print_number(line);
    expect_print_text("\n");
}

void expect_case(const char *name, void (*run)(void))
{
    failure_count = 0;
    run();
    case_count++;
    if (failure_count != 0)
        failed_case_count++;
    expect_print_text(failure_count != 0 ? "FAILED " : "ok ");
    expect_print_text(name);
    expect_print_text("\n");
}

int expect_end(void)
{
    expect_print_number(case_count);
    expect_print_text(" cases, ");
    expect_print_number(failed_case_count);
    expect_print_text(" failed\n");
    return port_end(failed_case_count == 0 && case_count != 0);
}

/*
 * port_m3.c: start, serial line and end of a program on a Cortex-M3, QEMU's mps2-an385.
 *
 * It owns the vector table. m3.ld has the addresses of memory.
 */
#include "port.h"

#include <stdint.h>

/* CMSDK UART 0 of the board. */
#define UART_DATA         (*(volatile uint32_t *)0x40004000)
#define UART_STATE        (*(volatile uint32_t *)0x40004004)
#define UART_CONTROL      (*(volatile uint32_t *)0x40004008)
#define UART_BAUD_DIVIDER (*(volatile uint32_t *)0x40004010)

enum { UART_IS_FULL = 1, UART_SENDS = 1, UART_LEAST_DIVIDER = 16 };

/* Semihosting: the debugger, here QEMU, serves a breakpoint with this number. */
enum { SEMIHOST_EXIT = 0x18, SEMIHOST_EXIT_SUCCESS = 0x20026, SEMIHOST_EXIT_FAILURE = 0x20023 };

extern uint32_t m3_stack_top[], m3_data_source[], m3_data_start[], m3_data_end[];
extern uint32_t m3_bss_start[], m3_bss_end[];

int main(void);
void m3_reset(void);

__attribute__((noreturn)) static void stop(uint32_t reason)
{
    register uint32_t operation __asm__("r0") = SEMIHOST_EXIT;
    register uint32_t argument __asm__("r1") = reason;

    __asm__ volatile("bkpt 0xAB" : : "r"(operation), "r"(argument) : "memory");
    for (;;)
        ;
}

static void fail(void)
{
    stop(SEMIHOST_EXIT_FAILURE);
}

void m3_reset(void)
{
    const uint32_t *from = m3_data_source;
    volatile uint32_t *to;

    for (to = m3_data_start; to < m3_data_end; to++)
        *to = *from++;
    for (to = m3_bss_start; to < m3_bss_end; to++)
        *to = 0;
    main();
    fail();
}

/* Stack, reset, and every fault that a wild program meets. */
__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {
    (uintptr_t)m3_stack_top, (uintptr_t)m3_reset, (uintptr_t)fail, (uintptr_t)fail,
    (uintptr_t)fail,         (uintptr_t)fail,     (uintptr_t)fail,
};

void port_put_char(char c)
{
    UART_BAUD_DIVIDER = UART_LEAST_DIVIDER;
    UART_CONTROL = UART_SENDS;
    while ((UART_STATE & UART_IS_FULL) != 0)
        ;
    UART_DATA = (unsigned char)c;
}

static void put_text(const char *text)
{
    while (*text != '\0')
        port_put_char(*text++);
}

int port_end(bool is_success)
{
    put_text(is_success ? "end 0\n" : "end 1\n");
    stop(is_success ? SEMIHOST_EXIT_SUCCESS : SEMIHOST_EXIT_FAILURE);
}

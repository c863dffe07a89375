/*
 * port_avr.c: the first serial line of an ATmega, and its deepest sleep.
 *
 * A sleep with interrupts off is for ever; simavr takes it for the end of the program.
 */
#include "port.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

void port_put_char(char c)
{
    UCSR0B = 1 << TXEN0;
    while ((UCSR0A & (1 << UDRE0)) == 0)
        ;
    UDR0 = (unsigned char)c;
}

static void put_text(const char *text)
{
    while (*text != '\0')
        port_put_char(*text++);
}

int port_end(bool is_success)
{
    put_text(is_success ? "end 0\n" : "end 1\n");
    cli();
    for (;;)
        sleep_mode();
}

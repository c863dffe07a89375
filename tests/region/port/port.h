/*
 * port.h: the two things that a test program needs from the machine it runs on. One file per
 * machine has them: port_host.c, port_m3.c (QEMU's mps2-an385), port_avr.c (ATmega2560 and
 * ATmega328P).
 */
#ifndef TESTS_REGION_PORT_H
#define TESTS_REGION_PORT_H

#include <stdbool.h>

/* Sends a character to wherever the machine prints. */
void port_put_char(char c);

/* Prints "end 0" (success) or "end 1" as the last line, and stops the machine or returns what main
 * is to return. */
int port_end(bool is_success);

#endif

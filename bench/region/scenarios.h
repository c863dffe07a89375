/*
 * scenarios.h: what a small system does to its heap. Each function starts the heap anew with so
 * many bytes, and says whether they were enough.
 */
#ifndef BENCH_REGION_SCENARIOS_H
#define BENCH_REGION_SCENARIOS_H

#include <stdbool.h>
#include <stddef.h>

/* A command hangs and keeps its 12 + 7 + 4 bytes; then somebody logs in. */
bool scenario_hung_command(size_t heap_bytes);

/* Two people log in at the same time, one step each in turn; then the two do it again. */
bool scenario_two_logins(size_t heap_bytes);

/* A command starts and hangs during the SHA-1 of a login; when that login is over, three more are
 * tried. All of it once for each point of the SHA-1 at which the command can start. */
bool scenario_hung_in_sha1(size_t heap_bytes);

/* 40, 400, 60; the 400 is freed; 40, 400. */
bool scenario_fragmentation(size_t heap_bytes);

/* How many blocks of 16 bytes the heap holds at once. */
unsigned scenario_count_of_16(size_t heap_bytes);

#endif

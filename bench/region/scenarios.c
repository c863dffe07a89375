/*
 * scenarios.c: the seed of the region heap, a system in 6 KB of RAM, as a handful of functions.
 *
 * They hold no state between calls. Every block is filled as a program would fill it and looked at
 * again where it matters, so a heap survives only if its blocks do.
 */
#include "scenarios.h"

#include "allocator.h"
#include "login.h"

enum { LOGIN_RETRY_COUNT = 3, TWO_LOGINS_ROUND_COUNT = 2 };

static bool run_steps(struct login *login, enum login_step first, enum login_step end)
{
    unsigned step;

    for (step = first; step < (unsigned)end; step++) {
        if (!login_do(login, (enum login_step)step))
            return false;
    }
    return true;
}

static bool log_in(void)
{
    struct login login;

    return run_steps(&login, LOGIN_NAME, LOGIN_STEP_COUNT);
}

static void *alloc_filled(size_t bytes, unsigned char value)
{
    unsigned char *block = bench_heap_alloc(bytes);
    size_t i;

    for (i = 0; block != NULL && i < bytes; i++)
        block[i] = value;
    return block;
}

static bool is_filled(const unsigned char *block, size_t bytes, unsigned char value)
{
    while (bytes != 0 && block[bytes - 1] == value)
        bytes--;
    return bytes == 0;
}

static bool hang_command(void)
{
    return alloc_filled(12, 1) != NULL && alloc_filled(7, 2) != NULL && alloc_filled(4, 3) != NULL;
}

bool scenario_hung_command(size_t heap_bytes)
{
    return bench_heap_start(heap_bytes) && hang_command() && log_in();
}

bool scenario_two_logins(size_t heap_bytes)
{
    struct login first;
    struct login second;
    unsigned round;
    unsigned step;

    if (!bench_heap_start(heap_bytes))
        return false;
    for (round = 0; round < TWO_LOGINS_ROUND_COUNT; round++) {
        for (step = LOGIN_NAME; step < LOGIN_STEP_COUNT; step++) {
            if (!login_do(&first, (enum login_step)step) ||
                !login_do(&second, (enum login_step)step))
                return false;
        }
    }
    return true;
}

static bool survives_hang_before(enum login_step step)
{
    struct login login;
    unsigned retry;

    if (!run_steps(&login, LOGIN_NAME, step) || !hang_command() ||
        !run_steps(&login, step, LOGIN_STEP_COUNT))
        return false;
    for (retry = 0; retry < LOGIN_RETRY_COUNT; retry++) {
        if (!log_in())
            return false;
    }
    return true;
}

bool scenario_hung_in_sha1(size_t heap_bytes)
{
    unsigned step;

    for (step = LOGIN_SHA1_STATE; step <= LOGIN_SHA1_END; step++) {
        if (!bench_heap_start(heap_bytes) || !survives_hang_before((enum login_step)step))
            return false;
    }
    return true;
}

bool scenario_fragmentation(size_t heap_bytes)
{
    void *blocks[4];
    void *large;

    if (!bench_heap_start(heap_bytes))
        return false;
    blocks[0] = alloc_filled(40, 1);
    large = alloc_filled(400, 2);
    blocks[1] = alloc_filled(60, 3);
    if (blocks[0] == NULL || large == NULL || blocks[1] == NULL)
        return false;
    bench_heap_free(large);
    blocks[2] = alloc_filled(40, 4);
    blocks[3] = alloc_filled(400, 5);
    return blocks[2] != NULL && blocks[3] != NULL && is_filled(blocks[0], 40, 1) &&
           is_filled(blocks[1], 60, 3) && is_filled(blocks[2], 40, 4) &&
           is_filled(blocks[3], 400, 5);
}

unsigned scenario_count_of_16(size_t heap_bytes)
{
    unsigned count = 0;

    if (!bench_heap_start(heap_bytes))
        return 0;
    while (alloc_filled(16, 1) != NULL)
        count++;
    return count;
}

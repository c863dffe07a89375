/* Trap: the program, or a library of it, moves the break itself: up, and takes what lies there for
 * its own; up and down again; and below what it took. */
#include <malloc.h>
#include <stdint.h>

#include "trap.h"

enum { BLOCKS = 3000 };

static unsigned char *blocks[BLOCKS];

static size_t size_of(size_t block_index)
{
    return 1 + block_index * 61 % 9000;
}

static void allocate(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(size_of(i));
        REQUIRE(blocks[i] != NULL);
        memset(blocks[i], (int)(i % 251), size_of(i));
    }
}

static void check_and_free(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        for (size_t at = 0; at < size_of(i); at++)
            REQUIRE(blocks[i][at] == i % 251);
        free(blocks[i]);
    }
}

static void require_filled(const unsigned char *foreign, size_t size, unsigned char value)
{
    for (size_t at = 0; at < size; at++)
        REQUIRE(foreign[at] == value);
}

static unsigned char *take(size_t size, unsigned char value)
{
    unsigned char *foreign = sbrk((intptr_t)size);

    REQUIRE(foreign != (void *)-1);
    memset(foreign, value, size);
    return foreign;
}

/* What others took stays theirs, whatever is allocated, freed and trimmed around it. And from the
 * first such move on neap never moves the break: libc does not lock it, so the next might be
 * under way. */
static void gaps_are_respected(void)
{
    static const size_t sizes[] = {1, 5000, 16, 4096, 100000, 4097};
    unsigned char *foreign[6];
    void *end;

    for (size_t i = 0; i < 6; i++) {
        foreign[i] = take(sizes[i], (unsigned char)(0xc0 + i));
        end = foreign[i] + sizes[i];
        allocate();
        REQUIRE(sbrk(0) == end);
        require_filled(foreign[i], sizes[i], (unsigned char)(0xc0 + i));
        check_and_free();
        (void)malloc_trim(0);
        REQUIRE(sbrk(0) == end);
    }
    allocate();
    for (size_t i = 0; i < 6; i++)
        require_filled(foreign[i], sizes[i], (unsigned char)(0xc0 + i));
    check_and_free();
}

/* Up and down at once, with blocks of ours below. */
static void moves_that_are_undone(void)
{
    for (intptr_t i = 1; i < 200000; i = i * 3 + 1) {
        void *before;

        allocate();
        before = sbrk(0);
        REQUIRE(sbrk(i) == before);
        REQUIRE(sbrk(-i) != (void *)-1);
        REQUIRE(sbrk(0) == before);
        check_and_free();
        allocate();
        check_and_free();
    }
}

/* Takes a stretch, allocates, and gives back a part of it that is still on top. */
static void moves_that_are_undone_in_part(void)
{
    unsigned char *foreign = take(100000, 0xaa);

    REQUIRE(sbrk(-40000) != (void *)-1);
    allocate();
    require_filled(foreign, 60000, 0xaa);
    check_and_free();
    require_filled(foreign, 60000, 0xaa);
}

int main(void)
{
    alarm(240);
    free(malloc(100000));
    gaps_are_respected();
    moves_that_are_undone();
    moves_that_are_undone_in_part();
    return 0;
}

/* Trap: in a static program libc has called sbrk before us and left the break inside a page, where
 * its thread-local storage lies; and shrinking the break inside a page keeps that page's bytes. */
#include <stdint.h>

#include "trap.h"

static _Thread_local char thread_local_bytes[3000];
static _Thread_local uint64_t thread_local_words[50] = {1, 2, 3};

static void require_thread_locals(void)
{
    for (size_t i = 0; i < sizeof(thread_local_bytes); i++)
        REQUIRE(thread_local_bytes[i] == (char)(i % 100));
    REQUIRE(thread_local_words[0] == 1 && thread_local_words[2] == 3);
    REQUIRE(thread_local_words[3] == 0 && thread_local_words[49] == 0);
}

/* Where the program's own data end, says the linker. */
extern char end[];

int main(void)
{
    enum { BLOCKS = 200 };
    unsigned char *blocks[BLOCKS];

    /* If this is not so any more, the trap is gone and the test with it. */
    REQUIRE((uintptr_t)thread_local_bytes > (uintptr_t)end);
    REQUIRE((uintptr_t)thread_local_bytes < (uintptr_t)sbrk(0));
    for (size_t i = 0; i < sizeof(thread_local_bytes); i++)
        thread_local_bytes[i] = (char)(i % 100);

    for (unsigned round = 0; round < 20; round++) {
        size_t size = 1000 + round * 1777;

        for (size_t i = 0; i < BLOCKS; i++) {
            blocks[i] = calloc(1, size);
            REQUIRE(blocks[i] != NULL);
            REQUIRE((uintptr_t)blocks[i] % 16 == 0);
            for (size_t at = 0; at < size; at++)
                REQUIRE(blocks[i][at] == 0);
            memset(blocks[i], 0xff, size);
        }
        require_thread_locals();
        for (size_t i = 0; i < BLOCKS; i++)
            free(blocks[i]);
        require_thread_locals();
    }
    return 0;
}

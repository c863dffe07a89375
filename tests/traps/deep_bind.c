/* Trap: a plug-in that knows only libc, loaded with RTLD_DEEPBIND: its malloc is libc's, while libc
 * itself, in strdup for instance, asks the program's, which is neap. What each of the two gets from
 * its own malloc must work as ever, beside the other, and what neap gets of libc's ends the process
 * with a sentence. What libc gets of neap's, as in free(strdup("")) within the plug-in, nobody can
 * solve: it is libc's free that is called, with another one's block.
 *
 *   trap_deep_bind PLUG_IN */
#include <dlfcn.h>
#include <signal.h>

#include <neap/neap.h>

#include "child.h"
#include "load.h"

enum { BLOCKS = 500 };

static struct {
    char *(*copy)(const char *text);
    char *(*take)(size_t bytes);
    void (*give)(void *block);
} plug_in;

static void find(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);

    if (library == NULL)
        trap_fail(dlerror());
    *(void **)&plug_in.copy = dlsym(library, "plug_in_copy_of_libc");
    *(void **)&plug_in.take = dlsym(library, "plug_in_take");
    *(void **)&plug_in.give = dlsym(library, "plug_in_give");
    REQUIRE(plug_in.copy != NULL && plug_in.take != NULL && plug_in.give != NULL);
}

/* Blocks that stay with whom they came from, while the other one works. */
static void *use_both(void *argument)
{
    char *blocks[BLOCKS];

    for (size_t at = 0; at < BLOCKS; at++) {
        blocks[at] = plug_in.take(1 + at * 700);
        REQUIRE(blocks[at] != NULL);
        memset(blocks[at], (int)at % 100, 1 + at * 700);
    }
    load_run(1, 2000);
    for (size_t at = 0; at < BLOCKS; at++) {
        REQUIRE(bytes_are(blocks[at], 1 + at * 700, (unsigned char)(at % 100)));
        plug_in.give(blocks[at]);
    }
    return argument;
}

/* What libc hands out is the program's, whoever asked libc for it. */
static void free_copies(void)
{
    for (size_t at = 0; at < BLOCKS; at++) {
        size_t live_bytes = neap_mallinfo2().uordblks;
        char *copy = plug_in.copy("what libc copied for the plug-in");

        REQUIRE(copy != NULL && strcmp(copy, "what libc copied for the plug-in") == 0);
        REQUIRE(neap_mallinfo2().uordblks > live_bytes);
        free(copy);
        REQUIRE(neap_mallinfo2().uordblks == live_bytes);
    }
}

static void give_neap(void *bytes)
{
    free(plug_in.take(*(const size_t *)bytes));
}

/* The sentence that ends the process when neap gets a block of `bytes` that the plug-in took. */
static void require_sentence(size_t bytes)
{
    static const char sentence[] = "neap: free of a pointer that neap did not allocate";
    char said[256];

    REQUIRE(child_status(give_neap, &bytes, said, sizeof said) == SIGABRT);
    REQUIRE(strncmp(said, sentence, sizeof sentence - 1) == 0);
}

int main(int argc, char **argv)
{
    pthread_t thread;

    alarm(120);
    REQUIRE(argc == 2);
    find(argv[1]);
    REQUIRE(neap_malloc_usable_size(malloc(1)) > 0);
    free_copies();
    REQUIRE(pthread_create(&thread, NULL, use_both, NULL) == 0);
    use_both(NULL);
    REQUIRE(pthread_join(thread, NULL) == 0);
    require_sentence(100);
    require_sentence(50000);
    require_sentence(3000000);
    return 0;
}

/* An ordinary program for the scripts to preload neap into: it allocates, and says whose malloc it
 * has by the name of the file that malloc lies in. */
#include <dlfcn.h>
#include <stdio.h>

#include "trap.h"

int main(void)
{
    char *block = malloc(1000);
    Dl_info info;

    REQUIRE(block != NULL);
    memset(block, 1, 1000);
    free(block);
    REQUIRE(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) != 0);
    puts(strstr(info.dli_fname, "libneap") != NULL ? "neap" : "not neap");
    return 0;
}

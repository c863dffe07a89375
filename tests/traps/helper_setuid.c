/* Trap: credentials are a thread's to the kernel and the process's to POSIX: libc sets them in all
 * threads that it knows, by a signal. The helper must be one of them, or it would keep rights that
 * the program has given up. Started with NEAP_HELPER=1. */
#include <grp.h>

#include "helper.h"

enum { NOBODY = 65534 };

static unsigned wanted_id;

/* "Uid:  real effective saved file" */
static void require_ids(const char *status, const char *field)
{
    const char *line = strstr(status, field);
    unsigned ids[4];

    REQUIRE(line != NULL);
    REQUIRE(sscanf(line + strlen(field), "%u %u %u %u", &ids[0], &ids[1], &ids[2], &ids[3]) == 4);
    for (unsigned i = 0; i < 4; i++)
        REQUIRE(ids[i] == wanted_id);
}

static void require_credentials(const char *number)
{
    char path[320];
    char status[4096];

    (void)snprintf(path, sizeof path, "/proc/self/task/%s/status", number);
    read_file(path, status, sizeof status);
    require_ids(status, "\nUid:");
    require_ids(status, "\nGid:");
}

int main(void)
{
    alarm(240);
    thrash();
    REQUIRE(task_count() == 2);
    if (geteuid() == 0) {
        wanted_id = NOBODY;
        REQUIRE(setgid(NOBODY) == 0);
        REQUIRE(setuid(NOBODY) == 0);
        REQUIRE(each_task(require_credentials) == 2);
    } else { /* nothing to give up, but the signal has to be answered */
        REQUIRE(setgid(getgid()) == 0);
        REQUIRE(setuid(getuid()) == 0);
        REQUIRE(task_count() == 2);
    }
    REQUIRE(helper_ends_within(LONG_SECONDS));
    return 0;
}

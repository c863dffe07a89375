/* cgroup.c: see cgroup.h.
 *
 * `made` is written by the main thread with the three signals blocked, and read by their handler.
 */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REMOVE_TRY_COUNT = 500, REMOVE_STEP_MS = 10, PATH_BYTES = 2 * PATH_MAX };

struct hierarchy {
    int version;
    char mount[PATH_MAX];       /* where it is mounted */
    char own[PATH_MAX];         /* this process's cgroup below the mount: "" or "/a/b" */
};

static struct {
    bool is_there;
    int version;
    char path[PATH_BYTES];
    char control[PATH_BYTES];   /* the cgroup.subtree_control that we changed, or "" */
} made;

static char reason[256];

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    bool is_written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return is_written;
}

/* Async-signal-safe. Returns the bytes read; the text ends with a zero. */
static size_t read_text(const char *path, char *text, size_t text_bytes)
{
    size_t used = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        ssize_t got;
        while (used < text_bytes - 1 && (got = read(fd, text + used, text_bytes - 1 - used)) > 0)
            used += (size_t)got;
        close(fd);
    }
    text[used] = '\0';
    return used;
}

/* path becomes folder/name, or empty, and so no file's name, if that is too long.
 * Async-signal-safe. */
static void file_in(const char *folder, const char *name, char *path)
{
    size_t folder_length = strlen(folder);
    size_t name_length = strlen(name);

    path[0] = '\0';
    if (folder_length + 1 + name_length >= PATH_BYTES)
        return;
    memcpy(path, folder, folder_length);
    path[folder_length] = '/';
    memcpy(path + folder_length + 1, name, name_length + 1);
}

static bool write_file(const char *name, const char *text)
{
    char path[PATH_BYTES];

    file_in(made.path, name, path);
    return write_text(path, text);
}

/* Async-signal-safe. */
static void kill_members(void)
{
    char path[PATH_BYTES];
    char text[4096];

    file_in(made.path, "cgroup.procs", path);
    read_text(path, text, sizeof text);
    for (const char *at = text; *at != '\0';) {
        pid_t pid = 0;
        for (; *at >= '0' && *at <= '9'; at++)
            pid = pid * 10 + (*at - '0');
        if (pid > 1)
            kill(pid, SIGKILL);
        while (*at != '\0' && (*at < '0' || *at > '9'))
            at++;
    }
}

/* Async-signal-safe. A process that was killed takes a while to leave. */
static bool remove_made(void)
{
    struct timespec step = { .tv_nsec = REMOVE_STEP_MS * 1000000 };
    bool is_gone = false;

    for (int i = 0; i < REMOVE_TRY_COUNT && !is_gone; i++) {
        is_gone = rmdir(made.path) == 0 || errno == ENOENT;
        if (!is_gone) {
            kill_members();
            nanosleep(&step, NULL);
        }
    }
    if (made.control[0] != '\0')
        (void)write_text(made.control, "-memory");
    made.is_there = false;
    return is_gone;
}

static void on_signal(int number)
{
    if (made.is_there)
        (void)remove_made();
    /* The handler was installed with SA_RESETHAND: this ends the program as the signal would. */
    raise(number);
}

static void remove_at_exit(void)
{
    (void)np_cgroup_remove();
}

static void block_signals(sigset_t *old)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, old);
}

static void install_guards(void)
{
    static bool is_installed;
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

    if (is_installed)
        return;
    is_installed = true;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    atexit(remove_at_exit);
}

/* Is word one of the words that the separator divides in text? */
static bool has_word(const char *text, const char *word, const char *separators)
{
    size_t length = strlen(word);

    while (*text != '\0') {
        size_t next = strcspn(text, separators);
        if (next == length && strncmp(text, word, length) == 0)
            return true;
        text += next;
        text += strspn(text, separators);
    }
    return false;
}

/* Turns the "\040" of mountinfo back into a space, and so on. */
static void unescape(char *text)
{
    char *out = text;

    for (const char *in = text; *in != '\0'; out++) {
        if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3') {
            *out = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 4;
        } else {
            *out = *in++;
        }
    }
    *out = '\0';
}

/* The cgroup of this process in the hierarchy, as /proc/self/cgroup has it. */
static bool read_own_path(int version, char *own)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[PATH_MAX + 256];
    bool is_found = false;

    while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL) {
        char *controllers = strchr(line, ':');
        char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (path == NULL)
            continue;
        *path++ = '\0';
        controllers++;
        path[strcspn(path, "\n")] = '\0';
        is_found = version == 2 ? *controllers == '\0' : has_word(controllers, "memory", ",");
        if (is_found)
            snprintf(own, PATH_MAX, "%s", strcmp(path, "/") == 0 ? "" : path);
    }
    if (file != NULL)
        fclose(file);
    return is_found;
}

/* Does this line of mountinfo mount the hierarchy? Fills in where, and the mounted root. */
static bool parse_mount(char *line, int version, char *mount, char *root)
{
    char type[32];
    char options[512];
    char *rest = strstr(line, " - ");

    if (rest == NULL || sscanf(rest, " - %31s %*s %511s", type, options) != 2)
        return false;
    if (sscanf(line, "%*s %*s %*s %4095s %4095s", root, mount) != 2)
        return false;
    unescape(mount);
    unescape(root);
    if (version == 2)
        return strcmp(type, "cgroup2") == 0;
    return strcmp(type, "cgroup") == 0 && has_word(options, "memory", ",");
}

/* Version 2 serves only if the memory controller has not been given to version 1. */
static bool has_memory(const struct hierarchy *hierarchy)
{
    char path[PATH_BYTES];
    char text[1024];

    if (hierarchy->version == 1)
        return true;
    file_in(hierarchy->mount, "cgroup.controllers", path);
    read_text(path, text, sizeof text);
    return has_word(text, "memory", " \n");
}

static bool find_hierarchy(int version, struct hierarchy *hierarchy)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char line[3 * PATH_MAX];
    char root[PATH_MAX];
    bool is_found = false;

    hierarchy->version = version;
    while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL)
        is_found = parse_mount(line, version, hierarchy->mount, root) && has_memory(hierarchy);
    if (file != NULL)
        fclose(file);
    if (!is_found || !read_own_path(version, hierarchy->own))
        return false;
    /* In a container a part of the hierarchy may be mounted as if it were the whole. */
    size_t root_length = strlen(root);
    if (root_length > 1 && strncmp(hierarchy->own, root, root_length) == 0)
        memmove(hierarchy->own, hierarchy->own + root_length,
                strlen(hierarchy->own + root_length) + 1);
    return true;
}

/* A process is sent there to see: on some machines one may make a cgroup, and not enter it. */
static bool can_be_entered(void)
{
    char path[PATH_BYTES];
    int status = 0;

    file_in(made.path, "cgroup.procs", path);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(write_text(path, "0") ? 0 : 1);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid > 0 && status == 0;
}

/* Version 2: the children of a cgroup have memory.max only if it says so. Where we say so, we
 * take it back in the end. */
static bool ensure_controller(const char *parent)
{
    char path[PATH_BYTES];

    file_in(made.path, made.version == 2 ? "memory.max" : "memory.limit_in_bytes", path);
    if (access(path, W_OK) == 0)
        return true;
    if (made.version == 1)
        return false;
    file_in(parent, "cgroup.subtree_control", made.control);
    if (write_text(made.control, "+memory") && access(path, W_OK) == 0)
        return true;
    made.control[0] = '\0';
    return false;
}

static bool make_below(const char *parent, int version)
{
    char name[64];
    sigset_t old;

    made.version = version;
    made.control[0] = '\0';
    snprintf(name, sizeof name, "neap-oom-%ld", (long)getpid());
    file_in(parent, name, made.path);
    block_signals(&old);
    made.is_there = mkdir(made.path, 0755) == 0;
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (!made.is_there)
        return false;
    if (ensure_controller(parent) && can_be_entered())
        return true;
    (void)np_cgroup_remove();
    return false;
}

/* From the top, where no other limit interferes, down to where this process is itself. */
static bool make_in(const struct hierarchy *hierarchy)
{
    char parent[PATH_BYTES];
    size_t mount_length = strlen(hierarchy->mount);

    snprintf(parent, sizeof parent, "%s%s", hierarchy->mount, hierarchy->own);
    for (size_t end = mount_length; end <= strlen(parent); end++) {
        char rest = parent[end];
        if (rest != '/' && rest != '\0')
            continue;
        parent[end] = '\0';
        if (make_below(parent, hierarchy->version))
            return true;
        parent[end] = rest;
    }
    return false;
}

bool np_cgroup_make(void)
{
    static const int versions[] = { 2, 1 };
    struct hierarchy hierarchy;
    bool is_any_found = false;

    install_guards();
    for (unsigned i = 0; i < 2; i++) {
        if (!find_hierarchy(versions[i], &hierarchy))
            continue;
        is_any_found = true;
        if (make_in(&hierarchy))
            return true;
    }
    if (is_any_found)
        snprintf(reason, sizeof reason, "no memory cgroup can be made here: this user may not make "
                 "one anywhere from the top of the hierarchy to its own place in it (try as root)");
    else
        snprintf(reason, sizeof reason,
                 "no memory cgroup can be made here: none of version 2 or 1 is mounted");
    return false;
}

const char *np_cgroup_reason(void)
{
    return reason;
}

/* /proc/swaps has a line of headings, and one for each swap. */
static bool has_machine_swap(void)
{
    char text[4096];

    read_text("/proc/swaps", text, sizeof text);
    const char *line = strchr(text, '\n');
    return line != NULL && line[1] != '\0';
}

bool np_cgroup_limit(uint64_t limit_bytes, enum cgroup_swap *swap)
{
    char text[32];
    bool is_swap_limited;

    snprintf(text, sizeof text, "%llu", (unsigned long long)limit_bytes);
    if (made.version == 2) {
        if (!write_file("memory.max", text))
            return false;
        is_swap_limited = write_file("memory.swap.max", "0");
        /* One process is to go, not both. */
        (void)write_file("memory.oom.group", "0");
    } else {
        if (!write_file("memory.limit_in_bytes", text))
            return false;
        /* Memory and swap together may be no more than memory alone. */
        is_swap_limited = write_file("memory.memsw.limit_in_bytes", text);
        (void)write_file("memory.swappiness", "0");
        (void)write_file("memory.oom_control", "0");
    }
    if (!has_machine_swap())
        *swap = CGROUP_SWAP_ABSENT;
    else
        *swap = is_swap_limited ? CGROUP_SWAP_LIMITED : CGROUP_SWAP_FREE;
    return true;
}

int np_cgroup_open_procs(void)
{
    char path[PATH_BYTES];

    file_in(made.path, "cgroup.procs", path);
    return open(path, O_WRONLY | O_CLOEXEC);
}

bool np_cgroup_read_oom(struct cgroup_oom *oom)
{
    const char *name = made.version == 2 ? "memory.events" : "memory.oom_control";
    char path[PATH_BYTES];
    char text[1024];

    file_in(made.path, name, path);
    read_text(path, text, sizeof text);
    const char *field = strstr(text, "\noom_kill ");
    if (field == NULL)
        return false;
    oom->kill_count = strtoull(field + strlen("\noom_kill "), NULL, 10);
    snprintf(oom->source, sizeof oom->source, "%s: oom_kill", name);
    return true;
}

int np_cgroup_version(void)
{
    return made.version;
}

const char *np_cgroup_path(void)
{
    return made.path;
}

bool np_cgroup_remove(void)
{
    sigset_t old;
    bool is_gone = true;

    block_signals(&old);
    if (made.is_there)
        is_gone = remove_made();
    sigprocmask(SIG_SETMASK, &old, NULL);
    return is_gone;
}

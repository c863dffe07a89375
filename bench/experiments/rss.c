/* rss.c: see rss.h. */
#include "rss.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* The number that follows the spaces at text; 0 if there is none. */
static uint64_t parse_number(const char *text)
{
    uint64_t value = 0;

    while (*text == ' ' || *text == '\t')
        text++;
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    return value;
}

/* Reads the whole of a small file into buffer and ends it with a zero. */
static bool read_text(const char *path, char *buffer, size_t buffer_bytes)
{
    size_t used_bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    while (used_bytes < buffer_bytes - 1) {
        ssize_t got = read(fd, buffer + used_bytes, buffer_bytes - 1 - used_bytes);
        if (got <= 0)
            break;
        used_bytes += (size_t)got;
    }
    close(fd);
    buffer[used_bytes] = '\0';
    return used_bytes > 0;
}

/* The number of KiB in the line of text that begins with name, in bytes. */
static uint64_t line_bytes(const char *text, const char *name)
{
    const char *line = strstr(text, name);

    return line == NULL ? 0 : parse_number(line + strlen(name)) * 1024;
}

struct rss_reading np_rss_exact(void)
{
    struct rss_reading reading = { 0 };
    char text[4096];

    if (read_text("/proc/self/smaps_rollup", text, sizeof text)) {
        reading.rss_bytes = line_bytes(text, "\nRss:");
        reading.anonymous_bytes = line_bytes(text, "\nAnonymous:");
    }
    if (reading.rss_bytes == 0) {
        /* Before Linux 4.14, or with /proc restricted: the counter is better than nothing. */
        int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            reading.rss_bytes = np_rss_quick_bytes(fd);
            close(fd);
        }
    }
    return reading;
}

uint64_t np_rss_exact_bytes(void)
{
    return np_rss_exact().rss_bytes;
}

uint64_t np_rss_peak_bytes(void)
{
    char text[4096];

    return read_text("/proc/self/status", text, sizeof text) ? line_bytes(text, "\nVmHWM:") : 0;
}

uint64_t np_rss_quick_bytes(int statm_fd)
{
    char text[256];
    ssize_t got = pread(statm_fd, text, sizeof text - 1, 0);

    if (got <= 0)
        return 0;
    text[got] = '\0';
    /* The second field: resident pages. */
    const char *space = strchr(text, ' ');
    if (space == NULL)
        return 0;
    return parse_number(space) * (uint64_t)sysconf(_SC_PAGESIZE);
}

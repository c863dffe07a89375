/* Runs a fuzz target on inputs from files, without a fuzzer: for ctest, for gcc, and for whoever
 * wants to see a finding again.
 *
 * PROGRAM FILE_OR_FOLDER...
 *
 * A file that makes the target fail is the last one named. No file at all is a failure too. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

enum { PATH_BYTES = 4096 };

static unsigned replayed_count;

/* In a block of the input's very size, so that a sanitizer sees who reads behind it. */
static void replay_file(const char *path, size_t byte_count)
{
    uint8_t *bytes = malloc(byte_count);
    FILE *file = fopen(path, "rb");

    printf("%s\n", path);
    fflush(stdout);
    if (file == NULL || (bytes == NULL && byte_count > 0) ||
        fread(bytes, 1, byte_count, file) != byte_count) {
        perror(path);
        exit(1);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, byte_count);
    free(bytes);
    replayed_count++;
}

static int has_visible_name(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void replay(const char *path);

static void replay_folder(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, has_visible_name, alphasort);
    char inner[PATH_BYTES];

    for (int i = 0; i < count; i++) {
        snprintf(inner, sizeof(inner), "%s/%s", path, entries[i]->d_name);
        replay(inner);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void replay(const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0) {
        perror(path);
        exit(1);
    }
    if (S_ISDIR(status.st_mode))
        replay_folder(path);
    else
        replay_file(path, (size_t)status.st_size);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%u inputs replayed\n", replayed_count);
    return replayed_count > 0 ? 0 : 1;
}

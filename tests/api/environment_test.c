/* glibc's environment variables, as they reach a program that was started with them; and that
 * mallopt has the last word. Each case runs this program anew:
 *
 *   PROGRAM CASE     ends with 0 if the case holds; who starts it sets the variable */
#include "api_test.h"

#include <stdio.h>

static bool is_mapped(size_t size)
{
    size_t before = api_mallinfo2().hblks;
    void *block = api_malloc(size);
    bool answer = api_mallinfo2().hblks > before;

    api_free(block);
    return block != NULL && answer;
}

/* Whether so much lies between the first block and the break. True also where that never moves, as
 * in musl. */
static bool first_growth_is_at_least(size_t least_bytes)
{
    uintptr_t first = (uintptr_t)api_malloc(50000); /* kept: the process is short */

    if (!API_HAS_BREAK)
        return true;
    return first != 0 && (uintptr_t)sbrk(0) - first >= least_bytes;
}

static bool fresh_bytes_are(unsigned char value)
{
    unsigned char *block = api_malloc(5000);
    bool answer = block != NULL && bytes_are(block, 5000, value);

    api_free(block);
    return answer;
}

static bool mapped(void)
{
    return is_mapped(1000000);
}

static bool not_mapped(void)
{
    return !is_mapped(1000000);
}

static bool mapped_after_mallopt(void)
{
    /* The second one is larger: what the first one left does not satisfy it. */
    return !is_mapped(1000000) && api_mallopt(M_MMAP_THRESHOLD, 200000) == 1 && is_mapped(3000000);
}

/* The environment may not be read after the first mallopt. */
static bool mallopt_comes_first(void)
{
    return api_mallopt(M_MMAP_THRESHOLD, 200000) == 1 && is_mapped(1000000);
}

static bool padded(void)
{
    return first_growth_is_at_least(7 * MIB); /* libc may have allocated a little before */
}

static bool perturbed(void)
{
    return fresh_bytes_are(0xa5);
}

static bool not_perturbed_after_mallopt(void)
{
    return fresh_bytes_are(0xa5) && api_mallopt(M_PERTURB, 0x0f) == 1 && fresh_bytes_are(0xf0);
}

static const struct {
    const char *name;
    const char *variable;
    bool (*holds)(void);
} cases[] = {
    {"mapped", "UNRELATED=1", mapped},
    {"not_mapped", "MALLOC_MMAP_THRESHOLD_=4000000", not_mapped},
    {"none_mapped", "MALLOC_MMAP_MAX_=0", not_mapped},
    {"mapped_after_mallopt", "MALLOC_MMAP_THRESHOLD_=4000000", mapped_after_mallopt},
    {"mallopt_comes_first", "MALLOC_MMAP_THRESHOLD_=4000000", mallopt_comes_first},
    {"padded", "MALLOC_TOP_PAD_=8388608", padded},
    {"perturbed", "MALLOC_PERTURB_=90", perturbed},
    {"not_perturbed_after_mallopt", "MALLOC_PERTURB_=90", not_perturbed_after_mallopt},
};

static int run_case(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (strcmp(cases[i].name, name) == 0)
            return cases[i].holds() ? 0 : 1;
    }
    return 2;
}

static void expect_case(size_t index)
{
    char name[64];
    char variable[64];
    char *arguments[] = {(char *)"environment_test", name, NULL};
    char *environment[] = {variable, NULL};
    int status = -1;
    pid_t child;

    snprintf(name, sizeof(name), "%s", cases[index].name);
    snprintf(variable, sizeof(variable), "%s", cases[index].variable);
    child = fork();
    if (child == 0) {
        execve("/proc/self/exe", arguments, environment);
        _exit(3);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("%s with %s: status %d", name, variable, status);
}

static void settings_reach_the_program(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_case(i);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(settings_reach_the_program)};

    if (argc == 2)
        return run_case(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

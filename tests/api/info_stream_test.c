/* malloc_info as a function; what it writes is read by check_report.py. */
#include "api_test.h"

#include <stdio.h>

static void other_options_are_einval(void **state)
{
    static const int options[] = {1, 2, -1, 1 << 30};
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    (void)state;
    assert_non_null(stream);
    for (size_t i = 0; i < COUNT_OF(options); i++)
        assert_int_equal(api_malloc_info(options[i], stream), EINVAL);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(length, 0);
    free(text);
}

/* A stream that allocates while it is written to. */
static void a_memory_stream_gets_it_all(void **state)
{
    static const char begin[] = "<malloc version=\"1\">";
    static const char end[] = "</malloc>\n";
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    (void)state;
    assert_non_null(stream);
    assert_int_equal(api_malloc_info(0, stream), 0);
    assert_int_equal(fclose(stream), 0);
    assert_true(length > sizeof(begin) + sizeof(end));
    assert_memory_equal(text, begin, sizeof(begin) - 1);
    assert_string_equal(text + length - (sizeof(end) - 1), end);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_options_are_einval),
        cmocka_unit_test(a_memory_stream_gets_it_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

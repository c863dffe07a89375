/* The version of header and library, and the macros that programs compare. */
#include "api_test.h"

#include <stdio.h>

#include "neap/neap.h"

static void header_agrees_with_itself(void **state)
{
    char text[32];

    (void)state;
    snprintf(text, sizeof(text), "%d.%d.%d", NEAP_VERSION_MAJOR, NEAP_VERSION_MINOR,
             NEAP_VERSION_PATCH);
    assert_string_equal(text, NEAP_VERSION_TEXT);
    assert_string_equal(text, API_PROJECT_VERSION);
}

static void library_is_the_headers(void **state)
{
    (void)state;
    assert_int_equal(neap_version(), NEAP_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_agrees_with_itself),
        cmocka_unit_test(library_is_the_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

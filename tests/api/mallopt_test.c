/* mallopt's answers: 1 for what is obeyed, 0 for what is unknown, refused or not done. */
#include "api_test.h"

#include <limits.h>

#include "neap/neap.h"

static void numbers_are_glibcs(void **state)
{
    (void)state;
    assert_int_equal(NEAP_M_MXFAST, M_MXFAST);
    assert_int_equal(NEAP_M_TRIM_THRESHOLD, M_TRIM_THRESHOLD);
    assert_int_equal(NEAP_M_TOP_PAD, M_TOP_PAD);
    assert_int_equal(NEAP_M_MMAP_THRESHOLD, M_MMAP_THRESHOLD);
    assert_int_equal(NEAP_M_MMAP_MAX, M_MMAP_MAX);
    assert_int_equal(NEAP_M_CHECK_ACTION, M_CHECK_ACTION);
    assert_int_equal(NEAP_M_PERTURB, M_PERTURB);
    assert_int_equal(NEAP_M_ARENA_TEST, M_ARENA_TEST);
    assert_int_equal(NEAP_M_ARENA_MAX, M_ARENA_MAX);
}

static void layouts_are_glibcs(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct neap_mallinfo2), sizeof(struct mallinfo2));
    assert_int_equal(sizeof(struct neap_mallinfo), sizeof(struct mallinfo));
#define assert_same_place(field) \
    do { \
        assert_int_equal(offsetof(struct neap_mallinfo2, field), \
                         offsetof(struct mallinfo2, field)); \
        assert_int_equal(offsetof(struct neap_mallinfo, field), offsetof(struct mallinfo, field)); \
    } while (0)
    assert_same_place(arena);
    assert_same_place(ordblks);
    assert_same_place(smblks);
    assert_same_place(hblks);
    assert_same_place(hblkhd);
    assert_same_place(usmblks);
    assert_same_place(fsmblks);
    assert_same_place(uordblks);
    assert_same_place(fordblks);
    assert_same_place(keepcost);
}

static void known_parameters_are_obeyed(void **state)
{
    static const struct {
        int parameter;
        int value;
    } cases[] = {
        {M_MXFAST, 0},           {M_MXFAST, 64},
        {M_MXFAST, 120},         {M_MXFAST, 160},
        {M_MXFAST, 0},           {M_TRIM_THRESHOLD, 0},
        {M_TRIM_THRESHOLD, -1},  {M_TRIM_THRESHOLD, INT_MAX},
        {M_TOP_PAD, 0},          {M_TOP_PAD, 1 << 20},
        {M_MMAP_THRESHOLD, 1},   {M_MMAP_THRESHOLD, 64},
        {M_MMAP_MAX, 0},         {M_MMAP_MAX, 100000},
        {M_PERTURB, 0x5a},       {M_PERTURB, 0},
        {M_ARENA_TEST, 1},       {M_ARENA_TEST, 16},
        {M_ARENA_MAX, 1},        {M_ARENA_MAX, 64},
        {M_MMAP_THRESHOLD, 32 << 20}, {M_TRIM_THRESHOLD, 1 << 20},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        void *block;

        if (api_mallopt(cases[i].parameter, cases[i].value) != 1)
            fail_msg("mallopt(%d, %d) is not obeyed", cases[i].parameter, cases[i].value);
        block = api_malloc(100000);
        assert_non_null(block);
        memset(block, 1, 100000);
        api_free(block);
    }
}

static void unknown_parameters_are_refused(void **state)
{
    /* 2 to 4 are M_NLBLKS, M_GRAIN and M_KEEP of System V, which no glibc has ever done. */
    static const int unknown[] = {0, 2, 3, 4, 5, 99, INT_MAX, -9, -10, -100, INT_MIN};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        assert_int_equal(api_mallopt(unknown[i], 0), API_IS_NEAP ? 0 : 1);
        assert_int_equal(api_mallopt(unknown[i], 1), API_IS_NEAP ? 0 : 1);
    }
}

static void what_is_not_done_is_refused(void **state)
{
    (void)state;
    for (int action = 0; action < 8; action++)
        assert_int_equal(api_mallopt(M_CHECK_ACTION, action), API_IS_NEAP ? 0 : 1);
}

static void values_out_of_range_are_refused(void **state)
{
    (void)state;
    assert_int_equal(api_mallopt(M_MXFAST, 161), 0);
    assert_int_equal(api_mallopt(M_MXFAST, INT_MAX), 0);
    if (!API_IS_NEAP)
        return; /* glibc takes these for huge values */
    assert_int_equal(api_mallopt(M_MXFAST, -1), 0);
    assert_int_equal(api_mallopt(M_TRIM_THRESHOLD, -2), 0);
    assert_int_equal(api_mallopt(M_TOP_PAD, -1), 0);
    assert_int_equal(api_mallopt(M_MMAP_MAX, -1), 0);
    assert_int_equal(api_mallopt(M_ARENA_MAX, -1), 0);
    assert_int_equal(api_mallopt(M_ARENA_TEST, -1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_glibcs),
        cmocka_unit_test(layouts_are_glibcs),
        cmocka_unit_test(known_parameters_are_obeyed),
        cmocka_unit_test(unknown_parameters_are_refused),
        cmocka_unit_test(what_is_not_done_is_refused),
        cmocka_unit_test(values_out_of_range_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

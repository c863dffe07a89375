/* A linked program is really served by neap, by every name, and both names are one allocator. */
#include "api_test.h"

#include <dlfcn.h>

#include "neap/neap.h"

/* How C++ writes size_t in the names of functions: as the type that it is. */
#if SIZE_MAX > UINT32_MAX
#define SIZE "m"
#else
#define SIZE "j"
#endif

/* The name of the file that answers to `symbol`, seen from here; what is not found fails. */
static const char *owner_of(const char *symbol)
{
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, symbol);

    assert_non_null(address);
    assert_int_not_equal(dladdr(address, &info), 0);
    return info.dli_fname;
}

static void every_name_is_answered_by_neap(void **state)
{
    static const char *const names[] = {
        "malloc", "free", "calloc", "realloc", "memalign", "aligned_alloc", "posix_memalign",
        "valloc", "pvalloc", "malloc_usable_size", "free_sized", "free_aligned_sized", "mallopt",
        "malloc_trim", "mallinfo", "mallinfo2", "malloc_stats", "malloc_info",
#if API_HAS_OPERATORS
        /* operator new */
        "_Znw" SIZE, "_Znw" SIZE "RKSt9nothrow_t", "_Znw" SIZE "St11align_val_t",
        "_Znw" SIZE "St11align_val_tRKSt9nothrow_t", "_Zna" SIZE, "_Zna" SIZE "RKSt9nothrow_t",
        "_Zna" SIZE "St11align_val_t", "_Zna" SIZE "St11align_val_tRKSt9nothrow_t",
        /* operator delete */
        "_ZdlPv", "_ZdlPvRKSt9nothrow_t", "_ZdlPv" SIZE, "_ZdlPvSt11align_val_t",
        "_ZdlPvSt11align_val_tRKSt9nothrow_t", "_ZdlPv" SIZE "St11align_val_t", "_ZdaPv",
        "_ZdaPvRKSt9nothrow_t", "_ZdaPv" SIZE, "_ZdaPvSt11align_val_t",
        "_ZdaPvSt11align_val_tRKSt9nothrow_t", "_ZdaPv" SIZE "St11align_val_t",
#endif
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strstr(owner_of(names[i]), "libneap.so") == NULL)
            fail_msg("%s is answered by %s", names[i], owner_of(names[i]));
    }
}

/* It ends in realloc, whose name is ours. */
static void reallocarray_is_libcs(void **state)
{
    (void)state;
    assert_non_null(strstr(owner_of("reallocarray"), "libc.so"));
}

static void both_names_are_one_allocator(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(border_sizes); i++) {
        char *one = malloc(border_sizes[i]);
        char *other = neap_malloc(border_sizes[i]);
        char *array = reallocarray(NULL, 2, border_sizes[i]);

        assert_non_null(one);
        assert_non_null(other);
        assert_non_null(array);
        assert_int_equal(neap_malloc_usable_size(one), malloc_usable_size(one));
        assert_int_equal(neap_malloc_usable_size(other), malloc_usable_size(other));
        pattern_fill_edges(one, border_sizes[i], i);
        one = neap_realloc(one, border_sizes[i] + 100);
        assert_true(pattern_edges_hold(one, border_sizes[i], i));
        neap_free(one);
        free(other);
        neap_free(array);
    }
    assert_int_equal(neap_mallinfo2().uordblks, mallinfo2().uordblks);
}

#ifdef __GLIBC__

/* libc's second names, by which a program reaches the malloc behind one of its own. */
void *__libc_malloc(size_t size_bytes);
void *__libc_calloc(size_t count, size_t size_bytes);
void *__libc_realloc(void *block, size_t size_bytes);
void __libc_free(void *block);
void *__libc_memalign(size_t alignment_bytes, size_t size_bytes);
void *__libc_valloc(size_t size_bytes);
void *__libc_pvalloc(size_t size_bytes);

static void expect_block(void *block, size_t size_bytes, size_t alignment_bytes)
{
    size_t live_bytes = neap_mallinfo2().uordblks;

    assert_true(neap_malloc_usable_size(block) >= size_bytes);
    assert_int_equal((uintptr_t)block % alignment_bytes, 0);
    __libc_free(block);
    assert_true(neap_mallinfo2().uordblks + size_bytes <= live_bytes);
}

static void so_are_libcs_second_names(void **state)
{
    void *first_of_its_page = malloc(30);

    (void)state;
    expect_block(__libc_malloc(5000), 5000, 16);
    expect_block(__libc_calloc(512, 30), 512 * 30, 16);
    expect_block(__libc_realloc(malloc(100), 6000), 6000, 16);
    expect_block(__libc_memalign(64, 5000), 5000, 64);
    expect_block(__libc_valloc(30), 30, 4096);
    expect_block(__libc_pvalloc(30), 4096, 4096);
    free(first_of_its_page);
}

#endif

/* What libc itself allocates is ours too. */
static void libcs_blocks_are_neaps(void **state)
{
    size_t before = neap_mallinfo2().uordblks;
    char *copy = strdup("a string of some length, for which libc calls malloc");

    (void)state;
    assert_non_null(copy);
    assert_true(neap_malloc_usable_size(copy) >= strlen(copy) + 1);
    assert_true(neap_mallinfo2().uordblks > before);
    neap_free(copy);
    assert_int_equal(neap_mallinfo2().uordblks, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_answered_by_neap),
        cmocka_unit_test(reallocarray_is_libcs),
        cmocka_unit_test(both_names_are_one_allocator),
#ifdef __GLIBC__
        cmocka_unit_test(so_are_libcs_second_names),
#endif
        cmocka_unit_test(libcs_blocks_are_neaps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Pointers that are not neap's to free: each ends the process with SIGABRT and one sentence on
 * standard error that names the crime and the address. Every attempt is made in a child. */
#include <sys/mman.h>

#include "death.h"

static const char free_of_unknown[] =
    "free of a pointer that neap did not allocate, or freed before";
static const char free_of_interior[] = "free of a pointer inside a block";
static const char free_in_slab[] = "free of a pointer inside a block, or of none ever handed out";
static const char free_in_slab_again[] = "double free, or free of a block never handed out";
static const char freed_twice[] = "double free";
static const char overwritten[] = "a free block was overwritten";
static const char realloc_of_unknown[] =
    "realloc of a pointer that neap did not allocate, or freed before";
static const char realloc_of_interior[] = "realloc of a pointer inside a block";
static const char size_of_unknown[] =
    "malloc_usable_size of a pointer that neap did not allocate, or freed before";
static const char size_of_interior[] = "malloc_usable_size of a pointer inside a block";
static const char overflowed[] = "overflow: a block was written beyond its end";
static const char wrong_size[] = "free with a size that the block was not asked for with";
static const char wrong_alignment[] =
    "free with an alignment that the block was not asked for with";

static const char access_to_none[] = "access to a block of no bytes";
static const char access_to_freed[] = "access to a freed block";

static void *inside(void *block, size_t offset_bytes)
{
    return (char *)block + offset_bytes;
}

static void never_allocated(void **state)
{
    static char of_the_program[64];
    char on_the_stack[64];
    void *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *const pointers[] = {
        of_the_program,
        on_the_stack,
        mapped,
        (void *)(uintptr_t)16,
        (void *)(uintptr_t)4096,
        (void *)(UINTPTR_MAX - 15),
        (void *)(uintptr_t)0x123456789abcdef0,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
        expect_death(do_free, pointers[i], free_of_unknown);
        expect_death(do_realloc, pointers[i], realloc_of_unknown);
        expect_death(do_usable_size, pointers[i], size_of_unknown);
    }
    munmap(mapped, 4096);
}

static void do_grow_a_bit(void *block)
{
    char *grown = api_realloc(block, 47);

    (void)grown;
}

/* Behind the last slot of a page there may be a rest that is as far from the others as a slot. */
static void behind_a_pages_last_slot(void **state)
{
    enum { COUNT = 5000 }; /* enough for slots of their own size */
    static char *blocks[COUNT];
    char *rest = NULL;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = api_malloc(48);
        assert_non_null(blocks[i]);
        if ((uintptr_t)blocks[i] % 4096 == 84 * 48 && api_malloc_usable_size(blocks[i]) == 48)
            rest = blocks[i] + 48;
    }
    assert_non_null(rest);
    expect_death_in(do_usable_size, rest, size_of_interior, "slot", 48);
    expect_death_in(do_realloc, rest, realloc_of_interior, "slot", 48);
    expect_death_in(do_grow_a_bit, rest, realloc_of_interior, "slot", 48);
    for (unsigned i = 0; i < COUNT; i++)
        api_free(blocks[i]);
}

static void do_grow_much(void *block)
{
    char *grown = api_realloc(block, 200);

    (void)grown;
}

/* Freed while its slab was closed, which is open again when it is moved. */
static void realloc_of_what_was_freed_long_ago(void **state)
{
    enum { COUNT = 400000, APART = 50, TRIES = 200 };
    static char *blocks[COUNT];

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = api_malloc(64);
        assert_non_null(blocks[i]);
        memset(blocks[i], 'A', 64);
    }
    for (unsigned i = 0; i < COUNT / 2; i += APART)
        api_free(blocks[i]);
    for (unsigned i = 0; i < COUNT / 2; i += COUNT / 2 / TRIES)
        expect_death_in(do_grow_much, blocks[i / APART * APART], realloc_of_unknown, "slot", 64);
    for (unsigned i = 0; i < COUNT; i++)
        if (i >= COUNT / 2 || i % APART != 0)
            api_free(blocks[i]);
}

static const size_t small_sizes[] = {24, 100, 500, 1000, 2000, 5000, 8000, 16000};

static void inside_a_small_block(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(small_sizes) / sizeof(small_sizes[0]); i++) {
        char *block = api_malloc(small_sizes[i]);
        size_t slot = api_malloc_usable_size(block);

        assert_non_null(block);
        for (size_t offset = 1; offset < 16; offset += 7) {
            expect_death_in(do_free, inside(block, offset), free_in_slab, "slot", slot);
            expect_death_in(do_free_elsewhere, inside(block, offset), free_in_slab, "slot", slot);
            expect_death_in(do_realloc, inside(block, offset), realloc_of_interior, "slot", slot);
            expect_death_in(do_usable_size, inside(block, offset), size_of_interior, "slot", slot);
        }
        for (size_t offset = 16; offset < slot; offset *= 3) {
            expect_death_in(do_free, inside(block, offset), free_in_slab, "slot", slot);
            expect_death_in(do_free_elsewhere, inside(block, offset), free_in_slab, "slot", slot);
        }
        api_free(block);
    }
}

/* The slab has room for more slots than were ever handed out. Its owner's own free is a plain one:
 * that the slot was free already shows when nothing of the slab is live any more, as here, or when
 * its list is next looked through. */
static void never_handed_out(void **state)
{
    char *block = api_aligned_alloc(512, 2500); /* alone in its slab: groups are of malloc */
    size_t slot = api_malloc_usable_size(block);

    (void)state;
    assert_non_null(block);
    expect_death_in(do_free_elsewhere, inside(block, 20 * slot), free_in_slab_again, "slot", slot);
    expect_death_in(do_free, inside(block, 20 * slot), free_in_slab_again, "slot", slot);
    api_free(block);
}

/* At once, and after other frees. */
static void a_small_block_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(small_sizes) / sizeof(small_sizes[0]); i++) {
        void *block = api_malloc(small_sizes[i]);
        void *other = api_malloc(small_sizes[i]);
        void *kept = api_malloc(small_sizes[i]); /* so that the slab does not just go */
        void *gone = unrelated(block);
        size_t slot = api_malloc_usable_size(block);

        assert_non_null(block);
        assert_non_null(other);
        assert_non_null(kept);
        api_free(block);
        expect_death_in(do_free, gone, freed_twice, "slot", slot);
        expect_death_in(do_realloc, gone, realloc_of_unknown, "slot", slot);
        expect_death_in(do_usable_size, gone, size_of_unknown, "slot", slot);
        api_free(other);
        expect_death_in(do_free, gone, freed_twice, "slot", slot);
        /* Whose list a slot is on is told by what lies in it, for which 32 bits are too few. Making
         * the thread takes a slot, perhaps of this slab: that of the other block. */
        if (sizeof(void *) > 4)
            expect_death_in(do_free_elsewhere, gone, freed_twice, "slot", slot);
        api_free(kept);
    }
}

/* By a thread that does not hold its slab. */
static void a_small_block_elsewhere_and_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(small_sizes) / sizeof(small_sizes[0]); i++) {
        void *block = api_malloc(small_sizes[i]);
        void *kept = api_malloc(small_sizes[i]);
        void *gone = unrelated(block);
        size_t slot = api_malloc_usable_size(block);

        assert_non_null(block);
        assert_non_null(kept);
        do_free_elsewhere(block);
        expect_death_in(do_free_elsewhere, gone, freed_twice, "slot", slot);
        expect_death_in(do_free, gone, freed_twice, "slot", slot);
        expect_death_in(do_realloc, gone, realloc_of_unknown, "slot", slot);
        api_free(kept);
    }
}

/* A program that writes to a block that it has freed breaks a link; it is seen before it is
 * followed out of the slab. */
static void write_and_trim(void *pointer)
{
    memset(pointer, 0x41, 8);
    (void)api_malloc_trim(0);
}

static void a_small_block_written_when_free(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(small_sizes) / sizeof(small_sizes[0]); i++) {
        void *block = api_malloc(small_sizes[i]);
        void *other = api_malloc(small_sizes[i]);
        void *kept = api_malloc(small_sizes[i]);
        void *gone = unrelated(other);
        size_t slot = api_malloc_usable_size(block);

        assert_non_null(block);
        assert_non_null(other);
        assert_non_null(kept);
        api_free(block);
        api_free(other);
        expect_death_in(write_and_trim, gone, overwritten, "slot", slot);
        api_free(kept);
    }
}

/* The same where nothing happens afterwards: the process looks through its free blocks
 * as it ends. */
static void write_and_exit(void *pointer)
{
    memset(pointer, 0x41, 8);
    exit(0);
}

static void a_small_block_written_before_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(small_sizes) / sizeof(small_sizes[0]); i++) {
        void *block = api_malloc(small_sizes[i]);
        void *kept = api_malloc(small_sizes[i]);
        void *gone = unrelated(block);
        size_t slot = api_malloc_usable_size(block);

        assert_non_null(block);
        assert_non_null(kept);
        api_free(block);
        expect_death_in(write_and_exit, gone, overwritten, "slot", slot);
        api_free(kept);
    }
}

static void inside_a_run(void **state)
{
    char *block = api_malloc(60000);

    (void)state;
    assert_non_null(block);
    expect_death_in(do_free, inside(block, 16), free_of_interior, "block", 60000);
    expect_death_in(do_free, inside(block, 4096), free_of_interior, "block", 60000);
    expect_death_in(do_free, inside(block, 59999), free_of_interior, "block", 60000);
    expect_death_in(do_realloc, inside(block, 4096), realloc_of_interior, "block", 60000);
    expect_death_in(do_usable_size, inside(block, 4096), size_of_interior, "block", 60000);
    api_free(block);
}

static void inside_a_mapping(void **state)
{
    char *block = api_malloc(3000000);

    (void)state;
    assert_non_null(block);
    assert_true(api_mallinfo2().hblks > 0);
    expect_death_in(do_free, inside(block, 16), free_of_interior, "mapping", 3000000);
    expect_death_in(do_free, inside(block, 4096), free_of_interior, "mapping", 3000000);
    expect_death_in(do_free, inside(block, 2999999), free_of_interior, "mapping", 3000000);
    expect_death_in(do_realloc, inside(block, 1 << 20), realloc_of_interior, "mapping", 3000000);
    expect_death_in(do_usable_size, inside(block, 1 << 20), size_of_interior, "mapping", 3000000);
    api_free(block);
}

static void a_large_block_twice(void **state)
{
    static const size_t sizes[] = {60000, 3000000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *block = api_malloc(sizes[i]);
        void *guard = api_malloc(sizes[i]); /* so that the first does not join the top */
        void *gone = block;

        assert_non_null(block);
        assert_non_null(guard);
        gone = unrelated(gone);
        api_free(block);
        expect_death(do_free, gone, free_of_unknown);
        expect_death(do_realloc, gone, realloc_of_unknown);
        expect_death(do_usable_size, gone, size_of_unknown);
        api_free(guard);
    }
}

static size_t written_block_bytes;

static void write_beyond_and_free(void *pointer)
{
    ((char *)pointer)[written_block_bytes] = 1;
    api_free(pointer);
}

static void write_beyond_and_resize(void *pointer)
{
    ((char *)pointer)[written_block_bytes] = 1;
    api_free(api_realloc(pointer, written_block_bytes + 1000));
}

/* As a write before the block behind it is. */
static void write_at_the_end_of_the_page_and_free(void *pointer)
{
    ((char *)pointer)[written_block_bytes / 4096 * 4096 + 4095] = 1;
    api_free(pointer);
}

/* Where there is room behind what was asked for: in a run if it is no multiple of a page, in a
 * mapping always. */
static void a_large_block_written_beyond(void **state)
{
    static const size_t sizes[] = {20000, 60000, 100001, 3000000, 4 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t mapped = api_mallinfo2().hblks;
        char *block = api_malloc(sizes[i]);
        const char *kind = api_mallinfo2().hblks > mapped ? "mapping" : "block";

        assert_non_null(block);
        memset(block, 1, sizes[i]);
        written_block_bytes = sizes[i];
        if (sizes[i] % 4096 != 0 || kind[0] == 'm') {
            expect_death_in(write_beyond_and_free, block, overflowed, kind, sizes[i]);
            expect_death_in(write_beyond_and_resize, block, overflowed, kind, sizes[i]);
            expect_death_in(write_at_the_end_of_the_page_and_free, block, overflowed, kind,
                            sizes[i]);
        }
        block = api_realloc(block, sizes[i] - 5000);
        assert_non_null(block);
        written_block_bytes = sizes[i] - 5000;
        if (written_block_bytes > 16384)
            expect_death_in(write_beyond_and_free, block, overflowed, kind, written_block_bytes);
        api_free(block);
    }
}

static size_t named_size;
static size_t named_alignment;

static void do_free_sized(void *pointer)
{
    api_free_sized(pointer, named_size);
}

static void do_free_aligned_sized(void *pointer)
{
    api_free_aligned_sized(pointer, named_alignment, named_size);
}

static void freed_with_another_size(void **state)
{
    static const struct {
        size_t size, named;
    } pairs[] = {{100, 200},   {100, 40},      {1000, 2000},
                 {5000, 2000}, {40000, 39999}, {3000000, 3000001}};

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        void *block = api_malloc(pairs[i].size);

        assert_non_null(block);
        named_size = pairs[i].named;
        named_alignment = 16;
        expect_death_in(do_free_sized, block, wrong_size, "block", api_malloc_usable_size(block));
        expect_death_in(do_free_aligned_sized, block, wrong_size, "block",
                        api_malloc_usable_size(block));
        api_free(block);
    }
}

static void freed_with_another_alignment(void **state)
{
    static const size_t alignments[] = {24, 0, 1 << 20};
    void *block = api_aligned_alloc(64, 4000);
    void *other = api_aligned_alloc(64, 4000);

    (void)state;
    assert_non_null(block);
    assert_non_null(other);
    named_size = 4000;
    for (size_t i = 0; i < sizeof(alignments) / sizeof(alignments[0]); i++) {
        void *wrong = (uintptr_t)block % (1 << 20) != 0 ? block : other;

        named_alignment = alignments[i];
        expect_death(do_free_aligned_sized, wrong, wrong_alignment);
    }
    api_free(block);
    api_free(other);
}

/* Which cmocka replaces by its own for as long as a test runs. */
static struct sigaction handler_of_faults;

static void write_with_that_handler(void *pointer)
{
    (void)sigaction(SIGSEGV, &handler_of_faults, NULL);
    *(volatile char *)pointer = 1;
}

static void a_block_of_no_bytes(void **state)
{
    char *block = api_malloc(0);

    (void)state;
    assert_non_null(block);
    assert_int_equal(api_malloc_usable_size(block), 0);
    expect_death_in(write_with_that_handler, block, access_to_none, "block", 0);
    expect_death_in(write_with_that_handler, block - 1, access_to_none, "block", 0);
    api_free(block);
    expect_death_in(write_with_that_handler, unrelated(block), access_to_none, "block", 0);
    expect_death_at(do_free, block, free_of_unknown, (uintptr_t)block, ", block of 0 bytes");
    expect_death_at(do_realloc, block, realloc_of_unknown, (uintptr_t)block, ", block of 0 bytes");
}

static void free_and_write_with_that_handler(void *pointer)
{
    api_free(pointer);
    write_with_that_handler(unrelated(pointer));
}

/* Of a freed mapping only its length is known. The first test, so that no other has freed one that
 * lay there. */
static void a_freed_mapping_written_to(void **state)
{
    size_t size_bytes = (2 << 20) + 1;
    size_t length_bytes = size_bytes - 1 + (size_t)sysconf(_SC_PAGESIZE);
    char *block = api_malloc(size_bytes);

    (void)state;
    assert_non_null(block);
    assert_true(api_mallinfo2().hblks > 0);
    expect_death_in(free_and_write_with_that_handler, block, access_to_freed, "mapping",
                    length_bytes);
    api_free(block);
}

/* Descriptor 2 is another one, or closed if that is -1. */
static void expect_abort_with_descriptor(int descriptor, void *foreign)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        if (descriptor >= 0)
            dup2(descriptor, STDERR_FILENO);
        api_free(foreign);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void a_file_of_the_program_as_descriptor_2(void **state)
{
    static char foreign[64];
    FILE *file = tmpfile();
    char wanted[200];
    char got[200] = "";

    (void)state;
    assert_non_null(file);
    assert_int_equal(write(fileno(file), "kept, ", 6), 6);
    expect_abort_with_descriptor(fileno(file), unrelated(foreign));
    snprintf(wanted, sizeof(wanted), "kept, neap: %s (address 0x%llx)\n", free_of_unknown,
             (unsigned long long)(uintptr_t)foreign);
    assert_true(pread(fileno(file), got, sizeof(got) - 1, 0) > 0);
    assert_string_equal(got, wanted);
    expect_abort_with_descriptor(-1, unrelated(foreign));
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_freed_mapping_written_to),
        cmocka_unit_test(never_allocated),
        cmocka_unit_test(inside_a_small_block),
        cmocka_unit_test(never_handed_out),
        cmocka_unit_test(a_small_block_twice),
        cmocka_unit_test(a_small_block_elsewhere_and_again),
        cmocka_unit_test(a_small_block_written_when_free),
        cmocka_unit_test(a_small_block_written_before_the_end),
        cmocka_unit_test(inside_a_run),
        cmocka_unit_test(inside_a_mapping),
        cmocka_unit_test(a_large_block_twice),
        cmocka_unit_test(a_large_block_written_beyond),
        cmocka_unit_test(freed_with_another_size),
        cmocka_unit_test(freed_with_another_alignment),
        cmocka_unit_test(a_block_of_no_bytes),
        cmocka_unit_test(a_file_of_the_program_as_descriptor_2),
        cmocka_unit_test(behind_a_pages_last_slot),
        cmocka_unit_test(realloc_of_what_was_freed_long_ago),
    };

    (void)signal(SIGSEGV, SIG_DFL); /* sanitizers have one */
    api_free(api_malloc(0));
    (void)sigaction(SIGSEGV, NULL, &handler_of_faults);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

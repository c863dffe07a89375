/* Pools: records are distinct, zero at first, reused, and to be had during a fork. */
#include <pthread.h>
#include <string.h>

#include "isolated.h"
#include "meta.h"
#include "os_fake.h"

enum { MANY = 20000 };

struct record {
    uint64_t words[5]; /* 40 bytes: rounded up to 48 */
};

static struct np_pool pool = NP_POOL_INIT(struct record);
static struct record *records[MANY];

static void records_are_zero_aligned_and_apart(void **state)
{
    static const struct record zero;

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        records[i] = np_pool_take(&pool);
        assert_non_null(records[i]);
        assert_int_equal((uintptr_t)records[i] % 16, 0);
        assert_memory_equal(records[i], &zero, sizeof zero);
        memset(records[i], (int)(i % 255) + 1, sizeof *records[i]);
    }
    for (size_t i = 0; i < MANY; i++)
        for (size_t byte = 0; byte < sizeof *records[i]; byte++)
            assert_int_equal(((unsigned char *)records[i])[byte], i % 255 + 1);
    assert_int_equal(np_pool_mapped_bytes(), os_fake_committed_bytes());
    assert_true(np_pool_mapped_bytes() < MANY * 48 + ((size_t)512 << 10));
    assert_int_equal(os_fake_guard_bytes(), np_pool_mapped_bytes() / (256 << 10) * 2 * 4096);
    assert_int_equal(np_pool_used_bytes(), MANY * 48);
}

static void records_come_back(void **state)
{
    size_t mapped_bytes;

    (void)state;
    for (size_t i = 0; i < MANY; i++)
        records[i] = np_pool_take(&pool);
    mapped_bytes = np_pool_mapped_bytes();
    for (unsigned round = 0; round < 5; round++) {
        for (size_t i = 0; i < MANY; i++)
            np_pool_give(&pool, records[i]);
        for (size_t i = 0; i < MANY; i++)
            records[i] = np_pool_take(&pool);
    }
    assert_int_equal(np_pool_mapped_bytes(), mapped_bytes);
    assert_int_equal(np_pool_used_bytes(), MANY * 48);
}

/* A late reader of a record given back must find it a record still: only the first word goes. */
static void a_record_given_back_keeps_all_but_its_first_word(void **state)
{
    struct record *record = np_pool_take(&pool);

    (void)state;
    memset(record, 0x5A, sizeof *record);
    np_pool_give(&pool, record);
    for (size_t word = 1; word < COUNT_OF(record->words); word++)
        assert_true(record->words[word] == UINT64_C(0x5A5A5A5A5A5A5A5A));
}

/* Takes records until a chunk was needed for one. */
static void use_up_what_pools_share(void)
{
    while (os_fake_committed_bytes() == 0)
        assert_non_null(np_pool_take(&pool));
}

/* Takes what is left of the pool's chunk. */
static void use_up_chunk(void)
{
    while (pool.usual.fresh_end - pool.usual.fresh >= 48)
        assert_non_null(np_pool_take(&pool));
}

static void the_first_records_of_all_pools_lie_together(void **state)
{
    static struct np_pool others[] = {NP_POOL_INIT(uint64_t[2]), NP_POOL_INIT(uint64_t[400])};
    const struct record *record = np_pool_take(&pool);
    const char *small = np_pool_take(&others[0]);
    const char *large = np_pool_take(&others[1]);

    (void)state;
    assert_int_equal(small - (const char *)record, 48);
    assert_int_equal(large - small, 16);
    assert_int_equal(os_fake_committed_bytes(), 0);
    assert_int_equal(np_pool_mapped_bytes(), 0);
    assert_int_equal(np_pool_used_bytes(), 48 + 16 + 3200);
    /* No second one fits, which leaves the rest to smaller ones. */
    assert_non_null(np_pool_take(&others[1]));
    assert_true(os_fake_committed_bytes() > 0);
    assert_int_equal((const char *)np_pool_take(&others[0]) - large, 3200);
}

static void no_memory_is_null_and_passes(void **state)
{
    (void)state;
    use_up_what_pools_share();
    use_up_chunk();
    os_fake_fail_from(1);
    assert_null(np_pool_take(&pool));
    assert_true(os_fake_has_failed());
    os_fake_reset();
    assert_non_null(np_pool_take(&pool));
}

/* Under a limit there may be room for a page where there is none for a chunk. */
static void little_memory_is_enough_for_a_record(void **state)
{
    size_t before;

    (void)state;
    use_up_what_pools_share();
    use_up_chunk();
    before = np_pool_mapped_bytes();
    os_fake_fail_next(2); /* with guard pages, and without */
    assert_non_null(np_pool_take(&pool));
    assert_true(os_fake_has_failed());
    assert_int_equal(np_pool_mapped_bytes() - before, np_page_bytes());
    os_fake_reset();
    /* And the next of them comes from a whole chunk again. */
    for (size_t i = 0; i < np_page_bytes() / sizeof(struct record); i++)
        assert_non_null(np_pool_take(&pool));
    assert_true(np_pool_mapped_bytes() - before > np_page_bytes());
}

static void *take_and_give(void *answer)
{
    struct record **taken = answer;

    taken[0] = np_pool_take(&pool);
    taken[1] = np_pool_take(&pool);
    if (taken[0] != NULL)
        np_pool_give(&pool, taken[0]);
    return NULL;
}

static void a_fork_is_not_waited_for(void **state)
{
    pthread_t other;
    struct record *mine = np_pool_take(&pool);
    struct record *taken[2] = {NULL, NULL};

    (void)state;
    np_pool_fork(&pool, NP_FORK_PREPARE);
    pthread_create(&other, NULL, take_and_give, taken);
    pthread_join(other, NULL); /* would hang */
    np_pool_fork(&pool, NP_FORK_PARENT);
    assert_non_null(taken[0]);
    assert_non_null(taken[1]);
    assert_ptr_not_equal(taken[0], taken[1]);
    assert_ptr_not_equal(taken[0], mine);
    assert_non_null(np_pool_take(&pool));
}

static void *take_and_give_many(void *unused)
{
    struct record *taken[500];

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(taken); i++) {
        taken[i] = np_pool_take(&pool);
        assert_non_null(taken[i]);
        memset(taken[i], 1, sizeof *taken[i]);
    }
    for (size_t i = 0; i < COUNT_OF(taken); i++)
        np_pool_give(&pool, taken[i]);
    return NULL;
}

/* Records taken and given while forks go on are not lost, in the parent or in the child. */
static void forks_cost_no_records(void **state)
{
    size_t mapped_bytes = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        pthread_t other;

        np_pool_fork(&pool, NP_FORK_PREPARE);
        pthread_create(&other, NULL, take_and_give_many, NULL);
        pthread_join(other, NULL);
        np_pool_fork(&pool, i % 2 == 0 ? NP_FORK_PARENT : NP_FORK_CHILD);
        (void)take_and_give_many(NULL);
        if (i == 1)
            mapped_bytes = np_pool_mapped_bytes();
    }
    assert_int_equal(np_pool_mapped_bytes(), mapped_bytes);
    assert_int_equal(os_fake_committed_bytes(), mapped_bytes);
}

/* The other thread was inside the pool when the process forked: its lock will never be freed. */
static void a_child_does_without_what_another_thread_held(void **state)
{
    (void)state;
    (void)take_and_give_many(NULL);
    np_pool_fork(&pool, NP_FORK_PREPARE);
    atomic_store(&pool.for_forks.lock.word, 1);
    np_pool_fork(&pool, NP_FORK_CHILD);
    (void)take_and_give_many(NULL); /* would hang, or find a broken list */
    np_pool_fork(&pool, NP_FORK_PREPARE);
    np_pool_fork(&pool, NP_FORK_PARENT);
    (void)take_and_give_many(NULL);
}

/* A signal handler forks in the middle of a critical section of its own thread. */
static void a_fork_inside_the_pool_leaves_it_alone(void **state)
{
    (void)state;
    (void)take_and_give_many(NULL);
    for (enum np_fork_phase after = NP_FORK_PARENT; after <= NP_FORK_CHILD; after++) {
        void *free_records = pool.usual.free_records;

        assert_true(np_lock_acquire(&pool.usual.lock));
        np_pool_fork(&pool, NP_FORK_PREPARE);
        np_pool_fork(&pool, after);
        assert_ptr_equal(pool.usual.free_records, free_records);
        np_lock_release(&pool.usual.lock);
    }
    (void)take_and_give_many(NULL);
}

static void pools_touch_what_they_hand_out(void **state)
{
    struct record *first;

    (void)state;
    use_up_what_pools_share();
    first = np_pool_take(&pool);
    memset(first, 1, sizeof *first);
    assert_true(np_pool_mapped_bytes() >= (size_t)256 << 10);
    assert_int_equal(os_fake_resident_bytes((void *)((uintptr_t)first & ~(uintptr_t)4095),
                                            (size_t)256 << 10),
                     4096);
}

static void the_secret_stays_and_is_not_zero(void **state)
{
    uint64_t secret = np_secret();

    (void)state;
    assert_true(secret != 0);
    assert_true(np_secret() == secret);
    assert_int_equal(np_page_bytes(), 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_zero_aligned_and_apart),
        cmocka_unit_test(records_come_back),
        cmocka_unit_test(a_record_given_back_keeps_all_but_its_first_word),
        cmocka_unit_test(the_first_records_of_all_pools_lie_together),
        cmocka_unit_test(no_memory_is_null_and_passes),
        cmocka_unit_test(little_memory_is_enough_for_a_record),
        cmocka_unit_test(a_fork_is_not_waited_for),
        cmocka_unit_test(forks_cost_no_records),
        cmocka_unit_test(a_child_does_without_what_another_thread_held),
        cmocka_unit_test(a_fork_inside_the_pool_leaves_it_alone),
        cmocka_unit_test(pools_touch_what_they_hand_out),
        cmocka_unit_test(the_secret_stays_and_is_not_zero),
    };

    return run_isolated(tests, COUNT_OF(tests));
}

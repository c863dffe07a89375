/* Fuzz target: the same operations on the fake kernel, which refuses calls when the input says so.
 * Whatever is refused, live blocks keep what they hold, a request that fails says ENOMEM, and once
 * the kernel is willing again everything goes on. */
#include "fuzz.h"
#include "operations.h"
#include "os_fake.h"

static struct operations operations;

bool target_may_fail(void)
{
    return os_fake_has_failed();
}

/* For the records that are no operation. */
static void disturb(const struct record *record)
{
    unsigned nth = 1 + record->which % 64;

    switch (record->kind % 4) {
    case 0:
        os_fake_fail_call(nth);
        break;
    case 1:
        os_fake_fail_from(nth);
        break;
    case 2:
        os_fake_refuse((enum os_fake_call)(record->option % OS_FAKE_CALL_COUNT));
        break;
    default:
        os_fake_reset();
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    operations_begin(&operations, COMPANY_NONE, 1, byte_count);
    for (size_t i = 0; i < byte_count / RECORD_BYTES; i++) {
        struct record record = record_at(bytes, i);

        if (!operations_do(&operations, &record))
            disturb(&record);
    }
    operations_free_all(&operations);
    os_fake_reset();
    operations_settle(0);
    return 0;
}

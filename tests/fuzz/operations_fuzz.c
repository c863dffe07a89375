/* Fuzz target: sequences of operations by one thread, on the real kernel. */
#include "fuzz.h"
#include "operations.h"

static struct operations operations;

bool target_may_fail(void)
{
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    operations_begin(&operations, COMPANY_NONE, 1, byte_count);
    for (size_t i = 0; i < byte_count / RECORD_BYTES; i++) {
        struct record record = record_at(bytes, i);

        operations_do(&operations, &record);
    }
    operations_free_all(&operations);
    operations_settle(0);
    return 0;
}

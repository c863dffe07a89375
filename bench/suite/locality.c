/* locality.c: the workload whose time goes into reading what lies where the allocator has put it.
 *
 * A list of records, each with a text of its own, is built and then walked again and again. Fresh:
 * in a heap that held nothing else. Aged: between the blocks that a busy program has left, where
 * what is asked for together may come to lie far apart.
 */
#include "workloads.h"

#include <stdlib.h>
#include <string.h>

enum { RECORD_COUNT = 60000, WALK_COUNT = 300, SCATTERED_MAX = 300000 };

struct record {
    struct record *next;
    char *text;
    uint64_t key;
    uint64_t count;
};

static struct block scattered[SCATTERED_MAX];

/* Leaves one block of four, at random places. */
static void age(struct share *share)
{
    struct block *blocks = &scattered[slice_start(share, SCATTERED_MAX)];
    size_t count = slice_count(share, SCATTERED_MAX) * share->plan->percent / 100;

    for (size_t i = 0; i < count; i++)
        take_filled(&blocks[i], random_between(&share->random, 16, 128), i);
    for (size_t i = 0; i < count; i++)
        if (random_below(&share->random, 4) != 0)
            share->sum += drop(&blocks[i]);
}

static struct record *build(struct share *share)
{
    struct record *first = NULL;

    for (size_t i = shared_out(share, RECORD_COUNT); i > 0; i--) {
        struct record *record = take(sizeof *record);
        size_t text_bytes = random_between(&share->random, 8, 64);

        *record = (struct record){.next = first, .text = take(text_bytes), .key = i};
        memset(record->text, (int)i, text_bytes);
        first = record;
    }
    return first;
}

static void walk(struct share *share)
{
    struct record *first;

    if (share->plan->variant == LOCALITY_AGED)
        age(share);
    first = build(share);
    for (size_t left = WALK_COUNT; left > 0; left--)
        for (struct record *record = first; record != NULL; record = record->next) {
            share->sum += record->key + (unsigned char)record->text[0];
            record->count++;
        }
    while (first != NULL) {
        struct record *next = first->next;

        free(first->text);
        free(first);
        first = next;
    }
    if (share->plan->variant == LOCALITY_AGED)
        share->sum += drop_all(&scattered[slice_start(share, SCATTERED_MAX)],
                               slice_count(share, SCATTERED_MAX));
}

uint64_t run_locality(const struct plan *plan)
{
    return run_shares(plan, walk);
}

/* structures.c: data structures that are built in one go and torn down in one go.
 *
 * Every block is also in a static table, in the order of its making: blocks are freed in that
 * order, in reverse, in a random one, or first every second one, the orders that tell allocators
 * apart.
 */
#include "workloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* tree: search trees, and a hash table with strings as keys that grows by calloc of ever larger
 * tables. */

enum { NODE_COUNT = 200000, NODES_OF_A_TREE = 4096, ENTRY_COUNT = 100000, FIRST_BUCKET_COUNT = 64 };

enum { MADE_MAX = 1 << 20 };

enum order { ORDER_FORWARD, ORDER_REVERSE, ORDER_RANDOM, ORDER_SECOND, ORDER_COUNT };

struct node {
    struct node *left;
    struct node *right;
    uint64_t key;
    char payload[];                 /* 0 to 48 bytes */
};

struct entry {
    struct entry *next;
    char *key;
    uint64_t hash;
    uint64_t value;
};

struct table {
    struct entry **buckets;
    size_t bucket_count;
    size_t entry_count;
};

/* All blocks of a structure. Static: the list is not part of what is measured. */
static void *all_made[MADE_MAX];

struct maker {
    struct share *share;
    void **made;
    size_t count;
};

static struct maker maker_of(struct share *share)
{
    return (struct maker){.share = share, .made = &all_made[slice_start(share, MADE_MAX)]};
}

static void *make(struct maker *maker, size_t bytes)
{
    return maker->made[maker->count++] = take(bytes);
}

static void free_made(struct maker *maker, enum order order)
{
    size_t count = maker->count;

    if (order == ORDER_RANDOM)
        shuffle(&maker->share->random, maker->made, count);
    for (size_t i = 0; order == ORDER_SECOND && i < count; i += 2) {
        free(maker->made[i]);
        maker->made[i] = NULL;
    }
    for (size_t i = 0; i < count; i++)
        free(maker->made[order == ORDER_REVERSE ? count - 1 - i : i]);
    maker->count = 0;
}

/* Trees small enough that the time goes into making them and not into searching them. */
static uint64_t build_trees(struct maker *maker, size_t count)
{
    struct random *random = &maker->share->random;
    struct node *root = NULL;
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        size_t payload_bytes = random_below(random, 49);
        struct node *node = make(maker, sizeof *node + payload_bytes);
        struct node **at = &root;

        if (i % NODES_OF_A_TREE == 0)
            root = NULL;
        node->left = node->right = NULL;
        node->key = next_random(random);
        memset(node->payload, (int)i, payload_bytes);
        while (*at != NULL) {
            sum++;
            at = node->key < (*at)->key ? &(*at)->left : &(*at)->right;
        }
        *at = node;
    }
    return sum;
}

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 0xCBF29CE484222325u;

    while (*text != '\0')
        hash = (hash ^ (unsigned char)*text++) * 0x100000001B3u;
    return hash;
}

static void rehash(struct table *table, size_t bucket_count)
{
    struct entry **buckets = take_zeroed(bucket_count * sizeof *buckets);

    for (size_t i = 0; i < table->bucket_count; i++) {
        struct entry *entry = table->buckets[i];

        while (entry != NULL) {
            struct entry *next = entry->next;
            struct entry **bucket = &buckets[entry->hash & (bucket_count - 1)];

            entry->next = *bucket;
            *bucket = entry;
            entry = next;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = bucket_count;
}

static uint64_t add(struct maker *maker, struct table *table, const char *text, uint64_t value)
{
    size_t key_bytes = strlen(text) + 1;
    uint64_t hash = hash_of(text);
    struct entry **bucket;
    struct entry *entry;

    if (table->entry_count >= table->bucket_count)
        rehash(table, table->bucket_count > 0 ? 2 * table->bucket_count : FIRST_BUCKET_COUNT);
    bucket = &table->buckets[hash & (table->bucket_count - 1)];
    for (entry = *bucket; entry != NULL; entry = entry->next)
        if (entry->hash == hash && strcmp(entry->key, text) == 0)
            return entry->value++;
    entry = make(maker, sizeof *entry);
    entry->key = memcpy(make(maker, key_bytes), text, key_bytes);
    entry->hash = hash;
    entry->value = value;
    entry->next = *bucket;
    *bucket = entry;
    table->entry_count++;
    return 0;
}

/* Keys such as paths and identifiers: the number and so much of this. */
static const char long_name[] =
    "/usr/include/c++/12/bits/stl_function.h/a_rather_long_name_of_a_member_function_x";

static uint64_t build_table(struct maker *maker, size_t count)
{
    struct random *random = &maker->share->random;
    struct table table = {0};
    uint64_t sum = 0;
    char text[128];

    for (size_t i = 0; i < count; i++) {
        /* Some have been seen before. */
        size_t number = random_below(random, 4 * count);

        snprintf(text, sizeof text, "%08zx%.*s", number, (int)(number % 80), long_name);
        sum += add(maker, &table, text, i);
    }
    free(table.buckets);
    return sum + table.entry_count;
}

static void build_structures(struct share *share)
{
    struct maker maker = maker_of(share);

    for (enum order order = ORDER_FORWARD; order < ORDER_COUNT; order++) {
        share->sum += build_trees(&maker, shared_out(share, NODE_COUNT));
        free_made(&maker, order);
        share->sum += build_table(&maker, shared_out(share, ENTRY_COUNT));
        free_made(&maker, order);
    }
}

uint64_t run_tree(const struct plan *plan)
{
    return run_shares(plan, build_structures);
}

/* lists: of records of one size. Long: lists that outgrow the nearer caches. Short:
 * lists of fifty, gone before the next one is made. */

struct link {
    struct link *next;
    uint64_t value;
    uint64_t payload[2];
};

static uint64_t build_list(struct maker *maker, size_t count)
{
    struct link *first = NULL;
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        struct link *link = make(maker, sizeof *link);

        *link = (struct link){.next = first, .value = i};
        first = link;
    }
    for (struct link *link = first; link != NULL; link = link->next)
        sum += link->value;
    return sum;
}

static void build_lists(struct share *share)
{
    struct maker maker = maker_of(share);
    int is_short = share->plan->variant == LISTS_SHORT;
    size_t link_count = shared_out(share, is_short ? 10000000 : 2000000);
    size_t list_links = is_short ? 50 : shared_out(share, 500000);
    enum order order = ORDER_FORWARD;

    while (link_count > 0) {
        size_t count = link_count < list_links ? link_count : list_links;

        share->sum += build_list(&maker, count);
        free_made(&maker, order);
        order = (enum order)((order + 1) % ORDER_COUNT);
        link_count -= count;
    }
}

uint64_t run_lists(const struct plan *plan)
{
    return run_shares(plan, build_lists);
}

/* strings: most a few words long, some a paragraph; joined by twos and threes into new ones, as
 * text is put together, and all dropped. */

static size_t string_bytes(struct random *random)
{
    return random_below(random, 20) > 0 ? random_between(random, 1, 40)
                                        : random_between(random, 41, 600);
}

static char *joined(struct maker *maker, size_t from, size_t count)
{
    size_t bytes = 1;
    char *text, *end;

    for (size_t i = 0; i < count; i++)
        bytes += strlen(maker->made[from + i]);
    end = text = make(maker, bytes);
    for (size_t i = 0; i < count; i++)
        end = stpcpy(end, maker->made[from + i]);
    return text;
}

static void build_strings(struct share *share)
{
    struct maker maker = maker_of(share);

    for (enum order order = ORDER_FORWARD; order < ORDER_COUNT; order++) {
        size_t count = shared_out(share, 400000);

        for (size_t i = 0; i < count; i++) {
            size_t bytes = string_bytes(&share->random);
            char *text = make(&maker, bytes + 1);

            memset(text, 'a' + (int)(i % 26), bytes);
            text[bytes] = '\0';
        }
        for (size_t i = 0; i + 3 <= count; i += 3)
            share->sum += (uint64_t)(unsigned char)*joined(&maker, i, 2 + i % 2);
        free_made(&maker, order);
    }
}

uint64_t run_strings(const struct plan *plan)
{
    return run_shares(plan, build_strings);
}

/* structures.c: the workload "tree": data structures are built in one go and torn down in one go.
 *
 * Search trees, and a hash table with strings as keys that grows by calloc of ever larger tables.
 * Every node is also in a list, in the order of its making: nodes are freed in that order, in
 * reverse, or in a random one, the three that tell allocators apart.
 */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODE_MAX = 400000, NODES_OF_A_TREE = 4096, ENTRY_MAX = 200000, FIRST_BUCKET_COUNT = 64 };

enum order { ORDER_FORWARD, ORDER_REVERSE, ORDER_RANDOM, ORDER_COUNT };

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
static void *made[2 * ENTRY_MAX > NODE_MAX ? 2 * ENTRY_MAX : NODE_MAX];
static size_t made_count;

static void *make(size_t bytes)
{
    return made[made_count++] = take(bytes);
}

static void free_made(enum order order, struct random *random)
{
    if (order == ORDER_RANDOM)
        shuffle(random, made, made_count);
    for (size_t i = 0; i < made_count; i++)
        free(made[order == ORDER_REVERSE ? made_count - 1 - i : i]);
    made_count = 0;
}

/* Trees small enough that the time goes into making them and not into searching them. */
static uint64_t build_trees(size_t count, struct random *random)
{
    struct node *root = NULL;
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        size_t payload_bytes = random_below(random, 49);
        struct node *node = make(sizeof *node + payload_bytes);
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

static uint64_t add(struct table *table, const char *text, uint64_t value)
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
    entry = make(sizeof *entry);
    entry->key = memcpy(make(key_bytes), text, key_bytes);
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

static uint64_t build_table(size_t count, struct random *random)
{
    struct table table = {0};
    uint64_t sum = 0;
    char text[128];

    for (size_t i = 0; i < count; i++) {
        /* Some have been seen before. */
        size_t number = random_below(random, 4 * count);

        snprintf(text, sizeof text, "%08zx%.*s", number, (int)(number % 80), long_name);
        sum += add(&table, text, i);
    }
    free(table.buckets);
    return sum + table.entry_count;
}

uint64_t run_tree(const struct plan *plan)
{
    struct random random = seeded(5);
    uint64_t sum = 0;

    for (enum order order = ORDER_FORWARD; order < ORDER_COUNT; order++) {
        sum += build_trees(scaled(plan, NODE_MAX), &random);
        free_made(order, &random);
        sum += build_table(scaled(plan, ENTRY_MAX), &random);
        free_made(order, &random);
    }
    return sum;
}

/*
 * login.c: login code such as a small system has, with SHA-1 as it allocates there.
 *
 * It owns its blocks only; the caller keeps the record. Blocks of a login that fails are left where
 * they are: the scenario is over then.
 */
#include "login.h"

#include "allocator.h"

enum {
    NAME_BYTES = 50,
    PASSWORD_BYTES = 50,
    STATE_WORDS = 5,
    SCHEDULE_WORDS = 80,
    CHUNK_BYTES = 64,
    MESSAGE_BYTES = 2 * CHUNK_BYTES,
    DIGEST_BYTES = 41
};

/* What a user types, and the digest that the password file has for name, ':', password. */
static const char typed_name[] = "the-operator-of-the-night-shift";
static const char typed_password[] = "six-kilobytes-ought-to-be-enough-for-two";
static const char known_digest[] = "06ab2a17cd39ca47560fd5092aba66aae6bcafa9";

static uint32_t rotate_left(uint32_t word, unsigned count)
{
    return word << count | word >> (32 - count);
}

static void sha1_expand(uint32_t *schedule, const unsigned char *chunk)
{
    unsigned i;

    for (i = 0; i < 16; i++)
        schedule[i] = (uint32_t)chunk[4 * i] << 24 | (uint32_t)chunk[4 * i + 1] << 16 |
                      (uint32_t)chunk[4 * i + 2] << 8 | chunk[4 * i + 3];
    for (; i < SCHEDULE_WORDS; i++)
        schedule[i] =
            rotate_left(schedule[i - 3] ^ schedule[i - 8] ^ schedule[i - 14] ^ schedule[i - 16], 1);
}

static uint32_t sha1_mix(unsigned round, uint32_t b, uint32_t c, uint32_t d)
{
    if (round < 20)
        return ((b & c) | (~b & d)) + UINT32_C(0x5A827999);
    if (round < 40)
        return (b ^ c ^ d) + UINT32_C(0x6ED9EBA1);
    if (round < 60)
        return ((b & c) | (b & d) | (c & d)) + UINT32_C(0x8F1BBCDC);
    return (b ^ c ^ d) + UINT32_C(0xCA62C1D6);
}

static void sha1_rounds(uint32_t *state, const uint32_t *schedule)
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    unsigned i;

    for (i = 0; i < SCHEDULE_WORDS; i++) {
        uint32_t next = rotate_left(a, 5) + sha1_mix(i, b, c, d) + e + schedule[i];

        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

static void sha1_start(uint32_t *state)
{
    state[0] = UINT32_C(0x67452301);
    state[1] = UINT32_C(0xEFCDAB89);
    state[2] = UINT32_C(0x98BADCFE);
    state[3] = UINT32_C(0x10325476);
    state[4] = UINT32_C(0xC3D2E1F0);
}

static unsigned append(unsigned char *message, unsigned used_bytes, const char *text)
{
    while (*text != '\0')
        message[used_bytes++] = (unsigned char)*text++;
    return used_bytes;
}

/* name:password, padded to two chunks as SHA-1 wants it. */
static void fill_message(const struct login *login)
{
    unsigned char *message = login->message;
    unsigned used_bytes = append(message, 0, login->name);
    unsigned bit_count;

    used_bytes = append(message, used_bytes, ":");
    used_bytes = append(message, used_bytes, login->password);
    bit_count = used_bytes * 8;
    message[used_bytes++] = 0x80;
    while (used_bytes < MESSAGE_BYTES - 2)
        message[used_bytes++] = 0;
    message[used_bytes++] = (unsigned char)(bit_count >> 8);
    message[used_bytes] = (unsigned char)bit_count;
}

static void hash_message(const struct login *login)
{
    unsigned first;

    sha1_start(login->state);
    for (first = 0; first < MESSAGE_BYTES; first += CHUNK_BYTES) {
        sha1_expand(login->schedule, login->message + first);
        sha1_rounds(login->state, login->schedule);
    }
}

static void write_digest(const struct login *login)
{
    unsigned i;

    for (i = 0; i < STATE_WORDS * 8; i++) {
        unsigned digit = (unsigned)(login->state[i / 8] >> (28 - i % 8 * 4)) & 15U;

        login->digest[i] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
    }
    login->digest[i] = '\0';
}

/* Copies with the final zero; false if there is nowhere to copy to. */
static bool type_in(char *to, const char *text)
{
    if (to == NULL)
        return false;
    while ((*to++ = *text++) != '\0')
        ;
    return true;
}

static bool is_same(const char *text, const char *other)
{
    while (*text == *other && *text != '\0') {
        text++;
        other++;
    }
    return *text == *other;
}

static bool digest(struct login *login)
{
    login->digest = bench_heap_alloc(DIGEST_BYTES);
    if (login->digest == NULL)
        return false;
    fill_message(login);
    hash_message(login);
    write_digest(login);
    return true;
}

bool login_do(struct login *login, enum login_step step)
{
    switch (step) {
    case LOGIN_NAME:
        login->name = bench_heap_alloc(NAME_BYTES);
        return type_in(login->name, typed_name);
    case LOGIN_PASSWORD:
        login->password = bench_heap_alloc(PASSWORD_BYTES);
        return type_in(login->password, typed_password);
    case LOGIN_SHA1_STATE:
        login->state = bench_heap_alloc(STATE_WORDS * sizeof(uint32_t));
        return login->state != NULL;
    case LOGIN_SHA1_SCHEDULE:
        login->schedule = bench_heap_alloc(SCHEDULE_WORDS * sizeof(uint32_t));
        return login->schedule != NULL;
    case LOGIN_SHA1_MESSAGE:
        login->message = bench_heap_alloc(MESSAGE_BYTES);
        return login->message != NULL;
    case LOGIN_SHA1_DIGEST:
        return digest(login);
    case LOGIN_SHA1_END:
        bench_heap_free(login->message);
        bench_heap_free(login->schedule);
        bench_heap_free(login->state);
        return true;
    case LOGIN_COMPARE:
        return is_same(login->digest, known_digest) && is_same(login->name, typed_name);
    default:
        bench_heap_free(login->digest);
        bench_heap_free(login->password);
        bench_heap_free(login->name);
        return true;
    }
}

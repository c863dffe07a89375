/*
 * login.h: a login, in the steps between which a cooperative system may switch to another process.
 */
#ifndef BENCH_REGION_LOGIN_H
#define BENCH_REGION_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

/* Steps of one login. The first six allocate, in this order: 50 bytes for the name, 50 for the
 * password, and for SHA-1 20 (state), 320 (message schedule), 128 (padded message) and 41 (digest
 * as text): 609 bytes that are all live at once. */
enum login_step {
    LOGIN_NAME,
    LOGIN_PASSWORD,
    LOGIN_SHA1_STATE,
    LOGIN_SHA1_SCHEDULE,
    LOGIN_SHA1_MESSAGE,
    LOGIN_SHA1_DIGEST,
    LOGIN_SHA1_END,
    LOGIN_COMPARE,
    LOGIN_END,
    LOGIN_STEP_COUNT
};

struct login {
    char *name;
    char *password;
    uint32_t *state;
    uint32_t *schedule;
    unsigned char *message;
    char *digest;
};

/* Does one step; steps are done once each and in order. False if memory is short or the digest is
 * not that of the password, which means that blocks overlapped. */
bool login_do(struct login *login, enum login_step step);

#endif

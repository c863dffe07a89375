/* json.h: writes JSON to stdout, keeping count of commas. For reports, after the measuring. */
#ifndef NP_EXPERIMENTS_JSON_H
#define NP_EXPERIMENTS_JSON_H

#include <stdint.h>

enum { JSON_DEPTH_MAX = 8 };

struct json {
    unsigned depth;
    unsigned item_count[JSON_DEPTH_MAX];    /* written so far, at each depth */
};

/* key is NULL inside a list and at the top. */
void np_json_open_object(struct json *json, const char *key);
void np_json_close_object(struct json *json);
void np_json_open_list(struct json *json, const char *key);
void np_json_close_list(struct json *json);

void np_json_text(struct json *json, const char *key, const char *text);
void np_json_unsigned(struct json *json, const char *key, uint64_t value);
void np_json_signed(struct json *json, const char *key, int64_t value);
void np_json_fraction(struct json *json, const char *key, double value);

/* true, false or null. */
void np_json_literal(struct json *json, const char *key, const char *literal);

/* The command line as a list under "command". */
void np_json_command(struct json *json, int argc, char **argv);

#endif

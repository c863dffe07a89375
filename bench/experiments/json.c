/* json.c: see json.h. */
#include "json.h"

#include <inttypes.h>
#include <stdio.h>

static void write_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else if (byte < 0x20)
            printf("\\u%04x", byte);
        else
            putchar(byte);
    }
    putchar('"');
}

/* What comes before any item: comma, new line, indentation and key. */
static void begin_item(struct json *json, const char *key)
{
    if (json->item_count[json->depth]++ > 0)
        putchar(',');
    if (json->depth > 0)
        printf("\n%*s", (int)(2 * json->depth), "");
    if (key != NULL) {
        write_string(key);
        printf(": ");
    }
}

static void open_group(struct json *json, const char *key, char bracket)
{
    begin_item(json, key);
    putchar(bracket);
    json->depth++;
    json->item_count[json->depth] = 0;
}

static void close_group(struct json *json, char bracket)
{
    json->depth--;
    if (json->item_count[json->depth + 1] > 0)
        printf("\n%*s", (int)(2 * json->depth), "");
    putchar(bracket);
    if (json->depth == 0)
        putchar('\n');
}

void np_json_open_object(struct json *json, const char *key)
{
    open_group(json, key, '{');
}

void np_json_close_object(struct json *json)
{
    close_group(json, '}');
}

void np_json_open_list(struct json *json, const char *key)
{
    open_group(json, key, '[');
}

void np_json_close_list(struct json *json)
{
    close_group(json, ']');
}

void np_json_text(struct json *json, const char *key, const char *text)
{
    begin_item(json, key);
    write_string(text);
}

void np_json_unsigned(struct json *json, const char *key, uint64_t value)
{
    begin_item(json, key);
    printf("%" PRIu64, value);
}

void np_json_signed(struct json *json, const char *key, int64_t value)
{
    begin_item(json, key);
    printf("%" PRId64, value);
}

void np_json_fraction(struct json *json, const char *key, double value)
{
    begin_item(json, key);
    printf("%.6f", value);
}

void np_json_literal(struct json *json, const char *key, const char *literal)
{
    begin_item(json, key);
    printf("%s", literal);
}

void np_json_command(struct json *json, int argc, char **argv)
{
    np_json_open_list(json, "command");
    for (int i = 0; i < argc; i++)
        np_json_text(json, NULL, argv[i]);
    np_json_close_list(json);
}

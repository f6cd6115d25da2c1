/* SPDX-License-Identifier: Apache-2.0 */
#include "mmds/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/real.h"

void sq_mmds_text_add(struct sq_mmds_text *t, const char *s, size_t len)
{
    if (t->failed)
        return;
    if (len > t->cap - t->len) {
        size_t cap = 2 * t->cap + len + 64;
        char *p = realloc(t->s, cap);

        if (!p) {
            t->failed = true;
            return;
        }
        t->s = p;
        t->cap = cap;
    }
    memcpy(t->s + t->len, s, len);
    t->len += len;
}

void sq_mmds_text_str(struct sq_mmds_text *t, const char *s)
{
    sq_mmds_text_add(t, s, strlen(s));
}

void sq_mmds_text_free(struct sq_mmds_text *t)
{
    free(t->s);
    *t = (struct sq_mmds_text){0};
}

static void add_string(struct sq_mmds_text *t, const char *s, size_t len)
{
    static const char named[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
    size_t plain = 0;

    sq_mmds_text_add(t, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        const char *name = c ? strchr(named, c) : NULL;
        char escape[8];

        if (c >= 0x20 && !name)
            continue;
        sq_mmds_text_add(t, s + plain, i - plain);
        plain = i + 1;
        if (name)
            snprintf(escape, sizeof(escape), "\\%c", letters[name - named]);
        else
            snprintf(escape, sizeof(escape), "\\u%04x", c);
        sq_mmds_text_str(t, escape);
    }
    sq_mmds_text_add(t, s + plain, len - plain);
    sq_mmds_text_add(t, "\"", 1);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_object(struct sq_mmds_text *t, const json_t *v)
{
    size_t n = json_object_size(v), i = 0;
    const char **keys = calloc(n + 1, sizeof(*keys));
    const char *key;
    json_t *member;

    if (!keys) {
        t->failed = true;
        return;
    }
    json_object_foreach((json_t *)v, key, member)
        keys[i++] = key;
    qsort(keys, n, sizeof(*keys), by_name);
    for (i = 0; i < n; i++) {
        sq_mmds_text_add(t, i ? "," : "{", 1);
        add_string(t, keys[i], strlen(keys[i]));
        sq_mmds_text_add(t, ":", 1);
        sq_mmds_text_json(t, json_object_get(v, keys[i]));
    }
    sq_mmds_text_str(t, n ? "}" : "{}");
    free(keys);
}

/* As deep as the parser allows (2048), and small frames. */
void sq_mmds_text_json(struct sq_mmds_text *t, const json_t *v)
{
    char number[SQ_REAL_TEXT_MAX];

    switch (json_typeof(v)) {
    case JSON_OBJECT:
        add_object(t, v);
        break;
    case JSON_ARRAY:
        for (size_t i = 0; i < json_array_size(v); i++) {
            sq_mmds_text_add(t, i ? "," : "[", 1);
            sq_mmds_text_json(t, json_array_get(v, i));
        }
        sq_mmds_text_str(t, json_array_size(v) ? "]" : "[]");
        break;
    case JSON_STRING:
        add_string(t, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%lld",
                 (long long)json_integer_value(v));
        sq_mmds_text_str(t, number);
        break;
    case JSON_REAL:
        sq_real_text(json_real_value(v), number);
        sq_mmds_text_str(t, number);
        break;
    case JSON_TRUE:
        sq_mmds_text_str(t, "true");
        break;
    case JSON_FALSE:
        sq_mmds_text_str(t, "false");
        break;
    default:
        sq_mmds_text_str(t, "null");
        break;
    }
}

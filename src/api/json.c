/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* memmem */
#include "api/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static uint64_t max_of(unsigned width)
{
    return width >= 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
}

/* jansson has no integers of 2^63 and more. They become strings with a byte
 * in front that no other string of a body may start with: a text in which
 * one does is refused. */
#define BIG '\001'
#define BIG_ESCAPED "\\u0001"
#define BIG_START "\"" BIG_ESCAPED

static bool is_big(const json_t *v)
{
    return json_is_string(v) && json_string_value(v)[0] == BIG;
}

json_t *sq_json_uint(uint64_t v)
{
    char text[24];

    if (v <= INT64_MAX)
        return json_integer((json_int_t)v);
    snprintf(text, sizeof(text), "%c%" PRIu64, BIG, v);
    return json_string(text);
}

char *sq_json_text(const json_t *tree)
{
    static const char mark[] = BIG_START;
    char *text = json_dumps(tree, JSON_COMPACT);
    char *out = text, *from = text;

    while (out && *from) {
        if (strncmp(from, mark, sizeof(mark) - 1) != 0 ||
            (from > text && from[-1] == '\\')) {
            *out++ = *from++;
            continue;
        }
        from += sizeof(mark) - 1;
        while (*from && *from != '"')
            *out++ = *from++;
        from += *from == '"';
    }
    if (out)
        *out = '\0';
    return text;
}

static bool check_string(const struct sq_json_field *f, const json_t *v)
{
    char buf[SQ_JSON_ERROR_MAX];

    return json_is_string(v) && !is_big(v) &&
           strlen(json_string_value(v)) == json_string_length(v) &&
           (!f->check || !f->check(json_string_value(v), buf, sizeof(buf)));
}

static bool take_word(const struct sq_json_field *f, const json_t *v,
                      uint64_t *out)
{
    const char *word = json_string_value(v);
    void *only = json_object_iter((json_t *)v);

    /* {"name": null} is another way to write "name". */
    if (json_object_size(v) == 1 &&
        json_is_null(json_object_iter_value(only)))
        word = json_object_iter_key(only);
    if (!word)
        return false;
    for (uint64_t i = 0; f->words[i]; i++) {
        if (strcmp(f->words[i], word) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool take_uint(const struct sq_json_field *f, const json_t *v,
                      uint64_t *out)
{
    if (is_big(v))
        *out = strtoull(json_string_value(v) + 1, NULL, 10);
    else if (json_is_integer(v) && json_integer_value(v) >= 0)
        *out = (uint64_t)json_integer_value(v);
    else
        return false;
    return *out <= max_of(f->width);
}

/* Room for any one struct of schemas.h; elements of lists are checked in
 * it and read again by whoever uses the list. */
union scratch {
    uint64_t align;
    unsigned char bytes[512];
};

static bool check_object(const struct sq_json_field *f, const json_t *v)
{
    union scratch scratch = {0};

    return sq_json_take(f->inner, v, scratch.bytes);
}

static bool check_list(const struct sq_json_field *f, const json_t *v)
{
    if (!json_is_array(v))
        return false;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *e = json_array_get(v, i);

        if (f->inner ? !check_object(f, e) : !check_string(f, e))
            return false;
    }
    return true;
}

static bool check_map(const json_t *v)
{
    const char *key;
    json_t *e;

    if (!json_is_object(v))
        return false;
    json_object_foreach((json_t *)v, key, e)
        if (!json_is_string(e))
            return false;
    return true;
}

static bool take_value(const struct sq_json_field *f, const json_t *v,
                       void *at)
{
    struct sq_json_num *num = at;
    struct sq_json_part *part = at;

    switch (f->kind) {
    case SQ_JSON_STRING:
        if (!check_string(f, v))
            return false;
        *(const char **)at = json_string_value(v);
        return true;
    case SQ_JSON_UINT:
        num->set = true;
        return take_uint(f, v, &num->v);
    case SQ_JSON_BOOL:
        num->set = true;
        num->v = json_is_true(v);
        return json_is_boolean(v);
    case SQ_JSON_WORD:
        num->set = true;
        return take_word(f, v, &num->v);
    case SQ_JSON_OBJECT:
        if (f->by_tree) {
            *(const json_t **)at = v;
            return check_object(f, v);
        }
        part->set = true;
        return sq_json_take(f->inner, v, at);
    case SQ_JSON_LIST:
        *(const json_t **)at = v;
        return check_list(f, v);
    case SQ_JSON_MAP:
        *(const json_t **)at = v;
        return check_map(v);
    case SQ_JSON_ANY:
        *(const json_t **)at = v;
        return true;
    }
    return false;
}

static const struct sq_json_field *
find_field(const struct sq_json_schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->count; i++)
        if (strcmp(schema->fields[i].name, name) == 0)
            return &schema->fields[i];
    return NULL;
}

static void set_default(const struct sq_json_field *f, void *at)
{
    if (f->kind == SQ_JSON_UINT || f->kind == SQ_JSON_BOOL ||
        f->kind == SQ_JSON_WORD)
        ((struct sq_json_num *)at)->v = f->dflt;
}

bool sq_json_take(const struct sq_json_schema *schema, const json_t *value,
                  void *out)
{
    const char *key;
    json_t *v;

    /* An array has the values in the order of the fields. */
    if (json_is_array(value) ? json_array_size(value) > schema->count
                             : !json_is_object(value))
        return false;
    json_object_foreach((json_t *)value, key, v)
        if (!schema->lenient && !find_field(schema, key))
            return false;
    for (size_t i = 0; i < schema->count; i++) {
        const struct sq_json_field *f = &schema->fields[i];
        void *at = (char *)out + f->off;

        v = json_is_array(value) ? json_array_get(value, i)
                                 : json_object_get(value, f->name);
        if (!v && (json_is_array(value) ? sq_json_lacks(f) : f->required))
            return false;
        if (!v || (json_is_null(v) && f->nullable))
            set_default(f, at);
        else if (!take_value(f, v, at))
            return false;
    }
    return true;
}

/* jansson itself allows 2048 levels. */
static bool too_deep(const json_t *v, unsigned depth)
{
    const char *key;
    json_t *e;
    size_t i;

    if (!json_is_array(v) && !json_is_object(v))
        return false;
    if (depth == SQ_JSON_DEPTH_MAX - 1)
        return true;
    json_object_foreach((json_t *)v, key, e)
        if (too_deep(e, depth + 1))
            return true;
    json_array_foreach(v, i, e)
        if (too_deep(e, depth + 1))
            return true;
    return false;
}

static json_t *parse(const char *text, size_t text_len, size_t flags,
                     json_error_t *where)
{
    json_t *tree = json_loadb(text, text_len, JSON_DECODE_ANY | flags, where);

    if (tree && too_deep(tree, 0)) {
        json_decref(tree);
        snprintf(where->text, sizeof(where->text),
                 "recursion limit exceeded");
        return NULL;
    }
    return tree;
}

/* The length of an integer of 2^63 to 2^64 - 1 at text[0..len), 0: there is
 * none. */
static size_t big_len(const char *text, size_t len)
{
    size_t n = 0;
    uint64_t v = 0;

    while (n < len && text[n] >= '0' && text[n] <= '9')
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(text[n++] - '0'), &v))
            return 0;
    if (v <= INT64_MAX || text[0] == '0' ||
        (n < len && strchr(".eE", text[n])))
        return 0;
    return n;
}

/* The length of an integer's digits at text[0..len) that are too many for
 * jansson, 0: there are none. */
static size_t overlong_len(const char *text, size_t len, bool negative)
{
    const char *most = negative ? "9223372036854775808"
                                : "9223372036854775807";
    size_t n = 0;

    while (n < len && text[n] >= '0' && text[n] <= '9')
        n++;
    if (n < 19 || (n == 19 && memcmp(text, most, 19) <= 0) ||
        (n < len && strchr(".eE", text[n])))
        return 0;
    return n;
}

/* A copy that jansson reads, NULL without memory: as_real, with integers
 * beyond 63 bits as numbers with a fraction; else with such of 64 bits as
 * marked strings. */
static char *mark_big(const char *text, size_t len, bool as_real,
                      size_t *out_len)
{
    /* Each has 19 digits at least and grows by less. */
    char *out = malloc(2 * len + 1);
    bool in_string = false, in_number = false;
    size_t n = 0;

    for (size_t i = 0; out && i < len; i++) {
        char c = text[i];
        size_t big = 0;

        if (!in_string && !in_number)
            big = as_real ? overlong_len(text + i, len - i,
                                         i && text[i - 1] == '-')
                          : big_len(text + i, len - i);
        if (big) {
            n += (size_t)snprintf(out + n, 2 * len + 1 - n,
                                  as_real ? "%.*s.0" : BIG_START "%.*s\"",
                                  (int)big, text + i);
            i += big - 1;
            continue;
        }
        out[n++] = c;
        if (in_string && c == '\\' && i + 1 < len)
            out[n++] = text[++i];
        else if (c == '"')
            in_string = !in_string;
        in_number = !in_string && c &&
                    strchr(in_number ? "0123456789+-.eE" : "0123456789.eE",
                           c);
    }
    *out_len = n;
    return out;
}

static json_t *parse_big(const char *text, size_t text_len, bool as_real,
                         size_t flags, json_error_t *where)
{
    size_t len;
    char *marked = mark_big(text, text_len, as_real, &len);
    json_t *tree = marked ? parse(marked, len, flags, where) : NULL;

    free(marked);
    return tree;
}

/* What jansson refuses and serde does not (NUL characters in names) gets
 * jansson's words. */
static json_t *refused(const struct sq_json_schema *schema, const char *text,
                       size_t text_len, const json_error_t *where,
                       char error[SQ_JSON_ERROR_MAX])
{
    if (!sq_json_explain(schema, text, text_len, error))
        snprintf(error, SQ_JSON_ERROR_MAX, "%s at line %d column %d",
                 where->text[0] ? where->text : "invalid value",
                 where->line > 0 ? where->line : 1,
                 where->column > 0 ? where->column : 1);
    return NULL;
}

json_t *sq_json_read(const struct sq_json_schema *schema, const char *text,
                     size_t text_len, void *out,
                     char error[SQ_JSON_ERROR_MAX])
{
    json_error_t where = {0};
    json_t *tree = NULL;

    if (!memmem(text, text_len, BIG_START, strlen(BIG_START)))
        tree = parse(text, text_len, JSON_REJECT_DUPLICATES, &where);
    if (!tree && json_error_code(&where) == json_error_numeric_overflow)
        tree = parse_big(text, text_len, false, JSON_REJECT_DUPLICATES,
                         &where);
    if (tree && sq_json_take(schema, tree, out))
        return tree;
    json_decref(tree);
    return refused(schema, text, text_len, &where, error);
}

json_t *sq_json_read_any(const char *text, size_t text_len,
                         char error[SQ_JSON_ERROR_MAX])
{
    json_error_t where = {0};
    json_t *tree = parse(text, text_len, JSON_ALLOW_NUL, &where);

    if (!tree && json_error_code(&where) == json_error_numeric_overflow)
        tree = parse_big(text, text_len, true, JSON_ALLOW_NUL, &where);
    return tree ? tree : refused(NULL, text, text_len, &where, error);
}

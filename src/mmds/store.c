/* SPDX-License-Identifier: Apache-2.0 */
#include "mmds/internal.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h> /* getentropy(): here or in unistd.h */
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

int sq_mmds_new(size_t limit_len, struct sq_mmds **out,
                struct squib_error *err)
{
    struct sq_mmds_config config = {.ipv4 = {169, 254, 169, 254}};
    struct sq_mmds *m = calloc(1, sizeof(*m));

    if (!m)
        return sq_err_set(err, SQUIB_E_NOMEM, "metadata: out of memory");
    if (getentropy(m->key, sizeof(m->key)) != 0) {
        free(m);
        return sq_err_set(err, SQUIB_E_OS, "metadata: no random bytes");
    }
    m->limit_len = limit_len;
    pthread_mutex_init(&m->mutex, NULL);
    sq_mmds_configure(m, &config);
    *out = m;
    return 0;
}

void sq_mmds_free(struct sq_mmds *m)
{
    if (!m)
        return;
    json_decref(m->data);
    pthread_mutex_destroy(&m->mutex);
    free(m);
}

void sq_mmds_configure(struct sq_mmds *m,
                       const struct sq_mmds_config *config)
{
    pthread_mutex_lock(&m->mutex);
    m->config = *config;
    atomic_store(&m->ipv4, sq_ld32(config->ipv4));
    pthread_mutex_unlock(&m->mutex);
}

struct sq_mmds_config sq_mmds_config(struct sq_mmds *m)
{
    struct sq_mmds_config config;

    pthread_mutex_lock(&m->mutex);
    config = m->config;
    pthread_mutex_unlock(&m->mutex);
    return config;
}

bool sq_mmds_parse_ipv4(const char *text, uint8_t ipv4[4])
{
    uint8_t raw[4];

    /* RFC 3927, section 2.1: the first and last 256 are reserved. */
    if (inet_pton(AF_INET, text, raw) != 1 || raw[0] != 169 ||
        raw[1] != 254 || raw[2] == 0 || raw[2] == 255)
        return false;
    memcpy(ipv4, raw, sizeof(raw));
    return true;
}

const struct sq_mmds_counters *sq_mmds_counters(const struct sq_mmds *m)
{
    return &m->counters;
}

/* ---- Writing ---- */

/* Takes the reference, also on failure. Mutex held. */
static int replace(struct sq_mmds *m, json_t *data, struct squib_error *err)
{
    struct sq_mmds_text text = {0};
    int rc = 0;

    if (data)
        sq_mmds_text_json(&text, data);
    if (!data || text.failed)
        rc = sq_err_set(err, SQUIB_E_NOMEM, "metadata: out of memory");
    else if (text.len > m->limit_len)
        rc = sq_err_set(err, SQUIB_E_RANGE,
                        "The MMDS patch request doesn't fit.");
    sq_mmds_text_free(&text);
    if (rc) {
        json_decref(data);
        return rc;
    }
    json_decref(m->data);
    m->data = data;
    return 0;
}

int sq_mmds_put(struct sq_mmds *m, const json_t *value,
                struct squib_error *err)
{
    int rc;

    pthread_mutex_lock(&m->mutex);
    rc = replace(m, json_deep_copy(value), err);
    pthread_mutex_unlock(&m->mutex);
    return rc;
}

/* RFC 7396, section 2. Takes the reference to target, which may be NULL
 * for "not there"; gives one back, or NULL out of memory. */
static json_t *merge(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;

    if (!json_is_object(patch)) {
        json_decref(target);
        return json_deep_copy(patch);
    }
    if (!json_is_object(target)) {
        json_decref(target);
        target = json_object();
    }
    json_object_foreach((json_t *)patch, key, value) {
        json_t *merged;

        if (json_is_null(value)) {
            json_object_del(target, key);
            continue;
        }
        merged = merge(json_incref(json_object_get(target, key)), value);
        if (!merged || json_object_set_new(target, key, merged) != 0) {
            json_decref(target);
            return NULL;
        }
    }
    return target;
}

int sq_mmds_patch(struct sq_mmds *m, const json_t *patch,
                  struct squib_error *err)
{
    int rc;

    pthread_mutex_lock(&m->mutex);
    if (!m->data)
        rc = sq_err_set(err, SQUIB_E_STATE,
                        "The MMDS data store is not initialized.");
    else
        rc = replace(m, merge(json_deep_copy(m->data), patch), err);
    pthread_mutex_unlock(&m->mutex);
    return rc;
}

int sq_mmds_load(struct sq_mmds *m, const char *text, size_t len,
                 struct squib_error *err)
{
    json_error_t where;
    json_t *value = json_loadb(text, len, JSON_DECODE_ANY, &where);
    int rc;

    if (!value)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "not valid JSON: %.120s at line %d column %d",
                          where.text, where.line, where.column);
    rc = sq_mmds_put(m, value, err);
    json_decref(value);
    return rc;
}

/* ---- Reading ---- */

char *sq_mmds_get(struct sq_mmds *m)
{
    struct sq_mmds_text text = {0};

    pthread_mutex_lock(&m->mutex);
    if (!m->data || json_is_null(m->data))
        sq_mmds_text_str(&text, "{}");
    else
        sq_mmds_text_json(&text, m->data);
    pthread_mutex_unlock(&m->mutex);
    sq_mmds_text_add(&text, "", 1);
    if (text.failed) {
        sq_mmds_text_free(&text);
        return NULL;
    }
    return text.s;
}

bool sq_mmds_initialized(struct sq_mmds *m)
{
    bool yes;

    pthread_mutex_lock(&m->mutex);
    yes = m->data != NULL;
    pthread_mutex_unlock(&m->mutex);
    return yes;
}

/* One reference token of a JSON pointer (RFC 6901), unescaped in place. */
static void unescape(char *token)
{
    char *to = token;

    for (const char *from = token; *from; from++) {
        if (from[0] == '~' && (from[1] == '0' || from[1] == '1')) {
            *to++ = from[1] == '0' ? '~' : '/';
            from++;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

static const json_t *step(const json_t *v, char *token)
{
    unescape(token);
    if (json_is_object(v))
        return json_object_get(v, token);
    if (json_is_array(v)) {
        size_t len = strlen(token);

        /* No signs, no leading zeros. */
        if (!len || len > 9 || strspn(token, "0123456789") != len ||
            (len > 1 && token[0] == '0'))
            return NULL;
        return json_array_get(v, strtoul(token, NULL, 10));
    }
    return NULL;
}

static const json_t *find(const json_t *v, const char *path)
{
    char copy[SQ_MMDS_REQUEST_MAX + 1], *token = copy;
    size_t len = strlen(path);

    if (len >= sizeof(copy))
        return NULL;
    memcpy(copy, path, len + 1);
    if (len && copy[len - 1] == '/')
        copy[len - 1] = '\0';
    while (v && *token) {
        char *next = strchr(token + 1, '/');

        if (*token != '/')
            return NULL;
        if (next)
            *next = '\0';
        v = step(v, token + 1);
        if (!next)
            break;
        *next = '/';
        token = next;
    }
    return v;
}

/* Names, one a line, with a slash where there is more below. */
static void add_names(struct sq_mmds_text *out, const json_t *v)
{
    struct sq_mmds_text list = {0};
    const char *key;
    const char **keys = calloc(json_object_size(v) + 1, sizeof(*keys));
    json_t *member;
    size_t n = 0;

    if (!keys) {
        out->failed = true;
        return;
    }
    json_object_foreach((json_t *)v, key, member) {
        size_t at = n++;

        /* Few and read seldom: sorted as they come. */
        for (; at && strcmp(keys[at - 1], key) > 0; at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
    for (size_t i = 0; i < n; i++) {
        if (i)
            sq_mmds_text_add(&list, "\n", 1);
        sq_mmds_text_str(&list, keys[i]);
        if (json_is_object(json_object_get(v, keys[i])))
            sq_mmds_text_add(&list, "/", 1);
    }
    out->failed |= list.failed;
    sq_mmds_text_add(out, list.s ? list.s : "", list.len);
    sq_mmds_text_free(&list);
    free(keys);
}

enum sq_mmds_found sq_mmds_lookup(const struct sq_mmds *m, const char *path,
                                  bool as_json, struct sq_mmds_text *out)
{
    const json_t *v;

    v = m->data ? find(m->data, path) : NULL;
    if (!v && !m->data && (!*path || strcmp(path, "/") == 0)) {
        /* The root of nothing is null. */
        if (!as_json)
            return SQ_MMDS_UNSUPPORTED;
        sq_mmds_text_str(out, "null");
        return SQ_MMDS_FOUND;
    }
    if (!v)
        return SQ_MMDS_NOT_FOUND;
    if (as_json)
        sq_mmds_text_json(out, v);
    else if (json_is_object(v))
        add_names(out, v);
    else if (json_is_string(v))
        sq_mmds_text_add(out, json_string_value(v), json_string_length(v));
    else
        return SQ_MMDS_UNSUPPORTED;
    return SQ_MMDS_FOUND;
}

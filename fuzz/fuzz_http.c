/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of ill will against the HTTP parser and the readers of bodies.
 * What must hold: no access outside the buffers, always room for more bytes,
 * and words for each refusal of a request or of a body.
 *
 * Build: clang -std=gnu17 -g -O1 -fsanitize=fuzzer,address,undefined
 *        -Iinclude -Isrc fuzz/fuzz_http.c src/api/http.c src/api/json.c
 *        src/api/json_explain.c src/api/schemas.c -ljansson
 * Run:   ./fuzz_http -max_len=4096
 *
 * Input: byte 0 is the size of the pieces, byte 1 chooses the schema that
 * bodies are read with; the rest comes from the client.
 */
#include <stdlib.h>
#include <string.h>

#include "api/http.h"
#include "api/schemas.h"
#include "base/util.h"

#define PAYLOAD 2048u

#define SCHEMA(type) &sq_##type##_schema,
static const struct sq_json_schema *const schemas[] = {
    SQ_BODY_LIST(SCHEMA)
};

struct client {
    struct sq_http_parser p;
    unsigned schema;
    char *body;
    unsigned char last; /* every byte that is handed on is looked at */
};

static void look(struct client *c, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        c->last ^= (unsigned char)bytes[i];
}

static void read_body(const struct client *c, const char *text, size_t len)
{
    const struct sq_json_schema *s = schemas[c->schema %
                                             SQ_ARRAY_LEN(schemas)];
    char why[SQ_JSON_ERROR_MAX] = "";
    union sq_body body;
    json_t *tree;

    memset(&body, 0, sizeof(body));
    tree = sq_json_read(s, text, len, &body, why);
    if (!tree && !why[0])
        abort();
    json_decref(tree);
    why[0] = '\0';
    tree = sq_json_read_any(text, len, why);
    if (!tree && !why[0])
        abort();
    json_decref(tree);
}

static void on_request(void *ctx, const struct sq_http_request *r)
{
    struct client *c = ctx;

    look(c, r->path, strlen(r->path) + 1);
    look(c, (const char *)&r->method, sizeof(r->method));
    if (r->body) {
        look(c, r->body, r->body_len + 1);
        read_body(c, r->body, r->body_len);
    }
}

static void on_proceed(void *ctx, bool http10)
{
    look(ctx, http10 ? "0" : "1", 1);
}

static void talk(const uint8_t *data, size_t len, unsigned schema,
                 size_t piece)
{
    struct client *c = calloc(1, sizeof(*c));
    const struct sq_http_sink sink = {on_request, on_proceed, c};

    if (!c)
        return;
    c->schema = schema;
    c->body = malloc(PAYLOAD + 1);
    sq_http_init(&c->p, c->body, PAYLOAD);
    while (len && c->body) {
        size_t n = sq_http_room(&c->p);

        if (n == 0)
            abort();
        n = n < piece ? n : piece;
        n = n < len ? n : len;
        if (!sq_http_feed(&c->p, (const char *)data, n, &sink)) {
            if (!c->p.error[0] || c->p.state != SQ_HTTP_REQUEST_LINE)
                abort();
            look(c, c->p.error, strlen(c->p.error));
        }
        data += n;
        len -= n;
    }
    free(c->body);
    free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    talk(data + 2, len - 2, data[1], data[0] + 1u);
    talk(data + 2, len - 2, data[1], SIZE_MAX);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request in, one answer out. What is accepted, and the words of every
 * refusal, are what Firecracker's parser has; a client in a guest may match
 * on them.
 */
#include "mmds/internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "os/clock.h"

#define TOKEN_PATH "/latest/api/token"
/* "GET / HTTP/1.0" */
#define LINE_MIN 14u

enum method { GET, PUT, OTHER };

/* Pieces of the request, which stays where it is. */
struct piece {
    const char *s;
    size_t len;
};

struct request {
    enum method method;
    bool http10;
    bool accept_json;
    uint32_t body_len;
    struct piece uri;
    struct piece token;              /* s NULL: no such header */
    struct piece ttl_name, ttl;      /* the same */
    struct piece forwarded;          /* the header's name, as sent */
};

struct answer {
    const char *status;
    bool http10, json, allow;
    struct piece ttl_name; /* s NULL: none */
    uint32_t ttl;
    struct sq_mmds_text body;
};

static const char *find(const char *s, size_t len, const char *what)
{
    size_t n = strlen(what);

    for (size_t i = 0; i + n <= len; i++)
        if (memcmp(s + i, what, n) == 0)
            return s + i;
    return NULL;
}

static bool is(struct piece p, const char *text)
{
    return p.len == strlen(text) && memcmp(p.s, text, p.len) == 0;
}

static bool is_name(struct piece p, const char *text)
{
    return p.len == strlen(text) && strncasecmp(p.s, text, p.len) == 0;
}

static struct piece trim(const char *s, size_t len)
{
    while (len && (s[0] == ' ' || (s[0] >= '\t' && s[0] <= '\r'))) {
        s++;
        len--;
    }
    while (len && (s[len - 1] == ' ' ||
                   (s[len - 1] >= '\t' && s[len - 1] <= '\r')))
        len--;
    return (struct piece){s, len};
}

static void add(struct sq_mmds_text *t, struct piece p)
{
    sq_mmds_text_add(t, p.s, p.len);
}

static bool to_u32(struct piece p, uint32_t *out)
{
    uint64_t v = 0;

    if (p.len && p.s[0] == '+') {
        p.s++;
        p.len--;
    }
    if (!p.len)
        return false;
    for (size_t i = 0; i < p.len; i++) {
        if (p.s[i] < '0' || p.s[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(p.s[i] - '0');
        if (v > UINT32_MAX)
            return false;
    }
    *out = (uint32_t)v;
    return true;
}

/* UTF-8 as RFC 3629 has it. */
static bool is_utf8(const char *text, size_t len)
{
    const uint8_t *s = (const uint8_t *)text;

    for (size_t i = 0; i < len;) {
        size_t more = s[i] < 0x80   ? 0
                      : s[i] < 0xc2 ? 9
                      : s[i] < 0xe0 ? 1
                      : s[i] < 0xf0 ? 2
                      : s[i] < 0xf5 ? 3
                                    : 9;

        if (more > len - i - 1)
            return false;
        for (size_t k = 1; k <= more; k++)
            if ((s[i + k] & 0xc0) != 0x80)
                return false;
        if ((s[i] == 0xe0 && s[i + 1] < 0xa0) ||
            (s[i] == 0xed && s[i + 1] >= 0xa0) ||
            (s[i] == 0xf0 && s[i + 1] < 0x90) ||
            (s[i] == 0xf4 && s[i + 1] >= 0x90))
            return false;
        i += 1 + more;
    }
    return true;
}

/* ---- Parsing. Each part returns false with status and body of *a set. ---- */

static bool refuse(struct answer *a, const char *status, const char *text)
{
    a->status = status;
    sq_mmds_text_str(&a->body, text);
    return false;
}

static bool bad_header(struct answer *a, const char *what, struct piece name)
{
    refuse(a, "400", what);
    add(&a->body, name);
    return false;
}

static bool bad_value(struct answer *a, struct piece name,
                      struct piece value)
{
    bad_header(a, "Invalid value. Key:", name);
    sq_mmds_text_str(&a->body, "; Value:");
    add(&a->body, value);
    return false;
}

static bool parse_line(const char *s, size_t len, struct request *r,
                       struct answer *a)
{
    const char *end = s + len, *uri, *version;
    struct piece method, v;

    uri = len < LINE_MIN ? NULL : memchr(s, ' ', len);
    version = uri ? memchr(uri + 1, ' ', (size_t)(end - uri - 1)) : NULL;
    if (!version)
        return refuse(a, "400", "Invalid request.");
    method = (struct piece){s, (size_t)(uri - s)};
    r->uri = (struct piece){uri + 1, (size_t)(version - uri - 1)};
    v = (struct piece){version + 1, (size_t)(end - version - 1)};
    if (is(method, "GET"))
        r->method = GET;
    else if (is(method, "PUT"))
        r->method = PUT;
    else if (is(method, "PATCH") || is(method, "DELETE"))
        r->method = OTHER;
    else
        return refuse(a, "501", "Unsupported HTTP method.");
    if (!r->uri.len)
        return refuse(a, "400", "Empty URI not allowed.");
    if (!is_utf8(r->uri.s, r->uri.len))
        return refuse(a, "400", "Cannot parse URI as UTF-8.");
    r->http10 = is(v, "HTTP/1.0");
    if (!r->http10 && !is(v, "HTTP/1.1"))
        return refuse(a, "501", "Unsupported HTTP version.");
    return true;
}

static bool parse_encodings(struct piece all, struct answer *a)
{
    static const char name[] = "Accept-Encoding";
    const char *at = all.s, *end = all.s + all.len;
    bool identity = find(all.s, all.len, "identity") != NULL;

    if (!all.len)
        return refuse(a, "400", "Invalid request.");
    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct piece one = {at, (size_t)((comma ? comma : end) - at)};
        struct piece bare = trim(one.s, one.len);

        if (is(bare, "identity;q=0") || (is(bare, "*;q=0") && !identity))
            return bad_value(a, (struct piece){name, sizeof(name) - 1}, one);
        if (!comma)
            return true;
        at = comma + 1;
    }
}

static bool parse_header(const char *s, size_t len, struct request *r,
                         struct answer *a)
{
    const char *colon = memchr(s, ':', len);
    struct piece name, value, raw;

    if (!colon)
        return bad_header(a, "Header is incorrectly formatted. Key: ",
                          (struct piece){s, len});
    name = trim(s, (size_t)(colon - s));
    raw = (struct piece){colon + 1, len - (size_t)(colon - s) - 1};
    value = trim(raw.s, raw.len);
    if (is_name(name, "content-length"))
        return to_u32(value, &r->body_len) ||
               bad_value(a, (struct piece){s, (size_t)(colon - s)}, raw);
    if (is_name(name, "accept-encoding"))
        return parse_encodings(value, a);
    if (is_name(name, "accept")) {
        if (is(value, "application/json") || is(value, "text/plain"))
            r->accept_json = is(value, "application/json");
    } else if (is_name(name, "x-metadata-token") ||
               is_name(name, "x-aws-ec2-metadata-token")) {
        r->token = value;
    } else if (is_name(name, "x-metadata-token-ttl-seconds") ||
               is_name(name, "x-aws-ec2-metadata-token-ttl-seconds")) {
        r->ttl_name = name;
        r->ttl = value;
    } else if (is_name(name, "x-forwarded-for")) {
        r->forwarded = name;
    }
    return true;
}

static bool parse(const char *s, size_t len, struct request *r,
                  struct answer *a)
{
    const char *line_end = find(s, len, "\r\n"), *at, *end;

    if (!line_end)
        return refuse(a, "400", "Invalid request.");
    if (!parse_line(s, (size_t)(line_end - s), r, a))
        return false;
    end = find(line_end, len - (size_t)(line_end - s), "\r\n\r\n");
    if (!end)
        return refuse(a, "400", "Invalid request.");
    at = line_end + 2;
    if (end > at && !is_utf8(at, (size_t)(end - at)))
        return refuse(a, "400", "Invalid request.");
    while (at < end) {
        const char *stop = find(at, (size_t)(end + 2 - at), "\r\n");

        if (!parse_header(at, (size_t)(stop - at), r, a))
            return false;
        at = stop + 2;
    }
    /* Requests that mean something here have no body. */
    if (r->body_len)
        return refuse(a, "400", "Invalid request.");
    return true;
}

/* The path of an absolute or relative URI; empty if it has none. */
static struct piece path_of(struct piece uri)
{
    static const char scheme[] = "http://";
    size_t skip = sizeof(scheme) - 1;
    const char *slash;

    if (uri.len && uri.s[0] == '/')
        return uri;
    if (uri.len < skip || memcmp(uri.s, scheme, skip) != 0)
        return (struct piece){uri.s, 0};
    slash = memchr(uri.s + skip, '/', uri.len - skip);
    if (!slash)
        return (struct piece){uri.s, 0};
    return (struct piece){slash, uri.len - (size_t)(slash - uri.s)};
}

/* ---- Answering ---- */

static void say(struct answer *a, const char *status, const char *text)
{
    refuse(a, status, text);
}

static void not_found(struct answer *a, struct piece path)
{
    say(a, "404", "Resource not found: ");
    add(&a->body, path);
    sq_mmds_text_str(&a->body, ".");
}

/* Runs of slashes become one. */
static void sanitize(struct piece path, char out[SQ_MMDS_REQUEST_MAX + 1])
{
    size_t n = 0;

    for (size_t i = 0; i < path.len; i++)
        if (path.s[i] != '/' || !n || out[n - 1] != '/')
            out[n++] = path.s[i];
    out[n] = '\0';
}

static uint64_t now_ms(void)
{
    return sq_now_ns() / 1000000;
}

static bool may_read(struct sq_mmds *m, const struct request *r,
                     struct answer *a)
{
    bool v2 = m->config.version == SQ_MMDS_V2;
    char token[SQ_MMDS_TOKEN_LEN + 1];

    if (!r->token.s) {
        sq_mmds_count(&m->counters.rx_no_token, 1);
        if (v2)
            say(a, "401", "No MMDS token provided. Use `X-metadata-token` "
                          "or `X-aws-ec2-metadata-token` header to specify "
                          "the session token.");
        return !v2;
    }
    if (r->token.len == SQ_MMDS_TOKEN_LEN) {
        memcpy(token, r->token.s, SQ_MMDS_TOKEN_LEN);
        token[SQ_MMDS_TOKEN_LEN] = '\0';
        if (sq_mmds_token_valid(m->key, token, now_ms()))
            return true;
    }
    sq_mmds_count(&m->counters.rx_invalid_token, 1);
    if (v2)
        say(a, "401", "MMDS token not valid.");
    return !v2;
}

static void get(struct sq_mmds *m, const struct request *r,
                struct piece path, struct answer *a)
{
    char clean[SQ_MMDS_REQUEST_MAX + 1];
    bool json = r->accept_json && !m->config.imds_compat;

    if (!may_read(m, r, a))
        return;
    sanitize(path, clean);
    switch (sq_mmds_lookup(m, clean, json, &a->body)) {
    case SQ_MMDS_FOUND:
        a->status = "200";
        a->json = r->accept_json;
        break;
    case SQ_MMDS_NOT_FOUND:
        not_found(a, path);
        break;
    case SQ_MMDS_UNSUPPORTED:
        say(a, "501", "Cannot retrieve value. The value has an unsupported "
                      "type.");
        break;
    }
}

static void put(struct sq_mmds *m, const struct request *r,
                struct piece path, struct answer *a)
{
    char clean[SQ_MMDS_REQUEST_MAX + 1], token[SQ_MMDS_TOKEN_LEN + 1];
    char text[128];
    uint32_t ttl;

    /* Somebody in between would hand tokens to others. */
    if (r->forwarded.s) {
        say(a, "400", "Invalid header. Reason: Unsupported header name. "
                      "Key: ");
        add(&a->body, r->forwarded);
        return;
    }
    sanitize(path, clean);
    if (strcmp(clean, TOKEN_PATH) != 0) {
        not_found(a, path);
        return;
    }
    if (!r->ttl.s) {
        say(a, "400", "Token time to live value not found. Use "
                      "`X-metadata-token-ttl-seconds` or "
                      "`X-aws-ec2-metadata-token-ttl-seconds` header to "
                      "specify the token's lifetime.");
        return;
    }
    if (!to_u32(r->ttl, &ttl)) {
        say(a, "400", "Invalid header. Reason: ");
        bad_value(a, r->ttl_name, r->ttl);
        return;
    }
    if (ttl < 1 || ttl > SQ_MMDS_TTL_MAX_S) {
        snprintf(text, sizeof(text), "Invalid time to live value provided "
                 "for token: %u. Please provide a value between 1 and %u.",
                 ttl, SQ_MMDS_TTL_MAX_S);
        say(a, "400", text);
        return;
    }
    if (!sq_mmds_token_make(m->key, now_ms() + 1000ull * ttl, token)) {
        say(a, "500", "No random bytes for a token.");
        return;
    }
    say(a, "200", token);
    a->ttl_name = r->ttl_name;
    a->ttl = ttl;
}

static void write_answer(const struct answer *a, struct sq_mmds_text *out)
{
    char line[64];

    sq_mmds_text_str(out, a->http10 ? "HTTP/1.0 " : "HTTP/1.1 ");
    sq_mmds_text_str(out, a->status);
    /* The name is part of the interface that clients know. */
    sq_mmds_text_str(out, " \r\nServer: Firecracker API\r\n"
                          "Connection: keep-alive\r\n");
    if (a->allow)
        sq_mmds_text_str(out, "Allow: GET, PUT\r\n");
    if (a->ttl_name.s) {
        add(out, a->ttl_name);
        snprintf(line, sizeof(line), ": %u\r\n", a->ttl);
        sq_mmds_text_str(out, line);
    }
    snprintf(line, sizeof(line), "Content-Length: %zu\r\n\r\n",
             a->body.len);
    sq_mmds_text_str(out, a->json ? "Content-Type: application/json\r\n"
                                  : "Content-Type: text/plain\r\n");
    sq_mmds_text_str(out, line);
    sq_mmds_text_add(out, a->body.s ? a->body.s : "", a->body.len);
    out->failed |= a->body.failed;
}

void sq_mmds_answer(struct sq_mmds *m, const char *request, size_t len,
                    struct sq_mmds_text *out)
{
    struct request r = {0};
    /* What the parser refuses is, as upstream, labelled JSON. */
    struct answer a = {.json = true};
    struct piece path;

    if (len <= SQ_MMDS_REQUEST_MAX && parse(request, len, &r, &a)) {
        a.json = false;
        a.http10 = r.http10;
        path = path_of(r.uri);
        pthread_mutex_lock(&m->mutex);
        if (!path.len) {
            say(&a, "400", "Invalid URI.");
        } else if (memchr(path.s, '\0', path.len)) {
            not_found(&a, path);
        } else if (r.method == GET) {
            get(m, &r, path, &a);
        } else if (r.method == PUT) {
            put(m, &r, path, &a);
        } else {
            say(&a, "405", "Not allowed HTTP method.");
            a.allow = true;
        }
        pthread_mutex_unlock(&m->mutex);
    } else if (!a.status) {
        say(&a, "400", "Invalid request.");
    }
    write_answer(&a, out);
    sq_mmds_text_free(&a.body);
}

size_t sq_mmds_request_end(const char *bytes, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++) {
        if (bytes[i] != '\n')
            continue;
        if (bytes[i + 1] == '\n')
            return i + 2;
        if (i + 2 < len && bytes[i + 1] == '\r' && bytes[i + 2] == '\n')
            return i + 3;
    }
    return 0;
}

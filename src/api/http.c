/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes are collected into lines of at most SQ_HTTP_LINE_MAX; a body goes
 * straight into the owner's buffer. Each feed runs the state machine twice:
 * first on a copy that hands nothing on, to learn whether all of it is
 * acceptable, then for real. That way a bad request takes the good ones that
 * came in the same read with it, as the error text promises.
 */
#define _GNU_SOURCE
#include "api/http.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"

static const char *const methods[] = {
    [SQ_HTTP_GET] = "GET",
    [SQ_HTTP_PUT] = "PUT",
    [SQ_HTTP_PATCH] = "PATCH",
    [SQ_HTTP_DELETE] = "DELETE",
};

const char *sq_http_method_name(enum sq_http_method method)
{
    return methods[method];
}

const char sq_http_full[] =
    "HTTP/1.1 503\r\n"
    "Server: Firecracker API\r\n"
    "Connection: close\r\n"
    "Content-Length: 40\r\n\r\n"
    "{ \"error\": \"Too many open connections\" }";

/* A piece of text without an end of its own. */
struct span {
    const char *at;
    size_t len;
};

static bool refuse(struct sq_http_parser *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static bool refuse(struct sq_http_parser *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(p->error, sizeof(p->error), fmt, ap);
    va_end(ap);
    return false;
}

static bool equals(struct span s, const char *word)
{
    return strlen(word) == s.len && memcmp(s.at, word, s.len) == 0;
}

static bool equals_nocase(struct span s, const char *word)
{
    return strlen(word) == s.len && strncasecmp(s.at, word, s.len) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct span trim(struct span s)
{
    while (s.len && is_blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len && is_blank(s.at[s.len - 1]))
        s.len--;
    return s;
}

/* The length of the well-formed UTF-8 character at s, 0 if there is none.
 * *bad is then how many bytes belong to the mistake, 0 when only the end of
 * the text is missing. */
static size_t utf8_char(struct span s, size_t *bad)
{
    const unsigned char *b = (const unsigned char *)s.at;
    unsigned char lo = 0x80, hi = 0xbf;
    size_t n = 0;

    *bad = 1;
    if (b[0] < 0x80)
        return 1;
    if (b[0] >= 0xc2 && b[0] <= 0xdf)
        n = 2;
    else if (b[0] >= 0xe0 && b[0] <= 0xef)
        n = 3;
    else if (b[0] >= 0xf0 && b[0] <= 0xf4)
        n = 4;
    else
        return 0;
    /* Overlong forms, surrogates and what lies beyond Unicode. */
    if (b[0] == 0xe0)
        lo = 0xa0;
    else if (b[0] == 0xed)
        hi = 0x9f;
    else if (b[0] == 0xf0)
        lo = 0x90;
    else if (b[0] == 0xf4)
        hi = 0x8f;
    for (size_t i = 1; i < n; i++) {
        if (i == s.len) {
            *bad = 0;
            return 0;
        }
        if (b[i] < lo || b[i] > hi) {
            *bad = i;
            return 0;
        }
        lo = 0x80;
        hi = 0xbf;
    }
    return n;
}

/* Where the first mistake is; s.len when there is none. */
static size_t utf8_check(struct span s, size_t *bad)
{
    size_t i = 0;

    while (i < s.len) {
        size_t n = utf8_char((struct span){s.at + i, s.len - i}, bad);

        if (n == 0)
            return i;
        i += n;
    }
    return s.len;
}

/* --- request line ------------------------------------------------------ */

/* The path of an absolute path or of an http:// URI; "" of anything else. */
static struct span path_of(struct span uri)
{
    static const char scheme[] = "http://";
    const size_t n = sizeof(scheme) - 1;
    struct span rest = uri;
    const char *slash;

    if (uri.len >= n && memcmp(uri.at, scheme, n) == 0)
        rest = (struct span){uri.at + n, uri.len - n};
    else if (uri.at[0] != '/')
        return (struct span){uri.at, 0};
    slash = memchr(rest.at, '/', rest.len);
    if (!slash)
        return (struct span){uri.at, 0};
    return (struct span){slash, rest.len - (size_t)(slash - rest.at)};
}

static bool request_line(struct sq_http_parser *p, struct span line)
{
    const char *sp1 = memchr(line.at, ' ', line.len), *sp2;
    struct span method, uri, version, path;
    size_t i, bad;

    if (!sp1)
        return refuse(p, "Invalid request.");
    method = (struct span){line.at, (size_t)(sp1 - line.at)};
    sp2 = memchr(sp1 + 1, ' ', line.len - method.len - 1);
    if (!sp2)
        return refuse(p, "Invalid request.");
    uri = (struct span){sp1 + 1, (size_t)(sp2 - sp1 - 1)};
    version = (struct span){sp2 + 1, line.len - method.len - uri.len - 2};
    for (i = 0; i < SQ_ARRAY_LEN(methods); i++)
        if (equals(method, methods[i]))
            break;
    if (i == SQ_ARRAY_LEN(methods))
        return refuse(p, "Invalid HTTP Method: Unsupported HTTP method.");
    p->method = (enum sq_http_method)i;
    if (uri.len == 0)
        return refuse(p, "Invalid URI: Empty URI not allowed.");
    if (utf8_check(uri, &bad) != uri.len || memchr(uri.at, '\0', uri.len))
        return refuse(p, "Invalid URI: Cannot parse URI as UTF-8.");
    p->http10 = equals(version, "HTTP/1.0");
    if (!p->http10 && !equals(version, "HTTP/1.1"))
        return refuse(p, "Invalid HTTP Version: Unsupported HTTP version.");
    path = path_of(uri);
    memcpy(p->path, path.at, path.len);
    p->path[path.len] = '\0'; /* a line has room for more than its URI */
    p->path_len = path.len;
    p->content_len = 0;
    p->expect = false;
    p->body_len = 0;
    return true;
}

/* --- headers ----------------------------------------------------------- */

#define SPAN_ARG(s) (int)(s).len, (s).at

static bool bad_value(struct sq_http_parser *p, struct span key,
                      struct span value)
{
    return refuse(p, "Invalid header. Reason: Invalid value. Key:%.*s; "
                  "Value:%.*s", SPAN_ARG(key), SPAN_ARG(value));
}

static bool content_length(struct sq_http_parser *p, struct span key,
                           struct span value)
{
    struct span digits = trim(value);
    uint64_t n = 0;

    if (digits.len && digits.at[0] == '+') {
        digits.at++;
        digits.len--;
    }
    if (digits.len == 0)
        return bad_value(p, key, value);
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9')
            return bad_value(p, key, value);
        n = n * 10 + (uint64_t)(digits.at[i] - '0');
        if (n > UINT32_MAX)
            return bad_value(p, key, value);
    }
    p->content_len = (uint32_t)n;
    return true;
}

/* Only a client that rules out the plain form cannot be served. */
static bool accept_encoding(struct sq_http_parser *p, struct span value)
{
    static const struct span name = {"Accept-Encoding", 15};
    struct span rest = trim(value);
    bool identity = memmem(rest.at, rest.len, "identity", 8) != NULL;

    if (rest.len == 0)
        return refuse(p, "Invalid request.");
    while (true) {
        const char *comma = memchr(rest.at, ',', rest.len);
        struct span one = rest;

        if (comma)
            one.len = (size_t)(comma - rest.at);
        if (equals(trim(one), "identity;q=0") ||
            (equals(trim(one), "*;q=0") && !identity))
            return bad_value(p, name, one);
        if (!comma)
            return true;
        rest.len -= one.len + 1;
        rest.at = comma + 1;
    }
}

static bool header_line(struct sq_http_parser *p, struct span line)
{
    size_t bad, at = utf8_check(line, &bad);
    const char *colon = memchr(line.at, ':', line.len);
    struct span key, value;

    if (at != line.len && bad)
        return refuse(p, "Invalid header. Reason: Header contains invalid "
                      "characters. Key: invalid utf-8 sequence of %zu bytes "
                      "from index %zu", bad, at);
    if (at != line.len)
        return refuse(p, "Invalid header. Reason: Header contains invalid "
                      "characters. Key: incomplete utf-8 byte sequence from "
                      "index %zu", at);
    if (!colon)
        return refuse(p, "Invalid header. Reason: Header is incorrectly "
                      "formatted. Key: %.*s", SPAN_ARG(line));
    key = (struct span){line.at, (size_t)(colon - line.at)};
    value = (struct span){colon + 1, line.len - key.len - 1};
    if (equals_nocase(trim(key), "content-length"))
        return content_length(p, key, value);
    if (equals_nocase(trim(key), "accept-encoding"))
        return accept_encoding(p, value);
    if (equals_nocase(trim(key), "expect") &&
        equals(trim(value), "100-continue"))
        p->expect = true;
    return true; /* no other header changes anything */
}

/* A line that fills the buffer and has no end. */
static void line_too_long(struct sq_http_parser *p)
{
    static const char start[] = "Invalid header. Reason: Invalid content "
                                "length. Header: ";
    size_t out = sizeof(start) - 1, i = 0, bad;

    if (p->state == SQ_HTTP_REQUEST_LINE) {
        refuse(p, "Invalid request.");
        return;
    }
    memcpy(p->error, start, sizeof(start));
    while (i < p->line_len) {
        struct span rest = {p->line + i, p->line_len - i};
        size_t n = utf8_char(rest, &bad);

        if (n) {
            memcpy(p->error + out, rest.at, n);
            out += n;
            i += n;
        } else {
            memcpy(p->error + out, "\xef\xbf\xbd", 3);
            out += 3;
            i += bad ? bad : rest.len;
        }
    }
    p->error[out] = '\0';
}

/* --- the state machine ------------------------------------------------- */

static void complete(struct sq_http_parser *p,
                     const struct sq_http_sink *sink)
{
    struct sq_http_request request = {
        .method = p->method,
        .path = p->path,
        .body = p->content_len ? p->body : NULL,
        .body_len = p->content_len,
    };

    p->state = SQ_HTTP_REQUEST_LINE;
    if (!sink)
        return;
    p->body[p->content_len] = '\0';
    sink->request(sink->ctx, &request);
}

static bool end_of_headers(struct sq_http_parser *p,
                           const struct sq_http_sink *sink)
{
    if (p->content_len == 0) {
        complete(p, sink);
        return true;
    }
    if (p->content_len > p->payload_max)
        return refuse(p, "Request payload with size %u is larger than the "
                      "limit of %zu allowed by server.", p->content_len,
                      p->payload_max);
    if (p->expect && sink)
        sink->proceed(sink->ctx, p->http10);
    p->state = SQ_HTTP_BODY;
    return true;
}

static bool take_line(struct sq_http_parser *p, struct span line,
                      const struct sq_http_sink *sink)
{
    if (p->state == SQ_HTTP_REQUEST_LINE) {
        if (!request_line(p, line))
            return false;
        p->state = SQ_HTTP_HEADERS;
        return true;
    }
    return line.len ? header_line(p, line) : end_of_headers(p, sink);
}

/* Without a sink: only a rehearsal, nothing outside *p changes. */
static bool run(struct sq_http_parser *p, const char *bytes, size_t len,
                const struct sq_http_sink *sink)
{
    size_t i = 0;

    while (i < len) {
        if (p->state == SQ_HTTP_BODY) {
            size_t n = p->content_len - p->body_len;

            if (n > len - i)
                n = len - i;
            if (sink)
                memcpy(p->body + p->body_len, bytes + i, n);
            p->body_len += n;
            i += n;
            if (p->body_len == p->content_len)
                complete(p, sink);
            continue;
        }
        p->line[p->line_len++] = bytes[i++];
        if (p->line_len >= 2 && p->line[p->line_len - 1] == '\n' &&
            p->line[p->line_len - 2] == '\r') {
            struct span line = {p->line, p->line_len - 2};

            p->line_len = 0;
            if (!take_line(p, line, sink))
                return false;
        } else if (p->line_len == sizeof(p->line)) {
            line_too_long(p);
            return false;
        }
    }
    return true;
}

void sq_http_init(struct sq_http_parser *p, char *body, size_t payload_max)
{
    memset(p, 0, sizeof(*p));
    p->body = body;
    p->payload_max = payload_max;
}

size_t sq_http_room(const struct sq_http_parser *p)
{
    if (p->state == SQ_HTTP_BODY) {
        size_t rest = p->content_len - p->body_len;

        return rest > sizeof(p->line) ? rest : sizeof(p->line);
    }
    return sizeof(p->line) - p->line_len;
}

bool sq_http_feed(struct sq_http_parser *p, const char *bytes, size_t len,
                  const struct sq_http_sink *sink)
{
    struct sq_http_parser rehearsal;

    /* Most of a long body needs no rehearsal: nothing can go wrong. */
    if (p->state != SQ_HTTP_BODY || p->content_len - p->body_len < len) {
        rehearsal = *p;
        if (!run(&rehearsal, bytes, len, NULL)) {
            memcpy(p->error, rehearsal.error, sizeof(p->error));
            p->state = SQ_HTTP_REQUEST_LINE;
            p->line_len = 0;
            return false;
        }
    }
    return run(p, bytes, len, sink);
}

/* --- answers ----------------------------------------------------------- */

size_t sq_http_head(char head[SQ_HTTP_HEAD_MAX], unsigned status,
                    bool deprecated, long long body_len)
{
    int n = snprintf(head, SQ_HTTP_HEAD_MAX,
                     "HTTP/1.1 %u \r\n"
                     "Server: Firecracker API\r\n"
                     "Connection: keep-alive\r\n"
                     "%s", status, deprecated ? "Deprecation: true\r\n" : "");

    if (body_len < 0)
        n += snprintf(head + n, SQ_HTTP_HEAD_MAX - (size_t)n, "\r\n");
    else
        n += snprintf(head + n, SQ_HTTP_HEAD_MAX - (size_t)n,
                      "Content-Type: application/json\r\n"
                      "Content-Length: %lld\r\n\r\n", body_len);
    return (size_t)n;
}

size_t sq_http_proceed(char head[SQ_HTTP_HEAD_MAX], bool http10)
{
    size_t n = sq_http_head(head, 100, false, -1);

    if (http10)
        head[sizeof("HTTP/1.") - 1] = '0';
    return n;
}

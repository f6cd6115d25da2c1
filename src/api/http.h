/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 as Firecracker's server speaks it (micro-http 7975fe0e, its
 * src/connection.rs, request.rs, response.rs and common/headers.rs): what
 * it accepts, what it refuses and with which words, and how answers look.
 *
 * Pure: bytes in, requests out; no I/O and no allocation. One thread at a
 * time.
 */
#ifndef SQ_API_HTTP_H
#define SQ_API_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest request line or header line, with its CR LF. */
#define SQ_HTTP_LINE_MAX 1024u
/* What sq_http_head() writes at most, with the NUL. */
#define SQ_HTTP_HEAD_MAX 256u
/* The longest text of an error, with the NUL: a line in which each byte was
 * replaced by U+FFFD, and the words around it. */
#define SQ_HTTP_ERROR_MAX (3u * SQ_HTTP_LINE_MAX + 128u)

enum sq_http_method {
    SQ_HTTP_GET,
    SQ_HTTP_PUT,
    SQ_HTTP_PATCH,
    SQ_HTTP_DELETE,
};

const char *sq_http_method_name(enum sq_http_method method);

/* Valid during the call that hands it over. */
struct sq_http_request {
    enum sq_http_method method;
    /* The absolute path; "" when the URI has none. UTF-8, no NUL inside,
     * not decoded, ended by a NUL. */
    const char *path;
    /* NULL when there is none (Content-Length absent or 0). May hold any
     * byte; a NUL follows it. */
    const char *body;
    size_t body_len;
};

/* Where complete requests go, in order. */
struct sq_http_sink {
    void (*request)(void *ctx, const struct sq_http_request *request);
    /* The client waits for "100 Continue" in the version it spoke. */
    void (*proceed)(void *ctx, bool http10);
    void *ctx;
};

enum sq_http_state {
    SQ_HTTP_REQUEST_LINE,
    SQ_HTTP_HEADERS,
    SQ_HTTP_BODY,
};

struct sq_http_parser {
    enum sq_http_state state;
    enum sq_http_method method;
    bool http10, expect;
    uint32_t content_len;
    size_t payload_max; /* bytes of body accepted */
    size_t line_len, path_len, body_len;
    char line[SQ_HTTP_LINE_MAX]; /* the unfinished one */
    char path[SQ_HTTP_LINE_MAX];
    char *body; /* the owner's, payload_max + 1 bytes */
    char error[SQ_HTTP_ERROR_MAX];
};

/* body has payload_max + 1 bytes and outlives the parser. */
void sq_http_init(struct sq_http_parser *p, char *body, size_t payload_max);

/* How many bytes the next sq_http_feed() may bring; never 0. Whoever reads
 * no more than this from a socket sees requests and errors in the same
 * groups as Firecracker's clients do. */
size_t sq_http_room(const struct sq_http_parser *p);

/* Takes len <= sq_http_room() bytes and hands on the requests that they
 * complete. False when something in them is not acceptable: then none of
 * these requests was handed on, p->error says why, and a request line is
 * expected next. */
bool sq_http_feed(struct sq_http_parser *p, const char *bytes, size_t len,
                  const struct sq_http_sink *sink);

/* Writes status line and headers of an answer; returns their length.
 * body_len < 0: no body and none announced (100, 204). */
size_t sq_http_head(char head[SQ_HTTP_HEAD_MAX], unsigned status,
                    bool deprecated, long long body_len);

/* Like sq_http_head() for 100, in the version the client spoke. */
size_t sq_http_proceed(char head[SQ_HTTP_HEAD_MAX], bool http10);

/* The complete answer to one connection too many. */
extern const char sq_http_full[];

#endif

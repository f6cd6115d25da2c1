/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP parser: requests in any pieces, limits, refusals, answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "api/http.h"
#include "base/util.h"

#define PAYLOAD 64

struct seen {
    struct sq_http_parser p;
    char body[PAYLOAD + 1];
    char text[8192]; /* "GET /path body;" for each request */
    size_t len;
};

static void on_request(void *ctx, const struct sq_http_request *r)
{
    struct seen *s = ctx;

    s->len += (size_t)snprintf(s->text + s->len, sizeof(s->text) - s->len,
                               "%s %s %.*s;", sq_http_method_name(r->method),
                               r->path, (int)r->body_len,
                               r->body ? r->body : "");
}

static void on_proceed(void *ctx, bool http10)
{
    struct seen *s = ctx;

    s->len += (size_t)snprintf(s->text + s->len, sizeof(s->text) - s->len,
                               "100 in 1.%d;", !http10);
}

static void begin(struct seen *s)
{
    memset(s, 0, sizeof(*s));
    sq_http_init(&s->p, s->body, PAYLOAD);
}

/* Feeds in pieces of at most `piece` bytes. */
static bool feed(struct seen *s, const char *bytes, size_t len, size_t piece)
{
    const struct sq_http_sink sink = {on_request, on_proceed, s};

    while (len) {
        size_t room = sq_http_room(&s->p), n = len < piece ? len : piece;

        assert_true(room > 0);
        if (n > room)
            n = room;
        if (!sq_http_feed(&s->p, bytes, n, &sink))
            return false;
        bytes += n;
        len -= n;
    }
    return true;
}

static void good(const char *bytes, const char *want)
{
    static const size_t pieces[] = {1, 2, 3, 7, 100, 100000};

    for (size_t i = 0; i < SQ_ARRAY_LEN(pieces); i++) {
        struct seen s;

        begin(&s);
        assert_true(feed(&s, bytes, strlen(bytes), pieces[i]));
        assert_string_equal(s.text, want);
    }
}

static void bad(const char *bytes, const char *want)
{
    struct seen s;

    begin(&s);
    assert_false(feed(&s, bytes, strlen(bytes), 100000));
    assert_string_equal(s.p.error, want);
    assert_string_equal(s.text, "");
    /* A request line is expected next. */
    assert_true(feed(&s, "GET /x HTTP/1.1\r\n\r\n", 19, 100));
    assert_string_equal(s.text, "GET /x ;");
}

static void requests_in_any_pieces(void **state)
{
    (void)state;
    good("GET / HTTP/1.1\r\n\r\n", "GET / ;");
    good("GET /a/b/ HTTP/1.0\r\nHost: x\r\nA:\r\n:b\r\n\r\n", "GET /a/b/ ;");
    good("PUT /x HTTP/1.1\r\nContent-Length: 5\r\n\r\na\r\n\r\n",
         "PUT /x a\r\n\r\n;");
    good("PATCH /x HTTP/1.1\r\ncontent-LENGTH :  +3 \r\n\r\nabcDELETE /y "
         "HTTP/1.1\r\n\r\n", "PATCH /x abc;DELETE /y ;");
    good("PUT /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "PUT /x ;");
    /* The last length counts. */
    good("PUT /x HTTP/1.1\r\nContent-Length: 9\r\nContent-Length: 1\r\n\r\nz",
         "PUT /x z;");
}

static void where_a_path_begins(void **state)
{
    (void)state;
    good("GET http://localhost/a HTTP/1.1\r\n\r\n", "GET /a ;");
    good("GET http://localhost:80 HTTP/1.1\r\n\r\n", "GET  ;");
    good("GET http:// HTTP/1.1\r\n\r\n", "GET  ;");
    good("GET a/b HTTP/1.1\r\n\r\n", "GET  ;");
    good("GET //a?b=%20 HTTP/1.1\r\n\r\n", "GET //a?b=%20 ;");
    good("GET /\xc3\xa4 HTTP/1.1\r\n\r\n", "GET /\xc3\xa4 ;");
}

static void expectations(void **state)
{
    (void)state;
    good("PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n"
         "\r\nz", "100 in 1.1;PUT /x z;");
    good("PUT /x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n"
         "\r\nz", "100 in 1.0;PUT /x z;");
    /* Without a body nobody waits; other words mean nothing. */
    good("PUT /x HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", "PUT /x ;");
    good("PUT /x HTTP/1.1\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\nz",
         "PUT /x z;");
}

static void refusals(void **state)
{
    static const char header[] = "Invalid header. Reason: ";
    char want[256];

    (void)state;
    bad("GET\r\n", "Invalid request.");
    bad("GET /\r\n", "Invalid request.");
    bad("\r\n", "Invalid request.");
    bad("Get / HTTP/1.1\r\n", "Invalid HTTP Method: Unsupported HTTP "
        "method.");
    bad(" GET / HTTP/1.1\r\n", "Invalid HTTP Method: Unsupported HTTP "
        "method.");
    bad("GET  HTTP/1.1\r\n", "Invalid URI: Empty URI not allowed.");
    bad("GET /\xff HTTP/1.1\r\n", "Invalid URI: Cannot parse URI as UTF-8.");
    bad("GET / HTTP/1.2\r\n", "Invalid HTTP Version: Unsupported HTTP "
        "version.");
    bad("GET / HTTP/1.1 \r\n", "Invalid HTTP Version: Unsupported HTTP "
        "version.");
    snprintf(want, sizeof(want), "%sHeader is incorrectly formatted. Key: "
             "abc", header);
    bad("GET / HTTP/1.1\r\nabc\r\n", want);
    snprintf(want, sizeof(want), "%sInvalid value. Key:Content-Length; "
             "Value: -1", header);
    bad("GET / HTTP/1.1\r\nContent-Length: -1\r\n", want);
    snprintf(want, sizeof(want), "%sInvalid value. Key:content-length; "
             "Value:", header);
    bad("GET / HTTP/1.1\r\ncontent-length:\r\n", want);
    snprintf(want, sizeof(want), "%sHeader contains invalid characters. Key: "
             "invalid utf-8 sequence of 1 bytes from index 3", header);
    bad("GET / HTTP/1.1\r\na: \xff\r\n", want);
    snprintf(want, sizeof(want), "%sHeader contains invalid characters. Key: "
             "incomplete utf-8 byte sequence from index 3", header);
    bad("GET / HTTP/1.1\r\na: \xc3\r\n", want);
    bad("PUT / HTTP/1.1\r\nContent-Length: 65\r\n\r\n", "Request payload "
        "with size 65 is larger than the limit of 64 allowed by server.");
}

static void encodings(void **state)
{
    static const char *const fine[] = {"gzip", "*;q=0, identity", "x;q=0"};
    static const char *const wrong[] = {"identity;q=0", "gzip,identity;q=0",
                                        "*;q=0"};
    char text[128];

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(fine); i++) {
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nAccept-Encoding: %s"
                 "\r\n\r\n", fine[i]);
        good(text, "GET / ;");
    }
    for (size_t i = 0; i < SQ_ARRAY_LEN(wrong); i++) {
        struct seen s;

        begin(&s);
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nAccept-Encoding: %s"
                 "\r\n\r\n", wrong[i]);
        assert_false(feed(&s, text, strlen(text), 1000));
        assert_non_null(strstr(s.p.error, "Key:Accept-Encoding; Value:"));
    }
    bad("GET / HTTP/1.1\r\nAccept-Encoding: \r\n\r\n", "Invalid request.");
}

static void bad_ones_take_good_ones_along(void **state)
{
    struct seen s;

    (void)state;
    bad("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nnonsense\r\n",
        "Invalid request.");
    /* In another read the good one was answered before. */
    begin(&s);
    assert_true(feed(&s, "GET /a HTTP/1.1\r\n\r\n", 19, 100));
    assert_false(feed(&s, "nonsense\r\n", 10, 100));
    assert_string_equal(s.text, "GET /a ;");
}

static void long_lines(void **state)
{
    char line[2 * SQ_HTTP_LINE_MAX];
    struct seen s;

    (void)state;
    /* 1024 bytes with the line's end. */
    memset(line, 'a', sizeof(line));
    memcpy(line, "GET /", 5);
    memcpy(line + SQ_HTTP_LINE_MAX - 11, " HTTP/1.1\r\n\r\n", 13);
    begin(&s);
    assert_true(feed(&s, line, SQ_HTTP_LINE_MAX + 2, 100000));
    assert_int_equal(s.len, 4 + 1009 + 2);
    /* One more. */
    memset(line, 'a', sizeof(line));
    memcpy(line, "GET /", 5);
    begin(&s);
    assert_false(feed(&s, line, SQ_HTTP_LINE_MAX, 100000));
    assert_string_equal(s.p.error, "Invalid request.");
    /* A header line; bytes that are no text are replaced. */
    memset(line, 'h', sizeof(line));
    memset(line, '\xff', 4);
    begin(&s);
    assert_true(feed(&s, "GET / HTTP/1.1\r\n", 16, 100));
    assert_false(feed(&s, line, SQ_HTTP_LINE_MAX, 100000));
    assert_ptr_equal(strstr(s.p.error, "Invalid header. Reason: Invalid "
                            "content length. Header: "
                            "\xef\xbf\xbd\xef\xbf\xbd"), s.p.error);
    memset(line, '\xff', sizeof(line));
    assert_true(feed(&s, "GET / HTTP/1.1\r\n", 16, 100));
    assert_false(feed(&s, line, SQ_HTTP_LINE_MAX, 100000));
    assert_true(strlen(s.p.error) < sizeof(s.p.error));
}

static void answers(void **state)
{
    char head[SQ_HTTP_HEAD_MAX];
    const char *full = strstr(sq_http_full, "\r\n\r\n");
    size_t len;

    (void)state;
    len = sq_http_head(head, 204, false, -1);
    assert_int_equal(len, strlen(head));
    assert_string_equal(head, "HTTP/1.1 204 \r\nServer: Firecracker API\r\n"
                        "Connection: keep-alive\r\n\r\n");
    sq_http_head(head, 400, true, 51200);
    assert_string_equal(head, "HTTP/1.1 400 \r\nServer: Firecracker API\r\n"
                        "Connection: keep-alive\r\nDeprecation: true\r\n"
                        "Content-Type: application/json\r\n"
                        "Content-Length: 51200\r\n\r\n");
    sq_http_proceed(head, true);
    assert_string_equal(head, "HTTP/1.0 100 \r\nServer: Firecracker API\r\n"
                        "Connection: keep-alive\r\n\r\n");
    assert_int_equal(strlen(full + 4), 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_in_any_pieces),
        cmocka_unit_test(where_a_path_begins),
        cmocka_unit_test(expectations),
        cmocka_unit_test(refusals),
        cmocka_unit_test(encodings),
        cmocka_unit_test(bad_ones_take_good_ones_along),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

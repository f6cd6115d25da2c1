/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata service: its document, its HTTP, and its end of TCP against
 * a guest's stack of a few lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "mmds/internal.h"
#include "mmds/tcp.h"

static int setup(void **state)
{
    struct sq_mmds *m;

    assert_int_equal(sq_mmds_new(SQ_MMDS_LIMIT_DEFAULT, &m, NULL), 0);
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    sq_mmds_free(*state);
    return 0;
}

static void load(struct sq_mmds *m, const char *text)
{
    struct squib_error err = {0};

    if (sq_mmds_load(m, text, strlen(text), &err))
        fail_msg("%s: %s", text, err.text);
}

static int patch(struct sq_mmds *m, const char *text,
                 struct squib_error *err)
{
    json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);
    int rc;

    assert_non_null(v);
    rc = sq_mmds_patch(m, v, err);
    json_decref(v);
    return rc;
}

static void holds(struct sq_mmds *m, const char *want)
{
    char *got = sq_mmds_get(m);

    assert_string_equal(got, want);
    free(got);
}

/* ---- The document ---- */

static void document_comes_back(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{\"b\": 1, \"a\": [ ] , \"c\": { } }",
         "{\"a\":[],\"b\":1,\"c\":{}}"},
        {"[1, -2, 1.5, 1.0, 12.12, 1e21, 0.1, 1e-7]",
         "[1,-2,1.5,1.0,12.12,1e+21,0.1,1e-7]"},
        {"[true, false, null, \"\"]", "[true,false,null,\"\"]"},
        {"\"\\u0001\\n\\\"\\\\\\/\\u00e9\"",
         "\"\\u0001\\n\\\"\\\\/\xc3\xa9\""},
        {"5", "5"},
        {"null", "{}"},
    };
    struct sq_mmds *m = *state;

    assert_false(sq_mmds_initialized(m));
    holds(m, "{}");
    for (size_t i = 0; i < SQ_ARRAY_LEN(cases); i++) {
        load(m, cases[i].in);
        holds(m, cases[i].out);
    }
    assert_true(sq_mmds_initialized(m));
    assert_int_equal(sq_mmds_load(m, "{]", 2, NULL), SQUIB_E_FORMAT);
    holds(m, "{}");
}

/* The examples of RFC 7396, appendix A. */
static void merges(void **state)
{
    static const struct {
        const char *was, *patch, *is;
    } cases[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
         "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    struct sq_mmds *m = *state;
    struct squib_error err = {0};

    assert_int_equal(patch(m, "{}", &err), SQUIB_E_STATE);
    assert_string_equal(err.text, "The MMDS data store is not initialized.");
    for (size_t i = 0; i < SQ_ARRAY_LEN(cases); i++) {
        load(m, cases[i].was);
        assert_int_equal(patch(m, cases[i].patch, NULL), 0);
        holds(m, cases[i].is);
    }
}

static void size_is_limited(void **state)
{
    struct sq_mmds *m;
    struct squib_error err = {0};

    (void)state;
    assert_int_equal(sq_mmds_new(10, &m, NULL), 0);
    load(m, "{\"a\":  1234 }"); /* 10 when compact */
    assert_int_equal(sq_mmds_load(m, "{\"a\":12345}", 11, &err),
                     SQUIB_E_RANGE);
    assert_string_equal(err.text, "The MMDS patch request doesn't fit.");
    assert_int_equal(patch(m, "{\"b\":1}", NULL), SQUIB_E_RANGE);
    holds(m, "{\"a\":1234}");
    assert_int_equal(patch(m, "{\"a\":null,\"b\":1}", NULL), 0);
    holds(m, "{\"b\":1}");
    sq_mmds_free(m);
}

static void addresses_are_link_local(void **state)
{
    static const char *const bad[] = {"169.254.0.1", "169.254.255.1",
                                      "169.253.1.1", "10.0.0.1", "", "x",
                                      "169.254.1", "169.254.1.1 "};
    uint8_t ip[4];

    (void)state;
    assert_true(sq_mmds_parse_ipv4("169.254.1.0", ip));
    assert_true(sq_mmds_parse_ipv4("169.254.254.255", ip));
    assert_memory_equal(ip, "\xa9\xfe\xfe\xff", 4);
    for (size_t i = 0; i < SQ_ARRAY_LEN(bad); i++)
        assert_false(sq_mmds_parse_ipv4(bad[i], ip));
}

/* ---- HTTP ---- */

/* The answer to a request, NUL-terminated. */
static char *ask(struct sq_mmds *m, const char *request, size_t len)
{
    struct sq_mmds_text out = {0};

    sq_mmds_answer(m, request, len, &out);
    sq_mmds_text_add(&out, "", 1);
    assert_false(out.failed);
    return out.s;
}

static const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");

    assert_non_null(end);
    return end + 4;
}

static void expect(struct sq_mmds *m, const char *request,
                   const char *status, const char *body)
{
    char *got = ask(m, request, strlen(request));
    char line[40];

    snprintf(line, sizeof(line), "HTTP/1.1 %s \r\n", status);
    if (strncmp(got, line, strlen(line)) != 0 ||
        strcmp(body_of(got), body) != 0)
        fail_msg("%s\n-> %s\nnot %s %s", request, got, status, body);
    free(got);
}

#define DOCUMENT                                                           \
    "{\"latest\": {\"meta-data\": {\"ami-id\": \"ami-1\", \"n\": {"        \
    "\"x\": 1}}, \"list\": [\"zero\", {\"deep\": \"yes\"}]}, \"age\": 43," \
    "\"a/b\": \"slash\", \"m~n\": \"tilde\"}"
#define GET(path) "GET " path " HTTP/1.1\r\n\r\n"
#define GET_JSON(path) "GET " path " HTTP/1.1\r\nAccept: "                 \
    "application/json\r\n\r\n"

static void answers_requests(void **state)
{
    static const struct {
        const char *request, *status, *body;
    } cases[] = {
        {GET("/"), "200", "a/b\nage\nlatest/\nm~n"},
        {GET("/latest"), "200", "list\nmeta-data/"},
        {GET("/latest/"), "200", "list\nmeta-data/"},
        {GET("//latest///meta-data//"), "200", "ami-id\nn/"},
        {GET("/latest/meta-data/ami-id"), "200", "ami-1"},
        {GET("http://169.254.169.254/latest/meta-data/ami-id"), "200",
         "ami-1"},
        {GET("/latest/list/0"), "200", "zero"},
        {GET("/latest/list/1/deep"), "200", "yes"},
        {GET("/latest/list/2"), "404",
         "Resource not found: /latest/list/2."},
        {GET("/latest/list/01"), "404",
         "Resource not found: /latest/list/01."},
        {GET("/latest/list/-1"), "404",
         "Resource not found: /latest/list/-1."},
        {GET("/a~1b"), "200", "slash"},
        {GET("/m~0n"), "200", "tilde"},
        {GET("/nope//x"), "404", "Resource not found: /nope//x."},
        {GET("/age"), "501", "Cannot retrieve value. The value has an "
                             "unsupported type."},
        {GET("/latest/list"), "501", "Cannot retrieve value. The value has "
                                     "an unsupported type."},
        {GET_JSON("/age"), "200", "43"},
        {GET_JSON("/latest/list"), "200", "[\"zero\",{\"deep\":\"yes\"}]"},
        {GET_JSON("/latest/meta-data"), "200",
         "{\"ami-id\":\"ami-1\",\"n\":{\"x\":1}}"},
        {"GET /age HTTP/1.1\r\naccept:application/json\r\nHost: x\r\n\r\n",
         "200", "43"},
        {"GET /age HTTP/1.1\r\nAccept: text/html\r\n\r\n", "501",
         "Cannot retrieve value. The value has an unsupported type."},
        {GET("nope"), "400", "Invalid URI."},
        {GET("http://host"), "400", "Invalid URI."},
        {"PATCH / HTTP/1.1\r\n\r\n", "405", "Not allowed HTTP method."},
        {"DELETE / HTTP/1.1\r\n\r\n", "405", "Not allowed HTTP method."},
        {"POST / HTTP/1.1\r\n\r\n", "501", "Unsupported HTTP method."},
        {"get /x HTTP/1.1\r\n\r\n", "501", "Unsupported HTTP method."},
        {"GET / HTTP/2.0\r\n\r\n", "501", "Unsupported HTTP version."},
        {"GET  HTTP/1.1 \r\n\r\n", "400", "Empty URI not allowed."},
        {"GET /latestHTTP/1.1\r\n\r\n", "400", "Invalid request."},
        {"GET / HTTP/1.1\n\n", "400", "Invalid request."},
        {"\r\n\r\n", "400", "Invalid request."},
        {"GET /latest HTTP/1.1\r\nNo colon\r\n\r\n", "400",
         "Header is incorrectly formatted. Key: No colon"},
        {"GET /latest HTTP/1.1\r\nContent-Length: 2\r\n\r\n", "400",
         "Invalid request."},
        {"GET /latest HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400",
         "Invalid value. Key:Content-Length; Value: x"},
        {"GET /a HTTP/1.1\r\nAccept-Encoding: gzip, identity;q=0\r\n\r\n",
         "400", "Invalid value. Key:Accept-Encoding; Value: identity;q=0"},
        {"PUT /latest/api/toke HTTP/1.1\r\n\r\n", "404",
         "Resource not found: /latest/api/toke."},
        {"PUT /latest/api/token HTTP/1.1\r\nX-Forwarded-For: a\r\n\r\n",
         "400", "Invalid header. Reason: Unsupported header name. Key: "
                "X-Forwarded-For"},
        {"PUT /latest/api/token HTTP/1.1\r\n\r\n", "400",
         "Token time to live value not found. Use "
         "`X-metadata-token-ttl-seconds` or "
         "`X-aws-ec2-metadata-token-ttl-seconds` header to specify the "
         "token's lifetime."},
        {"PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: "
         "-1\r\n\r\n", "400", "Invalid header. Reason: Invalid value. Key:"
                              "X-metadata-token-ttl-seconds; Value:-1"},
        {"PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: "
         "0\r\n\r\n", "400", "Invalid time to live value provided for "
                             "token: 0. Please provide a value between 1 "
                             "and 21600."},
        {"PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: "
         "21601\r\n\r\n", "400", "Invalid time to live value provided for "
                                 "token: 21601. Please provide a value "
                                 "between 1 and 21600."},
    };
    struct sq_mmds *m = *state;

    expect(m, GET("/"), "501", "Cannot retrieve value. The value has an "
                               "unsupported type.");
    load(m, DOCUMENT);
    for (size_t i = 0; i < SQ_ARRAY_LEN(cases); i++)
        expect(m, cases[i].request, cases[i].status, cases[i].body);
}

static void answer_has_its_headers(void **state)
{
    struct sq_mmds *m = *state;
    char *got;

    load(m, "{\"a\": \"xyz\"}");
    got = ask(m, "GET /a HTTP/1.0\r\n\r\n", 19);
    assert_string_equal(got, "HTTP/1.0 200 \r\nServer: Firecracker API\r\n"
                             "Connection: keep-alive\r\nContent-Type: "
                             "text/plain\r\nContent-Length: 3\r\n\r\nxyz");
    free(got);
    got = ask(m, "DELETE /a HTTP/1.1\r\n\r\n", 22);
    assert_non_null(strstr(got, "keep-alive\r\nAllow: GET, PUT\r\nContent"));
    free(got);
}

static void imds_compat_ignores_accept(void **state)
{
    struct sq_mmds *m = *state;
    struct sq_mmds_config config = sq_mmds_config(m);
    char *got;

    config.imds_compat = true;
    sq_mmds_configure(m, &config);
    load(m, "{\"a\": \"xyz\"}");
    got = ask(m, GET_JSON("/a"), strlen(GET_JSON("/a")));
    assert_string_equal(body_of(got), "xyz");
    free(got);
}

static void tokens(void **state)
{
    struct sq_mmds *m = *state;
    struct sq_mmds_config config = sq_mmds_config(m);
    const struct sq_mmds_counters *c = sq_mmds_counters(m);
    char request[256], token[64], *got;
    const char *put = "PUT /latest/api/token HTTP/1.1\r\n"
                      "x-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n";

    config.version = SQ_MMDS_V2;
    sq_mmds_configure(m, &config);
    load(m, "{\"a\": \"xyz\"}");
    expect(m, GET("/a"), "401",
           "No MMDS token provided. Use `X-metadata-token` or "
           "`X-aws-ec2-metadata-token` header to specify the session "
           "token.");
    assert_int_equal(atomic_load(&c->rx_no_token), 1);
    got = ask(m, put, strlen(put));
    assert_non_null(strstr(got, "200 \r\n"));
    assert_non_null(
        strstr(got, "\r\nx-aws-ec2-metadata-token-ttl-seconds: 60\r\n"));
    assert_int_equal(strlen(body_of(got)), SQ_MMDS_TOKEN_LEN);
    strcpy(token, body_of(got));
    free(got);
    snprintf(request, sizeof(request), "GET /a HTTP/1.1\r\n"
             "X-Metadata-Token: %s\r\n\r\n", token);
    expect(m, request, "200", "xyz");
    /* Any other character anywhere: not ours. */
    for (unsigned i = 0; i < SQ_MMDS_TOKEN_LEN; i++) {
        char bad[64];

        strcpy(bad, token);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        snprintf(request, sizeof(request), "GET /a HTTP/1.1\r\n"
                 "X-metadata-token: %s\r\n\r\n", bad);
        expect(m, request, "401", "MMDS token not valid.");
    }
    assert_int_equal(atomic_load(&c->rx_invalid_token), SQ_MMDS_TOKEN_LEN);
    expect(m, "GET /a HTTP/1.1\r\nX-metadata-token: foo\r\n\r\n", "401",
           "MMDS token not valid.");
    /* V1 counts and lets everybody in. */
    config.version = SQ_MMDS_V1;
    sq_mmds_configure(m, &config);
    expect(m, GET("/a"), "200", "xyz");
    expect(m, "GET /a HTTP/1.1\r\nX-metadata-token: foo\r\n\r\n", "200",
           "xyz");
    assert_int_equal(atomic_load(&c->rx_no_token), 2);
}

static void tokens_expire(void **state)
{
    struct sq_mmds *m = *state;
    char a[SQ_MMDS_TOKEN_LEN + 1], b[SQ_MMDS_TOKEN_LEN + 1];
    uint8_t other[16] = {1};

    assert_true(sq_mmds_token_make(m->key, 1000, a));
    assert_true(sq_mmds_token_make(m->key, 1000, b));
    assert_string_not_equal(a, b);
    assert_true(sq_mmds_token_valid(m->key, a, 999));
    assert_false(sq_mmds_token_valid(m->key, a, 1000));
    assert_false(sq_mmds_token_valid(other, a, 999));
    assert_false(sq_mmds_token_valid(m->key, "", 999));
}

/* ---- A guest's end of TCP ---- */

#define FRAME_MAX 70000u

static const uint8_t service_ip[4] = {169, 254, 169, 254};
static const uint8_t guest_ip[4] = {169, 254, 0, 9};
static const uint8_t guest_mac[6] = {2, 0, 0, 0, 0, 9};

struct client {
    struct sq_mmds_net *net;
    uint16_t port, window, mss;
    uint32_t seq, ack;
    uint8_t flags; /* of the last segment that came */
    uint16_t their_window;
    size_t last_len;
    bool mute;     /* do not acknowledge data */
    size_t got_len;
    char got[400000];
};

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

static unsigned get16(const uint8_t *p) { return (unsigned)(p[0] << 8 | p[1]); }
static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint16_t sum16(const uint8_t *p, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void send_raw(struct sq_mmds_net *net, const uint8_t *frame,
                     size_t len)
{
    assert_true(sq_mmds_net_wants(
        net, frame, len < SQ_MMDS_HEAD_LEN ? len : SQ_MMDS_HEAD_LEN));
    sq_mmds_net_take(net, frame, len);
}

static size_t make(const struct client *c, uint8_t *f, unsigned to_port,
                   uint32_t seq, uint8_t flags, const void *data, size_t len)
{
    size_t options = flags & SQ_MMDS_TCP_SYN ? 12 : 0;

    memset(f, 0, 54 + options);
    memcpy(f, "\x06\x01\x23\x45\x67\x01", 6);
    memcpy(f + 6, guest_mac, 6);
    put16(f + 12, 0x800);
    f[14] = 0x45;
    put16(f + 16, (unsigned)(40 + options + len));
    f[22] = 64;
    f[23] = 6;
    memcpy(f + 26, guest_ip, 4);
    memcpy(f + 30, service_ip, 4);
    put16(f + 34, c->port);
    put16(f + 36, to_port);
    put32(f + 38, seq);
    put32(f + 42, c->ack);
    f[46] = (uint8_t)((20 + options) / 4 << 4);
    f[47] = flags;
    put16(f + 48, c->window);
    if (options) {
        /* NOP, NOP, timestamps-like, MSS */
        memcpy(f + 54, "\1\1\3\3\7\1\2\4", 8);
        put16(f + 62, c->mss);
    }
    if (len)
        memcpy(f + 54 + options, data, len);
    return 54 + options + len;
}

static void send_at(struct client *c, uint32_t seq, uint8_t flags,
                    const void *data, size_t len)
{
    static uint8_t f[FRAME_MAX];

    send_raw(c->net, f, make(c, f, 80, seq, flags, data, len));
}

/* Takes one segment, judges its frame, and acknowledges. False: none. */
static bool receive(struct client *c)
{
    static uint8_t f[FRAME_MAX];
    size_t len = sq_mmds_net_next(c->net, f, sizeof(f)), header, data;
    uint8_t pseudo[12] = {0};

    if (!len)
        return false;
    assert_memory_equal(f, guest_mac, 6);
    assert_memory_equal(f + 6, "\x06\x01\x23\x45\x67\x01\x08\0\x45", 9);
    assert_int_equal(get16(f + 16), len - 14);
    assert_int_equal(sum16(f + 14, 20, 0), 0xffff);
    assert_memory_equal(f + 26, service_ip, 4);
    assert_memory_equal(f + 30, guest_ip, 4);
    memcpy(pseudo, f + 26, 8);
    pseudo[9] = 6;
    put16(pseudo + 10, (unsigned)(len - 34));
    assert_int_equal(sum16(f + 34, len - 34, sum16(pseudo, 12, 0)), 0xffff);
    assert_int_equal(get16(f + 36), c->port);
    c->flags = f[47];
    c->their_window = (uint16_t)get16(f + 48);
    header = (size_t)(f[46] >> 4) * 4;
    data = c->last_len = len - 34 - header;
    assert_true(data <= c->mss);
    if (c->flags & SQ_MMDS_TCP_RST)
        return true;
    assert_int_equal(get32(f + 42), c->seq);
    if (c->flags & SQ_MMDS_TCP_SYN) {
        c->ack = get32(f + 38) + 1;
        return true;
    }
    if (get32(f + 38) != c->ack || c->mute)
        return true; /* again, or out of its turn */
    memcpy(c->got + c->got_len, f + 34 + header, data);
    c->got_len += data;
    c->got[c->got_len] = '\0';
    c->ack += (uint32_t)data;
    if (c->flags & SQ_MMDS_TCP_FIN)
        c->ack++;
    if (data || (c->flags & SQ_MMDS_TCP_FIN))
        send_at(c, c->seq, SQ_MMDS_TCP_ACK, NULL, 0);
    return true;
}

static void send_data(struct client *c, const void *data, size_t len)
{
    uint32_t seq = c->seq;

    c->seq += (uint32_t)len;
    send_at(c, seq, SQ_MMDS_TCP_ACK | SQ_MMDS_TCP_PSH, data, len);
}

static void send_fin(struct client *c)
{
    send_at(c, c->seq++, SQ_MMDS_TCP_FIN | SQ_MMDS_TCP_ACK, NULL, 0);
}

static void drain(struct client *c)
{
    int bound = 10000;

    while (receive(c))
        assert_true(bound-- > 0);
}

static struct client *client_new(struct sq_mmds_net *net, uint16_t port)
{
    struct client *c = calloc(1, sizeof(*c));

    c->net = net;
    c->port = port;
    c->window = 65535;
    c->mss = 1460;
    c->seq = 0xfffffff0u + port; /* wraps soon */
    return c;
}

static void client_connect(struct client *c)
{
    send_at(c, c->seq++, SQ_MMDS_TCP_SYN, NULL, 0);
    assert_true(receive(c));
    assert_int_equal(c->flags, SQ_MMDS_TCP_SYN | SQ_MMDS_TCP_ACK);
    assert_false(receive(c));
    send_at(c, c->seq, SQ_MMDS_TCP_ACK, NULL, 0);
}

static uint64_t open_connections(struct sq_mmds *m)
{
    const struct sq_mmds_counters *c = sq_mmds_counters(m);

    return atomic_load(&c->connections_created) -
           atomic_load(&c->connections_destroyed);
}

struct link {
    struct sq_mmds *m;
    struct sq_mmds_net *net;
    struct client *c;
};

static int setup_link(void **state)
{
    struct link *l = calloc(1, sizeof(*l));

    setup((void **)&l->m);
    load(l->m, "{\"a\": \"xyz\"}");
    assert_int_equal(sq_mmds_net_new(l->m, &l->net, NULL), 0);
    l->c = client_new(l->net, 40000);
    *state = l;
    return 0;
}

static int teardown_link(void **state)
{
    struct link *l = *state;

    sq_mmds_net_free(l->net);
    assert_int_equal(open_connections(l->m), 0);
    sq_mmds_free(l->m);
    free(l->c);
    free(l);
    return 0;
}

static void only_its_own_frames(void **state)
{
    struct link *l = *state;
    uint8_t f[100];
    size_t len = make(l->c, f, 80, 1, SQ_MMDS_TCP_SYN, NULL, 0);

    assert_true(sq_mmds_net_wants(l->net, f, len));
    for (size_t n = 0; n < 34; n++)
        assert_false(sq_mmds_net_wants(l->net, f, n));
    f[33]++;
    assert_false(sq_mmds_net_wants(l->net, f, len));
    f[33]--;
    put16(f + 12, 0x86dd);
    assert_false(sq_mmds_net_wants(l->net, f, len));
    /* The address may be another. */
    {
        struct sq_mmds_config config = sq_mmds_config(l->m);

        assert_true(sq_mmds_parse_ipv4("169.254.7.8", config.ipv4));
        sq_mmds_configure(l->m, &config);
    }
    put16(f + 12, 0x800);
    assert_false(sq_mmds_net_wants(l->net, f, len));
    memcpy(f + 30, "\xa9\xfe\7\x8", 4);
    assert_true(sq_mmds_net_wants(l->net, f, len));
}

static void answers_arp(void **state)
{
    struct link *l = *state;
    uint8_t f[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, out[9100];

    memcpy(f + 6, guest_mac, 6);
    memcpy(f + 12, "\x08\x06\0\1\x08\0\6\4\0\1", 10);
    memcpy(f + 22, guest_mac, 6);
    memcpy(f + 28, guest_ip, 4);
    memcpy(f + 38, service_ip, 4);
    send_raw(l->net, f, sizeof(f));
    assert_int_equal(sq_mmds_net_next(l->net, out, sizeof(out)), 42);
    assert_memory_equal(out, guest_mac, 6);
    assert_memory_equal(out + 12, "\x08\x06\0\1\x08\0\6\4\0\2", 10);
    assert_memory_equal(out + 22, "\x06\x01\x23\x45\x67\x01", 6);
    assert_memory_equal(out + 28, service_ip, 4);
    assert_memory_equal(out + 32, guest_mac, 6);
    assert_memory_equal(out + 38, guest_ip, 4);
    assert_int_equal(sq_mmds_net_next(l->net, out, sizeof(out)), 0);
    f[21] = 2; /* an answer, not a question */
    send_raw(l->net, f, sizeof(f));
    assert_int_equal(sq_mmds_net_next(l->net, out, sizeof(out)), 0);
}

#define REQUEST "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"

static unsigned answers_in(const struct client *c)
{
    unsigned n = 0;

    for (const char *p = c->got; (p = strstr(p, "\r\n\r\nxyz")); p++)
        n++;
    return n;
}

static void serves_a_connection(void **state)
{
    struct link *l = *state;
    struct client *c = l->c;

    client_connect(c);
    send_data(c, REQUEST, strlen(REQUEST));
    drain(c);
    assert_int_equal(answers_in(c), 1);
    /* Kept alive: the next, in two pieces, then two at once. */
    send_data(c, REQUEST, 9);
    drain(c);
    assert_int_equal(answers_in(c), 1);
    send_data(c, &REQUEST[9], strlen(REQUEST) - 9);
    drain(c);
    assert_int_equal(answers_in(c), 2);
    send_data(c, REQUEST REQUEST, 2 * strlen(REQUEST));
    drain(c);
    assert_int_equal(answers_in(c), 4);
    send_fin(c);
    drain(c);
    assert_true(c->flags & SQ_MMDS_TCP_FIN);
    assert_int_equal(open_connections(l->m), 0);
}

static void half_closed_clients_get_their_answer(void **state)
{
    struct link *l = *state;
    struct client *c = l->c;
    uint32_t seq = c->seq + 1;

    client_connect(c);
    c->seq += (uint32_t)strlen(REQUEST) + 1;
    send_at(c, seq, SQ_MMDS_TCP_FIN | SQ_MMDS_TCP_ACK, REQUEST,
            strlen(REQUEST));
    drain(c);
    assert_int_equal(answers_in(c), 1);
    assert_int_equal(open_connections(l->m), 0);
}

static void large_answers_keep_to_window_and_mss(void **state)
{
    struct link *l = *state;
    struct client *c = l->c;
    char *text = malloc(50100);

    memset(text, 'q', 50000);
    memcpy(text, "{\"a\":\"", 6);
    strcpy(text + 50000, "\"}");
    load(l->m, text);
    c->mss = 536;
    c->window = 2000;
    client_connect(c);
    c->mute = true;
    send_data(c, REQUEST, strlen(REQUEST));
    for (size_t flying = 0; receive(c); flying += c->last_len)
        assert_true(flying + c->last_len <= 2000);
    /* Nothing of it arrived: three duplicate ACKs bring it again. */
    c->mute = false;
    for (int i = 0; i < 3; i++)
        send_at(c, c->seq, SQ_MMDS_TCP_ACK, NULL, 0);
    drain(c);
    assert_int_equal(c->got_len, 50000 - 6 + strlen(c->got) -
                                     strlen(body_of(c->got)));
    for (const char *p = body_of(c->got); *p; p++)
        assert_int_equal(*p, 'q');
    /* A window of nothing, then an update. */
    c->got_len = 0;
    c->window = 0;
    send_data(c, REQUEST, strlen(REQUEST));
    drain(c);
    assert_int_equal(c->got_len, 0);
    c->window = 65535;
    send_at(c, c->seq, SQ_MMDS_TCP_ACK, NULL, 0);
    drain(c);
    assert_true(c->got_len > 49000);
    free(text);
}

static void repetitions_do_no_harm(void **state)
{
    struct link *l = *state;
    struct client *c = l->c;
    uint32_t seq = c->seq;

    send_at(c, seq, SQ_MMDS_TCP_SYN, NULL, 0);
    c->seq++;
    assert_true(receive(c));
    send_at(c, seq, SQ_MMDS_TCP_SYN, NULL, 0); /* ours was lost */
    assert_true(receive(c));
    assert_int_equal(c->flags, SQ_MMDS_TCP_SYN | SQ_MMDS_TCP_ACK);
    send_at(c, c->seq, SQ_MMDS_TCP_ACK, NULL, 0);
    seq = c->seq;
    send_data(c, REQUEST, 20);
    drain(c);
    send_at(c, seq, SQ_MMDS_TCP_ACK, REQUEST, 20); /* all of it again */
    drain(c);
    c->seq += (uint32_t)strlen(REQUEST) - 20;
    send_at(c, seq + 10, SQ_MMDS_TCP_ACK, &REQUEST[10], /* partly */
            strlen(REQUEST) - 10);
    drain(c);
    assert_int_equal(answers_in(c), 1);
    /* From the future: acknowledged at the present. */
    send_at(c, c->seq + 100, SQ_MMDS_TCP_ACK, REQUEST, 20);
    drain(c);
    send_data(c, REQUEST, strlen(REQUEST));
    drain(c);
    assert_int_equal(answers_in(c), 2);
}

static void requests_without_end_are_reset(void **state)
{
    struct link *l = *state;
    struct client *c = l->c;
    char junk[500];

    memset(junk, 'j', sizeof(junk));
    client_connect(c);
    for (int i = 0; i < 5; i++) {
        send_data(c, junk, sizeof(junk));
        drain(c);
    }
    assert_true(c->flags & SQ_MMDS_TCP_RST);
    assert_int_equal(open_connections(l->m), 0);
    /* More than the window at once: cut, not written beyond. */
    free(c);
    l->c = c = client_new(l->net, 40001);
    client_connect(c);
    {
        char *big = calloc(1, 60000);

        send_at(c, c->seq, SQ_MMDS_TCP_ACK, big, 60000);
        c->seq += SQ_MMDS_WINDOW;
        drain(c);
        assert_true(c->flags & SQ_MMDS_TCP_RST);
        free(big);
    }
}

static void strangers_are_reset(void **state)
{
    struct link *l = *state;
    struct client *c = l->c;
    uint8_t f[100];

    c->ack = 77;
    send_at(c, c->seq, SQ_MMDS_TCP_ACK, "x", 1);
    assert_true(receive(c));
    assert_int_equal(c->flags, SQ_MMDS_TCP_RST);
    assert_false(receive(c));
    send_at(c, c->seq, SQ_MMDS_TCP_RST, NULL, 0);
    assert_false(receive(c));
    /* Another port than HTTP's. */
    send_raw(l->net, f, make(c, f, 443, c->seq, SQ_MMDS_TCP_SYN, NULL, 0));
    assert_true(receive(c));
    assert_int_equal(c->flags, SQ_MMDS_TCP_RST | SQ_MMDS_TCP_ACK);
    /* An ACK of a SYN-ACK that was not sent. */
    send_at(c, c->seq++, SQ_MMDS_TCP_SYN, NULL, 0);
    assert_true(receive(c));
    c->ack += 5;
    send_at(c, c->seq, SQ_MMDS_TCP_ACK, NULL, 0);
    assert_true(receive(c));
    assert_true(c->flags & SQ_MMDS_TCP_RST);
}

static void resets_close(void **state)
{
    struct link *l = *state;
    struct client *c = l->c;

    client_connect(c);
    send_at(c, c->seq + 60000, SQ_MMDS_TCP_RST, NULL, 0); /* a guess */
    assert_int_equal(open_connections(l->m), 1);
    send_at(c, c->seq, SQ_MMDS_TCP_RST, NULL, 0);
    assert_int_equal(open_connections(l->m), 0);
}

static void connections_are_bounded(void **state)
{
    struct link *l = *state;
    struct client *c = l->c;

    for (uint16_t i = 0; i < 30; i++) {
        c->port = (uint16_t)(1000 + i);
        client_connect(c);
    }
    assert_int_equal(open_connections(l->m), 30);
    c->port = 5000;
    send_at(c, c->seq++, SQ_MMDS_TCP_SYN, NULL, 0);
    assert_true(receive(c));
    assert_true(c->flags & SQ_MMDS_TCP_RST);
    /* A place becomes free. */
    c->port = 1007;
    send_at(c, c->seq - 23, SQ_MMDS_TCP_RST, NULL, 0);
    assert_int_equal(open_connections(l->m), 29);
    c->port = 5000;
    client_connect(c);
    /* A flood from strangers is bounded too. */
    for (unsigned i = 0; i < 1000; i++) {
        c->port = (uint16_t)(10000 + i);
        send_at(c, c->seq, SQ_MMDS_TCP_ACK, "x", 1);
    }
    {
        uint8_t f[9100];
        unsigned n = 0;

        while (sq_mmds_net_next(l->net, f, sizeof(f)))
            n++;
        assert_int_equal(n, 100);
    }
}

/* Frames that are cut, overlong, or contradict themselves. */
static void broken_frames(void **state)
{
    struct link *l = *state;
    struct client *c = l->c;
    uint8_t good[200], f[200], out[9100];
    size_t len;

    client_connect(c);
    len = make(c, good, 80, c->seq, SQ_MMDS_TCP_ACK, REQUEST,
               strlen(REQUEST));
    for (size_t n = 34; n < len; n++)
        send_raw(l->net, good, n);
    for (size_t at = 14; at < 30; at++) {
        /* Version and lengths, fragments, protocol: what is read. */
        if (at == 15 || (at >= 18 && at != 20 && at != 21 && at != 23))
            continue;
        memcpy(f, good, len);
        f[at] ^= 0xff;
        send_raw(l->net, f, len);
    }
    memcpy(f, good, len);
    f[46] = 0x40; /* data offset below the header */
    send_raw(l->net, f, len);
    f[46] = 0xf0; /* and beyond the segment's first bytes */
    put16(f + 16, 54);
    send_raw(l->net, f, len);
    assert_int_equal(sq_mmds_net_next(l->net, out, sizeof(out)), 0);
    /* With padding, as Ethernet makes it, it is fine. */
    memcpy(f, good, len);
    c->seq += (uint32_t)strlen(REQUEST);
    send_raw(l->net, f, len + 20);
    drain(c);
    assert_int_equal(answers_in(c), 1);
}

/* Segments of a guest gone mad: it never gets more than it may. */
static void random_segments(void **state)
{
    struct link *l = *state;
    uint32_t seed = 12345;
    uint8_t f[600], out[9100];

    for (int i = 0; i < 200000; i++) {
        struct client c = {.window = 1000, .mss = 1460};
        uint32_t r[4];
        size_t len;

        for (int k = 0; k < 4; k++)
            r[k] = seed = seed * 1664525 + 1013904223;
        c.port = (uint16_t)(r[0] >> 28);
        c.ack = r[1] >> 8;
        len = make(&c, f, 80, r[3] >> 20, (uint8_t)(r[2] >> 24 & 0x1f),
                   REQUEST, r[0] % (strlen(REQUEST) + 1));
        if (r[1] % 8 == 0)
            f[34 + r[2] % (len - 34)] ^= (uint8_t)r[3];
        send_raw(l->net, f, len);
        if (r[0] % 3 == 0)
            assert_true(sq_mmds_net_next(l->net, out, sizeof(out)) <= 9100);
        assert_true(open_connections(l->m) <= 30);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define L(name) cmocka_unit_test_setup_teardown(name, setup_link,          \
                                                teardown_link)
    const struct CMUnitTest tests[] = {
        T(document_comes_back),
        T(merges),
        cmocka_unit_test(size_is_limited),
        cmocka_unit_test(addresses_are_link_local),
        T(answers_requests),
        T(answer_has_its_headers),
        T(imds_compat_ignores_accept),
        T(tokens),
        T(tokens_expire),
        L(only_its_own_frames),
        L(answers_arp),
        L(serves_a_connection),
        L(half_closed_clients_get_their_answer),
        L(large_answers_keep_to_window_and_mss),
        L(repetitions_do_no_harm),
        L(requests_without_end_are_reset),
        L(strangers_are_reset),
        L(resets_close),
        L(connections_are_bounded),
        L(broken_frames),
        L(random_segments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

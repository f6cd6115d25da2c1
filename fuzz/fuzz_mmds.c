/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of ill will against the metadata service: frames, TCP segments,
 * HTTP requests, and documents and patches of its owner. What must hold: no
 * access outside buffers, no endless loop, no leak, frames that are no
 * longer than the guest said it takes, and afterwards a well-behaved client
 * still gets its answer.
 *
 * Build: clang -std=gnu17 -g -O1 -fsanitize=fuzzer,address,undefined
 *        -Iinclude -Isrc fuzz/fuzz_mmds.c -ljansson and the sources of
 *        mmds and base.
 * Run:   ./fuzz_mmds -max_len=8192
 *
 * Input: commands; a byte that chooses, a byte of detail, two bytes of
 * length, and so many bytes of contents. See step().
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "mmds/internal.h"
#include "mmds/tcp.h"

#define OUT_LEN 9100u

static const uint8_t service[4] = {169, 254, 169, 254};
static const uint8_t guest[4] = {169, 254, 0, 9};

/* What a sane client would know of its connection. */
struct peer {
    uint32_t seq, ack;
};

struct fuzz {
    struct sq_mmds *m;
    struct sq_mmds_net *net;
    struct peer peer[8];
    size_t answer_len; /* bytes of data that came */
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

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
           (uint32_t)p[2] << 8 | p[3];
}

/* Takes what the service sends; the fuzzer's peers keep up with it. */
static void drain(struct fuzz *f, unsigned most)
{
    uint8_t *out = malloc(OUT_LEN);
    size_t len;

    while (most-- && (len = sq_mmds_net_next(f->net, out, OUT_LEN)) != 0) {
        size_t header;
        struct peer *p;

        if (len > OUT_LEN || len < 42)
            abort();
        if (out[13] != 0)
            continue; /* ARP */
        header = (size_t)(out[46] >> 4) * 4;
        if (len < 34 + header)
            abort();
        p = &f->peer[out[37] % 8];
        f->answer_len += len - 34 - header;
        p->ack = get32(out + 38) + (uint32_t)(len - 34 - header) +
                 !!(out[47] & SQ_MMDS_TCP_SYN) +
                 !!(out[47] & SQ_MMDS_TCP_FIN);
    }
    free(out);
}

static void give(struct fuzz *f, const uint8_t *frame, size_t len)
{
    /* An exact copy, so that a byte too far is seen. */
    uint8_t *copy = malloc(len ? len : 1);

    memcpy(copy, frame, len);
    if (sq_mmds_net_wants(f->net, copy,
                          len < SQ_MMDS_HEAD_LEN ? len : SQ_MMDS_HEAD_LEN))
        sq_mmds_net_take(f->net, copy, len);
    free(copy);
}

/* A segment of peer `n` that is right but for what the fuzzer bends. */
static void segment(struct fuzz *f, unsigned n, uint8_t flags,
                    const uint8_t *data, size_t len)
{
    struct peer *p = &f->peer[n % 8];
    uint8_t *frame = calloc(1, 54 + len);

    put16(frame + 12, 0x800);
    frame[14] = 0x45;
    put16(frame + 16, (unsigned)(40 + len));
    frame[23] = 6;
    memcpy(frame + 26, guest, 4);
    memcpy(frame + 30, service, 4);
    put16(frame + 34, 0x9c40 + n % 8);
    put16(frame + 36, 80);
    put32(frame + 38, p->seq);
    put32(frame + 42, p->ack);
    frame[46] = 0x50;
    frame[47] = flags;
    put16(frame + 48, 0x4000);
    if (len)
        memcpy(frame + 54, data, len);
    give(f, frame, 54 + len);
    p->seq += (uint32_t)len + !!(flags & SQ_MMDS_TCP_SYN) +
              !!(flags & SQ_MMDS_TCP_FIN);
    free(frame);
}

static void http(struct fuzz *f, const uint8_t *data, size_t len)
{
    struct sq_mmds_text out = {0};
    char *copy = malloc(len ? len : 1);

    memcpy(copy, data, len);
    sq_mmds_answer(f->m, copy, len, &out);
    if (out.len < 16 || memcmp(out.s, "HTTP/1.", 7) != 0)
        abort();
    sq_mmds_text_free(&out);
    free(copy);
}

static void step(struct fuzz *f, uint8_t op, uint8_t detail,
                 const uint8_t *data, size_t len)
{
    struct sq_mmds_config config = sq_mmds_config(f->m);
    json_t *v;

    switch (op % 9) {
    case 0: /* a frame as it comes */
        give(f, data, len);
        break;
    case 1: { /* the same with an address that is ours */
        uint8_t *frame = malloc(len + 42);

        memset(frame, 0, 42);
        memcpy(frame, data, len);
        put16(frame + 12, detail & 1 ? 0x806 : 0x800);
        memcpy(frame + (detail & 1 ? 38 : 30), service, 4);
        give(f, frame, len > 42 ? len : 42);
        free(frame);
        break;
    }
    case 2:
        segment(f, detail, SQ_MMDS_TCP_SYN, NULL, 0);
        drain(f, 4);
        segment(f, detail, SQ_MMDS_TCP_ACK, NULL, 0);
        break;
    case 3:
        segment(f, detail, SQ_MMDS_TCP_ACK | SQ_MMDS_TCP_PSH, data, len);
        break;
    case 4: /* out of step */
        f->peer[detail % 8].seq += (uint32_t)len - 100;
        segment(f, detail, op >> 4, data, len);
        break;
    case 5:
        segment(f, detail, detail >> 3, data, len);
        break;
    case 6:
        http(f, data, len);
        break;
    case 7:
        v = json_loadb((const char *)data, len, JSON_DECODE_ANY, NULL);
        if (v && detail & 1)
            sq_mmds_patch(f->m, v, NULL);
        else if (v)
            sq_mmds_put(f->m, v, NULL);
        json_decref(v);
        free(sq_mmds_get(f->m));
        break;
    default:
        config.version = detail & 1 ? SQ_MMDS_V2 : SQ_MMDS_V1;
        config.imds_compat = detail & 2;
        sq_mmds_configure(f->m, &config);
        drain(f, detail);
        break;
    }
}

/* A client that does everything right, from an address of its own port. */
static void check_alive(struct fuzz *f)
{
    static const char request[] = "GET / HTTP/1.1\r\n\r\n";

    sq_mmds_net_free(f->net);
    if (sq_mmds_net_new(f->m, &f->net, NULL))
        abort();
    f->peer[0] = (struct peer){1, 0};
    segment(f, 0, SQ_MMDS_TCP_SYN, NULL, 0);
    drain(f, 10);
    segment(f, 0, SQ_MMDS_TCP_ACK, NULL, 0);
    f->answer_len = 0;
    segment(f, 0, SQ_MMDS_TCP_ACK, (const uint8_t *)request,
            strlen(request));
    drain(f, 10);
    if (f->answer_len < 60)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {0};

    if (sq_mmds_new(4096, &f.m, NULL) ||
        sq_mmds_load(f.m, "{\"a\":{\"b\":[\"c\",1]}}", 19, NULL) ||
        sq_mmds_net_new(f.m, &f.net, NULL))
        abort();
    while (size >= 4) {
        size_t len = (size_t)data[2] << 8 | data[3];

        if (len > size - 4)
            len = size - 4;
        step(&f, data[0], data[1], data + 4, len);
        drain(&f, data[0] >> 5);
        data += 4 + len;
        size -= 4 + len;
    }
    check_alive(&f);
    sq_mmds_net_free(f.net);
    sq_mmds_free(f.m);
    return 0;
}

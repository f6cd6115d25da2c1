/* SPDX-License-Identifier: Apache-2.0 */
/* A guest with a vsock driver, for tests; sockets on the host are real. */
#ifndef SQ_TESTS_VSOCK_GUEST_H
#define SQ_TESTS_VSOCK_GUEST_H

#include "virtio_guest.h"

#include <stdlib.h>
#include <unistd.h>

#include "dev/virtio/vsock_conn.h"

#define CID 3u
#define HOST_PORT 1024u /* the one somebody listens on */
#define PORT 5000u
#define RX 0u
#define TX 1u
#define RX_BUFS 64u
#define RX_BUF_LEN (SQ_VSOCK_HEADER_LEN + 4096u)
#define RX_AREA 0x200000u
#define TX_AREA 0x400000u
#define TX_SLOT 0x20000u

struct packet {
    struct sq_vsock_packet h;
    const uint8_t *payload;
};

struct fixture {
    struct guest g;
    int peer; /* the host application's end, -1: none */
    uint16_t rx_buf[128]; /* buffer number of each head */
    unsigned tx_slot;
    /* The guest's side of one connection. */
    uint32_t buf_alloc, fwd_cnt;
};

static inline struct sq_vsock *vsock(struct fixture *f)
{
    return SQ_CONTAINER_OF(f->g.dev, struct sq_vsock, dev);
}

static inline const struct sq_virtio_vsock_counters *counters(struct fixture *f)
{
    return sq_virtio_vsock_counters(f->g.dev);
}

static inline void rx_offer(struct fixture *f, unsigned i)
{
    const struct guest_buf buf = {RX_AREA + 0x2000 * i, RX_BUF_LEN, true};

    f->rx_buf[guest_add(&f->g, RX, &buf, 1)] = (uint16_t)i;
}

static inline void rx_offer_all(struct fixture *f)
{
    for (unsigned i = 0; i < RX_BUFS; i++)
        rx_offer(f, i);
    guest_kick(&f->g, RX);
}

static inline void init(struct fixture *f,
                        const struct sq_vsock_host_ops *ops, void *ctx)
{
    struct sq_virtio_vsock_config config = {CID, ops, ctx};
    struct sq_virtio_device *dev;

    assert_int_equal(sq_virtio_vsock_new(&config, &dev, NULL), 0);
    guest_plug(&f->g, dev);
    guest_start(&f->g, SQ_VIRTIO_F_COMMON, 128);
}

/* Sends any header; the caller fills what it wants to be wrong. */
static inline void tx_raw(struct fixture *f,
                          const struct sq_vsock_packet *p,
                          const void *payload, uint32_t payload_len)
{
    uint64_t gpa = TX_AREA + TX_SLOT * (f->tx_slot++ % 16);
    const struct guest_buf buf[] = {
        {gpa, SQ_VSOCK_HEADER_LEN, false},
        {gpa + 0x1000, payload_len, false},
    };
    uint32_t id, len;

    sq_vsock_packet_encode(p, guest_ptr(&f->g, gpa, SQ_VSOCK_HEADER_LEN));
    if (payload_len)
        memcpy(guest_ptr(&f->g, gpa + 0x1000, payload_len), payload,
               payload_len);
    guest_add(&f->g, TX, buf, payload_len ? 2 : 1);
    guest_kick(&f->g, TX);
    guest_pump(&f->g);
    if (!guest_needs_reset(&f->g)) {
        assert_true(guest_used(&f->g, TX, &id, &len));
        assert_int_equal(len, 0);
    }
}

static inline struct sq_vsock_packet header(struct fixture *f,
                                            uint32_t host_port,
                                            uint32_t guest_port,
                                            uint16_t op)
{
    return (struct sq_vsock_packet){
        .src_cid = CID,
        .dst_cid = 2,
        .src_port = guest_port,
        .dst_port = host_port,
        .type = 1,
        .op = op,
        .buf_alloc = f->buf_alloc,
        .fwd_cnt = f->fwd_cnt,
    };
}

static inline void tx_to(struct fixture *f, uint32_t host_port,
                         uint32_t guest_port, uint16_t op, uint32_t flags)
{
    struct sq_vsock_packet p = header(f, host_port, guest_port, op);

    p.flags = flags;
    tx_raw(f, &p, NULL, 0);
}

static inline void tx(struct fixture *f, uint16_t op, uint32_t flags)
{
    tx_to(f, HOST_PORT, PORT, op, flags);
}

static inline void tx_data(struct fixture *f, const void *data, uint32_t len)
{
    struct sq_vsock_packet p = header(f, HOST_PORT, PORT, SQ_VSOCK_RW);

    p.len = len;
    tx_raw(f, &p, data, len);
}

/* The next packet to the guest; its buffer goes back to the device. */
static inline bool rx(struct fixture *f, struct packet *out)
{
    static uint8_t copy[RX_BUF_LEN];
    uint32_t id, len;
    unsigned i;

    if (!guest_used(&f->g, RX, &id, &len))
        return false;
    i = f->rx_buf[id];
    memcpy(copy, guest_ptr(&f->g, RX_AREA + 0x2000 * i, RX_BUF_LEN),
           RX_BUF_LEN);
    sq_vsock_packet_decode(copy, &out->h);
    out->payload = copy + SQ_VSOCK_HEADER_LEN;
    assert_int_equal(len, SQ_VSOCK_HEADER_LEN + out->h.len);
    assert_int_equal(out->h.src_cid, 2);
    assert_int_equal(out->h.dst_cid, CID);
    assert_int_equal(out->h.type, 1);
    if (out->h.op != SQ_VSOCK_RST)
        assert_int_equal(out->h.buf_alloc, SQ_VSOCK_BUF_ALLOC);
    rx_offer(f, i);
    guest_kick(&f->g, RX);
    return true;
}

static inline struct packet expect(struct fixture *f, uint16_t op)
{
    struct packet p;

    guest_pump(&f->g);
    assert_true(rx(f, &p));
    assert_int_equal(p.h.op, op);
    return p;
}

static inline void expect_nothing(struct fixture *f)
{
    struct packet p;

    guest_pump(&f->g);
    assert_false(rx(f, &p));
}

static inline void open_conn(struct fixture *f)
{
    struct packet p;

    tx(f, SQ_VSOCK_REQUEST, 0);
    p = expect(f, SQ_VSOCK_RESPONSE);
    assert_int_equal(p.h.src_port, HOST_PORT);
    assert_int_equal(p.h.dst_port, PORT);
    assert_true(f->peer >= 0);
}

static inline bool host_eof(int fd)
{
    uint8_t b;

    return read(fd, &b, 1) == 0;
}

static inline void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static inline void expect_host(int fd, const char *text)
{
    char got[256];
    ssize_t n = read(fd, got, sizeof(got));

    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
}

#endif

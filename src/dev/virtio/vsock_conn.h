/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One vsock connection and the part of the device it needs. Internal to
 * the vsock device: event thread, device mutex held, everywhere.
 *
 * Directions are named from the host's descriptor: `in` is what the guest
 * sends and we write to fd; `out` is what we read from fd and the guest
 * receives.
 */
#ifndef SQ_DEV_VIRTIO_VSOCK_CONN_H
#define SQ_DEV_VIRTIO_VSOCK_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "dev/virtio/vsock.h"
#include "dev/virtio/vsock_packet.h"

#define SQ_VSOCK_RSTS_MAX 64u

struct sq_vsock;

enum sq_vsock_state {
    SQ_VSOCK_CONNECTING, /* host asked, the guest has not answered */
    SQ_VSOCK_OPEN,
    SQ_VSOCK_ORPHAN,  /* the guest forgot it; `in` is still delivered */
    SQ_VSOCK_CLOSING, /* fd is gone, an RST has to reach the guest */
};

/* Packets that a connection has to send; bits of `want`. */
enum sq_vsock_want {
    SQ_VSOCK_WANT_REQUEST = 1,
    SQ_VSOCK_WANT_RESPONSE = 2,
    SQ_VSOCK_WANT_CREDIT = 4,     /* tell our fwd_cnt */
    SQ_VSOCK_WANT_ASK_CREDIT = 8, /* ask for the guest's */
    SQ_VSOCK_WANT_RST = 16,       /* and then end */
};

struct sq_vsock_conn {
    struct sq_vsock *vsock;
    uint32_t host_port, guest_port;
    enum sq_vsock_state state;
    unsigned want;
    struct sq_vsock_conn *next_ready;
    bool in_ready;
    bool was_open; /* counted as opened */

    int fd; /* -1: closed */
    bool watched;
    unsigned watch_events;
    bool hup; /* no descriptor events any more: peer is gone */

    /* in: guest to host. Counters are free-running (5.10.6.3). */
    uint8_t *buf; /* ring of SQ_VSOCK_BUF_ALLOC bytes, NULL while empty */
    uint32_t buf_at, buf_len;
    uint32_t received, fwd_cnt, fwd_told;
    bool guest_sent_all; /* SHUTDOWN with SEND came */
    bool in_done;        /* fd takes no more: we shut it, or it broke */
    bool in_broken;      /* it broke: the guest has to know */

    /* out: host to guest. */
    uint32_t sent, peer_buf_alloc, peer_fwd_cnt;
    bool readable;      /* fd may have bytes for us */
    bool out_eof;       /* fd has no more bytes */
    bool guest_deaf;    /* SHUTDOWN with RECEIVE came */
    bool credit_asked;  /* since the guest last gave some */
    unsigned shut_told; /* flags of the last SHUTDOWN sent */

    /* CONNECTING */
    uint64_t deadline_ns;
    sq_vsock_opened_fn *opened;
    void *opened_ctx;
};

/* RSTs for packets that belong to no connection. */
struct sq_vsock_rst {
    uint32_t host_port, guest_port;
};

struct sq_vsock {
    struct sq_virtio_device dev;
    uint32_t guest_cid;
    const struct sq_vsock_host_ops *host;
    void *host_ctx;
    struct sq_virtio_vsock_counters counters;

    struct sq_vsock_conn *conn[SQ_VSOCK_CONNS_MAX]; /* oldest first */
    unsigned conn_count;
    /* Connections that may have a packet for the guest, served in turn. */
    struct sq_vsock_conn *ready, **ready_tail;
    struct sq_vsock_rst rst[SQ_VSOCK_RSTS_MAX]; /* ring */
    unsigned rst_at, rst_count;
    uint32_t next_host_port;
    struct sq_timer timer; /* the earliest CONNECTING deadline or later */
};

/* Adds a connection that owns fd (watched from OPEN on). NULL: the table or
 * the memory is full; fd stays the caller's. */
struct sq_vsock_conn *sq_vsock_conn_new(struct sq_vsock *vsock,
                                        uint32_t host_port,
                                        uint32_t guest_port, int fd,
                                        enum sq_vsock_state state);
void sq_vsock_conn_free(struct sq_vsock_conn *c);

/* The one that packets with these ports belong to, or NULL. */
struct sq_vsock_conn *sq_vsock_conn_find(struct sq_vsock *vsock,
                                         uint32_t host_port,
                                         uint32_t guest_port);

/* A packet for this connection. `payload` is the chain it came in. May free
 * the connection. */
void sq_vsock_conn_packet(struct sq_vsock_conn *c,
                          const struct sq_vsock_packet *p,
                          const struct sq_chain *payload);

/* Fills one chain of the receive queue: header and payload. Returns the
 * bytes written, 0 if there was nothing to send after all. Makes the
 * connection ready again if it has more. May free it. */
uint32_t sq_vsock_conn_fill(struct sq_vsock_conn *c,
                            const struct sq_chain *chain);

/* Ends the connection in both directions at once; the guest gets RST. */
void sq_vsock_conn_abort(struct sq_vsock_conn *c);

/* Whether a call of fill would be worth a try. */
bool sq_vsock_conn_has_work(const struct sq_vsock_conn *c);

/* Makes the loop's interest in fd what the state asks for. Where that
 * fails, the connection is aborted. */
void sq_vsock_conn_watch(struct sq_vsock_conn *c);

/* vsock.c: puts c at the end of the ready list, once. */
void sq_vsock_make_ready(struct sq_vsock_conn *c);
/* vsock.c: sends what is ready, as far as the guest has room. */
void sq_vsock_rx(struct sq_vsock *vsock);

#endif

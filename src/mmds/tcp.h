/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TCP connection of the metadata service (RFC 9293), always opened by
 * the guest: requests in, answers out, one at a time.
 *
 * What is left out, and why that is right here: no timers, since what is
 * sent cannot get lost between the device and the guest's buffers, and a
 * guest that drops it all the same asks again (three duplicate ACKs make
 * it go back to what was acknowledged); no reassembly, since the guest's
 * stack sends in order and repeats what is not acknowledged; no window
 * scaling. Everything is bounded: the request's buffer is the receive
 * window, and one answer is kept.
 *
 * Event thread.
 */
#ifndef SQ_MMDS_TCP_H
#define SQ_MMDS_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmds/internal.h"

#define SQ_MMDS_TCP_FIN 1u
#define SQ_MMDS_TCP_SYN 2u
#define SQ_MMDS_TCP_RST 4u
#define SQ_MMDS_TCP_PSH 8u
#define SQ_MMDS_TCP_ACK 16u

/* What we send at most, however much the guest takes. */
#define SQ_MMDS_MSS_MAX 8960u
#define SQ_MMDS_MSS_DEFAULT 536u
#define SQ_MMDS_WINDOW SQ_MMDS_REQUEST_MAX

/* A segment, coming or going. */
struct sq_mmds_segment {
    uint16_t guest_port;
    uint32_t seq, ack;
    uint16_t window;
    uint16_t mss; /* the option, 0: none */
    uint8_t flags;
    const uint8_t *data; /* of its owner */
    size_t len;
};

enum sq_mmds_tcp_state {
    SQ_MMDS_TCP_CLOSED, /* the place is free */
    SQ_MMDS_TCP_SYN_RECEIVED,
    SQ_MMDS_TCP_OPEN, /* also while closing: see the flags */
};

struct sq_mmds_conn {
    enum sq_mmds_tcp_state state;
    uint8_t guest_ip[4], guest_mac[6];
    uint16_t guest_port;
    uint64_t active_ns; /* when the guest was last heard of */

    uint32_t rcv_nxt;
    uint32_t snd_una; /* acknowledged by the guest up to here */
    uint32_t snd_nxt; /* what goes next */
    uint32_t snd_max; /* the furthest that ever went */
    uint32_t snd_wnd;
    uint32_t mss;
    uint8_t duplicates;  /* ACKs in a row that acknowledged nothing */
    bool fin_received;
    bool fin_queued; /* ours, after all data */
    bool ack_due, reset_due;

    uint32_t answer_seq; /* of its first byte */
    struct sq_mmds_text answer;

    size_t request_len;
    char request[SQ_MMDS_WINDOW];
};

/* A SYN for a free place; isn is the first sequence number of ours. */
void sq_mmds_conn_open(struct sq_mmds_conn *c,
                       const struct sq_mmds_segment *syn, uint32_t isn);

/* Any later segment of the connection; may close it. */
void sq_mmds_conn_take(struct sq_mmds *m, struct sq_mmds_conn *c,
                       const struct sq_mmds_segment *s);

/* Fills *s with the next segment to send, whose data is valid until the
 * next call for this connection. False: none now. May close it. */
bool sq_mmds_conn_next(struct sq_mmds *m, struct sq_mmds_conn *c,
                       struct sq_mmds_segment *s);

/* Frees the place. */
void sq_mmds_conn_close(struct sq_mmds *m, struct sq_mmds_conn *c);

#endif

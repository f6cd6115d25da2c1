/* SPDX-License-Identifier: Apache-2.0 */
#include "mmds/tcp.h"

#include <string.h>

/* a comes after b, modulo 2^32 (RFC 9293, section 3.4). */
static bool after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

void sq_mmds_conn_open(struct sq_mmds_conn *c,
                       const struct sq_mmds_segment *syn, uint32_t isn)
{
    uint32_t mss = syn->mss ? syn->mss : SQ_MMDS_MSS_DEFAULT;

    /* Tiny ones would make a frame of every byte. */
    if (mss < 64)
        mss = 64;
    if (mss > SQ_MMDS_MSS_MAX)
        mss = SQ_MMDS_MSS_MAX;
    c->state = SQ_MMDS_TCP_SYN_RECEIVED;
    c->guest_port = syn->guest_port;
    c->rcv_nxt = syn->seq + 1;
    c->snd_una = c->snd_nxt = c->snd_max = isn;
    c->snd_wnd = syn->window;
    c->mss = mss;
    c->duplicates = 0;
    c->fin_received = c->fin_queued = c->ack_due = c->reset_due = false;
    c->request_len = 0;
}

void sq_mmds_conn_close(struct sq_mmds *m, struct sq_mmds_conn *c)
{
    if (c->state != SQ_MMDS_TCP_CLOSED)
        sq_mmds_count(&m->counters.connections_destroyed, 1);
    c->state = SQ_MMDS_TCP_CLOSED;
    sq_mmds_text_free(&c->answer);
}

static uint32_t answer_end(const struct sq_mmds_conn *c)
{
    return c->answer_seq + (uint32_t)c->answer.len;
}

/* Where our FIN is in the sequence: behind the answer, which is gone by the
 * time that it is acknowledged. */
static bool fin_sent(const struct sq_mmds_conn *c)
{
    return c->fin_queued && c->snd_nxt == c->answer_seq + 1;
}

/* Answers the next whole request, when there is no answer under way. */
static void serve(struct sq_mmds *m, struct sq_mmds_conn *c)
{
    size_t end;

    if (c->answer.len || c->fin_queued)
        return;
    end = sq_mmds_request_end(c->request, c->request_len);
    if (end) {
        sq_mmds_answer(m, c->request, end, &c->answer);
        c->request_len -= end;
        memmove(c->request, c->request + end, c->request_len);
        c->answer_seq = c->snd_nxt;
        c->ack_due = true; /* the window has grown */
        if (c->answer.failed)
            c->reset_due = true;
    } else if (c->request_len == sizeof(c->request)) {
        c->reset_due = true; /* longer than any request */
    } else if (c->fin_received) {
        c->fin_queued = true;
        c->answer_seq = c->snd_nxt;
    }
}

static void take_ack(struct sq_mmds *m, struct sq_mmds_conn *c,
                     const struct sq_mmds_segment *s)
{
    if (after(s->ack, c->snd_max)) {
        c->ack_due = true; /* of what was never sent */
        return;
    }
    if (after(s->ack, c->snd_una)) {
        c->snd_una = s->ack;
        if (after(c->snd_una, c->snd_nxt))
            c->snd_nxt = c->snd_una;
        c->duplicates = 0;
    } else if (s->ack == c->snd_una && c->snd_una != c->snd_max &&
               !s->len && s->window == c->snd_wnd &&
               !(s->flags & SQ_MMDS_TCP_FIN)) {
        if (++c->duplicates == 3) {
            c->duplicates = 0;
            c->snd_nxt = c->snd_una;
            sq_mmds_count(&m->counters.rx_accepted_unusual, 1);
        }
    }
    c->snd_wnd = s->window;
    if (c->answer.len && c->snd_una == answer_end(c)) {
        sq_mmds_text_free(&c->answer);
        c->answer_seq = c->snd_una;
    }
}

static void take_data(struct sq_mmds *m, struct sq_mmds_conn *c,
                      const struct sq_mmds_segment *s)
{
    size_t room = sizeof(c->request) - c->request_len, skip, len = s->len;
    bool fin = s->flags & SQ_MMDS_TCP_FIN;

    if (!len && !fin)
        return;
    c->ack_due = true;
    /* From the future: it will come again in its turn. */
    if (after(s->seq, c->rcv_nxt) || c->fin_received) {
        sq_mmds_count(&m->counters.rx_accepted_unusual, 1);
        return;
    }
    skip = c->rcv_nxt - s->seq;
    if (skip > len)
        return; /* a repetition of all of it */
    len -= skip;
    if (len > room) {
        len = room; /* and no FIN: it comes after the rest */
        fin = false;
    }
    memcpy(c->request + c->request_len, s->data + skip, len);
    c->request_len += len;
    c->rcv_nxt += (uint32_t)len;
    if (fin) {
        c->rcv_nxt++;
        c->fin_received = true;
    }
}

void sq_mmds_conn_take(struct sq_mmds *m, struct sq_mmds_conn *c,
                       const struct sq_mmds_segment *s)
{
    if (s->flags & SQ_MMDS_TCP_RST) {
        /* Within the window, as whoever guesses must know better. */
        if (s->seq - c->rcv_nxt <= SQ_MMDS_WINDOW)
            sq_mmds_conn_close(m, c);
        return;
    }
    if (s->flags & SQ_MMDS_TCP_SYN) {
        /* Ours was lost, or a new life of the guest: its answer to an ACK
         * of the old one is an RST. */
        if (c->state == SQ_MMDS_TCP_SYN_RECEIVED &&
            s->seq + 1 == c->rcv_nxt)
            c->snd_nxt = c->snd_una;
        else
            c->ack_due = true;
        return;
    }
    if (!(s->flags & SQ_MMDS_TCP_ACK))
        return;
    if (c->state == SQ_MMDS_TCP_SYN_RECEIVED) {
        if (s->ack != c->snd_una + 1 || c->snd_max == c->snd_una) {
            c->reset_due = true;
            return;
        }
        c->state = SQ_MMDS_TCP_OPEN;
        c->snd_una = c->snd_nxt = s->ack;
        c->answer_seq = c->snd_nxt;
    }
    take_ack(m, c, s);
    if (fin_sent(c) && c->snd_una == c->snd_nxt) {
        sq_mmds_conn_close(m, c);
        return;
    }
    take_data(m, c, s);
    serve(m, c);
}

static void fill(const struct sq_mmds_conn *c, struct sq_mmds_segment *s,
                 uint8_t flags)
{
    *s = (struct sq_mmds_segment){
        .guest_port = c->guest_port,
        .seq = c->snd_nxt,
        .ack = c->rcv_nxt,
        .window = (uint16_t)(sizeof(c->request) - c->request_len),
        .flags = flags,
    };
}

static void advance(struct sq_mmds_conn *c, uint32_t n)
{
    c->snd_nxt += n;
    if (after(c->snd_nxt, c->snd_max))
        c->snd_max = c->snd_nxt;
    c->ack_due = false;
}

bool sq_mmds_conn_next(struct sq_mmds *m, struct sq_mmds_conn *c,
                       struct sq_mmds_segment *s)
{
    uint32_t flying = c->snd_nxt - c->snd_una, left, n;

    if (c->state == SQ_MMDS_TCP_CLOSED)
        return false;
    if (c->reset_due) {
        fill(c, s, SQ_MMDS_TCP_RST | SQ_MMDS_TCP_ACK);
        sq_mmds_conn_close(m, c);
        return true;
    }
    if (c->state == SQ_MMDS_TCP_SYN_RECEIVED) {
        if (flying)
            return false;
        fill(c, s, SQ_MMDS_TCP_SYN | SQ_MMDS_TCP_ACK);
        s->mss = SQ_MMDS_MSS_MAX;
        advance(c, 1);
        return true;
    }
    left = c->answer.len ? answer_end(c) - c->snd_nxt : 0;
    if (left && flying < c->snd_wnd) {
        n = c->snd_wnd - flying;
        n = n < left ? n : left;
        n = n < c->mss ? n : c->mss;
        fill(c, s, n == left ? SQ_MMDS_TCP_ACK | SQ_MMDS_TCP_PSH
                             : SQ_MMDS_TCP_ACK);
        s->data = (const uint8_t *)c->answer.s +
                  (c->snd_nxt - c->answer_seq);
        s->len = n;
        advance(c, n);
        return true;
    }
    if (c->fin_queued && c->snd_nxt == c->answer_seq) {
        fill(c, s, SQ_MMDS_TCP_FIN | SQ_MMDS_TCP_ACK);
        advance(c, 1);
        return true;
    }
    if (c->ack_due) {
        fill(c, s, SQ_MMDS_TCP_ACK);
        advance(c, 0);
        return true;
    }
    return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A connection is two independent streams over one host descriptor.
 *
 * in (guest to host). The guest may have SQ_VSOCK_BUF_ALLOC bytes under way:
 * what it sent (`received`) minus what the descriptor took (`fwd_cnt`).
 * A packet is written to the descriptor straight from guest memory; what
 * does not fit waits in `buf`, whose size is therefore that bound. The guest
 * is told the new fwd_cnt with every packet to it, and by a packet of its
 * own once half the window is free again. After the guest's SHUTDOWN(SEND)
 * and the last byte, the descriptor is shut for writing.
 *
 * out (host to guest). The descriptor is read straight into the guest's
 * buffer, never further than its credit: peer_buf_alloc - (sent -
 * peer_fwd_cnt). There is no buffer of ours: without credit or without
 * guest buffers we stop watching the descriptor, and the host's writer
 * blocks on its socket. End of file becomes SHUTDOWN(SEND), which by
 * construction follows the last byte.
 *
 * The end. Once the guest has shut both ways and `in` is delivered, we
 * close and answer RST, which is what its driver waits for. Once the host
 * is through both ways, we send SHUTDOWN(both), close, and keep the entry
 * until the guest answers: its reader may take long. Such entries are the
 * first to go when the table is full; the guest would then see an RST
 * behind data it already has. An RST from the guest ends `out`; what is in
 * `buf` is delivered still (ORPHAN).
 *
 * Every call that may free a connection says so; nobody touches it after.
 */
#define _GNU_SOURCE
#include "dev/virtio/vsock_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "os/sock.h"

/* Reads at most this often from a descriptor that is about to be closed. */
#define DRAIN_READS 64

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* What the guest can take now, in bytes. Its counters are not trusted. */
static uint32_t credit(const struct sq_vsock_conn *c)
{
    uint32_t under_way = c->sent - c->peer_fwd_cnt;

    return under_way < c->peer_buf_alloc ? c->peer_buf_alloc - under_way : 0;
}

static bool wants_out(const struct sq_vsock_conn *c)
{
    return c->state == SQ_VSOCK_OPEN && c->fd >= 0 && !c->out_eof &&
           !c->guest_deaf;
}

/* SHUTDOWN flags that are true for the host now. */
static unsigned shut_flags(const struct sq_vsock_conn *c)
{
    return (c->out_eof ? SQ_VSOCK_SHUT_SEND : 0) |
           (c->in_broken || (c->in_done && c->out_eof)
                ? SQ_VSOCK_SHUT_RECEIVE
                : 0);
}

bool sq_vsock_conn_has_work(const struct sq_vsock_conn *c)
{
    if (c->want)
        return true;
    if (c->state != SQ_VSOCK_OPEN)
        return false;
    return shut_flags(c) != c->shut_told ||
           (wants_out(c) && c->readable &&
            (credit(c) || !c->credit_asked));
}

static void unwatch(struct sq_vsock_conn *c)
{
    if (c->watched)
        sq_poller_del(c->vsock->dev.poller, c->fd);
    c->watched = false;
}

static void close_fd(struct sq_vsock_conn *c)
{
    uint8_t scratch[4096];

    if (c->fd < 0)
        return;
    unwatch(c);
    /* A Unix socket that is closed with bytes unread gives its peer an
     * error; these bytes have no reader, so take them off first. */
    shutdown(c->fd, SHUT_RDWR);
    for (int i = 0; i < DRAIN_READS; i++)
        if (recv(c->fd, scratch, sizeof(scratch), MSG_DONTWAIT) <= 0)
            break;
    close(c->fd);
    c->fd = -1;
    free(c->buf);
    c->buf = NULL;
    c->buf_len = 0;
}

/* Ready again if there is something to send. */
static void update(struct sq_vsock_conn *c)
{
    if (sq_vsock_conn_has_work(c))
        sq_vsock_make_ready(c);
}

static void want(struct sq_vsock_conn *c, unsigned bits)
{
    c->want |= bits;
    sq_vsock_make_ready(c);
}

void sq_vsock_conn_abort(struct sq_vsock_conn *c)
{
    count(&c->vsock->counters.aborted, 1);
    close_fd(c);
    c->state = SQ_VSOCK_CLOSING;
    c->want = 0;
    want(c, SQ_VSOCK_WANT_RST);
}

/* ---- in: guest to host ---- */

/* The descriptor took n more bytes, or nobody will. */
static void forwarded(struct sq_vsock_conn *c, uint32_t n)
{
    c->fwd_cnt += n;
    if (c->state == SQ_VSOCK_OPEN &&
        c->fwd_cnt - c->fwd_told >= SQ_VSOCK_BUF_ALLOC / 2)
        want(c, SQ_VSOCK_WANT_CREDIT);
}

/* The host does not read any more. */
static void in_broke(struct sq_vsock_conn *c)
{
    c->in_done = true;
    c->in_broken = !c->guest_sent_all || c->buf_len;
    forwarded(c, c->buf_len);
    free(c->buf);
    c->buf = NULL;
    c->buf_len = 0;
    update(c);
}

/* After every step of `in`: half-close and end. May free. */
static void in_advance(struct sq_vsock_conn *c)
{
    if (c->buf_len == 0 && c->buf) {
        free(c->buf);
        c->buf = NULL;
    }
    if (c->buf_len == 0 && c->guest_sent_all && !c->in_done) {
        shutdown(c->fd, SHUT_WR);
        c->in_done = true;
        update(c);
    }
    if (c->state == SQ_VSOCK_ORPHAN && c->in_done) {
        sq_vsock_conn_free(c);
        return;
    }
    if (c->state == SQ_VSOCK_OPEN && c->in_done && c->guest_sent_all &&
        c->guest_deaf) {
        sq_vsock_conn_abort(c);
        return;
    }
    sq_vsock_conn_watch(c);
}

/* Writes as much as the descriptor takes. -1: it is broken. */
static ssize_t write_fd(struct sq_vsock_conn *c, struct iovec *iov,
                        unsigned iov_count)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = iov_count};
    ssize_t n;

    do {
        n = sendmsg(c->fd, &msg, SQ_MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    return n;
}

static void flush(struct sq_vsock_conn *c)
{
    while (c->buf_len) {
        uint32_t first = SQ_VSOCK_BUF_ALLOC - c->buf_at;
        struct iovec iov[2] = {
            {c->buf + c->buf_at, c->buf_len < first ? c->buf_len : first},
            {c->buf, c->buf_len < first ? 0 : c->buf_len - first},
        };
        ssize_t n = write_fd(c, iov, 2);

        if (n < 0) {
            count(&c->vsock->counters.write_failed, 1);
            in_broke(c);
            break;
        }
        if (n == 0)
            break;
        c->buf_at = (c->buf_at + (uint32_t)n) % SQ_VSOCK_BUF_ALLOC;
        c->buf_len -= (uint32_t)n;
        forwarded(c, (uint32_t)n);
    }
}

/* Keeps what the descriptor did not take; the credit check made sure that
 * it fits. False: out of memory. */
static bool keep(struct sq_vsock_conn *c, const struct sq_chain *chain,
                 uint64_t off, uint32_t len)
{
    uint32_t at, first;

    if (!c->buf) {
        c->buf = malloc(SQ_VSOCK_BUF_ALLOC);
        c->buf_at = 0;
    }
    if (!c->buf)
        return false;
    at = (c->buf_at + c->buf_len) % SQ_VSOCK_BUF_ALLOC;
    first = SQ_VSOCK_BUF_ALLOC - at;
    if (first > len)
        first = len;
    sq_chain_read(chain, off, c->buf + at, first);
    sq_chain_read(chain, off + first, c->buf, len - first);
    c->buf_len += len;
    return true;
}

/* Payload of an RW packet. May free. */
static void receive(struct sq_vsock_conn *c, const struct sq_chain *chain,
                    uint32_t len)
{
    uint32_t under_way = c->received - c->fwd_cnt;
    uint32_t done = 0;

    if (c->guest_sent_all || len > SQ_VSOCK_BUF_ALLOC - under_way) {
        count(&c->vsock->counters.bad_packets, 1);
        sq_vsock_conn_abort(c);
        return;
    }
    c->received += len;
    count(&c->vsock->counters.tx_bytes, len);
    if (len && c->buf_len == 0 && !c->in_done) {
        struct iovec iov[SQ_CHAIN_PIECES_MAX];
        unsigned n = sq_chain_slice(chain, false, SQ_VSOCK_HEADER_LEN, len,
                                    iov);
        ssize_t put = write_fd(c, iov, n);

        if (put < 0) {
            count(&c->vsock->counters.write_failed, 1);
            in_broke(c);
        } else {
            done = (uint32_t)put;
            forwarded(c, done);
        }
    }
    if (c->in_done)
        forwarded(c, len - done);
    else if (done < len &&
             !keep(c, chain, SQ_VSOCK_HEADER_LEN + done, len - done)) {
        sq_vsock_conn_abort(c);
        return;
    }
    in_advance(c);
}

/* ---- Packets from the guest ---- */

static void opened(struct sq_vsock_conn *c)
{
    c->state = SQ_VSOCK_OPEN;
    c->was_open = true;
    count(&c->vsock->counters.conns_opened, 1);
    if (c->opened)
        c->opened(c->opened_ctx, c->fd, c->host_port);
    sq_vsock_conn_watch(c);
}

/* The guest has forgotten the connection. May free. */
static void guest_reset(struct sq_vsock_conn *c)
{
    if (c->state != SQ_VSOCK_OPEN || c->fd < 0 || c->buf_len == 0) {
        if (c->state == SQ_VSOCK_CONNECTING)
            count(&c->vsock->counters.refused, 1);
        sq_vsock_conn_free(c);
        return;
    }
    c->state = SQ_VSOCK_ORPHAN;
    c->want = 0;
    c->guest_sent_all = c->guest_deaf = true;
    in_advance(c);
}

static void guest_shutdown(struct sq_vsock_conn *c, uint32_t flags)
{
    if ((flags & SQ_VSOCK_SHUT_RECEIVE) && !c->guest_deaf) {
        c->guest_deaf = true;
        if (c->fd >= 0)
            shutdown(c->fd, SHUT_RD);
    }
    if (flags & SQ_VSOCK_SHUT_SEND)
        c->guest_sent_all = true;
    in_advance(c);
}

void sq_vsock_conn_packet(struct sq_vsock_conn *c,
                          const struct sq_vsock_packet *p,
                          const struct sq_chain *payload)
{
    if (p->op == SQ_VSOCK_RST) {
        guest_reset(c);
        return;
    }
    if (c->state == SQ_VSOCK_CLOSING)
        return;
    c->peer_buf_alloc = p->buf_alloc;
    c->peer_fwd_cnt = p->fwd_cnt;
    if (credit(c)) {
        c->credit_asked = false;
        update(c);
    }
    if (c->state == SQ_VSOCK_CONNECTING && p->op == SQ_VSOCK_RESPONSE) {
        opened(c);
        return;
    }
    if (c->state == SQ_VSOCK_OPEN) {
        switch (p->op) {
        case SQ_VSOCK_RW: receive(c, payload, p->len); return;
        case SQ_VSOCK_SHUTDOWN: guest_shutdown(c, p->flags); return;
        case SQ_VSOCK_CREDIT_UPDATE: return;
        case SQ_VSOCK_CREDIT_REQUEST: want(c, SQ_VSOCK_WANT_CREDIT); return;
        default: break;
        }
    }
    count(&c->vsock->counters.bad_packets, 1);
    sq_vsock_conn_abort(c);
}

/* ---- out: host to guest ---- */

static uint32_t send_packet(struct sq_vsock_conn *c,
                            const struct sq_chain *chain, uint16_t op,
                            uint32_t flags, uint32_t len)
{
    struct sq_vsock *v = c->vsock;
    uint8_t raw[SQ_VSOCK_HEADER_LEN];

    sq_vsock_packet_encode(
        &(struct sq_vsock_packet){
            .src_cid = SQ_VSOCK_HOST_CID,
            .dst_cid = v->guest_cid,
            .src_port = c->host_port,
            .dst_port = c->guest_port,
            .len = len,
            .type = SQ_VSOCK_TYPE_STREAM,
            .op = op,
            .flags = flags,
            .buf_alloc = SQ_VSOCK_BUF_ALLOC,
            .fwd_cnt = c->fwd_cnt,
        },
        raw);
    sq_chain_write(chain, v->dev.mem, 0, raw, sizeof(raw));
    c->fwd_told = c->fwd_cnt;
    c->want &= ~(unsigned)SQ_VSOCK_WANT_CREDIT;
    return SQ_VSOCK_HEADER_LEN + len;
}

/* Reads from the descriptor into the chain, within the guest's credit.
 * Returns the bytes read; 0: nothing now, or end of file (noted). */
static uint32_t read_fd(struct sq_vsock_conn *c,
                        const struct sq_chain *chain)
{
    struct iovec iov[SQ_CHAIN_PIECES_MAX];
    uint64_t room = chain->writable_len - SQ_VSOCK_HEADER_LEN;
    unsigned iov_count;
    ssize_t n;

    if (room > credit(c))
        room = credit(c);
    if (room > SQ_VSOCK_PAYLOAD_MAX)
        room = SQ_VSOCK_PAYLOAD_MAX;
    if (room == 0)
        return 0;
    iov_count = sq_chain_slice(chain, true, SQ_VSOCK_HEADER_LEN, room, iov);
    do {
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = iov_count};

        n = recvmsg(c->fd, &msg, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        /* With a peer that has gone, empty means the end. */
        c->readable = false;
        c->out_eof = c->hup;
        return 0;
    }
    if (n <= 0) {
        c->readable = false;
        c->out_eof = true;
        if (n < 0)
            count(&c->vsock->counters.read_failed, 1);
        if (n < 0 && !c->in_done)
            in_broke(c);
        return 0;
    }
    /* A short read has emptied it; the loop tells about more. A peer that
     * has gone is read to the end. */
    if ((uint64_t)n < room && !c->hup)
        c->readable = false;
    c->sent += (uint32_t)n;
    sq_chain_wrote(chain, c->vsock->dev.mem, SQ_VSOCK_HEADER_LEN,
                   (uint64_t)n);
    count(&c->vsock->counters.rx_bytes, (uint64_t)n);
    return (uint32_t)n;
}

/* Takes one of the wanted packets. */
static bool take(struct sq_vsock_conn *c, unsigned bit)
{
    bool had = c->want & bit;

    c->want &= ~bit;
    return had;
}

static uint32_t fill(struct sq_vsock_conn *c, const struct sq_chain *chain)
{
    uint32_t n;
    unsigned flags;

    if (take(c, SQ_VSOCK_WANT_REQUEST))
        return send_packet(c, chain, SQ_VSOCK_REQUEST, 0, 0);
    if (take(c, SQ_VSOCK_WANT_RESPONSE))
        return send_packet(c, chain, SQ_VSOCK_RESPONSE, 0, 0);
    if (c->state != SQ_VSOCK_OPEN)
        return 0;
    if (wants_out(c) && c->readable) {
        n = read_fd(c, chain);
        if (n)
            return send_packet(c, chain, SQ_VSOCK_RW, 0, n);
        if (c->readable && !credit(c) && !c->credit_asked) {
            c->credit_asked = true;
            c->want |= SQ_VSOCK_WANT_ASK_CREDIT;
        }
    }
    flags = shut_flags(c);
    if (flags != c->shut_told) {
        c->shut_told = flags;
        if (flags == SQ_VSOCK_SHUT_BOTH)
            close_fd(c); /* nothing can pass it any more */
        return send_packet(c, chain, SQ_VSOCK_SHUTDOWN, flags, 0);
    }
    if (take(c, SQ_VSOCK_WANT_ASK_CREDIT))
        return send_packet(c, chain, SQ_VSOCK_CREDIT_REQUEST, 0, 0);
    if (take(c, SQ_VSOCK_WANT_CREDIT))
        return send_packet(c, chain, SQ_VSOCK_CREDIT_UPDATE, 0, 0);
    return 0;
}

uint32_t sq_vsock_conn_fill(struct sq_vsock_conn *c,
                            const struct sq_chain *chain)
{
    uint32_t n;

    if (take(c, SQ_VSOCK_WANT_RST)) {
        n = send_packet(c, chain, SQ_VSOCK_RST, 0, 0);
        sq_vsock_conn_free(c);
        return n;
    }
    n = fill(c, chain);
    update(c);
    if (!c->in_ready)
        sq_vsock_conn_watch(c);
    return n;
}

/* ---- The host's descriptor ---- */

static void fd_event(void *ctx, int fd, unsigned events)
{
    struct sq_vsock_conn *c = ctx;
    struct sq_vsock *v = c->vsock;

    (void)fd;
    if (!sq_virtio_enter(&v->dev))
        return; /* a reset: c is gone */
    if (events & SQ_POLL_HUP) {
        /* Reported for as long as it is watched, so stop that. What it
         * still holds is read as the guest's credit allows. */
        unwatch(c);
        c->hup = true;
        c->out_eof |= c->guest_deaf; /* nobody is going to read it */
        if (!c->in_done)
            in_broke(c);
    } else if (events & SQ_POLL_OUT) {
        flush(c);
    }
    if (events & (SQ_POLL_IN | SQ_POLL_HUP))
        c->readable = true;
    update(c);
    in_advance(c);
    sq_vsock_rx(v);
    sq_virtio_leave(&v->dev);
}

void sq_vsock_conn_watch(struct sq_vsock_conn *c)
{
    struct sq_poller *p = c->vsock->dev.poller;
    unsigned events = 0;

    if (c->fd < 0 || c->hup || c->state == SQ_VSOCK_CONNECTING)
        return;
    if (wants_out(c) && !c->readable)
        events |= SQ_POLL_IN;
    if (c->buf_len)
        events |= SQ_POLL_OUT;
    if (!c->watched) {
        if (sq_poller_add(p, c->fd, events, fd_event, c, NULL) != 0) {
            sq_vsock_conn_abort(c);
            return;
        }
        c->watched = true;
    } else if (events != c->watch_events) {
        sq_poller_mod(p, c->fd, events);
    }
    c->watch_events = events;
}

/* ---- The table ---- */

struct sq_vsock_conn *sq_vsock_conn_find(struct sq_vsock *vsock,
                                         uint32_t host_port,
                                         uint32_t guest_port)
{
    for (unsigned i = 0; i < vsock->conn_count; i++) {
        struct sq_vsock_conn *c = vsock->conn[i];

        if (c->host_port == host_port && c->guest_port == guest_port &&
            c->state != SQ_VSOCK_ORPHAN)
            return c;
    }
    return NULL;
}

/* Entries that the host is through with wait for the guest only. */
static void evict_one(struct sq_vsock *vsock)
{
    for (unsigned i = 0; i < vsock->conn_count; i++) {
        struct sq_vsock_conn *c = vsock->conn[i];

        if (c->state == SQ_VSOCK_OPEN && c->fd < 0) {
            sq_vsock_conn_free(c);
            return;
        }
    }
}

struct sq_vsock_conn *sq_vsock_conn_new(struct sq_vsock *vsock,
                                        uint32_t host_port,
                                        uint32_t guest_port, int fd,
                                        enum sq_vsock_state state)
{
    struct sq_vsock_conn *c;

    if (vsock->conn_count == SQ_VSOCK_CONNS_MAX)
        evict_one(vsock);
    if (vsock->conn_count == SQ_VSOCK_CONNS_MAX)
        return NULL;
    c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->vsock = vsock;
    c->host_port = host_port;
    c->guest_port = guest_port;
    c->fd = fd;
    c->state = state;
    vsock->conn[vsock->conn_count++] = c;
    return c;
}

void sq_vsock_conn_free(struct sq_vsock_conn *c)
{
    struct sq_vsock *v = c->vsock;
    struct sq_vsock_conn **at = &v->ready;
    unsigned i = 0;

    close_fd(c);
    while (c->in_ready && *at) {
        if (*at != c) {
            at = &(*at)->next_ready;
            continue;
        }
        *at = c->next_ready;
        if (v->ready_tail == &c->next_ready)
            v->ready_tail = at;
        break;
    }
    while (v->conn[i] != c)
        i++;
    memmove(&v->conn[i], &v->conn[i + 1],
            (v->conn_count - i - 1) * sizeof(v->conn[0]));
    v->conn_count--;
    if (c->was_open)
        count(&v->counters.conns_closed, 1);
    free(c);
}

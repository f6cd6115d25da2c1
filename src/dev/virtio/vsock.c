/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device: queues, dispatch of packets to connections, and turns among
 * connections that have packets for the guest.
 *
 * Nothing is queued for the guest but what is bounded anyway: a connection
 * keeps flags of the packets that it owes, and RSTs for unknown ports have
 * a small ring (a guest that overruns it without giving buffers misses
 * some). Interest in receive buffers is only armed while something waits
 * for one.
 */
#include "dev/virtio/vsock.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "dev/virtio/vsock_conn.h"
#include "os/clock.h"

#define RX 0u
#define TX 1u
#define EVENT 2u
#define QUEUE_SIZE 128u
#define RX_BATCH 512u /* packets before others have their turn */
#define TX_BATCH 64u

#define HOST_PORT_FIRST 0x40000000u
#define HOST_PORT_LAST 0x7fffffffu

static struct sq_vsock *vsock_of(const struct sq_virtio_device *dev)
{
    return SQ_CONTAINER_OF(dev, struct sq_vsock, dev);
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- To the guest ---- */

void sq_vsock_make_ready(struct sq_vsock_conn *c)
{
    struct sq_vsock *v = c->vsock;

    if (c->in_ready)
        return;
    c->in_ready = true;
    c->next_ready = NULL;
    *v->ready_tail = c;
    v->ready_tail = &c->next_ready;
}

static struct sq_vsock_conn *take_ready(struct sq_vsock *v)
{
    struct sq_vsock_conn *c = v->ready;

    v->ready = c->next_ready;
    if (!v->ready)
        v->ready_tail = &v->ready;
    c->in_ready = false;
    return c;
}

static void add_rst(struct sq_vsock *v, uint32_t host_port,
                    uint32_t guest_port)
{
    if (v->rst_count == SQ_VSOCK_RSTS_MAX)
        return;
    v->rst[(v->rst_at + v->rst_count++) % SQ_VSOCK_RSTS_MAX] =
        (struct sq_vsock_rst){host_port, guest_port};
}

static uint32_t fill_rst(struct sq_vsock *v, const struct sq_chain *chain)
{
    struct sq_vsock_rst r = v->rst[v->rst_at];
    struct sq_vsock_packet p = {
        .src_cid = SQ_VSOCK_HOST_CID,
        .dst_cid = v->guest_cid,
        .src_port = r.host_port,
        .dst_port = r.guest_port,
        .type = SQ_VSOCK_TYPE_STREAM,
        .op = SQ_VSOCK_RST,
    };
    uint8_t raw[SQ_VSOCK_HEADER_LEN];

    v->rst_at = (v->rst_at + 1) % SQ_VSOCK_RSTS_MAX;
    v->rst_count--;
    sq_vsock_packet_encode(&p, raw);
    sq_chain_write(chain, v->dev.mem, 0, raw, sizeof(raw));
    return sizeof(raw);
}

static bool has_rx_work(const struct sq_vsock *v)
{
    return v->rst_count || v->ready;
}

void sq_vsock_rx(struct sq_vsock *v)
{
    struct sq_virtio_device *dev = &v->dev;
    struct sq_chain chain;
    unsigned budget = RX_BATCH;

    do {
        sq_queue_quiet(&dev->queue[RX]);
        while (budget && has_rx_work(v) && sq_virtio_pop(dev, RX, &chain)) {
            uint32_t n;

            budget--;
            if (chain.writable_len <= SQ_VSOCK_HEADER_LEN) {
                sq_virtio_fail(dev); /* no packet with data fits it */
                return;
            }
            n = v->rst_count ? fill_rst(v, &chain)
                             : sq_vsock_conn_fill(take_ready(v), &chain);
            if (n == 0) {
                sq_queue_unpop(&dev->queue[RX]);
                continue;
            }
            count(&v->counters.rx_packets);
            sq_virtio_push(dev, RX, &chain, n);
        }
    } while (budget && has_rx_work(v) && sq_queue_rearm(&dev->queue[RX]));
    if (!budget) {
        sq_virtio_again(dev, RX);
    } else {
        /* Without buffers for them, their descriptors need no watching. */
        for (struct sq_vsock_conn *c = v->ready; c; c = c->next_ready)
            sq_vsock_conn_watch(c);
    }
    sq_virtio_signal(dev, RX);
}

/* ---- From the guest ---- */

static void accept_request(struct sq_vsock *v,
                           const struct sq_vsock_packet *p)
{
    struct sq_vsock_conn *c = NULL;
    int fd = SQUIB_E_NOTFOUND;

    if (v->host)
        fd = v->host->connect(v->host_ctx, p->dst_port, NULL);
    if (fd >= 0) {
        c = sq_vsock_conn_new(v, p->dst_port, p->src_port, fd,
                              SQ_VSOCK_OPEN);
        if (!c)
            close(fd);
    }
    if (!c) {
        count(&v->counters.refused);
        add_rst(v, p->dst_port, p->src_port);
        return;
    }
    count(&v->counters.conns_opened);
    c->was_open = true;
    c->peer_buf_alloc = p->buf_alloc;
    c->peer_fwd_cnt = p->fwd_cnt;
    c->want = SQ_VSOCK_WANT_RESPONSE;
    sq_vsock_make_ready(c);
    sq_vsock_conn_watch(c);
}

static void handle(struct sq_vsock *v, const struct sq_chain *chain)
{
    uint8_t raw[SQ_VSOCK_HEADER_LEN];
    struct sq_vsock_packet p;
    struct sq_vsock_conn *c;

    count(&v->counters.tx_packets);
    if (sq_chain_read(chain, 0, raw, sizeof(raw)) != sizeof(raw)) {
        count(&v->counters.bad_packets);
        return;
    }
    sq_vsock_packet_decode(raw, &p);
    c = sq_vsock_conn_find(v, p.dst_port, p.src_port);
    switch (sq_vsock_packet_check(&p, v->guest_cid,
                                  chain->readable_len - sizeof(raw))) {
    case SQ_VSOCK_DROP:
        count(&v->counters.bad_packets);
        return;
    case SQ_VSOCK_REFUSE:
        count(&v->counters.bad_packets);
        if (c)
            sq_vsock_conn_abort(c);
        else if (p.op != SQ_VSOCK_RST)
            add_rst(v, p.dst_port, p.src_port);
        return;
    case SQ_VSOCK_ACCEPT:
        break;
    }
    if (c)
        sq_vsock_conn_packet(c, &p, chain);
    else if (p.op == SQ_VSOCK_REQUEST)
        accept_request(v, &p);
    else if (p.op != SQ_VSOCK_RST)
        add_rst(v, p.dst_port, p.src_port);
}

static void tx(struct sq_vsock *v)
{
    struct sq_virtio_device *dev = &v->dev;
    struct sq_chain chain;
    unsigned budget = TX_BATCH;

    do {
        sq_queue_quiet(&dev->queue[TX]);
        while (budget && sq_virtio_pop(dev, TX, &chain)) {
            budget--;
            handle(v, &chain);
            sq_virtio_push(dev, TX, &chain, 0);
        }
    } while (budget && sq_queue_rearm(&dev->queue[TX]));
    if (!budget)
        sq_virtio_again(dev, TX);
    sq_virtio_signal(dev, TX);
    sq_vsock_rx(v);
}

static void notify(struct sq_virtio_device *dev, unsigned q)
{
    switch (q) {
    case RX: sq_vsock_rx(vsock_of(dev)); break;
    case TX: tx(vsock_of(dev)); break;
    case EVENT: break; /* buffers for events that have not happened */
    }
}

/* ---- Connections from the host ---- */

static void timed_out(void *ctx, uint64_t now_ns)
{
    struct sq_vsock *v = ctx;
    uint64_t next_ns = UINT64_MAX;
    unsigned i = 0;

    if (!sq_virtio_enter(&v->dev))
        return;
    while (i < v->conn_count) {
        struct sq_vsock_conn *c = v->conn[i];

        if (c->state != SQ_VSOCK_CONNECTING || c->deadline_ns > now_ns) {
            if (c->state == SQ_VSOCK_CONNECTING && c->deadline_ns < next_ns)
                next_ns = c->deadline_ns;
            i++;
            continue;
        }
        count(&v->counters.refused);
        if (c->want & SQ_VSOCK_WANT_REQUEST) {
            sq_vsock_conn_free(c); /* the guest has never heard of it */
        } else {
            sq_vsock_conn_abort(c);
            i++;
        }
    }
    if (next_ns != UINT64_MAX)
        sq_timer_arm(v->dev.poller, &v->timer, next_ns);
    sq_vsock_rx(v);
    sq_virtio_leave(&v->dev);
}

static uint32_t pick_host_port(struct sq_vsock *v, uint32_t guest_port)
{
    uint32_t port;

    /* The table is far smaller than the range, so this ends. */
    do {
        port = v->next_host_port;
        v->next_host_port =
            port == HOST_PORT_LAST ? HOST_PORT_FIRST : port + 1;
    } while (sq_vsock_conn_find(v, port, guest_port));
    return port;
}

int sq_vsock_host_connect(struct sq_virtio_device *dev, uint32_t guest_port,
                          int fd, uint64_t wait_ns,
                          sq_vsock_opened_fn *opened, void *ctx,
                          struct squib_error *err)
{
    struct sq_vsock *v = vsock_of(dev);
    struct sq_vsock_conn *c;

    if (!sq_virtio_enter(dev))
        return sq_err_set(err, SQUIB_E_STATE,
                          "vsock: the guest has no driver running");
    c = sq_vsock_conn_new(v, pick_host_port(v, guest_port), guest_port, fd,
                          SQ_VSOCK_CONNECTING);
    if (!c) {
        sq_virtio_leave(dev);
        return sq_err_set(err, SQUIB_E_NOMEM,
                          "vsock: more than %u connections",
                          SQ_VSOCK_CONNS_MAX);
    }
    c->opened = opened;
    c->opened_ctx = ctx;
    c->deadline_ns = sq_now_ns() + wait_ns;
    c->want = SQ_VSOCK_WANT_REQUEST;
    sq_vsock_make_ready(c);
    if (!v->timer.armed || c->deadline_ns < v->timer.deadline_ns)
        sq_timer_arm(dev->poller, &v->timer, c->deadline_ns);
    sq_vsock_rx(v);
    sq_virtio_leave(dev);
    return 0;
}

/* ---- Life ---- */

static void reset(struct sq_virtio_device *dev)
{
    struct sq_vsock *v = vsock_of(dev);

    while (v->conn_count)
        sq_vsock_conn_free(v->conn[v->conn_count - 1]);
    v->rst_at = v->rst_count = 0;
    sq_timer_disarm(dev->poller, &v->timer);
}

static void vsock_free(struct sq_virtio_device *dev)
{
    if (dev->poller) /* else it never had a transport, nor connections */
        reset(dev);
    sq_virtio_device_destroy(dev);
    free(vsock_of(dev));
}

static const struct sq_virtio_ops vsock_ops = {
    .name = "vsock",
    .id = SQ_VIRTIO_ID_VSOCK,
    .queue_count = 3,
    .queue_size = QUEUE_SIZE,
    .reset = reset,
    .notify = notify,
    .free = vsock_free,
};

int sq_virtio_vsock_new(const struct sq_virtio_vsock_config *config,
                        struct sq_virtio_device **out,
                        struct squib_error *err)
{
    struct sq_vsock *v;

    /* 0..2 and all ones are reserved (5.10.4). */
    if (config->guest_cid < 3 || config->guest_cid == UINT32_MAX)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "vsock: guest CID %u is reserved\n"
                          "  do: take 3 or above",
                          config->guest_cid);
    v = calloc(1, sizeof(*v));
    if (!v)
        return sq_err_set(err, SQUIB_E_NOMEM, "device vsock: out of memory");
    v->guest_cid = config->guest_cid;
    v->host = config->host;
    v->host_ctx = config->host_ctx;
    v->ready_tail = &v->ready;
    v->next_host_port = HOST_PORT_FIRST;
    v->timer = (struct sq_timer){.fn = timed_out, .ctx = v};
    sq_virtio_device_init(&v->dev, &vsock_ops, 0);
    sq_st64(v->dev.config, config->guest_cid);
    v->dev.config_len = 8;
    *out = &v->dev;
    return 0;
}

const struct sq_virtio_vsock_counters *
sq_virtio_vsock_counters(const struct sq_virtio_device *dev)
{
    return &vsock_of(dev)->counters;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Each direction is pumped until it has nothing to do, must wait, or has
 * used up its turn. What it may wait for, and who wakes it:
 *
 *   receive   a frame                  the engine's descriptor (IN)
 *             buffers of the guest     its notification
 *             the rate limit           the throttle's timer
 *   transmit  a chain of the guest     its notification
 *             the engine               its descriptor (OUT)
 *             the rate limit           the throttle's timer
 *
 * The descriptor is watched for exactly those of its events that somebody
 * waits for, and not at all when nobody does: a frame that cannot be
 * delivered stays with the engine (one of them in `frame`), which pushes
 * back on whoever sends. Nothing is queued here.
 *
 * Receiving copies once, from the engine's buffer to the guest's. With
 * mergeable buffers (5.1.6.4) a frame takes as many chains as it needs; the
 * driver is told of all of them with one step of the used index. If the
 * guest has too few, all go back and the frame waits.
 *
 * Transmitting passes pointers into guest memory to the engine, behind a
 * header that was copied first. Only frames whose checksum is to be made
 * here, and those for the filter, are copied.
 */
#include "dev/virtio/net.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "os/clock.h"

#define RX SQ_VIRTIO_NET_RX
#define TX SQ_VIRTIO_NET_TX
#define QUEUE_SIZE 256u
#define BATCH 64u /* frames before others have their turn */

/* 5.1.3 */
#define F_CSUM (1ull << 0)
#define F_GUEST_CSUM (1ull << 1)
#define F_MTU (1ull << 3)
#define F_MAC (1ull << 5)
#define F_GUEST_TSO4 (1ull << 7)
#define F_GUEST_TSO6 (1ull << 8)
#define F_GUEST_ECN (1ull << 9)
#define F_GUEST_UFO (1ull << 10)
#define F_HOST_TSO4 (1ull << 11)
#define F_HOST_TSO6 (1ull << 12)
#define F_HOST_ECN (1ull << 13)
#define F_HOST_UFO (1ull << 14)
#define F_MRG_RXBUF (1ull << 15)
#define F_STATUS (1ull << 16)

#define OFFLOADS                                                           \
    (F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN | F_GUEST_UFO |             \
     F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN | F_HOST_UFO)

/* 5.1.4 */
enum config_off {
    CONFIG_MAC = 0,
    CONFIG_STATUS = 6,
    CONFIG_MTU = 10,
    CONFIG_LEN = 12,
};

#define STATUS_LINK_UP 1u

/* struct virtio_net_hdr, 5.1.6 */
enum header_off {
    HEADER_FLAGS = 0,
    HEADER_GSO_TYPE = 1,
    HEADER_CSUM_START = 6,
    HEADER_CSUM_OFFSET = 8,
    HEADER_NUM_BUFFERS = 10,
};

#define HEADER_NEEDS_CSUM 1u
#define HEADER_DATA_VALID 2u
#define GSO_NONE 0u
#define GSO_TCPV4 1u
#define GSO_UDP 3u
#define GSO_TCPV6 4u
#define GSO_ECN 0x80u

struct net {
    struct sq_virtio_device dev;
    struct sq_net_backend *backend;
    const struct sq_net_filter_ops *filter;
    void *filter_ctx;
    bool has_mac;
    struct sq_throttle rx, tx;
    struct sq_virtio_net_counters counters;

    unsigned watched;    /* SQ_POLL_*; 0: not watched at all */
    bool dead;           /* the engine's other end has gone */
    bool rx_stalled;     /* `frame` waits for buffers of the guest */
    bool tx_busy;        /* a chain waits for the engine */
    size_t tx_paid;      /* what that chain has paid its rate limit for */
    bool from_filter;    /* `frame` is the filter's */
    struct sq_net_frame frame; /* for the guest; len 0: none */
    struct sq_used used[QUEUE_SIZE];
    struct sq_chain chain, more;
    struct iovec iov[1 + SQ_CHAIN_PIECES_MAX];
    uint8_t tx_header[SQ_NET_HEADER_LEN];
    uint8_t out[SQ_NET_FRAME_MAX];
    uint8_t filter_frame[SQ_NET_FRAME_MAX];
};

static const uint8_t no_header[SQ_NET_HEADER_LEN];

static struct net *net_of(const struct sq_virtio_device *dev)
{
    return SQ_CONTAINER_OF(dev, struct net, dev);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* The link goes down and stays so; the guest is told. */
static void died(struct net *n)
{
    if (n->dead)
        return;
    n->dead = true;
    sq_st16(n->dev.config + CONFIG_STATUS, 0);
    sq_virtio_config_changed(&n->dev);
}

/* ---- To the guest ---- */

/* Whether the guest has said that it understands this header. Frames may
 * have waited in the engine since before it said anything. */
static bool acceptable(const struct net *n, const uint8_t *header)
{
    static const struct {
        uint8_t type;
        uint64_t feature;
    } kinds[] = {
        {GSO_TCPV4, F_GUEST_TSO4},
        {GSO_TCPV6, F_GUEST_TSO6},
        {GSO_UDP, F_GUEST_UFO},
    };
    uint8_t type = header[HEADER_GSO_TYPE];

    if ((header[HEADER_FLAGS] & HEADER_NEEDS_CSUM) &&
        !sq_virtio_acked(&n->dev, F_GUEST_CSUM))
        return false;
    if ((type & GSO_ECN) && !sq_virtio_acked(&n->dev, F_GUEST_ECN))
        return false;
    type &= (uint8_t)~GSO_ECN;
    for (size_t i = 0; i < SQ_ARRAY_LEN(kinds); i++)
        if (type == kinds[i].type)
            return sq_virtio_acked(&n->dev, kinds[i].feature);
    return type == GSO_NONE;
}

/* Makes sure that `frame` holds the next frame. False: there is none. */
static bool have_frame(struct net *n)
{
    int rc;

    if (n->frame.len)
        return true;
    if (n->filter) {
        n->frame.len = n->filter->next(n->filter_ctx, n->filter_frame,
                                       sizeof(n->filter_frame));
        n->from_filter = n->frame.len != 0;
        if (n->frame.len) {
            n->frame.header = no_header;
            n->frame.data = n->filter_frame;
            return true;
        }
    }
    if (n->dead)
        return false;
    rc = n->backend->ops->recv(n->backend, &n->frame);
    if (rc > 0)
        return true;
    n->frame.len = 0;
    if (rc < 0) {
        count(&n->counters.rx_broken, 1);
        died(n);
    }
    return false;
}

/* Writes bytes [off, ...) of header and frame into a chain. Returns how
 * many fitted. */
static size_t fill(struct net *n, const struct sq_chain *chain,
                   const uint8_t *header, size_t off)
{
    size_t done = 0;

    if (off < SQ_NET_HEADER_LEN) {
        done = sq_chain_write(chain, n->dev.mem, 0, header + off,
                              SQ_NET_HEADER_LEN - off);
        off += done;
        if (off < SQ_NET_HEADER_LEN)
            return done;
    }
    off -= SQ_NET_HEADER_LEN;
    return done + sq_chain_write(chain, n->dev.mem, done,
                                 n->frame.data + off, n->frame.len - off);
}

enum delivery { DELIVERED, NO_BUFFERS, LIMITED, DROPPED };

/* Takes a chain. False: there is none, and the driver will notify of the
 * next one; to be found out before chains are given back, since it is those
 * beyond them that are waited for. */
static bool pop_rx(struct net *n, struct sq_chain *chain)
{
    return sq_virtio_pop(&n->dev, RX, chain) ||
           (sq_queue_rearm(&n->dev.queue[RX]) &&
            sq_virtio_pop(&n->dev, RX, chain));
}

static void give_back(struct net *n, unsigned chains)
{
    while (chains--)
        sq_queue_unpop(&n->dev.queue[RX]);
}

/* Further chains for a frame that is larger than the first. Returns the
 * number of all, 0 when there are not enough now, or never can be. */
static unsigned merge(struct net *n, const uint8_t *header, size_t done,
                      enum delivery *why)
{
    size_t need = SQ_NET_HEADER_LEN + n->frame.len;
    unsigned chains = 1;

    while (done < need) {
        size_t put;

        *why = NO_BUFFERS;
        if (!pop_rx(n, &n->more))
            break;
        put = fill(n, &n->more, header, done);
        n->used[chains] = (struct sq_used){n->more.head, (uint32_t)put};
        done += put;
        if (++chains < n->dev.queue[RX].size || done == need)
            continue;
        *why = DROPPED; /* it has no more to give */
        break;
    }
    if (done == need)
        return chains;
    give_back(n, chains);
    return 0;
}

static enum delivery deliver(struct net *n)
{
    struct sq_virtio_device *dev = &n->dev;
    size_t need = SQ_NET_HEADER_LEN + n->frame.len, done;
    uint8_t header[SQ_NET_HEADER_LEN], chains16[2];
    enum delivery why = DROPPED;
    unsigned chains = 1;

    if (!acceptable(n, n->frame.header))
        return DROPPED;
    if (!pop_rx(n, &n->chain))
        return NO_BUFFERS;
    if (n->chain.writable_len < SQ_NET_HEADER_LEN) {
        sq_virtio_fail(dev); /* 5.1.6.3.1 */
        return NO_BUFFERS;
    }
    memcpy(header, n->frame.header, sizeof(header));
    sq_st16(header + HEADER_NUM_BUFFERS, 1);
    if (((n->backend->offloads & SQ_NET_TRUSTED) || n->from_filter) &&
        sq_virtio_acked(dev, F_GUEST_CSUM))
        header[HEADER_FLAGS] |= HEADER_DATA_VALID;
    if (n->chain.writable_len < need && !sq_virtio_acked(dev, F_MRG_RXBUF)) {
        give_back(n, 1);
        return DROPPED;
    }
    done = fill(n, &n->chain, header, 0);
    n->used[0] = (struct sq_used){n->chain.head, (uint32_t)done};
    if (done < need) {
        chains = merge(n, header, done, &why);
        if (!chains)
            return why;
        sq_st16(chains16, (uint16_t)chains);
        sq_chain_write(&n->chain, dev->mem, HEADER_NUM_BUFFERS, chains16,
                       sizeof(chains16));
    }
    if (!n->from_filter && !sq_throttle_admit(&n->rx, n->frame.len)) {
        give_back(n, chains);
        return LIMITED;
    }
    sq_virtio_push_all(dev, RX, n->used, chains);
    return DELIVERED;
}

static void pump_rx(struct net *n)
{
    struct sq_virtio_device *dev = &n->dev;
    unsigned budget = BATCH;

    if (n->rx.waiting)
        return;
    n->rx_stalled = false;
    sq_queue_quiet(&dev->queue[RX]);
    while (budget && !n->rx_stalled && !n->rx.waiting && have_frame(n)) {
        budget--;
        switch (deliver(n)) {
        case DELIVERED:
            count(&n->counters.rx_frames, 1);
            count(&n->counters.rx_bytes, n->frame.len);
            n->frame.len = 0;
            break;
        case DROPPED:
            count(&n->counters.rx_failed, 1);
            n->frame.len = 0;
            break;
        case NO_BUFFERS:
            n->rx_stalled = true;
            break;
        case LIMITED:
            break;
        }
    }
    if (n->rx_stalled)
        count(&n->counters.rx_no_buffers, 1);
    if (!budget)
        sq_virtio_again(dev, RX);
    sq_virtio_signal(dev, RX);
}

/* ---- From the guest ---- */

/* Finishes the checksum of the frame in `out`: its field holds the sum of
 * the pseudo header, to which everything from `start` on is added. */
static bool make_checksum(struct net *n, size_t len)
{
    size_t start = sq_ld16(n->tx_header + HEADER_CSUM_START);
    size_t at = start + sq_ld16(n->tx_header + HEADER_CSUM_OFFSET);
    uint64_t sum = 0;
    size_t i;

    if (start > len || at + 2 > len)
        return false;
    /* One's complement sums care for neither byte order nor word size. */
    for (i = start; i + 4 <= len; i += 4)
        sum += sq_ld32(n->out + i);
    for (; i + 2 <= len; i += 2)
        sum += sq_ld16(n->out + i);
    if (i < len)
        sum += n->out[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    sum = ~sum & 0xffff;
    /* A UDP checksum of 0 would mean that there is none. */
    sq_st16(n->out + at, sum ? (uint16_t)sum : 0xffff);
    return true;
}

/* Whether the filter takes the frame of the chain. */
static bool offer_to_filter(struct net *n, size_t len)
{
    uint8_t head[SQ_NET_FILTER_HEAD];
    size_t n_head;

    if (!n->filter)
        return false;
    n_head = sq_chain_read(&n->chain, SQ_NET_HEADER_LEN, head, sizeof(head));
    if (!n->filter->wants(n->filter_ctx, head, n_head))
        return false;
    sq_chain_read(&n->chain, SQ_NET_HEADER_LEN, n->out, len);
    n->filter->take(n->filter_ctx, n->out, len);
    count(&n->counters.filtered, 1);
    return true;
}

static void note_spoofing(struct net *n)
{
    uint8_t src[SQ_VIRTIO_NET_MAC_LEN];

    sq_chain_read(&n->chain, SQ_NET_HEADER_LEN + sizeof(src), src,
                  sizeof(src));
    if (n->has_mac && memcmp(src, n->dev.config + CONFIG_MAC, sizeof(src)))
        count(&n->counters.tx_spoofed, 1);
}

/* Sets iov up for the engine. 0: the frame is none. */
static unsigned prepare(struct net *n, size_t len)
{
    bool headers = n->backend->offloads & SQ_NET_HEADERS;
    bool needs_csum = n->tx_header[HEADER_FLAGS] & HEADER_NEEDS_CSUM;

    n->iov[0] = (struct iovec){n->tx_header, sizeof(n->tx_header)};
    if (headers)
        return 1 + sq_chain_slice(&n->chain, false, SQ_NET_HEADER_LEN, len,
                                  n->iov + 1);
    if (n->tx_header[HEADER_GSO_TYPE] != GSO_NONE)
        return 0; /* never offered */
    if (!needs_csum)
        return 1 + sq_chain_slice(&n->chain, false, SQ_NET_HEADER_LEN, len,
                                  n->iov + 1);
    sq_chain_read(&n->chain, SQ_NET_HEADER_LEN, n->out, len);
    if (!make_checksum(n, len))
        return 0;
    n->iov[1] = (struct iovec){n->out, len};
    return 2;
}

/* Deals with the frame in `chain`. False: it must wait. */
static bool transmit(struct net *n)
{
    enum sq_net_sent sent;
    uint64_t start_ns;
    size_t len = 0;
    unsigned pieces;

    if (n->chain.readable_len >= SQ_NET_HEADER_LEN + SQ_NET_FRAME_MIN &&
        n->chain.readable_len <= SQ_NET_HEADER_LEN + SQ_NET_FRAME_MAX)
        len = (size_t)n->chain.readable_len - SQ_NET_HEADER_LEN;
    if (!len) {
        count(&n->counters.tx_malformed, 1);
        return true;
    }
    if (offer_to_filter(n, len))
        return true;
    if (n->dead) {
        count(&n->counters.tx_failed, 1);
        return true;
    }
    /* While it waited for the engine, the driver may have made it longer. */
    if (len > n->tx_paid && !sq_throttle_admit(&n->tx, len))
        return false;
    n->tx_paid = 0;
    sq_chain_read(&n->chain, 0, n->tx_header, sizeof(n->tx_header));
    pieces = prepare(n, len);
    if (!pieces) {
        count(&n->counters.tx_malformed, 1);
        return true;
    }
    start_ns = sq_now_ns();
    sent = n->backend->ops->send(n->backend, n->iov, pieces, len);
    sq_latency_add(&n->counters.tx_latency, (sq_now_ns() - start_ns) / 1000);
    switch (sent) {
    case SQ_NET_SENT:
        count(&n->counters.tx_frames, 1);
        count(&n->counters.tx_bytes, len);
        note_spoofing(n);
        break;
    case SQ_NET_BUSY:
        count(&n->counters.tx_busy, 1);
        n->tx_busy = true;
        n->tx_paid = len;
        return false;
    case SQ_NET_DEAD:
        died(n);
        count(&n->counters.tx_failed, 1);
        break;
    case SQ_NET_FAILED:
        count(&n->counters.tx_failed, 1);
        break;
    }
    return true;
}

static void pump_tx(struct net *n)
{
    struct sq_virtio_device *dev = &n->dev;
    uint64_t filtered = atomic_load(&n->counters.filtered);
    unsigned budget = BATCH;
    bool waits = n->tx.waiting || n->tx_busy;

    if (waits)
        return;
    do {
        sq_queue_quiet(&dev->queue[TX]);
        while (budget && !waits && sq_virtio_pop(dev, TX, &n->chain)) {
            budget--;
            if (transmit(n)) {
                sq_virtio_push(dev, TX, &n->chain, 0);
            } else {
                sq_queue_unpop(&dev->queue[TX]);
                waits = true;
            }
        }
        if (budget == BATCH)
            count(&n->counters.tx_idle, 1);
    } while (budget && !waits && sq_queue_rearm(&dev->queue[TX]));
    count(&n->counters.tx_left_waiting, sq_queue_waiting(&dev->queue[TX]));
    if (!budget)
        sq_virtio_again(dev, TX);
    sq_virtio_signal(dev, TX);
    if (filtered != atomic_load(&n->counters.filtered))
        pump_rx(n); /* there may be answers */
}

/* ---- The engine ---- */

static void host_event(void *ctx, int fd, unsigned events);

static void watch(struct net *n, unsigned want)
{
    struct sq_poller *p = n->dev.poller;

    if (want == n->watched)
        return;
    if (n->watched && want) {
        if (sq_poller_mod(p, n->backend->fd, want) == 0)
            n->watched = want;
        return;
    }
    if (n->watched) {
        sq_poller_del(p, n->backend->fd);
        n->watched = 0;
    } else if (sq_poller_add(p, n->backend->fd, want, host_event, n,
                             NULL) == 0) {
        n->watched = want;
    } else {
        count(&n->counters.activate_failed, 1);
        died(n);
    }
}

/* What somebody waits for now. A descriptor that nobody reads is not
 * watched, or its hang-up would be reported for ever. */
static void rewatch(struct net *n)
{
    unsigned want = 0;

    if (n->dev.active && !n->dead) {
        if (!n->rx_stalled && !n->rx.waiting)
            want |= SQ_POLL_IN;
        if (n->tx_busy || (n->backend->ops->flush &&
                           !n->backend->ops->flush(n->backend)))
            want |= SQ_POLL_OUT;
    }
    watch(n, want);
}

static void host_event(void *ctx, int fd, unsigned events)
{
    struct net *n = ctx;

    (void)fd;
    if (!sq_virtio_enter(&n->dev))
        return;
    /* A hang-up shows in whatever is tried next. */
    if (events & (SQ_POLL_OUT | SQ_POLL_HUP)) {
        n->tx_busy = false;
        pump_tx(n);
    }
    if (events & (SQ_POLL_IN | SQ_POLL_HUP)) {
        count(&n->counters.rx_events, 1);
        pump_rx(n);
    }
    rewatch(n);
    sq_virtio_leave(&n->dev);
}

void sq_virtio_net_filter_ready(struct sq_virtio_device *dev)
{
    struct net *n = net_of(dev);

    if (!sq_virtio_enter(dev))
        return;
    pump_rx(n);
    rewatch(n);
    sq_virtio_leave(dev);
}

/* ---- Life ---- */

static void notify(struct sq_virtio_device *dev, unsigned q)
{
    struct net *n = net_of(dev);

    if (q == RX)
        pump_rx(n);
    else
        pump_tx(n);
    rewatch(n);
}

static void activate(struct sq_virtio_device *dev)
{
    static const struct {
        uint64_t feature;
        unsigned offload;
    } map[] = {
        {F_GUEST_CSUM, SQ_NET_GUEST_CSUM}, {F_GUEST_TSO4, SQ_NET_GUEST_TSO4},
        {F_GUEST_TSO6, SQ_NET_GUEST_TSO6}, {F_GUEST_ECN, SQ_NET_GUEST_ECN},
        {F_GUEST_UFO, SQ_NET_GUEST_UFO},
    };
    struct net *n = net_of(dev);
    unsigned offloads = 0;

    for (size_t i = 0; i < SQ_ARRAY_LEN(map); i++)
        if (sq_virtio_acked(dev, map[i].feature))
            offloads |= map[i].offload;
    if (n->backend->ops->set_offloads)
        n->backend->ops->set_offloads(n->backend, offloads);
    /* notify() for both queues follows, and watches. */
}

static void reset(struct sq_virtio_device *dev)
{
    struct net *n = net_of(dev);

    watch(n, 0);
    sq_throttle_reset(&n->rx);
    sq_throttle_reset(&n->tx);
    n->rx_stalled = n->tx_busy = false;
    n->tx_paid = 0;
    n->frame.len = 0;
}

static void net_free(struct sq_virtio_device *dev)
{
    struct net *n = net_of(dev);

    if (dev->poller)
        watch(n, 0);
    sq_throttle_fini(&n->rx);
    sq_throttle_fini(&n->tx);
    sq_net_backend_free(n->backend);
    sq_virtio_device_destroy(dev);
    free(n);
}

static const struct sq_virtio_ops net_ops = {
    .name = "net",
    .id = SQ_VIRTIO_ID_NET,
    .queue_count = 2,
    .queue_size = QUEUE_SIZE,
    .activate = activate,
    .reset = reset,
    .notify = notify,
    .free = net_free,
};

int sq_virtio_net_new(const struct sq_virtio_net_config *config,
                      struct sq_virtio_device **out, struct squib_error *err)
{
    uint64_t features = F_CSUM | F_GUEST_CSUM | F_MRG_RXBUF | F_STATUS;
    struct net *n;

    if (config->mtu && config->mtu < SQ_VIRTIO_NET_MTU_MIN)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "MTU %u is out of range [68, 65535]", config->mtu);
    n = calloc(1, sizeof(*n));
    if (!n)
        return sq_err_set(err, SQUIB_E_NOMEM, "device net: out of memory");
    n->backend = config->backend;
    n->filter = config->filter;
    n->filter_ctx = config->filter_ctx;
    n->has_mac = config->mac != NULL;
    if (n->backend->offloads & SQ_NET_HEADERS)
        features |= OFFLOADS;
    if (config->mac)
        features |= F_MAC;
    if (config->mtu)
        features |= F_MTU;
    sq_virtio_device_init(&n->dev, &net_ops, features);
    sq_throttle_init(&n->rx, &n->dev, RX);
    sq_throttle_init(&n->tx, &n->dev, TX);
    if (config->mac)
        memcpy(n->dev.config + CONFIG_MAC, config->mac,
               SQ_VIRTIO_NET_MAC_LEN);
    sq_st16(n->dev.config + CONFIG_STATUS, STATUS_LINK_UP);
    sq_st16(n->dev.config + CONFIG_MTU, config->mtu);
    n->dev.config_len = CONFIG_LEN;
    *out = &n->dev;
    return 0;
}

struct sq_throttle *sq_virtio_net_throttle(struct sq_virtio_device *dev,
                                           unsigned q)
{
    struct net *n = net_of(dev);

    return q == RX ? &n->rx : &n->tx;
}

const struct sq_virtio_net_counters *
sq_virtio_net_counters(const struct sq_virtio_device *dev)
{
    return &net_of(dev)->counters;
}

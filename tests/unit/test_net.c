/* SPDX-License-Identifier: Apache-2.0 */
/* The network device against an engine that is an array of frames. */
#include "virtio_guest.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dev/virtio/net.h"
#include "os/clock.h"

#define HDR SQ_NET_HEADER_LEN
#define RX SQ_VIRTIO_NET_RX
#define TX SQ_VIRTIO_NET_TX
#define FRAMES 600u
#define RX_AT (GUEST_DATA + 0x100000u)

#define F_CSUM (1ull << 0)
#define F_GUEST_CSUM (1ull << 1)
#define F_MTU (1ull << 3)
#define F_MAC (1ull << 5)
#define F_GUEST_TSO4 (1ull << 7)
#define F_HOST_TSO4 (1ull << 11)
#define F_MRG_RXBUF (1ull << 15)
#define F_STATUS (1ull << 16)
#define F_ALL (F_CSUM | F_GUEST_CSUM | F_MTU | F_MAC | F_STATUS)

struct frame {
    size_t len;
    uint8_t header[HDR];
    uint8_t *data;
};

/* The engine. Its descriptor is an eventfd: readable while there are frames
 * (poke()), writable always. */
struct engine {
    struct sq_net_backend net;
    struct frame in[FRAMES];
    unsigned in_count, in_at;
    struct frame sent[FRAMES];
    unsigned sent_count;
    unsigned busy_after; /* frames until it says busy; 0: never */
    unsigned guest_offloads;
    bool gone, fails;
};

struct test {
    struct guest g;
    struct engine e;
    struct sq_virtio_device *dev;
    const struct sq_virtio_net_counters *c;
    bool engine_freed;
    /* The filter. */
    uint8_t taken[2048];
    size_t taken_len;
    unsigned answers;
};

static struct engine *engine_of(struct sq_net_backend *net)
{
    return SQ_CONTAINER_OF(net, struct engine, net);
}

static enum sq_net_sent engine_send(struct sq_net_backend *net,
                                    struct iovec *iov, unsigned iov_count,
                                    size_t len)
{
    struct engine *e = engine_of(net);
    struct frame *f = &e->sent[e->sent_count];
    size_t at = 0;

    if (e->gone)
        return SQ_NET_DEAD;
    if (e->fails)
        return SQ_NET_FAILED;
    if (e->busy_after && e->sent_count >= e->busy_after)
        return SQ_NET_BUSY;
    assert_true(e->sent_count < FRAMES);
    assert_int_equal(iov[0].iov_len, HDR);
    memcpy(f->header, iov[0].iov_base, HDR);
    f->len = len;
    f->data = malloc(len);
    for (unsigned i = 1; i < iov_count; i++) {
        memcpy(f->data + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    assert_int_equal(at, len);
    e->sent_count++;
    return SQ_NET_SENT;
}

static int engine_recv(struct sq_net_backend *net, struct sq_net_frame *out)
{
    struct engine *e = engine_of(net);

    if (e->in_at < e->in_count) {
        struct frame *f = &e->in[e->in_at++];

        *out = (struct sq_net_frame){f->header, f->data, f->len};
        return 1;
    }
    if (e->gone)
        return -1;
    eventfd_read(net->fd, &(eventfd_t){0});
    return 0;
}

static void engine_set_offloads(struct sq_net_backend *net, unsigned set)
{
    engine_of(net)->guest_offloads = set;
}

static void engine_free(struct sq_net_backend *net)
{
    struct engine *e = engine_of(net);
    struct test *t = SQ_CONTAINER_OF(e, struct test, e);

    for (unsigned i = 0; i < e->in_count; i++)
        free(e->in[i].data);
    for (unsigned i = 0; i < e->sent_count; i++)
        free(e->sent[i].data);
    close(net->fd);
    t->engine_freed = true;
}

static const struct sq_net_backend_ops engine_ops = {
    .send = engine_send,
    .recv = engine_recv,
    .set_offloads = engine_set_offloads,
    .free = engine_free,
};

/* Frames start with 0xfe: the filter's. */
static bool filter_wants(void *ctx, const uint8_t *head, size_t len)
{
    (void)ctx;
    return len >= 1 && head[0] == 0xfe;
}

static void filter_take(void *ctx, const uint8_t *frame, size_t len)
{
    struct test *t = ctx;

    assert_true(len <= sizeof(t->taken));
    memcpy(t->taken, frame, len);
    t->taken_len = len;
    t->answers++;
}

static size_t filter_next(void *ctx, uint8_t *frame, size_t cap)
{
    struct test *t = ctx;

    assert_int_equal(cap, SQ_NET_FRAME_MAX);
    if (!t->answers)
        return 0;
    t->answers--;
    memset(frame, 0xaa, 60);
    return 60;
}

static const struct sq_net_filter_ops filter_ops = {filter_wants,
                                                    filter_take,
                                                    filter_next};

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 7};

static int setup_offloads(void **state, unsigned engine_offloads)
{
    struct test *t = calloc(1, sizeof(*t));
    struct sq_virtio_net_config config = {
        .backend = &t->e.net,
        .mac = mac,
        .mtu = 1400,
        .filter = &filter_ops,
        .filter_ctx = t,
    };

    guest_init(&t->g);
    t->e.net = (struct sq_net_backend){&engine_ops, eventfd(0, EFD_NONBLOCK),
                                       engine_offloads};
    assert_int_equal(sq_virtio_net_new(&config, &t->dev, NULL), 0);
    t->c = sq_virtio_net_counters(t->dev);
    guest_plug(&t->g, t->dev);
    *state = t;
    return 0;
}

static int setup(void **state)
{
    return setup_offloads(state, SQ_NET_HEADERS);
}

static int setup_plain(void **state)
{
    return setup_offloads(state, SQ_NET_TRUSTED);
}

static int teardown(void **state)
{
    struct test *t = *state;

    guest_fini(&t->g);
    assert_true(t->engine_freed);
    free(t);
    return 0;
}

static void start(struct test *t, uint64_t features)
{
    guest_start(&t->g, features | SQ_VIRTIO_F_VERSION_1, 256);
}

static uint8_t pattern(size_t seed, size_t i)
{
    return (uint8_t)(seed * 7 + i * 13 + (i >> 8));
}

/* A frame comes in. */
static struct frame *arrive(struct test *t, size_t len)
{
    struct frame *f = &t->e.in[t->e.in_count++];

    f->len = len;
    f->data = malloc(len);
    memset(f->header, 0, HDR);
    for (size_t i = 0; i < len; i++)
        f->data[i] = pattern(t->e.in_count, i);
    eventfd_write(t->e.net.fd, 1);
    return f;
}

static void offer_rx(struct test *t, uint64_t gpa, uint32_t len)
{
    const struct guest_buf buf = {gpa, len, true};

    guest_add(&t->g, RX, &buf, 1);
}

/* The next received frame, in one buffer at gpa. */
static void expect_rx(struct test *t, uint64_t gpa, const struct frame *f)
{
    uint32_t id = 0, len = 0;

    assert_true(guest_used(&t->g, RX, &id, &len));
    assert_int_equal(len, HDR + f->len);
    assert_memory_equal(guest_ptr(&t->g, gpa + HDR, f->len), f->data,
                        f->len);
}

static uint64_t val(const _Atomic uint64_t *counter)
{
    return atomic_load(counter);
}

/* ---- Configuration ---- */

static void offers_what_the_engine_can(void **state)
{
    struct test *t = *state;
    uint64_t f = guest_features(&t->g);

    assert_true(f & F_HOST_TSO4);
    assert_true(f & F_GUEST_TSO4);
    assert_true(f & F_MRG_RXBUF);
    assert_int_equal(f & F_ALL, F_ALL);
    assert_int_equal(guest_read(&t->g, R_ID), 1);
    assert_int_equal(guest_read(&t->g, R_CONFIG), 2);
    /* MAC, then link status, two unused bytes, MTU. */
    assert_int_equal(guest_read(&t->g, R_CONFIG + 4), 0x00010700);
    assert_int_equal(guest_read(&t->g, R_CONFIG + 8), 1400u << 16);
    start(t, F_GUEST_CSUM | F_GUEST_TSO4);
    assert_int_equal(t->e.guest_offloads,
                     SQ_NET_GUEST_CSUM | SQ_NET_GUEST_TSO4);
    start(t, 0);
    assert_int_equal(t->e.guest_offloads, 0);
}

static void plain_engine_means_no_segmentation(void **state)
{
    struct test *t = *state;
    uint64_t f = guest_features(&t->g);

    assert_false(f & (F_HOST_TSO4 | F_GUEST_TSO4));
    assert_int_equal(f & F_ALL, F_ALL);
}

static void settings_are_checked(void **state)
{
    struct engine e = {.net = {&engine_ops, -1, 0}};
    struct sq_virtio_net_config config = {.backend = &e.net, .mtu = 67};
    struct squib_error err = {0};
    struct sq_virtio_device *dev;

    (void)state;
    assert_int_equal(sq_virtio_net_new(&config, &dev, &err), SQUIB_E_INVAL);
    assert_non_null(strstr(err.text, "MTU 67 is out of range"));
}

/* ---- Receiving ---- */

static void receives(void **state)
{
    struct test *t = *state;
    struct frame *f;
    uint8_t *hdr;

    start(t, F_ALL);
    offer_rx(t, RX_AT, 2048);
    offer_rx(t, RX_AT + 0x1000, 2048);
    guest_kick(&t->g, RX);
    guest_pump(&t->g);
    assert_int_equal(guest_used_idx(&t->g, RX), 0);
    f = arrive(t, 60);
    arrive(t, 1514);
    guest_pump(&t->g);
    expect_rx(t, RX_AT, f);
    expect_rx(t, RX_AT + 0x1000, f + 1);
    hdr = guest_ptr(&t->g, RX_AT, HDR);
    assert_int_equal(hdr[0], 0); /* this engine vouches for nothing */
    assert_int_equal(sq_ld16(hdr + 10), 1);
    assert_int_equal(val(&t->c->rx_frames), 2);
    assert_int_equal(val(&t->c->rx_bytes), 1574);
    assert_true(t->g.edges > 0);
}

static void trusted_frames_are_marked_valid(void **state)
{
    struct test *t = *state;

    start(t, F_ALL);
    offer_rx(t, RX_AT, 2048);
    guest_kick(&t->g, RX);
    arrive(t, 60);
    guest_pump(&t->g);
    assert_int_equal(*(uint8_t *)guest_ptr(&t->g, RX_AT, 1), 2);
    start(t, 0);
    offer_rx(t, RX_AT, 2048);
    guest_kick(&t->g, RX);
    arrive(t, 60);
    guest_pump(&t->g);
    assert_int_equal(*(uint8_t *)guest_ptr(&t->g, RX_AT, 1), 0);
}

static void frames_wait_for_buffers(void **state)
{
    struct test *t = *state;
    struct frame *f;

    start(t, F_ALL | SQ_VIRTIO_F_EVENT_IDX);
    f = arrive(t, 100);
    arrive(t, 200);
    arrive(t, 300);
    guest_pump(&t->g);
    assert_true(val(&t->c->rx_no_buffers) > 0);
    offer_rx(t, RX_AT, 2048);
    guest_kick(&t->g, RX);
    guest_pump(&t->g);
    expect_rx(t, RX_AT, f);
    assert_int_equal(guest_used_idx(&t->g, RX), 1);
    offer_rx(t, RX_AT, 2048);
    offer_rx(t, RX_AT + 0x1000, 2048);
    guest_kick(&t->g, RX);
    guest_pump(&t->g);
    expect_rx(t, RX_AT, f + 1);
    expect_rx(t, RX_AT + 0x1000, f + 2);
    assert_int_equal(val(&t->c->rx_frames), 3);
    assert_int_equal(val(&t->c->rx_failed), 0);
}

static void too_long_without_merging_is_dropped(void **state)
{
    struct test *t = *state;
    struct frame *f;

    start(t, F_ALL);
    offer_rx(t, RX_AT, 500);
    guest_kick(&t->g, RX);
    arrive(t, 500);
    f = arrive(t, 488);
    guest_pump(&t->g);
    expect_rx(t, RX_AT, f);
    assert_int_equal(val(&t->c->rx_failed), 1);
}

/* Puts a received frame of several chains together. */
static size_t collect(struct test *t, uint32_t step, uint8_t *frame,
                      unsigned *chains)
{
    size_t len = 0;
    uint32_t id = 0, n = 0;

    for (*chains = 0; guest_used(&t->g, RX, &id, &n); ++*chains) {
        memcpy(frame + len, guest_ptr(&t->g, RX_AT + *chains * step, n), n);
        len += n;
    }
    return len;
}

static void merges_buffers(void **state)
{
    struct test *t = *state;
    static uint8_t got[HDR + SQ_NET_FRAME_MAX];
    struct frame *f;
    unsigned chains;

    start(t, F_ALL | F_MRG_RXBUF | SQ_VIRTIO_F_EVENT_IDX);
    f = arrive(t, 65550);
    for (unsigned i = 0; i < 40; i++)
        offer_rx(t, RX_AT + i * 1536, 1536);
    guest_kick(&t->g, RX);
    guest_pump(&t->g);
    /* 40 are not enough: nothing may be seen of it. */
    assert_int_equal(guest_used_idx(&t->g, RX), 0);
    for (unsigned i = 40; i < 60; i++)
        offer_rx(t, RX_AT + i * 1536, 1536);
    guest_kick(&t->g, RX);
    guest_pump(&t->g);
    assert_int_equal(collect(t, 1536, got, &chains), HDR + f->len);
    assert_int_equal(chains, (HDR + 65550 + 1535) / 1536);
    assert_int_equal(sq_ld16(got + 10), chains);
    assert_memory_equal(got + HDR, f->data, f->len);
    assert_int_equal(val(&t->c->rx_frames), 1);
}

/* The event index must stand behind the chains that were looked at and
 * given back, or the driver never tells of more. */
static void waiting_for_more_buffers_sleeps(void **state)
{
    struct test *t = *state;
    const uint8_t *used;
    uint64_t events;

    start(t, F_ALL | F_MRG_RXBUF | SQ_VIRTIO_F_EVENT_IDX);
    arrive(t, 9000);
    offer_rx(t, RX_AT, 1536);
    offer_rx(t, RX_AT + 1536, 1536);
    guest_kick(&t->g, RX);
    guest_pump(&t->g);
    used = guest_ptr(&t->g, t->g.q[RX].used, 6 + 8 * 256);
    assert_int_equal(sq_ld16(used + 4 + 8 * 256), 2);
    events = val(&t->c->rx_no_buffers);
    guest_pump(&t->g);
    guest_pump(&t->g);
    assert_int_equal(val(&t->c->rx_no_buffers), events); /* no spinning */
}

static void queue_that_can_never_hold_it_drops_it(void **state)
{
    struct test *t = *state;
    struct frame *f;
    uint32_t id = 0, n = 0;

    start(t, F_ALL | F_MRG_RXBUF);
    arrive(t, 60000);
    f = arrive(t, 50);
    for (unsigned i = 0; i < 256; i++)
        offer_rx(t, RX_AT + i * 64, 64);
    guest_kick(&t->g, RX);
    guest_pump(&t->g);
    assert_int_equal(val(&t->c->rx_failed), 1);
    assert_true(guest_used(&t->g, RX, &id, &n));
    assert_int_equal(n, HDR + f->len);
    assert_memory_equal(guest_ptr(&t->g, RX_AT + HDR, n - HDR), f->data, 50);
}

static void header_split_over_pieces(void **state)
{
    struct test *t = *state;
    const struct guest_buf buf[] = {{RX_AT, 5, true},
                                    {RX_AT + 100, 10, true},
                                    {RX_AT + 200, 500, true}};
    struct frame *f;
    uint32_t id = 0, n = 0;

    start(t, F_ALL);
    guest_add(&t->g, RX, buf, 3);
    guest_kick(&t->g, RX);
    f = arrive(t, 64);
    guest_pump(&t->g);
    assert_true(guest_used(&t->g, RX, &id, &n));
    assert_int_equal(n, HDR + 64);
    assert_memory_equal(guest_ptr(&t->g, RX_AT + 107, 3), f->data, 3);
    assert_memory_equal(guest_ptr(&t->g, RX_AT + 200, 61), f->data + 3, 61);
}

static void buffer_without_room_for_a_header(void **state)
{
    struct test *t = *state;

    start(t, F_ALL | F_MRG_RXBUF);
    offer_rx(t, RX_AT, HDR - 1);
    guest_kick(&t->g, RX);
    arrive(t, 64);
    guest_pump(&t->g);
    assert_true(guest_needs_reset(&t->g));
    /* And it comes back. */
    start(t, F_ALL);
    offer_rx(t, RX_AT, 2048);
    guest_kick(&t->g, RX);
    expect_rx(t, RX_AT, (guest_pump(&t->g), arrive(t, 70),
                         guest_pump(&t->g), &t->e.in[1]));
}

static void readable_receive_buffers(void **state)
{
    struct test *t = *state;
    const struct guest_buf buf = {RX_AT, 2048, false};

    start(t, F_ALL);
    guest_add(&t->g, RX, &buf, 1);
    guest_kick(&t->g, RX);
    arrive(t, 64);
    guest_pump(&t->g);
    assert_true(guest_needs_reset(&t->g));
}

static void unasked_offloads_are_dropped(void **state)
{
    struct test *t = *state;
    struct frame *f;

    start(t, 0);
    offer_rx(t, RX_AT, 2048);
    guest_kick(&t->g, RX);
    arrive(t, 64)->header[0] = 1; /* NEEDS_CSUM */
    arrive(t, 64)->header[1] = 1; /* TCPV4 */
    arrive(t, 64)->header[1] = 0x81;
    arrive(t, 64)->header[1] = 9; /* no such type */
    f = arrive(t, 64);
    guest_pump(&t->g);
    expect_rx(t, RX_AT, f);
    assert_int_equal(val(&t->c->rx_failed), 4);
}

static void floods_take_turns(void **state)
{
    struct test *t = *state;

    start(t, F_ALL);
    for (unsigned i = 0; i < 200; i++)
        offer_rx(t, RX_AT + i * 2048, 2048);
    guest_kick(&t->g, RX);
    for (unsigned i = 0; i < 200; i++)
        arrive(t, 60);
    sq_poller_post(t->g.poller, &t->g.stop);
    sq_poller_run(t->g.poller, NULL);
    assert_in_range(guest_used_idx(&t->g, RX), 1, 199);
    guest_pump(&t->g);
    guest_pump(&t->g);
    assert_int_equal(guest_used_idx(&t->g, RX), 200);
}

static void reset_forgets_the_frame_that_waits(void **state)
{
    struct test *t = *state;
    struct frame *f;

    start(t, F_ALL);
    arrive(t, 64);
    guest_pump(&t->g);
    guest_write(&t->g, R_STATUS, 0);
    guest_pump(&t->g);
    start(t, F_ALL);
    offer_rx(t, RX_AT, 2048);
    guest_kick(&t->g, RX);
    f = arrive(t, 99);
    guest_pump(&t->g);
    expect_rx(t, RX_AT, f);
}

/* ---- Transmitting ---- */

static void fill_tx(struct test *t, uint64_t gpa, size_t len)
{
    uint8_t *p = guest_ptr(&t->g, gpa, HDR + len);

    memset(p, 0, HDR);
    for (size_t i = 0; i < len; i++)
        p[HDR + i] = pattern(1, i);
    memcpy(p + HDR + 6, mac, 6);
}

static void send_tx(struct test *t, uint64_t gpa, uint32_t len)
{
    const struct guest_buf buf = {gpa, len, false};

    guest_add(&t->g, TX, &buf, 1);
    guest_kick(&t->g, TX);
    guest_pump(&t->g);
}

static void transmits(void **state)
{
    struct test *t = *state;
    const struct guest_buf split[] = {{GUEST_DATA, 7, false},
                                      {GUEST_DATA + 7, 20, false},
                                      {GUEST_DATA + 27, 85, false}};
    uint32_t id = 0, len = 0;

    start(t, F_ALL);
    fill_tx(t, GUEST_DATA, 1500);
    *(uint8_t *)guest_ptr(&t->g, GUEST_DATA + 1, 1) = 1; /* header: TSO */
    send_tx(t, GUEST_DATA, HDR + 1500);
    assert_int_equal(t->e.sent_count, 1);
    assert_int_equal(t->e.sent[0].len, 1500);
    assert_int_equal(t->e.sent[0].header[1], 1);
    assert_memory_equal(t->e.sent[0].data,
                        guest_ptr(&t->g, GUEST_DATA + HDR, 1500), 1500);
    assert_true(guest_used(&t->g, TX, &id, &len));
    assert_int_equal(len, 0);
    guest_add(&t->g, TX, split, 3);
    guest_kick(&t->g, TX);
    guest_pump(&t->g);
    assert_int_equal(t->e.sent[1].len, 100);
    assert_memory_equal(t->e.sent[1].data,
                        guest_ptr(&t->g, GUEST_DATA + HDR, 100), 100);
    assert_int_equal(val(&t->c->tx_bytes), 1600);
    assert_int_equal(val(&t->c->tx_spoofed), 0);
}

static void no_frames_at_all(void **state)
{
    struct test *t = *state;
    const struct guest_buf writable = {RX_AT, 2048, true};
    uint32_t id = 0, len = 0;

    start(t, F_ALL);
    fill_tx(t, GUEST_DATA, 80000);
    send_tx(t, GUEST_DATA, 3);
    send_tx(t, GUEST_DATA, HDR);
    send_tx(t, GUEST_DATA, HDR + 13);
    send_tx(t, GUEST_DATA, HDR + SQ_NET_FRAME_MAX + 1);
    guest_add(&t->g, TX, &writable, 1);
    guest_kick(&t->g, TX);
    guest_pump(&t->g);
    assert_int_equal(val(&t->c->tx_malformed), 5);
    for (int i = 0; i < 5; i++)
        assert_true(guest_used(&t->g, TX, &id, &len));
    send_tx(t, GUEST_DATA, HDR + SQ_NET_FRAME_MAX);
    send_tx(t, GUEST_DATA, HDR + 14);
    assert_int_equal(t->e.sent_count, 2);
    assert_false(guest_needs_reset(&t->g));
}

static void busy_engine_is_waited_for(void **state)
{
    struct test *t = *state;
    const struct guest_buf buf = {GUEST_DATA, HDR + 100, false};

    start(t, F_ALL);
    fill_tx(t, GUEST_DATA, 100);
    t->e.busy_after = 3;
    for (int i = 0; i < 10; i++)
        guest_add(&t->g, TX, &buf, 1);
    guest_kick(&t->g, TX);
    guest_pump(&t->g);
    assert_int_equal(t->e.sent_count, 3);
    assert_int_equal(guest_used_idx(&t->g, TX), 3);
    t->e.busy_after = 0;
    guest_pump(&t->g);
    assert_int_equal(t->e.sent_count, 10);
    assert_int_equal(guest_used_idx(&t->g, TX), 10);
    assert_int_equal(val(&t->c->tx_frames), 10);
}

static void losses_are_counted(void **state)
{
    struct test *t = *state;

    start(t, F_ALL);
    fill_tx(t, GUEST_DATA, 100);
    t->e.fails = true;
    send_tx(t, GUEST_DATA, HDR + 100);
    assert_int_equal(guest_used_idx(&t->g, TX), 1);
    assert_int_equal(val(&t->c->tx_failed), 1);
    t->e.fails = false;
    memset(guest_ptr(&t->g, GUEST_DATA + HDR + 6, 6), 9, 6);
    send_tx(t, GUEST_DATA, HDR + 100);
    assert_int_equal(val(&t->c->tx_spoofed), 1);
}

static void dead_engine_takes_the_link_down(void **state)
{
    struct test *t = *state;
    uint32_t generation;

    start(t, F_ALL);
    fill_tx(t, GUEST_DATA, 100);
    generation = guest_read(&t->g, R_GENERATION);
    t->e.gone = true;
    eventfd_write(t->e.net.fd, 1);
    guest_pump(&t->g);
    assert_int_equal(guest_read(&t->g, R_CONFIG + 4) >> 16, 0);
    assert_int_equal(guest_read(&t->g, R_GENERATION), generation + 1);
    assert_true(guest_read(&t->g, R_ISR) & 2);
    send_tx(t, GUEST_DATA, HDR + 100);
    send_tx(t, GUEST_DATA, HDR + 100);
    assert_int_equal(guest_used_idx(&t->g, TX), 2);
    assert_int_equal(val(&t->c->tx_failed), 2);
    assert_false(guest_needs_reset(&t->g));
    start(t, F_ALL);
    assert_int_equal(guest_read(&t->g, R_CONFIG + 4) >> 16, 0);
}

/* RFC 1071, on the whole frame from `start`. */
static uint16_t plain_sum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += (uint32_t)p[i] << (i % 2 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void checksums_are_made(void **state)
{
    struct test *t = *state;
    uint8_t *p;

    start(t, F_ALL);
    for (size_t len = 60; len < 67; len++) {
        struct frame *f = &t->e.sent[t->e.sent_count];
        uint32_t sum;

        fill_tx(t, GUEST_DATA, len);
        p = guest_ptr(&t->g, GUEST_DATA, HDR + len);
        p[0] = 1;
        sq_st16(p + 6, 34);
        sq_st16(p + 8, 16);
        send_tx(t, GUEST_DATA, (uint32_t)(HDR + len));
        assert_int_equal(f->len, len);
        assert_memory_equal(f->data, p + HDR, 50);
        assert_memory_equal(f->data + 52, p + HDR + 52, len - 52);
        /* What was there counts in: a receiver adds the pseudo header. */
        sum = plain_sum(p + HDR + 34, len - 34);
        sum += (uint32_t)(f->data[50] << 8 | f->data[51]);
        sum = (sum & 0xffff) + (sum >> 16);
        assert_int_equal(sum, 0xffff);
    }
    /* Places outside the frame, and segmentation that was not offered. */
    fill_tx(t, GUEST_DATA, 100);
    p = guest_ptr(&t->g, GUEST_DATA, HDR + 100);
    p[0] = 1;
    sq_st16(p + 6, 34);
    sq_st16(p + 8, 65);
    send_tx(t, GUEST_DATA, HDR + 100);
    sq_st16(p + 6, 101);
    sq_st16(p + 8, 0);
    send_tx(t, GUEST_DATA, HDR + 100);
    sq_st16(p + 6, 0xffff);
    sq_st16(p + 8, 0xffff);
    send_tx(t, GUEST_DATA, HDR + 100);
    p[0] = 0;
    p[1] = 1;
    send_tx(t, GUEST_DATA, HDR + 100);
    assert_int_equal(val(&t->c->tx_malformed), 4);
    assert_int_equal(t->e.sent_count, 7);
}

static void floods_of_the_guest_take_turns(void **state)
{
    struct test *t = *state;
    const struct guest_buf buf = {GUEST_DATA, HDR + 60, false};

    start(t, F_ALL);
    fill_tx(t, GUEST_DATA, 60);
    for (int i = 0; i < 250; i++)
        guest_add(&t->g, TX, &buf, 1);
    guest_kick(&t->g, TX);
    sq_poller_post(t->g.poller, &t->g.stop);
    sq_poller_run(t->g.poller, NULL);
    assert_in_range(t->e.sent_count, 1, 249);
    guest_pump(&t->g);
    guest_pump(&t->g);
    assert_int_equal(t->e.sent_count, 250);
}

/* ---- The filter ---- */

static void filter_answers(void **state)
{
    struct test *t = *state;
    uint8_t *p;
    uint32_t id = 0, len = 0;

    start(t, F_ALL);
    offer_rx(t, RX_AT, 2048);
    guest_kick(&t->g, RX);
    fill_tx(t, GUEST_DATA, 900);
    p = guest_ptr(&t->g, GUEST_DATA, HDR + 900);
    p[HDR] = 0xfe;
    send_tx(t, GUEST_DATA, HDR + 900);
    assert_int_equal(t->taken_len, 900);
    assert_memory_equal(t->taken, p + HDR, 900);
    assert_int_equal(t->e.sent_count, 0);
    assert_true(guest_used(&t->g, RX, &id, &len));
    assert_int_equal(len, HDR + 60);
    p = guest_ptr(&t->g, RX_AT, HDR + 60);
    assert_int_equal(p[0], 2);
    assert_int_equal(p[HDR], 0xaa);
    assert_int_equal(val(&t->c->filtered), 1);
    /* By itself, and without the engine. */
    t->e.gone = true;
    t->answers = 1;
    offer_rx(t, RX_AT, 2048);
    guest_kick(&t->g, RX);
    sq_virtio_net_filter_ready(t->dev);
    assert_true(guest_used(&t->g, RX, &id, &len));
}

/* ---- Limits ---- */

/* A frame that grows while the engine is busy pays for what it has become. */
static void limits_cannot_be_dodged(void **state)
{
    struct test *t = *state;
    /* Two frames of 60 bytes, and no more while this runs. */
    const struct sq_bucket_config two = {.size = 120,
                                         .refill_ms = 360000000};
    const struct guest_buf buf = {GUEST_DATA, HDR + 60, false};
    uint16_t head;

    sq_throttle_update(sq_virtio_net_throttle(t->dev, TX), &two, NULL);
    start(t, F_ALL);
    fill_tx(t, GUEST_DATA, 1000);
    t->e.busy_after = 1;
    guest_add(&t->g, TX, &buf, 1);
    head = guest_add(&t->g, TX, &buf, 1);
    guest_kick(&t->g, TX);
    guest_pump(&t->g);
    assert_int_equal(t->e.sent_count, 1);
    guest_desc(&t->g, TX, head, GUEST_DATA, HDR + 1000, 0, 0);
    t->e.busy_after = 0;
    guest_pump(&t->g);
    assert_int_equal(t->e.sent_count, 1); /* nothing is left for it */
    assert_true(sq_virtio_net_throttle(t->dev, TX)->waiting);
}

static void limits_hold(void **state)
{
    struct test *t = *state;
    /* Two, and no more while this runs; then two each 100 ms. */
    const struct sq_bucket_config hour = {.size = 2, .refill_ms = 3600000};
    const struct sq_bucket_config two = {.size = 2, .refill_ms = 100};
    const struct guest_buf buf = {GUEST_DATA, HDR + 60, false};
    struct sq_throttle *rx = sq_virtio_net_throttle(t->dev, RX);
    struct sq_throttle *tx = sq_virtio_net_throttle(t->dev, TX);
    uint64_t start_ns;

    sq_throttle_update(rx, NULL, &hour);
    sq_throttle_update(tx, NULL, &hour);
    start(t, F_ALL);
    for (unsigned i = 0; i < 6; i++) {
        offer_rx(t, RX_AT + i * 2048, 2048);
        guest_add(&t->g, TX, &buf, 1);
        arrive(t, 60);
    }
    fill_tx(t, GUEST_DATA, 60);
    guest_kick(&t->g, RX);
    guest_kick(&t->g, TX);
    guest_pump(&t->g);
    assert_int_equal(t->e.sent_count, 2);
    assert_int_equal(guest_used_idx(&t->g, RX), 2);
    start_ns = sq_now_ns();
    sq_throttle_update(rx, NULL, &two);
    sq_throttle_update(tx, NULL, &two);
    while (t->e.sent_count < 6 || guest_used_idx(&t->g, RX) < 6) {
        guest_pump(&t->g);
        assert_true(sq_now_ns() - start_ns < 60000000000u);
    }
    /* Two of the four at once, the others with the next refills. */
    assert_true(sq_now_ns() - start_ns >= 90000000u);
    assert_true(atomic_load(&tx->refusals) >= 2);
    assert_int_equal(val(&t->c->tx_failed), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define P(name) cmocka_unit_test_setup_teardown(name, setup_plain, teardown)
    const struct CMUnitTest tests[] = {
        T(offers_what_the_engine_can),
        P(plain_engine_means_no_segmentation),
        cmocka_unit_test(settings_are_checked),
        T(receives),
        P(trusted_frames_are_marked_valid),
        T(frames_wait_for_buffers),
        T(too_long_without_merging_is_dropped),
        T(merges_buffers),
        T(waiting_for_more_buffers_sleeps),
        T(queue_that_can_never_hold_it_drops_it),
        T(header_split_over_pieces),
        T(buffer_without_room_for_a_header),
        T(readable_receive_buffers),
        T(unasked_offloads_are_dropped),
        T(floods_take_turns),
        T(reset_forgets_the_frame_that_waits),
        T(transmits),
        T(no_frames_at_all),
        T(busy_engine_is_waited_for),
        T(losses_are_counted),
        T(dead_engine_takes_the_link_down),
        P(checksums_are_made),
        T(floods_of_the_guest_take_turns),
        T(filter_answers),
        T(limits_cannot_be_dodged),
        T(limits_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

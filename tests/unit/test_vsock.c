/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio socket device: real event loop, real sockets, and a guest that
 * is written here. */
#include "vsock_guest.h"

#include <errno.h>
#include <sys/socket.h>

#define MIB (1u << 20)

static int host_connect(void *ctx, uint32_t port, struct squib_error *err)
{
    struct fixture *f = ctx;
    int fd[2];

    (void)err;
    if (port != HOST_PORT)
        return SQUIB_E_NOTFOUND;
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    f->peer = fd[1];
    return fd[0];
}

static const struct sq_vsock_host_ops host_ops = {host_connect};

static int setup_empty(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->peer = -1;
    f->buf_alloc = 64 * 1024;
    guest_init(&f->g);
    init(f, &host_ops, f);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    setup_empty(state);
    rx_offer_all(*state);
    guest_pump(&((struct fixture *)*state)->g);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    guest_fini(&f->g);
    if (f->peer >= 0)
        close(f->peer);
    free(f);
    return 0;
}

static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i * 31 ^ i >> 8 ^ i >> 15);
}

static uint8_t *pattern_new(size_t len)
{
    uint8_t *p = malloc(len);

    for (size_t i = 0; i < len; i++)
        p[i] = pattern(i);
    return p;
}

/* ---- Connections of the guest ---- */

static void identity(void **state)
{
    struct fixture *f = *state;
    struct sq_virtio_vsock_config bad = {2, NULL, NULL};
    struct sq_virtio_device *dev;

    assert_int_equal(guest_read(&f->g, R_ID), 19);
    assert_int_equal(guest_read(&f->g, R_CONFIG), CID);
    assert_int_equal(guest_read(&f->g, R_CONFIG + 4), 0);
    assert_int_equal(sq_virtio_vsock_new(&bad, &dev, NULL), SQUIB_E_INVAL);
}

static void hello_both_ways(void **state)
{
    struct fixture *f = *state;
    struct packet p;

    open_conn(f);
    tx_data(f, "hello", 5);
    expect_host(f->peer, "hello");
    put(f->peer, "world");
    p = expect(f, SQ_VSOCK_RW);
    assert_int_equal(p.h.len, 5);
    assert_memory_equal(p.payload, "world", 5);
    assert_int_equal(p.h.fwd_cnt, 5);
    expect_nothing(f);
}

static void nobody_listens(void **state)
{
    struct fixture *f = *state;
    struct packet p;

    tx_to(f, 99, PORT, SQ_VSOCK_REQUEST, 0);
    p = expect(f, SQ_VSOCK_RST);
    assert_int_equal(p.h.src_port, 99);
    assert_int_equal(p.h.dst_port, PORT);
    assert_int_equal(atomic_load(&counters(f)->refused), 1);
}

/* Moves MIB bytes both ways at once with an own window of the guest, random
 * packet sizes and a host that reads and writes in odd amounts. */
static void mebibyte_both_ways(void **state)
{
    struct fixture *f = *state;
    uint8_t *data = pattern_new(MIB), *buf = malloc(65536);
    uint32_t host_sent = 0, guest_got = 0, guest_sent = 0, host_got = 0;
    uint32_t window = SQ_VSOCK_BUF_ALLOC, fwd = 0, told = 0;
    unsigned seed = 1, idle = 0;

    f->buf_alloc = 48 * 1024;
    open_conn(f);
    while (guest_got < MIB || host_got < MIB) {
        uint32_t before = guest_got + host_got;
        uint32_t credit = window - (guest_sent - fwd);
        uint32_t n = (uint32_t)rand_r(&seed) % 65536 + 1;
        struct packet p;
        ssize_t got;

        if (n > MIB - guest_sent)
            n = MIB - guest_sent;
        if (n > credit)
            n = credit;
        if (n) {
            tx_data(f, data + guest_sent, n);
            guest_sent += n;
        }
        got = write(f->peer, data + host_sent,
                    MIB - host_sent < 30000 ? MIB - host_sent : 30000);
        if (got > 0)
            host_sent += (uint32_t)got;
        guest_pump(&f->g);
        while (rx(f, &p)) {
            fwd = p.h.fwd_cnt;
            if (p.h.op == SQ_VSOCK_CREDIT_REQUEST) {
                tx(f, SQ_VSOCK_CREDIT_UPDATE, 0);
                continue;
            }
            if (p.h.op == SQ_VSOCK_CREDIT_UPDATE)
                continue;
            assert_int_equal(p.h.op, SQ_VSOCK_RW);
            assert_memory_equal(p.payload, data + guest_got, p.h.len);
            guest_got += p.h.len;
            /* Never more than the guest has room for. */
            assert_true(guest_got - told <= f->buf_alloc);
            if (guest_got - told > 30000) {
                told = f->fwd_cnt = guest_got;
                tx(f, SQ_VSOCK_CREDIT_UPDATE, 0);
            }
        }
        /* A slow reader: nothing in every other round. */
        if (rand_r(&seed) % 2) {
            got = read(f->peer, buf, 50000);
            if (got > 0) {
                assert_memory_equal(buf, data + host_got, got);
                host_got += (uint32_t)got;
            }
        }
        idle = before == guest_got + host_got ? idle + 1 : 0;
        assert_true(idle < 100);
    }
    assert_int_equal(atomic_load(&counters(f)->tx_bytes), MIB);
    assert_int_equal(atomic_load(&counters(f)->rx_bytes), MIB);
    expect_nothing(f);
    free(data);
    free(buf);
}

static void guest_credit_is_respected(void **state)
{
    struct fixture *f = *state;
    struct packet p;

    f->buf_alloc = 10;
    open_conn(f);
    put(f->peer, "0123456789abcdefghij");
    p = expect(f, SQ_VSOCK_RW);
    assert_int_equal(p.h.len, 10);
    expect(f, SQ_VSOCK_CREDIT_REQUEST);
    expect_nothing(f); /* asked once */
    /* Its descriptor is not watched meanwhile: the loop can sleep. */
    assert_int_equal(vsock(f)->conn[0]->watch_events, 0);
    tx(f, SQ_VSOCK_CREDIT_UPDATE, 0); /* but none is given */
    expect_nothing(f);
    f->fwd_cnt = 3;
    tx(f, SQ_VSOCK_CREDIT_UPDATE, 0);
    p = expect(f, SQ_VSOCK_RW);
    assert_int_equal(p.h.len, 3);
    assert_memory_equal(p.payload, "abc", 3);
    expect(f, SQ_VSOCK_CREDIT_REQUEST);
    f->fwd_cnt = 13;
    f->buf_alloc = 1000;
    tx(f, SQ_VSOCK_CREDIT_UPDATE, 0);
    p = expect(f, SQ_VSOCK_RW);
    assert_memory_equal(p.payload, "defghij", 7);
    assert_int_equal(p.h.len, 7);
    expect_nothing(f);
    /* Counters from another world: no credit, no harm. */
    f->fwd_cnt = 0x80000000u;
    tx(f, SQ_VSOCK_CREDIT_UPDATE, 0);
    put(f->peer, "x");
    expect(f, SQ_VSOCK_CREDIT_REQUEST);
    expect_nothing(f);
}

static void our_credit_is_exact(void **state)
{
    struct fixture *f = *state;
    uint8_t *data = pattern_new(SQ_VSOCK_BUF_ALLOC + 1);
    uint8_t *got = malloc(SQ_VSOCK_BUF_ALLOC);
    uint32_t have = 0, sent = 0;
    int small = 4096;
    struct packet p;

    open_conn(f);
    /* Small socket buffers: most of it has to wait in the device. */
    setsockopt(vsock(f)->conn[0]->fd, SOL_SOCKET, SO_SNDBUF, &small,
               sizeof(small));
    for (int i = 0; i < 4; i++) {
        tx_data(f, data + sent, 65536);
        sent += 65536;
    }
    assert_true(vsock(f)->conn[0]->buf_len > 0);
    expect_nothing(f);
    tx(f, SQ_VSOCK_CREDIT_REQUEST, 0);
    p = expect(f, SQ_VSOCK_CREDIT_UPDATE);
    assert_int_equal(p.h.fwd_cnt,
                     SQ_VSOCK_BUF_ALLOC - vsock(f)->conn[0]->buf_len);
    while (have < SQ_VSOCK_BUF_ALLOC) {
        ssize_t n = read(f->peer, got + have, SQ_VSOCK_BUF_ALLOC - have);

        assert_true(n > 0 || errno == EAGAIN);
        have += n > 0 ? (uint32_t)n : 0;
        guest_pump(&f->g);
    }
    assert_memory_equal(got, data, SQ_VSOCK_BUF_ALLOC);
    assert_null(vsock(f)->conn[0]->buf); /* memory given back */
    while (rx(f, &p)) /* told on the way, without being asked */
        assert_int_equal(p.h.op, SQ_VSOCK_CREDIT_UPDATE);
    assert_true(SQ_VSOCK_BUF_ALLOC - p.h.fwd_cnt <= SQ_VSOCK_BUF_ALLOC / 2);
    free(data);
    free(got);
}

static void overrun_is_reset(void **state)
{
    struct fixture *f = *state;
    uint8_t *data = pattern_new(65536);
    int small = 4096;

    open_conn(f);
    setsockopt(vsock(f)->conn[0]->fd, SOL_SOCKET, SO_SNDBUF, &small,
               sizeof(small));
    for (int i = 0; i < 5; i++) /* one too many, nobody reads */
        tx_data(f, data, 65536);
    expect(f, SQ_VSOCK_RST);
    assert_int_equal(vsock(f)->conn_count, 0);
    assert_int_equal(atomic_load(&counters(f)->bad_packets), 1);
    free(data);
}

static void no_buffers_no_reading(void **state)
{
    struct fixture *f = *state;
    struct packet p;

    open_conn(f);
    /* Take all buffers away: data for each, none goes back. */
    for (unsigned i = 0; i < RX_BUFS; i++) {
        put(f->peer, "x");
        guest_pump(&f->g);
    }
    put(f->peer, "last");
    guest_pump(&f->g);
    assert_int_equal(vsock(f)->conn[0]->watch_events, 0);
    for (unsigned i = 0; i < RX_BUFS; i++) {
        p = expect(f, SQ_VSOCK_RW);
        assert_int_equal(p.h.len, 1);
    }
    p = expect(f, SQ_VSOCK_RW);
    assert_memory_equal(p.payload, "last", 4);
    assert_int_equal(vsock(f)->conn[0]->watch_events, SQ_POLL_IN);
}

/* ---- Ends ---- */

static void guest_half_close(void **state)
{
    struct fixture *f = *state;
    uint8_t *data = pattern_new(65536), *got = malloc(65536);
    uint32_t have = 0;
    int small = 4096;
    struct packet p;

    open_conn(f);
    setsockopt(vsock(f)->conn[0]->fd, SOL_SOCKET, SO_SNDBUF, &small,
               sizeof(small));
    tx_data(f, data, 65536);
    tx(f, SQ_VSOCK_SHUTDOWN, SQ_VSOCK_SHUT_SEND);
    while (have < 65536) { /* not a byte is lost, and no early end */
        ssize_t n = read(f->peer, got + have, 65536 - have);

        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        have += n > 0 ? (uint32_t)n : 0;
        guest_pump(&f->g);
    }
    assert_memory_equal(got, data, 65536);
    assert_true(host_eof(f->peer));
    /* The other direction lives on. */
    put(f->peer, "answer");
    p = expect(f, SQ_VSOCK_RW);
    assert_memory_equal(p.payload, "answer", 6);
    close(f->peer);
    f->peer = -1;
    p = expect(f, SQ_VSOCK_SHUTDOWN);
    assert_int_equal(p.h.flags, SQ_VSOCK_SHUT_BOTH);
    assert_int_equal(vsock(f)->conn_count, 1);
    tx(f, SQ_VSOCK_RST, 0);
    assert_int_equal(vsock(f)->conn_count, 0);
    expect_nothing(f);
    assert_int_equal(atomic_load(&counters(f)->conns_opened), 1);
    assert_int_equal(atomic_load(&counters(f)->conns_closed), 1);
    free(data);
    free(got);
}

static void host_half_close(void **state)
{
    struct fixture *f = *state;
    struct packet p;

    open_conn(f);
    put(f->peer, "question");
    shutdown(f->peer, SHUT_WR);
    p = expect(f, SQ_VSOCK_RW);
    assert_memory_equal(p.payload, "question", 8);
    p = expect(f, SQ_VSOCK_SHUTDOWN);
    assert_int_equal(p.h.flags, SQ_VSOCK_SHUT_SEND);
    expect_nothing(f);
    tx_data(f, "answer", 6);
    expect_host(f->peer, "answer");
    tx_data(f, "end", 3);
    tx(f, SQ_VSOCK_SHUTDOWN, SQ_VSOCK_SHUT_BOTH);
    expect(f, SQ_VSOCK_RST);
    expect_host(f->peer, "end");
    assert_true(host_eof(f->peer));
    assert_int_equal(vsock(f)->conn_count, 0);
}

static void host_close_after_much(void **state)
{
    struct fixture *f = *state;
    uint8_t *data = pattern_new(60000);
    uint32_t got = 0;
    struct packet p;

    /* Everything is written and closed before the guest takes a byte. */
    f->buf_alloc = 5000;
    open_conn(f);
    assert_int_equal(write(f->peer, data, 60000), 60000);
    close(f->peer);
    f->peer = -1;
    for (;;) {
        guest_pump(&f->g);
        if (!rx(f, &p)) {
            f->fwd_cnt = got;
            tx(f, SQ_VSOCK_CREDIT_UPDATE, 0);
            continue;
        }
        if (p.h.op == SQ_VSOCK_SHUTDOWN &&
            p.h.flags == SQ_VSOCK_SHUT_BOTH)
            break;
        if (p.h.op == SQ_VSOCK_RW) {
            assert_memory_equal(p.payload, data + got, p.h.len);
            got += p.h.len;
        } else if (p.h.op == SQ_VSOCK_SHUTDOWN) {
            assert_int_equal(p.h.flags, SQ_VSOCK_SHUT_RECEIVE);
        }
    }
    assert_int_equal(got, 60000);
    free(data);
}

static void host_stops_reading(void **state)
{
    struct fixture *f = *state;
    struct packet p;

    open_conn(f);
    shutdown(f->peer, SHUT_RD);
    tx_data(f, "lost", 4);
    p = expect(f, SQ_VSOCK_SHUTDOWN);
    assert_int_equal(p.h.flags, SQ_VSOCK_SHUT_RECEIVE);
    put(f->peer, "still here");
    p = expect(f, SQ_VSOCK_RW);
    assert_int_equal(p.h.fwd_cnt, 4); /* it takes no room */
    assert_memory_equal(p.payload, "still here", 10);
}

static void guest_stops_reading(void **state)
{
    struct fixture *f = *state;

    open_conn(f);
    tx(f, SQ_VSOCK_SHUTDOWN, SQ_VSOCK_SHUT_RECEIVE);
    assert_int_equal(send(f->peer, "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    tx_data(f, "more", 4);
    expect_host(f->peer, "more");
    expect_nothing(f);
    tx(f, SQ_VSOCK_SHUTDOWN, SQ_VSOCK_SHUT_SEND); /* adds up to both */
    expect(f, SQ_VSOCK_RST);
    assert_true(host_eof(f->peer));
}

static void guest_closes_with_host_bytes_under_way(void **state)
{
    struct fixture *f = *state;

    f->buf_alloc = 0;
    open_conn(f);
    put(f->peer, "never read");
    guest_pump(&f->g);
    tx_data(f, "goodbye", 7);
    tx(f, SQ_VSOCK_SHUTDOWN, SQ_VSOCK_SHUT_BOTH);
    /* An end of file, not an error. */
    expect_host(f->peer, "goodbye");
    assert_true(host_eof(f->peer));
}

static void reset_of_the_guest_delivers(void **state)
{
    struct fixture *f = *state;
    uint8_t *data = pattern_new(65536), *got = malloc(65536);
    uint32_t have = 0;
    int small = 4096;

    open_conn(f);
    setsockopt(vsock(f)->conn[0]->fd, SOL_SOCKET, SO_SNDBUF, &small,
               sizeof(small));
    tx_data(f, data, 65536);
    tx(f, SQ_VSOCK_RST, 0);
    assert_int_equal(vsock(f)->conn_count, 1);
    expect_nothing(f);
    while (!have || have < 65536) {
        ssize_t n = read(f->peer, got + have, 65536 - have);

        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        have += n > 0 ? (uint32_t)n : 0;
        guest_pump(&f->g);
    }
    assert_memory_equal(got, data, 65536);
    assert_true(host_eof(f->peer));
    assert_int_equal(vsock(f)->conn_count, 0);
    free(data);
    free(got);
}

static void device_reset_closes_all(void **state)
{
    struct fixture *f = *state;

    open_conn(f);
    put(f->peer, "x");
    guest_write(&f->g, R_STATUS, 0);
    guest_pump(&f->g);
    assert_true(host_eof(f->peer));
    close(f->peer);
    guest_start(&f->g, SQ_VIRTIO_F_COMMON, 128);
    rx_offer_all(f);
    open_conn(f);
    tx_data(f, "again", 5);
    expect_host(f->peer, "again");
}

/* ---- Bad guests ---- */

static void bad_packets(void **state)
{
    struct fixture *f = *state;
    struct sq_vsock_packet p;
    const struct guest_buf scrap = {TX_AREA, 43, false};

    /* Not from the guest, not to the host: silence. */
    p = header(f, HOST_PORT, PORT, SQ_VSOCK_REQUEST);
    p.src_cid = 4;
    tx_raw(f, &p, NULL, 0);
    p = header(f, HOST_PORT, PORT, SQ_VSOCK_REQUEST);
    p.dst_cid = 5;
    tx_raw(f, &p, NULL, 0);
    guest_add(&f->g, TX, &scrap, 1);
    guest_kick(&f->g, TX);
    f->g.q[TX].seen_used++;
    tx(f, SQ_VSOCK_RST, 0); /* nor is an RST answered */
    expect_nothing(f);
    assert_int_equal(atomic_load(&counters(f)->bad_packets), 3);
    /* Unknown type, and packets out of the blue. */
    p = header(f, HOST_PORT, PORT, SQ_VSOCK_REQUEST);
    p.type = 2;
    tx_raw(f, &p, NULL, 0);
    expect(f, SQ_VSOCK_RST);
    tx(f, SQ_VSOCK_RW, 0);
    expect(f, SQ_VSOCK_RST);
    tx(f, 77, 0);
    expect(f, SQ_VSOCK_RST);
    /* A length that is not there. */
    open_conn(f);
    p = header(f, HOST_PORT, PORT, SQ_VSOCK_RW);
    p.len = 6;
    tx_raw(f, &p, "12345", 5);
    expect(f, SQ_VSOCK_RST);
    assert_true(host_eof(f->peer));
    close(f->peer);
    /* A second REQUEST, an unknown operation, data after the end. */
    open_conn(f);
    tx(f, SQ_VSOCK_REQUEST, 0);
    expect(f, SQ_VSOCK_RST);
    close(f->peer);
    open_conn(f);
    tx(f, 0, 0);
    expect(f, SQ_VSOCK_RST);
    close(f->peer);
    open_conn(f);
    tx(f, SQ_VSOCK_SHUTDOWN, SQ_VSOCK_SHUT_SEND);
    tx_data(f, "x", 1);
    expect(f, SQ_VSOCK_RST);
    assert_int_equal(vsock(f)->conn_count, 0);
    assert_false(guest_needs_reset(&f->g));
}

static void small_rx_buffer_needs_reset(void **state)
{
    struct fixture *f = *state;
    const struct guest_buf buf = {RX_AREA, 44, true};

    guest_add(&f->g, RX, &buf, 1);
    tx(f, SQ_VSOCK_REQUEST, 0);
    assert_true(guest_needs_reset(&f->g));
    put(f->peer, "x");
    guest_pump(&f->g);
    assert_int_equal(vsock(f)->conn[0]->watch_events, 0);
}

static void rst_flood_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct packet p;
    unsigned n = 0;

    for (unsigned i = 0; i < 1000; i++)
        tx_to(f, 50000 + i, PORT, SQ_VSOCK_CREDIT_UPDATE, 0);
    rx_offer_all(f);
    guest_pump(&f->g);
    for (; rx(f, &p); n++)
        assert_int_equal(p.h.op, SQ_VSOCK_RST);
    assert_int_equal(n, SQ_VSOCK_RSTS_MAX);
}

static void table_is_bounded(void **state)
{
    struct fixture *f = *state;
    int peer[SQ_VSOCK_CONNS_MAX];
    struct packet p;

    for (unsigned i = 0; i < SQ_VSOCK_CONNS_MAX; i++) {
        tx_to(f, HOST_PORT, i, SQ_VSOCK_REQUEST, 0);
        expect(f, SQ_VSOCK_RESPONSE);
        peer[i] = f->peer;
    }
    tx_to(f, HOST_PORT, PORT, SQ_VSOCK_REQUEST, 0);
    expect(f, SQ_VSOCK_RST);
    close(f->peer);
    /* One that the host is through with makes room. */
    close(peer[7]);
    p = expect(f, SQ_VSOCK_SHUTDOWN);
    assert_int_equal(p.h.flags, SQ_VSOCK_SHUT_BOTH);
    tx_to(f, HOST_PORT, PORT, SQ_VSOCK_REQUEST, 0);
    expect(f, SQ_VSOCK_RESPONSE);
    peer[7] = f->peer;
    f->peer = -1;
    for (unsigned i = 0; i < SQ_VSOCK_CONNS_MAX; i++)
        close(peer[i]);
}

static void turns_are_fair(void **state)
{
    struct fixture *f = *state;
    uint8_t *data = pattern_new(65536);
    unsigned seen[3] = {0};
    int peer[3];
    struct packet p;

    for (uint32_t i = 0; i < 3; i++) {
        tx_to(f, HOST_PORT, i, SQ_VSOCK_REQUEST, 0);
        peer[i] = f->peer;
        assert_int_equal(write(peer[i], data, 65536), 65536);
    }
    guest_pump(&f->g); /* all three wait for buffers */
    rx_offer_all(f);
    for (int i = 0; i < 3; i++)
        expect(f, SQ_VSOCK_RESPONSE);
    for (int i = 0; i < 30; i++) {
        p = expect(f, SQ_VSOCK_RW);
        seen[p.h.dst_port]++;
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seen[i], 10);
        close(peer[i]);
    }
    f->peer = -1;
    free(data);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define E(name) cmocka_unit_test_setup_teardown(name, setup_empty, teardown)
    const struct CMUnitTest tests[] = {
        T(identity),
        T(hello_both_ways),
        T(nobody_listens),
        T(mebibyte_both_ways),
        T(guest_credit_is_respected),
        T(our_credit_is_exact),
        T(overrun_is_reset),
        T(no_buffers_no_reading),
        T(guest_half_close),
        T(host_half_close),
        T(host_close_after_much),
        T(host_stops_reading),
        T(guest_stops_reading),
        T(guest_closes_with_host_bytes_under_way),
        T(reset_of_the_guest_delivers),
        T(device_reset_closes_all),
        T(bad_packets),
        E(small_rx_buffer_needs_reset),
        E(rst_flood_is_bounded),
        T(table_is_bounded),
        E(turns_are_fair),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

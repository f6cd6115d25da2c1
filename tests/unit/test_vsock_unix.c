/* SPDX-License-Identifier: Apache-2.0 */
/* The bridge between a vsock device and Unix sockets, and connections that
 * the host starts. */
#include "vsock_guest.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "dev/host/vsock_unix.h"

struct bridge {
    struct fixture f;
    struct sq_vsock_unix *uds;
    char dir[64], path[80];
};

static int setup_bridge(void **state)
{
    struct bridge *b = calloc(1, sizeof(*b));
    struct fixture *f = &b->f;

    f->peer = -1;
    f->buf_alloc = 64 * 1024;
    strcpy(b->dir, "/tmp/squib-test-vsock-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->path, sizeof(b->path), "%s/v.sock", b->dir);
    guest_init(&f->g);
    assert_int_equal(
        sq_vsock_unix_new(b->path, f->g.poller, &b->uds, NULL), 0);
    init(f, &sq_vsock_unix_host_ops, b->uds);
    assert_int_equal(sq_vsock_unix_attach(b->uds, f->g.dev, NULL), 0);
    rx_offer_all(f);
    *state = b;
    return 0;
}

static int teardown_bridge(void **state)
{
    struct bridge *b = *state;

    sq_vsock_unix_free(b->uds);
    guest_fini(&b->f.g);
    if (b->f.peer >= 0)
        close(b->f.peer);
    assert_int_equal(rmdir(b->dir), 0); /* the socket is gone */
    free(b);
    return 0;
}

static int dial(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    strcpy(to.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void bridge_connects(void **state)
{
    struct bridge *b = *state;
    struct fixture *f = &b->f;
    struct sq_vsock_packet h;
    struct packet p;
    int fd = dial(b->path);

    /* In two pieces, and eager: data follows the line at once. */
    put(fd, "conn");
    guest_pump(&f->g);
    put(fd, "ECT 1234\neager");
    p = expect(f, SQ_VSOCK_REQUEST);
    assert_int_equal(p.h.dst_port, 1234);
    assert_true(p.h.src_port >= 1u << 30);
    assert_int_equal(read(fd, &h, 1), -1); /* no OK yet */
    tx_to(f, p.h.src_port, 1234, SQ_VSOCK_RESPONSE, 0);
    expect_host(fd, "OK 1073741824\n");
    p = expect(f, SQ_VSOCK_RW);
    assert_int_equal(p.h.len, 5);
    assert_memory_equal(p.payload, "eager", 5);
    h = header(f, p.h.src_port, 1234, SQ_VSOCK_RW);
    h.len = 5;
    tx_raw(f, &h, "reply", 5);
    expect_host(fd, "reply");
    close(fd);
    expect(f, SQ_VSOCK_SHUTDOWN);
}

static void bridge_refuses(void **state)
{
    static const char *const bad[] = {
        "CONNECT\n",          "CONNECT \n",
        "CONNECT 12x\n",      "CONNECT -1\n",
        "CONNECT 4294967296\n", "HELLO 1\n",
        "\n",                 "CONNECT 1 \n",
        "CONNECT 00000000000000000000000000000001\n",
    };
    struct bridge *b = *state;
    struct fixture *f = &b->f;
    struct packet p;
    int fd, fds[40];

    for (size_t i = 0; i < SQ_ARRAY_LEN(bad); i++) {
        fd = dial(b->path);
        put(fd, bad[i]);
        guest_pump(&f->g);
        /* (An unread rest makes it an error instead of an end.) */
        assert_int_not_equal(recv(fd, &p, 1, 0) < 0 && errno == EAGAIN, 1);
        close(fd);
    }
    expect_nothing(f);
    /* The guest refuses. */
    fd = dial(b->path);
    put(fd, "CONNECT 9\n");
    p = expect(f, SQ_VSOCK_REQUEST);
    tx_to(f, p.h.src_port, 9, SQ_VSOCK_RST, 0);
    assert_true(host_eof(fd));
    close(fd);
    /* Silent clients have a bounded number of places. */
    for (int i = 0; i < 40; i++) {
        fds[i] = dial(b->path);
        guest_pump(&f->g);
    }
    assert_true(host_eof(fds[0]));
    put(fds[39], "CONNECT 10\n");
    expect(f, SQ_VSOCK_REQUEST);
    for (int i = 0; i < 40; i++)
        close(fds[i]);
    guest_pump(&f->g);
}

static void bridge_times_out(void **state)
{
    struct bridge *b = *state;
    struct fixture *f = &b->f;
    struct sq_vsock *v = vsock(f);
    int fd = dial(b->path);

    put(fd, "CONNECT 9\n");
    expect(f, SQ_VSOCK_REQUEST);
    assert_true(v->timer.armed);
    v->conn[0]->deadline_ns = 1;
    sq_timer_arm(f->g.poller, &v->timer, 1);
    expect(f, SQ_VSOCK_RST);
    assert_true(host_eof(fd));
    assert_int_equal(v->conn_count, 0);
    assert_false(v->timer.armed);
    close(fd);
}

static void bridge_without_driver(void **state)
{
    struct bridge *b = *state;
    int fd = dial(b->path);

    guest_write(&b->f.g, R_STATUS, 0);
    put(fd, "CONNECT 9\n");
    guest_pump(&b->f.g);
    assert_true(host_eof(fd));
    close(fd);
}

static void bridge_reaches_listeners(void **state)
{
    struct bridge *b = *state;
    struct fixture *f = &b->f;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "%s_%u", b->path, HOST_PORT);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 1), 0);
    tx(f, SQ_VSOCK_REQUEST, 0);
    expect(f, SQ_VSOCK_RESPONSE);
    f->peer = accept(listener, NULL, NULL);
    assert_true(f->peer >= 0);
    tx_data(f, "up", 2);
    expect_host(f->peer, "up");
    tx_to(f, HOST_PORT + 1, PORT, SQ_VSOCK_REQUEST, 0);
    expect(f, SQ_VSOCK_RST);
    close(listener);
    unlink(at.sun_path);
}

static void bridge_path_is_checked(void **state)
{
    struct bridge *b = *state;
    struct sq_vsock_unix *other;
    struct squib_error err;
    char path[200];

    memset(path, 'x', sizeof(path));
    path[199] = '\0';
    assert_int_equal(
        sq_vsock_unix_new(path, b->f.g.poller, &other, &err), SQUIB_E_INVAL);
    assert_int_equal(
        sq_vsock_unix_new(b->path, b->f.g.poller, &other, &err), SQUIB_E_OS);
    assert_int_equal(err.os_errno, EADDRINUSE);
    assert_int_equal(access(b->path, F_OK), 0);
}

int main(void)
{
#define B(name)                                                            \
    cmocka_unit_test_setup_teardown(name, setup_bridge, teardown_bridge)
    const struct CMUnitTest tests[] = {
        B(bridge_connects),
        B(bridge_refuses),
        B(bridge_times_out),
        B(bridge_without_driver),
        B(bridge_reaches_listeners),
        B(bridge_path_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

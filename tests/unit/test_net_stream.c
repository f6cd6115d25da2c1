/* SPDX-License-Identifier: Apache-2.0 */
/* Frames over a stream socket, and what a tap says when it cannot be had. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dev/host/net_frame.h"
#include "dev/host/net_stream.h"
#include "dev/host/tap.h"

/* ---- The format ---- */

static uint8_t byte_of(unsigned frame, size_t i)
{
    return (uint8_t)(frame * 31 + i * 3 + (i >> 9));
}

/* Lengths with edges: smallest, around one byte and two, largest. */
static const size_t lens[] = {1,    14,    60,    255,   256, 1514,
                              9014, 65535, 65550, SQ_NET_FRAME_MAX};
#define LENS (sizeof(lens) / sizeof(lens[0]))

static uint8_t *make_stream(size_t *len)
{
    uint8_t *stream, *p;

    *len = 0;
    for (unsigned i = 0; i < LENS; i++)
        *len += 4 + lens[i];
    stream = p = malloc(*len);
    for (unsigned i = 0; i < LENS; i++) {
        sq_net_prefix(p, lens[i]);
        p += 4;
        for (size_t k = 0; k < lens[i]; k++)
            *p++ = byte_of(i, k);
    }
    return stream;
}

static void check_frame(unsigned i, const uint8_t *data, size_t len)
{
    assert_true(i < LENS);
    assert_int_equal(len, lens[i]);
    for (size_t k = 0; k < len; k++)
        if (data[k] != byte_of(i, k))
            fail_msg("frame %u differs at %zu", i, k);
}

static void any_cut_gives_the_same_frames(void **state)
{
    struct sq_net_unframe *u = calloc(1, sizeof(*u));
    size_t stream_len;
    uint8_t *stream = make_stream(&stream_len);

    (void)state;
    for (size_t step = 1; step < 300000; step = step * 3 + 1) {
        unsigned got = 0;
        size_t at = 0;

        memset(u, 0, offsetof(struct sq_net_unframe, buf));
        while (got < LENS) {
            const uint8_t *data;
            size_t room, len;
            uint8_t *to;
            int rc = sq_net_unframe_next(u, &data, &len);

            assert_true(rc >= 0);
            if (rc) {
                check_frame(got++, data, len);
                continue;
            }
            to = sq_net_unframe_space(u, &room);
            assert_true(room > 0);
            if (room > step)
                room = step;
            if (room > stream_len - at)
                room = stream_len - at;
            assert_true(room > 0);
            memcpy(to, stream + at, room);
            sq_net_unframe_put(u, room);
            at += room;
        }
        assert_int_equal(at, stream_len);
    }
    free(stream);
    free(u);
}

static void impossible_lengths_end_it(void **state)
{
    static const uint32_t bad[] = {0, SQ_NET_FRAME_MAX + 1, 0x01000000,
                                   0xffffffff};
    struct sq_net_unframe *u = calloc(1, sizeof(*u));

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const uint8_t *data;
        size_t room, len;

        memset(u, 0, offsetof(struct sq_net_unframe, buf));
        sq_net_prefix(sq_net_unframe_space(u, &room), bad[i]);
        sq_net_unframe_put(u, 4);
        assert_int_equal(sq_net_unframe_next(u, &data, &len), -1);
    }
    free(u);
}

/* ---- The engine ---- */

struct pair {
    struct sq_net_backend *net;
    int peer;
};

static int setup(void **state)
{
    struct pair *p = calloc(1, sizeof(*p));
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    assert_int_equal(sq_net_stream_new(fd[0], 0, &p->net, NULL), 0);
    p->peer = fd[1];
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;

    sq_net_backend_free(p->net);
    if (p->peer >= 0)
        close(p->peer);
    free(p);
    return 0;
}

static enum sq_net_sent send_frame(struct pair *p, uint8_t *data, size_t len)
{
    uint8_t header[SQ_NET_HEADER_LEN] = {1, 2, 3};
    struct iovec iov[3] = {{header, sizeof(header)},
                           {data, len / 2},
                           {data + len / 2, len - len / 2}};

    return p->net->ops->send(p->net, iov, 3, len);
}

static void receives_frames_in_pieces(void **state)
{
    struct pair *p = *state;
    struct sq_net_frame f;
    size_t len, at = 0;
    uint8_t *stream = make_stream(&len);
    unsigned got = 0;

    fcntl(p->peer, F_SETFL, O_NONBLOCK);
    assert_int_equal(p->net->ops->recv(p->net, &f), 0);
    while (got < LENS) {
        size_t step = len - at < 10007 ? len - at : 10007;
        ssize_t n = send(p->peer, stream + at, step, 0);

        at += n > 0 ? (size_t)n : 0;
        while (p->net->ops->recv(p->net, &f) > 0) {
            check_frame(got++, f.data, f.len);
            for (unsigned i = 0; i < SQ_NET_HEADER_LEN; i++)
                assert_int_equal(f.header[i], 0);
        }
    }
    free(stream);
}

static void read_all(int fd, uint8_t *to, size_t len)
{
    while (len) {
        ssize_t n = recv(fd, to, len, MSG_DONTWAIT);

        assert_true(n > 0);
        to += n;
        len -= (size_t)n;
    }
}

static void sends_with_a_length_in_front(void **state)
{
    struct pair *p = *state;
    uint8_t data[300], got[304];

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = byte_of(5, i);
    assert_int_equal(send_frame(p, data, 300), SQ_NET_SENT);
    assert_true(p->net->ops->flush(p->net));
    read_all(p->peer, got, sizeof(got));
    assert_memory_equal(got, "\0\0\1\x2c", 4);
    assert_memory_equal(got + 4, data, 300);
}

/* A socket that fills up in the middle of a frame: nothing is lost and the
 * stream stays in step. */
static void a_full_socket_is_busy(void **state)
{
    struct pair *p = *state;
    struct sq_net_unframe *u = calloc(1, sizeof(*u));
    uint8_t *data = malloc(SQ_NET_FRAME_MAX);
    unsigned sent = 0, got = 0, busy = 0, partial = 0;

    while (got < 200) {
        const uint8_t *frame;
        size_t len, room;
        uint8_t *to;

        while (sent < 200) {
            size_t n = 1000 + sent * 331;
            enum sq_net_sent rc;

            memset(data, (int)sent, n);
            rc = send_frame(p, data, n);
            if (rc == SQ_NET_BUSY) {
                busy++;
                break;
            }
            assert_int_equal(rc, SQ_NET_SENT);
            sent++;
        }
        partial += !p->net->ops->flush(p->net);
        to = sq_net_unframe_space(u, &room);
        room = room < 5000 ? room : 5000;
        {
            ssize_t n = recv(p->peer, to, room, MSG_DONTWAIT);

            assert_true(n > 0);
            sq_net_unframe_put(u, (size_t)n);
        }
        while (sq_net_unframe_next(u, &frame, &len) > 0) {
            assert_int_equal(len, 1000 + got * 331);
            for (size_t i = 0; i < len; i++)
                if (frame[i] != (uint8_t)got)
                    fail_msg("frame %u differs at %zu", got, i);
            got++;
        }
    }
    assert_true(busy > 0 && partial > 0);
    free(data);
    free(u);
}

static void the_other_end_goes(void **state)
{
    struct pair *p = *state;
    struct sq_net_frame f;
    uint8_t data[60] = {0};

    /* What it said before still comes. */
    assert_int_equal(send(p->peer, "\0\0\0\2ab\0\0", 8, 0), 8);
    close(p->peer);
    p->peer = -1;
    assert_int_equal(p->net->ops->recv(p->net, &f), 1);
    assert_int_equal(f.len, 2);
    assert_int_equal(p->net->ops->recv(p->net, &f), -1);
    assert_int_equal(p->net->ops->recv(p->net, &f), -1);
    assert_int_equal(send_frame(p, data, 60), SQ_NET_DEAD);
    assert_true(p->net->ops->flush(p->net));
}

static void nonsense_ends_it(void **state)
{
    struct pair *p = *state;
    struct sq_net_frame f;

    assert_int_equal(send(p->peer, "\0\0\0\1a\xff\xff\xff\xff", 9, 0), 9);
    assert_int_equal(p->net->ops->recv(p->net, &f), 1);
    assert_int_equal(p->net->ops->recv(p->net, &f), -1);
}

/* ---- Making one ---- */

static void connects_to_a_listener(void **state)
{
    char dir[] = "/tmp/squib-net-XXXXXX", path[64], far[200];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct sq_net_backend *net;
    struct squib_error err = {0};
    int listener, peer;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/net", dir);
    assert_int_equal(sq_net_stream_connect(path, &net, &err),
                     SQUIB_E_NOTFOUND);
    assert_non_null(strstr(err.text, path));
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(at.sun_path, path);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(sq_net_stream_connect(path, &net, &err), 0);
    peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
    sq_net_backend_free(net);
    assert_int_equal(recv(peer, far, 1, 0), 0);
    close(peer);
    close(listener);
    unlink(path);
    rmdir(dir);
    memset(far, 'x', sizeof(far) - 1);
    far[sizeof(far) - 1] = '\0';
    assert_int_equal(sq_net_stream_connect(far, &net, &err), SQUIB_E_INVAL);
}

static void starts_a_helper(void **state)
{
    char dir[] = "/tmp/squib-net-XXXXXX", path[64];
    const char *script = "#!/bin/sh\n"
                         "[ \"$*\" = '--fd 3 --mtu 1400' ] || exit 1\n"
                         "printf '\\000\\000\\000\\003abc' >&3\n"
                         "exec cat <&3 >&3\n";
    struct sq_net_backend *net;
    struct sq_net_frame f;
    struct squib_error err = {0};
    struct pair p;
    uint8_t data[20] = "from the monitor";
    int fd, rc;

    (void)state;
    if (getenv("MESON_EXE_WRAPPER")) {
        /* which does not report a failed exec to the parent of a vfork */
        print_message("skip: started under an emulator\n");
        skip();
    }
    assert_int_equal(sq_net_stream_spawn("/nonexistent/helper", 1400, false,
                                         &net, &err), SQUIB_E_NOTFOUND);
    assert_non_null(strstr(err.text, "/nonexistent/helper"));
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/helper", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    assert_int_equal(write(fd, script, strlen(script)), strlen(script));
    close(fd);
    assert_int_equal(sq_net_stream_spawn(path, 1400, false, &net, &err), 0);
    for (int i = 0; i < 6000; i++) {
        rc = net->ops->recv(net, &f);
        if (rc)
            break;
        usleep(10000);
    }
    assert_int_equal(rc, 1);
    assert_memory_equal(f.data, "abc", 3);
    p.net = net;
    assert_int_equal(send_frame(&p, data, 20), SQ_NET_SENT);
    for (int i = 0; i < 6000; i++) {
        rc = net->ops->recv(net, &f);
        if (rc)
            break;
        usleep(10000);
    }
    assert_int_equal(rc, 1);
    assert_memory_equal(f.data, data, 20);
    /* It would run for ever; freeing ends it and leaves no zombie. */
    sq_net_backend_free(net);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    unlink(path);
    rmdir(dir);
}

/* ---- Taps ---- */

static void tap_names_are_checked(void **state)
{
    static const char *const bad[] = {"", "sixteen-letters!", "a/b", "a b",
                                      "tap%d"};
    struct sq_net_backend *net;
    struct squib_error err = {0};

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sq_tap_open(bad[i], SQ_TAP_CREATE, &net, &err),
                         SQUIB_E_INVAL);
}

static void a_tap_that_is_not_there(void **state)
{
    struct sq_net_backend *net;
    struct squib_error err = {0};

    (void)state;
    assert_int_equal(sq_tap_open("squibnone9", SQ_TAP_REFUSE, &net, &err),
                     SQUIB_E_NOTFOUND);
    assert_int_equal(err.os_errno, ENODEV);
    assert_non_null(strstr(err.text, "ip tuntap add squibnone9"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_gives_the_same_frames),
        cmocka_unit_test(impossible_lengths_end_it),
        T(receives_frames_in_pieces),
        T(sends_with_a_length_in_front),
        T(a_full_socket_is_busy),
        T(the_other_end_goes),
        T(nonsense_ends_it),
        cmocka_unit_test(connects_to_a_listener),
        cmocka_unit_test(starts_a_helper),
        cmocka_unit_test(tap_names_are_checked),
        cmocka_unit_test(a_tap_that_is_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame is written straight from where it is. What a full socket takes
 * only in part is finished from `out` before anything else goes, so that
 * the stream stays in step; a frame of which not a byte was taken is the
 * caller's again.
 */
#define _GNU_SOURCE
#include "dev/host/net_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "dev/host/net_frame.h"
#include "os/sock.h"

extern char **environ;

/* Where the helper finds its socket. */
#define HELPER_FD 3
/* Enough for several of the largest frames. */
#define SOCKET_BUFFER_LEN (1 << 20)

struct stream {
    struct sq_net_backend net;
    pid_t helper;
    bool dead;
    size_t out_at, out_len;
    uint8_t out[SQ_NET_PREFIX_LEN + SQ_NET_FRAME_MAX];
    struct sq_net_unframe in;
};

static const uint8_t no_header[SQ_NET_HEADER_LEN];

static struct stream *stream_of(struct sq_net_backend *net)
{
    return SQ_CONTAINER_OF(net, struct stream, net);
}

static bool would_block(int e)
{
    return e == EAGAIN || e == EWOULDBLOCK || e == EINTR || e == ENOBUFS;
}

static bool stream_flush(struct sq_net_backend *net)
{
    struct stream *s = stream_of(net);

    while (s->out_at < s->out_len && !s->dead) {
        ssize_t n = send(net->fd, s->out + s->out_at, s->out_len - s->out_at,
                         SQ_MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0) {
            if (would_block(errno))
                return false;
            s->dead = true;
        } else {
            s->out_at += (size_t)n;
        }
    }
    s->out_at = s->out_len = 0;
    return true;
}

/* Keeps the bytes from `done` on. */
static void keep_rest(struct stream *s, const struct iovec *iov,
                      unsigned iov_count, size_t done)
{
    s->out_at = s->out_len = 0;
    for (unsigned i = 0; i < iov_count; i++) {
        size_t skip = done < iov[i].iov_len ? done : iov[i].iov_len;
        size_t n = iov[i].iov_len - skip;

        memcpy(s->out + s->out_len, (uint8_t *)iov[i].iov_base + skip, n);
        s->out_len += n;
        done -= skip;
    }
}

static enum sq_net_sent stream_send(struct sq_net_backend *net,
                                    struct iovec *iov, unsigned iov_count,
                                    size_t len)
{
    struct stream *s = stream_of(net);
    uint8_t prefix[SQ_NET_PREFIX_LEN];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = iov_count};
    ssize_t n;

    if (!stream_flush(net))
        return SQ_NET_BUSY;
    if (s->dead)
        return SQ_NET_DEAD;
    sq_net_prefix(prefix, len);
    iov[0] = (struct iovec){prefix, sizeof(prefix)}; /* for the header */
    n = sendmsg(net->fd, &msg, SQ_MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && would_block(errno))
        return SQ_NET_BUSY;
    if (n < 0) {
        s->dead = true;
        return SQ_NET_DEAD;
    }
    if ((size_t)n < sizeof(prefix) + len)
        keep_rest(s, iov, iov_count, (size_t)n);
    return SQ_NET_SENT;
}

static int stream_recv(struct sq_net_backend *net,
                       struct sq_net_frame *frame)
{
    struct stream *s = stream_of(net);

    for (;;) {
        int rc = sq_net_unframe_next(&s->in, &frame->data, &frame->len);
        size_t room;
        uint8_t *to;
        ssize_t n;

        if (rc > 0) {
            frame->header = no_header;
            return 1;
        }
        if (rc < 0 || s->dead)
            break;
        to = sq_net_unframe_space(&s->in, &room);
        n = recv(net->fd, to, room, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && would_block(errno))
            return 0;
        if (n <= 0)
            break;
        sq_net_unframe_put(&s->in, (size_t)n);
    }
    s->dead = true;
    return -1;
}

static void end_helper(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
}

static void stream_free(struct sq_net_backend *net)
{
    struct stream *s = stream_of(net);

    close(net->fd);
    if (s->helper > 0)
        end_helper(s->helper);
    free(s);
}

static const struct sq_net_backend_ops stream_ops = {
    .send = stream_send,
    .recv = stream_recv,
    .flush = stream_flush,
    .free = stream_free,
};

int sq_net_stream_new(int fd, pid_t helper, struct sq_net_backend **out,
                      struct squib_error *err)
{
    int flags = fcntl(fd, F_GETFL), len = SOCKET_BUFFER_LEN;
    struct stream *s;

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "network socket");
    /* More is faster; what the kernel grants is fine. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &len, sizeof(len));
    s = calloc(1, sizeof(*s));
    if (!s)
        return sq_err_set(err, SQUIB_E_NOMEM, "network: out of memory");
    s->net = (struct sq_net_backend){&stream_ops, fd, SQ_NET_TRUSTED};
    s->helper = helper;
    *out = &s->net;
    return 0;
}

int sq_net_stream_connect(const char *path, struct sq_net_backend **out,
                          struct squib_error *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd, rc;

    if (!path[0] || strlen(path) >= sizeof(to.sun_path))
        return sq_err_set(err, SQUIB_E_INVAL,
                          "network socket path of %zu bytes\n  do: use one "
                          "of 1 to %zu bytes", strlen(path),
                          sizeof(to.sun_path) - 1);
    strcpy(to.sun_path, path);
    fd = sq_sock_unix(false);
    if (fd < 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "network socket");
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        rc = sq_err_os(err, errno == ENOENT || errno == ECONNREFUSED
                                ? SQUIB_E_NOTFOUND
                                : SQUIB_E_OS, errno,
                       "cannot connect to the network at %s\n  do: start "
                       "what listens there first (passt, gvproxy)", path);
    else
        rc = sq_net_stream_new(fd, 0, out, err);
    if (rc)
        close(fd);
    return rc;
}

static int spawn(const char *path, unsigned mtu, bool no_host, int fd,
                 pid_t *pid)
{
    char mtu_text[16];
    char *argv[] = {(char *)path, "--fd", "3", "--mtu", mtu_text,
                    no_host ? "--no-host" : NULL, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int e;

    snprintf(mtu_text, sizeof(mtu_text), "%u", mtu);
    e = posix_spawn_file_actions_init(&files);
    if (e)
        return e;
    e = posix_spawnattr_init(&attr);
    if (e) {
        posix_spawn_file_actions_destroy(&files);
        return e;
    }
    /* Signals of the terminal are the monitor's business: the helper goes
     * when its socket closes. */
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF |
                                        POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, fd, HELPER_FD);
    e = posix_spawn(pid, path, &files, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return e;
}

int sq_net_stream_spawn(const char *path, unsigned mtu, bool no_host,
                        struct sq_net_backend **out, struct squib_error *err)
{
    int fd[2], e, rc, theirs;
    pid_t pid;

    if (sq_sock_pair(fd, false) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "network socket");
    /* dup2() to itself would leave the descriptor close-on-exec. */
    theirs = fcntl(fd[1], F_DUPFD_CLOEXEC, HELPER_FD + 1);
    e = theirs < 0 ? errno : spawn(path, mtu, no_host, theirs, &pid);
    close(fd[1]);
    if (theirs >= 0)
        close(theirs);
    if (e) {
        close(fd[0]);
        return sq_err_os(err, e == ENOENT ? SQUIB_E_NOTFOUND : SQUIB_E_OS, e,
                         "cannot start the network helper %s", path);
    }
    rc = sq_net_stream_new(fd[0], pid, out, err);
    if (rc) {
        close(fd[0]);
        end_helper(pid);
    }
    return rc;
}

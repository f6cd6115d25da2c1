/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

int link_init(struct link *l, int fd)
{
    int flags = fcntl(fd, F_GETFL), len = 1 << 20;

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &len, sizeof(len));
    l->fd = fd;
    return 0;
}

static bool would_block(int e)
{
    return e == EAGAIN || e == EWOULDBLOCK || e == EINTR || e == ENOBUFS;
}

void link_flush(struct link *l)
{
    while (link_pending(l)) {
        ssize_t n = send(l->fd, l->out + l->out_at, l->out_len - l->out_at,
                         MSG_NOSIGNAL);

        if (n < 0) {
            if (!would_block(errno))
                l->gone = true;
            return;
        }
        l->out_at += (size_t)n;
    }
    l->out_at = l->out_len = 0;
}

void link_send(struct link *l, const uint8_t *frame, size_t len)
{
    size_t need = SQ_NET_PREFIX_LEN + len;

    if (len == 0 || len > SQ_NET_FRAME_MAX)
        return;
    if (need > sizeof(l->out) - l->out_len && l->out_at) {
        memmove(l->out, l->out + l->out_at, l->out_len - l->out_at);
        l->out_len -= l->out_at;
        l->out_at = 0;
    }
    if (need > sizeof(l->out) - l->out_len)
        return;
    sq_net_prefix(l->out + l->out_len, len);
    memcpy(l->out + l->out_len + SQ_NET_PREFIX_LEN, frame, len);
    l->out_len += need;
    link_flush(l);
}

void link_receive(struct link *l,
                  void (*fn)(void *ctx, const uint8_t *frame, size_t len),
                  void *ctx)
{
    const uint8_t *frame;
    size_t room, len;
    uint8_t *to = sq_net_unframe_space(&l->in, &room);
    ssize_t n = recv(l->fd, to, room, 0);
    int rc;

    if (n < 0 && would_block(errno))
        return;
    if (n <= 0) {
        l->gone = true;
        return;
    }
    sq_net_unframe_put(&l->in, (size_t)n);
    while ((rc = sq_net_unframe_next(&l->in, &frame, &len)) > 0)
        fn(ctx, frame, len);
    if (rc < 0)
        l->gone = true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* How long the guest may take to accept; as upstream. */
#define GUEST_WAIT_NS 2000000000u
#define _GNU_SOURCE
#include "dev/host/vsock_unix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "os/sock.h"

/* Clients that have not said yet where they want to go. When all places are
 * taken, the one that has been silent longest makes room. */
#define WAITING_MAX 32u
#define LINE_MAX_LEN 32u /* "CONNECT 4294967295\n" is 19 bytes */
#define BACKLOG 64

struct waiting {
    struct sq_vsock_unix *bridge;
    int fd; /* -1: free */
    uint64_t order;
    unsigned len;
    char line[LINE_MAX_LEN + 1];
};

struct sq_vsock_unix {
    struct sq_poller *poller;
    struct sq_virtio_device *dev;
    int fd;
    struct sockaddr_un path;
    uint64_t next_order;
    struct waiting waiting[WAITING_MAX];
};

/* ---- Guest to host ---- */

/* A Unix socket connects at once, or fails with EAGAIN when the listener's
 * backlog is full: then the guest is refused. */
static int connect_port(void *ctx, uint32_t port, struct squib_error *err)
{
    const struct sq_vsock_unix *b = ctx;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int n, fd;

    n = snprintf(to.sun_path, sizeof(to.sun_path), "%s_%u", b->path.sun_path,
                 port);
    if (n < 0 || (size_t)n >= sizeof(to.sun_path))
        return sq_err_set(err, SQUIB_E_INVAL, "vsock: path is too long");
    fd = sq_sock_unix(true);
    if (fd < 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "vsock: socket");
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        int e = errno;

        close(fd);
        return sq_err_os(err, SQUIB_E_NOTFOUND, e, "vsock: %s", to.sun_path);
    }
    return fd;
}

const struct sq_vsock_host_ops sq_vsock_unix_host_ops = {
    .connect = connect_port,
};

/* ---- Host to guest ---- */

/* Takes the descriptor out of its place, which is free then. */
static int give_up(struct waiting *w)
{
    int fd = w->fd;

    sq_poller_del(w->bridge->poller, fd);
    w->fd = -1;
    return fd;
}

static void opened(void *ctx, int fd, uint32_t host_port)
{
    char line[32];
    int n = snprintf(line, sizeof(line), "OK %u\n", host_port);

    (void)ctx;
    /* The first bytes on an empty socket always fit; a client that has
     * gone is noticed when its data moves. */
    if (send(fd, line, (size_t)n, SQ_MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        shutdown(fd, SHUT_RDWR);
}

/* "CONNECT <port>\n", the word in any letter case. */
static bool parse_line(const char *line, uint32_t *port)
{
    uint64_t v = 0;

    if (strncasecmp(line, "CONNECT ", 8) != 0)
        return false;
    line += 8;
    if (*line == '\n')
        return false;
    for (; *line != '\n'; line++) {
        if (*line < '0' || *line > '9')
            return false;
        v = v * 10 + (uint64_t)(*line - '0');
        if (v > UINT32_MAX)
            return false;
    }
    *port = (uint32_t)v;
    return true;
}

/* Reads up to the end of the line and not a byte further: those that follow
 * are for the guest. 1: the line is there; 0: not yet; -1: give up. */
static int read_line(struct waiting *w)
{
    char *to = w->line + w->len, *newline;
    size_t room = LINE_MAX_LEN - w->len, take;
    ssize_t n = recv(w->fd, to, room, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR
                   ? 0
                   : -1;
    if (n == 0)
        return -1;
    newline = memchr(to, '\n', (size_t)n);
    take = newline ? (size_t)(newline - to) + 1 : (size_t)n;
    if (recv(w->fd, to, take, MSG_DONTWAIT) != (ssize_t)take)
        return -1;
    w->len += (unsigned)take;
    w->line[w->len] = '\0';
    if (newline)
        return 1;
    return w->len == LINE_MAX_LEN ? -1 : 0;
}

static void client_event(void *ctx, int fd, unsigned events)
{
    struct waiting *w = ctx;
    struct sq_vsock_unix *b = w->bridge;
    uint32_t port = 0;
    int rc = read_line(w);

    (void)events;
    if (rc == 0 && !(events & SQ_POLL_HUP))
        return;
    give_up(w);
    if (rc <= 0 || !parse_line(w->line, &port) ||
        sq_vsock_host_connect(b->dev, port, fd, GUEST_WAIT_NS, opened,
                              NULL, NULL) != 0)
        close(fd);
}

static struct waiting *place(struct sq_vsock_unix *b)
{
    struct waiting *oldest = &b->waiting[0];

    for (unsigned i = 0; i < WAITING_MAX; i++) {
        struct waiting *w = &b->waiting[i];

        if (w->fd < 0)
            return w;
        if (w->order < oldest->order)
            oldest = w;
    }
    close(give_up(oldest));
    return oldest;
}

static void listener_event(void *ctx, int fd, unsigned events)
{
    struct sq_vsock_unix *b = ctx;
    struct waiting *w;
    int client = sq_sock_accept(fd);

    (void)events;
    if (client < 0)
        return;
    w = place(b);
    *w = (struct waiting){
        .bridge = b,
        .fd = client,
        .order = b->next_order++,
    };
    if (sq_poller_add(b->poller, client, SQ_POLL_IN, client_event, w,
                      NULL) != 0) {
        w->fd = -1;
        close(client);
    }
}

/* ---- Life ---- */

int sq_vsock_unix_new(const char *uds_path, struct sq_poller *poller,
                      struct sq_vsock_unix **out, struct squib_error *err)
{
    struct sq_vsock_unix *b = calloc(1, sizeof(*b));

    if (!b)
        return sq_err_set(err, SQUIB_E_NOMEM, "vsock: out of memory");
    b->poller = poller;
    b->path.sun_family = AF_UNIX;
    for (unsigned i = 0; i < WAITING_MAX; i++)
        b->waiting[i].fd = -1;
    /* The guest reaches only ports for which there is room behind it. */
    if (strlen(uds_path) >= sizeof(b->path.sun_path) || !*uds_path) {
        free(b);
        return sq_err_set(err, SQUIB_E_INVAL,
                          "vsock: socket path of %zu bytes\n"
                          "  do: use one of 1 to %zu bytes",
                          strlen(uds_path),
                          sizeof(b->path.sun_path) - 1);
    }
    strcpy(b->path.sun_path, uds_path);
    b->fd = sq_sock_unix(true);
    if (b->fd < 0 ||
        bind(b->fd, (struct sockaddr *)&b->path, sizeof(b->path)) != 0) {
        int rc = sq_err_os(err, SQUIB_E_OS, errno, "vsock: socket %s",
                           uds_path);

        if (b->fd >= 0)
            close(b->fd);
        free(b);
        return rc;
    }
    if (listen(b->fd, BACKLOG) != 0) {
        int rc = sq_err_os(err, SQUIB_E_OS, errno, "vsock: listen on %s",
                           uds_path);

        sq_vsock_unix_free(b);
        return rc;
    }
    *out = b;
    return 0;
}

int sq_vsock_unix_attach(struct sq_vsock_unix *bridge,
                         struct sq_virtio_device *dev,
                         struct squib_error *err)
{
    bridge->dev = dev;
    return sq_poller_add(bridge->poller, bridge->fd, SQ_POLL_IN,
                         listener_event, bridge, err);
}

void sq_vsock_unix_free(struct sq_vsock_unix *bridge)
{
    if (!bridge)
        return;
    for (unsigned i = 0; i < WAITING_MAX; i++)
        if (bridge->waiting[i].fd >= 0)
            close(give_up(&bridge->waiting[i]));
    if (bridge->dev)
        sq_poller_del(bridge->poller, bridge->fd);
    close(bridge->fd);
    unlink(bridge->path.sun_path);
    free(bridge);
}

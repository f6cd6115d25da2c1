/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/publish.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/options.h"
#include "cli/report.h"
#include "dev/virtio/vsock.h"
#include "os/clock.h"
#include "os/sock.h"

/* Clients that are let in before others have their turn. */
#define BATCH 16
/* How long to wait when the process has no descriptors left. */
#define PAUSE_NS 100000000u
/* How long a busy guest may take to let a client in. */
#define GUEST_WAIT_NS 60000000000u

struct sq_publish {
    struct sq_poller *poller;
    struct sq_vmm *vmm; /* NULL: not started */
    struct sq_timer again;
    size_t count;
    struct listener {
        struct sq_publish *owner;
        int fd;
        uint16_t guest;
    } listener[SQ_PUBLISH_MAX];
};

/* --- options ----------------------------------------------------------- */

static int bad(const char *text, struct squib_error *err)
{
    return sq_err_set(err, SQUIB_E_INVAL, "-p: '%.60s' is not [IP:]HOST:GUEST"
                      "\n  do: two ports from 1 to 65535, like 8080:80 or "
                      "0.0.0.0:8080:80", text);
}

static bool port_of(const char *text, unsigned least, uint16_t *out)
{
    unsigned v;

    if (sq_parse_u32("port", text, &v, NULL) || v < least || v > 65535)
        return false;
    *out = (uint16_t)v;
    return true;
}

/* An address, in brackets if it is IPv6, or "". */
static bool address_of(const char *text, uint16_t port,
                       struct sq_publish_port *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->host;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->host;
    size_t len = strlen(text);
    char inner[64];

    memset(&out->host, 0, sizeof(out->host));
    if (text[0] == '[' && len > 2 && len < sizeof(inner) &&
        text[len - 1] == ']') {
        memcpy(inner, text + 1, len - 2);
        inner[len - 2] = '\0';
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        out->host_len = sizeof(*v6);
        return inet_pton(AF_INET6, inner, &v6->sin6_addr) == 1;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    out->host_len = sizeof(*v4);
    return inet_pton(AF_INET, len ? text : "127.0.0.1", &v4->sin_addr) == 1;
}

int sq_publish_parse(const char *text, struct sq_publish_port *out,
                     struct squib_error *err)
{
    char copy[128], *guest, *host;
    uint16_t port;

    if (strlen(text) >= sizeof(copy))
        return bad(text, err);
    strcpy(copy, text);
    guest = strrchr(copy, ':');
    if (!guest)
        return bad(text, err);
    *guest++ = '\0';
    host = strrchr(copy, ':');
    if (host)
        *host++ = '\0';
    if (!port_of(guest, 1, &out->guest) ||
        !port_of(host ? host : copy, 0, &port) ||
        !address_of(host ? copy : "", port, out))
        return bad(text, err);
    return 0;
}

void sq_publish_setting(const struct sq_publish_port *ports, size_t count,
                        char *out, size_t len)
{
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count && n < len; i++)
        n += (size_t)snprintf(out + n, len - n, "%s%u", i ? "," : "",
                              ports[i].guest);
}

/* --- listening --------------------------------------------------------- */

static void show(const struct sockaddr_storage *a, char *out, size_t len)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
    char text[INET6_ADDRSTRLEN] = "?";

    if (a->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
        snprintf(out, len, "[%s]:%u", text, ntohs(v6->sin6_port));
    } else {
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
        snprintf(out, len, "%s:%u", text, ntohs(v4->sin_port));
    }
}

static int listen_on(const struct sq_publish_port *port, int *out,
                     struct squib_error *err)
{
    struct sockaddr_storage got = port->host;
    socklen_t got_len = sizeof(got);
    char where[80];
    int one = 1, fd, e;

    fd = socket(port->host.ss_family, SOCK_STREAM, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) ||
        fcntl(fd, F_SETFL, O_NONBLOCK) ||
        bind(fd, (const struct sockaddr *)&port->host, port->host_len) ||
        listen(fd, 128)) {
        e = errno;
        if (fd >= 0)
            close(fd);
        show(&port->host, where, sizeof(where));
        return sq_err_os(err, SQUIB_E_OS, e, "-p: cannot listen on %s",
                         where);
    }
    /* Somebody who asked for any port has to be told which it is. */
    if (((const struct sockaddr_in *)&port->host)->sin_port == 0 &&
        getsockname(fd, (struct sockaddr *)&got, &got_len) == 0) {
        show(&got, where, sizeof(where));
        sq_say("%s is port %u of the guest", where, port->guest);
    }
    *out = fd;
    return 0;
}

static void watch(struct sq_publish *p, bool on)
{
    for (size_t i = 0; i < p->count; i++)
        sq_poller_mod(p->poller, p->listener[i].fd, on ? SQ_POLL_IN : 0);
}

static void on_again(void *ctx, uint64_t now_ns)
{
    (void)now_ns;
    watch(ctx, true);
}

/* The device takes the client's socket as the host's end. */
static void let_in(const struct listener *l, int fd)
{
    struct sq_virtio_device *dev = sq_vmm_device(l->owner->vmm,
                                                 SQ_VIRTIO_ID_VSOCK, 0);
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (!dev || sq_vsock_host_connect(dev, SQ_AGENT_PORT_FORWARD + l->guest,
                                      fd, GUEST_WAIT_NS, NULL, NULL, NULL))
        close(fd); /* too many: the client may try again */
}

static void on_client(void *ctx, int fd, unsigned events)
{
    const struct listener *l = ctx;
    struct sq_publish *p = l->owner;

    (void)events;
    for (int i = 0; p->vmm && i < BATCH; i++) {
        int client = sq_sock_accept(fd);

        if (client >= 0) {
            let_in(l, client);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
            errno == ENOBUFS) {
            watch(p, false);
            sq_timer_arm(p->poller, &p->again, sq_now_ns() + PAUSE_NS);
        }
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

int sq_publish_new(const struct sq_publish_port *ports, size_t count,
                   struct sq_poller *poller, struct sq_publish **out,
                   struct squib_error *err)
{
    struct sq_publish *p = calloc(1, sizeof(*p));
    int rc = 0;

    if (!p)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    p->poller = poller;
    p->again.fn = on_again;
    p->again.ctx = p;
    for (size_t i = 0; i < count && !rc; i++) {
        struct listener *l = &p->listener[i];

        l->owner = p;
        l->guest = ports[i].guest;
        rc = listen_on(&ports[i], &l->fd, err);
        if (rc)
            break;
        rc = sq_poller_add(poller, l->fd, 0, on_client, l, err);
        if (rc)
            close(l->fd);
        else
            p->count++;
    }
    if (rc)
        sq_publish_free(p);
    else
        *out = p;
    return rc;
}

void sq_publish_start(struct sq_publish *p, struct sq_vmm *vmm)
{
    p->vmm = vmm;
    watch(p, true);
}

void sq_publish_free(struct sq_publish *p)
{
    if (!p)
        return;
    sq_timer_disarm(p->poller, &p->again);
    for (size_t i = 0; i < p->count; i++) {
        sq_poller_del(p->poller, p->listener[i].fd);
        close(p->listener[i].fd);
    }
    free(p);
}

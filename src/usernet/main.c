/* SPDX-License-Identifier: Apache-2.0 */
/*
 * squib-usernet: the guest's way to the network without any privilege. At
 * one end Ethernet frames of one guest on an inherited socket, at the other
 * ordinary sockets of this process; in between libslirp, which answers ARP,
 * DHCP and DNS and turns TCP, UDP and pings into socket calls.
 *
 *   squib-usernet --fd N [--mtu BYTES] [--no-host]
 *
 * The guest sees 10.0.2.0/24: itself as .15, a router as .2, which for TCP
 * and UDP is also this host's loopback (unless --no-host), and a name
 * server as .3, which is the host's. IPv4 alone.
 *
 * A process of its own because it digests packets of a guest nobody trusts:
 * see sandbox.h for what it gives up. It ends when the monitor closes the
 * socket.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "link.h"
#include "sandbox.h"

#define IPV4(a, b, c, d)                                                   \
    {                                                                      \
        .s_addr = (uint32_t)(a) | (uint32_t)(b) << 8 |                     \
                  (uint32_t)(c) << 16 | (uint32_t)(d) << 24                \
    }
#define MTU_MAX 65520u
/* The longest sleep: what libslirp calls infinite. */
#define SLEEP_MAX_MS 60000u

struct timer {
    SlirpTimerCb fn;
    void *ctx;
    int64_t at_ms; /* -1: not armed */
    struct timer *next;
};

struct usernet {
    Slirp *slirp;
    struct timer *timers;
    struct pollfd *polled;
    size_t polled_count, polled_room;
    struct link link;
};

static void die(const char *what)
{
    fprintf(stderr, "squib-usernet: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- What libslirp asks for ---- */

static int64_t now_ns(void *opaque)
{
    struct timespec ts;

    (void)opaque;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static ssize_t send_packet(const void *frame, size_t len, void *opaque)
{
    struct usernet *u = opaque;

    link_send(&u->link, frame, len);
    return (ssize_t)len;
}

static void guest_error(const char *msg, void *opaque)
{
    /* Whatever a guest does wrong is its own affair. */
    (void)msg;
    (void)opaque;
}

static void *timer_new(SlirpTimerCb fn, void *ctx, void *opaque)
{
    struct usernet *u = opaque;
    struct timer *t = calloc(1, sizeof(*t));

    if (!t)
        die("timer");
    t->fn = fn;
    t->ctx = ctx;
    t->at_ms = -1;
    t->next = u->timers;
    u->timers = t;
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    struct usernet *u = opaque;

    for (struct timer **at = &u->timers; *at; at = &(*at)->next) {
        if (*at == timer) {
            *at = (*at)->next;
            free(timer);
            return;
        }
    }
}

static void timer_mod(void *timer, int64_t at_ms, void *opaque)
{
    (void)opaque;
    ((struct timer *)timer)->at_ms = at_ms;
}

static void ignore_fd(int fd, void *opaque)
{
    (void)fd;
    (void)opaque;
}

static void ignore_notify(void *opaque)
{
    (void)opaque; /* one thread: it is awake */
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = now_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = ignore_fd,
    .unregister_poll_fd = ignore_fd,
    .notify = ignore_notify,
};

/* ---- The loop ---- */

static int add_poll(int fd, int events, void *opaque)
{
    static const short map[] = {POLLIN, POLLOUT, POLLPRI};
    struct usernet *u = opaque;
    struct pollfd *p;

    if (u->polled_count == u->polled_room) {
        size_t n = u->polled_room ? 2 * u->polled_room : 64;

        p = realloc(u->polled, n * sizeof(*p));
        if (!p)
            die("poll");
        u->polled = p;
        u->polled_room = n;
    }
    p = &u->polled[u->polled_count];
    *p = (struct pollfd){.fd = fd};
    for (int i = 0; i < 3; i++)
        if (events & 1 << i)
            p->events |= map[i];
    return (int)u->polled_count++;
}

static int get_events(int at, void *opaque)
{
    static const short map[] = {POLLIN, POLLOUT, POLLPRI, POLLERR, POLLHUP};
    const struct usernet *u = opaque;
    int events = 0;

    if (at < 0 || (size_t)at >= u->polled_count)
        return 0;
    for (int i = 0; i < 5; i++)
        if (u->polled[at].revents & map[i])
            events |= 1 << i;
    return events;
}

static void from_guest(void *ctx, const uint8_t *frame, size_t len)
{
    struct usernet *u = ctx;

    slirp_input(u->slirp, frame, (int)len);
}

static void run_timers(struct usernet *u)
{
    int64_t now_ms = now_ns(NULL) / 1000000;

    /* A timer that fires may free itself or make others: look from the
     * start again, a bounded number of times. */
    for (int i = 0; i < 16; i++) {
        struct timer *t = u->timers;

        while (t && (t->at_ms < 0 || t->at_ms > now_ms))
            t = t->next;
        if (!t)
            return;
        t->at_ms = -1;
        t->fn(t->ctx);
    }
}

static uint32_t until_timer(const struct usernet *u, uint32_t most_ms)
{
    int64_t now_ms = now_ns(NULL) / 1000000;

    for (const struct timer *t = u->timers; t; t = t->next)
        if (t->at_ms >= 0 && t->at_ms - now_ms < most_ms)
            most_ms = t->at_ms > now_ms ? (uint32_t)(t->at_ms - now_ms) : 0;
    return most_ms;
}

static void run(struct usernet *u)
{
    while (!u->link.gone) {
        /* A monitor that does not keep up is not fed: nothing is read from
         * the sockets meanwhile, which pushes back on their peers. */
        bool fed = !link_is_full(&u->link);
        uint32_t sleep_ms = SLEEP_MAX_MS;
        int n;

        u->polled_count = 0;
        add_poll(u->link.fd, SLIRP_POLL_IN |
                                 (link_pending(&u->link) ? SLIRP_POLL_OUT
                                                         : 0), u);
        if (fed)
            slirp_pollfds_fill(u->slirp, &sleep_ms, add_poll, u);
        n = poll(u->polled, u->polled_count,
                 (int)until_timer(u, sleep_ms));
        if (n < 0 && errno != EINTR)
            die("poll");
        if (n > 0 && (u->polled[0].revents & POLLOUT))
            link_flush(&u->link);
        if (n > 0 && (u->polled[0].revents & ~POLLOUT))
            link_receive(&u->link, from_guest, u);
        if (fed)
            slirp_pollfds_poll(u->slirp, n < 0, get_events, u);
        run_timers(u);
    }
}

/* ---- Start ---- */

static void usage(void)
{
    fputs("usage: squib-usernet --fd N [--mtu BYTES] [--no-host]\n"
          "The user-mode network of squib; started by it.\n", stderr);
    exit(2);
}

static unsigned number(const char *text, unsigned lo, unsigned hi)
{
    char *end;
    unsigned long v = strtoul(text ? text : "", &end, 10);

    if (!text || end == text || *end || v < lo || v > hi)
        usage();
    return (unsigned)v;
}

int main(int argc, char **argv)
{
    SlirpConfig config = {
        .version = 1,
        .in_enabled = true,
        .vnetwork = IPV4(10, 0, 2, 0),
        .vnetmask = IPV4(255, 255, 255, 0),
        .vhost = IPV4(10, 0, 2, 2),
        .vnameserver = IPV4(10, 0, 2, 3),
        .vdhcp_start = IPV4(10, 0, 2, 15),
        .vhostname = "squib",
        .if_mtu = 1500,
    };
    struct usernet *u = calloc(1, sizeof(*u));
    int fd = -1;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--fd") == 0)
            fd = (int)number(argv[++i], 0, 1023);
        else if (strcmp(argv[i], "--mtu") == 0)
            config.if_mtu = number(argv[++i], 576, MTU_MAX);
        else if (strcmp(argv[i], "--no-host") == 0)
            config.disable_host_loopback = true;
        else
            usage();
    }
    if (fd < 0)
        usage();
    if (!u)
        die("start");
    config.if_mru = config.if_mtu;
    signal(SIGPIPE, SIG_IGN);
    if (sandbox_begin(fd > 2 ? fd : 2) || link_init(&u->link, fd))
        die("start");
    u->slirp = slirp_new(&config, &callbacks, u);
    if (!u->slirp) {
        fputs("squib-usernet: libslirp refuses its settings\n", stderr);
        return 1;
    }
    if (sandbox_enter())
        die("sandbox");
    run(u);
    return 0;
}

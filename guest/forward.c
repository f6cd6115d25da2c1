/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process listens, and one more serves each connection: two flows over
 * one poll. That costs the guest some pages a connection and keeps PID 1
 * out of it: whatever becomes of these processes, the command goes on. The
 * host bounds how many connections there are.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "forward.h"

#include "core/agent_proto.h"
#include "flow.h"
#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORTS_MAX = SQ_AGENT_FORWARD_MAX };

struct port {
    int fd;
    uint16_t number;
};

static int connect_loopback(uint16_t number)
{
    struct sockaddr_in name = {
        .sin_family = AF_INET,
        .sin_port = htons(number),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&name, sizeof(name))) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* The serving process. */
static void serve(int host, uint16_t number)
{
    static struct flow flows[2];
    struct pollfd entries[4];
    int local = connect_loopback(number);

    if (local < 0)
        return; /* nobody listens: the host sees the connection end */
    flow_start(&flows[0], host, true, local, true, true);
    flow_start(&flows[1], fcntl(local, F_DUPFD_CLOEXEC, 3), true,
               fcntl(host, F_DUPFD_CLOEXEC, 3), true, true);
    while (!flow_done(&flows[0]) || !flow_done(&flows[1])) {
        flow_prepare(&flows[0], entries);
        flow_prepare(&flows[1], entries + 2);
        if (poll(entries, 4, -1) < 0)
            continue;
        flow_move(&flows[0], entries);
        flow_move(&flows[1], entries + 2);
    }
}

static void take(const struct port *port)
{
    int fd = accept4(port->fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (fork() == 0) {
        serve(fd, port->number);
        _exit(0);
    }
    close(fd);
}

/* The listening process; never returns. */
static void listen_for_ever(const struct port *ports, int count)
{
    struct pollfd entries[PORTS_MAX];
    int i;

    signal(SIGCHLD, SIG_IGN); /* nobody asks how they ended */
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    for (i = 0; i < count; i++)
        entries[i] = (struct pollfd){ ports[i].fd, POLLIN, 0 };
    for (;;) {
        if (poll(entries, (nfds_t)count, -1) < 0)
            continue;
        for (i = 0; i < count; i++)
            if (entries[i].revents)
                take(&ports[i]);
    }
}

void forward_start(const char *ports)
{
    struct port list[PORTS_MAX];
    struct text why;
    int count = 0, i;

    while (*ports && count < PORTS_MAX) {
        char *end;
        unsigned long number = strtoul(ports, &end, 10);

        if (end == ports || number == 0 || number > 65535)
            break;
        list[count].number = (uint16_t)number;
        list[count].fd = link_listen(SQ_AGENT_PORT_FORWARD +
                                         (uint32_t)number, &why);
        if (list[count].fd < 0)
            say(why.s, NULL);
        else
            count++;
        ports = *end == ',' ? end + 1 : end;
    }
    if (!count)
        return;
    if (fork() == 0)
        listen_for_ever(list, count);
    for (i = 0; i < count; i++)
        close(list[i].fd);
}

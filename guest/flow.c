/* SPDX-License-Identifier: Apache-2.0 */
#include "flow.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void flow_start(struct flow *flow, int source, bool source_is_socket,
                int sink, bool sink_is_socket, bool shared)
{
    flow->source = source;
    flow->source_is_socket = source_is_socket;
    flow->sink = sink;
    flow->sink_is_socket = sink_is_socket;
    flow->shared = shared;
    flow->final = false;
    flow->last = '\n';
    flow->head = flow->tail = 0;
}

void flow_none(struct flow *flow)
{
    flow_start(flow, -1, false, -1, false, false);
}

/* An unshared socket is only closed: each message to the host costs. */
static void end_source(struct flow *flow)
{
    if (flow->source < 0)
        return;
    if (flow->source_is_socket && flow->shared)
        shutdown(flow->source, SHUT_RD);
    close(flow->source);
    flow->source = -1;
}

static void end_sink(struct flow *flow)
{
    if (flow->sink < 0)
        return;
    if (flow->sink_is_socket && flow->shared)
        shutdown(flow->sink, SHUT_WR);
    close(flow->sink);
    flow->sink = -1;
    flow->head = flow->tail = 0;
}

void flow_prepare(const struct flow *flow, struct pollfd entries[2])
{
    bool pending = flow->head < flow->tail;
    bool room = flow->tail < FLOW_BUFFER;

    entries[0].fd = room ? flow->source : -1;
    entries[0].events = POLLIN;
    entries[0].revents = 0;
    entries[1].fd = pending ? flow->sink : -1;
    entries[1].events = POLLOUT;
    entries[1].revents = 0;
}

static bool try_later(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static bool fill(struct flow *flow)
{
    size_t room = FLOW_BUFFER - flow->tail;
    char *at = flow->buffer + flow->tail;
    ssize_t n;

    if (flow->source < 0 || room == 0)
        return false;
    n = flow->source_is_socket ? recv(flow->source, at, room, MSG_DONTWAIT)
                               : read(flow->source, at, room);
    if (n > 0) {
        flow->tail += (size_t)n;
        return true;
    }
    if (n < 0 && (errno == EINTR || (try_later(errno) && !flow->final)))
        return false;
    /* The end; a terminal says it with EIO, a dead peer with an error. */
    end_source(flow);
    return true;
}

static bool drain(struct flow *flow)
{
    size_t pending = flow->tail - flow->head;
    const char *at = flow->buffer + flow->head;
    ssize_t n;

    if (flow->sink < 0 || pending == 0)
        return false;
    n = flow->sink_is_socket
            ? send(flow->sink, at, pending, MSG_DONTWAIT | MSG_NOSIGNAL)
            : write(flow->sink, at, pending);
    if (n > 0) {
        flow->head += (size_t)n;
        flow->last = flow->buffer[flow->head - 1];
        if (flow->head == flow->tail)
            flow->head = flow->tail = 0;
        return true;
    }
    if (n < 0 && try_later(errno))
        return false;
    end_sink(flow);
    end_source(flow);
    return true;
}

bool flow_move(struct flow *flow, const struct pollfd entries[2])
{
    bool moved = false;

    if (!entries || entries[0].revents)
        moved = fill(flow);
    /* After a fill the sink mostly has room: no need to ask first. */
    if (moved || !entries || entries[1].revents)
        moved = drain(flow) || moved;
    if (flow->source < 0 && flow->head == flow->tail)
        end_sink(flow);
    return moved;
}

bool flow_done(const struct flow *flow)
{
    return flow->source < 0 && flow->sink < 0;
}

void flow_stop(struct flow *flow)
{
    end_source(flow);
    end_sink(flow);
}

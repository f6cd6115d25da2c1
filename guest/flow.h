/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of bytes: from a source descriptor through a bounded buffer
 * to a sink, without blocking and without losing any.
 *
 * End of the source: what is buffered goes out, then the sink is closed in
 * this direction. Sink gone: the source is closed, so that its writer
 * learns of it as from a local pipe, and the buffer is dropped.
 */
#ifndef SQUIB_GUEST_FLOW_H
#define SQUIB_GUEST_FLOW_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

enum { FLOW_BUFFER = 64 * 1024 };

struct flow {
    int source; /* -1: ended. Owned. */
    int sink;   /* -1: gone. Owned. */
    bool source_is_socket;
    bool sink_is_socket;
    bool shared;  /* the socket also serves the other direction */
    bool final;   /* nobody can write to the source any more: an empty
                     source is an ended one */
    char last;    /* the byte that went out last */
    size_t head;  /* the buffer holds [head, tail) */
    size_t tail;
    char buffer[FLOW_BUFFER];
};

/* Takes both descriptors. Those that are not sockets must be O_NONBLOCK.
 * With `shared` the socket is a duplicate whose other half belongs to
 * another flow, so that closing it alone would tell the peer nothing. */
void flow_start(struct flow *flow, int source, bool source_is_socket,
                int sink, bool sink_is_socket, bool shared);

/* A flow that does not exist: done from the beginning. */
void flow_none(struct flow *flow);

/* Fills in two entries for poll; a descriptor it does not wait for is -1,
 * so that a hang-up nobody can act on does not spin. */
void flow_prepare(const struct flow *flow, struct pollfd entries[2]);

/* Moves what can be moved now: at most one buffer, so that every flow and
 * the control connection get their turn. `entries` as poll left them, or
 * NULL to try both ends. Returns whether any byte or end moved. */
bool flow_move(struct flow *flow, const struct pollfd entries[2]);

/* Whether all is delivered and both ends are closed. */
bool flow_done(const struct flow *flow);

/* Closes what is open; buffered bytes are dropped. */
void flow_stop(struct flow *flow);

#endif

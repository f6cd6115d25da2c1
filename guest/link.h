/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections to the host, on AF_VSOCK. A build with SQ_AGENT_TEST
 * uses Unix sockets named by the port number in a directory instead, so
 * that the rest of the agent can run as an ordinary process.
 */
#ifndef SQUIB_GUEST_LINK_H
#define SQUIB_GUEST_LINK_H

#include "core/agent_proto.h"
#include "text.h"

#include <stddef.h>
#include <stdint.h>

#ifdef SQ_AGENT_TEST
/* Where the sockets are; call before the first link_connect. */
void link_use_directory(const char *directory);
#endif

/* Connects to a port of the host. Returns a descriptor (close-on-exec), or
 * -1 with one line in *why. */
int link_connect(uint32_t port, struct text *why);

/* Listens on a port of this side. The descriptor, or -1 with one line in
 * *why. */
int link_listen(uint32_t port, struct text *why);

/* Sends all bytes, however long the host takes to make room. 0, or -1 when
 * the connection is gone. */
int link_send(int fd, const void *bytes, size_t len);

/* Receives exactly `len` bytes. 0, or -1 at the end of the connection. */
int link_recv(int fd, void *bytes, size_t len);

/* Encodes and sends a small message. */
int link_send_msg(int fd, const struct sq_agent_msg *msg);

/* Makes FAILED out of its parts. */
void link_fill_failed(struct sq_agent_msg *msg, uint32_t session,
                      enum sq_agent_reason reason, int error,
                      const struct text *text);

#endif

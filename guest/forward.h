/* SPDX-License-Identifier: Apache-2.0 */
/* Ports that the host publishes: its connections to TCP ports of the
 * guest's loopback. */
#ifndef SQUIB_GUEST_FORWARD_H
#define SQUIB_GUEST_FORWARD_H

/* Starts a process that listens on vsock port SQ_AGENT_PORT_FORWARD + N for
 * each N of `ports` ("80,443") and passes every connection on to
 * 127.0.0.1:N, byte for byte, half-closes included. When it returns the
 * ports are there. What cannot be is said on the console. Before the
 * session's signals are set up. */
void forward_start(const char *ports);

#endif

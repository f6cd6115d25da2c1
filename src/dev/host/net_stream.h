/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames over a connected stream socket (net_frame.h has the format) as a
 * network engine: squib's own user-mode network, passt, gvproxy.
 */
#ifndef SQ_DEV_HOST_NET_STREAM_H
#define SQ_DEV_HOST_NET_STREAM_H

#include <sys/types.h>

#include <squib/error.h>

#include "dev/host/net.h"

/* Takes a connected socket, which becomes the engine's on success and is
 * made non-blocking. `helper` is the child process at the other end, killed
 * and waited for when the engine is freed; 0 for none. Errors:
 * SQUIB_E_NOMEM, SQUIB_E_OS. */
int sq_net_stream_new(int fd, pid_t helper, struct sq_net_backend **out,
                      struct squib_error *err);

/* Connects to a Unix socket on which somebody listens. Errors also:
 * SQUIB_E_INVAL (path too long), SQUIB_E_NOTFOUND (nobody there). */
int sq_net_stream_connect(const char *path, struct sq_net_backend **out,
                          struct squib_error *err);

/* Starts squib's network helper, the program `path`, at the other end of a
 * socket pair. `mtu` is what the guest is told too. Errors also:
 * SQUIB_E_NOTFOUND (no such program). */
int sq_net_stream_spawn(const char *path, unsigned mtu, bool no_host,
                        struct sq_net_backend **out,
                        struct squib_error *err);

#endif

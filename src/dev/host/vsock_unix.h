/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bridge between a vsock device and Unix sockets, as Firecracker's
 * clients know it (its docs/vsock.md):
 *
 *   host to guest  connect to `uds_path`, send "CONNECT <port>\n", read
 *                  "OK <host port>\n", then talk; the bridge closes the
 *                  connection when it cannot be made;
 *   guest to host  a connection to (CID 2, port P) goes to whoever listens
 *                  on `<uds_path>_<P>`.
 *
 * Everything here belongs to the event thread.
 */
#ifndef SQ_DEV_HOST_VSOCK_UNIX_H
#define SQ_DEV_HOST_VSOCK_UNIX_H

#include <squib/error.h>

#include "dev/virtio/vsock.h"
#include "os/poller.h"

struct sq_vsock_unix;

/* For sq_virtio_vsock_config.host, with the bridge as host_ctx. */
extern const struct sq_vsock_host_ops sq_vsock_unix_host_ops;

/* Listens on uds_path, which must not exist yet. Order: make the bridge,
 * make the device with it, sq_vsock_unix_attach(). Free bridge and device
 * together, in any order, with no turn of the event loop in between.
 * Errors: SQUIB_E_INVAL (path too long), SQUIB_E_OS, SQUIB_E_NOMEM. */
int sq_vsock_unix_new(const char *uds_path, struct sq_poller *poller,
                      struct sq_vsock_unix **out, struct squib_error *err);

/* Tells where connections from the host go. Until then they wait. Once.
 * Errors: SQUIB_E_OS, SQUIB_E_NOMEM. */
int sq_vsock_unix_attach(struct sq_vsock_unix *bridge,
                         struct sq_virtio_device *dev,
                         struct squib_error *err);

/* Stops listening and removes the socket file. NULL is allowed. */
void sq_vsock_unix_free(struct sq_vsock_unix *bridge);

#endif

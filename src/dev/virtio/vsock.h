/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio socket device (virtio 1.2, section 5.10), stream sockets only.
 *
 * Each connection is tied to a host stream descriptor (a Unix socket or one
 * end of a socketpair): bytes, half-closes and back-pressure pass through
 * in both directions. What a peer wrote before it closed is delivered.
 *
 * Everything here belongs to the event thread.
 */
#ifndef SQ_DEV_VIRTIO_VSOCK_H
#define SQ_DEV_VIRTIO_VSOCK_H

#include <stdint.h>

#include <squib/error.h>

#include "dev/virtio/device.h"

#define SQ_VSOCK_HOST_CID 2u
#define SQ_VSOCK_CONNS_MAX 256u
/* Bytes that the guest may have under way towards one host descriptor. */
#define SQ_VSOCK_BUF_ALLOC (256u * 1024u)

/* Who answers when the guest connects. */
struct sq_vsock_host_ops {
    /* A connection to host port `port`. Returns a non-blocking stream
     * socket, which the device then owns, or a negative SQUIB_E_*: the
     * guest's connect fails. Event thread, device mutex held: must not call
     * the device. */
    int (*connect)(void *ctx, uint32_t port, struct squib_error *err);
};

struct sq_virtio_vsock_config {
    uint32_t guest_cid; /* 3 or above */
    /* NULL: every connection of the guest is refused. ctx outlives the
     * device. */
    const struct sq_vsock_host_ops *host;
    void *host_ctx;
};

struct sq_virtio_vsock_counters {
    _Atomic uint64_t rx_packets, tx_packets; /* to and from the guest */
    _Atomic uint64_t rx_bytes, tx_bytes;     /* payload */
    _Atomic uint64_t conns_opened, conns_closed;
    _Atomic uint64_t refused; /* connections, either way */
    _Atomic uint64_t bad_packets;
    _Atomic uint64_t aborted; /* connections, by the device */
    _Atomic uint64_t read_failed, write_failed; /* host descriptors */
};

/* Errors: SQUIB_E_INVAL (guest_cid), SQUIB_E_NOMEM. Release through the
 * transport, or with dev->ops->free(dev) while no transport has it. */
int sq_virtio_vsock_new(const struct sq_virtio_vsock_config *config,
                        struct sq_virtio_device **out,
                        struct squib_error *err);

/* Called once the guest accepted, before any byte moves: fd may be written
 * to. Event thread, device mutex held: must not call the device. */
typedef void sq_vsock_opened_fn(void *ctx, int fd, uint32_t host_port);

/* Connects to a port that the guest listens on. On success fd, a
 * non-blocking stream socket, becomes the device's; it is closed without
 * `opened` being called when the guest refuses or does not answer within
 * wait_ns. opened may be NULL. Event thread, not from a callback of the
 * device. Errors: SQUIB_E_STATE (the guest has no driver running yet),
 * SQUIB_E_NOMEM (too many connections); fd stays the caller's then. */
int sq_vsock_host_connect(struct sq_virtio_device *dev, uint32_t guest_port,
                          int fd, uint64_t wait_ns,
                          sq_vsock_opened_fn *opened, void *ctx,
                          struct squib_error *err);

const struct sq_virtio_vsock_counters *
sq_virtio_vsock_counters(const struct sq_virtio_device *dev);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio network device (virtio 1.2, section 5.1) over an engine of
 * dev/host/net.h: one receive and one transmit queue.
 *
 * With an engine that reads frame headers, checksums and segmentation are
 * passed through; with one that does not, the device still takes frames
 * without a checksum and computes it here, so that guests never have to.
 */
#ifndef SQ_DEV_VIRTIO_NET_H
#define SQ_DEV_VIRTIO_NET_H

#include <squib/error.h>

#include "base/latency.h"
#include "dev/host/net.h"
#include "dev/virtio/device.h"
#include "dev/virtio/throttle.h"

#define SQ_VIRTIO_NET_RX 0u
#define SQ_VIRTIO_NET_TX 1u
#define SQ_VIRTIO_NET_MAC_LEN 6u
#define SQ_VIRTIO_NET_MTU_MIN 68u

/* How much of a frame a filter is shown to decide. */
#define SQ_NET_FILTER_HEAD 64u

/*
 * Something on the guest's link that is not behind the engine, like a
 * metadata service: it sees what the guest sends before the engine does,
 * and has frames of its own for the guest. Frames have no header; TCP
 * segments may be as large as the guest's offloads make them, and their
 * checksums may be missing. Event thread.
 */
struct sq_net_filter_ops {
    /* Whether a frame that begins with these bytes (a copy; the whole
     * frame if it is shorter than SQ_NET_FILTER_HEAD) is for the filter.
     * Has no effects. */
    bool (*wants)(void *ctx, const uint8_t *head, size_t len);
    /* The whole of such a frame, a copy. */
    void (*take)(void *ctx, const uint8_t *frame, size_t len);
    /* Writes the next frame for the guest into frame[cap]
     * (SQ_NET_FRAME_MAX) and returns its length, 0 when there is none. */
    size_t (*next)(void *ctx, uint8_t *frame, size_t cap);
};

struct sq_virtio_net_config {
    struct sq_net_backend *backend; /* becomes the device's on success */
    const uint8_t *mac; /* SQ_VIRTIO_NET_MAC_LEN bytes; NULL: the guest's
                           choice */
    uint16_t mtu;       /* told to the guest; 0: not told */
    const struct sq_net_filter_ops *filter; /* or NULL */
    void *filter_ctx;                       /* outlives the device */
};

/* Frames and bytes without headers. */
struct sq_virtio_net_counters {
    _Atomic uint64_t rx_frames, rx_bytes; /* given to the guest */
    _Atomic uint64_t rx_events;     /* the engine had something */
    _Atomic uint64_t rx_no_buffers; /* a frame had to wait for buffers */
    _Atomic uint64_t rx_failed;     /* frames the guest cannot take */
    _Atomic uint64_t rx_broken;     /* the engine is gone: 1 */
    _Atomic uint64_t tx_frames, tx_bytes; /* given to the engine */
    _Atomic uint64_t tx_busy;       /* the engine had to be waited for */
    _Atomic uint64_t tx_failed;     /* the engine lost them */
    _Atomic uint64_t tx_malformed;  /* no frames at all */
    _Atomic uint64_t tx_spoofed;    /* sent, but from another MAC */
    _Atomic uint64_t filtered;      /* taken by the filter */
    _Atomic uint64_t activate_failed;
    _Atomic uint64_t tx_idle;         /* notifications without a frame */
    _Atomic uint64_t tx_left_waiting; /* frames, after a turn */
    struct sq_latency tx_latency;     /* of handing one to the engine */
};

/* Errors: SQUIB_E_INVAL (mtu below 68), SQUIB_E_NOMEM; then the engine
 * stays the caller's. Release through the transport, or with
 * dev->ops->free(dev) while no transport has it. */
int sq_virtio_net_new(const struct sq_virtio_net_config *config,
                      struct sq_virtio_device **out, struct squib_error *err);

/* The filter has frames for the guest that no frame of the guest's caused.
 * Event thread. */
void sq_virtio_net_filter_ready(struct sq_virtio_device *dev);

/* Limits and their counters of a direction, see throttle.h. */
struct sq_throttle *sq_virtio_net_throttle(struct sq_virtio_device *dev,
                                           unsigned q);

const struct sq_virtio_net_counters *
sq_virtio_net_counters(const struct sq_virtio_device *dev);

#endif

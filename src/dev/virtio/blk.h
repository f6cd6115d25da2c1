/* SPDX-License-Identifier: Apache-2.0 */
/* virtio block device (virtio 1.2, section 5.2) over a struct sq_disk. */
#ifndef SQ_DEV_VIRTIO_BLK_H
#define SQ_DEV_VIRTIO_BLK_H

#include <squib/error.h>

#include "base/latency.h"
#include "dev/host/disk.h"
#include "dev/virtio/device.h"
#include "dev/virtio/throttle.h"

#define SQ_VIRTIO_BLK_SECTOR 512u
#define SQ_VIRTIO_BLK_ID_LEN 20u

enum sq_virtio_blk_cache {
    /* No flush is offered: the guest believes its writes are safe, the
     * host writes them back when it likes. */
    SQ_VIRTIO_BLK_UNSAFE,
    /* The guest's flushes reach the host's storage. */
    SQ_VIRTIO_BLK_WRITEBACK,
};

struct sq_virtio_blk_config {
    struct sq_disk *disk; /* becomes the device's on success */
    enum sq_virtio_blk_cache cache;
    const char *id; /* GET_ID; cut at 20 bytes; copied */
};

struct sq_virtio_blk_counters {
    _Atomic uint64_t reads, writes, flushes, discards; /* done, good */
    _Atomic uint64_t read_bytes, written_bytes;
    _Atomic uint64_t failed;  /* host I/O errors */
    _Atomic uint64_t refused; /* out of bounds, read-only, unsupported */
    _Atomic uint64_t idle_notifications; /* that brought no request */
    _Atomic uint64_t left_waiting; /* requests, after a turn */
    _Atomic uint64_t swaps;        /* of the disk */
    _Atomic uint64_t stalls; /* times that requests waited for others */
    /* From a request's start to its end. */
    struct sq_latency read_latency, write_latency;
};

/* The device is read-only exactly when the disk is. Errors:
 * SQUIB_E_NOMEM (then the disk stays the caller's). Release through the
 * transport, or with dev->ops->free(dev) while no transport has it. */
int sq_virtio_blk_new(const struct sq_virtio_blk_config *config,
                      struct sq_virtio_device **out, struct squib_error *err);

/*
 * Puts another disk in the place of the present one, as when a medium is
 * changed: requests under way end on the old one, which is then freed; the
 * driver is told the new capacity. Open the new one with .replaces =
 * sq_virtio_blk_disk(dev). Event thread. Errors: SQUIB_E_INVAL when one is
 * read-only and the other is not; then nothing has changed and `disk` stays
 * the caller's.
 */
int sq_virtio_blk_swap(struct sq_virtio_device *dev, struct sq_disk *disk,
                       struct squib_error *err);
const struct sq_disk *sq_virtio_blk_disk(const struct sq_virtio_device *dev);

/* Limits and their counters, see throttle.h. */
struct sq_throttle *sq_virtio_blk_throttle(struct sq_virtio_device *dev);

const struct sq_virtio_blk_counters *
sq_virtio_blk_counters(const struct sq_virtio_device *dev);

#endif

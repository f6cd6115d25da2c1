/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio block device (virtio 1.2, section 5.2) whose requests another
 * process serves: a vhost-user back end (host/vhost_user.h).
 *
 * The back end never sees the driver's rings. Requests that the queue has
 * checked are passed on through a ring of the device's own, so that this
 * process learns of every write to guest memory before the driver does, and
 * a bad descriptor ends here. Memory of other devices (persistent memory)
 * is not shared; a request that names it fails.
 */
#ifndef SQ_DEV_VIRTIO_VHOST_BLK_H
#define SQ_DEV_VIRTIO_VHOST_BLK_H

#include <squib/error.h>

#include "dev/virtio/device.h"

struct sq_virtio_vhost_blk_config {
    const char *socket; /* borrowed for the call */
    bool flush;         /* offer the guest a flush, if the back end does */
};

struct sq_virtio_vhost_blk_counters {
    _Atomic uint64_t activate_failed, config_failed;
    /* Stored values, microseconds. */
    _Atomic uint64_t init_us, activate_us, config_us;
};

/* Errors: those of sq_vhost_user_connect(), SQUIB_E_OS, SQUIB_E_NOMEM.
 * Release through the transport, or with dev->ops->free(dev). */
int sq_virtio_vhost_blk_new(const struct sq_virtio_vhost_blk_config *config,
                            struct sq_virtio_device **out,
                            struct squib_error *err);

/* Whether the back end can have the guest's memory: a device of a back end
 * that cannot would never start. Errors: SQUIB_E_RANGE. */
int sq_virtio_vhost_blk_check(const struct sq_virtio_device *dev,
                              const struct squib_memory *mem,
                              struct squib_error *err);

/* Asks the back end for its configuration again, as after its disk has
 * grown, and tells the driver. Event thread. */
int sq_virtio_vhost_blk_refresh(struct sq_virtio_device *dev,
                                struct squib_error *err);

const struct sq_virtio_vhost_blk_counters *
sq_virtio_vhost_blk_counters(const struct sq_virtio_device *dev);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* virtio entropy device (virtio 1.2, section 5.4), fed by the host. */
#ifndef SQ_DEV_VIRTIO_RNG_H
#define SQ_DEV_VIRTIO_RNG_H

#include <squib/error.h>

#include "dev/virtio/device.h"
#include "dev/virtio/throttle.h"

/* A request gets at most this many bytes; drivers ask again. */
#define SQ_VIRTIO_RNG_REQUEST_MAX 4096u

struct sq_virtio_rng_counters {
    _Atomic uint64_t requests;
    _Atomic uint64_t bytes;
    _Atomic uint64_t host_errors;
};

/* Errors: SQUIB_E_NOMEM. Release through the transport, or with
 * dev->ops->free(dev) while no transport has it. */
int sq_virtio_rng_new(struct sq_virtio_device **out,
                      struct squib_error *err);

/* Limits and their counters, see throttle.h. */
struct sq_throttle *sq_virtio_rng_throttle(struct sq_virtio_device *dev);

const struct sq_virtio_rng_counters *
sq_virtio_rng_counters(const struct sq_virtio_device *dev);

#endif

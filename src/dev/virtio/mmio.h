/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-mmio transport, register layout version 2 (virtio 1.2,
 * section 4.2).
 *
 * The machine builder makes a device, gives it to a transport, and puts the
 * transport on the MMIO bus:
 *
 *     sq_virtio_rng_new(&dev, err);
 *     sq_virtio_mmio_new(&config, &mmio, err);
 *     sq_bus_add(bus, "rng", gpa, SQ_VIRTIO_MMIO_LEN,
 *                &sq_virtio_mmio_bus_ops, mmio, err);
 *
 * Interrupts are edges: the machine's tables must say so.
 */
#ifndef SQ_DEV_VIRTIO_MMIO_H
#define SQ_DEV_VIRTIO_MMIO_H

#include <stdint.h>

#include <squib/error.h>

#include "core/irq.h"
#include "dev/bus.h"
#include "dev/virtio/transport.h"

#define SQ_VIRTIO_MMIO_LEN 0x1000u

/* Offset of the QueueNotify register, 4 bytes: where a backend may ring
 * sq_transport_notify_fd(). */
#define SQ_VIRTIO_MMIO_NOTIFY 0x050u

struct sq_virtio_mmio;

struct sq_virtio_mmio_config {
    struct sq_virtio_device *dev; /* becomes the transport's on success */
    struct squib_memory *mem;     /* outlives the transport */
    struct sq_poller *poller;     /* outlives the transport */
    struct sq_irq irq;
};

/* Device bus callbacks; `dev` is the struct sq_virtio_mmio. Any thread. */
extern const struct sq_bus_ops sq_virtio_mmio_bus_ops;

/* The transport is dev->transport from now on, and freed as that. On failure
 * the device stays the caller's. Errors: SQUIB_E_NOMEM. */
int sq_virtio_mmio_new(const struct sq_virtio_mmio_config *config,
                       struct sq_virtio_mmio **out, struct squib_error *err);

#endif

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
#include "dev/virtio/device.h"

#define SQ_VIRTIO_MMIO_LEN 0x1000u

/* Offset of the QueueNotify register, for an ioeventfd. */
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

/* On failure the device stays the caller's. Errors: SQUIB_E_NOMEM. */
int sq_virtio_mmio_new(const struct sq_virtio_mmio_config *config,
                       struct sq_virtio_mmio **out, struct squib_error *err);

/* Frees the transport and its device; NULL is allowed. Event thread, or
 * after the loop ended; no vCPU may run. */
void sq_virtio_mmio_free(struct sq_virtio_mmio *mmio);

/* Makes a descriptor that stands for a write to QueueNotify, for a backend
 * that can ring it without an exit (4 bytes at base +
 * SQ_VIRTIO_MMIO_NOTIFY, any value). The transport owns it. Event thread,
 * once. Returns the descriptor, or SQUIB_E_OS. */
int sq_virtio_mmio_notify_fd(struct sq_virtio_mmio *mmio,
                             struct squib_error *err);

/* The device behind the transport, for counters. */
struct sq_virtio_device *
sq_virtio_mmio_device(const struct sq_virtio_mmio *mmio);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all virtio transports have in common: the rules of a driver's
 * registers, whatever their layout (virtio 1.2, sections 2.1, 2.2, 3.1).
 *
 * A transport (mmio.h, pci.h) embeds struct sq_transport, says in one table
 * how the driver is told, and turns each register access into one of the
 * calls below. The rest of the monitor knows this struct alone: it finds
 * the device here and frees both with sq_transport_free().
 */
#ifndef SQ_DEV_VIRTIO_TRANSPORT_H
#define SQ_DEV_VIRTIO_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include <squib/error.h>

#include "dev/virtio/device.h"
#include "os/wake.h"

struct sq_transport;

struct sq_transport_ops {
    /* Tells the driver; q counts with CAUSE_QUEUE alone. Any thread. */
    void (*interrupt)(struct sq_transport *t, enum sq_virtio_cause cause,
                      unsigned q);
    /* The driver reset the device; forget what only this transport keeps.
     * Device mutex held, any thread. Optional. */
    void (*reset)(struct sq_transport *t);
    /* Releases the struct it is embedded in, after the device. */
    void (*free)(struct sq_transport *t);
};

struct sq_transport {
    const struct sq_transport_ops *ops;
    struct sq_virtio_device *dev;
    _Atomic uint32_t interrupt_status; /* enum sq_virtio_cause */

    /* Registers that every layout has; under dev->mutex. */
    uint32_t device_features_sel, driver_features_sel, queue_sel;
    uint64_t driver_features;

    struct sq_wake notify; /* event thread */
    bool has_notify;
};

/* Takes the device, which is the transport's from now on. `mem` and
 * `poller` outlive it. */
void sq_transport_init(struct sq_transport *t,
                       const struct sq_transport_ops *ops,
                       struct sq_virtio_device *dev,
                       struct squib_memory *mem, struct sq_poller *poller);

/* Frees the transport and its device; NULL is allowed. Event thread, or
 * after the loop ended; no vCPU can reach the registers any more. */
void sq_transport_free(struct sq_transport *t);

/* Makes a descriptor that stands for notifications of any queue, for a
 * backend that can ring it without an exit. The transport owns it. Event
 * thread, once. Returns the descriptor, or SQUIB_E_OS. */
int sq_transport_notify_fd(struct sq_transport *t, struct squib_error *err);

/* ---- For transports; any thread ---- */

/* Counts a broken rule. */
void sq_transport_guest_error(struct sq_transport *t);

/* The driver notified queue q. Takes no lock. */
void sq_transport_notified(struct sq_transport *t, uint32_t q);

/* Accesses to configuration space; they take the mutex. */
void sq_transport_config_read(struct sq_transport *t, uint64_t off,
                              uint8_t *data, unsigned len);
void sq_transport_config_write(struct sq_transport *t, uint64_t off,
                               const uint8_t *data, unsigned len);

/* ---- The same with the device mutex held ---- */

/* The word of the offered features that the driver selected. */
uint32_t sq_transport_features(const struct sq_transport *t);
/* A word of those that it accepts. */
void sq_transport_accept(struct sq_transport *t, uint32_t word);
/* A write to the status register. */
void sq_transport_write_status(struct sq_transport *t, uint32_t v);
/* The selected queue, NULL: there is none of that number. */
struct sq_queue *sq_transport_queue(const struct sq_transport *t);
/* The same if its registers may be written now: they stand still while it
 * is ready and from DRIVER_OK on. NULL counts as the guest's error. */
struct sq_queue *sq_transport_idle_queue(struct sq_transport *t);

/* Replaces the upper or lower half of a 64-bit register. */
static inline void sq_transport_set_half(uint64_t *v, bool high,
                                         uint32_t word)
{
    *v = high ? (*v & UINT32_MAX) | (uint64_t)word << 32
              : (*v & ~(uint64_t)UINT32_MAX) | word;
}

#endif

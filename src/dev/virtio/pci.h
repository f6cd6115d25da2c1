/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-pci transport without its legacy half (virtio 1.2, section
 * 4.1): five structures and the MSI-X tables in one memory region, and
 * capabilities in configuration space that say where.
 *
 *     sq_virtio_rng_new(&dev, err);
 *     sq_virtio_pci_new(&config, &pci, err);
 *     sq_pci_plug(bus, sq_virtio_pci_function(pci), err);
 *
 * Each queue has a vector of its own and so have changes of configuration;
 * there are no interrupt lines. Before sq_transport_free() the function is
 * unplugged.
 */
#ifndef SQ_DEV_VIRTIO_PCI_H
#define SQ_DEV_VIRTIO_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include <squib/error.h>

#include "core/irq.h"
#include "dev/pci/function.h"
#include "dev/virtio/transport.h"

/* The memory region and what is where in it. */
#define SQ_VIRTIO_PCI_BAR_LEN 0x8000u
#define SQ_VIRTIO_PCI_COMMON 0x0000u
#define SQ_VIRTIO_PCI_ISR 0x1000u
#define SQ_VIRTIO_PCI_DEVICE 0x2000u
#define SQ_VIRTIO_PCI_NOTIFY 0x3000u
#define SQ_VIRTIO_PCI_MSIX 0x4000u
#define SQ_VIRTIO_PCI_PENDING 0x5000u
/* From one queue's notification address to the next one's. */
#define SQ_VIRTIO_PCI_NOTIFY_STEP 4u

struct sq_virtio_pci;

struct sq_virtio_pci_config {
    struct sq_virtio_device *dev; /* becomes the transport's on success */
    struct squib_memory *mem;     /* outlives the transport */
    struct sq_poller *poller;     /* outlives the transport */
    struct sq_msi msi;
    /* For a backend that can ring a descriptor without an exit: a write of
     * 2 bytes to gpa is to ring fd from now on (on), or no longer. A vCPU's
     * thread, or the one that unplugs. Optional. */
    void (*doorbell)(void *ctx, uint64_t gpa, int fd, bool on);
    void *doorbell_ctx;
};

/* The transport is dev->transport from now on, and freed as that. On failure
 * the device stays the caller's. Errors: SQUIB_E_NOMEM, SQUIB_E_OS. */
int sq_virtio_pci_new(const struct sq_virtio_pci_config *config,
                      struct sq_virtio_pci **out, struct squib_error *err);

/* What to plug into a bus. */
struct sq_pci_function *sq_virtio_pci_function(struct sq_virtio_pci *pci);
/* The transport around a device that sq_virtio_pci_new() was given. */
struct sq_virtio_pci *sq_virtio_pci_of(const struct sq_virtio_device *dev);

#endif

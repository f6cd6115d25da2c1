/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PCI root complex: segment 0 with bus 0 alone, and a host bridge as its
 * device 0. Configuration space is reached through memory (PCI Express 3.0,
 * section 7.2.2) and through the ports 0xcf8 and 0xcfc (PCI Local Bus 3.0,
 * section 3.2.2.3.2). Memory of all functions lies in one window of the
 * address space.
 *
 * Functions come and go while the guest runs. Every access by a vCPU holds
 * `lock`, for reading (memory) or writing (configuration); plugging and
 * unplugging hold it for writing, so that a function that is off the bus is
 * not in use by anyone.
 *
 * Where a function is decoded. The guest may put a base address anywhere;
 * it takes effect if memory decoding is on and the whole region lies within
 * the window. So no function can hide RAM or another device. If two
 * overlap, the one with the lower number answers.
 *
 * What nobody decodes reads as zero, not as ones: a driver whose device was
 * taken away resets it and waits for a status of zero, and would for ever.
 * Configuration space of a function that is not there reads as ones, by which
 * a guest finds that out.
 *
 * Lock order: `lock`, then what the functions' callbacks take. A thread that
 * holds the lock of a function's device does not call in here.
 */
#ifndef SQ_DEV_PCI_BUS_H
#define SQ_DEV_PCI_BUS_H

#include <pthread.h>
#include <stdint.h>

#include <squib/error.h>

#include "dev/bus.h"
#include "dev/pci/function.h"

#define SQ_PCI_SLOTS 32u
#define SQ_PCI_ECAM_LEN 0x100000u /* of one bus */
#define SQ_PCI_PORT 0xcf8u
#define SQ_PCI_PORTS 8u
/* Each slot has as much of the window to start with. */
#define SQ_PCI_SLOT_LEN 0x100000u

struct sq_pci_bus_config {
    uint64_t window; /* gpa; at least SQ_PCI_SLOTS * SQ_PCI_SLOT_LEN long */
    uint64_t window_len;
    /* Answers single bytes at port 0xcf9, which is not PCI's. */
    const struct sq_bus_ops *port_cf9;
    void *port_cf9_ctx;
};

struct sq_pci_bus {
    struct sq_pci_bus_config config;
    pthread_rwlock_t lock; /* all below and what the functions are */
    struct sq_pci_function *slot[SQ_PCI_SLOTS];
    uint32_t last;    /* slot that was given out */
    uint32_t address; /* what port 0xcf8 holds */
    struct sq_pci_function bridge;
};

/* Device bus callbacks; `dev` is the struct sq_pci_bus. Any thread. */
extern const struct sq_bus_ops sq_pci_ecam_ops;   /* SQ_PCI_ECAM_LEN */
extern const struct sq_bus_ops sq_pci_port_ops;   /* SQ_PCI_PORTS */
extern const struct sq_bus_ops sq_pci_window_ops; /* window_len */

void sq_pci_bus_init(struct sq_pci_bus *bus,
                     const struct sq_pci_bus_config *config);
/* No vCPU runs. The functions are their owners'. */
void sq_pci_bus_destroy(struct sq_pci_bus *bus);

/* Puts a function into a free slot and gives its base address a place. Slots
 * are taken in turn: one that has become free stays so for a while, and a
 * guest that has not let go of its device sees that it went. Not on a vCPU's
 * thread. Returns the slot, or SQUIB_E_RANGE when all are taken. */
int sq_pci_plug(struct sq_pci_bus *bus, struct sq_pci_function *fn,
                struct squib_error *err);
/* Takes it off: when this returns no vCPU uses it. Functions that are on no
 * bus are fine. Not on a vCPU's thread. */
void sq_pci_unplug(struct sq_pci_bus *bus, struct sq_pci_function *fn);

#endif

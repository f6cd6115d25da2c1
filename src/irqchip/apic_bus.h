/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt fabric of one x86 machine: it takes interrupt messages from
 * local APICs (IPIs), from the I/O APIC and from devices (MSI), finds the
 * local APICs they address and posts to them.
 *
 * Source: Intel SDM vol. 3A ch. 11: 11.6.1 and 11.6.2 (destinations), 11.11
 * (message signalled interrupts), 11.12.9 and 11.12.10 (x2APIC).
 *
 * Threads: delivery may happen on any thread at any time and takes no lock of
 * its own. Attaching may run beside delivery; detaching may not.
 */
#ifndef SQ_IRQCHIP_APIC_BUS_H
#define SQ_IRQCHIP_APIC_BUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct sq_lapic;
struct sq_ioapic;

#define SQ_APIC_MAX_VCPUS 256

/* Delivery modes as encoded in the ICR, redirection entries and MSI data. */
enum sq_apic_delivery {
    SQ_APIC_FIXED = 0,
    SQ_APIC_LOWEST = 1,
    SQ_APIC_SMI = 2,
    SQ_APIC_NMI = 4,
    SQ_APIC_INIT = 5,
    SQ_APIC_SIPI = 6,
    SQ_APIC_EXTINT = 7,
};

/* Destination shorthands as encoded in ICR bits 19:18. */
enum sq_apic_shorthand {
    SQ_APIC_TO_DEST = 0,
    SQ_APIC_TO_SELF = 1,
    SQ_APIC_TO_ALL = 2,
    SQ_APIC_TO_OTHERS = 3,
};

struct sq_apic_msg {
    const struct sq_lapic *src; /* the sender of an IPI, else NULL */
    uint32_t dest;              /* physical or logical destination */
    uint8_t vector;
    uint8_t delivery;  /* enum sq_apic_delivery; others are dropped */
    uint8_t shorthand; /* enum sq_apic_shorthand; needs src if not TO_DEST */
    bool logical;      /* destination mode */
    bool level;        /* trigger mode */
    bool wide;         /* 32-bit x2APIC destination: all ones broadcasts;
                          otherwise 0xff does */
};

/*
 * What the fabric needs from the owner of the vCPUs. Both may run on any
 * thread, possibly with the I/O APIC's lock held, so they must not call back
 * into the interrupt controllers.
 */
struct sq_apic_bus_ops {
    /*
     * Something became pending for this vCPU: make its thread look at
     * sq_lapic_events() and sq_lapic_pending_vector() soon. Also called when
     * the vCPU's own thread is the cause (self IPI, timer).
     */
    void (*wake)(void *ctx, uint32_t vcpu_index);
    /*
     * The time, on the clock of the now_ns arguments, at which this vCPU's
     * TSC reaches guest_tsc; any value in the past if it already has,
     * UINT64_MAX for never. Runs on the vCPU's thread. NULL: TSC == now_ns.
     */
    uint64_t (*tsc_to_ns)(void *ctx, uint32_t vcpu_index, uint64_t guest_tsc);
};

struct sq_apic_bus {
    const struct sq_apic_bus_ops *ops;
    void *ctx;
    _Atomic(struct sq_ioapic *) ioapic;
    _Atomic uint32_t lapic_count; /* highest used slot + 1 */
    _Atomic(struct sq_lapic *) lapics[SQ_APIC_MAX_VCPUS]; /* by vcpu_index */
};

/* ops and ctx are borrowed and must outlive the bus. */
void sq_apic_bus_init(struct sq_apic_bus *bus,
                      const struct sq_apic_bus_ops *ops, void *ctx);

/* Called by sq_lapic_init and sq_lapic_fini. 0, or -1: bad or used slot. */
int sq_apic_bus_attach(struct sq_apic_bus *bus, struct sq_lapic *lapic);
void sq_apic_bus_detach(struct sq_apic_bus *bus, struct sq_lapic *lapic);

/*
 * Route one message. Any thread. Returns how many local APICs accepted it.
 * SMI, ExtINT and reserved modes reach nobody: the machine has neither SMM
 * nor an 8259.
 */
int sq_apic_bus_deliver(struct sq_apic_bus *bus,
                        const struct sq_apic_msg *msg);

/*
 * Decode an MSI (a write of data to gpa) into a message. 0, or -1 if gpa is
 * outside 0xfee00000..0xfeefffff. Address bits 11:5, which the SDM reserves,
 * are taken as destination bits 14:8 so that a guest which was told so can
 * reach APIC IDs above 254 without interrupt remapping.
 */
int sq_apic_bus_msi_decode(uint64_t gpa, uint32_t data,
                           struct sq_apic_msg *msg);

/*
 * Decode and deliver an MSI. Any thread. Returns how many local APICs
 * accepted it, or -1 if gpa is no MSI address.
 */
int sq_apic_bus_msi(struct sq_apic_bus *bus, uint64_t gpa, uint32_t data);

/* A level-triggered vector was completed: tell the I/O APIC. Any thread. */
void sq_apic_bus_eoi(struct sq_apic_bus *bus, uint8_t vector);

/*
 * A local APIC became able to accept more than before: let the I/O APIC
 * retry asserted level interrupts nobody accepted so far. Any thread.
 */
void sq_apic_bus_retry(struct sq_apic_bus *bus);

#endif

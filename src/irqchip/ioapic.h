/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 24-pin I/O APIC in software.
 *
 * Source: Intel 82093AA datasheet (290566), section 3; version 0x20 and the
 * EOI register as in later Intel I/O controller hubs.
 *
 * Threads: every function may run on any thread except init and fini; one
 * mutex guards all state. It is held while interrupts are posted, so the
 * bus's wake() must not come back here. Lock order: nothing is taken inside.
 */
#ifndef SQ_IRQCHIP_IOAPIC_H
#define SQ_IRQCHIP_IOAPIC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <squib/error.h>

#include "irqchip/apic_bus.h"

#define SQ_IOAPIC_PINS 24u
#define SQ_IOAPIC_DEFAULT_GPA 0xfec00000u
#define SQ_IOAPIC_LEN 0x1000u

/* For saving and loading. */
struct sq_ioapic_state {
    uint64_t redir[SQ_IOAPIC_PINS]; /* redirection table, all bits */
    uint32_t lines;                 /* bit n: pin n is asserted */
    uint32_t select;                /* IOREGSEL */
    uint32_t id;                    /* bits 27:24 of the ID register */
};

/* Only the functions below touch the fields. */
struct sq_ioapic {
    struct sq_apic_bus *bus;
    pthread_mutex_t lock;
    struct sq_ioapic_state s; /* under lock */
};

/*
 * Reset state and join the bus, which is borrowed. Before any vCPU runs.
 * SQUIB_E_OS: no mutex; SQUIB_E_STATE: the bus has an I/O APIC already.
 */
int sq_ioapic_init(struct sq_ioapic *io, struct sq_apic_bus *bus,
                   struct squib_error *err);
/* Leave the bus. No other thread may be using it. */
void sq_ioapic_fini(struct sq_ioapic *io);
/* Back to power-up; the lines keep their levels. */
void sq_ioapic_reset(struct sq_ioapic *io);

/*
 * Drive a pin. asserted is the logical state: polarity in the redirection
 * entry does not invert it. Devices that share a pin must be combined by the
 * caller. Pins out of range are ignored.
 */
void sq_ioapic_set_line(struct sq_ioapic *io, uint32_t pin, bool asserted);

/* A 32-bit access at offset in the I/O APIC's page. */
uint32_t sq_ioapic_mmio_read(struct sq_ioapic *io, uint32_t offset);
void sq_ioapic_mmio_write(struct sq_ioapic *io, uint32_t offset,
                          uint32_t value);

/* EOI of a level-triggered vector, from a local APIC or the EOI register. */
void sq_ioapic_eoi(struct sq_ioapic *io, uint8_t vector);

/* Offer asserted level pins again which no local APIC has accepted. */
void sq_ioapic_retry(struct sq_ioapic *io);

void sq_ioapic_save(struct sq_ioapic *io, struct sq_ioapic_state *state);
/* Bits no guest could have set are dropped; pending levels are delivered. */
void sq_ioapic_load(struct sq_ioapic *io,
                    const struct sq_ioapic_state *state);

#endif

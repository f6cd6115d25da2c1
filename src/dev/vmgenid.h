/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM generation identifier: 16 random bytes in guest memory that change
 * when the guest may be a copy of another (Microsoft, "Virtual Machine
 * Generation ID", 2012). Linux then reseeds its random numbers. The
 * machine's ACPI tables say where the bytes are and which interrupt tells of
 * a change.
 *
 * Event thread. Before _renew() no vCPU runs, or the guest may see half of
 * the new identifier.
 */
#ifndef SQ_DEV_VMGENID_H
#define SQ_DEV_VMGENID_H

#include <stdint.h>

#include <squib/error.h>

#include "core/irq.h"
#include "core/memory.h"

#define SQ_VMGENID_LEN 16u

struct sq_vmgenid {
    struct squib_memory *mem; /* outlives it */
    uint64_t gpa;
    struct sq_irq irq;
    uint8_t id[SQ_VMGENID_LEN];
};

/* Makes the first identifier and puts it into memory: 16 bytes at gpa that
 * the guest takes for reserved. Needs no release. Errors: SQUIB_E_OS (no
 * random numbers), SQUIB_E_RANGE. */
int sq_vmgenid_init(struct sq_vmgenid *v, struct squib_memory *mem,
                    uint64_t gpa, struct sq_irq irq, struct squib_error *err);

/* Before the start, for machines that must repeat: a known identifier. */
int sq_vmgenid_set(struct sq_vmgenid *v, const uint8_t id[16],
                   struct squib_error *err);

/* After a restore: another identifier, and the guest is told. */
int sq_vmgenid_renew(struct sq_vmgenid *v, struct squib_error *err);

#endif

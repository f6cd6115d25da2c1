/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame to which message-signalled interrupts of arm64 machines go, as
 * GICv2m lays it out (Arm Server Base System Architecture, DEN 0029,
 * appendix E): the guest reads which interrupts it may use. For backends
 * whose interrupt controller has no such frame; where it has one, its
 * accesses never come out.
 */
#ifndef SQ_DEV_PCI_MSIFRAME_H
#define SQ_DEV_PCI_MSIFRAME_H

#include <stdint.h>

#include "core/irq.h"
#include "dev/bus.h"

struct sq_msi_frame {
    uint64_t gpa;          /* where the frame is */
    uint32_t first, count; /* interrupts, by INTID */
    struct sq_msi msi;     /* for what a vCPU writes itself */
};

/* `dev` is the struct sq_msi_frame, which needs no release. Any thread. */
extern const struct sq_bus_ops sq_msi_frame_ops;

#endif

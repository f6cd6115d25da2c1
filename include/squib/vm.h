/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine as the backend sees it: memory, vCPUs, interrupts. (The
 * whole machine with kernel and devices is built above this.)
 *
 * Calls on one VM are made by one thread at a time, but for those that say
 * "any thread". Every gpa is a guest-physical address in bytes.
 */
#ifndef SQUIB_VM_H
#define SQUIB_VM_H

#include <stdbool.h>
#include <stdint.h>

#include <squib/backend.h>
#include <squib/error.h>
#include <squib/memory.h>
#include <squib/vcpu.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SQUIB_VCPUS_MAX 32

struct squib_vm_config {
    uint32_t vcpus; /* 1 .. SQUIB_VCPUS_MAX */
    bool irqchip;   /* local APICs and an I/O APIC with 24 pins, or the
                       GICv3 that `gic` tells; without them every HLT comes
                       out as an exit and interrupts cannot be raised */
    bool dirty_log; /* squib_vm_dirty_log() will be used */
    struct squib_aarch64_gic gic; /* arm64 with irqchip only */
    /* The guest's time is the count of its instructions, a nanosecond each,
     * and its entropy comes from `seed`; halts with a timer armed take no
     * time outside; CANCELED exits come after every so many instructions,
     * for the caller to look around. One vCPU; SQUIB_CAP_DETERMINISTIC. */
    bool deterministic;
    uint64_t seed;
    /* The translator of the software CPU makes no more than this many
     * blocks, 0: no limit. For finding one that is wrong. */
    uint64_t translations_max;
};

/* Makes a VM whose guest-physical memory is `mem` (all ranges added so far
 * are mapped read-write-execute). `mem` must outlive the VM; the caller
 * owns both. Errors: SQUIB_E_INVAL, SQUIB_E_NOSUPPORT, SQUIB_E_OS. */
int squib_vm_new(const struct squib_backend *be,
                 const struct squib_vm_config *config,
                 struct squib_memory *mem, struct squib_vm **out,
                 struct squib_error *err);

/* Frees a VM whose vCPUs have all been freed. NULL is allowed. */
void squib_vm_free(struct squib_vm *vm);

/* Maps host memory [hva, hva + len) at gpa. The caller keeps it alive until
 * unmap or free. Page-aligned, no overlap with anything mapped; `prot` is a
 * mask of SQUIB_PROT_*. unmap and protect take exactly a range that was
 * mapped. No vCPU may run, except beside protect: an access meanwhile is by
 * the old or by the new rights. squib_memory_read() and its like know only
 * ranges of the VM's squib_memory. Errors: SQUIB_E_INVAL (alignment, length,
 * an end above 2^52), SQUIB_E_RANGE (overlap; nothing mapped so; no room for
 * one more), SQUIB_E_NOSUPPORT (rights that the backend does not know, such
 * as to write but not to read), SQUIB_E_NOMEM, SQUIB_E_OS. */
int squib_vm_map(struct squib_vm *vm, struct squib_range range, void *hva,
                 uint32_t prot, struct squib_error *err);
int squib_vm_unmap(struct squib_vm *vm, struct squib_range range,
                   struct squib_error *err);
int squib_vm_protect(struct squib_vm *vm, struct squib_range range,
                     uint32_t prot, struct squib_error *err);

/* Sets the level of interrupt line `gsi`: on x86-64 an I/O APIC pin, 0..23;
 * on arm64 an SPI, counted from 0 (its INTID is 32 more), below gic.spis -
 * gic.msi_spis. Any thread. Errors: SQUIB_E_INVAL, SQUIB_E_STATE without
 * irqchip. */
int squib_vm_irq(struct squib_vm *vm, uint32_t gsi, bool level,
                 struct squib_error *err);

/* Delivers a message-signalled interrupt: on x86-64 as SDM vol. 3, 11.11; on
 * arm64 gpa is gic.msi_gpa + SQUIB_AARCH64_MSI_SETSPI and data the INTID of
 * one of the SPIs that are reserved for it. Any thread. Errors:
 * SQUIB_E_INVAL, SQUIB_E_STATE without irqchip, SQUIB_E_OS. */
int squib_vm_msi(struct squib_vm *vm, uint64_t gpa, uint32_t data,
                 struct squib_error *err);

/* Moves the dirty log of a mapped range into `bitmap` (one bit a 4 KiB
 * page, lowest page in bit 0 of bitmap[0]; whole 64-bit words) and clears
 * it. May over-report. No vCPU may run. Errors: SQUIB_E_STATE if not
 * enabled, SQUIB_E_RANGE. */
int squib_vm_dirty_log(struct squib_vm *vm, struct squib_range range,
                       uint64_t *bitmap, struct squib_error *err);

/* arm64: reads or writes the part of the interrupt controller that all
 * vCPUs share. After all vCPUs were created; none may run. When setting,
 * this comes before the vCPUs' SQUIB_STATE_GIC. Errors: SQUIB_E_NOSUPPORT,
 * SQUIB_E_STATE without irqchip, SQUIB_E_INVAL. */
int squib_vm_get_gic(struct squib_vm *vm, struct squib_aarch64_gic_dist *gic,
                     struct squib_error *err);
int squib_vm_set_gic(struct squib_vm *vm,
                     const struct squib_aarch64_gic_dist *gic,
                     struct squib_error *err);

#ifdef __cplusplus
}
#endif
#endif

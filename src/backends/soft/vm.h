/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The software backend's VM: memory slots as the CPU sees them, and the
 * interrupt controllers that all vCPUs share.
 */
#ifndef SQ_SOFT_VM_H
#define SQ_SOFT_VM_H

#include <pthread.h>

#include "core/backend.h"
#include "irqchip/apic_bus.h"
#include "irqchip/ioapic.h"
#include "irqchip/lapic.h"

struct sq_block_cache;
struct sq_code_page;
struct sq_jit;
struct sq_soft_vcpu;

#define SQ_SOFT_SLOTS_MAX 64

struct sq_soft_slot {
    uint64_t gpa, len;
    uint8_t *hva;
    _Atomic uint32_t prot; /* may change while vCPUs run */
    struct sq_code_page *pages; /* one a guest page */
    _Atomic uint64_t *dirty;    /* one bit a page; NULL: not logged */
};

struct sq_soft_vm {
    struct squib_vm base;
    struct sq_soft_slot slot[SQ_SOFT_SLOTS_MAX]; /* by gpa; changed only
                                                    while no vCPU runs */
    size_t slot_count;
    pthread_mutex_t lock; /* guards vcpu[] */
    struct sq_soft_vcpu *vcpu[SQUIB_VCPUS_MAX];
    struct sq_block_cache *blocks; /* x86_64/block.h */
    struct sq_jit *jit; /* x86_64/jit/jit.h; NULL: none */
    pthread_mutex_t split_lock; /* serializes locked accesses that the host
                                   cannot do atomically */
    struct sq_apic_bus apic_bus;
    struct sq_ioapic ioapic;
    uint64_t start_ns; /* guest TSC zero */
    unsigned jit_heat; /* executions before translation, 0: never */
    bool lockstep;     /* the interpreter checks the translator */
    struct sq_turn turn; /* the vCPU's while lockstep compares */
    uint8_t level;     /* enum sq_soft_level */
};

/* The slot that holds gpa, or NULL. */
static inline struct sq_soft_slot *sq_soft_slot_of(struct sq_soft_vm *vm,
                                                   uint64_t gpa)
{
    for (size_t k = 0; k < vm->slot_count; k++)
        if (gpa - vm->slot[k].gpa < vm->slot[k].len)
            return &vm->slot[k];
    return NULL;
}

/* Rings the attention bit of one vCPU, and wakes it if it is parked. */
void sq_soft_kick(struct sq_soft_vm *vm, uint32_t index, uint32_t attn);
/* The same for who has vm->lock. */
void sq_soft_kick_locked(struct sq_soft_vm *vm, uint32_t index,
                         uint32_t attn);

/* Memory [gpa, gpa + len) was written by something other than the vCPU
 * that calls: decoded code there becomes stale, dirty bits are set. */
void sq_soft_wrote(struct sq_soft_vm *vm, uint64_t gpa, uint64_t len);

/* Interrupt-controller registers at gpa (local APIC of `c`'s vCPU, I/O
 * APIC): true if it was one of them. len is 1..8; others than 4-byte
 * accesses are answered as the hardware would (undefined: zero). */
struct sq_x86_cpu;
bool sq_soft_irqchip_read(struct sq_soft_vm *vm, struct sq_x86_cpu *c,
                          uint64_t gpa, uint8_t *data, unsigned len);
bool sq_soft_irqchip_write(struct sq_soft_vm *vm, struct sq_x86_cpu *c,
                           uint64_t gpa, const uint8_t *data, unsigned len);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_SOFT_VCPU_H
#define SQ_SOFT_VCPU_H

#include "backends/soft/vm.h"
#include "backends/soft/x86_64/cpu.h"
#include "os/wake.h"

/* Below it lie a stack for what translated code calls, and a guard page. */
struct sq_soft_vcpu {
    struct sq_x86_cpu cpu; /* first: translated code has RSP point to it */
    struct squib_vcpu base;
    struct sq_wake wake;
    atomic_bool parked; /* waiting on wake: a kick must ring it */
    struct sq_lapic lapic;
    struct squib_x86_cpuid cpuid[SQUIB_X86_CPUID_MAX];
};

int sq_soft_vcpu_new(struct squib_vm *vm, uint32_t index,
                     struct squib_vcpu **out, struct squib_error *err);

/* The state as architecture (state.c); contracts of squib_vcpu_get_state
 * and squib_vcpu_set_state. */
int sq_soft_get_state(struct squib_vcpu *vcpu, uint32_t parts,
                      struct squib_x86_64_state *st,
                      struct squib_error *err);
int sq_soft_set_state(struct squib_vcpu *vcpu, uint32_t parts,
                      const struct squib_x86_64_state *st,
                      struct squib_error *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Hypervisor.framework backend (macOS 15 and newer, arm64), inside.
 *
 * hv_api.h the framework's interface, as declarations of our own
 * hvf.c    the backend table, errors in words, the probe
 * vm.c     memory, dirty log
 * gic.c    the framework's GICv3: lines, messages, state
 * vcpu.c   running and canceling
 * esr.c    pure decoding of exits
 * inject.c pure: exceptions for the guest, trapped registers
 * debug.c  single steps, breakpoint instructions
 * state.c  architectural state
 *
 * PSCI is not served: every HVC and SMC comes out as a HYPERCALL. Nothing
 * here needs a Mac to be compiled, and tests/hvf runs all of it on Linux.
 */
#ifndef SQ_BACKENDS_HVF_H
#define SQ_BACKENDS_HVF_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backends/hvf/esr.h"
#include "backends/hvf/hv_api.h"
#include "core/backend.h"
#include "core/slots.h"
#include "os/wake.h"

#define SQ_HVF_PAGE_LEN 0x4000u /* what the framework maps and protects */

extern const struct squib_backend sq_backend_hvf;

struct sq_hvf_vcpu;

struct sq_hvf_vm {
    struct squib_vm base;
    bool created; /* hv_vm_create() succeeded */
    struct squib_aarch64_gic gic; /* spis is 0 without irqchip */
    uint32_t vcpus;
    /* A page of the framework is writable for the guest only while all its
     * bits in the log are set, or about to be. */
    struct sq_slots slots;
    /* Levels of the SPIs as squib_vm_irq() set them: INTID n is bit n % 32
     * of line[n / 32]. */
    _Atomic uint32_t line[8];
    /* Of all vCPUs; each takes it over before it runs. */
    _Atomic uint64_t vtimer_offset;
    pthread_mutex_t vcpu_lock; /* vcpu[]: who exists, to be woken */
    struct sq_hvf_vcpu *vcpu[SQUIB_VCPUS_MAX];
};

/* What the next run has to give to the guest. */
enum sq_hvf_pending { SQ_HVF_NOTHING, SQ_HVF_LOAD, SQ_HVF_RESULT };

struct sq_hvf_vcpu {
    struct squib_vcpu base;
    struct sq_hvf_vm *vm;
    hv_vcpu_t id;
    bool created;
    hv_vcpu_exit_t *native; /* the framework's, filled by each run */
    enum sq_hvf_pending pending;
    struct sq_hvf_access load; /* with SQ_HVF_LOAD */
    uint64_t vtimer_offset;    /* the one the framework has */
    hv_return_t failed;        /* the first register access that failed */
    uint8_t power;             /* kept for whoever answers PSCI */
    uint32_t debug;            /* enum squib_debug_flag */
    bool arm_step;             /* the next run begins a step */
    bool guest_ss;             /* what the guest had in MDSCR_EL1.SS */
    atomic_bool cancel;
    atomic_bool parked;
    struct sq_wake wake;
};

static inline struct sq_hvf_vm *sq_hvf_vm_of(struct squib_vm *vm)
{
    return (struct sq_hvf_vm *)(void *)vm; /* base comes first */
}

static inline struct sq_hvf_vcpu *sq_hvf_vcpu_of(struct squib_vcpu *vcpu)
{
    return (struct sq_hvf_vcpu *)(void *)vcpu;
}

/* hvf.c: fills *err for a call that returned rc: "hv_vm_map: ...". */
int sq_hvf_error(struct squib_error *err, const char *call, hv_return_t rc);

/* vm.c */
int sq_hvf_vm_new(const struct squib_vm_config *config,
                  struct squib_memory *mem, struct squib_vm **out,
                  struct squib_error *err);
/* A guest's write to gpa faulted: if the page is only protected to log
 * writes, logs it and lets it through. vCPU threads. */
bool sq_hvf_vm_write_fault(struct sq_hvf_vm *vm, uint64_t gpa);

/* gic.c; see struct sq_vm_ops. create comes before the first vCPU. */
int sq_hvf_gic_create(const struct squib_vm_config *config,
                      struct squib_error *err);
int sq_hvf_vm_irq(struct squib_vm *vm, uint32_t gsi, bool level,
                  struct squib_error *err);
int sq_hvf_vm_msi(struct squib_vm *vm, uint64_t gpa, uint32_t data,
                  struct squib_error *err);
int sq_hvf_vm_get_gic(struct squib_vm *vm,
                      struct squib_aarch64_gic_dist *gic,
                      struct squib_error *err);
int sq_hvf_vm_set_gic(struct squib_vm *vm,
                      const struct squib_aarch64_gic_dist *gic,
                      struct squib_error *err);
int sq_hvf_gic_get_cpu(struct sq_hvf_vcpu *v,
                       struct squib_aarch64_gic_cpu *gic,
                       struct squib_error *err);
int sq_hvf_gic_set_cpu(struct sq_hvf_vcpu *v,
                       const struct squib_aarch64_gic_cpu *gic,
                       struct squib_error *err);

/* vcpu.c */
int sq_hvf_vcpu_new(struct squib_vm *vm, uint32_t index,
                    struct squib_vcpu **out, struct squib_error *err);
/* Ends squib_vcpu_park() of all vCPUs: an interrupt may be for any. */
void sq_hvf_vcpus_wake(struct sq_hvf_vm *vm);

/* debug.c; see struct sq_vcpu_ops. */
int sq_hvf_vcpu_debug(struct squib_vcpu *vcpu, uint32_t flags,
                      struct squib_error *err);
/* Before each run. */
hv_return_t sq_hvf_debug_enter(struct sq_hvf_vcpu *v);
/* The backend completed an instruction in the guest's place: that was the
 * step. */
hv_return_t sq_hvf_debug_completed(struct sq_hvf_vcpu *v);
/* Whether the debug exception of this syndrome is for the caller; the
 * others are the guest's own. */
bool sq_hvf_debug_asked(struct sq_hvf_vcpu *v, uint64_t syndrome);

/* state.c; see struct sq_vcpu_ops. */
int sq_hvf_vcpu_get_state(struct squib_vcpu *vcpu, uint32_t parts,
                          struct squib_aarch64_state *st,
                          struct squib_error *err);
int sq_hvf_vcpu_set_state(struct squib_vcpu *vcpu, uint32_t parts,
                          const struct squib_aarch64_state *st,
                          struct squib_error *err);

/* System registers that the backend itself uses. */
#define SQ_HVF_MDSCR_EL1 SQUIB_AARCH64_SYSREG(2, 0, 0, 2, 2)
#define SQ_HVF_MPIDR_EL1 SQUIB_AARCH64_SYSREG(3, 0, 0, 0, 5)
#define SQ_HVF_SPSR_EL1 SQUIB_AARCH64_SYSREG(3, 0, 4, 0, 0)
#define SQ_HVF_ELR_EL1 SQUIB_AARCH64_SYSREG(3, 0, 4, 0, 1)
#define SQ_HVF_SP_EL0 SQUIB_AARCH64_SYSREG(3, 0, 4, 1, 0)
#define SQ_HVF_SP_EL1 SQUIB_AARCH64_SYSREG(3, 4, 4, 1, 0)
#define SQ_HVF_SCTLR_EL1 SQUIB_AARCH64_SYSREG(3, 0, 1, 0, 0)
#define SQ_HVF_ESR_EL1 SQUIB_AARCH64_SYSREG(3, 0, 5, 2, 0)
#define SQ_HVF_FAR_EL1 SQUIB_AARCH64_SYSREG(3, 0, 6, 0, 0)
#define SQ_HVF_VBAR_EL1 SQUIB_AARCH64_SYSREG(3, 0, 12, 0, 0)
#define SQ_HVF_CNTV_CTL_EL0 SQUIB_AARCH64_SYSREG(3, 3, 14, 3, 1)
#define SQ_HVF_CNTV_CVAL_EL0 SQUIB_AARCH64_SYSREG(3, 3, 14, 3, 2)

#endif

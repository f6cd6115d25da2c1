/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backend provides: three constant tables of functions, and the base
 * structs that its own VM and vCPU structs embed first.
 *
 * The contracts of the operations are those of the public functions of the
 * same name (<squib/vm.h>, <squib/vcpu.h>); the public layer has already
 * checked arguments that can be checked without the backend. Operations
 * marked "optional" may be NULL; each has a capability bit.
 */
#ifndef SQ_CORE_BACKEND_H
#define SQ_CORE_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/backend.h>
#include <squib/vm.h>

#include "core/memory.h"
#include "os/turn.h"

struct squib_backend {
    const char *name;    /* "soft" */
    const char *summary; /* a line for people */
    enum squib_arch arch; /* of its guests */
    uint64_t (*caps)(void);
    int (*probe)(struct squib_error *err);
    /* Whether the host gives what the backend can do without, but only
     * worse: 0, or an error whose text says what is refused and how it goes
     * on. Optional: always 0. */
    int (*at_best)(struct squib_error *err);
    int (*cpuid)(struct squib_x86_cpuid *leaves, size_t *n,
                 struct squib_error *err); /* x86-64 only */
    /* Optional: whether the hypervisor has the extension of this number, as
     * KVM_CHECK_EXTENSION tells it. */
    bool (*extension)(uint32_t number);
    /* Creates without memory; core maps the ranges of mem afterwards. */
    int (*vm_new)(const struct squib_vm_config *config,
                  struct squib_memory *mem, struct squib_vm **out,
                  struct squib_error *err);
    /* The same with other settings, named "soft,jit=off"; chosen by name
     * only. NULL, or ended by NULL. */
    const struct squib_backend *const *variants;
};

struct sq_vm_ops {
    void (*free)(struct squib_vm *vm);
    int (*map)(struct squib_vm *vm, struct squib_range range, void *hva,
               uint32_t prot, struct squib_error *err);
    int (*unmap)(struct squib_vm *vm, struct squib_range range,
                 struct squib_error *err);
    int (*protect)(struct squib_vm *vm, struct squib_range range,
                   uint32_t prot, struct squib_error *err);
    int (*vcpu_new)(struct squib_vm *vm, uint32_t index,
                    struct squib_vcpu **out, struct squib_error *err);
    int (*irq)(struct squib_vm *vm, uint32_t gsi, bool level,
               struct squib_error *err); /* optional: IRQCHIP */
    int (*msi)(struct squib_vm *vm, uint64_t gpa, uint32_t data,
               struct squib_error *err); /* optional: IRQCHIP */
    /* arm64 with IRQCHIP; NULL for x86-64 */
    int (*get_gic)(struct squib_vm *vm, struct squib_aarch64_gic_dist *gic,
                   struct squib_error *err);
    int (*set_gic)(struct squib_vm *vm,
                   const struct squib_aarch64_gic_dist *gic,
                   struct squib_error *err);
    int (*dirty_log)(struct squib_vm *vm, struct squib_range range,
                     uint64_t *bitmap,
                     struct squib_error *err); /* optional: DIRTY_LOG */
    /* A write of `len` bytes (0: any) to an MMIO gpa or PIO port rings fd
     * instead of exiting. optional: IOEVENTFD */
    int (*ioeventfd)(struct squib_vm *vm, bool pio, uint64_t where,
                     uint32_t len, int fd, bool assign,
                     struct squib_error *err);
    /* Ringing fd pulses gsi. optional: IRQFD */
    int (*irqfd)(struct squib_vm *vm, uint32_t gsi, int fd, bool assign,
                 struct squib_error *err);
};

struct sq_vcpu_ops {
    void (*free)(struct squib_vcpu *vcpu);
    struct squib_exit *(*run)(struct squib_vcpu *vcpu);
    void (*cancel)(struct squib_vcpu *vcpu);
    void (*park)(struct squib_vcpu *vcpu, uint64_t deadline_ns);
    /* x86-64; NULL for arm64 */
    int (*set_cpuid)(struct squib_vcpu *vcpu,
                     const struct squib_x86_cpuid *leaves, size_t n,
                     struct squib_error *err);
    int (*get_state)(struct squib_vcpu *vcpu, uint32_t parts,
                     struct squib_x86_64_state *st, struct squib_error *err);
    int (*set_state)(struct squib_vcpu *vcpu, uint32_t parts,
                     const struct squib_x86_64_state *st,
                     struct squib_error *err);
    /* arm64; NULL for x86-64 */
    int (*get_aarch64)(struct squib_vcpu *vcpu, uint32_t parts,
                       struct squib_aarch64_state *st,
                       struct squib_error *err);
    int (*set_aarch64)(struct squib_vcpu *vcpu, uint32_t parts,
                       const struct squib_aarch64_state *st,
                       struct squib_error *err);
    int (*debug)(struct squib_vcpu *vcpu, uint32_t flags,
                 struct squib_error *err); /* optional: DEBUG */
    uint64_t (*insn_count)(const struct squib_vcpu *vcpu); /* optional */
    /* What the backend has to say of a run at its end, for people: at most
     * a line, "" for nothing. On the vCPU's thread. optional */
    void (*summary)(struct squib_vcpu *vcpu, char *text, size_t len);
};

/* Bases. The backend fills ops; core fills the rest after *_new. */
struct squib_vm {
    const struct sq_vm_ops *ops;
    const struct squib_backend *backend;
    struct squib_memory *mem;
    struct squib_vm_config config;
    bool lifecycle_only; /* no SQUIB_CAP_VCPU_EXITS */
    /* The backend's, or NULL. Guest memory does not look as it should while
     * a vCPU has this turn: devices that touch it on other threads take it
     * for that time. */
    struct sq_turn *turn;
};

struct squib_vcpu {
    const struct sq_vcpu_ops *ops;
    struct squib_vm *vm;
    uint32_t index;
    struct squib_exit exit; /* what run() returns a pointer to */
};

/* The registry (src/backends/registry.c): a NULL-terminated list in probe
 * order, and the mock, which only tests name. Linked in, not registered. */
extern const struct squib_backend *const sq_backends[];

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the builder needs from the guest's architecture: one table of
 * functions and places for each, machine_x86_64.c and machine_aarch64.c.
 * Nothing else of the monitor knows which one it is.
 */
#ifndef SQ_VMM_MACHINE_H
#define SQ_VMM_MACHINE_H

#include <stddef.h>

#include <squib/squib.h>

#include "arch/aarch64/machine.h"
#include "arch/aarch64/psci.h"
#include "arch/x86_64/machine.h"
#include "vmm/config.h"
#include "vmm/devices.h"
#include "vmm/dispatch.h"

struct sq_machine_ops;

#define SQ_MACHINE_HYPERCALLS_MAX 24

struct sq_machine {
    const struct sq_machine_ops *ops;
    const struct sq_cpu_template *cpu; /* the spec's; x86-64 */
    const struct squib_backend *backend;
    uint32_t vcpus;
    union { /* how vCPU 0 starts */
        struct sq_x86_entry x86;
        struct sq_arm64_entry arm64;
    } entry;
    struct sq_psci psci; /* arm64, unless the backend answers PSCI */
};

/* What the machine needs of the monitor; called on vCPU threads. */
struct sq_machine_hooks {
    void (*vcpu_changed)(void *ctx, uint32_t index); /* look at vcpu_on */
    void (*shutdown)(void *ctx);
    void (*reset)(void *ctx);
    void *ctx;
};

struct sq_machine_ops {
    struct sq_machine_layout layout;

    /* Adds the ranges of RAM. */
    int (*add_memory)(struct squib_memory *mem, uint32_t mem_mib,
                      struct squib_error *err);
    /* Optional: what the backend must know beyond the generic settings. */
    void (*vm_config)(struct squib_vm_config *config);
    /* Serial port, clock and what else is not virtio. Pushes its undo. */
    int (*build_platform)(struct sq_devices *devices,
                          const struct sq_devices_env *env,
                          struct squib_error *err);
    /* Loads kernel, initrd (the file of the spec, then the blobs) and
     * tables. */
    int (*load)(struct sq_machine *machine, const struct sq_vm_spec *spec,
                const struct sq_boot_blob *blobs, size_t blob_count,
                const struct sq_devices *devices, struct squib_memory *mem,
                struct squib_error *err);
    /* What one vCPU starts with, on its thread, after load. */
    int (*setup_vcpu)(const struct sq_machine *machine,
                      struct squib_vcpu *vcpu, struct squib_error *err);

    /* Calls from the guest; all four or none. start and end enclose the
     * life of the vCPU threads. hypercalls fills out[] with the rows for
     * one vCPU and returns how many. vcpu_on: whether it may run now; a
     * leaf lock at most. vcpu_enter: on its thread, before it runs again,
     * sets the state that another vCPU chose for it. */
    void (*start)(struct sq_machine *machine,
                  const struct sq_machine_hooks *hooks);
    void (*end)(struct sq_machine *machine);
    size_t (*hypercalls)(struct sq_machine *machine, uint32_t index,
                         struct sq_hypercall out[SQ_MACHINE_HYPERCALLS_MAX]);
    bool (*vcpu_on)(struct sq_machine *machine, uint32_t index);
    int (*vcpu_enter)(struct sq_machine *machine, struct squib_vcpu *vcpu,
                      struct squib_error *err);
};

/* The table for what the backend's guests are. */
const struct sq_machine_ops *sq_machine_ops(const struct squib_backend *be);

extern const struct sq_machine_ops sq_machine_x86_64, sq_machine_aarch64;

/* machine.c, for both: maps the spec's initrd, if it has one, as parts[0]
 * and puts the blobs behind it; *n is their number. sq_machine_initrd_close
 * in any case. */
#define SQ_MACHINE_INITRD_MAX 5
struct sq_machine_initrd {
    struct sq_boot_blob part[SQ_MACHINE_INITRD_MAX];
    size_t parts;
    void *map;
    size_t map_len;
};

int sq_machine_initrd_open(struct sq_machine_initrd *initrd,
                           const struct sq_vm_spec *spec,
                           const struct sq_boot_blob *blobs,
                           size_t blob_count, struct squib_error *err);
void sq_machine_initrd_close(struct sq_machine_initrd *initrd);

#endif

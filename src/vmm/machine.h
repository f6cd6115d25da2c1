/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the builder needs from the guest's architecture. One file a guest
 * architecture implements it: machine_x86_64.c.
 */
#ifndef SQ_VMM_MACHINE_H
#define SQ_VMM_MACHINE_H

#include <stddef.h>

#include <squib/squib.h>

#include "arch/x86_64/machine.h"
#include "vmm/config.h"
#include "vmm/devices.h"

struct sq_machine {
    struct sq_x86_entry entry;
    uint32_t vcpus;
    const struct sq_cpu_template *cpu; /* the spec's */
    const struct squib_backend *backend;
};

struct sq_machine_blob {
    const void *data;
    size_t len;
};

/* Adds the ranges of RAM. */
int sq_machine_add_memory(struct squib_memory *mem, uint32_t mem_mib,
                          struct squib_error *err);

/* Loads kernel, initrd (the file of the spec, then the blobs) and tables. */
int sq_machine_load(struct sq_machine *machine,
                    const struct sq_vm_spec *spec,
                    const struct sq_machine_blob *blobs, size_t blob_count,
                    const struct sq_devices *devices,
                    const struct squib_backend *backend,
                    struct squib_memory *mem, struct squib_error *err);

/* CPUID and start state of one vCPU, on its thread, after sq_machine_load.
 */
int sq_machine_setup_vcpu(const struct sq_machine *machine,
                          struct squib_vcpu *vcpu, struct squib_error *err);

#endif

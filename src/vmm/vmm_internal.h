/* SPDX-License-Identifier: Apache-2.0 */
/* The struct that owns all of one machine; for src/vmm alone. */
#ifndef SQ_VMM_VMM_INTERNAL_H
#define SQ_VMM_VMM_INTERNAL_H

#include <stdatomic.h>

#include "vmm/console.h"
#include "vmm/devices.h"
#include "vmm/dispatch.h"
#include "vmm/lifecycle.h"
#include "vmm/machine.h"
#include "vmm/serial_input.h"
#include "vmm/undo.h"
#include "vmm/vcpu_thread.h"
#include "vmm/vmm.h"

struct sq_vmm {
    struct sq_vm_spec spec;
    struct sq_vmm_env env;
    struct sq_undo undo;
    struct sq_lifecycle life;
    int serial_fd; /* of spec.serial_path */
    struct sq_console console;
    struct sq_serial_input input;
    struct squib_memory *mem;
    struct squib_vm *vm;
    struct sq_devices devices;
    struct sq_machine machine;
    /* One for each vCPU: who makes a hypercall matters. */
    struct sq_dispatch dispatch[SQUIB_VCPUS_MAX];
    struct sq_hypercall calls[SQUIB_VCPUS_MAX][SQ_MACHINE_HYPERCALLS_MAX];
    struct sq_vcpus vcpus;
    _Atomic int test_status;
    struct sq_work ended; /* posted by the last vCPU thread */
};

/* builder.c: all steps in order; each pushes its undo. On failure the
 * stack has been popped. */
int sq_vmm_build(struct sq_vmm *vmm, struct squib_error *err);

/* builder.c: what devices are connected to. */
struct sq_devices_env sq_vmm_devices_env(struct sq_vmm *vmm);

#endif

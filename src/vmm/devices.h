/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of one machine: the two buses, the legacy set, and virtio
 * devices, in virtio-mmio slots or on a PCI bus. A new virtio device is one
 * row of the table in devices.c and the setting that asks for it.
 *
 * Built and freed on the event thread while no vCPU runs.
 */
#ifndef SQ_VMM_DEVICES_H
#define SQ_VMM_DEVICES_H

#include <squib/error.h>
#include <squib/vm.h>

#include "arch/x86_64/machine.h"
#include "dev/bus.h"
#include "dev/host/vsock_unix.h"
#include "dev/legacy/legacy.h"
#include "dev/pci/bus.h"
#include "dev/virtio/device.h"
#include "mmds/mmds.h"
#include "dev/vmgenid.h"
#include "os/poller.h"
#include "vmm/boot_timer.h"
#include "vmm/config.h"
#include "vmm/undo.h"

struct sq_devices {
    struct sq_bus mmio, pio;
    struct sq_legacy legacy;
    /* In the order in which they came. */
    struct sq_virtio_device *slot[SQ_X86_PCI_SLOTS];
    size_t slot_count;
    /* Without PCI: the same slots as the guest's tables describe them. */
    struct sq_x86_mmio_device where[SQ_X86_VIRTIO_MAX];
    bool pci;
    struct sq_pci_bus pci_bus;
    struct sq_vsock_unix *vsock_bridge;
    struct sq_mmds_net *mmds[SQ_SPEC_NETS_MAX]; /* of the spec's nets */
    struct sq_boot_timer boot_timer;
    struct sq_vmgenid vmgenid;
    struct squib_vm *vm;
    struct squib_memory *mem;
    uint64_t pmem_end; /* gpa: where the next pmem device may lie */
};

/* What devices are connected to. */
struct sq_devices_env {
    const struct sq_vm_spec *spec;
    struct squib_vm *vm;
    struct squib_memory *mem;
    struct sq_poller *poller;
    struct sq_undo *undo;
    /* Guest output on the serial port; a vCPU thread. */
    void (*serial_out)(void *ctx, const uint8_t *data, size_t len);
    void (*serial_drained)(void *ctx);
    /* The guest asks for it; a vCPU thread. */
    void (*shutdown)(void *ctx);
    void (*reset)(void *ctx);
    void (*boot_done)(void *ctx, uint64_t wall_ns, uint64_t cpu_ns);
    void *ctx;
    struct sq_mmds *mmds; /* or NULL */
    const struct sq_vsock_host_ops *vsock_host; /* or NULL */
    void *vsock_ctx;
};

/* Pushes its clean-ups on env->undo; on failure the caller pops them. */
int sq_devices_build(struct sq_devices *devices,
                     const struct sq_devices_env *env,
                     struct squib_error *err);

/* While the guest runs, with PCI: makes the device that the last entry of
 * env->spec's array for this identifier describes, and tells the guest to
 * look. Event thread. For a device that has memory of its own (pmem) no vCPU
 * may run. Errors: SQUIB_E_NOSUPPORT without PCI, or what making says;
 * nothing has changed then. */
int sq_devices_plug(struct sq_devices *devices,
                    const struct sq_devices_env *env, uint32_t id,
                    struct squib_error *err);
/* Takes the n-th of them away, whether or not the guest has let go of it:
 * nothing answers in its place. The same rules. */
void sq_devices_unplug(struct sq_devices *devices, uint32_t id, uint32_t n);

/* The n-th device with this identifier (enum sq_virtio_id): drives in the
 * order of the spec. NULL if there are not as many. Any thread. */
struct sq_virtio_device *sq_devices_find(const struct sq_devices *devices,
                                         uint32_t id, uint32_t n);

#endif

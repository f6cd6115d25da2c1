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

#include "arch/bootparts.h"
#include "dev/bus.h"
#include "dev/host/vsock_unix.h"
#include "dev/legacy/legacy.h"
#include "dev/legacy/pl031.h"
#include "dev/legacy/testdev.h"
#include "dev/pci/bus.h"
#include "dev/pci/msiframe.h"
#include "dev/virtio/device.h"
#include "mmds/mmds.h"
#include "dev/vmgenid.h"
#include "os/poller.h"
#include "vmm/boot_timer.h"
#include "vmm/config.h"
#include "vmm/undo.h"

#define SQ_DEVICES_VIRTIO_MAX 19

/* Where a machine has its devices. Addresses in bytes; interrupt lines as
 * squib_vm_irq() numbers them. */
struct sq_machine_layout {
    uint64_t virtio_gpa, virtio_step; /* the first slot; the next ones */
    uint32_t virtio_irq;              /* the first slot's, then one by one */
    uint32_t virtio_max;              /* slots */
    uint64_t vmgenid_gpa;
    uint32_t vmgenid_irq;
    uint64_t boot_timer_gpa;
    uint64_t pmem_gpa, pmem_align; /* not below, and behind all RAM */
    uint64_t gpa_end;
    /* PCI: memory of functions, configuration space, the interrupt that
     * says "look who came". pci_len 0: the machine cannot have it; pci_irq
     * 0: nobody can be told, so devices cannot come and go. */
    uint64_t pci_gpa, pci_len, ecam_gpa;
    uint32_t pci_irq;
    bool pci_ports; /* configuration space also at ports 0xcf8.. */
};

struct sq_machine_ops; /* vmm/machine.h */

struct sq_devices {
    struct sq_bus mmio, pio;
    /* arm64 machines have its serial port alone, and the clock beside. */
    struct sq_legacy legacy;
    bool has_keyboard;
    struct sq_pl031 pl031;
    struct sq_testdev testdev; /* if the spec has it; x86-64 */
    const struct sq_machine_layout *layout;
    /* In the order in which they came. */
    struct sq_virtio_device *slot[SQ_PCI_SLOTS];
    size_t slot_count;
    /* Without PCI: the same slots as the guest's tables describe them. */
    struct sq_boot_device where[SQ_DEVICES_VIRTIO_MAX];
    bool pci;
    struct sq_pci_bus pci_bus;
    struct sq_msi_frame msi_frame; /* with PCI; arm64 */
    struct sq_vsock_unix *vsock_bridge;
    struct sq_mmds_net *mmds[SQ_SPEC_NETS_MAX]; /* of the spec's nets */
    struct sq_boot_timer boot_timer;
    struct sq_vmgenid vmgenid;
    struct squib_vm *vm;
    struct squib_memory *mem;
    uint64_t pmem_end; /* gpa: where the next pmem device may lie */
    /* The environment's. */
    const struct sq_vm_spec *spec;
    void (*trouble)(void *ctx, const char *text);
    void *ctx;
};

/* What devices are connected to. */
struct sq_devices_env {
    const struct sq_vm_spec *spec; /* outlives the devices */
    const struct sq_machine_ops *machine;
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
    void (*test_exit)(void *ctx, uint32_t value); /* of the test device */
    void (*boot_done)(void *ctx, uint64_t wall_ns, uint64_t cpu_ns);
    void (*trouble)(void *ctx, const char *text); /* vmm.h; event thread */
    void *ctx;
    struct sq_mmds *mmds; /* or NULL */
    const struct sq_vsock_host_ops *vsock_host; /* or NULL */
    void *vsock_ctx;
};

/* An interrupt line of the VM; where messages go; the settings of its serial
 * port on a line. */
struct sq_irq sq_devices_line(const struct sq_devices_env *env, uint32_t irq);
struct sq_msi sq_devices_msi(const struct sq_devices_env *env);
struct sq_serial_config sq_devices_serial(const struct sq_devices_env *env,
                                          uint32_t irq);

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

/* Event thread, while no vCPU runs: devices end what they are at and begin
 * nothing new; and go on. */
void sq_devices_pause(struct sq_devices *devices);
void sq_devices_resume(struct sq_devices *devices);

/* The n-th device with this identifier (enum sq_virtio_id): drives in the
 * order of the spec. NULL if there are not as many. Any thread. */
struct sq_virtio_device *sq_devices_find(const struct sq_devices *devices,
                                         uint32_t id, uint32_t n);

#endif

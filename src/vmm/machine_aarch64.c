/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "vmm/machine.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/err.h"

_Static_assert(SQ_ARM64_VIRTIO_MAX <= SQ_DEVICES_VIRTIO_MAX,
               "every slot has room");
_Static_assert(SQ_ARM64_ECAM_LEN == SQ_PCI_ECAM_LEN &&
                   SQ_ARM64_PCI_LEN >= SQ_PCI_SLOTS * SQ_PCI_SLOT_LEN,
               "tables and bus agree");

#define SEED_LEN 32

static int add_memory(struct squib_memory *mem, uint32_t mem_mib,
                      struct squib_error *err)
{
    struct squib_range ram;
    int rc = sq_arm64_ram_range((uint64_t)mem_mib << 20, &ram, err);

    return rc ? rc : squib_memory_add(mem, ram, err);
}

static void vm_config(struct squib_vm_config *config)
{
    sq_arm64_gic(&config->gic);
}

static void fini_serial(void *ctx)
{
    struct sq_devices *devices = ctx;

    sq_serial_fini(&devices->legacy.serial);
}

/* Where the backend's interrupt controller has this frame itself, nothing
 * comes here. */
static int build_msi_frame(struct sq_devices *devices,
                           const struct sq_devices_env *env,
                           struct squib_error *err)
{
    struct squib_aarch64_gic gic;

    sq_arm64_gic(&gic);
    devices->msi_frame = (struct sq_msi_frame){
        .gpa = gic.msi_gpa,
        .first = SQUIB_AARCH64_SPI(gic.spis - gic.msi_spis),
        .count = gic.msi_spis,
        .msi = sq_devices_msi(env),
    };
    return sq_bus_add(&devices->mmio, "messages", gic.msi_gpa,
                      SQUIB_AARCH64_MSI_LEN, &sq_msi_frame_ops,
                      &devices->msi_frame, err);
}

static int build_platform(struct sq_devices *devices,
                          const struct sq_devices_env *env,
                          struct squib_error *err)
{
    const struct sq_serial_config serial =
        sq_devices_serial(env, SQ_ARM64_SERIAL_SPI);
    const struct sq_pl031_config rtc = {0};
    int rc;

    if (env->spec->test_device)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "machines for arm64 have no test device"
                          "\n  do: choose a backend with x86-64 guests");
    rc = sq_serial_init(&devices->legacy.serial, &serial, err);
    if (rc)
        return rc;
    if (!sq_undo_push(env->undo, fini_serial, devices))
        return sq_err_set(err, SQUIB_E_INTERNAL, "too many build steps");
    devices->legacy.has_serial = true;
    sq_pl031_init(&devices->pl031, &rtc);
    rc = sq_bus_add(&devices->mmio, "serial", SQ_ARM64_SERIAL_GPA,
                    SQ_SERIAL_PORTS, &sq_serial_ops, &devices->legacy.serial,
                    err);
    if (!rc)
        rc = sq_bus_add(&devices->mmio, "rtc", SQ_ARM64_RTC_GPA,
                        SQ_PL031_LEN, &sq_pl031_ops, &devices->pl031, err);
    if (!rc && env->spec->pci)
        rc = build_msi_frame(devices, env, err);
    return rc;
}

static int load(struct sq_machine *machine, const struct sq_vm_spec *spec,
                const struct sq_boot_blob *blobs, size_t blob_count,
                const struct sq_devices *devices, struct squib_memory *mem,
                struct squib_error *err)
{
    struct sq_machine_initrd parts;
    struct sq_arm64_kernel *kernel = NULL;
    uint8_t seed[SEED_LEN];
    struct sq_arm64_boot boot = {
        .initrd = parts.part,
        .cmdline = spec->cmdline,
        .vcpus = spec->vcpus,
        .devices = devices->where,
        .device_count = devices->pci ? 0 : devices->slot_count,
        .serial = true,
        .rtc = true,
        .vmgenid = true,
        .pci = devices->pci,
    };
    int rc = sq_arm64_kernel_open(spec->kernel, &kernel, err);

    if (rc)
        return rc;
    if (getentropy(seed, sizeof(seed)) == 0)
        boot.seed = seed;
    rc = sq_machine_initrd_open(&parts, spec, blobs, blob_count, err);
    boot.initrd_parts = parts.parts;
    boot.initrd_mapped = parts.map;
    boot.kernel = kernel;
    if (!rc)
        rc = sq_arm64_boot_load(mem, &boot, &machine->entry.arm64, err);
    sq_machine_initrd_close(&parts);
    sq_arm64_kernel_close(kernel);
    return rc;
}

static int set_start(struct squib_vcpu *vcpu,
                     const struct sq_arm64_entry *entry,
                     struct squib_error *err)
{
    struct squib_aarch64_state *st = calloc(1, sizeof(*st));
    int rc;

    if (!st)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    sq_arm64_entry_state(entry, st);
    rc = squib_vcpu_set_aarch64(vcpu, SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM,
                                st, err);
    free(st);
    return rc;
}

/* The others wait for CPU_ON, in the hypervisor or in here. */
static int setup_vcpu(const struct sq_machine *machine,
                      struct squib_vcpu *vcpu, struct squib_error *err)
{
    if (squib_vcpu_index(vcpu) != 0)
        return 0;
    return set_start(vcpu, &machine->entry.arm64, err);
}

/* --- PSCI -------------------------------------------------------------- */

static void start(struct sq_machine *machine,
                  const struct sq_machine_hooks *hooks)
{
    const struct sq_psci_hooks psci = {
        .changed = hooks->vcpu_changed,
        .off = hooks->shutdown,
        .reset = hooks->reset,
        .ctx = hooks->ctx,
    };

    sq_psci_init(&machine->psci, machine->vcpus, &psci);
}

static void end(struct sq_machine *machine)
{
    sq_psci_fini(&machine->psci);
}

static size_t hypercalls(struct sq_machine *machine, uint32_t index,
                         struct sq_hypercall out[SQ_MACHINE_HYPERCALLS_MAX])
{
    size_t n = 0;

    for (; n < sq_psci_row_count && n < SQ_MACHINE_HYPERCALLS_MAX; n++)
        out[n] = (struct sq_hypercall){
            .function = sq_psci_rows[n].function,
            .fn = sq_psci_rows[n].fn,
            .ctx = &machine->psci.caller[index],
        };
    return n;
}

static bool vcpu_on(struct sq_machine *machine, uint32_t index)
{
    return sq_psci_is_on(&machine->psci, index);
}

static int vcpu_enter(struct sq_machine *machine, struct squib_vcpu *vcpu,
                      struct squib_error *err)
{
    struct sq_arm64_entry entry;

    /* What CPU_ON calls the context is X0, like the device tree's place. */
    if (!sq_psci_take_start(&machine->psci, squib_vcpu_index(vcpu),
                            &entry.pc, &entry.fdt_gpa))
        return 0;
    return set_start(vcpu, &entry, err);
}

const struct sq_machine_ops sq_machine_aarch64 = {
    .layout = {
        .virtio_gpa = SQ_ARM64_VIRTIO_GPA,
        .virtio_step = SQ_ARM64_VIRTIO_STEP,
        .virtio_irq = SQ_ARM64_VIRTIO_SPI,
        .virtio_max = SQ_ARM64_VIRTIO_MAX,
        .vmgenid_gpa = SQ_ARM64_VMGENID_GPA,
        .vmgenid_irq = SQ_ARM64_VMGENID_SPI,
        .boot_timer_gpa = SQ_ARM64_BOOT_TIMER_GPA,
        .pmem_gpa = SQ_ARM64_RAM_GPA,
        .pmem_align = SQ_ARM64_PMEM_ALIGN,
        .gpa_end = SQ_ARM64_GPA_END,
        .pci_gpa = SQ_ARM64_PCI_GPA,
        .pci_len = SQ_ARM64_PCI_LEN,
        .ecam_gpa = SQ_ARM64_ECAM_GPA,
    },
    .add_memory = add_memory,
    .vm_config = vm_config,
    .build_platform = build_platform,
    .load = load,
    .setup_vcpu = setup_vcpu,
    .start = start,
    .end = end,
    .hypercalls = hypercalls,
    .vcpu_on = vcpu_on,
    .vcpu_enter = vcpu_enter,
};

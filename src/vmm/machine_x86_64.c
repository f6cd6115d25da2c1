/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine.h"

#include <stdlib.h>

#include "arch/x86_64/cpuid.h"
#include "base/err.h"

_Static_assert(SQ_X86_VIRTIO_MAX <= SQ_DEVICES_VIRTIO_MAX,
               "every slot has room");
_Static_assert(SQ_X86_ECAM_LEN == SQ_PCI_ECAM_LEN &&
                   SQ_X86_PCI_SLOTS == SQ_PCI_SLOTS &&
                   SQ_X86_PCI_PORT == SQ_PCI_PORT,
               "tables and bus agree");

static int add_memory(struct squib_memory *mem, uint32_t mem_mib,
                      struct squib_error *err)
{
    struct squib_range ram[2];
    size_t n = 0;
    int rc = sq_x86_ram_ranges((uint64_t)mem_mib << 20, ram, &n, err);

    for (size_t i = 0; i < n && !rc; i++)
        rc = squib_memory_add(mem, ram[i], err);
    return rc;
}

static void fini_legacy(void *ctx)
{
    struct sq_devices *devices = ctx;

    sq_legacy_fini(&devices->legacy);
}

static void fini_testdev(void *ctx)
{
    struct sq_devices *devices = ctx;

    sq_testdev_fini(&devices->testdev);
}

_Static_assert(SQ_TESTDEV_LINES == SQ_X86_IOAPIC_PINS,
               "the test device reaches every line");

static int build_testdev(struct sq_devices *devices,
                         const struct sq_devices_env *env,
                         struct squib_error *err)
{
    struct sq_testdev_config config = {
        .mem_len = (uint64_t)env->spec->mem_mib << 20,
        .vcpus = env->spec->vcpus,
        .exit = env->test_exit,
        .ctx = env->ctx,
    };
    int rc;

    for (uint32_t i = 0; i < SQ_TESTDEV_LINES; i++)
        config.line[i] = sq_devices_line(env, i);
    rc = sq_testdev_init(&devices->testdev, &config, &devices->pio,
                         &devices->mmio, err);
    if (rc)
        return rc;
    if (!sq_undo_push(env->undo, fini_testdev, devices))
        return sq_err_set(err, SQUIB_E_INTERNAL, "too many build steps");
    return 0;
}

static int build_platform(struct sq_devices *devices,
                          const struct sq_devices_env *env,
                          struct squib_error *err)
{
    struct sq_legacy_config config = {
        .serial_port = SQ_X86_COM1_PORT,
        .serial = sq_devices_serial(env, SQ_X86_COM1_GSI),
        .keyboard_irq = sq_devices_line(env, SQ_X86_KBD_GSI),
        .sleep_port = SQ_X86_POWER_PORT,
        .sleep_type_off = SQ_X86_SLEEP_S5,
        .pci_ports = env->spec->pci,
        .shutdown = env->shutdown,
        .reset = env->reset,
        .ctx = env->ctx,
    };
    int rc = sq_legacy_init(&devices->legacy, &config, &devices->pio, err);

    if (rc)
        return rc;
    devices->has_keyboard = true;
    if (!sq_undo_push(env->undo, fini_legacy, devices))
        return sq_err_set(err, SQUIB_E_INTERNAL, "too many build steps");
    return env->spec->test_device ? build_testdev(devices, env, err) : 0;
}

static int load(struct sq_machine *machine, const struct sq_vm_spec *spec,
                const struct sq_boot_blob *blobs, size_t blob_count,
                const struct sq_devices *devices, struct squib_memory *mem,
                struct squib_error *err)
{
    struct sq_machine_initrd parts;
    struct sq_x86_kernel *kernel = NULL;
    struct sq_x86_boot boot = {
        .initrd = parts.part,
        .cmdline = spec->cmdline,
        .vcpus = spec->vcpus,
        .devices = devices->where,
        .device_count = devices->pci ? 0 : devices->slot_count,
        .serial = true,
        .keyboard = true,
        .vmgenid = true,
        .pci = spec->pci,
    };
    int rc = sq_x86_kernel_open_packed(spec->kernel, &kernel, err);

    if (rc)
        return rc;
    rc = sq_machine_initrd_open(&parts, spec, blobs, blob_count, err);
    boot.initrd_parts = parts.parts;
    boot.initrd_mapped = parts.map;
    boot.kernel = kernel;
    if (!rc)
        rc = sq_x86_boot_load(mem, &boot, &machine->entry.x86, err);
    sq_machine_initrd_close(&parts);
    sq_x86_kernel_close(kernel);
    machine->cpu = &spec->cpu;
    return rc;
}

static int setup_cpuid(const struct sq_machine *machine,
                       struct squib_vcpu *vcpu, struct squib_error *err)
{
    struct squib_x86_cpuid leaves[SQUIB_X86_CPUID_MAX];
    size_t n = SQUIB_X86_CPUID_MAX;
    struct sq_x86_cpuid_config config = {
        .index = squib_vcpu_index(vcpu),
        .vcpus = machine->vcpus,
    };
    int rc = squib_backend_cpuid(machine->backend, leaves, &n, err);

    if (!rc)
        rc = sq_cpu_template_cpuid(machine->cpu, leaves, n, err);
    if (!rc)
        rc = sq_x86_cpuid_apply(&config, leaves, &n, SQUIB_X86_CPUID_MAX,
                                err);
    if (!rc)
        rc = squib_vcpu_set_cpuid(vcpu, leaves, n, err);
    return rc;
}

static int setup_msrs(const struct sq_machine *machine,
                      struct squib_vcpu *vcpu,
                      struct squib_x86_64_state *st, struct squib_error *err)
{
    int rc;

    if (!machine->cpu->msr_count)
        return 0;
    rc = squib_vcpu_get_state(vcpu, SQUIB_STATE_MSRS, st, err);
    if (!rc)
        rc = sq_cpu_template_msrs(machine->cpu, st, err);
    return rc ? rc : squib_vcpu_set_state(vcpu, SQUIB_STATE_MSRS, st, err);
}

static int setup_vcpu(const struct sq_machine *machine,
                      struct squib_vcpu *vcpu, struct squib_error *err)
{
    struct squib_x86_64_state *st;
    uint32_t parts = SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM;
    int rc = setup_cpuid(machine, vcpu, err);

    if (rc)
        return rc;
    st = calloc(1, sizeof(*st));
    if (!st)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    rc = setup_msrs(machine, vcpu, st, err);
    if (rc || squib_vcpu_index(vcpu) != 0) {
        free(st);
        return rc; /* the others wait for the guest's start-up IPI */
    }
    rc = squib_vcpu_get_state(vcpu, parts, st, err);
    if (!rc) {
        sq_x86_entry_state(&machine->entry.x86, st);
        rc = squib_vcpu_set_state(vcpu, parts, st, err);
    }
    free(st);
    return rc;
}

const struct sq_machine_ops sq_machine_x86_64 = {
    .layout = {
        .virtio_gpa = SQ_X86_VIRTIO_GPA,
        .virtio_step = SQ_X86_VIRTIO_STEP,
        .virtio_irq = SQ_X86_VIRTIO_GSI,
        .virtio_max = SQ_X86_VIRTIO_MAX,
        .vmgenid_gpa = SQ_X86_VMGENID_GPA,
        .vmgenid_irq = SQ_X86_VMGENID_GSI,
        .boot_timer_gpa = SQ_X86_BOOT_TIMER_GPA,
        .pmem_gpa = SQ_X86_HIGH_RAM_GPA,
        .pmem_align = SQ_X86_PMEM_ALIGN,
        .gpa_end = SQ_X86_GPA_END,
        .pci_gpa = SQ_X86_PCI_GPA,
        .pci_len = SQ_X86_PCI_LEN,
        .ecam_gpa = SQ_X86_ECAM_GPA,
        .pci_irq = SQ_X86_PCI_GSI,
        .pci_ports = true,
    },
    .add_memory = add_memory,
    .build_platform = build_platform,
    .load = load,
    .setup_vcpu = setup_vcpu,
};

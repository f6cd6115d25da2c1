/* SPDX-License-Identifier: Apache-2.0 */
/* The backend's tables on arm64: extensions, the GICv3's creation, lines. */
#define _GNU_SOURCE
#include "backends/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

#define IPA_BITS_WANTED 40

const struct sq_kvm_extension sq_kvm_needed[] = {
    {KVM_CAP_USER_MEMORY, "memory slots"},
    {KVM_CAP_ONE_REG, "access to registers"},
    {KVM_CAP_ARM_PSCI_0_2, "PSCI"},
    {KVM_CAP_DEVICE_CTRL, "devices"},
    {KVM_CAP_IRQCHIP, "an interrupt controller"},
    {KVM_CAP_IOEVENTFD, "ioeventfd"},
    {KVM_CAP_IRQFD, "irqfd"},
    {KVM_CAP_READONLY_MEM, "read-only memory"},
    {KVM_CAP_MP_STATE, "vCPU run states"},
    {KVM_CAP_VCPU_EVENTS, "vCPU events"},
    {KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
    {KVM_CAP_ARM_INJECT_EXT_DABT, "injection of aborts"},
};

const size_t sq_kvm_needed_count = SQ_ARRAY_LEN(sq_kvm_needed);
const char sq_kvm_needed_linux[] = "5.5";
const char sq_kvm_absent_remedy[] =
    "use a kernel with KVM that was started in hypervisor mode (EL2)";

static struct sq_kvm_vm *vm_of(struct squib_vm *vm)
{
    return SQ_CONTAINER_OF(vm, struct sq_kvm_vm, base);
}

/* --- creation of the GIC --------------------------------------------- */

static int gic_attr(struct sq_kvm_vm *vm, uint32_t group, uint64_t attr,
                    void *value, const char *what, struct squib_error *err)
{
    struct kvm_device_attr a = {
        .group = group, .attr = attr, .addr = (uintptr_t)value};

    if (ioctl(vm->gic.fd, KVM_SET_DEVICE_ATTR, &a) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM's GIC, %s", what);
    return 0;
}

static int create_gic(struct sq_kvm_vm *vm, struct squib_error *err)
{
    const struct squib_aarch64_gic *g = &vm->gic.config;
    struct kvm_create_device dev = {.type = KVM_DEV_TYPE_ARM_VGIC_V3};
    uint32_t intids = g->spis + 32;
    uint64_t dist = g->dist_gpa;
    /* Bits 63:52 are the number of redistributors, 11:0 the region's. */
    uint64_t redist = g->redist_gpa |
                      g->redist_len / SQUIB_AARCH64_GICR_LEN << 52;
    int rc;

    if (ioctl(vm->fd, KVM_CREATE_DEVICE, &dev) != 0)
        return sq_err_os(err, SQUIB_E_NOSUPPORT, errno,
                         "this machine's KVM has no GICv3 for guests");
    vm->gic.fd = (int)dev.fd;
    rc = gic_attr(vm, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &intids,
                  "number of interrupts", err);
    if (!rc)
        rc = gic_attr(vm, KVM_DEV_ARM_VGIC_GRP_ADDR,
                      KVM_VGIC_V3_ADDR_TYPE_DIST, &dist, "distributor", err);
    if (!rc)
        rc = gic_attr(vm, KVM_DEV_ARM_VGIC_GRP_ADDR,
                      KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION, &redist,
                      "redistributors", err);
    return rc;
}

static int set_line(struct sq_kvm_vm *vm, uint32_t spi, bool level,
                    struct squib_error *err)
{
    struct kvm_irq_level l = {
        .irq = (KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT) |
               SQUIB_AARCH64_SPI(spi),
        .level = level,
    };

    if (ioctl(vm->fd, KVM_IRQ_LINE, &l) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_IRQ_LINE, SPI %u", spi);
    return 0;
}

/* The lock is held. */
static int finish_gic(struct sq_kvm_vm *vm, struct squib_error *err)
{
    int rc = gic_attr(vm, KVM_DEV_ARM_VGIC_GRP_CTRL,
                      KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, "start", err);

    if (rc)
        return rc;
    for (uint32_t i = 0; i < vm->gic.config.spis && !rc; i++)
        if (vm->gic.level[i / 32] >> i % 32 & 1)
            rc = set_line(vm, i, true, err);
    atomic_store(&vm->gic.ready, true);
    return rc;
}

int sq_kvm_gic_finish(struct sq_kvm_vm *vm, bool new_vcpu,
                      struct squib_error *err)
{
    int rc = 0;

    if (!vm->irqchip)
        return 0;
    pthread_mutex_lock(&vm->gic.lock);
    vm->gic.vcpus += new_vcpu;
    if (!vm->gic.ready && (!new_vcpu || vm->gic.vcpus == vm->vcpus))
        rc = finish_gic(vm, err);
    pthread_mutex_unlock(&vm->gic.lock);
    return rc;
}

/* --- lines and messages ---------------------------------------------- */

static int vm_irq(struct squib_vm *base, uint32_t gsi, bool level,
                  struct squib_error *err)
{
    struct sq_kvm_vm *vm = vm_of(base);
    uint32_t bit = 1u << gsi % 32;
    int rc = 0;

    if (atomic_load(&vm->gic.ready))
        return set_line(vm, gsi, level, err);
    pthread_mutex_lock(&vm->gic.lock);
    if (vm->gic.ready)
        rc = set_line(vm, gsi, level, err);
    else if (level)
        vm->gic.level[gsi / 32] |= bit;
    else
        vm->gic.level[gsi / 32] &= ~bit;
    pthread_mutex_unlock(&vm->gic.lock);
    return rc;
}

/* KVM's GIC has no frame for messages: they are edges of their SPI. */
static int vm_msi(struct squib_vm *base, uint64_t gpa, uint32_t data,
                  struct squib_error *err)
{
    const struct squib_aarch64_gic *g = &vm_of(base)->gic.config;
    uint32_t end = SQUIB_AARCH64_SPI(g->spis);
    uint32_t spi = data - 32;
    int rc;

    if (!g->msi_spis || gpa != g->msi_gpa + SQUIB_AARCH64_MSI_SETSPI)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%#llx is not an interrupt message address",
                          (unsigned long long)gpa);
    if (data < end - g->msi_spis || data >= end)
        return 0; /* the guest chose it: dropped as on a real bus */
    rc = vm_irq(base, spi, true, err);
    return rc ? rc : vm_irq(base, spi, false, err);
}

/* --- life ------------------------------------------------------------ */

unsigned long sq_kvm_vm_type(int sys_fd)
{
    int bits = ioctl(sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);

    /* 0 means 40 bits, which some processors do not have. */
    return bits > 0 && bits < IPA_BITS_WANTED ? (unsigned long)bits : 0;
}

void sq_kvm_vm_arch_init(struct sq_kvm_vm *vm,
                         const struct squib_vm_config *config)
{
    vm->gic.fd = -1;
    vm->gic.config = config->gic;
    pthread_mutex_init(&vm->gic.lock, NULL);
}

void sq_kvm_vm_arch_fini(struct sq_kvm_vm *vm)
{
    if (vm->gic.fd >= 0)
        close(vm->gic.fd);
    pthread_mutex_destroy(&vm->gic.lock);
}

int sq_kvm_vm_setup(struct sq_kvm_vm *vm, struct squib_error *err)
{
    struct kvm_enable_cap nisv = {.cap = KVM_CAP_ARM_NISV_TO_USER};

    /* Without it KVM_RUN fails with ENOSYS, which is told too. */
    if (ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_NISV_TO_USER) > 0 &&
        ioctl(vm->fd, KVM_ENABLE_CAP, &nisv) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_CAP_ARM_NISV_TO_USER");
    return vm->irqchip ? create_gic(vm, err) : 0;
}

const struct sq_vm_ops sq_kvm_vm_ops = {
    .free = sq_kvm_vm_free,
    .map = sq_kvm_vm_map,
    .unmap = sq_kvm_vm_unmap,
    .protect = sq_kvm_vm_protect,
    .vcpu_new = sq_kvm_vcpu_new,
    .irq = vm_irq,
    .msi = vm_msi,
    .get_gic = sq_kvm_get_gic,
    .set_gic = sq_kvm_set_gic,
    .dirty_log = sq_kvm_vm_dirty_log,
    .ioeventfd = sq_kvm_vm_ioeventfd,
    .irqfd = sq_kvm_vm_irqfd,
};

static uint64_t backend_caps(void)
{
    return SQUIB_CAP_HARDWARE | SQUIB_CAP_IRQCHIP | SQUIB_CAP_SMP |
           SQUIB_CAP_DIRTY_LOG | SQUIB_CAP_IOEVENTFD | SQUIB_CAP_IRQFD |
           SQUIB_CAP_VCPU_EXITS | SQUIB_CAP_READONLY_MEM | SQUIB_CAP_PSCI |
           SQUIB_CAP_DEBUG;
}

const struct squib_backend sq_backend_kvm = {
    .name = "kvm",
    .summary = "hardware virtualization (KVM)",
    .arch = SQUIB_ARCH_AARCH64,
    .caps = backend_caps,
    .probe = sq_kvm_probe,
    .vm_new = sq_kvm_vm_new,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* The backend's tables on x86-64: extensions, CPUID, interrupts. */
#define _GNU_SOURCE
#include "backends/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

#define CPUID_ROOM 256

#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_HYPERVISOR (1u << 31)

const struct sq_kvm_extension sq_kvm_needed[] = {
    {KVM_CAP_USER_MEMORY, "memory slots"},
    {KVM_CAP_IRQCHIP, "an interrupt controller"},
    {KVM_CAP_IRQ_ROUTING, "interrupt routing"},
    {KVM_CAP_SIGNAL_MSI, "message-signalled interrupts"},
    {KVM_CAP_IOEVENTFD, "ioeventfd"},
    {KVM_CAP_IRQFD, "irqfd"},
    {KVM_CAP_READONLY_MEM, "read-only memory"},
    {KVM_CAP_EXT_CPUID, "CPUID control"},
    {KVM_CAP_MP_STATE, "vCPU run states"},
    {KVM_CAP_VCPU_EVENTS, "vCPU events"},
    {KVM_CAP_DEBUGREGS, "debug registers"},
    {KVM_CAP_XSAVE, "XSAVE state"},
    {KVM_CAP_SET_TSS_ADDR, "a place for the TSS"},
    {KVM_CAP_SET_IDENTITY_MAP_ADDR, "a place for the identity map"},
    {KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
};

const size_t sq_kvm_needed_count = SQ_ARRAY_LEN(sq_kvm_needed);
const char sq_kvm_needed_linux[] = "4.13";
const char sq_kvm_absent_remedy[] =
    "sudo modprobe kvm_intel or kvm_amd; inside a virtual machine, enable "
    "nested virtualization";

static struct sq_kvm_vm *vm_of(struct squib_vm *vm)
{
    return SQ_CONTAINER_OF(vm, struct sq_kvm_vm, base);
}

/* --- CPUID ----------------------------------------------------------- */

static void convert_cpuid(const struct kvm_cpuid_entry2 *e, bool deadline,
                          struct squib_x86_cpuid *out)
{
    *out = (struct squib_x86_cpuid){
        .leaf = e->function,
        .subleaf = e->index,
        .has_subleaf = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        .eax = e->eax, .ebx = e->ebx, .ecx = e->ecx, .edx = e->edx,
    };
    if (e->function == 1) {
        out->ecx |= LEAF1_ECX_HYPERVISOR;
        if (deadline)
            out->ecx |= LEAF1_ECX_TSC_DEADLINE;
    }
}

int sq_kvm_cpuid(int sys_fd, struct squib_x86_cpuid *leaves, size_t *n,
                 struct squib_error *err)
{
    size_t room = *n;
    bool deadline = ioctl(sys_fd, KVM_CHECK_EXTENSION,
                          KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    struct kvm_cpuid2 *c =
        calloc(1, sizeof(*c) + CPUID_ROOM * sizeof(c->entries[0]));
    int rc = 0;

    if (!c)
        return sq_err_set(err, SQUIB_E_NOMEM, "CPUID: no memory");
    c->nent = CPUID_ROOM;
    if (ioctl(sys_fd, KVM_GET_SUPPORTED_CPUID, c) != 0) {
        rc = sq_err_os(err, SQUIB_E_OS, errno, "KVM_GET_SUPPORTED_CPUID");
    } else {
        *n = c->nent;
        if (c->nent > room)
            rc = sq_err_set(err, SQUIB_E_RANGE,
                            "%u CPUID leaves; there is room for %zu",
                            c->nent, room);
    }
    for (size_t i = 0; !rc && i < c->nent; i++)
        convert_cpuid(&c->entries[i], deadline, &leaves[i]);
    free(c);
    return rc;
}

static int backend_cpuid(struct squib_x86_cpuid *leaves, size_t *n,
                         struct squib_error *err)
{
    int fd = sq_kvm_open(err);
    int rc;

    if (fd < 0)
        return fd;
    rc = sq_kvm_cpuid(fd, leaves, n, err);
    close(fd);
    return rc;
}

/* --- interrupts ------------------------------------------------------ */

static int vm_irq(struct squib_vm *base, uint32_t gsi, bool level,
                  struct squib_error *err)
{
    struct kvm_irq_level l = {.irq = gsi, .level = level};

    if (ioctl(vm_of(base)->fd, KVM_IRQ_LINE, &l) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_IRQ_LINE %u", gsi);
    return 0;
}

static int vm_msi(struct squib_vm *base, uint64_t gpa, uint32_t data,
                  struct squib_error *err)
{
    struct kvm_msi msi = {
        .address_lo = (uint32_t)gpa,
        .address_hi = (uint32_t)(gpa >> 32),
        .data = data,
    };

    if (gpa >> 20 != 0xfee)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%#llx is not an interrupt message address",
                          (unsigned long long)gpa);
    /* EPERM is KVM's raw -1: no local APIC took the message. The guest
     * chose the destination, so it is dropped as on a real bus. */
    if (ioctl(vm_of(base)->fd, KVM_SIGNAL_MSI, &msi) < 0 && errno != EPERM)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_SIGNAL_MSI");
    return 0;
}

/* KVM's whole interrupt controller, with the lines wired to the I/O APIC
 * one to one and to nothing else: its PICs stay silent. */
static int create_irqchip(struct sq_kvm_vm *vm, struct squib_error *err)
{
    union {
        struct kvm_irq_routing head;
        uint8_t room[sizeof(struct kvm_irq_routing) +
                     SQ_KVM_IOAPIC_PINS *
                         sizeof(struct kvm_irq_routing_entry)];
    } routing = {.head.nr = SQ_KVM_IOAPIC_PINS};

    if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_CREATE_IRQCHIP");
    for (uint32_t i = 0; i < SQ_KVM_IOAPIC_PINS; i++)
        routing.head.entries[i] = (struct kvm_irq_routing_entry){
            .gsi = i,
            .type = KVM_IRQ_ROUTING_IRQCHIP,
            .u.irqchip = {.irqchip = KVM_IRQCHIP_IOAPIC, .pin = i},
        };
    if (ioctl(vm->fd, KVM_SET_GSI_ROUTING, &routing) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_SET_GSI_ROUTING");
    return 0;
}

/* --- life ------------------------------------------------------------ */

unsigned long sq_kvm_vm_type(int sys_fd)
{
    (void)sys_fd;
    return 0;
}

void sq_kvm_vm_arch_init(struct sq_kvm_vm *vm,
                         const struct squib_vm_config *config)
{
    (void)vm;
    (void)config;
}

void sq_kvm_vm_arch_fini(struct sq_kvm_vm *vm)
{
    (void)vm;
}

int sq_kvm_vm_setup(struct sq_kvm_vm *vm, struct squib_error *err)
{
    uint64_t identity_map_gpa = SQ_KVM_IDENTITY_MAP_GPA;

    if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map_gpa) != 0 ||
        ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)SQ_KVM_TSS_GPA) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_SET_TSS_ADDR");
    vm->has_xcrs = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XCRS) > 0;
    return vm->irqchip ? create_irqchip(vm, err) : 0;
}

const struct sq_vm_ops sq_kvm_vm_ops = {
    .free = sq_kvm_vm_free,
    .map = sq_kvm_vm_map,
    .unmap = sq_kvm_vm_unmap,
    .protect = sq_kvm_vm_protect,
    .vcpu_new = sq_kvm_vcpu_new,
    .irq = vm_irq,
    .msi = vm_msi,
    .dirty_log = sq_kvm_vm_dirty_log,
    .ioeventfd = sq_kvm_vm_ioeventfd,
    .irqfd = sq_kvm_vm_irqfd,
};

static bool backend_extension(uint32_t number)
{
    int fd = sq_kvm_open(NULL);
    int n = fd < 0 ? 0 : ioctl(fd, KVM_CHECK_EXTENSION,
                               (unsigned long)number);

    if (fd >= 0)
        close(fd);
    return n > 0;
}

static uint64_t backend_caps(void)
{
    return SQUIB_CAP_HARDWARE | SQUIB_CAP_IRQCHIP | SQUIB_CAP_SMP |
           SQUIB_CAP_DIRTY_LOG | SQUIB_CAP_IOEVENTFD | SQUIB_CAP_IRQFD |
           SQUIB_CAP_VCPU_EXITS | SQUIB_CAP_READONLY_MEM |
           SQUIB_CAP_DEBUG;
}

const struct squib_backend sq_backend_kvm = {
    .name = "kvm",
    .summary = "hardware virtualization (KVM)",
    .arch = SQUIB_ARCH_X86_64,
    .caps = backend_caps,
    .probe = sq_kvm_probe,
    .cpuid = backend_cpuid,
    .extension = backend_extension,
    .vm_new = sq_kvm_vm_new,
};

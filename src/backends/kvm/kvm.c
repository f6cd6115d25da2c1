/* SPDX-License-Identifier: Apache-2.0 */
/* The backend table of KVM, and what is asked of the device node. */
#define _GNU_SOURCE
#include "backends/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

#define KVM_PATH "/dev/kvm"
#define CPUID_ROOM 256

#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_HYPERVISOR (1u << 31)

/* All of them are in every Linux since 4.13. */
static const struct {
    int cap;
    const char *text;
} needed[] = {
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

static int check_extensions(int fd, struct squib_error *err)
{
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);

    if (version != KVM_API_VERSION)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          KVM_PATH " speaks version %d, not %d", version,
                          KVM_API_VERSION);
    for (size_t i = 0; i < SQ_ARRAY_LEN(needed); i++)
        if (ioctl(fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
            return sq_err_set(err, SQUIB_E_NOSUPPORT,
                              "this KVM is too old: it has not %s\n"
                              "  do: use Linux 4.13 or newer",
                              needed[i].text);
    return 0;
}

int sq_kvm_open(struct squib_error *err)
{
    int fd = open(KVM_PATH, O_RDWR | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return sq_kvm_open_error(KVM_PATH, errno, err);
    rc = check_extensions(fd, err);
    if (rc) {
        close(fd);
        return rc;
    }
    return fd;
}

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
           SQUIB_CAP_VCPU_EXITS | SQUIB_CAP_READONLY_MEM;
}

const struct squib_backend sq_backend_kvm = {
    .name = "kvm",
    .summary = "hardware virtualization (KVM)",
    .caps = backend_caps,
    .probe = sq_kvm_probe,
    .cpuid = backend_cpuid,
    .extension = backend_extension,
    .vm_new = sq_kvm_vm_new,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of KVM's GICv3, register by register: Linux
 * Documentation/virt/kvm/devices/arm-vgic-v3.rst. Registers that software
 * sets by one address and clears by another are cleared whole first, but for
 * the pending ones, which KVM takes as they are.
 */
#define _GNU_SOURCE
#include "backends/kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/err.h"
#include "base/util.h"

/* Offsets: IHI 0069, 12.8 and 12.10; those of SGIs and PPIs are from the
 * second frame of a redistributor. */
enum {
    GICD_CTLR = 0x0, IGROUPR = 0x80, ISENABLER = 0x100, ICENABLER = 0x180,
    ISPENDR = 0x200, ISACTIVER = 0x300, ICACTIVER = 0x380,
    IPRIORITYR = 0x400, ICFGR = 0xc00, IROUTER = 0x6000,
    GICR_CTLR = 0x0, GICR_WAKER = 0x14, SGI_BASE = 0x10000,
};

struct access {
    struct sq_kvm_vm *vm;
    uint32_t group;
    uint64_t cpu; /* affinity in bits 63:32 */
    bool set;
    int rc;
    struct squib_error *err;
};

/* Reads or writes one; after a failure nothing more. */
static void attr(struct access *a, uint64_t where, void *value)
{
    struct kvm_device_attr d = {
        .group = a->group, .attr = a->cpu | where, .addr = (uintptr_t)value};

    if (!a->rc && ioctl(a->vm->gic.fd, a->set ? KVM_SET_DEVICE_ATTR
                                              : KVM_GET_DEVICE_ATTR, &d))
        a->rc = sq_err_os(a->err, SQUIB_E_OS, errno, "KVM's GIC, group %u "
                          "register %#llx", a->group,
                          (unsigned long long)where);
}

static void reg(struct access *a, uint64_t where, uint32_t *value)
{
    attr(a, where, value);
}

/* `n` registers of which the set address reads, and both write. */
static void set_clear(struct access *a, uint64_t set, uint64_t clear,
                      uint32_t *value, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < n; i++) {
        uint32_t all = UINT32_MAX;

        if (a->set)
            reg(a, clear + 4 * i, &all);
        reg(a, set + 4 * i, &value[i]);
    }
}

static void regs(struct access *a, uint64_t where, uint32_t *value,
                 uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < n; i++)
        reg(a, where + 4 * i, &value[i]);
}

static void priorities(struct access *a, uint64_t where, uint8_t *value,
                       uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < n; i += 4) {
        uint32_t v = sq_ld32(value + i);

        reg(a, where + i, &v);
        sq_st32(value + i, v);
    }
}

static void levels(struct access *a, uint32_t first_intid, uint32_t *value)
{
    uint32_t group = a->group;

    a->group = KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO;
    reg(a, (uint64_t)VGIC_LEVEL_INFO_LINE_LEVEL
               << KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT | first_intid,
        value);
    a->group = group;
}

/* --- the distributor ------------------------------------------------- */

static void dist(struct access *a, struct squib_aarch64_gic_dist *g)
{
    uint32_t intids = g->spis + 32, words = intids / 32;

    if (!a->set)
        reg(a, GICD_CTLR, &g->ctlr);
    regs(a, IGROUPR, g->igroupr, 1, words);
    regs(a, ICFGR, g->icfgr, 2, 2 * words);
    priorities(a, IPRIORITYR, g->ipriorityr, 32, intids);
    for (uint32_t i = 32; i < intids; i++) {
        uint32_t half[2];

        memcpy(half, &g->irouter[i], sizeof(half));
        reg(a, IROUTER + 8 * i, &half[0]);
        reg(a, IROUTER + 8 * i + 4, &half[1]);
        memcpy(&g->irouter[i], half, sizeof(half));
    }
    for (uint32_t i = 1; i < words; i++)
        levels(a, 32 * i, &g->line_level[i]);
    regs(a, ISPENDR, g->ispendr, 1, words);
    set_clear(a, ISACTIVER, ICACTIVER, g->isactiver, 1, words);
    set_clear(a, ISENABLER, ICENABLER, g->isenabler, 1, words);
    if (a->set) /* last: from here on interrupts are delivered */
        reg(a, GICD_CTLR, &g->ctlr);
}

int sq_kvm_get_gic(struct squib_vm *base, struct squib_aarch64_gic_dist *gic,
                   struct squib_error *err)
{
    struct sq_kvm_vm *vm = SQ_CONTAINER_OF(base, struct sq_kvm_vm, base);
    struct access a = {.vm = vm, .err = err,
                       .group = KVM_DEV_ARM_VGIC_GRP_DIST_REGS};
    int rc = sq_kvm_gic_finish(vm, false, err);

    if (rc)
        return rc;
    memset(gic, 0, sizeof(*gic));
    gic->spis = vm->gic.config.spis;
    dist(&a, gic);
    return a.rc;
}

int sq_kvm_set_gic(struct squib_vm *base,
                   const struct squib_aarch64_gic_dist *gic,
                   struct squib_error *err)
{
    struct sq_kvm_vm *vm = SQ_CONTAINER_OF(base, struct sq_kvm_vm, base);
    struct squib_aarch64_gic_dist copy = *gic;
    struct access a = {.vm = vm, .err = err, .set = true,
                       .group = KVM_DEV_ARM_VGIC_GRP_DIST_REGS};
    int rc = sq_kvm_gic_finish(vm, false, err);

    if (rc)
        return rc;
    dist(&a, &copy);
    return a.rc;
}

/* --- what a vCPU has ------------------------------------------------- */

/* ICC_*_EL1. The active priorities above the first exist only where there
 * are more than five bits of priority. */
static void icc(struct access *a, unsigned op0, unsigned op1, unsigned crn,
                unsigned crm, unsigned op2, uint64_t *value)
{
    attr(a, SQUIB_AARCH64_SYSREG(op0, op1, crn, crm, op2), value);
}

static void active_priorities(struct access *a, uint64_t ctlr, unsigned crm,
                              unsigned op2, uint64_t ap[4])
{
    unsigned bits = (unsigned)(ctlr >> 8 & 7) + 1;
    unsigned n = bits > 6 ? 4 : bits > 5 ? 2 : 1;

    for (unsigned i = 0; i < n; i++)
        icc(a, 3, 0, 12, crm, op2 + i, &ap[i]);
}

static void cpu_interface(struct access *a, struct squib_aarch64_gic_cpu *g)
{
    uint64_t ctlr = 0;

    a->group = KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS;
    icc(a, 3, 0, 12, 12, 5, &g->sre);
    icc(a, 3, 0, 12, 12, 4, &g->ctlr);
    icc(a, 3, 0, 4, 6, 0, &g->pmr);
    icc(a, 3, 0, 12, 8, 3, &g->bpr0);
    icc(a, 3, 0, 12, 12, 3, &g->bpr1);
    ctlr = g->ctlr;
    active_priorities(a, ctlr, 8, 4, g->ap0r);
    active_priorities(a, ctlr, 9, 0, g->ap1r);
    icc(a, 3, 0, 12, 12, 6, &g->igrpen0);
    icc(a, 3, 0, 12, 12, 7, &g->igrpen1);
}

static void gic_cpu(struct access *a, struct squib_aarch64_gic_cpu *g)
{
    a->group = KVM_DEV_ARM_VGIC_GRP_REDIST_REGS;
    reg(a, GICR_CTLR, &g->gicr_ctlr);
    reg(a, GICR_WAKER, &g->gicr_waker);
    reg(a, SGI_BASE + IGROUPR, &g->igroupr0);
    regs(a, SGI_BASE + ICFGR, g->icfgr, a->set ? 1 : 0, 2);
    priorities(a, SGI_BASE + IPRIORITYR, g->ipriorityr, 0, 32);
    levels(a, 0, &g->line_level);
    reg(a, SGI_BASE + ISPENDR, &g->ispendr0);
    set_clear(a, SGI_BASE + ISACTIVER, SGI_BASE + ICACTIVER, &g->isactiver0,
              0, 1);
    set_clear(a, SGI_BASE + ISENABLER, SGI_BASE + ICENABLER, &g->isenabler0,
              0, 1);
    cpu_interface(a, g);
}

static struct access access_of(struct sq_kvm_vcpu *v, bool set,
                               struct squib_error *err)
{
    return (struct access){
        .vm = SQ_CONTAINER_OF(v->base.vm, struct sq_kvm_vm, base),
        .cpu = squib_aarch64_mpidr(v->base.index) << 32,
        .set = set,
        .err = err,
    };
}

int sq_kvm_get_gic_cpu(struct sq_kvm_vcpu *v,
                       struct squib_aarch64_gic_cpu *gic,
                       struct squib_error *err)
{
    struct access a = access_of(v, false, err);
    int rc = sq_kvm_gic_finish(a.vm, false, err);

    if (rc)
        return rc;
    memset(gic, 0, sizeof(*gic));
    gic_cpu(&a, gic);
    return a.rc;
}

int sq_kvm_set_gic_cpu(struct sq_kvm_vcpu *v,
                       const struct squib_aarch64_gic_cpu *gic,
                       struct squib_error *err)
{
    struct squib_aarch64_gic_cpu copy = *gic;
    struct access a = access_of(v, true, err);
    int rc = sq_kvm_gic_finish(a.vm, false, err);

    if (rc)
        return rc;
    gic_cpu(&a, &copy);
    return a.rc;
}

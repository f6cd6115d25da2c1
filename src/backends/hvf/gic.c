/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The framework's GICv3: creation, lines and messages, and its state as the
 * architecture names it (GICv3 specification IHI 0069, chapter 12).
 *
 * The framework does not tell the level of its inputs. Those of SPIs are
 * remembered here; those of PPIs are the timers', which the framework works
 * out by itself from the timers' state.
 */
#define _GNU_SOURCE
#include "backends/hvf/hvf.h"

#include <string.h>

#include "base/err.h"
#include "base/util.h"

/* Offsets in the distributor; in a redistributor 64 KiB more. */
enum {
    GICD_CTLR = 0x0000,
    GICD_IGROUPR = 0x0080,
    GICD_ISENABLER = 0x0100,
    GICD_ICENABLER = 0x0180,
    GICD_ISPENDR = 0x0200,
    GICD_ICPENDR = 0x0280,
    GICD_ISACTIVER = 0x0300,
    GICD_ICACTIVER = 0x0380,
    GICD_IPRIORITYR = 0x0400,
    GICD_ICFGR = 0x0c00,
    GICD_IROUTER = 0x6000,
    GICR_SGI = 0x10000,
};

#define ICC(crn, crm, op2) SQUIB_AARCH64_SYSREG(3, 0, crn, crm, op2)

int sq_hvf_gic_create(const struct squib_vm_config *config,
                      struct squib_error *err)
{
    const struct squib_aarch64_gic *g = &config->gic;
    uint32_t first = 0, count = 0;
    size_t redist_len = 0;
    hv_gic_config_t gic;
    hv_return_t rc;

    rc = hv_gic_get_spi_interrupt_range(&first, &count);
    if (rc == HV_SUCCESS)
        rc = hv_gic_get_redistributor_size(&redist_len);
    if (rc != HV_SUCCESS)
        return sq_hvf_error(err, "hv_gic", rc);
    if (first > SQUIB_AARCH64_SPI(0) ||
        first + count < SQUIB_AARCH64_SPI(g->spis))
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "%u shared interrupts "
                          "asked for; Hypervisor.framework has %u from %u "
                          "on", g->spis, count, first);
    if (redist_len > g->redist_len / config->vcpus)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "%u redistributors of %zu "
                          "bytes do not fit into %#llx bytes"
                          "\n  do: give the VM fewer vCPUs",
                          config->vcpus, redist_len,
                          (unsigned long long)g->redist_len);
    gic = hv_gic_config_create();
    if (!gic)
        return sq_err_set(err, SQUIB_E_NOMEM, "hv_gic_config_create: no "
                          "memory");
    rc = hv_gic_config_set_distributor_base(gic, g->dist_gpa);
    if (rc == HV_SUCCESS)
        rc = hv_gic_config_set_redistributor_base(gic, g->redist_gpa);
    if (rc == HV_SUCCESS && g->msi_spis)
        rc = hv_gic_config_set_msi_region_base(gic, g->msi_gpa);
    if (rc == HV_SUCCESS && g->msi_spis)
        rc = hv_gic_config_set_msi_interrupt_range(
            gic, SQUIB_AARCH64_SPI(g->spis - g->msi_spis), g->msi_spis);
    if (rc == HV_SUCCESS)
        rc = hv_gic_create(gic);
    os_release(gic);
    return rc == HV_SUCCESS ? 0 : sq_hvf_error(err, "hv_gic_create", rc);
}

/* --- interrupts ------------------------------------------------------ */

static hv_return_t set_line(struct sq_hvf_vm *vm, uint32_t intid, bool level)
{
    uint32_t bit = 1u << intid % 32;

    if (level)
        atomic_fetch_or(&vm->line[intid / 32], bit);
    else
        atomic_fetch_and(&vm->line[intid / 32], ~bit);
    return hv_gic_set_spi(intid, level);
}

int sq_hvf_vm_irq(struct squib_vm *base, uint32_t gsi, bool level,
                  struct squib_error *err)
{
    struct sq_hvf_vm *vm = sq_hvf_vm_of(base);
    hv_return_t rc = set_line(vm, SQUIB_AARCH64_SPI(gsi), level);

    if (rc != HV_SUCCESS)
        return sq_hvf_error(err, "hv_gic_set_spi", rc);
    if (level)
        sq_hvf_vcpus_wake(vm);
    return 0;
}

int sq_hvf_vm_msi(struct squib_vm *base, uint64_t gpa, uint32_t data,
                  struct squib_error *err)
{
    struct sq_hvf_vm *vm = sq_hvf_vm_of(base);
    uint32_t first = SQUIB_AARCH64_SPI(vm->gic.spis - vm->gic.msi_spis);
    hv_return_t rc;

    if (!vm->gic.msi_spis ||
        gpa != vm->gic.msi_gpa + SQUIB_AARCH64_MSI_SETSPI)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%#llx is not an interrupt message address",
                          (unsigned long long)gpa);
    /* The guest chose the number: a wrong one is dropped as on a bus. */
    if (data < first || data - first >= vm->gic.msi_spis)
        return 0;
    rc = hv_gic_send_msi(gpa, data);
    if (rc != HV_SUCCESS)
        return sq_hvf_error(err, "hv_gic_send_msi", rc);
    sq_hvf_vcpus_wake(vm);
    return 0;
}

/* --- state ----------------------------------------------------------- */

/* One frame's registers, read and written one after the other; the first
 * failure is kept. */
struct frame {
    const struct sq_hvf_vcpu *v; /* NULL: the distributor */
    hv_return_t rc;
};

static uint64_t frame_get(struct frame *f, uint32_t reg)
{
    uint64_t value = 0;
    hv_return_t rc =
        f->v ? hv_gic_get_redistributor_reg(f->v->id, GICR_SGI + reg, &value)
             : hv_gic_get_distributor_reg(reg, &value);

    if (rc != HV_SUCCESS && f->rc == HV_SUCCESS)
        f->rc = rc;
    return value;
}

static void frame_set(struct frame *f, uint32_t reg, uint64_t value)
{
    hv_return_t rc =
        f->v ? hv_gic_set_redistributor_reg(f->v->id, GICR_SGI + reg, value)
             : hv_gic_set_distributor_reg(reg, value);

    if (rc != HV_SUCCESS && f->rc == HV_SUCCESS)
        f->rc = rc;
}

/* Registers in pairs where writing ones sets or clears. */
static void frame_replace(struct frame *f, uint32_t set_reg,
                          uint32_t clear_reg, uint32_t value)
{
    frame_set(f, clear_reg, UINT32_MAX);
    frame_set(f, set_reg, value);
}

static int frame_result(const struct frame *f, const char *what,
                        struct squib_error *err)
{
    return f->rc == HV_SUCCESS ? 0 : sq_hvf_error(err, what, f->rc);
}

/* The interrupts of word n (32 of them) whose input counts by its level. */
static uint32_t level_triggered(const uint32_t icfgr[2])
{
    uint32_t level = 0;

    for (unsigned i = 0; i < 32; i++)
        if (!(icfgr[i / 16] >> (i % 16 * 2 + 1) & 1))
            level |= 1u << i;
    return level;
}

int sq_hvf_vm_get_gic(struct squib_vm *base,
                      struct squib_aarch64_gic_dist *gic,
                      struct squib_error *err)
{
    struct sq_hvf_vm *vm = sq_hvf_vm_of(base);
    struct frame f = {0};
    uint32_t words = SQUIB_AARCH64_SPI(vm->gic.spis) / 32;

    memset(gic, 0, sizeof(*gic));
    gic->spis = vm->gic.spis;
    gic->ctlr = (uint32_t)frame_get(&f, GICD_CTLR);
    for (uint32_t n = 1; n < words; n++) {
        gic->igroupr[n] = (uint32_t)frame_get(&f, GICD_IGROUPR + 4 * n);
        gic->isenabler[n] = (uint32_t)frame_get(&f, GICD_ISENABLER + 4 * n);
        gic->isactiver[n] = (uint32_t)frame_get(&f, GICD_ISACTIVER + 4 * n);
        gic->icfgr[2 * n] = (uint32_t)frame_get(&f, GICD_ICFGR + 8 * n);
        gic->icfgr[2 * n + 1] =
            (uint32_t)frame_get(&f, GICD_ICFGR + 8 * n + 4);
        gic->line_level[n] = atomic_load(&vm->line[n]);
        gic->ispendr[n] = (uint32_t)frame_get(&f, GICD_ISPENDR + 4 * n) &
                          ~(gic->line_level[n] &
                            level_triggered(&gic->icfgr[2 * n]));
    }
    for (uint32_t n = 32; n < 32 * words; n += 4)
        sq_st32(&gic->ipriorityr[n],
                (uint32_t)frame_get(&f, GICD_IPRIORITYR + n));
    for (uint32_t n = 32; n < 32 * words; n++)
        gic->irouter[n] = frame_get(&f, GICD_IROUTER + 8 * n);
    return frame_result(&f, "hv_gic_get_distributor_reg", err);
}

int sq_hvf_vm_set_gic(struct squib_vm *base,
                      const struct squib_aarch64_gic_dist *gic,
                      struct squib_error *err)
{
    struct sq_hvf_vm *vm = sq_hvf_vm_of(base);
    struct frame f = {0};
    uint32_t words = SQUIB_AARCH64_SPI(vm->gic.spis) / 32;
    hv_return_t rc = HV_SUCCESS;

    /* Routes and priorities can be changed while all is off. */
    frame_set(&f, GICD_CTLR, 0);
    for (uint32_t n = 32; n < 32 * words; n++)
        frame_set(&f, GICD_IROUTER + 8 * n, gic->irouter[n]);
    for (uint32_t n = 32; n < 32 * words; n += 4)
        frame_set(&f, GICD_IPRIORITYR + n, sq_ld32(&gic->ipriorityr[n]));
    for (uint32_t n = 1; n < words; n++) {
        frame_set(&f, GICD_ICFGR + 8 * n, gic->icfgr[2 * n]);
        frame_set(&f, GICD_ICFGR + 8 * n + 4, gic->icfgr[2 * n + 1]);
        frame_set(&f, GICD_IGROUPR + 4 * n, gic->igroupr[n]);
        frame_replace(&f, GICD_ISENABLER + 4 * n, GICD_ICENABLER + 4 * n,
                      gic->isenabler[n]);
    }
    /* The levels first: a rising edge makes pending what was not. */
    for (uint32_t i = 32; i < 32 * words && rc == HV_SUCCESS; i++)
        if (i < SQUIB_AARCH64_SPI(vm->gic.spis - vm->gic.msi_spis))
            rc = set_line(vm, i, gic->line_level[i / 32] >> i % 32 & 1);
    if (rc != HV_SUCCESS)
        return sq_hvf_error(err, "hv_gic_set_spi", rc);
    for (uint32_t n = 1; n < words; n++) {
        frame_replace(&f, GICD_ISPENDR + 4 * n, GICD_ICPENDR + 4 * n,
                      gic->ispendr[n]);
        frame_replace(&f, GICD_ISACTIVER + 4 * n, GICD_ICACTIVER + 4 * n,
                      gic->isactiver[n]);
    }
    frame_set(&f, GICD_CTLR, gic->ctlr);
    return frame_result(&f, "hv_gic_set_distributor_reg", err);
}

/* The CPU interface, in the order of being set: SRE before all, the group
 * enables last. */
static const struct {
    hv_gic_icc_reg_t id;
    uint16_t at; /* in struct squib_aarch64_gic_cpu */
    bool optional; /* exists with more than 5 bits of priority */
} icc[] = {
#define AT(field) offsetof(struct squib_aarch64_gic_cpu, field)
    {ICC(12, 12, 5), AT(sre), false},
    {ICC(12, 12, 4), AT(ctlr), false},
    {ICC(4, 6, 0), AT(pmr), false},
    {ICC(12, 8, 3), AT(bpr0), false},
    {ICC(12, 12, 3), AT(bpr1), false},
    {ICC(12, 8, 4), AT(ap0r[0]), false},
    {ICC(12, 8, 5), AT(ap0r[1]), true},
    {ICC(12, 8, 6), AT(ap0r[2]), true},
    {ICC(12, 8, 7), AT(ap0r[3]), true},
    {ICC(12, 9, 0), AT(ap1r[0]), false},
    {ICC(12, 9, 1), AT(ap1r[1]), true},
    {ICC(12, 9, 2), AT(ap1r[2]), true},
    {ICC(12, 9, 3), AT(ap1r[3]), true},
    {ICC(12, 12, 6), AT(igrpen0), false},
    {ICC(12, 12, 7), AT(igrpen1), false},
#undef AT
};

int sq_hvf_gic_get_cpu(struct sq_hvf_vcpu *v,
                       struct squib_aarch64_gic_cpu *gic,
                       struct squib_error *err)
{
    struct frame f = {.v = v};

    memset(gic, 0, sizeof(*gic));
    gic->igroupr0 = (uint32_t)frame_get(&f, GICD_IGROUPR);
    gic->isenabler0 = (uint32_t)frame_get(&f, GICD_ISENABLER);
    gic->isactiver0 = (uint32_t)frame_get(&f, GICD_ISACTIVER);
    gic->icfgr[0] = (uint32_t)frame_get(&f, GICD_ICFGR);
    gic->icfgr[1] = (uint32_t)frame_get(&f, GICD_ICFGR + 4);
    /* The timers' inputs come from their own state. */
    gic->ispendr0 = (uint32_t)frame_get(&f, GICD_ISPENDR) &
                    ~(level_triggered(gic->icfgr) & 0xffff0000u);
    for (uint32_t n = 0; n < 32; n += 4)
        sq_st32(&gic->ipriorityr[n],
                (uint32_t)frame_get(&f, GICD_IPRIORITYR + n));
    for (size_t i = 0; i < SQ_ARRAY_LEN(icc); i++) {
        uint64_t value = 0;
        hv_return_t rc = hv_gic_get_icc_reg(v->id, icc[i].id, &value);

        if (rc != HV_SUCCESS && !icc[i].optional)
            return sq_hvf_error(err, "hv_gic_get_icc_reg", rc);
        memcpy((char *)gic + icc[i].at, &value, sizeof(value));
    }
    return frame_result(&f, "hv_gic_get_redistributor_reg", err);
}

int sq_hvf_gic_set_cpu(struct sq_hvf_vcpu *v,
                       const struct squib_aarch64_gic_cpu *gic,
                       struct squib_error *err)
{
    struct frame f = {.v = v};

    for (uint32_t n = 0; n < 32; n += 4)
        frame_set(&f, GICD_IPRIORITYR + n, sq_ld32(&gic->ipriorityr[n]));
    frame_set(&f, GICD_ICFGR + 4, gic->icfgr[1]); /* SGIs are edges */
    frame_set(&f, GICD_IGROUPR, gic->igroupr0);
    frame_replace(&f, GICD_ISENABLER, GICD_ICENABLER, gic->isenabler0);
    frame_replace(&f, GICD_ISPENDR, GICD_ICPENDR, gic->ispendr0);
    frame_replace(&f, GICD_ISACTIVER, GICD_ICACTIVER, gic->isactiver0);
    for (size_t i = 0; i < SQ_ARRAY_LEN(icc); i++) {
        hv_return_t rc;
        uint64_t value;

        memcpy(&value, (const char *)gic + icc[i].at, sizeof(value));
        rc = hv_gic_set_icc_reg(v->id, icc[i].id, value);
        if (rc != HV_SUCCESS && (!icc[i].optional || value))
            return sq_hvf_error(err, "hv_gic_set_icc_reg", rc);
    }
    return frame_result(&f, "hv_gic_set_redistributor_reg", err);
}

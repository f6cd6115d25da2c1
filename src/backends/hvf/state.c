/* SPDX-License-Identifier: Apache-2.0 */
/* Architectural state, part by part. */
#define _GNU_SOURCE
#include "backends/hvf/hvf.h"

#include <string.h>

#include "base/err.h"
#include "base/util.h"

#define PSTATE_MODE 0x1fu /* M[4:0]; bit 4 is AArch32 */
#define MODE_EL0T 0u
#define MODE_EL1T 4u
#define MODE_EL1H 5u
#define TIMER_CTL_SETTABLE 3u /* ENABLE and IMASK; ISTATUS follows */

/* The exception registers of SQUIB_STATE_REGS. */
static const struct {
    hv_sys_reg_t id;
    uint16_t at;
} el1[] = {
    {SQ_HVF_SP_EL0, offsetof(struct squib_aarch64_state, sp_el0)},
    {SQ_HVF_SP_EL1, offsetof(struct squib_aarch64_state, sp_el1)},
    {SQ_HVF_ELR_EL1, offsetof(struct squib_aarch64_state, elr_el1)},
    {SQ_HVF_SPSR_EL1, offsetof(struct squib_aarch64_state, spsr_el1)},
};

static int get_regs(struct sq_hvf_vcpu *v, struct squib_aarch64_state *st,
                    struct squib_error *err)
{
    hv_return_t rc = HV_SUCCESS;

    for (uint32_t i = 0; i < 31 && rc == HV_SUCCESS; i++)
        rc = hv_vcpu_get_reg(v->id, HV_REG_X0 + i, &st->x[i]);
    if (rc == HV_SUCCESS)
        rc = hv_vcpu_get_reg(v->id, HV_REG_PC, &st->pc);
    if (rc == HV_SUCCESS)
        rc = hv_vcpu_get_reg(v->id, HV_REG_CPSR, &st->pstate);
    for (size_t i = 0; i < SQ_ARRAY_LEN(el1) && rc == HV_SUCCESS; i++) {
        uint64_t value = 0;

        rc = hv_vcpu_get_sys_reg(v->id, el1[i].id, &value);
        memcpy((char *)st + el1[i].at, &value, sizeof(value));
    }
    return rc == HV_SUCCESS ? 0 : sq_hvf_error(err, "hv_vcpu_get_reg", rc);
}

static int set_regs(struct sq_hvf_vcpu *v,
                    const struct squib_aarch64_state *st,
                    struct squib_error *err)
{
    uint64_t mode = st->pstate & PSTATE_MODE;
    hv_return_t rc;

    if (st->pstate >> 32 || (mode != MODE_EL0T && mode != MODE_EL1T &&
                             mode != MODE_EL1H))
        return sq_err_set(err, SQUIB_E_INVAL, "PSTATE %#llx is not one of "
                          "EL0 or EL1 in AArch64",
                          (unsigned long long)st->pstate);
    rc = hv_vcpu_set_reg(v->id, HV_REG_CPSR, st->pstate);
    for (uint32_t i = 0; i < 31 && rc == HV_SUCCESS; i++)
        rc = hv_vcpu_set_reg(v->id, HV_REG_X0 + i, st->x[i]);
    if (rc == HV_SUCCESS)
        rc = hv_vcpu_set_reg(v->id, HV_REG_PC, st->pc);
    for (size_t i = 0; i < SQ_ARRAY_LEN(el1) && rc == HV_SUCCESS; i++) {
        uint64_t value;

        memcpy(&value, (const char *)st + el1[i].at, sizeof(value));
        rc = hv_vcpu_set_sys_reg(v->id, el1[i].id, value);
    }
    v->pending = SQ_HVF_NOTHING;
    return rc == HV_SUCCESS ? 0 : sq_hvf_error(err, "hv_vcpu_set_reg", rc);
}

/* A register that the framework does not know is one that this CPU has not:
 * the interface has no other way to tell. */
static void get_system(struct sq_hvf_vcpu *v, struct squib_aarch64_state *st)
{
    memset(st->sysreg, 0, sizeof(st->sysreg));
    memset(st->present, 0, sizeof(st->present));
    for (unsigned i = 0; i < SQUIB_AARCH64_SYSREG_COUNT; i++) {
        uint64_t value = 0;

        if (hv_vcpu_get_sys_reg(v->id, squib_aarch64_sysreg_id(i), &value) !=
            HV_SUCCESS)
            continue;
        st->sysreg[i] = value;
        st->present[i / 64] |= 1ull << i % 64;
    }
}

static int set_system(struct sq_hvf_vcpu *v,
                      const struct squib_aarch64_state *st,
                      struct squib_error *err)
{
    for (unsigned i = 0; i < SQUIB_AARCH64_SYSREG_COUNT; i++) {
        hv_return_t rc;

        if (!(st->present[i / 64] >> i % 64 & 1))
            continue;
        rc = hv_vcpu_set_sys_reg(v->id, squib_aarch64_sysreg_id(i),
                                 st->sysreg[i]);
        if (rc == HV_BAD_ARGUMENT || rc == HV_UNSUPPORTED) {
            /* Not here: nothing is lost when there is nothing in it. */
            if (st->sysreg[i] == 0)
                continue;
            return sq_err_set(err, SQUIB_E_NOSUPPORT, "this Mac's virtual "
                              "CPUs have no %s, which the state sets",
                              squib_aarch64_sysreg_name(i));
        }
        if (rc != HV_SUCCESS)
            return sq_hvf_error(err, squib_aarch64_sysreg_name(i), rc);
    }
    return 0;
}

static int get_timer(struct sq_hvf_vcpu *v, struct squib_aarch64_state *st,
                     struct squib_error *err)
{
    hv_return_t rc =
        hv_vcpu_get_sys_reg(v->id, SQ_HVF_CNTV_CTL_EL0, &st->cntv_ctl);

    if (rc == HV_SUCCESS)
        rc = hv_vcpu_get_sys_reg(v->id, SQ_HVF_CNTV_CVAL_EL0,
                                 &st->cntv_cval);
    st->cntvct = mach_absolute_time() - atomic_load(&v->vm->vtimer_offset);
    st->cntp_ctl = st->cntp_cval = 0;
    return rc == HV_SUCCESS ? 0 : sq_hvf_error(err, "the timer", rc);
}

static int set_timer(struct sq_hvf_vcpu *v,
                     const struct squib_aarch64_state *st,
                     struct squib_error *err)
{
    hv_return_t rc;

    atomic_store(&v->vm->vtimer_offset, mach_absolute_time() - st->cntvct);
    rc = hv_vcpu_set_sys_reg(v->id, SQ_HVF_CNTV_CVAL_EL0, st->cntv_cval);
    if (rc == HV_SUCCESS)
        rc = hv_vcpu_set_sys_reg(v->id, SQ_HVF_CNTV_CTL_EL0,
                                 st->cntv_ctl & TIMER_CTL_SETTABLE);
    return rc == HV_SUCCESS ? 0 : sq_hvf_error(err, "the timer", rc);
}

static int get_fpu(struct sq_hvf_vcpu *v, struct squib_aarch64_state *st,
                   struct squib_error *err)
{
    uint64_t fpcr = 0, fpsr = 0;
    hv_return_t rc = hv_vcpu_get_reg(v->id, HV_REG_FPCR, &fpcr);

    if (rc == HV_SUCCESS)
        rc = hv_vcpu_get_reg(v->id, HV_REG_FPSR, &fpsr);
    for (uint32_t i = 0; i < 32 && rc == HV_SUCCESS; i++) {
        hv_simd_fp_uchar16_t q = {0};

        rc = hv_vcpu_get_simd_fp_reg(v->id, i, &q);
        memcpy(st->v[i], &q, sizeof(q));
    }
    st->fpcr = (uint32_t)fpcr;
    st->fpsr = (uint32_t)fpsr;
    return rc == HV_SUCCESS ? 0 : sq_hvf_error(err, "SIMD registers", rc);
}

static int set_fpu(struct sq_hvf_vcpu *v,
                   const struct squib_aarch64_state *st,
                   struct squib_error *err)
{
    hv_return_t rc = hv_vcpu_set_reg(v->id, HV_REG_FPCR, st->fpcr);

    if (rc == HV_SUCCESS)
        rc = hv_vcpu_set_reg(v->id, HV_REG_FPSR, st->fpsr);
    for (uint32_t i = 0; i < 32 && rc == HV_SUCCESS; i++) {
        hv_simd_fp_uchar16_t q;

        memcpy(&q, st->v[i], sizeof(q));
        rc = hv_vcpu_set_simd_fp_reg(v->id, i, q);
    }
    return rc == HV_SUCCESS ? 0 : sq_hvf_error(err, "SIMD registers", rc);
}

static void get_events(struct sq_hvf_vcpu *v, struct squib_aarch64_state *st)
{
    st->power = v->power;
    st->serror_pending = st->serror_has_esr = 0;
    memset(st->reserved, 0, sizeof(st->reserved));
    st->serror_esr = 0;
}

static int set_events(struct sq_hvf_vcpu *v,
                      const struct squib_aarch64_state *st,
                      struct squib_error *err)
{
    if (st->power > SQUIB_AARCH64_OFF)
        return sq_err_set(err, SQUIB_E_INVAL, "there is no power state %u",
                          st->power);
    if (st->serror_pending)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "a pending SError cannot "
                          "be given to Hypervisor.framework");
    v->power = st->power;
    return 0;
}

int sq_hvf_vcpu_get_state(struct squib_vcpu *vcpu, uint32_t parts,
                          struct squib_aarch64_state *st,
                          struct squib_error *err)
{
    struct sq_hvf_vcpu *v = sq_hvf_vcpu_of(vcpu);
    int rc = 0;

    if (parts & SQUIB_STATE_REGS)
        rc = get_regs(v, st, err);
    if (!rc && parts & SQUIB_STATE_SYSTEM)
        get_system(v, st);
    if (!rc && parts & SQUIB_STATE_TIMER)
        rc = get_timer(v, st, err);
    if (!rc && parts & SQUIB_STATE_FPU)
        rc = get_fpu(v, st, err);
    if (!rc && parts & SQUIB_STATE_GIC && v->vm->gic.spis)
        rc = sq_hvf_gic_get_cpu(v, &st->gic, err);
    if (!rc && parts & SQUIB_STATE_EVENTS)
        get_events(v, st);
    return rc;
}

int sq_hvf_vcpu_set_state(struct squib_vcpu *vcpu, uint32_t parts,
                          const struct squib_aarch64_state *st,
                          struct squib_error *err)
{
    struct sq_hvf_vcpu *v = sq_hvf_vcpu_of(vcpu);
    int rc = 0;

    if (parts & SQUIB_STATE_REGS)
        rc = set_regs(v, st, err);
    if (!rc && parts & SQUIB_STATE_SYSTEM)
        rc = set_system(v, st, err);
    if (!rc && parts & SQUIB_STATE_TIMER)
        rc = set_timer(v, st, err);
    if (!rc && parts & SQUIB_STATE_FPU)
        rc = set_fpu(v, st, err);
    if (!rc && parts & SQUIB_STATE_GIC && v->vm->gic.spis)
        rc = sq_hvf_gic_set_cpu(v, &st->gic, err);
    if (!rc && parts & SQUIB_STATE_EVENTS)
        rc = set_events(v, st, err);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DEBUG exits: single steps and breakpoint instructions.
 *
 * The framework hands debug exceptions out when told to, all kinds at once;
 * those that nobody asked for go back to the guest (inject.c). It has no
 * call for a step, so the architecture's own machine is used (DDI 0487,
 * D2.12): with MDSCR_EL1.SS set, an instruction that begins with PSTATE.SS
 * set is executed and clears it, and the next one traps in its place. An
 * instruction that the backend completes (a trapped access) counts too, so
 * PSTATE.SS is cleared for it.
 */
#define _GNU_SOURCE
#include "backends/hvf/hvf.h"

#include "base/err.h"

#define MDSCR_SS 1u
#define PSTATE_SS (1u << 21)

static hv_return_t set_pstate_ss(struct sq_hvf_vcpu *v, bool on)
{
    uint64_t cpsr = 0;
    hv_return_t rc = hv_vcpu_get_reg(v->id, HV_REG_CPSR, &cpsr);

    if (rc != HV_SUCCESS)
        return rc;
    cpsr = on ? cpsr | PSTATE_SS : cpsr & ~(uint64_t)PSTATE_SS;
    return hv_vcpu_set_reg(v->id, HV_REG_CPSR, cpsr);
}

/* Takes the guest's MDSCR_EL1.SS, or gives it back. */
static hv_return_t set_step(struct sq_hvf_vcpu *v, bool on)
{
    uint64_t mdscr = 0;
    hv_return_t rc = hv_vcpu_get_sys_reg(v->id, SQ_HVF_MDSCR_EL1, &mdscr);

    if (rc != HV_SUCCESS)
        return rc;
    if (on)
        v->guest_ss = mdscr & MDSCR_SS;
    mdscr &= ~(uint64_t)MDSCR_SS;
    if (on || v->guest_ss)
        mdscr |= MDSCR_SS;
    rc = hv_vcpu_set_sys_reg(v->id, SQ_HVF_MDSCR_EL1, mdscr);
    return rc == HV_SUCCESS && !on ? set_pstate_ss(v, false) : rc;
}

int sq_hvf_vcpu_debug(struct squib_vcpu *vcpu, uint32_t flags,
                      struct squib_error *err)
{
    struct sq_hvf_vcpu *v = sq_hvf_vcpu_of(vcpu);
    bool step = flags & SQUIB_DEBUG_STEP;
    hv_return_t rc = HV_SUCCESS;

    if (step != (bool)(v->debug & SQUIB_DEBUG_STEP))
        rc = set_step(v, step);
    if (rc == HV_SUCCESS)
        rc = hv_vcpu_set_trap_debug_exceptions(v->id, flags != 0);
    if (rc != HV_SUCCESS)
        return sq_hvf_error(err, "debugging a vCPU", rc);
    v->debug = flags;
    v->arm_step = step;
    return 0;
}

hv_return_t sq_hvf_debug_enter(struct sq_hvf_vcpu *v)
{
    if (!v->arm_step)
        return HV_SUCCESS;
    v->arm_step = false;
    return set_pstate_ss(v, true);
}

hv_return_t sq_hvf_debug_completed(struct sq_hvf_vcpu *v)
{
    return v->debug & SQUIB_DEBUG_STEP ? set_pstate_ss(v, false)
                                       : HV_SUCCESS;
}

bool sq_hvf_debug_asked(struct sq_hvf_vcpu *v, uint64_t syndrome)
{
    switch (SQ_HVF_EC(syndrome)) {
    case SQ_HVF_EC_STEP:
    case SQ_HVF_EC_STEP + 1:
        v->arm_step = v->debug & SQUIB_DEBUG_STEP;
        return v->arm_step;
    case SQ_HVF_EC_BRK:
        return v->debug & SQUIB_DEBUG_BREAK;
    default: /* breakpoints and watchpoints in the guest's registers */
        return false;
    }
}

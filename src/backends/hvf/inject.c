/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/hvf/inject.h"

#include <squib/aarch64.h>

/* PSTATE as SPSR_EL1 has it. */
#define PSTATE_NZCV 0xf0000000u
#define PSTATE_DIT (1u << 24)
#define PSTATE_PAN (1u << 22)
#define PSTATE_SSBS (1u << 12)
#define PSTATE_DAIF 0x3c0u
#define PSTATE_AARCH32 (1u << 4)
#define PSTATE_EL 0xcu /* 0: EL0 */
#define PSTATE_SPSEL 1u
#define PSTATE_EL1H 5u

#define SCTLR_SPAN (1ull << 23)  /* leave PAN alone */
#define SCTLR_DSSBS (1ull << 44)

#define EC_IABT_LOWER 0x20u
#define EC_DABT_LOWER 0x24u /* one more from the same level */
#define ESR_IL (1u << 25)
#define ISS_WNR (1u << 6)
#define FSC_EXTERNAL 0x10u

static uint64_t vector_offset(uint64_t cpsr)
{
    if ((cpsr & PSTATE_EL) == 0)
        return cpsr & PSTATE_AARCH32 ? 0x600 : 0x400;
    return cpsr & PSTATE_SPSEL ? 0x200 : 0;
}

static uint64_t abort_syndrome(const struct sq_hvf_decoded *d, bool lower)
{
    uint64_t ec = (d->fetch ? EC_IABT_LOWER : EC_DABT_LOWER) + !lower;

    return ec << 26 | ESR_IL | FSC_EXTERNAL |
           (!d->fetch && d->write ? ISS_WNR : 0);
}

/* Of a debug exception, as EL1 is told of it. */
static uint64_t debug_syndrome(uint64_t esr, bool lower)
{
    uint32_t ec = SQ_HVF_EC(esr);

    if (ec == SQ_HVF_EC_BRK || lower || ec & 1)
        return esr;
    return esr + (1u << 26);
}

bool sq_hvf_inject(const struct sq_hvf_decoded *d, struct sq_hvf_el1 *r)
{
    uint64_t old = r->cpsr;
    uint64_t pc = r->vbar + vector_offset(old);
    bool lower = (old & PSTATE_EL) == 0;

    if (d->fetch && pc == r->pc)
        return false;
    r->esr = ESR_IL; /* class 0: unknown reason */
    if (d->action != SQ_HVF_UNDEF)
        r->far = d->gva;
    if (d->action == SQ_HVF_ABORT)
        r->esr = abort_syndrome(d, lower);
    else if (d->action == SQ_HVF_OWN)
        r->esr = debug_syndrome(d->exit.debug.syndrome, lower);
    r->elr = r->pc;
    r->spsr = old;
    r->pc = pc;
    r->cpsr = (old & (PSTATE_NZCV | PSTATE_DIT | PSTATE_PAN)) |
              PSTATE_DAIF | PSTATE_EL1H;
    if (!(r->sctlr & SCTLR_SPAN))
        r->cpsr |= PSTATE_PAN;
    if (r->sctlr & SCTLR_DSSBS)
        r->cpsr |= PSTATE_SSBS;
    return true;
}

/* --- trapped registers ----------------------------------------------- */

/* Ranges by the fields of the name; op2 is free. */
static const struct {
    uint8_t op0, op1, crn, crm_first, crm_last;
    const char *what;
} quiet[] = {
    {1, 0, 7, 0, 15, "cache maintenance by set and way"},
    {1, 3, 7, 0, 15, "cache maintenance by address"},
    {2, 0, 0, 0, 15, "breakpoints, watchpoints, debug control"},
    {2, 0, 1, 0, 15, "OS lock"},
    {2, 0, 7, 0, 15, "claim tags, authentication status"},
    {3, 0, 0, 0, 7, "identification"},
    {3, 0, 9, 12, 14, "performance monitors, EL1"},
    {3, 3, 9, 12, 14, "performance monitors"},
    {3, 3, 14, 8, 15, "performance monitors, counters"},
    {3, 3, 14, 2, 2, "the physical timer, which no guest is given"},
};

#define OSLSR_EL1 SQUIB_AARCH64_SYSREG(2, 0, 1, 1, 4)
#define OSLSR_OSLM 8u /* the lock exists, and is open */
#define CNTPCT_EL0 SQUIB_AARCH64_SYSREG(3, 3, 14, 0, 1)
#define CNTPCTSS_EL0 SQUIB_AARCH64_SYSREG(3, 3, 14, 0, 5)

bool sq_hvf_sysreg_answer(const struct sq_hvf_sysreg *s, uint64_t counter,
                          uint64_t *value)
{
    unsigned op0 = s->id >> 14, op1 = s->id >> 11 & 7;
    unsigned crn = s->id >> 7 & 15, crm = s->id >> 3 & 15;

    *value = s->id == OSLSR_EL1 ? OSLSR_OSLM : 0;
    if (s->id == CNTPCT_EL0 || s->id == CNTPCTSS_EL0) {
        *value = counter;
        return s->read;
    }
    for (unsigned i = 0; i < sizeof(quiet) / sizeof(quiet[0]); i++)
        if (op0 == quiet[i].op0 && op1 == quiet[i].op1 &&
            crn == quiet[i].crn && crm >= quiet[i].crm_first &&
            crm <= quiet[i].crm_last)
            return true;
    return false;
}

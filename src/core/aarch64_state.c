/* SPDX-License-Identifier: Apache-2.0 */
/* The list of arm64 system registers, and the start state (DEN 0022, 6.4;
 * Linux Documentation/arm64/booting.rst). */
#include <squib/vcpu.h>

#include <string.h>

#include "base/util.h"

static const struct {
    uint16_t id;
    const char *name;
} sysregs[] = {
#define ROW(name, op0, op1, crn, crm, op2)                                 \
    {SQUIB_AARCH64_SYSREG(op0, op1, crn, crm, op2), #name},
    SQUIB_AARCH64_SYSREG_LIST(ROW)
#undef ROW
#define ROW(n)                                                             \
    {SQUIB_AARCH64_SYSREG(2, 0, 0, n, 4), "DBGBVR" #n "_EL1"},             \
    {SQUIB_AARCH64_SYSREG(2, 0, 0, n, 5), "DBGBCR" #n "_EL1"},             \
    {SQUIB_AARCH64_SYSREG(2, 0, 0, n, 6), "DBGWVR" #n "_EL1"},             \
    {SQUIB_AARCH64_SYSREG(2, 0, 0, n, 7), "DBGWCR" #n "_EL1"},
    SQUIB_AARCH64_DEBUG_LIST(ROW)
#undef ROW
};

_Static_assert(SQ_ARRAY_LEN(sysregs) == SQUIB_AARCH64_SYSREG_COUNT,
               "the table has a row for each register");
_Static_assert(SQUIB_AARCH64_SYSREG_COUNT <= 128,
               "`present` has a bit for each register");

/* SCTLR_EL1 with MMU, caches and alignment checks off: its RES1 bits
 * (DDI 0487, D19.2.118 of an ARMv8.0 processor). */
#define SCTLR_RES1 0x30d00800u

uint64_t squib_aarch64_mpidr(uint32_t index)
{
    return (index & 0xfu) | (uint64_t)(index >> 4) << 8;
}

uint16_t squib_aarch64_sysreg_id(unsigned i)
{
    return i < SQ_ARRAY_LEN(sysregs) ? sysregs[i].id : 0;
}

const char *squib_aarch64_sysreg_name(unsigned i)
{
    return i < SQ_ARRAY_LEN(sysregs) ? sysregs[i].name : "?";
}

void squib_aarch64_el1(struct squib_aarch64_state *st, uint64_t pc,
                       uint64_t x0)
{
    memset(st->x, 0, sizeof(st->x));
    st->x[0] = x0;
    st->pc = pc;
    st->pstate = SQUIB_AARCH64_PSTATE_EL1H;
    st->sp_el0 = st->sp_el1 = st->elr_el1 = st->spsr_el1 = 0;
    memset(st->sysreg, 0, sizeof(st->sysreg));
    memset(st->present, 0, sizeof(st->present));
    st->sysreg[SQUIB_AARCH64_SCTLR_EL1] = SCTLR_RES1;
    st->present[SQUIB_AARCH64_SCTLR_EL1 / 64] |=
        1ull << SQUIB_AARCH64_SCTLR_EL1 % 64;
}

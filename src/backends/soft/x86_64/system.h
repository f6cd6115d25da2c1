/* SPDX-License-Identifier: Apache-2.0 */
/* What instructions of system software have in common. */
#ifndef SQ_SOFT_X86_SYSTEM_H
#define SQ_SOFT_X86_SYSTEM_H

#include "backends/soft/x86_64/ops.h"

static inline void sq_need_cpl0(struct sq_x86_cpu *c,
                                const struct sq_x86_insn *i)
{
    if (c->cpl != 0)
        sq_x86_gp(c, i, 0);
}

/* Ends a block at the next instruction. */
static inline void sq_end_block(struct sq_x86_cpu *c,
                                const struct sq_x86_insn *i)
{
    c->gpr[SQ_RIP] = sq_next_rip(c, i);
}

/* What SMSW, SLDT and STR store: 16 bits to memory, but to a register as
 * many as the operand has. */
static inline void sq_store16(struct sq_x86_cpu *c,
                              const struct sq_x86_insn *i, uint64_t v)
{
    ST(16, sq_ea(c, i, 2, ACCESS_W), v);
}

static inline void sq_write_by_size(struct sq_x86_cpu *c,
                                    const struct sq_x86_insn *i, uint64_t v)
{
    if (i->osz == 1)
        WR(16, i->rm, v);
    else if (i->osz == 2)
        WR(32, i->rm, v);
    else
        WR(64, i->rm, v);
}

#endif

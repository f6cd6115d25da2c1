/* SPDX-License-Identifier: Apache-2.0 */
/* MMX, and what SSE to SSSE3 added to it. */
#include "backends/soft/x86_64/sse_lanes.h"

void sq_mmx_refuse(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    if (c->cr0 & CR0_EM)
        sq_x86_ud(c, i);
    sq_x86_raise(c, i, c->cr0 & CR0_TS ? EXC_NM : EXC_MF, NO_ERROR_CODE);
}

static inline sq_vec mm(const struct sq_x86_cpu *c, unsigned n)
{
    return (sq_vec){sq_mmx_get(c, n), 0};
}

/* mm = expr(a, b); the memory source has `bits`. */
#define MMX_OP(name, bits, expr)                                           \
    OP(mmx_##name##_r)                                                     \
    {                                                                      \
        sq_mmx_check(c, i);                                                \
        {                                                                  \
            sq_vec a = mm(c, i->reg), b = mm(c, i->rm);                    \
                                                                           \
            (void)a;                                                       \
            sq_mmx_put(c, i->reg, (expr)[0]);                              \
        }                                                                  \
        NEXT;                                                              \
    }                                                                      \
    OP(mmx_##name##_m)                                                     \
    {                                                                      \
        sq_mmx_check(c, i);                                                \
        {                                                                  \
            sq_vec b = {sq_sse_load##bits(c, i), 0}, a = mm(c, i->reg);    \
                                                                           \
            (void)a;                                                       \
            sq_mmx_put(c, i->reg, (expr)[0]);                              \
        }                                                                  \
        NEXT;                                                              \
    }                                                                      \
    FAM1(mmx_##name, mmx_##name##_r, mmx_##name##_m)

#define LANE_FAMILY(name) MMX_OP(name, 64, lane_##name(a, b, 8))
#define LANE_FAMILY_LOW(name) MMX_OP(name, 32, lane_##name(a, b, 8))
LANE_OPS(LANE_FAMILY)
LANE_SHIFTS(LANE_FAMILY)
LANE_OPS_LOW(LANE_FAMILY_LOW)

MMX_OP(palignr, 64, lane_palignr(a, b, (unsigned)i->imm, 8))

MMX_OP(pshufw, 64, ((sq_vec){lane_words(b[0], (unsigned)i->imm), 0}))

/* Shifts by an immediate: of rm, in place. */
#define SHIFT_IMM(name)                                                    \
    OP(mmx_##name##_I_r)                                                   \
    {                                                                      \
        sq_mmx_check(c, i);                                                \
        sq_mmx_put(c, i->rm, lane_##name(mm(c, i->rm),                     \
                                         (sq_vec){i->imm, 0}, 8)[0]);      \
        NEXT;                                                              \
    }                                                                      \
    FAM1(mmx_##name##_I, mmx_##name##_I_r, NULL)
LANE_SHIFTS(SHIFT_IMM)

/* --- moves ----------------------------------------------------------- */

OP(mmx_movq_load_r)
{
    sq_mmx_check(c, i);
    sq_mmx_put(c, i->reg, sq_mmx_get(c, i->rm));
    NEXT;
}

OP(mmx_movq_load_m)
{
    sq_mmx_check(c, i);
    sq_mmx_put(c, i->reg, sq_sse_load64(c, i));
    NEXT;
}

OP(mmx_movq_store_r)
{
    sq_mmx_check(c, i);
    sq_mmx_put(c, i->rm, sq_mmx_get(c, i->reg));
    NEXT;
}

OP(mmx_movq_store_m)
{
    sq_mmx_check(c, i);
    sq_sse_store64(c, i, sq_mmx_get(c, i->reg));
    sq_mmx_enter(c);
    NEXT;
}

OP(mmx_movd_load_r32)
{
    sq_mmx_check(c, i);
    sq_mmx_put(c, i->reg, RD(32, i->rm));
    NEXT;
}

OP(mmx_movd_load_r64)
{
    sq_mmx_check(c, i);
    sq_mmx_put(c, i->reg, RD(64, i->rm));
    NEXT;
}

OP(mmx_movd_load_m32)
{
    sq_mmx_check(c, i);
    sq_mmx_put(c, i->reg, sq_sse_load32(c, i));
    NEXT;
}

OP(mmx_movd_store_r32)
{
    sq_mmx_check(c, i);
    sq_mmx_enter(c);
    WR(32, i->rm, sq_mmx_get(c, i->reg));
    NEXT;
}

OP(mmx_movd_store_r64)
{
    sq_mmx_check(c, i);
    sq_mmx_enter(c);
    WR(64, i->rm, sq_mmx_get(c, i->reg));
    NEXT;
}

OP(mmx_movd_store_m32)
{
    sq_mmx_check(c, i);
    sq_sse_store32(c, i, (uint32_t)sq_mmx_get(c, i->reg));
    sq_mmx_enter(c);
    NEXT;
}

FAM1(mmx_movq_load, mmx_movq_load_r, mmx_movq_load_m)
FAM1(mmx_movq_store, mmx_movq_store_r, mmx_movq_store_m)
FAM1(mmx_movntq, NULL, mmx_movq_store_m)
FAMY(mmx_movd_load, mmx_movd_load_r32, mmx_movd_load_r64, mmx_movd_load_m32,
     mmx_movq_load_m)
FAMY(mmx_movd_store, mmx_movd_store_r32, mmx_movd_store_r64,
     mmx_movd_store_m32, mmx_movq_store_m)

OP(movq2dq_r)
{
    sq_sse_check(c, i);
    sq_mmx_check(c, i);
    sq_mmx_enter(c);
    sq_xmm_put(c, i->reg, mm(c, i->rm));
    NEXT;
}

OP(movdq2q_r)
{
    sq_sse_check(c, i);
    sq_mmx_check(c, i);
    sq_mmx_put(c, i->reg, c->ymm[i->rm].q[0]);
    NEXT;
}

FAM1(movq2dq, movq2dq_r, NULL)
FAM1(movdq2q, movdq2q_r, NULL)

OP(mmx_pmovmskb_r)
{
    sq_mmx_check(c, i);
    sq_mmx_enter(c);
    WR(32, i->reg, lane_pmovmskb(mm(c, i->rm), 8));
    NEXT;
}

OP(maskmovq_r)
{
    sq_mmx_check(c, i);
    {
        uint64_t v = sq_mmx_get(c, i->reg), mask = sq_mmx_get(c, i->rm);

        sq_sse_store_masked(c, i, (const uint8_t *)&v,
                            (const uint8_t *)&mask, 8);
    }
    sq_mmx_enter(c);
    NEXT;
}

OP(mmx_pextrw_r)
{
    sq_mmx_check(c, i);
    sq_mmx_enter(c);
    WR(32, i->reg, sq_mmx_get(c, i->rm) >> (i->imm & 3) * 16 & 0xffff);
    NEXT;
}

static inline void pinsrw(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                          uint16_t v)
{
    unsigned at = (i->imm & 3) * 16;
    uint64_t old = sq_mmx_get(c, i->reg) & ~((uint64_t)0xffff << at);

    sq_mmx_put(c, i->reg, old | (uint64_t)v << at);
}

OP(mmx_pinsrw_r)
{
    sq_mmx_check(c, i);
    pinsrw(c, i, RD(16, i->rm));
    NEXT;
}

OP(mmx_pinsrw_m)
{
    sq_mmx_check(c, i);
    pinsrw(c, i, sq_sse_load16(c, i));
    NEXT;
}

FAM1(mmx_pmovmskb, mmx_pmovmskb_r, NULL)
FAM1(maskmovq, maskmovq_r, NULL)
FAM1(mmx_pextrw, mmx_pextrw_r, NULL)
FAM1(mmx_pinsrw, mmx_pinsrw_r, mmx_pinsrw_m)

OP(emms)
{
    sq_mmx_check(c, i);
    c->x87.top = 0;
    c->x87.empty = 0xff;
    NEXT;
}

FAM1(emms, emms, NULL)

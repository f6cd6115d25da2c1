/* SPDX-License-Identifier: Apache-2.0 */
/* Integer and logical operations on XMM registers; shuffles of any type. */
#include "backends/soft/x86_64/sse_lanes.h"

/* --- shared with MMX ------------------------------------------------- */

#define LANE_FAMILY(name) SSE_OP(name, lane_##name(a, b, 16))
LANE_OPS(LANE_FAMILY)
LANE_OPS_LOW(LANE_FAMILY)
LANE_FAMILY(punpcklqdq)
LANE_FAMILY(punpckhqdq)
LANE_FAMILY(packusdw)

SSE_OP(palignr, lane_palignr(a, b, (unsigned)i->imm, 16))

OP(pmovmskb_r)
{
    sq_sse_check(c, i);
    WR(32, i->reg, lane_pmovmskb(sq_xmm_get(c, i->rm), 16));
    NEXT;
}
FAM1(pmovmskb, pmovmskb_r, NULL)

/* Shifts by an immediate: of rm, in place. */
#define SHIFT_IMM(name)                                                    \
    OP(name##_I_r)                                                         \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        sq_xmm_put(c, i->rm, lane_##name(sq_xmm_get(c, i->rm),             \
                                         (sq_vec){i->imm, 0}, 16));        \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name##_I, name##_I_r, NULL)
LANE_SHIFTS(SHIFT_IMM)

/* By bytes. */
static inline sq_vec bytes_right(sq_vec v, uint64_t n)
{
    if (n > 15)
        return (sq_vec){0, 0};
    return lane_from_wide(lane_wide(v) >> n * 8);
}

static inline sq_vec bytes_left(sq_vec v, uint64_t n)
{
    if (n > 15)
        return (sq_vec){0, 0};
    return lane_from_wide(lane_wide(v) << n * 8);
}

OP(psrldq_r)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->rm, bytes_right(sq_xmm_get(c, i->rm), i->imm));
    NEXT;
}

OP(pslldq_r)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->rm, bytes_left(sq_xmm_get(c, i->rm), i->imm));
    NEXT;
}

FAM1(psrldq, psrldq_r, NULL)
FAM1(pslldq, pslldq_r, NULL)

/* --- XMM only, one lane at a time ------------------------------------ */

#define EXPR_FAMILY(name, type, expr)                                      \
    LANE_EXPR(name, type, expr)                                            \
    LANE_FAMILY(name)
EXPR_FAMILY(pcmpeqq, sq_vec, x == y)
EXPR_FAMILY(pcmpgtq, sq_v2s64, x > y)
EXPR_FAMILY(pmulld, sq_v4u32, x * y)
EXPR_FAMILY(pminsb, sq_v16s8, LANE_PICK(sq_v16s8, x < y, x, y))
EXPR_FAMILY(pmaxsb, sq_v16s8, LANE_PICK(sq_v16s8, x > y, x, y))
EXPR_FAMILY(pminuw, sq_v8u16, LANE_PICK(sq_v8u16, x < y, x, y))
EXPR_FAMILY(pmaxuw, sq_v8u16, LANE_PICK(sq_v8u16, x > y, x, y))
EXPR_FAMILY(pminud, sq_v4u32, LANE_PICK(sq_v4u32, x < y, x, y))
EXPR_FAMILY(pmaxud, sq_v4u32, LANE_PICK(sq_v4u32, x > y, x, y))
EXPR_FAMILY(pminsd, sq_v4s32, LANE_PICK(sq_v4s32, x < y, x, y))
EXPR_FAMILY(pmaxsd, sq_v4s32, LANE_PICK(sq_v4s32, x > y, x, y))

LANE_LOOP(pmuldq, 2,
          r.sq[k] = (int64_t)x.sd[2 * k] * y.sd[2 * k])
LANE_FAMILY(pmuldq)

/* Sign or zero extension of the low lanes; memory has just those. */
#define EXTEND(name, n, from, to, bits)                                    \
    static inline sq_vec name(sq_vec v)                                    \
    {                                                                      \
        union sq_lanes x = sq_lanes(v), r;                                 \
                                                                           \
        for (unsigned k = 0; k < n; k++)                                   \
            r.to[k] = x.from[k];                                           \
        return r.v;                                                        \
    }                                                                      \
    OP(name##_r)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        sq_xmm_put(c, i->reg, name(sq_xmm_get(c, i->rm)));                 \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        sq_xmm_put(c, i->reg, name((sq_vec){sq_sse_load##bits(c, i), 0})); \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name, name##_r, name##_m)
EXTEND(pmovsxbw, 8, sb, sw, 64)
EXTEND(pmovsxbd, 4, sb, sd, 32)
EXTEND(pmovsxbq, 2, sb, sq, 16)
EXTEND(pmovsxwd, 4, sw, sd, 64)
EXTEND(pmovsxwq, 2, sw, sq, 32)
EXTEND(pmovsxdq, 2, sd, sq, 64)
EXTEND(pmovzxbw, 8, b, w, 64)
EXTEND(pmovzxbd, 4, b, d, 32)
EXTEND(pmovzxbq, 2, b, q, 16)
EXTEND(pmovzxwd, 4, w, d, 64)
EXTEND(pmovzxwq, 2, w, q, 32)
EXTEND(pmovzxdq, 2, d, q, 64)

/* --- shuffles -------------------------------------------------------- */

static inline sq_vec shuffle_d(sq_vec a, sq_vec b, unsigned imm)
{
    union sq_lanes x = sq_lanes(a), y = sq_lanes(b);

    return (sq_vec)(sq_v4u32){x.d[imm & 3], x.d[imm >> 2 & 3],
                              y.d[imm >> 4 & 3], y.d[imm >> 6 & 3]};
}

SSE_OP(pshufd, shuffle_d(b, b, (unsigned)i->imm))
SSE_OP(shufps, shuffle_d(a, b, (unsigned)i->imm))
SSE_OP(shufpd, ((sq_vec){a[i->imm & 1], b[i->imm >> 1 & 1]}))
SSE_OP(pshuflw, ((sq_vec){lane_words(b[0], (unsigned)i->imm), b[1]}))
SSE_OP(pshufhw, ((sq_vec){b[0], lane_words(b[1], (unsigned)i->imm)}))

/* --- blends: b where the mask has ones ------------------------------- */

static inline sq_vec blend_w(sq_vec a, sq_vec b, unsigned imm)
{
    sq_v8u16 bit = {1, 2, 4, 8, 16, 32, 64, 128};
    sq_v8u16 n = {0};
    sq_vec m = (sq_vec)(((n + (uint16_t)imm) & bit) != 0);

    return LANE_PICK(sq_vec, m, b, a);
}

static inline sq_vec blend_d(sq_vec a, sq_vec b, unsigned imm)
{
    sq_v4u32 bit = {1, 2, 4, 8};
    sq_v4u32 n = {0};
    sq_vec m = (sq_vec)(((n + imm) & bit) != 0);

    return LANE_PICK(sq_vec, m, b, a);
}

SSE_OP(pblendw, blend_w(a, b, (unsigned)i->imm))
SSE_OP(blendps, blend_d(a, b, (unsigned)i->imm))
SSE_OP(blendpd, ((sq_vec){i->imm & 1 ? b[0] : a[0],
                          i->imm & 2 ? b[1] : a[1]}))

/* By the sign of each lane of xmm0. */
#define BLEND_SIGN(stype)                                                  \
    LANE_PICK(sq_vec, (sq_vec)((stype)sq_xmm_get(c, 0) < 0), b, a)
SSE_OP(pblendvb, BLEND_SIGN(sq_v16s8))
SSE_OP(blendvps, BLEND_SIGN(sq_v4s32))
SSE_OP(blendvpd, BLEND_SIGN(sq_v2s64))

/* --- the rest -------------------------------------------------------- */

/* Eight sums of four absolute differences: blocks at a's byte 4 * imm[2] and
 * on, against b's block imm[1:0]. */
static inline sq_vec mpsadbw(sq_vec a, sq_vec b, unsigned imm)
{
    union sq_lanes x = sq_lanes(a), y = sq_lanes(b), r;
    unsigned xo = imm & 4, yo = (imm & 3) * 4;

    for (unsigned k = 0; k < 8; k++) {
        int sum = 0;

        for (unsigned n = 0; n < 4; n++) {
            int d = x.b[xo + k + n] - y.b[yo + n];

            sum += d < 0 ? -d : d;
        }
        r.w[k] = (uint16_t)sum;
    }
    return r.v;
}

/* The smallest word and where it is first. */
static inline sq_vec phminposuw(sq_vec b)
{
    union sq_lanes y = sq_lanes(b);
    unsigned at = 0;

    for (unsigned k = 1; k < 8; k++)
        if (y.w[k] < y.w[at])
            at = k;
    return (sq_vec){y.w[at] | at << 16, 0};
}

SSE_OP(mpsadbw, mpsadbw(a, b, (unsigned)i->imm))
SSE_OP(phminposuw, phminposuw(b))

static inline void ptest(struct sq_x86_cpu *c, sq_vec a, sq_vec b)
{
    sq_vec both = a & b, only_b = ~a & b;

    sq_set_status(c, (both[0] | both[1] ? 0u : FL_ZF) |
                         (only_b[0] | only_b[1] ? 0u : FL_CF));
}

OP(ptest_r)
{
    sq_sse_check(c, i);
    ptest(c, sq_xmm_get(c, i->reg), sq_xmm_get(c, i->rm));
    NEXT;
}

OP(ptest_m)
{
    sq_sse_check(c, i);
    ptest(c, sq_xmm_get(c, i->reg), sq_sse_load(c, i));
    NEXT;
}

FAM1(ptest, ptest_r, ptest_m)

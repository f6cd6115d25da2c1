/* SPDX-License-Identifier: Apache-2.0 */
/* Integer and logical operations on XMM and YMM registers; shuffles of any
 * type. */
#include "backends/soft/x86_64/sse_lanes.h"

/* --- shared with MMX ------------------------------------------------- */

#define LANE_FAMILY(name) AVX_OP(name, 0, lane_##name(a, b, 16))
LANE_OPS(LANE_FAMILY)
LANE_OPS_LOW(LANE_FAMILY)
LANE_FAMILY(punpcklqdq)
LANE_FAMILY(punpckhqdq)
LANE_FAMILY(packusdw)

AVX_OP(palignr, 0, lane_palignr(a, b, imm, 16))

OP(pmovmskb_r)
{
    sq_sse_check(c, i);
    WR(32, i->reg, lane_pmovmskb(sq_xmm_get(c, i->rm), 16));
    NEXT;
}
FAM1(pmovmskb, pmovmskb_r, NULL)

/* Shifts by the low quadword of rm; with 256 bits, of all lanes by that. */
#define SHIFT_XMM(name)                                                    \
    SSE_OP(name, lane_##name(a, b, 16))                                    \
    SHIFT_VEX(name, r, 128, sq_xmm_get(c, i->rm), ((sq_vec){0, 0}))        \
    SHIFT_VEX(name, m, 128, sq_sse_load_any(c, i), ((sq_vec){0, 0}))       \
    SHIFT_VEX(name, r, 256, sq_xmm_get(c, i->rm),                          \
              lane_##name(sq_ymm_get(c, i->imm2, 1), b, 16))               \
    SHIFT_VEX(name, m, 256, sq_sse_load_any(c, i),                         \
              lane_##name(sq_ymm_get(c, i->imm2, 1), b, 16))               \
    FAMW(v##name, v##name)
#define SHIFT_VEX(name, rm, n, source, high)                               \
    OP(v##name##_##rm##n)                                                  \
    {                                                                      \
        sq_vec b;                                                          \
                                                                           \
        sq_vex_check(c, i);                                                \
        b = source;                                                        \
        sq_ymm_put(c, i->reg,                                              \
                   lane_##name(sq_xmm_get(c, i->imm2), b, 16), high);      \
        NEXT;                                                              \
    }
LANE_SHIFTS(SHIFT_XMM)

/* Shifts by an immediate: of rm, in place; with VEX to vvvv's register. */
#define SHIFT_IN_PLACE(name, family, expr)                                 \
    static inline sq_vec name##_by_imm(sq_vec v, uint64_t n)               \
    {                                                                      \
        return expr;                                                       \
    }                                                                      \
    OP(family##_r)                                                         \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        sq_xmm_put(c, i->rm, name##_by_imm(sq_xmm_get(c, i->rm), i->imm)); \
        NEXT;                                                              \
    }                                                                      \
    OP(v##family##_r128)                                                   \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_vex_put(c, i->imm2,                                             \
                   name##_by_imm(sq_xmm_get(c, i->rm), i->imm));           \
        NEXT;                                                              \
    }                                                                      \
    OP(v##family##_r256)                                                   \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_ymm_put(c, i->imm2,                                             \
                   name##_by_imm(sq_ymm_get(c, i->rm, 0), i->imm),         \
                   name##_by_imm(sq_ymm_get(c, i->rm, 1), i->imm));        \
        NEXT;                                                              \
    }                                                                      \
    FAM1(family, family##_r, NULL)                                         \
    const struct sq_x86_family sq_f_v##family = {                          \
        {{v##family##_r128, v##family##_r128, v##family##_r256,            \
          v##family##_r256}}};
#define SHIFT_IMM(name)                                                    \
    SHIFT_IN_PLACE(name, name##_I, lane_##name(v, (sq_vec){n, 0}, 16))
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

SHIFT_IN_PLACE(psrldq, psrldq, bytes_right(v, n))
SHIFT_IN_PLACE(pslldq, pslldq, bytes_left(v, n))

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

/* Sign or zero extension of lanes from `first` on. Memory has just those that
 * are used. */
#define EXTEND(name, n, from, to, load, load256)                           \
    static inline sq_vec name(sq_vec v, unsigned first)                    \
    {                                                                      \
        union sq_lanes x = sq_lanes(v), r;                                 \
                                                                           \
        for (unsigned k = 0; k < n; k++)                                   \
            r.to[k] = x.from[first + k];                                   \
        return r.v;                                                        \
    }                                                                      \
    EXTEND_TO_128(name, r, sq_xmm_get(c, i->rm))                           \
    EXTEND_TO_128(name, m, load)                                           \
    EXTEND_TO_256(name, r, n, sq_xmm_get(c, i->rm))                        \
    EXTEND_TO_256(name, m, n, load256)                                     \
    FAM1(name, name##_r, name##_m)                                         \
    FAMW(v##name, v##name)
#define EXTEND_TO_128(name, rm, source)                                    \
    OP(name##_##rm)                                                        \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        sq_xmm_put(c, i->reg, name(source, 0));                            \
        NEXT;                                                              \
    }                                                                      \
    OP(v##name##_##rm##128)                                                \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_vex_put(c, i->reg, name(source, 0));                            \
        NEXT;                                                              \
    }
#define EXTEND_TO_256(name, rm, n, source)                                 \
    OP(v##name##_##rm##256)                                                \
    {                                                                      \
        sq_vec v;                                                          \
                                                                           \
        sq_vex_check(c, i);                                                \
        v = source;                                                        \
        sq_ymm_put(c, i->reg, name(v, 0), name(v, n));                     \
        NEXT;                                                              \
    }
#define EXTEND_HALF(name, n, from, to)                                     \
    EXTEND(name, n, from, to, ((sq_vec){sq_sse_load64(c, i), 0}),          \
           sq_sse_load_any(c, i))
#define EXTEND_QUARTER(name, n, from, to)                                  \
    EXTEND(name, n, from, to, ((sq_vec){sq_sse_load32(c, i), 0}),          \
           ((sq_vec){sq_sse_load64(c, i), 0}))
#define EXTEND_EIGHTH(name, n, from, to)                                   \
    EXTEND(name, n, from, to, ((sq_vec){sq_sse_load16(c, i), 0}),          \
           ((sq_vec){sq_sse_load32(c, i), 0}))
EXTEND_HALF(pmovsxbw, 8, sb, sw)
EXTEND_QUARTER(pmovsxbd, 4, sb, sd)
EXTEND_EIGHTH(pmovsxbq, 2, sb, sq)
EXTEND_HALF(pmovsxwd, 4, sw, sd)
EXTEND_QUARTER(pmovsxwq, 2, sw, sq)
EXTEND_HALF(pmovsxdq, 2, sd, sq)
EXTEND_HALF(pmovzxbw, 8, b, w)
EXTEND_QUARTER(pmovzxbd, 4, b, d)
EXTEND_EIGHTH(pmovzxbq, 2, b, q)
EXTEND_HALF(pmovzxwd, 4, w, d)
EXTEND_QUARTER(pmovzxwq, 2, w, q)
EXTEND_HALF(pmovzxdq, 2, d, q)

/* --- shuffles -------------------------------------------------------- */

static inline sq_vec shuffle_d(sq_vec a, sq_vec b, unsigned imm)
{
    union sq_lanes x = sq_lanes(a), y = sq_lanes(b);

    return (sq_vec)(sq_v4u32){x.d[imm & 3], x.d[imm >> 2 & 3],
                              y.d[imm >> 4 & 3], y.d[imm >> 6 & 3]};
}

AVX_OP(pshufd, 0, shuffle_d(b, b, imm))
AVX_OP(shufps, 0, shuffle_d(a, b, imm))
AVX_OP(shufpd, 2, ((sq_vec){a[imm & 1], b[imm >> 1 & 1]}))
AVX_OP(pshuflw, 0, ((sq_vec){lane_words(b[0], imm), b[1]}))
AVX_OP(pshufhw, 0, ((sq_vec){b[0], lane_words(b[1], imm)}))

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

AVX_OP(pblendw, 0, blend_w(a, b, imm))
AVX_OP(blendps, 4, blend_d(a, b, imm))
AVX_OP(blendpd, 2, ((sq_vec){imm & 1 ? b[0] : a[0],
                             imm & 2 ? b[1] : a[1]}))

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

AVX_OP(mpsadbw, 3, mpsadbw(a, b, imm))
AVX_OP128(phminposuw, phminposuw(b))

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

/* SPDX-License-Identifier: Apache-2.0 */
/* FMA3: multiply-add with one rounding (SDM vol. 1, 14.5). Always by
 * softfloat: without the instruction the host has no short way. */
#include "backends/soft/x86_64/avx_fp.h"

/* The three operands' order is in the name: 132 multiplies the first with
 * the third and adds the second, and so on. In the encoding the first is
 * reg, the second vvvv's register, the third r/m. */
#define ORDER_132(fn, x, y, z, negate) fn(x, z, y, negate, &env)
#define ORDER_213(fn, x, y, z, negate) fn(y, x, z, negate, &env)
#define ORDER_231(fn, x, y, z, negate) fn(y, z, x, negate, &env)

#define FMA_PACKED(name, order, negate)                                    \
    AVX_LANES_FN(name##ps,                                                 \
                 r.d[k] = ORDER_##order(sq_f32_muladd,                \
                                        c->ymm[i->reg].d[k], a->d[k],      \
                                        b->d[k], negate))                  \
    AVX_LANES_FN(name##pd,                                                 \
                 r.q[k] = ORDER_##order(sq_f64_muladd,                \
                                        c->ymm[i->reg].q[k], a->q[k],      \
                                        b->q[k], negate))                  \
    AVX_FULL(name##ps, name##ps_lanes, 4, 8)                               \
    AVX_FULL(name##pd, name##pd_lanes, 2, 4)                               \
    const struct sq_x86_family sq_f_##name = {                             \
        {{name##ps_r128, name##pd_r128, name##ps_r256, name##pd_r256},     \
         {name##ps_m128, name##pd_m128, name##ps_m256, name##pd_m256}}};

/* The rest of 128 bits stays the destination's. */
#define FMA_SCALAR(name, order, negate)                                    \
    FMA_ONE(name##ss, r, 32, d, order, negate, c->ymm[i->rm].d[0])         \
    FMA_ONE(name##ss, m, 32, d, order, negate, sq_sse_load32(c, i))        \
    FMA_ONE(name##sd, r, 64, q, order, negate, c->ymm[i->rm].q[0])         \
    FMA_ONE(name##sd, m, 64, q, order, negate, sq_sse_load64(c, i))        \
    const struct sq_x86_family sq_f_##name##_S = {                         \
        {{name##ss_r, name##sd_r, name##ss_r, name##sd_r},                 \
         {name##ss_m, name##sd_m, name##ss_m, name##sd_m}}};
#define FMA_ONE(name, rm, n, field, order, negate, source)                 \
    OP(name##_##rm)                                                        \
    {                                                                      \
        union sq_lanes r;                                                  \
        struct sq_fp_env env;                                              \
        U(n) b;                                                            \
                                                                           \
        sq_vex_check(c, i);                                                \
        b = source;                                                        \
        env = sq_sse_env(c);                                               \
        r = sq_lanes(sq_xmm_get(c, i->reg));                               \
        r.field[0] = ORDER_##order(sq_f##n##_muladd, r.field[0],      \
                                   c->ymm[i->imm2].field[0], b, negate);   \
        sq_sse_finish(c, i, &env);                                         \
        sq_vex_put(c, i->reg, r.v);                                        \
        NEXT;                                                              \
    }

#define BOTH (SQ_FP_NEGATE_PRODUCT | SQ_FP_NEGATE_ADDEND)
#define FMA(order)                                                         \
    FMA_PACKED(vfmadd##order, order, 0)                                    \
    FMA_SCALAR(vfmadd##order, order, 0)                                    \
    FMA_PACKED(vfmsub##order, order, SQ_FP_NEGATE_ADDEND)                  \
    FMA_SCALAR(vfmsub##order, order, SQ_FP_NEGATE_ADDEND)                  \
    FMA_PACKED(vfnmadd##order, order, SQ_FP_NEGATE_PRODUCT)                \
    FMA_SCALAR(vfnmadd##order, order, SQ_FP_NEGATE_PRODUCT)                \
    FMA_PACKED(vfnmsub##order, order, BOTH)                                \
    FMA_SCALAR(vfnmsub##order, order, BOTH)                                \
    FMA_PACKED(vfmaddsub##order, order, k & 1 ? 0 : SQ_FP_NEGATE_ADDEND)   \
    FMA_PACKED(vfmsubadd##order, order, k & 1 ? SQ_FP_NEGATE_ADDEND : 0)
FMA(132)
FMA(213)
FMA(231)

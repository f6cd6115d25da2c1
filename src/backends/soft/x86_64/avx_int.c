/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX and AVX2 integer operations and shuffles that SSE has not: across
 * 128-bit lanes, with a shift count for each lane, with four operands; tests.
 */
#include "backends/soft/x86_64/sse_lanes.h"

/* --- operations on whole registers ----------------------------------- */

/* r = fn(a, b, imm), a being vvvv's register and b the source. */
#define FULL(name, fn)                                                     \
    OP(name##_r256)                                                        \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        c->ymm[i->reg] =                                                   \
            fn(&c->ymm[i->imm2], &c->ymm[i->rm], (unsigned)i->imm);        \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m256)                                                        \
    {                                                                      \
        sq_vec v[2];                                                       \
        union sq_ymm b;                                                    \
                                                                           \
        sq_vex_check(c, i);                                                \
        sq_avx_load(c, i, v);                                              \
        memcpy(&b, v, sizeof(b));                                          \
        c->ymm[i->reg] = fn(&c->ymm[i->imm2], &b, (unsigned)i->imm);       \
        NEXT;                                                              \
    }

/* Those that have 128-bit forms, too, lane by lane. */
#define FULL_128(name, fn)                                                 \
    OP(name##_r128)                                                        \
    {                                                                      \
        union sq_ymm r;                                                    \
                                                                           \
        sq_vex_check(c, i);                                                \
        r = fn(&c->ymm[i->imm2], &c->ymm[i->rm], (unsigned)i->imm);        \
        sq_vex_put(c, i->reg, (sq_vec){r.q[0], r.q[1]});                   \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m128)                                                        \
    {                                                                      \
        sq_vec v;                                                          \
        union sq_ymm b = {{0}}, r;                                         \
                                                                           \
        sq_vex_check(c, i);                                                \
        v = sq_sse_load_any(c, i);                                         \
        memcpy(&b, &v, sizeof(v));                                         \
        r = fn(&c->ymm[i->imm2], &b, (unsigned)i->imm);                    \
        sq_vex_put(c, i->reg, (sq_vec){r.q[0], r.q[1]});                   \
        NEXT;                                                              \
    }

#define FN(name)                                                           \
    static inline union sq_ymm name(const union sq_ymm *a,                 \
                                    const union sq_ymm *b, unsigned imm)
#define FN_LOOP(name, n, stmt)                                             \
    FN(name)                                                               \
    {                                                                      \
        union sq_ymm r;                                                    \
                                                                           \
        (void)a, (void)imm;                                                \
        for (unsigned k = 0; k < n; k++)                                   \
            stmt;                                                          \
        return r;                                                          \
    }

/* --- permutations ---------------------------------------------------- */

FN_LOOP(permute_d, 8, r.d[k] = b->d[a->d[k] & 7])
FN_LOOP(permute_q, 4, r.q[k] = b->q[imm >> 2 * k & 3])
/* Within 128-bit lanes, by a register or an immediate. */
FN_LOOP(permil_ps, 8, r.d[k] = a->d[(k & 4) | (b->d[k] & 3)])
FN_LOOP(permil_pd, 4, r.q[k] = a->q[(k & 2) | (b->q[k] >> 1 & 1)])
FN_LOOP(permil_ps_I, 8, r.d[k] = b->d[(k & 4) | (imm >> 2 * (k & 3) & 3)])
FN_LOOP(permil_pd_I, 4, r.q[k] = b->q[(k & 2) | (imm >> k & 1)])
FN_LOOP(blend_d, 8, r.d[k] = imm >> k & 1 ? b->d[k] : a->d[k])

/* Each half is one of four, or zero. */
FN(permute_128)
{
    union sq_ymm r = {{0}};

    for (unsigned h = 0; h < 2; h++, imm >>= 4) {
        const union sq_ymm *from = imm & 2 ? b : a;

        if (!(imm & 8))
            memcpy(r.b + 16 * h, from->b + 16 * (imm & 1), 16);
    }
    return r;
}

FULL(vpermd, permute_d)
FULL(vpermq, permute_q)
FULL(vperm2x128, permute_128)
FULL(vpermilps, permil_ps)
FULL_128(vpermilps, permil_ps)
FULL(vpermilpd, permil_pd)
FULL_128(vpermilpd, permil_pd)
FULL(vpermilps_I, permil_ps_I)
FULL_128(vpermilps_I, permil_ps_I)
FULL(vpermilpd_I, permil_pd_I)
FULL_128(vpermilpd_I, permil_pd_I)
FULL(vpblendd, blend_d)
FULL_128(vpblendd, blend_d)

FAMW0_256(vpermd, vpermd_r256, vpermd_m256)
FAMW0_256(vperm2x128, vperm2x128_r256, vperm2x128_m256)
const struct sq_x86_family sq_f_vpermq = {
    {{NULL, NULL, NULL, vpermq_r256}, {NULL, NULL, NULL, vpermq_m256}}};
FAMW0(vpermilps, vpermilps)
FAMW0(vpermilpd, vpermilpd)
FAMW0(vpermilps_I, vpermilps_I)
FAMW0(vpermilpd_I, vpermilpd_I)
FAMW0(vpblendd, vpblendd)

/* --- shifts, a count for each lane ----------------------------------- */

FN_LOOP(left_d, 8, r.d[k] = b->d[k] < 32 ? a->d[k] << b->d[k] : 0)
FN_LOOP(left_q, 4, r.q[k] = b->q[k] < 64 ? a->q[k] << b->q[k] : 0)
FN_LOOP(right_d, 8, r.d[k] = b->d[k] < 32 ? a->d[k] >> b->d[k] : 0)
FN_LOOP(right_q, 4, r.q[k] = b->q[k] < 64 ? a->q[k] >> b->q[k] : 0)
FN_LOOP(arith_d, 8,
        r.d[k] = (uint32_t)((int32_t)a->d[k] >> (b->d[k] < 32 ? b->d[k]
                                                              : 31)))

#define BY_LANE(name, fn)                                                  \
    FULL(name, fn)                                                         \
    FULL_128(name, fn)
BY_LANE(vpsllvd, left_d)
BY_LANE(vpsllvq, left_q)
BY_LANE(vpsrlvd, right_d)
BY_LANE(vpsrlvq, right_q)
BY_LANE(vpsravd, arith_d)

#define FAM_BY_W(name, w0, w1)                                             \
    const struct sq_x86_family sq_f_##name = {                             \
        {{w0##_r128, w1##_r128, w0##_r256, w1##_r256},                     \
         {w0##_m128, w1##_m128, w0##_m256, w1##_m256}}};
FAM_BY_W(vpsllv, vpsllvd, vpsllvq)
FAM_BY_W(vpsrlv, vpsrlvd, vpsrlvq)
FAMW0(vpsravd, vpsravd)

/* --- blends by the sign of a fourth operand's lanes ------------------ */

#define BLEND(name, stype)                                                 \
    static inline sq_vec name##_half(const struct sq_x86_cpu *c,           \
                                     const struct sq_x86_insn *i,          \
                                     unsigned h, sq_vec b)                 \
    {                                                                      \
        unsigned n = i->imm >> 4 & (c->code64 ? 15 : 7);                   \
        sq_vec m = (sq_vec)((stype)sq_ymm_get(c, n, h) < 0);               \
                                                                           \
        return LANE_PICK(sq_vec, m, b, sq_ymm_get(c, i->imm2, h));         \
    }                                                                      \
    OP(name##_r128)                                                        \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_vex_put(c, i->reg, name##_half(c, i, 0, sq_xmm_get(c, i->rm))); \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m128)                                                        \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_vex_put(c, i->reg, name##_half(c, i, 0, sq_sse_load_any(c, i)));\
        NEXT;                                                              \
    }                                                                      \
    OP(name##_r256)                                                        \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_ymm_put(c, i->reg,                                              \
                   name##_half(c, i, 0, sq_ymm_get(c, i->rm, 0)),          \
                   name##_half(c, i, 1, sq_ymm_get(c, i->rm, 1)));         \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m256)                                                        \
    {                                                                      \
        sq_vec b[2];                                                       \
                                                                           \
        sq_vex_check(c, i);                                                \
        sq_avx_load(c, i, b);                                              \
        sq_ymm_put(c, i->reg, name##_half(c, i, 0, b[0]),                  \
                   name##_half(c, i, 1, b[1]));                            \
        NEXT;                                                              \
    }                                                                      \
    FAMW0(name, name)
BLEND(vpblendvb, sq_v16s8)
BLEND(vblendvps, sq_v4s32)
BLEND(vblendvpd, sq_v2s64)

/* --- tests ----------------------------------------------------------- */

/* ZF: b has nothing where a has something; CF: nor where a has nothing. Only
 * the bits of `which` count. */
static inline void test_bits(struct sq_x86_cpu *c, sq_vec a0, sq_vec b0,
                             sq_vec a1, sq_vec b1, uint64_t which)
{
    sq_vec both = (a0 & b0) | (a1 & b1), only_b = (~a0 & b0) | (~a1 & b1);

    sq_set_status(c, ((both[0] | both[1]) & which ? 0u : FL_ZF) |
                         ((only_b[0] | only_b[1]) & which ? 0u : FL_CF));
}

#define TEST(name, which)                                                  \
    OP(name##_r128)                                                        \
    {                                                                      \
        sq_vec none = {0, 0};                                              \
                                                                           \
        sq_vex_check(c, i);                                                \
        test_bits(c, sq_xmm_get(c, i->reg), sq_xmm_get(c, i->rm), none,    \
                  none, which);                                            \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m128)                                                        \
    {                                                                      \
        sq_vec none = {0, 0};                                              \
                                                                           \
        sq_vex_check(c, i);                                                \
        test_bits(c, sq_xmm_get(c, i->reg), sq_sse_load_any(c, i), none,   \
                  none, which);                                            \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_r256)                                                        \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        test_bits(c, sq_ymm_get(c, i->reg, 0), sq_ymm_get(c, i->rm, 0),    \
                  sq_ymm_get(c, i->reg, 1), sq_ymm_get(c, i->rm, 1),       \
                  which);                                                  \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m256)                                                        \
    {                                                                      \
        sq_vec b[2];                                                       \
                                                                           \
        sq_vex_check(c, i);                                                \
        sq_avx_load(c, i, b);                                              \
        test_bits(c, sq_ymm_get(c, i->reg, 0), b[0],                       \
                  sq_ymm_get(c, i->reg, 1), b[1], which);                  \
        NEXT;                                                              \
    }
TEST(vptest, UINT64_MAX)
TEST(vtestps, 0x8000000080000000ull)
TEST(vtestpd, SQ_SIGN)
FAMW(vptest, vptest)
FAMW0(vtestps, vtestps)
FAMW0(vtestpd, vtestpd)

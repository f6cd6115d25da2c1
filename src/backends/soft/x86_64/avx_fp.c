/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX floating-point arithmetic and comparisons. All lanes of an instruction
 * share one environment: their flags are added up before MXCSR is changed
 * and exceptions are raised (SDM vol. 1, 11.5.3).
 */
#include "backends/soft/x86_64/avx_fp.h"

/* --- arithmetic ------------------------------------------------------ */

static uint32_t sqrt32(uint32_t a, uint32_t b, struct sq_fp_env *env)
{
    (void)a;
    return sq_f32_sqrt_fast(b, env);
}

static uint64_t sqrt64(uint64_t a, uint64_t b, struct sq_fp_env *env)
{
    (void)a;
    return sq_f64_sqrt_fast(b, env);
}

#define PACKED(name, fn32_, fn64_)                                         \
    AVX_LANES(name##ps, 32, AVX_BINARY(d, fn32_))                          \
    AVX_LANES(name##pd, 64, AVX_BINARY(q, fn64_))
#define ARITHMETIC(name, fn32_, fn64_)                                     \
    PACKED(v##name, fn32_, fn64_)                                          \
    AVX_SCALAR(v##name##ss, 32, d, fn32_(a->d[0], b, &env))                \
    AVX_SCALAR(v##name##sd, 64, q, fn64_(a->q[0], b, &env))
ARITHMETIC(add, sq_f32_add_fast, sq_f64_add_fast)
ARITHMETIC(sub, sq_f32_sub_fast, sq_f64_sub_fast)
ARITHMETIC(mul, sq_f32_mul_fast, sq_f64_mul_fast)
ARITHMETIC(div, sq_f32_div_fast, sq_f64_div_fast)
ARITHMETIC(min, sq_f32_min, sq_f64_min)
ARITHMETIC(max, sq_f32_max, sq_f64_max)
ARITHMETIC(sqrt, sqrt32, sqrt64)

/* Even lanes are subtracted. */
AVX_LANES(vaddsubps, 32,
          r.d[k] = k & 1 ? sq_f32_add_fast(a->d[k], b->d[k], &env)
                         : sq_f32_sub_fast(a->d[k], b->d[k], &env))
AVX_LANES(vaddsubpd, 64,
          r.q[k] = k & 1 ? sq_f64_add_fast(a->q[k], b->q[k], &env)
                         : sq_f64_sub_fast(a->q[k], b->q[k], &env))

/* Neighbours: in each 128 bits a's, then b's. */
#define PAIR_D(fn)                                                         \
    {                                                                      \
        const uint32_t *v = (k & 2 ? b : a)->d + (k & 4) + 2 * (k & 1);    \
                                                                           \
        r.d[k] = fn(v[0], v[1], &env);                                     \
    }
#define PAIR_Q(fn)                                                         \
    {                                                                      \
        const uint64_t *v = (k & 1 ? b : a)->q + (k & 2);                  \
                                                                           \
        r.q[k] = fn(v[0], v[1], &env);                                     \
    }
AVX_LANES(vhaddps, 32, PAIR_D(sq_f32_add_fast))
AVX_LANES(vhsubps, 32, PAIR_D(sq_f32_sub_fast))
AVX_LANES(vhaddpd, 64, PAIR_Q(sq_f64_add_fast))
AVX_LANES(vhsubpd, 64, PAIR_Q(sq_f64_sub_fast))

/* --- dot products ---------------------------------------------------- */

/* Each step reports before the next one starts. */
static void next_step(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                      struct sq_fp_env *env)
{
    sq_sse_finish(c, i, env);
    *env = sq_sse_env(c);
}

static union sq_ymm dot_ps(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                           const union sq_ymm *a, const union sq_ymm *b,
                           unsigned n)
{
    struct sq_fp_env env = sq_sse_env(c);
    union sq_ymm r = {{0}};

    for (unsigned k = 0; k < n; k++)
        if (i->imm >> (4 + (k & 3)) & 1)
            r.d[k] = sq_f32_mul_fast(a->d[k], b->d[k], &env);
    next_step(c, i, &env);
    for (unsigned k = 0; k < n; k += 2)
        r.d[k] = sq_f32_add_fast(r.d[k], r.d[k + 1], &env);
    next_step(c, i, &env);
    for (unsigned k = 0; k < n; k += 4)
        r.d[k] = sq_f32_add_fast(r.d[k], r.d[k + 2], &env);
    sq_sse_finish(c, i, &env);
    for (unsigned k = 0; k < n; k += 4) {
        uint32_t sum = r.d[k];

        for (unsigned j = 0; j < 4; j++)
            r.d[k + j] = i->imm >> j & 1 ? sum : 0;
    }
    return r;
}

static union sq_ymm dot_pd(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                           const union sq_ymm *a, const union sq_ymm *b,
                           unsigned n)
{
    struct sq_fp_env env = sq_sse_env(c);
    union sq_ymm r = {{0}};
    uint64_t x, y;

    (void)n;
    x = i->imm & 16 ? sq_f64_mul_fast(a->q[0], b->q[0], &env) : 0;
    y = i->imm & 32 ? sq_f64_mul_fast(a->q[1], b->q[1], &env) : 0;
    next_step(c, i, &env);
    x = sq_f64_add_fast(x, y, &env);
    sq_sse_finish(c, i, &env);
    r.q[0] = i->imm & 1 ? x : 0;
    r.q[1] = i->imm & 2 ? x : 0;
    return r;
}

AVX_FULL(vdpps, dot_ps, 4, 8)
AVX_SOURCES_128(vdppd, dot_pd, 2)
FAMW(vdpps, vdpps)
FAMW128(vdppd, vdppd_r128, vdppd_m128)

/* --- rounding to integers -------------------------------------------- */

AVX_LANES(vroundps, 32,
          r.d[k] = sq_f32_round(b->d[k], (uint8_t)i->imm, &env))
AVX_LANES(vroundpd, 64,
          r.q[k] = sq_f64_round(b->q[k], (uint8_t)i->imm, &env))
AVX_SCALAR(vroundss, 32, d, sq_f32_round(b, (uint8_t)i->imm, &env))
AVX_SCALAR(vroundsd, 64, q, sq_f64_round(b, (uint8_t)i->imm, &env))

/* --- approximations -------------------------------------------------- */

AVX_LANES(vrcpps, 32, r.d[k] = sq_sse_reciprocal(b->d[k]))
AVX_LANES(vrsqrtps, 32, r.d[k] = sq_sse_reciprocal_root(b->d[k]))
AVX_SCALAR(vrcpss, 32, d, sq_sse_reciprocal(b))
AVX_SCALAR(vrsqrtss, 32, d, sq_sse_reciprocal_root(b))

/* --- comparisons ----------------------------------------------------- */

/* The 32 predicates (SDM vol. 2, CMPPD): which relations they hold for, bit
 * n for relation n - 1 (less, equal, greater, unordered). Those from 16 on
 * hold for the same, but complain about quiet NaNs where the others do not. */
static bool holds(enum sq_fp_rel rel, unsigned predicate)
{
    enum { LT = 1, EQ = 2, GT = 4, UN = 8 };
    static const uint8_t when[16] = {
        EQ, LT, LT | EQ, UN, LT | GT | UN, EQ | GT | UN, GT | UN,
        LT | EQ | GT, EQ | UN, LT | UN, LT | EQ | UN, 0, LT | GT, EQ | GT,
        GT, LT | EQ | GT | UN};

    return when[predicate & 15] >> (rel + 1) & 1;
}

static bool signaling(unsigned predicate)
{
    bool quiet = (predicate & 3) == 0 || (predicate & 3) == 3;

    return quiet == (predicate >> 4 & 1);
}

static uint32_t cmp32(uint32_t a, uint32_t b, uint64_t imm,
                      struct sq_fp_env *env)
{
    unsigned p = imm & 31;

    return holds(sq_f32_compare(a, b, signaling(p), env), p) ? UINT32_MAX : 0;
}

static uint64_t cmp64(uint64_t a, uint64_t b, uint64_t imm,
                      struct sq_fp_env *env)
{
    unsigned p = imm & 31;

    return holds(sq_f64_compare(a, b, signaling(p), env), p) ? UINT64_MAX : 0;
}

AVX_LANES(vcmpps, 32, r.d[k] = cmp32(a->d[k], b->d[k], i->imm, &env))
AVX_LANES(vcmppd, 64, r.q[k] = cmp64(a->q[k], b->q[k], i->imm, &env))
AVX_SCALAR(vcmpss, 32, d, cmp32(a->d[0], b, i->imm, &env))
AVX_SCALAR(vcmpsd, 64, q, cmp64(a->q[0], b, i->imm, &env))

/* The relation in ZF, PF and CF. */
#define COMI(name, n, field, signals)                                      \
    COMI_FROM(name, r, n, field, signals, c->ymm[i->rm].field[0])          \
    COMI_FROM(name, m, n, field, signals, sq_sse_load##n(c, i))            \
    FAM1(name, name##_r, name##_m)
#define COMI_FROM(name, rm, n, field, signals, source)                     \
    OP(name##_##rm)                                                        \
    {                                                                      \
        static const uint8_t flags[4] = {FL_CF, FL_ZF, 0,                  \
                                         FL_ZF | FL_PF | FL_CF};           \
        struct sq_fp_env env;                                              \
        enum sq_fp_rel rel;                                                \
        U(n) b;                                                            \
                                                                           \
        sq_vex_check(c, i);                                                \
        b = source;                                                        \
        env = sq_sse_env(c);                                               \
        rel = sq_f##n##_compare(c->ymm[i->reg].field[0], b, signals,       \
                                &env);                                     \
        sq_sse_finish(c, i, &env);                                         \
        sq_set_status(c, flags[rel + 1]);                                  \
        NEXT;                                                              \
    }
COMI(vcomiss, 32, d, true)
COMI(vcomisd, 64, q, true)
COMI(vucomiss, 32, d, false)
COMI(vucomisd, 64, q, false)

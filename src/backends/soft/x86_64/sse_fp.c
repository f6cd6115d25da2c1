/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSE floating-point arithmetic and comparisons.
 *
 * Each operation has two ways. The short one uses the host's arithmetic; it
 * is taken when operands and result are such that neither the value nor
 * MXCSR can differ from what the guest would see: numbers that are "plain"
 * (normal or zero) and results that are "settled" (normal, and above the
 * smallest normal, which a rounded-up denormal might be). Sums and products
 * also need sq_sse_fast(). All else goes through softfloat.
 */
#include <float.h>

#include "backends/soft/x86_64/sse.h"

#define OUT_OF_LINE static __attribute__((noinline))

typedef uint32_t fn32(uint32_t a, uint32_t b, struct sq_fp_env *env);
typedef uint64_t fn64(uint64_t a, uint64_t b, struct sq_fp_env *env);

void sq_sse_finish(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                   const struct sq_fp_env *env)
{
    unsigned unmasked = sq_fp_unmasked(env), flags = env->flags;

    /* IE, DE and ZE are found before there is a result to judge: when one
     * of them raises, no lane has a result (SDM vol. 1, 11.5.3.1). */
    if (unmasked & (SQ_FP_IE | SQ_FP_DE | SQ_FP_ZE))
        flags &= SQ_FP_IE | SQ_FP_DE | SQ_FP_ZE;
    c->mxcsr |= flags;
    if (SQ_UNLIKELY(unmasked))
        sq_x86_raise(c, i, c->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD,
                     NO_ERROR_CODE);
}

/* --- by softfloat ---------------------------------------------------- */

OUT_OF_LINE uint32_t slow_ss(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i, fn32 *fn,
                             uint32_t a, uint32_t b)
{
    struct sq_fp_env env = sq_sse_env(c);
    uint32_t r = fn(a, b, &env);

    sq_sse_finish(c, i, &env);
    return r;
}

OUT_OF_LINE uint64_t slow_sd(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i, fn64 *fn,
                             uint64_t a, uint64_t b)
{
    struct sq_fp_env env = sq_sse_env(c);
    uint64_t r = fn(a, b, &env);

    sq_sse_finish(c, i, &env);
    return r;
}

/* Even lanes by one function, odd lanes by the other. */
OUT_OF_LINE sq_vec slow_ps2(struct sq_x86_cpu *c,
                            const struct sq_x86_insn *i, fn32 *even,
                            fn32 *odd, sq_vec a, sq_vec b)
{
    struct sq_fp_env env = sq_sse_env(c);
    union sq_lanes x = sq_lanes(a), y = sq_lanes(b), r;

    for (unsigned k = 0; k < 4; k++)
        r.d[k] = (k & 1 ? odd : even)(x.d[k], y.d[k], &env);
    sq_sse_finish(c, i, &env);
    return r.v;
}

OUT_OF_LINE sq_vec slow_pd2(struct sq_x86_cpu *c,
                            const struct sq_x86_insn *i, fn64 *even,
                            fn64 *odd, sq_vec a, sq_vec b)
{
    struct sq_fp_env env = sq_sse_env(c);
    sq_vec r;

    r[0] = even(a[0], b[0], &env);
    r[1] = odd(a[1], b[1], &env);
    sq_sse_finish(c, i, &env);
    return r;
}

static inline sq_vec slow_ps(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i, fn32 *fn,
                             sq_vec a, sq_vec b)
{
    return slow_ps2(c, i, fn, fn, a, b);
}

static inline sq_vec slow_pd(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i, fn64 *fn,
                             sq_vec a, sq_vec b)
{
    return slow_pd2(c, i, fn, fn, a, b);
}

/* --- lanes by the host ----------------------------------------------- */

static inline bool all_ones(sq_vec m)
{
    return (m[0] & m[1]) == UINT64_MAX;
}

#define MAGNITUDE_ps 0x7fffffff7fffffffu
#define MAGNITUDE_pd 0x7fffffffffffffffu

#define LANE_TESTS(sfx, vf, min, max)                                      \
    static inline sq_vec plain_##sfx(sq_vec v)                             \
    {                                                                      \
        vf m = (vf)(v & MAGNITUDE_##sfx);                                  \
                                                                           \
        return (sq_vec)((m >= min) & (m <= max)) | (sq_vec)(m == 0);       \
    }                                                                      \
    static inline sq_vec settled_##sfx(vf v)                               \
    {                                                                      \
        vf m = (vf)((sq_vec)v & MAGNITUDE_##sfx);                          \
                                                                           \
        return (sq_vec)((m > min) & (m <= max));                           \
    }
LANE_TESTS(ps, sq_v4f32, FLT_MIN, FLT_MAX)
LANE_TESTS(pd, sq_v2f64, DBL_MIN, DBL_MAX)

/* <name>_<sfx>_try: the result in *r, or false. A result of zero is exact
 * where `zero` holds. */
#define TRY_PACKED(name, sfx, vf, op, zero)                                \
    static inline bool name##_##sfx##_try(const struct sq_x86_cpu *c,      \
                                          sq_vec a, sq_vec b, sq_vec *r)   \
    {                                                                      \
        vf x = (vf)a, y = (vf)b, z = x op y;                               \
                                                                           \
        *r = (sq_vec)z;                                                    \
        return sq_sse_fast(c) &&                                           \
               all_ones(plain_##sfx(a) & plain_##sfx(b) &                  \
                        (settled_##sfx(z) | (sq_vec)((z == 0) & (zero)))); \
    }

#define TRY_SCALAR(name, sfx, n, host, op, zero)                           \
    static inline bool name##_##sfx##_try(const struct sq_x86_cpu *c,      \
                                          U(n) a, U(n) b, U(n) *r)         \
    {                                                                      \
        host x, y, z;                                                      \
                                                                           \
        if (!sq_sse_fast(c) || !sq_f##n##_plain(a) || !sq_f##n##_plain(b)) \
            return false;                                                  \
        memcpy(&x, &a, sizeof(x));                                         \
        memcpy(&y, &b, sizeof(y));                                         \
        z = x op y;                                                        \
        memcpy(r, &z, sizeof(z));                                          \
        return sq_f##n##_settled(*r) || (z == 0 && (zero));                \
    }

#define TRY(name, op, zero)                                                \
    TRY_SCALAR(name, ss, 32, float, op, zero)                              \
    TRY_SCALAR(name, sd, 64, double, op, zero)                             \
    TRY_PACKED(name, ps, sq_v4f32, op, zero)                               \
    TRY_PACKED(name, pd, sq_v2f64, op, zero)
TRY(add, +, z == z)
TRY(sub, -, z == z)
TRY(mul, *, (x == 0) | (y == 0))
TRY(div, /, x == 0)

/* The second operand unless the first one wins: also for two zeros. */
#define TRY_PICK(name, op)                                                 \
    TRY_PICK_SCALAR(name, ss, 32, float, op)                               \
    TRY_PICK_SCALAR(name, sd, 64, double, op)                              \
    TRY_PICK_PACKED(name, ps, sq_v4f32, op)                                \
    TRY_PICK_PACKED(name, pd, sq_v2f64, op)
#define TRY_PICK_SCALAR(name, sfx, n, host, op)                            \
    static inline bool name##_##sfx##_try(const struct sq_x86_cpu *c,      \
                                          U(n) a, U(n) b, U(n) *r)         \
    {                                                                      \
        host x, y;                                                         \
                                                                           \
        (void)c;                                                           \
        memcpy(&x, &a, sizeof(x));                                         \
        memcpy(&y, &b, sizeof(y));                                         \
        *r = x op y ? a : b;                                               \
        return sq_f##n##_plain(a) && sq_f##n##_plain(b);                   \
    }
#define TRY_PICK_PACKED(name, sfx, vf, op)                                 \
    static inline bool name##_##sfx##_try(const struct sq_x86_cpu *c,      \
                                          sq_vec a, sq_vec b, sq_vec *r)   \
    {                                                                      \
        sq_vec m = (sq_vec)((vf)a op (vf)b);                               \
                                                                           \
        (void)c;                                                           \
        *r = (m & a) | (~m & b);                                           \
        return all_ones(plain_##sfx(a) & plain_##sfx(b));                  \
    }
TRY_PICK(min, <)
TRY_PICK(max, >)

#define TRY_SQRT(sfx, n, host, root)                                       \
    static inline bool sqrt_##sfx##_try(const struct sq_x86_cpu *c,        \
                                        U(n) a, U(n) b, U(n) *r)           \
    {                                                                      \
        host x;                                                            \
                                                                           \
        (void)a;                                                           \
        if (!sq_sse_fast(c) || !sq_f##n##_settled(b) || b >> (n - 1))      \
            return false;                                                  \
        memcpy(&x, &b, sizeof(x));                                         \
        x = root(x);                                                       \
        memcpy(r, &x, sizeof(x));                                          \
        return true;                                                       \
    }
TRY_SQRT(ss, 32, float, __builtin_sqrtf)
TRY_SQRT(sd, 64, double, __builtin_sqrt)

static inline bool sqrt_ps_try(const struct sq_x86_cpu *c, sq_vec a,
                               sq_vec b, sq_vec *r)
{
    union sq_lanes x = sq_lanes(b), z = {.q = {0, 0}};
    bool ok = true;

    (void)a;
    for (unsigned k = 0; k < 4; k++)
        ok = ok && sqrt_ss_try(c, 0, x.d[k], &z.d[k]);
    *r = z.v;
    return ok;
}

static inline bool sqrt_pd_try(const struct sq_x86_cpu *c, sq_vec a,
                               sq_vec b, sq_vec *r)
{
    union sq_lanes x = sq_lanes(b), z = {.q = {0, 0}};
    bool ok = sqrt_sd_try(c, 0, x.q[0], &z.q[0]) &&
              sqrt_sd_try(c, 0, x.q[1], &z.q[1]);

    (void)a;
    *r = z.v;
    return ok;
}

static uint32_t sqrt32(uint32_t a, uint32_t b, struct sq_fp_env *env)
{
    (void)a;
    return sq_f32_sqrt(b, env);
}

static uint64_t sqrt64(uint64_t a, uint64_t b, struct sq_fp_env *env)
{
    (void)a;
    return sq_f64_sqrt(b, env);
}

/* --- arithmetic instructions ----------------------------------------- */

#define SCALAR_BODY(name, sfx, n, field, fn, source)                       \
    sq_sse_check(c, i);                                                    \
    {                                                                      \
        U(n) b = source, a = c->ymm[i->reg].field[0], r;                   \
                                                                           \
        if (SQ_UNLIKELY(!name##_##sfx##_try(c, a, b, &r)))                 \
            r = slow_##sfx(c, i, fn, a, b);                                \
        c->ymm[i->reg].field[0] = r;                                       \
    }                                                                      \
    NEXT;

#define SCALAR(name, sfx, n, field, fn)                                    \
    OP(name##sfx##_r)                                                      \
    {                                                                      \
        SCALAR_BODY(name, sfx, n, field, fn, c->ymm[i->rm].field[0])       \
    }                                                                      \
    OP(name##sfx##_m)                                                      \
    {                                                                      \
        SCALAR_BODY(name, sfx, n, field, fn, sq_sse_load##n(c, i))         \
    }                                                                      \
    FAM1(name##sfx, name##sfx##_r, name##sfx##_m)

#define PACKED(name, sfx, fn)                                              \
    static inline sq_vec name##sfx(struct sq_x86_cpu *c,                   \
                                   const struct sq_x86_insn *i, sq_vec a,  \
                                   sq_vec b)                               \
    {                                                                      \
        sq_vec r;                                                          \
                                                                           \
        if (SQ_UNLIKELY(!name##_##sfx##_try(c, a, b, &r)))                 \
            r = slow_##sfx(c, i, fn, a, b);                                \
        return r;                                                          \
    }                                                                      \
    SSE_OP(name##sfx, name##sfx(c, i, a, b))

#define ARITHMETIC(name, fn32_, fn64_)                                     \
    SCALAR(name, ss, 32, d, fn32_)                                         \
    SCALAR(name, sd, 64, q, fn64_)                                         \
    PACKED(name, ps, fn32_)                                                \
    PACKED(name, pd, fn64_)
ARITHMETIC(add, sq_f32_add, sq_f64_add)
ARITHMETIC(sub, sq_f32_sub, sq_f64_sub)
ARITHMETIC(mul, sq_f32_mul, sq_f64_mul)
ARITHMETIC(div, sq_f32_div, sq_f64_div)
ARITHMETIC(min, sq_f32_min, sq_f64_min)
ARITHMETIC(max, sq_f32_max, sq_f64_max)
ARITHMETIC(sqrt, sqrt32, sqrt64)

/* Neighbours: a's, then b's. */
#define EVEN_ps(a, b)                                                      \
    (sq_vec)__builtin_shufflevector((sq_v4u32)(a), (sq_v4u32)(b), 0, 2, 4, 6)
#define ODD_ps(a, b)                                                       \
    (sq_vec)__builtin_shufflevector((sq_v4u32)(a), (sq_v4u32)(b), 1, 3, 5, 7)
#define EVEN_pd(a, b) __builtin_shufflevector(a, b, 0, 2)
#define ODD_pd(a, b) __builtin_shufflevector(a, b, 1, 3)

SSE_OP(haddps, addps(c, i, EVEN_ps(a, b), ODD_ps(a, b)))
SSE_OP(hsubps, subps(c, i, EVEN_ps(a, b), ODD_ps(a, b)))
SSE_OP(haddpd, addpd(c, i, EVEN_pd(a, b), ODD_pd(a, b)))
SSE_OP(hsubpd, subpd(c, i, EVEN_pd(a, b), ODD_pd(a, b)))

/* Even lanes are subtracted: the same as adding the negative, but for the
 * sign of NaNs. */
static inline sq_vec addsubps(struct sq_x86_cpu *c,
                              const struct sq_x86_insn *i, sq_vec a, sq_vec b)
{
    sq_vec r;

    if (!add_ps_try(c, a, b ^ 0x80000000u, &r))
        r = slow_ps2(c, i, sq_f32_sub, sq_f32_add, a, b);
    return r;
}

static inline sq_vec addsubpd(struct sq_x86_cpu *c,
                              const struct sq_x86_insn *i, sq_vec a, sq_vec b)
{
    sq_vec r;

    if (!add_pd_try(c, a, b ^ (sq_vec){SQ_SIGN, 0}, &r))
        r = slow_pd2(c, i, sq_f64_sub, sq_f64_add, a, b);
    return r;
}

SSE_OP(addsubps, addsubps(c, i, a, b))
SSE_OP(addsubpd, addsubpd(c, i, a, b))

/* Products of the lanes in imm[7:4], their sum to the lanes in imm[3:0]. Each
 * step reports before the next one starts. */
static void next_step(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                      struct sq_fp_env *env)
{
    sq_sse_finish(c, i, env);
    *env = sq_sse_env(c);
}

OUT_OF_LINE sq_vec dpps(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        sq_vec a, sq_vec b)
{
    struct sq_fp_env env = sq_sse_env(c);
    union sq_lanes x = sq_lanes(a), y = sq_lanes(b), r;
    uint32_t sum;

    for (unsigned k = 0; k < 4; k++)
        r.d[k] = i->imm >> (4 + k) & 1
                     ? sq_f32_mul_fast(x.d[k], y.d[k], &env)
                     : 0;
    next_step(c, i, &env);
    sum = sq_f32_add_fast(r.d[0], r.d[1], &env);
    r.d[2] = sq_f32_add_fast(r.d[2], r.d[3], &env);
    next_step(c, i, &env);
    sum = sq_f32_add_fast(sum, r.d[2], &env);
    sq_sse_finish(c, i, &env);
    for (unsigned k = 0; k < 4; k++)
        r.d[k] = i->imm >> k & 1 ? sum : 0;
    return r.v;
}

OUT_OF_LINE sq_vec dppd(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        sq_vec a, sq_vec b)
{
    struct sq_fp_env env = sq_sse_env(c);
    uint64_t x, y;

    x = i->imm & 16 ? sq_f64_mul_fast(a[0], b[0], &env) : 0;
    y = i->imm & 32 ? sq_f64_mul_fast(a[1], b[1], &env) : 0;
    next_step(c, i, &env);
    x = sq_f64_add_fast(x, y, &env);
    sq_sse_finish(c, i, &env);
    return (sq_vec){i->imm & 1 ? x : 0, i->imm & 2 ? x : 0};
}

SSE_OP(dpps, dpps(c, i, a, b))
SSE_OP(dppd, dppd(c, i, a, b))

/* --- rounding to integers -------------------------------------------- */

OUT_OF_LINE uint32_t round_ss(struct sq_x86_cpu *c,
                              const struct sq_x86_insn *i, uint32_t v)
{
    struct sq_fp_env env = sq_sse_env(c);

    v = sq_f32_round(v, (uint8_t)i->imm, &env);
    sq_sse_finish(c, i, &env);
    return v;
}

OUT_OF_LINE uint64_t round_sd(struct sq_x86_cpu *c,
                              const struct sq_x86_insn *i, uint64_t v)
{
    struct sq_fp_env env = sq_sse_env(c);

    v = sq_f64_round(v, (uint8_t)i->imm, &env);
    sq_sse_finish(c, i, &env);
    return v;
}

OUT_OF_LINE sq_vec round_ps(struct sq_x86_cpu *c,
                            const struct sq_x86_insn *i, sq_vec v)
{
    struct sq_fp_env env = sq_sse_env(c);
    union sq_lanes x = sq_lanes(v);

    for (unsigned k = 0; k < 4; k++)
        x.d[k] = sq_f32_round(x.d[k], (uint8_t)i->imm, &env);
    sq_sse_finish(c, i, &env);
    return x.v;
}

OUT_OF_LINE sq_vec round_pd(struct sq_x86_cpu *c,
                            const struct sq_x86_insn *i, sq_vec v)
{
    struct sq_fp_env env = sq_sse_env(c);

    v[0] = sq_f64_round(v[0], (uint8_t)i->imm, &env);
    v[1] = sq_f64_round(v[1], (uint8_t)i->imm, &env);
    sq_sse_finish(c, i, &env);
    return v;
}

/* Scalar instructions that do not read the destination. */
#define UNARY_SCALAR(name, n, field, expr)                                 \
    OP(name##_r)                                                           \
    {                                                                      \
        U(n) b = c->ymm[i->rm].field[0];                                   \
                                                                           \
        sq_sse_check(c, i);                                                \
        c->ymm[i->reg].field[0] = expr;                                    \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m)                                                           \
    {                                                                      \
        U(n) b;                                                            \
                                                                           \
        sq_sse_check(c, i);                                                \
        b = sq_sse_load##n(c, i);                                          \
        c->ymm[i->reg].field[0] = expr;                                    \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name, name##_r, name##_m)

UNARY_SCALAR(roundss, 32, d, round_ss(c, i, b))
UNARY_SCALAR(roundsd, 64, q, round_sd(c, i, b))
SSE_OP(roundps, round_ps(c, i, b))
SSE_OP(roundpd, round_pd(c, i, b))

/* --- approximations -------------------------------------------------- */

/* A positive or negative number to 12 fraction bits; too small is zero. The
 * architecture asks for a relative error of at most 1.5 * 2^-12. */
static uint32_t approximate(double v)
{
    uint64_t q;
    uint32_t d;
    float f;

    memcpy(&q, &v, sizeof(q));
    q = (q + (1ull << 39)) & ~((1ull << 40) - 1);
    memcpy(&v, &q, sizeof(q));
    f = (float)v;
    memcpy(&d, &f, sizeof(d));
    return d & 0x7f800000 ? d : d & 0x80000000;
}

/* RCPSS and RSQRTSS report nothing, take denormals for zeros and ignore the
 * rounding mode. */
uint32_t sq_sse_reciprocal(uint32_t a)
{
    uint32_t exp = a & 0x7f800000, sign = a & 0x80000000;
    float f;

    if (exp == 0)
        return sign | 0x7f800000;
    if (exp == 0x7f800000)
        return a << 9 ? a | 0x400000 : sign;
    memcpy(&f, &a, sizeof(f));
    return approximate(1.0 / (double)f);
}

uint32_t sq_sse_reciprocal_root(uint32_t a)
{
    uint32_t exp = a & 0x7f800000, sign = a & 0x80000000;
    float f;

    if (exp == 0)
        return sign | 0x7f800000;
    if (exp == 0x7f800000 && a << 9)
        return a | 0x400000;
    if (sign)
        return 0xffc00000;
    if (exp == 0x7f800000)
        return 0;
    memcpy(&f, &a, sizeof(f));
    return approximate(1.0 / __builtin_sqrt((double)f));
}

static sq_vec each_lane(uint32_t (*fn)(uint32_t a), sq_vec v)
{
    union sq_lanes x = sq_lanes(v);

    for (unsigned k = 0; k < 4; k++)
        x.d[k] = fn(x.d[k]);
    return x.v;
}

UNARY_SCALAR(rcpss, 32, d, sq_sse_reciprocal(b))
UNARY_SCALAR(rsqrtss, 32, d, sq_sse_reciprocal_root(b))
SSE_OP(rcpps, each_lane(sq_sse_reciprocal, b))
SSE_OP(rsqrtps, each_lane(sq_sse_reciprocal_root, b))

/* --- comparisons ----------------------------------------------------- */

/* CMPPS and its kin: predicate 0..3 is eq, lt, le, unord; 4..7 their
 * opposites. lt and le complain about quiet NaNs. */
static bool holds(enum sq_fp_rel rel, unsigned predicate)
{
    bool r;

    switch (predicate & 3) {
    case 0: r = rel == SQ_FP_EQUAL; break;
    case 1: r = rel == SQ_FP_LESS; break;
    case 2: r = rel == SQ_FP_LESS || rel == SQ_FP_EQUAL; break;
    default: r = rel == SQ_FP_UNORDERED; break;
    }
    return r != (predicate >> 2 & 1);
}

static inline bool predicate_signals(unsigned predicate)
{
    return (predicate & 3) == 1 || (predicate & 3) == 2;
}

static uint32_t cmp32(uint32_t a, uint32_t b, unsigned predicate,
                      struct sq_fp_env *env)
{
    return holds(sq_f32_compare(a, b, predicate_signals(predicate), env),
                 predicate)
               ? UINT32_MAX
               : 0;
}

static uint64_t cmp64(uint64_t a, uint64_t b, unsigned predicate,
                      struct sq_fp_env *env)
{
    return holds(sq_f64_compare(a, b, predicate_signals(predicate), env),
                 predicate)
               ? UINT64_MAX
               : 0;
}

#define CMP_PACKED(sfx, n, field, vf)                                      \
    OUT_OF_LINE sq_vec cmp##sfx##_slow(struct sq_x86_cpu *c,               \
                                       const struct sq_x86_insn *i,        \
                                       sq_vec a, sq_vec b)                 \
    {                                                                      \
        struct sq_fp_env env = sq_sse_env(c);                              \
        union sq_lanes x = sq_lanes(a), y = sq_lanes(b);                   \
                                                                           \
        for (unsigned k = 0; k < 128 / n; k++)                             \
            x.field[k] = cmp##n(x.field[k], y.field[k], i->imm & 7, &env); \
        sq_sse_finish(c, i, &env);                                         \
        return x.v;                                                        \
    }                                                                      \
    static inline sq_vec cmp##sfx(struct sq_x86_cpu *c,                    \
                                  const struct sq_x86_insn *i, sq_vec a,   \
                                  sq_vec b)                                \
    {                                                                      \
        vf x = (vf)a, y = (vf)b;                                           \
        sq_vec m = {0, 0};                                                 \
                                                                           \
        if (!all_ones(plain_##sfx(a) & plain_##sfx(b)))                    \
            return cmp##sfx##_slow(c, i, a, b);                            \
        switch (i->imm & 3) {                                              \
        case 0: m = (sq_vec)(x == y); break;                               \
        case 1: m = (sq_vec)(x < y); break;                                \
        case 2: m = (sq_vec)(x <= y); break;                               \
        default: break;                                                    \
        }                                                                  \
        return i->imm & 4 ? ~m : m;                                        \
    }                                                                      \
    SSE_OP(cmp##sfx, cmp##sfx(c, i, a, b))
CMP_PACKED(ps, 32, d, sq_v4f32)
CMP_PACKED(pd, 64, q, sq_v2f64)

#define CMP_SCALAR(sfx, n, field, host)                                    \
    OUT_OF_LINE U(n) cmp##sfx##_slow(struct sq_x86_cpu *c,                 \
                                     const struct sq_x86_insn *i, U(n) a,  \
                                     U(n) b)                               \
    {                                                                      \
        struct sq_fp_env env = sq_sse_env(c);                              \
                                                                           \
        a = cmp##n(a, b, i->imm & 7, &env);                                \
        sq_sse_finish(c, i, &env);                                         \
        return a;                                                          \
    }                                                                      \
    static inline U(n) cmp##sfx(struct sq_x86_cpu *c,                      \
                                const struct sq_x86_insn *i, U(n) a,       \
                                U(n) b)                                    \
    {                                                                      \
        host x, y;                                                         \
                                                                           \
        if (!sq_f##n##_plain(a) || !sq_f##n##_plain(b))                    \
            return cmp##sfx##_slow(c, i, a, b);                            \
        memcpy(&x, &a, sizeof(x));                                         \
        memcpy(&y, &b, sizeof(y));                                         \
        return holds(x < y    ? SQ_FP_LESS                                 \
                     : x == y ? SQ_FP_EQUAL                                \
                              : SQ_FP_GREATER,                             \
                     i->imm & 7)                                           \
                   ? (U(n))-1                                              \
                   : 0;                                                    \
    }                                                                      \
    UNARY_SCALAR(cmp##sfx, n, field,                                       \
                 cmp##sfx(c, i, c->ymm[i->reg].field[0], b))
CMP_SCALAR(ss, 32, d, float)
CMP_SCALAR(sd, 64, q, double)

/* COMISS and UCOMISS: the relation in ZF, PF and CF. */
static inline void set_relation(struct sq_x86_cpu *c, enum sq_fp_rel rel)
{
    static const uint8_t flags[4] = {FL_CF, FL_ZF, 0,
                                     FL_ZF | FL_PF | FL_CF};

    sq_set_status(c, flags[rel + 1]);
}

#define COMI(n, host)                                                      \
    OUT_OF_LINE void comi##n##_slow(struct sq_x86_cpu *c,                  \
                                    const struct sq_x86_insn *i, U(n) a,   \
                                    U(n) b, bool signaling)                \
    {                                                                      \
        struct sq_fp_env env = sq_sse_env(c);                              \
        enum sq_fp_rel rel = sq_f##n##_compare(a, b, signaling, &env);     \
                                                                           \
        sq_sse_finish(c, i, &env);                                         \
        set_relation(c, rel);                                              \
    }                                                                      \
    static inline void comi##n(struct sq_x86_cpu *c,                       \
                               const struct sq_x86_insn *i, U(n) a,        \
                               U(n) b, bool signaling)                     \
    {                                                                      \
        host x, y;                                                         \
                                                                           \
        if (!sq_f##n##_plain(a) || !sq_f##n##_plain(b)) {                  \
            comi##n##_slow(c, i, a, b, signaling);                         \
            return;                                                        \
        }                                                                  \
        memcpy(&x, &a, sizeof(x));                                         \
        memcpy(&y, &b, sizeof(y));                                         \
        sq_set_status(c, x < y ? FL_CF : x == y ? FL_ZF : 0);              \
    }
COMI(32, float)
COMI(64, double)

#define COMI_FAMILY(name, n, field, signaling)                             \
    OP(name##_r)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        comi##n(c, i, c->ymm[i->reg].field[0], c->ymm[i->rm].field[0],     \
                signaling);                                                \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        comi##n(c, i, c->ymm[i->reg].field[0], sq_sse_load##n(c, i),       \
                signaling);                                                \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name, name##_r, name##_m)
COMI_FAMILY(comiss, 32, d, true)
COMI_FAMILY(comisd, 64, q, true)
COMI_FAMILY(ucomiss, 32, d, false)
COMI_FAMILY(ucomisd, 64, q, false)

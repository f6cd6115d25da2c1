/* SPDX-License-Identifier: Apache-2.0 */
/* binary32 and binary64 by the rules of SSE. */
#include "backends/soft/x86_64/fp/fp_internal.h"

typedef struct sq_fp_parts arith_fn(struct sq_fp_parts a, struct sq_fp_parts b,
                                    const struct sq_fp_format *f, unsigned prec,
                                    struct sq_fp_env *env);

static inline struct sq_fp_parts operand(uint64_t bits,
                                         const struct sq_fp_format *f,
                                         const struct sq_fp_env *env)
{
    struct sq_fp_parts p = sq_fp_unpack(bits, f);

    if (p.denormal && env->daz)
        return sq_fp_special(SQ_FPC_ZERO, p.sign);
    return p;
}

/* The first operand if it is a NaN, else the second; always quiet. */
static struct sq_fp_parts choose_nan(const struct sq_fp_parts *a,
                                     const struct sq_fp_parts *b,
                                     struct sq_fp_env *env)
{
    if (a->cls == SQ_FPC_SNAN || b->cls == SQ_FPC_SNAN)
        sq_fp_raise(env, SQ_FP_IE);
    return sq_fp_quieted(sq_fp_is_nan(a) ? *a : *b);
}

static inline uint64_t arith(uint64_t x, uint64_t y, bool negate,
                             const struct sq_fp_format *f, arith_fn *fn,
                             struct sq_fp_env *env)
{
    struct sq_fp_parts a = operand(x, f, env), b = operand(y, f, env);

    if (sq_fp_is_nan(&a) || sq_fp_is_nan(&b))
        return sq_fp_pack(choose_nan(&a, &b, env), f);
    b.sign ^= negate;
    return sq_fp_pack(fn(a, b, f, f->frac_bits + 1u, env), f);
}

static inline uint64_t root(uint64_t x, const struct sq_fp_format *f,
                            struct sq_fp_env *env)
{
    struct sq_fp_parts a = operand(x, f, env);

    if (sq_fp_is_nan(&a))
        return sq_fp_pack(choose_nan(&a, &a, env), f);
    return sq_fp_pack(sq_fp_sqrt(a, f, f->frac_bits + 1u, env), f);
}

static inline enum sq_fp_rel compare(uint64_t x, uint64_t y, bool signaling,
                                     const struct sq_fp_format *f,
                                     struct sq_fp_env *env)
{
    struct sq_fp_parts a = operand(x, f, env), b = operand(y, f, env);

    if (sq_fp_is_nan(&a) || sq_fp_is_nan(&b)) {
        if (signaling || a.cls == SQ_FPC_SNAN || b.cls == SQ_FPC_SNAN)
            sq_fp_raise(env, SQ_FP_IE);
        return SQ_FP_UNORDERED;
    }
    sq_fp_raise(env, sq_fp_de(&a) | sq_fp_de(&b));
    return sq_fp_order(&a, &b);
}

/* The operand itself, as the processor returns it: DAZ makes it a zero. */
static inline uint64_t choose(uint64_t x, uint64_t y, enum sq_fp_rel wanted,
                              const struct sq_fp_format *f,
                              struct sq_fp_env *env)
{
    uint64_t pick = compare(x, y, true, f, env) == wanted ? x : y;
    struct sq_fp_parts p = operand(pick, f, env);

    return p.cls == SQ_FPC_ZERO ? sq_fp_pack(p, f) : pick;
}

static inline uint64_t round_int(uint64_t x, uint8_t imm,
                                 const struct sq_fp_format *f,
                                 struct sq_fp_env *env)
{
    struct sq_fp_parts a = operand(x, f, env);
    unsigned rounding = imm & 3;
    bool inexact, up, huge;
    uint64_t n;

    if (sq_fp_is_nan(&a))
        return sq_fp_pack(choose_nan(&a, &a, env), f);
    if (a.cls != SQ_FPC_FINITE)
        return sq_fp_pack(a, f);
    if (a.exp >= f->frac_bits)
        return x;
    if (imm & SQ_FP_ROUND_CURRENT)
        rounding = env->rounding;
    n = sq_fp_integer(&a, rounding, &inexact, &up, &huge);
    if (inexact && !(imm & SQ_FP_ROUND_QUIET))
        sq_fp_raise(env, SQ_FP_PE);
    if (n == 0)
        return sq_fp_pack(sq_fp_special(SQ_FPC_ZERO, a.sign), f);
    return sq_fp_pack(sq_fp_normal(a.sign, 63, n), f);
}

static inline int64_t to_int(uint64_t x, unsigned bits, bool trunc,
                             const struct sq_fp_format *f,
                             struct sq_fp_env *env)
{
    struct sq_fp_parts a = operand(x, f, env);

    return sq_fp_to_int(&a, bits, trunc ? SQ_FP_ZERO : env->rounding, env);
}

static inline uint64_t from_int(int64_t n, const struct sq_fp_format *f,
                                struct sq_fp_env *env)
{
    struct sq_fp_parts p;

    if (n == 0)
        return 0;
    p = sq_fp_normal(n < 0, 63, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
    p = sq_fp_round(sq_fp_to_raw(p), f, f->frac_bits + 1u, env);
    return sq_fp_pack(p, f);
}

static inline uint64_t widen_or_narrow(uint64_t x,
                                       const struct sq_fp_format *from,
                                       const struct sq_fp_format *to,
                                       struct sq_fp_env *env)
{
    struct sq_fp_parts a = operand(x, from, env);

    if (sq_fp_is_nan(&a))
        return sq_fp_pack(choose_nan(&a, &a, env), to);
    if (sq_fp_raise(env, sq_fp_de(&a)))
        return 0;
    if (a.cls == SQ_FPC_FINITE)
        a = sq_fp_round(sq_fp_to_raw(a), to, to->frac_bits + 1u, env);
    return sq_fp_pack(a, to);
}

#define BINARY(fmt, uint, name, fn, negate)                                    \
    uint sq_##fmt##_##name(uint a, uint b, struct sq_fp_env *env)              \
    {                                                                          \
        return (uint)arith(a, b, negate, &sq_fp_##fmt, fn, env);               \
    }

#define FORMAT(fmt, uint)                                                      \
    BINARY(fmt, uint, add, sq_fp_add, false)                                   \
    BINARY(fmt, uint, sub, sq_fp_add, true)                                    \
    BINARY(fmt, uint, mul, sq_fp_mul, false)                                   \
    BINARY(fmt, uint, div, sq_fp_div, false)                                   \
    uint sq_##fmt##_sqrt(uint a, struct sq_fp_env *env)                        \
    {                                                                          \
        return (uint)root(a, &sq_fp_##fmt, env);                               \
    }                                                                          \
    uint sq_##fmt##_min(uint a, uint b, struct sq_fp_env *env)                 \
    {                                                                          \
        return (uint)choose(a, b, SQ_FP_LESS, &sq_fp_##fmt, env);              \
    }                                                                          \
    uint sq_##fmt##_max(uint a, uint b, struct sq_fp_env *env)                 \
    {                                                                          \
        return (uint)choose(a, b, SQ_FP_GREATER, &sq_fp_##fmt, env);           \
    }                                                                          \
    enum sq_fp_rel sq_##fmt##_compare(uint a, uint b, bool signaling,          \
                                      struct sq_fp_env *env)                   \
    {                                                                          \
        return compare(a, b, signaling, &sq_fp_##fmt, env);                    \
    }                                                                          \
    uint sq_##fmt##_round(uint a, uint8_t imm, struct sq_fp_env *env)          \
    {                                                                          \
        return (uint)round_int(a, imm, &sq_fp_##fmt, env);                     \
    }                                                                          \
    int32_t sq_##fmt##_to_i32(uint a, bool trunc, struct sq_fp_env *env)       \
    {                                                                          \
        return (int32_t)to_int(a, 32, trunc, &sq_fp_##fmt, env);               \
    }                                                                          \
    int64_t sq_##fmt##_to_i64(uint a, bool trunc, struct sq_fp_env *env)       \
    {                                                                          \
        return to_int(a, 64, trunc, &sq_fp_##fmt, env);                        \
    }                                                                          \
    uint sq_##fmt##_from_i64(int64_t a, struct sq_fp_env *env)                 \
    {                                                                          \
        return (uint)from_int(a, &sq_fp_##fmt, env);                           \
    }

FORMAT(f32, uint32_t)
FORMAT(f64, uint64_t)

uint64_t sq_f32_to_f64(uint32_t a, struct sq_fp_env *env)
{
    return widen_or_narrow(a, &sq_fp_f32, &sq_fp_f64, env);
}

uint32_t sq_f64_to_f32(uint64_t a, struct sq_fp_env *env)
{
    return (uint32_t)widen_or_narrow(a, &sq_fp_f64, &sq_fp_f32, env);
}

/* --- multiply-add ---------------------------------------------------- */

/* The first NaN of x, y, z. An invalid product counts only if no operand is
 * a NaN (SDM vol. 1, 14.5.2). */
static struct sq_fp_parts choose_nan3(const struct sq_fp_parts *x,
                                      const struct sq_fp_parts *y,
                                      const struct sq_fp_parts *z,
                                      struct sq_fp_env *env)
{
    if (x->cls == SQ_FPC_SNAN || y->cls == SQ_FPC_SNAN ||
        z->cls == SQ_FPC_SNAN)
        sq_fp_raise(env, SQ_FP_IE);
    return sq_fp_quieted(sq_fp_is_nan(x) ? *x : sq_fp_is_nan(y) ? *y : *z);
}

static struct sq_fp_parts fused(struct sq_fp_parts x, struct sq_fp_parts y,
                                struct sq_fp_parts z,
                                const struct sq_fp_format *f,
                                struct sq_fp_env *env)
{
    bool sign = x.sign != y.sign;
    bool infinite = x.cls == SQ_FPC_INF || y.cls == SQ_FPC_INF;
    bool zero = x.cls == SQ_FPC_ZERO || y.cls == SQ_FPC_ZERO;
    struct sq_fp_raw r = {.sign = sign};

    if ((infinite && zero) ||
        (infinite && z.cls == SQ_FPC_INF && z.sign != sign)) {
        sq_fp_raise(env, SQ_FP_IE);
        return sq_fp_indefinite();
    }
    if (sq_fp_raise(env, sq_fp_de(&x) | sq_fp_de(&y) | sq_fp_de(&z)))
        return x;
    if (infinite)
        return sq_fp_special(SQ_FPC_INF, sign);
    if (z.cls == SQ_FPC_INF)
        return z;
    if (zero && z.cls == SQ_FPC_ZERO) {
        if (sign != z.sign)
            z.sign = env->rounding == SQ_FP_DOWN;
        return z;
    }
    if (!zero) {
        r.sig = (sq_fp_u128)x.sig * y.sig;
        r.exp = x.exp + y.exp + 1;
        r = sq_fp_normalise(r);
    }
    /* The product has at most 106 bits: none is lost before the sum. */
    if (z.cls != SQ_FPC_ZERO)
        r = sq_fp_raw_add(r, sq_fp_to_raw(z));
    if (r.sig == 0)
        return sq_fp_special(SQ_FPC_ZERO, env->rounding == SQ_FP_DOWN);
    return sq_fp_round(r, f, f->frac_bits + 1u, env);
}

static inline uint64_t muladd(uint64_t a, uint64_t b, uint64_t c,
                              unsigned negate, const struct sq_fp_format *f,
                              struct sq_fp_env *env)
{
    struct sq_fp_parts x = operand(a, f, env), y = operand(b, f, env);
    struct sq_fp_parts z = operand(c, f, env);

    if (sq_fp_is_nan(&x) || sq_fp_is_nan(&y) || sq_fp_is_nan(&z))
        return sq_fp_pack(choose_nan3(&x, &y, &z, env), f);
    x.sign ^= negate & SQ_FP_NEGATE_PRODUCT;
    z.sign ^= !!(negate & SQ_FP_NEGATE_ADDEND);
    return sq_fp_pack(fused(x, y, z, f, env), f);
}

uint32_t sq_f32_muladd(uint32_t a, uint32_t b, uint32_t c, unsigned negate,
                       struct sq_fp_env *env)
{
    return (uint32_t)muladd(a, b, c, negate, &sq_fp_f32, env);
}

uint64_t sq_f64_muladd(uint64_t a, uint64_t b, uint64_t c, unsigned negate,
                       struct sq_fp_env *env)
{
    return muladd(a, b, c, negate, &sq_fp_f64, env);
}

/* --- binary16 -------------------------------------------------------- */

static const struct sq_fp_format f16 = {-14, 15, 10, 5, SQ_FPT_SSE};

/* Exact; denormals are numbers like others (SDM vol. 1, 14.4.1). */
uint32_t sq_f16_to_f32(uint16_t a, struct sq_fp_env *env)
{
    struct sq_fp_parts p = sq_fp_unpack(a, &f16);

    if (sq_fp_is_nan(&p))
        p = choose_nan(&p, &p, env);
    return (uint32_t)sq_fp_pack(p, &sq_fp_f32);
}

uint16_t sq_f32_to_f16(uint32_t a, uint8_t imm, struct sq_fp_env *env)
{
    bool ftz = env->ftz;
    uint8_t rounding = env->rounding;
    uint64_t r;

    if (!(imm & SQ_FP_ROUND_CURRENT))
        env->rounding = imm & 3;
    env->ftz = false;
    r = widen_or_narrow(a, &sq_fp_f32, &f16, env);
    env->ftz = ftz;
    env->rounding = rounding;
    return (uint16_t)r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * F2XM1, FYL2X, FYL2XP1 and the constants.
 *
 * As in f80_trig.c, raw numbers of 128 bits and series by Horner's rule in
 * fixed point. Logarithms use log m = 2 atanh((m - 1) / (m + 1)) with m
 * between the square roots of one half and two: m - 1 is exact, so nothing
 * cancels near one.
 */
#include "backends/soft/x86_64/fp/fp_f80.h"

#define EXP_TERMS 34   /* (ln 2)^34 / 35! < 2^-150 */
#define ATANH_TERMS 25 /* 0.1716^50 / 51 < 2^-132 */

static const struct sq_fp_raw ln2 = {
    .sig = SQ_FP_U128(0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af),
    .exp = -1,
};
/* 2 / ln 2 */
static const struct sq_fp_raw two_log2_e = {
    .sig = SQ_FP_U128(0xb8aa3b295c17f0bb, 0xbe87fed0691d3e89),
    .exp = 1,
};
static const struct sq_fp_raw one = {.sig = (sq_fp_u128)1 << 127};
static const struct sq_fp_raw two = {.sig = (sq_fp_u128)1 << 127, .exp = 1};

/* The upper 64 bits of the square root of two. */
#define SQRT2_HIGH 0xb504f333f9de6484ull

/* 2 atanh(num / den) / ln 2 for a quotient of at most 0.172. */
static struct sq_fp_raw log2_ratio(struct sq_fp_raw num, struct sq_fp_raw den)
{
    struct sq_fp_raw s, f = one;
    sq_fp_u128 s2, sum = 0;
    unsigned k;

    if (num.sig == 0)
        return num;
    s = sq_fp_raw_div(num, den);
    s2 = sq_fp_fixed(s);
    s2 = sq_fp_mul_fixed(s2, s2);
    for (k = ATANH_TERMS; k > 0; k--)
        sum = sq_fp_mul_fixed(s2, ~(sq_fp_u128)0 / (2 * k + 1) + sum);
    f.sig += sum >> 1;
    s = sq_fp_raw_mul(sq_fp_raw_mul(s, two_log2_e), f);
    s.sig |= 1;
    return s;
}

/* log2 of a positive number: exact for a power of two, else sticky. */
static struct sq_fp_raw log2_raw(struct sq_fp_raw v)
{
    struct sq_fp_raw num = {0}, den = {0}, whole = {0};
    int32_t exp = v.exp;

    if ((uint64_t)(v.sig >> 64) >= SQRT2_HIGH) {
        /* m = sig * 2^-128 < 1 */
        exp++;
        num.sig = 0 - v.sig;
        num.exp = -1;
        num.sign = true;
        den.sig = (v.sig >> 1) + one.sig;
    } else {
        num.sig = v.sig - one.sig;
        den.sig = (v.sig >> 1) + one.sig / 2;
        den.exp = 1;
    }
    if (exp != 0) {
        whole.sign = exp < 0;
        whole.sig = (sq_fp_u128)(exp < 0 ? -(int64_t)exp : exp);
        whole.exp = 127;
        whole = sq_fp_normalise(whole);
    }
    return sq_fp_raw_add(whole, log2_ratio(sq_fp_normalise(num), den));
}

struct sq_f80 sq_f80_exp2m1(struct sq_f80 x, struct sq_fp_env *env)
{
    const sq_fp_u128 unit = (sq_fp_u128)1 << 126;
    struct sq_fp_parts a, b;
    struct sq_fp_raw z, r = {.exp = 1};
    sq_fp_u128 step, sum;
    struct sq_f80 out;
    unsigned n;

    if (!sq_fp_begin80(x, x, &a, &b, &out, env))
        return out;
    if (a.cls == SQ_FPC_INF)
        return a.sign ? sq_f80_from_i64(-1) : x;
    if (sq_fp_raise(env, sq_fp_de(&a)) || a.cls == SQ_FPC_ZERO)
        return x;
    if (a.exp >= 0) {
        /*
         * 2^1 - 1 = 1, 2^-1 - 1 = -1/2; beyond, the result is undefined.
         * Processors report all of these as inexact.
         */
        sq_fp_raise(env, SQ_FP_PE);
        if (a.exp == 0 && a.sig == SQ_FP_INT_BIT && a.sign) {
            a.exp = -1;
            return sq_fp_pack80(a);
        }
        return x;
    }
    /* e^z - 1 = z (1 + z/2 (1 + z/3 (...))), the sum with 126 bits. */
    z = sq_fp_raw_mul(sq_fp_to_raw(a), ln2);
    sum = unit;
    for (n = EXP_TERMS; n >= 2; n--) {
        step = sq_fp_mul_fixed(sq_fp_fixed(z), sum) / n;
        sum = z.sign ? unit - step : unit + step;
    }
    r.sig = sum;
    r = sq_fp_raw_mul(z, sq_fp_normalise(r));
    r.sig |= 1;
    return sq_fp_pack80(sq_fp_round(r, &sq_fp_f80, 64, env));
}

/*
 * y times a logarithm that is zero or infinite, or with y zero or infinite.
 * The logarithm's class and sign are in `l`.
 */
static struct sq_f80 special_product(struct sq_fp_parts y, struct sq_fp_parts l,
                                     struct sq_fp_env *env)
{
    bool sign = y.sign != l.sign;

    if (y.cls == SQ_FPC_INF || l.cls == SQ_FPC_INF) {
        if (y.cls == SQ_FPC_ZERO || l.cls == SQ_FPC_ZERO)
            return sq_fp_invalid80(env);
        return sq_fp_pack80(sq_fp_special(SQ_FPC_INF, sign));
    }
    return sq_fp_pack80(sq_fp_special(SQ_FPC_ZERO, sign));
}

static struct sq_f80 product(struct sq_fp_parts y, struct sq_fp_raw log,
                             struct sq_fp_env *env)
{
    struct sq_fp_raw r = sq_fp_raw_mul(sq_fp_to_raw(y), log);

    /* Processors say so even when log2 of a power of two makes it exact. */
    sq_fp_raise(env, SQ_FP_PE);
    return sq_fp_pack80(sq_fp_round(r, &sq_fp_f80, 64, env));
}

struct sq_f80 sq_f80_ylog2x(struct sq_f80 sy, struct sq_f80 sx,
                            struct sq_fp_env *env)
{
    struct sq_fp_parts y, x, l = {0};
    struct sq_f80 out;

    if (!sq_fp_begin80(sy, sx, &y, &x, &out, env))
        return out;
    if (x.sign && x.cls != SQ_FPC_ZERO)
        return sq_fp_invalid80(env);
    if (x.cls == SQ_FPC_ZERO) {
        if (y.cls == SQ_FPC_ZERO)
            return sq_fp_invalid80(env);
        if (y.cls == SQ_FPC_FINITE && sq_fp_raise(env, SQ_FP_ZE))
            return sx;
        return sq_fp_pack80(sq_fp_special(SQ_FPC_INF, !y.sign));
    }
    l.cls = x.cls;
    if (x.cls == SQ_FPC_FINITE) {
        l.sign = x.exp < 0;
        if (x.exp == 0 && x.sig == SQ_FP_INT_BIT)
            l.cls = SQ_FPC_ZERO;
    }
    if ((y.cls == SQ_FPC_INF && l.cls == SQ_FPC_ZERO) ||
        (y.cls == SQ_FPC_ZERO && l.cls == SQ_FPC_INF))
        return sq_fp_invalid80(env);
    if (sq_fp_raise(env, sq_fp_de(&y) | sq_fp_de(&x)))
        return sx;
    if (y.cls != SQ_FPC_FINITE || l.cls != SQ_FPC_FINITE)
        return special_product(y, l, env);
    return product(y, log2_raw(sq_fp_to_raw(x)), env);
}

struct sq_f80 sq_f80_ylog2xp1(struct sq_f80 sy, struct sq_f80 sx,
                              struct sq_fp_env *env)
{
    struct sq_fp_parts y, x;
    struct sq_fp_raw rx, sum, log;
    struct sq_f80 out;

    if (!sq_fp_begin80(sy, sx, &y, &x, &out, env))
        return out;
    if (x.sign && x.cls == SQ_FPC_INF)
        return sq_fp_invalid80(env);
    if ((y.cls == SQ_FPC_INF && x.cls == SQ_FPC_ZERO) ||
        (y.cls == SQ_FPC_ZERO && x.cls == SQ_FPC_INF))
        return sq_fp_invalid80(env);
    if (sq_fp_raise(env, sq_fp_de(&y) | sq_fp_de(&x)))
        return sx;
    if (y.cls != SQ_FPC_FINITE || x.cls != SQ_FPC_FINITE)
        return special_product(y, x, env);
    if (x.sign && x.exp >= 0) {
        /* Undefined by the manual; processors give the operand. */
        sq_fp_raise(env, SQ_FP_PE);
        return sx;
    }
    rx = sq_fp_to_raw(x);
    /*
     * log2(1 + x) = 2 atanh(x / (2 + x)) / ln 2 converges while |x| is below
     * the instruction's limit, 1 - sqrt(1/2); larger ones round 1 + x first.
     */
    if (x.exp < -2 || (x.exp == -2 && x.sig < 0x95f619980c4336f7ull)) {
        sum = sq_fp_raw_add(two, rx);
        log = log2_ratio(rx, sum);
    } else {
        log = log2_raw(sq_fp_raw_add(one, rx));
    }
    return product(y, log, env);
}

struct sq_f80 sq_f80_load_constant(enum sq_f80_constant which,
                                   const struct sq_fp_env *env)
{
    static const struct sq_fp_raw table[] = {
        [SQ_F80_LOG2_10] =
            {
                .sig = SQ_FP_U128(0xd49a784bcd1b8afe, 0x492bf6ff4dafdb4d),
                .exp = 1,
            },
        [SQ_F80_LOG2_E] =
            {
                .sig = SQ_FP_U128(0xb8aa3b295c17f0bb, 0xbe87fed0691d3e89),
                .exp = 0,
            },
        [SQ_F80_PI] =
            {
                .sig = SQ_FP_U128(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1),
                .exp = 1,
            },
        [SQ_F80_LOG10_2] =
            {
                .sig = SQ_FP_U128(0x9a209a84fbcff798, 0x8f8959ac0b7c9178),
                .exp = -2,
            },
        [SQ_F80_LN_2] =
            {
                .sig = SQ_FP_U128(0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af),
                .exp = -1,
            },
    };
    struct sq_fp_env quiet = *env; /* the loads report nothing */

    return sq_fp_pack80(sq_fp_round(table[which], &sq_fp_f80, 64, &quiet));
}

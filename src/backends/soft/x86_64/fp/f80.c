/* SPDX-License-Identifier: Apache-2.0 */
/* Double-extended arithmetic by the rules of the x87. */
#include "backends/soft/x86_64/fp/fp_f80.h"

struct sq_fp_parts sq_fp_unpack80(struct sq_f80 a)
{
    unsigned exp = a.se & 0x7fff;
    bool integer = a.sig >> 63;
    struct sq_fp_parts p = {.sig = a.sig, .sign = a.se >> 15};

    if (exp == 0) {
        if (a.sig == 0)
            return p;
        /* A pseudo-denormal has its integer bit set; same exponent. */
        p = sq_fp_normal(p.sign, sq_fp_f80.emin, a.sig);
        p.denormal = true;
    } else if (!integer) {
        p.cls = SQ_FPC_UNSUPPORTED;
    } else if (exp != 0x7fff) {
        p.cls = SQ_FPC_FINITE;
        p.exp = (int32_t)exp - 16383;
    } else if (a.sig << 1 == 0) {
        p.cls = SQ_FPC_INF;
    } else {
        p.cls = a.sig & SQ_FP_QUIET_BIT ? SQ_FPC_QNAN : SQ_FPC_SNAN;
    }
    return p;
}

struct sq_f80 sq_fp_pack80(struct sq_fp_parts p)
{
    struct sq_f80 a = {.se = (uint16_t)(p.sign << 15)};

    switch (p.cls) {
    case SQ_FPC_ZERO:
        break;
    case SQ_FPC_INF:
        a.se |= 0x7fff;
        a.sig = SQ_FP_INT_BIT;
        break;
    case SQ_FPC_FINITE:
        if (p.sig >> 63)
            a.se |= (uint16_t)(p.exp + 16383);
        a.sig = p.sig;
        break;
    default:
        a.se |= 0x7fff;
        a.sig = p.sig;
        break;
    }
    return a;
}

/* Volume 1, table 4-7: quiet before signaling, then larger, then positive. */
static struct sq_fp_parts choose_nan(struct sq_fp_parts a, struct sq_fp_parts b)
{
    if (!sq_fp_is_nan(&b))
        return a;
    if (!sq_fp_is_nan(&a))
        return b;
    if (a.cls != b.cls)
        return a.cls == SQ_FPC_QNAN ? a : b;
    if (a.sig != b.sig)
        return a.sig > b.sig ? a : b;
    return a.sign ? b : a;
}

bool sq_fp_begin80(struct sq_f80 x, struct sq_f80 y, struct sq_fp_parts *a,
                   struct sq_fp_parts *b, struct sq_f80 *out,
                   struct sq_fp_env *env)
{
    env->rounded_up = 0;
    *a = sq_fp_unpack80(x);
    *b = sq_fp_unpack80(y);
    if (a->cls == SQ_FPC_UNSUPPORTED || b->cls == SQ_FPC_UNSUPPORTED) {
        *out = sq_fp_invalid80(env);
        return false;
    }
    if (sq_fp_is_nan(a) || sq_fp_is_nan(b)) {
        if (a->cls == SQ_FPC_SNAN || b->cls == SQ_FPC_SNAN)
            sq_fp_raise(env, SQ_FP_IE);
        *out = sq_fp_pack80(sq_fp_quieted(choose_nan(*a, *b)));
        return false;
    }
    return true;
}

struct sq_f80 sq_f80_add(struct sq_f80 x, struct sq_f80 y,
                         struct sq_fp_env *env)
{
    struct sq_fp_parts a, b;
    struct sq_f80 out;

    if (!sq_fp_begin80(x, y, &a, &b, &out, env))
        return out;
    return sq_fp_pack80(sq_fp_add(a, b, &sq_fp_f80, env->precision, env));
}

struct sq_f80 sq_f80_sub(struct sq_f80 x, struct sq_f80 y,
                         struct sq_fp_env *env)
{
    struct sq_fp_parts a, b;
    struct sq_f80 out;

    if (!sq_fp_begin80(x, y, &a, &b, &out, env))
        return out;
    b.sign = !b.sign;
    return sq_fp_pack80(sq_fp_add(a, b, &sq_fp_f80, env->precision, env));
}

struct sq_f80 sq_f80_mul(struct sq_f80 x, struct sq_f80 y,
                         struct sq_fp_env *env)
{
    struct sq_fp_parts a, b;
    struct sq_f80 out;

    if (!sq_fp_begin80(x, y, &a, &b, &out, env))
        return out;
    return sq_fp_pack80(sq_fp_mul(a, b, &sq_fp_f80, env->precision, env));
}

struct sq_f80 sq_f80_div(struct sq_f80 x, struct sq_f80 y,
                         struct sq_fp_env *env)
{
    struct sq_fp_parts a, b;
    struct sq_f80 out;

    if (!sq_fp_begin80(x, y, &a, &b, &out, env))
        return out;
    return sq_fp_pack80(sq_fp_div(a, b, &sq_fp_f80, env->precision, env));
}

struct sq_f80 sq_f80_sqrt(struct sq_f80 x, struct sq_fp_env *env)
{
    struct sq_fp_parts a, b;
    struct sq_f80 out;

    if (!sq_fp_begin80(x, x, &a, &b, &out, env))
        return out;
    return sq_fp_pack80(sq_fp_sqrt(a, &sq_fp_f80, env->precision, env));
}

enum sq_fp_rel sq_f80_compare(struct sq_f80 x, struct sq_f80 y, bool signaling,
                              struct sq_fp_env *env)
{
    struct sq_fp_parts a, b;
    struct sq_f80 out;

    if (!sq_fp_begin80(x, y, &a, &b, &out, env)) {
        if (signaling)
            sq_fp_raise(env, SQ_FP_IE);
        return SQ_FP_UNORDERED;
    }
    sq_fp_raise(env, sq_fp_de(&a) | sq_fp_de(&b));
    return sq_fp_order(&a, &b);
}

enum sq_f80_class sq_f80_classify(struct sq_f80 a)
{
    struct sq_fp_parts p = sq_fp_unpack80(a);

    switch (p.cls) {
    case SQ_FPC_ZERO:
        return SQ_F80_ZERO;
    case SQ_FPC_FINITE:
        return p.denormal ? SQ_F80_DENORMAL : SQ_F80_NORMAL;
    case SQ_FPC_INF:
        return SQ_F80_INFINITY;
    case SQ_FPC_UNSUPPORTED:
        return SQ_F80_UNSUPPORTED;
    default:
        return SQ_F80_NAN;
    }
}

struct sq_f80 sq_f80_round(struct sq_f80 x, struct sq_fp_env *env)
{
    struct sq_fp_parts a, b;
    struct sq_f80 out;
    bool inexact, up, huge;
    uint64_t n;

    if (!sq_fp_begin80(x, x, &a, &b, &out, env))
        return out;
    if (sq_fp_raise(env, sq_fp_de(&a)) || a.cls != SQ_FPC_FINITE || a.exp >= 63)
        return x;
    n = sq_fp_integer(&a, env->rounding, &inexact, &up, &huge);
    if (inexact)
        sq_fp_raise(env, SQ_FP_PE);
    env->rounded_up = up;
    if (n == 0)
        return sq_fp_pack80(sq_fp_special(SQ_FPC_ZERO, a.sign));
    return sq_fp_pack80(sq_fp_normal(a.sign, 63, n));
}

struct sq_f80 sq_f80_scale(struct sq_f80 x, struct sq_f80 y,
                           struct sq_fp_env *env)
{
    struct sq_fp_parts a, b;
    struct sq_fp_raw r;
    struct sq_f80 out;
    int32_t n = 0;

    if (!sq_fp_begin80(x, y, &a, &b, &out, env))
        return out;
    if (b.cls == SQ_FPC_INF && a.cls == (b.sign ? SQ_FPC_INF : SQ_FPC_ZERO))
        return sq_fp_invalid80(env);
    if (sq_fp_raise(env, sq_fp_de(&a) | sq_fp_de(&b)))
        return x;
    if (a.cls == SQ_FPC_ZERO || a.cls == SQ_FPC_INF)
        return x;
    if (b.cls == SQ_FPC_INF)
        return sq_fp_pack80(
            sq_fp_special(b.sign ? SQ_FPC_ZERO : SQ_FPC_INF, a.sign));

    /* Truncated, and clamped to more than any exponent can bear. */
    if (b.cls == SQ_FPC_FINITE && b.exp >= 0)
        n = b.exp > 16 ? 1 << 17 : (int32_t)(b.sig >> (63 - b.exp));
    r = sq_fp_to_raw(a);
    r.exp += b.sign ? -n : n;
    return sq_fp_pack80(sq_fp_round(r, &sq_fp_f80, 64, env));
}

struct sq_f80 sq_f80_extract(struct sq_f80 x, struct sq_f80 *exponent,
                             struct sq_fp_env *env)
{
    struct sq_fp_parts a, b;
    struct sq_f80 out;

    if (!sq_fp_begin80(x, x, &a, &b, &out, env)) {
        *exponent = out;
        return out;
    }
    if (a.cls == SQ_FPC_INF) {
        *exponent = sq_fp_pack80(sq_fp_special(SQ_FPC_INF, false));
        return x;
    }
    if (a.cls == SQ_FPC_ZERO) {
        sq_fp_raise(env, SQ_FP_ZE);
        *exponent = sq_fp_pack80(sq_fp_special(SQ_FPC_INF, true));
        return x;
    }
    sq_fp_raise(env, sq_fp_de(&a));
    *exponent = sq_f80_from_i64(a.exp);
    a.exp = 0;
    return sq_fp_pack80(a);
}

struct sq_f80 sq_f80_rem(struct sq_f80 x, struct sq_f80 y, bool nearest,
                         uint8_t *quotient, bool *incomplete,
                         struct sq_fp_env *env)
{
    struct sq_fp_parts a, b;
    struct sq_f80 out;
    struct sq_fp_raw r;
    sq_fp_u128 num, den, q;
    int32_t distance;

    *quotient = 0;
    *incomplete = false;
    if (!sq_fp_begin80(x, y, &a, &b, &out, env))
        return out;
    if (a.cls == SQ_FPC_INF || b.cls == SQ_FPC_ZERO)
        return sq_fp_invalid80(env);
    if (sq_fp_raise(env, sq_fp_de(&a) | sq_fp_de(&b)) || a.cls == SQ_FPC_ZERO)
        return x;

    r = sq_fp_to_raw(a);
    distance = a.exp - b.exp;
    if (b.cls == SQ_FPC_INF || distance < (nearest ? -1 : 0)) {
        /* The quotient is 0: the result is the operand, normalised. */
        return sq_fp_pack80(sq_fp_round(r, &sq_fp_f80, 64, env));
    }

    r.exp = b.exp;
    num = a.sig;
    den = b.sig;
    if (distance >= 64) {
        /* Take 32 to 63 bits off the distance, a multiple at a time. */
        *incomplete = true;
        r.exp += distance;
        distance = (distance & 31) | 32;
        r.exp -= distance;
        num <<= distance;
    } else if (distance >= 0) {
        num <<= distance;
    } else {
        den <<= 1;
        r.exp--;
    }
    q = num / den;
    num %= den;
    if (!*incomplete) {
        if (nearest && (num > den - num || (num == den - num && (q & 1)))) {
            num = den - num;
            r.sign = !r.sign;
            q++;
        }
        *quotient = q & 7;
    }
    if (num == 0)
        return sq_fp_pack80(sq_fp_special(SQ_FPC_ZERO, a.sign));
    r.sig = num;
    r.exp += 64;
    return sq_fp_pack80(sq_fp_round(sq_fp_normalise(r), &sq_fp_f80, 64, env));
}

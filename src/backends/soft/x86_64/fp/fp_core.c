/* SPDX-License-Identifier: Apache-2.0 */
/* Format-independent arithmetic and rounding; see fp_internal.h. */
#include "backends/soft/x86_64/fp/fp_internal.h"

struct rounded {
    uint64_t sig; /* bit 63 clear only when the argument's bit 127 was */
    bool carry;   /* rounded up to the next power of two */
    bool inexact;
    bool up;
};

static bool rounds_away(unsigned rounding, bool sign)
{
    return sign ? rounding == SQ_FP_DOWN : rounding == SQ_FP_UP;
}

/* Keeps `prec` bits counted from bit 127; 1 <= prec <= 64. */
static struct rounded round_at(sq_fp_u128 sig, unsigned prec, bool sign,
                               unsigned rounding)
{
    sq_fp_u128 unit = (sq_fp_u128)1 << (128 - prec);
    sq_fp_u128 rest = sig & (unit - 1);
    sq_fp_u128 kept = sig - rest;
    struct rounded out = {.inexact = rest != 0};

    if (rounding == SQ_FP_NEAREST)
        out.up = rest > unit / 2 || (rest == unit / 2 && (kept & unit) != 0);
    else
        out.up = out.inexact && rounds_away(rounding, sign);
    if (out.up) {
        kept += unit;
        if (kept == 0) {
            kept = (sq_fp_u128)1 << 127;
            out.carry = true;
        }
    }
    out.sig = (uint64_t)(kept >> 64);
    return out;
}

static struct sq_fp_parts overflow(bool sign, const struct sq_fp_format *f,
                                   unsigned prec, struct sq_fp_env *env)
{
    struct sq_fp_parts p = {.cls = SQ_FPC_INF, .sign = sign};

    env->rounded_up = 1;
    if (env->rounding != SQ_FP_NEAREST && !rounds_away(env->rounding, sign)) {
        p.cls = SQ_FPC_FINITE;
        p.exp = f->emax;
        p.sig = ~0ull << (64 - prec);
        env->rounded_up = 0;
    }
    return p;
}

/*
 * Unmasked overflow or underflow with no result to deliver. Or one so far out
 * that moving its exponent does not help (FSCALE): that is infinity or zero.
 */
static struct sq_fp_parts undelivered(enum sq_fp_cls cls, bool sign,
                                      bool inexact,
                                      const struct sq_fp_format *f,
                                      struct sq_fp_env *env)
{
    env->rounded_up = 0;
    if (f->target == SQ_FPT_REGISTER) {
        inexact = true;
        env->rounded_up = cls == SQ_FPC_INF;
    }
    if (inexact && f->target != SQ_FPT_STORE)
        env->flags |= SQ_FP_PE;
    return sq_fp_special(cls, sign);
}

struct sq_fp_parts sq_fp_round(struct sq_fp_raw r, const struct sq_fp_format *f,
                               unsigned prec, struct sq_fp_env *env)
{
    struct rounded n = round_at(r.sig, prec, r.sign, env->rounding);
    int32_t exp = r.exp + n.carry;
    bool tiny = exp < f->emin;
    struct sq_fp_parts p = {.cls = SQ_FPC_FINITE, .sign = r.sign};

    if (tiny && !(env->masks & SQ_FP_UE)) {
        env->flags |= SQ_FP_UE;
        exp += SQ_FP_WRAP;
        if (f->target != SQ_FPT_REGISTER || exp < f->emin)
            return undelivered(SQ_FPC_ZERO, r.sign, n.inexact, f, env);
    } else if (tiny && f->target == SQ_FPT_SSE && env->ftz) {
        env->flags |= SQ_FP_UE | SQ_FP_PE;
        return sq_fp_special(SQ_FPC_ZERO, r.sign);
    } else if (r.exp < f->emin) {
        n = round_at(sq_fp_shift_jam(r.sig, (uint32_t)(f->emin - r.exp)), prec,
                     r.sign, env->rounding);
        exp = f->emin;
        if (n.inexact && tiny)
            env->flags |= SQ_FP_UE;
    } else if (exp > f->emax) {
        env->flags |= SQ_FP_OE;
        if (env->masks & SQ_FP_OE) {
            env->flags |= SQ_FP_PE;
            return overflow(r.sign, f, prec, env);
        }
        exp -= SQ_FP_WRAP;
        if (f->target != SQ_FPT_REGISTER || exp > f->emax)
            return undelivered(SQ_FPC_INF, r.sign, n.inexact, f, env);
    }
    if (n.inexact)
        env->flags |= SQ_FP_PE;
    env->rounded_up = n.up;
    p.sig = n.sig;
    p.exp = exp;
    if (p.sig == 0)
        p.cls = SQ_FPC_ZERO;
    return p;
}

sq_fp_u128 sq_fp_mul_high(sq_fp_u128 a, sq_fp_u128 b, bool *lost)
{
    uint64_t a1 = (uint64_t)(a >> 64), a0 = (uint64_t)a;
    uint64_t b1 = (uint64_t)(b >> 64), b0 = (uint64_t)b;
    sq_fp_u128 low = (sq_fp_u128)a0 * b0;
    sq_fp_u128 mid = (sq_fp_u128)a1 * b0 + (uint64_t)(low >> 64);
    sq_fp_u128 mid2 = (sq_fp_u128)a0 * b1 + (uint64_t)mid;

    *lost = ((uint64_t)low | (uint64_t)mid2) != 0;
    return (sq_fp_u128)a1 * b1 + (uint64_t)(mid >> 64) + (uint64_t)(mid2 >> 64);
}

struct sq_fp_raw sq_fp_raw_add(struct sq_fp_raw a, struct sq_fp_raw b)
{
    struct sq_fp_raw r;

    if (a.sig == 0)
        return b;
    if (b.sig == 0)
        return a;
    if (a.exp < b.exp || (a.exp == b.exp && a.sig < b.sig)) {
        r = a;
        a = b;
        b = r;
    }
    /* One bit of headroom for the carry. */
    a.sig = sq_fp_shift_jam(a.sig, 1);
    b.sig = sq_fp_shift_jam(b.sig, (uint32_t)(a.exp - b.exp) + 1);
    r.sign = a.sign;
    r.exp = a.exp + 1;
    r.sig = a.sign == b.sign ? a.sig + b.sig : a.sig - b.sig;
    return sq_fp_normalise(r);
}

struct sq_fp_raw sq_fp_raw_mul(struct sq_fp_raw a, struct sq_fp_raw b)
{
    struct sq_fp_raw r = {.sign = a.sign != b.sign};
    bool lost;

    r.sig = sq_fp_mul_high(a.sig, b.sig, &lost);
    r.exp = a.exp + b.exp + 1;
    if (r.sig >> 127 == 0) {
        /* The top bit of the low half is worth keeping no more than sticky. */
        r.sig <<= 1;
        r.exp--;
    }
    r.sig |= lost;
    return r;
}

struct sq_fp_raw sq_fp_raw_div(struct sq_fp_raw a, struct sq_fp_raw b)
{
    struct sq_fp_raw r = {
        .sign = a.sign != b.sign,
        .exp = a.exp - b.exp,
    };
    sq_fp_u128 rem = a.sig;
    int i;

    if (rem < b.sig) {
        /* The first quotient bit is the next one: rem < b <= 2 rem. */
        r.exp--;
        rem -= b.sig - rem;
    } else {
        rem -= b.sig;
    }
    r.sig = 1;
    for (i = 0; i < 127; i++) {
        bool one = rem >= b.sig - rem;

        rem = one ? rem - (b.sig - rem) : rem << 1;
        r.sig = r.sig << 1 | one;
    }
    r.sig |= rem != 0;
    return r;
}

struct sq_fp_parts sq_fp_add(struct sq_fp_parts a, struct sq_fp_parts b,
                             const struct sq_fp_format *f, unsigned prec,
                             struct sq_fp_env *env)
{
    struct sq_fp_raw r;

    if (a.cls == SQ_FPC_INF && b.cls == SQ_FPC_INF && a.sign != b.sign) {
        sq_fp_raise(env, SQ_FP_IE);
        return sq_fp_indefinite();
    }
    if (sq_fp_raise(env, sq_fp_de(&a) | sq_fp_de(&b)))
        return a;
    if (a.cls == SQ_FPC_INF)
        return a;
    if (b.cls == SQ_FPC_INF)
        return b;
    if (a.cls == SQ_FPC_ZERO && b.cls == SQ_FPC_ZERO) {
        if (a.sign != b.sign)
            a.sign = env->rounding == SQ_FP_DOWN;
        return a;
    }
    if (a.cls == SQ_FPC_ZERO)
        r = sq_fp_to_raw(b);
    else if (b.cls == SQ_FPC_ZERO)
        r = sq_fp_to_raw(a);
    else
        r = sq_fp_raw_add(sq_fp_to_raw(a), sq_fp_to_raw(b));
    if (r.sig == 0)
        return sq_fp_special(SQ_FPC_ZERO, env->rounding == SQ_FP_DOWN);
    return sq_fp_round(r, f, prec, env);
}

struct sq_fp_parts sq_fp_mul(struct sq_fp_parts a, struct sq_fp_parts b,
                             const struct sq_fp_format *f, unsigned prec,
                             struct sq_fp_env *env)
{
    struct sq_fp_raw r = {.sign = a.sign != b.sign};

    if ((a.cls == SQ_FPC_INF && b.cls == SQ_FPC_ZERO) ||
        (a.cls == SQ_FPC_ZERO && b.cls == SQ_FPC_INF)) {
        sq_fp_raise(env, SQ_FP_IE);
        return sq_fp_indefinite();
    }
    if (sq_fp_raise(env, sq_fp_de(&a) | sq_fp_de(&b)))
        return a;
    if (a.cls == SQ_FPC_INF || b.cls == SQ_FPC_INF)
        return sq_fp_special(SQ_FPC_INF, r.sign);
    if (a.cls == SQ_FPC_ZERO || b.cls == SQ_FPC_ZERO)
        return sq_fp_special(SQ_FPC_ZERO, r.sign);
    r.sig = (sq_fp_u128)a.sig * b.sig;
    r.exp = a.exp + b.exp + 1;
    return sq_fp_round(sq_fp_normalise(r), f, prec, env);
}

struct sq_fp_parts sq_fp_div(struct sq_fp_parts a, struct sq_fp_parts b,
                             const struct sq_fp_format *f, unsigned prec,
                             struct sq_fp_env *env)
{
    struct sq_fp_raw r = {.sign = a.sign != b.sign};
    uint64_t quotient, rem;
    sq_fp_u128 num;
    unsigned flags;

    if (a.cls == b.cls && a.cls != SQ_FPC_FINITE) {
        sq_fp_raise(env, SQ_FP_IE);
        return sq_fp_indefinite();
    }
    flags = sq_fp_de(&a) | sq_fp_de(&b);
    if (b.cls == SQ_FPC_ZERO && a.cls == SQ_FPC_FINITE)
        flags = SQ_FP_ZE;
    if (sq_fp_raise(env, flags))
        return a;
    if (a.cls == SQ_FPC_INF || b.cls == SQ_FPC_ZERO)
        return sq_fp_special(SQ_FPC_INF, r.sign);
    if (a.cls == SQ_FPC_ZERO || b.cls == SQ_FPC_INF)
        return sq_fp_special(SQ_FPC_ZERO, r.sign);

    /* 64 quotient bits, then how the rest compares with half a unit. */
    r.exp = a.exp - b.exp - (a.sig < b.sig);
    num = (sq_fp_u128)a.sig << (a.sig < b.sig ? 64 : 63);
    quotient = (uint64_t)(num / b.sig);
    rem = (uint64_t)(num % b.sig);
    r.sig = (sq_fp_u128)quotient << 64;
    if (rem >= b.sig - rem)
        r.sig |= (sq_fp_u128)1 << 63 | (rem != b.sig - rem);
    else
        r.sig |= rem != 0;
    return sq_fp_round(r, f, prec, env);
}

/* Square root of n >= 2^62 rounded down, and what remains. */
static uint32_t root64(uint64_t n, uint64_t *rem)
{
    uint64_t root = 0, bit;

    for (bit = 1ull << 62; bit != 0; bit >>= 2) {
        if (n >= root + bit) {
            n -= root + bit;
            root = root >> 1 | bit;
        } else {
            root >>= 1;
        }
    }
    *rem = n;
    return (uint32_t)root;
}

/*
 * Square root of n >= 2^126: the high half by root64, the low half by one
 * division (Zimmermann, "Karatsuba Square Root", 1999).
 */
static uint64_t root128(sq_fp_u128 n, bool *above, bool *exact)
{
    uint64_t rem, root;
    sq_fp_u128 num, q, u;
    __int128 left;

    root = root64((uint64_t)(n >> 64), &rem);
    num = (sq_fp_u128)rem << 32 | (uint32_t)(n >> 32);
    q = num / (2 * root);
    u = num % (2 * root);
    left = (__int128)(u << 32 | (uint32_t)n) - (__int128)(q * q);
    num = ((sq_fp_u128)root << 32) + q;
    if (left < 0) {
        left += (__int128)(2 * num - 1);
        num--;
    }
    /* n - root^2 > root means the root's fraction is above one half. */
    *above = (sq_fp_u128)left > num;
    *exact = left == 0;
    return (uint64_t)num;
}

struct sq_fp_parts sq_fp_sqrt(struct sq_fp_parts a,
                              const struct sq_fp_format *f, unsigned prec,
                              struct sq_fp_env *env)
{
    struct sq_fp_raw r = {.sign = false};
    bool above, exact;
    uint64_t root;

    if (a.sign && a.cls != SQ_FPC_ZERO) {
        sq_fp_raise(env, SQ_FP_IE);
        return sq_fp_indefinite();
    }
    if (sq_fp_raise(env, sq_fp_de(&a)) || a.cls != SQ_FPC_FINITE)
        return a;
    /* a = sig * 2^(exp - 63); make the exponent of two under the root even. */
    root = root128((sq_fp_u128)a.sig << (a.exp & 1 ? 64 : 63), &above, &exact);
    r.exp = (a.exp - (a.exp & 1)) / 2;
    r.sig = (sq_fp_u128)root << 64;
    /* A root is never half way between two 64-bit numbers. */
    if (!exact)
        r.sig |= (sq_fp_u128)above << 63 | 1;
    return sq_fp_round(r, f, prec, env);
}

enum sq_fp_rel sq_fp_order(const struct sq_fp_parts *a,
                           const struct sq_fp_parts *b)
{
    enum sq_fp_rel larger = a->sign ? SQ_FP_LESS : SQ_FP_GREATER;

    if (a->cls == SQ_FPC_ZERO && b->cls == SQ_FPC_ZERO)
        return SQ_FP_EQUAL;
    if (a->cls == SQ_FPC_ZERO)
        return b->sign ? SQ_FP_GREATER : SQ_FP_LESS;
    if (b->cls == SQ_FPC_ZERO || a->sign != b->sign)
        return larger;
    /* The classes are in order of magnitude. */
    if (a->cls != b->cls)
        return a->cls > b->cls ? larger : -larger;
    if (a->cls == SQ_FPC_INF)
        return SQ_FP_EQUAL;
    if (a->exp != b->exp)
        return a->exp > b->exp ? larger : -larger;
    if (a->sig != b->sig)
        return a->sig > b->sig ? larger : -larger;
    return SQ_FP_EQUAL;
}

uint64_t sq_fp_integer(const struct sq_fp_parts *p, unsigned rounding,
                       bool *inexact, bool *up, bool *huge)
{
    sq_fp_u128 fixed;
    uint64_t whole, rest;

    *inexact = *up = *huge = false;
    if (p->exp >= 63) {
        *huge = p->exp > 63;
        return p->sig;
    }
    /* 64 integer bits above 64 fraction bits. */
    fixed = sq_fp_shift_jam((sq_fp_u128)p->sig << 64, (uint32_t)(63 - p->exp));
    whole = (uint64_t)(fixed >> 64);
    rest = (uint64_t)fixed;
    *inexact = rest != 0;
    if (rounding == SQ_FP_NEAREST)
        *up = rest > SQ_FP_INT_BIT || (rest == SQ_FP_INT_BIT && (whole & 1));
    else
        *up = *inexact && rounds_away(rounding, p->sign);
    return whole + *up; /* exp <= 62: whole < 2^63 */
}

int64_t sq_fp_to_int(const struct sq_fp_parts *p, unsigned bits,
                     unsigned rounding, struct sq_fp_env *env)
{
    uint64_t limit = (1ull << (bits - 1)) - !p->sign;
    bool inexact, up, huge;
    uint64_t n;

    if (p->cls == SQ_FPC_ZERO)
        return 0;
    if (p->cls == SQ_FPC_FINITE) {
        n = sq_fp_integer(p, rounding, &inexact, &up, &huge);
        if (!huge && n <= limit) {
            env->flags |= inexact ? SQ_FP_PE : 0;
            env->rounded_up = up;
            return (int64_t)(p->sign ? 0 - n : n);
        }
    }
    env->flags |= SQ_FP_IE;
    return (int64_t)(0 - (1ull << (bits - 1)));
}

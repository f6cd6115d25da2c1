/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FSIN, FCOS, FSINCOS, FPTAN, FPATAN.
 *
 * Everything is computed in raw numbers of 128 bits. A series in r^2 is
 * evaluated by Horner's rule in fixed point with 128 fraction bits: the sums
 * are all just below one, so the complement serves as "one minus", and a
 * value that would be one is the largest fraction, which is on the right side
 * of one for the directed rounding modes.
 */
#include "backends/soft/x86_64/fp/fp_f80.h"

/* The x87's pi times 2^64: 66 bits (volume 1, section 8.3.8). */
#define PI66 SQ_FP_U128(0x3, 0x243f6a8885a308d3)
/* pi to 128 bits, in units of 2^-126. */
#define PI_SIG SQ_FP_U128(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1)

#define SIN_TERMS 17  /* (pi/4)^34 / 35! < 2^-144 */
#define ATAN_TERMS 13 /* (1/32)^26 / 27 < 2^-134 */

/* 1 - r2 / (n (n + 1)) (1 - r2 / ((n + 2) (n + 3)) (1 - ...)), n = first. */
static struct sq_fp_raw series(sq_fp_u128 r2, unsigned first)
{
    sq_fp_u128 sum = ~(sq_fp_u128)0;
    unsigned k, n;

    for (k = SIN_TERMS; k-- > 0;) {
        n = first + 2 * k;
        sum = ~(sq_fp_mul_fixed(r2, sum) / (n * (n + 1)));
    }
    return (struct sq_fp_raw){.sig = sum, .exp = -1};
}

/* Sine and cosine of r, |r| <= pi/4. */
static void kernel(struct sq_fp_raw r, struct sq_fp_raw *sin,
                   struct sq_fp_raw *cos)
{
    sq_fp_u128 r2 = sq_fp_fixed(r);

    r2 = sq_fp_mul_fixed(r2, r2);
    *sin = sq_fp_raw_mul(r, series(r2, 2));
    *cos = series(r2, 1);
}

/*
 * a = quadrant * pi/2 + r, |r| <= pi/4 or so, for |a| < 2^63. Exact, given
 * what the processor takes pi for.
 */
static struct sq_fp_raw reduce(struct sq_fp_parts a, unsigned *quadrant)
{
    struct sq_fp_raw r = sq_fp_to_raw(a);
    sq_fp_u128 units, q;

    *quadrant = 0;
    if (a.exp < -1)
        return r;
    units = (sq_fp_u128)a.sig << (a.exp + 2); /* of 2^-65 */
    q = units / PI66;
    units %= PI66;
    if (units > PI66 / 2) {
        units = PI66 - units;
        q++;
        r.sign = !r.sign;
    }
    *quadrant = (unsigned)q & 3;
    if (a.sign)
        *quadrant = (0 - *quadrant) & 3;
    r.sig = units;
    r.exp = 127 - 65;
    return sq_fp_normalise(r);
}

struct angle {
    struct sq_fp_raw sin, cos;
};

enum outcome { OUT_OF_RANGE, SETTLED, COMPUTED };

/*
 * The sine and cosine of x when it is finite and nonzero; `*settled` when it
 * is a NaN, an infinity, or stopped by an unmasked DE.
 */
static enum outcome evaluate(struct sq_f80 x, struct angle *angle,
                             struct sq_f80 *settled, struct sq_fp_env *env)
{
    struct sq_fp_parts a, b;
    struct sq_fp_raw r, swap;
    unsigned quadrant;

    if (!sq_fp_begin80(x, x, &a, &b, settled, env))
        return SETTLED;
    if (a.cls == SQ_FPC_INF) {
        *settled = sq_fp_invalid80(env);
        return SETTLED;
    }
    if (a.cls == SQ_FPC_ZERO) {
        angle->sin = (struct sq_fp_raw){.sign = a.sign};
        angle->cos = (struct sq_fp_raw){.sig = (sq_fp_u128)1 << 127};
        return COMPUTED;
    }
    if (a.exp >= 63)
        return OUT_OF_RANGE;
    *settled = x;
    if (sq_fp_raise(env, sq_fp_de(&a)))
        return SETTLED;
    r = reduce(a, &quadrant);
    kernel(r, &angle->sin, &angle->cos);
    if (quadrant & 1) {
        swap = angle->sin;
        angle->sin = angle->cos;
        angle->cos = swap;
        angle->cos.sign = !angle->cos.sign;
    }
    if (quadrant & 2) {
        angle->sin.sign = !angle->sin.sign;
        angle->cos.sign = !angle->cos.sign;
    }
    angle->sin.sig |= angle->sin.sig != 0;
    angle->cos.sig |= angle->cos.sig != 0;
    return COMPUTED;
}

static struct sq_f80 finish(struct sq_fp_raw r, struct sq_fp_env *env)
{
    if (r.sig == 0)
        return sq_fp_pack80(sq_fp_special(SQ_FPC_ZERO, r.sign));
    return sq_fp_pack80(sq_fp_round(r, &sq_fp_f80, 64, env));
}

bool sq_f80_sincos(struct sq_f80 a, struct sq_f80 *sin, struct sq_f80 *cos,
                   struct sq_fp_env *env)
{
    struct sq_f80 settled;
    struct angle angle;

    switch (evaluate(a, &angle, &settled, env)) {
    case OUT_OF_RANGE:
        return false;
    case SETTLED:
        *sin = *cos = settled;
        return true;
    case COMPUTED:
        break;
    }
    *cos = finish(angle.cos, env);
    *sin = finish(angle.sin, env);
    return true;
}

bool sq_f80_sin(struct sq_f80 a, struct sq_f80 *sin, struct sq_fp_env *env)
{
    struct sq_f80 settled;
    struct angle angle;
    enum outcome outcome = evaluate(a, &angle, &settled, env);

    if (outcome == OUT_OF_RANGE)
        return false;
    *sin = outcome == SETTLED ? settled : finish(angle.sin, env);
    return true;
}

bool sq_f80_cos(struct sq_f80 a, struct sq_f80 *cos, struct sq_fp_env *env)
{
    struct sq_f80 settled;
    struct angle angle;
    enum outcome outcome = evaluate(a, &angle, &settled, env);

    if (outcome == OUT_OF_RANGE)
        return false;
    *cos = outcome == SETTLED ? settled : finish(angle.cos, env);
    return true;
}

bool sq_f80_tan(struct sq_f80 a, struct sq_f80 *tan, struct sq_fp_env *env)
{
    struct sq_f80 settled;
    struct angle angle;
    struct sq_fp_raw r;

    switch (evaluate(a, &angle, &settled, env)) {
    case OUT_OF_RANGE:
        return false;
    case SETTLED:
        *tan = settled;
        return true;
    case COMPUTED:
        break;
    }
    r = angle.sin;
    if (r.sig != 0 && r.exp < -66) {
        /* x + x^3 / 3: next to x on the far side from zero, where a sine
         * that was cut off does not lead. */
        struct sq_fp_parts x = sq_fp_unpack80(a);

        r.sig = (sq_fp_u128)x.sig << 64 | 1;
        r.exp = x.exp;
    } else if (r.sig != 0) {
        r = sq_fp_raw_div(angle.sin, angle.cos);
        r.sig |= 1;
    }
    *tan = finish(r, env);
    return true;
}

/* atan(i / 16) with 128 fraction bits. */
static const sq_fp_u128 atan_table[17] = {
    SQ_FP_U128(0x0000000000000000, 0x0000000000000000),
    SQ_FP_U128(0x0ffaaddb967ef4e3, 0x6cb2792dc0e2e0d5),
    SQ_FP_U128(0x1fd5ba9aac2f6dc6, 0x5912f313e7d111df),
    SQ_FP_U128(0x2f72f6979cb6044d, 0x1ec2d3e207271d22),
    SQ_FP_U128(0x3eb6ebf25901bac5, 0x5b71e7bd7de885f9),
    SQ_FP_U128(0x4d89dcdc1faf2f34, 0xe2d5da4c693d7994),
    SQ_FP_U128(0x5bd86507937bc239, 0xc55190916e7f2242),
    SQ_FP_U128(0x6993bb0f308ff2db, 0x213e4af4800f389b),
    SQ_FP_U128(0x76b19c1586ed3da2, 0xb7f222f65e1d4682),
    SQ_FP_U128(0x832bf4a6d9867e2a, 0x4b6a09cb61a515c1),
    SQ_FP_U128(0x8f005d5ef7f59f9b, 0x5c835e1665c43748),
    SQ_FP_U128(0x9a2f80e671bdda20, 0x4226f8e2204ff3bd),
    SQ_FP_U128(0xa4bc7d1934f70924, 0x19a87f2a457dac9f),
    SQ_FP_U128(0xaeac4c38b4d8c080, 0x14725e2f3e52070a),
    SQ_FP_U128(0xb8053e2bc2319e73, 0xcb2da55210a4443d),
    SQ_FP_U128(0xc0ce85b8ac526640, 0x89dd62c46e92fa25),
    SQ_FP_U128(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1),
};

/* times / 16 of a 64-bit number: exact. */
static struct sq_fp_raw sixteenths(struct sq_fp_raw a, unsigned times,
                                   bool negate)
{
    struct sq_fp_raw r = {
        .sig = (a.sig >> 64) * times,
        .exp = a.exp + 64 - 4,
        .sign = a.sign != negate,
    };

    return sq_fp_normalise(r);
}

/* The angle below pi/4 whose tangent is small / large, both positive. */
static struct sq_fp_raw atan_ratio(struct sq_fp_raw small,
                                   struct sq_fp_raw large)
{
    int32_t distance = large.exp - small.exp;
    uint64_t den = (uint64_t)(large.sig >> 64);
    sq_fp_u128 num, u2, sum = 0;
    struct sq_fp_raw u, entry;
    unsigned i = 0, k;

    if (distance < 6) {
        num = (small.sig >> 64 >> distance) * 16 + den / 2;
        i = (unsigned)(num / den);
    }
    /* atan(t) = atan(c) + atan((t - c) / (1 + t c)), c = i / 16. */
    if (i != 0) {
        entry = sq_fp_raw_add(large, sixteenths(small, i, false));
        u = sq_fp_raw_add(small, sixteenths(large, i, true));
        if (u.sig != 0)
            u = sq_fp_raw_div(u, entry);
    } else {
        u = sq_fp_raw_div(small, large);
    }
    if (u.sig != 0) {
        u2 = sq_fp_fixed(u);
        u2 = sq_fp_mul_fixed(u2, u2);
        for (k = ATAN_TERMS; k-- > 0;)
            sum = ~(sq_fp_u128)0 / (2 * k + 1) - sq_fp_mul_fixed(u2, sum);
        u = sq_fp_raw_mul(u, (struct sq_fp_raw){.sig = sum, .exp = -1});
    }
    entry = (struct sq_fp_raw){.sig = atan_table[i], .exp = -1};
    return sq_fp_raw_add(sq_fp_normalise(entry), u);
}

/* quarters * pi / 4; 3 pi / 4 is the only product that needs rounding. */
static struct sq_fp_raw quarter_pi(unsigned quarters, bool sign)
{
    struct sq_fp_raw r = {.sig = PI_SIG, .exp = 1, .sign = sign};

    if (quarters == 3)
        r.sig = PI_SIG / 4 * 3;
    else
        r.exp -= quarters == 1 ? 2 : quarters == 2;
    r.sig |= 1;
    return r;
}

struct sq_f80 sq_f80_atan2(struct sq_f80 sy, struct sq_f80 sx,
                           struct sq_fp_env *env)
{
    struct sq_fp_parts y, x;
    struct sq_fp_raw ry, rx, r;
    struct sq_f80 out;
    bool swapped;

    if (!sq_fp_begin80(sy, sx, &y, &x, &out, env))
        return out;
    if (sq_fp_raise(env, sq_fp_de(&y) | sq_fp_de(&x)))
        return sx;
    if (y.cls == SQ_FPC_INF) {
        if (x.cls == SQ_FPC_INF)
            return finish(quarter_pi(x.sign ? 3 : 1, y.sign), env);
        return finish(quarter_pi(2, y.sign), env);
    }
    if (y.cls == SQ_FPC_ZERO || x.cls == SQ_FPC_INF) {
        if (x.sign)
            return finish(quarter_pi(4, y.sign), env);
        return sq_fp_pack80(sq_fp_special(SQ_FPC_ZERO, y.sign));
    }
    if (x.cls == SQ_FPC_ZERO)
        return finish(quarter_pi(2, y.sign), env);

    ry = sq_fp_to_raw(y);
    rx = sq_fp_to_raw(x);
    ry.sign = rx.sign = false;
    swapped = ry.exp > rx.exp || (ry.exp == rx.exp && ry.sig > rx.sig);
    r = swapped ? atan_ratio(rx, ry) : atan_ratio(ry, rx);
    /* Into the half plane: pi/2 -+ r when swapped, pi - r when x < 0. */
    r.sign = swapped != x.sign;
    if (swapped)
        r = sq_fp_raw_add(quarter_pi(2, false), r);
    else if (x.sign)
        r = sq_fp_raw_add(quarter_pi(4, false), r);
    r.sign = y.sign;
    r.sig |= 1;
    return finish(r, env);
}

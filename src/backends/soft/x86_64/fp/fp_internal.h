/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_SOFT_X86_64_FP_INTERNAL_H
#define SQ_SOFT_X86_64_FP_INTERNAL_H

/*
 * Theory of operation.
 *
 * All three formats are taken apart into struct sq_fp_parts: a class, a sign,
 * an unbiased exponent and a 64-bit significand whose bit 63 is the integer
 * bit. The f80 significand has exactly that shape; f32 and f64 are shifted
 * up to it, so one set of algorithms serves all, and converting a NaN between
 * formats is a shift.
 *
 * An operation works on two finite nonzero operands and yields a struct
 * sq_fp_raw: a 128-bit significand normalised to bit 127, of which the lowest
 * bit also stands for everything below ("sticky"). 64 bits more than the
 * widest operand leave room for every alignment, so rounding sees the exact
 * result. sq_fp_round() is the one place that rounds, and the one that knows
 * overflow, underflow, precision control and flush-to-zero.
 *
 * The transcendental functions use the same raw numbers as their wide
 * floating point, since 128 bits are about twice what a result needs.
 *
 * Order of events in each operation, which the flags make visible: NaNs and
 * unsupported encodings first (they hide everything else), then other invalid
 * operands, then denormal operands and division by zero, then the result.
 */

#include "backends/soft/x86_64/fp/softfloat.h"

typedef unsigned __int128 sq_fp_u128;

enum sq_fp_cls {
    SQ_FPC_ZERO,
    SQ_FPC_FINITE, /* nonzero */
    SQ_FPC_INF,
    SQ_FPC_QNAN,
    SQ_FPC_SNAN,
    SQ_FPC_UNSUPPORTED, /* f80 without its integer bit */
};

/*
 * FINITE from unpacking: sig has bit 63 set, value sig * 2^(exp - 63).
 * FINITE from sq_fp_round(): bit 63 may be clear, then exp is the format's
 * emin. NaN: sig is the fraction below bit 63, bit 62 is the quiet bit.
 */
struct sq_fp_parts {
    uint64_t sig;
    int32_t exp;
    uint8_t cls;
    bool sign;
    bool denormal; /* the encoding was denormal (or pseudo-denormal) */
};

/* Value (-1)^sign * sig * 2^(exp - 127); bit 127 set unless zero. */
struct sq_fp_raw {
    sq_fp_u128 sig;
    int32_t exp;
    bool sign;
};

/* Where a result goes, which decides what overflow and underflow do. */
enum sq_fp_target {
    SQ_FPT_SSE,      /* obeys env->ftz */
    SQ_FPT_REGISTER, /* x87: unmasked OE and UE move the exponent */
    SQ_FPT_STORE,    /* x87 to memory: unmasked OE and UE store nothing */
};

struct sq_fp_format {
    int16_t emin, emax;
    uint8_t frac_bits; /* without the integer bit */
    uint8_t exp_bits;
    uint8_t target; /* enum sq_fp_target */
};

static const struct sq_fp_format sq_fp_f32 = {
    -126, 127, 23, 8, SQ_FPT_SSE,
};
static const struct sq_fp_format sq_fp_f64 = {
    -1022, 1023, 52, 11, SQ_FPT_SSE,
};
static const struct sq_fp_format sq_fp_f80 = {
    -16382, 16383, 63, 15, SQ_FPT_REGISTER,
};

#define SQ_FP_QUIET_BIT (1ull << 62)
#define SQ_FP_INT_BIT (1ull << 63)
#define SQ_FP_WRAP 24576

/* Records flags; true when an unmasked one ends the operation. */
static inline bool sq_fp_raise(struct sq_fp_env *env, unsigned flags)
{
    env->flags |= (uint8_t)flags;
    return (flags & ~(unsigned)env->masks & SQ_FP_ALL) != 0;
}

static inline bool sq_fp_is_nan(const struct sq_fp_parts *p)
{
    return p->cls == SQ_FPC_QNAN || p->cls == SQ_FPC_SNAN;
}

static inline unsigned sq_fp_de(const struct sq_fp_parts *p)
{
    return p->denormal ? SQ_FP_DE : 0;
}

/* Real indefinite: the negative quiet NaN with an empty payload. */
static inline struct sq_fp_parts sq_fp_indefinite(void)
{
    return (struct sq_fp_parts){
        .sig = SQ_FP_INT_BIT | SQ_FP_QUIET_BIT,
        .cls = SQ_FPC_QNAN,
        .sign = true,
    };
}

static inline struct sq_fp_parts sq_fp_special(enum sq_fp_cls cls, bool sign)
{
    return (struct sq_fp_parts){.cls = (uint8_t)cls, .sign = sign};
}

static inline struct sq_fp_parts sq_fp_quieted(struct sq_fp_parts p)
{
    p.sig |= SQ_FP_QUIET_BIT;
    p.cls = SQ_FPC_QNAN;
    return p;
}

/* A finite nonzero value whose significand may have leading zeros. */
static inline struct sq_fp_parts sq_fp_normal(bool sign, int32_t exp,
                                              uint64_t sig)
{
    int lead = __builtin_clzll(sig);

    return (struct sq_fp_parts){
        .sig = sig << lead,
        .exp = exp - lead,
        .cls = SQ_FPC_FINITE,
        .sign = sign,
    };
}

/* f32 and f64. */
static inline struct sq_fp_parts sq_fp_unpack(uint64_t bits,
                                              const struct sq_fp_format *f)
{
    unsigned total = 1u + f->exp_bits + f->frac_bits;
    uint64_t exp_max = (1ull << f->exp_bits) - 1;
    uint64_t exp = bits >> f->frac_bits & exp_max;
    uint64_t frac = bits << (64 - f->frac_bits) >> 1;
    struct sq_fp_parts p = {.sign = bits >> (total - 1) & 1};

    if (exp == exp_max) {
        p.sig = frac | SQ_FP_INT_BIT;
        if (frac == 0)
            p.cls = SQ_FPC_INF;
        else
            p.cls = frac & SQ_FP_QUIET_BIT ? SQ_FPC_QNAN : SQ_FPC_SNAN;
    } else if (exp != 0) {
        p.cls = SQ_FPC_FINITE;
        p.sig = frac | SQ_FP_INT_BIT;
        p.exp = (int32_t)exp + f->emin - 1;
    } else if (frac != 0) {
        p = sq_fp_normal(p.sign, f->emin, frac);
        p.denormal = true;
    } else {
        p.cls = SQ_FPC_ZERO;
    }
    return p;
}

static inline uint64_t sq_fp_pack(struct sq_fp_parts p,
                                  const struct sq_fp_format *f)
{
    unsigned total = 1u + f->exp_bits + f->frac_bits;
    uint64_t exp_max = (1ull << f->exp_bits) - 1;
    uint64_t bits = (uint64_t)p.sign << (total - 1);

    switch (p.cls) {
    case SQ_FPC_ZERO:
        return bits;
    case SQ_FPC_INF:
        return bits | exp_max << f->frac_bits;
    case SQ_FPC_FINITE:
        if (p.sig >> 63)
            bits |= (uint64_t)(p.exp - f->emin + 1) << f->frac_bits;
        break;
    default:
        bits |= exp_max << f->frac_bits;
        break;
    }
    return bits | p.sig << 1 >> (64 - f->frac_bits);
}

struct sq_fp_parts sq_fp_unpack80(struct sq_f80 a);
struct sq_f80 sq_fp_pack80(struct sq_fp_parts p);

static inline sq_fp_u128 sq_fp_shift_jam(sq_fp_u128 v, uint32_t n)
{
    if (n == 0)
        return v;
    if (n >= 128)
        return v != 0;
    return v >> n | (v << (128 - n) != 0);
}

static inline struct sq_fp_raw sq_fp_to_raw(struct sq_fp_parts p)
{
    return (struct sq_fp_raw){
        .sig = (sq_fp_u128)p.sig << 64,
        .exp = p.exp,
        .sign = p.sign,
    };
}

/* Shifts the significand up to bit 127; zero stays zero. */
static inline struct sq_fp_raw sq_fp_normalise(struct sq_fp_raw r)
{
    uint64_t hi = (uint64_t)(r.sig >> 64);
    int lead;

    if (hi != 0)
        lead = __builtin_clzll(hi);
    else if (r.sig != 0)
        lead = 64 + __builtin_clzll((uint64_t)r.sig);
    else
        return r;
    r.sig <<= lead;
    r.exp -= lead;
    return r;
}

/* Exact or sticky; a raw result of zero has sig == 0. */
struct sq_fp_raw sq_fp_raw_add(struct sq_fp_raw a, struct sq_fp_raw b);
struct sq_fp_raw sq_fp_raw_mul(struct sq_fp_raw a, struct sq_fp_raw b);
struct sq_fp_raw sq_fp_raw_div(struct sq_fp_raw a, struct sq_fp_raw b);

/* High half of the 256-bit product; `*lost` when the low half is nonzero. */
sq_fp_u128 sq_fp_mul_high(sq_fp_u128 a, sq_fp_u128 b, bool *lost);

/*
 * Rounds a nonzero raw value to `prec` bits in format f, sets OE, UE and PE
 * and env->rounded_up.
 */
struct sq_fp_parts sq_fp_round(struct sq_fp_raw r, const struct sq_fp_format *f,
                               unsigned prec, struct sq_fp_env *env);

/*
 * Arithmetic on operands that are neither NaN nor unsupported, with all
 * special cases and flags.
 */
struct sq_fp_parts sq_fp_add(struct sq_fp_parts a, struct sq_fp_parts b,
                             const struct sq_fp_format *f, unsigned prec,
                             struct sq_fp_env *env);
struct sq_fp_parts sq_fp_mul(struct sq_fp_parts a, struct sq_fp_parts b,
                             const struct sq_fp_format *f, unsigned prec,
                             struct sq_fp_env *env);
struct sq_fp_parts sq_fp_div(struct sq_fp_parts a, struct sq_fp_parts b,
                             const struct sq_fp_format *f, unsigned prec,
                             struct sq_fp_env *env);
struct sq_fp_parts sq_fp_sqrt(struct sq_fp_parts a,
                              const struct sq_fp_format *f, unsigned prec,
                              struct sq_fp_env *env);

/* Both operands ZERO, FINITE or INF. */
enum sq_fp_rel sq_fp_order(const struct sq_fp_parts *a,
                           const struct sq_fp_parts *b);

/*
 * |p| for a FINITE p rounded to an integer, as 65 bits at most: the result is
 * below 2^64 or `*huge` is set. `*inexact` and `*up` describe the rounding.
 */
uint64_t sq_fp_integer(const struct sq_fp_parts *p, unsigned rounding,
                       bool *inexact, bool *up, bool *huge);

/*
 * A signed integer of `bits` (16, 32 or 64) bits by the rules of CVTSD2SI and
 * FIST: IE and the most negative number when it does not fit, PE and
 * env->rounded_up otherwise.
 */
int64_t sq_fp_to_int(const struct sq_fp_parts *p, unsigned bits,
                     unsigned rounding, struct sq_fp_env *env);

#endif

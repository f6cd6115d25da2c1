/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_SOFT_X86_64_FP_SOFTFLOAT_H
#define SQ_SOFT_X86_64_FP_SOFTFLOAT_H

/*
 * Floating point exactly as an x86 processor computes it, on any 64-bit
 * little-endian host.
 *
 * Values are bit patterns: uint32_t (binary32), uint64_t (binary64) and
 * struct sq_f80 (the x87 double-extended format). Every function is pure
 * apart from the environment it is given, so it may be called from any
 * thread; an environment belongs to one thread at a time.
 *
 * Sources: Intel 64 and IA-32 Architectures Software Developer's Manual,
 * volume 1, chapter 4 (formats, NaN handling, section 4.8; exceptions,
 * section 4.9), chapter 8 (x87) and sections 10.2 and 11.5 (SSE), volume 2
 * for each instruction; IEEE 754-2019.
 *
 * Exceptions. `flags` only ever gains bits. When every exception is masked
 * (masks == SQ_FP_ALL) the caller may point a whole run of instructions at
 * one environment and let the flags accumulate. When something is unmasked
 * the caller clears `flags` before the instruction, looks at
 * sq_fp_unmasked() after it, and then merges the flags into MXCSR or the
 * x87 status word:
 *  - an unmasked IE, DE or ZE stops the operation before it has a result:
 *    the value returned is unspecified and OE, UE and PE are not computed;
 *  - an unmasked OE or UE of an x87 register operation gives the result with
 *    its exponent moved by 24576, which the processor does write; of an SSE
 *    operation or a store to memory, the value returned is unspecified;
 *  - an unmasked PE changes nothing but the flag.
 * The operations named sq_f80_* ignore daz and ftz, those named sq_f32_* and
 * sq_f64_* ignore precision.
 */

#include <float.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Exception flags and masks: the order of MXCSR, FSW and FCW. */
#define SQ_FP_IE 0x01u /* invalid operation */
#define SQ_FP_DE 0x02u /* denormal operand */
#define SQ_FP_ZE 0x04u /* division by zero */
#define SQ_FP_OE 0x08u /* overflow */
#define SQ_FP_UE 0x10u /* underflow */
#define SQ_FP_PE 0x20u /* precision (inexact) */
#define SQ_FP_ALL 0x3fu

/* Rounding: the encoding of MXCSR.RC and FCW.RC. */
#define SQ_FP_NEAREST 0u
#define SQ_FP_DOWN 1u
#define SQ_FP_UP 2u
#define SQ_FP_ZERO 3u

/* ROUNDSS immediate: bits 1:0 are the rounding mode. */
#define SQ_FP_ROUND_CURRENT 0x4u /* use env->rounding instead */
#define SQ_FP_ROUND_QUIET 0x8u   /* do not report PE */

/*
 * The control and status part of MXCSR or of the x87. The layout is read as
 * one 64-bit word by sq_fp_env_fast(): keep it at eight bytes.
 */
struct sq_fp_env {
    uint8_t rounding;   /* SQ_FP_NEAREST.. */
    bool daz;           /* SSE: denormal operands are zeros */
    bool ftz;           /* SSE: masked underflow gives zero */
    uint8_t precision;  /* x87: significand bits, 24, 53 or 64 */
    uint8_t flags;      /* SQ_FP_IE.., sticky */
    uint8_t masks;      /* SQ_FP_IE.., a set bit masks the exception */
    uint8_t rounded_up; /* x87: C1 of the last operation, 0 or 1 */
    uint8_t reserved;
};

_Static_assert(sizeof(struct sq_fp_env) == 8, "read as one word");

struct sq_f80 {
    uint64_t sig; /* explicit integer bit 63 */
    uint16_t se;  /* sign bit 15, biased exponent 14:0 */
};

enum sq_fp_rel {
    SQ_FP_LESS = -1,
    SQ_FP_EQUAL = 0,
    SQ_FP_GREATER = 1,
    SQ_FP_UNORDERED = 2,
};

/* FXAM classes; the value is C3:C2:C0. Empty (5) is for the caller. */
enum sq_f80_class {
    SQ_F80_UNSUPPORTED = 0,
    SQ_F80_NAN = 1,
    SQ_F80_NORMAL = 2,
    SQ_F80_INFINITY = 3,
    SQ_F80_ZERO = 4,
    SQ_F80_DENORMAL = 6,
};

/* Flags that are set and not masked: nonzero means the instruction traps. */
static inline unsigned sq_fp_unmasked(const struct sq_fp_env *env)
{
    return env->flags & ~(unsigned)env->masks & SQ_FP_ALL;
}

/* ---- binary32 and binary64, SSE rules ---- */

uint32_t sq_f32_add(uint32_t a, uint32_t b, struct sq_fp_env *env);
uint32_t sq_f32_sub(uint32_t a, uint32_t b, struct sq_fp_env *env);
uint32_t sq_f32_mul(uint32_t a, uint32_t b, struct sq_fp_env *env);
uint32_t sq_f32_div(uint32_t a, uint32_t b, struct sq_fp_env *env);
uint32_t sq_f32_sqrt(uint32_t a, struct sq_fp_env *env);
uint64_t sq_f64_add(uint64_t a, uint64_t b, struct sq_fp_env *env);
uint64_t sq_f64_sub(uint64_t a, uint64_t b, struct sq_fp_env *env);
uint64_t sq_f64_mul(uint64_t a, uint64_t b, struct sq_fp_env *env);
uint64_t sq_f64_div(uint64_t a, uint64_t b, struct sq_fp_env *env);
uint64_t sq_f64_sqrt(uint64_t a, struct sq_fp_env *env);

/* MINSS..MAXSD: any NaN, or two zeros, give the second operand. */
uint32_t sq_f32_min(uint32_t a, uint32_t b, struct sq_fp_env *env);
uint32_t sq_f32_max(uint32_t a, uint32_t b, struct sq_fp_env *env);
uint64_t sq_f64_min(uint64_t a, uint64_t b, struct sq_fp_env *env);
uint64_t sq_f64_max(uint64_t a, uint64_t b, struct sq_fp_env *env);

/*
 * `signaling` (COMISS, CMPSS with lt, le, ...): a quiet NaN reports IE.
 * Otherwise (UCOMISS, CMPSS with eq, unord, ...) only a signaling NaN does.
 */
enum sq_fp_rel sq_f32_compare(uint32_t a, uint32_t b, bool signaling,
                              struct sq_fp_env *env);
enum sq_fp_rel sq_f64_compare(uint64_t a, uint64_t b, bool signaling,
                              struct sq_fp_env *env);

/* ROUNDSS and ROUNDSD; `imm` is the instruction's immediate. */
uint32_t sq_f32_round(uint32_t a, uint8_t imm, struct sq_fp_env *env);
uint64_t sq_f64_round(uint64_t a, uint8_t imm, struct sq_fp_env *env);

uint64_t sq_f32_to_f64(uint32_t a, struct sq_fp_env *env);
uint32_t sq_f64_to_f32(uint64_t a, struct sq_fp_env *env);

/*
 * To integers. What does not fit reports IE alone and gives the integer
 * indefinite (the most negative number). `trunc` is CVTT: round to zero.
 */
int32_t sq_f32_to_i32(uint32_t a, bool trunc, struct sq_fp_env *env);
int64_t sq_f32_to_i64(uint32_t a, bool trunc, struct sq_fp_env *env);
int32_t sq_f64_to_i32(uint64_t a, bool trunc, struct sq_fp_env *env);
int64_t sq_f64_to_i64(uint64_t a, bool trunc, struct sq_fp_env *env);
uint32_t sq_f32_from_i64(int64_t a, struct sq_fp_env *env);
uint64_t sq_f64_from_i64(int64_t a, struct sq_fp_env *env);

static inline uint32_t sq_f32_from_i32(int32_t a, struct sq_fp_env *env)
{
    return sq_f32_from_i64(a, env);
}

static inline uint64_t sq_f64_from_i32(int32_t a, struct sq_fp_env *env)
{
    return sq_f64_from_i64(a, env);
}

/* a * b + c, rounded once; either side may be negated (not NaNs). */
#define SQ_FP_NEGATE_PRODUCT 1u
#define SQ_FP_NEGATE_ADDEND 2u
uint32_t sq_f32_muladd(uint32_t a, uint32_t b, uint32_t c, unsigned negate,
                       struct sq_fp_env *env);
uint64_t sq_f64_muladd(uint64_t a, uint64_t b, uint64_t c, unsigned negate,
                       struct sq_fp_env *env);

/* VCVTPH2PS, and VCVTPS2PH with its immediate (as of ROUNDSS); ftz does not
 * count. */
uint32_t sq_f16_to_f32(uint16_t a, struct sq_fp_env *env);
uint16_t sq_f32_to_f16(uint32_t a, uint8_t imm, struct sq_fp_env *env);

/* ---- double-extended, x87 rules ---- */

/* Rounded to env->precision bits. sub is a - b, div is a / b. */
struct sq_f80 sq_f80_add(struct sq_f80 a, struct sq_f80 b,
                         struct sq_fp_env *env);
struct sq_f80 sq_f80_sub(struct sq_f80 a, struct sq_f80 b,
                         struct sq_fp_env *env);
struct sq_f80 sq_f80_mul(struct sq_f80 a, struct sq_f80 b,
                         struct sq_fp_env *env);
struct sq_f80 sq_f80_div(struct sq_f80 a, struct sq_f80 b,
                         struct sq_fp_env *env);
struct sq_f80 sq_f80_sqrt(struct sq_f80 a, struct sq_fp_env *env);

/* FCOM (`signaling`) and FUCOM. */
enum sq_fp_rel sq_f80_compare(struct sq_f80 a, struct sq_f80 b, bool signaling,
                              struct sq_fp_env *env);

/* FXAM without the sign, which is bit 15 of `se`. */
enum sq_f80_class sq_f80_classify(struct sq_f80 a);

/* FRNDINT. */
struct sq_f80 sq_f80_round(struct sq_f80 a, struct sq_fp_env *env);

/* FSCALE: a (ST0) times two to the truncated b (ST1). */
struct sq_f80 sq_f80_scale(struct sq_f80 a, struct sq_f80 b,
                           struct sq_fp_env *env);

/* FXTRACT: returns the significand (new ST0), `*exponent` is the new ST1. */
struct sq_f80 sq_f80_extract(struct sq_f80 a, struct sq_f80 *exponent,
                             struct sq_fp_env *env);

/*
 * FPREM (`nearest` false) and FPREM1 (`nearest` true) of a by b. When
 * `*incomplete` (C2) is set the caller's guest repeats the instruction on the
 * result; otherwise `*quotient` holds the low three quotient bits
 * (bit 2 is C0, bit 1 is C3, bit 0 is C1). When incomplete, or when the
 * operation is invalid, `*quotient` is 0.
 */
struct sq_f80 sq_f80_rem(struct sq_f80 a, struct sq_f80 b, bool nearest,
                         uint8_t *quotient, bool *incomplete,
                         struct sq_fp_env *env);

/* FLD m32 and FLD m64. */
struct sq_f80 sq_f80_from_f32(uint32_t a, struct sq_fp_env *env);
struct sq_f80 sq_f80_from_f64(uint64_t a, struct sq_fp_env *env);

/*
 * The memory operand of an arithmetic or compare instruction whose other
 * operand is `st0` (FADD m32 and its family). Unlike a load it keeps a
 * signaling NaN, so that the operation itself chooses between the NaNs, and
 * it reports DE only where the operation would. An unmasked DE means the
 * operation must not be called.
 */
struct sq_f80 sq_f80_operand_f32(uint32_t a, struct sq_f80 st0,
                                 struct sq_fp_env *env);
struct sq_f80 sq_f80_operand_f64(uint64_t a, struct sq_f80 st0,
                                 struct sq_fp_env *env);

/* FST m32 and FST m64. */
uint32_t sq_f80_to_f32(struct sq_f80 a, struct sq_fp_env *env);
uint64_t sq_f80_to_f64(struct sq_f80 a, struct sq_fp_env *env);

/* FIST, and FISTTP with `trunc`. FILD (16, 32 and 64 bits) is exact. */
int16_t sq_f80_to_i16(struct sq_f80 a, bool trunc, struct sq_fp_env *env);
int32_t sq_f80_to_i32(struct sq_f80 a, bool trunc, struct sq_fp_env *env);
int64_t sq_f80_to_i64(struct sq_f80 a, bool trunc, struct sq_fp_env *env);
struct sq_f80 sq_f80_from_i64(int64_t a);

/* FBSTP and FBLD: 18 digits in 9 bytes, least significant first, then sign. */
#define SQ_F80_BCD_LEN 10
void sq_f80_to_bcd(struct sq_f80 a, uint8_t bcd[SQ_F80_BCD_LEN],
                   struct sq_fp_env *env);
struct sq_f80 sq_f80_from_bcd(const uint8_t bcd[SQ_F80_BCD_LEN]);

/* FLD1 is trivial; these depend on env->rounding and report nothing. */
enum sq_f80_constant {
    SQ_F80_LOG2_10, /* FLDL2T */
    SQ_F80_LOG2_E,  /* FLDL2E */
    SQ_F80_PI,      /* FLDPI */
    SQ_F80_LOG10_2, /* FLDLG2 */
    SQ_F80_LN_2,    /* FLDLN2 */
};
struct sq_f80 sq_f80_load_constant(enum sq_f80_constant which,
                                   const struct sq_fp_env *env);

/*
 * Transcendentals, rounded to 64 bits under env->rounding whatever the
 * precision control says: the error is below 0.51 ulp to nearest and below
 * 1.01 ulp, on the right side, in the directed modes. PE is reported like a
 * processor does, also for the few results that happen to be exact.
 *
 * Arguments of the trigonometric ones are reduced by the processor's 66-bit
 * pi (volume 1, section 8.3.8), so results for large arguments are the
 * processor's, not mathematics'.
 *
 * sin, cos, sincos and tan return false (C2) for a finite |a| >= 2^63 and
 * leave the outputs alone. FPTAN pushes 1.0 after the tangent: the caller's
 * job.
 */
bool sq_f80_sin(struct sq_f80 a, struct sq_f80 *sin, struct sq_fp_env *env);
bool sq_f80_cos(struct sq_f80 a, struct sq_f80 *cos, struct sq_fp_env *env);
bool sq_f80_sincos(struct sq_f80 a, struct sq_f80 *sin, struct sq_f80 *cos,
                   struct sq_fp_env *env);
bool sq_f80_tan(struct sq_f80 a, struct sq_f80 *tan, struct sq_fp_env *env);

/* FPATAN: the angle of the point (x, y); y is ST1, x is ST0. */
struct sq_f80 sq_f80_atan2(struct sq_f80 y, struct sq_f80 x,
                           struct sq_fp_env *env);

/* F2XM1: 2^a - 1 for -1 <= a <= 1; a is returned outside that range. */
struct sq_f80 sq_f80_exp2m1(struct sq_f80 a, struct sq_fp_env *env);

/* FYL2X: y log2(x), and FYL2XP1: y log2(x + 1); y is ST1, x is ST0. */
struct sq_f80 sq_f80_ylog2x(struct sq_f80 y, struct sq_f80 x,
                            struct sq_fp_env *env);
struct sq_f80 sq_f80_ylog2xp1(struct sq_f80 y, struct sq_f80 x,
                              struct sq_fp_env *env);

/* ---- fast paths ---- */

/*
 * sq_f32_add_fast() and so on give the bits and flags of sq_f32_add() and so
 * on, but use the host's own arithmetic when that cannot differ: rounding to
 * nearest, the inexact flag already set and masked (so there is no flag left
 * to find out), operands normal or zero, result normal and above the smallest
 * normal (or an exact zero). daz and ftz cannot matter under those conditions.
 *
 * The host must evaluate float and double in their own formats, round to
 * nearest and trap nothing, and must not fuse a multiplication with an
 * addition: compile with -ffp-contract=off. Needs libm for sqrt.
 */
_Static_assert(FLT_EVAL_METHOD == 0, "float and double in their own format");
_Static_assert(FLT_RADIX == 2 && FLT_MANT_DIG == 24 && DBL_MANT_DIG == 53,
               "IEEE 754 formats");

#ifdef __clang__
#define SQ_FP_NO_CONTRACT _Pragma("STDC FP_CONTRACT OFF")
#else
#define SQ_FP_NO_CONTRACT /* gcc: only the command line can say it */
#endif

/* rounding == 0, PE set in flags and in masks. */
static inline bool sq_fp_env_fast(const struct sq_fp_env *env)
{
    uint64_t word;

    memcpy(&word, env, sizeof(word));
    return (word & 0x00002020000000ffull) == 0x0000202000000000ull;
}

static inline bool sq_f32_plain(uint32_t a)
{
    return (((a >> 23) + 1) & 0xfe) != 0 || a << 1 == 0;
}

static inline bool sq_f64_plain(uint64_t a)
{
    return (((a >> 52) + 1) & 0x7fe) != 0 || a << 1 == 0;
}

/* Finite and of magnitude above the smallest normal. */
static inline bool sq_f32_settled(uint32_t a)
{
    return (a << 1) - 0x01000001u < 0xff000000u - 0x01000001u;
}

static inline bool sq_f64_settled(uint64_t a)
{
    return (a << 1) - 0x0020000000000001ull <
           0xffe0000000000000ull - 0x0020000000000001ull;
}

#define SQ_FP_FAST_BINARY(fmt, uint, host, name, op, exact_zero)               \
    static inline uint sq_##fmt##_##name##_fast(uint a, uint b,                \
                                                struct sq_fp_env *env)         \
    {                                                                          \
        SQ_FP_NO_CONTRACT                                                      \
        host x, y, z;                                                          \
        uint r;                                                                \
                                                                               \
        if (sq_fp_env_fast(env) && sq_##fmt##_plain(a) &&                      \
            sq_##fmt##_plain(b)) {                                             \
            memcpy(&x, &a, sizeof(x));                                         \
            memcpy(&y, &b, sizeof(y));                                         \
            z = x op y;                                                        \
            memcpy(&r, &z, sizeof(r));                                         \
            if (sq_##fmt##_settled(r) || (r << 1 == 0 && (exact_zero)))        \
                return r;                                                      \
        }                                                                      \
        return sq_##fmt##_##name(a, b, env);                                   \
    }

#define SQ_FP_FAST_SQRT(fmt, uint, host, root)                                 \
    static inline uint sq_##fmt##_sqrt_fast(uint a, struct sq_fp_env *env)     \
    {                                                                          \
        host x;                                                                \
                                                                               \
        if (sq_fp_env_fast(env) && sq_##fmt##_settled(a) &&                    \
            a >> (sizeof(a) * 8 - 1) == 0) {                                   \
            memcpy(&x, &a, sizeof(x));                                         \
            x = root(x);                                                       \
            memcpy(&a, &x, sizeof(a));                                         \
            return a;                                                          \
        }                                                                      \
        return sq_##fmt##_sqrt(a, env);                                        \
    }

/* Zero from normal numbers is exact in a sum, but may be underflow here: */
#define SQ_FP_MUL_ZERO a << 1 == 0 || b << 1 == 0
#define SQ_FP_DIV_ZERO a << 1 == 0

SQ_FP_FAST_BINARY(f32, uint32_t, float, add, +, true)
SQ_FP_FAST_BINARY(f32, uint32_t, float, sub, -, true)
SQ_FP_FAST_BINARY(f32, uint32_t, float, mul, *, SQ_FP_MUL_ZERO)
SQ_FP_FAST_BINARY(f32, uint32_t, float, div, /, SQ_FP_DIV_ZERO)
SQ_FP_FAST_SQRT(f32, uint32_t, float, __builtin_sqrtf)
SQ_FP_FAST_BINARY(f64, uint64_t, double, add, +, true)
SQ_FP_FAST_BINARY(f64, uint64_t, double, sub, -, true)
SQ_FP_FAST_BINARY(f64, uint64_t, double, mul, *, SQ_FP_MUL_ZERO)
SQ_FP_FAST_BINARY(f64, uint64_t, double, div, /, SQ_FP_DIV_ZERO)
SQ_FP_FAST_SQRT(f64, uint64_t, double, __builtin_sqrt)

#undef SQ_FP_MUL_ZERO
#undef SQ_FP_DIV_ZERO
#undef SQ_FP_FAST_BINARY
#undef SQ_FP_FAST_SQRT

#endif

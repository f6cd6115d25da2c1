/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The software floating point against the host's processor, bit for bit and
 * flag for flag, on x86-64; a table of known results everywhere.
 *
 * The host is driven by small asm blocks that load the control register,
 * compute, and read the status in one piece, so that the compiler cannot move
 * the computation out of its environment.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* the saved MXCSR in ucontext_t */
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "backends/soft/x86_64/fp/softfloat.h"

#define F80(se_, sig_) ((struct sq_f80){.sig = (sig_), .se = (se_)})
#define PAYLOAD 0x7fffffffffffffffull

static struct sq_fp_env masked_env(void)
{
    return (struct sq_fp_env){.precision = 64, .masks = SQ_FP_ALL};
}

static void check_f80(struct sq_f80 got, uint16_t se, uint64_t sig)
{
    assert_int_equal(got.se, se);
    assert_int_equal(got.sig, sig);
}

/* ---- known results, any host ---- */

static void test_known_sse(void **state)
{
    struct sq_fp_env env = masked_env();

    (void)state;
    /* 1 + 2^-24 ties to even; then upwards. */
    assert_int_equal(sq_f32_add(0x3f800000, 0x33800000, &env), 0x3f800000);
    assert_int_equal(env.flags, SQ_FP_PE);
    env.rounding = SQ_FP_UP;
    assert_int_equal(sq_f32_add(0x3f800000, 0x33800000, &env), 0x3f800001);
    env = masked_env();
    /* 0.1 + 0.2 */
    assert_int_equal(
        sq_f64_add(0x3fb999999999999aull, 0x3fc999999999999aull, &env),
        0x3fd3333333333334ull);
    /* inf - inf, 0 * inf, 1 / 0, sqrt(-1) */
    env.flags = 0;
    assert_int_equal(
        sq_f64_sub(0x7ff0000000000000ull, 0x7ff0000000000000ull, &env),
        0xfff8000000000000ull);
    assert_int_equal(env.flags, SQ_FP_IE);
    assert_int_equal(sq_f32_mul(0, 0x7f800000, &env), 0xffc00000);
    env.flags = 0;
    assert_int_equal(sq_f32_div(0xbf800000, 0, &env), 0xff800000);
    assert_int_equal(env.flags, SQ_FP_ZE);
    assert_int_equal(sq_f32_sqrt(0xbf800000, &env), 0xffc00000);
    assert_int_equal(sq_f64_sqrt(0x4000000000000000ull, &env),
                     0x3ff6a09e667f3bcdull);
    /* A signaling first operand wins and comes out quiet. */
    env.flags = 0;
    assert_int_equal(sq_f32_add(0x7f800001, 0x7fc00002, &env), 0x7fc00001);
    assert_int_equal(env.flags, SQ_FP_IE);
    assert_int_equal(sq_f32_add(0x3f800000, 0xffc00002, &env), 0xffc00002);
    /* Overflow, underflow, flush to zero. */
    env.flags = 0;
    assert_int_equal(sq_f32_mul(0x7f7fffff, 0x40000000, &env), 0x7f800000);
    assert_int_equal(env.flags, SQ_FP_OE | SQ_FP_PE);
    env.flags = 0;
    assert_int_equal(sq_f32_mul(0x00800001, 0x3f000000, &env), 0x00400000);
    assert_int_equal(env.flags, SQ_FP_UE | SQ_FP_PE);
    env.flags = 0;
    env.ftz = true;
    assert_int_equal(sq_f32_mul(0x80800001, 0x3f000000, &env), 0x80000000);
    assert_int_equal(env.flags, SQ_FP_UE | SQ_FP_PE);
    env.ftz = false;
    /* An exact denormal result reports UE only when it is unmasked. */
    env.flags = 0;
    assert_int_equal(sq_f32_mul(0x00800000, 0x3f000000, &env), 0x00400000);
    assert_int_equal(env.flags, 0);
    env.masks = SQ_FP_ALL & ~SQ_FP_UE;
    sq_f32_mul(0x00800000, 0x3f000000, &env);
    assert_int_equal(env.flags, SQ_FP_UE);
    assert_int_equal(sq_fp_unmasked(&env), SQ_FP_UE);
    env = masked_env();
    /* Denormal operands, and DAZ. */
    assert_int_equal(sq_f32_add(1, 1, &env), 2);
    assert_int_equal(env.flags, SQ_FP_DE);
    env.flags = 0;
    env.daz = true;
    assert_int_equal(sq_f32_add(1, 1, &env), 0);
    assert_int_equal(env.flags, 0);
    env.daz = false;
    /* MIN and MAX return the second of two zeros and of anything with NaN. */
    assert_int_equal(sq_f32_min(0, 0x80000000, &env), 0x80000000);
    assert_int_equal(sq_f32_max(0x7fc00000, 0x3f800000, &env), 0x3f800000);
    assert_int_equal(env.flags, SQ_FP_IE);
    /* Comparison. */
    env.flags = 0;
    assert_int_equal(sq_f64_compare(0x7ff8000000000000ull, 0, false, &env),
                     SQ_FP_UNORDERED);
    assert_int_equal(env.flags, 0);
    sq_f64_compare(0x7ff8000000000000ull, 0, true, &env);
    assert_int_equal(env.flags, SQ_FP_IE);
    assert_int_equal(sq_f32_compare(0xbf800000, 0x3f800000, true, &env),
                     SQ_FP_LESS);
    assert_int_equal(sq_f32_compare(0x80000000, 0, true, &env), SQ_FP_EQUAL);
    /* Integers. */
    env.flags = 0;
    assert_int_equal(sq_f32_to_i32(0x40200000, false, &env), 2);  /* 2.5 */
    assert_int_equal(sq_f32_to_i32(0xc0600000, false, &env), -4); /* -3.5 */
    assert_int_equal(sq_f32_to_i32(0xc0600000, true, &env), -3);
    assert_int_equal(env.flags, SQ_FP_PE);
    env.flags = 0;
    assert_int_equal(sq_f64_to_i32(0x41e0000000000000ull, true, &env),
                     INT32_MIN);
    assert_int_equal(env.flags, SQ_FP_IE);
    env.flags = 0;
    assert_true(sq_f64_to_i64(0xc3e0000000000000ull, true, &env) == INT64_MIN);
    assert_int_equal(env.flags, 0);
    assert_int_equal(sq_f32_from_i64(INT64_MAX, &env), 0x5f000000);
    assert_int_equal(sq_f64_from_i32(-3, &env), 0xc008000000000000ull);
    /* ROUNDSD: up, down without PE, current mode. */
    env.flags = 0;
    assert_int_equal(sq_f64_round(0x3fe0000000000000ull, 0x0a, &env),
                     0x3ff0000000000000ull);
    assert_int_equal(env.flags, 0);
    assert_int_equal(sq_f64_round(0xbfe0000000000000ull, 0x00, &env),
                     0x8000000000000000ull);
    assert_int_equal(env.flags, SQ_FP_PE);
    env.rounding = SQ_FP_DOWN;
    assert_int_equal(sq_f32_round(0xbe800000, 0x04, &env), 0xbf800000);
    env = masked_env();
    /* Between the formats. */
    assert_int_equal(sq_f32_to_f64(0x3dcccccd, &env), 0x3fb99999a0000000ull);
    assert_int_equal(sq_f64_to_f32(0x3fb999999999999aull, &env), 0x3dcccccd);
    assert_int_equal(sq_f32_to_f64(1, &env), 0x36a0000000000000ull);
    assert_int_equal(env.flags, SQ_FP_DE | SQ_FP_PE);
}

static void test_known_x87(void **state)
{
    const struct sq_f80 one = F80(0x3fff, 1ull << 63);
    const struct sq_f80 three = F80(0x4000, 0xc000000000000000ull);
    const struct sq_f80 huge = F80(0x403e, 1ull << 63); /* 2^63 */
    struct sq_fp_env env = masked_env();
    uint8_t bcd[SQ_F80_BCD_LEN], quotient;
    struct sq_f80 a, b;
    bool incomplete;

    (void)state;
    check_f80(sq_f80_div(one, three, &env), 0x3ffd, 0xaaaaaaaaaaaaaaabull);
    assert_int_equal(env.flags, SQ_FP_PE);
    assert_int_equal(env.rounded_up, 1);
    env.precision = 53;
    check_f80(sq_f80_div(one, three, &env), 0x3ffd, 0xaaaaaaaaaaaaa800ull);
    assert_int_equal(env.rounded_up, 0);
    env.precision = 24;
    check_f80(sq_f80_div(one, three, &env), 0x3ffd, 0xaaaaab0000000000ull);
    env.precision = 64;
    check_f80(sq_f80_sqrt(three, &env), 0x3fff, 0xddb3d742c265539eull);
    /* The larger significand, quiet before signaling; an unnormal. */
    a = sq_f80_add(F80(0x7fff, 0xc000000000000001ull),
                   F80(0xffff, 0xc000000000000002ull), &env);
    check_f80(a, 0xffff, 0xc000000000000002ull);
    env.flags = 0;
    a = sq_f80_add(F80(0x7fff, 0xbfffffffffffffffull),
                   F80(0xffff, 0xc000000000000002ull), &env);
    check_f80(a, 0xffff, 0xc000000000000002ull);
    assert_int_equal(env.flags, SQ_FP_IE);
    env.flags = 0;
    a = sq_f80_add(F80(0x3fff, 0x4000000000000000ull), one, &env);
    check_f80(a, 0xffff, 0xc000000000000000ull);
    assert_int_equal(env.flags, SQ_FP_IE);
    /* A pseudo-denormal equals the smallest normal number. */
    env.flags = 0;
    assert_int_equal(
        sq_f80_compare(F80(0, 1ull << 63), F80(1, 1ull << 63), true, &env),
        SQ_FP_EQUAL);
    assert_int_equal(env.flags, SQ_FP_DE);
    /* Unmasked underflow and overflow move the exponent. */
    env.masks = 0;
    env.flags = 0;
    a = sq_f80_mul(F80(1, 1ull << 63), F80(0x3ffe, 1ull << 63), &env);
    check_f80(a, 0x6000, 1ull << 63);
    assert_int_equal(env.flags, SQ_FP_UE);
    env.flags = 0;
    a = sq_f80_mul(F80(0x7ffe, 1ull << 63), F80(0x4000, 1ull << 63), &env);
    check_f80(a, 0x1fff, 1ull << 63);
    assert_int_equal(env.flags, SQ_FP_OE);
    env = masked_env();
    /* Classes. */
    assert_int_equal(sq_f80_classify(one), SQ_F80_NORMAL);
    assert_int_equal(sq_f80_classify(F80(0x8000, 0)), SQ_F80_ZERO);
    assert_int_equal(sq_f80_classify(F80(0, 1)), SQ_F80_DENORMAL);
    assert_int_equal(sq_f80_classify(F80(1, 1)), SQ_F80_UNSUPPORTED);
    assert_int_equal(sq_f80_classify(F80(0x7fff, 1ull << 63)), SQ_F80_INFINITY);
    assert_int_equal(sq_f80_classify(F80(0x7fff, 3ull << 62)), SQ_F80_NAN);
    /* 17 = 5 * 3 + 2 = 6 * 3 - 1 */
    a = sq_f80_rem(sq_f80_from_i64(17), three, false, &quotient, &incomplete,
                   &env);
    check_f80(a, 0x4000, 1ull << 63);
    assert_int_equal(quotient, 5);
    assert_false(incomplete);
    a = sq_f80_rem(sq_f80_from_i64(17), three, true, &quotient, &incomplete,
                   &env);
    check_f80(a, 0xbfff, 1ull << 63);
    assert_int_equal(quotient, 6);
    sq_f80_rem(F80(0x7000, 1ull << 63), three, true, &quotient, &incomplete,
               &env);
    assert_true(incomplete);
    /* FXTRACT, FSCALE, FRNDINT. */
    a = sq_f80_extract(sq_f80_from_i64(-12), &b, &env);
    check_f80(a, 0xbfff, 0xc000000000000000ull);
    check_f80(b, 0x4000, 0xc000000000000000ull);
    check_f80(sq_f80_scale(a, b, &env), 0xc002, 0xc000000000000000ull);
    check_f80(sq_f80_round(F80(0x4000, 0xa000000000000000ull), &env), 0x4000,
              1ull << 63);
    /* Packed decimal. */
    sq_f80_to_bcd(sq_f80_from_i64(-1234567), bcd, &env);
    assert_memory_equal(bcd, "\x67\x45\x23\x01\0\0\0\0\0\x80", 10);
    check_f80(sq_f80_from_bcd(bcd), 0xc013, 0x96b4380000000000ull);
    env.flags = 0;
    sq_f80_to_bcd(huge, bcd, &env);
    assert_memory_equal(bcd, "\0\0\0\0\0\0\0\xc0\xff\xff", 10);
    assert_int_equal(env.flags, SQ_FP_IE);
    assert_int_equal(sq_f80_to_i16(sq_f80_from_i64(32768), false, &env),
                     INT16_MIN);
    assert_int_equal(sq_f80_to_f64(F80(0x3ffd, 0xaaaaaaaaaaaaaaabull), &env),
                     0x3fd5555555555555ull);
    /* Transcendentals at 1, and their special cases. */
    assert_true(sq_f80_sin(one, &a, &env));
    check_f80(a, 0x3ffe, 0xd76aa47848677021ull);
    assert_true(sq_f80_cos(one, &a, &env));
    check_f80(a, 0x3ffe, 0x8a51407da8345c92ull);
    assert_true(sq_f80_tan(one, &a, &env));
    check_f80(a, 0x3fff, 0xc75922e5f71d2dc5ull);
    assert_false(sq_f80_sin(huge, &a, &env));
    check_f80(sq_f80_atan2(one, one, &env), 0x3ffe, 0xc90fdaa22168c235ull);
    check_f80(sq_f80_atan2(F80(0x8000, 0), F80(0xbfff, 1ull << 63), &env),
              0xc000, 0xc90fdaa22168c235ull);
    check_f80(sq_f80_exp2m1(F80(0x3ffe, 1ull << 63), &env), 0x3ffd,
              0xd413cccfe7799211ull);
    check_f80(sq_f80_ylog2x(one, sq_f80_from_i64(10), &env), 0x4000,
              0xd49a784bcd1b8afeull);
    env.flags = 0;
    check_f80(sq_f80_ylog2x(three, sq_f80_from_i64(8), &env), 0x4002,
              0x9000000000000000ull);
    assert_int_equal(env.flags, SQ_FP_PE);
    check_f80(sq_f80_ylog2xp1(one, F80(0x3ffd, 1ull << 63), &env), 0x3ffd,
              0xa4d3c25e68dc57f2ull);
    env.flags = 0;
    check_f80(sq_f80_ylog2x(one, F80(0, 0), &env), 0xffff, 1ull << 63);
    assert_int_equal(env.flags, SQ_FP_ZE);
    check_f80(sq_f80_load_constant(SQ_F80_PI, &env), 0x4000,
              0xc90fdaa22168c235ull);
}

/* ---- against the host ---- */

#if defined(__x86_64__) && defined(__linux__)
#define HOST_IS_ORACLE 1

#include <signal.h>
#include <ucontext.h>

static uint64_t cases;
static uint64_t seed = 0x9e3779b97f4a7c15ull;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1dull;
}

/* A pattern rich in carries and ties: runs of equal bits. */
static uint64_t runs(void)
{
    uint64_t v = rnd();

    switch (rnd() & 7) {
    case 0:
        return v;
    case 1:
        return 0;
    case 2:
        return ~0ull;
    case 3:
        return 1ull << (v & 63);
    case 4:
        return ~0ull << (v & 63);
    case 5:
        return ~0ull >> (v & 63);
    case 6:
        return v << (rnd() & 63);
    default:
        return (1ull << (v & 63)) ^ (1ull << (v >> 6 & 63));
    }
}

/* Operands come in pairs with related exponents half of the time. */
static uint64_t number(unsigned exp_bits, unsigned frac_bits, uint64_t near)
{
    uint64_t exp_max = (1ull << exp_bits) - 1;
    uint64_t v = rnd(), exp, frac = runs();
    uint64_t bias = exp_max / 2;

    frac =
        rnd() & 1 ? frac & ((1ull << frac_bits) - 1) : frac >> (64 - frac_bits);
    switch (v & 15) {
    case 0:
        exp = 0;
        break;
    case 1:
        exp = v & 16 ? exp_max : 0;
        frac = v & 96 ? 0 : frac;
        break;
    case 2:
        exp = exp_max;
        break;
    case 3:
    case 4:
        exp = exp_max - 3 + (v >> 8 & 3);
        break;
    case 5:
    case 6:
        exp = v >> 8 & 3;
        break;
    case 7:
    case 8:
        exp = bias - 32 + (v >> 8 & 127);
        break;
    case 9:
    case 10:
    case 11:
        exp = (near >> frac_bits) - 2 + (v >> 8 & 3);
        break;
    case 12:
        /* So that a product lands at the edge of the denormals. */
        exp = bias + 1 - (near >> frac_bits & exp_max) - (v >> 8 & 31);
        break;
    default:
        exp = v >> 8;
        break;
    }
    exp &= exp_max;
    return (v >> 63) << (exp_bits + frac_bits) | exp << frac_bits | frac;
}

static struct sq_f80 number80(struct sq_f80 near)
{
    struct sq_f80 a;
    uint64_t v = number(15, 48, (uint64_t)near.se << 48);

    a.se = (uint16_t)(v >> 48);
    a.sig = runs();
    if (rnd() & 15)
        a.sig |= 1ull << 63;
    if ((a.se & 0x7fff) == 0x7fff && rnd() & 1)
        a.sig &= 3ull << 62;
    if ((a.se & 0x7fff) == 0 && rnd() & 3)
        a.sig = rnd() & 1 ? 0 : a.sig & PAYLOAD;
    /* Numbers short enough for the other precisions to be exact. */
    if ((rnd() & 3) == 0)
        a.sig &= ~0ull << (rnd() & 63);
    return a;
}

static struct sq_fp_env random_env(void)
{
    static const uint8_t precisions[3] = {24, 53, 64};
    uint64_t v = rnd();

    return (struct sq_fp_env){
        .rounding = v & 3,
        .daz = (v >> 2 & 3) == 0,
        .ftz = (v >> 4 & 3) == 0,
        .precision = precisions[(v >> 8 & 0xff) % 3],
        .masks = SQ_FP_ALL,
    };
}

static uint32_t mxcsr_of(const struct sq_fp_env *env)
{
    return (uint32_t)(env->flags | env->daz << 6 | env->masks << 7 |
                      env->rounding << 13 | env->ftz << 15);
}

static const uint32_t quiet_mxcsr = 0x1f80;

#define SSE2(name, type, insn)                                                 \
    static uint64_t host_##name(uint64_t x, uint64_t y, uint32_t *csr)         \
    {                                                                          \
        type a, b;                                                             \
                                                                               \
        memcpy(&a, &x, sizeof(a));                                             \
        memcpy(&b, &y, sizeof(b));                                             \
        __asm__ volatile("ldmxcsr %1\n\t" insn " %2, %0\n\t"                   \
                         "stmxcsr %1\n\tldmxcsr %3"                            \
                         : "+x"(a), "+m"(*csr)                                 \
                         : "x"(b), "m"(quiet_mxcsr));                          \
        x = 0;                                                                 \
        memcpy(&x, &a, sizeof(a));                                             \
        return x;                                                              \
    }

#define SSE_CVT(name, from, in, to, out, insn)                                 \
    static uint64_t host_##name(uint64_t x, uint64_t y, uint32_t *csr)         \
    {                                                                          \
        from a;                                                                \
        to b;                                                                  \
                                                                               \
        (void)y;                                                               \
        memcpy(&a, &x, sizeof(a));                                             \
        __asm__ volatile("ldmxcsr %1\n\t" insn " %2, %0\n\t"                   \
                         "stmxcsr %1\n\tldmxcsr %3"                            \
                         : "=&" out(b), "+m"(*csr)                             \
                         : in(a), "m"(quiet_mxcsr));                           \
        x = 0;                                                                 \
        memcpy(&x, &b, sizeof(b));                                             \
        return x;                                                              \
    }

/* ZF, PF, CF of COMISS as the relation. */
#define SSE_COMPARE(name, type, insn)                                          \
    static uint64_t host_##name(uint64_t x, uint64_t y, uint32_t *csr)         \
    {                                                                          \
        uint8_t below, parity, equal;                                          \
        type a, b;                                                             \
                                                                               \
        memcpy(&a, &x, sizeof(a));                                             \
        memcpy(&b, &y, sizeof(b));                                             \
        __asm__ volatile("ldmxcsr %3\n\t" insn " %5, %4\n\t"                   \
                         "setb %0\n\tsetp %1\n\tsete %2\n\t"                   \
                         "stmxcsr %3\n\tldmxcsr %6"                            \
                         : "=&q"(below), "=&q"(parity), "=&q"(equal),          \
                           "+m"(*csr)                                          \
                         : "x"(a), "x"(b), "m"(quiet_mxcsr)                    \
                         : "cc");                                              \
        if (parity)                                                            \
            return (uint64_t)SQ_FP_UNORDERED;                                  \
        if (equal)                                                             \
            return (uint64_t)SQ_FP_EQUAL;                                      \
        return (uint64_t)(int64_t)(below ? SQ_FP_LESS : SQ_FP_GREATER);        \
    }

#define SOFT2(name, type, fn)                                                  \
    static uint64_t soft_##name(uint64_t x, uint64_t y, struct sq_fp_env *env) \
    {                                                                          \
        return fn((type)x, (type)y, env);                                      \
    }

#define SOFT_SQRT(name, type, fn)                                              \
    static uint64_t soft_##name(uint64_t x, uint64_t y, struct sq_fp_env *env) \
    {                                                                          \
        (void)x;                                                               \
        return fn((type)y, env);                                               \
    }

#define SOFT_CVT(name, from, to, call)                                         \
    static uint64_t soft_##name(uint64_t x, uint64_t y, struct sq_fp_env *env) \
    {                                                                          \
        from a = (from)x;                                                      \
                                                                               \
        (void)y;                                                               \
        return (to)call;                                                       \
    }

#define SSE_FORMAT(fmt, uint, host, s)                                         \
    SSE2(fmt##_add, host, "adds" s)                                            \
    SSE2(fmt##_sub, host, "subs" s)                                            \
    SSE2(fmt##_mul, host, "muls" s)                                            \
    SSE2(fmt##_div, host, "divs" s)                                            \
    SSE2(fmt##_min, host, "mins" s)                                            \
    SSE2(fmt##_max, host, "maxs" s)                                            \
    SSE2(fmt##_sqrt, host, "sqrts" s)                                          \
    SSE_COMPARE(fmt##_comis, host, "comis" s)                                  \
    SSE_COMPARE(fmt##_ucomis, host, "ucomis" s)                                \
    SSE_CVT(fmt##_to_i32, host, "x", int32_t, "r", "cvts" s "2sil")            \
    SSE_CVT(fmt##_to_i64, host, "x", int64_t, "r", "cvts" s "2siq")            \
    SSE_CVT(fmt##_trunc_i32, host, "x", int32_t, "r", "cvtts" s "2sil")        \
    SSE_CVT(fmt##_trunc_i64, host, "x", int64_t, "r", "cvtts" s "2siq")        \
    SSE_CVT(fmt##_from_i32, int32_t, "r", host, "x", "cvtsi2s" s "l")          \
    SSE_CVT(fmt##_from_i64, int64_t, "r", host, "x", "cvtsi2s" s "q")          \
    SSE2(fmt##_round0, host, "rounds" s " $0,")                                \
    SSE2(fmt##_round1, host, "rounds" s " $1,")                                \
    SSE2(fmt##_round2, host, "rounds" s " $2,")                                \
    SSE2(fmt##_round3, host, "rounds" s " $3,")                                \
    SSE2(fmt##_round4, host, "rounds" s " $4,")                                \
    SSE2(fmt##_round9, host, "rounds" s " $9,")                                \
    SSE2(fmt##_round14, host, "rounds" s " $14,")                              \
    SOFT2(fmt##_add, uint, sq_##fmt##_add)                                     \
    SOFT2(fmt##_sub, uint, sq_##fmt##_sub)                                     \
    SOFT2(fmt##_mul, uint, sq_##fmt##_mul)                                     \
    SOFT2(fmt##_div, uint, sq_##fmt##_div)                                     \
    SOFT2(fmt##_min, uint, sq_##fmt##_min)                                     \
    SOFT2(fmt##_max, uint, sq_##fmt##_max)                                     \
    SOFT_SQRT(fmt##_sqrt, uint, sq_##fmt##_sqrt)                               \
    SOFT2(fmt##_add_fast, uint, sq_##fmt##_add_fast)                           \
    SOFT2(fmt##_sub_fast, uint, sq_##fmt##_sub_fast)                           \
    SOFT2(fmt##_mul_fast, uint, sq_##fmt##_mul_fast)                           \
    SOFT2(fmt##_div_fast, uint, sq_##fmt##_div_fast)                           \
    SOFT_SQRT(fmt##_sqrt_fast, uint, sq_##fmt##_sqrt_fast)                     \
    static uint64_t soft_##fmt##_comis(uint64_t x, uint64_t y,                 \
                                       struct sq_fp_env *env)                  \
    {                                                                          \
        return (uint64_t)(int64_t)sq_##fmt##_compare((uint)x, (uint)y, true,   \
                                                     env);                     \
    }                                                                          \
    static uint64_t soft_##fmt##_ucomis(uint64_t x, uint64_t y,                \
                                        struct sq_fp_env *env)                 \
    {                                                                          \
        return (uint64_t)(int64_t)sq_##fmt##_compare((uint)x, (uint)y, false,  \
                                                     env);                     \
    }                                                                          \
    SOFT_CVT(fmt##_to_i32, uint, uint32_t, sq_##fmt##_to_i32(a, false, env))   \
    SOFT_CVT(fmt##_to_i64, uint, uint64_t, sq_##fmt##_to_i64(a, false, env))   \
    SOFT_CVT(fmt##_trunc_i32, uint, uint32_t, sq_##fmt##_to_i32(a, true, env)) \
    SOFT_CVT(fmt##_trunc_i64, uint, uint64_t, sq_##fmt##_to_i64(a, true, env)) \
    SOFT_CVT(fmt##_from_i32, int32_t, uint, sq_##fmt##_from_i32(a, env))       \
    SOFT_CVT(fmt##_from_i64, int64_t, uint, sq_##fmt##_from_i64(a, env))       \
    SOFT_ROUND(fmt, uint, 0)                                                   \
    SOFT_ROUND(fmt, uint, 1)                                                   \
    SOFT_ROUND(fmt, uint, 2)                                                   \
    SOFT_ROUND(fmt, uint, 3)                                                   \
    SOFT_ROUND(fmt, uint, 4)                                                   \
    SOFT_ROUND(fmt, uint, 9)                                                   \
    SOFT_ROUND(fmt, uint, 14)

#define SOFT_ROUND(fmt, uint, imm)                                             \
    static uint64_t soft_##fmt##_round##imm(uint64_t x, uint64_t y,            \
                                            struct sq_fp_env *env)             \
    {                                                                          \
        (void)x;                                                               \
        return sq_##fmt##_round((uint)y, imm, env);                            \
    }

SSE_FORMAT(f32, uint32_t, float, "s")
SSE_FORMAT(f64, uint64_t, double, "d")
SSE_CVT(f32_to_f64, float, "x", double, "x", "cvtss2sd")
SSE_CVT(f64_to_f32, double, "x", float, "x", "cvtsd2ss")
SOFT_CVT(f32_to_f64, uint32_t, uint64_t, sq_f32_to_f64(a, env))
SOFT_CVT(f64_to_f32, uint64_t, uint32_t, sq_f64_to_f32(a, env))

enum operands { OF32, OF64, OINT };

struct sse_op {
    const char *name;
    uint64_t (*host)(uint64_t x, uint64_t y, uint32_t *csr);
    uint64_t (*soft)(uint64_t x, uint64_t y, struct sq_fp_env *env);
    enum operands in;
    bool fast; /* start with PE set, mostly to nearest */
};

/* clang-format off */
#define SSE_ROW(fmt, host, soft, in, fast)                                     \
    { #fmt " " #soft, host_##fmt##_##host, soft_##fmt##_##soft, in, fast }

#define SSE_ROWS(fmt, in)                                                      \
    SSE_ROW(fmt, add, add, in, false),                                         \
    SSE_ROW(fmt, sub, sub, in, false),                                         \
    SSE_ROW(fmt, mul, mul, in, false),                                         \
    SSE_ROW(fmt, div, div, in, false),                                         \
    SSE_ROW(fmt, min, min, in, false),                                         \
    SSE_ROW(fmt, max, max, in, false),                                         \
    SSE_ROW(fmt, sqrt, sqrt, in, false),                                       \
    SSE_ROW(fmt, add, add_fast, in, true),                                     \
    SSE_ROW(fmt, sub, sub_fast, in, true),                                     \
    SSE_ROW(fmt, mul, mul_fast, in, true),                                     \
    SSE_ROW(fmt, div, div_fast, in, true),                                     \
    SSE_ROW(fmt, sqrt, sqrt_fast, in, true),                                   \
    SSE_ROW(fmt, comis, comis, in, false),                                     \
    SSE_ROW(fmt, ucomis, ucomis, in, false),                                   \
    SSE_ROW(fmt, to_i32, to_i32, in, false),                                   \
    SSE_ROW(fmt, to_i64, to_i64, in, false),                                   \
    SSE_ROW(fmt, trunc_i32, trunc_i32, in, false),                             \
    SSE_ROW(fmt, trunc_i64, trunc_i64, in, false),                             \
    SSE_ROW(fmt, from_i32, from_i32, OINT, false),                             \
    SSE_ROW(fmt, from_i64, from_i64, OINT, false)

#define ROUND_ROWS(fmt, in)                                                    \
    SSE_ROW(fmt, round0, round0, in, false),                                   \
    SSE_ROW(fmt, round1, round1, in, false),                                   \
    SSE_ROW(fmt, round2, round2, in, false),                                   \
    SSE_ROW(fmt, round3, round3, in, false),                                   \
    SSE_ROW(fmt, round4, round4, in, false),                                   \
    SSE_ROW(fmt, round9, round9, in, false),                                   \
    SSE_ROW(fmt, round14, round14, in, false)
/* clang-format on */

static const struct sse_op sse_ops[] = {
    SSE_ROWS(f32, OF32),
    SSE_ROWS(f64, OF64),
    {"f32 to f64", host_f32_to_f64, soft_f32_to_f64, OF32, false},
    {"f64 to f32", host_f64_to_f32, soft_f64_to_f32, OF64, false},
};

static const struct sse_op round_ops[] = {
    ROUND_ROWS(f32, OF32),
    ROUND_ROWS(f64, OF64),
};

static void sse_operands(enum operands in, uint64_t *x, uint64_t *y)
{
    switch (in) {
    case OF32:
        *x = number(8, 23, 0x3f800000);
        *y = number(8, 23, *x);
        break;
    case OF64:
        *x = number(11, 52, 0x3ff0000000000000ull);
        *y = number(11, 52, *x);
        break;
    case OINT:
        *x = runs();
        *y = 0;
        break;
    }
}

static void compare_sse(const struct sse_op *op, unsigned count)
{
    struct sq_fp_env env;
    uint64_t x, y, want, got;
    uint32_t csr;

    while (count-- > 0) {
        sse_operands(op->in, &x, &y);
        env = random_env();
        if (op->fast) {
            env.flags = SQ_FP_PE;
            env.rounding = rnd() & 3 ? SQ_FP_NEAREST : env.rounding;
        }
        csr = mxcsr_of(&env);
        want = op->host(x, y, &csr);
        got = op->soft(x, y, &env);
        cases++;
        if (got != want || csr != mxcsr_of(&env))
            fail_msg("%s %llx %llx: mxcsr %x result %llx, the host's %x %llx",
                     op->name, (unsigned long long)x, (unsigned long long)y,
                     mxcsr_of(&env), (unsigned long long)got, csr,
                     (unsigned long long)want);
    }
}

static void test_host_sse(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(sse_ops) / sizeof(sse_ops[0]); i++)
        compare_sse(&sse_ops[i], 30000);
    if (!__builtin_cpu_supports("sse4.1")) {
        print_message("the host has no ROUNDSS: not compared\n");
        return;
    }
    for (i = 0; i < sizeof(round_ops) / sizeof(round_ops[0]); i++)
        compare_sse(&round_ops[i], 10000);
}

/*
 * Unmasked exceptions: the host's flags are read in the signal handler, which
 * then masks everything and lets the instruction complete.
 */
static volatile uint32_t trapped_csr;
static volatile sig_atomic_t trapped;

static void on_fpe(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)sig;
    (void)info;
    trapped_csr = uc->uc_mcontext.fpregs->mxcsr;
    trapped = 1;
    uc->uc_mcontext.fpregs->mxcsr = quiet_mxcsr;
}

static void test_host_sse_unmasked(void **state)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO}, old;
    struct sq_fp_env env;
    const struct sse_op *op;
    uint64_t x, y, want, got;
    uint32_t csr;
    size_t i;
    int n;

    (void)state;
    action.sa_sigaction = on_fpe;
    assert_int_equal(sigaction(SIGFPE, &action, &old), 0);
    for (i = 0; i < sizeof(sse_ops) / sizeof(sse_ops[0]); i++) {
        op = &sse_ops[i];
        for (n = 0; n < 2000; n++) {
            sse_operands(op->in, &x, &y);
            env = random_env();
            env.masks = rnd() & SQ_FP_ALL;
            csr = mxcsr_of(&env);
            trapped = 0;
            want = op->host(x, y, &csr);
            if (trapped)
                csr = trapped_csr;
            got = op->soft(x, y, &env);
            cases++;
            if ((sq_fp_unmasked(&env) != 0) != (trapped != 0) ||
                csr != mxcsr_of(&env) || (!trapped && got != want)) {
                sigaction(SIGFPE, &old, NULL);
                fail_msg("%s %llx %llx: mxcsr %x, the host's %x (trap %d)",
                         op->name, (unsigned long long)x, (unsigned long long)y,
                         mxcsr_of(&env), csr, (int)trapped);
            }
        }
    }
    sigaction(SIGFPE, &old, NULL);
}

/* ---- x87 ---- */

struct x87_result {
    struct sq_f80 st0, st1;
    uint64_t bits; /* stored to memory, or a relation, or a class */
    uint64_t bits_high;
    uint16_t fsw;
};

struct x87_input {
    struct sq_f80 st0, st1;
    uint64_t mem;
    uint8_t bcd[16];
};

static uint16_t fcw_of(const struct sq_fp_env *env)
{
    unsigned pc = env->precision == 24 ? 0 : env->precision == 53 ? 2 : 3;

    return (uint16_t)(env->masks | pc << 8 | env->rounding << 10);
}

#define LOADED "fninit\n\tfldcw %[cw]\n\tfldt %[y]\n\tfldt %[x]\n\t"
#define DRAIN "fnclex\n\tfstpt %[a]\n\tfstpt %[b]\n\tfninit"

/* Both registers are loaded; two results are taken off the stack. */
#define X87(name, insn)                                                        \
    static void host_##name(const struct x87_input *in, uint16_t cw,           \
                            struct x87_result *out)                            \
    {                                                                          \
        __asm__ volatile(LOADED insn "\n\tfnstsw %[sw]\n\t" DRAIN              \
                         : [a] "=m"(out->st0), [b] "=m"(out->st1),             \
                           [sw] "=m"(out->fsw), [mem] "+m"(out->bits),         \
                           "+m"(out->bits_high)                                \
                         : [cw] "m"(cw), [x] "m"(in->st0), [y] "m"(in->st1),   \
                           [arg] "m"(in->mem), [bcd] "m"(in->bcd)              \
                         : "memory");                                          \
    }

X87(add, "fadd %%st(1), %%st")
X87(sub, "fsub %%st(1), %%st")
X87(mul, "fmul %%st(1), %%st")
X87(div, "fdiv %%st(1), %%st")
X87(sqrt, "fsqrt")
X87(com, "fcom %%st(1)")
X87(ucom, "fucom %%st(1)")
X87(xam, "fxam")
X87(rndint, "frndint")
X87(scale, "fscale")
X87(prem, "fprem")
X87(prem1, "fprem1")
X87(fld32, "ffree %%st(7)\n\tflds %[arg]")
X87(fld64, "ffree %%st(7)\n\tfldl %[arg]")
X87(fild64, "ffree %%st(7)\n\tfildll %[arg]")
X87(fbld, "ffree %%st(7)\n\tfbld %[bcd]")
X87(fst32, "fsts %[mem]")
X87(fst64, "fstl %[mem]")
X87(fist16, "fists %[mem]")
X87(fist32, "fistl %[mem]")
X87(fist64, "fistpll %[mem]")
X87(fisttp16, "fisttps %[mem]")
X87(fisttp32, "fisttpl %[mem]")
X87(fisttp64, "fisttpll %[mem]")
X87(fbstp, "fbstp %[mem]")
X87(fadd32, "fadds %[arg]")
X87(fsub64, "fsubl %[arg]")
X87(fcom32, "fcoms %[arg]")
X87(xtract, "fxtract")
X87(sin, "fsin")
X87(cos, "fcos")
X87(tan, "fptan\n\tfxch %%st(1)")
X87(sincos, "fsincos")
X87(atan2, "fpatan\n\tfnstsw %[sw]\n\tfld %%st")
X87(exp2m1, "f2xm1")
X87(ylog2x, "fyl2x\n\tfnstsw %[sw]\n\tfld %%st")
X87(ylog2xp1, "fyl2xp1\n\tfnstsw %[sw]\n\tfld %%st")
X87(ldl2t, "fldl2t")
X87(ldl2e, "fldl2e")
X87(ldpi, "fldpi")
X87(ldlg2, "fldlg2")
X87(ldln2, "fldln2")

#define C0 0x0100u
#define C1 0x0200u
#define C2 0x0400u
#define C3 0x4000u
#define CC (C0 | C1 | C2 | C3)

typedef void soft_fn(const struct x87_input *in, struct sq_fp_env *env,
                     struct x87_result *out);

#define SOFT(name, body)                                                       \
    static void soft80_##name(const struct x87_input *in,                      \
                              struct sq_fp_env *env, struct x87_result *out)   \
    {                                                                          \
        (void)in;                                                              \
        (void)env;                                                             \
        body;                                                                  \
    }

static uint16_t relation(enum sq_fp_rel rel)
{
    return (uint16_t)(rel == SQ_FP_UNORDERED ? C3 | C2 | C0
                      : rel == SQ_FP_EQUAL   ? C3
                      : rel == SQ_FP_LESS    ? C0
                                             : 0);
}

static uint16_t class_bits(enum sq_f80_class class, uint16_t se)
{
    return (uint16_t)((class & 4 ? C3 : 0) | (class & 2 ? C2 : 0) |
                      (class & 1 ? C0 : 0) | (se >> 15 ? C1 : 0));
}

static void remainder_of(const struct x87_input *in, struct sq_fp_env *env,
                         struct x87_result *out, bool nearest)
{
    bool incomplete;
    uint8_t q;

    out->st0 = sq_f80_rem(in->st0, in->st1, nearest, &q, &incomplete, env);
    out->fsw = (uint16_t)((q & 4 ? C0 : 0) | (q & 2 ? C3 : 0) |
                          (q & 1 ? C1 : 0) | (incomplete ? C2 : 0));
}

SOFT(add, out->st0 = sq_f80_add(in->st0, in->st1, env))
SOFT(sub, out->st0 = sq_f80_sub(in->st0, in->st1, env))
SOFT(mul, out->st0 = sq_f80_mul(in->st0, in->st1, env))
SOFT(div, out->st0 = sq_f80_div(in->st0, in->st1, env))
SOFT(sqrt, out->st0 = sq_f80_sqrt(in->st0, env))
SOFT(com, out->fsw = relation(sq_f80_compare(in->st0, in->st1, true, env)))
SOFT(ucom, out->fsw = relation(sq_f80_compare(in->st0, in->st1, false, env)))
SOFT(xam, out->fsw = class_bits(sq_f80_classify(in->st0), in->st0.se))
SOFT(rndint, out->st0 = sq_f80_round(in->st0, env))
SOFT(scale, out->st0 = sq_f80_scale(in->st0, in->st1, env))
SOFT(prem, remainder_of(in, env, out, false))
SOFT(prem1, remainder_of(in, env, out, true))
SOFT(fld32, out->st0 = sq_f80_from_f32((uint32_t)in->mem, env))
SOFT(fld64, out->st0 = sq_f80_from_f64(in->mem, env))
SOFT(fild64, out->st0 = sq_f80_from_i64((int64_t)in->mem))
SOFT(fbld, out->st0 = sq_f80_from_bcd(in->bcd))
SOFT(fst32, out->bits = sq_f80_to_f32(in->st0, env))
SOFT(fst64, out->bits = sq_f80_to_f64(in->st0, env))
SOFT(fist16, out->bits = (uint16_t)sq_f80_to_i16(in->st0, false, env))
SOFT(fist32, out->bits = (uint32_t)sq_f80_to_i32(in->st0, false, env))
SOFT(fist64, out->bits = (uint64_t)sq_f80_to_i64(in->st0, false, env))
SOFT(fisttp16, out->bits = (uint16_t)sq_f80_to_i16(in->st0, true, env))
SOFT(fisttp32, out->bits = (uint32_t)sq_f80_to_i32(in->st0, true, env))
SOFT(fisttp64, out->bits = (uint64_t)sq_f80_to_i64(in->st0, true, env))
SOFT(fbstp, uint8_t bcd[16] = {0}; sq_f80_to_bcd(in->st0, bcd, env);
     memcpy(&out->bits, bcd, 8); memcpy(&out->bits_high, bcd + 8, 8))
SOFT(fadd32,
     struct sq_f80 b = sq_f80_operand_f32((uint32_t)in->mem, in->st0, env);
     if (!sq_fp_unmasked(env)) out->st0 = sq_f80_add(in->st0, b, env))
SOFT(fsub64, struct sq_f80 b = sq_f80_operand_f64(in->mem, in->st0, env);
     if (!sq_fp_unmasked(env)) out->st0 = sq_f80_sub(in->st0, b, env))
SOFT(fcom32,
     struct sq_f80 b = sq_f80_operand_f32((uint32_t)in->mem, in->st0, env);
     if (!sq_fp_unmasked(env))
         out->fsw = relation(sq_f80_compare(in->st0, b, true, env)))
SOFT(xtract, out->st0 = sq_f80_extract(in->st0, &out->st1, env))
SOFT(sin, out->fsw = sq_f80_sin(in->st0, &out->st0, env) ? 0 : C2)
SOFT(cos, out->fsw = sq_f80_cos(in->st0, &out->st0, env) ? 0 : C2)
SOFT(tan, out->fsw = sq_f80_tan(in->st0, &out->st0, env) ? 0 : C2)
SOFT(sincos,
     out->fsw = sq_f80_sincos(in->st0, &out->st1, &out->st0, env) ? 0 : C2)
SOFT(atan2, out->st0 = sq_f80_atan2(in->st1, in->st0, env))
SOFT(exp2m1, out->st0 = sq_f80_exp2m1(in->st0, env))
SOFT(ylog2x, out->st0 = sq_f80_ylog2x(in->st1, in->st0, env))
SOFT(ylog2xp1, out->st0 = sq_f80_ylog2xp1(in->st1, in->st0, env))
SOFT(ldl2t, out->st0 = sq_f80_load_constant(SQ_F80_LOG2_10, env))
SOFT(ldl2e, out->st0 = sq_f80_load_constant(SQ_F80_LOG2_E, env))
SOFT(ldpi, out->st0 = sq_f80_load_constant(SQ_F80_PI, env))
SOFT(ldlg2, out->st0 = sq_f80_load_constant(SQ_F80_LOG10_2, env))
SOFT(ldln2, out->st0 = sq_f80_load_constant(SQ_F80_LN_2, env))

enum compared {
    CMP_ST0 = 1, /* register result */
    CMP_MEM = 2, /* memory result: nothing on any unmasked IE, DE, OE, UE */
    CMP_CC = 4,  /* C0, C2, C3 (and C1 with CMP_C1) from the operation */
    CMP_UP = 8,  /* C1 is the direction of rounding */
    CMP_C1 = 16,
    CMP_ST1 = 32,
};

struct x87_op {
    const char *name;
    void (*host)(const struct x87_input *in, uint16_t cw,
                 struct x87_result *out);
    soft_fn *soft;
    unsigned compared;
};

#define X87_ROW(name, compared)                                                \
    {                                                                          \
#name, host_##name, soft80_##name, compared                            \
    }

static const struct x87_op x87_ops[] = {
    X87_ROW(add, CMP_ST0 | CMP_UP),
    X87_ROW(sub, CMP_ST0 | CMP_UP),
    X87_ROW(mul, CMP_ST0 | CMP_UP),
    X87_ROW(div, CMP_ST0 | CMP_UP),
    X87_ROW(sqrt, CMP_ST0 | CMP_UP),
    X87_ROW(com, CMP_CC),
    X87_ROW(ucom, CMP_CC),
    X87_ROW(xam, CMP_CC | CMP_C1),
    X87_ROW(rndint, CMP_ST0 | CMP_UP),
    X87_ROW(scale, CMP_ST0 | CMP_UP),
    X87_ROW(prem, CMP_ST0 | CMP_CC | CMP_C1),
    X87_ROW(prem1, CMP_ST0 | CMP_CC | CMP_C1),
    X87_ROW(fld32, CMP_ST0),
    X87_ROW(fld64, CMP_ST0),
    X87_ROW(fild64, CMP_ST0),
    X87_ROW(fbld, CMP_ST0),
    X87_ROW(fst32, CMP_MEM | CMP_UP),
    X87_ROW(fst64, CMP_MEM | CMP_UP),
    X87_ROW(fist16, CMP_MEM | CMP_UP),
    X87_ROW(fist32, CMP_MEM | CMP_UP),
    X87_ROW(fist64, CMP_MEM | CMP_UP),
    X87_ROW(fisttp16, CMP_MEM),
    X87_ROW(fisttp32, CMP_MEM),
    X87_ROW(fisttp64, CMP_MEM),
    X87_ROW(fbstp, CMP_MEM | CMP_UP),
    X87_ROW(fadd32, CMP_ST0 | CMP_UP),
    X87_ROW(fsub64, CMP_ST0 | CMP_UP),
    X87_ROW(fcom32, CMP_CC),
    X87_ROW(xtract, CMP_ST0 | CMP_ST1),
    X87_ROW(ldl2t, CMP_ST0),
    X87_ROW(ldl2e, CMP_ST0),
    X87_ROW(ldpi, CMP_ST0),
    X87_ROW(ldlg2, CMP_ST0),
    X87_ROW(ldln2, CMP_ST0),
};

static void x87_operands(struct x87_input *in)
{
    int i;

    in->st0 = number80(F80(0x3fff, 0));
    in->st1 = number80(in->st0);
    if ((rnd() & 7) == 0) /* equal, or NaNs of equal significands */
        in->st1.sig = in->st0.sig;
    if ((rnd() & 7) == 0) /* integers of a size that FSCALE and FIST like */
        in->st1 = sq_f80_from_i64((int64_t)rnd() >> (rnd() & 63));
    if ((rnd() & 3) == 0)
        in->st0 = sq_f80_from_i64((int64_t)rnd() >> (rnd() & 63));
    if ((rnd() & 7) == 0)
        in->st0.se = (uint16_t)(in->st0.se - (rnd() & 63));
    in->mem = rnd() & 1 ? number(8, 23, 0x3f800000)
                        : number(11, 52, 0x3ff0000000000000ull);
    for (i = 0; i < 10; i++)
        in->bcd[i] = (uint8_t)((rnd() % 10) | (rnd() % 10) << 4);
}

static bool same_f80(struct sq_f80 a, struct sq_f80 b)
{
    return a.sig == b.sig && a.se == b.se;
}

static bool x87_agree(const struct x87_op *op, const struct sq_fp_env *env,
                      const struct x87_result *host,
                      const struct x87_result *soft)
{
    unsigned stop = sq_fp_unmasked(env) & (SQ_FP_IE | SQ_FP_DE | SQ_FP_ZE);

    if ((host->fsw & SQ_FP_ALL) != env->flags)
        return false;
    if (stop)
        return true;
    if ((op->compared & CMP_UP) && !(host->fsw & C1) != !env->rounded_up)
        return false;
    if ((op->compared & CMP_CC) &&
        ((host->fsw ^ soft->fsw) & CC & ~(op->compared & CMP_C1 ? 0 : C1)))
        return false;
    if ((op->compared & CMP_ST0) && !same_f80(host->st0, soft->st0))
        return false;
    if ((op->compared & CMP_ST1) && !same_f80(host->st1, soft->st1))
        return false;
    if ((op->compared & CMP_MEM) &&
        !(sq_fp_unmasked(env) & (SQ_FP_OE | SQ_FP_UE)) &&
        (host->bits != soft->bits || host->bits_high != soft->bits_high))
        return false;
    return true;
}

static void compare_x87(const struct x87_op *op, unsigned count, bool masked)
{
    struct x87_result host, soft;
    struct sq_fp_env env;
    struct x87_input in;
    uint16_t cw;

    memset(&in, 0, sizeof(in));
    while (count-- > 0) {
        x87_operands(&in);
        env = random_env();
        if (!masked)
            env.masks = rnd() & SQ_FP_ALL;
        cw = fcw_of(&env);
        memset(&host, 0, sizeof(host));
        memset(&soft, 0, sizeof(soft));
        op->host(&in, cw, &host);
        op->soft(&in, &env, &soft);
        cases++;
        if (!x87_agree(op, &env, &host, &soft))
            fail_msg("%s st0 %04x %016llx st1 %04x %016llx mem %llx cw %x:\n"
                     "  %04x %016llx %llx flags %x c1 %d sw %x, the host's\n"
                     "  %04x %016llx %llx flags %x c1 %d sw %x",
                     op->name, in.st0.se, (unsigned long long)in.st0.sig,
                     in.st1.se, (unsigned long long)in.st1.sig,
                     (unsigned long long)in.mem, cw, soft.st0.se,
                     (unsigned long long)soft.st0.sig,
                     (unsigned long long)soft.bits, env.flags, env.rounded_up,
                     soft.fsw, host.st0.se, (unsigned long long)host.st0.sig,
                     (unsigned long long)host.bits, host.fsw & 0x3f,
                     !!(host.fsw & C1), host.fsw);
    }
}

static void test_host_x87(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(x87_ops) / sizeof(x87_ops[0]); i++)
        compare_x87(&x87_ops[i], 20000, true);
}

static void test_host_x87_unmasked(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(x87_ops) / sizeof(x87_ops[0]); i++)
        compare_x87(&x87_ops[i], 10000, false);
}

/*
 * Transcendentals. The processor's are accurate to about one unit in the last
 * place and differ between makers, so results may be two apart; C1 and the
 * inexact flags are not compared.
 */
#define ULPS 2

enum domain { ANGLE, PLANE, UNIT, POSITIVE, NEAR_ZERO };

struct trans_op {
    struct x87_op op;
    enum domain domain;
};

static const struct trans_op trans_ops[] = {
    {X87_ROW(sin, CMP_ST0 | CMP_CC), ANGLE},
    {X87_ROW(cos, CMP_ST0 | CMP_CC), ANGLE},
    {X87_ROW(tan, CMP_ST0 | CMP_CC), ANGLE},
    {X87_ROW(sincos, CMP_ST0 | CMP_ST1 | CMP_CC), ANGLE},
    {X87_ROW(atan2, CMP_ST0), PLANE},
    {X87_ROW(exp2m1, CMP_ST0), UNIT},
    {X87_ROW(ylog2x, CMP_ST0), POSITIVE},
    {X87_ROW(ylog2xp1, CMP_ST0), NEAR_ZERO},
};

/* A normal number with exponent low..high. */
static struct sq_f80 within(int low, int high, bool negative)
{
    uint64_t v = rnd();
    int exp = low + (int)(v % (unsigned)(high - low + 1));

    return F80((uint16_t)(16383 + exp + (negative && v >> 63 ? 0x8000 : 0)),
               runs() | 1ull << 63);
}

static void trans_operands(enum domain domain, struct x87_input *in)
{
    in->st1 = within(-40, 40, true);
    switch (domain) {
    case ANGLE:
        in->st0 = within(-70, 40, true);
        break;
    case PLANE:
        in->st0 = within(-40, 40, true);
        break;
    case UNIT:
        in->st0 = within(-70, -1, true);
        break;
    case POSITIVE:
        in->st0 = rnd() & 1 ? within(-2, 1, false) : within(-99, 99, false);
        break;
    case NEAR_ZERO:
        in->st0 = within(-70, -3, true);
        break;
    }
}

/*
 * Operands of the manual's tables of special results. F2XM1 and FYL2XP1 are
 * undefined for large finite ones.
 */
static void trans_specials(enum domain domain, struct x87_input *in)
{
    const bool bounded = domain == UNIT || domain == NEAR_ZERO;
    static const struct sq_f80 specials[] = {
        {0, 0},
        {0, 0x8000},
        {1ull << 63, 0x7fff},
        {1ull << 63, 0xffff},
        {3ull << 62, 0x7fff},
        {0xa000000000000000ull, 0xffff},
        {0xc000000000000001ull, 0xffff},
        {1ull << 63, 0x3fff},
        {1ull << 63, 0xbfff},
        {1ull << 62, 0x3fff},
        {1ull << 63, 0x4001},
        {0xc000000000000000ull, 0xbffc},
        {0xc000000000000000ull, 0x3ffc},
        {1, 0},
        {1ull << 63, 0x8000},
        {1ull << 63, 0x403e},
        {~0ull, 0x7ffe},
        {~0ull, 0xfffe},
    };
    const size_t n = sizeof(specials) / sizeof(specials[0]);

    do {
        in->st0 = specials[rnd() % n];
    } while (bounded && (in->st0.se & 0x7fff) >= 0x3ffd &&
             (in->st0.se & 0x7fff) != 0x7fff);
    in->st1 = specials[rnd() % n];
}

static bool close_f80(struct sq_f80 a, struct sq_f80 b)
{
    __int128 x = ((__int128)(a.se & 0x7fff) << 63) + (a.sig & PAYLOAD);
    __int128 y = ((__int128)(b.se & 0x7fff) << 63) + (b.sig & PAYLOAD);

    if ((a.se ^ b.se) & 0x8000 || (a.se & 0x7fff) == 0x7fff)
        return same_f80(a, b);
    return x - y <= ULPS && y - x <= ULPS;
}

static void compare_trans(const struct trans_op *t, unsigned count,
                          bool special)
{
    const uint8_t before = SQ_FP_IE | SQ_FP_DE | SQ_FP_ZE;
    struct x87_result host, soft;
    struct sq_fp_env env;
    struct x87_input in;

    memset(&in, 0, sizeof(in));
    while (count-- > 0) {
        if (special)
            trans_specials(t->domain, &in);
        else
            trans_operands(t->domain, &in);
        env = random_env();
        memset(&host, 0, sizeof(host));
        memset(&soft, 0, sizeof(soft));
        t->op.host(&in, fcw_of(&env), &host);
        t->op.soft(&in, &env, &soft);
        cases++;
        if (!((host.fsw ^ env.flags) & before) &&
            !((t->op.compared & CMP_CC) && ((host.fsw ^ soft.fsw) & C2)) &&
            (soft.fsw & C2 || close_f80(host.st0, soft.st0)) &&
            (soft.fsw & C2 || !(t->op.compared & CMP_ST1) ||
             close_f80(host.st1, soft.st1)))
            continue;
        fail_msg("%s st0 %04x %016llx st1 %04x %016llx cw %x:\n"
                 "  %04x %016llx flags %x sw %x, the host's\n"
                 "  %04x %016llx flags %x sw %x",
                 t->op.name, in.st0.se, (unsigned long long)in.st0.sig,
                 in.st1.se, (unsigned long long)in.st1.sig, fcw_of(&env),
                 soft.st0.se, (unsigned long long)soft.st0.sig, env.flags,
                 soft.fsw, host.st0.se, (unsigned long long)host.st0.sig,
                 host.fsw & SQ_FP_ALL, host.fsw);
    }
}

static void test_host_transcendental(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(trans_ops) / sizeof(trans_ops[0]); i++) {
        compare_trans(&trans_ops[i], 10000, false);
        compare_trans(&trans_ops[i], 2000, true);
    }
}

static const struct CMUnitTest host_tests[] = {
    cmocka_unit_test(test_host_sse),
    cmocka_unit_test(test_host_sse_unmasked),
    cmocka_unit_test(test_host_x87),
    cmocka_unit_test(test_host_x87_unmasked),
    cmocka_unit_test(test_host_transcendental),
};
#endif

int main(void)
{
    static const struct CMUnitTest known[] = {
        cmocka_unit_test(test_known_sse),
        cmocka_unit_test(test_known_x87),
    };
    int failed = cmocka_run_group_tests(known, NULL, NULL);

#ifdef HOST_IS_ORACLE
    failed += cmocka_run_group_tests(host_tests, NULL, NULL);
    print_message("%llu cases compared with the host\n",
                  (unsigned long long)cases);
#else
    print_message("skipped: not x86-64 Linux, so there is no processor "
                  "to compare with\n");
#endif
    return failed != 0;
}

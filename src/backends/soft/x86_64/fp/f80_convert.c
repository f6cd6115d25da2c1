/* SPDX-License-Identifier: Apache-2.0 */
/* Loads and stores of the x87: f32, f64, integers, packed decimal. */
#include "backends/soft/x86_64/fp/fp_f80.h"

#define BCD_LIMIT 999999999999999999ull

/* Stores to memory: FTZ is not the x87's. */
static const struct sq_fp_format store32 = {-126, 127, 23, 8, SQ_FPT_STORE};
static const struct sq_fp_format store64 = {
    -1022, 1023, 52, 11, SQ_FPT_STORE,
};

static struct sq_f80 load(uint64_t bits, const struct sq_fp_format *f,
                          struct sq_fp_env *env)
{
    struct sq_fp_parts p = sq_fp_unpack(bits, f);

    env->rounded_up = 0;
    if (p.cls == SQ_FPC_SNAN) {
        sq_fp_raise(env, SQ_FP_IE);
        p = sq_fp_quieted(p);
    }
    sq_fp_raise(env, sq_fp_de(&p));
    return sq_fp_pack80(p);
}

struct sq_f80 sq_f80_from_f32(uint32_t a, struct sq_fp_env *env)
{
    return load(a, &sq_fp_f32, env);
}

struct sq_f80 sq_f80_from_f64(uint64_t a, struct sq_fp_env *env)
{
    return load(a, &sq_fp_f64, env);
}

static struct sq_f80 widen(uint64_t bits, const struct sq_fp_format *f,
                           struct sq_f80 st0, struct sq_fp_env *env)
{
    struct sq_fp_parts p = sq_fp_unpack(bits, f), other = sq_fp_unpack80(st0);

    if (!sq_fp_is_nan(&other) && other.cls != SQ_FPC_UNSUPPORTED)
        sq_fp_raise(env, sq_fp_de(&p));
    return sq_fp_pack80(p);
}

struct sq_f80 sq_f80_operand_f32(uint32_t a, struct sq_f80 st0,
                                 struct sq_fp_env *env)
{
    return widen(a, &sq_fp_f32, st0, env);
}

struct sq_f80 sq_f80_operand_f64(uint64_t a, struct sq_f80 st0,
                                 struct sq_fp_env *env)
{
    return widen(a, &sq_fp_f64, st0, env);
}

static uint64_t store(struct sq_f80 x, const struct sq_fp_format *f,
                      struct sq_fp_env *env)
{
    struct sq_fp_parts a, b;
    struct sq_f80 out;

    if (!sq_fp_begin80(x, x, &a, &b, &out, env))
        a = sq_fp_unpack80(out);
    else if (a.cls == SQ_FPC_FINITE)
        a = sq_fp_round(sq_fp_to_raw(a), f, f->frac_bits + 1u, env);
    return sq_fp_pack(a, f);
}

uint32_t sq_f80_to_f32(struct sq_f80 a, struct sq_fp_env *env)
{
    return (uint32_t)store(a, &store32, env);
}

uint64_t sq_f80_to_f64(struct sq_f80 a, struct sq_fp_env *env)
{
    return store(a, &store64, env);
}

static int64_t to_int(struct sq_f80 x, unsigned bits, bool trunc,
                      struct sq_fp_env *env)
{
    struct sq_fp_parts a = sq_fp_unpack80(x);

    env->rounded_up = 0;
    return sq_fp_to_int(&a, bits, trunc ? SQ_FP_ZERO : env->rounding, env);
}

int16_t sq_f80_to_i16(struct sq_f80 a, bool trunc, struct sq_fp_env *env)
{
    return (int16_t)to_int(a, 16, trunc, env);
}

int32_t sq_f80_to_i32(struct sq_f80 a, bool trunc, struct sq_fp_env *env)
{
    return (int32_t)to_int(a, 32, trunc, env);
}

int64_t sq_f80_to_i64(struct sq_f80 a, bool trunc, struct sq_fp_env *env)
{
    return to_int(a, 64, trunc, env);
}

struct sq_f80 sq_f80_from_i64(int64_t n)
{
    if (n == 0)
        return (struct sq_f80){0};
    return sq_fp_pack80(
        sq_fp_normal(n < 0, 63, n < 0 ? 0 - (uint64_t)n : (uint64_t)n));
}

void sq_f80_to_bcd(struct sq_f80 x, uint8_t bcd[SQ_F80_BCD_LEN],
                   struct sq_fp_env *env)
{
    static const uint8_t indefinite[SQ_F80_BCD_LEN] = {
        [7] = 0xc0,
        [8] = 0xff,
        [9] = 0xff,
    };
    struct sq_fp_parts a = sq_fp_unpack80(x);
    bool inexact = false, up = false, huge = false;
    uint64_t n = 0;
    int i;

    env->rounded_up = 0;
    if (a.cls == SQ_FPC_FINITE)
        n = sq_fp_integer(&a, env->rounding, &inexact, &up, &huge);
    if (a.cls > SQ_FPC_FINITE || huge || n > BCD_LIMIT) {
        sq_fp_raise(env, SQ_FP_IE);
        memcpy(bcd, indefinite, SQ_F80_BCD_LEN);
        return;
    }
    if (inexact)
        sq_fp_raise(env, SQ_FP_PE);
    env->rounded_up = up;
    for (i = 0; i < SQ_F80_BCD_LEN - 1; i++) {
        bcd[i] = (uint8_t)(n % 10 | n / 10 % 10 << 4);
        n /= 100;
    }
    bcd[SQ_F80_BCD_LEN - 1] = (uint8_t)(a.sign << 7);
}

struct sq_f80 sq_f80_from_bcd(const uint8_t bcd[SQ_F80_BCD_LEN])
{
    struct sq_f80 out;
    uint64_t n = 0;
    int i;

    /* Digits above 9 are undefined: they count as what they are. */
    for (i = SQ_F80_BCD_LEN - 2; i >= 0; i--)
        n = n * 100 + (bcd[i] >> 4) * 10u + (bcd[i] & 15u);
    out = sq_f80_from_i64((int64_t)n);
    out.se |= (uint16_t)((bcd[SQ_F80_BCD_LEN - 1] & 0x80) << 8);
    return out;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions between integers, floats and doubles. As in sse_fp.c, the host
 * converts where neither the value nor MXCSR can come out differently. */
#include "backends/soft/x86_64/sse.h"

#define OUT_OF_LINE static __attribute__((noinline))

static inline double f64_host(uint64_t v)
{
    double x;

    memcpy(&x, &v, sizeof(x));
    return x;
}

static inline uint64_t f64_bits(double x)
{
    uint64_t v;

    memcpy(&v, &x, sizeof(v));
    return v;
}

static inline float f32_host(uint32_t v)
{
    float x;

    memcpy(&x, &v, sizeof(x));
    return x;
}

static inline uint32_t f32_bits(float x)
{
    uint32_t v;

    memcpy(&v, &x, sizeof(v));
    return v;
}

/* name_slow(): in software, as MXCSR says and with its flags. */
#define SLOW(name, to, from, convert)                                      \
    OUT_OF_LINE to name##_slow(struct sq_x86_cpu *c,                       \
                               const struct sq_x86_insn *i, from v)        \
    {                                                                      \
        struct sq_fp_env env = sq_sse_env(c);                              \
        to r = convert(v, &env);                                           \
                                                                           \
        sq_sse_finish(c, i, &env);                                         \
        return r;                                                          \
    }

/* --- from integers --------------------------------------------------- */

SLOW(i64_to_sd, uint64_t, int64_t, sq_f64_from_i64)
SLOW(i64_to_ss, uint32_t, int64_t, sq_f32_from_i64)

/* Integers of up to 53 and 24 bits are exact. */
static inline uint64_t i64_to_sd(struct sq_x86_cpu *c,
                                 const struct sq_x86_insn *i, int64_t v)
{
    uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    if (magnitude >> 53 && !sq_sse_fast(c))
        return i64_to_sd_slow(c, i, v);
    return f64_bits((double)v);
}

static inline uint32_t i64_to_ss(struct sq_x86_cpu *c,
                                 const struct sq_x86_insn *i, int64_t v)
{
    uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    if (magnitude >> 24 && !sq_sse_fast(c))
        return i64_to_ss_slow(c, i, v);
    return f32_bits((float)v);
}

#define FROM_INT(name, fn, field)                                          \
    OP(name##_r32)                                                         \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        c->ymm[i->reg].field[0] = fn(c, i, (int32_t)RD(32, i->rm));        \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_r64)                                                         \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        c->ymm[i->reg].field[0] = fn(c, i, (int64_t)RD(64, i->rm));        \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m32)                                                         \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        c->ymm[i->reg].field[0] =                                          \
            fn(c, i, (int32_t)sq_sse_load32(c, i));                        \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m64)                                                         \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        c->ymm[i->reg].field[0] =                                          \
            fn(c, i, (int64_t)sq_sse_load64(c, i));                        \
        NEXT;                                                              \
    }                                                                      \
    FAMY(name, name##_r32, name##_r64, name##_m32, name##_m64)
FROM_INT(cvtsi2ss, i64_to_ss, d)
FROM_INT(cvtsi2sd, i64_to_sd, q)

/* The low n lanes of v; the rest of the result is zero. */
static inline sq_vec i32_to_ps(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, sq_vec v,
                               unsigned n)
{
    struct sq_fp_env env = sq_sse_env(c);
    union sq_lanes x = sq_lanes(v), r = {{0}};

    if (sq_sse_fast(c)) {
        for (unsigned k = 0; k < n; k++)
            r.d[k] = f32_bits((float)x.sd[k]);
        return r.v;
    }
    for (unsigned k = 0; k < n; k++)
        r.d[k] = sq_f32_from_i32(x.sd[k], &env);
    sq_sse_finish(c, i, &env);
    return r.v;
}

static inline sq_vec i32_to_pd(sq_vec v)
{
    union sq_lanes x = sq_lanes(v);

    return (sq_vec){f64_bits(x.sd[0]), f64_bits(x.sd[1])};
}

SSE_OP(cvtdq2ps, i32_to_ps(c, i, b, 4))

/* Sources of which the low 64 bits are read. */
#define HALF_SOURCE(name, expr)                                            \
    OP(name##_r)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        {                                                                  \
            sq_vec b = sq_xmm_get(c, i->rm);                               \
                                                                           \
            sq_xmm_put(c, i->reg, expr);                                   \
        }                                                                  \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        {                                                                  \
            sq_vec b = {sq_sse_load64(c, i), 0};                           \
                                                                           \
            sq_xmm_put(c, i->reg, expr);                                   \
        }                                                                  \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name, name##_r, name##_m)
HALF_SOURCE(cvtdq2pd, i32_to_pd(b))

/* --- to integers ----------------------------------------------------- */

/* x to an integer by the host: below `limit` in magnitude, exactly or with a
 * known PE. `normal` says that x is no denormal. */
static inline bool to_int_try(const struct sq_x86_cpu *c, double x,
                              bool normal, bool trunc, double limit,
                              int64_t *r)
{
    const double whole = 0x1.8p52; /* a sum with it has no fraction bits */

    if (!(x < limit && x > -limit))
        return false;
    *r = (int64_t)x;
    if ((double)*r == x)
        return true;
    if (!sq_sse_fast(c) || !normal)
        return false;
    if (!trunc)
        *r = (int64_t)(x + whole - whole);
    return true;
}

#define LIMIT_32 2147483647.0
#define LIMIT_64 0x1p51

#define TO_INT(fmt, n, host)                                               \
    OUT_OF_LINE int32_t f##n##_to_i32_slow(struct sq_x86_cpu *c,           \
                                           const struct sq_x86_insn *i,    \
                                           U(n) v, bool trunc)             \
    {                                                                      \
        struct sq_fp_env env = sq_sse_env(c);                              \
        int32_t r = sq_f##n##_to_i32(v, trunc, &env);                      \
                                                                           \
        sq_sse_finish(c, i, &env);                                         \
        return r;                                                          \
    }                                                                      \
    OUT_OF_LINE int64_t f##n##_to_i64_slow(struct sq_x86_cpu *c,           \
                                           const struct sq_x86_insn *i,    \
                                           U(n) v, bool trunc)             \
    {                                                                      \
        struct sq_fp_env env = sq_sse_env(c);                              \
        int64_t r = sq_f##n##_to_i64(v, trunc, &env);                      \
                                                                           \
        sq_sse_finish(c, i, &env);                                         \
        return r;                                                          \
    }                                                                      \
    static inline uint32_t fmt##_to_i32(struct sq_x86_cpu *c,              \
                                        const struct sq_x86_insn *i,       \
                                        U(n) v, bool trunc)                \
    {                                                                      \
        int64_t r;                                                         \
                                                                           \
        if (!to_int_try(c, host(v), sq_f##n##_plain(v), trunc, LIMIT_32,   \
                        &r))                                               \
            r = f##n##_to_i32_slow(c, i, v, trunc);                        \
        return (uint32_t)r;                                                \
    }                                                                      \
    static inline uint64_t fmt##_to_i64(struct sq_x86_cpu *c,              \
                                        const struct sq_x86_insn *i,       \
                                        U(n) v, bool trunc)                \
    {                                                                      \
        int64_t r;                                                         \
                                                                           \
        if (!to_int_try(c, host(v), sq_f##n##_plain(v), trunc, LIMIT_64,   \
                        &r))                                               \
            r = f##n##_to_i64_slow(c, i, v, trunc);                        \
        return (uint64_t)r;                                                \
    }
TO_INT(ss, 32, f32_host)
TO_INT(sd, 64, f64_host)

#define TO_GENERAL(name, fmt, n, field, trunc)                             \
    OP(name##_r32)                                                         \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        WR(32, i->reg, fmt##_to_i32(c, i, c->ymm[i->rm].field[0], trunc)); \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_r64)                                                         \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        WR(64, i->reg, fmt##_to_i64(c, i, c->ymm[i->rm].field[0], trunc)); \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m32)                                                         \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        WR(32, i->reg, fmt##_to_i32(c, i, sq_sse_load##n(c, i), trunc));   \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m64)                                                         \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        WR(64, i->reg, fmt##_to_i64(c, i, sq_sse_load##n(c, i), trunc));   \
        NEXT;                                                              \
    }                                                                      \
    FAMY(name, name##_r32, name##_r64, name##_m32, name##_m64)
TO_GENERAL(cvtss2si, ss, 32, d, false)
TO_GENERAL(cvttss2si, ss, 32, d, true)
TO_GENERAL(cvtsd2si, sd, 64, q, false)
TO_GENERAL(cvttsd2si, sd, 64, q, true)

/* The low n lanes of v; the rest of the result is zero. */
static inline sq_vec ps_to_i32(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, sq_vec v,
                               unsigned n, bool trunc)
{
    struct sq_fp_env env = sq_sse_env(c);
    union sq_lanes x = sq_lanes(v), r = {{0}};
    bool ok = true;

    for (unsigned k = 0; k < n; k++) {
        int64_t w = 0;

        ok = ok && to_int_try(c, f32_host(x.d[k]), sq_f32_plain(x.d[k]),
                              trunc, LIMIT_32, &w);
        r.d[k] = (uint32_t)w;
    }
    if (ok)
        return r.v;
    for (unsigned k = 0; k < n; k++)
        r.sd[k] = sq_f32_to_i32(x.d[k], trunc, &env);
    sq_sse_finish(c, i, &env);
    return r.v;
}

static inline sq_vec pd_to_i32(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, sq_vec v,
                               bool trunc)
{
    struct sq_fp_env env = sq_sse_env(c);
    union sq_lanes x = sq_lanes(v), r = {{0}};
    bool ok = true;

    for (unsigned k = 0; k < 2; k++) {
        int64_t w = 0;

        ok = ok && to_int_try(c, f64_host(x.q[k]), sq_f64_plain(x.q[k]),
                              trunc, LIMIT_32, &w);
        r.d[k] = (uint32_t)w;
    }
    if (ok)
        return r.v;
    for (unsigned k = 0; k < 2; k++)
        r.sd[k] = sq_f64_to_i32(x.q[k], trunc, &env);
    sq_sse_finish(c, i, &env);
    return r.v;
}

SSE_OP(cvtps2dq, ps_to_i32(c, i, b, 4, false))
SSE_OP(cvttps2dq, ps_to_i32(c, i, b, 4, true))
SSE_OP(cvtpd2dq, pd_to_i32(c, i, b, false))
SSE_OP(cvttpd2dq, pd_to_i32(c, i, b, true))

/* --- between floats and doubles -------------------------------------- */

SLOW(ss_to_sd, uint64_t, uint32_t, sq_f32_to_f64)
SLOW(sd_to_ss, uint32_t, uint64_t, sq_f64_to_f32)

static inline uint64_t ss_to_sd(struct sq_x86_cpu *c,
                                const struct sq_x86_insn *i, uint32_t v)
{
    if (!sq_f32_plain(v))
        return ss_to_sd_slow(c, i, v);
    return f64_bits(f32_host(v));
}

static inline bool sd_to_ss_try(const struct sq_x86_cpu *c, uint64_t v,
                                uint32_t *r)
{
    *r = f32_bits((float)f64_host(v));
    return sq_sse_fast(c) && sq_f64_plain(v) &&
           (sq_f32_settled(*r) || v << 1 == 0);
}

static inline uint32_t sd_to_ss(struct sq_x86_cpu *c,
                                const struct sq_x86_insn *i, uint64_t v)
{
    uint32_t r;

    return sd_to_ss_try(c, v, &r) ? r : sd_to_ss_slow(c, i, v);
}

static inline sq_vec ps_to_pd(struct sq_x86_cpu *c,
                              const struct sq_x86_insn *i, sq_vec v)
{
    struct sq_fp_env env = sq_sse_env(c);
    union sq_lanes x = sq_lanes(v);
    sq_vec r;

    if (sq_f32_plain(x.d[0]) && sq_f32_plain(x.d[1]))
        return (sq_vec){f64_bits(f32_host(x.d[0])),
                        f64_bits(f32_host(x.d[1]))};
    r[0] = sq_f32_to_f64(x.d[0], &env);
    r[1] = sq_f32_to_f64(x.d[1], &env);
    sq_sse_finish(c, i, &env);
    return r;
}

static inline sq_vec pd_to_ps(struct sq_x86_cpu *c,
                              const struct sq_x86_insn *i, sq_vec v)
{
    struct sq_fp_env env = sq_sse_env(c);
    union sq_lanes r = {{0}};

    if (sd_to_ss_try(c, v[0], &r.d[0]) && sd_to_ss_try(c, v[1], &r.d[1]))
        return r.v;
    r.d[0] = sq_f64_to_f32(v[0], &env);
    r.d[1] = sq_f64_to_f32(v[1], &env);
    sq_sse_finish(c, i, &env);
    return r.v;
}

OP(cvtss2sd_r)
{
    sq_sse_check(c, i);
    c->ymm[i->reg].q[0] = ss_to_sd(c, i, c->ymm[i->rm].d[0]);
    NEXT;
}

OP(cvtss2sd_m)
{
    sq_sse_check(c, i);
    c->ymm[i->reg].q[0] = ss_to_sd(c, i, sq_sse_load32(c, i));
    NEXT;
}

OP(cvtsd2ss_r)
{
    sq_sse_check(c, i);
    c->ymm[i->reg].d[0] = sd_to_ss(c, i, c->ymm[i->rm].q[0]);
    NEXT;
}

OP(cvtsd2ss_m)
{
    sq_sse_check(c, i);
    c->ymm[i->reg].d[0] = sd_to_ss(c, i, sq_sse_load64(c, i));
    NEXT;
}

FAM1(cvtss2sd, cvtss2sd_r, cvtss2sd_m)
FAM1(cvtsd2ss, cvtsd2ss_r, cvtsd2ss_m)
HALF_SOURCE(cvtps2pd, ps_to_pd(c, i, b))
SSE_OP(cvtpd2ps, pd_to_ps(c, i, b))

/* --- with MMX registers ---------------------------------------------- */

OP(cvtpi2ps_r)
{
    sq_sse_check(c, i);
    sq_mmx_check(c, i);
    {
        sq_vec v = {sq_mmx_get(c, i->rm), 0};

        c->ymm[i->reg].q[0] = i32_to_ps(c, i, v, 2)[0];
    }
    sq_mmx_enter(c);
    NEXT;
}

OP(cvtpi2ps_m)
{
    sq_sse_check(c, i);
    sq_mmx_check(c, i);
    {
        sq_vec v = {sq_sse_load64(c, i), 0};

        c->ymm[i->reg].q[0] = i32_to_ps(c, i, v, 2)[0];
    }
    sq_mmx_enter(c);
    NEXT;
}

OP(cvtpi2pd_r)
{
    sq_sse_check(c, i);
    sq_mmx_check(c, i);
    sq_mmx_enter(c);
    sq_xmm_put(c, i->reg, i32_to_pd((sq_vec){sq_mmx_get(c, i->rm), 0}));
    NEXT;
}

/* Without an MMX register this one leaves the x87 alone. */
OP(cvtpi2pd_m)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->reg, i32_to_pd((sq_vec){sq_sse_load64(c, i), 0}));
    NEXT;
}

FAM1(cvtpi2ps, cvtpi2ps_r, cvtpi2ps_m)
FAM1(cvtpi2pd, cvtpi2pd_r, cvtpi2pd_m)

#define TO_MMX(name, memory, expr)                                         \
    OP(name##_r)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        sq_mmx_check(c, i);                                                \
        {                                                                  \
            sq_vec b = sq_xmm_get(c, i->rm);                               \
                                                                           \
            sq_mmx_put(c, i->reg, (expr)[0]);                              \
        }                                                                  \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        sq_mmx_check(c, i);                                                \
        {                                                                  \
            sq_vec b = memory;                                             \
                                                                           \
            sq_mmx_put(c, i->reg, (expr)[0]);                              \
        }                                                                  \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name, name##_r, name##_m)
#define MEMORY_64 ((sq_vec){sq_sse_load64(c, i), 0})
TO_MMX(cvtps2pi, MEMORY_64, ps_to_i32(c, i, b, 2, false))
TO_MMX(cvttps2pi, MEMORY_64, ps_to_i32(c, i, b, 2, true))
TO_MMX(cvtpd2pi, sq_sse_load(c, i), pd_to_i32(c, i, b, false))
TO_MMX(cvttpd2pi, sq_sse_load(c, i), pd_to_i32(c, i, b, true))

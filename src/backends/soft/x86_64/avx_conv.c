/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions with a VEX prefix, and F16C. */
#include "backends/soft/x86_64/avx_fp.h"

/* --- lane for lane --------------------------------------------------- */

AVX_LANES(vcvtdq2ps, 32, r.d[k] = sq_f32_from_i32((int32_t)b->d[k], &env))
AVX_LANES(vcvtps2dq, 32,
          r.d[k] = (uint32_t)sq_f32_to_i32(b->d[k], false, &env))
AVX_LANES(vcvttps2dq, 32,
          r.d[k] = (uint32_t)sq_f32_to_i32(b->d[k], true, &env))

/* --- wide to narrow: the lower half of the result -------------------- */

#define NARROW(name, stmt)                                                 \
    AVX_LANES_FN(name, stmt)                                               \
    AVX_FULL(name, name##_lanes, 2, 4)                                     \
    FAMW(name, name)
NARROW(vcvtpd2ps, r.d[k] = sq_f64_to_f32(b->q[k], &env))
NARROW(vcvtpd2dq, r.d[k] = (uint32_t)sq_f64_to_i32(b->q[k], false, &env))
NARROW(vcvttpd2dq, r.d[k] = (uint32_t)sq_f64_to_i32(b->q[k], true, &env))

/* --- narrow to wide: memory has half as much ------------------------- */

static union sq_ymm half_source(struct sq_x86_cpu *c,
                                const struct sq_x86_insn *i)
{
    return (union sq_ymm){.q = {sq_sse_load64(c, i)}};
}

#define WIDEN(name, stmt, n128, n256)                                      \
    AVX_LANES_FN(name, stmt)                                               \
    WIDEN_FROM(name, r, 128, n128, c->ymm[i->rm])                          \
    WIDEN_FROM(name, m, 128, n128, half_source(c, i))                      \
    WIDEN_FROM(name, r, 256, n256, c->ymm[i->rm])                          \
    WIDEN_FROM(name, m, 256, n256, sq_avx_source_128(c, i))
#define WIDEN_FROM(name, rm, bits, n, source)                              \
    OP(name##_##rm##bits)                                                  \
    {                                                                      \
        union sq_ymm b;                                                    \
                                                                           \
        sq_vex_check(c, i);                                                \
        b = source;                                                        \
        c->ymm[i->reg] = name##_lanes(c, i, &b, &b, n);                    \
        NEXT;                                                              \
    }
WIDEN(vcvtps2pd, r.q[k] = sq_f32_to_f64(b->d[k], &env), 2, 4)
WIDEN(vcvtdq2pd, r.q[k] = sq_f64_from_i32((int32_t)b->d[k], &env), 2, 4)
WIDEN(vcvtph2ps, r.d[k] = sq_f16_to_f32(b->w[k], &env), 4, 8)
FAMW(vcvtps2pd, vcvtps2pd)
FAMW(vcvtdq2pd, vcvtdq2pd)
FAMW0(vcvtph2ps, vcvtph2ps)

/* VCVTPS2PH goes the other way: from reg to r/m. Memory is written before
 * MXCSR changes, so that a page fault leaves it alone. */
AVX_LANES_FN(to_halves,
             r.w[k] = sq_f32_to_f16(b->d[k], (uint8_t)i->imm, &env))

#define TO_HALVES(bits, n)                                                 \
    OP(vcvtps2ph_r##bits)                                                  \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        c->ymm[i->rm] = to_halves_lanes(c, i, NULL, &c->ymm[i->reg], n);   \
        NEXT;                                                              \
    }                                                                      \
    OP(vcvtps2ph_m##bits)                                                  \
    {                                                                      \
        union sq_ymm r;                                                    \
        uint64_t gva;                                                      \
                                                                           \
        sq_vex_check(c, i);                                                \
        gva = sq_ea(c, i, 2 * n, ACCESS_W);                                \
        sq_x86_probe_write(c, i, gva, 2 * n);                              \
        r = to_halves_lanes(c, i, NULL, &c->ymm[i->reg], n);               \
        sq_x86_put_area(c, i, gva, &r, 2 * n);                             \
        NEXT;                                                              \
    }
TO_HALVES(128, 4)
TO_HALVES(256, 8)
FAMW0(vcvtps2ph, vcvtps2ph)

/* --- scalars --------------------------------------------------------- */

AVX_SCALAR_FROM(vcvtss2sd, r, 32, q, sq_f32_to_f64(b, &env),
                c->ymm[i->rm].d[0])
AVX_SCALAR_FROM(vcvtss2sd, m, 32, q, sq_f32_to_f64(b, &env),
                sq_sse_load32(c, i))
AVX_SCALAR_FROM(vcvtsd2ss, r, 64, d, sq_f64_to_f32(b, &env),
                c->ymm[i->rm].q[0])
AVX_SCALAR_FROM(vcvtsd2ss, m, 64, d, sq_f64_to_f32(b, &env),
                sq_sse_load64(c, i))
FAM1(vcvtss2sd, vcvtss2sd_r, vcvtss2sd_m)
FAM1(vcvtsd2ss, vcvtsd2ss_r, vcvtsd2ss_m)

/* VEX.W is the size of the integer; VEX.L does not count. */
#define FAM_SCALAR_W(name, r32, r64, m32, m64)                             \
    const struct sq_x86_family sq_f_##name = {                             \
        {{r32, r64, r32, r64}, {m32, m64, m32, m64}}};

#define FROM_GENERAL(name, field, fmt)                                     \
    AVX_SCALAR_FROM(name, r32, 32, field,                                  \
                    sq_##fmt##_from_i32((int32_t)b, &env), RD(32, i->rm))  \
    AVX_SCALAR_FROM(name, r64, 64, field,                                  \
                    sq_##fmt##_from_i64((int64_t)b, &env), RD(64, i->rm))  \
    AVX_SCALAR_FROM(name, m32, 32, field,                                  \
                    sq_##fmt##_from_i32((int32_t)b, &env),                 \
                    sq_sse_load32(c, i))                                   \
    AVX_SCALAR_FROM(name, m64, 64, field,                                  \
                    sq_##fmt##_from_i64((int64_t)b, &env),                 \
                    sq_sse_load64(c, i))                                   \
    FAM_SCALAR_W(name, name##_r32, name##_r64, name##_m32, name##_m64)
FROM_GENERAL(vcvtsi2ss, d, f32)
FROM_GENERAL(vcvtsi2sd, q, f64)

#define TO_GENERAL(name, n, field, trunc)                                  \
    TO_GENERAL_SIZE(name, n, field, trunc, 32)                             \
    TO_GENERAL_SIZE(name, n, field, trunc, 64)                             \
    FAM_SCALAR_W(name, name##_r32, name##_r64, name##_m32, name##_m64)
#define TO_GENERAL_SIZE(name, n, field, trunc, size)                       \
    TO_GENERAL_FROM(name, r, n, trunc, size, c->ymm[i->rm].field[0])       \
    TO_GENERAL_FROM(name, m, n, trunc, size, sq_sse_load##n(c, i))
#define TO_GENERAL_FROM(name, rm, n, trunc, size, source)                  \
    OP(name##_##rm##size)                                                  \
    {                                                                      \
        struct sq_fp_env env;                                              \
        U(size) v;                                                         \
        U(n) b;                                                            \
                                                                           \
        sq_vex_check(c, i);                                                \
        b = source;                                                        \
        env = sq_sse_env(c);                                               \
        v = (U(size))sq_f##n##_to_i##size(b, trunc, &env);                 \
        sq_sse_finish(c, i, &env);                                         \
        WR(size, i->reg, v);                                               \
        NEXT;                                                              \
    }
TO_GENERAL(vcvtss2si, 32, d, false)
TO_GENERAL(vcvttss2si, 32, d, true)
TO_GENERAL(vcvtsd2si, 64, q, false)
TO_GENERAL(vcvttsd2si, 64, q, true)

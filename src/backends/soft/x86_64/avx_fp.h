/* SPDX-License-Identifier: Apache-2.0 */
/* How floating-point instructions with a VEX prefix are put together. */
#ifndef SQ_SOFT_X86_AVX_FP_H
#define SQ_SOFT_X86_AVX_FP_H

#include "backends/soft/x86_64/sse.h"

/* Memory operands as a register. */
static inline union sq_ymm sq_avx_source_128(struct sq_x86_cpu *c,
                                             const struct sq_x86_insn *i)
{
    sq_vec v = sq_sse_load_any(c, i);
    union sq_ymm r = {{0}};

    memcpy(&r, &v, sizeof(v));
    return r;
}

static inline union sq_ymm sq_avx_source_256(struct sq_x86_cpu *c,
                                             const struct sq_x86_insn *i)
{
    sq_vec v[2];
    union sq_ymm r;

    sq_avx_load(c, i, v);
    memcpy(&r, v, sizeof(r));
    return r;
}

/* reg = fn(c, i, a, b, n): a is vvvv's register, b the source, n the number
 * of lanes; what fn leaves zero is cleared. */
#define AVX_SOURCES(name, fn, bits, n)                                     \
    OP(name##_r##bits)                                                     \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        c->ymm[i->reg] = fn(c, i, &c->ymm[i->imm2], &c->ymm[i->rm], n);    \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m##bits)                                                     \
    {                                                                      \
        union sq_ymm b;                                                    \
                                                                           \
        sq_vex_check(c, i);                                                \
        b = sq_avx_source_##bits(c, i);                                    \
        c->ymm[i->reg] = fn(c, i, &c->ymm[i->imm2], &b, n);                \
        NEXT;                                                              \
    }
#define AVX_SOURCES_128(name, fn, n) AVX_SOURCES(name, fn, 128, n)
#define AVX_FULL(name, fn, n128, n256)                                     \
    AVX_SOURCES(name, fn, 128, n128)                                       \
    AVX_SOURCES(name, fn, 256, n256)

/* A packed instruction, whatever VEX.W: `stmt` sets lane k of r from a and b
 * under env. */
#define AVX_LANES_FN(name, stmt)                                           \
    static union sq_ymm name##_lanes(                                      \
        struct sq_x86_cpu *c, const struct sq_x86_insn *i,                 \
        const union sq_ymm *a, const union sq_ymm *b, unsigned n)          \
    {                                                                      \
        struct sq_fp_env env = sq_sse_env(c);                              \
        union sq_ymm r = {{0}};                                            \
                                                                           \
        (void)a;                                                           \
        for (unsigned k = 0; k < n; k++)                                   \
            stmt;                                                          \
        sq_sse_finish(c, i, &env);                                         \
        return r;                                                          \
    }
#define AVX_LANES(name, width, stmt)                                       \
    AVX_LANES_FN(name, stmt)                                               \
    AVX_FULL(name, name##_lanes, 128 / (width), 256 / (width))             \
    FAMW(name, name)
#define AVX_BINARY(field, fn) r.field[k] = fn(a->field[k], b->field[k], &env)

/* A scalar instruction, whatever VEX.W and VEX.L: `expr` from a and b; the
 * rest of 128 bits is a's. */
#define AVX_SCALAR_FROM(name, rm, n, field, expr, source)                  \
    OP(name##_##rm)                                                        \
    {                                                                      \
        const union sq_ymm *a = &c->ymm[i->imm2];                          \
        struct sq_fp_env env;                                              \
        union sq_lanes r;                                                  \
        U(n) b;                                                            \
                                                                           \
        sq_vex_check(c, i);                                                \
        b = source;                                                        \
        env = sq_sse_env(c);                                               \
        r = sq_lanes(sq_xmm_get(c, i->imm2));                              \
        (void)a;                                                           \
        r.field[0] = expr;                                                 \
        sq_sse_finish(c, i, &env);                                         \
        sq_vex_put(c, i->reg, r.v);                                        \
        NEXT;                                                              \
    }
#define AVX_SCALAR(name, n, field, expr)                                   \
    AVX_SCALAR_FROM(name, r, n, field, expr, c->ymm[i->rm].field[0])       \
    AVX_SCALAR_FROM(name, m, n, field, expr, sq_sse_load##n(c, i))         \
    FAM1(name, name##_r, name##_m)

#endif

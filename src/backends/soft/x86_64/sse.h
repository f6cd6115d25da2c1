/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of MMX, SSE and AVX instructions share: operands as vectors,
 * the checks that come before each of these instructions, and MXCSR.
 *
 * Order of checks (SDM vol. 3, 6.9 and chapter 14): #UD for CR0.EM or an
 * absent CR4.OSFXSR, #NM for CR0.TS, #MF for a pending x87 exception (MMX
 * only), the memory operand, the SIMD floating-point exception. Registers
 * change after all of them.
 */
#ifndef SQ_SOFT_X86_SSE_H
#define SQ_SOFT_X86_SSE_H

#include "backends/soft/x86_64/fp/softfloat.h"
#include "backends/soft/x86_64/ops.h"
#include "backends/soft/x86_64/x87.h"

/* --- vectors --------------------------------------------------------- */

#define SQ_VECTOR(type) __attribute__((vector_size(16))) type

/* An operand, and the lane types that it is cast to. MMX operands are the
 * low half of one. */
typedef SQ_VECTOR(uint64_t) sq_vec;
typedef SQ_VECTOR(uint8_t) sq_v16u8;
typedef SQ_VECTOR(int8_t) sq_v16s8;
typedef SQ_VECTOR(uint16_t) sq_v8u16;
typedef SQ_VECTOR(int16_t) sq_v8s16;
typedef SQ_VECTOR(uint32_t) sq_v4u32;
typedef SQ_VECTOR(int32_t) sq_v4s32;
typedef SQ_VECTOR(int64_t) sq_v2s64;
typedef SQ_VECTOR(float) sq_v4f32;
typedef SQ_VECTOR(double) sq_v2f64;

/* The same by lanes. */
union sq_lanes {
    sq_vec v;
    uint8_t b[16];
    int8_t sb[16];
    uint16_t w[8];
    int16_t sw[8];
    uint32_t d[4];
    int32_t sd[4];
    uint64_t q[2];
    int64_t sq[2];
};

static inline union sq_lanes sq_lanes(sq_vec v)
{
    return (union sq_lanes){.v = v};
}

static inline sq_vec sq_xmm_get(const struct sq_x86_cpu *c, unsigned n)
{
    sq_vec v;

    memcpy(&v, &c->ymm[n], sizeof(v));
    return v;
}

static inline void sq_xmm_put(struct sq_x86_cpu *c, unsigned n, sq_vec v)
{
    memcpy(&c->ymm[n], &v, sizeof(v));
}

/* Halves of a YMM register: h is 0 or 1. */
static inline sq_vec sq_ymm_get(const struct sq_x86_cpu *c, unsigned n,
                                unsigned h)
{
    sq_vec v;

    memcpy(&v, c->ymm[n].b + 16 * h, sizeof(v));
    return v;
}

static inline void sq_ymm_put(struct sq_x86_cpu *c, unsigned n, sq_vec low,
                              sq_vec high)
{
    memcpy(c->ymm[n].b, &low, sizeof(low));
    memcpy(c->ymm[n].b + 16, &high, sizeof(high));
}

/* Results of 128 bits and less: with a VEX prefix they clear the rest. */
static inline void sq_vex_put(struct sq_x86_cpu *c, unsigned n, sq_vec v)
{
    sq_ymm_put(c, n, v, (sq_vec){0, 0});
}

/* --- memory operands ------------------------------------------------- */

/* 16 bytes at any address. */
static inline sq_vec sq_sse_load_any(struct sq_x86_cpu *c,
                                     const struct sq_x86_insn *i)
{
    uint64_t gva = sq_ea(c, i, 16, ACCESS_R);
    sq_vec v;

    sq_ld_bytes(c, i, gva, &v, 16);
    return v;
}

/* 16 aligned bytes, as most legacy SSE instructions want it. */
static inline sq_vec sq_sse_load(struct sq_x86_cpu *c,
                                 const struct sq_x86_insn *i)
{
    uint64_t gva = sq_ea(c, i, 16, ACCESS_R);
    sq_vec v;

    if (SQ_UNLIKELY(gva & 15))
        sq_x86_gp(c, i, 0);
    sq_ld_bytes(c, i, gva, &v, 16);
    return v;
}

/* 32 bytes at any address. Both halves are known to be there before either
 * is read from a device. */
static inline void sq_avx_load(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, sq_vec v[2])
{
    uint64_t gva = sq_ea(c, i, 32, ACCESS_R);
    const void *p = sq_mem_ptr(c, i, gva, 32, false);

    if (SQ_LIKELY(p != NULL)) {
        memcpy(v, p, 32);
        atomic_thread_fence(memory_order_acquire);
        return;
    }
    sq_ld_bytes(c, i, gva, &v[0], 16);
    sq_ld_bytes(c, i, gva + 16, &v[1], 16);
}

#define SQ_SSE_LOAD(n)                                                     \
    static inline uint##n##_t sq_sse_load##n(struct sq_x86_cpu *c,         \
                                             const struct sq_x86_insn *i)  \
    {                                                                      \
        return sq_ld##n##v(c, i, sq_ea(c, i, n / 8, ACCESS_R));            \
    }                                                                      \
    static inline void sq_sse_store##n(struct sq_x86_cpu *c,               \
                                       const struct sq_x86_insn *i,        \
                                       uint##n##_t v)                      \
    {                                                                      \
        sq_st##n##v(c, i, sq_ea(c, i, n / 8, ACCESS_W), v);                \
    }
SQ_SSE_LOAD(8)
SQ_SSE_LOAD(16)
SQ_SSE_LOAD(32)
SQ_SSE_LOAD(64)
#undef SQ_SSE_LOAD

/* MASKMOVDQU and MASKMOVQ: to DS:rDI the bytes of v whose mask byte has bit
 * 7. Bytes left out cannot fault. (sse_move.c) */
void sq_sse_store_masked(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         const uint8_t *v, const uint8_t *mask,
                         unsigned len);

/* --- SSE state ------------------------------------------------------- */

/* Raises what keeps SSE from being used. (sse_move.c) */
_Noreturn void sq_sse_refuse(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i);

static inline void sq_sse_check(struct sq_x86_cpu *c,
                                const struct sq_x86_insn *i)
{
    if (SQ_UNLIKELY((c->cr0 & (CR0_EM | CR0_TS)) |
                    (~c->cr4 & CR4_OSFXSR)))
        sq_sse_refuse(c, i);
}

/* The same for VEX-encoded vector instructions (SDM vol. 2, 2.4). */
_Noreturn void sq_vex_refuse(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i);

static inline void sq_vex_check(struct sq_x86_cpu *c,
                                const struct sq_x86_insn *i)
{
    uint64_t lacks = (~c->cr4 & CR4_OSXSAVE) |
                     (~c->xcr0 & (XSTATE_SSE | XSTATE_AVX));

    if (SQ_UNLIKELY(lacks | ((c->cr0 & (CR0_PE | CR0_TS)) ^ CR0_PE) |
                    (c->rflags & FL_VM)))
        sq_vex_refuse(c, i);
}

/* MXCSR (SDM vol. 1, 10.2.3). */
enum {
    MXCSR_DAZ = 0x40, MXCSR_FTZ = 0x8000, MXCSR_PE = 0x20,
    MXCSR_PM = 0x1000, MXCSR_RC = 0x6000, MXCSR_VALID = 0xffff,
};

/* Whether an inexact result to nearest leaves MXCSR as it is, which makes
 * the host's own arithmetic usable; see softfloat.h, "fast paths". */
static inline bool sq_sse_fast(const struct sq_x86_cpu *c)
{
    return (c->mxcsr & (MXCSR_RC | MXCSR_PM | MXCSR_PE)) ==
           (MXCSR_PM | MXCSR_PE);
}

static inline struct sq_fp_env sq_sse_env(const struct sq_x86_cpu *c)
{
    return (struct sq_fp_env){
        .rounding = (uint8_t)(c->mxcsr >> 13 & 3),
        .daz = c->mxcsr & MXCSR_DAZ,
        .ftz = c->mxcsr & MXCSR_FTZ,
        /* Known and masked: lets the _fast operations be fast. */
        .flags = sq_sse_fast(c) ? SQ_FP_PE : 0,
        .masks = (uint8_t)(c->mxcsr >> 7 & SQ_FP_ALL),
    };
}

/* After an instruction's arithmetic with a fresh environment: the flags go
 * to MXCSR and unmasked ones raise. (sse_fp.c) */
void sq_sse_finish(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                   const struct sq_fp_env *env);

/* One lane of RCPPS and RSQRTPS. (sse_fp.c) */
uint32_t sq_sse_reciprocal(uint32_t a);
uint32_t sq_sse_reciprocal_root(uint32_t a);

/* --- MMX state ------------------------------------------------------- */

/* Raises what keeps MMX from being used. (mmx.c) */
_Noreturn void sq_mmx_refuse(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i);

static inline void sq_mmx_check(struct sq_x86_cpu *c,
                                const struct sq_x86_insn *i)
{
    if (SQ_UNLIKELY((c->cr0 & (CR0_EM | CR0_TS)) |
                    (c->x87.fsw & FSW_ES)))
        sq_mmx_refuse(c, i);
}

/* What every MMX instruction but EMMS does to the x87 (SDM vol. 3, 13.2). */
static inline void sq_mmx_enter(struct sq_x86_cpu *c)
{
    c->x87.top = 0;
    c->x87.empty = 0;
}

/* REX does not extend MMX register numbers. */
static inline uint64_t sq_mmx_get(const struct sq_x86_cpu *c, unsigned n)
{
    return c->x87.st[n & 7].sig;
}

static inline void sq_mmx_put(struct sq_x86_cpu *c, unsigned n, uint64_t v)
{
    sq_mmx_enter(c);
    c->x87.st[n & 7].sig = v;
    c->x87.st[n & 7].se = 0xffff;
}

/* --- families -------------------------------------------------------- */

/* xmm = expr(a, b): a is the destination's old value, b the source. */
#define SSE_OP(name, expr)                                                 \
    OP(name##_r)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        {                                                                  \
            sq_vec a = sq_xmm_get(c, i->reg), b = sq_xmm_get(c, i->rm);    \
                                                                           \
            (void)a;                                                       \
            sq_xmm_put(c, i->reg, expr);                                   \
        }                                                                  \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        {                                                                  \
            sq_vec b = sq_sse_load(c, i), a = sq_xmm_get(c, i->reg);       \
                                                                           \
            (void)a;                                                       \
            sq_xmm_put(c, i->reg, expr);                                   \
        }                                                                  \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name, name##_r, name##_m)

/* Vector families with a VEX prefix, from functions that end in r128, m128,
 * r256 and m256: any VEX.W; L0 only; L1 only. */
#define FAMW(name, f)                                                      \
    const struct sq_x86_family sq_f_##name = {                             \
        {{f##_r128, f##_r128, f##_r256, f##_r256},                         \
         {f##_m128, f##_m128, f##_m256, f##_m256}}};
#define FAMW128(name, reg, mem)                                            \
    const struct sq_x86_family sq_f_##name = {                             \
        {{reg, reg, NULL, NULL}, {mem, mem, NULL, NULL}}};
#define FAMW256(name, reg, mem)                                            \
    const struct sq_x86_family sq_f_##name = {                             \
        {{NULL, NULL, reg, reg}, {NULL, NULL, mem, mem}}};

/* The same for instructions to which VEX.W must be 0. */
#define FAMW0(name, f)                                                     \
    const struct sq_x86_family sq_f_##name = {                             \
        {{f##_r128, NULL, f##_r256, NULL},                                 \
         {f##_m128, NULL, f##_m256, NULL}}};
#define FAMW0_256(name, reg, mem)                                          \
    const struct sq_x86_family sq_f_##name = {                             \
        {{NULL, NULL, reg, NULL}, {NULL, NULL, mem, NULL}}};

/* <name> as SSE_OP, v<name> the same with a VEX prefix: the destination is
 * a register of its own, a is vvvv's, and 256 bits are two halves for which
 * `imm` is the immediate, and then the immediate >> step. The expression may
 * not look at what it sets. */
#define AVX_OP(name, step, expr)                                           \
    VEX_HALF(name, expr)                                                   \
    SSE_OP(name, name##_half(c, i, a, b, (unsigned)i->imm))                \
    VEX_128(name)                                                          \
    OP(v##name##_r256)                                                     \
    {                                                                      \
        unsigned imm = (unsigned)i->imm;                                   \
        sq_vec low, high;                                                  \
                                                                           \
        sq_vex_check(c, i);                                                \
        low = name##_half(c, i, sq_ymm_get(c, i->imm2, 0),                 \
                          sq_ymm_get(c, i->rm, 0), imm);                   \
        high = name##_half(c, i, sq_ymm_get(c, i->imm2, 1),                \
                           sq_ymm_get(c, i->rm, 1), imm >> (step));        \
        sq_ymm_put(c, i->reg, low, high);                                  \
        NEXT;                                                              \
    }                                                                      \
    OP(v##name##_m256)                                                     \
    {                                                                      \
        unsigned imm = (unsigned)i->imm;                                   \
        sq_vec b[2], low, high;                                            \
                                                                           \
        sq_vex_check(c, i);                                                \
        sq_avx_load(c, i, b);                                              \
        low = name##_half(c, i, sq_ymm_get(c, i->imm2, 0), b[0], imm);     \
        high = name##_half(c, i, sq_ymm_get(c, i->imm2, 1), b[1],          \
                           imm >> (step));                                 \
        sq_ymm_put(c, i->reg, low, high);                                  \
        NEXT;                                                              \
    }                                                                      \
    FAMW(v##name, v##name)

/* The same without a 256-bit form. */
#define AVX_OP128(name, expr)                                              \
    VEX_HALF(name, expr)                                                   \
    SSE_OP(name, name##_half(c, i, a, b, (unsigned)i->imm))                \
    VEX_128(name)                                                          \
    FAMW128(v##name, v##name##_r128, v##name##_m128)

#define VEX_HALF(name, expr)                                               \
    static inline sq_vec name##_half(struct sq_x86_cpu *c,                 \
                                     const struct sq_x86_insn *i,          \
                                     sq_vec a, sq_vec b, unsigned imm)     \
    {                                                                      \
        (void)c, (void)i, (void)a, (void)imm;                              \
        return (expr);                                                     \
    }
#define VEX_128(name)                                                      \
    OP(v##name##_r128)                                                     \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_vex_put(c, i->reg,                                              \
                   name##_half(c, i, sq_xmm_get(c, i->imm2),               \
                               sq_xmm_get(c, i->rm), (unsigned)i->imm));   \
        NEXT;                                                              \
    }                                                                      \
    OP(v##name##_m128)                                                     \
    {                                                                      \
        sq_vec b;                                                          \
                                                                           \
        sq_vex_check(c, i);                                                \
        b = sq_sse_load_any(c, i);                                         \
        sq_vex_put(c, i->reg,                                              \
                   name##_half(c, i, sq_xmm_get(c, i->imm2), b,            \
                               (unsigned)i->imm));                         \
        NEXT;                                                              \
    }

/* Functions for 32- and 64-bit operand size only. */
#define FAMY(name, r32, r64, m32, m64)                                     \
    const struct sq_x86_family sq_f_##name = {                             \
        {{NULL, NULL, r32, r64}, {NULL, NULL, m32, m64}}};

#endif

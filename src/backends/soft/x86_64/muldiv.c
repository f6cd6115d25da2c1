/* SPDX-License-Identifier: Apache-2.0 */
/* Multiplication, division and the decimal adjustments. */
#include "backends/soft/x86_64/ops.h"

typedef unsigned __int128 u128;
typedef __int128 s128;

/* CF = OF = "the upper half matters". The other flags are undefined; SF, ZF
 * and PF follow the low half here. */
#define MUL_FLAGS(n, lo, over)                                             \
    do {                                                                   \
        bool over_ = (over);                                               \
                                                                           \
        SQ_RESULT(c, n, lo);                                               \
        sq_set_cf_of(c, over_, over_);                                     \
    } while (0)

/* rDX:rAX, or AX for bytes. */
static void mul8(struct sq_x86_cpu *c, uint8_t b)
{
    uint16_t r = (uint16_t)(RD(8, 0) * b);

    WR(16, 0, r);
    MUL_FLAGS(8, (uint8_t)r, r >> 8);
}
static void imul8(struct sq_x86_cpu *c, uint8_t b)
{
    int16_t r = (int16_t)((int8_t)RD(8, 0) * (int8_t)b);

    WR(16, 0, r);
    MUL_FLAGS(8, (uint8_t)r, r != (int8_t)r);
}

#define MUL(n, wide, swide)                                                \
    static void mul##n(struct sq_x86_cpu *c, U(n) b)                       \
    {                                                                      \
        wide r = (wide)RD(n, 0) * b;                                       \
                                                                           \
        WR(n, 0, (U(n))r);                                                 \
        WR(n, GPR_OFF(R_DX), (U(n))(r >> n));                              \
        MUL_FLAGS(n, (U(n))r, r >> n);                                     \
    }                                                                      \
    static void imul##n(struct sq_x86_cpu *c, U(n) b)                      \
    {                                                                      \
        swide r = (swide)(S(n))RD(n, 0) * (S(n))b;                         \
                                                                           \
        WR(n, 0, (U(n))r);                                                 \
        WR(n, GPR_OFF(R_DX), (U(n))(r >> n));                              \
        MUL_FLAGS(n, (U(n))r, r != (S(n))r);                               \
    }                                                                      \
    static U(n) imul2_##n(struct sq_x86_cpu *c, U(n) a, U(n) b)            \
    {                                                                      \
        swide r = (swide)(S(n))a * (S(n))b;                                \
                                                                           \
        MUL_FLAGS(n, (U(n))r, r != (S(n))r);                               \
        return (U(n))r;                                                    \
    }                                                                      \
    OP(imul_GE_r##n)                                                       \
    {                                                                      \
        WR(n, i->reg, imul2_##n(c, RD(n, i->reg), RD(n, i->rm)));          \
        NEXT;                                                              \
    }                                                                      \
    OP(imul_GE_m##n)                                                       \
    {                                                                      \
        U(n) b = LD(n, sq_ea(c, i, n / 8, ACCESS_R));                      \
                                                                           \
        WR(n, i->reg, imul2_##n(c, RD(n, i->reg), b));                     \
        NEXT;                                                              \
    }                                                                      \
    OP(imul_GEI_r##n)                                                      \
    {                                                                      \
        WR(n, i->reg, imul2_##n(c, RD(n, i->rm), (U(n))i->imm));           \
        NEXT;                                                              \
    }                                                                      \
    OP(imul_GEI_m##n)                                                      \
    {                                                                      \
        U(n) a = LD(n, sq_ea(c, i, n / 8, ACCESS_R));                      \
                                                                           \
        WR(n, i->reg, imul2_##n(c, a, (U(n))i->imm));                      \
        NEXT;                                                              \
    }
MUL(16, uint32_t, int32_t)
MUL(32, uint64_t, int64_t)
MUL(64, u128, s128)

/* Division: #DE for a zero divisor and for quotients that do not fit. */
_Noreturn static void divide_error(struct sq_x86_cpu *c,
                                   const struct sq_x86_insn *i)
{
    sq_x86_raise(c, i, EXC_DE, NO_ERROR_CODE);
}

static void div8(struct sq_x86_cpu *c, const struct sq_x86_insn *i, uint8_t b)
{
    uint16_t a = RD(16, 0);

    if (!b || a / b > 0xff)
        divide_error(c, i);
    WR(16, 0, (a % b) << 8 | a / b);
}
static void idiv8(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                  uint8_t b)
{
    int a = (int16_t)RD(16, 0), d = (int8_t)b;

    if (!d || a / d != (int8_t)(a / d))
        divide_error(c, i);
    WR(16, 0, (uint8_t)(a % d) << 8 | (uint8_t)(a / d));
}

#define DIV(n, wide, swide)                                                \
    static void div##n(struct sq_x86_cpu *c, const struct sq_x86_insn *i,  \
                       U(n) b)                                             \
    {                                                                      \
        wide a = (wide)RD(n, GPR_OFF(R_DX)) << n | RD(n, 0), q;            \
                                                                           \
        if (!b)                                                            \
            divide_error(c, i);                                            \
        q = a / b;                                                         \
        if (q >> n)                                                        \
            divide_error(c, i);                                            \
        WR(n, GPR_OFF(R_DX), (U(n))(a % b));                               \
        WR(n, 0, (U(n))q);                                                 \
    }                                                                      \
    static void idiv##n(struct sq_x86_cpu *c, const struct sq_x86_insn *i, \
                        U(n) b)                                            \
    {                                                                      \
        swide a = (swide)((wide)RD(n, GPR_OFF(R_DX)) << n | RD(n, 0));     \
        swide d = (S(n))b, q;                                              \
                                                                           \
        /* the one wide quotient that overflows the wide type itself */    \
        if (!d || (d == -1 && a == (swide)((wide)1 << (2 * n - 1))))       \
            divide_error(c, i);                                            \
        q = a / d;                                                         \
        if (q != (S(n))q)                                                  \
            divide_error(c, i);                                            \
        WR(n, GPR_OFF(R_DX), (U(n))(a % d));                               \
        WR(n, 0, (U(n))q);                                                 \
    }
DIV(16, uint32_t, int32_t)
DIV(32, uint64_t, int64_t)
/* Most 64-bit divisions have a dividend that fits: 128-bit division is a
 * library call, so it is kept for the others. */
static void div64(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                  uint64_t b)
{
    uint64_t hi = c->gpr[R_DX], lo = c->gpr[R_AX];
    u128 a;

    if (b <= hi) /* zero, or the quotient needs more than 64 bits */
        divide_error(c, i);
    if (!hi) {
        c->gpr[R_AX] = lo / b;
        c->gpr[R_DX] = lo % b;
        return;
    }
    a = (u128)hi << 64 | lo;
    c->gpr[R_AX] = (uint64_t)(a / b);
    c->gpr[R_DX] = (uint64_t)(a % b);
}
static void idiv64(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                   uint64_t b)
{
    int64_t hi = (int64_t)c->gpr[R_DX], lo = (int64_t)c->gpr[R_AX];
    int64_t d = (int64_t)b;
    s128 a, q;

    if (!d)
        divide_error(c, i);
    if (hi == lo >> 63 && d != -1) {
        c->gpr[R_AX] = (uint64_t)(lo / d);
        c->gpr[R_DX] = (uint64_t)(lo % d);
        return;
    }
    a = (s128)((u128)(uint64_t)hi << 64 | (uint64_t)lo);
    if (d == -1 && a == (s128)((u128)1 << 127))
        divide_error(c, i);
    q = a / d;
    if (q != (int64_t)q)
        divide_error(c, i);
    c->gpr[R_AX] = (uint64_t)q;
    c->gpr[R_DX] = (uint64_t)(a % d);
}

#define ONE_OPERAND(n)                                                     \
    OP(mul_E_r##n)                                                         \
    {                                                                      \
        mul##n(c, RD(n, i->rm));                                           \
        NEXT;                                                              \
    }                                                                      \
    OP(mul_E_m##n)                                                         \
    {                                                                      \
        mul##n(c, LD(n, sq_ea(c, i, n / 8, ACCESS_R)));                    \
        NEXT;                                                              \
    }                                                                      \
    OP(imul_E_r##n)                                                        \
    {                                                                      \
        imul##n(c, RD(n, i->rm));                                          \
        NEXT;                                                              \
    }                                                                      \
    OP(imul_E_m##n)                                                        \
    {                                                                      \
        imul##n(c, LD(n, sq_ea(c, i, n / 8, ACCESS_R)));                   \
        NEXT;                                                              \
    }                                                                      \
    OP(div_E_r##n)                                                         \
    {                                                                      \
        div##n(c, i, RD(n, i->rm));                                        \
        NEXT;                                                              \
    }                                                                      \
    OP(div_E_m##n)                                                         \
    {                                                                      \
        div##n(c, i, LD(n, sq_ea(c, i, n / 8, ACCESS_R)));                 \
        NEXT;                                                              \
    }                                                                      \
    OP(idiv_E_r##n)                                                        \
    {                                                                      \
        idiv##n(c, i, RD(n, i->rm));                                       \
        NEXT;                                                              \
    }                                                                      \
    OP(idiv_E_m##n)                                                        \
    {                                                                      \
        idiv##n(c, i, LD(n, sq_ea(c, i, n / 8, ACCESS_R)));                \
        NEXT;                                                              \
    }
EACH_SIZE(ONE_OPERAND)
FAM4(mul_E, mul_E)
FAM4(imul_E, imul_E)
FAM4(div_E, div_E)
FAM4(idiv_E, idiv_E)
FAM3(imul_GE, imul_GE)
FAM3(imul_GEI, imul_GEI)

/* --- decimal (SDM vol. 2); not in 64-bit mode ------------------------ */

static void decimal_flags(struct sq_x86_cpu *c, bool af, bool cf)
{
    uint8_t al = RD(8, 0);
    uint32_t f = (af ? FL_AF : 0) | (cf ? FL_CF : 0);

    if (!al)
        f |= FL_ZF;
    if (al & 0x80)
        f |= FL_SF;
    if (!__builtin_parity(al))
        f |= FL_PF;
    sq_set_status(c, f);
}
OP(daa)
{
    uint8_t al = RD(8, 0), old = al;
    bool cf = sq_cf(c), af = (al & 15) > 9 || sq_af(c);

    if (af)
        al = (uint8_t)(al + 6);
    cf = old > 0x99 || cf;
    if (cf)
        al = (uint8_t)(al + 0x60);
    WR(8, 0, al);
    decimal_flags(c, af, cf);
    NEXT;
}
OP(das)
{
    uint8_t al = RD(8, 0), old = al;
    bool cf_in = sq_cf(c), cf = false, af = (al & 15) > 9 || sq_af(c);

    if (af) {
        cf = cf_in || al < 6;
        al = (uint8_t)(al - 6);
    }
    if (old > 0x99 || cf_in) {
        al = (uint8_t)(al - 0x60);
        cf = true;
    }
    WR(8, 0, al);
    decimal_flags(c, af, cf);
    NEXT;
}
OP(aaa)
{
    bool adjust = (RD(8, 0) & 15) > 9 || sq_af(c);

    if (adjust)
        WR(16, 0, RD(16, 0) + 0x106);
    WR(8, 0, RD(8, 0) & 15);
    decimal_flags(c, adjust, adjust);
    NEXT;
}
OP(aas)
{
    bool adjust = (RD(8, 0) & 15) > 9 || sq_af(c);

    if (adjust)
        WR(16, 0, RD(16, 0) - 0x106);
    WR(8, 0, RD(8, 0) & 15);
    decimal_flags(c, adjust, adjust);
    NEXT;
}
OP(aam)
{
    uint8_t base = (uint8_t)i->imm, al = RD(8, 0);

    if (!base)
        divide_error(c, i);
    WR(16, 0, (al / base) << 8 | al % base);
    decimal_flags(c, false, false);
    NEXT;
}
OP(aad)
{
    WR(16, 0, (uint8_t)(RD(8, 0) + RD(8, 1) * (uint8_t)i->imm));
    decimal_flags(c, false, false);
    NEXT;
}
FAM1(daa, daa, NULL)
FAM1(das, das, NULL)
FAM1(aaa, aaa, NULL)
FAM1(aas, aas, NULL)
FAM1(aam, aam, NULL)
FAM1(aad, aad, NULL)

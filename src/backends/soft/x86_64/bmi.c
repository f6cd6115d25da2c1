/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LZCNT, TZCNT, BMI1, BMI2 and ADX (SDM vol. 2, under each name).
 *
 * Those with a VEX prefix exist in protected mode only (SDM vol. 2, 2.6,
 * exception type 13), and in 32- and 64-bit operand size.
 */
#include "backends/soft/x86_64/ops.h"

static inline void check_vex(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i)
{
    if (SQ_UNLIKELY(!c->code64 &&
                    (!(c->cr0 & CR0_PE) || c->rflags & FL_VM)))
        sq_x86_ud(c, i);
}

/* --- counts ---------------------------------------------------------- */

/* CF: there was nothing to find; ZF: found at the end. */
static uint64_t count_zeros(struct sq_x86_cpu *c, uint64_t v, unsigned n,
                            unsigned zeros)
{
    unsigned at = v ? zeros : n;

    sq_set_status(c, (v ? 0 : FL_CF) | (at ? 0 : FL_ZF));
    return at;
}

#define COUNTS(n)                                                          \
    static inline uint64_t tzcnt##n(struct sq_x86_cpu *c, uint64_t v)      \
    {                                                                      \
        return count_zeros(c, v, n,                                        \
                           v ? (unsigned)__builtin_ctzll(v) : 0);          \
    }                                                                      \
    static inline uint64_t lzcnt##n(struct sq_x86_cpu *c, uint64_t v)      \
    {                                                                      \
        return count_zeros(                                                \
            c, v, n, v ? (unsigned)__builtin_clzll(v) - (64 - n) : 0);     \
    }                                                                      \
    COUNT(n, tzcnt)                                                        \
    COUNT(n, lzcnt)
#define COUNT(n, op)                                                       \
    OP(op##_r##n)                                                          \
    {                                                                      \
        WR(n, i->reg, op##n(c, RD(n, i->rm)));                             \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_m##n)                                                          \
    {                                                                      \
        WR(n, i->reg, op##n(c, LD(n, sq_ea(c, i, n / 8, ACCESS_R))));      \
        NEXT;                                                              \
    }
EACH_V(COUNTS)
FAM3(tzcnt, tzcnt)
FAM3(lzcnt, lzcnt)

/* --- two operands and a result, 32 and 64 bits ----------------------- */

/* reg = op(a, b), where a is vvvv's register and b is r/m; or the other way
 * round, as each operation wants it. */
#define BMI(op)                                                            \
    BMI_SIZE(op, 32)                                                       \
    BMI_SIZE(op, 64)                                                       \
    const struct sq_x86_family sq_f_##op = {                               \
        {{NULL, NULL, op##_r32, op##_r64},                                 \
         {NULL, NULL, op##_m32, op##_m64}}};
#define BMI_SIZE(op, n)                                                    \
    OP(op##_r##n)                                                          \
    {                                                                      \
        check_vex(c, i);                                                   \
        op##n(c, i, RD(n, i->imm2), RD(n, i->rm));                         \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_m##n)                                                          \
    {                                                                      \
        U(n) b;                                                            \
                                                                           \
        check_vex(c, i);                                                   \
        b = LD(n, sq_ea(c, i, n / 8, ACCESS_R));                           \
        op##n(c, i, RD(n, i->imm2), b);                                    \
        NEXT;                                                              \
    }

static void result_flags(struct sq_x86_cpu *c, uint64_t r, unsigned n,
                         bool cf)
{
    sq_set_status(c, (cf ? FL_CF : 0) | (r ? 0 : FL_ZF) |
                         (r >> (n - 1) & 1 ? FL_SF : 0));
}

/* Bits of `v` for the ones of `mask`, from the lowest. */
static uint64_t extract_bits(uint64_t v, uint64_t mask)
{
    uint64_t r = 0;

    for (unsigned k = 0; mask; mask &= mask - 1, k++)
        if (v & mask & (0 - mask))
            r |= 1ull << k;
    return r;
}

static uint64_t deposit_bits(uint64_t v, uint64_t mask)
{
    uint64_t r = 0;

    for (; mask; mask &= mask - 1, v >>= 1)
        if (v & 1)
            r |= mask & (0 - mask);
    return r;
}

#define BODY(op, n)                                                        \
    static inline void op##n(struct sq_x86_cpu *c,                         \
                             const struct sq_x86_insn *i, U(n) a, U(n) b)

#define BODIES(n)                                                          \
    BODY(andn, n)                                                          \
    {                                                                      \
        U(n) r = ~a & b;                                                   \
                                                                           \
        WR(n, i->reg, r);                                                  \
        result_flags(c, r, n, false);                                      \
    }                                                                      \
    /* vvvv is the destination, ModRM.reg part of the opcode */            \
    BODY(blsr, n)                                                          \
    {                                                                      \
        U(n) r = b & (b - 1);                                              \
                                                                           \
        (void)a;                                                           \
        WR(n, i->imm2, r);                                                 \
        result_flags(c, r, n, !b);                                         \
    }                                                                      \
    BODY(blsmsk, n)                                                        \
    {                                                                      \
        U(n) r = b ^ (b - 1);                                              \
                                                                           \
        (void)a;                                                           \
        WR(n, i->imm2, r);                                                 \
        result_flags(c, r, n, !b);                                         \
    }                                                                      \
    BODY(blsi, n)                                                          \
    {                                                                      \
        U(n) r = b & (0 - b);                                              \
                                                                           \
        (void)a;                                                           \
        WR(n, i->imm2, r);                                                 \
        result_flags(c, r, n, b);                                          \
    }                                                                      \
    BODY(bzhi, n)                                                          \
    {                                                                      \
        unsigned k = a & 0xff;                                             \
                                                                           \
        if (k < n)                                                         \
            b &= ((U(n))1 << k) - 1;                                       \
        WR(n, i->reg, b);                                                  \
        result_flags(c, b, n, k >= n);                                     \
    }                                                                      \
    BODY(bextr, n)                                                         \
    {                                                                      \
        unsigned k = a & 0xff, len = a >> 8 & 0xff;                        \
                                                                           \
        b = k < n ? b >> k : 0;                                            \
        if (len < n)                                                       \
            b &= ((U(n))1 << len) - 1;                                     \
        WR(n, i->reg, b);                                                  \
        result_flags(c, b, n, false);                                      \
    }                                                                      \
    BODY(pext, n)                                                          \
    {                                                                      \
        WR(n, i->reg, extract_bits(a, b));                                 \
    }                                                                      \
    BODY(pdep, n)                                                          \
    {                                                                      \
        WR(n, i->reg, deposit_bits(a, b));                                 \
    }                                                                      \
    BODY(shlx, n)                                                          \
    {                                                                      \
        WR(n, i->reg, b << (a & (n - 1)));                                 \
    }                                                                      \
    BODY(shrx, n)                                                          \
    {                                                                      \
        WR(n, i->reg, b >> (a & (n - 1)));                                 \
    }                                                                      \
    BODY(sarx, n)                                                          \
    {                                                                      \
        WR(n, i->reg, (S(n))b >> (a & (n - 1)));                           \
    }                                                                      \
    BODY(rorx, n)                                                          \
    {                                                                      \
        unsigned k = i->imm & (n - 1);                                     \
                                                                           \
        (void)a;                                                           \
        WR(n, i->reg, k ? b >> k | b << (n - k) : b);                      \
    }
BODIES(32)
BODIES(64)

/* The high half is written last: it stays if both are one register. */
BODY(mulx, 32)
{
    uint64_t r = (uint64_t)RD(32, GPR_OFF(R_DX)) * b;

    (void)a;
    WR(32, i->imm2, r);
    WR(32, i->reg, r >> 32);
}

BODY(mulx, 64)
{
    unsigned __int128 r = (unsigned __int128)RD(64, GPR_OFF(R_DX)) * b;

    (void)a;
    WR(64, i->imm2, r);
    WR(64, i->reg, r >> 64);
}

BMI(andn)
BMI(blsr)
BMI(blsmsk)
BMI(blsi)
BMI(bzhi)
BMI(bextr)
BMI(pext)
BMI(pdep)
BMI(shlx)
BMI(shrx)
BMI(sarx)
BMI(rorx)
BMI(mulx)

/* --- ADX: sums whose carry is CF, or OF, and no other flag ----------- */

static uint64_t add_carry(struct sq_x86_cpu *c, uint64_t a, uint64_t b,
                          unsigned n, uint32_t flag)
{
    uint32_t fl = sq_status(c);
    unsigned __int128 sum = (unsigned __int128)a + b + !!(fl & flag);

    sq_set_status(c, (fl & ~flag) | (sum >> n ? flag : 0));
    return (uint64_t)sum;
}

#define ADX(op, n, flag)                                                   \
    OP(op##_r##n)                                                          \
    {                                                                      \
        WR(n, i->reg,                                                      \
           add_carry(c, RD(n, i->reg), RD(n, i->rm), n, flag));            \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_m##n)                                                          \
    {                                                                      \
        U(n) b = LD(n, sq_ea(c, i, n / 8, ACCESS_R));                      \
                                                                           \
        WR(n, i->reg, add_carry(c, RD(n, i->reg), b, n, flag));            \
        NEXT;                                                              \
    }
#define ADX_FAMILY(op, flag)                                               \
    ADX(op, 32, flag)                                                      \
    ADX(op, 64, flag)                                                      \
    const struct sq_x86_family sq_f_##op = {                               \
        {{NULL, NULL, op##_r32, op##_r64},                                 \
         {NULL, NULL, op##_m32, op##_m64}}};
ADX_FAMILY(adcx, (uint32_t)FL_CF)
ADX_FAMILY(adox, (uint32_t)FL_OF)

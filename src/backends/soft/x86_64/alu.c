/* SPDX-License-Identifier: Apache-2.0 */
/* Two-operand arithmetic and logic, and its one-operand relatives. */
#include "backends/soft/x86_64/ops.h"

/* Puts CF in place and moves bit 62 so that OF stays what it was. AF is in
 * a lower bit at every width but 8, where it is bit 59: still lower. */
static inline void sq_keep_cf(struct sq_x86_cpu *c, bool cf)
{
    uint64_t flip = (uint64_t)(cf ^ (c->fl.cv >> 63));

    c->fl.cv ^= flip << 63 | flip << 62;
}

/* --- the operations themselves: result and flags --------------------- */

#define COMPUTE(n)                                                         \
    static inline U(n) add##n(struct sq_x86_cpu *c, U(n) a, U(n) b)        \
    {                                                                      \
        U(n) r = (U(n))(a + b);                                            \
        SQ_FLAGS_ADD(c, n, a, b, r);                                       \
        return r;                                                          \
    }                                                                      \
    static inline U(n) adc##n(struct sq_x86_cpu *c, U(n) a, U(n) b)        \
    {                                                                      \
        U(n) r = (U(n))(a + b + sq_cf(c));                                 \
        SQ_FLAGS_ADD(c, n, a, b, r);                                       \
        return r;                                                          \
    }                                                                      \
    static inline U(n) sub##n(struct sq_x86_cpu *c, U(n) a, U(n) b)        \
    {                                                                      \
        U(n) r = (U(n))(a - b);                                            \
        SQ_FLAGS_SUB(c, n, a, b, r);                                       \
        return r;                                                          \
    }                                                                      \
    static inline U(n) sbb##n(struct sq_x86_cpu *c, U(n) a, U(n) b)        \
    {                                                                      \
        U(n) r = (U(n))(a - b - sq_cf(c));                                 \
        SQ_FLAGS_SUB(c, n, a, b, r);                                       \
        return r;                                                          \
    }                                                                      \
    static inline U(n) and##n(struct sq_x86_cpu *c, U(n) a, U(n) b)        \
    {                                                                      \
        U(n) r = a & b;                                                    \
        SQ_FLAGS_LOGIC(c, n, r);                                           \
        return r;                                                          \
    }                                                                      \
    static inline U(n) or##n(struct sq_x86_cpu *c, U(n) a, U(n) b)         \
    {                                                                      \
        U(n) r = a | b;                                                    \
        SQ_FLAGS_LOGIC(c, n, r);                                           \
        return r;                                                          \
    }                                                                      \
    static inline U(n) xor##n(struct sq_x86_cpu *c, U(n) a, U(n) b)        \
    {                                                                      \
        U(n) r = a ^ b;                                                    \
        SQ_FLAGS_LOGIC(c, n, r);                                           \
        return r;                                                          \
    }                                                                      \
    static inline U(n) neg##n(struct sq_x86_cpu *c, U(n) a, int unused)    \
    {                                                                      \
        (void)unused;                                                      \
        return sub##n(c, 0, a);                                            \
    }                                                                      \
    static inline U(n) not##n(struct sq_x86_cpu *c, U(n) a, int unused)    \
    {                                                                      \
        (void)c, (void)unused;                                             \
        return (U(n))~a;                                                   \
    }                                                                      \
    /* INC and DEC leave CF alone. */                                      \
    static inline U(n) inc##n(struct sq_x86_cpu *c, U(n) a, int unused)    \
    {                                                                      \
        bool cf = sq_cf(c);                                                \
        U(n) r = add##n(c, a, 1);                                          \
        (void)unused;                                                      \
        sq_keep_cf(c, cf);                                                 \
        return r;                                                          \
    }                                                                      \
    static inline U(n) dec##n(struct sq_x86_cpu *c, U(n) a, int unused)    \
    {                                                                      \
        bool cf = sq_cf(c);                                                \
        U(n) r = sub##n(c, a, 1);                                          \
        (void)unused;                                                      \
        sq_keep_cf(c, cf);                                                 \
        return r;                                                          \
    }

EACH_SIZE(COMPUTE)

/* --- E,G  G,E  E,imm ------------------------------------------------- */

#define BINARY(n, op)                                                      \
    OP(op##_EG_r##n)                                                       \
    {                                                                      \
        WR(n, i->rm, op##n(c, RD(n, i->rm), RD(n, i->reg)));               \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_EG_m##n)                                                       \
    {                                                                      \
        RMW(n, sq_ea(c, i, n / 8, ACCESS_RW), op##n, RD(n, i->reg));       \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_GE_r##n)                                                       \
    {                                                                      \
        WR(n, i->reg, op##n(c, RD(n, i->reg), RD(n, i->rm)));              \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_GE_m##n)                                                       \
    {                                                                      \
        U(n) b = LD(n, sq_ea(c, i, n / 8, ACCESS_R));                      \
                                                                           \
        WR(n, i->reg, op##n(c, RD(n, i->reg), b));                         \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_EI_r##n)                                                       \
    {                                                                      \
        WR(n, i->rm, op##n(c, RD(n, i->rm), (U(n))i->imm));                \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_EI_m##n)                                                       \
    {                                                                      \
        RMW(n, sq_ea(c, i, n / 8, ACCESS_RW), op##n, (U(n))i->imm);        \
        NEXT;                                                              \
    }

/* CMP and TEST write no result. */
#define COMPARE(n, name, op)                                               \
    OP(name##_EG_r##n)                                                     \
    {                                                                      \
        op##n(c, RD(n, i->rm), RD(n, i->reg));                             \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_EG_m##n)                                                     \
    {                                                                      \
        U(n) a = LD(n, sq_ea(c, i, n / 8, ACCESS_R));                      \
                                                                           \
        op##n(c, a, RD(n, i->reg));                                        \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_EI_r##n)                                                     \
    {                                                                      \
        op##n(c, RD(n, i->rm), (U(n))i->imm);                              \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_EI_m##n)                                                     \
    {                                                                      \
        U(n) a = LD(n, sq_ea(c, i, n / 8, ACCESS_R));                      \
                                                                           \
        op##n(c, a, (U(n))i->imm);                                         \
        NEXT;                                                              \
    }

#define COMPARE_GE(n)                                                      \
    OP(cmp_GE_r##n)                                                        \
    {                                                                      \
        sub##n(c, RD(n, i->reg), RD(n, i->rm));                            \
        NEXT;                                                              \
    }                                                                      \
    OP(cmp_GE_m##n)                                                        \
    {                                                                      \
        U(n) b = LD(n, sq_ea(c, i, n / 8, ACCESS_R));                      \
                                                                           \
        sub##n(c, RD(n, i->reg), b);                                       \
        NEXT;                                                              \
    }

#define UNARY(n, op)                                                       \
    OP(op##_E_r##n)                                                        \
    {                                                                      \
        WR(n, i->rm, op##n(c, RD(n, i->rm), 0));                           \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_E_m##n)                                                        \
    {                                                                      \
        RMW(n, sq_ea(c, i, n / 8, ACCESS_RW), op##n, 0);                   \
        NEXT;                                                              \
    }

#define ALL(n)                                                             \
    BINARY(n, add) BINARY(n, or) BINARY(n, adc) BINARY(n, sbb)             \
    BINARY(n, and) BINARY(n, sub) BINARY(n, xor)                           \
    COMPARE(n, cmp, sub) COMPARE_GE(n) COMPARE(n, test, and)               \
    UNARY(n, neg) UNARY(n, not) UNARY(n, inc) UNARY(n, dec)
EACH_SIZE(ALL)

#define FAM_BINARY(op)                                                     \
    FAM4(op##_EG, op##_EG) FAM4(op##_GE, op##_GE) FAM4(op##_EI, op##_EI)
FAM_BINARY(add) FAM_BINARY(or) FAM_BINARY(adc) FAM_BINARY(sbb)
FAM_BINARY(and) FAM_BINARY(sub) FAM_BINARY(xor) FAM_BINARY(cmp)
FAM4(test_EG, test_EG) FAM4(test_EI, test_EI)
FAM4(neg_E, neg_E) FAM4(not_E, not_E) FAM4(inc_E, inc_E) FAM4(dec_E, dec_E)

/* --- exchanges ------------------------------------------------------- */

#define EXCHANGE(n)                                                        \
    OP(xchg_r##n)                                                          \
    {                                                                      \
        U(n) a = RD(n, i->rm), b = RD(n, i->reg);                          \
                                                                           \
        WR(n, i->rm, b);                                                   \
        WR(n, i->reg, a);                                                  \
        NEXT;                                                              \
    }                                                                      \
    /* With memory, XCHG is locked whether it says so or not. */           \
    OP(xchg_m##n)                                                          \
    {                                                                      \
        uint64_t gva = sq_ea(c, i, n / 8, ACCESS_RW);                      \
        U(n) *p = sq_mem_ptr(c, i, gva, n / 8, true);                      \
        U(n) old;                                                          \
                                                                           \
        if (p && (uintptr_t)p % (n / 8) == 0) {                            \
            old = __atomic_exchange_n(p, RD(n, i->reg), __ATOMIC_SEQ_CST); \
        } else {                                                           \
            sq_x86_rmw_slow_begin(c, i);                                   \
            old = LD(n, gva);                                              \
            ST(n, gva, RD(n, i->reg));                                     \
            sq_x86_rmw_slow_end(c, i);                                     \
        }                                                                  \
        WR(n, i->reg, old);                                                \
        NEXT;                                                              \
    }                                                                      \
    OP(xadd_r##n)                                                          \
    {                                                                      \
        U(n) a = RD(n, i->rm), b = RD(n, i->reg);                          \
        U(n) r = add##n(c, a, b);                                          \
                                                                           \
        WR(n, i->reg, a);                                                  \
        WR(n, i->rm, r);                                                   \
        NEXT;                                                              \
    }                                                                      \
    OP(xadd_m##n)                                                          \
    {                                                                      \
        U(n) b = RD(n, i->reg);                                            \
        U(n) seen;                                                         \
                                                                           \
        RMW(n, sq_ea(c, i, n / 8, ACCESS_RW), add##n##_seen,               \
            (struct seen##n){b COMMA &seen});                              \
        WR(n, i->reg, seen);                                               \
        NEXT;                                                              \
    }
#define COMMA ,
/* XADD and CMPXCHG need the old value too. */
#define SEEN(n)                                                            \
    struct seen##n {                                                       \
        U(n) v;                                                            \
        U(n) *old;                                                         \
    };                                                                     \
    static inline U(n) add##n##_seen(struct sq_x86_cpu *c, U(n) a,         \
                                     struct seen##n s)                     \
    {                                                                      \
        *s.old = a;                                                        \
        return add##n(c, a, s.v);                                          \
    }                                                                      \
    /* Compares rAX with the operand; writes it in either case. */         \
    static inline U(n) cas##n##_seen(struct sq_x86_cpu *c, U(n) a,         \
                                     struct seen##n s)                     \
    {                                                                      \
        U(n) want = RD(n, 0);                                              \
                                                                           \
        *s.old = a;                                                        \
        sub##n(c, want, a);                                                \
        return want == a ? s.v : a;                                        \
    }
EACH_SIZE(SEEN)
EACH_SIZE(EXCHANGE)

/* 90+r: with rAX; 90 itself is NOP, or PAUSE. */
#define XCHG_A(n)                                                          \
    OP(xchg_A_r##n)                                                        \
    {                                                                      \
        if (i->rm) {                                                       \
            U(n) a = RD(n, i->rm), b = RD(n, 0);                           \
                                                                           \
            WR(n, i->rm, b);                                               \
            WR(n, 0, a);                                                   \
        }                                                                  \
        NEXT;                                                              \
    }
EACH_V(XCHG_A)

#define CMPXCHG(n)                                                         \
    OP(cmpxchg_r##n)                                                       \
    {                                                                      \
        U(n) a = RD(n, i->rm), want = RD(n, 0);                            \
                                                                           \
        sub##n(c, want, a);                                                \
        if (want == a)                                                     \
            WR(n, i->rm, RD(n, i->reg));                                   \
        else                                                               \
            WR(n, 0, a);                                                   \
        NEXT;                                                              \
    }                                                                      \
    OP(cmpxchg_m##n)                                                       \
    {                                                                      \
        U(n) seen, want = RD(n, 0);                                        \
                                                                           \
        RMW(n, sq_ea(c, i, n / 8, ACCESS_RW), cas##n##_seen,               \
            (struct seen##n){RD(n, i->reg) COMMA &seen});                  \
        if (seen != want)                                                  \
            WR(n, 0, seen);                                                \
        NEXT;                                                              \
    }
EACH_SIZE(CMPXCHG)

FAM4(xchg, xchg)
FAM4(xadd, xadd)
FAM4(cmpxchg, cmpxchg)
const struct sq_x86_family sq_f_xchg_A = {
    {{NULL, xchg_A_r16, xchg_A_r32, xchg_A_r64}}};

/* CMPXCHG8B and CMPXCHG16B touch ZF alone. */
OP(cmpxchg8b_m32)
{
    uint64_t gva = sq_ea(c, i, 8, ACCESS_RW);
    uint64_t want = (uint64_t)RD(32, GPR_OFF(R_DX)) << 32 |
                    RD(32, GPR_OFF(R_AX));
    uint64_t v = (uint64_t)RD(32, GPR_OFF(R_CX)) << 32 |
                 RD(32, GPR_OFF(R_BX));
    uint64_t *p = sq_mem_ptr(c, i, gva, 8, true);
    uint64_t seen = want;
    uint32_t f;

    if (p && (uintptr_t)p % 8 == 0) {
        __atomic_compare_exchange_n(p, &seen, v, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST);
    } else {
        sq_x86_rmw_slow_begin(c, i);
        seen = LD(64, gva);
        ST(64, gva, seen == want ? v : seen);
        sq_x86_rmw_slow_end(c, i);
    }
    f = sq_status(c) & ~(uint32_t)FL_ZF;
    if (seen == want) {
        f |= FL_ZF;
    } else {
        WR(32, GPR_OFF(R_AX), seen);
        WR(32, GPR_OFF(R_DX), seen >> 32);
    }
    sq_set_status(c, f);
    NEXT;
}

OP(cmpxchg8b_m64)
{
    uint64_t gva = sq_ea(c, i, 16, ACCESS_RW);
    unsigned __int128 want = (unsigned __int128)c->gpr[R_DX] << 64 |
                             c->gpr[R_AX];
    unsigned __int128 v = (unsigned __int128)c->gpr[R_CX] << 64 |
                          c->gpr[R_BX];
    unsigned __int128 seen;
    uint32_t f;

    if (gva & 15)
        sq_x86_gp(c, i, 0);
    sq_x86_probe_write(c, i, gva, 16);
    seen = sq_x86_cas16(c, i, gva, want, v);
    f = sq_status(c) & ~(uint32_t)FL_ZF;
    if (seen == want) {
        f |= FL_ZF;
    } else {
        c->gpr[R_AX] = (uint64_t)seen;
        c->gpr[R_DX] = (uint64_t)(seen >> 64);
    }
    sq_set_status(c, f);
    NEXT;
}

const struct sq_x86_family sq_f_cmpxchg8b = {
    {{NULL}, {NULL, NULL, cmpxchg8b_m32, cmpxchg8b_m64}}};

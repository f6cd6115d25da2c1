/* SPDX-License-Identifier: Apache-2.0 */
/* Shifts and rotates. Counts are masked to 5 bits (6 for 64-bit operands);
 * a count of zero changes nothing, not even flags. */
#include "backends/soft/x86_64/ops.h"

/* OF after counts above one is undefined; these follow what processors do:
 * the value that the one-bit rule gives for the final step. */
#define SHIFTS(n)                                                          \
    static inline U(n) shl##n(struct sq_x86_cpu *c, U(n) a, unsigned k)    \
    {                                                                      \
        U(n) r;                                                            \
        bool cf;                                                           \
                                                                           \
        k &= n == 64 ? 63 : 31;                                            \
        if (!k)                                                            \
            return a;                                                      \
        cf = k <= n && ((uint64_t)a >> (n - k) & 1);                       \
        r = k < n ? (U(n))(a << k) : 0;                                    \
        SQ_RESULT(c, n, r);                                                \
        sq_set_cf_of(c, cf, cf ^ (r >> (n - 1)));                          \
        return r;                                                          \
    }                                                                      \
    static inline U(n) shr##n(struct sq_x86_cpu *c, U(n) a, unsigned k)    \
    {                                                                      \
        U(n) r;                                                            \
        bool cf;                                                           \
                                                                           \
        k &= n == 64 ? 63 : 31;                                            \
        if (!k)                                                            \
            return a;                                                      \
        cf = k <= n && ((uint64_t)a >> (k - 1) & 1);                       \
        r = k < n ? (U(n))(a >> k) : 0;                                    \
        SQ_RESULT(c, n, r);                                                \
        sq_set_cf_of(c, cf, (r ^ (U(n))(r << 1)) >> (n - 1));              \
        return r;                                                          \
    }                                                                      \
    static inline U(n) sar##n(struct sq_x86_cpu *c, U(n) a, unsigned k)    \
    {                                                                      \
        U(n) r;                                                            \
        bool cf;                                                           \
                                                                           \
        k &= n == 64 ? 63 : 31;                                            \
        if (!k)                                                            \
            return a;                                                      \
        if (k >= n)                                                        \
            k = n - 1, cf = a >> (n - 1);                                  \
        else                                                               \
            cf = a >> (k - 1) & 1;                                         \
        r = (U(n))((S(n))a >> k);                                          \
        SQ_RESULT(c, n, r);                                                \
        sq_set_cf_of(c, cf, false);                                        \
        return r;                                                          \
    }                                                                      \
    static inline U(n) rol##n(struct sq_x86_cpu *c, U(n) a, unsigned k)    \
    {                                                                      \
        U(n) r = a;                                                        \
                                                                           \
        k &= n == 64 ? 63 : 31;                                            \
        if (!k)                                                            \
            return a;                                                      \
        if (k % n)                                                         \
            r = (U(n))(a << k % n | a >> (n - k % n));                     \
        rotate_flags(c, r & 1, (r >> (n - 1)) ^ (r & 1));                  \
        return r;                                                          \
    }                                                                      \
    static inline U(n) ror##n(struct sq_x86_cpu *c, U(n) a, unsigned k)    \
    {                                                                      \
        U(n) r = a;                                                        \
                                                                           \
        k &= n == 64 ? 63 : 31;                                            \
        if (!k)                                                            \
            return a;                                                      \
        if (k % n)                                                         \
            r = (U(n))(a >> k % n | a << (n - k % n));                     \
        rotate_flags(c, r >> (n - 1), (r ^ (U(n))(r << 1)) >> (n - 1));    \
        return r;                                                          \
    }                                                                      \
    static inline U(n) rcl##n(struct sq_x86_cpu *c, U(n) a, unsigned k)    \
    {                                                                      \
        bool cf = sq_cf(c);                                                \
        U(n) r = a;                                                        \
                                                                           \
        k &= n == 64 ? 63 : 31;                                            \
        if (!k)                                                            \
            return a;                                                      \
        k %= n + 1;                                                        \
        for (unsigned t = 0; t < k; t++) {                                 \
            bool out = r >> (n - 1);                                       \
                                                                           \
            r = (U(n))(r << 1 | cf);                                       \
            cf = out;                                                      \
        }                                                                  \
        rotate_flags(c, cf, cf ^ (r >> (n - 1)));                          \
        return r;                                                          \
    }                                                                      \
    static inline U(n) rcr##n(struct sq_x86_cpu *c, U(n) a, unsigned k)    \
    {                                                                      \
        bool cf = sq_cf(c);                                                \
        U(n) r = a;                                                        \
                                                                           \
        k &= n == 64 ? 63 : 31;                                            \
        if (!k)                                                            \
            return a;                                                      \
        k %= n + 1;                                                        \
        for (unsigned t = 0; t < k; t++) {                                 \
            bool out = r & 1;                                              \
                                                                           \
            r = (U(n))(r >> 1 | (U(n))((U(n))cf << (n - 1)));              \
            cf = out;                                                      \
        }                                                                  \
        rotate_flags(c, cf, (r ^ (U(n))(r << 1)) >> (n - 1));              \
        return r;                                                          \
    }

/* Rotates touch CF and OF alone. */
static inline void rotate_flags(struct sq_x86_cpu *c, bool cf, bool of)
{
    uint64_t af = sq_af(c) ? 8 : 0;

    sq_set_cf_of(c, cf, of);
    c->fl.cv |= af;
}

EACH_SIZE(SHIFTS)

/* Count from imm, 1, or CL. */
#define SHIFT_OP(n, op)                                                    \
    OP(op##_EI_r##n)                                                       \
    {                                                                      \
        WR(n, i->rm, op##n(c, RD(n, i->rm), (unsigned)i->imm));            \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_EI_m##n)                                                       \
    {                                                                      \
        RMW(n, sq_ea(c, i, n / 8, ACCESS_RW), op##n, (unsigned)i->imm);    \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_E1_r##n)                                                       \
    {                                                                      \
        WR(n, i->rm, op##n(c, RD(n, i->rm), 1));                           \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_E1_m##n)                                                       \
    {                                                                      \
        RMW(n, sq_ea(c, i, n / 8, ACCESS_RW), op##n, 1);                   \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_EC_r##n)                                                       \
    {                                                                      \
        WR(n, i->rm, op##n(c, RD(n, i->rm), RD(8, GPR_OFF(R_CX))));        \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_EC_m##n)                                                       \
    {                                                                      \
        RMW(n, sq_ea(c, i, n / 8, ACCESS_RW), op##n,                       \
            RD(8, GPR_OFF(R_CX)));                                         \
        NEXT;                                                              \
    }
#define SHIFT_OPS(n)                                                       \
    SHIFT_OP(n, shl) SHIFT_OP(n, shr) SHIFT_OP(n, sar) SHIFT_OP(n, rol)    \
    SHIFT_OP(n, ror) SHIFT_OP(n, rcl) SHIFT_OP(n, rcr)
EACH_SIZE(SHIFT_OPS)

#define FAM_SHIFT(op)                                                      \
    FAM4(op##_EI, op##_EI) FAM4(op##_E1, op##_E1) FAM4(op##_EC, op##_EC)
FAM_SHIFT(shl) FAM_SHIFT(shr) FAM_SHIFT(sar)
FAM_SHIFT(rol) FAM_SHIFT(ror) FAM_SHIFT(rcl) FAM_SHIFT(rcr)

/* --- double shifts --------------------------------------------------- */

/* Counts above 16 with 16-bit operands are undefined; the bits that come in
 * are then those of src:dst repeated, as processors do. */
struct dshift {
    uint64_t src;
    unsigned k;
};
#define DOUBLE(n)                                                          \
    static inline U(n) shld##n(struct sq_x86_cpu *c, U(n) a,               \
                               struct dshift s)                            \
    {                                                                      \
        unsigned k = s.k & (n == 64 ? 63 : 31);                            \
        U(n) b = (U(n))s.src, r;                                           \
        bool cf;                                                           \
                                                                           \
        if (!k)                                                            \
            return a;                                                      \
        if (k > n) { /* 16-bit only */                                     \
            U(n) t = a;                                                    \
                                                                           \
            a = b, b = t, k -= n;                                          \
        }                                                                  \
        cf = a >> (n - k) & 1;                                             \
        r = k == n ? b : (U(n))(a << k | b >> (n - k));                    \
        SQ_RESULT(c, n, r);                                                \
        sq_set_cf_of(c, cf, ((r ^ a) >> (n - 1)) & 1);                     \
        return r;                                                          \
    }                                                                      \
    static inline U(n) shrd##n(struct sq_x86_cpu *c, U(n) a,               \
                               struct dshift s)                            \
    {                                                                      \
        unsigned k = s.k & (n == 64 ? 63 : 31);                            \
        U(n) b = (U(n))s.src, r;                                           \
        bool cf;                                                           \
                                                                           \
        if (!k)                                                            \
            return a;                                                      \
        if (k > n) {                                                       \
            U(n) t = a;                                                    \
                                                                           \
            a = b, b = t, k -= n;                                          \
        }                                                                  \
        cf = a >> (k - 1) & 1;                                             \
        r = k == n ? b : (U(n))(a >> k | b << (n - k));                    \
        SQ_RESULT(c, n, r);                                                \
        sq_set_cf_of(c, cf, ((r ^ a) >> (n - 1)) & 1);                     \
        return r;                                                          \
    }                                                                      \
    DOUBLE_OP(n, shld)                                                     \
    DOUBLE_OP(n, shrd)
#define DOUBLE_OP(n, op)                                                   \
    OP(op##_I_r##n)                                                        \
    {                                                                      \
        struct dshift s = {RD(n, i->reg), (unsigned)i->imm};               \
                                                                           \
        WR(n, i->rm, op##n(c, RD(n, i->rm), s));                           \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_I_m##n)                                                        \
    {                                                                      \
        struct dshift s = {RD(n, i->reg), (unsigned)i->imm};               \
                                                                           \
        RMW(n, sq_ea(c, i, n / 8, ACCESS_RW), op##n, s);                   \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_C_r##n)                                                        \
    {                                                                      \
        struct dshift s = {RD(n, i->reg), RD(8, GPR_OFF(R_CX))};           \
                                                                           \
        WR(n, i->rm, op##n(c, RD(n, i->rm), s));                           \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_C_m##n)                                                        \
    {                                                                      \
        struct dshift s = {RD(n, i->reg), RD(8, GPR_OFF(R_CX))};           \
                                                                           \
        RMW(n, sq_ea(c, i, n / 8, ACCESS_RW), op##n, s);                   \
        NEXT;                                                              \
    }
EACH_V(DOUBLE)
FAM3(shld_I, shld_I)
FAM3(shld_C, shld_C)
FAM3(shrd_I, shrd_I)
FAM3(shrd_C, shrd_C)

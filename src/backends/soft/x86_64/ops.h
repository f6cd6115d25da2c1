/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of instruction functions share. */
#ifndef SQ_SOFT_X86_OPS_H
#define SQ_SOFT_X86_OPS_H

#include "backends/soft/x86_64/flags.h"
#include "backends/soft/x86_64/insns.h"
#include "backends/soft/x86_64/mem.h"

#define OP(name)                                                           \
    static void name(struct sq_x86_cpu *c, const struct sq_x86_insn *i)

/* Calls X(bits) for each operand size of a family. */
#define EACH_SIZE(X) X(8) X(16) X(32) X(64)
#define EACH_V(X) X(16) X(32) X(64)

/* Families. FAM4 and FAM3 take function names that end in r<bits> and
 * m<bits>; FAM4 with byte operands, FAM3 without. FAM1 has one function
 * for all sizes. NULL: no such form. */
#define FAM4(name, f)                                                      \
    const struct sq_x86_family sq_f_##name = {                             \
        {{f##_r8, f##_r16, f##_r32, f##_r64},                              \
         {f##_m8, f##_m16, f##_m32, f##_m64}}};
#define FAM3(name, f)                                                      \
    const struct sq_x86_family sq_f_##name = {                             \
        {{NULL, f##_r16, f##_r32, f##_r64},                                \
         {NULL, f##_m16, f##_m32, f##_m64}}};
#define FAM1(name, reg, mem)                                               \
    const struct sq_x86_family sq_f_##name = {                             \
        {{reg, reg, reg, reg}, {mem, mem, mem, mem}}};
/* Functions without register/memory difference, by size. */
#define FAMZ(name, f)                                                      \
    const struct sq_x86_family sq_f_##name = {{{f##8, f##16, f##32, f##64}}};

#define U(n) uint##n##_t
#define S(n) int##n##_t
#define RD(n, off) sq_rd##n(c, off)
#define WR(n, off, v) sq_wr##n(c, off, (U(n))(v))
#define LD(n, gva) sq_ld##n##v(c, i, gva)
#define ST(n, gva, val) sq_st##n##v(c, i, gva, (U(n))(val))
#define NEXT SQ_NEXT(c, i)

#define GPR_OFF(r) ((uint8_t)((r) * 8))


/* Read-modify-write of a memory operand: r = F(c, old, arg). F computes the
 * result and the flags; it may run more than once, so the flags that it
 * reads are put back before each turn. With LOCK, an aligned operand is
 * changed by one host atomic; the general memory path cannot be, so it is
 * probed first (no fault after the first effect) and serialized. */
#define RMW(n, gva, F, arg)                                                \
    do {                                                                   \
        uint64_t gva_ = (gva);                                             \
        U(n) *p_ = sq_mem_ptr(c, i, gva_, n / 8, true);                    \
        U(n) old_, new_;                                                   \
                                                                           \
        if (SQ_LIKELY(p_ && !(i->flags & IF_LOCK))) {                      \
            memcpy(&old_, p_, n / 8);                                      \
            new_ = F(c, old_, arg);                                        \
            memcpy(p_, &new_, n / 8);                                      \
        } else if (p_ && (uintptr_t)p_ % (n / 8) == 0) {                   \
            struct sq_x86_flags fl_ = c->fl;                               \
                                                                           \
            old_ = __atomic_load_n(p_, __ATOMIC_RELAXED);                  \
            do {                                                           \
                c->fl = fl_;                                               \
                new_ = F(c, old_, arg);                                    \
            } while (!__atomic_compare_exchange_n(p_, &old_, new_, false,  \
                                                  __ATOMIC_SEQ_CST,        \
                                                  __ATOMIC_RELAXED));      \
        } else {                                                           \
            sq_x86_rmw_slow_begin(c, i);                                   \
            old_ = LD(n, gva_);                                            \
            {                                                              \
                struct sq_x86_flags fl_ = c->fl, after_;                   \
                                                                           \
                new_ = F(c, old_, arg);                                    \
                after_ = c->fl;                                            \
                c->fl = fl_; /* the store may leave for a device */        \
                ST(n, gva_, new_);                                         \
                c->fl = after_;                                            \
            }                                                              \
            sq_x86_rmw_slow_end(c, i);                                     \
        }                                                                  \
    } while (0)

/* The lock around it; released also when the access leaves (run.c). */
void sq_x86_rmw_slow_begin(struct sq_x86_cpu *c,
                           const struct sq_x86_insn *i);
void sq_x86_rmw_slow_end(struct sq_x86_cpu *c, const struct sq_x86_insn *i);

/* Compares 16 bytes at gva (aligned, probed for writing) with `want` and if
 * equal stores v; returns what was there. (mmu.c) */
unsigned __int128 sq_x86_cas16(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, uint64_t gva,
                               unsigned __int128 want, unsigned __int128 v);

#endif

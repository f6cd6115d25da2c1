/* SPDX-License-Identifier: Apache-2.0 */
/* Stack accesses at the current privilege, in any mode. */
#ifndef SQ_SOFT_X86_STACK_H
#define SQ_SOFT_X86_STACK_H

#include "backends/soft/x86_64/mem.h"

#define SEG_ATTR_DB 0x4000u

/* Cuts a stack pointer to the stack's width: 64 bits in 64-bit mode, else
 * by SS.B. */
static inline uint64_t sq_stack_mask(const struct sq_x86_cpu *c, uint64_t sp)
{
    if (SQ_LIKELY(c->code64))
        return sp;
    return c->seg[SEG_SS].attr & SEG_ATTR_DB ? (uint32_t)sp : (uint16_t)sp;
}

/* Sets rSP, keeping the bits above the stack's width. */
static inline void sq_stack_set(struct sq_x86_cpu *c, uint64_t sp)
{
    if (SQ_LIKELY(c->code64))
        c->gpr[R_SP] = sp;
    else if (c->seg[SEG_SS].attr & SEG_ATTR_DB)
        c->gpr[R_SP] = (uint32_t)sp;
    else
        c->gpr[R_SP] = (c->gpr[R_SP] & ~0xffffull) | (uint16_t)sp;
}

static inline uint64_t sq_stack_linear(struct sq_x86_cpu *c,
                                       const struct sq_x86_insn *i,
                                       uint64_t sp, unsigned len,
                                       enum sq_access access)
{
    if (SQ_LIKELY(c->code64))
        return sp;
    return sq_x86_linear(c, i, SEG_SS, sp, len, access);
}

/* Pushes the low `len` (2, 4, 8) bytes of v; rSP changes only after the
 * store could no longer fault. */
static inline void sq_push(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                           uint64_t v, unsigned len)
{
    uint64_t sp = sq_stack_mask(c, c->gpr[R_SP] - len);
    uint64_t gva = sq_stack_linear(c, i, sp, len, ACCESS_W);

    if (SQ_LIKELY(len == 8))
        sq_st64v(c, i, gva, v);
    else if (len == 4)
        sq_st32v(c, i, gva, (uint32_t)v);
    else
        sq_st16v(c, i, gva, (uint16_t)v);
    sq_stack_set(c, sp);
}

/* Reads the value `at` bytes above the stack top without popping. */
static inline uint64_t sq_peek(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, unsigned at,
                               unsigned len)
{
    uint64_t sp = sq_stack_mask(c, c->gpr[R_SP] + at);
    uint64_t gva = sq_stack_linear(c, i, sp, len, ACCESS_R);

    if (SQ_LIKELY(len == 8))
        return sq_ld64v(c, i, gva);
    if (len == 4)
        return sq_ld32v(c, i, gva);
    return sq_ld16v(c, i, gva);
}

static inline uint64_t sq_pop(struct sq_x86_cpu *c,
                              const struct sq_x86_insn *i, unsigned len)
{
    uint64_t v = sq_peek(c, i, 0, len);

    sq_stack_set(c, c->gpr[R_SP] + len);
    return v;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Near control transfers. Each ends its block: it stores the new RIP and
 * returns to the run loop. */
#include "backends/soft/x86_64/ops.h"
#include "backends/soft/x86_64/stack.h"

/* Checks a branch target: canonical in 64-bit mode, within CS's limit
 * elsewhere; cuts it to the operand size. */
static uint64_t target(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint64_t to)
{
    if (SQ_LIKELY(c->code64)) {
        if (SQ_UNLIKELY(!sq_canonical(to)))
            sq_x86_gp(c, i, 0);
        return to;
    }
    to = i->osz == 1 ? (uint16_t)to : (uint32_t)to;
    if (to > c->seg[SEG_CS].limit)
        sq_x86_gp(c, i, 0);
    return to;
}

/* A relative target; imm counts from the block's start. */
static uint64_t relative(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    return target(c, i, c->gpr[SQ_RIP] + i->imm);
}

OP(jmp_J)
{
    c->gpr[SQ_RIP] = relative(c, i);
}
FAM1(jmp_J, jmp_J, NULL)

/* One function a condition, so that each is a few instructions. */
#define JCC(cc)                                                            \
    OP(jcc_##cc)                                                           \
    {                                                                      \
        c->gpr[SQ_RIP] = sq_cond(c, cc) ? relative(c, i)                   \
                                        : sq_next_rip(c, i);               \
    }
JCC(0) JCC(1) JCC(2) JCC(3) JCC(4) JCC(5) JCC(6) JCC(7)
JCC(8) JCC(9) JCC(10) JCC(11) JCC(12) JCC(13) JCC(14) JCC(15)

OP(jcc)
{
    static sq_x86_exec *const by_condition[16] = {
        jcc_0, jcc_1, jcc_2,  jcc_3,  jcc_4,  jcc_5,  jcc_6,  jcc_7,
        jcc_8, jcc_9, jcc_10, jcc_11, jcc_12, jcc_13, jcc_14, jcc_15,
    };
    sq_x86_exec *fn = by_condition[i->imm2 & 15];

    /* The first execution picks the function for all later ones. */
    sq_x86_set_exec(i, fn);
    fn(c, i);
}
FAM1(jcc, jcc, NULL)

/* LOOP and JCXZ count in rCX of the address size. */
static uint64_t count_get(const struct sq_x86_cpu *c,
                          const struct sq_x86_insn *i)
{
    return i->flags & IF_ASZ32   ? (uint32_t)c->gpr[R_CX]
           : i->flags & IF_ASZ16 ? (uint16_t)c->gpr[R_CX]
                                 : c->gpr[R_CX];
}
static void loop_if(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                    bool also)
{
    uint64_t n = count_get(c, i) - 1, to;

    if (i->flags & IF_ASZ32)
        n = (uint32_t)n;
    if (i->flags & IF_ASZ16)
        n = (uint16_t)n;
    to = n && also ? relative(c, i) : sq_next_rip(c, i);
    if (i->flags & IF_ASZ16)
        WR(16, GPR_OFF(R_CX), n);
    else
        c->gpr[R_CX] = n;
    c->gpr[SQ_RIP] = to;
}
OP(loop)
{
    loop_if(c, i, true);
}
OP(loope)
{
    loop_if(c, i, sq_zf(c));
}
OP(loopne)
{
    loop_if(c, i, !sq_zf(c));
}
OP(jcxz)
{
    c->gpr[SQ_RIP] = count_get(c, i) ? sq_next_rip(c, i) : relative(c, i);
}
FAM1(loop, loop, NULL)
FAM1(loope, loope, NULL)
FAM1(loopne, loopne, NULL)
FAM1(jcxz, jcxz, NULL)

OP(call_J)
{
    uint64_t to = relative(c, i);

    sq_push(c, i, sq_next_rip(c, i), 1u << i->osz);
    c->gpr[SQ_RIP] = to;
}
FAM1(call_J, call_J, NULL)

#define INDIRECT(n)                                                        \
    OP(jmp_E_r##n)                                                         \
    {                                                                      \
        c->gpr[SQ_RIP] = target(c, i, RD(n, i->rm));                       \
    }                                                                      \
    OP(jmp_E_m##n)                                                         \
    {                                                                      \
        c->gpr[SQ_RIP] =                                                   \
            target(c, i, LD(n, sq_ea(c, i, n / 8, ACCESS_R)));             \
    }                                                                      \
    OP(call_E_r##n)                                                        \
    {                                                                      \
        uint64_t to = target(c, i, RD(n, i->rm));                          \
                                                                           \
        sq_push(c, i, sq_next_rip(c, i), n / 8);                           \
        c->gpr[SQ_RIP] = to;                                               \
    }                                                                      \
    OP(call_E_m##n)                                                        \
    {                                                                      \
        uint64_t to =                                                      \
            target(c, i, LD(n, sq_ea(c, i, n / 8, ACCESS_R)));             \
                                                                           \
        sq_push(c, i, sq_next_rip(c, i), n / 8);                           \
        c->gpr[SQ_RIP] = to;                                               \
    }                                                                      \
    OP(ret##n)                                                             \
    {                                                                      \
        uint64_t to = target(c, i, sq_peek(c, i, 0, n / 8));               \
                                                                           \
        sq_stack_set(c, c->gpr[R_SP] + n / 8);                             \
        c->gpr[SQ_RIP] = to;                                               \
    }                                                                      \
    OP(ret_I##n)                                                           \
    {                                                                      \
        uint64_t to = target(c, i, sq_peek(c, i, 0, n / 8));               \
                                                                           \
        sq_stack_set(c, c->gpr[R_SP] + n / 8 + i->imm);                    \
        c->gpr[SQ_RIP] = to;                                               \
    }
EACH_V(INDIRECT)
FAM3(jmp_E, jmp_E)
FAM3(call_E, call_E)
const struct sq_x86_family sq_f_ret = {{{NULL, ret16, ret32, ret64}}};
const struct sq_x86_family sq_f_ret_I = {{{NULL, ret_I16, ret_I32, ret_I64}}};

OP(ud)
{
    sq_x86_ud(c, i);
}
FAM1(ud, ud, ud)

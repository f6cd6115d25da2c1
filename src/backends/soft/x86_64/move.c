/* SPDX-License-Identifier: Apache-2.0 */
/* Data movement: MOV and its kin, stack, flags register. */
#include "backends/soft/x86_64/ops.h"
#include "backends/soft/x86_64/stack.h"

#define MOVES(n)                                                           \
    OP(mov_EG_r##n)                                                        \
    {                                                                      \
        WR(n, i->rm, RD(n, i->reg));                                       \
        NEXT;                                                              \
    }                                                                      \
    OP(mov_EG_m##n)                                                        \
    {                                                                      \
        ST(n, sq_ea(c, i, n / 8, ACCESS_W), RD(n, i->reg));                \
        NEXT;                                                              \
    }                                                                      \
    OP(mov_GE_r##n)                                                        \
    {                                                                      \
        WR(n, i->reg, RD(n, i->rm));                                       \
        NEXT;                                                              \
    }                                                                      \
    OP(mov_GE_m##n)                                                        \
    {                                                                      \
        WR(n, i->reg, LD(n, sq_ea(c, i, n / 8, ACCESS_R)));                \
        NEXT;                                                              \
    }                                                                      \
    OP(mov_EI_r##n)                                                        \
    {                                                                      \
        WR(n, i->rm, i->imm);                                              \
        NEXT;                                                              \
    }                                                                      \
    OP(mov_EI_m##n)                                                        \
    {                                                                      \
        ST(n, sq_ea(c, i, n / 8, ACCESS_W), i->imm);                       \
        NEXT;                                                              \
    }                                                                      \
    /* absolute address in imm */                                          \
    OP(mov_AO##n)                                                          \
    {                                                                      \
        uint64_t gva = sq_x86_linear(c, i, i->seg, i->imm, n / 8,          \
                                     ACCESS_R);                            \
                                                                           \
        WR(n, GPR_OFF(R_AX), LD(n, gva));                                  \
        NEXT;                                                              \
    }                                                                      \
    OP(mov_OA##n)                                                          \
    {                                                                      \
        uint64_t gva = sq_x86_linear(c, i, i->seg, i->imm, n / 8,          \
                                     ACCESS_W);                            \
                                                                           \
        ST(n, gva, RD(n, GPR_OFF(R_AX)));                                  \
        NEXT;                                                              \
    }
EACH_SIZE(MOVES)
FAM4(mov_EG, mov_EG)
FAM4(mov_GE, mov_GE)
FAM4(mov_EI, mov_EI)
FAMZ(mov_AO, mov_AO)
FAMZ(mov_OA, mov_OA)
#define CMOV(n)                                                            \
    OP(cmov_r##n)                                                          \
    {                                                                      \
        U(n) v = RD(n, i->rm), old = RD(n, i->reg);                        \
                                                                           \
        /* a 32-bit destination is cleared above even when not moved */    \
        WR(n, i->reg, sq_cond(c, i->imm2 & 15) ? v : old);                 \
        NEXT;                                                              \
    }                                                                      \
    OP(cmov_m##n)                                                          \
    {                                                                      \
        U(n) v = LD(n, sq_ea(c, i, n / 8, ACCESS_R));                      \
        U(n) old = RD(n, i->reg);                                          \
                                                                           \
        WR(n, i->reg, sq_cond(c, i->imm2 & 15) ? v : old);                 \
        NEXT;                                                              \
    }
EACH_V(CMOV)
FAM3(cmov, cmov)

#define EXTEND(n)                                                          \
    OP(movzx8_r##n)                                                        \
    {                                                                      \
        WR(n, i->reg, RD(8, i->rm));                                       \
        NEXT;                                                              \
    }                                                                      \
    OP(movzx8_m##n)                                                        \
    {                                                                      \
        WR(n, i->reg, LD(8, sq_ea(c, i, 1, ACCESS_R)));                    \
        NEXT;                                                              \
    }                                                                      \
    OP(movzx16_r##n)                                                       \
    {                                                                      \
        WR(n, i->reg, RD(16, i->rm));                                      \
        NEXT;                                                              \
    }                                                                      \
    OP(movzx16_m##n)                                                       \
    {                                                                      \
        WR(n, i->reg, LD(16, sq_ea(c, i, 2, ACCESS_R)));                   \
        NEXT;                                                              \
    }                                                                      \
    OP(movsx8_r##n)                                                        \
    {                                                                      \
        WR(n, i->reg, (S(n))(int8_t)RD(8, i->rm));                         \
        NEXT;                                                              \
    }                                                                      \
    OP(movsx8_m##n)                                                        \
    {                                                                      \
        WR(n, i->reg, (S(n))(int8_t)LD(8, sq_ea(c, i, 1, ACCESS_R)));      \
        NEXT;                                                              \
    }                                                                      \
    OP(movsx16_r##n)                                                       \
    {                                                                      \
        WR(n, i->reg, (S(n))(int16_t)RD(16, i->rm));                       \
        NEXT;                                                              \
    }                                                                      \
    OP(movsx16_m##n)                                                       \
    {                                                                      \
        WR(n, i->reg, (S(n))(int16_t)LD(16, sq_ea(c, i, 2, ACCESS_R)));    \
        NEXT;                                                              \
    }
EACH_V(EXTEND)
FAM3(movzx8, movzx8)
FAM3(movzx16, movzx16)
FAM3(movsx8, movsx8)
FAM3(movsx16, movsx16)

/* 63: MOVSXD in 64-bit mode, ARPL elsewhere. */
OP(movsxd_r64)
{
    WR(64, i->reg, (int64_t)(int32_t)RD(32, i->rm));
    NEXT;
}
OP(movsxd_m64)
{
    WR(64, i->reg, (int64_t)(int32_t)LD(32, sq_ea(c, i, 4, ACCESS_R)));
    NEXT;
}
static void arpl(struct sq_x86_cpu *c, uint16_t *dst, uint16_t src)
{
    uint32_t f = sq_status(c) & ~(uint32_t)FL_ZF;

    if ((*dst & 3) < (src & 3)) {
        *dst = (uint16_t)((*dst & ~3) | (src & 3));
        f |= FL_ZF;
    }
    sq_set_status(c, f);
}
OP(movsxd_r32)
{
    if (c->code64) {
        if (i->osz == 1)
            WR(16, i->reg, RD(16, i->rm));
        else
            WR(32, i->reg, RD(32, i->rm));
    } else {
        uint16_t v = RD(16, i->rm);

        if (!(c->cr0 & CR0_PE) || c->rflags & FL_VM)
            sq_x86_ud(c, i);
        arpl(c, &v, RD(16, i->reg));
        WR(16, i->rm, v);
    }
    NEXT;
}
OP(movsxd_m32)
{
    if (c->code64) {
        if (i->osz == 1)
            WR(16, i->reg, LD(16, sq_ea(c, i, 2, ACCESS_R)));
        else
            WR(32, i->reg, LD(32, sq_ea(c, i, 4, ACCESS_R)));
    } else {
        uint64_t gva;
        uint16_t v;
        struct sq_x86_flags before = c->fl, after;

        if (!(c->cr0 & CR0_PE) || c->rflags & FL_VM)
            sq_x86_ud(c, i);
        gva = sq_ea(c, i, 2, ACCESS_RW);
        v = LD(16, gva);
        arpl(c, &v, RD(16, i->reg));
        after = c->fl;
        c->fl = before;
        ST(16, gva, v);
        c->fl = after;
    }
    NEXT;
}
const struct sq_x86_family sq_f_movsxd = {
    {{NULL, movsxd_r32, movsxd_r32, movsxd_r64},
     {NULL, movsxd_m32, movsxd_m32, movsxd_m64}}};

/* LEA: the sum, cut to the address size, then to the operand size. */
static uint64_t lea_value(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    uint64_t v = sq_ea_sum(c, i);

    if (i->flags & IF_RIPREL_RAW)
        v += i->off + i->len;
    if (i->flags & IF_ASZ32)
        return (uint32_t)v;
    if (i->flags & IF_ASZ16)
        return (uint16_t)v;
    return v;
}
OP(lea_m16)
{
    WR(16, i->reg, lea_value(c, i));
    NEXT;
}
OP(lea_m32)
{
    WR(32, i->reg, lea_value(c, i));
    NEXT;
}
OP(lea_m64)
{
    WR(64, i->reg, lea_value(c, i));
    NEXT;
}
const struct sq_x86_family sq_f_lea = {
    {{NULL}, {NULL, lea_m16, lea_m32, lea_m64}}};

OP(cbw16)
{
    WR(16, 0, (int16_t)(int8_t)RD(8, 0));
    NEXT;
}
OP(cbw32)
{
    WR(32, 0, (int32_t)(int16_t)RD(16, 0));
    NEXT;
}
OP(cbw64)
{
    WR(64, 0, (int64_t)(int32_t)RD(32, 0));
    NEXT;
}
OP(cwd16)
{
    WR(16, GPR_OFF(R_DX), (int16_t)RD(16, 0) >> 15);
    NEXT;
}
OP(cwd32)
{
    WR(32, GPR_OFF(R_DX), (int32_t)RD(32, 0) >> 31);
    NEXT;
}
OP(cwd64)
{
    WR(64, GPR_OFF(R_DX), (int64_t)RD(64, 0) >> 63);
    NEXT;
}
const struct sq_x86_family sq_f_cbw = {{{NULL, cbw16, cbw32, cbw64}}};
const struct sq_x86_family sq_f_cwd = {{{NULL, cwd16, cwd32, cwd64}}};

/* The 16-bit form is undefined; processors give zero. */
OP(bswap16)
{
    WR(16, i->rm, 0);
    NEXT;
}
OP(bswap32)
{
    WR(32, i->rm, __builtin_bswap32(RD(32, i->rm)));
    NEXT;
}
OP(bswap64)
{
    WR(64, i->rm, __builtin_bswap64(RD(64, i->rm)));
    NEXT;
}
const struct sq_x86_family sq_f_bswap = {{{NULL, bswap16, bswap32, bswap64}}};

#define MOVBE(n)                                                           \
    OP(movbe_GE_m##n)                                                      \
    {                                                                      \
        WR(n, i->reg, __builtin_bswap##n(                                  \
                          LD(n, sq_ea(c, i, n / 8, ACCESS_R))));           \
        NEXT;                                                              \
    }                                                                      \
    OP(movbe_EG_m##n)                                                      \
    {                                                                      \
        ST(n, sq_ea(c, i, n / 8, ACCESS_W),                                \
           __builtin_bswap##n(RD(n, i->reg)));                             \
        NEXT;                                                              \
    }
EACH_V(MOVBE)
const struct sq_x86_family sq_f_movbe_GE = {
    {{NULL}, {NULL, movbe_GE_m16, movbe_GE_m32, movbe_GE_m64}}};
const struct sq_x86_family sq_f_movbe_EG = {
    {{NULL}, {NULL, movbe_EG_m16, movbe_EG_m32, movbe_EG_m64}}};

OP(movnti_m32)
{
    ST(32, sq_ea(c, i, 4, ACCESS_W), RD(32, i->reg));
    NEXT;
}
OP(movnti_m64)
{
    ST(64, sq_ea(c, i, 8, ACCESS_W), RD(64, i->reg));
    NEXT;
}
const struct sq_x86_family sq_f_movnti = {
    {{NULL}, {NULL, NULL, movnti_m32, movnti_m64}}};

OP(setcc_r8)
{
    WR(8, i->rm, sq_cond(c, i->imm2 & 15));
    NEXT;
}
OP(setcc_m8)
{
    ST(8, sq_ea(c, i, 1, ACCESS_W), sq_cond(c, i->imm2 & 15));
    NEXT;
}
const struct sq_x86_family sq_f_setcc = {{{setcc_r8}, {setcc_m8}}};

OP(xlat8)
{
    uint64_t off = c->gpr[R_BX] + RD(8, 0);

    if (i->flags & IF_ASZ32)
        off = (uint32_t)off;
    if (i->flags & IF_ASZ16)
        off = (uint16_t)off;
    WR(8, 0, LD(8, sq_x86_linear(c, i, i->seg, off, 1, ACCESS_R)));
    NEXT;
}
const struct sq_x86_family sq_f_xlat = {{{xlat8}}};

/* --- stack ----------------------------------------------------------- */

#define STACK_OPS(n)                                                       \
    OP(push_E_r##n)                                                        \
    {                                                                      \
        sq_push(c, i, RD(n, i->rm), n / 8);                                \
        NEXT;                                                              \
    }                                                                      \
    OP(push_E_m##n)                                                        \
    {                                                                      \
        sq_push(c, i, LD(n, sq_ea(c, i, n / 8, ACCESS_R)), n / 8);         \
        NEXT;                                                              \
    }                                                                      \
    OP(pop_E_r##n)                                                         \
    {                                                                      \
        U(n) v = (U(n))sq_pop(c, i, n / 8);                                \
                                                                           \
        WR(n, i->rm, v);                                                   \
        NEXT;                                                              \
    }                                                                      \
    /* The address is computed with the stack pointer after the pop. */    \
    OP(pop_E_m##n)                                                         \
    {                                                                      \
        uint64_t sp = c->gpr[R_SP], popped;                                \
        U(n) v = (U(n))sq_pop(c, i, n / 8);                                \
        uint64_t gva;                                                      \
                                                                           \
        popped = c->gpr[R_SP];                                             \
        c->pop_rsp = sp;                                                   \
        c->pop_active = true;                                              \
        gva = sq_ea(c, i, n / 8, ACCESS_W);                                \
        ST(n, gva, v);                                                     \
        c->pop_active = false;                                             \
        c->gpr[R_SP] = popped;                                             \
        NEXT;                                                              \
    }                                                                      \
    OP(push_I##n)                                                          \
    {                                                                      \
        sq_push(c, i, i->imm, n / 8);                                      \
        NEXT;                                                              \
    }                                                                      \
    OP(leave##n)                                                           \
    {                                                                      \
        uint64_t sp = sq_stack_mask(c, c->gpr[R_BP]);                      \
        U(n) v;                                                            \
                                                                           \
        v = LD(n, sq_stack_linear(c, i, sp, n / 8, ACCESS_R));             \
        sq_stack_set(c, sp + n / 8);                                       \
        WR(n, GPR_OFF(R_BP), v);                                           \
        NEXT;                                                              \
    }                                                                      \
    OP(pushf##n)                                                           \
    {                                                                      \
        if (c->rflags & FL_VM && (c->rflags & FL_IOPL) != FL_IOPL)         \
            sq_x86_gp(c, i, 0);                                            \
        sq_push(c, i, sq_rflags(c) & ~(uint64_t)(FL_RF | FL_VM), n / 8);   \
        NEXT;                                                              \
    }
EACH_V(STACK_OPS)
FAM3(push_E, push_E)
FAM3(pop_E, pop_E)
const struct sq_x86_family sq_f_push_I = {
    {{NULL, push_I16, push_I32, push_I64}}};
const struct sq_x86_family sq_f_leave = {{{NULL, leave16, leave32, leave64}}};
const struct sq_x86_family sq_f_pushf = {{{NULL, pushf16, pushf32, pushf64}}};

/* ENTER (SDM vol. 2): pushes rBP and up to 31 outer frame pointers. */
OP(enter)
{
    unsigned len = 1u << i->osz, level = i->imm2 & 31;
    uint64_t sp = sq_stack_mask(c, c->gpr[R_SP] - len), frame = sp;
    uint64_t bp = c->gpr[R_BP];

    if (len == 2)
        sq_st16v(c, i, sq_stack_linear(c, i, sp, 2, ACCESS_W), (uint16_t)bp);
    else if (len == 4)
        sq_st32v(c, i, sq_stack_linear(c, i, sp, 4, ACCESS_W), (uint32_t)bp);
    else
        sq_st64v(c, i, sq_stack_linear(c, i, sp, 8, ACCESS_W), bp);
    for (unsigned k = 1; k <= level; k++) {
        uint64_t v = frame;

        if (k < level) {
            uint64_t from;

            bp = sq_stack_mask(c, bp - len);
            from = sq_stack_linear(c, i, bp, len, ACCESS_R);
            v = len == 2   ? sq_ld16v(c, i, from)
                : len == 4 ? sq_ld32v(c, i, from)
                           : sq_ld64v(c, i, from);
        }
        sp = sq_stack_mask(c, sp - len);
        sq_st_bytes(c, i, sq_stack_linear(c, i, sp, len, ACCESS_W), &v, len);
    }
    sp = sq_stack_mask(c, sp - i->imm);
    /* The new stack top must be writable (SDM). */
    sq_x86_probe_write(c, i, sq_stack_linear(c, i, sp, 1, ACCESS_W), 1);
    if (len == 2)
        WR(16, GPR_OFF(R_BP), frame);
    else if (len == 4)
        WR(32, GPR_OFF(R_BP), frame);
    else
        WR(64, GPR_OFF(R_BP), frame);
    sq_stack_set(c, sp);
    NEXT;
}
FAM1(enter, enter, NULL)

OP(pusha)
{
    unsigned len = i->osz == 1 ? 2 : 4;
    uint64_t sp = c->gpr[R_SP];

    /* Eight pushes of which none may fault half-way. */
    for (unsigned k = 0; k < 8; k++)
        sq_x86_probe_write(
            c, i, sq_stack_linear(c, i, sq_stack_mask(c, sp - (k + 1) * len),
                                  len, ACCESS_W), len);
    for (unsigned k = 0; k < 8; k++) {
        uint64_t at = sq_stack_mask(c, sp - (k + 1) * len);

        sq_st_bytes(c, i, sq_stack_linear(c, i, at, len, ACCESS_W),
                    &c->gpr[k], len);
    }
    sq_stack_set(c, sp - 8 * len);
    NEXT;
}
FAM1(pusha, pusha, NULL)

OP(popa)
{
    unsigned len = i->osz == 1 ? 2 : 4;
    uint64_t sp = c->gpr[R_SP];
    uint32_t v[8] = {0};

    for (unsigned k = 0; k < 8; k++)
        sq_ld_bytes(c, i,
                    sq_stack_linear(c, i, sq_stack_mask(c, sp + k * len), len,
                                    ACCESS_R), &v[k], len);
    for (unsigned k = 0; k < 8; k++) {
        if (7 - k == R_SP)
            continue;
        if (len == 2)
            WR(16, GPR_OFF(7 - k), v[k]);
        else
            WR(32, GPR_OFF(7 - k), v[k]);
    }
    sq_stack_set(c, sp + 8 * len);
    NEXT;
}
FAM1(popa, popa, NULL)

/* Which bits POPF may change depends on CPL and IOPL (SDM vol. 2). */
OP(popf)
{
    unsigned len = 1u << i->osz;
    uint32_t may = FL_STATUS | FL_TF | FL_DF | FL_NT;
    uint64_t v;

    if (c->rflags & FL_VM && (c->rflags & FL_IOPL) != FL_IOPL)
        sq_x86_gp(c, i, 0);
    v = sq_pop(c, i, len);
    if (len > 2)
        may |= FL_AC | FL_ID;
    if (c->cpl == 0)
        may |= FL_IOPL;
    if (c->cpl <= (c->rflags & FL_IOPL) >> 12)
        may |= FL_IF;
    sq_set_status(c, (uint32_t)v);
    c->rflags = (c->rflags & ~(uint64_t)may) | (v & may & ~FL_STATUS);
    if (len > 2)
        c->rflags &= ~(uint64_t)FL_RF;
    c->gpr[SQ_RIP] = sq_next_rip(c, i);
    sq_x86_irq_recheck(c);
}
FAM1(popf, popf, NULL)

/* --- single flags ---------------------------------------------------- */

OP(sahf)
{
    uint32_t keep = sq_status(c) & FL_OF;

    sq_set_status(c, keep | (RD(8, 1) & (FL_STATUS & ~FL_OF)));
    NEXT;
}
OP(lahf)
{
    WR(8, 1, (sq_status(c) & 0xff) | 2);
    NEXT;
}
OP(cmc)
{
    sq_set_cf(c, !sq_cf(c));
    NEXT;
}
OP(clc)
{
    sq_set_cf(c, false);
    NEXT;
}
OP(stc)
{
    sq_set_cf(c, true);
    NEXT;
}
OP(cld)
{
    c->rflags &= ~(uint64_t)FL_DF;
    NEXT;
}
OP(std)
{
    c->rflags |= FL_DF;
    NEXT;
}
OP(salc)
{
    WR(8, 0, sq_cf(c) ? 0xff : 0);
    NEXT;
}
FAM1(sahf, sahf, NULL)
FAM1(lahf, lahf, NULL)
FAM1(cmc, cmc, NULL)
FAM1(clc, clc, NULL)
FAM1(stc, stc, NULL)
FAM1(cld, cld, NULL)
FAM1(std, std, NULL)
FAM1(salc, salc, NULL)

OP(nop)
{
    NEXT;
}
FAM1(nop, nop, nop)
OP(clflush)
{
    (void)LD(8, sq_ea(c, i, 1, ACCESS_R));
    NEXT;
}
FAM1(clflush, NULL, clflush)
OP(fence)
{
    atomic_thread_fence(memory_order_seq_cst);
    NEXT;
}
FAM1(fence, fence, NULL)

/* SPDX-License-Identifier: Apache-2.0 */
/* Delivery through the IDT (SDM vol. 3, 6.12 to 6.14) and IRET. */
#include "backends/soft/x86_64/debug.h"
#include "backends/soft/x86_64/ops.h"
#include "backends/soft/x86_64/seg.h"
#include "backends/soft/x86_64/stack.h"

/* Error code for faults that name an IDT entry: bit 1 IDT, bit 0 EXT. */
static uint32_t idt_error(unsigned vector, bool soft)
{
    return vector * 8 + 2 + !soft;
}

/* A push on a stack that is not installed yet: supervisor access at the
 * linear address. */
static void push_at(struct sq_x86_cpu *c, uint64_t *sp, uint64_t v,
                    unsigned len, uint64_t base, uint64_t mask)
{
    uint64_t at;

    *sp = (*sp - len) & mask;
    at = base + *sp;
    if (!c->code64 && !(c->efer & EFER_LMA))
        at = (uint32_t)at;
    sq_x86_write_slow(c, NULL, at, &v, len, false);
}

static void deliver_real(struct sq_x86_cpu *c, unsigned vector)
{
    uint16_t ip, cs;

    if (vector * 4 + 3 > c->idtr.limit)
        sq_x86_gp(c, NULL, 0);
    ip = sq_sys_ld16(c, NULL, c->idtr.base + vector * 4);
    cs = sq_sys_ld16(c, NULL, c->idtr.base + vector * 4 + 2);
    sq_push(c, NULL, sq_rflags(c) & 0xffff, 2);
    sq_push(c, NULL, c->seg[SEG_CS].sel, 2);
    sq_push(c, NULL, c->gpr[SQ_RIP] & 0xffff, 2);
    c->rflags &= ~(uint64_t)(FL_IF | FL_TF | FL_AC | FL_RF);
    sq_seg_load_real(c, SEG_CS, cs);
    c->gpr[SQ_RIP] = ip;
    sq_x86_update_mode(c);
}

/* The code segment of a gate: raises #GP/#NP; returns the new CPL. */
static unsigned gate_code(struct sq_x86_cpu *c, uint16_t sel,
                          struct sq_x86_segreg *cs, bool want64)
{
    uint32_t code = sel & ~3u;
    struct sq_desc d;
    uint32_t attr;
    unsigned cpl;

    if (!(sel & ~3u))
        sq_x86_gp(c, NULL, 0);
    if (!sq_desc_read(c, NULL, sel, false, &d))
        sq_x86_gp(c, NULL, code);
    attr = sq_desc_attr(d.lo);
    if ((attr & (ATTR_S | ATTR_CODE)) != (ATTR_S | ATTR_CODE) ||
        sq_desc_dpl(d.lo) > c->cpl ||
        (want64 && (attr & (ATTR_L | ATTR_DB)) != ATTR_L))
        sq_x86_gp(c, NULL, code);
    if (!(attr & ATTR_P))
        sq_x86_raise(c, NULL, EXC_NP, code);
    sq_desc_touch(c, NULL, &d);
    sq_desc_unpack(&d, sel, false, cs);
    cpl = attr & ATTR_CE ? c->cpl : sq_desc_dpl(d.lo);
    cs->sel = (uint16_t)(code | cpl);
    return cpl;
}

static void flags_after(struct sq_x86_cpu *c, bool interrupt_gate)
{
    c->rflags &= ~(uint64_t)(FL_TF | FL_NT | FL_RF | FL_VM);
    if (interrupt_gate)
        c->rflags &= ~(uint64_t)FL_IF;
}

static void deliver_long(struct sq_x86_cpu *c, unsigned vector, bool soft,
                         uint32_t error)
{
    uint64_t lo, hi, rip, sp, old_sp = c->gpr[R_SP];
    uint64_t flags = sq_rflags(c);
    struct sq_x86_segreg cs, ss = c->seg[SEG_SS];
    uint16_t old_ss = ss.sel, old_cs = c->seg[SEG_CS].sel;
    unsigned type, ist, cpl;

    if (vector * 16 + 15 > c->idtr.limit)
        sq_x86_gp(c, NULL, idt_error(vector, soft));
    lo = sq_sys_ld64(c, NULL, c->idtr.base + vector * 16);
    hi = sq_sys_ld64(c, NULL, c->idtr.base + vector * 16 + 8);
    type = lo >> 40 & 31;
    ist = lo >> 32 & 7;
    if ((type != 14 && type != 15) ||
        (soft && sq_desc_dpl(lo) < c->cpl))
        sq_x86_gp(c, NULL, idt_error(vector, soft));
    if (!sq_desc_present(lo))
        sq_x86_raise(c, NULL, EXC_NP, idt_error(vector, soft));
    cpl = gate_code(c, (uint16_t)(lo >> 16), &cs, true);
    rip = (lo & 0xffff) | (lo >> 32 & 0xffff0000) | hi << 32;
    if (!sq_canonical(rip))
        sq_x86_gp(c, NULL, 0);
    if (cpl != c->cpl || ist) {
        sp = sq_tss_rsp(c, NULL, ist ? 3 + ist : cpl);
        if (cpl != c->cpl)
            ss = (struct sq_x86_segreg){
                .sel = (uint16_t)cpl,
                .attr = SQUIB_X86_ATTR_UNUSABLE | cpl << ATTR_DPL_SHIFT};
    } else {
        sp = old_sp;
    }
    if (!sq_canonical(sp))
        sq_x86_raise(c, NULL, EXC_SS, 0);
    sp &= ~15ull;
    push_at(c, &sp, old_ss, 8, 0, UINT64_MAX);
    push_at(c, &sp, old_sp, 8, 0, UINT64_MAX);
    push_at(c, &sp, flags, 8, 0, UINT64_MAX);
    push_at(c, &sp, old_cs, 8, 0, UINT64_MAX);
    push_at(c, &sp, c->gpr[SQ_RIP], 8, 0, UINT64_MAX);
    if (error != NO_ERROR_CODE)
        push_at(c, &sp, error, 8, 0, UINT64_MAX);
    c->gpr[R_SP] = sp;
    sq_seg_set(c, SEG_SS, &ss);
    sq_seg_set(c, SEG_CS, &cs);
    flags_after(c, type == 14);
    sq_x86_set_cpl(c, cpl);
    c->gpr[SQ_RIP] = rip;
    sq_x86_update_mode(c);
}

static void deliver_protected(struct sq_x86_cpu *c, unsigned vector,
                              bool soft, uint32_t error)
{
    uint64_t lo, sp, mask, base, old_sp = c->gpr[R_SP];
    uint64_t flags = sq_rflags(c);
    struct sq_x86_segreg cs, ss = c->seg[SEG_SS];
    uint16_t old_ss = ss.sel, old_cs = c->seg[SEG_CS].sel;
    unsigned type, cpl, len;
    uint32_t eip;
    bool v86 = flags & FL_VM;

    if (vector * 8 + 7 > c->idtr.limit)
        sq_x86_gp(c, NULL, idt_error(vector, soft));
    lo = sq_sys_ld64(c, NULL, c->idtr.base + vector * 8);
    type = lo >> 40 & 31;
    if ((type != 6 && type != 7 && type != 14 && type != 15) ||
        (soft && sq_desc_dpl(lo) < c->cpl))
        sq_x86_gp(c, NULL, idt_error(vector, soft)); /* task gates too */
    if (!sq_desc_present(lo))
        sq_x86_raise(c, NULL, EXC_NP, idt_error(vector, soft));
    len = type & 8 ? 4 : 2;
    eip = (uint32_t)(lo & 0xffff);
    if (len == 4)
        eip |= (uint32_t)(lo >> 32) & 0xffff0000u;
    cpl = gate_code(c, (uint16_t)(lo >> 16), &cs, false);
    if (v86 && cpl != 0)
        sq_x86_gp(c, NULL, cs.sel & ~3u);
    if (eip > cs.limit)
        sq_x86_gp(c, NULL, 0);
    if (cpl != c->cpl) {
        uint16_t sel;
        uint32_t esp;

        sq_tss_stack(c, NULL, cpl, &sel, &esp);
        sq_seg_check_ss(c, NULL, sel, cpl, EXC_TS, &ss);
        sp = esp;
    } else {
        sp = old_sp;
    }
    mask = ss.attr & ATTR_DB ? 0xffffffffu : 0xffffu;
    base = ss.base;
    sp &= mask;
    if (v86) {
        static const uint8_t order[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};

        for (size_t k = 0; k < sizeof(order); k++)
            push_at(c, &sp, c->seg[order[k]].sel, len, base, mask);
    }
    if (cpl != c->cpl) {
        push_at(c, &sp, old_ss, len, base, mask);
        push_at(c, &sp, old_sp, len, base, mask);
    }
    push_at(c, &sp, flags, len, base, mask);
    push_at(c, &sp, old_cs, len, base, mask);
    push_at(c, &sp, c->gpr[SQ_RIP], len, base, mask);
    if (error != NO_ERROR_CODE)
        push_at(c, &sp, error, len, base, mask);
    flags_after(c, !(type & 1));
    if (v86) {
        static const struct sq_x86_segreg null = {
            .attr = SQUIB_X86_ATTR_UNUSABLE};

        sq_seg_set(c, SEG_GS, &null);
        sq_seg_set(c, SEG_FS, &null);
        sq_seg_set(c, SEG_DS, &null);
        sq_seg_set(c, SEG_ES, &null);
    }
    sq_seg_set(c, SEG_SS, &ss);
    sq_seg_set(c, SEG_CS, &cs);
    sq_x86_set_cpl(c, cpl);
    sq_stack_set(c, sp);
    c->gpr[SQ_RIP] = eip;
    sq_x86_update_mode(c);
}

void sq_x86_interrupt(struct sq_x86_cpu *c, unsigned vector, bool soft,
                      uint32_t error)
{
    if (!(c->cr0 & CR0_PE)) {
        deliver_real(c, vector);
    } else if (c->efer & EFER_LMA) {
        deliver_long(c, vector, soft, error);
    } else {
        if (c->rflags & FL_VM && soft &&
            (c->rflags & FL_IOPL) != FL_IOPL)
            sq_x86_gp(c, NULL, 0);
        deliver_protected(c, vector, soft, error);
    }
}

/* --- software interrupts --------------------------------------------- */

/* Faults while delivering must report the INT instruction; those of the
 * delivery use gpr[SQ_RIP], so it goes back on a fault (run.c does it by
 * c->soft_int_rip). */
static void soft_interrupt(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                           unsigned vector)
{
    uint64_t rip = sq_insn_rip(c, i), next = sq_next_rip(c, i);

    c->soft_int_rip = rip;
    c->soft_int = true;
    c->gpr[SQ_RIP] = next;
    sq_x86_interrupt(c, vector, true, NO_ERROR_CODE);
    c->soft_int = false;
    c->no_step = true;
}
OP(int_I)
{
    soft_interrupt(c, i, (unsigned)i->imm);
}
OP(int3)
{
    sq_x86_debug_int3(c, i);
    soft_interrupt(c, i, EXC_BP);
}
bool sq_x86_is_int3(const struct sq_x86_insn *i)
{
    return i->exec == int3;
}
OP(into)
{
    if (sq_of(c))
        soft_interrupt(c, i, EXC_OF);
    else
        c->gpr[SQ_RIP] = sq_next_rip(c, i);
}
/* INT1 delivers #DB without a privilege check. */
OP(int1)
{
    c->gpr[SQ_RIP] = sq_next_rip(c, i);
    sq_x86_debug_raise(c, NULL, 0);
}
FAM1(int_I, int_I, NULL)
FAM1(int3, int3, NULL)
FAM1(into, into, NULL)
FAM1(int1, int1, NULL)

OP(bound)
{
    unsigned len = 1u << i->osz;
    uint64_t gva = sq_ea(c, i, 2 * len, ACCESS_R);
    int64_t v, lo, hi;

    if (len == 2) {
        v = (int16_t)RD(16, i->reg);
        lo = (int16_t)LD(16, gva);
        hi = (int16_t)LD(16, gva + 2);
    } else {
        v = (int32_t)RD(32, i->reg);
        lo = (int32_t)LD(32, gva);
        hi = (int32_t)LD(32, gva + 4);
    }
    if (v < lo || v > hi)
        sq_x86_raise(c, i, EXC_BR, NO_ERROR_CODE);
    NEXT;
}
FAM1(bound, NULL, bound)

/* --- IRET ------------------------------------------------------------ */

/* Flags that IRET may change at the CPL that executes it. */
static void iret_flags(struct sq_x86_cpu *c, uint64_t v, unsigned len,
                       unsigned cpl)
{
    uint32_t may = FL_TF | FL_DF | FL_NT;

    if (len > 2)
        may |= FL_RF | FL_AC | FL_ID;
    if (cpl == 0) {
        may |= FL_IOPL;
        if (len > 2)
            may |= FL_VIF | FL_VIP;
    }
    if (cpl <= (c->rflags & FL_IOPL) >> 12)
        may |= FL_IF;
    sq_set_status(c, (uint32_t)v);
    c->rflags = (c->rflags & ~(uint64_t)may) | (v & may);
}

static void iret_to_v86(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        uint64_t eip, uint16_t cs, uint64_t flags)
{
    static const uint8_t order[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    uint64_t esp = sq_peek(c, i, 12, 4);
    uint16_t ss = (uint16_t)sq_peek(c, i, 16, 4), sel[4];

    for (unsigned k = 0; k < 4; k++)
        sel[k] = (uint16_t)sq_peek(c, i, 20 + 4 * k, 4);
    sq_set_status(c, (uint32_t)flags);
    c->rflags = flags & (FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF |
                         FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID);
    for (unsigned k = 0; k < 4; k++)
        sq_seg_load_real(c, order[k], sel[k]);
    sq_seg_load_real(c, SEG_SS, ss);
    sq_seg_load_real(c, SEG_CS, cs);
    c->gpr[R_SP] = (uint32_t)esp;
    sq_x86_set_cpl(c, 3);
    c->gpr[SQ_RIP] = (uint16_t)eip;
    sq_x86_update_mode(c);
}

/* After a return to less privilege, data segments that it may not use are
 * emptied (SDM vol. 2, RET/IRET). */
static void drop_segments(struct sq_x86_cpu *c, unsigned cpl)
{
    static const uint8_t which[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

    for (size_t k = 0; k < sizeof(which); k++) {
        struct sq_x86_segreg *s = &c->seg[which[k]];
        bool conforming = (s->attr & (ATTR_CODE | ATTR_CE)) ==
                          (ATTR_CODE | ATTR_CE);

        if (!(s->attr & SQUIB_X86_ATTR_UNUSABLE) && !conforming &&
            (s->attr & ATTR_DPL) >> ATTR_DPL_SHIFT < cpl) {
            s->sel = 0;
            s->attr = SQUIB_X86_ATTR_UNUSABLE;
        }
    }
}

/* The code segment to return to: raises #GP or #NP. */
static void return_code(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        uint16_t sel, struct sq_x86_segreg *cs)
{
    uint32_t code = sel & ~3u, attr;
    unsigned rpl = sel & 3;
    struct sq_desc d;

    if (!(sel & ~3u))
        sq_x86_gp(c, i, 0);
    if (!sq_desc_read(c, i, sel, false, &d))
        sq_x86_gp(c, i, code);
    attr = sq_desc_attr(d.lo);
    if ((attr & (ATTR_S | ATTR_CODE)) != (ATTR_S | ATTR_CODE) ||
        rpl < c->cpl ||
        (attr & ATTR_CE ? sq_desc_dpl(d.lo) > rpl
                        : sq_desc_dpl(d.lo) != rpl) ||
        (c->efer & EFER_LMA &&
         (attr & (ATTR_L | ATTR_DB)) == (ATTR_L | ATTR_DB)))
        sq_x86_gp(c, i, code);
    if (!(attr & ATTR_P))
        sq_x86_raise(c, i, EXC_NP, code);
    sq_desc_touch(c, i, &d);
    sq_desc_unpack(&d, sel, false, cs);
}

void sq_x86_far_return(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       unsigned len, unsigned ss_at, bool take_ss,
                       uint64_t extra, bool iret, uint64_t flags)
{
    uint64_t rip = sq_peek(c, i, 0, len), sp;
    uint16_t sel = (uint16_t)sq_peek(c, i, len, len);
    unsigned rpl = sel & 3, old_cpl = c->cpl;
    struct sq_x86_segreg cs, ss = c->seg[SEG_SS];
    bool outer, to64;

    return_code(c, i, sel, &cs);
    outer = rpl > c->cpl;
    to64 = c->efer & EFER_LMA && cs.attr & ATTR_L;
    if (to64 ? !sq_canonical(rip)
             : rip > cs.limit)
        sq_x86_gp(c, i, 0);
    if (outer || take_ss) {
        uint16_t ss_sel = (uint16_t)sq_peek(c, i, ss_at + len, len);

        sp = sq_peek(c, i, ss_at, len);
        if (!(ss_sel & ~3u)) {
            if (!to64 || rpl == 3 || (ss_sel & 3u) != rpl)
                sq_x86_gp(c, i, 0);
            ss = (struct sq_x86_segreg){
                .sel = ss_sel, .attr = SQUIB_X86_ATTR_UNUSABLE |
                                       rpl << ATTR_DPL_SHIFT};
        } else {
            sq_seg_check_ss(c, i, ss_sel, rpl, EXC_GP, &ss);
        }
        sp += extra;
    } else {
        sp = c->gpr[R_SP] + ss_at + extra;
    }
    if (iret)
        iret_flags(c, flags, len, old_cpl);
    sq_seg_set(c, SEG_CS, &cs);
    if (outer || take_ss) {
        sq_seg_set(c, SEG_SS, &ss);
        sq_x86_set_cpl(c, rpl);
        if (outer)
            drop_segments(c, rpl);
        sq_x86_update_mode(c);
        if (c->code64)
            c->gpr[R_SP] = sp;
        else
            sq_stack_set(c, sp);
    } else {
        sq_stack_set(c, sp);
        sq_x86_update_mode(c);
    }
    c->gpr[SQ_RIP] = rip;
}

OP(iret)
{
    unsigned len = 1u << i->osz;
    uint64_t flags;

    if (c->rflags & FL_VM && (c->rflags & FL_IOPL) != FL_IOPL)
        sq_x86_gp(c, i, 0);
    flags = sq_peek(c, i, 2 * len, len);
    if (!sq_protected(c)) {
        uint64_t ip = sq_peek(c, i, 0, len);
        uint16_t cs = (uint16_t)sq_peek(c, i, len, len);

        if (ip > 0xffff)
            sq_x86_gp(c, i, 0);
        sq_stack_set(c, c->gpr[R_SP] + 3 * len);
        sq_seg_load_real(c, SEG_CS, cs);
        iret_flags(c, flags, len,
                   c->rflags & FL_VM ? 3 : 0);
        c->gpr[SQ_RIP] = ip;
        sq_x86_update_mode(c);
    } else if (c->rflags & FL_NT) {
        sq_x86_gp(c, i, 0); /* return to a task: none exist here */
    } else if (len == 4 && flags & FL_VM && c->cpl == 0 &&
               !(c->efer & EFER_LMA)) {
        iret_to_v86(c, i, sq_peek(c, i, 0, 4),
                    (uint16_t)sq_peek(c, i, 4, 4), flags);
    } else {
        sq_x86_far_return(c, i, len, 3 * len, c->code64, 0, true, flags);
    }
    c->nmi_blocked = false;
    sq_x86_debug_settle_rf(c);
    sq_x86_irq_recheck(c);
}
FAM1(iret, iret, NULL)

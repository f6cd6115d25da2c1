/* SPDX-License-Identifier: Apache-2.0 */
/* Far jumps, calls and returns; SYSCALL, SYSENTER and their returns. */
#include "backends/soft/x86_64/ops.h"
#include "backends/soft/x86_64/seg.h"
#include "backends/soft/x86_64/stack.h"

/* --- far transfers --------------------------------------------------- */

/* A code segment as the target of JMP or CALL without a gate. */
static void direct_code(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        uint16_t sel, struct sq_desc *d,
                        struct sq_x86_segreg *cs)
{
    uint32_t code = sel & ~3u, attr = sq_desc_attr(d->lo);
    unsigned dpl = sq_desc_dpl(d->lo);

    if (attr & ATTR_CE ? dpl > c->cpl
                       : dpl != c->cpl || (sel & 3u) > c->cpl)
        sq_x86_gp(c, i, code);
    if (c->efer & EFER_LMA &&
        (attr & (ATTR_L | ATTR_DB)) == (ATTR_L | ATTR_DB))
        sq_x86_gp(c, i, code);
    if (!(attr & ATTR_P))
        sq_x86_raise(c, i, EXC_NP, code);
    sq_desc_touch(c, i, d);
    sq_desc_unpack(d, sel, false, cs);
    cs->sel = (uint16_t)(code | c->cpl);
}

static void check_entry(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        const struct sq_x86_segreg *cs, uint64_t rip)
{
    if (c->efer & EFER_LMA && cs->attr & ATTR_L) {
        if (!sq_canonical(rip))
            sq_x86_gp(c, i, 0);
    } else if (rip > cs->limit) {
        sq_x86_gp(c, i, 0);
    }
}

/* Call gates: same privilege or more; parameter copies for 16- and 32-bit
 * ones (SDM vol. 3, 5.8.3 to 5.8.5). */
static void through_gate(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         uint16_t sel, struct sq_desc *g, bool call)
{
    bool lma = c->efer & EFER_LMA;
    unsigned type = g->lo >> 40 & 15, dpl = sq_desc_dpl(g->lo);
    unsigned len = lma ? 8 : type == 12 ? 4 : 2;
    uint16_t code_sel = (uint16_t)(g->lo >> 16);
    unsigned params = lma ? 0 : g->lo >> 32 & 31, cpl;
    uint64_t rip = (g->lo & 0xffff) |
                   (len > 2 ? g->lo >> 32 & 0xffff0000u : 0);
    uint64_t next = sq_next_rip(c, i);
    struct sq_x86_segreg cs, ss;
    struct sq_desc d;
    uint32_t attr;

    if (dpl < c->cpl || dpl < (sel & 3u))
        sq_x86_gp(c, i, sel & ~3u);
    if (!sq_desc_present(g->lo))
        sq_x86_raise(c, i, EXC_NP, sel & ~3u);
    if (lma) {
        sq_desc_read(c, i, sel, true, g);
        rip |= g->hi << 32;
    }
    if (!(code_sel & ~3u))
        sq_x86_gp(c, i, 0);
    if (!sq_desc_read(c, i, code_sel, false, &d))
        sq_x86_gp(c, i, code_sel & ~3u);
    attr = sq_desc_attr(d.lo);
    cpl = sq_desc_dpl(d.lo);
    if ((attr & (ATTR_S | ATTR_CODE)) != (ATTR_S | ATTR_CODE) ||
        cpl > c->cpl || (!call && !(attr & ATTR_CE) && cpl != c->cpl) ||
        (lma && (attr & (ATTR_L | ATTR_DB)) != ATTR_L))
        sq_x86_gp(c, i, code_sel & ~3u);
    if (!(attr & ATTR_P))
        sq_x86_raise(c, i, EXC_NP, code_sel & ~3u);
    if (attr & ATTR_CE || !call)
        cpl = c->cpl;
    sq_desc_unpack(&d, code_sel, false, &cs);
    cs.sel = (uint16_t)((code_sel & ~3u) | cpl);
    check_entry(c, i, &cs, rip);
    if (call && cpl < c->cpl) {
        uint64_t sp, old_sp = c->gpr[R_SP], words[31], mask;
        uint16_t old_ss = c->seg[SEG_SS].sel;
        unsigned bytes = (4 + params) * len;

        for (unsigned k = 0; k < params; k++)
            words[k] = sq_peek(c, i, k * len, len);
        if (lma) {
            sp = sq_tss_rsp(c, i, cpl);
            ss = (struct sq_x86_segreg){
                .sel = (uint16_t)cpl,
                .attr = SQUIB_X86_ATTR_UNUSABLE | cpl << ATTR_DPL_SHIFT};
            mask = UINT64_MAX;
        } else {
            uint16_t new_ss;
            uint32_t esp;

            sq_tss_stack(c, i, cpl, &new_ss, &esp);
            sq_seg_check_ss(c, i, new_ss, cpl, EXC_TS, &ss);
            sp = esp;
            mask = ss.attr & ATTR_DB ? 0xffffffffu : 0xffffu;
        }
        /* write with supervisor rights at the new stack, top down */
        {
            uint64_t v[36];
            unsigned n = 0;

            v[n++] = old_ss;
            v[n++] = old_sp;
            for (unsigned k = params; k-- > 0;)
                v[n++] = words[k];
            v[n++] = c->seg[SEG_CS].sel;
            v[n++] = next;
            for (unsigned k = 0; k < n; k++) {
                uint64_t at = ss.base + ((sp - (k + 1) * len) & mask);

                sq_x86_write_slow(c, i, lma ? at : (uint32_t)at, &v[k], len,
                                  false);
            }
        }
        sq_desc_touch(c, i, &d);
        sq_seg_set(c, SEG_SS, &ss);
        sq_seg_set(c, SEG_CS, &cs);
        sq_x86_set_cpl(c, cpl);
        sq_x86_update_mode(c);
        sq_stack_set(c, (sp - bytes) & mask);
    } else {
        if (call) {
            sq_x86_probe_write(
                c, i, sq_stack_linear(c, i,
                                      sq_stack_mask(c, c->gpr[R_SP] -
                                                           2 * len),
                                      2 * len, ACCESS_W), 2 * len);
            sq_push(c, i, c->seg[SEG_CS].sel, len);
            sq_push(c, i, next, len);
        }
        sq_desc_touch(c, i, &d);
        sq_seg_set(c, SEG_CS, &cs);
        sq_x86_update_mode(c);
    }
    c->gpr[SQ_RIP] = rip;
}

static void far_transfer(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         uint16_t sel, uint64_t rip, bool call)
{
    unsigned len = 1u << i->osz;
    uint64_t next = sq_next_rip(c, i);
    struct sq_x86_segreg cs;
    struct sq_desc d;
    uint32_t attr;

    if (call)
        sq_x86_probe_write(
            c, i, sq_stack_linear(c, i,
                                  sq_stack_mask(c, c->gpr[R_SP] - 2 * len),
                                  2 * len, ACCESS_W), 2 * len);
    if (!sq_protected(c)) {
        if (rip > 0xffff && !(c->rflags & FL_VM) &&
            rip > c->seg[SEG_CS].limit)
            sq_x86_gp(c, i, 0);
        if (call) {
            sq_push(c, i, c->seg[SEG_CS].sel, len);
            sq_push(c, i, next, len);
        }
        sq_seg_load_real(c, SEG_CS, sel);
        c->gpr[SQ_RIP] = rip;
        sq_x86_update_mode(c);
        return;
    }
    if (!(sel & ~3u))
        sq_x86_gp(c, i, 0);
    if (!sq_desc_read(c, i, sel, false, &d))
        sq_x86_gp(c, i, sel & ~3u);
    attr = sq_desc_attr(d.lo);
    if (!(attr & ATTR_S)) {
        unsigned type = attr & ATTR_TYPE;

        if (type == 12 || (type == 4 && !(c->efer & EFER_LMA))) {
            through_gate(c, i, sel, &d, call);
            return;
        }
        sq_x86_gp(c, i, sel & ~3u); /* tasks are not supported */
    }
    if (!(attr & ATTR_CODE))
        sq_x86_gp(c, i, sel & ~3u);
    direct_code(c, i, sel, &d, &cs);
    check_entry(c, i, &cs, rip);
    if (call) {
        sq_push(c, i, c->seg[SEG_CS].sel, len);
        sq_push(c, i, next, len);
    }
    sq_seg_set(c, SEG_CS, &cs);
    c->gpr[SQ_RIP] = rip;
    sq_x86_update_mode(c);
}

OP(jmp_far)
{
    far_transfer(c, i, (uint16_t)i->disp, i->imm, false);
}
OP(call_far)
{
    far_transfer(c, i, (uint16_t)i->disp, i->imm, true);
}
static void far_memory(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       bool call)
{
    unsigned len = 1u << i->osz;
    uint64_t rip = 0, gva = sq_ea(c, i, len + 2, ACCESS_R);

    sq_ld_bytes(c, i, gva, &rip, len);
    far_transfer(c, i, LD(16, gva + len), rip, call);
}
OP(jmp_far_M)
{
    far_memory(c, i, false);
}
OP(call_far_M)
{
    far_memory(c, i, true);
}
FAM1(jmp_far, jmp_far, NULL)
FAM1(call_far, call_far, NULL)
FAM1(jmp_far_M, NULL, jmp_far_M)
FAM1(call_far_M, NULL, call_far_M)

static void ret_far_by(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint64_t extra)
{
    unsigned len = 1u << i->osz;

    if (!sq_protected(c)) {
        uint64_t ip = sq_peek(c, i, 0, len);
        uint16_t cs = (uint16_t)sq_peek(c, i, len, len);

        sq_stack_set(c, c->gpr[R_SP] + 2 * len + extra);
        sq_seg_load_real(c, SEG_CS, cs);
        c->gpr[SQ_RIP] = ip;
        sq_x86_update_mode(c);
        return;
    }
    if ((sq_peek(c, i, len, len) & 3) > c->cpl) {
        /* outer: the arguments lie before SS:rSP, and are dropped from the
         * caller's stack too */
        sq_x86_far_return(c, i, len, 2 * len + (unsigned)extra, false,
                          extra, false, 0);
    } else {
        sq_x86_far_return(c, i, len, 2 * len, false, extra, false, 0);
    }
}
OP(ret_far)
{
    ret_far_by(c, i, 0);
}
OP(ret_far_I)
{
    ret_far_by(c, i, i->imm);
}
FAM1(ret_far, ret_far, NULL)
FAM1(ret_far_I, ret_far_I, NULL)

/* --- fast system calls ----------------------------------------------- */

#define ATTR_CODE64 0xa09bu /* G L P DPL0 code, read, accessed */
#define ATTR_CODE32 0xc09bu
#define ATTR_DATA32 0xc093u
#define DPL3 0x60u

static void enter_kernel(struct sq_x86_cpu *c, uint16_t cs_sel,
                         uint16_t ss_sel, bool code64, uint64_t rip)
{
    struct sq_x86_segreg cs =
        sq_seg_flat(cs_sel, code64 ? ATTR_CODE64 : ATTR_CODE32);
    struct sq_x86_segreg ss = sq_seg_flat(ss_sel, ATTR_DATA32);

    sq_seg_set(c, SEG_CS, &cs);
    sq_seg_set(c, SEG_SS, &ss);
    sq_x86_set_cpl(c, 0);
    c->gpr[SQ_RIP] = rip;
    sq_x86_update_mode(c);
}

static void enter_user(struct sq_x86_cpu *c, uint16_t cs_sel,
                       uint16_t ss_sel, bool code64, uint64_t rip)
{
    struct sq_x86_segreg cs = sq_seg_flat(
        (uint16_t)(cs_sel | 3), (code64 ? ATTR_CODE64 : ATTR_CODE32) | DPL3);
    struct sq_x86_segreg ss =
        sq_seg_flat((uint16_t)(ss_sel | 3), ATTR_DATA32 | DPL3);

    sq_seg_set(c, SEG_CS, &cs);
    sq_seg_set(c, SEG_SS, &ss);
    sq_x86_set_cpl(c, 3);
    c->gpr[SQ_RIP] = rip;
    sq_x86_update_mode(c);
}

OP(syscall)
{
    uint64_t next = sq_next_rip(c, i);
    uint16_t cs = (uint16_t)(c->star >> 32) & 0xfffc;

    if (!(c->efer & EFER_SCE) || !sq_protected(c))
        sq_x86_ud(c, i);
    if (!(c->efer & EFER_LMA)) { /* AMD's legacy-mode form */
        c->gpr[R_CX] = (uint32_t)next;
        c->rflags &= ~(uint64_t)(FL_IF | FL_VM | FL_RF);
        enter_kernel(c, cs, (uint16_t)(cs + 8), false, (uint32_t)c->star);
        return;
    }
    c->gpr[R_CX] = next;
    c->gpr[11] = sq_rflags(c) & ~(uint64_t)FL_RF;
    sq_set_status(c, sq_status(c) & ~(uint32_t)c->fmask);
    c->rflags &= ~(c->fmask | FL_RF);
    c->no_step = !(c->rflags & FL_TF);
    enter_kernel(c, cs, (uint16_t)(cs + 8), true,
                 c->code64 ? c->lstar : c->cstar);
}
FAM1(syscall, syscall, NULL)

OP(sysret)
{
    uint16_t base = (uint16_t)(c->star >> 48);
    bool to64 = i->osz == 3;
    uint64_t rip = to64 ? c->gpr[R_CX] : (uint32_t)c->gpr[R_CX];

    if (!(c->efer & EFER_SCE) || !sq_protected(c))
        sq_x86_ud(c, i);
    if (c->cpl != 0 ||
        (to64 && !sq_canonical(rip)))
        sq_x86_gp(c, i, 0);
    if (c->efer & EFER_LMA) {
        uint64_t f = c->gpr[11] & (FL_STATUS | FL_TF | FL_IF | FL_DF |
                                   FL_IOPL | FL_NT | FL_AC | FL_VIF |
                                   FL_VIP | FL_ID);

        sq_set_status(c, (uint32_t)f);
        c->rflags = f & ~(uint64_t)FL_STATUS;
    } else {
        c->rflags |= FL_IF;
    }
    enter_user(c, (uint16_t)(base + (to64 ? 16 : 0)), (uint16_t)(base + 8),
               to64, rip);
    sq_x86_irq_recheck(c);
    /* The flag that comes back counts at once, and it alone. */
    if (c->rflags & FL_TF)
        sq_x86_step_trap(c);
    c->no_step = true;
}
FAM1(sysret, sysret, NULL)

OP(sysenter)
{
    uint16_t cs = (uint16_t)c->sysenter_cs & 0xfffc;
    bool lma = c->efer & EFER_LMA;

    if (!sq_protected(c) || !cs)
        sq_x86_gp(c, i, 0);
    c->rflags &= ~(uint64_t)(FL_IF | FL_VM | FL_RF);
    c->gpr[R_SP] = lma ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
    enter_kernel(c, cs, (uint16_t)(cs + 8), lma,
                 lma ? c->sysenter_eip : (uint32_t)c->sysenter_eip);
}
FAM1(sysenter, sysenter, NULL)

OP(sysexit)
{
    uint16_t cs = (uint16_t)c->sysenter_cs & 0xfffc;
    bool to64 = i->osz == 3;
    uint64_t rip = to64 ? c->gpr[R_DX] : (uint32_t)c->gpr[R_DX];
    uint64_t rsp = to64 ? c->gpr[R_CX] : (uint32_t)c->gpr[R_CX];

    if (!sq_protected(c) || !cs || c->cpl != 0 ||
        !sq_canonical(rip) ||
        !sq_canonical(rsp))
        sq_x86_gp(c, i, 0);
    c->gpr[R_SP] = rsp;
    enter_user(c, (uint16_t)(cs + (to64 ? 32 : 16)),
               (uint16_t)(cs + (to64 ? 40 : 24)), to64, rip);
    sq_x86_irq_recheck(c);
}
FAM1(sysexit, sysexit, NULL)

/* SPDX-License-Identifier: Apache-2.0 */
/* Segmentation (SDM vol. 3, chapters 3 and 5). */
#include "backends/soft/x86_64/seg.h"

#include "backends/soft/x86_64/lockstep.h"
#include "backends/soft/x86_64/ops.h"
#include "backends/soft/x86_64/stack.h"

/* --- mode and privilege ---------------------------------------------- */

void sq_x86_update_mode(struct sq_x86_cpu *c)
{
    const struct sq_x86_segreg *cs = &c->seg[SEG_CS];
    uint8_t mode = MODE_16;

    if (c->efer & EFER_LMA && cs->attr & ATTR_L)
        mode = MODE_64;
    else if (cs->attr & ATTR_DB && sq_protected(c))
        mode = MODE_32;
    if (mode != c->mode)
        sq_x86_jc_flush(c); /* its keys do not tell modes apart */
    c->mode = mode;
    c->code64 = mode == MODE_64;
    c->fetch_base = c->code64 ? 0 : cs->base;
    for (unsigned s = 0; s < 8; s++)
        c->segbase[s] = s == SEG_FS || s == SEG_GS ? c->seg[s].base : 0;
}

void sq_x86_set_cpl(struct sq_x86_cpu *c, unsigned cpl)
{
    c->cpl = (uint8_t)cpl;
    c->tlb = SQ_LIKELY(!c->lockstep) ? c->tlbs[cpl == 3]
                                     : sq_lockstep_tlb(c);
    c->jc_key = (uint64_t)c->jc_gen[cpl == 3] << 48;
}

/* --- linear addresses outside the fast path -------------------------- */

_Noreturn static void seg_fault(struct sq_x86_cpu *c,
                                const struct sq_x86_insn *i, unsigned seg)
{
    sq_x86_raise(c, i, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
}

uint64_t sq_x86_linear(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       unsigned seg, uint64_t off, unsigned len,
                       enum sq_access access)
{
    const struct sq_x86_segreg *s;
    uint64_t last = off + len - 1;

    if (c->code64)
        return off + c->segbase[seg];
    s = &c->seg[seg];
    if (s->attr & SQUIB_X86_ATTR_UNUSABLE)
        seg_fault(c, i, seg);
    if (sq_protected(c)) {
        bool code = s->attr & ATTR_CODE;

        if (access != ACCESS_R && (code || !(s->attr & ATTR_RW)))
            seg_fault(c, i, seg);
        if (access != ACCESS_W && code && !(s->attr & ATTR_RW))
            seg_fault(c, i, seg);
        if (!code && s->attr & ATTR_CE) { /* expand down */
            uint64_t top = s->attr & ATTR_DB ? 0xffffffffu : 0xffffu;

            if (off <= s->limit || last > top)
                seg_fault(c, i, seg);
            return (uint32_t)(s->base + off);
        }
    }
    if (last > s->limit)
        seg_fault(c, i, seg);
    return (uint32_t)(s->base + off);
}

uint64_t sq_x86_ea_slow(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        uint64_t sum, unsigned len, enum sq_access access)
{
    /* POP [rSP + n]: the address uses the stack pointer after the pop, and
     * the registers already have it (move.c). */
    if (i->flags & IF_RIPREL_RAW)
        sum += i->off + i->len;
    if (i->flags & IF_ASZ32)
        sum = (uint32_t)sum;
    else if (i->flags & IF_ASZ16)
        sum = (uint16_t)sum;
    return sq_x86_linear(c, i, i->seg, sum, len, access);
}

/* --- descriptors ----------------------------------------------------- */

bool sq_desc_read(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                  uint16_t sel, bool wide, struct sq_desc *d)
{
    uint64_t base = c->gdtr.base, off = sel & ~7u;
    uint32_t limit = c->gdtr.limit;

    if (sel & 4) {
        if (!(c->seg[SEG_LDTR].sel & ~3u))
            return false;
        base = c->seg[SEG_LDTR].base;
        limit = c->seg[SEG_LDTR].limit;
    }
    if (off + (wide ? 15 : 7) > limit)
        return false;
    d->gva = base + off;
    d->lo = sq_sys_ld64(c, i, d->gva);
    d->hi = wide ? sq_sys_ld64(c, i, d->gva + 8) : 0;
    return true;
}

void sq_desc_unpack(const struct sq_desc *d, uint16_t sel, bool wide,
                    struct sq_x86_segreg *out)
{
    uint32_t limit = (uint32_t)(d->lo & 0xffff) |
                     (uint32_t)(d->lo >> 32 & 0xf0000);

    out->sel = sel;
    out->attr = sq_desc_attr(d->lo);
    out->limit = out->attr & ATTR_G ? limit << 12 | 0xfff : limit;
    out->base = (d->lo >> 16 & 0xffffff) | (d->lo >> 56) << 24;
    if (wide)
        out->base |= d->hi << 32;
}

void sq_desc_touch(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                   struct sq_desc *d)
{
    if (d->lo & 1ull << 40)
        return;
    d->lo |= 1ull << 40;
    sq_sys_st8(c, i, d->gva + 5, (uint8_t)(d->lo >> 40));
}

void sq_seg_set(struct sq_x86_cpu *c, unsigned seg,
                const struct sq_x86_segreg *v)
{
    c->seg[seg] = *v;
    if (seg == SEG_FS || seg == SEG_GS)
        c->segbase[seg] = v->base;
}

void sq_seg_load_real(struct sq_x86_cpu *c, unsigned seg, uint16_t sel)
{
    c->seg[seg].sel = sel;
    c->seg[seg].base = (uint64_t)sel << 4;
    if (c->rflags & FL_VM) {
        c->seg[seg].limit = 0xffff;
        c->seg[seg].attr = 0xf3;
    } else {
        /* Real mode keeps the limit ("unreal mode" works). */
        c->seg[seg].attr = 0x93;
    }
    if (seg == SEG_FS || seg == SEG_GS)
        c->segbase[seg] = c->seg[seg].base;
}

struct sq_x86_segreg sq_seg_flat(uint16_t sel, uint32_t attr)
{
    return (struct sq_x86_segreg){
        .limit = 0xffffffff, .attr = attr, .sel = sel};
}

void sq_seg_check_ss(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     uint16_t sel, unsigned cpl, uint8_t vector,
                     struct sq_x86_segreg *out)
{
    uint32_t code = sel & ~3u;
    struct sq_desc d;
    uint32_t attr;

    if (!(sel & ~3u))
        sq_x86_raise(c, i, vector, 0);
    if (!sq_desc_read(c, i, sel, false, &d))
        sq_x86_raise(c, i, vector, code);
    attr = sq_desc_attr(d.lo);
    if ((sel & 3u) != cpl || sq_desc_dpl(d.lo) != cpl ||
        !(attr & ATTR_S) || attr & ATTR_CODE || !(attr & ATTR_RW))
        sq_x86_raise(c, i, vector, code);
    if (!(attr & ATTR_P))
        sq_x86_raise(c, i, EXC_SS, code);
    sq_desc_touch(c, i, &d);
    sq_desc_unpack(&d, sel, false, out);
}

void sq_seg_load(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                 unsigned seg, uint16_t sel)
{
    uint32_t code = sel & ~3u;
    struct sq_x86_segreg v;
    struct sq_desc d;
    uint32_t attr;

    if (!sq_protected(c)) {
        sq_seg_load_real(c, seg, sel);
        return;
    }
    if (!(sel & ~3u)) {
        /* A null selector; in SS only for 64-bit code below CPL 3. */
        if (seg == SEG_SS &&
            (!c->code64 || c->cpl == 3 || (sel & 3u) != c->cpl))
            sq_x86_gp(c, i, 0);
        v = (struct sq_x86_segreg){
            .sel = sel,
            .attr = SQUIB_X86_ATTR_UNUSABLE |
                    (seg == SEG_SS ? (uint32_t)c->cpl << ATTR_DPL_SHIFT
                                   : 0)};
        sq_seg_set(c, seg, &v);
        return;
    }
    if (seg == SEG_SS) {
        sq_seg_check_ss(c, i, sel, c->cpl, EXC_GP, &v);
        sq_seg_set(c, seg, &v);
        return;
    }
    if (!sq_desc_read(c, i, sel, false, &d))
        sq_x86_gp(c, i, code);
    attr = sq_desc_attr(d.lo);
    if (!(attr & ATTR_S) ||
        (attr & (ATTR_CODE | ATTR_RW)) == ATTR_CODE) /* execute-only */
        sq_x86_gp(c, i, code);
    if ((attr & (ATTR_CODE | ATTR_CE)) != (ATTR_CODE | ATTR_CE) &&
        (sq_desc_dpl(d.lo) < (sel & 3u) || sq_desc_dpl(d.lo) < c->cpl))
        sq_x86_gp(c, i, code);
    if (!(attr & ATTR_P))
        sq_x86_raise(c, i, EXC_NP, code);
    sq_desc_touch(c, i, &d);
    sq_desc_unpack(&d, sel, false, &v);
    sq_seg_set(c, seg, &v);
}

/* --- task-state segment ---------------------------------------------- */

uint64_t sq_tss_rsp(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                    unsigned index)
{
    uint32_t off = 4 + index * 8; /* RSP0..2, then reserved, IST1..7 */

    if (off + 7 > c->seg[SEG_TR].limit)
        sq_x86_raise(c, i, EXC_TS, c->seg[SEG_TR].sel & ~3u);
    return sq_sys_ld64(c, i, c->seg[SEG_TR].base + off);
}

void sq_tss_stack(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                  unsigned cpl, uint16_t *ss, uint32_t *esp)
{
    bool wide = c->seg[SEG_TR].attr & 8; /* type 9/11: 32-bit TSS */
    uint32_t off = wide ? 4 + cpl * 8 : 2 + cpl * 4;
    uint64_t base = c->seg[SEG_TR].base;

    if (off + (wide ? 5 : 3) > c->seg[SEG_TR].limit)
        sq_x86_raise(c, i, EXC_TS, c->seg[SEG_TR].sel & ~3u);
    if (wide) {
        *esp = sq_sys_ld32(c, i, base + off);
        *ss = sq_sys_ld16(c, i, base + off + 4);
    } else {
        *esp = sq_sys_ld16(c, i, base + off);
        *ss = sq_sys_ld16(c, i, base + off + 2);
    }
}

/* No interrupt and no trap before the instruction after the next. */
static void shadow(struct sq_x86_cpu *c)
{
    sq_cast_shadow(c, true);
    c->no_step = true;
    sq_x86_irq_recheck(c);
}

/* --- instructions ---------------------------------------------------- */

/* Segment registers: ES CS SS DS FS GS; 6 and 7 do not exist. */
OP(mov_ES_r)
{
    uint16_t v;

    if (i->reg > SEG_GS)
        sq_x86_ud(c, i);
    v = c->seg[i->reg].sel;
    if (i->osz == 1)
        WR(16, i->rm, v);
    else
        WR(64, i->rm, v);
    NEXT;
}
OP(mov_ES_m)
{
    if (i->reg > SEG_GS)
        sq_x86_ud(c, i);
    ST(16, sq_ea(c, i, 2, ACCESS_W), c->seg[i->reg].sel);
    NEXT;
}
FAM1(mov_ES, mov_ES_r, mov_ES_m)

/* Loads end the block: decoding may depend on them, and after SS comes one
 * instruction without interrupts. */
static void load_end(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     unsigned seg, uint16_t sel)
{
    sq_seg_load(c, i, seg, sel);
    if (seg == SEG_SS)
        shadow(c);
    c->gpr[SQ_RIP] = sq_next_rip(c, i);
}
OP(mov_SE_r)
{
    if (i->reg > SEG_GS || i->reg == SEG_CS)
        sq_x86_ud(c, i);
    load_end(c, i, i->reg, RD(16, i->rm));
}
OP(mov_SE_m)
{
    if (i->reg > SEG_GS || i->reg == SEG_CS)
        sq_x86_ud(c, i);
    load_end(c, i, i->reg, LD(16, sq_ea(c, i, 2, ACCESS_R)));
}
FAM1(mov_SE, mov_SE_r, mov_SE_m)

#define PUSH_SEG(name, seg_)                                           \
    OP(push_##name)                                                        \
    {                                                                      \
        sq_push(c, i, c->seg[seg_].sel, 1u << i->osz);                     \
        NEXT;                                                              \
    }                                                                      \
    FAM1(push_##name, push_##name, NULL)
#define POP_SEG(name, seg_)                                                \
    OP(pop_##name)                                                         \
    {                                                                      \
        unsigned len = 1u << i->osz;                                       \
        uint16_t sel = (uint16_t)sq_peek(c, i, 0, len);                    \
        uint64_t sp = c->gpr[R_SP] + len;                                  \
                                                                           \
        sq_seg_load(c, i, seg_, sel);                                      \
        sq_stack_set(c, sp);                                               \
        if (seg_ == SEG_SS)                                                \
            shadow(c);                                              \
        c->gpr[SQ_RIP] = sq_next_rip(c, i);                                \
    }                                                                      \
    FAM1(pop_##name, pop_##name, NULL)
PUSH_SEG(es, SEG_ES)
PUSH_SEG(cs, SEG_CS)
PUSH_SEG(ss, SEG_SS)
PUSH_SEG(ds, SEG_DS)
PUSH_SEG(fs, SEG_FS)
PUSH_SEG(gs, SEG_GS)
POP_SEG(es, SEG_ES)
POP_SEG(ss, SEG_SS)
POP_SEG(ds, SEG_DS)
POP_SEG(fs, SEG_FS)
POP_SEG(gs, SEG_GS)

/* LES and kin: offset, then selector. */
static void load_far(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     unsigned seg)
{
    unsigned len = 1u << i->osz;
    uint64_t off = 0, gva = sq_ea(c, i, len + 2, ACCESS_R);
    uint16_t sel;

    sq_ld_bytes(c, i, gva, &off, len);
    sel = LD(16, gva + len);
    sq_seg_load(c, i, seg, sel);
    if (len == 2)
        WR(16, i->reg, off);
    else
        WR(64, i->reg, off);
    if (seg == SEG_SS)
        shadow(c);
    c->gpr[SQ_RIP] = sq_next_rip(c, i);
}
#define LOAD_FAR(name, seg)                                                \
    OP(name)                                                               \
    {                                                                      \
        load_far(c, i, seg);                                               \
    }                                                                      \
    FAM1(name, NULL, name)
LOAD_FAR(les, SEG_ES)
LOAD_FAR(lds, SEG_DS)
LOAD_FAR(lss, SEG_SS)
LOAD_FAR(lfs, SEG_FS)
LOAD_FAR(lgs, SEG_GS)

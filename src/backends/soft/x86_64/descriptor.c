/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions on descriptor tables: their registers, the two system segments,
 * and questions about a selector. */
#include "backends/soft/x86_64/ops.h"
#include "backends/soft/x86_64/seg.h"
#include "backends/soft/x86_64/system.h"

/* --- the tables' registers ---------------------------------------------- */

static void store_table(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        uint16_t limit, uint64_t base)
{
    unsigned len = c->code64 ? 8 : 4;
    uint64_t gva = sq_ea(c, i, 2 + len, ACCESS_W);

    sq_x86_probe_write(c, i, gva, 2 + len);
    ST(16, gva, limit);
    sq_st_bytes(c, i, gva + 2, &base, len);
}
OP(sgdt)
{
    store_table(c, i, c->gdtr.limit, c->gdtr.base);
    NEXT;
}
OP(sidt)
{
    store_table(c, i, c->idtr.limit, c->idtr.base);
    NEXT;
}
FAM1(sgdt, NULL, sgdt)
FAM1(sidt, NULL, sidt)

static void load_table(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint16_t *limit, uint64_t *base)
{
    unsigned len = c->code64 ? 8 : 4;
    uint64_t b = 0, gva = sq_ea(c, i, 2 + len, ACCESS_R);
    uint16_t l;

    sq_need_cpl0(c, i);
    l = LD(16, gva);
    sq_ld_bytes(c, i, gva + 2, &b, len);
    if (c->code64 && !sq_canonical(b))
        sq_x86_gp(c, i, 0);
    if (!c->code64 && i->osz == 1)
        b &= 0xffffff;
    *limit = l;
    *base = b;
    sq_end_block(c, i);
}
OP(lgdt)
{
    load_table(c, i, &c->gdtr.limit, &c->gdtr.base);
}
OP(lidt)
{
    load_table(c, i, &c->idtr.limit, &c->idtr.base);
}
FAM1(lgdt, NULL, lgdt)
FAM1(lidt, NULL, lidt)

/* --- what selectors name ------------------------------------------------ */

static void need_protected(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    if (!sq_protected(c))
        sq_x86_ud(c, i);
}

#define STORE_SELECTOR(name, seg_)                                         \
    OP(name##_r)                                                           \
    {                                                                      \
        need_protected(c, i);                                              \
        sq_write_by_size(c, i, c->seg[seg_].sel);                          \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m)                                                           \
    {                                                                      \
        need_protected(c, i);                                              \
        sq_store16(c, i, c->seg[seg_].sel);                                \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name, name##_r, name##_m)
STORE_SELECTOR(sldt, SEG_LDTR)
STORE_SELECTOR(str, SEG_TR)

/* LLDT and LTR (SDM vol. 2). */
static void load_system(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        unsigned seg, uint16_t sel)
{
    bool wide = c->efer & EFER_LMA;
    struct sq_x86_segreg v;
    struct sq_desc d;
    uint32_t attr;

    need_protected(c, i);
    sq_need_cpl0(c, i);
    if (!(sel & ~3u)) {
        if (seg == SEG_TR)
            sq_x86_gp(c, i, 0);
        v = (struct sq_x86_segreg){.sel = sel,
                                   .attr = SQUIB_X86_ATTR_UNUSABLE};
        sq_seg_set(c, seg, &v);
        return;
    }
    if (sel & 4 || !sq_desc_read(c, i, sel, wide, &d))
        sq_x86_gp(c, i, sel & ~3u);
    attr = sq_desc_attr(d.lo);
    if (attr & ATTR_S ||
        (seg == SEG_LDTR ? (attr & 15) != 2
                         : (attr & 15) != 9 && (wide || (attr & 15) != 1)))
        sq_x86_gp(c, i, sel & ~3u);
    if (!(attr & ATTR_P))
        sq_x86_raise(c, i, EXC_NP, sel & ~3u);
    sq_desc_unpack(&d, sel, wide, &v);
    if (wide && !sq_canonical(v.base))
        sq_x86_gp(c, i, sel & ~3u);
    if (seg == SEG_TR) {
        d.lo |= 2ull << 40; /* busy */
        sq_sys_st8(c, i, d.gva + 5, (uint8_t)(d.lo >> 40));
    }
    sq_desc_unpack(&d, sel, wide, &v);
    sq_seg_set(c, seg, &v);
}
#define LOAD_SELECTOR(name, seg)                                           \
    OP(name##_r)                                                           \
    {                                                                      \
        load_system(c, i, seg, RD(16, i->rm));                             \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m)                                                           \
    {                                                                      \
        need_protected(c, i);                                              \
        load_system(c, i, seg, LD(16, sq_ea(c, i, 2, ACCESS_R)));          \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name, name##_r, name##_m)
LOAD_SELECTOR(lldt, SEG_LDTR)
LOAD_SELECTOR(ltr, SEG_TR)

/* LAR, LSL, VERR, VERW: answer in ZF whether a selector is good. */
enum ask { ASK_LAR, ASK_LSL, ASK_VERR, ASK_VERW };

static bool ask(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                uint16_t sel, enum ask what, uint32_t *answer)
{
    struct sq_x86_segreg v;
    struct sq_desc d;
    uint32_t attr;
    bool conforming;

    need_protected(c, i);
    if (!(sel & ~3u) || !sq_desc_read(c, i, sel, false, &d))
        return false;
    attr = sq_desc_attr(d.lo);
    conforming = (attr & (ATTR_S | ATTR_CODE | ATTR_CE)) ==
                 (ATTR_S | ATTR_CODE | ATTR_CE);
    if (!conforming && (sq_desc_dpl(d.lo) < c->cpl ||
                        sq_desc_dpl(d.lo) < (sel & 3u)))
        return false;
    if (!(attr & ATTR_S)) {
        unsigned t = attr & 15;
        /* which system types LAR and LSL know, legacy and long mode */
        uint16_t lar = c->efer & EFER_LMA ? 0x1a04 : 0x1a3e;
        uint16_t lsl = c->efer & EFER_LMA ? 0x0a04 : 0x0a0e;

        if (what >= ASK_VERR || !((what == ASK_LAR ? lar : lsl) >> t & 1))
            return false;
    }
    sq_desc_unpack(&d, sel, false, &v);
    switch (what) {
    case ASK_LAR: *answer = (uint32_t)(d.lo >> 32) & 0xf0ff00; break;
    case ASK_LSL: *answer = v.limit; break;
    case ASK_VERR: return !(attr & ATTR_CODE) || attr & ATTR_RW;
    case ASK_VERW: return !(attr & ATTR_CODE) && attr & ATTR_RW;
    }
    return true;
}
static void ask_flag(struct sq_x86_cpu *c, bool yes)
{
    sq_set_status(c, (sq_status(c) & ~(uint32_t)FL_ZF) | (yes ? FL_ZF : 0));
}
#define ASK(name, what)                                                    \
    static void name##_sel(struct sq_x86_cpu *c,                           \
                           const struct sq_x86_insn *i, uint16_t sel)      \
    {                                                                      \
        uint32_t answer = 0;                                               \
        bool yes = ask(c, i, sel, what, &answer);                          \
                                                                           \
        if (yes && what <= ASK_LSL) {                                      \
            if (i->osz == 1)                                               \
                WR(16, i->reg, answer);                                    \
            else                                                           \
                WR(32, i->reg, answer);                                    \
        }                                                                  \
        ask_flag(c, yes);                                                  \
    }                                                                      \
    OP(name##_r)                                                           \
    {                                                                      \
        name##_sel(c, i, RD(16, i->rm));                                   \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m)                                                           \
    {                                                                      \
        need_protected(c, i);                                              \
        name##_sel(c, i, LD(16, sq_ea(c, i, 2, ACCESS_R)));                \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name, name##_r, name##_m)
ASK(lar, ASK_LAR)
ASK(lsl, ASK_LSL)
ASK(verr, ASK_VERR)
ASK(verw, ASK_VERW)

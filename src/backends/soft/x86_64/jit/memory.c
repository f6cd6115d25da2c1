/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: addresses and the TLB check. */
#include "backends/soft/x86_64/jit/tr.h"

struct sq_emit_mem sq_tr_operand(struct sq_tr *t)
{
    const struct sq_x86_insn *i = &sq_tr_op(t)->in;
    struct sq_emit_mem m = {H_NONE, H_NONE, i->scale, i->disp};
    unsigned base = i->base / 8, index = i->index / 8;

    if (base == SQ_RIP) { /* the displacement counts from the page */
        sq_emit_load(&t->e, H_9, sq_jit_cpu(CPU(js.page)));
        m.base = H_9;
    } else if (base < 16) {
        m.base = (uint8_t)sq_jit_host(base);
        if (sq_jit_homed(base)) {
            sq_emit_load(&t->e, H_9, HOME(base));
            m.base = H_9;
        }
    }
    if (index < 16) {
        m.index = (uint8_t)sq_jit_host(index);
        if (sq_jit_homed(index)) {
            sq_emit_load(&t->e, H_10, HOME(index));
            m.index = H_10;
        }
    }
    return m;
}

void sq_tr_ea(struct sq_tr *t)
{
    struct sq_emit_mem m = sq_tr_operand(t);
    unsigned seg = sq_tr_op(t)->in.seg;

    if (m.index == H_NONE && !m.disp && m.base < 16) {
        if (m.base != H_9)
            sq_emit_mov(&t->e, H_9, m.base); /* costs no time, LEA does */
    } else {
        sq_emit_lea(&t->e, H_9, m);
    }
    if (seg != SEG_NONE)
        sq_emit_rm(&t->e, SQ_OPC(0, 0, 0x03), SQ_E_W, H_9,
                   sq_jit_cpu(CPU(segbase) + (int32_t)seg * 8));
}

/* R10 = the offset of R9's entry in its table. */
static void entry_of(struct sq_tr *t)
{
    struct sq_emit *e = &t->e;
    const unsigned by = 12 - 5;

    _Static_assert(sizeof(struct sq_tlb_entry) == 32, "entry");
    _Static_assert(SQ_TLB_BITS == 10, "mask");
    if (t->j->host & SQ_JIT_V3) {
        sq_emit_vex_rr(e, SQ_OPC(0xf2, 3, 0xf0), 0, H_10, 0, H_9); /* RORX */
    } else {
        sq_emit_rr(e, SQ_OPC(0, 0, 0x8b), 0, H_10, H_9);
        sq_emit_rr(e, SQ_OPC(0, 0, 0xc1), 0, 5, H_10); /* SHR */
    }
    sq_emit_u8(e, by);
    sq_emit_rr(e, SQ_OPC(0, 0, 0x81), 0, 4, H_10); /* AND */
    sq_emit_u32(e, (SQ_TLB_SIZE - 1) << 5);
}

/* R9, a linear address, becomes its offset in the page, R10 that page's host
 * address; the displacement of the jump to where that is not so. */
static uint8_t *check(struct sq_tr *t, unsigned len, bool write,
                      int32_t *tag)
{
    struct sq_emit *e = &t->e;
    int32_t tlb = CPU(tlbs) + (t->user ? (int32_t)sizeof(t->c->tlbs[0]) : 0) +
                  (write ? (int32_t)sizeof(t->c->tlbs[0]) / 2 : 0);
    int32_t host = tlb + (int32_t)offsetof(struct sq_tlb_entry, host);
    uint8_t *miss;

    *tag = tlb + (int32_t)(write ? offsetof(struct sq_tlb_entry, tag_w)
                                 : offsetof(struct sq_tlb_entry, tag_r));
    entry_of(t);
    sq_emit_rm(e, SQ_OPC(0, 0, 0x2b), SQ_E_W, H_9,
               (struct sq_emit_mem){H_SP, H_10, 0, *tag});
    sq_emit_rr(e, SQ_OPC(0, 0, 0x81), SQ_E_W, 7, H_9); /* CMP */
    sq_emit_u32(e, 4096 - len);
    miss = sq_emit_jump(e, 7); /* JA */
    sq_emit_load(e, H_10, (struct sq_emit_mem){H_SP, H_10, 0, host});
    t->host_ok = false;
    return miss;
}

static void add_halves(struct sq_tr *t)
{
    sq_emit_rr(&t->e, SQ_OPC(0, 0, 0x03), SQ_E_W, H_9, H_10);
}

uint8_t *sq_tr_check_fast(struct sq_tr *t, unsigned len, bool write,
                          int32_t *tag)
{
    uint8_t *miss = check(t, len, write, tag);

    add_halves(t);
    return miss;
}

struct sq_emit_mem sq_tr_check_halves(struct sq_tr *t, unsigned len,
                                      bool write)
{
    uint32_t site = sq_tr_site(t, len, write);
    int32_t tag;
    uint8_t *miss = check(t, len, write, &tag);
    struct sq_tr_cold *cold = sq_tr_cold(t, COLD_CHECK, miss);

    cold->site = site;
    cold->tag = tag;
    t->j->sites[site].op = (uint32_t)(t->e.at - t->j->rw);
    return (struct sq_emit_mem){H_9, H_10, 0, 0};
}

void sq_tr_check(struct sq_tr *t, unsigned len, bool write)
{
    sq_tr_check_halves(t, len, write);
    add_halves(t);
}

struct sq_emit_mem sq_tr_access(struct sq_tr *t, unsigned len, bool write,
                                unsigned align, bool r10)
{
    if (t->run)
        return (struct sq_emit_mem){
            H_9, H_NONE, 0, sq_tr_op(t)->in.disp - t->run_disp};
    sq_tr_ea(t);
    if (align)
        sq_tr_check_aligned(t, align);
    if (!r10)
        return sq_tr_check_halves(t, len, write);
    sq_tr_check(t, len, write);
    return (struct sq_emit_mem){H_9, H_NONE, 0, 0};
}

struct sq_emit_mem sq_tr_check_stack(struct sq_tr *t, int32_t disp,
                                     unsigned len, bool write)
{
    if (disp)
        sq_emit_lea(&t->e, H_9,
                    (struct sq_emit_mem){H_11, H_NONE, 0, disp});
    else
        sq_emit_mov(&t->e, H_9, H_11);
    return sq_tr_check_halves(t, len, write);
}

void sq_tr_check_aligned(struct sq_tr *t, unsigned len)
{
    if (len == 1)
        return;
    sq_emit_rr(&t->e, SQ_OPC(0, 0, 0xf6), 0, 0, H_9); /* TEST r9b */
    sq_emit_u8(&t->e, (uint8_t)(len - 1));
    sq_tr_interp_if(t, 5);
}

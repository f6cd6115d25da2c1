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

/* Whether a load leads to the next one: its register is its address's. Only
 * for those is an index worth what it costs in host_operand(). */
static bool chases(const struct sq_jit_op *op)
{
    return op->kind == JK_RM && !op->reg_is_ext && op->reg_role & ROLE_W &&
           (op->in.reg / 8 == op->in.base / 8 ||
            op->in.reg / 8 == op->in.index / 8);
}

struct sq_emit_mem sq_tr_ea(struct sq_tr *t)
{
    struct sq_emit_mem m = sq_tr_operand(t);
    unsigned seg = sq_tr_op(t)->in.seg;

    if (m.index == H_NONE && !m.disp && m.base < 16) {
        if (m.base != H_9)
            sq_emit_mov(&t->e, H_9, m.base); /* costs no time, LEA does */
    } else {
        sq_emit_lea(&t->e, H_9, m);
    }
    if (seg == SEG_NONE && m.base < 16 && m.base != H_9 && m.index != H_10 &&
        (m.index == H_NONE || chases(sq_tr_op(t))))
        return m;
    if (seg != SEG_NONE)
        sq_emit_rm(&t->e, SQ_OPC(0, 0, 0x03), SQ_E_W, H_9,
                   sq_jit_cpu(CPU(segbase) + (int32_t)seg * 8));
    return sq_tr_at_r9;
}

/* R10 = the offset of R9's entry in its table. */
static void entry_of(struct sq_tr *t)
{
    struct sq_emit *e = &t->e;

    _Static_assert(sizeof(struct sq_tlb_entry) == 32, "entry");
    _Static_assert(SQ_TLB_BITS == 10, "mask");
    sq_jit_emit_shifted(e, t->j->host, 12 - 5);
    sq_emit_rr(e, SQ_OPC(0, 0, 0x81), 0, 4, H_10); /* AND */
    sq_emit_u32(e, (SQ_TLB_SIZE - 1) << 5);
}

static struct sq_emit_mem in_tlb(const struct sq_tr *t, bool write,
                                 size_t field)
{
    const size_t one = sizeof(t->c->tlbs[0]);

    return (struct sq_emit_mem){
        H_SP, H_10, 0,
        CPU(tlbs) + (int32_t)((t->user ? one : 0) + (write ? one / 2 : 0) +
                              field)};
}

/* R10 = the offset of R9's entry, R9 = its offset in the page; or jumps, by
 * the displacement that is returned. */
static uint8_t *look_up(struct sq_tr *t, unsigned len, bool write)
{
    struct sq_emit *e = &t->e;

    entry_of(t);
    sq_emit_rm(e, SQ_OPC(0, 0, 0x2b), SQ_E_W, H_9,
               in_tlb(t, write, offsetof(struct sq_tlb_entry, tag)));
    sq_emit_rr(e, SQ_OPC(0, 0, 0x81), SQ_E_W, 7, H_9); /* CMP */
    sq_emit_u32(e, 4096 - len);
    t->host_ok = false;
    return sq_emit_jump(e, 7); /* JA */
}

/* After it: where m is in the host. If its registers still hold it, it is
 * added to the way from guest to host, which does not wait for the tag: a
 * cycle less from load to load, for an operand with an index at the price of
 * an instruction. Else R9 is added to the page. */
static struct sq_emit_mem host_operand(struct sq_tr *t, struct sq_emit_mem m,
                                       bool write)
{
    bool again = m.base != H_9;
    size_t field = again ? offsetof(struct sq_tlb_entry, add)
                         : offsetof(struct sq_tlb_entry, host);

    if (again && m.index != H_NONE) {
        sq_emit_lea(&t->e, H_9, m);
        m = sq_tr_at_r9;
    }
    sq_emit_load(&t->e, H_10, in_tlb(t, write, field));
    m.index = H_10;
    m.scale = 0;
    return m;
}

/* The same operand without R10. */
static struct sq_emit_mem free_r10(struct sq_tr *t, struct sq_emit_mem m)
{
    if (m.base == H_9) {
        sq_emit_rr(&t->e, SQ_OPC(0, 0, 0x03), SQ_E_W, H_9, H_10);
        return sq_tr_at_r9;
    }
    sq_emit_mov(&t->e, H_9, H_10);
    m.index = H_9;
    return m;
}

struct sq_emit_mem sq_tr_check_run(struct sq_tr *t, struct sq_emit_mem m,
                                   unsigned len, bool write, uint8_t **miss)
{
    *miss = look_up(t, len, write);
    return free_r10(t, host_operand(t, m, write));
}

struct sq_emit_mem sq_tr_check(struct sq_tr *t, struct sq_emit_mem m,
                               unsigned len, bool write)
{
    uint32_t site = sq_tr_site(t, len, write);
    struct sq_tr_cold *cold = sq_tr_cold(t, COLD_CHECK,
                                         look_up(t, len, write));

    cold->site = site;
    cold->tag = in_tlb(t, write, offsetof(struct sq_tlb_entry, tag)).disp;
    m = host_operand(t, m, write);
    t->j->sites[site].op = (uint32_t)(t->e.at - t->j->rw);
    return m;
}

void sq_tr_check_r9(struct sq_tr *t, unsigned len, bool write)
{
    free_r10(t, sq_tr_check(t, sq_tr_at_r9, len, write));
}

struct sq_emit_mem sq_tr_access(struct sq_tr *t, struct sq_tr_how how)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    struct sq_emit_mem m = t->run_mem;

    if (t->run) {
        m.disp += op->in.disp - t->run_disp;
        return m;
    }
    m = sq_tr_ea(t);
    if (how.align)
        sq_tr_check_aligned(t, how.align);
    if (how.alone)
        m = sq_tr_at_r9;
    m = sq_tr_check(t, m, op->mem_size, how.write);
    return how.alone || how.r10 ? free_r10(t, m) : m;
}

struct sq_emit_mem sq_tr_check_stack(struct sq_tr *t, int32_t disp,
                                     struct sq_tr_how how)
{
    struct sq_emit_mem m = {H_11, H_NONE, 0, disp};

    if (disp)
        sq_emit_lea(&t->e, H_9, m);
    else
        sq_emit_mov(&t->e, H_9, H_11);
    m = sq_tr_check(t, m, 8, how.write);
    return how.r10 ? free_r10(t, m) : m;
}

void sq_tr_check_aligned(struct sq_tr *t, unsigned len)
{
    if (len == 1)
        return;
    sq_emit_rr(&t->e, SQ_OPC(0, 0, 0xf6), 0, 0, H_9); /* TEST r9b */
    sq_emit_u8(&t->e, (uint8_t)(len - 1));
    sq_tr_interp_if(t, 5);
}

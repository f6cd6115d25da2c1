/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses that are side by side share one check: neighbouring pushes or
 * pops, and instructions whose operands differ only in the displacement,
 * with others between them that leave the address and R9 alone. The check is
 * for all of the bytes from the first to the last; if it fails, for whatever
 * reason, each instruction is done with its own (COLD_RUN).
 */
#include "backends/soft/x86_64/jit/tr.h"

#define SPAN_MAX 512 /* bytes that one check is for */

/* The rest of a run whose check is done: emits it, and what comes instead. */
static void emit_run(struct sq_tr *t, uint8_t *miss, uint8_t *unaligned,
                     unsigned n)
{
    unsigned first = t->k;
    struct sq_tr_cold *cold = sq_tr_cold(t, COLD_RUN, miss);

    cold->at2 = unaligned;
    cold->index = first;
    cold->to = n;
    cold->xmm_in = t->xmm_in;
    t->run = true;
    for (; t->k < first + n; t->k++)
        sq_tr_insn(t);
    t->run = false;
    t->k = first;
    cold->host_ok = t->host_ok;
    cold->mem_ok = t->mem_ok;
    cold->back = t->e.at;
}

void sq_tr_cold_run(struct sq_tr *t, const struct sq_tr_cold *cold)
{
    const struct sq_tr_cold c = *cold; /* the table grows below */
    unsigned first = c.index, end = first + (unsigned)c.to;

    t->host_ok = false;
    t->mem_ok = true; /* or nobody asks */
    t->xmm_in = c.xmm_in;
    for (t->k = first; t->k < end; t->k++)
        sq_tr_insn(t);
    if (t->live[end]) { /* flags are to be where the run leaves them */
        if (c.mem_ok)
            sq_tr_flags_save(t);
        if (c.host_ok)
            sq_tr_flags_restore(t);
    }
    sq_emit_patch(sq_emit_jump(&t->e, H_NONE), c.back);
}

/* --- pushes and pops ----------------------------------------------------- */

static unsigned stack_run(struct sq_tr *t)
{
    uint8_t kind = sq_tr_op(t)->kind;
    struct sq_emit *e = &t->e;
    struct sq_emit_mem m = {H_11, H_NONE, 0, 0};
    struct sq_tr_cold *cold;
    uint8_t *miss;
    unsigned n = 0;

    while (t->k + n < t->n && t->op[t->k + n].kind == kind &&
           t->op[t->k + n].in.rm != R_SP * 8)
        n++;
    if (n < 2)
        return 0;
    if (t->live[t->k])
        sq_tr_flags_save(t);
    m.disp = kind == JK_PUSH ? -8 * (int32_t)n : 0;
    sq_emit_lea(e, H_9, m);
    m = sq_tr_check_run(t, m, 8 * n, kind == JK_PUSH, &miss);
    for (unsigned k = 0; k < n; k++) {
        unsigned g = t->op[t->k + k].in.rm / 8;
        unsigned h = sq_jit_homed(g) ? H_10 : sq_jit_host(g);

        m.disp = 8 * (kind == JK_PUSH ? -1 - (int32_t)k : (int32_t)k);
        if (kind == JK_PUSH) {
            if (h == H_10)
                sq_emit_load(e, H_10, HOME(g));
            sq_emit_store(e, m, h);
        } else {
            sq_emit_load(e, h, m);
            if (h == H_10)
                sq_emit_store(e, HOME(g), H_10);
        }
    }
    sq_tr_move_rsp(t, kind == JK_PUSH ? -8 * (int32_t)n : 8 * (int32_t)n);
    cold = sq_tr_cold(t, COLD_RUN, miss);
    cold->index = t->k;
    cold->to = n;
    cold->xmm_in = t->xmm_in;
    cold->mem_ok = true;
    cold->back = e->at;
    return n;
}

/* --- operands with the same address -------------------------------------- */

static bool same_address(const struct sq_x86_insn *a,
                         const struct sq_x86_insn *b)
{
    return a->base == b->base && a->index == b->index && a->seg == b->seg &&
           a->scale == b->scale;
}

static bool homed(uint8_t off)
{
    return sq_jit_homed(off / 8);
}

/* Whether the instruction may be in a run: native, R9 untouched but as the
 * operand's pointer, no registers written but those that writes() knows. */
static bool fits(const struct sq_jit_op *op)
{
    switch (op->kind) {
    case JK_RM:
        if (op->mem)
            return !op->locked && op->mem_size <= 8 &&
                   !sq_tr_turns(op);
        if (op->reg_is_ext && op->ext >= 4 &&
            (op->opc == SQ_OPC(0, 0, 0xf6) || op->opc == SQ_OPC(0, 0, 0xf7)))
            return false; /* MUL and IMUL write rAX and rDX */
        return !homed(op->in.rm);
    case JK_SSE: /* string comparisons write rCX */
        return op->opc >> 8 != SQ_OPC(0x66, 3, 0) >> 8 ||
               (op->opc & 0xfc) != 0x60;
    case JK_LEA:
        return !homed(op->in.reg) && op->in.base != SQ_RIP * 8 &&
               !homed(op->in.base);
    case JK_MOVI:
    case JK_NOP: return true;
    case JK_VEX_G: return op->mem || !homed(op->in.rm);
    default: return false;
    }
}

/* Whether an instruction that fits writes the register at `off`. */
static bool writes(const struct sq_jit_op *op, uint8_t off)
{
    unsigned g = off / 8;

    switch (op->kind) {
    case JK_RM:
        if (op->mem && op->reg_is_ext && op->ext >= 4 &&
            (op->opc & 0xfe) == 0xf6)
            return true; /* MUL and IMUL by memory */
        if (op->mem && (op->opc & 0xfffe) == SQ_OPC(0, 1, 0xb0))
            return true; /* CMPXCHG: rAX */
        return (!op->reg_is_ext && op->reg_role & ROLE_W &&
                op->in.reg / 8u == g) ||
               (!op->mem && op->rm_role & ROLE_W && op->in.rm / 8u == g);
    case JK_LEA: return op->in.reg / 8u == g;
    case JK_MOVI: return op->in.rm / 8u == g;
    case JK_SSE:
        return (op->form == X_GX && op->in.reg / 8u == g) ||
               (op->form == X_STG && !op->mem && op->in.rm / 8u == g);
    case JK_VEX_G: return op->reg_is_ext ? op->vvvv == g
                                         : op->in.reg / 8u == g;
    default: return false;
    }
}

static bool writes_memory(const struct sq_jit_op *op)
{
    return op->kind == JK_RM ? op->rm_role & ROLE_W
                             : op->kind == JK_SSE && (op->form == X_ST ||
                                                      op->form == X_STG);
}

struct span {
    int64_t from, to;   /* displacements */
    int64_t aligned_at; /* of one that must be aligned, */
    unsigned align;     /* to this; 0: none */
    unsigned n, accesses;
    bool write, vectors;
};

/* Takes one more access into the span, if it can be. */
static bool widen(struct span *s, const struct sq_jit_op *op)
{
    int64_t from = op->in.disp, to = from + op->mem_size;
    unsigned align = op->kind == JK_SSE && op->aligned ? op->mem_size : 0;

    if (s->accesses) {
        from = from < s->from ? from : s->from;
        to = to > s->to ? to : s->to;
    }
    if (to - from > SPAN_MAX)
        return false;
    if (align && s->align &&
        (op->in.disp - s->aligned_at) & ((align < s->align ? align
                                                           : s->align) - 1))
        return false;
    if (align > s->align) {
        s->aligned_at = op->in.disp;
        s->align = align;
    }
    s->from = from;
    s->to = to;
    s->write |= writes_memory(op);
    s->accesses++;
    return true;
}

static struct span find_span(const struct sq_tr *t)
{
    const struct sq_x86_insn *first = &sq_tr_op(t)->in;
    struct span s = {0};

    for (unsigned k = t->k; k < t->n; k++) {
        const struct sq_jit_op *op = &t->op[k];

        if (!fits(op) || (op->mem && (op->kind == JK_RM ||
                                      op->kind == JK_SSE ||
                                      op->kind == JK_VEX_G) &&
                          (!same_address(first, &op->in) || !widen(&s, op))))
            break;
        s.vectors |= op->kind == JK_SSE;
        if (op->mem && op->kind != JK_LEA && op->kind != JK_NOP)
            s.n = k + 1 - t->k;
        if (writes(op, first->base) || writes(op, first->index))
            break;
    }
    return s;
}

static unsigned operand_run(struct sq_tr *t)
{
    struct sq_jit_op *op = &t->op[t->k];
    struct span s = find_span(t);
    uint8_t *miss, *unaligned = NULL;
    int32_t disp = op->in.disp;
    struct sq_emit_mem m;

    if (s.accesses < 2)
        return 0;
    if (t->live[t->k])
        sq_tr_flags_save(t);
    if (s.vectors && !t->xmm_in)
        sq_tr_xmm_in(t, t->b->avx);
    op->in.disp = (int32_t)s.from;
    m = sq_tr_ea(t);
    op->in.disp = disp;
    if (s.align) {
        sq_emit_lea(&t->e, H_10,
                    (struct sq_emit_mem){H_9, H_NONE, 0,
                                         (int32_t)(s.aligned_at - s.from)});
        sq_emit_rr(&t->e, SQ_OPC(0, 0, 0xf6), 0, 0, H_10); /* TEST */
        sq_emit_u8(&t->e, (uint8_t)(s.align - 1));
        unaligned = sq_emit_jump(&t->e, 5);
    }
    t->run_mem = sq_tr_check_run(t, m, (unsigned)(s.to - s.from), s.write,
                                 &miss);
    t->run_disp = (int32_t)s.from;
    emit_run(t, miss, unaligned, s.n);
    return s.n;
}

unsigned sq_tr_run(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);

    if (op->kind == JK_PUSH || op->kind == JK_POP)
        return stack_run(t);
    if (op->mem && fits(op) && op->kind != JK_LEA && op->kind != JK_NOP)
        return operand_run(t);
    return 0;
}

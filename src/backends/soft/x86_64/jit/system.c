/* SPDX-License-Identifier: Apache-2.0 */
/* System and string instructions that are worth doing natively. */
#include "backends/soft/x86_64/jit/tr.h"

#include "backends/soft/x86_64/flags.h"

/* `op r/m32, imm` on a field of the CPU; x is the operation (0: ADD, 1: OR,
 * 4: AND, 7: CMP). */
static void field_op(struct sq_tr *t, unsigned x, int32_t off, uint32_t imm)
{
    sq_emit_rm(&t->e, SQ_OPC(0, 0, 0x81), 0, x, sq_jit_cpu(off));
    sq_emit_u32(&t->e, imm);
}

static void reg_op(struct sq_tr *t, unsigned x, unsigned r, uint32_t imm)
{
    sq_emit_rr(&t->e, SQ_OPC(0, 0, 0x81), SQ_E_W, x, r);
    sq_emit_u32(&t->e, imm);
}

static void shift(struct sq_tr *t, unsigned x, unsigned r, uint8_t by)
{
    sq_emit_rr(&t->e, SQ_OPC(0, 0, 0xc1), SQ_E_W, x, r);
    sq_emit_u8(&t->e, by);
}
enum { SHL = 4, SHR = 5, SAR = 7 };
enum { OR = 1, AND = 4 };

void sq_tr_clear(struct sq_tr *t, uint32_t flag)
{
    field_op(t, AND, CPU(rflags), ~flag);
    t->host_ok = false;
}

static void set_bool(struct sq_tr *t, int32_t off, bool v)
{
    sq_emit_rm(&t->e, SQ_OPC(0, 0, 0xc6), 0, 0, sq_jit_cpu(off));
    sq_emit_u8(&t->e, v);
}

/* What waits is the interpreter's. What arrives later is held off for one
 * instruction by the shadow (sq_cast_shadow()), as it is seen at the next
 * block's head. The trap flag is not set where translated code runs. */
void sq_tr_sti(struct sq_tr *t)
{
    const struct sq_emit_mem events = {
        H_9, H_NONE, 0, (int32_t)offsetof(struct sq_lapic, events)};
    struct sq_emit *e = &t->e;
    uint8_t *is_set;

    sq_emit_rm(e, SQ_OPC(0, 0, 0xf7), 0, 0, sq_jit_cpu(CPU(rflags)));
    sq_emit_u32(e, FL_IF); /* TEST */
    is_set = sq_emit_jump(e, 5);
    sq_emit_load(e, H_9, sq_jit_cpu(CPU(lapic)));
    sq_emit_rm(e, SQ_OPC(0, 0, 0x83), 0, 7, events); /* CMP */
    sq_emit_u8(e, 0);
    sq_tr_interp_if(t, 5);
    sq_emit_rm(e, SQ_OPC(0, 0, 0x80), 0, 7, sq_jit_cpu(CPU(nmi_pending)));
    sq_emit_u8(e, 0);
    sq_tr_interp_if(t, 5);
    field_op(t, OR, CPU(rflags), FL_IF);
    set_bool(t, CPU(irq_shadow), true);
    set_bool(t, CPU(ss_shadow), false);
    /* icount, as of now: the block, whose last one this is, was counted */
    sq_emit_rm(e, SQ_OPC(0, 0, 0x8b), 0, H_9, sq_jit_cpu(CPU(js.fuel_then)));
    sq_emit_rm(e, SQ_OPC(0, 0, 0x2b), 0, H_9, sq_jit_cpu(CPU(js.fuel)));
    sq_emit_rm(e, SQ_OPC(0, 0, 0x03), SQ_E_W, H_9, sq_jit_cpu(CPU(icount)));
    sq_emit_store(e, sq_jit_cpu(CPU(shadow_icount)), H_9);
    sq_emit_patch(is_set, e->at);
    t->host_ok = false;
}

void sq_tr_canonical(struct sq_tr *t)
{
    struct sq_emit *e = &t->e;

    sq_emit_mov(e, H_10, H_9);
    shift(t, SHL, H_10, 16);
    shift(t, SAR, H_10, 16);
    sq_emit_rr(e, SQ_OPC(0, 0, 0x3b), SQ_E_W, H_10, H_9); /* CMP */
    sq_tr_interp_if(t, 5);
}

void sq_tr_read(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    struct sq_emit *e = &t->e;
    unsigned g = op->in.rm / 8, h = sq_jit_homed(g) ? H_9 : sq_jit_host(g);
    const int32_t cr[] = {CPU(cr0), 0, CPU(cr2), CPU(cr3), CPU(cr4)};

    if (op->kind == JK_READ_CR)
        sq_emit_load(e, h, sq_jit_cpu(cr[op->ext]));
    else
        sq_emit_rm(e, SQ_OPC(0, 1, 0xb7), 0, h, /* MOVZX */
                   sq_jit_cpu(CPU(seg[0].sel) +
                              op->ext * (int32_t)sizeof(t->c->seg[0])));
    if (h == H_9)
        sq_emit_store(e, HOME(g), H_9);
}

/* FS and GS bases, which 64-bit code may have at any privilege. */
void sq_tr_base(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    struct sq_emit *e = &t->e;
    struct sq_emit_mem base = sq_jit_cpu(
        CPU(seg[0].base) + op->ext * (int32_t)sizeof(t->c->seg[0]));
    unsigned g = op->in.rm / 8, h = sq_jit_homed(g) ? H_9 : sq_jit_host(g);

    sq_emit_rm(e, SQ_OPC(0, 0, 0xf7), 0, 0, sq_jit_cpu(CPU(cr4))); /* TEST */
    sq_emit_u32(e, CR4_FSGSBASE);
    sq_tr_interp_if(t, 4);
    t->host_ok = false;
    if (op->kind == JK_READ_BASE) {
        sq_emit_rm(e, SQ_OPC(0, 0, 0x8b), op->size == 8 ? SQ_E_W : 0, h, base);
        if (h == H_9)
            sq_emit_store(e, HOME(g), H_9);
        return;
    }
    if (h == H_9)
        sq_emit_load(e, H_9, HOME(g));
    sq_emit_rr(e, SQ_OPC(0, 0, 0x8b), op->size == 8 ? SQ_E_W : 0, H_9, h);
    sq_tr_canonical(t);
    sq_emit_store(e, base, H_9);
    sq_emit_store(e, sq_jit_cpu(CPU(segbase[0]) + op->ext * 8), H_9);
}

void sq_tr_swapgs(struct sq_tr *t)
{
    struct sq_emit *e = &t->e;

    sq_emit_load(e, H_9, sq_jit_cpu(CPU(kernel_gs_base)));
    sq_emit_load(e, H_10, sq_jit_cpu(CPU(seg[SEG_GS].base)));
    sq_emit_store(e, sq_jit_cpu(CPU(kernel_gs_base)), H_10);
    sq_emit_store(e, sq_jit_cpu(CPU(seg[SEG_GS].base)), H_9);
    sq_emit_store(e, sq_jit_cpu(CPU(segbase[SEG_GS])), H_9);
}

void sq_tr_tsc(struct sq_tr *t)
{
    struct sq_emit *e = &t->e;

    if (t->user) {
        sq_emit_rm(e, SQ_OPC(0, 0, 0xf7), 0, 0, sq_jit_cpu(CPU(cr4)));
        sq_emit_u32(e, CR4_TSD); /* TEST */
        sq_tr_interp_if(t, 5);
    }
    sq_emit_patch(sq_emit_call(e), t->j->rw + t->j->tsc);
    if (sq_tr_op(t)->ext)
        sq_emit_rm(e, SQ_OPC(0, 0, 0x8b), 0, H_CX, sq_jit_cpu(CPU(tsc_aux)));
    t->host_ok = false;
}

void sq_tr_rflags(struct sq_tr *t)
{
    struct sq_emit *e = &t->e;

    /* js.flags: LAHF's AH << 8 | OF */
    sq_emit_rm(e, SQ_OPC(0, 1, 0xb7), 0, H_10, sq_jit_cpu(CPU(js.flags)));
    sq_emit_rr(e, SQ_OPC(0, 0, 0x8b), 0, H_9, H_10);
    shift(t, SHR, H_9, 8);
    reg_op(t, AND, H_9, 0xd5);
    reg_op(t, AND, H_10, 1);
    shift(t, SHL, H_10, 11);
    sq_emit_rr(e, SQ_OPC(0, 0, 0x0b), SQ_E_W, H_10, H_9);
    sq_emit_rm(e, SQ_OPC(0, 0, 0x0b), SQ_E_W, H_10, sq_jit_cpu(CPU(rflags)));
    reg_op(t, AND, H_10, ~(uint32_t)(FL_RF | FL_VM));
    reg_op(t, OR, H_10, 2); /* always set */
    t->host_ok = false;
}

/* The interpreter's turn if more than what is left of the page at `r` is
 * asked for. R10 is lost. */
static void check_room(struct sq_tr *t, unsigned r, uint8_t log2_len)
{
    struct sq_emit *e = &t->e;

    sq_emit_mov(e, H_10, r);
    reg_op(t, OR, H_10, 0xfffff000u);
    sq_emit_rr(e, SQ_OPC(0, 0, 0xf7), SQ_E_W, 3, H_10); /* NEG */
    if (log2_len)
        shift(t, SHR, H_10, log2_len);
    sq_emit_rr(e, SQ_OPC(0, 0, 0x3b), SQ_E_W, H_CX, H_10);
    sq_tr_interp_if(t, 7); /* A */
}

void sq_tr_rep(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    struct sq_emit *e = &t->e;
    bool movs = op->ext < 0xa6;
    uint8_t log2_len = (uint8_t)__builtin_ctz(op->size);

    sq_emit_rm(e, SQ_OPC(0, 0, 0xf7), 0, 0, sq_jit_cpu(CPU(rflags)));
    sq_emit_u32(e, FL_DF);
    sq_tr_interp_if(t, 5);
    sq_emit_rr(e, SQ_OPC(0, 0, 0x85), SQ_E_W, H_CX, H_CX); /* TEST */
    sq_tr_interp_if(t, 4);
    if (movs) {
        sq_emit_mov(e, H_9, H_SI);
        if (op->in.seg != SEG_NONE)
            sq_emit_rm(e, SQ_OPC(0, 0, 0x03), SQ_E_W, H_9,
                       sq_jit_cpu(CPU(segbase) + (int32_t)op->in.seg * 8));
        check_room(t, H_9, log2_len);
        sq_tr_check_r9(t, op->size, false);
        sq_emit_store(e, sq_jit_cpu(CPU(js.tmp)), H_9);
    }
    check_room(t, H_DI, log2_len);
    sq_emit_mov(e, H_9, H_DI);
    sq_tr_check_r9(t, op->size, true);
    /* R10 = what rDI is more than its pointer, the same for rSI */
    sq_emit_mov(e, H_10, H_DI);
    sq_emit_rr(e, SQ_OPC(0, 0, 0x2b), SQ_E_W, H_10, H_9);
    sq_emit_mov(e, H_DI, H_9);
    if (movs) {
        sq_emit_mov(e, H_9, H_SI);
        sq_emit_rm(e, SQ_OPC(0, 0, 0x2b), SQ_E_W, H_9,
                   sq_jit_cpu(CPU(js.tmp)));
        sq_emit_load(e, H_SI, sq_jit_cpu(CPU(js.tmp)));
    }
    if (op->size == 2)
        sq_emit_u8(e, 0x66);
    sq_emit_u8(e, 0xf3);
    if (op->size == 8)
        sq_emit_u8(e, 0x48);
    sq_emit_u8(e, op->ext);
    sq_emit_rr(e, SQ_OPC(0, 0, 0x03), SQ_E_W, H_DI, H_10);
    if (movs)
        sq_emit_rr(e, SQ_OPC(0, 0, 0x03), SQ_E_W, H_SI, H_9);
    t->host_ok = false;
}

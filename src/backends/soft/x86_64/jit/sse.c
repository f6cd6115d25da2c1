/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSE to SSE4.2, natively. Guest XMM registers stay in the CPU struct; each
 * instruction loads its operands into XMM0 and XMM1, runs, and stores its
 * result, so nothing is live in them between instructions. MXCSR is the
 * guest's while translated code runs; instructions that may raise its
 * exceptions run here only while all are masked.
 */
#include "backends/soft/x86_64/jit/tr.h"

enum {
    X_RW, /* xmm, xmm/m: the destination is read or partly kept */
    X_W,  /* the same, overwritten */
    X_R,  /* only flags (or rCX) come of it */
    X_ST, /* xmm/m, xmm */
    X_GX, /* r, xmm */
    X_GXM, /* r, xmm/m: conversions */
    X_XG, /* xmm, r/m */
    X_STG, /* r/m, xmm */
    X_SH, /* group: shift of xmm by an immediate */
};
enum {
    UNALIGNED = 1, /* or fewer than 16 bytes of memory */
    FLAGS = 2,     /* sets the status flags */
    FP = 4,        /* uses MXCSR */
    OSZ = 8,       /* the memory operand has the operand size */
    REGS = 16,     /* only between registers, */
    MEM = 32,      /* or never */
};

static const struct row {
    uint8_t prefix, map, first, last, form, size, flags, imm;
} rows[] = {
    /* moves */
    {0, 1, 0x10, 0x10, X_W, 16, UNALIGNED, 0},
    {0, 1, 0x11, 0x11, X_ST, 16, UNALIGNED, 0},
    {0x66, 1, 0x10, 0x10, X_W, 16, UNALIGNED, 0},
    {0x66, 1, 0x11, 0x11, X_ST, 16, UNALIGNED, 0},
    {0xf3, 1, 0x10, 0x10, X_RW, 4, UNALIGNED, 0},
    {0xf3, 1, 0x11, 0x11, X_ST, 4, UNALIGNED, 0},
    {0xf2, 1, 0x10, 0x10, X_RW, 8, UNALIGNED, 0},
    {0xf2, 1, 0x11, 0x11, X_ST, 8, UNALIGNED, 0},
    {0, 1, 0x28, 0x28, X_W, 16, 0, 0},
    {0, 1, 0x29, 0x29, X_ST, 16, 0, 0},
    {0x66, 1, 0x28, 0x28, X_W, 16, 0, 0},
    {0x66, 1, 0x29, 0x29, X_ST, 16, 0, 0},
    {0x66, 1, 0x6f, 0x6f, X_W, 16, 0, 0},
    {0x66, 1, 0x7f, 0x7f, X_ST, 16, 0, 0},
    {0xf3, 1, 0x6f, 0x6f, X_W, 16, UNALIGNED, 0},
    {0xf3, 1, 0x7f, 0x7f, X_ST, 16, UNALIGNED, 0},
    {0xf3, 1, 0x7e, 0x7e, X_W, 8, UNALIGNED, 0},
    {0x66, 1, 0xd6, 0xd6, X_ST, 8, UNALIGNED, 0},
    {0, 1, 0x12, 0x12, X_RW, 8, UNALIGNED, 0},
    {0, 1, 0x16, 0x16, X_RW, 8, UNALIGNED, 0},
    {0, 1, 0x13, 0x13, X_ST, 8, UNALIGNED | MEM, 0},
    {0, 1, 0x17, 0x17, X_ST, 8, UNALIGNED | MEM, 0},
    {0x66, 1, 0x12, 0x12, X_RW, 8, UNALIGNED | MEM, 0},
    {0x66, 1, 0x16, 0x16, X_RW, 8, UNALIGNED | MEM, 0},
    {0x66, 1, 0x13, 0x13, X_ST, 8, UNALIGNED | MEM, 0},
    {0x66, 1, 0x17, 0x17, X_ST, 8, UNALIGNED | MEM, 0},
    {0xf2, 1, 0x12, 0x12, X_W, 8, UNALIGNED, 0},
    {0x66, 1, 0x6e, 0x6e, X_XG, 0, UNALIGNED | OSZ, 0},
    {0x66, 1, 0x7e, 0x7e, X_STG, 0, UNALIGNED | OSZ, 0},
    {0, 1, 0x50, 0x50, X_GX, 16, REGS, 0},
    {0x66, 1, 0x50, 0x50, X_GX, 16, REGS, 0},
    {0x66, 1, 0xd7, 0xd7, X_GX, 16, REGS, 0},
    {0x66, 1, 0xc5, 0xc5, X_GX, 16, REGS, 1},
    /* bitwise, shuffles */
    {0, 1, 0x14, 0x15, X_RW, 16, 0, 0},
    {0x66, 1, 0x14, 0x15, X_RW, 16, 0, 0},
    {0, 1, 0x54, 0x57, X_RW, 16, 0, 0},
    {0x66, 1, 0x54, 0x57, X_RW, 16, 0, 0},
    {0, 1, 0xc6, 0xc6, X_RW, 16, 0, 1},
    {0x66, 1, 0xc6, 0xc6, X_RW, 16, 0, 1},
    {0x66, 1, 0x70, 0x70, X_W, 16, 0, 1},
    {0xf2, 1, 0x70, 0x70, X_W, 16, 0, 1},
    {0xf3, 1, 0x70, 0x70, X_W, 16, 0, 1},
    {0x66, 3, 0x0e, 0x0f, X_RW, 16, 0, 1},
    {0x66, 2, 0x17, 0x17, X_R, 16, FLAGS, 0},
    /* integers */
    {0x66, 1, 0x60, 0x6d, X_RW, 16, 0, 0},
    {0x66, 1, 0x74, 0x76, X_RW, 16, 0, 0},
    {0x66, 1, 0xd1, 0xd5, X_RW, 16, 0, 0},
    {0x66, 1, 0xd8, 0xe5, X_RW, 16, 0, 0},
    {0x66, 1, 0xe8, 0xef, X_RW, 16, 0, 0},
    {0x66, 1, 0xf1, 0xf6, X_RW, 16, 0, 0},
    {0x66, 1, 0xf8, 0xfe, X_RW, 16, 0, 0},
    {0x66, 1, 0x71, 0x73, X_SH, 16, REGS, 1},
    {0x66, 2, 0x00, 0x0b, X_RW, 16, 0, 0},
    {0x66, 2, 0x1c, 0x1e, X_W, 16, 0, 0},
    {0x66, 2, 0x28, 0x29, X_RW, 16, 0, 0},
    {0x66, 2, 0x2b, 0x2b, X_RW, 16, 0, 0},
    {0x66, 2, 0x37, 0x40, X_RW, 16, 0, 0},
    /* strings; their memory operand need not be aligned */
    {0x66, 3, 0x63, 0x63, X_R, 16, UNALIGNED | FLAGS, 1},
    /* arithmetic; 5A and 5B convert */
    {0, 1, 0x58, 0x59, X_RW, 16, FP, 0},
    {0, 1, 0x5b, 0x5b, X_W, 16, FP, 0},
    {0, 1, 0x5c, 0x5f, X_RW, 16, FP, 0},
    {0x66, 1, 0x58, 0x59, X_RW, 16, FP, 0},
    {0x66, 1, 0x5a, 0x5b, X_W, 16, FP, 0},
    {0x66, 1, 0x5c, 0x5f, X_RW, 16, FP, 0},
    {0xf3, 1, 0x58, 0x5a, X_RW, 4, UNALIGNED | FP, 0},
    {0xf3, 1, 0x5b, 0x5b, X_W, 16, FP, 0},
    {0xf3, 1, 0x5c, 0x5f, X_RW, 4, UNALIGNED | FP, 0},
    {0xf2, 1, 0x58, 0x5a, X_RW, 8, UNALIGNED | FP, 0},
    {0xf2, 1, 0x5c, 0x5f, X_RW, 8, UNALIGNED | FP, 0},
    {0, 1, 0x5a, 0x5a, X_W, 8, UNALIGNED | FP, 0},
    {0, 1, 0x51, 0x51, X_W, 16, FP, 0},
    {0x66, 1, 0x51, 0x51, X_W, 16, FP, 0},
    {0xf3, 1, 0x51, 0x51, X_RW, 4, UNALIGNED | FP, 0},
    {0xf2, 1, 0x51, 0x51, X_RW, 8, UNALIGNED | FP, 0},
    {0, 1, 0xc2, 0xc2, X_RW, 16, FP, 1},
    {0x66, 1, 0xc2, 0xc2, X_RW, 16, FP, 1},
    {0xf3, 1, 0xc2, 0xc2, X_RW, 4, UNALIGNED | FP, 1},
    {0xf2, 1, 0xc2, 0xc2, X_RW, 8, UNALIGNED | FP, 1},
    {0, 1, 0x2e, 0x2f, X_R, 4, UNALIGNED | FP | FLAGS, 0},
    {0x66, 1, 0x2e, 0x2f, X_R, 8, UNALIGNED | FP | FLAGS, 0},
    {0xf3, 1, 0x2a, 0x2a, X_XG, 0, UNALIGNED | FP | OSZ, 0},
    {0xf2, 1, 0x2a, 0x2a, X_XG, 0, UNALIGNED | FP | OSZ, 0},
    {0xf3, 1, 0x2c, 0x2d, X_GXM, 4, UNALIGNED | FP, 0},
    {0xf2, 1, 0x2c, 0x2d, X_GXM, 8, UNALIGNED | FP, 0},
    {0xf3, 1, 0xe6, 0xe6, X_W, 8, UNALIGNED | FP, 0},
    {0xf2, 1, 0xe6, 0xe6, X_W, 16, FP, 0},
    {0x66, 1, 0xe6, 0xe6, X_W, 16, FP, 0},
};

bool sq_jit_sse(struct sq_jit_op *op, unsigned prefix, unsigned map,
                unsigned opcode, unsigned ext)
{
    const struct row *r = NULL;

    for (size_t k = 0; k < SQ_ARRAY_LEN(rows) && !r; k++)
        if (rows[k].prefix == prefix && rows[k].map == map &&
            opcode >= rows[k].first && opcode <= rows[k].last)
            r = &rows[k];
    if (!r || (op->mem && r->flags & REGS) || (!op->mem && r->flags & MEM))
        return false;
    op->kind = JK_SSE;
    op->opc = SQ_OPC(prefix, map, opcode);
    op->form = r->form;
    op->ext = (uint8_t)ext;
    op->mem_size = r->flags & OSZ ? op->size : r->size;
    op->aligned = !(r->flags & UNALIGNED);
    op->fp = r->flags & FP;
    op->imm_len = r->imm;
    op->rd = 0;
    op->wr = r->flags & FLAGS ? FL_STATUS : 0;
    op->touches = op->wr != 0;
    return true;
}

/* --- emission ------------------------------------------------------------ */

enum { XMM0, XMM1 };

static struct sq_emit_mem xmm_home(unsigned n)
{
    _Static_assert(offsetof(struct sq_x86_cpu, ymm) % 32 == 0, "MOVAPS");
    return sq_jit_cpu(CPU(ymm) + (int32_t)n * 32);
}

static void xmm_load(struct sq_tr *t, unsigned to, unsigned n)
{
    sq_emit_rm(&t->e, SQ_OPC(0, 1, 0x28), 0, to, xmm_home(n));
}

static void xmm_store(struct sq_tr *t, unsigned n, unsigned from)
{
    sq_emit_rm(&t->e, SQ_OPC(0, 1, 0x29), 0, from, xmm_home(n));
}

/* Whether SSE may be used at all is found out once for a block, because the
 * interpreter raises if not; whether natively, each time. */
static void check_usable(struct sq_tr *t, bool fp)
{
    if (!fp && t->sse_checked)
        return;
    sq_emit_rm(&t->e, SQ_OPC(0, 0, 0x80), 0, 7,
               sq_jit_cpu(fp ? CPU(js.no_fp) : CPU(js.no_sse)));
    sq_emit_u8(&t->e, 0);
    sq_tr_interp_if(t, 5);
    t->host_ok = false;
    t->sse_checked = true;
}

/* The general register operand at `off`, for reading or writing. */
static unsigned gpr(struct sq_tr *t, uint8_t off, bool read)
{
    if (!sq_jit_homed(off / 8))
        return sq_jit_host(off / 8);
    if (read)
        sq_emit_load(&t->e, H_10, HOME(off / 8));
    return H_10;
}

static void gpr_done(struct sq_tr *t, uint8_t off)
{
    if (sq_jit_homed(off / 8))
        sq_emit_store(&t->e, HOME(off / 8), H_10);
}

static void emit_op(struct sq_tr *t, unsigned reg, unsigned rm)
{
    static const struct sq_emit_mem at_r9 = {H_9, H_NONE, 0, 0};
    const struct sq_jit_op *op = sq_tr_op(t);
    unsigned fl = op->size == 8 ? SQ_E_W : 0;

    if (op->mem)
        sq_emit_rm(&t->e, op->opc, fl, reg, at_r9);
    else
        sq_emit_rr(&t->e, op->opc, fl, reg, rm);
    sq_emit_imm(&t->e, op->in.imm, op->imm_len);
}

void sq_tr_sse(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    unsigned reg = op->in.reg, rm = op->in.rm;
    bool store = op->form == X_ST || op->form == X_STG;

    check_usable(t, op->fp);
    if (op->mem) {
        sq_tr_ea(t);
        if (op->aligned) /* #GP comes before page faults */
            sq_tr_check_aligned(t, 16);
        sq_tr_check(t, op->mem_size, store);
    }
    switch (op->form) {
    case X_RW:
    case X_W:
    case X_R:
        if (op->form != X_W)
            xmm_load(t, XMM0, reg);
        if (!op->mem)
            xmm_load(t, XMM1, rm);
        emit_op(t, XMM0, XMM1);
        if (op->form != X_R)
            xmm_store(t, reg, XMM0);
        break;
    case X_ST:
        xmm_load(t, XMM0, reg);
        if (!op->mem)
            xmm_load(t, XMM1, rm);
        emit_op(t, XMM0, XMM1);
        if (!op->mem)
            xmm_store(t, rm, XMM1);
        break;
    case X_GX:
    case X_GXM:
        if (!op->mem)
            xmm_load(t, XMM1, rm);
        emit_op(t, gpr(t, (uint8_t)reg, false), XMM1);
        gpr_done(t, (uint8_t)reg);
        break;
    case X_XG:
        xmm_load(t, XMM0, reg);
        emit_op(t, XMM0, op->mem ? 0 : gpr(t, (uint8_t)rm, true));
        xmm_store(t, reg, XMM0);
        break;
    case X_STG:
        xmm_load(t, XMM0, reg);
        emit_op(t, XMM0, op->mem ? 0 : gpr(t, (uint8_t)rm, false));
        if (!op->mem)
            gpr_done(t, (uint8_t)rm);
        break;
    default:
        xmm_load(t, XMM1, rm);
        emit_op(t, op->ext, XMM1);
        xmm_store(t, rm, XMM1);
        break;
    }
}

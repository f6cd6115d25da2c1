/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSE to SSE4.2, natively. A block that has such instructions begins by
 * making sure that the guest's XMM registers and MXCSR are in the host's
 * (js.xmm_in); they stay there until something leaves translated code, so a
 * loop pays for them once. They are brought in only while the guest may use
 * them (else the interpreter raises what is due) and masks all exceptions.
 */
#include "backends/soft/x86_64/jit/tr.h"

enum {
    UNALIGNED = 1, /* or fewer than 16 bytes of memory */
    FLAGS = 2,     /* sets the status flags */
    OSZ = 4,       /* the memory operand has the operand size */
    REGS = 8,      /* only between registers, */
    MEM = 16,      /* or never */
    AES = 32,      /* SQ_JIT_AES */
};

static const struct row {
    uint8_t prefix, map, first, last, form, size, flags, imm;
} rows[] = {
    /* moves */
    {0, 1, 0x10, 0x10, X_RM, 16, UNALIGNED, 0},
    {0, 1, 0x11, 0x11, X_ST, 16, UNALIGNED, 0},
    {0x66, 1, 0x10, 0x10, X_RM, 16, UNALIGNED, 0},
    {0x66, 1, 0x11, 0x11, X_ST, 16, UNALIGNED, 0},
    {0xf3, 1, 0x10, 0x10, X_RM, 4, UNALIGNED, 0},
    {0xf3, 1, 0x11, 0x11, X_ST, 4, UNALIGNED, 0},
    {0xf2, 1, 0x10, 0x10, X_RM, 8, UNALIGNED, 0},
    {0xf2, 1, 0x11, 0x11, X_ST, 8, UNALIGNED, 0},
    {0, 1, 0x28, 0x28, X_RM, 16, 0, 0},
    {0, 1, 0x29, 0x29, X_ST, 16, 0, 0},
    {0x66, 1, 0x28, 0x28, X_RM, 16, 0, 0},
    {0x66, 1, 0x29, 0x29, X_ST, 16, 0, 0},
    {0x66, 1, 0x6f, 0x6f, X_RM, 16, 0, 0},
    {0x66, 1, 0x7f, 0x7f, X_ST, 16, 0, 0},
    {0xf3, 1, 0x6f, 0x6f, X_RM, 16, UNALIGNED, 0},
    {0xf3, 1, 0x7f, 0x7f, X_ST, 16, UNALIGNED, 0},
    {0xf3, 1, 0x7e, 0x7e, X_RM, 8, UNALIGNED, 0},
    {0x66, 1, 0xd6, 0xd6, X_ST, 8, UNALIGNED, 0},
    {0, 1, 0x12, 0x12, X_RM, 8, UNALIGNED, 0},
    {0, 1, 0x16, 0x16, X_RM, 8, UNALIGNED, 0},
    {0, 1, 0x13, 0x13, X_ST, 8, UNALIGNED | MEM, 0},
    {0, 1, 0x17, 0x17, X_ST, 8, UNALIGNED | MEM, 0},
    {0x66, 1, 0x12, 0x12, X_RM, 8, UNALIGNED | MEM, 0},
    {0x66, 1, 0x16, 0x16, X_RM, 8, UNALIGNED | MEM, 0},
    {0x66, 1, 0x13, 0x13, X_ST, 8, UNALIGNED | MEM, 0},
    {0x66, 1, 0x17, 0x17, X_ST, 8, UNALIGNED | MEM, 0},
    {0xf2, 1, 0x12, 0x12, X_RM, 8, UNALIGNED, 0},
    {0x66, 1, 0x6e, 0x6e, X_XG, 0, UNALIGNED | OSZ, 0},
    {0x66, 1, 0x7e, 0x7e, X_STG, 0, UNALIGNED | OSZ, 0},
    {0, 1, 0x50, 0x50, X_GX, 16, REGS, 0},
    {0x66, 1, 0x50, 0x50, X_GX, 16, REGS, 0},
    {0x66, 1, 0xd7, 0xd7, X_GX, 16, REGS, 0},
    {0x66, 1, 0xc5, 0xc5, X_GX, 16, REGS, 1},
    /* bitwise, shuffles */
    {0, 1, 0x14, 0x15, X_RM, 16, 0, 0},
    {0x66, 1, 0x14, 0x15, X_RM, 16, 0, 0},
    {0, 1, 0x54, 0x57, X_RM, 16, 0, 0},
    {0x66, 1, 0x54, 0x57, X_RM, 16, 0, 0},
    {0, 1, 0xc6, 0xc6, X_RM, 16, 0, 1},
    {0x66, 1, 0xc6, 0xc6, X_RM, 16, 0, 1},
    {0x66, 1, 0x70, 0x70, X_RM, 16, 0, 1},
    {0xf2, 1, 0x70, 0x70, X_RM, 16, 0, 1},
    {0xf3, 1, 0x70, 0x70, X_RM, 16, 0, 1},
    {0x66, 3, 0x0e, 0x0f, X_RM, 16, 0, 1},
    {0x66, 2, 0x17, 0x17, X_RM, 16, FLAGS, 0},
    /* integers */
    {0x66, 1, 0x60, 0x6d, X_RM, 16, 0, 0},
    {0x66, 1, 0x74, 0x76, X_RM, 16, 0, 0},
    {0x66, 1, 0xd1, 0xd5, X_RM, 16, 0, 0},
    {0x66, 1, 0xd8, 0xe5, X_RM, 16, 0, 0},
    {0x66, 1, 0xe8, 0xef, X_RM, 16, 0, 0},
    {0x66, 1, 0xf1, 0xf6, X_RM, 16, 0, 0},
    {0x66, 1, 0xf8, 0xfe, X_RM, 16, 0, 0},
    {0x66, 1, 0x71, 0x73, X_SH, 16, REGS, 1},
    {0x66, 2, 0x00, 0x0b, X_RM, 16, 0, 0},
    {0x66, 2, 0x1c, 0x1e, X_RM, 16, 0, 0},
    {0x66, 2, 0x28, 0x29, X_RM, 16, 0, 0},
    {0x66, 2, 0x2b, 0x2b, X_RM, 16, 0, 0},
    {0x66, 2, 0x37, 0x40, X_RM, 16, 0, 0},
    {0x66, 1, 0xc4, 0xc4, X_XG, 2, REGS, 1},
    {0x66, 3, 0x14, 0x17, X_STG, 4, REGS, 1},
    {0x66, 3, 0x20, 0x20, X_XG, 1, REGS, 1},
    {0x66, 3, 0x22, 0x22, X_XG, 0, UNALIGNED | OSZ, 1},
    /* cryptography */
    {0x66, 2, 0xdb, 0xdf, X_RM, 16, AES, 0},
    {0x66, 3, 0xdf, 0xdf, X_RM, 16, AES, 1},
    {0x66, 3, 0x44, 0x44, X_RM, 16, AES, 1},
    /* strings; their memory operand need not be aligned */
    {0x66, 3, 0x63, 0x63, X_RM, 16, UNALIGNED | FLAGS, 1},
    /* arithmetic; 5A and 5B convert */
    {0, 1, 0x58, 0x59, X_RM, 16, 0, 0},
    {0, 1, 0x5b, 0x5b, X_RM, 16, 0, 0},
    {0, 1, 0x5c, 0x5f, X_RM, 16, 0, 0},
    {0x66, 1, 0x58, 0x59, X_RM, 16, 0, 0},
    {0x66, 1, 0x5a, 0x5b, X_RM, 16, 0, 0},
    {0x66, 1, 0x5c, 0x5f, X_RM, 16, 0, 0},
    {0xf3, 1, 0x58, 0x5a, X_RM, 4, UNALIGNED, 0},
    {0xf3, 1, 0x5b, 0x5b, X_RM, 16, 0, 0},
    {0xf3, 1, 0x5c, 0x5f, X_RM, 4, UNALIGNED, 0},
    {0xf2, 1, 0x58, 0x5a, X_RM, 8, UNALIGNED, 0},
    {0xf2, 1, 0x5c, 0x5f, X_RM, 8, UNALIGNED, 0},
    {0, 1, 0x5a, 0x5a, X_RM, 8, UNALIGNED, 0},
    {0, 1, 0x51, 0x51, X_RM, 16, 0, 0},
    {0x66, 1, 0x51, 0x51, X_RM, 16, 0, 0},
    {0xf3, 1, 0x51, 0x51, X_RM, 4, UNALIGNED, 0},
    {0xf2, 1, 0x51, 0x51, X_RM, 8, UNALIGNED, 0},
    {0, 1, 0xc2, 0xc2, X_RM, 16, 0, 1},
    {0x66, 1, 0xc2, 0xc2, X_RM, 16, 0, 1},
    {0xf3, 1, 0xc2, 0xc2, X_RM, 4, UNALIGNED, 1},
    {0xf2, 1, 0xc2, 0xc2, X_RM, 8, UNALIGNED, 1},
    {0, 1, 0x2e, 0x2f, X_RM, 4, UNALIGNED | FLAGS, 0},
    {0x66, 1, 0x2e, 0x2f, X_RM, 8, UNALIGNED | FLAGS, 0},
    {0xf3, 1, 0x2a, 0x2a, X_XG, 0, UNALIGNED | OSZ, 0},
    {0xf2, 1, 0x2a, 0x2a, X_XG, 0, UNALIGNED | OSZ, 0},
    {0xf3, 1, 0x2c, 0x2d, X_GX, 4, UNALIGNED, 0},
    {0xf2, 1, 0x2c, 0x2d, X_GX, 8, UNALIGNED, 0},
    {0xf3, 1, 0xe6, 0xe6, X_RM, 8, UNALIGNED, 0},
    {0xf2, 1, 0xe6, 0xe6, X_RM, 16, 0, 0},
    {0x66, 1, 0xe6, 0xe6, X_RM, 16, 0, 0},
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
    op->imm_len = r->imm;
    op->need = r->flags & AES ? SQ_JIT_AES : 0;
    op->rd = 0;
    op->wr = r->flags & FLAGS ? FL_STATUS : 0;
    op->touches = op->wr != 0;
    return true;
}

/* --- emission ------------------------------------------------------------ */

/* Goes on with the guest's registers in the host's, or leaves before the
 * current instruction. Flags in the host's register are lost. */
void sq_tr_xmm_in(struct sq_tr *t, bool avx)
{
    struct sq_tr_cold *cold;

    sq_emit_rm(&t->e, SQ_OPC(0, 0, 0x80), 0, 7, sq_jit_cpu(CPU(js.xmm_in)));
    sq_emit_u8(&t->e, 0);
    cold = sq_tr_cold(t, COLD_XMM, sq_emit_jump(&t->e, 4));
    cold->index = t->k;
    cold->back = t->e.at;
    if (avx) {
        sq_emit_rm(&t->e, SQ_OPC(0, 0, 0x80), 0, 7,
                   sq_jit_cpu(CPU(js.no_avx)));
        sq_emit_u8(&t->e, 0);
        sq_tr_cold(t, COLD_NO_AVX, sq_emit_jump(&t->e, 5))->index = t->k;
    }
    t->host_ok = false;
    t->xmm_in = true;
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

static void emit_op(struct sq_tr *t, unsigned reg, unsigned rm,
                    struct sq_emit_mem m)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    unsigned fl = op->size == 8 ? SQ_E_W : 0;

    if (op->is_vex && op->mem)
        sq_emit_vex_rm(&t->e, op->opc, op->vex, reg, op->vvvv, m);
    else if (op->is_vex)
        sq_emit_vex_rr(&t->e, op->opc, op->vex, reg, op->vvvv, rm);
    else if (op->mem)
        sq_emit_rm(&t->e, op->opc, fl, reg, m);
    else
        sq_emit_rr(&t->e, op->opc, fl, reg, rm);
    sq_emit_imm(&t->e, op->in.imm, op->imm_len);
}

void sq_tr_sse(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    unsigned reg = op->in.reg, rm = op->in.rm;
    bool store = op->form == X_ST || op->form == X_STG;
    struct sq_emit_mem m = {0};

    if (!t->xmm_in) {
        if (t->live[t->k])
            sq_tr_flags_save(t);
        sq_tr_xmm_in(t, t->b->avx);
    }
    if (op->mem) /* #GP comes before page faults */
        m = sq_tr_access(t, (struct sq_tr_how){
                                .write = store,
                                .align = op->aligned ? op->mem_size : 0});
    switch (op->form) {
    case X_GX:
        emit_op(t, gpr(t, (uint8_t)reg, false), rm, m);
        gpr_done(t, (uint8_t)reg);
        break;
    case X_XG:
        emit_op(t, reg, op->mem ? 0 : gpr(t, (uint8_t)rm, true), m);
        break;
    case X_STG:
        emit_op(t, reg, op->mem ? 0 : gpr(t, (uint8_t)rm, false), m);
        if (!op->mem)
            gpr_done(t, (uint8_t)rm);
        break;
    case X_SH: emit_op(t, op->ext, rm, m); break;
    default: emit_op(t, reg, rm, m); break;
    }
}

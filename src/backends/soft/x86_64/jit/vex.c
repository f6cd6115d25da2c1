/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions with a VEX prefix: which of them run natively, and how. */
#include "backends/soft/x86_64/jit/vex.h"

enum {
    S_FULL = 0, /* of the memory operand: the vector, 16 or 32 bytes; */
    S_HALF = 0x41, S_QUARTER = 0x42, S_EIGHTH = 0x43, /* parts of it; */
    S_W = 0x44, /* 4 or 8 by VEX.W; */
    S_SCALAR = 0x45, /* the same with FMA; else bytes */
};
enum {
    ALIGNED = 1, /* the memory operand must be */
    FLAGS = 2,   /* sets the status flags */
    REGS = 4,    /* only between registers, */
    MEM = 8,     /* or never */
    AES = 16,    /* AES, PCLMULQDQ */
};

#define P66 0x66
#define PF3 0xf3
#define PF2 0xf2

static const struct row {
    uint8_t prefix, map, first, last, form, size, flags, imm;
} rows[] = {
    /* moves */
    {0, 1, 0x10, 0x10, X_RM, S_FULL, 0, 0},
    {0, 1, 0x11, 0x11, X_ST, S_FULL, 0, 0},
    {P66, 1, 0x10, 0x10, X_RM, S_FULL, 0, 0},
    {P66, 1, 0x11, 0x11, X_ST, S_FULL, 0, 0},
    {0, 1, 0x28, 0x28, X_RM, S_FULL, ALIGNED, 0},
    {0, 1, 0x29, 0x29, X_ST, S_FULL, ALIGNED, 0},
    {P66, 1, 0x28, 0x28, X_RM, S_FULL, ALIGNED, 0},
    {P66, 1, 0x29, 0x29, X_ST, S_FULL, ALIGNED, 0},
    {0, 1, 0x2b, 0x2b, X_ST, S_FULL, ALIGNED | MEM, 0},
    {P66, 1, 0x2b, 0x2b, X_ST, S_FULL, ALIGNED | MEM, 0},
    {P66, 1, 0xe7, 0xe7, X_ST, S_FULL, ALIGNED | MEM, 0},
    {P66, 1, 0x6f, 0x6f, X_RM, S_FULL, ALIGNED, 0},
    {P66, 1, 0x7f, 0x7f, X_ST, S_FULL, ALIGNED, 0},
    {PF3, 1, 0x6f, 0x6f, X_RM, S_FULL, 0, 0},
    {PF3, 1, 0x7f, 0x7f, X_ST, S_FULL, 0, 0},
    {PF2, 1, 0xf0, 0xf0, X_RM, S_FULL, MEM, 0},
    {PF3, 1, 0x10, 0x10, X_RM, 4, 0, 0},
    {PF3, 1, 0x11, 0x11, X_ST, 4, 0, 0},
    {PF2, 1, 0x10, 0x10, X_RM, 8, 0, 0},
    {PF2, 1, 0x11, 0x11, X_ST, 8, 0, 0},
    {0, 1, 0x12, 0x12, X_RM, 8, 0, 0},
    {0, 1, 0x16, 0x16, X_RM, 8, 0, 0},
    {P66, 1, 0x12, 0x12, X_RM, 8, MEM, 0},
    {P66, 1, 0x16, 0x16, X_RM, 8, MEM, 0},
    {0, 1, 0x13, 0x13, X_ST, 8, MEM, 0},
    {0, 1, 0x17, 0x17, X_ST, 8, MEM, 0},
    {P66, 1, 0x13, 0x13, X_ST, 8, MEM, 0},
    {P66, 1, 0x17, 0x17, X_ST, 8, MEM, 0},
    {PF3, 1, 0x12, 0x12, X_RM, S_FULL, 0, 0},
    {PF3, 1, 0x16, 0x16, X_RM, S_FULL, 0, 0},
    {PF2, 1, 0x12, 0x12, X_RM, S_FULL, REGS, 0},
    {P66, 1, 0x6e, 0x6e, X_XG, S_W, 0, 0},
    {P66, 1, 0x7e, 0x7e, X_STG, S_W, 0, 0},
    {PF3, 1, 0x7e, 0x7e, X_RM, 8, 0, 0},
    {P66, 1, 0xd6, 0xd6, X_ST, 8, 0, 0},
    {0, 1, 0x50, 0x50, X_GX, S_FULL, REGS, 0},
    {P66, 1, 0x50, 0x50, X_GX, S_FULL, REGS, 0},
    {P66, 1, 0xd7, 0xd7, X_GX, S_FULL, REGS, 0},
    {P66, 1, 0xc5, 0xc5, X_GX, S_FULL, REGS, 1},
    {P66, 1, 0xc4, 0xc4, X_XG, 2, REGS, 1},
    {P66, 3, 0x14, 0x17, X_STG, 4, REGS, 1},
    {P66, 3, 0x20, 0x20, X_XG, 1, REGS, 1},
    {P66, 3, 0x22, 0x22, X_XG, S_W, 0, 1},
    /* broadcasts and lanes */
    {P66, 2, 0x18, 0x18, X_RM, 4, 0, 0},
    {P66, 2, 0x19, 0x19, X_RM, 8, 0, 0},
    {P66, 2, 0x1a, 0x1a, X_RM, 16, MEM, 0},
    {P66, 2, 0x5a, 0x5a, X_RM, 16, MEM, 0},
    {P66, 2, 0x58, 0x58, X_RM, 4, 0, 0},
    {P66, 2, 0x59, 0x59, X_RM, 8, 0, 0},
    {P66, 2, 0x78, 0x78, X_RM, 1, 0, 0},
    {P66, 2, 0x79, 0x79, X_RM, 2, 0, 0},
    {P66, 3, 0x18, 0x18, X_RM, 16, 0, 1},
    {P66, 3, 0x38, 0x38, X_RM, 16, 0, 1},
    {P66, 3, 0x19, 0x19, X_ST, 16, 0, 1},
    {P66, 3, 0x39, 0x39, X_ST, 16, 0, 1},
    /* bitwise, shuffles, blends */
    {0, 1, 0x14, 0x15, X_RM, S_FULL, 0, 0},
    {P66, 1, 0x14, 0x15, X_RM, S_FULL, 0, 0},
    {0, 1, 0x54, 0x57, X_RM, S_FULL, 0, 0},
    {P66, 1, 0x54, 0x57, X_RM, S_FULL, 0, 0},
    {0, 1, 0xc6, 0xc6, X_RM, S_FULL, 0, 1},
    {P66, 1, 0xc6, 0xc6, X_RM, S_FULL, 0, 1},
    {P66, 1, 0x70, 0x70, X_RM, S_FULL, 0, 1},
    {PF2, 1, 0x70, 0x70, X_RM, S_FULL, 0, 1},
    {PF3, 1, 0x70, 0x70, X_RM, S_FULL, 0, 1},
    {P66, 2, 0x0c, 0x0d, X_RM, S_FULL, 0, 0},
    {P66, 2, 0x16, 0x16, X_RM, S_FULL, 0, 0},
    {P66, 2, 0x36, 0x36, X_RM, S_FULL, 0, 0},
    {P66, 3, 0x00, 0x02, X_RM, S_FULL, 0, 1},
    {P66, 3, 0x04, 0x06, X_RM, S_FULL, 0, 1},
    {P66, 3, 0x46, 0x46, X_RM, S_FULL, 0, 1},
    {P66, 3, 0x0c, 0x0f, X_RM, S_FULL, 0, 1},
    {P66, 3, 0x4a, 0x4c, X_RM, S_FULL, 0, 1},
    {P66, 2, 0x17, 0x17, X_RM, S_FULL, FLAGS, 0},
    {P66, 2, 0x20, 0x20, X_RM, S_HALF, 0, 0},
    {P66, 2, 0x21, 0x21, X_RM, S_QUARTER, 0, 0},
    {P66, 2, 0x22, 0x22, X_RM, S_EIGHTH, 0, 0},
    {P66, 2, 0x23, 0x23, X_RM, S_HALF, 0, 0},
    {P66, 2, 0x24, 0x24, X_RM, S_QUARTER, 0, 0},
    {P66, 2, 0x25, 0x25, X_RM, S_HALF, 0, 0},
    {P66, 2, 0x30, 0x30, X_RM, S_HALF, 0, 0},
    {P66, 2, 0x31, 0x31, X_RM, S_QUARTER, 0, 0},
    {P66, 2, 0x32, 0x32, X_RM, S_EIGHTH, 0, 0},
    {P66, 2, 0x33, 0x33, X_RM, S_HALF, 0, 0},
    {P66, 2, 0x34, 0x34, X_RM, S_QUARTER, 0, 0},
    {P66, 2, 0x35, 0x35, X_RM, S_HALF, 0, 0},
    /* integers */
    {P66, 1, 0x60, 0x6d, X_RM, S_FULL, 0, 0},
    {P66, 1, 0x74, 0x76, X_RM, S_FULL, 0, 0},
    {P66, 1, 0xd1, 0xd3, X_RM, 16, 0, 0},
    {P66, 1, 0xd4, 0xd5, X_RM, S_FULL, 0, 0},
    {P66, 1, 0xd8, 0xe0, X_RM, S_FULL, 0, 0},
    {P66, 1, 0xe1, 0xe2, X_RM, 16, 0, 0},
    {P66, 1, 0xe3, 0xe5, X_RM, S_FULL, 0, 0},
    {P66, 1, 0xe8, 0xef, X_RM, S_FULL, 0, 0},
    {P66, 1, 0xf1, 0xf3, X_RM, 16, 0, 0},
    {P66, 1, 0xf4, 0xf6, X_RM, S_FULL, 0, 0},
    {P66, 1, 0xf8, 0xfe, X_RM, S_FULL, 0, 0},
    {P66, 1, 0x71, 0x73, X_SH, S_FULL, REGS, 1},
    {P66, 2, 0x00, 0x0b, X_RM, S_FULL, 0, 0},
    {P66, 2, 0x1c, 0x1e, X_RM, S_FULL, 0, 0},
    {P66, 2, 0x28, 0x29, X_RM, S_FULL, 0, 0},
    {P66, 2, 0x2b, 0x2b, X_RM, S_FULL, 0, 0},
    {P66, 2, 0x37, 0x40, X_RM, S_FULL, 0, 0},
    {P66, 2, 0x45, 0x47, X_RM, S_FULL, 0, 0},
    /* floating point */
    {0, 1, 0x51, 0x51, X_RM, S_FULL, 0, 0},
    {P66, 1, 0x51, 0x51, X_RM, S_FULL, 0, 0},
    {PF3, 1, 0x51, 0x51, X_RM, 4, 0, 0},
    {PF2, 1, 0x51, 0x51, X_RM, 8, 0, 0},
    {0, 1, 0x58, 0x59, X_RM, S_FULL, 0, 0},
    {0, 1, 0x5a, 0x5a, X_RM, S_HALF, 0, 0},
    {0, 1, 0x5b, 0x5f, X_RM, S_FULL, 0, 0},
    {P66, 1, 0x58, 0x5f, X_RM, S_FULL, 0, 0},
    {PF3, 1, 0x58, 0x5a, X_RM, 4, 0, 0},
    {PF3, 1, 0x5b, 0x5b, X_RM, S_FULL, 0, 0},
    {PF3, 1, 0x5c, 0x5f, X_RM, 4, 0, 0},
    {PF2, 1, 0x58, 0x5a, X_RM, 8, 0, 0},
    {PF2, 1, 0x5c, 0x5f, X_RM, 8, 0, 0},
    {0, 1, 0xc2, 0xc2, X_RM, S_FULL, 0, 1},
    {P66, 1, 0xc2, 0xc2, X_RM, S_FULL, 0, 1},
    {PF3, 1, 0xc2, 0xc2, X_RM, 4, 0, 1},
    {PF2, 1, 0xc2, 0xc2, X_RM, 8, 0, 1},
    {0, 1, 0x2e, 0x2f, X_RM, 4, FLAGS, 0},
    {P66, 1, 0x2e, 0x2f, X_RM, 8, FLAGS, 0},
    {P66, 1, 0x7c, 0x7d, X_RM, S_FULL, 0, 0},
    {PF2, 1, 0x7c, 0x7d, X_RM, S_FULL, 0, 0},
    {P66, 1, 0xd0, 0xd0, X_RM, S_FULL, 0, 0},
    {PF2, 1, 0xd0, 0xd0, X_RM, S_FULL, 0, 0},
    {P66, 3, 0x08, 0x09, X_RM, S_FULL, 0, 1},
    {P66, 3, 0x0a, 0x0a, X_RM, 4, 0, 1},
    {P66, 3, 0x0b, 0x0b, X_RM, 8, 0, 1},
    {PF3, 1, 0x2a, 0x2a, X_XG, S_W, 0, 0},
    {PF2, 1, 0x2a, 0x2a, X_XG, S_W, 0, 0},
    {PF3, 1, 0x2c, 0x2d, X_GX, 4, 0, 0},
    {PF2, 1, 0x2c, 0x2d, X_GX, 8, 0, 0},
    {P66, 1, 0xe6, 0xe6, X_RM, S_FULL, 0, 0},
    {PF2, 1, 0xe6, 0xe6, X_RM, S_FULL, 0, 0},
    {PF3, 1, 0xe6, 0xe6, X_RM, S_HALF, 0, 0},
    {P66, 2, 0x13, 0x13, X_RM, S_HALF, 0, 0},
    {P66, 2, 0x96, 0x98, X_RM, S_FULL, 0, 0},
    {P66, 2, 0x99, 0x99, X_RM, S_SCALAR, 0, 0},
    {P66, 2, 0x9a, 0x9a, X_RM, S_FULL, 0, 0},
    {P66, 2, 0x9b, 0x9b, X_RM, S_SCALAR, 0, 0},
    {P66, 2, 0x9c, 0x9c, X_RM, S_FULL, 0, 0},
    {P66, 2, 0x9d, 0x9d, X_RM, S_SCALAR, 0, 0},
    {P66, 2, 0x9e, 0x9e, X_RM, S_FULL, 0, 0},
    {P66, 2, 0x9f, 0x9f, X_RM, S_SCALAR, 0, 0},
    {P66, 2, 0xa6, 0xa8, X_RM, S_FULL, 0, 0},
    {P66, 2, 0xa9, 0xa9, X_RM, S_SCALAR, 0, 0},
    {P66, 2, 0xaa, 0xaa, X_RM, S_FULL, 0, 0},
    {P66, 2, 0xab, 0xab, X_RM, S_SCALAR, 0, 0},
    {P66, 2, 0xac, 0xac, X_RM, S_FULL, 0, 0},
    {P66, 2, 0xad, 0xad, X_RM, S_SCALAR, 0, 0},
    {P66, 2, 0xae, 0xae, X_RM, S_FULL, 0, 0},
    {P66, 2, 0xaf, 0xaf, X_RM, S_SCALAR, 0, 0},
    {P66, 2, 0xb6, 0xb8, X_RM, S_FULL, 0, 0},
    {P66, 2, 0xb9, 0xb9, X_RM, S_SCALAR, 0, 0},
    {P66, 2, 0xba, 0xba, X_RM, S_FULL, 0, 0},
    {P66, 2, 0xbb, 0xbb, X_RM, S_SCALAR, 0, 0},
    {P66, 2, 0xbc, 0xbc, X_RM, S_FULL, 0, 0},
    {P66, 2, 0xbd, 0xbd, X_RM, S_SCALAR, 0, 0},
    {P66, 2, 0xbe, 0xbe, X_RM, S_FULL, 0, 0},
    {P66, 2, 0xbf, 0xbf, X_RM, S_SCALAR, 0, 0},
    /* strings and cryptography */
    {P66, 3, 0x63, 0x63, X_RM, 16, FLAGS, 1},
    {P66, 2, 0xdb, 0xdf, X_RM, 16, AES, 0},
    {P66, 3, 0xdf, 0xdf, X_RM, 16, AES, 1},
    {P66, 3, 0x44, 0x44, X_RM, 16, AES, 1},
};

static uint8_t mem_size(unsigned s, bool w, bool l)
{
    unsigned full = l ? 32 : 16;

    switch (s) {
    case S_FULL: return (uint8_t)full;
    case S_HALF:
    case S_QUARTER:
    case S_EIGHTH: return (uint8_t)(full >> (s & 3));
    case S_W:
    case S_SCALAR: return w ? 8 : 4;
    default: return (uint8_t)s;
    }
}

/* General registers: their flags and roles are those of their kind. */
static bool general(struct sq_jit_op *op, unsigned prefix, unsigned map,
                    unsigned opcode, unsigned ext)
{
    uint16_t wr = 0;

    if (map == 2 && prefix == 0 && opcode == 0xf2)
        wr = FL_STATUS; /* ANDN */
    else if (map == 2 && prefix == 0 && opcode == 0xf3)
        wr = FL_STATUS; /* BLSR, BLSMSK, BLSI */
    else if (map == 2 && prefix == 0 && (opcode == 0xf5 || opcode == 0xf7))
        wr = FL_STATUS; /* BZHI, BEXTR */
    else if (map == 2 && opcode == 0xf7)
        ; /* SHLX, SARX, SHRX */
    else if (map == 2 && prefix != 0x66 && opcode == 0xf5)
        ; /* PEXT, PDEP */
    else if (map == 3 && prefix == 0xf2 && opcode == 0xf0)
        op->imm_len = 1; /* RORX */
    else
        return false;
    op->kind = JK_VEX_G;
    op->reg_is_ext = map == 2 && opcode == 0xf3;
    op->ext = (uint8_t)ext;
    op->mem_size = op->size;
    op->rd = 0;
    op->wr = wr;
    op->touches = wr != 0;
    return true;
}

void sq_jit_vex(struct sq_jit_op *op, const struct sq_jit_vex *v)
{
    const struct row *r = NULL;
    unsigned ext = v->modrm >> 3 & 7u;

    op->rd = 0; /* none of them reads flags */
    op->opc = SQ_OPC(v->prefix, v->map, v->op);
    op->vex = (uint8_t)((v->w ? SQ_E_W : 0) | (v->l ? SQ_E_L : 0));
    op->vvvv = v->vvvv;
    op->need = SQ_JIT_V3;
    if (general(op, v->prefix, v->map, v->op, ext))
        return;
    for (size_t k = 0; k < SQ_ARRAY_LEN(rows) && !r; k++)
        if (rows[k].prefix == v->prefix && rows[k].map == v->map &&
            v->op >= rows[k].first && v->op <= rows[k].last)
            r = &rows[k];
    if (!r || (op->mem && r->flags & REGS) || (!op->mem && r->flags & MEM))
        return;
    op->kind = JK_SSE;
    op->is_vex = true;
    op->form = r->form;
    op->ext = (uint8_t)ext;
    op->mem_size = mem_size(r->size, v->w, v->l);
    op->aligned = r->flags & ALIGNED;
    op->imm_len = r->imm;
    op->wr = r->flags & FLAGS ? FL_STATUS : 0;
    op->touches = op->wr != 0;
    if (r->flags & AES)
        op->need |= SQ_JIT_AES;
}

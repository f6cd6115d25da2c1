/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/soft/x86_64/jit/op.h"

#include <string.h>

#include "backends/soft/x86_64/jit/vex.h"

#define ALL FL_STATUS

uint16_t sq_jit_cc_flags(unsigned cc)
{
    static const uint16_t flags[8] = {
        FL_OF, FL_CF, FL_ZF, FL_CF | FL_ZF, FL_SF, FL_PF, FL_SF | FL_OF,
        FL_SF | FL_OF | FL_ZF};

    return flags[cc >> 1 & 7];
}

/* What the decoder does not keep: opcode map, last byte, ModRM. */
struct raw {
    uint8_t map, op, modrm;
    bool f3;
    uint8_t prefix; /* mandatory one */
};

static struct raw raw_of(const uint8_t *b, unsigned len)
{
    struct raw r = {0};
    unsigned k = 0;
    bool o16 = false;

    for (; k < len; k++) {
        uint8_t v = b[k];

        if (v == 0xf3 || v == 0xf2)
            r.prefix = v;
        else if (v == 0x66)
            o16 = true;
        else if (v != 0x67 && v != 0xf0 && v != 0x64 &&
                 v != 0x65 && v != 0x26 && v != 0x2e && v != 0x36 &&
                 v != 0x3e && (v & 0xf0) != 0x40)
            break;
    }
    r.f3 = r.prefix == 0xf3;
    if (!r.prefix && o16)
        r.prefix = 0x66;
    if (k < len && b[k] == 0x0f) {
        r.map = 1;
        k++;
        if (k < len && (b[k] == 0x38 || b[k] == 0x3a))
            r.map = b[k++] == 0x38 ? 2 : 3;
    }
    if (k < len)
        r.op = b[k++];
    if (k < len)
        r.modrm = b[k];
    return r;
}

/* Fills *v if the instruction has a VEX prefix. */
static bool vex_of(const uint8_t *b, unsigned len, struct sq_jit_vex *v)
{
    static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
    unsigned k = 0;
    uint8_t last;

    while (k < len && (b[k] == 0x67 || b[k] == 0x64 || b[k] == 0x65 ||
                       b[k] == 0x26 || b[k] == 0x2e || b[k] == 0x36 ||
                       b[k] == 0x3e))
        k++;
    if (k + 4 > len && !(k + 3 <= len && b[k] == 0xc5))
        return false;
    if (b[k] == 0xc5) {
        last = b[k + 1];
        v->map = 1;
        v->w = false;
        k += 2;
    } else if (b[k] == 0xc4) {
        last = b[k + 2];
        v->map = b[k + 1] & 0x1f;
        v->w = last & 0x80;
        k += 3;
    } else {
        return false;
    }
    v->vvvv = (uint8_t)(~last >> 3 & 15);
    v->l = last & 4;
    v->prefix = prefixes[last & 3];
    v->op = b[k];
    v->modrm = k + 1 < len ? b[k + 1] : 0;
    return true;
}

static bool has_modrm(struct raw r)
{
    uint8_t o = r.op;

    if (r.map == 0)
        return (o < 0x40 && (o & 7) < 4) || o == 0x62 || o == 0x63 ||
               o == 0x69 || o == 0x6b || (o >= 0x80 && o <= 0x8f) ||
               o == 0xc0 || o == 0xc1 || (o >= 0xc4 && o <= 0xc7) ||
               (o >= 0xd0 && o <= 0xd3) || (o >= 0xd8 && o <= 0xdf) ||
               o == 0xf6 || o == 0xf7 || o >= 0xfe;
    if (r.map == 1)
        return !((o >= 0x05 && o <= 0x0b) || (o >= 0x30 && o <= 0x37) ||
                 o == 0x77 || (o >= 0x80 && o <= 0x8f) ||
                 (o >= 0xa0 && o <= 0xa2) || (o >= 0xa8 && o <= 0xaa) ||
                 (o >= 0xc8 && o <= 0xcf));
    return true;
}

static void interp(struct sq_jit_op *op, bool end)
{
    op->kind = end ? JK_INTERP_END : JK_INTERP;
    op->rd = ALL;
    op->wr = 0;
    op->touches = false;
}

/* An instruction with register and r/m operand of its operand size. */
static void rm(struct sq_jit_op *op, uint32_t opc, unsigned reg_role,
               unsigned rm_role)
{
    op->kind = JK_RM;
    op->opc = opc;
    op->reg_role = (uint8_t)reg_role;
    op->rm_role = (uint8_t)rm_role;
    op->reg8 = op->rm8 = op->size == 1;
}

/* One with an opcode extension in ModRM.reg. */
static void ext(struct sq_jit_op *op, uint32_t opc, unsigned x,
                unsigned rm_role, unsigned imm_len)
{
    rm(op, opc, ROLE_NONE, rm_role);
    op->reg_is_ext = true;
    op->ext = (uint8_t)x;
    op->imm_len = (uint8_t)imm_len;
}

static void flags(struct sq_jit_op *op, unsigned rd, unsigned wr)
{
    op->rd = (uint16_t)rd;
    op->wr = (uint16_t)wr;
    op->touches = wr != 0;
}

static unsigned imm_z(const struct sq_jit_op *op)
{
    return op->size == 1 ? 1 : op->size == 2 ? 2 : 4;
}

static void arith(struct sq_jit_op *op, unsigned n)
{
    flags(op, n == 2 || n == 3 ? FL_CF : 0, ALL);
}

static void shift(struct sq_jit_op *op, unsigned x, uint8_t opcode)
{
    unsigned count = opcode == 0xd0 || opcode == 0xd1
                         ? 1u
                         : (unsigned)op->in.imm & (op->size == 8 ? 63 : 31);
    bool by_cl = opcode == 0xd2 || opcode == 0xd3;
    unsigned wr = x >= 4 ? ALL : FL_CF | FL_OF;

    if (x == 6)
        x = 4;
    ext(op, SQ_OPC(0, 0, opcode), x, ROLE_RW,
        opcode == 0xc0 || opcode == 0xc1);
    if (by_cl) {
        flags(op, x == 2 || x == 3 ? FL_CF : 0, 0);
        op->touches = true;
    } else {
        flags(op, x == 2 || x == 3 ? FL_CF : 0, count ? wr : 0);
        /* a count that rotates whole turns still writes CF or nothing */
        if (x < 4)
            op->wr = 0;
        op->touches = true;
    }
}

static void group3(struct sq_jit_op *op, uint8_t opcode, unsigned x)
{
    switch (x) {
    case 0:
    case 1:
        ext(op, SQ_OPC(0, 0, opcode), 0, ROLE_R, imm_z(op));
        flags(op, 0, ALL);
        break;
    case 2: ext(op, SQ_OPC(0, 0, opcode), 2, ROLE_RW, 0); break;
    case 3:
        ext(op, SQ_OPC(0, 0, opcode), 3, ROLE_RW, 0);
        flags(op, 0, ALL);
        break;
    case 4:
    case 5:
        ext(op, SQ_OPC(0, 0, opcode), x, ROLE_R, 0);
        flags(op, 0, ALL);
        break;
    default:
        if (op->size < 4)
            break;
        op->kind = x == 6 ? JK_DIV : JK_IDIV;
        flags(op, 0, ALL);
        op->rd = 0;
    }
}

static void map0(struct sq_jit_op *op, struct raw r)
{
    unsigned x = r.modrm >> 3 & 7, n = r.op >> 3 & 7;
    uint32_t opc = SQ_OPC(0, 0, r.op);

    if (r.op < 0x40 && (r.op & 7) < 6) {
        bool writes = n != 7;

        if ((r.op & 7) < 2) {
            rm(op, opc, ROLE_R, writes ? ROLE_RW : ROLE_R);
        } else if ((r.op & 7) < 4) {
            rm(op, opc, writes ? ROLE_RW : ROLE_R, ROLE_R);
        } else {
            op->in.rm = 0;
            ext(op, SQ_OPC(0, 0, 0x80 | (r.op & 1)), n,
                writes ? ROLE_RW : ROLE_R, imm_z(op));
        }
        arith(op, n);
        return;
    }
    switch (r.op) {
    case 0x50 ... 0x57:
        if (op->size == 8)
            op->kind = JK_PUSH, flags(op, 0, 0);
        break;
    case 0x58 ... 0x5f:
        if (op->size == 8)
            op->kind = JK_POP, flags(op, 0, 0);
        break;
    case 0x63:
        if (op->size < 4)
            break;
        rm(op, opc, ROLE_W, ROLE_R);
        op->mem_size = 4;
        flags(op, 0, 0);
        break;
    case 0x68:
    case 0x6a:
        if (op->size == 8)
            op->kind = JK_PUSH_I, flags(op, 0, 0);
        break;
    case 0x69:
    case 0x6b:
        rm(op, opc, ROLE_W, ROLE_R);
        op->imm_len = (uint8_t)(r.op == 0x6b ? 1 : imm_z(op));
        flags(op, 0, ALL);
        break;
    case 0x70 ... 0x7f:
        op->kind = JK_JCC;
        flags(op, sq_jit_cc_flags(r.op & 15), 0);
        op->ext = r.op & 15;
        break;
    case 0x80:
    case 0x81:
    case 0x83:
        ext(op, opc, x, x == 7 ? ROLE_R : ROLE_RW,
            r.op == 0x81 ? imm_z(op) : 1);
        arith(op, x);
        break;
    case 0x84:
    case 0x85:
        rm(op, opc, ROLE_R, ROLE_R);
        flags(op, 0, ALL);
        break;
    case 0x86:
    case 0x87:
        rm(op, opc, ROLE_RW, ROLE_RW);
        flags(op, 0, 0);
        op->locked = op->mem;
        break;
    case 0x88:
    case 0x89:
        rm(op, opc, ROLE_R, ROLE_W);
        flags(op, 0, 0);
        break;
    case 0x8a:
    case 0x8b:
        rm(op, opc, ROLE_W, ROLE_R);
        flags(op, 0, 0);
        break;
    case 0x8c:
        if (!op->mem && op->size > 2 && op->in.reg <= SEG_GS) {
            op->kind = JK_READ_SEL;
            op->ext = op->in.reg;
            flags(op, 0, 0);
        }
        break;
    case 0x8d:
        op->kind = JK_LEA;
        flags(op, 0, 0);
        break;
    case 0x90 ... 0x97:
        flags(op, 0, 0);
        if (op->in.rm == 0) {
            op->kind = JK_NOP;
            break;
        }
        op->in.reg = 0;
        rm(op, SQ_OPC(0, 0, 0x87), ROLE_RW, ROLE_RW);
        break;
    case 0x98:
    case 0x99:
        op->kind = JK_PLAIN;
        op->opc = opc;
        flags(op, 0, 0);
        break;
    case 0x9e:
    case 0x9f:
        op->kind = JK_PLAIN;
        op->opc = opc;
        op->size = 4;
        flags(op, r.op == 0x9f ? ALL & ~FL_OF : 0,
              r.op == 0x9e ? ALL & ~FL_OF : 0);
        break;
    case 0xa8:
    case 0xa9:
        op->in.rm = 0;
        ext(op, SQ_OPC(0, 0, 0xf6 | (r.op & 1)), 0, ROLE_R, imm_z(op));
        flags(op, 0, ALL);
        break;
    case 0xb0 ... 0xb7:
        ext(op, SQ_OPC(0, 0, 0xc6), 0, ROLE_W, 1);
        flags(op, 0, 0);
        break;
    case 0xb8 ... 0xbf:
        flags(op, 0, 0);
        if (op->size == 2)
            ext(op, SQ_OPC(0, 0, 0xc7), 0, ROLE_W, 2);
        else
            op->kind = JK_MOVI;
        break;
    case 0xc0:
    case 0xc1:
    case 0xd0 ... 0xd3: shift(op, x, r.op); break;
    case 0xc2:
    case 0xc3:
        op->kind = JK_RET;
        flags(op, 0, 0);
        break;
    case 0xc6:
    case 0xc7:
        ext(op, opc, 0, ROLE_W, imm_z(op));
        flags(op, 0, 0);
        break;
    case 0xc9:
        if (op->size == 8)
            op->kind = JK_LEAVE, flags(op, 0, 0);
        break;
    case 0xe8: op->kind = JK_CALL, flags(op, 0, 0); break;
    case 0xe9:
    case 0xeb: op->kind = JK_JMP, flags(op, 0, 0); break;
    case 0xf5:
    case 0xf8:
    case 0xf9:
        op->kind = JK_PLAIN;
        op->opc = opc;
        op->size = 4;
        flags(op, r.op == 0xf5 ? FL_CF : 0, FL_CF);
        break;
    case 0xf6:
    case 0xf7:
        flags(op, 0, 0);
        group3(op, r.op, x);
        if (op->kind == JK_INTERP)
            interp(op, false);
        break;
    case 0xfe:
    case 0xff:
        if (x < 2) {
            ext(op, opc, x, ROLE_RW, 0);
            flags(op, 0, ALL & ~FL_CF);
        } else if (r.op == 0xff && op->size == 8 &&
                   (x == 2 || x == 4 || x == 6)) {
            op->kind = x == 2   ? JK_CALL_I
                       : x == 4 ? JK_JMP_I
                       : op->mem ? JK_PUSH_M
                                 : JK_PUSH;
            flags(op, 0, 0);
        }
        break;
    case 0x9c:
        if (op->size == 8)
            op->kind = JK_PUSHF, flags(op, ALL, 0);
        break;
    case 0xa4:
    case 0xa5:
    case 0xaa:
    case 0xab:
        flags(op, 0, 0);
        if (r.f3 && !(op->in.flags & IF_ASZ32)) {
            op->kind = JK_REP;
            op->ext = r.op;
        }
        break;
    /* strings and x87: these functions leave flags alone or overwrite
     * them, but read none */
    case 0xa6:
    case 0xa7:
    case 0xac ... 0xaf:
    case 0xd8 ... 0xd9:
    case 0xdc ... 0xdf: op->rd = 0; break;
    case 0xfa: op->kind = JK_CLI, flags(op, 0, 0); break;
    case 0xfb: op->kind = JK_STI, flags(op, 0, 0); break;
    case 0xfc: op->kind = JK_CLD, flags(op, 0, 0); break;
    default: break;
    }
}

static void map1(struct sq_jit_op *op, struct raw r)
{
    unsigned x = r.modrm >> 3 & 7;
    uint32_t opc = SQ_OPC(0, 1, r.op);

    switch (r.op) {
    case 0x18 ... 0x1f:
    case 0x0d: op->kind = JK_NOP, flags(op, 0, 0); break;
    case 0x40 ... 0x4f:
        rm(op, opc, ROLE_RW, ROLE_R);
        flags(op, sq_jit_cc_flags(r.op & 15), 0);
        break;
    case 0x80 ... 0x8f:
        op->kind = JK_JCC;
        flags(op, sq_jit_cc_flags(r.op & 15), 0);
        op->ext = r.op & 15;
        break;
    case 0x90 ... 0x9f:
        ext(op, opc, 0, ROLE_W, 0);
        flags(op, sq_jit_cc_flags(r.op & 15), 0);
        break;
    case 0xa3:
    case 0xab:
    case 0xb3:
    case 0xbb:
        rm(op, opc, ROLE_R, r.op == 0xa3 ? ROLE_R : ROLE_RW);
        flags(op, 0, ALL & ~FL_ZF);
        if (op->mem) {
            op->kind = op->size > 2 ? JK_BT_M : JK_INTERP;
            op->rd = op->size > 2 ? 0 : ALL;
        }
        break;
    case 0xba:
        ext(op, opc, x, x == 4 ? ROLE_R : ROLE_RW, 1);
        flags(op, 0, ALL & ~FL_ZF);
        break;
    case 0xa4:
    case 0xac:
        if (op->size == 2)
            break; /* counts above the size are undefined */
        rm(op, opc, ROLE_R, ROLE_RW);
        op->imm_len = 1;
        flags(op, 0, op->in.imm & (op->size == 8 ? 63 : 31) ? ALL : 0);
        op->touches = true;
        break;
    case 0xa5:
    case 0xad:
        if (op->size == 2)
            break;
        rm(op, opc, ROLE_R, ROLE_RW);
        flags(op, 0, 0);
        op->touches = true;
        break;
    case 0xaf:
        rm(op, opc, ROLE_RW, ROLE_R);
        flags(op, 0, ALL);
        break;
    case 0xb0:
    case 0xb1:
        if (!op->mem)
            break;
        rm(op, opc, ROLE_R, ROLE_RW);
        flags(op, 0, ALL);
        break;
    case 0xb6:
    case 0xb7:
    case 0xbe:
    case 0xbf:
        rm(op, opc, ROLE_W, ROLE_R);
        op->rm8 = !(r.op & 1);
        op->reg8 = false;
        op->mem_size = r.op & 1 ? 2 : 1;
        flags(op, 0, 0);
        break;
    case 0xb8:
        if (!r.f3)
            break;
        rm(op, SQ_OPC(0xf3, 1, 0xb8), ROLE_W, ROLE_R);
        flags(op, 0, ALL);
        break;
    case 0xbc:
    case 0xbd: /* without a source bit the destination stays */
        if (r.f3) { /* TZCNT, LZCNT */
            rm(op, SQ_OPC(0xf3, 1, r.op), ROLE_W, ROLE_R);
            op->need = SQ_JIT_V3;
        } else {
            rm(op, opc, ROLE_RW, ROLE_R);
        }
        flags(op, 0, ALL);
        break;
    case 0xc0:
    case 0xc1:
        if (!op->mem && op->in.rm == op->in.reg)
            break;
        rm(op, opc, ROLE_RW, ROLE_RW);
        flags(op, 0, ALL);
        break;
    case 0xc7: /* CMPXCHG8B, CMPXCHG16B */
        op->rd = 0;
        if (!op->mem || x != 1 || r.prefix > 0x66)
            break;
        ext(op, opc, 1, ROLE_RW, 0);
        op->mem_size = op->size == 8 ? 16 : 8;
        op->locked = true; /* its operand must be aligned, anyway */
        flags(op, 0, FL_ZF);
        break;
    case 0xc3:
        rm(op, SQ_OPC(0, 0, 0x89), ROLE_R, ROLE_W);
        flags(op, 0, 0);
        break;
    case 0xc8 ... 0xcf:
        if (op->size >= 4)
            op->kind = JK_BSWAP, flags(op, 0, 0);
        break;
    case 0xae:
        op->rd = 0;
        if (!op->mem && !r.f3 && x >= 5) {
            op->kind = JK_NOP, op->ext = r.modrm, flags(op, 0, 0);
        } else if (!op->mem && r.f3 && x < 4) {
            op->kind = x < 2 ? JK_READ_BASE : JK_WRITE_BASE;
            op->ext = x & 1 ? SEG_GS : SEG_FS;
            flags(op, 0, 0);
        }
        break;
    case 0x20:
        if (op->in.reg == 0 || (op->in.reg >= 2 && op->in.reg <= 4)) {
            op->kind = JK_READ_CR;
            op->ext = op->in.reg;
            flags(op, 0, 0);
        }
        break;
    case 0x01:
        if (r.modrm == 0xf8)
            op->kind = JK_SWAPGS, flags(op, 0, 0);
        else if (r.modrm == 0xf9)
            op->kind = JK_TSC, op->ext = 1, flags(op, 0, 0);
        break;
    case 0x31:
        op->kind = JK_TSC, op->ext = 0, flags(op, 0, 0);
        break;
    /* SSE, RDMSR, CMPXCHG8B: no flags read */
    case 0x10 ... 0x17:
    case 0x28 ... 0x30:
    case 0x32 ... 0x33:
    case 0x50 ... 0x7f:
    case 0xc2:
    case 0xc4 ... 0xc6:
    case 0xd0 ... 0xfe: op->rd = 0; break;
    default: break;
    }
}

static void map2(struct sq_jit_op *op, struct raw r)
{
    op->rd = 0;
    if ((r.op & 0xfe) == 0xf0 && r.prefix == 0xf2) { /* CRC32 */
        rm(op, SQ_OPC(0xf2, 2, r.op), ROLE_RW, ROLE_R);
        op->rm8 = r.op == 0xf0;
        op->reg8 = false;
        op->mem_size = op->rm8 ? 1 : op->size;
        flags(op, 0, 0);
    } else if ((r.op & 0xfe) == 0xf0 && op->mem) { /* MOVBE */
        bool load = r.op == 0xf0;

        rm(op, SQ_OPC(0, 2, r.op), load ? ROLE_W : ROLE_R,
           load ? ROLE_R : ROLE_W);
        flags(op, 0, 0);
        op->need = SQ_JIT_V3;
    } else if (r.op == 0xf6) {
        op->rd = ALL; /* ADCX, ADOX */
    }
}

/* Odd address sizes and displacements are for the interpreter. */
static bool odd_address(const struct sq_x86_insn *i)
{
    return i->flags & IF_SLOW_EA ||
           (i->base == SQ_RIP * 8 && i->disp > INT32_MAX - 8192);
}

static bool is_shift(const struct sq_x86_row *row)
{
    return row->name[0] == 's'; /* SHL, SHR, SAR, SAL */
}

bool sq_jit_op(const uint8_t *bytes, unsigned avail, unsigned off,
               struct sq_jit_op *op)
{
    const struct sq_x86_row *row = NULL;
    struct sq_decode_in in = {.bytes = bytes, .mode = MODE_64,
                              .avail = avail < 15 ? avail : 15,
                              .off = (uint16_t)off};
    struct sq_jit_vex v;
    struct raw r;

    *op = (struct sq_jit_op){0};
    switch (sq_x86_decode(&in, &op->in, &row)) {
    case DECODE_OK: break;
    case DECODE_MORE: return false;
    default:
        interp(op, true);
        if (!op->in.len)
            op->in.len = 1;
        return true;
    }
    interp(op, row->attr & A_END);
    /* All of them clear AF behind AND, OR, XOR and TEST. */
    op->undefined = row->undefined == FL_AF && !is_shift(row) ? 0
                                                              : row->undefined;
    if (vex_of(bytes, op->in.len, &v)) {
        op->mem = v.modrm < 0xc0 && !(v.map == 1 && v.op == 0x77);
        op->size = op->mem_size = v.w ? 8 : 4;
        if (!odd_address(&op->in))
            sq_jit_vex(op, &v);
        return true;
    }
    r = raw_of(bytes, op->in.len);
    op->mem = has_modrm(r) && r.modrm < 0xc0;
    op->size = op->mem_size = (uint8_t)(1u << op->in.osz);
    op->locked = op->in.flags & IF_LOCK;
    if (odd_address(&op->in))
        return true;
    if (r.map == 0)
        map0(op, r);
    else if (r.map == 1)
        map1(op, r);
    else if (r.map == 2)
        map2(op, r);
    else
        op->rd = op->kind == JK_INTERP ? 0 : op->rd;
    if (op->kind == JK_INTERP && r.map)
        sq_jit_sse(op, r.prefix, r.map, r.op, r.modrm >> 3 & 7u);
    if (op->kind == JK_RM && !op->mem)
        op->locked = false;
    return true;
}

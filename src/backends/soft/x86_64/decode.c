/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder: prefixes, opcode, ModRM, SIB, displacement, immediate (SDM
 * vol. 2, chapter 2), driven by the rows' operand forms.
 */
#include "backends/soft/x86_64/tables.h"

static const struct form {
    uint8_t modrm, imm, reg, rm, osz;
} forms[] = {
#define FORM(name, m, i, g, e, o) [FORM_##name] = {m, i, g, e, o},
    SQ_X86_FORMS(FORM)
#undef FORM
};

/* The state of decoding one instruction. */
struct dec {
    const struct sq_decode_in *in;
    struct sq_x86_insn *out;
    unsigned pos;
    bool more; /* ran out of bytes */
    bool o16, a_toggle, lock;
    uint8_t rep; /* 0, 0xf3, 0xf2: the last one given */
    uint8_t rex; /* or the same bits of a VEX prefix */
    bool vex, vex_w, vex_l;
    uint8_t vvvv;
    int seg; /* override, -1: none */
    uint8_t asz; /* 16, 32, 64 */
    uint8_t modrm;
};

static uint64_t take(struct dec *d, unsigned n)
{
    uint64_t v = 0;

    if (d->more || d->pos + n > d->in->avail) {
        d->more = true;
        return 0;
    }
    memcpy(&v, d->in->bytes + d->pos, n);
    d->pos += n;
    return v;
}

static int64_t take_signed(struct dec *d, unsigned n)
{
    uint64_t v = take(d, n);

    switch (n) {
    case 1: return (int8_t)v;
    case 2: return (int16_t)v;
    case 4: return (int32_t)v;
    default: return (int64_t)v;
    }
}

/* Prefixes; a REX that is not last is ignored. Returns the first opcode
 * byte. */
static uint8_t prefixes(struct dec *d)
{
    for (;;) {
        uint8_t b = (uint8_t)take(d, 1);
        uint8_t rex = 0;

        if (d->more || d->pos > 15)
            return 0;
        switch (b) {
        case 0x66: d->o16 = true; break;
        case 0x67: d->a_toggle = true; break;
        case 0xf0: d->lock = true; break;
        case 0xf2:
        case 0xf3: d->rep = b; break;
        /* In 64-bit mode the ES, CS, SS and DS prefixes are ignored, but
         * they do not undo an FS or GS that came before. */
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            if (d->in->mode != MODE_64)
                d->seg = b >> 3 & 3;
            break;
        case 0x64: d->seg = SEG_FS; break;
        case 0x65: d->seg = SEG_GS; break;
        default:
            if (d->in->mode != MODE_64 || (b & 0xf0) != 0x40)
                return b;
            rex = b;
        }
        d->rex = rex;
    }
}

/* Whether C4 or C5 is a VEX prefix: outside 64-bit mode it is LES or LDS
 * unless the next byte, as ModRM, had a register operand (SDM vol. 2,
 * 2.3.5). */
static bool is_vex(struct dec *d, uint8_t b)
{
    uint8_t next;

    if (b != 0xc4 && b != 0xc5)
        return false;
    next = (uint8_t)take(d, 1);
    if (!d->more)
        d->pos--;
    return d->in->mode == MODE_64 || next >= 0xc0;
}

/* The rest of a VEX prefix and the opcode. */
static const struct sq_x86_row *vex_opcode(struct dec *d, uint8_t b)
{
    uint8_t map = 1, rxb = (uint8_t)take(d, 1), last = rxb, op;
    bool m64 = d->in->mode == MODE_64;

    /* Prefixes whose meaning it has itself may not come before it. */
    if (d->lock || d->o16 || d->rep || d->rex)
        return NULL;
    rxb = (uint8_t)~rxb;
    if (b == 0xc4) {
        map = ~rxb & 0x1f;
        last = (uint8_t)take(d, 1);
        d->vex_w = last & 0x80;
    } else {
        rxb &= 0x80;
    }
    op = (uint8_t)take(d, 1);
    if (d->more || map < 1 || map > 3)
        return NULL;
    d->vex = true;
    d->vex_l = last & 4;
    d->vvvv = (uint8_t)(~last >> 3 & (m64 ? 15 : 7));
    if (m64)
        d->rex = (uint8_t)(rxb >> 5 | d->vex_w << 3);
    return sq_x86_row_at(
        (enum sq_x86_table)(SQ_T_VEX_0F_NP + (map - 1) * 4 + (last & 3)), op);
}

static const struct sq_x86_row *opcode(struct dec *d, uint8_t b)
{
    static const uint8_t two[] = {SQ_T_2_NP, SQ_T_2_66, SQ_T_2_F3,
                                  SQ_T_2_F2};
    static const uint8_t map38[] = {SQ_T_38_NP, SQ_T_38_66, SQ_T_38_F3,
                                    SQ_T_38_F2};
    const struct sq_x86_row *row;
    unsigned p;

    if (is_vex(d, b))
        return vex_opcode(d, b);
    if (b != 0x0f) {
        d->out->imm2 = b;
        return sq_x86_row_at(SQ_T_1, b);
    }
    b = (uint8_t)take(d, 1);
    p = d->rep == 0xf3 ? 2 : d->rep == 0xf2 ? 3 : d->o16 ? 1 : 0;
    if (b == 0x38) {
        b = (uint8_t)take(d, 1);
        row = sq_x86_row_at(map38[p], b);
    } else if (b == 0x3a) {
        b = (uint8_t)take(d, 1);
        if (p >= 2)
            return NULL;
        row = sq_x86_row_at(p == 1 ? SQ_T_3A_66 : SQ_T_3A_NP, b);
    } else {
        row = sq_x86_row_at(two[p], b);
        if (!row)
            row = sq_x86_row_at(SQ_T_2, b);
    }
    d->out->imm2 = b;
    return row;
}

static uint8_t reg_offset(const struct dec *d, unsigned cls, unsigned n)
{
    if (cls == RC_N)
        return (uint8_t)n;
    /* SPL..DIL need a REX prefix; without one these are AH..BH. */
    if (cls == RC_8 && !d->rex && n >= 4 && n < 8)
        return (uint8_t)((n - 4) * 8 + 1);
    return (uint8_t)(n * 8);
}

/* 16-bit addressing forms (SDM vol. 2, table 2-1). */
static void memory16(struct dec *d)
{
    static const uint8_t base[8] = {R_BX, R_BX, R_BP, R_BP,
                                    R_SI, R_DI, R_BP, R_BX};
    static const uint8_t index[8] = {R_SI, R_DI, R_SI, R_DI,
                                     SQ_ZERO, SQ_ZERO, SQ_ZERO, SQ_ZERO};
    unsigned mod = d->modrm >> 6, rm = d->modrm & 7;
    struct sq_x86_insn *o = d->out;

    o->base = (uint8_t)(base[rm] * 8);
    o->index = (uint8_t)(index[rm] * 8);
    if (mod == 0 && rm == 6) {
        o->base = SQ_ZERO * 8;
        o->disp = (int32_t)take_signed(d, 2);
    } else if (mod) {
        o->disp = (int32_t)take_signed(d, mod == 1 ? 1 : 2);
    }
    o->seg = o->base == R_BP * 8 ? SEG_SS : SEG_DS;
}

/* `vsib`: the index is a vector register's number. */
static void memory(struct dec *d, bool vsib)
{
    unsigned mod = d->modrm >> 6, rm = d->modrm & 7;
    struct sq_x86_insn *o = d->out;
    bool stack = false;

    o->index = SQ_ZERO * 8;
    if (d->asz == 16) {
        memory16(d);
    } else {
        unsigned base = rm | (d->rex & 1u) << 3;

        if (rm == 4) {
            uint8_t sib = (uint8_t)take(d, 1);
            unsigned index = (sib >> 3 & 7u) | (d->rex & 2u) << 2;

            rm = sib & 7;
            base = rm | (d->rex & 1u) << 3;
            if (index != 4 || vsib) {
                o->index = (uint8_t)(vsib ? index : index * 8);
                o->scale = sib >> 6;
            }
            if (rm == 5 && mod == 0)
                base = SQ_ZERO;
        } else if (rm == 5 && mod == 0) {
            base = d->in->mode == MODE_64 ? SQ_RIP : SQ_ZERO;
        }
        stack = base == R_SP || base == R_BP;
        o->base = (uint8_t)(base * 8);
        if (mod == 1)
            o->disp = (int32_t)take_signed(d, 1);
        else if (mod == 2 || base >= 16)
            o->disp = (int32_t)take_signed(d, 4);
        o->seg = stack ? SEG_SS : SEG_DS;
    }
    if (d->in->mode != MODE_64 || d->asz != 64)
        o->flags |= IF_SLOW_EA;
}

static void immediate(struct dec *d, unsigned kind)
{
    struct sq_x86_insn *o = d->out;
    unsigned z = o->osz == 1 ? 2 : 4;

    switch (kind) {
    case IMM_8:
    case IMM_REL8: o->imm = (uint64_t)take_signed(d, 1); break;
    case IMM_U8: o->imm = take(d, 1); break;
    case IMM_16: o->imm = take(d, 2); break;
    case IMM_Z:
    case IMM_RELZ: o->imm = (uint64_t)take_signed(d, z); break;
    case IMM_V:
        o->imm = (uint64_t)take_signed(d, o->osz == 3 ? 8 : z);
        break;
    case IMM_MOFFS: o->imm = take(d, d->asz / 8u); break;
    case IMM_FAR:
        o->imm = take(d, z);
        o->disp = (int32_t)take(d, 2);
        break;
    case IMM_16_8:
        o->imm = take(d, 2);
        o->imm2 = (uint8_t)take(d, 1);
        break;
    default: break;
    }
}

static uint8_t operand_size(const struct dec *d, const struct form *f,
                            uint16_t attr)
{
    bool m64 = d->in->mode == MODE_64, w = d->rex & 8;
    bool toggled = (d->in->mode == MODE_16) != d->o16;

    switch (f->osz) {
    case OSZ_8: return 0;
    case OSZ_16: return 1;
    case OSZ_64: return 3;
    case OSZ_Y: return w ? 3 : 2;
    case OSZ_WL: /* W means the size of general registers, if there is one */
        w = d->vex_w && (m64 || (f->reg != RC_V && f->rm != RC_V));
        return (uint8_t)(w | d->vex_l << 1);
    default: break;
    }
    if (m64 && attr & A_F64)
        return 3;
    if (f->osz == OSZ_32)
        return 2;
    if (m64 && attr & A_D64)
        return d->o16 && !w ? 1 : 3;
    if (w)
        return 3;
    return toggled ? 1 : 2;
}

/* What a VEX prefix must be like for the row. Sets vvvv's register. */
static bool vex_fits(struct dec *d, const struct form *f, uint16_t attr,
                     bool mem, bool vsib)
{
    if (!d->vex)
        return true;
    if (f->osz != OSZ_WL && d->vex_l)
        return false;
    if (vsib && ((d->modrm & 7) != 4 || d->asz == 16))
        return false;
    if (!(attr & A_VV) && (mem || !(attr & A_VVR)))
        return d->vvvv == 0;
    d->out->imm2 = reg_offset(d, f->reg, d->vvvv);
    return true;
}

/* Registers that opcode bits name: the eight-row forms. */
static bool opcode_register(unsigned form)
{
    return form == FORM_O8I8 || form == FORM_OVIV || form == FORM_OV;
}

enum sq_decode_result sq_x86_decode(const struct sq_decode_in *in,
                                    struct sq_x86_insn *o,
                                    const struct sq_x86_row **row_out)
{
    struct dec d = {.in = in, .out = o, .seg = -1};
    const struct sq_x86_row *row;
    const struct form *f;
    bool mem = false, vsib = false, default32 = in->mode != MODE_16;
    uint16_t attr = 0;
    uint8_t b;

    *o = (struct sq_x86_insn){.off = in->off, .base = SQ_ZERO * 8,
                              .index = SQ_ZERO * 8};
    b = prefixes(&d);
    if (d.pos > 15)
        return DECODE_GP;
    if (in->mode == MODE_64)
        d.asz = d.a_toggle ? 32 : 64;
    else
        d.asz = default32 != d.a_toggle ? 32 : 16;
    row = d.more ? NULL : opcode(&d, b);
    if (d.more)
        goto more;
    if (!row && (b & 0xf8) == 0xd8) {
        d.modrm = (uint8_t)take(&d, 1);
        row = sq_x86_x87_row(b, d.modrm >= 0xc0, d.modrm >> 3 & 7u);
        d.pos--;
        if (d.more)
            goto more;
    }
    if (row && row->attr & A_GROUP) {
        attr = row->attr & (uint16_t)~A_GROUP;
        d.modrm = (uint8_t)take(&d, 1);
        if (d.more)
            goto more;
        d.pos--;
        row = sq_x86_group_row(row->group, d.modrm >= 0xc0,
                               d.modrm >> 3 & 7u);
    }
    if (!row) {
        o->len = (uint8_t)d.pos;
        return DECODE_UD;
    }
    attr |= row->attr;
    f = &forms[row->form];
    o->osz = operand_size(&d, f, attr);
    if (f->modrm) {
        d.modrm = (uint8_t)take(&d, 1);
        o->reg = reg_offset(&d, f->reg, (d.modrm >> 3 & 7u) |
                                            (d.rex & 4u) << 1);
        if (row->form == FORM_SEGE)
            o->reg &= 7; /* REX.R does not reach segment registers */
        mem = d.modrm < 0xc0 && row->form != FORM_CRE;
        vsib = row->form == FORM_VSIB;
        if (mem)
            memory(&d, vsib);
        else
            o->rm = reg_offset(&d, f->rm, (d.modrm & 7u) |
                                              (d.rex & 1u) << 3);
    } else if (opcode_register(row->form)) {
        o->rm = reg_offset(&d, f->rm, (o->imm2 & 7u) | (d.rex & 1u) << 3);
    }
    immediate(&d, f->imm);
    if (d.more)
        goto more;
    if (d.pos > 15)
        return DECODE_GP;
    o->len = (uint8_t)d.pos;
    if ((attr & A_NO64 && in->mode == MODE_64) ||
        (attr & A_ONLY64 && in->mode != MODE_64) ||
        (attr & A_NOREP && d.rep) || (attr & A_NO66 && d.o16) ||
        !vex_fits(&d, f, attr, mem, vsib) ||
        (d.lock && !(attr & A_LOCK && mem)))
        return DECODE_UD;
    if (d.lock)
        o->flags |= IF_LOCK;
    if (d.rep)
        o->flags |= d.rep == 0xf3 ? IF_REP : IF_REPNE;
    if (d.asz != 64)
        o->flags |= d.asz == 32 ? IF_ASZ32 : IF_ASZ16;
    if (d.o16)
        o->flags |= IF_O16;
    if (in->mode == MODE_64) {
        o->seg = d.seg >= 0 ? (uint8_t)d.seg : SEG_NONE;
    } else {
        if (!mem)
            o->seg = SEG_DS;
        if (d.seg >= 0)
            o->seg = (uint8_t)d.seg;
    }
    if (mem && o->base == SQ_RIP * 8) {
        int64_t disp = (int64_t)o->disp + in->off + o->len;

        if (disp == (int32_t)disp) {
            o->disp = (int32_t)disp;
        } else {
            o->flags |= IF_RIPREL_RAW | IF_SLOW_EA;
        }
    }
    if (f->imm == IMM_REL8 || f->imm == IMM_RELZ)
        o->imm += in->off + o->len; /* from the block's start */
    o->exec = row->family->fn[mem][o->osz];
    *row_out = row;
    return o->exec ? DECODE_OK : DECODE_UD;

more:
    return in->avail >= 15 ? DECODE_GP : DECODE_MORE;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "isa_forms.h"

#include <stdio.h>

struct isa_form isa_forms[ISA_FORMS_MAX];
unsigned isa_form_count;

static const struct {
    bool modrm;
    uint8_t imm;
} shapes[] = {
#define SHAPE(name, m, i, g, e, o) [FORM_##name] = {m, i},
    SQ_X86_FORMS(SHAPE)
#undef SHAPE
};

static bool one_of(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(name, *list))
            return true;
    return false;
}

static uint16_t uses(const struct isa_form *f)
{
    static const char *const stack[] = {
        "push", "pop", "pushf", "popf", "enter", "call", "ret",
        "push fs", "push gs", NULL};
    static const char *const strings[] = {"movs", "cmps", "stos", "lods",
                                          "scas", NULL};
    static const char *const bits[] = {"bt", "bts", "btr", "btc", NULL};
    static const char *const mask[] = {"maskmovdqu", "maskmovq",
                                       "vmaskmovdqu", NULL};
    const char *n = f->row->name;
    unsigned first = f->opcode[0], u = 0;

    if (one_of(n, stack))
        u |= USES_STACK;
    if (!strcmp(n, "enter") || !strcmp(n, "leave"))
        u |= USES_RBP;
    if (one_of(n, strings))
        u |= USES_STRINGS;
    if (!strcmp(n, "xlat"))
        u |= USES_XLAT;
    if (one_of(n, mask))
        u |= USES_MASKMOV;
    if (one_of(n, bits) && f->mem && f->row->form == FORM_EGV)
        u |= USES_BIT_OFFSET;
    if (!strcmp(n, "div") || !strcmp(n, "idiv"))
        u |= USES_DIVIDEND;
    if (f->row->form == FORM_J8 || f->row->form == FORM_JZ)
        u |= IS_BRANCH;
    if ((!strcmp(n, "call") || !strcmp(n, "jmp")) && f->modrm)
        u |= IS_INDIRECT;
    if (!strcmp(n, "ret"))
        u |= IS_RETURN;
    if (!strcmp(n, "xchg"))
        u |= IS_LOCKED;
    if (!strncmp(n, "sha1", 4) || !strncmp(n, "sha256", 6))
        u |= IS_ALIGNED;
    if (n[0] == 'f' && (!strncmp(n, "fx", 2) || f->row->form == FORM_F))
        u |= IS_FLOAT;
    if (!strcmp(n, "fxrstor") || !strcmp(n, "ldmxcsr") ||
        !strcmp(n, "vldmxcsr"))
        u |= LOADS_MXCSR;
    if (f->row->form >= FORM_XX || (first == 0x0f && f->opcode_len == 3 &&
                                    (f->opcode[2] & 0xf0) != 0xf0))
        u |= IS_FLOAT;
    return (uint16_t)u;
}

/* What the host's processor need not do as the table says. */
static const char *reason_to_skip(const struct isa_form *f)
{
    /* Rows marked as not for user mode that are good enough for it here. */
    static const char *const good[] = {
        "fldcw", "fldenv", "frstor", "fnstenv", "fnsave", "fxsave",
        "fxrstor", "rdfsbase", "rdgsbase", NULL};
    const char *n = f->row->name;

    if (f->row->attr & A_PRIV && !one_of(n, good))
        return "not for user mode, or not the same twice";
    if (!strcmp(n, "prefetchw") && !f->mem)
        return "makers differ: reserved NOP or undefined";
    return NULL;
}

/* Three bytes of VEX and the opcode. `rxb`: register extensions, as they are
 * in REX. */
static unsigned put_vex(const struct isa_form *f, uint8_t *b, unsigned rxb,
                        unsigned vvvv)
{
    unsigned map = f->opcode_len == 2 ? 1 : f->opcode[1] == 0x38 ? 2 : 3;
    unsigned pp = f->prefix == 0x66   ? 1
                  : f->prefix == 0xf3 ? 2
                  : f->prefix == 0xf2 ? 3
                                      : 0;

    b[0] = 0xc4;
    b[1] = (uint8_t)((~rxb << 5 & 0xe0) | map);
    b[2] = (uint8_t)(f->w << 7 | (~vvvv & 15) << 3 | f->l << 2 | pp);
    b[3] = f->opcode[f->opcode_len - 1];
    return 4;
}

/* The plainest encoding, to ask the decoder whether the form exists. */
static unsigned plain(const struct isa_form *f, uint8_t *b)
{
    unsigned n = 0;

    memset(b, 0, 24);
    if (f->vex) {
        n = put_vex(f, b, 0, 0);
    } else {
        if (f->o16)
            b[n++] = 0x66;
        if (f->prefix)
            b[n++] = f->prefix;
        if (f->w)
            b[n++] = 0x48;
        memcpy(b + n, f->opcode, f->opcode_len);
        n += f->opcode_len;
    }
    b[n] = (uint8_t)(!f->mem                     ? 0xc0
                     : f->row->form == FORM_VSIB ? 0x04
                                                 : 0x03);
    if (f->reg >= 0)
        b[n] |= (uint8_t)(f->reg << 3);
    if (f->rm >= 0)
        b[n] |= (uint8_t)f->rm;
    return n;
}

static void consider(struct isa_form *f)
{
    uint8_t b[24];
    struct sq_decode_in in = {.bytes = b, .avail = 15, .mode = MODE_64};
    struct sq_x86_insn i;
    const struct sq_x86_row *row = NULL;

    plain(f, b);
    if (sq_x86_decode(&in, &i, &row) != DECODE_OK || row != f->row)
        return;
    f->osz = i.osz;
    f->skip = reason_to_skip(f);
    f->uses = uses(f);
    for (unsigned k = 0; k < isa_form_count; k++) {
        const struct isa_form *o = &isa_forms[k];

        if (o->row == f->row && o->mem == f->mem && o->osz == f->osz &&
            o->rm == f->rm && o->prefix == f->prefix && o->vex == f->vex &&
            !memcmp(o->opcode, f->opcode, 3))
            return;
    }
    if (isa_form_count < ISA_FORMS_MAX)
        isa_forms[isa_form_count++] = *f;
}

static void add_row(void *ctx, const char *table, unsigned opcode, int reg,
                    const struct sq_x86_row *row)
{
    /* of x87, only these have an operand size */
    static const char *const environment[] = {"fldenv", "frstor", "fnstenv",
                                              "fnsave", NULL};
    struct isa_form f = {.row = row, .reg = (int8_t)reg, .rm = -1};
    bool x87 = !strncmp(table, "x87", 3), x87_reg = !strcmp(table, "x87 reg");
    bool env = x87 && one_of(row->name, environment);
    bool any_66 = !*table || !strcmp(table, "0F") || *table == 'F' || x87;

    (void)ctx;
    if (row->attr & A_NO64)
        return;
    f.modrm = shapes[row->form].modrm;
    f.imm = shapes[row->form].imm;
    f.free_66 = any_66 && !(row->attr & (A_F64 | A_NO66)) &&
                row->form < FORM_XX;
    f.vex = !strncmp(table, "VEX ", 4);
    if (f.vex)
        table += 4;
    if (strstr(table, "0F")) {
        f.opcode[f.opcode_len++] = 0x0f;
        if (!strncmp(table, "66", 2))
            f.prefix = 0x66;
        else if (!strncmp(table, "F3", 2))
            f.prefix = 0xf3;
        else if (!strncmp(table, "F2", 2))
            f.prefix = 0xf2;
    }
    if (strstr(table, "0F38"))
        f.opcode[f.opcode_len++] = 0x38;
    if (strstr(table, "0F3A"))
        f.opcode[f.opcode_len++] = 0x3a;
    f.opcode[f.opcode_len++] = (uint8_t)opcode;
    for (int mem = 0; mem <= f.modrm; mem++) {
        if (x87 && mem == x87_reg)
            continue;
        for (int size = 0; size < (f.vex ? 4 : 3); size++) {
            f.mem = mem;
            f.o16 = size == 1 && !f.vex;
            f.w = f.vex ? size & 1 : size == 2;
            f.l = f.vex && size & 2;
            if ((f.o16 && !f.free_66 && !env) || (size && x87 && !env))
                continue;
            for (int rm = 0; rm < (x87_reg ? 8 : 1); rm++) {
                f.rm = x87_reg ? (int8_t)rm : -1;
                consider(&f);
            }
        }
    }
}

void isa_forms_init(void)
{
    sq_x86_each_row(add_row, NULL);
}

void isa_form_name(const struct isa_form *f, char *to, unsigned len)
{
    static const int bits[] = {8, 16, 32, 64};
    int n = 0;

    if (f->vex)
        n += snprintf(to + n, len - (unsigned)n, "vex.w%d.l%d ", f->w, f->l);
    if (f->prefix)
        n += snprintf(to + n, len - (unsigned)n, "%02x ", f->prefix);
    for (unsigned k = 0; k < f->opcode_len; k++)
        n += snprintf(to + n, len - (unsigned)n, "%02x ", f->opcode[k]);
    if (f->reg >= 0)
        n += snprintf(to + n, len - (unsigned)n, "/%d ", f->reg);
    if (f->rm >= 0)
        n += snprintf(to + n, len - (unsigned)n, "(%d) ", f->rm);
    if (f->vex)
        snprintf(to + n, len - (unsigned)n, "%s %s",
                 !f->modrm ? "" : f->mem ? "m" : "r", f->row->name);
    else
        snprintf(to + n, len - (unsigned)n, "%s%d %s",
                 !f->modrm ? "" : f->mem ? "m" : "r", bits[f->osz],
                 f->row->name);
}

static void put_prefixes(const struct isa_form *f, struct isa_rng *r,
                         struct isa_code *c)
{
    static const uint8_t segment[] = {0x26, 0x2e, 0x36, 0x3e,
                                      0x64, 0x65, 0x65, 0x65};
    uint8_t p[8];
    unsigned n = 0;
    bool addresses = f->mem || f->imm == IMM_MOFFS ||
                     f->uses & (USES_STRINGS | USES_XLAT | USES_MASKMOV |
                                IS_BRANCH);

    if (f->prefix && !f->vex)
        p[n++] = f->prefix;
    if (f->o16 || (f->free_66 && (f->w || f->osz == 0) && isa_percent(r, 10)))
        p[n++] = 0x66;
    if (addresses && isa_percent(r, 8))
        p[n++] = 0x67;
    if (isa_percent(r, 8))
        p[n++] = segment[isa_below(r, 8)];
    if (f->mem && f->row->attr & A_LOCK && isa_percent(r, 25))
        p[n++] = 0xf0;
    if (f->uses & USES_STRINGS && isa_percent(r, 60)) {
        p[n++] = isa_percent(r, 50) ? 0xf2 : 0xf3;
        c->repeats = true;
    }
    for (unsigned k = 0; k < n; k++) { /* in any order */
        unsigned j = k + isa_below(r, n - k);
        uint8_t t = p[k];

        p[k] = p[j];
        p[j] = t;
        if (isa_percent(r, 2)) /* a REX that does not count */
            c->bytes[c->len++] = (uint8_t)(0x40 | isa_below(r, 16));
        c->bytes[c->len++] = p[k];
    }
}

static void put_modrm(const struct isa_form *f, struct isa_rng *r,
                      struct isa_code *c)
{
    unsigned reg = f->reg >= 0 ? (unsigned)f->reg : isa_below(r, 8);
    unsigned rm = f->row->form == FORM_VSIB ? 4
                  : f->rm >= 0              ? (unsigned)f->rm
                                            : isa_below(r, 8);
    unsigned mod = f->mem ? isa_below(r, 3) : 3;

    c->bytes[c->len++] = (uint8_t)(mod << 6 | reg << 3 | rm);
    if (!f->mem)
        return;
    if (rm == 4) {
        uint8_t sib = (uint8_t)isa_random(r);

        c->bytes[c->len++] = sib;
        rm = sib & 7;
    }
    c->disp_len = mod == 1 ? 1 : mod == 2 || rm == 5 ? 4 : 0;
    c->disp_at = c->len;
    if (c->disp_len == 4) {
        int32_t disp = (int32_t)isa_random(r);

        if (isa_percent(r, 60))
            disp >>= isa_below(r, 30);
        memcpy(c->bytes + c->len, &disp, 4);
    } else if (c->disp_len) {
        c->bytes[c->len] = (uint8_t)isa_random(r);
    }
    c->len += c->disp_len;
}

static unsigned imm_len(const struct isa_form *f, bool asz32)
{
    unsigned z = f->osz == 1 ? 2 : 4;

    switch (f->imm) {
    case IMM_8:
    case IMM_U8:
    case IMM_REL8: return 1;
    case IMM_16: return 2;
    case IMM_Z:
    case IMM_RELZ: return z;
    case IMM_V: return f->osz == 3 ? 8 : z;
    case IMM_MOFFS: return asz32 ? 4 : 8;
    case IMM_16_8: return 3;
    default: return 0;
    }
}

/* In two bytes where they are enough. */
static void put_any_vex(const struct isa_form *f, struct isa_rng *r,
                        struct isa_code *c)
{
    bool vv = f->row->attr & A_VV || (f->row->attr & A_VVR && !f->mem);
    unsigned rxb = isa_percent(r, 50) ? isa_below(r, 8) : 0;
    unsigned n = put_vex(f, c->bytes + c->len, rxb, vv ? isa_below(r, 16) : 0);
    uint8_t *b = c->bytes + c->len;

    if (f->opcode_len == 2 && !f->w && !(rxb & 3) && isa_percent(r, 80)) {
        b[0] = 0xc5;
        b[1] = (uint8_t)((b[1] & 0x80) | (b[2] & 0x7f));
        b[2] = b[3];
        n = 3;
    }
    c->len += n;
}

bool isa_encode(const struct isa_form *f, struct isa_rng *r,
                struct isa_code *c)
{
    bool asz32;

    memset(c, 0, sizeof(*c));
    put_prefixes(f, r, c);
    asz32 = memchr(c->bytes, 0x67, c->len) != NULL;
    if (f->vex) {
        put_any_vex(f, r, c);
    } else {
        if (f->w || isa_percent(r, 45))
            c->bytes[c->len++] = (uint8_t)(0x40 | (f->w ? 8 : 0) |
                                           isa_below(r, 8));
        memcpy(c->bytes + c->len, f->opcode, f->opcode_len);
        c->len += f->opcode_len;
    }
    if (f->modrm)
        put_modrm(f, r, c);
    c->imm_at = c->len;
    c->imm_len = imm_len(f, asz32);
    if (c->imm_len) {
        uint64_t v = isa_random(r);

        switch (isa_below(r, 4)) {
        case 0: v = 1ull << (v & 63); break;
        case 1: v = (uint64_t)((int64_t)v >> 60); break;
        default: break;
        }
        memcpy(c->bytes + c->len, &v, c->imm_len);
        c->len += c->imm_len;
    }
    return c->len <= 15;
}

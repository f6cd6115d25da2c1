/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder against Zydis: both read the same random bytes and must agree
 * on whether they are an instruction and how long it is; where both say yes
 * also on the memory operand, displacement and immediates.
 *
 *     decode_zydis [--cases N] [--seed S] [--bytes "48 8d 04 24" --mode 64]
 *
 * The bytes are made from the instruction table's rows (prefixes at random,
 * one opcode of a row, random ModRM, SIB and the rest), and some are wholly
 * random. N counts cases of each mode. What squib leaves out on purpose is
 * listed in `excused` with the reason; all else that differs is printed:
 *
 *     FAIL mode 32: 66 0f 3a ...: squib ok 5 "pshufb", zydis undefined
 *
 * To reproduce one failure give its bytes and mode. Cases depend on seed
 * and N alone.
 */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/soft/x86_64/insns.h"
#include "isa_rng.h"

#define MAX_ROWS 4096

struct table_row {
    uint8_t bytes[4]; /* mandatory prefix not included */
    uint8_t len, prefix;
    bool vex;
    int reg;
    bool x87_reg;
};

static struct table_row rows[MAX_ROWS];
static unsigned row_count;

static void add_row(void *ctx, const char *table, unsigned opcode, int reg,
                    const struct sq_x86_row *row)
{
    struct table_row *t;

    (void)ctx, (void)row;
    if (row_count == MAX_ROWS)
        return;
    t = &rows[row_count++];
    *t = (struct table_row){.reg = reg, .vex = !strncmp(table, "VEX ", 4)};
    if (t->vex)
        table += 4;
    t->x87_reg = !strcmp(table, "x87 reg");
    if (!strncmp(table, "66", 2))
        t->prefix = 0x66;
    else if (!strncmp(table, "F3", 2))
        t->prefix = 0xf3;
    else if (!strncmp(table, "F2", 2))
        t->prefix = 0xf2;
    if (strstr(table, "0F"))
        t->bytes[t->len++] = 0x0f;
    if (strstr(table, "0F38"))
        t->bytes[t->len++] = 0x38;
    if (strstr(table, "0F3A"))
        t->bytes[t->len++] = 0x3a;
    t->bytes[t->len++] = (uint8_t)opcode;
}

/* A VEX prefix of two or three bytes and the opcode; now and then with what
 * may not be. */
static unsigned make_vex(struct isa_rng *r, unsigned mode,
                         const struct table_row *t, uint8_t *b)
{
    unsigned map = t->len == 2 ? 1 : t->bytes[1] == 0x38 ? 2 : 3;
    unsigned pp = t->prefix == 0x66   ? 1
                  : t->prefix == 0xf3 ? 2
                  : t->prefix == 0xf2 ? 3
                                      : 0;
    unsigned rxb = isa_below(r, 8), n = 0;
    uint8_t last = (uint8_t)(isa_below(r, 32) << 3 | isa_below(r, 2) << 2 |
                             pp);

    if (isa_percent(r, 50))
        last |= 0x78; /* no vvvv */
    if (mode != MODE_64 && isa_percent(r, 95))
        rxb |= 6;
    if (isa_percent(r, 2))
        map = isa_below(r, 32);
    if (map == 1 && isa_percent(r, 50)) {
        b[n++] = 0xc5;
        b[n++] = (uint8_t)((rxb & 4) << 5 | (last & 0x7f));
    } else {
        b[n++] = 0xc4;
        b[n++] = (uint8_t)(rxb << 5 | map);
        b[n++] = last;
    }
    b[n++] = t->bytes[t->len - 1];
    return n;
}

/* 24 bytes that start with something like an instruction. */
static void make_bytes(struct isa_rng *r, unsigned mode, uint8_t *b)
{
    static const uint8_t prefix[] = {0x66, 0x66, 0x67, 0x67, 0xf0, 0xf2,
                                     0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64,
                                     0x65, 0x66, 0xf3, 0x40};
    static const uint8_t escape[4][2] = {
        {0, 0}, {0x0f, 0}, {0x0f, 0x38}, {0x0f, 0x3a}};
    unsigned n = 0, count = isa_below(r, 4), at;
    const struct table_row *t = &rows[isa_below(r, row_count)];

    isa_fill(r, b, 24);
    if (isa_percent(r, 2))
        return;
    if (isa_percent(r, 50))
        count = 0;
    else if (isa_percent(r, 2))
        count = 6 + isa_below(r, 9);
    at = isa_below(r, count + 1);
    for (unsigned k = 0; k <= count; k++) {
        uint8_t p = prefix[isa_below(r, sizeof(prefix))];

        if (k == at && t->prefix && !t->vex)
            b[n++] = t->prefix;
        if (k < count)
            b[n++] = p == 0x40 && mode == MODE_64
                         ? (uint8_t)(0x40 | isa_below(r, 16))
                     : p == 0x40 ? 0x67
                                 : p;
    }
    if (mode == MODE_64 && isa_percent(r, t->vex ? 2 : 40))
        b[n++] = (uint8_t)(0x40 | isa_below(r, 16));
    if (isa_percent(r, 15)) { /* any opcode */
        unsigned e = isa_below(r, 4);

        if (escape[e][0])
            b[n++] = escape[e][0];
        if (escape[e][1])
            b[n++] = escape[e][1];
        return;
    }
    if (t->vex) {
        n += make_vex(r, mode, t, b + n);
    } else {
        memcpy(b + n, t->bytes, t->len);
        n += t->len;
    }
    if (t->x87_reg)
        b[n] |= 0xc0;
    if (t->reg >= 0 && !isa_percent(r, 5))
        b[n] = (uint8_t)((b[n] & 0xc7) | t->reg << 3);
}

/* --- what may differ ------------------------------------------------------ */

/* By Zydis's name of the ISA extension: squib has no such instructions. */
static const struct {
    const char *ext, *why;
} excused[] = {
    {"AMD3DNOW", "withdrawn by its maker"},
    {"AMX_BF16", "newer than the CPU offered to guests"},
    {"AMX_INT8", "newer than the CPU offered to guests"},
    {"AMX_TILE", "newer than the CPU offered to guests"},
    {"AVX_VNNI", "newer than the CPU offered to guests"},
    {"AVX512VEX", "newer than the CPU offered to guests"},
    {"CET", "no shadow stacks"},
    {"CLWB", "no persistent memory"},
    {"CLZERO", "one maker's extension"},
    {"ENQCMD", "no accelerators to queue to"},
    {"FMA4", "withdrawn by its maker"},
    {"GFNI", "newer than the CPU offered to guests"},
    {"HRESET", "newer than the CPU offered to guests"},
    {"KEYLOCKER", "no such state"},
    {"KEYLOCKER_WIDE", "no such state"},
    {"KNCE", "one product's extension"},
    {"KNCV", "one product's extension"},
    {"MCOMMIT", "one maker's extension"},
    {"MONITOR", "refused when executed"},
    {"MONITORX", "one maker's extension"},
    {"MOVDIR", "newer than the CPU offered to guests"},
    {"MPX", "withdrawn by its maker"},
    {"PADLOCK", "one maker's extension"},
    {"PCONFIG", "no memory encryption"},
    {"PKU", "no protection keys"},
    {"PT", "no tracing"},
    {"RDPRU", "one maker's extension"},
    {"RTM", "no transactions"},
    {"SERIALIZE", "newer than the CPU offered to guests"},
    {"SGX", "no enclaves"},
    {"SGX_ENCLV", "no enclaves"},
    {"SMAP", "refused when executed"},
    {"SMX", "no measured launch"},
    {"SNP", "no encrypted guests inside guests"},
    {"SSE4A", "one maker's extension"},
    {"SVM", "no nested virtualization"},
    {"TDX", "no encrypted guests inside guests"},
    {"TSX_LDTRK", "no transactions"},
    {"UINTR", "no user interrupts"},
    {"VAES", "newer than the CPU offered to guests"},
    {"VPCLMULQDQ", "newer than the CPU offered to guests"},
    {"VTX", "no nested virtualization"},
    {"WAITPKG", "newer than the CPU offered to guests"},
    {"XSAVES", "not offered"},
};
static uint64_t excused_count[SQ_ARRAY_LEN(excused)];
static uint64_t excused_encoding, excused_late, compared, agreed_undefined;

/* Rows of which squib's function itself raises #UD for some operands: the
 * decoder may take them. */
static bool refused_late(unsigned mode, const struct sq_x86_row *row,
                         const struct sq_x86_insn *i)
{
    switch (row->form) {
    case FORM_F: /* x87: R/M selects an operation, or none */
        return true;
    case FORM_CRE: /* CR0, 2, 3, 4, 8; DR0..7 */
        return i->imm2 & 1 ? i->reg > 7
                           : i->reg != 0 && i->reg != 8 &&
                                 (i->reg < 2 || i->reg > 4);
    case FORM_SEGE: /* not a segment, or CS as the destination */
        return i->reg > 5 || (i->imm2 == 0x8e && i->reg == SEG_CS);
    case FORM_VSIB: /* a gather's registers must be three */
        return i->reg == i->imm2 || i->reg == i->index ||
               i->imm2 == i->index;
    default: break;
    }
    if (!strcmp(row->name, "swapgs"))
        return i->rm != 8 && (i->rm != 0 || mode != MODE_64);
    if (!strcmp(row->name, "xgetbv"))
        return i->rm > 8;
    return !strcmp(row->name, "monitor") ||
           ((!strcmp(row->name, "vmcall") || !strcmp(row->name, "vmmcall")) &&
            i->rm != 8);
}

/* Outside 64-bit mode the top bit of vvvv in three bytes of VEX does not
 * count (SDM vol. 2, 2.3.5.6); Zydis 4.0 wants it to be set where vvvv is
 * not used. */
static bool void_bit_of_vvvv(unsigned mode, const uint8_t *b, unsigned len)
{
    static const uint8_t prefix[] = {0x67, 0x26, 0x2e, 0x36,
                                     0x3e, 0x64, 0x65};
    unsigned k = 0;

    while (k < len && memchr(prefix, b[k], sizeof(prefix)))
        k++;
    /* C5 would be LDS without it */
    return mode != MODE_64 && b[k] == 0xc4 && k + 2 < len &&
           !(b[k + 2] & 0x40);
}

static const char *outcome(enum sq_decode_result r)
{
    static const char *const name[] = {"ok", "more", "undefined", "too long"};

    return name[r];
}

static bool excuse(const ZydisDecodedInstruction *z)
{
    const char *ext;

    if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
        z->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX &&
        z->encoding != ZYDIS_INSTRUCTION_ENCODING_3DNOW) {
        excused_encoding++;
        return true;
    }
    ext = ZydisISAExtGetString(z->meta.isa_ext);
    for (size_t k = 0; k < SQ_ARRAY_LEN(excused); k++)
        if (!strcmp(ext, excused[k].ext)) {
            excused_count[k]++;
            return true;
        }
    return false;
}

/* --- one case ------------------------------------------------------------- */

static ZydisDecoder decoder[3];
static bool verbose;

static void complain(unsigned mode, const uint8_t *b, const char *what,
                     enum sq_decode_result r, const struct sq_x86_insn *i,
                     const struct sq_x86_row *row, ZyanStatus zs,
                     const ZydisDecodedInstruction *z)
{
    static const int bits[] = {16, 32, 64};

    printf("FAIL mode %d:", bits[mode]);
    for (unsigned k = 0; k < 15; k++)
        printf(" %02x", b[k]);
    printf(": %s: squib %s %u \"%s\", ", what, outcome(r), i->len,
           r == DECODE_OK ? row->name : "");
    if (ZYAN_SUCCESS(zs))
        printf("zydis ok %u %s %s\n", z->length,
               ZydisMnemonicGetString(z->mnemonic),
               ZydisISAExtGetString(z->meta.isa_ext));
    else
        printf("zydis status %x\n", zs & 0xfffff);
}

/* Register number of a memory operand's base or index as squib has it. */
static unsigned number(ZydisRegister reg)
{
    if (reg == ZYDIS_REGISTER_NONE)
        return SQ_ZERO * 8;
    if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
        return SQ_RIP * 8;
    return (unsigned)ZydisRegisterGetId(reg) * 8;
}

static const char *compare_memory(unsigned mode, const struct sq_x86_insn *i,
                                  const ZydisDecodedOperand *op)
{
    static const ZydisRegister seg[] = {
        ZYDIS_REGISTER_ES, ZYDIS_REGISTER_CS, ZYDIS_REGISTER_SS,
        ZYDIS_REGISTER_DS, ZYDIS_REGISTER_FS, ZYDIS_REGISTER_GS};
    unsigned base = number(op->mem.base), index = number(op->mem.index);
    int64_t disp = op->mem.disp.has_displacement ? op->mem.disp.value : 0;

    /* Zydis 4.0 reads base 101 of a SIB byte with mod 00 as R13D when REX.B
     * is set and addresses have 32 bits; the manual and processors say there
     * is no base (SDM vol. 2, table 2-5, note). */
    if (i->base != base &&
        !(i->base == SQ_ZERO * 8 && i->flags & IF_ASZ32 && base == 13 * 8))
        return "base";
    if (op->mem.type == ZYDIS_MEMOP_TYPE_VSIB)
        index /= 8; /* vector registers are plain numbers */
    if (i->index != index)
        return "index";
    if (index != SQ_ZERO * 8 && 1u << i->scale != op->mem.scale)
        return "scale";
    if (i->base == SQ_ZERO * 8 && base == 13 * 8)
        disp = i->disp; /* Zydis took it for a form without one */
    if (base == SQ_RIP * 8 && !(i->flags & IF_RIPREL_RAW))
        disp += i->off + i->len;
    if (mode == MODE_16 ? (uint16_t)i->disp != (uint16_t)disp &&
                              (uint32_t)i->disp != (uint32_t)disp
                        : i->disp != (int32_t)disp)
        return "displacement";
    if (mode != MODE_64) {
        if (i->seg >= 6 || seg[i->seg] != op->mem.segment)
            return "segment";
    } else if (i->seg == SEG_NONE) {
        if (op->mem.segment == ZYDIS_REGISTER_FS ||
            op->mem.segment == ZYDIS_REGISTER_GS)
            return "segment";
    } else if (i->seg < 6 && seg[i->seg] != op->mem.segment) {
        return "segment";
    }
    return NULL;
}

/* Whether register operand `ours` is what Zydis says: general registers are
 * offsets, others plain numbers. */
static bool same_register(ZydisRegister reg, unsigned ours)
{
    unsigned id = (unsigned)ZydisRegisterGetId(reg);

    return ZydisRegisterGetClass(reg) >= ZYDIS_REGCLASS_X87 ? ours == id
                                                            : ours == id * 8;
}

static const char *compare_vex(unsigned mode, const struct sq_x86_insn *i,
                               const ZydisDecodedOperand *op)
{
    if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
        return NULL;
    switch (op->encoding) {
    case ZYDIS_OPERAND_ENCODING_MODRM_REG:
        return same_register(op->reg.value, i->reg) ? NULL : "reg";
    case ZYDIS_OPERAND_ENCODING_MODRM_RM:
        return same_register(op->reg.value, i->rm) ? NULL : "r/m";
    case ZYDIS_OPERAND_ENCODING_NDSNDD:
        return same_register(op->reg.value, i->imm2) ? NULL : "vvvv";
    case ZYDIS_OPERAND_ENCODING_IS4:
        return same_register(op->reg.value,
                             i->imm >> 4 & (mode == MODE_64 ? 15 : 7))
                   ? NULL
                   : "imm[7:4]";
    default: return NULL;
    }
}

static const char *compare_operands(unsigned mode,
                                    const struct sq_x86_insn *i,
                                    const struct sq_x86_row *row,
                                    const ZydisDecoderContext *ctx,
                                    const ZydisDecodedInstruction *z)
{
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    unsigned asz = i->flags & IF_ASZ16   ? 16
                   : i->flags & IF_ASZ32 ? 32
                                         : 64;

    (void)row;
    if (asz != z->address_width)
        return "address size";
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeOperands(
            &decoder[mode], ctx, z, op, z->operand_count)))
        return "zydis operands";
    for (unsigned k = 0; k < z->operand_count; k++) {
        const char *what = z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX
                               ? compare_vex(mode, i, &op[k])
                               : NULL;

        if (what)
            return what;
        if (op[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            op[k].mem.type != ZYDIS_MEMOP_TYPE_AGEN &&
            op[k].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
            return compare_memory(mode, i, &op[k]);
        if (op[k].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
            !op[k].imm.is_relative && k < 3 && z->raw.imm[1].size == 0 &&
            row->form != FORM_FARP &&
            op[k].encoding != ZYDIS_OPERAND_ENCODING_NONE) {
            unsigned n = z->raw.imm[0].size;
            uint64_t mask = n >= 64 ? UINT64_MAX : (1ull << n) - 1;

            if ((op[k].imm.value.u ^ i->imm) & mask)
                return "immediate";
        }
        if (op[k].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
            op[k].imm.is_relative &&
            (uint64_t)op[k].imm.value.s + i->off + i->len != i->imm)
            return "branch displacement";
    }
    return NULL;
}

/* Returns whether squib and Zydis agree. */
static bool one_case(unsigned mode, const uint8_t *b)
{
    static const uint16_t offsets[] = {0, 1, 77, 4095};
    struct sq_decode_in in = {.bytes = b, .avail = 15, .mode = (uint8_t)mode,
                              .off = offsets[b[15] & 3]};
    struct sq_x86_insn i, cut;
    const struct sq_x86_row *row = NULL;
    ZydisDecodedInstruction z;
    ZydisDecoderContext ctx;
    enum sq_decode_result r = sq_x86_decode(&in, &i, &row);
    ZyanStatus zs = ZydisDecoderDecodeInstruction(&decoder[mode], &ctx, b,
                                                  15, &z);
    const char *what = NULL;

    compared++;
    if (verbose)
        printf("squib %s %u %s; zydis %x\n", outcome(r), i.len,
               r == DECODE_OK ? row->name : "", zs & 0xfffff);
    if (ZYAN_SUCCESS(zs)) {
        if (r != DECODE_OK) {
            if (excuse(&z))
                return true;
            what = "defined";
        } else if (i.len != z.length) {
            what = "length";
        } else if (!excuse(&z)) {
            what = compare_operands(mode, &i, row, &ctx, &z);
        }
    } else if (r == DECODE_OK) {
        if (refused_late(mode, row, &i) ||
            void_bit_of_vvvv(mode, b, i.len)) {
            excused_late++;
            return true;
        }
        what = "undefined";
    } else {
        /* #UD or #GP: which of the two comes first when an undefined opcode
         * stands at the 15-byte limit is nobody's promise. */
        agreed_undefined++;
    }
    if (what) {
        complain(mode, b, what, r, &i, row, zs, &z);
        return false;
    }
    /* All of its bytes are needed, and no more. */
    if (r == DECODE_OK) {
        const struct sq_x86_row *row2 = NULL;

        in.avail = i.len;
        if (sq_x86_decode(&in, &cut, &row2) != DECODE_OK || row2 != row ||
            cut.len != i.len) {
            complain(mode, b, "exact bytes", r, &i, row, zs, &z);
            return false;
        }
        in.avail = i.len - 1u;
        if (sq_x86_decode(&in, &cut, &row2) != DECODE_MORE) {
            complain(mode, b, "cut short", r, &i, row, zs, &z);
            return false;
        }
    }
    return true;
}

static void set_up(void)
{
    static const ZydisMachineMode machine[] = {
        ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32,
        ZYDIS_MACHINE_MODE_LONG_64};
    static const ZydisStackWidth stack[] = {
        ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64};
    /* What squib's CPU does not have and older processors read otherwise. */
    static const ZydisDecoderMode off[] = {
        ZYDIS_DECODER_MODE_MPX,   ZYDIS_DECODER_MODE_CET,
        ZYDIS_DECODER_MODE_WBNOINVD, ZYDIS_DECODER_MODE_CLDEMOTE};

    for (unsigned m = 0; m < 3; m++) {
        ZydisDecoderInit(&decoder[m], machine[m], stack[m]);
        for (size_t k = 0; k < SQ_ARRAY_LEN(off); k++)
            ZydisDecoderEnableMode(&decoder[m], off[k], ZYAN_FALSE);
    }
    sq_x86_each_row(add_row, NULL);
}

int main(int argc, char **argv)
{
    uint64_t cases = 1000000, failed = 0;
    struct isa_rng rng = {1};
    const char *bytes = NULL;
    unsigned only = 3;

    for (int k = 1; k + 1 < argc; k += 2) {
        if (!strcmp(argv[k], "--cases"))
            cases = strtoull(argv[k + 1], NULL, 0);
        else if (!strcmp(argv[k], "--seed"))
            rng.state = strtoull(argv[k + 1], NULL, 0);
        else if (!strcmp(argv[k], "--bytes"))
            bytes = argv[k + 1];
        else if (!strcmp(argv[k], "--mode"))
            only = (unsigned)strtoul(argv[k + 1], NULL, 0) / 32;
    }
    set_up();
    if (bytes) {
        uint8_t b[24] = {0};
        char *end = (char *)(uintptr_t)bytes;

        for (unsigned k = 0; k < 15 && *end; k++)
            b[k] = (uint8_t)strtoul(end, &end, 16);
        verbose = true;
        return !one_case(only > 2 ? MODE_64 : only, b);
    }
    printf("seed %llu, %llu cases a mode, %u rows\n",
           (unsigned long long)rng.state, (unsigned long long)cases,
           row_count);
    for (unsigned mode = 0; mode < 3; mode++) {
        for (uint64_t n = 0; n < cases && failed < 1000000; n++) {
            uint8_t b[24];

            make_bytes(&rng, mode, b);
            failed += !one_case(mode, b);
        }
    }
    printf("%llu compared, both undefined: %llu\n",
           (unsigned long long)compared,
           (unsigned long long)agreed_undefined);
    printf("left out: %llu EVEX, XOP encodings (no such state)\n",
           (unsigned long long)excused_encoding);
    for (size_t k = 0; k < SQ_ARRAY_LEN(excused); k++)
        if (excused_count[k])
            printf("left out: %llu %s: %s\n",
                   (unsigned long long)excused_count[k], excused[k].ext,
                   excused[k].why);
    printf("refused by the instruction itself: %llu\n",
           (unsigned long long)excused_late);
    if (failed) {
        printf("FAIL decode_zydis: %llu differences\n",
               (unsigned long long)failed);
        return 1;
    }
    printf("ok decode_zydis\n");
    return 0;
}

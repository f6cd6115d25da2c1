/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instruction table.
 *
 * Every instruction is one row in one of the insns_*.def files. The decoder,
 * the interpreter and the tests are all made from these rows, so adding an
 * instruction means a row and the functions of its family.
 *
 * A row: TABLE(opcode, "mnemonic", form, attributes, family, undefined)
 *   TABLE     which opcode table the row goes to, see below
 *   form      how the operands are encoded (SQ_X86_FORMS)
 *   family    struct sq_x86_family, named sq_f_<family>
 *   undefined status flags that the architecture leaves undefined
 *
 * Tables (SDM vol. 2, appendix A):
 *   B1           one-byte opcodes
 *   B2           0F xx whatever the prefix; B2_NP, B2_66, B2_F3, B2_F2: with
 *                that mandatory prefix only (these win)
 *   B38_*        0F 38 xx;   B3A_*   0F 3A xx
 *   B1X8, B2X8   eight rows whose low opcode bits are a register
 *   B1X16, B2X16 sixteen rows whose low opcode bits are a condition
 *   B1_GROUP, B2_GROUP, B2_66_GROUP, B2_F3_GROUP
 *                (opcode, attributes, group): the row is in that group
 *   G, GM, GR    G(group, /reg, ...): rows of a group by ModRM.reg; GM only
 *                with a memory operand, GR only with a register operand
 *   FM, FR       x87: FM(escape, /reg, ...) memory, FR register operand
 *   V0F_*, V38_*, V3A_* with a VEX prefix, by opcode map and the mandatory
 *                prefix that VEX.pp stands for; V0F_*_GROUP, V38_*_GROUP
 */
#ifndef SQ_SOFT_X86_INSNS_H
#define SQ_SOFT_X86_INSNS_H

#include "backends/soft/x86_64/cpu.h"

/* Register operand kinds: byte register (AH..BH without REX), general
 * register, plain number. */
enum sq_regclass { RC_NONE, RC_8, RC_V, RC_N };
enum sq_immkind {
    IMM_NONE,
    IMM_8,    /* sign-extended byte */
    IMM_U8,   /* zero-extended byte */
    IMM_16,   /* zero-extended word */
    IMM_Z,    /* 16 or 32 bits by operand size, sign-extended */
    IMM_V,    /* 16, 32 or 64 bits by operand size */
    IMM_REL8, IMM_RELZ, /* branch targets */
    IMM_MOFFS, /* absolute address of address size, in imm */
    IMM_FAR,   /* selector:offset, offset in imm, selector in disp */
    IMM_16_8,  /* ENTER: imm, imm2 */
};
/* Operand size: 8 bits; 16/32/64 by prefixes; 32/64 by REX.W or VEX.W; fixed;
 * none, but which of a vector family's functions: VEX.W + 2 * VEX.L. */
enum sq_oszrule { OSZ_8, OSZ_V, OSZ_Y, OSZ_16, OSZ_32, OSZ_64, OSZ_WL };

/* X(form, has ModRM, immediate, class of reg, class of rm, operand size) */
#define SQ_X86_FORMS(X)                                                    \
    X(NONE, 0, IMM_NONE, RC_NONE, RC_NONE, OSZ_V)                          \
    X(NONE8, 0, IMM_NONE, RC_NONE, RC_NONE, OSZ_8)                         \
    X(EG8, 1, IMM_NONE, RC_8, RC_8, OSZ_8)                                 \
    X(EGV, 1, IMM_NONE, RC_V, RC_V, OSZ_V)                                 \
    X(EGY, 1, IMM_NONE, RC_V, RC_V, OSZ_Y)                                 \
    X(EI8, 1, IMM_8, RC_NONE, RC_8, OSZ_8)                                 \
    X(EIVZ, 1, IMM_Z, RC_NONE, RC_V, OSZ_V)                                \
    X(EIV8, 1, IMM_8, RC_NONE, RC_V, OSZ_V)                                \
    X(EGIV8, 1, IMM_8, RC_V, RC_V, OSZ_V)                                  \
    X(EGIVZ, 1, IMM_Z, RC_V, RC_V, OSZ_V)                                  \
    X(AI8, 0, IMM_8, RC_NONE, RC_NONE, OSZ_8)                              \
    X(AIVZ, 0, IMM_Z, RC_NONE, RC_NONE, OSZ_V)                             \
    X(AU8, 0, IMM_U8, RC_NONE, RC_NONE, OSZ_8)                             \
    X(AUV, 0, IMM_U8, RC_NONE, RC_NONE, OSZ_V)                             \
    X(O8I8, 0, IMM_8, RC_NONE, RC_8, OSZ_8)                                \
    X(OVIV, 0, IMM_V, RC_NONE, RC_V, OSZ_V)                                \
    X(OV, 0, IMM_NONE, RC_NONE, RC_V, OSZ_V)                               \
    X(GVE8, 1, IMM_NONE, RC_V, RC_8, OSZ_V)                                \
    X(GYE8, 1, IMM_NONE, RC_V, RC_8, OSZ_8)                                \
    X(J8, 0, IMM_REL8, RC_NONE, RC_NONE, OSZ_V)                            \
    X(JZ, 0, IMM_RELZ, RC_NONE, RC_NONE, OSZ_V)                            \
    X(I8, 0, IMM_8, RC_NONE, RC_NONE, OSZ_V)                               \
    X(U8, 0, IMM_U8, RC_NONE, RC_NONE, OSZ_V)                              \
    X(IZ, 0, IMM_Z, RC_NONE, RC_NONE, OSZ_V)                               \
    X(I16, 0, IMM_16, RC_NONE, RC_NONE, OSZ_V)                             \
    X(I16I8, 0, IMM_16_8, RC_NONE, RC_NONE, OSZ_V)                         \
    X(MOFF8, 0, IMM_MOFFS, RC_NONE, RC_NONE, OSZ_8)                        \
    X(MOFFV, 0, IMM_MOFFS, RC_NONE, RC_NONE, OSZ_V)                        \
    X(FARP, 0, IMM_FAR, RC_NONE, RC_NONE, OSZ_V)                           \
    X(SEGE, 1, IMM_NONE, RC_N, RC_V, OSZ_V)                                \
    X(CRE, 1, IMM_NONE, RC_N, RC_V, OSZ_32)                                \
    X(XX, 1, IMM_NONE, RC_N, RC_N, OSZ_Y)                                  \
    X(XXI, 1, IMM_U8, RC_N, RC_N, OSZ_Y)                                   \
    X(XG, 1, IMM_NONE, RC_N, RC_V, OSZ_Y)                                  \
    X(XGI, 1, IMM_U8, RC_N, RC_V, OSZ_Y)                                   \
    X(GX, 1, IMM_NONE, RC_V, RC_N, OSZ_Y)                                  \
    X(GXI, 1, IMM_U8, RC_V, RC_N, OSZ_Y)                                   \
    X(EGYI, 1, IMM_U8, RC_V, RC_V, OSZ_Y)                                  \
    X(VN, 0, IMM_NONE, RC_NONE, RC_NONE, OSZ_WL)                           \
    X(VX, 1, IMM_NONE, RC_N, RC_N, OSZ_WL)                                 \
    X(VXI, 1, IMM_U8, RC_N, RC_N, OSZ_WL)                                  \
    X(VXG, 1, IMM_NONE, RC_N, RC_V, OSZ_WL)                                \
    X(VXGI, 1, IMM_U8, RC_N, RC_V, OSZ_WL)                                 \
    X(VGX, 1, IMM_NONE, RC_V, RC_N, OSZ_WL)                                \
    X(VGXI, 1, IMM_U8, RC_V, RC_N, OSZ_WL)                                 \
    X(VSIB, 1, IMM_NONE, RC_N, RC_N, OSZ_WL)                               \
    X(F, 1, IMM_NONE, RC_N, RC_N, OSZ_V)

enum sq_x86_form {
#define FORM(name, m, imm, reg, rm, osz) FORM_##name,
    SQ_X86_FORMS(FORM)
#undef FORM
};

/* Attributes. */
enum {
    A_LOCK = 1,   /* LOCK is allowed with a memory operand */
    A_NO64 = 2,   /* undefined in 64-bit mode */
    A_D64 = 4,    /* operand size 64 (or 16) in 64-bit mode */
    A_F64 = 8,    /* operand size 64 in 64-bit mode, whatever prefixes say */
    A_END = 16,   /* ends a block: branches, mode changes, what may change
                     how the following bytes are fetched */
    A_GROUP = 32, /* set by the *_GROUP rows */
    A_PRIV = 64,  /* not for user mode, or touches what tests must not */
    A_ONLY64 = 128, /* undefined outside 64-bit mode */
    A_NOREP = 256,  /* undefined with F2 or F3: the manual's "NP", where */
    A_NO66 = 512,   /* and with 66      an opcode does not select by them */
    A_NP = A_NOREP | A_NO66,
    A_VV = 1024,  /* VEX.vvvv names an operand (in imm2, of reg's kind or, in
                     groups, rm's), else it must be 1111; */
    A_VVR = 2048, /* the same, but only with a register operand */
};

struct sq_x86_row {
    const char *name;
    const struct sq_x86_family *family;
    uint8_t form;
    uint8_t group;
    uint16_t attr;
    uint16_t undefined; /* FL_* */
};

/* Groups of opcodes that share a ModRM-extended row. */
enum sq_x86_group {
    G1_8, G1_VZ, G1_V8, G1A, G2_8I, G2_VI, G2_81, G2_V1, G2_8C, G2_VC, G3_8,
    G3_V, G4, G5, G6, G7, G8, G9, G11_8, G11_V, G15, G15_F3, G12, G12_66,
    G13, G13_66, G14, G14_66, G16, GNOP, G9_F3, GV12, GV13, GV14,
    GV15, GV17, G_COUNT
};

/* What decoding one instruction needs to know. */
struct sq_decode_in {
    const uint8_t *bytes;
    unsigned avail; /* bytes there are, at most 15 are used */
    uint8_t mode;   /* enum sq_x86_mode */
    uint16_t off;   /* of the instruction from the block's start */
};

enum sq_decode_result {
    DECODE_OK,
    DECODE_MORE, /* the instruction goes on past `avail` */
    DECODE_UD,   /* undefined opcode (out->len is set) */
    DECODE_GP,   /* longer than 15 bytes */
};

/* Decodes one instruction. On DECODE_OK *out is complete and *row is its
 * table row. Pure. */
enum sq_decode_result sq_x86_decode(const struct sq_decode_in *in,
                                    struct sq_x86_insn *out,
                                    const struct sq_x86_row **row);

/* Walks all rows, for tests and documentation: calls fn for each with the
 * table's name ("0F38 66"), the opcode, and for groups the /reg. */
typedef void sq_x86_row_fn(void *ctx, const char *table, unsigned opcode,
                           int reg, const struct sq_x86_row *row);
void sq_x86_each_row(sq_x86_row_fn *fn, void *ctx);

#endif

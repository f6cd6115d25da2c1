/* SPDX-License-Identifier: Apache-2.0 */
/* Forms of instructions, made from the instruction table, and random
 * encodings of them. A form is a row with one kind of operand (register or
 * memory) and one operand size, in 64-bit mode. */
#ifndef SQ_TEST_ISA_FORMS_H
#define SQ_TEST_ISA_FORMS_H

#include "backends/soft/x86_64/insns.h"
#include "isa_rng.h"

/* What instructions use beside their explicit operands. */
enum {
    USES_STACK = 1,
    USES_RBP = 2,     /* as a stack pointer: ENTER, LEAVE */
    USES_STRINGS = 4, /* rSI, rDI, rCX */
    USES_XLAT = 8,
    USES_MASKMOV = 16,
    USES_BIT_OFFSET = 32, /* a register may reach beyond the operand */
    USES_DIVIDEND = 64,
    IS_BRANCH = 128,   /* to a displacement */
    IS_INDIRECT = 256, /* to its operand */
    IS_RETURN = 512,
    IS_FLOAT = 1024,   /* x87, MMX, SSE */
    IS_LOCKED = 2048,  /* XCHG with memory is without being told */
    LOADS_MXCSR = 8192,
    IS_ALIGNED = 4096, /* SHA: makers differ in what they do otherwise */
};

struct isa_form {
    const struct sq_x86_row *row;
    uint8_t prefix; /* mandatory one, or 0 */
    uint8_t opcode[3], opcode_len;
    int8_t reg, rm; /* ModRM fields that are part of the opcode, or -1 */
    bool modrm, mem, o16, w;
    bool free_66; /* 66 does not select an instruction */
    bool vex, l; /* then opcode[] has the map's escape bytes, and w is VEX.W */
    uint8_t osz, imm;
    uint16_t uses;
    const char *skip; /* why it is not tested, or NULL */
    uint64_t cases;
};

#define ISA_FORMS_MAX 8192

extern struct isa_form isa_forms[ISA_FORMS_MAX];
extern unsigned isa_form_count;

void isa_forms_init(void);

/* "0f 38 f0 /r m32 movbe" */
void isa_form_name(const struct isa_form *f, char *to, unsigned len);

struct isa_code {
    uint8_t bytes[24];
    unsigned len;
    unsigned disp_at, disp_len; /* disp_len 0: none */
    unsigned imm_at, imm_len;
    bool repeats;
};

/* A random encoding; false if it came out too long. */
bool isa_encode(const struct isa_form *f, struct isa_rng *r,
                struct isa_code *code);

#endif

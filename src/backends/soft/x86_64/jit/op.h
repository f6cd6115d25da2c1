/* SPDX-License-Identifier: Apache-2.0 */
/* What the translator knows of one instruction. */
#ifndef SQ_SOFT_X86_JIT_OP_H
#define SQ_SOFT_X86_JIT_OP_H

#include "backends/soft/x86_64/insns.h"

enum sq_jit_kind {
    JK_INTERP,     /* by its interpreter function, and on */
    JK_INTERP_END, /* the same, then the block is left */
    JK_RM,         /* opcode with ModRM: registers renamed, memory checked */
    JK_PLAIN,      /* no operands to rename: copied */
    JK_MOVI, JK_LEA, JK_NOP, JK_BSWAP, JK_DIV, JK_IDIV,
    JK_SSE,    /* with vector registers, see `form` */
    JK_VEX_G,  /* VEX and general registers */
    JK_BT_M,   /* a bit string in memory: reg may reach beyond the operand */
    JK_REP,    /* REP MOVS, REP STOS; see `ext` */
    JK_CLI, JK_SWAPGS, /* in kernel mode */
    JK_CLD,
    JK_READ_SEL, JK_READ_CR, /* MOV from segment, control register `ext` */
    JK_READ_BASE, JK_WRITE_BASE, /* RDFSBASE and its kin; `ext`: segment */
    JK_TSC, /* RDTSC, RDTSCP (ext is 1) */
    JK_PUSHF,
    JK_PUSH, JK_PUSH_I, JK_PUSH_M, JK_POP, JK_LEAVE,
    JK_JCC, JK_JMP, JK_CALL, JK_JMP_I, JK_CALL_I, JK_RET, /* end a block, */
    JK_STI, /* and so does this, in kernel mode */
};

/* Operands of JK_SSE in encoding order; an immediate may follow. */
enum sq_jit_form {
    X_RM,  /* xmm, xmm/m */
    X_ST,  /* xmm/m, xmm */
    X_GX,  /* r, xmm/m */
    X_XG,  /* xmm, r/m */
    X_STG, /* r/m, xmm */
    X_SH,  /* group: shift of xmm by the immediate */
};

/* x86-64-v3; AES and PCLMULQDQ; ADCX and ADOX. */
enum { SQ_JIT_V3 = 1, SQ_JIT_AES = 2, SQ_JIT_ADX = 4 };

enum { ROLE_NONE, ROLE_R = 1, ROLE_W = 2, ROLE_RW = 3 };

struct sq_jit_op {
    struct sq_x86_insn in;
    uint8_t kind; /* enum sq_jit_kind */
    bool mem;     /* ModRM names memory */
    /* JK_RM: what to emit */
    uint32_t opc; /* SQ_OPC() */
    bool reg_is_ext; /* ModRM.reg extends the opcode: it is in `ext` */
    uint8_t ext;
    uint8_t reg_role, rm_role;
    bool reg8, rm8;   /* byte registers */
    uint8_t size;     /* operand size in bytes: 1, 2, 4, 8 */
    uint8_t mem_size; /* of the memory access */
    uint8_t imm_len;
    bool locked;      /* by prefix or by nature */
    uint8_t form;     /* JK_SSE: enum sq_jit_form */
    bool aligned;     /* and its memory operand must be */
    bool is_vex;      /* JK_SSE with a VEX prefix: */
    uint8_t vex, vvvv; /* SQ_E_W, SQ_E_L; the second source */
    uint8_t need;     /* SQ_JIT_*: what the host must have */
    /* status flags: read; certainly overwritten; whether it changes any */
    uint16_t rd, wr;
    uint16_t undefined; /* those that processors leave as they like */
    bool touches;
};

/* Decodes the instruction at `bytes` (avail of them, of which up to 15 are
 * looked at) and says how to translate it. False: it goes on past `avail`. */
bool sq_jit_op(const uint8_t *bytes, unsigned avail, unsigned off,
               struct sq_jit_op *op);

/* Completes op if it is an SSE instruction that is run natively. (sse.c) */
bool sq_jit_sse(struct sq_jit_op *op, unsigned prefix, unsigned map,
                unsigned opcode, unsigned ext);

/* Flags that condition code cc reads. */
uint16_t sq_jit_cc_flags(unsigned cc);

static inline bool sq_jit_ends(const struct sq_jit_op *op)
{
    return op->kind == JK_INTERP_END || op->kind >= JK_JCC;
}

#endif

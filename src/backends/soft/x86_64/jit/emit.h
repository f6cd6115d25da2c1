/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small emitter of x86-64 machine code (SDM vol. 2, chapter 2): enough for
 * the translator, which chooses opcodes itself. Writing past the end is
 * remembered in `full` and otherwise ignored.
 */
#ifndef SQ_SOFT_X86_JIT_EMIT_H
#define SQ_SOFT_X86_JIT_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sq_emit {
    uint8_t *at, *end;
    bool full;
};

/* Host registers by their hardware numbers. */
enum {
    H_AX, H_CX, H_DX, H_BX, H_SP, H_BP, H_SI, H_DI,
    H_8, H_9, H_10, H_11, H_12, H_13, H_14, H_15,
    H_NONE = 0xff,
};

/* An opcode: mandatory prefix (0, 0x66, 0xf2, 0xf3), map (0: one byte, 1:
 * 0F, 2: 0F38, 3: 0F3A), last byte. */
#define SQ_OPC(prefix, map, op) \
    ((uint32_t)(prefix) << 16 | (uint32_t)(map) << 8 | (uint32_t)(op))

enum {
    SQ_E_W = 1,    /* REX.W */
    SQ_E_O16 = 2,  /* 66 */
    SQ_E_LOCK = 4, /* F0 */
    SQ_E_REX = 8,  /* REX though nothing in it: SPL..DIL */
    SQ_E_L = 16,   /* VEX.L: 256 bits */
};

struct sq_emit_mem { /* [base + index << scale + disp] */
    uint8_t base, index; /* H_NONE: absent */
    uint8_t scale;
    int32_t disp;
};

void sq_emit_u8(struct sq_emit *e, uint8_t v);
void sq_emit_u16(struct sq_emit *e, uint16_t v);
void sq_emit_u32(struct sq_emit *e, uint32_t v);
void sq_emit_u64(struct sq_emit *e, uint64_t v);
/* n low bytes of v. */
void sq_emit_imm(struct sq_emit *e, uint64_t v, unsigned n);

/* `opc reg, rm` in encoding order; reg may be an opcode extension. */
void sq_emit_rr(struct sq_emit *e, uint32_t opc, unsigned flags,
                unsigned reg, unsigned rm);
void sq_emit_rm(struct sq_emit *e, uint32_t opc, unsigned flags,
                unsigned reg, struct sq_emit_mem m);

/* The same with a VEX prefix: SQ_E_W, SQ_E_L; v is the second source (the
 * VEX.vvvv field), 0 when there is none. */
void sq_emit_vex_rr(struct sq_emit *e, uint32_t opc, unsigned flags,
                    unsigned reg, unsigned v, unsigned rm);
void sq_emit_vex_rm(struct sq_emit *e, uint32_t opc, unsigned flags,
                    unsigned reg, unsigned v, struct sq_emit_mem m);

/* 64-bit moves and frequent shapes. */
void sq_emit_mov(struct sq_emit *e, unsigned to, unsigned from);
void sq_emit_mov_imm(struct sq_emit *e, unsigned to, uint64_t v);
void sq_emit_load(struct sq_emit *e, unsigned to, struct sq_emit_mem m);
void sq_emit_store(struct sq_emit *e, struct sq_emit_mem m, unsigned from);
void sq_emit_lea(struct sq_emit *e, unsigned to, struct sq_emit_mem m);

/* Jumps and calls with 32-bit displacements; cc is H_NONE for JMP. They
 * return where the displacement is, for sq_emit_patch(). */
uint8_t *sq_emit_jump(struct sq_emit *e, unsigned cc);
uint8_t *sq_emit_call(struct sq_emit *e);
/* The same; the displacement is aligned, as sq_emit_patch_live() wants it. */
uint8_t *sq_emit_jump_aligned(struct sq_emit *e, unsigned cc);
/* Points a displacement at `to`; both are addresses in one mapping. */
void sq_emit_patch(uint8_t *at, const uint8_t *to);
/* The same while other threads may execute the jump: they see the old
 * displacement or the new one (SDM vol. 3, 9.1.1: an aligned store). */
void sq_emit_patch_live(uint8_t *at, const uint8_t *to);

#endif

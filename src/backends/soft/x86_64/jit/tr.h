/* SPDX-License-Identifier: Apache-2.0 */
/* The translation of one block in progress. */
#ifndef SQ_SOFT_X86_JIT_TR_H
#define SQ_SOFT_X86_JIT_TR_H

#include "backends/soft/x86_64/jit/state.h"

/* Code that is rarely run goes behind the block. */
enum sq_tr_cold_kind {
    COLD_CHECK,  /* the TLB check failed: R9 = gva - tag, R10 = entry */
    COLD_INTERP, /* the interpreter takes the instruction */
    COLD_DONE,   /* back from there: flags to the host */
    COLD_ATTN, COLD_FUEL, /* the block's head leaves */
    COLD_XMM,    /* brings XMM registers in and goes back */
    COLD_NO_AVX, /* leaves: the guest may not use AVX now */
    COLD_LINK,   /* jump to page offset `to`, not translated yet */
    COLD_RUN,    /* the accesses of a run one by one; `to` of them */
    COLD_FAR,    /* jump to page base + `to` on another page */
};

struct sq_tr_cold {
    uint8_t kind;
    uint8_t *at; /* the displacement that leads here */
    uint32_t site;
    int32_t tag; /* COLD_CHECK: tag's offset in the CPU */
    int64_t to;
    const uint8_t *back; /* COLD_DONE, _RUN, _XMM: where it goes on */
    unsigned index;      /* COLD_RUN, _XMM: the first, the current one */
    uint8_t *at2;        /* COLD_RUN: another displacement, or NULL; */
    bool host_ok, mem_ok, xmm_in; /* flags after it, registers before it */
};

#define SQ_TR_COLD_MAX (SQ_BLOCK_INSNS_MAX * 6)

struct sq_tr {
    struct sq_x86_cpu *c;
    struct sq_jit *j;
    struct sq_x86_block *b;
    const uint8_t *page; /* the guest's bytes */
    bool user;
    struct sq_emit e;
    uint8_t *entry;
    unsigned start; /* the block's offset in its page */
    unsigned n, k;  /* instructions, the current one */
    uint32_t first_site; /* of the current one */
    /* Where the guest's status flags are: in the host's, in js.flags, or
     * with neither nowhere, which is when nothing reads them. */
    bool host_ok, mem_ok;
    bool run; /* in one: its operand with the least displacement */
    struct sq_emit_mem run_mem; /* in the host, */
    int32_t run_disp;           /* and that displacement */
    bool xmm_in; /* the guest's XMM registers are in the host's here */
    struct sq_jit_op op[SQ_BLOCK_INSNS_MAX];
    uint16_t live[SQ_BLOCK_INSNS_MAX + 1]; /* before each instruction */
    struct sq_tr_cold cold[SQ_TR_COLD_MAX];
    unsigned cold_count;
};

static inline const struct sq_jit_op *sq_tr_op(const struct sq_tr *t)
{
    return &t->op[t->k];
}

/* --- exact flags (exact.c) ----------------------------------------------- */

/* Whether flags are to be as interpreted wherever anything may see them: not
 * only instructions, also what interrupts and faults push. */
bool sq_tr_exact(const struct sq_tr *t);
/* Then: the interpreter takes instructions that leave flags undefined. */
void sq_tr_leave_undefined(struct sq_tr *t);

/* --- flags (flags.c) ----------------------------------------------------- */

/* Puts them in js.flags, if anything will read them there. */
void sq_tr_flags_save(struct sq_tr *t);
/* Puts them in the host's flags. May use R10. */
void sq_tr_flags_restore(struct sq_tr *t);

/* --- memory (memory.c) --------------------------------------------------- */

/* The memory operand's address expression; may load R9 and R10. */
struct sq_emit_mem sq_tr_operand(struct sq_tr *t);
/* R9 = linear address of the memory operand. Returns the expression of it
 * that stays true when R9 and R10 change; sq_tr_at_r9 if there is none. */
struct sq_emit_mem sq_tr_ea(struct sq_tr *t);
static const struct sq_emit_mem sq_tr_at_r9 = {H_9, H_NONE, 0, 0};
/* Checks R9, the linear address that m is, and returns the host's operand,
 * of R10 and m's base or R9. Flags are lost. */
struct sq_emit_mem sq_tr_check(struct sq_tr *t, struct sq_emit_mem m,
                               unsigned len, bool write);
/* Makes R9, a linear address, a host pointer; R10 and flags are lost. */
void sq_tr_check_r9(struct sq_tr *t, unsigned len, bool write);
/* The memory operand, ready to be used. */
struct sq_tr_how {
    bool write;
    bool r10;       /* R10 is written before it is used; */
    bool alone;     /* the guest's registers, too */
    unsigned align; /* what it must be aligned to or raises #GP; 0: nothing */
};
struct sq_emit_mem sq_tr_access(struct sq_tr *t, struct sq_tr_how how);
/* The same of 8 bytes at RSP + disp. */
struct sq_emit_mem sq_tr_check_stack(struct sq_tr *t, int32_t disp,
                                     struct sq_tr_how how);
/* Checks R9, which m is, for a run; or jumps from *miss. The operand that it
 * returns needs R9 and m's base. */
struct sq_emit_mem sq_tr_check_run(struct sq_tr *t, struct sq_emit_mem m,
                                   unsigned len, bool write, uint8_t **miss);
/* The operand is locked: if R9 (or what it was) is not aligned, it is the
 * interpreter's turn. */
void sq_tr_check_aligned(struct sq_tr *t, unsigned len);

/* --- leaving (exits.c) --------------------------------------------------- */

uint32_t sq_tr_site(struct sq_tr *t, unsigned len, bool write);
struct sq_tr_cold *sq_tr_cold(struct sq_tr *t, enum sq_tr_cold_kind kind,
                              uint8_t *at);
/* The interpreter takes the instruction if cc holds; H_NONE: always. */
void sq_tr_interp_if(struct sq_tr *t, unsigned cc);
/* To page base + to, if cc holds; H_NONE: always. */
void sq_tr_jump(struct sq_tr *t, unsigned cc, int64_t to);
/* To R9, adding `pop` to RSP on the way; what is not in the jump cache is
 * done by the interpreter. */
void sq_tr_jump_indirect(struct sq_tr *t, int32_t pop);
/* Emits what was put off. */
void sq_tr_finish(struct sq_tr *t);

/* --- instructions (insns.c) ---------------------------------------------- */

void sq_tr_insn(struct sq_tr *t);
/* Whether this host and this privilege let it run natively. */
bool sq_tr_native(const struct sq_tr *t, const struct sq_jit_op *op);
/* Whether AH..BH beside memory is to be had only by turning the register. */
bool sq_tr_turns(const struct sq_jit_op *op);
void sq_tr_move_rsp(struct sq_tr *t, int32_t by);
/* Instructions from the current one on that need one check between them.
 * Returns how many; 0: none, nothing was emitted. (runs.c) */
unsigned sq_tr_run(struct sq_tr *t);
void sq_tr_cold_run(struct sq_tr *t, const struct sq_tr_cold *cold);
/* (system.c) Only for translations that run in kernel mode: */
void sq_tr_sti(struct sq_tr *t); /* and nothing waits behind it */
void sq_tr_swapgs(struct sq_tr *t);
/* CLI or CLD: a flag in rflags, which is not a status flag. */
void sq_tr_clear(struct sq_tr *t, uint32_t flag);
/* If R9 is not canonical, it is the interpreter's turn. R10 is lost. */
void sq_tr_canonical(struct sq_tr *t);
/* MOV from a segment or control register. */
void sq_tr_read(struct sq_tr *t);
/* RDFSBASE and its kin. */
void sq_tr_base(struct sq_tr *t);
/* RDTSC, RDTSCP. */
void sq_tr_tsc(struct sq_tr *t);
/* RFLAGS to R10; status flags are in js.flags. */
void sq_tr_rflags(struct sq_tr *t);
/* REP MOVS, REP STOS within a page; all else is the interpreter's. */
void sq_tr_rep(struct sq_tr *t);
/* (sse.c) */
void sq_tr_sse(struct sq_tr *t);
/* Makes sure that the XMM registers are in the host's. Flags are lost. */
void sq_tr_xmm_in(struct sq_tr *t, bool avx);

#endif

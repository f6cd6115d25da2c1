/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of x87 instructions share: the register stack, the control
 * and status words, the checks before each instruction and the report after
 * it; and the interface of fpstate.c, the images of FXSAVE and XSAVE.
 *
 * Order of checks (SDM vol. 3, 6.9; vol. 1, 8.6 and 8.7): #NM for CR0.EM or
 * CR0.TS, #MF for an unmasked exception of an earlier instruction, faults of
 * the memory operand, then the instruction's own exceptions, which are only
 * recorded here: the next waiting instruction raises them as #MF. CR0.NE is
 * taken to be set; the external error pin of the old PC is not modelled, so
 * with CR0.NE clear it is #MF, too.
 *
 * Two invariants: c->x87.fsw has no TOP (that is c->x87.top), and its ES
 * and B are set exactly when an exception flag is set that the control word
 * does not mask. Sources: SDM vol. 1, chapter 8; vol. 2.
 */
#ifndef SQ_SOFT_X86_X87_H
#define SQ_SOFT_X86_X87_H

#include "backends/soft/x86_64/fp/softfloat.h"
#include "backends/soft/x86_64/ops.h"

/* Status word; the low six bits are SQ_FP_IE..SQ_FP_PE. */
enum {
    FSW_SF = 0x40, /* stack fault */
    FSW_ES = 0x80, FSW_C0 = 0x100, FSW_C1 = 0x200, FSW_C2 = 0x400,
    FSW_TOP = 0x3800, FSW_C3 = 0x4000, FSW_B = 0x8000,
    FSW_CC = FSW_C0 | FSW_C2 | FSW_C3, /* what comparisons set */
};
/* Control word: bits that can be set, and the one that always is. */
enum { FCW_VALID = 0x1f3f, FCW_ONE = 0x40, FCW_INIT = 0x37f };

/* --- registers ------------------------------------------------------- */

static inline unsigned sq_x87_phys(const struct sq_x86_cpu *c, unsigned n)
{
    return (c->x87.top + n) & 7;
}

static inline bool sq_x87_empty(const struct sq_x86_cpu *c, unsigned n)
{
    return c->x87.empty >> sq_x87_phys(c, n) & 1;
}

/* ST(n), whatever its tag says. */
static inline struct sq_f80 sq_x87_get(const struct sq_x86_cpu *c,
                                       unsigned n)
{
    unsigned p = sq_x87_phys(c, n);

    return (struct sq_f80){.sig = c->x87.st[p].sig, .se = c->x87.st[p].se};
}

static inline void sq_x87_set(struct sq_x86_cpu *c, unsigned n,
                              struct sq_f80 v)
{
    unsigned p = sq_x87_phys(c, n);

    c->x87.st[p].sig = v.sig;
    c->x87.st[p].se = v.se;
    c->x87.empty &= (uint8_t)~(1u << p);
}

static inline void sq_x87_free(struct sq_x86_cpu *c, unsigned n)
{
    c->x87.empty |= (uint8_t)(1u << sq_x87_phys(c, n));
}

static inline void sq_x87_turn(struct sq_x86_cpu *c, unsigned by)
{
    c->x87.top = (c->x87.top + by) & 7;
}

static inline void sq_x87_pop(struct sq_x86_cpu *c)
{
    sq_x87_free(c, 0);
    sq_x87_turn(c, 1);
}

static inline void sq_x87_push(struct sq_x86_cpu *c, struct sq_f80 v)
{
    sq_x87_turn(c, 7);
    sq_x87_set(c, 0, v);
}

/* --- control, status and tag words ----------------------------------- */

/* Brings ES and B in line with the exception flags and masks. */
static inline void sq_x87_summarize(struct sq_x86_cpu *c)
{
    c->x87.fsw &= (uint16_t)~(FSW_ES | FSW_B);
    if (c->x87.fsw & ~(unsigned)c->x87.fcw & SQ_FP_ALL)
        c->x87.fsw |= FSW_ES | FSW_B;
}

/* The status word as software sees it, with TOP. */
static inline uint16_t sq_x87_fsw(const struct sq_x86_cpu *c)
{
    return (uint16_t)(c->x87.fsw | c->x87.top << 11);
}

/* Both at once: ES depends on both. */
static inline void sq_x87_set_words(struct sq_x86_cpu *c, uint16_t fcw,
                                    uint16_t fsw)
{
    c->x87.fcw = (fcw & FCW_VALID) | FCW_ONE;
    c->x87.fsw = fsw & (uint16_t)~FSW_TOP;
    c->x87.top = fsw >> 11 & 7;
    sq_x87_summarize(c);
}

/* The tag word of FNSTENV: two bits a physical register. (x87_env.c) */
uint16_t sq_x87_ftw(const struct sq_x86_cpu *c);

/* --- before and after an instruction --------------------------------- */

/* Raises #NM or #MF. (x87_env.c) */
_Noreturn void sq_x87_refuse(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i);

/* Before a waiting instruction: all but the FN... ones. */
static inline void sq_x87_begin(struct sq_x86_cpu *c,
                                const struct sq_x86_insn *i)
{
    if (SQ_UNLIKELY((c->cr0 & (CR0_EM | CR0_TS)) | (c->x87.fsw & FSW_ES)))
        sq_x87_refuse(c, i);
}

/* Before one that does not wait. */
static inline void sq_x87_begin_nowait(struct sq_x86_cpu *c,
                                       const struct sq_x86_insn *i)
{
    if (SQ_UNLIKELY(c->cr0 & (CR0_EM | CR0_TS)))
        sq_x86_raise(c, i, EXC_NM, NO_ERROR_CODE);
}

/* The environment for one instruction's arithmetic: no flags yet. */
static inline struct sq_fp_env sq_x87_env(const struct sq_x86_cpu *c)
{
    static const uint8_t precision[4] = {24, 64, 53, 64};

    return (struct sq_fp_env){
        .rounding = c->x87.fcw >> 10 & 3,
        .precision = precision[c->x87.fcw >> 8 & 3],
        .masks = c->x87.fcw & SQ_FP_ALL,
    };
}

/* Instead of an operation: its operand is missing, or its place is taken.
 * C1 tells which. The masked result is the indefinite NaN. */
static inline void sq_x87_underflow(struct sq_fp_env *env)
{
    env->flags = SQ_FP_IE | FSW_SF;
}

static inline void sq_x87_overflow(struct sq_fp_env *env)
{
    env->flags = SQ_FP_IE | FSW_SF;
    env->rounded_up = 1;
}

#define SQ_F80_INDEFINITE                                                  \
    ((struct sq_f80){.sig = 0xc000000000000000ull, .se = 0xffff})
#define SQ_F80_ONE                                                         \
    ((struct sq_f80){.sig = 0x8000000000000000ull, .se = 0x3fff})

/* FIP, FCS and FOP: where the last instruction that is not a control one
 * was. The decoder does not keep all of ModRM; what a memory operand's mod
 * and r/m were reads as zero in FOP. In 64-bit mode selectors are zero. */
static inline void sq_x87_note(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, unsigned modrm)
{
    c->x87.fip = sq_insn_rip(c, i);
    c->x87.fcs = c->code64 ? 0 : c->seg[SEG_CS].sel;
    c->x87.fop = (uint16_t)((i->imm2 & 7) << 8 | (i->reg & 7) << 3 | modrm);
}

/* And where its memory operand was: FDP is the offset in its segment. */
static inline void sq_x87_note_data(struct sq_x86_cpu *c,
                                    const struct sq_x86_insn *i,
                                    uint64_t gva)
{
    if (c->code64) {
        c->x87.fdp = gva - c->segbase[i->seg];
        c->x87.fds = 0;
    } else {
        c->x87.fdp = (uint32_t)(gva - c->seg[i->seg].base);
        c->x87.fds = c->seg[i->seg].sel;
    }
}

/* Adds an operation's flags to the status word, C1 from rounded_up. */
static inline void sq_x87_report(struct sq_x86_cpu *c,
                                 const struct sq_fp_env *env)
{
    c->x87.fsw = (uint16_t)((c->x87.fsw & ~FSW_C1) | env->flags |
                            (env->rounded_up ? FSW_C1 : 0));
    if (SQ_UNLIKELY(sq_fp_unmasked(env)))
        c->x87.fsw |= FSW_ES | FSW_B;
}

/* After an operation on registers. False: an unmasked exception came before
 * there was a result, and the registers stay as they are. */
static inline bool sq_x87_done(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i,
                               const struct sq_fp_env *env)
{
    sq_x87_note(c, i, 0xc0 | (i->rm & 7u));
    sq_x87_report(c, env);
    return !(sq_fp_unmasked(env) & (SQ_FP_IE | SQ_FP_DE | SQ_FP_ZE));
}

/* The same for one with a memory operand. */
static inline bool sq_x87_done_mem(struct sq_x86_cpu *c,
                                   const struct sq_x86_insn *i, uint64_t gva,
                                   const struct sq_fp_env *env)
{
    sq_x87_note(c, i, 0);
    sq_x87_note_data(c, i, gva);
    sq_x87_report(c, env);
    return !(sq_fp_unmasked(env) & (SQ_FP_IE | SQ_FP_DE | SQ_FP_ZE));
}

/* Condition codes of a comparison. */
static inline void sq_x87_set_relation(struct sq_x86_cpu *c,
                                       enum sq_fp_rel rel)
{
    c->x87.fsw &= (uint16_t)~FSW_CC;
    if (rel == SQ_FP_UNORDERED)
        c->x87.fsw |= FSW_CC;
    else if (rel == SQ_FP_LESS)
        c->x87.fsw |= FSW_C0;
    else if (rel == SQ_FP_EQUAL)
        c->x87.fsw |= FSW_C3;
}

/* FNINIT: registers keep their contents, but all are empty. (x87_env.c) */
void sq_x87_init(struct sq_x86_cpu *c);

/* --- areas of memory (fpstate.c) ------------------------------------- */

/* Reads or writes a whole area of at most 4096 bytes; nothing is written if
 * any of it faults. */
void sq_x86_get_area(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     uint64_t gva, void *dst, unsigned len);
void sq_x86_put_area(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     uint64_t gva, const void *src, unsigned len);

/* --- extended state (fpstate.c) -------------------------------------- */

/* State components (SDM vol. 1, 13.1). */
enum {
    XSTATE_X87 = 1,
    XSTATE_SSE = 2,
    XSTATE_AVX = 4,
    XSTATE_ALL = XSTATE_X87 | XSTATE_SSE | XSTATE_AVX, /* XCR0 may have */
};

/* Whether XCR0 may have this value: AVX needs SSE, and x87 is always there. */
bool sq_x86_xcr0_valid(uint64_t v);

/* XGETBV and XSETBV of register `ecx`; raise #UD and #GP. */
uint64_t sq_x86_xgetbv(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint32_t ecx);
void sq_x86_xsetbv(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                   uint32_t ecx, uint64_t val);

/* x87, YMM registers and MXCSR as they are after reset: for Linux's sake
 * the x87 is as after FNINIT. XCR0 is not touched. */
void sq_x86_fpu_reset(struct sq_x86_cpu *c);

/* The same state as a standard-form XSAVE image with 64-bit pointers, so
 * FCS and FDS are not in it. Import returns -1, with nothing changed, for an
 * image that has other components, the compacted form or reserved bits of
 * MXCSR; components that the image lacks get their initial values. */
void sq_x86_fpu_export(const struct sq_x86_cpu *c, uint8_t xsave[4096]);
int sq_x86_fpu_import(struct sq_x86_cpu *c, const uint8_t xsave[4096]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Random states for an encoding, and the interpreter's side of a case. */
#ifndef SQ_TEST_ISA_STATE_H
#define SQ_TEST_ISA_STATE_H

#include "isa_forms.h"
#include "isa_native.h"

/* The part of the arena that every case starts with fresh contents and that
 * is compared: around the boundary of its two pages. */
#define ISA_WINDOW (ISA_ARENA + 3072)
#define ISA_WINDOW_LEN 2048u

/* What must hold for an encoding so that its accesses stay in the arena and
 * its branches go to pads. */
struct isa_setup {
    uint64_t rip;
    uint16_t fixed; /* bit n: register n has a value below */
    uint64_t gpr[16];
    uint32_t high_random; /* bit n: upper half of register n is free */
    uint64_t ea; /* linear address of the memory operand, if there is one */
    uint64_t poke_gva, poke; /* 8 bytes of memory, if poke_gva */
    /* the interpreter's flags before, as it keeps them itself */
    struct sq_x86_flags fl;
    bool lazy;
};

bool isa_state_init(uint64_t seed);

/* Marks forms that the host's processor has no instruction for. */
void isa_skip_what_host_lacks(void);

/* Completes the encoding (displacements, targets) and decodes it. False if
 * it asks for the impossible. */
bool isa_state_plan(const struct isa_form *f, struct isa_code *code,
                    unsigned slot, struct isa_rng *r, struct isa_setup *s,
                    struct sq_x86_insn *insn);

/* A state; fills both arenas' windows. */
void isa_state_make(const struct isa_form *f, struct isa_setup *s,
                    struct isa_rng *r, struct isa_regs *in);

/* Runs the interpreter. */
void isa_interpret(const struct sq_x86_insn *insn, unsigned len,
                   const struct isa_setup *s, const struct isa_regs *in,
                   struct isa_regs *out);

const uint8_t *isa_window_host(void);
const uint8_t *isa_window_ours(void);
/* Whether their first and last bytes are the same; makes them so. */
bool isa_edges_agree(void);
/* Whether the two arenas are the same outside the window, too. */
bool isa_arenas_agree(void);

/* Clear what is not compared. */
void isa_memory_tidy(const struct isa_form *f, const struct isa_setup *s);
void isa_fx_tidy(struct isa_fx *fx);

/* Results that the manuals define to a number of bits only. */
bool isa_is_transcendental(const struct isa_form *f);
/* CVTPI2PS from memory: AMD's processors leave the x87 alone, Intel's manual
 * has it enter MMX state as with a register. */
bool isa_is_mmx_source_in_memory(const struct isa_form *f);
bool isa_is_estimate(const struct isa_form *f); /* RCPPS, RSQRTPS */
bool isa_f80_close(uint64_t sig_a, uint16_t se_a, uint64_t sig_b,
                   uint16_t se_b);
bool isa_f32_close(const uint8_t *a, const uint8_t *b); /* four of them */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Random states for an encoding. */
#ifndef SQ_TEST_ISA_STATE_H
#define SQ_TEST_ISA_STATE_H

#include "isa_forms.h"
#include "isa_interp.h"

/* What must hold for an encoding so that its accesses stay in the arena and
 * its branches go to pads. */
struct isa_setup {
    uint64_t rip;
    uint16_t fixed; /* bit n: register n has a value below */
    uint64_t gpr[16];
    uint64_t ea; /* linear address of the memory operand, if there is one */
    int vsib; /* a gather's index register, or -1; its scale, and indices' */
    unsigned vsib_scale, vsib_len; /* length in bytes */
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

/* Clears memory that is not compared. */
void isa_memory_tidy(const struct isa_form *f, const struct isa_setup *s);

/* Results that the manuals define to a number of bits only. */
bool isa_is_transcendental(const struct isa_form *f);
/* CVTPI2PS from memory: AMD's processors leave the x87 alone, Intel's manual
 * has it enter MMX state as with a register. */
bool isa_is_mmx_source_in_memory(const struct isa_form *f);
bool isa_is_estimate(const struct isa_form *f); /* RCPPS, RSQRTPS */
/* Within two units of the last place. */
bool isa_f80_close(uint64_t sig_a, uint16_t se_a, uint64_t sig_b,
                   uint16_t se_b);
/* Four floats: each within a relative error of 1.5 * 2^-11 (the manual
 * promises 1.5 * 2^-12 for RCPPS and RSQRTPS, to both sides). */
bool isa_f32_close(const uint8_t *a, const uint8_t *b);

#endif

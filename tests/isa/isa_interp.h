/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interpreter's side of a case: a CPU in 64-bit mode at CPL 3 with page
 * tables of its own, in which the arena's two pages have the addresses that
 * they have natively, but another memory; so both sides can run and be
 * compared afterwards.
 */
#ifndef SQ_TEST_ISA_INTERP_H
#define SQ_TEST_ISA_INTERP_H

#include "backends/soft/x86_64/insns.h"
#include "isa_native.h"

/* The part of the arena that every case starts with fresh contents and that
 * is compared: around the boundary of its two pages. */
#define ISA_WINDOW (ISA_ARENA + 3072)
#define ISA_WINDOW_LEN 2048u

/* After isa_native_init(). */
bool isa_interp_init(void);

/* Runs one instruction. `lazy`, if not NULL, is how the status flags of
 * in->rflags are represented. */
void isa_interpret(const struct sq_x86_insn *insn, unsigned len,
                   const struct sq_x86_flags *lazy, const struct isa_regs *in,
                   struct isa_regs *out);

/* The status flags that a representation stands for. */
uint32_t isa_status_of(const struct sq_x86_flags *fl);

const uint8_t *isa_window_host(void);
const uint8_t *isa_window_ours(void);
/* Whether the arenas' first and last bytes are the same; makes them so. */
bool isa_edges_agree(void);
/* Whether the arenas are the same outside the window. */
bool isa_arenas_agree(void);

/* These change both arenas; what is not in the arena stays. */
void isa_memory_fresh(const uint8_t *contents); /* the whole window */
void isa_memory_put(uint64_t gva, uint64_t v);
void isa_memory_clear(uint64_t gva, uint8_t bits);

/* Clears what is not compared. */
void isa_fx_tidy(struct isa_fx *fx);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator checked by the interpreter, block by block, while a guest
 * runs. For the vCPU's thread; of a machine of one vCPU.
 *
 * A pair goes like this. The interpreter runs the block; every byte that it
 * overwrites is noted. What it left is put aside, registers and bytes are
 * put back, and the translation of the block runs alone, up to the head of
 * the next block. Then both must have left the same registers, flags that
 * anything may read, bytes, count of instructions and fault; and the
 * translation must have got write access to no other page.
 *
 * Instructions that cannot be done twice (devices, model-specific registers,
 * the time, the TLB) and writes to code split their block: what is before
 * them is a pair, they are interpreted alone.
 *
 * The event loop's devices must not see bytes change back and forth, nor
 * change what the guest reads between the two runs: a pair is in turn with
 * them (os/turn.h), and the block is interpreted alone while they have it.
 * What else is at guest memory (a worker's transfer to or from a buffer that
 * the guest has lent) may come between: a pair that differs is tried again,
 * and only what differs each time is an error.
 */
#ifndef SQ_SOFT_X86_LOCKSTEP_H
#define SQ_SOFT_X86_LOCKSTEP_H

#include "backends/soft/x86_64/cpu.h"

/* Makes c->lockstep for a CPU with a translator. */
int sq_lockstep_new(struct sq_x86_cpu *c, struct squib_error *err);
void sq_lockstep_free(struct sq_x86_cpu *c);

/* In place of sq_jit_run() (jit.h). On a difference it leaves with an
 * INTERNAL_ERROR whose text names the block and what differs. */
bool sq_lockstep_run(struct sq_x86_cpu *c, struct sq_x86_block *b);

/* Blocks that were run as pairs so far, and those that were not. */
struct sq_lockstep_counts {
    uint64_t pairs, alone;
    uint64_t retries; /* differences that did not come again */
};
struct sq_lockstep_counts sq_lockstep_counts(const struct sq_x86_cpu *c);
/* The same as a line. */
void sq_lockstep_summary(const struct sq_x86_cpu *c, char *text, size_t len);

/* --- for the memory and device paths, where c->lockstep is set ----------- */

/* Whether the interpreter's half runs: writes must not go past
 * sq_lockstep_write(). */
bool sq_lockstep_records(const struct sq_x86_cpu *c);
/* [host, host + len) is about to be overwritten. */
void sq_lockstep_write(struct sq_x86_cpu *c, uint8_t *host, unsigned len);
/* A page-table entry at host, `then` before, got its accessed or dirty bit. */
void sq_lockstep_mark(struct sq_x86_cpu *c, uint8_t *host, uint64_t then,
                      unsigned len);
/* A TLB entry is about to be filled for a data access, and was. */
void sq_lockstep_fill(struct sq_x86_cpu *c, struct sq_tlb_entry *e);
void sq_lockstep_filled(struct sq_x86_cpu *c, struct sq_tlb_entry *e,
                        bool write);
/* Instruction i is about to do what cannot be done twice. Returns only when
 * it may. */
void sq_lockstep_alone(struct sq_x86_cpu *c, const struct sq_x86_insn *i);
/* c->tlb for the current privilege. */
struct sq_tlb_entry *sq_lockstep_tlb(struct sq_x86_cpu *c);

#endif

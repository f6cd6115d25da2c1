/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator checked by the interpreter, block by block, while a guest
 * runs. For the vCPU's thread; of a machine of one vCPU.
 *
 * A pair goes like this. The interpreter runs the block; what it writes is
 * held back (overlay.h), the accessed and dirty bits of page tables, too. What
 * it left in registers is put aside, they are put back, and the translation of
 * the block runs alone, up to the head of the next block. Then both must have
 * left the same registers, flags that anything may read, bytes, count of
 * instructions and fault; and the translation must have got write access to
 * no other page. In deterministic machines one pair of some also compares all
 * of the pages that were written.
 *
 * Half of the pairs run the translation with the TLB as the interpreter found
 * it, half with what that filled; there tables are marked at once.
 *
 * Instructions that cannot be done twice (devices, model-specific registers,
 * the time, the TLB) and writes to code split their block: what is before
 * them is a pair, they are interpreted alone.
 *
 * So memory is written once, and who looks at it meanwhile sees nothing
 * strange. The event loop's devices must not change what the guest reads
 * between the two runs: a pair is in turn with them (os/turn.h), and the block
 * is interpreted alone while they have it. What else is at guest memory (a
 * worker's transfer to or from a buffer that the guest has lent) may come
 * between: a pair that differs is undone and tried again, and only what
 * differs each time is an error.
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

/* Bytes are about to be overwritten. True: they are held back. */
bool sq_lockstep_write(struct sq_x86_cpu *c, uint8_t *host, const void *src,
                       unsigned len);
/* The same for bits that a page walk sets in a table's entry. */
bool sq_lockstep_mark(struct sq_x86_cpu *c, uint8_t *host, uint64_t entry,
                      unsigned len);
/* Bytes were read to `to`: what is held back belongs over them. */
void sq_lockstep_read(struct sq_x86_cpu *c, const uint8_t *host, void *to,
                      unsigned len);
/* Whether these bytes must not be accessed but by the above. */
bool sq_lockstep_holds(struct sq_x86_cpu *c, const uint8_t *host,
                       unsigned len, bool write);
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

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator's interface to the rest of the software CPU. A VM has one;
 * what it makes is run by all vCPUs. Calls with a CPU are for the vCPU's
 * thread, or any while it does not run.
 *
 * It is NULL where there is no translator: hosts that are not x86-64, hosts
 * that refuse executable memory, VMs that were asked to do without.
 *
 * Code, and the tables that say what is in it, only grow, under a lock that
 * nobody waits for: a vCPU that finds it taken interprets meanwhile. A block
 * gets its translation (b->jit) when all of that is in memory. What is there
 * does not change but for the distances of direct jumps, each of which is
 * stored at once and leads to good code before and after. All goes when all
 * blocks go (block.h), with every vCPU stopped outside of it; before one
 * runs code again, its processor forgets what it has fetched
 * (sq_jit_renew()).
 */
#ifndef SQ_SOFT_X86_JIT_H
#define SQ_SOFT_X86_JIT_H

#include "backends/soft/x86_64/cpu.h"

/* Whether this host has what the translator needs: 0, or an error whose
 * text says what it refuses. Keeps nothing. Any thread. */
int sq_jit_check(struct squib_error *err);

/* Makes a translator that translates blocks at their `heat`th execution, for
 * the caller to free. Returns SQUIB_E_NOSUPPORT where it cannot be; then
 * *out stays as it is. */
int sq_jit_new(struct sq_jit **out, unsigned heat, struct squib_error *err);
void sq_jit_free(struct sq_jit *j);

/* Has c, a CPU that is new, run what j translates; NULL: c interprets. The
 * 256 KiB below *c must be a stack (vcpu.c). */
void sq_jit_attach(struct sq_x86_cpu *c, struct sq_jit *j);

/* A translation: where the guest has the code. */
struct sq_jit_made {
    uint64_t rip, pa;
    uint16_t len; /* of the guest's code, in bytes */
    bool user;
};

/* Translates no more than `most` blocks from now on; the others are
 * interpreted. For finding the one that is wrong. Any thread. */
void sq_jit_limit(struct sq_jit *j, uint64_t most);
/* How many were translated; the last one goes to *m unless there is none.
 * Any thread. */
uint64_t sq_jit_made(struct sq_jit *j, struct sq_jit_made *m);
/* For tests: code has `code_len` bytes, more than a block can need. */
void sq_jit_room(struct sq_jit *j, size_t code_len);

/* Forgets all translations: their blocks are about to go. No vCPU runs. */
void sq_jit_forget(struct sq_jit *j);
/* They were forgotten: forgets what c knows of them. */
void sq_jit_renew(struct sq_x86_cpu *c);
/* The jump cache's generations start anew. */
void sq_jit_forget_jumps(struct sq_x86_cpu *c);

/* Whether b is translated for the current privilege, now if not before. */
bool sq_jit_ready(struct sq_x86_cpu *c, struct sq_x86_block *b);

/* Enters b's translation, which must be there, for about `fuel`
 * instructions; with b->n it leaves before the next block. Faults leave by
 * longjmp. */
void sq_jit_enter(struct sq_x86_cpu *c, struct sq_x86_block *b, int32_t fuel);

/* The status flags that translated code guarantees before instruction
 * `index` of b, which is translated, and that the architecture defines
 * there; b->n: at its end. */
uint16_t sq_jit_live(struct sq_x86_cpu *c, struct sq_x86_block *b,
                     unsigned index);

/* Both in one, from block b on in translated code, at least as far as its head;
 * false when b is not translated. c->attn was clear just before. */
bool sq_jit_run(struct sq_x86_cpu *c, struct sq_x86_block *b);

#endif

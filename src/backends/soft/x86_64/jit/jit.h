/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator's interface to the rest of the software CPU. All calls are
 * for the vCPU's thread, or any while it does not run.
 *
 * c->jit is NULL where there is no translator: hosts that are not x86-64,
 * hosts that refuse executable memory, VMs that were asked to do without.
 */
#ifndef SQ_SOFT_X86_JIT_H
#define SQ_SOFT_X86_JIT_H

#include "backends/soft/x86_64/cpu.h"

/* Whether this host has what the translator needs: 0, or an error whose
 * text says what it refuses. Keeps nothing. Any thread. */
int sq_jit_check(struct squib_error *err);

/* Makes c->jit; blocks are translated at their `heat`th execution. Returns
 * SQUIB_E_NOSUPPORT where it cannot be; then c->jit stays NULL and the CPU
 * interprets. The 256 KiB below *c must be a stack (vcpu.c). */
int sq_jit_new(struct sq_x86_cpu *c, unsigned heat, struct squib_error *err);
void sq_jit_free(struct sq_x86_cpu *c);

/* A translation: where the guest has the code. */
struct sq_jit_made {
    uint64_t rip, pa;
    uint16_t len; /* of the guest's code, in bytes */
    bool user;
};

/* Translates no more than `most` blocks from now on; the others are
 * interpreted. For finding the one that is wrong. */
void sq_jit_limit(struct sq_x86_cpu *c, uint64_t most);
/* How many were translated; the last one goes to *m unless there is none. */
uint64_t sq_jit_made(const struct sq_x86_cpu *c, struct sq_jit_made *m);

/* Forgets all translations: their blocks are about to go. */
void sq_jit_forget(struct sq_x86_cpu *c);
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

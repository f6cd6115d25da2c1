/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines whose time is the instruction count.
 *
 * Timers fire at the first block boundary at which enough instructions have
 * retired, whether code is interpreted or translated: blocks begin and end
 * at the same places in both, and flags are the same wherever they can be
 * seen (jit/exact.c). So both end in the same state. Every SQ_DET_PAUSE
 * instructions the run loop returns to its caller, so that what comes from
 * outside does so at a known count. All for the vCPU's thread.
 */
#ifndef SQ_SOFT_X86_DETERMINISTIC_H
#define SQ_SOFT_X86_DETERMINISTIC_H

#include "backends/soft/x86_64/cpu.h"

#define SQ_DET_PAUSE 4000000u

/* Makes c->det; after the translator was made. */
int sq_det_new(struct sq_x86_cpu *c, uint64_t seed, struct squib_error *err);
void sq_det_free(struct sq_x86_cpu *c);

/* Sets when the run loop looks around next: now, if it is to return to the
 * caller, which it says. After timers were looked at. */
bool sq_det_plan(struct sq_x86_cpu *c);

/* A halt until a time, which is now at once. */
void sq_det_skip_to(struct sq_x86_cpu *c, uint64_t deadline_ns);

/* A hash over registers and all guest memory. */
uint64_t sq_det_hash(struct squib_vcpu *vcpu);

#endif

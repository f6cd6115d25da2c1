/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_SOFT_X86_RUN_H
#define SQ_SOFT_X86_RUN_H

#include "backends/soft/x86_64/cpu.h"

/* squib_vcpu_run() for one CPU; *c->exit holds the answers to the last
 * exit. Never NULL. */
struct squib_exit *sq_x86_run(struct sq_x86_cpu *c);

/* Power-up state, or with `init` what an INIT changes (the local APIC is
 * the caller's). */
void sq_x86_reset(struct sq_x86_cpu *c, bool init);

/* Leaves to the run loop once more, after something in between has caught
 * LEAVE_* `why`. */
_Noreturn void sq_x86_leave_again(struct sq_x86_cpu *c, int why);

#endif

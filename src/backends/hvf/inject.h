/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions that the backend gives to the guest, and the answers to system
 * registers that trap. The framework delivers no exceptions itself, so what
 * a processor does on entry to EL1 is done here on its registers (DDI 0487,
 * D1.3). Pure.
 */
#ifndef SQ_BACKENDS_HVF_INJECT_H
#define SQ_BACKENDS_HVF_INJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/hvf/esr.h"

/* What an exception entry reads and writes. */
struct sq_hvf_el1 {
    uint64_t pc, cpsr;
    uint64_t vbar, sctlr;          /* read */
    uint64_t elr, spsr, esr, far;  /* written; far not by UNDEF */
};

/* Enters EL1 for the exception that `d` (action UNDEF, ABORT, OWN) asks for.
 * False: the guest is already at that vector and cannot fetch it, so it
 * would go round for ever; *r is unchanged. */
bool sq_hvf_inject(const struct sq_hvf_decoded *d, struct sq_hvf_el1 *r);

/* The answer to a register that trapped: what reads give (writes are
 * dropped). False: there is no such register, the access is undefined.
 * `counter` is the physical counter now. */
bool sq_hvf_sysreg_answer(const struct sq_hvf_sysreg *s, uint64_t counter,
                          uint64_t *value);

#endif

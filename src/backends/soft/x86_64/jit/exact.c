/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deterministic machines end in the same state whether code is interpreted
 * or translated, and on every host. So there flags are kept that no
 * instruction reads, because an interrupt may push them; and flags that the
 * architecture leaves undefined are the interpreter's.
 */
#include "backends/soft/x86_64/jit/tr.h"

/* In lockstep the interpreter's results count. */
bool sq_tr_exact(const struct sq_tr *t)
{
    return t->c->det && !t->c->lockstep;
}

/* Whether nothing sees the flags between this instruction and the next. */
static bool is_quiet(const struct sq_jit_op *op)
{
    switch (op->kind) {
    case JK_LEA:
    case JK_NOP:
    case JK_MOVI:
    case JK_BSWAP:
    case JK_PLAIN: return true;
    case JK_RM:
    case JK_VEX_G: return !op->mem;
    default: return false;
    }
}

/* Whether `open` flags behind instruction k are overwritten unseen. */
static bool unseen(const struct sq_tr *t, unsigned k, uint16_t open)
{
    while (open && ++k < t->n) {
        const struct sq_jit_op *op = &t->op[k];

        if (!is_quiet(op) || op->rd & open)
            return false;
        open &= (uint16_t)~op->wr;
    }
    return !open;
}

void sq_tr_leave_undefined(struct sq_tr *t)
{
    for (unsigned k = 0; k < t->n; k++) {
        struct sq_jit_op *op = &t->op[k];

        if (op->kind == JK_INTERP || op->kind == JK_INTERP_END ||
            unseen(t, k, op->undefined))
            continue;
        op->kind = JK_INTERP;
        op->wr = 0;
        op->touches = false;
    }
}

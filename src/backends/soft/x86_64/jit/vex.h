/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_SOFT_X86_JIT_VEX_H
#define SQ_SOFT_X86_JIT_VEX_H

#include "backends/soft/x86_64/jit/emit.h"
#include "backends/soft/x86_64/jit/op.h"
#include "base/util.h"

/* What a VEX prefix and the bytes after it say (SDM vol. 2, 2.3). */
struct sq_jit_vex {
    uint8_t prefix, map, op, modrm;
    uint8_t vvvv; /* a register's number; 0 where the field is unused */
    bool w, l;
};

/* Completes op, which is for the interpreter so far, if it runs natively. */
void sq_jit_vex(struct sq_jit_op *op, const struct sq_jit_vex *v);

#endif

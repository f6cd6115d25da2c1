/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/soft/x86_64/jit/tr.h"

void sq_tr_flags_save(struct sq_tr *t)
{
    struct sq_emit *e = &t->e;

    if (t->mem_ok)
        return;
    t->mem_ok = true;
    if (!t->host_ok)
        return;
    /* MOV, LAHF and SETcc change no flags. */
    sq_emit_mov(e, H_10, H_AX);
    sq_emit_u8(e, 0x9f);
    sq_emit_rr(e, SQ_OPC(0, 1, 0x90), 0, 0, H_AX);
    sq_emit_rm(e, SQ_OPC(0, 0, 0x89), SQ_E_O16, H_AX,
               sq_jit_cpu(CPU(js.flags)));
    sq_emit_mov(e, H_AX, H_10);
}

void sq_tr_flags_restore(struct sq_tr *t)
{
    struct sq_emit *e = &t->e;

    if (t->host_ok)
        return;
    t->host_ok = true;
    sq_emit_mov(e, H_10, H_AX);
    sq_emit_rm(e, SQ_OPC(0, 1, 0xb7), 0, H_AX, sq_jit_cpu(CPU(js.flags)));
    sq_emit_u8(e, 0x04); /* AL + 7F overflows if AL is 1 */
    sq_emit_u8(e, 0x7f);
    sq_emit_u8(e, 0x9e);
    sq_emit_mov(e, H_AX, H_10);
}

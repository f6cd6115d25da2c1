/* SPDX-License-Identifier: Apache-2.0 */
/* Shared code: into and out of translated code, and its slow paths. */
#include "backends/soft/x86_64/jit/state.h"

static const uint8_t saved[] = {H_BX, H_BP, H_12, H_13, H_14, H_15};

static uint32_t here(const struct sq_jit *j, const struct sq_emit *e)
{
    return (uint32_t)(e->at - j->rw);
}

static void push(struct sq_emit *e, unsigned r)
{
    if (r >= 8)
        sq_emit_u8(e, 0x41);
    sq_emit_u8(e, (uint8_t)(0x50 | (r & 7)));
}

static void pop(struct sq_emit *e, unsigned r)
{
    if (r >= 8)
        sq_emit_u8(e, 0x41);
    sq_emit_u8(e, (uint8_t)(0x58 | (r & 7)));
}

static void spill(struct sq_emit *e)
{
    for (unsigned g = 0; g < 16; g++)
        if (!sq_jit_homed(g))
            sq_emit_store(e, HOME(g), sq_jit_host(g));
}

static void reload(struct sq_emit *e)
{
    for (unsigned g = 0; g < 16; g++)
        if (!sq_jit_homed(g))
            sq_emit_load(e, sq_jit_host(g), HOME(g));
}

static void jump_to(struct sq_jit *j, struct sq_emit *e, uint32_t to)
{
    sq_emit_patch(sq_emit_jump(e, H_NONE), j->rw + to);
}

enum { MXCSR_LOAD = 2, MXCSR_STORE = 3 };

static void mxcsr(struct sq_emit *e, unsigned what, int32_t off)
{
    sq_emit_rm(e, SQ_OPC(0, 1, 0xae), 0, what, sq_jit_cpu(off));
}

/* Calls fn(c, r10, r9) with the guest's registers in gpr[] and goes on where
 * it says, with R9 = js.ptr. */
static void call_out(struct sq_emit *e, uint64_t fn)
{
    spill(e);
    mxcsr(e, MXCSR_STORE, CPU(mxcsr));
    mxcsr(e, MXCSR_LOAD, CPU(js.host_mxcsr));
    sq_emit_mov(e, H_DI, H_SP);
    sq_emit_rr(e, SQ_OPC(0, 0, 0x8b), 0, H_SI, H_10);
    sq_emit_mov(e, H_DX, H_9);
    sq_emit_mov_imm(e, H_AX, fn);
    sq_emit_rr(e, SQ_OPC(0, 0, 0xff), 0, 2, H_AX);
    sq_emit_store(e, sq_jit_cpu(CPU(js.go_on)), H_AX);
    mxcsr(e, MXCSR_LOAD, CPU(mxcsr));
    reload(e);
    sq_emit_load(e, H_9, sq_jit_cpu(CPU(js.ptr)));
    sq_emit_rm(e, SQ_OPC(0, 0, 0xff), 0, 4, sq_jit_cpu(CPU(js.go_on)));
}

void sq_jit_emit_stubs(struct sq_jit *j)
{
    struct sq_emit e = {j->rw, j->rw + 4096, false};
    const size_t n = sizeof(saved);

    /* enter(c, code): the System V convention */
    j->enter = here(j, &e);
    for (size_t k = 0; k < n; k++)
        push(&e, saved[k]);
    sq_emit_store(&e, (struct sq_emit_mem){H_DI, H_NONE, 0, CPU(js.host_sp)},
                  H_SP);
    sq_emit_mov(&e, H_SP, H_DI);
    sq_emit_mov(&e, H_10, H_SI);
    mxcsr(&e, MXCSR_STORE, CPU(js.host_mxcsr));
    mxcsr(&e, MXCSR_LOAD, CPU(mxcsr));
    reload(&e);
    sq_emit_rr(&e, SQ_OPC(0, 0, 0xff), 0, 4, H_10);

    /* with the guest's registers in gpr[] */
    j->exit_clean = here(j, &e);
    mxcsr(&e, MXCSR_STORE, CPU(mxcsr));
    mxcsr(&e, MXCSR_LOAD, CPU(js.host_mxcsr));
    sq_emit_load(&e, H_SP, sq_jit_cpu(CPU(js.host_sp)));
    for (size_t k = n; k-- > 0;)
        pop(&e, saved[k]);
    sq_emit_u8(&e, 0xc3);

    /* RIP = R9 */
    j->exit_r9 = here(j, &e);
    sq_emit_store(&e, HOME(SQ_RIP), H_9);
    spill(&e);
    jump_to(j, &e, j->exit_clean);

    /* RIP = page + R9 */
    j->exit_at = here(j, &e);
    sq_emit_rm(&e, SQ_OPC(0, 0, 0x03), SQ_E_W, H_9,
               sq_jit_cpu(CPU(js.page)));
    jump_to(j, &e, j->exit_r9);

    /* the same, and the run loop shall look at the clock */
    j->exit_fuel = here(j, &e);
    sq_emit_rm(&e, SQ_OPC(0, 0, 0xc7), 0, 0, sq_jit_cpu(CPU(budget)));
    sq_emit_u32(&e, 0);
    jump_to(j, &e, j->exit_at);

    /* the same, and link R10 wants its target */
    j->exit_link = here(j, &e);
    sq_emit_rm(&e, SQ_OPC(0, 0, 0x89), 0, H_10, sq_jit_cpu(CPU(js.link)));
    jump_to(j, &e, j->exit_at);

    j->slow = here(j, &e);
    call_out(&e, (uint64_t)(uintptr_t)sq_jit_slow);
    j->interp = here(j, &e);
    call_out(&e, (uint64_t)(uintptr_t)sq_jit_interp);
    j->stubs_len = (size_t)(e.at - j->rw);
}

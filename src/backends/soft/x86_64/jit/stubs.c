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

/* Jumps, unless the byte is set; returns the displacement. */
static uint8_t *unless(struct sq_emit *e, int32_t off)
{
    sq_emit_rm(e, SQ_OPC(0, 0, 0x80), 0, 7, sq_jit_cpu(off));
    sq_emit_u8(e, 0);
    return sq_emit_jump(e, 4);
}

static void set(struct sq_emit *e, int32_t off, bool v)
{
    sq_emit_rm(e, SQ_OPC(0, 0, 0xc6), 0, 0, sq_jit_cpu(off));
    sq_emit_u8(e, v);
}

/* All vector registers and MXCSR between the CPU and the host. */
static void xmm_move(struct sq_emit *e, bool in)
{
    bool avx = __builtin_cpu_supports("avx");

    _Static_assert(offsetof(struct sq_x86_cpu, ymm) % 32 == 0, "MOVAPS");
    for (unsigned n = 0; n < 16; n++) {
        struct sq_emit_mem m = sq_jit_cpu(CPU(ymm) + (int32_t)n * 32);
        uint32_t opc = SQ_OPC(0, 1, in ? 0x28 : 0x29);

        if (avx)
            sq_emit_vex_rm(e, opc, SQ_E_L, n, 0, m);
        else
            sq_emit_rm(e, opc, 0, n, m);
    }
    if (avx && !in) { /* VZEROUPPER: SSE code in C would be slow else */
        sq_emit_u8(e, 0xc5);
        sq_emit_u8(e, 0xf8);
        sq_emit_u8(e, 0x77);
    }
    mxcsr(e, MXCSR_STORE, in ? CPU(js.host_mxcsr) : CPU(mxcsr));
    mxcsr(e, MXCSR_LOAD, in ? CPU(mxcsr) : CPU(js.host_mxcsr));
    set(e, CPU(js.xmm_in), in);
}

static void xmm_in(struct sq_emit *e)
{
    xmm_move(e, true);
}

static void xmm_out(struct sq_emit *e)
{
    xmm_move(e, false);
}

/* Before a call into C, and after it: XMM registers as C wants them. */
static void xmm_away(struct sq_emit *e)
{
    uint8_t *out = unless(e, CPU(js.xmm_in));

    set(e, CPU(js.xmm_back), true);
    xmm_out(e);
    sq_emit_patch(out, e->at);
}

static void xmm_again(struct sq_emit *e)
{
    uint8_t *stay = unless(e, CPU(js.xmm_back));

    set(e, CPU(js.xmm_back), false);
    xmm_in(e);
    sq_emit_patch(stay, e->at);
}

static void call(struct sq_emit *e, uint64_t fn)
{
    sq_emit_mov_imm(e, H_AX, fn);
    sq_emit_rr(e, SQ_OPC(0, 0, 0xff), 0, 2, H_AX);
}

void sq_jit_emit_shifted(struct sq_emit *e, unsigned host, uint8_t by)
{
    if (host & SQ_JIT_V3) {
        sq_emit_vex_rr(e, SQ_OPC(0xf2, 3, 0xf0), 0, H_10, 0, H_9); /* RORX */
    } else {
        sq_emit_rr(e, SQ_OPC(0, 0, 0x8b), 0, H_10, H_9);
        sq_emit_rr(e, SQ_OPC(0, 0, 0xc1), 0, 5, H_10); /* SHR */
    }
    sq_emit_u8(e, by);
}

void sq_jit_emit_probe(struct sq_emit *e, unsigned host, unsigned way)
{
    uint8_t *miss, *other, *stale;
#define ENTRY(field)                                                       \
    ((struct sq_emit_mem){H_SP, H_10, 0,                                   \
                          CPU(jjc) + (int32_t)offsetof(struct sq_x86_jjc,  \
                                                       field)})

    _Static_assert(sizeof(struct sq_x86_jjc) == 32, "scale");
    _Static_assert(SQ_JJC_SIZE <= 1u << (32 - 12), "of the low half");
    sq_jit_emit_shifted(e, host, 12);
    sq_emit_rr(e, SQ_OPC(0, 0, 0x33), 0, H_10, H_9); /* XOR */
    if (way) {
        sq_emit_rr(e, SQ_OPC(0, 0, 0x83), 0, 6, H_10); /* XOR */
        sq_emit_u8(e, (uint8_t)way);
    }
    sq_emit_rr(e, SQ_OPC(0, 0, 0x81), 0, 4, H_10); /* AND */
    sq_emit_u32(e, SQ_JJC_SIZE - 1);
    sq_emit_rr(e, SQ_OPC(0, 0, 0xc1), 0, 4, H_10); /* SHL */
    sq_emit_u8(e, 5);
    sq_emit_rm(e, SQ_OPC(0, 0, 0x3b), SQ_E_W, H_9, ENTRY(gva));
    miss = sq_emit_jump(e, 5);
    sq_emit_rm(e, SQ_OPC(0, 0, 0x8b), 0, H_9, sq_jit_cpu(CPU(jc_key) + 4));
    sq_emit_rm(e, SQ_OPC(0, 0, 0x3b), 0, H_9, ENTRY(key));
    other = sq_emit_jump(e, 5);
    sq_emit_load(e, H_9, ENTRY(gen_at));
    sq_emit_rm(e, SQ_OPC(0, 0, 0x8b), 0, H_9,
               (struct sq_emit_mem){H_9, H_NONE, 0, 0});
    sq_emit_rm(e, SQ_OPC(0, 0, 0x3b), 0, H_9, ENTRY(gen));
    stale = sq_emit_jump(e, 5);
    sq_emit_load(e, H_9, ENTRY(gva));
    sq_emit_rr(e, SQ_OPC(0, 0, 0x81), SQ_E_W, 4, H_9); /* AND */
    sq_emit_u32(e, ~0xfffu);
    sq_emit_store(e, sq_jit_cpu(CPU(js.page)), H_9);
    sq_emit_rm(e, SQ_OPC(0, 0, 0xff), 0, 4, ENTRY(code));
    sq_emit_patch(other, e->at);
    sq_emit_patch(stale, e->at);
    sq_emit_load(e, H_9, ENTRY(gva));
    sq_emit_patch(miss, e->at);
#undef ENTRY
}

/* Calls fn(c, r10, r9) with the guest's registers in gpr[] and goes on where
 * it says, with R9 = js.gva and R10 = js.add. */
static void call_out(struct sq_emit *e, uint64_t fn)
{
    spill(e);
    xmm_away(e);
    sq_emit_mov(e, H_DI, H_SP);
    sq_emit_rr(e, SQ_OPC(0, 0, 0x8b), 0, H_SI, H_10);
    sq_emit_mov(e, H_DX, H_9);
    call(e, fn);
    sq_emit_store(e, sq_jit_cpu(CPU(js.go_on)), H_AX);
    xmm_again(e);
    reload(e);
    sq_emit_load(e, H_9, sq_jit_cpu(CPU(js.gva)));
    sq_emit_load(e, H_10, sq_jit_cpu(CPU(js.add)));
    sq_emit_rm(e, SQ_OPC(0, 0, 0xff), 0, 4, sq_jit_cpu(CPU(js.go_on)));
}

/* Called: EDX:EAX = the time stamp counter. Only what C may change is put
 * away. RSP must be the CPU meanwhile. */
static void tsc(struct sq_emit *e)
{
    static const uint8_t lost[] = {H_CX, H_SI, H_DI, H_8};

    sq_emit_rm(e, SQ_OPC(0, 0, 0x8f), 0, 0, sq_jit_cpu(CPU(js.go_on)));
    for (size_t k = 0; k < sizeof(lost); k++) /* guest's = host's */
        sq_emit_store(e, HOME(lost[k]), lost[k]);
    sq_emit_store(e, HOME(R_SP), H_11);
    xmm_away(e);
    sq_emit_mov(e, H_DI, H_SP);
    call(e, (uint64_t)(uintptr_t)sq_x86_tsc);
    xmm_again(e);
    for (size_t k = 0; k < sizeof(lost); k++)
        sq_emit_load(e, lost[k], HOME(lost[k]));
    sq_emit_load(e, H_11, HOME(R_SP));
    sq_emit_mov(e, H_DX, H_AX);
    sq_emit_rr(e, SQ_OPC(0, 0, 0xc1), SQ_E_W, 5, H_DX); /* SHR */
    sq_emit_u8(e, 32);
    sq_emit_rr(e, SQ_OPC(0, 0, 0x8b), 0, H_AX, H_AX);
    sq_emit_rm(e, SQ_OPC(0, 0, 0xff), 0, 6, sq_jit_cpu(CPU(js.go_on)));
    sq_emit_u8(e, 0xc3);
}

void sq_jit_emit_stubs(struct sq_jit *j)
{
    struct sq_emit e = {j->rw, j->rw + 4096, false};
    uint8_t *at;
    const size_t n = sizeof(saved);

    /* enter(c, code): the System V convention */
    j->enter = here(j, &e);
    for (size_t k = 0; k < n; k++)
        push(&e, saved[k]);
    sq_emit_store(&e, (struct sq_emit_mem){H_DI, H_NONE, 0, CPU(js.host_sp)},
                  H_SP);
    sq_emit_mov(&e, H_SP, H_DI);
    sq_emit_mov(&e, H_10, H_SI);
    reload(&e);
    sq_emit_rr(&e, SQ_OPC(0, 0, 0xff), 0, 4, H_10);

    /* with the guest's registers in gpr[] */
    j->exit_clean = here(j, &e);
    at = unless(&e, CPU(js.xmm_in));
    xmm_out(&e);
    sq_emit_patch(at, e.at);
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
    j->miss = here(j, &e); /* the other entry, then C */
    sq_emit_store(&e, sq_jit_cpu(CPU(js.tmp)), H_10);
    sq_jit_emit_probe(&e, j->host, 1);
    sq_emit_load(&e, H_10, sq_jit_cpu(CPU(js.tmp)));
    call_out(&e, (uint64_t)(uintptr_t)sq_jit_miss);
    j->tsc = here(j, &e);
    tsc(&e);

    /* Brings XMM registers in and goes on at R9. Where that must not be,
     * leaves at page + R10; js.tmp instructions did not run. */
    j->xmm_in = here(j, &e);
    at = unless(&e, CPU(js.no_xmm));
    j->exit_before = here(j, &e);
    sq_emit_load(&e, H_9, sq_jit_cpu(CPU(js.tmp)));
    sq_emit_rm(&e, SQ_OPC(0, 0, 0x01), 0, H_9, sq_jit_cpu(CPU(js.fuel)));
    sq_emit_mov(&e, H_9, H_10);
    jump_to(j, &e, j->exit_at);
    sq_emit_patch(at, e.at);
    xmm_in(&e);
    sq_emit_rr(&e, SQ_OPC(0, 0, 0xff), 0, 4, H_9);
    j->stubs_len = (size_t)(e.at - j->rw);
}

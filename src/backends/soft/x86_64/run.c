/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop: from block to block, and everything that happens between
 * instructions: interrupts, exceptions, halts, cancellation, single steps.
 */
/* glibc's check of longjmp() takes a stack that lies higher for a finished
 * function's; translated code has a stack of its own. */
#undef _FORTIFY_SOURCE

#include "backends/soft/x86_64/run.h"

#include "backends/soft/vm.h"
#include "backends/soft/x86_64/block.h"
#include "backends/soft/x86_64/debug.h"
#include "backends/soft/x86_64/deterministic.h"
#include "backends/soft/x86_64/flags.h"
#include "backends/soft/x86_64/mem.h"
#include "backends/soft/x86_64/ops.h"
#include "backends/soft/x86_64/seg.h"
#include "backends/soft/x86_64/strings.h"

/* Blocks between two looks at the clock: a few ten microseconds. */
#define BUDGET 1024

/* --- leaving a block ------------------------------------------------- */

/* Undoes the accounting of the block from instruction i on and puts RIP
 * at i. */
static void rewind_to(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    c->icount -= c->block->n - (uint64_t)(i - c->block->insn);
    c->gpr[SQ_RIP] += i->off;
    if (!c->code64)
        c->gpr[SQ_RIP] = (uint32_t)c->gpr[SQ_RIP];
}

_Noreturn static void leave(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                            int why)
{
    if (SQ_UNLIKELY(c->split_locked))
        sq_x86_rmw_slow_end(c, i);
    if (SQ_UNLIKELY(c->pop_active)) {
        c->pop_active = false;
        c->gpr[R_SP] = c->pop_rsp;
    }
    if (i)
        rewind_to(c, i);
    longjmp(c->leave, why);
}

_Noreturn void sq_x86_raise(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                            uint8_t vector, uint32_t error)
{
    c->fault_vector = vector;
    c->fault_error = error;
    c->debug.hits = 0;
    if (c->soft_int) {
        c->soft_int = false;
        c->gpr[SQ_RIP] = c->soft_int_rip;
    }
    leave(c, i, LEAVE_FAULT);
}

_Noreturn void sq_x86_step_trap(struct sq_x86_cpu *c)
{
    sq_x86_debug_raise(c, NULL, DR6_BS);
}

_Noreturn void sq_x86_leave_exit(struct sq_x86_cpu *c,
                                 const struct sq_x86_insn *i)
{
    leave(c, i, LEAVE_EXIT);
}

_Noreturn void sq_x86_leave_restart(struct sq_x86_cpu *c)
{
    atomic_fetch_or(&c->attn, ATTN_IRQ);
    leave(c, NULL, LEAVE_RESTART);
}

_Noreturn void sq_x86_stop_at(struct sq_x86_cpu *c,
                              const struct sq_x86_insn *i)
{
    leave(c, i, LEAVE_RESTART);
}

_Noreturn void sq_x86_leave_again(struct sq_x86_cpu *c, int why)
{
    longjmp(c->leave, why);
}

void sq_x86_exec_stop(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    rewind_to(c, i);
}

void sq_x86_exec_end(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    uint64_t rip = c->gpr[SQ_RIP] + i->off;

    c->gpr[SQ_RIP] = c->code64 ? rip : (uint32_t)rip;
}

void sq_x86_exec_ud(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    sq_x86_ud(c, i);
}

void sq_x86_irq_recheck(struct sq_x86_cpu *c)
{
    /* A shadow alone keeps nothing out. */
    if (c->rflags & FL_TF || c->nmi_pending || !c->lapic ||
        sq_lapic_events(c->lapic))
        atomic_fetch_or(&c->attn, ATTN_IRQ);
}

/* --- exceptions ------------------------------------------------------ */

/* Contributory exceptions (SDM vol. 3, table 6-5). */
static bool contributory(unsigned v)
{
    return v == EXC_DE || (v >= EXC_TS && v <= EXC_GP);
}

/* Delivers the fault that was raised. A fault in the delivery comes back
 * here by longjmp with c->delivering set. False: triple fault. */
static bool deliver_fault(struct sq_x86_cpu *c)
{
    unsigned v = c->fault_vector;

    if (c->delivering == EXC_DF) {
        c->delivering = -1;
        return false;
    }
    if (c->delivering >= 0 &&
        ((contributory((unsigned)c->delivering) && contributory(v)) ||
         (c->delivering == EXC_PF && (contributory(v) || v == EXC_PF)))) {
        v = EXC_DF;
        c->fault_error = 0;
    }
    c->delivering = (int)v;
    c->irq_shadow = c->ss_shadow = false;
    if (v == EXC_DB)
        c->dr7 &= ~(uint64_t)DR7_GD; /* the handler may use the registers */
    else if (v != EXC_DF)
        c->rflags |= FL_RF;
    if (!(c->cr0 & CR0_PE))
        c->fault_error = NO_ERROR_CODE;
    sq_x86_interrupt(c, v, false, c->fault_error);
    c->delivering = -1;
    return true;
}

/* --- between blocks -------------------------------------------------- */

static struct squib_exit *exit_idle(struct sq_x86_cpu *c)
{
    c->exit->kind = SQUIB_EXIT_HLT;
    c->exit->idle.deadline_ns = SQUIB_DEADLINE_NONE;
    if (!c->lapic)
        c->run_state = SQUIB_X86_RUNNABLE; /* the caller decides */
    else if (c->run_state == SQUIB_X86_HALTED)
        c->exit->idle.deadline_ns = sq_lapic_next_deadline_ns(c->lapic);
    return c->exit;
}

static void start_up(struct sq_x86_cpu *c, uint8_t vector)
{
    sq_seg_load_real(c, SEG_CS, (uint16_t)(vector << 8));
    c->gpr[SQ_RIP] = 0;
    c->run_state = SQUIB_X86_RUNNABLE;
    sq_x86_update_mode(c);
    sq_x86_debug_stepped(c);
}

/* One instruction by itself; what waits is looked at right after it. */
static void one_instruction(struct sq_x86_cpu *c)
{
    struct sq_x86_block *b = sq_block_single(c);

    if (sq_x86_is_int3(b->insn))
        sq_x86_debug_int3(c, NULL); /* a shadow stays for what follows */
    c->irq_shadow = false;
    sq_x86_debug_stepped(c);
    c->block = b;
    c->icount += b->n;
    atomic_fetch_or(&c->attn, ATTN_IRQ);
    b->insn[0].exec(c, b->insn);
    c->block = NULL;
}

/* Whether instructions run one by one. */
static bool steps(const struct sq_x86_cpu *c)
{
    return c->rflags & FL_TF || sq_x86_stepping(c);
}

/* One instruction, and the trap if the trap flag is set. */
static void single_step(struct sq_x86_cpu *c)
{
    bool trap = c->rflags & FL_TF;

    c->no_step = false;
    one_instruction(c);
    if (trap && !c->no_step)
        sq_x86_step_trap(c);
}

static void interrupt(struct sq_x86_cpu *c, unsigned vector)
{
    c->run_state = SQUIB_X86_RUNNABLE;
    sq_x86_interrupt(c, vector, false, NO_ERROR_CODE);
    sq_x86_debug_stepped(c);
}

/* Takes what arrived. False: an instruction ran by itself, look again. */
static bool events(struct sq_x86_cpu *c)
{
    uint8_t vector;
    int v;

    if (c->lapic && sq_lapic_take_init(c->lapic)) {
        sq_x86_reset(c, true);
        sq_lapic_reset(c->lapic, SQ_LAPIC_INIT);
        c->run_state = c->index ? SQUIB_X86_WAIT_SIPI : SQUIB_X86_RUNNABLE;
    }
    if (c->lapic && sq_lapic_take_sipi(c->lapic, &vector) &&
        c->run_state == SQUIB_X86_WAIT_SIPI)
        start_up(c, vector);
    for (unsigned k = 0; k < 2 && c->lapic && sq_lapic_take_nmi(c->lapic);
         k++)
        if (c->nmi_pending < 2 - c->nmi_blocked)
            c->nmi_pending++;
    if (c->run_state == SQUIB_X86_WAIT_SIPI)
        return true;
    /* What arrives between this look and the instruction counts, too: it
     * runs now, whether or not something waits. */
    if (sq_in_shadow(c) && !c->fault_waits) {
        single_step(c);
        return false;
    }
    if (c->nmi_pending && !c->nmi_blocked) {
        c->nmi_pending--;
        c->nmi_blocked = true;
        interrupt(c, EXC_NMI);
        return true;
    }
    if (!(c->rflags & FL_IF) || !c->lapic)
        return true;
    v = sq_lapic_pending_vector(c->lapic);
    if (v < 0)
        return true;
    interrupt(c, sq_lapic_accept(c->lapic, (uint8_t)v));
    return true;
}

/* Returns an exit, or NULL to go on with the next block. */
static struct squib_exit *look_around(struct sq_x86_cpu *c)
{
    uint32_t attn;

again:
    sq_x86_mend_block(c);
    attn = atomic_exchange(&c->attn, 0);
    c->budget = BUDGET;
    if (attn & ATTN_STOP)
        sq_block_safepoint(c);
    if (attn & ATTN_POSTED) {
        if (sq_x86_next_posted(c)) {
            atomic_fetch_or(&c->attn, attn);
            return c->exit;
        }
    }
    if (attn & ATTN_FLUSH)
        sq_x86_tlb_flush(c, false);
    if (attn & ATTN_PURGE)
        sq_x86_handle_purge(c);
    /* An instruction that is half done goes on before anything else. */
    if (sq_x86_replaying(c)) {
        atomic_fetch_or(&c->attn, attn & (ATTN_IRQ | ATTN_CANCEL));
        if (!(attn & ATTN_CANCEL) && !steps(c))
            return NULL;
        single_step(c);
        goto again;
    }
    /* Behind a load of SS they wait for the next instruction, too. */
    if (SQ_UNLIKELY(c->debug.hits) && !sq_in_shadow(c)) {
        atomic_fetch_or(&c->attn, attn & (ATTN_IRQ | ATTN_CANCEL));
        sq_x86_debug_raise(c, NULL, 0);
    }
    if (SQ_UNLIKELY(c->debug.due)) {
        atomic_fetch_or(&c->attn, attn & (ATTN_IRQ | ATTN_CANCEL));
        return sq_x86_debug_exit(c);
    }
    if (attn & ATTN_CANCEL) {
        atomic_fetch_or(&c->attn, attn & ATTN_IRQ);
        c->exit->kind = SQUIB_EXIT_CANCELED;
        return c->exit;
    }
    if (c->lapic && sq_lapic_next_deadline_ns(c->lapic) != UINT64_MAX)
        sq_lapic_tick(c->lapic, sq_x86_now(c));
    if (SQ_UNLIKELY(c->det) && sq_det_plan(c)) {
        atomic_fetch_or(&c->attn, attn & ATTN_IRQ);
        c->exit->kind = SQUIB_EXIT_CANCELED;
        return c->exit;
    }
    if (!events(c) || c->debug.due)
        goto again;
    if (c->run_state != SQUIB_X86_RUNNABLE)
        return exit_idle(c);
    if (c->fault_waits) {
        c->fault_waits = false;
        sq_x86_raise(c, NULL, c->fault_vector, c->fault_error);
    }
    if (steps(c)) {
        single_step(c);
        goto again;
    }
    return NULL;
}

static struct squib_exit *run(struct sq_x86_cpu *c)
{
    struct squib_exit *exit;

    if (c->hypercall_pending) {
        c->hypercall_pending = false;
        c->gpr[R_AX] = c->exit->hypercall.ret;
    }
    sq_x86_replay_answer(c);
    switch (setjmp(c->leave)) {
    case LEAVE_EXIT: return c->exit;
    case LEAVE_FAULT:
        if (!deliver_fault(c)) {
            c->debug.due = false;
            c->exit->kind = SQUIB_EXIT_SHUTDOWN;
            c->exit->shutdown.fault = true;
            return c->exit;
        }
        sq_x86_debug_stepped(c);
        break;
    default: break; /* 0, LEAVE_RESTART */
    }
    /* First of all: cancellation, halts, what arrived meanwhile. */
    c->budget = 0;
    for (;;) {
        struct sq_x86_block *b;
        struct sq_x86_jc *jc;
        uint64_t gva;

        if (SQ_UNLIKELY(--c->budget < 0 ||
                        atomic_load_explicit(&c->attn,
                                             memory_order_relaxed))) {
            exit = look_around(c);
            if (exit)
                return exit;
        }
        gva = c->gpr[SQ_RIP] + c->fetch_base;
        jc = sq_x86_jc_at(c, gva);
        b = jc->block;
        if (SQ_UNLIKELY(jc->key != (gva ^ c->jc_key) || !sq_block_fresh(b)))
            b = sq_block_get(c);
        /* What attn still says is for after one more block, which
         * translated code would not run. */
        if (c->translated &&
            !atomic_load_explicit(&c->attn, memory_order_relaxed) &&
            c->translated(c, b))
            continue;
        c->block = b;
        c->icount += b->n;
        b->insn[0].exec(c, b->insn);
    }
}

struct squib_exit *sq_x86_run(struct sq_x86_cpu *c)
{
    struct squib_exit *exit;

    sq_block_begin(c);
    exit = run(c);
    sq_block_end(c);
    return exit;
}

/* --- reset ----------------------------------------------------------- */

void sq_x86_reset(struct sq_x86_cpu *c, bool init)
{
    struct squib_x86_64_state st;

    /* SDM vol. 3, table 9-1. INIT keeps FPU, MSRs and the TSC. */
    squib_x86_real_mode(&st, 0xf0000, 0xfff0);
    memcpy(c->gpr, st.gpr, sizeof(st.gpr));
    c->gpr[R_DX] = 0x000106ca;
    c->gpr[SQ_RIP] = st.rip;
    c->gpr[SQ_ZERO] = 0;
    sq_set_status(c, 0);
    c->rflags = 2;
    for (unsigned s = 0; s < 8; s++)
        c->seg[s] = (struct sq_x86_segreg){
            .base = st.seg[s].base, .limit = st.seg[s].limit,
            .attr = st.seg[s].attr, .sel = st.seg[s].selector};
    c->gdtr.base = c->idtr.base = 0;
    c->gdtr.limit = c->idtr.limit = 0xffff;
    c->cr0 = CR0_ET | CR0_CD | CR0_NW;
    c->cr2 = c->cr3 = c->cr4 = c->efer = 0;
    memset(c->dr, 0, sizeof(c->dr));
    c->dr6 = 0xffff0ff0;
    c->dr7 = 0x400;
    c->nmi_pending = 0;
    c->nmi_blocked = c->irq_shadow = c->ss_shadow = false;
    c->debug.hits = 0;
    c->debug.due = false;
    c->replay.count = 0;
    c->delivering = -1;
    if (!init) {
        c->xcr0 = 1;
        c->mxcsr = 0x1f80;
        c->pat = 0x0007040600070406ull;
        c->misc_enable = 1; /* fast strings */
    }
    sq_x86_set_cpl(c, 0);
    sq_x86_tlb_flush(c, false);
    sq_x86_debug_update(c);
    sq_x86_update_mode(c);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The software CPU's state to and from struct squib_x86_64_state. */
#include "backends/soft/vcpu.h"

#include "backends/soft/x86_64/debug.h"
#include "backends/soft/x86_64/flags.h"
#include "backends/soft/x86_64/x87.h"
#include "backends/soft/x86_64/mem.h"
#include "backends/soft/x86_64/msr.h"
#include "backends/soft/x86_64/seg.h"
#include "base/err.h"

/* MSRs that a saved state carries; the TSC comes first, because the
 * deadline means a point on it. FS, GS and EFER are in other parts. */
static const uint32_t saved_msrs[] = {
    MSR_TSC,         MSR_SYSENTER_CS,     MSR_SYSENTER_ESP,
    MSR_SYSENTER_EIP, MSR_STAR,           MSR_LSTAR,
    MSR_CSTAR,       MSR_SYSCALL_MASK,    MSR_KERNEL_GS_BASE,
    MSR_TSC_AUX,     MSR_MISC_ENABLE,     MSR_PAT,
    MSR_MTRR_DEF_TYPE, MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME,
    SQ_LAPIC_MSR_BASE, SQ_LAPIC_MSR_TSC_DEADLINE,
};

int sq_soft_get_state(struct squib_vcpu *vcpu, uint32_t parts,
                      struct squib_x86_64_state *st, struct squib_error *err)
{
    struct sq_soft_vcpu *v = SQ_CONTAINER_OF(vcpu, struct sq_soft_vcpu,
                                             base);
    struct sq_x86_cpu *c = &v->cpu;

    (void)err;
    if (parts & SQUIB_STATE_REGS) {
        memcpy(st->gpr, c->gpr, sizeof(st->gpr));
        st->rip = c->gpr[SQ_RIP];
        st->rflags = sq_rflags(c);
    }
    if (parts & SQUIB_STATE_SYSTEM) {
        for (unsigned s = 0; s < SQUIB_X86_SEG_COUNT; s++)
            st->seg[s] = (struct squib_x86_seg){
                .base = c->seg[s].base, .limit = c->seg[s].limit,
                .attr = c->seg[s].attr, .selector = c->seg[s].sel};
        st->gdt = (struct squib_x86_table){c->gdtr.base, c->gdtr.limit, {0}};
        st->idt = (struct squib_x86_table){c->idtr.base, c->idtr.limit, {0}};
        st->cr0 = c->cr0;
        st->cr2 = c->cr2;
        st->cr3 = c->cr3;
        st->cr4 = c->cr4;
        st->cr8 = c->lapic ? sq_lapic_cr8(c->lapic) : 0;
        st->efer = c->efer;
        st->xcr0 = c->xcr0;
        memcpy(st->dr, c->dr, sizeof(st->dr));
        st->dr6 = c->dr6;
        st->dr7 = c->dr7;
    }
    if (parts & SQUIB_STATE_MSRS) {
        st->msr_count = 0;
        for (size_t k = 0; k < SQ_ARRAY_LEN(saved_msrs); k++) {
            struct squib_x86_msr *m = &st->msr[st->msr_count];

            *m = (struct squib_x86_msr){.index = saved_msrs[k]};
            if (sq_x86_msr_read(c, m->index, &m->value) == 0)
                st->msr_count++;
        }
    }
    if (parts & SQUIB_STATE_FPU)
        sq_x86_fpu_export(c, st->xsave);
    if (parts & SQUIB_STATE_LAPIC) {
        memset(st->lapic, 0, sizeof(st->lapic));
        if (c->lapic)
            sq_lapic_export(c->lapic, st->lapic, sq_x86_now(c));
    }
    if (parts & SQUIB_STATE_EVENTS) {
        st->run_state = c->run_state;
        st->nmi_pending = c->nmi_pending;
        st->nmi_blocked = c->nmi_blocked;
        st->irq_shadow = sq_in_shadow(c);
        st->exc_pending = 0; /* exceptions never wait here */
        st->exc_vector = st->exc_has_error = st->sipi_vector = 0;
        st->exc_error = st->reserved1 = 0;
    }
    return 0;
}

/* What cannot be, by the architecture (SDM vol. 3, 26.3.1). */
static int check_system(const struct squib_x86_64_state *st,
                        struct squib_error *err)
{
    const char *what = NULL;

    if (st->cr0 >> 32 || (st->cr0 & CR0_PG && !(st->cr0 & CR0_PE)) ||
        (st->cr0 & CR0_NW && !(st->cr0 & CR0_CD)))
        what = "CR0";
    else if (st->cr8 > 15)
        what = "CR8";
    else if (st->cr3 >> 52)
        what = "CR3";
    else if (st->efer & ~(uint64_t)(EFER_SCE | EFER_LME | EFER_LMA |
                                    EFER_NXE))
        what = "EFER";
    else if (!(st->efer & EFER_LMA) !=
             !(st->cr0 & CR0_PG && st->efer & EFER_LME))
        what = "EFER.LMA";
    else if (st->efer & EFER_LMA && !(st->cr4 & CR4_PAE))
        what = "CR4.PAE";
    else if (!sq_x86_xcr0_valid(st->xcr0))
        what = "XCR0";
    else if (!sq_canonical(st->seg[SQUIB_X86_FS].base) ||
             !sq_canonical(st->seg[SQUIB_X86_GS].base) ||
             !sq_canonical(st->gdt.base) || !sq_canonical(st->idt.base))
        what = "a base address";
    if (what)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "vCPU state: %s has an impossible value", what);
    return 0;
}

static void set_system(struct sq_x86_cpu *c,
                       const struct squib_x86_64_state *st)
{
    for (unsigned s = 0; s < SQUIB_X86_SEG_COUNT; s++)
        c->seg[s] = (struct sq_x86_segreg){
            .base = st->seg[s].base, .limit = st->seg[s].limit,
            .attr = st->seg[s].attr, .sel = st->seg[s].selector};
    c->gdtr.base = st->gdt.base;
    c->gdtr.limit = st->gdt.limit;
    c->idtr.base = st->idt.base;
    c->idtr.limit = st->idt.limit;
    c->cr0 = st->cr0 | CR0_ET;
    c->cr2 = st->cr2;
    c->cr3 = st->cr3;
    c->cr4 = st->cr4;
    if (c->lapic)
        sq_lapic_set_cr8(c->lapic, st->cr8);
    c->efer = st->efer;
    c->xcr0 = st->xcr0;
    memcpy(c->dr, st->dr, sizeof(c->dr));
    c->dr6 = st->dr6;
    c->dr7 = st->dr7;
    c->debug.hits = 0;
    sq_x86_set_cpl(c, c->cr0 & CR0_PE
                          ? c->seg[SEG_SS].attr >> ATTR_DPL_SHIFT & 3
                          : 0);
    sq_x86_tlb_flush(c, false);
    sq_x86_debug_update(c);
    sq_x86_update_mode(c);
}

int sq_soft_set_state(struct squib_vcpu *vcpu, uint32_t parts,
                      const struct squib_x86_64_state *st,
                      struct squib_error *err)
{
    struct sq_soft_vcpu *v = SQ_CONTAINER_OF(vcpu, struct sq_soft_vcpu,
                                             base);
    struct sq_x86_cpu *c = &v->cpu;
    int rc = 0;

    if (parts & SQUIB_STATE_REGS && !sq_canonical(st->rip))
        return sq_err_set(err, SQUIB_E_INVAL,
                          "vCPU state: RIP is not canonical");
    if (parts & SQUIB_STATE_SYSTEM)
        rc = check_system(st, err);
    if (rc)
        return rc;
    if (parts & SQUIB_STATE_MSRS && st->msr_count > SQUIB_X86_MSR_MAX)
        return sq_err_set(err, SQUIB_E_INVAL, "vCPU state: %u MSRs",
                          st->msr_count);
    if (parts & SQUIB_STATE_FPU && sq_x86_fpu_import(c, st->xsave))
        return sq_err_set(err, SQUIB_E_INVAL,
                          "vCPU state: the XSAVE image is not valid");
    if (parts & SQUIB_STATE_REGS) {
        memcpy(c->gpr, st->gpr, sizeof(st->gpr));
        c->gpr[SQ_RIP] = st->rip;
        sq_set_status(c, (uint32_t)st->rflags);
        c->rflags = (st->rflags & ~(uint64_t)FL_STATUS) | 2;
        c->replay.count = 0;
    }
    if (parts & SQUIB_STATE_SYSTEM) {
        set_system(c, st);
        if (c->cr0 & CR0_PG && c->cr4 & CR4_PAE && !(c->efer & EFER_LMA) &&
            sq_x86_set_cr3(c, st->cr3))
            return sq_err_set(err, SQUIB_E_INVAL,
                              "vCPU state: bad PAE page directory");
    }
    if (parts & SQUIB_STATE_MSRS) {
        for (uint32_t k = 0; k < st->msr_count; k++) {
            uint32_t index = st->msr[k].index;

            if (index == SQ_LAPIC_MSR_BASE
                    ? c->lapic && sq_lapic_set_base(c->lapic,
                                                    st->msr[k].value, err)
                    : sq_x86_msr_write(c, index, st->msr[k].value))
                return sq_err_set(err, SQUIB_E_INVAL,
                                  "vCPU state: MSR %#x does not take %#llx",
                                  index,
                                  (unsigned long long)st->msr[k].value);
        }
    }
    if (parts & SQUIB_STATE_LAPIC && c->lapic &&
        sq_lapic_import(c->lapic, st->lapic, sq_x86_now(c), err))
        return sq_err_set(err, SQUIB_E_INVAL,
                          "vCPU state: the local APIC page is not valid");
    if (parts & SQUIB_STATE_EVENTS) {
        if (st->run_state > SQUIB_X86_WAIT_SIPI ||
            (st->exc_pending && (st->exc_vector > 31 ||
                                 st->exc_vector == EXC_NMI)))
            return sq_err_set(err, SQUIB_E_INVAL,
                              "vCPU state: run state %u, exception %u",
                              st->run_state, st->exc_vector);
        c->run_state = st->run_state;
        c->nmi_pending = st->nmi_pending > 2 ? 2 : st->nmi_pending;
        c->nmi_blocked = st->nmi_blocked;
        c->irq_shadow = st->irq_shadow;
        c->ss_shadow = false;
        c->shadow_icount = c->icount;
        if (st->exc_pending) {
            /* Taken by the next run, before any instruction. */
            c->fault_vector = st->exc_vector;
            c->fault_error = st->exc_has_error ? st->exc_error
                                               : NO_ERROR_CODE;
            c->fault_waits = true;
        }
    }
    if (parts & (SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM))
        sq_x86_debug_settle_rf(c);
    atomic_fetch_or(&c->attn, ATTN_IRQ);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Architectural state of a vCPU, to and from KVM.
 *
 * Order matters when setting. CR4 and XCR0 depend on CPUID, so that comes
 * first (and once). Within one call: system registers, MSRs (with the APIC's
 * base and mode), then the APIC page, then the TSC deadline, which KVM drops
 * unless the APIC's timer is in that mode already; events last, since they
 * refer to all of it.
 *
 * An interrupt that KVM has taken from the APIC but not yet delivered has no
 * place in the architecture: to software it is still requested. Saving puts
 * it back from the in-service to the request register, where any backend
 * will find it.
 */
#define _GNU_SOURCE
#include "backends/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/err.h"
#include "base/util.h"

#define MSR_TSC 0x10u
#define MSR_TSC_DEADLINE 0x6e0u

#define CR0_PE 0x1u
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR0_PG 0x80000000u
#define CR4_PAE 0x20u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u
#define XCR0_X87 1u
#define XCR0_SSE 2u
#define XCR0_AVX 4u

#define APIC_ISR 0x100u /* eight registers of 32 bits, 16 bytes apart */
#define APIC_IRR 0x200u

/* What a Linux guest may leave in a vCPU. Registers that are part of `seg`,
 * `efer` and so on are not repeated. KVM leaves out what it does not have. */
static const uint32_t saved_msrs[] = {
    0x1b,                               /* APIC base and mode */
    MSR_TSC, 0x3b,                      /* TSC, TSC_ADJUST */
    0x48, 0x122, 0x140,                 /* SPEC_CTRL, TSX, MISC_FEATURES */
    0x10a,                              /* ARCH_CAPABILITIES */
    0x174, 0x175, 0x176,                /* SYSENTER */
    0x1a0,                              /* MISC_ENABLE */
    0x200, 0x201, 0x202, 0x203, 0x204, 0x205, 0x206, 0x207,
    0x208, 0x209, 0x20a, 0x20b, 0x20c, 0x20d, 0x20e, 0x20f, /* MTRRs */
    0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c,
    0x26d, 0x26e, 0x26f, 0x2ff,
    0x277, 0xda0,                       /* PAT, XSS */
    0xc0000081, 0xc0000082, 0xc0000083, /* STAR, LSTAR, CSTAR */
    0xc0000084, 0xc0000102, 0xc0000103, /* SFMASK, KERNEL_GS, TSC_AUX */
    0x4b564d00, 0x4b564d01,             /* KVM clock */
    0x4b564d02, 0x4b564d06,             /* asynchronous page faults */
    0x4b564d03, 0x4b564d04, 0x4b564d05, /* steal time, EOI, poll control */
    MSR_TSC_DEADLINE,
};

_Static_assert(SQ_ARRAY_LEN(saved_msrs) <= SQUIB_X86_MSR_MAX,
               "the list must fit the state");

static struct sq_kvm_vcpu *vcpu_of(struct squib_vcpu *vcpu)
{
    return SQ_CONTAINER_OF(vcpu, struct sq_kvm_vcpu, base);
}

static struct sq_kvm_vm *vm_of(struct sq_kvm_vcpu *v)
{
    return SQ_CONTAINER_OF(v->base.vm, struct sq_kvm_vm, base);
}

static int call(struct sq_kvm_vcpu *v, unsigned long request, void *arg,
                const char *what, struct squib_error *err)
{
    if (ioctl(v->fd, request, arg) >= 0)
        return 0;
    if (errno == EINVAL)
        return sq_err_os(err, SQUIB_E_INVAL, errno, "KVM refuses %s", what);
    return sq_err_os(err, SQUIB_E_OS, errno, "KVM, %s", what);
}

/* --- CPUID ----------------------------------------------------------- */

int sq_kvm_vcpu_set_cpuid(struct squib_vcpu *vcpu,
                          const struct squib_x86_cpuid *leaves, size_t n,
                          struct squib_error *err)
{
    struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));
    int rc;

    if (!c)
        return sq_err_set(err, SQUIB_E_NOMEM, "CPUID: no memory");
    c->nent = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        c->entries[i] = (struct kvm_cpuid_entry2){
            .function = leaves[i].leaf,
            .index = leaves[i].subleaf,
            .flags = leaves[i].has_subleaf ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX
                                           : 0,
            .eax = leaves[i].eax, .ebx = leaves[i].ebx,
            .ecx = leaves[i].ecx, .edx = leaves[i].edx,
        };
    rc = call(vcpu_of(vcpu), KVM_SET_CPUID2, c, "the CPUID leaves", err);
    free(c);
    return rc;
}

static int default_cpuid(struct sq_kvm_vcpu *v, struct sq_kvm_vm *vm,
                         uint32_t index, struct squib_error *err)
{
    struct squib_x86_cpuid leaf[SQUIB_X86_CPUID_MAX];
    size_t n = SQ_ARRAY_LEN(leaf);
    int rc = sq_kvm_cpuid(vm->sys_fd, leaf, &n, err);

    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) { /* where the APIC's number shows */
        if (leaf[i].leaf == 1)
            leaf[i].ebx = (leaf[i].ebx & 0xffffffu) | index << 24;
        else if (leaf[i].leaf == 0xb || leaf[i].leaf == 0x1f)
            leaf[i].edx = index;
        else if (leaf[i].leaf == 0x8000001e)
            leaf[i].eax = index;
    }
    return sq_kvm_vcpu_set_cpuid(&v->base, leaf, n, err);
}

int sq_kvm_vcpu_setup(struct sq_kvm_vcpu *v, struct sq_kvm_vm *vm,
                      uint32_t index, struct squib_error *err)
{
    struct kvm_lapic_state lapic;
    int rc = default_cpuid(v, vm, index, err);

    if (rc || !vm->irqchip)
        return rc;
    /* KVM notes who can be reached by interrupt messages when an APIC is
     * set; a vCPU that came after the last time would be missed. */
    rc = call(v, KVM_GET_LAPIC, &lapic, "the local APIC", err);
    return rc ? rc : call(v, KVM_SET_LAPIC, &lapic, "the local APIC", err);
}

/* --- system registers ------------------------------------------------ */

static void seg_get(const struct kvm_segment *k, struct squib_x86_seg *s)
{
    *s = (struct squib_x86_seg){
        .base = k->base,
        .limit = k->limit,
        .selector = k->selector,
        .attr = (uint32_t)k->type | (uint32_t)k->s << 4 |
                (uint32_t)k->dpl << 5 | (uint32_t)k->present << 7 |
                (uint32_t)k->avl << 12 | (uint32_t)k->l << 13 |
                (uint32_t)k->db << 14 | (uint32_t)k->g << 15 |
                (k->unusable ? SQUIB_X86_ATTR_UNUSABLE : 0),
    };
}

static void seg_set(const struct squib_x86_seg *s, struct kvm_segment *k)
{
    *k = (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->selector,
        .type = s->attr & 15,
        .s = s->attr >> 4 & 1,
        .dpl = s->attr >> 5 & 3,
        .present = s->attr >> 7 & 1,
        .avl = s->attr >> 12 & 1,
        .l = s->attr >> 13 & 1,
        .db = s->attr >> 14 & 1,
        .g = s->attr >> 15 & 1,
        .unusable = !!(s->attr & SQUIB_X86_ATTR_UNUSABLE),
    };
}

/* KVM's registers in the order of enum squib_x86_seg_index. */
static struct kvm_segment *kvm_seg(struct kvm_sregs *k, unsigned i)
{
    struct kvm_segment *const at[SQUIB_X86_SEG_COUNT] = {
        &k->es, &k->cs, &k->ss, &k->ds, &k->fs, &k->gs, &k->ldt, &k->tr,
    };

    return at[i];
}

static int get_system(struct sq_kvm_vcpu *v, struct squib_x86_64_state *st,
                      struct squib_error *err)
{
    struct kvm_sregs k;
    struct kvm_debugregs d;
    struct kvm_xcrs x = {0};
    int rc = call(v, KVM_GET_SREGS, &k, "system registers", err);

    if (!rc)
        rc = call(v, KVM_GET_DEBUGREGS, &d, "debug registers", err);
    if (!rc && vm_of(v)->has_xcrs)
        rc = call(v, KVM_GET_XCRS, &x, "XCR0", err);
    if (rc)
        return rc;
    for (unsigned i = 0; i < SQUIB_X86_SEG_COUNT; i++)
        seg_get(kvm_seg(&k, i), &st->seg[i]);
    st->gdt = (struct squib_x86_table){k.gdt.base, k.gdt.limit, {0}};
    st->idt = (struct squib_x86_table){k.idt.base, k.idt.limit, {0}};
    st->cr0 = k.cr0;
    st->cr2 = k.cr2;
    st->cr3 = k.cr3;
    st->cr4 = k.cr4;
    st->cr8 = k.cr8;
    st->efer = k.efer;
    st->xcr0 = XCR0_X87;
    for (uint32_t i = 0; i < x.nr_xcrs && i < KVM_MAX_XCRS; i++)
        if (x.xcrs[i].xcr == 0)
            st->xcr0 = x.xcrs[i].value;
    memcpy(st->dr, d.db, sizeof(st->dr));
    st->dr6 = d.dr6;
    st->dr7 = d.dr7;
    return 0;
}

/* What no processor can be in. KVM checks most of it too, but not on every
 * version, and its answer is a bare EINVAL. */
static int check_system(const struct squib_x86_64_state *st,
                        struct squib_error *err)
{
    bool pg = st->cr0 & CR0_PG, lma = st->efer & EFER_LMA;
    const char *bad = NULL;

    if ((st->cr0 | st->dr6 | st->dr7) >> 32)
        bad = "the upper half of CR0, DR6 or DR7 is not zero";
    else if (pg && !(st->cr0 & CR0_PE))
        bad = "CR0 has paging without protection";
    else if ((st->cr0 & CR0_NW) && !(st->cr0 & CR0_CD))
        bad = "CR0.NW is set without CR0.CD";
    else if (lma != (pg && (st->efer & EFER_LME)))
        bad = "EFER.LMA does not follow from EFER.LME and CR0.PG";
    else if (lma && !(st->cr4 & CR4_PAE))
        bad = "long mode without CR4.PAE";
    else if (!(st->xcr0 & XCR0_X87) ||
             ((st->xcr0 & XCR0_AVX) && !(st->xcr0 & XCR0_SSE)))
        bad = "XCR0 has an impossible value";
    else if (st->cr8 > 15)
        bad = "CR8 is above 15";
    return bad ? sq_err_set(err, SQUIB_E_INVAL, "impossible vCPU state: %s",
                            bad)
               : 0;
}

static int set_xcr0(struct sq_kvm_vcpu *v, uint64_t xcr0,
                    struct squib_error *err)
{
    struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs[0] = {.value = xcr0}};

    if (vm_of(v)->has_xcrs)
        return call(v, KVM_SET_XCRS, &x, "XCR0", err);
    return xcr0 == XCR0_X87 ? 0
                            : sq_err_set(err, SQUIB_E_NOSUPPORT,
                                         "this KVM has no XCR0");
}

static int set_system(struct sq_kvm_vcpu *v,
                      const struct squib_x86_64_state *st,
                      struct squib_error *err)
{
    struct kvm_sregs k;
    struct kvm_debugregs d = {.dr6 = st->dr6, .dr7 = st->dr7};
    int rc = check_system(st, err);

    if (!rc) /* for the APIC base, which is an MSR of ours */
        rc = call(v, KVM_GET_SREGS, &k, "system registers", err);
    if (rc)
        return rc;
    memset(k.interrupt_bitmap, 0, sizeof(k.interrupt_bitmap));
    for (unsigned i = 0; i < SQUIB_X86_SEG_COUNT; i++)
        seg_set(&st->seg[i], kvm_seg(&k, i));
    k.gdt = (struct kvm_dtable){.base = st->gdt.base,
                                .limit = st->gdt.limit};
    k.idt = (struct kvm_dtable){.base = st->idt.base,
                                .limit = st->idt.limit};
    k.cr0 = st->cr0;
    k.cr2 = st->cr2;
    k.cr3 = st->cr3;
    k.cr4 = st->cr4;
    k.cr8 = st->cr8;
    k.efer = st->efer;
    memcpy(d.db, st->dr, sizeof(d.db));
    rc = call(v, KVM_SET_SREGS, &k, "the system registers", err);
    if (!rc)
        rc = call(v, KVM_SET_DEBUGREGS, &d, "the debug registers", err);
    return rc ? rc : set_xcr0(v, st->xcr0, err);
}

/* --- general registers ----------------------------------------------- */

static int get_regs(struct sq_kvm_vcpu *v, struct squib_x86_64_state *st,
                    struct squib_error *err)
{
    struct kvm_regs k;
    int rc = call(v, KVM_GET_REGS, &k, "registers", err);

    if (rc)
        return rc;
    st->gpr[SQUIB_X86_RAX] = k.rax;
    st->gpr[SQUIB_X86_RCX] = k.rcx;
    st->gpr[SQUIB_X86_RDX] = k.rdx;
    st->gpr[SQUIB_X86_RBX] = k.rbx;
    st->gpr[SQUIB_X86_RSP] = k.rsp;
    st->gpr[SQUIB_X86_RBP] = k.rbp;
    st->gpr[SQUIB_X86_RSI] = k.rsi;
    st->gpr[SQUIB_X86_RDI] = k.rdi;
    st->gpr[SQUIB_X86_R8] = k.r8;
    st->gpr[SQUIB_X86_R9] = k.r9;
    st->gpr[SQUIB_X86_R10] = k.r10;
    st->gpr[SQUIB_X86_R11] = k.r11;
    st->gpr[SQUIB_X86_R12] = k.r12;
    st->gpr[SQUIB_X86_R13] = k.r13;
    st->gpr[SQUIB_X86_R14] = k.r14;
    st->gpr[SQUIB_X86_R15] = k.r15;
    st->rip = k.rip;
    st->rflags = k.rflags;
    return 0;
}

static int set_regs(struct sq_kvm_vcpu *v,
                    const struct squib_x86_64_state *st,
                    struct squib_error *err)
{
    const uint64_t *g = st->gpr;
    struct kvm_regs k = {
        .rax = g[SQUIB_X86_RAX], .rcx = g[SQUIB_X86_RCX],
        .rdx = g[SQUIB_X86_RDX], .rbx = g[SQUIB_X86_RBX],
        .rsp = g[SQUIB_X86_RSP], .rbp = g[SQUIB_X86_RBP],
        .rsi = g[SQUIB_X86_RSI], .rdi = g[SQUIB_X86_RDI],
        .r8 = g[SQUIB_X86_R8],   .r9 = g[SQUIB_X86_R9],
        .r10 = g[SQUIB_X86_R10], .r11 = g[SQUIB_X86_R11],
        .r12 = g[SQUIB_X86_R12], .r13 = g[SQUIB_X86_R13],
        .r14 = g[SQUIB_X86_R14], .r15 = g[SQUIB_X86_R15],
        .rip = st->rip,          .rflags = st->rflags | 2,
    };

    return call(v, KVM_SET_REGS, &k, "the registers", err);
}

/* --- MSRs ------------------------------------------------------------ */

union one_msr {
    struct kvm_msrs head;
    uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

/* One at a time: KVM stops a list at the first that it does not have. */
static bool msr_get(struct sq_kvm_vcpu *v, uint32_t index, uint64_t *value)
{
    union one_msr m = {.head.nmsrs = 1};

    m.head.entries[0] = (struct kvm_msr_entry){.index = index};
    if (ioctl(v->fd, KVM_GET_MSRS, &m) != 1)
        return false;
    *value = m.head.entries[0].data;
    return true;
}

static bool msr_set(struct sq_kvm_vcpu *v, uint32_t index, uint64_t value)
{
    union one_msr m = {.head.nmsrs = 1};

    m.head.entries[0] = (struct kvm_msr_entry){.index = index,
                                               .data = value};
    return ioctl(v->fd, KVM_SET_MSRS, &m) == 1;
}

static void get_msrs(struct sq_kvm_vcpu *v, struct squib_x86_64_state *st)
{
    st->msr_count = 0;
    for (size_t i = 0; i < SQ_ARRAY_LEN(saved_msrs); i++) {
        struct squib_x86_msr *m = &st->msr[st->msr_count];

        *m = (struct squib_x86_msr){.index = saved_msrs[i]};
        st->msr_count += msr_get(v, m->index, &m->value);
    }
}

/* The deadline (`late`) or all the others. One that this KVM does not have
 * is accepted when it holds nothing. */
static int set_msrs(struct sq_kvm_vcpu *v,
                    const struct squib_x86_64_state *st, bool late,
                    struct squib_error *err)
{
    for (uint32_t i = 0; i < st->msr_count; i++) {
        const struct squib_x86_msr *m = &st->msr[i];

        if ((m->index == MSR_TSC_DEADLINE) == late &&
            !msr_set(v, m->index, m->value) && m->value)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "KVM refuses %#llx for MSR %#x",
                              (unsigned long long)m->value, m->index);
    }
    return 0;
}

/* --- FPU and APIC ---------------------------------------------------- */

_Static_assert(sizeof(struct kvm_xsave) == SQUIB_X86_XSAVE_LEN,
               "KVM's XSAVE area is the state's");
_Static_assert(sizeof(struct kvm_lapic_state) ==
                   sizeof(((struct squib_x86_64_state *)0)->lapic),
               "KVM's APIC page is the state's");

/* An interrupt in delivery goes back to being requested. */
static void requeue(struct squib_x86_64_state *st, uint8_t vector)
{
    uint32_t at = vector / 32u * 16u, bit = 1u << (vector % 32u);
    uint8_t *isr = st->lapic + APIC_ISR + at;
    uint8_t *irr = st->lapic + APIC_IRR + at;

    sq_st32(isr, sq_ld32(isr) & ~bit);
    sq_st32(irr, sq_ld32(irr) | bit);
}

static int get_lapic(struct sq_kvm_vcpu *v, struct squib_x86_64_state *st,
                     struct squib_error *err)
{
    struct kvm_vcpu_events e;
    int rc;

    if (!vm_of(v)->irqchip) {
        memset(st->lapic, 0, sizeof(st->lapic));
        return 0;
    }
    rc = call(v, KVM_GET_LAPIC, st->lapic, "the local APIC", err);
    if (!rc)
        rc = call(v, KVM_GET_VCPU_EVENTS, &e, "events", err);
    if (!rc && e.interrupt.injected && !e.interrupt.soft)
        requeue(st, e.interrupt.nr);
    return rc;
}

static int set_lapic(struct sq_kvm_vcpu *v,
                     const struct squib_x86_64_state *st,
                     struct squib_error *err)
{
    struct kvm_lapic_state k;
    struct kvm_vcpu_events e;
    int rc;

    if (!vm_of(v)->irqchip)
        return 0;
    memcpy(&k, st->lapic, sizeof(k));
    rc = call(v, KVM_SET_LAPIC, &k, "the local APIC", err);
    if (!rc)
        rc = call(v, KVM_GET_VCPU_EVENTS, &e, "events", err);
    if (rc || !e.interrupt.injected)
        return rc;
    e.interrupt.injected = 0; /* it belonged to the APIC of before */
    e.flags = 0;
    return call(v, KVM_SET_VCPU_EVENTS, &e, "the events", err);
}

/* --- events ---------------------------------------------------------- */

static uint8_t run_state_of(uint32_t mp_state)
{
    switch (mp_state) {
    case KVM_MP_STATE_UNINITIALIZED:
    case KVM_MP_STATE_INIT_RECEIVED:
        return SQUIB_X86_WAIT_SIPI;
    case KVM_MP_STATE_HALTED:
        return SQUIB_X86_HALTED;
    default: /* also SIPI_RECEIVED: it starts on the next entry */
        return SQUIB_X86_RUNNABLE;
    }
}

static int get_events(struct sq_kvm_vcpu *v, struct squib_x86_64_state *st,
                      struct squib_error *err)
{
    struct kvm_mp_state mp;
    struct kvm_vcpu_events e;
    int rc = call(v, KVM_GET_MP_STATE, &mp, "the run state", err);

    if (!rc)
        rc = call(v, KVM_GET_VCPU_EVENTS, &e, "events", err);
    if (rc)
        return rc;
    st->run_state = run_state_of(mp.mp_state);
    st->nmi_pending = e.nmi.pending || e.nmi.injected;
    st->nmi_blocked = e.nmi.masked && !e.nmi.injected;
    st->irq_shadow = !!e.interrupt.shadow;
    st->exc_pending = e.exception.injected || e.exception.pending;
    st->exc_vector = st->exc_pending ? e.exception.nr : 0;
    st->exc_has_error = st->exc_pending && e.exception.has_error_code;
    st->exc_error = st->exc_has_error ? e.exception.error_code : 0;
    st->sipi_vector = (uint8_t)e.sipi_vector;
    return 0;
}

/* Without an interrupt controller KVM knows only runnable vCPUs. A halted
 * one then goes on after its HLT, as it does after a HLT exit. */
static int set_run_state(struct sq_kvm_vcpu *v, uint8_t run_state,
                         struct squib_error *err)
{
    struct kvm_mp_state now, mp = {.mp_state = KVM_MP_STATE_RUNNABLE};
    int rc;

    if (run_state > SQUIB_X86_WAIT_SIPI)
        return sq_err_set(err, SQUIB_E_INVAL, "impossible vCPU state: run "
                          "state %u", run_state);
    if (!vm_of(v)->irqchip && run_state == SQUIB_X86_WAIT_SIPI)
        return sq_err_set(err, SQUIB_E_INVAL, "impossible vCPU state: it "
                          "waits for an interrupt controller that the VM "
                          "does not have");
    if (!vm_of(v)->irqchip)
        return call(v, KVM_SET_MP_STATE, &mp, "the run state", err);
    if (run_state == SQUIB_X86_HALTED)
        mp.mp_state = KVM_MP_STATE_HALTED;
    if (run_state == SQUIB_X86_WAIT_SIPI) {
        mp.mp_state = KVM_MP_STATE_INIT_RECEIVED;
        rc = call(v, KVM_GET_MP_STATE, &now, "the run state", err);
        if (rc || now.mp_state == KVM_MP_STATE_UNINITIALIZED)
            return rc;
    }
    return call(v, KVM_SET_MP_STATE, &mp, "the run state", err);
}

static int set_events(struct sq_kvm_vcpu *v,
                      const struct squib_x86_64_state *st,
                      struct squib_error *err)
{
    struct kvm_vcpu_events e;
    int rc = 0;

    if (st->exc_pending && (st->exc_vector > 31 || st->exc_vector == 2))
        rc = sq_err_set(err, SQUIB_E_INVAL, "impossible vCPU state: "
                        "exception %u", st->exc_vector);
    if (!rc) /* an interrupt in delivery stays */
        rc = call(v, KVM_GET_VCPU_EVENTS, &e, "events", err);
    if (rc)
        return rc;
    e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
              KVM_VCPUEVENT_VALID_SIPI_VECTOR;
    memset(&e.exception, 0, sizeof(e.exception));
    if (st->exc_pending) {
        e.exception.injected = 1;
        e.exception.nr = st->exc_vector;
        e.exception.has_error_code = st->exc_has_error;
        e.exception.error_code = st->exc_error;
    }
    e.exception_has_payload = 0;
    e.nmi.injected = 0;
    e.nmi.pending = st->nmi_pending;
    e.nmi.masked = st->nmi_blocked;
    /* Of the two kinds this is the one that VMX allows with any RFLAGS. */
    e.interrupt.shadow = st->irq_shadow ? KVM_X86_SHADOW_INT_MOV_SS : 0;
    e.sipi_vector = st->sipi_vector;
    rc = set_run_state(v, st->run_state, err);
    return rc ? rc : call(v, KVM_SET_VCPU_EVENTS, &e, "the events", err);
}

/* --- together -------------------------------------------------------- */

int sq_kvm_vcpu_get_state(struct squib_vcpu *vcpu, uint32_t parts,
                          struct squib_x86_64_state *st,
                          struct squib_error *err)
{
    struct sq_kvm_vcpu *v = vcpu_of(vcpu);
    int rc = sq_kvm_vcpu_finish(v, err);

    /* First, since it may still change what the others read. */
    if (!rc && (parts & SQUIB_STATE_EVENTS))
        rc = get_events(v, st, err);
    if (!rc && (parts & SQUIB_STATE_REGS))
        rc = get_regs(v, st, err);
    if (!rc && (parts & SQUIB_STATE_SYSTEM))
        rc = get_system(v, st, err);
    if (!rc && (parts & SQUIB_STATE_MSRS))
        get_msrs(v, st);
    if (!rc && (parts & SQUIB_STATE_FPU))
        rc = call(v, KVM_GET_XSAVE, st->xsave, "XSAVE state", err);
    if (!rc && (parts & SQUIB_STATE_LAPIC))
        rc = get_lapic(v, st, err);
    return rc;
}

int sq_kvm_vcpu_set_state(struct squib_vcpu *vcpu, uint32_t parts,
                          const struct squib_x86_64_state *st,
                          struct squib_error *err)
{
    struct sq_kvm_vcpu *v = vcpu_of(vcpu);
    struct kvm_xsave xsave;
    int rc = sq_kvm_vcpu_finish(v, err);

    if (!rc && (parts & SQUIB_STATE_MSRS) &&
        st->msr_count > SQUIB_X86_MSR_MAX)
        rc = sq_err_set(err, SQUIB_E_INVAL, "%u MSRs; at most %d",
                        st->msr_count, SQUIB_X86_MSR_MAX);
    if (!rc && (parts & SQUIB_STATE_SYSTEM))
        rc = set_system(v, st, err);
    if (!rc && (parts & SQUIB_STATE_REGS))
        rc = set_regs(v, st, err);
    if (!rc && (parts & SQUIB_STATE_FPU)) {
        memcpy(&xsave, st->xsave, sizeof(xsave));
        rc = call(v, KVM_SET_XSAVE, &xsave, "the XSAVE state", err);
    }
    if (!rc && (parts & SQUIB_STATE_MSRS))
        rc = set_msrs(v, st, false, err);
    if (!rc && (parts & SQUIB_STATE_LAPIC))
        rc = set_lapic(v, st, err);
    if (!rc && (parts & SQUIB_STATE_MSRS))
        rc = set_msrs(v, st, true, err);
    if (!rc && (parts & SQUIB_STATE_EVENTS))
        rc = set_events(v, st, err);
    return rc;
}

/* --- hooks of vcpu.c ------------------------------------------------- */

bool sq_kvm_vcpu_prepare(struct sq_kvm_vcpu *v, struct squib_exit *out)
{
    (void)out;
    v->prepared = true;
    return true;
}

bool sq_kvm_vcpu_absorb(struct sq_kvm_vcpu *v)
{
    (void)v;
    return false;
}

void sq_kvm_vcpu_debug_exit(struct sq_kvm_vcpu *v,
                            struct squib_exit_debug *out)
{
    (void)v;
    (void)out;
}

const struct sq_vcpu_ops sq_kvm_vcpu_ops = {
    .free = sq_kvm_vcpu_free,
    .run = sq_kvm_vcpu_run,
    .cancel = sq_kvm_vcpu_cancel,
    .park = sq_kvm_vcpu_park,
    .set_cpuid = sq_kvm_vcpu_set_cpuid,
    .get_state = sq_kvm_vcpu_get_state,
    .set_state = sq_kvm_vcpu_set_state,
    .debug = sq_kvm_vcpu_debug,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Model-specific registers (SDM vol. 4), and KVM's clock. */
#include "backends/soft/vm.h"
#include "backends/soft/x86_64/mem.h"
#include "backends/soft/x86_64/msr.h"
#include "os/clock.h"

uint64_t sq_x86_now(const struct sq_x86_cpu *c)
{
    return SQ_LIKELY(!c->det) ? sq_now_ns() : c->icount - c->det->ahead +
                                             c->det->skipped_ns;
}

uint64_t sq_x86_tsc_at(const struct sq_x86_cpu *c,
                       const struct sq_x86_insn *i)
{
    uint64_t rest = c->block->n - (uint64_t)(i - c->block->insn);

    /* The count is ahead, by the rest of the block. */
    return sq_x86_tsc(c) - (c->det ? rest : 0);
}

uint64_t sq_x86_tsc(const struct sq_x86_cpu *c)
{
    return sq_x86_now(c) - c->tsc_offset;
}

/* Plain 64-bit storage: index, place, and whether it holds an address. */
#define STORED(X)                                                          \
    X(MSR_SYSENTER_CS, sysenter_cs, false)                                 \
    X(MSR_SYSENTER_ESP, sysenter_esp, true)                                \
    X(MSR_SYSENTER_EIP, sysenter_eip, true)                                \
    X(MSR_STAR, star, false)                                               \
    X(MSR_LSTAR, lstar, true)                                              \
    X(MSR_CSTAR, cstar, true)                                              \
    X(MSR_SYSCALL_MASK, fmask, false)                                      \
    X(MSR_KERNEL_GS_BASE, kernel_gs_base, true)                            \
    X(MSR_TSC_AUX, tsc_aux, false)                                         \
    X(MSR_MISC_ENABLE, misc_enable, false)                                 \
    X(MSR_MTRR_DEF_TYPE, mtrr_def_type, false)

static uint64_t *stored(struct sq_x86_cpu *c, uint32_t index, bool *address)
{
    switch (index) {
#define CASE(msr, field, addr)                                             \
    case msr: *address = addr; return &c->field;
    STORED(CASE)
#undef CASE
    default: return NULL;
    }
}

/* Fixed-range MTRRs are scattered: an index 0..10, or -1. */
static int mtrr_fixed(uint32_t index)
{
    if (index == 0x250)
        return 0;
    if (index == 0x258 || index == 0x259)
        return (int)(index - 0x258) + 1;
    if (index >= 0x268 && index <= 0x26f)
        return (int)(index - 0x268) + 3;
    return -1;
}

int sq_x86_msr_read(struct sq_x86_cpu *c, uint32_t index, uint64_t *v)
{
    bool address;
    uint64_t *p = stored(c, index, &address);

    if (p) {
        *v = *p;
        return 0;
    }
    if (index >= 0x200 && index < 0x210) {
        *v = c->mtrr_var[index - 0x200];
        return 0;
    }
    if (mtrr_fixed(index) >= 0) {
        *v = c->mtrr_fixed[mtrr_fixed(index)];
        return 0;
    }
    if (index == SQ_LAPIC_MSR_BASE || index == SQ_LAPIC_MSR_TSC_DEADLINE ||
        (index >= SQ_LAPIC_MSR_X2_FIRST && index <= SQ_LAPIC_MSR_X2_LAST)) {
        if (c->lapic)
            return sq_lapic_msr_read(c->lapic, index, v, sq_x86_now(c));
        *v = 0;
        return index == SQ_LAPIC_MSR_BASE ? 0 : -1;
    }
    switch (index) {
    case MSR_TSC: *v = sq_x86_tsc(c); return 0;
    case MSR_PAT: *v = c->pat; return 0;
    case MSR_EFER: *v = c->efer; return 0;
    case MSR_FS_BASE: *v = c->seg[SEG_FS].base; return 0;
    case MSR_GS_BASE: *v = c->seg[SEG_GS].base; return 0;
    case MSR_MTRR_CAP: *v = 0x508; return 0; /* WC, fixed, 8 variable */
    case MSR_KVM_WALL_CLOCK: *v = c->kvm_wall_clock; return 0;
    case MSR_KVM_SYSTEM_TIME: *v = c->kvm_system_time; return 0;
    case MSR_UCODE_REV: *v = 1ull << 32; return 0;
    case MSR_PLATFORM_ID:
    case MSR_MCG_CAP:
    case MSR_MCG_STATUS:
    case MSR_DEBUGCTL:
    case MSR_EBL_CR_POWERON:
    case MSR_TSC_ADJUST: *v = 0; return 0;
    default: return -1;
    }
}

/* Memory types that PAT and MTRRs may hold (SDM vol. 3, 12.11.2). */
static bool memory_type(uint64_t t)
{
    return t == 0 || t == 1 || t == 4 || t == 5 || t == 6;
}

static int set_efer(struct sq_x86_cpu *c, uint64_t v)
{
    const uint64_t known = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

    if (v & ~known || ((v ^ c->efer) & EFER_LME && c->cr0 & CR0_PG))
        return -1;
    v = (v & ~(uint64_t)EFER_LMA) | (c->efer & EFER_LMA);
    if ((v ^ c->efer) & EFER_NXE)
        sq_x86_tlb_flush(c, false);
    c->efer = v;
    return 0;
}

/* KVM's paravirtual clock: version, TSC, time at that TSC, and the factor
 * between them, which is one (Linux Documentation, virt/kvm/x86/msr). */
static void publish_system_time(struct sq_x86_cpu *c)
{
    uint64_t gpa = c->kvm_system_time & ~1ull, now = sq_x86_now(c);
    uint8_t page[32] = {0};

    c->kvm_clock_version += 2;
    sq_st32(page, c->kvm_clock_version);
    sq_st64(page + 8, now - c->tsc_offset);
    sq_st64(page + 16, now - c->vm->start_ns);
    sq_st32(page + 24, 0x80000000u); /* x * 2^31 ... */
    page[28] = 1;                    /* ... * 2 >> 32 */
    page[29] = 1;                    /* stable across vCPUs */
    squib_memory_write(c->vm->base.mem, gpa, page, sizeof(page), NULL);
}

static void publish_wall_clock(struct sq_x86_cpu *c)
{
    uint64_t boot = c->det ? SQ_DET_DATE_S * 1000000000u
                           : sq_wall_ns() - (sq_now_ns() - c->vm->start_ns);
    uint8_t data[12];

    sq_st32(data, 2);
    sq_st32(data + 4, (uint32_t)(boot / 1000000000u));
    sq_st32(data + 8, (uint32_t)(boot % 1000000000u));
    squib_memory_write(c->vm->base.mem, c->kvm_wall_clock, data,
                       sizeof(data), NULL);
}

int sq_x86_msr_write(struct sq_x86_cpu *c, uint32_t index, uint64_t v)
{
    bool address;
    uint64_t *p = stored(c, index, &address);

    if (p) {
        if (address && !sq_canonical(v))
            return -1;
        *p = v;
        return 0;
    }
    if (index >= 0x200 && index < 0x210) {
        c->mtrr_var[index - 0x200] = v;
        return 0;
    }
    if (mtrr_fixed(index) >= 0) {
        for (unsigned k = 0; k < 8; k++)
            if (!memory_type(v >> (8 * k) & 0xff))
                return -1;
        c->mtrr_fixed[mtrr_fixed(index)] = v;
        return 0;
    }
    if (index == SQ_LAPIC_MSR_BASE || index == SQ_LAPIC_MSR_TSC_DEADLINE ||
        (index >= SQ_LAPIC_MSR_X2_FIRST && index <= SQ_LAPIC_MSR_X2_LAST)) {
        int bad;

        if (!c->lapic)
            return -1;
        /* An IPI must not overtake what this vCPU wrote (block.h). */
        if (atomic_load(&c->attn) & ATTN_PURGE) {
            atomic_fetch_and(&c->attn, ~(uint32_t)ATTN_PURGE);
            sq_x86_handle_purge(c);
        }
        bad = sq_lapic_msr_write(c->lapic, index, v, sq_x86_now(c));
        c->budget = 0; /* deadlines may have changed */
        sq_x86_irq_recheck(c);
        return bad;
    }
    switch (index) {
    case MSR_TSC:
        c->tsc_offset = sq_x86_now(c) - v;
        if (c->lapic)
            sq_lapic_tsc_changed(c->lapic, sq_x86_now(c));
        return 0;
    case MSR_PAT:
        for (unsigned k = 0; k < 8; k++)
            if (!memory_type(v >> (8 * k) & 0xff) &&
                (v >> (8 * k) & 0xff) != 7)
                return -1;
        c->pat = v;
        return 0;
    case MSR_EFER: return set_efer(c, v);
    case MSR_FS_BASE:
    case MSR_GS_BASE:
        if (!sq_canonical(v))
            return -1;
        c->seg[index == MSR_FS_BASE ? SEG_FS : SEG_GS].base = v;
        c->segbase[index == MSR_FS_BASE ? SEG_FS : SEG_GS] = v;
        return 0;
    case MSR_KVM_WALL_CLOCK:
        c->kvm_wall_clock = v;
        publish_wall_clock(c);
        return 0;
    case MSR_KVM_SYSTEM_TIME:
        c->kvm_system_time = v;
        if (v & 1)
            publish_system_time(c);
        return 0;
    case MSR_UCODE_REV:
    case MSR_MCG_STATUS:
    case MSR_DEBUGCTL: return 0;
    default: return -1;
    }
}

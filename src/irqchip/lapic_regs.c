/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Register access of the local APIC: the xAPIC page (SDM table 11-1), the
 * x2APIC MSRs (table 11-6), IA32_APIC_BASE and IA32_TSC_DEADLINE.
 */
#include "irqchip/lapic_internal.h"

/* Version 0x14, six LVT entries, EOI broadcast can be suppressed (11.4.8). */
#define VERSION (0x14u | (SQ_LAPIC_LVT_COUNT - 1) << 16 | 1u << 24)

#define X2_ICR_RESERVED (uint64_t)(0xffffffffu & ~ICR_BITS)

/* How each register may be accessed in each mode. */
#define R1 1u /* xAPIC, read */
#define W1 2u
#define R2 4u /* x2APIC, read */
#define W2 8u
#define RO (R1 | R2)
#define RW (R1 | W1 | R2 | W2)

struct reg_access {
    uint8_t how;
    uint32_t x2_bits; /* bits an x2APIC write may set without #GP */
};

static const struct reg_access reg_access[REG_COUNT] = {
    [REG_ID] = {RO, 0},
    [REG_VERSION] = {RO, 0},
    [REG_TPR] = {RW, 0xff},
    [REG_APR] = {R1, 0},
    [REG_PPR] = {RO, 0},
    [REG_EOI] = {W1 | W2, 0},
    [REG_RRD] = {R1, 0},
    [REG_LDR] = {R1 | W1 | R2, 0},
    [REG_DFR] = {R1 | W1, 0},
    [REG_SVR] = {RW, SVR_BITS},
    [REG_ISR ... REG_ISR + 7] = {RO, 0},
    [REG_TMR ... REG_TMR + 7] = {RO, 0},
    [REG_IRR ... REG_IRR + 7] = {RO, 0},
    [REG_ESR] = {RW, 0},
    [REG_ICR] = {RW, ICR_BITS},
    [REG_ICR_HIGH] = {R1 | W1, 0},
    /* The read-only status bits 12 and 14 are not reserved. */
    [REG_LVT + SQ_LAPIC_LVT_TIMER] = {RW, 0x710ff},
    [REG_LVT + SQ_LAPIC_LVT_THERMAL] = {RW, 0x117ff},
    [REG_LVT + SQ_LAPIC_LVT_PERF] = {RW, 0x117ff},
    [REG_LVT + SQ_LAPIC_LVT_LINT0] = {RW, 0x1f7ff},
    [REG_LVT + SQ_LAPIC_LVT_LINT1] = {RW, 0x1f7ff},
    [REG_LVT + SQ_LAPIC_LVT_ERROR] = {RW, 0x110ff},
    [REG_INITIAL_COUNT] = {RW, 0xffffffff},
    [REG_CURRENT_COUNT] = {RO, 0},
    [REG_DIVIDE] = {RW, DIVIDE_BITS},
    [REG_SELF_IPI] = {W2, 0xff},
};

/* What a write stores (11.5.1, figure 11-8). */
const uint32_t sq_lapic_lvt_bits[SQ_LAPIC_LVT_COUNT] = {
    [SQ_LAPIC_LVT_TIMER] = 0x700ff,   [SQ_LAPIC_LVT_THERMAL] = 0x107ff,
    [SQ_LAPIC_LVT_PERF] = 0x107ff,    [SQ_LAPIC_LVT_LINT0] = 0x1a7ff,
    [SQ_LAPIC_LVT_LINT1] = 0x1a7ff,   [SQ_LAPIC_LVT_ERROR] = 0x100ff,
};

static uint32_t half(uint64_t word, uint32_t index)
{
    return (uint32_t)(word >> (index & 1) * 32);
}

/* Any register by its number; unknown and write-only ones are 0. */
uint32_t sq_lapic_reg_read(struct sq_lapic *l, uint32_t reg, uint64_t now_ns)
{
    bool x2 = lapic_is_x2(l);

    switch (reg) {
    case REG_ID:
        return x2 ? l->config.id : l->config.id << 24;
    case REG_VERSION:
        return VERSION;
    case REG_TPR:
        return l->tpr;
    case REG_PPR:
        return l->ppr;
    case REG_LDR:
        return x2 ? lapic_x2_ldr(l->config.id) : l->ldr;
    case REG_DFR:
        return l->dfr;
    case REG_SVR:
        return l->svr;
    case REG_ISR ... REG_ISR + 7:
        return half(l->isr[(reg - REG_ISR) / 2], reg);
    case REG_TMR ... REG_TMR + 7:
        return half(atomic_load(&l->tmr[(reg - REG_TMR) / 2]), reg);
    case REG_IRR ... REG_IRR + 7:
        return half(atomic_load(&l->irr[(reg - REG_IRR) / 2]), reg);
    case REG_ESR:
        return l->esr;
    case REG_ICR:
        return (uint32_t)l->icr;
    case REG_ICR_HIGH:
        return (uint32_t)(l->icr >> 32);
    case REG_LVT ... REG_LVT_LAST:
        return l->lvt[reg - REG_LVT];
    case REG_INITIAL_COUNT:
        return l->initial_count;
    case REG_CURRENT_COUNT:
        sq_lapic_tick(l, now_ns);
        return sq_lapic_timer_count(l, now_ns);
    case REG_DIVIDE:
        return l->divide;
    default:
        return 0;
    }
}

/* Table 11-3: which delivery modes each shorthand allows. */
static bool shorthand_allows(uint8_t shorthand, uint8_t delivery)
{
    if (shorthand == SQ_APIC_TO_SELF || shorthand == SQ_APIC_TO_ALL)
        return delivery == SQ_APIC_FIXED;
    return true;
}

static void send_ipi(struct sq_lapic *l)
{
    bool x2 = lapic_is_x2(l);
    uint32_t low = (uint32_t)l->icr;
    struct sq_apic_msg msg = {
        .src = l,
        .dest = (uint32_t)(l->icr >> (x2 ? 32 : 56)),
        .vector = (uint8_t)low,
        .delivery = low >> 8 & 7,
        .shorthand = low >> 18 & 3,
        .logical = low & ICR_LOGICAL,
        .level = false, /* IPIs are edge triggered (11.6.1) */
        .wide = x2,
    };

    if (!shorthand_allows(msg.shorthand, msg.delivery))
        return;
    switch (msg.delivery) {
    case SQ_APIC_FIXED:
    case SQ_APIC_LOWEST:
        if (msg.vector < FIRST_LEGAL_VECTOR) {
            sq_lapic_post_error(l, ESR_SEND_ILLEGAL_VECTOR);
            return;
        }
        break;
    case SQ_APIC_INIT:
        /* INIT level de-assert only ever set arbitration IDs. */
        if ((low & ICR_LEVEL) && !(low & ICR_ASSERT))
            return;
        break;
    default:
        break;
    }
    sq_apic_bus_deliver(l->bus, &msg);
}

static void write_lvt(struct sq_lapic *l, unsigned which, uint32_t value,
                      uint64_t now_ns)
{
    value &= sq_lapic_lvt_bits[which];
    if (!(l->svr & SVR_ENABLE))
        value |= LVT_MASKED; /* 11.4.7.2 */
    if (which == SQ_LAPIC_LVT_TIMER)
        sq_lapic_timer_set_lvt(l, value, now_ns);
    else
        l->lvt[which] = value;
}

static void write_svr(struct sq_lapic *l, uint32_t value, uint64_t now_ns)
{
    sq_lapic_tick(l, now_ns);
    l->svr = value & SVR_BITS;
    if (!(l->svr & SVR_ENABLE)) {
        for (int i = 0; i < SQ_LAPIC_LVT_COUNT; i++)
            l->lvt[i] |= LVT_MASKED;
    }
    sq_lapic_publish_route(l);
}

/* The caller has checked that the register is writable. */
static void write_reg(struct sq_lapic *l, uint32_t reg, uint32_t value,
                      uint64_t now_ns)
{
    switch (reg) {
    case REG_TPR:
        l->tpr = (uint8_t)value;
        sq_lapic_update_ppr(l);
        break;
    case REG_EOI:
        sq_lapic_eoi(l);
        break;
    case REG_LDR:
        l->ldr = value & 0xff000000;
        sq_lapic_publish_route(l);
        break;
    case REG_DFR:
        l->dfr = value | 0x0fffffff;
        sq_lapic_publish_route(l);
        break;
    case REG_SVR:
        write_svr(l, value, now_ns);
        break;
    case REG_ESR:
        l->esr = atomic_exchange(&l->esr_pending, 0);
        break;
    case REG_ICR:
        l->icr = (l->icr & ~0xffffffffull) | (value & ICR_BITS);
        send_ipi(l);
        break;
    case REG_ICR_HIGH:
        l->icr = (l->icr & 0xffffffff) | (uint64_t)(value & 0xff000000) << 32;
        break;
    case REG_LVT ... REG_LVT_LAST:
        write_lvt(l, reg - REG_LVT, value, now_ns);
        break;
    case REG_INITIAL_COUNT:
        sq_lapic_timer_set_count(l, value, now_ns);
        break;
    case REG_DIVIDE:
        sq_lapic_timer_set_divide(l, value, now_ns);
        break;
    case REG_SELF_IPI:
        if ((uint8_t)value < FIRST_LEGAL_VECTOR)
            sq_lapic_post_error(l, ESR_SEND_ILLEGAL_VECTOR);
        else
            sq_lapic_post(l, (uint8_t)value, false);
        break;
    default:
        break;
    }
}

/* ---- xAPIC page ---- */

bool sq_lapic_mmio_gpa(const struct sq_lapic *l, uint64_t *gpa)
{
    if (!lapic_is_enabled(l) || lapic_is_x2(l))
        return false;
    *gpa = l->apic_base & ~0xfffull;
    return true;
}

/* The register at offset if it allows `how`; notes illegal addresses. */
static bool mmio_reg(struct sq_lapic *l, uint32_t offset, unsigned how,
                     uint32_t *reg)
{
    if (offset & 0xf)
        return false;
    *reg = offset >> 4;
    if (*reg >= REG_COUNT || !(reg_access[*reg].how & (R1 | W1))) {
        sq_lapic_post_error(l, ESR_ILLEGAL_REGISTER);
        return false;
    }
    return reg_access[*reg].how & how;
}

int sq_lapic_mmio_read(struct sq_lapic *l, uint32_t offset, uint32_t *value,
                       uint64_t now_ns)
{
    uint64_t gpa;
    uint32_t reg;

    if (!sq_lapic_mmio_gpa(l, &gpa))
        return -1;
    *value = 0;
    if (mmio_reg(l, offset, R1, &reg))
        *value = sq_lapic_reg_read(l, reg, now_ns);
    return 0;
}

int sq_lapic_mmio_write(struct sq_lapic *l, uint32_t offset, uint32_t value,
                        uint64_t now_ns)
{
    uint64_t gpa;
    uint32_t reg;

    if (!sq_lapic_mmio_gpa(l, &gpa))
        return -1;
    if (mmio_reg(l, offset, W1, &reg))
        write_reg(l, reg, value, now_ns);
    return 0;
}

/* ---- MSRs ---- */

/* The state transitions of 11.12.5 (figure 11-27). */
static int write_base(struct sq_lapic *l, uint64_t value)
{
    const uint64_t x2 = SQ_LAPIC_BASE_EN | SQ_LAPIC_BASE_EXTD;
    uint64_t from = l->apic_base & x2;
    uint64_t to = value & x2;

    if (from == x2 && to == SQ_LAPIC_BASE_EN)
        return -1; /* x2APIC is left through disabled only */
    if (!from && to == x2)
        return -1; /* and entered through xAPIC only */
    if (!sq_lapic_base_valid(l, value))
        return -1;
    sq_lapic_apply_base(l, value);
    return 0;
}

static bool x2_reg(const struct sq_lapic *l, uint32_t msr, unsigned how,
                   uint32_t *reg)
{
    if (!lapic_is_x2(l) || msr < SQ_LAPIC_MSR_X2_FIRST ||
        msr >= SQ_LAPIC_MSR_X2_FIRST + REG_COUNT)
        return false;
    *reg = msr - SQ_LAPIC_MSR_X2_FIRST;
    return reg_access[*reg].how & how;
}

int sq_lapic_msr_read(struct sq_lapic *l, uint32_t msr, uint64_t *value,
                      uint64_t now_ns)
{
    uint32_t reg;

    switch (msr) {
    case SQ_LAPIC_MSR_BASE:
        *value = l->apic_base;
        return 0;
    case SQ_LAPIC_MSR_TSC_DEADLINE:
        sq_lapic_tick(l, now_ns);
        *value = l->tsc_deadline;
        return 0;
    default:
        break;
    }
    if (!x2_reg(l, msr, R2, &reg))
        return -1;
    *value = reg == REG_ICR ? l->icr : sq_lapic_reg_read(l, reg, now_ns);
    return 0;
}

int sq_lapic_msr_write(struct sq_lapic *l, uint32_t msr, uint64_t value,
                       uint64_t now_ns)
{
    uint32_t reg;

    switch (msr) {
    case SQ_LAPIC_MSR_BASE:
        return write_base(l, value);
    case SQ_LAPIC_MSR_TSC_DEADLINE:
        sq_lapic_timer_set_tsc(l, value, now_ns);
        return 0;
    default:
        break;
    }
    if (!x2_reg(l, msr, W2, &reg))
        return -1;
    if (reg == REG_ICR) {
        if (value & X2_ICR_RESERVED)
            return -1;
        l->icr = value;
        send_ipi(l);
        return 0;
    }
    if (value & ~(uint64_t)reg_access[reg].x2_bits)
        return -1;
    write_reg(l, reg, (uint32_t)value, now_ns);
    return 0;
}

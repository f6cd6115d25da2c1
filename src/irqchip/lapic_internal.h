/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by lapic*.c and apic_bus.c only. Owner thread unless said. */
#ifndef SQ_IRQCHIP_LAPIC_INTERNAL_H
#define SQ_IRQCHIP_LAPIC_INTERNAL_H

#include "irqchip/lapic.h"

/* Register numbers: xAPIC offset / 16 = x2APIC MSR - 0x800 (SDM 11.12.1.2) */
enum {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_RRD = 0x0c,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32, /* to 0x37 */
    REG_LVT_LAST = 0x37,
    REG_INITIAL_COUNT = 0x38,
    REG_CURRENT_COUNT = 0x39,
    REG_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f,
    REG_COUNT = 0x40,
};

#define FIRST_LEGAL_VECTOR 16u

#define SVR_ENABLE (1u << 8)
#define SVR_NO_EOI_BROADCAST (1u << 12)
#define SVR_BITS 0x13ffu

#define LVT_MASKED (1u << 16)
#define LVT_TIMER_MODE(lvt) (((lvt) >> 17) & 3)
#define TIMER_ONE_SHOT 0u
#define TIMER_PERIODIC 1u
#define TIMER_TSC_DEADLINE 2u

#define DIVIDE_BITS 0xbu

/* ICR low: vector, modes, level, trigger, shorthand; bit 12 is read-only */
#define ICR_BITS 0xccfffu
#define ICR_LOGICAL (1u << 11)
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)

/* Error status register, SDM 11.5.3 */
#define ESR_SEND_ILLEGAL_VECTOR (1u << 5)
#define ESR_RECEIVE_ILLEGAL_VECTOR (1u << 6)
#define ESR_ILLEGAL_REGISTER (1u << 7)

/* The route word. */
#define ROUTE_LDR_SHIFT 32   /* logical APIC ID of xAPIC mode, 8 bits */
#define ROUTE_MODEL_SHIFT 40 /* DFR model, 4 bits */
#define ROUTE_HW_ENABLED (1ull << 44)
#define ROUTE_SW_ENABLED (1ull << 45)
#define ROUTE_X2 (1ull << 46)

static inline bool lapic_is_x2(const struct sq_lapic *l)
{
    return l->apic_base & SQ_LAPIC_BASE_EXTD;
}

static inline bool lapic_is_enabled(const struct sq_lapic *l)
{
    return l->apic_base & SQ_LAPIC_BASE_EN;
}

static inline uint32_t lapic_x2_ldr(uint32_t id)
{
    return (id >> 4) << 16 | 1u << (id & 15); /* SDM 11.12.10.2 */
}

/* lapic.c */
void sq_lapic_update_ppr(struct sq_lapic *l);
void sq_lapic_publish_route(struct sq_lapic *l);
bool sq_lapic_base_valid(const struct sq_lapic *l, uint64_t value);
/* value must be valid. */
void sq_lapic_apply_base(struct sq_lapic *l, uint64_t value);
/* Any thread. */
void sq_lapic_post_error(struct sq_lapic *l, uint32_t esr_bit);
/* Raise a fixed local interrupt unless its entry is masked. */
void sq_lapic_raise_lvt(struct sq_lapic *l, enum sq_lapic_lvt which);

/* lapic_timer.c */
void sq_lapic_timer_reset(struct sq_lapic *l);
uint32_t sq_lapic_timer_count(const struct sq_lapic *l, uint64_t now_ns);
void sq_lapic_timer_set_count(struct sq_lapic *l, uint32_t count,
                              uint64_t now_ns);
void sq_lapic_timer_set_divide(struct sq_lapic *l, uint32_t divide,
                               uint64_t now_ns);
void sq_lapic_timer_set_lvt(struct sq_lapic *l, uint32_t lvt,
                            uint64_t now_ns);
void sq_lapic_timer_set_tsc(struct sq_lapic *l, uint64_t tsc,
                            uint64_t now_ns);
void sq_lapic_timer_restore(struct sq_lapic *l, uint32_t initial,
                            uint32_t current, uint64_t now_ns);

/* lapic_regs.c */
extern const uint32_t sq_lapic_lvt_bits[SQ_LAPIC_LVT_COUNT];
uint32_t sq_lapic_reg_read(struct sq_lapic *l, uint32_t reg,
                           uint64_t now_ns);

#endif

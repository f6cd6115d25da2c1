/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The APIC timer (SDM 11.5.4). It is never run: the current count is derived
 * from the time it was loaded, and expiry is noticed by sq_lapic_tick. Every
 * register write first ticks under the old settings, so an expiry that
 * happened before the write is accounted to them.
 */
#include "irqchip/lapic_internal.h"

/*
 * A periodic timer fires at most this often, so that a guest which asks for
 * a period of a few ns cannot keep a halted vCPU's thread from sleeping.
 */
#define MIN_PERIOD_NS 20000u

static uint32_t mode_of(const struct sq_lapic *l)
{
    return LVT_TIMER_MODE(l->lvt[SQ_LAPIC_LVT_TIMER]);
}

static bool is_counting_mode(uint32_t mode)
{
    return mode == TIMER_ONE_SHOT || mode == TIMER_PERIODIC;
}

/* Figure 11-10: bits 3,1,0: 000 divides by 2 ... 110 by 128, 111 by 1. */
static unsigned divide_shift(const struct sq_lapic *l)
{
    uint32_t code = (l->divide & 3) | (l->divide & 8) >> 1;

    return (code + 1) & 7;
}

static uint64_t ticks_to_ns(const struct sq_lapic *l, uint32_t ticks)
{
    return (uint64_t)ticks << divide_shift(l);
}

static uint64_t add_ns(uint64_t now_ns, uint64_t delta_ns)
{
    uint64_t sum;

    return __builtin_add_overflow(now_ns, delta_ns, &sum) ? UINT64_MAX : sum;
}

/* Differences wrap: a restored start may lie before the epoch. */
static uint64_t elapsed_ns(const struct sq_lapic *l, uint64_t now_ns)
{
    uint64_t elapsed = now_ns - l->count_start_ns;

    return elapsed >> 63 ? 0 : elapsed;
}

static void disarm(struct sq_lapic *l)
{
    l->deadline_ns = UINT64_MAX;
    l->tsc_deadline = 0;
}

void sq_lapic_timer_reset(struct sq_lapic *l)
{
    disarm(l);
    l->initial_count = 0;
    l->divide = 0;
    l->count_start_ns = 0;
}

uint32_t sq_lapic_timer_count(const struct sq_lapic *l, uint64_t now_ns)
{
    uint64_t ticks;

    if (!is_counting_mode(mode_of(l)) || l->deadline_ns == UINT64_MAX ||
        !l->initial_count)
        return 0;
    ticks = elapsed_ns(l, now_ns) >> divide_shift(l);
    if (mode_of(l) == TIMER_PERIODIC)
        return l->initial_count - (uint32_t)(ticks % l->initial_count);
    return ticks >= l->initial_count ? 0
                                     : l->initial_count - (uint32_t)ticks;
}

/* Continue a count: `current` ticks are left of `initial`. */
static void resume_count(struct sq_lapic *l, uint32_t current,
                         uint64_t now_ns)
{
    if (!current) {
        l->deadline_ns = UINT64_MAX;
        return;
    }
    l->count_start_ns = now_ns - ticks_to_ns(l, l->initial_count - current);
    l->deadline_ns = add_ns(now_ns, ticks_to_ns(l, current));
}

void sq_lapic_tick(struct sq_lapic *l, uint64_t now_ns)
{
    uint64_t period_ns;

    if (now_ns < l->deadline_ns)
        return;
    if (mode_of(l) == TIMER_PERIODIC && l->initial_count) {
        period_ns = ticks_to_ns(l, l->initial_count);
        l->count_start_ns += elapsed_ns(l, now_ns) / period_ns * period_ns;
        l->deadline_ns = l->count_start_ns + period_ns;
        if (l->deadline_ns < add_ns(now_ns, MIN_PERIOD_NS) &&
            period_ns < MIN_PERIOD_NS)
            l->deadline_ns = add_ns(now_ns, MIN_PERIOD_NS);
    } else {
        disarm(l); /* clears IA32_TSC_DEADLINE as 11.5.4.1 says */
    }
    sq_lapic_raise_lvt(l, SQ_LAPIC_LVT_TIMER);
}

void sq_lapic_timer_set_count(struct sq_lapic *l, uint32_t count,
                              uint64_t now_ns)
{
    if (!is_counting_mode(mode_of(l)))
        return;
    sq_lapic_tick(l, now_ns);
    l->initial_count = count;
    resume_count(l, count, now_ns);
}

void sq_lapic_timer_set_divide(struct sq_lapic *l, uint32_t divide,
                               uint64_t now_ns)
{
    uint32_t current;

    sq_lapic_tick(l, now_ns);
    current = sq_lapic_timer_count(l, now_ns);
    l->divide = divide & DIVIDE_BITS;
    if (is_counting_mode(mode_of(l)))
        resume_count(l, current, now_ns);
}

void sq_lapic_timer_set_lvt(struct sq_lapic *l, uint32_t lvt,
                            uint64_t now_ns)
{
    uint32_t old_mode = mode_of(l);
    uint32_t mode = LVT_TIMER_MODE(lvt);

    sq_lapic_tick(l, now_ns);
    l->lvt[SQ_LAPIC_LVT_TIMER] = lvt;
    /* One-shot and periodic share the count; other changes disarm. */
    if (mode != old_mode &&
        !(is_counting_mode(mode) && is_counting_mode(old_mode))) {
        disarm(l);
        l->initial_count = 0;
    }
}

static void arm_tsc(struct sq_lapic *l, uint64_t now_ns)
{
    const struct sq_apic_bus *bus = l->bus;

    l->deadline_ns = l->tsc_deadline;
    if (bus->ops->tsc_to_ns)
        l->deadline_ns = bus->ops->tsc_to_ns(
            bus->ctx, l->config.vcpu_index, l->tsc_deadline);
    sq_lapic_tick(l, now_ns);
}

void sq_lapic_timer_set_tsc(struct sq_lapic *l, uint64_t tsc, uint64_t now_ns)
{
    if (mode_of(l) != TIMER_TSC_DEADLINE)
        return;
    sq_lapic_tick(l, now_ns);
    disarm(l);
    if (!tsc)
        return;
    l->tsc_deadline = tsc;
    arm_tsc(l, now_ns);
}

void sq_lapic_tsc_changed(struct sq_lapic *l, uint64_t now_ns)
{
    if (l->tsc_deadline)
        arm_tsc(l, now_ns);
}

void sq_lapic_timer_restore(struct sq_lapic *l, uint32_t initial,
                            uint32_t current, uint64_t now_ns)
{
    disarm(l);
    l->initial_count = 0;
    if (!is_counting_mode(mode_of(l)))
        return;
    l->initial_count = initial;
    resume_count(l, current < initial ? current : initial, now_ns);
}

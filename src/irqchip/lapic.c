/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * Who touches what. Any thread may post to a local APIC; only the owner, its
 * vCPU's thread, does everything else. So there is no lock. Posted state is
 * atomic: IRR, TMR, the event word and the pending error bits. What a sender
 * needs to know about a receiver (ID, logical ID, mode, enables) is packed
 * into one atomic word, `route`, which the owner republishes whenever one of
 * its sources changes; a sender therefore never sees half a change. The
 * priority copy exists for lowest-priority arbitration, which is a hint, so
 * it is relaxed.
 *
 * Posting sets TMR, then the IRR bit, then the summary bit EV_IRR, then calls
 * wake(). Only the thread that turned the IRR bit on continues past it; a
 * second post of the same vector is coalesced as in hardware (11.8.4).
 *
 * Taking. The owner looks at the event word; if EV_IRR is clear there is
 * nothing to scan. A scan that finds IRR empty clears EV_IRR and scans once
 * more: a poster that set its IRR bit before the clear is seen by the second
 * scan, one that comes later sets EV_IRR again. An interrupt blocked by the
 * priority leaves EV_IRR set, because only the owner can unblock it.
 *
 * INIT and SIPI live in the same word as the SIPI vector, so "INIT cancels
 * an older SIPI" and "the first SIPI wins" are single compare-and-swaps.
 *
 * Errors. ESR has a hidden half that collects bits and a visible half which
 * a write to ESR loads (11.5.3). The hidden half is esr_pending. Its
 * transition from zero sets EV_ERROR, and the owner then raises the error
 * interrupt during its next scan, so a sender on another thread never
 * reads the receiver's vector table.
 *
 * A reset publishes the route (disabled) before it empties IRR. A poster
 * which saw the old route can still leave one late bit; a guest cannot tell
 * it from an interrupt that arrived late, and it does no harm.
 */
#include "irqchip/lapic_internal.h"

#include <string.h>

#include "base/err.h"

#define SIPI_VECTOR_BITS (0xffu << SQ_LAPIC_EV_SIPI_VECTOR_SHIFT)

static void wake(struct sq_lapic *l)
{
    l->bus->ops->wake(l->bus->ctx, l->config.vcpu_index);
}

static void post_event(struct sq_lapic *l, uint32_t bit)
{
    atomic_fetch_or_explicit(&l->events, bit, memory_order_acq_rel);
    wake(l);
}

/* ---- priorities (11.8.3) ---- */

static int highest_owned(const uint64_t words[4])
{
    for (int i = 3; i >= 0; i--) {
        if (words[i])
            return i * 64 + 63 - __builtin_clzll(words[i]);
    }
    return -1;
}

static int highest_irr(struct sq_lapic *l)
{
    for (int i = 3; i >= 0; i--) {
        uint64_t word = atomic_load_explicit(&l->irr[i], memory_order_acquire);

        if (word)
            return i * 64 + 63 - __builtin_clzll(word);
    }
    return -1;
}

void sq_lapic_update_ppr(struct sq_lapic *l)
{
    uint8_t in_service;

    l->isr_top = highest_owned(l->isr);
    in_service = l->isr_top < 0 ? 0 : (uint8_t)l->isr_top & 0xf0;
    l->ppr = (l->tpr & 0xf0) >= in_service ? l->tpr : in_service;
    atomic_store_explicit(&l->priority, l->ppr, memory_order_relaxed);
}

static bool deliverable(const struct sq_lapic *l, int vector)
{
    return vector >> 4 > l->ppr >> 4;
}

/* ---- routing data and APIC base ---- */

void sq_lapic_publish_route(struct sq_lapic *l)
{
    uint64_t route = l->config.id;
    uint64_t old;

    route |= (uint64_t)(l->ldr >> 24) << ROUTE_LDR_SHIFT;
    route |= (uint64_t)(l->dfr >> 28) << ROUTE_MODEL_SHIFT;
    if (lapic_is_enabled(l))
        route |= ROUTE_HW_ENABLED;
    if (l->svr & SVR_ENABLE)
        route |= ROUTE_SW_ENABLED;
    if (lapic_is_x2(l))
        route |= ROUTE_X2;
    old = atomic_exchange_explicit(&l->route, route, memory_order_acq_rel);
    if (old != route && (route & ROUTE_HW_ENABLED) &&
        (route & ROUTE_SW_ENABLED))
        sq_apic_bus_retry(l->bus);
}

/* The register state after power-up and INIT (11.4.7.1, 11.4.7.3). */
static void reset_registers(struct sq_lapic *l)
{
    l->ldr = 0;
    l->dfr = 0xffffffff;
    l->svr = 0xff;
    sq_lapic_publish_route(l);

    for (int i = 0; i < 4; i++) {
        atomic_store_explicit(&l->irr[i], 0, memory_order_release);
        atomic_store_explicit(&l->tmr[i], 0, memory_order_release);
        l->isr[i] = 0;
    }
    atomic_store_explicit(&l->esr_pending, 0, memory_order_release);
    l->esr = 0;
    l->tpr = 0;
    l->icr = 0;
    for (int i = 0; i < SQ_LAPIC_LVT_COUNT; i++)
        l->lvt[i] = LVT_MASKED;
    sq_lapic_timer_reset(l);
    sq_lapic_update_ppr(l);
}

void sq_lapic_apply_base(struct sq_lapic *l, uint64_t value)
{
    bool was_x2 = lapic_is_x2(l);

    l->apic_base = value;
    if (!lapic_is_enabled(l)) {
        /* Disabling loses all state; enabling starts afresh (11.4.3). */
        reset_registers(l);
        return;
    }
    /* The two formats of the upper half do not translate. */
    if (lapic_is_x2(l) != was_x2)
        l->icr &= 0xffffffff;
    sq_lapic_publish_route(l);
}

bool sq_lapic_base_valid(const struct sq_lapic *l, uint64_t value)
{
    uint64_t allowed = (1ull << l->config.phys_bits) - 1;

    allowed &= ~0xfffull;
    allowed |= SQ_LAPIC_BASE_BSP | SQ_LAPIC_BASE_EXTD | SQ_LAPIC_BASE_EN;
    if (value & ~allowed)
        return false;
    return !(value & SQ_LAPIC_BASE_EXTD) || (value & SQ_LAPIC_BASE_EN);
}

int sq_lapic_set_base(struct sq_lapic *l, uint64_t value,
                      struct squib_error *err)
{
    if (!sq_lapic_base_valid(l, value))
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "local APIC %u: impossible APIC base 0x%llx",
                          l->config.id, (unsigned long long)value);
    sq_lapic_apply_base(l, value);
    return 0;
}

/* ---- life cycle ---- */

void sq_lapic_reset(struct sq_lapic *l, enum sq_lapic_reset kind)
{
    uint32_t lost = SQ_LAPIC_EV_NMI | SQ_LAPIC_EV_NMI_AGAIN |
                    SQ_LAPIC_EV_IRR | SQ_LAPIC_EV_ERROR;

    if (kind == SQ_LAPIC_POWER_UP) {
        l->apic_base = SQ_LAPIC_DEFAULT_GPA | SQ_LAPIC_BASE_EN;
        if (l->config.bsp)
            l->apic_base |= SQ_LAPIC_BASE_BSP;
        lost = ~0u;
    }
    atomic_fetch_and_explicit(&l->events, ~lost, memory_order_acq_rel);
    reset_registers(l);
    /* A late poster's bit must not be left without its summary. */
    if (highest_irr(l) >= 0)
        post_event(l, SQ_LAPIC_EV_IRR);
}

int sq_lapic_init(struct sq_lapic *l, struct sq_apic_bus *bus,
                  const struct sq_lapic_config *config,
                  struct squib_error *err)
{
    if (config->phys_bits < 32 || config->phys_bits > 52 ||
        config->id == UINT32_MAX)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "local APIC %u: %u physical address bits",
                          config->id, config->phys_bits);
    memset(l, 0, sizeof(*l));
    l->bus = bus;
    l->config = *config;
    sq_lapic_reset(l, SQ_LAPIC_POWER_UP);
    if (sq_apic_bus_attach(bus, l))
        return sq_err_set(err, SQUIB_E_INVAL,
                          "local APIC %u: vCPU slot %u is taken or too high",
                          config->id, config->vcpu_index);
    return 0;
}

void sq_lapic_fini(struct sq_lapic *l)
{
    sq_apic_bus_detach(l->bus, l);
}

/* ---- posting, any thread ---- */

void sq_lapic_post_error(struct sq_lapic *l, uint32_t esr_bit)
{
    /* Only a write to ESR rearms the error interrupt (11.5.3). */
    if (!atomic_fetch_or_explicit(&l->esr_pending, esr_bit,
                                  memory_order_acq_rel))
        post_event(l, SQ_LAPIC_EV_ERROR);
}

static void set_trigger(struct sq_lapic *l, uint8_t vector, bool level)
{
    _Atomic uint64_t *word = &l->tmr[vector / 64];
    uint64_t bit = 1ull << (vector % 64);
    bool is_level = atomic_load_explicit(word, memory_order_relaxed) & bit;

    /* Nearly always unchanged: spare the locked operation. */
    if (is_level == level)
        return;
    if (level)
        atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(word, ~bit, memory_order_relaxed);
}

bool sq_lapic_post(struct sq_lapic *l, uint8_t vector, bool level)
{
    uint64_t need = ROUTE_HW_ENABLED | ROUTE_SW_ENABLED;
    uint64_t bit = 1ull << (vector % 64);
    uint64_t route = atomic_load_explicit(&l->route, memory_order_acquire);

    if ((route & need) != need)
        return false;
    if (vector < FIRST_LEGAL_VECTOR) {
        sq_lapic_post_error(l, ESR_RECEIVE_ILLEGAL_VECTOR);
        return false;
    }
    set_trigger(l, vector, level);
    if (!(atomic_fetch_or_explicit(&l->irr[vector / 64], bit,
                                   memory_order_acq_rel) & bit))
        post_event(l, SQ_LAPIC_EV_IRR);
    return true;
}

static bool reachable(struct sq_lapic *l)
{
    return atomic_load_explicit(&l->route, memory_order_acquire) &
           ROUTE_HW_ENABLED;
}

bool sq_lapic_post_nmi(struct sq_lapic *l)
{
    uint32_t old = sq_lapic_events(l);

    if (!reachable(l))
        return false;
    while (!atomic_compare_exchange_weak_explicit(
        &l->events, &old,
        old | (old & SQ_LAPIC_EV_NMI ? SQ_LAPIC_EV_NMI_AGAIN
                                     : SQ_LAPIC_EV_NMI),
        memory_order_acq_rel, memory_order_acquire))
        ;
    wake(l);
    return true;
}

static uint32_t without_sipi(uint32_t events)
{
    return events & ~(SQ_LAPIC_EV_SIPI | SIPI_VECTOR_BITS);
}

bool sq_lapic_post_init(struct sq_lapic *l)
{
    uint32_t old = sq_lapic_events(l);

    if (!reachable(l))
        return false;
    while (!atomic_compare_exchange_weak_explicit(
        &l->events, &old, without_sipi(old) | SQ_LAPIC_EV_INIT,
        memory_order_acq_rel, memory_order_acquire)) {
    }
    wake(l);
    return true;
}

bool sq_lapic_post_sipi(struct sq_lapic *l, uint8_t vector)
{
    uint32_t old = sq_lapic_events(l);
    uint32_t sipi = (uint32_t)vector << SQ_LAPIC_EV_SIPI_VECTOR_SHIFT;

    if (!reachable(l))
        return false;
    do {
        if (old & SQ_LAPIC_EV_SIPI)
            return true;
    } while (!atomic_compare_exchange_weak_explicit(
        &l->events, &old, old | SQ_LAPIC_EV_SIPI | sipi,
        memory_order_acq_rel, memory_order_acquire));
    wake(l);
    return true;
}

/* ---- taking, owner ---- */

void sq_lapic_raise_lvt(struct sq_lapic *l, enum sq_lapic_lvt which)
{
    uint32_t lvt = l->lvt[which];

    if (!(lvt & LVT_MASKED))
        sq_lapic_post(l, (uint8_t)lvt, false);
}

int sq_lapic_scan(struct sq_lapic *l)
{
    int vector;

    if (!lapic_is_enabled(l))
        return -1;
    if (sq_lapic_events(l) & SQ_LAPIC_EV_ERROR) {
        atomic_fetch_and_explicit(&l->events, ~SQ_LAPIC_EV_ERROR,
                                  memory_order_acq_rel);
        sq_lapic_raise_lvt(l, SQ_LAPIC_LVT_ERROR);
    }
    vector = highest_irr(l);
    if (vector < 0) {
        atomic_fetch_and_explicit(&l->events, ~SQ_LAPIC_EV_IRR,
                                  memory_order_acq_rel);
        vector = highest_irr(l);
        if (vector < 0)
            return -1;
        atomic_fetch_or_explicit(&l->events, SQ_LAPIC_EV_IRR,
                                 memory_order_acq_rel);
    }
    return deliverable(l, vector) ? vector : -1;
}

uint8_t sq_lapic_accept(struct sq_lapic *l, uint8_t vector)
{
    uint64_t bit = 1ull << (vector % 64);

    if (!deliverable(l, vector) ||
        !(atomic_fetch_and_explicit(&l->irr[vector / 64], ~bit,
                                    memory_order_acq_rel) & bit))
        return (uint8_t)l->svr; /* 11.9: no ISR bit, so no EOI */
    l->isr[vector / 64] |= bit;
    sq_lapic_update_ppr(l);
    return vector;
}

void sq_lapic_eoi(struct sq_lapic *l)
{
    int vector = l->isr_top;
    uint64_t tmr;

    if (vector < 0)
        return;
    l->isr[vector / 64] &= ~(1ull << (vector % 64));
    sq_lapic_update_ppr(l);
    tmr = atomic_load_explicit(&l->tmr[vector / 64], memory_order_acquire);
    if ((tmr >> (vector % 64) & 1) && !(l->svr & SVR_NO_EOI_BROADCAST))
        sq_apic_bus_eoi(l->bus, (uint8_t)vector);
}

static bool take_event(struct sq_lapic *l, uint32_t bit)
{
    if (!(sq_lapic_events(l) & bit))
        return false;
    return atomic_fetch_and_explicit(&l->events, ~bit,
                                     memory_order_acq_rel) & bit;
}

bool sq_lapic_take_init(struct sq_lapic *l)
{
    return take_event(l, SQ_LAPIC_EV_INIT);
}

bool sq_lapic_take_nmi(struct sq_lapic *l)
{
    return take_event(l, SQ_LAPIC_EV_NMI_AGAIN) ||
           take_event(l, SQ_LAPIC_EV_NMI);
}

bool sq_lapic_take_sipi(struct sq_lapic *l, uint8_t *vector)
{
    uint32_t old = sq_lapic_events(l);

    do {
        if (!(old & SQ_LAPIC_EV_SIPI))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &l->events, &old, without_sipi(old), memory_order_acq_rel,
        memory_order_acquire));
    *vector = (uint8_t)(old >> SQ_LAPIC_EV_SIPI_VECTOR_SHIFT);
    return true;
}

int sq_lapic_set_cr8(struct sq_lapic *l, uint64_t value)
{
    if (value > 15)
        return -1;
    l->tpr = (uint8_t)(value << 4);
    sq_lapic_update_ppr(l);
    return 0;
}

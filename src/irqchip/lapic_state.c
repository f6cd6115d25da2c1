/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving and loading a local APIC as a page of registers, each at its xAPIC
 * offset: the layout hypervisors agree on (KVM_GET_LAPIC of the Linux KVM
 * API, which also says how x2APIC IDs appear).
 */
#include "irqchip/lapic_internal.h"

#include <string.h>

#include "base/err.h"
#include "base/util.h"

static uint32_t get(const uint8_t *page, uint32_t reg)
{
    return sq_ld32(page + reg * 16);
}

static uint64_t get_vectors(const uint8_t *page, uint32_t reg, uint32_t i)
{
    uint64_t word = get(page, reg + i * 2) |
                    (uint64_t)get(page, reg + i * 2 + 1) << 32;

    return i ? word : word & ~0xffffull; /* 0..15 cannot be pending */
}

void sq_lapic_export(struct sq_lapic *l, uint8_t page[SQ_LAPIC_PAGE_LEN],
                     uint64_t now_ns)
{
    sq_lapic_tick(l, now_ns);
    /* The page cannot say "error interrupt due": raise it now. */
    sq_lapic_pending_vector(l);
    memset(page, 0, SQ_LAPIC_PAGE_LEN);
    for (uint32_t reg = 0; reg < REG_COUNT; reg++)
        sq_st32(page + reg * 16, sq_lapic_reg_read(l, reg, now_ns));
}

static bool id_matches(const struct sq_lapic *l, uint32_t id)
{
    return id == l->config.id << 24 || (lapic_is_x2(l) && id == l->config.id);
}

int sq_lapic_import(struct sq_lapic *l, const uint8_t page[SQ_LAPIC_PAGE_LEN],
                    uint64_t now_ns, struct squib_error *err)
{
    uint32_t high = get(page, REG_ICR_HIGH);
    bool pending = false;

    if (!id_matches(l, get(page, REG_ID)))
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "local APIC %u: the saved ID register is 0x%x",
                          l->config.id, get(page, REG_ID));

    l->tpr = (uint8_t)get(page, REG_TPR);
    l->ldr = lapic_is_x2(l) ? 0 : get(page, REG_LDR) & 0xff000000;
    l->dfr = get(page, REG_DFR) | 0x0fffffff;
    l->svr = get(page, REG_SVR) & SVR_BITS;
    l->esr = get(page, REG_ESR) & 0xff;
    atomic_store(&l->esr_pending, 0);
    if (!lapic_is_x2(l))
        high &= 0xff000000;
    l->icr = (uint64_t)high << 32 | (get(page, REG_ICR) & ICR_BITS);

    for (uint32_t i = 0; i < SQ_LAPIC_LVT_COUNT; i++) {
        l->lvt[i] = get(page, REG_LVT + i) & sq_lapic_lvt_bits[i];
        if (!(l->svr & SVR_ENABLE))
            l->lvt[i] |= LVT_MASKED;
    }
    l->divide = get(page, REG_DIVIDE) & DIVIDE_BITS;
    sq_lapic_timer_restore(l, get(page, REG_INITIAL_COUNT),
                           get(page, REG_CURRENT_COUNT), now_ns);

    for (uint32_t i = 0; i < 4; i++) {
        uint64_t irr = get_vectors(page, REG_IRR, i);

        l->isr[i] = get_vectors(page, REG_ISR, i);
        atomic_store(&l->tmr[i], get_vectors(page, REG_TMR, i));
        atomic_store(&l->irr[i], irr);
        pending = pending || irr;
    }
    sq_lapic_update_ppr(l);
    if (pending) {
        atomic_fetch_or(&l->events, SQ_LAPIC_EV_IRR);
        l->bus->ops->wake(l->bus->ctx, l->config.vcpu_index);
    }
    sq_lapic_publish_route(l);
    return 0;
}

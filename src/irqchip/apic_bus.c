/* SPDX-License-Identifier: Apache-2.0 */
#include "irqchip/apic_bus.h"

#include <string.h>

#include "irqchip/ioapic.h"
#include "irqchip/lapic_internal.h"

#define MSI_GPA_HIGH 0xfeeu /* gpa >> 20 */

void sq_apic_bus_init(struct sq_apic_bus *bus,
                      const struct sq_apic_bus_ops *ops, void *ctx)
{
    memset(bus, 0, sizeof(*bus));
    bus->ops = ops;
    bus->ctx = ctx;
}

int sq_apic_bus_attach(struct sq_apic_bus *bus, struct sq_lapic *lapic)
{
    uint32_t index = lapic->config.vcpu_index;
    uint32_t count = atomic_load(&bus->lapic_count);
    struct sq_lapic *expected = NULL;

    if (index >= SQ_APIC_MAX_VCPUS ||
        !atomic_compare_exchange_strong(&bus->lapics[index], &expected,
                                        lapic))
        return -1;
    while (count <= index && !atomic_compare_exchange_weak(
                                 &bus->lapic_count, &count, index + 1)) {
    }
    return 0;
}

void sq_apic_bus_detach(struct sq_apic_bus *bus, struct sq_lapic *lapic)
{
    struct sq_lapic *expected = lapic;

    if (lapic->config.vcpu_index < SQ_APIC_MAX_VCPUS)
        atomic_compare_exchange_strong(
            &bus->lapics[lapic->config.vcpu_index], &expected, NULL);
}

static struct sq_lapic *lapic_at(struct sq_apic_bus *bus, uint32_t index)
{
    return atomic_load_explicit(&bus->lapics[index], memory_order_acquire);
}

static bool is_broadcast(const struct sq_apic_msg *msg)
{
    return msg->dest == (msg->wide ? 0xffffffffu : 0xffu);
}

/* SDM 11.6.2.2 (flat and cluster) and 11.12.10 (x2APIC). */
static bool logical_match(uint64_t route, uint32_t dest)
{
    uint32_t ldr = (uint8_t)(route >> ROUTE_LDR_SHIFT);

    if (route & ROUTE_X2) {
        ldr = lapic_x2_ldr((uint32_t)route);
        return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
    }
    if (dest > 0xff)
        return false;
    switch (route >> ROUTE_MODEL_SHIFT & 0xf) {
    case 0xf:
        return ldr & dest;
    case 0x0:
        return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
    default:
        return false;
    }
}

static bool dest_match(struct sq_lapic *l, const struct sq_apic_msg *msg)
{
    uint64_t route;

    switch (msg->shorthand) {
    case SQ_APIC_TO_SELF:
        return l == msg->src;
    case SQ_APIC_TO_ALL:
        return true;
    case SQ_APIC_TO_OTHERS:
        return l != msg->src;
    default:
        break;
    }
    if (is_broadcast(msg))
        return true;
    route = atomic_load_explicit(&l->route, memory_order_acquire);
    if (msg->logical)
        return logical_match(route, msg->dest);
    return msg->dest == (uint32_t)route;
}

static bool post(struct sq_lapic *l, const struct sq_apic_msg *msg)
{
    switch (msg->delivery) {
    case SQ_APIC_FIXED:
    case SQ_APIC_LOWEST:
        return sq_lapic_post(l, msg->vector, msg->level);
    case SQ_APIC_NMI:
        return sq_lapic_post_nmi(l);
    case SQ_APIC_INIT:
        return sq_lapic_post_init(l);
    case SQ_APIC_SIPI:
        return sq_lapic_post_sipi(l, msg->vector);
    default:
        return false;
    }
}

static bool can_accept(struct sq_lapic *l)
{
    uint64_t need = ROUTE_HW_ENABLED | ROUTE_SW_ENABLED;

    return (atomic_load_explicit(&l->route, memory_order_acquire) & need) ==
           need;
}

/*
 * Of the matching APICs, the one with the lowest priority (11.6.2.4). Among
 * equals the vector decides, which spreads different vectors but keeps each
 * on one vCPU.
 */
static int deliver_lowest(struct sq_apic_bus *bus,
                          const struct sq_apic_msg *msg)
{
    uint32_t count = atomic_load(&bus->lapic_count);
    uint16_t tied[SQ_APIC_MAX_VCPUS];
    uint32_t tied_count = 0;
    uint32_t lowest = UINT32_MAX;

    for (uint32_t i = 0; i < count; i++) {
        struct sq_lapic *l = lapic_at(bus, i);
        uint32_t priority;

        if (!l || !dest_match(l, msg) || !can_accept(l))
            continue;
        priority = atomic_load_explicit(&l->priority, memory_order_relaxed);
        if (priority > lowest)
            continue;
        if (priority < lowest)
            tied_count = 0;
        lowest = priority;
        tied[tied_count++] = (uint16_t)i;
    }
    if (!tied_count)
        return 0;
    return post(lapic_at(bus, tied[msg->vector % tied_count]), msg);
}

/* The usual case, one physical destination whose ID is its slot. */
static struct sq_lapic *direct_target(struct sq_apic_bus *bus,
                                      const struct sq_apic_msg *msg)
{
    struct sq_lapic *l;

    if (msg->logical || msg->shorthand != SQ_APIC_TO_DEST ||
        msg->dest >= SQ_APIC_MAX_VCPUS || is_broadcast(msg))
        return NULL;
    l = lapic_at(bus, msg->dest);
    return l && l->config.id == msg->dest ? l : NULL;
}

int sq_apic_bus_deliver(struct sq_apic_bus *bus,
                        const struct sq_apic_msg *msg)
{
    uint32_t count = atomic_load(&bus->lapic_count);
    struct sq_lapic *target = direct_target(bus, msg);
    int accepted = 0;

    if (target)
        return post(target, msg);
    if (msg->delivery == SQ_APIC_LOWEST)
        return deliver_lowest(bus, msg);
    for (uint32_t i = 0; i < count; i++) {
        struct sq_lapic *l = lapic_at(bus, i);

        if (l && dest_match(l, msg))
            accepted += post(l, msg);
    }
    return accepted;
}

int sq_apic_bus_msi_decode(uint64_t gpa, uint32_t data,
                           struct sq_apic_msg *msg)
{
    bool redirect = gpa & 1u << 3;

    if (gpa >> 20 != MSI_GPA_HIGH)
        return -1;
    *msg = (struct sq_apic_msg){
        .dest = (uint32_t)(gpa >> 12 & 0xff) | (uint32_t)(gpa >> 5 & 0x7f) << 8,
        .logical = gpa & 1u << 2,
        .vector = (uint8_t)data,
        .delivery = data >> 8 & 7,
        .level = data & 1u << 15,
    };
    if (redirect && msg->delivery == SQ_APIC_FIXED)
        msg->delivery = SQ_APIC_LOWEST; /* 11.11.1, redirection hint */
    return 0;
}

int sq_apic_bus_msi(struct sq_apic_bus *bus, uint64_t gpa, uint32_t data)
{
    struct sq_apic_msg msg;

    if (sq_apic_bus_msi_decode(gpa, data, &msg))
        return -1;
    if (msg.delivery == SQ_APIC_SIPI)
        return 0; /* reserved in MSI data */
    if (msg.level && !(data & 1u << 14))
        return 0; /* 11.11.2: a level de-assert carries no interrupt */
    return sq_apic_bus_deliver(bus, &msg);
}

void sq_apic_bus_eoi(struct sq_apic_bus *bus, uint8_t vector)
{
    struct sq_ioapic *io = atomic_load(&bus->ioapic);

    if (io)
        sq_ioapic_eoi(io, vector);
}

void sq_apic_bus_retry(struct sq_apic_bus *bus)
{
    struct sq_ioapic *io = atomic_load(&bus->ioapic);

    if (io)
        sq_ioapic_retry(io);
}

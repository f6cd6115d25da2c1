/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A local APIC in software: xAPIC registers in a page, x2APIC registers as
 * MSRs, the APIC timer, and the interface the CPU needs to take interrupts.
 *
 * Source: Intel SDM vol. 3A ch. 11.
 *
 * Threads: each function says "any thread" or "owner". The owner is the
 * thread of the vCPU the APIC belongs to, or any one thread while that vCPU
 * is stopped. Nothing here blocks, except that the completion of a level
 * interrupt and changes of the acceptance registers (SVR, LDR, DFR, APIC
 * base) take the I/O APIC's lock for a moment.
 *
 * Time: no function reads a clock. now_ns is a monotonic time in ns on any
 * epoch, the same for all calls on one machine. The timer's input clock is
 * 1 GHz: one tick before the divider is one ns.
 *
 * Every register takes any value a guest may write and answers as the SDM
 * says: it is ignored, sets an ESR bit, or the call returns -1 for #GP, which
 * is the guest's business and no error of the monitor.
 *
 * After any owner call that may lower the priority or enable something (MMIO
 * and MSR writes, CR8, EOI, tick) the CPU must ask
 * sq_lapic_pending_vector() again.
 */
#ifndef SQ_IRQCHIP_LAPIC_H
#define SQ_IRQCHIP_LAPIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

#include "irqchip/apic_bus.h"

#define SQ_LAPIC_DEFAULT_GPA 0xfee00000u
#define SQ_LAPIC_PAGE_LEN 1024u

#define SQ_LAPIC_MSR_BASE 0x1bu
#define SQ_LAPIC_MSR_TSC_DEADLINE 0x6e0u
#define SQ_LAPIC_MSR_X2_FIRST 0x800u
#define SQ_LAPIC_MSR_X2_LAST 0x8ffu

/* IA32_APIC_BASE, SDM 11.4.4 and 11.12.1 */
#define SQ_LAPIC_BASE_BSP (1u << 8)
#define SQ_LAPIC_BASE_EXTD (1u << 10)
#define SQ_LAPIC_BASE_EN (1u << 11)

/* Bits of the event word. */
#define SQ_LAPIC_EV_NMI (1u << 0)
#define SQ_LAPIC_EV_INIT (1u << 1)
#define SQ_LAPIC_EV_SIPI (1u << 2)
#define SQ_LAPIC_EV_IRR (1u << 3)   /* IRR may be non-empty */
#define SQ_LAPIC_EV_ERROR (1u << 4) /* ESR gained a bit */
#define SQ_LAPIC_EV_NMI_AGAIN (1u << 5) /* a second one behind it */
#define SQ_LAPIC_EV_SIPI_VECTOR_SHIFT 8

/* Local vector table, in register order from offset 0x320. */
enum sq_lapic_lvt {
    SQ_LAPIC_LVT_TIMER,
    SQ_LAPIC_LVT_THERMAL,
    SQ_LAPIC_LVT_PERF,
    SQ_LAPIC_LVT_LINT0,
    SQ_LAPIC_LVT_LINT1,
    SQ_LAPIC_LVT_ERROR,
    SQ_LAPIC_LVT_COUNT,
};

struct sq_lapic_config {
    uint32_t id;         /* x2APIC ID, unique on the bus, never changes */
    uint32_t vcpu_index; /* slot on the bus, given to wake() */
    uint8_t phys_bits;   /* MAXPHYADDR the guest sees, 32..52 */
    bool bsp;            /* bootstrap processor */
};

/* Only the functions below touch the fields. */
struct sq_lapic {
    /* Constant after init. */
    struct sq_apic_bus *bus;
    struct sq_lapic_config config;

    /* Any thread. */
    _Atomic uint64_t irr[4];
    _Atomic uint64_t tmr[4];
    _Atomic uint32_t events;
    _Atomic uint32_t esr_pending; /* errors since the last ESR write */
    _Atomic uint64_t route;       /* what matching needs, in one word */
    _Atomic uint32_t priority;    /* copy of ppr, for lowest priority */
    uint8_t pad[64];              /* keeps owner fields off that line */

    /* Owner only. */
    uint64_t apic_base;
    uint64_t isr[4];
    int isr_top; /* highest vector in service, -1: none */
    uint8_t tpr;
    uint8_t ppr;
    uint32_t ldr; /* xAPIC format */
    uint32_t dfr;
    uint32_t svr;
    uint32_t esr;
    uint64_t icr; /* 63:32 as in ICR high or as the x2APIC destination */
    uint32_t lvt[SQ_LAPIC_LVT_COUNT];

    /* Timer, owner only. */
    uint32_t initial_count;
    uint32_t divide;         /* divide configuration register */
    uint64_t count_start_ns; /* when the count was at initial_count */
    uint64_t deadline_ns;    /* next expiry, UINT64_MAX: not armed */
    uint64_t tsc_deadline;   /* IA32_TSC_DEADLINE, 0: not armed */
};

enum sq_lapic_reset {
    SQ_LAPIC_POWER_UP, /* everything, APIC base included */
    SQ_LAPIC_INIT,     /* as the INIT message: keeps APIC base and mode, and
                          a SIPI that arrived after it (SDM 11.4.7.3) */
};

/*
 * Power up and join the bus, which is borrowed. SQUIB_E_INVAL: config is out
 * of range or its slot is taken. Owner; may run beside delivery by others.
 */
int sq_lapic_init(struct sq_lapic *lapic, struct sq_apic_bus *bus,
                  const struct sq_lapic_config *config,
                  struct squib_error *err);
/* Leave the bus. No other thread may be using the bus. */
void sq_lapic_fini(struct sq_lapic *lapic);
/* Owner. */
void sq_lapic_reset(struct sq_lapic *lapic, enum sq_lapic_reset kind);

/* ---- posting: any thread ---- */

/*
 * Offer a fixed interrupt. True if accepted: the APIC is enabled by hardware
 * and software and the vector is legal (an illegal one sets an ESR bit).
 */
bool sq_lapic_post(struct sq_lapic *lapic, uint8_t vector, bool level);
/* True if accepted: the APIC is not disabled in APIC base. Two are kept, as a
 * CPU has one in service and one behind it (SDM 6.7.1); more are one. */
bool sq_lapic_post_nmi(struct sq_lapic *lapic);
/* INIT cancels a SIPI which has not been taken. */
bool sq_lapic_post_init(struct sq_lapic *lapic);
/* The first of several SIPIs which have not been taken wins. */
bool sq_lapic_post_sipi(struct sq_lapic *lapic, uint8_t vector);

/* ---- the CPU's side: owner ---- */

/* The event word, SQ_LAPIC_EV_*; zero means nothing at all. Any thread. */
static inline uint32_t sq_lapic_events(const struct sq_lapic *lapic)
{
    return atomic_load_explicit(&lapic->events, memory_order_acquire);
}

/* Use sq_lapic_pending_vector. */
int sq_lapic_scan(struct sq_lapic *lapic);

/*
 * The vector to deliver now if the CPU allows interrupts, or -1. Cheap when
 * nothing is pending.
 */
static inline int sq_lapic_pending_vector(struct sq_lapic *lapic)
{
    if (!(sq_lapic_events(lapic) & (SQ_LAPIC_EV_IRR | SQ_LAPIC_EV_ERROR)))
        return -1;
    return sq_lapic_scan(lapic);
}

/*
 * The CPU acknowledges vector, from sq_lapic_pending_vector: it moves from
 * IRR to ISR. Returns the vector to deliver, which is the spurious one (and
 * nothing moves) if vector is no longer deliverable.
 */
uint8_t sq_lapic_accept(struct sq_lapic *lapic, uint8_t vector);

/* Same as a write to the EOI register. */
void sq_lapic_eoi(struct sq_lapic *lapic);

/*
 * Take a pending event; false if there is none. Order for a CPU: INIT (then
 * sq_lapic_reset with SQ_LAPIC_INIT), SIPI, NMI. A CPU that is not waiting
 * for a SIPI takes it and drops it (SDM 9.4.4).
 */
bool sq_lapic_take_init(struct sq_lapic *lapic);
bool sq_lapic_take_sipi(struct sq_lapic *lapic, uint8_t *vector);
bool sq_lapic_take_nmi(struct sq_lapic *lapic);

/* CR8 (SDM 11.8.6.1). Setting fails with -1 (#GP) for values above 15. */
static inline uint64_t sq_lapic_cr8(const struct sq_lapic *lapic)
{
    return lapic->tpr >> 4;
}
int sq_lapic_set_cr8(struct sq_lapic *lapic, uint64_t value);

/* ---- registers: owner ---- */

/* True, and where, if the APIC decodes its 4 KiB page (xAPIC mode). */
bool sq_lapic_mmio_gpa(const struct sq_lapic *lapic, uint64_t *gpa);

/*
 * A 32-bit access at offset in the page. 0, or -1 if the APIC does not
 * decode its page: the access belongs to whatever lies beneath. Offsets that
 * are not 16-byte aligned read 0 and ignore writes.
 */
int sq_lapic_mmio_read(struct sq_lapic *lapic, uint32_t offset,
                       uint32_t *value, uint64_t now_ns);
int sq_lapic_mmio_write(struct sq_lapic *lapic, uint32_t offset,
                        uint32_t value, uint64_t now_ns);

/*
 * MSRs 0x1b, 0x6e0 and 0x800..0x8ff. 0, or -1: raise #GP(0). *value is
 * untouched on failure.
 */
int sq_lapic_msr_read(struct sq_lapic *lapic, uint32_t msr, uint64_t *value,
                      uint64_t now_ns);
int sq_lapic_msr_write(struct sq_lapic *lapic, uint32_t msr, uint64_t value,
                       uint64_t now_ns);

/* ---- timer: owner ---- */

/* When to call sq_lapic_tick next; UINT64_MAX: no need. */
static inline uint64_t sq_lapic_next_deadline_ns(const struct sq_lapic *lapic)
{
    /* A masked timer cannot interrupt; it catches up when it is looked at. */
    if (lapic->lvt[SQ_LAPIC_LVT_TIMER] & (1u << 16))
        return UINT64_MAX;
    return lapic->deadline_ns;
}

/* Fire the timer if it is due. A periodic timer fires once for all misses. */
void sq_lapic_tick(struct sq_lapic *lapic, uint64_t now_ns);

/* The relation of TSC and time changed: recompute an armed TSC deadline. */
void sq_lapic_tsc_changed(struct sq_lapic *lapic, uint64_t now_ns);

/* ---- saving and loading: owner ---- */

/*
 * The page holds each register at its xAPIC offset, little endian. In x2APIC
 * mode ID, LDR and ICR high hold their full 32-bit x2APIC values.
 *
 * Save: read TSC_DEADLINE, then export, with one now_ns (a timer that is due
 * fires into IRR first); NMI, INIT and SIPI come from sq_lapic_events().
 * Load: set_base, import, write TSC_DEADLINE, post NMI, INIT and SIPI.
 */
void sq_lapic_export(struct sq_lapic *lapic, uint8_t page[SQ_LAPIC_PAGE_LEN],
                     uint64_t now_ns);
/*
 * SQUIB_E_FORMAT, and no change, if the ID in the page is not this APIC's.
 * In x2APIC mode the ID may also be in xAPIC format (bits 31:24). Bits no
 * guest could have set are dropped.
 */
int sq_lapic_import(struct sq_lapic *lapic,
                    const uint8_t page[SQ_LAPIC_PAGE_LEN], uint64_t now_ns,
                    struct squib_error *err);

static inline uint64_t sq_lapic_base(const struct sq_lapic *lapic)
{
    return lapic->apic_base;
}
/*
 * Set APIC base without the transition rules. SQUIB_E_FORMAT, and no change:
 * no guest could have had this value.
 */
int sq_lapic_set_base(struct sq_lapic *lapic, uint64_t value,
                      struct squib_error *err);

#endif

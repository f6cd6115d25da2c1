/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt controllers of a machine, for their tests. Expectations come
 * from the Intel SDM vol. 3A ch. 11 and the 82093AA datasheet.
 */
#ifndef SQ_TESTS_APIC_MACHINE_H
#define SQ_TESTS_APIC_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "irqchip/apic_bus.h"
#include "irqchip/ioapic.h"
#include "irqchip/lapic.h"

#define CPUS 40u

#define TPR 0x80u
#define PPR 0xa0u
#define EOI 0xb0u
#define LDR 0xd0u
#define DFR 0xe0u
#define SVR 0xf0u
#define ISR 0x100u
#define TMR 0x180u
#define IRR 0x200u
#define ESR 0x280u
#define ICR 0x300u
#define ICR_HIGH 0x310u
#define LVT_TIMER 0x320u
#define LVT_LINT0 0x350u
#define LVT_ERROR 0x370u
#define INITIAL 0x380u
#define CURRENT 0x390u
#define DIVIDE 0x3e0u

#define BASE_XAPIC (0xfee00000u | SQ_LAPIC_BASE_EN)
#define BASE_X2 (BASE_XAPIC | SQ_LAPIC_BASE_EXTD)

#define NEVER UINT64_MAX

struct machine {
    struct sq_apic_bus bus;
    struct sq_ioapic io;
    struct sq_lapic cpu[CPUS];
    _Atomic uint32_t wakes[CPUS];
    uint64_t tsc_offset;
};

static inline void on_wake(void *ctx, uint32_t vcpu_index)
{
    struct machine *m = ctx;

    atomic_fetch_add(&m->wakes[vcpu_index], 1);
}

/* TSC = now - offset at 1 GHz */
static inline uint64_t on_tsc_to_ns(void *ctx, uint32_t vcpu_index,
                                    uint64_t tsc)
{
    struct machine *m = ctx;

    (void)vcpu_index;
    return tsc + m->tsc_offset;
}

static const struct sq_apic_bus_ops ops = {
    .wake = on_wake,
    .tsc_to_ns = on_tsc_to_ns,
};

static inline uint32_t rd(struct sq_lapic *l, uint32_t offset, uint64_t now_ns)
{
    uint32_t value = 0xdeadbeef;

    assert_int_equal(sq_lapic_mmio_read(l, offset, &value, now_ns), 0);
    return value;
}

static inline void wr(struct sq_lapic *l, uint32_t offset, uint32_t value,
                      uint64_t now_ns)
{
    assert_int_equal(sq_lapic_mmio_write(l, offset, value, now_ns), 0);
}

static inline uint64_t rdmsr(struct sq_lapic *l, uint32_t msr)
{
    uint64_t value = 0xdeadbeef;

    assert_int_equal(sq_lapic_msr_read(l, msr, &value, 0), 0);
    return value;
}

static inline void wrmsr(struct sq_lapic *l, uint32_t msr, uint64_t value)
{
    assert_int_equal(sq_lapic_msr_write(l, msr, value, 0), 0);
}

static inline int try_wrmsr(struct sq_lapic *l, uint32_t msr, uint64_t value)
{
    return sq_lapic_msr_write(l, msr, value, 0);
}

static inline int try_rdmsr(struct sq_lapic *l, uint32_t msr)
{
    uint64_t value = 0x1234;
    int ret = sq_lapic_msr_read(l, msr, &value, 0);

    if (ret)
        assert_int_equal(value, 0x1234);
    return ret;
}

/* Of the interrupt command register. */
#define LOGICAL (1u << 11)
#define ASSERT (1u << 14)
#define SELF (1u << 18)
#define ALL (2u << 18)
#define OTHERS (3u << 18)
#define LOWEST (1u << 8)
#define NMI (4u << 8)
#define INIT (5u << 8)
#define SIPI (6u << 8)

static inline void ipi(struct sq_lapic *l, uint32_t dest, uint32_t low)
{
    wr(l, ICR_HIGH, dest << 24, 0);
    wr(l, ICR, low, 0);
}

/* Take the next interrupt as a CPU would. */
static inline int take(struct sq_lapic *l)
{
    int vector = sq_lapic_pending_vector(l);

    if (vector >= 0)
        assert_int_equal(sq_lapic_accept(l, (uint8_t)vector), vector);
    return vector;
}

/* Take one interrupt and complete it. */
static inline int serve(struct sq_lapic *l)
{
    int vector = take(l);

    if (vector >= 0)
        sq_lapic_eoi(l);
    return vector;
}

/* Which vCPUs have exactly this vector pending; serves it. */
static inline uint64_t who_got(struct machine *m, int vector)
{
    uint64_t mask = 0;

    for (uint32_t i = 0; i < CPUS; i++) {
        int got = serve(&m->cpu[i]);

        assert_true(got == vector || got == -1);
        if (got == vector)
            mask |= 1ull << i;
        assert_int_equal(serve(&m->cpu[i]), -1);
    }
    return mask;
}

#define ALL_CPUS ((1ull << CPUS) - 1)

static inline void enter_x2(struct sq_lapic *l)
{
    wrmsr(l, SQ_LAPIC_MSR_BASE,
          BASE_X2 | (sq_lapic_base(l) & SQ_LAPIC_BASE_BSP));
}

static inline int setup(void **state)
{
    struct machine *m = test_calloc(1, sizeof(*m));

    sq_apic_bus_init(&m->bus, &ops, m);
    for (uint32_t i = 0; i < CPUS; i++) {
        struct sq_lapic_config config = {
            .id = i, .vcpu_index = i, .phys_bits = 46, .bsp = i == 0};

        if (sq_lapic_init(&m->cpu[i], &m->bus, &config, NULL))
            return -1;
        wr(&m->cpu[i], SVR, 0x1ff, 0);
    }
    if (sq_ioapic_init(&m->io, &m->bus, NULL))
        return -1;
    *state = m;
    return 0;
}

static inline int teardown(void **state)
{
    struct machine *m = *state;

    sq_ioapic_fini(&m->io);
    for (uint32_t i = 0; i < CPUS; i++)
        sq_lapic_fini(&m->cpu[i]);
    test_free(m);
    return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif

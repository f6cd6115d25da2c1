/* SPDX-License-Identifier: Apache-2.0 */
/* What goes between interrupt controllers: interrupts of processors, of the
 * I/O APIC and of messages. */
#include <pthread.h>

#include "apic_machine.h"

/* ---- IPIs ---- */

static void x2_ipi(struct sq_lapic *l, uint32_t dest, uint32_t low)
{
    wrmsr(l, 0x830, (uint64_t)dest << 32 | low);
}

static void test_ipi_physical(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[2];

    ipi(l, 7, ASSERT | 0x44);
    assert_int_equal(who_got(m, 0x44), 1ull << 7);
    assert_int_equal(rd(l, ICR_HIGH, 0), 7u << 24);
    assert_int_equal(rd(l, ICR, 0), ASSERT | 0x44);
    ipi(l, 39, 0xfff33044); /* reserved and read-only bits are dropped */
    assert_int_equal(who_got(m, 0x44), 1ull << 39);
    assert_int_equal(rd(l, ICR, 0), 0x44);
    ipi(l, 0xff, ASSERT | 0x44);
    assert_int_equal(who_got(m, 0x44), ALL_CPUS);
    ipi(l, 200, ASSERT | 0x44); /* nobody */
    assert_int_equal(who_got(m, 0x44), 0);
    /* every mode and value is survivable */
    for (uint32_t mode = 0; mode < 8; mode++) {
        for (uint32_t hand = 0; hand < 4; hand++) {
            ipi(l, 0xff, hand << 18 | mode << 8 | 0x44);
            ipi(l, 0xff, hand << 18 | LOGICAL | mode << 8 | 3);
        }
    }
}

static void test_ipi_shorthands(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[2];

    ipi(l, 9, SELF | ASSERT | 0x51);
    assert_int_equal(who_got(m, 0x51), 1ull << 2);
    ipi(l, 9, ALL | ASSERT | 0x52);
    assert_int_equal(who_got(m, 0x52), ALL_CPUS);
    ipi(l, 9, OTHERS | ASSERT | 0x53);
    assert_int_equal(who_got(m, 0x53), ALL_CPUS & ~(1ull << 2));
    ipi(l, 9, SELF | NMI | ASSERT); /* not a legal combination */
    assert_false(sq_lapic_take_nmi(l));
    ipi(l, 9, OTHERS | NMI | ASSERT);
    assert_false(sq_lapic_take_nmi(l));
    assert_true(sq_lapic_take_nmi(&m->cpu[0]));
    assert_true(sq_lapic_take_nmi(&m->cpu[39]));
    assert_false(sq_lapic_take_nmi(&m->cpu[39]));

    /* one to be in service, one behind it, no more */
    for (unsigned k = 0; k < 3; k++)
        sq_lapic_post_nmi(l);
    assert_true(sq_lapic_take_nmi(l));
    assert_true(sq_lapic_take_nmi(l));
    assert_false(sq_lapic_take_nmi(l));
    assert_int_equal(sq_lapic_events(l), 0);

    enter_x2(l);
    /* 32-bit logical destinations do not alias receivers in xAPIC mode */
    wr(&m->cpu[0], LDR, 0x01000000, 0);
    x2_ipi(l, 0x00010001, LOGICAL | ASSERT | 0x51);
    assert_int_equal(who_got(m, 0x51), 0);
    x2_ipi(l, 9, SELF | ASSERT | 0x51);
    assert_int_equal(who_got(m, 0x51), 1ull << 2);
    x2_ipi(l, 0, OTHERS | ASSERT | 0x53);
    assert_int_equal(who_got(m, 0x53), ALL_CPUS & ~(1ull << 2));
    x2_ipi(l, 0, ALL | 0x54);
    assert_int_equal(who_got(m, 0x54), ALL_CPUS);
}

static void test_ipi_logical_flat(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[0];

    for (uint32_t i = 0; i < 8; i++) {
        wr(&m->cpu[i], LDR, 1u << (24 + i) | 0xffffff, 0);
        assert_int_equal(rd(&m->cpu[i], LDR, 0), 1u << (24 + i));
    }
    ipi(l, 0x05, LOGICAL | ASSERT | 0x61);
    assert_int_equal(who_got(m, 0x61), 0x05);
    ipi(l, 0xf0, LOGICAL | ASSERT | 0x61);
    assert_int_equal(who_got(m, 0x61), 0xf0);
    ipi(l, 0xff, LOGICAL | ASSERT | 0x61);
    assert_int_equal(who_got(m, 0x61), ALL_CPUS);
    ipi(l, 0x00, LOGICAL | ASSERT | 0x61);
    assert_int_equal(who_got(m, 0x61), 0);
}

static void test_ipi_logical_cluster(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[0];

    for (uint32_t i = 0; i < CPUS; i++) {
        wr(&m->cpu[i], DFR, 0, 0);
        assert_int_equal(rd(&m->cpu[i], DFR, 0), 0x0fffffff);
        wr(&m->cpu[i], LDR, (i / 4) << 28 | 1u << (24 + i % 4), 0);
    }
    ipi(l, 0x03, LOGICAL | ASSERT | 0x62); /* cluster 0: 0 and 1 */
    assert_int_equal(who_got(m, 0x62), 0x03);
    ipi(l, 0x2a, LOGICAL | ASSERT | 0x62); /* cluster 2: 9 and 11 */
    assert_int_equal(who_got(m, 0x62), 1u << 9 | 1u << 11);
    ipi(l, 0x98, LOGICAL | ASSERT | 0x62); /* cluster 9: 39 */
    assert_int_equal(who_got(m, 0x62), 1ull << 39);
    ipi(l, 0xff, LOGICAL | ASSERT | 0x62);
    assert_int_equal(who_got(m, 0x62), ALL_CPUS);
    /* an undefined model matches nothing */
    wr(&m->cpu[1], DFR, 0x50000000, 0);
    ipi(l, 0x03, LOGICAL | ASSERT | 0x62);
    assert_int_equal(who_got(m, 0x62), 0x01);
}

static void test_ipi_x2(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[4];

    for (uint32_t i = 0; i < CPUS; i++)
        enter_x2(&m->cpu[i]);
    x2_ipi(l, 38, ASSERT | 0x71);
    assert_int_equal(who_got(m, 0x71), 1ull << 38);
    x2_ipi(l, 0xffffffff, ASSERT | 0x71);
    assert_int_equal(who_got(m, 0x71), ALL_CPUS);
    x2_ipi(l, 0xff, ASSERT | 0x71); /* 32-bit IDs: nobody is 255 */
    assert_int_equal(who_got(m, 0x71), 0);
    x2_ipi(l, 0x00020081, LOGICAL | ASSERT | 0x71); /* 32 and 39 */
    assert_int_equal(who_got(m, 0x71), 1ull << 32 | 1ull << 39);
    x2_ipi(l, 0x00018001, LOGICAL | ASSERT | 0x71); /* 16 and 31 */
    assert_int_equal(who_got(m, 0x71), 1u << 16 | 1u << 31);
    x2_ipi(l, 0x00030001, LOGICAL | ASSERT | 0x71); /* no such cluster */
    assert_int_equal(who_got(m, 0x71), 0);
    x2_ipi(l, 0xffffffff, LOGICAL | ASSERT | 0x71);
    assert_int_equal(who_got(m, 0x71), ALL_CPUS);
    assert_int_equal(rdmsr(l, 0x830), 0xffffffffull << 32 | LOGICAL | ASSERT |
                                          0x71);
}

static void test_wide_ids(void **state)
{
    struct machine *m = *state;
    struct sq_lapic_config config = {
        .id = 0x1234, .vcpu_index = 0, .phys_bits = 46};
    struct sq_apic_bus bus;
    struct sq_lapic big;

    sq_apic_bus_init(&bus, &ops, m);
    assert_int_equal(sq_lapic_init(&big, &bus, &config, NULL), 0);
    wr(&big, SVR, 0x1ff, 0);
    /* address bits 11:5 carry destination bits 14:8 */
    assert_int_equal(sq_apic_bus_msi(&bus, 0xfee34000 | 0x12 << 5, 0x40), 1);
    assert_int_equal(serve(&big), 0x40);
    assert_int_equal(sq_apic_bus_msi(&bus, 0xfee34000, 0x40), 0);
    enter_x2(&big);
    assert_int_equal(rdmsr(&big, 0x80d), 0x123u << 16 | 1u << 4);
    x2_ipi(&big, 0x1234, 0x41);
    assert_int_equal(serve(&big), 0x41);
    x2_ipi(&big, 0x01230010, LOGICAL | 0x42);
    assert_int_equal(serve(&big), 0x42);
    sq_lapic_fini(&big);
}

static void test_lowest_priority(void **state)
{
    struct machine *m = *state;
    uint64_t seen = 0;

    for (uint32_t i = 0; i < 8; i++) {
        wr(&m->cpu[i], LDR, 1u << (24 + i), 0);
        wr(&m->cpu[i], TPR, 0x30, 0);
    }
    wr(&m->cpu[5], TPR, 0x20, 0);
    ipi(&m->cpu[0], 0x7e, LOGICAL | LOWEST | ASSERT | 0x81);
    assert_int_equal(who_got(m, 0x81), 1u << 5);
    /* a disabled one is not a candidate */
    wr(&m->cpu[5], SVR, 0xff, 0);
    ipi(&m->cpu[0], 0x3c, LOGICAL | LOWEST | ASSERT | 0x81);
    assert_int_equal(__builtin_popcountll(who_got(m, 0x81)), 1);
    /* nor is one that is busy with something higher */
    wr(&m->cpu[5], SVR, 0x1ff, 0);
    sq_lapic_post(&m->cpu[5], 0xe0, false);
    assert_int_equal(take(&m->cpu[5]), 0xe0);
    ipi(&m->cpu[0], 0x30, LOGICAL | LOWEST | ASSERT | 0x81);
    assert_int_equal(serve(&m->cpu[4]), 0x81);
    sq_lapic_eoi(&m->cpu[5]);
    assert_int_equal(serve(&m->cpu[5]), -1);
    /* among equals, vectors spread */
    wr(&m->cpu[5], TPR, 0x30, 0);
    for (uint32_t v = 0x90; v < 0xa0; v++) {
        ipi(&m->cpu[0], 0x0f, LOGICAL | LOWEST | ASSERT | v);
        uint64_t got = who_got(m, (int)v);
        assert_int_equal(__builtin_popcountll(got), 1);
        seen |= got;
    }
    assert_int_equal(seen, 0x0f);
    ipi(&m->cpu[0], 6, LOWEST | ASSERT | 0x82); /* physical */
    assert_int_equal(who_got(m, 0x82), 1u << 6);
}

static void test_init_sipi(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *bsp = &m->cpu[0];
    struct sq_lapic *ap = &m->cpu[3];
    uint8_t vector = 0;

    enter_x2(ap);
    sq_lapic_post(ap, 0x40, false);
    wrmsr(ap, 0x808, 0x20);
    sq_lapic_post_sipi(ap, 0x55); /* cancelled by the INIT */
    ipi(bsp, 3, INIT | 1u << 15); /* de-assert: nothing */
    assert_false(sq_lapic_events(ap) & SQ_LAPIC_EV_INIT);
    ipi(bsp, 3, INIT | ASSERT | 1u << 15);
    assert_true(sq_lapic_events(ap) & SQ_LAPIC_EV_INIT);
    assert_false(sq_lapic_take_sipi(ap, &vector));
    ipi(bsp, 3, SIPI | 0x9a);
    ipi(bsp, 3, SIPI | 0x9b); /* the second one is late */
    assert_true(m->wakes[3] >= 3);

    assert_true(sq_lapic_take_init(ap));
    assert_false(sq_lapic_take_init(ap));
    sq_lapic_reset(ap, SQ_LAPIC_INIT);
    assert_int_equal(rdmsr(ap, SQ_LAPIC_MSR_BASE), BASE_X2); /* stays */
    assert_int_equal(rdmsr(ap, 0x808), 0);
    assert_int_equal(rdmsr(ap, 0x80f), 0xff);
    assert_int_equal(sq_lapic_pending_vector(ap), -1);
    assert_true(sq_lapic_take_sipi(ap, &vector));
    assert_int_equal(vector, 0x9a);
    assert_false(sq_lapic_take_sipi(ap, &vector));
    assert_int_equal(sq_lapic_events(ap), 0);

    /* INIT to all others; the BSP is spared */
    ipi(bsp, 0, OTHERS | INIT | ASSERT);
    assert_false(sq_lapic_take_init(bsp));
    for (uint32_t i = 1; i < CPUS; i++)
        assert_true(sq_lapic_take_init(&m->cpu[i]));
    sq_lapic_post_nmi(bsp);
    sq_lapic_reset(bsp, SQ_LAPIC_POWER_UP);
    assert_int_equal(sq_lapic_events(bsp), 0);
}

/* ---- I/O APIC ---- */

static uint32_t io_rd(struct machine *m, uint32_t index)
{
    sq_ioapic_mmio_write(&m->io, 0x00, index);
    return sq_ioapic_mmio_read(&m->io, 0x10);
}

static void io_wr(struct machine *m, uint32_t index, uint32_t value)
{
    sq_ioapic_mmio_write(&m->io, 0x00, index);
    sq_ioapic_mmio_write(&m->io, 0x10, value);
}

static void redir(struct machine *m, uint32_t pin, uint32_t dest,
                  uint32_t low)
{
    io_wr(m, 0x11 + pin * 2, dest << 24);
    io_wr(m, 0x10 + pin * 2, low);
}

#define MASKED (1u << 16)
#define LEVEL (1u << 15)
#define REMOTE_IRR (1u << 14)
#define PENDING (1u << 12)

static void test_ioapic_registers(void **state)
{
    struct machine *m = *state;

    assert_int_equal(io_rd(m, 1), 0x00170020);
    io_wr(m, 1, 0);
    assert_int_equal(io_rd(m, 1), 0x00170020);
    io_wr(m, 0, 0xffffffff);
    assert_int_equal(io_rd(m, 0), 0x0f000000);
    assert_int_equal(io_rd(m, 2), 0x0f000000);
    for (uint32_t pin = 0; pin < SQ_IOAPIC_PINS; pin++)
        assert_int_equal(io_rd(m, 0x10 + pin * 2), MASKED);
    io_wr(m, 0x10, 0xffffffff);
    assert_int_equal(io_rd(m, 0x10), 0x1afff); /* RO and reserved bits 0 */
    io_wr(m, 0x11, 0xffffffff);
    assert_int_equal(io_rd(m, 0x11), 0xfffe0000);
    assert_int_equal(sq_ioapic_mmio_read(&m->io, 0), 0x11);
    assert_int_equal(io_rd(m, 0x40), 0); /* past the table */
    io_wr(m, 0x40, 0xffffffff);
    io_wr(m, 0xffffffff, 0xffffffff);
    assert_int_equal(sq_ioapic_mmio_read(&m->io, 0), 0xff);
    assert_int_equal(sq_ioapic_mmio_read(&m->io, 0x04), 0);
    assert_int_equal(sq_ioapic_mmio_read(&m->io, 0xffffffff), 0);
    sq_ioapic_mmio_write(&m->io, 0x123, 1);
    sq_ioapic_set_line(&m->io, 24, true);
    sq_ioapic_set_line(&m->io, UINT32_MAX, true);
    sq_ioapic_reset(&m->io);
    assert_int_equal(io_rd(m, 0x10), MASKED);
}

static void test_ioapic_edge(void **state)
{
    struct machine *m = *state;

    redir(m, 4, 6, MASKED | 0x35);
    sq_ioapic_set_line(&m->io, 4, true); /* masked: the edge is lost */
    redir(m, 4, 6, 0x35);
    assert_int_equal(who_got(m, 0x35), 0);
    sq_ioapic_set_line(&m->io, 4, true); /* no edge */
    assert_int_equal(who_got(m, 0x35), 0);
    sq_ioapic_set_line(&m->io, 4, false);
    sq_ioapic_set_line(&m->io, 4, true);
    assert_int_equal(rd(&m->cpu[6], TMR + 0x10, 0), 0);
    assert_int_equal(who_got(m, 0x35), 1u << 6);
    assert_int_equal(io_rd(m, 0x18), 0x35); /* no remote IRR */
    sq_ioapic_set_line(&m->io, 4, false);
    assert_int_equal(who_got(m, 0x35), 0);

    /* NMI delivery; ExtINT, SMI and SIPI go nowhere */
    for (uint32_t mode = 2; mode < 8; mode++) {
        redir(m, 4, 6, mode << 8 | LEVEL | 0x35);
        sq_ioapic_set_line(&m->io, 4, true);
        sq_ioapic_set_line(&m->io, 4, false);
    }
    assert_int_equal(sq_lapic_events(&m->cpu[6]) &
                         (SQ_LAPIC_EV_NMI | SQ_LAPIC_EV_INIT |
                          SQ_LAPIC_EV_SIPI | SQ_LAPIC_EV_IRR),
                     SQ_LAPIC_EV_NMI | SQ_LAPIC_EV_INIT);
    /* logical destination */
    for (uint32_t i = 0; i < 8; i++)
        wr(&m->cpu[i], LDR, 1u << (24 + i), 0);
    redir(m, 5, 0x12, LOGICAL | 0x36);
    sq_ioapic_set_line(&m->io, 5, true);
    assert_int_equal(who_got(m, 0x36), 0x12);
}

static void test_ioapic_level(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[6];
    const uint32_t low = 0x10 + 9 * 2;

    redir(m, 9, 6, LEVEL | 0x39);
    sq_ioapic_set_line(&m->io, 9, true);
    assert_int_equal(io_rd(m, low), LEVEL | REMOTE_IRR | 0x39);
    assert_int_equal(rd(l, TMR + 0x10, 0), 1u << 25);
    sq_ioapic_set_line(&m->io, 9, true);
    assert_int_equal(take(l), 0x39);
    sq_ioapic_set_line(&m->io, 9, true); /* remote IRR holds it back */
    assert_int_equal(rd(l, IRR + 0x10, 0), 0);

    wr(l, EOI, 0, 0); /* still asserted: again */
    assert_int_equal(take(l), 0x39);
    sq_ioapic_set_line(&m->io, 9, false);
    wr(l, EOI, 0, 0);
    assert_int_equal(take(l), -1);
    assert_int_equal(io_rd(m, low), LEVEL | 0x39);

    /* asserted while masked: comes with the unmask */
    redir(m, 9, 6, MASKED | LEVEL | 0x39);
    sq_ioapic_set_line(&m->io, 9, true);
    assert_int_equal(take(l), -1);
    io_wr(m, low, LEVEL | 0x39);
    assert_int_equal(take(l), 0x39);
    /* masked before EOI: EOI clears remote IRR, nothing comes */
    io_wr(m, low, MASKED | LEVEL | 0x39);
    assert_int_equal(io_rd(m, low), MASKED | LEVEL | REMOTE_IRR | 0x39);
    sq_lapic_eoi(l);
    assert_int_equal(io_rd(m, low), MASKED | LEVEL | 0x39);
    assert_int_equal(take(l), -1);

    /* an edge interrupt's EOI touches no level pin */
    io_wr(m, low, LEVEL | 0x39);
    assert_int_equal(take(l), 0x39);
    sq_lapic_post(l, 0x79, false);
    assert_int_equal(serve(l), 0x79);
    assert_int_equal(io_rd(m, low), LEVEL | REMOTE_IRR | 0x39);
    /* switching to edge mode drops a stuck remote IRR */
    sq_ioapic_set_line(&m->io, 9, false);
    io_wr(m, low, MASKED | 0x39);
    io_wr(m, low, MASKED | LEVEL | 0x39);
    assert_int_equal(io_rd(m, low), MASKED | LEVEL | 0x39);
}

static void test_ioapic_directed_eoi(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[6];
    const uint32_t low = 0x10 + 9 * 2;

    wr(l, SVR, 0x11ff, 0); /* no EOI broadcast */
    redir(m, 9, 6, LEVEL | 0x39);
    redir(m, 10, 6, LEVEL | 0x3a);
    sq_ioapic_set_line(&m->io, 9, true);
    assert_int_equal(serve(l), 0x39);
    assert_int_equal(io_rd(m, low), LEVEL | REMOTE_IRR | 0x39);
    assert_int_equal(serve(l), -1);
    sq_ioapic_mmio_write(&m->io, 0x40, 0x3a); /* not ours */
    assert_int_equal(serve(l), -1);
    sq_ioapic_mmio_write(&m->io, 0x40, 0x39);
    assert_int_equal(serve(l), 0x39);
}

static void test_ioapic_not_accepted(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[6];
    const uint32_t low = 0x10 + 9 * 2;

    wr(l, SVR, 0xff, 0);
    redir(m, 9, 6, LEVEL | 0x39);
    sq_ioapic_set_line(&m->io, 9, true);
    assert_int_equal(io_rd(m, low), LEVEL | PENDING | 0x39);
    wr(l, SVR, 0x1ff, 0); /* now it can */
    assert_int_equal(io_rd(m, low), LEVEL | REMOTE_IRR | 0x39);
    assert_int_equal(take(l), 0x39);

    /* two pins with one vector: one EOI completes both */
    redir(m, 11, 6, LEVEL | 0x39);
    sq_ioapic_set_line(&m->io, 11, true);
    sq_ioapic_set_line(&m->io, 9, false);
    sq_lapic_eoi(l);
    assert_int_equal(io_rd(m, low), LEVEL | 0x39);
    assert_int_equal(io_rd(m, 0x10 + 22), LEVEL | REMOTE_IRR | 0x39);
    assert_int_equal(take(l), 0x39);
}

static void test_ioapic_save_load(void **state)
{
    struct machine *m = *state;
    struct sq_ioapic_state saved;

    redir(m, 9, 6, LEVEL | 0x39);
    redir(m, 10, 7, LEVEL | 0x3a);
    sq_ioapic_set_line(&m->io, 9, true);
    assert_int_equal(serve(&m->cpu[6]), 0x39); /* and asserts again */
    sq_ioapic_save(&m->io, &saved);
    assert_int_equal(saved.lines, 1u << 9);

    sq_ioapic_reset(&m->io);
    assert_int_equal(serve(&m->cpu[6]), 0x39);
    saved.lines |= 1u << 10 | 1u << 30; /* rose while nobody looked */
    saved.select = 0xffffff01;
    saved.id = 0xffffffff;
    saved.redir[3] = ~0ull;
    sq_ioapic_load(&m->io, &saved);
    assert_int_equal(sq_ioapic_mmio_read(&m->io, 0), 1);
    assert_int_equal(io_rd(m, 0), 0x0f000000);
    assert_int_equal(io_rd(m, 0x16), 0x1afff);
    assert_int_equal(io_rd(m, 0x22), LEVEL | REMOTE_IRR | 0x39);
    assert_int_equal(serve(&m->cpu[6]), -1); /* was delivered before */
    assert_int_equal(take(&m->cpu[7]), 0x3a);
    sq_ioapic_save(&m->io, &saved);
    assert_int_equal(saved.lines, 1u << 9 | 1u << 10);
}

/* ---- MSI ---- */

static void test_msi_decode(void **state)
{
    struct sq_apic_msg msg;

    (void)state;
    assert_int_equal(sq_apic_bus_msi_decode(0xfee12000, 0x41, &msg), 0);
    assert_int_equal(msg.dest, 0x12);
    assert_int_equal(msg.vector, 0x41);
    assert_int_equal(msg.delivery, SQ_APIC_FIXED);
    assert_false(msg.logical || msg.level || msg.wide);
    assert_int_equal(sq_apic_bus_msi_decode(0xfeeff00c, 0xc441, &msg), 0);
    assert_int_equal(msg.dest, 0xff);
    assert_true(msg.logical && msg.level);
    assert_int_equal(msg.delivery, SQ_APIC_NMI);
    assert_int_equal(sq_apic_bus_msi_decode(0xfee0000c, 0x41, &msg), 0);
    assert_int_equal(msg.delivery, SQ_APIC_LOWEST);
    assert_int_equal(sq_apic_bus_msi_decode(0xfef00000, 0x41, &msg), -1);
    assert_int_equal(sq_apic_bus_msi_decode(0x1fee00000, 0x41, &msg), -1);
    assert_int_equal(sq_apic_bus_msi_decode(0, 0x41, &msg), -1);
}

static void test_msi(void **state)
{
    struct machine *m = *state;

    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfee27000, 0x41), 1);
    assert_int_equal(who_got(m, 0x41), 1ull << 39);
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfeeff000, 0x41), CPUS);
    assert_int_equal(who_got(m, 0x41), ALL_CPUS);
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfee80000, 0x41), 0);
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfec00000, 0x41), -1);
    for (uint32_t i = 0; i < 8; i++)
        wr(&m->cpu[i], LDR, 1u << (24 + i), 0);
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfee0c004, 0x41), 2);
    assert_int_equal(who_got(m, 0x41), 0x0c);
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfee0c00c, 0x41), 1);
    assert_int_equal(__builtin_popcountll(who_got(m, 0x41)), 1);

    /* level: TMR follows; a de-assert is nothing */
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfee01000, 0x8041), 0);
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfee01000, 0xc041), 1);
    assert_int_equal(rd(&m->cpu[1], TMR + 0x20, 0), 1u << 1);
    assert_int_equal(serve(&m->cpu[1]), 0x41);
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfee01000, 0x41), 1);
    assert_int_equal(rd(&m->cpu[1], TMR + 0x20, 0), 0);
    assert_int_equal(serve(&m->cpu[1]), 0x41);

    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfee01000, 0x0400), 1);
    assert_true(sq_lapic_take_nmi(&m->cpu[1]));
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfee01000, 0x0641), 0);
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfee01000, 0x0741), 0);
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfee01000, 0x000f), 0);
    wr(&m->cpu[1], ESR, 0, 0);
    assert_int_equal(rd(&m->cpu[1], ESR, 0), 0x40);

    /* an x2APIC receiver: cluster 0 is within reach of eight bits */
    enter_x2(&m->cpu[3]);
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfee08004, 0x41), 1);
    assert_int_equal(serve(&m->cpu[3]), 0x41);
    assert_int_equal(sq_apic_bus_msi(&m->bus, 0xfeeff000, 0x41), CPUS);
}

/* ---- threads ---- */

#define ROUNDS 20000u

static void *post_from_thread(void *arg)
{
    struct machine *m = arg;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        sq_apic_bus_msi(&m->bus, 0xfee01000, 0x20 + i % 0xe0);
        sq_ioapic_set_line(&m->io, 7, true);
        if (i % 64 == 0)
            sq_lapic_post_nmi(&m->cpu[1]);
    }
    /* the last word: it must arrive whatever happened before */
    sq_apic_bus_msi(&m->bus, 0xfee01000, 0xff);
    return NULL;
}

static void test_threads(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[1];
    pthread_t threads[2];
    uint32_t lasts = 0;
    uint32_t levels = 0;
    bool joined = false;

    redir(m, 7, 1, LEVEL | 0x1f);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, post_from_thread, m), 0);
    for (;;) {
        int vector = take(l);

        if (vector == 0xff)
            lasts++;
        if (vector == 0x1f) {
            levels++;
            sq_ioapic_set_line(&m->io, 7, false);
        }
        if (vector >= 0) {
            sq_lapic_eoi(l);
            continue;
        }
        sq_lapic_take_nmi(l);
        if (joined)
            break;
        if (lasts) { /* then drain what is left */
            for (int i = 0; i < 2; i++)
                pthread_join(threads[i], NULL);
            joined = true;
        }
    }
    assert_true(lasts > 0);
    assert_true(levels > 0);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(rd(l, IRR + i * 16, 0), 0);
    assert_int_equal(sq_lapic_events(l) & SQ_LAPIC_EV_IRR, 0);
    assert_int_equal(io_rd(m, 0x1e) & REMOTE_IRR, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ipi_physical),
        TEST(test_ipi_shorthands),
        TEST(test_ipi_logical_flat),
        TEST(test_ipi_logical_cluster),
        TEST(test_ipi_x2),
        TEST(test_wide_ids),
        TEST(test_lowest_priority),
        TEST(test_init_sipi),
        TEST(test_ioapic_registers),
        TEST(test_ioapic_edge),
        TEST(test_ioapic_level),
        TEST(test_ioapic_directed_eoi),
        TEST(test_ioapic_not_accepted),
        TEST(test_ioapic_save_load),
        TEST(test_msi_decode),
        TEST(test_msi),
        TEST(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

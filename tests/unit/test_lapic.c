/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC: registers, timer, x2APIC, its state out and in. */
#include "apic_machine.h"

/* ---- local APIC basics ---- */

static void test_init_checks(void **state)
{
    struct machine *m = *state;
    struct sq_lapic extra;
    struct sq_ioapic io;
    struct squib_error err = {0};
    struct sq_lapic_config config = {
        .id = 77, .vcpu_index = 3, .phys_bits = 46};

    assert_int_equal(sq_lapic_init(&extra, &m->bus, &config, &err),
                     SQUIB_E_INVAL);
    assert_non_null(strstr(err.text, "slot 3"));
    config.vcpu_index = SQ_APIC_MAX_VCPUS;
    assert_int_equal(sq_lapic_init(&extra, &m->bus, &config, &err),
                     SQUIB_E_INVAL);
    config.vcpu_index = 50;
    config.phys_bits = 64;
    assert_int_equal(sq_lapic_init(&extra, &m->bus, &config, &err),
                     SQUIB_E_INVAL);
    assert_int_equal(sq_ioapic_init(&io, &m->bus, &err), SQUIB_E_STATE);
}

static void test_power_up(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[5];
    uint64_t gpa;

    sq_lapic_reset(l, SQ_LAPIC_POWER_UP);
    assert_int_equal(rdmsr(l, SQ_LAPIC_MSR_BASE), BASE_XAPIC);
    assert_int_equal(rdmsr(&m->cpu[0], SQ_LAPIC_MSR_BASE),
                     BASE_XAPIC | SQ_LAPIC_BASE_BSP);
    assert_true(sq_lapic_mmio_gpa(l, &gpa));
    assert_int_equal(gpa, 0xfee00000);
    assert_int_equal(rd(l, 0x20, 0), 5u << 24);
    assert_int_equal(rd(l, 0x30, 0), 0x01050014);
    assert_int_equal(rd(l, SVR, 0), 0xff);
    assert_int_equal(rd(l, DFR, 0), 0xffffffff);
    assert_int_equal(rd(l, LDR, 0), 0);
    for (uint32_t reg = LVT_TIMER; reg <= LVT_ERROR; reg += 16)
        assert_int_equal(rd(l, reg, 0), 0x10000);
    assert_false(sq_lapic_post(l, 0x40, false)); /* software disabled */
    assert_int_equal(sq_lapic_events(l), 0);
}

static void test_priorities(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[1];

    assert_int_equal(sq_lapic_pending_vector(l), -1);
    assert_true(sq_lapic_post(l, 0x41, false));
    assert_true(sq_lapic_post(l, 0x9f, false));
    assert_true(sq_lapic_post(l, 0x45, false));
    assert_int_equal(m->wakes[1], 3);
    assert_true(sq_lapic_post(l, 0x45, false)); /* coalesced: no wake */
    assert_int_equal(m->wakes[1], 3);
    assert_int_equal(rd(l, IRR + 0x20, 0), 1u << 1 | 1u << 5);
    assert_int_equal(rd(l, IRR + 0x40, 0), 1u << 31);

    assert_int_equal(take(l), 0x9f);
    assert_int_equal(rd(l, ISR + 0x40, 0), 1u << 31);
    assert_int_equal(rd(l, IRR + 0x40, 0), 0);
    assert_int_equal(rd(l, PPR, 0), 0x90);
    assert_int_equal(sq_lapic_pending_vector(l), -1);

    sq_lapic_post(l, 0x91, false); /* same class: waits */
    assert_int_equal(sq_lapic_pending_vector(l), -1);
    sq_lapic_post(l, 0xa0, false); /* higher class: nests */
    assert_int_equal(take(l), 0xa0);
    assert_int_equal(rd(l, PPR, 0), 0xa0);

    wr(l, EOI, 0, 0); /* completes 0xa0, the highest */
    assert_int_equal(rd(l, ISR + 0x50, 0), 0);
    assert_int_equal(rd(l, PPR, 0), 0x90);
    wr(l, EOI, 123, 0);
    assert_int_equal(rd(l, PPR, 0), 0);
    assert_int_equal(take(l), 0x91);
    wr(l, EOI, 0, 0);
    assert_int_equal(serve(l), 0x45);
    assert_int_equal(serve(l), 0x41);
    assert_int_equal(serve(l), -1);
    wr(l, EOI, 0, 0); /* nothing in service */
    assert_int_equal(rd(l, PPR, 0), 0);
    assert_int_equal(sq_lapic_events(l), 0);
}

static void test_tpr_and_spurious(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[1];

    sq_lapic_post(l, 0x5a, false);
    wr(l, TPR, 0x53, 0);
    assert_int_equal(rd(l, PPR, 0), 0x53);
    assert_int_equal(sq_lapic_cr8(l), 5);
    assert_int_equal(sq_lapic_pending_vector(l), -1);
    /* Raised between seeing and taking: the spurious vector, no ISR bit. */
    assert_int_equal(sq_lapic_accept(l, 0x5a), 0xff);
    assert_int_equal(rd(l, ISR + 0x20, 0), 0);
    assert_int_equal(sq_lapic_set_cr8(l, 4), 0);
    assert_int_equal(rd(l, TPR, 0), 0x40);
    assert_int_equal(take(l), 0x5a);
    assert_int_equal(sq_lapic_accept(l, 0x5a), 0xff);

    /* PPR: the higher class wins; on a tie TPR shows in full. */
    assert_int_equal(rd(l, PPR, 0), 0x50);
    wr(l, TPR, 0x57, 0);
    assert_int_equal(rd(l, PPR, 0), 0x57);
    wr(l, TPR, 0xff, 0);
    assert_int_equal(rd(l, PPR, 0), 0xff);
    sq_lapic_post(l, 0xff, false);
    assert_int_equal(sq_lapic_pending_vector(l), -1);
    assert_int_equal(sq_lapic_set_cr8(l, 16), -1);
    assert_int_equal(sq_lapic_cr8(l), 15);
    wr(l, TPR, 0xfffffe0fu, 0); /* only eight bits exist */
    assert_int_equal(rd(l, TPR, 0), 0x0f);
    assert_int_equal(take(l), 0xff);
}

static void test_software_disable(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[2];

    wr(l, LVT_LINT0, 0x00700, 0);
    assert_int_equal(rd(l, LVT_LINT0, 0), 0x00700);
    sq_lapic_post(l, 0x60, false);
    wr(l, SVR, 0x0e3, 0);
    assert_int_equal(rd(l, LVT_LINT0, 0), 0x10700); /* all masked */
    wr(l, LVT_LINT0, 0x00700, 0);
    assert_int_equal(rd(l, LVT_LINT0, 0), 0x10700); /* and stay so */
    assert_false(sq_lapic_post(l, 0x70, false));
    assert_true(sq_lapic_post_nmi(l));
    assert_int_equal(serve(l), 0x60); /* what is held must be handled */
    assert_int_equal(serve(l), -1);
    wr(l, SVR, 0xffffffff, 0);
    assert_int_equal(rd(l, SVR, 0), 0x13ff);
    wr(l, LVT_LINT0, 0xffffffff, 0);
    assert_int_equal(rd(l, LVT_LINT0, 0), 0x1a7ff);
    wr(l, LVT_TIMER, 0xffffffff, 0);
    assert_int_equal(rd(l, LVT_TIMER, 0), 0x700ff);
}

static void test_errors(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[1];

    wr(l, LVT_ERROR, 0xfe, 0);
    wr(l, ICR, 0x4000 | 1u << 18 | 3, 0); /* self, vector 3 */
    assert_int_equal(rd(l, ESR, 0), 0);   /* visible after a write */
    assert_int_equal(serve(l), 0xfe);
    assert_int_equal(serve(l), -1);
    assert_false(sq_lapic_post(l, 15, false));
    assert_int_equal(serve(l), -1); /* not rearmed yet */
    wr(l, ESR, 0, 0);
    assert_int_equal(rd(l, ESR, 0), 0x60);
    rd(l, 0x3f0, 0); /* SELF IPI does not exist in xAPIC mode */
    assert_int_equal(serve(l), 0xfe);
    wr(l, ESR, 0, 0);
    assert_int_equal(rd(l, ESR, 0), 0x80);
    wr(l, ESR, 0, 0);
    assert_int_equal(rd(l, ESR, 0), 0);

    wr(l, LVT_ERROR, 0x3, 0); /* an illegal error vector does not recurse */
    wr(l, 0x40, 1, 0);
    assert_int_equal(serve(l), -1);
    wr(l, ESR, 0, 0);
    assert_int_equal(rd(l, ESR, 0), 0xc0);
    assert_int_equal(serve(l), -1);

    /* Misaligned accesses and read-only registers have no effect. */
    assert_int_equal(rd(l, SVR + 4, 0), 0);
    wr(l, SVR + 1, 0, 0);
    wr(l, 0x20, 0, 0);
    wr(l, PPR, 0x55, 0);
    assert_int_equal(rd(l, SVR, 0), 0x1ff);
    assert_int_equal(rd(l, 0x20, 0), 1u << 24);
    assert_int_equal(rd(l, EOI, 0), 0);
    wr(l, ESR, 0, 0);
    assert_int_equal(rd(l, ESR, 0), 0);
}

/* ---- timer ---- */

static void test_timer_one_shot(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[1];
    uint64_t t = 1000000;

    assert_int_equal(sq_lapic_next_deadline_ns(l), NEVER);
    wr(l, LVT_TIMER, 0x31, t);
    wr(l, DIVIDE, 0xb, t); /* by 1 */
    wr(l, INITIAL, 1000, t);
    assert_int_equal(sq_lapic_next_deadline_ns(l), t + 1000);
    assert_int_equal(rd(l, CURRENT, t), 1000);
    assert_int_equal(rd(l, CURRENT, t + 1), 999);
    assert_int_equal(rd(l, CURRENT, t + 999), 1);
    assert_int_equal(rd(l, CURRENT, t - 50), 1000); /* never negative */
    sq_lapic_tick(l, t + 999);
    assert_int_equal(serve(l), -1);
    sq_lapic_tick(l, t + 1000);
    assert_int_equal(serve(l), 0x31);
    assert_int_equal(rd(l, CURRENT, t + 1000), 0);
    assert_int_equal(rd(l, CURRENT, t + 5000), 0);
    assert_int_equal(rd(l, INITIAL, t), 1000);
    assert_int_equal(sq_lapic_next_deadline_ns(l), NEVER);
    sq_lapic_tick(l, t + 100000);
    assert_int_equal(serve(l), -1);

    wr(l, INITIAL, 1000, t);
    wr(l, INITIAL, 0, t + 10); /* stops */
    assert_int_equal(rd(l, CURRENT, t + 10), 0);
    assert_int_equal(sq_lapic_next_deadline_ns(l), NEVER);

    wr(l, INITIAL, 0xffffffff, NEVER - 5); /* saturates, does not wrap */
    assert_int_equal(sq_lapic_next_deadline_ns(l), NEVER);
}

static void test_timer_divide(void **state)
{
    static const struct {
        uint32_t code;
        uint32_t by;
    } rows[] = {{0x0, 2},  {0x1, 4},  {0x2, 8},   {0x3, 16},
                {0x8, 32}, {0x9, 64}, {0xa, 128}, {0xb, 1}};
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[1];
    uint64_t t = 777;

    wr(l, LVT_TIMER, 0x31, t);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        wr(l, DIVIDE, rows[i].code | 0xfffffff4, t);
        assert_int_equal(rd(l, DIVIDE, t), rows[i].code);
        wr(l, INITIAL, 0xffffffff, t);
        assert_int_equal(sq_lapic_next_deadline_ns(l),
                         t + 0xffffffffull * rows[i].by);
        assert_int_equal(rd(l, CURRENT, t + 10 * rows[i].by),
                         0xffffffff - 10);
        assert_int_equal(rd(l, CURRENT, t + 11 * rows[i].by - 1),
                         0xffffffff - 10);
    }

    /* Changing the divider while counting keeps the count. */
    wr(l, DIVIDE, 0xb, t);
    wr(l, INITIAL, 1000, t);
    wr(l, DIVIDE, 0x0, t + 400);
    assert_int_equal(rd(l, CURRENT, t + 400), 600);
    assert_int_equal(rd(l, CURRENT, t + 500), 550);
    assert_int_equal(sq_lapic_next_deadline_ns(l), t + 400 + 1200);
}

static void test_timer_periodic(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[1];
    uint64_t t = 5000;

    wr(l, DIVIDE, 0xb, t);
    wr(l, LVT_TIMER, 0x20032, t);
    wr(l, INITIAL, 100000, t);
    for (int i = 1; i <= 5; i++) {
        uint64_t due = t + 100000u * (unsigned)i;

        assert_int_equal(sq_lapic_next_deadline_ns(l), due);
        sq_lapic_tick(l, due - 1);
        assert_int_equal(serve(l), -1);
        sq_lapic_tick(l, due + 7); /* late: the phase is kept */
        assert_int_equal(serve(l), 0x32);
        assert_int_equal(rd(l, CURRENT, due + 10), 99990);
    }
    /* Three periods missed: one interrupt. */
    sq_lapic_tick(l, t + 850000);
    assert_int_equal(serve(l), 0x32);
    sq_lapic_tick(l, t + 850001);
    assert_int_equal(serve(l), -1);
    assert_int_equal(sq_lapic_next_deadline_ns(l), t + 900000);
    assert_int_equal(rd(l, CURRENT, t + 860000), 40000);

    /* To one-shot while counting: runs out once. */
    wr(l, LVT_TIMER, 0x32, t + 860000);
    assert_int_equal(rd(l, CURRENT, t + 860000), 40000);
    sq_lapic_tick(l, t + 900000);
    assert_int_equal(serve(l), 0x32);
    assert_int_equal(sq_lapic_next_deadline_ns(l), NEVER);

    /* A period of 1 ns must not let the thread spin. */
    wr(l, LVT_TIMER, 0x20032, t);
    wr(l, INITIAL, 1, t);
    sq_lapic_tick(l, t + 1);
    assert_int_equal(serve(l), 0x32);
    assert_true(sq_lapic_next_deadline_ns(l) >= t + 10000);
    assert_int_equal(rd(l, CURRENT, t + 5), 1);
}

static void test_timer_masked(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[1];

    wr(l, DIVIDE, 0xb, 0);
    wr(l, LVT_TIMER, 0x10033, 0);
    wr(l, INITIAL, 1000, 0);
    assert_int_equal(sq_lapic_next_deadline_ns(l), NEVER);
    assert_int_equal(rd(l, CURRENT, 400), 600); /* but it counts */
    wr(l, LVT_TIMER, 0x33, 500);
    assert_int_equal(sq_lapic_next_deadline_ns(l), 1000);
    wr(l, LVT_TIMER, 0x10033, 600);
    wr(l, LVT_TIMER, 0x33, 2000); /* expired while masked: lost */
    assert_int_equal(serve(l), -1);
    assert_int_equal(sq_lapic_next_deadline_ns(l), NEVER);

    /* An expiry before the mask is set still counts. */
    wr(l, INITIAL, 1000, 3000);
    wr(l, LVT_TIMER, 0x10033, 4000);
    assert_int_equal(serve(l), 0x33);

    /* Mode 3 is reserved: nothing runs, nothing breaks. */
    wr(l, LVT_TIMER, 0x60033, 5000);
    wr(l, INITIAL, 10, 5000);
    assert_int_equal(rd(l, CURRENT, 5001), 0);
    sq_lapic_tick(l, 6000);
    assert_int_equal(serve(l), -1);
}

static void test_tsc_deadline(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[1];
    const uint32_t msr = SQ_LAPIC_MSR_TSC_DEADLINE;
    uint64_t value;

    m->tsc_offset = 10000;
    wrmsr(l, msr, 500); /* not in that mode: ignored */
    assert_int_equal(rdmsr(l, msr), 0);

    wr(l, LVT_TIMER, 0x40034, 10000);
    wr(l, INITIAL, 1000, 10000); /* ignored in this mode */
    assert_int_equal(rd(l, CURRENT, 10000), 0);
    assert_int_equal(sq_lapic_msr_write(l, msr, 500, 10100), 0);
    assert_int_equal(sq_lapic_next_deadline_ns(l), 10500);
    assert_int_equal(rdmsr(l, msr), 500);
    sq_lapic_tick(l, 10499);
    assert_int_equal(serve(l), -1);
    sq_lapic_tick(l, 10500);
    assert_int_equal(serve(l), 0x34);
    assert_int_equal(rdmsr(l, msr), 0);
    assert_int_equal(sq_lapic_next_deadline_ns(l), NEVER);

    /* In the past: at once. Zero: disarm. */
    assert_int_equal(sq_lapic_msr_write(l, msr, 100, 20000), 0);
    assert_int_equal(serve(l), 0x34);
    assert_int_equal(sq_lapic_msr_write(l, msr, 30000, 20000), 0);
    assert_int_equal(sq_lapic_msr_write(l, msr, 0, 20000), 0);
    assert_int_equal(sq_lapic_next_deadline_ns(l), NEVER);

    /* The TSC is set forward. */
    assert_int_equal(sq_lapic_msr_write(l, msr, 30000, 20000), 0);
    m->tsc_offset = 5000;
    sq_lapic_tsc_changed(l, 20000);
    assert_int_equal(sq_lapic_next_deadline_ns(l), 35000);
    /* A read after expiry sees it gone. */
    assert_int_equal(sq_lapic_msr_read(l, msr, &value, 35000), 0);
    assert_int_equal(value, 0);
    assert_int_equal(serve(l), 0x34);

    /* Changing the mode disarms. */
    assert_int_equal(sq_lapic_msr_write(l, msr, 90000, 40000), 0);
    wr(l, LVT_TIMER, 0x34, 41000);
    assert_int_equal(sq_lapic_next_deadline_ns(l), NEVER);
    assert_int_equal(rdmsr(l, msr), 0);
}

/* ---- x2APIC ---- */

static void test_base_transitions(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[3];
    const uint32_t msr = SQ_LAPIC_MSR_BASE;
    const uint64_t off = 0xfee00000;
    uint32_t word;
    uint64_t gpa;

    /* reserved bits; EXTD without EN */
    assert_int_equal(try_wrmsr(l, msr, BASE_XAPIC | 1), -1);
    assert_int_equal(try_wrmsr(l, msr, BASE_XAPIC | 1 << 9), -1);
    assert_int_equal(try_wrmsr(l, msr, BASE_XAPIC | 1ull << 46), -1);
    assert_int_equal(try_wrmsr(l, msr, off | SQ_LAPIC_BASE_EXTD), -1);
    assert_int_equal(rdmsr(l, msr), BASE_XAPIC);

    /* the page moves */
    wrmsr(l, msr, 1ull << 45 | SQ_LAPIC_BASE_EN);
    assert_true(sq_lapic_mmio_gpa(l, &gpa));
    assert_int_equal(gpa, 1ull << 45);

    /* xAPIC -> x2APIC; pending state survives */
    wr(l, TPR, 0x20, 0);
    sq_lapic_post(l, 0x77, false);
    wr(l, ICR_HIGH, 0xab000000, 0);
    wrmsr(l, msr, BASE_X2);
    assert_false(sq_lapic_mmio_gpa(l, &gpa));
    assert_int_equal(sq_lapic_mmio_read(l, SVR, &word, 0), -1);
    assert_int_equal(sq_lapic_mmio_write(l, SVR, 0, 0), -1);
    assert_int_equal(rdmsr(l, 0x808), 0x20);
    assert_int_equal(rdmsr(l, 0x830) >> 32, 0);
    assert_int_equal(serve(l), 0x77);

    /* x2APIC -> xAPIC is illegal, -> EXTD only too, -> x2APIC is fine */
    assert_int_equal(try_wrmsr(l, msr, BASE_XAPIC), -1);
    assert_int_equal(try_wrmsr(l, msr, off | SQ_LAPIC_BASE_EXTD), -1);
    wrmsr(l, msr, BASE_X2);

    /* x2APIC -> disabled: nothing gets through, MSRs fault */
    sq_lapic_post(l, 0x66, false);
    wrmsr(l, msr, off);
    assert_int_equal(sq_lapic_pending_vector(l), -1);
    assert_int_equal(try_rdmsr(l, 0x808), -1);
    assert_int_equal(sq_lapic_mmio_read(l, SVR, &word, 0), -1);
    assert_false(sq_lapic_post(l, 0x50, false));
    assert_false(sq_lapic_post_nmi(l));
    assert_false(sq_lapic_post_init(l));
    assert_false(sq_lapic_post_sipi(l, 1));

    /* disabled -> x2APIC is illegal; -> xAPIC powers up afresh */
    assert_int_equal(try_wrmsr(l, msr, BASE_X2), -1);
    wrmsr(l, msr, BASE_XAPIC);
    assert_int_equal(rd(l, SVR, 0), 0xff);
    assert_int_equal(rd(l, TPR, 0), 0);
    assert_int_equal(rd(l, IRR + 0x30, 0), 0);
    assert_int_equal(sq_lapic_pending_vector(l), -1);
}

static void test_x2_registers(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[35];
    static const uint16_t read_only[] = {0x802, 0x803, 0x80a, 0x80d, 0x810,
                                         0x817, 0x818, 0x820, 0x827, 0x839};
    static const uint16_t absent[] = {0x800, 0x801, 0x804, 0x809, 0x80c,
                                      0x80e, 0x829, 0x82f, 0x831, 0x83a,
                                      0x83d, 0x840, 0x8ff, 0x7ff, 0x900};

    assert_int_equal(try_rdmsr(l, 0x802), -1); /* not in x2APIC mode yet */
    assert_int_equal(try_wrmsr(l, 0x808, 0), -1);
    enter_x2(l);
    assert_int_equal(rdmsr(l, 0x802), 35);
    assert_int_equal(rdmsr(l, 0x80d), 2u << 16 | 1u << 3);
    assert_int_equal(rdmsr(l, 0x803), 0x01050014);

    for (size_t i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++) {
        assert_int_equal(try_rdmsr(l, read_only[i]), 0);
        assert_int_equal(try_wrmsr(l, read_only[i], 0), -1);
    }
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        assert_int_equal(try_rdmsr(l, absent[i]), -1);
        assert_int_equal(try_wrmsr(l, absent[i], 0), -1);
    }
    assert_int_equal(try_rdmsr(l, 0x80b), -1); /* write-only */
    assert_int_equal(try_rdmsr(l, 0x83f), -1);

    /* reserved bits */
    assert_int_equal(try_wrmsr(l, 0x808, 0x100), -1);
    assert_int_equal(try_wrmsr(l, 0x808, 1ull << 32), -1);
    assert_int_equal(try_wrmsr(l, 0x80b, 1), -1);
    assert_int_equal(try_wrmsr(l, 0x80f, 0x2000), -1);
    assert_int_equal(try_wrmsr(l, 0x828, 1), -1);
    assert_int_equal(try_wrmsr(l, 0x830, 1u << 12), -1);
    assert_int_equal(try_wrmsr(l, 0x830, 1u << 20), -1);
    assert_int_equal(try_wrmsr(l, 0x832, 1u << 8), -1);
    assert_int_equal(try_wrmsr(l, 0x835, 1u << 17), -1);
    assert_int_equal(try_wrmsr(l, 0x837, 1u << 8), -1);
    assert_int_equal(try_wrmsr(l, 0x838, 1ull << 32), -1);
    assert_int_equal(try_wrmsr(l, 0x83e, 4), -1);
    assert_int_equal(try_wrmsr(l, 0x83f, 0x100), -1);

    /* good ones */
    wrmsr(l, 0x80f, 0x1ff);
    wrmsr(l, 0x828, 0);
    wrmsr(l, 0x835, 0x1700);
    assert_int_equal(rdmsr(l, 0x835), 0x0700);
    wrmsr(l, 0x83e, 0xb);
    wrmsr(l, 0x838, 0xffffffff);
    assert_int_equal(rdmsr(l, 0x838), 0xffffffff);
    wrmsr(l, 0x83f, 0x88);
    assert_int_equal(rdmsr(l, 0x824), 1u << 8);
    assert_int_equal(take(l), 0x88);
    assert_int_equal(rdmsr(l, 0x814), 1u << 8);
    wrmsr(l, 0x80b, 0);
    assert_int_equal(rdmsr(l, 0x814), 0);
    wrmsr(l, 0x83f, 5);
    wrmsr(l, 0x828, 0);
    assert_int_equal(rdmsr(l, 0x828), 0x20);
}

/* ---- export and import ---- */

static uint32_t page_get(const uint8_t *page, uint32_t offset)
{
    uint32_t value;

    memcpy(&value, page + offset, 4);
    return value;
}

static void page_set(uint8_t *page, uint32_t offset, uint32_t value)
{
    memcpy(page + offset, &value, 4);
}

static void test_export_import(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[9];
    uint8_t page[SQ_LAPIC_PAGE_LEN];
    uint8_t again[SQ_LAPIC_PAGE_LEN];
    struct squib_error err = {0};

    wr(l, SVR, 0x11f0, 0);
    wr(l, LDR, 0x40000000, 0);
    wr(l, LVT_LINT0, 0x700, 0);
    wr(l, LVT_ERROR, 0xfe, 0);
    wr(l, DIVIDE, 0x3, 0);
    wr(l, LVT_TIMER, 0x200ec, 0);
    wr(l, INITIAL, 5000, 0);
    sq_lapic_post(l, 0x91, true);
    assert_int_equal(take(l), 0x91);
    wr(l, TPR, 0x33, 0);
    sq_lapic_post(l, 0xa5, false);
    sq_lapic_post(l, 0x44, false);
    wr(l, ICR_HIGH, 0x64000000, 0);
    wr(l, ICR, 0x4040, 0);
    wr(l, 0x3f0, 0, 0); /* an error, reported through its vector */
    sq_lapic_export(l, page, 16 * 2000);

    assert_int_equal(page_get(page, 0x20), 9u << 24);
    assert_int_equal(page_get(page, TPR), 0x33);
    assert_int_equal(page_get(page, PPR), 0x90);
    assert_int_equal(page_get(page, ISR + 0x40), 1u << 17);
    assert_int_equal(page_get(page, TMR + 0x40), 1u << 17);
    assert_int_equal(page_get(page, IRR + 0x50), 1u << 5);
    assert_int_equal(page_get(page, IRR + 0x70), 1u << 30);
    assert_int_equal(page_get(page, CURRENT), 3000);
    assert_int_equal(page_get(page, ICR), 0x4040);
    assert_int_equal(page_get(page, ICR_HIGH), 0x64000000);

    sq_lapic_reset(l, SQ_LAPIC_POWER_UP);
    m->wakes[9] = 0;
    assert_int_equal(sq_lapic_import(l, page, 7000000, &err), 0);
    assert_true(m->wakes[9] > 0);
    sq_lapic_export(l, again, 7000000);
    assert_memory_equal(page, again, sizeof(page));
    assert_int_equal(sq_lapic_next_deadline_ns(l), 7000000 + 16 * 3000);
    assert_int_equal(rd(l, CURRENT, 7000000 + 16 * 2999), 1);
    sq_lapic_tick(l, 7000000 + 16 * 3000);
    assert_int_equal(sq_lapic_next_deadline_ns(l), 7000000 + 16 * 8000);
    assert_int_equal(serve(l), 0xfe);
    assert_int_equal(serve(l), 0xec);
    assert_int_equal(serve(l), 0xa5);
    assert_int_equal(serve(l), -1);
    sq_lapic_eoi(l); /* 0x91 */
    assert_int_equal(serve(l), 0x44);
    /* the restored logical ID routes */
    ipi(&m->cpu[0], 0x40, LOGICAL | 0x50);
    assert_int_equal(who_got(m, 0x50), 1u << 9);

    /* time starts below the count: no underflow */
    assert_int_equal(sq_lapic_import(l, page, 10, &err), 0);
    assert_int_equal(rd(l, CURRENT, 10), 3000);
    assert_int_equal(rd(l, CURRENT, 26), 2999);

    page_set(page, 0x20, 8u << 24);
    assert_int_equal(sq_lapic_import(l, page, 0, &err), SQUIB_E_FORMAT);
    assert_int_equal(err.code, SQUIB_E_FORMAT);
}

static void test_export_expired(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[9];
    uint8_t page[SQ_LAPIC_PAGE_LEN];

    /* A one-shot that ran out but was not ticked is not lost. */
    wr(l, LVT_TIMER, 0xec, 0);
    wr(l, INITIAL, 100, 0);
    sq_lapic_export(l, page, 5000);
    sq_lapic_reset(l, SQ_LAPIC_POWER_UP);
    assert_int_equal(sq_lapic_import(l, page, 0, NULL), 0);
    assert_int_equal(serve(l), 0xec);
    assert_int_equal(sq_lapic_next_deadline_ns(l), NEVER);
    assert_int_equal(rd(l, INITIAL, 0), 100);

    /* TSC deadline travels in its MSR */
    wr(l, LVT_TIMER, 0x400ec, 0);
    wrmsr(l, SQ_LAPIC_MSR_TSC_DEADLINE, 12345);
    sq_lapic_export(l, page, 6000);
    assert_int_equal(sq_lapic_import(l, page, 6000, NULL), 0);
    assert_int_equal(sq_lapic_next_deadline_ns(l), NEVER);
    wrmsr(l, SQ_LAPIC_MSR_TSC_DEADLINE, 12345);
    assert_int_equal(sq_lapic_next_deadline_ns(l), 12345);
}

static void test_export_import_x2(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[33];
    uint8_t page[SQ_LAPIC_PAGE_LEN];
    uint8_t again[SQ_LAPIC_PAGE_LEN];
    struct squib_error err = {0};

    enter_x2(l);
    wrmsr(l, 0x830, 0x12345678ull << 32 | 0x55);
    sq_lapic_export(l, page, 0);
    assert_int_equal(page_get(page, 0x20), 33);
    assert_int_equal(page_get(page, LDR), 2u << 16 | 2);
    assert_int_equal(page_get(page, ICR_HIGH), 0x12345678);

    sq_lapic_reset(l, SQ_LAPIC_POWER_UP);
    assert_int_equal(sq_lapic_import(l, page, 0, &err), SQUIB_E_FORMAT);
    assert_int_equal(sq_lapic_set_base(l, 0xfee00400, &err), SQUIB_E_FORMAT);
    assert_int_equal(sq_lapic_set_base(l, BASE_X2, &err), 0);
    assert_int_equal(sq_lapic_import(l, page, 0, &err), 0);
    assert_int_equal(rdmsr(l, 0x830), 0x12345678ull << 32 | 0x55);
    sq_lapic_export(l, again, 0);
    assert_memory_equal(page, again, sizeof(page));

    page_set(page, 0x20, 33u << 24); /* the older format */
    assert_int_equal(sq_lapic_import(l, page, 0, &err), 0);
    assert_int_equal(rdmsr(l, 0x802), 33);
    page_set(page, 0x20, 34);
    assert_int_equal(sq_lapic_import(l, page, 0, &err), SQUIB_E_FORMAT);
}

static void test_import_hostile(void **state)
{
    struct machine *m = *state;
    struct sq_lapic *l = &m->cpu[9];
    uint8_t page[SQ_LAPIC_PAGE_LEN];

    memset(page, 0xff, sizeof(page));
    page_set(page, 0x20, 9u << 24);
    assert_int_equal(sq_lapic_import(l, page, NEVER, NULL), 0);
    assert_int_equal(rd(l, IRR, 0), 0xffff0000); /* no illegal vectors */
    assert_int_equal(rd(l, ISR, 0), 0xffff0000);
    assert_int_equal(rd(l, ICR, 0), 0xccfff);
    assert_int_equal(sq_lapic_pending_vector(l), -1);
    for (int i = 0; i < 300; i++)
        sq_lapic_eoi(l);
    assert_int_equal(rd(l, PPR, 0), 0xff);
    assert_int_equal(sq_lapic_set_cr8(l, 0), 0);
    assert_int_equal(take(l), 0xff);
}

/* Any value into any register, in any mode, at any time. */
static void test_fuzz(void **state)
{
    struct machine *m = *state;
    uint64_t seed = 0x9e3779b97f4a7c15ull;
    uint64_t now_ns = 0;
    uint8_t page[SQ_LAPIC_PAGE_LEN];

    for (int i = 0; i < 300000; i++) {
        struct sq_lapic *l;
        uint64_t r;
        uint64_t value;
        uint32_t word;
        uint8_t vector;

        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        r = seed >> 8;
        l = &m->cpu[r % 4];
        value = seed * 0x2545f4914f6cdd1dull;
        if (r & 0x100)
            value &= 0xfffff;
        now_ns += (r >> 20) & 0xfff;
        switch (r >> 40 & 15) {
        case 0:
        case 1:
        case 2:
            sq_lapic_mmio_write(l, (r >> 10 & 0x7f) * 16, (uint32_t)value,
                                now_ns);
            break;
        case 3:
            sq_lapic_mmio_read(l, (r >> 10 & 0x7f) * 16, &word, now_ns);
            break;
        case 4:
        case 5:
            sq_lapic_msr_write(l, 0x800 + (r >> 10 & 0x3f), value & 0xfffff,
                               now_ns);
            break;
        case 6:
            sq_lapic_msr_read(l, 0x800 + (r >> 10 & 0x3f), &value, now_ns);
            break;
        case 7:
            sq_lapic_msr_write(l, SQ_LAPIC_MSR_BASE, value & 0xffffff00f00,
                               now_ns);
            break;
        case 8:
            sq_lapic_msr_write(l, SQ_LAPIC_MSR_TSC_DEADLINE, value, now_ns);
            break;
        case 9:
            sq_ioapic_mmio_write(&m->io, 0, (uint32_t)value & 0x4f);
            sq_ioapic_mmio_write(&m->io, 0x10, (uint32_t)(value >> 16));
            break;
        case 10:
            sq_ioapic_set_line(&m->io, value & 31, value >> 5 & 1);
            break;
        case 11:
            sq_apic_bus_msi(&m->bus, 0xfee00000 | (value & 0xfffff),
                            (uint32_t)(value >> 20));
            break;
        case 12:
            sq_lapic_export(l, page, now_ns);
            page[r >> 10 & 0x3ff] ^= (uint8_t)value;
            sq_lapic_import(l, page, now_ns, NULL);
            break;
        case 13:
            if (sq_lapic_take_init(l))
                sq_lapic_reset(l, SQ_LAPIC_INIT);
            sq_lapic_take_sipi(l, &vector);
            sq_lapic_take_nmi(l);
            break;
        default:
            sq_lapic_tick(l, now_ns);
            take(l);
            if (r & 0x200)
                sq_lapic_eoi(l);
            assert_true(sq_lapic_next_deadline_ns(l) > now_ns);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_init_checks),
        TEST(test_power_up),
        TEST(test_priorities),
        TEST(test_tpr_and_spurious),
        TEST(test_software_disable),
        TEST(test_errors),
        TEST(test_timer_one_shot),
        TEST(test_timer_divide),
        TEST(test_timer_periodic),
        TEST(test_timer_masked),
        TEST(test_tsc_deadline),
        TEST(test_base_transitions),
        TEST(test_x2_registers),
        TEST(test_export_import),
        TEST(test_export_expired),
        TEST(test_export_import_x2),
        TEST(test_import_hostile),
        TEST(test_fuzz),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The Hypervisor.framework backend: what ends a run. */
#define _GNU_SOURCE
#include "hvf_machine.h"

#include <unistd.h>

#include "os/clock.h"

/* --- exits --------------------------------------------------------------- */

static void stores(void **state)
{
    static const struct hv_script_exit exits[] = {
        EXC(0x24, ACCESS(0u, 0u, 3u, 0u, 1u)),
        EXC(0x24, ACCESS(1u, 0u, 3u, 0u, 1u)),
        EXC(0x24, ACCESS(2u, 0u, 3u, 0u, 1u)),
        EXC(0x24, ACCESS(3u, 0u, 3u, 1u, 1u)),
        EXC(0x24, ACCESS(3u, 0u, 31u, 1u, 1u)),
    };
    struct machine m;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    m.hv->x[3] = 0x8877665544332211ull;
    for (unsigned i = 0; i < 5; i++) {
        const struct squib_exit *e = expect(&m, SQUIB_EXIT_MMIO);

        assert_true(e->mmio.write);
        assert_int_equal(e->mmio.gpa, MMIO);
        assert_int_equal(e->mmio.len, i < 3 ? 1 << i : 8);
        for (unsigned k = 0; k < 8; k++)
            assert_int_equal(e->mmio.data[k], k < e->mmio.len && i < 4
                                                  ? 0x11 * (k + 1)
                                                  : 0);
        assert_int_equal(m.hv->pc, PC + 4 * (i + 1));
    }
    drop(&m);
}

static void loads(void **state)
{
    static const struct {
        unsigned sas, sse, sf;
        uint64_t want;
    } rows[] = {
        {0, 0, 0, 0x88}, {0, 1, 0, 0xffffff88},
        {0, 1, 1, 0xffffffffffffff88ull}, {1, 0, 0, 0x9988},
        {1, 1, 0, 0xffff9988}, {1, 1, 1, 0xffffffffffff9988ull},
        {2, 0, 0, 0xbbaa9988}, {2, 1, 1, 0xffffffffbbaa9988ull},
        {3, 0, 1, 0xffeeddccbbaa9988ull},
    };
    struct machine m;

    (void)state;
    make(&m, &plain);
    for (size_t i = 0; i < SQ_ARRAY_LEN(rows); i++) {
        const struct hv_script_exit exits[] = {
            EXC(0x24, ACCESS(rows[i].sas, rows[i].sse, 7u, rows[i].sf, 0u)),
            EXC(0x24, ACCESS(rows[i].sas, rows[i].sse, 31u, rows[i].sf,
                             0u)),
            EXC(0x16, 0),
        };
        struct squib_exit *e;

        SCRIPT(exits);
        m.hv->pc = PC;
        m.hv->x[7] = 0x123456789abcdefull;
        for (unsigned k = 0; k < 2; k++) {
            e = expect(&m, SQUIB_EXIT_MMIO);
            assert_false(e->mmio.write);
            assert_int_equal(e->mmio.len, 1 << rows[i].sas);
            for (unsigned n = 0; n < 8; n++)
                e->mmio.data[n] = (uint8_t)(0x88 + 0x11 * n);
        }
        expect(&m, SQUIB_EXIT_HYPERCALL); /* the zero register stays so */
        assert_int_equal(m.hv->x[7], rows[i].want);
        assert_int_equal(m.hv->pc, PC + 12);
    }
    drop(&m);
}

static void calls(void **state)
{
    static const struct hv_script_exit exits[] = {
        EXC(0x16, 0), EXC(0x17, 0), EXC(0x16, 7),
    };
    struct machine m;
    struct squib_exit *e;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    m.hv->x[0] = 0xffffffff84000001ull; /* only W0 counts */
    for (unsigned i = 1; i < 8; i++)
        m.hv->x[i] = 0x1000000000ull + i;
    e = expect(&m, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(e->hypercall.function, 0x84000001);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(e->hypercall.args[i], 0x1000000001ull + i);
    assert_int_equal(m.hv->pc, PC + 4); /* by the hardware */
    e->hypercall.ret = (uint64_t)-1;
    e = expect(&m, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(m.hv->x[0], UINT64_MAX);
    assert_int_equal(e->hypercall.function, UINT32_MAX);
    assert_int_equal(m.hv->pc, PC + 8); /* by the backend */
    e->hypercall.ret = 5;
    expect(&m, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(m.hv->x[0], 5);
    assert_int_equal(m.hv->x[1], 0x1000000001ull);
    assert_int_equal(m.hv->pc, PC + 12);
    drop(&m);
}

static void idle(void **state)
{
    static const struct hv_script_exit exits[] = {
        EXC(0x01, 0), EXC(0x01, 0), EXC(0x01, 0), EXC(0x01, 0), EXC(0x01, 1),
        {.reason = HV_EXIT_REASON_VTIMER_ACTIVATED}, EXC(0x01, 0),
    };
    uint64_t before = sq_now_ns();
    struct machine m;
    uint64_t at;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    /* The timer is off; on but masked. */
    at = expect(&m, SQUIB_EXIT_WFI)->idle.deadline_ns;
    assert_true(at == SQUIB_DEADLINE_NONE);
    m.hv->sys[SQ_HVF_CNTV_CTL_EL0] = 3;
    at = expect(&m, SQUIB_EXIT_WFI)->idle.deadline_ns;
    assert_true(at == SQUIB_DEADLINE_NONE);
    /* 24 million ticks are a second. */
    m.hv->sys[SQ_HVF_CNTV_CTL_EL0] = 1;
    m.hv->sys[SQ_HVF_CNTV_CVAL_EL0] = 24000000000ull + 50;
    hv_script.now += 50;
    at = expect(&m, SQUIB_EXIT_WFI)->idle.deadline_ns;
    assert_true(at >= before + 1000000000000ull &&
                at <= sq_now_ns() + 1000000000000ull);
    m.hv->sys[SQ_HVF_CNTV_CVAL_EL0] = 50; /* now */
    at = expect(&m, SQUIB_EXIT_WFI)->idle.deadline_ns;
    assert_true(at <= sq_now_ns());
    at = expect(&m, SQUIB_EXIT_WFE)->idle.deadline_ns;
    assert_true(at <= sq_now_ns() + 1000000);
    assert_int_equal(m.hv->pc, PC + 20);
    /* The timer's exit is for nobody. */
    m.hv->sys[SQ_HVF_CNTV_CVAL_EL0] = UINT64_MAX;
    at = expect(&m, SQUIB_EXIT_WFI)->idle.deadline_ns;
    assert_true(at > before + 1000000000000ull);
    assert_int_equal(m.hv->pc, PC + 24);
    drop(&m);
}

static void registers_that_trap(void **state)
{
#define SYS(op0, op1, crn, crm, op2, rt, read)                             \
    EXC(0x18, (op0) << 20 | (op2) << 17 | (op1) << 14 | (crn) << 10 |      \
              (rt) << 5 | (crm) << 1 | (read))
    static const struct hv_script_exit exits[] = {
        SYS(2, 0, 1, 1, 4, 5, 1),  /* mrs x5, oslsr_el1 */
        SYS(2, 0, 1, 0, 4, 5, 0),  /* msr oslar_el1, x5 */
        SYS(3, 3, 14, 0, 1, 6, 1), /* mrs x6, cntpct_el0 */
        SYS(2, 0, 1, 1, 4, 31, 1), /* mrs xzr, oslsr_el1 */
        EXC(0x16, 0),
        SYS(3, 7, 15, 15, 7, 8, 1), /* no such register */
        EXC(0x16, 0),
    };
    struct machine m;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    m.hv->sys[SQ_HVF_VBAR_EL1] = 0x90000;
    m.hv->sys[SQ_HVF_SCTLR_EL1] = 1u << 23;
    m.hv->x[8] = 88;
    expect(&m, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(m.hv->x[5], 8);
    assert_int_equal(m.hv->x[6], hv_script.now);
    assert_int_equal(m.hv->pc, PC + 20);
    expect(&m, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(m.hv->x[8], 88);
    assert_int_equal(m.hv->pc, 0x90200 + 4); /* and the HVC there */
    assert_int_equal(m.hv->sys[SQ_HVF_ELR_EL1], PC + 20);
    assert_int_equal(m.hv->sys[SQ_HVF_SPSR_EL1], 0x3c5);
    assert_int_equal(m.hv->sys[SQ_HVF_ESR_EL1], 0x02000000);
    drop(&m);
}

static void aborts_for_the_guest(void **state)
{
    static const struct hv_script_exit exits[] = {
        EXC(0x20, 0x07),                      /* code in no memory */
        EXC(0x24, 1u << 6 | 0x07),            /* stp: no syndrome */
        EXC(0x24, 1u << 7 | 0x07),            /* a page table in no memory */
        EXC(0x24, ACCESS(2u, 0u, 1u, 0u, 1u) - 0x07 + 0x35), /* stxr */
        EXC(0x24, 1u << 8 | 1u << 6 | 0x07),  /* dc civac: nothing to do */
        EXC(0x16, 0),
    };
    struct machine m;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    m.hv->sys[SQ_HVF_VBAR_EL1] = 0x90000;
    expect(&m, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(m.hv->pc, 0x90200 + 8);
    assert_int_equal(m.hv->sys[SQ_HVF_FAR_EL1], 0xffff000009000004ull);
    assert_int_equal(m.hv->sys[SQ_HVF_ESR_EL1], ESR(0x25, 0x50));
    drop(&m);
}

static void code_in_no_memory(void **state)
{
    static const struct hv_script_exit exits[] = {
        EXC(0x20, 0x07), EXC(0x20, 0x07), EXC(0x16, 0),
    };
    struct machine m;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    /* The vectors are in no memory either: it would go round for ever. */
    assert_true(expect(&m, SQUIB_EXIT_SHUTDOWN)->shutdown.fault);
    assert_int_equal(m.hv->runs, 2);
    drop(&m);
}

#define MDSCR_SS 1u
#define PSTATE_SS (1u << 21)

/* What nobody asked for is the guest's: as an exception from its own level,
 * or from EL0. */
static void debug_of_the_guest(void **state)
{
    static const struct hv_script_exit exits[] = {
        EXC(0x3c, 5), EXC(0x16, 0), EXC(0x34, 0x22), EXC(0x16, 0),
        EXC(0x32, 0x22), EXC(0x16, 0),
    };
    struct machine m;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    m.hv->sys[SQ_HVF_VBAR_EL1] = 0x90000;
    assert_int_equal(squib_vcpu_debug(m.vcpu, SQUIB_DEBUG_STEP, &m.err), 0);
    expect(&m, SQUIB_EXIT_HYPERCALL); /* BRK was not asked for */
    assert_int_equal(m.hv->pc, 0x90200 + 4);
    assert_int_equal(m.hv->sys[SQ_HVF_ELR_EL1], PC);
    assert_int_equal(m.hv->sys[SQ_HVF_ESR_EL1], ESR(0x3c, 5));
    assert_int_equal(squib_vcpu_debug(m.vcpu, 0, &m.err), 0);
    expect(&m, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(m.hv->sys[SQ_HVF_ESR_EL1], ESR(0x35, 0x22));
    assert_int_equal(m.hv->sys[SQ_HVF_FAR_EL1], 0xffff000009000004ull);
    m.hv->cpsr = 0; /* EL0 */
    expect(&m, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(m.hv->pc, 0x90400 + 4);
    assert_int_equal(m.hv->sys[SQ_HVF_ESR_EL1], ESR(0x32, 0x22));
    drop(&m);
}

static void debug_exits(void **state)
{
    static const struct hv_script_exit exits[] = {
        EXC(0x3c, 5), EXC(0x32, 0x22), EXC(0x33, 0x22),
    };
    struct machine m;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    assert_int_equal(squib_vcpu_debug(m.vcpu, SQUIB_DEBUG_STEP |
                                                  SQUIB_DEBUG_BREAK,
                                      &m.err), 0);
    assert_true(m.hv->trap_debug);
    for (size_t i = 0; i < SQ_ARRAY_LEN(exits); i++) {
        const struct squib_exit *e = expect(&m, SQUIB_EXIT_DEBUG);

        assert_int_equal(e->debug.pc, PC);
        assert_int_equal(e->debug.syndrome, exits[i].syndrome);
        assert_true(m.hv->cpsr & PSTATE_SS);
    }
    assert_int_equal(squib_vcpu_debug(m.vcpu, SQUIB_DEBUG_BREAK, &m.err), 0);
    assert_true(m.hv->trap_debug);
    assert_int_equal(m.hv->sys[SQ_HVF_MDSCR_EL1] & MDSCR_SS, 0);
    assert_int_equal(m.hv->cpsr & PSTATE_SS, 0);
    assert_int_equal(squib_vcpu_debug(m.vcpu, 0, &m.err), 0);
    assert_false(m.hv->trap_debug);
    drop(&m);
}

/* An instruction that the backend completes is a step like any other. */
static void debug_steps(void **state)
{
    static const struct hv_script_exit exits[] = {
        EXC(0x24, ACCESS(2u, 0u, 1u, 0u, 1u)), /* a store to a device */
        CANCELED,
        EXC(0x32, 0x22),
        EXC(0x18, 2u << 20 | 4u << 17 | 1u << 10 | 5u << 5 | 1u << 1 | 1),
        EXC(0x32, 0x22),
    };
    struct machine m;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    m.hv->sys[SQ_HVF_MDSCR_EL1] = MDSCR_SS | 0x1000; /* the guest's */
    assert_int_equal(squib_vcpu_debug(m.vcpu, SQUIB_DEBUG_STEP, &m.err), 0);
    expect(&m, SQUIB_EXIT_MMIO);
    assert_int_equal(m.hv->cpsr & PSTATE_SS, 0); /* it was done */
    expect(&m, SQUIB_EXIT_DEBUG);
    assert_int_equal(m.hv->cpsr & PSTATE_SS, 0);
    assert_int_equal(m.hv->pc, PC + 4);
    expect(&m, SQUIB_EXIT_DEBUG); /* after mrs x5, oslsr_el1 */
    assert_int_equal(m.hv->pc, PC + 8);
    assert_int_equal(m.hv->x[5], 8);
    assert_int_equal(squib_vcpu_debug(m.vcpu, 0, &m.err), 0);
    assert_int_equal(m.hv->sys[SQ_HVF_MDSCR_EL1], MDSCR_SS | 0x1000);
    hv_script.fail = "hv_vcpu_set_trap_debug_exceptions";
    hv_script.fail_rc = HV_UNSUPPORTED;
    assert_true(squib_vcpu_debug(m.vcpu, SQUIB_DEBUG_BREAK, &m.err) < 0);
    assert_non_null(strstr(m.err.text, "debugging a vCPU"));
    drop(&m);
}

static void internal_errors(void **state)
{
    static const struct hv_script_exit exits[] = {
        {.reason = HV_EXIT_REASON_UNKNOWN}, {.reason = 77}, EXC(0x3f, 0),
        EXC(0x24, 0x10), EXC(0x20, 0x10),
    };
    struct machine m;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    for (size_t i = 0; i < SQ_ARRAY_LEN(exits); i++)
        assert_non_null(strstr(expect(&m, SQUIB_EXIT_INTERNAL_ERROR)
                                   ->internal_error.text,
                               "Hypervisor.framework"));
    hv_script.fail = "hv_vcpu_run";
    hv_script.fail_rc = HV_ILLEGAL_GUEST_STATE;
    assert_int_equal(expect(&m, SQUIB_EXIT_INTERNAL_ERROR)
                         ->internal_error.detail[0],
                     (uint32_t)HV_ILLEGAL_GUEST_STATE);
    drop(&m);
}

static void registers_that_fail(void **state)
{
    static const struct hv_script_exit exits[] = {
        EXC(0x24, ACCESS(2u, 0u, 1u, 0u, 0u)),
        EXC(0x16, 0),
    };
    struct machine m;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    hv_script.fail = "hv_vcpu_set_reg";
    hv_script.fail_rc = HV_ERROR;
    assert_int_equal(expect(&m, SQUIB_EXIT_INTERNAL_ERROR)
                         ->internal_error.detail[0],
                     (uint32_t)HV_ERROR);
    hv_script.fail = NULL;
    expect(&m, SQUIB_EXIT_HYPERCALL); /* and it lives on */
    drop(&m);
}

/* --- cancel -------------------------------------------------------------- */

static void cancel_before_run(void **state)
{
    static const struct hv_script_exit exits[] = {
        EXC(0x16, 0), CANCELED, EXC(0x17, 0),
    };
    struct machine m;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    squib_vcpu_cancel(m.vcpu);
    squib_vcpu_cancel(m.vcpu);
    squib_vcpu_park(m.vcpu, SQUIB_DEADLINE_NONE); /* does not sleep */
    expect(&m, SQUIB_EXIT_CANCELED);
    assert_int_equal(m.hv->runs, 0);
    expect(&m, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(m.hv->runs, 2); /* one round for the late request */
    /* CANCELED of the framework that nobody asked for: run on. */
    expect(&m, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(m.hv->runs, 4);
    drop(&m);
}

static void *cancel_later(void *arg)
{
    usleep(20000);
    squib_vcpu_cancel(arg);
    return NULL;
}

static void cancel_during_run(void **state)
{
    static const struct hv_script_exit exits[] = {
        EXC(0x24, ACCESS(2u, 0u, 1u, 0u, 0u)), {.wait = true}, EXC(0x16, 0),
    };
    struct squib_exit *e;
    pthread_t thread;
    struct machine m;

    (void)state;
    make(&m, &plain);
    SCRIPT(exits);
    e = expect(&m, SQUIB_EXIT_MMIO);
    e->mmio.data[0] = 0x5a;
    assert_int_equal(pthread_create(&thread, NULL, cancel_later, m.vcpu), 0);
    expect(&m, SQUIB_EXIT_CANCELED);
    pthread_join(thread, NULL);
    assert_int_equal(m.hv->x[1], 0x5a); /* the load was completed */
    expect(&m, SQUIB_EXIT_HYPERCALL);
    drop(&m);
}

static void *raise_later(void *arg)
{
    usleep(20000);
    squib_vm_irq(arg, 5, true, NULL);
    return NULL;
}

static void interrupts(void **state)
{
    const struct hv_script_event *e;
    pthread_t thread;
    struct machine m;

    (void)state;
    make(&m, &with_gic);
    /* A parked vCPU wakes by an interrupt. */
    assert_int_equal(pthread_create(&thread, NULL, raise_later, m.vm), 0);
    squib_vcpu_park(m.vcpu, SQUIB_DEADLINE_NONE);
    pthread_join(thread, NULL);
    e = hv_script_last(HV_SPI);
    assert_int_equal(e->a, 37);
    assert_int_equal(e->b, 1);
    assert_int_equal(squib_vm_irq(m.vm, 5, false, &m.err), 0);
    assert_int_equal(hv_script_last(HV_SPI)->b, 0);
    assert_int_equal(squib_vm_irq(m.vm, 96, true, &m.err), SQUIB_E_INVAL);

    assert_int_equal(squib_vm_msi(m.vm, 0x08020040, 128, &m.err), 0);
    e = hv_script_last(HV_MSI);
    assert_int_equal(e->a, 0x08020040);
    assert_int_equal(e->b, 128);
    /* Numbers that are not for messages are the guest's fault. */
    assert_int_equal(squib_vm_msi(m.vm, 0x08020040, 127, &m.err), 0);
    assert_int_equal(squib_vm_msi(m.vm, 0x08020040, 256, &m.err), 0);
    assert_int_equal(hv_script_count(HV_MSI), 1);
    assert_int_equal(squib_vm_msi(m.vm, 0x08020000, 128, &m.err),
                     SQUIB_E_INVAL);
    hv_script.fail = "hv_gic_set_spi";
    hv_script.fail_rc = HV_ERROR;
    assert_int_equal(squib_vm_irq(m.vm, 5, true, &m.err), SQUIB_E_INTERNAL);
    drop(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores),
        cmocka_unit_test(loads),
        cmocka_unit_test(calls),
        cmocka_unit_test(idle),
        cmocka_unit_test(registers_that_trap),
        cmocka_unit_test(aborts_for_the_guest),
        cmocka_unit_test(code_in_no_memory),
        cmocka_unit_test(debug_of_the_guest),
        cmocka_unit_test(debug_exits),
        cmocka_unit_test(debug_steps),
        cmocka_unit_test(internal_errors),
        cmocka_unit_test(registers_that_fail),
        cmocka_unit_test(cancel_before_run),
        cmocka_unit_test(cancel_during_run),
        cmocka_unit_test(interrupts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

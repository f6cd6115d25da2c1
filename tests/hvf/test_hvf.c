/* SPDX-License-Identifier: Apache-2.0 */
/* The Hypervisor.framework backend, unmodified, on the scripted double. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "backends/hvf/hvf.h"
#include "base/util.h"
#include "hv_script.h"
#include "os/clock.h"

#define RAM 0x80000000u
#define RAM_LEN 0x40000u
#define MMIO 0x09000004u
#define PC 0x80001000u

#define ESR(ec, iss) ((uint64_t)(ec) << 26 | 1u << 25 | (iss))
/* ISS of a data abort that is described: size, sign, register, X, write. */
#define ACCESS(sas, sse, srt, sf, wnr)                                     \
    (1u << 24 | (sas) << 22 | (sse) << 21 | (srt) << 16 | (sf) << 15 |     \
     (wnr) << 6 | 0x07)
#define EXC(ec, iss)                                                       \
    {.reason = HV_EXIT_REASON_EXCEPTION, .syndrome = ESR(ec, iss),         \
     .gpa = MMIO, .gva = 0xffff000009000004ull}
#define CANCELED {.reason = HV_EXIT_REASON_CANCELED}

struct machine {
    struct squib_memory *mem;
    struct squib_vm *vm;
    struct squib_vcpu *vcpu;
    struct hv_script_vcpu *hv;
    struct squib_error err;
};

static const struct squib_vm_config plain = {.vcpus = 1};
static const struct squib_vm_config with_gic = {
    .vcpus = 2,
    .irqchip = true,
    .gic = {.dist_gpa = 0x08000000, .redist_gpa = 0x08100000,
            .redist_len = 0x400000, .msi_gpa = 0x08020000, .spis = 224,
            .msi_spis = 128},
};

static void make_vm(struct machine *m, const struct squib_vm_config *config)
{
    hv_script_reset();
    memset(m, 0, sizeof(*m));
    assert_int_equal(squib_memory_new(&m->mem, &m->err), 0);
    assert_int_equal(squib_memory_add(m->mem,
                                      (struct squib_range){RAM, RAM_LEN},
                                      &m->err), 0);
    if (squib_vm_new(&sq_backend_hvf, config, m->mem, &m->vm, &m->err) != 0)
        fail_msg("%s", m->err.text);
}

static void make(struct machine *m, const struct squib_vm_config *config)
{
    make_vm(m, config);
    assert_int_equal(squib_vcpu_new(m->vm, 0, &m->vcpu, &m->err), 0);
    m->hv = &hv_script.vcpu[0];
    m->hv->pc = PC;
}

static void drop(struct machine *m)
{
    squib_vcpu_free(m->vcpu);
    squib_vm_free(m->vm);
    squib_memory_free(m->mem);
    assert_int_equal(hv_script_violations(), 0);
}

#define SCRIPT(exits) hv_script_exits(0, exits, SQ_ARRAY_LEN(exits))

static struct squib_exit *expect(struct machine *m,
                                 enum squib_exit_kind kind)
{
    struct squib_exit *e = squib_vcpu_run(m->vcpu);

    assert_string_equal(squib_exit_name(e->kind), squib_exit_name(kind));
    return e;
}

/* --- life ---------------------------------------------------------------- */

static void creation(void **state)
{
    const struct hv_script_event *e;
    struct machine m;

    (void)state;
    make(&m, &with_gic);
    e = hv_script_last(HV_MAP);
    assert_int_equal(e->a, RAM);
    assert_int_equal(e->b, RAM_LEN);
    assert_int_equal(e->c, 7);
    e = hv_script_last(HV_GIC);
    assert_int_equal(e->a, 0x08000000);
    assert_int_equal(e->b, 0x08100000);
    assert_int_equal(e->c, 0x08020000);
    e = hv_script_last(HV_MSI_RANGE);
    assert_int_equal(e->a, 32 + 96);
    assert_int_equal(e->b, 128);
    assert_int_equal(m.hv->sys[SQ_HVF_MPIDR_EL1], 0x80000000);
    assert_int_equal(m.hv->cpsr, 0x3c5);
    assert_int_equal(squib_vcpu_new(m.vm, 0, &m.vcpu, &m.err),
                     SQUIB_E_INVAL);
    drop(&m);
    assert_false(hv_script.vm);
    assert_int_equal(hv_script.objects, 0);
}

/* Each call that creation makes may fail; nothing is left behind. */
static void creation_fails(void **state)
{
    static const char *const calls[] = {
        "hv_vm_config_create", "hv_vm_config_get_max_ipa_size",
        "hv_vm_config_set_ipa_size", "hv_vm_create",
        "hv_vm_get_max_vcpu_count", "hv_gic_get_spi_interrupt_range",
        "hv_gic_get_redistributor_size", "hv_gic_config_create",
        "hv_gic_config_set_distributor_base",
        "hv_gic_config_set_redistributor_base",
        "hv_gic_config_set_msi_region_base",
        "hv_gic_config_set_msi_interrupt_range", "hv_gic_create",
        "hv_vm_map",
    };

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(calls); i++) {
        struct squib_error err = {0};
        struct squib_memory *mem;
        struct squib_vm *vm;

        hv_script_reset();
        hv_script.fail = calls[i];
        hv_script.fail_rc = HV_ERROR;
        assert_int_equal(squib_memory_new(&mem, &err), 0);
        assert_int_equal(squib_memory_add(
                             mem, (struct squib_range){RAM, RAM_LEN}, &err),
                         0);
        assert_true(squib_vm_new(&sq_backend_hvf, &with_gic, mem, &vm,
                                 &err) < 0);
        assert_true(err.text[0] != '\0');
        assert_false(hv_script.vm);
        assert_int_equal(hv_script.objects, 0);
        assert_int_equal(hv_script_violations(), 0);
        squib_memory_free(mem);
    }
}

static void vcpu_creation_fails(void **state)
{
    static const char *const calls[] = {
        "hv_vcpu_create", "hv_vcpu_set_sys_reg", "hv_vcpu_set_reg",
        "hv_vcpu_set_vtimer_offset",
    };
    struct machine m;

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(calls); i++) {
        make_vm(&m, &plain);
        hv_script.fail = calls[i];
        hv_script.fail_rc = HV_NO_RESOURCES;
        assert_int_equal(squib_vcpu_new(m.vm, 0, &m.vcpu, &m.err),
                         SQUIB_E_NOMEM);
        hv_script.fail = NULL;
        assert_int_equal(squib_vcpu_new(m.vm, 0, &m.vcpu, &m.err), 0);
        drop(&m);
    }
}

static void errors_in_words(void **state)
{
    struct squib_error err = {0};
    struct squib_memory *mem;
    struct squib_vm *vm;
    struct machine m;

    (void)state;
    make(&m, &plain);
    assert_int_equal(squib_memory_new(&mem, &err), 0);
    assert_int_equal(squib_vm_new(&sq_backend_hvf, &plain, mem, &vm, &err),
                     SQUIB_E_STATE);
    assert_non_null(strstr(err.text, "macOS allows one"));
    drop(&m);
    hv_script_reset();
    hv_script.fail = "hv_vm_create";
    hv_script.fail_rc = HV_DENIED;
    assert_int_equal(squib_backend_probe(&sq_backend_hvf, &err),
                     SQUIB_E_NOSUPPORT);
    assert_non_null(strstr(err.text, "do: sign it: codesign"));
    hv_script_reset();
    hv_script.max_vcpus = 1;
    assert_int_equal(squib_vm_new(&sq_backend_hvf, &with_gic, mem, &vm,
                                  &err), SQUIB_E_NOSUPPORT);
    assert_non_null(strstr(err.text, "2 vCPUs asked for"));
    hv_script_reset();
    hv_script.spis = 96;
    assert_int_equal(squib_vm_new(&sq_backend_hvf, &with_gic, mem, &vm,
                                  &err), SQUIB_E_NOSUPPORT);
    hv_script_reset();
    hv_script.redist_len = 0x400000;
    assert_int_equal(squib_vm_new(&sq_backend_hvf, &with_gic, mem, &vm,
                                  &err), SQUIB_E_NOSUPPORT);
    assert_non_null(strstr(err.text, "do not fit"));
    assert_int_equal(hv_script_violations(), 0);
    squib_memory_free(mem);
}

/* The probe's own guest, as a framework that works would run it. */
static void probe(void **state)
{
    const struct hv_script_exit exits[] = {
        {.reason = 1, .syndrome = ESR(0x24, ACCESS(0, 0, 4u, 0, 1)),
         .gpa = 0x09000000},
        {.reason = 1, .syndrome = ESR(0x24, ACCESS(0, 0, 2u, 0, 0)),
         .gpa = 0x09000000},
        {.reason = 1, .syndrome = ESR(0x16, 0)},
    };
    struct squib_error err = {0};

    (void)state;
    hv_script_reset();
    SCRIPT(exits);
    /* What is stored is not 0x57, so the guest computes wrong. */
    assert_int_equal(squib_backend_probe(&sq_backend_hvf, &err),
                     SQUIB_E_NOSUPPORT);
    assert_non_null(strstr(err.text, "do: use the software CPU"));
    assert_false(hv_script.vm);
    assert_int_equal(hv_script_violations(), 0);
}

static void memory_calls(void **state)
{
    static uint8_t page[2 * SQ_HVF_PAGE_LEN]
        __attribute__((aligned(SQ_HVF_PAGE_LEN)));
    const struct squib_range range = {0x10000000, SQ_HVF_PAGE_LEN};
    const struct squib_range small = {0x10000000, 4096};
    struct machine m;

    (void)state;
    make(&m, &plain);
    assert_int_equal(squib_vm_map(m.vm, small, page, 7, &m.err),
                     SQUIB_E_INVAL);
    assert_non_null(strstr(m.err.text, "16 KiB"));
    assert_int_equal(squib_vm_map(m.vm, range, page, 1, &m.err), 0);
    assert_int_equal(hv_script_last(HV_MAP)->c, 1);
    assert_int_equal(squib_vm_map(m.vm, range, page, 1, &m.err),
                     SQUIB_E_RANGE);
    assert_int_equal(squib_vm_protect(m.vm, range, 7, &m.err), 0);
    assert_int_equal(hv_script_last(HV_PROTECT)->c, 7);
    /* Not even readable: not mapped at all. */
    assert_int_equal(squib_vm_protect(m.vm, range, 0, &m.err), 0);
    assert_int_equal(hv_script_count(HV_UNMAP), 1);
    assert_int_equal(squib_vm_protect(m.vm, range, 2, &m.err),
                     SQUIB_E_NOSUPPORT);
    assert_int_equal(squib_vm_protect(m.vm, range, 5, &m.err), 0);
    assert_int_equal(hv_script_last(HV_MAP)->c, 5);
    hv_script.fail = "hv_vm_protect";
    hv_script.fail_rc = HV_ERROR;
    assert_int_equal(squib_vm_protect(m.vm, range, 7, &m.err),
                     SQUIB_E_INTERNAL);
    hv_script.fail = NULL;
    assert_int_equal(squib_vm_unmap(m.vm, range, &m.err), 0);
    assert_int_equal(squib_vm_unmap(m.vm, range, &m.err), SQUIB_E_RANGE);
    drop(&m);
}

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

/* --- dirty log ------------------------------------------------------------ */

#define WRITE_FAULT(where)                                                 \
    {.reason = HV_EXIT_REASON_EXCEPTION,                                   \
     .syndrome = ESR(0x24, ACCESS(2u, 0u, 1u, 0u, 1u) + 8),                \
     .gpa = (where)}

static void dirty_log(void **state)
{
    static const struct hv_script_exit exits[] = {
        WRITE_FAULT(RAM + 0x5008),
        {.reason = 1, .syndrome = ESR(0x24, 1u << 6 | 0x0f), /* stp */
         .gpa = RAM + 0x3fff8},
        WRITE_FAULT(RAM + 0x8ffc),
        EXC(0x16, 0),
        WRITE_FAULT(RAM + 0x5008),
        EXC(0x16, 0),
    };
    const struct squib_vm_config config = {.vcpus = 1, .dirty_log = true};
    const struct squib_range all = {RAM, RAM_LEN};
    const struct squib_range part = {RAM + 0x5000, 0x1000};
    const struct hv_script_event *e;
    uint64_t bits[1];
    struct machine m;
    size_t calls_before;

    (void)state;
    make(&m, &config);
    SCRIPT(exits);
    assert_int_equal(hv_script_last(HV_MAP)->c, 5); /* not writable */
    expect(&m, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(m.hv->pc, PC + 4); /* the stores come again */
    assert_int_equal(hv_script_count(HV_PROTECT), 3);
    e = hv_script_last(HV_PROTECT);
    assert_int_equal(e->a, RAM + 0x8000);
    assert_int_equal(e->b, SQ_HVF_PAGE_LEN);
    assert_int_equal(e->c, 7);
    /* The monitor writes, too. */
    assert_int_equal(squib_memory_write(m.mem, RAM + 0x10ffe, "ab", 2,
                                        &m.err), 0);
    assert_int_equal(squib_vm_dirty_log(m.vm, all, bits, &m.err), 0);
    assert_int_equal(bits[0], 0xf000000000010ff0ull);
    /* 0x4000..0xbfff, 0x10000 and 0x3c000 in three calls. */
    assert_int_equal(hv_script_count(HV_PROTECT), 6);
    e = hv_script_last(HV_PROTECT);
    assert_int_equal(e->a, RAM + 0x3c000);
    assert_int_equal(e->c, 5);
    assert_int_equal(squib_vm_dirty_log(m.vm, all, bits, &m.err), 0);
    assert_int_equal(bits[0], 0);
    expect(&m, SQUIB_EXIT_HYPERCALL);
    /* Part of a page of the framework: the rest stays in the log. */
    calls_before = hv_script_count(HV_PROTECT);
    assert_int_equal(squib_vm_dirty_log(m.vm, part, bits, &m.err), 0);
    assert_int_equal(bits[0], 1);
    assert_int_equal(hv_script_count(HV_PROTECT), calls_before + 1);
    assert_int_equal(squib_vm_dirty_log(m.vm, all, bits, &m.err), 0);
    assert_int_equal(bits[0], 0xd0);
    drop(&m);
}

static void read_only_memory(void **state)
{
    static uint8_t page[SQ_HVF_PAGE_LEN]
        __attribute__((aligned(SQ_HVF_PAGE_LEN)));
    static const struct hv_script_exit exits[] = {
        WRITE_FAULT(0x10000010), WRITE_FAULT(0x10000010),
    };
    const struct squib_range range = {0x10000000, SQ_HVF_PAGE_LEN};
    struct squib_vm_config config = {.vcpus = 1};
    struct machine m;

    (void)state;
    for (int log = 0; log < 2; log++) {
        config.dirty_log = log;
        make(&m, &config);
        SCRIPT(exits);
        assert_int_equal(squib_vm_map(m.vm, range, page, 1, &m.err), 0);
        assert_int_equal(expect(&m, SQUIB_EXIT_MMIO)->mmio.gpa, 0x10000010);
        assert_int_equal(m.hv->pc, PC + 4);
        assert_int_equal(hv_script_count(HV_PROTECT), 0);
        drop(&m);
    }
}

/* --- state --------------------------------------------------------- */

static void fill(void *p, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        ((uint8_t *)p)[i] = (uint8_t)(seed >> 24);
    }
}

static void state_round_trip(void **state)
{
    struct squib_aarch64_state *in = calloc(1, sizeof(*in));
    struct squib_aarch64_state *out = calloc(1, sizeof(*out));
    struct machine m;

    (void)state;
    assert_non_null(in);
    assert_non_null(out);
    make(&m, &with_gic);
    fill(in, sizeof(*in), 1);
    in->pstate = 0x60000005;
    memset(in->present, 0, sizeof(in->present));
    memset(in->sysreg, 0, sizeof(in->sysreg));
    for (unsigned i = 0; i < SQUIB_AARCH64_SYSREG_COUNT; i++) {
        if (i == SQUIB_AARCH64_AFSR0_EL1)
            continue; /* this double's processor has none */
        in->present[i / 64] |= 1ull << i % 64;
        in->sysreg[i] = 0x1000 + i;
    }
    in->cntvct = 123456;
    in->cntv_ctl = 5; /* ISTATUS is not to be set */
    in->cntp_ctl = in->cntp_cval = 0;
    for (int i = 1; i < 4; i++)
        in->gic.ap0r[i] = in->gic.ap1r[i] = 0;
    in->gic.gicr_ctlr = in->gic.gicr_waker = 0;
    in->gic.line_level = in->gic.reserved = 0;
    in->gic.icfgr[0] = 0;
    in->gic.ispendr0 &= 0xffff; /* no PPI is an edge here */
    in->gic.icfgr[1] = 0;
    in->power = SQUIB_AARCH64_OFF;
    in->serror_pending = in->serror_has_esr = 0;
    memset(in->reserved, 0, sizeof(in->reserved));
    in->serror_esr = 0;
    assert_int_equal(squib_vcpu_set_aarch64(m.vcpu, SQUIB_STATE_ALL, in,
                                            &m.err), 0);
    hv_script.now += 44; /* time goes on */
    assert_int_equal(squib_vcpu_get_aarch64(m.vcpu, SQUIB_STATE_ALL, out,
                                            &m.err), 0);
    assert_int_equal(out->cntvct, 123500);
    assert_int_equal(out->cntv_ctl, 1);
    in->cntvct = out->cntvct;
    in->cntv_ctl = out->cntv_ctl;
    assert_memory_equal(in, out, sizeof(*in));

    /* What this processor has not may only be nothing. */
    in->present[0] |= 1ull << SQUIB_AARCH64_AFSR0_EL1;
    assert_int_equal(squib_vcpu_set_aarch64(m.vcpu, SQUIB_STATE_SYSTEM, in,
                                            &m.err), 0);
    in->sysreg[SQUIB_AARCH64_AFSR0_EL1] = 1;
    assert_int_equal(squib_vcpu_set_aarch64(m.vcpu, SQUIB_STATE_SYSTEM, in,
                                            &m.err), SQUIB_E_NOSUPPORT);
    assert_non_null(strstr(m.err.text, "AFSR0_EL1"));
    in->pstate = 0x9; /* EL2h */
    assert_int_equal(squib_vcpu_set_aarch64(m.vcpu, SQUIB_STATE_REGS, in,
                                            &m.err), SQUIB_E_INVAL);
    in->power = 2;
    assert_int_equal(squib_vcpu_set_aarch64(m.vcpu, SQUIB_STATE_EVENTS, in,
                                            &m.err), SQUIB_E_INVAL);
    in->power = 0;
    in->serror_pending = 1;
    assert_int_equal(squib_vcpu_set_aarch64(m.vcpu, SQUIB_STATE_EVENTS, in,
                                            &m.err), SQUIB_E_NOSUPPORT);
    drop(&m);
    free(in);
    free(out);
}

/* The counter is one for the VM: the other vCPU takes it over. */
static void counter_of_the_vm(void **state)
{
    static const struct hv_script_exit exits[] = {EXC(0x16, 0)};
    struct squib_aarch64_state st = {.cntvct = 1000};
    struct squib_vcpu *second;
    struct machine m;

    (void)state;
    make(&m, &with_gic);
    assert_int_equal(squib_vcpu_new(m.vm, 1, &second, &m.err), 0);
    assert_int_equal(hv_script.vcpu[1].sys[SQ_HVF_MPIDR_EL1], 0x80000001);
    hv_script_exits(1, exits, 1);
    assert_int_equal(squib_vcpu_set_aarch64(m.vcpu, SQUIB_STATE_TIMER, &st,
                                            &m.err), 0);
    assert_int_equal(squib_vcpu_run(second)->kind, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(hv_script.now - hv_script.vcpu[1].vtimer_offset, 1000);
    squib_vcpu_free(second);
    drop(&m);
}

static void gic_round_trip(void **state)
{
    struct squib_aarch64_gic_dist in, out;
    struct machine m;

    (void)state;
    make(&m, &with_gic);
    fill(&in, sizeof(in), 2);
    in.spis = 224;
    in.igroupr[0] = in.isenabler[0] = in.ispendr[0] = in.isactiver[0] = 0;
    in.icfgr[0] = in.icfgr[1] = in.line_level[0] = 0;
    memset(in.ipriorityr, 0, 32);
    for (unsigned n = 0; n < 32; n++)
        in.irouter[n] = 0;
    memset(&in.line_level[4], 0, 4 * sizeof(in.line_level[0]));
    /* Pending by its level is not pending in the state. */
    for (unsigned n = 1; n < 8; n++)
        for (unsigned i = 0; i < 32; i++)
            if (!(in.icfgr[2 * n + i / 16] >> (i % 16 * 2 + 1) & 1))
                in.ispendr[n] &= ~(in.line_level[n] & 1u << i);
    assert_int_equal(squib_vm_set_gic(m.vm, &in, &m.err), 0);
    assert_int_equal(hv_script_count(HV_SPI), 96);
    assert_int_equal(squib_vm_get_gic(m.vm, &out, &m.err), 0);
    assert_memory_equal(&in, &out, sizeof(in));
    /* A level that is high now shows in the register alone. */
    hv_script.dist[0xc08 / 4] = 0;
    in.line_level[1] |= 1;
    assert_int_equal(squib_vm_irq(m.vm, 0, true, &m.err), 0);
    hv_script.dist[0x204 / 4] |= 1;
    assert_int_equal(squib_vm_get_gic(m.vm, &out, &m.err), 0);
    assert_int_equal(out.ispendr[1] & 1, 0);
    assert_int_equal(out.line_level[1] & 1, 1);
    hv_script.fail = "hv_gic_get_distributor_reg";
    hv_script.fail_rc = HV_ERROR;
    assert_true(squib_vm_get_gic(m.vm, &out, &m.err) < 0);
    drop(&m);
}

/* --- the double itself --------------------------------------------- */

static void *run_elsewhere(void *arg)
{
    squib_vcpu_run(arg);
    return NULL;
}

/* What a wrong backend would do is noticed. */
static void double_counts(void **state)
{
    struct machine m;
    pthread_t thread;

    (void)state;
    make(&m, &plain);
    assert_int_equal(pthread_create(&thread, NULL, run_elsewhere, m.vcpu),
                     0);
    pthread_join(thread, NULL);
    assert_true(hv_script.broken.thread > 0);
    hv_vm_protect(RAM + 0x1000, 0x1000, 1);
    assert_int_equal(hv_script.broken.alignment, 1);
    hv_vm_protect(0x10000000, SQ_HVF_PAGE_LEN, 1);
    assert_int_equal(hv_script.broken.overlap, 1);
    {
        hv_gic_config_t config = hv_gic_config_create();

        hv_gic_create(config); /* after a vCPU */
        os_release(config);
    }
    assert_int_equal(hv_script.broken.order, 1);
    hv_vm_destroy(); /* with a vCPU */
    assert_int_equal(hv_script.broken.leak, 1);
    squib_vcpu_free(m.vcpu);
    squib_vm_free(m.vm);
    squib_memory_free(m.mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creation),
        cmocka_unit_test(creation_fails),
        cmocka_unit_test(vcpu_creation_fails),
        cmocka_unit_test(errors_in_words),
        cmocka_unit_test(probe),
        cmocka_unit_test(memory_calls),
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
        cmocka_unit_test(dirty_log),
        cmocka_unit_test(read_only_memory),
        cmocka_unit_test(state_round_trip),
        cmocka_unit_test(counter_of_the_vm),
        cmocka_unit_test(gic_round_trip),
        cmocka_unit_test(double_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The Hypervisor.framework backend: life, memory and state. */
#include "hvf_machine.h"

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
        cmocka_unit_test(dirty_log),
        cmocka_unit_test(read_only_memory),
        cmocka_unit_test(state_round_trip),
        cmocka_unit_test(counter_of_the_vm),
        cmocka_unit_test(gic_round_trip),
        cmocka_unit_test(double_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

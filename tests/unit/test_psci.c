/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PSCI as the monitor answers it: the calls themselves, and a whole arm64
 * machine on the mock backend whose vCPUs switch each other on and off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <squib/squib.h>

#include "arch/aarch64/layout.h"
#include "arch/aarch64/psci.h"
#include "backends/mock/mock.h"
#include "base/util.h"
#include "dev/legacy/pl031.h"
#include "os/clock.h"
#include "os/poller.h"
#include "vmm/machine.h"
#include "vmm/vmm.h"

#define SECOND 1000000000ull

#define VERSION 0x84000000u
#define SUSPEND_64 0xc4000001u
#define CPU_OFF 0x84000002u
#define CPU_ON_32 0x84000003u
#define CPU_ON_64 0xc4000003u
#define AFFINITY_64 0xc4000004u
#define MIGRATE_INFO 0x84000006u
#define SYSTEM_OFF 0x84000008u
#define SYSTEM_RESET 0x84000009u
#define FEATURES 0x8400000au
#define SYSTEM_RESET2_64 0xc4000012u
#define SMCCC_VERSION 0x80000000u
#define SMCCC_ARCH_FEATURES 0x80000001u

#define NOT_SUPPORTED ((uint64_t)-1)
#define INVALID_PARAMETERS ((uint64_t)-2)
#define ALREADY_ON ((uint64_t)-4)
#define ON_PENDING ((uint64_t)-5)
#define INVALID_ADDRESS ((uint64_t)-9)

/* --- the calls --------------------------------------------------------- */

struct fixture {
    struct sq_psci psci;
    uint32_t changed; /* bit n: vCPU n */
    int off, reset;
};

static void on_changed(void *ctx, uint32_t index)
{
    ((struct fixture *)ctx)->changed |= 1u << index;
}

static void on_off(void *ctx)
{
    ((struct fixture *)ctx)->off++;
}

static void on_reset(void *ctx)
{
    ((struct fixture *)ctx)->reset++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct sq_psci_hooks hooks = {on_changed, on_off, on_reset, f};

    assert_non_null(f);
    sq_psci_init(&f->psci, 20, &hooks);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sq_psci_fini(&f->psci);
    free(f);
    return 0;
}

static uint64_t call(struct fixture *f, uint32_t caller, uint32_t function,
                     uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t args[6] = {a, b, c};

    for (size_t i = 0; i < sq_psci_row_count; i++)
        if (sq_psci_rows[i].function == function)
            return sq_psci_rows[i].fn(&f->psci.caller[caller], args);
    return NOT_SUPPORTED;
}

static void asks(void **state)
{
    struct fixture *f = *state;

    assert_true(sq_psci_row_count <= SQ_MACHINE_HYPERCALLS_MAX);
    assert_int_equal(call(f, 0, VERSION, 0, 0, 0), 0x10001);
    assert_int_equal(call(f, 0, SMCCC_VERSION, 0, 0, 0), 0x10001);
    assert_int_equal(call(f, 0, MIGRATE_INFO, 0, 0, 0), 2);
    assert_int_equal(call(f, 0, SUSPEND_64, 0, 0, 0), 0);
    assert_int_equal(call(f, 0, FEATURES, CPU_ON_64, 0, 0), 0);
    assert_int_equal(call(f, 0, FEATURES, SMCCC_VERSION, 0, 0), 0);
    assert_int_equal(call(f, 0, FEATURES, 0x84000005, 0, 0), NOT_SUPPORTED);
    assert_int_equal(call(f, 0, SMCCC_ARCH_FEATURES, SMCCC_VERSION, 0, 0),
                     0);
    assert_int_equal(call(f, 0, SMCCC_ARCH_FEATURES, 0x80008000, 0, 0),
                     NOT_SUPPORTED);
}

static void on_and_off(void **state)
{
    struct fixture *f = *state;
    uint64_t entry = 0, context = 0;

    assert_true(sq_psci_is_on(&f->psci, 0));
    assert_false(sq_psci_is_on(&f->psci, 1));
    assert_int_equal(call(f, 0, AFFINITY_64, 0, 0, 0), 0);
    assert_int_equal(call(f, 0, AFFINITY_64, 1, 0, 0), 1);
    assert_int_equal(call(f, 0, CPU_ON_64, 0, 0x1000, 1), ALREADY_ON);
    assert_int_equal(call(f, 0, CPU_ON_64, 1, 0x1002, 1), INVALID_ADDRESS);
    assert_int_equal(call(f, 0, CPU_ON_64, 20, 0x1000, 1),
                     INVALID_PARAMETERS);
    assert_int_equal(call(f, 0, CPU_ON_64, 0x104 /* 20 */, 0x1000, 1),
                     INVALID_PARAMETERS);
    assert_int_equal(f->changed, 0);
    assert_int_equal(call(f, 0, CPU_ON_64, 0x80000001, 0x123400001000, 7),
                     0);
    assert_int_equal(f->changed, 2);
    assert_int_equal(call(f, 0, CPU_ON_64, 1, 0x5000, 8), ON_PENDING);
    assert_int_equal(call(f, 0, AFFINITY_64, 1, 0, 0), 2);
    assert_true(sq_psci_is_on(&f->psci, 1));
    assert_true(sq_psci_take_start(&f->psci, 1, &entry, &context));
    assert_int_equal(entry, 0x123400001000);
    assert_int_equal(context, 7);
    assert_false(sq_psci_take_start(&f->psci, 1, &entry, &context));
    assert_int_equal(call(f, 0, AFFINITY_64, 1, 0, 0), 0);
    assert_int_equal(call(f, 1, CPU_OFF, 0, 0, 0), 0);
    assert_false(sq_psci_is_on(&f->psci, 1));
    /* The 32-bit calls see the lower halves; 16 vCPUs share an Aff1. */
    assert_int_equal(call(f, 0, CPU_ON_32, 0xff00000100, 0xf00002000,
                          0xf00000003), 0);
    assert_int_equal(f->changed, 2 | 1u << 16);
    assert_true(sq_psci_take_start(&f->psci, 16, &entry, &context));
    assert_int_equal(entry, 0x2000);
    assert_int_equal(context, 3);
    assert_int_equal(call(f, 0, AFFINITY_64, 0, 1, 0), INVALID_PARAMETERS);
}

static void ends(void **state)
{
    struct fixture *f = *state;

    call(f, 0, SYSTEM_OFF, 0, 0, 0);
    assert_int_equal(f->off, 1);
    call(f, 0, SYSTEM_RESET, 0, 0, 0);
    call(f, 0, SYSTEM_RESET2_64, 0, 0, 0);
    assert_int_equal(f->reset, 2);
    assert_int_equal(call(f, 0, SYSTEM_RESET2_64, 0x80000000, 0, 0),
                     INVALID_PARAMETERS);
    assert_int_equal(f->reset, 2);
}

/* --- a machine --------------------------------------------------------- */

struct machine {
    struct sq_mock mock;
    struct sq_poller *poller;
    struct sq_vmm *vmm;
    struct sq_vm_spec *spec;
    struct sq_timer guard;
    int stopped;
    char kernel[32];
};

static void on_stopped(void *ctx)
{
    struct machine *m = ctx;

    m->stopped++;
    sq_poller_stop(m->poller);
}

static void on_guard(void *ctx, uint64_t now)
{
    struct machine *m = ctx;

    (void)now;
    m->stopped = -100;
    sq_poller_stop(m->poller);
}

static int setup_machine(void **state)
{
    struct machine *m = calloc(1, sizeof(*m));
    uint8_t image[4096] = {[56] = 'A', 'R', 'M', 0x64};
    int fd;

    assert_non_null(m);
    sq_mock_init(&m->mock);
    assert_int_equal(sq_poller_new(&m->poller, NULL), 0);
    m->spec = malloc(sizeof(*m->spec));
    assert_non_null(m->spec);
    strcpy(m->kernel, "/tmp/squib-test-XXXXXX");
    fd = mkstemp(m->kernel);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, image, sizeof(image)), sizeof(image));
    close(fd);
    sq_spec_init(m->spec);
    m->spec->mem_mib = 32;
    m->spec->vcpus = 3;
    strcpy(m->spec->kernel, m->kernel);
    m->guard = (struct sq_timer){.fn = on_guard, .ctx = m};
    sq_timer_arm(m->poller, &m->guard, sq_now_ns() + 60 * SECOND);
    *state = m;
    return 0;
}

static int teardown_machine(void **state)
{
    struct machine *m = *state;

    sq_vmm_free(m->vmm);
    sq_poller_free(m->poller);
    assert_int_equal(m->mock.vms_live, 0);
    sq_mock_destroy(&m->mock);
    unlink(m->kernel);
    free(m->spec);
    free(m);
    return 0;
}

static void make(struct machine *m)
{
    struct squib_error err = {0};
    struct sq_vmm_env env = {
        .backend = &sq_backend_mock_arm64,
        .poller = m->poller,
        .stopped = on_stopped,
        .ctx = m,
    };

    sq_mock_use(&m->mock);
    if (sq_vmm_new(m->spec, &env, &m->vmm, &err))
        fail_msg("%s", err.text);
}

static void script(struct machine *m, uint32_t vcpu,
                   const struct squib_exit *exits, size_t n)
{
    m->mock.vcpu[vcpu].exits = exits;
    m->mock.vcpu[vcpu].exit_count = n;
}

static void loop(struct machine *m)
{
    assert_int_equal(sq_poller_run(m->poller, NULL), 0);
    assert_int_equal(m->stopped, 1);
}

#define CALL(fn, ...)                                                      \
    {.kind = SQUIB_EXIT_HYPERCALL,                                         \
     .hypercall = {.function = (fn), .args = {__VA_ARGS__}}}

/* vCPU 0 switches 2 on, 2 switches 1 on and itself off, 1 ends it all. */
static void vcpus_switch_each_other(void **state)
{
    static const struct squib_exit first[] = {
        CALL(VERSION, 0), CALL(0xc6001234, 1),
        CALL(CPU_ON_64, 2, 0x80300000, 22),
    };
    static const struct squib_exit third[] = {
        CALL(CPU_ON_64, 1, 0x80400000, 11), CALL(CPU_OFF, 0),
        CALL(SYSTEM_RESET, 0), /* never */
    };
    static const struct squib_exit second[] = {CALL(SYSTEM_OFF, 0)};
    struct machine *m = *state;
    struct sq_mock *k = &m->mock;
    uint64_t pc[3] = {0}, x0[3] = {0};

    script(m, 0, first, SQ_ARRAY_LEN(first));
    script(m, 1, second, SQ_ARRAY_LEN(second));
    script(m, 2, third, SQ_ARRAY_LEN(third));
    make(m);
    assert_int_equal(sq_vmm_start(m->vmm, NULL), 0);
    loop(m);
    assert_int_equal(sq_vmm_outcome(m->vmm).kind, SQ_OUTCOME_SHUTDOWN);
    assert_int_equal(k->vcpu[0].answers[0].hypercall.ret, 0x10001);
    assert_int_equal(k->vcpu[0].answers[1].hypercall.ret, NOT_SUPPORTED);
    assert_int_equal(k->vcpu[0].answers[2].hypercall.ret, 0);
    assert_int_equal(k->vcpu[2].answers[0].hypercall.ret, 0);
    assert_true(k->vcpu[2].answer_count <= 2); /* off after that */
    for (size_t i = 0; i < k->event_count; i++) {
        if (k->events[i].kind != SQ_MOCK_SET_STATE)
            continue;
        pc[k->events[i].a] = k->events[i].b;
        x0[k->events[i].a] = k->events[i].c;
    }
    assert_int_equal(pc[0], SQ_ARM64_KERNEL_GPA + 0x80000);
    assert_int_equal(x0[0], SQ_ARM64_FDT_GPA);
    assert_int_equal(pc[1], 0x80400000);
    assert_int_equal(x0[1], 11);
    assert_int_equal(pc[2], 0x80300000);
    assert_int_equal(x0[2], 22);
}

/* vCPUs that are off neither run nor keep the machine from being paused,
 * resumed and stopped. */
static void off_is_no_obstacle(void **state)
{
    struct machine *m = *state;

    make(m);
    assert_int_equal(sq_vmm_start(m->vmm, NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sq_vmm_pause(m->vmm, NULL), 0);
        assert_int_equal(sq_vmm_resume(m->vmm, NULL), 0);
    }
    assert_int_equal(m->mock.vcpu[1].runs, 0);
    sq_vmm_stop(m->vmm, SQ_OUTCOME_KILLED, NULL);
    loop(m);
    assert_int_equal(m->mock.vcpu[2].runs, 0);
}

static void reset_ends(void **state)
{
    static const struct squib_exit exits[] = {CALL(SYSTEM_RESET, 0)};
    struct machine *m = *state;

    script(m, 0, exits, 1);
    make(m);
    assert_false(sq_vmm_ctrl_alt_del(m->vmm)); /* there is no keyboard */
    assert_int_equal(sq_vmm_start(m->vmm, NULL), 0);
    loop(m);
    assert_int_equal(sq_vmm_outcome(m->vmm).kind, SQ_OUTCOME_RESET);
}

/* The serial port and the clock are where the device tree says. */
static void devices_answer(void **state)
{
    static const struct squib_exit exits[] = {
        {.kind = SQUIB_EXIT_MMIO,
         .mmio = {.gpa = SQ_ARM64_SERIAL_GPA, .len = 1, .write = true,
                  .data = {'h'}}},
        {.kind = SQUIB_EXIT_MMIO,
         .mmio = {.gpa = SQ_ARM64_RTC_GPA + 0xfe0, .len = 4}},
        {.kind = SQUIB_EXIT_MMIO,
         .mmio = {.gpa = SQ_ARM64_RTC_GPA, .len = 4}},
        CALL(SYSTEM_OFF, 0),
    };
    struct machine *m = *state;
    struct sq_vmm_metrics metrics;
    uint32_t now = (uint32_t)(sq_wall_ns() / SECOND);

    script(m, 0, exits, SQ_ARRAY_LEN(exits));
    make(m);
    assert_int_equal(sq_vmm_start(m->vmm, NULL), 0);
    loop(m);
    sq_vmm_metrics(m->vmm, &metrics);
    assert_int_equal(metrics.uart_sent, 1);
    assert_int_equal(m->mock.vcpu[0].answers[1].mmio.data[0], 0x31);
    assert_in_range(sq_ld32(m->mock.vcpu[0].answers[2].mmio.data), now,
                    now + 30);
}

/* A PCI bus: configuration space, and the frame for messages, which says
 * which interrupts there are and takes them from vCPUs too. Nobody can tell
 * the guest of devices that come and go. */
static void pci_answers(void **state)
{
    static const struct squib_exit exits[] = {
        {.kind = SQUIB_EXIT_MMIO,
         .mmio = {.gpa = SQ_ARM64_ECAM_GPA, .len = 4}},
        {.kind = SQUIB_EXIT_MMIO,
         .mmio = {.gpa = SQ_ARM64_MSI_GPA + 8, .len = 4}},
        {.kind = SQUIB_EXIT_MMIO,
         .mmio = {.gpa = SQ_ARM64_MSI_GPA + 8, .len = 2}},
        {.kind = SQUIB_EXIT_MMIO,
         .mmio = {.gpa = SQ_ARM64_MSI_GPA + 0x40, .len = 4, .write = true,
                  .data = {129}}},
        {.kind = SQUIB_EXIT_MMIO,
         .mmio = {.gpa = SQ_ARM64_MSI_GPA + 0x44, .len = 4, .write = true,
                  .data = {130}}},
        CALL(SYSTEM_OFF, 0),
    };
    struct machine *m = *state;
    const struct squib_exit *answers = m->mock.vcpu[0].answers;
    struct squib_error err = {0};
    unsigned messages = 0;

    m->spec->pci = true;
    script(m, 0, exits, SQ_ARRAY_LEN(exits));
    make(m);
    assert_int_equal(sq_vmm_start(m->vmm, NULL), 0);
    loop(m);
    assert_int_not_equal(sq_ld32(answers[0].mmio.data), UINT32_MAX);
    assert_int_equal(sq_ld32(answers[1].mmio.data), 128 << 16 | 128);
    assert_int_equal(sq_ld16(answers[2].mmio.data), 0);
    for (size_t i = 0; i < m->mock.event_count; i++) {
        if (m->mock.events[i].kind != SQ_MOCK_MSI)
            continue;
        messages++;
        assert_int_equal(m->mock.events[i].a, SQ_ARM64_MSI_GPA + 0x40);
        assert_int_equal(m->mock.events[i].b, 129);
    }
    assert_int_equal(messages, 1);
    assert_int_equal(sq_vmm_unplug(m->vmm, SQ_VIRTIO_ID_BLK, 0, &err),
                     SQUIB_E_NOSUPPORT);
    assert_non_null(strstr(err.text, "cannot be told of devices"));
}

/* --- the clock --------------------------------------------------------- */

static int64_t fixed_now(void *ctx)
{
    return *(int64_t *)ctx;
}

static uint32_t read32(struct sq_pl031 *r, uint64_t off)
{
    uint8_t data[4];

    sq_pl031_ops.read(r, off, data, 4);
    return sq_ld32(data);
}

static void clock_can_be_set(void **state)
{
    int64_t now = 1700000000;
    const struct sq_pl031_config config = {fixed_now, &now};
    struct sq_pl031 r;
    uint8_t value[4], byte;

    (void)state;
    sq_pl031_init(&r, &config);
    assert_int_equal(read32(&r, 0), 1700000000);
    assert_int_equal(read32(&r, 0xc), 1);
    sq_st32(value, 1000);
    sq_pl031_ops.write(&r, 8, value, 4);
    now += 5;
    assert_int_equal(read32(&r, 0), 1005);
    sq_pl031_ops.write(&r, 0, value, 2); /* nothing: not a word */
    sq_pl031_ops.write(&r, 4, value, 4);
    assert_int_equal(read32(&r, 4), 1000);
    sq_pl031_ops.read(&r, 0xff1, &byte, 1);
    assert_int_equal(byte, 0);
    sq_pl031_ops.read(&r, 0xffc, &byte, 1);
    assert_int_equal(byte, 0xb1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(asks, setup, teardown),
        cmocka_unit_test_setup_teardown(on_and_off, setup, teardown),
        cmocka_unit_test_setup_teardown(ends, setup, teardown),
        cmocka_unit_test_setup_teardown(vcpus_switch_each_other,
                                        setup_machine, teardown_machine),
        cmocka_unit_test_setup_teardown(off_is_no_obstacle, setup_machine,
                                        teardown_machine),
        cmocka_unit_test_setup_teardown(reset_ends, setup_machine,
                                        teardown_machine),
        cmocka_unit_test_setup_teardown(devices_answer, setup_machine,
                                        teardown_machine),
        cmocka_unit_test_setup_teardown(pci_answers, setup_machine,
                                        teardown_machine),
        cmocka_unit_test(clock_can_be_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

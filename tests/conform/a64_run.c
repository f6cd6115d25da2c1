/* SPDX-License-Identifier: Apache-2.0 */
/* Running, sleeping, canceling; calls to the hypervisor and PSCI. */
#include "a64.h"

#include <pthread.h>

#include "base/util.h"

#define PSCI_VERSION 0x84000000u
#define PSCI_CPU_ON 0xc4000003u
#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_SYSTEM_RESET 0x84000009u

static const uint32_t wfi_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xb9000294, /* str w20, [x20] */
    /* sleep: */
    0xd503207f, /* wfi */
    0x17ffffff, /* b sleep */
};

/* WFI comes out, or the vCPU sleeps inside run: a cancel ends both. */
static void wfi_sleeps(struct cf *t)
{
    struct squib_exit *e;

    cf_vm(t, 1, true, false);
    CF_A64(t, wfi_code);
    CF_A64_OUT(t, 0, 4);
    cf_cancel_after(t->vcpu, 30);
    e = squib_vcpu_run(t->vcpu);
    cf_seen(e);
    if (e->kind == SQUIB_EXIT_WFI) {
        squib_vcpu_park(t->vcpu, e->idle.deadline_ns);
        e = squib_vcpu_run(t->vcpu);
    }
    CF_EQ(e->kind, SQUIB_EXIT_CANCELED);
}

static const uint32_t spin_code[] = {
    /* spin: */
    0x91000400, /* add x0, x0, #1 */
    0x17ffffff, /* b spin */
};

static void cancel_spinning(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_A64(t, spin_code);
    for (int i = 0; i < 3; i++) {
        cf_cancel_after(t->vcpu, 20);
        CF_KIND(t, SQUIB_EXIT_CANCELED);
    }
    CF_CHECK(cf_a64_x(t, 0) > 0);
}

static const uint32_t out_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0x52800020, /* mov w0, #1 */
    0xb9000280, /* str w0, [x20] */
    0x52800040, /* mov w0, #2 */
    0xb9000680, /* str w0, [x20, #4] */
    /* done: */
    0x14000000, /* b done */
};

/* A cancel that comes first is kept; two count as one; none is left. */
static void cancel_before_run(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_A64(t, out_code);
    squib_vcpu_cancel(t->vcpu);
    squib_vcpu_cancel(t->vcpu);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
    CF_EQ(CF_A64_OUT(t, 0, 4), 1);
    squib_vcpu_cancel(t->vcpu);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
    CF_EQ(CF_A64_OUT(t, 4, 4), 2);
}

static const uint32_t in_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xb9400280, /* ldr w0, [x20] */
    0xb9400681, /* ldr w1, [x20, #4] */
    0xb9000a81, /* str w1, [x20, #8] */
    0x11000442, /* add w2, w2, #1 */
    0xb9000e82, /* str w2, [x20, #12] */
    /* done: */
    0x14000000, /* b done */
};

/* An answer reaches the guest inside the next run even if that run is
 * canceled: the state is complete afterwards. */
static void cancel_after_read(struct cf *t)
{
    static const uint8_t in[] = {0x44, 0x33, 0x22, 0x11};

    cf_vm(t, 1, false, false);
    CF_A64(t, in_code);
    CF_MMIO_READ(t, CF_MMIO, in, 4);
    squib_vcpu_cancel(t->vcpu);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
    CF_EQ(cf_a64_x(t, 0), 0x11223344);
    CF_MMIO_READ(t, CF_MMIO + 4, in, 4);
    squib_vcpu_cancel(t->vcpu);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
    CF_EQ(cf_a64_x(t, 1), 0x11223344);
    CF_EQ(CF_A64_OUT(t, 8, 4), 0x11223344);
    squib_vcpu_cancel(t->vcpu);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
    CF_EQ(CF_A64_OUT(t, 12, 4), 1);
}

/* After a write the program counter is past the instruction already. */
static void state_after_write(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_A64(t, out_code);
    CF_EQ(CF_A64_OUT(t, 0, 4), 1);
    CF_EQ(cf_a64_x(t, 31), CF_CODE + 12);
    CF_EQ(cf_a64_x(t, 31), CF_CODE + 12);
    CF_EQ(CF_A64_OUT(t, 4, 4), 2);
    CF_EQ(cf_a64_x(t, 31), CF_CODE + 20);
}

static const uint32_t call_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0x52b8c000, /* movz w0, #0xc600, lsl #16 */
    0x72824680, /* movk w0, #0x1234 */
    0xd2800161, /* mov x1, #11 */
    0xd2800182, /* mov x2, #12 */
    0xd28001a3, /* mov x3, #13 */
    0xd28001c4, /* mov x4, #14 */
    0xd28001e5, /* mov x5, #15 */
    0xd2800206, /* mov x6, #16 */
    0xd4000002, /* hvc #0 */
    0xf9000280, /* str x0, [x20] */
    0xf9000686, /* str x6, [x20, #8] */
    /* done: */
    0x14000000, /* b done */
};

/* A call that nobody knows: KVM answers it with -1 by itself; others hand
 * it out with its arguments. */
static void hypercall_unknown(struct cf *t)
{
    struct squib_exit *e;

    cf_vm(t, 1, false, false);
    CF_A64(t, call_code);
    e = cf_run(t);
    if (e->kind == SQUIB_EXIT_HYPERCALL) {
        CF_EQ(e->hypercall.function, 0xc6001234);
        for (unsigned i = 0; i < 6; i++)
            CF_EQ(e->hypercall.args[i], 11 + i);
        e->hypercall.ret = UINT64_MAX;
        e = cf_run(t);
    }
    if (e->kind != SQUIB_EXIT_MMIO || e->mmio.gpa != CF_MMIO)
        CF_FAIL("expected the result, got %s", cf_describe(e));
    CF_EQ(sq_ld64(e->mmio.data), UINT64_MAX);
    CF_EQ(CF_A64_OUT(t, 8, 8), 16); /* X4 and up are kept */
}

static const uint32_t psci_code[] = {
    0x2a1303e0, /* mov w0, w19 */
    0xaa1503e1, /* mov x1, x21 */
    0xaa1603e2, /* mov x2, x22 */
    0xaa1703e3, /* mov x3, x23 */
    0xd4000002, /* hvc #0 */
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xf9000280, /* str x0, [x20] */
    /* done: */
    0x14000000, /* b done */
};

/* Calls a function of PSCI with up to three arguments. */
static void start_psci(struct cf *t, uint32_t function, uint64_t a,
                       uint64_t b, uint64_t c)
{
    struct squib_aarch64_state st = {0};

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_PSCI))
        cf_skip("the backend leaves PSCI to the monitor");
    CF_PUT(t, CF_CODE, psci_code);
    cf_a64_state(&st);
    st.x[19] = function;
    st.x[21] = a;
    st.x[22] = b;
    st.x[23] = c;
    cf_a64_set(t, t->vcpu, CF_A64_BASICS, &st);
}

static void psci_version(struct cf *t)
{
    cf_vm(t, 1, false, false);
    start_psci(t, PSCI_VERSION, 0, 0, 0);
    CF_CHECK(CF_A64_OUT(t, 0, 8) >= 0x10000);
}

static void psci_off(struct cf *t)
{
    struct squib_exit *e;

    cf_vm(t, 1, false, false);
    start_psci(t, PSCI_SYSTEM_OFF, 0, 0, 0);
    e = CF_KIND(t, SQUIB_EXIT_SHUTDOWN);
    CF_CHECK(!e->shutdown.fault);
}

static void psci_reset(struct cf *t)
{
    cf_vm(t, 1, false, false);
    start_psci(t, PSCI_SYSTEM_RESET, 0, 0, 0);
    CF_KIND(t, SQUIB_EXIT_RESET);
}

static const uint32_t second_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xf9001280, /* str x0, [x20, #0x20] */
    0xd53800a1, /* mrs x1, MPIDR_EL1 */
    0x92405c21, /* and x1, x1, #0xffffff */
    0xf9001681, /* str x1, [x20, #0x28] */
    0x52800040, /* mov w0, #2 */
    0x72b08000, /* movk w0, #0x8400, lsl #16 */
    0xd4000002, /* hvc #0 */
    /* done: */
    0x14000000, /* b done */
};

struct second {
    struct cf *t;
    struct squib_vcpu *_Atomic vcpu;
    pthread_barrier_t made;
    uint64_t out[2];
};

/* The second vCPU: off until the first switches it on. */
static void *second_thread(void *arg)
{
    struct second *s = arg;
    struct squib_vcpu *vcpu;
    struct squib_error e;

    CF_OK(squib_vcpu_new(s->t->vm, 1, &vcpu, &e), e);
    s->vcpu = vcpu;
    pthread_barrier_wait(&s->made);
    for (unsigned i = 0; i < 2; i++) {
        struct squib_exit *x = cf_run_vcpu(vcpu);

        if (x->kind != SQUIB_EXIT_MMIO || !x->mmio.write)
            CF_FAIL("vCPU 1: %s", cf_describe(x));
        s->out[i] = sq_ld64(x->mmio.data);
    }
    /* CPU_OFF: asleep until canceled */
    CF_EQ(cf_run_vcpu(vcpu)->kind, SQUIB_EXIT_CANCELED);
    squib_vcpu_free(vcpu);
    return NULL;
}

static void second_vcpu(struct cf *t)
{
    struct second s = {.t = t};
    pthread_t thread;

    cf_vm(t, 2, true, false);
    CF_PUT(t, CF_CODE2, second_code);
    start_psci(t, PSCI_CPU_ON, squib_aarch64_mpidr(1), CF_CODE2, 0x77);
    pthread_barrier_init(&s.made, NULL, 2);
    CF_CHECK(pthread_create(&thread, NULL, second_thread, &s) == 0);
    pthread_barrier_wait(&s.made);
    CF_EQ(CF_A64_OUT(t, 0, 8), 0);
    for (int i = 0; i < 3; i++)
        CF_A64_SILENCE(t);
    squib_vcpu_cancel(s.vcpu);
    pthread_join(thread, NULL);
    CF_EQ(s.out[0], 0x77);
    CF_EQ(s.out[1], squib_aarch64_mpidr(1));
}

static const uint32_t who_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xd53800a1, /* mrs x1, MPIDR_EL1 */
    0xf9000281, /* str x1, [x20] */
    /* done: */
    0x14000000, /* b done */
};

/* As many as a VM may have: each has the affinity of its index. */
static void all_vcpus(struct cf *t)
{
    struct squib_vcpu *vcpu[SQUIB_VCPUS_MAX], *more;
    static struct squib_aarch64_state st;
    struct squib_error e = {0};

    cf_vm(t, SQUIB_VCPUS_MAX, true, false);
    CF_PUT(t, CF_CODE, who_code);
    vcpu[0] = t->vcpu;
    for (uint32_t i = 1; i < SQUIB_VCPUS_MAX; i++)
        CF_OK(squib_vcpu_new(t->vm, i, &vcpu[i], &e), e);
    CF_EQ(squib_vcpu_new(t->vm, SQUIB_VCPUS_MAX, &more, &e), SQUIB_E_INVAL);
    cf_a64_state(&st);
    st.power = SQUIB_AARCH64_ON;
    for (uint32_t i = 0; i < SQUIB_VCPUS_MAX; i++) {
        struct squib_exit *x;

        cf_a64_set(t, vcpu[i], CF_A64_BASICS | SQUIB_STATE_EVENTS, &st);
        x = cf_run_vcpu(vcpu[i]);
        if (x->kind != SQUIB_EXIT_MMIO || !x->mmio.write)
            CF_FAIL("vCPU %u: %s", i, cf_describe(x));
        CF_EQ(sq_ld64(x->mmio.data) & 0xff00ffffff, squib_aarch64_mpidr(i));
    }
    for (uint32_t i = 1; i < SQUIB_VCPUS_MAX; i++)
        squib_vcpu_free(vcpu[i]);
}

const struct cf_test cf_tests_a64_run[] = {
    {"wfi_sleeps", wfi_sleeps, CF_EXEC | CF_IRQ},
    {"cancel_spinning", cancel_spinning, CF_EXEC},
    {"cancel_before_run", cancel_before_run, CF_EXEC},
    {"cancel_after_read", cancel_after_read, CF_EXEC},
    {"state_after_write", state_after_write, CF_EXEC},
    {"hypercall_unknown", hypercall_unknown, CF_EXEC},
    {"psci_version", psci_version, CF_EXEC},
    {"psci_off", psci_off, CF_EXEC},
    {"psci_reset", psci_reset, CF_EXEC},
    {"second_vcpu", second_vcpu, CF_EXEC | CF_IRQ},
    {"all_vcpus", all_vcpus, CF_EXEC | CF_IRQ},
    {0},
};

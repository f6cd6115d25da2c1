/* SPDX-License-Identifier: Apache-2.0 */
/* The GICv3 and the timer. Source: IHI 0069; DDI 0487, chapter D11. */
#define _GNU_SOURCE
#include "a64.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>

#define LINE 5u
#define INTID SQUIB_AARCH64_SPI(LINE)
#define EDGE (2u << LINE * 2) /* in GICD_ICFGR2 */

/* Switches the controller on, all interrupts in group 1. X24: GICD_ICFGR2.
 * Then writes a 0 and goes to X25, or sleeps. */
static const uint32_t gic_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xd2a1000a, /* movz x10, #0x0800, lsl #16 */
    0xd2a1020b, /* movz x11, #0x0810, lsl #16 */
    0x52800240, /* mov w0, #0x12 */
    0xb9000140, /* str w0, [x10] */
    0xb900157f, /* str wzr, [x11, #0x14] */
    /* wake: */
    0xb9401560, /* ldr w0, [x11, #0x14] */
    0x3717ffe0, /* tbnz w0, #2, wake */
    0x9140416b, /* add x11, x11, #0x10, lsl #12 */
    0x12800000, /* mov w0, #-1 */
    0xb9008160, /* str w0, [x11, #0x80] */
    0xb9010160, /* str w0, [x11, #0x100] */
    0xd280108c, /* mov x12, #0x84 */
    0xb82c6940, /* str w0, [x10, x12] */
    0xd280110c, /* mov x12, #0x88 */
    0xb82c6940, /* str w0, [x10, x12] */
    0xd281800c, /* mov x12, #0xc00 */
    0x8b0a018c, /* add x12, x12, x10 */
    0xb9000998, /* str w24, [x12, #8] */
    0xb9000d9f, /* str wzr, [x12, #12] */
    0x52955540, /* movz w0, #0xaaaa */
    0x72b55540, /* movk w0, #0xaaaa, lsl #16 */
    0xb9001180, /* str w0, [x12, #16] */
    0xb9001580, /* str w0, [x12, #20] */
    0x12800000, /* mov w0, #-1 */
    0xb9010540, /* str w0, [x10, #0x104] */
    0xb9010940, /* str w0, [x10, #0x108] */
    0x52800020, /* mov w0, #1 */
    0xd518cca0, /* msr S3_0_C12_C12_5, x0 */
    0xd5033fdf, /* isb */
    0x52801fe0, /* mov w0, #0xff */
    0xd5184600, /* msr S3_0_C4_C6_0, x0 */
    0x52800020, /* mov w0, #1 */
    0xd518cce0, /* msr S3_0_C12_C12_7, x0 */
    0xd5033fdf, /* isb */
    0xd50342ff, /* msr DAIFClr, #2 */
    0xb900029f, /* str wzr, [x20] */
    0xb5000079, /* cbnz x25, go */
    /* sleep: */
    0xd503207f, /* wfi */
    0x17ffffff, /* b sleep */
    /* go: */
    0xd61f0320, /* br x25 */
};

static const uint32_t handler_code[] = {
    0xd2ba001c, /* movz x28, #0xd000, lsl #16 */
    0xd538cc1d, /* mrs x29, S3_0_C12_C12_0 */
    0xb900f79d, /* str w29, [x28, #0xf4] */
    0xd518cc3d, /* msr S3_0_C12_C12_1, x29 */
    0xd69f03e0, /* eret */
};

static void start_gic(struct cf *t, uint32_t icfgr, uint64_t then)
{
    struct squib_aarch64_state st = {0};

    cf_vm(t, 1, true, false);
    CF_PUT(t, CF_CODE, gic_code);
    CF_PUT(t, CF_STUBS + CF_A64_IRQ, handler_code);
    cf_a64_state(&st);
    st.x[24] = icfgr;
    st.x[25] = then;
    cf_a64_set(t, t->vcpu, CF_A64_BASICS, &st);
    CF_EQ(CF_A64_OUT(t, 0, 4), 0);
}

static void set_irq(struct cf *t, bool level)
{
    struct squib_error e;

    CF_OK(squib_vm_irq(t->vm, LINE, level, &e), e);
}

static void irq_edge(struct cf *t)
{
    start_gic(t, EDGE, 0);
    for (int i = 0; i < 2; i++) {
        set_irq(t, true);
        CF_EQ(CF_A64_OUT(t, 0xf4, 4), INTID);
        CF_A64_SILENCE(t); /* a high line is no new edge */
        set_irq(t, false);
    }
    CF_A64_SILENCE(t);
}

static void irq_level(struct cf *t)
{
    start_gic(t, 0, 0);
    set_irq(t, true);
    CF_EQ(CF_A64_OUT(t, 0xf4, 4), INTID);
    CF_EQ(CF_A64_OUT(t, 0xf4, 4), INTID); /* again: still high */
    set_irq(t, false);
    CF_A64_SILENCE(t);
}

/* A line that was raised before the guest ran. */
static void irq_early(struct cf *t)
{
    struct squib_aarch64_state st = {0};

    cf_vm(t, 1, true, false);
    set_irq(t, true);
    CF_PUT(t, CF_CODE, gic_code);
    CF_PUT(t, CF_STUBS + CF_A64_IRQ, handler_code);
    cf_a64_state(&st);
    cf_a64_set(t, t->vcpu, CF_A64_BASICS, &st);
    CF_EQ(CF_A64_OUT(t, 0xf4, 4), INTID);
}

static void *raise_later(void *arg)
{
    const struct timespec pause = {0, 30000000};

    nanosleep(&pause, NULL);
    squib_vm_irq(arg, LINE, true, NULL);
    squib_vm_irq(arg, LINE, false, NULL);
    return NULL;
}

/* From another thread, while the guest sleeps. */
static void irq_wakes_wfi(struct cf *t)
{
    pthread_t thread;

    start_gic(t, EDGE, 0);
    CF_CHECK(pthread_create(&thread, NULL, raise_later, t->vm) == 0);
    CF_EQ(CF_A64_OUT(t, 0xf4, 4), INTID);
    pthread_join(thread, NULL);
}

static const uint32_t spin_code[] = {
    /* spin: */
    0x91000400, /* add x0, x0, #1 */
    0x17ffffff, /* b spin */
};

/* From another thread, while the guest spins. */
static void irq_stops_spinning(struct cf *t)
{
    pthread_t thread;

    start_gic(t, EDGE, CF_CODE2);
    CF_PUT(t, CF_CODE2, spin_code);
    CF_CHECK(pthread_create(&thread, NULL, raise_later, t->vm) == 0);
    CF_EQ(CF_A64_OUT(t, 0xf4, 4), INTID);
    pthread_join(thread, NULL);
}

static void irq_by_eventfd(struct cf *t)
{
    struct squib_error e;
    int fd = eventfd(0, EFD_CLOEXEC);

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_IRQFD))
        cf_skip("the backend has no irqfd");
    start_gic(t, EDGE, 0);
    CF_OK(t->vm->ops->irqfd(t->vm, LINE, fd, true, &e), e);
    CF_CHECK(eventfd_write(fd, 1) == 0);
    CF_EQ(CF_A64_OUT(t, 0xf4, 4), INTID);
    CF_OK(t->vm->ops->irqfd(t->vm, LINE, fd, false, &e), e);
    CF_CHECK(eventfd_write(fd, 1) == 0);
    CF_A64_SILENCE(t);
}

static const uint32_t io_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0x528000a0, /* mov w0, #5 */
    0xb9000280, /* str w0, [x20] */
    0xb9000680, /* str w0, [x20, #4] */
    0x39000280, /* strb w0, [x20] */
    /* done: */
    0x14000000, /* b done */
};

static void io_by_eventfd(struct cf *t)
{
    struct squib_error e;
    int fd = eventfd(0, EFD_CLOEXEC);
    eventfd_t n = 0;

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_IOEVENTFD))
        cf_skip("the backend has no ioeventfd");
    cf_vm(t, 1, false, false);
    CF_OK(t->vm->ops->ioeventfd(t->vm, false, CF_MMIO, 4, fd, true, &e), e);
    CF_A64(t, io_code);
    CF_EQ(CF_A64_OUT(t, 4, 4), 5); /* another address */
    CF_CHECK(eventfd_read(fd, &n) == 0);
    CF_EQ(n, 1);
    CF_EQ(CF_A64_OUT(t, 0, 1), 5); /* another length */
    CF_OK(t->vm->ops->ioeventfd(t->vm, false, CF_MMIO, 4, fd, false, &e), e);
    CF_A64(t, io_code);
    CF_EQ(CF_A64_OUT(t, 0, 4), 5);
}

static void msi(struct cf *t)
{
    const uint64_t gpa = CF_A64_MSI + SQUIB_AARCH64_MSI_SETSPI;
    struct squib_error e;

    start_gic(t, 0, 0);
    CF_OK(squib_vm_msi(t->vm, gpa, SQUIB_AARCH64_SPI(40), &e), e);
    CF_EQ(CF_A64_OUT(t, 0xf4, 4), SQUIB_AARCH64_SPI(40));
    CF_A64_SILENCE(t);
    CF_OK(squib_vm_msi(t->vm, gpa, SQUIB_AARCH64_SPI(5), &e), e);
    CF_A64_SILENCE(t); /* a line's: dropped */
    CF_EQ(squib_vm_msi(t->vm, gpa + 4, SQUIB_AARCH64_SPI(40), &e),
          SQUIB_E_INVAL);
}

static void irq_refused(struct cf *t)
{
    struct squib_error e;

    struct squib_vm_config config = {.vcpus = 2, .irqchip = true};
    struct squib_vm *vm;

    cf_vm(t, 1, true, false);
    CF_EQ(squib_vm_irq(t->vm, 32, true, &e), SQUIB_E_INVAL);
    cf_a64_config(&config);
    config.gic.redist_len = SQUIB_AARCH64_GICR_LEN;
    CF_EQ(squib_vm_new(t->be, &config, t->mem, &vm, &e), SQUIB_E_INVAL);
    CF_CHECK(strstr(e.text, "2 vCPUs asked for; the GIC has room for 1 "
                            "redistributors\n  do: "));
    cf_a64_config(&config);
    config.gic.dist_gpa += 0x1000;
    CF_EQ(squib_vm_new(t->be, &config, t->mem, &vm, &e), SQUIB_E_INVAL);
    cf_a64_config(&config);
    config.gic.spis = 33;
    CF_EQ(squib_vm_new(t->be, &config, t->mem, &vm, &e), SQUIB_E_INVAL);
}

static const uint32_t sgi_code[] = {
    0xd2a0a000, /* movz x0, #0x0500, lsl #16 */
    0xf2800020, /* movk x0, #1 */
    0xd518cba0, /* msr S3_0_C12_C11_5, x0 */
    0xd5033fdf, /* isb */
    /* sleep: */
    0xd503207f, /* wfi */
    0x17ffffff, /* b sleep */
};

static void sgi(struct cf *t)
{
    start_gic(t, 0, CF_CODE2);
    CF_PUT(t, CF_CODE2, sgi_code);
    CF_EQ(CF_A64_OUT(t, 0xf4, 4), 5);
    CF_A64_SILENCE(t);
}

static const uint32_t timer_code[] = {
    0xd53be000, /* mrs x0, S3_3_C14_C0_0 */
    0xd346fc00, /* lsr x0, x0, #6 */
    0xd51be300, /* msr S3_3_C14_C3_0, x0 */
    0xd2800020, /* mov x0, #1 */
    0xd51be320, /* msr S3_3_C14_C3_1, x0 */
    0xd5033fdf, /* isb */
    /* sleep: */
    0xd503207f, /* wfi */
    0x17ffffff, /* b sleep */
};

static const uint32_t timer_handler_code[] = {
    0xd2ba001c, /* movz x28, #0xd000, lsl #16 */
    0xd538cc1d, /* mrs x29, S3_0_C12_C12_0 */
    0xd280005b, /* mov x27, #2 */
    0xd51be33b, /* msr S3_3_C14_C3_1, x27 */
    0xd5033fdf, /* isb */
    0xb900f79d, /* str w29, [x28, #0xf4] */
    0xd518cc3d, /* msr S3_0_C12_C12_1, x29 */
    0xd69f03e0, /* eret */
};

static void timer(struct cf *t)
{
    start_gic(t, 0, CF_CODE2);
    CF_PUT(t, CF_CODE2, timer_code);
    CF_PUT(t, CF_STUBS + CF_A64_IRQ, timer_handler_code);
    CF_EQ(CF_A64_OUT(t, 0xf4, 4),
          SQUIB_AARCH64_PPI(SQUIB_AARCH64_PPI_TIMER_VIRTUAL));
    CF_A64_SILENCE(t);
}

const struct cf_test cf_tests_a64_irq[] = {
    {"irq_edge", irq_edge, CF_EXEC | CF_IRQ},
    {"irq_level", irq_level, CF_EXEC | CF_IRQ},
    {"irq_early", irq_early, CF_EXEC | CF_IRQ},
    {"irq_wakes_wfi", irq_wakes_wfi, CF_EXEC | CF_IRQ},
    {"irq_stops_spinning", irq_stops_spinning, CF_EXEC | CF_IRQ},
    {"irq_by_eventfd", irq_by_eventfd, CF_EXEC | CF_IRQ},
    {"io_by_eventfd", io_by_eventfd, CF_EXEC},
    {"msi", msi, CF_EXEC | CF_IRQ},
    {"irq_refused", irq_refused, CF_IRQ},
    {"sgi", sgi, CF_EXEC | CF_IRQ},
    {"timer", timer, CF_EXEC | CF_IRQ},
    {0},
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Architectural state: in and out, refused, moved to another VM. */
#define _GNU_SOURCE
#include "a64.h"

#include <stdlib.h>
#include <sys/mman.h>

static const uint32_t move_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xf9000281, /* str x1, [x20] */
    0x91000421, /* add x1, x1, #1 */
    0xd538d082, /* mrs x2, TPIDR_EL1 */
    0xf9000682, /* str x2, [x20, #8] */
    0x9e6600e3, /* fmov x3, d7 */
    0xf9000a83, /* str x3, [x20, #16] */
    /* done: */
    0x14000000, /* b done */
};

static void fill(struct squib_aarch64_state *st)
{
    cf_a64_state(st);
    for (unsigned i = 0; i < 31; i++)
        st->x[i] = 0x0101010101010101ull * i;
    st->pstate = SQUIB_AARCH64_PSTATE_EL1H | 0x60000000;
    st->sp_el0 = 0x7ffff000;
    st->elr_el1 = 0xffff800008001234;
    st->spsr_el1 = 0x3c5;
    cf_a64_sysreg(st, SQUIB_AARCH64_TPIDR_EL1, 0x1234567890);
    cf_a64_sysreg(st, SQUIB_AARCH64_TPIDR_EL0, 0x99);
    cf_a64_sysreg(st, SQUIB_AARCH64_FAR_EL1, 0xdead0000);
    cf_a64_sysreg(st, SQUIB_AARCH64_CPACR_EL1, 0x300000);
    for (unsigned i = 0; i < 32; i++) {
        st->v[i][0] = 0x1000 + i;
        st->v[i][1] = 0x2000 + i;
    }
    st->fpsr = 0x10;
}

static void check(const struct squib_aarch64_state *a,
                  const struct squib_aarch64_state *b)
{
    CF_CHECK(memcmp(a->x, b->x, sizeof(a->x)) == 0);
    CF_EQ(b->pc, a->pc);
    CF_EQ(b->pstate, a->pstate);
    CF_EQ(b->sp_el0, a->sp_el0);
    CF_EQ(b->sp_el1, a->sp_el1);
    CF_EQ(b->elr_el1, a->elr_el1);
    CF_EQ(b->spsr_el1, a->spsr_el1);
    for (unsigned i = 0; i < SQUIB_AARCH64_SYSREG_COUNT; i++)
        if (a->present[i / 64] >> i % 64 & 1)
            cf_eq(__FILE__, __LINE__, squib_aarch64_sysreg_name(i),
                  b->sysreg[i], a->sysreg[i]);
    CF_CHECK(memcmp(a->v, b->v, sizeof(a->v)) == 0);
    CF_EQ(b->fpsr, a->fpsr);
}

/* What is set comes back, and setting what came back changes nothing. */
static void state_roundtrip(struct cf *t)
{
    static struct squib_aarch64_state a, b, c;

    cf_vm(t, 1, true, false);
    fill(&a);
    cf_a64_set(t, t->vcpu, CF_A64_BASICS | SQUIB_STATE_FPU, &a);
    cf_a64_get(t, SQUIB_STATE_ALL, &b);
    check(&a, &b);
    CF_EQ(b.power, SQUIB_AARCH64_ON);
    cf_a64_set(t, t->vcpu, SQUIB_STATE_ALL, &b);
    cf_a64_get(t, SQUIB_STATE_ALL, &c);
    check(&b, &c);
    CF_CHECK(memcmp(&b.gic, &c.gic, sizeof(b.gic)) == 0);
    CF_CHECK(c.cntvct >= b.cntvct);
}

/* Only the parts that were named are touched. */
static void state_parts(struct cf *t)
{
    static struct squib_aarch64_state st, back;

    cf_vm(t, 1, false, false);
    fill(&st);
    cf_a64_set(t, t->vcpu, CF_A64_BASICS, &st);
    st.x[1] = 6;
    cf_a64_sysreg(&st, SQUIB_AARCH64_TPIDR_EL1, 0x77);
    cf_a64_set(t, t->vcpu, SQUIB_STATE_SYSTEM, &st);
    memset(&back, 0xee, sizeof(back));
    cf_a64_get(t, SQUIB_STATE_REGS, &back);
    CF_EQ(back.x[1], 0x0101010101010101);
    CF_EQ(back.sysreg[SQUIB_AARCH64_TPIDR_EL1], 0xeeeeeeeeeeeeeeee);
    cf_a64_get(t, SQUIB_STATE_SYSTEM, &back);
    CF_EQ(back.sysreg[SQUIB_AARCH64_TPIDR_EL1], 0x77);
}

static void state_refused(struct cf *t)
{
    struct squib_aarch64_state st = {0};
    struct squib_x86_64_state *x86 = calloc(1, sizeof(*x86));
    struct squib_aarch64_gic_dist gic = {.spis = 96};
    struct squib_error e = {0};

    CF_CHECK(x86 != NULL);
    cf_vm(t, 1, true, false);
    cf_a64_state(&st);
    st.pstate = 0x3c9; /* EL2 */
    CF_EQ(squib_vcpu_set_aarch64(t->vcpu, SQUIB_STATE_REGS, &st, &e),
          SQUIB_E_INVAL);
    CF_CHECK(e.text[0]);
    st.pstate = 0x1d3; /* AArch32 */
    CF_EQ(squib_vcpu_set_aarch64(t->vcpu, SQUIB_STATE_REGS, &st, &e),
          SQUIB_E_INVAL);
    st.power = 7;
    CF_EQ(squib_vcpu_set_aarch64(t->vcpu, SQUIB_STATE_EVENTS, &st, &e),
          SQUIB_E_INVAL);
    CF_EQ(squib_vcpu_get_state(t->vcpu, SQUIB_STATE_REGS, x86, &e),
          SQUIB_E_NOSUPPORT);
    CF_EQ(squib_vm_set_gic(t->vm, &gic, &e), SQUIB_E_INVAL);
    free(x86);
}

/* Saved here, restored into another VM on the same memory, goes on there:
 * registers, vector registers, and an interrupt that is pending. */
static void state_moves(struct cf *t)
{
    static struct squib_aarch64_state st;
    static struct squib_aarch64_gic_dist gic, back;
    struct squib_error e;

    cf_vm(t, 1, true, false);
    fill(&st);
    CF_PUT(t, CF_CODE, move_code);
    cf_a64_set(t, t->vcpu, CF_A64_BASICS | SQUIB_STATE_FPU, &st);
    CF_EQ(CF_A64_OUT(t, 0, 8), 0x0101010101010101);
    CF_OK(squib_vm_get_gic(t->vm, &gic, &e), e);
    gic.igroupr[1] = 0xffff0000;
    gic.isenabler[1] = 0x00f00000;
    gic.ispendr[1] = 0x00200000;
    gic.ipriorityr[53] = 0x50;
    gic.irouter[53] = 0;
    cf_a64_get(t, SQUIB_STATE_ALL, &st);
    squib_vcpu_free(t->vcpu);
    squib_vm_free(t->vm);
    cf_vm_on_memory(t, 1, true, false);
    CF_OK(squib_vm_set_gic(t->vm, &gic, &e), e);
    cf_a64_set(t, t->vcpu, SQUIB_STATE_ALL, &st);
    CF_OK(squib_vm_get_gic(t->vm, &back, &e), e);
    CF_CHECK(memcmp(&gic, &back, sizeof(gic)) == 0);
    CF_EQ(CF_A64_OUT(t, 8, 8), 0x1234567890);
    CF_EQ(cf_a64_x(t, 1), 0x0101010101010102);
    CF_EQ(CF_A64_OUT(t, 16, 8), 0x1007);
}

/* A vCPU that is off stays off where it is restored. */
static void state_power(struct cf *t)
{
    static struct squib_aarch64_state st;

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_PSCI))
        cf_skip("the backend leaves PSCI to the monitor");
    cf_vm(t, 1, true, false);
    CF_A64(t, move_code);
    st.power = SQUIB_AARCH64_OFF;
    cf_a64_set(t, t->vcpu, SQUIB_STATE_EVENTS, &st);
    CF_A64_SILENCE(t);
    cf_a64_get(t, SQUIB_STATE_EVENTS, &st);
    CF_EQ(st.power, SQUIB_AARCH64_OFF);
    st.power = SQUIB_AARCH64_ON;
    cf_a64_set(t, t->vcpu, SQUIB_STATE_EVENTS, &st);
    CF_A64_OUT(t, 0, 8);
}

static const uint32_t count_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xd53be041, /* mrs x1, S3_3_C14_C0_2 */
    0xf9000281, /* str x1, [x20] */
    0xd53be041, /* mrs x1, S3_3_C14_C0_2 */
    0xf9000281, /* str x1, [x20] */
    /* done: */
    0x14000000, /* b done */
};

/* The virtual counter goes on from what was set, for the guest too. */
static void state_counter(struct cf *t)
{
    static struct squib_aarch64_state st;
    uint64_t first, second;

    cf_vm(t, 1, true, false);
    CF_A64(t, count_code);
    cf_a64_get(t, SQUIB_STATE_TIMER, &st);
    st.cntvct = 0x1000000000000;
    cf_a64_set(t, t->vcpu, SQUIB_STATE_TIMER, &st);
    first = CF_A64_OUT(t, 0, 8);
    second = CF_A64_OUT(t, 0, 8);
    CF_CHECK(first >= 0x1000000000000 && first < 0x1001000000000);
    CF_CHECK(second > first);
}

static const uint32_t touch_code[] = {
    0xd2a00801, /* movz x1, #0x40, lsl #16 */
    0xf9400020, /* ldr x0, [x1] */
    /* done: */
    0x14000000, /* b done */
};

/* Memory that the host no longer has: the monitor is told, and lives. */
static void host_memory_gone(struct cf *t)
{
    const struct squib_range range = {0x400000, 0x4000};
    struct squib_error e;
    struct squib_exit *x;
    void *mine = mmap(NULL, range.len, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_HARDWARE))
        cf_skip("an access by the host itself");
    CF_CHECK(mine != MAP_FAILED);
    cf_vm(t, 1, false, false);
    CF_OK(squib_vm_map(t->vm, range, mine, SQUIB_PROT_RWX, &e), e);
    munmap(mine, range.len);
    CF_A64(t, touch_code);
    x = CF_KIND(t, SQUIB_EXIT_INTERNAL_ERROR);
    CF_CHECK(x->internal_error.text && x->internal_error.text[0]);
}

static const uint32_t step_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0x52800020, /* mov w0, #1 */
    0xd503201f, /* nop */
    0xb9000280, /* str w0, [x20] */
    /* done: */
    0x14000000, /* b done */
};

static void debug_step(struct cf *t)
{
    struct squib_exit *x;
    struct squib_error e;

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_DEBUG))
        cf_skip("the backend has no debug exits");
    cf_vm(t, 1, false, false);
    CF_A64(t, step_code);
    CF_OK(squib_vcpu_debug(t->vcpu, SQUIB_DEBUG_STEP, &e), e);
    for (uint32_t i = 1; i <= 3; i++) {
        x = CF_KIND(t, SQUIB_EXIT_DEBUG);
        CF_EQ(x->debug.pc, CF_CODE + 4 * i);
    }
    CF_OK(squib_vcpu_debug(t->vcpu, 0, &e), e);
    CF_EQ(CF_A64_OUT(t, 0, 4), 1);
}

static const uint32_t brk_code[] = {
    0xd503201f, /* nop */
    0xd4200000, /* brk #0 */
};

static void debug_break(struct cf *t)
{
    struct squib_exit *x;
    struct squib_error e;

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_DEBUG))
        cf_skip("the backend has no debug exits");
    cf_vm(t, 1, false, false);
    CF_A64(t, brk_code);
    CF_OK(squib_vcpu_debug(t->vcpu, SQUIB_DEBUG_BREAK, &e), e);
    x = CF_KIND(t, SQUIB_EXIT_DEBUG);
    CF_EQ(x->debug.pc, CF_CODE + 4);
    CF_EQ(x->debug.syndrome >> 26, CF_A64_EC_BRK);
    CF_OK(squib_vcpu_debug(t->vcpu, 0, &e), e);
    CF_A64_EXCEPTION(t, CF_A64_SYNC, CF_A64_EC_BRK, 4);
}

const struct cf_test cf_tests_a64_state[] = {
    {"state_roundtrip", state_roundtrip, CF_EXEC | CF_IRQ},
    {"state_parts", state_parts, 0},
    {"state_refused", state_refused, CF_EXEC | CF_IRQ},
    {"state_moves", state_moves, CF_EXEC | CF_IRQ},
    {"state_power", state_power, CF_EXEC | CF_IRQ},
    {"state_counter", state_counter, CF_EXEC | CF_IRQ},
    {"host_memory_gone", host_memory_gone, CF_EXEC},
    {"debug_step", debug_step, CF_EXEC},
    {"debug_break", debug_break, CF_EXEC},
    {0},
};

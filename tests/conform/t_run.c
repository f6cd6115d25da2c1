/* SPDX-License-Identifier: Apache-2.0 */
/* Running, halting, canceling. */
#include "conform.h"

static const uint8_t hlt_code[] = {
    0xf4,                          /* hlt */
    0xb0, 0x07,                    /* mov al, 7 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

/* Without an interrupt controller HLT comes out, and run goes on after. */
static void hlt_exits(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_REAL(t, hlt_code);
    CF_HLT(t);
    CF_OUT(t, 0xf4, 1, 7);
    CF_HLT(t);
}

static const uint8_t spin_code[] = {
    /* spin: */
    0x48, 0xff, 0xc0,              /* inc rax */
    0xeb, 0xfb,                    /* jmp spin */
};

static void cancel_spinning(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_LONG(t, spin_code);
    for (int i = 0; i < 3; i++) {
        cf_cancel_after(t->vcpu, 20);
        CF_KIND(t, SQUIB_EXIT_CANCELED);
    }
    CF_CHECK(cf_gpr(t, SQUIB_X86_RAX) > 0);
}

static const uint8_t out_code[] = {
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xb0, 0x02,                    /* mov al, 2 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

/* A cancel that comes first is kept; two count as one; none is left. */
static void cancel_before_run(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_LONG(t, out_code);
    squib_vcpu_cancel(t->vcpu);
    squib_vcpu_cancel(t->vcpu);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
    CF_OUT(t, 0xf4, 1, 1);
    CF_OUT(t, 0xf4, 1, 2);
    squib_vcpu_cancel(t->vcpu);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
    CF_HLT(t);
}

static const uint8_t in_code[] = {
    0xbf, 0x00, 0x00, 0x00, 0xd0,  /* mov edi, 0xd0000000 */
    0xe5, 0xf0,                    /* in eax, 0xf0 */
    0x8b, 0x1f,                    /* mov ebx, [rdi] */
    0x89, 0x5f, 0x08,              /* mov [rdi+8], ebx */
    0xff, 0xc1,                    /* inc ecx */
    0xf4,                          /* hlt */
};

/* An answer reaches the guest inside the next run even if that run is
 * canceled: state and memory are complete afterwards. */
static void cancel_after_read(struct cf *t)
{
    static const uint8_t in[] = {0x44, 0x33, 0x22, 0x11};
    struct squib_exit *e;

    cf_vm(t, 1, false, false);
    CF_LONG(t, in_code);
    CF_IN(t, 0xf0, 4, 0x12345678);
    squib_vcpu_cancel(t->vcpu);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 0x12345678);
    e = CF_KIND(t, SQUIB_EXIT_MMIO);
    memcpy(e->mmio.data, in, sizeof(in));
    squib_vcpu_cancel(t->vcpu);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 0x11223344);
    CF_MMIO_WRITE(t, CF_MMIO + 8, in, 4);
    squib_vcpu_cancel(t->vcpu);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
    CF_EQ(cf_gpr(t, SQUIB_X86_RCX), 0);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RCX), 1);
}

static uint64_t rip(struct cf *t)
{
    struct squib_x86_64_state st;
    struct squib_error e;

    CF_OK(squib_vcpu_get_state(t->vcpu, SQUIB_STATE_REGS, &st, &e), e);
    return st.rip;
}

/* After a write the program counter is past the instruction already. */
static void state_after_write(struct cf *t)
{
    static const uint8_t zero[4];

    cf_vm(t, 1, false, false);
    CF_LONG(t, out_code);
    CF_OUT(t, 0xf4, 1, 1);
    CF_EQ(rip(t), CF_CODE + 4);
    CF_EQ(rip(t), CF_CODE + 4);
    CF_OUT(t, 0xf4, 1, 2);
    CF_HLT(t);
    CF_LONG(t, in_code);
    CF_IN(t, 0xf0, 4, 0);
    CF_MMIO_READ(t, CF_MMIO, zero, 4);
    CF_MMIO_WRITE(t, CF_MMIO + 8, zero, 4);
    CF_EQ(rip(t), CF_CODE + 5 + 2 + 2 + 3);
    CF_HLT(t);
}

static const uint8_t idle_code[] = {
    0xfa,                          /* cli */
    0xf4,                          /* hlt */
};

/* A vCPU that sleeps for ever can be canceled, wherever it sleeps. */
static void cancel_idle(struct cf *t)
{
    cf_vm(t, 1, true, false);
    CF_LONG(t, idle_code);
    cf_cancel_after(t->vcpu, 30);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
}

static const uint8_t step_code[] = {
    0xb0, 0x01,                    /* mov al, 1 */
    0x90,                          /* nop */
    0xb0, 0x02,                    /* mov al, 2 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

static void debug_step(struct cf *t)
{
    static const uint8_t at[] = {2, 3, 5};
    struct squib_exit *x;
    struct squib_error e;

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_DEBUG))
        cf_skip("the backend has no debug exits");
    cf_vm(t, 1, false, false);
    CF_LONG(t, step_code);
    CF_EQ(squib_vcpu_debug(t->vcpu, 0x80, &e), SQUIB_E_INVAL);
    CF_OK(squib_vcpu_debug(t->vcpu, SQUIB_DEBUG_STEP, &e), e);
    for (size_t i = 0; i < sizeof(at); i++) {
        x = CF_KIND(t, SQUIB_EXIT_DEBUG);
        CF_EQ(x->debug.pc, CF_CODE + at[i]);
    }
    CF_OK(squib_vcpu_debug(t->vcpu, 0, &e), e);
    CF_OUT(t, 0xf4, 1, 2);
}

static const uint8_t int3_code[] = {
    0x90,                          /* nop */
    0xcc,                          /* int3 */
    0xf4,                          /* hlt */
};

static void debug_break(struct cf *t)
{
    struct squib_exit *x;
    struct squib_error e;

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_DEBUG))
        cf_skip("the backend has no debug exits");
    cf_vm(t, 1, false, false);
    CF_LONG(t, int3_code);
    CF_OK(squib_vcpu_debug(t->vcpu, SQUIB_DEBUG_BREAK, &e), e);
    x = cf_run(t);
    if (x->kind == SQUIB_EXIT_PIO && x->pio.port == CF_PORT_VECTOR &&
        squib_backend_caps(t->be) & SQUIB_CAP_HARDWARE)
        cf_skip("this processor's int3 cannot be intercepted");
    CF_EQ(x->kind, SQUIB_EXIT_DEBUG);
    CF_EQ(x->debug.pc, CF_CODE + 1);
}

const struct cf_test cf_tests_run[] = {
    {"hlt_exits", hlt_exits, CF_EXEC},
    {"cancel_spinning", cancel_spinning, CF_EXEC},
    {"cancel_before_run", cancel_before_run, CF_EXEC},
    {"cancel_after_read", cancel_after_read, CF_EXEC},
    {"state_after_write", state_after_write, CF_EXEC},
    {"cancel_idle", cancel_idle, CF_EXEC | CF_IRQ},
    {"debug_step", debug_step, CF_EXEC},
    {"debug_break", debug_break, CF_EXEC | CF_INT3},
    {0},
};

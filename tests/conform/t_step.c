/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedder's debugger: single steps and breakpoint instructions. Each
 * list of program counters is where the steps must end, from CF_CODE unless
 * it is an address.
 */
#include "conform.h"

#include <pthread.h>
#include <time.h>

#include "base/util.h"

#define SYNDROME 0xffff0ff0u /* DR6 with no reason in it */
#define BS 0x4000u
#define TF 0x100u
#define IF 0x200u
#define HANDLER 0x14000u
#define LAPIC_GPA 0xfee00000u

static void debug(struct squib_vcpu *vcpu, uint32_t flags)
{
    struct squib_error e;

    CF_OK(squib_vcpu_debug(vcpu, flags, &e), e);
}

static void get(struct cf *t, struct squib_x86_64_state *st)
{
    struct squib_error e;

    CF_OK(squib_vcpu_get_state(t->vcpu, SQUIB_STATE_ALL, st, &e), e);
}

static uint64_t rip(struct cf *t)
{
    struct squib_x86_64_state st;

    get(t, &st);
    return st.rip;
}

static void set_rip(struct squib_vcpu *vcpu, uint64_t rip)
{
    struct squib_x86_64_state st;
    struct squib_error e;

    CF_OK(squib_vcpu_get_state(vcpu, SQUIB_STATE_REGS, &st, &e), e);
    st.rip = rip;
    CF_OK(squib_vcpu_set_state(vcpu, SQUIB_STATE_REGS, &st, &e), e);
}

/* The next exit is a step's, at pc. */
static void step(int line, struct cf *t, uint32_t pc)
{
    const struct squib_exit *x = cf_run(t);
    uint64_t want = pc < 0x1000 ? CF_CODE + pc : pc;

    if (x->kind != SQUIB_EXIT_DEBUG)
        cf_fail(__FILE__, line, "expected a step to %#llx, got %s",
                (unsigned long long)want, cf_describe(x));
    cf_eq(__FILE__, line, "pc", x->debug.pc, want);
    cf_eq(__FILE__, line, "syndrome", x->debug.syndrome, SYNDROME | BS);
}

static void steps(int line, struct cf *t, const uint32_t *pc, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        step(line, t, pc[k]);
        CF_EQ(rip(t), pc[k] < 0x1000 ? CF_CODE + pc[k] : pc[k]);
    }
}
#define STEPS(t, ...)                                                      \
    steps(__LINE__, t, (const uint32_t[]){__VA_ARGS__},                    \
          SQ_ARRAY_LEN(((const uint32_t[]){__VA_ARGS__})))

/* The next exit is a breakpoint's. */
static void stops_at(int line, struct cf *t, uint32_t pc)
{
    const struct squib_exit *x = cf_run(t);

    if (x->kind != SQUIB_EXIT_DEBUG)
        cf_fail(__FILE__, line, "expected a breakpoint, got %s",
                cf_describe(x));
    cf_eq(__FILE__, line, "pc", x->debug.pc, CF_CODE + pc);
    CF_EQ(rip(t), CF_CODE + pc);
}
#define STOPS_AT(t, pc) stops_at(__LINE__, t, pc)

/* Skips where breakpoint instructions cannot be had. A backend that executes
 * them itself has no excuse. */
static void need_breaks(const struct cf *t)
{
    static const uint8_t int3[] = {0xcc};
    struct cf trial = {.be = t->be};
    uint64_t caps = squib_backend_caps(t->be);

    if (!(caps & SQUIB_CAP_DEBUG))
        cf_skip("the backend has no debug exits");
    if (!(caps & SQUIB_CAP_HARDWARE))
        return;
    cf_vm(&trial, 1, false, false);
    CF_LONG(&trial, int3);
    debug(trial.vcpu, SQUIB_DEBUG_BREAK);
    if (cf_run(&trial)->kind != SQUIB_EXIT_DEBUG)
        cf_skip("this processor's int3 cannot be intercepted");
    cf_free(&trial);
}

static void send_msi(struct cf *t, uint8_t vector)
{
    struct squib_error e;

    CF_OK(squib_vm_msi(t->vm, LAPIC_GPA, vector, &e), e);
}

/* --- steps --------------------------------------------------------------- */

static const uint8_t plain_code[] = {
    0xb9, 0x02, 0x00, 0x00, 0x00,  /* mov ecx, 0x2 */
    0x9c,                          /* pushf */
    0x5b,                          /* pop rbx */
    0xe8, 0x03, 0x00, 0x00, 0x00,  /* call away */
    0xeb, 0x04,                    /* jmp done */
    0x90,                          /* nop */
    /* away: */
    0xff, 0xc0,                    /* inc eax */
    0xc3,                          /* ret */
    /* done: */
    0xe2, 0xfe,                    /* loop done */
    0xf4,                          /* hlt */
};

/* Every instruction, and nothing in the flags that the guest pushes. */
static void step_plain(struct cf *t)
{
    uint64_t before;

    cf_vm(t, 1, false, false);
    CF_LONG(t, plain_code);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    before = squib_vcpu_insn_count(t->vcpu);
    STEPS(t, 0x5, 0x6, 0x7, 0xf, 0x11, 0xc, 0x12, 0x12, 0x14);
    CF_EQ(squib_vcpu_insn_count(t->vcpu) - before, 9);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 2);
    CF_EQ(cf_ram64(t, CF_STACK - 8), CF_CODE + 0xc);
}

static const uint8_t real_code[] = {
    0x40,                          /* inc ax */
    0xeb, 0x01,                    /* jmp over */
    0x90,                          /* nop */
    /* over: */
    0x40,                          /* inc ax */
    0xf4,                          /* hlt */
};

/* The exit has the linear address. */
static void step_real(struct cf *t)
{
    const struct squib_exit *x;

    cf_vm(t, 1, false, false);
    CF_REAL(t, real_code);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    step(__LINE__, t, 1);
    step(__LINE__, t, 4);
    CF_EQ(rip(t), 4);
    debug(t->vcpu, SQUIB_DEBUG_BREAK);
    CF_PUT(t, CF_CODE + 4, ((uint8_t[]){0xcc}));
    x = CF_KIND(t, SQUIB_EXIT_DEBUG);
    CF_EQ(x->debug.pc, CF_CODE + 4);
}

static const uint8_t fault_code[] = {
    0xb8, 0x00, 0x20, 0x02, 0x00,  /* mov eax, 0x22000 */
    0x8b, 0x18,                    /* mov ebx, dword ptr [rax] */
    0xff, 0xc2,                    /* inc edx */
    0xf4,                          /* hlt */
};
static const uint8_t fault_handler[] = {
    0x48, 0x83, 0xc4, 0x08,        /* add rsp, 0x8 */
    0x48, 0x8b, 0x74, 0x24, 0x10,  /* mov rsi, qword ptr [rsp+0x10] */
    /* mov qword ptr 0xa110, 0x22007 */
    0x48, 0xc7, 0x04, 0x25, 0x10, 0xa1, 0x00, 0x00, 0x07, 0x20, 0x02, 0x00,
    0x48, 0xcf,                    /* iretq */
};
static const uint8_t away_code[] = {
    0xb8, 0x00, 0x00, 0x03, 0x00,  /* mov eax, 0x30000 */
    0xff, 0xe0,                    /* jmp rax */
};

/* The way into a handler is a step, and the way back. */
static void step_fault(struct cf *t)
{
    cf_vm(t, 1, false, false);
    cf_use_4k_pages(t);
    cf_gate(t, 14, HANDLER, 0);
    CF_PUT(t, HANDLER, fault_handler);
    CF_LONG(t, fault_code);
    cf_put64(t, CF_PT + 0x22 * 8, 0);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    STEPS(t, 5, HANDLER, HANDLER + 4, HANDLER + 9, HANDLER + 0x15, 5, 7, 9);
    CF_EQ(cf_gpr(t, SQUIB_X86_RSI) & TF, 0);
    CF_EQ(cf_gpr(t, SQUIB_X86_RDX), 1);
    CF_EQ(squib_vcpu_insn_count(t->vcpu), 7);
    /* Where the fetch faults, too. */
    CF_LONG(t, away_code);
    cf_put64(t, CF_PT + 0x30 * 8, 0);
    STEPS(t, 5, 0x30000, HANDLER, HANDLER + 4);
}

static const uint8_t watch_code[] = {
    0x89, 0x04, 0x25, 0x00, 0x10, 0x02, 0x00, /* mov dword ptr 0x21000, eax */
    0x90,                          /* nop */
    0xff, 0xc2,                    /* inc edx */
    0xf4,                          /* hlt */
};
static const uint8_t watch_handler[] = {
    0x0f, 0x21, 0xf6,              /* mov rsi, dr6 */
    /* or qword ptr [rsp+0x10], 0x10000 */
    0x48, 0x81, 0x4c, 0x24, 0x10, 0x00, 0x00, 0x01, 0x00,
    0x48, 0xcf,                    /* iretq */
};

/* The guest's breakpoints work while it is stepped: they, too, lead to a
 * handler. */
static void step_breakpoints(struct cf *t)
{
    struct squib_x86_64_state st = {0};
    struct squib_error e;

    cf_vm(t, 1, false, false);
    cf_gate(t, 1, HANDLER, 0);
    CF_PUT(t, HANDLER, watch_handler);
    CF_LONG(t, watch_code);
    cf_long_state(&st);
    st.dr[0] = CF_CODE + 8;
    st.dr[1] = 0x21000;
    st.dr6 = SYNDROME;
    st.dr7 = 0xd00405;
    CF_OK(squib_vcpu_set_state(t->vcpu, SQUIB_STATE_SYSTEM, &st, &e), e);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    STEPS(t, HANDLER, HANDLER + 3);
    CF_EQ(cf_gpr(t, SQUIB_X86_RSI), SYNDROME | 2);
    STEPS(t, HANDLER + 12, 7, 8, HANDLER, HANDLER + 3);
    CF_EQ(cf_gpr(t, SQUIB_X86_RSI), SYNDROME | 1);
    STEPS(t, HANDLER + 12, 8, 10);
}

static const uint8_t shutdown_code[] = {
    0xff, 0xc0,                    /* inc eax */
    0x0f, 0x0b,                    /* ud2 */
};

static void step_shutdown(struct cf *t)
{
    struct squib_x86_64_state st = {0};
    struct squib_error e;

    cf_vm(t, 1, false, false);
    CF_LONG(t, shutdown_code);
    cf_long_state(&st);
    st.idt.limit = 0;
    CF_OK(squib_vcpu_set_state(t->vcpu, SQUIB_STATE_SYSTEM, &st, &e), e);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    STEPS(t, 2);
    CF_CHECK(CF_KIND(t, SQUIB_EXIT_SHUTDOWN)->shutdown.fault);
    /* It begins anew, without a step that nothing made. */
    CF_LONG(t, shutdown_code);
    STEPS(t, 2);
}

static const uint8_t int_code[] = {
    0xcc,                          /* int3 */
    0xcd, 0x20,                    /* int 0x20 */
    0xf1,                          /* int1 */
    0xff, 0xc2,                    /* inc edx */
    0xf4,                          /* hlt */
};
static const uint8_t return_code[] = {
    0x48, 0xcf,                    /* iretq */
};

/* Software interrupts are as any other instruction while nobody asked for
 * breakpoints. */
static void step_int(struct cf *t)
{
    cf_vm(t, 1, false, false);
    for (unsigned k = 0; k < 3; k++)
        cf_gate(t, (uint8_t[]){1, 3, 0x20}[k], HANDLER, 0);
    CF_PUT(t, HANDLER, return_code);
    CF_LONG(t, int_code);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    STEPS(t, HANDLER, 1, HANDLER, 3, HANDLER, 4, 6);
    CF_EQ(cf_ram64(t, CF_STACK - 24) & TF, 0); /* the last frame's flags */
}

static const uint8_t string_code[] = {
    0xbf, 0x00, 0x10, 0x02, 0x00,  /* mov edi, 0x21000 */
    0xbe, 0x00, 0x20, 0x02, 0x00,  /* mov esi, 0x22000 */
    0xb9, 0x03, 0x00, 0x00, 0x00,  /* mov ecx, 0x3 */
    /* rep movs byte ptr es:[rdi], byte ptr [rsi] */
    0xf3, 0xa4,
    /* rep movs byte ptr es:[rdi], byte ptr [rsi] */
    0xf3, 0xa4,
    0xb9, 0x04, 0x00, 0x00, 0x00,  /* mov ecx, 0x4 */
    0xf2, 0xae,                    /* repnz scas al, byte ptr es:[rdi] */
    0xf4,                          /* hlt */
};

/* Each turn is a step; what has no turn is one. */
static void step_string(struct cf *t)
{
    uint64_t before;

    cf_vm(t, 1, false, false);
    CF_LONG(t, string_code);
    CF_PUT(t, 0x21003, ((uint8_t[]){1, 1}));
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    before = squib_vcpu_insn_count(t->vcpu);
    STEPS(t, 5, 0xa, 0xf, 0xf);
    CF_EQ(cf_gpr(t, SQUIB_X86_RCX), 2);
    STEPS(t, 0xf, 0x11, 0x13, 0x18, 0x18, 0x18, 0x1a);
    CF_EQ(cf_gpr(t, SQUIB_X86_RCX), 1);
    CF_EQ(squib_vcpu_insn_count(t->vcpu) - before, 7);
}

static const uint8_t shadow_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    0xb9, 0x10, 0x00, 0x00, 0x00,  /* mov ecx, 0x10 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0x8e, 0xd1,                    /* mov ss, ecx */
    0x90,                          /* nop */
    0xfb,                          /* sti */
    0x90,                          /* nop */
    0x90,                          /* nop */
    0xfa,                          /* cli */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xfb,                          /* sti */
    0xcc,                          /* int3 */
    0x90,                          /* nop */
    0xf4,                          /* hlt */
};
static const uint8_t irq_handler[] = {
    /* mov dword ptr [rdi+0xb0], 0x0 */
    0xc7, 0x87, 0xb0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x48, 0xcf,                    /* iretq */
};

/* There are stops where interrupts are held off, and there none comes. What
 * comes is a step. A breakpoint does not end what STI promises. */
static void step_shadow(struct cf *t)
{
    struct squib_x86_64_state st;

    cf_vm(t, 1, true, false);
    cf_gate(t, 0x41, HANDLER, 0);
    CF_PUT(t, HANDLER, irq_handler);
    CF_LONG(t, shadow_code);
    CF_OUT(t, 0xf4, 1, 0);
    send_msi(t, 0x41);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    STEPS(t, 0x18, 0x19, 0x1a);
    get(t, &st);
    CF_EQ(st.irq_shadow, 1);
    STEPS(t, 0x1b);
    get(t, &st);
    CF_EQ(st.irq_shadow, 0);
    STEPS(t, HANDLER, HANDLER + 10, 0x1b, 0x1c, 0x1d);
    CF_EQ(cf_ram64(t, CF_STACK - 24), IF | 2); /* the handler's frame */
    CF_OUT(t, 0xf4, 1, 0);
    send_msi(t, 0x41);
    debug(t->vcpu, SQUIB_DEBUG_BREAK);
    STOPS_AT(t, 0x20);
    get(t, &st);
    CF_EQ(st.irq_shadow, 1);
    STOPS_AT(t, 0x20);
    CF_PUT(t, CF_CODE + 0x20, ((uint8_t[]){0x90}));
    debug(t->vcpu, SQUIB_DEBUG_BREAK | SQUIB_DEBUG_STEP);
    STEPS(t, 0x21, HANDLER, HANDLER + 10, 0x21, 0x22);
}

static const uint8_t syscall_code[] = {
    0xb9, 0x80, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000080 */
    0x0f, 0x32,                    /* rdmsr */
    0x83, 0xc8, 0x01,              /* or eax, 0x1 */
    0x0f, 0x30,                    /* wrmsr */
    0xb9, 0x81, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000081 */
    0x31, 0xc0,                    /* xor eax, eax */
    0xba, 0x08, 0x00, 0x20, 0x00,  /* mov edx, 0x200008 */
    0x0f, 0x30,                    /* wrmsr */
    0xb9, 0x82, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000082 */
    0xb8, 0x00, 0x40, 0x01, 0x00,  /* mov eax, 0x14000 */
    0x31, 0xd2,                    /* xor edx, edx */
    0x0f, 0x30,                    /* wrmsr */
    0x6a, 0x2b,                    /* push 0x2b */
    0x68, 0x00, 0x80, 0x04, 0x00,  /* push 0x48000 */
    0x6a, 0x02,                    /* push 0x2 */
    0x6a, 0x33,                    /* push 0x33 */
    0x68, 0x00, 0x20, 0x01, 0x00,  /* push 0x12000 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0x48, 0xcf,                    /* iretq */
};
static const uint8_t syscall_user[] = {
    0x0f, 0x05,                    /* syscall */
    0xff, 0xc3,                    /* inc ebx */
    0x0f, 0x05,                    /* syscall */
};
static const uint8_t syscall_handler[] = {
    0xff, 0xc3,                    /* inc ebx */
    0x48, 0x0f, 0x07,              /* sysretq */
};

/* Between privilege levels, and what SYSCALL keeps of the flags. */
static void step_syscall(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_CODE2, syscall_user);
    CF_PUT(t, HANDLER, syscall_handler);
    CF_LONG(t, syscall_code);
    CF_OUT(t, 0xf4, 1, 0);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    STEPS(t, CF_CODE2, HANDLER, HANDLER + 2, CF_CODE2 + 2, CF_CODE2 + 4,
          HANDLER);
    CF_EQ(cf_gpr(t, SQUIB_X86_R11) & TF, 0);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 2);
}

static const uint8_t io_code[] = {
    0xbf, 0x00, 0x00, 0x00, 0xd0,  /* mov edi, 0xd0000000 */
    0xb0, 0x07,                    /* mov al, 0x7 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xe4, 0xf5,                    /* in al, 0xf5 */
    0x89, 0x07,                    /* mov dword ptr [rdi], eax */
    0x8b, 0x1f,                    /* mov ebx, dword ptr [rdi] */
    0xbe, 0x00, 0x10, 0x02, 0x00,  /* mov esi, 0x21000 */
    0xb9, 0x02, 0x00, 0x00, 0x00,  /* mov ecx, 0x2 */
    0xba, 0xf6, 0x00, 0x00, 0x00,  /* mov edx, 0xf6 */
    0xf3, 0x6e,                    /* rep outs dx, byte ptr [rsi] */
    0xf4,                          /* hlt */
};

/* What an instruction does outside comes first, then its step. */
static void step_devices(struct cf *t)
{
    static const uint8_t out[] = {0x55, 0, 0, 0}, in[] = {1, 2, 3, 4};

    cf_vm(t, 1, false, false);
    CF_LONG(t, io_code);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    STEPS(t, 5, 7);
    CF_OUT(t, 0xf4, 1, 7);
    debug(t->vcpu, SQUIB_DEBUG_STEP); /* the same again: nothing is lost */
    STEPS(t, 9);
    CF_IN(t, 0xf5, 1, 0x55);
    STEPS(t, 0xb);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 0x55);
    CF_MMIO_WRITE(t, CF_MMIO, out, 4);
    STEPS(t, 0xd);
    CF_MMIO_READ(t, CF_MMIO, in, 4);
    STEPS(t, 0xf);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 0x04030201);
    STEPS(t, 0x14, 0x19, 0x1e);
    CF_OUT(t, 0xf6, 1, 0);
    STEPS(t, 0x1e);
    CF_OUT(t, 0xf6, 1, 0);
    debug(t->vcpu, 0); /* and no step is left */
    CF_HLT(t);
}

static const uint8_t hlt_code[] = {
    0xf4,                          /* hlt */
    0x90,                          /* nop */
    0xf4,                          /* hlt */
};

/* The step is complete, then the vCPU sleeps. */
static void step_hlt(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_LONG(t, hlt_code);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    STEPS(t, 1);
    CF_HLT(t);
    STEPS(t, 2, 3);
    CF_HLT(t);
}

static const uint8_t hlt_irq_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xfb,                          /* sti */
    0xf4,                          /* hlt */
    0x90,                          /* nop */
    0xf4,                          /* hlt */
};

static void step_hlt_irq(struct cf *t)
{
    struct squib_x86_64_state st;

    cf_vm(t, 1, true, false);
    cf_gate(t, 0x41, HANDLER, 0);
    CF_PUT(t, HANDLER, irq_handler);
    CF_LONG(t, hlt_irq_code);
    CF_OUT(t, 0xf4, 1, 0);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    STEPS(t, 0x12, 0x13);
    get(t, &st);
    CF_EQ(st.run_state, SQUIB_X86_HALTED);
    send_msi(t, 0x41);
    STEPS(t, HANDLER, HANDLER + 10, 0x13, 0x14);
}

static const uint8_t call_code[] = {
    0xb8, 0x34, 0x12, 0x00, 0x00,  /* mov eax, 0x1234 */
    0x0f, 0x01, 0xc1,              /* vmcall */
    0xff, 0xc0,                    /* inc eax */
    0xf4,                          /* hlt */
};

static void step_hypercall(struct cf *t)
{
    struct squib_exit *x;

    cf_vm(t, 1, false, false);
    CF_LONG(t, call_code);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    STEPS(t, 5);
    x = CF_KIND(t, SQUIB_EXIT_HYPERCALL);
    CF_EQ(x->hypercall.function, 0x1234);
    x->hypercall.ret = 0x77;
    STEPS(t, 8);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 0x77);
    STEPS(t, 0xa);
}

static const uint8_t trap_code[] = {
    0x9c,                          /* pushf */
    0x81, 0x0c, 0x24, 0x00, 0x01, 0x00, 0x00, /* or dword ptr [rsp], 0x100 */
    0x9d,                          /* popf */
    0x90,                          /* nop */
    0x90,                          /* nop */
    0xf4,                          /* hlt */
};
static const uint8_t trap_handler[] = {
    /* inc qword ptr 0x20000 */
    0x48, 0xff, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00,
    /* and qword ptr [rsp+0x10], 0xfffffffffffffeff */
    0x48, 0x81, 0x64, 0x24, 0x10, 0xff, 0xfe, 0xff, 0xff,
    0x48, 0xcf,                    /* iretq */
};

/* The guest's own trap flag stays its own. */
static void step_trap_flag(struct cf *t)
{
    for (unsigned stepped = 0; stepped < 2; stepped++) {
        cf_vm(t, 1, false, false);
        cf_gate(t, 1, HANDLER, 0);
        CF_PUT(t, HANDLER, trap_handler);
        CF_LONG(t, trap_code);
        if (stepped) {
            debug(t->vcpu, SQUIB_DEBUG_STEP);
            STEPS(t, 1, 8, 9, HANDLER, HANDLER + 8, HANDLER + 0x11, 0xa,
                  0xb);
            debug(t->vcpu, 0);
        }
        CF_HLT(t);
        CF_EQ(cf_ram64(t, CF_DATA), 1);
        cf_free(t);
    }
}

static const uint8_t work_code[] = {
    0xb9, 0x2c, 0x01, 0x00, 0x00,  /* mov ecx, 0x12c */
    0xbf, 0x00, 0x10, 0x02, 0x00,  /* mov edi, 0x21000 */
    /* again: */
    0x8d, 0x44, 0x88, 0x07,        /* lea eax, [rax+rcx*4+0x7] */
    0x69, 0xd0, 0x93, 0x01, 0x00, 0x01, /* imul edx, eax, 0x1000193 */
    0xc1, 0xc2, 0x05,              /* rol edx, 0x5 */
    0x89, 0x14, 0x8f,              /* mov dword ptr [rdi+rcx*4], edx */
    0x66, 0x0f, 0x6e, 0xca,        /* movd xmm1, edx */
    0x66, 0x0f, 0xfe, 0xc1,        /* paddd xmm0, xmm1 */
    0xe8, 0x10, 0x00, 0x00, 0x00,  /* call mix */
    0xf6, 0xc1, 0x1f,              /* test cl, 0x1f */
    0x75, 0x02,                    /* jne skip */
    0xe6, 0xf4,                    /* out 0xf4, al */
    /* skip: */
    0xe2, 0xda,                    /* loop again */
    0x66, 0x0f, 0x7e, 0xc6,        /* movd esi, xmm0 */
    0x9c,                          /* pushf */
    0x5b,                          /* pop rbx */
    0xf4,                          /* hlt */
    /* mix: */
    0x33, 0x2c, 0x8f,              /* xor ebp, dword ptr [rdi+rcx*4] */
    0x49, 0x11, 0xe8,              /* adc r8, rbp */
    0xf9,                          /* stc */
    0x41, 0x50,                    /* push r8 */
    0x41, 0x59,                    /* pop r9 */
    0xc3,                          /* ret */
};

/* Runs work_code: with steps all the time, never, or by turns, from one OUT
 * to the next. Returns how many there were. */
static unsigned work(struct cf *t, bool always, bool by_turns,
                     struct squib_x86_64_state *st, uint64_t *count)
{
    const struct squib_exit *x;
    unsigned n = 0, outs = 0;

    cf_vm(t, 1, false, false);
    CF_LONG(t, work_code);
    debug(t->vcpu, always ? SQUIB_DEBUG_STEP : 0);
    while ((x = cf_run(t))->kind != SQUIB_EXIT_HLT) {
        if (x->kind == SQUIB_EXIT_DEBUG) {
            if (++n % 40 == 0 && by_turns)
                debug(t->vcpu, 0);
            continue;
        }
        CF_EQ(x->kind, SQUIB_EXIT_PIO);
        outs++;
        if (by_turns)
            debug(t->vcpu, SQUIB_DEBUG_STEP);
    }
    CF_EQ(outs, 9);
    get(t, st);
    *count = squib_vcpu_insn_count(t->vcpu);
    return n;
}

/* A program that is watched does as one that is not. */
static void step_same(struct cf *t)
{
    struct squib_x86_64_state st[3];
    uint8_t left[3][4096];
    uint64_t count[3];

    for (unsigned k = 0; k < 3; k++) {
        unsigned n = work(t, k == 1, k == 2, &st[k], &count[k]);

        CF_EQ(n, k == 0 ? 0 : k == 1 ? count[1] : 9 * 40);
        memcpy(left[k], cf_ram(t, 0x21000), sizeof(left[k]));
        CF_EQ(count[k], count[0]);
        CF_CHECK(memcmp(left[k], left[0], sizeof(left[k])) == 0);
        CF_CHECK(memcmp(st[k].gpr, st[0].gpr, sizeof(st[k].gpr)) == 0);
        CF_EQ(st[k].rip, st[0].rip);
        CF_EQ(st[k].rflags, st[0].rflags);
        CF_CHECK(memcmp(st[k].xsave, st[0].xsave, 512) == 0);
        cf_free(t);
    }
}

/* Also where time is the count of instructions. */
static void step_deterministic(struct cf *t)
{
    const struct squib_vm_config config = {.vcpus = 1, .deterministic = true};
    struct squib_error e;

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_DETERMINISTIC))
        cf_skip("the backend has no deterministic machines");
    cf_memory(t);
    CF_OK(squib_vm_new(t->be, &config, t->mem, &t->vm, &e), e);
    CF_OK(squib_vcpu_new(t->vm, 0, &t->vcpu, &e), e);
    CF_LONG(t, work_code);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    STEPS(t, 5, 0xa, 0xe, 0x14, 0x17, 0x1a, 0x1e, 0x22, 0x37);
    debug(t->vcpu, 0);
    for (unsigned k = 0; k < 9; k++)
        CF_KIND(t, SQUIB_EXIT_PIO);
    CF_HLT(t);
}

/* --- breakpoint instructions --------------------------------------------- */

static const uint8_t hot_code[] = {
    0xb9, 0xe8, 0x03, 0x00, 0x00,  /* mov ecx, 0x3e8 */
    /* warm: */
    0xe8, 0x11, 0x00, 0x00, 0x00,  /* call f */
    0xe2, 0xf9,                    /* loop warm */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xb9, 0x03, 0x00, 0x00, 0x00,  /* mov ecx, 0x3 */
    /* hot: */
    0xe8, 0x03, 0x00, 0x00, 0x00,  /* call f */
    0xe2, 0xf9,                    /* loop hot */
    0xf4,                          /* hlt */
    /* f: */
    0xff, 0xc6,                    /* inc esi */
    0xff, 0xc7,                    /* inc edi */
    0xc3,                          /* ret */
};

static uint64_t flags(struct cf *t)
{
    struct squib_x86_64_state st;

    get(t, &st);
    return st.rflags & 0x8d5;
}

/* The status flags behind the INC that made v: PF and AF can be set. */
static uint64_t after_inc(uint32_t v)
{
    return (__builtin_parity(v & 0xff) ? 0 : 4) | (v & 15 ? 0 : 0x10);
}

/* A breakpoint in code that is warm, stepped over as debuggers do. */
static void warm_and_break(struct cf *t, uint32_t at)
{
    static const uint8_t int3[] = {0xcc};
    const uint8_t *was = &hot_code[at];

    CF_LONG(t, hot_code);
    CF_KIND(t, SQUIB_EXIT_PIO);
    debug(t->vcpu, SQUIB_DEBUG_BREAK);
    CF_PUT(t, CF_CODE + at, int3);
    for (unsigned k = 0; k < 3; k++) {
        STOPS_AT(t, at);
        CF_EQ(cf_gpr(t, SQUIB_X86_RSI), 1000 + k + (at > 0x1b));
        CF_EQ(cf_gpr(t, SQUIB_X86_RDI), 1000 + k);
        CF_EQ(flags(t), after_inc(1000 + k + (at > 0x1b)));
        cf_put(t, CF_CODE + at, was, 1);
        debug(t->vcpu, SQUIB_DEBUG_BREAK | SQUIB_DEBUG_STEP);
        STOPS_AT(t, at + 2);
        CF_PUT(t, CF_CODE + at, int3);
        debug(t->vcpu, SQUIB_DEBUG_BREAK);
    }
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RDI), 1003);
    /* Taken away it leaves no trace. */
    cf_put(t, CF_CODE + at, was, 1);
    CF_LONG(t, hot_code);
    CF_KIND(t, SQUIB_EXIT_PIO);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RSI), 1003);
}

static void bp_warm(struct cf *t)
{
    need_breaks(t);
    cf_vm(t, 1, false, false);
    warm_and_break(t, 0x1b);
    warm_and_break(t, 0x1d);
}

static const uint8_t own_code[] = {
    0x90,                          /* nop */
    0xcc,                          /* int3 */
    0xff, 0xc2,                    /* inc edx */
    0xf4,                          /* hlt */
};
static const uint8_t own_handler[] = {
    0xff, 0xc3,                    /* inc ebx */
    0x48, 0xcf,                    /* iretq */
};

/* INT3 is the guest's unless asked for, and stays where it is. */
static void bp_own(struct cf *t)
{
    need_breaks(t);
    cf_vm(t, 1, false, false);
    cf_gate(t, 3, HANDLER, 0);
    CF_PUT(t, HANDLER, own_handler);
    CF_LONG(t, own_code);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 1);
    CF_LONG(t, own_code);
    debug(t->vcpu, SQUIB_DEBUG_BREAK);
    STOPS_AT(t, 1);
    STOPS_AT(t, 1);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 0);
    debug(t->vcpu, 0);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 1);
    CF_EQ(cf_gpr(t, SQUIB_X86_RDX), 1);
}

/* With both: the step ends at INT3, which then is a breakpoint. A step
 * without leads to the guest's handler. */
static void bp_step(struct cf *t)
{
    const struct squib_exit *x;

    cf_vm(t, 1, false, false);
    cf_gate(t, 3, HANDLER, 0);
    CF_PUT(t, HANDLER, own_handler);
    CF_LONG(t, own_code);
    debug(t->vcpu, SQUIB_DEBUG_BREAK | SQUIB_DEBUG_STEP);
    STEPS(t, 1);
    x = CF_KIND(t, SQUIB_EXIT_DEBUG);
    CF_EQ(x->debug.pc, CF_CODE + 1);
    CF_EQ(x->debug.syndrome, SYNDROME);
    CF_EQ(squib_vcpu_insn_count(t->vcpu), 1);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    STEPS(t, HANDLER, HANDLER + 2, 2);
    debug(t->vcpu, SQUIB_DEBUG_BREAK);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 1);
}

static const uint8_t first_code[] = {
    /* again: */
    0xe8, 0x16, 0x00, 0x00, 0x00,  /* call f */
    /* cmp dword ptr 0x20010, 0x0 */
    0x83, 0x3c, 0x25, 0x10, 0x00, 0x02, 0x00, 0x00,
    0x74, 0xf1,                    /* je again */
    /* mov dword ptr 0x20014, 0x1 */
    0xc7, 0x04, 0x25, 0x14, 0x00, 0x02, 0x00, 0x01, 0x00, 0x00, 0x00,
    0xf4,                          /* hlt */
    /* f: */
    0x90,                          /* nop */
    0xc3,                          /* ret */
};
static const uint8_t second_code[] = {
    /* again: */
    0xb8, 0x1b, 0x00, 0x01, 0x00,  /* mov eax, 0x1001b */
    0xff, 0xd0,                    /* call rax */
    0xff, 0x04, 0x25, 0x0c, 0x00, 0x02, 0x00, /* inc dword ptr 0x2000c */
    /* cmp dword ptr 0x20014, 0x0 */
    0x83, 0x3c, 0x25, 0x14, 0x00, 0x02, 0x00, 0x00,
    0x74, 0xe8,                    /* je again */
    0xf4,                          /* hlt */
};
static const uint8_t second_handler[] = {
    /* lock inc dword ptr 0x20008 */
    0xf0, 0xff, 0x04, 0x25, 0x08, 0x00, 0x02, 0x00,
    0x48, 0xcf,                    /* iretq */
};

#define BOTH (CF_CODE + 0x1b) /* the function that both call */
#define TRAPS 0x20008u        /* of the second vCPU's own handler */
#define ROUNDS 0x2000cu
#define ENOUGH 0x20010u

struct second {
    struct cf *t;
    enum squib_exit_kind end;
};

static void *run_second(void *arg)
{
    struct second *s = arg;
    struct squib_x86_64_state st = {0};
    struct squib_vcpu *vcpu;
    struct squib_error e;

    CF_OK(squib_vcpu_new(s->t->vm, 1, &vcpu, &e), e);
    cf_long_state(&st);
    st.rip = CF_CODE2;
    st.gpr[SQUIB_X86_RSP] = CF_STACK - 0x2000;
    CF_OK(squib_vcpu_set_state(vcpu, SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM,
                               &st, &e), e);
    s->end = squib_vcpu_run(vcpu)->kind;
    squib_vcpu_free(vcpu);
    return NULL;
}

static uint32_t now(struct cf *t, uint32_t gpa)
{
    return __atomic_load_n((uint32_t *)(void *)cf_ram(t, gpa),
                           __ATOMIC_ACQUIRE);
}

/* Of two vCPUs that run the same code, one is debugged. The other one takes
 * the breakpoint for its guest's. */
static void bp_smp(struct cf *t)
{
    const struct timespec ms = {0, 1000000};
    struct second s = {.t = t};
    unsigned stops = 0;
    pthread_t thread;

    need_breaks(t);
    cf_vm(t, 2, false, false);
    cf_gate(t, 3, HANDLER, 0);
    CF_PUT(t, HANDLER, second_handler);
    CF_PUT(t, CF_CODE2, second_code);
    CF_LONG(t, first_code);
    debug(t->vcpu, SQUIB_DEBUG_BREAK);
    CF_CHECK(pthread_create(&thread, NULL, run_second, &s) == 0);
    while (now(t, ROUNDS) < 1000)
        nanosleep(&ms, NULL);
    CF_PUT(t, BOTH, ((uint8_t[]){0xcc}));
    while (stops < 10 || now(t, TRAPS) == 0) {
        STOPS_AT(t, BOTH - CF_CODE);
        set_rip(t->vcpu, BOTH + 1);
        stops++;
    }
    CF_PUT(t, BOTH, ((uint8_t[]){0x90}));
    CF_PUT(t, ENOUGH, ((uint8_t[]){1}));
    CF_HLT(t);
    pthread_join(thread, NULL);
    CF_EQ(s.end, SQUIB_EXIT_HLT);
}

/* A step here is one of the other vCPU's many instructions. */
static void step_smp(struct cf *t)
{
    const struct timespec ms = {0, 1000000};
    struct second s = {.t = t};
    pthread_t thread;

    cf_vm(t, 2, false, false);
    CF_PUT(t, CF_CODE2, second_code);
    CF_LONG(t, first_code);
    debug(t->vcpu, SQUIB_DEBUG_STEP);
    CF_CHECK(pthread_create(&thread, NULL, run_second, &s) == 0);
    for (unsigned k = 1; k <= 100; k++) {
        while (now(t, ROUNDS) < k * 10)
            nanosleep(&ms, NULL);
        STEPS(t, 0x1b, 0x1c, 5, 0xd, 0);
    }
    CF_PUT(t, ENOUGH, ((uint8_t[]){1}));
    debug(t->vcpu, 0);
    CF_HLT(t);
    pthread_join(thread, NULL);
    CF_EQ(s.end, SQUIB_EXIT_HLT);
}

#define STEP (CF_EXEC | CF_STEP)
#define BREAK (CF_EXEC | CF_INT3)

const struct cf_test cf_tests_step[] = {
    {"step_plain", step_plain, STEP},
    {"step_real", step_real, STEP},
    {"step_fault", step_fault, STEP},
    {"step_breakpoints", step_breakpoints, STEP},
    {"step_shutdown", step_shutdown, STEP},
    {"step_int", step_int, STEP},
    {"step_string", step_string, STEP},
    {"step_shadow", step_shadow, STEP | CF_IRQ},
    {"step_syscall", step_syscall, STEP},
    {"step_devices", step_devices, STEP},
    {"step_hlt", step_hlt, STEP},
    {"step_hlt_irq", step_hlt_irq, STEP | CF_IRQ},
    {"step_hypercall", step_hypercall, STEP},
    {"step_trap_flag", step_trap_flag, STEP},
    {"step_same", step_same, STEP},
    {"step_deterministic", step_deterministic, STEP},
    {"step_smp", step_smp, STEP},
    {"bp_warm", bp_warm, BREAK},
    {"bp_own", bp_own, BREAK},
    {"bp_step", bp_step, STEP},
    {"bp_smp", bp_smp, BREAK},
    {NULL, NULL, 0},
};

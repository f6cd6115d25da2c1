/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a weak backend lacks, found out by small guests that do one thing and
 * then write to a port. A guest that hangs is canceled.
 */
#include "conform.h"

#include "base/util.h"

#define TRIAL_MS 300

static const uint8_t exec_code[] = {
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

static const uint8_t fpu_code[] = {
    0x66, 0x0f, 0xef, 0xc0,        /* pxor xmm0, xmm0 */
    0x66, 0x0f, 0xfe, 0xc0,        /* paddd xmm0, xmm0 */
    0xdb, 0xe3,                    /* fninit */
    0xd9, 0xe8,                    /* fld1 */
    0xdd, 0x1c, 0x25, 0x00, 0x00, 0x02, 0x00, /* fstp qword ptr [0x20000] */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

static const uint8_t cx16_code[] = {
    0xbe, 0x00, 0x00, 0x02, 0x00,  /* mov esi, 0x20000 */
    0xf0, 0x48, 0x0f, 0xc7, 0x0e,  /* lock cmpxchg16b [rsi] */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

static const uint8_t int3_code[] = {
    0xcc,                          /* int3 */
    0xf4,                          /* hlt */
};

static const uint8_t ring3_code[] = {
    0x6a, 0x2b,                    /* push 0x2b */
    0x68, 0x00, 0x80, 0x04, 0x00,  /* push 0x48000 */
    0x6a, 0x02,                    /* push 2 */
    0x6a, 0x33,                    /* push 0x33 */
    0x68, 0x00, 0x20, 0x01, 0x00,  /* push 0x12000 */
    0x48, 0xcf,                    /* iretq */
};
static const uint8_t ring3_user_code[] = {
    0xcd, 0x80,                    /* int 0x80 */
    /* spin: */
    0xeb, 0xfe,                    /* jmp spin */
};

static const uint8_t syscall_code[] = {
    0xb9, 0x80, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000080 */
    0x0f, 0x32,                    /* rdmsr */
    0x83, 0xc8, 0x01,              /* or eax, 1 */
    0x0f, 0x30,                    /* wrmsr */
    0xb9, 0x81, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000081 */
    0x31, 0xc0,                    /* xor eax, eax */
    0xba, 0x08, 0x00, 0x20, 0x00,  /* mov edx, 0x00200008 */
    0x0f, 0x30,                    /* wrmsr */
    0xb9, 0x82, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000082 */
    0xb8, 0x00, 0x40, 0x01, 0x00,  /* mov eax, 0x14000 */
    0x31, 0xd2,                    /* xor edx, edx */
    0x0f, 0x30,                    /* wrmsr */
    0xb9, 0x00, 0x20, 0x01, 0x00,  /* mov ecx, 0x12000 */
    0x41, 0xbb, 0x02, 0x00, 0x00, 0x00, /* mov r11d, 2 */
    0x48, 0x0f, 0x07,              /* sysretq */
};
static const uint8_t syscall_user_code[] = {
    0x0f, 0x05,                    /* syscall */
    0x0f, 0x05,                    /* syscall */
};
static const uint8_t syscall_handler[] = {
    0xff, 0xc3,                    /* inc ebx */
    0x83, 0xfb, 0x02,              /* cmp ebx, 2 */
    0x74, 0x03,                    /* je twice */
    0x48, 0x0f, 0x07,              /* sysretq */
    /* twice: */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

static const uint8_t exact_code[] = {
    0xb8, 0xff, 0xff, 0xff, 0xff,  /* mov eax, -1 */
    /* mov edi, 0x2fffe: the next page is not there */
    0xbf, 0xfe, 0xff, 0x02, 0x00,
    0x89, 0x07,                    /* mov [rdi], eax */
    0xf4,                          /* hlt */
};
static const uint8_t exact_handler[] = {
    /* cmp word ptr [0x2fffe], 0 */
    0x66, 0x83, 0x3c, 0x25, 0xfe, 0xff, 0x02, 0x00, 0x00,
    0x75, 0x02,                    /* jne inexact */
    0xe6, 0xf4,                    /* out 0xf4, al */
    /* inexact: */
    0xf4,                          /* hlt */
};

static const uint8_t out_code[] = {
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

/* An interrupt that waits must be taken one instruction after STI. */
static const uint8_t prompt_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    /* mov dword ptr [rdi+0x300], 0x40041 */
    0xc7, 0x87, 0x00, 0x03, 0x00, 0x00, 0x41, 0x00, 0x04, 0x00,
    0xb9, 0xe8, 0x03, 0x00, 0x00,  /* mov ecx, 1000 */
    /* wait: */
    0xe2, 0xfe,                    /* loop wait */
    0xfb,                          /* sti */
    0x90,                          /* nop */
    0xe6, 0xf5,                    /* out 0xf5, al: too late */
    0xf4,                          /* hlt */
};

static const uint8_t hypercall_code[] = {
    0xb8, 0x34, 0x12, 0x00, 0x00,  /* mov eax, 0x1234 */
    0x0f, 0x01, 0xc1,              /* vmcall */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

#define BYTES(array) array, sizeof(array)
#define NONE NULL, 0

static const struct trial {
    unsigned need;
    const char *text;
    const uint8_t *code;
    size_t len;
    const uint8_t *user; /* at CF_CODE2 */
    size_t user_len;
    const uint8_t *handler; /* else out_code */
    size_t handler_len;
} trials[] = {
    {CF_EXEC, "guest code", BYTES(exec_code), NONE, NONE},
    {CF_FPU, "x87 and SSE in kernel mode", BYTES(fpu_code), NONE, NONE},
    {CF_CX16, "cmpxchg16b", BYTES(cx16_code), NONE, NONE},
    {CF_INT3, "int3", BYTES(int3_code), NONE, NONE},
    {CF_RING3, "ring 3 and back by int 0x80", BYTES(ring3_code),
     BYTES(ring3_user_code), NONE},
    {CF_SYSCALL, "ring 3 and back by syscall", BYTES(syscall_code),
     BYTES(syscall_user_code), BYTES(syscall_handler)},
    {CF_PROMPT, "interrupts when they are due", BYTES(prompt_code), NONE, NONE},
    {CF_HYPERCALL, "vmcall", BYTES(hypercall_code), NONE, NONE},
    {CF_EXACT, "stores in kernel mode that are all or nothing",
     BYTES(exact_code), NONE, BYTES(exact_handler)},
};

static void try(const struct cf *like, const struct trial *r)
{
    struct cf t = {.be = like->be};
    const struct squib_exit *e;

    cf_vm(&t, 1, r->need == CF_PROMPT, false);
    cf_gate(&t, 3, 0x14000, 3);
    cf_gate(&t, 0x41, 0x14000, 0);
    cf_use_4k_pages(&t);
    if (r->need == CF_EXACT) {
        cf_put64(&t, CF_PT + 0x30 * 8, 0);
        cf_gate(&t, 14, 0x14000, 0);
    }
    cf_gate(&t, 0x80, 0x14000, 3);
    if (r->handler)
        cf_put(&t, 0x14000, r->handler, r->handler_len);
    else
        CF_PUT(&t, 0x14000, out_code);
    if (r->user)
        cf_put(&t, CF_CODE2, r->user, r->user_len);
    cf_long(&t, r->code, r->len);
    cf_cancel_after(t.vcpu, TRIAL_MS);
    e = squib_vcpu_run(t.vcpu);
    if (e->kind == SQUIB_EXIT_CANCELED)
        cf_skip("needs %s; a trial hangs here", r->text);
    if (e->kind != SQUIB_EXIT_HYPERCALL &&
        (e->kind != SQUIB_EXIT_PIO || e->pio.port != 0xf4))
        cf_skip("needs %s; a trial gave: %s", r->text, cf_describe(e));
    /* Not freed: the canceling thread may still hold the vCPU. */
}

void cf_check_needs(struct cf *t, unsigned needs)
{
    if ((needs & CF_IRQ) &&
        !(squib_backend_caps(t->be) & SQUIB_CAP_IRQCHIP))
        cf_skip("needs an interrupt controller");
    if ((needs & CF_BREAK) &&
        (squib_backend_caps(t->be) & SQUIB_CAP_HARDWARE))
        cf_skip("hardware breakpoints are the processor's, not squib's");
    if ((needs & CF_STEP) &&
        !(squib_backend_caps(t->be) & SQUIB_CAP_DEBUG))
        cf_skip("the backend has no debug exits");
    if ((needs & CF_STEP) &&
        (squib_backend_caps(t->be) & SQUIB_CAP_HARDWARE))
        cf_skip("single steps are the processor's trap flag, not squib's");
    if ((needs & CF_BREAK) && t->weak)
        cf_skip("the backend's own probe fails");
    if (t->weak && cf_is_a64(t) && (needs & CF_EXEC))
        cf_skip("the backend's own probe fails");
    for (size_t i = 0; t->weak && i < SQ_ARRAY_LEN(trials); i++)
        if (needs & trials[i].need)
            try(t, &trials[i]);
}

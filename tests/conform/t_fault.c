/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions and privilege. Source: SDM vol. 3, chapter 6; vol. 2 SYSCALL,
 * SYSRET, IRET. */
#include "conform.h"

#include "base/util.h"

static const uint8_t ud_code[] = {
    0x90,                          /* nop */
    0x0f, 0x0b,                    /* ud2 */
};

static void fault_ud(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_LONG(t, ud_code);
    CF_EXCEPTION(t, 6, 0, 1, 0);
}

static const uint8_t de_code[] = {
    0x31, 0xd2,                    /* xor edx, edx */
    0xb8, 0x07, 0x00, 0x00, 0x00,  /* mov eax, 7 */
    0x31, 0xc9,                    /* xor ecx, ecx */
    0xf7, 0xf1,                    /* div ecx */
    0xf4,                          /* hlt */
};

static void fault_de(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_LONG(t, de_code);
    CF_EXCEPTION(t, 0, 0, 9, 0);
}

static const uint8_t gp_canonical_code[] = {
    /* mov rax, 0x8000000000000000 */
    0x48, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80,
    0x48, 0x8b, 0x18,              /* mov rbx, [rax] */
};
static const uint8_t gp_selector_code[] = {
    0xb8, 0x38, 0x12, 0x00, 0x00,  /* mov eax, 0x1238 */
    0x8e, 0xd8,                    /* mov ds, eax */
};
static const uint8_t gp_msr_code[] = {
    0xb9, 0x78, 0x56, 0x34, 0x12,  /* mov ecx, 0x12345678 */
    0x0f, 0x30,                    /* wrmsr */
};
static const uint8_t gp_cr4_code[] = {
    0x0f, 0x20, 0xe0,              /* mov rax, cr4 */
    0x48, 0x0f, 0xba, 0xe8, 0x0f,  /* bts rax, 15: reserved */
    0x0f, 0x22, 0xe0,              /* mov cr4, rax */
};

static void fault_gp(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_LONG(t, gp_canonical_code);
    CF_EXCEPTION(t, 13, 0, 10, 0);
    CF_HLT(t);
    CF_LONG(t, gp_selector_code);
    CF_EXCEPTION(t, 13, 0x1238, 5, 0);
}

static void fault_gp_cr4(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_LONG(t, gp_cr4_code);
    CF_EXCEPTION(t, 13, 0, 8, 0);
}

static void fault_gp_msr(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_LONG(t, gp_msr_code);
    CF_EXCEPTION(t, 13, 0, 5, 0);
}

static const uint8_t bp_code[] = {
    0x90,                          /* nop */
    0xcc,                          /* int3 */
    0xf4,                          /* hlt */
};

/* A trap: RIP is that of the next instruction. */
static void fault_bp(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_LONG(t, bp_code);
    CF_EXCEPTION(t, 3, 0, 2, 0);
}

static const uint8_t pf_read_code[] = {
    0x48, 0x8b, 0x04, 0x25, 0x20, 0x01, 0x03, 0x00, /* mov rax, [0x30120] */
};
static const uint8_t pf_write_code[] = {
    0x0f, 0x20, 0xc3,              /* mov rbx, cr0 */
    0x48, 0x0f, 0xba, 0xeb, 0x10,  /* bts rbx, 16: WP */
    0x0f, 0x22, 0xc3,              /* mov cr0, rbx */
    /* mov byte ptr [0x31004], 1 */
    0xc6, 0x04, 0x25, 0x04, 0x10, 0x03, 0x00, 0x01,
};
static const uint8_t pf_exec_code[] = {
    0xb8, 0x00, 0x20, 0x03, 0x00,  /* mov eax, 0x32000 */
    0xff, 0xe0,                    /* jmp rax */
};

static void fault_pf(struct cf *t)
{
    cf_vm(t, 1, false, false);
    cf_use_4k_pages(t);
    cf_put64(t, CF_PT + 0x30 * 8, 0x30000 | 2);
    cf_put64(t, CF_PT + 0x31 * 8, 0x31000 | 1);
    cf_put64(t, CF_PT + 0x32 * 8, 0);
    CF_LONG(t, pf_read_code);
    CF_EXCEPTION(t, 14, 0, 0, 0x30120);
    CF_HLT(t);
    CF_LONG(t, pf_write_code);
    CF_EXCEPTION(t, 14, 3, 11, 0x31004);
    CF_HLT(t);
    CF_LONG(t, pf_exec_code);
    CF_OUT(t, CF_PORT_VECTOR, 4, 14);
    CF_OUT(t, CF_PORT_ERROR, 4, 0); /* no fetch bit while NX is off */
    CF_OUT(t, CF_PORT_RIP, 4, 0x32000);
    CF_OUT(t, CF_PORT_CR2, 4, 0x32000);
}

static const uint8_t pf_straddle_code[] = {
    0xbf, 0xfe, 0xff, 0x02, 0x00,  /* mov edi, 0x2fffe */
    0x89, 0x07,                    /* mov [rdi], eax */
};

/* Both pages are checked before any byte is written. */
static void fault_pf_straddle(struct cf *t)
{
    cf_vm(t, 1, false, false);
    cf_use_4k_pages(t);
    cf_put64(t, CF_PT + 0x30 * 8, 0);
    cf_put64(t, CF_DATA + 0xfff8, 0x1122334455667788);
    CF_LONG(t, pf_straddle_code);
    CF_EXCEPTION(t, 14, 2, 5, 0x30000);
    CF_EQ(cf_ram64(t, CF_DATA + 0xfff8), 0x1122334455667788);
}

static const uint8_t nx_code[] = {
    0xb8, 0x00, 0x00, 0x03, 0x00,  /* mov eax, 0x30000 */
    0xff, 0xe0,                    /* jmp rax */
};

static void fault_pf_nx(struct cf *t)
{
    struct squib_x86_64_state st = {0};
    struct squib_error e;

    cf_vm(t, 1, false, false);
    cf_use_4k_pages(t);
    cf_put64(t, CF_PT + 0x30 * 8, 0x30000 | 3 | 1ull << 63);
    CF_PUT(t, CF_CODE, nx_code);
    cf_long_state(&st);
    st.efer |= 0x800; /* NXE */
    CF_OK(squib_vcpu_set_state(t->vcpu,
                               SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM, &st,
                               &e), e);
    CF_OUT(t, CF_PORT_VECTOR, 4, 14);
    CF_OUT(t, CF_PORT_ERROR, 4, 0x11);
    CF_OUT(t, CF_PORT_RIP, 4, 0x30000);
    CF_OUT(t, CF_PORT_CR2, 4, 0x30000);
}

static const uint8_t retry_code[] = {
    0x8b, 0x04, 0x25, 0x04, 0x00, 0x03, 0x00, /* mov eax, [0x30004] */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    0xf4,                          /* hlt */
};
static const uint8_t retry_handler[] = {
    0x50,                          /* push rax */
    0x48, 0xc7, 0xc0, 0x03, 0x00, 0x03, 0x00, /* mov rax, 0x30003 */
    /* mov [0xa180], rax: the page table entry of 0x30000 */
    0x48, 0x89, 0x04, 0x25, 0x80, 0xa1, 0x00, 0x00,
    0x58,                          /* pop rax */
    0x48, 0x83, 0xc4, 0x08,        /* add rsp, 8: the error code */
    0x48, 0xcf,                    /* iretq */
};

/* A page that the handler supplies: the instruction runs again. */
static void fault_pf_retry(struct cf *t)
{
    cf_vm(t, 1, false, false);
    cf_use_4k_pages(t);
    cf_put64(t, CF_PT + 0x30 * 8, 0);
    cf_put64(t, 0x30000, 0x1234567800000000);
    CF_PUT(t, 0x14000, retry_handler);
    cf_gate(t, 14, 0x14000, 0);
    CF_LONG(t, retry_code);
    CF_OUT(t, 0xf4, 4, 0x12345678);
}

static const uint8_t triple_code[] = {
    /* lidt [0x20000]: all zero: no gate at all */
    0x0f, 0x01, 0x1c, 0x25, 0x00, 0x00, 0x02, 0x00,
    0x0f, 0x0b,                    /* ud2 */
};

static void triple_fault(struct cf *t)
{
    const struct squib_exit *e;

    cf_vm(t, 1, false, false);
    CF_LONG(t, triple_code);
    e = CF_KIND(t, SQUIB_EXIT_SHUTDOWN);
    CF_CHECK(e->shutdown.fault);
}

static const uint8_t df_code[] = {
    0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x03, 0x00, /* mov rax, [0x30000] */
};

/* #PF while delivering #PF: the handler's stack is not there. */
static void fault_double(struct cf *t)
{
    struct squib_x86_64_state st = {0};
    struct squib_error e;

    cf_vm(t, 1, false, false);
    cf_use_4k_pages(t);
    cf_put64(t, CF_PT + 0x30 * 8, 0);
    cf_put64(t, CF_PT + 0x31 * 8, 0);
    /* the double fault has a stack of its own: IST 1 */
    cf_put64(t, CF_TSS + 0x24, CF_STACK);
    *cf_ram(t, CF_IDT + 8 * 16 + 4) = 1;
    CF_PUT(t, CF_CODE, df_code);
    cf_long_state(&st);
    st.gpr[SQUIB_X86_RSP] = 0x31800;
    CF_OK(squib_vcpu_set_state(t->vcpu,
                               SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM, &st,
                               &e), e);
    CF_OUT(t, CF_PORT_VECTOR, 4, 8);
    CF_OUT(t, CF_PORT_ERROR, 4, 0);
}

/* --- ring 3 ---------------------------------------------------------- */

static const uint8_t ring3_code[] = {
    0x6a, 0x2b,                    /* push 0x2b */
    0x68, 0x00, 0x80, 0x04, 0x00,  /* push 0x48000 */
    0x68, 0x02, 0x02, 0x00, 0x00,  /* push 0x202 */
    0x6a, 0x33,                    /* push 0x33 */
    0x68, 0x00, 0x20, 0x01, 0x00,  /* push 0x12000 */
    0x48, 0xcf,                    /* iretq */
};
static const uint8_t int80_user[] = {
    0xb8, 0x00, 0x10, 0x00, 0x00,  /* mov eax, 0x1000 */
    0x50,                          /* push rax */
    0x5b,                          /* pop rbx */
    0xcd, 0x80,                    /* int 0x80 */
    0x89, 0xc1,                    /* mov ecx, eax */
    0xcd, 0x81,                    /* int 0x81 */
    /* spin: */
    0xeb, 0xfe,                    /* jmp spin */
};
static const uint8_t int80_handler[] = {
    0x8d, 0x43, 0x01,              /* lea eax, [rbx+1] */
    0x41, 0x8c, 0xc8,              /* mov r8, cs */
    0x4c, 0x8b, 0x4c, 0x24, 0x08,  /* mov r9, [rsp+8]: the user's CS */
    0x4c, 0x8b, 0x54, 0x24, 0x18,  /* mov r10, [rsp+24]: and RSP */
    0x48, 0xcf,                    /* iretq */
};
static const uint8_t int81_handler[] = {
    0x89, 0xc8,                    /* mov eax, ecx */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    0xf4,                          /* hlt */
};

static void ring3_int(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_CODE2, int80_user);
    CF_PUT(t, 0x14000, int80_handler);
    CF_PUT(t, 0x14800, int81_handler);
    cf_gate(t, 0x80, 0x14000, 3);
    cf_gate(t, 0x81, 0x14800, 3);
    CF_LONG(t, ring3_code);
    CF_OUT(t, 0xf4, 4, 0x1001);
    CF_EQ(cf_gpr(t, SQUIB_X86_R8), CF_SEL_CODE64);
    CF_EQ(cf_gpr(t, SQUIB_X86_R9), CF_SEL_USER_CODE64 | 3);
    CF_EQ(cf_gpr(t, SQUIB_X86_R10), CF_STACK3);
    CF_EQ(cf_gpr(t, SQUIB_X86_RSP), CF_STACK - 40);
}

static const uint8_t hlt_user[] = {
    0x90,                          /* nop */
    0xf4,                          /* hlt */
};
static const uint8_t out_user[] = {
    0xe6, 0xf4,                    /* out 0xf4, al */
};
static const uint8_t int_user[] = {
    0xcd, 0x40,                    /* int 0x40 */
};
static const uint8_t pf_user[] = {
    0x8b, 0x04, 0x25, 0x00, 0x00, 0x03, 0x00, /* mov eax, [0x30000] */
};

/* What ring 3 may not do, with the error codes of each. */
static void ring3_faults(struct cf *t)
{
    const uint32_t user = CF_CODE2 - CF_CODE;
    const struct squib_exit *e;

    cf_vm(t, 1, false, false);
    cf_use_4k_pages(t);
    cf_put64(t, CF_PT + 0x30 * 8, 0x30000 | 3); /* supervisor only */
    CF_PUT(t, CF_CODE2, hlt_user);
    CF_LONG(t, ring3_code);
    CF_EXCEPTION(t, 13, 0, user + 1, 0);
    CF_HLT(t);
    CF_PUT(t, CF_CODE2, out_user);
    CF_LONG(t, ring3_code);
    CF_EXCEPTION(t, 13, 0, user, 0);
    CF_HLT(t);
    CF_PUT(t, CF_CODE2, int_user); /* a gate of ring 0 */
    cf_gate(t, 0x40, 0x14000, 0);
    CF_LONG(t, ring3_code);
    CF_OUT(t, CF_PORT_VECTOR, 4, 13);
    e = CF_KIND(t, SQUIB_EXIT_PIO);
    /* 8 bytes a gate even where gates have 16; QEMU 7.2, when it is the
     * hardware, counts 16. */
    if (sq_ld32(e->pio.data) != 0x40 * 16 + 2)
        CF_EQ(sq_ld32(e->pio.data), 0x40 * 8 + 2);
    CF_OUT(t, CF_PORT_RIP, 4, CF_CODE2);
    CF_OUT(t, CF_PORT_CR2, 4, 0);
    CF_HLT(t);
    CF_PUT(t, CF_CODE2, pf_user);
    CF_LONG(t, ring3_code);
    CF_EXCEPTION(t, 14, 5, user, 0x30000);
}

static const uint8_t syscall_code[] = {
    0xb9, 0x80, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000080: EFER.SCE */
    0x0f, 0x32,                    /* rdmsr */
    0x83, 0xc8, 0x01,              /* or eax, 1 */
    0x0f, 0x30,                    /* wrmsr */
    0xb9, 0x81, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000081: STAR */
    0x31, 0xc0,                    /* xor eax, eax */
    0xba, 0x08, 0x00, 0x20, 0x00,  /* mov edx, 0x00200008 */
    0x0f, 0x30,                    /* wrmsr */
    0xb9, 0x82, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000082: LSTAR */
    0xb8, 0x00, 0x40, 0x01, 0x00,  /* mov eax, 0x14000 */
    0x31, 0xd2,                    /* xor edx, edx */
    0x0f, 0x30,                    /* wrmsr */
    /* mov ecx, 0xc0000084: SFMASK: clears carry */
    0xb9, 0x84, 0x00, 0x00, 0xc0,
    0xb8, 0x01, 0x00, 0x00, 0x00,  /* mov eax, 1 */
    0x0f, 0x30,                    /* wrmsr */
    0xb9, 0x00, 0x20, 0x01, 0x00,  /* mov ecx, 0x12000 */
    0x41, 0xbb, 0x02, 0x02, 0x00, 0x00, /* mov r11d, 0x202 */
    0x49, 0x89, 0xe7,              /* mov r15, rsp */
    0xbc, 0x00, 0x80, 0x04, 0x00,  /* mov esp, 0x48000 */
    0x48, 0x0f, 0x07,              /* sysretq */
};
static const uint8_t syscall_user[] = {
    0xbb, 0x00, 0x01, 0x00, 0x00,  /* mov ebx, 0x100 */
    0xf9,                          /* stc */
    0x0f, 0x05,                    /* syscall */
    0x0f, 0x92, 0xc2,              /* setc dl: SYSRET brought it back */
    0xbb, 0x00, 0x02, 0x00, 0x00,  /* mov ebx, 0x200 */
    0x0f, 0x05,                    /* syscall */
};
static const uint8_t syscall_handler[] = {
    0x0f, 0x92, 0xc0,              /* setc al */
    0x81, 0xfb, 0x00, 0x02, 0x00, 0x00, /* cmp ebx, 0x200 */
    0x74, 0x12,                    /* je end */
    0x41, 0x8c, 0xc8,              /* mov r8, cs */
    0x41, 0x8c, 0xd1,              /* mov r9, ss */
    0x49, 0x89, 0xcc,              /* mov r12, rcx */
    0x4d, 0x89, 0xdd,              /* mov r13, r11 */
    0x41, 0x88, 0xc6,              /* mov r14b, al */
    0x48, 0x0f, 0x07,              /* sysretq */
    /* end: */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

static void ring3_syscall(struct cf *t)
{
    struct squib_x86_64_state st;
    struct squib_error e;

    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_CODE2, syscall_user);
    CF_PUT(t, 0x14000, syscall_handler);
    CF_LONG(t, syscall_code);
    CF_OUT(t, 0xf4, 1, 0);
    CF_OK(squib_vcpu_get_state(t->vcpu, SQUIB_STATE_REGS, &st, &e), e);
    CF_EQ(st.gpr[SQUIB_X86_R8], CF_SEL_CODE64);
    CF_EQ(st.gpr[SQUIB_X86_R9], CF_SEL_DATA);
    CF_EQ(st.gpr[SQUIB_X86_R12], CF_CODE2 + 8);
    CF_EQ(st.gpr[SQUIB_X86_R13] & 0x203, 0x203);
    CF_EQ(st.gpr[SQUIB_X86_R14] & 0xff, 0);
    CF_EQ(st.gpr[SQUIB_X86_RDX] & 0xff, 1);
    CF_EQ(st.gpr[SQUIB_X86_RSP], CF_STACK3);
}

const struct cf_test cf_tests_fault[] = {
    {"fault_ud", fault_ud, CF_EXEC},
    {"fault_de", fault_de, CF_EXEC},
    {"fault_gp", fault_gp, CF_EXEC},
    {"fault_gp_cr4", fault_gp_cr4, CF_EXEC},
    {"fault_gp_msr", fault_gp_msr, CF_EXEC},
    {"fault_bp", fault_bp, CF_EXEC | CF_INT3},
    {"fault_pf", fault_pf, CF_EXEC},
    {"fault_pf_straddle", fault_pf_straddle, CF_EXEC | CF_EXACT},
    {"fault_pf_nx", fault_pf_nx, CF_EXEC},
    {"fault_pf_retry", fault_pf_retry, CF_EXEC},
    {"fault_double", fault_double, CF_EXEC},
    {"triple_fault", triple_fault, CF_EXEC},
    {"ring3_int", ring3_int, CF_EXEC | CF_RING3},
    {"ring3_faults", ring3_faults, CF_EXEC | CF_RING3},
    {"ring3_syscall", ring3_syscall, CF_EXEC | CF_SYSCALL},
    {0},
};

/* SPDX-License-Identifier: Apache-2.0 */
/* A few instructions of each kind. That all of them compute right is for
 * other tests; here a whole group that a backend lacks shows. */
#include "conform.h"

#include "base/util.h"

static const uint8_t int_code[] = {
    0xb8, 0xff, 0xff, 0xff, 0xff,  /* mov eax, 0xffffffff */
    0xb9, 0x03, 0x00, 0x00, 0x00,  /* mov ecx, 3 */
    0xf7, 0xe1,                    /* mul ecx: edx:eax = 2_fffffffd */
    0x41, 0x89, 0xd0,              /* mov r8d, edx */
    0x41, 0x89, 0xc1,              /* mov r9d, eax */
    0x48, 0xc7, 0xc0, 0xf9, 0xff, 0xff, 0xff, /* mov rax, -7 */
    0x48, 0x99,                    /* cqo */
    0xb9, 0x02, 0x00, 0x00, 0x00,  /* mov ecx, 2 */
    0x48, 0xf7, 0xf9,              /* idiv rcx: -3, remainder -1 */
    0x49, 0x89, 0xc2,              /* mov r10, rax */
    0x49, 0x89, 0xd3,              /* mov r11, rdx */
    0xb8, 0x00, 0x00, 0x00, 0x80,  /* mov eax, 0x80000000 */
    0xc1, 0xf8, 0x04,              /* sar eax, 4 */
    0x41, 0x89, 0xc4,              /* mov r12d, eax */
    0x44, 0x0f, 0xbd, 0xe8,        /* bsr r13d, eax */
    0xb8, 0x78, 0x56, 0x34, 0x12,  /* mov eax, 0x12345678 */
    0x0f, 0xc8,                    /* bswap eax */
    0x41, 0x89, 0xc6,              /* mov r14d, eax */
    0xb8, 0x05, 0x00, 0x00, 0x00,  /* mov eax, 5 */
    0xbb, 0x09, 0x00, 0x00, 0x00,  /* mov ebx, 9 */
    0x0f, 0xb1, 0xc3,              /* cmpxchg ebx, eax: not equal: eax = 9 */
    0x41, 0x89, 0xc7,              /* mov r15d, eax */
    0x0f, 0xc1, 0xd8,              /* xadd eax, ebx */
    0xf9,                          /* stc */
    0x83, 0xd0, 0x00,              /* adc eax, 0 */
    0xf4,                          /* hlt */
};

static void insn_integer(struct cf *t)
{
    struct squib_x86_64_state st;
    struct squib_error e;

    cf_vm(t, 1, false, false);
    CF_LONG(t, int_code);
    CF_HLT(t);
    CF_OK(squib_vcpu_get_state(t->vcpu, SQUIB_STATE_REGS, &st, &e), e);
    CF_EQ(st.gpr[SQUIB_X86_R8], 2);
    CF_EQ(st.gpr[SQUIB_X86_R9], 0xfffffffd);
    CF_EQ(st.gpr[SQUIB_X86_R10], (uint64_t)-3);
    CF_EQ(st.gpr[SQUIB_X86_R11], (uint64_t)-1);
    CF_EQ(st.gpr[SQUIB_X86_R12], 0xf8000000);
    CF_EQ(st.gpr[SQUIB_X86_R13], 31);
    CF_EQ(st.gpr[SQUIB_X86_R14], 0x78563412);
    CF_EQ(st.gpr[SQUIB_X86_R15], 9);
    CF_EQ(st.gpr[SQUIB_X86_RAX], 19);
    CF_EQ(st.gpr[SQUIB_X86_RBX], 9);
}

static const uint8_t string_code[] = {
    0xbf, 0x00, 0x00, 0x02, 0x00,  /* mov edi, 0x20000 */
    0xb0, 0x5a,                    /* mov al, 0x5a */
    0xb9, 0x64, 0x00, 0x00, 0x00,  /* mov ecx, 100 */
    0xf3, 0xaa,                    /* rep stosb */
    /* mov byte ptr [0x20040], 0x77 */
    0xc6, 0x04, 0x25, 0x40, 0x00, 0x02, 0x00, 0x77,
    0xbe, 0x00, 0x00, 0x02, 0x00,  /* mov esi, 0x20000 */
    0xbf, 0x00, 0x10, 0x02, 0x00,  /* mov edi, 0x21000 */
    0xb9, 0x19, 0x00, 0x00, 0x00,  /* mov ecx, 25 */
    0xf3, 0xa5,                    /* rep movsd */
    0xbf, 0x00, 0x10, 0x02, 0x00,  /* mov edi, 0x21000 */
    0xb0, 0x77,                    /* mov al, 0x77 */
    0xb9, 0x64, 0x00, 0x00, 0x00,  /* mov ecx, 100 */
    0xf2, 0xae,                    /* repne scasb */
    0x49, 0x89, 0xf8,              /* mov r8, rdi */
    0x49, 0x89, 0xc9,              /* mov r9, rcx */
    0xbe, 0x00, 0x00, 0x02, 0x00,  /* mov esi, 0x20000 */
    0xbf, 0x00, 0x10, 0x02, 0x00,  /* mov edi, 0x21000 */
    /* mov byte ptr [0x21050], 0 */
    0xc6, 0x04, 0x25, 0x50, 0x10, 0x02, 0x00, 0x00,
    0xb9, 0x64, 0x00, 0x00, 0x00,  /* mov ecx, 100 */
    0xf3, 0xa6,                    /* repe cmpsb */
    0x49, 0x89, 0xf2,              /* mov r10, rsi */
    0x41, 0x0f, 0x92, 0xc3,        /* setb r11b */
    0xfd,                          /* std */
    0xbe, 0x63, 0x00, 0x02, 0x00,  /* mov esi, 0x20063 */
    /* mov edi, 0x20065: overlapping, downwards */
    0xbf, 0x65, 0x00, 0x02, 0x00,
    0xb9, 0x32, 0x00, 0x00, 0x00,  /* mov ecx, 50 */
    0xf3, 0xa4,                    /* rep movsb */
    0x49, 0x89, 0xfc,              /* mov r12, rdi */
    0xfc,                          /* cld */
    0xbe, 0x40, 0x00, 0x02, 0x00,  /* mov esi, 0x20040 */
    0xac,                          /* lodsb */
    0xf4,                          /* hlt */
};

static void insn_string(struct cf *t)
{
    struct squib_x86_64_state st;
    struct squib_error e;

    cf_vm(t, 1, false, false);
    CF_LONG(t, string_code);
    CF_HLT(t);
    CF_OK(squib_vcpu_get_state(t->vcpu, SQUIB_STATE_REGS, &st, &e), e);
    CF_EQ(st.gpr[SQUIB_X86_R8], 0x21041);
    CF_EQ(st.gpr[SQUIB_X86_R9], 35);
    CF_EQ(st.gpr[SQUIB_X86_R10], 0x20051);
    CF_EQ(st.gpr[SQUIB_X86_R11] & 0xff, 0);
    CF_EQ(st.gpr[SQUIB_X86_R12], 0x20065 - 50);
    CF_EQ(*cf_ram(t, 0x20042), 0x77);
    CF_EQ(st.gpr[SQUIB_X86_RAX] & 0xff, 0x5a);
}

static const uint8_t sse_code[] = {
    0xbe, 0x00, 0x00, 0x02, 0x00,  /* mov esi, 0x20000 */
    0xf3, 0x0f, 0x6f, 0x06,        /* movdqu xmm0, [rsi] */
    0xf3, 0x0f, 0x6f, 0x4e, 0x10,  /* movdqu xmm1, [rsi+16] */
    0x66, 0x0f, 0xfe, 0xc1,        /* paddd xmm0, xmm1 */
    0xf3, 0x0f, 0x7f, 0x46, 0x20,  /* movdqu [rsi+32], xmm0 */
    0xf2, 0x48, 0x0f, 0x2a, 0x56, 0x30, /* cvtsi2sd xmm2, qword ptr [rsi+48] */
    0xf2, 0x0f, 0x51, 0xd2,        /* sqrtsd xmm2, xmm2 */
    0xf2, 0x0f, 0x58, 0xd2,        /* addsd xmm2, xmm2 */
    0xf2, 0x48, 0x0f, 0x2c, 0xc2,  /* cvttsd2si rax, xmm2 */
    0x66, 0x0f, 0x70, 0xd9, 0x1b,  /* pshufd xmm3, xmm1, 0x1b */
    0xf3, 0x0f, 0x7f, 0x5e, 0x40,  /* movdqu [rsi+64], xmm3 */
    0x66, 0x0f, 0x74, 0xe4,        /* pcmpeqb xmm4, xmm4 */
    0x66, 0x0f, 0xd7, 0xdc,        /* pmovmskb ebx, xmm4 */
    0x0f, 0xae, 0x5e, 0x50,        /* stmxcsr [rsi+80] */
    0xf4,                          /* hlt */
};

static void insn_sse(struct cf *t)
{
    static const uint32_t in[] = {1, 2, 3, 0xffffffff, 10, 20, 30, 40};
    static const uint32_t sum[] = {11, 22, 33, 39};
    static const uint32_t turned[] = {40, 30, 20, 10};

    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_DATA, in);
    cf_put64(t, CF_DATA + 48, 144);
    CF_LONG(t, sse_code);
    CF_HLT(t);
    CF_CHECK(memcmp(cf_ram(t, CF_DATA + 32), sum, 16) == 0);
    CF_CHECK(memcmp(cf_ram(t, CF_DATA + 64), turned, 16) == 0);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 24);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 0xffff);
    CF_EQ(cf_ram32(t, CF_DATA + 80) & 0xffc0, 0x1f80);
}

static const uint8_t x87_code[] = {
    0xdb, 0xe3,                    /* fninit */
    0xbe, 0x00, 0x00, 0x02, 0x00,  /* mov esi, 0x20000 */
    0xdb, 0x06,                    /* fild dword ptr [rsi] */
    0xdb, 0x46, 0x04,              /* fild dword ptr [rsi+4] */
    0xde, 0xf9,                    /* fdivp st(1), st */
    0xd8, 0x4e, 0x08,              /* fmul dword ptr [rsi+8] */
    0xdb, 0x5e, 0x0c,              /* fistp dword ptr [rsi+12] */
    0xd9, 0xeb,                    /* fldpi */
    0xdb, 0x7e, 0x10,              /* fstp tbyte ptr [rsi+16] */
    0xd9, 0x7e, 0x20,              /* fnstcw [rsi+32] */
    0xd9, 0xee,                    /* fldz */
    0xd9, 0xe8,                    /* fld1 */
    0xdf, 0xf1,                    /* fcomip st, st(1) */
    0x0f, 0x97, 0xc0,              /* seta al */
    0xf4,                          /* hlt */
};

static void insn_x87(struct cf *t)
{
    static const uint32_t in[] = {7, 2, 0x40800000}; /* 7, 2, 4.0f */
    static const uint8_t pi[] = {0x35, 0xc2, 0x68, 0x21, 0xa2,
                                 0xda, 0x0f, 0xc9, 0x00, 0x40};

    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_DATA, in);
    CF_LONG(t, x87_code);
    CF_HLT(t);
    CF_EQ(cf_ram32(t, CF_DATA + 12), 14);
    CF_CHECK(memcmp(cf_ram(t, CF_DATA + 16), pi, sizeof(pi)) == 0);
    CF_EQ(cf_ram32(t, CF_DATA + 32) & 0xffff, 0x37f);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX) & 0xff, 1);
}

static const uint8_t cx16_code[] = {
    0xbe, 0x00, 0x00, 0x02, 0x00,  /* mov esi, 0x20000 */
    0xb8, 0x01, 0x00, 0x00, 0x00,  /* mov eax, 1 */
    0xba, 0x02, 0x00, 0x00, 0x00,  /* mov edx, 2 */
    0xbb, 0x03, 0x00, 0x00, 0x00,  /* mov ebx, 3 */
    0xb9, 0x04, 0x00, 0x00, 0x00,  /* mov ecx, 4 */
    0xf0, 0x48, 0x0f, 0xc7, 0x0e,  /* lock cmpxchg16b [rsi] */
    0x41, 0x0f, 0x94, 0xc0,        /* setz r8b */
    0xf0, 0x48, 0x0f, 0xc7, 0x0e,  /* lock cmpxchg16b [rsi] */
    0x41, 0x0f, 0x94, 0xc1,        /* setz r9b */
    0xf4,                          /* hlt */
};

static void insn_cmpxchg16b(struct cf *t)
{
    cf_vm(t, 1, false, false);
    cf_put64(t, CF_DATA, 1);
    cf_put64(t, CF_DATA + 8, 2);
    CF_LONG(t, cx16_code);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_R8) & 0xff, 1);
    CF_EQ(cf_gpr(t, SQUIB_X86_R9) & 0xff, 0);
    CF_EQ(cf_ram64(t, CF_DATA), 3);
    CF_EQ(cf_ram64(t, CF_DATA + 8), 4);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 3);
    CF_EQ(cf_gpr(t, SQUIB_X86_RDX), 4);
}

static const uint8_t smc_code[] = {
    0xb9, 0x03, 0x00, 0x00, 0x00,  /* mov ecx, 3 */
    /* again: */
    0x88, 0x0d, 0x03, 0x00, 0x00, 0x00, /* mov byte ptr [rip+patched+1], cl */
    0xeb, 0x00,                    /* jmp patched */
    /* patched: */
    0xb0, 0x00,                    /* mov al, 0 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xe2, 0xf2,                    /* loop again */
    0xf4,                          /* hlt */
};

/* Code that the guest changes takes effect after the next jump. */
static void self_modifying(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_LONG(t, smc_code);
    CF_OUT(t, 0xf4, 1, 3);
    CF_OUT(t, 0xf4, 1, 2);
    CF_OUT(t, 0xf4, 1, 1);
    CF_HLT(t);
}

static const uint8_t smc_next_code[] = {
    0xb9, 0x03, 0x00, 0x00, 0x00,  /* mov ecx, 3 */
    /* again: */
    0x88, 0x0d, 0x01, 0x00, 0x00, 0x00, /* mov byte ptr [rip+patched+1], cl */
    /* patched: */
    0xb0, 0x00,                    /* mov al, 0 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xe2, 0xf4,                    /* loop again */
    0xf4,                          /* hlt */
};

/* Processors do more than they promise: even the very next instruction is
 * seen. Where hardware runs the guest that is the hardware's affair, and an
 * emulated one may not. */
static void self_modifying_next(struct cf *t)
{
    if (squib_backend_caps(t->be) & SQUIB_CAP_HARDWARE)
        cf_skip("left to the hardware");
    cf_vm(t, 1, false, false);
    CF_LONG(t, smc_next_code);
    CF_OUT(t, 0xf4, 1, 3);
    CF_OUT(t, 0xf4, 1, 2);
    CF_OUT(t, 0xf4, 1, 1);
    CF_HLT(t);
}

static const uint8_t call_code[] = {
    /* again: */
    0xff, 0x14, 0x25, 0x00, 0x00, 0x02, 0x00, /* call [0x20000] */
    0xeb, 0xf7,                    /* jmp again */
};
static const uint8_t return_1[] = {
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xc3,                          /* ret */
};
static const uint8_t return_2[] = {
    0xb0, 0x02,                    /* mov al, 2 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xc3,                          /* ret */
};

/* So does code that the host changes between runs. */
static void host_changes_code(struct cf *t)
{
    cf_vm(t, 1, false, false);
    cf_put64(t, CF_DATA, CF_CODE2);
    CF_PUT(t, CF_CODE2, return_1);
    CF_LONG(t, call_code);
    CF_OUT(t, 0xf4, 1, 1);
    CF_OUT(t, 0xf4, 1, 1);
    CF_PUT(t, CF_CODE2, return_2);
    CF_OUT(t, 0xf4, 1, 2);
}

static const uint8_t tsc_code[] = {
    0x0f, 0x31,                    /* rdtsc */
    0x48, 0xc1, 0xe2, 0x20,        /* shl rdx, 32 */
    0x48, 0x09, 0xd0,              /* or rax, rdx */
    0x49, 0x89, 0xc0,              /* mov r8, rax */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0x0f, 0x31,                    /* rdtsc */
    0x48, 0xc1, 0xe2, 0x20,        /* shl rdx, 32 */
    0x48, 0x09, 0xd0,              /* or rax, rdx */
    0x49, 0x89, 0xc1,              /* mov r9, rax */
    0xb9, 0xe8, 0x03, 0x00, 0x00,  /* mov ecx, 1000 */
    /* wait: */
    0xe2, 0xfe,                    /* loop wait */
    0x0f, 0x31,                    /* rdtsc */
    0x48, 0xc1, 0xe2, 0x20,        /* shl rdx, 32 */
    0x48, 0x09, 0xd0,              /* or rax, rdx */
    0xf4,                          /* hlt */
};

static void tsc_monotonic(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_LONG(t, tsc_code);
    CF_KIND(t, SQUIB_EXIT_PIO);
    CF_HLT(t);
    CF_CHECK(cf_gpr(t, SQUIB_X86_R9) > cf_gpr(t, SQUIB_X86_R8));
    CF_CHECK(cf_gpr(t, SQUIB_X86_RAX) > cf_gpr(t, SQUIB_X86_R9));
}

const struct cf_test cf_tests_insn[] = {
    {"insn_integer", insn_integer, CF_EXEC},
    {"insn_string", insn_string, CF_EXEC},
    {"insn_sse", insn_sse, CF_EXEC | CF_FPU},
    {"insn_x87", insn_x87, CF_EXEC | CF_FPU},
    {"insn_cmpxchg16b", insn_cmpxchg16b, CF_EXEC | CF_CX16},
    {"self_modifying", self_modifying, CF_EXEC},
    {"self_modifying_next", self_modifying_next, CF_EXEC},
    {"host_changes_code", host_changes_code, CF_EXEC},
    {"tsc_monotonic", tsc_monotonic, CF_EXEC},
    {0},
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Processor modes and paging. Source: SDM vol. 3, chapters 3, 4 and 9. */
#include "conform.h"

static const uint8_t real_code[] = {
    0xb8, 0x05, 0x00,              /* mov ax, 5 */
    0xd1, 0xe0,                    /* shl ax, 1 */
    0xa3, 0x10, 0x00,              /* mov [0x10], ax */
    0xb9, 0x04, 0x00,              /* mov cx, 4 */
    /* again: */
    0x01, 0xc8,                    /* add ax, cx */
    0xe2, 0xfc,                    /* loop again */
    /* mov dword ptr [0x14], 0x11223344 */
    0x66, 0xc7, 0x06, 0x14, 0x00, 0x44, 0x33, 0x22, 0x11,
    0x66, 0x8b, 0x1e, 0x14, 0x00,  /* mov ebx, [0x14] */
    0x53,                          /* push bx */
    0x5a,                          /* pop dx */
    0xe8, 0x03, 0x00,              /* call sub */
    0xe7, 0xf4,                    /* out 0xf4, ax */
    0xf4,                          /* hlt */
    /* sub: */
    0x01, 0xd0,                    /* add ax, dx */
    0xc3,                          /* ret */
};

static void real_mode(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_REAL(t, real_code);
    CF_OUT(t, 0xf4, 2, 10 + 4 + 3 + 2 + 1 + 0x3344);
    CF_EQ(cf_ram32(t, CF_DATA + 0x10) & 0xffff, 10);
}

static const uint8_t real_int_code[] = {
    0x31, 0xc0,                    /* xor ax, ax */
    0x8e, 0xd8,                    /* mov ds, ax */
    0xc7, 0x06, 0x84, 0x00, 0x00, 0x08, /* mov word ptr [0x21*4], 0x0800 */
    0xc7, 0x06, 0x86, 0x00, 0x00, 0x10, /* mov word ptr [0x21*4+2], 0x1000 */
    0xf9,                          /* stc */
    0xcd, 0x21,                    /* int 0x21 */
    0x0f, 0x92, 0xc0,              /* setc al */
    0xe6, 0xf4,                    /* out 0xf4, al */
    /* int3_or_hlt: */
    0xf4,                          /* hlt */
};
static const uint8_t real_int_handler[] = {
    0x9c,                          /* pushf */
    0x59,                          /* pop cx */
    0xb8, 0x34, 0x12,              /* mov ax, 0x1234 */
    0xe7, 0xf4,                    /* out 0xf4, ax */
    0xcf,                          /* iret */
};

/* An interrupt through the vector table at 0, flags kept by IRET. */
static void real_mode_int(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_CODE + 0x800, real_int_handler);
    CF_REAL(t, real_int_code);
    CF_OUT(t, 0xf4, 2, 0x1234);
    CF_OUT(t, 0xf4, 1, 1);
    CF_EQ(cf_gpr(t, SQUIB_X86_RCX) & 0x201, 1); /* carry, no IF */
}

static const uint8_t prot_code[] = {
    0xb8, 0x11, 0x11, 0x11, 0x11,  /* mov eax, 0x11111111 */
    0xbb, 0x22, 0x22, 0x22, 0x22,  /* mov ebx, 0x22222222 */
    0x01, 0xd8,                    /* add eax, ebx */
    0x50,                          /* push eax */
    /* mov dword ptr [0x20000], 0xabcdef01 */
    0xc7, 0x05, 0x00, 0x00, 0x02, 0x00, 0x01, 0xef, 0xcd, 0xab,
    0x8b, 0x0d, 0x00, 0x00, 0x02, 0x00, /* mov ecx, [0x20000] */
    0x33, 0x0c, 0x24,              /* xor ecx, [esp] */
    0x6b, 0xd1, 0x03,              /* imul edx, ecx, 3 */
    0x66, 0xb8, 0x50, 0x00,        /* mov ax, 0x50 */
    0x8e, 0xe0,                    /* mov fs, ax */
    /* mov word ptr fs:[0x20], 0x77 */
    0x64, 0x66, 0xc7, 0x05, 0x20, 0x00, 0x00, 0x00, 0x77, 0x00,
    0x89, 0xd0,                    /* mov eax, edx */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    0xf4,                          /* hlt */
};

static void protected_mode(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_PROT(t, prot_code);
    CF_OUT(t, 0xf4, 4, (0xabcdef01u ^ 0x33333333u) * 3u);
    CF_EQ(cf_ram32(t, 0x20) & 0xffff, 0x77);
}

static const uint8_t long_code[] = {
    /* mov rax, 0x123456789abcdef0 */
    0x48, 0xb8, 0xf0, 0xde, 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12,
    0x48, 0x89, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00, /* mov [0x20000], rax */
    0x4c, 0x8b, 0x3c, 0x25, 0x04, 0x00, 0x02, 0x00, /* mov r15, [0x20004] */
    0x48, 0x8d, 0x15, 0x1c, 0x00, 0x00, 0x00, /* lea rdx, [rip+data] */
    0x48, 0x03, 0x02,              /* add rax, [rdx] */
    0x49, 0x89, 0xc0,              /* mov r8, rax */
    0x49, 0xc1, 0xe8, 0x20,        /* shr r8, 32 */
    0x89, 0xc0,                    /* mov eax, eax */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    0x44, 0x89, 0xc0,              /* mov eax, r8d */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    0x48, 0x8b, 0x0c, 0x25, 0x00, 0x00, 0x10, 0x00, /* mov rcx, [0x100000] */
    0xf4,                          /* hlt */
    /* data: */
    /* .quad 0x1111111111111111 */
    0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
};

static void long_mode_2m(struct cf *t)
{
    cf_vm(t, 1, false, false);
    cf_put64(t, CF_HIGH_RAM, 0xfeedface);
    CF_LONG(t, long_code);
    CF_OUT(t, 0xf4, 4, 0x9abcdef0u + 0x11111111u);
    CF_OUT(t, 0xf4, 4, 0x12345678u + 0x11111111u);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_R15), 0x12345678);
    CF_EQ(cf_gpr(t, SQUIB_X86_RCX), 0xfeedface);
}

static const uint8_t page_code[] = {
    0x8b, 0x04, 0x25, 0x00, 0x00, 0x03, 0x00, /* mov eax, [0x30000] */
    /* mov dword ptr [0x31008], 0x55 */
    0xc7, 0x04, 0x25, 0x08, 0x10, 0x03, 0x00, 0x55, 0x00, 0x00, 0x00,
    0x8b, 0x1c, 0x25, 0x00, 0xe0, 0x1f, 0x00, /* mov ebx, [0x1fe000] */
    0xf4,                          /* hlt */
};

static void long_mode_4k(struct cf *t)
{
    cf_vm(t, 1, false, false);
    cf_use_4k_pages(t);
    cf_put64(t, CF_PT + 0x30 * 8, 0x20000 | 3);
    cf_put64(t, CF_PT + 0x31 * 8, 0x22000 | 3);
    cf_put64(t, CF_PT + 0x1fe * 8, 0x100000 | 1);
    cf_put64(t, 0x20000, 0xaaaa);
    cf_put64(t, 0x100000, 0xbbbb);
    CF_LONG(t, page_code);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 0xaaaa);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 0xbbbb);
    CF_EQ(cf_ram32(t, 0x22008), 0x55);
    /* accessed, and dirty where written */
    CF_EQ(cf_ram64(t, CF_PT + 0x30 * 8) & 0x60, 0x20);
    CF_EQ(cf_ram64(t, CF_PT + 0x31 * 8) & 0x60, 0x60);
}

static const uint8_t switch_code[] = {
    0xfa,                          /* cli */
    0x0f, 0x01, 0x16, 0x00, 0x01,  /* lgdt [0x100] */
    0x0f, 0x20, 0xc0,              /* mov eax, cr0 */
    0x0c, 0x01,                    /* or al, 1 */
    0x0f, 0x22, 0xc0,              /* mov cr0, eax */
    0x66,                          /* .byte 0x66 */
    0xea, 0x00, 0x20, 0x01, 0x00, 0x18, 0x00, /* jmp 0x18:0x12000 */
};
static const uint8_t switch_32_code[] = {
    0x66, 0xb8, 0x10, 0x00,        /* mov ax, 0x10 */
    0x8e, 0xd8,                    /* mov ds, ax */
    0x8e, 0xd0,                    /* mov ss, ax */
    0xbc, 0x00, 0x80, 0x03, 0x00,  /* mov esp, 0x38000 */
    0xb0, 0x20,                    /* mov al, 32 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0x0f, 0x20, 0xe0,              /* mov eax, cr4 */
    0x83, 0xc8, 0x20,              /* or eax, 0x20: PAE */
    0x0f, 0x22, 0xe0,              /* mov cr4, eax */
    0xb8, 0x00, 0x40, 0x00, 0x00,  /* mov eax, 0x4000 */
    0x0f, 0x22, 0xd8,              /* mov cr3, eax */
    0xb9, 0x80, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000080 */
    0x0f, 0x32,                    /* rdmsr */
    0x0d, 0x00, 0x01, 0x00, 0x00,  /* or eax, 0x100: LME */
    0x0f, 0x30,                    /* wrmsr */
    0x0f, 0x20, 0xc0,              /* mov eax, cr0 */
    0x0d, 0x00, 0x00, 0x00, 0x80,  /* or eax, 0x80000000: PG */
    0x0f, 0x22, 0xc0,              /* mov cr0, eax */
    0xea, 0x00, 0x30, 0x01, 0x00, 0x08, 0x00, /* jmp 8:0x13000 */
};
static const uint8_t switch_64_code[] = {
    0xb0, 0x40,                    /* mov al, 64 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0x0f, 0x20, 0xc0,              /* mov rax, cr0 */
    0x49, 0x89, 0xc0,              /* mov r8, rax */
    0xb9, 0x80, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000080 */
    0x0f, 0x32,                    /* rdmsr */
    0x41, 0x89, 0xc1,              /* mov r9d, eax */
    0x8c, 0xc8,                    /* mov rax, cs */
    0xf4,                          /* hlt */
};

static void mode_switch_by_guest(struct cf *t)
{
    uint8_t gdtr[6] = {0x57, 0, CF_GDT & 0xff, CF_GDT >> 8, 0, 0};

    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_DATA + 0x100, gdtr);
    CF_PUT(t, CF_CODE2, switch_32_code);
    CF_PUT(t, 0x13000, switch_64_code);
    CF_REAL(t, switch_code);
    CF_OUT(t, 0xf4, 1, 32);
    CF_OUT(t, 0xf4, 1, 64);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_R8) & 0x80000001u, 0x80000001u);
    CF_EQ(cf_gpr(t, SQUIB_X86_R9) & 0x500, 0x500);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), CF_SEL_CODE64);
}

static const uint8_t compat_code[] = {
    0x6a, 0x18,                    /* push 0x18 */
    0x68, 0x00, 0x20, 0x01, 0x00,  /* push 0x12000 */
    0x48, 0xcb,                    /* retfq */
};
static const uint8_t compat_32_code[] = {
    0xb8, 0xff, 0xff, 0xff, 0xff,  /* mov eax, -1 */
    /* inc eax: one byte, and a REX prefix in 64-bit mode */
    0x40,
    0x48,                          /* dec eax */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    0x6a, 0x08,                    /* push 0x08 */
    0x68, 0x00, 0x30, 0x01, 0x00,  /* push 0x13000 */
    0xcb,                          /* retf */
};
static const uint8_t compat_back_code[] = {
    0xb0, 0x09,                    /* mov al, 9 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

static void compatibility_mode(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_CODE2, compat_32_code);
    CF_PUT(t, 0x13000, compat_back_code);
    CF_LONG(t, compat_code);
    CF_OUT(t, 0xf4, 4, 0xffffffff);
    CF_OUT(t, 0xf4, 1, 9);
}

const struct cf_test cf_tests_mode[] = {
    {"real_mode", real_mode, CF_EXEC},
    {"real_mode_int", real_mode_int, CF_EXEC},
    {"protected_mode", protected_mode, CF_EXEC},
    {"long_mode_2m", long_mode_2m, CF_EXEC},
    {"long_mode_4k", long_mode_4k, CF_EXEC},
    {"mode_switch_by_guest", mode_switch_by_guest, CF_EXEC},
    {"compatibility_mode", compatibility_mode, CF_EXEC},
    {0},
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Accesses to guest-physical addresses that are not memory. */
#include "conform.h"

static const uint8_t sizes_code[] = {
    0xbf, 0x00, 0x00, 0x00, 0xd0,  /* mov edi, 0xd0000000 */
    /* mov rax, 0x1122334455667788 */
    0x48, 0xb8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
    0x88, 0x07,                    /* mov [rdi], al */
    0x66, 0x89, 0x47, 0x02,        /* mov [rdi+2], ax */
    0x89, 0x47, 0x04,              /* mov [rdi+4], eax */
    0x48, 0x89, 0x47, 0x08,        /* mov [rdi+8], rax */
    0xc7, 0x47, 0x10, 0x99, 0x00, 0x00, 0x00, /* mov dword ptr [rdi+16], 0x99 */
    0x48, 0xc7, 0xc3, 0xff, 0xff, 0xff, 0xff, /* mov rbx, -1 */
    0x8a, 0x1f,                    /* mov bl, [rdi] */
    0x48, 0xc7, 0xc1, 0xff, 0xff, 0xff, 0xff, /* mov rcx, -1 */
    0x66, 0x8b, 0x4f, 0x02,        /* mov cx, [rdi+2] */
    0x48, 0xc7, 0xc2, 0xff, 0xff, 0xff, 0xff, /* mov rdx, -1 */
    0x8b, 0x57, 0x04,              /* mov edx, [rdi+4] */
    0x48, 0x8b, 0x77, 0x08,        /* mov rsi, [rdi+8] */
    0x44, 0x0f, 0xb6, 0x47, 0x10,  /* movzx r8d, byte ptr [rdi+16] */
    0x4c, 0x0f, 0xbf, 0x4f, 0x12,  /* movsx r9, word ptr [rdi+18] */
    0x4c, 0x63, 0x57, 0x14,        /* movsxd r10, dword ptr [rdi+20] */
    0xf4,                          /* hlt */
};

static void mmio_sizes(struct cf *t)
{
    static const uint8_t rax[] = {0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22,
                                  0x11};
    static const uint8_t imm[] = {0x99, 0, 0, 0};
    static const uint8_t in[] = {0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86,
                                 0x87};

    cf_vm(t, 1, false, false);
    CF_LONG(t, sizes_code);
    CF_MMIO_WRITE(t, CF_MMIO, rax, 1);
    CF_MMIO_WRITE(t, CF_MMIO + 2, rax, 2);
    CF_MMIO_WRITE(t, CF_MMIO + 4, rax, 4);
    CF_MMIO_WRITE(t, CF_MMIO + 8, rax, 8);
    CF_MMIO_WRITE(t, CF_MMIO + 16, imm, 4);
    CF_MMIO_READ(t, CF_MMIO, in, 1);
    CF_MMIO_READ(t, CF_MMIO + 2, in, 2);
    CF_MMIO_READ(t, CF_MMIO + 4, in, 4);
    CF_MMIO_READ(t, CF_MMIO + 8, in, 8);
    CF_MMIO_READ(t, CF_MMIO + 16, in, 1);
    CF_MMIO_READ(t, CF_MMIO + 18, in, 2);
    CF_MMIO_READ(t, CF_MMIO + 20, in, 4);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 0xffffffffffffff80ull);
    CF_EQ(cf_gpr(t, SQUIB_X86_RCX), 0xffffffffffff8180ull);
    CF_EQ(cf_gpr(t, SQUIB_X86_RDX), 0x83828180ull);
    CF_EQ(cf_gpr(t, SQUIB_X86_RSI), 0x8786858483828180ull);
    CF_EQ(cf_gpr(t, SQUIB_X86_R8), 0x80);
    CF_EQ(cf_gpr(t, SQUIB_X86_R9), 0xffffffffffff8180ull);
    CF_EQ(cf_gpr(t, SQUIB_X86_R10), 0xffffffff83828180ull);
}

static const uint8_t unaligned_code[] = {
    0xbf, 0x00, 0x00, 0x00, 0xd0,  /* mov edi, 0xd0000000 */
    /* mov rax, 0x1122334455667788 */
    0x48, 0xb8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
    0x48, 0x89, 0x47, 0x03,        /* mov [rdi+3], rax */
    0x48, 0x8b, 0x5f, 0x05,        /* mov rbx, [rdi+5] */
    0x89, 0x87, 0xfe, 0x0f, 0x00, 0x00, /* mov [rdi+0xffe], eax */
    0x8b, 0x8f, 0xfd, 0x0f, 0x00, 0x00, /* mov ecx, [rdi+0xffd] */
    0xf4,                          /* hlt */
};

static void mmio_unaligned(struct cf *t)
{
    static const uint8_t rax[] = {0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22,
                                  0x11};
    static const uint8_t in[] = {1, 2, 3, 4, 5, 6, 7, 8};

    cf_vm(t, 1, false, false);
    CF_LONG(t, unaligned_code);
    CF_MMIO_WRITE(t, CF_MMIO + 3, rax, 8);
    CF_MMIO_READ(t, CF_MMIO + 5, in, 8);
    CF_MMIO_WRITE(t, CF_MMIO + 0xffe, rax, 4);
    CF_MMIO_READ(t, CF_MMIO + 0xffd, in, 4);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 0x0807060504030201ull);
    CF_EQ(cf_gpr(t, SQUIB_X86_RCX), 0x04030201ull);
}

static const uint8_t edge_code[] = {
    0xbf, 0xfd, 0xff, 0x09, 0x00,  /* mov edi, 0x9fffd */
    0xb8, 0x11, 0x22, 0x33, 0x44,  /* mov eax, 0x44332211 */
    0x89, 0x07,                    /* mov [rdi], eax */
    0x8b, 0x1f,                    /* mov ebx, [rdi] */
    0xf4,                          /* hlt */
};

/* Three bytes of memory, one that is not: the MMIO exit is for that one. */
static void mmio_memory_edge(struct cf *t)
{
    static const uint8_t out[] = {0x44}, in[] = {0x99};

    cf_vm(t, 1, false, false);
    CF_LONG(t, edge_code);
    CF_MMIO_WRITE(t, CF_HOLE, out, 1);
    CF_MMIO_READ(t, CF_HOLE, in, 1);
    CF_HLT(t);
    CF_EQ(cf_ram32(t, CF_HOLE - 4) >> 8, 0x332211);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 0x99332211ull);
}

static const uint8_t wide_code[] = {
    0xbf, 0x10, 0x00, 0x00, 0xd0,  /* mov edi, 0xd0000010 */
    0xbe, 0x00, 0x00, 0x02, 0x00,  /* mov esi, 0x20000 */
    0x0f, 0x10, 0x06,              /* movups xmm0, [rsi] */
    0x0f, 0x11, 0x07,              /* movups [rdi], xmm0 */
    0x0f, 0x10, 0x0f,              /* movups xmm1, [rdi] */
    0x0f, 0x11, 0x4e, 0x10,        /* movups [rsi+16], xmm1 */
    0xf4,                          /* hlt */
};

/* 16 bytes come as exits of 8 at most. */
static void mmio_wide(struct cf *t)
{
    uint8_t out[16], in[16];

    cf_vm(t, 1, false, false);
    for (uint8_t i = 0; i < 16; i++) {
        out[i] = (uint8_t)(0x10 + i);
        in[i] = (uint8_t)(0xe0 + i);
    }
    CF_PUT(t, CF_DATA, out);
    CF_LONG(t, wide_code);
    CF_MMIO_WRITE(t, CF_MMIO + 0x10, out, 16);
    CF_MMIO_READ(t, CF_MMIO + 0x10, in, 16);
    CF_HLT(t);
    CF_CHECK(memcmp(cf_ram(t, CF_DATA + 16), in, 16) == 0);
}

static const uint8_t rmw_code[] = {
    0xbf, 0x00, 0x00, 0x00, 0xd0,  /* mov edi, 0xd0000000 */
    0xb8, 0x00, 0x01, 0x00, 0x00,  /* mov eax, 0x100 */
    0x01, 0x07,                    /* add [rdi], eax */
    0xbb, 0x55, 0x00, 0x00, 0x00,  /* mov ebx, 0x55 */
    0x87, 0x5f, 0x04,              /* xchg [rdi+4], ebx */
    0xfe, 0x47, 0x08,              /* inc byte ptr [rdi+8] */
    0xb9, 0x03, 0x00, 0x00, 0x00,  /* mov ecx, 3 */
    0x66, 0x09, 0x4f, 0x0c,        /* or [rdi+12], cx */
    0x03, 0x47, 0x10,              /* add eax, [rdi+16] */
    0x83, 0x7f, 0x14, 0x07,        /* cmp dword ptr [rdi+20], 7 */
    0x0f, 0x94, 0xc2,              /* sete dl */
    0xf4,                          /* hlt */
};

static void mmio_rmw(struct cf *t)
{
    static const uint8_t in[] = {0x05, 0, 0, 0}, sum[] = {0x05, 1, 0, 0};
    static const uint8_t old[] = {0x66, 0, 0, 0}, new[] = {0x55, 0, 0, 0};
    static const uint8_t ff[] = {0xff}, zero[] = {0};
    static const uint8_t or_in[] = {0x10, 0x20}, or_out[] = {0x13, 0x20};
    static const uint8_t seven[] = {7, 0, 0, 0};

    cf_vm(t, 1, false, false);
    CF_LONG(t, rmw_code);
    CF_MMIO_READ(t, CF_MMIO, in, 4);
    CF_MMIO_WRITE(t, CF_MMIO, sum, 4);
    CF_MMIO_READ(t, CF_MMIO + 4, old, 4);
    CF_MMIO_WRITE(t, CF_MMIO + 4, new, 4);
    CF_MMIO_READ(t, CF_MMIO + 8, ff, 1);
    CF_MMIO_WRITE(t, CF_MMIO + 8, zero, 1);
    CF_MMIO_READ(t, CF_MMIO + 12, or_in, 2);
    CF_MMIO_WRITE(t, CF_MMIO + 12, or_out, 2);
    CF_MMIO_READ(t, CF_MMIO + 16, in, 4);
    CF_MMIO_READ(t, CF_MMIO + 20, seven, 4);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 0x105);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 0x66);
    CF_EQ(cf_gpr(t, SQUIB_X86_RDX) & 0xff, 1);
}

static const uint8_t string_code[] = {
    0xbe, 0x00, 0x00, 0x02, 0x00,  /* mov esi, 0x20000 */
    0xbf, 0x00, 0x00, 0x00, 0xd0,  /* mov edi, 0xd0000000 */
    0xb9, 0x03, 0x00, 0x00, 0x00,  /* mov ecx, 3 */
    0xf3, 0xa4,                    /* rep movsb */
    0xb8, 0x11, 0x22, 0x33, 0x44,  /* mov eax, 0x44332211 */
    0xb9, 0x02, 0x00, 0x00, 0x00,  /* mov ecx, 2 */
    0xbf, 0x10, 0x00, 0x00, 0xd0,  /* mov edi, 0xd0000010 */
    0xf3, 0xab,                    /* rep stosd */
    0xbe, 0x20, 0x00, 0x00, 0xd0,  /* mov esi, 0xd0000020 */
    0xbf, 0x10, 0x00, 0x02, 0x00,  /* mov edi, 0x20010 */
    0xb9, 0x03, 0x00, 0x00, 0x00,  /* mov ecx, 3 */
    0x66, 0xf3, 0xa5,              /* rep movsw */
    0xfd,                          /* std */
    0xbe, 0x30, 0x00, 0x00, 0xd0,  /* mov esi, 0xd0000030 */
    0xac,                          /* lodsb */
    0xf4,                          /* hlt */
};

static void mmio_string(struct cf *t)
{
    static const uint8_t src[] = {0xa1, 0xa2, 0xa3};
    static const uint8_t eax[] = {0x11, 0x22, 0x33, 0x44};
    static const uint8_t in[] = {1, 2, 3, 4, 5, 6};

    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_DATA, src);
    CF_LONG(t, string_code);
    for (uint32_t i = 0; i < 3; i++)
        CF_MMIO_WRITE(t, CF_MMIO + i, &src[i], 1);
    CF_MMIO_WRITE(t, CF_MMIO + 0x10, eax, 4);
    CF_MMIO_WRITE(t, CF_MMIO + 0x14, eax, 4);
    for (uint32_t i = 0; i < 3; i++)
        CF_MMIO_READ(t, CF_MMIO + 0x20 + i * 2, &in[i * 2], 2);
    CF_MMIO_READ(t, CF_MMIO + 0x30, in + 5, 1);
    CF_HLT(t);
    CF_CHECK(memcmp(cf_ram(t, CF_DATA + 0x10), in, sizeof(in)) == 0);
    CF_EQ(cf_gpr(t, SQUIB_X86_RSI), CF_MMIO + 0x2f);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 0x44332206);
}

static const uint8_t real_code[] = {
    0xb8, 0x00, 0xb8,              /* mov ax, 0xb800 */
    0x8e, 0xc0,                    /* mov es, ax */
    0x26, 0xa2, 0x00, 0x00,        /* mov es:[0], al */
    0x26, 0x8a, 0x1e, 0x02, 0x00,  /* mov bl, es:[2] */
    0xf4,                          /* hlt */
};

static void mmio_real_mode(struct cf *t)
{
    static const uint8_t out[] = {0}, in[] = {0x5a};

    cf_vm(t, 1, false, false);
    CF_REAL(t, real_code);
    CF_MMIO_WRITE(t, 0xb8000, out, 1);
    CF_MMIO_READ(t, 0xb8002, in, 1);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX) & 0xff, 0x5a);
}

static const uint8_t nowhere_code[] = {
    0xb8, 0x00, 0x00, 0x00, 0xd0,  /* mov eax, 0xd0000000 */
    0xff, 0xe0,                    /* jmp rax */
};

/* There is no code where there is no memory. No hang, no crash; a backend
 * may call it its own limit or the guest's death. */
static void jump_to_nowhere(struct cf *t)
{
    const struct squib_exit *e;

    cf_vm(t, 1, false, false);
    CF_LONG(t, nowhere_code);
    e = cf_run(t);
    if (e->kind != SQUIB_EXIT_INTERNAL_ERROR &&
        e->kind != SQUIB_EXIT_SHUTDOWN)
        CF_FAIL("got %s", cf_describe(e));
    CF_CHECK(e->kind != SQUIB_EXIT_INTERNAL_ERROR ||
             e->internal_error.text[0]);
}

const struct cf_test cf_tests_mmio[] = {
    {"mmio_sizes", mmio_sizes, CF_EXEC},
    {"mmio_unaligned", mmio_unaligned, CF_EXEC},
    {"mmio_memory_edge", mmio_memory_edge, CF_EXEC},
    {"mmio_wide", mmio_wide, CF_EXEC},
    {"mmio_rmw", mmio_rmw, CF_EXEC},
    {"mmio_string", mmio_string, CF_EXEC},
    {"mmio_real_mode", mmio_real_mode, CF_EXEC},
    {"jump_to_nowhere", jump_to_nowhere, CF_EXEC},
    {0},
};

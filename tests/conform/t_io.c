/* SPDX-License-Identifier: Apache-2.0 */
/* Port input and output. Source: SDM vol. 1 chapter 19, vol. 2 IN, OUT, INS,
 * OUTS. */
#include "conform.h"

#include "base/util.h"

static const uint8_t sizes_code[] = {
    0xba, 0x10, 0x05,              /* mov dx, 0x510 */
    0x66, 0xb8, 0x78, 0x56, 0x34, 0x12, /* mov eax, 0x12345678 */
    0xee,                          /* out dx, al */
    0xef,                          /* out dx, ax */
    0x66, 0xef,                    /* out dx, eax */
    0xe6, 0xf0,                    /* out 0xf0, al */
    0xec,                          /* in al, dx */
    0x66, 0xef,                    /* out dx, eax */
    0xed,                          /* in ax, dx */
    0x66, 0xef,                    /* out dx, eax */
    0x66, 0xed,                    /* in eax, dx */
    0x66, 0xef,                    /* out dx, eax */
    0xe4, 0xf1,                    /* in al, 0xf1 */
    0x66, 0xef,                    /* out dx, eax */
    0xf4,                          /* hlt */
};

static void pio_sizes(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_REAL(t, sizes_code);
    CF_OUT(t, 0x510, 1, 0x78);
    CF_OUT(t, 0x510, 2, 0x5678);
    CF_OUT(t, 0x510, 4, 0x12345678);
    CF_OUT(t, 0xf0, 1, 0x78);
    CF_IN(t, 0x510, 1, 0xab);
    CF_OUT(t, 0x510, 4, 0x123456ab);
    CF_IN(t, 0x510, 2, 0xcdef);
    CF_OUT(t, 0x510, 4, 0x1234cdef);
    CF_IN(t, 0x510, 4, 0x89abcdef);
    CF_OUT(t, 0x510, 4, 0x89abcdef);
    CF_IN(t, 0xf1, 1, 0x11);
    CF_OUT(t, 0x510, 4, 0x89abcd11);
    CF_HLT(t);
}

static const uint8_t extend_code[] = {
    0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, /* mov rax, -1 */
    0xe4, 0xf0,                    /* in al, 0xf0 */
    0x48, 0x89, 0xc3,              /* mov rbx, rax */
    0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, /* mov rax, -1 */
    0xe5, 0xf0,                    /* in eax, 0xf0 */
    0x48, 0x89, 0xc1,              /* mov rcx, rax */
    0xf4,                          /* hlt */
};

/* A 4-byte IN clears the upper half of RAX; a 1-byte one keeps the rest. */
static void pio_in_extends(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_LONG(t, extend_code);
    CF_IN(t, 0xf0, 1, 0x7f);
    CF_IN(t, 0xf0, 4, 0x80000000);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 0xffffffffffffff7full);
    CF_EQ(cf_gpr(t, SQUIB_X86_RCX), 0x80000000ull);
}

static const uint8_t outs_code[] = {
    0xfc,                          /* cld */
    0xba, 0x20, 0x05,              /* mov dx, 0x520 */
    0x31, 0xf6,                    /* xor si, si */
    0xb9, 0x03, 0x00,              /* mov cx, 3 */
    0xf3, 0x6e,                    /* rep outsb */
    0xb9, 0x02, 0x00,              /* mov cx, 2 */
    0xf3, 0x6f,                    /* rep outsw */
    0xb9, 0x02, 0x00,              /* mov cx, 2 */
    0x66, 0xf3, 0x6f,              /* rep outsd */
    0x6e,                          /* outsb */
    0xfd,                          /* std */
    0xbe, 0x02, 0x00,              /* mov si, 2 */
    0xb9, 0x03, 0x00,              /* mov cx, 3 */
    0xf3, 0x6e,                    /* rep outsb */
    0x31, 0xc9,                    /* xor cx, cx */
    0xf3, 0x6e,                    /* rep outsb */
    0xf4,                          /* hlt */
};

static void string_out(struct cf *t)
{
    cf_vm(t, 1, false, false);
    for (unsigned i = 0; i < 32; i++)
        *cf_ram(t, CF_DATA + i) = (uint8_t)(0x80 + i);
    CF_REAL(t, outs_code);
    CF_OUT(t, 0x520, 1, 0x80);
    CF_OUT(t, 0x520, 1, 0x81);
    CF_OUT(t, 0x520, 1, 0x82);
    CF_OUT(t, 0x520, 2, 0x8483);
    CF_OUT(t, 0x520, 2, 0x8685);
    CF_OUT(t, 0x520, 4, 0x8a898887);
    CF_OUT(t, 0x520, 4, 0x8e8d8c8b);
    CF_OUT(t, 0x520, 1, 0x8f);
    CF_OUT(t, 0x520, 1, 0x82); /* downwards */
    CF_OUT(t, 0x520, 1, 0x81);
    CF_OUT(t, 0x520, 1, 0x80);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RSI) & 0xffff, 0xffff);
    CF_EQ(cf_gpr(t, SQUIB_X86_RCX) & 0xffff, 0);
}

static const uint8_t ins_code[] = {
    0xfc,                          /* cld */
    0xba, 0x30, 0x05,              /* mov dx, 0x530 */
    0x31, 0xff,                    /* xor di, di */
    0xb9, 0x05, 0x00,              /* mov cx, 5 */
    0xf3, 0x6c,                    /* rep insb */
    0xb9, 0x02, 0x00,              /* mov cx, 2 */
    0x66, 0xf3, 0x6d,              /* rep insd */
    0x6d,                          /* insw */
    0xfd,                          /* std */
    0xbf, 0x41, 0x00,              /* mov di, 0x41 */
    0xb9, 0x02, 0x00,              /* mov cx, 2 */
    0xf3, 0x6c,                    /* rep insb */
    0xf4,                          /* hlt */
};

static void string_in(struct cf *t)
{
    static const uint8_t want[] = {1, 2, 3, 4, 5, 0x14, 0x13, 0x12, 0x11,
                                   0x24, 0x23, 0x22, 0x21, 0x32, 0x31};

    cf_vm(t, 1, false, false);
    CF_REAL(t, ins_code);
    for (uint8_t i = 1; i <= 5; i++)
        CF_IN(t, 0x530, 1, i);
    CF_IN(t, 0x530, 4, 0x11121314);
    CF_IN(t, 0x530, 4, 0x21222324);
    CF_IN(t, 0x530, 2, 0x3132);
    CF_IN(t, 0x530, 1, 0xb1);
    CF_IN(t, 0x530, 1, 0xb0);
    CF_HLT(t);
    CF_CHECK(memcmp(cf_ram(t, CF_DATA), want, sizeof(want)) == 0);
    CF_EQ(*cf_ram(t, CF_DATA + 0x41), 0xb1);
    CF_EQ(*cf_ram(t, CF_DATA + 0x40), 0xb0);
    CF_EQ(cf_gpr(t, SQUIB_X86_RDI) & 0xffff, 0x3f);
}

static const uint8_t long_string_code[] = {
    0x66, 0xba, 0x40, 0x05,        /* mov dx, 0x540 */
    0xbe, 0xfe, 0x0f, 0x02, 0x00,  /* mov esi, 0x20ffe */
    0xb9, 0x2c, 0x01, 0x00, 0x00,  /* mov ecx, 300 */
    0x66, 0xf3, 0x6f,              /* rep outsw */
    0xbf, 0xf0, 0x2f, 0x02, 0x00,  /* mov edi, 0x22ff0 */
    0xb9, 0x08, 0x00, 0x00, 0x00,  /* mov ecx, 8 */
    0xf3, 0x6d,                    /* rep insd */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

/* Many elements, over a page boundary, from 64-bit mode. */
static void string_long(struct cf *t)
{
    cf_vm(t, 1, false, false);
    for (uint32_t i = 0; i < 300; i++)
        sq_st16(cf_ram(t, CF_DATA + 0xffe + i * 2), (uint16_t)(i * 7));
    CF_LONG(t, long_string_code);
    for (uint32_t i = 0; i < 300; i++)
        CF_OUT(t, 0x540, 2, (uint16_t)(i * 7));
    for (uint32_t i = 0; i < 8; i++)
        CF_IN(t, 0x540, 4, 0xa0000000u + i);
    CF_KIND(t, SQUIB_EXIT_PIO);
    for (uint32_t i = 0; i < 8; i++)
        CF_EQ(cf_ram32(t, CF_DATA + 0x2ff0 + i * 4), 0xa0000000u + i);
    CF_EQ(cf_gpr(t, SQUIB_X86_RSI), 0x20ffe + 600);
    CF_EQ(cf_gpr(t, SQUIB_X86_RDI), 0x22ff0 + 32);
}

const struct cf_test cf_tests_io[] = {
    {"pio_sizes", pio_sizes, CF_EXEC},
    {"pio_in_extends", pio_in_extends, CF_EXEC},
    {"string_out", string_out, CF_EXEC},
    {"string_in", string_in, CF_EXEC},
    {"string_long", string_long, CF_EXEC},
    {0},
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Some KVMs cannot run Linux: one that has no virtualization hardware under
 * it emulates what guests do in kernel mode, knows only a part of the
 * instruction set, and fails minutes into a boot. So this guest runs first
 * in real mode, as a second vCPU starts, then in 64-bit kernel mode with the
 * instructions that a Linux kernel executes early and that such KVMs are
 * known to lack.
 */
#include "backends/kvm/kvm.h"

#include <string.h>

#include "base/util.h"

#define PML4_GPA 0x1000u
#define PDPT_GPA 0x2000u
#define PD_GPA 0x3000u
#define IDT_GPA 0x4000u
#define GDT_GPA 0x5000u
#define REAL_GPA 0x6000u
#define LONG_GPA 0x7000u
#define XRSTOR_GPA 0x7800u
#define STACK_GPA 0x9000u
#define DATA_GPA 0xa000u /* and 0xb000 for FXSAVE, 0xc000 for XRSTOR */

#define DONE_PORT 0xf4u
#define CR4_OSXSAVE 0x40000u

static const uint8_t real_code[] = {
    0xb8, 0x00, 0x06,              /* mov ax, 0x600 */
    0x8e, 0xd8,                    /* mov ds, ax */
    0xa0, 0x20, 0x00,              /* mov al, [0x20] */
    0x04, 0x02,                    /* add al, 2 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

/* Leaves in AL: 1 (int3) + 2 (cmpxchg16b) + 4 (x87) + 8 (SSE) + 16 (rep
 * movs) + 32 (fxrstor). */
static const uint8_t long_code[] = {
    0x31, 0xc0,                    /* xor eax, eax */
    0x0f, 0xa2,                    /* cpuid */
    0x31, 0xed,                    /* xor ebp, ebp */
    0xcc,                          /* int3 */
    0xbe, 0x00, 0xa0, 0x00, 0x00,  /* mov esi, 0xa000 */
    0x31, 0xc0,                    /* xor eax, eax */
    0x31, 0xd2,                    /* xor edx, edx */
    0xbb, 0x01, 0x00, 0x00, 0x00,  /* mov ebx, 1 */
    0xb9, 0x02, 0x00, 0x00, 0x00,  /* mov ecx, 2 */
    0xf0, 0x48, 0x0f, 0xc7, 0x0e,  /* lock cmpxchg16b [rsi] */
    0x75, 0x03,                    /* jnz cx16_done */
    0x83, 0xc5, 0x02,              /* add ebp, 2 */
    /* cx16_done: */
    0xdb, 0xe3,                    /* fninit */
    0xd9, 0xe8,                    /* fld1 */
    0xd9, 0xe8,                    /* fld1 */
    0xde, 0xc1,                    /* faddp */
    0xdf, 0x5e, 0x10,              /* fistp word ptr [rsi+0x10] */
    0x80, 0x7e, 0x10, 0x02,        /* cmp byte ptr [rsi+0x10], 2 */
    0x75, 0x03,                    /* jne x87_done */
    0x83, 0xc5, 0x04,              /* add ebp, 4 */
    /* x87_done: */
    0x66, 0x0f, 0x76, 0xc0,        /* pcmpeqd xmm0, xmm0 */
    0x66, 0x0f, 0xef, 0xc9,        /* pxor xmm1, xmm1 */
    0x66, 0x0f, 0xfa, 0xc8,        /* psubd xmm1, xmm0 */
    0x66, 0x0f, 0x7e, 0xc8,        /* movd eax, xmm1 */
    0x83, 0xf8, 0x01,              /* cmp eax, 1 */
    0x75, 0x03,                    /* jne sse_done */
    0x83, 0xc5, 0x08,              /* add ebp, 8 */
    /* sse_done: */
    0xbf, 0x40, 0xa0, 0x00, 0x00,  /* mov edi, 0xa040 */
    0xb9, 0x10, 0x00, 0x00, 0x00,  /* mov ecx, 16 */
    0xf3, 0xa4,                    /* rep movsb */
    0x80, 0x7f, 0xf8, 0x02,        /* cmp byte ptr [rdi-8], 2 */
    0x75, 0x03,                    /* jne movs_done */
    0x83, 0xc5, 0x10,              /* add ebp, 16 */
    /* movs_done: */
    /* fxsave64 [0xb000] */
    0x48, 0x0f, 0xae, 0x04, 0x25, 0x00, 0xb0, 0x00, 0x00,
    /* fxrstor64 [0xb000] */
    0x48, 0x0f, 0xae, 0x0c, 0x25, 0x00, 0xb0, 0x00, 0x00,
    0x83, 0xc5, 0x20,              /* add ebp, 32 */
    0x89, 0xe8,                    /* mov eax, ebp */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};
/* The handler of int3. */
static const uint8_t int3_code[] = {
    0xff, 0xc5,                    /* inc ebp */
    0x48, 0xcf,                    /* iretq */
};

static const uint8_t xrstor_code[] = {
    0x31, 0xd2,                    /* xor edx, edx */
    0xb8, 0x01, 0x00, 0x00, 0x00,  /* mov eax, 1 */
    /* xrstor64 [0xc000] */
    0x48, 0x0f, 0xae, 0x2c, 0x25, 0x00, 0xc0, 0x00, 0x00,
    0xb0, 0x3f,                    /* mov al, 63 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

#define REAL_RESULT 0x57u /* REAL_MARK + 2 */
#define REAL_MARK 0x55u
#define LONG_RESULT 63u
#define INT3_GPA (LONG_GPA + 0x400u)

static void st64(uint8_t *ram, uint32_t gpa, uint64_t v)
{
    memcpy(ram + gpa, &v, sizeof(v));
}

void sq_kvm_probe_fill(uint8_t *ram)
{
    st64(ram, PML4_GPA, PDPT_GPA | 3);
    st64(ram, PDPT_GPA, PD_GPA | 3);
    st64(ram, PD_GPA, 0x83); /* 2 MiB, one to one */
    st64(ram, GDT_GPA + 8, 0x00af9b000000ffffull);  /* 64-bit code */
    st64(ram, GDT_GPA + 16, 0x00cf93000000ffffull); /* data */
    st64(ram, IDT_GPA + 3 * 16, INT3_GPA | 0x8e0000080000ull);
    memcpy(ram + REAL_GPA, real_code, sizeof(real_code));
    ram[REAL_GPA + 0x20] = REAL_MARK;
    memcpy(ram + LONG_GPA, long_code, sizeof(long_code));
    memcpy(ram + INT3_GPA, int3_code, sizeof(int3_code));
    memcpy(ram + XRSTOR_GPA, xrstor_code, sizeof(xrstor_code));
}

static int run_once(struct squib_vcpu *vcpu, uint32_t parts,
                    const struct squib_x86_64_state *st, uint8_t result,
                    const char *what, struct squib_error *err)
{
    int rc = squib_vcpu_set_state(vcpu, parts, st, err);
    const struct squib_exit *e;

    if (rc)
        return rc;
    e = squib_vcpu_run(vcpu);
    if (e->kind == SQUIB_EXIT_PIO && e->pio.write &&
        e->pio.port == DONE_PORT && e->pio.data[0] == result)
        return 0;
    return sq_kvm_probe_explain(e, what, err);
}

/* Whether the vCPU's default CPUID has XSAVE. */
static bool has_xsave(void)
{
    struct squib_x86_cpuid leaf[SQUIB_X86_CPUID_MAX];
    size_t n = SQ_ARRAY_LEN(leaf);

    if (squib_backend_cpuid(&sq_backend_kvm, leaf, &n, NULL) != 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (leaf[i].leaf == 1)
            return leaf[i].ecx >> 26 & 1;
    return false;
}

int sq_kvm_probe_run(struct squib_vcpu *vcpu, struct squib_error *err)
{
    const uint32_t parts = SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM;
    struct squib_x86_64_state st = {0};
    int rc;

    squib_x86_real_mode(&st, REAL_GPA, 0);
    rc = run_once(vcpu, parts, &st, REAL_RESULT, "real mode", err);
    if (rc)
        return rc;
    squib_x86_long_mode(&st, LONG_GPA, PML4_GPA);
    st.gpr[SQUIB_X86_RSP] = STACK_GPA;
    st.gdt = (struct squib_x86_table){.base = GDT_GPA, .limit = 23};
    st.idt = (struct squib_x86_table){.base = IDT_GPA, .limit = 0xfff};
    rc = run_once(vcpu, parts, &st, LONG_RESULT, "64-bit kernel mode", err);
    if (rc || !has_xsave())
        return rc;
    st.rip = XRSTOR_GPA;
    st.cr4 |= CR4_OSXSAVE;
    return run_once(vcpu, parts, &st, LONG_RESULT, "64-bit kernel mode", err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the software CPU says of itself: v2, the x86-64-v2 level with AES,
 * PCLMULQDQ, MOVBE, RDRAND, FSGSBASE and XSAVE for x87 and SSE; and v3, the
 * x86-64-v3 level (AVX2, FMA, BMI, F16C, LZCNT) with SHA and ADX. v3 is v2
 * with more bits, so that the two cannot drift apart.
 *
 * The family and model (Intel 6/28, an in-order Atom) are on Linux's list
 * of processors without speculation, so guests build no mitigations for
 * flaws that an interpreter cannot have.
 */
#include "backends/soft/x86_64/cpuid.h"

#include <string.h>

#include "backends/soft/x86_64/x87.h"
#include "base/err.h"
#include "base/util.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

#define SIGNATURE 0x000106cau

/* Leaf 1 */
#define C1_SSE3 (1u << 0)
#define C1_PCLMUL (1u << 1)
#define C1_SSSE3 (1u << 9)
#define C1_FMA (1u << 12)
#define C1_CX16 (1u << 13)
#define C1_PCID (1u << 17)
#define C1_SSE41 (1u << 19)
#define C1_SSE42 (1u << 20)
#define C1_X2APIC (1u << 21)
#define C1_MOVBE (1u << 22)
#define C1_POPCNT (1u << 23)
#define C1_TSC_DEADLINE (1u << 24)
#define C1_AES (1u << 25)
#define C1_XSAVE (1u << 26)
#define C1_OSXSAVE (1u << 27)
#define C1_AVX (1u << 28)
#define C1_F16C (1u << 29)
#define C1_RDRAND (1u << 30)
#define C1_HYPERVISOR (1u << 31)
#define C1D_APIC (1u << 9)
#define APIC_BASE_ENABLE (1u << 11)
/* FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH
 * MMX FXSR SSE SSE2 */
#define D1 0x078bfbfdu

#define KVM_CLOCK2 (1u << 3)
#define KVM_NOP_IO_DELAY (1u << 1)
#define KVM_SEND_IPI (1u << SQ_KVM_SEND_IPI_BIT)
#define KVM_CLOCK_STABLE (1u << 24)

#define LEAF(l, a, b, c, d)                                                \
    {.leaf = l, .eax = a, .ebx = b, .ecx = c, .edx = d}
#define SUBLEAF(l, s, a, b, c, d)                                          \
    {.leaf = l, .subleaf = s, .has_subleaf = true,                         \
     .eax = a, .ebx = b, .ecx = c, .edx = d}

static const struct squib_x86_cpuid leaves_v2[] = {
    LEAF(0x0, 0x16, 0x756e6547, 0x6c65746e, 0x49656e69), /* GenuineIntel */
    LEAF(0x1, SIGNATURE, 0x00010800,
         C1_SSE3 | C1_PCLMUL | C1_SSSE3 | C1_CX16 | C1_SSE41 | C1_SSE42 |
             C1_X2APIC | C1_MOVBE | C1_POPCNT | C1_TSC_DEADLINE | C1_AES |
             C1_XSAVE | C1_RDRAND | C1_HYPERVISOR,
         D1),
    LEAF(0x2, 0x00000001, 0, 0, 0x002c307d),
    /* 32 KiB L1D and L1I, 1 MiB L2, 64-byte lines */
    SUBLEAF(0x4, 0, 0x00000121, 0x01c0003f, 0x3f, 1),
    SUBLEAF(0x4, 1, 0x00000122, 0x01c0003f, 0x3f, 1),
    SUBLEAF(0x4, 2, 0x00000143, 0x03c0003f, 0x3ff, 1),
    SUBLEAF(0x4, 3, 0, 0, 0, 0),
    LEAF(0x6, 0x4, 0, 0, 0), /* ARAT */
    /* FSGSBASE ERMS RDSEED */
    SUBLEAF(0x7, 0, 0, 0x00040201, 0, 0),
    SUBLEAF(0xb, 0, 0, 1, 0x100, 0),
    SUBLEAF(0xb, 1, 0, 1, 0x201, 0),
    SUBLEAF(0xd, 0, 0x3, 576, 576, 0),
    SUBLEAF(0xd, 1, 0x1, 0, 0, 0), /* XSAVEOPT */
    LEAF(0x15, 1, 1, 1000000000, 0), /* TSC = 1 GHz crystal */
    LEAF(0x16, 1000, 1000, 100, 0),
    LEAF(0x40000000, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d), /* KVM */
    LEAF(0x40000001,
         KVM_CLOCK2 | KVM_NOP_IO_DELAY | KVM_SEND_IPI | KVM_CLOCK_STABLE, 0,
         0, 0),
    LEAF(0x80000000, 0x80000008, 0, 0, 0),
    /* LAHF PREFETCHW; SYSCALL NX 1GB-pages RDTSCP LM */
    LEAF(0x80000001, 0, 0, 0x00000101, 0x2c100800),
    LEAF(0x80000002, 0x69757173, 0x6f732062, 0x61777466, 0x43206572),
    LEAF(0x80000003, 0x00005550, 0, 0, 0), /* "squib software CPU" */
    LEAF(0x80000004, 0, 0, 0, 0),
    LEAF(0x80000006, 0, 0, 0x04008040, 0),
    LEAF(0x80000007, 0, 0, 0, 0x100), /* invariant TSC */
    LEAF(0x80000008, 0x3000 | SQ_SOFT_PHYS_BITS, 0, 0, 0),
};

/* Of leaf 1's ECX. */
#define C1_AVX_KIN (C1_FMA | C1_AVX | C1_F16C)
/* Leaf 7: EBX and EDX. */
#define B7_BMI (1u << 3 | 1u << 8)
#define B7_AVX2 (1u << 5)
#define B7_INVPCID (1u << 10)
#define B7_ADX (1u << 19)
#define B7_SHA (1u << 29)
#define C7_RDPID (1u << 22)
#define D7_FSRM (1u << 4)
#define CX1_LZCNT (1u << 5)

/* What v3 adds. `native`: bits that the translator wants of the host, or it
 * would have to leave those instructions to the interpreter. */
static const struct more {
    uint32_t leaf, subleaf, eax, ebx, ecx, edx;
    bool native;
} more_v3[] = {
    {0x1, 0, 0, 0, C1_AVX_KIN, 0, true},
    {0x7, 0, 0, B7_BMI | B7_AVX2 | B7_ADX | B7_SHA, 0, 0, true},
    {0x1, 0, 0, 0, C1_PCID, 0, false},
    {0x7, 0, 0, B7_INVPCID, C7_RDPID, D7_FSRM, false},
    {0xd, 0, XSTATE_AVX, 0, 0, 0, false},
    {0xd, 1, 0x6, 0, 0, 0, false}, /* XSAVEC XGETBV(1) */
    {0x80000001, 0, 0, 0, CX1_LZCNT, 0, true},
};
/* The upper halves of the YMM registers: length and place in the image. */
static const struct squib_x86_cpuid leaf_ymm =
    SUBLEAF(0xd, 2, 256, 576, 0, 0);

/* The bits of `m` that the host has. Without AVX2 none of AVX counts. */
static void mask_by_host(struct more *m)
{
#ifdef __x86_64__
    uint32_t a, b, c, d;
    bool avx2 = __builtin_cpu_supports("avx2");

    if (!__get_cpuid_count(m->leaf, m->subleaf, &a, &b, &c, &d))
        b = c = d = 0;
    m->ebx &= avx2 ? b : b & ~B7_AVX2;
    m->ecx &= m->leaf == 1 && !avx2 ? 0 : c;
    m->edx &= d;
#else
    (void)m;
#endif
}

static struct squib_x86_cpuid *leaf_of(struct squib_x86_cpuid *leaves,
                                       size_t n, uint32_t leaf,
                                       uint32_t subleaf)
{
    for (size_t k = 0; k < n; k++)
        if (leaves[k].leaf == leaf && leaves[k].subleaf == subleaf)
            return &leaves[k];
    return NULL;
}

int sq_soft_cpuid(enum sq_soft_level level, bool native,
                  struct squib_x86_cpuid *leaves, size_t *n,
                  struct squib_error *err)
{
    size_t have = SQ_ARRAY_LEN(leaves_v2), need = have;

    if (level == SQ_SOFT_V3)
        need++;
    if (*n < need)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "room for %zu CPUID leaves; %zu are needed", *n,
                          need);
    memcpy(leaves, leaves_v2, sizeof(leaves_v2));
    *n = have;
    if (level != SQ_SOFT_V3)
        return 0;
    for (size_t k = 0; k < SQ_ARRAY_LEN(more_v3); k++) {
        struct more m = more_v3[k];
        struct squib_x86_cpuid *e = leaf_of(leaves, have, m.leaf, m.subleaf);

        if (native && m.native)
            mask_by_host(&m);
        e->eax |= m.eax;
        e->ebx |= m.ebx;
        e->ecx |= m.ecx;
        e->edx |= m.edx;
    }
    if (leaf_of(leaves, have, 1, 0)->ecx & C1_AVX) {
        leaf_of(leaves, have, 0xd, 0)->ecx = 832;
        leaves[(*n)++] = leaf_ymm;
    } else {
        leaf_of(leaves, have, 0xd, 0)->eax &= ~(uint32_t)XSTATE_AVX;
    }
    return 0;
}

/* Bytes of an XSAVE image with these components. */
static uint32_t image_len(uint64_t components)
{
    return components & XSTATE_AVX ? 832 : 576;
}

void sq_x86_cpuid(const struct sq_x86_cpu *c, uint32_t leaf,
                  uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 4 * sizeof(out[0]));
    for (uint32_t k = 0; k < c->cpuid_count; k++) {
        const struct squib_x86_cpuid *e = &c->cpuid[k];

        if (e->leaf != leaf || (e->has_subleaf && e->subleaf != subleaf))
            continue;
        out[0] = e->eax;
        out[1] = e->ebx;
        out[2] = e->ecx;
        out[3] = e->edx;
        break;
    }
    if (leaf == 1) {
        out[2] &= ~C1_OSXSAVE;
        if (c->cr4 & CR4_OSXSAVE)
            out[2] |= C1_OSXSAVE;
        if (c->lapic && !(sq_lapic_base(c->lapic) & APIC_BASE_ENABLE))
            out[3] &= ~C1D_APIC;
    } else if (leaf == 0x40000001 && !c->lapic) {
        out[0] &= ~KVM_SEND_IPI;
    } else if (leaf == 0xd && subleaf < 2 && out[0]) {
        /* with what XCR0 enables: the standard image, the compact one */
        out[1] = subleaf == 0 || out[0] & 2 ? image_len(c->xcr0) : 0;
    }
}

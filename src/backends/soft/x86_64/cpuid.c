/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the software CPU says of itself: the x86-64-v2 level with AES,
 * PCLMULQDQ, MOVBE, RDRAND, FSGSBASE and XSAVE for x87 and SSE.
 *
 * The family and model (Intel 6/28, an in-order Atom) are on Linux's list
 * of processors without speculation, so guests build no mitigations for
 * flaws that an interpreter cannot have.
 */
#include "backends/soft/x86_64/cpuid.h"

#include <string.h>

#include "base/err.h"

#define SIGNATURE 0x000106cau

/* Leaf 1 */
#define C1_SSE3 (1u << 0)
#define C1_PCLMUL (1u << 1)
#define C1_SSSE3 (1u << 9)
#define C1_CX16 (1u << 13)
#define C1_SSE41 (1u << 19)
#define C1_SSE42 (1u << 20)
#define C1_X2APIC (1u << 21)
#define C1_MOVBE (1u << 22)
#define C1_POPCNT (1u << 23)
#define C1_TSC_DEADLINE (1u << 24)
#define C1_AES (1u << 25)
#define C1_XSAVE (1u << 26)
#define C1_OSXSAVE (1u << 27)
#define C1_RDRAND (1u << 30)
#define C1_HYPERVISOR (1u << 31)
/* FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH
 * MMX FXSR SSE SSE2 */
#define D1 0x078bfbfdu

#define KVM_CLOCK2 (1u << 3)
#define KVM_NOP_IO_DELAY (1u << 1)
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
    LEAF(0x40000001, KVM_CLOCK2 | KVM_NOP_IO_DELAY | KVM_CLOCK_STABLE, 0, 0,
         0),
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

int sq_soft_cpuid(struct squib_x86_cpuid *leaves, size_t *n,
                  struct squib_error *err)
{
    size_t have = sizeof(leaves_v2) / sizeof(leaves_v2[0]);

    if (*n < have)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "room for %zu CPUID leaves; %zu are needed", *n,
                          have);
    memcpy(leaves, leaves_v2, sizeof(leaves_v2));
    *n = have;
    return 0;
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
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID policy: from what a backend can offer to what one vCPU sees.
 *
 * The guest sees one package with one core a vCPU and no threads; local
 * APIC ids are the vCPU indices. Features are the backend's, less a mask.
 * (Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst for 0x4000_00xx.)
 */
#ifndef SQ_ARCH_X86_64_CPUID_H
#define SQ_ARCH_X86_64_CPUID_H

#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>
#include <squib/vcpu.h>

/* Bits to take away from one leaf. */
struct sq_x86_cpuid_mask {
    uint32_t leaf, subleaf;
    uint32_t eax, ebx, ecx, edx;
};

struct sq_x86_cpuid_template {
    const char *name;
    const struct sq_x86_cpuid_mask *mask;
    size_t count;
};

/* A named template or NULL: "none" takes nothing away, "no-xsave" hides
 * XSAVE and all that needs it (AVX, FMA, F16C, AVX-512, PKU, AMX). */
const struct sq_x86_cpuid_template *
sq_x86_cpuid_template(const char *name);

struct sq_x86_cpuid_config {
    uint32_t index; /* of this vCPU */
    uint32_t vcpus; /* 1 .. SQUIB_VCPUS_MAX */
    const struct sq_x86_cpuid_template *hide; /* NULL: nothing */
    const char *brand; /* up to 47 characters; NULL keeps the backend's */
};

/* Rewrites leaves[0..*n) in place; up to `cap` may be used, since missing
 * leaves are added. Leaves that the policy does not know stay as they are.
 * Errors: SQUIB_E_RANGE if cap is too small, SQUIB_E_INVAL. */
int sq_x86_cpuid_apply(const struct sq_x86_cpuid_config *config,
                       struct squib_x86_cpuid *leaves, size_t *n, size_t cap,
                       struct squib_error *err);

#endif

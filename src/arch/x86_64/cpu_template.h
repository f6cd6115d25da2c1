/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client wants changed about the guest's CPU: Firecracker's CPU
 * templates (PUT /cpu-config, and the names of machine-config).
 *
 * A template is a value. It is applied to what the backend offers, before
 * the policy of cpuid.h; what does not apply fails the start, so that no
 * guest runs on another CPU than the one that was asked for.
 */
#ifndef SQ_ARCH_X86_64_CPU_TEMPLATE_H
#define SQ_ARCH_X86_64_CPU_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/backend.h>
#include <squib/error.h>
#include <squib/vcpu.h>

#define SQ_CPU_CAPS_MAX 32
#define SQ_CPU_CPUID_MAX 512
#define SQ_CPU_MSRS_MAX 64

/* In the order of sq_template_words. */
enum sq_cpu_name {
    SQ_CPU_C3,
    SQ_CPU_T2,
    SQ_CPU_T2S,
    SQ_CPU_NO_NAME,
    SQ_CPU_T2CL,
    SQ_CPU_T2A,
};

/* Bits of `mask` become those of `value`. */
struct sq_cpuid_change {
    uint32_t leaf, subleaf;
    uint32_t reg; /* 0: EAX, 1: EBX, 2: ECX, 3: EDX */
    uint32_t mask, value;
};

struct sq_msr_change {
    uint32_t index;
    uint64_t mask, value;
};

struct sq_cpu_template {
    enum sq_cpu_name name;
    uint32_t cap_count, cpuid_count, msr_count;
    uint32_t cap[SQ_CPU_CAPS_MAX]; /* KVM's numbers that must be there */
    struct sq_cpuid_change cpuid[SQ_CPU_CPUID_MAX];
    struct sq_msr_change msr[SQ_CPU_MSRS_MAX];
};

/* Whether the backend can have such a CPU: name, capabilities and CPUID.
 * What a name stands for is filled in. Errors: SQUIB_E_NOSUPPORT with
 * upstream's words where it has any. */
int sq_cpu_template_resolve(struct sq_cpu_template *t,
                            const struct squib_backend *backend,
                            struct squib_error *err);

/* Changes the backend's leaves[n]. Errors: SQUIB_E_NOSUPPORT (there is no
 * such leaf). */
int sq_cpu_template_cpuid(const struct sq_cpu_template *t,
                          struct squib_x86_cpuid *leaves, size_t n,
                          struct squib_error *err);

/* Changes the MSRs of a state. Errors: SQUIB_E_NOSUPPORT (not among them).
 */
int sq_cpu_template_msrs(const struct sq_cpu_template *t,
                         struct squib_x86_64_state *st,
                         struct squib_error *err);

#endif

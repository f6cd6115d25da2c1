/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86_64/cpu_template.h"

#include "base/err.h"
#include "base/util.h"

static struct squib_x86_cpuid *find(struct squib_x86_cpuid *leaves, size_t n,
                                    uint32_t leaf, uint32_t subleaf)
{
    for (size_t i = 0; i < n; i++) {
        struct squib_x86_cpuid *c = &leaves[i];

        if (c->leaf == leaf &&
            (c->has_subleaf ? c->subleaf == subleaf : subleaf == 0))
            return c;
    }
    return NULL;
}

static uint32_t *reg_of(struct squib_x86_cpuid *c, uint32_t reg)
{
    return reg == 0 ? &c->eax : reg == 1 ? &c->ebx : reg == 2 ? &c->ecx
                                                              : &c->edx;
}

int sq_cpu_template_cpuid(const struct sq_cpu_template *t,
                          struct squib_x86_cpuid *leaves, size_t n,
                          struct squib_error *err)
{
    for (uint32_t i = 0; i < t->cpuid_count; i++) {
        const struct sq_cpuid_change *m = &t->cpuid[i];
        struct squib_x86_cpuid *c = find(leaves, n, m->leaf, m->subleaf);
        uint32_t *reg = c ? reg_of(c, m->reg) : NULL;

        if (!reg)
            return sq_err_set(err, SQUIB_E_NOSUPPORT, "Failed to create "
                              "guest config: Template changes a CPUID entry "
                              "not supported by KVM: Leaf: %x, Subleaf: %x",
                              m->leaf, m->subleaf);
        *reg = (*reg & ~m->mask) | (m->value & m->mask);
    }
    return 0;
}

int sq_cpu_template_msrs(const struct sq_cpu_template *t,
                         struct squib_x86_64_state *st,
                         struct squib_error *err)
{
    for (uint32_t i = 0; i < t->msr_count; i++) {
        const struct sq_msr_change *m = &t->msr[i];
        uint32_t k = 0;

        while (k < st->msr_count && st->msr[k].index != m->index)
            k++;
        if (k == st->msr_count)
            return sq_err_set(err, SQUIB_E_NOSUPPORT, "Failed to create "
                              "guest config: Template changes an MSR entry "
                              "not supported by KVM: Register Address: %x",
                              m->index);
        st->msr[k].value = (st->msr[k].value & ~m->mask) |
                           (m->value & m->mask);
    }
    return 0;
}

/* --- whether it can be ------------------------------------------------- */

/* Registers whose bits are features: a bit that is set for a software CPU
 * without the feature would be a promise that the guest's first use of it
 * breaks. (Hardware is another matter: there KVM may know better.) */
static const struct {
    uint32_t leaf, subleaf, reg;
} features[] = {
    {1, 0, 2}, {1, 0, 3}, {7, 0, 1}, {7, 0, 2}, {7, 0, 3}, {7, 1, 0},
    {0xd, 0, 0}, {0xd, 1, 0}, {0x80000001, 0, 2}, {0x80000001, 0, 3},
};

static int check_features(struct squib_x86_cpuid *offered,
                          struct squib_x86_cpuid *wanted, size_t n,
                          struct squib_error *err)
{
    for (size_t i = 0; i < SQ_ARRAY_LEN(features); i++) {
        uint32_t leaf = features[i].leaf, sub = features[i].subleaf;
        struct squib_x86_cpuid *a = find(offered, n, leaf, sub);
        struct squib_x86_cpuid *b = find(wanted, n, leaf, sub);
        uint32_t more = a && b ? *reg_of(b, features[i].reg) &
                                     ~*reg_of(a, features[i].reg)
                               : 0;

        if (more)
            return sq_err_set(err, SQUIB_E_NOSUPPORT, "Failed to create "
                              "guest config: the software CPU does not have "
                              "bits %#x of register e%cx of CPUID leaf %#x, "
                              "subleaf %#x\n  do: leave them as they are",
                              more, "abcd"[features[i].reg], leaf, sub);
    }
    return 0;
}

/* --- templates by name ------------------------------------------------- */

/* Facts of Firecracker 1.17 (src/vmm/src/cpu_config/x86_64/
 * static_cpu_templates): for which vendor's models a name is, as leaf 1
 * shows them in EAX, and which bits it changes. */
#define SKYLAKE 0x00050654u
#define CASCADE_LAKE 0x00050657u
#define ICE_LAKE 0x000606a6u
#define MILAN 0x00a00f11u
#define EBX_INTEL 0x756e6547u /* "Genu" */
#define EBX_AMD 0x68747541u   /* "Auth" */
/* Without the reserved bits and the type. */
#define SIGNATURE_MASK 0x0fff0fffu

static const struct {
    uint32_t vendor, model[3];
} named[] = {
    [SQ_CPU_C3] = {EBX_INTEL, {SKYLAKE, CASCADE_LAKE, ICE_LAKE}},
    [SQ_CPU_T2] = {EBX_INTEL, {SKYLAKE, CASCADE_LAKE, ICE_LAKE}},
    [SQ_CPU_T2S] = {EBX_INTEL, {SKYLAKE, CASCADE_LAKE, 0}},
    [SQ_CPU_T2CL] = {EBX_INTEL, {CASCADE_LAKE, ICE_LAKE, 0}},
    [SQ_CPU_T2A] = {EBX_AMD, {MILAN, 0, 0}},
};

#define C3 (1u << SQ_CPU_C3)
#define T2 (1u << SQ_CPU_T2)
#define T2S (1u << SQ_CPU_T2S)
#define T2CL (1u << SQ_CPU_T2CL)
#define T2A (1u << SQ_CPU_T2A)
#define T2_ALL (T2 | T2S | T2CL | T2A)

enum { EAX, EBX, ECX, EDX };

static const struct {
    uint32_t who; /* has this change */
    struct sq_cpuid_change change;
} named_cpuid[] = {
    /* The model: an Ivy Bridge, or a Haswell, of servers. */
    {C3, {0x1, 0, EAX, 0x0fff3fff, 0x000306e4}},
    {T2_ALL, {0x1, 0, EAX, 0x0fff3fff, 0x000306f2}},
    /* DTES64 MONITOR DS-CPL VMX TM2 CNXT-ID SDBG xTPR PDCM; then FMA MOVBE,
     * or SMX EIST DCA */
    {C3, {0x1, 0, ECX, 0x0040dd3c, 0}},
    {T2_ALL, {0x1, 0, ECX, 0x0004cdfc, 0}},
    /* MCE and MTRR are there; PSN DS ACPI SS TM PBE (and IA64) are not. */
    {C3, {0x1, 0, EDX, 0xa8641080, 0x00001080}},
    {T2_ALL, {0x1, 0, EDX, 0xe8641080, 0x00001080}},
    /* No AVX-512 and MPX, SGX, TSX, RDT, PT, ADX, RDSEED, SHA, CLWB; in C3
     * no AVX2, BMI, INVPCID either, in the others ERMS for certain. */
    {C3, {0x7, 0, EBX, 0xffafdd3c, 0}},
    {T2_ALL, {0x7, 0, EBX, 0xffefda14, 0x00000200}},
    /* AVX-512, UMIP, PKU, LA57, RDPID, SGX_LC; GFNI VAES VPCLMULQDQ */
    {C3, {0x7, 0, ECX, 0x4041481e, 0}},
    {T2_ALL, {0x7, 0, ECX, 0x40415f5e, 0}},
    {C3, {0x7, 0, EDX, 0x0000000c, 0}},
    {T2_ALL, {0x7, 0, EDX, 0x0000011c, 0}},
    /* XSAVE: no state of MPX, AVX-512, PKRU; no XSAVEC, XGETBV(1), XSAVES */
    {C3 | T2_ALL, {0xd, 0, EAX, 0x000002f8, 0}},
    {C3 | T2_ALL, {0xd, 1, EAX, 0x0000000e, 0}},
    /* PREFETCHW, then LZCNT, MONITORX, what only AMD has */
    {C3, {0x80000001, 0, ECX, 0x00000120, 0}},
    {T2 | T2S, {0x80000001, 0, ECX, 0x20000100, 0}},
    {T2CL, {0x80000001, 0, ECX, 0x200001c0, 0}},
    {T2A, {0x80000001, 0, ECX, 0x200001c4, 0}},
    /* 1 GiB pages, and again what only AMD has */
    {C3 | T2 | T2S, {0x80000001, 0, EDX, 0x04000000, 0}},
    {T2CL, {0x80000001, 0, EDX, 0x07c00000, 0}},
    {T2A, {0x80000001, 0, EDX, 0x06400000, 0}},
    /* WBNOINVD; and for T2A how AMD restricts speculation */
    {T2 | T2S | T2CL, {0x80000008, 0, EBX, 0x00000200, 0}},
    {T2A, {0x80000008, 0, EBX, 0x001c0205, 0x001c0004}},
};

static const struct {
    uint32_t who;
    struct sq_msr_change change;
} named_msr[] = {
    /* IA32_ARCH_CAPABILITIES: the same on both models; what KVM passes on */
    {T2S, {0x10a, ~0ull, 0x0c0a0c4c}},
    {T2CL, {0x10a, 0xffffffffe2f51e00, 0}},
};

static int check_name(enum sq_cpu_name name, bool hardware,
                      struct squib_x86_cpuid *leaves, size_t n,
                      struct squib_error *err)
{
    static const char before[] = "Failed to get CPU template: ";
    const struct squib_x86_cpuid *vendor = find(leaves, n, 0, 0);
    const struct squib_x86_cpuid *model = find(leaves, n, 1, 0);
    uint32_t eax = model ? model->eax & SIGNATURE_MASK : 0;
    bool fits = !hardware; /* of a software CPU there is but one model */

    if (!vendor || vendor->ebx != named[name].vendor)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "%sCPU vendor mismatched "
                          "between actual CPU and CPU template.", before);
    for (size_t i = 0; i < SQ_ARRAY_LEN(named[name].model); i++)
        fits |= named[name].model[i] && named[name].model[i] == eax;
    if (!fits)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "%sThe current CPU model "
                          "is not permitted to apply the CPU template.",
                          before);
    return 0;
}

_Static_assert(SQ_ARRAY_LEN(named_cpuid) <= SQ_CPU_CPUID_MAX &&
                   SQ_ARRAY_LEN(named_msr) <= SQ_CPU_MSRS_MAX,
               "a template has room for what a name stands for");

static void expand(struct sq_cpu_template *t)
{
    t->cpuid_count = t->msr_count = 0;
    for (size_t i = 0; i < SQ_ARRAY_LEN(named_cpuid); i++)
        if (named_cpuid[i].who & 1u << t->name)
            t->cpuid[t->cpuid_count++] = named_cpuid[i].change;
    for (size_t i = 0; i < SQ_ARRAY_LEN(named_msr); i++)
        if (named_msr[i].who & 1u << t->name)
            t->msr[t->msr_count++] = named_msr[i].change;
}

int sq_cpu_template_resolve(struct sq_cpu_template *t,
                            const struct squib_backend *backend,
                            struct squib_error *err)
{
    bool hardware = squib_backend_caps(backend) & SQUIB_CAP_HARDWARE;
    struct squib_x86_cpuid offered[SQUIB_X86_CPUID_MAX],
        wanted[SQUIB_X86_CPUID_MAX];
    size_t n = SQUIB_X86_CPUID_MAX;
    int rc;

    if (t->name == SQ_CPU_NO_NAME && !t->cap_count && !t->cpuid_count &&
        !t->msr_count)
        return 0;
    if (squib_backend_arch(backend) != SQUIB_ARCH_X86_64)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "CPU templates are for "
                          "x86-64 guests; the backend's are %s",
                          squib_arch_name(squib_backend_arch(backend)));
    for (uint32_t i = 0; i < t->cap_count; i++)
        if (!squib_backend_extension(backend, t->cap[i]))
            return sq_err_set(err, SQUIB_E_NOSUPPORT, "Kvm error: Missing "
                              "KVM capabilities: %#x", t->cap[i]);
    rc = squib_backend_cpuid(backend, offered, &n, err);
    if (!rc && t->name != SQ_CPU_NO_NAME) {
        rc = check_name(t->name, hardware, offered, n, err);
        expand(t);
    }
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        wanted[i] = offered[i];
    rc = sq_cpu_template_cpuid(t, wanted, n, err);
    if (!rc && !hardware)
        rc = check_features(offered, wanted, n, err);
    return rc;
}

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

/* Firecracker's list of who may have which named template, as leaf 1 shows
 * them in EAX. */
#define SKYLAKE 0x00050654u
#define CASCADE_LAKE 0x00050657u
#define ICE_LAKE 0x000606a6u
#define MILAN 0x00a00f11u
#define EBX_INTEL 0x756e6547u /* "Genu" */
#define EBX_AMD 0x68747541u   /* "Auth" */
/* Without the reserved bits and the type. */
#define SIGNATURE_MASK 0x0fff0fffu

static const struct {
    const char *name;
    uint32_t vendor, model[3];
} named[] = {
    [SQ_CPU_C3] = {"C3", EBX_INTEL, {SKYLAKE, CASCADE_LAKE, ICE_LAKE}},
    [SQ_CPU_T2] = {"T2", EBX_INTEL, {SKYLAKE, CASCADE_LAKE, ICE_LAKE}},
    [SQ_CPU_T2S] = {"T2S", EBX_INTEL, {SKYLAKE, CASCADE_LAKE, 0}},
    [SQ_CPU_T2CL] = {"T2CL", EBX_INTEL, {CASCADE_LAKE, ICE_LAKE, 0}},
    [SQ_CPU_T2A] = {"T2A", EBX_AMD, {MILAN, 0, 0}},
};

static int check_name(enum sq_cpu_name name, struct squib_x86_cpuid *leaves,
                      size_t n, struct squib_error *err)
{
    static const char before[] = "Failed to get CPU template: ";
    const struct squib_x86_cpuid *vendor = find(leaves, n, 0, 0);
    const struct squib_x86_cpuid *model = find(leaves, n, 1, 0);
    uint32_t eax = model ? model->eax & SIGNATURE_MASK : 0;
    bool fits = false;

    if (name == SQ_CPU_NO_NAME)
        return 0;
    if (!vendor || vendor->ebx != named[name].vendor)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "%sCPU vendor mismatched "
                          "between actual CPU and CPU template.", before);
    for (size_t i = 0; i < SQ_ARRAY_LEN(named[name].model); i++)
        fits |= named[name].model[i] && named[name].model[i] == eax;
    if (!fits)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "%sThe current CPU model "
                          "is not permitted to apply the CPU template.",
                          before);
    return sq_err_set(err, SQUIB_E_NOSUPPORT, "%ssquib has no template %s"
                      "\n  do: give its contents with PUT /cpu-config",
                      before, named[name].name);
}

int sq_cpu_template_check(const struct sq_cpu_template *t,
                          const struct squib_backend *backend,
                          struct squib_error *err)
{
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
    if (!rc)
        rc = check_name(t->name, offered, n, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        wanted[i] = offered[i];
    rc = sq_cpu_template_cpuid(t, wanted, n, err);
    if (!rc && !(squib_backend_caps(backend) & SQUIB_CAP_HARDWARE))
        rc = check_features(offered, wanted, n, err);
    return rc;
}

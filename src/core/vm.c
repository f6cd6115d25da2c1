/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public face of VMs, vCPUs and backends: checks what can be checked
 * without knowing the backend, then calls its table.
 */
#include <squib/squib.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "core/backend.h"

const char *squib_version(void)
{
    return SQUIB_VERSION;
}

/* --- backends ---------------------------------------------------------- */

const struct squib_backend *squib_backend_at(size_t i)
{
    for (size_t k = 0; sq_backends[k]; k++)
        if (k == i)
            return sq_backends[k];
    return NULL;
}

const char *squib_arch_name(enum squib_arch arch)
{
    static const char *const names[SQUIB_ARCH_COUNT] = {
        [SQUIB_ARCH_X86_64] = "x86_64",
        [SQUIB_ARCH_AARCH64] = "aarch64",
    };

    return (unsigned)arch < SQUIB_ARCH_COUNT ? names[arch] : "?";
}

enum squib_arch squib_backend_arch(const struct squib_backend *be)
{
    return be->arch;
}

const char *squib_backend_name(const struct squib_backend *be)
{
    return be->name;
}

const char *squib_backend_summary(const struct squib_backend *be)
{
    return be->summary;
}

uint64_t squib_backend_caps(const struct squib_backend *be)
{
    return be->caps();
}

int squib_backend_probe(const struct squib_backend *be,
                        struct squib_error *err)
{
    return be->probe(err);
}

int squib_backend_cpuid(const struct squib_backend *be,
                        struct squib_x86_cpuid *leaves, size_t *n,
                        struct squib_error *err)
{
    if (!be->cpuid)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "backend %s has no CPUID: "
                          "it runs %s guests", be->name,
                          squib_arch_name(be->arch));
    return be->cpuid(leaves, n, err);
}

bool squib_backend_extension(const struct squib_backend *be, uint32_t number)
{
    return be->extension && be->extension(number);
}

/* Whether each part of `a` between commas is one of b's. */
static bool has_all(const char *a, const char *b)
{
    for (;; a++) {
        size_t n = strcspn(a, ","), m;
        const char *p = b;

        for (;; p += m + 1) {
            m = strcspn(p, ",");
            if (m == n && memcmp(p, a, n) == 0)
                break;
            if (!p[m])
                return false;
        }
        a += n;
        if (!*a)
            return true;
    }
}

/* Whether two names are the same but for the order of settings. */
static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, ",");

    return n == strcspn(b, ",") && memcmp(a, b, n) == 0 &&
           strlen(a) == strlen(b) && has_all(a, b) && has_all(b, a);
}

/* The backend or the variant of that name, or NULL. */
static const struct squib_backend *named(const struct squib_backend *be,
                                         const char *name)
{
    if (strcmp(be->name, name) == 0)
        return be;
    for (size_t k = 0; be->variants && be->variants[k]; k++)
        if (same_name(be->variants[k]->name, name))
            return be->variants[k];
    return NULL;
}

const struct squib_backend *squib_backend_find(const char *name)
{
    const struct squib_backend *be = NULL;

    for (size_t i = 0; sq_backends[i] && !be; i++)
        be = named(sq_backends[i], name);
    return be;
}

/* Whether the name is be's with something behind a comma. */
static bool has_settings(const char *name, const struct squib_backend *be)
{
    size_t len = strlen(be->name);

    return be->variants && strncmp(name, be->name, len) == 0 &&
           name[len] == ',';
}

static size_t list_name(char *list, size_t cap, size_t used, const char *name)
{
    if (used < cap)
        used += (size_t)snprintf(list + used, cap - used, " %s", name);
    return used;
}

static int choose_named(const char *name, const struct squib_backend **out,
                        struct squib_error *err)
{
    const struct squib_backend *be = squib_backend_find(name);
    char known[160] = "";
    size_t used = 0;

    if (be) {
        int rc = be->probe(err);

        if (!rc)
            *out = be;
        return rc;
    }
    for (size_t i = 0; sq_backends[i]; i++) {
        be = sq_backends[i];
        used = list_name(known, sizeof(known), used, be->name);
        /* A setting that is not there: one of each that are. */
        for (size_t k = 0; has_settings(name, be) && be->variants[k]; k++)
            if (!strchr(strchr(be->variants[k]->name, ',') + 1, ','))
                used = list_name(known, sizeof(known), used,
                                 be->variants[k]->name);
    }
    return sq_err_set(err, SQUIB_E_NOTFOUND,
                      "there is no backend '%.40s'\n  do: choose one of: "
                      "auto%s", name, known);
}

/* Appends to `why` what the host keeps from a backend that was chosen. */
static void note_lack(const struct squib_backend *be, char *why,
                      size_t why_len)
{
    struct squib_error lack = {0};
    size_t used;

    if (!why_len)
        return; /* nobody asks: there may be no `why` either */
    used = strnlen(why, why_len);
    if (used < why_len && be->at_best && be->at_best(&lack))
        snprintf(why + used, why_len - used, "; %s", lack.text);
}

int squib_backend_choose(const char *name, const struct squib_backend **out,
                         char *why, size_t why_len, struct squib_error *err)
{
    struct squib_error last = {0};
    size_t used = 0;

    if (why_len)
        why[0] = '\0';
    if (strcmp(name, "auto") != 0) {
        int rc = choose_named(name, out, err);

        if (!rc && why_len) {
            snprintf(why, why_len, "%s, as asked", (*out)->summary);
            note_lack(*out, why, why_len);
        }
        return rc;
    }
    for (size_t i = 0; sq_backends[i]; i++) {
        if (sq_backends[i]->probe(&last) == 0) {
            *out = sq_backends[i];
            if (used < why_len)
                snprintf(why + used, why_len - used, "%susing %s",
                         used ? ", " : "", (*out)->summary);
            note_lack(*out, why, why_len);
            return 0;
        }
        /* Only the fact; the remedy is for those who insist. */
        if (used < why_len)
            used += (size_t)snprintf(why + used, why_len - used, "%s%.*s",
                                     used ? ", " : "",
                                     (int)strcspn(last.text, "\n"),
                                     last.text);
    }
    return sq_err_set(err, SQUIB_E_NOSUPPORT, "no backend works here: %s",
                      last.text);
}

/* --- VMs --------------------------------------------------------------- */

/* An arm64 VM's interrupt controller. */
static int check_gic(const struct squib_vm_config *config,
                     struct squib_error *err)
{
    const struct squib_aarch64_gic *g = &config->gic;
    uint64_t room = g->redist_len / SQUIB_AARCH64_GICR_LEN;

    if ((g->dist_gpa | g->redist_gpa | g->msi_gpa) % 0x10000 != 0)
        return sq_err_set(err, SQUIB_E_INVAL, "a GIC register frame is not "
                          "on a 64 KiB boundary");
    if (g->spis == 0 || g->spis % 32 != 0 || g->spis > SQUIB_AARCH64_SPIS_MAX ||
        g->msi_spis >= g->spis || (g->msi_spis && !g->msi_gpa))
        return sq_err_set(err, SQUIB_E_INVAL, "a GIC with %u SPIs, %u of "
                          "them for messages, is not possible", g->spis,
                          g->msi_spis);
    if (config->vcpus > room)
        return sq_err_set(err, SQUIB_E_INVAL, "%u vCPUs asked for; the GIC "
                          "has room for %llu redistributors"
                          "\n  do: give the VM at most %llu vCPUs",
                          config->vcpus, (unsigned long long)room,
                          (unsigned long long)room);
    return 0;
}

int squib_vm_new(const struct squib_backend *be,
                 const struct squib_vm_config *config,
                 struct squib_memory *mem, struct squib_vm **out,
                 struct squib_error *err)
{
    struct squib_vm *vm;
    int rc;

    if (config->vcpus < 1 || config->vcpus > SQUIB_VCPUS_MAX)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%u vCPUs asked for; 1 to %d are possible",
                          config->vcpus, SQUIB_VCPUS_MAX);
    if (config->irqchip && !(be->caps() & SQUIB_CAP_IRQCHIP))
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "backend %s has no interrupt controller",
                          be->name);
    if (config->dirty_log && !(be->caps() & SQUIB_CAP_DIRTY_LOG))
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "backend %s cannot log dirty pages", be->name);
    if (config->irqchip && be->arch == SQUIB_ARCH_AARCH64) {
        rc = check_gic(config, err);
        if (rc)
            return rc;
    }
    if (config->deterministic && !(be->caps() & SQUIB_CAP_DETERMINISTIC))
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "backend %s cannot be deterministic\n  do: choose "
                          "backend soft", be->name);
    if (config->deterministic && config->vcpus != 1)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "a deterministic machine has one vCPU, not %u",
                          config->vcpus);
    rc = be->vm_new(config, mem, &vm, err);
    if (rc)
        return rc;
    vm->backend = be;
    vm->mem = mem;
    vm->config = *config;
    vm->lifecycle_only = !(be->caps() & SQUIB_CAP_VCPU_EXITS);
    for (size_t i = 0; i < sq_memory_region_count(mem) && !rc; i++) {
        const struct sq_memory_region *r = sq_memory_region_at(mem, i);

        rc = vm->ops->map(vm, (struct squib_range){r->gpa, r->len}, r->hva,
                          SQUIB_PROT_RWX, err);
    }
    if (rc) {
        vm->ops->free(vm);
        return rc;
    }
    *out = vm;
    return 0;
}

void squib_vm_free(struct squib_vm *vm)
{
    if (vm)
        vm->ops->free(vm);
}

static int check_range(struct squib_range range, struct squib_error *err)
{
    uint64_t end;

    if (range.len == 0 || (range.gpa | range.len) % SQUIB_PAGE_SIZE != 0 ||
        sq_add_overflow(range.gpa, range.len, &end) || end > 1ull << 52)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "guest range %#llx+%#llx is not page-aligned or "
                          "too large", (unsigned long long)range.gpa,
                          (unsigned long long)range.len);
    return 0;
}

int squib_vm_map(struct squib_vm *vm, struct squib_range range, void *hva,
                 uint32_t prot, struct squib_error *err)
{
    int rc = check_range(range, err);

    if (rc)
        return rc;
    if ((uintptr_t)hva % SQUIB_PAGE_SIZE != 0 || !hva)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "host memory %p is not page-aligned", hva);
    return vm->ops->map(vm, range, hva, prot, err);
}

int squib_vm_unmap(struct squib_vm *vm, struct squib_range range,
                   struct squib_error *err)
{
    int rc = check_range(range, err);

    return rc ? rc : vm->ops->unmap(vm, range, err);
}

int squib_vm_protect(struct squib_vm *vm, struct squib_range range,
                     uint32_t prot, struct squib_error *err)
{
    int rc = check_range(range, err);

    return rc ? rc : vm->ops->protect(vm, range, prot, err);
}

static uint32_t irq_lines(const struct squib_vm *vm)
{
    if (vm->backend->arch == SQUIB_ARCH_AARCH64)
        return vm->config.gic.spis - vm->config.gic.msi_spis;
    return 24; /* the I/O APIC's pins */
}

int squib_vm_irq(struct squib_vm *vm, uint32_t gsi, bool level,
                 struct squib_error *err)
{
    if (!vm->config.irqchip)
        return sq_err_set(err, SQUIB_E_STATE,
                          "this VM has no interrupt controller");
    if (gsi >= irq_lines(vm))
        return sq_err_set(err, SQUIB_E_INVAL, "there is no interrupt line "
                          "%u; the machine has %u", gsi, irq_lines(vm));
    return vm->ops->irq(vm, gsi, level, err);
}

int squib_vm_msi(struct squib_vm *vm, uint64_t gpa, uint32_t data,
                 struct squib_error *err)
{
    if (!vm->config.irqchip)
        return sq_err_set(err, SQUIB_E_STATE,
                          "this VM has no interrupt controller");
    return vm->ops->msi(vm, gpa, data, err);
}

int squib_vm_dirty_log(struct squib_vm *vm, struct squib_range range,
                       uint64_t *bitmap, struct squib_error *err)
{
    int rc = check_range(range, err);

    if (rc)
        return rc;
    if (!vm->config.dirty_log)
        return sq_err_set(err, SQUIB_E_STATE,
                          "this VM does not log dirty pages");
    return vm->ops->dirty_log(vm, range, bitmap, err);
}

static int check_has_gic(const struct squib_vm *vm, struct squib_error *err)
{
    if (!vm->ops->get_gic || !vm->ops->set_gic)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "backend %s has no GIC", vm->backend->name);
    return vm->config.irqchip
               ? 0
               : sq_err_set(err, SQUIB_E_STATE,
                            "this VM has no interrupt controller");
}

int squib_vm_get_gic(struct squib_vm *vm, struct squib_aarch64_gic_dist *gic,
                     struct squib_error *err)
{
    int rc = check_has_gic(vm, err);

    return rc ? rc : vm->ops->get_gic(vm, gic, err);
}

int squib_vm_set_gic(struct squib_vm *vm,
                     const struct squib_aarch64_gic_dist *gic,
                     struct squib_error *err)
{
    int rc = check_has_gic(vm, err);

    if (!rc && gic->spis != vm->config.gic.spis)
        rc = sq_err_set(err, SQUIB_E_INVAL, "state of a GIC with %u SPIs "
                        "for one that has %u", gic->spis,
                        vm->config.gic.spis);
    return rc ? rc : vm->ops->set_gic(vm, gic, err);
}

/* --- vCPUs ------------------------------------------------------------- */

int squib_vcpu_new(struct squib_vm *vm, uint32_t index,
                   struct squib_vcpu **out, struct squib_error *err)
{
    int rc;

    if (index >= vm->config.vcpus)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "vCPU %u asked for; the VM has %u", index,
                          vm->config.vcpus);
    rc = vm->ops->vcpu_new(vm, index, out, err);
    if (rc)
        return rc;
    (*out)->vm = vm;
    (*out)->index = index;
    return 0;
}

void squib_vcpu_free(struct squib_vcpu *vcpu)
{
    if (vcpu)
        vcpu->ops->free(vcpu);
}

static int wrong_arch(const struct squib_vcpu *vcpu, struct squib_error *err)
{
    const struct squib_backend *be = vcpu->vm->backend;

    return sq_err_set(err, SQUIB_E_NOSUPPORT, "vCPUs of backend %s are %s, "
                      "which has no such state", be->name,
                      squib_arch_name(be->arch));
}

int squib_vcpu_set_cpuid(struct squib_vcpu *vcpu,
                         const struct squib_x86_cpuid *leaves, size_t n,
                         struct squib_error *err)
{
    if (!vcpu->ops->set_cpuid)
        return wrong_arch(vcpu, err);
    if (n > SQUIB_X86_CPUID_MAX)
        return sq_err_set(err, SQUIB_E_INVAL, "%zu CPUID leaves; at most %d",
                          n, SQUIB_X86_CPUID_MAX);
    return vcpu->ops->set_cpuid(vcpu, leaves, n, err);
}

struct squib_exit *squib_vcpu_run(struct squib_vcpu *vcpu)
{
    struct squib_exit *e = vcpu->ops->run(vcpu);

    if (SQ_UNLIKELY(vcpu->vm->lifecycle_only) &&
        !squib_exit_is_lifecycle(e->kind)) {
        e->internal_error = (struct squib_exit_internal_error){
            .text = "the backend tells of a vCPU, which it says it does not",
            .detail = {e->kind}};
        e->kind = SQUIB_EXIT_INTERNAL_ERROR;
    }
    return e;
}

void squib_vcpu_cancel(struct squib_vcpu *vcpu)
{
    vcpu->ops->cancel(vcpu);
}

void squib_vcpu_park(struct squib_vcpu *vcpu, uint64_t deadline_ns)
{
    vcpu->ops->park(vcpu, deadline_ns);
}

int squib_vcpu_get_state(struct squib_vcpu *vcpu, uint32_t parts,
                         struct squib_x86_64_state *st,
                         struct squib_error *err)
{
    if (!vcpu->ops->get_state)
        return wrong_arch(vcpu, err);
    return vcpu->ops->get_state(vcpu, parts, st, err);
}

int squib_vcpu_set_state(struct squib_vcpu *vcpu, uint32_t parts,
                         const struct squib_x86_64_state *st,
                         struct squib_error *err)
{
    if (!vcpu->ops->set_state)
        return wrong_arch(vcpu, err);
    return vcpu->ops->set_state(vcpu, parts, st, err);
}

int squib_vcpu_get_aarch64(struct squib_vcpu *vcpu, uint32_t parts,
                           struct squib_aarch64_state *st,
                           struct squib_error *err)
{
    if (!vcpu->ops->get_aarch64)
        return wrong_arch(vcpu, err);
    return vcpu->ops->get_aarch64(vcpu, parts, st, err);
}

int squib_vcpu_set_aarch64(struct squib_vcpu *vcpu, uint32_t parts,
                           const struct squib_aarch64_state *st,
                           struct squib_error *err)
{
    if (!vcpu->ops->set_aarch64)
        return wrong_arch(vcpu, err);
    return vcpu->ops->set_aarch64(vcpu, parts, st, err);
}

int squib_vcpu_debug(struct squib_vcpu *vcpu, uint32_t flags,
                     struct squib_error *err)
{
    if (flags & ~(uint32_t)(SQUIB_DEBUG_STEP | SQUIB_DEBUG_BREAK))
        return sq_err_set(err, SQUIB_E_INVAL, "debug flags %#x", flags);
    if (!vcpu->ops->debug)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "backend %s cannot debug "
                          "guests", vcpu->vm->backend->name);
    return vcpu->ops->debug(vcpu, flags, err);
}

uint64_t squib_vcpu_insn_count(const struct squib_vcpu *vcpu)
{
    return vcpu->ops->insn_count ? vcpu->ops->insn_count(vcpu) : 0;
}

uint32_t squib_vcpu_index(const struct squib_vcpu *vcpu)
{
    return vcpu->index;
}

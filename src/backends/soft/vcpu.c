/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/soft/vcpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backends/soft/x86_64/block.h"
#include "backends/soft/x86_64/cpuid.h"
#include "backends/soft/x86_64/debug.h"
#include "backends/soft/x86_64/deterministic.h"
#include "backends/soft/x86_64/jit/jit.h"
#include "backends/soft/x86_64/lockstep.h"
#include "backends/soft/x86_64/x87.h"
#include "backends/soft/x86_64/mem.h"
#include "backends/soft/x86_64/run.h"
#include "base/err.h"
#include "os/clock.h"

static struct sq_soft_vcpu *of(struct squib_vcpu *vcpu)
{
    return SQ_CONTAINER_OF(vcpu, struct sq_soft_vcpu, base);
}

static struct squib_exit *soft_run(struct squib_vcpu *vcpu)
{
    return sq_x86_run(&of(vcpu)->cpu);
}

static void soft_cancel(struct squib_vcpu *vcpu)
{
    struct sq_soft_vcpu *v = of(vcpu);

    atomic_fetch_or(&v->cpu.attn, ATTN_CANCEL);
    sq_wake_signal(&v->wake);
}

static void soft_park(struct squib_vcpu *vcpu, uint64_t deadline_ns)
{
    struct sq_soft_vcpu *v = of(vcpu);

    /* Say that we sleep, then look once more; a kick does it the other way
     * round, so one of us sees the other. */
    atomic_store(&v->parked, true);
    if (v->cpu.det && deadline_ns != SQUIB_DEADLINE_NONE) {
        if (!atomic_load(&v->cpu.attn))
            sq_det_skip_to(&v->cpu, deadline_ns);
    } else if (!atomic_load(&v->cpu.attn))
        sq_wake_wait(&v->wake, deadline_ns);
    atomic_store(&v->parked, false);
}

static int soft_set_cpuid(struct squib_vcpu *vcpu,
                          const struct squib_x86_cpuid *leaves, size_t n,
                          struct squib_error *err)
{
    struct sq_soft_vcpu *v = of(vcpu);

    (void)err;
    memcpy(v->cpuid, leaves, n * sizeof(leaves[0]));
    v->cpu.cpuid_count = (uint32_t)n;
    return 0;
}

static int soft_debug(struct squib_vcpu *vcpu, uint32_t flags,
                      struct squib_error *err)
{
    (void)err;
    sq_x86_debug_ask(&of(vcpu)->cpu, flags);
    return 0;
}

static uint64_t soft_insn_count(const struct squib_vcpu *vcpu)
{
    return SQ_CONTAINER_OF(vcpu, const struct sq_soft_vcpu, base)
        ->cpu.icount;
}

static void translations(const struct sq_x86_cpu *c, char *text, size_t len)
{
    struct sq_jit_made m = {0};
    uint64_t made = sq_jit_made(c->jit, &m);

    snprintf(text, len, "%llu blocks translated, the last one at %#llx "
             "(physical %#llx, %u bytes, %s mode)", (unsigned long long)made,
             (unsigned long long)m.rip, (unsigned long long)m.pa, m.len,
             m.user ? "user" : "kernel");
}

static void soft_summary(struct squib_vcpu *vcpu, char *text, size_t len)
{
    const struct sq_x86_cpu *c =
        &SQ_CONTAINER_OF(vcpu, struct sq_soft_vcpu, base)->cpu;
    size_t used;

    text[0] = '\0';

    if (c->lockstep)
        sq_lockstep_summary(c, text, len);
    else if (vcpu->vm->config.translations_max)
        translations(c, text, len);
    used = strlen(text);
    if (c->det && used < len)
        snprintf(text + used, len - used, "%sstate hash %016llx after %llu "
                 "instructions", used ? "; " : "",
                 (unsigned long long)sq_det_hash(vcpu),
                 (unsigned long long)c->icount);
}

#define STACK_LEN (256u << 10)

static struct sq_soft_vcpu *map_vcpu(void)
{
    uint8_t *p = mmap(NULL, STACK_LEN + sizeof(struct sq_soft_vcpu),
                      PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    mprotect(p, SQUIB_PAGE_SIZE, PROT_NONE);
    return (struct sq_soft_vcpu *)(void *)(p + STACK_LEN);
}

static void unmap_vcpu(struct sq_soft_vcpu *v)
{
    munmap((uint8_t *)v - STACK_LEN, STACK_LEN + sizeof(*v));
}

static void undo_new(struct sq_soft_vcpu *v)
{
    if (v->cpu.lapic)
        sq_lapic_fini(v->cpu.lapic);
    sq_det_free(&v->cpu);
    sq_lockstep_free(&v->cpu);
    sq_wake_destroy(&v->wake);
    unmap_vcpu(v);
}

static void soft_free(struct squib_vcpu *vcpu)
{
    struct sq_soft_vcpu *v = of(vcpu);
    struct sq_soft_vm *vm = v->cpu.vm;

    pthread_mutex_lock(&vm->lock);
    vm->vcpu[v->cpu.index] = NULL;
    pthread_mutex_unlock(&vm->lock);
    undo_new(v);
}

static const struct sq_vcpu_ops vcpu_ops = {
    .free = soft_free,
    .run = soft_run,
    .cancel = soft_cancel,
    .park = soft_park,
    .set_cpuid = soft_set_cpuid,
    .get_state = sq_soft_get_state,
    .set_state = sq_soft_set_state,
    .debug = soft_debug,
    .insn_count = soft_insn_count,
    .summary = soft_summary,
};

static int init_lapic(struct sq_soft_vm *vm, struct sq_soft_vcpu *v,
                      struct squib_error *err)
{
    const struct sq_lapic_config config = {
        .id = v->cpu.index, .vcpu_index = v->cpu.index,
        .phys_bits = SQ_SOFT_PHYS_BITS, .bsp = v->cpu.index == 0};
    int rc = sq_lapic_init(&v->lapic, &vm->apic_bus, &config, err);

    if (!rc)
        v->cpu.lapic = &v->lapic;
    return rc;
}

int sq_soft_vcpu_new(struct squib_vm *base, uint32_t index,
                     struct squib_vcpu **out, struct squib_error *err)
{
    struct sq_soft_vm *vm = SQ_CONTAINER_OF(base, struct sq_soft_vm, base);
    struct sq_soft_vcpu *v;
    size_t n = SQUIB_X86_CPUID_MAX;
    int rc;

    if (vm->vcpu[index])
        return sq_err_set(err, SQUIB_E_INVAL, "vCPU %u exists already",
                          index);
    /* Its tables fill up slowly: let the host give pages as they do. */
    v = map_vcpu();
    if (!v)
        return sq_err_set(err, SQUIB_E_NOMEM, "vCPU %u: out of memory",
                          index);
    v->base.ops = &vcpu_ops;
    v->cpu.vm = vm;
    v->cpu.index = index;
    v->cpu.exit = &v->base.exit;
    v->cpu.phys_bits = SQ_SOFT_PHYS_BITS;
    v->cpu.tsc_offset = vm->start_ns;
    v->cpu.cpuid = v->cpuid;
    rc = sq_soft_cpuid(vm->level, vm->jit_heat != 0, v->cpuid, &n, err);
    v->cpu.cpuid_count = (uint32_t)n;
    if (!rc)
        rc = sq_wake_init(&v->wake, err);
    if (rc) {
        unmap_vcpu(v);
        return rc;
    }
    v->cpu.blocks = vm->blocks;
    sq_jit_attach(&v->cpu, vm->jit);
    if (vm->base.config.irqchip)
        rc = init_lapic(vm, v, err);
    if (!rc && vm->lockstep)
        rc = sq_lockstep_new(&v->cpu, err);
    if (!rc && vm->base.config.deterministic)
        rc = sq_det_new(&v->cpu, vm->base.config.seed, err);
    if (rc) {
        undo_new(v);
        return rc;
    }
    sq_x86_reset(&v->cpu, false);
    sq_x86_fpu_reset(&v->cpu);
    v->cpu.run_state = vm->base.config.irqchip && index
                           ? SQUIB_X86_WAIT_SIPI
                           : SQUIB_X86_RUNNABLE;
    pthread_mutex_lock(&vm->lock);
    vm->vcpu[index] = v;
    pthread_mutex_unlock(&vm->lock);
    *out = &v->base;
    return 0;
}

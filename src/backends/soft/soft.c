/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/soft/soft.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "backends/soft/vcpu.h"
#include "backends/soft/vm.h"
#include "backends/soft/x86_64/block.h"
#include "backends/soft/x86_64/cpuid.h"
#include "backends/soft/x86_64/jit/jit.h"
#include "backends/soft/x86_64/mem.h"
#include "base/err.h"
#include "os/clock.h"
#include "os/lazy.h"

static struct sq_soft_vm *of(struct squib_vm *vm)
{
    return SQ_CONTAINER_OF(vm, struct sq_soft_vm, base);
}

/* --- other threads reach a vCPU -------------------------------------- */

void sq_soft_kick_locked(struct sq_soft_vm *vm, uint32_t index,
                         uint32_t attn)
{
    struct sq_soft_vcpu *v = vm->vcpu[index];

    if (!v)
        return;
    atomic_fetch_or(&v->cpu.attn, attn);
    if (atomic_load(&v->parked))
        sq_wake_signal(&v->wake);
}

void sq_soft_kick(struct sq_soft_vm *vm, uint32_t index, uint32_t attn)
{
    pthread_mutex_lock(&vm->lock);
    sq_soft_kick_locked(vm, index, attn);
    pthread_mutex_unlock(&vm->lock);
}

static void kick_all(struct sq_soft_vm *vm, uint32_t attn)
{
    for (uint32_t k = 0; k < SQUIB_VCPUS_MAX; k++)
        sq_soft_kick(vm, k, attn);
}

static void apic_wake(void *ctx, uint32_t index)
{
    sq_soft_kick(ctx, index, ATTN_IRQ);
}

static uint64_t apic_tsc_to_ns(void *ctx, uint32_t index, uint64_t tsc)
{
    struct sq_soft_vm *vm = ctx;
    uint64_t ns;

    /* On the vCPU's own thread, so the vCPU is there. */
    return sq_add_overflow(tsc, vm->vcpu[index]->cpu.tsc_offset, &ns)
               ? UINT64_MAX
               : ns;
}

static const struct sq_apic_bus_ops apic_ops = {
    .wake = apic_wake,
    .tsc_to_ns = apic_tsc_to_ns,
};

/* --- memory ---------------------------------------------------------- */

void sq_soft_wrote(struct sq_soft_vm *vm, uint64_t gpa, uint64_t len)
{
    while (len) {
        struct sq_soft_slot *s = sq_soft_slot_of(vm, gpa);
        uint64_t off = gpa & 0xfff, n = 4096 - off, page;

        if (n > len)
            n = len;
        if (s) {
            page = (gpa - s->gpa) >> 12;
            /* The bytes must be there before the test (block.h). */
            atomic_thread_fence(memory_order_seq_cst);
            sq_code_page_drop(&s->pages[page], sq_code_granules(gpa, n));
            if (s->dirty)
                atomic_fetch_or(&s->dirty[page / 64], 1ull << (page % 64));
        }
        gpa += n;
        len -= n;
    }
}

static void memory_wrote(void *ctx, uint64_t gpa, uint64_t len)
{
    sq_soft_wrote(ctx, gpa, len);
}

static size_t dirty_len(uint64_t len)
{
    return (len / SQUIB_PAGE_SIZE + 63) / 64 * sizeof(uint64_t);
}

static void slot_free(struct sq_soft_slot *s)
{
    if (s->pages)
        munmap(s->pages, s->len / SQUIB_PAGE_SIZE * sizeof(*s->pages));
    if (s->dirty)
        munmap((void *)s->dirty, dirty_len(s->len));
}

static int soft_map(struct squib_vm *base, struct squib_range range,
                    void *hva, uint32_t prot, struct squib_error *err)
{
    struct sq_soft_vm *vm = of(base);
    struct sq_soft_slot s = {.gpa = range.gpa, .len = range.len, .hva = hva,
                             .prot = prot};
    size_t at = 0;

    if (vm->slot_count == SQ_SOFT_SLOTS_MAX)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "more than %d ranges of guest memory",
                          SQ_SOFT_SLOTS_MAX);
    for (size_t k = 0; k < vm->slot_count; k++) {
        if (sq_overlaps(range.gpa, range.len, vm->slot[k].gpa,
                        vm->slot[k].len))
            return sq_err_set(err, SQUIB_E_RANGE,
                              "guest range %#llx+%#llx is mapped already",
                              (unsigned long long)range.gpa,
                              (unsigned long long)range.len);
        if (vm->slot[k].gpa < range.gpa)
            at = k + 1;
    }
    s.pages = sq_lazy_new(range.len / SQUIB_PAGE_SIZE * sizeof(*s.pages),
                          "squib-pages");
    if (vm->base.config.dirty_log)
        s.dirty = sq_lazy_new(dirty_len(range.len), "squib-dirty");
    if (!s.pages || (vm->base.config.dirty_log && !s.dirty)) {
        slot_free(&s);
        return sq_err_set(err, SQUIB_E_NOMEM,
                          "tables for guest memory: out of memory");
    }
    memmove(&vm->slot[at + 1], &vm->slot[at],
            (vm->slot_count - at) * sizeof(s));
    vm->slot[at] = s;
    vm->slot_count++;
    kick_all(vm, ATTN_FLUSH);
    return 0;
}

static struct sq_soft_slot *exact(struct sq_soft_vm *vm,
                                  struct squib_range range,
                                  struct squib_error *err)
{
    struct sq_soft_slot *s = sq_soft_slot_of(vm, range.gpa);

    if (s && s->gpa == range.gpa && s->len == range.len)
        return s;
    sq_err_set(err, SQUIB_E_RANGE, "guest range %#llx+%#llx is not mapped",
               (unsigned long long)range.gpa, (unsigned long long)range.len);
    return NULL;
}

static int soft_unmap(struct squib_vm *base, struct squib_range range,
                      struct squib_error *err)
{
    struct sq_soft_vm *vm = of(base);
    struct sq_soft_slot *s = exact(vm, range, err);

    if (!s)
        return SQUIB_E_RANGE;
    sq_block_cache_forget(vm); /* blocks point into the slot's pages */
    slot_free(s);
    vm->slot_count--;
    memmove(s, s + 1,
            (size_t)(&vm->slot[vm->slot_count] - s) * sizeof(*s));
    kick_all(vm, ATTN_FLUSH);
    return 0;
}

static int soft_protect(struct squib_vm *base, struct squib_range range,
                        uint32_t prot, struct squib_error *err)
{
    struct sq_soft_vm *vm = of(base);
    struct sq_soft_slot *s = exact(vm, range, err);

    if (!s)
        return SQUIB_E_RANGE;
    s->prot = prot;
    kick_all(vm, ATTN_FLUSH);
    return 0;
}

static int soft_dirty_log(struct squib_vm *base, struct squib_range range,
                          uint64_t *bitmap, struct squib_error *err)
{
    struct sq_soft_vm *vm = of(base);
    struct sq_soft_slot *s = exact(vm, range, err);

    if (!s)
        return SQUIB_E_RANGE;
    for (size_t k = 0; k < dirty_len(range.len) / sizeof(uint64_t); k++)
        bitmap[k] = atomic_exchange(&s->dirty[k], 0);
    kick_all(vm, ATTN_FLUSH); /* write mappings must be taken anew */
    return 0;
}

/* --- interrupts ------------------------------------------------------ */

static int soft_irq(struct squib_vm *base, uint32_t gsi, bool level,
                    struct squib_error *err)
{
    (void)err;
    sq_ioapic_set_line(&of(base)->ioapic, gsi, level);
    return 0;
}

static int soft_msi(struct squib_vm *base, uint64_t gpa, uint32_t data,
                    struct squib_error *err)
{
    if (sq_apic_bus_msi(&of(base)->apic_bus, gpa, data) < 0)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%#llx is not the address of an interrupt message",
                          (unsigned long long)gpa);
    return 0;
}

/* The registers are 32 bits wide, on 16-byte boundaries; other accesses are
 * not defined by the architecture. */
bool sq_soft_irqchip_read(struct sq_soft_vm *vm, struct sq_x86_cpu *c,
                          uint64_t gpa, uint8_t *data, unsigned len)
{
    uint64_t lapic_gpa;
    uint32_t v = 0;

    if (!c->lapic)
        return false;
    if (gpa - SQ_IOAPIC_DEFAULT_GPA < SQ_IOAPIC_LEN) {
        v = sq_ioapic_mmio_read(&vm->ioapic,
                                (uint32_t)(gpa - SQ_IOAPIC_DEFAULT_GPA));
    } else if (sq_lapic_mmio_gpa(c->lapic, &lapic_gpa) &&
               gpa - lapic_gpa < 4096) {
        sq_lapic_mmio_read(c->lapic, (uint32_t)(gpa - lapic_gpa) & ~15u, &v,
                           sq_x86_now(c));
        v >>= gpa % 16 < 4 ? gpa % 4 * 8 : 0;
    } else {
        return false;
    }
    memset(data, 0, len);
    memcpy(data, &v, len < 4 ? len : 4);
    return true;
}

bool sq_soft_irqchip_write(struct sq_soft_vm *vm, struct sq_x86_cpu *c,
                           uint64_t gpa, const uint8_t *data, unsigned len)
{
    uint64_t lapic_gpa;
    uint32_t v = 0;
    bool is_ioapic, is_lapic;

    if (!c->lapic)
        return false;
    is_ioapic = gpa - SQ_IOAPIC_DEFAULT_GPA < SQ_IOAPIC_LEN;
    is_lapic = !is_ioapic && sq_lapic_mmio_gpa(c->lapic, &lapic_gpa) &&
               gpa - lapic_gpa < 4096;
    if (!is_ioapic && !is_lapic)
        return false;
    if (len < 4)
        return true;
    memcpy(&v, data, 4);
    /* An IPI must not overtake what this vCPU wrote (block.h). */
    sq_x86_answer_purge(c);
    if (is_ioapic)
        sq_ioapic_mmio_write(&vm->ioapic,
                             (uint32_t)(gpa - SQ_IOAPIC_DEFAULT_GPA), v);
    else
        sq_lapic_mmio_write(c->lapic, (uint32_t)(gpa - lapic_gpa), v,
                            sq_x86_now(c));
    c->budget = 0;
    sq_x86_irq_recheck(c);
    return true;
}

/* --- the VM ---------------------------------------------------------- */

static void free_code(struct sq_soft_vm *vm)
{
    sq_jit_free(vm->jit);
    sq_block_cache_free(vm->blocks);
}

/* What all vCPUs share of the code that they run. */
static int new_code(struct sq_soft_vm *vm, struct squib_error *err)
{
    int rc = sq_block_cache_new(&vm->blocks, err);

    if (rc)
        return rc;
    /* Where it cannot be, the interpreter does everything. */
    if (vm->jit_heat)
        sq_jit_new(&vm->jit, vm->jit_heat, NULL);
    if (vm->base.config.translations_max)
        sq_jit_limit(vm->jit, vm->base.config.translations_max);
    return 0;
}

static void soft_free(struct squib_vm *base)
{
    struct sq_soft_vm *vm = of(base);

    if (vm->base.mem)
        sq_memory_watch(vm->base.mem, (struct sq_memory_watcher){0});
    for (size_t k = 0; k < vm->slot_count; k++)
        slot_free(&vm->slot[k]);
    if (vm->base.config.irqchip)
        sq_ioapic_fini(&vm->ioapic);
    free_code(vm);
    pthread_mutex_destroy(&vm->lock);
    pthread_mutex_destroy(&vm->split_lock);
    sq_turn_destroy(&vm->turn);
    free(vm);
}

static const struct sq_vm_ops vm_ops = {
    .free = soft_free,
    .map = soft_map,
    .unmap = soft_unmap,
    .protect = soft_protect,
    .vcpu_new = sq_soft_vcpu_new,
    .irq = soft_irq,
    .msi = soft_msi,
    .dirty_log = soft_dirty_log,
};

static int vm_new(const struct squib_vm_config *config,
                  struct squib_memory *mem, unsigned jit_heat,
                  enum sq_soft_level level, struct squib_vm **out,
                  struct squib_error *err)
{
    struct sq_soft_vm *vm = calloc(1, sizeof(*vm));
    int rc;

    if (!vm)
        return sq_err_set(err, SQUIB_E_NOMEM, "VM: out of memory");
    vm->base.ops = &vm_ops;
    vm->base.mem = mem;
    vm->base.config = *config;
    vm->start_ns = config->deterministic ? 0 : sq_now_ns();
    vm->jit_heat = jit_heat;
    vm->level = level;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_mutex_init(&vm->split_lock, NULL);
    sq_turn_init(&vm->turn);
    sq_apic_bus_init(&vm->apic_bus, &apic_ops, vm);
    rc = new_code(vm, err);
    if (!rc && config->irqchip)
        rc = sq_ioapic_init(&vm->ioapic, &vm->apic_bus, err);
    if (rc) {
        free_code(vm);
        free(vm);
        return rc;
    }
    sq_memory_watch(mem, (struct sq_memory_watcher){memory_wrote, vm});
    *out = &vm->base;
    return 0;
}

static uint64_t soft_caps(void)
{
    return SQUIB_CAP_IRQCHIP | SQUIB_CAP_SMP | SQUIB_CAP_DIRTY_LOG |
           SQUIB_CAP_INSN_COUNT | SQUIB_CAP_VCPU_EXITS |
           SQUIB_CAP_READONLY_MEM | SQUIB_CAP_DEBUG |
           SQUIB_CAP_DETERMINISTIC;
}

static uint64_t soft_caps_one(void)
{
    return soft_caps() & ~(uint64_t)SQUIB_CAP_SMP;
}

static int soft_probe(struct squib_error *err)
{
    (void)err;
    return 0;
}

/* Another vCPU would see bytes go back and forth. */
static int vm_new_lockstep(const struct squib_vm_config *config,
                           struct squib_memory *mem, unsigned jit_heat,
                           enum sq_soft_level level, struct squib_vm **out,
                           struct squib_error *err)
{
    int rc = sq_jit_check(err);

    if (rc)
        return rc;
    if (config->vcpus != 1)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "backend soft,jit=lockstep has one vCPU, not %u",
                          config->vcpus);
    rc = vm_new(config, mem, jit_heat, level, out, err);
    if (rc)
        return rc;
    of(*out)->lockstep = true;
    (*out)->turn = &of(*out)->turn;
    if (of(*out)->jit)
        return 0;
    soft_free(*out);
    return sq_err_set(err, SQUIB_E_NOMEM, "translator: out of memory");
}

/*
 * Variants: without the translator, with it, with it from a block's first
 * execution on, for tests, and with the interpreter checking it; each shows
 * the guest one of the levels of instructions. The interpreter has all of
 * v3; with the translator v3 is what the host has of it.
 */
enum { HEAT_OFF = 0, HEAT_ON = 12, HEAT_EAGER = 1, HEAT_LOCKSTEP = 1 };

#define KIND_OFF                                                           \
    .summary = "the software CPU (interpreter)", .caps = soft_caps,        \
    .probe = soft_probe
#define KIND_ON                                                            \
    .summary = "the software CPU (translator)", .caps = soft_caps,         \
    .probe = soft_probe, .at_best = sq_jit_check
#define KIND_EAGER                                                         \
    .summary = "the software CPU (translator, eager)", .caps = soft_caps,  \
    .probe = soft_probe, .at_best = sq_jit_check
#define KIND_LOCKSTEP                                                      \
    .summary = "the software CPU (interpreter checks translator)",         \
    .caps = soft_caps_one, .probe = sq_jit_check

#define VARIANT(id, kind, make, level, text)                               \
    static int vm_new_##id(const struct squib_vm_config *config,           \
                           struct squib_memory *mem,                       \
                           struct squib_vm **out, struct squib_error *err) \
    {                                                                      \
        return make(config, mem, HEAT_##kind, level, out, err);            \
    }                                                                      \
    static int cpuid_##id(struct squib_x86_cpuid *leaves, size_t *n,       \
                          struct squib_error *err)                         \
    {                                                                      \
        return sq_soft_cpuid(level, HEAT_##kind != HEAT_OFF, leaves, n,    \
                             err);                                         \
    }                                                                      \
    static const struct squib_backend soft_##id = {                        \
        KIND_##kind, .name = text, .cpuid = cpuid_##id,                    \
        .vm_new = vm_new_##id};

/* X(name, kind, function, level, settings); their order does not matter to
 * who names them. Without a level it is v3 where there is a translator. */
#define VARIANTS(X)                                                        \
    LEVEL(X, v2, SQ_SOFT_V2, ",cpu=v2")                                    \
    LEVEL(X, v3, SQ_SOFT_V3, ",cpu=v3")                                    \
    KINDS(X, plain, SQ_SOFT_V2, SQ_SOFT_V3, "")
#define LEVEL(X, id, level, text)                                          \
    X(id, ON, vm_new, level, "soft" text)                                  \
    KINDS(X, id, level, level, text)
#define KINDS(X, id, off, on, text)                                        \
    X(off_##id, OFF, vm_new, off, "soft,jit=off" text)                     \
    X(on_##id, ON, vm_new, on, "soft,jit=on" text)                         \
    X(eager_##id, EAGER, vm_new, on, "soft,jit=eager" text)                \
    X(lockstep_##id, LOCKSTEP, vm_new_lockstep, on,                        \
      "soft,jit=lockstep" text)
VARIANTS(VARIANT)

#define ADDRESS(id, kind, make, level, text) &soft_##id,
static const struct squib_backend *const variants[] = {
    VARIANTS(ADDRESS) NULL};

const struct squib_backend sq_backend_soft = {
    .name = "soft", .summary = "the software CPU", .caps = soft_caps,
    .probe = soft_probe, .at_best = sq_jit_check, .cpuid = cpuid_on_plain,
    .vm_new = vm_new_on_plain, .variants = variants,
};

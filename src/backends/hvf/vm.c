/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine of Hypervisor.framework: memory and dirty log.
 *
 * The framework has no log of its own. With a dirty log, memory is mapped
 * without write permission; a guest's first write to a page of 16 KiB faults,
 * the fault sets the four bits of that page and gives the permission, and
 * reading the log takes bits and permission back.
 */
#define _GNU_SOURCE
#include "backends/hvf/hvf.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "core/dirty.h"

_Static_assert(SQUIB_PROT_READ == (int)HV_MEMORY_READ &&
               SQUIB_PROT_WRITE == (int)HV_MEMORY_WRITE &&
               SQUIB_PROT_EXEC == (int)HV_MEMORY_EXEC,
               "protections are the framework's flags");

/* --- memory ---------------------------------------------------------- */

static hv_memory_flags_t flags_of(const struct sq_slot *s)
{
    return s->dirty ? s->prot & ~(uint32_t)SQUIB_PROT_WRITE : s->prot;
}

static int check_pages(const struct sq_slot *s, struct squib_error *err)
{
    if ((s->range.gpa | s->range.len) % SQ_HVF_PAGE_LEN == 0)
        return 0;
    return sq_err_set(err, SQUIB_E_INVAL, "guest range %#llx+%#llx at %p "
                      "does not consist of 16 KiB pages, which is all that "
                      "Hypervisor.framework maps",
                      (unsigned long long)s->range.gpa,
                      (unsigned long long)s->range.len, (void *)s->hva);
}

static int slot_show(struct sq_slots *slots, struct sq_slot *s,
                     struct squib_error *err)
{
    hv_return_t hv;
    int rc = check_pages(s, err);

    (void)slots;
    if (rc)
        return rc;
    if (!(s->prot & SQUIB_PROT_READ)) {
        if (s->prot & SQUIB_PROT_WRITE)
            return sq_err_set(err, SQUIB_E_NOSUPPORT, "Hypervisor.framework "
                              "has no write-only memory");
        return 0;
    }
    hv = hv_vm_map(s->hva, s->range.gpa, (size_t)s->range.len, flags_of(s));
    if (hv != HV_SUCCESS)
        return sq_hvf_error(err, "hv_vm_map", hv);
    s->shown = true;
    return 0;
}

static int slot_hide(struct sq_slots *slots, struct sq_slot *s,
                     struct squib_error *err)
{
    hv_return_t rc;

    (void)slots;
    if (!s->shown)
        return 0;
    rc = hv_vm_unmap(s->range.gpa, (size_t)s->range.len);
    if (rc != HV_SUCCESS)
        return sq_hvf_error(err, "hv_vm_unmap", rc);
    s->shown = false;
    return 0;
}

static const struct sq_slots_ops slot_ops = {slot_show, slot_hide};

static int vm_map(struct squib_vm *base, struct squib_range range, void *hva,
                  uint32_t prot, struct squib_error *err)
{
    return sq_slots_map(&sq_hvf_vm_of(base)->slots, range, hva, prot, err);
}

static int vm_unmap(struct squib_vm *base, struct squib_range range,
                    struct squib_error *err)
{
    return sq_slots_unmap(&sq_hvf_vm_of(base)->slots, range, err);
}

static int protect_locked(struct sq_slots *slots, struct sq_slot *s,
                          uint32_t prot, struct squib_error *err)
{
    uint32_t before = s->prot;
    hv_return_t hv;
    int rc;

    s->prot = prot;
    if (s->shown && prot & SQUIB_PROT_READ) {
        hv = hv_vm_protect(s->range.gpa, (size_t)s->range.len, flags_of(s));
        rc = hv == HV_SUCCESS ? 0 : sq_hvf_error(err, "hv_vm_protect", hv);
    } else {
        rc = slot_hide(slots, s, err);
        if (!rc)
            rc = slot_show(slots, s, err);
    }
    if (rc) {
        s->prot = before;
        if (!s->shown)
            slot_show(slots, s, NULL);
    }
    return rc;
}

static int vm_protect(struct squib_vm *base, struct squib_range range,
                      uint32_t prot, struct squib_error *err)
{
    struct sq_slots *slots = &sq_hvf_vm_of(base)->slots;
    struct sq_slot *s;
    int rc;

    pthread_rwlock_wrlock(&slots->lock);
    s = sq_slots_find(slots, range, err);
    rc = s ? protect_locked(slots, s, prot, err) : SQUIB_E_RANGE;
    pthread_rwlock_unlock(&slots->lock);
    return rc;
}

/* --- dirty log ------------------------------------------------------- */

bool sq_hvf_vm_write_fault(struct sq_hvf_vm *vm, uint64_t gpa)
{
    uint64_t page = gpa & ~(uint64_t)(SQ_HVF_PAGE_LEN - 1);
    const struct sq_slot *s;
    bool ours = false;

    if (!vm->slots.dirty_log)
        return false;
    pthread_rwlock_rdlock(&vm->slots.lock);
    s = sq_slots_around(&vm->slots, (struct squib_range){gpa, 1}, NULL);
    if (s && s->shown && s->prot & SQUIB_PROT_WRITE) {
        /* First the bits: nothing written may go unnoticed. */
        sq_dirty_mark(s->dirty, s->range, page, SQ_HVF_PAGE_LEN);
        ours = hv_vm_protect(page, SQ_HVF_PAGE_LEN, s->prot) == HV_SUCCESS;
    }
    pthread_rwlock_unlock(&vm->slots.lock);
    return ours;
}

/* Protects the range again, in as few calls as the dirty pages allow:
 * bitmap has `pages` bits from `gpa` on. */
static int protect_dirty(const struct sq_slot *s, uint64_t gpa,
                         uint64_t pages, const uint64_t *bitmap,
                         struct squib_error *err)
{
    uint64_t from = 0, to = 0; /* what waits to be protected */

    if (!s->shown || !(s->prot & SQUIB_PROT_WRITE))
        return 0;
    for (uint64_t i = 0; i <= pages; i++) {
        uint64_t page = (gpa + i * SQUIB_PAGE_SIZE) &
                        ~(uint64_t)(SQ_HVF_PAGE_LEN - 1);
        bool dirty = i < pages && bitmap[i / 64] >> (i % 64) & 1;
        hv_return_t rc;

        if (dirty && page <= to && to) {
            to = page + SQ_HVF_PAGE_LEN;
            continue;
        }
        if (!dirty && i < pages)
            continue;
        if (to) {
            rc = hv_vm_protect(from, (size_t)(to - from), flags_of(s));
            if (rc != HV_SUCCESS)
                return sq_hvf_error(err, "hv_vm_protect", rc);
        }
        from = page;
        to = page + SQ_HVF_PAGE_LEN;
    }
    return 0;
}

static int vm_dirty_log(struct squib_vm *base, struct squib_range range,
                        uint64_t *bitmap, struct squib_error *err)
{
    struct sq_hvf_vm *vm = sq_hvf_vm_of(base);
    uint64_t pages = range.len / SQUIB_PAGE_SIZE;
    struct sq_slot *s;
    int rc = SQUIB_E_RANGE;

    pthread_rwlock_rdlock(&vm->slots.lock);
    s = sq_slots_around(&vm->slots, range, err);
    if (s) {
        sq_dirty_take(s->dirty, (range.gpa - s->range.gpa) / SQUIB_PAGE_SIZE,
                      pages, bitmap);
        rc = protect_dirty(s, range.gpa, pages, bitmap, err);
    }
    pthread_rwlock_unlock(&vm->slots.lock);
    return rc;
}

/* --- life ------------------------------------------------------------ */

static void vm_free(struct squib_vm *base)
{
    struct sq_hvf_vm *vm = sq_hvf_vm_of(base);

    if (vm->slots.dirty_log)
        sq_memory_watch(base->mem, (struct sq_memory_watcher){0});
    for (size_t i = 0; i < SQ_SLOTS_MAX; i++)
        if (vm->slots.slot[i].used)
            slot_hide(&vm->slots, &vm->slots.slot[i], NULL);
    if (vm->created)
        hv_vm_destroy();
    sq_slots_fini(&vm->slots);
    pthread_mutex_destroy(&vm->vcpu_lock);
    free(vm);
}

static const struct sq_vm_ops vm_ops = {
    .free = vm_free,
    .map = vm_map,
    .unmap = vm_unmap,
    .protect = vm_protect,
    .vcpu_new = sq_hvf_vcpu_new,
    .irq = sq_hvf_vm_irq,
    .msi = sq_hvf_vm_msi,
    .get_gic = sq_hvf_vm_get_gic,
    .set_gic = sq_hvf_vm_set_gic,
    .dirty_log = vm_dirty_log,
};

/* With as many bits of address as this processor has: the default is 36. */
static int create_vm(struct sq_hvf_vm *vm, struct squib_error *err)
{
    hv_vm_config_t config = hv_vm_config_create();
    uint32_t bits = 0, vcpus = 0;
    hv_return_t rc = hv_vm_config_get_max_ipa_size(&bits);

    if (!config)
        return sq_err_set(err, SQUIB_E_NOMEM, "hv_vm_config_create: no "
                          "memory");
    if (rc == HV_SUCCESS)
        rc = hv_vm_config_set_ipa_size(config, bits);
    if (rc == HV_SUCCESS)
        rc = hv_vm_create(config);
    os_release(config);
    if (rc != HV_SUCCESS)
        return sq_hvf_error(err, "hv_vm_create", rc);
    vm->created = true;
    rc = hv_vm_get_max_vcpu_count(&vcpus);
    if (rc != HV_SUCCESS)
        return sq_hvf_error(err, "hv_vm_get_max_vcpu_count", rc);
    if (vm->vcpus > vcpus)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "%u vCPUs asked for; "
                          "Hypervisor.framework has %u on this Mac",
                          vm->vcpus, vcpus);
    return 0;
}

int sq_hvf_vm_new(const struct squib_vm_config *config,
                  struct squib_memory *mem, struct squib_vm **out,
                  struct squib_error *err)
{
    struct sq_hvf_vm *vm = calloc(1, sizeof(*vm));
    int rc;

    if (!vm)
        return sq_err_set(err, SQUIB_E_NOMEM, "VM: no memory");
    vm->base.ops = &vm_ops;
    vm->base.mem = mem;
    vm->vcpus = config->vcpus;
    if (config->irqchip)
        vm->gic = config->gic;
    rc = sq_slots_init(&vm->slots, &slot_ops, config->dirty_log, err);
    if (rc) {
        free(vm);
        return rc;
    }
    pthread_mutex_init(&vm->vcpu_lock, NULL);
    if (config->dirty_log)
        sq_memory_watch(mem, (struct sq_memory_watcher){sq_slots_host_wrote,
                                                        &vm->slots});
    rc = create_vm(vm, err);
    if (!rc && config->irqchip)
        rc = sq_hvf_gic_create(config, err);
    if (rc) {
        vm_free(&vm->base);
        return rc;
    }
    /* The guest's counter starts at 0. */
    atomic_store(&vm->vtimer_offset, mach_absolute_time());
    *out = &vm->base;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A KVM virtual machine: memory slots, dirty log, eventfds. */
#define _GNU_SOURCE
#include "backends/kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "core/dirty.h"
#include "os/guard.h"

static struct sq_kvm_vm *vm_of(struct squib_vm *vm)
{
    return SQ_CONTAINER_OF(vm, struct sq_kvm_vm, base);
}

/* --- memory ---------------------------------------------------------- */

static int set_region(struct sq_slots *slots, struct sq_slot *s,
                      uint64_t len, struct squib_error *err)
{
    struct sq_kvm_vm *vm = SQ_CONTAINER_OF(slots, struct sq_kvm_vm, slots);
    struct kvm_userspace_memory_region r = {
        .slot = (uint32_t)(s - slots->slot),
        .guest_phys_addr = s->range.gpa,
        .memory_size = len,
        .userspace_addr = (uintptr_t)s->hva,
    };

    if (slots->dirty_log)
        r.flags |= KVM_MEM_LOG_DIRTY_PAGES;
    if (!(s->prot & SQUIB_PROT_WRITE))
        r.flags |= KVM_MEM_READONLY;
    if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) != 0)
        return sq_err_os(err, errno == EEXIST ? SQUIB_E_RANGE : SQUIB_E_OS,
                         errno, "KVM refuses guest memory %#llx+%#llx",
                         (unsigned long long)s->range.gpa,
                         (unsigned long long)s->range.len);
    s->shown = len != 0;
    return 0;
}

/* KVM cannot withhold execution alone. */
static int slot_show(struct sq_slots *slots, struct sq_slot *s,
                     struct squib_error *err)
{
    if ((s->prot & (SQUIB_PROT_READ | SQUIB_PROT_WRITE)) == SQUIB_PROT_WRITE)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "KVM has no write-only memory");
    return s->prot & SQUIB_PROT_READ
               ? set_region(slots, s, s->range.len, err)
               : 0;
}

static int slot_hide(struct sq_slots *slots, struct sq_slot *s,
                     struct squib_error *err)
{
    return s->shown ? set_region(slots, s, 0, err) : 0;
}

static const struct sq_slots_ops slot_ops = {slot_show, slot_hide};

int sq_kvm_vm_map(struct squib_vm *base, struct squib_range range, void *hva,
                  uint32_t prot, struct squib_error *err)
{
    return sq_slots_map(&vm_of(base)->slots, range, hva, prot, err);
}

int sq_kvm_vm_unmap(struct squib_vm *base, struct squib_range range,
                    struct squib_error *err)
{
    return sq_slots_unmap(&vm_of(base)->slots, range, err);
}

/* Moves KVM's log of a slot into slot->dirty, which also has the pages that
 * the monitor wrote itself: KVM does not see those. */
static int harvest(struct sq_kvm_vm *vm, struct sq_slot *s,
                   struct squib_error *err)
{
    size_t words = sq_dirty_words(s->range.len);
    struct kvm_dirty_log log = {.slot = (uint32_t)(s - vm->slots.slot)};
    uint64_t *bits;

    if (!s->shown || !s->dirty)
        return 0;
    bits = calloc(words, sizeof(*bits));
    if (!bits)
        return sq_err_set(err, SQUIB_E_NOMEM, "dirty log: no memory");
    log.dirty_bitmap = bits;
    if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) != 0) {
        free(bits);
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_GET_DIRTY_LOG");
    }
    for (size_t i = 0; i < words; i++)
        if (bits[i])
            atomic_fetch_or_explicit(&s->dirty[i], bits[i],
                                     memory_order_relaxed);
    free(bits);
    return 0;
}

static int protect_locked(struct sq_kvm_vm *vm, struct sq_slot *s,
                          uint32_t prot, struct squib_error *err)
{
    uint32_t before = s->prot;
    int rc;

    if (((before ^ prot) & (SQUIB_PROT_READ | SQUIB_PROT_WRITE)) == 0) {
        s->prot = prot;
        return 0;
    }
    /* KVM cannot change a slot's read-only flag: take it away, with its
     * log, and show it anew. */
    rc = harvest(vm, s, err);
    if (!rc)
        rc = slot_hide(&vm->slots, s, err);
    if (rc)
        return rc;
    s->prot = prot;
    rc = slot_show(&vm->slots, s, err);
    if (rc) {
        s->prot = before;
        slot_show(&vm->slots, s, NULL);
    }
    return rc;
}

int sq_kvm_vm_protect(struct squib_vm *base, struct squib_range range,
                      uint32_t prot, struct squib_error *err)
{
    struct sq_kvm_vm *vm = vm_of(base);
    struct sq_slot *s;
    int rc;

    pthread_rwlock_wrlock(&vm->slots.lock);
    s = sq_slots_find(&vm->slots, range, err);
    rc = s ? protect_locked(vm, s, prot, err) : SQUIB_E_RANGE;
    pthread_rwlock_unlock(&vm->slots.lock);
    return rc;
}

/* --- dirty log ------------------------------------------------------- */

static bool reach_locked(struct sq_kvm_vm *vm, struct squib_exit_mmio *a)
{
    uint32_t need = a->write ? SQUIB_PROT_WRITE : SQUIB_PROT_READ;
    const struct squib_range range = {a->gpa, a->len};
    const struct sq_slot *s = sq_slots_around(&vm->slots, range, NULL);
    uint8_t *hva;

    if (!s || !s->shown || !(s->prot & need))
        return false;
    hva = s->hva + (a->gpa - s->range.gpa);
    if (!sq_guard_covers(hva, a->len))
        return false;
    if (a->write)
        memcpy(hva, a->data, a->len);
    else
        memcpy(a->data, hva, a->len);
    return true;
}

bool sq_kvm_vm_reach(struct sq_kvm_vm *vm, struct squib_exit_mmio *access)
{
    bool done;

    if (!sq_guard_any())
        return false;
    pthread_rwlock_rdlock(&vm->slots.lock);
    done = reach_locked(vm, access);
    pthread_rwlock_unlock(&vm->slots.lock);
    if (done && access->write)
        sq_slots_host_wrote(&vm->slots, access->gpa, access->len);
    return done;
}

int sq_kvm_vm_dirty_log(struct squib_vm *base, struct squib_range range,
                        uint64_t *bitmap, struct squib_error *err)
{
    struct sq_kvm_vm *vm = vm_of(base);
    struct sq_slot *s;
    int rc;

    pthread_rwlock_rdlock(&vm->slots.lock);
    s = sq_slots_around(&vm->slots, range, err);
    rc = s ? harvest(vm, s, err) : SQUIB_E_RANGE;
    if (!rc)
        sq_dirty_take(s->dirty, (range.gpa - s->range.gpa) / SQUIB_PAGE_SIZE,
                      range.len / SQUIB_PAGE_SIZE, bitmap);
    pthread_rwlock_unlock(&vm->slots.lock);
    return rc;
}

/* --- eventfds -------------------------------------------------------- */

int sq_kvm_vm_ioeventfd(struct squib_vm *base, bool pio, uint64_t where,
                        uint32_t len, int fd, bool assign,
                        struct squib_error *err)
{
    struct kvm_ioeventfd io = {.addr = where, .len = len, .fd = fd};

    if (pio)
        io.flags |= KVM_IOEVENTFD_FLAG_PIO;
    if (!assign)
        io.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
    if (ioctl(vm_of(base)->fd, KVM_IOEVENTFD, &io) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_IOEVENTFD %#llx",
                         (unsigned long long)where);
    return 0;
}

int sq_kvm_vm_irqfd(struct squib_vm *base, uint32_t gsi, int fd, bool assign,
                    struct squib_error *err)
{
    struct kvm_irqfd irq = {.fd = (uint32_t)fd, .gsi = gsi};

    if (!base->config.irqchip)
        return sq_err_set(err, SQUIB_E_STATE,
                          "this VM has no interrupt controller");
    if (!assign)
        irq.flags |= KVM_IRQFD_FLAG_DEASSIGN;
    if (ioctl(vm_of(base)->fd, KVM_IRQFD, &irq) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_IRQFD %u", gsi);
    return 0;
}

/* --- life ------------------------------------------------------------ */

void sq_kvm_vm_free(struct squib_vm *base)
{
    struct sq_kvm_vm *vm = vm_of(base);

    if (vm->slots.dirty_log)
        sq_memory_watch(base->mem, (struct sq_memory_watcher){0});
    sq_kvm_vm_arch_fini(vm);
    if (vm->fd >= 0)
        close(vm->fd);
    if (vm->sys_fd >= 0)
        close(vm->sys_fd);
    sq_slots_fini(&vm->slots);
    free(vm);
}

static int create_vm(struct sq_kvm_vm *vm, struct squib_error *err)
{
    int len = ioctl(vm->sys_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

    if (len < (int)sizeof(struct kvm_run))
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_GET_VCPU_MMAP_SIZE");
    vm->run_len = (size_t)len;
    do
        vm->fd = ioctl(vm->sys_fd, KVM_CREATE_VM,
                       sq_kvm_vm_type(vm->sys_fd));
    while (vm->fd < 0 && errno == EINTR);
    if (vm->fd < 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_CREATE_VM");
    return 0;
}

int sq_kvm_vm_new(const struct squib_vm_config *config,
                  struct squib_memory *mem, struct squib_vm **out,
                  struct squib_error *err)
{
    struct sq_kvm_vm *vm = calloc(1, sizeof(*vm));
    int rc;

    if (!vm)
        return sq_err_set(err, SQUIB_E_NOMEM, "KVM: no memory");
    vm->base.ops = &sq_kvm_vm_ops;
    vm->base.mem = mem;
    vm->fd = -1;
    vm->vcpus = config->vcpus;
    vm->irqchip = config->irqchip;
    sq_kvm_vm_arch_init(vm, config);
    rc = sq_slots_init(&vm->slots, &slot_ops, config->dirty_log, err);
    if (rc) {
        free(vm);
        return rc;
    }
    if (config->dirty_log)
        sq_memory_watch(mem, (struct sq_memory_watcher){sq_slots_host_wrote,
                                                        &vm->slots});
    vm->sys_fd = sq_kvm_open(err);
    rc = vm->sys_fd < 0 ? vm->sys_fd : create_vm(vm, err);
    if (!rc)
        rc = sq_kvm_vm_setup(vm, err);
    if (rc) {
        sq_kvm_vm_free(&vm->base);
        return rc;
    }
    *out = &vm->base;
    return 0;
}

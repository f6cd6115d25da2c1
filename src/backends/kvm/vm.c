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

static int set_region(struct sq_kvm_vm *vm, struct sq_kvm_slot *s,
                      uint64_t len, struct squib_error *err)
{
    struct kvm_userspace_memory_region r = {
        .slot = (uint32_t)(s - vm->slot),
        .guest_phys_addr = s->range.gpa,
        .memory_size = len,
        .userspace_addr = (uintptr_t)s->hva,
    };

    if (vm->dirty_log)
        r.flags |= KVM_MEM_LOG_DIRTY_PAGES;
    if (!(s->prot & SQUIB_PROT_WRITE))
        r.flags |= KVM_MEM_READONLY;
    if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) != 0)
        return sq_err_os(err, errno == EEXIST ? SQUIB_E_RANGE : SQUIB_E_OS,
                         errno, "KVM refuses guest memory %#llx+%#llx",
                         (unsigned long long)s->range.gpa,
                         (unsigned long long)s->range.len);
    s->in_kvm = len != 0;
    return 0;
}

/* Shows the slot to KVM, unless the guest may not even read it: then any
 * access comes out as MMIO. KVM cannot withhold execution alone. */
static int slot_show(struct sq_kvm_vm *vm, struct sq_kvm_slot *s,
                     struct squib_error *err)
{
    if ((s->prot & (SQUIB_PROT_READ | SQUIB_PROT_WRITE)) == SQUIB_PROT_WRITE)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "KVM has no write-only memory");
    return s->prot & SQUIB_PROT_READ ? set_region(vm, s, s->range.len, err)
                                     : 0;
}

static struct sq_kvm_slot *slot_find(struct sq_kvm_vm *vm,
                                     struct squib_range range)
{
    for (size_t i = 0; i < SQ_KVM_SLOTS_MAX; i++) {
        struct sq_kvm_slot *s = &vm->slot[i];

        if (s->used && s->range.gpa == range.gpa &&
            s->range.len == range.len)
            return s;
    }
    return NULL;
}

static int no_slot(struct squib_range range, struct squib_error *err)
{
    return sq_err_set(err, SQUIB_E_RANGE,
                      "guest range %#llx+%#llx is not one that was mapped",
                      (unsigned long long)range.gpa,
                      (unsigned long long)range.len);
}

static int map_locked(struct sq_kvm_vm *vm, struct squib_range range,
                      void *hva, uint32_t prot, struct squib_error *err)
{
    struct sq_kvm_slot *s = NULL;
    int rc;

    for (size_t i = 0; i < SQ_KVM_SLOTS_MAX; i++) {
        struct sq_kvm_slot *t = &vm->slot[i];

        if (!t->used) {
            s = s ? s : t;
        } else if (sq_overlaps(range.gpa, range.len, t->range.gpa,
                               t->range.len)) {
            return sq_err_set(err, SQUIB_E_RANGE,
                              "guest range %#llx+%#llx is mapped already",
                              (unsigned long long)range.gpa,
                              (unsigned long long)range.len);
        }
    }
    if (!s)
        return sq_err_set(err, SQUIB_E_RANGE, "more than %d ranges of guest "
                          "memory", SQ_KVM_SLOTS_MAX);
    *s = (struct sq_kvm_slot){.range = range, .hva = hva, .prot = prot};
    if (vm->dirty_log) {
        s->dirty = calloc(sq_dirty_words(s->range.len), sizeof(*s->dirty));
        if (!s->dirty)
            return sq_err_set(err, SQUIB_E_NOMEM, "dirty log: no memory");
    }
    rc = slot_show(vm, s, err);
    if (rc) {
        free(s->dirty);
        s->dirty = NULL;
        return rc;
    }
    s->used = true;
    return 0;
}

int sq_kvm_vm_map(struct squib_vm *base, struct squib_range range, void *hva,
                  uint32_t prot, struct squib_error *err)
{
    struct sq_kvm_vm *vm = vm_of(base);
    int rc;

    pthread_rwlock_wrlock(&vm->slot_lock);
    rc = map_locked(vm, range, hva, prot, err);
    pthread_rwlock_unlock(&vm->slot_lock);
    return rc;
}

static int unmap_locked(struct sq_kvm_vm *vm, struct squib_range range,
                        struct squib_error *err)
{
    struct sq_kvm_slot *s = slot_find(vm, range);
    int rc = 0;

    if (!s)
        return no_slot(range, err);
    if (s->in_kvm)
        rc = set_region(vm, s, 0, err);
    if (rc)
        return rc;
    free(s->dirty);
    *s = (struct sq_kvm_slot){0};
    return 0;
}

int sq_kvm_vm_unmap(struct squib_vm *base, struct squib_range range,
                    struct squib_error *err)
{
    struct sq_kvm_vm *vm = vm_of(base);
    int rc;

    pthread_rwlock_wrlock(&vm->slot_lock);
    rc = unmap_locked(vm, range, err);
    pthread_rwlock_unlock(&vm->slot_lock);
    return rc;
}

/* Moves KVM's log of a slot into slot->dirty. */
static int harvest(struct sq_kvm_vm *vm, struct sq_kvm_slot *s,
                   struct squib_error *err)
{
    size_t words = sq_dirty_words(s->range.len);
    struct kvm_dirty_log log = {.slot = (uint32_t)(s - vm->slot)};
    uint64_t *bits;

    if (!s->in_kvm || !s->dirty)
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

static int protect_locked(struct sq_kvm_vm *vm, struct squib_range range,
                          uint32_t prot, struct squib_error *err)
{
    struct sq_kvm_slot *s = slot_find(vm, range);
    uint32_t before;
    int rc;

    if (!s)
        return no_slot(range, err);
    before = s->prot;
    if (((before ^ prot) & (SQUIB_PROT_READ | SQUIB_PROT_WRITE)) == 0) {
        s->prot = prot;
        return 0;
    }
    /* KVM cannot change a slot's read-only flag: take it away, with its
     * log, and show it anew. */
    rc = harvest(vm, s, err);
    if (!rc && s->in_kvm)
        rc = set_region(vm, s, 0, err);
    if (rc)
        return rc;
    s->prot = prot;
    rc = slot_show(vm, s, err);
    if (rc) {
        s->prot = before;
        slot_show(vm, s, NULL);
    }
    return rc;
}

int sq_kvm_vm_protect(struct squib_vm *base, struct squib_range range,
                      uint32_t prot, struct squib_error *err)
{
    struct sq_kvm_vm *vm = vm_of(base);
    int rc;

    pthread_rwlock_wrlock(&vm->slot_lock);
    rc = protect_locked(vm, range, prot, err);
    pthread_rwlock_unlock(&vm->slot_lock);
    return rc;
}

/* --- dirty log ------------------------------------------------------- */

/* The monitor wrote guest memory itself: KVM does not see that. */
static void host_wrote(void *ctx, uint64_t gpa, uint64_t len)
{
    struct sq_kvm_vm *vm = ctx;

    pthread_rwlock_rdlock(&vm->slot_lock);
    for (size_t i = 0; i < SQ_KVM_SLOTS_MAX; i++) {
        struct sq_kvm_slot *s = &vm->slot[i];

        if (s->used && s->dirty)
            sq_dirty_mark(s->dirty, s->range, gpa, len);
    }
    pthread_rwlock_unlock(&vm->slot_lock);
}

static bool reach_locked(const struct sq_kvm_vm *vm,
                         struct squib_exit_mmio *a)
{
    uint32_t need = a->write ? SQUIB_PROT_WRITE : SQUIB_PROT_READ;

    for (size_t i = 0; i < SQ_KVM_SLOTS_MAX; i++) {
        const struct sq_kvm_slot *s = &vm->slot[i];
        uint64_t off = a->gpa - s->range.gpa;
        uint8_t *hva;

        if (!s->used || off >= s->range.len)
            continue;
        hva = s->hva + off;
        if (!s->in_kvm || !(s->prot & need) || a->len > s->range.len - off ||
            !sq_guard_covers(hva, a->len))
            return false;
        if (a->write)
            memcpy(hva, a->data, a->len);
        else
            memcpy(a->data, hva, a->len);
        return true;
    }
    return false;
}

bool sq_kvm_vm_reach(struct sq_kvm_vm *vm, struct squib_exit_mmio *access)
{
    bool done;

    if (!sq_guard_any())
        return false;
    pthread_rwlock_rdlock(&vm->slot_lock);
    done = reach_locked(vm, access);
    pthread_rwlock_unlock(&vm->slot_lock);
    if (done && access->write)
        host_wrote(vm, access->gpa, access->len);
    return done;
}

static int dirty_log_locked(struct sq_kvm_vm *vm, struct squib_range range,
                            uint64_t *bitmap, struct squib_error *err)
{
    for (size_t i = 0; i < SQ_KVM_SLOTS_MAX; i++) {
        struct sq_kvm_slot *s = &vm->slot[i];
        int rc;

        if (!s->used || range.gpa < s->range.gpa ||
            range.gpa - s->range.gpa > s->range.len ||
            range.len > s->range.len - (range.gpa - s->range.gpa))
            continue;
        rc = harvest(vm, s, err);
        if (!rc)
            sq_dirty_take(s->dirty,
                          (range.gpa - s->range.gpa) / SQUIB_PAGE_SIZE,
                          range.len / SQUIB_PAGE_SIZE, bitmap);
        return rc;
    }
    return no_slot(range, err);
}

int sq_kvm_vm_dirty_log(struct squib_vm *base, struct squib_range range,
                        uint64_t *bitmap, struct squib_error *err)
{
    struct sq_kvm_vm *vm = vm_of(base);
    int rc;

    pthread_rwlock_rdlock(&vm->slot_lock);
    rc = dirty_log_locked(vm, range, bitmap, err);
    pthread_rwlock_unlock(&vm->slot_lock);
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

    if (vm->dirty_log)
        sq_memory_watch(base->mem, (struct sq_memory_watcher){0});
    sq_kvm_vm_arch_fini(vm);
    if (vm->fd >= 0)
        close(vm->fd);
    if (vm->sys_fd >= 0)
        close(vm->sys_fd);
    for (size_t i = 0; i < SQ_KVM_SLOTS_MAX; i++)
        free(vm->slot[i].dirty);
    pthread_rwlock_destroy(&vm->slot_lock);
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
    vm->dirty_log = config->dirty_log;
    rc = pthread_rwlock_init(&vm->slot_lock, NULL);
    if (rc) {
        free(vm);
        return sq_err_os(err, SQUIB_E_OS, rc, "KVM: lock");
    }
    if (vm->dirty_log)
        sq_memory_watch(mem, (struct sq_memory_watcher){host_wrote, vm});
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

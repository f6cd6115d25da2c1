/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices.h"

#include <stdio.h>

#include "base/err.h"
#include "base/util.h"
#include "core/backend.h"
#include "dev/host/disk.h"
#include "dev/host/net_stream.h"
#include "dev/host/tap.h"
#include "dev/virtio/balloon.h"
#include "dev/virtio/blk.h"
#include "dev/virtio/mem.h"
#include "dev/virtio/mmio.h"
#include "dev/virtio/net.h"
#include "dev/virtio/pci.h"
#include "dev/virtio/pmem.h"
#include "dev/virtio/rng.h"
#include "dev/virtio/vhost_blk.h"
#include "dev/virtio/vsock.h"
#include "vmm/machine.h"

static void set_line(void *ctx, uint32_t gsi, bool level)
{
    squib_vm_irq(ctx, gsi, level, NULL);
}

struct sq_irq sq_devices_line(const struct sq_devices_env *env, uint32_t irq)
{
    return (struct sq_irq){set_line, env->vm, irq};
}

struct sq_serial_config sq_devices_serial(const struct sq_devices_env *env,
                                          uint32_t irq)
{
    return (struct sq_serial_config){
        .irq = sq_devices_line(env, irq),
        .out = env->serial_out,
        .drained = env->serial_drained,
        .ctx = env->ctx,
    };
}

static void send_msi(void *ctx, uint64_t gpa, uint32_t data)
{
    squib_vm_msi(ctx, gpa, data, NULL); /* the guest chose where */
}

struct sq_msi sq_devices_msi(const struct sq_devices_env *env)
{
    return (struct sq_msi){send_msi, env->vm};
}

/* --- the virtio devices a configuration can ask for -------------------- */

static uint32_t blk_count(const struct sq_vm_spec *spec)
{
    return spec->drive_count;
}

static int vhost_make(const struct sq_drive_spec *d,
                      struct sq_virtio_device **out, struct squib_error *err)
{
    const struct sq_virtio_vhost_blk_config config = {
        .socket = d->path,
        .flush = d->flush,
    };
    int rc = sq_virtio_vhost_blk_new(&config, out, err);

    return rc ? sq_err_prefix(err, "drive %s: ", d->id) : 0;
}

static int blk_make(struct sq_devices *devices,
                    const struct sq_devices_env *env, uint32_t i,
                    struct sq_virtio_device **out, struct squib_error *err)
{
    const struct sq_drive_spec *d = &env->spec->drives[i];
    struct sq_virtio_blk_config config = {
        .cache = d->flush ? SQ_VIRTIO_BLK_WRITEBACK : SQ_VIRTIO_BLK_UNSAFE,
        .id = d->id,
    };
    const struct sq_disk_config disk = {
        .path = d->path,
        .read_only = d->read_only,
        .engine = d->async ? SQ_DISK_ASYNC : SQ_DISK_SYNC,
        .poller = env->poller,
    };
    int rc;

    (void)devices;
    if (d->vhost_user)
        return vhost_make(d, out, err);
    rc = sq_disk_open_config(&disk, &config.disk, err);
    if (rc)
        return sq_err_prefix(err, "drive %s: ", d->id);
    rc = sq_virtio_blk_new(&config, out, err);
    if (rc) {
        sq_disk_free(config.disk);
        return sq_err_prefix(err, "drive %s: ", d->id);
    }
    sq_throttle_update(sq_virtio_blk_throttle(*out), &d->limit.bandwidth,
                       &d->limit.ops);
    return 0;
}

static uint32_t net_count(const struct sq_vm_spec *spec)
{
    return spec->net_count;
}

static int net_open(const struct sq_net_spec *n, struct sq_net_backend **out,
                    struct squib_error *err)
{
    switch (n->kind) {
    case SQ_NET_TAP:
        return sq_tap_open(n->tap, n->tap_must_exist ? SQ_TAP_REFUSE
                                                     : SQ_TAP_CREATE,
                           out, err);
    case SQ_NET_USER:
        return sq_net_stream_spawn(n->path, n->mtu ? n->mtu : 1500,
                                   n->no_host, out, err);
    case SQ_NET_SOCKET:
        return sq_net_stream_connect(n->path, out, err);
    }
    return sq_err_set(err, SQUIB_E_INTERNAL, "no such network");
}

_Static_assert(SQ_NET_FILTER_HEAD >= SQ_MMDS_HEAD_LEN,
               "the metadata service sees enough of a frame");

static bool mmds_wants(void *ctx, const uint8_t *head, size_t len)
{
    return sq_mmds_net_wants(ctx, head, len);
}

static void mmds_take(void *ctx, const uint8_t *frame, size_t len)
{
    sq_mmds_net_take(ctx, frame, len);
}

static size_t mmds_next(void *ctx, uint8_t *frame, size_t cap)
{
    return sq_mmds_net_next(ctx, frame, cap);
}

static const struct sq_net_filter_ops mmds_filter = {
    .wants = mmds_wants,
    .take = mmds_take,
    .next = mmds_next,
};

static void free_mmds(void *ctx)
{
    struct sq_devices *devices = ctx;

    for (size_t i = 0; i < SQ_ARRAY_LEN(devices->mmds); i++) {
        sq_mmds_net_free(devices->mmds[i]);
        devices->mmds[i] = NULL;
    }
}

static int net_make(struct sq_devices *devices,
                    const struct sq_devices_env *env, uint32_t i,
                    struct sq_virtio_device **out, struct squib_error *err)
{
    const struct sq_net_spec *n = &env->spec->nets[i];
    struct sq_virtio_net_config config = {
        .mac = n->has_mac ? n->mac : NULL,
        .mtu = n->mtu,
    };
    int rc = net_open(n, &config.backend, err);

    if (!rc && n->mmds && env->mmds) {
        rc = sq_mmds_net_new(env->mmds, &devices->mmds[i], err);
        config.filter = &mmds_filter;
        config.filter_ctx = devices->mmds[i];
    }
    if (!rc)
        rc = sq_virtio_net_new(&config, out, err);
    if (rc) {
        sq_net_backend_free(config.backend);
        return sq_err_prefix(err, "network interface %s: ", n->id);
    }
    sq_throttle_update(sq_virtio_net_throttle(*out, SQ_VIRTIO_NET_RX),
                       &n->rx_limit.bandwidth, &n->rx_limit.ops);
    sq_throttle_update(sq_virtio_net_throttle(*out, SQ_VIRTIO_NET_TX),
                       &n->tx_limit.bandwidth, &n->tx_limit.ops);
    return 0;
}

static uint32_t vsock_count(const struct sq_vm_spec *spec)
{
    return spec->vsock ? 1 : 0;
}

static void free_bridge(void *ctx)
{
    struct sq_devices *devices = ctx;

    sq_vsock_unix_free(devices->vsock_bridge);
    devices->vsock_bridge = NULL;
}

static int vsock_make(struct sq_devices *devices,
                      const struct sq_devices_env *env, uint32_t i,
                      struct sq_virtio_device **out, struct squib_error *err)
{
    struct sq_virtio_vsock_config config = {
        .guest_cid = env->spec->guest_cid,
        .host = env->vsock_host,
        .host_ctx = env->vsock_ctx,
    };

    (void)i;
    if (env->spec->vsock_path[0]) {
        int rc = sq_vsock_unix_new(env->spec->vsock_path, env->poller,
                                   &devices->vsock_bridge, err);

        if (rc)
            return sq_err_prefix(err, "vsock: ");
        config.host = &sq_vsock_unix_host_ops;
        config.host_ctx = devices->vsock_bridge;
    }
    return sq_virtio_vsock_new(&config, out, err);
}

static uint32_t pmem_count(const struct sq_vm_spec *spec)
{
    return spec->pmem_count;
}

/* Behind RAM and above what the layout says, with some distance: a guest's
 * kernel manages memory in large sections, which the two must not share. */
static uint64_t pmem_place(const struct sq_devices *devices,
                           const struct squib_memory *mem)
{
    uint64_t end = devices->pmem_end;

    if (end == 0) {
        end = devices->layout->pmem_gpa;
        for (size_t i = 0; i < sq_memory_region_count(mem); i++) {
            const struct sq_memory_region *r = sq_memory_region_at(mem, i);

            if (r->gpa + r->len > end)
                end = r->gpa + r->len;
        }
    }
    return sq_align_up(end, devices->layout->pmem_align);
}

static void pmem_lost(void *ctx, const struct sq_virtio_device *dev)
{
    struct sq_devices *devices = ctx;
    char text[160];
    uint32_t n = 0;

    while (n < devices->spec->pmem_count &&
           sq_devices_find(devices, SQ_VIRTIO_ID_PMEM, n) != dev)
        n++;
    if (n == devices->spec->pmem_count)
        return;
    snprintf(text, sizeof(text), "pmem %s: its file was cut short or cannot "
             "be read; what is gone reads as zeroes, nothing more is kept",
             devices->spec->pmems[n].id);
    devices->trouble(devices->ctx, text);
}

static int pmem_make(struct sq_devices *devices,
                     const struct sq_devices_env *env, uint32_t i,
                     struct sq_virtio_device **out, struct squib_error *err)
{
    const struct sq_pmem_spec *p = &env->spec->pmems[i];
    const struct sq_virtio_pmem_config config = {
        .path = p->path,
        .read_only = p->read_only,
        .gpa = pmem_place(devices, env->mem),
        .poller = env->poller,
        .lost = pmem_lost,
        .lost_ctx = devices,
    };
    int rc = sq_virtio_pmem_new(&config, out, err);

    if (!rc)
        sq_throttle_update(sq_virtio_pmem_throttle(*out),
                           &p->limit.bandwidth, &p->limit.ops);
    return rc ? sq_err_prefix(err, "pmem %s: ", p->id) : 0;
}

/* Makes the device's memory the machine's. */
static int pmem_map(struct sq_devices *devices, struct sq_virtio_device *dev,
                    struct squib_error *err)
{
    struct sq_virtio_pmem_region r = sq_virtio_pmem_region(dev);
    int rc;

    if (r.range.len > devices->layout->gpa_end - r.range.gpa)
        return sq_err_set(err, SQUIB_E_RANGE, "pmem: no address space is "
                          "left for %llu MiB",
                          (unsigned long long)(r.range.len >> 20));
    rc = sq_memory_lend(devices->mem, r.range, r.hva, err);
    if (rc)
        return rc;
    rc = squib_vm_map(devices->vm, r.range, r.hva, r.prot, err);
    if (rc) {
        sq_memory_take_back(devices->mem, r.range.gpa);
        return rc;
    }
    devices->pmem_end = r.range.gpa + r.range.len;
    return 0;
}

static void pmem_unmap(struct sq_devices *devices,
                       struct sq_virtio_device *dev)
{
    struct sq_virtio_pmem_region r = sq_virtio_pmem_region(dev);

    if (r.range.gpa >= devices->pmem_end)
        return; /* building ended before it was mapped */
    squib_vm_unmap(devices->vm, r.range, NULL);
    sq_memory_take_back(devices->mem, r.range.gpa);
    if (devices->pmem_end == r.range.gpa + r.range.len)
        devices->pmem_end = r.range.gpa; /* the last one: room for another */
}

static uint32_t mem_count(const struct sq_vm_spec *spec)
{
    return spec->hotplug ? 1 : 0;
}

static int show_window(void *ctx, struct squib_range window, bool shown)
{
    struct sq_devices *devices = ctx;
    int rc = 0;

    /* A device loses it before the guest does, and gets it after. */
    if (!shown)
        sq_memory_show(devices->mem, window.gpa, false);
    rc = squib_vm_protect(devices->vm, window, shown ? SQUIB_PROT_RWX : 0,
                          NULL);
    if (shown && !rc)
        sq_memory_show(devices->mem, window.gpa, true);
    return rc;
}

/* Each window is a range that the VM knows of, hidden so far. */
static int reserve_windows(const struct sq_devices_env *env,
                           struct squib_range region, uint64_t window_len,
                           struct squib_error *err)
{
    uint64_t end = region.gpa + region.len;

    for (uint64_t gpa = region.gpa; gpa < end; gpa += window_len) {
        struct squib_range window = {gpa, end - gpa};
        void *hva;
        int rc;

        if (window.len > window_len)
            window.len = window_len;
        rc = sq_memory_reserve(env->mem, window, &hva, err);
        if (!rc)
            rc = squib_vm_map(env->vm, window, hva, 0, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int mem_make(struct sq_devices *devices,
                    const struct sq_devices_env *env, uint32_t i,
                    struct sq_virtio_device **out, struct squib_error *err)
{
    const struct sq_virtio_mem_sizes *sizes = &env->spec->hotplug_sizes;
    struct sq_virtio_mem_config config = {
        .sizes = *sizes,
        .gpa = sq_align_up(pmem_place(devices, env->mem),
                           (uint64_t)sizes->block_mib << 20),
        .show = show_window,
        .ctx = devices,
    };
    struct squib_range region = {config.gpa,
                                 (uint64_t)sizes->total_mib << 20};
    uint64_t end = devices->layout->gpa_end;
    int rc;

    (void)i;
    if (region.gpa > end || region.len > end - region.gpa)
        return sq_err_set(err, SQUIB_E_RANGE, "memory hotplug: no address "
                          "space is left for %u MiB", sizes->total_mib);
    rc = reserve_windows(env, region, sq_virtio_mem_window_len(sizes), err);
    if (!rc)
        rc = sq_virtio_mem_new(&config, out, err);
    return rc ? sq_err_prefix(err, "memory hotplug: ") : 0;
}

static uint32_t rng_count(const struct sq_vm_spec *spec)
{
    return spec->rng ? 1 : 0;
}

static int rng_make(struct sq_devices *devices,
                    const struct sq_devices_env *env, uint32_t i,
                    struct sq_virtio_device **out, struct squib_error *err)
{
    const struct sq_ratelimit_config *limit = &env->spec->rng_limit;
    int rc = sq_virtio_rng_new(out, err);

    (void)devices;
    (void)i;
    if (!rc)
        sq_throttle_update(sq_virtio_rng_throttle(*out), &limit->bandwidth,
                           &limit->ops);
    return rc;
}

static uint32_t balloon_count(const struct sq_vm_spec *spec)
{
    return spec->balloon ? 1 : 0;
}

static int balloon_make(struct sq_devices *devices,
                        const struct sq_devices_env *env, uint32_t i,
                        struct sq_virtio_device **out,
                        struct squib_error *err)
{
    (void)devices;
    (void)i;
    return sq_virtio_balloon_new(&env->spec->balloon_config, out, err);
}

/* In the order of their slots: the first drive is /dev/vda. */
static const struct {
    uint32_t id;
    const char *name;
    uint32_t (*count)(const struct sq_vm_spec *spec);
    int (*make)(struct sq_devices *devices, const struct sq_devices_env *env,
                uint32_t i, struct sq_virtio_device **out,
                struct squib_error *err);
} kinds[] = {
    {SQ_VIRTIO_ID_BLK, "blk", blk_count, blk_make},
    {SQ_VIRTIO_ID_NET, "net", net_count, net_make},
    {SQ_VIRTIO_ID_VSOCK, "vsock", vsock_count, vsock_make},
    {SQ_VIRTIO_ID_RNG, "rng", rng_count, rng_make},
    {SQ_VIRTIO_ID_BALLOON, "balloon", balloon_count, balloon_make},
    {SQ_VIRTIO_ID_MEM, "mem", mem_count, mem_make},
    {SQ_VIRTIO_ID_PMEM, "pmem", pmem_count, pmem_make},
};

/* --- slots ------------------------------------------------------------- */

/* Frees the device in slot n; those behind it move up. */
static void free_slot(struct sq_devices *devices, size_t n)
{
    struct sq_virtio_device *dev = devices->slot[n];

    if (devices->pci)
        sq_pci_unplug(&devices->pci_bus,
                      sq_virtio_pci_function(sq_virtio_pci_of(dev)));
    if (dev->ops->id == SQ_VIRTIO_ID_PMEM)
        pmem_unmap(devices, dev);
    sq_transport_free(dev->transport);
    devices->slot_count--;
    for (; n < devices->slot_count; n++)
        devices->slot[n] = devices->slot[n + 1];
}

static void free_slots(void *ctx)
{
    struct sq_devices *devices = ctx;

    /* Those last whose memory the others may yet be transferring to. */
    for (size_t n = devices->slot_count; n-- > 0;)
        if (devices->slot[n]->ops->id != SQ_VIRTIO_ID_PMEM)
            free_slot(devices, n);
    while (devices->slot_count)
        free_slot(devices, devices->slot_count - 1);
    if (devices->pci)
        sq_pci_bus_destroy(&devices->pci_bus);
}

/* Whether the backend can ring queues without an exit. */
static bool can_ring(const struct squib_vm *vm)
{
    return (squib_backend_caps(vm->backend) & SQUIB_CAP_IOEVENTFD) &&
           vm->ops->ioeventfd;
}

static int connect_notify(const struct sq_devices_env *env,
                          struct sq_transport *t, uint64_t gpa,
                          struct squib_error *err)
{
    int fd;

    if (!can_ring(env->vm))
        return 0;
    fd = sq_transport_notify_fd(t, err);
    if (fd < 0)
        return fd;
    return env->vm->ops->ioeventfd(env->vm, false,
                                   gpa + SQ_VIRTIO_MMIO_NOTIFY, 4, fd, true,
                                   err);
}

/* The guest has moved a device's region. Where this fails, its writes come
 * out as exits: slower, not wrong. */
static void doorbell(void *ctx, uint64_t gpa, int fd, bool on)
{
    struct squib_vm *vm = ctx;

    vm->ops->ioeventfd(vm, false, gpa, 2, fd, on, NULL);
}

static int add_pci(struct sq_devices *devices,
                   const struct sq_devices_env *env,
                   struct sq_virtio_device *dev, struct squib_error *err)
{
    struct sq_virtio_pci_config config = {
        .dev = dev,
        .mem = env->mem,
        .poller = env->poller,
        .msi = sq_devices_msi(env),
        .doorbell = can_ring(env->vm) ? doorbell : NULL,
        .doorbell_ctx = env->vm,
    };
    struct sq_virtio_pci *pci;
    int rc = sq_virtio_pci_new(&config, &pci, err);

    if (rc) {
        dev->ops->free(dev);
        return rc;
    }
    rc = sq_pci_plug(&devices->pci_bus, sq_virtio_pci_function(pci), err);
    if (rc < 0) {
        sq_transport_free(dev->transport);
        return rc;
    }
    devices->slot[devices->slot_count++] = dev;
    return 0;
}

static int add_mmio(struct sq_devices *devices,
                    const struct sq_devices_env *env, const char *name,
                    struct sq_virtio_device *dev, struct squib_error *err)
{
    size_t n = devices->slot_count;
    const struct sq_machine_layout *layout = devices->layout;
    struct sq_boot_device *where = &devices->where[n];
    struct sq_virtio_mmio_config config = {
        .dev = dev,
        .mem = env->mem,
        .poller = env->poller,
    };
    struct sq_virtio_mmio *mmio;
    int rc;

    if (n == layout->virtio_max) {
        dev->ops->free(dev);
        return sq_err_set(err, SQUIB_E_INVAL, "at most %zu virtio devices "
                          "are possible\n  do: take fewer, or put them on a "
                          "PCI bus (--pci, --enable-pci)", n);
    }
    where->gpa = layout->virtio_gpa + n * layout->virtio_step;
    where->len = SQ_VIRTIO_MMIO_LEN;
    where->irq = layout->virtio_irq + (uint32_t)n;
    config.irq = sq_devices_line(env, where->irq);
    rc = sq_virtio_mmio_new(&config, &mmio, err);
    if (rc) {
        dev->ops->free(dev);
        return rc;
    }
    devices->slot[devices->slot_count++] = dev;
    rc = sq_bus_add(&devices->mmio, name, where->gpa, where->len,
                    &sq_virtio_mmio_bus_ops, mmio, err);
    return rc ? rc : connect_notify(env, dev->transport, where->gpa, err);
}

/* The i-th device of a kind. On failure it is gone, or in the last slot. */
static int add_device(struct sq_devices *devices,
                      const struct sq_devices_env *env, size_t kind,
                      uint32_t i, struct squib_error *err)
{
    struct sq_virtio_device *dev = NULL;
    int rc = kinds[kind].make(devices, env, i, &dev, err);

    if (rc)
        return rc;
    rc = devices->pci ? add_pci(devices, env, dev, err)
                      : add_mmio(devices, env, kinds[kind].name, dev, err);
    if (!rc && devices->vsock_bridge && dev->ops->id == SQ_VIRTIO_ID_VSOCK)
        rc = sq_vsock_unix_attach(devices->vsock_bridge, dev, err);
    if (!rc && dev->ops->id == SQ_VIRTIO_ID_PMEM)
        rc = pmem_map(devices, dev, err);
    return rc;
}

/* Once all memory is there: whether each drive's back end can have it. */
static int check_sharing(const struct sq_devices *devices,
                         const struct sq_devices_env *env,
                         struct squib_error *err)
{
    for (uint32_t i = 0; i < env->spec->drive_count; i++) {
        const struct sq_drive_spec *d = &env->spec->drives[i];
        int rc = 0;

        if (d->vhost_user)
            rc = sq_virtio_vhost_blk_check(
                sq_devices_find(devices, SQ_VIRTIO_ID_BLK, i), env->mem, err);
        if (rc)
            return sq_err_prefix(err, "drive %s: ", d->id);
    }
    return 0;
}

static int build_virtio(struct sq_devices *devices,
                        const struct sq_devices_env *env,
                        struct squib_error *err)
{
    for (size_t k = 0; k < SQ_ARRAY_LEN(kinds); k++) {
        for (uint32_t i = 0; i < kinds[k].count(env->spec); i++) {
            int rc = add_device(devices, env, k, i, err);

            if (rc)
                return rc;
        }
    }
    return check_sharing(devices, env, err);
}

static int build_pci(struct sq_devices *devices, struct squib_error *err)
{
    const struct sq_machine_layout *layout = devices->layout;
    const struct sq_pci_bus_config config = {
        .window = layout->pci_gpa,
        .window_len = layout->pci_len,
        .port_cf9 = &sq_power_reset_control_ops,
        .port_cf9_ctx = &devices->legacy.power,
    };
    int rc;

    if (!layout->pci_len)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "this guest's machine has "
                          "no PCI bus\n  do: leave out --pci and "
                          "--enable-pci");
    sq_pci_bus_init(&devices->pci_bus, &config);
    devices->pci = true;
    rc = sq_bus_add(&devices->mmio, "PCI configuration", layout->ecam_gpa,
                    SQ_PCI_ECAM_LEN, &sq_pci_ecam_ops, &devices->pci_bus,
                    err);
    if (!rc)
        rc = sq_bus_add(&devices->mmio, "PCI memory", layout->pci_gpa,
                        layout->pci_len, &sq_pci_window_ops,
                        &devices->pci_bus, err);
    if (!rc && layout->pci_ports)
        rc = sq_bus_add(&devices->pio, "PCI ports", SQ_PCI_PORT,
                        SQ_PCI_PORTS, &sq_pci_port_ops, &devices->pci_bus,
                        err);
    return rc;
}

int sq_devices_build(struct sq_devices *devices,
                     const struct sq_devices_env *env,
                     struct squib_error *err)
{
    const struct sq_machine_layout *layout = &env->machine->layout;
    int rc = env->machine->build_platform(devices, env, err);

    devices->layout = layout;
    devices->vm = env->vm;
    devices->mem = env->mem;
    devices->spec = env->spec;
    devices->trouble = env->trouble;
    devices->ctx = env->ctx;
    if (!rc)
        rc = sq_vmgenid_init(&devices->vmgenid, env->mem,
                             layout->vmgenid_gpa,
                             sq_devices_line(env, layout->vmgenid_irq), err);
    if (!rc && env->spec->boot_timer) {
        devices->boot_timer.done = env->boot_done;
        devices->boot_timer.ctx = env->ctx;
        rc = sq_bus_add(&devices->mmio, "boot timer",
                        layout->boot_timer_gpa, SQ_BOOT_TIMER_LEN,
                        &sq_boot_timer_ops, &devices->boot_timer, err);
    }
    if (rc)
        return rc;
    /* The bridge goes before its device, the metadata service after. */
    if (!sq_undo_push(env->undo, free_mmds, devices) ||
        !sq_undo_push(env->undo, free_slots, devices) ||
        !sq_undo_push(env->undo, free_bridge, devices))
        return sq_err_set(err, SQUIB_E_INTERNAL, "too many build steps");
    if (env->spec->pci)
        rc = build_pci(devices, err);
    return rc ? rc : build_virtio(devices, env, err);
}

int sq_devices_plug(struct sq_devices *devices,
                    const struct sq_devices_env *env, uint32_t id,
                    struct squib_error *err)
{
    struct sq_irq irq = sq_devices_line(env, env->machine->layout.pci_irq);
    size_t had = devices->slot_count, k = 0;
    int rc;

    while (k < SQ_ARRAY_LEN(kinds) && kinds[k].id != id)
        k++;
    if (!devices->pci || k == SQ_ARRAY_LEN(kinds))
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "PCI is not enabled");
    rc = add_device(devices, env, k, kinds[k].count(env->spec) - 1, err);
    if (!rc && id == SQ_VIRTIO_ID_BLK)
        rc = check_sharing(devices, env, err);
    if (rc && devices->slot_count > had)
        free_slot(devices, had);
    if (!rc)
        sq_irq_pulse(&irq);
    return rc;
}

/* The machine is paused, so that no request of the driver is under way; what
 * stays are rings, which a driver may have put there. */
static void lose_memory_of(struct sq_devices *devices,
                           struct sq_virtio_device *dev)
{
    struct sq_virtio_pmem_region r = sq_virtio_pmem_region(dev);

    for (size_t i = 0; i < devices->slot_count; i++)
        if (devices->slot[i] != dev)
            sq_virtio_lose_memory(devices->slot[i], r.range);
}

void sq_devices_unplug(struct sq_devices *devices, uint32_t id, uint32_t n)
{
    size_t i = 0;

    for (uint32_t left = n; i < devices->slot_count; i++)
        if (devices->slot[i]->ops->id == id && left-- == 0)
            break;
    if (!devices->pci || i == devices->slot_count)
        return;
    if (id == SQ_VIRTIO_ID_PMEM)
        lose_memory_of(devices, devices->slot[i]);
    free_slot(devices, i);
    if (id != SQ_VIRTIO_ID_NET)
        return;
    sq_mmds_net_free(devices->mmds[n]);
    for (; n + 1 < SQ_ARRAY_LEN(devices->mmds); n++)
        devices->mmds[n] = devices->mmds[n + 1];
    devices->mmds[n] = NULL;
}

void sq_devices_pause(struct sq_devices *devices)
{
    for (size_t i = 0; i < devices->slot_count; i++)
        sq_virtio_pause(devices->slot[i]);
}

void sq_devices_resume(struct sq_devices *devices)
{
    for (size_t i = 0; i < devices->slot_count; i++)
        sq_virtio_resume(devices->slot[i]);
}

struct sq_virtio_device *sq_devices_find(const struct sq_devices *devices,
                                         uint32_t id, uint32_t n)
{
    for (size_t i = 0; i < devices->slot_count; i++) {
        if (devices->slot[i]->ops->id == id && n-- == 0)
            return devices->slot[i];
    }
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices.h"

#include "base/err.h"
#include "base/util.h"
#include "core/backend.h"
#include "dev/host/disk.h"
#include "dev/virtio/blk.h"
#include "dev/virtio/rng.h"
#include "dev/virtio/vsock.h"

static void set_line(void *ctx, uint32_t gsi, bool level)
{
    squib_vm_irq(ctx, gsi, level, NULL);
}

static struct sq_irq line(const struct sq_devices_env *env, uint32_t gsi)
{
    return (struct sq_irq){set_line, env->vm, gsi};
}

/* --- the virtio devices a configuration can ask for -------------------- */

static uint32_t blk_count(const struct sq_vm_spec *spec)
{
    return spec->drive_count;
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
    int rc = sq_disk_open(d->path, d->read_only, &config.disk, err);

    (void)devices;
    if (rc)
        return sq_err_prefix(err, "drive %s: ", d->id);
    rc = sq_virtio_blk_new(&config, out, err);
    if (rc) {
        sq_disk_free(config.disk);
        return sq_err_prefix(err, "drive %s: ", d->id);
    }
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

static uint32_t rng_count(const struct sq_vm_spec *spec)
{
    return spec->rng ? 1 : 0;
}

static int rng_make(struct sq_devices *devices,
                    const struct sq_devices_env *env, uint32_t i,
                    struct sq_virtio_device **out, struct squib_error *err)
{
    (void)devices;
    (void)env;
    (void)i;
    return sq_virtio_rng_new(out, err);
}

/* In the order of their slots: the first drive is /dev/vda. */
static const struct {
    const char *name;
    uint32_t (*count)(const struct sq_vm_spec *spec);
    int (*make)(struct sq_devices *devices, const struct sq_devices_env *env,
                uint32_t i, struct sq_virtio_device **out,
                struct squib_error *err);
} kinds[] = {
    {"blk", blk_count, blk_make},
    {"vsock", vsock_count, vsock_make},
    {"rng", rng_count, rng_make},
};

/* --- slots ------------------------------------------------------------- */

static void free_slots(void *ctx)
{
    struct sq_devices *devices = ctx;

    while (devices->slot_count)
        sq_virtio_mmio_free(devices->slot[--devices->slot_count]);
}

/* Lets the backend ring the queues without an exit where it can. */
static int connect_notify(const struct sq_devices_env *env,
                          struct sq_virtio_mmio *mmio, uint64_t gpa,
                          struct squib_error *err)
{
    const struct squib_vm *vm = env->vm;
    int fd;

    if (!(squib_backend_caps(vm->backend) & SQUIB_CAP_IOEVENTFD) ||
        !vm->ops->ioeventfd)
        return 0;
    fd = sq_virtio_mmio_notify_fd(mmio, err);
    if (fd < 0)
        return fd;
    return vm->ops->ioeventfd(env->vm, false, gpa + SQ_VIRTIO_MMIO_NOTIFY, 4,
                              fd, true, err);
}

static int add_slot(struct sq_devices *devices,
                    const struct sq_devices_env *env, const char *name,
                    struct sq_virtio_device *dev, struct squib_error *err)
{
    size_t n = devices->slot_count;
    struct sq_x86_mmio_device *where = &devices->where[n];
    struct sq_virtio_mmio_config config = {
        .dev = dev,
        .mem = env->mem,
        .poller = env->poller,
    };
    int rc;

    if (n == SQ_ARRAY_LEN(devices->slot)) {
        dev->ops->free(dev);
        return sq_err_set(err, SQUIB_E_INVAL, "at most %zu virtio devices "
                          "are possible", n);
    }
    where->gpa = SQ_X86_VIRTIO_GPA + (uint32_t)n * SQ_X86_VIRTIO_STEP;
    where->len = SQ_VIRTIO_MMIO_LEN;
    where->gsi = SQ_X86_VIRTIO_GSI + (uint32_t)n;
    config.irq = line(env, where->gsi);
    rc = sq_virtio_mmio_new(&config, &devices->slot[n], err);
    if (rc) {
        dev->ops->free(dev);
        return rc;
    }
    devices->slot_count++;
    rc = sq_bus_add(&devices->mmio, name, where->gpa, where->len,
                    &sq_virtio_mmio_bus_ops, devices->slot[n], err);
    return rc ? rc : connect_notify(env, devices->slot[n], where->gpa, err);
}

static int build_virtio(struct sq_devices *devices,
                        const struct sq_devices_env *env,
                        struct squib_error *err)
{
    for (size_t k = 0; k < SQ_ARRAY_LEN(kinds); k++) {
        for (uint32_t i = 0; i < kinds[k].count(env->spec); i++) {
            struct sq_virtio_device *dev = NULL;
            int rc = kinds[k].make(devices, env, i, &dev, err);

            if (!rc)
                rc = add_slot(devices, env, kinds[k].name, dev, err);
            if (!rc && devices->vsock_bridge &&
                dev->ops->id == SQ_VIRTIO_ID_VSOCK)
                rc = sq_vsock_unix_attach(devices->vsock_bridge, dev, err);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static void fini_legacy(void *ctx)
{
    struct sq_devices *devices = ctx;

    sq_legacy_fini(&devices->legacy);
}

static int build_legacy(struct sq_devices *devices,
                        const struct sq_devices_env *env,
                        struct squib_error *err)
{
    struct sq_legacy_config config = {
        .serial_port = SQ_X86_COM1_PORT,
        .serial = {
            .irq = line(env, SQ_X86_COM1_GSI),
            .out = env->serial_out,
            .drained = env->serial_drained,
            .ctx = env->ctx,
        },
        .keyboard_irq = line(env, SQ_X86_KBD_GSI),
        .sleep_port = SQ_X86_POWER_PORT,
        .sleep_type_off = SQ_X86_SLEEP_S5,
        .shutdown = env->shutdown,
        .reset = env->reset,
        .ctx = env->ctx,
    };
    int rc = sq_legacy_init(&devices->legacy, &config, &devices->pio, err);

    if (rc)
        return rc;
    if (!sq_undo_push(env->undo, fini_legacy, devices))
        return sq_err_set(err, SQUIB_E_INTERNAL, "too many build steps");
    return 0;
}

int sq_devices_build(struct sq_devices *devices,
                     const struct sq_devices_env *env,
                     struct squib_error *err)
{
    int rc = build_legacy(devices, env, err);

    if (!rc && env->spec->boot_timer) {
        devices->boot_timer.done = env->boot_done;
        devices->boot_timer.ctx = env->ctx;
        rc = sq_bus_add(&devices->mmio, "boot timer", SQ_BOOT_TIMER_GPA,
                        SQ_BOOT_TIMER_LEN, &sq_boot_timer_ops,
                        &devices->boot_timer, err);
    }
    if (rc)
        return rc;
    /* The bridge goes before its device. */
    if (!sq_undo_push(env->undo, free_slots, devices) ||
        !sq_undo_push(env->undo, free_bridge, devices))
        return sq_err_set(err, SQUIB_E_INTERNAL, "too many build steps");
    return build_virtio(devices, env, err);
}

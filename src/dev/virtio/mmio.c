/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/virtio/mmio.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "os/wake.h"

/* Registers: virtio 1.2, table 4.1 in 4.2.2. */
enum reg {
    REG_MAGIC = 0x000,
    REG_VERSION = 0x004,
    REG_DEVICE_ID = 0x008,
    REG_VENDOR_ID = 0x00c,
    REG_DEVICE_FEATURES = 0x010,
    REG_DEVICE_FEATURES_SEL = 0x014,
    REG_DRIVER_FEATURES = 0x020,
    REG_DRIVER_FEATURES_SEL = 0x024,
    REG_QUEUE_SEL = 0x030,
    REG_QUEUE_NUM_MAX = 0x034,
    REG_QUEUE_NUM = 0x038,
    REG_QUEUE_READY = 0x044,
    REG_QUEUE_NOTIFY = SQ_VIRTIO_MMIO_NOTIFY,
    REG_INTERRUPT_STATUS = 0x060,
    REG_INTERRUPT_ACK = 0x064,
    REG_STATUS = 0x070,
    REG_QUEUE_DESC_LOW = 0x080,
    REG_QUEUE_DESC_HIGH = 0x084,
    REG_QUEUE_DRIVER_LOW = 0x090,
    REG_QUEUE_DRIVER_HIGH = 0x094,
    REG_QUEUE_DEVICE_LOW = 0x0a0,
    REG_QUEUE_DEVICE_HIGH = 0x0a4,
    REG_SHM_LEN_LOW = 0x0b0,
    REG_SHM_LEN_HIGH = 0x0b4,
    REG_SHM_BASE_LOW = 0x0b8,
    REG_SHM_BASE_HIGH = 0x0bc,
    REG_CONFIG_GENERATION = 0x0fc,
    REG_CONFIG = 0x100,
};

#define MAGIC 0x74726976u  /* "virt" */
#define VENDOR 0x42495153u /* "SQIB" */

struct sq_virtio_mmio {
    struct sq_virtio_device *dev;
    struct sq_irq irq;
    _Atomic uint32_t interrupt_status;

    /* Under dev->mutex. */
    uint32_t device_features_sel, driver_features_sel, queue_sel;
    uint64_t driver_features;

    struct sq_wake notify; /* event thread */
    bool has_notify;
};

/* Any thread. The edge comes even when the bit was set already: the driver
 * may have read the status before the bit and acknowledge it after. */
static void raise_irq(void *transport, enum sq_virtio_cause cause)
{
    struct sq_virtio_mmio *m = transport;

    atomic_fetch_or(&m->interrupt_status, (uint32_t)cause);
    sq_irq_pulse(&m->irq);
}

static void guest_error(struct sq_virtio_mmio *m)
{
    atomic_fetch_add_explicit(&m->dev->counters.guest_errors, 1,
                              memory_order_relaxed);
}

static struct sq_queue *selected(struct sq_virtio_mmio *m)
{
    return m->queue_sel < m->dev->ops->queue_count
               ? &m->dev->queue[m->queue_sel]
               : NULL;
}

static uint32_t half(uint64_t v, uint32_t sel)
{
    return sel == 0 ? (uint32_t)v : sel == 1 ? (uint32_t)(v >> 32) : 0;
}

/* Mutex held. */
static uint32_t read_reg(struct sq_virtio_mmio *m, uint64_t off)
{
    struct sq_virtio_device *dev = m->dev;
    struct sq_queue *q = selected(m);

    switch (off) {
    case REG_MAGIC: return MAGIC;
    case REG_VERSION: return 2;
    case REG_DEVICE_ID: return dev->ops->id;
    case REG_VENDOR_ID: return VENDOR;
    case REG_DEVICE_FEATURES:
        return half(dev->features_offered, m->device_features_sel);
    case REG_QUEUE_NUM_MAX: return q ? q->size_max : 0;
    case REG_QUEUE_READY: return q && q->ready;
    case REG_CONFIG_GENERATION: return atomic_load(&dev->config_generation);
    /* No shared memory regions: all ones for any of them (4.2.2). */
    case REG_SHM_LEN_LOW:
    case REG_SHM_LEN_HIGH:
    case REG_SHM_BASE_LOW:
    case REG_SHM_BASE_HIGH: return UINT32_MAX;
    default: return 0; /* write-only, reserved, or not offered */
    }
}

static void config_read(struct sq_virtio_mmio *m, uint64_t off,
                        uint8_t *data, unsigned len)
{
    struct sq_virtio_device *dev = m->dev;

    memset(data, 0, len);
    pthread_mutex_lock(&dev->mutex);
    for (unsigned i = 0; i < len && off + i < dev->config_len; i++)
        data[i] = dev->config[off + i];
    pthread_mutex_unlock(&dev->mutex);
}

static void bus_read(void *ctx, uint64_t off, uint8_t *data, unsigned len)
{
    struct sq_virtio_mmio *m = ctx;
    uint32_t v;

    if (off >= REG_CONFIG) {
        config_read(m, off - REG_CONFIG, data, len);
        return;
    }
    /* Registers are 32 bits wide, and only that (4.2.2.2). */
    if (len != 4 || off % 4) {
        memset(data, 0, len);
        return;
    }
    /* The two registers of every interrupt do not wait for the device. */
    if (off == REG_INTERRUPT_STATUS) {
        v = atomic_load(&m->interrupt_status);
    } else if (off == REG_STATUS) {
        v = atomic_load(&m->dev->status);
    } else {
        pthread_mutex_lock(&m->dev->mutex);
        v = read_reg(m, off);
        pthread_mutex_unlock(&m->dev->mutex);
    }
    sq_st32(data, v);
}

static void reset(struct sq_virtio_mmio *m)
{
    sq_virtio_reset(m->dev);
    m->device_features_sel = m->driver_features_sel = m->queue_sel = 0;
    m->driver_features = 0;
    atomic_store(&m->interrupt_status, 0);
}

/* 2.1.1, 3.1.1: bits are added in order; only a reset takes them away. */
static void write_status(struct sq_virtio_mmio *m, uint32_t v)
{
    struct sq_virtio_device *dev = m->dev;
    uint32_t old = atomic_load(&dev->status), add = v & ~old;

    if (v == 0) {
        reset(m);
        return;
    }
    if (old & ~v & ~(uint32_t)SQ_VIRTIO_NEEDS_RESET)
        guest_error(m);
    old |= add & (SQ_VIRTIO_ACKNOWLEDGE | SQ_VIRTIO_DRIVER |
                  SQ_VIRTIO_FAILED);
    if (add & SQ_VIRTIO_FEATURES_OK) {
        if ((old & SQ_VIRTIO_DRIVER) &&
            sq_virtio_features_ok(dev, m->driver_features))
            old |= SQ_VIRTIO_FEATURES_OK;
        else
            guest_error(m);
    }
    if ((add & SQ_VIRTIO_DRIVER_OK) &&
        (old & (SQ_VIRTIO_FEATURES_OK | SQ_VIRTIO_FAILED)) ==
            SQ_VIRTIO_FEATURES_OK) {
        atomic_store(&dev->status, old | SQ_VIRTIO_DRIVER_OK);
        sq_virtio_post(dev, SQ_VIRTIO_PENDING_ACTIVATE);
        return;
    }
    atomic_store(&dev->status, old);
}

static void set_half(uint64_t *v, bool high, uint32_t word)
{
    *v = high ? (*v & UINT32_MAX) | (uint64_t)word << 32
              : (*v & ~(uint64_t)UINT32_MAX) | word;
}

/* Registers of the selected queue. They stand still while it is ready, and
 * from DRIVER_OK on only stopping it is possible. */
static void write_queue(struct sq_virtio_mmio *m, uint64_t off, uint32_t v)
{
    struct sq_queue *q = selected(m);
    uint32_t phase = atomic_load(&m->dev->status) &
                     (SQ_VIRTIO_FEATURES_OK | SQ_VIRTIO_DRIVER_OK |
                      SQ_VIRTIO_NEEDS_RESET);

    if (q && off == REG_QUEUE_READY && v == 0) {
        q->ready = false;
        return;
    }
    if (!q || q->ready || phase != SQ_VIRTIO_FEATURES_OK) {
        guest_error(m);
        return;
    }
    switch (off) {
    case REG_QUEUE_NUM:
        /* 0 for what does not fit: refused when the queue is started. */
        q->size = v <= q->size_max ? (uint16_t)v : 0;
        break;
    case REG_QUEUE_READY:
        if (v == 1)
            sq_virtio_queue_start(m->dev, m->queue_sel);
        break;
    case REG_QUEUE_DESC_LOW:
    case REG_QUEUE_DESC_HIGH: set_half(&q->desc_gpa, off & 4, v); break;
    case REG_QUEUE_DRIVER_LOW:
    case REG_QUEUE_DRIVER_HIGH: set_half(&q->avail_gpa, off & 4, v); break;
    case REG_QUEUE_DEVICE_LOW:
    case REG_QUEUE_DEVICE_HIGH: set_half(&q->used_gpa, off & 4, v); break;
    }
}

/* Mutex held. */
static void write_reg(struct sq_virtio_mmio *m, uint64_t off, uint32_t v)
{
    switch (off) {
    case REG_DEVICE_FEATURES_SEL: m->device_features_sel = v; break;
    case REG_DRIVER_FEATURES_SEL: m->driver_features_sel = v; break;
    case REG_DRIVER_FEATURES:
        if ((atomic_load(&m->dev->status) &
             (SQ_VIRTIO_DRIVER | SQ_VIRTIO_FEATURES_OK)) != SQ_VIRTIO_DRIVER)
            guest_error(m);
        else if (m->driver_features_sel <= 1)
            set_half(&m->driver_features, m->driver_features_sel, v);
        else if (v)
            guest_error(m); /* a feature beyond bit 63 */
        break;
    case REG_QUEUE_SEL: m->queue_sel = v; break;
    case REG_STATUS: write_status(m, v); break;
    case REG_QUEUE_NUM:
    case REG_QUEUE_READY:
    case REG_QUEUE_DESC_LOW:
    case REG_QUEUE_DESC_HIGH:
    case REG_QUEUE_DRIVER_LOW:
    case REG_QUEUE_DRIVER_HIGH:
    case REG_QUEUE_DEVICE_LOW:
    case REG_QUEUE_DEVICE_HIGH: write_queue(m, off, v); break;
    default: break; /* read-only, reserved, or not offered */
    }
}

static void config_write(struct sq_virtio_mmio *m, uint64_t off,
                         const uint8_t *data, unsigned len)
{
    struct sq_virtio_device *dev = m->dev;

    if (!dev->ops->config_written || off >= dev->config_len ||
        len > dev->config_len - off) {
        guest_error(m);
        return;
    }
    pthread_mutex_lock(&dev->mutex);
    memcpy(&dev->config[off], data, len);
    dev->ops->config_written(dev, (unsigned)off, len);
    pthread_mutex_unlock(&dev->mutex);
}

static void bus_write(void *ctx, uint64_t off, const uint8_t *data,
                      unsigned len)
{
    struct sq_virtio_mmio *m = ctx;
    struct sq_virtio_device *dev = m->dev;
    uint32_t v;

    if (off >= REG_CONFIG) {
        config_write(m, off - REG_CONFIG, data, len);
        return;
    }
    if (len != 4 || off % 4) {
        guest_error(m);
        return;
    }
    v = sq_ld32(data);
    /* The hot ones take no lock. */
    if (off == REG_QUEUE_NOTIFY) {
        if (v >= dev->ops->queue_count ||
            !(atomic_load(&dev->status) & SQ_VIRTIO_DRIVER_OK)) {
            guest_error(m);
            return;
        }
        atomic_fetch_add_explicit(&dev->counters.notifications, 1,
                                  memory_order_relaxed);
        sq_virtio_post(dev, SQ_VIRTIO_PENDING_QUEUE(v));
    } else if (off == REG_INTERRUPT_ACK) {
        atomic_fetch_and(&m->interrupt_status, ~v);
    } else {
        pthread_mutex_lock(&dev->mutex);
        write_reg(m, off, v);
        pthread_mutex_unlock(&dev->mutex);
    }
}

const struct sq_bus_ops sq_virtio_mmio_bus_ops = {
    .read = bus_read,
    .write = bus_write,
};

int sq_virtio_mmio_new(const struct sq_virtio_mmio_config *config,
                       struct sq_virtio_mmio **out, struct squib_error *err)
{
    struct sq_virtio_mmio *m = calloc(1, sizeof(*m));

    if (!m)
        return sq_err_set(err, SQUIB_E_NOMEM, "device %s: out of memory",
                          config->dev->ops->name);
    m->dev = config->dev;
    m->irq = config->irq;
    m->dev->mem = config->mem;
    m->dev->poller = config->poller;
    m->dev->interrupt = raise_irq;
    m->dev->transport = m;
    *out = m;
    return 0;
}

void sq_virtio_mmio_free(struct sq_virtio_mmio *mmio)
{
    if (!mmio)
        return;
    if (mmio->has_notify) {
        sq_poller_del(mmio->dev->poller, sq_wake_fd(&mmio->notify));
        sq_wake_destroy(&mmio->notify);
    }
    sq_poller_unpost(mmio->dev->poller, &mmio->dev->work);
    mmio->dev->ops->free(mmio->dev);
    free(mmio);
}

/* The descriptor does not say which queue: look at all of them. */
static void notified(void *ctx, int fd, unsigned events)
{
    struct sq_virtio_mmio *m = ctx;
    struct sq_virtio_device *dev = m->dev;

    (void)fd;
    (void)events;
    sq_wake_drain(&m->notify);
    if (!(atomic_load(&dev->status) & SQ_VIRTIO_DRIVER_OK))
        return;
    atomic_fetch_add_explicit(&dev->counters.notifications, 1,
                              memory_order_relaxed);
    atomic_fetch_or(&dev->pending, (1u << dev->ops->queue_count) - 1);
    dev->work.fn(dev->work.ctx);
}

int sq_virtio_mmio_notify_fd(struct sq_virtio_mmio *mmio,
                             struct squib_error *err)
{
    int fd, rc = sq_wake_init(&mmio->notify, err);

    if (rc)
        return rc;
    fd = sq_wake_fd(&mmio->notify);
    rc = sq_poller_add(mmio->dev->poller, fd, SQ_POLL_IN, notified, mmio,
                       err);
    if (rc) {
        sq_wake_destroy(&mmio->notify);
        return rc;
    }
    mmio->has_notify = true;
    return fd;
}

struct sq_virtio_device *
sq_virtio_mmio_device(const struct sq_virtio_mmio *mmio)
{
    return mmio->dev;
}

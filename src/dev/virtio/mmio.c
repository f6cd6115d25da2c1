/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/virtio/mmio.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

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
    struct sq_transport t;
    struct sq_irq irq;
};

static struct sq_virtio_mmio *mmio_of(struct sq_transport *t)
{
    return SQ_CONTAINER_OF(t, struct sq_virtio_mmio, t);
}

/* The edge comes even when the bit was set already: the driver may have
 * read the status before the bit and acknowledge it after. */
static void raise_irq(struct sq_transport *t, enum sq_virtio_cause cause,
                      unsigned q)
{
    (void)q; /* one line for all of them */
    atomic_fetch_or(&t->interrupt_status, (uint32_t)cause);
    sq_irq_pulse(&mmio_of(t)->irq);
}

static void free_mmio(struct sq_transport *t)
{
    free(mmio_of(t));
}

static const struct sq_transport_ops transport_ops = {
    .interrupt = raise_irq,
    .free = free_mmio,
};

/* Mutex held. */
static uint32_t read_reg(struct sq_virtio_mmio *m, uint64_t off)
{
    struct sq_virtio_device *dev = m->t.dev;
    struct sq_queue *q = sq_transport_queue(&m->t);

    switch (off) {
    case REG_MAGIC: return MAGIC;
    case REG_VERSION: return 2;
    case REG_DEVICE_ID: return dev->ops->id;
    case REG_VENDOR_ID: return VENDOR;
    case REG_DEVICE_FEATURES: return sq_transport_features(&m->t);
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

static void bus_read(void *ctx, uint64_t off, uint8_t *data, unsigned len)
{
    struct sq_virtio_mmio *m = ctx;
    struct sq_virtio_device *dev = m->t.dev;
    uint32_t v;

    if (off >= REG_CONFIG) {
        sq_transport_config_read(&m->t, off - REG_CONFIG, data, len);
        return;
    }
    /* Registers are 32 bits wide, and only that (4.2.2.2). */
    if (len != 4 || off % 4) {
        memset(data, 0, len);
        return;
    }
    /* The two registers of every interrupt do not wait for the device. */
    if (off == REG_INTERRUPT_STATUS) {
        v = atomic_load(&m->t.interrupt_status);
    } else if (off == REG_STATUS) {
        v = atomic_load(&dev->status);
    } else {
        pthread_mutex_lock(&dev->mutex);
        v = read_reg(m, off);
        pthread_mutex_unlock(&dev->mutex);
    }
    sq_st32(data, v);
}

/* Registers of the selected queue. From DRIVER_OK on only stopping it is
 * possible. */
static void write_queue(struct sq_virtio_mmio *m, uint64_t off, uint32_t v)
{
    struct sq_queue *q = sq_transport_queue(&m->t);
    bool high = off & 4;

    if (q && off == REG_QUEUE_READY && v == 0) {
        q->ready = false;
        return;
    }
    q = sq_transport_idle_queue(&m->t);
    if (!q)
        return;
    switch (off) {
    case REG_QUEUE_NUM:
        /* 0 for what does not fit: refused when the queue is started. */
        q->size = v <= q->size_max ? (uint16_t)v : 0;
        break;
    case REG_QUEUE_READY:
        if (v == 1)
            sq_virtio_queue_start(m->t.dev, m->t.queue_sel);
        break;
    case REG_QUEUE_DESC_LOW:
    case REG_QUEUE_DESC_HIGH:
        sq_transport_set_half(&q->desc_gpa, high, v);
        break;
    case REG_QUEUE_DRIVER_LOW:
    case REG_QUEUE_DRIVER_HIGH:
        sq_transport_set_half(&q->avail_gpa, high, v);
        break;
    case REG_QUEUE_DEVICE_LOW:
    case REG_QUEUE_DEVICE_HIGH:
        sq_transport_set_half(&q->used_gpa, high, v);
        break;
    }
}

/* Mutex held. */
static void write_reg(struct sq_virtio_mmio *m, uint64_t off, uint32_t v)
{
    switch (off) {
    case REG_DEVICE_FEATURES_SEL: m->t.device_features_sel = v; break;
    case REG_DRIVER_FEATURES_SEL: m->t.driver_features_sel = v; break;
    case REG_DRIVER_FEATURES: sq_transport_accept(&m->t, v); break;
    case REG_QUEUE_SEL: m->t.queue_sel = v; break;
    case REG_STATUS: sq_transport_write_status(&m->t, v); break;
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

static void bus_write(void *ctx, uint64_t off, const uint8_t *data,
                      unsigned len)
{
    struct sq_virtio_mmio *m = ctx;
    struct sq_virtio_device *dev = m->t.dev;
    uint32_t v;

    if (off >= REG_CONFIG) {
        sq_transport_config_write(&m->t, off - REG_CONFIG, data, len);
        return;
    }
    if (len != 4 || off % 4) {
        sq_transport_guest_error(&m->t);
        return;
    }
    v = sq_ld32(data);
    /* The hot ones take no lock. */
    if (off == REG_QUEUE_NOTIFY) {
        sq_transport_notified(&m->t, v);
    } else if (off == REG_INTERRUPT_ACK) {
        atomic_fetch_and(&m->t.interrupt_status, ~v);
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
    m->irq = config->irq;
    sq_transport_init(&m->t, &transport_ops, config->dev, config->mem,
                      config->poller);
    *out = m;
    return 0;
}

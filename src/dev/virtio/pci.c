/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The region is cut into parts of a page each; a table says which part an
 * access meets and who answers it. Registers of the common structure are
 * met only by accesses of their own width (4.1.3.1); a 64-bit one may be
 * accessed as two words, and an access of 8 bytes is taken for that.
 *
 * MSI-X decides what a vector does, the registers here only which one a
 * queue has. Interrupts come from the event thread and vectors are written
 * by vCPUs, both under the device's mutex or, for interrupts, at any time:
 * hence atomics.
 *
 * The PCI configuration access capability (4.1.4.9) is a window of four
 * bytes through which a guest that has mapped nothing reaches the region.
 * It is the one place where reading configuration space has effects.
 */
#include "dev/virtio/pci.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "dev/pci/msix.h"

#define VENDOR 0x1af4u
#define DEVICE_BASE 0x1040u /* and the virtio device's number (4.1.2) */
#define NO_VECTOR 0xffffu
#define PART_LEN 0x1000u
#define COMMON_LEN 56u
#define MSIX_LEN 12u
#define CAP_LEN 16u

/* Structures (4.1.4). */
enum { CFG_COMMON = 1, CFG_NOTIFY, CFG_ISR, CFG_DEVICE, CFG_PCI };

/* Registers of the common structure (4.1.4.3). */
enum common {
    COMMON_DEVICE_FEATURES_SEL = 0x00,
    COMMON_DEVICE_FEATURES = 0x04,
    COMMON_DRIVER_FEATURES_SEL = 0x08,
    COMMON_DRIVER_FEATURES = 0x0c,
    COMMON_CONFIG_VECTOR = 0x10,
    COMMON_QUEUE_COUNT = 0x12,
    COMMON_STATUS = 0x14,
    COMMON_GENERATION = 0x15,
    COMMON_QUEUE_SEL = 0x16,
    COMMON_QUEUE_SIZE = 0x18,
    COMMON_QUEUE_VECTOR = 0x1a,
    COMMON_QUEUE_ENABLE = 0x1c,
    COMMON_QUEUE_NOTIFY_OFF = 0x1e,
    COMMON_QUEUE_DESC = 0x20,
    COMMON_QUEUE_DRIVER = 0x28,
    COMMON_QUEUE_DEVICE = 0x30,
};

struct sq_virtio_pci {
    struct sq_transport t;
    struct sq_pci_function fn;
    struct sq_msix msix;
    _Atomic uint32_t config_vector, queue_vector[SQ_VIRTIO_QUEUES_MAX];
    unsigned msix_cap, access_cap; /* where in configuration space */
    void (*doorbell)(void *ctx, uint64_t gpa, int fd, bool on);
    void *doorbell_ctx;
};

static struct sq_virtio_pci *of(struct sq_transport *t)
{
    return SQ_CONTAINER_OF(t, struct sq_virtio_pci, t);
}

static struct sq_virtio_pci *of_function(struct sq_pci_function *fn)
{
    return SQ_CONTAINER_OF(fn, struct sq_virtio_pci, fn);
}

/* --- as a transport ---------------------------------------------------- */

static void interrupt(struct sq_transport *t, enum sq_virtio_cause cause,
                      unsigned q)
{
    struct sq_virtio_pci *p = of(t);
    uint32_t v = atomic_load(cause == SQ_VIRTIO_CAUSE_QUEUE
                                 ? &p->queue_vector[q]
                                 : &p->config_vector);

    if (!sq_msix_raise(&p->msix, v))
        atomic_fetch_or(&t->interrupt_status, (uint32_t)cause);
}

static void reset(struct sq_transport *t)
{
    struct sq_virtio_pci *p = of(t);

    atomic_store(&p->config_vector, NO_VECTOR);
    for (unsigned q = 0; q < t->dev->ops->queue_count; q++) {
        atomic_store(&p->queue_vector[q], NO_VECTOR);
        t->dev->queue[q].size = t->dev->queue[q].size_max;
    }
}

static void free_pci(struct sq_transport *t)
{
    sq_msix_destroy(&of(t)->msix);
    free(of(t));
}

static const struct sq_transport_ops transport_ops = {
    .interrupt = interrupt,
    .reset = reset,
    .free = free_pci,
};

/* --- the common structure; device mutex held --------------------------- */

/* The width of the register at an offset, 0: there is none. */
static unsigned width_at(unsigned off)
{
    if (off < COMMON_CONFIG_VECTOR ||
        (off >= COMMON_QUEUE_DESC && off < COMMON_LEN))
        return off % 4 ? 0 : 4;
    if (off == COMMON_STATUS || off == COMMON_GENERATION)
        return 1;
    return off % 2 || off >= COMMON_LEN ? 0 : 2;
}

static uint64_t *queue_address(struct sq_queue *q, unsigned off)
{
    switch (off & ~7u) {
    case COMMON_QUEUE_DESC: return &q->desc_gpa;
    case COMMON_QUEUE_DRIVER: return &q->avail_gpa;
    default: return &q->used_gpa;
    }
}

static uint32_t common_read(struct sq_virtio_pci *p, unsigned off)
{
    struct sq_virtio_device *dev = p->t.dev;
    struct sq_queue *q = sq_transport_queue(&p->t);

    switch (off) {
    case COMMON_DEVICE_FEATURES_SEL: return p->t.device_features_sel;
    case COMMON_DEVICE_FEATURES: return sq_transport_features(&p->t);
    case COMMON_DRIVER_FEATURES_SEL: return p->t.driver_features_sel;
    case COMMON_DRIVER_FEATURES:
        return p->t.driver_features_sel > 1
                   ? 0
                   : (uint32_t)(p->t.driver_features >>
                                32 * p->t.driver_features_sel);
    case COMMON_CONFIG_VECTOR: return atomic_load(&p->config_vector);
    case COMMON_QUEUE_COUNT: return dev->ops->queue_count;
    case COMMON_STATUS: return atomic_load(&dev->status);
    case COMMON_GENERATION: return atomic_load(&dev->config_generation);
    case COMMON_QUEUE_SEL: return p->t.queue_sel;
    }
    if (!q)
        return off == COMMON_QUEUE_VECTOR ? NO_VECTOR : 0;
    switch (off) {
    case COMMON_QUEUE_SIZE: return q->size;
    case COMMON_QUEUE_VECTOR:
        return atomic_load(&p->queue_vector[p->t.queue_sel]);
    case COMMON_QUEUE_ENABLE: return q->ready;
    case COMMON_QUEUE_NOTIFY_OFF: return p->t.queue_sel;
    default:
        return (uint32_t)(*queue_address(q, off) >> (off & 4 ? 32 : 0));
    }
}

static uint32_t vector(const struct sq_virtio_pci *p, uint32_t v)
{
    return v < p->msix.count ? v : NO_VECTOR;
}

static void queue_write(struct sq_virtio_pci *p, unsigned off, uint32_t v)
{
    struct sq_queue *q;

    /* A vector may also be taken away from a queue that runs. */
    if (off == COMMON_QUEUE_VECTOR) {
        if (sq_transport_queue(&p->t))
            atomic_store(&p->queue_vector[p->t.queue_sel], vector(p, v));
        return;
    }
    q = sq_transport_idle_queue(&p->t);
    if (!q)
        return;
    switch (off) {
    case COMMON_QUEUE_SIZE:
        /* 0 for what does not fit: refused when the queue is started. */
        q->size = v <= q->size_max ? (uint16_t)v : 0;
        break;
    case COMMON_QUEUE_ENABLE:
        if (v == 1)
            sq_virtio_queue_start(p->t.dev, p->t.queue_sel);
        break;
    default:
        sq_transport_set_half(queue_address(q, off), off & 4, v);
        break;
    }
}

static void common_write(struct sq_virtio_pci *p, unsigned off, uint32_t v)
{
    switch (off) {
    case COMMON_DEVICE_FEATURES_SEL: p->t.device_features_sel = v; break;
    case COMMON_DRIVER_FEATURES_SEL: p->t.driver_features_sel = v; break;
    case COMMON_DRIVER_FEATURES: sq_transport_accept(&p->t, v); break;
    case COMMON_CONFIG_VECTOR:
        atomic_store(&p->config_vector, vector(p, v));
        break;
    case COMMON_STATUS: sq_transport_write_status(&p->t, v); break;
    case COMMON_QUEUE_SEL: p->t.queue_sel = v; break;
    case COMMON_QUEUE_SIZE:
    case COMMON_QUEUE_VECTOR:
    case COMMON_QUEUE_ENABLE: queue_write(p, off, v); break;
    default:
        if (off >= COMMON_QUEUE_DESC)
            queue_write(p, off, v);
        break; /* or read-only */
    }
}

/* --- the parts of the region; `off` is within the part ----------------- */

static void read_common(struct sq_virtio_pci *p, uint64_t off, uint8_t *data,
                        unsigned len)
{
    unsigned at = (unsigned)off, step = len == 8 ? 4 : len;
    uint8_t raw[4];

    memset(data, 0, len);
    if (at >= COMMON_LEN || width_at(at) != step ||
        width_at(at + len - step) != step)
        return;
    pthread_mutex_lock(&p->t.dev->mutex);
    for (unsigned i = 0; i < len; i += step) {
        sq_st32(raw, common_read(p, at + i));
        memcpy(data + i, raw, step);
    }
    pthread_mutex_unlock(&p->t.dev->mutex);
}

static void write_common(struct sq_virtio_pci *p, uint64_t off,
                         const uint8_t *data, unsigned len)
{
    unsigned at = (unsigned)off, step = len == 8 ? 4 : len;
    uint8_t raw[4] = {0};

    if (at >= COMMON_LEN || width_at(at) != step ||
        width_at(at + len - step) != step) {
        sq_transport_guest_error(&p->t);
        return;
    }
    pthread_mutex_lock(&p->t.dev->mutex);
    for (unsigned i = 0; i < len; i += step) {
        memcpy(raw, data + i, step);
        common_write(p, at + i, sq_ld32(raw));
    }
    pthread_mutex_unlock(&p->t.dev->mutex);
}

/* Reading takes what is there (4.1.4.5). */
static void read_isr(struct sq_virtio_pci *p, uint64_t off, uint8_t *data,
                     unsigned len)
{
    memset(data, 0, len);
    if (off == 0)
        data[0] = (uint8_t)atomic_exchange(&p->t.interrupt_status, 0);
}

static void read_device(struct sq_virtio_pci *p, uint64_t off, uint8_t *data,
                        unsigned len)
{
    sq_transport_config_read(&p->t, off, data, len);
}

static void write_device(struct sq_virtio_pci *p, uint64_t off,
                         const uint8_t *data, unsigned len)
{
    sq_transport_config_write(&p->t, off, data, len);
}

/* The address says which queue; what is written there repeats it. */
static void write_notify(struct sq_virtio_pci *p, uint64_t off,
                         const uint8_t *data, unsigned len)
{
    (void)data;
    if ((len != 2 && len != 4) || off % SQ_VIRTIO_PCI_NOTIFY_STEP)
        sq_transport_guest_error(&p->t);
    else
        sq_transport_notified(&p->t,
                              (uint32_t)off / SQ_VIRTIO_PCI_NOTIFY_STEP);
}

static void read_msix(struct sq_virtio_pci *p, uint64_t off, uint8_t *data,
                      unsigned len)
{
    sq_msix_table_read(&p->msix, off, data, len);
}

static void write_msix(struct sq_virtio_pci *p, uint64_t off,
                       const uint8_t *data, unsigned len)
{
    sq_msix_table_write(&p->msix, off, data, len);
}

static void read_pending(struct sq_virtio_pci *p, uint64_t off,
                         uint8_t *data, unsigned len)
{
    sq_msix_pending_read(&p->msix, off, data, len);
}

static const struct part {
    void (*read)(struct sq_virtio_pci *p, uint64_t off, uint8_t *data,
                 unsigned len);
    void (*write)(struct sq_virtio_pci *p, uint64_t off, const uint8_t *data,
                  unsigned len);
} parts[SQ_VIRTIO_PCI_BAR_LEN / PART_LEN] = {
    [SQ_VIRTIO_PCI_COMMON / PART_LEN] = {read_common, write_common},
    [SQ_VIRTIO_PCI_ISR / PART_LEN] = {read_isr, NULL},
    [SQ_VIRTIO_PCI_DEVICE / PART_LEN] = {read_device, write_device},
    [SQ_VIRTIO_PCI_NOTIFY / PART_LEN] = {NULL, write_notify},
    [SQ_VIRTIO_PCI_MSIX / PART_LEN] = {read_msix, write_msix},
    [SQ_VIRTIO_PCI_PENDING / PART_LEN] = {read_pending, NULL},
};

static bool crosses(uint64_t off, unsigned len)
{
    return off % PART_LEN + len > PART_LEN;
}

static void bar_read(struct sq_pci_function *fn, uint64_t off, uint8_t *data,
                     unsigned len)
{
    const struct part *part = &parts[off / PART_LEN];

    if (part->read && !crosses(off, len))
        part->read(of_function(fn), off % PART_LEN, data, len);
    else
        memset(data, 0, len);
}

static void bar_write(struct sq_pci_function *fn, uint64_t off,
                      const uint8_t *data, unsigned len)
{
    struct sq_virtio_pci *p = of_function(fn);
    const struct part *part = &parts[off / PART_LEN];

    if (part->write && !crosses(off, len))
        part->write(p, off % PART_LEN, data, len);
    else
        sq_transport_guest_error(&p->t);
}

/* --- configuration space ----------------------------------------------- */

/* Whether an access meets the access capability's data, and the place in
 * the region that it stands for. */
static bool access_window(struct sq_virtio_pci *p, unsigned off,
                          unsigned len, uint32_t *at, uint32_t *width)
{
    const uint8_t *cap = p->fn.reg + p->access_cap;

    *at = sq_ld32(cap + 8);
    *width = sq_ld32(cap + 12);
    return sq_overlaps(off, len, p->access_cap + CAP_LEN, 4) &&
           cap[4] == 0 && /* the only BAR */
           (*width == 1 || *width == 2 || *width == 4) &&
           *at % *width == 0 && *at < SQ_VIRTIO_PCI_BAR_LEN;
}

static void config_read(struct sq_pci_function *fn, unsigned off,
                        unsigned len)
{
    struct sq_virtio_pci *p = of_function(fn);
    uint32_t at, width;

    if (access_window(p, off, len, &at, &width))
        bar_read(fn, at, fn->reg + p->access_cap + CAP_LEN, width);
}

static void config_written(struct sq_pci_function *fn, unsigned off,
                           unsigned len)
{
    struct sq_virtio_pci *p = of_function(fn);
    uint32_t at, width;

    if (sq_overlaps(off, len, p->msix_cap + 2, 2))
        sq_msix_control(&p->msix, sq_ld16(fn->reg + p->msix_cap + 2));
    if (access_window(p, off, len, &at, &width))
        bar_write(fn, at, fn->reg + p->access_cap + CAP_LEN, width);
}

static void ring_at(struct sq_pci_function *fn, bool on)
{
    struct sq_virtio_pci *p = of_function(fn);

    if (!p->t.has_notify)
        return;
    for (unsigned q = 0; q < p->t.dev->ops->queue_count; q++)
        p->doorbell(p->doorbell_ctx,
                    fn->base + SQ_VIRTIO_PCI_NOTIFY +
                        q * SQ_VIRTIO_PCI_NOTIFY_STEP,
                    sq_wake_fd(&p->t.notify), on);
}

static void leaving(struct sq_pci_function *fn)
{
    ring_at(fn, false);
}

static void arrived(struct sq_pci_function *fn)
{
    ring_at(fn, true);
}

static const struct sq_pci_ops function_ops = {
    .bar_read = bar_read,
    .bar_write = bar_write,
    .config_read = config_read,
    .config_written = config_written,
    .leaving = leaving,
    .arrived = arrived,
};

static unsigned add_structure(struct sq_pci_function *fn, uint8_t type,
                              uint32_t off, uint32_t len, unsigned extra)
{
    unsigned at = sq_pci_add_capability(fn, SQ_PCI_CAP_VENDOR,
                                        CAP_LEN + extra);

    fn->reg[at + 2] = (uint8_t)(CAP_LEN + extra);
    fn->reg[at + 3] = type;
    sq_st32(fn->reg + at + 8, off);
    sq_st32(fn->reg + at + 12, len);
    return at;
}

static void add_capabilities(struct sq_virtio_pci *p)
{
    struct sq_pci_function *fn = &p->fn;
    unsigned at = sq_pci_add_capability(fn, SQ_PCI_CAP_MSIX, MSIX_LEN);

    p->msix_cap = at;
    sq_st16(fn->reg + at + 2, (uint16_t)(p->msix.count - 1));
    sq_st32(fn->reg + at + 4, SQ_VIRTIO_PCI_MSIX);
    sq_st32(fn->reg + at + 8, SQ_VIRTIO_PCI_PENDING);
    sq_st16(fn->writable + at + 2, SQ_MSIX_ENABLE | SQ_MSIX_MASK_ALL);

    add_structure(fn, CFG_COMMON, SQ_VIRTIO_PCI_COMMON, COMMON_LEN, 0);
    at = add_structure(fn, CFG_NOTIFY, SQ_VIRTIO_PCI_NOTIFY,
                       p->t.dev->ops->queue_count *
                           SQ_VIRTIO_PCI_NOTIFY_STEP, 4);
    sq_st32(fn->reg + at + CAP_LEN, SQ_VIRTIO_PCI_NOTIFY_STEP);
    add_structure(fn, CFG_ISR, SQ_VIRTIO_PCI_ISR, 1, 0);
    if (p->t.dev->config_len)
        add_structure(fn, CFG_DEVICE, SQ_VIRTIO_PCI_DEVICE, PART_LEN, 0);
    at = add_structure(fn, CFG_PCI, 0, 0, 4);
    p->access_cap = at;
    fn->writable[at + 4] = 0xff;
    memset(fn->writable + at + 8, 0xff, 12);
}

static uint32_t class_code(uint32_t id)
{
    switch (id) {
    case SQ_VIRTIO_ID_NET: return 0x020000;
    case SQ_VIRTIO_ID_BLK: return 0x018000;
    default: return 0xff0000;
    }
}

/* --- life -------------------------------------------------------------- */

int sq_virtio_pci_new(const struct sq_virtio_pci_config *config,
                      struct sq_virtio_pci **out, struct squib_error *err)
{
    struct sq_virtio_device *dev = config->dev;
    const struct sq_pci_ids ids = {
        .vendor = VENDOR,
        .device = (uint16_t)(DEVICE_BASE + dev->ops->id),
        .subsystem_vendor = VENDOR,
        .subsystem = (uint16_t)(DEVICE_BASE + dev->ops->id),
        .class_code = class_code(dev->ops->id),
        .revision = 1,
    };
    struct sq_virtio_pci *p = calloc(1, sizeof(*p));

    _Static_assert(SQ_VIRTIO_QUEUES_MAX < SQ_MSIX_VECTORS_MAX,
                   "a vector for each queue and one more");
    if (!p)
        return sq_err_set(err, SQUIB_E_NOMEM, "device %s: out of memory",
                          dev->ops->name);
    sq_transport_init(&p->t, &transport_ops, dev, config->mem,
                      config->poller);
    if (config->doorbell) {
        int rc;

        p->doorbell = config->doorbell;
        p->doorbell_ctx = config->doorbell_ctx;
        rc = sq_transport_notify_fd(&p->t, err);
        if (rc < 0) {
            free(p);
            return rc;
        }
    }
    sq_msix_init(&p->msix, dev->ops->queue_count + 1, config->msi);
    sq_pci_function_init(&p->fn, &function_ops, &ids, SQ_VIRTIO_PCI_BAR_LEN);
    add_capabilities(p);
    reset(&p->t);
    *out = p;
    return 0;
}

struct sq_pci_function *sq_virtio_pci_function(struct sq_virtio_pci *pci)
{
    return &pci->fn;
}

struct sq_virtio_pci *sq_virtio_pci_of(const struct sq_virtio_device *dev)
{
    return of(dev->transport);
}

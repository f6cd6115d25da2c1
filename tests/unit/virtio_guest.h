/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest driver for tests of virtio devices: it talks to a real MMIO
 * transport through a real bus and keeps its rings in real guest memory.
 * The event loop runs on the test's own thread, inside guest_pump().
 */
#ifndef SQ_TESTS_VIRTIO_GUEST_H
#define SQ_TESTS_VIRTIO_GUEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/util.h"
#include "dev/bus.h"
#include "dev/virtio/mmio.h"
#include "os/poller.h"

#define GUEST_MMIO 0xd0000000ull
#define GUEST_RAM (16u << 20) /* two adjacent regions of the same size */
#define GUEST_BORDER (8u << 20)
#define GUEST_DATA 0x100000u /* buffers of tests start here */

enum { D_NEXT = 1, D_WRITE = 2, D_INDIRECT = 4 };

enum guest_reg {
    R_MAGIC = 0x00,
    R_VERSION = 0x04,
    R_ID = 0x08,
    R_FEATURES = 0x10,
    R_FEATURES_SEL = 0x14,
    R_DRIVER_FEATURES = 0x20,
    R_DRIVER_FEATURES_SEL = 0x24,
    R_QUEUE_SEL = 0x30,
    R_QUEUE_MAX = 0x34,
    R_QUEUE_NUM = 0x38,
    R_QUEUE_READY = 0x44,
    R_NOTIFY = 0x50,
    R_ISR = 0x60,
    R_ACK = 0x64,
    R_STATUS = 0x70,
    R_DESC = 0x80,
    R_AVAIL = 0x90,
    R_USED = 0xa0,
    R_SHM_LEN = 0xb0,
    R_GENERATION = 0xfc,
    R_CONFIG = 0x100,
};

struct guest_queue {
    uint16_t size, next_avail, seen_used, next_desc;
    uint64_t desc, avail, used; /* gpa */
};

struct guest {
    struct squib_memory *mem;
    struct sq_poller *poller;
    struct sq_bus bus;
    struct sq_virtio_mmio *mmio;
    struct sq_virtio_device *dev;
    unsigned edges; /* of the interrupt line */
    bool event_idx;
    struct guest_queue q[SQ_VIRTIO_QUEUES_MAX];
    struct sq_work stop;
    bool level;
};

static inline void guest_irq(void *ctx, uint32_t gsi, bool level)
{
    struct guest *g = ctx;

    assert_int_equal(gsi, 5);
    g->edges += level && !g->level;
    g->level = level;
}

static inline void guest_stop(void *ctx)
{
    sq_poller_stop(ctx);
}

/* Lets the event thread do all it has to. */
static inline void guest_pump(struct guest *g)
{
    for (int i = 0; i < 3; i++) {
        sq_poller_post(g->poller, &g->stop);
        assert_int_equal(sq_poller_run(g->poller, NULL), 0);
    }
}

static inline void *guest_ptr(struct guest *g, uint64_t gpa, uint64_t len)
{
    void *hva = sq_memory_ptr(g->mem, gpa, len);

    assert_non_null(hva);
    return hva;
}

static inline void guest_write(struct guest *g, uint64_t off, uint32_t v)
{
    uint8_t raw[4];

    sq_st32(raw, v);
    assert_true(sq_bus_write(&g->bus, GUEST_MMIO + off, raw, 4));
}

static inline uint32_t guest_read(struct guest *g, uint64_t off)
{
    uint8_t raw[4];

    assert_true(sq_bus_read(&g->bus, GUEST_MMIO + off, raw, 4));
    return sq_ld32(raw);
}

/* Memory, loop and bus; then guest_plug(). */
static inline void guest_init(struct guest *g)
{
    memset(g, 0, sizeof(*g));
    assert_int_equal(squib_memory_new(&g->mem, NULL), 0);
    assert_int_equal(
        squib_memory_add(g->mem, (struct squib_range){0, GUEST_BORDER},
                         NULL),
        0);
    assert_int_equal(
        squib_memory_add(g->mem,
                         (struct squib_range){GUEST_BORDER,
                                              GUEST_RAM - GUEST_BORDER},
                         NULL),
        0);
    assert_int_equal(sq_poller_new(&g->poller, NULL), 0);
    g->stop = (struct sq_work){.fn = guest_stop, .ctx = g->poller};
}

static inline void guest_plug(struct guest *g, struct sq_virtio_device *dev)
{
    struct sq_virtio_mmio_config config = {
        .dev = dev,
        .mem = g->mem,
        .poller = g->poller,
        .irq = {guest_irq, g, 5},
    };

    g->dev = dev;
    assert_int_equal(sq_virtio_mmio_new(&config, &g->mmio, NULL), 0);
    assert_int_equal(sq_bus_add(&g->bus, "test", GUEST_MMIO,
                                SQ_VIRTIO_MMIO_LEN, &sq_virtio_mmio_bus_ops,
                                g->mmio, NULL),
                     0);
}

static inline void guest_fini(struct guest *g)
{
    sq_transport_free(g->dev ? g->dev->transport : NULL);
    sq_poller_free(g->poller);
    squib_memory_free(g->mem);
}

static inline uint64_t guest_features(struct guest *g)
{
    uint64_t v;

    guest_write(g, R_FEATURES_SEL, 1);
    v = (uint64_t)guest_read(g, R_FEATURES) << 32;
    guest_write(g, R_FEATURES_SEL, 0);
    return v | guest_read(g, R_FEATURES);
}

/* Up to FEATURES_OK; returns the status read back. */
static inline uint32_t guest_negotiate(struct guest *g, uint64_t features)
{
    guest_write(g, R_STATUS, 0);
    guest_write(g, R_STATUS, 1);
    guest_write(g, R_STATUS, 3);
    for (uint32_t i = 0; i < 2; i++) {
        guest_write(g, R_DRIVER_FEATURES_SEL, i);
        guest_write(g, R_DRIVER_FEATURES, (uint32_t)(features >> (32 * i)));
    }
    guest_write(g, R_STATUS, 11);
    g->event_idx = features & SQ_VIRTIO_F_EVENT_IDX;
    return guest_read(g, R_STATUS);
}

static inline void guest_queue_place(struct guest *g, unsigned i,
                                     uint16_t size)
{
    struct guest_queue *q = &g->q[i];
    uint64_t base = 0x10000u * (i + 1);

    *q = (struct guest_queue){
        .size = size,
        .desc = base,
        .avail = base + 0x4000,
        .used = base + 0x8000,
    };
    memset(guest_ptr(g, base, 0x10000), 0, 0x10000);
}

/* Writes the registers of a queue and starts it. */
static inline void guest_queue_start(struct guest *g, unsigned i)
{
    const struct guest_queue *q = &g->q[i];

    guest_write(g, R_QUEUE_SEL, i);
    guest_write(g, R_QUEUE_NUM, q->size);
    guest_write(g, R_DESC, (uint32_t)q->desc);
    guest_write(g, R_DESC + 4, (uint32_t)(q->desc >> 32));
    guest_write(g, R_AVAIL, (uint32_t)q->avail);
    guest_write(g, R_AVAIL + 4, (uint32_t)(q->avail >> 32));
    guest_write(g, R_USED, (uint32_t)q->used);
    guest_write(g, R_USED + 4, (uint32_t)(q->used >> 32));
    guest_write(g, R_QUEUE_READY, 1);
}

/* A whole driver start: all queues of `size` entries, then DRIVER_OK. */
static inline void guest_start(struct guest *g, uint64_t features,
                               uint16_t size)
{
    assert_int_equal(guest_negotiate(g, features), 11);
    for (unsigned i = 0; i < g->dev->ops->queue_count; i++) {
        guest_queue_place(g, i, size);
        guest_queue_start(g, i);
        assert_int_equal(guest_read(g, R_QUEUE_READY), 1);
    }
    guest_write(g, R_STATUS, 15);
    assert_int_equal(guest_read(g, R_STATUS), 15);
    guest_pump(g);
}

static inline void guest_put_desc(struct guest *g, uint64_t table,
                                  unsigned i, uint64_t gpa, uint32_t len,
                                  uint16_t flags, uint16_t next)
{
    uint8_t *d = guest_ptr(g, table + 16u * i, 16);

    sq_st64(d, gpa);
    sq_st32(d + 8, len);
    sq_st16(d + 12, flags);
    sq_st16(d + 14, next);
}

static inline void guest_desc(struct guest *g, unsigned q, unsigned i,
                              uint64_t gpa, uint32_t len, uint16_t flags,
                              uint16_t next)
{
    guest_put_desc(g, g->q[q].desc, i, gpa, len, flags, next);
}

/* Makes a chain available without telling the device. */
static inline void guest_offer(struct guest *g, unsigned qi, uint16_t head)
{
    struct guest_queue *q = &g->q[qi];
    uint8_t *avail = guest_ptr(g, q->avail, 6 + 2u * q->size);

    sq_st16(avail + 4 + 2 * (q->next_avail % q->size), head);
    q->next_avail++;
    __atomic_store_n((uint16_t *)(void *)(avail + 2), q->next_avail,
                     __ATOMIC_RELEASE);
}

static inline void guest_kick(struct guest *g, unsigned q)
{
    guest_write(g, R_NOTIFY, q);
}

struct guest_buf {
    uint64_t gpa;
    uint32_t len;
    bool write;
};

/* Offers a chain of n buffers; returns its head. Descriptors are taken in
 * turn: no more than `size` may be under way. */
static inline uint16_t guest_add(struct guest *g, unsigned qi,
                                 const struct guest_buf *buf, unsigned n)
{
    struct guest_queue *q = &g->q[qi];
    uint16_t head = q->next_desc % q->size;

    for (unsigned i = 0; i < n; i++) {
        uint16_t at = (uint16_t)(q->next_desc++ % q->size);

        guest_desc(g, qi, at, buf[i].gpa, buf[i].len,
                   (uint16_t)((buf[i].write ? D_WRITE : 0) |
                              (i + 1 < n ? D_NEXT : 0)),
                   (uint16_t)((at + 1) % q->size));
    }
    guest_offer(g, qi, head);
    return head;
}

static inline uint16_t guest_used_idx(struct guest *g, unsigned q)
{
    const uint8_t *used = guest_ptr(g, g->q[q].used, 4);

    return __atomic_load_n((const uint16_t *)(const void *)(used + 2),
                           __ATOMIC_ACQUIRE);
}

/* Takes the next used element, if there is one. */
static inline bool guest_used(struct guest *g, unsigned qi, uint32_t *id,
                              uint32_t *len)
{
    struct guest_queue *q = &g->q[qi];
    const uint8_t *used = guest_ptr(g, q->used, 6 + 8u * q->size);

    if (guest_used_idx(g, qi) == q->seen_used)
        return false;
    *id = sq_ld32(used + 4 + 8 * (q->seen_used % q->size));
    *len = sq_ld32(used + 8 + 8 * (q->seen_used % q->size));
    q->seen_used++;
    return true;
}

static inline bool guest_needs_reset(struct guest *g)
{
    return guest_read(g, R_STATUS) & SQ_VIRTIO_NEEDS_RESET;
}

#endif

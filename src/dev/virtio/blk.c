/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each request of the driver takes a slot, becomes one disk request (two
 * for a write-through write) and gives the slot back when the disk is done,
 * at once or later. Slots that were never needed never touch memory.
 *
 * A reset waits for the disk, so that nothing of the life before is written
 * to the disk or to guest memory when the next begins. Those requests carry
 * an old epoch and end without a word to the driver.
 */
#include "dev/virtio/blk.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "os/clock.h"

#define QUEUE 0u
#define QUEUE_SIZE 256u
#define BATCH 128u /* requests before others have their turn */
#define SEG_MAX (QUEUE_SIZE - 2)
#define DISCARD_SECTORS_MAX 0x400000u /* 2 GiB */
#define DISCARD_ALIGNMENT 8u          /* sectors; a file system block */

/* 5.2.3, 5.2.4, 5.2.6 */
#define F_SEG_MAX (1ull << 2)
#define F_RO (1ull << 5)
#define F_BLK_SIZE (1ull << 6)
#define F_FLUSH (1ull << 9)
#define F_DISCARD (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

enum config_off {
    CONFIG_CAPACITY = 0,
    CONFIG_SEG_MAX = 12,
    CONFIG_BLK_SIZE = 20,
    CONFIG_MAX_DISCARD_SECTORS = 36,
    CONFIG_MAX_DISCARD_SEG = 40,
    CONFIG_DISCARD_ALIGNMENT = 44,
    CONFIG_MAX_ZEROES_SECTORS = 48,
    CONFIG_MAX_ZEROES_SEG = 52,
    CONFIG_ZEROES_MAY_UNMAP = 56,
    CONFIG_LEN = 60,
};

enum request_type {
    T_IN = 0,
    T_OUT = 1,
    T_FLUSH = 4,
    T_GET_ID = 8,
    T_DISCARD = 11,
    T_WRITE_ZEROES = 13,
};

enum request_status { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

#define HEADER_LEN 16u
#define SEGMENT_LEN 16u /* of discard and write zeroes */
#define SEGMENT_F_UNMAP 1u

struct blk;

struct request {
    struct sq_disk_request disk;
    struct blk *blk;
    uint32_t type;
    uint32_t epoch;
    uint32_t data_written; /* into guest memory, once it went well */
    uint64_t start_ns;
    struct sq_chain chain;
    uint8_t header[HEADER_LEN]; /* read once: the driver may change it */
    size_t header_len;
    struct iovec iov[SQ_CHAIN_PIECES_MAX];
};

struct blk {
    struct sq_virtio_device dev;
    struct sq_disk *disk;
    enum sq_virtio_blk_cache cache;
    char id[SQ_VIRTIO_BLK_ID_LEN];
    struct sq_virtio_blk_counters counters;
    struct sq_throttle throttle;

    uint32_t epoch;
    bool processing; /* the mutex is held, whoever calls disk_done() */
    bool stalled;    /* chains wait for a slot */
    bool closing;
    uint16_t free_count;
    uint16_t free_slot[QUEUE_SIZE]; /* stack: used slots stay warm */
    struct request slot[QUEUE_SIZE];
};

static struct blk *blk_of(const struct sq_virtio_device *dev)
{
    return SQ_CONTAINER_OF(dev, struct blk, dev);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void slot_release(struct request *r)
{
    struct blk *blk = r->blk;

    blk->free_slot[blk->free_count++] = (uint16_t)(r - blk->slot);
}

/* Answers the driver: status is the last writable byte (5.2.6). */
static void finish(struct request *r, enum request_status status)
{
    struct blk *blk = r->blk;
    uint8_t byte = (uint8_t)status;
    uint64_t at = r->chain.writable_len - 1;
    uint32_t written = 0;

    sq_chain_write(&r->chain, blk->dev.mem, at, &byte, 1);
    /* The used length is what is surely written from the start on: all of
     * it, or nothing where a failure left the data half done. */
    if (status == S_OK && r->data_written)
        sq_chain_wrote(&r->chain, blk->dev.mem, 0, r->data_written);
    if (at == (status == S_OK ? r->data_written : 0))
        written = (uint32_t)at + 1;
    else if (status == S_OK)
        written = r->data_written;
    sq_virtio_push(&blk->dev, QUEUE, &r->chain, written);
    slot_release(r);
}

static void latency(struct sq_latency *l, const struct request *r)
{
    sq_latency_add(l, (sq_now_ns() - r->start_ns) / 1000);
}

static void finish_disk(struct request *r, int error)
{
    struct sq_virtio_blk_counters *c = &r->blk->counters;
    struct blk *blk = r->blk;

    if (error) {
        count(&c->failed, 1);
        /* What was read before the error is in guest memory. */
        if (r->type == T_IN)
            sq_chain_wrote(&r->chain, blk->dev.mem, 0, r->disk.len);
        finish(r, S_IOERR);
        return;
    }
    switch (r->type) {
    case T_IN:
        count(&c->reads, 1);
        count(&c->read_bytes, r->disk.len);
        latency(&c->read_latency, r);
        break;
    case T_OUT:
        if (r->disk.op == SQ_DISK_WRITE) {
            count(&c->writes, 1);
            count(&c->written_bytes, r->disk.len);
            latency(&c->write_latency, r);
            /* A driver without flushes counts on write-through (5.2.6.2) */
            if (blk->cache == SQ_VIRTIO_BLK_WRITEBACK &&
                !sq_virtio_acked(&blk->dev, F_FLUSH)) {
                r->disk.op = SQ_DISK_FLUSH;
                sq_disk_submit(blk->disk, &r->disk);
                return;
            }
        }
        break;
    case T_FLUSH: count(&c->flushes, 1); break;
    default: count(&c->discards, 1); break;
    }
    finish(r, S_OK);
}

/* Mutex held. A request of a driver's life before ends here. */
static void settle(struct request *r, int error)
{
    if (r->epoch == r->blk->epoch)
        finish_disk(r, error);
    else
        slot_release(r);
}

/* After completions, mutex held. */
static void settled(struct blk *blk)
{
    sq_disk_kick(blk->disk);
    sq_virtio_signal(&blk->dev, QUEUE);
    if (blk->stalled) {
        blk->stalled = false;
        sq_virtio_again(&blk->dev, QUEUE);
    }
}

static void disk_done(struct sq_disk_request *disk, int error)
{
    struct request *r = SQ_CONTAINER_OF(disk, struct request, disk);
    struct blk *blk = r->blk;

    if (blk->closing)
        return;
    if (blk->processing) {
        settle(r, error);
        return;
    }
    if (!sq_virtio_enter(&blk->dev)) {
        slot_release(r);
        return;
    }
    blk->processing = true; /* a second step may end at once */
    settle(r, error);
    blk->processing = false;
    settled(blk);
    sq_virtio_leave(&blk->dev);
}

/* The disk is about to complete a number of requests, or has. If the device
 * was just reset they are all old ones, which disk_done() sees. */
static void disk_batch(void *ctx, bool begin)
{
    struct blk *blk = ctx;

    if (begin) {
        blk->processing = sq_virtio_enter(&blk->dev);
        return;
    }
    if (!blk->processing)
        return;
    blk->processing = false;
    settled(blk);
    sq_virtio_leave(&blk->dev);
}

/* Waits for all that was submitted; mutex held. */
static void drain(struct blk *blk)
{
    blk->processing = true;
    sq_disk_drain(blk->disk);
    blk->processing = false;
}

static void refuse(struct request *r, enum request_status status)
{
    count(&r->blk->counters.refused, 1);
    finish(r, status);
}

static bool in_bounds(const struct blk *blk, uint64_t sector, uint64_t len)
{
    uint64_t capacity = sq_disk_len(blk->disk);

    return sector <= capacity / SQ_VIRTIO_BLK_SECTOR &&
           len <= capacity - sector * SQ_VIRTIO_BLK_SECTOR;
}

static void start_transfer(struct request *r, uint64_t sector)
{
    struct blk *blk = r->blk;
    bool in = r->type == T_IN;
    uint64_t off = in ? 0 : HEADER_LEN;
    uint64_t len = in ? r->chain.writable_len - 1
                      : r->chain.readable_len - HEADER_LEN;

    if (len % SQ_VIRTIO_BLK_SECTOR || len > UINT32_MAX - 1 ||
        !in_bounds(blk, sector, len) || (!in && blk->disk->read_only)) {
        refuse(r, S_IOERR);
        return;
    }
    r->data_written = in ? (uint32_t)len : 0;
    r->disk.op = in ? SQ_DISK_READ : SQ_DISK_WRITE;
    r->disk.off = sector * SQ_VIRTIO_BLK_SECTOR;
    r->disk.len = len;
    r->disk.iov = r->iov;
    r->disk.iov_count = sq_chain_slice(&r->chain, in, off, len, r->iov);
    sq_disk_submit(blk->disk, &r->disk);
}

/* DISCARD and WRITE_ZEROES, of one segment as the configuration says. */
static void start_range(struct request *r)
{
    struct blk *blk = r->blk;
    uint8_t segment[SEGMENT_LEN];
    uint64_t sector;
    uint32_t sectors, flags;
    bool zeroes = r->type == T_WRITE_ZEROES;

    if (!sq_virtio_acked(&blk->dev, zeroes ? F_WRITE_ZEROES : F_DISCARD)) {
        refuse(r, S_UNSUPP);
        return;
    }
    if (r->chain.readable_len != HEADER_LEN + SEGMENT_LEN) {
        refuse(r, S_IOERR);
        return;
    }
    sq_chain_read(&r->chain, HEADER_LEN, segment, sizeof(segment));
    sector = sq_ld64(segment);
    sectors = sq_ld32(segment + 8);
    flags = sq_ld32(segment + 12);
    /* Unknown flags, and unmap in a discard: 5.2.6.2 */
    if (flags & ~(zeroes ? SEGMENT_F_UNMAP : 0)) {
        refuse(r, S_UNSUPP);
        return;
    }
    if (sectors > DISCARD_SECTORS_MAX ||
        !in_bounds(blk, sector, (uint64_t)sectors * SQ_VIRTIO_BLK_SECTOR)) {
        refuse(r, S_IOERR);
        return;
    }
    r->disk.op = zeroes ? SQ_DISK_ZERO : SQ_DISK_DISCARD;
    r->disk.unmap = flags & SEGMENT_F_UNMAP;
    r->disk.off = sector * SQ_VIRTIO_BLK_SECTOR;
    r->disk.len = (uint64_t)sectors * SQ_VIRTIO_BLK_SECTOR;
    sq_disk_submit(blk->disk, &r->disk);
}

static void get_id(struct request *r)
{
    struct blk *blk = r->blk;
    uint64_t room = r->chain.writable_len - 1;
    size_t n = room < sizeof(blk->id) ? (size_t)room : sizeof(blk->id);

    r->data_written = (uint32_t)sq_chain_write(&r->chain, blk->dev.mem, 0,
                                               blk->id, n);
    finish(r, S_OK);
}

static void start(struct request *r)
{
    struct blk *blk = r->blk;

    r->epoch = blk->epoch;
    r->data_written = 0;
    r->disk = (struct sq_disk_request){.done = disk_done};
    r->start_ns = sq_now_ns();
    if (r->chain.writable_len == 0) {
        /* Not even a place to say no. */
        slot_release(r);
        sq_virtio_fail(&blk->dev);
        return;
    }
    if (r->header_len != sizeof(r->header)) {
        refuse(r, S_IOERR);
        return;
    }
    r->type = sq_ld32(r->header);
    switch (r->type) {
    case T_IN:
    case T_OUT:
        start_transfer(r, sq_ld64(r->header + 8));
        break;
    case T_FLUSH:
        if (!sq_virtio_acked(&blk->dev, F_FLUSH)) {
            refuse(r, S_UNSUPP);
            break;
        }
        r->disk.op = SQ_DISK_FLUSH;
        sq_disk_submit(blk->disk, &r->disk);
        break;
    case T_GET_ID:
        get_id(r);
        break;
    case T_DISCARD:
    case T_WRITE_ZEROES:
        start_range(r);
        break;
    default:
        refuse(r, S_UNSUPP);
        break;
    }
}

/* What a request costs: only data does. */
static uint64_t cost(const struct request *r)
{
    const struct sq_chain *chain = &r->chain;

    if (r->header_len != sizeof(r->header))
        return 0;
    if (sq_ld32(r->header) == T_IN && chain->writable_len)
        return chain->writable_len - 1;
    if (sq_ld32(r->header) == T_OUT)
        return chain->readable_len - HEADER_LEN;
    return 0;
}

/* Takes the next request. False: none, no slot for it, or not yet. */
static bool next(struct blk *blk)
{
    struct request *r;

    if (blk->free_count == 0) {
        blk->stalled = true;
        count(&blk->counters.stalls, 1);
        return false;
    }
    r = &blk->slot[blk->free_slot[blk->free_count - 1]];
    if (!sq_virtio_pop(&blk->dev, QUEUE, &r->chain))
        return false;
    r->header_len = sq_chain_read(&r->chain, 0, r->header,
                                  sizeof(r->header));
    if (!sq_throttle_admit(&blk->throttle, cost(r))) {
        sq_queue_unpop(&blk->dev.queue[QUEUE]);
        return false;
    }
    blk->free_count--;
    r->blk = blk;
    start(r);
    return true;
}

static void notify(struct sq_virtio_device *dev, unsigned q)
{
    struct blk *blk = blk_of(dev);
    unsigned budget = BATCH;

    if (blk->throttle.waiting)
        return;
    blk->processing = true;
    do {
        sq_queue_quiet(&dev->queue[q]);
        while (budget && next(blk))
            budget--;
        if (budget == BATCH && !blk->stalled && !blk->throttle.waiting)
            count(&blk->counters.idle_notifications, 1);
    } while (budget && !blk->stalled && !blk->throttle.waiting &&
             sq_queue_rearm(&dev->queue[q]));
    sq_disk_kick(blk->disk);
    blk->processing = false;
    count(&blk->counters.left_waiting, sq_queue_waiting(&dev->queue[q]));
    if (!budget)
        sq_virtio_again(dev, q);
    sq_virtio_signal(dev, q);
}

static void reset(struct sq_virtio_device *dev)
{
    struct blk *blk = blk_of(dev);

    blk->epoch++;
    blk->stalled = false;
    sq_throttle_reset(&blk->throttle);
    drain(blk);
}

/* What is under way ends; what waits in the queue stays there. */
static void drain_to_pause(struct sq_virtio_device *dev)
{
    struct blk *blk = blk_of(dev);

    drain(blk);
    settled(blk);
}

static void blk_free(struct sq_virtio_device *dev)
{
    struct blk *blk = blk_of(dev);

    blk->closing = true;
    sq_throttle_fini(&blk->throttle);
    sq_disk_free(blk->disk);
    sq_virtio_device_destroy(dev);
    free(blk);
}

static const struct sq_virtio_ops blk_ops = {
    .name = "blk",
    .id = SQ_VIRTIO_ID_BLK,
    .queue_count = 1,
    .queue_size = QUEUE_SIZE,
    .reset = reset,
    .notify = notify,
    .pause = drain_to_pause,
    .free = blk_free,
};

static void fill_config(struct blk *blk)
{
    uint8_t *c = blk->dev.config;

    blk->dev.config_len = CONFIG_LEN;
    sq_st64(c + CONFIG_CAPACITY,
            sq_disk_len(blk->disk) / SQ_VIRTIO_BLK_SECTOR);
    sq_st32(c + CONFIG_SEG_MAX, SEG_MAX);
    sq_st32(c + CONFIG_BLK_SIZE, SQ_VIRTIO_BLK_SECTOR);
    if (blk->disk->read_only)
        return;
    sq_st32(c + CONFIG_MAX_DISCARD_SECTORS, DISCARD_SECTORS_MAX);
    sq_st32(c + CONFIG_MAX_DISCARD_SEG, 1);
    sq_st32(c + CONFIG_DISCARD_ALIGNMENT, DISCARD_ALIGNMENT);
    sq_st32(c + CONFIG_MAX_ZEROES_SECTORS, DISCARD_SECTORS_MAX);
    sq_st32(c + CONFIG_MAX_ZEROES_SEG, 1);
    c[CONFIG_ZEROES_MAY_UNMAP] = 1;
}

static void attach(struct blk *blk, struct sq_disk *disk)
{
    blk->disk = disk;
    disk->batch = disk_batch;
    disk->batch_ctx = blk;
}

int sq_virtio_blk_new(const struct sq_virtio_blk_config *config,
                      struct sq_virtio_device **out, struct squib_error *err)
{
    struct blk *blk = calloc(1, sizeof(*blk));
    uint64_t features = F_SEG_MAX | F_BLK_SIZE;

    if (!blk)
        return sq_err_set(err, SQUIB_E_NOMEM, "device blk: out of memory");
    attach(blk, config->disk);
    blk->cache = config->cache;
    if (config->id)
        memcpy(blk->id, config->id, strnlen(config->id, sizeof(blk->id)));
    if (blk->disk->read_only)
        features |= F_RO;
    else
        features |= F_DISCARD | F_WRITE_ZEROES;
    if (blk->cache == SQ_VIRTIO_BLK_WRITEBACK)
        features |= F_FLUSH;
    sq_virtio_device_init(&blk->dev, &blk_ops, features);
    sq_throttle_init(&blk->throttle, &blk->dev, QUEUE);
    fill_config(blk);
    for (unsigned i = 0; i < QUEUE_SIZE; i++)
        blk->free_slot[i] = (uint16_t)(QUEUE_SIZE - 1 - i);
    blk->free_count = QUEUE_SIZE;
    *out = &blk->dev;
    return 0;
}

/* Enters the device whether or not a driver is there. True if one is. */
static bool lock(struct blk *blk)
{
    if (sq_virtio_enter(&blk->dev))
        return true;
    pthread_mutex_lock(&blk->dev.mutex);
    return false;
}

int sq_virtio_blk_swap(struct sq_virtio_device *dev, struct sq_disk *disk,
                       struct squib_error *err)
{
    struct blk *blk = blk_of(dev);
    struct sq_disk *old = blk->disk;
    bool live;

    /* The driver has made up its mind about that. */
    if (disk->read_only != old->read_only)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "the disk would be %s, the drive is %s",
                          disk->read_only ? "read-only" : "writable",
                          old->read_only ? "read-only" : "writable");
    live = lock(blk);
    drain(blk);
    attach(blk, disk);
    count(&blk->counters.swaps, 1);
    fill_config(blk);
    sq_virtio_config_changed(dev);
    if (live)
        settled(blk);
    sq_virtio_leave(dev);
    sq_disk_free(old);
    return 0;
}

const struct sq_disk *sq_virtio_blk_disk(const struct sq_virtio_device *dev)
{
    return blk_of(dev)->disk;
}

struct sq_throttle *sq_virtio_blk_throttle(struct sq_virtio_device *dev)
{
    return &blk_of(dev)->throttle;
}

const struct sq_virtio_blk_counters *
sq_virtio_blk_counters(const struct sq_virtio_device *dev)
{
    return &blk_of(dev)->counters;
}

/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dev/virtio/pmem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/util.h"
#include "dev/host/disk.h"
#include "os/guard.h"

#define QUEUE 0u
#define QUEUE_SIZE 64u
#define BATCH 64u

/* 5.19.6: a request is a word, its answer too. */
#define T_FLUSH 0u
#define RET_OK 0u
#define RET_ERROR 1u

struct pmem;

struct flush {
    struct sq_disk_request disk;
    struct pmem *pmem;
    uint32_t epoch;
    struct sq_chain chain;
};

struct pmem {
    struct sq_virtio_device dev;
    struct sq_disk *disk; /* the file; flushed beside the event thread */
    struct sq_virtio_pmem_region region;
    struct sq_guard guard; /* of the part that is the file */
    bool guarded, watching;
    struct sq_poller *poller;
    void (*lost)(void *ctx, const struct sq_virtio_device *dev);
    void *lost_ctx;
    struct sq_throttle throttle;
    struct sq_virtio_pmem_counters counters;

    uint32_t epoch;
    bool processing; /* the mutex is held, whoever calls flushed() */
    bool closing;
    bool stalled; /* chains wait for a slot */
    uint16_t free_count;
    uint16_t free_slot[QUEUE_SIZE];
    struct flush slot[QUEUE_SIZE];
};

static struct pmem *pmem_of(const struct sq_virtio_device *dev)
{
    return SQ_CONTAINER_OF(dev, struct pmem, dev);
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void slot_release(struct flush *f)
{
    struct pmem *p = f->pmem;

    p->free_slot[p->free_count++] = (uint16_t)(f - p->slot);
}

static void answer(struct flush *f, uint32_t ret)
{
    struct pmem *p = f->pmem;
    uint8_t raw[4];
    size_t n;

    sq_st32(raw, ret);
    n = sq_chain_write(&f->chain, p->dev.mem, 0, raw, sizeof(raw));
    sq_virtio_push(&p->dev, QUEUE, &f->chain, (uint32_t)n);
    slot_release(f);
}

/* Mutex held. */
static void settle(struct flush *f, int error)
{
    struct pmem *p = f->pmem;

    if (f->epoch != p->epoch) {
        slot_release(f);
        return;
    }
    if (!error && atomic_load(&p->guard.lost))
        error = EIO;
    count(error ? &p->counters.failed : &p->counters.flushes);
    answer(f, error ? RET_ERROR : RET_OK);
}

/* After completions, mutex held. */
static void settled(struct pmem *p)
{
    sq_virtio_signal(&p->dev, QUEUE);
    if (p->stalled) {
        p->stalled = false;
        sq_virtio_again(&p->dev, QUEUE);
    }
}

static void flushed(struct sq_disk_request *disk, int error)
{
    struct flush *f = SQ_CONTAINER_OF(disk, struct flush, disk);
    struct pmem *p = f->pmem;

    if (p->closing)
        return;
    if (p->processing) {
        settle(f, error);
        return;
    }
    if (!sq_virtio_enter(&p->dev)) {
        slot_release(f);
        return;
    }
    settle(f, error);
    settled(p);
    sq_virtio_leave(&p->dev);
}

static void start(struct flush *f)
{
    struct pmem *p = f->pmem;
    uint8_t raw[4];

    f->epoch = p->epoch;
    if (f->chain.writable_len < sizeof(raw)) {
        /* No room for an answer. */
        slot_release(f);
        sq_virtio_fail(&p->dev);
        return;
    }
    if (sq_chain_read(&f->chain, 0, raw, sizeof(raw)) != sizeof(raw) ||
        sq_ld32(raw) != T_FLUSH) {
        count(&p->counters.refused);
        answer(f, RET_ERROR);
        return;
    }
    if (sq_guard_check(&p->guard)) {
        /* What the guest wrote has nowhere to go. */
        settle(f, EIO);
        return;
    }
    if (p->disk->read_only) {
        count(&p->counters.flushes);
        answer(f, RET_OK);
        return;
    }
    f->disk = (struct sq_disk_request){.op = SQ_DISK_FLUSH, .done = flushed};
    sq_disk_submit(p->disk, &f->disk);
}

/* Takes the next request. False: none, no slot for it, or not yet. */
static bool next(struct pmem *p)
{
    struct flush *f;

    if (p->free_count == 0) {
        p->stalled = true;
        return false;
    }
    f = &p->slot[p->free_slot[p->free_count - 1]];
    if (!sq_virtio_pop(&p->dev, QUEUE, &f->chain))
        return false;
    if (!sq_throttle_admit(&p->throttle, 0)) {
        sq_queue_unpop(&p->dev.queue[QUEUE]);
        return false;
    }
    p->free_count--;
    f->pmem = p;
    start(f);
    return true;
}

static void notify(struct sq_virtio_device *dev, unsigned q)
{
    struct pmem *p = pmem_of(dev);
    unsigned budget = BATCH;

    if (p->throttle.waiting)
        return;
    p->processing = true;
    do {
        sq_queue_quiet(&dev->queue[q]);
        while (budget && next(p))
            budget--;
    } while (budget && !p->stalled && !p->throttle.waiting &&
             sq_queue_rearm(&dev->queue[q]));
    sq_disk_kick(p->disk);
    p->processing = false;
    if (!budget)
        sq_virtio_again(dev, q);
    sq_virtio_signal(dev, q);
}

/* Waits for all that was submitted; mutex held. */
static void drain(struct pmem *p)
{
    p->processing = true;
    sq_disk_drain(p->disk);
    p->processing = false;
}

static void reset(struct sq_virtio_device *dev)
{
    struct pmem *p = pmem_of(dev);

    p->epoch++;
    p->stalled = false;
    sq_throttle_reset(&p->throttle);
    drain(p);
}

/* What is under way ends; what waits in the queue stays there. */
static void drain_to_pause(struct sq_virtio_device *dev)
{
    struct pmem *p = pmem_of(dev);

    drain(p);
    settled(p);
}

/* The file is shorter than it was, or part of it cannot be read. */
static void on_loss(void *ctx, int fd, unsigned events)
{
    struct pmem *p = ctx;

    (void)fd;
    (void)events;
    sq_wake_drain(&p->guard.wake); /* it rings once */
    if (p->dev.mem)
        /* What was code there is so no more. */
        sq_memory_wrote(p->dev.mem, p->region.range.gpa,
                        p->region.range.len);
    count(&p->counters.lost);
    if (p->lost)
        p->lost(p->lost_ctx, &p->dev);
    if (!sq_virtio_enter(&p->dev))
        return;
    sq_virtio_fail(&p->dev);
    sq_virtio_leave(&p->dev);
}

static void pmem_free(struct sq_virtio_device *dev)
{
    struct pmem *p = pmem_of(dev);

    p->closing = true;
    sq_throttle_fini(&p->throttle);
    if (p->watching)
        sq_poller_del(p->poller, sq_wake_fd(&p->guard.wake));
    if (p->guarded)
        sq_guard_remove(&p->guard);
    sq_disk_free(p->disk);
    if (p->region.hva)
        munmap(p->region.hva, p->region.range.len);
    sq_virtio_device_destroy(dev);
    free(p);
}

static const struct sq_virtio_ops pmem_ops = {
    .name = "pmem",
    .id = SQ_VIRTIO_ID_PMEM,
    .queue_count = 1,
    .queue_size = QUEUE_SIZE,
    .reset = reset,
    .notify = notify,
    .pause = drain_to_pause,
    .free = pmem_free,
};

/* The file, then memory up to the next boundary. Read-only ones are mapped
 * privately: the host may then write without harm to file or process. */
static int map(struct pmem *p, const char *path, struct squib_error *err)
{
    bool read_only = p->disk->read_only;
    int fd = sq_disk_fd(p->disk);
    struct stat st;
    uint64_t len;
    void *hva;

    if (fstat(fd, &st) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "pmem %s", path);
    /* Of a block device the disk knows the length. */
    len = S_ISREG(st.st_mode) ? (uint64_t)st.st_size
                              : sq_disk_len(p->disk);
    p->region.range.len = sq_align_up(len, SQ_VIRTIO_PMEM_ALIGN);
    hva = mmap(NULL, p->region.range.len, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (hva == MAP_FAILED)
        return sq_err_os(err, SQUIB_E_OS, errno, "pmem %s: cannot map",
                         path);
    p->region.hva = hva;
    if (mmap(hva, len, PROT_READ | PROT_WRITE,
             MAP_FIXED | MAP_NORESERVE |
                 (read_only ? MAP_PRIVATE : MAP_SHARED),
             fd, 0) == MAP_FAILED)
        return sq_err_os(err, SQUIB_E_OS, errno, "pmem %s: cannot map",
                         path);
    p->region.prot = SQUIB_PROT_READ | SQUIB_PROT_EXEC |
                     (read_only ? 0 : SQUIB_PROT_WRITE);
    p->guard.hva = hva;
    p->guard.len = len;
    p->guard.fd = fd;
    return 0;
}

static int watch(struct pmem *p, const struct sq_virtio_pmem_config *config,
                 struct squib_error *err)
{
    int rc = sq_guard_add(&p->guard, err);

    if (rc)
        return rc;
    p->guarded = true;
    p->poller = config->poller;
    p->lost = config->lost;
    p->lost_ctx = config->lost_ctx;
    rc = sq_poller_add(p->poller, sq_wake_fd(&p->guard.wake), SQ_POLL_IN,
                       on_loss, p, err);
    p->watching = !rc;
    return rc;
}

int sq_virtio_pmem_new(const struct sq_virtio_pmem_config *config,
                       struct sq_virtio_device **out,
                       struct squib_error *err)
{
    const struct sq_disk_config disk = {
        .path = config->path,
        .read_only = config->read_only,
        .engine = SQ_DISK_ASYNC,
        .poller = config->poller,
    };
    struct pmem *p;
    int rc;

    if (config->gpa % SQ_VIRTIO_PMEM_ALIGN)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "pmem %s: its address is not aligned",
                          config->path);
    p = calloc(1, sizeof(*p));
    if (!p)
        return sq_err_set(err, SQUIB_E_NOMEM, "device pmem: out of memory");
    rc = sq_disk_open_config(&disk, &p->disk, err);
    if (rc) {
        free(p);
        return rc;
    }
    p->region.range.gpa = config->gpa;
    sq_virtio_device_init(&p->dev, &pmem_ops, 0);
    sq_throttle_init(&p->throttle, &p->dev, QUEUE);
    rc = map(p, config->path, err);
    if (!rc)
        rc = watch(p, config, err);
    if (rc) {
        pmem_free(&p->dev);
        return rc;
    }
    p->dev.config_len = 16;
    sq_st64(p->dev.config, p->region.range.gpa);
    sq_st64(p->dev.config + 8, p->region.range.len);
    for (unsigned i = 0; i < QUEUE_SIZE; i++)
        p->free_slot[i] = (uint16_t)(QUEUE_SIZE - 1 - i);
    p->free_count = QUEUE_SIZE;
    *out = &p->dev;
    return 0;
}

struct sq_virtio_pmem_region
sq_virtio_pmem_region(const struct sq_virtio_device *dev)
{
    return pmem_of(dev)->region;
}

struct sq_throttle *sq_virtio_pmem_throttle(struct sq_virtio_device *dev)
{
    return &pmem_of(dev)->throttle;
}

const struct sq_virtio_pmem_counters *
sq_virtio_pmem_counters(const struct sq_virtio_device *dev)
{
    return &pmem_of(dev)->counters;
}

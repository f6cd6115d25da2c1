/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues are numbered inflate 0, deflate 1, statistics 2, free pages 3,
 * reporting 4 in the specification. Drivers, Linux among them, leave no gaps
 * for queues that were not negotiated. Which of both a driver does is seen
 * when it starts: a queue beyond the gapless numbers that is in use decides.
 */
#include "dev/virtio/balloon.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "os/clock.h"

#define F_STATS_VQ (1ull << 1)
#define F_DEFLATE_ON_OOM (1ull << 2)
#define F_FREE_PAGE_HINT (1ull << 3)
#define F_REPORTING (1ull << 5)
/* Not offered: F_PAGE_POISON. A guest that fills its free pages with
 * something knows by that, that it must not report or hint them. */

enum config_off {
    CONFIG_NUM_PAGES = 0,
    CONFIG_ACTUAL = 4, /* the driver's; all else is ours */
    CONFIG_HINT_CMD = 8,
    CONFIG_POISON = 12,
    CONFIG_LEN = 16,
};

#define PAGE_SHIFT 12u /* always, whatever guest and host have */
#define MIB_PAGES 256u

#define HINT_STOP 0u
#define HINT_DONE 1u
#define HINT_FIRST 2u

#define STAT_LEN 10u
#define STATS_MAX 64u /* records that are looked at */

/* Linux sends 256 page numbers in a request. */
#define PFN_CHUNK 256u
#define PFNS_MAX 16384u

/* Before others have their turn. */
#define BATCH 64u
#define BATCH_BYTES (256ull << 20)

enum role { INFLATE, DEFLATE, STATS, HINT, REPORT, ROLE_COUNT };

struct balloon {
    struct sq_virtio_device dev;
    uint16_t interval_s;
    enum role role[SQ_VIRTIO_QUEUES_MAX]; /* of a queue; while active */

    /* Under the device's mutex, as the vCPUs may write to `config`. */
    uint32_t target_pages;
    uint32_t host_cmd;

    uint32_t last_cmd;
    bool acknowledge_on_stop;
    bool guest_answered;
    uint32_t guest_cmd;

    struct sq_timer timer;
    unsigned stats_queue;
    bool stats_held;        /* the driver's buffer is with us */
    struct sq_chain chain;  /* the one at work */
    struct sq_chain stats;  /* the one held */
    uint32_t stats_valid;
    uint64_t stat[SQ_BALLOON_STAT_COUNT];

    uint32_t pfn[PFN_CHUNK];
    struct sq_virtio_balloon_counters counters;
};

static struct balloon *balloon_of(const struct sq_virtio_device *dev)
{
    return SQ_CONTAINER_OF(dev, struct balloon, dev);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Bytes given back; -1 if the host refused. */
static int64_t discard(struct balloon *b, uint64_t gpa, uint64_t len)
{
    int64_t n = sq_memory_discard(b->dev.mem, gpa, len, NULL);

    if (n >= 0)
        return n;
    count(&b->counters.discard_failures, 1);
    return -1;
}

/* ---- Inflating ---- */

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* Page numbers come in any order; neighbours go together. */
static uint64_t discard_pages(struct balloon *b, size_t n)
{
    uint64_t bytes = 0;

    qsort(b->pfn, n, sizeof(b->pfn[0]), by_number);
    for (size_t i = 0, end; i < n; i = end) {
        int64_t done;

        for (end = i + 1; end < n && b->pfn[end] - b->pfn[end - 1] <= 1;)
            end++;
        done = discard(b, (uint64_t)b->pfn[i] << PAGE_SHIFT,
                       ((uint64_t)b->pfn[end - 1] - b->pfn[i] + 1)
                           << PAGE_SHIFT);
        if (done > 0)
            bytes += (uint64_t)done;
    }
    return bytes;
}

static uint64_t inflate(struct balloon *b)
{
    uint64_t len = b->chain.readable_len, bytes = 0;

    /* Pages that are not looked at just stay with the guest. */
    if (len % sizeof(b->pfn[0]) || len > PFNS_MAX * sizeof(b->pfn[0])) {
        count(&b->dev.counters.guest_errors, 1);
        if (len > PFNS_MAX * sizeof(b->pfn[0]))
            len = PFNS_MAX * sizeof(b->pfn[0]);
    }
    for (uint64_t off = 0; off < len; off += sizeof(b->pfn)) {
        size_t n = sq_chain_read(&b->chain, off, b->pfn, sizeof(b->pfn)) /
                   sizeof(b->pfn[0]);

        bytes += discard_pages(b, n);
    }
    count(&b->counters.inflates, 1);
    count(&b->counters.discarded_bytes, bytes);
    return bytes;
}

/* ---- Free blocks: reports and hints ---- */

/* The writable part is the memory in question. */
static uint64_t discard_blocks(struct balloon *b, _Atomic uint64_t *bytes,
                               _Atomic uint64_t *failures)
{
    const struct sq_chain *c = &b->chain;
    uint64_t sum = 0;

    /* Nobody has more than all of it: that would only cost time. */
    if (c->writable_len > sq_memory_present(b->dev.mem)) {
        count(&b->dev.counters.guest_errors, 1);
        count(failures, 1);
        return 0;
    }
    for (unsigned i = c->readable; i < c->count; i++) {
        int64_t done = discard(b, c->gpa[i], c->iov[i].iov_len);

        if (done < 0)
            count(failures, 1);
        else
            sum += (uint64_t)done;
    }
    count(bytes, sum);
    return sum;
}

static uint64_t report(struct balloon *b)
{
    count(&b->counters.reports, 1);
    return discard_blocks(b, &b->counters.report_bytes,
                          &b->counters.report_failures);
}

static void set_hint_cmd(struct balloon *b, uint32_t cmd)
{
    b->host_cmd = cmd;
    sq_st32(b->dev.config + CONFIG_HINT_CMD, cmd);
    sq_virtio_config_changed(&b->dev);
}

/* A command word starts or ends the guest's list, pages are its entries. */
static uint64_t hint(struct balloon *b)
{
    uint8_t raw[4];

    if (b->chain.readable_len) {
        if (sq_chain_read(&b->chain, 0, raw, sizeof(raw)) != sizeof(raw)) {
            count(&b->counters.hint_failures, 1);
            return 0;
        }
        b->guest_cmd = sq_ld32(raw);
        b->guest_answered = true;
        if (b->guest_cmd == HINT_STOP && b->acknowledge_on_stop &&
            b->host_cmd >= HINT_FIRST)
            set_hint_cmd(b, HINT_DONE);
    }
    /* Of a run that is over, nothing counts any more. */
    if (!b->chain.writable_len || b->host_cmd < HINT_FIRST ||
        b->guest_cmd != b->host_cmd)
        return 0;
    count(&b->counters.hints, 1);
    return discard_blocks(b, &b->counters.hint_bytes,
                          &b->counters.hint_failures);
}

/* ---- Statistics ---- */

/* The driver hands over a buffer with numbers. It gets it back when new
 * numbers are wanted. */
static void stats_arrived(struct balloon *b, unsigned q)
{
    uint64_t len = b->chain.readable_len;
    uint8_t record[STAT_LEN];

    if (b->stats_held) /* one too many: the older goes back */
        sq_virtio_push(&b->dev, q, &b->stats, 0);
    b->stats = b->chain;
    b->stats_held = true;
    if (len % STAT_LEN || len > STATS_MAX * STAT_LEN) {
        count(&b->counters.stats_failures, 1);
        return;
    }
    b->stats_valid = 0;
    for (uint64_t off = 0; off < len; off += STAT_LEN) {
        uint16_t tag;

        sq_chain_read(&b->chain, off, record, sizeof(record));
        tag = sq_ld16(record);
        if (tag >= SQ_BALLOON_STAT_COUNT)
            continue;
        b->stat[tag] = sq_ld64(record + 2);
        b->stats_valid |= 1u << tag;
    }
    count(&b->counters.stats_updates, 1);
}

static void arm_timer(struct balloon *b)
{
    sq_timer_arm(b->dev.poller, &b->timer,
                 sq_now_ns() + (uint64_t)b->interval_s * 1000000000u);
}

static void interval_over(void *ctx, uint64_t now_ns)
{
    struct balloon *b = ctx;

    (void)now_ns;
    if (!sq_virtio_enter(&b->dev))
        return;
    if (b->stats_held) {
        b->stats_held = false;
        sq_virtio_push(&b->dev, b->stats_queue, &b->stats, 0);
        sq_virtio_signal(&b->dev, b->stats_queue);
    }
    arm_timer(b);
    sq_virtio_leave(&b->dev);
}

/* ---- The device ---- */

static void activate(struct sq_virtio_device *dev)
{
    static const uint64_t feature[ROLE_COUNT] = {
        [STATS] = F_STATS_VQ,
        [HINT] = F_FREE_PAGE_HINT,
        [REPORT] = F_REPORTING,
    };
    struct balloon *b = balloon_of(dev);
    unsigned n = 0, beyond;
    bool gaps = false;

    for (unsigned r = 0; r < ROLE_COUNT; r++)
        n += !feature[r] || sq_virtio_acked(dev, feature[r]);
    for (beyond = n; beyond < ROLE_COUNT; beyond++)
        gaps |= dev->queue[beyond].ready;
    for (unsigned r = 0, q = 0; r < ROLE_COUNT; r++) {
        bool used = !feature[r] || sq_virtio_acked(dev, feature[r]);

        if (!used && !gaps)
            continue;
        b->role[q] = used ? (enum role)r : ROLE_COUNT;
        if (used && r == STATS) {
            b->stats_queue = q;
            arm_timer(b);
        }
        q++;
    }
    for (unsigned q = gaps ? ROLE_COUNT : n; q < SQ_ARRAY_LEN(b->role); q++)
        b->role[q] = ROLE_COUNT;
}

static void reset(struct sq_virtio_device *dev)
{
    struct balloon *b = balloon_of(dev);

    sq_timer_disarm(dev->poller, &b->timer);
    b->stats_held = false;
    b->stats_valid = 0;
    b->guest_answered = false;
    b->guest_cmd = HINT_STOP;
    b->host_cmd = HINT_STOP;
    sq_st32(dev->config + CONFIG_HINT_CMD, HINT_STOP);
}

/* Deals with one chain. Returns the bytes that went to the host. */
static uint64_t serve(struct balloon *b, unsigned q)
{
    uint64_t bytes = 0;

    switch (b->role[q]) {
    case INFLATE: bytes = inflate(b); break;
    case DEFLATE: count(&b->counters.deflates, 1); break;
    case HINT: bytes = hint(b); break;
    case REPORT: bytes = report(b); break;
    case STATS: stats_arrived(b, q); return 0; /* stays with us */
    default: break;
    }
    sq_virtio_push(&b->dev, q, &b->chain, 0);
    return bytes;
}

static void notify(struct sq_virtio_device *dev, unsigned q)
{
    struct balloon *b = balloon_of(dev);
    unsigned budget = BATCH;
    uint64_t bytes = 0;

    do {
        sq_queue_quiet(&dev->queue[q]);
        while (budget && sq_virtio_pop(dev, q, &b->chain)) {
            budget--;
            bytes += serve(b, q);
            if (bytes >= BATCH_BYTES)
                budget = 0;
        }
    } while (budget && sq_queue_rearm(&dev->queue[q]));
    if (!budget)
        sq_virtio_again(dev, q);
    sq_virtio_signal(dev, q);
}

/* vCPU thread. Only `actual` is the driver's to write. */
static void config_written(struct sq_virtio_device *dev, unsigned off,
                           unsigned len)
{
    struct balloon *b = balloon_of(dev);

    if (off < CONFIG_ACTUAL || off + len > CONFIG_ACTUAL + 4)
        count(&dev->counters.guest_errors, 1);
    sq_st32(dev->config + CONFIG_NUM_PAGES, b->target_pages);
    sq_st32(dev->config + CONFIG_HINT_CMD, b->host_cmd);
    sq_st32(dev->config + CONFIG_POISON, 0);
}

static void balloon_free(struct sq_virtio_device *dev)
{
    struct balloon *b = balloon_of(dev);

    if (b->timer.armed)
        sq_timer_disarm(dev->poller, &b->timer);
    sq_virtio_device_destroy(dev);
    free(b);
}

static const struct sq_virtio_ops balloon_ops = {
    .name = "balloon",
    .id = SQ_VIRTIO_ID_BALLOON,
    .queue_count = ROLE_COUNT,
    .queue_size = 256,
    .activate = activate,
    .reset = reset,
    .notify = notify,
    .config_written = config_written,
    .free = balloon_free,
};

static int check_amount(uint32_t amount_mib, struct squib_error *err)
{
    if (amount_mib <= UINT32_MAX / MIB_PAGES)
        return 0;
    return sq_err_set(err, SQUIB_E_INVAL,
                      "balloon: %u MiB are more than a guest can have",
                      amount_mib);
}

int sq_virtio_balloon_new(const struct sq_virtio_balloon_config *config,
                          struct sq_virtio_device **out,
                          struct squib_error *err)
{
    uint64_t features =
        (config->deflate_on_oom ? F_DEFLATE_ON_OOM : 0) |
        (config->stats_interval_s ? F_STATS_VQ : 0) |
        (config->hinting ? F_FREE_PAGE_HINT : 0) |
        (config->reporting ? F_REPORTING : 0);
    int rc = check_amount(config->amount_mib, err);
    struct balloon *b;

    if (rc)
        return rc;
    b = calloc(1, sizeof(*b));
    if (!b)
        return sq_err_set(err, SQUIB_E_NOMEM,
                          "device balloon: out of memory");
    sq_virtio_device_init(&b->dev, &balloon_ops, features);
    b->dev.config_len = CONFIG_LEN;
    b->interval_s = config->stats_interval_s;
    b->target_pages = config->amount_mib * MIB_PAGES;
    sq_st32(b->dev.config + CONFIG_NUM_PAGES, b->target_pages);
    b->last_cmd = HINT_DONE;
    b->timer = (struct sq_timer){.fn = interval_over, .ctx = b};
    *out = &b->dev;
    return 0;
}

/* ---- For the monitor ---- */

static int enter(struct balloon *b, struct squib_error *err)
{
    if (sq_virtio_enter(&b->dev))
        return 0;
    return sq_err_set(err, SQUIB_E_STATE,
                      "balloon: the guest has no active driver for it");
}

int sq_virtio_balloon_set_target(struct sq_virtio_device *dev,
                                 uint32_t amount_mib,
                                 struct squib_error *err)
{
    struct balloon *b = balloon_of(dev);
    int rc = enter(b, err);

    if (rc)
        return rc;
    rc = check_amount(amount_mib, err);
    if (rc) {
        sq_virtio_leave(dev);
        return rc;
    }
    b->target_pages = amount_mib * MIB_PAGES;
    sq_st32(dev->config + CONFIG_NUM_PAGES, b->target_pages);
    sq_virtio_config_changed(dev);
    sq_virtio_leave(dev);
    return 0;
}

uint32_t sq_virtio_balloon_target_mib(struct sq_virtio_device *dev)
{
    return balloon_of(dev)->target_pages / MIB_PAGES;
}

int sq_virtio_balloon_set_interval(struct sq_virtio_device *dev,
                                   uint16_t interval_s,
                                   struct squib_error *err)
{
    struct balloon *b = balloon_of(dev);

    if (!interval_s != !b->interval_s)
        return sq_err_set(err, SQUIB_E_STATE,
                          "balloon: statistics cannot be turned %s while "
                          "the guest runs", interval_s ? "on" : "off");
    pthread_mutex_lock(&dev->mutex);
    b->interval_s = interval_s;
    if (b->timer.armed)
        arm_timer(b);
    pthread_mutex_unlock(&dev->mutex);
    return 0;
}

int sq_virtio_balloon_stats(struct sq_virtio_device *dev,
                            struct sq_virtio_balloon_stats *out,
                            struct squib_error *err)
{
    struct balloon *b = balloon_of(dev);

    if (!b->interval_s)
        return sq_err_set(err, SQUIB_E_STATE,
                          "balloon: statistics are off");
    pthread_mutex_lock(&dev->mutex);
    *out = (struct sq_virtio_balloon_stats){
        .target_pages = b->target_pages,
        .actual_pages = sq_ld32(dev->config + CONFIG_ACTUAL),
        .valid = b->stats_valid,
    };
    memcpy(out->value, b->stat, sizeof(out->value));
    pthread_mutex_unlock(&dev->mutex);
    return 0;
}

/* Enters the device if its driver does hinting. */
static int no_hinting(struct squib_error *err)
{
    return sq_err_set(err, SQUIB_E_STATE,
                      "balloon: free page hinting is off");
}

static int enter_hinting(struct balloon *b, struct squib_error *err)
{
    int rc;

    if (!(b->dev.features_offered & F_FREE_PAGE_HINT))
        return no_hinting(err);
    rc = enter(b, err);
    if (!rc && !sq_virtio_acked(&b->dev, F_FREE_PAGE_HINT)) {
        sq_virtio_leave(&b->dev);
        rc = sq_err_set(err, SQUIB_E_STATE,
                        "balloon: the guest's driver gives no hints");
    }
    return rc;
}

int sq_virtio_balloon_hint_start(struct sq_virtio_device *dev,
                                 bool acknowledge_on_stop,
                                 struct squib_error *err)
{
    struct balloon *b = balloon_of(dev);
    int rc = enter_hinting(b, err);

    if (rc)
        return rc;
    b->last_cmd = b->last_cmd == UINT32_MAX ? HINT_FIRST : b->last_cmd + 1;
    b->acknowledge_on_stop = acknowledge_on_stop;
    set_hint_cmd(b, b->last_cmd);
    sq_virtio_leave(dev);
    return 0;
}

int sq_virtio_balloon_hint_stop(struct sq_virtio_device *dev,
                                struct squib_error *err)
{
    struct balloon *b = balloon_of(dev);
    int rc = enter_hinting(b, err);

    if (rc)
        return rc;
    set_hint_cmd(b, HINT_DONE);
    sq_virtio_leave(dev);
    return 0;
}

int sq_virtio_balloon_hint_status(struct sq_virtio_device *dev,
                                  struct sq_virtio_balloon_hinting *out,
                                  struct squib_error *err)
{
    struct balloon *b = balloon_of(dev);
    bool active;

    if (!(dev->features_offered & F_FREE_PAGE_HINT))
        return no_hinting(err);
    active = sq_virtio_enter(dev);
    *out = (struct sq_virtio_balloon_hinting){
        .host_cmd = b->host_cmd,
        .guest_answered = b->guest_answered,
        .guest_cmd = b->guest_cmd,
    };
    if (active)
        sq_virtio_leave(dev);
    return 0;
}

const struct sq_virtio_balloon_counters *
sq_virtio_balloon_counters(const struct sq_virtio_device *dev)
{
    return &balloon_of(dev)->counters;
}

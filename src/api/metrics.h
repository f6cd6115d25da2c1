/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics as Firecracker writes them: one JSON object a line, counters as
 * the difference to the line before.
 *
 * Counters may be added to by any thread. A line is written by one thread at
 * a time: the API thread while it runs, else the event thread.
 */
#ifndef SQ_API_METRICS_H
#define SQ_API_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/fault.h"
#include "api/schemas.h"

/* A line is due this often while the machine runs. */
#define SQ_METRICS_PERIOD_NS 60000000000u

enum sq_metric {
    SQ_M_NONE,
#define M(group, name, kind) SQ_M_##group##_##name,
#include "api/metrics.def"
#undef M
    SQ_M_COUNT
};

/* What a line shows of one metric; the last two of a latency alone. */
struct sq_metric_value {
    uint64_t v; /* a count's difference, a latency's sum, a value */
    uint64_t min_us, max_us;
};

struct sq_metrics {
    _Atomic uint64_t now[SQ_M_COUNT];
    /* Of latencies, and not of those that devices show one by one. */
    _Atomic uint64_t min_us[SQ_M_COUNT], max_us[SQ_M_COUNT];
    uint64_t last[SQ_M_COUNT];
    int fd; /* -1: not configured */
    bool emit_id;
    char id[65];
    char *properties; /* JSON's text, or NULL */
    /* For the line of a signal's handler, which cannot ask for memory. */
    char *reserve;
    size_t reserve_len;
    bool torn; /* a FIFO took the start of the last line, not its end */
};

void sq_metrics_init(struct sq_metrics *m, const char *id);
void sq_metrics_fini(struct sq_metrics *m);

static inline void sq_metrics_add(struct sq_metrics *m, enum sq_metric which,
                                  uint64_t n)
{
    atomic_fetch_add_explicit(&m->now[which], n, memory_order_relaxed);
}

static inline void sq_metrics_set(struct sq_metrics *m, enum sq_metric which,
                                  uint64_t value)
{
    atomic_store_explicit(&m->now[which], value, memory_order_relaxed);
}

/* A latency's smallest and largest so far. */
static inline void sq_metrics_set_extremes(struct sq_metrics *m,
                                           enum sq_metric which,
                                           struct sq_metric_value value)
{
    atomic_store_explicit(&m->min_us[which], value.min_us,
                          memory_order_relaxed);
    atomic_store_explicit(&m->max_us[which], value.max_us,
                          memory_order_relaxed);
}

/* Whether it is a value that stays. */
bool sq_metrics_stores(enum sq_metric which);

/* PUT /metrics, once. False with *fault filled. */
bool sq_metrics_configure(struct sq_metrics *m,
                          const struct sq_body_metrics *b,
                          struct sq_fault *fault);

/* Adds to what a line shows, in the group's place: "block_rootfs". */
struct sq_metrics_device {
    const char *group; /* "block" */
    char name[80];     /* "block_rootfs" */
    /* Of the group's metrics, this device's part. */
    struct sq_metric_value (*value)(const void *ctx, enum sq_metric which);
    const void *ctx;
};

/* Writes a line; without a file that is no error. 0 or an errno. */
int sq_metrics_flush(struct sq_metrics *m,
                     const struct sq_metrics_device *devices, size_t count);

/* Sets one metric to 1 and writes a line without devices, as they were at the
 * line before. Async-signal-safe; the process ends after it. */
void sq_metrics_last_line(struct sq_metrics *m, enum sq_metric which);

#endif

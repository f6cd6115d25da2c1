/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters. Each has one writing thread (its vCPU) and may be read by any
 * thread at any time; a reader may see counters of different moments.
 */
#ifndef SQ_VMM_METRICS_H
#define SQ_VMM_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include <squib/exit.h>

#include "base/latency.h"

struct sq_counter {
    _Atomic uint64_t n;
};

/* By the one writer: no locked instruction is needed. */
static inline void sq_counter_add(struct sq_counter *c, uint64_t n)
{
    atomic_store_explicit(&c->n, atomic_load_explicit(&c->n,
                          memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void sq_counter_set(struct sq_counter *c, uint64_t n)
{
    atomic_store_explicit(&c->n, n, memory_order_relaxed);
}

static inline uint64_t sq_counter_get(const struct sq_counter *c)
{
    return atomic_load_explicit(&c->n, memory_order_relaxed);
}

struct sq_vcpu_metrics {
    struct sq_counter exits[SQUIB_EXIT_COUNT];
    struct sq_counter exits_unknown;  /* a kind not in the list */
    struct sq_counter mmio_writes;    /* of the MMIO exits */
    struct sq_counter pio_writes;
    struct sq_counter mmio_unclaimed; /* no device answered */
    struct sq_counter pio_unclaimed;
    struct sq_counter hypercalls_unknown;
    struct sq_counter insns; /* as of its last exit, if counted */
    struct sq_latency pio[2], mmio[2]; /* in the device: reads, writes */
};

#endif

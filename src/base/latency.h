/* SPDX-License-Identifier: Apache-2.0 */
/* How long something took: smallest, largest and sum of microseconds. One
 * thread adds; any thread reads, and may see the three of different moments.
 */
#ifndef SQ_BASE_LATENCY_H
#define SQ_BASE_LATENCY_H

#include <stdatomic.h>
#include <stdint.h>

struct sq_latency {
    _Atomic uint64_t min_us; /* 0: nothing was added yet, or in no time */
    _Atomic uint64_t max_us;
    _Atomic uint64_t sum_us; /* only ever grows */
};

/* By the one writer: no locked instruction is needed. */
static inline void sq_latency_add(struct sq_latency *l, uint64_t us)
{
    uint64_t min = atomic_load_explicit(&l->min_us, memory_order_relaxed);

    if (us < min || min == 0)
        atomic_store_explicit(&l->min_us, us, memory_order_relaxed);
    if (us > atomic_load_explicit(&l->max_us, memory_order_relaxed))
        atomic_store_explicit(&l->max_us, us, memory_order_relaxed);
    atomic_store_explicit(&l->sum_us,
                          atomic_load_explicit(&l->sum_us,
                                               memory_order_relaxed) + us,
                          memory_order_relaxed);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PL031 real-time clock of Arm machines (Arm DDI 0224): seconds since
 * 1970 of the host, which the guest may set for itself. The alarm's
 * registers keep what is written but it never rings.
 */
#ifndef SQ_DEV_LEGACY_PL031_H
#define SQ_DEV_LEGACY_PL031_H

#include <stdatomic.h>
#include <stdint.h>

#include "dev/bus.h"

#define SQ_PL031_LEN 0x1000u

struct sq_pl031_config {
    /* Seconds since 1970 (UTC). NULL takes the host's clock. */
    int64_t (*now)(void *ctx);
    void *ctx;
};

struct sq_pl031 {
    struct sq_pl031_config config;
    _Atomic uint32_t offset; /* to the host's seconds, modulo 2^32 */
    _Atomic uint32_t load, match, mask;
};

extern const struct sq_bus_ops sq_pl031_ops;

/* Needs no release. */
void sq_pl031_init(struct sq_pl031 *r, const struct sq_pl031_config *config);

#endif

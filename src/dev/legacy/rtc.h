/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CMOS clock at ports 0x70 and 0x71 (Motorola MC146818 data sheet): UTC
 * of the host, always ready to be read, no alarms. What the guest writes to
 * the time is ignored; other bytes are kept.
 */
#ifndef SQ_DEV_LEGACY_RTC_H
#define SQ_DEV_LEGACY_RTC_H

#include <pthread.h>
#include <stdint.h>

#include <squib/error.h>

#include "dev/bus.h"

#define SQ_RTC_PORT 0x70
#define SQ_RTC_PORTS 2

struct sq_rtc_config {
    /* Seconds since 1970 (UTC). NULL takes the host's clock. */
    int64_t (*now)(void *ctx);
    void *ctx;
};

struct sq_rtc {
    struct sq_rtc_config config;
    pthread_mutex_t lock; /* all below */
    uint8_t index;
    uint8_t cmos[128];
};

extern const struct sq_bus_ops sq_rtc_ops;

int sq_rtc_init(struct sq_rtc *r, const struct sq_rtc_config *config,
                struct squib_error *err);
void sq_rtc_fini(struct sq_rtc *r);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/legacy/rtc.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "os/clock.h"

enum { SECONDS = 0, MINUTES = 2, HOURS = 4, WEEKDAY = 6, DAY = 7, MONTH = 8,
       YEAR = 9, REG_A = 10, REG_B = 11, REG_C = 12, REG_D = 13,
       CENTURY = 0x32 };

#define A_DIVIDER_ON 0x26 /* 32768 Hz, 1024 Hz periodic rate, not updating */
#define B_24_HOURS 0x02
#define B_BINARY 0x04
#define D_VALID 0x80
#define PM 0x80

static int64_t host_now(void *ctx)
{
    (void)ctx;
    return (int64_t)(sq_wall_ns() / 1000000000u);
}

int sq_rtc_init(struct sq_rtc *r, const struct sq_rtc_config *config,
                struct squib_error *err)
{
    int rc;

    memset(r, 0, sizeof(*r));
    r->config = *config;
    if (!r->config.now)
        r->config.now = host_now;
    r->cmos[REG_A] = A_DIVIDER_ON;
    r->cmos[REG_B] = B_24_HOURS;
    rc = pthread_mutex_init(&r->lock, NULL);
    return rc ? sq_err_os(err, SQUIB_E_OS, rc, "RTC: mutex") : 0;
}

void sq_rtc_fini(struct sq_rtc *r)
{
    pthread_mutex_destroy(&r->lock);
}

static bool is_time(uint8_t index)
{
    return index == CENTURY ||
           (index <= YEAR && index != 1 && index != 3 && index != 5);
}

static uint8_t time_value(const struct sq_rtc *r, uint8_t index)
{
    time_t now = (time_t)r->config.now(r->config.ctx);
    bool pm = false;
    struct tm tm;
    int v;

    if (!gmtime_r(&now, &tm))
        memset(&tm, 0, sizeof(tm));
    switch (index) {
    case SECONDS: v = tm.tm_sec; break;
    case MINUTES: v = tm.tm_min; break;
    case HOURS:
        v = tm.tm_hour;
        if (!(r->cmos[REG_B] & B_24_HOURS)) {
            pm = v >= 12;
            v = v % 12 ? v % 12 : 12;
        }
        break;
    case WEEKDAY: v = tm.tm_wday + 1; break;
    case DAY: v = tm.tm_mday; break;
    case MONTH: v = tm.tm_mon + 1; break;
    case YEAR: v = tm.tm_year % 100; break;
    default: v = (tm.tm_year + 1900) / 100; break;
    }
    if (!(r->cmos[REG_B] & B_BINARY))
        v = v / 10 << 4 | v % 10;
    return (uint8_t)(v | (pm ? PM : 0));
}

static uint8_t read_cmos(const struct sq_rtc *r)
{
    if (is_time(r->index))
        return time_value(r, r->index);
    if (r->index == REG_D)
        return D_VALID;
    return r->cmos[r->index];
}

static void write_cmos(struct sq_rtc *r, uint8_t value)
{
    switch (r->index) {
    case REG_A: r->cmos[REG_A] = value & 0x7f; break;
    case REG_C:
    case REG_D: break;
    default:
        if (!is_time(r->index))
            r->cmos[r->index] = value;
    }
}

static void rtc_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    struct sq_rtc *r = dev;

    pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; i < len; i++)
        data[i] = off + i == 1 ? read_cmos(r) : 0xff;
    pthread_mutex_unlock(&r->lock);
}

static void rtc_write(void *dev, uint64_t off, const uint8_t *data,
                      unsigned len)
{
    struct sq_rtc *r = dev;

    pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; i < len; i++) {
        if (off + i == 0)
            r->index = data[i] & 0x7f; /* bit 7 masks the NMI */
        else
            write_cmos(r, data[i]);
    }
    pthread_mutex_unlock(&r->lock);
}

const struct sq_bus_ops sq_rtc_ops = {rtc_read, rtc_write};

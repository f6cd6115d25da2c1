/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/boot_timer.h"

#include <string.h>

#include "os/clock.h"

static void timer_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    (void)dev;
    (void)off;
    memset(data, 0, len);
}

static void timer_write(void *dev, uint64_t off, const uint8_t *data,
                        unsigned len)
{
    struct sq_boot_timer *t = dev;

    (void)len;
    if (off != 0 || data[0] != SQ_BOOT_TIMER_MAGIC ||
        atomic_exchange(&t->told, 1))
        return;
    t->done(t->ctx, sq_now_ns() - t->start_ns,
            sq_process_cpu_ns() - t->start_cpu_ns);
}

const struct sq_bus_ops sq_boot_timer_ops = {timer_read, timer_write};

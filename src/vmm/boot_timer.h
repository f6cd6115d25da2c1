/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page that a guest writes 123 to when it has booted, as Firecracker's
 * --boot-timer has it (its src/vmm/src/devices/pseudo/boot_timer.rs).
 */
#ifndef SQ_VMM_BOOT_TIMER_H
#define SQ_VMM_BOOT_TIMER_H

#include <stdatomic.h>
#include <stdint.h>

#include "dev/bus.h"

#define SQ_BOOT_TIMER_LEN 0x1000u
#define SQ_BOOT_TIMER_MAGIC 123u

struct sq_boot_timer {
    uint64_t start_ns, start_cpu_ns; /* set when the VM starts */
    _Atomic int told;
    /* A vCPU thread, once. */
    void (*done)(void *ctx, uint64_t wall_ns, uint64_t cpu_ns);
    void *ctx;
};

extern const struct sq_bus_ops sq_boot_timer_ops;

#endif

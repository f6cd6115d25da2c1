/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways to power off and to reset other than the keyboard controller: the
 * ACPI sleep control and status registers (ACPI 6.3, 4.8.3.7), port 0x92
 * bit 0, and the PCI reset control register 0xcf9.
 */
#ifndef SQ_DEV_LEGACY_POWER_H
#define SQ_DEV_LEGACY_POWER_H

#include <stdint.h>

#include "dev/bus.h"

#define SQ_POWER_SLEEP_PORTS 2 /* control, status */
#define SQ_POWER_PORT_A 0x92
#define SQ_POWER_RESET_CONTROL 0xcf9

/* Callbacks run on a vCPU thread. */
struct sq_power {
    void (*shutdown)(void *ctx);
    void (*reset)(void *ctx);
    void *ctx;
    uint8_t sleep_type_off; /* SLP_TYP that means S5 */
};

extern const struct sq_bus_ops sq_power_sleep_ops; /* two ports */
extern const struct sq_bus_ops sq_power_port_a_ops; /* one port */
extern const struct sq_bus_ops sq_power_reset_control_ops; /* one port */

#endif

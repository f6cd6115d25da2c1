/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All legacy devices of a PC that squib has, as one set on the port bus.
 *
 * Beside the real ones there are quiet answers for ports that kernels
 * touch although nothing is there: the POST port, the interrupt controllers
 * (answer all ones: "none"), the interval timer (answers zero, its gate
 * reads "done", so that a calibration loop ends at once).
 */
#ifndef SQ_DEV_LEGACY_LEGACY_H
#define SQ_DEV_LEGACY_LEGACY_H

#include <stdbool.h>

#include "dev/legacy/i8042.h"
#include "dev/legacy/power.h"
#include "dev/legacy/rtc.h"
#include "dev/legacy/serial.h"

struct sq_legacy_config {
    uint16_t serial_port; /* 0: no serial port */
    struct sq_serial_config serial;
    struct sq_irq keyboard_irq;
    uint16_t sleep_port;    /* ACPI sleep control register */
    uint8_t sleep_type_off; /* SLP_TYP that means S5 */
    void (*shutdown)(void *ctx);
    void (*reset)(void *ctx);
    void *ctx;           /* of shutdown and reset */
    bool real_pic, real_pit; /* others serve 0x20.., 0x40..: add nothing */
    bool pci_ports; /* they contain SQ_POWER_RESET_CONTROL: likewise */
};

struct sq_legacy {
    bool has_serial;
    struct sq_serial serial;
    struct sq_i8042 i8042;
    struct sq_rtc rtc;
    struct sq_power power;
};

/* Initialises all devices and adds them to `ports`. On error nothing needs
 * to be undone but the bus's entries, which must not be used. */
int sq_legacy_init(struct sq_legacy *l, const struct sq_legacy_config *config,
                   struct sq_bus *ports, struct squib_error *err);
void sq_legacy_fini(struct sq_legacy *l);

#endif

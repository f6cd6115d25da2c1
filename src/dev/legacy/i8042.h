/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyboard controller at ports 0x60 and 0x64: above all the classic way
 * to reset a PC, and enough of a keyboard that a driver finds it without
 * waiting and that Ctrl-Alt-Del can be pressed from outside. No mouse.
 * (IBM PS/2 Hardware Interface Technical Reference, keyboard controller.)
 */
#ifndef SQ_DEV_LEGACY_I8042_H
#define SQ_DEV_LEGACY_I8042_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <squib/error.h>

#include "core/irq.h"
#include "dev/bus.h"

#define SQ_I8042_DATA_PORT 0x60
#define SQ_I8042_COMMAND_PORT 0x64
#define SQ_I8042_QUEUE_MAX 64

struct sq_i8042_config {
    struct sq_irq irq; /* line 1; not connected is fine */
    void (*reset)(void *ctx); /* the guest asks for a reset; vCPU thread */
    void *ctx;
};

/* Accesses to either port; only ever grow; read them from any thread. */
struct sq_i8042_counters {
    _Atomic uint64_t reads, writes;
    _Atomic uint64_t resets; /* that the guest asked for */
};

struct sq_i8042 {
    struct sq_i8042_config config;
    pthread_mutex_t lock; /* all below */
    uint8_t command_byte; /* RAM byte 0 */
    uint8_t pending;      /* controller command that waits for its data */
    uint8_t kbd_pending;  /* keyboard command that waits for its data */
    uint8_t queue[SQ_I8042_QUEUE_MAX]; /* towards the guest */
    unsigned head, count;
    bool irq_level;
    struct sq_i8042_counters counters;
};

extern const struct sq_bus_ops sq_i8042_data_ops;    /* one port */
extern const struct sq_bus_ops sq_i8042_command_ops; /* one port */

int sq_i8042_init(struct sq_i8042 *k, const struct sq_i8042_config *config,
                  struct squib_error *err);
void sq_i8042_fini(struct sq_i8042 *k);

/* Presses and releases Ctrl-Alt-Del. False if the guest has not enabled the
 * keyboard or does not read it. Any thread. */
bool sq_i8042_ctrl_alt_del(struct sq_i8042 *k);

#endif

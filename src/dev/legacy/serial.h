/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A serial port (National PC16550D data sheet), eight ports wide.
 *
 * The line is infinitely fast: a byte written is sent at once, and input
 * waits in a queue that is larger than the chip's 16 bytes, so that the
 * host can hand over what it has.
 */
#ifndef SQ_DEV_LEGACY_SERIAL_H
#define SQ_DEV_LEGACY_SERIAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

#include "core/irq.h"
#include "dev/bus.h"

#define SQ_SERIAL_PORTS 8
#define SQ_SERIAL_INPUT_MAX 1024

struct sq_serial_config {
    struct sq_irq irq;
    /* Bytes from the guest, in order. Called on a vCPU thread with the
     * port locked: must neither block for long nor call back here. */
    void (*out)(void *ctx, const uint8_t *data, size_t len);
    /* Optional: the input queue was full and has become empty. Called on a
     * vCPU thread, not locked. */
    void (*drained)(void *ctx);
    void *ctx;
};

/* Bytes; only ever grow; read them from any thread. */
struct sq_serial_counters {
    _Atomic uint64_t sent;     /* by the guest */
    _Atomic uint64_t received; /* taken by the guest */
};

struct sq_serial {
    struct sq_serial_config config;
    pthread_mutex_t lock; /* all below; taken before the irq's own lock */
    uint8_t ier, fcr, lcr, mcr, msr_delta, scratch;
    uint16_t divisor;
    bool thre_pending; /* "transmitter empty" not yet told */
    bool overrun;
    bool irq_level;
    bool was_full;
    size_t head, count; /* input queue */
    uint8_t input[SQ_SERIAL_INPUT_MAX];
    struct sq_serial_counters counters;
};

extern const struct sq_bus_ops sq_serial_ops;

/* Errors: SQUIB_E_OS. The owner calls fini when no thread uses it. */
int sq_serial_init(struct sq_serial *s, const struct sq_serial_config *config,
                   struct squib_error *err);
void sq_serial_fini(struct sq_serial *s);

/* Offers bytes to the guest; returns how many were taken, which may be
 * fewer or none when the guest does not read. Any thread. */
size_t sq_serial_input(struct sq_serial *s, const uint8_t *data, size_t len);

/* How many bytes sq_serial_input() would take now. Any thread. */
size_t sq_serial_room(struct sq_serial *s);

#endif

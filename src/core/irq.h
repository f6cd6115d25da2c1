/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupt lines and messages as a device holds them. */
#ifndef SQ_CORE_IRQ_H
#define SQ_CORE_IRQ_H

#include <stdbool.h>
#include <stdint.h>

struct sq_irq {
    /* Sets the level of the line; any thread. NULL: not connected. */
    void (*set)(void *ctx, uint32_t gsi, bool level);
    void *ctx;
    uint32_t gsi;
};

static inline void sq_irq_set(const struct sq_irq *irq, bool level)
{
    if (irq->set)
        irq->set(irq->ctx, irq->gsi, level);
}

/* An edge: up and down again. */
static inline void sq_irq_pulse(const struct sq_irq *irq)
{
    sq_irq_set(irq, true);
    sq_irq_set(irq, false);
}

/* Where message-signalled interrupts go. */
struct sq_msi {
    /* Writes `data` to gpa as a device on the bus would; any thread. What
     * nobody takes is dropped. NULL: not connected. */
    void (*send)(void *ctx, uint64_t gpa, uint32_t data);
    void *ctx;
};

static inline void sq_msi_send(const struct sq_msi *msi, uint64_t gpa,
                               uint32_t data)
{
    if (msi->send)
        msi->send(msi->ctx, gpa, data);
}

#endif

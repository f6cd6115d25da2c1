/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X of one function (PCI Local Bus 3.0, section 6.8.2): a table of
 * messages, one a vector, each of which the guest can mask, and a bit for
 * each that was raised meanwhile.
 *
 * Locks for itself; vectors are raised on any thread. Lock order: `lock` is
 * taken last but for what sending a message needs.
 */
#ifndef SQ_DEV_PCI_MSIX_H
#define SQ_DEV_PCI_MSIX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/irq.h"

#define SQ_MSIX_VECTORS_MAX 32u
#define SQ_MSIX_ENTRY_LEN 16u

/* Message Control (6.8.2.3): the bits that the guest may write. */
#define SQ_MSIX_ENABLE 0x8000u
#define SQ_MSIX_MASK_ALL 0x4000u

struct sq_msix_vector {
    uint64_t gpa;
    uint32_t data;
    bool masked; /* as after a reset */
};

struct sq_msix {
    pthread_mutex_t lock; /* all below but count and msi */
    bool enabled, mask_all;
    uint32_t pending; /* a bit a vector */
    struct sq_msix_vector vector[SQ_MSIX_VECTORS_MAX];
    uint32_t count;
    struct sq_msi msi;
};

/* count: 1 .. SQ_MSIX_VECTORS_MAX. */
void sq_msix_init(struct sq_msix *m, uint32_t count, struct sq_msi msi);
void sq_msix_destroy(struct sq_msix *m);

/* Message Control was written. */
void sq_msix_control(struct sq_msix *m, uint16_t control);

/* Sends the vector's message, now or when it is unmasked; a vector that is
 * not there sends nothing. False: the guest does not use MSI-X. */
bool sq_msix_raise(struct sq_msix *m, uint32_t vector);

/* Accesses to the table, `off` from its start: 4 or 8 bytes, aligned
 * (6.8.2). Others read as zero and write nothing. */
void sq_msix_table_read(struct sq_msix *m, uint64_t off, uint8_t *data,
                        unsigned len);
void sq_msix_table_write(struct sq_msix *m, uint64_t off,
                         const uint8_t *data, unsigned len);
/* The same for the pending bits, which cannot be written. */
void sq_msix_pending_read(struct sq_msix *m, uint64_t off, uint8_t *data,
                          unsigned len);

#endif

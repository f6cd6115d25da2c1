/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The phase of one virtual machine, safe to read and to move on from any
 * thread. Only steps that squib_phase_may_follow() allows are made. The
 * outcome is recorded together with the step to STOPPING, so there is one
 * and only one.
 *
 * Lock order: `lock` is a leaf; nothing else is taken while it is held.
 */
#ifndef SQ_VMM_LIFECYCLE_H
#define SQ_VMM_LIFECYCLE_H

#include <pthread.h>
#include <stdbool.h>

#include <squib/error.h>
#include <squib/lifecycle.h>

#include "vmm/outcome.h"

struct sq_lifecycle {
    pthread_mutex_t lock;
    enum squib_phase phase;    /* under lock */
    struct sq_outcome outcome; /* under lock until STOPPED */
};

/* Starts in CONFIGURING. */
void sq_lifecycle_init(struct sq_lifecycle *life);
void sq_lifecycle_destroy(struct sq_lifecycle *life);

enum squib_phase sq_lifecycle_phase(struct sq_lifecycle *life);

/* Makes one step. Errors: SQUIB_E_STATE; the text names both phases. */
int sq_lifecycle_step(struct sq_lifecycle *life, enum squib_phase to,
                      struct squib_error *err);

/* Goes to STOPPING with this outcome. False when it is not the first to do
 * so, or there is nothing to stop; then nothing changes. `text` may be
 * NULL. */
bool sq_lifecycle_stop(struct sq_lifecycle *life, enum sq_outcome_kind kind,
                       const char *text);

/* A copy of the outcome; kind NONE before the step to STOPPING. */
struct sq_outcome sq_lifecycle_outcome(struct sq_lifecycle *life);

#endif

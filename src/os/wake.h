/* SPDX-License-Identifier: Apache-2.0 */
/* A binary wake-up that one thread sleeps on and any thread, or a signal
 * handler, may ring. */
#ifndef SQ_OS_WAKE_H
#define SQ_OS_WAKE_H

#include <stdint.h>

#include <squib/error.h>

struct sq_wake {
    int fd[2]; /* Linux: one eventfd in both; elsewhere a pipe */
};

int sq_wake_init(struct sq_wake *w, struct squib_error *err);
void sq_wake_destroy(struct sq_wake *w);

/* Rings: the current or next wait returns. Async-signal-safe. */
void sq_wake_signal(struct sq_wake *w);

/* Sleeps until rung or until the monotonic clock reaches deadline_ns
 * (UINT64_MAX: no limit), then takes all rings. May return early. */
void sq_wake_wait(struct sq_wake *w, uint64_t deadline_ns);

/* For pollers: readable while rung. Drain takes the rings. */
int sq_wake_fd(const struct sq_wake *w);
void sq_wake_drain(struct sq_wake *w);

#endif

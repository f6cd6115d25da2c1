/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's way to wait for many descriptors: epoll or kqueue. For the
 * poller alone. Level-triggered. Functions return 0 or an errno.
 */
#ifndef SQ_OS_EVENTS_H
#define SQ_OS_EVENTS_H

#include <stdint.h>

/* One descriptor that is ready: the key that it was watched with, and
 * SQ_POLL_* of what is true. */
struct sq_event {
    uint64_t key;
    unsigned events;
};

/* "Not watched", as the state before or after a change. */
#define SQ_EVENTS_NONE (~0u)

/* *queue is a descriptor that the caller closes. */
int sq_events_open(int *queue);

/* From watching `before` to watching `after` (SQ_POLL_IN and OUT, may be 0:
 * hang-ups are told all the same). */
int sq_events_change(int queue, int fd, unsigned before, unsigned after,
                     uint64_t key);

/* Waits at most timeout_ms (-1: for ever) and stores up to `room` events;
 * *n is their number, 0 after a signal. A key may come more than once. */
int sq_events_wait(int queue, struct sq_event *out, int room, int timeout_ms,
                   int *n);

#endif

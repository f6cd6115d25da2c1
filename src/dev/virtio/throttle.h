/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rate limit on one queue of a device: the device asks before it starts a
 * request, and after a refusal leaves the queue alone until its notify() is
 * called again, which the throttle sees to.
 *
 *     if (throttle->waiting)
 *         return;                        first thing in notify()
 *     ... sq_virtio_pop(dev, q, &chain)
 *     if (!sq_throttle_admit(throttle, bytes)) {
 *         sq_queue_unpop(&dev->queue[q]);
 *         return or stop looking, without sq_queue_rearm()
 *     }
 *
 * Event thread with the device's mutex held, unless said otherwise.
 */
#ifndef SQ_DEV_VIRTIO_THROTTLE_H
#define SQ_DEV_VIRTIO_THROTTLE_H

#include "dev/ratelimit.h"
#include "dev/virtio/device.h"

struct sq_throttle {
    struct sq_ratelimit limit;
    struct sq_timer timer;
    struct sq_virtio_device *dev;
    unsigned q;
    bool waiting;
    /* Only ever grow; read them from any thread. */
    _Atomic uint64_t refusals; /* requests that had to wait */
    _Atomic uint64_t wakeups;  /* waits that ended by the timer */
};

/* In the device's _new(): no limits. Any thread. */
void sq_throttle_init(struct sq_throttle *t, struct sq_virtio_device *dev,
                      unsigned q);

/* Whether one request of `bytes` may start now. False: it waits. */
bool sq_throttle_admit(struct sq_throttle *t, uint64_t bytes);

/* In the device's reset(): nothing waits any more. Limits stay. */
void sq_throttle_reset(struct sq_throttle *t);

/* In the device's free(). */
void sq_throttle_fini(struct sq_throttle *t);

/* New limits; NULL leaves that bucket alone. What waits is looked at again.
 * Event thread, or before a transport has the device; takes the device's
 * mutex. */
void sq_throttle_update(struct sq_throttle *t,
                        const struct sq_bucket_config *bandwidth,
                        const struct sq_bucket_config *ops);

#endif

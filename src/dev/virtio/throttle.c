/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/virtio/throttle.h"

#include "os/clock.h"

static void look_again(struct sq_throttle *t)
{
    t->waiting = false;
    sq_virtio_again(t->dev, t->q);
}

static void timer_fired(void *ctx, uint64_t now_ns)
{
    struct sq_throttle *t = ctx;

    (void)now_ns;
    if (!sq_virtio_enter(t->dev))
        return; /* a reset has ended the wait */
    if (t->waiting) {
        atomic_fetch_add_explicit(&t->wakeups, 1, memory_order_relaxed);
        look_again(t);
    }
    sq_virtio_leave(t->dev);
}

void sq_throttle_init(struct sq_throttle *t, struct sq_virtio_device *dev,
                      unsigned q)
{
    *t = (struct sq_throttle){
        .timer = {.fn = timer_fired, .ctx = t},
        .dev = dev,
        .q = q,
    };
}

bool sq_throttle_admit(struct sq_throttle *t, uint64_t bytes)
{
    uint64_t next_ns;

    if (!sq_ratelimit_limits(&t->limit) ||
        sq_ratelimit_take(&t->limit, bytes, 1, sq_now_ns(), &next_ns))
        return true;
    atomic_fetch_add_explicit(&t->refusals, 1, memory_order_relaxed);
    t->waiting = true;
    sq_timer_arm(t->dev->poller, &t->timer, next_ns);
    return false;
}

static void disarm(struct sq_throttle *t)
{
    if (t->timer.armed)
        sq_timer_disarm(t->dev->poller, &t->timer);
}

void sq_throttle_reset(struct sq_throttle *t)
{
    disarm(t);
    t->waiting = false;
}

void sq_throttle_fini(struct sq_throttle *t)
{
    disarm(t);
}

void sq_throttle_update(struct sq_throttle *t,
                        const struct sq_bucket_config *bandwidth,
                        const struct sq_bucket_config *ops)
{
    pthread_mutex_lock(&t->dev->mutex);
    sq_ratelimit_update(&t->limit, bandwidth, ops, sq_now_ns());
    if (t->waiting) {
        disarm(t);
        look_again(t);
    }
    pthread_mutex_unlock(&t->dev->mutex);
}

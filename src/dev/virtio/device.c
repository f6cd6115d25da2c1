/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/virtio/device.h"

#include "dev/virtio/transport.h"

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Resets and activations that the transport noted, in order: a reset that
 * came after an activation has taken its bit back (sq_virtio_reset). True
 * if the device was reset. */
static bool lifecycle(struct sq_virtio_device *dev)
{
    uint32_t bits =
        atomic_fetch_and(&dev->pending, ~(SQ_VIRTIO_PENDING_RESET |
                                          SQ_VIRTIO_PENDING_ACTIVATE));
    bool was_reset = false;

    if ((bits & SQ_VIRTIO_PENDING_RESET) && dev->active) {
        dev->active = false;
        was_reset = true;
        if (dev->ops->reset)
            dev->ops->reset(dev);
    }
    if ((bits & SQ_VIRTIO_PENDING_ACTIVATE) && !dev->active) {
        dev->active = true;
        if (dev->ops->activate)
            dev->ops->activate(dev);
        /* Whatever is in the queues already; `work` is posted. */
        atomic_fetch_or(&dev->pending,
                        (1u << dev->ops->queue_count) - 1);
    }
    return was_reset;
}

static void run(void *ctx)
{
    struct sq_virtio_device *dev = ctx;
    uint32_t bits;

    pthread_mutex_lock(&dev->mutex);
    lifecycle(dev);
    if (dev->active && !dev->paused) {
        bits = atomic_fetch_and(&dev->pending, ~SQ_VIRTIO_PENDING_QUEUES);
        for (unsigned q = 0; q < dev->ops->queue_count; q++)
            if (bits & SQ_VIRTIO_PENDING_QUEUE(q)) {
                count(&dev->counters.queue_events[q]);
                dev->ops->notify(dev, q);
            }
    }
    pthread_mutex_unlock(&dev->mutex);
}

void sq_virtio_device_init(struct sq_virtio_device *dev,
                           const struct sq_virtio_ops *ops,
                           uint64_t features)
{
    dev->ops = ops;
    dev->features_offered = features | SQ_VIRTIO_F_COMMON;
    dev->work = (struct sq_work){.fn = run, .ctx = dev};
    for (unsigned q = 0; q < ops->queue_count; q++)
        dev->queue[q].size_max = ops->queue_size;
    pthread_mutex_init(&dev->mutex, NULL);
}

void sq_virtio_device_destroy(struct sq_virtio_device *dev)
{
    pthread_mutex_destroy(&dev->mutex);
}

bool sq_virtio_enter(struct sq_virtio_device *dev)
{
    pthread_mutex_lock(&dev->mutex);
    if (!lifecycle(dev) && dev->active)
        return true;
    pthread_mutex_unlock(&dev->mutex);
    return false;
}

void sq_virtio_leave(struct sq_virtio_device *dev)
{
    pthread_mutex_unlock(&dev->mutex);
}

bool sq_virtio_pop(struct sq_virtio_device *dev, unsigned q,
                   struct sq_chain *chain)
{
    bool was_broken = dev->queue[q].broken;

    switch (sq_queue_pop(&dev->queue[q], chain)) {
    case SQ_QUEUE_CHAIN:
        return true;
    case SQ_QUEUE_BROKEN:
        if (!was_broken)
            sq_virtio_fail(dev);
        return false;
    case SQ_QUEUE_EMPTY:
        break;
    }
    return false;
}

void sq_virtio_push(struct sq_virtio_device *dev, unsigned q,
                    const struct sq_chain *chain, uint32_t written)
{
    sq_queue_push(&dev->queue[q], chain->head, written);
}

void sq_virtio_push_all(struct sq_virtio_device *dev, unsigned q,
                        const struct sq_used *used, unsigned count)
{
    sq_queue_push_all(&dev->queue[q], used, count);
}

static void interrupt(struct sq_virtio_device *dev,
                      enum sq_virtio_cause cause, unsigned q)
{
    count(&dev->counters.interrupts);
    if (cause == SQ_VIRTIO_CAUSE_CONFIG)
        count(&dev->counters.config_changes);
    dev->transport->ops->interrupt(dev->transport, cause, q);
}

void sq_virtio_signal(struct sq_virtio_device *dev, unsigned q)
{
    if (sq_queue_needs_interrupt(&dev->queue[q]))
        interrupt(dev, SQ_VIRTIO_CAUSE_QUEUE, q);
}

void sq_virtio_again(struct sq_virtio_device *dev, unsigned q)
{
    sq_virtio_post(dev, SQ_VIRTIO_PENDING_QUEUE(q));
}

void sq_virtio_fail(struct sq_virtio_device *dev)
{
    uint32_t old =
        atomic_fetch_or(&dev->status, (uint32_t)SQ_VIRTIO_NEEDS_RESET);

    count(&dev->counters.guest_errors);
    count(&dev->counters.failures);
    for (unsigned q = 0; q < dev->ops->queue_count; q++)
        dev->queue[q].broken = true;
    if ((old & SQ_VIRTIO_DRIVER_OK) && !(old & SQ_VIRTIO_NEEDS_RESET))
        interrupt(dev, SQ_VIRTIO_CAUSE_CONFIG, 0);
}

void sq_virtio_config_changed(struct sq_virtio_device *dev)
{
    atomic_fetch_add(&dev->config_generation, 1);
    if (atomic_load(&dev->status) & SQ_VIRTIO_DRIVER_OK)
        interrupt(dev, SQ_VIRTIO_CAUSE_CONFIG, 0);
}

void sq_virtio_post(struct sq_virtio_device *dev, uint32_t bits)
{
    atomic_fetch_or(&dev->pending, bits);
    sq_poller_post(dev->poller, &dev->work);
}

void sq_virtio_pause(struct sq_virtio_device *dev)
{
    pthread_mutex_lock(&dev->mutex);
    lifecycle(dev);
    dev->paused = true;
    if (dev->active && dev->ops->pause)
        dev->ops->pause(dev);
    pthread_mutex_unlock(&dev->mutex);
}

void sq_virtio_resume(struct sq_virtio_device *dev)
{
    dev->paused = false;
    sq_poller_post(dev->poller, &dev->work);
}

void sq_virtio_lose_memory(struct sq_virtio_device *dev,
                           struct squib_range range)
{
    pthread_mutex_lock(&dev->mutex);
    for (unsigned q = 0; q < dev->ops->queue_count; q++) {
        if (!sq_queue_lies_in(&dev->queue[q], range))
            continue;
        dev->queue[q].ready = false; /* nobody touches its rings again */
        sq_virtio_fail(dev);
    }
    pthread_mutex_unlock(&dev->mutex);
}

void sq_virtio_reset(struct sq_virtio_device *dev)
{
    atomic_store(&dev->status, 0);
    dev->features_acked = 0;
    for (unsigned q = 0; q < dev->ops->queue_count; q++)
        sq_queue_reset(&dev->queue[q]);
    atomic_fetch_and(&dev->pending, ~(SQ_VIRTIO_PENDING_ACTIVATE |
                                      SQ_VIRTIO_PENDING_QUEUES));
    sq_virtio_post(dev, SQ_VIRTIO_PENDING_RESET);
}

bool sq_virtio_features_ok(struct sq_virtio_device *dev, uint64_t acked)
{
    if ((acked & ~dev->features_offered) || !(acked & SQ_VIRTIO_F_VERSION_1))
        return false;
    dev->features_acked = acked;
    return true;
}

void sq_virtio_queue_start(struct sq_virtio_device *dev, unsigned q)
{
    if (!sq_queue_start(&dev->queue[q], dev->mem,
                        sq_virtio_acked(dev, SQ_VIRTIO_F_EVENT_IDX),
                        sq_virtio_acked(dev, SQ_VIRTIO_F_INDIRECT_DESC))) {
        count(&dev->counters.activate_failed);
        sq_virtio_fail(dev);
    }
}

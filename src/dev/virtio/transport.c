/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/virtio/transport.h"

#include <string.h>

void sq_transport_init(struct sq_transport *t,
                       const struct sq_transport_ops *ops,
                       struct sq_virtio_device *dev,
                       struct squib_memory *mem, struct sq_poller *poller)
{
    t->ops = ops;
    t->dev = dev;
    dev->mem = mem;
    dev->poller = poller;
    dev->transport = t;
}

void sq_transport_free(struct sq_transport *t)
{
    struct sq_virtio_device *dev;

    if (!t)
        return;
    dev = t->dev;
    if (t->has_notify) {
        sq_poller_del(dev->poller, sq_wake_fd(&t->notify));
        sq_wake_destroy(&t->notify);
    }
    sq_poller_unpost(dev->poller, &dev->work);
    dev->ops->free(dev);
    t->ops->free(t);
}

/* The descriptor does not say which queue: look at all of them. */
static void rung(void *ctx, int fd, unsigned events)
{
    struct sq_transport *t = ctx;
    struct sq_virtio_device *dev = t->dev;

    (void)fd;
    (void)events;
    sq_wake_drain(&t->notify);
    if (!(atomic_load(&dev->status) & SQ_VIRTIO_DRIVER_OK))
        return;
    atomic_fetch_add_explicit(&dev->counters.notifications, 1,
                              memory_order_relaxed);
    atomic_fetch_or(&dev->pending, (1u << dev->ops->queue_count) - 1);
    dev->work.fn(dev->work.ctx);
}

int sq_transport_notify_fd(struct sq_transport *t, struct squib_error *err)
{
    int fd, rc = sq_wake_init(&t->notify, err);

    if (rc)
        return rc;
    fd = sq_wake_fd(&t->notify);
    rc = sq_poller_add(t->dev->poller, fd, SQ_POLL_IN, rung, t, err);
    if (rc) {
        sq_wake_destroy(&t->notify);
        return rc;
    }
    t->has_notify = true;
    return fd;
}

void sq_transport_guest_error(struct sq_transport *t)
{
    atomic_fetch_add_explicit(&t->dev->counters.guest_errors, 1,
                              memory_order_relaxed);
}

void sq_transport_notified(struct sq_transport *t, uint32_t q)
{
    struct sq_virtio_device *dev = t->dev;

    if (q >= dev->ops->queue_count ||
        !(atomic_load(&dev->status) & SQ_VIRTIO_DRIVER_OK)) {
        sq_transport_guest_error(t);
        return;
    }
    atomic_fetch_add_explicit(&dev->counters.notifications, 1,
                              memory_order_relaxed);
    sq_virtio_post(dev, SQ_VIRTIO_PENDING_QUEUE(q));
}

void sq_transport_config_read(struct sq_transport *t, uint64_t off,
                              uint8_t *data, unsigned len)
{
    struct sq_virtio_device *dev = t->dev;

    memset(data, 0, len);
    pthread_mutex_lock(&dev->mutex);
    for (unsigned i = 0; i < len && off + i < dev->config_len; i++)
        data[i] = dev->config[off + i];
    pthread_mutex_unlock(&dev->mutex);
}

void sq_transport_config_write(struct sq_transport *t, uint64_t off,
                               const uint8_t *data, unsigned len)
{
    struct sq_virtio_device *dev = t->dev;

    if (!dev->ops->config_written || off >= dev->config_len ||
        len > dev->config_len - off) {
        atomic_fetch_add_explicit(&dev->counters.config_failed, 1,
                                  memory_order_relaxed);
        sq_transport_guest_error(t);
        return;
    }
    pthread_mutex_lock(&dev->mutex);
    memcpy(&dev->config[off], data, len);
    dev->ops->config_written(dev, (unsigned)off, len);
    pthread_mutex_unlock(&dev->mutex);
}

uint32_t sq_transport_features(const struct sq_transport *t)
{
    uint64_t offered = t->dev->features_offered;

    return t->device_features_sel == 0   ? (uint32_t)offered
           : t->device_features_sel == 1 ? (uint32_t)(offered >> 32)
                                         : 0;
}

void sq_transport_accept(struct sq_transport *t, uint32_t word)
{
    uint32_t status = atomic_load(&t->dev->status);

    if ((status & (SQ_VIRTIO_DRIVER | SQ_VIRTIO_FEATURES_OK)) !=
        SQ_VIRTIO_DRIVER)
        sq_transport_guest_error(t);
    else if (t->driver_features_sel <= 1)
        sq_transport_set_half(&t->driver_features, t->driver_features_sel,
                              word);
    else if (word)
        sq_transport_guest_error(t); /* a feature beyond bit 63 */
}

static void reset(struct sq_transport *t)
{
    sq_virtio_reset(t->dev);
    t->device_features_sel = t->driver_features_sel = t->queue_sel = 0;
    t->driver_features = 0;
    atomic_store(&t->interrupt_status, 0);
    if (t->ops->reset)
        t->ops->reset(t);
}

/* 2.1.1, 3.1.1: bits are added in order; only a reset takes them away. */
void sq_transport_write_status(struct sq_transport *t, uint32_t v)
{
    struct sq_virtio_device *dev = t->dev;
    uint32_t old = atomic_load(&dev->status), add = v & ~old;

    if (v == 0) {
        reset(t);
        return;
    }
    if (old & ~v & ~(uint32_t)SQ_VIRTIO_NEEDS_RESET)
        sq_transport_guest_error(t);
    old |= add & (SQ_VIRTIO_ACKNOWLEDGE | SQ_VIRTIO_DRIVER |
                  SQ_VIRTIO_FAILED);
    if (add & SQ_VIRTIO_FEATURES_OK) {
        if ((old & SQ_VIRTIO_DRIVER) &&
            sq_virtio_features_ok(dev, t->driver_features))
            old |= SQ_VIRTIO_FEATURES_OK;
        else
            sq_transport_guest_error(t);
    }
    if ((add & SQ_VIRTIO_DRIVER_OK) &&
        (old & (SQ_VIRTIO_FEATURES_OK | SQ_VIRTIO_FAILED)) ==
            SQ_VIRTIO_FEATURES_OK) {
        atomic_store(&dev->status, old | SQ_VIRTIO_DRIVER_OK);
        sq_virtio_post(dev, SQ_VIRTIO_PENDING_ACTIVATE);
        return;
    }
    atomic_store(&dev->status, old);
}

struct sq_queue *sq_transport_queue(const struct sq_transport *t)
{
    return t->queue_sel < t->dev->ops->queue_count
               ? &t->dev->queue[t->queue_sel]
               : NULL;
}

struct sq_queue *sq_transport_idle_queue(struct sq_transport *t)
{
    struct sq_queue *q = sq_transport_queue(t);
    uint32_t phase = atomic_load(&t->dev->status) &
                     (SQ_VIRTIO_FEATURES_OK | SQ_VIRTIO_DRIVER_OK |
                      SQ_VIRTIO_NEEDS_RESET);

    if (q && !q->ready && phase == SQ_VIRTIO_FEATURES_OK)
        return q;
    sq_transport_guest_error(t);
    return NULL;
}

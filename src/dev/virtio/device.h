/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a virtio device is to its transport, and the other way round.
 *
 * A device embeds struct sq_virtio_device first and fills ops, features and
 * configuration space in its _new() function. A transport (transport.h)
 * then owns it: it negotiates, sets the queues up, and calls the device. A
 * device never learns which transport it has. docs/add-a-device.md shows
 * the steps.
 *
 * Threads. Registers are written by vCPU threads; everything a device does
 * happens on the event thread. In between stand `mutex` and `pending`:
 *
 *   - the transport changes status, features and queues under `mutex`;
 *   - a notification, activation or reset sets a bit in `pending` and posts
 *     `work`; the event thread then calls reset, activate and notify, in
 *     that order, under `mutex`;
 *   - a device that is called by the event loop for another reason (a host
 *     descriptor, a timer) starts with sq_virtio_enter(), so that it never
 *     sees the queues of the driver's next life with its own old state.
 *
 * A reset takes effect for the guest at once: the queues stop under
 * `mutex`, before the write to the status register returns. The device's
 * own clean-up follows on the event thread.
 *
 * Lock order: device mutex, then what an interrupt line needs.
 */
#ifndef SQ_DEV_VIRTIO_DEVICE_H
#define SQ_DEV_VIRTIO_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/memory.h"
#include "dev/virtio/queue.h"
#include "os/poller.h"

#define SQ_VIRTIO_QUEUES_MAX 8u
#define SQ_VIRTIO_CONFIG_MAX 64u

/* Device identifiers (virtio 1.2, section 5). */
enum sq_virtio_id {
    SQ_VIRTIO_ID_NET = 1,
    SQ_VIRTIO_ID_BLK = 2,
    SQ_VIRTIO_ID_RNG = 4,
    SQ_VIRTIO_ID_BALLOON = 5,
    SQ_VIRTIO_ID_VSOCK = 19,
    SQ_VIRTIO_ID_MEM = 24,
    SQ_VIRTIO_ID_PMEM = 27,
};

/* Device status bits (2.1). */
enum sq_virtio_status {
    SQ_VIRTIO_ACKNOWLEDGE = 1,
    SQ_VIRTIO_DRIVER = 2,
    SQ_VIRTIO_DRIVER_OK = 4,
    SQ_VIRTIO_FEATURES_OK = 8,
    SQ_VIRTIO_NEEDS_RESET = 64,
    SQ_VIRTIO_FAILED = 128,
};

/* Features of every device (6). */
#define SQ_VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define SQ_VIRTIO_F_EVENT_IDX (1ull << 29)
#define SQ_VIRTIO_F_VERSION_1 (1ull << 32)
#define SQ_VIRTIO_F_COMMON                                                 \
    (SQ_VIRTIO_F_INDIRECT_DESC | SQ_VIRTIO_F_EVENT_IDX |                   \
     SQ_VIRTIO_F_VERSION_1)

/* Why the driver is interrupted; values are those of InterruptStatus. */
enum sq_virtio_cause {
    SQ_VIRTIO_CAUSE_QUEUE = 1,
    SQ_VIRTIO_CAUSE_CONFIG = 2,
};

struct sq_virtio_device;
struct sq_transport;

/* All callbacks: event thread, device mutex held; NULL where optional. */
struct sq_virtio_ops {
    const char *name; /* "blk": for messages and metrics */
    uint32_t id;      /* enum sq_virtio_id */
    uint32_t queue_count;
    uint16_t queue_size; /* offered for each queue */

    /* The driver is ready (DRIVER_OK): features_acked is final. Optional. */
    void (*activate)(struct sq_virtio_device *dev);
    /* Forget everything the driver caused. Only after activate. Optional. */
    void (*reset)(struct sq_virtio_device *dev);
    /* The driver notified queue q, or may have. Never before activate. */
    void (*notify)(struct sq_virtio_device *dev, unsigned q);
    /* No notify() follows until the device may go on: end what is under way
     * for the host's side to be at rest. Only while active. Optional. */
    void (*pause)(struct sq_virtio_device *dev);
    /* The driver wrote [off, off + len) of `config` (already stored, within
     * bounds). NULL: configuration space is read-only. The one callback
     * that runs on the writing vCPU's thread. */
    void (*config_written)(struct sq_virtio_device *dev, unsigned off,
                           unsigned len);
    /* Releases the device. Queues and loop are quiet by then; the mutex is
     * not held. */
    void (*free)(struct sq_virtio_device *dev);
};

/* Only ever grow; read them from any thread. */
struct sq_virtio_counters {
    _Atomic uint64_t notifications; /* from the driver */
    _Atomic uint64_t interrupts;    /* to the driver */
    _Atomic uint64_t config_changes; /* of them, for the configuration */
    _Atomic uint64_t guest_errors;  /* broken rules of any kind */
    _Atomic uint64_t failures;      /* that ask for a reset */
    _Atomic uint64_t config_failed; /* refused writes of configuration */
    _Atomic uint64_t activate_failed; /* queues that cannot be */
    /* Times that the device was to look at a queue. */
    _Atomic uint64_t queue_events[SQ_VIRTIO_QUEUES_MAX];
};

struct sq_virtio_device {
    /* Set by the device before a transport takes it, constant then. */
    const struct sq_virtio_ops *ops;
    uint64_t features_offered;

    /* Configuration space, little-endian; under mutex. */
    uint8_t config[SQ_VIRTIO_CONFIG_MAX];
    unsigned config_len;

    /* Set by the transport. */
    struct squib_memory *mem;
    struct sq_poller *poller;
    struct sq_transport *transport;

    pthread_mutex_t mutex;
    uint64_t features_acked; /* under mutex */
    struct sq_queue queue[SQ_VIRTIO_QUEUES_MAX];
    _Atomic uint32_t status; /* written under mutex */
    _Atomic uint32_t config_generation;

    _Atomic uint32_t pending; /* what the event thread still has to do */
    struct sq_work work;
    bool active; /* event thread: between activate and reset */
    bool paused; /* event thread: notify() has to wait */

    struct sq_virtio_counters counters;
};

static inline bool sq_virtio_acked(const struct sq_virtio_device *dev,
                                   uint64_t feature)
{
    return (dev->features_acked & feature) != 0;
}

/* ---- For devices ---- */

/* First thing in a device's _new(); ops and features_offered are set. */
void sq_virtio_device_init(struct sq_virtio_device *dev,
                           const struct sq_virtio_ops *ops,
                           uint64_t features);
/* Last thing in a device's free(), before free(3). */
void sq_virtio_device_destroy(struct sq_virtio_device *dev);

/* Event thread, entry from outside the transport. Takes the mutex and first
 * carries out pending resets and activations. False (and the mutex is not
 * held) when the device is not active or has just been reset: what the
 * caller was called for may no longer exist; return at once. */
bool sq_virtio_enter(struct sq_virtio_device *dev);
void sq_virtio_leave(struct sq_virtio_device *dev);

/* The rest: event thread with the mutex held. */

/* Next chain of queue q, false if there is none. A driver that broke the
 * rules is dealt with here (the device then needs a reset). */
bool sq_virtio_pop(struct sq_virtio_device *dev, unsigned q,
                   struct sq_chain *chain);
void sq_virtio_push(struct sq_virtio_device *dev, unsigned q,
                    const struct sq_chain *chain, uint32_t written);
/* The same for several chains that the driver must see at once. */
void sq_virtio_push_all(struct sq_virtio_device *dev, unsigned q,
                        const struct sq_used *used, unsigned count);
/* After a batch of pushes: interrupts the driver if it wants that. */
void sq_virtio_signal(struct sq_virtio_device *dev, unsigned q);
/* Has notify(q) called again by the loop, after others had their turn. */
void sq_virtio_again(struct sq_virtio_device *dev, unsigned q);
/* The driver did what no driver may do: DEVICE_NEEDS_RESET (2.1.2). All
 * queues stay silent until it resets the device. */
void sq_virtio_fail(struct sq_virtio_device *dev);
/* `config` was changed: new generation and a configuration interrupt. */
void sq_virtio_config_changed(struct sq_virtio_device *dev);

/* ---- For transports ---- */

/* What a transport has the event thread do; bits of `pending`. */
#define SQ_VIRTIO_PENDING_QUEUE(q) (1u << (q))
#define SQ_VIRTIO_PENDING_QUEUES ((1u << SQ_VIRTIO_QUEUES_MAX) - 1)
#define SQ_VIRTIO_PENDING_ACTIVATE (1u << 30)
#define SQ_VIRTIO_PENDING_RESET (1u << 31)

/* Any thread: sets bits of `pending` and wakes the event thread. */
void sq_virtio_post(struct sq_virtio_device *dev, uint32_t bits);

/* Event thread: the machine stops, and goes on. In between no request of the
 * driver is begun, and when this returns those begun before have ended. */
void sq_virtio_pause(struct sq_virtio_device *dev);
void sq_virtio_resume(struct sq_virtio_device *dev);

/* Event thread, while paused: that range is about to be memory no more. Where
 * the driver had put a ring there, the device needs a reset. */
void sq_virtio_lose_memory(struct sq_virtio_device *dev,
                           struct squib_range range);

/* Mutex held, any thread: the driver reset the device. */
void sq_virtio_reset(struct sq_virtio_device *dev);
/* Mutex held, any thread: stores features_acked; false when the set is not
 * acceptable (2.2.2, 6.2). */
bool sq_virtio_features_ok(struct sq_virtio_device *dev, uint64_t acked);
/* Mutex held, any thread: start queue q with its registers. A refusal marks
 * the device as needing a reset. */
void sq_virtio_queue_start(struct sq_virtio_device *dev, unsigned q);

#endif

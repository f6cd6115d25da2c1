/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dev/virtio/rng.h"

#include <stdlib.h>
#include <sys/random.h> /* getentropy(): here or in unistd.h */
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

#define BATCH 64 /* requests before others have their turn */
#define ENTROPY_MAX 256u /* of one getentropy() */

struct rng {
    struct sq_virtio_device dev;
    struct sq_throttle throttle;
    struct sq_virtio_rng_counters counters;
};

static struct rng *rng_of(struct sq_virtio_device *dev)
{
    return SQ_CONTAINER_OF(dev, struct rng, dev);
}

/* What a request is charged: what it may get. */
static uint64_t cost(const struct sq_chain *chain)
{
    return chain->writable_len < SQ_VIRTIO_RNG_REQUEST_MAX
               ? chain->writable_len
               : SQ_VIRTIO_RNG_REQUEST_MAX;
}

/* Fills the writable part up to the limit. Returns the bytes written. */
static uint32_t fill(struct rng *rng, const struct sq_chain *chain)
{
    uint8_t bytes[ENTROPY_MAX];
    uint32_t done = 0;

    while (done < SQ_VIRTIO_RNG_REQUEST_MAX && done < chain->writable_len) {
        size_t n = sizeof(bytes), put;

        if (n > SQ_VIRTIO_RNG_REQUEST_MAX - done)
            n = SQ_VIRTIO_RNG_REQUEST_MAX - done;
        if (getentropy(bytes, n) != 0) {
            atomic_fetch_add(&rng->counters.host_errors, 1);
            break;
        }
        put = sq_chain_write(chain, rng->dev.mem, done, bytes, n);
        done += (uint32_t)put;
    }
    atomic_fetch_add(&rng->counters.requests, 1);
    atomic_fetch_add(&rng->counters.bytes, done);
    return done;
}

static void notify(struct sq_virtio_device *dev, unsigned q)
{
    struct rng *rng = rng_of(dev);
    bool *waiting = &rng->throttle.waiting;
    struct sq_chain chain;
    unsigned budget = BATCH;

    if (*waiting)
        return;
    do {
        sq_queue_quiet(&dev->queue[q]);
        while (budget && sq_virtio_pop(dev, q, &chain)) {
            if (!sq_throttle_admit(&rng->throttle, cost(&chain))) {
                sq_queue_unpop(&dev->queue[q]);
                break;
            }
            budget--;
            sq_virtio_push(dev, q, &chain, fill(rng, &chain));
        }
    } while (budget && !*waiting && sq_queue_rearm(&dev->queue[q]));
    if (!budget)
        sq_virtio_again(dev, q);
    sq_virtio_signal(dev, q);
}

static void reset(struct sq_virtio_device *dev)
{
    sq_throttle_reset(&rng_of(dev)->throttle);
}

static void rng_free(struct sq_virtio_device *dev)
{
    struct rng *rng = rng_of(dev);

    sq_throttle_fini(&rng->throttle);
    sq_virtio_device_destroy(dev);
    free(rng);
}

static const struct sq_virtio_ops rng_ops = {
    .name = "rng",
    .id = SQ_VIRTIO_ID_RNG,
    .queue_count = 1,
    .queue_size = 64,
    .reset = reset,
    .notify = notify,
    .free = rng_free,
};

int sq_virtio_rng_new(struct sq_virtio_device **out, struct squib_error *err)
{
    struct rng *rng = calloc(1, sizeof(*rng));

    if (!rng)
        return sq_err_set(err, SQUIB_E_NOMEM, "device rng: out of memory");
    sq_virtio_device_init(&rng->dev, &rng_ops, 0);
    sq_throttle_init(&rng->throttle, &rng->dev, 0);
    *out = &rng->dev;
    return 0;
}

struct sq_throttle *sq_virtio_rng_throttle(struct sq_virtio_device *dev)
{
    return &rng_of(dev)->throttle;
}

const struct sq_virtio_rng_counters *
sq_virtio_rng_counters(const struct sq_virtio_device *dev)
{
    return &SQ_CONTAINER_OF(dev, const struct rng, dev)->counters;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The device's own ring lies in shared memory: 256 descriptors, which are taken
 * from and given back to a stack, and the two rings. A chain of the driver
 * takes a slot and as many descriptors as it has pieces; its head is where
 * the slot is found again when the back end returns it. Ring and back end
 * live from activate to reset; the back end is trusted with guest memory,
 * which it maps, but not with this process: what it writes to the ring is
 * checked.
 *
 * A back end that goes, or breaks the rules, leaves requests that nobody
 * will answer: the device asks to be reset, which then cannot succeed.
 */
#include "dev/virtio/vhost_blk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "dev/host/vhost_user.h"
#include "os/clock.h"
#include "os/shm.h"
#include "os/wake.h"

#define QUEUE 0u
#define QUEUE_SIZE 128u
#define BATCH 128u
#define CONFIG_LEN 60u

/* 5.2.3: those that need nothing of the front end. */
#define F_SIZE_MAX (1ull << 1)
#define F_SEG_MAX (1ull << 2)
#define F_GEOMETRY (1ull << 4)
#define F_RO (1ull << 5)
#define F_BLK_SIZE (1ull << 6)
#define F_FLUSH (1ull << 9)
#define F_TOPOLOGY (1ull << 10)
#define F_DISCARD (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)
#define PASSED_ON                                                          \
    (F_SIZE_MAX | F_SEG_MAX | F_GEOMETRY | F_RO | F_BLK_SIZE | F_FLUSH |   \
     F_TOPOLOGY | F_DISCARD | F_WRITE_ZEROES)

/* The ring's file. A chain of QUEUE_SIZE descriptors, some of them in two
 * pieces, fits in any case. */
#define RING_SIZE 256u
#define RING_LEN 16384u
#define DESC_OFF 0u
#define AVAIL_OFF 4096u
#define USED_OFF 8192u
#define DESC_F_NEXT 1u
#define DESC_F_WRITE 2u
#define NO_SLOT UINT16_MAX

#define STATUS_IOERR 1u

struct vhost_blk {
    struct sq_virtio_device dev;
    struct sq_vhost_user *back;
    bool started, dead;
    bool watches_back, watches_call;
    struct sq_wake kick, call; /* ours to it, its to us */
    int ring_fd;
    uint8_t *ring;
    uint16_t next_avail, next_used;
    uint16_t free_descs, free_desc[RING_SIZE];
    uint16_t slot_of[RING_SIZE]; /* by head; NO_SLOT */
    uint16_t after[RING_SIZE];   /* the next of a chain, out of its reach */
    uint16_t free_slots, free_slot[QUEUE_SIZE];
    bool stalled; /* chains wait for descriptors */
    struct sq_virtio_vhost_blk_counters counters;
    struct sq_chain slot[QUEUE_SIZE];
};

static struct vhost_blk *vhost_of(const struct sq_virtio_device *dev)
{
    return SQ_CONTAINER_OF(dev, struct vhost_blk, dev);
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static uint16_t *ring16(struct vhost_blk *v, uint32_t off)
{
    return (uint16_t *)(void *)(v->ring + off);
}

/* Nobody serves requests any more. */
static void died(struct vhost_blk *v)
{
    if (v->dead)
        return;
    v->dead = true;
    sq_virtio_fail(&v->dev);
}

/* ---- To the back end ---- */

static void ring_reset(struct vhost_blk *v)
{
    memset(v->ring, 0, RING_LEN);
    v->next_avail = v->next_used = 0;
    v->free_descs = v->free_slots = 0;
    for (unsigned i = RING_SIZE; i-- > 0;) {
        v->free_desc[v->free_descs++] = (uint16_t)i;
        v->slot_of[i] = NO_SLOT;
    }
    for (unsigned i = QUEUE_SIZE; i-- > 0;)
        v->free_slot[v->free_slots++] = (uint16_t)i;
    v->stalled = false;
}

/* Whether the back end has all the memory of a chain. */
static bool is_shared(const struct vhost_blk *v, const struct sq_chain *c)
{
    for (unsigned k = 0; k < c->count; k++)
        for (size_t i = 0; i < sq_memory_region_count(v->dev.mem); i++) {
            const struct sq_memory_region *r =
                sq_memory_region_at(v->dev.mem, i);

            if (r->lent && c->gpa[k] - r->gpa < r->len)
                return false;
        }
    return true;
}

static void pass_on(struct vhost_blk *v, uint16_t slot)
{
    const struct sq_chain *c = &v->slot[slot];
    uint16_t next = 0, head = 0;

    /* From the last piece to the first, each knows the one behind it. */
    for (unsigned k = c->count; k-- > 0;) {
        uint8_t *d;

        head = v->free_desc[--v->free_descs];
        d = v->ring + DESC_OFF + 16u * head;
        sq_st64(d, c->gpa[k]);
        sq_st32(d + 8, (uint32_t)c->iov[k].iov_len);
        sq_st16(d + 12, (uint16_t)((k >= c->readable ? DESC_F_WRITE : 0) |
                                   (k + 1u < c->count ? DESC_F_NEXT : 0)));
        sq_st16(d + 14, next);
        v->after[head] = next;
        next = head;
    }
    v->slot_of[head] = slot;
    *ring16(v, AVAIL_OFF + 4 + 2 * (v->next_avail % RING_SIZE)) = head;
    v->next_avail++;
    __atomic_store_n(ring16(v, AVAIL_OFF + 2), v->next_avail,
                     __ATOMIC_RELEASE);
}

/* Without room for a status there is no way to say no. */
static void refuse(struct vhost_blk *v, uint16_t slot)
{
    struct sq_chain *c = &v->slot[slot];
    uint8_t status = STATUS_IOERR;

    count(&v->dev.counters.guest_errors);
    if (c->writable_len == 0) {
        sq_virtio_fail(&v->dev);
    } else {
        sq_chain_write(c, v->dev.mem, c->writable_len - 1, &status, 1);
        sq_virtio_push(&v->dev, QUEUE, c, 0);
    }
    v->free_slot[v->free_slots++] = slot;
}

/* Takes the next chain. False: none, or no room for it now. */
static bool next(struct vhost_blk *v)
{
    uint16_t slot;
    struct sq_chain *c;

    if (v->free_slots == 0) {
        v->stalled = true;
        return false;
    }
    slot = v->free_slot[v->free_slots - 1];
    c = &v->slot[slot];
    if (!sq_virtio_pop(&v->dev, QUEUE, c))
        return false;
    if (c->count > v->free_descs && v->free_descs < RING_SIZE) {
        sq_queue_unpop(&v->dev.queue[QUEUE]);
        v->stalled = true;
        return false;
    }
    v->free_slots--;
    if (c->count == 0 || c->count > v->free_descs || c->writable_len == 0 ||
        !is_shared(v, c))
        refuse(v, slot);
    else
        pass_on(v, slot);
    return true;
}

static void notify(struct sq_virtio_device *dev, unsigned q)
{
    struct vhost_blk *v = vhost_of(dev);
    unsigned budget = BATCH;

    if (v->dead || !v->started) {
        died(v);
        return;
    }
    v->stalled = false;
    do {
        sq_queue_quiet(&dev->queue[q]);
        while (budget && next(v))
            budget--;
    } while (budget && !v->stalled && sq_queue_rearm(&dev->queue[q]));
    if (budget < BATCH)
        sq_wake_signal(&v->kick);
    if (!budget)
        sq_virtio_again(dev, q);
    sq_virtio_signal(dev, q);
}

/* ---- From the back end ---- */

static void give_back(struct vhost_blk *v, uint16_t head)
{
    const struct sq_chain *c = &v->slot[v->slot_of[head]];
    uint16_t at = head;

    for (unsigned k = 0; k < c->count; k++, at = v->after[at])
        v->free_desc[v->free_descs++] = at;
    v->free_slot[v->free_slots++] = v->slot_of[head];
    v->slot_of[head] = NO_SLOT;
}

/* What the back end is done with. False: it breaks the rules. */
static bool reap(struct vhost_blk *v)
{
    uint16_t end = __atomic_load_n(ring16(v, USED_OFF + 2),
                                   __ATOMIC_ACQUIRE);

    while (v->next_used != end) {
        const uint8_t *e = v->ring + USED_OFF + 4 +
                           8u * (v->next_used % RING_SIZE);
        uint32_t head = sq_ld32(e), written = sq_ld32(e + 4);
        struct sq_chain *c;

        if (head >= RING_SIZE || v->slot_of[head] == NO_SLOT)
            return false;
        c = &v->slot[v->slot_of[head]];
        if (written > c->writable_len)
            written = (uint32_t)c->writable_len;
        sq_chain_wrote(c, v->dev.mem, 0, c->writable_len);
        sq_virtio_push(&v->dev, QUEUE, c, written);
        give_back(v, (uint16_t)head);
        v->next_used++;
    }
    return true;
}

static void called(void *ctx, int fd, unsigned events)
{
    struct vhost_blk *v = ctx;

    (void)fd;
    (void)events;
    sq_wake_drain(&v->call);
    if (!sq_virtio_enter(&v->dev))
        return;
    if (v->started && !v->dead) {
        if (!reap(v))
            died(v);
        sq_virtio_signal(&v->dev, QUEUE);
        if (v->stalled)
            sq_virtio_again(&v->dev, QUEUE);
    }
    sq_virtio_leave(&v->dev);
}

/* The socket says something only when it is over. */
static void hung_up(void *ctx, int fd, unsigned events)
{
    struct vhost_blk *v = ctx;

    (void)events;
    sq_poller_del(v->dev.poller, fd);
    v->watches_back = false;
    if (!sq_virtio_enter(&v->dev)) {
        v->dead = true; /* told when a driver comes */
        return;
    }
    died(v);
    sq_virtio_leave(&v->dev);
}

/* ---- Life ---- */

static bool watch(struct vhost_blk *v)
{
    struct sq_poller *p = v->dev.poller;

    v->watches_back = sq_poller_add(p, sq_vhost_user_fd(v->back), SQ_POLL_IN,
                                    hung_up, v, NULL) == 0;
    v->watches_call = sq_poller_add(p, sq_wake_fd(&v->call), SQ_POLL_IN,
                                    called, v, NULL) == 0;
    return v->watches_back && v->watches_call;
}

static void unwatch(struct vhost_blk *v)
{
    if (v->watches_back)
        sq_poller_del(v->dev.poller, sq_vhost_user_fd(v->back));
    if (v->watches_call)
        sq_poller_del(v->dev.poller, sq_wake_fd(&v->call));
    v->watches_back = v->watches_call = false;
}

static void activate(struct sq_virtio_device *dev)
{
    struct vhost_blk *v = vhost_of(dev);
    const struct sq_vhost_user_ring ring = {
        .fd = v->ring_fd,
        .hva = v->ring,
        .len = RING_LEN,
        .size = RING_SIZE,
        .desc_off = DESC_OFF,
        .avail_off = AVAIL_OFF,
        .used_off = USED_OFF,
        .kick_fd = v->kick.fd[0],
        .call_fd = v->call.fd[1],
    };
    uint64_t features = (dev->features_acked & PASSED_ON) |
                        SQ_VIRTIO_F_VERSION_1;
    uint64_t start_ns = sq_now_ns();

    ring_reset(v);
    if (!v->dead &&
        sq_vhost_user_start(v->back, features, dev->mem, &ring, NULL) == 0)
        v->started = true;
    if (!v->started || !watch(v)) {
        count(&v->counters.activate_failed);
        v->dead = true;
        sq_virtio_fail(dev);
        return;
    }
    atomic_store(&v->counters.activate_us, (sq_now_ns() - start_ns) / 1000);
}

/* The back end lets go of guest memory before the driver uses it anew. */
static void reset(struct sq_virtio_device *dev)
{
    struct vhost_blk *v = vhost_of(dev);

    unwatch(v);
    if (v->started && sq_vhost_user_stop(v->back, NULL) != 0)
        v->dead = true;
    v->started = false;
}

/* Waits for all that was passed on. */
static void drain(struct sq_virtio_device *dev)
{
    struct vhost_blk *v = vhost_of(dev);
    uint64_t end = sq_now_ns() + SQ_VHOST_USER_WAIT_MS * 1000000ull;

    while (v->started && !v->dead && v->free_slots < QUEUE_SIZE) {
        if (!reap(v) || sq_now_ns() > end) {
            died(v);
            break;
        }
        if (v->free_slots == QUEUE_SIZE)
            break;
        sq_wake_wait(&v->call, sq_now_ns() + 10000000);
    }
    sq_virtio_signal(dev, QUEUE);
    if (v->stalled)
        sq_virtio_again(dev, QUEUE);
}

static void vhost_free(struct sq_virtio_device *dev)
{
    struct vhost_blk *v = vhost_of(dev);

    unwatch(v);
    if (v->started)
        sq_vhost_user_stop(v->back, NULL);
    sq_vhost_user_free(v->back);
    if (v->ring)
        munmap(v->ring, RING_LEN);
    if (v->ring_fd >= 0)
        close(v->ring_fd);
    if (v->kick.fd[0] >= 0)
        sq_wake_destroy(&v->kick);
    if (v->call.fd[0] >= 0)
        sq_wake_destroy(&v->call);
    sq_virtio_device_destroy(dev);
    free(v);
}

static const struct sq_virtio_ops vhost_blk_ops = {
    .name = "vhost-blk",
    .id = SQ_VIRTIO_ID_BLK,
    .queue_count = 1,
    .queue_size = QUEUE_SIZE,
    .activate = activate,
    .reset = reset,
    .notify = notify,
    .pause = drain,
    .free = vhost_free,
};

static int make_ring(struct vhost_blk *v, struct squib_error *err)
{
    void *ring;
    int rc = sq_wake_init(&v->kick, err), error;

    if (!rc)
        rc = sq_wake_init(&v->call, err);
    if (rc)
        return rc;
    error = sq_shm_new(RING_LEN, SQ_PAGES_NORMAL, &v->ring_fd, &ring);
    if (error) {
        v->ring_fd = -1;
        return sq_err_os(err, SQUIB_E_OS, error, "vhost-user: ring");
    }
    v->ring = ring;
    return 0;
}

int sq_virtio_vhost_blk_new(const struct sq_virtio_vhost_blk_config *config,
                            struct sq_virtio_device **out,
                            struct squib_error *err)
{
    struct vhost_blk *v = calloc(1, sizeof(*v));
    uint64_t start_ns = sq_now_ns(), features;
    int rc;

    if (!v)
        return sq_err_set(err, SQUIB_E_NOMEM, "vhost-user: out of memory");
    v->kick.fd[0] = v->call.fd[0] = v->ring_fd = -1;
    sq_virtio_device_init(&v->dev, &vhost_blk_ops, 0);
    rc = sq_vhost_user_connect(config->socket, &v->back, err);
    if (!rc)
        rc = sq_vhost_user_config(v->back, v->dev.config, CONFIG_LEN, err);
    if (!rc)
        rc = make_ring(v, err);
    if (rc) {
        vhost_free(&v->dev);
        return rc;
    }
    features = sq_vhost_user_features(v->back) & PASSED_ON;
    if (!config->flush)
        features &= ~F_FLUSH;
    v->dev.features_offered |= features;
    v->dev.config_len = CONFIG_LEN;
    atomic_store(&v->counters.init_us, (sq_now_ns() - start_ns) / 1000);
    *out = &v->dev;
    return 0;
}

int sq_virtio_vhost_blk_check(const struct sq_virtio_device *dev,
                              const struct squib_memory *mem,
                              struct squib_error *err)
{
    return sq_vhost_user_can_share(vhost_of(dev)->back, mem, err);
}

int sq_virtio_vhost_blk_refresh(struct sq_virtio_device *dev,
                                struct squib_error *err)
{
    struct vhost_blk *v = vhost_of(dev);
    uint64_t start_ns = sq_now_ns();
    uint8_t config[CONFIG_LEN];
    int rc;

    pthread_mutex_lock(&dev->mutex);
    rc = sq_vhost_user_config(v->back, config, sizeof(config), err);
    if (rc) {
        count(&v->counters.config_failed);
    } else {
        memcpy(dev->config, config, sizeof(config));
        sq_virtio_config_changed(dev);
        atomic_store(&v->counters.config_us, (sq_now_ns() - start_ns) / 1000);
    }
    pthread_mutex_unlock(&dev->mutex);
    return rc;
}

const struct sq_virtio_vhost_blk_counters *
sq_virtio_vhost_blk_counters(const struct sq_virtio_device *dev)
{
    return &vhost_of(dev)->counters;
}

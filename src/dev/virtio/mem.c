/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block's state is one bit; of a window, the plugged blocks are counted.
 * Plugging: the window is shown, then the driver hears of it. Unplugging:
 * the blocks' memory goes back to the host, and when the window's last one
 * went, the window is hidden first and goes back as a whole, whatever the
 * guest may have touched there that it had not plugged.
 */
#include "dev/virtio/mem.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "os/clock.h"

#define QUEUE 0u
#define QUEUE_SIZE 128u
#define BATCH 64u /* requests before others have their turn */
#define MIB 20u

#define F_UNPLUGGED_INACCESSIBLE (1ull << 1)

/* 5.15.4 */
enum config_off {
    CONFIG_BLOCK_LEN = 0,
    CONFIG_NODE = 8,
    CONFIG_GPA = 16,
    CONFIG_REGION_LEN = 24,
    CONFIG_USABLE_LEN = 32,
    CONFIG_PLUGGED_LEN = 40,
    CONFIG_REQUESTED_LEN = 48,
    CONFIG_LEN = 56,
};

/* 5.15.6 */
enum request_type { T_PLUG, T_UNPLUG, T_UNPLUG_ALL, T_STATE };
enum answer { A_ACK = 0, A_ERROR = 3 };
enum block_state { S_PLUGGED = 0, S_UNPLUGGED = 1, S_MIXED = 2 };

#define REQUEST_LEN 24u
#define REQUEST_GPA 8u
#define REQUEST_BLOCKS 16u
#define ANSWER_LEN 10u
#define ANSWER_STATE 8u

struct mem {
    struct sq_virtio_device dev;
    struct sq_virtio_mem_config config;
    uint64_t block_len, region_len, window_len;
    uint32_t block_count;
    uint64_t *plugged; /* a bit a block */
    /* Under the mutex; also in the configuration space. */
    uint64_t usable_len, plugged_len, requested_len;
    uint32_t in_window[SQ_VIRTIO_MEM_WINDOWS_MAX]; /* plugged blocks */
    struct sq_chain chain;
    struct sq_virtio_mem_counters counters;
};

/* Blocks [first, first + count). */
struct span {
    uint32_t first, count;
};

static struct mem *mem_of(const struct sq_virtio_device *dev)
{
    return SQ_CONTAINER_OF(dev, struct mem, dev);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

uint64_t sq_virtio_mem_window_len(const struct sq_virtio_mem_sizes *sizes)
{
    uint64_t slots = sizes->total_mib / sizes->slot_mib;
    uint64_t each = (slots + SQ_VIRTIO_MEM_WINDOWS_MAX - 1) /
                    SQ_VIRTIO_MEM_WINDOWS_MAX;

    return (each * sizes->slot_mib) << MIB;
}

static void fill_config(struct mem *m)
{
    uint8_t *c = m->dev.config;

    sq_st64(c + CONFIG_BLOCK_LEN, m->block_len);
    sq_st64(c + CONFIG_GPA, m->config.gpa);
    sq_st64(c + CONFIG_REGION_LEN, m->region_len);
    sq_st64(c + CONFIG_USABLE_LEN, m->usable_len);
    sq_st64(c + CONFIG_PLUGGED_LEN, m->plugged_len);
    sq_st64(c + CONFIG_REQUESTED_LEN, m->requested_len);
}

/* ---- Blocks ---- */

static bool is_plugged(const struct mem *m, uint32_t block)
{
    return m->plugged[block / 64] >> (block % 64) & 1;
}

static enum block_state state_of(const struct mem *m, struct span s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s.count; i++)
        n += is_plugged(m, s.first + i);
    return n == s.count ? S_PLUGGED : n == 0 ? S_UNPLUGGED : S_MIXED;
}

static uint32_t window_of(const struct mem *m, uint32_t block)
{
    return (uint32_t)(block * m->block_len / m->window_len);
}

static struct squib_range window_range(const struct mem *m, uint32_t window)
{
    uint64_t off = window * m->window_len, len = m->region_len - off;

    return (struct squib_range){m->config.gpa + off,
                                len < m->window_len ? len : m->window_len};
}

static void give_back(struct mem *m, uint64_t gpa, uint64_t len)
{
    if (sq_memory_discard(m->dev.mem, gpa, len, NULL) < 0)
        count(&m->counters.discards_failed, 1);
}

static int plug_block(struct mem *m, uint32_t block)
{
    uint32_t w = window_of(m, block);

    if (m->in_window[w] == 0) {
        int rc = m->config.show(m->config.ctx, window_range(m, w), true);

        if (rc)
            return rc;
    }
    m->in_window[w]++;
    m->plugged[block / 64] |= 1ull << (block % 64);
    m->plugged_len += m->block_len;
    return 0;
}

/* Afterwards its memory is to be given back. */
static void unplug_block(struct mem *m, uint32_t block)
{
    uint32_t w = window_of(m, block);

    m->plugged[block / 64] &= ~(1ull << (block % 64));
    m->plugged_len -= m->block_len;
    if (--m->in_window[w] == 0) {
        struct squib_range r = window_range(m, w);

        m->config.show(m->config.ctx, r, false);
        give_back(m, r.gpa, r.len);
    }
}

static void unplug_span(struct mem *m, struct span s)
{
    for (uint32_t i = 0; i < s.count; i++)
        if (is_plugged(m, s.first + i))
            unplug_block(m, s.first + i);
    give_back(m, m->config.gpa + s.first * m->block_len,
              s.count * m->block_len);
}

/* ---- Requests ---- */

/* The blocks that a request names; false when they are not all usable. */
static bool span_of(const struct mem *m, const uint8_t *request,
                    struct span *out)
{
    uint64_t gpa = sq_ld64(request + REQUEST_GPA);
    uint16_t blocks = sq_ld16(request + REQUEST_BLOCKS);
    uint64_t off = gpa - m->config.gpa, len = blocks * m->block_len;

    if (gpa < m->config.gpa || off % m->block_len || blocks == 0 ||
        off > m->usable_len || len > m->usable_len - off)
        return false;
    *out = (struct span){(uint32_t)(off / m->block_len), blocks};
    return true;
}

static bool plug(struct mem *m, const uint8_t *request)
{
    uint64_t len;
    struct span s;

    if (!span_of(m, request, &s) || state_of(m, s) != S_UNPLUGGED)
        return false;
    len = s.count * m->block_len;
    if (m->plugged_len > m->requested_len ||
        len > m->requested_len - m->plugged_len)
        return false;
    for (uint32_t i = 0; i < s.count; i++) {
        if (plug_block(m, s.first + i) != 0) {
            unplug_span(m, (struct span){s.first, i});
            return false;
        }
    }
    count(&m->counters.plug_bytes, len);
    return true;
}

static bool unplug(struct mem *m, const uint8_t *request)
{
    struct span s;

    if (!span_of(m, request, &s) || state_of(m, s) != S_PLUGGED)
        return false;
    unplug_span(m, s);
    count(&m->counters.unplug_bytes, s.count * m->block_len);
    return true;
}

/* As much as the request can need, in whole slots. */
static uint64_t usable_for(const struct mem *m, uint64_t requested_len)
{
    uint64_t slot = (uint64_t)m->config.sizes.slot_mib << MIB;

    return (requested_len + slot - 1) / slot * slot;
}

static bool unplug_all(struct mem *m)
{
    for (uint32_t block = 0; block < m->block_count; block++)
        if (is_plugged(m, block))
            unplug_block(m, block);
    /* Only now may it shrink. */
    m->usable_len = usable_for(m, m->requested_len);
    return true;
}

static bool state(struct mem *m, const uint8_t *request, uint8_t *answer)
{
    struct span s;

    if (!span_of(m, request, &s))
        return false;
    sq_st16(answer + ANSWER_STATE, (uint16_t)state_of(m, s));
    return true;
}

static void serve(struct mem *m, const uint8_t *request,
                  uint8_t answer[ANSWER_LEN])
{
    struct sq_virtio_mem_counters *c = &m->counters;
    const struct {
        _Atomic uint64_t *all, *failed;
        struct sq_latency *latency;
    } to[] = {
        [T_PLUG] = {&c->plugs, &c->plugs_failed, &c->plug_latency},
        [T_UNPLUG] = {&c->unplugs, &c->unplugs_failed, &c->unplug_latency},
        [T_UNPLUG_ALL] = {&c->unplug_alls, &c->unplug_alls_failed,
                          &c->unplug_all_latency},
        [T_STATE] = {&c->states, &c->states_failed, &c->state_latency},
    };
    uint16_t type = sq_ld16(request);
    uint64_t start_ns = sq_now_ns();
    bool ok = false;

    switch (type) {
    case T_PLUG: ok = plug(m, request); break;
    case T_UNPLUG: ok = unplug(m, request); break;
    case T_UNPLUG_ALL: ok = unplug_all(m); break;
    case T_STATE: ok = state(m, request, answer); break;
    default: count(&m->dev.counters.guest_errors, 1); break;
    }
    sq_st16(answer, ok ? A_ACK : A_ERROR);
    fill_config(m);
    if (type >= SQ_ARRAY_LEN(to))
        return;
    count(to[type].all, 1);
    count(to[type].failed, !ok);
    sq_latency_add(to[type].latency, (sq_now_ns() - start_ns) / 1000);
}

static void notify(struct sq_virtio_device *dev, unsigned q)
{
    struct mem *m = mem_of(dev);
    unsigned budget = BATCH;

    do {
        sq_queue_quiet(&dev->queue[q]);
        while (budget && sq_virtio_pop(dev, q, &m->chain)) {
            uint8_t request[REQUEST_LEN], answer[ANSWER_LEN] = {0};

            budget--;
            if (m->chain.writable_len < ANSWER_LEN ||
                sq_chain_read(&m->chain, 0, request, sizeof(request)) !=
                    sizeof(request)) {
                sq_virtio_fail(dev);
                return;
            }
            serve(m, request, answer);
            sq_chain_write(&m->chain, dev->mem, 0, answer, sizeof(answer));
            sq_virtio_push(dev, q, &m->chain, sizeof(answer));
        }
    } while (budget && sq_queue_rearm(&dev->queue[q]));
    if (!budget)
        sq_virtio_again(dev, q);
    sq_virtio_signal(dev, q);
}

static void mem_free(struct sq_virtio_device *dev)
{
    struct mem *m = mem_of(dev);

    sq_virtio_device_destroy(dev);
    free(m->plugged);
    free(m);
}

/* A reset leaves plugged what is plugged (5.15.6.1). */
static const struct sq_virtio_ops mem_ops = {
    .name = "mem",
    .id = SQ_VIRTIO_ID_MEM,
    .queue_count = 1,
    .queue_size = QUEUE_SIZE,
    .notify = notify,
    .free = mem_free,
};

int sq_virtio_mem_new(const struct sq_virtio_mem_config *config,
                      struct sq_virtio_device **out, struct squib_error *err)
{
    const struct sq_virtio_mem_sizes *sizes = &config->sizes;
    struct mem *m = calloc(1, sizeof(*m));

    if (m) {
        m->block_count = sizes->total_mib / sizes->block_mib;
        m->plugged = calloc((m->block_count + 63) / 64,
                            sizeof(m->plugged[0]));
    }
    if (!m || !m->plugged) {
        free(m);
        return sq_err_set(err, SQUIB_E_NOMEM, "device mem: out of memory");
    }
    m->config = *config;
    m->block_len = (uint64_t)sizes->block_mib << MIB;
    m->region_len = (uint64_t)sizes->total_mib << MIB;
    m->window_len = sq_virtio_mem_window_len(sizes);
    sq_virtio_device_init(&m->dev, &mem_ops, F_UNPLUGGED_INACCESSIBLE);
    m->dev.config_len = CONFIG_LEN;
    fill_config(m);
    *out = &m->dev;
    return 0;
}

/* ---- For the monitor ---- */

int sq_virtio_mem_request(struct sq_virtio_device *dev,
                          uint32_t requested_mib, struct squib_error *err)
{
    struct mem *m = mem_of(dev);
    uint64_t len = (uint64_t)requested_mib << MIB, usable;

    if (!sq_virtio_enter(dev))
        return sq_err_set(err, SQUIB_E_STATE, "Device is not active");
    if (len % m->block_len || len > m->region_len) {
        sq_virtio_leave(dev);
        return sq_err_set(err, SQUIB_E_INVAL,
                          "Size %llu is invalid: it must be a multiple of "
                          "block size and less than the total size",
                          (unsigned long long)len);
    }
    usable = usable_for(m, len);
    if (usable > m->usable_len)
        m->usable_len = usable;
    m->requested_len = len;
    fill_config(m);
    sq_virtio_config_changed(dev);
    sq_virtio_leave(dev);
    return 0;
}

struct sq_virtio_mem_status
sq_virtio_mem_status(struct sq_virtio_device *dev)
{
    struct mem *m = mem_of(dev);
    struct sq_virtio_mem_status s = {.sizes = m->config.sizes};

    pthread_mutex_lock(&dev->mutex);
    s.plugged_mib = (uint32_t)(m->plugged_len >> MIB);
    s.requested_mib = (uint32_t)(m->requested_len >> MIB);
    pthread_mutex_unlock(&dev->mutex);
    return s;
}

const struct sq_virtio_mem_counters *
sq_virtio_mem_counters(const struct sq_virtio_device *dev)
{
    return &mem_of(dev)->counters;
}

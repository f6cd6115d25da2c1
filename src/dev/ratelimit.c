/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/ratelimit.h"

#include <stddef.h>

#include "base/util.h"

typedef unsigned __int128 wide;

#define NS_PER_MS 1000000u

static uint64_t clamp(wide v)
{
    return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

void sq_bucket_init(struct sq_bucket *b,
                    const struct sq_bucket_config *config, uint64_t now_ns)
{
    *b = (struct sq_bucket){.config = *config, .last_ns = now_ns};
    if (config->size == 0)
        return;
    b->refill_ns = clamp((wide)config->refill_ms * NS_PER_MS);
    b->level = config->size;
    b->burst = config->one_time_burst;
}

/* Adds what came in since the last time. */
static void refill(struct sq_bucket *b, uint64_t now_ns)
{
    wide parts, tokens;

    if (now_ns <= b->last_ns)
        return;
    parts = (wide)(now_ns - b->last_ns) * b->config.size;
    /* 2^64 - 1 squared leaves room for a fraction below 2^64. */
    parts += b->fraction;
    tokens = parts / b->refill_ns;
    b->fraction = (uint64_t)(parts % b->refill_ns);
    b->last_ns = now_ns;
    if (tokens < b->debt) {
        b->debt -= (uint64_t)tokens;
        return;
    }
    tokens -= b->debt;
    b->debt = 0;
    if (tokens >= b->config.size - b->level) {
        b->level = b->config.size;
        b->fraction = 0; /* a full bucket collects nothing */
    } else {
        b->level += (uint64_t)tokens;
    }
}

uint64_t sq_bucket_when(struct sq_bucket *b, uint64_t tokens,
                        uint64_t now_ns)
{
    wide wait_ns;

    if (!sq_bucket_limits(b))
        return 0;
    refill(b, now_ns);
    if (tokens <= b->burst || b->level)
        return 0;
    /* Until the debt is paid and one token is there. */
    wait_ns = ((wide)b->debt + 1) * b->refill_ns - b->fraction;
    wait_ns = (wait_ns + b->config.size - 1) / b->config.size;
    return clamp((wide)b->last_ns + wait_ns);
}

void sq_bucket_take(struct sq_bucket *b, uint64_t tokens)
{
    if (!sq_bucket_limits(b))
        return;
    if (tokens <= b->burst) {
        b->burst -= tokens;
        return;
    }
    tokens -= b->burst;
    b->burst = 0;
    if (tokens <= b->level) {
        b->level -= tokens;
        return;
    }
    b->debt = tokens - b->level;
    b->level = 0;
}

void sq_ratelimit_init(struct sq_ratelimit *r,
                       const struct sq_ratelimit_config *config,
                       uint64_t now_ns)
{
    sq_bucket_init(&r->bandwidth, &config->bandwidth, now_ns);
    sq_bucket_init(&r->ops, &config->ops, now_ns);
}

void sq_ratelimit_update(struct sq_ratelimit *r,
                         const struct sq_bucket_config *bandwidth,
                         const struct sq_bucket_config *ops, uint64_t now_ns)
{
    if (bandwidth)
        sq_bucket_init(&r->bandwidth, bandwidth, now_ns);
    if (ops)
        sq_bucket_init(&r->ops, ops, now_ns);
}

bool sq_ratelimit_take(struct sq_ratelimit *r, uint64_t bytes, uint64_t ops,
                       uint64_t now_ns, uint64_t *next_ns)
{
    uint64_t a, b;

    a = sq_bucket_when(&r->bandwidth, bytes, now_ns);
    b = sq_bucket_when(&r->ops, ops, now_ns);
    if (a || b) {
        *next_ns = a > b ? a : b;
        return false;
    }
    sq_bucket_take(&r->bandwidth, bytes);
    sq_bucket_take(&r->ops, ops);
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limits as token buckets.
 *
 * A bucket holds up to `size` tokens and refills completely in `refill_ms`,
 * evenly over that time. `one_time_burst` tokens are there once, at the
 * beginning, and are spent first. A request costs tokens. It is let through
 * while there is one token left and may leave a debt, which is paid back
 * before the next one; so the rate holds in the long run for requests of any
 * size, also larger than the bucket, and a timer that comes a little late
 * costs nothing as long as the bucket is not full. In any time t, no more
 * than burst + size + rate * t and one request pass. The arithmetic is
 * exact: fractions of tokens are carried, not dropped.
 *
 * Everything here is pure: time comes in as now_ns (os/clock.h), nothing is
 * locked; the owner's lock or thread covers it. Times never go backwards.
 */
#ifndef SQ_DEV_RATELIMIT_H
#define SQ_DEV_RATELIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* All zero is a bucket that limits nothing; size or refill_ms 0 too. */
struct sq_bucket_config {
    uint64_t size;           /* tokens */
    uint64_t one_time_burst; /* tokens */
    uint64_t refill_ms;
};

struct sq_bucket {
    struct sq_bucket_config config; /* as given */
    uint64_t refill_ns;             /* 0: limits nothing */
    uint64_t burst;                 /* what is left of it */
    uint64_t level;                 /* tokens, at most size */
    uint64_t debt;                  /* tokens; level is 0 then */
    uint64_t fraction;              /* of a token, in 1 / refill_ns */
    uint64_t last_ns;
};

struct sq_ratelimit_config {
    struct sq_bucket_config bandwidth; /* a token is a byte */
    struct sq_bucket_config ops;       /* a token is a request */
};

struct sq_ratelimit {
    struct sq_bucket bandwidth, ops;
};

/* A full bucket. */
void sq_bucket_init(struct sq_bucket *b,
                    const struct sq_bucket_config *config, uint64_t now_ns);

static inline bool sq_bucket_limits(const struct sq_bucket *b)
{
    return b->refill_ns != 0;
}

/* When `tokens` can be had: 0 for now, else the time to ask again
 * (UINT64_MAX: not in this universe). Takes nothing. */
uint64_t sq_bucket_when(struct sq_bucket *b, uint64_t tokens,
                        uint64_t now_ns);

/* Takes them; only after sq_bucket_when() said 0 for the same now_ns. */
void sq_bucket_take(struct sq_bucket *b, uint64_t tokens);

void sq_ratelimit_init(struct sq_ratelimit *r,
                       const struct sq_ratelimit_config *config,
                       uint64_t now_ns);

/* Replaces one bucket or both while in use; NULL leaves a bucket alone. A
 * replaced bucket starts full and has its burst again. */
void sq_ratelimit_update(struct sq_ratelimit *r,
                         const struct sq_bucket_config *bandwidth,
                         const struct sq_bucket_config *ops,
                         uint64_t now_ns);

static inline bool sq_ratelimit_limits(const struct sq_ratelimit *r)
{
    return sq_bucket_limits(&r->bandwidth) || sq_bucket_limits(&r->ops);
}

/* Takes `bytes` and `ops` from both buckets or nothing from either. True
 * when taken; else *next_ns is when it is worth asking again. */
bool sq_ratelimit_take(struct sq_ratelimit *r, uint64_t bytes, uint64_t ops,
                       uint64_t now_ns, uint64_t *next_ns);

#endif

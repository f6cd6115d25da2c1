/* SPDX-License-Identifier: Apache-2.0 */
/* The random numbers of the instruction tests: the same seed gives the same
 * cases on every machine (splitmix64). */
#ifndef SQ_TEST_ISA_RNG_H
#define SQ_TEST_ISA_RNG_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct isa_rng {
    uint64_t state;
};

static inline uint64_t isa_random(struct isa_rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15ull);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* 0 .. n - 1; n is small enough that the bias does not matter. */
static inline unsigned isa_below(struct isa_rng *r, unsigned n)
{
    return (unsigned)((isa_random(r) >> 32) * n >> 32);
}

static inline bool isa_percent(struct isa_rng *r, unsigned p)
{
    return isa_below(r, 100) < p;
}

static inline void isa_fill(struct isa_rng *r, void *dst, unsigned n)
{
    uint8_t *p = dst;

    while (n) {
        uint64_t v = isa_random(r);
        unsigned k = n < 8 ? n : 8;

        memcpy(p, &v, k);
        p += k;
        n -= k;
    }
}

#endif

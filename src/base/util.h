/* SPDX-License-Identifier: Apache-2.0 */
/* Small things that C leaves out: pure, allocation-free. */
#ifndef SQ_BASE_UTIL_H
#define SQ_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SQ_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define SQ_CONTAINER_OF(ptr, type, member)                                 \
    ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define SQ_LIKELY(x) __builtin_expect(!!(x), 1)
#define SQ_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Built with the address sanitizer. */
#if defined(__SANITIZE_ADDRESS__)
#define SQ_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SQ_SANITIZED 1
#endif
#endif
#ifndef SQ_SANITIZED
#define SQ_SANITIZED 0
#endif

/* *out = a + b; true if it wrapped. */
static inline bool sq_add_overflow(uint64_t a, uint64_t b, uint64_t *out)
{
    return __builtin_add_overflow(a, b, out);
}

/* Whether [a, a + a_len) and [b, b + b_len) share a byte. No wrap allowed
 * in either (callers have checked). */
static inline bool sq_overlaps(uint64_t a, uint64_t a_len, uint64_t b,
                               uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

static inline uint64_t sq_align_up(uint64_t v, uint64_t pow2)
{
    return (v + pow2 - 1) & ~(pow2 - 1);
}

/* Little-endian loads and stores at any alignment. The host is
 * little-endian by requirement, so these are plain copies. */
static inline uint16_t sq_ld16(const void *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint32_t sq_ld32(const void *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t sq_ld64(const void *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static inline void sq_st16(void *p, uint16_t v) { memcpy(p, &v, sizeof(v)); }
static inline void sq_st32(void *p, uint32_t v) { memcpy(p, &v, sizeof(v)); }
static inline void sq_st64(void *p, uint64_t v) { memcpy(p, &v, sizeof(v)); }

#endif

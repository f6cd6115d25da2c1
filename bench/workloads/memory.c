/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: copies, dependent loads that hit or miss caches and TLBs, triad. */
#include <errno.h>
#include <immintrin.h>
#include <string.h>

#include "bench.h"

#define SMALL (16u * 1024)
#define LARGE (64u * 1024 * 1024)
#define COPIES 2000u
#define TRIAD_COUNT (128u * 1024) /* doubles; three of them: 3 MiB */
#define LINE 64u

static struct {
    uint8_t *from, *to;
    uint32_t *chain; /* index of the next line, at the start of each line */
    double *a, *b, *c;
} g;

static int copy_prepare(size_t len)
{
    uint64_t seed = 11;

    g.from = bench_memory_get(len);
    g.to = bench_memory_get(len);
    if (!g.from || !g.to)
        return -ENOMEM;
    for (size_t i = 0; i < len; i += 512) {
        uint64_t r = bench_random(&seed);

        memcpy(g.from + i, &r, sizeof(r));
    }
    return 0;
}

static int copy_small_prepare(void)
{
    return copy_prepare(SMALL);
}

static int copy_large_prepare(void)
{
    return copy_prepare(LARGE);
}

/* C libraries copy by vectors, of the size that the processor has. */
static void copy_sse(uint8_t *to, const uint8_t *from, size_t len)
{
    for (size_t i = 0; i < len; i += 64) {
        const __m128i *f = (const __m128i *)(from + i);
        __m128i *t = (__m128i *)(to + i);
        __m128i a = _mm_loadu_si128(f), b = _mm_loadu_si128(f + 1);
        __m128i c = _mm_loadu_si128(f + 2), d = _mm_loadu_si128(f + 3);

        _mm_storeu_si128(t, a);
        _mm_storeu_si128(t + 1, b);
        _mm_storeu_si128(t + 2, c);
        _mm_storeu_si128(t + 3, d);
    }
}

__attribute__((target("avx2"))) static void
copy_avx(uint8_t *to, const uint8_t *from, size_t len)
{
    for (size_t i = 0; i < len; i += 128) {
        const __m256i *f = (const __m256i *)(from + i);
        __m256i *t = (__m256i *)(to + i);
        __m256i a = _mm256_loadu_si256(f), b = _mm256_loadu_si256(f + 1);
        __m256i c = _mm256_loadu_si256(f + 2), d = _mm256_loadu_si256(f + 3);

        _mm256_storeu_si256(t, a);
        _mm256_storeu_si256(t + 1, b);
        _mm256_storeu_si256(t + 2, c);
        _mm256_storeu_si256(t + 3, d);
    }
}

static void copy(uint8_t *to, const uint8_t *from, size_t len)
{
    if (bench_has_avx2_fma())
        copy_avx(to, from, len);
    else
        copy_sse(to, from, len);
}

static const char *copy_variant(void)
{
    return bench_has_avx2_fma() ? "AVX2" : "SSE2 (CPUID has no AVX2+FMA)";
}

static int copy_small_unit(uint64_t *sum)
{
    memset(g.to, 0, SMALL);
    for (uint32_t i = 0; i < COPIES; i++) {
        copy(g.to, g.from, SMALL);
        __asm__ volatile("" : : : "memory");
    }
    bench_fold(sum, g.to, SMALL);
    return 0;
}

static int copy_large_unit(uint64_t *sum)
{
    copy(g.to, g.from, LARGE);
    for (size_t i = 0; i < LARGE; i += 512 * 64)
        bench_fold(sum, g.to + i, 8);
    return 0;
}

static int movsb_unit(uint64_t *sum)
{
    memset(g.to, 0, SMALL);
    for (uint32_t i = 0; i < COPIES; i++) {
        uint8_t *to = g.to;
        const uint8_t *from = g.from;
        size_t len = SMALL;

        __asm__ volatile("rep movsb"
                         : "+D"(to), "+S"(from), "+c"(len)
                         :
                         : "memory");
    }
    bench_fold(sum, g.to, SMALL);
    return 0;
}

/* --- dependent loads ---------------------------------------------------- */

/* One cycle through all lines, in random order (Sattolo's shuffle). */
static int chase_prepare(size_t len)
{
    const uint32_t lines = (uint32_t)(len / LINE), step = LINE / 4;
    uint64_t seed = 3;

    g.chain = bench_memory_get(len);
    if (!g.chain)
        return -ENOMEM;
    for (uint32_t i = 0; i < lines; i++)
        g.chain[(size_t)i * step] = i;
    for (uint32_t i = lines - 1; i > 0; i--) {
        uint32_t j = (uint32_t)((bench_random(&seed) >> 32) * i >> 32);
        uint32_t t = g.chain[(size_t)i * step];

        g.chain[(size_t)i * step] = g.chain[(size_t)j * step];
        g.chain[(size_t)j * step] = t;
    }
    return 0;
}

static int chase_16k_prepare(void)
{
    return chase_prepare(SMALL);
}

static int chase_512k_prepare(void)
{
    return chase_prepare(512u * 1024);
}

static int chase_64m_prepare(void)
{
    return chase_prepare(LARGE);
}

static int chase(uint64_t *sum, uint32_t steps)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < steps; i++)
        at = g.chain[(size_t)at * (LINE / 4)];
    *sum += at + 1;
    return 0;
}

/* Not whole cycles, which would always end at 0. */
static int chase_short_unit(uint64_t *sum)
{
    return chase(sum, 1000003);
}

static int chase_64m_unit(uint64_t *sum)
{
    return chase(sum, LARGE / LINE - 5);
}

/* --- triad -------------------------------------------------------------- */

static int triad_prepare(void)
{
    g.a = bench_memory_get(TRIAD_COUNT * sizeof(double));
    g.b = bench_memory_get(TRIAD_COUNT * sizeof(double));
    g.c = bench_memory_get(TRIAD_COUNT * sizeof(double));
    if (!g.a || !g.b || !g.c)
        return -ENOMEM;
    for (uint32_t i = 0; i < TRIAD_COUNT; i++) {
        g.b[i] = i;
        g.c[i] = (double)(i & 1023) / 8;
    }
    return 0;
}

static int triad_unit(uint64_t *sum)
{
    for (int round = 0; round < 8; round++) {
        double *restrict a = g.a;
        const double *restrict b = g.b, *restrict c = g.c;
        double factor = 1.5 + round;

        for (uint32_t i = 0; i < TRIAD_COUNT; i++)
            a[i] = b[i] + factor * c[i];
        __asm__ volatile("" : : : "memory");
    }
    bench_fold(sum, g.a, 4096);
    return 0;
}

const struct workload bench_memory[] = {
    {"memcpy 16 KiB", "memory", "copy", COPIES, 20, copy_small_prepare,
     copy_small_unit, copy_variant},
    {"memcpy 64 MiB", "memory", "copy", 1, 3, copy_large_prepare,
     copy_large_unit, copy_variant},
    {"rep movsb 16 KiB", "memory", "copy", COPIES, 40, copy_small_prepare,
     movsb_unit, NULL},
    {"chase 16 KiB", "memory", "load", 1000003, 8, chase_16k_prepare,
     chase_short_unit, NULL},
    {"chase 512 KiB", "memory", "load", 1000003, 6, chase_512k_prepare,
     chase_short_unit, NULL},
    {"chase 64 MiB", "memory", "load", LARGE / LINE - 5, 1,
     chase_64m_prepare, chase_64m_unit, NULL},
    {"triad", "memory", "number", 8 * TRIAD_COUNT, 20, triad_prepare,
     triad_unit, NULL},
    {0},
};

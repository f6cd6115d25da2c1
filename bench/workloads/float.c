/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floating point: scalar, and products of matrices by SSE and by AVX2 with
 * FMA. The compiler is told not to contract, so every machine rounds alike.
 */
#include <errno.h>
#include <immintrin.h>
#include <string.h>

#include "bench.h"

#define BODIES 5
#define NBODY_STEPS 20000
#define MANDEL_SIDE 96
#define MANDEL_LIMIT 200
#define MATRIX 128 /* rows and columns; a multiple of 8 */

static struct {
    float *a, *b, *c;
} g;

struct body {
    double x[3], v[3], mass;
};

/* --- n-body ------------------------------------------------------------- */

static double square_root(double x)
{
    return _mm_cvtsd_f64(_mm_sqrt_sd(_mm_set_sd(x), _mm_set_sd(x)));
}

static void nbody_step(struct body *body, double dt)
{
    for (int i = 0; i < BODIES; i++) {
        struct body *p = &body[i];

        for (int j = i + 1; j < BODIES; j++) {
            struct body *q = &body[j];
            double d[3], r2 = 0, pull;

            for (int k = 0; k < 3; k++) {
                d[k] = p->x[k] - q->x[k];
                r2 += d[k] * d[k];
            }
            pull = dt / (r2 * square_root(r2));
            for (int k = 0; k < 3; k++) {
                p->v[k] -= d[k] * q->mass * pull;
                q->v[k] += d[k] * p->mass * pull;
            }
        }
    }
    for (int i = 0; i < BODIES; i++) {
        for (int k = 0; k < 3; k++)
            body[i].x[k] += dt * body[i].v[k];
    }
}

static int nbody_unit(uint64_t *sum)
{
    struct body body[BODIES];

    /* A heavy one in the middle and four that circle it. */
    memset(body, 0, sizeof(body));
    body[0].mass = 40;
    for (int i = 1; i < BODIES; i++) {
        double r = 4.0 * i;

        body[i].mass = 0.01 * i;
        body[i].x[i & 1] = r;
        body[i].x[2] = 0.1 * i;
        body[i].v[1 - (i & 1)] = square_root(40 / r);
    }
    for (int i = 0; i < NBODY_STEPS; i++)
        nbody_step(body, 0.001);
    bench_fold(sum, body, sizeof(body));
    return 0;
}

/* --- Mandelbrot --------------------------------------------------------- */

static int mandelbrot_unit(uint64_t *sum)
{
    uint64_t total = 0;

    for (int py = 0; py < MANDEL_SIDE; py++) {
        for (int px = 0; px < MANDEL_SIDE; px++) {
            double cx = px * (3.0 / MANDEL_SIDE) - 2.0;
            double cy = py * (2.0 / MANDEL_SIDE) - 1.0;
            double x = 0, y = 0, xx = 0, yy = 0;
            unsigned n = 0;

            while (n < MANDEL_LIMIT && xx + yy <= 4.0) {
                y = 2 * x * y + cy;
                x = xx - yy + cx;
                xx = x * x;
                yy = y * y;
                n++;
            }
            total = total * 3 + n;
        }
    }
    *sum += total;
    return 0;
}

/* --- matrices ----------------------------------------------------------- */

/* Small whole numbers: products and sums are exact, with FMA or without. */
static int matrix_prepare(void)
{
    const size_t len = MATRIX * MATRIX * sizeof(float);
    uint64_t seed = 5;

    g.a = bench_memory_get(len);
    g.b = bench_memory_get(len);
    g.c = bench_memory_get(len);
    if (!g.a || !g.b || !g.c)
        return -ENOMEM;
    for (int i = 0; i < MATRIX * MATRIX; i++) {
        g.a[i] = (float)(bench_random(&seed) >> 58) - 32;
        g.b[i] = (float)(bench_random(&seed) >> 58) - 32;
    }
    return 0;
}

static void product_sse(void)
{
    for (int i = 0; i < MATRIX; i++) {
        for (int j = 0; j < MATRIX; j += 8) {
            __m128 s0 = _mm_setzero_ps(), s1 = s0;

            for (int k = 0; k < MATRIX; k++) {
                __m128 x = _mm_set1_ps(g.a[i * MATRIX + k]);
                const float *row = &g.b[k * MATRIX + j];

                s0 = _mm_add_ps(s0, _mm_mul_ps(x, _mm_load_ps(row)));
                s1 = _mm_add_ps(s1, _mm_mul_ps(x, _mm_load_ps(row + 4)));
            }
            _mm_store_ps(&g.c[i * MATRIX + j], s0);
            _mm_store_ps(&g.c[i * MATRIX + j + 4], s1);
        }
    }
}

__attribute__((target("avx2,fma"))) static void product_fma(void)
{
    for (int i = 0; i < MATRIX; i += 2) {
        for (int j = 0; j < MATRIX; j += 16) {
            __m256 s00 = _mm256_setzero_ps(), s01 = s00;
            __m256 s10 = s00, s11 = s00;

            for (int k = 0; k < MATRIX; k++) {
                const float *row = &g.b[k * MATRIX + j];
                __m256 r0 = _mm256_load_ps(row);
                __m256 r1 = _mm256_load_ps(row + 8);
                __m256 x = _mm256_broadcast_ss(&g.a[i * MATRIX + k]);
                __m256 y = _mm256_broadcast_ss(&g.a[(i + 1) * MATRIX + k]);

                s00 = _mm256_fmadd_ps(x, r0, s00);
                s01 = _mm256_fmadd_ps(x, r1, s01);
                s10 = _mm256_fmadd_ps(y, r0, s10);
                s11 = _mm256_fmadd_ps(y, r1, s11);
            }
            _mm256_store_ps(&g.c[i * MATRIX + j], s00);
            _mm256_store_ps(&g.c[i * MATRIX + j + 8], s01);
            _mm256_store_ps(&g.c[(i + 1) * MATRIX + j], s10);
            _mm256_store_ps(&g.c[(i + 1) * MATRIX + j + 8], s11);
        }
    }
}

static int matrix_sse_unit(uint64_t *sum)
{
    product_sse();
    bench_fold(sum, g.c, MATRIX * MATRIX * sizeof(float));
    return 0;
}

static int matrix_avx_unit(uint64_t *sum)
{
    for (int i = 0; i < 4; i++) {
        if (bench_has_avx2_fma())
            product_fma();
        else
            product_sse();
        bench_fold(sum, g.c, MATRIX * MATRIX * sizeof(float));
    }
    return 0;
}

static const char *matrix_avx_variant(void)
{
    return bench_has_avx2_fma() ? "AVX2+FMA" : "SSE (CPUID has no AVX2+FMA)";
}

const struct workload bench_float[] = {
    {"n-body", "floating point", "step", NBODY_STEPS, 5, NULL, nbody_unit,
     NULL},
    {"Mandelbrot", "floating point", "point", MANDEL_SIDE * MANDEL_SIDE, 10,
     NULL, mandelbrot_unit, NULL},
    {"matrix SSE", "floating point", "multiply-add",
     MATRIX * MATRIX * MATRIX, 30, matrix_prepare, matrix_sse_unit, NULL},
    {"matrix AVX2", "floating point", "multiply-add",
     4 * MATRIX * MATRIX * MATRIX, 20, matrix_prepare, matrix_avx_unit,
     matrix_avx_variant},
    {0},
};
